//! Two processes: the one that counts has three capabilities, and the one that speaks to the world has none; whichever ends
//! first, nothing is lost that need not be.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    thread,
    time::Duration,
};

use serde_json::json;

use crate::{
    agent::{Agent, binary, classifier, eventually, frames, refused, stderr},
    kept::{bpffs, keeping},
    lab::{Peer, in_namespace, run, statistic},
    world::{Files, ROUTES, Traffic, inward, ip, outward, send, send_from, sum, wire},
};

const NET_ADMIN: u64 = 1 << 12;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;
/// What the process that counts is permitted.
pub(crate) const THREE: u64 = BPF | NET_ADMIN | PERFMON;

/// What `/proc` says of each thread of a process.
fn threads(pid: u32) -> Vec<BTreeMap<String, String>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    let status = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("status")).ok()?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Some(lines.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect())
    };
    // One may have ended meanwhile.
    tasks.filter_map(status).collect()
}

/// A set of capabilities.
fn set(thread: &BTreeMap<String, String>, name: &str) -> u64 {
    u64::from_str_radix(&thread[name], 16).expect("a set")
}

/// Its bounding set.
pub(crate) fn bounding(pid: u32) -> u64 {
    set(&threads(pid)[0], "CapBnd")
}

/// What a process has open.
pub(crate) fn open(pid: u32) -> Vec<String> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    fds.filter_map(|fd| fs::read_link(fd.path()).ok()).map(|link| link.display().to_string()).collect()
}

/// Asserts that this process, with all its threads, can do nothing that its user cannot, and has no way to the kernel's
/// programs and maps. `bounding` is what it could not give up of its bounding set.
pub(crate) fn assert_without(pid: u32, bounding: u64) {
    let threads = threads(pid);
    assert!(threads.len() > 2, "an agent has more threads: {threads:?}");
    for thread in &threads {
        for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(set(thread, name), 0, "{name} of {}: {thread:?}", thread["Name"]);
        }
        assert_eq!(set(thread, "CapBnd"), bounding, "{thread:?}");
        assert_eq!(thread["NoNewPrivs"], "1");
        assert_eq!(
            thread["Seccomp"], "2",
            "bpf(2) is forbidden: pins are files of root, as the agent may be"
        );
    }
    let open = open(pid);
    assert!(open.iter().any(|file| file.starts_with("socket:")), "{open:?}");
    assert!(open.iter().all(|file| !file.contains("bpf")), "{open:?}");
}

/// Asserts that this process is permitted what it takes to count, and nothing else.
pub(crate) fn assert_three(pid: u32, bounding: u64) {
    let threads = threads(pid);
    let [thread] = threads.as_slice() else { panic!("one thread: {threads:?}") };
    let sets = ["CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"].map(|name| set(thread, name));
    assert_eq!(sets, [0, THREE, BPF | NET_ADMIN, 0, bounding], "{thread:?}");
    assert_eq!(thread["NoNewPrivs"], "1");
}

/// Asserts besides that it has what it counts with open, and is spoken to over so many sockets.
pub(crate) fn assert_counts(pid: u32, bounding: u64, doors: usize) {
    assert_three(pid, bounding);
    let open = open(pid);
    for kind in ["anon_inode:bpf-map", "anon_inode:bpf-prog", "anon_inode:bpf_link"] {
        assert!(open.iter().any(|file| file == kind), "no {kind}: {open:?}");
    }
    let mut sockets: Vec<_> = open.iter().filter(|file| file.starts_with("socket:")).collect();
    sockets.sort();
    sockets.dedup();
    assert_eq!(sockets.len(), doors, "no door but the agent's: {open:?}");
}

/// Frames of both sorts that go on until they are stopped.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    sent: Receiver<u64>,
}

impl Stream {
    pub(crate) fn start(peer: &Peer) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let traffic: Traffic =
            vec![(5, ip("45.57.0.1", "192.0.2.1", 1000)), (3, ip("8.8.8.8", "192.0.2.1", 200))];
        let sent = peer.start(move || {
            let mut bursts = 0;
            while !stopped.load(Ordering::Relaxed) {
                send("p0", &traffic);
                bursts += 1;
                thread::sleep(Duration::from_millis(2));
            }
            bursts
        });
        Self { stop, sent }
    }

    /// Frames that were sent.
    pub(crate) fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.sent.recv().expect("the sender") * 8
    }
}

