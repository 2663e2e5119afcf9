//! Interfaces that go, come, and change their names and places under the agent, and programs that somebody takes off.

use std::fs;

use serde_json::Value;

use crate::{
    agent::{Agent, classifier, counter, eventually, refused, stdout},
    history::{Past, journaled},
    kept::{Traces, bpffs, counts, keeping, pins},
    lab::{Peer, in_namespace, run, statistic, tid, veth},
    world::{Files, ip, outward, send, send_from, sum, wire},
};

#[test]
fn detached_under_a_running_agent_it_says_so() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        let before = Traces::of(&bpffs);
        for mode in ["", "--xdp-mode tc --clsact"] {
            let agent = Agent::start(&format!("{} {mode}", keeping(&files, &bpffs)));
            send_from(&peer, "p0", &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
            agent.settled(&[("transit rx", 3)]);
            classifier(&format!("detach --bpffs {}", bpffs.display()));
            assert_eq!(Traces::of(&bpffs), before, "{mode}");
            agent.wait_log(0, "the program on receive of r0 was taken off");
            agent.wait_log(0, "the program on transmit of r0 was taken off");
            let link = eventually("the links say so", || {
                let link = agent.ask("links")["links"][0]["directions"]["in"].clone();
                link["mode"].is_null().then_some(link)
            });
            assert_eq!(counter(&link["since_start"]), (3, 300), "{mode}");
            let (status, _) = agent.end(libc::SIGTERM);
            assert_eq!(status.code(), Some(0));
            assert_eq!(Traces::of(&bpffs), before, "{mode}");
            eventually("it is gone", || (!counts("r0")).then_some(()));
        }
        // One filter of the two, by another administrator.
        let agent = Agent::start(&format!("{} --xdp-mode tc --clsact", keeping(&files, &bpffs)));
        run("tc filter del dev r0 ingress");
        agent.wait_log(0, "the program on receive of r0 was taken off");
        send("r0", &vec![(2, ip("192.0.2.1", "8.8.8.8", 100))]);
        agent.settled(&[("transit tx", 2)]);
        eventually("the status says so", || agent.status()["links"][0]["rx"].is_null().then_some(()));
        assert_eq!(agent.metrics().one("classifier_link_up", &[]), 0.0);
        agent.end(libc::SIGTERM);
        classifier(&format!("detach --bpffs {}", bpffs.display()));
        assert_eq!(Traces::of(&bpffs), before);
    });
}

/// Sends until so many more have arrived: what is sent right after the interface came up may not.
fn arrive(peer: &Peer, from: &'static str, interface: &str, times: u64) {
    let arrived = || statistic(interface, "rx_packets");
    let before = arrived();
    while arrived() < before + times {
        let frames = vec![(before + times - arrived(), ip("8.8.8.8", "192.0.2.1", 100))];
        send_from(peer, from, &frames);
    }
}

