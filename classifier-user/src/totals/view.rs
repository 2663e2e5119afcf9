//! The handle that the agent feeds and HTTP asks.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;

use super::{
    SweepDelta, Totals,
    answer::{
        AsAnswer, CountMode, GapStatus, Granularity, GroupAnswer, HistoryStatus, HookStatus, LinkStatus,
        LinksAnswer, MemoryStatus, PrefixAnswer, SessionStatus, SourceStatus, StatusAnswer, Strangers,
        SweepStatus, TableStatus, TopAnswer,
    },
    hook_place,
    query::{DetailQuery, QueryError, TopQuery},
    resume::Before,
    scrape::Scrape,
    top::Reader,
};
use crate::{
    datapath::{Attachment, Memory, Sweep},
    ingest::live::Attributes,
    model::{Asn, Direction, Hook, Link, Locality, Mode, OwnerId, Owners, Role},
    table::{groups::Groups, names::Names},
};

/// Whoever knows what classes stand for, shared with whoever changes it.
pub type SharedOwners = Arc<RwLock<dyn Owners + Send + Sync>>;

/// Sessions that bring routes, and who else wanted to be one: asked whenever somebody wants to know.
pub type AskSessions = Arc<dyn Fn() -> (Vec<SessionStatus>, Strangers) + Send + Sync>;

/// What the agent knows of itself.
#[derive(Clone, Debug, Default)]
pub struct StatusInputs {
    /// The router's name.
    pub router: String,
    /// The agent's version.
    pub version: String,
    /// Between two sweeps.
    pub interval: Duration,
    /// How the links are attached.
    pub attachments: Vec<Attachment>,
    /// Where routes come from, by precedence.
    pub sources: Vec<SourceInput>,
    /// IPv4 prefixes in the FIB.
    pub ipv4_prefixes: u64,
    /// IPv6 prefixes in the FIB.
    pub ipv6_prefixes: u64,
    /// Which sides are counted.
    pub count: CountMode,
    /// What a class is.
    pub granularity: Granularity,
    /// Kernel memory in use.
    pub memory: Memory,
    /// When links were not counted though the agent ran.
    pub gaps: Vec<GapStatus>,
    /// By link: how many such times are over, and how long they were together.
    pub link_gaps: Vec<(u64, Duration)>,
    /// What is not as it should be, for people.
    pub warnings: Vec<String>,
}

/// One source of routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceInput {
    /// Its name, or its file.
    pub name: String,
    /// What sort: `builtin`, `ranges`, `mrt`, `bgp`, `bmp`, …
    pub kind: String,
    /// How many prefixes it has.
    pub prefixes: u64,
    /// When its data was made, where that is known.
    pub made: Option<SystemTime>,
    /// Whether it works: false after a reload that failed, or while a peer is away.
    pub up: bool,
    /// How many of its prefixes are a peer's that is away, or that has not announced them again yet.
    pub stale: u64,
}

impl SourceInput {
    /// How old its data is.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        self.made.map(|made| now.duration_since(made).unwrap_or_default())
    }
}

/// A handle on the totals: cheap to clone, shared by threads. Answers take up to some tens of milliseconds of CPU:
/// ask from where blocking is allowed.
///
/// Every method takes the owners' lock before its own: do not call one while holding it.
#[derive(Clone)]
pub struct View(Arc<Shared>);

struct Shared {
    owners: SharedOwners,
    clock: fn() -> SystemTime,
    state: RwLock<State>,
}

struct State {
    totals: Totals,
    names: Arc<Names>,
    status: StatusInputs,
    history: HistoryStatus,
    sessions: Option<AskSessions>,
}

impl View {
    /// A view of `totals`. `clock` is [`SystemTime::now`] but in tests.
    #[must_use]
    pub fn new(totals: Totals, owners: SharedOwners, clock: fn() -> SystemTime) -> Self {
        let state = State {
            totals,
            names: Arc::default(),
            status: StatusInputs::default(),
            history: HistoryStatus::default(),
            sessions: None,
        };
        Self(Arc::new(Shared { owners, clock, state: RwLock::new(state) }))
    }

