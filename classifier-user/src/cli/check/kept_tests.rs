use std::io;

use super::{
    host::{Host, Interface},
    judge::{Level, Report, judge},
    judge_tests::{PREFIXES, host, messages, nic, plan},
    kept::Keeps,
    people,
};
use crate::{
    agent::{AgentError, Refusal},
    cli::output::Screen,
    config::{RunPlan, XdpChoice},
    datapath::{
        kernel::{Kept, OnHook},
        netlink::XdpProgram,
    },
    model::{Hook, Mode},
};

fn on(hook: Hook, kind: &'static str, id: u32, name: &str) -> OnHook {
    OnHook { hook, kind, id, name: Some(name.into()), priority: None }
}

/// An interface with this program's XDP (7) and TCX (8) on it.
fn counted() -> Interface {
    let programs = vec![on(Hook::Rx, "xdp", 7, "classifier_xdp"), on(Hook::Tx, "tcx", 8, "classifier_tx")];
    Interface { xdp: Some(XdpProgram { mode: "native", id: 7 }), programs, ..nic() }
}

fn kept(instance: &str) -> Kept {
    Kept { instance: instance.into(), programs: vec![7, 8], bytes: 1_000_000, ..Kept::default() }
}

fn with(kept: Option<Vec<Kept>>) -> Host {
    Host { kept, ..host("eth0", counted()) }
}

fn judged(keeps: Keeps, choice: XdpChoice, host: &Host) -> Report {
    judge(&plan("eth0", choice), keeps, host, Ok(Some(PREFIXES)))
}

#[test]
fn what_a_service_left_counting_is_gone_on_with() {
    let left = with(Some(vec![kept("default")]));
    let what = "eth0: what counts on eth0 is kept as `default` (program 7, classifier_xdp): ";
    // As root in a terminal, with the file that the service has.
    for (keeps, who) in [
        (None, "`run` goes on with it, as a service or with --keep\n"),
        (Some(true), "`run` goes on with it\n"),
    ] {
        let report = judged(keeps, XdpChoice::Auto, &left);
        assert!(report.ok, "{:?}", report.findings);
        assert_eq!(messages(&report, Level::Note), format!("{what}{who}"));
        assert_eq!(messages(&report, Level::Warning), "");
        let link = &report.links[0];
        assert_eq!((link.rx, link.tx), (Some(Mode::Native), Some(Mode::Tcx)));
        assert!(link.programs.iter().all(|program| program.kept.as_deref() == Some("default")));
    }
    // Nobody is told to take it off, who only has another mode or another way.
    let report = judged(None, XdpChoice::Tc, &left);
    assert!(report.ok);
    assert!(messages(&report, Level::Warning).contains("eth0 is counted at native now"));
    assert_eq!(report.links[0].rx, Some(Mode::Tcx));
    let report = judged(Some(false), XdpChoice::Auto, &left);
    assert!(!report.ok);
    assert_eq!(
        messages(&report, Level::Error),
        format!(
            "{what}without keep_counting `run` refuses to count beside it; with it (--keep) it goes on with it\n"
        )
    );
    let report = judged(None, XdpChoice::Auto, &with(Some(vec![kept("border")])));
    assert_eq!(
        messages(&report, Level::Error),
        "eth0: what counts on eth0 is kept as `border` (program 7, classifier_xdp): `--instance border` goes on with it; \
         as `default`, `run` refuses to count beside it\n"
    );
    // Where another process counts, it is that one's to say.
    let served = RunPlan { datapath: Some("/run/a.sock".into()), ..plan("eth0", XdpChoice::Auto) };
    let report = judge(&served, None, &with(Some(vec![kept("border")])), Ok(Some(PREFIXES)));
    assert!(
        report.ok
            && messages(&report, Level::Note).contains("`border` (program 7, classifier_xdp): `run` goes on")
    );
}

#[test]
fn filters_of_kernels_without_tcx_are_kept_too() {
    let programs =
        vec![on(Hook::Rx, "clsact", 7, "classifier_rx"), on(Hook::Tx, "clsact", 8, "classifier_tx")];
    let filters = Interface { programs, ..nic() };
    let left = Host { tcx: Some(false), kept: Some(vec![kept("default")]), ..host("eth0", filters.clone()) };
    let report = judged(Some(true), XdpChoice::Auto, &left);
    assert!(report.ok, "{:?}", report.findings);
    assert_eq!((report.links[0].rx, report.links[0].tx), (Some(Mode::Tc), Some(Mode::Tc)));
    assert_eq!(
        messages(&report, Level::Note),
        "eth0: what counts on eth0 is kept as `default` (program 7, classifier_rx): `run` goes on with it\n"
    );
    // Those of nobody's keeping are an agent's that runs, or was killed: every frame would count twice.
    let report = judged(None, XdpChoice::Tc, &Host { tcx: Some(false), ..host("eth0", filters) });
    let errors = messages(&report, Level::Error);
    assert!(
        errors.contains("another classifier counts on eth0 already (program 7, classifier_rx)"),
        "{errors}"
    );
    assert!(
        errors.contains("another classifier counts on eth0 already (program 8, classifier_tx)"),
        "{errors}"
    );
}

