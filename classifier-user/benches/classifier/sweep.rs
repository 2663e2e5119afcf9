//! Reading all counters of a link, and taking them into the totals.

use std::{
    sync::{Arc, RwLock},
    time::SystemTime,
};

use anyhow::{Result, ensure};
use classifier_user::{
    datapath::Datapath as _,
    model::{Class, Counter, Hook, Link, Role, Side},
    totals::{Limits, SharedOwners, Totals, View},
};

use crate::{
    keys::{Random, Zipf},
    measure::{median, seconds},
    report::{Cell, Goal, Section, Table, Target},
    world::{LOOPBACK, World, link},
};

const ROUNDS: usize = 9;
/// Prefixes with traffic when little changed, on each CPU, hook and side.
const FEW: usize = 1000;
/// The default `--interval`, in milliseconds.
const INTERVAL: f64 = 5000.0;

const COLUMNS: &[(&str, &str)] = &[
    ("changed", "since the sweep before"),
    ("classes", "classes read"),
    ("sweep_ms", "sweep, ms"),
    ("record_ms", "into the totals, ms"),
    ("share", "of a core at 5 s"),
];

pub(crate) fn run() -> Result<Section> {
    let world = World::builtin()?;
    let describe = world.describe();
    let mut kernel = world.kernel(&[link(LOOPBACK, 3)], &[], false)?;
    let classes = world.batch.deltas.len() as u32 + 2;
    let slices = kernel.slices();
    let owners: SharedOwners = Arc::new(RwLock::new(world.classes));
    let links = vec![Link {
        name: "upstream".to_owned(),
        interface: "lo".to_owned(),
        vlan: None,
        role: Role::Upstream,
        kind: None,
    }];
    let view = View::new(
        Totals::new(links, SystemTime::now(), Limits::default()),
        Arc::clone(&owners),
        SystemTime::now,
    );

    let mut random = Random::new(5);
    let zipf = Zipf::new(classes as usize, &mut random);
    let few = || (0..FEW).map(|_| zipf.draw(&mut random) as Class).collect::<Vec<_>>();
    let few: Vec<Vec<Class>> = std::iter::repeat_with(few).take(ROUNDS + 1).collect();
    let tenth: Vec<Class> = (0..classes).filter(|_| random.below(10) == 0).collect();
    let all: Vec<Class> = (0..classes).collect();
    let few_name = format!("{FEW} packets, Zipf over prefixes, a CPU, hook and side");
    type Changed<'a> = Box<dyn Fn(usize) -> &'a [Class] + 'a>;
    let cases: [(&str, Changed<'_>); 4] = [
        ("all of it changed", Box::new(|_| &all)),
        ("a tenth, at random", Box::new(|_| &tenth)),
        (&few_name, Box::new(|round| &few[round])),
        ("nothing changed", Box::new(|_| &[])),
    ];
    let mut table = Table::new(
        "sweep",
        format!("CPU a sweep of one link: 2 hooks x 2 sides x {slices} CPUs x {classes} classes"),
        COLUMNS,
    );
    let counter = Counter { packets: 3, bytes: 3000 };
    let mut times = Vec::new();
    for (name, changed) in cases {
        let (mut sweeps, mut records, mut read) = (Vec::new(), Vec::new(), 0);
        for round in 0..=ROUNDS {
            let changed = changed(round);
            for hook in Hook::ALL {
                for side in Side::ALL {
                    for slice in 0..slices {
                        kernel.harness_count(hook, side, slice, changed.iter().copied(), counter);
                    }
                }
            }
            let (swept, sweep) = seconds(|| kernel.sweep());
            let sweep = sweep?;
            let banks = || sweep.links.iter().flat_map(|link| link.hooks.iter().flatten());
            let banks = || banks().flat_map(|hook| hook.sides.iter().flatten());
            read = banks().map(Vec::len).sum::<usize>();
            let packets: u64 = banks().flatten().map(|(_, counter)| counter.packets).sum();
            let expected = changed.len() as u64 * u64::from(slices) * 4 * counter.packets;
            ensure!(packets == expected, "the sweep has {packets} packets of {expected}");
            let (recorded, _) = seconds(|| view.record(&sweep));
            if round > 0 {
                sweeps.push(swept * 1e3);
                records.push(recorded * 1e3);
            }
        }
        let (sweep, record) = (median(sweeps), median(records));
        times.push(sweep);
        table.row([
            Cell::text(name),
            Cell::Whole(read as u64),
            Cell::Number(sweep, 2),
            Cell::Number(record, 2),
            Cell::text(format!("{:.2} %", (sweep + record) / INTERVAL * 100.0)),
        ]);
    }
    let target = |what, value, goal| Target { what, value, goal: Goal::AtMost(goal), unit: "ms" };
    Ok(Section {
        about: format!("sweep: reading and summing every counter of a link; {describe}"),
        tables: vec![table],
        targets: vec![
            target("sweep when little changed", times[2], 15.0),
            target("sweep when all changed", times[0], 60.0),
        ],
        notes: Vec::new(),
    })
}
