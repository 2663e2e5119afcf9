//! What can be asked of now and of the past, with one answer for the command line, the API and the page.
//!
//! The last hour is answered from the memory of the sweeps ([`crate::totals`]), what is longer ago from the history
//! ([`crate::history`]); who asks does not see the difference, but that the history ends with its last whole slot.

use std::{sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};

use self::{
    answer::{Name, PastAnswer, PeeringAnswer, ReportAnswer, SearchAnswer, SeriesAnswer, WithPast},
    cache::{Cache, ROWS},
    past::Past,
    ready::{Question, Ready},
    routes::RouteSource,
};
pub use self::{
    query::{Network, PastQuery, SeriesQuery},
    report::{ReportQuery, peering::PeeringQuery},
};
pub use crate::totals::{Clock, Moment, When};
use crate::{
    history::{Extent, Period, Read, SLOT_SECONDS},
    model::{Asn, Locality},
    table::groups::{Group, Groups},
    totals::{
        DetailQuery, QueryError, TopQuery, View,
        answer::{AsAnswer, GroupAnswer, PrefixAnswer, TopAnswer},
    },
};

pub mod answer;
mod cache;
mod figures;
mod past;
#[cfg(test)]
pub(crate) mod paths_tests;
pub mod query;
mod ready;
pub mod report;
pub mod routes;
mod series;
#[cfg(test)]
mod tests;
mod top;
pub mod words;

/// What memory tells of: longer ago is the history's.
const MEMORY: Duration = Duration::from_secs(3600);
/// How much later than asked for memory may begin: its spans are a minute long.
const SLACK: i64 = 60;
/// The most that a search finds.
pub const FOUND: usize = 20;
/// The longest text that is looked for.
const SEARCHED: usize = 100;

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
    /// A neighbour: what goes by way of this AS, being the first of the path.
    Neighbor(Asn),
}

impl From<Network> for About {
    fn from(network: Network) -> Self {
        match network {
            Network::Group(group) => Self::Group(group),
            Network::As(asn) => Self::As(asn),
        }
    }
}

/// Answers questions. Cheap to clone.
#[derive(Clone)]
pub struct Questions {
    view: View,
    history: Option<Arc<dyn Read>>,
    routes: Option<Arc<dyn RouteSource>>,
    own_ases: Arc<[Asn]>,
    transit_ases: Arc<[Asn]>,
    zone: TimeZone,
    cache: Arc<Cache>,
    ready: Arc<Ready>,
    of_pages: bool,
}

impl Questions {
    /// Answers from memory, and from the history where there is one.
    #[must_use]
    pub fn new(view: View, history: Option<Arc<dyn Read>>) -> Self {
        let zone = history.as_ref().and_then(|history| history.extent().ok()).map(|extent| extent.zone);
        Self {
            view,
            history,
            routes: None,
            own_ases: Arc::default(),
            transit_ases: Arc::default(),
            zone: zone.unwrap_or(TimeZone::UTC),
            cache: Arc::default(),
            ready: Arc::default(),
            of_pages: false,
        }
    }

    /// Answers about routes, too.
    #[must_use]
    pub fn with_routes(self, routes: Arc<dyn RouteSource>) -> Self {
        Self { routes: Some(routes), ..self }
    }

    /// The ISP's own ASes, which are no neighbours, and the neighbours that it buys transit from; none: found out.
    #[must_use]
    pub fn with_ases(self, own: &[Asn], transits: &[Asn]) -> Self {
        Self { own_ases: own.into(), transit_ases: transits.into(), ..self }
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
        let Some(past) = self.source(query.when)? else { return self.top_of_memory(query) };
        if query.n > ROWS {
            return past.top(query);
        }
        let (period, query) = past.whole(query.when, query, |query, when| query.when = when);
        self.note(&past, period, || Question::Top(query.clone()));
        self.cache.top(&past.state, &(period, query.clone()), || past.top(&query))
    }

    /// The figures of one subject over a period.
    ///
    /// # Errors
    /// As [`Questions::top`], and [`QueryError::NotFound`] where there is no such AS, group, kind or link.
    pub fn past(&self, about: &About, query: &PastQuery) -> Result<PastAnswer, QueryError> {
        let answer = match self.source(query.when)? {
            Some(past) => {
                let (period, query) = past.whole(query.when, query, |query, when| query.when = when);
                self.note(&past, period, || Question::Past(about.clone(), query.clone()));
                let key = (period, about.clone(), query.clone());
                self.cache.past(&past.state, &key, || past.figures(about, &query))?
            }
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
            Some(past) => {
                let (period, query) = past.whole(query.when, query, |query, when| query.when = when);
                self.note(&past, period, || Question::Series(query.clone()));
                self.cache.series(&past.state, &(period, query.clone()), || past.course(&query))?
            }
            None => self.course_of_memory(query)?,
        };
        self.check_known(&query.about, answer.total.iter().any(|(_, course)| course.bytes > 0))?;
        Ok(answer)
    }

