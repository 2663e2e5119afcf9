//! What is kept of the past, whatever becomes of the agent, its disk and its files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use classifier_user::{
    history::{
        Kind, Links, NO_AS, Part, Period, Read as _, Sample,
        recorder::settle,
        store::{Options, Reader},
    },
    model::{Counter, Direction, Role},
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use crate::{
    agent::{Agent, counter, eventually, frames, stdout},
    lab::{Peer, in_namespace, run, veth},
    world::{Files, Traffic, inward, ip, outward, send, send_from, sum, wire},
};

/// `run` with a state directory.
fn arguments(files: &Files, state: &Path) -> String {
    format!("-i r0=transit {} --state-dir {}", files.arguments(), state.display())
}

pub(crate) fn history(agent: &Agent) -> Value {
    agent.status()["history"].clone()
}

/// Waits until all that is swept now is in the journal or in the store.
pub(crate) fn journaled(agent: &Agent) {
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let swept = time(&agent.status()["sweeps"]["last"]).expect("swept");
    eventually("it is journaled", || {
        let history = history(agent);
        let last = time(&history["open_slot"]["last"]).max(time(&history["until"]))?;
        (last >= swept).then_some(())
    });
}

/// What the history says in the end: brings its journals into the store as the next agent would.
pub(crate) struct Past {
    reader: Reader,
    period: Period,
}

impl Past {
    pub(crate) fn of(state: &Path) -> Self {
        let later = SystemTime::now() + Duration::from_secs(600);
        settle(state, Options::new(TimeZone::UTC, "border"), 10, later).expect("settled");
        let reader = Reader::open(state).expect("a store");
        let extent = reader.extent().expect("an extent");
        let period = Period { from: extent.since.expect("slots"), to: extent.until };
        Self { reader, period }
    }

    fn covered(&self) -> u64 {
        self.reader.sums(Kind::Link, self.period, &Links::Isp).expect("sums").covered
    }

    /// Packets and bytes of all frames that came in.
    pub(crate) fn frames_in(&self) -> (u64, u64) {
        let parts = self.sums(Kind::Link).into_values();
        let all: Counter = parts.map(|samples| samples[Direction::In as usize].both()).sum();
        (all.packets, all.bytes)
    }

    pub(crate) fn sums(&self, kind: Kind) -> BTreeMap<u32, [Sample; 2]> {
        let sums = self.reader.sums(kind, self.period, &Links::Isp).expect("sums");
        sums.rows.into_iter().map(|row| (row.subject, row.samples)).collect()
    }

    fn groups(&self, keys: &[&str]) -> BTreeMap<String, [Sample; 2]> {
        let sums = self.sums(Kind::Group);
        assert_eq!(sums.len(), keys.len());
        let of = |key: &&str| {
            let number = self.reader.group(key).expect("groups").unwrap_or_else(|| panic!("no group {key}"));
            ((*key).to_owned(), sums[&number])
        };
        keys.iter().map(of).collect()
    }

    fn prefixes(&self) -> BTreeMap<String, [Sample; 2]> {
        let name = |(number, samples)| {
            let prefix = self.reader.prefix(number).expect("prefixes").expect("it is known");
            (format!("{} {}", prefix.prefix, prefix.asn), samples)
        };
        self.sums(Kind::Prefix).into_iter().map(name).collect()
    }
}

/// Packets and bytes so many times, IPv4 and IPv6, in and out.
fn samples(
    times: u64,
    v4_in: (u64, u64),
    v6_in: (u64, u64),
    v4_out: (u64, u64),
    v6_out: (u64, u64),
) -> [Sample; 2] {
    let of = |(packets, bytes)| Counter { packets: packets * times, bytes: bytes * times };
    [Sample { ipv4: of(v4_in), ipv6: of(v6_in) }, Sample { ipv4: of(v4_out), ipv6: of(v6_out) }]
}

