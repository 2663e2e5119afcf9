//! What can be asked, with the names of the command line's options, and what is wrong with a question.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use jiff::Timestamp;

use super::{
    period::{format_period, parse_period},
    when::{Clock, Moment, When},
};
use crate::model::{Direction, Locality};

/// The most rows that can be asked for.
pub const MAX_ROWS: usize = 100_000;

/// What a row of `top` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// An AS.
    #[default]
    As,
    /// A prefix.
    Prefix,
    /// A group of ASes.
    Group,
    /// All groups of a kind.
    Kind,
    /// A link.
    Link,
    /// The first AS of the path: the transit or peer.
    Neighbor,
    /// An AS anywhere on the path, its origin included.
    Transit,
}

impl By {
    /// All, in the order of the help text.
    pub const ALL: [Self; 7] =
        [Self::As, Self::Prefix, Self::Group, Self::Kind, Self::Link, Self::Neighbor, Self::Transit];

    /// The name in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::As => "as",
            Self::Prefix => "prefix",
            Self::Group => "group",
            Self::Kind => "kind",
            Self::Link => "link",
            Self::Neighbor => "neighbor",
            Self::Transit => "transit",
        }
    }

    /// Whether it is about AS paths.
    #[must_use]
    pub const fn is_of_path(self) -> bool {
        matches!(self, Self::Neighbor | Self::Transit)
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A question for `top`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopQuery {
    /// What a row is.
    pub by: By,
    /// Only this direction; both where `None`.
    pub direction: Option<Direction>,
    /// Which address of the packets is looked at.
    pub side: Locality,
    /// Only these links, by name; empty: the links of the ISP's totals (upstream if there are any, else all).
    pub links: Vec<String>,
    /// Which period.
    pub when: When,
    /// Whether the period before is looked at too.
    pub compare: bool,
    /// How many rows, 1 to [`MAX_ROWS`].
    pub n: usize,
}

impl Default for TopQuery {
    fn default() -> Self {
        Self {
            by: By::As,
            direction: None,
            side: Locality::Remote,
            links: Vec::new(),
            when: When::Last(Duration::from_secs(300)),
            compare: false,
            n: 20,
        }
    }
}

/// A question for `as`, `prefix` and `group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetailQuery {
    /// Only this direction; both where `None`.
    pub direction: Option<Direction>,
    /// Which address of the packets is looked at.
    pub side: Locality,
    /// Only these links, as in [`TopQuery::links`].
    pub links: Vec<String>,
    /// Which period the lists of prefixes or ASes, and what is said of the past, are of.
    pub when: When,
    /// Whether the period before is looked at too.
    pub compare: bool,
    /// How many rows the lists have, 1 to [`MAX_ROWS`].
    pub n: usize,
}

impl Default for DetailQuery {
    fn default() -> Self {
        Self {
            direction: None,
            side: Locality::Remote,
            links: Vec::new(),
            when: When::Last(Duration::from_secs(3600)),
            compare: false,
            n: 10,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A parameter's value that cannot be.
    #[error("{name}: {value:?} is not possible; expected {expected}")]
    BadParameter {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// What can be given.
        expected: String,
    },
    /// A parameter that does not exist.
    #[error("there is no parameter {name:?}; there are {known}")]
    UnknownParameter {
        /// What was given.
        name: String,
        /// Those that exist.
        known: &'static str,
    },
    /// A period that cannot be.
    #[error("{0}")]
    BadPeriod(String),
    /// What was asked for is only remembered for the last hour.
    #[error("{0}")]
    NotKept(&'static str),
    /// The history could not be read.
    #[error("{0}; what was counted in the last hour can still be asked for")]
    Unreadable(String),
    /// Whoever is to answer has no time now.
    #[error("{0}; ask again in a moment")]
    Busy(&'static str),
    /// Nothing is known of what came over transit.
    #[error(
        "no link is of the kind `transit`: say which are in the configuration (kind = \"transit\" under [[link]]), so that \
         it is known what comes over transit"
    )]
    NoTransit,
    /// Prefixes were asked for and are not counted.
    #[error(
        "prefixes are not counted: the agent runs with AS granularity (--granularity prefix counts them)"
    )]
    NoPrefixes,
    /// Neighbours or transit were asked for, and paths are not told apart.
    #[error(
        "neighbors and transit are not counted: the agent runs with AS granularity (--granularity prefix counts them)"
    )]
    NoPaths,
    /// A side was asked for that is not counted.
    #[error("the {side} side is not counted: the agent runs with --count {count} (--count both counts it)")]
    SideNotCounted {
        /// The side.
        side: Locality,
        /// What is counted.
        count: &'static str,
    },
    /// Nothing has this name or number.
    #[error("there is no {what} {given:?} here{}", near_text(.near))]
    NotFound {
        /// AS, group, link or route.
        what: &'static str,
        /// What was given.
        given: String,
        /// What may have been meant.
        near: Vec<String>,
    },
    /// Several things have this name.
    #[error("{given:?} is in the names of {count} ASes; say which: {}{}", .candidates.join(", "), group_text(.group))]
    Ambiguous {
        /// What was given.
        given: String,
        /// How many there are.
        count: usize,
        /// The first of them, by traffic.
        candidates: Vec<String>,
        /// The key of the group of this name, which may be what was meant.
        group: Option<String>,
    },
}

