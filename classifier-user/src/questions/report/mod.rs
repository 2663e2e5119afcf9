//! What a newspaper would ask of networks: place, volume, evening peak, growth, weekends.

use std::{cmp::Reverse, collections::HashMap};

use jiff::{Timestamp, ToSpan as _, Zoned, civil::Weekday};

use super::{
    About, When,
    answer::{
        Days, Growth, Name, PeakAnswer, ReportAnswer, ReportPlace, ReportSubject, ReportTotal, Versus,
        Weekend,
    },
    past::{Board, Chosen, Past, Selected, counter_of, of},
    query::Network,
};
use crate::{
    history::{Period, Point, SLOT_SECONDS, Sample, Step},
    model::{Asn, Counter, Direction, Locality},
    totals::{
        By, QueryError,
        top::{Scale, ratio},
    },
};

pub mod peering;
pub mod peering_text;
pub mod text;

/// How many networks are told of where none is asked for.
const LARGEST: usize = 5;
/// Days that growth and weekends are looked at over: four whole weeks.
const WEEKS: i32 = 28;
/// When evenings begin; they end with the day.
const EVENING: i8 = 18;

/// A question for a report.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReportQuery {
    /// The networks to tell of; empty: the largest.
    pub networks: Vec<Network>,
    /// The networks to hold them against.
    pub versus: Vec<Network>,
    /// Which period.
    pub when: When,
    /// Since when growth is to be told, where it is.
    pub since: Option<Timestamp>,
    /// The direction that is looked at.
    pub direction: Direction,
    /// Only these links, by name; empty: the links of the ISP's totals.
    pub links: Vec<String>,
}

/// What was read for a report once.
struct Reading<'a> {
    past: &'a Past,
    query: &'a ReportQuery,
    chosen: Chosen,
    ases: Board,
    /// Groups, and ASes that are in none: bytes of the direction, largest first.
    networks: Vec<(Network, u64)>,
}

impl Past {
    pub(super) fn report(&self, query: &ReportQuery) -> Result<ReportAnswer, QueryError> {
        if !self.context.count.counts(Locality::Remote) {
            let side = Locality::Remote;
            return Err(QueryError::SideNotCounted { side, count: self.context.count.name() });
        }
        let chosen = self.choose(&query.links)?;
        let period = self.period(query.when);
        let ases = self.board(Some(By::As), period, &chosen)?;
        let groups = self.board(Some(By::Group), ases.period, &chosen)?;
        let networks = self.networks(&ases, &groups, query.direction);
        let reading = Reading { past: self, query, chosen, ases, networks };
        reading.answer()
    }

    /// Everything that has traffic, groups as one, largest first.
    fn networks(&self, ases: &Board, groups: &Board, direction: Direction) -> Vec<(Network, u64)> {
        let known = self.context.groups.all();
        let groups = groups.rows.iter().filter_map(|(place, samples)| {
            Some((Network::Group(known.get(*place as usize)?.key.clone()), samples))
        });
        let alone = ases.rows.iter().filter(|(asn, _)| self.context.groups.of(*asn).is_none());
        let alone = alone.map(|(asn, samples)| (Network::As(*asn), samples));
        let bytes = |samples: &[Sample; 2]| of(samples, direction).both().bytes;
        let mut networks: Vec<(Network, u64)> = groups
            .chain(alone)
            .map(|(network, samples)| (network, bytes(samples)))
            .filter(|(_, bytes)| *bytes > 0)
            .collect();
        networks.sort_by_cached_key(|(network, bytes)| (Reverse(*bytes), network.clone()));
        networks
    }
}

