//! What the HTTP API answers and the command line reads: names and order of the fields are a contract
//! (docs/api.md), to which fields are only ever added.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::agent::{
    CountMode, GapStatus, Granularity, HistoryState, HistoryStatus, HookStatus, LinkAnswer, LinkDirection,
    LinkStatus, LinksAnswer, MemoryStatus, NeighborStatistics, OpenSlotStatus, SessionError, SessionStatus,
    SourceStatus, StatusAnswer, Strangers, SweepStatus, TableStatus,
};
use super::query::By;
use crate::model::{Asn, Counter, Direction, LinkKind, Locality, Outcome, Role};

mod agent;

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
    /// The zone of days (IANA name), where there is a history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// When the history begins, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// 0 to 1: what part of the period was counted; not there in what comes from memory, which has no gaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered: Option<f64>,
    /// The period before, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
    /// The directions that were asked for.
    pub directions: Directions<TopDirection>,
}

/// The period that another one is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compare {
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// 0 to 1: what part of it was counted. At 0 nothing is known of it, and nothing is compared.
    pub covered: f64,
}

/// One direction of [`TopAnswer`]: `rows`, `other`, `unmatched`, `non_ip` and `no_path` add up to `total`, but for the
/// packets that came while a sweep read the counters. By transit they do not: a packet is in the row of each AS on its
/// way, and `other` is zero.
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
    /// By neighbour: what matched a route of which no AS path is known, or whose path is the ISP's own alone. By transit
    /// it is in the rows of its origins all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_path: Option<Part>,
    /// `total`'s bytes in the period before, where that was asked for and anything is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_bytes: Option<u64>,
    /// How much more `total` is than in the period before, by average rates: 0.1 is a tenth more. Not there without
    /// `previous_bytes`, or where that is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<f64>,
}

/// A row: one AS (by neighbour and transit, too), prefix, group, kind or link. Only the key that was asked for is there (a
/// prefix has its `asn` too).
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
    /// Bytes in the period before, where that was asked for and anything is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_bytes: Option<u64>,
    /// How much more it is than in the period before, by average rates: 0.1 is a tenth more. Not there without
    /// `previous_bytes`, or where that is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<f64>,
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
    /// Of an AS and a group, where AS paths are known: by which neighbours its traffic went over the answer's period,
    /// largest first; what has no path is last. They add up to what it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbors: Option<Vec<WayRow>>,
    /// Of an AS, where AS paths are known: what it carried for others over the answer's period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Part>,
    /// For which origins it carried: the largest over the answer's period whose paths go through it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Vec<WayRow>>,
}

/// A neighbour of an AS's traffic, or an AS behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WayRow {
    /// The AS; null: no path is known.
    pub asn: Option<Asn>,
    /// Its name; null where there is none.
    pub name: Option<String>,
    /// Wire packets.
    pub packets: u64,
    /// Wire bytes.
    pub bytes: u64,
    /// Bits a second over the period, rounded.
    pub bits_per_second: u64,
    /// 0 to 1, of all bytes of the direction.
    pub share: f64,
    /// 0 to 1: of what the AS or group had, or of all that is behind it.
    pub part: f64,
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
