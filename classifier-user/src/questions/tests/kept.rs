//! What is worked out once, and ready before it is asked for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use jiff::Timestamp;

use super::*;
use crate::history::{Extent, Links, Month, Point, ReadError, StoredLink, Sums};

/// A past that is watched.
#[derive(Debug)]
struct Told {
    known: Known,
    /// How often it was read.
    reads: Arc<AtomicUsize>,
    /// From when on it says that there is five-minute detail of ASes.
    slots_since: Option<Timestamp>,
    /// How many slots at the end are not yet there.
    missing: Arc<AtomicUsize>,
}

impl Read for Told {
    fn extent(&self) -> Result<Extent, ReadError> {
        let extent = self.known.extent()?;
        let missing = self.missing.load(Ordering::Relaxed) as i64 * 300;
        let until = Timestamp::from_second(extent.until.as_second() - missing).unwrap();
        Ok(Extent { slots_since: self.slots_since, until, ..extent })
    }
    fn links(&self) -> Result<Vec<StoredLink>, ReadError> {
        self.known.links()
    }
    fn sums(&self, kind: Kind, period: Period, links: &Links) -> Result<Sums, ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.known.sums(kind, period, links)
    }
    fn series(
        &self,
        kind: Kind,
        subjects: &[u32],
        period: Period,
        links: &Links,
        step: Step,
    ) -> Result<Vec<Point>, ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.known.series(kind, subjects, period, links, step)
    }
    fn months(&self, kind: Kind, subject: u32) -> Result<Vec<Month>, ReadError> {
        self.known.months(kind, subject)
    }
    fn group(&self, key: &str) -> Result<Option<u32>, ReadError> {
        self.known.group(key)
    }
    fn prefix(&self, subject: u32) -> Result<Option<StoredPrefix>, ReadError> {
        self.known.prefix(subject)
    }
}

#[test]
fn an_answer_of_the_history_is_made_once_a_slot() {
    let reads = Arc::new(AtomicUsize::new(0));
    let known = three_days();
    let slots_since = known.extent().unwrap().since;
    let mut questions = questions(known.clone(), now);
    questions.history =
        Some(Arc::new(Told { known, reads: Arc::clone(&reads), slots_since, missing: Arc::default() }));
    let taken = || reads.swap(0, Ordering::Relaxed);
    let ask = |n| questions.top(&TopQuery { when: last(DAY), n, ..TopQuery::default() }).unwrap();
    let first = ask(20);
    assert_eq!(taken(), 2);
    assert_eq!(ask(20), first);
    assert_eq!(taken(), 0);
    // Another answer of the same sums.
    ask(1);
    let query = PastQuery::default();
    questions.past(&About::Group("netflix".to_owned()), &query).unwrap();
    // The group's course, and that on each link, after a look whether it is that of the group as it was.
    assert_eq!(taken(), 4);
    questions.past(&About::Group("netflix".to_owned()), &query).unwrap();
    assert_eq!(taken(), 0);
    // Other groups: anew.
    questions.view().set_tables(Arc::new(testing::names()), Arc::new(testing::groups()));
    ask(20);
    assert_eq!(taken(), 2);
}

#[test]
fn pages_go_over_to_a_slot_when_all_is_there_of_it() {
    let (reads, missing) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(2)));
    let known = three_days();
    let slots_since = known.extent().unwrap().since;
    let mut all = questions(known.clone(), now);
    all.history =
        Some(Arc::new(Told { known, reads: Arc::clone(&reads), slots_since, missing: Arc::clone(&missing) }));
    let taken = || reads.swap(0, Ordering::Relaxed);
    let pages = all.of_pages();
    let top = TopQuery { when: last(DAY), ..TopQuery::default() };
    let about = About::Group("netflix".to_owned());
    let ask = |questions: &Questions| {
        let series = SeriesQuery { about: about.clone(), when: last(DAY), ..SeriesQuery::default() };
        let past = questions.past(&about, &PastQuery::default()).unwrap();
        let ends = [questions.top(&top).unwrap().to, questions.series(&series).unwrap().to, past.to];
        assert_eq!((ends[0], ends[1]), (ends[1], ends[2]));
        (ends[0], questions.end())
    };
    let end = |missing: i64| Timestamp::from_second((LAST + 1 - missing) * 300).unwrap();
    // Nothing was asked for yet.
    assert_eq!(all.make_ready().unwrap(), 0);
    assert_eq!(ask(&pages), (end(2), end(2)));
    assert!(taken() > 0);
    // The next slot is there: who asks on the command line has it at once, pages have what they had, and at once.
    missing.store(1, Ordering::Relaxed);
    assert_eq!(ask(&pages), (end(2), end(2)));
    assert_eq!(taken(), 0);
    assert_eq!(all.top(&top).unwrap().to, end(1));
    assert!(taken() > 0);
    // Once it is worked out pages show it, and read nothing.
    assert_eq!(all.make_ready().unwrap(), 3);
    assert!(taken() > 0);
    assert_eq!(ask(&pages), (end(1), end(1)));
    assert_eq!((taken(), all.make_ready().unwrap()), (0, 0));
    // What the command line asked is the same.
    assert_eq!(all.top(&top).unwrap(), pages.top(&top).unwrap());
    // Where nothing is made ready any more, pages are no later than a slot.
    missing.store(0, Ordering::Relaxed);
    assert_eq!(ask(&pages), (end(1), end(1)));
}

/// Netflix as a group had what its ASes have, and before yesterday half as much again.
fn with_groups_as_they_were() -> Known {
    let mut known = three_days();
    for (number, slot) in &mut known.slots {
        let more = if *number <= LAST - 288 { 5 } else { 0 };
        let then = Slot::default()
            .one(Kind::Group, 0, 0, if *number == LAST - 12 { 12_000 } else { 3000 } + more)
            .add_ipv6_of(Kind::Group, 0, 1, 1000);
        slot.rows.extend(then.close(*number, 300).rows);
        slot.rows.sort_unstable_by_key(Row::key);
    }
    known
}

#[test]
fn a_group_is_that_of_now_unless_the_detail_of_its_ases_is_gone() {
    let known = with_groups_as_they_were();
    let mut questions = questions(known.clone(), now);
    let reads = Arc::new(AtomicUsize::new(0));
    let told = |slots_since| Told {
        known: known.clone(),
        reads: Arc::clone(&reads),
        slots_since,
        missing: Arc::default(),
    };
    let course = |questions: &Questions, seconds| {
        let about = About::Group("netflix".to_owned());
        let query = SeriesQuery { about, when: last(seconds), ..SeriesQuery::default() };
        questions.series(&query).unwrap().total.get(Direction::In).unwrap().bytes
    };
    questions.history = Some(Arc::new(told(known.extent().unwrap().since)));
    let day = 288 * 4000 + 9000;
    // Of one day both are the same; of two the group was another one.
    assert_eq!(course(&questions, DAY), day);
    assert_eq!(course(&questions, 2 * DAY), day);
    // Where the slots of ASes are gone, there is only what the group was then.
    questions.history = Some(Arc::new(told(Some(at("2026-01-01T00:00:00Z")))));
    questions.cache = Arc::default();
    assert_eq!(course(&questions, DAY), day);
    assert_eq!(course(&questions, 2 * DAY), day + 288 * 4005);
}
