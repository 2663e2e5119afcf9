//! Questions against a past of known content: exact numbers.

use std::sync::{Arc, RwLock};

use jiff::{Timestamp, tz::TimeZone};

use super::*;
use crate::{
    history::{
        ClosedSlot, Kind, LinkNo, NO_AS, Part, Row, Sample, Step, StoredPrefix,
        testing::{Known, upstream},
    },
    model::{Counter, Direction, Locality},
    totals::{
        By,
        answer::{Directions, Part as Rest, TopDirection},
        testing,
    },
};

mod kept;

pub(super) const NETFLIX: u32 = 2906;
const OPEN_CONNECT: u32 = 40027;
pub(super) const GOOGLE: u32 = 15169;
pub(super) const APPLE: u32 = 714;
const NAMELESS: u32 = 64_999;

/// 2026-01-02T00:11:01Z: what [`testing::example`] has for now.
const NOW: i64 = 1_767_312_661;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn paris() -> TimeZone {
    TimeZone::get("Europe/Paris").unwrap()
}

/// A slot under construction.
#[derive(Default)]
pub(super) struct Slot(std::collections::BTreeMap<(Kind, u32, LinkNo, Direction), Sample>);

impl Slot {
    /// IPv4 bytes of an AS, in packets of 1000 bytes; the link has them too.
    pub(super) fn add(mut self, link: u8, asn: u32, bytes: [u64; 2]) -> Self {
        for (direction, bytes) in Direction::ALL.into_iter().zip(bytes) {
            let sample = Sample { ipv4: packets(bytes), ..Sample::default() };
            self.put(Kind::As, asn, link, direction, sample);
            self.put(Kind::Link, Part::Ip as u32, link, direction, sample);
        }
        self
    }

    pub(super) fn add_ipv6(mut self, link: u8, asn: u32, inward: u64) -> Self {
        let sample = Sample { ipv6: packets(inward), ..Sample::default() };
        self.put(Kind::As, asn, link, Direction::In, sample);
        self.put(Kind::Link, Part::Ip as u32, link, Direction::In, sample);
        self
    }

    fn add_ipv6_of(mut self, kind: Kind, subject: u32, link: u8, inward: u64) -> Self {
        self.put(kind, subject, link, Direction::In, Sample { ipv6: packets(inward), ..Sample::default() });
        self
    }

    fn other(self, link: u8, inward: u64) -> Self {
        self.one(Kind::Link, Part::Other as u32, link, inward)
    }

    fn one(mut self, kind: Kind, subject: u32, link: u8, inward: u64) -> Self {
        let sample = Sample { ipv4: packets(inward), ..Sample::default() };
        self.put(kind, subject, link, Direction::In, sample);
        self
    }

    /// IPv4 bytes that went by way of a neighbour, or were carried.
    pub(super) fn way(mut self, kind: Kind, asn: u32, link: u8, bytes: [u64; 2]) -> Self {
        for (direction, bytes) in Direction::ALL.into_iter().zip(bytes) {
            let sample = Sample { ipv4: packets(bytes), ..Sample::default() };
            self.put(kind, asn, link, direction, sample);
        }
        self
    }

    fn put(&mut self, kind: Kind, subject: u32, link: u8, direction: Direction, sample: Sample) {
        if sample != Sample::default() {
            *self.0.entry((kind, subject, LinkNo(link), direction)).or_default() += sample;
        }
    }

    pub(super) fn close(self, number: i64, covered: u32) -> ClosedSlot {
        let row = |((kind, subject, link, direction), sample)| Row { kind, subject, link, direction, sample };
        ClosedSlot { number, covered, rows: self.0.into_iter().map(row).collect() }
    }
}

fn packets(bytes: u64) -> Counter {
    Counter { packets: bytes.div_ceil(1000), bytes }
}

/// Questions to `known`, at `now`, with the names and groups of [`testing`], by an agent that started just now.
pub(super) fn questions(known: Known, now: fn() -> std::time::SystemTime) -> Questions {
    let totals = crate::totals::Totals::new(testing::links(), now(), crate::totals::Limits::default());
    let view = View::new(totals, Arc::new(RwLock::new(testing::Table::new())), now);
    view.set_status(testing::status());
    view.set_tables(Arc::new(testing::names()), Arc::new(testing::groups()));
    Questions::new(view, Some(Arc::new(known)))
}

fn now() -> std::time::SystemTime {
    Timestamp::from_second(NOW).unwrap().into()
}

/// The slot that ends last before [`NOW`].
const LAST: i64 = NOW / 300 - 1;

/// Three days up to now, on two links. Every slot: Netflix 3000 in on transit, 1000 IPv6 on ix, Google 2000 in and 100 out
/// on transit, Apple 500 in, an AS without a name 100, 50 without an AS, 10 that is not IP. In the last slot but 12 Netflix
/// has 9000 more. The day before the last one has Google only, twice.
fn three_days() -> Known {
    let mut known = Known::new(vec![upstream(0, "transit"), upstream(1, "ix")], paris());
    known.groups = ["netflix", "google"].map(str::to_owned).to_vec();
    known.prefixes = ["45.57.0.0/17", "8.8.8.0/24"]
        .into_iter()
        .zip([NETFLIX, GOOGLE])
        .map(|(prefix, asn)| StoredPrefix { prefix: prefix.parse().unwrap(), asn })
        .collect();
    for back in 0..3 * 288 {
        let slot = if (288..576).contains(&back) {
            Slot::default().add(0, GOOGLE, [4000, 200]).one(Kind::Prefix, 1, 0, 4000)
        } else {
            let more = if back == 12 { 9000 } else { 0 };
            Slot::default()
                .add(0, NETFLIX, [3000 + more, 0])
                .add_ipv6(1, OPEN_CONNECT, 1000)
                .add(0, GOOGLE, [2000, 100])
                .add(0, APPLE, [500, 0])
                .add(0, NAMELESS, [100, 0])
                .add(0, NO_AS, [50, 0])
                .other(0, 10)
                .one(Kind::Prefix, 0, 0, 2500)
                .one(Kind::Prefix, 1, 0, 2000)
        };
        known.push(slot.close(LAST - back, 300));
    }
    known
}

