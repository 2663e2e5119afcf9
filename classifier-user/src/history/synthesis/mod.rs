//! A plausible past for a demonstration: the real numbers of well-known networks, invented amounts.
//!
//! Everything is worked out from the slot's number: two runs say the same of the same time. Reading order: [`habit`]
//! (when people use what), [`networks`] (who is there), here (what a slot holds).

use jiff::{Timestamp, civil::Weekday, tz::TimeZone};

pub use self::fill::{Request, fill};
use self::networks::Network;
use super::{ClosedSlot, Kind, LinkNo, NO_AS, Part, Row, SLOT_SECONDS, Sample, Subject};
use crate::{
    model::{Asn, Counter, Direction},
    table::groups::Groups,
};

mod fill;
mod habit;
mod hash;
mod networks;

/// Part of all bytes whose address has no route, and of those that are not IP.
const UNMATCHED: f64 = 0.004;
const OTHER: f64 = 0.0004;
/// Of how many networks prefixes are told, largest first, and how the bytes are shared among the prefixes of one.
const WITH_PREFIXES: usize = 24;
const PREFIX_PARTS: [f64; 3] = [0.5, 0.3, 0.15];
/// Bytes of a packet that is not IP.
const OTHER_PACKET: u64 = 64;

/// What a past is made of.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Whose days and evenings.
    pub zone: TimeZone,
    /// When it ends: what grows is at its end then, and the gap is before.
    pub until: Timestamp,
    /// The links: all of the traffic is shared between the first, a transit, and the second, an exchange, where there is
    /// one.
    pub links: Vec<LinkNo>,
    /// The average of working days by [`Direction`], in bits a second.
    pub bits_per_second: [u64; 2],
    /// The groups, whose numbers are as given out in their order: see [`Past::groups`].
    pub groups: &'a Groups,
    /// ASes of the tail, largest first.
    pub tail: Vec<Asn>,
}

/// A past, slot by slot.
#[derive(Clone, Debug)]
pub struct Past {
    zone: TimeZone,
    until: i64,
    links: Vec<LinkNo>,
    /// Bytes of a slot by [`Direction`].
    bytes: [f64; 2],
    networks: Vec<Network>,
    /// By the groups' order: their numbers in the store.
    groups: Vec<Subject>,
    /// By network: its prefixes' numbers in the store.
    prefixes: Vec<Vec<Subject>>,
}

impl Past {
    /// The past of a plan. Its groups have the numbers of their order, and there are no prefixes, until they are given.
    #[must_use]
    pub fn new(plan: Plan<'_>) -> Self {
        let networks = networks::networks(plan.groups, &plan.tail);
        Self {
            zone: plan.zone,
            until: plan.until.as_second().div_euclid(SLOT_SECONDS),
            links: plan.links.into_iter().take(2).collect(),
            bytes: plan.bits_per_second.map(|rate| rate as f64 / 8.0 * SLOT_SECONDS as f64),
            groups: (0..plan.groups.all().len()).map(|group| group as Subject).collect(),
            prefixes: vec![Vec::new(); networks.len()],
            networks,
        }
    }

    /// Gives the groups their numbers in the store, in their order.
    pub fn number_groups(&mut self, numbers: Vec<Subject>) {
        self.groups = numbers;
    }

    /// The ASes whose prefixes are told of, and how many of each.
    #[must_use]
    pub fn with_prefixes(&self) -> (Vec<Asn>, usize) {
        let mut by_size: Vec<&Network> = self.networks.iter().collect();
        by_size.sort_by(|a, b| b.parts[0].total_cmp(&a.parts[0]));
        let asns = by_size.into_iter().take(WITH_PREFIXES).map(|network| network.asn).collect();
        (asns, PREFIX_PARTS.len())
    }

    /// Gives an AS's prefixes their numbers in the store, largest first.
    pub fn number_prefixes(&mut self, asn: Asn, mut numbers: Vec<Subject>) {
        numbers.truncate(PREFIX_PARTS.len());
        for (network, prefixes) in self.networks.iter().zip(&mut self.prefixes) {
            if network.asn == asn {
                *prefixes = std::mem::take(&mut numbers);
            }
        }
    }

