//! Counting outlives the agent: killed, ended, upgraded; and what that leaves behind.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    agent::{Agent, classifier, counter, eventually, frames, refused, stderr, stdout},
    history::{Past, history, journaled},
    lab::{Peer, in_namespace, run, statistic, tid, veth},
    world::{Files, Traffic, inward, ip, outward, send, send_from, sum, wire},
};

/// A BPF file system of the calling thread's own, which goes with its namespace.
pub(crate) fn bpffs(files: &Files) -> PathBuf {
    let path = files.path("bpf");
    fs::create_dir_all(&path).expect("made");
    run(&format!("mount -t bpf bpf {}", path.display()));
    path
}

/// Arguments of an agent that leaves the kernel counting.
pub(crate) fn keeping(files: &Files, bpffs: &Path) -> String {
    format!("-i r0=transit {} --keep --bpffs {}", files.arguments(), bpffs.display())
}

/// Everything that is pinned, by path.
pub(crate) fn pins(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(pins(&path));
        }
        found.push(path.display().to_string());
    }
    found.sort();
    found
}

/// How many generations are pinned, and whole.
pub(crate) fn metas(directory: &Path) -> usize {
    pins(directory).iter().filter(|path| path.ends_with("/META")).count()
}

/// What `bpftool`, `tc` and the file system show of this machine: all that could be left behind.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    pins: Vec<String>,
    net: String,
    qdiscs: String,
    filters: String,
    links: String,
}

impl Traces {
    fn of(bpffs: &Path) -> Self {
        let filters = ["ingress", "egress"].map(|side| {
            let output = Command::new("tc").args(["filter", "show", "dev", "r0", side]).output();
            stdout(&output.expect("tc"))
        });
        // Numbers of interfaces and programs of others do not change; ours must not be there.
        Self {
            pins: pins(bpffs),
            net: run("bpftool net"),
            qdiscs: run("tc qdisc show"),
            filters: filters.concat(),
            links: run("ip -d link show r0"),
        }
    }
}

/// What is pinned, as `bpftool` asks for it: `map id 7`.
fn objects(directory: &Path) -> Vec<String> {
    let of = |path: &String| {
        ["map", "prog", "link"].into_iter().find_map(|kind| {
            let output =
                Command::new("bpftool").args([kind, "show", "pinned", path]).output().expect("bpftool");
            let text = stdout(&output);
            let number = text.split(':').next()?.parse::<u32>().ok().filter(|_| output.status.success())?;
            Some(format!("{kind} id {number}"))
        })
    };
    // Those that a BPF file system has of its own are left out.
    let files =
        pins(directory).into_iter().filter(|path| Path::new(path).is_file() && !path.ends_with(".debug"));
    files.map(|path| of(&path).unwrap_or_else(|| panic!("{path} is no map, program or link"))).collect()
}

/// Waits until the kernel has none of these any more.
fn assert_gone(objects: &[String]) {
    for object in objects {
        let (kind, id) = object.split_once(' ').expect("a kind");
        eventually(&format!("{object} goes"), || {
            let output =
                Command::new("bpftool").args([kind, "show"]).args(id.split(' ')).output().expect("bpftool");
            (!output.status.success()).then_some(())
        });
    }
}

/// Whether this program is on the interface.
pub(crate) fn counts(interface: &str) -> bool {
    run("bpftool net").contains(&format!("{interface}("))
}

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

