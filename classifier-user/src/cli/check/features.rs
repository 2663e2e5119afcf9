//! What the kernel and the drivers were found to have, and what is on the hooks.

use serde::Serialize;

use super::{
    host::{Host, Interface},
    judge::{Findings, Level, LinkReport},
    kept::keeper,
};
use crate::{
    datapath::{
        beside,
        kernel::{Kept, OnHook, is_ours},
    },
    model::{Hook, Link, Mode},
};

/// Drivers that set their rings up anew when XDP is attached or taken off, by their sources: receiving pauses for a
/// moment, and with some of them the link goes down and up. One program in place of another does nothing of the kind.
const RESETS_RINGS: [&str; 12] = [
    "bnxt_en",
    "ena",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mlx4_en",
    "mlx5_core",
    "nfp",
    "qede",
];
/// Drivers of which it is known that they do not.
const KEEPS_RINGS: [&str; 3] = ["veth", "virtio_net", "tun"];

/// Something that a kernel may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Feature {
    pub(super) name: &'static str,
    /// Null where it could not be tried.
    pub(super) found: Option<bool>,
}

/// A program on a hook, or a filter that is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct HookProgram {
    /// `rx` or `tx`.
    pub(super) hook: &'static str,
    /// `xdp`, `tcx` or `clsact`.
    pub(super) kind: &'static str,
    /// Null of a filter that is no program.
    pub(super) id: Option<u32>,
    /// Null where privileges do not let us see it; of a filter that is no program, its kind.
    pub(super) name: Option<String>,
    /// Of a filter: a lower one is asked first.
    pub(super) priority: Option<u16>,
    /// The instance of which it is kept; null of everything else.
    pub(super) kept: Option<String>,
}

/// What this kernel has; `tc` is how programs would be put on TC.
pub(super) fn of(host: &Host, tc: Mode) -> Vec<Feature> {
    let says = host.interfaces.values().any(|interface| interface.features.is_some());
    let feature = |name, found| Feature { name, found };
    let tried = |tried: &Option<Result<(), String>>| tried.as_ref().map(Result::is_ok);
    let mut found = vec![feature("programs", tried(&host.loads)), feature("tcx", host.tcx)];
    if tc == Mode::Tc {
        found.push(feature("clsact", tried(&host.clsact)));
    }
    found.extend([
        feature("jit", host.jit),
        feature("xdp features of drivers", (!host.interfaces.is_empty()).then_some(says)),
        feature("bpf file system", host.bpffs),
    ]);
    found
}

/// What stands in the way of the whole.
pub(super) fn judge(host: &Host, findings: &mut Findings) {
    if let Some(Err(why)) = &host.loads {
        // A verifier's log has many lines; the first says what.
        let why = why.lines().next().unwrap_or_default();
        findings.add(Level::Error, "kernel", format!("the programs cannot be loaded: {why}"));
    }
    if let Some(Err(why)) = &host.clsact {
        findings.add(
            Level::Error,
            "kernel",
            format!(
                "programs cannot be put on TC by clsact: {why} (tried on an interface of its own; this takes \
                 CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF, modules sch_ingress and cls_bpf)"
            ),
        );
    }
}

/// What is to be said of a link's interface; `goes_on` says whether `run` goes on with what is kept.
pub(super) fn of_link(
    link: &Link,
    interface: &Interface,
    host: &Host,
    goes_on: impl Fn(&Kept) -> bool,
    report: &mut LinkReport,
    findings: &mut Findings,
) {
    report.native = interface.features.map(|features| features.native());
    report.frags = interface.features.map(|features| features.frags());
    let driver = interface.driver.as_deref().unwrap_or_default();
    report.resets_rings = match driver {
        driver if RESETS_RINGS.contains(&driver) => Some(true),
        driver if KEEPS_RINGS.contains(&driver) || interface.kind.is_some() => Some(false),
        _ => None,
    };
    if report.rx == Some(Mode::Native) && report.resets_rings == Some(true) {
        findings.add(
            Level::Note,
            &link.name,
            format!(
                "{driver} sets its rings up anew when XDP is attached or taken off: receiving pauses for a moment. With \
                 keep_counting that is once, and not at restarts; --xdp-mode tc does without"
            ),
        );
    }
    if report.rx == Some(Mode::Native) && report.resets_rings.is_none() {
        let driver = if driver.is_empty() { "this driver" } else { driver };
        findings.add(
            Level::Note,
            &link.name,
            format!(
                "whether {driver} sets its rings up anew when XDP is attached or taken off is not known: receiving may \
                 pause for a moment; --xdp-mode tc does without"
            ),
        );
    }
    for hook in Hook::ALL {
        let on: Vec<_> = interface.programs.iter().filter(|on| on.hook == hook).cloned().collect();
        let mode = [report.rx, report.tx][hook as usize];
        for (place, other) in on.iter().enumerate() {
            let kept = keeper(host, other.id);
            // Of this kind's programs, and of XDP where it is in the way, more is said elsewhere.
            let others = kept.is_none() && !other.name.as_deref().is_some_and(is_ours);
            let passed = other.kind != "xdp" || matches!(mode, Some(Mode::Tc | Mode::Tcx));
            if let Some(mode) = mode.filter(|_| others && passed) {
                let ours = |on: &OnHook| match keeper(host, on.id) {
                    Some(kept) => goes_on(kept),
                    None => on.name.as_deref().is_some_and(is_ours),
                };
                let before = beside::precedes(&on, place, mode, ours);
                let level = if before || beside::matters_behind(hook) { Level::Warning } else { Level::Note };
                let (side, its) = (beside::side(hook), beside::called(other));
                let effect = beside::effect(other, before);
                findings.add(
                    level,
                    &link.name,
                    format!("on {side} there is a {its}, which is not touched: {effect}"),
                );
            }
            report.programs.push(HookProgram {
                hook: ["rx", "tx"][hook as usize],
                kind: other.kind,
                id: (other.id != 0).then_some(other.id),
                name: other.name.clone(),
                priority: other.priority,
                kept: kept.map(|kept| kept.instance.clone()),
            });
        }
    }
}
