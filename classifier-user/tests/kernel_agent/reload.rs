//! Tables change under traffic: on SIGHUP, by themselves, and broken ones not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    agent::{Agent, counter, eventually, frames},
    lab::{Peer, Raw, in_namespace},
    world::{Files, OVERRIDES, ROUTES, ip, send_from, wire},
};

/// Frames from Google that go on until they are stopped.
struct Stream {
    stop: Arc<AtomicBool>,
    sent: Receiver<u64>,
}

impl Stream {
    fn start(peer: &Peer) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sent = peer.start(move || {
            let raw = Raw::new("p0");
            let frames = [ip("8.8.8.8", "192.0.2.1", 100), ip("45.57.8.1", "192.0.2.1", 100)];
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..25 {
                    frames.iter().for_each(|frame| raw.send(frame));
                }
                sent += 25;
                thread::sleep(Duration::from_millis(1));
            }
            sent
        });
        Self { stop, sent }
    }

    /// How many of each of the two frames were sent.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.sent.recv().expect("the sender")
    }
}

/// What an AS sent us since the start, packets.
fn of(agent: &Agent, asn: u32) -> u64 {
    counter(&agent.ask(&format!("as {asn}"))["directions"]["in"]["since_start"]).0
}

fn source<'a>(status: &'a Value, files: &Files, name: &str) -> &'a Value {
    let path = files.path(name).display().to_string();
    let sources = status["table"]["sources"].as_array().expect("sources");
    sources.iter().find(|source| source["name"] == path).unwrap_or_else(|| panic!("no {path}: {status}"))
}

/// The table with another origin for 8.8.8.0/24.
fn moved() -> String {
    ROUTES.replace("8.8.8.0/24,15169,\"Google LLC\"", "8.8.8.0/24,64999,\"Somebody Else\"")
}

#[test]
fn tables_change_under_traffic_and_every_packet_counts_once() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let agent = Agent::start(&format!("-i r0 {}", files.arguments()));
        let stream = Stream::start(&peer);
        let mut scrapes = vec![agent.metrics()];
        eventually("Google is seen", || (of(&agent, 15169) > 0).then_some(()));

        // Nothing changed: nothing is written.
        let mark = agent.log().len();
        agent.signal(libc::SIGHUP);
        agent.wait_log(mark, "table.csv: 7 prefixes, 0 changed, 0 FIB words written");
        agent.wait_log(mark, "override.txt: 1 prefixes, 0 changed, 0 FIB words written");

        // Another origin, and another override.
        files.write("table.csv", &moved());
        files.write("override.txt", &OVERRIDES.replace("40027 Netflix OCA", "64998 A Cache"));
        let mark = agent.log().len();
        agent.signal(libc::SIGHUP);
        agent.wait_log(mark, "table.csv: 7 prefixes, 1 changed, 1 FIB words written");
        agent.wait_log(mark, "override.txt: 1 prefixes, 1 changed, 1 FIB words written");
        agent.two_sweeps();
        let (google, cache) = (of(&agent, 15169), of(&agent, 40027));
        assert!(google > 0 && cache > 0);
        eventually("the new origins count", || {
            (of(&agent, 64999) > 0 && of(&agent, 64998) > 0).then_some(())
        });
        assert_eq!(
            (of(&agent, 15169), of(&agent, 40027)),
            (google, cache),
            "the old ones have what they had"
        );
        scrapes.push(agent.metrics());

        // A broken file leaves all as it was, and says so.
        files.write("table.csv", "prefix,asn,name\n8.8.8.0/24,15169,\"Google LLC\"\n8.8.9.0/24,lots,\"\"\n");
        let mark = agent.log().len();
        agent.signal(libc::SIGHUP);
        let place = format!("{}:3: ", files.path("table.csv").display());
        agent.wait_log(mark, &place);
        agent.wait_log(mark, "the table stays as it was");
        let status = eventually("the status says it", || {
            let status = agent.ask("status");
            (source(&status, &files, "table.csv")["up"] == false).then_some(status)
        });
        assert_eq!(source(&status, &files, "override.txt")["up"], true);
        assert_eq!(status["table"]["ipv4_prefixes"], 6, "the last good table");
        let warnings = status["warnings"].as_array().expect("warnings");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].as_str().expect("text").contains(&place), "{warnings:?}");
        let metrics = agent.metrics();
        metrics.assert_clean();
        let up = |name: &str| {
            let path = files.path(name).display().to_string();
            agent.metrics().one("classifier_source_up", &[("source", &path)])
        };
        assert_eq!((up("table.csv"), up("override.txt")), (0.0, 1.0));
        scrapes.push(metrics);
        let before = of(&agent, 64999);
        eventually("it counts on", || (of(&agent, 64999) > before).then_some(()));

        // A file that is gone.
        std::fs::remove_file(files.path("override.txt")).expect("removed");
        let mark = agent.log().len();
        agent.signal(libc::SIGHUP);
        agent.wait_log(mark, "override.txt: No such file or directory");
        eventually("both are down", || (up("table.csv") == 0.0 && up("override.txt") == 0.0).then_some(()));

        // Files that are good again are taken without being told.
        files.write("table.csv", ROUTES);
        files.write("override.txt", OVERRIDES);
        let mark = agent.log().len();
        agent.wait_log(mark, "table.csv: 7 prefixes, 1 changed, 1 FIB words written");
        agent.wait_log(mark, "override.txt: 1 prefixes, 1 changed, 1 FIB words written");
        let status = eventually("all is well", || {
            let status = agent.ask("status");
            (status["warnings"] == json!([])).then_some(status)
        });
        assert_eq!(source(&status, &files, "table.csv")["up"], true);
        eventually("Google counts again", || (of(&agent, 15169) > google).then_some(()));

        let sent = stream.end();
        let status = agent.settled(&[("r0 rx", 2 * sent)]);
        assert_eq!(frames(&status, "r0 rx"), (2 * sent, 200 * sent), "all that was sent");
        assert_eq!(of(&agent, 15169) + of(&agent, 64999), sent, "under the old origin or the new one");
        assert_eq!(of(&agent, 40027) + of(&agent, 64998), sent, "none under the wider route of AS2906");
        let inside = &agent.ask("top --last 1h --direction in")["directions"]["in"];
        assert_eq!(counter(&inside["unmatched"]), (0, 0));
        assert_eq!(counter(&inside["total"]), (2 * sent, 200 * sent));
        scrapes.push(agent.metrics());
        scrapes.iter().for_each(|metrics| metrics.assert_adds_up(&["r0"]));
        scrapes.windows(2).for_each(|pair| pair[1].assert_after(&pair[0]));
    });
}

