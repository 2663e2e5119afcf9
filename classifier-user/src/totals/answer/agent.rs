//! `links` and `status`.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Amount, Directions, Outcomes, Rate, Total};
use crate::model::{LinkKind, Locality, Mode, Role};

/// `links`: every link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinksAnswer {
    /// The router's name.
    pub router: String,
    /// When the agent started.
    pub from: Timestamp,
    /// The last sweep's time.
    pub to: Timestamp,
    /// In the configuration's order.
    pub links: Vec<LinkAnswer>,
}

/// One link of [`LinksAnswer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkAnswer {
    /// Its name.
    pub name: String,
    /// The interface's name.
    pub interface: String,
    /// The outer VLAN, where the interface is a trunk.
    pub vlan: Option<u16>,
    /// Which way it faces.
    pub role: Role,
    /// What it is commercially.
    pub kind: Option<LinkKind>,
    /// A direction whose hook is not attached is missing.
    pub directions: Directions<LinkDirection>,
}

/// One direction of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkDirection {
    /// `rx` or `tx`: where this direction is seen.
    pub hook: String,
    /// How that hook is attached.
    pub mode: Option<Mode>,
    /// Every frame since the agent started.
    pub since_start: Amount,
    /// Every frame of the last hour.
    pub last_1h: Total,
    /// Every frame of the last five minutes.
    pub last_5m: Total,
    /// Over the last sweeps.
    pub now: Rate,
    /// What became of the frames since the agent started.
    pub outcomes: Outcomes,
    /// IP without a route on the remote side since the agent started; null where that side is not counted.
    pub unmatched: Option<Amount>,
    /// Matched bytes by IP bytes on the remote side over the last hour; null without such traffic.
    pub coverage: Option<f64>,
    /// Whether the classes add up to the outcomes.
    pub closure_ok: bool,
}

/// `status`: the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// The router's name.
    pub router: String,
    /// The agent's version.
    pub version: String,
    /// Since the agent started.
    pub uptime_seconds: u64,
    /// Between two sweeps.
    pub interval_seconds: f64,
    /// In the configuration's order.
    pub links: Vec<LinkStatus>,
    /// The table.
    pub table: TableStatus,
    /// Which sides are counted.
    pub count: CountMode,
    /// What a class is.
    pub granularity: Granularity,
    /// Memory in use.
    pub memory: MemoryStatus,
    /// Matched bytes by IP bytes on the remote side over the last hour, over the links of the ISP's totals, both
    /// directions; null without such traffic.
    pub coverage: Option<f64>,
    /// Whether on every link and hook the classes add up to the outcomes.
    pub closure_ok: bool,
    /// The agent's sweeps.
    pub sweeps: SweepStatus,
    /// How the past is kept.
    pub history: HistoryStatus,
    /// When links were not counted though the agent ran, oldest first: the latest of them.
    #[serde(default)]
    pub gaps: Vec<GapStatus>,
    /// BGP sessions and BMP routers, as configured. Left out where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionStatus>,
    /// Connections from addresses that are no configured peer's or router's. Left out where there were none.
    #[serde(default, skip_serializing_if = "Strangers::is_none")]
    pub strangers: Strangers,
    /// What is not as it should be, for people.
    pub warnings: Vec<String>,
}

/// A time in which a link was not counted though the agent ran, or though the kernel was to count on without it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GapStatus {
    /// The link's name.
    pub link: String,
    /// When it was noticed; what nobody was there to notice begins where it was counted the last time that is known.
    pub from: Timestamp,
    /// When it was counted again; null while it is not.
    pub to: Option<Timestamp>,
    /// Why, for people.
    pub why: String,
}

/// A BGP session, or a router that reports by BMP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// What people call it.
    pub name: String,
    /// `bgp` or `bmp`.
    pub kind: String,
    /// The router's.
    pub address: IpAddr,
    /// Of a BGP session as RFC 4271 has it; of a BMP router `connected` or `waiting`.
    pub state: String,
    /// Whether it brings routes.
    pub up: bool,
    /// When this state began.
    pub since: Timestamp,
    /// The router's neighbours that are up, its Loc-RIB included; null of a BGP session.
    pub peers: Option<u64>,
    /// Routes announced in this session and not withdrawn.
    pub ipv4_routes: u64,
    /// The same of IPv6.
    pub ipv6_routes: u64,
    /// Messages that came since the agent started.
    pub messages: u64,
    /// UPDATEs among them, or reported by them.
    #[serde(default)]
    pub updates: u64,
    /// Routes announced, also those announced again.
    pub announced: u64,
    /// Routes withdrawn.
    pub withdrawn: u64,
    /// Sessions lost, and tries that failed once connected.
    pub losses: u64,
    /// Messages with something malformed in them: left out, or taken as RFC 7606 says.
    pub malformed: u64,
    /// UPDATEs, or prefixes of them, that are none of those asked for.
    pub ignored: u64,
    /// Connections that we could not make; null of a BMP router, which makes them itself.
    #[serde(default)]
    pub connect_failures: Option<u64>,
    /// NOTIFICATIONs that we sent; null of a BMP router.
    #[serde(default)]
    pub notifications_sent: Option<u64>,
    /// NOTIFICATIONs that came; null of a BMP router.
    #[serde(default)]
    pub notifications_received: Option<u64>,
    /// Connections from a BMP router's address that ended before an Initiation, or came while it is not listened to; null of a
    /// BGP session.
    #[serde(default)]
    pub refused: Option<u64>,
    /// What a BMP router calls itself (sysName); null where it does not say so, and of a BGP session.
    #[serde(default)]
    pub sys_name: Option<String>,
    /// What a BMP router counts of its neighbours that are up. Left out where it says nothing of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statistics: Vec<NeighborStatistics>,
    /// Why the session was lost, or could not come to be, the last time.
    pub last_error: Option<SessionError>,
}