    /// What can be said of networks in sentences: [`report::text`] makes them.
    ///
    /// # Errors
    /// As [`Questions::past`], and [`QueryError::NotKept`] without a history.
    pub fn report(&self, query: &ReportQuery) -> Result<ReportAnswer, QueryError> {
        let history = self
            .history
            .as_ref()
            .ok_or(QueryError::NotKept("no history is kept here, and a report is made of nothing else"))?;
        let past = Past::new(history, self.view.context(), history.extent()?, &self.cache)?;
        let (period, query) = past.whole(query.when, query, |query, when| query.when = when);
        let answer = self.cache.report(&past.state, &(period, query.clone()), || past.report(&query))?;
        for subject in &answer.subjects {
            let versus = subject.versus.iter().map(|other| &other.place);
            for place in [&subject.place].into_iter().chain(versus) {
                if let Some(asn) = place.subject.asn {
                    self.check_known(&About::As(asn), place.bytes > 0)?;
                }
            }
        }
        Ok(answer)
    }

    /// Whom to ask for a session: whose traffic comes over transit, from the history.
    ///
    /// # Errors
    /// [`QueryError::NoTransit`] where no link is of that kind, and as [`Questions::report`].
    pub fn peering(&self, query: &PeeringQuery) -> Result<PeeringAnswer, QueryError> {
        let history = self
            .history
            .as_ref()
            .ok_or(QueryError::NotKept("no history is kept here, and a report is made of nothing else"))?;
        let past = Past::new(history, self.view.context(), history.extent()?, &self.cache)?;
        let (period, query) = past.whole(query.when, query, |query, when| query.when = when);
        let make = || past.peering(&query, &self.own_ases, &self.transit_ases);
        self.cache.peering(&past.state, &(period, query.clone()), make)
    }

    /// What is meant by a parameter of that name: an AS by number or name (`as`), a group by key or name (`group`), or
    /// either of them (any other parameter).
    ///
    /// # Errors
    /// [`QueryError::NotFound`], [`QueryError::Ambiguous`], [`QueryError::BadParameter`].
    pub fn network(&self, parameter: &str, text: &str) -> Result<Network, QueryError> {
        let context = self.view.context();
        let group = || find_group(&context.groups, text).map(|group| Network::Group(group.key.clone()));
        match parameter {
            "as" => self.find_as(text).map(Network::As),
            "group" => group(),
            _ => match (group(), self.find_as(text)) {
                (Ok(group), _) => Ok(group),
                (_, Ok(asn)) => Ok(Network::As(asn)),
                (Err(error), _) => Err(error),
            },
        }
    }

    /// A neighbour, by the number or name of its AS.
    ///
    /// # Errors
    /// As [`View::asn`].
    pub fn neighbor(&self, text: &str) -> Result<About, QueryError> {
        self.find_as(text).map(About::Neighbor)
    }

    /// The number of an AS by number, known or not, or name.
    fn find_as(&self, text: &str) -> Result<Asn, QueryError> {
        let digits = text.get(..2).filter(|start| start.eq_ignore_ascii_case("as")).and(text.get(2..));
        match digits.unwrap_or(text).parse() {
            Ok(asn) if asn != 0 => Ok(asn),
            _ => self.view.find_as(text),
        }
    }

    /// One AS, by number or name: what is counted now, and the past where a longer period is asked for.
    ///
    /// # Errors
    /// As [`View::asn`] and [`Questions::past`].
    pub fn asn(&self, text: &str, query: &DetailQuery) -> Result<WithPast<AsAnswer>, QueryError> {
        let now = self.of_now(query)?;
        let found = self.view.asn(text, &now);
        let asn = match (&found, text.parse()) {
            (Ok(answer), _) => answer.asn,
            // Nothing has its name or a route of it now, but it may have been counted.
            (Err(QueryError::NotFound { .. }), Ok(asn)) if asn != 0 => asn,
            (Err(error), _) => return Err(error.clone()),
        };
        let past = self.past_of(&About::As(asn), query)?;
        let answer = match found {
            Err(error) if past.is_none() => return Err(error),
            Err(_) => self.view.asn_of(asn, &now)?,
            Ok(answer) => answer,
        };
        Ok(WithPast { answer, past })
    }

    /// One group, by key or name: what is counted now, and the past where a longer period is asked for.
    ///
    /// # Errors
    /// As [`View::group`] and [`Questions::past`].
    pub fn group(&self, text: &str, query: &DetailQuery) -> Result<WithPast<GroupAnswer>, QueryError> {
        let answer = self.view.group(text, &self.of_now(query)?)?;
        let past = self.past_of(&About::Group(answer.group.clone()), query)?;
        Ok(WithPast { answer, past })
    }

    /// The routes equal to a prefix or inside it, as far as memory goes.
    ///
    /// # Errors
    /// As [`View::prefix`]; [`QueryError::NotKept`] for a period that memory does not have.
    pub fn prefix(&self, text: &str, query: &DetailQuery) -> Result<PrefixAnswer, QueryError> {
        if matches!(query.when, When::Between { .. }) && self.source(query.when)?.is_some() {
            return Err(QueryError::NotKept(
                "of what is longer ago than an hour a prefix alone cannot be asked for: `top` by prefix has the largest",
            ));
        }
        self.view.prefix(text, query)
    }

