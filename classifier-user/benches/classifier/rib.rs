//! Changed routes: from what peers say to words of the FIB.

use std::{collections::HashSet, fs, sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use classifier_user::{
    datapath::{Datapath as _, Sizes, fake::Fake},
    fib::{
        classes::{Classes, Granularity},
        sizes::sizes_for,
    },
    ingest::live::{Attributes, Event, Lost, PeerId, Route},
    model::{Asn, Prefix},
    table::{
        live::{Difference, Live, SOURCE},
        rib::Rib,
    },
};

use crate::{
    keys::Random,
    measure::{median, seconds},
    report::{Cell, Goal, Section, Table, Target},
    world::World,
};

const ROUNDS: usize = 3;
/// Changes of the mix.
const CHANGES: usize = 1_000_000;
/// Routes of an event, as a session that reads several UPDATEs at a time gives them.
const EVENT: usize = 64;
/// Changes that go into the FIB together: as the agent's slices.
const SLICE: usize = 16_384;

pub(crate) fn run() -> Result<Section> {
    let routes = routes(&World::builtin()?);
    let sizes = sizes_for(routes.iter().map(|(prefix, _)| *prefix));
    let mut table = Table::new(
        "changes",
        "Routes of a peer, through its table, the RIB, classes and the FIB (in memory)",
        &[("what", "what"), ("changes", "changes"), ("cpu_s", "CPU s"), ("per_second", "changes/s")],
    );
    let mut samples: [Vec<f64>; 4] = Default::default();
    let (mut prefixes, mut different) = (0, 0);
    for round in 0..ROUNDS {
        let mut path = Path::new(&sizes);
        let mut random = Random::new(11 + round as u64);
        let full = full_table(&routes, &mut random);
        let mix = mix(&routes, &mut random);
        let announced = path.take(full)?;
        (prefixes, different) = (path.live.counts().total(), path.live.attributes());
        let mixed = path.take(mix)?;
        let again = path.take(full_table(&routes, &mut random))?;
        let lost = path.lose()?;
        for (samples, sample) in samples.iter_mut().zip([announced, mixed, again, lost]) {
            samples.push(sample);
        }
    }
    let all = routes.len();
    let names = [
        ("full table, announced for the first time", all),
        ("mix: 40 % other paths, 20 % other origins, 20 % withdrawn, 20 % announced again", CHANGES),
        ("full table, announced again with other paths", all),
        ("session lost: all withdrawn", all),
    ];
    let mut rates = Vec::new();
    for ((name, changes), samples) in names.into_iter().zip(samples) {
        let taken = median(samples);
        rates.push(changes as f64 / taken);
        table.row([
            Cell::text(name),
            Cell::Whole(changes as u64),
            Cell::Number(taken, 2),
            Cell::Number(changes as f64 / taken, 0),
        ]);
    }
    let alone = alone(&routes)?;
    let mut shares =
        Table::new("memory", "A full table of one peer", &[("what", "what"), ("bytes", "bytes a route")]);
    shares.row([Cell::text("its routes and attributes"), Cell::Number(alone / all as f64, 0)]);
    Ok(Section {
        about: format!("rib: changed routes; {prefixes} prefixes, {different} different attributes"),
        tables: vec![table, shares],
        targets: vec![
            Target {
                what: "mix of changes",
                value: rates[1],
                goal: Goal::AtLeast(500_000.0),
                unit: "changes/s",
            },
            Target { what: "full table", value: rates[0], goal: Goal::AtLeast(500_000.0), unit: "changes/s" },
            Target {
                what: "session lost",
                value: rates[3],
                goal: Goal::AtLeast(500_000.0),
                unit: "changes/s",
            },
        ],
        notes: Vec::new(),
    })
}

/// From what a peer says to the FIB.
struct Path {
    live: Live,
    rib: Rib,
    classes: Classes,
    fib: Fake,
    now: Instant,
}

const PEER: PeerId = PeerId(0);

impl Path {
    fn new(sizes: &Sizes) -> Self {
        let now = Instant::now();
        Self {
            live: Live::new(now),
            rib: Rib::new(),
            classes: Classes::new(Granularity::Prefix, sizes.classes),
            fib: Fake::new(sizes, &[[3, 3]]),
            now,
        }
    }

    /// CPU seconds for these events.
    fn take(&mut self, events: Vec<Event>) -> Result<f64> {
        let (taken, done) = seconds(|| -> Result<()> {
            let mut differences = Vec::new();
            let mut events = events.into_iter().peekable();
            while events.peek().is_some() {
                for event in events.by_ref().take(SLICE / EVENT) {
                    self.live.take(PEER, event, self.now, &mut differences);
                }
                self.apply(&mut differences)?;
            }
            Ok(())
        });
        done.map(|()| taken)
    }

    /// CPU seconds until nothing is left of the peer.
    fn lose(&mut self) -> Result<f64> {
        let (taken, done) = seconds(|| -> Result<()> {
            let mut differences = Vec::new();
            let lost = Event::Down(Lost { why: String::new(), stale_seconds: 0 });
            self.live.take(PEER, lost, self.now, &mut differences);
            while self.live.cleaning() {
                self.live.clean(SLICE, &mut differences);
                self.apply(&mut differences)?;
            }
            Ok(())
        });
        anyhow::ensure!(self.live.counts().total() == 0, "routes are left");
        done.map(|()| taken)
    }

    fn apply(&mut self, differences: &mut Vec<Difference>) -> Result<()> {
        let rib = &mut self.rib;
        let changes: Vec<_> = differences
            .drain(..)
            .filter(|difference| difference.origins_changed)
            .filter_map(|difference| rib.update(SOURCE, difference.prefix, difference.origins))
            .map(|change| (change.prefix, change.origin))
            .collect();
        let batch = self.classes.apply(changes)?;
        self.fib.apply(&batch)?;
        // Classes come back with a sweep; here one follows at once.
        let released = self.fib.sweep()?.released;
        self.classes.release(&released);
        Ok(())
    }
}

/// Prefixes and their origins, as a router would send them: those of one AS together.
fn routes(world: &World) -> Vec<(Prefix, Asn)> {
    let mut routes: Vec<_> = world.tables.rib.iter().map(|route| (route.prefix, route.asn)).collect();
    routes.sort_unstable_by_key(|&(prefix, asn)| (asn, prefix));
    routes
}

/// Paths of two to six ASes by way of twenty neighbours; an origin has some few, as in a real table.
pub(crate) fn attributes(random: &mut Random, origin: Asn) -> Attributes {
    let way = random.below(3) as Asn + origin.wrapping_mul(7);
    let mut path = vec![64_512 + way % 20, 3000 + way % 500];
    path.extend((0..way % 4).map(|step| 10_000 + (way / 500).wrapping_mul(31).wrapping_add(step) % 8000));
    path.push(origin);
    Attributes { path: path.into(), med: Some(way % 5), local_pref: Some(100), ..Attributes::default() }
}

fn events(routes: Vec<Route>) -> Vec<Event> {
    let mut routes = routes.into_iter().peekable();
    let mut events = Vec::new();
    while routes.peek().is_some() {
        events.push(Event::Routes(routes.by_ref().take(EVENT).collect()));
    }
    events
}

/// Every route, those next to each other with the same path sharing their attributes as in an UPDATE.
fn full_table(routes: &[(Prefix, Asn)], random: &mut Random) -> Vec<Event> {
    let mut last: Option<(Asn, Arc<Attributes>)> = None;
    let mut all = Vec::with_capacity(routes.len());
    for &(prefix, origin) in routes {
        let shared = match &last {
            Some((asn, shared)) if *asn == origin && random.below(4) > 0 => Arc::clone(shared),
            _ => Arc::new(attributes(random, origin)),
        };
        last = Some((origin, Arc::clone(&shared)));
        all.push(Route { prefix, path_id: 0, attributes: Some(shared) });
    }
    events(all)
}

/// Changes all over the table; what was withdrawn is announced again.
fn mix(routes: &[(Prefix, Asn)], random: &mut Random) -> Vec<Event> {
    let mut gone: Vec<usize> = Vec::new();
    let mut away: HashSet<usize> = HashSet::new();
    let mut all = Vec::with_capacity(CHANGES);
    while all.len() < CHANGES {
        let kind = random.below(10);
        let place = match (kind, gone.pop()) {
            (8.., Some(place)) => {
                away.remove(&place);
                place
            }
            (_, popped) => {
                gone.extend(popped);
                let place = random.below(routes.len());
                if away.contains(&place) {
                    continue;
                }
                place
            }
        };
        let (prefix, origin) = routes[place];
        let attributes = match kind {
            0..4 | 8.. => Some(attributes(random, origin)),
            4..6 => {
                let other = origin + 1 + random.below(3) as Asn;
                Some(attributes(random, other))
            }
            _ => {
                gone.push(place);
                away.insert(place);
                None
            }
        };
        all.push(Route { prefix, path_id: 0, attributes: attributes.map(Arc::new) });
    }
    events(all)
}

/// Bytes that a peer's table alone takes.
fn alone(routes: &[(Prefix, Asn)]) -> Result<f64> {
    let mut random = Random::new(5);
    let before = rss_anon()?;
    let mut live = Live::new(Instant::now());
    let mut differences = Vec::new();
    for some in routes.chunks(SLICE) {
        for event in full_table(some, &mut random) {
            live.take(PEER, event, Instant::now(), &mut differences);
        }
        differences.clear();
    }
    drop(differences);
    let taken = rss_anon()?.saturating_sub(before) as f64;
    anyhow::ensure!(live.counts().total() == routes.len(), "routes are missing");
    Ok(taken)
}

/// Anonymous memory of this process.
pub(crate) fn rss_anon() -> Result<u64> {
    // What was freed before must not hide what is taken now.
    // SAFETY: it takes no memory of ours, and gives free pages back.
    unsafe { libc::malloc_trim(0) };
    let status = fs::read_to_string("/proc/self/status")?;
    let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("RssAnon")?;
    Ok(kib.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}
