//! Links that would see the same frames.

use std::collections::{BTreeMap, BTreeSet};

use super::netlink;
use crate::model::Link;

/// Two links of a plan that see the same frames: these would be counted on both.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overlap {
    /// A VLAN device, and the trunk below it.
    #[error(
        "{device} is VLAN {vlan} of {trunk}, which is a link too: its frames would be counted on both. Give \
         {trunk}:vlan={vlan} in place of {device}: what has a link of its own is not counted with the rest of {trunk}"
    )]
    Vlan {
        /// The VLAN device.
        device: String,
        /// Its VLAN.
        vlan: u16,
        /// The device below it.
        trunk: String,
    },
    /// A bond, or the like, and one of its members.
    #[error(
        "{member} is a member of {master}, and both are links: its frames would be counted on both. Give {master}, or \
         each of its members, and not both"
    )]
    Member {
        /// The member.
        member: String,
        /// What it is a member of.
        master: String,
    },
    /// A bridge, and one of its ports.
    #[error(
        "{port} is a port of the bridge {bridge}, and both are links: what this machine itself sends and receives would \
         be counted on both. Give the ports, and leave {bridge} out"
    )]
    Port {
        /// The port.
        port: String,
        /// Its bridge.
        bridge: String,
    },
    /// Devices with others between them.
    #[error(
        "frames of {device} pass {below}, and both are links: these would be counted on both. Leave one of them out"
    )]
    Below {
        /// The upper one.
        device: String,
        /// What its frames pass.
        below: String,
    },
}

impl Overlap {
    /// Whether one of the two is of this interface.
    pub(crate) fn concerns(&self, interface: &str) -> bool {
        let two = match self {
            Self::Vlan { device, trunk, .. } => [device, trunk],
            Self::Member { member, master } => [member, master],
            Self::Port { port, bridge } => [port, bridge],
            Self::Below { device, below } => [device, below],
        };
        two.iter().any(|name| *name == interface)
    }
}

/// What of an interface decides it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The device that all its frames pass, and the VLAN that they have there.
    pub(crate) below: Option<(String, Option<u16>)>,
    /// What it is a port of: kind and name.
    pub(crate) port_of: Option<(String, String)>,
}

/// Where interfaces are, by their names.
pub(crate) type Positions = BTreeMap<String, Position>;

/// All that overlaps.
pub(crate) fn all(links: &[Link], positions: &Positions) -> Vec<Overlap> {
    let mut found = Vec::new();
    for link in links {
        for (passed, tag) in passed(link, positions) {
            let same = |other: &Link| {
                let vlans = other.vlan.zip(tag);
                other.interface == passed && vlans.is_none_or(|(one, other)| one == other)
            };
            if links.iter().any(same) {
                let overlap = between(link, passed, positions);
                if !found.contains(&overlap) {
                    found.push(overlap);
                }
            }
        }
    }
    found
}

/// All other devices that frames of a link pass, however many are between, and the outermost VLAN that they have there,
/// where that is known.
fn passed<'a>(link: &'a Link, positions: &'a Positions) -> Vec<(&'a str, Option<u16>)> {
    let mut found: Vec<(&str, Option<u16>)> = Vec::new();
    let mut seen: BTreeSet<&str> = [link.interface.as_str()].into();
    let mut next = vec![(link.interface.as_str(), link.vlan)];
    while let Some((name, tag)) = next.pop() {
        let position = positions.get(name);
        let below = position.and_then(|position| position.below.as_ref());
        let below = below.map(|(below, vlan)| (below.as_str(), vlan.or(tag)));
        let has = |position: &Position| {
            let port_of = position.port_of.as_ref();
            port_of.is_some_and(|(kind, of)| of == name && SHARING.contains(&kind.as_str()))
        };
        let ports = positions.iter().filter(|(_, position)| has(position));
        for step in below.into_iter().chain(ports.map(|(port, _)| (port.as_str(), tag))) {
            if seen.insert(step.0) {
                found.push(step);
                next.push(step);
            }
        }
    }
    found
}

/// Kinds of devices whose frames are also those of a port.
const SHARING: [&str; 3] = ["bond", "team", "bridge"];
/// Kinds of devices whose frames pass the device below as they are.
const SHARED: [&str; 4] = ["macvlan", "macvtap", "ipvlan", "ipvtap"];

/// What is said of a link whose frames pass this.
fn between(link: &Link, passed: &str, positions: &Positions) -> Overlap {
    let (device, below) = (link.interface.clone(), passed.to_owned());
    let position = |name: &str| positions.get(name).cloned().unwrap_or_default();
    match (position(&device).below, position(passed).port_of) {
        (Some((trunk, Some(vlan))), _) if trunk == below && link.vlan.is_none() => {
            Overlap::Vlan { device, vlan, trunk }
        }
        (_, Some((kind, master))) if master == device => match kind.as_str() {
            "bridge" => Overlap::Port { port: below, bridge: master },
            _ => Overlap::Member { member: below, master },
        },
        _ => Overlap::Below { device, below },
    }
}

