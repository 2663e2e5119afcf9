#[path = "live_busy_tests.rs"]
mod busy;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, mpsc},
    time::SystemTime,
};

use proptest::prelude::*;

use super::*;
use crate::{
    agent::{core::Message, others::Others, sizing::Room},
    datapath::{Applied, Attachment, Batch, Datapath, DatapathError, Memory, Sizes, Sweep, fake::Fake},
    fib::classes::{Classes, Granularity},
    ingest::{
        live::{Attributes, Lost, PeerId, PeerInfo, PeerKind, Route, Standing},
        set::TableSet,
    },
    model::{Asn, Direction, Hook, Link, LinkId, Owners as _, Prefix, Role, Side},
    notify::{Notifier, tests::Listener},
    table::{groups::Groups, rib::SourceId},
    totals::{
        By, Limits, TopQuery, Totals, When,
        answer::CountMode,
        view::{StatusInputs, View},
    },
};

/// The datapath in memory, for the core to own and the test to send frames through.
#[derive(Clone)]
struct Wire(Arc<Mutex<Fake>>);

impl Wire {
    fn fake(&self) -> std::sync::MutexGuard<'_, Fake> {
        self.0.lock().unwrap()
    }

    /// A packet to this address goes out so many times.
    fn send(&self, address: [u8; 4], packets: u64) {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1]);
        frame.extend(address);
        frame.extend([0; 8]);
        self.fake().frame(LinkId(0), Hook::Tx, &frame, packets);
    }
}

impl Datapath for Wire {
    fn apply(&mut self, batch: &Batch) -> Result<Applied, DatapathError> {
        self.fake().apply(batch)
    }
    fn resize(&mut self, sizes: &Sizes) -> Result<(), DatapathError> {
        self.fake().resize(sizes)
    }
    fn sizes(&self) -> Sizes {
        self.fake().sizes()
    }
    fn sweep(&mut self) -> Result<Sweep, DatapathError> {
        self.fake().sweep()
    }
    fn attachments(&self) -> Vec<Attachment> {
        self.fake().attachments()
    }
    fn memory(&self) -> Memory {
        self.fake().memory()
    }
    fn detach(&mut self) -> Result<(), DatapathError> {
        self.fake().detach()
    }
}

const SIZES: Sizes = Sizes { classes: 64, v4_rows: 4, v6_rows: 4, v6_nodes: 16 };

