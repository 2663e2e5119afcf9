use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{peers::RESEND, *};
use crate::{
    ingest::live::{Lost, Route as Said, Standing},
    table::rib::{Change, Rib, SourceId},
};

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn path(path: &[Asn]) -> Arc<Attributes> {
    Arc::new(Attributes { path: path.into(), ..Attributes::default() })
}

fn info(standing: Standing, local_as: Asn) -> Event {
    Event::Peer(Arc::new(PeerInfo { standing, local_as, ..PeerInfo::default() }))
}

/// A table with a clock of its own.
struct World {
    live: Live,
    now: Instant,
    began: Instant,
    differences: Vec<Difference>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self { live: Live::new(now), now, began: now, differences: Vec::new() }
    }

    fn say(&mut self, peer: u16, event: Event) {
        self.live.take(PeerId(peer), event, self.now, &mut self.differences);
    }

    fn announce(&mut self, peer: u16, net: &str, attributes: &Arc<Attributes>) {
        let route = Said { prefix: prefix(net), path_id: 0, attributes: Some(Arc::clone(attributes)) };
        self.say(peer, Event::Routes(vec![route]));
    }

    fn withdraw(&mut self, peer: u16, net: &str) {
        self.say(peer, Event::Routes(vec![Said { prefix: prefix(net), path_id: 0, attributes: None }]));
    }

    fn down(&mut self, peer: u16, stale_seconds: u32) {
        self.say(peer, Event::Down(Lost { why: "the wire was cut".to_owned(), stale_seconds }));
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.live.tick(self.now);
    }

    /// What changed since the last time, as text.
    fn changes(&mut self) -> Vec<String> {
        while self.live.clean(1, &mut self.differences) {}
        let text = |Difference { prefix, origins, .. }: Difference| match origins {
            Some(origins) => format!("{prefix} {:?}", origins.all()),
            None => format!("{prefix} gone"),
        };
        let changed = self.differences.drain(..).filter(|difference| difference.origins_changed);
        let mut changes: Vec<_> = changed.map(text).collect();
        // Those of cleaning are in no order.
        changes.sort();
        changes
    }

    /// The paths that changed since the last time.
    fn paths(&mut self) -> Vec<(Prefix, Option<Vec<Asn>>)> {
        while self.live.clean(1, &mut self.differences) {}
        let path = |Difference { prefix, route, .. }: Difference| {
            assert_eq!(self.live.best(&prefix), route.as_ref());
            (prefix, route.map(|route| route.path.to_vec()))
        };
        self.differences.drain(..).map(path).collect()
    }

    fn peer(&self, peer: u16) -> PeerStatus {
        self.live.peers().nth(peer.into()).unwrap()
    }
}

#[test]
fn only_other_origins_are_differences() {
    let mut world = World::new();
    world.say(0, info(Standing::Neighbor, 64500));
    world.say(0, Event::Up);
    world.announce(0, "10.0.0.0/8", &path(&[1, 2]));
    assert_eq!(world.changes(), ["10.0.0.0/8 [2]"]);
    world.announce(0, "10.0.0.0/8", &path(&[1, 2]));
    world.announce(0, "10.0.0.0/8", &path(&[1, 3, 2]));
    assert_eq!(world.changes(), [""; 0], "another path to the same AS");
    assert_eq!(world.live.best(&prefix("10.0.0.0/8")), Some(&path(&[1, 3, 2])));
    world.announce(0, "10.0.0.0/8", &path(&[]));
    assert_eq!(world.changes(), ["10.0.0.0/8 [64500]"], "it begins here");
    let set = Arc::new(Attributes { path: [1].into(), set: [5, 7].into(), ..Attributes::default() });
    world.announce(0, "10.0.0.0/8", &set);
    assert_eq!(world.changes(), ["10.0.0.0/8 [5, 7]"]);
    world.withdraw(0, "11.0.0.0/8");
    assert_eq!(world.changes(), [""; 0], "it was not there");
    world.withdraw(0, "10.0.0.0/8");
    assert_eq!(world.changes(), ["10.0.0.0/8 gone"]);
    assert_eq!((world.live.counts(), world.live.attributes()), (PrefixCounts::default(), 0));
    assert_eq!(world.peer(0).routes, PrefixCounts::default());
}

