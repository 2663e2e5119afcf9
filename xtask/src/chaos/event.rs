//! What happens to the agent, each ending with an agent that counts and answers.

use std::{fmt, fs, io::Write as _, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;

use super::{
    memory::Cgroup,
    web,
    world::{EXTRA_HEAD, Seen, World, status},
};
use crate::{
    demo::{agent::PORT, api::Client, lab, random::Random, routes::Route},
    sys::Signal,
};

/// Prefixes that a reloaded table has more, in pairs.
const RELOADED: u64 = 2_000;
/// How far clocks jump, in seconds: an hour back, a minute, two days.
const JUMPS: [i64; 5] = [-3_600, -61, 67, 4_000, 172_800];
/// Clients that are too slow, and those of a storm with the times that each asks.
const SLOW: usize = 1_000;
const STORM: (usize, usize) = (64, 6);

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Kill,
    KillCounting,
    KillAtStart,
    Restart,
    Upgrade,
    Reload,
    BrokenTable,
    FullDisk,
    Routes,
    SessionReset,
    Interface,
    InterfaceAndKill,
    InterfaceUnseen,
    Clock,
    OutOfMemory,
    SlowClients,
    Scrapes,
}

impl Event {
    pub(super) const ALL: [Self; 17] = [
        Self::Kill,
        Self::KillCounting,
        Self::KillAtStart,
        Self::Restart,
        Self::Upgrade,
        Self::Reload,
        Self::BrokenTable,
        Self::FullDisk,
        Self::Routes,
        Self::SessionReset,
        Self::Interface,
        Self::InterfaceAndKill,
        Self::InterfaceUnseen,
        Self::Clock,
        Self::OutOfMemory,
        Self::SlowClients,
        Self::Scrapes,
    ];

