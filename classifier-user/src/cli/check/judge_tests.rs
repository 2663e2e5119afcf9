use std::io;

use super::{
    host::{Host, Interface},
    judge::{Level, Report, judge},
};
use crate::{
    agent::{AgentError, Refusal},
    config::{BankMemory, RunPlan, Settings, XdpChoice, link::LinkSpec},
    datapath::{
        kernel::{Kept, OnHook},
        netlink::{XdpFeatures, XdpProgram},
        overlap::Position,
    },
    model::{Hook, Mode, Role},
};

pub(super) const PREFIXES: u64 = 700_000;
/// BASIC and RX_SG.
const FRAGS: u64 = 33;
const BASIC: u64 = 1;

pub(super) fn host(name: &str, interface: Interface) -> Host {
    Host {
        kernel: "6.12.9-amd64".into(),
        capabilities: 1 << 39 | 1 << 38 | 1 << 12,
        memory: 8 << 30,
        cpus: 2,
        jit: Some(true),
        tcx: Some(true),
        kept: Some(Vec::new()),
        names: vec![name.into(), "lo".into()],
        interfaces: [(name.to_owned(), interface)].into(),
        ..Host::default()
    }
}

pub(super) fn nic() -> Interface {
    Interface {
        index: 2,
        hardware: 1,
        mtu: 1500,
        state: "up".into(),
        driver: Some("virtio_net".into()),
        features: Some(XdpFeatures::new(FRAGS)),
        ..Interface::default()
    }
}

pub(super) fn plan(link: &str, mode: XdpChoice) -> RunPlan {
    let links = link.split(' ').map(|link| LinkSpec::parse(link, Role::Upstream).unwrap()).collect();
    let settings = Settings { links, router: Some("r".into()), xdp_mode: Some(mode), ..Settings::default() };
    settings.plan().unwrap()
}

fn judged(link: &str, mode: XdpChoice, interface: Interface) -> Report {
    let name = link.split([':', '=']).next().unwrap();
    judge(&plan(link, mode), None, &host(name, interface), Ok(Some(PREFIXES)))
}

pub(super) fn messages(report: &Report, level: Level) -> String {
    let of_level = report.findings.iter().filter(|finding| finding.level == level);
    of_level.map(|finding| format!("{}: {}\n", finding.about, finding.message)).collect()
}

#[test]
fn a_machine_that_can() {
    let report = judged("eth0", XdpChoice::Auto, nic());
    assert!(report.ok);
    assert_eq!(report.findings, []);
    assert_eq!(report.capabilities.held, ["BPF", "NET_ADMIN", "PERFMON"]);
    let link = &report.links[0];
    assert_eq!((link.rx, link.tx), (Some(Mode::Native), Some(Mode::Tcx)));
    assert_eq!((link.driver.as_deref(), link.mtu), (Some("virtio_net"), Some(1500)));
    assert_eq!(report.memory.limit_bytes, (8 << 30) / 100 * 10);
    // 910,000 classes are 14,219 blocks of 64 counters with 889 of dirty bytes behind; 4 x 3 slices of 16 bytes.
    assert_eq!(report.memory.bank_bytes, Some((14_219 * 64 + 889) * 12 * 16));
}

#[test]
fn what_attaching_does_and_what_is_there() {
    let ixgbe = Interface { driver: Some("ixgbe".into()), ..nic() };
    let report = judged("eth0", XdpChoice::Auto, ixgbe.clone());
    let link = &report.links[0];
    assert_eq!((link.native, link.frags, link.resets_rings), (Some(true), Some(true), Some(true)));
    assert!(messages(&report, Level::Note).contains("eth0: ixgbe sets its rings up anew"));
    // At TC nothing happens to the rings.
    assert_eq!(judged("eth0", XdpChoice::Tc, ixgbe).findings, []);
    let other = Interface { driver: Some("mystery".into()), features: None, ..nic() };
    let report = judged("eth0", XdpChoice::Auto, other);
    assert_eq!((report.links[0].native, report.links[0].resets_rings), (None, None));

    let on = |hook, id, name: &str| OnHook { hook, kind: "tcx", id, name: Some(name.into()), priority: None };
    let programs = vec![on(Hook::Rx, 7, "cil_from_netdev"), on(Hook::Tx, 8, "shaper")];
    let report = judged("eth0", XdpChoice::Tc, Interface { programs, ..nic() });
    assert!(report.ok);
    let (notes, warnings) = (messages(&report, Level::Note), messages(&report, Level::Warning));
    let note = "eth0: on receive there is a tcx program (id 7, cil_from_netdev), which is not touched: frames are counted \
                before it sees them\n";
    assert!(notes.contains(note), "{notes}");
    assert!(warnings.contains("eth0: on transmit there is a tcx program (id 8, shaper)"), "{warnings}");
    assert!(warnings.contains("what it drops or redirects is counted all the same"), "{warnings}");
    assert_eq!(report.links[0].programs.len(), 2);
}

