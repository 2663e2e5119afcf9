use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::{
    ingest::bmp::{
        codec::message,
        settings::RibChoice,
        testing::{
            LEGACY, LOCAL_AS, OUT, POST, Peer, end_of_rib, initiation, message as whole, path, tlv, update,
            update_v6,
        },
    },
    model::{Family, Prefix},
};

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(198, 51, 100, last).into()
}

struct World {
    router: Router,
    said: Vec<Said>,
}

impl World {
    fn new(rib: RibChoice) -> Self {
        let settings = RouterSettings { name: "border".to_owned(), rib, ..RouterSettings::new(address(1)) };
        Self::with(settings)
    }

    fn with(settings: RouterSettings) -> Self {
        let mut world =
            Self { router: Router::new(settings, PeerId(3), Arc::new(PeerIds::new(7))), said: Vec::new() };
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.router.connected(&mut self.said);
        assert_eq!(self.said.pop(), Some(Said { peer: PeerId(3), event: Event::Up }));
    }

    fn lose(&mut self, why: &str) {
        self.router.lost(why, &mut self.said);
        let lost = Lost { why: why.to_owned(), stale_seconds: 1800 };
        assert_eq!(self.said.pop(), Some(Said { peer: PeerId(3), event: Event::Down(lost) }));
    }

    fn hear(&mut self, bytes: &[u8]) {
        assert_eq!(self.try_hear(bytes), Ok(()));
    }

    fn try_hear(&mut self, bytes: &[u8]) -> Result<(), End> {
        let (message, len) = message(bytes, 1 << 20).unwrap().unwrap();
        assert_eq!(len, bytes.len());
        self.router.take(message, &mut self.said)
    }

