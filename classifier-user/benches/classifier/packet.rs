//! The whole program on one frame, against what one would write first.

use anyhow::{Result, ensure};
use classifier_common::{abi::Side, counter::Outcome};
use classifier_user::datapath::{Datapath as _, kernel::Kernel};

use crate::{
    keys::{self, Choice},
    measure::{Contender, in_turns, on_one_cpu, thread_cpu},
    report::{Cell, Goal, Section, Table, Target},
    send,
    world::{KEYS4, KEYS6, LOOPBACK, World, link},
};

const ROUNDS: usize = 11;
/// Frames of a turn: all pairs of keys, so that routes and counters are in the caches as far as they fit.
const RUNS: u32 = KEYS4 as u32 / 2;

const COLUMNS: &[(&str, &str)] = &[
    ("program", "program"),
    ("keys", "keys"),
    ("ns", "ns a frame"),
    ("naive_by_this", "naive takes"),
    ("mpps", "Mpps a core"),
];

pub(crate) fn run() -> Result<Section> {
    on_one_cpu(measure)
}

fn measure() -> Result<Section> {
    let world = World::builtin()?;
    let mut table = Table::new("packet", "CPU a frame, net of the empty program", COLUMNS);
    let mut zipf = f64::NAN;
    let v4 = ["packet_nothing", "packet_ours", "packet_naive"];
    let v6 = ["packet6_nothing", "packet6_ours"];
    let mut both = world.kernel(&[link(LOOPBACK, 3)], &[&v4[..], &v6[..]].concat(), true)?;
    world.fill_trie4(&mut both)?;
    let mut one = world.kernel(&[link(LOOPBACK, Side::Source.bit())], &["packet_ours"], false)?;
    let (frame4, frame6) = (send::ipv4_frame(LOOPBACK), send::ipv6_frame());

    for choice in [Choice::Zipf, Choice::Prefixes, Choice::Hot] {
        let keys = keys::lines(&keys::v4(choice, KEYS4, &world.v4, both.fib()));
        both.harness_write("KEYS4", &keys)?;
        one.harness_write("KEYS4", &keys)?;
        counts_all(&mut both, "packet_ours", &frame4, Outcome::Ipv4)?;
        let [nothing, ours, naive] = v4;
        let [nothing, ours, naive, one] = in_turns(
            ROUNDS,
            [
                contender(&mut both, nothing, frame4, RUNS)?,
                contender(&mut both, ours, frame4, RUNS)?,
                contender(&mut both, naive, frame4, RUNS / 8)?,
                contender(&mut one, ours, frame4, RUNS)?,
            ],
        )?;
        let naive = naive - nothing;
        for (name, ns) in [
            ("ours, both sides", ours - nothing),
            ("ours, one side", one - nothing),
            ("naive, both sides", naive),
        ] {
            table.row(row(name, choice, ns, Some(naive / ns)));
        }
        if choice == Choice::Zipf {
            zipf = naive / (ours - nothing);
        }
    }
    for choice in [Choice::Zipf, Choice::Prefixes] {
        let keys = keys::v6(choice, KEYS6, &world.v6, both.fib());
        both.harness_write("KEYS6", &keys::lines(keys.as_flattened()))?;
        counts_all(&mut both, "packet6_ours", &frame6, Outcome::Ipv6)?;
        let [nothing, ours] = v6;
        let [nothing, ours] = in_turns(
            ROUNDS,
            [contender(&mut both, nothing, frame6, RUNS)?, contender(&mut both, ours, frame6, RUNS)?],
        )?;
        table.row(row("ours, both sides, IPv6", choice, ours - nothing, None));
    }
    Ok(Section {
        about: format!(
            "packet: the XDP program on frames of 64 bytes with other addresses each time; {}; naive is an LPM_TRIE \
             lookup and a PERCPU_ARRAY counter a side, without VLANs, links, outcomes and IPv6",
            world.describe()
        ),
        tables: vec![table],
        targets: vec![Target {
            what: "whole program, Zipf",
            value: zipf,
            goal: Goal::AtLeast(15.0),
            unit: "times cheaper than naive",
        }],
        notes: Vec::new(),
    })
}

fn row(name: &str, choice: Choice, ns: f64, naive: Option<f64>) -> [Cell; 5] {
    [
        Cell::text(name),
        Cell::text(choice.name()),
        Cell::Number(ns, 1),
        naive.map_or(Cell::None, Cell::Ratio),
        Cell::Number(1000.0 / ns, 1),
    ]
}

fn contender<const N: usize>(
    kernel: &mut Kernel,
    program: &str,
    frame: [u8; N],
    runs: u32,
) -> Result<Contender<'static>> {
    let runner = kernel.harness_runner(program)?;
    Ok(Box::new(move || {
        // What the others have left in the caches goes first.
        runner.run(&frame, runs)?;
        let began = thread_cpu();
        runner.run(&frame, runs)?;
        Ok((thread_cpu() - began).as_secs_f64() * 1e9 / f64::from(runs))
    }))
}

/// That the program counts every frame on both sides: what is measured is the whole work.
fn counts_all(kernel: &mut Kernel, program: &str, frame: &[u8], outcome: Outcome) -> Result<()> {
    let before = kernel.sweep()?;
    kernel.harness_runner(program)?.run(frame, RUNS)?;
    let after = kernel.sweep()?;
    let outcomes = |sweep: &classifier_user::datapath::Sweep| {
        sweep.links[0].hooks[0].as_ref().map_or(0, |hook| hook.outcomes[outcome as usize].packets)
    };
    ensure!(outcomes(&after) - outcomes(&before) == u64::from(RUNS), "{program} has not counted every frame");
    let sides = after.links[0].hooks[0].iter().flat_map(|hook| &hook.sides).flatten();
    for side in sides {
        let packets: u64 = side.iter().map(|(_, counter)| counter.packets).sum();
        ensure!(packets == u64::from(RUNS), "{program} has counted {packets} of {RUNS} on a side");
    }
    Ok(())
}