fn last(seconds: u64) -> When {
    When::Last(Duration::from_secs(seconds))
}

const DAY: u64 = 86_400;

fn top(query: TopQuery) -> TopAnswer {
    questions(three_days(), now).top(&query).unwrap()
}

fn inward(answer: &TopAnswer) -> &TopDirection {
    answer.directions.get(Direction::In).unwrap()
}

fn assert_adds_up(direction: &TopDirection) {
    let mut rests = vec![direction.other, direction.unmatched, direction.non_ip];
    rests.extend(direction.no_path);
    let bytes =
        direction.rows.iter().map(|row| row.bytes).chain(rests.iter().map(|rest| rest.bytes)).sum::<u64>();
    let packets = direction
        .rows
        .iter()
        .map(|row| row.packets)
        .chain(rests.iter().map(|rest| rest.packets))
        .sum::<u64>();
    assert_eq!((packets, bytes), (direction.total.packets, direction.total.bytes));
}

#[test]
fn top_of_a_day_by_as() {
    let answer = top(TopQuery { when: last(DAY), n: 3, ..TopQuery::default() });
    assert_eq!((answer.from, answer.to), (at("2026-01-01T00:10:00Z"), at("2026-01-02T00:10:00Z")));
    assert_eq!((answer.zone.as_deref(), answer.covered), (Some("Europe/Paris"), Some(1.0)));
    assert_eq!(answer.since, Some(at("2025-12-30T00:10:00Z")));
    let inside = inward(&answer);
    let rows: Vec<_> = inside.rows.iter().map(|row| (row.rank, row.asn.unwrap(), row.bytes)).collect();
    assert_eq!(
        rows,
        [(1, NETFLIX, 288 * 3000 + 9000), (2, GOOGLE, 288 * 2000), (3, OPEN_CONNECT, 288 * 1000)]
    );
    assert_eq!(inside.rows[0].name.as_deref(), Some("Netflix Streaming Services"));
    assert_eq!(inside.total.bytes, 288 * 6660 + 9000);
    assert_eq!(inside.other.bytes, 288 * 600);
    assert_eq!((inside.unmatched.bytes, inside.non_ip.bytes), (288 * 50, 288 * 10));
    assert_eq!(inside.rows[1].bits_per_second, 53);
    assert_eq!(inside.rows[1].share, ratio(576_000.0 / 1_927_080.0));
    assert_eq!((inside.previous_bytes, inside.rows[0].previous_bytes), (None, None));
    let outside = answer.directions.get(Direction::Out).unwrap();
    assert_eq!(outside.rows.len(), 1);
    assert_eq!(
        (outside.rows[0].asn, outside.rows[0].bytes, outside.rows[0].share),
        (Some(GOOGLE), 28_800, 1.0)
    );
    assert_adds_up(inside);
    assert_adds_up(outside);
}

#[test]
fn every_grouping_adds_up() {
    // By transit a packet is in the row of each AS on its way.
    for by in By::ALL.into_iter().filter(|&by| by != By::Transit) {
        for n in [1, 2, 20] {
            for links in [vec![], vec!["ix".to_owned()], vec!["ix".to_owned(), "transit".to_owned()]] {
                let query = TopQuery { by, n, links, when: last(3 * DAY), ..TopQuery::default() };
                let answer = top(query);
                assert!(inward(&answer).total.bytes > 0);
                for (_, direction) in answer.directions.iter() {
                    assert_adds_up(direction);
                }
            }
        }
    }
}

#[test]
fn top_by_group_kind_link_and_prefix() {
    let rows = |by| {
        let answer =
            top(TopQuery { by, when: last(DAY), direction: Some(Direction::In), ..TopQuery::default() });
        assert!(answer.directions.get(Direction::Out).is_none());
        inward(&answer).rows.clone()
    };
    let groups = rows(By::Group);
    let named: Vec<_> =
        groups.iter().map(|row| (row.group.as_deref(), row.name.as_deref(), row.bytes)).collect();
    assert_eq!(
        named,
        [(Some("netflix"), Some("Netflix"), 288 * 4000 + 9000), (Some("google"), Some("Google"), 288 * 2000)]
    );
    let kinds = rows(By::Kind);
    assert_eq!(
        (kinds.len(), kinds[0].kind.as_deref(), kinds[0].bytes),
        (1, Some("content"), 288 * 6000 + 9000)
    );
    let links: Vec<_> = rows(By::Link).into_iter().map(|row| (row.link.unwrap(), row.bytes)).collect();
    assert_eq!(links, [("transit".to_owned(), 288 * 5660 + 9000), ("ix".to_owned(), 288 * 1000)]);
    let prefixes: Vec<_> =
        rows(By::Prefix).into_iter().map(|row| (row.prefix.unwrap(), row.asn.unwrap(), row.bytes)).collect();
    assert_eq!(
        prefixes,
        [("45.57.0.0/17".to_owned(), NETFLIX, 288 * 2500), ("8.8.8.0/24".to_owned(), GOOGLE, 288 * 2000)]
    );
}

#[test]
fn a_day_compared_with_the_day_before() {
    let answer = top(TopQuery { when: last(DAY), compare: true, ..TopQuery::default() });
    let compare = answer.compare.unwrap();
    assert_eq!((compare.from, compare.to), (at("2025-12-31T00:10:00Z"), at("2026-01-01T00:10:00Z")));
    assert_eq!(compare.covered, 1.0);
    let inside = inward(&answer);
    assert_eq!(inside.previous_bytes, Some(288 * 4000));
    let of =
        |asn| inside.rows.iter().find(|row| row.asn == Some(asn)).map(|row| (row.previous_bytes, row.change));
    // Half of what it was; what was not there before has no change.
    assert_eq!(of(GOOGLE), Some((Some(288 * 4000), Some(-0.5))));
    assert_eq!(of(NETFLIX), Some((Some(0), None)));
    assert_eq!(answer.directions.get(Direction::Out).unwrap().change, Some(-0.5));
}