/// Sends again and again on an interface of the calling thread's namespace, from a thread of its own. Gives how often, once
/// it is told to end.
pub(crate) fn sending(interface: &'static str, traffic: &Traffic) -> impl FnOnce() -> u64 + use<> {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let traffic = traffic.clone();
    let thread = std::thread::spawn(move || {
        let mut bursts = 0_u64;
        while stopped.try_recv().is_err() {
            send(interface, &traffic);
            bursts += 1;
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        bursts
    });
    move || {
        stop.send(()).expect("it sends");
        thread.join().expect("sent")
    }
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

#[test]
fn what_stands_in_the_way_of_going_on_is_said() {
    in_namespace(|| {
        let (_peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        let arguments = keeping(&files, &bpffs);
        let before = pins(&bpffs);
        let said = refused(&format!("run {}", arguments.replace(&bpffs.display().to_string(), "/tmp")));
        assert!(said.contains("/tmp is not a BPF file system") && said.contains("keep_counting"), "{said}");

        let agent = Agent::start(&arguments);
        let said = refused(&format!("run {arguments} --listen 127.0.0.1:9470"));
        assert!(said.contains("another agent runs as instance `default`"), "{said}");
        // Another name is another agent, which finds the interface taken.
        let said = refused(&format!("run {arguments} --listen 127.0.0.1:9470 --instance two"));
        assert!(said.contains("another classifier counts on r0 already"), "{said}");
        assert!(pins(&bpffs).iter().all(|path| !path.ends_with("/two")), "{:?}", pins(&bpffs));
        let checked = |arguments: &str, code: i32, said: &str| {
            let check = classifier(&format!("check {arguments}"));
            assert_eq!(check.status.code(), Some(code), "{arguments}: {}", stdout(&check));
            assert!(stdout(&check).contains(said), "{said}: {}", stdout(&check));
        };
        checked(
            &arguments,
            1,
            "an agent runs as `default`: `run` goes on with what it counted, once it has ended",
        );
        agent.end(libc::SIGTERM);

        let before_check = pins(&bpffs);
        // In a terminal nobody says that it keeps: what a service left is no conflict.
        let unsaid = arguments.replace("--keep", "");
        checked(&unsaid, 0, "what counts on r0 is kept as `default`");
        checked(&unsaid, 0, "`run` goes on with it, as a service or with --keep");
        checked(&arguments, 0, ": `run` goes on with it\n");
        checked(&arguments.replace("--keep", "--no-keep"), 1, "without keep_counting `run` refuses");
        checked(&format!("{arguments} --instance two"), 1, "`--instance default` goes on with it");
        checked(&format!("{arguments} --xdp-mode generic"), 0, "`run` attaches anew, the other way");
        // The counters of a kept generation are there, and both hooks' programs are shown as kept.
        let check = classifier(&format!("check {unsaid} --json"));
        let report: Value = serde_json::from_slice(&check.stdout).expect("JSON");
        let programs = report["links"][0]["programs"].as_array().expect("programs");
        assert!(
            programs.len() == 2 && programs.iter().all(|program| program["kept"] == "default"),
            "{report}"
        );
        assert!(report["memory"]["kept_bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000), "{report}");
        assert_eq!(pins(&bpffs), before_check, "nothing is changed by looking");
        // One that does not keep does not take what is kept.
        let said = refused(&format!("run {}", arguments.replace("--keep", "--no-keep")));
        assert!(
            said.contains("another classifier counts on r0 already") && said.contains("--keep"),
            "{said}"
        );
        assert!(counts("r0"));

        // From another namespace.
        let inner = (arguments.clone(), bpffs.clone());
        in_namespace(move || {
            let _peer = wire();
            let said = refused(&format!("run {}", inner.0));
            assert!(said.contains("instance `default` counts in another network namespace"), "{said}");
            let nothing = classifier(&format!("detach --bpffs {}", inner.1.display()));
            assert_eq!(stdout(&nothing), "nothing of classifier is attached here\n", "{}", stderr(&nothing));
        });

        // A map of another shape, of another one's hand.
        let generation = pins(&bpffs).into_iter().find(|path| path.ends_with("/META")).expect("one");
        let directory = Path::new(&generation).parent().expect("a directory").display().to_string();
        run(&format!("rm {directory}/BANKS"));
        run(&format!(
            "bpftool map create {directory}/BANKS type array key 4 value 16 entries 3 name other flags 1024"
        ));
        let said = refused(&format!("run {arguments}"));
        assert!(
            said.contains("another shape than its generation's") && said.contains("3 x 16 bytes"),
            "{said}"
        );
        assert!(counts("r0"), "nothing was touched");
        // What does not say whose it is: from elsewhere it is left alone.
        for meta in pins(&bpffs).into_iter().filter(|path| path.ends_with("/META")) {
            run(&format!("rm {meta}"));
            run(&format!(
                "bpftool map create {meta} type array key 4 value 16 entries 3 name other flags 1024"
            ));
        }
        let detach = format!("detach --bpffs {}", bpffs.display());
        let said = in_namespace(|| stdout(&classifier(&detach)));
        assert!(said.contains("left default as it is") && said.contains("another shape"), "{said}");
        assert!(counts("r0"), "nothing was touched");
        let detached = stdout(&classifier(&detach));
        assert!(detached.contains("removed what default had counted"), "{detached}");
        assert_eq!(pins(&bpffs), before);
        assert!(!counts("r0"));
    });
}

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
            // What is sent right after the interface came up may not arrive: until so many have.
            let count = |total: &mut u64, times: u64, interface: &str| {
                let arrived = || statistic(interface, "rx_packets");
                let before = arrived();
                while arrived() < before + times {
                    send_from(&peer, "p0", &frames_of(before + times - arrived()));
                }
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
fn filters_in_another_namespace_are_told_by_what_is_pinned() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        let before = Traces::of(&bpffs);
        let arguments = format!("{} --xdp-mode tc --clsact", keeping(&files, &bpffs));
        let google = vec![(3, ip("8.8.8.8", "192.0.2.1", 100))];
        let agent = Agent::start(&arguments);
        send_from(&peer, "p0", &google);
        agent.settled(&[("transit rx", 3)]);
        agent.end(libc::SIGTERM);
        let kept = Traces::of(&bpffs);
        let elsewhere = |arguments: &str, bpffs: &Path| {
            let (run, detach) = (format!("run {arguments}"), format!("detach --bpffs {}", bpffs.display()));
            in_namespace(move || {
                let _peer = wire();
                let said = refused(&run);
                assert!(said.contains("instance `default` counts in another network namespace"), "{said}");
                let nothing = classifier(&detach);
                assert_eq!(
                    stdout(&nothing),
                    "nothing of classifier is attached here\n",
                    "{}",
                    stderr(&nothing)
                );
            });
        };
        elsewhere(&arguments, &bpffs);
        assert_eq!(Traces::of(&bpffs), kept, "nothing was touched");
        send_from(&peer, "p0", &google);
        let agent = Agent::start(&arguments);
        agent.settled(&[("transit rx", 6)]);
        agent.end(libc::SIGTERM);

        // By name it is taken away, as far as that goes from there, and the rest is said.
        let by_name = format!("detach --instance default --bpffs {}", bpffs.display());
        let said = in_namespace(move || stdout(&classifier(&by_name)));
        assert!(said.contains("filters of default are in another network namespace, and stay"), "{said}");
        assert!(said.contains("removed what default had counted"), "{said}");
        assert_eq!((pins(&bpffs), run("tc qdisc show")), (before.pins.clone(), kept.qdiscs));
        let said = stdout(&classifier(&format!("detach --bpffs {}", bpffs.display())));
        assert!(said.contains("detached classifier_rx (filter of r0)"), "{said}");
        assert_eq!(Traces::of(&bpffs), before);
    });
}

#[test]
fn what_is_pinned_is_for_its_owner_alone() {
    in_namespace(|| {
        let (_peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        let arguments = keeping(&files, &bpffs);
        let root = bpffs.join("classifier");
        let closed = || {
            let all: Vec<String> =
                pins(&bpffs).into_iter().filter(|path| path.contains("/classifier")).collect();
            assert!(all.len() > 10, "{all:?}");
            for path in &all {
                let metadata = fs::symlink_metadata(path).expect("it is there");
                let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
                assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (0, mode), "{path}");
            }
            all
        };
        let agent = Agent::start(&arguments);
        let all = closed();
        agent.end(libc::SIGTERM);
        closed();
        // Its own, which somebody has opened: closed again.
        for path in all.iter().filter(|path| Path::new(path).is_dir()) {
            run(&format!("chmod 777 {path}"));
        }
        let agent = Agent::start(&arguments);
        closed();
        agent.end(libc::SIGTERM);
        // Another user's: who owns a directory exchanges what is in it.
        let instance = format!("{}/v{}/default", root.display(), classifier_common::abi::ABI_VERSION);
        for path in [instance.clone(), format!("{instance}/links"), root.display().to_string()] {
            run(&format!("chown 65534 {path}"));
            let said = refused(&format!("run {arguments}"));
            let expected = format!(
                "{path} belongs to the user 65534 (mode 700), and others than this one may write there"
            );
            assert!(said.contains(&expected) && said.contains("chown root, chmod 700"), "{said}");
            assert!(counts("r0"));
            run(&format!("chown 0 {path}"));
        }
        let agent = Agent::start(&arguments);
        assert!(agent.log().contains("going on with what was counted since "), "{}", agent.log());
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

        let mut many = crate::world::ROUTES.to_owned();
        for third in 0..=255 {
            for second in 0..40 {
                many.push_str(&format!("11.{second}.{third}.128/25,64{:03},\"\"\n", 100 + second));
            }
        }
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
