//! What can be asked of now and of the past, with one answer for the command line, the API and the page.
//!
//! The last hour is answered from the memory of the sweeps ([`crate::totals`]), what is longer ago from the history
//! ([`crate::history`]); who asks does not see the difference, but that the history ends with its last whole slot.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;

pub use self::query::{PastQuery, SeriesQuery};
use self::{
    answer::{PastAnswer, SeriesAnswer},
    past::Past,
};
pub use crate::totals::{Clock, Moment, When};
use crate::{
    history::{Read, SLOT_SECONDS},
    model::Asn,
    table::groups::{Group, Groups},
    totals::{QueryError, TopQuery, View, answer::TopAnswer},
};

pub mod answer;
mod figures;
mod past;
pub mod query;
mod series;
#[cfg(test)]
mod tests;
mod top;
pub mod words;

/// What memory tells of: longer ago is the history's.
const MEMORY: Duration = Duration::from_secs(3600);

/// What a question is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// All traffic of the links that are looked at.
    All,
    /// An AS.
    As(Asn),
    /// A group, by its key.
    Group(String),
    /// All groups of a kind.
    Kind(String),
    /// A link, by its name.
    Link(String),
}

/// Answers questions. Cheap to clone.
#[derive(Clone)]
pub struct Questions {
    view: View,
    history: Option<Arc<dyn Read>>,
    zone: TimeZone,
}

impl Questions {
    /// Answers from memory, and from the history where there is one.
    #[must_use]
    pub fn new(view: View, history: Option<Arc<dyn Read>>) -> Self {
        let zone = history.as_ref().and_then(|history| history.extent().ok()).map(|extent| extent.zone);
        Self { view, history, zone: zone.unwrap_or(TimeZone::UTC) }
    }

    /// Days, evenings and months are of this zone. Without it, of the history's; where there is none, of UTC.
    #[must_use]
    pub fn in_zone(self, zone: TimeZone) -> Self {
        Self { zone, ..self }
    }

    /// What moments in questions are told by.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock { now: self.view.context().now, zone: self.zone.clone() }
    }

    /// What the agent knows of now.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The past, where it is kept.
    #[must_use]
    pub fn history(&self) -> Option<&Arc<dyn Read>> {
        self.history.as_ref()
    }

    /// Who sent or received most.
    ///
    /// # Errors
    /// [`QueryError`] where a link does not exist, what is asked for is not counted or not kept, or the history cannot be
    /// read.
    pub fn top(&self, query: &TopQuery) -> Result<TopAnswer, QueryError> {
        match self.source(query.when)? {
            Some(past) => past.top(query),
            None => self.top_of_memory(query),
        }
    }

    /// The figures of one subject over a period.
    ///
    /// # Errors
    /// As [`Questions::top`], and [`QueryError::NotFound`] where there is no such AS, group, kind or link.
    pub fn past(&self, about: &About, query: &PastQuery) -> Result<PastAnswer, QueryError> {
        let answer = match self.source(query.when)? {
            Some(past) => past.figures(about, query)?,
            None => self.figures_of_memory(about, query)?,
        };
        self.check_known(about, answer.directions.iter().any(|(_, figures)| figures.bytes > 0))?;
        Ok(answer)
    }

    /// The course of traffic over a period, to draw: of one subject, or in layers.
    ///
    /// # Errors
    /// As [`Questions::past`].
    pub fn series(&self, query: &SeriesQuery) -> Result<SeriesAnswer, QueryError> {
        let answer = match self.source(query.when)? {
            Some(past) => past.course(query)?,
            None => self.course_of_memory(query)?,
        };
        self.check_known(&query.about, answer.total.iter().any(|(_, course)| course.bytes > 0))?;
        Ok(answer)
    }

    /// An AS that is nowhere is an error, not an answer of zeros.
    fn check_known(&self, about: &About, has_traffic: bool) -> Result<(), QueryError> {
        match about {
            About::As(asn) if !has_traffic => self.view.find_as(&asn.to_string()).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// The name of the zone of days.
    pub(crate) fn zone_name(&self) -> String {
        self.zone.iana_name().unwrap_or("UTC").to_owned()
    }

    /// The history, where it is what answers for this period; `None` where memory does.
    fn source(&self, when: When) -> Result<Option<Past>, QueryError> {
        let context = self.view.context();
        let hour_ago = context.now.checked_sub(MEMORY).unwrap_or(context.started);
        let (from, to) = match when {
            When::Last(last) if last <= MEMORY => return Ok(None),
            When::Last(_) => (None, None),
            When::Between { from, .. } if from >= hour_ago => return Ok(None),
            When::Between { from, to } => (Some(from), to),
        };
        let until_now = to.is_none_or(|to| to >= context.last);
        let Some(history) = &self.history else {
            let known = match from {
                None => true,
                Some(from) => from >= context.reach || until_now && from <= context.started,
            };
            return if known {
                Ok(None)
            } else {
                Err(QueryError::NotKept(
                    "no history is kept here: with `from` and `to` only the last hour can be asked for; `last` goes \
                     back to the agent's start",
                ))
            };
        };
        let extent = history.extent()?;
        // A history that is younger than what memory knows has nothing to add, and ends before now.
        let young = extent.since.is_none_or(|since| {
            since.as_second() >= context.started.as_second() - SLOT_SECONDS && since >= hour_ago
        });
        if young && until_now {
            return Ok(None);
        }
        Past::new(history, context, extent).map(Some)
    }
}

/// The kinds of groups, in the groups' order.
fn kinds(groups: &Groups) -> Vec<&str> {
    let mut kinds = Vec::new();
    for group in groups.all() {
        if !kinds.contains(&group.kind.as_str()) {
            kinds.push(group.kind.as_str());
        }
    }
    kinds
}

/// The group of this key or name.
fn find_group<'a>(groups: &'a Groups, text: &str) -> Result<&'a Group, QueryError> {
    groups.find(text).ok_or_else(|| QueryError::NotFound {
        what: "group",
        given: text.to_owned(),
        near: groups.nearest(text).map(|group| group.key.clone()).into_iter().collect(),
    })
}

/// The kind of groups of this name.
fn find_kind<'a>(groups: &'a Groups, text: &str) -> Result<&'a str, QueryError> {
    let kinds = kinds(groups);
    let found = kinds.iter().find(|kind| kind.eq_ignore_ascii_case(text)).copied();
    found.ok_or_else(|| QueryError::NotFound {
        what: "kind of groups",
        given: text.to_owned(),
        // There are few: all of them help.
        near: kinds.iter().map(|&kind| kind.to_owned()).collect(),
    })
}
