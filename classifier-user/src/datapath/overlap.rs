//! Links that would see the same frames.

use super::{
    interface::{index, name_of},
    netlink,
};
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
}

/// What of an interface decides it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Below a VLAN device: the trunk and the VLAN.
    pub(crate) trunk: Option<(String, u16)>,
    /// What it is a port of: kind and name.
    pub(crate) port_of: Option<(String, String)>,
}

/// The first two links that overlap. `position` says where an interface is.
pub(crate) fn first(links: &[Link], position: impl Fn(&str) -> Position) -> Option<Overlap> {
    links.iter().find_map(|link| {
        let Position { trunk, port_of } = position(&link.interface);
        if let Some((trunk, vlan)) = trunk
            && links
                .iter()
                .any(|other| other.interface == trunk && other.vlan.is_none_or(|other| other == vlan))
        {
            return Some(Overlap::Vlan { device: link.interface.clone(), vlan, trunk });
        }
        match port_of {
            Some((kind, master))
                if matches!(kind.as_str(), "bond" | "team")
                    && links.iter().any(|other| other.interface == master) =>
            {
                Some(Overlap::Member { member: link.interface.clone(), master })
            }
            _ => None,
        }
    })
}

/// Where an interface of this machine is.
pub(crate) fn position(name: &str) -> Position {
    let Some(info) = index(name).and_then(|ifindex| netlink::link_info(ifindex).ok()) else {
        return Position::default();
    };
    Position {
        trunk: info.vlan.and_then(|vlan| Some((name_of(info.lower?)?, vlan))),
        port_of: info.port_of.zip(info.master.and_then(name_of)),
    }
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
        let position = |name: &str| match name {
            "eth0.100" => Position { trunk: Some(("eth0".into(), 100)), port_of: None },
            "eth1" | "eth2" => Position { trunk: None, port_of: Some(("bond".into(), "bond0".into())) },
            "eth3" => Position { trunk: None, port_of: Some(("bridge".into(), "br0".into())) },
            _ => Position::default(),
        };
        for (given, overlaps) in [
            (&[("eth0.100", None), ("eth0", None)][..], true),
            (&[("eth0", Some(100)), ("eth0.100", None)], true),
            (&[("eth0", Some(7)), ("eth0.100", None)], false),
            (&[("eth0", None), ("eth0", Some(100))], false),
            (&[("eth1", None), ("eth2", None)], false),
            (&[("bond0", None), ("eth2", None)], true),
            // What a bridge itself receives has come in on a port, but that is another link of the user's own choice.
            (&[("eth3", None), ("eth0", None)], false),
        ] {
            assert_eq!(first(&links(given), position).is_some(), overlaps, "{given:?}");
        }
        let vlan = first(&links(&[("eth0.100", None), ("eth0", None)]), position).expect("an overlap");
        assert!(vlan.to_string().contains("Give eth0:vlan=100 in place of eth0.100"), "{vlan}");
    }
}
