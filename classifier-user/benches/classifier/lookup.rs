//! The FIB against the kernel's own longest-prefix match, with the same prefixes and the same keys.

use anyhow::{Result, ensure};
use classifier_user::datapath::kernel::Kernel;

use crate::{
    keys::{self, Choice},
    measure::{Contender, in_turns, on_one_cpu, thread_cpu},
    report::{Cell, Goal, Section, Table, Target},
    world::{KEYS4, KEYS6, LOOPBACK, World, link},
};

/// Lookups in one run of a program.
const BATCH: u32 = 16;
const ROUNDS: usize = 9;

const COLUMNS: &[(&str, &str)] = &[
    ("family", "family"),
    ("keys", "keys"),
    ("fib_ns", "FIB, ns"),
    ("lpm_trie_ns", "LPM_TRIE, ns"),
    ("ratio", "ratio"),
];

/// Programs of one family.
struct Programs {
    nothing: &'static str,
    fib: &'static str,
    trie: &'static str,
}

const V4: Programs = Programs { nothing: "lookup4_nothing", fib: "lookup4_fib", trie: "lookup4_trie" };
const V6: Programs = Programs { nothing: "lookup6_nothing", fib: "lookup6_fib", trie: "lookup6_trie" };

pub(crate) fn run() -> Result<Section> {
    on_one_cpu(measure)
}

fn measure() -> Result<Section> {
    let world = World::builtin()?;
    let mut table = Table::new("lookup", "CPU a lookup, net of the empty program", COLUMNS);
    let mut over_prefixes = [f64::NAN; 2];

    // One family after the other: what the other one's table leaves of the caches is no business of this one.
    let mut kernel = world.kernel(&[link(LOOPBACK, 3)], &[V4.nothing, V4.fib, V4.trie], false)?;
    world.fill_trie4(&mut kernel)?;
    for choice in Choice::ALL {
        let keys = keys::v4(choice, KEYS4, &world.v4, kernel.fib());
        kernel.harness_write("KEYS4", &keys::lines(&keys))?;
        let [fib, trie] = compare(&mut kernel, &V4, KEYS4 as u32 / BATCH)?;
        if choice == Choice::Prefixes {
            over_prefixes[0] = trie / fib;
        }
        table.row(row("IPv4", choice, fib, trie));
    }
    drop(kernel);

    let mut kernel = world.kernel(&[link(LOOPBACK, 3)], &[V6.nothing, V6.fib, V6.trie], false)?;
    world.fill_trie6(&mut kernel)?;
    for choice in Choice::ALL {
        let keys = keys::v6(choice, KEYS6, &world.v6, kernel.fib());
        kernel.harness_write("KEYS6", &keys::lines(keys.as_flattened()))?;
        let [fib, trie] = compare(&mut kernel, &V6, KEYS6 as u32 / BATCH)?;
        if choice == Choice::Prefixes {
            over_prefixes[1] = trie / fib;
        }
        table.row(row("IPv6", choice, fib, trie));
    }

    let [v4, v6] = over_prefixes;
    let target =
        |what, value, goal| Target { what, value, goal: Goal::AtLeast(goal), unit: "times LPM_TRIE" };
    Ok(Section {
        about: format!(
            "lookup: {}; {BATCH} lookups a run, keys from a map, both give the same class for every key",
            world.describe()
        ),
        tables: vec![table],
        targets: vec![
            target("IPv4, uniform over prefixes", v4, 40.0),
            target("IPv6, uniform over prefixes", v6, 12.0),
        ],
        notes: Vec::new(),
    })
}

fn row(family: &str, choice: Choice, fib: f64, trie: f64) -> [Cell; 5] {
    [
        Cell::text(family),
        Cell::text(choice.name()),
        Cell::Number(fib, 1),
        Cell::Number(trie, 1),
        Cell::Ratio(trie / fib),
    ]
}

/// Nanoseconds a lookup of FIB and trie. `runs` go once through all keys.
fn compare(kernel: &mut Kernel, programs: &Programs, runs: u32) -> Result<[f64; 2]> {
    let frame = [0u8; 64];
    // First whether they are the same lookups: the programs keep the exclusive or of all classes.
    let mut sums = Vec::new();
    for program in [programs.fib, programs.trie] {
        kernel.harness_write("STATE", &[[0u32; 2]])?;
        kernel.harness_runner(program)?.run(&frame, runs)?;
        sums.push(kernel.harness_read::<[u32; 2]>("STATE", 0)?);
    }
    ensure!(sums[0] == sums[1], "FIB and LPM_TRIE disagree: {sums:?}");

    // The trie takes so long that a part of the keys must do, another part each time.
    let [nothing, fib, trie] = [(programs.nothing, runs), (programs.fib, runs), (programs.trie, runs / 8)];
    let contender = |kernel: &mut Kernel, (program, runs): (&str, u32)| -> Result<Contender<'static>> {
        let runner = kernel.harness_runner(program)?;
        Ok(Box::new(move || {
            let began = thread_cpu();
            runner.run(&frame, runs)?;
            Ok((thread_cpu() - began).as_secs_f64() * 1e9 / f64::from(runs * BATCH))
        }))
    };
    let contenders = [contender(kernel, nothing)?, contender(kernel, fib)?, contender(kernel, trie)?];
    let [nothing, fib, trie] = in_turns(ROUNDS, contenders)?;
    Ok([fib - nothing, trie - nothing])
}