#[test]
fn an_agent_that_runs_is_ended_first_and_what_is_in_the_way_is_said() {
    let report = judged(None, XdpChoice::Auto, &with(Some(Vec::new())));
    let errors = messages(&report, Level::Error);
    assert!(
        errors.contains("another classifier counts on eth0 already (program 7, classifier_xdp)"),
        "{errors}"
    );
    for (kept, said) in [
        (
            Kept { elsewhere: true, ..kept("default") },
            "instance: `default` counts in another network namespace: ",
        ),
        (Kept { unreadable: Some("why".into()), ..kept("default") }, "instance: why\n"),
    ] {
        let report = judged(None, XdpChoice::Auto, &with(Some(vec![kept.clone()])));
        assert!(messages(&report, Level::Error).starts_with(said), "{:?}", report.findings);
        // Another instance's affairs are none of this one's.
        let other = Kept { instance: "other".into(), programs: vec![99], ..kept };
        let report = judged(None, XdpChoice::Auto, &Host { kept: Some(vec![other]), ..host("eth0", nic()) });
        assert!(report.ok, "{:?}", report.findings);
    }
    // What it listens on is in use by itself, and what a restart would find is what is asked.
    let taken = || Refusal {
        about: "listen",
        why: AgentError::Listen {
            address: "127.0.0.1:9469".parse().unwrap(),
            option: "--listen",
            source: io::ErrorKind::AddrInUse.into(),
        },
    };
    let running = Kept { running: true, ..kept("default") };
    let report = judged(None, XdpChoice::Auto, &Host { refused: vec![taken()], ..with(Some(vec![running])) });
    assert!(report.ok, "{:?}", report.findings);
    let notes = messages(&report, Level::Note);
    assert!(notes.contains("instance: an agent runs as `default`: a restart goes on with"), "{notes}");
    assert!(notes.contains("listen: cannot listen on 127.0.0.1:9469: "), "{notes}");
    let ended = Host { refused: vec![taken()], ..with(Some(vec![kept("default")])) };
    let errors = messages(&judged(None, XdpChoice::Auto, &ended), Level::Error);
    assert!(errors.contains("choose another one with --listen"), "{errors}");
    let nowhere = Host { bpffs: Some(false), ..host("eth0", nic()) };
    let level =
        |keeps| judged(keeps, XdpChoice::Auto, &nowhere).findings.first().map(|finding| finding.level);
    assert_eq!(
        (level(Some(true)), level(None), level(Some(false))),
        (Some(Level::Error), Some(Level::Note), None)
    );
}

#[test]
fn who_may_not_see_whose_a_program_is_is_not_told_to_take_it_off() {
    let nameless = |mut interface: Interface| {
        interface.programs.iter_mut().for_each(|program| program.name = None);
        interface
    };
    let blind = Host { kept: None, ..host("eth0", nameless(counted())) };
    let report = judged(None, XdpChoice::Auto, &blind);
    assert!(report.ok);
    let warning = messages(&report, Level::Warning);
    assert!(
        warning.starts_with("eth0: an XDP program (id 7, native) is on eth0 already, and only root sees"),
        "{warning}"
    );
    let report = judged(None, XdpChoice::Auto, &Host { kept: Some(Vec::new()), ..blind });
    assert!(!report.ok);
    // Names of filters are seen by everybody.
    let programs = vec![on(Hook::Tx, "clsact", 8, "classifier_tx")];
    let blind = Host { kept: None, tcx: Some(false), ..host("eth0", Interface { programs, ..nic() }) };
    let report = judged(None, XdpChoice::Auto, &blind);
    assert!(report.ok);
    assert!(messages(&report, Level::Warning).contains("unless it is kept, which only root sees"));
}

#[test]
fn memory_that_a_start_takes() {
    let fib = 74_000_000;
    let of = |kept| {
        let host = Host { fib_bytes: Some(fib), kept: Some(kept), ..host("eth0", nic()) };
        judged(None, XdpChoice::Auto, &host).memory
    };
    let memory = of(vec![]);
    // 910,002 classes of 24 bytes; of 700,000 prefixes, two sides and five outcomes of two hooks, 48 bytes each.
    let (class, carry) = (910_002 * 24, 2 * (5 + 2 * 700_000) * 48);
    assert_eq!((memory.class_bytes, memory.carry_bytes), (Some(class), Some(carry)));
    let new = memory.bank_bytes.unwrap() + class + carry;
    // Everything twice; once something is kept, that, as large as it is.
    assert_eq!((memory.kept_bytes, memory.start_bytes), (0, Some(2 * (fib + new))));
    let memory = of(vec![kept("default")]);
    assert_eq!((memory.kept_bytes, memory.start_bytes), (1_000_000, Some(2 * fib + new + 1_000_000)));
}

#[test]
fn people_see_all_of_it() {
    let kept = Some(vec![kept("default")]);
    let mystery = Interface { driver: Some("mystery".into()), features: None, mtu: 9000, ..nic() };
    let mut host =
        Host { loads: Some(Ok(())), bpffs: Some(true), fib_bytes: Some(74_000_000), kept, ..with(None) };
    host.interfaces.insert("eth1".into(), Interface { index: 3, ..mystery });
    let plan = RunPlan { wait: true, ..plan("eth0=transit eth1:vlan=7=ix eth2", XdpChoice::Auto) };
    let report = judge(&plan, Some(true), &host, Ok(Some(PREFIXES)));
    let shown = people::show(&report, Screen { width: 120, colour: false });
    insta::assert_snapshot!(shown);
}
