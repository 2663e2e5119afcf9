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
        answer::{
            Course, Figures, Layer, LinkFigures, MonthAnswer, Name, PastAnswer, PeakAnswer, SeriesAnswer,
        },
    },
    table::groups::Groups,
    totals::{
        By,
        answer::{Directions, Part, Row, TopAnswer, TopDirection, Total},
    },
};

/// How a subject stands among what is published: by direction its rank, if it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing(pub(super) [Option<u32>; 2]);

/// Published, without a rank.
const UNRANKED: Standing = Standing([Some(0); 2]);

impl Standing {
    /// Where this subject is in a ranking that was published.
    pub(super) fn of(top: &TopAnswer, is: impl Fn(&Row) -> bool) -> Self {
        Self(Direction::ALL.map(|direction| {
            let rows = &top.directions.get(direction)?.rows;
            rows.iter().find(|row| is(row)).map(|row| row.rank)
        }))
    }

    /// The same, but for the ranks.
    fn without_ranks(self) -> Self {
        Self(self.0.map(|rank| rank.map(|_| 0)))
    }

    pub(super) const fn is_published(self) -> bool {
        matches!(self.0, [Some(_), _] | [_, Some(_)])
    }
}

impl Rules {
    /// The period of this length that is shown, where there is something to show until `now`.
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
            By::Neighbor | By::Transit => true,
        }
    }

    // Every answer is taken apart and put together again, field by field: one that is added to an answer is published
    // only once someone has said here how.

    /// What is published of a ranking. It should have more rows than are shown: those that are hidden go first.
    pub(super) fn top(&self, top: TopAnswer, title: &str, groups: &Groups) -> TopAnswer {
        let TopAnswer { router: _, from, to, by, side, zone, since, covered, compare, directions } = top;
        let Directions { inward, outward } = directions;
        let part = |part: TopDirection| self.top_direction(part, by, groups);
        TopAnswer {
            router: title.to_owned(),
            from,
            to,
            by,
            side,
            zone,
            since,
            covered,
            compare,
            directions: Directions { inward: inward.map(part), outward: outward.map(part) },
        }
    }

    fn top_direction(&self, part: TopDirection, by: By, groups: &Groups) -> TopDirection {
        // By which neighbours traffic goes is not published.
        let TopDirection { total, rows, mut other, unmatched, non_ip, no_path: _, previous_bytes, change } =
            part;
        let mut kept: Vec<Row> = Vec::new();
        for row in rows {
            let small = by != By::Link && (row.share < self.min_share || row.bytes < self.min_bytes);
            if small || self.hides_row(&row, by, groups) {
                put_into(&mut other, &row);
            } else {
                let rank = u32::try_from(kept.len() + 1).unwrap_or(u32::MAX);
                kept.push(self.row(row, rank));
            }
        }
        let Total { packets, bytes, bits_per_second } = total;
        TopDirection {
            total: Total {
                packets: self.number(packets),
                bytes: self.number(bytes),
                bits_per_second: self.number(bits_per_second),
            },
            rows: kept,
            other: self.part(other),
            unmatched: self.part(unmatched),
            non_ip: self.part(non_ip),
            no_path: None,
            previous_bytes: previous_bytes.map(|bytes| self.number(bytes)),
            change: change.map(|change| self.fraction(change)),
        }
    }

    fn row(&self, row: Row, rank: u32) -> Row {
        let Row {
            rank: _,
            prefix,
            asn,
            group,
            kind,
            link,
            name,
            packets,
            bytes,
            bits_per_second,
            share,
            previous_bytes,
            change,
        } = row;
        Row {
            rank,
            prefix,
            asn,
            group,
            kind,
            link,
            name,
            packets: self.number(packets),
            bytes: self.number(bytes),
            bits_per_second: self.number(bits_per_second),
            share: self.fraction(share),
            previous_bytes: previous_bytes.map(|bytes| self.number(bytes)),
            change: change.map(|change| self.fraction(change)),
        }
    }

    pub(super) fn part(&self, part: Part) -> Part {
        let Part { packets, bytes, bits_per_second, share } = part;
        Part {
            packets: self.number(packets),
            bytes: self.number(bytes),
            bits_per_second: self.number(bits_per_second),
            share: self.fraction(share),
        }
    }

    /// What is published of a course; `top` is the published ranking of its layers.
    pub(super) fn series(
        &self,
        mut series: SeriesAnswer,
        title: &str,
        top: Option<&TopAnswer>,
    ) -> SeriesAnswer {
        if let (Some(by), Some(top)) = (series.by, top) {
            layers::fold(&mut series, |layer| {
                let Standing(ranks) = Standing::of(top, |row| is_row(row, by, &layer.subject));
                ranks.map(|rank| rank.is_some())
            });
        }
        let SeriesAnswer { router: _, from, to, zone, since, by, subject, steps, layers, total } = series;
        let layer = |Layer { subject, directions }| Layer { subject, directions: self.courses(directions) };
        SeriesAnswer {
            router: title.to_owned(),
            from,
            to,
            zone,
            since,
            by,
            subject,
            steps,
            layers: layers.into_iter().map(layer).collect(),
            total: self.courses(total),
        }
    }

    pub(super) fn courses(&self, directions: Directions<Course>) -> Directions<Course> {
        let course = |Course { bytes, bits_per_second }| Course {
            bytes: self.number(bytes),
            bits_per_second: bits_per_second
                .into_iter()
                .map(|rate| rate.map(|rate| self.number(rate)))
                .collect(),
        };
        let Directions { inward, outward } = directions;
        Directions { inward: inward.map(course), outward: outward.map(course) }
    }

    /// What is published of a subject that has this standing; of all traffic, where that is `None`. A subject's directions that
    /// are too small are not there.
    pub(super) fn past(&self, past: PastAnswer, title: &str, standing: Option<Standing>) -> PastAnswer {
        let PastAnswer {
            router: _,
            from,
            to,
            zone,
            since,
            covered,
            compare,
            by,
            subject,
            directions,
            p95_bits_per_second,
            links,
            // Those of the published ranking are shown in their place.
            ases: _,
            months,
        } = past;
        // What is billed, and the months, would tell of a direction that is not shown.
        let whole = standing.is_none_or(|Standing(ranks)| ranks.iter().all(Option::is_some));
        let links = links.into_iter().filter(|link| !self.hides_link(&link.link));
        let link = |LinkFigures { link, directions }| LinkFigures {
            link,
            // Among links the hidden ones would count.
            directions: self.directions(directions, Some(standing.map_or(UNRANKED, Standing::without_ranks))),
        };
        PastAnswer {
            router: title.to_owned(),
            from,
            to,
            zone,
            since,
            covered,
            compare,
            by,
            subject,
            directions: self.directions(directions, standing),
            p95_bits_per_second: p95_bits_per_second.filter(|_| whole).map(|rate| self.number(rate)),
            links: links.map(link).collect(),
            ases: None,
            months: if whole {
                months.into_iter().map(|month| self.month(month)).collect()
            } else {
                Vec::new()
            },
        }
    }

    fn directions(&self, figures: Directions<Figures>, standing: Option<Standing>) -> Directions<Figures> {
        let Directions { inward, outward } = figures;
        let of = |figures: Option<Figures>, rank: Option<Option<u32>>| match rank {
            // Not ranked: all traffic, a link.
            None => figures.map(|figures| self.figures(figures, |rank| rank)),
            Some(None) => None,
            Some(rank) => figures.map(|figures| self.figures(figures, |_| rank.filter(|&rank| rank > 0))),
        };
        let [ranked_in, ranked_out] = match standing {
            None => [None, None],
            Some(Standing(ranks)) => ranks.map(Some),
        };
        Directions { inward: of(inward, ranked_in), outward: of(outward, ranked_out) }
    }

    fn figures(&self, figures: Figures, rank_of: impl FnOnce(Option<u32>) -> Option<u32>) -> Figures {
        let Figures {
            packets,
            bytes,
            share,
            rank,
            bits_per_second,
            peak,
            p95_bits_per_second,
            ipv6_share,
            previous_bytes,
            change,
        } = figures;
        let published = |PeakAnswer { bits_per_second, at }| PeakAnswer {
            bits_per_second: self.number(bits_per_second),
            at,
        };
        Figures {
            packets: self.number(packets),
            bytes: self.number(bytes),
            share: self.fraction(share),
            rank: rank_of(rank),
            bits_per_second: self.number(bits_per_second),
            peak: peak.map(published),
            p95_bits_per_second: p95_bits_per_second.map(|rate| self.number(rate)),
            ipv6_share: ipv6_share.map(|share| self.fraction(share)),
            previous_bytes: previous_bytes.map(|bytes| self.number(bytes)),
            change: change.map(|change| self.fraction(change)),
        }
    }

    fn month(&self, month: MonthAnswer) -> MonthAnswer {
        let MonthAnswer { month, from, to, zone, bytes_in, bytes_out, p95_in, p95_out, p95, covered } = month;
        MonthAnswer {
            month,
            from,
            to,
            zone,
            bytes_in: self.number(bytes_in),
            bytes_out: self.number(bytes_out),
            p95_in: self.number(p95_in),
            p95_out: self.number(p95_out),
            p95: self.number(p95),
            covered,
        }
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
        By::As | By::Prefix | By::Neighbor | By::Transit => row.asn.is_some() && row.asn == name.asn,
        By::Group => row.group.is_some() && row.group == name.group,
        By::Kind => row.kind.is_some() && row.kind == name.kind,
        By::Link => row.link.is_some() && row.link == name.link,
    }
}

/// Adds a row to what is in no row.
pub(super) fn put_into(other: &mut Part, row: &Row) {
    other.packets = other.packets.saturating_add(row.packets);
    other.bytes = other.bytes.saturating_add(row.bytes);
    other.bits_per_second = other.bits_per_second.saturating_add(row.bits_per_second);
    other.share += row.share;
}
