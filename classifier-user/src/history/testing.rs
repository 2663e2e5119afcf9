//! A past in memory that is read slot by slot: what the store is held against, and what questions are asked of in tests.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::{
    ClosedSlot, Extent, Kind, Links, Month, Part, Peak, Period, Point, Read, ReadError, Row, SLOT_SECONDS,
    Sample, Step, StoredLink, StoredPrefix, Subject, Sum, Sums, bits_per_second, percentile_95,
};
use crate::model::{Direction, Role};

/// The past, slot by slot.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) links: Vec<StoredLink>,
    pub(crate) groups: Vec<String>,
    pub(crate) prefixes: Vec<StoredPrefix>,
    pub(crate) slots: BTreeMap<i64, ClosedSlot>,
    pub(crate) zone: TimeZone,
}

/// When a slot begins.
pub(crate) fn begins(slot: i64) -> Timestamp {
    Timestamp::from_second(slot * SLOT_SECONDS).expect("a time")
}

impl Known {
    pub(crate) fn new(links: Vec<StoredLink>, zone: TimeZone) -> Self {
        Self { links, groups: Vec::new(), prefixes: Vec::new(), slots: BTreeMap::new(), zone }
    }

    pub(crate) fn push(&mut self, slot: ClosedSlot) {
        self.slots.insert(slot.number, slot);
    }

    fn wanted(&self, links: &Links, row: &Row) -> bool {
        match links {
            Links::Only(links) => links.contains(&row.link),
            Links::Isp => {
                let upstream = self.links.iter().any(|link| link.role == Role::Upstream);
                let role = if upstream { Role::Upstream } else { Role::Downstream };
                self.links.iter().any(|link| link.number == row.link && link.role == role)
            }
        }
    }

    /// The steps that a period touches.
    fn steps(&self, period: Period, step: Step) -> Vec<Period> {
        if period.from >= period.to {
            return Vec::new();
        }
        let seconds = match step {
            Step::Slot => SLOT_SECONDS,
            Step::Hour => 3600,
            Step::Day => {
                let mut day = period.from.to_zoned(self.zone.clone()).start_of_day().expect("a day");
                let mut days = Vec::new();
                while day.timestamp() < period.to {
                    let next = day.checked_add(1.day()).and_then(|day| day.start_of_day()).expect("a day");
                    days.push(Period { from: day.timestamp(), to: next.timestamp() });
                    day = next;
                }
                return days;
            }
        };
        let at = |second| Timestamp::from_second(second).expect("a time");
        let first = period.from.as_second().div_euclid(seconds);
        (first..)
            .map(|step| Period { from: at(step * seconds), to: at((step + 1) * seconds) })
            .take_while(|step| step.from < period.to)
            .collect()
    }

    fn within(&self, period: Period) -> impl Iterator<Item = &ClosedSlot> {
        let first = period.from.as_second().div_euclid(SLOT_SECONDS);
        let last = (period.to.as_second() + SLOT_SECONDS - 1).div_euclid(SLOT_SECONDS);
        let last = if period.from < period.to { last } else { first };
        self.slots.range(first..last.max(first)).map(|(_, slot)| slot)
    }

    fn point(&self, kind: Kind, subjects: &[Subject], period: Period, links: &Links) -> Point {
        let mut point = Point { period, covered: 0, samples: Default::default(), peaks: [None; 2] };
        for slot in self.within(period) {
            point.covered += slot.covered;
            let mut here = [Sample::default(); 2];
            let ours =
                |row: &&Row| row.kind == kind && subjects.contains(&row.subject) && self.wanted(links, row);
            for row in slot.rows.iter().filter(ours) {
                here[row.direction as usize] += row.sample;
            }
            for direction in Direction::ALL.map(|direction| direction as usize) {
                point.samples[direction] += here[direction];
                let rate = bits_per_second(here[direction].both().bytes, u64::from(slot.covered));
                if rate > 0 && point.peaks[direction].is_none_or(|peak| rate > peak.bits_per_second) {
                    point.peaks[direction] = Some(Peak { bits_per_second: rate, at: begins(slot.number) });
                }
            }
        }
        point
    }
}

impl Read for Known {
    fn extent(&self) -> Result<Extent, ReadError> {
        let since = self.slots.keys().next().map(|&slot| begins(slot));
        let until = self.slots.keys().next_back().map_or(Timestamp::UNIX_EPOCH, |&slot| begins(slot + 1));
        Ok(Extent { since, until, slots_since: since, zone: self.zone.clone() })
    }

    fn links(&self) -> Result<Vec<StoredLink>, ReadError> {
        Ok(self.links.clone())
    }

