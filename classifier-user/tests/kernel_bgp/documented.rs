//! What docs/bird.md and docs/frr.md tell users to write, run as it stands there.

use std::{fs, path::Path};

use classifier_user::{
    config::{bgp, bmp, file},
    ingest::bgp::PeerSettings,
};

use crate::{
    lab::{Peer, in_namespace, run, veth},
    world::{Bird, Frr, Ours, timers},
};

/// The blocks of a document in this language, in order.
fn blocks<const N: usize>(document: &str, language: &str) -> [String; N] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let fence = format!("```{language}\n");
    let blocks: Vec<String> =
        text.split(&fence).skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect();
    blocks.try_into().unwrap_or_else(|blocks| panic!("{document} has other blocks: {blocks:?}"))
}

/// On the router itself, and from another machine.
fn both(document: &str, language: &str) -> [String; 2] {
    blocks(document, language)
}

fn peers(toml: &str) -> Vec<PeerSettings> {
    let settings = file::parse(Path::new("docs.toml"), toml).unwrap_or_else(|error| panic!("{error}"));
    bgp::lower(settings.bgp).unwrap_or_else(|error| panic!("{error}"))
}

/// The command line that is said to be the same.
fn command_line(document: &str, flag: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
    let text = fs::read_to_string(path).expect("the document");
    let rest = text.split_once(&format!("`classifier run … {flag} ")).expect("a command line").1;
    rest.split_once('`').expect("its end").0.to_owned()
}

fn flag(document: &str) -> PeerSettings {
    let spec = bgp::BgpSpec::parse(&command_line(document, "--bgp")).expect("a peer");
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
        let session = format!("{upstream}\n{}", both("bird.md", "bird")[0]);
        let _router = Bird::here(&session, OWN);
        let peers = peers(&both("bird.md", "toml")[0]);
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
        let [_, session] = both("bird.md", "bird");
        let routes = ROUTES.replace("prepend(15169)", "prepend(15169); bgp_path.prepend(65010)");
        let routes = routes.replace("prepend(2906)", "prepend(2906); bgp_path.prepend(65010)");
        let _router = Bird::start(&peer, &session, &routes);
        has_all(&mut Ours::with_timers(peers(&both("bird.md", "toml")[1]), timers()));
    });
}

#[test]
fn frr_on_the_router_itself() {
    in_namespace(|| {
        let peer = link(1, 2);
        let _transit = Bird::start(&peer, TRANSIT, ROUTES);
        let [documented, _] = both("frr.md", "frr");
        let upstream = "router bgp 64500
 no bgp ebgp-requires-policy
 neighbor 192.0.2.2 remote-as 65010
 neighbor 192.0.2.2 timers connect 1
 address-family ipv6 unicast
  neighbor 192.0.2.2 activate
 exit-address-family
exit
";
        let _router = Frr::here_with_zebra(&format!("{upstream}{documented}"), &[]);
        let peers = peers(&both("frr.md", "toml")[0]);
        assert_eq!(peers, [flag("frr.md")]);
        has_all(&mut Ours::with_timers(peers, timers()));
    });
}

#[test]
fn frr_from_another_machine() {
    in_namespace(|| {
        let peer = link(2, 1);
        let [_, documented] = both("frr.md", "frr");
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
        has_all(&mut Ours::with_timers(peers(&both("frr.md", "toml")[1]), timers()));
    });
}

#[test]
fn frr_that_reports_by_bmp() {
    in_namespace(|| {
        let peer = link(1, 2);
        let _transit = Bird::start(&peer, TRANSIT, ROUTES);
        let [documented] = blocks("bmp.md", "frr");
        let upstream = "router bgp 64500
 no bgp ebgp-requires-policy
 neighbor 192.0.2.2 remote-as 65010
 neighbor 192.0.2.2 timers connect 1
 address-family ipv6 unicast
  neighbor 192.0.2.2 activate
 exit-address-family
exit
";
        let router = Frr::here_with_zebra(&format!("{upstream}{documented}"), &["-M", "bmp"]);
        // FRR 8 does not report a route whose next hop was not known yet when it came, but for the whole table that it
        // sends on a new connection.
        for (family, prefix) in [("ipv4", "198.51.100.0/24"), ("ipv6", "2001:db8:1::/48")] {
            crate::bmp::until_frr(&router, &format!("show bgp {family} unicast {prefix}"), "valid");
        }
        let [toml] = blocks("bmp.md", "toml");
        let settings = file::parse(Path::new("docs.toml"), &toml).unwrap_or_else(|error| panic!("{error}"));
        let routers = bmp::lower(settings.bmp).unwrap_or_else(|error| panic!("{error}"));
        let spec = bmp::BmpSpec::parse(&command_line("bmp.md", "--bmp")).expect("a router");
        assert_eq!(routers, bmp::lower(vec![spec]).expect("a router"));
        let routes: [(&str, &[u32]); 2] =
            [("198.51.100.0/24", &[65_010, 15_169]), ("2001:db8:1::/48", &[65_010, 2906])];
        crate::bmp::Ours::start(routers).until_routes(&routes);
    });
}