    /// What a slot holds; `None` in the hour, nine days before the end, of which nothing is known.
    #[must_use]
    pub fn slot(&self, number: i64) -> Option<ClosedSlot> {
        let gap = self.until - 9 * 288;
        if (gap..gap + 12).contains(&number) {
            return None;
        }
        let local = Timestamp::from_second(number * SLOT_SECONDS).ok()?.to_zoned(self.zone.clone());
        let weekend = matches!(local.weekday(), Weekday::Saturday | Weekday::Sunday);
        let hour = f64::from(local.hour()) + f64::from(local.minute()) / 60.0;
        let moment = Moment { number, hour, weekend, month: (number - self.until) as f64 / (30.0 * 288.0) };

        let mut rows = Rows::default();
        let mut link_totals = [[Sample::default(); 2]; 2];
        let mut groups = vec![[[Sample::default(); 2]; 2]; self.groups.len()];
        rows.spread(Kind::As, NO_AS, &self.links, &self.unmatched(&moment), Some(&mut link_totals));
        for (index, network) in self.networks.iter().enumerate() {
            let Some(samples) = self.samples(network, &moment) else { continue };
            rows.spread(Kind::As, network.asn, &self.links, &samples, Some(&mut link_totals));
            if let Some(group) = network.group.and_then(|group| groups.get_mut(group)) {
                for (sum, sample) in group.iter_mut().flatten().zip(samples.iter().flatten()) {
                    *sum += *sample;
                }
            }
            for (&prefix, part) in self.prefixes.get(index).into_iter().flatten().zip(PREFIX_PARTS) {
                let of = samples.map(|link| link.map(|sample| scaled(sample, part)));
                rows.spread(Kind::Prefix, prefix, &self.links, &of, None);
            }
        }
        rows.spread(Kind::Link, Part::Ip as Subject, &self.links, &link_totals, None);
        rows.spread(
            Kind::Link,
            Part::Other as Subject,
            &self.links,
            &link_totals.map(|link| link.map(other)),
            None,
        );
        for (&group, samples) in self.groups.iter().zip(&groups) {
            rows.spread(Kind::Group, group, &self.links, samples, None);
        }
        let mut rows = rows.0;
        rows.sort_unstable_by_key(Row::key);
        Some(ClosedSlot { number, covered: SLOT_SECONDS as u32, rows })
    }

    /// By link, then by [`Direction`]; `None` where it is not there.
    fn samples(&self, network: &Network, moment: &Moment) -> Option<[[Sample; 2]; 2]> {
        let asn = u64::from(network.asn);
        let hours = moment.number.div_euclid(12);
        if network.presence < 1.0 && hash::unit(asn, hours as u64) > network.presence {
            return None;
        }
        // From one hour's whim to the next one's.
        let whim = |hour: i64| hash::unit(asn ^ 0x5eed, hour as u64);
        let within = moment.number.rem_euclid(12) as f64 / 12.0;
        let whim = 0.82 + 0.36 * (whim(hours) * (1.0 - within) + whim(hours + 1) * within);
        let growth = network.growth.powf(moment.month);
        let factor = network.habit.factor(moment.hour, moment.weekend) * whim * growth;
        let mut samples = [[Sample::default(); 2]; 2];
        for direction in Direction::ALL {
            let jitter =
                0.94 + 0.12 * hash::unit(asn ^ 0xa110, (moment.number * 2 + direction as i64) as u64);
            let bytes = self.bytes[direction as usize] * network.parts[direction as usize] * factor * jitter;
            let first = if self.links.len() > 1 { network.first_link } else { 1.0 };
            for (link, part) in samples.iter_mut().zip([first, 1.0 - first]) {
                let bytes = bytes * part;
                let packet = network.packet(direction);
                link[direction as usize] = Sample {
                    ipv4: counter(bytes * (1.0 - network.ipv6), packet),
                    ipv6: counter(bytes * network.ipv6, packet),
                };
            }
        }
        Some(samples)
    }

    fn unmatched(&self, moment: &Moment) -> [[Sample; 2]; 2] {
        let factor = habit::Habit::Always.factor(moment.hour, moment.weekend) * UNMATCHED;
        let sample = |bytes: f64| Sample { ipv4: counter(bytes * factor, 300), ..Sample::default() };
        [self.bytes.map(sample), [Sample::default(); 2]]
    }
}

/// A slot's time.
struct Moment {
    number: i64,
    /// Of the local day.
    hour: f64,
    weekend: bool,
    /// Months from the end: below zero.
    month: f64,
}

fn counter(bytes: f64, packet: u64) -> Counter {
    let bytes = bytes as u64;
    Counter { packets: bytes.div_ceil(packet), bytes }
}

fn scaled(sample: Sample, part: f64) -> Sample {
    let of = |counter: Counter| Counter {
        packets: (counter.packets as f64 * part) as u64,
        bytes: (counter.bytes as f64 * part) as u64,
    };
    Sample { ipv4: of(sample.ipv4), ipv6: of(sample.ipv6) }
}

