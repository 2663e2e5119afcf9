//! The demo: an ISP's router and the Internet, two network namespaces with a link between them; the real agent on the
//! router's end; real frames both ways from a generator that keeps an exact tally; and at the end the agent's counts
//! against that tally, AS by AS.

pub(crate) mod agent;
pub(crate) mod api;
pub(crate) mod compare;
pub(crate) mod frame;
pub(crate) mod generator;
mod history;
pub(crate) mod internet;
pub(crate) mod lab;
pub(crate) mod mix;
pub(crate) mod random;
pub(crate) mod routes;
mod view;

use std::{
    fs,
    io::{Write as _, stdout},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use serde::Serialize;
use tempfile::TempDir;

use self::{
    agent::{Agent, Routes},
    api::Client,
    compare::Counted,
    generator::{Count, Generator, Sent},
    history::History,
    internet::{Changes, Internet},
    lab::{CountersFile, INTERNET_INTERFACE, Lab, ROUTER_INTERFACE},
    mix::Mix,
    random::Random,
    routes::{As, Table},
    view::View,
};
use crate::{
    process, setup,
    sys::{self, PacketSocket},
};

#[derive(Args)]
pub(crate) struct Options {
    /// Ends after so long [default: at Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Begins without a past; else a month is invented, that the page may show
    #[arg(long)]
    no_history: bool,
    /// The agent has its routes from a BGP session: a BIRD with the built-in table, which changes it under traffic
    #[arg(long)]
    bgp: bool,
    /// Prints the result as JSON on standard output
    #[arg(long)]
    json: bool,
    /// Frames a second, both directions together
    #[arg(long, value_name = "PPS", default_value_t = 40_000, value_parser = clap::value_parser!(u32).range(2..))]
    rate: u32,
}

/// What the agent's memory tells exactly; longer ago it asks the history, which has slots of five minutes.
const MEMORY: Duration = Duration::from_secs(3590);
/// How long the last frames may take until they are swept up.
const PATIENCE: Duration = Duration::from_secs(10);

/// As the ISP sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

impl Direction {
    pub(crate) const ALL: [Self; 2] = [Self::In, Self::Out];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// The result as JSON.
#[derive(Serialize)]
struct Report {
    sent: Count,
    counted: Count,
    equal: bool,
    ases: usize,
    top: Vec<TopRow>,
    /// What the session changed meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Changes>,
    differences: Vec<String>,
}

#[derive(Serialize)]
struct TopRow {
    asn: u32,
    name: String,
    packets: u64,
    bytes: u64,
    #[serde(rename = "in")]
    inward: Count,
    #[serde(rename = "out")]
    outward: Count,
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !sys::is_root() {
        bail!(
            "the demo makes network namespaces and loads programs into the kernel: run `sudo -E cargo xtask demo`"
        );
    }
    setup::run()?;
    let program = build(Profile::Release)?;
    let table = routes::parse(&process::read(
        Command::new(&program).args(["table", "export", "--table", "builtin", "--format", "csv"]),
    )?)?;
    let ases = table.ases()?;
    let interrupted = sys::catch_interrupts();
    let view = Arc::new(View::new());
    let played = play(options, &program, &table, &ases, &view, interrupted)?;
    let report = report(&ases, &played);
    for line in report.differences.iter().take(20) {
        eprintln!("{line}");
    }
    if report.differences.len() > 20 {
        eprintln!("… and {} more", report.differences.len() - 20);
    }
    let mut verdict = compare::verdict(report.sent, report.counted, report.ases, report.equal);
    if let Some(Changes { routes, resets }) = report.changes {
        verdict.push_str(&format!(
            " (meanwhile {} routes changed; sessions reset: {resets})",
            view::grouped(routes)
        ));
    }
    if options.json {
        eprintln!("{verdict}");
        writeln!(stdout(), "{}", serde_json::to_string(&report)?)?;
    } else {
        writeln!(stdout(), "{verdict}")?;
    }
    if !report.equal {
        bail!("what was counted is not what was sent");
    }
    Ok(())
}

/// How the agent's program is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As it is shipped.
    Release,
    /// As the tests have it.
    Dev,
}

/// Builds the agent's program, and says where it is.
pub(crate) fn build(profile: Profile) -> Result<PathBuf> {
    let mut command = process::cargo(["build", "--package", "classifier-user", "--bin", "classifier"]);
    command.arg("--message-format=json-render-diagnostics");
    if profile == Profile::Release {
        command.arg("--release");
    }
    let messages = process::run_quietly("building the agent", &mut command)?;
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let path = message.get("executable")?.as_str()?;
        Some(PathBuf::from(path))
    };
    String::from_utf8_lossy(&messages)
        .lines()
        .filter_map(executable)
        .next_back()
        .ok_or_else(|| anyhow!("cargo built no `classifier`"))
}

