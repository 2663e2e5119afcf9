//! Sessions with FRR's bgpd.

use classifier_user::{
    ingest::{
        bgp::{Password, PeerSettings, codec::Families},
        live::Event,
    },
    model::Family,
};

use crate::{
    lab::in_namespace,
    world::{AS, Frr, OURS, Ours, ROUTER, active, passive, router},
};

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

#[test]
fn frr_of_another_as() {
    in_namespace(|| {
        let peer = router();
        let _frr = Frr::start(&peer, &configuration(65_001, &[], &[]));
        let mut ours = Ours::start(vec![active()]);
        ours.until_error("it is AS 65001, configured is AS 64500");
    });
}
