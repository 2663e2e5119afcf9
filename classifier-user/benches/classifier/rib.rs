//! Changed routes: from a peer's UPDATEs to words of the FIB.

use std::{collections::HashSet, fs, sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use classifier_user::{
    datapath::{Datapath as _, Sizes, fake::Fake},
    fib::{
        classes::{Classes, Granularity},
        sizes::sizes_for,
    },
    ingest::{
        bgp::codec::{self, update::Decoder},
        live::{Attributes, Event, Lost, PeerId, Route},
    },
    model::{Asn, Family, Prefix},
    table::{
        live::{Difference, Live, SOURCE},
        rib::Rib,
    },
};

use crate::{
    bgp::{AGREED, Stream},
    keys::Random,
    measure::{median, seconds},
    report::{Cell, Goal, Section, Table, Target},
    world::World,
};

const ROUNDS: usize = 3;
/// Changes of the mix.
const CHANGES: usize = 1_000_000;
/// Bytes that a session reads at a time, at most: an event of the routes in them.
const READ: usize = 65_536;
/// Prefixes of an UPDATE, at most: with 17 bytes each they fit into 4096.
const UPDATE: usize = 200;
/// Changes that go into the FIB together: as the agent's slices.
const SLICE: usize = 131_072;

pub(crate) fn run() -> Result<Section> {
    let routes = routes(&World::builtin()?);
    let sizes = sizes_for(routes.iter().map(|(prefix, _)| *prefix));
    let mut table = Table::new(
        "changes",
        "UPDATEs of a peer in memory, by the codec, its table, the RIB and classes into the FIB (in memory)",
        &[
            ("what", "what"),
            ("changes", "changes"),
            ("cpu_s", "CPU s"),
            ("codec_ns", "codec, ns"),
            ("peer_ns", "its table, ns"),
            ("rib_ns", "RIB, ns"),
            ("classes_ns", "classes, ns"),
            ("fib_ns", "FIB, ns"),
            ("per_second", "changes/s"),
        ],
    );
    let mut samples: [Vec<Parts>; 4] = Default::default();
    let (mut prefixes, mut different) = (0, 0);
    for round in 0..ROUNDS {
        let mut path = Path::new(&sizes);
        let mut random = Random::new(11 + round as u64);
        let announced = path.take(&encode(full_table(&routes, &mut random)))?;
        (prefixes, different) = (path.live.counts().total(), path.live.attributes());
        let mixed = path.take(&encode(mix(&routes, &mut random)))?;
        let again = path.take(&encode(full_table(&routes, &mut random)))?;
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
        let part = |part: usize| median(samples.iter().map(|parts| parts[part]).collect());
        let taken = median(samples.iter().map(|parts| parts.iter().sum()).collect());
        rates.push(changes as f64 / taken);
        let cells = [Cell::text(name), Cell::Whole(changes as u64), Cell::Number(taken, 2)];
        let parts = (0..5).map(|place| Cell::Number(part(place) / changes as f64 * 1e9, 0));
        table.row(cells.into_iter().chain(parts).chain([Cell::Number(changes as f64 / taken, 0)]));
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
                what: "mix of changes, UPDATEs to FIB",
                value: rates[1],
                goal: Goal::AtLeast(500_000.0),
                unit: "changes/s",
            },
            Target {
                what: "full table, UPDATEs to FIB",
                value: rates[0],
                goal: Goal::AtLeast(500_000.0),
                unit: "changes/s",
            },
            Target {
                what: "session lost, withdrawn from the FIB",
                value: rates[3],
                goal: Goal::AtLeast(500_000.0),
                unit: "changes/s",
            },
        ],
        notes: Vec::new(),
    })
}

