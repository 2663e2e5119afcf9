//! Frames, and how they get onto a link.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// Length of frames without FCS: the shortest.
pub(crate) const FRAME: usize = 60;

/// An Ethernet and UDP frame for nobody's MAC address, so that the stack behind us drops it at once. Its source MAC
/// begins with an interface's index, for the harness' `wire_send`.
pub(crate) fn ipv4_frame(ifindex: u32) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    frame[6..10].copy_from_slice(&ifindex.to_ne_bytes());
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17]);
    frame[34..42].copy_from_slice(&[0x30, 0x39, 0x01, 0xbb, 0, 26, 0, 0]);
    frame
}

/// The same for IPv6.
pub(crate) fn ipv6_frame() -> [u8; 74] {
    let mut frame = [0; 74];
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    frame[14..22].copy_from_slice(&[0x60, 0, 0, 0, 0, 20, 17, 64]);
    frame[54..62].copy_from_slice(&[0x30, 0x39, 0x01, 0xbb, 0, 20, 0, 0]);
    frame
}

/// A frame with these addresses, of one family.
pub(crate) fn frame(source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let v4 = |frame: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr| {
        frame[26..30].copy_from_slice(&source.octets());
        frame[30..34].copy_from_slice(&destination.octets());
    };
    let v6 = |frame: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr| {
        frame[22..38].copy_from_slice(&source.octets());
        frame[38..54].copy_from_slice(&destination.octets());
    };
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut frame = ipv4_frame(0).to_vec();
            v4(&mut frame, source, destination);
            frame
        }
        (source, destination) => {
            let wide = |address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            let mut frame = ipv6_frame().to_vec();
            v6(&mut frame, wide(source), wide(destination));
            frame
        }
    }
}

/// A raw socket that sends many frames a system call.
pub(crate) struct Socket(OwnedFd);

/// Frames a system call.
const BURST: usize = 256;

impl Socket {
    /// Opens one on an interface of this thread's namespace.
    pub(crate) fn open(ifindex: u32) -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that nobody else has.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: 0,
            sll_ifindex: ifindex as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: the address is as long as is said.
        let bound = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if bound != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(socket))
    }

    /// Sends them all; those that the device has no room for are sent again.
    pub(crate) fn send(&self, frames: &[Vec<u8>]) -> io::Result<()> {
        for burst in frames.chunks(BURST) {
            let mut vectors: Vec<libc::iovec> = burst
                .iter()
                .map(|frame| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() })
                .collect();
            let mut messages: Vec<libc::mmsghdr> = vectors
                .iter_mut()
                .map(|vector| {
                    // SAFETY: all zero is a message without address, data and control.
                    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                    message.msg_hdr.msg_iov = vector;
                    message.msg_hdr.msg_iovlen = 1;
                    message
                })
                .collect();
            let mut done = 0;
            while done < messages.len() {
                let rest = &mut messages[done..];
                // SAFETY: the messages, their vectors and the frames live through the call, which only reads them.
                let sent = unsafe {
                    libc::sendmmsg(self.0.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0)
                };
                if sent < 0 {
                    let error = io::Error::last_os_error();
                    match error.raw_os_error() {
                        Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR) => std::thread::yield_now(),
                        _ => return Err(error),
                    }
                } else {
                    done += sent as usize;
                }
            }
        }
        Ok(())
    }
}
