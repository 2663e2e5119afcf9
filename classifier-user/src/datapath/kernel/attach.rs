//! Putting programs on interfaces, and saying which way they went there.

use std::io;

use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions},
        xdp::{XdpLink, XdpMode},
    },
    util::KernelVersion,
};
use classifier_common::abi::{Hook, programs};

use super::object::{self, LoadError};
use crate::model::Mode;

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
    /// This agent runs on the interface already.
    #[error(
        "another classifier counts on {interface} already{}: stop it first, or `classifier detach`",
        describe(program)
    )]
    Twice {
        /// The interface.
        interface: String,
        /// The program found.
        program: Option<Foreign>,
    },
    /// The driver has no native XDP, and nothing else was permitted.
    #[error("{interface} does not take native XDP ({source}); --xdp-mode auto counts at TC ingress instead")]
    NoNative {
        /// The interface.
        interface: String,
        /// What the driver said.
        source: Box<ProgramError>,
    },
    /// The kernel refused.
    #[error("{interface}: could not attach {what}: {source}")]
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
    /// TCX or clsact.
    Tc(SchedClassifierLink),
}

/// Attaches receive. The text says why native XDP was not taken, where it was asked for and was not.
pub(super) fn receive(
    ebpf: &mut Ebpf,
    interface: &str,
    choice: XdpChoice,
    tc: TcChoice,
) -> Result<(Attached, Mode, Option<String>), AttachError> {
    refuse_twice(interface, TcAttachType::Ingress, programs::TC_RX)?;
    let native = match choice {
        XdpChoice::Tc => None,
        XdpChoice::Generic => {
            let attached = xdp(ebpf, interface, XdpMode::Skb)?.map_err(|source| AttachError::Refused {
                interface: interface.to_owned(),
                what: "generic XDP",
                source: Box::new(source),
            })?;
            return Ok((attached, Mode::Generic, None));
        }
        XdpChoice::Auto | XdpChoice::Native => Some(xdp(ebpf, interface, XdpMode::Driver)?),
    };
    let why = match native {
        Some(Ok(attached)) => return Ok((attached, Mode::Native, None)),
        Some(Err(source)) if choice == XdpChoice::Native => {
            return Err(AttachError::NoNative { interface: interface.to_owned(), source: Box::new(source) });
        }
        Some(Err(source)) => Some(chain(&source)),
        None => None,
    };
    let (attached, mode) = classifier(ebpf, interface, programs::TC_RX, TcAttachType::Ingress, tc)?;
    Ok((attached, mode, why))
}

/// Attaches transmit.
pub(super) fn transmit(
    ebpf: &mut Ebpf,
    interface: &str,
    tc: TcChoice,
) -> Result<(Attached, Mode), AttachError> {
    refuse_twice(interface, TcAttachType::Egress, programs::TC_TX)?;
    classifier(ebpf, interface, programs::TC_TX, TcAttachType::Egress, tc)
}

/// Puts this object's program in the place of the one that is attached.
pub(super) fn hand_over(ebpf: &mut Ebpf, attached: Attached, hook: Hook) -> Result<Attached, AttachError> {
    let refused = |source| AttachError::Refused {
        interface: "the same hook".to_owned(),
        what: "the programs of larger maps",
        source: Box::new(source),
    };
    match attached {
        Attached::Xdp(link) => {
            let program = object::xdp(ebpf, programs::XDP_RX)?;
            let link = program.attach_to_link(link).and_then(|id| program.take_link(id)).map_err(refused)?;
            Ok(Attached::Xdp(link))
        }
        Attached::Tc(link) => {
            let name = if hook == Hook::Rx { programs::TC_RX } else { programs::TC_TX };
            let program = object::classifier(ebpf, name)?;
            let link = program.attach_to_link(link).and_then(|id| program.take_link(id)).map_err(refused)?;
            Ok(Attached::Tc(link))
        }
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
    let program =
        crate::datapath::interface::xdp_program(interface).map(|id| Foreign { id, name: name_of(id) });
    let interface = interface.to_owned();
    let ours = program.as_ref().and_then(|program| program.name.as_deref()).is_some_and(is_ours);
    Err(if ours {
        AttachError::Twice { interface, program }
    } else {
        AttachError::Occupied { interface, program }
    })
}

/// The kernel keeps 15 characters of a program's name.
pub(super) fn is_ours(name: &str) -> bool {
    [programs::XDP_RX, programs::TC_RX, programs::TC_TX]
        .iter()
        .any(|ours| ours.as_bytes().iter().take(15).eq(name.as_bytes().iter()))
}

/// A program's name, where we may see it (CAP_SYS_ADMIN).
fn name_of(id: u32) -> Option<String> {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
}

/// TCX would take the same program a second time, and every frame would count twice.
fn refuse_twice(interface: &str, hook: TcAttachType, ours: &str) -> Result<(), AttachError> {
    let Ok((_, attached)) = SchedClassifier::query_tcx(interface, hook) else { return Ok(()) };
    let same = attached.iter().find(|program| {
        program.name_as_str().is_some_and(|name| ours.as_bytes().iter().take(15).eq(name.as_bytes().iter()))
    });
    same.map_or(Ok(()), |program| {
        let program = Some(Foreign { id: program.id(), name: Some(ours.to_owned()) });
        Err(AttachError::Twice { interface: interface.to_owned(), program })
    })
}

fn classifier(
    ebpf: &mut Ebpf,
    interface: &str,
    name: &'static str,
    hook: TcAttachType,
    choice: TcChoice,
) -> Result<(Attached, Mode), AttachError> {
    let refused = |what| {
        move |source: ProgramError| AttachError::Refused {
            interface: interface.to_owned(),
            what,
            source: Box::new(source),
        }
    };
    let program = object::classifier(ebpf, name)?;
    if choice == TcChoice::Auto {
        // First on ingress, before anybody drops or redirects; last on egress, when all is decided.
        let order = if hook == TcAttachType::Ingress { LinkOrder::first() } else { LinkOrder::last() };
        let tcx = program
            .attach_with_options(interface, hook, TcAttachOptions::TcxOrder(order))
            .and_then(|id| program.take_link(id));
        match tcx {
            Ok(link) => return Ok((Attached::Tc(link), Mode::Tcx)),
            // Before 6.6 there is no TCX, and the kernel does not know the attach type.
            Err(_) if KernelVersion::current().is_ok_and(|kernel| kernel < KernelVersion::new(6, 6, 0)) => {}
            Err(source) => return Err(refused("the TCX program")(source)),
        }
    }
    match tc::qdisc_add_clsact(interface) {
        // The other hook's, or somebody else's: it is shared.
        Err(tc::TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        added => added.map_err(|error| refused("the clsact qdisc")(ProgramError::TcError(error)))?,
    }
    program
        .attach_with_options(interface, hook, TcAttachOptions::Netlink(NlOptions::default()))
        .and_then(|id| program.take_link(id))
        .map(|link| (Attached::Tc(link), Mode::Tc))
        .map_err(refused("the clsact filter"))
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