#[test]
fn groups_change_too_and_no_reload_waits_for_sighup() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let agent = Agent::start(&format!("-i r0 --no-reload {}", files.arguments()));
        send_from(&peer, "p0", &vec![(5, ip("8.8.8.8", "192.0.2.1", 100))]);
        agent.settled(&[("r0 rx", 5)]);
        let group =
            |name: &str| counter(&agent.ask(&format!("group {name}"))["directions"]["in"]["since_start"]);
        assert_eq!((group("netflix"), group("google")), ((0, 0), (5, 500)));

        let search = "[[group]]\nkey = \"google\"\nname = \"Search\"\nkind = \"content\"\nasns = [15169]\n";
        files.write("groups.toml", search);
        files.write("table.csv", &moved());
        // Longer than it takes an agent that looks at files.
        thread::sleep(Duration::from_millis(4500));
        let name = || agent.ask("group google")["name"].as_str().expect("a name").to_owned();
        assert_eq!(name(), "Google");
        agent.signal(libc::SIGHUP);
        eventually("the new group", || (name() == "Search").then_some(()));
        agent.wait_log(0, "table.csv: 7 prefixes, 1 changed, 1 FIB words written");
        assert_eq!(group("google"), (5, 500), "the past by the groups of now");

        files.write("groups.toml", &search.replace("asns", "asn"));
        let mark = agent.log().len();
        agent.signal(libc::SIGHUP);
        agent.wait_log(mark, "groups.toml:5: unknown key `asn`");
        agent.wait_log(mark, "the groups stay as they were");
        assert_eq!((name().as_str(), group("google")), ("Search", (5, 500)));
    });
}

#[test]
fn a_table_that_outgrows_its_maps_gets_larger_ones_and_counts_go_on() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let agent = Agent::start(&format!("-i r0 --no-reload {}", files.arguments()));
        let google = vec![(5, ip("8.8.8.8", "192.0.2.1", 100)), (2, ip("11.0.7.129", "192.0.2.1", 100))];
        send_from(&peer, "p0", &google);
        agent.settled(&[("r0 rx", 7)]);
        let of = |asn: u32| of(&agent, asn);
        let unmatched = || counter(&agent.ask("top --direction in")["directions"]["in"]["unmatched"]);
        assert_eq!((of(15169), unmatched()), (5, (2, 200)));

        // Maps are made for the first table and some more: not for so many routes longer than /24.
        let many = moved() + &crate::world::more_routes();
        files.write("table.csv", &many);
        let mark = agent.log().len();
        agent.signal(libc::SIGHUP);
        agent.wait_log(mark, "the table outgrew its maps: larger ones count on");
        agent.wait_log(mark, "table.csv: 10247 prefixes, ");
        send_from(&peer, "p0", &google);
        let status = agent.settled(&[("r0 rx", 14)]);
        assert_eq!((&status["warnings"], &status["closure_ok"]), (&json!([]), &json!(true)), "{status}");
        assert_eq!(status["table"]["ipv4_prefixes"], 10_246);
        assert_eq!(
            (of(15169), of(64999), of(64100)),
            (5, 5, 2),
            "the old counts, and those of the new table"
        );
        assert_eq!(unmatched(), (2, 200));

        // A table that would have fitted before.
        files.write("table.csv", &moved());
        let mark = agent.log().len();
        agent.signal(libc::SIGHUP);
        agent.wait_log(mark, "table.csv: 7 prefixes, ");
        send_from(&peer, "p0", &google);
        let status = agent.settled(&[("r0 rx", 21)]);
        assert_eq!((&status["warnings"], &status["closure_ok"]), (&json!([]), &json!(true)), "{status}");
        assert_eq!((of(15169), of(64999), of(64100)), (5, 10, 2));
        assert_eq!(unmatched(), (4, 400));

        let (status, log) = agent.end(libc::SIGTERM);
        assert_eq!(status.code(), Some(0), "{log}");
    });
}
