//! The thread that owns the packet path: it sweeps at every interval, and between sweeps puts changed tables in.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, PoisonError, RwLock,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant, SystemTime},
};

use tracing::{error, info, warn};

use super::{
    asked::Ask,
    follow::Place,
    live::{Heard, SharedLive},
    others::Others,
    sizing::Room,
};
use crate::{
    datapath::{Attachment, Datapath, DatapathError, beside},
    fib::classes::Classes,
    history::recorder::{Feed, until_next_slot},
    ingest::{
        IngestError, SourceTable,
        set::{Part, TableSet},
    },
    model::{Asn, Hook, Link, Prefix},
    notify::Notifier,
    table::groups::Groups,
    totals::{
        answer::GapStatus,
        view::{SourceInput, StatusInputs, View},
    },
};

/// What the core is told.
pub(super) enum Message {
    /// Parts of the tables were loaded again, or could not be.
    Tables(Vec<(Part, Result<SourceTable, IngestError>)>),
    /// The groups' file was loaded again.
    Groups(Arc<Groups>),
    /// Peers said something.
    Live(Heard),
    /// Interfaces changed; these went away.
    Interfaces(Vec<u32>),
    /// Somebody asks.
    Ask(Ask),
    /// The process that counts is gone.
    Lost,
    /// Detach, read a last time, end.
    Stop,
}

/// Why a part of the tables is not as its file says.
pub(super) enum Broken {
    /// The file could not be loaded.
    File(String),
    /// Its changes found no room, and wait.
    Room(String),
}

impl Broken {
    fn why(&self) -> &str {
        match self {
            Self::File(why) | Self::Room(why) => why,
        }
    }
}

/// What the core waits for while nobody tells it anything.
enum Until {
    /// It is time to sweep.
    Sweep,
    /// Stale routes have to go.
    Stale,
    /// It is to be said that this thread lives.
    Sign,
}

/// Between two sweeps there is at least this part of the interval for all else.
const BETWEEN: u32 = 4;

/// How long the history may take for the last sweep.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The packet path, the routes, and those who want to know.
pub(super) struct Core {
    pub(super) datapath: Box<dyn Datapath>,
    pub(super) classes: Arc<RwLock<Classes>>,
    pub(super) tables: TableSet,
    pub(super) groups: Arc<Groups>,
    pub(super) view: View,
    /// Where what was swept is recorded.
    pub(super) history: Option<Feed>,
    /// Whether the kernel counts on when this ends.
    pub(super) keep: bool,
    pub(super) interval: Duration,
    /// The links, and how they were attached at the start, or when their interface came back.
    pub(super) links: Vec<(Link, Attachment)>,
    /// What never changes in the status.
    pub(super) status: StatusInputs,
    /// Why a part is not as its file says, by its name.
    pub(super) broken: BTreeMap<String, Broken>,
    /// Changes that found no room; tried again with the next ones.
    pub(super) waiting: BTreeMap<Prefix, Option<Asn>>,
    /// How large maps may become.
    pub(super) room: Room,
    /// When larger maps could not be had the last time, and why.
    pub(super) no_growth: Option<(Instant, String)>,
    /// When classes that were withdrawn were freed the last time before their turn.
    pub(super) reclaimed: Option<Instant>,
    /// What peers announce.
    pub(super) live: SharedLive,
    /// What peers said and was not looked at yet.
    pub(super) heard: VecDeque<Heard>,
    /// Who else is on their hooks.
    pub(super) others: Others,
    /// Where the links are.
    pub(super) places: Vec<Place>,
    /// When links were not counted: the latest times that are over.
    pub(super) gaps: Vec<GapStatus>,
    /// When the programs were looked at the last time.
    pub(super) looked: SystemTime,
    /// Who wants to know that this thread lives. Nobody else says so: where it hangs, silence is what tells.
    pub(super) manager: Notifier,
}

