//! The only wiring: from a plan to a running agent, and back to a machine as it was.
//!
//! Reading order: here (start and stop), `halves` (the process that counts, and this one without privileges),
//! [`sizing`] (how much is counted), `core` (the thread that owns the packet
//! path), `changes` (routes into the FIB), `sessions` (whom it listens to), `live` (what they say), `paths` (by which AS
//! paths), `asked` (questions about routes), `reload` (tables again), `attach` (programs on interfaces), `adopt` (what was
//! counted before this agent), `follow` (interfaces that go away and come back), `others` (programs beside this one's),
//! `gaps` (what was not counted).

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Arc, RwLock, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

mod adopt;
mod asked;
mod attach;
mod changes;
mod core;
mod error;
mod follow;
mod gaps;
mod halves;
mod listeners;
mod live;
mod others;
mod pages;
mod paths;
mod refusals;
mod reload;
mod sessions;
pub mod sizing;

use self::{
    asked::Routes,
    core::{Core, Message},
    follow::Place,
    listeners::Listeners,
    others::Others,
    reload::Reloader,
    sessions::{Doors, Sessions},
    sizing::Room,
};
pub use self::{
    error::AgentError,
    refusals::{Refusal, refusals},
    sessions::SessionsError,
};
use crate::{
    config::{GranularityChoice, HistoryPlan, RunPlan},
    datapath::{
        Datapath as _, Sizes,
        interface::{Interface, InterfaceError},
        kernel::{Setup, cpu_slices},
        overlap,
        remote::Remote,
    },
    fib::{
        classes::{Classes, Granularity},
        sizes::{classes_for, sizes_for},
    },
    history::{
        recorder::{self, Feed, Recorder},
        store::Options,
    },
    ingest::{
        Progress,
        set::{Part, TableRequest, TableSet},
    },
    model::{Family, LinkId, Prefix},
    notify::Notifier,
    questions::Questions,
    table::{groups::Groups, live::Live},
    totals::{
        Limits, Totals,
        answer::Granularity as AnswerGranularity,
        view::{StatusInputs, View},
    },
};

/// How long the history may take to write what it has, once nothing is counted any more.
const HISTORY_ENDS: Duration = Duration::from_secs(10);

