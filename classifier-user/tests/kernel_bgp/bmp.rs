//! A BMP station and FRR, whose neighbour is a BIRD.

use std::{
    fs,
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use classifier_user::{
    ingest::{
        bmp::{
            codec::Rib,
            settings::{RibChoice, RouterSettings},
            station::{Reported, Station},
        },
        live::{PeerKind, Said, Standing},
    },
    model::Asn,
    table::live::{Live, peers::PeerStatus},
};
use serde_json::{Value, json};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
};

use crate::{
    agent::{Agent, eventually},
    bird::route,
    lab::{in_namespace, run},
    world::{AS, Bird, Frr, LONG, OURS, OURS6, ROUTER, ROUTER6, ip, prefix, router},
};

/// A station, and the table that it fills.
pub(crate) struct Ours {
    runtime: Runtime,
    station: Station,
    said: mpsc::Receiver<Said>,
    live: Live,
}

impl Ours {
    pub(crate) fn start(routers: Vec<RouterSettings>) -> Self {
        // Of one thread: it is in this namespace.
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (say, said) = mpsc::channel(16);
        let mut station = Station::new(routers, 0, say);
        runtime.block_on(async { station.start() }).unwrap_or_else(|error| panic!("{error}"));
        Self { runtime, station, said, live: Live::new(Instant::now()) }
    }

    /// Takes what is said until `done`.
    fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + LONG;
        while !done(self) {
            assert!(Instant::now() < deadline, "{what} did not come\n{self}");
            let wait = Duration::from_millis(20);
            let said = self.runtime.block_on(async { tokio::time::timeout(wait, self.said.recv()).await });
            if let Ok(Some(Said { peer, event })) = said {
                let mut differences = Vec::new();
                self.live.take(peer, event, Instant::now(), &mut differences);
                while self.live.clean(1000, &mut differences) {}
            }
        }
    }

    fn path(&self, text: &str) -> Option<Vec<Asn>> {
        self.live.best(&prefix(text)).map(|best| best.path.to_vec())
    }

    /// Waits until these prefixes, and no others, have these paths.
    pub(crate) fn until_routes(&mut self, routes: &[(&str, &[Asn])]) {
        self.until(&format!("{routes:?}"), |ours| {
            routes.iter().all(|(prefix, path)| ours.path(prefix).as_deref() == Some(*path))
                && ours.live.counts().total() == routes.len()
        });
    }

    /// What the table has of this name.
    fn peer(&self, name: &str) -> Option<PeerStatus> {
        self.live.peers().find(|peer| peer.info.name == name)
    }

    fn reported(&self) -> Reported {
        self.station.routers()[0].snapshot()
    }
}

impl std::fmt::Display for Ours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for router in self.station.routers() {
            writeln!(f, "{:?}", router.snapshot())?;
        }
        self.live.peers().try_for_each(|peer| writeln!(f, "{peer:?}"))
    }
}