/// Whether a program is on r0, and whether any process is the agent's other half.
fn attached() -> bool {
    run("bpftool net").contains("r0(")
}

pub(crate) fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn the_agent_has_no_capability_and_the_process_that_counts_has_three() {
    in_namespace(|| {
        let (peer, files, state) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let bpffs = bpffs(&files);
        let state = format!("--state-dir {}", state.path().display());
        for (arguments, kept) in [
            (format!("-i r0=transit {} --no-reload --no-keep {state}/a", files.arguments()), false),
            (format!("{} --no-reload {state}/b", keeping(&files, &bpffs)), true),
        ] {
            files.write("table.csv", ROUTES);
            let agent = Agent::start(&arguments);
            let both = |agent: &Agent| {
                assert_without(agent.id(), 0);
                assert_counts(agent.other_half(), 0, 1);
            };
            both(&agent);
            let stream = Stream::start(&peer);
            // The table outgrows its maps: programs are loaded again, long after that was given up.
            let many = ROUTES.to_owned() + &crate::world::more_routes();
            files.write("table.csv", &many);
            let log = agent.log().len();
            agent.signal(libc::SIGHUP);
            agent.wait_log(log, "the table outgrew its maps: larger ones count on");
            both(&agent);
            let sent = stream.end();
            agent.settled(&[("transit rx", sent)]);
            send_from(&peer, "p0", &inward());
            send("r0", &outward());
            let (inside, outside) = (sum(&inward()), sum(&outward()));
            let status = agent.settled(&[("transit rx", sent + inside.0), ("transit tx", outside.0)]);
            assert_eq!(frames(&status, "transit rx").1, sent / 8 * 5600 + inside.1);
            let other = agent.other_half();
            let (status, log) = agent.end(libc::SIGTERM);
            assert_eq!(status.code(), Some(0), "{log}");
            assert!(!lives(other), "it ended before the agent did");
            assert_eq!(attached(), kept);
        }
        run(&format!("umount -l {}", bpffs.display()));
    });
}

#[test]
fn it_becomes_another_user_where_that_is_asked_for() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let agent = Agent::start(&format!("-i r0=transit {} --user nobody", files.arguments()));
        assert_without(agent.id(), 0);
        for thread in threads(agent.id()) {
            assert_eq!(thread["Uid"], ["65534"; 4].join("\t"));
            assert_eq!(
                (thread["Gid"].as_str(), thread["Groups"].as_str()),
                ("65534\t65534\t65534\t65534", "65534")
            );
        }
        assert_counts(agent.other_half(), 0, 1);
        send_from(&peer, "p0", &inward());
        agent.settled(&[("transit rx", sum(&inward()).0)]);
        let other = agent.other_half();
        let (status, log) = agent.end(libc::SIGTERM);
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(!attached() && !lives(other));
        let output = classifier(&format!("run -i r0 {} --user not-there", files.arguments()));
        assert_eq!(output.status.code(), Some(2), "the configuration is wrong");
        assert!(stderr(&output).contains("there is no user `not-there`"), "{}", stderr(&output));
    });
}

#[test]
fn ports_below_1024_are_opened_before_the_privileges_go() {
    in_namespace(|| {
        let (_peer, files) = (wire(), Files::new());
        let agent = Agent::start(&format!(
            "-i r0 {} --listen 127.0.0.1:80 --public 127.0.0.1:81 --bgp 192.0.2.9,as=64500,listen=179 \
             --bmp 180,router=192.0.2.9",
            files.arguments()
        ));
        assert_without(agent.id(), 0);
        assert_eq!(agent.address, "127.0.0.1:80");
        assert_eq!(agent.get("/healthz").0, 200);
        for port in [81, 179, 180] {
            TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        }
        assert_eq!(agent.end(libc::SIGTERM).0.code(), Some(0));
    });
}

