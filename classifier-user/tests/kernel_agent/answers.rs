//! Every answer, with known frames both ways: exact numbers, the same in each.

use serde_json::{Value, json};

use crate::{
    agent::{Agent, counter, expected, frames, rows, stderr, stdout, tc},
    lab::in_namespace,
    world::{Files, inward, ip, outward, send, send_from, sum, wire},
};

/// Bytes of [`inward`] and [`outward`].
const IN: u64 = 17_797;
const OUT: u64 = 1_900;

fn share(bytes: u64, of: u64) -> Value {
    json!((bytes as f64 / of as f64 * 1e9).round() / 1e9)
}

/// Both directions of a ranking: rows, other, unmatched, non-IP; they add up to the total.
#[track_caller]
fn assert_top(top: &Value, key: &str, inside: Expected<'_>, outside: Expected<'_>) {
    for (direction, want) in [("in", inside), ("out", outside)] {
        let got = &top["directions"][direction];
        let (rows_want, other, unmatched, non_ip) = want;
        assert_eq!(rows(&got["rows"], key), expected(rows_want), "{direction}: {top}");
        assert_eq!(counter(&got["other"]), other, "{direction} other: {top}");
        assert_eq!(counter(&got["unmatched"]), unmatched, "{direction} unmatched: {top}");
        assert_eq!(counter(&got["non_ip"]), non_ip, "{direction} non-IP: {top}");
        let (packets, bytes) = counter(&got["total"]);
        let parts = rows_want.iter().map(|(_, packets, bytes)| (*packets, *bytes));
        let added = parts
            .chain([other, unmatched, non_ip])
            .fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        assert_eq!((packets, bytes), added, "{direction}");
        for row in got["rows"].as_array().expect("rows") {
            assert_eq!(row["share"], share(row["bytes"].as_u64().expect("bytes"), bytes), "{row}");
        }
    }
}

type Expected<'a> = (&'a [(&'a str, u64, u64)], (u64, u64), (u64, u64), (u64, u64));

#[test]
fn every_answer_has_the_exact_numbers() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let agent = Agent::start(&format!("-i r0=transit {}", files.arguments()));
        assert_eq!((sum(&inward()), sum(&outward())), ((39, IN), (20, OUT)));
        send_from(&peer, "p0", &inward());
        send("r0", &outward());
        let status = agent.settled(&[("transit rx", 39), ("transit tx", 20)]);
        assert_eq!((frames(&status, "transit rx").1, frames(&status, "transit tx").1), (IN, OUT));

        rankings(&agent);
        details(&agent);
        links_and_status(&agent, &files);
        tables_for_people_and_spreadsheets(&agent);
        questions_that_have_no_answer(&agent);
    });
}