    fn sums(&self, kind: Kind, period: Period, links: &Links) -> Result<Sums, ReadError> {
        let mut rows = BTreeMap::<Subject, [Sample; 2]>::new();
        let mut covered = 0;
        for slot in self.within(period) {
            covered += u64::from(slot.covered);
            for row in slot.rows.iter().filter(|row| row.kind == kind && self.wanted(links, row)) {
                rows.entry(row.subject).or_default()[row.direction as usize] += row.sample;
            }
        }
        let steps = self.steps(period, Step::Slot);
        let period = match (steps.first(), steps.last()) {
            (Some(first), Some(last)) => Period { from: first.from, to: last.to },
            _ => period,
        };
        let rows = rows.into_iter().map(|(subject, samples)| Sum { subject, samples }).collect();
        Ok(Sums { period, covered, rows })
    }

    fn series(
        &self,
        kind: Kind,
        subjects: &[Subject],
        period: Period,
        links: &Links,
        step: Step,
    ) -> Result<Vec<Point>, ReadError> {
        let steps = self.steps(period, step);
        Ok(steps.into_iter().map(|step| self.point(kind, subjects, step, links)).collect())
    }

    fn months(&self, kind: Kind, subject: Subject) -> Result<Vec<Month>, ReadError> {
        let extent = self.extent()?;
        let Some(since) = extent.since else { return Ok(Vec::new()) };
        let mut month = since.to_zoned(self.zone.clone()).first_of_month().expect("a month");
        let mut months = Vec::new();
        loop {
            month = month.start_of_day().expect("a day");
            let next = month.checked_add(1.month()).and_then(|day| day.start_of_day()).expect("a month");
            if next.timestamp() > extent.until {
                return Ok(months);
            }
            let period = Period { from: month.timestamp(), to: next.timestamp() };
            let points = self.series(kind, &[subject], period, &Links::Isp, Step::Slot)?;
            let counted: Vec<&Point> = points.iter().filter(|point| point.covered > 0).collect();
            let bytes = |d: usize| counted.iter().map(|point| point.samples[d].both().bytes).sum();
            let p95 = |d: usize| {
                let rate =
                    |point: &&Point| bits_per_second(point.samples[d].both().bytes, u64::from(point.covered));
                percentile_95(&mut counted.iter().map(rate).collect::<Vec<_>>()).unwrap_or(0)
            };
            months.push(Month {
                period,
                zone: self.zone.iana_name().unwrap_or("UTC").to_owned(),
                covered: counted.iter().map(|point| u64::from(point.covered)).sum(),
                bytes: [bytes(0), bytes(1)],
                p95: [p95(0), p95(1)],
            });
            month = next;
        }
    }

    fn group(&self, key: &str) -> Result<Option<Subject>, ReadError> {
        Ok(self.groups.iter().position(|group| group == key).map(|place| place as Subject))
    }

    fn prefix(&self, subject: Subject) -> Result<Option<StoredPrefix>, ReadError> {
        Ok(self.prefixes.get(subject as usize).copied())
    }
}

/// A link of this number and name, upstream.
pub(crate) fn upstream(number: u8, name: &str) -> StoredLink {
    StoredLink { number: super::LinkNo(number), name: name.to_owned(), role: Role::Upstream, kind: None }
}

/// Rows of a slot in which each (AS, bytes in, bytes out) had that on link 0, in packets of 1000 bytes, and the link no
/// more than that.
pub(crate) fn slot(number: i64, traffic: &[(Subject, u64, u64)]) -> ClosedSlot {
    use crate::model::Counter;
    let link = super::LinkNo(0);
    let sample =
        |bytes: u64| Sample { ipv4: Counter { packets: bytes.div_ceil(1000), bytes }, ..Sample::default() };
    let mut rows = Vec::new();
    let mut totals = [Sample::default(); 2];
    for &(subject, inward, outward) in traffic {
        for (direction, bytes) in Direction::ALL.into_iter().zip([inward, outward]) {
            if bytes > 0 {
                rows.push(Row { kind: Kind::As, subject, link, direction, sample: sample(bytes) });
                totals[direction as usize] += sample(bytes);
            }
        }
    }
    for (direction, sample) in Direction::ALL.into_iter().zip(totals) {
        if sample != Sample::default() {
            rows.push(Row { kind: Kind::Link, subject: Part::Ip as u32, link, direction, sample });
        }
    }
    rows.sort_unstable_by_key(Row::key);
    ClosedSlot { number, covered: SLOT_SECONDS as u32, rows }
}
