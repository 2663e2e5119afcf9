//! Chaos: an agent that keeps counting, under traffic both ways, and everything that goes wrong on a router, in an order
//! that a seed decides. At the end all that was sent has arrived and was counted, AS by AS.
//!
//! Reading order: here (what is asked for, the verdict), [`world`] (the machines and the traffic), [`life`] (one
//! process of the agent), [`event`] (what happens), [`web`] and [`memory`] (what some of that needs).

mod event;
mod life;
mod memory;
mod web;
mod world;

use std::{
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::{event::Event, world::World};
use crate::{
    demo::{self, compare, random::Random, routes},
    process, setup,
    sys::{self, private_mounts},
};

#[derive(Args)]
pub(crate) struct Options {
    /// How long; everything happens once at least
    #[arg(long, value_name = "N", default_value_t = 5)]
    minutes: u64,
    /// What decides the order, and all that is left to chance [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Frames a second, both directions together
    #[arg(long, value_name = "PPS", default_value_t = 40_000, value_parser = clap::value_parser!(u32).range(2..))]
    rate: u32,
    /// Only these, by their names
    #[arg(long, value_name = "EVENT", value_delimiter = ',', value_parser = event::parse)]
    only: Vec<Event>,
    /// The program as the tests have it, which is built faster
    #[arg(long)]
    pub(crate) dev: bool,
}

impl Options {
    /// Everything once: what continuous integration has time for.
    pub(crate) const fn short() -> Self {
        Self { minutes: 0, seed: None, rate: 20_000, only: Vec::new(), dev: true }
    }
}

/// Runs it. Whatever goes wrong, the seed is said.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !sys::is_root() {
        bail!(
            "chaos makes network namespaces and loads programs into the kernel: run `sudo -E cargo xtask chaos`"
        );
    }
    setup::run()?;
    let faketime = setup::faketime()?;
    let program = demo::build(if options.dev { demo::Profile::Dev } else { demo::Profile::Release })?;
    // Before there is another thread: what is mounted from here on goes with us, however we end.
    private_mounts().context("could not make mounts of our own")?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seed = options.seed.unwrap_or(now.as_nanos() as u64 % 1_000_000);
    eprintln!("chaos: seed {seed}");
    play(options, program, faketime, seed).with_context(|| {
        format!(
            "seed {seed}: `cargo xtask chaos --minutes {} --seed {seed}` does the same again",
            options.minutes
        )
    })
}

fn play(options: &Options, program: PathBuf, faketime: PathBuf, seed: u64) -> Result<()> {
    let table = routes::parse(&process::read(
        std::process::Command::new(&program)
            .args(["table", "export", "--table", "builtin", "--format", "csv"]),
    )?)?;
    let ases = table.ases()?;
    let interrupted = sys::catch_interrupts();
    let mut random = Random(seed);
    let events: Vec<Event> = if options.only.is_empty() { Event::ALL.to_vec() } else { options.only.clone() };
    let mut world = World::new(program, faketime, &table, &ases, seed, options.rate)?;
    let first = world.life()?.sizes()?;
    let mut last = first;
    let since = Instant::now();
    let ends = Duration::from_secs(options.minutes * 60);
    let mut happened = Vec::new();
    let mut left: Vec<Event> = Vec::new();
    world.traffic(|world| {
        loop {
            if left.is_empty() {
                if !happened.is_empty() && since.elapsed() >= ends {
                    return Ok(());
                }
                left.clone_from(&events);
            }
            if interrupted.load(Ordering::Relaxed)
                || (happened.len() >= events.len() && since.elapsed() >= ends)
            {
                return Ok(());
            }
            let event = left.swap_remove(random.below(left.len() as u64) as usize);
            eprintln!("chaos: {:>4} s  {event}", since.elapsed().as_secs());
            happened.push(event);
            event
                .happen(world, &mut random)
                .with_context(|| format!("{event}, number {}", happened.len()))?;
            world.flap()?;
            last = world.life()?.check()?;
        }
    })?;
    let (sent, counted) = world.settle()?;
    let mut wrong = compare::differences(&sent, &counted);
    wrong.extend(world.gaps()?);
    wrong.extend(world.generations()?);
    wrong.extend(last.against(&first));
    let seconds = since.elapsed().as_secs();
    wrong.extend(world.end(&sent, &happened)?);
    for line in wrong.iter().take(40) {
        eprintln!("{line}");
    }
    let total = sent.iter().flat_map(|sent| sent.values().copied()).sum();
    let ases = sent.iter().flat_map(|sent| sent.keys()).collect::<std::collections::BTreeSet<_>>().len();
    println!(
        "{} events in {seconds} s, seed {seed}; {first} after the first start, {last} at the end\n{}",
        happened.len(),
        compare::verdict(total, counted.total(), ases, wrong.is_empty())
    );
    if !wrong.is_empty() {
        bail!("{} things are not as promised", wrong.len());
    }
    Ok(())
}