/// Whatever changes the route that counts, its path is said.
#[test]
fn other_paths_are_said() {
    let mut world = World::new();
    world.say(0, Event::Up);
    world.say(1, Event::Up);
    let net = prefix("10.0.0.0/8");
    let said = |path: &[Asn]| vec![(net, Some(path.to_vec()))];
    world.announce(0, "10.0.0.0/8", &path(&[1, 9]));
    assert_eq!(world.paths(), said(&[1, 9]));
    world.announce(0, "10.0.0.0/8", &path(&[1, 9]));
    assert_eq!(world.paths(), [], "as it was");
    world.announce(0, "10.0.0.0/8", &path(&[2, 9]));
    assert_eq!(world.paths(), said(&[2, 9]), "the same origin");
    world.announce(1, "10.0.0.0/8", &path(&[3, 4, 9]));
    assert_eq!(world.paths(), [], "it does not count");
    world.announce(1, "10.0.0.0/8", &path(&[9]));
    assert_eq!(world.paths(), said(&[9]), "a shorter one of another peer");
    world.withdraw(1, "10.0.0.0/8");
    assert_eq!(world.paths(), said(&[2, 9]), "back again");
    world.down(0, 0);
    assert_eq!(world.paths(), [(net, None)]);
}

#[test]
fn the_router_goes_before_its_neighbors_and_they_are_behind_it() {
    let mut world = World::new();
    for (peer, standing) in [(0, Standing::Neighbor), (1, Standing::Router), (2, Standing::Neighbor)] {
        world.say(peer, info(standing, 0));
        world.say(peer, Event::Up);
    }
    let (short, router, long) = (path(&[9]), path(&[4, 5, 6]), path(&[4, 5, 9]));
    world.announce(0, "2001:db8::/32", &short);
    world.announce(1, "2001:db8::/32", &router);
    world.announce(2, "2001:db8::/32", &long);
    assert_eq!(world.changes(), ["2001:db8::/32 [6]", "2001:db8::/32 [9]"]);
    world.wait(7);
    let candidates = world.live.candidates(&prefix("2001:db8::/32"), world.now);
    let expected = |peer, attributes: &Arc<Attributes>, lost_by| Candidate {
        peer: PeerId(peer),
        path_id: 0,
        attributes: Arc::clone(attributes),
        age: Duration::from_secs(7),
        stale: false,
        lost_by,
    };
    assert_eq!(candidates[0], expected(1, &router, None));
    assert_eq!(candidates.len(), 3);
    assert!(candidates.contains(&expected(0, &short, Some(Criterion::Standing))));
    assert!(candidates.contains(&expected(2, &long, Some(Criterion::Standing))));
    assert_eq!(world.live.longest("2001:db8:1::1".parse().unwrap()), Some(prefix("2001:db8::/32")));
    assert_eq!(world.live.longest("2001:db9::1".parse().unwrap()), None);
    world.withdraw(1, "2001:db8::/32");
    assert_eq!(world.changes(), ["2001:db8::/32 [9]"]);
    world.withdraw(0, "2001:db8::/32");
    assert_eq!(world.changes(), [""; 0], "the other one has the same origin");
    world.withdraw(2, "2001:db8::/32");
    assert_eq!(world.changes(), ["2001:db8::/32 gone"]);
}

