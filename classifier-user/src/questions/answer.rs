//! Answers about the past: names and order of the fields are a contract (docs/api.md), to which fields are only ever
//! added.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    model::{Asn, Direction},
    totals::{
        By,
        answer::{Compare, Directions, Row, Total},
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
    /// By link, in the links' order; empty for a link.
    pub links: Vec<LinkFigures>,
    /// Its largest ASes: of a group, a kind, a link, or all traffic. Not there for an AS, and in what comes from memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ases: Option<Directions<Vec<Row>>>,
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

/// What was counted now, and what the history says of a longer period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WithPast<T> {
    /// What is answered of now.
    #[serde(flatten)]
    pub answer: T,
    /// The period that was asked for, where it is longer than the last hour, or given by `from`; not there without a
    /// history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<PastAnswer>,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchAnswer {
    /// What was looked for.
    pub query: String,
    /// Groups, kinds and links whose key or name has it in it, then ASes with this number, or with it in their name, by
    /// traffic; at most 20.
    pub found: Vec<Name>,
}

/// What can be said of networks in sentences: see `classifier report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportAnswer {
    /// The router's name.
    pub router: String,
    /// When the period began, as it is kept.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// The zone of days and evenings.
    pub zone: String,
    /// When the history begins; null while there is none.
    pub since: Option<Timestamp>,
    /// 0 to 1: what part of the period was counted.
    pub covered: f64,
    /// The direction that all numbers are of.
    pub direction: Direction,
    /// All traffic.
    pub total: ReportTotal,
    /// How many networks had traffic: groups, and ASes that are in none.
    pub networks: u32,
    /// The networks that were asked for; the largest where none was.
    pub subjects: Vec<ReportSubject>,
}

/// All traffic of a report's period and direction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportTotal {
    /// Wire bytes.
    pub bytes: u64,
    /// The average over the seconds that were counted.
    pub bits_per_second: u64,
    /// 0 to 1: what part of its IP bytes was IPv6; null without IP.
    pub ipv6_share: Option<f64>,
}

/// A network's volume and place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportPlace {
    /// Which network.
    pub subject: Name,
    /// Wire bytes.
    pub bytes: u64,
    /// 0 to 1, of all bytes of the direction.
    pub share: f64,
    /// From 1 among networks (groups, and ASes that are in none); of an AS that is in a group, among ASes. Null without
    /// traffic.
    pub rank: Option<u32>,
    /// The average over the seconds that were counted.
    pub bits_per_second: u64,
    /// The highest five minutes that began from 18:00 on; null without traffic then, and where five-minute detail of the
    /// period is gone.
    pub evening_peak: Option<PeakAnswer>,
}

/// A network of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportSubject {
    /// Its volume and place.
    #[serde(flatten)]
    pub place: ReportPlace,
    /// The highest five minutes; null without traffic.
    pub peak: Option<PeakAnswer>,
    /// 0 to 1: what part of its bytes was IPv6; null without traffic.
    pub ipv6_share: Option<f64>,
    /// The networks that it was to be held against.
    pub versus: Vec<Versus>,
    /// How it has grown since a day; null unless that was asked for.
    pub growth: Option<Growth>,
    /// Weekends against weekdays; null where there is no whole day of one of them.
    pub weekend: Option<Weekend>,
}

/// A network that another one is held against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versus {
    /// Its volume and place.
    #[serde(flatten)]
    pub place: ReportPlace,
    /// The subject's bytes by this one's; null where it has none.
    pub bytes_ratio: Option<f64>,
    /// The subject's evening peak by this one's; null where one of them is.
    pub evening_ratio: Option<f64>,
}

/// Average days, of whole days of the zone of which at least nine tenths were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// When the first of them began.
    pub from: Timestamp,
    /// When the last of them ended.
    pub to: Timestamp,
    /// How many there were.
    pub days: u32,
    /// Wire bytes in 24 hours, on average.
    pub bytes_per_day: u64,
}