#[test]
fn what_is_compared_with_a_time_that_was_not_counted() {
    // Before three days ago there is nothing: nothing is said. Of the four days before the last two, two were counted.
    let answer = top(TopQuery { when: last(3 * DAY), compare: true, ..TopQuery::default() });
    assert_eq!(answer.compare.unwrap().covered, 0.0);
    assert_eq!((inward(&answer).previous_bytes, inward(&answer).change), (None, None));
    let answer = top(TopQuery { when: last(2 * DAY), compare: true, ..TopQuery::default() });
    assert_eq!(answer.compare.unwrap().covered, 0.5);
    // 6000 a slot of two days against 2000 a slot of the one day that was counted: by rates, half more.
    let google = inward(&answer).rows.iter().find(|row| row.asn == Some(GOOGLE)).unwrap();
    assert_eq!(
        (google.bytes, google.previous_bytes, google.change),
        (288 * 6000, Some(288 * 2000), Some(0.5))
    );
}

#[test]
fn periods_from_and_to_are_whole_slots() {
    let when = When::Between { from: at("2026-01-01T10:02:00Z"), to: Some(at("2026-01-01T10:07:00Z")) };
    let answer = top(TopQuery { when, ..TopQuery::default() });
    assert_eq!((answer.from, answer.to), (at("2026-01-01T10:00:00Z"), at("2026-01-01T10:10:00Z")));
    assert_eq!(inward(&answer).total.bytes, 2 * 6660);
    // Into the future: as far as there is something.
    let when = When::Between { from: at("2026-01-01T00:10:00Z"), to: Some(at("2026-02-01T00:00:00Z")) };
    let answer = top(TopQuery { when, ..TopQuery::default() });
    assert_eq!((answer.to, inward(&answer).total.bytes), (at("2026-01-02T00:10:00Z"), 288 * 6660 + 9000));
}

#[test]
fn before_the_first_data_there_is_nothing_and_since_when_is_said() {
    let when = When::Between { from: at("2025-06-01T00:00:00Z"), to: Some(at("2025-07-01T00:00:00Z")) };
    let answer = top(TopQuery { when, ..TopQuery::default() });
    assert_eq!((answer.covered, answer.since), (Some(0.0), Some(at("2025-12-30T00:10:00Z"))));
    assert_eq!((inward(&answer).total.bytes, inward(&answer).rows.len()), (0, 0));
    let past = questions(three_days(), now);
    let query = PastQuery { when, ..PastQuery::default() };
    let figures = past.past(&About::Group("google".to_owned()), &query).unwrap();
    let inside = figures.directions.get(Direction::In).unwrap();
    assert_eq!((inside.bytes, inside.rank, inside.peak, inside.p95_bits_per_second), (0, None, None, None));
    let series = past.series(&SeriesQuery { when, ..SeriesQuery::default() }).unwrap();
    assert!(series.total.get(Direction::In).unwrap().bits_per_second.iter().all(Option::is_none));
}

#[test]
fn memory_answers_for_the_last_hour_and_history_for_what_is_longer_ago() {
    let known = three_days();
    let questions = Questions::new(testing::example(), Some(Arc::new(known)));
    let bytes = |when| {
        let answer = questions.top(&TopQuery { when, ..TopQuery::default() }).unwrap();
        (answer.covered, inward(&answer).total.bytes)
    };
    // What the sweeps of `testing::example` have, and what the slots have.
    assert_eq!(bytes(last(300)), (None, 1_110_720));
    assert_eq!(bytes(last(3600)), (None, 2_110_720));
    assert_eq!(bytes(last(2 * 3600)), (Some(1.0), 24 * 6660 + 9000));
    // One that is not longer ago than an hour, from and to.
    assert_eq!(bytes(When::Between { from: at("2026-01-02T00:06:00Z"), to: None }), (None, 1_110_720));
    let when = When::Between { from: at("2026-01-02T00:00:00Z"), to: Some(at("2026-01-02T00:02:00Z")) };
    assert_eq!(bytes(when), (None, 1_000_000));
}

#[test]
fn a_history_that_began_with_the_agent_leaves_the_answer_to_memory() {
    let mut known = three_days();
    // The agent of `testing::example` started at midnight: two slots.
    known.slots = known.slots.split_off(&(LAST - 1));
    let questions = Questions::new(testing::example(), Some(Arc::new(known)));
    let answer = questions.top(&TopQuery { when: last(DAY), ..TopQuery::default() }).unwrap();
    assert_eq!((answer.from, inward(&answer).total.bytes), (at("2026-01-02T00:00:00Z"), 2_110_720));
    // Of a time before there is nothing all the same.
    let when = When::Between { from: at("2026-01-01T00:00:00Z"), to: Some(at("2026-01-01T10:00:00Z")) };
    let answer = questions.top(&TopQuery { when, ..TopQuery::default() }).unwrap();
    assert_eq!((answer.covered, inward(&answer).total.bytes), (Some(0.0), 0));
}

#[test]
fn without_a_history_only_what_memory_knows() {
    let questions = Questions::new(testing::example(), None);
    assert!(questions.top(&TopQuery { when: last(DAY), ..TopQuery::default() }).is_ok());
    let when = When::Between { from: at("2026-01-01T00:00:00Z"), to: Some(at("2026-01-01T10:00:00Z")) };
    let error = questions.top(&TopQuery { when, ..TopQuery::default() }).unwrap_err();
    assert!(error.to_string().starts_with("no history is kept here"), "{error}");
    assert_eq!(error.code(), "not_kept");
}

