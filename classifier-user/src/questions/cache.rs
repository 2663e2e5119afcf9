//! What was worked out from the history since its last slot: asked again, it is there.
//!
//! Everything in it is of a state of the history, names and groups; with another state it begins anew, and what was of the
//! one before stays, which pages still show. What several ask for at once is worked out once, while the others wait.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use super::{
    About, PastQuery, SeriesQuery,
    answer::{PastAnswer, PeeringAnswer, ReportAnswer, SeriesAnswer},
    report::{ReportQuery, peering::PeeringQuery},
};
use crate::{
    history::{Kind, Links, Period, Sums},
    table::{groups::Groups, names::Names},
    totals::{QueryError, TopQuery, answer::TopAnswer},
};

/// The most answers of a sort that are kept.
const ANSWERS: usize = 128;
/// The most rows that an answer which is kept may have.
pub(super) const ROWS: usize = 1000;
/// The most rows of sums kept, about 70 bytes each.
const SUM_ROWS: usize = 250_000;
/// The most sums kept.
const SUMS: usize = 64;
/// Of how many states things are kept.
const STATES: usize = 2;

/// What everything in the cache is of.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) until: Timestamp,
    pub(super) names: Arc<Names>,
    pub(super) groups: Arc<Groups>,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        // As long as they are held here, no other ones are at the same place.
        self.until == other.until
            && Arc::ptr_eq(&self.names, &other.names)
            && Arc::ptr_eq(&self.groups, &other.groups)
    }
}

/// How much is kept of a sort.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    weight: usize,
    count: usize,
}

/// The cache.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Vec<(State, Inside)>>);

#[derive(Debug, Default)]
struct Inside {
    tops: Kept<(Period, TopQuery), Arc<TopAnswer>>,
    pasts: Kept<(Period, About, PastQuery), Arc<PastAnswer>>,
    series: Kept<(Period, SeriesQuery), Arc<SeriesAnswer>>,
    reports: Kept<(Period, ReportQuery), Arc<ReportAnswer>>,
    peerings: Kept<(Period, PeeringQuery), Arc<PeeringAnswer>>,
    sums: Kept<(Kind, Period, Links), Arc<Sums>>,
}

/// Values by key, the last used ones; while one is worked out its place is locked.
#[derive(Debug)]
struct Kept<K, V> {
    places: HashMap<K, Entry<V>>,
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    place: Place<V>,
    used: u64,
    weight: usize,
}

type Place<V> = Arc<Mutex<Option<V>>>;

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self { places: HashMap::new(), uses: 0 }
    }
}

impl<K: Clone + Eq + Hash, V> Kept<K, V> {
    /// The place of a key.
    fn place(&mut self, key: &K) -> Place<V> {
        self.uses += 1;
        let new = || Entry { place: Arc::default(), used: 0, weight: 0 };
        let entry = self.places.entry(key.clone()).or_insert_with(new);
        entry.used = self.uses;
        Arc::clone(&entry.place)
    }

    /// Says what a value weighs, and lets go what was used longest ago until `bounds` hold.
    fn bound(&mut self, key: &K, weight: usize, bounds: Bounds) {
        if let Some(entry) = self.places.get_mut(key) {
            entry.weight = weight;
        }
        let weight = |places: &HashMap<K, Entry<V>>| places.values().map(|entry| entry.weight).sum::<usize>();
        while self.places.len() > bounds.count || weight(&self.places) > bounds.weight {
            let oldest = self.places.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            self.places.remove(&oldest);
        }
    }
}

impl Cache {
    /// A ranking, made if it is not there.
    pub(super) fn top(
        &self,
        state: &State,
        key: &(Period, TopQuery),
        make: impl FnOnce() -> Result<TopAnswer, QueryError>,
    ) -> Result<TopAnswer, QueryError> {
        self.answer(state, key, |inside| &mut inside.tops, make)
    }

    /// A subject's figures, made if it is not there.
    pub(super) fn past(
        &self,
        state: &State,
        key: &(Period, About, PastQuery),
        make: impl FnOnce() -> Result<PastAnswer, QueryError>,
    ) -> Result<PastAnswer, QueryError> {
        self.answer(state, key, |inside| &mut inside.pasts, make)
    }

    /// A course, made if it is not there.
    pub(super) fn series(
        &self,
        state: &State,
        key: &(Period, SeriesQuery),
        make: impl FnOnce() -> Result<SeriesAnswer, QueryError>,
    ) -> Result<SeriesAnswer, QueryError> {
        self.answer(state, key, |inside| &mut inside.series, make)
    }

    /// A report, made if it is not there.
    pub(super) fn report(
        &self,
        state: &State,
        key: &(Period, ReportQuery),
        make: impl FnOnce() -> Result<ReportAnswer, QueryError>,
    ) -> Result<ReportAnswer, QueryError> {
        self.answer(state, key, |inside| &mut inside.reports, make)
    }

    /// A peering report, made if it is not there.
    pub(super) fn peering(
        &self,
        state: &State,
        key: &(Period, PeeringQuery),
        make: impl FnOnce() -> Result<PeeringAnswer, QueryError>,
    ) -> Result<PeeringAnswer, QueryError> {
        self.answer(state, key, |inside| &mut inside.peerings, make)
    }