/// Waits until FRR says this to a command.
pub(crate) fn until_frr(frr: &Frr<'_>, command: &str, wanted: &str) {
    let deadline = Instant::now() + LONG;
    loop {
        let said = frr.ask(&[command]);
        if said.contains(wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{command} has no {wanted}: {said}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn listen() -> SocketAddr {
    SocketAddr::new(ip(OURS), 11_019)
}

fn settings() -> RouterSettings {
    RouterSettings { name: "border".into(), listen: listen(), ..RouterSettings::new(ip(ROUTER)) }
}

/// The Internet's side: AS 65010, here.
fn neighbor() -> String {
    let session = |name: &str, ours: &str, router: &str, family: &str| {
        format!(
            "protocol bgp {name} {{
               local {ours} as 65010; neighbor {router} as {AS};
               connect delay time 1; connect retry time 1; error wait time 1, 1;
               {family} {{ import none; export all; }};
             }}"
        )
    };
    session("four", OURS, ROUTER, "ipv4") + &session("six", OURS6, ROUTER6, "ipv6")
}

fn routes() -> String {
    [
        route("198.51.100.0/24", &[15_169]),
        route("203.0.113.0/25", &[1299, 4_200_000_001]),
        route("203.0.113.128/25", &[666]),
        route("2001:db8:1::/48", &[2906]),
    ]
    .concat()
}

/// What FRR lets through is without 203.0.113.128/25, and of 198.51.100.0/24 with a longer path.
fn frr(monitored: &[&str]) -> String {
    let monitored: String = monitored.iter().map(|what| format!("  bmp monitor {what}\n")).collect();
    format!(
        "ip prefix-list BAD seq 5 permit 203.0.113.128/25
ip prefix-list FAR seq 5 permit 198.51.100.0/24
route-map IN deny 10
 match ip address prefix-list BAD
exit
route-map IN permit 20
 match ip address prefix-list FAR
 set as-path prepend 65010 65010
exit
route-map IN permit 30
exit
router bgp {AS}
 bgp router-id {ROUTER}
 no bgp ebgp-requires-policy
 neighbor {OURS} remote-as 65010
 neighbor {OURS} timers connect 1
 neighbor {OURS6} remote-as 65010
 neighbor {OURS6} timers connect 1
 bmp targets classifier
  bmp connect {OURS} port 11019 min-retry 100 max-retry 400
  bmp stats interval 1000
{monitored} exit
 address-family ipv4 unicast
  neighbor {OURS} soft-reconfiguration inbound
  neighbor {OURS} route-map IN in
  no neighbor {OURS6} activate
 exit-address-family
 address-family ipv6 unicast
  neighbor {OURS6} activate
  neighbor {OURS6} soft-reconfiguration inbound
 exit-address-family
exit
"
    )
}

const ALL: [&str; 4] = [
    "ipv4 unicast pre-policy",
    "ipv4 unicast post-policy",
    "ipv6 unicast pre-policy",
    "ipv6 unicast post-policy",
];

const AFTER_POLICY: [(&str, &[Asn]); 3] = [
    ("198.51.100.0/24", &[65_010, 65_010, 65_010, 15_169]),
    ("203.0.113.0/25", &[65_010, 1299, 4_200_000_001]),
    ("2001:db8:1::/48", &[65_010, 2906]),
];

#[test]
fn frr_reports_what_its_policy_lets_through() {
    in_namespace(|| {
        let peer = router();
        let mut ours = Ours::start(vec![settings()]);
        let mut bird = Bird::here(&neighbor(), &routes());
        let mut frr = Frr::start_with(&peer, &frr(&ALL), &["-M", "bmp"]);
        ours.until("both families after policy", |ours| {
            let of = |name| ours.peer(name).map(|peer| peer.routes.total());
            of("border 10.9.1.1 post-policy") == Some(2) && of("border 2001:db8:9::1 post-policy") == Some(1)
        });
        // What came before policy goes before long, but counts no more at once.
        for (net, path) in AFTER_POLICY {
            assert_eq!(ours.path(net).as_deref(), Some(path), "{net}: {ours}");
        }
        let after = ours.peer("border 10.9.1.1 post-policy").unwrap();
        assert_eq!(
            (after.info.kind, after.info.standing, after.info.local_as),
            (PeerKind::Bmp, Standing::Neighbor, AS)
        );
        let reported = ours.reported();
        assert!(reported.connected && reported.status.sys_descr.is_some(), "{reported:?}");
        assert_eq!((reported.status.malformed, reported.status.treated_as_withdraw), (0, 0));
        ours.until("statistics", |ours| !ours.reported().status.statistics.is_empty());

        // Another path, a route less, a more specific one.
        let changed = [
            route("198.51.100.0/24", &[174, 15_169]),
            route("203.0.113.64/26", &[64_999]),
            route("2001:db8:1::/48", &[2906]),
        ];
        bird.configure(&neighbor(), &changed.concat());
        let changed: [(&str, &[Asn]); 2] = [
            ("198.51.100.0/24", &[65_010, 65_010, 65_010, 174, 15_169]),
            ("203.0.113.64/26", &[65_010, 64_999]),
        ];
        ours.until("the changes", |ours| {
            changed.iter().all(|(net, path)| ours.path(net).as_deref() == Some(*path))
                && ours.peer("border 10.9.1.1 post-policy").is_some_and(|peer| peer.routes.ipv4 == 2)
        });

        // The neighbour goes: FRR has none of its routes any more, and neither have we.
        bird.daemon.kill();
        frr.ask(&[&format!("clear bgp {OURS}"), &format!("clear bgp {OURS6}")]);
        ours.until("the neighbour's end", |ours| ours.reported().status.peers == 0);
        ours.until("no routes", |ours| {
            ours.peer("border 10.9.1.1 post-policy").is_some_and(|peer| peer.routes.total() == 0)
        });
        bird.again(&[]);
        ours.until("its return", |ours| ours.path("203.0.113.64/26").is_some());

        // The router goes: its routes stay.
        frr.daemon.kill();
        ours.until("the router's end", |ours| !ours.reported().connected);
        ours.until("stale routes", |ours| {
            ours.peer("border 10.9.1.1 post-policy").is_some_and(|peer| !peer.up && peer.stale.ipv4 == 2)
        });
        assert_eq!(ours.reported().last_error.unwrap().what, "the router closed it");
        assert!(ours.path("203.0.113.64/26").is_some(), "{ours}");
        frr.again();
        ours.until("the router's return", |ours| {
            ours.peer("border 10.9.1.1 post-policy")
                .is_some_and(|peer| peer.up && (peer.routes.ipv4, peer.stale.ipv4) == (2, 0))
        });
        assert_eq!(ours.reported().losses, 1);
    });
}

#[test]
fn one_rib_is_enough_and_can_be_chosen() {
    in_namespace(|| {
        let peer = router();
        let _bird = Bird::here(&neighbor(), &routes());
        let frr = Frr::start_with(&peer, &frr(&ALL), &["-M", "bmp"]);
        // FRR 8 does not report what its policy keeps out, but for what it has when the connection comes to be.
        for (family, neighbor, wanted) in
            [("ipv4", OURS, "203.0.113.128/25"), ("ipv6", OURS6, "2001:db8:1::/48")]
        {
            until_frr(
                &frr,
                &format!("show bgp {family} unicast neighbors {neighbor} received-routes"),
                wanted,
            );
        }
        let rib = RibChoice::Only(Rib::PrePolicy);
        let mut ours = Ours::start(vec![RouterSettings { rib, ..settings() }]);
        ours.until_routes(&[
            ("198.51.100.0/24", &[65_010, 15_169]),
            ("203.0.113.0/25", &[65_010, 1299, 4_200_000_001]),
            ("203.0.113.128/25", &[65_010, 666]),
            ("2001:db8:1::/48", &[65_010, 2906]),
        ]);
        ours.until("what is not taken", |ours| ours.reported().status.ignored > 0);
    });
}

#[test]
fn strangers_and_garbage_disturb_nobody() {
    in_namespace(|| {
        let peer = router();
        // The router is configured, this machine is not.
        let mut ours = Ours::start(vec![settings()]);
        let _bird = Bird::here(&neighbor(), &routes());
        let _frr = Frr::start_with(&peer, &frr(&ALL[1..2]), &["-M", "bmp"]);
        let four = &AFTER_POLICY[..2];
        ours.until_routes(four);
        for _ in 0..3 {
            drop(TcpStream::connect(listen()).expect("it listens"));
        }
        let strangers = ours.station.strangers_counter();
        ours.until("strangers", |_| strangers.load(std::sync::atomic::Ordering::Relaxed) == 3);
        ours.until_routes(four);
        assert_eq!(ours.reported().losses, 0, "{ours}");
    });
}

/// The agent as users run it, with a router that reports and one packet to each of its prefixes.
#[test]
fn the_agent_counts_by_what_a_router_reports() {
    in_namespace(|| {
        let peer = router();
        let directory = tempfile::tempdir().expect("a directory");
        let table = directory.path().join("table.csv");
        fs::write(&table, "prefix,asn,name\n198.51.100.0/24,64999,\n203.0.113.0/24,64998,\n")
            .expect("written");
        let _bird = Bird::here(&neighbor(), &routes());
        let mut frr = Frr::start_with(&peer, &frr(&ALL[1..2]), &["-M", "bmp"]);
        let agent = Agent::start(&format!(
            "-i r0 --listen 127.0.0.1:0 --table {} --bmp {},router={ROUTER},name=border,stale_time=2s",
            table.display(),
            listen()
        ));
        let status =
            |what: &str, is: &dyn Fn(&Value) -> bool| eventually(what, || Some(agent.status()).filter(is));
        let now = status("the routes", &|status| status["table"]["ipv4_prefixes"] == 3);
        let source = &now["table"]["sources"][0];
        assert_eq!(
            (&source["name"], &source["kind"], &source["prefixes"]),
            (&json!("border"), &json!("bmp"), &json!(2))
        );
        let session = &now["sessions"][0];
        for (key, value) in [
            ("kind", json!("bmp")),
            ("state", json!("connected")),
            ("up", json!(true)),
            ("address", json!(ROUTER)),
            ("peers", json!(2)),
            ("ipv4_routes", json!(2)),
            ("losses", json!(0)),
            ("malformed", json!(0)),
            ("refused", json!(0)),
            ("connect_failures", json!(null)),
        ] {
            assert_eq!(session[key], value, "{key}: {session}");
        }
        assert!(session["updates"].as_u64().is_some_and(|updates| updates > 0), "{session}");
        assert!(session["sys_name"].is_string(), "{session}");
        assert_eq!(now["warnings"], json!([]));
        let metrics = agent.get("/metrics").1;
        for line in [
            "classifier_source_up{source=\"border\"} 1",
            "classifier_session_up{session=\"border\",kind=\"bmp\"} 1",
            "classifier_session_routes{session=\"border\",kind=\"bmp\",family=\"ipv4\"} 2",
            "classifier_strangers_total{kind=\"bmp\"} 0",
        ] {
            assert!(metrics.contains(line), "{line}: {metrics}");
        }
        // FRR itself has its packets on the link, so the addresses are of no host there.
        let out = |asn: &str| {
            let answer: Value =
                serde_json::from_str(&agent.get(&format!("/api/v1/as/{asn}")).1).expect("JSON");
            answer["directions"]["out"]["since_start"]["packets"].as_u64().unwrap_or(0)
        };
        let send = || {
            let socket = UdpSocket::bind((OURS, 0)).expect("a socket");
            for address in ["198.51.100.7:9", "203.0.113.7:9", "203.0.113.200:9"] {
                socket.send_to(&[0], address).expect("sent");
            }
        };
        run(&format!("ip route add default via {ROUTER} dev r0"));
        send();
        let counted = |what: &str, expected: [u64; 4]| {
            eventually(what, || {
                (["15169", "4200000001", "64998", "64999"].map(out) == expected).then_some(())
            });
        };
        // 203.0.113.128/25 is what the policy keeps out: there the table of the file counts.
        counted("packets by what is reported", [1, 1, 1, 0]);

        // The router goes: its routes stay for a while, then the file's count.
        frr.daemon.kill();
        let lost = status("the loss", &|status| status["sessions"][0]["up"] == false);
        assert_eq!(lost["sessions"][0]["last_error"]["what"], "the router closed it", "{lost}");
        status("the file's routes", &|status| status["table"]["ipv4_prefixes"] == 2);
        send();
        counted("packets by the file", [1, 1, 3, 1]);
        let warnings = agent.status()["warnings"].to_string();
        assert!(warnings.contains("bmp border: not connected (the router closed it)"), "{warnings}");
        let shown = agent.command("status");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("waiting") && shown.contains("the router closed it"), "{shown}");
    });
}
