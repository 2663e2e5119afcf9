//! What this kernel can, found by asking it: distributions carry parts of newer ones under old numbers.

use std::{collections::BTreeMap, thread};

use classifier_common::abi::Hook;

use super::{Kernel, LoadError, TcChoice, XdpChoice, held, names};
use crate::datapath::{Beside, Sizes, beside, netlink, netlink_tc};

/// Whether the kernel has TCX; `None` where we may not ask (CAP_NET_ADMIN).
#[must_use]
pub fn has_tcx() -> Option<bool> {
    match held::tcx_programs(LOOPBACK, Hook::Rx) {
        Ok(_) => Some(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => None,
        // The kernel does not know the attach type.
        Err(_) => Some(false),
    }
}

/// The loopback, which every network namespace has.
const LOOPBACK: u32 = 1;
/// As small as can be.
const SIZES: Sizes = Sizes { classes: 64, v4_rows: 1, v6_rows: 1, v6_nodes: 1 };

/// Loads programs and maps, as small as can be, and lets them go again.
///
/// # Errors
/// As [`Kernel::load`].
pub fn try_load() -> Result<(), LoadError> {
    Kernel::load(&SIZES, &[]).map(drop)
}

/// Attaches filters of clsact as without TCX, in a network namespace of their own, which goes with them; `None` where that
/// cannot be tried: it takes CAP_SYS_ADMIN, and programs that load. Else why the kernel does not take them.
#[must_use]
pub fn try_clsact() -> Option<Result<(), String>> {
    let tried = thread::Builder::new().name("clsact".to_owned()).spawn(|| {
        // SAFETY: no memory is passed; it concerns this thread only, and ends with it.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return None;
        }
        let mut kernel = Kernel::load(&SIZES, &[]).ok()?;
        kernel.choose_tc(TcChoice::Clsact);
        let attached = kernel.attach("lo", LOOPBACK, XdpChoice::Tc);
        Some(attached.map(drop).map_err(|error| error.to_string()))
    });
    tried.ok()?.join().ok()?
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
        let mut asked = BTreeMap::new();
        for held in &self.attached {
            let on = asked.entry(held.ifindex).or_insert_with(|| programs_on(held.ifindex));
            let on: Vec<_> = on.iter().filter(|on| on.hook == held.hook).cloned().collect();
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