impl Reading<'_> {
    fn answer(&self) -> Result<ReportAnswer, QueryError> {
        let (past, direction) = (self.past, self.query.direction);
        let total = counter_of(&self.ases.total, direction);
        let ip = of(&self.ases.ip, direction);
        let scale = Scale { seconds: self.ases.covered as f64, bytes: total.bytes };
        let asked: Vec<Network> = if self.query.networks.is_empty() {
            self.networks.iter().take(LARGEST).map(|(network, _)| network.clone()).collect()
        } else {
            self.query.networks.clone()
        };
        let mut held = HashMap::new();
        for network in &self.query.versus {
            held.insert(network, self.place(network)?.0);
        }
        let mut subjects = Vec::new();
        for network in &asked {
            // A network held against itself says nothing.
            let others = self.query.versus.iter().filter(|other| *other != network);
            let others = others.filter_map(|other| held.get(other)).cloned().collect();
            subjects.push(self.subject(network, others)?);
        }
        Ok(ReportAnswer {
            router: past.context.router.clone(),
            from: self.ases.period.from,
            to: self.ases.period.to,
            zone: past.zone(),
            since: past.extent.since,
            covered: self.ases.coverage(),
            direction,
            total: ReportTotal {
                bytes: total.bytes,
                bits_per_second: scale.bits_per_second(total.bytes),
                ipv6_share: super::figures::ipv6_share(ip),
            },
            networks: u32::try_from(self.networks.len()).unwrap_or(u32::MAX),
            subjects,
        })
    }

    fn subject(&self, network: &Network, others: Vec<ReportPlace>) -> Result<ReportSubject, QueryError> {
        let (place, sample, points) = self.place(network)?;
        let by = |own: Option<f64>, other: Option<f64>| match (own, other) {
            (Some(own), Some(other)) if other > 0.0 => Some(ratio(own / other)),
            _ => None,
        };
        let rate = |peak: Option<PeakAnswer>| peak.map(|peak| peak.bits_per_second as f64);
        let versus = |other: ReportPlace| Versus {
            bytes_ratio: by(Some(place.bytes as f64), Some(other.bytes as f64)),
            evening_ratio: by(rate(place.evening_peak), rate(other.evening_peak)),
            place: other,
        };
        let selected = self.select(network)?;
        Ok(ReportSubject {
            peak: peak(&points, self.query.direction, |_| true),
            ipv6_share: super::figures::ipv6_share(sample),
            versus: others.into_iter().map(versus).collect(),
            growth: self.query.since.map(|since| self.growth(&selected, since)).transpose()?,
            weekend: self.weekend(&selected)?,
            place,
        })
    }

    fn select(&self, network: &Network) -> Result<Selected, QueryError> {
        self.past.select(&match network {
            Network::As(asn) => About::As(*asn),
            Network::Group(group) => About::Group(group.clone()),
        })
    }

    /// A network's volume and place, its sample, and its course.
    fn place(&self, network: &Network) -> Result<(ReportPlace, Sample, Vec<Point>), QueryError> {
        let (past, direction) = (self.past, self.query.direction);
        let selected = self.select(network)?;
        let (sample, rank) = match network {
            Network::As(asn) if past.context.groups.of(*asn).is_some() => {
                (of(&self.ases.row(*asn), direction), self.ases.rank(*asn, direction))
            }
            _ => {
                let board = match network {
                    Network::As(_) => None,
                    Network::Group(_) => Some(past.board(Some(By::Group), self.ases.period, &self.chosen)?),
                };
                let rank = self.networks.iter().position(|(other, _)| other == network);
                let rank = rank.and_then(|rank| u32::try_from(rank + 1).ok());
                (of(&board.as_ref().unwrap_or(&self.ases).row(selected.key), direction), rank)
            }
        };
        let points = past.series(&selected, self.ases.period, &self.chosen.links, Step::Slot)?;
        let zone = &past.extent.zone;
        let evening = |point: &Point| {
            point.period.seconds() == SLOT_SECONDS
                && point.period.from.to_zoned(zone.clone()).hour() >= EVENING
        };
        let Counter { bytes, .. } = sample.both();
        let scale =
            Scale { seconds: self.ases.covered as f64, bytes: counter_of(&self.ases.total, direction).bytes };
        let place = ReportPlace {
            subject: selected.name,
            bytes,
            share: scale.share(bytes),
            rank,
            bits_per_second: scale.bits_per_second(bytes),
            evening_peak: peak(&points, direction, evening),
        };
        Ok((place, sample, points))
    }

    /// The beginning of the day that `at` is in.
    fn day(&self, at: Timestamp) -> Zoned {
        let zoned = at.to_zoned(self.past.extent.zone.clone());
        zoned.start_of_day().unwrap_or(zoned)
    }

    fn growth(&self, selected: &Selected, since: Timestamp) -> Result<Growth, QueryError> {
        let since = self.day(since);
        let today = self.day(self.ases.period.to);
        let first = since.checked_sub(WEEKS.days()).unwrap_or_else(|_| since.clone());
        let days = self.days(selected, first.timestamp(), today.timestamp())?;
        let at = since.timestamp();
        let before = self.average(days.iter().filter(|day| day.period.from < at));
        let after = self.average(days.iter().filter(|day| day.period.from >= at));
        Ok(Growth {
            since: at,
            before,
            after,
            change: before.zip(after).and_then(|(before, after)| more(after, before)),
        })
    }

    /// Over the period's whole days where it has a week of them, else over the four weeks before its end.
    fn weekend(&self, selected: &Selected) -> Result<Option<Weekend>, QueryError> {
        let end = self.day(self.ases.period.to);
        let weeks = end.checked_sub(WEEKS.days()).unwrap_or_else(|_| end.clone());
        let begin =
            if self.ases.period.seconds() >= 7 * 86_400 { self.ases.period.from } else { weeks.timestamp() };
        let days = self.days(selected, begin, end.timestamp())?;
        let at_weekend = |day: &&Point| {
            let weekday = day.period.from.to_zoned(self.past.extent.zone.clone()).weekday();
            matches!(weekday, Weekday::Saturday | Weekday::Sunday)
        };
        let weekend = self.average(days.iter().filter(at_weekend));
        let weekday = self.average(days.iter().filter(|day| !at_weekend(day)));
        Ok(weekend.zip(weekday).map(|(weekend, weekday)| Weekend {
            weekend,
            weekday,
            change: more(weekend, weekday),
        }))
    }

    /// The whole days between two times of which nine tenths were counted.
    fn days(&self, selected: &Selected, from: Timestamp, to: Timestamp) -> Result<Vec<Point>, QueryError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let mut days = self.past.series(selected, Period { from, to }, &self.chosen.links, Step::Day)?;
        days.retain(|day| {
            let seconds = day.period.seconds();
            day.period.from >= from && day.period.to <= to && i64::from(day.covered) * 10 >= seconds * 9
        });
        Ok(days)
    }

    fn average<'p>(&self, days: impl Iterator<Item = &'p Point> + Clone) -> Option<Days> {
        let (from, to) = (days.clone().next()?.period.from, days.clone().last()?.period.to);
        let covered: u64 = days.clone().map(|day| u64::from(day.covered)).sum();
        let bytes: u64 = days.clone().map(|day| of(&day.samples, self.query.direction).both().bytes).sum();
        let bytes_per_day = u128::from(bytes) * 86_400 / u128::from(covered.max(1));
        Some(Days {
            from,
            to,
            days: u32::try_from(days.count()).unwrap_or(u32::MAX),
            bytes_per_day: u64::try_from(bytes_per_day).unwrap_or(u64::MAX),
        })
    }
}