/// Runs the agent until SIGINT or SIGTERM. `progress` is told of files being read; `log` is what is logged, for the process
/// that counts. To be called while the process has one thread.
///
/// # Errors
/// [`AgentError`]; whatever was attached is detached again.
pub fn run(plan: &RunPlan, log: &str, progress: impl FnMut(&Part, Progress)) -> Result<(), AgentError> {
    let manager = Notifier::from_environment().map_err(|source| AgentError::Process {
        what: "finding the service manager (NOTIFY_SOCKET)",
        source,
    })?;
    manager.status("loading tables");
    // Before anything is attached: what is wrong with the plan shows now.
    let interfaces: Vec<Interface> =
        plan.links.iter().map(|link| find(&link.interface, plan.wait)).collect::<Result<_, _>>()?;
    if let Some(overlap) = overlap::all(&plan.links, &overlap::positions()).into_iter().next() {
        return Err(overlap.into());
    }
    let mut listeners = Listeners::bind(plan)?;
    let doors = Doors::open(&plan.bgp, &plan.bmp)?;
    // All that needs a privilege is in the other process from here on, or was done.
    let remote = halves::part(plan, log)?;
    let keeps = remote.welcome().keeps.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| AgentError::Process { what: "starting the runtime", source })?;

    let request = plan.tables();
    let (tell, told) = mpsc::channel();
    // Before the tables are loaded, which takes a while: a file that changes meanwhile is loaded again, and a SIGHUP
    // does not end the agent.
    let reloader = {
        let _runtime = runtime.enter();
        listeners.read(plan.reload)?;
        Reloader::new(request.clone(), plan.groups.clone(), plan.reload, tell.clone(), manager.clone())
            .map_err(|source| AgentError::Process { what: "catching SIGHUP", source })?
    };
    let alive = Arc::new(());
    follow::listen(tell.clone(), Arc::downgrade(&alive))
        .map_err(|source| AgentError::Process { what: "starting the interfaces' thread", source })?;
    halves::watch(&remote, tell.clone())
        .map_err(|source| AgentError::Process { what: "watching the process that counts", source })?;
    let (core, view, recorder) = prepare(plan, &request, &interfaces, remote, &manager, progress)?;
    let routes = Routes { core: tell.clone(), live: Arc::clone(&core.live) };
    let questions = Questions::new(view.clone(), recorder.as_ref().map(Recorder::reader))
        .in_zone(plan.history.zone.clone())
        .with_routes(Arc::new(routes))
        .with_ases(&plan.own_ases, &plan.transit_ases);
    pages::keep_ready(&questions)?;
    let (end, mut ended) = tokio::sync::mpsc::channel::<()>(1);
    let core = thread::Builder::new()
        .name("sweep".to_owned())
        .spawn(move || {
            let _end = end;
            core.run(&told)
        })
        .map_err(|source| AgentError::Process { what: "starting the sweep thread", source })?;
    let served = runtime.block_on(async {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (address, server) = listeners.serve(&questions, async {
            let _ = stopped.await;
        })?;
        tokio::spawn(reloader.run());
        let sessions = Sessions::begin(&plan.bgp, &plan.bmp, doors, &tell)?;
        view.set_sessions(sessions.ask());
        let signal_error = |source| AgentError::Process { what: "catching signals", source };
        let mut interrupt = signal(SignalKind::interrupt()).map_err(signal_error)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(signal_error)?;
        info!("listening on {address} (metrics at /metrics)");
        manager.ready();
        tokio::select! {
            _ = interrupt.recv() => info!("interrupted: {}", ending(keeps.is_some())),
            _ = terminate.recv() => info!("told to end: {}", ending(keeps.is_some())),
            _ = ended.recv() => warn!("the sweep thread ended"),
        }
        manager.stopping();
        let _ = stop.send(());
        let ending = async {
            sessions.stop().await;
            let _ = server.await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), ending).await;
        Ok::<(), AgentError>(())
    });
    let _ = tell.send(Message::Stop);
    let swept = core.join().map_err(|_| AgentError::CoreLost)?;
    if recorder.is_some_and(|recorder| !recorder.join(HISTORY_ENDS)) {
        warn!("history: its disk does not answer; the agent ends without it");
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    served?;
    swept?;
    if let Some(instance) = keeps {
        info!(
            "the kernel counts on, as `{instance}`: the next start goes on with it, `classifier detach` ends it"
        );
    } else {
        info!("detached: nothing of the agent is left in the kernel");
    }
    Ok(())
}

const fn ending(keeps: bool) -> &'static str {
    if keeps { "ending, and leaving the kernel counting" } else { "detaching" }
}

/// An interface; without an index where it may come later.
fn find(name: &str, wait: bool) -> Result<Interface, InterfaceError> {
    match Interface::find(name) {
        Err(InterfaceError::Missing { .. }) if wait => Ok(Interface { name: name.to_owned(), ifindex: 0 }),
        found => found,
    }
}