/// A core with these routes of the built-in table, on one upstream link.
fn core(sizes: Sizes, allowed: u64, builtin: &[(&str, Asn)]) -> (Core, Wire) {
    let wire =
        Wire(Arc::new(Mutex::new(Fake::new(&sizes, &[[Side::Source.bit(), Side::Destination.bit()]]))));
    let link =
        Link { name: "up".into(), interface: "up".into(), vlan: None, role: Role::Upstream, kind: None };
    let classes = Arc::new(RwLock::new(Classes::new(Granularity::Prefix, sizes.classes)));
    let totals = Totals::new(vec![link.clone()], SystemTime::now(), Limits::default());
    let mut tables = TableSet::default();
    let changes = builtin
        .iter()
        .filter_map(|(net, asn)| tables.rib.update(SourceId::BUILTIN, prefix(net), Some((*asn).into())))
        .collect();
    let mut core = Core {
        datapath: Box::new(wire.clone()),
        view: View::new(totals, classes.clone(), SystemTime::now),
        classes,
        tables,
        groups: Arc::new(Groups::builtin().unwrap()),
        history: None,
        keep: false,
        places: Vec::new(),
        gaps: Vec::new(),
        looked: SystemTime::now(),
        others: Others::default(),
        interval: Duration::from_secs(5),
        links: vec![(link, wire.fake().attachments()[0])],
        status: StatusInputs::default(),
        broken: BTreeMap::new(),
        waiting: BTreeMap::new(),
        room: Room { count: CountMode::Both, links: 1, slices: 1, allowed },
        no_growth: None,
        reclaimed: None,
        live: Arc::new(RwLock::new(Live::new(Instant::now()))),
        heard: VecDeque::new(),
        manager: Notifier::default(),
    };
    core.apply(changes).unwrap();
    (core, wire)
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn route(prefix: Prefix, path: &[Asn]) -> Route {
    let attributes = Attributes { path: path.into(), ..Attributes::default() };
    Route { prefix, path_id: 0, attributes: Some(Arc::new(attributes)) }
}

fn withdrawn(net: &str) -> Route {
    Route { prefix: prefix(net), path_id: 0, attributes: None }
}

fn say(core: &mut Core, events: Vec<Event>) {
    let said: Vec<_> = events.into_iter().map(|event| Said { peer: PeerId(0), event }).collect();
    core.heard.push_back(said.into());
}

/// Does all that is to do; how many slices that took.
fn work(core: &mut Core) -> usize {
    let mut slices = 0;
    while core.live_work() {
        core.live_slice();
        slices += 1;
    }
    slices
}

fn router() -> Event {
    let (name, kind, standing) = ("192.0.2.1".to_owned(), PeerKind::Bgp, Standing::Router);
    Event::Peer(Arc::new(PeerInfo { name, kind, standing, local_as: 64500, router: None }))
}

/// Packets that went out to an AS since the start.
fn out(core: &Core, asn: Asn) -> u64 {
    let query = crate::totals::query::DetailQuery::default();
    core.view
        .asn(&asn.to_string(), &query)
        .map_or(0, |answer| answer.directions.outward.map_or(0, |direction| direction.since_start.packets))
}

fn frames(core: &Core) -> u64 {
    let status = core.view.status();
    status.links[0].tx.as_ref().map_or(0, |hook| hook.outcomes.ipv4.packets)
}

#[test]
fn what_peers_announce_counts_from_then_on_and_what_they_withdraw_falls_back() {
    let (mut core, wire) = core(SIZES, u64::MAX, &[("10.0.0.0/8", 1), ("10.1.0.0/16", 2)]);
    wire.send([10, 1, 2, 3], 1);
    core.sweep().unwrap();
    say(
        &mut core,
        vec![
            router(),
            Event::Up,
            Event::Routes(vec![
                route(prefix("10.1.0.0/16"), &[64501, 3]),
                route(prefix("10.1.2.0/24"), &[64501, 4]),
            ]),
        ],
    );
    assert_eq!(work(&mut core), 1);
    wire.send([10, 1, 2, 3], 10);
    wire.send([10, 1, 3, 3], 20);
    say(&mut core, vec![Event::Routes(vec![withdrawn("10.1.2.0/24")])]);
    work(&mut core);
    wire.send([10, 1, 2, 3], 100);
    say(&mut core, vec![Event::Routes(vec![withdrawn("10.1.0.0/16")])]);
    work(&mut core);
    wire.send([10, 1, 2, 3], 1000);
    core.sweep().unwrap();
    core.sweep().unwrap();
    assert_eq!([1, 2, 3, 4].map(|asn| out(&core, asn)), [0, 1001, 120, 10]);
    assert_eq!(frames(&core), 1131);
    assert!(core.view.status().closure_ok);
}

#[test]
fn peers_are_sources_and_a_lost_one_is_said() {
    let (mut core, _) = core(SIZES, u64::MAX, &[("10.0.0.0/8", 1)]);
    say(&mut core, vec![router(), Event::Up, Event::Routes(vec![route(prefix("10.0.0.0/8"), &[3])])]);
    work(&mut core);
    core.publish_tables();
    let status = core.view.status();
    let source = &status.table.sources[0];
    assert_eq!((source.name.as_str(), source.kind.as_str(), source.prefixes), ("192.0.2.1", "bgp", 1));
    assert_eq!((source.up, source.stale, source.age_seconds), (true, 0, Some(0)));
    assert!(status.warnings.is_empty());
    let lost = |stale_seconds| Event::Down(Lost { why: "hold timer expired".to_owned(), stale_seconds });
    say(&mut core, vec![lost(1800)]);
    work(&mut core);
    let status = core.view.status();
    assert_eq!((status.table.sources[0].up, status.table.sources[0].stale), (false, 1));
    let warning =
        "bgp 192.0.2.1: not established (hold timer expired): its 1 routes are stale and stay for 1";
    assert!(status.warnings[0].starts_with(warning), "{:?}", status.warnings);
    assert!(core.stale_due().is_some_and(|due| due > Duration::from_secs(1700)));
    assert_eq!(core.tables.rib.exact(&prefix("10.0.0.0/8")).unwrap().asn, 3, "it still counts");
    say(&mut core, vec![Event::Up, lost(0)]);
    work(&mut core);
    assert_eq!(core.tables.rib.exact(&prefix("10.0.0.0/8")).unwrap().asn, 1, "the next source");
    assert_eq!(core.view.status().table.sources[0].prefixes, 0);
}

#[test]
fn a_router_that_reports_is_one_source() {
    let (mut core, _) = core(SIZES, u64::MAX, &[("10.0.0.0/8", 1)]);
    let info = |name: &str, router: Option<u16>| {
        let (name, router) = (name.to_owned(), router.map(PeerId));
        Event::Peer(Arc::new(PeerInfo { name, kind: PeerKind::Bmp, router, ..PeerInfo::default() }))
    };
    let hear = |core: &mut Core, said: Vec<(u16, Event)>| {
        let said: Vec<_> = said.into_iter().map(|(peer, event)| Said { peer: PeerId(peer), event }).collect();
        core.heard.push_back(said.into());
        work(core);
    };
    let announce =
        |net: &str, asn| Event::Routes(vec![route(prefix(net), &[asn]), route(prefix("11.0.0.0/8"), &[asn])]);
    hear(&mut core, vec![(0, info("border", None))]);
    let status = core.view.status();
    assert_eq!((status.table.sources[0].name.as_str(), status.table.sources[0].up), ("border", false));
    assert_eq!(status.warnings, ["bmp border: not connected"]);
    hear(
        &mut core,
        vec![
            (0, Event::Up),
            // The order of numbers is not that in which they are heard of.
            (3, info("border 192.0.2.8 post-policy", Some(0))),
            (3, Event::Up),
            (3, announce("10.0.0.0/8", 8)),
            (2, info("border 192.0.2.7 post-policy", Some(0))),
            (2, Event::Up),
            (2, announce("10.0.0.0/8", 7)),
        ],
    );
    let status = core.view.status();
    assert_eq!(status.table.sources.len(), 1, "{:?}", status.table.sources);
    let source = &status.table.sources[0];
    assert_eq!((source.kind.as_str(), source.prefixes, source.up, source.stale), ("bmp", 4, true, 0));
    assert_eq!(core.tables.rib.exact(&prefix("10.0.0.0/8")).unwrap().asn, 7, "the lower number");
    // A neighbour of the router is no trouble of ours.
    let lost = |stale_seconds| Event::Down(Lost { why: "the router closed it".to_owned(), stale_seconds });
    hear(&mut core, vec![(2, lost(0))]);
    let status = core.view.status();
    assert_eq!((status.table.sources[0].prefixes, status.warnings.len()), (2, 0));
    assert_eq!(core.tables.rib.exact(&prefix("10.0.0.0/8")).unwrap().asn, 8);
    hear(&mut core, vec![(3, lost(1800)), (0, lost(1800))]);
    let status = core.view.status();
    let source = &status.table.sources[0];
    assert_eq!((source.prefixes, source.up, source.stale), (2, false, 2));
    let warning = "bmp border: not connected (the router closed it): its 2 routes are stale and stay for 1";
    assert!(status.warnings[0].starts_with(warning), "{:?}", status.warnings);
    assert_eq!(core.tables.rib.exact(&prefix("10.0.0.0/8")).unwrap().asn, 8, "it still counts");
}

/// Sweeps come between slices, so a slice must not be all of a flap.
#[test]
fn a_flap_of_all_routes_goes_in_slices() {
    let sizes = Sizes { classes: 200_000, v4_rows: 4, v6_rows: 4, v6_nodes: 16 };
    let (mut core, wire) = core(sizes, u64::MAX, &[]);
    let nets = 3 * SLICE;
    let all: Vec<Route> = (0..nets as u32)
        .map(|n| Prefix::new_truncate(std::net::Ipv4Addr::from_bits(0x1000_0000 + (n << 8)), 24).unwrap())
        .map(|net| route(net, &[7]))
        .collect();
    say(&mut core, vec![router(), Event::Up]);
    say(&mut core, all.chunks(100).map(|some| Event::Routes(some.to_vec())).collect());
    assert_eq!(work(&mut core), 3);
    assert_eq!(wire.fake().writer().prefixes().0, nets);
    say(&mut core, vec![Event::Down(Lost { why: String::new(), stale_seconds: 0 })]);
    core.live_slice();
    wire.send([10, 0, 0, 1], 1);
    core.sweep().unwrap();
    assert_eq!(wire.fake().writer().prefixes().0, nets - SLICE);
    assert_eq!(work(&mut core), 2);
    assert_eq!(wire.fake().writer().prefixes().0, 0);
    core.sweep().unwrap();
    assert_eq!(core.classes.read().unwrap().in_use(), 2, "every class came back");
}

#[test]
fn a_table_that_outgrows_its_maps_gets_larger_ones_and_no_count_is_lost() {
    let (mut core, wire) = core(SIZES, u64::MAX, &[("10.0.0.0/8", 1)]);
    say(&mut core, vec![router(), Event::Up]);
    work(&mut core);
    wire.send([10, 0, 0, 1], 5);
    // More classes than there are, then more rows.
    for (number, net) in [(0u32, 16u8), (1, 25)] {
        let nets = (0..200).map(|n| {
            let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 | number << 23 | n << 16);
            Prefix::new_truncate(address, net).unwrap()
        });
        let routes = nets.map(|net| route(net, &[9])).collect();
        say(&mut core, vec![Event::Routes(routes)]);
        work(&mut core);
        wire.send([10, 0, 0, 1], 7);
    }
    core.sweep().unwrap();
    assert!(core.waiting.is_empty());
    let sizes = wire.fake().sizes();
    assert!(sizes.classes > SIZES.classes && sizes.v4_rows >= 200, "{sizes:?}");
    assert_eq!(core.classes.read().unwrap().capacity(), sizes.classes);
    assert_eq!((out(&core, 1), out(&core, 9), frames(&core)), (5, 14, 19));
    assert!(core.view.status().closure_ok);
}

