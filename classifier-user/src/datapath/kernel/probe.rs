//! What this kernel can, found by asking it: distributions carry parts of newer ones under old numbers.

use classifier_common::abi::Hook;

use super::{Kernel, LoadError, held, names};
use crate::datapath::{Beside, Sizes, beside, netlink, netlink_tc};

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

/// A program on a hook of an interface, or a filter that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnHook {
    /// Receive or transmit.
    pub hook: Hook,
    /// `xdp`, `tcx` or `clsact`.
    pub kind: &'static str,
    /// Its number, as bpftool shows it; 0 where it has none.
    pub id: u32,
    /// Its name, where privileges let us see it; of a filter that is no program, its kind.
    pub name: Option<String>,
    /// Of a filter: a lower one is asked first.
    pub priority: Option<u16>,
}

/// What is on both hooks of an interface, as far as we may see it: on each in the order in which it sees frames.
#[must_use]
pub fn programs_on(ifindex: u32) -> Vec<OnHook> {
    let xdp = netlink::link_info(ifindex).ok().and_then(|info| info.xdp).map(|program| program.id);
    let by_id = |hook, kind, id| OnHook { hook, kind, id, name: names::of(id), priority: None };
    let mut found: Vec<OnHook> = xdp.into_iter().map(|id| by_id(Hook::Rx, "xdp", id)).collect();
    for hook in Hook::ALL {
        let tcx = held::tcx_programs(ifindex, hook).unwrap_or_default();
        found.extend(tcx.into_iter().map(|id| by_id(hook, "tcx", id)));
        let filters = netlink_tc::filters(ifindex, hook).unwrap_or_default();
        let filters = filters.into_iter().filter(|filter| filter.chain == 0).map(|filter| {
            let (name, id) = filter.program.unwrap_or((filter.kind, 0));
            OnHook { hook, kind: "clsact", id, name: Some(name), priority: Some(filter.priority) }
        });
        found.extend(filters);
    }
    // One filter of flower's may have thousands of rules.
    found.dedup();
    found
}

impl Kernel {
    /// [`Datapath::beside`](crate::datapath::Datapath::beside).
    pub(super) fn others(&self) -> Vec<Beside> {
        let mut found = Vec::new();
        for held in &self.attached {
            let on: Vec<_> =
                programs_on(held.ifindex).into_iter().filter(|on| on.hook == held.hook).collect();
            let ours = |on: &OnHook| held.program == Some(on.id);
            for (place, other) in on.iter().enumerate().filter(|(_, on)| !ours(on)) {
                let before = beside::precedes(&on, place, held.mode, ours);
                if before || beside::matters_behind(other.hook) {
                    let what = beside::said(other, before);
                    found.push(Beside { ifindex: held.ifindex, what });
                }
            }
        }
        found
    }
}
