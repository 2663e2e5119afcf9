//! Pages do not wait for the history: what was looked at lately is worked out again when a slot has ended, before pages
//! go over to it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{About, PastQuery, Questions, SeriesQuery};
use crate::{
    history::{Period, SLOT_SECONDS},
    totals::{QueryError, TopQuery, When},
};

/// For how long what was looked at is worked out again.
const RECENTLY: Duration = Duration::from_secs(3600);
/// The most questions that are worked out again: about six a page.
const QUESTIONS: usize = 96;

/// What pages asked for, and where the history ends for them. Shared by all pages.
#[derive(Debug, Default)]
pub(super) struct Ready(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    /// The end of the last slot that everything is there of.
    shown: Option<Timestamp>,
    asked: HashMap<Asked, Instant>,
}

/// A question, and seconds from the period's begin and end to the end of the history.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    question: Question,
    from: i64,
    to: i64,
}

/// A question that pages have; what it says of its period is not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    Top(TopQuery),
    Past(About, PastQuery),
    Series(SeriesQuery),
}

impl Question {
    fn at(mut self, when: When) -> Self {
        match &mut self {
            Self::Top(query) => query.when = when,
            Self::Past(_, query) => query.when = when,
            Self::Series(query) => query.when = when,
        }
        self
    }
}

impl Ready {
    /// Where the history ends for pages, when it really ends at `until`.
    pub(super) fn shown(&self, until: Timestamp) -> Timestamp {
        let late = |shown: &Timestamp| (0..=SLOT_SECONDS).contains(&(until.as_second() - shown.as_second()));
        self.lock().shown.filter(late).unwrap_or(until)
    }

    /// A page asks this of a history that ends at `until`.
    pub(super) fn note(&self, question: Question, period: Period, until: Timestamp) {
        let before = |at: Timestamp| until.as_second() - at.as_second();
        let question = question.at(When::Last(Duration::ZERO));
        let asked = Asked { question, from: before(period.from), to: before(period.to) };
        let mut inside = self.lock();
        inside.asked.insert(asked, Instant::now());
        if inside.asked.len() > QUESTIONS {
            let oldest = inside.asked.iter().min_by_key(|(_, at)| **at).map(|(asked, _)| asked.clone());
            oldest.and_then(|oldest| inside.asked.remove(&oldest));
        }
    }

    /// What to work out before pages show a history that ends at `until`; nothing where they do already.
    fn due(&self, until: Timestamp) -> Vec<Question> {
        let mut inside = self.lock();
        inside.asked.retain(|_, at| at.elapsed() <= RECENTLY);
        if inside.shown == Some(until) {
            return Vec::new();
        }
        let at = |before: i64| Timestamp::from_second(until.as_second() - before).ok();
        let question = |asked: &Asked| {
            let when = When::Between { from: at(asked.from)?, to: Some(at(asked.to)?) };
            Some(asked.question.clone().at(when))
        };
        inside.asked.keys().filter_map(question).collect()
    }

    fn show(&self, until: Timestamp) {
        self.lock().shown = Some(until);
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Questions {
    /// These questions as pages ask them: where a slot has just ended, of the history before it, until
    /// [`Questions::make_ready`] is done.
    #[must_use]
    pub fn of_pages(&self) -> Self {
        Self { of_pages: true, ..self.clone() }
    }

    /// Works out what pages were asked for lately, where the history has gone on. How many questions that were.
    ///
    /// # Errors
    /// [`QueryError::Unreadable`] where the history cannot be read.
    pub fn make_ready(&self) -> Result<usize, QueryError> {
        let Some(history) = &self.history else { return Ok(0) };
        let until = history.extent()?.until;
        let due = self.ready.due(until);
        let now = Self { of_pages: false, ..self.clone() };
        for question in &due {
            // Who asks for it is told why it could not be had.
            let _ = match question {
                Question::Top(query) => now.top(query).map(drop),
                Question::Past(about, query) => now.past(about, query).map(drop),
                Question::Series(query) => now.series(query).map(drop),
            };
        }
        self.ready.show(until);
        Ok(due.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn questions_move_with_the_history() {
        let ready = Ready::default();
        let day = Period { from: at(900_000 - 86_400), to: at(900_000) };
        ready.note(Question::Top(TopQuery::default()), day, at(900_000));
        // The same a slot later is the same question.
        let later = Period { from: at(900_300 - 86_400), to: at(900_300) };
        ready.note(Question::Top(TopQuery::default()), later, at(900_300));
        let when = When::Between { from: at(900_600 - 86_400), to: Some(at(900_600)) };
        let expected = Question::Top(TopQuery { when, ..TopQuery::default() });
        assert_eq!(ready.due(at(900_600)), [expected]);
        ready.show(at(900_600));
        assert_eq!(ready.due(at(900_600)), []);
    }

    #[test]
    fn pages_are_a_slot_late_at_most() {
        let ready = Ready::default();
        assert_eq!(ready.shown(at(900_000)), at(900_000));
        ready.show(at(900_000));
        assert_eq!(ready.shown(at(900_300)), at(900_000));
        assert_eq!(ready.shown(at(900_600)), at(900_600));
        // A history that was set aside ends earlier.
        assert_eq!(ready.shown(at(300_000)), at(300_000));
    }

    #[test]
    fn what_was_asked_longest_ago_is_let_go() {
        let ready = Ready::default();
        for n in 0..=QUESTIONS {
            let query = TopQuery { n, ..TopQuery::default() };
            ready.note(Question::Top(query), Period { from: at(0), to: at(300) }, at(300));
        }
        let due = ready.due(at(600));
        assert_eq!(due.len(), QUESTIONS);
        let has = |n| due.iter().any(|question| matches!(question, Question::Top(query) if query.n == n));
        assert!(!has(0) && has(QUESTIONS));
    }
}