#[test]
fn what_finds_no_room_waits_and_the_rest_does_not() {
    // As large as permitted.
    let (mut core, wire) = core(SIZES, 0, &[("10.0.0.0/8", 1)]);
    let routes: Vec<_> = (0..100).map(|n| route(prefix(&format!("10.{n}.0.0/16")), &[9])).collect();
    say(&mut core, vec![router(), Event::Up, Event::Routes(routes)]);
    work(&mut core);
    // 64 classes less the two unmatched ones and that of 10.0.0.0/8.
    assert_eq!((wire.fake().writer().prefixes().0, core.waiting.len()), (62, 39));
    core.look_at_peers();
    let warnings = core.view.status().warnings;
    assert!(
        warnings[0].starts_with("39 changed routes wait for room in the FIB: the counters need"),
        "{warnings:?}"
    );
    // Room is made: what was counted is read, then those that wait go in.
    let gone = (0..60).map(|n| withdrawn(&format!("10.{n}.0.0/16"))).collect();
    say(&mut core, vec![Event::Routes(gone)]);
    work(&mut core);
    core.look_at_peers();
    assert_eq!((wire.fake().writer().prefixes().0, core.waiting.len()), (41, 0));
    assert_eq!(out(&core, 9), 0);
}

/// Packets that went out by way of each neighbour, or through each AS, since the start; and those without a path.
fn ways(core: &Core, by: By) -> (Vec<(Asn, u64)>, u64) {
    let when = When::Last(Duration::from_secs(86_400));
    let query = TopQuery { by, when, direction: Some(Direction::Out), n: 100, ..TopQuery::default() };
    let top = core.view.top(&query).unwrap().directions.outward.unwrap();
    let mut rows: Vec<_> = top.rows.iter().map(|row| (row.asn.unwrap(), row.packets)).collect();
    rows.sort_unstable();
    let parts = top.other.packets + top.unmatched.packets + top.no_path.as_ref().unwrap().packets;
    if by == By::Neighbor {
        assert_eq!(rows.iter().map(|(_, packets)| packets).sum::<u64>() + parts, top.total.packets);
    }
    (rows, top.no_path.unwrap().packets)
}

