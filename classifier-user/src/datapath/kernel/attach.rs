//! Putting programs on interfaces, and saying which way they went there.

use std::{io, path::Path};

use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, TcAttachType,
        links::{FdLink, LinkError, PinnedLink},
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
        xdp::{XdpLink, XdpMode},
    },
};
use classifier_common::abi::{Hook, programs};

use super::{
    conflict,
    object::{self, LoadError},
    pins::PinError,
    place::FilterPlace,
    probe, sys,
};
use crate::{
    datapath::netlink_tc::{self, Filter},
    model::Mode,
};

/// How receive is to be attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpChoice {
    /// Native XDP where the driver has it, else TC ingress; what was taken is said.
    #[default]
    Auto,
    /// Native XDP or nothing.
    Native,
    /// XDP in the stack, after GRO: inexact.
    Generic,
    /// TC ingress.
    Tc,
}

impl XdpChoice {
    /// Whether what receives in this mode already will do.
    #[must_use]
    pub fn takes(self, mode: Mode) -> bool {
        match self {
            Self::Auto => mode != Mode::Generic,
            Self::Native => mode == Mode::Native,
            Self::Generic => mode == Mode::Generic,
            Self::Tc => matches!(mode, Mode::Tc | Mode::Tcx),
        }
    }
}

/// How TC programs are to be attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcChoice {
    /// TCX where the kernel has it (6.6), else clsact.
    #[default]
    Auto,
    /// Filters of a clsact qdisc, as on older kernels.
    Clsact,
}

/// Why a hook could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Another XDP program is there. It was not touched.
    #[error(
        "{interface} has an XDP program already{}: it stays as it is; take it off, or count at TC ingress with \
         --xdp-mode tc",
        describe(program)
    )]
    Occupied {
        /// The interface.
        interface: String,
        /// Its program's id and name, as far as the kernel tells.
        program: Option<Foreign>,
    },
    /// Another XDP program is on a device above, and excludes one on this. It was not touched.
    #[error(
        "{above}, above {interface}, has an XDP program already{}: it stays as it is; take it off, or count at TC ingress \
         with --xdp-mode tc",
        describe(program)
    )]
    Above {
        /// The interface.
        interface: String,
        /// The device above it.
        above: String,
        /// Its program's id and name, as far as the kernel tells.
        program: Option<Foreign>,
    },
    /// This agent runs on the interface already.
    #[error(
        "another classifier counts on {interface} already{}: stop it first, or `classifier detach`; what a service left \
         counting, `--keep` goes on with",
        describe(program)
    )]
    Twice {
        /// The interface.
        interface: String,
        /// The program found.
        program: Option<Foreign>,
    },
    /// XDP on it would run on its members.
    #[error(
        "{interface} is a {kind}: XDP would run on its members, as a program of theirs; give every member, or count \
         {interface} at TC ingress (--xdp-mode auto)"
    )]
    Bond {
        /// The interface.
        interface: String,
        /// `bond` or `team`.
        kind: String,
    },
    /// The driver has no native XDP, and nothing else was permitted.
    #[error("{interface} does not take native XDP ({}); --xdp-mode auto counts at TC ingress instead", chain_of(source.as_ref()))]
    NoNative {
        /// The interface.
        interface: String,
        /// What the driver said.
        source: Box<ProgramError>,
    },
    /// There is no place for the program on transmit. Nothing was touched.
    #[error(
        "{interface} has the qdisc `{qdisc}`, which has no side of transmit: `clsact` in its place takes the same filters and          has one; kernels from 6.6 on need none"
    )]
    NoTransmit {
        /// The interface.
        interface: String,
        /// The qdisc.
        qdisc: String,
    },
    /// The kernel refused.
    #[error("{interface}: could not attach {what}: {}", chain_of(source.as_ref()))]
    Refused {
        /// The interface.
        interface: String,
        /// Program and hook.
        what: &'static str,
        /// What the kernel said.
        source: Box<ProgramError>,
    },
    /// The object lacks the program.
    #[error(transparent)]
    Object(#[from] LoadError),
    /// The place on the hook could not be kept, or what was kept there not be taken over.
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// A program that is not this agent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its id, as bpftool shows it.
    pub id: u32,
    /// Its name, where privileges let us see it.
    pub name: Option<String>,
}

