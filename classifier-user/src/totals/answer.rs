//! What the HTTP API answers and the command line reads: names and order of the fields are a contract
//! (docs/api.md), to which fields are only ever added.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::query::By;
use crate::model::{Asn, Counter, Direction, LinkKind, Locality, Mode, Outcome, Role};

/// A value for each direction that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Directions<T> {
    /// Towards the ISP.
    #[serde(rename = "in", default = "none", skip_serializing_if = "Option::is_none")]
    pub inward: Option<T>,
    /// Towards the Internet.
    #[serde(rename = "out", default = "none", skip_serializing_if = "Option::is_none")]
    pub outward: Option<T>,
}

// `#[serde(default)]` alone would ask for `T: Default`.
fn none<T>() -> Option<T> {
    None
}

impl<T> Directions<T> {
    /// What `value` gives for each direction, or for `only` the one.
    ///
    /// # Errors
    /// The first error of `value`.
    pub fn try_of<E>(
        only: Option<Direction>,
        mut value: impl FnMut(Direction) -> Result<T, E>,
    ) -> Result<Self, E> {
        let mut of = |direction| match only {
            Some(only) if only != direction => Ok(None),
            _ => value(direction).map(Some),
        };
        Ok(Self { inward: of(Direction::In)?, outward: of(Direction::Out)? })
    }

    /// The value of a direction; `None` where it was not asked for.
    #[must_use]
    pub const fn get(&self, direction: Direction) -> Option<&T> {
        match direction {
            Direction::In => self.inward.as_ref(),
            Direction::Out => self.outward.as_ref(),
        }
    }

    /// Those that are there, in the order in which they are shown.
    pub fn iter(&self) -> impl Iterator<Item = (Direction, &T)> {
        Direction::ALL.into_iter().filter_map(|direction| Some((direction, self.get(direction)?)))
    }
}

/// Packets and bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Wire packets.
    pub packets: u64,
    /// Wire bytes.
    pub bytes: u64,
}

impl From<Counter> for Amount {
    fn from(Counter { packets, bytes }: Counter) -> Self {
        Self { packets, bytes }
    }
}

/// An amount and its rate over the answer's period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Wire packets.
    pub packets: u64,
    /// Wire bytes.
    pub bytes: u64,
    /// Bits a second over the period, rounded.
    pub bits_per_second: u64,
}

/// An amount, its rate and its share over the answer's period.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Wire packets.
    pub packets: u64,
    /// Wire bytes.
    pub bytes: u64,
    /// Bits a second over the period, rounded.
    pub bits_per_second: u64,
    /// 0 to 1, of all bytes of the direction.
    pub share: f64,
}

/// Every outcome's amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// IPv4 frames.
    pub ipv4: Amount,
    /// IPv6 frames.
    pub ipv6: Amount,
    /// Frames without IP.
    pub non_ip: Amount,
    /// Frames whose header is cut or contradicts itself.
    pub malformed: Amount,
    /// Frames that were not walked to the end.
    pub unsupported: Amount,
}

impl From<[Counter; 5]> for Outcomes {
    fn from(outcomes: [Counter; 5]) -> Self {
        let of = |outcome: Outcome| outcomes.get(outcome as usize).copied().unwrap_or_default().into();
        Self {
            ipv4: of(Outcome::Ipv4),
            ipv6: of(Outcome::Ipv6),
            non_ip: of(Outcome::NonIp),
            malformed: of(Outcome::Malformed),
            unsupported: of(Outcome::Unsupported),
        }
    }
}

/// `top`: who sent or received most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopAnswer {
    /// The router's name.
    pub router: String,
    /// When the period began: a sweep's time, or the agent's start.
    pub from: Timestamp,
    /// When it ended: the last sweep's time.
    pub to: Timestamp,
    /// What a row is.
    pub by: By,
    /// Which address of the packets is looked at.
    pub side: Locality,
    /// The directions that were asked for.
    pub directions: Directions<TopDirection>,
}

/// One direction of [`TopAnswer`]: `rows`, `other`, `unmatched` and `non_ip` add up to `total`, but for the packets
/// that came while a sweep read the counters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopDirection {
    /// Every frame, whatever became of it.
    pub total: Total,
    /// The largest, by bytes.
    pub rows: Vec<Row>,
    /// What matched a route and is in no row: beyond `n`, or in no group.
    pub other: Part,
    /// IP without a route, or with a route whose origin is AS 0.
    pub unmatched: Part,
    /// Frames without IP, malformed and unsupported ones.
    pub non_ip: Part,
}