impl Core {
    /// Runs until told to stop, or until the other side is gone.
    ///
    /// # Errors
    /// The packet path could not be detached, or its last counts not be read.
    pub(super) fn run(mut self, messages: &Receiver<Message>) -> Result<(), DatapathError> {
        let mut next = Instant::now() + self.interval;
        // A slot of the history ends with a sweep, whatever the interval. Until there was one its end stays due.
        let mut slot_ends: Option<Instant> = None;
        loop {
            let mut wait = next.saturating_duration_since(Instant::now());
            if self.history.is_some() {
                let ends = Instant::now() + until_next_slot(SystemTime::now());
                let ends = slot_ends.map_or(ends, |before| before.min(ends));
                slot_ends = Some(ends);
                wait = wait.min(ends.saturating_duration_since(Instant::now()));
            }
            let until = match self.stale_due() {
                Some(stale) if stale < wait => {
                    wait = stale;
                    Until::Stale
                }
                _ => Until::Sweep,
            };
            let until = match self.manager.alive() {
                Some(sign) if sign < wait => {
                    wait = sign;
                    Until::Sign
                }
                _ => until,
            };
            let message = if wait.is_zero() {
                // However much there is to do.
                Err(RecvTimeoutError::Timeout)
            } else if self.live_work() {
                match messages.try_recv() {
                    Err(TryRecvError::Empty) => {
                        self.live_slice();
                        continue;
                    }
                    Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
                    Ok(message) => Ok(message),
                }
            } else {
                messages.recv_timeout(wait)
            };
            match message {
                Ok(Message::Tables(parts)) => self.replace(parts),
                Ok(Message::Groups(groups)) => {
                    if let Some(history) = &mut self.history {
                        history.set_groups(Arc::clone(&groups));
                    }
                    self.groups = groups;
                    self.publish_tables();
                }
                Ok(Message::Interfaces(gone)) => self.follow(&gone),
                Ok(Message::Live(heard)) => self.heard.push_back(heard),
                Ok(Message::Ask(ask)) => ask(&self),
                Ok(Message::Stop | Message::Lost) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if matches!(until, Until::Sign) => {}
                Err(RecvTimeoutError::Timeout) if matches!(until, Until::Stale) => self.live_slice(),
                Err(RecvTimeoutError::Timeout) => {
                    self.try_sweep();
                    self.follow(&[]);
                    self.look_at_hooks();
                    self.look_at_others();
                    self.look_at_peers();
                    slot_ends = None;
                    let now = Instant::now();
                    if now >= next {
                        // A sweep that came late does not make the later ones hurry; nor do those that take as long as the
                        // interval leave no time for messages, of which one may be to end.
                        next = (next + self.interval).max(now + self.interval / BETWEEN);
                    }
                }
            }
        }
        self.end_gaps();
        let detached = if self.keep { Ok(()) } else { self.datapath.detach() };
        let swept = self.sweep();
        if let Some(mut history) = self.history.take()
            && !history.flush(LAST_WORDS)
        {
            let lost = if self.keep { "are left to the next agent" } else { "are lost" };
            warn!("history: the last sweeps {lost}, its disk does not answer");
        }
        detached.and(swept)
    }

    /// Sweeps; what comes of an error is only that the counts come later.
    pub(super) fn try_sweep(&mut self) {
        if let Err(error) = self.sweep() {
            error!("a sweep failed, its counts come with the next one: {error}");
        }
    }

    pub(super) fn sweep(&mut self) -> Result<(), DatapathError> {
        let now = Instant::now();
        let sweep = self.datapath.sweep()?;
        let delta = self.view.record(&sweep);
        let lasting = self.open_gaps();
        if let Some(history) = &mut self.history {
            history.lasting(lasting);
            history.give(sweep.at, now, delta);
        }
        if !sweep.released.is_empty() {
            let gone = self.classes.write().unwrap_or_else(PoisonError::into_inner).release(&sweep.released);
            self.forget_paths(&gone);
        }
        Ok(())
    }

    /// Sees whether the programs are still where they were put.
    fn look_at_hooks(&mut self) {
        let now = SystemTime::now();
        if self.datapath.attachments() != self.status.attachments {
            self.publish_tables();
            // A gap that began is recorded with it.
            self.try_sweep();
        }
        self.looked = now;
    }

