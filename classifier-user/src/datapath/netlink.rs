//! What the kernel says of an interface over netlink: what it is, what it belongs to, which XDP program is on it, and
//! whether its driver can run one. Needs no privilege.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    os::fd::AsRawFd as _,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

/// What an interface is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    /// `veth`, `vlan`, `bridge`, `bond`, …; nothing for hardware.
    pub(crate) kind: Option<String>,
    /// `bridge`, `bond`, …: what it is a port of.
    pub(crate) port_of: Option<String>,
    /// Index of the device that it is a port of.
    pub(crate) master: Option<u32>,
    /// Index of the device below a VLAN device, or of a veth's peer, if it is of this network namespace.
    pub(crate) lower: Option<u32>,
    /// The VLAN of a VLAN device.
    pub(crate) vlan: Option<u16>,
    /// What it is called.
    pub(crate) name: String,
    /// The XDP program on it.
    pub(crate) xdp: Option<XdpProgram>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct XdpProgram {
    /// `native`, `generic`, `offloaded` or `several`.
    pub(crate) mode: &'static str,
    /// Its number, as `bpftool prog` shows it; 0 where there are several.
    pub(crate) id: u32,
}

/// What a driver's XDP can (`enum netdev_xdp_act`, linux/netdev.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct XdpFeatures(u64);

impl XdpFeatures {
    #[cfg(test)]
    pub(crate) const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// Native XDP (`NETDEV_XDP_ACT_BASIC`).
    pub(crate) const fn native(self) -> bool {
        self.0 & 1 != 0
    }

    /// Frames of several buffers: jumbo MTU (`NETDEV_XDP_ACT_RX_SG`).
    pub(crate) const fn frags(self) -> bool {
        self.0 & 32 != 0
    }
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const GENL_ID_CTRL: u16 = 16;
const NETLINK_ROUTE: i32 = 0;
const NETLINK_GENERIC: i32 = 16;
/// `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;
/// `struct ifinfomsg`.
const IFINFO: usize = 16;
/// `struct genlmsghdr`.
const GENL_HEADER: usize = 4;
const TIMEOUT: Duration = Duration::from_secs(2);

/// What the kernel says of the interface with this index.
///
/// # Errors
/// A system call that failed, or the kernel's own error.
pub(crate) fn link_info(ifindex: u32) -> io::Result<LinkInfo> {
    let mut ifinfo = [0u8; IFINFO];
    if let Some(index) = ifinfo.get_mut(4..8) {
        index.copy_from_slice(&ifindex.to_ne_bytes());
    }
    let answer = ask(NETLINK_ROUTE, RTM_GETLINK, &ifinfo)?;
    match payload(&answer, RTM_NEWLINK)?.get(IFINFO..) {
        Some(attributes) => Ok(parse_link(attributes)),
        None => Err(short()),
    }
}

/// What the kernel says of all interfaces, by their indices.
///
/// # Errors
/// As [`link_info`].
pub(crate) fn all_links() -> io::Result<BTreeMap<u32, LinkInfo>> {
    let found = dump(RTM_GETLINK, RTM_NEWLINK, &[0; IFINFO])?;
    let link = |link: &Vec<u8>| Some((link.get(4..8).and_then(read_u32)?, parse_link(link.get(IFINFO..)?)));
    Ok(found.iter().filter_map(link).collect())
}

/// What XDP the driver of this interface can run; `None` before kernel 6.3, which does not say.
pub(crate) fn xdp_features(ifindex: u32) -> Option<XdpFeatures> {
    // Commands and attributes: linux/genetlink.h, linux/netdev.h.
    let mut family = vec![3, 1, 0, 0];
    push_attribute(&mut family, 2, b"netdev\0");
    let answer = ask(NETLINK_GENERIC, GENL_ID_CTRL, &family).ok()?;
    let attributes = payload(&answer, GENL_ID_CTRL).ok()?.get(GENL_HEADER..)?;
    let family = Attributes(attributes).find(1).and_then(read_u16)?;

    let mut request = vec![1, 1, 0, 0];
    push_attribute(&mut request, 1, &ifindex.to_ne_bytes());
    let answer = ask(NETLINK_GENERIC, family, &request).ok()?;
    let attributes = payload(&answer, family).ok()?.get(GENL_HEADER..)?;
    let features = Attributes(attributes).find(3)?;
    Some(XdpFeatures(u64::from_ne_bytes(features.try_into().ok()?)))
}

/// A socket that hears of every change of an interface; reading it waits for a moment at most.
///
/// # Errors
/// A system call that failed.
pub(crate) fn link_events() -> io::Result<Socket> {
    /// `RTMGRP_LINK`.
    const LINK: u32 = 1;
    let socket = Socket::new(
        Domain::from(libc::AF_NETLINK),
        Type::from(libc::SOCK_RAW),
        Some(Protocol::from(NETLINK_ROUTE)),
    )?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    // SAFETY: all zero is a value of it.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = LINK;
    // SAFETY: an address that lives through the call, of the size given.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_nl>() as libc::socklen_t,
        )
    };
    if bound == 0 { Ok(socket) } else { Err(io::Error::last_os_error()) }
}

