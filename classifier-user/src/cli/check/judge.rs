//! What `run` would do with a plan on a machine, and whether it can.

use std::fmt;

use serde::Serialize;

use super::{
    features::{self, Feature, HookProgram},
    host::{Host, Interface},
    kept::{self, Keeps},
    memory::{self, Memory},
    position,
};
use crate::{
    agent::{AgentError, Refusal},
    config::{RunPlan, XdpChoice},
    datapath::{
        kernel::{self, AttachError, BONDS, Kept, is_ours},
        netlink::XdpProgram,
        overlap,
    },
    model::{Link, Mode},
    table::groups::GroupsError,
};
use classifier_common::abi::MAX_IFINDEX;

/// The oldest kernel that will do.
const KERNEL_FLOOR: Version = Version(6, 1);
/// From here on programs on TC have links of their own.
const TCX: Version = Version(6, 6);
/// Capability numbers (linux/capability.h). The kernel would take SYS_ADMIN for BPF and PERFMON, but that is never kept.
const NET_ADMIN: u32 = 12;
const PERFMON: u32 = 38;
const BPF: u32 = 39;
const ETHERNET: u16 = 1;
/// With a larger MTU a frame does not fit one page beside XDP's headroom, and the driver needs frags.
const ONE_PAGE_MTU: u32 = 3498;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// `run` cannot.
    Error,
    /// `run` can, and the numbers may not be what was expected.
    Warning,
    /// Good to know.
    Note,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// Something that was noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// A link's name, `kernel`, `capabilities`, …
    pub(super) about: String,
    /// What, and what to do.
    pub(super) message: String,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Report {
    /// Whether `run` can.
    pub(super) ok: bool,
    pub(super) router: String,
    pub(super) kernel: String,
    /// What was found by trying, not by the kernel's number.
    pub(super) kernel_features: Vec<Feature>,
    pub(super) capabilities: Capabilities,
    pub(super) links: Vec<LinkReport>,
    pub(super) memory: Memory,
    pub(super) findings: Vec<Finding>,
}

/// The capabilities that `run` needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Capabilities {
    pub(super) held: Vec<&'static str>,
    pub(super) missing: Vec<&'static str>,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LinkReport {
    pub(super) name: String,
    pub(super) interface: String,
    pub(super) vlan: Option<u16>,
    pub(super) driver: Option<String>,
    pub(super) mtu: Option<u32>,
    /// The mode that `run` would take on receive; null where it cannot.
    pub(super) rx: Option<Mode>,
    /// The same on transmit.
    pub(super) tx: Option<Mode>,
    /// Whether the driver has native XDP, and takes frames of several buffers with it; null where the kernel does not say.
    pub(super) native: Option<bool>,
    pub(super) frags: Option<bool>,
    /// Whether the driver sets its rings up anew when XDP is attached or taken off; null for drivers we do not know.
    pub(super) resets_rings: Option<bool>,
    /// The XDP program that is there now.
    pub(super) xdp_program: Option<Program>,
    /// All programs on its hooks now.
    pub(super) programs: Vec<HookProgram>,
}

/// An XDP program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Program {
    pub(super) mode: &'static str,
    pub(super) id: u32,
    /// Null where privileges do not let us see it.
    pub(super) name: Option<String>,
}

/// A kernel's major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    fn parse(release: &str) -> Option<Self> {
        let mut parts = release.split(|c: char| !c.is_ascii_digit());
        Some(Self(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, level: Level, about: &str, message: impl Into<String>) {
        self.0.push(Finding { level, about: about.to_owned(), message: message.into() });
    }
}