    /// Takes a sweep in, as [`Totals::record`] does.
    pub fn record(&self, sweep: &Sweep) -> SweepDelta {
        let owners = self.0.owners.read().unwrap_or_else(PoisonError::into_inner);
        self.write(|state| state.totals.record(sweep, &*owners))
    }

    /// Begins with what was counted before, as [`Totals::resume`] does.
    pub(crate) fn resume(&self, before: &Before) {
        let owners = self.0.owners.read().unwrap_or_else(PoisonError::into_inner);
        self.write(|state| state.totals.resume(before, &*owners));
    }

    /// Takes the routes that owners have from now on, as [`Totals::learn`] does.
    pub fn learn(&self, routes: &[(OwnerId, Asn, Option<Arc<Attributes>>)]) {
        let routes = routes.iter().map(|(owner, origin, route)| (*owner, *origin, route.as_deref()));
        self.write(|state| state.totals.learn(routes));
    }

    /// How many different ways (a neighbour, and who carries) there are to what is in the FIB.
    #[must_use]
    pub fn ways(&self) -> u64 {
        self.read(|reader| reader.totals.ways() as u64)
    }

    /// Takes what the agent knows of itself.
    pub fn set_status(&self, status: StatusInputs) {
        self.write(|state| state.status = status);
    }

    /// Takes how the history is.
    pub fn set_history(&self, history: HistoryStatus) {
        self.write(|state| state.history = history);
    }

    /// Takes whom to ask about sessions.
    pub fn set_sessions(&self, sessions: AskSessions) {
        self.write(|state| state.sessions = Some(sessions));
    }

    fn sessions(&self) -> (Vec<SessionStatus>, Strangers) {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        let ask = state.sessions.clone();
        drop(state);
        ask.map(|ask| ask()).unwrap_or_default()
    }

    /// Takes other names and groups.
    pub fn set_tables(&self, names: Arc<Names>, groups: Arc<Groups>) {
        self.write(|state| {
            state.names = names;
            state.totals.set_groups(groups);
        });
    }

    /// Who sent or received most.
    ///
    /// # Errors
    /// [`QueryError`] where a link does not exist, or what is asked for is not counted.
    pub fn top(&self, query: &TopQuery) -> Result<TopAnswer, QueryError> {
        self.read(|reader| reader.top(query))
    }

    /// One AS: its number (`2906`, `AS2906`), or its name, or a part of its name.
    ///
    /// # Errors
    /// [`QueryError::NotFound`], [`QueryError::Ambiguous`], and as [`View::top`].
    pub fn asn(&self, text: &str, query: &DetailQuery) -> Result<AsAnswer, QueryError> {
        self.read(|reader| reader.asn(text, query))
    }

    /// The routes equal to a prefix or inside it.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] where there are none, [`QueryError::BadParameter`] where it is no prefix, and as
    /// [`View::top`].
    pub fn prefix(&self, text: &str, query: &DetailQuery) -> Result<PrefixAnswer, QueryError> {
        self.read(|reader| reader.prefix(text, query))
    }

    /// One group, by key or name.
    ///
    /// # Errors
    /// [`QueryError::NotFound`], and as [`View::top`].
    pub fn group(&self, text: &str, query: &DetailQuery) -> Result<GroupAnswer, QueryError> {
        self.read(|reader| reader.group(text, query))
    }

    /// Every link.
    #[must_use]
    pub fn links(&self) -> LinksAnswer {
        self.read(|reader| reader.links())
    }

    /// The agent.
    #[must_use]
    pub fn status(&self) -> StatusAnswer {
        let now = (self.0.clock)();
        let (sessions, strangers) = self.sessions();
        StatusAnswer { sessions, strangers, ..self.read(|reader| reader.status(now)) }
    }

    /// Whether sweeps come: the last one, or the start, is no longer ago than three intervals or 30 seconds.
    #[must_use]
    pub fn healthy(&self) -> bool {
        let now = (self.0.clock)();
        self.read(|reader| {
            let silence = now.duration_since(reader.totals.last).unwrap_or_default();
            silence <= reader.status.interval.saturating_mul(3).max(Duration::from_secs(30))
        })
    }

