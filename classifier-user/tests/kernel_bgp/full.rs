//! The whole table of the Internet, from BIRD and from FRR.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::{IpAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use classifier_user::{
    ingest::{
        bgp::{PeerSettings, codec::Families},
        builtin,
        live::PeerId,
    },
    model::{Asn, Prefix},
};

use serde_json::{Value, json};

use crate::{
    agent::{Agent, eventually},
    lab::{Peer, in_namespace, run},
    world::{AS, Bird, Frr, LONG, OURS, Ours, ROUTER, ip, router},
};

const FRR_AS: Asn = 65_001;
/// Where we are for FRR, which has BIRD at this namespace's first address.
const SECOND: &str = "10.9.1.3";

/// Of each prefix that the built-in table has its origin.
fn table() -> BTreeMap<Prefix, Asn> {
    let table = builtin::load().expect("the built-in table");
    let routes = table.routes.iter().map(|(prefix, origins)| (*prefix, origins.chosen()));
    routes.filter(|&(_, asn)| asn != 0).collect()
}

fn sizes(table: &BTreeMap<Prefix, Asn>) -> Families<u64> {
    let ipv4 = table.keys().filter(|prefix| matches!(prefix, Prefix::V4(_))).count() as u64;
    Families { ipv4, ipv6: table.len() as u64 - ipv4 }
}

/// BIRD in this namespace has the table; it gives it to us, and to FRR in the other namespace, which gives it to us.
fn feeders<'a>(table: &BTreeMap<Prefix, Asn>, peer: &'a Peer) -> (Bird<'a>, Frr<'a>) {
    assert!(table.len() > 700_000, "{}", table.len());
    run(&format!("ip addr add {SECOND}/24 dev r0"));
    let mut routes = String::new();
    for (prefix, asn) in table {
        writeln!(routes, "route {prefix} blackhole {{ bgp_path.prepend({asn}); }};").expect("memory");
    }
    let session = |name: &str, head: &str| {
        format!(
            "protocol bgp {name} {{
               {head}
               connect delay time 1; connect retry time 1; error wait time 1, 1;
               ipv4 {{ import none; export all; next hop address {OURS}; }};
               ipv6 {{ import none; export all; next hop address 2001:db8:9::1; }};
             }}"
        )
    };
    let sessions = [
        session("classifier", &format!("local 127.0.0.1 as {AS}; neighbor 127.0.0.1 port 1179 as {AS};")),
        // Else BIRD would send its link-local address too, of which FRR without zebra knows no interface.
        session("frr", &format!("local {OURS} as {AS}; neighbor {ROUTER} as {FRR_AS}; multihop;")),
    ];
    let bird = Bird::here(&sessions.concat(), &routes);
    let frr = Frr::start(
        peer,
        &format!(
            "route-map SIX permit 10
 set ipv6 next-hop global 2001:db8:9::2
exit
router bgp {FRR_AS}
 bgp router-id {ROUTER}
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 neighbor {OURS} remote-as {AS}
 neighbor {OURS} ebgp-multihop 2
 neighbor {SECOND} remote-as {AS}
 neighbor {SECOND} timers connect 1
 neighbor {SECOND} advertisement-interval 0
 address-family ipv4 unicast
  neighbor {OURS} activate
  neighbor {SECOND} activate
 exit-address-family
 address-family ipv6 unicast
  neighbor {OURS} activate
  neighbor {SECOND} activate
  neighbor {SECOND} route-map SIX out
 exit-address-family
exit
"
        ),
    );
    (bird, frr)
}

#[test]
fn bird_and_frr_feed_the_full_table() {
    in_namespace(|| {
        let table = table();
        let peer = router();
        let _feeders = feeders(&table, &peer);
        let from_bird = PeerSettings {
            listen: Some("127.0.0.1:1179".parse().expect("an address")),
            passive: true,
            ..PeerSettings::new(IpAddr::from([127, 0, 0, 1]), AS)
        };
        let from_frr = PeerSettings {
            local_address: Some(ip(SECOND)),
            local_as: AS,
            ..PeerSettings::new(ip(ROUTER), FRR_AS)
        };
        let mut ours = Ours::start(vec![from_bird, from_frr]);
        // Half a minute, where nobody else needs the machine.
        ours.patience = 10 * LONG;
        let expected = sizes(&table);
        ours.until("both tables", |ours| {
            (ours.status(0).held == expected && ours.status(1).held == expected).then_some(())
        });
        // What is held has been told, or is about to be.
        ours.until("their routes", |ours| (ours.routes.len() == 2 * table.len()).then_some(()));
        for ((prefix, asn), transits) in
            table.iter().flat_map(|route| [(route, &[][..]), (route, &[FRR_AS, AS][..])])
        {
            let peer = PeerId(u16::from(!transits.is_empty()));
            let attributes = &ours.routes[&(peer, *prefix, 0)];
            assert_eq!(attributes.path.split_last(), Some((asn, transits)), "{prefix} of {peer:?}");
        }
        assert_eq!([0, 1].map(|peer| ours.status(peer).counts.failures), [0, 0], "{ours}");
        assert_eq!([0, 1].map(|peer| ours.status(peer).counts.treated_as_withdraw), [0, 0], "{ours}");
    });
}

