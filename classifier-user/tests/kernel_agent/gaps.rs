//! What was not counted is recorded: whatever ended the agent meanwhile, and whatever happened while none ran.

use std::{fs, path::Path};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    agent::{Agent, classifier, eventually},
    history::journaled,
    kept::{bpffs, keeping},
    lab::{Peer, in_namespace, run, tid, veth},
    world::{Files, ip, send_from, wire},
};

/// The gaps of a file of the state directory, a line each.
fn recorded(state: &Path, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(state.join(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Gaps that are over.
fn over(state: &Path) -> Vec<Value> {
    recorded(state, "gaps.jsonl")
}

/// Gaps that last.
fn lasting(state: &Path) -> Vec<Value> {
    recorded(state, "gaps-open.jsonl")
}

fn time(value: &Value) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}

#[test]
fn a_gap_outlives_whoever_is_killed() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        for kept in [true, false] {
            let state = tempfile::tempdir().expect("a directory");
            let state = state.path();
            let arguments = match kept {
                true => keeping(&files, &bpffs),
                false => format!("-i r0=transit {} --no-keep", files.arguments()),
            };
            let arguments = format!("{arguments} --wait --state-dir {}", state.display());
            let agent = Agent::start(&arguments);
            let before = Timestamp::now();
            run("ip link del r0");
            let gap = eventually("it is on the disk while it lasts", || lasting(state).pop());
            let began = time(&gap["from"]);
            assert!(before <= began && began <= Timestamp::now(), "{gap}");
            assert_eq!(
                (&gap["link"], &gap["why"], &gap["to"]),
                (&json!("transit"), &json!("r0 is gone"), &Value::Null)
            );
            assert_eq!(over(state), Vec::<Value>::new());
            agent.end(libc::SIGKILL);

            // The next ones go on with it, from its beginning.
            for life in 0..3 {
                let agent = Agent::start(&arguments);
                let status = agent.status();
                assert_eq!(status["gaps"], json!([gap]), "{status}");
                assert_eq!(status["warnings"], json!(["transit: r0 is gone: nothing is counted there"]));
                agent.two_sweeps();
                assert_eq!((lasting(state), over(state)), (vec![gap.clone()], vec![]));
                match life {
                    0 => {
                        // SAFETY: no memory is passed; a child of the agent's.
                        assert_eq!(unsafe { libc::kill(agent.other_half() as i32, libc::SIGKILL) }, 0);
                        assert_eq!(agent.ended().0.code(), Some(1));
                    }
                    1 => drop(agent.end(libc::SIGKILL)),
                    // Ended in peace: nothing is counted of any link then, or this one's gap lasts.
                    _ if kept => drop(agent.end(libc::SIGTERM)),
                    _ => drop(agent),
                }
            }
            // It is back while nobody is there to see it.
            veth(&peer, "r0", "p0", 1500);
            let agent = Agent::start(&arguments);
            let gaps = eventually("it is over", || Some(over(state)).filter(|gaps| !gaps.is_empty()));
            assert_eq!(gaps.len(), 1, "{gaps:?}");
            assert_eq!((&gaps[0]["from"], &gaps[0]["why"]), (&gap["from"], &gap["why"]));
            assert!(time(&gaps[0]["to"]) > began && time(&gaps[0]["to"]) <= Timestamp::now(), "{gaps:?}");
            eventually("none lasts", || lasting(state).is_empty().then_some(()));
            assert_eq!(agent.status()["gaps"], json!(gaps));
            assert_eq!(agent.metrics().one("classifier_link_gaps_total", &[]), 1.0);
            send_from(&peer, "p0", &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
            agent.settled(&[("transit rx", 3)]);
            agent.end(libc::SIGTERM);
            assert_eq!((lasting(state), over(state)), (vec![], gaps));
            classifier(&format!("detach --bpffs {}", bpffs.display()));
        }
    });
}

