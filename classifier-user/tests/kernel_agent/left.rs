//! What stays after the agent: whose it is, who may not touch it, and what stands in the way of going on with it.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use serde_json::Value;

use crate::{
    agent::{Agent, classifier, refused, stderr, stdout},
    kept::{Traces, bpffs, counts, keeping, pins},
    lab::{in_namespace, run},
    world::{Files, ip, send_from, wire},
};

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
            0,
            "an agent runs as `default`: a restart goes on with what it counted; beside it, `run` is refused",
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
