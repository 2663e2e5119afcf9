//! What was attached, and whether it still is: `classifier detach`, another administrator or the interface's end may
//! have taken it off.

use std::{io, mem::offset_of};

use classifier_common::abi::Hook;

use super::attach::Attached;
use crate::{
    datapath::{netlink, netlink_tc},
    model::Mode,
};

/// An attached hook of an interface; dropping it detaches.
pub(super) struct Held {
    pub(super) attached: Attached,
    /// Whether an agent before this one attached it.
    pub(super) adopted: bool,
    pub(super) ifindex: u32,
    pub(super) hook: Hook,
    pub(super) mode: Mode,
    /// The program's number; `None` where the kernel did not say.
    pub(super) program: Option<u32>,
}

impl Held {
    /// Whether the kernel says that the program is no more on the interface. Needs CAP_NET_ADMIN; where the kernel
    /// does not answer, nothing is held against it.
    pub(super) fn is_gone(&self) -> bool {
        let Some(program) = self.program else { return false };
        let there = match self.mode {
            Mode::Native | Mode::Generic => netlink::link_info(self.ifindex)
                // Several programs on one interface (native and generic) have no number here.
                .map(|info| info.xdp.is_some_and(|xdp| xdp.id == program || xdp.id == 0)),
            Mode::Tcx => tcx_programs(self.ifindex, self.hook).map(|programs| programs.contains(&program)),
            Mode::Tc => netlink_tc::filters(self.ifindex, self.hook)
                .map(|filters| filters.iter().any(|filter| filter.program_id() == Some(program))),
        };
        match there {
            Ok(there) => !there,
            Err(error) => error.raw_os_error() == Some(libc::ENODEV),
        }
    }
}

/// `union bpf_attr`, as `BPF_PROG_QUERY` (kernel 6.6 for TCX) reads it.
#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

const _: () = assert!(size_of::<QueryAttr>() == 64 && offset_of!(QueryAttr, count) == 24);

const BPF_PROG_QUERY: libc::c_long = 16;
/// `BPF_TCX_INGRESS`, `BPF_TCX_EGRESS`.
const TCX: [u32; 2] = [46, 47];
/// The kernel's limit of programs on one hook (`BPF_MPROG_MAX`).
const MOST: usize = 64;

/// Numbers of the programs on a TCX hook.
pub(super) fn tcx_programs(ifindex: u32, hook: Hook) -> io::Result<Vec<u32>> {
    let mut programs = vec![0u32; MOST];
    let mut attr = QueryAttr {
        target_ifindex: ifindex,
        attach_type: TCX[hook as usize],
        prog_ids: programs.as_mut_ptr() as u64,
        count: MOST as u32,
        ..QueryAttr::default()
    };
    // SAFETY: the attributes live through the call, and name a buffer of the size given.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut attr, size_of::<QueryAttr>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    programs.truncate(attr.count as usize);
    Ok(programs)
}