/// Loads tables, decides sizes, loads the program, fills the FIB, and attaches, in this order: what can fail without
/// a trace in the kernel goes first, and the first frame finds a full table.
fn prepare(
    plan: &RunPlan,
    request: &TableRequest,
    interfaces: &[Interface],
    mut remote: Remote,
    manager: &Notifier,
    progress: impl FnMut(&Part, Progress),
) -> Result<(Core, View, Option<Recorder>), AgentError> {
    let groups = Arc::new(Groups::with(plan.groups.as_deref())?);
    if let Some(public) = &plan.public {
        // A slip of the pen would publish what is to be hidden; but a group may also come with the next file.
        for key in public.rules.hide_groups.iter().filter(|key| groups.find(key).is_none()) {
            warn!("[public] hides the group `{key}`, and there is no such group");
        }
    }
    let tables = TableSet::load(request, progress)?;
    let counts = tables.rib.counts();
    for source in tables.sources.iter().filter(|source| source.prefixes.total() > 0) {
        let date = source.date.map_or_else(String::new, |date| format!(", of {}", date.strftime("%Y-%m-%d")));
        info!("table {}: {} prefixes ({}{date})", source.name, source.prefixes.total(), source.kind);
        // An override is as old as its owner likes.
        let date = source.date.filter(|_| !matches!(source.part, Part::Overrides(_)));
        if let Some(days) = date.and_then(|date| old(date, Timestamp::now())) {
            warn!(
                "table {}: its data is {days} days old, and what moved to another AS since is counted under the old \
                 one; give newer data with --table, such as today's MRT file of RouteViews or RIPE RIS",
                source.name
            );
        }
        for notice in &source.report.notices {
            warn!("{}: {notice}", source.name);
        }
    }
    let slices = cpu_slices()?;
    let allowed = plan.bank_memory.bytes(memory_total()).min(remote.welcome().bank_bytes);
    let prefix_sizes = sizes_for(tables.rib.iter().map(|route| route.prefix));
    let owners: HashSet<_> = tables.rib.iter().map(|route| (Family::of(&route.prefix), route.asn)).collect();
    let as_sizes = Sizes { classes: classes_for(owners.len()), ..prefix_sizes };
    let decision = sizing::decide(
        plan.count,
        match plan.granularity {
            GranularityChoice::Auto => None,
            GranularityChoice::Prefix => Some(Granularity::Prefix),
            GranularityChoice::As => Some(Granularity::As),
        },
        prefix_sizes,
        as_sizes,
        plan.links.len(),
        slices,
        allowed,
    )?;
    let room = Room { count: decision.count, links: plan.links.len(), slices, allowed };
    let mut classes = Classes::new(decision.granularity, decision.sizes.classes);
    let batch = classes.apply(tables.rib.iter().map(|route| (route.prefix, Some(route.asn))))?;
    let setups: Vec<Setup> = plan
        .links
        .iter()
        .zip(interfaces)
        .enumerate()
        .map(|(number, (link, interface))| Setup {
            link: LinkId(number as u16),
            ifindex: interface.ifindex,
            vlan: link.vlan,
            sides: sizing::sides(link, decision.count),
            extra_bytes: interface.tag_bytes(),
        })
        .collect();
    attach::load(plan, &decision, setups, &mut remote)?;
    if let Err(error) = remote.apply(&batch) {
        remote.abandon();
        return Err(error.into());
    }
    drop(batch);
    let memory = remote.memory();
    info!(
        "FIB: {} IPv4 and {} IPv6 prefixes, {} MiB; counters: {} MiB for {} x {}, {} by {}",
        counts.ipv4,
        counts.ipv6,
        memory.fib_bytes >> 20,
        memory.bank_bytes >> 20,
        counted(plan.links.len(), "link"),
        counted(slices as usize, "CPU"),
        match decision.count {
            crate::totals::answer::CountMode::Both => "both sides",
            crate::totals::answer::CountMode::Remote => "the remote side",
            crate::totals::answer::CountMode::Local => "the local side",
        },
        match decision.granularity {
            Granularity::Prefix => "prefix",
            Granularity::As => "AS",
        },
    );
    if let Err(error) = attach::attach(plan, interfaces, &mut remote) {
        remote.abandon();
        return Err(error.into());
    }
    let adopted = remote.settle()?;
    // Before the history's own threads are at it.
    let missed = gaps::before(plan, adopted.as_ref());
    let adopted = adopted.map(|adopted| {
        if !adopted.links.is_empty() {
            let since = Timestamp::try_from(adopted.since).unwrap_or_default();
            info!("going on with what was counted since {}", since.strftime("%Y-%m-%dT%H:%M:%SZ"));
        }
        adopt::adopt(adopted, &plan.links, &mut classes)
    });
    let (started, started_at) = (SystemTime::now(), Instant::now());
    let limits = Limits { metrics_ases: plan.metrics_ases, ..Limits::default() };
    let classes = Arc::new(RwLock::new(classes));
    let totals = Totals::new(plan.links.clone(), started, limits).with_own_ases(&plan.own_ases);
    let view = View::new(totals, classes.clone(), SystemTime::now);
    let (recorder, mut feed) = record(plan, &decision, &classes, &groups, &view, started_at)?.unzip();
    if let Some((before, base)) = adopted {
        view.resume(&before);
        if let Some(feed) = &mut feed {
            feed.begin(base);
        }
    }
    let mut core = Core {
        links: plan.links.iter().cloned().zip(remote.attachments()).collect(),
        keep: remote.welcome().keeps.is_some(),
        datapath: Box::new(remote),
        classes,
        tables,
        groups,
        view: view.clone(),
        history: feed,
        interval: plan.interval,
        status: StatusInputs {
            router: plan.router.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            interval: plan.interval,
            count: decision.count,
            granularity: match decision.granularity {
                Granularity::Prefix => AnswerGranularity::Prefix,
                Granularity::As => AnswerGranularity::As,
            },
            ..StatusInputs::default()
        },
        broken: BTreeMap::new(),
        waiting: BTreeMap::<Prefix, _>::new(),
        room,
        no_growth: None,
        reclaimed: None,
        live: Arc::new(RwLock::new(Live::new(Instant::now()))),
        heard: VecDeque::new(),
        places: Place::all(&plan.links, interfaces),
        gaps: Vec::new(),
        looked: SystemTime::now(),
        others: Others::default(),
        manager: manager.clone(),
    };
    core.begin_gaps(missed);
    core.look_at_others();
    core.publish_tables();
    Ok((core, view, recorder))
}

