//! Sockets of BGP sessions: TCP MD5 (RFC 2385) and GTSM (RFC 5082), which have no safe interface.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    os::fd::AsRawFd as _,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

use super::settings::{Password, PeerSettings};

/// RFC 5082, section 3.
const TTL_MAX: u32 = 255;
/// Linux' own (`IPDEFTTL`).
const TTL_DEFAULT: u32 = 64;
const BACKLOG: i32 = 64;

/// A socket that listens for these peers.
///
/// # Errors
/// As the kernel has it: the address is taken, or is not this machine's, or the port needs a privilege.
pub(super) fn listen(address: SocketAddr, peers: &[&PeerSettings]) -> io::Result<TcpListener> {
    let socket = stream_socket(address.ip())?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    for peer in peers {
        if let Some(password) = &peer.password {
            set_md5(&socket, peer.address, password)?;
        }
    }
    if peers.iter().any(|peer| peer.hops.is_some()) {
        // The answer to a SYN is sent before it is known whose it is.
        set_ttl(&socket, address.ip(), TTL_MAX)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Prepares a connection that a peer opened.
///
/// # Errors
/// As the kernel has it.
pub(super) fn accepted(stream: &TcpStream, peer: &PeerSettings) -> io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    stream.set_nodelay(true)?;
    match peer.hops {
        Some(hops) => {
            set_ttl(&socket, peer.address, TTL_MAX)?;
            set_min_ttl(&socket, peer.address, hops)
        }
        None => set_ttl(&socket, peer.address, TTL_DEFAULT),
    }
}

/// Connects to a peer.
///
/// # Errors
/// As the kernel has it.
pub(super) async fn connect(peer: &PeerSettings) -> io::Result<TcpStream> {
    let socket = stream_socket(peer.address)?;
    if let Some(password) = &peer.password {
        set_md5(&socket, peer.address, password)?;
    }
    if let Some(hops) = peer.hops {
        set_ttl(&socket, peer.address, TTL_MAX)?;
        set_min_ttl(&socket, peer.address, hops)?;
    }
    if let Some(local) = peer.local_address {
        socket.bind(&SocketAddr::new(local, 0).into())?;
    }
    socket.set_nonblocking(true)?;
    let socket = TcpSocket::from_std_stream(socket.into());
    socket.set_nodelay(true)?;
    socket.connect(SocketAddr::new(peer.address, peer.port)).await
}

fn stream_socket(address: IpAddr) -> io::Result<Socket> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    Socket::new(domain, Type::STREAM, Some(Protocol::TCP))
}

fn set_ttl(socket: &Socket, address: IpAddr, ttl: u32) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => socket.set_ttl_v4(ttl),
        IpAddr::V6(_) => socket.set_unicast_hops_v6(ttl),
    }
}

/// What comes from farther away than `hops` is dropped by the kernel.
fn set_min_ttl(socket: &Socket, address: IpAddr, hops: u8) -> io::Result<()> {
    let min = TTL_MAX as i32 + 1 - i32::from(hops);
    match address {
        IpAddr::V4(_) => set_option(socket, libc::IPPROTO_IP, libc::IP_MINTTL, &min),
        IpAddr::V6(_) => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, &min),
    }
}

/// `struct tcp_md5sig` (linux/tcp.h), its `sockaddr_storage` as bytes.
#[repr(C)]
struct Md5Signature {
    address: [u8; 128],
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: i32,
    key: [u8; Password::MAX],
}

const _: () = assert!(size_of::<Md5Signature>() == 216);
const _: () = assert!(size_of::<libc::sockaddr_storage>() == 128);

/// The signature of all segments from and to a peer. A segment that has another one, or none, is dropped by the kernel.
fn set_md5(socket: &Socket, peer: IpAddr, password: &Password) -> io::Result<()> {
    let (family, at, octets) = match peer {
        IpAddr::V4(address) => (libc::AF_INET, 4, address.octets().to_vec()),
        // Behind the flow label.
        IpAddr::V6(address) => (libc::AF_INET6, 8, address.octets().to_vec()),
    };
    let mut signature = Md5Signature {
        address: [0; 128],
        flags: 0,
        prefix_length: 0,
        key_length: password.bytes().len() as u16,
        interface: 0,
        key: [0; Password::MAX],
    };
    fill(&mut signature.address, &(family as u16).to_ne_bytes());
    fill(&mut signature.address[at..], &octets);
    fill(&mut signature.key, password.bytes());
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG, &signature)
}

fn fill(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

fn set_option<T>(socket: &Socket, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads as many bytes of the value as it is told that there are, and keeps no pointer to it.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