#[test]
fn who_sees_frames_first() {
    let on = |hook, kind, id, priority| OnHook { hook, kind, id, name: Some("x".into()), priority };
    let xdp = on(Hook::Rx, "xdp", 5, None);
    let filters = [on(Hook::Tx, "clsact", 0, Some(1)), on(Hook::Tx, "clsact", 9, Some(3))];
    let tcx = [on(Hook::Tx, "tcx", 7, None)];
    let first = |programs: &[OnHook], clsact, kept: Vec<Kept>| {
        let interface = Interface { programs: programs.to_vec(), ..nic() };
        let host = Host { kept: Some(kept), ..host("eth0", interface) };
        let plan = RunPlan { clsact, ..plan("eth0", XdpChoice::Tc) };
        let report = judge(&plan, Some(true), &host, Ok(Some(PREFIXES)));
        let told = report.findings.into_iter().filter(|finding| finding.message.contains("on "));
        let told = told.filter(|finding| finding.message.contains("it sees frames first"));
        told.map(|finding| finding.message).collect::<String>()
    };
    assert_eq!(
        first(&[tcx.as_slice(), &filters].concat(), false, Vec::new()),
        "",
        "ours is the first by TCX"
    );
    let told = first(&filters, true, Vec::new());
    assert!(told.contains("clsact filter (prio 1, x)") && !told.contains("prio 3"), "{told}");
    let told = first(&tcx, true, Vec::new());
    assert!(told.contains("tcx program (id 7, x)") && told.contains("accepts, drops or redirects"), "{told}");
    let told = first(&[xdp], false, Vec::new());
    assert!(told.contains("xdp program (id 5, x)") && told.contains("drops, answers or redirects"), "{told}");
    // One that is kept stays where it is.
    let kept = Kept { instance: "default".into(), programs: vec![8], ..Kept::default() };
    let behind = [tcx[0].clone(), on(Hook::Tx, "tcx", 8, None)];
    assert!(first(&behind, false, vec![kept]).contains("tcx program (id 7, x)"));
}

#[test]
fn what_the_kernel_was_found_to_have() {
    let found = |host: &Host| {
        let report = judge(&plan("eth0", XdpChoice::Tc), None, host, Ok(Some(PREFIXES)));
        let tcx = report.kernel_features.iter().find(|feature| feature.name == "tcx").unwrap().found;
        (tcx, report.links[0].tx, report.ok)
    };
    // A kernel of an old number with parts of newer ones, and the other way round.
    let old = Host { kernel: "6.1.0".into(), tcx: Some(true), ..host("eth0", nic()) };
    assert_eq!(found(&old), (Some(true), Some(Mode::Tcx), true));
    assert_eq!(found(&Host { tcx: Some(false), ..host("eth0", nic()) }), (Some(false), Some(Mode::Tc), true));
    let unasked = Host { tcx: None, ..host("eth0", nic()) };
    assert_eq!(found(&unasked), (None, Some(Mode::Tcx), true));
    let report = judge(&plan("eth0", XdpChoice::Tc), None, &unasked, Ok(Some(PREFIXES)));
    assert!(messages(&report, Level::Note).contains("kernel: TCX: a guess by the kernel's number"));
    // Without TCX it has to have clsact.
    let tried = |clsact| {
        let host = Host { tcx: Some(false), clsact, ..host("eth0", nic()) };
        let report = judge(&plan("eth0", XdpChoice::Tc), None, &host, Ok(Some(PREFIXES)));
        let found = report.kernel_features.iter().find(|feature| feature.name == "clsact").unwrap().found;
        (found, messages(&report, Level::Error))
    };
    assert_eq!(tried(Some(Ok(()))), (Some(true), String::new()));
    assert_eq!(tried(None), (None, String::new()));
    let (clsact, error) = tried(Some(Err("no such qdisc".into())));
    assert_eq!(clsact, Some(false));
    assert!(error.starts_with("kernel: programs cannot be put on TC by clsact: no such qdisc"), "{error}");
    let refused = Host { loads: Some(Err("the kernel refused program x".into())), ..host("eth0", nic()) };
    assert!(!found(&refused).2);
    // What was tried goes before any number.
    let patched = Host { kernel: "5.14.0-427.el9".into(), loads: Some(Ok(())), ..host("eth0", nic()) };
    let report = judge(&plan("eth0", XdpChoice::Tc), None, &patched, Ok(Some(PREFIXES)));
    assert!(report.ok, "{:?}", report.findings);
    assert!(messages(&report, Level::Note).contains("it takes the programs all the same"));
    let old = Host { loads: Some(Err("no".into())), ..patched };
    let report = judge(&plan("eth0", XdpChoice::Tc), None, &old, Ok(Some(PREFIXES)));
    assert_eq!(messages(&report, Level::Error), "kernel: the programs cannot be loaded: no\n");
}

