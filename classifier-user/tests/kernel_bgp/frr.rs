//! Sessions with FRR's bgpd.

use classifier_user::{
    ingest::{
        bgp::{Password, PeerSettings, codec::Families},
        live::Event,
    },
    model::Family,
};

use crate::{
    bird::route,
    lab::{in_namespace, run},
    world::{AS, Bird, Frr, OURS, Ours, ROUTER, active, passive, prefix, router},
};

/// A neighbour of FRR's, in this namespace.
const NEIGHBOR: &str = "10.9.1.3";

const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// FRR's configuration: of AS `local`, with these lines for its neighbor, and routes of both families.
fn configuration(local: u32, lines: &[&str], more: &[&str]) -> String {
    let neighbor: String = lines.iter().map(|line| format!(" neighbor {OURS} {line}\n")).collect();
    let more: String = more.iter().map(|line| format!(" {line}\n")).collect();
    format!(
        "route-map GOOGLE permit 10
 set as-path prepend 3356 15169
exit
route-map LONG permit 10
 set as-path prepend 1299 1299 4200000001
exit
route-map SIX permit 10
 set ipv6 next-hop global 2001:db8:9::2
exit
router bgp {local}
 bgp router-id {ROUTER}
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 no bgp network import-check
{more} neighbor {OURS} remote-as {AS}
 neighbor {OURS} timers connect 1
{neighbor} address-family ipv4 unicast
  network 198.51.100.0/24 route-map GOOGLE
  network 203.0.113.0/25 route-map LONG
  network 0.0.0.0/0
  neighbor {OURS} activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:1::/48 route-map GOOGLE
  neighbor {OURS} activate
  neighbor {OURS} route-map SIX out
 exit-address-family
exit
"
    )
}

fn has_all(ours: &Ours) {
    assert_eq!(ours.routes.len(), 4, "{ours}");
    assert_eq!(ours.path("198.51.100.0/24").unwrap(), [3356, 15_169]);
    assert_eq!(ours.path("203.0.113.0/25").unwrap(), [1299, 1299, 4_200_000_001]);
    assert!(ours.path("0.0.0.0/0").unwrap().is_empty());
    assert_eq!(ours.path("2001:db8:1::/48").unwrap(), [3356, 15_169]);
}

#[test]
fn frr_connects_and_routes_come_change_and_go() {
    in_namespace(|| {
        let peer = router();
        let mut ours = Ours::start(vec![passive()]);
        let frr = Frr::start(&peer, &configuration(AS, &[], &[]));
        ours.up();
        ours.complete(&BOTH);
        has_all(&ours);
        let status = ours.status(0);
        assert_eq!((status.held, status.complete), (Families { ipv4: 3, ipv6: 1 }, Families::BOTH));
        let agreed = status.agreed.unwrap();
        assert!(
            agreed.four_octet && agreed.route_refresh && agreed.enhanced_refresh && agreed.extended_message,
            "{agreed:?}"
        );

        let families = ["router bgp 64500", "address-family ipv4 unicast"];
        frr.configure(
            &[&families[..], &["no network 203.0.113.0/25", "network 198.51.100.128/25 route-map LONG"]]
                .concat(),
        );
        ours.until_path("203.0.113.0/25", None);
        ours.until_path("198.51.100.128/25", Some(&[1299, 1299, 4_200_000_001]));
        frr.configure(&[&families[..], &["network 198.51.100.0/24 route-map LONG"]].concat());
        ours.until_path("198.51.100.0/24", Some(&[1299, 1299, 4_200_000_001]));
        frr.configure(&["router bgp 64500", "address-family ipv6 unicast", "no network 2001:db8:1::/48"]);
        ours.until_path("2001:db8:1::/48", None);
        assert_eq!(ours.routes.len(), 3, "{ours}");

        let before = ours.changes;
        ours.refresh(Family::Ipv4);
        assert_eq!(ours.event("the beginning"), Event::Refresh(Family::Ipv4));
        assert_eq!(ours.event("the end"), Event::EndOfRib(Family::Ipv4));
        assert_eq!(ours.changes, before + 3);
    });
}

#[test]
fn we_connect_to_frr_which_waits_with_md5_and_ttl_security() {
    in_namespace(|| {
        let peer = router();
        let lines = ["passive", "password a-secret", "ttl-security hops 1"];
        let _frr = Frr::start(&peer, &configuration(65_001, &lines, &[]));
        let mut ours = Ours::start(vec![PeerSettings {
            remote_as: 65_001,
            password: Password::new("a-secret"),
            hops: Some(1),
            ..active()
        }]);
        ours.up();
        ours.complete(&BOTH);
        assert_eq!(ours.path("198.51.100.0/24").unwrap(), [65_001, 3356, 15_169]);
        assert_eq!(ours.path("2001:db8:1::/48").unwrap(), [65_001, 3356, 15_169]);
    });
}

#[test]
fn frr_connects_with_md5_and_ttl_security() {
    in_namespace(|| {
        let peer = router();
        let lines = ["password a-secret", "ttl-security hops 1"];
        let mut ours = Ours::start(vec![PeerSettings {
            remote_as: 65_001,
            password: Password::new("a-secret"),
            hops: Some(1),
            ..passive()
        }]);
        let _frr = Frr::start(&peer, &configuration(65_001, &lines, &[]));
        ours.up();
        ours.complete(&BOTH);
        assert_eq!(ours.routes.len(), 4, "{ours}");
    });
}