/// Holds the plan against the machine. `prefixes`: of all tables, `None` where it is known that they cannot be
/// loaded, or why they cannot.
pub(super) fn judge(
    plan: &RunPlan,
    keeps: Keeps,
    host: &Host,
    prefixes: Result<Option<u64>, String>,
) -> Report {
    let mut findings = Findings(Vec::new());
    let version = kernel(host, &mut findings);
    let capabilities = capabilities(plan, host, &mut findings);
    let tc = tc(plan, host, version, &mut findings);
    let links =
        plan.links.iter().map(|link| judge_link(link, plan, keeps, host, tc, &mut findings)).collect();
    let memory = memory::judge(plan, host, prefixes, &mut findings);
    features::judge(host, &mut findings);
    kept::judge(plan, keeps, host, &mut findings);
    agent(plan, keeps, host, &mut findings);
    if let (Some(why), Some(directory)) = (&host.history, &plan.state_dir) {
        findings.add(
            Level::Warning,
            "history",
            format!("the history in {} cannot be gone on with: {why}", directory.display()),
        );
    }
    for bypass in &host.bypasses {
        let what = match *bypass {
            "nf_flow_table" => {
                "flowtables (nf_flow_table) are loaded: flows that a flowtable offloads to hardware are not seen"
            }
            _ => {
                "Open vSwitch is loaded: what it takes from an interface is seen on receive, and nothing is seen that it offloads to hardware"
            }
        };
        findings.add(Level::Warning, "bypass", what);
    }
    for overlap in overlap::all(&plan.links, &host.positions) {
        findings.add(Level::Error, "links", overlap.to_string());
    }
    findings.0.sort_by_key(|finding| finding.level);
    Report {
        ok: !findings.0.iter().any(|finding| finding.level == Level::Error),
        router: plan.router.clone(),
        kernel: host.kernel.clone(),
        kernel_features: features::of(host, tc),
        capabilities,
        links,
        memory,
        findings: findings.0,
    }
}

/// What keeps the other half from its work: it reads files and opens sockets.
fn agent(plan: &RunPlan, keeps: Keeps, host: &Host, findings: &mut Findings) {
    for (file, why) in &host.unreadable {
        findings.add(Level::Error, "files", format!("{file}: {why}"));
    }
    if let Some((user, files)) = &host.unreadable_by {
        let (level, whose) = match &plan.user {
            Some(_) => (Level::Error, "whom the agent becomes"),
            None => (Level::Warning, "as whom the package's service runs"),
        };
        for (file, why) in files.iter().filter(|file| !host.unreadable.contains(file)) {
            findings.add(level, "files", format!("{file}: {why}, for the user `{user}`, {whose}"));
        }
    }
    let runs = kept::gone_on_with(plan, keeps, host).any(|kept| kept.running);
    for Refusal { about, why } in &host.refused {
        match why {
            // Said of the file already.
            AgentError::Groups(GroupsError::Read { .. }) => {}
            _ if runs && why.is_in_use() => {
                let how = "that is the agent that runs, as it seems, and a restart ends it";
                findings.add(Level::Note, about, format!("{why}; {how}"));
            }
            _ => findings.add(Level::Error, about, why.to_string()),
        }
    }
}

fn kernel(host: &Host, findings: &mut Findings) -> Version {
    // What cannot be read is not held against the user: the load itself says.
    let version = Version::parse(&host.kernel).unwrap_or(KERNEL_FLOOR);
    if version < KERNEL_FLOOR {
        let Version(major, minor) = KERNEL_FLOOR;
        let old =
            format!("Linux {} is older than {major}.{minor}, from which on this is tested", host.kernel);
        // Whether it will do is for the programs to find out, not for a number.
        let (level, tried) = match &host.loads {
            Some(Ok(())) => (Level::Note, "it takes the programs all the same"),
            Some(Err(_)) => (Level::Note, "it does not take the programs"),
            None => (Level::Warning, "whether it takes the programs was not tried"),
        };
        findings.add(level, "kernel", format!("{old}: {tried}"));
    }
    if host.jit == Some(false) {
        findings.add(
            Level::Warning,
            "kernel",
            "BPF programs are interpreted: `sysctl net.core.bpf_jit_enable=1` makes them several times faster",
        );
    }
    version
}

/// How programs are put on TC.
fn tc(plan: &RunPlan, host: &Host, version: Version, findings: &mut Findings) -> Mode {
    let tcx = host.tcx.unwrap_or_else(|| {
        let guess = version >= TCX;
        let which = if guess { "TCX" } else { "no TCX, but clsact" };
        findings.add(
            Level::Note,
            "kernel",
            format!("{which}: a guess by the kernel's number, as only CAP_NET_ADMIN may ask"),
        );
        guess
    });
    if tcx && !plan.clsact { Mode::Tcx } else { Mode::Tc }
}

