//! What the kernel and the drivers were found to have, and what is on the hooks.

use serde::Serialize;

use super::{
    host::{Host, Interface},
    judge::{Findings, Level, LinkReport},
    kept::keeper,
};
use crate::{
    datapath::kernel::is_ours,
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

/// A program on a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct HookProgram {
    /// `rx` or `tx`.
    pub(super) hook: &'static str,
    /// `xdp`, `tcx` or `clsact`.
    pub(super) kind: &'static str,
    pub(super) id: u32,
    /// Null where privileges do not let us see it.
    pub(super) name: Option<String>,
    /// The instance of which it is kept; null of everything else.
    pub(super) kept: Option<String>,
}

/// What this kernel has.
pub(super) fn of(host: &Host) -> Vec<Feature> {
    let says = host.interfaces.values().any(|interface| interface.features.is_some());
    let feature = |name, found| Feature { name, found };
    vec![
        feature("programs", host.loads.as_ref().map(Result::is_ok)),
        feature("tcx", host.tcx),
        feature("jit", host.jit),
        feature("xdp features of drivers", (!host.interfaces.is_empty()).then_some(says)),
        feature("bpf file system", host.bpffs),
    ]
}

/// What stands in the way of the whole.
pub(super) fn judge(host: &Host, findings: &mut Findings) {
    if let Some(Err(why)) = &host.loads {
        // A verifier's log has many lines; the first says what.
        let why = why.lines().next().unwrap_or_default();
        findings.add(Level::Error, "kernel", format!("the programs cannot be loaded: {why}"));
    }
}

/// What is to be said of a link's interface.
pub(super) fn of_link(
    link: &Link,
    interface: &Interface,
    host: &Host,
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
    for program in &interface.programs {
        let kept = keeper(host, program.id);
        let (hook, where_) = match program.hook {
            Hook::Rx => ("rx", "receive"),
            Hook::Tx => ("tx", "transmit"),
        };
        // Of the XDP program, and of classifiers', more is said elsewhere.
        let others = kept.is_none() && !program.name.as_deref().is_some_and(is_ours);
        if program.kind != "xdp" && others {
            let name = program.name.as_ref().map_or_else(String::new, |name| format!(", {name}"));
            let order = match program.hook {
                Hook::Rx => "frames are counted before it sees them",
                Hook::Tx => "frames that it lets pass are counted",
            };
            findings.add(
                Level::Note,
                &link.name,
                format!(
                    "on {where_} there is a {} program (id {}{name}), which is not touched: {order}",
                    program.kind, program.id
                ),
            );
        }
        report.programs.push(HookProgram {
            hook,
            kind: program.kind,
            id: program.id,
            name: program.name.clone(),
            kept: kept.map(|kept| kept.instance.clone()),
        });
    }
}
