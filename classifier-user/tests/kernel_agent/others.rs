//! Somebody else's programs and filters beside the agent's: what they do to the counts is said by `check`, in the log and in
//! the status, at the start and when they come later.

use std::process::Command;

use classifier_user::{
    datapath::{
        Sizes,
        kernel::{Among, Kernel, OBJECT_HARNESS},
    },
    model::Hook,
};
use serde_json::Value;

use crate::{
    agent::{Agent, classifier, eventually, refused, tc},
    lab::{Raw, in_namespace, run},
    positions::check,
    world::{Files, ROUTES, ip, more_routes, send_from, wire},
};

/// A program of the harness on r0, until this is dropped.
fn foreign(name: &str, hook: Hook, among: Among) -> Kernel {
    let sizes = Sizes { classes: 64, v4_rows: 1, v6_rows: 1, v6_nodes: 1 };
    let mut kernel = Kernel::load_object(OBJECT_HARNESS, &sizes, &[]).expect("harness");
    kernel.attach_classifier(name, "r0", hook, among).expect("a foreign program");
    kernel
}

/// Sends this many frames out of r0, which may drop them.
fn offer(frames: u64) {
    let (raw, frame) = (Raw::new("r0"), ip("192.0.2.1", "45.57.0.1", 100));
    (0..frames).for_each(|_| {
        raw.offer(&frame);
    });
}

fn warns(status: &Value, text: &str) -> bool {
    let warnings = status["warnings"].as_array().expect("warnings");
    warnings.iter().any(|warning| warning.as_str().is_some_and(|warning| warning.contains(text)))
}

const BEHIND: &str = "what it drops or redirects is counted all the same";
const FIRST: &str = "it sees frames first, and what it accepts, drops or redirects itself is not counted";

#[test]
fn a_program_that_accepts_or_drops_hides_nothing_and_is_named() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        run("tc qdisc add dev r0 clsact");
        let arguments = format!("-i r0=up {} --xdp-mode tc", files.arguments());
        let (first, last) = match tc() {
            "tcx" => (Among::First, Among::Last),
            _ => (Among::Filters(3), Among::Filters(0)),
        };
        for name in ["tc_accept", "tc_drop"] {
            let theirs = Hook::ALL.map(|hook| foreign(name, hook, last));
            let (_, said) = check(&arguments);
            let line = |hook: &str, level: &str, effect: &str| {
                let on = format!("on {hook} there is a ");
                let mut lines = said.lines().filter(|line| line.contains(&on) && line.contains(name));
                let line = lines.next().unwrap_or_else(|| panic!("{name} on {hook}: {said}"));
                assert!(
                    line.starts_with(&format!("\"{level}\"")) && line.trim_end_matches('"').ends_with(effect),
                    "{line}"
                );
            };
            line("receive", "note", "frames are counted before it sees them");
            line("transmit", "warning", BEHIND);
            let agent = Agent::start(&arguments);
            offer(500);
            send_from(&peer, "p0", &vec![(500, ip("45.57.0.1", "192.0.2.1", 1000))]);
            let status = agent.settled(&[("up tx", 500), ("up rx", 500)]);
            assert!(warns(&status, name) && warns(&status, BEHIND), "{status}");
            assert!(agent.log().contains(BEHIND), "{}", agent.log());

            // One that comes later, and before ours.
            let before = agent.log().len();
            let later = foreign(name, Hook::Tx, first);
            agent.wait_log(before, FIRST);
            eventually("the status says so too", || warns(&agent.status(), FIRST).then_some(()));
            let (_, said) = check(&arguments);
            assert!(said.contains(FIRST), "{said}");
            drop(later);
            eventually("the warning goes", || (!warns(&agent.status(), FIRST)).then_some(()));
            drop((agent, theirs));
        }
    });
}

/// Also one that is no program: of these every kernel has the classic kind of `bpf`, which accepts.
#[test]
fn a_filter_of_the_first_priority_is_before_ours_and_named() {
    in_namespace(|| {
        let (_peer, files) = (wire(), Files::new());
        run("tc qdisc add dev r0 clsact");
        let filter = "filter add dev r0 egress prio 1 protocol all bpf da bytecode".split(' ');
        let added = Command::new("tc").args(filter).arg("1,6 0 0 0").status();
        assert!(added.expect("tc").success());
        let _program = foreign("tc_accept", Hook::Rx, Among::Filters(1));
        let arguments = format!("-i r0=up {} --xdp-mode tc --clsact", files.arguments());
        let (link, said) = check(&arguments);
        for its in [
            "on receive there is a clsact filter (prio 1, id ",
            "on transmit there is a clsact filter (prio 1, bpf)",
        ] {
            let line =
                said.lines().find(|line| line.contains(its)).unwrap_or_else(|| panic!("{its}: {said}"));
            assert!(line.starts_with("\"warning\"") && line.trim_end_matches('"').ends_with(FIRST), "{line}");
        }
        let programs = link["programs"].as_array().expect("programs");
        let other = programs.iter().find(|on| on["name"] == "bpf").expect("the filter");
        assert_eq!(
            (&other["priority"], &other["id"], &other["kind"]),
            (&1.into(), &Value::Null, &"clsact".into())
        );
        let agent = Agent::start(&arguments);
        for its in [
            "r0: on receive there is a clsact filter (prio 1, id ",
            "r0: on transmit there is a clsact filter (prio 1, bpf)",
        ] {
            assert!(warns(&agent.status(), its) && agent.log().contains(its), "{}", agent.log());
        }
        assert!(agent.log().contains(FIRST), "{}", agent.log());
        // With TCX ours is before all filters.
        if tc() == "tcx" {
            drop(agent);
            let arguments = arguments.replace(" --clsact", "");
            assert!(!check(&arguments).1.contains(FIRST));
            let agent = Agent::start(&arguments);
            offer(50);
            agent.settled(&[("up tx", 50)]);
        }
    });
}