fn rankings(agent: &Agent) {
    let top = agent.ask("top");
    assert_eq!(
        (&top["router"], &top["by"], &top["side"]),
        (&json!("border"), &json!("as"), &json!("remote"))
    );
    let names: Vec<_> = top["directions"]["in"]["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["name"].clone())
        .collect();
    assert_eq!(names, ["Netflix Streaming Services", "Netflix OCA", "Google LLC"]);
    let non_ip = (8, 6 * 60 + 33 + 64);
    assert_top(
        &top,
        "asn",
        (&[("2906", 15, 14_000), ("40027", 3, 1_500), ("15169", 7, 1_400)], (0, 0), (6, 440), non_ip),
        (&[("2906", 9, 950), ("15169", 9, 810)], (0, 0), (2, 140), (0, 0)),
    );
    assert_top(
        &agent.ask("top -n 1"),
        "asn",
        (&[("2906", 15, 14_000)], (10, 2_900), (6, 440), non_ip),
        (&[("2906", 9, 950)], (9, 810), (2, 140), (0, 0)),
    );
    assert_top(
        &agent.ask("top --side local"),
        "asn",
        (&[("64500", 24, 15_940), ("64501", 7, 1_400)], (0, 0), (0, 0), non_ip),
        (&[("64500", 18, 1_760), ("64501", 2, 140)], (0, 0), (0, 0), (0, 0)),
    );
    assert_top(
        &agent.ask("top --by prefix"),
        "prefix",
        (
            &[
                ("45.57.0.0/17", 10, 10_000),
                ("2a00:86c0::/32", 5, 4_000),
                ("45.57.8.0/24", 3, 1_500),
                ("8.8.8.0/24", 7, 1_400),
            ],
            (0, 0),
            (6, 440),
            non_ip,
        ),
        (
            &[("8.8.8.0/24", 9, 810), ("45.57.0.0/17", 8, 800), ("2a00:86c0::/32", 1, 150)],
            (0, 0),
            (2, 140),
            (0, 0),
        ),
    );
    assert_top(
        &agent.ask("top --by group"),
        "group",
        (&[("netflix", 18, 15_500), ("google", 7, 1_400)], (0, 0), (6, 440), non_ip),
        (&[("netflix", 9, 950), ("google", 9, 810)], (0, 0), (2, 140), (0, 0)),
    );
    // The user's file replaces a group, and leaves the built-in others.
    assert_top(
        &agent.ask("top --by kind"),
        "kind",
        (&[("video", 18, 15_500), ("content", 7, 1_400)], (0, 0), (6, 440), non_ip),
        (&[("video", 9, 950), ("content", 9, 810)], (0, 0), (2, 140), (0, 0)),
    );
    assert_top(
        &agent.ask("top --by link"),
        "link",
        (&[("transit", 39, IN)], (0, 0), (0, 0), (0, 0)),
        (&[("transit", 20, OUT)], (0, 0), (0, 0), (0, 0)),
    );
    let only = agent.ask("top --direction out --last 1h --link transit");
    assert_eq!(only["directions"].as_object().expect("directions").keys().collect::<Vec<_>>(), ["out"]);
    assert_eq!(counter(&only["directions"]["out"]["total"]), (20, OUT));
}

fn details(agent: &Agent) {
    for line in ["as 2906", "as AS2906", "as as2906"] {
        let netflix = agent.ask(line);
        assert_eq!(netflix["asn"], 2906, "{line}");
        assert_eq!(netflix["group"], "netflix");
        let inside = &netflix["directions"]["in"];
        for period in ["since_start", "last_1h", "last_5m"] {
            assert_eq!(counter(&inside[period]), (15, 14_000), "{period}");
            assert_eq!((&inside[period]["rank"], &inside[period]["share"]), (&json!(1), &share(14_000, IN)));
        }
        assert_eq!(counter(&inside["ipv4"]), (10, 10_000));
        assert_eq!(counter(&inside["ipv6"]), (5, 4_000));
        assert_eq!(rows(&inside["links"], "link"), expected(&[("transit", 15, 14_000)]));
        let prefixes = expected(&[("45.57.0.0/17", 10, 10_000), ("2a00:86c0::/32", 5, 4_000)]);
        assert_eq!(rows(&inside["prefixes"], "prefix"), prefixes);
        assert_eq!(counter(&netflix["directions"]["out"]["since_start"]), (9, 950));
    }
    // An AS with a name and no traffic is known; its local part is another question.
    let ours = agent.ask("as 64501");
    assert_eq!(counter(&ours["directions"]["in"]["since_start"]), (0, 0));
    assert_eq!(counter(&agent.ask("as 64501 --side local")["directions"]["in"]["since_start"]), (7, 1_400));

    let prefix = agent.ask("prefix 45.57.0.0/16");
    assert_eq!((&prefix["routes"], &prefix["asn"]), (&json!(2), &Value::Null));
    assert_eq!(counter(&prefix["directions"]["in"]["since_start"]), (13, 11_500));
    let prefix = agent.ask("prefix 2a00:86c0::/32");
    assert_eq!((&prefix["routes"], &prefix["asn"]), (&json!(1), &json!(2906)));
    assert_eq!(counter(&prefix["directions"]["out"]["since_start"]), (1, 150));
    // AS 0 is unmatched in every ranking, and found where it is asked for.
    assert_eq!(counter(&agent.ask("prefix 203.0.113.0/24")["directions"]["in"]["since_start"]), (2, 200));

    let group = agent.ask("group netflix");
    assert_eq!((&group["name"], &group["kind"]), (&json!("Netflix and caches"), &json!("video")));
    assert_eq!(group["asns"], json!([2906, 40027]));
    let inside = &group["directions"]["in"];
    assert_eq!(counter(&inside["since_start"]), (18, 15_500));
    assert_eq!(rows(&inside["ases"], "asn"), expected(&[("2906", 15, 14_000), ("40027", 3, 1_500)]));
}

fn links_and_status(agent: &Agent, files: &Files) {
    let links = agent.ask("links");
    let link = &links["links"][0];
    assert_eq!(
        (&link["name"], &link["interface"], &link["role"]),
        (&json!("transit"), &json!("r0"), &json!("upstream"))
    );
    assert_eq!((&link["vlan"], &link["kind"]), (&Value::Null, &Value::Null));
    let inside = &link["directions"]["in"];
    assert_eq!((&inside["hook"], &inside["mode"]), (&json!("rx"), &json!("native")));
    assert_eq!(counter(&inside["since_start"]), (39, IN));
    assert_eq!(counter(&inside["unmatched"]), (6, 440));
    assert_eq!(inside["closure_ok"], true);
    let ip_bytes = IN - 6 * 60 - 33 - 64;
    assert_eq!(inside["coverage"], share(ip_bytes - 440, ip_bytes));
    let outcome = |packets: u64, bytes: u64| json!({"packets": packets, "bytes": bytes});
    let outcomes = json!({
        "ipv4": outcome(26, 13_340), "ipv6": outcome(5, 4_000), "non_ip": outcome(6, 360),
        "malformed": outcome(1, 33), "unsupported": outcome(1, 64),
    });
    assert_eq!(inside["outcomes"], outcomes);
    let outside = &link["directions"]["out"];
    assert_eq!((&outside["hook"], &outside["mode"]), (&json!("tx"), &json!(tc())));
    assert_eq!(counter(&outside["since_start"]), (20, OUT));

    let status = agent.ask("status");
    assert_eq!(status["links"][0]["rx"], json!({"mode": "native", "outcomes": outcomes, "closure_ok": true}));
    let field = |name: &str| status[name].clone();
    assert_eq!(field("router"), "border");
    assert_eq!(field("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(field("interval_seconds"), 0.2);
    assert_eq!((field("count"), field("granularity")), (json!("both"), json!("prefix")));
    assert_eq!((field("closure_ok"), field("warnings")), (json!(true), json!([])));
    assert!(field("uptime_seconds").as_u64().expect("a number") < 600);
    // Both directions' IP bytes, and those that matched.
    assert_eq!(field("coverage"), share(ip_bytes - 440 + OUT - 140, ip_bytes + OUT));
    let table = field("table");
    assert_eq!((&table["ipv4_prefixes"], &table["ipv6_prefixes"]), (&json!(6), &json!(2)));
    let sources: Vec<_> = table["sources"]
        .as_array()
        .expect("sources")
        .iter()
        .map(|source| {
            (
                source["name"].as_str().expect("a name").to_owned(),
                source["prefixes"].clone(),
                source["up"].clone(),
            )
        })
        .collect();
    let path = |name: &str| files.path(name).display().to_string();
    assert_eq!(
        sources,
        [(path("override.txt"), json!(1), json!(true)), (path("table.csv"), json!(7), json!(true))]
    );
    let memory = field("memory");
    // The first levels: 2^24 words for IPv4, 2^21 for IPv6.
    assert!(memory["fib_bytes"].as_u64().expect("bytes") >= (1 << 26) + (1 << 23), "{memory}");
    assert!(memory["bank_bytes"].as_u64().expect("bytes") > 0, "{memory}");
    let (code, body) = agent.get("/healthz");
    assert_eq!((code, body.trim()), (200, "ok"));
}

fn tables_for_people_and_spreadsheets(agent: &Agent) {
    let shown = |line: &str| {
        let output = agent.command(line);
        assert!(output.status.success(), "{line}: {}", stderr(&output));
        stdout(&output)
    };
    assert!(shown("top").contains("Netflix Streaming"), "{}", shown("top"));
    assert!(shown("top").contains("14.0 k"), "{}", shown("top"));
    for line in ["top --by kind", "as 2906", "group google", "prefix 8.8.8.0/24", "links", "status"] {
        assert!(shown(line).lines().count() > 3, "{line}: {}", shown(line));
        assert!(!shown(line).contains('\u{1b}'), "{line}: no colours where there is no terminal");
    }
    let csv = shown("top --csv --direction in");
    let lines: Vec<_> = csv.lines().map(|line| line.split(',').collect::<Vec<_>>()).collect();
    assert_eq!(
        lines[0],
        ["direction", "rank", "asn", "name", "packets", "bytes", "bits_per_second", "share"]
    );
    assert_eq!(lines[1][..6], ["in", "1", "2906", "Netflix Streaming Services", "15", "14000"]);
    let total = lines.last().expect("a total");
    assert_eq!((total[2], total[4], total[5]), ("total", "39", "17797"));
    let status = shown("status --csv");
    assert!(status.contains("transit,r0,,upstream,,rx,native,ipv4,26,13340\n"), "{status}");
    let links = shown("links --csv");
    assert!(links.contains("transit,r0,,upstream,,in,rx,native,39,17797,"), "{links}");
}

fn questions_that_have_no_answer(agent: &Agent) {
    for (line, message) in [
        ("as 64999", "there is no AS"),
        ("as netflix", "\"netflix\" is in the names of "),
        ("as googel", "near it: AS15169 Google LLC"),
        ("group netlix", "there is no group \"netlix\" here; near it: netflix"),
        ("prefix 198.51.0.0/24", "there is no route"),
        ("prefix 8.8.8.8", "near it: 8.8.8.0/24"),
        ("top --link transti", "there is no link \"transti\" here; near it: transit"),
    ] {
        let output = agent.command(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        let said = stderr(&output);
        assert!(said.starts_with("error: ") && said.contains(message), "{line}: {said}");
        assert_eq!(stdout(&output), "", "{line}");
    }
    assert_eq!(agent.get("/api/v1/top?by=asn").0, 400);
    assert_eq!(agent.get("/api/v1/nothing").0, 404);
}

#[test]
fn metrics_add_up_are_clean_and_never_fall() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let agent = Agent::start(&format!("-i r0=transit {}", files.arguments()));
        agent.metrics().assert_clean();
        // The first AS that is seen has a series from then on.
        send_from(&peer, "p0", &vec![(1, ip("45.57.0.1", "192.0.2.1", 1000))]);
        agent.settled(&[("transit rx", 1)]);
        let before = agent.metrics();
        before.assert_clean();
        before.assert_adds_up(&["transit"]);

        send_from(&peer, "p0", &inward());
        send("r0", &outward());
        agent.settled(&[("transit rx", 40), ("transit tx", 20)]);
        let after = agent.metrics();
        after.assert_clean();
        after.assert_adds_up(&["transit"]);
        after.assert_after(&before);

        let grew = |name: &str, labels: &[(&str, &str)]| {
            let labels = [labels, &[("link", "transit"), ("role", "upstream")]].concat();
            after.one(name, &labels) - before.sum(name, &labels)
        };
        let inside = ("direction", "in");
        for (asn, packets, bytes) in
            [("2906", 15.0, 14_000.0), ("unmatched", 6.0, 440.0), ("non_ip", 8.0, 457.0)]
        {
            assert_eq!(grew("classifier_as_packets_total", &[("asn", asn), inside]), packets, "{asn}");
            assert_eq!(grew("classifier_as_bytes_total", &[("asn", asn), inside]), bytes, "{asn}");
        }
        assert_eq!(grew("classifier_as_bytes_total", &[("asn", "2906"), ("direction", "out")]), 950.0);
        assert_eq!(grew("classifier_group_bytes_total", &[("group", "netflix"), inside]), 15_500.0);
        for (outcome, packets, bytes) in [
            ("ipv4", 26.0, 13_340.0),
            ("ipv6", 5.0, 4_000.0),
            ("non_ip", 6.0, 360.0),
            ("malformed", 1.0, 33.0),
            ("unsupported", 1.0, 64.0),
        ] {
            let labels = [("outcome", outcome), ("interface", "r0"), inside];
            assert_eq!(grew("classifier_link_packets_total", &labels), packets, "{outcome}");
            assert_eq!(grew("classifier_link_bytes_total", &labels), bytes, "{outcome}");
        }
        let gauge = |name: &str, labels: &[(&str, &str)]| after.one(name, labels);
        assert_eq!(gauge("classifier_table_prefixes", &[("family", "ipv4")]), 6.0);
        assert_eq!(gauge("classifier_table_prefixes", &[("family", "ipv6")]), 2.0);
        assert_eq!(
            gauge("classifier_datapath_mode", &[("link", "transit"), ("hook", "rx"), ("mode", "native")]),
            1.0
        );
        assert_eq!(
            gauge("classifier_datapath_mode", &[("link", "transit"), ("hook", "tx"), ("mode", tc())]),
            1.0
        );
        assert_eq!(after.sum("classifier_source_up", &[]), 2.0);
        assert_eq!(gauge("classifier_closure_ok", &[("link", "transit"), ("hook", "rx")]), 1.0);
        assert_eq!(gauge("classifier_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
        assert_eq!(
            gauge("classifier_as_info", &[("asn", "2906"), ("name", "Netflix Streaming Services")]),
            1.0
        );
        let ip_bytes = 1_000.0 + 17_340.0;
        let coverage = gauge("classifier_coverage_ratio", &[("link", "transit"), inside]);
        assert!((coverage - (ip_bytes - 440.0) / ip_bytes).abs() < 1e-6, "{coverage}");
    });
}