#[test]
fn a_bond_is_counted_at_tc() {
    let bond = Interface { kind: Some("bond".into()), driver: Some("bond".into()), ..nic() };
    let report = judged("bond0", XdpChoice::Auto, bond.clone());
    assert_eq!((report.links[0].rx, report.ok), (Some(Mode::Tcx), true));
    assert!(!judged("bond0", XdpChoice::Native, bond).ok);
}

#[test]
fn modes() {
    use Mode::{Generic, Native, Tc, Tcx};
    use XdpChoice as X;
    let jumbo = |features| Interface { mtu: 9000, features: Some(XdpFeatures::new(features)), ..nic() };
    let none = Interface { features: Some(XdpFeatures::new(0)), ..nic() };
    let unknown = Interface { features: None, ..nic() };
    let vlan = Interface { kind: Some("vlan".into()), ..nic() };
    let taken = Interface { xdp: Some(XdpProgram { mode: "native", id: 7 }), ..nic() };
    for (what, choice, interface, kernel, rx, ok) in [
        ("auto", X::Auto, nic(), "6.12.0", Some(Native), true),
        ("no native XDP", X::Auto, none.clone(), "6.12.0", Some(Tcx), true),
        ("no native XDP, no tcx", X::Auto, none.clone(), "6.1.0-9-amd64", Some(Tc), true),
        ("native is a must", X::Native, none, "6.12.0", None, false),
        ("jumbo with frags", X::Auto, jumbo(FRAGS), "6.12.0", Some(Native), true),
        ("jumbo without frags", X::Auto, jumbo(BASIC), "6.12.0", Some(Tcx), true),
        ("jumbo without frags, native", X::Native, jumbo(BASIC), "6.12.0", None, false),
        ("an old kernel does not say", X::Auto, unknown, "6.1.0", Some(Native), true),
        ("a VLAN device", X::Auto, vlan, "6.12.0", Some(Tcx), true),
        ("generic", X::Generic, nic(), "6.12.0", Some(Generic), true),
        ("tc", X::Tc, nic(), "6.12.0", Some(Tcx), true),
        ("taken", X::Auto, taken.clone(), "6.12.0", None, false),
        ("taken, tc", X::Tc, taken, "6.12.0", Some(Tcx), true),
    ] {
        let host = Host { kernel: kernel.into(), tcx: None, ..host("eth0", interface) };
        let report = judge(&plan("eth0", choice), None, &host, Ok(Some(PREFIXES)));
        assert_eq!((report.links[0].rx, report.ok), (rx, ok), "{what}: {:?}", report.findings);
    }
}

#[test]
fn somebody_elses_program_is_named() {
    let taken = Interface { xdp: Some(XdpProgram { mode: "generic", id: 41 }), ..nic() };
    let report = judged("eth0", XdpChoice::Auto, taken);
    let error = messages(&report, Level::Error);
    assert!(error.starts_with("eth0: an XDP program (id 41, generic) is on eth0 already"), "{error}");
    assert_eq!(report.links[0].xdp_program.as_ref().map(|program| program.id), Some(41));
}

