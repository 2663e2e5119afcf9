//! The same frames, counted in every way: what each way answers is the same.

use serde_json::{Value, json};

use crate::{
    agent::{Agent, counter, frames, rows, stderr, tc},
    lab::{in_namespace, run},
    world::{Files, inward, outward, send, send_from, sum, wire},
};

/// Of a direction: its rows; total, other, unmatched, non-IP.
type Essence = (Vec<(String, u64, u64)>, [(u64, u64); 4]);

/// Rows and totals of both directions, without rates and times.
fn essence(top: &Value) -> Vec<Essence> {
    ["in", "out"]
        .map(|direction| {
            let of = &top["directions"][direction];
            (
                rows(&of["rows"], "asn"),
                ["total", "other", "unmatched", "non_ip"].map(|part| counter(&of[part])),
            )
        })
        .to_vec()
}

#[test]
fn every_way_of_counting_gives_the_same_ases() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let (inside, outside) = (sum(&inward()), sum(&outward()));
        let mut remote = None;
        let mut local = None;
        for (options, count, granularity, mode) in [
            ("", "both", "prefix", "native"),
            ("--granularity as", "both", "as", "native"),
            ("--count remote", "remote", "prefix", "native"),
            ("--count local", "local", "prefix", "native"),
            ("--count remote --granularity as --xdp-mode native", "remote", "as", "native"),
            ("--xdp-mode tc", "both", "prefix", tc()),
            ("--xdp-mode generic", "both", "prefix", "generic"),
        ] {
            let agent = Agent::start(&format!("-i r0 {options} {}", files.arguments()));
            send_from(&peer, "p0", &inward());
            send("r0", &outward());
            let status = agent.settled(&[("r0 rx", inside.0), ("r0 tx", outside.0)]);
            assert_eq!((frames(&status, "r0 rx"), frames(&status, "r0 tx")), (inside, outside), "{options}");
            assert_eq!((&status["count"], &status["granularity"]), (&json!(count), &json!(granularity)));
            assert_eq!(status["links"][0]["rx"]["mode"], mode, "{options}");
            agent.metrics().assert_clean();

            for (side, first) in [("remote", &mut remote), ("local", &mut local)] {
                let line = format!("top --side {side}");
                if count != "both" && count != side {
                    let said = stderr(&agent.command(&line));
                    assert!(said.contains(&format!("the {side} side is not counted")), "{options}: {said}");
                    continue;
                }
                let essence = essence(&agent.ask(&line));
                assert_eq!(*first.get_or_insert_with(|| essence.clone()), essence, "{options}, {side}");
            }
            let by_prefix = agent.command(&format!(
                "top --by prefix --side {}",
                if count == "local" { "local" } else { "remote" }
            ));
            if granularity == "as" {
                assert_eq!(by_prefix.status.code(), Some(1), "{options}");
                assert!(stderr(&by_prefix).contains("prefixes are not counted"), "{}", stderr(&by_prefix));
            } else {
                assert!(by_prefix.status.success(), "{}", stderr(&by_prefix));
            }
            assert_eq!(agent.log().contains("inexact"), mode == "generic", "{}", agent.log());
            let (status, _) = agent.end(libc::SIGTERM);
            assert_eq!(status.code(), Some(0));
            assert!(!run("ip -d link show r0").contains("prog/xdp"), "{options}: left on the interface");
        }
        let (rows, totals) = &remote.expect("asked")[0];
        assert_eq!((rows.len(), totals[0]), (3, inside));
    });
}
