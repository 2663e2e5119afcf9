//! Neighbours, transit and the peering report of a past that is known slot by slot.

use std::time::Duration;

use jiff::Timestamp;

use super::{tests::*, *};
use crate::{
    history::{Kind, Part, StoredLink, testing::Known},
    model::{Direction, LinkKind, Role},
    questions::{
        answer::PeeringCandidate,
        report::{peering_text, text::Markup},
        words::Lang,
    },
    totals::{By, answer::TopDirection},
};

const LEVEL3: Asn = 3356;
const ARELION: Asn = 1299;
const LIBERTY: Asn = 6830;
const SALT: Asn = 6730;

/// 2026-01-02T00:11:01Z.
fn now() -> std::time::SystemTime {
    Timestamp::from_second(1_767_312_661).unwrap().into()
}

/// The slot that ends last before.
const LAST: i64 = 1_767_312_661 / 300 - 1;

fn link(number: u8, name: &str, kind: LinkKind) -> StoredLink {
    let number = crate::history::LinkNo(number);
    StoredLink { number, name: name.to_owned(), role: Role::Upstream, kind: Some(kind) }
}

/// Two days on a transit link and an exchange. In a slot, in and out: by Level 3 on transit Netflix 3000 and 100, and by it
/// through Liberty its Salt 1000 and 50, Liberty itself 500 and 10; by Arelion on transit, in only, Apple 200. At the
/// exchange Liberty itself 4000 and 400. Without a path: Google 700 on transit. In the last six hours Netflix has ten
/// times as much in.
pub(crate) fn two_days() -> Known {
    let mut known =
        Known::new(vec![link(0, "transit", LinkKind::Transit), link(1, "ix", LinkKind::Ix)], paris());
    for back in 0..2 * 288 {
        let netflix = if back < 72 { 30_000 } else { 3000 };
        let slot = Slot::default()
            .add(0, NETFLIX, [netflix, 100])
            .add(0, SALT, [1000, 50])
            .add(0, LIBERTY, [500, 10])
            .add(0, APPLE, [200, 0])
            .add(0, GOOGLE, [700, 0])
            .add(1, LIBERTY, [4000, 400])
            .way(Kind::Neighbor, LEVEL3, 0, [netflix + 1500, 160])
            .way(Kind::Neighbor, ARELION, 0, [200, 0])
            .way(Kind::Neighbor, LIBERTY, 1, [4000, 400])
            .way(Kind::Transit, LEVEL3, 0, [netflix + 1500, 160])
            .way(Kind::Transit, ARELION, 0, [200, 0])
            .way(Kind::Transit, LIBERTY, 0, [1000, 50]);
        known.push(slot.close(LAST - back, 300));
    }
    known
}

/// Questions to it.
pub(crate) fn of(known: Known) -> Questions {
    questions(known, now)
}

fn ask() -> Questions {
    of(two_days())
}

const DAY: u64 = 86_400;

fn inward(by: By, seconds: u64) -> TopDirection {
    let when = When::Last(Duration::from_secs(seconds));
    let answer = ask().top(&TopQuery { by, when, compare: true, ..TopQuery::default() }).unwrap();
    answer.directions.inward.unwrap()
}

fn rows(direction: &TopDirection) -> Vec<(Asn, u64)> {
    direction.rows.iter().map(|row| (row.asn.unwrap(), row.bytes)).collect()
}

#[test]
fn top_of_a_day_by_neighbor_and_by_transit() {
    let netflix = 288 * 3000 + 72 * 27_000;
    let neighbors = inward(By::Neighbor, DAY);
    assert_eq!(
        rows(&neighbors),
        [(LEVEL3, netflix + 288 * 1500), (LIBERTY, 288 * 4000), (ARELION, 288 * 200)]
    );
    assert_eq!(neighbors.no_path.unwrap().bytes, 288 * 700);
    assert_eq!((neighbors.other.bytes, neighbors.unmatched.bytes), (0, 0));
    assert_eq!(neighbors.total.bytes, netflix + 288 * 6400);
    assert_eq!(neighbors.rows[0].previous_bytes, Some(288 * 4500));
    assert_eq!(neighbors.rows[1].change, Some(0.0));
    let transit = inward(By::Transit, DAY);
    assert_eq!(
        rows(&transit),
        [
            (LEVEL3, netflix + 288 * 1500),
            (NETFLIX, netflix),
            (LIBERTY, 288 * 5500),
            (SALT, 288 * 1000),
            (GOOGLE, 288 * 700),
            (APPLE, 288 * 200),
            (ARELION, 288 * 200),
        ]
    );
    assert_eq!((transit.other.bytes, transit.no_path.unwrap().bytes), (0, 288 * 700));
    assert_eq!(transit.rows[2].previous_bytes, Some(288 * 5500));
}

