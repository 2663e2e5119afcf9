//! `classifier replay` held against a computation that shares nothing with it, and captures that cannot be read.
//! These tests need root, and fail without.

#[path = "../support/packets.rs"]
mod packets;

mod bad;
mod captures;
mod generate;
mod oracle;

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::{
    captures::{Order, pcap, pcapng},
    generate::capture,
    oracle::{Expected, Table},
};

/// Runs the command line.
pub(crate) fn classifier(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_classifier"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .expect("classifier starts")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn replay(file: &Path, more: &[&str]) -> Value {
    let file = file.to_str().expect("a path");
    let output = classifier(&[&["replay", file, "--json"], more].concat());
    assert_eq!(text(&output.stderr), "", "{more:?}");
    assert!(output.status.success(), "{more:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

const PACKETS: usize = 120_000;

#[test]
fn a_generated_capture_is_what_another_computation_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let exported = classifier(&["table", "export", "--format", "csv"]);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let table = Table::of_csv(&text(&exported.stdout));
    let packets = capture(PACKETS, &table);
    let (old, new) = (directory.path().join("generated.pcap"), directory.path().join("generated.pcapng"));
    std::fs::write(&old, pcap(&packets, Order::Little)).expect("written");
    std::fs::write(&new, pcapng(&packets, Order::Big)).expect("written");

    // Every part of the contract, in both formats: each side, by AS and by prefix.
    let runs = [
        (&old, "destination", "as"),
        (&new, "source", "as"),
        (&old, "source", "prefix"),
        (&new, "destination", "prefix"),
    ];
    for (file, side, by) in runs {
        let expected = Expected::of(&packets, &table, side == "source", by == "prefix");
        // A capture in which something is missing would prove nothing of it.
        for (outcome, counter) in &expected.outcomes {
            assert!(counter.0 > 500, "only {counter:?} of {outcome}");
        }
        assert!(
            expected.snapped > 1000 && expected.unmatched.0 > 1000,
            "{} {:?}",
            expected.snapped,
            expected.unmatched
        );
        assert!(expected.rows.len() > 5000, "{} rows", expected.rows.len());
        let answer = replay(file, &["--side", side, "--by", by]);
        expected.assert_is(&answer, side, by == "prefix", &table);
    }
}

#[test]
fn both_formats_in_both_byte_orders_give_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let routes = "prefix,asn,name\n10.0.0.0/8,64500,\"Ten\"\n2001:db8::/32,64501,\"Documentation\"\n";
    let table = Table::of_csv(routes);
    let csv = directory.path().join("t.csv");
    std::fs::write(&csv, routes).expect("written");
    let packets = capture(3000, &table);
    let expected = Expected::of(&packets, &table, false, true);
    for (name, bytes) in [
        ("a.pcap", pcap(&packets, Order::Little)),
        ("b.pcap", pcap(&packets, Order::Big)),
        ("a.pcapng", pcapng(&packets, Order::Little)),
        ("b.pcapng", pcapng(&packets, Order::Big)),
    ] {
        let file = directory.path().join(name);
        std::fs::write(&file, bytes).expect("written");
        let answer = replay(&file, &["--by", "prefix", "--table", csv.to_str().expect("a path")]);
        expected.assert_is(&answer, "destination", true, &table);
    }
}