/// How much more `now` is than `before`.
fn more(now: Days, before: Days) -> Option<f64> {
    let (now, before) = (now.bytes_per_day as f64, before.bytes_per_day as f64);
    (before > 0.0).then(|| ratio(now / before - 1.0))
}

/// The highest five minutes of these; of equal ones the first.
fn peak(points: &[Point], direction: Direction, keep: impl Fn(&Point) -> bool) -> Option<PeakAnswer> {
    let peaks =
        points.iter().filter(|point| keep(point)).filter_map(|point| match (point.peaks, direction) {
            ([peak, _], Direction::In) | ([_, peak], Direction::Out) => peak,
        });
    let best =
        peaks.reduce(|best, peak| if peak.bits_per_second > best.bits_per_second { peak } else { best });
    best.map(|peak| PeakAnswer { bits_per_second: peak.bits_per_second, at: peak.at })
}

/// What people call a network.
pub(super) fn label(name: &Name) -> String {
    match (&name.asn, &name.name) {
        (Some(asn), Some(name)) => format!("AS{asn} ({name})"),
        (Some(asn), None) => format!("AS{asn}"),
        // `Meta (Facebook, …)`: what is in brackets explains.
        (None, Some(name)) => name.split(" (").next().unwrap_or(name).to_owned(),
        (None, None) => name.group.clone().unwrap_or_default(),
    }
}

impl Network {
    /// The AS, if it is one.
    #[must_use]
    pub const fn asn(&self) -> Option<Asn> {
        match self {
            Self::As(asn) => Some(*asn),
            Self::Group(_) => None,
        }
    }
}
