//! Counting outlives the agent: killed, ended, upgraded.

use std::{collections::BTreeMap, fs, process::Command};

use crate::{
    agent::{Agent, classifier, counter, frames, stdout},
    history::{Past, history, journaled},
    kept::{Traces, assert_gone, bpffs, counts, keeping, metas, objects, pins, sending},
    lab::{in_namespace, run, statistic},
    world::{Files, Traffic, inward, ip, outward, send, send_from, sum, wire},
};

#[test]
fn killed_and_ended_in_turns_it_has_counted_every_frame_once() {
    in_namespace(|| {
        let (peer, files, state) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let bpffs = bpffs(&files);
        let before = Traces::of(&bpffs);
        let arguments = format!("{} --state-dir {}", keeping(&files, &bpffs), state.path().display());
        let (mut received, mut sent) = (0, 0);
        for life in 0..8_u64 {
            let agent = Agent::start(&arguments);
            assert!(!agent.log().contains("not in it"), "{}", agent.log());
            let burst = |times: u64| {
                (0..times).for_each(|_| {
                    send_from(&peer, "p0", &inward());
                    send("r0", &outward());
                });
            };
            burst(life % 3 + 1);
            received += life % 3 + 1;
            sent += life % 3 + 1;
            // Totals go on: all lives, and what was counted between them.
            let (inside, outside) = (sum(&inward()).0 * received, sum(&outward()).0 * sent);
            let status = agent.settled(&[("transit rx", inside), ("transit tx", outside)]);
            assert_eq!(frames(&status, "transit rx").1, sum(&inward()).1 * received);
            journaled(&agent);
            assert_eq!(history(&agent)["state"], "ok", "{}", agent.log());
            let (status, log) = agent.end(if life % 2 == 0 { libc::SIGKILL } else { libc::SIGTERM });
            if life % 2 == 1 {
                assert_eq!(status.code(), Some(0), "{log}");
                assert!(log.contains("the kernel counts on, as `default`"), "{log}");
            }
            assert!(counts("r0"), "it counts on");
            burst(life % 2 + 1);
            received += life % 2 + 1;
            sent += life % 2 + 1;
        }
        let agent = Agent::start(&arguments);
        let (inside, outside) = (sum(&inward()).0 * received, sum(&outward()).0 * sent);
        let status = agent.settled(&[("transit rx", inside), ("transit tx", outside)]);
        assert!(agent.log().contains("going on with what was counted since "), "{}", agent.log());
        assert_eq!(status["warnings"], serde_json::json!([]));
        assert_eq!(statistic("r0", "rx_packets"), inside, "the interface's own count");
        journaled(&agent);
        let rows: BTreeMap<String, (u64, u64)> =
            crate::agent::rows(&agent.ask("top")["directions"]["in"]["rows"], "asn")
                .into_iter()
                .map(|(asn, packets, bytes)| (asn, (packets, bytes)))
                .collect();
        assert_eq!(rows["2906"], (15 * received, 14_000 * received));
        agent.metrics().assert_clean();
        agent.metrics().assert_adds_up(&["transit"]);
        agent.end(libc::SIGTERM);
        let objects = objects(&bpffs);
        // Two counters, owners, their description, what is carried over, three programs, and links where there are any.
        assert!(objects.len() >= 9, "{objects:?}");
        let detached = stdout(&classifier(&format!("detach --bpffs {}", bpffs.display())));
        assert_eq!(detached.lines().count(), 3, "{detached}");
        assert_eq!(Traces::of(&bpffs), before);
        assert_gone(&objects);

        let past = Past::of(state.path());
        assert_eq!(past.frames_in(), (inside, sum(&inward()).1 * received));
        let of = |asn: u32| past.sums(classifier_user::history::Kind::As)[&asn];
        assert_eq!(of(2906)[0].both().packets, 15 * received);
        assert_eq!(of(2906)[0].both().bytes, 14_000 * received);
        assert_eq!(of(15169)[1].both().packets, 9 * sent);
    });
}