/// It is tried, in a place where nobody is disturbed.
#[test]
fn what_is_taken_without_tcx_is_tried() {
    in_namespace(|| {
        let (_peer, files) = (wire(), Files::new());
        let clsact = |arguments: &str| {
            let output = classifier(&format!("check -i r0 {} {arguments} --json", files.arguments()));
            let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let features = report["kernel_features"].as_array().expect("features");
            features
                .iter()
                .find(|feature| feature["name"] == "clsact")
                .map(|feature| feature["found"].clone())
        };
        assert_eq!(clsact("--clsact"), Some(Value::Bool(true)));
        assert_eq!(clsact("").is_some(), tc() == "tc", "where it is not taken it is not asked for");
        assert!(!run("tc qdisc show").contains("clsact"), "nothing is left");
    });
}

/// The qdisc of before clsact takes filters for transmit, and asks them of what is received.
#[test]
fn the_qdisc_ingress_has_no_side_of_transmit() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        run("tc qdisc add dev r0 handle ffff: ingress");
        let filter = "filter add dev r0 parent ffff: prio 9 protocol all bpf bytecode".split(' ');
        let added = Command::new("tc").args(filter).arg("1,6 0 0 0").status();
        assert!(added.expect("tc").success());
        let theirs = || run("tc qdisc show dev r0") + &run("tc filter show dev r0 ingress");
        let before = theirs();
        let arguments = format!("-i r0=up {} --xdp-mode tc", files.arguments());
        let filters = format!("{arguments} --clsact");
        let why = "r0 has the qdisc `ingress`, which has no side of transmit";
        let said = refused(&format!("run {filters}"));
        assert!(said.contains(why), "{said}");
        let (link, said) = check(&filters);
        assert!(said.contains(why) && link["tx"].is_null(), "{link} {said}");
        assert_eq!(theirs(), before, "nothing was touched");
        if tc() == "tcx" {
            let agent = Agent::start(&arguments);
            offer(3);
            send_from(&peer, "p0", &vec![(5, ip("45.57.0.1", "192.0.2.1", 1000))]);
            let status = agent.settled(&[("up tx", 3), ("up rx", 5)]);
            assert_eq!(status["warnings"], serde_json::json!([]), "theirs is behind ours on receive");
            let (_, said) = check(&arguments);
            assert!(!said.contains("on transmit there is"), "{said}");
        }
        assert_eq!(theirs(), before);
    });
}

/// By TCX's predecessor a place is a number, which somebody else may have taken.
#[test]
fn a_filter_in_the_place_of_ours_is_not_touched() {
    in_namespace(|| {
        let (_peer, files) = (wire(), Files::new());
        let arguments = format!("-i r0=up {} --xdp-mode tc --clsact --no-reload", files.arguments());
        for ends in ["removed", "grown"] {
            let agent = Agent::start(&arguments);
            let shown = || run("tc filter show dev r0 egress");
            let ours = shown();
            let word = |name: &str| {
                let mut words = ours.split_whitespace().skip_while(|word| *word != name);
                words.nth(1).unwrap_or_else(|| panic!("no {name}: {ours}")).to_owned()
            };
            let (priority, handle) = (word("pref"), word("handle"));
            run(&format!("tc filter del dev r0 egress pref {priority}"));
            let theirs = format!("filter add dev r0 egress pref {priority} handle {handle} protocol all");
            let added = Command::new("tc")
                .args(theirs.split(' '))
                .args(["bpf", "da", "bytecode", "1,6 0 0 0"])
                .status();
            assert!(added.expect("tc").success());
            let theirs = shown();
            agent.wait_log(0, "the program on transmit of r0 was taken off");
            if ends == "grown" {
                files.write("table.csv", &(ROUTES.to_owned() + &more_routes()));
                agent.signal(libc::SIGHUP);
                agent.wait_log(0, "a program could not be replaced by that of larger maps");
                assert_eq!(shown(), theirs);
            }
            agent.end(libc::SIGTERM);
            assert_eq!(shown(), theirs, "{ends}");
            run("tc qdisc del dev r0 clsact");
        }
    });
}