/// CPU seconds: the codec, the peer's table, the RIB, classes, the FIB.
type Parts = [f64; 5];

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

    /// Takes these UPDATEs, as many at a time as the agent's core does.
    fn take(&mut self, stream: &Stream) -> Result<Parts> {
        let mut parts = Parts::default();
        let mut decoder = Decoder::new(AGREED);
        let mut differences = Vec::new();
        let mut rest = stream.bytes.as_slice();
        let mut changes = 0;
        while !rest.is_empty() {
            let (taken, events) = seconds(|| slice(&mut decoder, &mut rest));
            let events = events?;
            parts[0] += taken;
            changes += events
                .iter()
                .map(|event| if let Event::Routes(routes) = event { routes.len() } else { 0 })
                .sum::<usize>();
            let (taken, ()) = seconds(|| {
                for event in events {
                    self.live.take(PEER, event, self.now, &mut differences);
                }
            });
            parts[1] += taken;
            self.apply(&mut differences, &mut parts)?;
        }
        anyhow::ensure!(changes == stream.changes, "a change is lost");
        Ok(parts)
    }

    /// Until nothing is left of the peer.
    fn lose(&mut self) -> Result<Parts> {
        let mut parts = Parts::default();
        let mut differences = Vec::new();
        let lost = Event::Down(Lost { why: String::new(), stale_seconds: 0 });
        parts[1] += seconds(|| self.live.take(PEER, lost, self.now, &mut differences)).0;
        while self.live.cleaning() {
            parts[1] += seconds(|| self.live.clean(SLICE, &mut differences)).0;
            self.apply(&mut differences, &mut parts)?;
        }
        anyhow::ensure!(self.live.counts().total() == 0, "routes are left");
        Ok(parts)
    }

    fn apply(&mut self, differences: &mut Vec<Difference>, parts: &mut Parts) -> Result<()> {
        let rib = &mut self.rib;
        let (taken, changes) = seconds(|| -> Vec<_> {
            // As the agent's slices.
            differences.sort_by_key(|difference| difference.prefix);
            differences
                .drain(..)
                .filter(|difference| difference.origins_changed)
                .filter_map(|difference| rib.update(SOURCE, difference.prefix, difference.origins))
                .map(|change| (change.prefix, change.origin))
                .collect()
        });
        parts[2] += taken;
        let (taken, batch) = seconds(|| self.classes.apply(changes));
        let batch = batch?;
        parts[3] += taken;
        let (taken, applied) = seconds(|| self.fib.apply(&batch));
        applied?;
        parts[4] += taken;
        // Classes come back with a sweep; here one follows at once.
        let released = self.fib.sweep()?.released;
        parts[3] += seconds(|| self.classes.release(&released)).0;
        Ok(())
    }
}

/// Events of about as many routes as the core takes at a time, each of what is read at a time.
fn slice(decoder: &mut Decoder, rest: &mut &[u8]) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut count = 0;
    while count < SLICE && !rest.is_empty() {
        let before = rest.len();
        let mut routes = Vec::new();
        while before - rest.len() < READ
            && let Some(message) = codec::message(rest, false)?
        {
            decoder.decode(message.body, &mut routes)?;
            *rest = rest.get(message.len..).context("a message")?;
        }
        count += routes.len();
        events.push(Event::Routes(routes));
    }
    Ok(events)
}

/// UPDATEs as a router sends them: routes next to each other with the same attributes in one message.
fn encode(routes: impl Iterator<Item = Route>) -> Stream {
    let mut stream = Stream::new();
    let mut prefixes = Vec::new();
    let mut routes = routes.peekable();
    while let Some(route) = routes.next() {
        prefixes.push(route.prefix);
        let goes_on = routes.peek().is_some_and(|next| {
            let same = match (&route.attributes, &next.attributes) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (None, None) => true,
                _ => false,
            };
            same && Family::of(&next.prefix) == Family::of(&route.prefix) && prefixes.len() < UPDATE
        });
        if !goes_on {
            stream.push(&prefixes, route.attributes.as_ref().map(|attributes| &*attributes.path));
            prefixes.clear();
        }
    }
    stream
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
    Attributes { path: path.into(), local_pref: Some(100), ..Attributes::default() }
}

/// Every route, those next to each other with the same path sharing their attributes as in an UPDATE.
fn full_table<'a>(
    routes: &'a [(Prefix, Asn)],
    random: &'a mut Random,
) -> impl Iterator<Item = Route> + use<'a> {
    let mut last: Option<(Asn, Arc<Attributes>)> = None;
    routes.iter().map(move |&(prefix, origin)| {
        let shared = match &last {
            Some((asn, shared)) if *asn == origin && random.below(4) > 0 => Arc::clone(shared),
            _ => Arc::new(attributes(random, origin)),
        };
        last = Some((origin, Arc::clone(&shared)));
        Route { prefix, path_id: 0, attributes: Some(shared) }
    })
}

/// Changes all over the table; what was withdrawn is announced again.
fn mix<'a>(routes: &'a [(Prefix, Asn)], random: &'a mut Random) -> impl Iterator<Item = Route> + use<'a> {
    let mut gone: Vec<usize> = Vec::new();
    let mut away: HashSet<usize> = HashSet::new();
    let change = move || {
        let kind = random.below(10);
        let again = if kind >= 8 { gone.pop() } else { None };
        let place = match again {
            Some(place) => {
                away.remove(&place);
                place
            }
            None => loop {
                let place = random.below(routes.len());
                if !away.contains(&place) {
                    break place;
                }
            },
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
        Route { prefix, path_id: 0, attributes: attributes.map(Arc::new) }
    };
    std::iter::repeat_with(change).take(CHANGES)
}

/// Bytes that a peer's table alone takes.
fn alone(routes: &[(Prefix, Asn)]) -> Result<f64> {
    let mut random = Random::new(5);
    let before = rss_anon()?;
    let mut live = Live::new(Instant::now());
    let mut differences = Vec::new();
    for some in routes.chunks(SLICE) {
        let event = Event::Routes(full_table(some, &mut random).collect());
        live.take(PEER, event, Instant::now(), &mut differences);
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