#[test]
fn what_the_history_does_not_have_is_said() {
    let questions = questions(three_days(), now);
    let error = |query: TopQuery| questions.top(&query).unwrap_err();
    let local = error(TopQuery { side: Locality::Local, when: last(DAY), ..TopQuery::default() });
    assert_eq!(local.code(), "not_kept");
    let link = error(TopQuery { links: vec!["nowhere".to_owned()], when: last(DAY), ..TopQuery::default() });
    assert_eq!(link.near(), ["transit", "ix", "customers"]);
    let past = |about: About| questions.past(&about, &PastQuery::default()).map(|_| ()).unwrap_err();
    assert_eq!(past(About::As(64_998)).code(), "not_found");
    assert_eq!(past(About::Group("gogle".to_owned())).near(), ["google"]);
    assert_eq!(past(About::Kind("video".to_owned())).near(), ["content", "cdn"]);
    assert_eq!(past(About::Link("nowhere".to_owned())).code(), "not_found");
    // Counted in the past, though nothing has its name or a route of it now.
    assert!(questions.past(&About::As(NAMELESS), &PastQuery::default()).is_ok());
    // A link that is there, and has counted nothing yet.
    let customers = questions.past(&About::Link("customers".to_owned()), &PastQuery::default()).unwrap();
    assert_eq!(customers.directions.get(Direction::In).unwrap().bytes, 0);
}

fn figures(about: About, query: &PastQuery) -> PastAnswer {
    questions(three_days(), now).past(&about, query).unwrap()
}

#[test]
fn the_figures_of_a_group() {
    let answer =
        figures(About::Group("Netflix".to_owned()), &PastQuery { compare: true, ..PastQuery::default() });
    assert_eq!((answer.by, answer.subject.group.as_deref()), (Some(By::Group), Some("netflix")));
    let inside = answer.directions.get(Direction::In).unwrap();
    let bytes = 288 * 4000 + 9000;
    assert_eq!((inside.bytes, inside.packets, inside.rank), (bytes, 288 * 4 + 9, Some(1)));
    assert_eq!(inside.share, (bytes as f64 / (288.0 * 6660.0 + 9000.0) * 1e9).round() / 1e9);
    assert_eq!(inside.bits_per_second, 108);
    let peak = inside.peak.unwrap();
    assert_eq!((peak.bits_per_second, peak.at), (347, at("2026-01-01T23:05:00Z")));
    // One slot of 288 is higher: it is among the highest 5 %.
    assert_eq!(inside.p95_bits_per_second, Some(107));
    assert_eq!(answer.p95_bits_per_second, Some(107));
    assert_eq!(inside.ipv6_share, Some((288_000.0 / bytes as f64 * 1e9).round() / 1e9));
    assert_eq!((inside.previous_bytes, inside.change), (Some(0), None));
    let outside = answer.directions.get(Direction::Out).unwrap();
    assert_eq!((outside.bytes, outside.rank, outside.peak, outside.ipv6_share), (0, None, None, None));
    assert_eq!(outside.p95_bits_per_second, Some(0));
    let links: Vec<_> = answer
        .links
        .iter()
        .map(|link| (link.link.as_str(), link.directions.get(Direction::In).unwrap().bytes))
        .collect();
    assert_eq!(links, [("transit", 288 * 3000 + 9000), ("ix", 288 * 1000)]);
    assert_eq!(answer.links[1].directions.get(Direction::In).unwrap().ipv6_share, Some(1.0));
}

#[test]
fn the_figures_of_all_a_link_a_kind_and_an_as() {
    let all = figures(About::All, &PastQuery::default());
    let inside = all.directions.get(Direction::In).unwrap();
    assert_eq!((all.by, inside.bytes, inside.share, inside.rank), (None, 288 * 6660 + 9000, 1.0, None));
    assert_eq!(inside.ipv6_share, Some(ratio(288_000.0 / (288.0 * 6650.0 + 9000.0))));
    let ix = figures(About::Link("ix".to_owned()), &PastQuery::default());
    let inside = ix.directions.get(Direction::In).unwrap();
    assert_eq!((inside.bytes, inside.rank, inside.ipv6_share), (288_000, Some(2), Some(1.0)));
    assert_eq!(inside.share, ratio(288_000.0 / (288.0 * 6660.0 + 9000.0)));
    let content = figures(About::Kind("Content".to_owned()), &PastQuery::default());
    assert_eq!(content.directions.get(Direction::In).unwrap().bytes, 288 * 6000 + 9000);
    let query = PastQuery {
        direction: Some(Direction::Out),
        links: vec!["transit".to_owned()],
        ..PastQuery::default()
    };
    let google = figures(About::As(GOOGLE), &query);
    assert!(google.directions.get(Direction::In).is_none());
    let outside = google.directions.get(Direction::Out).unwrap();
    assert_eq!((outside.bytes, outside.rank, outside.share), (28_800, Some(1), 1.0));
    assert_eq!(outside.p95_bits_per_second, Some(3));
    // What is billed is the larger direction, asked for or not.
    assert_eq!(google.p95_bits_per_second, Some(53));
}