/// A row: one AS, prefix, group, kind or link. Only the key that was asked for is there (a prefix has its `asn` too).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// From 1.
    pub rank: u32,
    /// The prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The AS, or the prefix's origin AS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<Asn>,
    /// The group's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The kind of the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The link's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The AS's or group's name; null where there is none.
    pub name: Option<String>,
    /// Wire packets.
    pub packets: u64,
    /// Wire bytes.
    pub bytes: u64,
    /// Bits a second over the period, rounded.
    pub bits_per_second: u64,
    /// 0 to 1, of all bytes of the direction.
    pub share: f64,
}

/// `as`: one AS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AsAnswer {
    /// The router's name.
    pub router: String,
    /// When the period of the lists began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// The AS.
    pub asn: Asn,
    /// Its name; null where it has none.
    pub name: Option<String>,
    /// The key of its group; null where it is in none.
    pub group: Option<String>,
    /// Which address of the packets is looked at.
    pub side: Locality,
    /// The directions that were asked for; each has `prefixes`, unless prefixes are not counted.
    pub directions: Directions<Detail>,
}

/// `prefix`: the routes inside an address range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrefixAnswer {
    /// The router's name.
    pub router: String,
    /// When the period of the lists began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// The prefix, as asked for.
    pub prefix: String,
    /// The origin AS of the routes in it; null where there are several, or AS 0.
    pub asn: Option<Asn>,
    /// That AS's name.
    pub name: Option<String>,
    /// How many routes are equal to the prefix or inside it, past ones included.
    pub routes: u64,
    /// Which address of the packets is looked at.
    pub side: Locality,
    /// The directions that were asked for; each has `prefixes`.
    pub directions: Directions<Detail>,
}

/// `group`: the ASes of a group as one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupAnswer {
    /// The router's name.
    pub router: String,
    /// When the period of the lists began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// The group's key.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its ASes.
    pub asns: Vec<Asn>,
    /// Which address of the packets is looked at.
    pub side: Locality,
    /// The directions that were asked for; each has `ases`.
    pub directions: Directions<Detail>,
}

/// One direction of one AS, prefix or group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detail {
    /// Since the agent started.
    pub since_start: Standing,
    /// Over the last hour.
    pub last_1h: Standing,
    /// Over the last five minutes.
    pub last_5m: Standing,
    /// Over the last sweeps.
    pub now: Rate,
    /// IPv4's part of `since_start`.
    pub ipv4: Amount,
    /// IPv6's part of `since_start`.
    pub ipv6: Amount,
    /// Each link's part of `since_start` and `now`, in the configuration's order.
    pub links: Vec<LinkPart>,
    /// The largest prefixes over the answer's period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefixes: Option<Vec<Row>>,
    /// The largest ASes over the answer's period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ases: Option<Vec<Row>>,
}

/// What one AS, prefix or group was over a period, among all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// When the period began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// Wire packets.
    pub packets: u64,
    /// Wire bytes.
    pub bytes: u64,
    /// Bits a second over the period, rounded.
    pub bits_per_second: u64,
    /// 0 to 1, of all bytes of the direction.
    pub share: f64,
    /// From 1 among all of its sort, by bytes; null without traffic, and for several routes taken together.
    pub rank: Option<u32>,
}

/// A rate over the last sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// How long that was.
    pub seconds: f64,
    /// Packets a second, rounded.
    pub packets_per_second: u64,
    /// Bits a second, rounded.
    pub bits_per_second: u64,
}

/// A link's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkPart {
    /// The link's name.
    pub link: String,
    /// Which way it faces.
    pub role: Role,
    /// What it is commercially.
    pub kind: Option<LinkKind>,
    /// Wire packets since the agent started.
    pub packets: u64,
    /// Wire bytes since the agent started.
    pub bytes: u64,
    /// Bits a second over the last sweeps, rounded.
    pub bits_per_second: u64,
}

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
    /// What is not as it should be, for people.
    pub warnings: Vec<String>,
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
    /// Whether it works: false after a reload that failed.
    pub up: bool,
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

/// What is answered in place of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// The error.
    pub error: ErrorBody,
}

/// An error for programs and people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// For programs: `bad_parameter`, `not_counted`, `not_found`, `ambiguous`, `method_not_allowed`, `internal`.
    pub code: String,
    /// For people: what is wrong and what to do.
    pub message: String,
    /// What may have been meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<String>,
}