/// Agents of this mode are killed, ended and upgraded at any moment while frames flow both ways.
fn under_traffic(mode: &str) {
    in_namespace(|| {
        let (peer, files, state) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let bpffs = bpffs(&files);
        let arguments = format!("{} {mode} --state-dir {}", keeping(&files, &bpffs), state.path().display());
        let inside: Traffic =
            vec![(5, ip("45.57.0.1", "192.0.2.1", 1000)), (3, ip("8.8.8.8", "192.0.2.1", 200))];
        let outside: Traffic = vec![(4, ip("192.0.2.1", "8.8.8.8", 300))];
        let first = Agent::start(&arguments);
        let receiving = peer.run({
            let inside = inside.clone();
            move || sending("p0", &inside)
        });
        let sent = sending("r0", &outside);
        first.end(libc::SIGKILL);
        for life in 0..12_u32 {
            // An upgrade, and back.
            let arguments = match life / 2 % 2 {
                0 => arguments.clone(),
                _ => format!("{arguments} --pin-abi 77"),
            };
            // Some are killed before they listen, in whatever they are doing then.
            if life % 3 == 0 {
                let child = crate::agent::binary()
                    .args(["run", "--interval", "100ms"])
                    .args(arguments.split_whitespace())
                    .stdin(std::process::Stdio::null())
                    .stderr(std::process::Stdio::null())
                    .spawn();
                let mut child = child.expect("it starts");
                std::thread::sleep(std::time::Duration::from_millis(u64::from(life) * 17 + 20));
                let _ = child.kill();
                let _ = child.wait();
                continue;
            }
            let agent = Agent::start(&arguments);
            std::thread::sleep(std::time::Duration::from_millis(u64::from(life) * 37 % 450));
            agent.end(if life % 4 == 3 { libc::SIGTERM } else { libc::SIGKILL });
        }
        let (received, sent) = (receiving(), sent());
        let agent = Agent::start(&arguments);
        let status = agent.settled(&[("transit rx", received * 8), ("transit tx", sent * 4)]);
        assert_eq!(frames(&status, "transit tx").1, sent * 1200);
        assert_eq!((statistic("r0", "rx_packets"), statistic("r0", "tx_packets")), (received * 8, sent * 4));
        assert_eq!(status["gaps"], serde_json::json!([]), "nothing was missed, and none is said to be");
        journaled(&agent);
        assert!(!agent.log().contains("not in it"), "{}", agent.log());
        agent.end(libc::SIGKILL);
        assert!(!state.path().join("gaps.jsonl").exists() && !state.path().join("gaps-open.jsonl").exists());
        let past = Past::of(state.path());
        assert_eq!(past.frames_in(), (received * 8, received * 5600));
        let ases = past.sums(classifier_user::history::Kind::As);
        assert_eq!((ases[&2906][0].ipv4.packets, ases[&15169][0].ipv4.packets), (received * 5, received * 3));
        assert_eq!(ases[&15169][1].ipv4.packets, sent * 4);
        assert!(
            stdout(&classifier(&format!("detach --bpffs {}", bpffs.display()))).contains("kept as default")
        );
    });
}

#[test]
fn killed_at_any_moment_under_traffic_nothing_is_lost_or_doubled() {
    under_traffic("");
}

#[test]
fn with_filters_too_nothing_is_lost_or_doubled_under_traffic() {
    under_traffic("--xdp-mode tc --clsact");
}

#[test]
fn without_a_history_totals_go_on_all_the_same() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        let arguments = keeping(&files, &bpffs);
        let mut times = 0;
        for _ in 0..3 {
            let agent = Agent::start(&arguments);
            send_from(&peer, "p0", &inward());
            send_from(&peer, "p0", &inward());
            times += 2;
            agent.settled(&[("transit rx", sum(&inward()).0 * times)]);
            agent.end(libc::SIGKILL);
            send_from(&peer, "p0", &inward());
            times += 1;
        }
        // Other tables: what an owner had stays its own, and unmatched stays unmatched.
        files.write("table.csv", "prefix,asn,name\n100.64.0.0/10,64999,\"New\"\n");
        let agent = Agent::start(&arguments);
        send_from(&peer, "p0", &inward());
        agent.settled(&[("transit rx", sum(&inward()).0 * (times + 1))]);
        let top = agent.ask("top --direction in");
        let row = |asn: &str| {
            let rows = crate::agent::rows(&top["directions"]["in"]["rows"], "asn");
            rows.into_iter().find(|(its, _, _)| its == asn).map(|(_, packets, _)| packets)
        };
        assert_eq!((row("15169"), row("64999")), (Some(7 * times), Some(4)), "{top}");
        // Of before: 4 without a route, and 2 of AS 0; of now all but the new network's and the override's.
        assert_eq!(counter(&top["directions"]["in"]["unmatched"]).0, 6 * times + (31 - 4 - 3));
        drop(agent);
        run(&format!("umount -l {}", bpffs.display()));
    });
}