/// What is not IP beside so much IP.
fn other(ip: Sample) -> Sample {
    Sample { ipv4: counter(ip.both().bytes as f64 * OTHER, OTHER_PACKET), ..Sample::default() }
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    /// A row for each link and direction that has something; `totals` by link and [`Direction`] get it too.
    fn spread(
        &mut self,
        kind: Kind,
        subject: Subject,
        links: &[LinkNo],
        samples: &[[Sample; 2]; 2],
        mut totals: Option<&mut [[Sample; 2]; 2]>,
    ) {
        for (place, (&link, samples)) in links.iter().zip(samples).enumerate() {
            for (direction, &sample) in Direction::ALL.into_iter().zip(samples) {
                if sample == Sample::default() {
                    continue;
                }
                self.0.push(Row { kind, subject, link, direction, sample });
                if let Some(total) = totals.as_mut().and_then(|totals| totals.get_mut(place)) {
                    total[direction as usize] += sample;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const DAY: i64 = 288;

    fn past() -> Past {
        let groups = Groups::builtin().unwrap();
        Past::new(Plan {
            zone: TimeZone::get("Europe/Paris").unwrap(),
            until: "2026-06-30T22:00:00Z".parse().unwrap(),
            links: vec![LinkNo(0), LinkNo(1)],
            bits_per_second: [1_000_000_000, 200_000_000],
            groups: &groups,
            tail: (1..300).collect(),
        })
    }

    /// Bytes by subject of a kind and direction, over slots.
    fn sums(
        past: &Past,
        kind: Kind,
        direction: Direction,
        slots: impl Iterator<Item = i64>,
    ) -> BTreeMap<Subject, u64> {
        let mut sums = BTreeMap::new();
        for slot in slots.filter_map(|slot| past.slot(slot)) {
            for row in slot.rows.iter().filter(|row| (row.kind, row.direction) == (kind, direction)) {
                *sums.entry(row.subject).or_default() += row.sample.both().bytes;
            }
        }
        sums
    }

    #[test]
    fn a_slots_rows_are_sorted_and_add_up() {
        let past = past();
        let mut checked = 0;
        for number in (past.until - DAY..past.until).step_by(7) {
            let slot = past.slot(number).unwrap();
            assert!(slot.rows.is_sorted_by(|a, b| a.key() < b.key()));
            assert!(slot.rows.iter().all(|row| row.sample != Sample::default()));
            for direction in Direction::ALL {
                for link in [0, 1] {
                    let sum = |kind: Kind, subjects: &dyn Fn(Subject) -> bool| -> u64 {
                        let rows = slot.rows.iter().filter(|row| {
                            (row.kind, row.link.0, row.direction) == (kind, link, direction)
                                && subjects(row.subject)
                        });
                        rows.map(|row| row.sample.both().bytes).sum()
                    };
                    let ases = sum(Kind::As, &|_| true);
                    assert_eq!(ases, sum(Kind::Link, &|part| part == Part::Ip as Subject));
                    assert!(ases > 0 && sum(Kind::Group, &|_| true) < ases);
                    checked += 1;
                }
            }
            assert_eq!(past.slot(number), Some(slot));
        }
        assert_eq!(checked, 42 * 4);
    }

    #[test]
    fn the_rate_is_near_what_was_asked_for_and_weekends_differ() {
        let past = past();
        // The end is a Tuesday's; the Saturday before it ends three days before.
        let day = |back: i64| past.until - back * DAY..past.until - (back - 1) * DAY;
        let total = |direction| -> f64 {
            let bytes: u64 = sums(&past, Kind::Link, direction, day(1)).values().sum();
            bytes as f64 * 8.0 / 86_400.0
        };
        assert!((0.9e9..1.1e9).contains(&total(Direction::In)), "{}", total(Direction::In));
        assert!((0.18e9..0.22e9).contains(&total(Direction::Out)));
        let [tuesday, saturday] = [1, 4].map(|back| sums(&past, Kind::As, Direction::In, day(back)));
        assert!(saturday[&2906] > tuesday[&2906] * 11 / 10);
        assert!(saturday[&8075] < tuesday[&8075] * 5 / 10);
    }

    #[test]
    fn networks_have_their_places() {
        let past = past();
        let ases = sums(&past, Kind::As, Direction::In, past.until - DAY..past.until);
        let share = |asn: Asn| ases[&asn] as f64 / ases.values().sum::<u64>() as f64;
        assert!((0.10..0.20).contains(&share(15169)) && (0.08..0.16).contains(&share(2906)));
        // A service that has just begun: twice as much as a month ago.
        let disney = |end: i64| -> u64 {
            let place =
                Groups::builtin().unwrap().all().iter().position(|group| group.key == "disney").unwrap();
            sums(&past, Kind::Group, Direction::In, end - DAY..end)[&(place as Subject)]
        };
        assert!(disney(past.until) > disney(past.until - 28 * DAY) * 9 / 5);
        // Not everyone of the tail is always there.
        let slot = past.slot(past.until - 1).unwrap();
        let here = slot.rows.iter().filter(|row| row.kind == Kind::As && row.direction == Direction::In);
        assert!((200..900).contains(&here.count()));
    }

    #[test]
    fn an_hour_is_missing() {
        let past = past();
        let missing = (past.until - 31 * DAY..past.until).filter(|&slot| past.slot(slot).is_none());
        assert_eq!(missing.count(), 12);
    }

    #[test]
    fn prefixes_are_within_their_as() {
        let mut past = past();
        let (asns, each) = past.with_prefixes();
        assert!(asns.len() == WITH_PREFIXES && asns.contains(&2906));
        past.number_prefixes(2906, (70..70 + each as Subject).collect());
        let slots = past.until - 3..past.until;
        let prefixes = sums(&past, Kind::Prefix, Direction::In, slots.clone());
        assert_eq!(prefixes.keys().copied().collect::<Vec<_>>(), [70, 71, 72]);
        assert!(prefixes.values().sum::<u64>() < sums(&past, Kind::As, Direction::In, slots)[&2906]);
    }
}