/// Where the interfaces of this machine are, as far as the kernel says.
pub(crate) fn positions() -> Positions {
    let links = netlink::all_links().unwrap_or_else(|error| {
        tracing::debug!(%error, "the kernel does not list the interfaces");
        BTreeMap::new()
    });
    let name_of = |index: u32| links.get(&index).map(|link| link.name.clone());
    let position = |info: &netlink::LinkInfo| {
        let shares = info.kind.as_deref().is_some_and(|kind| SHARED.contains(&kind));
        let below = info.lower.filter(|_| shares || info.vlan.is_some()).and_then(name_of);
        Position {
            below: below.map(|below| (below, info.vlan)),
            port_of: info.port_of.clone().zip(info.master.and_then(name_of)),
        }
    };
    links.values().map(|info| (info.name.clone(), position(info))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;

    fn links(links: &[(&str, Option<u16>)]) -> Vec<Link> {
        let link = |&(interface, vlan): &(&str, Option<u16>)| Link {
            name: format!("{interface}{vlan:?}"),
            interface: interface.to_owned(),
            vlan,
            role: Role::Upstream,
            kind: None,
        };
        links.iter().map(link).collect()
    }

    #[test]
    fn what_sees_the_same_frames() {
        let below = |below: &str, vlan| Position { below: Some((below.into(), vlan)), port_of: None };
        let port = |kind: &str, of: &str| Position { below: None, port_of: Some((kind.into(), of.into())) };
        // eth1 and eth2 are bond0, with bond0.100 on it, which is a port of br1 with br1.5 on it.
        let positions: Positions = [
            ("eth0.100", below("eth0", Some(100))),
            ("eth0.100.200", below("eth0.100", Some(200))),
            ("eth1", port("bond", "bond0")),
            ("eth2", port("bond", "bond0")),
            (
                "bond0.100",
                Position { port_of: Some(("bridge".into(), "br1".into())), ..below("bond0", Some(100)) },
            ),
            ("br1.5", below("br1", Some(5))),
            ("eth3", port("bridge", "br0")),
            ("eth4", port("vrf", "blue")),
            ("mac0", below("eth3", None)),
            // No kernel says this.
            ("loop0", below("loop1", None)),
            ("loop1", below("loop0", None)),
        ]
        .map(|(name, position)| (name.to_owned(), position))
        .into();
        let of = |given: &[(&str, Option<u16>)]| all(&links(given), &positions);
        for (given, overlaps) in [
            (&[("eth0.100", None), ("eth0", None)][..], 1),
            (&[("eth0", Some(100)), ("eth0.100", None)], 1),
            (&[("eth0", Some(7)), ("eth0.100", None)], 0),
            (&[("eth0", None), ("eth0", Some(100))], 0),
            (&[("eth1", None), ("eth2", None)], 0),
            (&[("bond0", None), ("eth2", None)], 1),
            (&[("bond0", Some(1)), ("eth2", Some(2))], 0),
            (&[("bond0", Some(1)), ("eth2", Some(1)), ("eth2", Some(2))], 1),
            (&[("bond0", None), ("eth1", None), ("eth2", Some(2))], 2),
            // Several steps.
            (&[("eth0", None), ("eth0.100.200", None)], 1),
            (&[("eth0", Some(100)), ("eth0.100.200", None)], 1),
            (&[("eth0", Some(200)), ("eth0.100.200", None)], 0),
            (&[("eth0.100", Some(200)), ("eth0.100.200", None)], 1),
            (&[("eth0.100", Some(200)), ("eth0", Some(100))], 1),
            (&[("eth0.100", Some(9)), ("eth0.100.200", None)], 0),
            (&[("bond0.100", None), ("eth1", None)], 1),
            (&[("bond0.100", None), ("eth1", Some(7))], 0),
            (&[("br1.5", None), ("eth2", None)], 1),
            (&[("br1.5", None), ("bond0", Some(7))], 0),
            // Of a bridge, what this machine itself sends and receives.
            (&[("eth3", None), ("br0", None)], 1),
            (&[("eth3", None), ("eth0", None)], 0),
            (&[("eth4", None), ("blue", None)], 0),
            (&[("mac0", None), ("eth3", None)], 1),
            (&[("loop0", None), ("loop1", None)], 2),
        ] {
            assert_eq!(of(given).len(), overlaps, "{given:?}: {:?}", of(given));
        }
        for (given, said) in [
            ([("eth0.100", None), ("eth0", None)], "Give eth0:vlan=100 in place of eth0.100"),
            ([("eth2", None), ("bond0", None)], "eth2 is a member of bond0, and both are links"),
            ([("br0", None), ("eth3", None)], "Give the ports, and leave br0 out"),
            ([("eth1", None), ("bond0.100", None)], "frames of bond0.100 pass eth1, and both are links"),
            ([("eth0.100", Some(200)), ("eth0", None)], "frames of eth0.100 pass eth0, and both are links"),
        ] {
            let overlap = of(&given).remove(0);
            assert!(overlap.to_string().contains(said), "{overlap}");
            assert!(given.iter().all(|(interface, _)| overlap.concerns(interface)), "{overlap}");
            assert!(!overlap.concerns("eth9"));
        }
    }
}