/// Starts the history, if there is somewhere to keep it.
fn record(
    plan: &RunPlan,
    decision: &sizing::Decision,
    classes: &Arc<RwLock<Classes>>,
    groups: &Arc<Groups>,
    view: &View,
    started: Instant,
) -> Result<Option<(Recorder, Feed)>, AgentError> {
    let Some(directory) = &plan.state_dir else {
        info!(
            "no history is kept: --last reaches back an hour, or to the start of the agent; to keep one, give \
             --state-dir DIR, such as /var/lib/classifier"
        );
        return Ok(None);
    };
    let HistoryPlan { zone, top_prefixes, keep } = &plan.history;
    info!("history: in {}, days of {}", directory.display(), zone.iana_name().unwrap_or("UTC"));
    let by_prefix = decision.granularity == Granularity::Prefix;
    let setup = recorder::Setup {
        directory: directory.clone(),
        links: plan.links.clone(),
        top_prefixes: if by_prefix { *top_prefixes } else { 0 },
        owners: classes.clone(),
        groups: Arc::clone(groups),
        started,
        open: recorder::opener(
            directory.clone(),
            Options::new(zone.clone(), plan.router.clone()),
            keep.clone(),
        ),
    };
    let view = view.clone();
    let started = Recorder::start(setup, move |status| view.set_history(status));
    started.map(Some).map_err(|source| AgentError::Process { what: "starting the history", source })
}

/// How many days old data of this date is, where that is too old to be silent about.
fn old(date: Timestamp, now: Timestamp) -> Option<i64> {
    const OLD_DAYS: i64 = 90;
    let days = now.duration_since(date).as_secs() / 86_400;
    (days > OLD_DAYS).then_some(days)
}

/// `1 link`, `2 links`.
fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The machine's memory in bytes; 0 where it cannot be read.
pub(crate) fn memory_total() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_more_than_ninety_days_is_old() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let date = at("2026-01-01T00:00:00Z");
        for (now, days) in [
            ("2025-12-31T00:00:00Z", None),
            ("2026-01-01T00:00:00Z", None),
            ("2026-04-01T23:59:59Z", None),
            ("2026-04-02T00:00:00Z", Some(91)),
            ("2027-01-01T00:00:00Z", Some(365)),
        ] {
            assert_eq!(old(date, at(now)), days, "{now}");
        }
    }
}