#[test]
fn what_is_replaced_while_no_agent_runs_is_a_gap_since_the_last_sweep() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        for mode in ["", "--xdp-mode tc --clsact"] {
            let state = tempfile::tempdir().expect("a directory");
            let state = state.path();
            let arguments =
                format!("{} {mode} --wait --state-dir {}", keeping(&files, &bpffs), state.display());
            let gone = "transit: what counted receive and transmit of r0 was gone when the agent began";
            // What is sent right after the interface came up may not arrive: until so many have.
            let count = |agent: &Agent, total: u64| {
                send_from(&peer, "p0", &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
                agent.settled(&[("transit rx", total)]);
                journaled(agent);
                // Journals have microseconds.
                let last = time(&agent.status()["history"]["open_slot"]["last"]).as_microsecond();
                Timestamp::from_microsecond(last).expect("a time")
            };
            let agent = Agent::start(&arguments);
            let last = count(&agent, 3);
            agent.end(libc::SIGKILL);
            let seen = Timestamp::now();
            run("ip link del r0");
            veth(&peer, "r0", "p0", 1500);
            let agent = Agent::start(&arguments);
            agent.wait_log(0, &format!("{gone}: nothing was counted there from some time after "));
            let first = eventually("it is recorded", || over(state).pop());
            assert!((last..=seen).contains(&time(&first["from"])), "{last} {first} {seen}");
            assert!(time(&first["to"]) > seen && time(&first["to"]) <= Timestamp::now(), "{first}");
            assert_eq!((agent.status()["gaps"].clone(), lasting(state)), (json!([first]), vec![]));
            assert_eq!(agent.metrics().one("classifier_link_gaps_total", &[]), 1.0);
            let last = count(&agent, 6);
            agent.end(libc::SIGTERM);

            // Once only; and gone for longer.
            let seen = Timestamp::now();
            run("ip link del r0");
            let agent = Agent::start(&arguments);
            agent.wait_log(0, gone);
            let gap = eventually("it is recorded", || lasting(state).pop());
            assert!((last..=seen).contains(&time(&gap["from"])), "{last} {gap} {seen}");
            agent.end(libc::SIGKILL);
            let agent = Agent::start(&arguments);
            assert_eq!(agent.status()["gaps"], json!([gap]));
            veth(&peer, "r0", "p0", 1500);
            agent.wait_log(0, "transit: r0 is counted again; nothing was for ");
            let gaps = eventually("it is over", || Some(over(state)).filter(|gaps| gaps.len() == 2));
            assert_eq!((&gaps[0], &gaps[1]["from"]), (&first, &gap["from"]));
            agent.end(libc::SIGTERM);
            let agent = Agent::start(&arguments);
            assert!(!agent.log().contains("was gone when"), "{}", agent.log());
            agent.two_sweeps();
            assert_eq!((over(state), lasting(state)), (gaps, vec![]));
            agent.end(libc::SIGTERM);
            classifier(&format!("detach --bpffs {}", bpffs.display()));
        }
    });
}

