//! Programs of this kind that are on the hooks already: kept ones, which `run` goes on with, and those of an agent that
//! runs, beside which it would count twice.

use super::{
    host::{Host, Interface},
    judge::{Findings, Level},
};
use crate::{
    config::{RunPlan, XdpChoice},
    datapath::kernel::{Kept, OnHook, is_ours},
    model::{Hook, Link, Mode},
};

/// What is to become of the kernel's counting when the agent ends; `None`: nobody says, so a service leaves it counting
/// and an agent in a terminal does not.
pub(super) type Keeps = Option<bool>;

/// The instance that a program is kept by.
pub(super) fn keeper(host: &Host, program: u32) -> Option<&Kept> {
    host.kept.iter().flatten().find(|kept| kept.programs.contains(&program))
}

/// Whether `run` goes on with what this instance has. Where another process counts, it is that one's.
pub(super) fn is_gone_on_with(kept: &Kept, plan: &RunPlan, keeps: Keeps) -> bool {
    plan.datapath.is_some() || (keeps != Some(false) && kept.instance == plan.keep.instance)
}

/// What a start goes on with, as it seems.
pub(super) fn gone_on_with<'a>(
    plan: &RunPlan,
    keeps: Keeps,
    host: &'a Host,
) -> impl Iterator<Item = &'a Kept> {
    host.kept.iter().flatten().filter(move |kept| is_gone_on_with(kept, plan, keeps))
}

/// How what is kept on an interface's receive hook counts, if `run` goes on with it.
pub(super) fn receive(interface: &Interface, plan: &RunPlan, keeps: Keeps, host: &Host) -> Option<Mode> {
    let ours = |program: u32| keeper(host, program).is_some_and(|kept| is_gone_on_with(kept, plan, keeps));
    if let Some(program) = interface.xdp.filter(|program| ours(program.id)) {
        return Some(if program.mode == "generic" { Mode::Generic } else { Mode::Native });
    }
    let mut programs = interface.programs.iter();
    programs.find(|program| program.hook == Hook::Rx && program.kind != "xdp" && ours(program.id)).map(mode)
}

fn mode(program: &OnHook) -> Mode {
    if program.kind == "tcx" { Mode::Tcx } else { Mode::Tc }
}

/// `program 7, classifier_tx`.
pub(super) fn name(id: u32, name: Option<&str>) -> String {
    name.map_or_else(|| format!("program {id}"), |name| format!("program {id}, {name}"))
}

/// Says of a link's interface whose programs are there. `rx`: how `run` would receive.
pub(super) fn of_link(
    link: &Link,
    plan: &RunPlan,
    keeps: Keeps,
    host: &Host,
    interface: &Interface,
    rx: Option<Mode>,
    findings: &mut Findings,
) {
    let mut said: Vec<&str> = Vec::new();
    for program in &interface.programs {
        let its = name(program.id, program.name.as_deref());
        let Some(kept) = keeper(host, program.id) else {
            let in_the_way = match (program.hook, program.kind) {
                (Hook::Rx, "xdp") => plan.xdp_mode != XdpChoice::Tc,
                (Hook::Rx, _) => matches!(rx, Some(Mode::Tc | Mode::Tcx)),
                (Hook::Tx, _) => true,
            };
            if in_the_way && program.name.as_deref().is_some_and(is_ours) {
                let there = format!("another classifier counts on {} already ({its})", link.interface);
                // Filters show their names to everybody, and what is kept shows to root only.
                let (level, how) = match host.kept {
                    Some(_) => {
                        (Level::Error, "end it first; what a killed one left, `classifier detach` takes off")
                    }
                    None => (
                        Level::Warning,
                        "`run` refuses, unless it is kept, which only root sees: then it goes on with it",
                    ),
                };
                findings.add(level, &link.name, format!("{there}: {how}"));
            }
            continue;
        };
        let instance = kept.instance.as_str();
        if said.contains(&instance) {
            continue;
        }
        said.push(instance);
        let what = format!("what counts on {} is kept as `{instance}` ({its})", link.interface);
        if is_gone_on_with(kept, plan, keeps) {
            let who = match keeps {
                None if plan.datapath.is_none() => "`run` goes on with it, as a service or with --keep",
                _ => "`run` goes on with it",
            };
            findings.add(Level::Note, &link.name, format!("{what}: {who}"));
        } else if kept.instance == plan.keep.instance {
            let how =
                "without keep_counting `run` refuses to count beside it; with it (--keep) it goes on with it";
            findings.add(Level::Error, &link.name, format!("{what}: {how}"));
        } else {
            let own = &plan.keep.instance;
            let how = format!(
                "`--instance {instance}` goes on with it; as `{own}`, `run` refuses to count beside it"
            );
            findings.add(Level::Error, &link.name, format!("{what}: {how}"));
        }
    }
}

/// Says what stands in the way of going on with what is kept.
pub(super) fn judge(plan: &RunPlan, keeps: Keeps, host: &Host, findings: &mut Findings) {
    if plan.datapath.is_some() {
        return;
    }
    if host.bpffs == Some(false) && keeps != Some(false) {
        let path = plan.keep.bpffs.display();
        let what =
            format!("{path} is no BPF file system, so nothing can be kept there: mount -t bpf bpf {path}");
        let level = if keeps.is_some() { Level::Error } else { Level::Note };
        findings.add(level, "keep_counting", what);
    }
    let Some(kept) = gone_on_with(plan, keeps, host).next() else { return };
    let instance = &kept.instance;
    if let Some(why) = &kept.unreadable {
        findings.add(Level::Error, "instance", why.clone());
    }
    if kept.elsewhere {
        let how = "run there, or give this agent a name of its own (--instance)";
        findings.add(
            Level::Error,
            "instance",
            format!("`{instance}` counts in another network namespace: {how}"),
        );
    } else if kept.running {
        let how = "a restart goes on with what it counted; beside it, `run` is refused";
        findings.add(Level::Note, "instance", format!("an agent runs as `{instance}`: {how}"));
    }
}