#[test]
fn routes_of_a_lost_peer_stay_for_their_time() {
    let mut world = World::new();
    world.say(0, Event::Up);
    world.announce(0, "10.0.0.0/8", &path(&[1]));
    world.announce(0, "2001:db8::/32", &path(&[1]));
    world.changes();
    world.down(0, 1800);
    let status = world.peer(0);
    assert_eq!((status.up, status.why.as_str()), (false, "the wire was cut"));
    assert_eq!((status.routes.total(), status.stale.total()), (2, 2));
    assert_eq!(world.live.due(), Some(world.now + Duration::from_secs(1800)));
    world.wait(1799);
    assert_eq!(world.changes(), [""; 0]);
    assert!(world.live.candidates(&prefix("10.0.0.0/8"), world.now)[0].stale);
    world.wait(1);
    assert_eq!(world.changes(), ["10.0.0.0/8 gone", "2001:db8::/32 gone"]);
    assert_eq!((world.peer(0).routes.total(), world.live.due()), (0, None));
    // Without a time they go at once.
    world.say(0, Event::Up);
    world.announce(0, "10.0.0.0/8", &path(&[1]));
    world.down(0, 0);
    assert_eq!(world.changes(), ["10.0.0.0/8 [1]", "10.0.0.0/8 gone"]);
}

#[test]
fn what_is_not_announced_again_goes_when_all_was() {
    let mut world = World::new();
    world.say(0, Event::Up);
    for net in ["10.0.0.0/8", "11.0.0.0/8", "2001:db8::/32"] {
        world.announce(0, net, &path(&[1]));
    }
    world.down(0, 1800);
    world.wait(100);
    world.say(0, Event::Up);
    world.changes();
    world.announce(0, "10.0.0.0/8", &path(&[1]));
    world.announce(0, "12.0.0.0/8", &path(&[2]));
    assert_eq!(world.peer(0).stale, PrefixCounts { ipv4: 1, ipv6: 1 });
    assert_eq!(
        world.live.candidates(&prefix("10.0.0.0/8"), world.now)[0].age,
        Duration::from_secs(100),
        "the same as before"
    );
    world.say(0, Event::EndOfRib(Family::Ipv4));
    assert_eq!(world.changes(), ["11.0.0.0/8 gone", "12.0.0.0/8 [2]"]);
    assert_eq!(world.peer(0).stale, PrefixCounts { ipv4: 0, ipv6: 1 });
    // The other family never says that it has finished.
    world.wait(RESEND.as_secs());
    assert_eq!(world.changes(), ["2001:db8::/32 gone"]);
    // A refresh is the same for one family.
    world.say(0, Event::Refresh(Family::Ipv4));
    world.announce(0, "12.0.0.0/8", &path(&[3]));
    world.say(0, Event::EndOfRib(Family::Ipv4));
    assert_eq!(world.changes(), ["10.0.0.0/8 gone", "12.0.0.0/8 [3]"]);
    assert_eq!(world.peer(0).routes, PrefixCounts { ipv4: 1, ipv6: 0 });
}

/// What goes in portions is not taken for what was announced meanwhile.
#[test]
fn cleaning_leaves_what_came_again() {
    let mut world = World::new();
    world.say(0, Event::Up);
    let nets = ["10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"];
    nets.iter().for_each(|net| world.announce(0, net, &path(&[1])));
    world.changes();
    world.down(0, 0);
    assert!(world.live.cleaning());
    assert!(world.live.clean(1, &mut world.differences));
    assert_eq!(world.peer(0).routes.total(), 2);
    world.say(0, Event::Up);
    nets.iter().for_each(|net| world.announce(0, net, &path(&[1])));
    world.down(0, 60);
    world.changes();
    assert_eq!(world.peer(0).routes.total(), 3, "those wait for their own time");
    world.wait(60);
    assert_eq!(world.changes().len(), 3);
    assert!(!world.live.cleaning());
}

