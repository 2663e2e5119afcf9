//! Starts that fail or are killed, again and again: they lose nothing, leave nothing behind that grows, and the next one that
//! succeeds goes on with everything.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::json;

use crate::{
    agent::{Agent, binary, classifier, eventually, refused, tc},
    history::{Past, journaled},
    kept::{bpffs, counts, keeping, metas, pins, sending},
    lab::{Peer, ifindex, in_namespace, run, statistic, veth},
    world::{Files, Traffic, inward, ip, outward, send, send_from, sum, wire},
};

/// Where a version has its pins.
fn instance(bpffs: &Path, abi: u32) -> PathBuf {
    bpffs.join(format!("classifier/v{abi}/default"))
}

/// Where a place on a hook is pinned by this version.
fn place(bpffs: &Path, ifindex: u32, hook: &str) -> PathBuf {
    instance(bpffs, classifier_common::abi::ABI_VERSION).join(format!("links/{ifindex}_{hook}"))
}

fn google(times: u64) -> Traffic {
    vec![(times, ip("8.8.8.8", "192.0.2.1", 100))]
}

#[test]
fn starts_that_fail_leave_a_few_generations_and_lose_nothing() {
    in_namespace(|| {
        let (peer, files, state) = (Peer::new(), Files::new(), tempfile::tempdir().expect("a directory"));
        let bpffs = bpffs(&files);
        for (here, there) in [("r0", "p0"), ("r1", "p1"), ("r2", "p2")] {
            veth(&peer, here, there, 1500);
        }
        let arguments = format!(
            "-i r0 -i r1 -i r2 {} --keep --bpffs {} --state-dir {}",
            files.arguments(),
            bpffs.display(),
            state.path().display()
        );
        let one = google(1);
        let (first, last) = (one.clone(), one.clone());
        let agent = Agent::start(&arguments);
        send_from(&peer, "p1", &google(7));
        agent.settled(&[("r1 rx", 7)]);
        agent.end(libc::SIGTERM);
        let receiving = [peer.run(move || sending("p0", &first)), peer.run(move || sending("p2", &last))];

        // Each start goes on with r0, and finds no room for its place on r1.
        let in_the_way = place(&bpffs, ifindex("r1"), "rx");
        fs::remove_file(&in_the_way).expect("it was pinned");
        fs::create_dir(&in_the_way).expect("made");
        let mut most = 0;
        for _ in 0..10 {
            let said = refused(&format!("run {arguments}"));
            assert!(said.contains(&format!("{}", in_the_way.display())), "{said}");
            most = most.max(metas(&bpffs));
            assert!(counts("r0") && counts("r2"), "it counts on");
        }
        assert!(most <= 5, "{most} generations: {:?}", pins(&bpffs));
        fs::remove_dir(&in_the_way).expect("nothing is in it");

        let agent = Agent::start(&arguments);
        let [first, last] = receiving.map(|receiving| receiving());
        send_from(&peer, "p1", &google(3));
        let status = agent.settled(&[("r0 rx", first), ("r1 rx", 10), ("r2 rx", last)]);
        assert_eq!((statistic("r0", "rx_packets"), statistic("r2", "rx_packets")), (first, last));
        // Of r1 something was missed, and of nobody else.
        let gaps = status["gaps"].as_array().expect("gaps");
        assert!(gaps.len() == 1 && gaps[0]["link"] == "r1", "{status}");
        assert_eq!(metas(&bpffs), 1);
        journaled(&agent);
        assert!(!agent.log().contains("not in it"), "{}", agent.log());
        agent.end(libc::SIGTERM);
        assert_eq!(Past::of(state.path()).frames_in().0, first + last + 10);
        classifier(&format!("detach --bpffs {}", bpffs.display()));
    });
}

#[test]
fn starts_that_are_killed_leave_a_few_generations_and_lose_nothing() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        let arguments = keeping(&files, &bpffs);
        Agent::start(&arguments).end(libc::SIGTERM);
        let one = google(1);
        let receiving = peer.run(move || sending("p0", &one));
        // Numbers are given again.
        let inode = |path: String| fs::metadata(path).map_or(0, |metadata| metadata.ino());
        let all = || pins(&bpffs).into_iter().filter(|path| path.ends_with("/META")).map(inode);
        for _ in 0..10 {
            let before: Vec<u64> = all().collect();
            let mut child = binary()
                .args(["run", "--interval", "100ms"])
                .args(arguments.split_whitespace())
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("it starts");
            eventually("its generation is pinned", || {
                all().any(|inode| !before.contains(&inode)).then_some(())
            });
            let id = child.id();
            let halves = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("it runs");
            let _ = child.kill();
            let _ = child.wait();
            // A place that is not pinned yet goes with the other half, which ends by itself.
            eventually("its other half has ended", || {
                let mut halves = halves.split_whitespace();
                halves.all(|id| !Path::new(&format!("/proc/{id}/fd/0")).exists()).then_some(())
            });
            // One a hook, and three.
            let left = all().count();
            assert!(left <= 5, "{left} generations: {:?}", pins(&bpffs));
        }
        let agent = Agent::start(&arguments);
        let received = receiving();
        let status = agent.settled(&[("transit rx", received)]);
        assert_eq!(statistic("r0", "rx_packets"), received);
        assert_eq!((metas(&bpffs), &status["gaps"]), (1, &json!([])));
        agent.end(libc::SIGTERM);
        classifier(&format!("detach --bpffs {}", bpffs.display()));
    });
}

