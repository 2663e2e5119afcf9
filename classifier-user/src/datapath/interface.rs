//! What the kernel says of an interface: sysfs, and rtnetlink for its XDP program.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::netlink;

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
    #[error(
        "{name} carries no Ethernet frames (hardware type {hardware_type}): count on the Ethernet interface below it"
    )]
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
    // There are files among them, such as `bonding_masters`.
    let interfaces = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<_> =
        interfaces.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The index of the interface of this name.
#[must_use]
pub fn index(name: &str) -> Option<u32> {
    number(name, "ifindex")
}

/// The name of the interface with this index.
#[must_use]
pub fn name_of(ifindex: u32) -> Option<String> {
    netlink::link_info(ifindex).ok().map(|info| info.name)
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

/// The id of an interface's XDP program; `None` where there is none or the kernel does not say.
#[must_use]
pub fn xdp_program(name: &str) -> Option<u32> {
    let info = netlink::link_info(number(name, "ifindex")?).ok()?;
    info.xdp.map(|program| program.id).filter(|&id| id != 0)
}