fn ratio(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

#[test]
fn the_course_of_a_day_in_layers() {
    let query =
        SeriesQuery { by: Some(By::Group), n: 1, direction: Some(Direction::In), ..SeriesQuery::default() };
    let answer = questions(three_days(), now).series(&query).unwrap();
    assert_eq!(answer.steps.len(), 288);
    assert_eq!((answer.from, answer.to), (at("2026-01-01T00:10:00Z"), at("2026-01-02T00:10:00Z")));
    assert!(answer.steps.windows(2).all(|pair| pair[0].to == pair[1].from));
    let names: Vec<_> = answer
        .layers
        .iter()
        .map(|layer| layer.subject.group.clone().or(layer.subject.rest.clone()).unwrap())
        .collect();
    assert_eq!(names, ["netflix", "other", "unmatched", "non_ip"]);
    let of = |directions: &Directions<answer::Course>| directions.get(Direction::In).unwrap().clone();
    let bytes: u64 = answer.layers.iter().map(|layer| of(&layer.directions).bytes).sum();
    assert_eq!((bytes, of(&answer.total).bytes), (288 * 6660 + 9000, 288 * 6660 + 9000));
    let netflix = of(&answer.layers[0].directions);
    assert_eq!(netflix.bits_per_second[288 - 13], Some(347));
    assert_eq!(netflix.bits_per_second[0], Some(107));
    assert!(answer.total.get(Direction::Out).is_none());
}

#[test]
fn steps_are_some_hundreds() {
    let questions = questions(three_days(), now);
    let steps = |seconds, step, max_steps| {
        let query = SeriesQuery { when: last(seconds), step, max_steps, ..SeriesQuery::default() };
        let answer = questions.series(&query).unwrap();
        let first = answer.steps[1];
        (answer.steps.len(), first.to.as_second() - first.from.as_second())
    };
    assert_eq!(steps(DAY, None, None), (288, 300));
    assert_eq!(steps(3 * DAY, None, None), (432, 600));
    assert_eq!(steps(7 * DAY, None, None), (169, 3600));
    assert_eq!(steps(30 * DAY, None, None), (721, 3600));
    assert_eq!(steps(90 * DAY, None, None), (361, 6 * 3600));
    assert_eq!(steps(365 * DAY, None, None), (366, 86_400));
    assert_eq!(steps(30 * DAY, None, Some(200)), (181, 4 * 3600));
    assert_eq!(steps(DAY, Some(Step::Hour), None), (25, 3600));
}

#[test]
fn gaps_are_gaps() {
    let mut known = three_days();
    known.slots.remove(&(LAST - 5));
    known.slots.get_mut(&(LAST - 7)).unwrap().covered = 150;
    let query = SeriesQuery { by: Some(By::As), when: last(2 * 3600), ..SeriesQuery::default() };
    let answer = questions(known.clone(), now).series(&query).unwrap();
    let total = answer.total.get(Direction::In).unwrap();
    assert_eq!((answer.steps[18].covered_seconds, total.bits_per_second[18]), (0, None));
    assert!(
        answer
            .layers
            .iter()
            .all(|layer| layer.directions.get(Direction::In).unwrap().bits_per_second[18].is_none())
    );
    // What was counted in half a slot went on twice as fast.
    assert_eq!((answer.steps[16].covered_seconds, total.bits_per_second[16]), (150, Some(6660 * 8 / 150)));
    assert_eq!(total.bits_per_second[17], Some(178));
    let top = questions(known, now).top(&TopQuery { when: last(2 * 3600), ..TopQuery::default() }).unwrap();
    assert_eq!(top.covered, Some(ratio((7200.0 - 450.0) / 7200.0)));
    assert_eq!(inward(&top).total.bits_per_second, ((23 * 6660 + 9000) as f64 * 8.0 / 6750.0).round() as u64);
}

#[test]
fn the_parts_of_one_subject() {
    let questions = questions(three_days(), now);
    let layers = |about: About, by| {
        let query = SeriesQuery { about, by: Some(by), ..SeriesQuery::default() };
        let answer = questions.series(&query).unwrap();
        let bytes = |directions: &Directions<answer::Course>| directions.get(Direction::In).unwrap().bytes;
        let layers: Vec<_> = answer
            .layers
            .iter()
            .map(|layer| {
                let name = &layer.subject;
                let asn = name.asn.map(|asn| asn.to_string());
                (asn.or(name.group.clone()).or(name.link.clone()).unwrap(), bytes(&layer.directions))
            })
            .collect();
        assert_eq!(layers.iter().map(|(_, bytes)| bytes).sum::<u64>(), bytes(&answer.total));
        layers
    };
    let (transit, ix) = (288 * 3000 + 9000, 288 * 1000);
    assert_eq!(
        layers(About::Group("netflix".to_owned()), By::As),
        [("2906".to_owned(), transit), ("40027".to_owned(), ix)]
    );
    assert_eq!(
        layers(About::Group("netflix".to_owned()), By::Link),
        [("transit".to_owned(), transit), ("ix".to_owned(), ix)]
    );
    assert_eq!(
        layers(About::Kind("content".to_owned()), By::Group),
        [("netflix".to_owned(), transit + ix), ("google".to_owned(), 288 * 2000)]
    );
    let query = SeriesQuery { about: About::As(GOOGLE), by: Some(By::Group), ..SeriesQuery::default() };
    assert_eq!(questions.series(&query).unwrap_err().code(), "bad_parameter");
}

#[test]
fn the_course_of_the_last_hour_is_from_memory() {
    let questions = Questions::new(testing::example(), None);
    let query = |about, by| SeriesQuery { about, by, when: last(3600), n: 2, ..SeriesQuery::default() };
    let answer = questions.series(&query(About::All, Some(By::As))).unwrap();
    assert_eq!((answer.from, answer.to), (at("2026-01-02T00:00:00Z"), at("2026-01-02T00:11:00Z")));
    // Minutes; the tenth ends with the sweep that does.
    let seconds: Vec<_> = answer.steps.iter().map(|step| step.covered_seconds).collect();
    assert_eq!(seconds, [60, 60, 60, 60, 60, 60, 60, 60, 60, 65, 55]);
    let course = |directions: &Directions<answer::Course>| directions.get(Direction::In).unwrap().clone();
    let layers: Vec<_> = answer
        .layers
        .iter()
        .map(|layer| {
            let name = layer.subject.asn.map(|asn| asn.to_string()).or(layer.subject.rest.clone()).unwrap();
            (name, course(&layer.directions).bytes)
        })
        .collect();
    assert_eq!(
        layers,
        [
            ("714".to_owned(), 1_000_000),
            ("2906".to_owned(), 720_000),
            ("other".to_owned(), 360_000),
            ("unmatched".to_owned(), 30_000),
            ("non_ip".to_owned(), 720)
        ]
    );
    let total = course(&answer.total);
    assert_eq!((total.bytes, total.bits_per_second[0]), (2_110_720, Some(1_000_000 * 8 / 60)));
    assert_eq!(total.bits_per_second[5], Some(0));
    // One subject alone, and by link.
    let netflix = questions.series(&query(About::Group("netflix".to_owned()), Some(By::Link))).unwrap();
    let links: Vec<_> = netflix.layers.iter().map(|layer| course(&layer.directions).bytes).collect();
    assert_eq!((links, course(&netflix.total).bytes), (vec![600_000, 180_000], 780_000));
}

#[test]
fn rests_are_what_no_row_has() {
    // 4294967295 is what small ASes were folded into: groups are then as they were recorded.
    let mut known = Known::new(vec![upstream(0, "transit")], paris());
    known.groups = vec!["google".to_owned()];
    for back in 0..288 {
        let slot = Slot::default().add(0, NETFLIX, [3000, 0]).add(0, crate::history::REST, [2000, 0]).one(
            Kind::Group,
            0,
            0,
            1500,
        );
        known.push(slot.close(LAST - back, 300));
    }
    let questions = questions(known, now);
    let by = |by| {
        let answer = questions.top(&TopQuery { by, when: last(DAY), ..TopQuery::default() }).unwrap();
        assert_adds_up(inward(&answer));
        let rows: Vec<_> = inward(&answer).rows.iter().map(|row| row.bytes).collect();
        let Rest { bytes, .. } = inward(&answer).other;
        (rows, bytes)
    };
    assert_eq!(by(By::As), (vec![288 * 3000], 288 * 2000));
    assert_eq!(by(By::Group), (vec![288 * 1500], 288 * 3500));
}

/// Bytes in [`weeks`].
const UNIT: u64 = 6_000_000;

/// Two months up to [`NOW`], in slots of the zone's days from 2025-11-01 on. Netflix has 100 units a slot before 2025-12-01,
/// from then on 300, and 600 on Saturdays and Sundays; always 900 more in the slot of 21:05. Google has 1000, 2600 more at
/// 20:30, and 10 out; Apple, which is in no group, 50; an AS without a name 2000, a quarter of it IPv6.
fn weeks() -> Known {
    use jiff::civil::{Weekday, date};
    let mut known = Known::new(vec![upstream(0, "transit")], paris());
    let first = at("2025-10-31T23:00:00Z").as_second() / 300;
    for number in first..=LAST {
        let local = Timestamp::from_second(number * 300).unwrap().to_zoned(paris());
        let weekend = matches!(local.weekday(), Weekday::Saturday | Weekday::Sunday);
        let netflix = match (local.date() < date(2025, 12, 1), weekend) {
            (true, _) => 100,
            (false, false) => 300,
            (false, true) => 600,
        };
        let more =
            |hour, minute, more| if (local.hour(), local.minute()) == (hour, minute) { more } else { 0 };
        let slot = Slot::default()
            .add(0, NETFLIX, [(netflix + more(21, 5, 900)) * UNIT, 0])
            .add(0, GOOGLE, [(1000 + more(20, 30, 2600)) * UNIT, 10 * UNIT])
            .add(0, APPLE, [50 * UNIT, 0])
            .add(0, NAMELESS, [1500 * UNIT, 0])
            .add_ipv6(0, NAMELESS, 500 * UNIT);
        known.push(slot.close(number, 300));
    }
    known
}

fn report_query(networks: &[&str], versus: &[&str]) -> ReportQuery {
    let group = |key: &&str| Network::Group((*key).to_owned());
    ReportQuery {
        networks: networks.iter().map(group).collect(),
        versus: versus.iter().map(group).collect(),
        when: last(DAY),
        since: Some(at("2025-12-01T00:00:00Z")),
        direction: Direction::In,
        links: Vec::new(),
    }
}

#[test]
fn a_report_in_numbers() {
    let report = questions(weeks(), now).report(&report_query(&["netflix"], &["google"])).unwrap();
    let netflix = &report.subjects[0];
    // An AS without a group, Google, Netflix, Apple.
    assert_eq!((report.networks, netflix.place.rank), (4, Some(3)));
    assert_eq!(report.total.ipv6_share, Some(ratio(288.0 * 500.0 / (288.0 * 3350.0 + 3500.0))));
    // A Thursday and the first hours of a Friday, with one evening.
    assert_eq!(netflix.place.bytes, (288 * 300 + 900) * UNIT);
    let evening = netflix.place.evening_peak.unwrap();
    assert_eq!((evening.bits_per_second, evening.at), (192_000_000, at("2026-01-01T20:05:00Z")));
    let google = &netflix.versus[0];
    assert_eq!((google.place.rank, google.place.bytes), (Some(2), (288 * 1000 + 2600) * UNIT));
    assert_eq!(google.place.evening_peak.unwrap().bits_per_second, 576_000_000);
    assert_eq!(google.evening_ratio, Some(ratio(1.0 / 3.0)));
    assert_eq!(google.bytes_ratio, Some(ratio(87_300.0 / 290_600.0)));
    // Before: 28 days of 100 a slot and one slot of 1000. After: 32 days, 8 of them at weekends.
    let growth = netflix.growth.unwrap();
    assert_eq!(growth.since, at("2025-11-30T23:00:00Z"));
    let (before, after) = (growth.before.unwrap(), growth.after.unwrap());
    assert_eq!((before.days, before.bytes_per_day), (28, (288 * 100 + 900) * UNIT));
    assert_eq!(before.from, at("2025-11-02T23:00:00Z"));
    assert_eq!((after.days, after.to), (32, at("2026-01-01T23:00:00Z")));
    assert_eq!(after.bytes_per_day, (32 * (288 * 300 + 900) + 8 * 288 * 300) / 32 * UNIT);
    assert_eq!(growth.change, Some(ratio(108_900.0 / 29_700.0 - 1.0)));
    // Four weeks before today.
    let weekend = netflix.weekend.unwrap();
    assert_eq!((weekend.weekend.days, weekend.weekday.days), (8, 20));
    assert_eq!(
        (weekend.weekend.bytes_per_day, weekend.weekday.bytes_per_day),
        ((288 * 600 + 900) * UNIT, (288 * 300 + 900) * UNIT)
    );
    assert_eq!(weekend.change, Some(ratio(173_700.0 / 87_300.0 - 1.0)));
}

#[test]
fn without_networks_the_largest_are_told_of() {
    let report =
        questions(weeks(), now).report(&ReportQuery { since: None, ..report_query(&[], &[]) }).unwrap();
    let names: Vec<_> = report
        .subjects
        .iter()
        .map(|subject| (subject.place.rank, report::label(&subject.place.subject)))
        .collect();
    let names: Vec<_> = names.iter().map(|(rank, name)| (rank.unwrap(), name.as_str())).collect();
    assert_eq!(names, [(1, "AS64999"), (2, "Google"), (3, "Netflix"), (4, "AS714 (Apple Inc.)")]);
    assert!(report.subjects.iter().all(|subject| subject.growth.is_none()));
}

#[test]
fn a_report_in_words() {
    use report::text::{Markup, render};
    use words::Lang;
    let questions = questions(weeks(), now);
    let report = questions.report(&report_query(&["netflix"], &["google", "fastly"])).unwrap();
    insta::assert_snapshot!("report_en", render(&report, Lang::En, Markup::Plain));
    insta::assert_snapshot!("report_fr", render(&report, Lang::Fr, Markup::Plain));
    insta::assert_snapshot!("report_markdown", render(&report, Lang::En, Markup::Markdown));
    // An AS and a network without traffic, the other direction.
    let report = questions
        .report(&ReportQuery {
            networks: vec![Network::As(GOOGLE), Network::Group("netflix".to_owned())],
            direction: Direction::Out,
            ..report_query(&[], &["netflix"])
        })
        .unwrap();
    insta::assert_snapshot!("report_out_en", render(&report, Lang::En, Markup::Plain));
    insta::assert_snapshot!("report_out_fr", render(&report, Lang::Fr, Markup::Plain));
}

#[test]
fn a_report_of_too_little_data_says_so() {
    use report::text::{Markup, render};
    use words::Lang;
    let mut known = weeks();
    // Since yesterday afternoon.
    known.slots = known.slots.split_off(&(LAST - 100));
    let questions = questions(known, now);
    let report = questions.report(&report_query(&["netflix"], &["google"])).unwrap();
    assert_eq!(report.covered, ratio(101.0 / 288.0));
    insta::assert_snapshot!("report_little_en", render(&report, Lang::En, Markup::Plain));
    insta::assert_snapshot!("report_little_fr", render(&report, Lang::Fr, Markup::Plain));
    let when = When::Between { from: at("2025-11-01T00:00:00Z"), to: Some(at("2025-11-02T00:00:00Z")) };
    let report = questions.report(&ReportQuery { when, ..report_query(&["netflix"], &[]) }).unwrap();
    let text = render(&report, Lang::En, Markup::Plain);
    assert_eq!(
        text,
        "border1: from 1 November 2025, 01:00 to 2 November 2025, 01:00 (Europe/Paris)\n\n\
         Nothing of this time was counted; there is data since 1 January 2026, 16:45.\n"
    );
    let none = Questions::new(testing::example(), None).report(&report_query(&[], &[])).unwrap_err();
    assert_eq!(none.code(), "not_kept");
}

/// Days of Paris: 25 hours on 2025-10-26, 23 on 2026-03-29.
#[test]
fn days_when_the_clocks_change() {
    let mut known = Known::new(vec![upstream(0, "transit")], paris());
    let slots = |from: &str, to: &str| at(from).as_second() / 300..at(to).as_second() / 300;
    // 100 a slot: 288, 300 or 276 slots a day; 600 more in the slots from 18:00 to 18:05 local time.
    for number in slots("2025-10-24T22:00:00Z", "2025-10-27T23:00:00Z")
        .chain(slots("2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z"))
    {
        let local = Timestamp::from_second(number * 300).unwrap().to_zoned(paris());
        let evening = (local.hour(), local.minute()) == (18, 0);
        let slot = Slot::default().add(0, NETFLIX, [100 + if evening { 600 } else { 0 }, 0]);
        known.push(slot.close(number, 300));
    }
    let questions = questions(known, || at("2026-03-30T22:00:30Z").into());
    let days = |from: &str, to: &str| {
        let when = When::Between { from: at(from), to: Some(at(to)) };
        let query = SeriesQuery {
            when,
            step: Some(Step::Day),
            direction: Some(Direction::In),
            ..SeriesQuery::default()
        };
        let answer = questions.series(&query).unwrap();
        let total = answer.total.get(Direction::In).unwrap();
        let hours: Vec<_> = answer
            .steps
            .iter()
            .zip(&total.bits_per_second)
            .map(|(step, rate)| ((step.to.as_second() - step.from.as_second()) / 3600, rate.unwrap()))
            .collect();
        (hours, total.bytes)
    };
    let rate = |slots: u64| ((slots * 100 + 600) * 8 * 2 / (slots * 300)).div_ceil(2);
    assert_eq!(
        days("2025-10-24T22:00:00Z", "2025-10-27T23:00:00Z"),
        (vec![(24, rate(288)), (25, rate(300)), (24, rate(288))], 876 * 100 + 3 * 600)
    );
    assert_eq!(
        days("2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z"),
        (vec![(24, rate(288)), (23, rate(276)), (24, rate(288))], 852 * 100 + 3 * 600)
    );
    // The evening of both days begins at 18:00 there: 16:00 before the change in spring 17:00 UTC, after it 16:00.
    for (day, peak) in [("2025-10-26", "2025-10-26T17:00:00Z"), ("2026-03-29", "2026-03-29T16:00:00Z")] {
        let day: jiff::civil::Date = day.parse().unwrap();
        let of = |date: jiff::civil::Date| date.to_zoned(paris()).unwrap().timestamp();
        let when = When::Between { from: of(day), to: Some(of(day.tomorrow().unwrap())) };
        let query = ReportQuery { when, since: None, ..report_query(&["netflix"], &[]) };
        let report = questions.report(&query).unwrap();
        let evening = report.subjects[0].place.evening_peak.unwrap();
        assert_eq!((evening.bits_per_second, evening.at), (19, at(peak)));
    }
}

#[test]
fn what_a_search_finds() {
    let questions = Questions::new(testing::example(), None);
    let found = |text: &str| {
        let found = questions.search(text).unwrap().found;
        found
            .into_iter()
            .map(|name| {
                name.asn.map(|asn| asn.to_string()).or(name.group).or(name.kind).or(name.link).unwrap()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(found("netflix"), ["netflix", "2906", "40027"]);
    // By traffic: AS65551 has none.
    assert_eq!(found("GOOGLE"), ["google", "15169", "65551"]);
    assert_eq!((found("AS2906"), found("2906")), (vec!["2906".to_owned()], vec!["2906".to_owned()]));
    assert_eq!(
        (found("ix"), found("cdn")),
        (vec!["netflix".into(), "ix".into(), "2906".into(), "40027".into()], vec!["cdn".to_owned()])
    );
    assert_eq!(found("nothing like it"), Vec::<String>::new());
    for text in ["", "  ", &"x".repeat(101)] {
        assert_eq!(questions.search(text).unwrap_err().code(), "bad_parameter");
    }
}

#[test]
fn memory_is_compared_with_what_memory_or_the_history_has_of_before() {
    let questions = Questions::new(testing::example(), Some(Arc::new(three_days())));
    let compared = |seconds| {
        let query = TopQuery { when: last(seconds), compare: true, ..TopQuery::default() };
        questions.top(&query).unwrap()
    };
    // Five minutes, and the five before, of which nothing came but Apple's in the first minute.
    let answer = compared(300);
    let before = answer.compare.unwrap();
    assert_eq!((before.from, before.to), (at("2026-01-02T00:01:00Z"), at("2026-01-02T00:06:00Z")));
    assert_eq!((inward(&answer).previous_bytes, inward(&answer).change), (Some(0), None));
    // Eleven minutes since the start; what was before is in three slots.
    let answer = compared(3600);
    let before = answer.compare.unwrap();
    assert_eq!((before.from, before.to), (at("2026-01-01T23:45:00Z"), at("2026-01-02T00:00:00Z")));
    assert_eq!(inward(&answer).previous_bytes, Some(3 * 6660));
    let change = ratio(2_110_720.0 / 660.0 / (3.0 * 6660.0 / 900.0) - 1.0);
    assert_eq!(inward(&answer).change, Some(change));
    let netflix = inward(&answer).rows.iter().find(|row| row.asn == Some(NETFLIX)).unwrap();
    assert_eq!(netflix.previous_bytes, Some(3 * 3000));
    // Without a history nothing is known of before the start.
    let alone = Questions::new(testing::example(), None);
    let answer = alone.top(&TopQuery { when: last(3600), compare: true, ..TopQuery::default() }).unwrap();
    assert_eq!((answer.compare, inward(&answer).previous_bytes), (None, None));
}

#[test]
fn the_figures_of_the_last_hour_are_from_memory() {
    let questions = Questions::new(testing::example(), Some(Arc::new(three_days())));
    let query = PastQuery { when: last(3600), ..PastQuery::default() };
    let inside = |about| {
        let answer = questions.past(&about, &query).unwrap();
        let figures = answer.directions.get(Direction::In).unwrap().clone();
        (answer, figures)
    };
    let (answer, netflix) = inside(About::Group("netflix".to_owned()));
    assert_eq!((netflix.bytes, netflix.rank), (780_000, Some(1)));
    let links: Vec<_> = answer
        .links
        .iter()
        .map(|link| (link.link.as_str(), link.directions.get(Direction::In).unwrap().bytes))
        .collect();
    assert_eq!(links, [("transit", 600_000), ("ix", 180_000)]);
    assert_eq!((inside(About::All).1.bytes, inside(About::All).1.share), (2_110_720, 1.0));
    let (_, ix) = inside(About::Link("ix".to_owned()));
    assert_eq!((ix.bytes, ix.rank, ix.share), (180_000, Some(2), ratio(180_000.0 / 2_110_720.0)));
    let (_, customers) = inside(About::Link("customers".to_owned()));
    assert_eq!((customers.rank, customers.share), (Some(1), 1.0));
    assert_eq!(inside(About::As(APPLE)).1.bytes, 1_000_000);
    assert_eq!(inside(About::Kind("content".to_owned())).1.bytes, 1_080_000);
}

/// October 2026 in Paris has 745 hours: 8940 slots. Every one has another rate, from 2 to 17880 bit/s; 447 are left out.
#[test]
fn the_95th_percentile_of_a_month_by_hand() {
    let mut known = Known::new(vec![upstream(0, "transit")], paris());
    let (from, to) = (at("2026-09-30T22:00:00Z"), at("2026-10-31T23:00:00Z"));
    let first = from.as_second() / 300;
    for k in 0..8940_u64 {
        // 7919 is a prime: every number from 1 to 8940 once.
        let number = k * 7919 % 8940 + 1;
        let slot = Slot::default().add(0, NETFLIX, [number * 75, 7500]);
        known.push(slot.close(first + k as i64, 300));
    }
    assert_eq!((first + 8940) * 300, to.as_second());
    let after = || at("2026-11-01T00:00:00Z").into();
    let query = PastQuery { when: When::Between { from, to: Some(to) }, ..PastQuery::default() };
    let answer = questions(known.clone(), after).past(&About::As(NETFLIX), &query).unwrap();
    let p95 = |answer: &PastAnswer, direction| answer.directions.get(direction).unwrap().p95_bits_per_second;
    // ⌈0.95 · 8940⌉ = 8493.
    assert_eq!((p95(&answer, Direction::In), p95(&answer, Direction::Out)), (Some(2 * 8493), Some(200)));
    assert_eq!(answer.p95_bits_per_second, Some(2 * 8493));
    let [month] = &answer.months[..] else { panic!("{:?}", answer.months) };
    assert_eq!((month.month.as_str(), month.from, month.to), ("2026-10", from, to));
    assert_eq!((month.p95_in, month.p95_out, month.p95, month.covered), (2 * 8493, 200, 2 * 8493, 1.0));
    assert_eq!(month.bytes_in, 75 * 8940 * 8941 / 2);
    // The 940 lowest were not counted: of 8000 samples place 7600 is the 8540th of all.
    known.slots.retain(|_, slot| {
        slot.rows.iter().any(|row| row.sample.ipv4.bytes > 940 * 75 && row.sample.ipv4.bytes != 7500)
    });
    assert_eq!(known.slots.len(), 8000);
    let answer = questions(known, after).past(&About::As(NETFLIX), &query).unwrap();
    assert_eq!(p95(&answer, Direction::In), Some(2 * 8540));
    assert_eq!(answer.covered, ratio(8000.0 / 8940.0));
}