/// Takes the interface away and makes it again, in each of the ways that there are.
#[test]
fn an_interface_that_is_made_again_is_counted_again() {
    in_namespace(|| {
        let (peer, files, state) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let bpffs = bpffs(&files);
        let frames_of = |times: u64| vec![(times, ip("8.8.8.8", "192.0.2.1", 100))];
        for (mode, kept) in
            [("", false), ("--xdp-mode tc --clsact", false), ("", true), ("--xdp-mode tc --clsact", true)]
        {
            let keep =
                if kept { format!("--keep --bpffs {}", bpffs.display()) } else { "--no-keep".to_owned() };
            let state = state.path().join(format!("{}{kept}", mode.len()));
            let arguments =
                format!("-i r0=transit {} {mode} {keep} --state-dir {}", files.arguments(), state.display());
            let agent = Agent::start(&arguments);
            let mut total = 0;
            let count = |total: &mut u64, times: u64, interface: &str| {
                arrive(&peer, "p0", interface, times);
                *total += times;
                agent.settled(&[("transit rx", *total)]);
            };
            count(&mut total, 3, "r0");

            // Removed, and made again.
            let log = agent.log().len();
            run("ip link del r0");
            agent.wait_log(log, "transit: r0 is gone: nothing is counted there until it is back");
            // What the status says is of the last sweep.
            let status = eventually("the status says so", || {
                let status = agent.status();
                status["links"][0]["rx"].is_null().then_some(status)
            });
            assert_eq!(status["gaps"][0]["to"], Value::Null, "{status}");
            assert_eq!(status["gaps"][0]["link"], "transit", "{status}");
            assert!(status["warnings"][0].as_str().expect("text").contains("r0 is gone"), "{status}");
            assert_eq!(agent.metrics().one("classifier_link_up", &[]), 0.0);
            veth(&peer, "r0", "p0", 1500);
            agent.wait_log(log, "transit: r0 is counted again; nothing was for ");
            let status = eventually("the status says so", || {
                let status = agent.status();
                status["gaps"][0]["to"].is_string().then_some(status)
            });
            assert_eq!(status["warnings"], serde_json::json!([]), "{status}");
            count(&mut total, 4, "r0");
            assert_eq!(agent.metrics().one("classifier_link_up", &[]), 1.0);
            assert_eq!(agent.metrics().one("classifier_link_gaps_total", &[]), 1.0);
            assert!(agent.metrics().one("classifier_link_gap_seconds_total", &[]) > 0.0);

            // Down and up.
            run("ip link set r0 down");
            run("ip link set r0 up");
            count(&mut total, 5, "r0");

            // Renamed: counted on, and back.
            let log = agent.log().len();
            run("ip link set r0 down");
            run("ip link set r0 name wan0");
            run("ip link set wan0 arp off up");
            agent.wait_log(log, "r0 is called wan0 now: it is counted on");
            count(&mut total, 6, "wan0");
            run("ip link set wan0 down");
            run("ip link set wan0 name r0");
            run("ip link set r0 arp off up");
            agent.wait_log(log, "r0 has its name again");
            count(&mut total, 7, "r0");

            // To another namespace: not counted there, though its number may be the same; and back.
            let log = agent.log().len();
            let elsewhere = Peer::new();
            run(&format!("ip link set r0 netns {}", elsewhere.run(tid)));
            agent.wait_log(log, "transit: r0 is gone");
            let here = tid();
            elsewhere.run(|| run("ip link set r0 arp off up"));
            send_from(&peer, "p0", &frames_of(50));
            elsewhere.run(move || run(&format!("ip link set r0 netns {here}")));
            run("ip link set r0 arp off up");
            agent.wait_log(log, "transit: r0 is counted again");
            count(&mut total, 8, "r0");

            journaled(&agent);
            agent.metrics().assert_clean();
            let (status, log) = agent.end(libc::SIGTERM);
            assert_eq!(status.code(), Some(0), "{log}");
            let gaps = fs::read_to_string(state.join("gaps.jsonl")).expect("there were gaps");
            assert_eq!(gaps.lines().count(), 2, "{gaps}");
            for line in gaps.lines() {
                let gap: Value = serde_json::from_str(line).expect("JSON");
                assert!(gap["from"].as_str() < gap["to"].as_str() && gap["why"] == "r0 is gone", "{gap}");
            }
            assert_eq!(Past::of(&state).frames_in(), (total, total * 100));
            let detached = stdout(&classifier(&format!("detach --bpffs {}", bpffs.display())));
            assert_eq!(detached.contains("kept as default"), kept, "{detached}");
            assert!(!counts("r0"));
        }
    });
}