fn near_text(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) }
}

fn group_text(group: &Option<String>) -> String {
    group.as_ref().map_or_else(String::new, |group| format!("; or ask for the group {group}"))
}

impl QueryError {
    /// The code in the JSON error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadParameter { .. } | Self::UnknownParameter { .. } | Self::BadPeriod(_) => "bad_parameter",
            Self::NotKept(_) => "not_kept",
            Self::Unreadable(_) => "unreadable",
            Self::Busy(_) => "busy",
            Self::NoPrefixes | Self::NoPaths | Self::NoTransit | Self::SideNotCounted { .. } => "not_counted",
            Self::NotFound { .. } => "not_found",
            Self::Ambiguous { .. } => "ambiguous",
        }
    }

    /// What may have been meant.
    #[must_use]
    pub fn near(&self) -> &[String] {
        match self {
            Self::NotFound { near, .. } => near,
            Self::Ambiguous { candidates, .. } => candidates,
            _ => &[],
        }
    }
}

/// A parameter and its value, as in a URL's query.
pub type Pair = (String, String);

/// The parameters that several questions share, as they are read.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) direction: Option<Direction>,
    pub(crate) side: Locality,
    pub(crate) links: Vec<String>,
    pub(crate) compare: bool,
    last: Option<Duration>,
    from: Option<Moment>,
    to: Option<Moment>,
}

impl Window {
    /// Takes a parameter; `false` if it is none of these.
    pub(crate) fn take(&mut self, name: &str, value: &str) -> Result<bool, QueryError> {
        match name {
            "direction" => self.direction = Some(direction(value)?),
            "side" => self.side = side(value)?,
            "link" => self.links.push(value.to_owned()),
            "last" => self.last = Some(last(value)?),
            "from" => self.from = Some(moment("from", value)?),
            "to" => self.to = Some(moment("to", value)?),
            "compare" => self.compare = choice("compare", value, [true], |_| "previous")?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The period that is meant; `default` where none is given.
    pub(crate) fn when(&self, clock: &Clock, default: When) -> Result<When, QueryError> {
        let resolve = |name, moment: Moment| {
            moment.resolve(clock).ok_or_else(|| QueryError::BadParameter {
                name,
                value: format!("{moment:?}"),
                expected: "a time within reach of the calendar".to_owned(),
            })
        };
        match (self.last, self.from, self.to) {
            (None, None, None) => Ok(default),
            (Some(last), None, None) => Ok(When::Last(last)),
            (Some(_), ..) => {
                Err(QueryError::BadPeriod("give `last`, or `from` and `to`, not both".to_owned()))
            }
            (None, None, Some(_)) => Err(QueryError::BadPeriod("`to` needs a `from`".to_owned())),
            (None, Some(from), to) => {
                let from = resolve("from", from)?;
                let to = to.map(|to| resolve("to", to)).transpose()?;
                period_of(from, to, clock.now)
            }
        }
    }
}

fn period_of(from: Timestamp, to: Option<Timestamp>, now: Timestamp) -> Result<When, QueryError> {
    if let Some(to) = to
        && to <= from
    {
        let what = if to == from { "the period is empty" } else { "`from` is after `to`" };
        return Err(QueryError::BadPeriod(format!("{what}: {from} to {to}")));
    }
    if from >= now {
        return Err(QueryError::BadPeriod(format!("{from} has not come yet: it is {now:.0}")));
    }
    Ok(When::Between { from, to })
}

impl TopQuery {
    /// Reads a URL's query. `link` may be given several times; of another parameter the last one counts.
    ///
    /// # Errors
    /// [`QueryError::BadParameter`], [`QueryError::UnknownParameter`], [`QueryError::BadPeriod`].
    pub fn from_pairs(pairs: &[Pair], clock: &Clock) -> Result<Self, QueryError> {
        let default = Self::default();
        let mut window = Window::default();
        let (mut by, mut n) = (default.by, default.n);
        for (name, value) in pairs {
            match name.as_str() {
                "by" => by = self::by(value)?,
                "n" => n = rows(value)?,
                _ if window.take(name, value)? => {}
                _ => return Err(unknown(name, "by, direction, side, link, last, from, to, compare, n")),
            }
        }
        let when = window.when(clock, default.when)?;
        let Window { direction, side, links, compare, .. } = window;
        Ok(Self { by, direction, side, links, when, compare, n })
    }

    /// The question as a URL's query, defaults left out.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let default = Self::default();
        let mut pairs = Vec::new();
        if self.by != default.by {
            pairs.push(("by", self.by.name().to_owned()));
        }
        let Self { by: _, direction, side, links, when, compare, n } = self.clone();
        let detail = DetailQuery { direction, side, links, when, compare, n };
        let defaults = DetailQuery { when: default.when, n: default.n, ..DetailQuery::default() };
        detail.push_pairs(&defaults, &mut pairs);
        pairs
    }
}

impl DetailQuery {
    /// Reads a URL's query, as [`TopQuery::from_pairs`] does.
    ///
    /// # Errors
    /// [`QueryError::BadParameter`], [`QueryError::UnknownParameter`], [`QueryError::BadPeriod`].
    pub fn from_pairs(pairs: &[Pair], clock: &Clock) -> Result<Self, QueryError> {
        let default = Self::default();
        let mut window = Window::default();
        let mut n = default.n;
        for (name, value) in pairs {
            match name.as_str() {
                "n" => n = rows(value)?,
                _ if window.take(name, value)? => {}
                _ => return Err(unknown(name, "direction, side, link, last, from, to, compare, n")),
            }
        }
        let when = window.when(clock, default.when)?;
        let Window { direction, side, links, compare, .. } = window;
        Ok(Self { direction, side, links, when, compare, n })
    }

