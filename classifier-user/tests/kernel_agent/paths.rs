//! The agent with a router's paths: which neighbour, which transit, which route and why.

use std::fs;

use serde_json::{Value, json};

use crate::{
    agent::{Agent, counter, eventually, expected, rows, stdout},
    lab::{Peer, in_namespace, veth},
    routers::Bird,
    world::{ip, send, send_from},
};

/// The ISP's own AS.
const AS: u32 = 64_500;

/// Of a file: a network that no peer announces, and one that a peer knows better.
const TABLE: &str = "prefix,asn,name\n10.0.0.0/8,64999,\"Far Away\"\n203.0.113.0/24,777,\"Somebody Else\"\n";

const SESSION: &str = "protocol bgp classifier {
  local 127.0.0.1 as 64500;
  neighbor 127.0.0.1 port 1179 as 64500;
  rr client;
  connect delay time 1; connect retry time 1; error wait time 1, 1;
  ipv4 { import none; export all; next hop address 127.0.0.2; };
}";

fn route(prefix: &str, path: &[u32]) -> String {
    let prepend: String = path.iter().rev().map(|asn| format!(" bgp_path.prepend({asn});")).collect();
    format!("route {prefix} blackhole {{{prepend} }};\n")
}

/// Two networks behind two neighbours, and one of the router's own.
fn routes(first: &[u32]) -> String {
    [
        route("198.51.100.0/24", first),
        route("203.0.113.0/24", &[1299, 1299, 3356, 2906]),
        route("192.0.2.0/24", &[]),
    ]
    .concat()
}

/// By number: packets, bytes.
fn top(agent: &Agent, by: &str, direction: &str) -> (Value, Vec<(String, u64, u64)>) {
    let top = agent.ask(&format!("top --by {by}"))["directions"][direction].clone();
    let rows = rows(&top["rows"], "asn");
    (top, rows)
}

#[test]
fn what_goes_by_which_neighbour_and_through_whom() {
    in_namespace(|| {
        let internet = Peer::new();
        veth(&internet, "u0", "pu0", 1500);
        let files = tempfile::tempdir().expect("a directory");
        let table = files.path().join("table.csv");
        fs::write(&table, TABLE).expect("written");
        let agent = Agent::start(&format!(
            "-i u0=transit --table {} --router border --bgp \
             127.0.0.1,as={AS},listen=127.0.0.1:1179,passive,name=bird",
            table.display()
        ));
        let bird = Bird::here(SESSION, &routes(&[3356, 15_169]));
        eventually("the router's routes", || {
            let status = agent.ask("routes status");
            (status["peers"][0]["ipv4_prefixes"] == 3 && status["ipv4_prefixes"] == 4).then_some(())
        });
        let out = |network: &str, len| ip("192.0.2.1", network, len);
        send(
            "u0",
            &vec![
                (5, out("198.51.100.1", 1000)),
                (7, out("203.0.113.1", 500)),
                (3, out("192.0.2.9", 100)),
                (2, out("10.1.1.1", 200)),
                (1, out("172.16.0.1", 60)),
            ],
        );
        send_from(&internet, "pu0", &vec![(4, ip("203.0.113.7", "192.0.2.1", 300))]);
        agent.settled(&[("transit tx", 18), ("transit rx", 4)]);

        let (all, neighbors) = top(&agent, "neighbor", "out");
        assert_eq!(neighbors, expected(&[("3356", 5, 5000), ("1299", 7, 3500)]));
        assert_eq!(counter(&all["no_path"]), (5, 700), "the ISP's own, and what only the file has");
        assert_eq!(counter(&all["unmatched"]), (1, 60));
        assert_eq!((counter(&all["other"]), counter(&all["total"])), ((0, 0), (18, 9260)));
        assert_eq!(top(&agent, "neighbor", "in").1, expected(&[("1299", 4, 1200)]));
        let (all, transit) = top(&agent, "transit", "out");
        let far = [("2906", 7, 3500), ("64999", 2, 400), ("64500", 3, 300)];
        let near = [("3356", 12, 8500), ("15169", 5, 5000), ("1299", 7, 3500)];
        assert_eq!(transit, expected(&[near, far].concat()));
        assert_eq!((counter(&all["no_path"]), counter(&all["other"])), ((5, 700), (0, 0)));

        let level3 = agent.ask("as 3356")["directions"]["out"].clone();
        assert_eq!(counter(&level3["carried"]), (12, 8500));
        assert_eq!(rows(&level3["behind"], "asn"), expected(&[("15169", 5, 5000), ("2906", 7, 3500)]));
        let google = agent.ask("as 15169")["directions"]["out"].clone();
        assert_eq!(rows(&google["neighbors"], "asn"), expected(&[("3356", 5, 5000)]));
        assert_eq!(google["neighbors"][0]["part"], json!(1.0));

        another_path(&agent, &bird);
        lookups(&agent);
        in_metrics_and_text(&agent);
    });
}

