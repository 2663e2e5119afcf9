//! What docs/bird.md and docs/frr.md tell users to write, run as it stands there.

use std::{fs, path::Path};

use classifier_user::{
    config::{bgp, file},
    ingest::bgp::PeerSettings,
};

use crate::{
    lab::{Peer, in_namespace, run, veth},
    world::{Bird, Frr, Ours, timers},
};

/// The blocks of a document in this language, in order.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let fence = format!("```{language}\n");
    let blocks: Vec<String> =
        text.split(&fence).skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect();
    assert_eq!(blocks.len(), 2, "{document}: on the router itself, and from another machine");
    blocks
}

fn peers(toml: &str) -> Vec<PeerSettings> {
    let settings = file::parse(Path::new("docs.toml"), toml).unwrap_or_else(|error| panic!("{error}"));
    bgp::lower(settings.bgp).unwrap_or_else(|error| panic!("{error}"))
}

/// The command line that is said to be the same.
fn flag(document: &str) -> PeerSettings {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
    let text = fs::read_to_string(path).expect("the document");
    let rest = text.split_once("`classifier run … --bgp ").expect("a command line").1;
    let spec = bgp::BgpSpec::parse(rest.split_once('`').expect("its end").0).expect("a peer");
    bgp::lower(vec![spec]).expect("a peer").remove(0)
}

/// A link with these hosts of the networks 192.0.2.0/24 and 2001:db8::/64, one here, one at its other end. The router of
/// the documents is host 1.
fn link(here: u8, there: u8) -> Peer {
    let peer = Peer::new();
    veth(&peer, "r0", "p0", 1500);
    let addresses = |interface: &str, host: u8| {
        run(&format!("ip link set {interface} arp on"));
        run(&format!("ip addr add 192.0.2.{host}/24 dev {interface}"));
        for interface in ["lo", interface] {
            fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "0").expect("IPv6");
        }
        run(&format!("ip -6 addr add 2001:db8::{host}/64 dev {interface} nodad"));
    };
    addresses("r0", here);
    peer.run(move || addresses("p0", there));
    peer
}

/// AS 65010, host 2, which gives the router its routes.
const TRANSIT: &str = "protocol bgp customer {
    local 192.0.2.2 as 65010;
    neighbor 192.0.2.1 as 64500;
    connect delay time 1; connect retry time 1; error wait time 1, 1;
    ipv4 { import none; export all; };
    ipv6 { import none; export all; next hop address 2001:db8::2; };
}";
const ROUTES: &str = "route 198.51.100.0/24 blackhole { bgp_path.prepend(15169); };
route 2001:db8:1::/48 blackhole { bgp_path.prepend(2906); };";

/// The router's own.
const OWN: &str = "route 203.0.113.0/24 blackhole;
route 2001:db8:2::/48 blackhole;";

fn has_all(ours: &mut Ours) {
    ours.up();
    ours.until_path("198.51.100.0/24", Some(&[65_010, 15_169]));
    ours.until_path("2001:db8:1::/48", Some(&[65_010, 2906]));
}

#[test]
fn bird_on_the_router_itself() {
    in_namespace(|| {
        let peer = link(1, 2);
        let _transit = Bird::start(&peer, TRANSIT, ROUTES);
        let upstream = "protocol bgp transit {
            local 192.0.2.1 as 64500;
            neighbor 192.0.2.2 as 65010;
            connect delay time 1; connect retry time 1; error wait time 1, 1;
            ipv4 { import all; export none; };
            ipv6 { import all; export none; };
        }";
        let session = format!("{upstream}\n{}", blocks("bird.md", "bird").remove(0));
        let _router = Bird::here(&session, OWN);
        let peers = peers(&blocks("bird.md", "toml")[0]);
        assert_eq!(peers, [flag("bird.md")]);
        let mut ours = Ours::with_timers(peers, timers());
        has_all(&mut ours);
        ours.until_path("203.0.113.0/24", Some(&[]));
        ours.until_path("2001:db8:2::/48", Some(&[]));
    });
}

#[test]
fn bird_from_another_machine() {
    in_namespace(|| {
        let peer = link(2, 1);
        let session = blocks("bird.md", "bird").remove(1);
        let routes = ROUTES.replace("prepend(15169)", "prepend(15169); bgp_path.prepend(65010)");
        let routes = routes.replace("prepend(2906)", "prepend(2906); bgp_path.prepend(65010)");
        let _router = Bird::start(&peer, &session, &routes);
        has_all(&mut Ours::with_timers(peers(&blocks("bird.md", "toml")[1]), timers()));
    });
}

#[test]
fn frr_on_the_router_itself() {
    in_namespace(|| {
        let peer = link(1, 2);
        let _transit = Bird::start(&peer, TRANSIT, ROUTES);
        let documented = blocks("frr.md", "frr").remove(0);
        let upstream = "router bgp 64500
 no bgp ebgp-requires-policy
 neighbor 192.0.2.2 remote-as 65010
 neighbor 192.0.2.2 timers connect 1
 address-family ipv6 unicast
  neighbor 192.0.2.2 activate
 exit-address-family
exit
";
        let _router = Frr::here_with_zebra(&format!("{upstream}{documented}"));
        let peers = peers(&blocks("frr.md", "toml")[0]);
        assert_eq!(peers, [flag("frr.md")]);
        has_all(&mut Ours::with_timers(peers, timers()));
    });
}

#[test]
fn frr_from_another_machine() {
    in_namespace(|| {
        let peer = link(2, 1);
        let documented = blocks("frr.md", "frr").remove(1);
        let maps = "route-map GOOGLE permit 10
 set as-path prepend 65010 15169
exit
route-map NETFLIX permit 10
 set as-path prepend 65010 2906
exit
route-map SIX permit 10
 set ipv6 next-hop global 2001:db8::1
exit
";
        let routes = "router bgp 64500
 bgp router-id 192.0.2.1
 no bgp network import-check
 address-family ipv4 unicast
  network 198.51.100.0/24 route-map GOOGLE
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:1::/48 route-map NETFLIX
  neighbor 192.0.2.2 route-map SIX out
 exit-address-family
exit
";
        let _router = Frr::start(&peer, &format!("{maps}{documented}{routes}"));
        has_all(&mut Ours::with_timers(peers(&blocks("frr.md", "toml")[1]), timers()));
    });
}