    /// The question as a URL's query, defaults left out.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        self.push_pairs(&Self::default(), &mut pairs);
        pairs
    }

    fn push_pairs(&self, default: &Self, pairs: &mut Vec<(&'static str, String)>) {
        if let Some(direction) = self.direction {
            pairs.push(("direction", direction.name().to_owned()));
        }
        if self.side != default.side {
            pairs.push(("side", self.side.name().to_owned()));
        }
        pairs.extend(self.links.iter().map(|link| ("link", link.clone())));
        match self.when {
            when if when == default.when => {}
            When::Last(last) => pairs.push(("last", format_period(last))),
            When::Between { from, to } => {
                pairs.push(("from", from.to_string()));
                pairs.extend(to.map(|to| ("to", to.to_string())));
            }
        }
        if self.compare {
            pairs.push(("compare", "previous".to_owned()));
        }
        if self.n != default.n {
            pairs.push(("n", self.n.to_string()));
        }
    }
}

/// Paths are those to the Internet's addresses.
pub(crate) fn no_local_paths(side: Locality) -> QueryError {
    QueryError::BadParameter {
        name: "side",
        value: side.name().to_owned(),
        expected: "remote by neighbor and by transit: paths are those to the Internet's addresses".to_owned(),
    }
}

pub(crate) fn unknown(name: &str, known: &'static str) -> QueryError {
    QueryError::UnknownParameter { name: name.to_owned(), known }
}

pub(crate) fn choice<T: Copy, const N: usize>(
    name: &'static str,
    value: &str,
    all: [T; N],
    name_of: impl Fn(T) -> &'static str,
) -> Result<T, QueryError> {
    all.into_iter().find(|&item| name_of(item) == value).ok_or_else(|| QueryError::BadParameter {
        name,
        value: value.to_owned(),
        expected: all.map(name_of).join(", "),
    })
}

pub(crate) fn by(value: &str) -> Result<By, QueryError> {
    choice("by", value, By::ALL, By::name)
}

pub(crate) fn moment(name: &'static str, value: &str) -> Result<Moment, QueryError> {
    value.parse().map_err(|_| QueryError::BadParameter {
        name,
        value: value.to_owned(),
        expected: Moment::EXPECTED.to_owned(),
    })
}

fn direction(value: &str) -> Result<Direction, QueryError> {
    choice("direction", value, Direction::ALL, Direction::name)
}

fn side(value: &str) -> Result<Locality, QueryError> {
    choice("side", value, [Locality::Remote, Locality::Local], Locality::name)
}

fn last(value: &str) -> Result<Duration, QueryError> {
    parse_period(value).map_err(|_| QueryError::BadParameter {
        name: "last",
        value: value.to_owned(),
        expected: "a whole number and s, m, h, d, w or y from 1s to 10y, such as 5m or 24h".to_owned(),
    })
}

fn rows(value: &str) -> Result<usize, QueryError> {
    number("n", value, MAX_ROWS)
}

/// Reads a number from 1 to `most`.
pub(crate) fn number(name: &'static str, value: &str, most: usize) -> Result<usize, QueryError> {
    value.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| QueryError::BadParameter {
        name,
        value: value.to_owned(),
        expected: format!("a number from 1 to {most}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[(&str, &str)]) -> Vec<Pair> {
        text.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn clock() -> Clock {
        Clock {
            now: "2026-11-15T12:00:00Z".parse().unwrap(),
            zone: jiff::tz::TimeZone::get("Europe/Paris").unwrap(),
        }
    }

    fn owned(text: Vec<(&'static str, String)>) -> Vec<Pair> {
        text.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn a_query_is_read_and_written_the_same() {
        let query = TopQuery {
            by: By::Prefix,
            direction: Some(Direction::Out),
            side: Locality::Local,
            links: vec!["transit-a".to_owned(), "ix".to_owned()],
            when: When::Last(Duration::from_secs(3600)),
            compare: true,
            n: 7,
        };
        let text = [
            ("by", "prefix"),
            ("direction", "out"),
            ("side", "local"),
            ("link", "transit-a"),
            ("link", "ix"),
            ("last", "1h"),
            ("compare", "previous"),
            ("n", "7"),
        ];
        assert_eq!(TopQuery::from_pairs(&pairs(&text), &clock()), Ok(query.clone()));
        assert_eq!(owned(query.pairs()), pairs(&text));
        assert_eq!(TopQuery::default().pairs(), []);
        assert_eq!(TopQuery::from_pairs(&[], &clock()), Ok(TopQuery::default()));

        let detail =
            DetailQuery { n: 3, when: When::Last(Duration::from_secs(60)), ..DetailQuery::default() };
        assert_eq!(DetailQuery::from_pairs(&owned(detail.pairs()), &clock()), Ok(detail));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let message =
            |name, value| TopQuery::from_pairs(&pairs(&[(name, value)]), &clock()).unwrap_err().to_string();
        assert_eq!(
            message("by", "asn"),
            r#"by: "asn" is not possible; expected as, prefix, group, kind, link, neighbor, transit"#
        );
        assert_eq!(message("direction", "up"), r#"direction: "up" is not possible; expected in, out"#);
        assert_eq!(message("n", "0"), r#"n: "0" is not possible; expected a number from 1 to 100000"#);
        assert_eq!(
            message("n", "100001"),
            r#"n: "100001" is not possible; expected a number from 1 to 100000"#
        );
        assert_eq!(
            message("last", "5"),
            r#"last: "5" is not possible; expected a whole number and s, m, h, d, w or y from 1s to 10y, such as 5m or 24h"#
        );
        assert_eq!(
            message("top", "5"),
            r#"there is no parameter "top"; there are by, direction, side, link, last, from, to, compare, n"#
        );
    }

    #[test]
    fn periods_from_and_to() {
        let when = |text: &[(&str, &str)]| {
            TopQuery::from_pairs(&pairs(text), &clock())
                .map(|query| query.when)
                .map_err(|error| error.to_string())
        };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let october =
            When::Between { from: at("2026-09-30T22:00:00Z"), to: Some(at("2026-10-31T23:00:00Z")) };
        assert_eq!(when(&[("from", "2026-10-01"), ("to", "2026-11-01")]), Ok(october));
        assert_eq!(when(&[("from", "7d")]), Ok(When::Between { from: at("2026-11-08T12:00:00Z"), to: None }));
        let query = TopQuery { when: october, ..TopQuery::default() };
        assert_eq!(TopQuery::from_pairs(&owned(query.pairs()), &clock()), Ok(query));
        for (text, message) in [
            (&[("last", "1h"), ("from", "7d")][..], "give `last`, or `from` and `to`, not both"),
            (&[("to", "7d")], "`to` needs a `from`"),
            (
                &[("from", "1d"), ("to", "7d")],
                "`from` is after `to`: 2026-11-14T12:00:00Z to 2026-11-08T12:00:00Z",
            ),
            (
                &[("from", "1d"), ("to", "1d")],
                "the period is empty: 2026-11-14T12:00:00Z to 2026-11-14T12:00:00Z",
            ),
            (&[("from", "2027-01-01")], "2026-12-31T23:00:00Z has not come yet: it is 2026-11-15T12:00:00Z"),
            (&[("compare", "yes")], r#"compare: "yes" is not possible; expected previous"#),
        ] {
            assert_eq!(when(text), Err(message.to_owned()));
        }
        assert!(
            when(&[("from", "soon")])
                .unwrap_err()
                .starts_with(r#"from: "soon" is not possible; expected a day"#)
        );
    }
}
