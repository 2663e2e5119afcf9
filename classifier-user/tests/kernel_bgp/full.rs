//! The whole table of the Internet, from BIRD and from FRR.

use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr};

use classifier_user::{
    ingest::{
        bgp::{PeerSettings, codec::Families},
        builtin,
        live::PeerId,
    },
    model::{Asn, Prefix},
};

use crate::{
    lab::{in_namespace, run},
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

/// BIRD in this namespace has the table; it gives it to us, and to FRR in the other namespace, which gives it to us.
#[test]
fn bird_and_frr_feed_the_full_table() {
    in_namespace(|| {
        let table = table();
        assert!(table.len() > 700_000, "{}", table.len());
        let peer = router();
        run(&format!("ip addr add {SECOND}/24 dev r0"));
        let mut routes = String::new();
        for (prefix, asn) in &table {
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
        let _bird = Bird::here(&sessions.concat(), &routes);
        drop(routes);
        let _frr = Frr::start(
            &peer,
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
        let ipv4 = table.keys().filter(|prefix| matches!(prefix, Prefix::V4(_))).count() as u64;
        let expected = Families { ipv4, ipv6: table.len() as u64 - ipv4 };
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