#[test]
fn a_path_that_changes_moves_what_is_counted_later_and_no_word() {
    let (mut core, wire) = core(SIZES, u64::MAX, &[("10.0.0.0/8", 1), ("11.0.0.0/8", 2)]);
    let net = || prefix("10.1.0.0/16");
    let announce = |core: &mut Core, path: &[Asn]| {
        say(core, vec![Event::Routes(vec![route(net(), path)])]);
        work(core);
    };
    say(&mut core, vec![router(), Event::Up]);
    announce(&mut core, &[100, 200, 3]);
    wire.send([10, 1, 2, 3], 10);
    wire.send([10, 2, 0, 0], 7);
    core.sweep().unwrap();
    assert_eq!(ways(&core, By::Neighbor), (vec![(100, 10)], 7));
    assert_eq!(ways(&core, By::Transit).0, [(1, 7), (3, 10), (100, 10), (200, 10)]);
    // The same origin by another way: what was not swept yet goes by it, too.
    let owners = core.classes.read().unwrap().owner_count();
    wire.send([10, 1, 2, 3], 100);
    announce(&mut core, &[300, 200, 200, 3]);
    assert_eq!(core.classes.read().unwrap().owner_count(), owners, "the same class");
    wire.send([10, 1, 2, 3], 1000);
    core.sweep().unwrap();
    assert_eq!(ways(&core, By::Neighbor).0, [(100, 10), (300, 1100)]);
    assert_eq!(ways(&core, By::Transit).0[3..], [(200, 1110), (300, 1100)]);
    // Another origin, and then none: the class before keeps its way until it is read a last time.
    announce(&mut core, &[400, 4]);
    wire.send([10, 1, 2, 3], 20_000);
    say(&mut core, vec![Event::Routes(vec![withdrawn("10.1.0.0/16")])]);
    work(&mut core);
    wire.send([10, 1, 2, 3], 300_000);
    core.sweep().unwrap();
    core.sweep().unwrap();
    assert_eq!(ways(&core, By::Neighbor), (vec![(100, 10), (300, 1100), (400, 20_000)], 300_007));
    assert_eq!(core.view.ways(), 0, "nothing is left of it");
    assert!(core.view.status().closure_ok);
}

