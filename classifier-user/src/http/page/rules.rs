//! What of the answers is published. Rules work on answers, before anything is drawn or written of them: what they take
//! out is in no page, graph, table or file.

use std::time::Duration;

use jiff::Timestamp;

use super::layers;
pub(super) use crate::config::public::Rules;
use crate::{
    history::SLOT_SECONDS,
    model::{Asn, Direction},
    questions::{
        When,
        answer::{Course, Figures, LinkFigures, Name, PastAnswer, SeriesAnswer},
    },
    table::groups::Groups,
    totals::{
        By,
        answer::{Directions, Part, Row, TopAnswer, TopDirection},
    },
};

/// How a subject stands among what is published: by direction its rank, if it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing(pub(super) [Option<u32>; 2]);

impl Standing {
    /// Where this subject is in a ranking that was published.
    pub(super) fn of(top: &TopAnswer, is: impl Fn(&Row) -> bool) -> Self {
        Self(Direction::ALL.map(|direction| {
            let rows = &top.directions.get(direction)?.rows;
            rows.iter().find(|row| is(row)).map(|row| row.rank)
        }))
    }

    pub(super) const fn is_published(self) -> bool {
        matches!(self.0, [Some(_), _] | [_, Some(_)])
    }
}

impl Rules {
    /// The period of this length that is shown.
    pub(super) fn when(&self, now: Timestamp, length: Duration) -> When {
        if self.delay.is_zero() {
            return When::Last(length);
        }
        // Whole slots: within one, everybody sees the same.
        let late = now.checked_sub(self.delay).unwrap_or(Timestamp::UNIX_EPOCH);
        let end = Timestamp::from_second(late.as_second().div_euclid(SLOT_SECONDS) * SLOT_SECONDS);
        let to = end.unwrap_or(late);
        When::Between { from: to.checked_sub(length).unwrap_or(Timestamp::UNIX_EPOCH), to: Some(to) }
    }

    /// Whether an AS is hidden.
    fn hides_as(&self, asn: Asn, groups: &Groups) -> bool {
        self.hide_ases.contains(&asn)
            || groups.of(asn).and_then(|place| groups.all().get(place)).is_some_and(|group| {
                self.hide_groups.iter().any(|hidden| hidden.eq_ignore_ascii_case(&group.key))
            })
    }

    /// Whether a group is hidden.
    pub(super) fn hides_group(&self, key: &str, groups: &Groups) -> bool {
        self.hide_groups.iter().any(|hidden| hidden.eq_ignore_ascii_case(key))
            || groups.find(key).is_some_and(|group| group.asns.iter().any(|asn| self.hide_ases.contains(asn)))
    }

    /// Whether a link is hidden.
    pub(super) fn hides_link(&self, name: &str) -> bool {
        self.hide_links.iter().any(|hidden| hidden == name)
    }

    fn hides_row(&self, row: &Row, by: By, groups: &Groups) -> bool {
        match by {
            By::As | By::Prefix => row.asn.is_some_and(|asn| self.hides_as(asn, groups)),
            By::Group => row.group.as_ref().is_some_and(|group| self.hides_group(group, groups)),
            By::Link => row.link.as_ref().is_some_and(|link| self.hides_link(link)),
            By::Kind => false,
        }
    }

    /// What is published of a ranking. It should have more rows than are shown: those that are hidden go first.
    pub(super) fn top(&self, mut top: TopAnswer, title: &str, groups: &Groups) -> TopAnswer {
        title.clone_into(&mut top.router);
        let by = top.by;
        for part in [&mut top.directions.inward, &mut top.directions.outward].into_iter().flatten() {
            self.top_direction(part, by, groups);
        }
        top
    }

    fn top_direction(&self, part: &mut TopDirection, by: By, groups: &Groups) {
        let rows = std::mem::take(&mut part.rows);
        for mut row in rows {
            let small = by != By::Link && (row.share < self.min_share || row.bytes < self.min_bytes);
            if small || self.hides_row(&row, by, groups) {
                let other = &mut part.other;
                other.packets += row.packets;
                other.bytes += row.bytes;
                other.bits_per_second += row.bits_per_second;
                other.share += row.share;
                continue;
            }
            row.rank = u32::try_from(part.rows.len() + 1).unwrap_or(u32::MAX);
            row.packets = self.number(row.packets);
            row.bytes = self.number(row.bytes);
            row.bits_per_second = self.number(row.bits_per_second);
            row.share = self.fraction(row.share);
            row.previous_bytes = row.previous_bytes.map(|bytes| self.number(bytes));
            row.change = row.change.map(|change| self.fraction(change));
            part.rows.push(row);
        }
        let total = &mut part.total;
        total.packets = self.number(total.packets);
        total.bytes = self.number(total.bytes);
        total.bits_per_second = self.number(total.bits_per_second);
        part.previous_bytes = part.previous_bytes.map(|bytes| self.number(bytes));
        part.change = part.change.map(|change| self.fraction(change));
        for part in [&mut part.other, &mut part.unmatched, &mut part.non_ip] {
            self.part(part);
        }
    }

