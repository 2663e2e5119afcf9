//! AS paths: what it takes to keep the way to every prefix, and to credit a sweep to ways.

use std::{
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use classifier_user::{
    datapath::{HookSweep, LinkSweep, Sweep},
    ingest::live::Attributes,
    model::{Asn, Class, Counter, Link, LinkId, OwnerId, Owners as _, Role, Side},
    totals::{By, Limits, SharedOwners, TopQuery, Totals, View},
};

use crate::{
    keys::Random,
    measure::{median, seconds},
    report::{Cell, Goal, Section, Table, Target},
    rib,
    world::World,
};

const ROUNDS: usize = 9;
/// Prefixes with traffic in a sweep.
const ACTIVE: usize = 100_000;

pub(crate) fn run() -> Result<Section> {
    let world = World::builtin()?;
    let describe = world.describe();
    let classes = world.batch.deltas.len() as u32 + 2;
    let mut random = Random::new(23);
    let mut last: Option<(Asn, Arc<Attributes>)> = None;
    let mut routes: Vec<(OwnerId, Asn, Option<Arc<Attributes>>)> = Vec::new();
    for id in (2..classes).map(OwnerId) {
        let origin = world.classes.owner(id).asn().unwrap_or(0);
        let shared = match &last {
            Some((asn, shared)) if *asn == origin && random.below(4) > 0 => Arc::clone(shared),
            _ => Arc::new(rib::attributes(&mut random, origin)),
        };
        last = Some((origin, Arc::clone(&shared)));
        routes.push((id, origin, Some(shared)));
    }
    let owners: SharedOwners = Arc::new(RwLock::new(world.classes));
    let view = || {
        let links = vec![Link {
            name: "upstream".to_owned(),
            interface: "lo".to_owned(),
            vlan: None,
            role: Role::Upstream,
            kind: None,
        }];
        // As large as what is measured makes it: what is merged is measured elsewhere.
        let limits = Limits { memory_bytes: 1 << 30, ..Limits::default() };
        View::new(Totals::new(links, SystemTime::UNIX_EPOCH, limits), Arc::clone(&owners), SystemTime::now)
    };
    let active: Vec<Class> = (2..classes).filter(|_| random.below(classes as usize) < ACTIVE).collect();

    let (plain, known) = (view(), view());
    let before = rib::rss_anon()?;
    let (learning, ()) = seconds(|| routes.chunks(65_536).for_each(|some| known.learn(some)));
    let kept = rib::rss_anon()?.saturating_sub(before);
    let mut table = Table::new(
        "sweep",
        format!("A sweep of {} prefixes with traffic, into the totals", active.len()),
        &[("what", "what"), ("record_ms", "ms"), ("kept", "bytes kept of it")],
    );
    let mut times = Vec::new();
    for (name, view) in [("without paths", &plain), ("with a path to each", &known)] {
        let mut taken = Vec::new();
        for round in 0..=ROUNDS {
            let sweep = sweep(round as u64, &active);
            let (time, _) = seconds(|| view.record(&sweep));
            if round > 0 {
                taken.push(time * 1e3);
            }
        }
        let taken = median(taken);
        times.push(taken);
        let bytes = view.status().memory.sweep_bytes / (ROUNDS as u64 + 1);
        table.row([Cell::text(name), Cell::Number(taken, 2), Cell::Whole(bytes)]);
    }
    let top = known.top(&TopQuery { by: By::Neighbor, n: 100_000, ..TopQuery::default() })?;
    let (asked, transit) =
        seconds(|| known.top(&TopQuery { by: By::Transit, n: 100_000, ..TopQuery::default() }));
    let inward = top.directions.inward.as_ref();
    let packets: u64 = inward.map_or(0, |top| top.rows.iter().map(|row| row.packets).sum());
    ensure!(
        packets == (active.len() * (ROUNDS + 1) * 3) as u64,
        "every packet has a neighbour, and {packets} had"
    );
    let carriers = transit?.directions.inward.map_or(0, |top| top.rows.len());
    let mut ways = Table::new("ways", "Ways to every prefix", &[("what", "what"), ("value", "value")]);
    ways.row([Cell::text("different ways"), Cell::Whole(known.ways())]);
    ways.row([Cell::text("paths learnt a second"), Cell::Number(routes.len() as f64 / learning, 0)]);
    ways.row([Cell::text("MiB for them"), Cell::Number(kept as f64 / 1_048_576.0, 1)]);
    ways.row([Cell::text(format!("top by transit, {carriers} ASes, ms")), Cell::Number(asked * 1e3, 1)]);
    let added = times[1] - times[0];
    Ok(Section {
        about: format!("paths: ways of a full table; {describe}"),
        tables: vec![ways, table],
        targets: vec![
            Target {
                what: "more for a sweep of 100,000 prefixes",
                value: added,
                goal: Goal::AtMost(20.0),
                unit: "ms",
            },
            Target {
                what: "memory of the ways",
                value: kept as f64 / 1_048_576.0,
                goal: Goal::AtMost(30.0),
                unit: "MiB",
            },
        ],
        notes: Vec::new(),
    })
}

/// A sweep with so many prefixes on the Internet's side of what came in.
fn sweep(round: u64, active: &[Class]) -> Sweep {
    let counter = Counter { packets: 3, bytes: 3000 };
    let mut hook = HookSweep::default();
    hook.sides[Side::Source as usize] = Some(active.iter().map(|&class| (class, counter)).collect());
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_312_000 + 5 * round);
    let links = vec![LinkSweep { link: LinkId(0), hooks: [Some(hook), None] }];
    Sweep { at, took: Duration::ZERO, links, released: Vec::new() }
}