/// The interfaces that went away, by what can be read of [`link_events`] now. Other changes are read with them.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] where there was nothing; `ENOBUFS` where some were missed.
pub(crate) fn deleted_links(mut socket: &Socket) -> io::Result<Vec<u32>> {
    let mut buffer = vec![0; 1 << 16];
    let length = socket.read(&mut buffer)?;
    let deleted = Messages(buffer.get(..length).unwrap_or_default()).filter(|(kind, _)| *kind == RTM_DELLINK);
    // A bridge says so of its ports, with a family.
    let index = |message: &[u8]| {
        (message.get(HEADER) == Some(&0)).then(|| message.get(HEADER + 4..HEADER + 8).and_then(read_u32))?
    };
    Ok(deleted.filter_map(|(_, message)| index(message)).collect())
}

fn parse_link(attributes: &[u8]) -> LinkInfo {
    let text = |bytes: &[u8]| {
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    };
    let mut info = LinkInfo::default();
    let mut elsewhere = false;
    for (kind, value) in Attributes(attributes) {
        match kind {
            // IFLA_IFNAME
            3 => info.name = text(value),
            // IFLA_LINK
            5 => info.lower = read_u32(value),
            // IFLA_MASTER
            10 => info.master = read_u32(value),
            // IFLA_LINKINFO: KIND, SLAVE_KIND, and in DATA of a VLAN device its ID
            18 => {
                info.kind = Attributes(value).find(1).map(text);
                info.port_of = Attributes(value).find(4).map(text);
                if info.kind.as_deref() == Some("vlan") {
                    let data = Attributes(value).find(2).unwrap_or_default();
                    info.vlan = Attributes(data).find(1).and_then(read_u16);
                }
            }
            // IFLA_LINK_NETNSID
            37 => elsewhere = true,
            // IFLA_XDP: ATTACHED, PROG_ID
            43 => {
                let mode = match Attributes(value).find(2).and_then(|value| value.first().copied()) {
                    Some(1) => "native",
                    Some(2) => "generic",
                    Some(3) => "offloaded",
                    Some(4) => "several",
                    _ => continue,
                };
                let id = Attributes(value).find(4).and_then(read_u32).unwrap_or(0);
                info.xdp = Some(XdpProgram { mode, id });
            }
            _ => {}
        }
    }
    info.lower = info.lower.filter(|_| !elsewhere);
    info
}

/// Sends one request; the answer comes on the socket.
fn request(protocol: i32, kind: u16, flags: u16, body: &[u8]) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::from(libc::AF_NETLINK),
        Type::from(libc::SOCK_RAW),
        Some(Protocol::from(protocol)),
    )?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    // Sequence and port: one question a socket, and the kernel fills the port in.
    message.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    message.extend(body);
    socket.send(&message)?;
    Ok(socket)
}

fn ask(protocol: i32, kind: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket = request(protocol, kind, 0, body)?;
    // One message; with every attribute of an interface it is about 2 KiB, more with many virtual functions.
    let mut answer = vec![0; 1 << 16];
    let length = socket.read(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

/// Tells rtnetlink to do something, and waits until it has.
pub(super) fn tell(kind: u16, body: &[u8]) -> io::Result<()> {
    let mut socket = request(NETLINK_ROUTE, kind, NLM_F_ACK, body)?;
    let mut answer = vec![0; 1 << 13];
    let length = socket.read(&mut answer)?;
    answer.truncate(length);
    // An acknowledgement is an error of number 0.
    match payload(&answer, NLMSG_ERROR) {
        Err(error) if error.raw_os_error() == Some(0) => Ok(()),
        other => other.map(drop),
    }
}

/// All that rtnetlink has of one kind: the payloads of its messages of the kind `answer`.
pub(super) fn dump(kind: u16, answer: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut socket = request(NETLINK_ROUTE, kind, NLM_F_DUMP, body)?;
    let mut found = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = socket.read(&mut buffer)?;
        for (kind, message) in Messages(buffer.get(..length).unwrap_or_default()) {
            match kind {
                NLMSG_DONE => return Ok(found),
                NLMSG_ERROR => return payload(message, answer).map(|_| found),
                kind if kind == answer => found.push(message.get(HEADER..).unwrap_or_default().to_vec()),
                _ => {}
            }
        }
    }
}

/// Messages one behind the other, with their headers, by kind. What is cut ends the list.
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = self.0.get(..4).and_then(read_u32)? as usize;
        let message = self.0.get(..length).filter(|message| message.len() >= HEADER)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((message.get(4..6).and_then(read_u16)?, message))
    }
}