#[test]
fn a_terminals_ctrl_c_goes_to_both_and_nothing_is_lost() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            let mut command = binary();
            command.process_group(0);
            // Long after the test: what was counted is read at the end only.
            let arguments = format!("-i r0=transit {} --interval 1h", files.arguments());
            let agent = Agent::spawn(command, &arguments);
            let (group, other) = (agent.id() as i32, agent.other_half());
            send_from(&peer, "p0", &inward());
            // SAFETY: no memory is passed; the group is the agent's, which is not waited for yet.
            assert_eq!(unsafe { libc::kill(-group, signal) }, 0);
            if signal == libc::SIGHUP {
                agent.wait_log(0, "table.csv: 7 prefixes, 0 changed");
                assert!(lives(other));
                let (status, log) = agent.end(libc::SIGTERM);
                assert_eq!(status.code(), Some(0), "{log}");
            } else {
                let (status, log) = agent.ended();
                assert_eq!(status.code(), Some(0), "{log}");
                assert!(log.contains("nothing of the agent is left in the kernel"), "{log}");
            }
            assert!(!attached() && !lives(other));
        }
    });
}

#[test]
fn whichever_half_is_killed_the_other_ends_and_nothing_stays() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        for mode in ["", "--xdp-mode tc --clsact"] {
            let arguments = format!("-i r0=transit {} {mode}", files.arguments());
            let agent = Agent::start(&arguments);
            let other = agent.other_half();
            send_from(&peer, "p0", &inward());
            agent.settled(&[("transit rx", sum(&inward()).0)]);
            agent.end(libc::SIGKILL);
            eventually("the other half ends", || (!lives(other)).then_some(()));
            assert!(!attached(), "it took everything off");
            assert!(!run("tc qdisc show dev r0").contains("clsact"));

            let agent = Agent::start(&arguments);
            let other = agent.other_half();
            // SAFETY: no memory is passed; the process is the agent's child, which it has not waited for.
            assert_eq!(unsafe { libc::kill(other as i32, libc::SIGKILL) }, 0);
            let (status, log) = agent.ended();
            assert_eq!(status.code(), Some(1), "{log}");
            let said = format!("error: the process that counts ({other}) ended (signal: 9 (SIGKILL)): ");
            assert!(log.contains(&said), "{log}");
            assert!(log.contains("nothing is counted any more: start the agent again"), "{log}");
            // Filters stay where nobody is left to take them off.
            classifier("detach");
            eventually("nothing stays", || (!attached()).then_some(()));
            assert!(!run("tc qdisc show dev r0").contains("clsact"), "{mode}");
        }
    });
}

#[test]
fn whichever_half_is_killed_the_kernel_counts_on_where_it_is_to() {
    in_namespace(|| {
        let (peer, files, state) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let bpffs = bpffs(&files);
        let arguments = format!("{} --state-dir {}", keeping(&files, &bpffs), state.path().display());
        let first = Agent::start(&arguments);
        let stream = Stream::start(&peer);
        first.end(libc::SIGKILL);
        for life in 0..6 {
            // The one before may still be ending: it is waited for.
            let agent = Agent::start(&arguments);
            let other = agent.other_half();
            if life % 2 == 0 {
                agent.end(libc::SIGKILL);
            } else {
                // SAFETY: as above.
                assert_eq!(unsafe { libc::kill(other as i32, libc::SIGKILL) }, 0);
                let (status, log) = agent.ended();
                assert_eq!(status.code(), Some(1), "{log}");
                let said = "; the kernel counts on, as `default`, and the next start goes on with it";
                assert!(log.contains(said), "{log}");
            }
            assert!(attached());
        }
        let agent = Agent::start(&arguments);
        let sent = stream.end();
        agent.settled(&[("transit rx", sent)]);
        assert_eq!(statistic("r0", "rx_packets"), sent);
        assert_eq!(agent.status()["warnings"], json!([]));
        assert_eq!(agent.end(libc::SIGTERM).0.code(), Some(0));
        classifier(&format!("detach --bpffs {}", bpffs.display()));
        assert!(!attached());
    });
}

#[test]
fn what_root_may_not_read_without_its_privileges_is_said_at_the_start() {
    in_namespace(|| {
        let (_peer, files) = (wire(), Files::new());
        // Another user's, and nobody else's.
        let private = files.path("private.csv");
        fs::write(&private, ROUTES).expect("written");
        run(&format!("chmod 600 {}", private.display()));
        run(&format!("chown 65534 {}", private.display()));
        let said = refused(&format!("run -i r0 --table {}", private.display()));
        assert!(said.contains("private.csv: Permission denied"), "{said}");
        assert!(said.contains("the agent has none of root's privileges"), "{said}");
        assert!(!attached());
    });
}
