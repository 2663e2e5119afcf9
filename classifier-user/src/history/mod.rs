//! The past: what was counted, in slots of five minutes, rolled up to hours and days.
//!
//! Everything here speaks in [`Subject`]s (an AS, a prefix, a group, or a part of a link's traffic) seen on a link in a
//! direction, and in [`Sample`]s: packets and bytes by IP version. Whoever asks sees the past through [`Read`]; how it is
//! kept is the store's business.

use std::fmt;

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::model::{Asn, Counter, Direction, LinkKind, Prefix, Role};

pub mod export;
pub mod import;
pub mod keeper;
pub mod recorder;
pub mod store;
pub mod synthesis;
#[cfg(test)]
pub(crate) mod testing;

/// Seconds of a slot. Slots begin at whole multiples of it since 1970 (UTC).
pub const SLOT_SECONDS: i64 = 300;

/// What a subject is a number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// An AS number. [`NO_AS`] is IP without an origin; [`REST`] is ASes that were folded together.
    As = 0,
    /// A part of a link's traffic: a [`Part`]'s number.
    Link = 1,
    /// A group as it was then: the number that the store gave its key.
    Group = 2,
    /// A prefix with its origin: the number that the store gave it. Only those that were among the largest of their AS.
    Prefix = 3,
    /// The AS number of a neighbour: the first AS of a path, by which traffic came or went. What has none has no row.
    Neighbor = 4,
    /// An AS number: what it carried for others, being on the path and not the origin. With what it has as [`Kind::As`]
    /// that is all traffic through it.
    Transit = 5,
}

/// Something that traffic is told of: see [`Kind`].
pub type Subject = u32;

/// IP whose remote address has no route, or one whose origin is AS 0 (RFC 7607).
pub const NO_AS: Subject = 0;
/// ASes too small to be kept apart when space ran short (4294967295 is reserved, RFC 7300).
pub const REST: Subject = u32::MAX;

/// A part of a link's traffic, a subject of [`Kind::Link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Part {
    /// Every IP packet, by version.
    Ip = 0,
    /// Frames without IP, malformed and unsupported ones; counted as [`Sample::ipv4`], for want of a version.
    Other = 1,
}

/// A link's number in the store, given once to a (name, role) and never to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkNo(pub u8);

/// A link that was counted at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLink {
    /// Its number.
    pub number: LinkNo,
    /// What people call it.
    pub name: String,
    /// Which way it faces.
    pub role: Role,
    /// What it is commercially, as last configured.
    pub kind: Option<LinkKind>,
}

/// Packets and bytes on the wire by IP version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// IPv4.
    pub ipv4: Counter,
    /// IPv6.
    pub ipv6: Counter,
}

impl Sample {
    /// Both versions.
    #[must_use]
    pub fn both(&self) -> Counter {
        self.ipv4 + self.ipv6
    }
}

impl std::ops::AddAssign for Sample {
    fn add_assign(&mut self, other: Self) {
        self.ipv4 += other.ipv4;
        self.ipv6 += other.ipv6;
    }
}

/// A stretch of time, `from` in and `to` out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

impl Period {
    /// Its length in seconds.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.to.as_second() - self.from.as_second()
    }
}

/// Which links are looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Links {
    /// Those of the ISP's totals: upstream ones where there are any, else all. No packet is counted twice.
    Isp,
    /// These.
    Only(Vec<LinkNo>),
}

/// How finely time is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Five minutes.
    Slot,
    /// An hour, from the full hour (UTC).
    Hour,
    /// A day of the zone it was recorded in: 23 to 25 hours.
    Day,
}

/// The highest five minutes of a longer step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// Bits a second over that slot.
    pub bits_per_second: u64,
    /// When it began.
    pub at: Timestamp,
}

/// One step of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The step.
    pub period: Period,
    /// How many of its seconds were counted. 0: a gap, of which nothing is known.
    pub covered: u32,
    /// By [`Direction`].
    pub samples: [Sample; 2],
    /// By [`Direction`]: the highest slot within the step, both IP versions and all links that were asked for together;
    /// `None` without traffic. With [`Links::Only`] of several links, steps longer than a slot have the sum of the links'
    /// own peaks, and the time of the largest.
    pub peaks: [Option<Peak>; 2],
}

/// A subject's sum over a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Whose.
    pub subject: Subject,
    /// By [`Direction`].
    pub samples: [Sample; 2],
}

/// Sums of all subjects of a kind over a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// The period that they are of: the one asked for, moved outwards to what is kept (slots; where these are gone hours;
    /// where these are gone days).
    pub period: Period,
    /// How many of its seconds were counted.
    pub covered: u64,
    /// Ascending by subject; none is zero.
    pub rows: Vec<Sum>,
}

/// A calendar month's figures of one subject, frozen when the month ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Month {
    /// Its first day's beginning and its last day's end, in the zone it was recorded in.
    pub period: Period,
    /// The zone (IANA name).
    pub zone: String,
    /// How many of its seconds were counted.
    pub covered: u64,
    /// Bytes by [`Direction`].
    pub bytes: [u64; 2],
    /// The 95th percentile of its five-minute averages by [`Direction`], in bits a second: [`percentile_95`].
    pub p95: [u64; 2],
}

/// What there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Extent {
    /// When the first slot began; `None` before anything was kept.
    pub since: Option<Timestamp>,
    /// When the last slot ended.
    pub until: Timestamp,
    /// From when on there is five-minute detail of ASes.
    pub slots_since: Option<Timestamp>,
    /// The zone that days and months are of.
    pub zone: TimeZone,
}

/// A prefix and its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoredPrefix {
    /// The prefix.
    pub prefix: Prefix,
    /// Its origin AS.
    pub asn: Asn,
}