    /// Whether the agent lives through it.
    pub(super) const fn is_survived(self) -> bool {
        match self {
            Self::Kill
            | Self::KillCounting
            | Self::KillAtStart
            | Self::Restart
            | Self::Upgrade
            | Self::InterfaceAndKill
            | Self::InterfaceUnseen
            | Self::OutOfMemory => false,
            Self::Reload
            | Self::BrokenTable
            | Self::FullDisk
            | Self::Routes
            | Self::SessionReset
            | Self::Interface
            | Self::Clock
            | Self::SlowClients
            | Self::Scrapes => true,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillCounting => "kill-counting",
            Self::KillAtStart => "kill-at-start",
            Self::Restart => "restart",
            Self::Upgrade => "upgrade",
            Self::Reload => "reload",
            Self::BrokenTable => "broken-table",
            Self::FullDisk => "full-disk",
            Self::Routes => "routes",
            Self::SessionReset => "session-reset",
            Self::Interface => "interface",
            Self::InterfaceAndKill => "interface-and-kill",
            Self::InterfaceUnseen => "interface-unseen",
            Self::Clock => "clock",
            Self::OutOfMemory => "out-of-memory",
            Self::SlowClients => "slow-clients",
            Self::Scrapes => "scrapes",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An event by its name.
pub(super) fn parse(name: &str) -> Result<Event, String> {
    let names = || Event::ALL.map(Event::name).join(", ");
    Event::ALL
        .into_iter()
        .find(|event| event.name() == name)
        .ok_or_else(|| format!("expected one of {}", names()))
}

impl Event {
    /// Lets it happen, and waits until all is as it should be afterwards.
    pub(super) fn happen(self, world: &mut World<'_>, random: &mut Random) -> Result<()> {
        let mut pause = |most: u64| std::thread::sleep(Duration::from_millis(random.below(most)));
        match self {
            Self::Kill => {
                world.stop(Signal::Kill)?;
                pause(1_500);
                world.start()
            }
            Self::KillCounting => {
                world.lose_counting()?;
                pause(1_500);
                world.start()
            }
            Self::KillAtStart => {
                world.stop(Signal::Kill)?;
                for _ in 0..3 {
                    world.begin()?;
                    pause(3_000);
                    world.stop(Signal::Kill)?;
                }
                world.start()
            }
            Self::Restart => {
                world.stop(Signal::Terminate)?;
                pause(1_500);
                world.start()
            }
            Self::Upgrade => {
                world.stop(if random.below(2) == 0 { Signal::Terminate } else { Signal::Kill })?;
                world.upgrade();
                world.start()
            }
            Self::Reload => reload(world, random),
            Self::BrokenTable => broken_table(world),
            Self::FullDisk => full_disk(world),
            Self::Routes => {
                world.full_table()?;
                for _ in 0..8 {
                    world.bird.toggle(random.next() >> 1)?;
                    std::thread::sleep(Duration::from_millis(random.below(300)));
                }
                Ok(())
            }
            Self::SessionReset => {
                world.full_table()?;
                let losses = |client: &Client| -> Result<Option<u64>> {
                    Ok(status(client)?["sessions"][0]["losses"].as_u64())
                };
                let before = losses(&world.client)?;
                world.bird.reset()?;
                world.until("the end of the session", |client| Ok(losses(client)? > before))?;
                world.full_table()
            }
            Self::Interface => replace_link(world, random, Seen::One),
            Self::InterfaceAndKill => replace_link(world, random, Seen::Two),
            Self::InterfaceUnseen => replace_link(world, random, Seen::Nobody),
            Self::Clock => clock(world, random),
            Self::OutOfMemory => out_of_memory(world),
            Self::SlowClients => slow_clients(world),
            Self::Scrapes => scrapes(world),
        }
    }
}

fn replace_link(world: &mut World<'_>, random: &mut Random, seen: Seen) -> Result<()> {
    world.replace_link(seen, Duration::from_millis(random.below(1_000)))
}

/// A table with other prefixes, each of which has the AS that its addresses had before.
fn reload(world: &mut World<'_>, random: &mut Random) -> Result<()> {
    let mut text = EXTRA_HEAD.to_owned();
    let routes = &world.table.routes;
    for _ in 0..RELOADED {
        // What lies in another one's range would take its addresses: only halves of the same AS, in a prefix that
        // nothing else is in.
        let place = random.below(routes.len() as u64 - 2) as usize + 1;
        let (route, next, before) = (&routes[place], &routes[place + 1], &routes[place - 1]);
        let alone = |other: &Route| {
            other.family != route.family || other.last < route.first || other.first > route.last
        };
        if alone(next) && alone(before) && route.asn != 0 {
            text.extend(route.halves().iter().map(|half| format!("{},{},\n", half.prefix(), half.asn)));
        }
    }
    put(world, &text)?;
    let after = world.life()?.said().len();
    world.life()?.signal(Signal::Hangup)?;
    world.until_said(after, "extra.csv: ")
}

fn broken_table(world: &mut World<'_>) -> Result<()> {
    let file = world.path("extra.csv");
    let before = fs::read_to_string(&file)?;
    let after = world.life()?.said().len();
    put(world, "prefix,asn,name\n198.51.100.0/24,none of this\n\0\0\0")?;
    world.life()?.signal(Signal::Hangup)?;
    world.until_said(after, "the table stays as it was")?;
    let after = world.life()?.said().len();
    put(world, &before)?;
    world.life()?.signal(Signal::Hangup)?;
    world.until_said(after, "extra.csv: ")
}

/// Writes the second table, in one piece.
fn put(world: &World<'_>, text: &str) -> Result<()> {
    let next = world.path("extra.next");
    fs::write(&next, text)?;
    Ok(fs::rename(next, world.path("extra.csv"))?)
}

fn full_disk(world: &mut World<'_>) -> Result<()> {
    let state = |client: &Client| -> Result<String> {
        Ok(status(client)?["history"]["state"].as_str().unwrap_or_default().to_owned())
    };
    let ballast = world.path("disk").join("ballast");
    let mut file = fs::File::create(&ballast)?;
    let block = vec![7; 1 << 20];
    loop {
        match file.write_all(&block) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
            Err(error) => return Err(error).context("could not fill the disk"),
        }
    }
    let full = world.until("a word that the disk is full", |client| Ok(state(client)? != "ok"));
    drop(file);
    fs::remove_file(ballast)?;
    full?;
    world.until("a history that goes on", |client| Ok(state(client)? == "ok"))
}

/// The agent's clock jumps, and it answers in the new time.
fn clock(world: &mut World<'_>, random: &mut Random) -> Result<()> {
    let ahead = JUMPS[random.below(JUMPS.len() as u64) as usize];
    world.clock(ahead)?;
    let near = |client: &Client| -> Result<bool> {
        let answer: serde_json::Value = client.get("links")?;
        let to: Timestamp = answer["to"].as_str().context("no time")?.parse()?;
        Ok((to.as_second() - Timestamp::now().as_second() - ahead).abs() < 30)
    };
    world.until("the new time", near)?;
    // Some sweeps in it.
    std::thread::sleep(Duration::from_secs(2));
    Ok(())
}

/// The process that speaks HTTP has no memory any more: the kernel kills it.
fn out_of_memory(world: &mut World<'_>) -> Result<()> {
    let Some(cgroup) = Cgroup::new()? else {
        world.not_tried = Some("out-of-memory: there is no memory cgroup here, and it was killed instead");
        world.stop(Signal::Kill)?;
        return world.start();
    };
    let id = world.life()?.id();
    cgroup.take(id)?;
    // It has to take memory for that: for answers that nobody takes off it.
    let router = std::sync::Arc::clone(&world.router);
    let dead = lab::in_namespace(&router, || {
        let mut waiting = Vec::new();
        for _ in 0..400 {
            waiting.extend(web::ask(PORT, "/api/v1/top?by=as&n=100000"));
            if world.life()?.ended()? {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Ok(false)
    })?;
    if !dead {
        // A cgroup that has processes stays.
        world.stop(Signal::Kill)?;
        bail!("the kernel does not kill a process without memory");
    }
    world.gone();
    drop(cgroup);
    world.start()
}

/// While they are there the agent answers others, again and again.
fn slow_clients(world: &mut World<'_>) -> Result<()> {
    let router = std::sync::Arc::clone(&world.router);
    lab::in_namespace(&router, || {
        let clients = web::slow_clients(SLOW, PORT);
        ensure!(clients.len() == SLOW, "only {} of {SLOW} clients could connect", clients.len());
        for number in 0..20 {
            let (status, _) = web::get(PORT, "/healthz")
                .with_context(|| format!("question {number} while {SLOW} clients are slow"))?;
            ensure!(status == 200, "status {status} while {SLOW} clients are slow");
        }
        Ok(())
    })
}

/// Each is answered, if only that there are too many; and each client has its metrics in the end.
fn scrapes(world: &mut World<'_>) -> Result<()> {
    let (clients, times) = STORM;
    let [well, refused, none] = web::storm(&world.router, clients, times, PORT)?;
    ensure!(none == 0, "{well} scrapes were answered, {refused} refused, {none} lost");
    world.until("an answer after the storm", |client| Ok(client.is_healthy()))
}

#[cfg(test)]
mod tests {
    use super::{Event, parse};

    #[test]
    fn events_have_names() {
        for event in Event::ALL {
            assert_eq!(parse(&event.to_string()), Ok(event));
        }
        assert!(parse("nothing").is_err());
    }
}
