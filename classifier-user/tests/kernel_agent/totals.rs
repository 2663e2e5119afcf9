//! Several links: roles, directions, the ISP's totals, and the VLANs of a trunk.

use serde_json::json;

use crate::{
    agent::{Agent, counter, expected, frames, rows},
    lab::{Peer, in_namespace, veth},
    world::{Files, ip, send, send_from, tagged},
};

#[test]
fn what_passes_the_router_counts_once_in_the_isps_totals() {
    in_namespace(|| {
        let (peer, files) = (Peer::new(), Files::new());
        veth(&peer, "u0", "pu0", 1500);
        veth(&peer, "u1", "pu1", 1500);
        veth(&peer, "d0", "pd0", 1500);
        let links = "-i u0=transit -i u1=ix -d d0=customers";
        let agent = Agent::start(&format!("{links} {}", files.arguments()));
        let (video, search) = (ip("45.57.0.1", "192.0.2.1", 1000), ip("8.8.8.8", "192.0.2.1", 300));
        let (asks, looks) = (ip("192.0.2.1", "45.57.0.1", 100), ip("192.0.2.1", "8.8.8.8", 80));
        // In over two upstreams, all of it on to the customers; and back out.
        send_from(&peer, "pu0", &vec![(10, video.clone()), (4, search.clone())]);
        send_from(&peer, "pu1", &vec![(5, video.clone())]);
        send("d0", &vec![(15, video), (4, search)]);
        send_from(&peer, "pd0", &vec![(6, asks.clone()), (7, looks.clone())]);
        send("u0", &vec![(2, asks.clone()), (7, looks)]);
        send("u1", &vec![(4, asks)]);
        let hooks = [
            ("transit rx", 14),
            ("transit tx", 9),
            ("ix rx", 5),
            ("ix tx", 4),
            ("customers rx", 13),
            ("customers tx", 19),
        ];
        agent.settled(&hooks);

        let top = agent.ask("top");
        let (inside, outside) = (&top["directions"]["in"], &top["directions"]["out"]);
        assert_eq!((counter(&inside["total"]), counter(&outside["total"])), ((19, 16_200), (13, 1_160)));
        assert_eq!(rows(&inside["rows"], "asn"), expected(&[("2906", 15, 15_000), ("15169", 4, 1_200)]));
        assert_eq!(rows(&outside["rows"], "asn"), expected(&[("2906", 6, 600), ("15169", 7, 560)]));
        let local = agent.ask("top --side local");
        for (direction, count) in [("in", (19, 16_200)), ("out", (13, 1_160))] {
            let (packets, bytes) = count;
            let rows = rows(&local["directions"][direction]["rows"], "asn");
            assert_eq!(rows, expected(&[("64500", packets, bytes)]), "{direction}");
        }

        // The downstream link by itself says the same, seen from the other side.
        let customers = agent.ask("top --link customers");
        for direction in ["in", "out"] {
            let (all, one) = (&top["directions"][direction], &customers["directions"][direction]);
            assert_eq!(rows(&all["rows"], "asn"), rows(&one["rows"], "asn"), "{direction}");
            assert_eq!(counter(&all["total"]), counter(&one["total"]), "{direction}");
        }
        let transit = agent.ask("top --link transit");
        assert_eq!(
            rows(&transit["directions"]["in"]["rows"], "asn"),
            expected(&[("2906", 10, 10_000), ("15169", 4, 1_200)])
        );
        assert_eq!(counter(&transit["directions"]["out"]["total"]), (9, 760));
        let both = agent.ask("top --link transit --link ix --by link");
        let by_link = expected(&[("transit", 14, 11_200), ("ix", 5, 5_000)]);
        assert_eq!(rows(&both["directions"]["in"]["rows"], "link"), by_link);
        assert_eq!(rows(&agent.ask("top --by link")["directions"]["in"]["rows"], "link"), by_link);

        let netflix = agent.ask("as 2906");
        let inside = &netflix["directions"]["in"];
        assert_eq!(counter(&inside["since_start"]), (15, 15_000));
        assert_eq!(rows(&inside["links"], "link"), expected(&[("transit", 10, 10_000), ("ix", 5, 5_000)]));
        let links = agent.ask("links");
        let hook =
            |link: usize, direction: &str| links["links"][link]["directions"][direction]["hook"].clone();
        assert_eq!((hook(0, "in"), hook(0, "out")), (json!("rx"), json!("tx")));
        assert_eq!((hook(2, "in"), hook(2, "out")), (json!("tx"), json!("rx")));

        let metrics = agent.metrics();
        metrics.assert_adds_up(&["transit", "ix", "customers"]);
        let bytes = |role: &str, direction: &str| {
            metrics.sum("classifier_link_bytes_total", &[("role", role), ("direction", direction)])
        };
        for (direction, expected) in [("in", 16_200.0), ("out", 1_160.0)] {
            assert_eq!((bytes("upstream", direction), bytes("downstream", direction)), (expected, expected));
        }
        drop(agent);

        // Without an upstream the totals are those of the downstream links.
        let agent = Agent::start(&format!("-d d0 {}", files.arguments()));
        send_from(&peer, "pd0", &vec![(3, ip("192.0.2.1", "8.8.8.8", 80))]);
        agent.settled(&[("d0 rx", 3)]);
        let top = agent.ask("top");
        assert_eq!(rows(&top["directions"]["out"]["rows"], "asn"), expected(&[("15169", 3, 240)]));
        assert_eq!(counter(&top["directions"]["in"]["total"]), (0, 0));
    });
}