/// The agent has a table of one prefix, and of both peers the whole of theirs in the kernel; when one goes the other's count.
#[test]
fn the_agent_has_the_full_table_of_bird_and_of_frr() {
    in_namespace(|| {
        let table = table();
        let Families { ipv4, ipv6 } = sizes(&table);
        let peer = router();
        let (bird, mut frr) = feeders(&table, &peer);
        let files = tempfile::tempdir().expect("a directory");
        let own = files.path().join("own.csv");
        // Inside what is announced, so that it is one more.
        fs::write(&own, "prefix,asn,name\n45.57.0.16/28,64999,\n").expect("written");
        let agent = Agent::start(&format!(
            "-i r0=transit --listen 127.0.0.1:0 --table {} \
             --bgp 127.0.0.1,as={AS},listen=127.0.0.1:1179,passive,name=bird \
             --bgp {ROUTER},as={FRR_AS},local_address={SECOND},local_as={AS},name=frr,stale_time=1s",
            own.display()
        ));
        let status = |what: &str, is: &dyn Fn(&Value) -> bool| {
            // Half a minute, where nobody else needs the machine.
            let deadline = Instant::now() + 10 * LONG;
            loop {
                let status = agent.status();
                if is(&status) {
                    return status;
                }
                assert!(Instant::now() < deadline, "{what} did not come: {status}\n{}", agent.log());
                thread::sleep(Duration::from_millis(200));
            }
        };
        let both = |status: &Value| {
            let whole = |session: &Value| session["ipv4_routes"] == ipv4 && session["ipv6_routes"] == ipv6;
            [0, 1].iter().all(|&peer| whole(&status["sessions"][peer]))
                && status["table"]["ipv4_prefixes"] == ipv4 + 1
                && status["table"]["ipv6_prefixes"] == ipv6
        };
        let now = status("both tables", &both);
        assert_eq!(
            [&now["sessions"][0]["malformed"], &now["sessions"][1]["malformed"]],
            [&json!(0), &json!(0)]
        );
        let found = |address: &str| -> Value {
            // Busy while it puts the table in.
            eventually("an answer", || {
                let (status, answer) = agent.get(&format!("/api/v1/lookup/{address}"));
                (status == 200).then(|| serde_json::from_str(&answer).expect("JSON"))
            })
        };
        let netflix = found("45.57.0.1");
        assert_eq!(
            (&netflix["asn"], &netflix["source"], &netflix["path"]),
            (&json!(2906), &json!("bird"), &json!([2906])),
            "iBGP's shorter path: {netflix}"
        );
        let candidates = netflix["candidates"].as_array().expect("a list");
        assert_eq!(candidates.len(), 2, "{netflix}");
        assert_eq!(candidates[1]["path"], json!([FRR_AS, AS, 2906]), "{netflix}");
        assert_eq!(found("45.57.0.17")["asn"], 64_999, "the longer prefix of the file");

        let out = |asn: &str| {
            let answer: Value =
                serde_json::from_str(&agent.get(&format!("/api/v1/as/{asn}")).1).expect("JSON");
            answer["directions"]["out"]["since_start"]["packets"].as_u64().unwrap_or(0)
        };
        run(&format!("ip route add default via {ROUTER} dev r0"));
        let socket = UdpSocket::bind((OURS, 0)).expect("a socket");
        let send = || {
            for address in ["45.57.0.1:9", "45.57.0.17:9", "8.8.8.8:9", "1.1.1.1:9"] {
                socket.send_to(&[0], address).expect("sent");
            }
        };
        let counted = |times: u64| {
            eventually("every packet", || {
                let counts = ["2906", "64999", "15169", "13335"].map(out);
                (counts == [times; 4]).then_some(())
            });
        };
        send();
        counted(1);
        // What only FRR's session had of a path goes with it, and nothing else changes.
        frr.daemon.kill();
        status("FRR's routes have gone", &|status| {
            let sources = status["table"]["sources"].as_array().expect("sources");
            sources.iter().any(|source| source["name"] == "frr" && source["prefixes"] == 0)
        });
        assert_eq!(found("45.57.0.1")["candidates"].as_array().map(Vec::len), Some(1));
        send();
        counted(2);
        drop((bird, frr));
    });
}