#[test]
fn frr_ends_a_session_is_killed_and_comes_back() {
    in_namespace(|| {
        let peer = router();
        let mut frr = Frr::start(
            &peer,
            &configuration(AS, &[], &["bgp graceful-restart", "bgp graceful-restart restart-time 200"]),
        );
        let mut ours = Ours::start(vec![PeerSettings { stale_seconds: 77, ..passive() }]);
        ours.up();
        ours.complete(&BOTH);
        assert!(ours.status(0).agreed.unwrap().restarts_gracefully());
        frr.ask(&[&format!("clear bgp {OURS}")]);
        let lost = ours.down();
        assert_eq!(lost.why, "it says: cease: administrative reset (6/4)");
        ours.up();
        ours.complete(&BOTH);
        frr.daemon.kill();
        assert_eq!(ours.down().stale_seconds, 200);
        frr.again();
        ours.up();
        ours.complete(&BOTH);
        has_all(&ours);
        assert_eq!(ours.status(0).counts.established, 3);
    });
}

/// RFC 4724 with a peer that restarts: FRR says so in its OPEN, and what it does not announce again goes by its
/// End-of-RIB.
#[test]
fn frr_restarts_gracefully() {
    in_namespace(|| {
        let peer = router();
        let mut frr = Frr::start(&peer, &configuration(AS, &[], &["bgp graceful-restart"]));
        let mut ours = Ours::start(vec![PeerSettings { stale_seconds: 77, ..passive() }]);
        ours.up();
        ours.complete(&BOTH);
        frr.daemon.kill();
        assert_eq!(ours.down().stale_seconds, 120);
        frr.again();
        ours.up();
        assert!(ours.status(0).agreed.unwrap().restarts_gracefully());
        ours.complete(&BOTH);
        has_all(&ours);
        assert_eq!(ours.changes, 8);
    });
}

#[test]
fn frr_sends_several_routes_for_a_prefix() {
    in_namespace(|| {
        let peer = router();
        // A neighbour of FRR's has another way to one of its prefixes.
        run(&format!("ip addr add {NEIGHBOR}/24 dev r0"));
        let session = format!(
            "protocol bgp frr {{
               local {NEIGHBOR} port 1179 as 65010; neighbor {ROUTER} as {AS};
               connect delay time 1; connect retry time 1; error wait time 1, 1;
               ipv4 {{ import none; export all; }};
             }}"
        );
        let bird = Bird::here(&session, &route("198.51.100.0/24", &[174, 15_169]));
        let activate = format!("  neighbor {OURS} activate\n");
        let configuration = configuration(AS, &[], &[&format!("neighbor {NEIGHBOR} remote-as 65010")]);
        let configuration = configuration.replace(
            &activate,
            &format!("{activate}  neighbor {OURS} addpath-tx-all-paths\n  neighbor {NEIGHBOR} activate\n"),
        );
        let _frr = Frr::start(&peer, &configuration);
        let mut ours = Ours::start(vec![PeerSettings { add_path: true, ..passive() }]);
        ours.up();
        let paths = |ours: &Ours| -> Vec<Vec<u32>> {
            let wanted = prefix("198.51.100.0/24");
            let routes = ours.routes.iter().filter(|((_, prefix, _), _)| *prefix == wanted);
            let mut paths: Vec<_> = routes.map(|(_, attributes)| attributes.path.to_vec()).collect();
            paths.sort();
            paths
        };
        let both = [vec![3356, 15_169], vec![65_010, 174, 15_169]];
        ours.until("both routes", |ours| (paths(ours) == both).then_some(()));
        assert_eq!(ours.status(0).agreed.unwrap().add_path, Families::BOTH);
        bird.configure(&session, "");
        ours.until("one route", |ours| (paths(ours) == both[..1]).then_some(()));
    });
}

#[test]
fn frr_of_another_password() {
    in_namespace(|| {
        let peer = router();
        let _frr = Frr::start(&peer, &configuration(AS, &["passive", "password one"], &[]));
        let mut ours = Ours::start(vec![PeerSettings { password: Password::new("another"), ..active() }]);
        ours.until_error("the password may be another one there");
        let mut ours = Ours::start(vec![PeerSettings { password: Password::new("one"), ..active() }]);
        ours.up();
    });
}

#[test]
fn frr_has_too_many_prefixes() {
    in_namespace(|| {
        let peer = router();
        let frr = Frr::start(&peer, &configuration(AS, &[], &[]));
        let mut ours = Ours::start(vec![PeerSettings { max_prefixes: 3, ..passive() }]);
        ours.up();
        let (_, lost) = ours.until("the end", |ours| {
            let at = ours.log.iter().position(|(_, event)| matches!(event, Event::Down(_)))?;
            ours.log.remove(at)
        });
        let Event::Down(lost) = lost else { panic!("{lost:?}") };
        assert_eq!(
            lost.why,
            "more than 3 routes; `max_prefixes` can be raised (sent cease: maximum number of prefixes reached (6/1))"
        );
        assert_eq!(ours.routes.len(), 3);
        let shown = || frr.ask(&[&format!("show bgp neighbors {OURS}")]);
        ours.while_running("FRR's line", || shown().contains("Cease/Maximum Number of Prefixes Reached"));
    });
}

#[test]
fn frr_of_another_as() {
    in_namespace(|| {
        let peer = router();
        let _frr = Frr::start(&peer, &configuration(65_001, &[], &[]));
        let mut ours = Ours::start(vec![active()]);
        ours.until_error("it is AS 65001, configured is AS 64500");
    });
}