/// The first message's payload, if it is of `kind`.
fn payload(answer: &[u8], kind: u16) -> io::Result<&[u8]> {
    let length = answer.get(..4).and_then(read_u32).ok_or_else(short)?;
    let found = answer.get(4..6).and_then(read_u16).ok_or_else(short)?;
    let body = answer.get(HEADER..length as usize).ok_or_else(short)?;
    if found == NLMSG_ERROR {
        let code = body.get(..4).and_then(read_u32).unwrap_or_default().cast_signed();
        return Err(io::Error::from_raw_os_error(code.saturating_neg()));
    }
    if found == kind { Ok(body) } else { Err(io::Error::other(format!("an answer of kind {found}"))) }
}

fn short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the kernel's answer is cut")
}

pub(super) fn push_attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

pub(super) fn read_u16(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

pub(super) fn read_u32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// `struct nlattr`s one behind the other. What is cut ends the list.
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Attributes<'a> {
    pub(super) fn find(self, kind: u16) -> Option<&'a [u8]> {
        self.into_iter().find_map(|(found, value)| (found == kind).then_some(value))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(self.0.get(..2).and_then(read_u16)?);
        // The two highest bits are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
        let kind = self.0.get(2..4).and_then(read_u16)? & 0x3fff;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_attribute(&mut bytes, kind, value);
        bytes
    }

    #[test]
    fn a_vlan_device_that_is_a_bridge_port_with_a_program() {
        let data = attribute(1, &100u16.to_ne_bytes());
        let info =
            [attribute(1, b"vlan\0"), attribute(0x8000 | 2, &data), attribute(4, b"bridge\0")].concat();
        let xdp = [attribute(2, &[1]), attribute(4, &77u32.to_ne_bytes())].concat();
        let link = [
            attribute(3, b"eth0.100\0"),
            attribute(5, &4u32.to_ne_bytes()),
            attribute(10, &9u32.to_ne_bytes()),
            attribute(18, &info),
            attribute(0x8000 | 43, &xdp),
        ]
        .concat();
        let expected = LinkInfo {
            kind: Some("vlan".into()),
            name: "eth0.100".into(),
            port_of: Some("bridge".into()),
            master: Some(9),
            lower: Some(4),
            vlan: Some(100),
            xdp: Some(XdpProgram { mode: "native", id: 77 }),
        };
        assert_eq!(parse_link(&link), expected);
        let elsewhere = [link.as_slice(), &attribute(37, &[0; 4])].concat();
        assert_eq!(parse_link(&elsewhere).lower, None);
        // Cut anywhere, it is read as far as it goes.
        for end in 0..link.len() {
            parse_link(&link[..end]);
        }
    }

    #[test]
    fn no_program_is_no_program() {
        let link = attribute(43, &attribute(2, &[0]));
        assert_eq!(parse_link(&link), LinkInfo::default());
    }

    #[test]
    fn an_attribute_of_no_length_ends_the_list() {
        assert_eq!(Attributes(&[0, 0, 1, 0, 0, 0, 0, 0]).count(), 0);
        assert_eq!(Attributes(&[8, 0, 1, 0]).count(), 0);
    }

    #[test]
    fn errors_are_the_kernels() {
        let no_such = link_info(0x7fff_fff0).unwrap_err();
        assert_eq!(no_such.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn the_loopback_is_there() {
        let index: u32 =
            std::fs::read_to_string("/sys/class/net/lo/ifindex").unwrap().trim().parse().unwrap();
        let info = link_info(index).unwrap();
        assert_eq!(all_links().unwrap()[&index], info);
        assert_eq!((info.kind, info.master, info.vlan), (None, None, None));
        if let Some(features) = xdp_features(index) {
            assert!(!features.native(), "the loopback has no native XDP");
        }
    }
}
