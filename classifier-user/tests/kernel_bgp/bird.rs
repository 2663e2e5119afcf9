//! Sessions with BIRD: both ways round, both families, and what routes do.

use classifier_user::{
    ingest::{
        bgp::{PeerSettings, State, codec::Families},
        live::Event,
    },
    model::Family,
};

use crate::{
    lab::in_namespace,
    world::{
        AS, Bird, OURS, OURS6, Ours, ROUTER, ROUTER6, active, bird_plain, bird_session, ip, passive, prefix,
        router,
    },
};

/// A route with this path.
pub(crate) fn route(prefix: &str, path: &[u32]) -> String {
    let path: Vec<_> = path.iter().rev().map(|asn| format!("bgp_path.prepend({asn});")).collect();
    format!("route {prefix} blackhole {{ {} }};\n", path.concat())
}

pub(crate) fn routes() -> String {
    [
        route("198.51.100.0/24", &[3356, 15_169]),
        route("203.0.113.0/25", &[1299, 1299, 4_200_000_001]),
        route("0.0.0.0/0", &[3356]),
        route("192.0.2.1/32", &[]),
        route("2001:db8:1::/48", &[6939, 2906]),
        route("::/0", &[6939]),
    ]
    .concat()
}

/// What [`routes`] are.
pub(crate) fn has_all(ours: &Ours) {
    assert_eq!(ours.routes.len(), 6, "{ours}");
    assert_eq!(ours.path("198.51.100.0/24").unwrap(), [3356, 15_169]);
    assert_eq!(ours.path("203.0.113.0/25").unwrap(), [1299, 1299, 4_200_000_001]);
    assert_eq!(ours.path("0.0.0.0/0").unwrap(), [3356]);
    assert!(ours.path("192.0.2.1/32").unwrap().is_empty());
    assert_eq!(ours.path("2001:db8:1::/48").unwrap(), [6939, 2906]);
    assert_eq!(ours.path("::/0").unwrap(), [6939]);
}

const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];

#[test]
fn bird_connects_and_routes_come_change_and_go() {
    in_namespace(|| {
        let peer = router();
        let mut ours = Ours::start(vec![passive()]);
        let bird = Bird::start(&peer, &bird_plain(), &routes());
        ours.up();
        ours.complete(&BOTH);
        has_all(&ours);
        let attributes = ours.routes.values().next().unwrap();
        assert_eq!((attributes.local_pref, attributes.origin), (Some(100), 0), "{attributes:?}");

        let status = ours.status(0);
        assert_eq!(status.state, State::Established);
        assert_eq!(status.held, Families { ipv4: 4, ipv6: 2 });
        assert_eq!(status.complete, Families::BOTH);
        assert_eq!((status.counts.established, status.counts.announced, status.counts.withdrawn), (1, 6, 0));
        let agreed = status.agreed.unwrap();
        assert_eq!((agreed.asn, agreed.identifier.to_string().as_str()), (AS, "198.18.0.2"));
        assert!(agreed.four_octet && agreed.route_refresh && agreed.enhanced_refresh);
        assert_eq!((agreed.families, agreed.hold_time), (Families::BOTH, 90));

        // Another path, one prefix less in each family, a more specific one.
        let after = [
            route("198.51.100.0/24", &[174, 15_169]),
            route("198.51.100.128/25", &[174, 64_999]),
            route("0.0.0.0/0", &[3356]),
            route("192.0.2.1/32", &[]),
            route("::/0", &[6939]),
        ];
        bird.configure(&bird_plain(), &after.concat());
        ours.until_path("198.51.100.0/24", Some(&[174, 15_169]));
        ours.until_path("198.51.100.128/25", Some(&[174, 64_999]));
        ours.until_path("203.0.113.0/25", None);
        ours.until_path("2001:db8:1::/48", None);
        assert_eq!(ours.routes.len(), 5, "{ours}");
        ours.until("the count", |ours| (ours.status(0).held == Families { ipv4: 4, ipv6: 1 }).then_some(()));
        assert_eq!(ours.changes, 6 + 4, "only what changed: {ours}");

        ours.stop();
        assert!(bird.daemon.log().contains("Administrative shutdown"), "{}", bird.daemon.log());
    });
}

#[test]
fn we_connect_to_bird_which_waits() {
    in_namespace(|| {
        let peer = router();
        let session =
            bird_session(&format!("local {ROUTER} as {AS}; neighbor {OURS} as {AS}; passive on;"), "");
        let _bird = Bird::start(&peer, &session, &routes());
        let mut ours = Ours::start(vec![active()]);
        ours.up();
        ours.complete(&BOTH);
        has_all(&ours);
    });
}

#[test]
fn ebgp_over_ipv6_with_a_long_as() {
    in_namespace(|| {
        let peer = router();
        let session = bird_session(&format!("local {ROUTER6} as 4200000000; neighbor {OURS6} as {AS};"), "");
        let _bird = Bird::start(&peer, &session, &routes());
        let settings = PeerSettings {
            remote_as: 4_200_000_000,
            listen: Some("[::]:179".parse().unwrap()),
            passive: true,
            address: ip(ROUTER6),
            ..active()
        };
        let mut ours = Ours::start(vec![settings]);
        ours.up();
        ours.complete(&BOTH);
        assert_eq!(ours.path("198.51.100.0/24").unwrap(), [4_200_000_000, 3356, 15_169]);
        assert_eq!(ours.path("2001:db8:1::/48").unwrap(), [4_200_000_000, 6939, 2906]);
        assert!(ours.routes.values().all(|attributes| attributes.local_pref.is_none()));
    });
}