fn describe(program: &Option<Foreign>) -> String {
    match program {
        None => String::new(),
        Some(Foreign { id, name: None }) => format!(" (program id {id})"),
        Some(Foreign { id, name: Some(name) }) => format!(" (program id {id}, {name})"),
    }
}

/// An attached hook; dropping it detaches.
pub enum Attached {
    /// XDP.
    Xdp(XdpLink),
    /// TCX.
    Tcx(SchedClassifierLink),
    /// A filter of a clsact qdisc.
    Filter(FilterPlace),
}

/// How TC programs are attached to an interface.
pub(super) struct Tc<'c> {
    pub(super) choice: TcChoice,
    /// Notes that the clsact qdisc is this agent's, or is not.
    pub(super) claim: &'c mut dyn FnMut(bool) -> Result<(), PinError>,
}

/// A hook that was just attached.
pub(super) struct Fresh {
    pub(super) attached: Attached,
    pub(super) mode: Mode,
    /// Why native XDP was not taken, where it was asked for and was not.
    pub(super) why: Option<String>,
    /// Whether the interface has its clsact qdisc from this.
    pub(super) qdisc: bool,
}

/// Attaches receive.
pub(super) fn receive(
    ebpf: &mut Ebpf,
    interface: &str,
    ifindex: u32,
    choice: XdpChoice,
    tc: Tc<'_>,
) -> Result<Fresh, AttachError> {
    let bond = conflict::look(interface, ifindex, Hook::Rx, choice, &[])?;
    if bond.is_some() {
        return classifier(ebpf, interface, ifindex, Hook::Rx, tc).map(|fresh| Fresh { why: bond, ..fresh });
    }
    let native = match choice {
        XdpChoice::Tc => None,
        XdpChoice::Generic => {
            let attached =
                xdp(ebpf, interface, ifindex, XdpMode::Skb)?.map_err(|source| AttachError::Refused {
                    interface: interface.to_owned(),
                    what: "generic XDP",
                    source: Box::new(source),
                })?;
            return Ok(Fresh { attached, mode: Mode::Generic, why: None, qdisc: false });
        }
        XdpChoice::Auto | XdpChoice::Native => Some(xdp(ebpf, interface, ifindex, XdpMode::Driver)?),
    };
    let why = match native {
        Some(Ok(attached)) => return Ok(Fresh { attached, mode: Mode::Native, why: None, qdisc: false }),
        Some(Err(source)) if choice == XdpChoice::Native => {
            return Err(AttachError::NoNative { interface: interface.to_owned(), source: Box::new(source) });
        }
        Some(Err(source)) => Some(chain(&source)),
        None => None,
    };
    let fresh = classifier(ebpf, interface, ifindex, Hook::Rx, tc)?;
    Ok(Fresh { why, ..fresh })
}

/// Attaches transmit.
pub(super) fn transmit(
    ebpf: &mut Ebpf,
    interface: &str,
    ifindex: u32,
    tc: Tc<'_>,
) -> Result<Fresh, AttachError> {
    conflict::look(interface, ifindex, Hook::Tx, XdpChoice::Tc, &[])?;
    classifier(ebpf, interface, ifindex, Hook::Tx, tc)
}

/// The TC program of a hook, and the way to it.
pub(super) const fn of_tc(hook: Hook) -> (&'static str, TcAttachType) {
    match hook {
        Hook::Rx => (programs::TC_RX, TcAttachType::Ingress),
        Hook::Tx => (programs::TC_TX, TcAttachType::Egress),
    }
}

/// Pins a fresh place on a hook, so that it outlives this process. A filter does that by itself.
pub(super) fn pin(attached: Attached, path: &Path) -> Result<Attached, AttachError> {
    let failed = |error: &dyn std::error::Error| PinError::Io {
        what: "pinning a link",
        path: path.to_owned(),
        source: io::Error::other(chain_of(error)),
    };
    let pinned = |link: Result<FdLink, LinkError>| match link {
        Ok(link) => link.pin(path).map(FdLink::from).map_err(|error| failed(&error)),
        Err(error) => Err(failed(&error)),
    };
    Ok(match attached {
        Attached::Xdp(link) => {
            let link = XdpLink::try_from(pinned(link.try_into())?);
            Attached::Xdp(link.map_err(|error| failed(&error))?)
        }
        Attached::Filter(place) => Attached::Filter(place),
        Attached::Tcx(link) => {
            let link = SchedClassifierLink::try_from(pinned(link.try_into())?);
            Attached::Tcx(link.map_err(|error| failed(&error))?)
        }
    })
}