/// A router with many neighbours is lost: they are looked for together, a family at a time, and each prefix goes once.
#[test]
fn what_many_peers_leave_goes_in_one_walk() {
    let mut world = World::new();
    let nets = ["10.0.0.0/8", "11.0.0.0/8", "2001:db8::/32"];
    for peer in 0..1000 {
        world.say(peer, Event::Up);
        nets.iter().for_each(|net| world.announce(peer, net, &path(&[peer.into(), 1])));
    }
    world.changes();
    (0..1000).for_each(|peer| world.down(peer, if peer < 999 { 0 } else { 60 }));
    assert!(world.live.clean(usize::MAX, &mut world.differences), "IPv6 is next");
    assert_eq!(world.live.counts(), PrefixCounts { ipv4: 2, ipv6: 1 });
    assert_eq!(world.differences.len(), 2, "to the one that stays");
    assert!(!world.live.clean(usize::MAX, &mut world.differences));
    assert_eq!(world.differences.len(), 3);
    let left: usize = (0..1000).map(|peer| world.peer(peer).routes.total()).sum();
    assert_eq!(left, 3);
    world.changes();
    world.wait(60);
    assert_eq!(world.changes(), nets.map(|net| format!("{net} gone")));
}

/// A session that comes and goes renews nothing: each route has the time of the loss in which it became stale.
#[test]
fn a_session_that_flaps_does_not_keep_what_it_does_not_repeat() {
    let mut world = World::new();
    world.say(0, Event::Up);
    world.announce(0, "10.0.0.0/8", &path(&[1]));
    world.announce(0, "11.0.0.0/8", &path(&[1]));
    world.changes();
    // Every two minutes, as of a peer that is over a limit; 11.0.0.0/8 never comes again.
    for _ in 0..14 {
        world.down(0, 1800);
        world.wait(120);
        assert_eq!(world.changes(), [""; 0]);
        world.say(0, Event::Up);
        world.announce(0, "10.0.0.0/8", &path(&[1]));
        world.wait(5);
    }
    // 14 × 125 s: 50 s are left.
    world.down(0, 1800);
    assert_eq!(world.live.due(), Some(world.now + Duration::from_secs(50)));
    assert_eq!(world.peer(0).stale_until, Some(world.now + Duration::from_secs(1800)), "of the other one");
    world.wait(49);
    assert_eq!(world.changes(), [""; 0]);
    world.wait(1);
    assert_eq!(world.changes(), ["11.0.0.0/8 gone"]);
    world.wait(1749);
    assert_eq!(world.changes(), [""; 0]);
    world.wait(1);
    assert_eq!(world.changes(), ["10.0.0.0/8 gone"]);
    assert_eq!((world.live.due(), world.peer(0).stale_until), (None, None));
}

/// While a peer is there that has begun to send all again, its routes are not missed for a time that ends meanwhile;
/// nor does a refresh that never ends renew that of another one.
#[test]
fn a_peer_that_is_back_has_its_time_to_send_all() {
    let mut world = World::new();
    world.say(0, Event::Up);
    world.announce(0, "10.0.0.0/8", &path(&[1]));
    world.changes();
    world.down(0, 1800);
    world.wait(1795);
    world.say(0, Event::Up);
    world.wait(100);
    assert_eq!(world.changes(), [""; 0]);
    world.down(0, 1800);
    world.wait(0);
    assert_eq!(world.changes(), ["10.0.0.0/8 gone"]);
    // BoRR without EoRR, again and again.
    world.say(0, Event::Up);
    world.announce(0, "10.0.0.0/8", &path(&[1]));
    world.announce(0, "11.0.0.0/8", &path(&[1]));
    for _ in 0..3 {
        world.say(0, Event::Refresh(Family::Ipv4));
        world.announce(0, "10.0.0.0/8", &path(&[1]));
        world.changes();
        world.wait(RESEND.as_secs() / 3);
    }
    assert_eq!(world.changes(), ["11.0.0.0/8 gone"]);
    assert_eq!(world.peer(0).routes.total(), 1);
}

/// Times are few: who flaps more often loses what is stale for longest, as RFC 4724 would have it at once.
#[test]
fn times_of_stale_routes_are_bounded() {
    let mut world = World::new();
    for n in 0..20u32 {
        world.say(0, Event::Up);
        world.announce(0, &format!("10.{n}.0.0/16"), &path(&[1]));
        world.changes();
        world.wait(1);
        world.down(0, 1800);
        world.wait(0);
        let expected = n.checked_sub(16).map(|n| format!("10.{n}.0.0/16 gone"));
        assert_eq!(world.changes(), expected.into_iter().collect::<Vec<_>>());
    }
}