/// An override changes whose traffic it is, not which way it goes.
#[test]
fn an_overridden_prefix_keeps_its_path() {
    let (mut core, wire) = core(SIZES, u64::MAX, &[("10.0.0.0/8", 1)]);
    say(&mut core, vec![router(), Event::Up, Event::Routes(vec![route(prefix("10.0.0.0/8"), &[100, 3])])]);
    work(&mut core);
    let change = core.tables.rib.update(SourceId::OVERRIDE, prefix("10.0.0.0/8"), Some(77.into()));
    core.apply(change.into_iter().collect()).unwrap();
    wire.send([10, 1, 2, 3], 5);
    core.sweep().unwrap();
    assert_eq!((out(&core, 77), ways(&core, By::Neighbor).0), (5, vec![(100, 5)]));
    assert_eq!(ways(&core, By::Transit).0, [(3, 5), (77, 5), (100, 5)]);
}

#[test]
fn what_waits_for_room_has_its_path_once_it_is_in() {
    let (mut core, wire) = core(SIZES, 0, &[("10.0.0.0/8", 1)]);
    let routes: Vec<_> = (0..100).map(|n| route(prefix(&format!("10.{n}.0.0/16")), &[100, 9])).collect();
    say(&mut core, vec![router(), Event::Up, Event::Routes(routes)]);
    work(&mut core);
    assert_eq!(core.waiting.len(), 39);
    let waiting = *core.waiting.keys().next().unwrap();
    let gone = (0..60).map(|n| withdrawn(&format!("10.{n}.0.0/16"))).collect();
    say(&mut core, vec![Event::Routes(gone)]);
    work(&mut core);
    core.look_at_peers();
    assert!(core.waiting.is_empty());
    let Prefix::V4(waiting) = waiting else { unreachable!() };
    let [a, b, ..] = waiting.network_address().octets();
    wire.send([a, b, 0, 1], 5);
    core.sweep().unwrap();
    let expected = if b < 60 { (vec![], 5) } else { (vec![(100, 5)], 0) };
    assert_eq!(ways(&core, By::Neighbor), expected);
    // All others too.
    (60..100).for_each(|n| wire.send([10, n, 0, 1], 1));
    core.sweep().unwrap();
    assert_eq!(ways(&core, By::Neighbor).0, [(100, 40 + if b < 60 { 0 } else { 5 })]);
}

