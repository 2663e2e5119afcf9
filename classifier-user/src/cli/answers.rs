//! The agent's answers as the command line reads them: only what is shown, and nothing is missed that an older agent
//! does not say or a newer one says besides.

use jiff::Timestamp;
use serde::Deserialize;

use crate::questions::answer::PastAnswer;

/// A value a direction.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Directions<T> {
    #[serde(rename = "in", default = "none")]
    pub(super) inward: Option<T>,
    #[serde(rename = "out", default = "none")]
    pub(super) outward: Option<T>,
}

fn none<T>() -> Option<T> {
    None
}

impl<T> Default for Directions<T> {
    fn default() -> Self {
        Self { inward: None, outward: None }
    }
}

impl<T> Directions<T> {
    /// Those that are there, with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &T)> {
        [("in", &self.inward), ("out", &self.outward)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }
}

/// Packets and bytes, and what is said of them: a rate in bits a second, a share of the direction, a rank.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Amount {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) bits_per_second: u64,
    pub(super) share: Option<f64>,
    pub(super) rank: Option<u64>,
    pub(super) change: Option<f64>,
}

/// A row of a ranking.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Row {
    pub(super) rank: u64,
    pub(super) asn: Option<u32>,
    pub(super) prefix: Option<String>,
    pub(super) group: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) link: Option<String>,
    pub(super) name: Option<String>,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) bits_per_second: u64,
    pub(super) share: Option<f64>,
    /// Of a neighbour of an AS, and of what is behind one.
    pub(super) part: Option<f64>,
    pub(super) previous_bytes: Option<u64>,
    pub(super) change: Option<f64>,
}

/// `top`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Top {
    pub(super) router: String,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) by: String,
    pub(super) side: String,
    pub(super) zone: Option<String>,
    pub(super) since: Option<Timestamp>,
    pub(super) covered: Option<f64>,
    pub(super) compare: Option<Compare>,
    pub(super) directions: Directions<TopDirection>,
}

/// What a period is compared with.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Compare {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) covered: f64,
}

/// A direction of `top`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TopDirection {
    pub(super) total: Amount,
    pub(super) rows: Vec<Row>,
    pub(super) other: Amount,
    pub(super) unmatched: Amount,
    pub(super) non_ip: Amount,
    pub(super) no_path: Option<Amount>,
    pub(super) previous_bytes: Option<u64>,
    pub(super) change: Option<f64>,
}

/// `as`, `prefix` and `group`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Detail {
    pub(super) router: String,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) asn: Option<u32>,
    pub(super) prefix: Option<String>,
    pub(super) group: Option<String>,
    pub(super) name: Option<String>,
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) asns: Vec<u32>,
    pub(super) routes: Option<u64>,
    pub(super) side: String,
    pub(super) directions: Directions<DetailDirection>,
    pub(super) past: Option<PastAnswer>,
}

/// A direction of `as`, `prefix` and `group`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DetailDirection {
    pub(super) since_start: Amount,
    pub(super) last_1h: Amount,
    pub(super) last_5m: Amount,
    pub(super) now: Rate,
    pub(super) ipv4: Amount,
    pub(super) ipv6: Amount,
    pub(super) links: Vec<LinkPart>,
    pub(super) prefixes: Option<Vec<Row>>,
    pub(super) ases: Option<Vec<Row>>,
    pub(super) neighbors: Option<Vec<Row>>,
    pub(super) carried: Option<Amount>,
    pub(super) behind: Option<Vec<Row>>,
}

/// A rate over the last sweeps.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rate {
    pub(super) seconds: f64,
    pub(super) packets_per_second: u64,
    pub(super) bits_per_second: u64,
}

/// A link's part of an AS, prefix or group.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LinkPart {
    pub(super) link: String,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) bits_per_second: u64,
}

/// `links`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Links {
    pub(super) router: String,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) links: Vec<Link>,
}

/// A link of `links`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) interface: String,
    pub(super) vlan: Option<u16>,
    pub(super) role: String,
    pub(super) kind: Option<String>,
    pub(super) directions: Directions<LinkDirection>,
}

/// A direction of a link.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LinkDirection {
    pub(super) hook: String,
    pub(super) mode: Option<String>,
    pub(super) since_start: Amount,
    pub(super) last_5m: Amount,
    pub(super) now: Rate,
    pub(super) outcomes: Outcomes,
    pub(super) unmatched: Option<Amount>,
    pub(super) coverage: Option<f64>,
    pub(super) closure_ok: bool,
}

/// What became of frames.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcomes {
    pub(super) ipv4: Amount,
    pub(super) ipv6: Amount,
    pub(super) non_ip: Amount,
    pub(super) malformed: Amount,
    pub(super) unsupported: Amount,
}

impl Outcomes {
    /// All, with their names.
    pub(super) const fn all(&self) -> [(&'static str, Amount); 5] {
        [
            ("ipv4", self.ipv4),
            ("ipv6", self.ipv6),
            ("non_ip", self.non_ip),
            ("malformed", self.malformed),
            ("unsupported", self.unsupported),
        ]
    }
}

/// `status`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    pub(super) router: String,
    pub(super) version: String,
    pub(super) uptime_seconds: u64,
    pub(super) interval_seconds: f64,
    pub(super) links: Vec<LinkStatus>,
    pub(super) table: TableStatus,
    pub(super) count: String,
    pub(super) granularity: String,
    pub(super) memory: Memory,
    pub(super) coverage: Option<f64>,
    pub(super) closure_ok: bool,
    #[serde(default)]
    pub(super) history: Option<History>,
    #[serde(default)]
    pub(super) sessions: Vec<Session>,
    #[serde(default)]
    pub(super) gaps: Vec<Gap>,
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

/// When a link was not counted though the agent ran.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Gap {
    pub(super) link: String,
    pub(super) from: Timestamp,
    /// Not there while it lasts.
    pub(super) to: Option<Timestamp>,
    pub(super) why: String,
}

/// How the past is kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct History {
    pub(super) state: String,
    pub(super) path: Option<String>,
    pub(super) since: Option<Timestamp>,
    pub(super) bytes: u64,
}

/// A link of `status`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LinkStatus {
    pub(super) name: String,
    pub(super) interface: String,
    pub(super) vlan: Option<u16>,
    pub(super) role: String,
    pub(super) kind: Option<String>,
    pub(super) rx: Option<HookStatus>,
    pub(super) tx: Option<HookStatus>,
}

/// A hook of a link.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HookStatus {
    pub(super) mode: String,
    pub(super) outcomes: Outcomes,
    pub(super) closure_ok: Option<bool>,
}

/// The table of `status`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TableStatus {
    pub(super) sources: Vec<Source>,
    pub(super) ipv4_prefixes: u64,
    pub(super) ipv6_prefixes: u64,
}

/// A source of routes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) prefixes: u64,
    pub(super) age_seconds: Option<u64>,
    pub(super) up: bool,
    pub(super) stale: u64,
}

/// A BGP session, or a BMP router.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Session {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) up: bool,
    pub(super) since: Option<Timestamp>,
    pub(super) peers: Option<u64>,
    pub(super) ipv4_routes: u64,
    pub(super) ipv6_routes: u64,
    pub(super) messages: u64,
    pub(super) losses: u64,
    pub(super) malformed: u64,
    pub(super) last_error: Option<SessionError>,
}

/// What went wrong with a session.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SessionError {
    pub(super) what: String,
}

/// Memory in use.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    pub(super) fib_bytes: u64,
    pub(super) bank_bytes: u64,
}
