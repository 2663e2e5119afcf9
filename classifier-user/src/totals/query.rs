//! What can be asked, with the names of the command line's options, and what is wrong with a question.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::period::{format_period, parse_period};
use crate::model::{Direction, Locality};

/// The most rows that can be asked for.
pub const MAX_ROWS: usize = 100_000;

/// What a row of `top` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl By {
    /// All, in the order of the help text.
    pub const ALL: [Self; 5] = [Self::As, Self::Prefix, Self::Group, Self::Kind, Self::Link];

    /// The name in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::As => "as",
            Self::Prefix => "prefix",
            Self::Group => "group",
            Self::Kind => "kind",
            Self::Link => "link",
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A question for `top`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopQuery {
    /// What a row is.
    pub by: By,
    /// Only this direction; both where `None`.
    pub direction: Option<Direction>,
    /// Which address of the packets is looked at.
    pub side: Locality,
    /// Only these links, by name; empty: the links of the ISP's totals (upstream if there are any, else all).
    pub links: Vec<String>,
    /// How far back.
    pub last: Duration,
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
            last: Duration::from_secs(300),
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
    /// How far back the lists of prefixes or ASes go.
    pub last: Duration,
    /// How many rows those have, 1 to [`MAX_ROWS`].
    pub n: usize,
}

impl Default for DetailQuery {
    fn default() -> Self {
        Self {
            direction: None,
            side: Locality::Remote,
            links: Vec::new(),
            last: Duration::from_secs(3600),
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
    /// Prefixes were asked for and are not counted.
    #[error(
        "prefixes are not counted: the agent runs with AS granularity (--granularity prefix counts them)"
    )]
    NoPrefixes,
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
            Self::BadParameter { .. } | Self::UnknownParameter { .. } => "bad_parameter",
            Self::NoPrefixes | Self::SideNotCounted { .. } => "not_counted",
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

impl TopQuery {
    /// Reads a URL's query. `link` may be given several times; of another parameter the last one counts.
    ///
    /// # Errors
    /// [`QueryError::BadParameter`], [`QueryError::UnknownParameter`].
    pub fn from_pairs(pairs: &[Pair]) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "by" => query.by = choice("by", value, By::ALL, By::name)?,
                "direction" => query.direction = Some(direction(value)?),
                "side" => query.side = side(value)?,
                "link" => query.links.push(value.clone()),
                "last" => query.last = last(value)?,
                "n" => query.n = rows(value)?,
                _ => return Err(unknown(name, "by, direction, side, link, last, n")),
            }
        }
        Ok(query)
    }

    /// The question as a URL's query, defaults left out.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let default = Self::default();
        let mut pairs = Vec::new();
        if self.by != default.by {
            pairs.push(("by", self.by.name().to_owned()));
        }
        let Self { by: _, direction, side, links, last, n } = self.clone();
        let detail = DetailQuery { direction, side, links, last, n };
        let defaults = DetailQuery { last: default.last, n: default.n, ..DetailQuery::default() };
        detail.push_pairs(&defaults, &mut pairs);
        pairs
    }
}

impl DetailQuery {
    /// Reads a URL's query, as [`TopQuery::from_pairs`] does.
    ///
    /// # Errors
    /// [`QueryError::BadParameter`], [`QueryError::UnknownParameter`].
    pub fn from_pairs(pairs: &[Pair]) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "direction" => query.direction = Some(direction(value)?),
                "side" => query.side = side(value)?,
                "link" => query.links.push(value.clone()),
                "last" => query.last = last(value)?,
                "n" => query.n = rows(value)?,
                _ => return Err(unknown(name, "direction, side, link, last, n")),
            }
        }
        Ok(query)
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
        if self.last != default.last {
            pairs.push(("last", format_period(self.last)));
        }
        if self.n != default.n {
            pairs.push(("n", self.n.to_string()));
        }
    }
}

fn unknown(name: &str, known: &'static str) -> QueryError {
    QueryError::UnknownParameter { name: name.to_owned(), known }
}

fn choice<T: Copy, const N: usize>(
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
        expected: "a whole number and s, m, h or d from 1s to 3650d, such as 5m or 24h".to_owned(),
    })
}

fn rows(value: &str) -> Result<usize, QueryError> {
    value.parse().ok().filter(|n| (1..=MAX_ROWS).contains(n)).ok_or_else(|| QueryError::BadParameter {
        name: "n",
        value: value.to_owned(),
        expected: format!("a number from 1 to {MAX_ROWS}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[(&str, &str)]) -> Vec<Pair> {
        text.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
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
            last: Duration::from_secs(3600),
            n: 7,
        };
        let text = [
            ("by", "prefix"),
            ("direction", "out"),
            ("side", "local"),
            ("link", "transit-a"),
            ("link", "ix"),
            ("last", "1h"),
            ("n", "7"),
        ];
        assert_eq!(TopQuery::from_pairs(&pairs(&text)), Ok(query.clone()));
        assert_eq!(owned(query.pairs()), pairs(&text));
        assert_eq!(TopQuery::default().pairs(), []);
        assert_eq!(TopQuery::from_pairs(&[]), Ok(TopQuery::default()));

        let detail = DetailQuery { n: 3, last: Duration::from_secs(60), ..DetailQuery::default() };
        assert_eq!(DetailQuery::from_pairs(&owned(detail.pairs())), Ok(detail));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let message = |name, value| TopQuery::from_pairs(&pairs(&[(name, value)])).unwrap_err().to_string();
        assert_eq!(
            message("by", "asn"),
            r#"by: "asn" is not possible; expected as, prefix, group, kind, link"#
        );
        assert_eq!(message("direction", "up"), r#"direction: "up" is not possible; expected in, out"#);
        assert_eq!(message("n", "0"), r#"n: "0" is not possible; expected a number from 1 to 100000"#);
        assert_eq!(
            message("n", "100001"),
            r#"n: "100001" is not possible; expected a number from 1 to 100000"#
        );
        assert_eq!(
            message("last", "5"),
            r#"last: "5" is not possible; expected a whole number and s, m, h or d from 1s to 3650d, such as 5m or 24h"#
        );
        assert_eq!(
            message("top", "5"),
            r#"there is no parameter "top"; there are by, direction, side, link, last, n"#
        );
    }
}