/// Average days before and after a day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// The beginning of that day.
    pub since: Timestamp,
    /// The 28 days before; null where there is no whole day of them.
    pub before: Option<Days>,
    /// All whole days from then on; null where there is none.
    pub after: Option<Days>,
    /// How much more it is than before: 0.1 is a tenth more. Null where before was nothing, or is not known.
    pub change: Option<f64>,
}

/// Average days at weekends and on weekdays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weekend {
    /// Saturdays and Sundays.
    pub weekend: Days,
    /// Mondays to Fridays.
    pub weekday: Days,
    /// How much more a day of a weekend has: 0.1 is a tenth more. Null where weekdays have nothing.
    pub change: Option<f64>,
}

/// Whom to ask for a session: see `classifier report --peering`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeeringAnswer {
    /// The router's name.
    pub router: String,
    /// When the period began, as it is kept.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// The zone of days.
    pub zone: String,
    /// When the history begins; null while there is none.
    pub since: Option<Timestamp>,
    /// 0 to 1: what part of the period was counted.
    pub covered: f64,
    /// The direction that all numbers are of.
    pub direction: Direction,
    /// All traffic of the links looked at.
    pub total: Total,
    /// What of it was on links of the kind `transit`.
    pub transit: PeeringPart,
    /// These links.
    pub links: Vec<PeeringLink>,
    /// The neighbours that transit is bought from: no candidates.
    pub transits: Vec<PeeringTransit>,
    /// The largest origins whose traffic was on these links.
    pub networks: Vec<PeeringCandidate>,
    /// The largest ASes by what went over these links to, from or through them, of those that carry for others.
    pub cones: Vec<PeeringCandidate>,
}

/// What was over transit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeeringPart {
    /// Wire bytes.
    pub bytes: u64,
    /// 0 to 1, of all bytes of the direction.
    pub share: f64,
    /// The average over the seconds that were counted.
    pub bits_per_second: u64,
    /// The 95th percentile of five-minute averages; null where five-minute detail of the period is gone, and for periods of
    /// more than 100 days.
    pub p95_bits_per_second: Option<u64>,
}

/// A link of the kind `transit`, or a candidate's part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeeringLink {
    /// The link's name.
    pub link: String,
    /// Wire bytes: of the link, or of the candidate on it.
    pub bytes: u64,
    /// The average over the seconds that were counted.
    pub bits_per_second: u64,
    /// The link's 95th percentile; null where it is not known.
    pub p95_bits_per_second: Option<u64>,
    /// Of a candidate: the link's 95th percentile without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_without: Option<u64>,
    /// Of a candidate: by how much the link's 95th percentile would fall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed_bits_per_second: Option<u64>,
}

/// A neighbour that transit is bought from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeeringTransit {
    /// The AS.
    pub asn: Asn,
    /// Its name; null where it has none.
    pub name: Option<String>,
    /// Wire bytes that went out by way of it over the transit links.
    pub bytes_out: u64,
    /// Whether the configuration says so; else it was found out.
    pub configured: bool,
}

/// An AS to ask for a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeeringCandidate {
    /// From 1.
    pub rank: u32,
    /// The AS.
    pub asn: Asn,
    /// Its name; null where it has none.
    pub name: Option<String>,
    /// Wire bytes over transit: of it as the origin, and of a cone of all that went through it.
    pub bytes: u64,
    /// What of these it is the origin of.
    pub own_bytes: u64,
    /// 0 to 1, of all bytes over transit.
    pub share: f64,
    /// The average over the seconds that were counted.
    pub bits_per_second: u64,
    /// The 95th percentile of it alone over all transit links; null where it is not known.
    pub p95_bits_per_second: Option<u64>,
    /// Whether traffic goes by way of it as a neighbour already: its session does not get all of it.
    pub neighbor: bool,
    /// The transit links that it is on, and by how much they would be freed; empty where five-minute detail is gone.
    pub links: Vec<PeeringLink>,
}