/// The capabilities that are needed, and whether they are there.
fn needed(host: &Host) -> [(&'static str, bool); 3] {
    let has = |bit: u32| host.capabilities & (1 << bit) != 0;
    [("BPF", has(BPF)), ("NET_ADMIN", has(NET_ADMIN)), ("PERFMON", has(PERFMON))]
}

/// Whether the programs can be tried.
pub(super) fn can_load(host: &Host) -> bool {
    needed(host).iter().all(|(_, has)| *has)
}

fn capabilities(plan: &RunPlan, host: &Host, findings: &mut Findings) -> Capabilities {
    let needed = needed(host);
    let names =
        |held: bool| needed.iter().filter(|(_, has)| *has == held).map(|(name, _)| *name).collect::<Vec<_>>();
    let capabilities = Capabilities { held: names(true), missing: names(false) };
    if let Some(socket) = &plan.datapath {
        findings.add(
            Level::Note,
            "capabilities",
            format!(
                "needed by the process that counts, at {}, and not here; as root this finds out more",
                socket.display()
            ),
        );
    } else if !capabilities.missing.is_empty() {
        findings.add(
            Level::Error,
            "capabilities",
            format!(
                "{} missing: run as root, or grant them with `setcap cap_bpf,cap_net_admin,cap_perfmon+ep` on the \
                 binary or `AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_PERFMON` in the unit",
                capabilities.missing.join(", ")
            ),
        );
    }
    capabilities
}

fn judge_link(
    link: &Link,
    plan: &RunPlan,
    keeps: Keeps,
    host: &Host,
    tc: Mode,
    findings: &mut Findings,
) -> LinkReport {
    let mut report = LinkReport {
        name: link.name.clone(),
        interface: link.interface.clone(),
        vlan: link.vlan,
        driver: None,
        mtu: None,
        rx: None,
        tx: None,
        native: None,
        frags: None,
        resets_rings: None,
        xdp_program: None,
        programs: Vec::new(),
    };
    let Some(interface) = host.interfaces.get(&link.interface) else {
        let (level, what) = match plan.wait {
            true => (Level::Note, "it is waited for, and attached when it comes"),
            false => (Level::Error, "`--wait` (wait = true) lets it come later"),
        };
        let others = host.names.join(", ");
        let missing = format!("there is no interface {}; there are {others}: {what}", link.interface);
        findings.add(level, &link.name, missing);
        return report;
    };
    report.driver.clone_from(&interface.driver);
    report.mtu = Some(interface.mtu);
    report.xdp_program = interface.xdp.map(|program| Program {
        mode: program.mode,
        id: program.id,
        name: interface.xdp_name().map(str::to_owned),
    });
    if interface.hardware != ETHERNET {
        findings.add(
            Level::Error,
            &link.name,
            format!(
                "{} does not carry Ethernet frames (hardware type {})",
                link.interface, interface.hardware
            ),
        );
        return report;
    }
    if interface.index >= MAX_IFINDEX {
        findings.add(
            Level::Error,
            &link.name,
            format!("{}'s index {} is over {}", link.interface, interface.index, MAX_IFINDEX - 1),
        );
    }
    if interface.state == "down" {
        findings.add(Level::Warning, &link.name, format!("{} is down", link.interface));
    }
    report.tx = Some(tc);
    if let Some(qdisc) = interface.in_place_of_clsact.clone().filter(|_| tc == Mode::Tc) {
        let refused = AttachError::NoTransmit { interface: link.interface.clone(), qdisc };
        findings.add(Level::Error, &link.name, refused.to_string());
        report.tx = None;
    }
    report.rx = match kept::receive(interface, plan, keeps, host) {
        Some(mode) if kernel::XdpChoice::from(plan.xdp_mode).takes(mode) => Some(mode),
        Some(mode) => {
            let what = format!(
                "{} is counted at {} now, by what is kept there: `run` attaches anew, the other way, and frames of that \
                 moment are not counted",
                link.interface,
                mode.name()
            );
            findings.add(Level::Warning, &link.name, what);
            receive(link, plan.xdp_mode, interface, tc, findings)
        }
        None => {
            let taken = interface.xdp.filter(|_| plan.xdp_mode != XdpChoice::Tc);
            match taken.and_then(|program| occupied(link, program, interface, host)) {
                Some((level, what)) => {
                    findings.add(level, &link.name, what);
                    None
                }
                None if taken.is_some() => None,
                None => receive(link, plan.xdp_mode, interface, tc, findings),
            }
        }
    };
    kept::of_link(link, plan, keeps, host, interface, report.rx, findings);
    let goes_on = |kept: &Kept| kept::is_gone_on_with(kept, plan, keeps);
    features::of_link(link, interface, host, goes_on, &mut report, findings);
    position::judge(link, plan, interface, findings);
    report
}

/// What is to be said of an XDP program that stands where this one's would, if it is not said of kept and of running ones.
fn occupied(link: &Link, program: XdpProgram, interface: &Interface, host: &Host) -> Option<(Level, String)> {
    let name = interface.xdp_name();
    if kept::keeper(host, program.id).is_some() || name.is_some_and(is_ours) {
        return None;
    }
    let id = program.id;
    let its = name.map_or_else(|| format!("id {id}"), |name| format!("id {id}, {name}"));
    let there = format!("an XDP program ({its}, {}) is on {} already", program.mode, link.interface);
    Some(match (name, &host.kept) {
        // Whoever may not see names may mostly not see what is kept either.
        (None, None) => (
            Level::Warning,
            format!(
                "{there}, and only root sees whose it is: what a service of classifier's keeps, `run` goes on with; \
                 anything else would not be touched, and `run` refuses (--xdp-mode tc counts beside it)"
            ),
        ),
        _ => (
            Level::Error,
            format!(
                "{there}; it would not be touched: take it off (`bpftool prog show id {id}` says more), or use \
                 --xdp-mode tc"
            ),
        ),
    })
}

/// The mode on receive.
fn receive(
    link: &Link,
    choice: XdpChoice,
    interface: &Interface,
    tc: Mode,
    findings: &mut Findings,
) -> Option<Mode> {
    let mut add = |level, message: String| findings.add(level, &link.name, message);
    let name = &link.interface;
    let native = match interface.features {
        _ if interface.kind.as_deref().is_some_and(|kind| WITHOUT_XDP.contains(&kind)) => Some(false),
        // A bond's program would run on its members, as one of theirs.
        _ if interface.kind.as_deref().is_some_and(|kind| BONDS.contains(&kind)) => Some(false),
        Some(features) if interface.mtu > ONE_PAGE_MTU => Some(features.native() && features.frags()),
        Some(features) => Some(features.native()),
        None => None,
    };
    match (choice, native) {
        (XdpChoice::Tc, _) => Some(tc),
        (XdpChoice::Generic, _) => {
            add(
                Level::Warning,
                "generic XDP runs after GRO and sees super-frames without their segments: packets will be inexact; \
                 --xdp-mode tc is exact"
                    .to_owned(),
            );
            Some(Mode::Generic)
        }
        (XdpChoice::Native, Some(false)) => {
            add(
                Level::Error,
                format!("{name} has no native XDP{}; --xdp-mode tc counts as exactly", jumbo(interface)),
            );
            None
        }
        (XdpChoice::Auto, Some(false)) => {
            add(
                Level::Note,
                format!(
                    "{name} has no native XDP{}: frames are counted at TC ingress, as exactly",
                    jumbo(interface)
                ),
            );
            Some(tc)
        }
        (XdpChoice::Native, _) => Some(Mode::Native),
        (XdpChoice::Auto, Some(true)) => Some(Mode::Native),
        (XdpChoice::Auto, None) => {
            add(
                Level::Note,
                format!(
                    "this kernel does not say whether {name}'s driver has native XDP: it is tried, else TC ingress"
                ),
            );
            Some(Mode::Native)
        }
    }
}

/// Kinds of devices that have no native XDP on any kernel, also where the kernel does not say so (before 6.3).
const WITHOUT_XDP: [&str; 8] = ["vlan", "bridge", "macvlan", "ipvlan", "vxlan", "dummy", "ifb", "vrf"];

fn jumbo(interface: &Interface) -> String {
    match interface.features {
        Some(features) if features.native() && !features.frags() => {
            format!(" for frames of several buffers, which an MTU of {} needs", interface.mtu)
        }
        _ => String::new(),
    }
}
