//! Captures that cannot be read, or not to the end, and users that may not.

use std::{fs, net::IpAddr, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::{
    captures::{Order, Packet, pcap, pcap_header, pcapng, pcapng_header},
    classifier,
    packets::frame,
    replay, text,
};

/// A directory with a small table.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("t.csv"), "prefix,asn,name\n10.0.0.0/8,64500,\"Ten\"\n")
            .expect("written");
        Self { directory }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    }

    fn table(&self) -> String {
        self.directory.path().join("t.csv").display().to_string()
    }

    /// What a replay of these bytes says: code, stdout, stderr.
    fn try_replay(&self, name: &str, bytes: &[u8]) -> (Option<i32>, String, String) {
        let file = self.file(name, bytes).display().to_string();
        let output = classifier(&["replay", &file, "--json", "--table", &self.table()]);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

/// Frames of 100 bytes to 10.0.0.1.
fn ten(count: usize) -> Vec<Packet> {
    let (source, destination): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [10, 0, 0, 1].into());
    let one = || Packet { kept: frame(source, destination, 100, &[]), original: 100 };
    (0..count).map(|_| one()).collect()
}

#[test]
fn a_cut_capture_shows_what_was_before_and_fails() {
    let bench = Bench::new();
    for (name, whole) in
        [("cut.pcap", pcap(&ten(7), Order::Little)), ("cut.pcapng", pcapng(&ten(7), Order::Little))]
    {
        let (code, stdout, stderr) = bench.try_replay(name, &whole[..whole.len() - 50]);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(&format!("{name}: damaged or cut after packet 6: ")), "{stderr}");
        let answer: Value = serde_json::from_str(&stdout).expect("what was before");
        assert_eq!((&answer["packets"], &answer["bytes"]), (&json!(6), &json!(600)));
        assert_eq!(answer["rows"][0]["packets"], 6);
        // Not a byte missing: it is read to the end.
        let whole = bench.file(name, &whole);
        assert_eq!(replay(&whole, &["--table", &bench.table()])["packets"], 7);
    }
}

#[test]
fn a_capture_of_no_packets_is_an_answer() {
    let bench = Bench::new();
    for (name, bytes) in [("none.pcap", pcap(&[], Order::Little)), ("none.pcapng", pcapng(&[], Order::Big))] {
        let file = bench.file(name, &bytes);
        let answer = replay(&file, &["--table", &bench.table()]);
        assert_eq!((&answer["packets"], &answer["rows"]), (&json!(0), &json!([])), "{name}");
        assert_eq!(answer["unmatched"], json!({"packets": 0, "bytes": 0}));
    }
}

#[test]
fn what_is_no_capture_says_so() {
    let bench = Bench::new();
    let mut backwards = ten(2);
    backwards[1].original = 60;
    const RAW: u32 = 101;
    for (name, bytes, message) in [
        ("empty", vec![], "empty: the file is empty; expected a pcap or pcapng capture"),
        ("text", b"this is no capture".to_vec(), "text: neither pcap nor pcapng (it begins with 74 68 69 73"),
        ("short", vec![0xd4, 0xc3, 0xb2], "short: "),
        ("header", pcap_header(Order::Little, 1)[..20].to_vec(), "header: "),
        ("raw.pcap", pcap_header(Order::Little, RAW), "raw.pcap: link type RAW is not Ethernet"),
        ("raw.pcapng", pcapng_header(Order::Little, RAW), "raw.pcapng: link type RAW is not Ethernet"),
        (
            "long.pcap",
            pcap(&backwards, Order::Little),
            "long.pcap: packet 2 has 100 captured bytes but was 60 bytes long",
        ),
    ] {
        let (code, stdout, stderr) = bench.try_replay(name, &bytes);
        assert_eq!(code, Some(1), "{name}: {stdout} {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(message), "{name}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{name}: {stderr}");
    }
    let missing = bench.directory.path().join("no-such.pcap").display().to_string();
    let output = classifier(&["replay", &missing]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), format!("error: {missing}: No such file or directory (os error 2)\n"));
}

#[test]
fn no_privileges_and_the_message_names_them() {
    let bench = Bench::new();
    let file = bench.file("ten.pcap", &pcap(&ten(1), Order::Little));
    let output = Command::new("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all", env!("CARGO_BIN_EXE_classifier"), "replay"])
        .arg(&file)
        .args(["--table", &bench.table()])
        .output()
        .expect("setpriv (util-linux)");
    let stderr = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()), "{stderr}");
    for capability in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "classifier check"] {
        assert!(stderr.contains(capability), "{stderr}");
    }
}

#[test]
fn minimal_caps_a_capture_replays() {
    let bench = Bench::new();
    let file = bench.file("ten.pcap", &pcap(&ten(5), Order::Little));
    let answer = replay(&file, &["--table", &bench.table()]);
    assert_eq!(
        answer["rows"],
        json!([{"asn": 64500, "name": "Ten", "packets": 5, "bytes": 500, "share": 1.0}])
    );
}