#[test]
fn killed_again_and_again_it_has_every_frame_that_was_swept() {
    in_namespace(|| {
        let (peer, files, state) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let state = state.path().join("made/by/the/agent");
        let began = SystemTime::now();
        let mut sent = 0;
        for life in 0..8 {
            let agent = Agent::start(&arguments(&files, &state));
            // What is sent differs from life to life.
            let times = life % 3 + 1;
            for _ in 0..times {
                send_from(&peer, "p0", &inward());
                send("r0", &outward());
            }
            sent += times;
            let (inside, outside) = (sum(&inward()).0 * times, sum(&outward()).0 * times);
            agent.settled(&[("transit rx", inside), ("transit tx", outside)]);
            journaled(&agent);
            assert_eq!(history(&agent)["state"], "ok", "{}", agent.log());
            assert_eq!(history(&agent)["path"], state.display().to_string());
            agent.metrics().assert_clean();
            assert_eq!(agent.metrics().one("classifier_history_up", &[]), 1.0);
            let signal = if life % 4 == 3 { libc::SIGTERM } else { libc::SIGKILL };
            let (_, log) = agent.end(signal);
            assert!(!log.contains("WARN history"), "{log}");
        }
        let past = Past::of(&state);
        let n = |v4_in, v6_in, v4_out, v6_out| samples(sent, v4_in, v6_in, v4_out, v6_out);
        let none = (0, 0);
        let ases = [
            (NO_AS, n((6, 440), none, (2, 140), none)),
            (2906, n((10, 10_000), (5, 4_000), (8, 800), (1, 150))),
            (15169, n((7, 1_400), none, (9, 810), none)),
            (40027, n((3, 1_500), none, none, none)),
        ];
        assert_eq!(past.sums(Kind::As), BTreeMap::from(ases));
        let parts = [
            (Part::Ip as u32, n((26, 13_340), (5, 4_000), (19, 1_750), (1, 150))),
            (Part::Other as u32, n((8, 6 * 60 + 33 + 64), none, none, none)),
        ];
        assert_eq!(past.sums(Kind::Link), BTreeMap::from(parts));
        let groups = past.groups(&["netflix", "google"]);
        assert_eq!(groups["netflix"], n((13, 11_500), (5, 4_000), (8, 800), (1, 150)));
        assert_eq!(groups["google"], n((7, 1_400), none, (9, 810), none));
        let prefixes = [
            ("45.57.0.0/17 2906", n((10, 10_000), none, (8, 800), none)),
            ("45.57.8.0/24 40027", n((3, 1_500), none, none, none)),
            ("2a00:86c0::/32 2906", n(none, (5, 4_000), none, (1, 150))),
            ("8.8.8.0/24 15169", n((7, 1_400), none, (9, 810), none)),
        ];
        assert_eq!(past.prefixes(), prefixes.map(|(name, samples)| (name.to_owned(), samples)).into());
        let links = past.reader.links().expect("links");
        assert_eq!(links.len(), 1);
        assert_eq!((links[0].name.as_str(), links[0].role), ("transit", Role::Upstream));
        // Never more seconds than there were; what is between two lives is not among them.
        let elapsed = began.elapsed().expect("no jump").as_secs();
        assert!((1..=elapsed + 2).contains(&past.covered()), "{} of {elapsed}", past.covered());
        assert_eq!(
            fs::read_dir(&state)
                .expect("there")
                .filter(|entry| {
                    let name = entry.as_ref().expect("an entry").file_name();
                    name.to_string_lossy().ends_with(".journal")
                })
                .count(),
            0
        );
    });
}

#[test]
fn killed_under_traffic_it_has_what_it_had_journaled_and_no_frame_twice() {
    in_namespace(|| {
        let (peer, files, state) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let burst: Traffic =
            vec![(500, ip("45.57.0.1", "192.0.2.1", 1000)), (300, ip("8.8.8.8", "192.0.2.1", 200))];
        let (mut sent, mut seen) = (0, 0);
        for life in 0..10_u64 {
            let agent = Agent::start(&arguments(&files, state.path()));
            // Its journal is read in a thread of its own.
            let lives = eventually("what was journaled", || {
                let lives = Past::frames(&agent);
                (lives >= seen || history(&agent)["until"].is_string()).then_some(lives)
            });
            let (traffic, bursts) = (burst.clone(), 3 + life);
            let sending = peer.start(move || (0..bursts).for_each(|_| send("p0", &traffic)));
            sent += bursts;
            // At another moment each time, while it is being swept.
            let enough = 800 * (life % bursts);
            eventually("some frames", || (frames(&agent.status(), "transit rx").0 > enough).then_some(()));
            seen = Past::frames(&agent).max(lives);
            agent.end(libc::SIGKILL);
            sending.recv().expect("sent");
        }
        let past = Past::of(state.path());
        let link = past.sums(Kind::Link)[&(Part::Ip as u32)][Direction::In as usize].ipv4;
        assert!(link.packets >= seen, "{link:?}, {seen} were journaled");
        assert!(link.packets <= sent * 800, "{link:?}, {sent} bursts were sent");
        let ases = past.sums(Kind::As);
        let [video, search] = [2906, 15169].map(|asn| ases.get(&asn).map_or(Counter::ZERO, |s| s[0].ipv4));
        assert_eq!((video.bytes, search.bytes), (video.packets * 1000, search.packets * 200));
        // What a sweep found of a link and did not yet find of its classes is lost with the kill.
        assert!(video.packets + search.packets <= link.packets);
    });
}