#[test]
fn another_version_other_sizes_and_other_sides_take_over() {
    in_namespace(|| {
        let (peer, files, state) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let bpffs = bpffs(&files);
        let base = format!("{} --state-dir {}", keeping(&files, &bpffs), state.path().display());
        let large: String = (0..3000_u32)
            .map(|n| format!("10.{}.{}.0/24,{},\"x\"\n", n / 256, n % 256, 64_600 + n % 100))
            .collect();
        let mut times = 0;
        // What the agent sees of the machine's CPUs.
        let online = files.path("online");
        let cpus = fs::read_to_string("/sys/devices/system/cpu/online").expect("a list");
        fs::write(&online, &cpus).expect("written");
        run(&format!("mount --bind {} /sys/devices/system/cpu/online", online.display()));
        let lives = [
            "",
            "--pin-abi 77",
            "--granularity as",
            "--count remote",
            "--pin-abi 78 --count local",
            "",
            "fewer CPUs",
            "more CPUs",
        ];
        for (life, more) in lives.into_iter().enumerate() {
            let more = match more {
                "fewer CPUs" => fs::write(&online, "0\n").map(|()| ""),
                "more CPUs" => fs::write(&online, "0-6\n").map(|()| ""),
                more => fs::write(&online, &cpus).map(|()| more),
            };
            let more = more.expect("written");
            if life == 5 {
                files.write("table.csv", &format!("{}{large}", crate::world::ROUTES));
            }
            let agent = Agent::start(&format!("{base} {more}"));
            send_from(&peer, "p0", &inward());
            times += 1;
            let status = agent.settled(&[("transit rx", sum(&inward()).0 * times)]);
            assert_eq!(status["closure_ok"], true);
            journaled(&agent);
            agent.end(if life % 2 == 0 { libc::SIGKILL } else { libc::SIGTERM });
            // One generation of one version is left.
            let all = pins(&bpffs);
            assert_eq!(metas(&bpffs), 1, "{all:?}");
            // Filters need no pin.
            let pinned = ["rx", "tx"].map(|hook| status["links"][0][hook]["mode"] != "tc");
            let pinned = pinned.into_iter().filter(|pinned| *pinned).count();
            assert_eq!(all.iter().filter(|path| path.contains("/links/")).count(), pinned, "{all:?}");
            send_from(&peer, "p0", &inward());
            times += 1;
        }
        let agent = Agent::start(&base);
        agent.settled(&[("transit rx", sum(&inward()).0 * times)]);
        journaled(&agent);
        agent.end(libc::SIGTERM);
        let past = Past::of(state.path());
        assert_eq!(past.frames_in(), (sum(&inward()).0 * times, sum(&inward()).1 * times));
        assert!(statistic("r0", "rx_packets") == sum(&inward()).0 * times);
    });
}

#[test]
fn with_filters_as_on_older_kernels() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        let before = Traces::of(&bpffs);
        let arguments = format!("{} --xdp-mode tc --clsact", keeping(&files, &bpffs));
        let mut times = 0;
        for life in 0..4 {
            let agent = Agent::start(&arguments);
            assert!(agent.log().contains("receive tc, transmit tc"), "{}", agent.log());
            send_from(&peer, "p0", &inward());
            send("r0", &outward());
            times += 1;
            let (inside, outside) = (sum(&inward()).0 * times, sum(&outward()).0 * times);
            agent.settled(&[("transit rx", inside), ("transit tx", outside)]);
            agent.end(if life % 2 == 0 { libc::SIGKILL } else { libc::SIGTERM });
            let filters =
                |side: &str| run(&format!("tc filter show dev r0 {side}")).matches(" handle ").count();
            assert_eq!((filters("ingress"), filters("egress")), (1, 1));
            send_from(&peer, "p0", &inward());
            send("r0", &outward());
            times += 1;
        }
        let output = classifier(&format!("detach --bpffs {}", bpffs.display()));
        assert!(
            stdout(&output).contains("detached classifier_tx (filter of r0, kept as default)"),
            "{}",
            stdout(&output)
        );
        assert_eq!(Traces::of(&bpffs), before, "the qdisc that was made is gone, too");

        // Somebody else's qdisc and filter stay.
        run("tc qdisc add dev r0 clsact");
        let foreign: [&str; 10] =
            ["filter", "add", "dev", "r0", "ingress", "pref", "7", "protocol", "all", "bpf"];
        let added = Command::new("tc").args(foreign).args(["bytecode", "1,6 0 0 0,"]).status();
        assert!(added.expect("tc").success());
        let before = Traces::of(&bpffs);
        for arguments in [arguments.clone(), arguments.replace("--keep", "--no-keep")] {
            let agent = Agent::start(&arguments);
            let (status, _) = agent.end(libc::SIGTERM);
            assert_eq!(status.code(), Some(0));
            classifier(&format!("detach --bpffs {}", bpffs.display()));
            assert_eq!(Traces::of(&bpffs), before);
        }
    });
}
