//! What is in the way of this agent's programs: somebody else's, another agent's, and devices whose XDP is another's.

use std::io;

use aya::programs::ProgramError;
use classifier_common::abi::{Hook, programs};

use super::{
    attach::{AttachError, Foreign, XdpChoice, of_tc},
    held, names,
};
use crate::datapath::{
    netlink::{self, LinkInfo, XdpProgram},
    netlink_tc,
};

/// Kinds of devices whose XDP is their members'.
pub(crate) const BONDS: [&str; 2] = ["bond", "team"];

/// Sees whether a hook of an interface can be attached to, as far as that can be told without trying: attaching XDP sets the
/// rings of many drivers up anew, and is not done in vain. `leaving` are programs that go before. Says why receive is counted at
/// TC where XDP may be there, if so.
pub(super) fn look(
    interface: &str,
    ifindex: u32,
    hook: Hook,
    choice: XdpChoice,
    leaving: &[u32],
) -> Result<Option<String>, AttachError> {
    refuse_twice(interface, ifindex, hook, leaving)?;
    if hook == Hook::Tx || choice == XdpChoice::Tc {
        return Ok(None);
    }
    let info = netlink::link_info(ifindex).unwrap_or_default();
    // A bond's program runs on its members, as one of theirs: nothing would be found of the bond's links.
    if let Some(kind) = info.kind.filter(|kind| BONDS.contains(&kind.as_str())) {
        return match choice {
            XdpChoice::Auto => Ok(Some(format!("it is a {kind}, and XDP would see its members"))),
            _ => Err(AttachError::Bond { interface: interface.to_owned(), kind }),
        };
    }
    if let Some(id) = in_the_way(info.xdp.as_ref()).filter(|id| !leaving.contains(id)) {
        return Err(occupied(interface, id));
    }
    let master = info.master.and_then(|master| netlink::link_info(master).ok());
    if let Some(error) = master.and_then(|above| occupied_above(interface, &above)) {
        return Err(error);
    }
    if choice == XdpChoice::Native
        && netlink::xdp_features(ifindex).is_some_and(|features| !features.native())
    {
        let source = Box::new(ProgramError::IOError(io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
        return Err(AttachError::NoNative { interface: interface.to_owned(), source });
    }
    Ok(None)
}

/// The number of a program beside which the kernel takes no other; 0 where there are several. One that runs on the card
/// itself is not in the way.
fn in_the_way(program: Option<&XdpProgram>) -> Option<u32> {
    program.filter(|program| program.mode != "offloaded").map(|program| program.id)
}

fn foreign(id: u32) -> Option<Foreign> {
    (id != 0).then(|| Foreign { id, name: names::of(id) })
}

/// An XDP program is there already, of this number.
fn occupied(interface: &str, id: u32) -> AttachError {
    let program = foreign(id);
    let interface = interface.to_owned();
    let ours = program.as_ref().and_then(|program| program.name.as_deref()).is_some_and(is_ours);
    if ours {
        AttachError::Twice { interface, program }
    } else {
        AttachError::Occupied { interface, program }
    }
}

/// A device above has an XDP program: the kernel takes none below it.
fn occupied_above(interface: &str, above: &LinkInfo) -> Option<AttachError> {
    let program = foreign(in_the_way(above.xdp.as_ref())?);
    Some(AttachError::Above { interface: interface.to_owned(), above: above.name.clone(), program })
}

/// The program for which the kernel takes no other XDP program on an interface, as far as one is found: on it, on what it is
/// a port of, or on VLAN devices and the like.
pub(super) fn with_xdp(interface: &str, ifindex: u32) -> Option<AttachError> {
    let links = netlink::all_links().ok()?;
    let info = links.get(&ifindex)?;
    // A veth's peer is not above it.
    let is_on_it = |info: &LinkInfo| info.lower == Some(ifindex) && info.kind.as_deref() != Some("veth");
    let above = info.master.and_then(|master| links.get(&master)).into_iter();
    let mut above = above.chain(links.values().filter(|info| is_on_it(info)));
    let found = in_the_way(info.xdp.as_ref()).map(|id| occupied(interface, id));
    found.or_else(|| above.find_map(|above| occupied_above(interface, above)))
}

/// Sees whether there is a place for transmit where filters are used.
pub(super) fn refuse_without_transmit(interface: &str, ifindex: u32) -> Result<(), AttachError> {
    // Where the kernel does not answer, attaching finds out.
    match netlink_tc::in_place_of_clsact(ifindex).unwrap_or_default() {
        None => Ok(()),
        Some(qdisc) => Err(AttachError::NoTransmit { interface: interface.to_owned(), qdisc }),
    }
}

/// Whether a program of this name is this agent's, or another one's of its kind. The kernel keeps 15 characters of it.
pub(crate) fn is_ours(name: &str) -> bool {
    [programs::XDP_RX, programs::TC_RX, programs::TC_TX]
        .iter()
        .any(|ours| ours.as_bytes().iter().take(15).eq(name.as_bytes().iter()))
}

/// TC would take the same program a second time, and every frame would count twice.
fn refuse_twice(interface: &str, ifindex: u32, hook: Hook, leaving: &[u32]) -> Result<(), AttachError> {
    let (ours, _) = of_tc(hook);
    let kept = |name: &str| ours.as_bytes().iter().take(15).eq(name.as_bytes().iter().take(15));
    let tcx = held::tcx_programs(ifindex, hook).unwrap_or_default();
    let tcx =
        tcx.into_iter().find(|id| !leaving.contains(id) && names::of(*id).is_some_and(|name| kept(&name)));
    let filters = || netlink_tc::filters(ifindex, hook).unwrap_or_default();
    let clsact = || {
        let mut programs = filters().into_iter().filter_map(|filter| filter.program);
        programs.find(|(name, id)| !leaving.contains(id) && kept(name))
    };
    tcx.or_else(|| clsact().map(|(_, id)| id)).map_or(Ok(()), |id| {
        let program = Some(Foreign { id, name: Some(ours.to_owned()) });
        Err(AttachError::Twice { interface: interface.to_owned(), program })
    })
}
