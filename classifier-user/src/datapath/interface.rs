//! What the kernel says of an interface: sysfs, and rtnetlink for its XDP program.

use std::{
    fs,
    io::{self, Read as _},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

/// Hardware types (`ARPHRD_*`) whose frames begin with an Ethernet header.
const ETHERNET_TYPES: [u32; 2] = [1, 772];

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
}

/// Why an interface cannot be accounted.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// There is none of this name.
    #[error("there is no interface {name}; this machine has {}", there.join(", "))]
    Missing {
        /// The name asked for.
        name: String,
        /// Those that are there.
        there: Vec<String>,
    },
    /// Its frames have no Ethernet header.
    #[error("{name} carries no Ethernet frames (hardware type {hardware_type}): count on the Ethernet interface below it")]
    NotEthernet {
        /// The interface.
        name: String,
        /// `ARPHRD_*`.
        hardware_type: u32,
    },
}

fn sysfs(name: &str) -> PathBuf {
    Path::new("/sys/class/net").join(name)
}

fn number(name: &str, attribute: &str) -> Option<u32> {
    fs::read_to_string(sysfs(name).join(attribute)).ok()?.trim().parse().ok()
}

/// Names of all interfaces of this network namespace, sorted.
#[must_use]
pub fn names() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl Interface {
    /// The interface of this name, if its frames can be accounted.
    ///
    /// # Errors
    /// [`InterfaceError::Missing`], with the names that are there; [`InterfaceError::NotEthernet`].
    pub fn find(name: &str) -> Result<Self, InterfaceError> {
        let missing = || InterfaceError::Missing { name: name.to_owned(), there: names() };
        if name.is_empty() || name.contains('/') {
            return Err(missing());
        }
        let ifindex = number(name, "ifindex").ok_or_else(missing)?;
        let hardware_type = number(name, "type").ok_or_else(missing)?;
        if !ETHERNET_TYPES.contains(&hardware_type) {
            return Err(InterfaceError::NotEthernet { name: name.to_owned(), hardware_type });
        }
        Ok(Self { name: name.to_owned(), ifindex })
    }

    /// Bytes of the VLAN tags that this device takes off what it receives: 4 for each VLAN device it is.
    #[must_use]
    pub fn tag_bytes(&self) -> u16 {
        let mut name = self.name.clone();
        let mut bytes = 0;
        while is_vlan_device(&name) && bytes < 16 {
            bytes += 4;
            let Some(below) = lower(&name) else { break };
            name = below;
        }
        bytes
    }
}

/// Whether an interface is a VLAN device.
#[must_use]
pub fn is_vlan_device(name: &str) -> bool {
    fs::read_to_string(sysfs(name).join("uevent"))
        .is_ok_and(|uevent| uevent.lines().any(|line| line == "DEVTYPE=vlan"))
}

/// The interface below a stacked one.
#[must_use]
pub fn lower(name: &str) -> Option<String> {
    fs::read_dir(sysfs(name)).ok()?.flatten().find_map(|entry| {
        entry.file_name().to_str().and_then(|file| file.strip_prefix("lower_")).map(str::to_owned)
    })
}

const IFLA_XDP: u16 = 43;
const IFLA_XDP_PROG_ID: u16 = 4;
/// Native, generic and offloaded programs of an interface that has several.
const IFLA_XDP_IDS_BY_MODE: std::ops::RangeInclusive<u16> = 5..=7;
const HEADER: usize = 16;
const LINK_MESSAGE: usize = 16;

/// The id of an interface's XDP program; `None` where there is none or the kernel does not say.
#[must_use]
pub fn xdp_program(name: &str) -> Option<u32> {
    let ifindex = number(name, "ifindex")?;
    let answer = link_message(ifindex).ok()?;
    let attributes = answer.get(HEADER + LINK_MESSAGE..)?;
    let xdp = attribute(attributes, |kind| kind == IFLA_XDP)?;
    attribute(xdp, |kind| kind == IFLA_XDP_PROG_ID)
        .or_else(|| attribute(xdp, |kind| IFLA_XDP_IDS_BY_MODE.contains(&kind)))
        .and_then(|id| Some(u32::from_ne_bytes(id.get(..4)?.try_into().ok()?)))
        .filter(|&id| id != 0)
}

/// The first attribute whose kind is `wanted`, of a run of netlink attributes.
fn attribute(mut attributes: &[u8], wanted: impl Fn(u16) -> bool) -> Option<&[u8]> {
    const NESTED: u16 = 1 << 15;
    loop {
        let (len, kind) = attributes.get(..4).map(|head| {
            (u16::from_ne_bytes([head[0], head[1]]) as usize, u16::from_ne_bytes([head[2], head[3]]) & !NESTED)
        })?;
        let value = attributes.get(4..len)?;
        if wanted(kind) {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
}

/// Asks rtnetlink for one link (`RTM_GETLINK`), and gives back the whole answer.
fn link_message(ifindex: u32) -> io::Result<Vec<u8>> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that nobody else has.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut request = Vec::with_capacity(HEADER + LINK_MESSAGE);
    request.extend(((HEADER + LINK_MESSAGE) as u32).to_ne_bytes());
    request.extend(libc::RTM_GETLINK.to_ne_bytes());
    request.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    request.extend([0; 8]);
    request.extend([0; 4]);
    request.extend(ifindex.to_ne_bytes());
    request.extend([0; 8]);
    // SAFETY: the buffer is as long as it says.
    let sent = unsafe { libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut answer = vec![0; 32 * 1024];
    let len = fs::File::from(socket).read(&mut answer)?;
    answer.truncate(len);
    Ok(answer)
}