#[test]
fn a_speaker_of_short_as_numbers() {
    in_namespace(|| {
        let peer = router();
        let session =
            bird_session(&format!("local {ROUTER} as 65000; neighbor {OURS} as {AS}; enable as4 off;"), "");
        let _bird = Bird::start(&peer, &session, &routes());
        let mut ours = Ours::start(vec![PeerSettings { remote_as: 65_000, ..active() }]);
        ours.up();
        ours.complete(&BOTH);
        assert!(!ours.status(0).agreed.unwrap().four_octet);
        assert_eq!(
            ours.path("203.0.113.0/25").unwrap(),
            [65_000, 1299, 1299, 4_200_000_001],
            "by its AS4_PATH"
        );
        assert_eq!(ours.path("2001:db8:1::/48").unwrap(), [65_000, 6939, 2906]);
    });
}

#[test]
fn one_family_is_enough() {
    in_namespace(|| {
        let peer = router();
        let _bird = Bird::start(&peer, &bird_plain(), &routes());
        let families = Families { ipv4: false, ipv6: true };
        let mut ours = Ours::start(vec![PeerSettings { families, ..active() }]);
        ours.up();
        ours.complete(&[Family::Ipv6]);
        assert_eq!(ours.routes.len(), 2, "{ours}");
        assert_eq!(ours.status(0).agreed.unwrap().families, families);
    });
}

#[test]
fn both_connect_and_one_session_stays() {
    in_namespace(|| {
        let peer = router();
        let _bird = Bird::start(&peer, &bird_plain(), &routes());
        let listen = Some("0.0.0.0:179".parse().unwrap());
        let mut ours = Ours::start(vec![PeerSettings { listen, ..active() }]);
        ours.up();
        ours.complete(&BOTH);
        has_all(&ours);
        // Through the times when either would try again.
        let mut rounds = 0;
        ours.while_running("some time", || {
            rounds += 1;
            rounds > 150
        });
        let status = ours.status(0);
        assert_eq!((status.state, status.counts.established), (State::Established, 1), "{ours}");
        assert!(ours.log.is_empty(), "{ours}");
    });
}

#[test]
fn several_routes_for_a_prefix() {
    in_namespace(|| {
        let peer = router();
        let session =
            bird_session(&format!("local {ROUTER} as {AS}; neighbor {OURS} as {AS};"), "add paths tx;");
        let second = "protocol static second { ipv4 { preference 150; };
                      route 198.51.100.0/24 blackhole { bgp_path.prepend(174); }; }";
        let bird = Bird::start(&peer, &format!("{session}\n{second}"), &routes());
        let mut ours = Ours::start(vec![PeerSettings { add_path: true, ..active() }]);
        ours.up();
        ours.complete(&BOTH);
        let paths = |ours: &Ours| -> Vec<Vec<u32>> {
            let wanted = prefix("198.51.100.0/24");
            let routes = ours.routes.iter().filter(|((_, prefix, _), _)| *prefix == wanted);
            let mut paths: Vec<_> = routes.map(|(_, attributes)| attributes.path.to_vec()).collect();
            paths.sort();
            paths
        };
        assert_eq!(paths(&ours), [vec![174], vec![3356, 15_169]], "{ours}");
        assert_eq!(ours.status(0).agreed.unwrap().add_path, Families::BOTH);
        assert_eq!(ours.status(0).held.ipv4, 5);
        // One of them goes.
        bird.configure(&session, &routes());
        ours.until("the other path alone", |ours| (paths(ours) == [vec![3356, 15_169]]).then_some(()));
    });
}

#[test]
fn the_table_is_sent_again_when_asked() {
    in_namespace(|| {
        let peer = router();
        let _bird = Bird::start(&peer, &bird_plain(), &routes());
        let mut ours = Ours::start(vec![active()]);
        ours.up();
        ours.complete(&BOTH);
        let before = ours.changes;
        ours.refresh(Family::Ipv4);
        assert_eq!(ours.event("the beginning"), Event::Refresh(Family::Ipv4));
        assert_eq!(ours.event("the end"), Event::EndOfRib(Family::Ipv4));
        assert_eq!(ours.changes, before + 4, "{ours}");
        has_all(&ours);
    });
}

#[test]
fn md5_and_ttl_security() {
    in_namespace(|| {
        let peer = router();
        let secret = classifier_user::ingest::bgp::Password::new("a secret of 24 characters");
        let head = "ttl security on; password \"a secret of 24 characters\";";
        let ends = [(ROUTER, OURS, "0.0.0.0:179"), (ROUTER6, OURS6, "[::]:179")];
        for ((theirs, mine, listen), passive) in
            ends.into_iter().flat_map(|ends| [(ends, false), (ends, true)])
        {
            let way = if passive { "" } else { "passive on;" };
            let session =
                bird_session(&format!("local {theirs} as 65001; neighbor {mine} as {AS}; {head} {way}"), "");
            let _bird = Bird::start(&peer, &session, &routes());
            let mut ours = Ours::start(vec![PeerSettings {
                address: ip(theirs),
                remote_as: 65_001,
                listen: passive.then(|| listen.parse().unwrap()),
                passive,
                password: secret.clone(),
                hops: Some(1),
                ..active()
            }]);
            ours.up();
            ours.complete(&BOTH);
            assert_eq!(ours.routes.len(), 6, "{ours}");
            ours.stop();
        }
    });
}