/// As one leaves it that is killed while it brings a place to its own version's directory.
#[test]
fn a_place_that_is_pinned_under_two_versions_is_one_place() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        let own = classifier_common::abi::ABI_VERSION;
        let base = keeping(&files, &bpffs);
        let of = |abi: u32| if abi == own { base.clone() } else { format!("{base} --pin-abi {abi}") };
        let mut times = 0;
        for (from, to, next) in [(own, 77, 77), (own, 77, own), (77, own, own), (77, own, 77)] {
            let agent = Agent::start(&of(from));
            send_from(&peer, "p0", &inward());
            send("r0", &outward());
            times += 1;
            agent.settled(&[
                ("transit rx", sum(&inward()).0 * times),
                ("transit tx", sum(&outward()).0 * times),
            ]);
            agent.end(libc::SIGTERM);
            run(&format!("mkdir -p -m 700 {}", instance(&bpffs, to).join("links").display()));
            let links = instance(&bpffs, from).join("links");
            let places: Vec<_> = fs::read_dir(&links).expect("links").flatten().collect();
            for place in &places {
                let other = instance(&bpffs, to).join("links").join(place.file_name());
                run(&format!("bpftool link pin pinned {} {}", place.path().display(), other.display()));
            }
            let agent = Agent::start(&of(next));
            assert!(!agent.log().contains("attached anew"), "{}", agent.log());
            send_from(&peer, "p0", &inward());
            send("r0", &outward());
            times += 1;
            let status = agent.settled(&[
                ("transit rx", sum(&inward()).0 * times),
                ("transit tx", sum(&outward()).0 * times),
            ]);
            assert_eq!(status["gaps"], json!([]), "{status}");
            let left: Vec<_> = pins(&bpffs).into_iter().filter(|path| path.contains("/links/")).collect();
            assert_eq!(left.len(), places.len(), "{left:?}");
            assert!(left.iter().all(|path| path.contains(&format!("/v{next}/"))), "{left:?}");
            assert_eq!(metas(&bpffs), 1);
            agent.end(libc::SIGTERM);
        }
        classifier(&format!("detach --bpffs {}", bpffs.display()));
    });
}

#[test]
fn a_hook_that_cannot_be_kept_takes_the_other_one_off_until_it_can() {
    in_namespace(|| {
        // Before 6.6 what is on transmit is not pinned.
        if tc() != "tcx" {
            return;
        }
        let (peer, files) = (wire(), Files::new());
        let bpffs = bpffs(&files);
        let index = 4242;
        let in_the_way = place(&bpffs, index, "tx");
        let arguments = format!("{} -d r1 --wait", keeping(&files, &bpffs));
        let agent = Agent::start(&arguments);
        let block = || fs::create_dir(&in_the_way).expect("made");
        block();
        run(&format!("ip link add r1 index {index} type veth peer name p1"));
        run("ip link set p1 up");
        run("ip link set r1 arp off up");
        agent.wait_log(0, &format!("{}", in_the_way.display()));
        // And again, at each sweep: its own program is not in its way.
        agent.two_sweeps();
        agent.two_sweeps();
        // Between two tries it is free.
        eventually("nothing is on it", || (!counts("r1")).then_some(()));
        assert!(!agent.log().contains("another classifier"), "{}", agent.log());
        fs::remove_dir(&in_the_way).expect("nothing is in it");
        agent.wait_log(0, "r1: r1 is counted again");
        send("p1", &google(3));
        agent.settled(&[("r1 rx", 3)]);
        agent.end(libc::SIGTERM);
        classifier(&format!("detach --bpffs {}", bpffs.display()));

        // At the start as well: of an agent of a name of its own, which ends, all is gone.
        run(&format!("mkdir -p -m 700 {}", in_the_way.parent().expect("a directory").display()));
        block();
        let said = refused(&format!("run {}", arguments.replace("r0=transit", "r0")));
        assert!(said.contains(&format!("{}", in_the_way.display())), "{said}");
        assert!(!counts("r0") && !counts("r1"));
        drop(peer);
    });
}
