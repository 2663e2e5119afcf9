//! What was not counted is recorded: whatever ended the agent meanwhile, and whatever happened while none ran.

use std::{fs, path::Path};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    agent::{Agent, classifier, eventually},
    keep::{bpffs, keeping},
    lab::{in_namespace, run, veth},
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