#[test]
fn one_that_comes_later_is_waited_for() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let said = refused(&format!("run -i r0 -i r1=ix {}", files.arguments()));
        assert!(said.contains("there is no interface r1"), "{said}");
        let agent = Agent::start(&format!("-i r0=transit -i r1=ix --wait {}", files.arguments()));
        let status = agent.status();
        assert_eq!(
            status["warnings"],
            serde_json::json!(["ix: r1 is not there yet: nothing is counted there"])
        );
        send_from(&peer, "p0", &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
        agent.settled(&[("transit rx", 3)]);
        veth(&peer, "r1", "p1", 1500);
        agent.wait_log(0, "ix: r1 is counted again");
        send_from(&peer, "p1", &vec![(4, ip("45.57.0.1", "192.0.2.1", 100))]);
        agent.settled(&[("transit rx", 3), ("ix rx", 4)]);
        // The name goes over to another interface.
        let log = agent.log().len();
        run("ip link set r1 down");
        run("ip link set r1 name old");
        run("ip link set old up");
        agent.wait_log(log, "r1 is called old now");
        veth(&peer, "r1", "q1", 1500);
        agent.wait_log(log, "ix: r1 is another interface now, and the one before is old");
        agent.wait_log(log, "ix: r1 is counted again");
        send_from(&peer, "p1", &vec![(9, ip("45.57.0.1", "192.0.2.1", 100))]);
        send_from(&peer, "q1", &vec![(5, ip("45.57.0.1", "192.0.2.1", 100))]);
        agent.settled(&[("transit rx", 3), ("ix rx", 9)]);
        assert_eq!(agent.end(libc::SIGTERM).0.code(), Some(0));
        assert!(!counts("old") && !counts("r1") && !counts("r0"));
    });
}

/// Does something while the agent looks at nothing.
fn unseen(agent: &Agent, change: impl FnOnce()) {
    agent.signal(libc::SIGSTOP);
    eventually("all its threads stand still", || {
        let threads = fs::read_dir(format!("/proc/{}/task", agent.id())).expect("threads").flatten();
        let mut states = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
        states.all(|status| status.contains("State:\tT")).then_some(())
    });
    change();
    agent.signal(libc::SIGCONT);
}

fn rename(from: &str, to: &str) {
    run(&format!("ip link set {from} down"));
    run(&format!("ip link set {from} name {to}"));
    run(&format!("ip link set {to} up"));
}

/// Two interfaces exchange their names, at once or with the second name free for a while; `mode` is how they are counted.
fn exchanged(mode: &str, keep: bool, at_once: bool) {
    let (peer, files) = (wire(), Files::new());
    veth(&peer, "r1", "p1", 1500);
    let bpffs = bpffs(&files);
    let kept = if keep { format!("--keep --bpffs {}", bpffs.display()) } else { "--no-keep".to_owned() };
    let agent = Agent::start(&format!("-i r0=transit -i r1=ix {} {mode} {kept}", files.arguments()));
    arrive(&peer, "p0", "r0", 3);
    arrive(&peer, "p1", "r1", 4);
    agent.settled(&[("transit rx", 3), ("ix rx", 4)]);

    let log = agent.log().len();
    unseen(&agent, || {
        rename("r0", "old");
        rename("r1", "r0");
        if at_once {
            rename("old", "r1");
        }
    });
    agent.wait_log(log, "transit: r0 is counted again");
    arrive(&peer, "p1", "r0", 5);
    if !at_once {
        agent.wait_log(log, "ix: r1 is called r0 now, and that is another link's: nothing is counted there");
        let status = agent.settled(&[("transit rx", 8)]);
        assert!(status["links"][1]["rx"].is_null(), "{status}");
        let open: Vec<_> =
            status["gaps"].as_array().expect("gaps").iter().filter(|gap| gap["to"].is_null()).collect();
        assert!(open.len() == 1 && open[0]["link"] == "ix", "{status}");
        rename("old", "r1");
    }
    agent.wait_log(log, "ix: r1 is counted again");
    arrive(&peer, "p0", "r1", 6);
    let status = agent.settled(&[("transit rx", 8), ("ix rx", 10)]);
    assert_eq!(status["warnings"], serde_json::json!([]), "{status}");
    let gaps = status["gaps"].as_array().expect("gaps");
    assert!(gaps.len() == 2 && gaps.iter().all(|gap| gap["to"].is_string()), "{status}");
    let said = agent.log().split_off(log);
    assert!(!said.contains("already"), "nobody is in another one's way: {said}");

    let (status, log) = agent.end(libc::SIGTERM);
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!((counts("r0"), counts("r1")), (keep, keep));
    classifier(&format!("detach --bpffs {}", bpffs.display()));
    assert!(!counts("r0") && !counts("r1"));
}

