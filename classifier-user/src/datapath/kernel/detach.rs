//! Taking this program off a machine, whoever put it there.

use std::{
    collections::HashSet,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use aya::programs::{SchedClassifier, TcAttachType, loaded_links, loaded_programs, tc};
use classifier_common::abi::programs;

use super::attach::is_ours;
use crate::datapath::{DatapathError, interface};

const BPF_LINK_GET_FD_BY_ID: libc::c_long = 30;
const BPF_LINK_DETACH: libc::c_long = 34;

/// Detaches every program of this name from every interface of this network namespace, also those of an agent that
/// runs: it goes on, and counts nothing more. Says what was detached, a line each.
///
/// # Errors
/// Links of others are found by number only with CAP_SYS_ADMIN.
pub fn detach_all() -> Result<Vec<String>, DatapathError> {
    let failed = |call| move |source: io::Error| DatapathError::System { call, source };
    let mut ours = Vec::new();
    for program in loaded_programs() {
        let program = program.map_err(|error| failed("listing BPF programs")(io::Error::other(error)))?;
        if let Some(name) = program.name_as_str().filter(|name| is_ours(name)) {
            ours.push((program.id(), name.to_owned()));
        }
    }
    let mut done = Vec::new();
    let here = programs_here();
    for link in loaded_links() {
        let link = link.map_err(|error| failed("listing BPF links")(io::Error::other(error)))?;
        let Some((id, name)) = ours.iter().find(|(id, _)| *id == link.program_id()) else { continue };
        if !here.contains(id) {
            continue;
        }
        detach_link(link.id()).map_err(failed("detaching a BPF link"))?;
        done.push(format!("detached {name} (program {id}, link {})", link.id()));
    }
    // Before TCX there are filters, and no links.
    for name in interface::names() {
        for (hook, program) in
            [(TcAttachType::Ingress, programs::TC_RX), (TcAttachType::Egress, programs::TC_TX)]
        {
            if tc::qdisc_detach_program(&name, hook, program).is_ok() {
                done.push(format!("detached {program} (filter of {name})"));
            }
        }
    }
    Ok(done)
}

/// Numbers of the programs on this network namespace's interfaces. The kernel lists links of all namespaces, and does
/// not say of which they are; but an agent's programs are on interfaces of one namespace only.
fn programs_here() -> HashSet<u32> {
    let mut here = HashSet::new();
    for name in interface::names() {
        here.extend(interface::xdp_program(&name));
        for hook in [TcAttachType::Ingress, TcAttachType::Egress] {
            // Before TCX there is nothing to ask.
            let Ok((_, attached)) = SchedClassifier::query_tcx(&name, hook) else { continue };
            here.extend(attached.iter().map(|program| program.id()));
        }
    }
    here
}

/// `union bpf_attr`, as far as the two link commands read it.
#[repr(C)]
#[derive(Default)]
struct LinkAttr {
    id_or_fd: u32,
    padding: [u32; 3],
}

fn command(command: libc::c_long, id_or_fd: u32) -> io::Result<RawFd> {
    let mut attr = LinkAttr { id_or_fd, ..LinkAttr::default() };
    // SAFETY: the attributes live through the call and are as long as is said.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attr, size_of::<LinkAttr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
}

/// `BPF_LINK_DETACH` (kernel 5.9).
fn detach_link(id: u32) -> io::Result<()> {
    let fd = command(BPF_LINK_GET_FD_BY_ID, id)?;
    // SAFETY: a descriptor that nobody else has.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    command(BPF_LINK_DETACH, fd.as_raw_fd() as u32).map(drop)
}