/// A route of the naive table.
#[derive(Clone, Debug)]
struct NaiveRoute {
    attributes: Arc<Attributes>,
    stale: bool,
    /// It goes at this time: of its first loss.
    lost: Option<Instant>,
    /// It goes at this time instead, as long as the peer sends all again.
    resent: Option<Instant>,
}

/// A peer of the naive table.
#[derive(Clone, Debug, Default)]
struct Naive {
    standing: Standing,
    local_as: Asn,
    routes: BTreeMap<(Prefix, PathId), NaiveRoute>,
}

impl Naive {
    fn of(&mut self, family: Family) -> impl Iterator<Item = &mut NaiveRoute> {
        self.routes
            .iter_mut()
            .filter(move |((prefix, _), _)| Family::of(prefix) == family)
            .map(|(_, route)| route)
    }

    fn lose(&mut self, family: Family, until: Instant) {
        for route in self.of(family) {
            route.stale = true;
            route.resent = None;
            route.lost = Some(route.lost.map_or(until, |lost| lost.min(until)));
        }
    }

    fn resend(&mut self, family: Family, until: Instant) {
        for route in self.of(family) {
            route.stale = true;
            route.resent.get_or_insert(until);
        }
    }

    fn sweep(&mut self, family: Family) {
        self.routes.retain(|(prefix, _), route| Family::of(prefix) != family || !route.stale);
    }

    fn tick(&mut self, now: Instant) {
        self.routes.retain(|_, route| route.until().is_none_or(|until| until > now));
    }
}

impl NaiveRoute {
    fn until(&self) -> Option<Instant> {
        self.resent.or(self.lost).filter(|_| self.stale)
    }
}

/// The rule once more, as slowly as it is written.
fn naive_best(peers: &[Naive], prefix: &Prefix) -> Option<(u16, PathId, Origins)> {
    let mut routes: Vec<_> = peers
        .iter()
        .enumerate()
        .flat_map(|(number, peer)| {
            peer.routes
                .iter()
                .filter(|((its, _), _)| its == prefix)
                .map(move |((_, id), route)| (number as u16, *id, &route.attributes, peer))
        })
        .collect();
    let keep = |routes: &mut Vec<(u16, PathId, &Arc<Attributes>, &Naive)>,
                key: &dyn Fn(&Attributes, &Naive) -> i64| {
        let best = routes.iter().map(|route| key(route.2, route.3)).min();
        routes.retain(|route| Some(key(route.2, route.3)) == best);
    };
    keep(&mut routes, &|_, peer| peer.standing as i64);
    keep(&mut routes, &|attributes, _| -i64::from(attributes.local_pref.unwrap_or(100)));
    keep(&mut routes, &|attributes, _| {
        (attributes.path.len() + usize::from(!attributes.set.is_empty())) as i64
    });
    keep(&mut routes, &|attributes, _| attributes.origin.into());
    let all = routes.clone();
    routes.retain(|route| {
        !all.iter().any(|other| {
            other.2.path.first() == route.2.path.first()
                && other.2.med.unwrap_or(0) < route.2.med.unwrap_or(0)
        })
    });
    let (peer, id, attributes, naive) = routes.into_iter().min_by_key(|route| (route.0, route.1))?;
    Some((peer, id, attributes::origins(attributes, naive.local_as)))
}

#[derive(Clone, Debug)]
enum Step {
    Announce(u16, usize, PathId, Attributes),
    Withdraw(u16, usize, PathId),
    Up(u16),
    Down(u16, u32),
    Refresh(u16, Family),
    End(u16, Family),
    Wait(u64),
    Clean(usize),
}

const NETS: [&str; 6] =
    ["10.0.0.0/8", "10.0.0.0/9", "192.0.2.1/32", "::/0", "2001:db8::/32", "2001:db8::/48"];