/// The place on a hook that is pinned there.
pub(super) fn pinned(path: &Path, kind: u32) -> Result<Attached, AttachError> {
    let link = PinnedLink::from_pin(path).map(FdLink::from);
    let attached = link.and_then(|link| match kind {
        sys::XDP_LINK => XdpLink::try_from(link).map(Attached::Xdp),
        _ => SchedClassifierLink::try_from(link).map(Attached::Tcx),
    });
    attached.map_err(|error| {
        let source = io::Error::other(chain_of(&error));
        PinError::Io { what: "taking over a pinned link", path: path.to_owned(), source }.into()
    })
}

/// The place on a hook that a filter is.
pub(super) fn filter(
    interface: &str,
    ifindex: u32,
    hook: Hook,
    filter: &Filter,
) -> Result<Attached, AttachError> {
    FilterPlace::found(interface, ifindex, hook, filter).map(Attached::Filter).map_err(|source| {
        AttachError::Refused {
            interface: interface.to_owned(),
            what: "the clsact filter",
            source: Box::new(ProgramError::IOError(source)),
        }
    })
}

/// Lets go of a place on a hook, which stays.
pub(super) fn let_go(attached: Attached) {
    match attached {
        Attached::Filter(place) => place.let_go(),
        Attached::Tcx(_) | Attached::Xdp(_) => {}
    }
}

/// Puts this object's program in the place of the one that is attached.
pub(super) fn hand_over(ebpf: &mut Ebpf, attached: Attached, hook: Hook) -> Result<Attached, AttachError> {
    match attached {
        Attached::Xdp(link) => {
            let program = object::xdp(ebpf, programs::XDP_RX)?;
            let link = program.attach_to_link(link).and_then(|id| program.take_link(id));
            link.map(Attached::Xdp).map_err(not_handed_over)
        }
        Attached::Tcx(link) => hand_over_tc(ebpf, link, hook).map(Attached::Tcx),
        Attached::Filter(place) => place.hand_over(ebpf).map(Attached::Filter),
    }
}

/// The same on TC.
pub(super) fn hand_over_tc(
    ebpf: &mut Ebpf,
    link: SchedClassifierLink,
    hook: Hook,
) -> Result<SchedClassifierLink, AttachError> {
    let program = object::classifier(ebpf, of_tc(hook).0)?;
    program.attach_to_link(link).and_then(|id| program.take_link(id)).map_err(not_handed_over)
}

pub(super) fn not_handed_over(source: ProgramError) -> AttachError {
    AttachError::Refused {
        interface: "the same hook".to_owned(),
        what: "the program in the place of the one before",
        source: Box::new(source),
    }
}

/// The number of the program that counts at `hook` in this mode.
pub(super) fn program_id(ebpf: &mut Ebpf, hook: Hook, mode: Mode) -> Option<u32> {
    let info = match (hook, mode) {
        (Hook::Rx, Mode::Native | Mode::Generic) => object::xdp(ebpf, programs::XDP_RX).ok()?.info(),
        (Hook::Rx, Mode::Tc | Mode::Tcx) => object::classifier(ebpf, programs::TC_RX).ok()?.info(),
        (Hook::Tx, _) => object::classifier(ebpf, programs::TC_TX).ok()?.info(),
    };
    info.ok().map(|info| info.id())
}

/// Tries XDP. A program of somebody else is the outer error; a driver that cannot is the inner one.
fn xdp(
    ebpf: &mut Ebpf,
    interface: &str,
    ifindex: u32,
    mode: XdpMode,
) -> Result<Result<Attached, ProgramError>, AttachError> {
    let program = object::xdp(ebpf, programs::XDP_RX)?;
    let error = match program.attach(interface, mode).and_then(|id| program.take_link(id)) {
        Ok(link) => return Ok(Ok(Attached::Xdp(link))),
        Err(error) => error,
    };
    if !matches!(os_error(&error), Some(libc::EBUSY | libc::EEXIST)) {
        return Ok(Err(error));
    }
    // One that came just now, or that only the kernel sees in the way; else a driver has reasons of its own.
    conflict::with_xdp(interface, ifindex).map_or(Ok(Err(error)), Err)
}

/// A filter's handle where the agent made the qdisc too: whoever takes the filter off takes that away as well.
pub(super) const MADE_QDISC: TcHandle = TcHandle::new(0, 2);

