//! Chaos: an agent that keeps counting, under traffic both ways, and everything that goes wrong on a router, in an order
//! that a seed decides. At the end all that was sent has arrived and was counted, AS by AS.
//!
//! Reading order: here (what is asked for, the verdict), [`world`] (the machines and the traffic), [`life`] (one
//! process of the agent), [`event`] (what happens), [`web`] and [`memory`] (what some of that needs).

mod event;
pub(crate) mod life;
mod memory;
mod web;
mod world;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
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

/// Frames a second that no machine reaches here.
const FULL_RATE: u32 = u32::MAX / 16;

/// For so long an agent that has started grows: it takes over what was counted, learns routes, and sees each prefix for the first
/// time. Where there is time, it is a fifth of all: at full rate all of the table is seen in a minute.
const YOUTH: Duration = Duration::from_secs(20);

#[derive(Args)]
pub(crate) struct Options {
    /// How long; everything happens once at least
    #[arg(long, value_name = "N", default_value_t = 5)]
    minutes: u64,
    /// What decides the order, and all that is left to chance [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Frames a second, both directions together [default: as many as the machine can]
    #[arg(long, value_name = "PPS", value_parser = clap::value_parser!(u32).range(2..))]
    rate: Option<u32>,
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
        Self { minutes: 0, seed: None, rate: Some(20_000), only: Vec::new(), dev: true }
    }

    /// What does the same again.
    fn again(&self, seed: u64) -> String {
        let mut command = format!("cargo xtask chaos --minutes {} --seed {seed}", self.minutes);
        if let Some(rate) = self.rate {
            command.push_str(&format!(" --rate {rate}"));
        }
        if !self.only.is_empty() {
            let names: Vec<_> = self.only.iter().map(Event::to_string).collect();
            command.push_str(&format!(" --only {}", names.join(",")));
        }
        command.push_str(if self.dev { " --dev" } else { "" });
        command
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
    play(options, program, faketime, seed)
        .with_context(|| format!("seed {seed}: `{}` does the same again", options.again(seed)))
}

fn play(options: &Options, program: PathBuf, faketime: PathBuf, seed: u64) -> Result<()> {
    let table = routes::parse(&process::read(
        std::process::Command::new(&program)
            .args(["table", "export", "--table", "builtin", "--format", "csv"]),
    )?)?;
    let ases = table.ases()?;
    let mut world = World::new(program, faketime, &table, &ases, seed, options.rate.unwrap_or(FULL_RATE))?;
    let mut course = Course {
        since: Instant::now(),
        interrupted: sys::catch_interrupts(),
        random: Random(seed),
        happened: 0,
    };
    let chosen = |event: &Event| options.only.is_empty() || options.only.contains(event);
    let events: Vec<Event> = Event::ALL.into_iter().filter(chosen).collect();
    let survived: Vec<Event> = events.iter().copied().filter(|event| event.is_survived()).collect();
    let time = Duration::from_secs(options.minutes * 60);
    let mut sizes = Vec::new();
    world.traffic(|world| {
        course.rounds(world, &events, time / 2)?;
        // From here on it is one process, which must not grow.
        if survived.is_empty() {
            return Ok(());
        }
        let grown = course.since.elapsed() + YOUTH.max(time / 5);
        course.rounds(world, &survived, grown)?;
        let first = world.life()?.check()?;
        sizes.push(first);
        course.rounds(world, &survived, time)?;
        // What is on its way out goes.
        let last = world.life()?.until_fits(&first)?;
        sizes.push(last);
        Ok(())
    })?;
    let (sent, counted) = world.settle()?;
    let mut wrong = compare::differences(&sent, &counted);
    wrong.extend(world.gaps()?);
    wrong.extend(world.generations()?);
    let seconds = course.since.elapsed().as_secs();
    wrong.extend(world.end(&sent)?);
    for line in wrong.iter().take(40) {
        eprintln!("{line}");
    }
    let total = sent.iter().flat_map(|sent| sent.values().copied()).sum();
    let ases = sent.iter().flat_map(|sent| sent.keys()).collect::<std::collections::BTreeSet<_>>().len();
    println!("{} events in {seconds} s, seed {seed}", course.happened);
    if let Some(not_tried) = world.not_tried {
        println!("not tried: {not_tried}");
    }
    if let [first, last] = sizes.as_slice() {
        println!("one agent through many of them: {first}; at the end {last}");
    }
    println!("{}", compare::verdict(total, counted.total(), ases, wrong.is_empty()));
    if !wrong.is_empty() {
        let log = process::root().join("target/chaos-agent.log");
        std::fs::copy(world.path("agent.log"), &log)?;
        bail!("{} things are not as promised; what the agent said is in {}", wrong.len(), log.display());
    }
    Ok(())
}

/// How far it has come.
struct Course<'a> {
    since: Instant,
    interrupted: &'a AtomicBool,
    random: Random,
    happened: usize,
}

impl Course<'_> {
    /// Lets all of them happen, once and then until so long after the beginning, if nobody wants it to end.
    fn rounds(&mut self, world: &mut World<'_>, events: &[Event], until: Duration) -> Result<()> {
        self.round(world, events)?;
        while !self.interrupted.load(Ordering::Relaxed) && self.since.elapsed() < until {
            self.round(world, events)?;
        }
        Ok(())
    }

    /// Lets each of them happen, in an order of this round's own.
    fn round(&mut self, world: &mut World<'_>, events: &[Event]) -> Result<()> {
        let mut left = events.to_vec();
        while !left.is_empty() && !self.interrupted.load(Ordering::Relaxed) {
            let event = left.swap_remove(self.random.below(left.len() as u64) as usize);
            eprintln!("chaos: {:>4} s  {event}", self.since.elapsed().as_secs());
            self.happened += 1;
            event
                .happen(world, &mut self.random)
                .with_context(|| format!("{event}, number {}", self.happened))?;
            world.flap()?;
            let sizes = world.life()?.check()?;
            eprintln!("chaos:         {sizes}");
        }
        Ok(())
    }
}