#[test]
fn a_lookup_has_every_route_and_says_what_lost_by_what() {
    let (mut core, _) = core(SIZES, u64::MAX, &[("10.0.0.0/8", 1), ("192.0.2.0/24", 8)]);
    let peer = |number: u16, event| Said { peer: PeerId(number), event };
    let spare = PeerInfo { name: "spare".to_owned(), standing: Standing::Router, ..PeerInfo::default() };
    let net = || prefix("10.0.0.0/8");
    core.heard.push_back(
        vec![
            peer(0, router()),
            peer(1, Event::Peer(Arc::new(spare))),
            peer(0, Event::Up),
            peer(1, Event::Up),
            peer(0, Event::Routes(vec![route(net(), &[100, 200, 3])])),
            peer(1, Event::Routes(vec![route(net(), &[300, 3]), route(prefix("10.9.0.0/16"), &[])])),
        ]
        .into(),
    );
    work(&mut core);
    let found = core.route_of("10.1.2.3".parse().unwrap()).unwrap();
    assert_eq!((found.prefix.as_str(), &*found.origins), ("10.0.0.0/8", &[3][..]));
    assert_eq!(found.path.as_deref(), Some(&[300, 3][..]));
    let candidates: Vec<_> = found
        .candidates
        .iter()
        .map(|route| (route.source.as_str(), route.best, route.lost_by.as_deref(), route.path.clone()))
        .collect();
    assert_eq!(
        candidates,
        [
            ("spare", true, None, Some(vec![300, 3])),
            ("192.0.2.1", false, Some("path_length"), Some(vec![100, 200, 3])),
            // The table was put in without its file.
            ("", false, Some("source"), None),
        ]
    );
    assert_eq!(found.candidates[0].origin_code.as_deref(), Some("igp"));
    let own = core.route_of("10.9.0.1".parse().unwrap()).unwrap();
    assert_eq!((own.path, own.candidates.len()), (Some(vec![]), 1));
    let table = core.route_of("192.0.2.1".parse().unwrap()).unwrap();
    assert_eq!((table.path, table.candidates[0].best), (None, true));
    assert!(core.route_of("2001:db8::1".parse().unwrap()).is_none());
    // An override goes before all of them.
    let change = core.tables.rib.update(SourceId::OVERRIDE, net(), Some(77.into()));
    core.apply(change.into_iter().collect()).unwrap();
    let found = core.route_of("10.1.2.3".parse().unwrap()).unwrap();
    assert_eq!(found.origins, [77]);
    let lost: Vec<_> = found.candidates.iter().map(|route| route.lost_by.as_deref()).collect();
    assert_eq!(lost, [None, Some("source"), Some("path_length"), Some("source")]);
}

/// Prefixes in each other and beside each other, and addresses in them and in none.
const NETS: [&str; 7] = [
    "8.0.0.0/5",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.128/25",
    "10.1.2.129/32",
    "203.0.113.0/24",
];
const ADDRESSES: [[u8; 4]; 8] = [
    [9, 9, 9, 9],
    [10, 2, 0, 1],
    [10, 1, 0, 1],
    [10, 1, 2, 1],
    [10, 1, 2, 128],
    [10, 1, 2, 129],
    [203, 0, 113, 7],
    [203, 0, 114, 7],
];