    fn answer<K: Clone + Eq + Hash, V: Clone>(
        &self,
        state: &State,
        key: &K,
        kept: impl Fn(&mut Inside) -> &mut Kept<K, Arc<V>>,
        make: impl FnOnce() -> Result<V, QueryError>,
    ) -> Result<V, QueryError> {
        let bounds = Bounds { weight: ANSWERS, count: ANSWERS };
        self.get(state, key, kept, || make().map(Arc::new), |_| 1, bounds).map(Arc::unwrap_or_clone)
    }

    /// Sums, read if they are not there.
    pub(super) fn sums(
        &self,
        state: &State,
        key: &(Kind, Period, Links),
        read: impl FnOnce() -> Result<Arc<Sums>, QueryError>,
    ) -> Result<Arc<Sums>, QueryError> {
        self.get(
            state,
            key,
            |inside| &mut inside.sums,
            read,
            |sums| sums.rows.len(),
            Bounds { weight: SUM_ROWS, count: SUMS },
        )
    }

    fn get<K: Clone + Eq + Hash, V: Clone>(
        &self,
        state: &State,
        key: &K,
        kept: impl Fn(&mut Inside) -> &mut Kept<K, V>,
        make: impl FnOnce() -> Result<V, QueryError>,
        weigh: impl FnOnce(&V) -> usize,
        bounds: Bounds,
    ) -> Result<V, QueryError> {
        let place = {
            let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !states.iter().any(|(other, _)| other == state) {
                states.truncate(STATES - 1);
                states.insert(0, (state.clone(), Inside::default()));
            }
            match states.iter_mut().find(|(other, _)| other == state) {
                Some((_, inside)) => kept(inside).place(key),
                None => Place::default(),
            }
        };
        let mut value = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &*value {
            return Ok(value.clone());
        }
        let made = make();
        if let Ok(made) = &made {
            *value = Some(made.clone());
        }
        drop(value);
        let weight = made.as_ref().map_or(0, weigh);
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, inside)) = states.iter_mut().find(|(other, _)| other == state) {
            kept(inside).bound(key, weight, bounds);
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(until: i64) -> State {
        State { until: Timestamp::from_second(until).unwrap(), names: Arc::default(), groups: Arc::default() }
    }

    fn period(from: i64) -> Period {
        let at = |second| Timestamp::from_second(second).unwrap();
        Period { from: at(from), to: at(from + 300) }
    }

    fn sums(rows: usize) -> Arc<Sums> {
        let row = |subject| crate::history::Sum { subject, samples: Default::default() };
        Arc::new(Sums { period: period(0), covered: 300, rows: (0..rows as u32).map(row).collect() })
    }

    /// How many of these are read when they are asked for.
    fn reads(cache: &Cache, state: &State, froms: impl IntoIterator<Item = i64>, rows: usize) -> usize {
        let mut reads = 0;
        for from in froms {
            let key = (Kind::As, period(from), Links::Isp);
            cache
                .sums(state, &key, || {
                    reads += 1;
                    Ok(sums(rows))
                })
                .unwrap();
        }
        reads
    }

    #[test]
    fn what_is_asked_again_is_there() {
        let (cache, state) = (Cache::default(), state(0));
        assert_eq!(reads(&cache, &state, [1, 2, 1, 2], 10), 2);
        // Another state of the history, of names or of groups: anew.
        let later = State { until: Timestamp::from_second(300).unwrap(), ..state.clone() };
        assert_eq!(reads(&cache, &later, [1, 2, 1], 10), 2);
        // The one before is still there, for pages.
        assert_eq!(reads(&cache, &state, [1, 2], 10), 0);
        let renamed = State { names: Arc::default(), ..later.clone() };
        assert_eq!(reads(&cache, &renamed, [1, 1], 10), 1);
        assert_eq!(reads(&cache, &later, [1, 2], 10), 0);
        assert_eq!(reads(&cache, &state, [1, 2], 10), 2);
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let (cache, state) = (Cache::default(), state(0));
        // Four of these are the most.
        let rows = SUM_ROWS / 4;
        assert_eq!(reads(&cache, &state, [1, 2, 3, 4], rows), 4);
        assert_eq!(reads(&cache, &state, [1, 5, 1, 3, 4, 5], rows), 1);
        assert_eq!(reads(&cache, &state, [2], rows), 1);
        // One that is too large alone is not kept.
        assert_eq!(reads(&cache, &state, [9, 9], SUM_ROWS + 1), 2);
        assert_eq!(reads(&cache, &state, 100..100 + SUMS as i64 + 1, 1), SUMS + 1);
        assert_eq!(reads(&cache, &state, [100], 1), 1);
    }

    #[test]
    fn errors_are_not_kept() {
        let (cache, state) = (Cache::default(), state(0));
        let key = (Kind::As, period(1), Links::Isp);
        let error = cache.sums(&state, &key, || Err(QueryError::Unreadable("disk".to_owned())));
        assert!(error.is_err());
        assert_eq!(reads(&cache, &state, [1], 1), 1);
    }

    #[test]
    fn several_that_ask_at_once_make_one_work() {
        let (cache, state) = (Cache::default(), state(0));
        let made = std::sync::atomic::AtomicUsize::new(0);
        let gate = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    gate.wait();
                    let key = (Kind::As, period(1), Links::Isp);
                    let read = || {
                        made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        Ok(sums(3))
                    };
                    assert_eq!(cache.sums(&state, &key, read).unwrap().rows.len(), 3);
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}