#[test]
fn what_is_not_there() {
    let host = host("eth0", nic());
    let report = judge(&plan("eth1=a", XdpChoice::Auto), None, &host, Ok(None));
    assert!(!report.ok);
    let missing = "a: there is no interface eth1; there are eth0, lo: ";
    let error = format!("{missing}`--wait` (wait = true) lets it come later\n");
    assert_eq!(messages(&report, Level::Error), error);
    assert_eq!((report.links[0].rx, report.links[0].tx), (None, None));
    // One that waits begins without it.
    let waiting = RunPlan { wait: true, ..plan("eth1=a eth0", XdpChoice::Auto) };
    let report = judge(&waiting, None, &host, Ok(None));
    assert!(report.ok);
    let note = format!("{missing}it is waited for, and attached when it comes\n");
    assert_eq!(messages(&report, Level::Note), note);
    assert_eq!((report.links[0].rx, report.links[1].rx), (None, Some(Mode::Native)));
}

#[test]
fn what_the_machine_lacks() {
    let poor = Host {
        kernel: "5.15.0-91-generic".into(),
        capabilities: 1 << 12,
        jit: Some(false),
        ..host("eth0", nic())
    };
    let report = judge(&plan("eth0", XdpChoice::Auto), None, &poor, Err("a.csv:3: no".into()));
    assert!(!report.ok);
    assert_eq!(report.capabilities.missing, ["BPF", "PERFMON"]);
    let errors = messages(&report, Level::Error);
    for part in ["capabilities: BPF, PERFMON missing: run as root", "tables: a.csv:3: no\n"] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    let warnings = messages(&report, Level::Warning);
    assert!(warnings.contains("bpf_jit_enable=1"), "{warnings}");
    let old = "kernel: Linux 5.15.0-91-generic is older than 6.1, from which on this is tested: ";
    assert!(warnings.contains(&format!("{old}whether it takes the programs was not tried\n")), "{warnings}");
    // SYS_ADMIN is not kept, and stands for nothing. Where another process counts, none is needed here.
    let admin = Host { capabilities: 1 << 21 | 1 << 12, ..host("eth0", nic()) };
    let alone = plan("eth0", XdpChoice::Auto);
    assert_eq!(judge(&alone, None, &admin, Ok(Some(PREFIXES))).capabilities.missing, ["BPF", "PERFMON"]);
    let served = RunPlan { datapath: Some("/run/a.sock".into()), ..alone };
    let report = judge(&served, None, &Host { capabilities: 0, ..host("eth0", nic()) }, Ok(Some(PREFIXES)));
    assert!(report.ok, "{}", messages(&report, Level::Error));
    let note = "capabilities: needed by the process that counts, at /run/a.sock, and not here";
    assert!(messages(&report, Level::Note).contains(note));
}

#[test]
fn files_and_ports() {
    let host = Host {
        // Its name is in the text of the other.
        unreadable: vec![("o".into(), "No such file".into())],
        unreadable_by: Some((
            "classifier".into(),
            vec![("o".into(), "No such file".into()), ("g.toml".into(), "Permission denied".into())],
        )),
        refused: vec![Refusal {
            about: "public",
            why: AgentError::Listen {
                address: "[::]:80".parse().unwrap(),
                option: "--public",
                source: io::ErrorKind::PermissionDenied.into(),
            },
        }],
        ..host("eth0", nic())
    };
    let mut plan = plan("eth0", XdpChoice::Auto);
    let report = judge(&plan, None, &host, Ok(None));
    let errors = "files: o: No such file\npublic: cannot listen on [::]:80: permission denied\n";
    assert_eq!(messages(&report, Level::Error), errors);
    let other = "files: g.toml: Permission denied, for the user `classifier`, ";
    let warnings = messages(&report, Level::Warning);
    assert!(warnings.contains(&format!("{other}as whom the package's service runs\n")), "{warnings}");
    plan.user = Some("classifier".into());
    let errors = messages(&judge(&plan, None, &host, Ok(None)), Level::Error);
    assert!(errors.contains(&format!("{other}whom the agent becomes\n")), "{errors}");
}