/// What is counted from then on goes by the other neighbour; what was counted stays.
fn another_path(agent: &Agent, bird: &Bird<'_>) {
    bird.configure(SESSION, &routes(&[1299, 15_169]));
    eventually("the other path", || {
        let found = agent.ask("lookup 198.51.100.1");
        (found[0]["path"] == json!([1299, 15_169])).then_some(())
    });
    send("u0", &vec![(10, ip("192.0.2.1", "198.51.100.1", 1000))]);
    agent.settled(&[("transit tx", 28)]);
    let (all, neighbors) = top(agent, "neighbor", "out");
    assert_eq!(neighbors, expected(&[("1299", 17, 13_500), ("3356", 5, 5000)]));
    assert_eq!((counter(&all["no_path"]), counter(&all["total"])), ((5, 700), (28, 19_260)));
    let (_, transit) = top(agent, "transit", "out");
    let first = [("15169", 15, 15_000), ("1299", 17, 13_500), ("3356", 12, 8500), ("2906", 7, 3500)];
    assert_eq!(transit[..4], expected(&first));
    let google = agent.ask("as 15169")["directions"]["out"].clone();
    assert_eq!(rows(&google["neighbors"], "asn"), expected(&[("1299", 10, 10_000), ("3356", 5, 5000)]));
    assert_eq!(google["neighbors"][0]["part"], json!(0.666_666_667));
}

fn lookups(agent: &Agent) {
    let found = agent.ask("lookup 203.0.113.9 192.0.2.77 10.9.9.9 172.16.0.1");
    let netflix = &found[0];
    assert_eq!(
        (&netflix["prefix"], &netflix["asn"], &netflix["source"]),
        (&json!("203.0.113.0/24"), &json!(2906), &json!("bird"))
    );
    assert_eq!((&netflix["neighbor"], &netflix["stale"]), (&json!(1299), &json!(false)));
    let candidates = netflix["candidates"].as_array().expect("a list");
    assert_eq!(candidates.len(), 2, "{netflix}");
    assert_eq!(candidates[0]["path"], json!([1299, 1299, 3356, 2906]));
    assert_eq!((&candidates[0]["best"], &candidates[0]["local_pref"]), (&json!(true), &json!(100)));
    let file = &candidates[1];
    assert_eq!((&file["lost_by"], &file["origins"]), (&json!("source"), &json!([777])));
    assert!(file["source"].as_str().is_some_and(|source| source.ends_with("table.csv")), "{file}");
    let own = &found[1];
    assert_eq!((&own["asn"], &own["path"], &own["neighbor"]), (&json!(AS), &json!([]), &Value::Null));
    assert_eq!((&found[2]["asn"], &found[2]["path"]), (&json!(64_999), &Value::Null));
    assert_eq!(found[3]["prefix"], Value::Null);
    let shown = stdout(&agent.command("lookup 203.0.113.9"));
    assert!(
        shown.starts_with("203.0.113.9: 203.0.113.0/24 of AS2906") && shown.contains("1299 1299 3356 2906"),
        "{shown}"
    );
    assert!(shown.contains("lost by precedence of its source"), "{shown}");
}

fn in_metrics_and_text(agent: &Agent) {
    let metrics = agent.metrics();
    metrics.assert_clean();
    for direction in ["in", "out"] {
        let labels = [("link", "transit"), ("direction", direction)];
        for what in ["packets", "bytes"] {
            let all = metrics.sum(&format!("classifier_link_{what}_total"), &labels);
            let by_neighbor = metrics.sum(&format!("classifier_neighbor_{what}_total"), &labels);
            assert_eq!(by_neighbor, all, "{direction} {what}:\n{}", metrics.text);
        }
    }
    let shown = stdout(&agent.command("top --by neighbor --direction out"));
    assert!(shown.contains("border: top by neighbor, remote side") && shown.contains("no path"), "{shown}");
    let csv = stdout(&agent.command("top --by transit --direction out --csv"));
    assert!(csv.starts_with("direction,rank,asn,name,packets,") && csv.contains("\nout,,no_path,,5,700,"));
    let status = stdout(&agent.command("routes status"));
    assert!(status.contains("bird") && status.contains("established"), "{status}");
    let status = agent.ask("routes status");
    let (bird, session) = (&status["peers"][0], &status["sessions"][0]);
    assert_eq!((&bird["asn"], &bird["standing"], &bird["stale"]), (&json!(AS), &json!("router"), &json!(0)));
    assert!(bird["last_change"].is_string() && session["announced"] == 4, "{status}");
    assert_eq!(status["live"]["ways"], 2, "{status}");
    let refused = agent.command("report --peering");
    assert_eq!(refused.status.code(), Some(1));
}