fn classifier(
    ebpf: &mut Ebpf,
    interface: &str,
    ifindex: u32,
    hook: Hook,
    tc: Tc<'_>,
) -> Result<Fresh, AttachError> {
    let (name, side) = of_tc(hook);
    let refused = |what| {
        move |source: ProgramError| AttachError::Refused {
            interface: interface.to_owned(),
            what,
            source: Box::new(source),
        }
    };
    let program = object::classifier(ebpf, name)?;
    if tc.choice == TcChoice::Auto {
        // The first in both directions: behind a program that accepts, drops or redirects nothing is seen any more.
        let tcx = program
            .attach_with_options(interface, side, TcAttachOptions::TcxOrder(LinkOrder::first()))
            .and_then(|id| program.take_link(id));
        match tcx {
            Ok(link) => {
                let attached = Attached::Tcx(link);
                return Ok(Fresh { attached, mode: Mode::Tcx, why: None, qdisc: false });
            }
            // Before 6.6 there is no TCX, and the kernel does not know the attach type.
            Err(_) if probe::has_tcx() == Some(false) => {}
            Err(source) => return Err(refused("the TCX program")(source)),
        }
    }
    (tc.claim)(true)?;
    let qdisc = match tc::qdisc_add_clsact(interface) {
        // The other hook's, or somebody else's: it is shared.
        Err(tc::TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {
            (tc.claim)(false)?;
            conflict::refuse_without_transmit(interface, ifindex)?;
            false
        }
        added => {
            added.map(|()| true).map_err(|error| refused("the clsact qdisc")(ProgramError::TcError(error)))?
        }
    };
    let handle = if qdisc { MADE_QDISC } else { TcHandle::AUTO_ASSIGN };
    let priority = netlink_tc::free_priority(ifindex, hook);
    let options = TcAttachOptions::Netlink(NlOptions { handle, priority, ..NlOptions::default() });
    let place = program
        .attach_with_options(interface, side, options)
        .and_then(|id| program.take_link(id))
        .and_then(|link| Ok(FilterPlace::new(link, ifindex, hook, program.info()?.id())?));
    match place {
        Ok(place) => Ok(Fresh { attached: Attached::Filter(place), mode: Mode::Tc, why: None, qdisc }),
        Err(error) => {
            if qdisc && netlink_tc::remove_idle_clsact(ifindex).unwrap_or_default() {
                (tc.claim)(false)?;
            }
            Err(refused("the clsact filter")(error))
        }
    }
}

fn os_error(error: &ProgramError) -> Option<i32> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.raw_os_error();
        }
        next = error.source();
    }
    None
}

/// An error and its causes in one line.
fn chain_of(error: &dyn std::error::Error) -> String {
    match error.source() {
        None => error.to_string(),
        Some(source) => format!("{error}: {}", chain(source)),
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::Kernel, *};
    use crate::datapath::Sizes;

    /// Whoever is killed in between has said of the qdisc that it is its own.
    #[test]
    fn kernel_a_qdisc_is_claimed_before_it_is_made() {
        let sizes = Sizes { classes: 64, v4_rows: 1, v6_rows: 1, v6_nodes: 1 };
        let attached = move |claim: &mut dyn FnMut(bool) -> Result<(), PinError>| {
            let mut kernel = Kernel::load(&sizes, &[]).expect("loaded");
            let tc = Tc { choice: TcChoice::Clsact, claim };
            classifier(&mut kernel.ebpf, "lo", 1, Hook::Tx, tc).map(|fresh| fresh.qdisc)
        };
        std::thread::spawn(move || {
            // SAFETY: concerns this thread only.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "kernel tests need root");
            let mut said = Vec::new();
            let killed = attached(&mut |made| {
                said.push(made);
                Err(PinError::Running { instance: "killed".to_owned() })
            });
            assert!(killed.is_err() && said == [true], "{said:?}");
            assert!(netlink_tc::remove_idle_clsact(1).is_err(), "there is none");
            for (claims, made) in [(vec![true], true), (vec![true, false], false)] {
                let mut said = Vec::new();
                let done = attached(&mut |made| {
                    said.push(made);
                    Ok(())
                });
                // The filter is gone with it, and the qdisc is there still.
                assert_eq!((done.expect("attached"), said), (made, claims));
            }
        })
        .join()
        .expect("it is so");
    }
}