#[test]
fn a_neighbor_over_a_period() {
    let query = PastQuery { when: When::Last(Duration::from_secs(DAY)), ..PastQuery::default() };
    let past = ask().past(&About::Neighbor(LEVEL3), &query).unwrap();
    assert_eq!((past.by, past.subject.asn), (Some(By::Neighbor), Some(LEVEL3)));
    let inside = past.directions.inward.unwrap();
    assert_eq!((inside.bytes, inside.rank), (288 * 4500 + 72 * 27_000, Some(1)));
    // 72 slots of 288 have 31,500 bytes: more than a twentieth.
    assert_eq!(inside.p95_bits_per_second, Some(840));
    assert_eq!(past.directions.outward.unwrap().p95_bits_per_second, Some(4));
    assert_eq!(past.p95_bits_per_second, Some(840));
    assert_eq!((past.links.len(), past.ases), (2, None));
    let outside = past.links[1].directions.inward.as_ref().unwrap();
    assert_eq!(outside.bytes, 0);
    let course = SeriesQuery {
        by: Some(By::Neighbor),
        n: 2,
        when: query.when,
        direction: Some(Direction::In),
        ..SeriesQuery::default()
    };
    let course = ask().series(&course).unwrap();
    let layers: Vec<_> = course
        .layers
        .iter()
        .map(|layer| (layer.subject.asn, layer.directions.inward.as_ref().unwrap().bytes))
        .collect();
    assert_eq!(
        layers,
        [(Some(LEVEL3), 288 * 4500 + 72 * 27_000), (Some(LIBERTY), 288 * 4000), (None, 288 * 900)]
    );
    let error = ask().series(&SeriesQuery { by: Some(By::Transit), ..SeriesQuery::default() }).unwrap_err();
    assert!(error.to_string().contains("expected as, group, kind, link or neighbor"), "{error}");
    let unknown = ask().past(&About::Neighbor(4_200_000_001), &query).unwrap_err();
    assert_eq!(unknown.code(), "not_found");
}

fn peering(questions: &Questions, query: &PeeringQuery) -> PeeringAnswer {
    questions.peering(query).unwrap()
}

fn two() -> PeeringQuery {
    PeeringQuery { when: When::Last(Duration::from_secs(2 * DAY)), ..PeeringQuery::default() }
}

fn brief(candidates: &[PeeringCandidate]) -> Vec<(Asn, u64, u64, bool)> {
    let of = |candidate: &PeeringCandidate| {
        (candidate.asn, candidate.bytes, candidate.own_bytes, candidate.neighbor)
    };
    candidates.iter().map(of).collect()
}

#[test]
fn whom_to_peer_with() {
    let questions = ask().with_ases(&[64_500], &[]);
    let answer = peering(&questions, &two());
    let (slots, more) = (576, 72 * 27_000);
    let transit = slots * 5400 + more;
    assert_eq!(answer.transit.bytes, transit);
    assert_eq!(answer.total.bytes, transit + slots * 4000);
    assert_eq!(answer.transit.share, crate::totals::top::ratio(transit as f64 / answer.total.bytes as f64));
    // 72 of 576 slots are high: an eighth.
    assert_eq!(answer.transit.p95_bits_per_second, Some(32_400 * 8 / 300));
    // Arelion has nothing out.
    let transits: Vec<_> = answer.transits.iter().map(|it| (it.asn, it.bytes_out, it.configured)).collect();
    assert_eq!(transits, [(LEVEL3, slots * 160, false)]);
    assert_eq!(
        brief(&answer.networks),
        [
            (NETFLIX, slots * 3000 + more, slots * 3000 + more, false),
            (SALT, slots * 1000, slots * 1000, false),
            (GOOGLE, slots * 700, slots * 700, false),
            (LIBERTY, slots * 500, slots * 500, true),
            (APPLE, slots * 200, slots * 200, false),
        ]
    );
    assert_eq!(
        brief(&answer.cones),
        [(LIBERTY, slots * 1500, slots * 500, true), (ARELION, slots * 200, 0, true)]
    );
    let netflix = &answer.networks[0];
    assert_eq!(netflix.p95_bits_per_second, Some(800));
    let freed = &netflix.links[0];
    assert_eq!(netflix.links.len(), 1);
    assert_eq!((freed.link.as_str(), freed.p95_bits_per_second), ("transit", Some(864)));
    assert_eq!((freed.p95_without, freed.freed_bits_per_second), (Some(64), Some(800)));
    let cone = &answer.cones[0];
    assert_eq!((cone.p95_bits_per_second, cone.links[0].freed_bits_per_second), (Some(40), Some(40)));
    assert_eq!(cone.share, crate::totals::top::ratio((slots * 1500) as f64 / transit as f64));
}