    /// What was said since the last time, in short.
    fn said(&mut self) -> Vec<String> {
        self.router.flush(&mut self.said);
        let text = |Said { peer, event }: Said| {
            let event = match event {
                Event::Peer(info) => {
                    assert_eq!((info.kind, info.router), (PeerKind::Bmp, Some(PeerId(3))));
                    format!("{} {:?} AS{}", info.name, info.standing, info.local_as)
                }
                Event::Up => "up".to_owned(),
                Event::EndOfRib(family) => format!("all of {}", family.name()),
                Event::Refresh(family) => format!("again {}", family.name()),
                Event::Down(lost) => format!("down {}: {}", lost.stale_seconds, lost.why),
                Event::Routes(routes) => routes
                    .iter()
                    .map(|Route { prefix, path_id, attributes }| match attributes {
                        Some(attributes) => format!("{prefix}#{path_id} {:?}", attributes.path),
                        None => format!("{prefix}#{path_id} gone"),
                    })
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            format!("{}: {event}", peer.0)
        };
        self.said.drain(..).map(text).collect()
    }
}

fn announce(asns: &[Asn], net: [u8; 3]) -> Vec<u8> {
    update(Some(&path(asns)), &[net], None)
}

#[test]
fn routes_of_peers_and_their_end() {
    let mut world = World::new(RibChoice::Auto);
    let peer = Peer::new(address(7), 65_536).with(POST);
    world.hear(&initiation());
    world.hear(&peer.up(false));
    assert_eq!(world.said(), [""; 0], "of which RIB is not known yet");
    world.hear(&peer.monitoring(&announce(&[65_536, 3], [10, 0, 0])));
    world.hear(&peer.monitoring(&announce(&[65_536, 4, 5], [10, 0, 1])));
    world.hear(&peer.monitoring(&update(None, &[[10, 0, 0], [10, 0, 9]], None)));
    world.hear(&peer.monitoring(&end_of_rib(Family::Ipv4)));
    world.hear(&peer.monitoring(&end_of_rib(Family::Ipv6)));
    assert_eq!(
        world.said(),
        [
            "7: border 198.51.100.7 post-policy Neighbor AS64500",
            "7: up",
            "7: 10.0.0.0/24#0 [65536, 3], 10.0.1.0/24#0 [65536, 4, 5], 10.0.0.0/24#0 gone, 10.0.9.0/24#0 gone",
            "7: all of ipv4",
            "7: all of ipv6",
        ]
    );
    // The router has none of its routes any more.
    world.hear(&peer.down(&[4]));
    assert_eq!(world.said(), ["7: down 0: the peer closed the session"]);
    world.hear(&peer.monitoring(&announce(&[1], [10, 0, 0])));
    assert_eq!((world.said(), world.router.status().ignored), (vec![], 1), "it is not up");
    world.hear(&peer.up(false));
    assert_eq!(world.said(), ["7: border 198.51.100.7 post-policy Neighbor AS64500", "7: up"]);
    let status = world.router.status();
    assert_eq!(status.sys_name.as_deref(), Some("border"));
    assert_eq!((status.messages, status.updates, status.malformed), (10, 6, 0));
    assert_eq!((status.announced, status.withdrawn, status.peers), (2, 2, 1));
    assert_eq!(status.held, Families::default(), "of the session before");
}

#[test]
fn a_lost_connection_leaves_routes_stale() {
    let mut world = World::new(RibChoice::Auto);
    let (one, other) = (Peer::new(address(7), 1), Peer::new(address(8), 2));
    for peer in [one, other] {
        world.hear(&peer.up(false));
        world.hear(&peer.monitoring(&announce(&[peer.asn], [10, 0, 0])));
    }
    world.said();
    assert_eq!(world.router.status().held.ipv4, 2);
    world.lose("it was restarted");
    assert_eq!(world.said(), ["7: down 1800: it was restarted", "8: down 1800: it was restarted"]);
    assert_eq!((world.router.status().held.ipv4, world.router.status().peers), (0, 0));
    world.lose("once more");
    assert_eq!(world.said(), [""; 0]);
    world.connect();
    world.hear(&one.up(false));
    world.hear(&one.monitoring(&announce(&[1], [10, 0, 0])));
    let name = "7: border 198.51.100.7 pre-policy Unfiltered AS64500";
    assert_eq!(world.said(), [name, "7: up", "7: 10.0.0.0/24#0 [1]"], "by its number of before");
    // A Peer Up of one that is up: its end was not heard.
    world.hear(&one.up(false));
    assert_eq!(world.said(), ["7: down 300: it came up again", name, "7: up"]);
}

#[test]
fn the_rib_nearest_to_what_the_router_does() {
    let mut world = World::new(RibChoice::Auto);
    let (pre, loc) = (Peer::new(address(7), 9), Peer::loc_rib());
    let post = pre.with(POST);
    world.hear(&pre.up(false));
    world.hear(&pre.monitoring(&announce(&[9, 1], [10, 0, 0])));
    assert_eq!(world.said()[0], "7: border 198.51.100.7 pre-policy Unfiltered AS64500");
    world.hear(&post.monitoring(&announce(&[9, 2], [10, 0, 0])));
    let post_up = ["8: border 198.51.100.7 post-policy Neighbor AS64500", "8: up"];
    let post_route = "8: 10.0.0.0/24#0 [9, 2]";
    assert_eq!(world.said(), [&post_up[..], &["7: again ipv4", post_route]].concat());
    assert_eq!(world.router.status().held.ipv4, 1, "not that of before policy");
    world.hear(&pre.monitoring(&announce(&[9, 3], [10, 0, 0])));
    assert_eq!((world.said(), world.router.status().ignored), (vec![], 1));
    // The other family, and another neighbour, have nothing better.
    let other = Peer::new(address(8), 9);
    world.hear(&pre.monitoring(&update_v6(9)));
    world.hear(&other.up(false));
    world.hear(&other.monitoring(&announce(&[9, 3], [10, 0, 0])));
    let other_up = ["9: border 198.51.100.8 pre-policy Unfiltered AS64500", "9: up"];
    let routes = ["7: 2001:db8::/32#0 [9]", "9: 10.0.0.0/24#0 [9, 3]"];
    assert_eq!(world.said(), [&routes[..1], &other_up, &routes[1..]].concat());
    // That the Loc-RIB is promised, or empty, or cannot be read, is no reason to leave the others.
    world.hear(&loc.up(true));
    world.hear(&loc.monitoring(&end_of_rib(Family::Ipv6)));
    world.hear(&loc.monitoring(&[0xff; 30]));
    world.hear(&post.monitoring(&announce(&[9, 2], [10, 0, 0])));
    let loc_up = ["10: border Loc-RIB Router AS64500", "10: up"];
    assert_eq!(world.said(), [&loc_up[..], &["10: all of ipv6", post_route]].concat());
    world.hear(&loc.monitoring(&update(Some(&path(&[9, 2])), &[[10, 0, 0]], Some(4))));
    assert_eq!(world.said(), ["8: again ipv4", "9: again ipv4", "10: 10.0.0.0/24#4 [9, 2]"]);
    let before = world.router.status().ignored;
    world.hear(&post.monitoring(&announce(&[9, 3], [10, 0, 0])));
    world.hear(&other.monitoring(&announce(&[9, 3], [10, 0, 0])));
    assert_eq!((world.said(), world.router.status().ignored), (vec![], before + 2));
    world.hear(&pre.monitoring(&update_v6(9)));
    assert_eq!(world.said(), ["7: 2001:db8::/32#0 [9]"], "of this family the Loc-RIB has nothing");
    assert_eq!(world.router.status().held, Families { ipv4: 1, ipv6: 1 });
    // Another connection, which may send less.
    world.lose("x");
    world.said();
    world.connect();
    world.hear(&post.up(false));
    world.hear(&post.monitoring(&announce(&[9, 2], [10, 0, 0])));
    let pre_up = ["7: border 198.51.100.7 pre-policy Unfiltered AS64500", "7: up"];
    assert_eq!(world.said(), [&pre_up[..], &post_up, &[post_route]].concat());
}

/// What was not taken because of the Loc-RIB does not come again on this connection.
#[test]
fn without_its_loc_rib_a_router_has_to_send_all_again() {
    let mut world = World::new(RibChoice::Auto);
    let (post, loc) = (Peer::new(address(7), 9).with(POST), Peer::loc_rib());
    for peer in [post, loc] {
        world.hear(&peer.up(false));
    }
    // Nothing was left out: the neighbours' routes come from now on.
    world.hear(&loc.monitoring(&announce(&[9], [10, 0, 0])));
    world.hear(&loc.down(&[6, 0, 0]));
    world.said();
    world.hear(&post.monitoring(&announce(&[9], [10, 0, 0])));
    assert_eq!(world.said().last().unwrap(), "7: 10.0.0.0/24#0 [9]", "by the number of the Loc-RIB");
    // Nothing else is wanted.
    let mut world = World::new(RibChoice::Only(Rib::LocRib));
    for peer in [post, loc] {
        world.hear(&peer.up(false));
        world.hear(&loc.monitoring(&announce(&[9], [10, 0, 0])));
        world.hear(&post.monitoring(&announce(&[9], [10, 0, 0])));
    }
    world.hear(&loc.down(&[6, 0, 0]));
    // Taken before, or passed over: both are missed.
    for before in [true, false] {
        let mut world = World::new(RibChoice::Auto);
        for peer in [post, loc] {
            world.hear(&peer.up(false));
        }
        for loc_first in [!before, before] {
            world.hear(&if loc_first { loc } else { post }.monitoring(&announce(&[9], [10, 0, 0])));
        }
        world.said();
        let end = world.try_hear(&loc.down(&[6, 0, 0]));
        assert_eq!(end, Err(End::LocRib));
        // They stay until the others have come with the next connection.
        let said = world.said();
        assert!(said[0].ends_with(": down 300: the router's Loc-RIB is no more reported"), "{said:?}");
        world.lose("x");
        world.said();
        world.connect();
        world.hear(&post.up(false));
        world.hear(&post.monitoring(&announce(&[9, 4], [10, 0, 0])));
        assert!(world.said().last().unwrap().ends_with("10.0.0.0/24#0 [9, 4]"));
    }
}

/// A number is given to another RIB once the table has nothing under it.
#[test]
fn numbers_of_ribs_that_are_gone_are_used_again() {
    let mut world = World::new(RibChoice::Auto);
    for last in 0..=255 {
        let peer = Peer::new(address(last), 9);
        world.hear(&peer.up(false));
        world.hear(&peer.monitoring(&announce(&[9], [10, 0, last])));
        assert_eq!(world.said().last(), Some(&format!("7: 10.0.{last}.0/24#0 [9]")));
        world.hear(&peer.down(&[4]));
    }
    // Routes that are stale are under their number for as long as they may be.
    let peer = |last| Peer::new(address(last), 9);
    world.hear(&peer(1).up(false));
    world.hear(&peer(1).monitoring(&announce(&[9], [10, 0, 1])));
    world.lose("x");
    world.said();
    world.connect();
    world.hear(&peer(2).up(false));
    world.hear(&peer(2).monitoring(&announce(&[9], [10, 0, 2])));
    assert_eq!(world.said().last().unwrap(), "8: 10.0.2.0/24#0 [9]");
    for n in 0..2000u32 {
        let other = Peer { address: Ipv4Addr::from_bits(n).into(), ..peer(0) };
        world.hear(&other.up(false));
        world.hear(&other.monitoring(&announce(&[9], [10, 0, 0])));
    }
    let status = world.router.status();
    assert_eq!((status.peers, status.held.ipv4, status.malformed), (2001, 1023, 978), "there are 1024");
}

#[test]
fn one_rib_only_if_asked_for() {
    let mut world = World::new(RibChoice::Only(Rib::PrePolicy));
    let pre = Peer::new(address(7), 9);
    world.hear(&pre.up(false));
    world.hear(&Peer::loc_rib().up(false));
    world.hear(&Peer::loc_rib().monitoring(&announce(&[9, 1], [10, 0, 0])));
    world.hear(&pre.with(POST).monitoring(&announce(&[9, 2], [10, 0, 0])));
    world.hear(&pre.with(OUT).monitoring(&announce(&[9, 2], [10, 0, 0])));
    world.hear(&pre.monitoring(&announce(&[9, 3], [10, 0, 0])));
    assert_eq!(
        world.said(),
        ["7: border 198.51.100.7 pre-policy Unfiltered AS64500", "7: up", "7: 10.0.0.0/24#0 [9, 3]",]
    );
    assert_eq!(world.router.status().ignored, 3);
}

#[test]
fn what_was_agreed_says_how_updates_look() {
    let mut world = World::new(RibChoice::Auto);
    // Path identifiers, and paths of 2 bytes by a flag.
    let peer = Peer::new(address(7), 9);
    world.hear(&peer.up(true));
    world.hear(&peer.monitoring(&update(Some(&path(&[9, 65_536])), &[[10, 0, 0]], Some(3))));
    world.hear(&peer.with(LEGACY).monitoring(&update(Some(&[2, 2, 0, 9, 0, 8]), &[[10, 0, 0]], Some(5))));
    assert_eq!(world.said()[2..], ["7: 10.0.0.0/24#3 [9, 65536], 10.0.0.0/24#5 [9, 8]"]);
    // iBGP: LOCAL_PREF is kept, an empty path is a route of the AS.
    let peer = Peer::new(address(8), LOCAL_AS);
    world.hear(&peer.up(false));
    world.hear(&peer.monitoring(&update(Some(&[]), &[[10, 0, 2]], None)));
    world.router.flush(&mut world.said);
    let Some(Said { event: Event::Routes(routes), .. }) = world.said.last() else { panic!("routes") };
    let attributes = Attributes { local_pref: Some(200), ..Attributes::default() };
    assert_eq!(routes[0].attributes.as_deref(), Some(&attributes));
    assert_eq!(routes[0].prefix, "10.0.2.0/24".parse::<Prefix>().unwrap());
    // eBGP: what the neighbour says of it is none of its business, but policy may give a route one.
    let peer = Peer::new(address(9), 9);
    world.hear(&peer.up(false));
    for (flags, local_pref) in [(0, None), (POST, Some(200))] {
        world.hear(&peer.with(flags).monitoring(&announce(&[9], [10, 0, 3])));
        world.router.flush(&mut world.said);
        let Some(Said { event: Event::Routes(routes), .. }) = world.said.last() else { panic!("routes") };
        assert_eq!(routes[0].attributes.as_ref().unwrap().local_pref, local_pref);
    }
    let discarded = world.router.status().discarded_attributes;
    assert_eq!(discarded, 3, "those of before policy");
}

#[test]
fn what_cannot_be_read_is_left_out_and_counted() {
    let mut world = World::new(RibChoice::Auto);
    let peer = Peer::new(address(7), 9);
    // Another routing instance, a peer that never came up, OPENs that are none.
    world.hear(&Peer { distinguisher: 5, ..peer }.up(false));
    world.hear(&Peer { distinguisher: 5, ..peer }.monitoring(&announce(&[9], [10, 0, 0])));
    world.hear(&peer.monitoring(&announce(&[9], [10, 0, 0])));
    let mut bad = peer.up(false);
    bad[6 + 42 + 20 + 18] = 9;
    world.hear(&bad);
    assert_eq!(world.said(), [""; 0]);
    assert_eq!((world.router.status().ignored, world.router.status().malformed), (2, 1));

    world.hear(&peer.up(false));
    let good = announce(&[9], [10, 0, 0]);
    let mut cut = good.clone();
    cut.truncate(good.len() - 1);
    let mut longer = good.clone();
    longer.push(0);
    let mut wrong_length = good.clone();
    *wrong_length.last_mut().unwrap() = 33;
    for update in [&cut[..], &longer, &[], &[0xff; 30]] {
        world.hear(&peer.monitoring(update));
    }
    // A prefix of 33 bits.
    let at = wrong_length.len() - 4;
    wrong_length[at] = 33;
    world.hear(&peer.monitoring(&wrong_length));
    world.hear(&peer.monitoring(&good));
    assert_eq!(world.router.status().malformed, 6);
    assert_eq!(world.said().last().unwrap(), "7: 10.0.0.0/24#0 [9]");
    // RFC 7606: without its NEXT_HOP a route is withdrawn.
    let mut out = Vec::new();
    codec::append(&mut out, Kind::Update, |out| {
        out.extend([0, 0, 0, 13, 0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0, 9, 24, 10, 0, 0]);
    });
    world.hear(&peer.monitoring(&out));
    assert_eq!(world.said(), ["7: 10.0.0.0/24#0 gone"]);
    let status = world.router.status();
    assert_eq!((status.malformed, status.treated_as_withdraw, status.withdrawn), (6, 1, 1));
}

/// As FRR 8 does.
#[test]
fn a_path_does_not_begin_with_the_routers_own_as() {
    let mut world = World::new(RibChoice::Auto);
    let peer = Peer::new(address(7), 9);
    world.hear(&peer.up(false));
    let both = update(Some(&path(&[LOCAL_AS, 9, LOCAL_AS, 3])), &[[10, 0, 0], [10, 0, 1]], None);
    world.hear(&peer.monitoring(&both));
    world.hear(&peer.monitoring(&announce(&[9, 4], [10, 0, 2])));
    world.router.flush(&mut world.said);
    let Some(Said { event: Event::Routes(routes), .. }) = world.said.last() else { panic!("routes") };
    let attributes: Vec<_> = routes.iter().filter_map(|route| route.attributes.as_ref()).collect();
    assert_eq!(*attributes[0].path, [9, LOCAL_AS, 3]);
    assert!(Arc::ptr_eq(attributes[0], attributes[1]), "still shared");
    assert_eq!((attributes[0].local_pref, &*attributes[2].path), (attributes[2].local_pref, &[9, 4][..]));
}

#[test]
fn limits_end_the_connection() {
    let settings = RouterSettings::new(address(1));
    let (one, other) = (Peer::new(address(7), 9), Peer::new(address(8), 9));
    // Of all peers together; a route that comes again is the same.
    let mut world = World::with(RouterSettings { max_prefixes: 2, ..settings.clone() });
    for peer in [one, other, one] {
        world.hear(&peer.up(false));
        world.hear(&peer.monitoring(&announce(&[9], [10, 0, 0])));
    }
    world.hear(&one.down(&[4]));
    world.hear(&other.monitoring(&announce(&[9], [10, 0, 1])));
    world.hear(&other.monitoring(&update(None, &[[10, 0, 0]], None)));
    world.hear(&other.monitoring(&announce(&[9], [10, 0, 2])));
    assert_eq!(world.try_hear(&other.monitoring(&announce(&[9], [10, 0, 3]))), Err(End::Prefixes(2)));

    let mut world = World::with(RouterSettings { max_memory: 2 * (ROUTE_BYTES + 4 * 50), ..settings });
    world.hear(&one.up(false));
    world.hear(&one.monitoring(&announce(&[9; 50], [10, 0, 0])));
    world.hear(&one.monitoring(&announce(&[8; 50], [10, 0, 1])));
    world.hear(&one.monitoring(&announce(&[7; 49], [10, 0, 1])));
    let end = world.try_hear(&one.monitoring(&announce(&[7; 52], [10, 0, 1])));
    assert_eq!(end, Err(End::Memory(720)));
}

#[test]
fn statistics_and_the_end() {
    let mut world = World::new(RibChoice::Auto);
    let peer = Peer::new(address(7), 9);
    let numbers = peer.statistics(&tlv(7, &9u64.to_be_bytes()));
    world.hear(&numbers);
    assert!(world.router.status().statistics.is_empty(), "of a peer that is not up");
    world.hear(&peer.up(false));
    world.hear(&numbers);
    world.hear(&peer.statistics(&tlv(7, &11u64.to_be_bytes())));
    let key = PeerKey { loc_rib: false, distinguisher: 0, address: address(7) };
    assert_eq!(world.router.status().statistics[&key][&7], 11);
    world.hear(&peer.down(&[2, 0, 10]));
    assert!(world.router.status().statistics.is_empty());
    let end = world.try_hear(&whole(5, &[tlv(1, &[0, 2]), tlv(0, b"bye")].concat()));
    assert_eq!(end.unwrap_err().to_string(), "the router ended it: it is out of resources (bye)");
    assert_eq!(reason(Tlvs::default()), "no reason given");
}