/// What a BMP router counts of a neighbour (RFC 7854, section 4.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighborStatistics {
    /// The neighbour's address; null: of the router's Loc-RIB.
    pub neighbor: Option<IpAddr>,
    /// Counters and gauges by their type, as the router said them last.
    pub counters: BTreeMap<u16, u64>,
}

/// What went wrong with a session, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionError {
    /// When.
    pub at: Timestamp,
    /// What, for people.
    pub what: String,
}

/// Connections from unknown addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strangers {
    /// To where BGP listens.
    pub bgp: u64,
    /// To where BMP listens.
    pub bmp: u64,
    /// TCP segments that the kernel dropped for their MD5 signature since the agent started, or for having none, of all programs
    /// on this machine.
    #[serde(default)]
    pub md5: u64,
}

impl Strangers {
    /// Whether there were none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.bgp == 0 && self.bmp == 0 && self.md5 == 0
    }
}

/// One link of [`StatusAnswer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Its name.
    pub name: String,
    /// The interface's name.
    pub interface: String,
    /// The outer VLAN, where the interface is a trunk.
    pub vlan: Option<u16>,
    /// Which way it faces.
    pub role: Role,
    /// What it is commercially.
    pub kind: Option<LinkKind>,
    /// Receive; null where nothing is attached.
    pub rx: Option<HookStatus>,
    /// Transmit; null where nothing is attached.
    pub tx: Option<HookStatus>,
}

/// One hook of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookStatus {
    /// How it is attached.
    pub mode: Mode,
    /// What became of the frames since the agent started.
    pub outcomes: Outcomes,
    /// Whether the classes add up to them.
    pub closure_ok: bool,
}

/// The table of [`StatusAnswer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableStatus {
    /// Where routes come from, by precedence.
    pub sources: Vec<SourceStatus>,
    /// IPv4 prefixes in the FIB.
    pub ipv4_prefixes: u64,
    /// IPv6 prefixes in the FIB.
    pub ipv6_prefixes: u64,
}

/// One source of routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name, or its file.
    pub name: String,
    /// What sort: `builtin`, `ranges`, `mrt`, …
    pub kind: String,
    /// How many prefixes it has.
    pub prefixes: u64,
    /// Since its data was made; null where that is not known.
    pub age_seconds: Option<u64>,
    /// Whether it works: false after a reload that failed, or while a peer is away.
    pub up: bool,
    /// How many of its prefixes are stale: kept for a while, their peer being away or not having announced them again
    /// yet. Left out where it is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stale: u64,
}

/// Whether a number is left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Memory in use, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// The FIB's maps, in the kernel.
    pub fib_bytes: u64,
    /// All banks, in the kernel.
    pub bank_bytes: u64,
    /// The agent's memory of its sweeps.
    pub sweep_bytes: u64,
}

/// The agent's sweeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepStatus {
    /// How many there were.
    pub count: u64,
    /// The last one's time; null before the first.
    pub last: Option<Timestamp>,
    /// How long the last one took.
    pub took_seconds: f64,
    /// How far back `--last` reaches.
    pub reach: Timestamp,
}

/// How the past is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryStatus {
    /// Whether it is.
    pub state: HistoryState,
    /// The state directory; null where there is none.
    pub path: Option<String>,
    /// When the first slot in the store began; null before there is one.
    pub since: Option<Timestamp>,
    /// When the last slot in the store ended; null before there is one.
    pub until: Option<Timestamp>,
    /// The store on disk.
    pub bytes: u64,
    /// What is wrong, for people; null where nothing is.
    pub message: Option<String>,
    /// The slot that is being counted; null before the first sweep.
    pub open_slot: Option<OpenSlotStatus>,
    /// Slots that are over and wait for the store to take them.
    pub waiting_slots: u64,
    /// Slots that the store did not take in time, since the agent started: gaps.
    pub lost_slots: u64,
}

/// Whether the past is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HistoryState {
    /// It is.
    Ok,
    /// It should be, and something is in the way.
    Failing,
    /// There is no state directory.
    #[default]
    Off,
}

/// The slot that is being counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenSlotStatus {
    /// When it began. It is five minutes long, but where the clock was set back.
    pub from: Timestamp,
    /// How much of it was counted.
    pub covered_seconds: f64,
    /// The last sweep in it, and in its journal, unless that fails.
    pub last: Timestamp,
    /// Every frame in it, on all links in both directions.
    pub frames: Amount,
}

/// Which sides are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CountMode {
    /// Remote and local.
    #[default]
    Both,
    /// The Internet's addresses.
    Remote,
    /// The ISP's addresses.
    Local,
}

impl CountMode {
    /// Whether this side is counted.
    #[must_use]
    pub const fn counts(self, side: Locality) -> bool {
        matches!(
            (self, side),
            (Self::Both, _) | (Self::Remote, Locality::Remote) | (Self::Local, Locality::Local)
        )
    }

    /// The name in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Remote => "remote",
            Self::Local => "local",
        }
    }
}

/// What a class is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// A (prefix, origin AS).
    #[default]
    Prefix,
    /// An (AS, family).
    As,
}