    /// Everything that is a metric.
    #[must_use]
    pub fn metrics(&self) -> MetricsReading {
        let now = (self.0.clock)();
        let (sessions, strangers) = self.sessions();
        MetricsReading { sessions, strangers, ..self.read(|reader| reader.metrics(now)) }
    }

    /// What questions about the past need to know of now.
    #[must_use]
    pub(crate) fn context(&self) -> Context {
        let now = timestamp((self.0.clock)());
        self.read(|reader| Context {
            now,
            started: timestamp(reader.totals.started),
            last: timestamp(reader.totals.last),
            reach: timestamp(reader.totals.memory.oldest().unwrap_or(reader.totals.began)),
            router: reader.status.router.clone(),
            granularity: reader.status.granularity,
            count: reader.status.count,
            links: reader.totals.links.clone(),
            names: Arc::clone(reader.names),
            groups: reader.totals.shared_groups(),
        })
    }

    /// The number of an AS by its number or name, as [`View::asn`] takes it.
    ///
    /// # Errors
    /// As [`View::asn`].
    pub(crate) fn find_as(&self, text: &str) -> Result<Asn, QueryError> {
        self.read(|reader| reader.find_as(text))
    }

    /// One AS by number, whether anything is known of it or not.
    pub(crate) fn asn_of(&self, asn: Asn, query: &DetailQuery) -> Result<AsAnswer, QueryError> {
        self.read(|reader| reader.as_of(asn, query))
    }

    /// At most so many ASes with this number, or with this text in their name, by traffic.
    pub(crate) fn search(&self, text: &str, most: usize) -> Vec<(Asn, Option<String>)> {
        self.read(|reader| reader.search(text, most))
    }

    pub(super) fn read<T>(&self, ask: impl FnOnce(&Reader<'_>) -> T) -> T {
        // Nothing that panics leaves half a change behind that matters more than going on.
        let owners = self.0.owners.read().unwrap_or_else(PoisonError::into_inner);
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        ask(&Reader {
            totals: &state.totals,
            names: &state.names,
            groups: state.totals.groups(),
            status: &state.status,
            history: &state.history,
            owners: &*owners,
        })
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What questions about the past need to know of now.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) now: Timestamp,
    /// When counting began: with the agent, or with one before it.
    pub(crate) started: Timestamp,
    /// The last sweep, or the start.
    pub(crate) last: Timestamp,
    /// How far back the memory of the sweeps goes.
    pub(crate) reach: Timestamp,
    pub(crate) router: String,
    pub(crate) granularity: Granularity,
    pub(crate) count: CountMode,
    pub(crate) links: Vec<Link>,
    pub(crate) names: Arc<Names>,
    pub(crate) groups: Arc<Groups>,
}

impl Context {
    /// The names of the links of the ISP's totals.
    pub(crate) fn isp_links(&self) -> Vec<String> {
        let of = |role| self.links.iter().filter(move |link| link.role == role).map(|link| link.name.clone());
        let upstream: Vec<String> = of(Role::Upstream).collect();
        if upstream.is_empty() { of(Role::Downstream).collect() } else { upstream }
    }
}

/// Everything that is a metric, as plain data.
#[derive(Clone, Debug)]
pub struct MetricsReading {
    /// Packets and bytes.
    pub scrape: Scrape,
    /// The links, by number.
    pub links: Vec<Link>,
    /// By [`Scrape::asns`].
    pub names: Vec<Option<String>>,
    /// By [`Scrape::neighbors`].
    pub neighbor_names: Vec<Option<String>>,
    /// By [`Scrape::hooks`]: matched by IP bytes of the last hour.
    pub coverage: Vec<Option<f64>>,
    /// The last sweep; `None` before the first.
    pub sweep_duration: Option<Duration>,
    /// What the agent knows of itself.
    pub status: StatusInputs,
    /// The age of the source with the most prefixes.
    pub table_age: Option<Duration>,
    /// How the past is kept.
    pub history: HistoryStatus,
    /// BGP sessions and BMP routers.
    pub sessions: Vec<SessionStatus>,
    /// Connections from unknown addresses.
    pub strangers: Strangers,
}

/// A time as in JSON: to the millisecond.
pub(super) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis())
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .unwrap_or(Timestamp::MAX)
}