impl Past {
    /// Frames in the open slot.
    fn frames(agent: &Agent) -> u64 {
        history(agent)["open_slot"]["frames"]["packets"].as_u64().unwrap_or(0)
    }
}

/// A small disk of the calling thread's namespace.
fn disk(files: &Files, size: &str) -> PathBuf {
    let path = files.path("disk");
    fs::create_dir_all(&path).expect("made");
    run(&format!("mount -t tmpfs -o size={size} none {}", path.display()));
    path
}

/// Sends three frames, and waits until they are counted: `total` until now.
fn three(peer: &Peer, agent: &Agent, total: u64) {
    send_from(peer, "p0", &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
    agent.settled(&[("transit rx", total)]);
}

/// Waits for a state, and gives the history then. What does not depend on a disk works on.
fn state(agent: &Agent, expected: &str) -> Value {
    let history = eventually(&format!("the history is {expected}: {}", history(agent)), || {
        let history = history(agent);
        (history["state"] == expected).then_some(history)
    });
    agent.metrics().assert_clean();
    let up = if expected == "ok" { 1.0 } else { 0.0 };
    assert_eq!(agent.metrics().one("classifier_history_up", &[]), up);
    assert_eq!(agent.get("/healthz").0, 200);
    let warnings = agent.status()["warnings"].as_array().expect("warnings").len();
    assert_eq!(warnings, usize::from(expected != "ok"), "{history}");
    history
}

#[test]
fn a_full_disk_and_a_read_only_one_are_outlived() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let disk = disk(&files, "2m");
        // Nothing fits from the start: not even a database.
        fs::write(disk.join("filler"), vec![1; 4 << 20]).unwrap_err();
        let agent = Agent::start(&arguments(&files, &disk));
        state(&agent, "failing");
        agent.wait_log(0, "history: the history's database: database or disk is full");
        agent.wait_log(0, &format!("history: the journal in {} cannot be written", disk.display()));
        three(&peer, &agent, 3);
        assert!(
            stdout(&agent.command("status")).contains("FAILING in"),
            "{}",
            stdout(&agent.command("status"))
        );
        assert_eq!(
            agent.log().matches("WARN").count(),
            agent.log().matches("the agent goes on counting").count()
        );
        fs::remove_file(disk.join("filler")).expect("removed");
        state(&agent, "ok");
        agent.wait_log(0, "history: the store works again");
        agent.wait_log(0, "history: the journal works again");
        three(&peer, &agent, 6);
        journaled(&agent);

        // It runs full while it is in use.
        let log = agent.log().len();
        fs::write(disk.join("filler"), vec![1; 4 << 20]).unwrap_err();
        send_from(&peer, "p0", &inward());
        agent.settled(&[("transit rx", 6 + sum(&inward()).0)]);
        // A page of the file may have room for some sweeps more.
        agent.wait_log(log, "No space left on device");
        state(&agent, "failing");
        fs::remove_file(disk.join("filler")).expect("removed");
        state(&agent, "ok");
        journaled(&agent);
        agent.end(libc::SIGKILL);

        // Read-only at the start.
        run(&format!("mount -o remount,ro {}", disk.display()));
        let agent = Agent::start(&arguments(&files, &disk));
        let history = state(&agent, "failing");
        assert!(
            history["message"].as_str().expect("a message").contains("Read-only file system"),
            "{history}"
        );
        three(&peer, &agent, 3);
        run(&format!("mount -o remount,rw {}", disk.display()));
        state(&agent, "ok");
        journaled(&agent);
        agent.end(libc::SIGKILL);

        let past = Past::of(&disk);
        let ases = past.sums(Kind::As);
        let of = |asn: u32| ases[&asn][Direction::In as usize].both().packets;
        assert_eq!((of(15169), of(2906)), (3 * 3 + 7, 15), "all lives and what was in the way are in it");
        drop(past);
        run(&format!("umount -l {}", disk.display()));
    });
}