    /// The question as memory can answer it: where the period is the history's, of the last hour.
    fn of_now(&self, query: &DetailQuery) -> Result<DetailQuery, QueryError> {
        let when = match self.source(query.when)? {
            Some(_) => When::Last(MEMORY),
            None => query.when,
        };
        Ok(DetailQuery { when, ..query.clone() })
    }

    /// The past of a subject, where a period is asked for that memory does not have.
    fn past_of(&self, about: &About, query: &DetailQuery) -> Result<Option<PastAnswer>, QueryError> {
        let asked = match query.when {
            When::Last(last) => last > MEMORY,
            When::Between { .. } => true,
        };
        if !asked || self.history.is_none() {
            return Ok(None);
        }
        if query.side == Locality::Local {
            return Err(top::no_local_side());
        }
        let DetailQuery { when, direction, ref links, compare, n, .. } = *query;
        let n = n.min(query::MAX_PARTS);
        self.past(about, &PastQuery { when, direction, links: links.clone(), compare, n }).map(Some)
    }

    /// Groups, kinds, links and ASes by a part of their name, or ASes by number: at most [`FOUND`].
    ///
    /// # Errors
    /// [`QueryError::BadParameter`] where there is nothing to look for, or too much.
    pub fn search(&self, text: &str) -> Result<SearchAnswer, QueryError> {
        let query = text.trim();
        if query.is_empty() || query.chars().count() > SEARCHED {
            return Err(QueryError::BadParameter {
                name: "q",
                value: query.chars().take(SEARCHED).collect(),
                expected: format!("an AS number, or a part of a name, of 1 to {SEARCHED} characters"),
            });
        }
        let context = self.view.context();
        let lower = query.to_lowercase();
        let within = |text: &str| text.to_lowercase().contains(&lower);
        let mut found: Vec<Name> = context
            .groups
            .all()
            .iter()
            .filter(|group| within(&group.key) || within(&group.name))
            .map(past::group_name)
            .collect();
        let kinds = kinds(&context.groups);
        let kinds = kinds.into_iter().filter(|kind| within(kind));
        found.extend(kinds.map(|kind| Name { kind: Some(kind.to_owned()), ..Name::default() }));
        let links = context.links.iter().filter(|link| within(&link.name));
        found.extend(links.map(|link| Name { link: Some(link.name.clone()), ..Name::default() }));
        let ases = self.view.search(query, FOUND).into_iter();
        found.extend(ases.map(|(asn, name)| Name { asn: Some(asn), name, ..Name::default() }));
        found.truncate(FOUND);
        Ok(SearchAnswer { query: query.to_owned(), found })
    }

    /// An AS that is nowhere is an error, not an answer of zeros.
    fn check_known(&self, about: &About, has_traffic: bool) -> Result<(), QueryError> {
        match about {
            About::As(asn) | About::Neighbor(asn) if !has_traffic => {
                self.view.find_as(&asn.to_string()).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// The name of the zone of days.
    pub(crate) fn zone_name(&self) -> String {
        self.zone.iana_name().unwrap_or("UTC").to_owned()
    }

    /// The end of periods that reach up to now: of the last whole slot, where the history keeps up.
    pub(crate) fn end(&self) -> Timestamp {
        let now = self.view.context().now;
        let extent = self.history.as_ref().and_then(|history| self.extent(history).ok());
        extent.map_or(now, |extent| past::end(now, extent.until))
    }

    fn extent(&self, history: &Arc<dyn Read>) -> Result<Extent, QueryError> {
        let mut extent = history.extent()?;
        if self.of_pages {
            extent.until = self.ready.shown(extent.until);
        }
        Ok(extent)
    }

    /// A page asks this: it will be ready when it is asked again.
    fn note(&self, past: &Past, period: Period, question: impl FnOnce() -> Question) {
        if self.of_pages {
            self.ready.note(question(), period, past.extent.until);
        }
    }

    /// The history, where it is what answers for this period; `None` where memory does.
    fn source(&self, when: When) -> Result<Option<Past>, QueryError> {
        let context = self.view.context();
        let hour_ago = context.now.checked_sub(MEMORY).unwrap_or(context.started);
        let (from, to) = match when {
            When::Last(last) if last <= MEMORY => return Ok(None),
            When::Last(_) => (None, None),
            // After a restart memory does not reach back an hour.
            When::Between { from, .. }
                if from >= hour_ago && from.as_second() + SLACK >= context.reach.as_second() =>
            {
                return Ok(None);
            }
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
        let extent = self.extent(history)?;
        // A history that is younger than what memory knows has nothing to add, and ends before now.
        let young = extent.since.is_none_or(|since| {
            since.as_second() >= context.reach.as_second() - SLOT_SECONDS && since >= hour_ago
        });
        if young && until_now {
            return Ok(None);
        }
        Past::new(history, context, extent, &self.cache).map(Some)
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
