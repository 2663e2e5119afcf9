//! Answers about the past: names and order of the fields are a contract (docs/api.md), to which fields are only ever
//! added.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    model::Asn,
    totals::{
        By,
        answer::{Compare, Directions},
    },
};

/// What an answer is about: only the key of its sort is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The AS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<Asn>,
    /// The group's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The kind of groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The link's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// What no key names: `other`, `unmatched`, `non_ip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<String>,
    /// The AS's or group's name; null where it has none.
    pub name: Option<String>,
}

/// The highest five minutes of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakAnswer {
    /// Bits a second over these five minutes.
    pub bits_per_second: u64,
    /// When they began.
    pub at: Timestamp,
}

/// One direction of a subject over a period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Wire packets.
    pub packets: u64,
    /// Wire bytes.
    pub bytes: u64,
    /// 0 to 1, of all bytes of the direction.
    pub share: f64,
    /// From 1 among those of its sort, by bytes; null without traffic, and for all traffic together.
    pub rank: Option<u32>,
    /// The average over the seconds that were counted.
    pub bits_per_second: u64,
    /// The highest five minutes; null without traffic.
    pub peak: Option<PeakAnswer>,
    /// The 95th percentile of five-minute averages; null where five-minute detail of the period is gone, and for periods of
    /// more than 100 days.
    pub p95_bits_per_second: Option<u64>,
    /// 0 to 1: what part of its IP bytes was IPv6; null without IP.
    pub ipv6_share: Option<f64>,
    /// Bytes in the period of the same length before, where that was asked for and anything is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_bytes: Option<u64>,
    /// How much more it is than in the period before, by average rates: 0.1 is a tenth more. Not there without
    /// `previous_bytes`, or where that is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<f64>,
}

/// A part of a subject's traffic: by link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkFigures {
    /// The link's name.
    pub link: String,
    /// The directions that were asked for.
    pub directions: Directions<Figures>,
}

/// A month of a subject, frozen when it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MonthAnswer {
    /// `2026-10`.
    pub month: String,
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// The zone whose month it is.
    pub zone: String,
    /// Bytes in.
    pub bytes_in: u64,
    /// Bytes out.
    pub bytes_out: u64,
    /// The 95th percentile in, bits a second.
    pub p95_in: u64,
    /// The 95th percentile out, bits a second.
    pub p95_out: u64,
    /// The larger of both: what is billed.
    pub p95: u64,
    /// 0 to 1: what part of the month was counted.
    pub covered: f64,
}

/// A subject over a period of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastAnswer {
    /// The router's name.
    pub router: String,
    /// When the period began, as it is kept.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// The zone of days and months.
    pub zone: String,
    /// When the history begins; null while there is none.
    pub since: Option<Timestamp>,
    /// 0 to 1: what part of the period was counted.
    pub covered: f64,
    /// The period before, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
    /// What sort of subject it is; null for all traffic.
    pub by: Option<By>,
    /// Which one.
    pub subject: Name,
    /// The directions that were asked for.
    pub directions: Directions<Figures>,
    /// The larger direction's 95th percentile: what is billed; null where it is not known.
    pub p95_bits_per_second: Option<u64>,
    /// By link, in the links' order.
    pub links: Vec<LinkFigures>,
    /// Months that are over, oldest first.
    pub months: Vec<MonthAnswer>,
}

/// The course of traffic over a period, to draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesAnswer {
    /// The router's name.
    pub router: String,
    /// When the first step begins.
    pub from: Timestamp,
    /// When the last step ends.
    pub to: Timestamp,
    /// The zone of days.
    pub zone: String,
    /// When the history begins; null while there is none.
    pub since: Option<Timestamp>,
    /// What a layer is; null for one subject alone.
    pub by: Option<By>,
    /// What it is about; no key for all traffic of the links looked at.
    pub subject: Name,
    /// The steps, oldest first, one after the other without a hole.
    pub steps: Vec<StepAnswer>,
    /// Largest first; then `other`, `unmatched` and `non_ip`, where they have traffic. They add up to the total.
    pub layers: Vec<Layer>,
    /// All frames of the links looked at, or all of the subject.
    pub total: Directions<Course>,
}

/// A step of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepAnswer {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// Seconds of it that were counted; 0 is a gap.
    pub covered_seconds: u32,
}

/// One layer of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// What it is.
    pub subject: Name,
    /// The directions that were asked for.
    pub directions: Directions<Course>,
}

/// The course of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Bytes of the whole period.
    pub bytes: u64,
    /// Bits a second, a value a step, over the seconds counted; null in a gap.
    pub bits_per_second: Vec<Option<u64>>,
}