#[test]
fn vlans_of_a_trunk_are_links_of_their_own() {
    in_namespace(|| {
        let (peer, files) = (Peer::new(), Files::new());
        veth(&peer, "t0", "pt0", 1500);
        let links = "-i t0:vlan=100=transit -i t0:vlan=200=ix -d t0=rest";
        let agent = Agent::start(&format!("{links} {}", files.arguments()));
        let from = |vlans: &[u16]| tagged("45.57.0.1", "192.0.2.1", 500, vlans);
        let to = |vlans: &[u16]| tagged("192.0.2.1", "45.57.0.1", 200, vlans);
        send_from(
            &peer,
            "pt0",
            // Inner tags do not matter; what is in no VLAN link is the rest, whose rx faces the customers.
            &vec![
                (5, from(&[100])),
                (7, from(&[200])),
                (2, from(&[100, 200])),
                (3, to(&[])),
                (4, to(&[300])),
            ],
        );
        send("t0", &vec![(6, to(&[100])), (1, to(&[200])), (9, from(&[]))]);
        let hooks = [
            ("transit rx", 7),
            ("ix rx", 7),
            ("rest rx", 7),
            ("transit tx", 6),
            ("ix tx", 1),
            ("rest tx", 9),
        ];
        let status = agent.settled(&hooks);
        // Every tag is in the bytes.
        assert_eq!(frames(&status, "transit rx").1, 7 * 500);
        assert_eq!(frames(&status, "rest rx").1, 7 * 200);
        let vlans: Vec<_> =
            status["links"].as_array().expect("links").iter().map(|link| &link["vlan"]).collect();
        assert_eq!(vlans, [&json!(100), &json!(200), &json!(null)]);

        let top = agent.ask("top");
        assert_eq!(rows(&top["directions"]["in"]["rows"], "asn"), expected(&[("2906", 14, 7_000)]));
        assert_eq!(rows(&top["directions"]["out"]["rows"], "asn"), expected(&[("2906", 7, 1_400)]));
        let rest = agent.ask("top --link rest");
        assert_eq!(rows(&rest["directions"]["out"]["rows"], "asn"), expected(&[("2906", 7, 1_400)]));
        assert_eq!(rows(&rest["directions"]["in"]["rows"], "asn"), expected(&[("2906", 9, 4_500)]));
        let by_link = agent.ask("top --by link --direction in");
        let rows = rows(&by_link["directions"]["in"]["rows"], "link");
        assert_eq!(rows, expected(&[("transit", 7, 3_500), ("ix", 7, 3_500)]));
    });
}