/// Why the past could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the history could not be read: {0}")]
pub struct ReadError(pub String);

/// The past, for those who ask. Every method may take as long as a disk does: not for the core's thread.
pub trait Read: Send + Sync + fmt::Debug {
    /// What there is.
    ///
    /// # Errors
    /// [`ReadError`].
    fn extent(&self) -> Result<Extent, ReadError>;

    /// Every link there ever was, by number.
    ///
    /// # Errors
    /// [`ReadError`].
    fn links(&self) -> Result<Vec<StoredLink>, ReadError>;

    /// Sums of all subjects of a kind over a period.
    ///
    /// # Errors
    /// [`ReadError`].
    fn sums(&self, kind: Kind, period: Period, links: &Links) -> Result<Sums, ReadError>;

    /// The course of these subjects taken together: a point for each step that `period` touches, gaps included; an empty period
    /// touches none. Where the
    /// detail is gone, steps are longer than asked for.
    ///
    /// # Errors
    /// [`ReadError`].
    fn series(
        &self,
        kind: Kind,
        subjects: &[Subject],
        period: Period,
        links: &Links,
        step: Step,
    ) -> Result<Vec<Point>, ReadError>;

    /// [`Read::series`] for each of several sets of links, in one reading where that can be.
    ///
    /// # Errors
    /// [`ReadError`].
    fn series_of_each(
        &self,
        kind: Kind,
        subjects: &[Subject],
        period: Period,
        sets: &[Links],
        step: Step,
    ) -> Result<Vec<Vec<Point>>, ReadError> {
        sets.iter().map(|links| self.series(kind, subjects, period, links, step)).collect()
    }

    /// The frozen months of a subject over the ISP's links, oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    fn months(&self, kind: Kind, subject: Subject) -> Result<Vec<Month>, ReadError>;

    /// The number of a group's key; `None` if it never had traffic.
    ///
    /// # Errors
    /// [`ReadError`].
    fn group(&self, key: &str) -> Result<Option<Subject>, ReadError>;

    /// The prefix of a subject of [`Kind::Prefix`].
    ///
    /// # Errors
    /// [`ReadError`].
    fn prefix(&self, subject: Subject) -> Result<Option<StoredPrefix>, ReadError>;
}

/// Bits a second of this many bytes in this many seconds, rounded; 0 for no time.
#[must_use]
pub fn bits_per_second(bytes: u64, seconds: u64) -> u64 {
    if seconds == 0 {
        return 0;
    }
    let bits = u128::from(bytes) * 8;
    ((bits + u128::from(seconds) / 2) / u128::from(seconds)).try_into().unwrap_or(u64::MAX)
}

/// The 95th percentile as in billing by peak: of `samples` five-minute averages the highest 5 % are left out, and the highest
/// of the others is taken (nearest rank: place ⌈0.95 n⌉ in ascending order). Slots that were not counted are no samples;
/// counted ones without traffic are, with 0. `None` without samples.
#[must_use]
pub fn percentile_95(samples: &mut [u64]) -> Option<u64> {
    let place = (samples.len() * 95).div_ceil(100).checked_sub(1)?;
    Some(*samples.select_nth_unstable(place).1)
}

/// One slot that is over, as the store takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClosedSlot {
    /// When it began, in slots since 1970: [`SLOT_SECONDS`].
    pub number: i64,
    /// How many seconds of it were counted, by a clock that does not jump. Usually 300; more where the system's clock was
    /// set back and the slot was held open meanwhile.
    pub covered: u32,
    /// Ascending by (kind, subject, link, direction), none twice, none zero.
    pub rows: Vec<Row>,
}

/// What a subject had on a link in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What the subject is.
    pub kind: Kind,
    /// Whose.
    pub subject: Subject,
    /// Where.
    pub link: LinkNo,
    /// Which way.
    pub direction: Direction,
    /// How much.
    pub sample: Sample,
}

impl Row {
    /// What rows are sorted by.
    #[must_use]
    pub const fn key(&self) -> (Kind, Subject, LinkNo, Direction) {
        (self.kind, self.subject, self.link, self.direction)
    }
}

/// How long what is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Days of five-minute detail of ASes and prefixes.
    pub slot_days: u32,
    /// Days of hours of ASes and prefixes, and of five-minute detail of links and groups.
    pub hour_days: u32,
    /// Days of days; `None`: for ever.
    pub day_days: Option<u32>,
    /// Bytes on disk that are not exceeded: the oldest detail goes first.
    pub max_bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { slot_days: 35, hour_days: 731, day_days: None, max_bytes: 10_000_000_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_95th_percentile_by_hand() {
        assert_eq!(percentile_95(&mut []), None);
        assert_eq!(percentile_95(&mut [7]), Some(7));
        // 20 samples: the highest one is left out.
        assert_eq!(percentile_95(&mut (1..=20).rev().collect::<Vec<_>>()), Some(19));
        assert_eq!(percentile_95(&mut (1..=21).collect::<Vec<_>>()), Some(20));
        // A month of 30 days: 8640 samples, 432 are left out.
        assert_eq!(percentile_95(&mut (1..=8640).collect::<Vec<_>>()), Some(8208));
    }

    #[test]
    fn rates_are_rounded_and_do_not_overflow() {
        assert_eq!(bits_per_second(300, 300), 8);
        assert_eq!(bits_per_second(1, 300), 0);
        assert_eq!(bits_per_second(19, 300), 1);
        assert_eq!(bits_per_second(u64::MAX, 8), u64::MAX);
        assert_eq!(bits_per_second(5, 0), 0);
    }
}