#[test]
fn attaching_anew_the_other_way_is_a_gap_of_a_moment() {
    in_namespace(|| {
        let (peer, files, state) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let bpffs = bpffs(&files);
        let state = state.path();
        let arguments = format!("{} --state-dir {}", keeping(&files, &bpffs), state.display());
        Agent::start(&arguments).end(libc::SIGTERM);
        let before = Timestamp::now();
        for (number, mode) in [(1, "--xdp-mode tc --clsact"), (2, "--xdp-mode native")] {
            let agent = Agent::start(&format!("{arguments} {mode}"));
            agent.wait_log(0, "r0: attached anew, the other way: nothing was counted meanwhile");
            let gaps = eventually("it is recorded", || Some(over(state)).filter(|gaps| gaps.len() == number));
            let gap = &gaps[number - 1];
            assert_eq!(gap["why"], "receive of r0 was attached anew");
            assert!(before < time(&gap["from"]) && time(&gap["from"]) < time(&gap["to"]), "{gap}");
            assert!(!agent.log().contains("was gone when"), "{}", agent.log());
            send_from(&peer, "p0", &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
            agent.settled(&[("transit rx", 3 * number as u64)]);
            agent.end(libc::SIGTERM);
        }
        assert_eq!(lasting(state), Vec::<Value>::new());
        classifier(&format!("detach --bpffs {}", bpffs.display()));
    });
}

#[test]
fn a_program_that_is_taken_off_is_a_gap_until_it_is_back() {
    in_namespace(|| {
        let (peer, files, state) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let bpffs = bpffs(&files);
        let state = state.path();
        let arguments =
            format!("{} --xdp-mode tc --clsact --state-dir {}", keeping(&files, &bpffs), state.display());
        let before = Timestamp::now();
        let agent = Agent::start(&arguments);
        agent.two_sweeps();
        assert_eq!(agent.status()["gaps"], json!([]));
        run("tc filter del dev r0 ingress");
        let gap = eventually("it is on the disk", || lasting(state).pop());
        assert_eq!(
            (&gap["why"], &gap["to"]),
            (&json!("the program on receive of r0 was taken off"), &Value::Null)
        );
        let from = time(&gap["from"]);
        assert!((before..=Timestamp::now()).contains(&from), "{gap}");
        let status = eventually("the status says so", || {
            Some(agent.status()).filter(|status| status["gaps"] == json!([gap]))
        });
        assert_eq!(status["warnings"].as_array().map(Vec::len), Some(1), "{status}");
        assert_eq!(agent.metrics().one("classifier_link_up", &[]), 0.0);
        run("tc filter del dev r0 egress");
        let both = eventually("the other one, too", || {
            lasting(state)
                .pop()
                .filter(|gap| gap["why"] == "the programs on receive and transmit of r0 were taken off")
        });
        assert_eq!(both["from"], gap["from"]);
        agent.end(libc::SIGKILL);

        let agent = Agent::start(&arguments);
        let gaps = eventually("it is over", || Some(over(state)).filter(|gaps| !gaps.is_empty()));
        assert_eq!((gaps.len(), &gaps[0]["from"], &gaps[0]["why"]), (1, &gap["from"], &both["why"]));
        assert_eq!((agent.status()["gaps"].clone(), lasting(state)), (json!(gaps), vec![]));
        assert_eq!(agent.metrics().one("classifier_link_gaps_total", &[]), 1.0);
        assert!(agent.metrics().one("classifier_link_gap_seconds_total", &[]) > 0.0);
        send_from(&peer, "p0", &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
        agent.settled(&[("transit rx", 3)]);
        agent.end(libc::SIGTERM);
        classifier(&format!("detach --bpffs {}", bpffs.display()));
    });
}

/// What counted it lives, and counts nothing of it: the name is another interface's, or nobody's.
#[test]
fn an_interface_that_lost_its_name_while_no_agent_ran_is_a_gap_since_the_last_sweep() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        for (mode, ends) in [("", ["q0", "s0"]), ("--xdp-mode tc --clsact", ["q1", "s1"])] {
            let state = tempfile::tempdir().expect("a directory");
            let state = state.path();
            let arguments =
                format!("{} {mode} --wait --state-dir {}", keeping(&files, &bpffs), state.display());
            let gone = "transit: what counted receive and transmit of r0 was gone when the agent began";
            let begin = || {
                let agent = Agent::start(&arguments);
                agent.two_sweeps();
                agent
            };
            let last = |agent: &Agent| {
                journaled(agent);
                let last = time(&agent.status()["history"]["open_slot"]["last"]).as_microsecond();
                Timestamp::from_microsecond(last).expect("a time")
            };
            let agent = begin();
            let swept = last(&agent);
            agent.end(libc::SIGKILL);
            let seen = Timestamp::now();
            run("ip link set r0 down");
            run("ip link set r0 name old");
            run("ip link set old up");
            veth(&peer, "r0", ends[0], 1500);
            let agent = begin();
            agent.wait_log(0, gone);
            let gap = eventually("it is recorded", || over(state).pop());
            assert!((swept..=seen).contains(&time(&gap["from"])), "{swept} {gap} {seen}");
            assert!(time(&gap["to"]) > seen, "{gap}");
            send_from(&peer, ends[0], &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
            agent.settled(&[("transit rx", 3)]);
            let swept = last(&agent);
            agent.end(libc::SIGTERM);

            // Into another network namespace, where its number may be the same.
            let seen = Timestamp::now();
            let elsewhere = Peer::new();
            run(&format!("ip link set r0 netns {}", elsewhere.run(tid)));
            let agent = begin();
            agent.wait_log(0, gone);
            let gap = eventually("it is recorded", || lasting(state).pop());
            assert!((swept..=seen).contains(&time(&gap["from"])), "{swept} {gap} {seen}");
            veth(&peer, "r0", ends[1], 1500);
            agent.wait_log(0, "transit: r0 is counted again");
            eventually("it is over", || Some(over(state)).filter(|gaps| gaps.len() == 2));
            agent.end(libc::SIGTERM);

            // Another interface that is asked for is no gap.
            let agent = Agent::start(&arguments.replace("r0=transit", "old=transit"));
            agent.two_sweeps();
            assert!(!agent.log().contains("was gone when"), "{}", agent.log());
            assert_eq!((over(state).len(), lasting(state)), (2, vec![]));
            agent.end(libc::SIGTERM);
            classifier(&format!("detach --bpffs {}", bpffs.display()));
            run("ip link del old");
        }
    });
}
