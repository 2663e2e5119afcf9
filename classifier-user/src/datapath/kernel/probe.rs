//! What this kernel can, found by asking it: distributions carry parts of newer ones under old numbers.

use classifier_common::abi::Hook;

use super::{Kernel, LoadError, held};
use crate::datapath::{Sizes, netlink, netlink_tc};

/// Whether the kernel has TCX; `None` where we may not ask (CAP_NET_ADMIN).
#[must_use]
pub fn has_tcx() -> Option<bool> {
    /// The loopback, which every network namespace has.
    const LOOPBACK: u32 = 1;
    match held::tcx_programs(LOOPBACK, Hook::Rx) {
        Ok(_) => Some(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => None,
        // The kernel does not know the attach type.
        Err(_) => Some(false),
    }
}

/// Loads programs and maps, as small as can be, and lets them go again.
///
/// # Errors
/// As [`Kernel::load`].
pub fn try_load() -> Result<(), LoadError> {
    Kernel::load(&Sizes { classes: 64, v4_rows: 1, v6_rows: 1, v6_nodes: 1 }, &[]).map(drop)
}

/// A program on a hook of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnHook {
    /// Receive or transmit.
    pub hook: Hook,
    /// `xdp`, `tcx` or `clsact`.
    pub kind: &'static str,
    /// Its number, as bpftool shows it.
    pub id: u32,
    /// Its name, where privileges let us see it.
    pub name: Option<String>,
}

/// The programs on both hooks of an interface, as far as we may see them.
#[must_use]
pub fn programs_on(ifindex: u32) -> Vec<OnHook> {
    let xdp = netlink::link_info(ifindex).ok().and_then(|info| info.xdp).map(|program| program.id);
    let mut found: Vec<OnHook> =
        xdp.into_iter().map(|id| OnHook { hook: Hook::Rx, kind: "xdp", id, name: None }).collect();
    for hook in Hook::ALL {
        let tcx = held::tcx_programs(ifindex, hook).unwrap_or_default();
        found.extend(tcx.into_iter().map(|id| OnHook { hook, kind: "tcx", id, name: None }));
        let filters = netlink_tc::filters(ifindex, hook).unwrap_or_default();
        let programs = filters.into_iter().filter_map(|filter| filter.program);
        found.extend(programs.map(|(name, id)| OnHook { hook, kind: "clsact", id, name: Some(name) }));
    }
    if found.iter().any(|program| program.name.is_none()) {
        for program in aya::programs::loaded_programs().filter_map(Result::ok) {
            for found in found.iter_mut().filter(|found| found.id == program.id()) {
                found.name = program.name_as_str().map(str::to_owned);
            }
        }
    }
    found
}