struct Played {
    /// By [`Direction`], then by place among the ASes.
    tally: [Vec<Count>; 2],
    counted: Counted,
    changes: Option<Changes>,
}

/// What the ISP announces itself: the frames' addresses at its side.
pub(crate) const OWN_ROUTES: &str =
    "prefix,asn,name\n203.0.113.0/24,64500,The ISP\n2001:db8::/32,64500,The ISP\n";

fn play(
    options: &Options,
    program: &Path,
    table: &Table,
    ases: &[As],
    view: &Arc<View>,
    interrupted: &AtomicBool,
) -> Result<Played> {
    let history = match options.no_history {
        true => None,
        false => Some(History::invent(program, options.rate)?),
    };
    let lab = Lab::new()?;
    let directory = TempDir::with_prefix("classifier-demo-").context("could not make a directory")?;
    let (routes, mut changing) = if options.bgp {
        lab::session_link(&lab)?;
        let own = directory.path().join("own.csv");
        fs::write(&own, OWN_ROUTES).with_context(|| format!("could not write {}", own.display()))?;
        (Routes::Session { own }, Some(Internet::start(&lab.internet, &table.routes)?))
    } else {
        (Routes::Builtin, None)
    };
    let Lab { router, internet } = lab;
    let router = Arc::new(router);
    let address = agent::forward(&router)?;
    let client = Client::new(format!("http://{address}"));
    let since = Instant::now();
    let mut agent = Agent::start(program, &router, &routes, history.as_ref().map(History::directory), view)?;
    agent.wait_until_ready(&client, interrupted)?;
    if let Some(changing) = &changing {
        let prefixes = changing.prefixes + OWN_ROUTES.lines().skip(1).count() as u64;
        agent.wait_for_routes(&client, prefixes, interrupted)?;
        view.say(&format!("{} prefixes came over the session", view::grouped(changing.prefixes)));
    }
    let behind = if history.is_some() { ", with a month of invented history behind it" } else { "" };
    view.say(&format!("the page: http://{address}/{behind}   metrics: http://{address}/metrics"));
    let short = program.strip_prefix(process::root()).unwrap_or(program);
    view.say(&format!("ask it: {} top --agent http://{address}", short.display()));

    let ends = [
        (Direction::In, &internet, INTERNET_INTERFACE, &*router, ROUTER_INTERFACE),
        (Direction::Out, &*router, ROUTER_INTERFACE, &internet, INTERNET_INTERFACE),
    ];
    let mut generators = Vec::new();
    for (direction, from, interface, to, peer) in ends {
        generators.push(Generator {
            mix: Mix::new(direction, ases)?,
            random: Random(direction as u64),
            socket: lab::in_namespace(from, || {
                PacketSocket::open(interface)
                    .with_context(|| format!("could not open a raw socket on {interface}"))
            })?,
            receiver: CountersFile::open(to, peer)?,
            rate: options.rate / 2,
        });
    }
    let stop = AtomicBool::new(false);
    let sent = [Sent::default(), Sent::default()];
    let mut second = 0;
    let since_start = since;
    let since = Instant::now();
    let done = |since: Instant, threads: &[thread::ScopedJoinHandle<'_, Result<Vec<Count>>>]| {
        interrupted.load(Ordering::Relaxed)
            || options.seconds.is_some_and(|seconds| since.elapsed() >= Duration::from_secs(seconds))
            || threads.iter().any(thread::ScopedJoinHandle::is_finished)
    };
    let tallies = thread::scope(|scope| {
        let threads: Vec<_> = generators
            .into_iter()
            .zip(&sent)
            .map(|(generator, sent)| scope.spawn(|| generator.run(ases.len(), None, &stop, sent)))
            .collect();
        let mut watched = Ok(());
        while watched.is_ok() && !done(since, &threads) {
            thread::sleep(Duration::from_millis(50));
            if since.elapsed().as_secs() > second {
                second = since.elapsed().as_secs();
                watched = agent.check().and_then(|()| show(view, &client, &sent, second));
                if let (Ok(()), Some(changing)) = (&watched, &mut changing) {
                    watched = changing.change(second);
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        let tallies: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a generator panicked"))?)
            .collect::<Result<_>>()?;
        watched.map(|()| tallies)
    })?;
    view.keep();
    let tally: [Vec<Count>; 2] = tallies.try_into().map_err(|_| anyhow!("a direction is missing"))?;
    let counted = settle(&client, &tally, &|| {
        if history.is_none() {
            Counted::read(&client, "last=3650d")
        } else if since_start.elapsed() < MEMORY {
            Counted::read(&client, &format!("from={}", client.started()?))
        } else {
            Counted::read_each(&client, ases, &tally)
        }
    })?;
    agent.stop()?;
    Ok(Played { tally, counted, changes: changing.as_ref().map(Internet::changes) })
}

fn show(view: &View, client: &Client, sent: &[Sent; 2], second: u64) -> Result<()> {
    let total: Count = sent.iter().map(Sent::count).sum();
    let top = client.top(view::ROWS, &format!("last={}s", second.clamp(1, 10)))?;
    let mut lines = vec![format!("{second} s: sent {}", view::exact(total))];
    lines.extend(view::table(&top));
    view.draw(second, lines);
    Ok(())
}

/// What the agent has counted once it has swept up the last frame: as much as was sent, or what there is after a
/// time that many sweeps fit in.
pub(crate) fn settle(
    client: &Client,
    tally: &[Vec<Count>; 2],
    read: &dyn Fn() -> Result<Counted>,
) -> Result<Counted> {
    let total: Count = tally.iter().flatten().copied().sum();
    let stopped = Instant::now();
    loop {
        thread::sleep(Duration::from_millis(200));
        // Asking for every AS may take a while: only once all is in.
        let link = client.status()?.counted();
        let there: Count = link.iter().map(|outcomes| outcomes.ipv4 + outcomes.ipv6).sum();
        if there.packets < total.packets && stopped.elapsed() < PATIENCE {
            continue;
        }
        let counted = read()?;
        let link: Count = counted.link.iter().map(|outcomes| outcomes.ipv4 + outcomes.ipv6).sum();
        let all_in = counted.total().packets >= total.packets && link.packets >= total.packets;
        if all_in || stopped.elapsed() > PATIENCE {
            return Ok(counted);
        }
    }
}

fn report(ases: &[As], Played { tally, counted, changes }: &Played) -> Report {
    let sent = [compare::by_as(ases, &tally[0]), compare::by_as(ases, &tally[1])];
    let mut top: Vec<_> = ases
        .iter()
        .enumerate()
        .map(|(index, entry)| (entry, tally[0][index], tally[1][index]))
        .filter(|(_, inward, outward)| inward.packets + outward.packets > 0)
        .map(|(entry, inward, outward)| TopRow {
            asn: entry.asn,
            name: entry.name.clone(),
            packets: inward.packets + outward.packets,
            bytes: inward.bytes + outward.bytes,
            inward,
            outward,
        })
        .collect();
    let number = top.len();
    top.sort_by_key(|row| (u64::MAX - row.bytes, row.asn));
    top.truncate(20);
    let differences = compare::differences(&sent, counted);
    Report {
        sent: tally.iter().flatten().copied().sum(),
        counted: counted.total(),
        equal: differences.is_empty(),
        ases: number,
        top,
        changes: *changes,
        differences,
    }
}
