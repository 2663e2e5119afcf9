//! The agent's memory and the kernel's.

use std::{
    net::IpAddr,
    sync::mpsc::RecvTimeoutError,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{
    agent::Agent,
    keys::Random,
    lab::{self, Peer},
    report::{Cell, Goal, Section, Table, Target},
    send::{self, Socket},
    world::World,
};

/// How long traffic to all prefixes goes on: more than the window over the last hour takes to be full.
const TRAFFIC: Duration = Duration::from_secs(60);
const MIB: f64 = 1048576.0;

pub(crate) fn run() -> Result<Section> {
    lab::in_namespace(measure)
}

/// A frame for every prefix as destination and, in another order, as source.
fn frames(world: &World) -> Vec<Vec<u8>> {
    let v4: Vec<IpAddr> = world.v4.iter().map(|prefix| prefix.network_address().into()).collect();
    let v6: Vec<IpAddr> = world.v6.iter().map(|prefix| prefix.network_address().into()).collect();
    let mut random = Random::new(7);
    let mut frames = Vec::with_capacity(v4.len() + v6.len());
    for addresses in [v4, v6] {
        let sources = random.shuffled(addresses.len());
        frames.extend(addresses.iter().zip(sources).map(|(&to, from)| send::frame(addresses[from], to)));
    }
    frames
}

fn measure() -> Result<Section> {
    let world = World::builtin()?;
    let describe = world.describe();
    let (received, sent) = (frames(&world), frames(&world));
    let classes = world.sizes.classes;
    drop(world);
    let peer = Peer::new();
    lab::veth(&peer, "r0", "i0", 1500);
    let mut agent = Agent::start("r0")?;
    agent.wait_for("listening on")?;
    agent.ignore_log();

    let mut table = Table::new(
        "process",
        "The agent's process, MiB",
        &[
            ("when", "when"),
            ("rss_anon", "RssAnon"),
            ("sweep_memory", "of it: the last hour"),
            ("rss_file", "RssFile"),
            ("sweeps", "sweeps"),
        ],
    );
    let mut row = |agent: &Agent, when: &str| -> Result<f64> {
        let anonymous = agent.memory("RssAnon")? as f64 / MIB;
        let status = agent.status()?;
        table.row([
            Cell::text(when),
            Cell::Number(anonymous, 1),
            Cell::Number(status["memory"]["sweep_bytes"].as_f64().unwrap_or(f64::NAN) / MIB, 1),
            Cell::Number(agent.memory("RssFile")? as f64 / MIB, 1),
            Cell::Whole(status["sweeps"]["count"].as_u64().unwrap_or(0)),
        ]);
        Ok(anonymous)
    };
    thread::sleep(Duration::from_secs(11));
    let idle = row(&agent, "after two sweeps, no traffic")?;

    // Both ways, again and again: every sweep finds every prefix on both sides of both hooks.
    let began = Instant::now();
    let theirs = peer.start(move || -> std::io::Result<u32> {
        let socket = Socket::open(lab::ifindex("i0"))?;
        let mut rounds = 0;
        while began.elapsed() < TRAFFIC {
            socket.send(&received)?;
            rounds += 1;
        }
        Ok(rounds)
    });
    let ours = thread::scope(|scope| -> Result<f64> {
        // A thread of this namespace, as this one is.
        let sender = scope.spawn(move || -> std::io::Result<()> {
            let socket = Socket::open(lab::ifindex("r0"))?;
            while began.elapsed() < TRAFFIC {
                socket.send(&sent)?;
            }
            Ok(())
        });
        let mut peak = 0f64;
        loop {
            peak = peak.max(agent.memory("RssAnon")? as f64 / MIB);
            match theirs.recv_timeout(Duration::from_millis(200)) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the peer's sender is gone"),
                Ok(rounds) => {
                    rounds?;
                    break;
                }
            }
        }
        sender.join().ok().context("the sender is gone")??;
        Ok(peak)
    })?;
    let busy = row(&agent, "after a minute of traffic to every prefix, both ways")?;
    let peak = ours.max(busy).max(idle);

    let status = agent.status()?;
    let bytes = |name: &str| status["memory"][name].as_f64().unwrap_or(f64::NAN) / MIB;
    let slices = classifier_user::datapath::kernel::cpu_slices()?;
    let layout = classifier_common::abi::BankLayout { slices, classes, sides: 2 };
    let per_cpu = f64::from(layout.stride()) * 16.0 * 4.0 / MIB;
    let mut kernel =
        Table::new("kernel", "The kernel's maps, MiB", &[("what", "what"), ("mebibytes", "MiB")]);
    kernel.row([Cell::text("FIB"), Cell::Number(bytes("fib_bytes"), 1)]);
    kernel.row([
        Cell::text(format!("counters of one link, {slices} CPUs and a spare slice")),
        Cell::Number(bytes("bank_bytes"), 1),
    ]);
    kernel.row([Cell::text("of it: a CPU (2 hooks x 2 sides)"), Cell::Number(per_cpu, 1)]);
    let target = |what, value, goal| Target { what, value, goal: Goal::AtMost(goal), unit: "MiB" };
    Ok(Section {
        about: format!("memory: `classifier run` on one link; {describe}, {classes} classes"),
        tables: vec![table, kernel],
        targets: vec![
            target("RssAnon without traffic", idle, 150.0),
            target("RssAnon with traffic to every prefix, highest", peak, 150.0),
            target("FIB", bytes("fib_bytes"), 160.0),
        ],
        notes: Vec::new(),
    })
}