#[derive(Clone, Debug)]
enum Step {
    /// The first peer is the router, whose routes go before the other's.
    Route(u16, usize, Option<Asn>),
    Lost(u16),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..2u16, 0..NETS.len(), proptest::option::weighted(0.7, 1..6u32))
            .prop_map(|(peer, net, asn)| Step::Route(peer, net, asn)),
        1 => (0..2u16).prop_map(Step::Lost),
        4 => Just(Step::Sweep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Packets to all addresses after every change, through maps that are too small at first: each is counted once, for
    /// the longest prefix and the best source that there is then.
    #[test]
    fn every_packet_counts_as_a_naive_table_has_it(
        builtin in proptest::collection::vec(proptest::option::of(6..8u32), NETS.len()),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let table: Vec<(&str, Asn)> =
            NETS.into_iter().zip(&builtin).filter_map(|(net, asn)| Some((net, (*asn)?))).collect();
        let sizes = Sizes { classes: 10, v4_rows: 2, v6_rows: 1, v6_nodes: 1 };
        let (mut core, wire) = core(sizes, u64::MAX, &table);
        let mut peers: [BTreeMap<usize, Asn>; 2] = Default::default();
        let said = |peer: u16, event| Said { peer: PeerId(peer), event };
        let neighbor = PeerInfo { name: "neighbor".to_owned(), ..PeerInfo::default() };
        let introduced = [said(0, router()), said(1, Event::Peer(Arc::new(neighbor)))];
        core.heard.push_back(introduced.to_vec().into());
        let mut expected: BTreeMap<Asn, u64> = BTreeMap::new();
        let mut sent = 0;
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Route(peer, net, asn) => {
                    let route = asn.map_or_else(|| withdrawn(NETS[net]), |asn| route(prefix(NETS[net]), &[9, asn]));
                    core.heard.push_back(vec![said(peer, Event::Routes(vec![route]))].into());
                    match asn {
                        Some(asn) => peers[usize::from(peer)].insert(net, asn),
                        None => peers[usize::from(peer)].remove(&net),
                    };
                }
                Step::Lost(peer) => {
                    let lost = Lost { why: String::new(), stale_seconds: 0 };
                    core.heard.push_back(vec![said(peer, Event::Down(lost))].into());
                    peers[usize::from(peer)].clear();
                }
                Step::Sweep => core.sweep().unwrap(),
            }
            work(&mut core);
            prop_assert!(core.waiting.is_empty());
            let packets = 1 + number as u64;
            for address in ADDRESSES {
                wire.send(address, packets);
                sent += packets;
                let around = (0..NETS.len()).rev().filter(|&net| {
                    let Prefix::V4(net) = prefix(NETS[net]) else { return false };
                    net.contains(address.into())
                });
                let of = |net| peers[0].get(&net).or_else(|| peers[1].get(&net)).copied().or(builtin[net]);
                let asn = around.filter_map(of).next();
                *expected.entry(asn.unwrap_or(0)).or_default() += packets;
            }
        }
        core.sweep().unwrap();
        core.sweep().unwrap();
        prop_assert_eq!(frames(&core), sent);
        prop_assert!(core.view.status().closure_ok);
        for asn in 1..8 {
            prop_assert_eq!(out(&core, asn), expected.get(&asn).copied().unwrap_or(0), "AS {}", asn);
        }
    }
}

type Sweeping = Box<dyn FnMut(&mut Wire) -> Result<Sweep, DatapathError> + Send>;

/// A packet path with sweeps, and a way to free classes, that a test has thought of.
struct Staged {
    wire: Wire,
    sweep: Sweeping,
    reclaim: Box<dyn FnMut() + Send>,
}

impl Datapath for Staged {
    fn apply(&mut self, batch: &Batch) -> Result<Applied, DatapathError> {
        self.wire.apply(batch)
    }
    fn resize(&mut self, sizes: &Sizes) -> Result<(), DatapathError> {
        self.wire.resize(sizes)
    }
    fn sizes(&self) -> Sizes {
        self.wire.sizes()
    }
    fn reclaim(&mut self) -> Result<(), DatapathError> {
        (self.reclaim)();
        Ok(())
    }
    fn sweep(&mut self) -> Result<Sweep, DatapathError> {
        (self.sweep)(&mut self.wire)
    }
    fn attachments(&self) -> Vec<Attachment> {
        self.wire.attachments()
    }
    fn memory(&self) -> Memory {
        self.wire.memory()
    }
    fn detach(&mut self) -> Result<(), DatapathError> {
        self.wire.detach()
    }
}

#[test]
fn the_manager_hears_of_a_core_that_lives_and_nothing_of_one_that_hangs() {
    const SOON: Duration = Duration::from_secs(30);
    let (mut core, wire) = core(SIZES, u64::MAX, &[]);
    let (listener, notifier) = Listener::new(Some(Duration::from_millis(20)));
    core.manager = notifier;
    // Many signs of life before the first sweep.
    core.interval = Duration::from_secs(1);
    let (go_on, held) = mpsc::channel::<()>();
    let (tell, sweeping) = mpsc::channel();
    let sweep: Sweeping = Box::new(move |wire| {
        let _ = tell.send(());
        let _ = held.recv();
        wire.sweep()
    });
    core.datapath = Box::new(Staged { wire, sweep, reclaim: Box::new(|| {}) });
    let (messages, told) = mpsc::channel();
    let thread = std::thread::spawn(move || core.run(&told));
    for _ in 0..5 {
        assert_eq!(listener.next(SOON).as_deref(), Some("WATCHDOG=1"));
    }
    sweeping.recv_timeout(SOON).unwrap();
    while listener.next(Duration::from_millis(1)).is_some() {}
    // It hangs: ten times the period passes without a word.
    assert_eq!(listener.next(Duration::from_millis(200)), None);
    drop(go_on);
    while listener.next(SOON).expect("it goes on") != "WATCHDOG=1" {}
    messages.send(Message::Stop).unwrap();
    thread.join().unwrap().unwrap();
}