/// The other sources by precedence; the peers are behind the first of them.
fn other_sources() -> [SourceId; 3] {
    [SourceId::OVERRIDE, SourceId::file(0).unwrap(), SourceId::BUILTIN]
}

/// What they say of a prefix.
fn others() -> impl Strategy<Value = [Option<Asn>; 3]> {
    let maybe = |often| proptest::option::weighted(often, 1..7u32);
    (maybe(0.1), maybe(0.4), maybe(0.6)).prop_map(|(before, file, builtin)| [before, file, builtin])
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let few = || proptest::collection::vec(1..4u32, 0..3);
    let maybe = || proptest::option::of(99..102u32);
    let med = proptest::option::of(0..3u32);
    (few(), proptest::bool::weighted(0.1), maybe(), med, 0..2u8).prop_map(
        |(path, set, local_pref, med, origin)| {
            let set: &[Asn] = if set { &[2, 3] } else { &[] };
            Attributes { path: path.into(), set: set.into(), local_pref, med, origin }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let peer = || 0..3u16;
    let net = || 0..NETS.len();
    let family = || prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)];
    prop_oneof![
        10 => (peer(), net(), 0..2u32, attributes()).prop_map(|(p, n, i, a)| Step::Announce(p, n, i, a)),
        5 => (peer(), net(), 0..2u32).prop_map(|(p, n, i)| Step::Withdraw(p, n, i)),
        1 => peer().prop_map(Step::Up),
        1 => (peer(), prop_oneof![Just(0), Just(30), Just(600)]).prop_map(|(p, s)| Step::Down(p, s)),
        1 => (peer(), family()).prop_map(|(p, f)| Step::Refresh(p, f)),
        1 => (peer(), family()).prop_map(|(p, f)| Step::End(p, f)),
        1 => prop_oneof![Just(10u64), Just(200), Just(400)].prop_map(Step::Wait),
        2 => (1..4usize).prop_map(Step::Clean),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever peers say in whatever order: what counts is what the rule says of what is there, the differences make a
    /// RIB the same as that, and where no peer has a route the next source counts.
    #[test]
    fn as_a_naive_table(
        steps in proptest::collection::vec(step(), 1..120),
        others in proptest::collection::vec(others(), NETS.len()),
    ) {
        let mut world = World::new();
        let standings = [(Standing::Neighbor, 0), (Standing::Neighbor, 64500), (Standing::Router, 64501)];
        let mut peers: Vec<Naive> = Vec::new();
        for (number, (standing, local_as)) in (0..).zip(standings) {
            world.say(number, info(standing, local_as));
            peers.push(Naive { standing, local_as, ..Naive::default() });
        }
        let mut rib = Rib::new();
        let mut counted = BTreeMap::new();
        // What all peers together said last.
        let mut announced: BTreeMap<Prefix, Origins> = BTreeMap::new();
        for (net, others) in NETS.map(prefix).into_iter().zip(&others) {
            for (source, asn) in other_sources().into_iter().zip(*others) {
                let change = asn.and_then(|asn| rib.update(source, net, Some(Origins::one(asn))));
                counted.extend(change.map(|change| (change.prefix, change.origin)));
            }
        }
        let mut paths = BTreeMap::new();
        for step in steps {
            let now = world.now;
            match step {
                Step::Announce(peer, net, path_id, attributes) => {
                    let (net, attributes) = (prefix(NETS[net]), Arc::new(attributes));
                    let route = NaiveRoute { attributes: Arc::clone(&attributes), stale: false, lost: None, resent: None };
                    peers[usize::from(peer)].routes.insert((net, path_id), route);
                    world.say(peer, Event::Routes(vec![Said { prefix: net, path_id, attributes: Some(attributes) }]));
                }
                Step::Withdraw(peer, net, path_id) => {
                    let net = prefix(NETS[net]);
                    peers[usize::from(peer)].routes.remove(&(net, path_id));
                    world.say(peer, Event::Routes(vec![Said { prefix: net, path_id, attributes: None }]));
                }
                Step::Up(peer) => {
                    FAMILIES.iter().for_each(|&f| peers[usize::from(peer)].resend(f, now + RESEND));
                    world.say(peer, Event::Up);
                }
                Step::Down(peer, seconds) => {
                    let until = now + Duration::from_secs(seconds.into());
                    FAMILIES.iter().for_each(|&f| peers[usize::from(peer)].lose(f, until));
                    world.down(peer, seconds);
                }
                Step::Refresh(peer, family) => {
                    peers[usize::from(peer)].resend(family, now + RESEND);
                    world.say(peer, Event::Refresh(family));
                }
                Step::End(peer, family) => {
                    peers[usize::from(peer)].sweep(family);
                    world.say(peer, Event::EndOfRib(family));
                }
                Step::Wait(seconds) => world.wait(seconds),
                Step::Clean(limit) => {
                    // Some of it only: the rest goes below, after other events.
                    world.live.clean(limit, &mut world.differences);
                    continue;
                }
            }
            peers.iter_mut().for_each(|peer| peer.tick(world.now));
            while world.live.clean(2, &mut world.differences) {}
            for Difference { prefix, origins, origins_changed, route } in world.differences.drain(..) {
                let before = match &origins {
                    Some(origins) => announced.insert(prefix, origins.clone()),
                    None => announced.remove(&prefix),
                };
                prop_assert_eq!(before != origins, origins_changed);
                prop_assert!(origins_changed || paths.get(&prefix) != Some(&route), "a difference");
                paths.insert(prefix, route);
                if let Some(Change { prefix, origin }) = rib.update(SOURCE, prefix, origins) {
                    counted.insert(prefix, origin);
                }
            }
            for (net, others) in NETS.map(prefix).into_iter().zip(&others) {
                prop_assert_eq!(paths.get(&net).and_then(Option::as_ref), world.live.best(&net));
                let best = naive_best(&peers, &net);
                let candidates = world.live.candidates(&net, world.now);
                let first = candidates.first().map(|first| (first.peer.0, first.path_id));
                prop_assert_eq!(first, best.as_ref().map(|(peer, id, _)| (*peer, *id)));
                let found = rib.exact(&net).map(|found| found.origins.to_vec());
                let live = best.map(|(.., origins)| origins.all().to_vec());
                prop_assert_eq!(announced.get(&net).map(|origins| origins.all().to_vec()), live.clone());
                let [before, behind @ ..] = others.map(|asn| asn.map(|asn| vec![asn]));
                let origins = before.or(live).or_else(|| behind.into_iter().flatten().next());
                prop_assert_eq!(counted.get(&net).copied().flatten(), origins.as_ref().map(|all| all[0]));
                prop_assert_eq!(found, origins);
                for candidate in &candidates {
                    let key = (net, candidate.path_id);
                    let NaiveRoute { attributes, stale, .. } = &peers[usize::from(candidate.peer.0)].routes[&key];
                    prop_assert_eq!((attributes, *stale), (&candidate.attributes, candidate.stale));
                }
                let there: usize = peers.iter().map(|peer| peer.routes.keys().filter(|(its, _)| *its == net).count()).sum();
                prop_assert_eq!(there, candidates.len());
            }
            for (status, peer) in world.live.peers().zip(&peers) {
                prop_assert_eq!(status.routes.total(), peer.routes.len());
                prop_assert_eq!(status.stale.total(), peer.routes.values().filter(|route| route.stale).count());
                let until = peer.routes.values().filter_map(NaiveRoute::until).max();
                // Of those that became stale together, all may be gone but for their time.
                prop_assert!(status.stale_until >= until && status.stale_until.is_some() == until.is_some());
            }
            let mut different: Vec<_> =
                peers.iter().flat_map(|peer| peer.routes.values().map(|route| &route.attributes)).collect();
            different.sort_unstable_by_key(|a| format!("{a:?}"));
            different.dedup();
            prop_assert_eq!(world.live.attributes(), different.len());
        }
        prop_assert!(world.now >= world.began);
    }
}