#[test]
fn not_ethernet() {
    let tunnel = Interface { hardware: 65_534, ..nic() };
    let report = judged("tun0", XdpChoice::Auto, tunnel);
    assert_eq!(
        messages(&report, Level::Error),
        "tun0: tun0 does not carry Ethernet frames (hardware type 65534)\n"
    );
}

#[test]
fn an_index_beyond_the_kernels_array() {
    let report = judged("eth0", XdpChoice::Auto, Interface { index: 65_536, ..nic() });
    assert_eq!(messages(&report, Level::Error), "eth0: eth0's index 65536 is over 65535\n");
}

#[test]
fn places() {
    let port = |kind: &str, of: &str| Interface { port_of: Some((kind.into(), of.into())), ..nic() };
    let kind = |kind: &str| Interface { kind: Some(kind.into()), ..nic() };
    let device = Interface { trunk: Some(("eth0".into(), 100)), ..kind("vlan") };
    let with_device = Interface { vlan_devices: vec!["eth0.100".into()], ..nic() };
    for (link, interface, level, message) in [
        (
            "eth0",
            port("bond", "bond0"),
            Level::Note,
            "eth0 is a member of bond0: only this member's frames are counted",
        ),
        (
            "eth0",
            port("bridge", "br0"),
            Level::Note,
            "eth0 is a port of the bridge br0: all frames of this port",
        ),
        ("eth0", port("vrf", "blue"), Level::Note, "eth0 belongs to blue (vrf)"),
        (
            "br0",
            kind("bridge"),
            Level::Warning,
            "br0 is a bridge: only what this machine itself sends and receives",
        ),
        ("eth0.100=ix", device, Level::Note, "-i eth0:vlan=100=ix counts the same frames on the trunk"),
        ("eth0", with_device, Level::Note, "frames of eth0.100 pass eth0 and are counted with it"),
        ("eth0:vlan=5", nic(), Level::Warning, "`ethtool -K eth0 rxvlan off`"),
        ("eth0", Interface { switchdev: true, ..nic() }, Level::Warning, "is a port of a switch chip"),
        ("eth0", Interface { state: "down".into(), ..nic() }, Level::Warning, "eth0 is down"),
    ] {
        let report = judged(link, XdpChoice::Auto, interface);
        assert!(report.ok, "{link}: {:?}", report.findings);
        let messages = messages(&report, level);
        assert!(messages.contains(message), "{message}: {messages}");
    }
}

#[test]
fn a_vlan_device_and_its_trunk_would_count_twice() {
    let device = Interface { trunk: Some(("eth0".into(), 100)), kind: Some("vlan".into()), ..nic() };
    let mut host = host("eth0.100", device);
    host.interfaces.insert("eth0".into(), nic());
    let position = Position { below: Some(("eth0".into(), Some(100))), port_of: None };
    host.positions.insert("eth0.100".into(), position);
    for (links, twice) in
        [("eth0.100 eth0=t", true), ("eth0.100 eth0:vlan=100=t", true), ("eth0.100 eth0:vlan=7=t", false)]
    {
        let report = judge(&plan(links, XdpChoice::Auto), None, &host, Ok(Some(PREFIXES)));
        let errors = messages(&report, Level::Error);
        assert_eq!(errors.contains("would be counted on both"), twice, "{links}: {errors}");
        assert_eq!(report.ok, !twice);
    }
}

#[test]
fn memory_that_is_not_enough() {
    let plan = RunPlan { bank_memory: BankMemory::Bytes(100 << 20), ..plan("eth0", XdpChoice::Auto) };
    let report = judge(&plan, None, &host("eth0", nic()), Ok(Some(PREFIXES)));
    assert!(report.ok);
    assert_eq!(
        messages(&report, Level::Warning),
        "memory: counters for every prefix, both sides, would take 175 MB of the 105 MB allowed: --bank-memory allows \
         more, else one side or whole ASes are counted\n"
    );
}

#[test]
fn what_goes_past_the_hooks() {
    let host = Host { bypasses: vec!["nf_flow_table"], ..host("eth0", nic()) };
    let report = judge(&plan("eth0", XdpChoice::Auto), None, &host, Ok(Some(PREFIXES)));
    assert!(report.ok);
    assert!(messages(&report, Level::Warning).contains("offloads to hardware are not seen"));
}