impl Reader<'_> {
    pub(super) fn mode(&self, link: usize, hook: Hook) -> Option<Mode> {
        let attachment = self.status.attachments.iter().find(|at| usize::from(at.link.0) == link)?;
        attachment.modes.get(hook as usize).copied().flatten()
    }

    fn status(&self, now: SystemTime) -> StatusAnswer {
        let Self { totals, status, .. } = self;
        let hook = |link, hook| {
            let counts = totals.hooks.get(hook_place(link, hook))?;
            Some(HookStatus {
                mode: self.mode(link, hook)?,
                outcomes: counts.outcomes.into(),
                closure_ok: counts.closure_ok,
            })
        };
        let links = totals.links.iter().enumerate().map(|(i, link)| LinkStatus {
            name: link.name.clone(),
            interface: link.interface.clone(),
            vlan: link.vlan,
            role: link.role,
            kind: link.kind,
            rx: hook(i, Hook::Rx),
            tx: hook(i, Hook::Tx),
        });
        let source = |source: &SourceInput| SourceStatus {
            name: source.name.clone(),
            kind: source.kind.clone(),
            prefixes: source.prefixes,
            age_seconds: source.age(now).map(|age| age.as_secs()),
            up: source.up,
            stale: source.stale,
        };
        let isp = totals.isp_links();
        let banks: Vec<_> = Direction::ALL
            .into_iter()
            .flat_map(|direction| totals.bank_places(&isp, direction, Locality::Remote))
            .collect();
        StatusAnswer {
            router: status.router.clone(),
            version: status.version.clone(),
            uptime_seconds: now.duration_since(totals.began).unwrap_or_default().as_secs(),
            interval_seconds: status.interval.as_secs_f64(),
            links: links.collect(),
            table: TableStatus {
                sources: status.sources.iter().map(source).collect(),
                ipv4_prefixes: status.ipv4_prefixes,
                ipv6_prefixes: status.ipv6_prefixes,
            },
            count: status.count,
            granularity: status.granularity,
            memory: MemoryStatus {
                fib_bytes: status.memory.fib_bytes,
                bank_bytes: status.memory.bank_bytes,
                sweep_bytes: totals.memory_bytes() as u64,
            },
            coverage: totals.coverage(&banks),
            closure_ok: totals.closure_ok(),
            sweeps: SweepStatus {
                count: totals.sweeps,
                last: (totals.sweeps > 0).then(|| timestamp(totals.last)),
                took_seconds: totals.took.as_secs_f64(),
                reach: timestamp(totals.memory.oldest().unwrap_or(totals.began)),
            },
            gaps: status.gaps.clone(),
            warnings: {
                let history = self.history.message.as_ref().map(|message| format!("history: {message}"));
                status.warnings.iter().cloned().chain(history).collect()
            },
            history: self.history.clone(),
            sessions: Vec::new(),
            strangers: Strangers::default(),
        }
    }

    fn metrics(&self, now: SystemTime) -> MetricsReading {
        let totals = self.totals;
        let scrape = totals.scrape();
        let name = |&asn: &Asn| self.names.get(asn).map(str::to_owned);
        let largest = self.status.sources.iter().max_by_key(|source| source.prefixes);
        MetricsReading {
            names: scrape.asns.iter().map(name).collect(),
            neighbor_names: scrape.neighbors.iter().map(name).collect(),
            coverage: scrape
                .hooks
                .iter()
                .map(|hook| {
                    totals.coverage(&totals.bank_places(&[hook.link], hook.direction, Locality::Remote))
                })
                .collect(),
            links: totals.links.clone(),
            sweep_duration: (totals.sweeps > 0).then_some(totals.took),
            status: self.status.clone(),
            table_age: largest.and_then(|source| source.age(now)),
            history: self.history.clone(),
            sessions: Vec::new(),
            strangers: Strangers::default(),
            scrape,
        }
    }
}