    pub(super) fn part(&self, part: &mut Part) {
        part.packets = self.number(part.packets);
        part.bytes = self.number(part.bytes);
        part.bits_per_second = self.number(part.bits_per_second);
        part.share = self.fraction(part.share);
    }

    /// What is published of a course; `top` is the published ranking of its layers.
    pub(super) fn series(
        &self,
        mut series: SeriesAnswer,
        title: &str,
        top: Option<&TopAnswer>,
    ) -> SeriesAnswer {
        title.clone_into(&mut series.router);
        if let (Some(by), Some(top)) = (series.by, top) {
            layers::fold(&mut series, |layer| {
                let Standing(ranks) = Standing::of(top, |row| is_row(row, by, &layer.subject));
                ranks.map(|rank| rank.is_some())
            });
        }
        for layer in &mut series.layers {
            self.courses(&mut layer.directions);
        }
        self.courses(&mut series.total);
        series
    }

    pub(super) fn courses(&self, directions: &mut Directions<Course>) {
        for course in [&mut directions.inward, &mut directions.outward].into_iter().flatten() {
            course.bytes = self.number(course.bytes);
            for rate in course.bits_per_second.iter_mut().flatten() {
                *rate = self.number(*rate);
            }
        }
    }

    /// What is published of a subject that has this standing; of all traffic, where that is `None`. A subject's directions that
    /// are too small are not there.
    pub(super) fn past(&self, mut past: PastAnswer, title: &str, standing: Option<Standing>) -> PastAnswer {
        title.clone_into(&mut past.router);
        if let Some(Standing([inward, outward])) = standing {
            let of = |figures: &mut Option<Figures>, rank: Option<u32>| match rank {
                None => *figures = None,
                Some(_) => {
                    if let Some(figures) = figures {
                        figures.rank = rank;
                    }
                }
            };
            of(&mut past.directions.inward, inward);
            of(&mut past.directions.outward, outward);
            for link in &mut past.links {
                of(&mut link.directions.inward, inward.and(Some(0)));
                of(&mut link.directions.outward, outward.and(Some(0)));
            }
            if inward.is_none() || outward.is_none() {
                // What is billed, and the months, would tell of the direction that is not shown.
                past.p95_bits_per_second = None;
                past.months.clear();
            }
        }
        past.links.retain(|link| !self.hides_link(&link.link));
        // The page has a ranking of them, to which all rules apply.
        past.ases = None;
        for LinkFigures { directions, .. } in &mut past.links {
            for figures in [&mut directions.inward, &mut directions.outward].into_iter().flatten() {
                figures.rank = None;
            }
        }
        let links = past.links.iter_mut().map(|link| &mut link.directions);
        for directions in links.chain([&mut past.directions]) {
            for figures in [&mut directions.inward, &mut directions.outward].into_iter().flatten() {
                self.figures(figures);
            }
        }
        past.p95_bits_per_second = past.p95_bits_per_second.map(|rate| self.number(rate));
        for month in &mut past.months {
            for number in [
                &mut month.bytes_in,
                &mut month.bytes_out,
                &mut month.p95_in,
                &mut month.p95_out,
                &mut month.p95,
            ] {
                *number = self.number(*number);
            }
        }
        past
    }

    fn figures(&self, figures: &mut Figures) {
        figures.packets = self.number(figures.packets);
        figures.bytes = self.number(figures.bytes);
        figures.share = self.fraction(figures.share);
        figures.bits_per_second = self.number(figures.bits_per_second);
        if let Some(peak) = &mut figures.peak {
            peak.bits_per_second = self.number(peak.bits_per_second);
        }
        figures.p95_bits_per_second = figures.p95_bits_per_second.map(|rate| self.number(rate));
        figures.ipv6_share = figures.ipv6_share.map(|share| self.fraction(share));
        figures.previous_bytes = figures.previous_bytes.map(|bytes| self.number(bytes));
        figures.change = figures.change.map(|change| self.fraction(change));
    }

    /// A number with no more significant digits than are published.
    pub(super) fn number(&self, value: u64) -> u64 {
        let Some(digits) = self.round.map(u32::from) else { return value };
        let Some(surplus) = value.checked_ilog10().and_then(|length| (length + 1).checked_sub(digits)) else {
            return value;
        };
        let unit = 10_u64.pow(surplus);
        let down = value / unit * unit;
        if value - down >= unit.div_ceil(2) { down.saturating_add(unit) } else { down }
    }

    /// A share or a change with no more significant digits than are published.
    pub(super) fn fraction(&self, value: f64) -> f64 {
        let Some(digits) = self.round else { return value };
        if value == 0.0 || !value.is_finite() {
            return value;
        }
        // Through its decimal form, which is what is shown: no digits come back by the binary one.
        format!("{value:.*e}", usize::from(digits.saturating_sub(1))).parse().unwrap_or(value)
    }
}

/// Whether a ranking's row is of this subject.
pub(super) fn is_row(row: &Row, by: By, name: &Name) -> bool {
    match by {
        By::As | By::Prefix => row.asn.is_some() && row.asn == name.asn,
        By::Group => row.group.is_some() && row.group == name.group,
        By::Kind => row.kind.is_some() && row.kind == name.kind,
        By::Link => row.link.is_some() && row.link == name.link,
    }
}