#[test]
fn a_store_that_is_garbage_is_set_aside_and_a_newer_one_left_alone() {
    in_namespace(|| {
        let (peer, files, directory) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let store = directory.path().join("history.sqlite3");
        let agent = Agent::start(&arguments(&files, directory.path()));
        assert!(agent.log().contains("INFO history: in "), "{}", agent.log());
        state(&agent, "ok");
        three(&peer, &agent, 3);
        journaled(&agent);
        assert_eq!(agent.end(libc::SIGTERM).0.code(), Some(0));

        let garbage: Vec<u8> = (0..100_000_u32).map(|i| ((i * 7919) >> 3) as u8).collect();
        fs::write(&store, &garbage).expect("written");
        let agent = Agent::start(&arguments(&files, directory.path()));
        agent.wait_log(0, "history: the store was damaged");
        state(&agent, "ok");
        three(&peer, &agent, 3);
        journaled(&agent);
        let kept: Vec<_> = fs::read_dir(directory.path())
            .expect("there")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.to_string_lossy().contains("history.sqlite3.damaged-"))
            // Beside it there may be SQLite's own files.
            .filter(|path| path.to_string_lossy().ends_with('Z'))
            .collect();
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(fs::read(&kept[0]).expect("there"), garbage, "not a byte is lost of it");
        assert_eq!(agent.end(libc::SIGTERM).0.code(), Some(0));
        // Six frames: the journal was not the store's.
        let past = Past::of(directory.path());
        assert_eq!(past.sums(Kind::As)[&15169][0].ipv4, Counter { packets: 6, bytes: 600 });
        drop(past);

        // A version of years from now: bytes 60 to 63 of SQLite's header.
        let mut bytes = fs::read(&store).expect("there");
        bytes[60..64].copy_from_slice(&999_u32.to_be_bytes());
        fs::write(&store, &bytes).expect("written");
        let agent = Agent::start(&arguments(&files, directory.path()));
        let history = state(&agent, "failing");
        assert!(history["message"].as_str().expect("a message").contains("is of version 999"), "{history}");
        three(&peer, &agent, 3);
        assert_eq!(counter(&agent.ask("top")["directions"]["in"]["total"]), (3, 300));
        assert_eq!(agent.end(libc::SIGTERM).0.code(), Some(0));
        assert_eq!(fs::read(&store).expect("there"), bytes, "untouched");
    });
}

#[test]
fn a_state_directory_belongs_to_one_agent() {
    in_namespace(|| {
        let (peer, files, directory) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        veth(&peer, "r1", "p1", 1500);
        let agent = Agent::start(&arguments(&files, directory.path()));
        state(&agent, "ok");
        let second = Agent::start(&format!(
            "-i r1 {} --state-dir {} --listen 127.0.0.1:9470",
            files.arguments(),
            directory.path().display()
        ));
        let history = state(&second, "failing");
        let message = history["message"].as_str().expect("a message");
        assert!(message.contains("another agent keeps its history in"), "{message}");
        send_from(&peer, "p1", &vec![(2, ip("8.8.8.8", "192.0.2.1", 100))]);
        second.settled(&[("r1 rx", 2)]);
        assert_eq!(second.end(libc::SIGTERM).0.code(), Some(0));
        three(&peer, &agent, 3);
        journaled(&agent);
        assert_eq!(agent.end(libc::SIGTERM).0.code(), Some(0));
        let past = Past::of(directory.path());
        assert_eq!(past.sums(Kind::As)[&15169][0].ipv4, Counter { packets: 3, bytes: 300 });
        assert_eq!(past.reader.links().expect("links").len(), 1);
    });
}

#[test]
fn without_a_state_directory_it_says_how_to_have_one() {
    in_namespace(|| {
        let (_peer, files) = (wire(), Files::new());
        let agent = Agent::start(&format!("-i r0 {}", files.arguments()));
        assert!(agent.log().contains("no history is kept"), "{}", agent.log());
        assert!(agent.log().contains("--state-dir"), "{}", agent.log());
        assert_eq!((&history(&agent)["state"], &history(&agent)["path"]), (&json!("off"), &Value::Null));
        assert_eq!(agent.status()["warnings"], json!([]));
        assert_eq!(agent.metrics().sum("classifier_history_up", &[]), 0.0);
        assert!(!agent.metrics().text.contains("classifier_history"));
    });
}
