//! Exact numbers by neighbour and by transit, whatever becomes of paths.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    answer::{Granularity, TopDirection},
    query::QueryError,
    testing::*,
    *,
};
use crate::model::Owner;

/// A table with one upstream link, whose classes are owners, and what is learnt of them.
struct World {
    totals: Totals,
    table: Table,
    kernel: Kernel,
    now: u64,
}

impl World {
    fn new() -> Self {
        let totals = Totals::new(links(), at(0), Limits::default()).with_own_ases(&[64_500]);
        Self { totals, table: Table::new(), kernel: Kernel::new(3), now: 0 }
    }

    fn learn(&mut self, class: Class, path: Option<&[Asn]>) {
        let route = path.map(|path| Attributes { path: path.into(), ..Attributes::default() });
        let asn = self.table.owner(OwnerId(class)).asn().unwrap();
        self.totals.learn([(OwnerId(class), asn, route.as_ref())]);
    }

    /// These bytes come in on a link, in packets of 100, and a sweep sees them.
    fn receive(&mut self, link: usize, traffic: &[(Class, u64)]) -> SweepDelta {
        let ip =
            traffic.iter().map(|&(class, bytes)| (class, CUSTOMER, counter(bytes / 100, bytes))).collect();
        self.kernel.count(&self.table, link, Hook::Rx, &Frames { ip, ..Frames::default() });
        self.now += 5;
        self.totals.record(&self.kernel.sweep(self.now), &self.table)
    }

    fn view(self) -> View {
        let view = View::new(self.totals, Arc::new(RwLock::new(self.table)), || at(100_000));
        view.set_tables(Arc::new(names()), Arc::new(groups()));
        view
    }
}

fn inward(view: &View, by: By, seconds: u64, n: usize) -> TopDirection {
    let when = When::Last(Duration::from_secs(seconds));
    let query = TopQuery { by, when, direction: Some(Direction::In), n, ..TopQuery::default() };
    view.top(&query).unwrap().directions.inward.unwrap()
}

fn rows(direction: &TopDirection) -> Vec<(Asn, u64)> {
    direction.rows.iter().map(|row| (row.asn.unwrap(), row.bytes)).collect()
}

/// All since the start, and as far as memory goes.
const PERIODS: [u64; 2] = [100_000, 10];

#[test]
fn neighbors_and_transit_by_the_paths_of_the_moment() {
    let mut world = World::new();
    world.learn(NETFLIX, Some(&[3356, 3356, 2906]));
    world.learn(NETFLIX_V6, Some(&[2906]));
    world.learn(GOOGLE, Some(&[64_500, 3356, 1299, 15_169]));
    world.learn(CUSTOMER, Some(&[64_500]));
    let traffic = [(NETFLIX, 1000), (NETFLIX_V6, 200), (GOOGLE, 5000), (APPLE, 300), (UNROUTED, 70), (0, 30)];
    world.receive(0, &traffic);
    // Another path from now on; what was counted before stays where it is.
    world.learn(NETFLIX, Some(&[1299, 3356, 2906]));
    world.learn(GOOGLE, None);
    world.receive(0, &traffic);
    let view = world.view();
    for seconds in PERIODS {
        let top = inward(&view, By::Neighbor, seconds, 20);
        assert_eq!(rows(&top), [(3356, 6000), (1299, 1000), (2906, 400)], "{seconds}");
        assert_eq!(top.no_path.as_ref().unwrap().bytes, 5000 + 600);
        assert_eq!((top.other.bytes, top.unmatched.bytes, top.total.bytes), (0, 200, 13_200));
        assert_eq!(top.rows[0].packets, 60);
        let first = inward(&view, By::Neighbor, seconds, 1);
        assert_eq!((rows(&first), first.other.bytes), (vec![(3356, 6000)], 1400));
        let transit = inward(&view, By::Transit, seconds, 20);
        let expected = [(15_169, 10_000), (3356, 7000), (1299, 6000), (2906, 2400), (714, 600)];
        assert_eq!(rows(&transit), expected, "{seconds}");
        assert_eq!((transit.other.bytes, transit.unmatched.bytes), (0, 200));
        assert_eq!(transit.no_path.unwrap().bytes, 5600);
    }
    let first = |seconds| inward(&view, By::Neighbor, seconds, 1).rows[0].clone();
    assert_eq!((first(5).asn, first(5).bytes, first(5).name), (Some(1299), 1000, None));
    assert_eq!(first(5).share, top::ratio(1000.0 / 6600.0));
}

#[test]
fn what_a_sweep_adds_by_number_and_family() {
    let mut world = World::new();
    world.learn(NETFLIX, Some(&[3356, 2906]));
    world.learn(NETFLIX_V6, Some(&[1299, 3356, 2906]));
    world.learn(GOOGLE, Some(&[3356, 15_169]));
    let delta = world.receive(1, &[(NETFLIX, 1000), (NETFLIX_V6, 200), (GOOGLE, 500), (APPLE, 300)]);
    let list = |packed: &Packed| packed.iter().map(|(asn, sum)| (asn, sum.bytes)).collect::<Vec<_>>();
    let hook = &delta.hooks[hook_place(1, Hook::Rx)];
    assert_eq!(hook.neighbors.each_ref().map(list), [vec![(3356, 1500)], vec![(1299, 200)]]);
    assert_eq!(hook.through.each_ref().map(list), [vec![(3356, 1500)], vec![(1299, 200), (3356, 200)]]);
    let mut sum = delta.clone();
    sum.absorb(&delta);
    let hook = &sum.hooks[hook_place(1, Hook::Rx)];
    assert_eq!(hook.through.each_ref().map(list), [vec![(3356, 3000)], vec![(1299, 400), (3356, 400)]]);
    assert!(delta.hooks[hook_place(0, Hook::Rx)].neighbors.iter().all(|packed| list(packed).is_empty()));
}