    /// The hooks of a link that had a program at the start, or when its interface came, and have none now.
    pub(super) fn gone_hooks(&self, now: &Attachment) -> Vec<&'static str> {
        let Some((_, start)) = self.links.get(usize::from(now.link.0)) else { return Vec::new() };
        let gone = Hook::ALL.into_iter().filter(|&hook| {
            start.modes[hook as usize].is_some()
                && now.modes[hook as usize].is_none()
                && self.is_there(now.link)
        });
        gone.map(beside::side).collect()
    }

    /// What is no more as it was at the start.
    fn taken_off(&self, now: &[Attachment]) -> Vec<String> {
        let hooks = self.links.iter().zip(now).flat_map(|((link, _), now)| {
            self.gone_hooks(now).into_iter().map(move |name| {
                format!(
                    "{}: the program on {name} of {} was taken off: nothing is counted there any more; restart the \
                     agent",
                    link.name, link.interface
                )
            })
        });
        hooks.collect()
    }

    /// Takes loaded tables in: only what differs reaches the FIB.
    fn replace(&mut self, parts: Vec<(Part, Result<SourceTable, IngestError>)>) {
        for (part, loaded) in parts {
            let name = part.to_string();
            match loaded {
                Err(error) => {
                    warn!("{error}; the table stays as it was");
                    self.broken.insert(name, Broken::File(error.to_string()));
                }
                Ok(table) => {
                    for notice in &table.report.notices {
                        warn!("{name}: {notice}");
                    }
                    let prefixes = table.routes.len();
                    let changes = self.tables.replace(part, table);
                    // What somebody asks for is tried, however soon.
                    self.no_growth = None;
                    self.reclaimed = None;
                    let waited = matches!(self.broken.remove(&name), Some(Broken::Room(_)));
                    let changed = changes.len();
                    match self.apply(changes) {
                        Ok(words) => {
                            info!(
                                "{name}: {prefixes} prefixes, {changed} changed, {words} FIB words written"
                            );
                            // What waited, of whatever part, went in with it.
                            self.broken.retain(|_, broken| matches!(broken, Broken::File(_)));
                        }
                        Err(error) if changed > 0 || waited => {
                            warn!("{name}: {changed} changes found no room: {error}");
                            self.broken.insert(name, Broken::Room(error));
                        }
                        // Another part's changes wait; this one has none.
                        Err(_) => info!("{name}: {prefixes} prefixes, 0 changed"),
                    }
                }
            }
        }
        self.publish_tables();
    }

    /// Tells the view what the tables are now.
    pub(super) fn publish_tables(&mut self) {
        self.view.set_tables(Arc::new(self.tables.names()), Arc::clone(&self.groups));
        self.publish_status();
    }

    /// Tells the view how the agent is.
    pub(super) fn publish_status(&mut self) {
        let counts = self.tables.rib.counts();
        let sources = self
            .tables
            .sources
            .iter()
            .filter(|source| !matches!(source.part, Part::Names(_) | Part::BuiltinNames));
        let (peers, warnings) = self.peers_status();
        self.status.sources = peers
            .into_iter()
            .chain(sources.map(|source| SourceInput {
                name: source.name.clone(),
                kind: source.kind.clone(),
                prefixes: source.prefixes.total() as u64,
                made: source.date.map(Into::into),
                up: !self.broken.contains_key(&source.name),
                stale: 0,
            }))
            .collect();
        self.status.ipv4_prefixes = counts.ipv4 as u64;
        self.status.ipv6_prefixes = counts.ipv6 as u64;
        self.status.attachments = self.datapath.attachments();
        self.status.memory = self.datapath.memory();
        let taken = self.taken_off(&self.status.attachments);
        // Here, where what is known changes: each is said once, however many go in one look.
        for taken in taken.iter().filter(|taken| !self.status.warnings.contains(taken)) {
            error!("{taken}");
        }
        self.status.warnings = taken;
        self.miss_hooks();
        let (gaps, away) = self.gaps_status();
        self.status.gaps = gaps;
        self.status.warnings.extend(away);
        self.status.warnings.extend(self.others.warnings.iter().cloned());
        self.status
            .warnings
            .extend(self.broken.iter().map(|(name, broken)| format!("{name}: {}", broken.why())));
        self.status.warnings.extend(warnings);
        self.manager.status(&self.one_line());
        self.view.set_status(self.status.clone());
    }

    /// How the agent is, for people.
    fn one_line(&self) -> String {
        let StatusInputs { ipv4_prefixes, ipv6_prefixes, warnings, .. } = &self.status;
        let links = self.links.len();
        let plural = if links == 1 { "" } else { "s" };
        let warning = match warnings.as_slice() {
            [] => String::new(),
            [warning] => format!("; warning: {warning}"),
            [first, rest @ ..] => format!("; warning: {first} (and {} more)", rest.len()),
        };
        format!("{links} link{plural}, {ipv4_prefixes} IPv4 and {ipv6_prefixes} IPv6 prefixes{warning}")
    }
}