#[test]
fn transits_that_are_given_and_other_choices() {
    let questions = ask().with_ases(&[SALT], &[LEVEL3, ARELION]);
    let answer = peering(&questions, &PeeringQuery { n: 2, direction: Direction::Out, ..two() });
    let transits: Vec<_> = answer.transits.iter().map(|it| (it.asn, it.configured)).collect();
    assert_eq!(transits, [(LEVEL3, true), (ARELION, true)]);
    assert_eq!(
        brief(&answer.networks),
        [(NETFLIX, 57_600, 57_600, false), (LIBERTY, 5760, 5760, true)],
        "out, and Salt is our own"
    );
    assert_eq!(brief(&answer.cones), [(LIBERTY, 576 * 60, 5760, true)]);
    // The other link is no transit.
    let only = |link: &str| questions.peering(&PeeringQuery { links: vec![link.to_owned()], ..two() });
    assert_eq!(only("transit").unwrap().transit.share, 1.0);
    assert_eq!(only("ix").unwrap_err(), QueryError::NoTransit);
    let pairs = |name: &str, value: &str| {
        PeeringQuery::from_pairs(&[(name.to_owned(), value.to_owned())], &questions.clock())
    };
    assert_eq!(pairs("n", "3").unwrap(), PeeringQuery { n: 3, ..PeeringQuery::default() });
    assert!(pairs("n", "51").is_err() && pairs("compare", "previous").is_err() && pairs("by", "as").is_err());
}

#[test]
fn a_peering_report_in_words() {
    let questions = ask();
    let answer = peering(&questions, &PeeringQuery { n: 3, ..two() });
    let text =
        |lang, markup| peering_text::render(&answer, lang, markup).replace(['\u{a0}', '\u{202f}'], "~");
    insta::assert_snapshot!("peering_en", text(Lang::En, Markup::Plain));
    insta::assert_snapshot!("peering_fr", text(Lang::Fr, Markup::Plain));
    insta::assert_snapshot!("peering_markdown", text(Lang::En, Markup::Markdown));
    // Nothing is known of that time.
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let when = When::Between { from: at("2025-01-01T00:00:00Z"), to: Some(at("2025-01-02T00:00:00Z")) };
    let nothing = peering(&questions, &PeeringQuery { when, ..two() });
    assert_eq!((nothing.covered, nothing.networks.len()), (0.0, 0));
    let text = peering_text::render(&nothing, Lang::En, Markup::Plain);
    assert!(text.contains("Nothing of this time was counted; there is data since"), "{text}");
}

/// Part::Other is in what is billed.
#[test]
fn what_is_not_ip_is_on_the_link_too() {
    let mut known = two_days();
    for slot in known.slots.values_mut() {
        let link = crate::history::LinkNo(0);
        let sample = crate::history::Sample {
            ipv4: crate::model::Counter { packets: 1, bytes: 600 },
            ..crate::history::Sample::default()
        };
        let subject = Part::Other as u32;
        slot.rows.push(crate::history::Row {
            kind: Kind::Link,
            subject,
            link,
            direction: Direction::In,
            sample,
        });
        slot.rows.sort_unstable_by_key(crate::history::Row::key);
    }
    let answer = peering(&of(known), &two());
    assert_eq!(answer.links[0].p95_bits_per_second, Some(33_000 * 8 / 300));
    assert_eq!(answer.networks[0].links[0].p95_without, Some(3000 * 8 / 300));
}
