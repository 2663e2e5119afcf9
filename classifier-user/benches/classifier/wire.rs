//! Packets a second through a veth pair.

use std::{sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use classifier_user::datapath::kernel::Runner;

use crate::{
    keys::{self, Choice},
    lab::{self, Peer},
    measure::median,
    report::{Cell, Section, Table},
    send,
    world::{KEYS4, World, link},
};

const ROUNDS: usize = 9;
/// Frames of a turn: about a tenth of a second.
const FRAMES: u32 = 1 << 17;

const COLUMNS: &[(&str, &str)] = &[
    ("program", "program on the receiving end"),
    ("mpps", "Mpps"),
    ("ns", "ns a packet"),
    ("more_ns", "more than none, ns"),
    ("share", "of the rate with none"),
];

pub(crate) fn run() -> Result<Section> {
    lab::in_namespace(measure)
}

fn measure() -> Result<Section> {
    let world = World::builtin()?;
    let peer = Peer::new();
    lab::veth(&peer, "r0", "i0", 1500);
    // NAPI with and without a program, so that the path behind it is the same one.
    lab::run("ethtool -K r0 gro on");
    let sender = peer.run(|| lab::ifindex("i0"));
    let programs = ["wire_send", "wire_nothing", "wire_naive"];
    let mut kernel = world.kernel(&[link(lab::ifindex("r0"), 3)], &programs, true)?;
    world.fill_trie4(&mut kernel)?;
    let keys = keys::v4(Choice::Zipf, KEYS4, &world.v4, kernel.fib());
    kernel.harness_write("KEYS4", &keys::lines(&keys))?;
    let runner = Arc::new(kernel.harness_runner("wire_send")?);

    let contenders = [
        ("none", None),
        ("empty", Some("wire_nothing")),
        ("ours, both sides", Some("classifier_xdp")),
        ("naive, both sides", Some("wire_naive")),
    ];
    let mut samples = contenders.map(|_| Vec::new());
    for round in 0..=ROUNDS {
        for ((_, program), samples) in contenders.iter().zip(&mut samples) {
            let attached = program.map(|program| kernel.attach_xdp(program, "r0")).transpose()?;
            let nanoseconds = turn(&peer, &runner, sender)?;
            drop(attached);
            if round > 0 {
                samples.push(nanoseconds);
            }
        }
    }
    let times = samples.map(median);
    let mut table = Table::new("wire", "", COLUMNS);
    for ((name, _), ns) in contenders.iter().zip(times) {
        table.row([
            Cell::text(*name),
            Cell::Number(1000.0 / ns, 3),
            Cell::Number(ns, 0),
            Cell::Number((ns - times[0]).max(0.0), 0),
            Cell::Number(times[0] / ns, 3),
        ]);
    }
    Ok(Section {
        about: format!(
            "wire: frames of 64 bytes through a veth pair, one core sends, receives and drops them (they are for \
             another MAC address); {}, Zipf",
            world.describe()
        ),
        tables: vec![table],
        ..Section::default()
    })
}

/// Nanoseconds a frame that was received.
fn turn(peer: &Peer, runner: &Arc<Runner>, sender: u32) -> Result<f64> {
    let before = lab::statistic("r0", "rx_packets");
    let runner = Arc::clone(runner);
    let taken = peer.run(move || {
        let began = Instant::now();
        runner.send(&send::ipv4_frame(sender), FRAMES).map(|()| began.elapsed())
    });
    let taken = taken.context("sending live frames (kernel 5.18)")?;
    let received = lab::statistic("r0", "rx_packets") - before;
    anyhow::ensure!(received > 0, "no frame came through");
    Ok(taken.as_secs_f64() * 1e9 / received as f64)
}