#[test]
fn interfaces_that_exchange_their_names_count_for_the_links_of_these() {
    for mode in ["", "--xdp-mode tc --clsact"] {
        for (keep, at_once) in [(false, true), (false, false), (true, true), (true, false)] {
            in_namespace(|| exchanged(mode, keep, at_once));
        }
    }
}

/// The interface has a clsact qdisc.
fn has_clsact(interface: &str) -> bool {
    run(&format!("tc qdisc show dev {interface}")).contains("clsact")
}

#[test]
fn an_interface_that_is_counted_no_more_keeps_no_qdisc() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        for (keep, there) in [("--no-keep", "q0"), ("--keep", "q1")] {
            let arguments = format!(
                "-i r0=transit {} --xdp-mode tc --clsact {keep} --bpffs {}",
                files.arguments(),
                bpffs.display()
            );
            let mut agent = Agent::start(&arguments);
            assert!(has_clsact("r0"));
            if keep == "--keep" {
                // Of an agent before, it is this one's as well.
                agent.end(libc::SIGKILL);
                agent = Agent::start(&arguments);
            }
            run("ip link set r0 down");
            run("ip link set r0 name old");
            run("ip link set old up");
            agent.wait_log(0, "r0 is called old now");
            assert!(has_clsact("old"));
            veth(&peer, "r0", there, 1500);
            agent.wait_log(0, "transit: r0 is counted again");
            assert!(has_clsact("r0") && !has_clsact("old"), "{}", run("tc qdisc show"));
            agent.end(libc::SIGTERM);
            classifier(&format!("detach --bpffs {}", bpffs.display()));
            assert!(!has_clsact("r0"), "{}", run("tc qdisc show"));
            run("ip link del old");
        }
    });
}

#[test]
fn a_filter_that_larger_maps_do_not_find_is_taken_off_and_missed() {
    in_namespace(|| {
        let (_peer, files, state) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let bpffs = bpffs(&files);
        let arguments = keeping(&files, &bpffs);
        let agent = Agent::start(&format!(
            "{arguments} --xdp-mode tc --clsact --no-reload --state-dir {}",
            state.path().display()
        ));
        // Somebody puts it at another place among the filters: it counts on, and is not found where it was put.
        let program = pins(&bpffs).into_iter().find(|path| path.ends_with("/classifier_rx")).expect("pinned");
        let filters = || run("tc filter show dev r0 ingress");
        run(&format!(
            "tc filter add dev r0 ingress pref 9 protocol all bpf direct-action object-pinned {program}"
        ));
        run("tc filter del dev r0 ingress pref 7");
        assert_eq!(filters().matches(" handle ").count(), 1, "{}", filters());
        agent.two_sweeps();
        assert_eq!(agent.status()["warnings"], serde_json::json!([]));

        let many = crate::world::ROUTES.to_owned() + &crate::world::more_routes();
        files.write("table.csv", &many);
        agent.signal(libc::SIGHUP);
        agent.wait_log(0, "a program could not be replaced by that of larger maps");
        agent.wait_log(0, "the program on receive of r0 was taken off");
        assert_eq!(filters(), "", "nothing counts into maps that nobody reads");
        let gap = eventually("a gap is recorded", || {
            let text = fs::read_to_string(state.path().join("gaps-open.jsonl")).ok()?;
            serde_json::from_str::<Value>(text.lines().next()?).ok()
        });
        assert_eq!((&gap["link"], &gap["to"]), (&serde_json::json!("transit"), &Value::Null), "{gap}");
        send("r0", &outward());
        agent.settled(&[("transit tx", sum(&outward()).0)]);
        agent.end(libc::SIGTERM);
        classifier(&format!("detach --bpffs {}", bpffs.display()));
    });
}