#[test]
fn paths_are_of_the_remote_side_and_of_prefixes() {
    let world = World::new();
    let view = world.view();
    let ask = |by, side| view.top(&TopQuery { by, side, ..TopQuery::default() }).unwrap_err();
    assert_eq!(
        ask(By::Neighbor, Locality::Local).to_string(),
        r#"side: "local" is not possible; expected remote by neighbor and by transit: paths are those to the Internet's addresses"#
    );
    view.set_status(StatusInputs { granularity: Granularity::As, ..status() });
    assert_eq!(ask(By::Transit, Locality::Remote), QueryError::NoPaths);
    assert_eq!(ask(By::Neighbor, Locality::Remote).code(), "not_counted");
}

/// A way of each owner: a neighbour of few, carriers of few; none for one in five.
fn ways() -> impl Strategy<Value = Vec<Vec<Asn>>> {
    proptest::collection::vec(proptest::collection::vec(100_u32..106, 0..5), 1..4)
}

proptest! {
    /// By neighbour everything is once in the answer, by transit every AS of a path once; over any period, whatever the
    /// budget makes of the memory and however paths change.
    #[test]
    fn sums_are_those_of_each_sweep_by_its_paths(
        sweeps in proptest::collection::vec(
            (proptest::collection::btree_map(2_u32..9, 1_u64..90, 0..7), proptest::collection::btree_map(2_u32..9, ways(), 0..4)),
            1..40),
        memory_bytes in 1000_usize..20_000,
        last in 1_u64..250,
    ) {
        let mut world = World::new();
        world.totals.memory = Memory::new(memory_bytes);
        let mut paths: BTreeMap<Class, Vec<Asn>> = BTreeMap::new();
        let mut past = Vec::new();
        for (traffic, changes) in sweeps {
            for (class, all) in changes {
                // Only the last one counts.
                for way in all {
                    let asn = world.table.owner(OwnerId(class)).asn().unwrap();
                    let path: Vec<Asn> = way.iter().copied().chain([asn]).collect();
                    world.learn(class, (way.len() != 1).then_some(&path));
                    paths.remove(&class);
                    if way.len() != 1 {
                        paths.insert(class, path);
                    }
                }
            }
            let (mut neighbors, mut transit) = (BTreeMap::<Asn, u64>::new(), BTreeMap::<Asn, u64>::new());
            let (mut all, mut unmatched) = (0, 0);
            for (&class, &packets) in &traffic {
                all += packets;
                let Owner::Route { asn, .. } = world.table.owner(OwnerId(class)) else { unreachable!() };
                if asn == 0 {
                    unmatched += packets;
                    continue;
                }
                let mut path: Vec<Asn> = paths.get(&class).cloned().unwrap_or_default();
                path.drain(..path.iter().take_while(|&&asn| asn == 64_500).count());
                *neighbors.entry(path.first().copied().unwrap_or(0)).or_default() += packets;
                path.push(asn);
                path.sort_unstable();
                path.dedup();
                path.into_iter().for_each(|asn| *transit.entry(asn).or_default() += packets);
            }
            past.push((world.now, neighbors, transit, all, unmatched));
            let traffic: Vec<_> = traffic.into_iter().map(|(class, packets)| (class, packets * 100)).collect();
            world.receive(0, &traffic);
        }
        let view = world.view();
        for by in [By::Neighbor, By::Transit] {
            let when = When::Last(Duration::from_secs(last));
            let query = TopQuery { by, when, direction: Some(Direction::In), n: 100, ..TopQuery::default() };
            let answer = view.top(&query).unwrap();
            let mut sums = BTreeMap::<Asn, u64>::new();
            let (mut all, mut no_path, mut unmatched) = (0, 0, 0);
            for (begin, neighbors, transit, total, without) in &past {
                if view::timestamp(at(*begin)) >= answer.from {
                    let of = if by == By::Neighbor { neighbors } else { transit };
                    of.iter().for_each(|(&asn, &packets)| *sums.entry(asn).or_default() += packets);
                    no_path += neighbors.get(&0).copied().unwrap_or(0);
                    all += total;
                    unmatched += without;
                }
            }
            sums.remove(&0);
            let top = answer.directions.inward.unwrap();
            let rows: BTreeMap<Asn, u64> = top.rows.iter().map(|row| (row.asn.unwrap(), row.packets)).collect();
            prop_assert_eq!(rows, sums);
            let parts = [top.no_path.unwrap().packets, top.other.packets, top.unmatched.packets, top.total.packets];
            prop_assert_eq!(parts, [no_path, 0, unmatched, all]);
        }
    }
}
