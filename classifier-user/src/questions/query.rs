//! Questions about the past, with the names of the command line's options.

use std::time::Duration;

use super::{About, When, report::ReportQuery};
use jiff::Timestamp;

use crate::{
    history::Step,
    model::{Asn, Direction},
    totals::{
        By, Clock, QueryError,
        query::{self, Pair, Window},
    },
};

/// The most layers that a series can have.
pub const MAX_LAYERS: usize = 100;
/// The most steps that a series can have.
pub const MAX_STEPS: usize = 10_000;
/// The most ASes of a subject that are listed.
pub const MAX_PARTS: usize = 1000;
/// The most networks that a report tells of, and holds them against.
const MAX_NETWORKS: usize = 20;

/// What people call a network: a group, or an AS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// A group, by its key.
    Group(String),
    /// An AS.
    As(Asn),
}

/// A question for the figures of one subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PastQuery {
    /// Which period.
    pub when: When,
    /// Only this direction; both where `None`.
    pub direction: Option<Direction>,
    /// Only these links, by name; empty: the links of the ISP's totals.
    pub links: Vec<String>,
    /// Whether the period before is looked at too.
    pub compare: bool,
    /// How many of its ASes are listed.
    pub n: usize,
}

impl Default for PastQuery {
    fn default() -> Self {
        let when = When::Last(Duration::from_secs(86_400));
        Self { when, direction: None, links: Vec::new(), compare: false, n: 10 }
    }
}

/// A question for the course of traffic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeriesQuery {
    /// What it is about; with [`About::All`], `by` may divide it into layers.
    pub about: About,
    /// What a layer is; `None`: no layers.
    pub by: Option<By>,
    /// How many layers, the largest, 1 to [`MAX_LAYERS`].
    pub n: usize,
    /// Which period.
    pub when: When,
    /// Only this direction; both where `None`.
    pub direction: Option<Direction>,
    /// Only these links, by name; empty: the links of the ISP's totals.
    pub links: Vec<String>,
    /// How fine; `None`: so that there are some hundreds of steps.
    pub step: Option<Step>,
    /// At most so many steps: neighbours are put together until there are no more. 1 to [`MAX_STEPS`].
    pub max_steps: Option<usize>,
}

impl Default for SeriesQuery {
    fn default() -> Self {
        Self {
            about: About::All,
            by: None,
            n: 8,
            when: When::Last(Duration::from_secs(86_400)),
            direction: None,
            links: Vec::new(),
            step: None,
            max_steps: None,
        }
    }
}

impl PastQuery {
    /// Reads a URL's query.
    ///
    /// # Errors
    /// [`QueryError::BadParameter`], [`QueryError::UnknownParameter`], [`QueryError::BadPeriod`].
    pub fn from_pairs(pairs: &[Pair], clock: &Clock) -> Result<Self, QueryError> {
        let default = Self::default();
        let mut window = Window::default();
        let mut n = default.n;
        for (name, value) in pairs {
            match name.as_str() {
                "n" => n = query::number("n", value, MAX_PARTS)?,
                _ if name != "side" && window.take(name, value)? => {}
                _ => return Err(query::unknown(name, "direction, link, last, from, to, compare, n")),
            }
        }
        let when = window.when(clock, default.when)?;
        let Window { direction, links, compare, .. } = window;
        Ok(Self { when, direction, links, compare, n })
    }
}

impl SeriesQuery {
    /// Reads a URL's query; `subject` reads what is about an AS, a group, a kind or a neighbour.
    ///
    /// # Errors
    /// [`QueryError::BadParameter`], [`QueryError::UnknownParameter`], [`QueryError::BadPeriod`], and those of `subject`.
    pub fn from_pairs(
        pairs: &[Pair],
        clock: &Clock,
        subject: impl Fn(&str, &str) -> Result<About, QueryError>,
    ) -> Result<Self, QueryError> {
        const KNOWN: &str =
            "by, n, as, group, kind, neighbor, direction, link, last, from, to, step, max_steps";
        let mut query = Self::default();
        let mut window = Window::default();
        let mut abouts = 0;
        for (name, value) in pairs {
            match name.as_str() {
                "by" => query.by = Some(query::by(value)?),
                "n" => query.n = query::number("n", value, MAX_LAYERS)?,
                "as" | "group" | "kind" | "neighbor" => {
                    query.about = subject(name, value)?;
                    abouts += 1;
                }
                "step" => query.step = Some(step(value)?),
                "max_steps" => query.max_steps = Some(query::number("max_steps", value, MAX_STEPS)?),
                "side" | "compare" => return Err(query::unknown(name, KNOWN)),
                _ if window.take(name, value)? => {}
                _ => return Err(query::unknown(name, KNOWN)),
            }
        }
        if abouts > 1 {
            return Err(QueryError::BadParameter {
                name: "as, group, kind, neighbor",
                value: String::new(),
                expected: "one of them".to_owned(),
            });
        }
        query.when = window.when(clock, query.when)?;
        query.direction = window.direction;
        query.links = window.links;
        Ok(query)
    }
}

impl ReportQuery {
    /// Reads a URL's query; `network` reads a group's key or name, or an AS's number or name, of the parameter that is named
    /// first.
    ///
    /// # Errors
    /// [`QueryError::BadParameter`], [`QueryError::UnknownParameter`], [`QueryError::BadPeriod`], and those of `network`.
    pub fn from_pairs(
        pairs: &[Pair],
        clock: &Clock,
        network: impl Fn(&str, &str) -> Result<Network, QueryError>,
    ) -> Result<Self, QueryError> {
        const KNOWN: &str = "group, as, versus, since, direction, link, last, from, to";
        let mut window = Window::default();
        let (mut networks, mut versus) = (Vec::new(), Vec::new());
        let mut since: Option<Timestamp> = None;
        let put = |list: &mut Vec<Network>, network: Network| {
            if !list.contains(&network) {
                list.push(network);
            }
            list.len() <= MAX_NETWORKS
        };
        for (name, value) in pairs {
            let fits = match name.as_str() {
                "group" | "as" => put(&mut networks, network(name, value)?),
                "versus" => {
                    let mut fits = true;
                    for text in value.split(',').map(str::trim).filter(|text| !text.is_empty()) {
                        fits &= put(&mut versus, network(name, text)?);
                    }
                    fits
                }
                "since" => {
                    since = query::moment("since", value)?.resolve(clock);
                    true
                }
                "side" | "compare" => return Err(query::unknown(name, KNOWN)),
                _ if window.take(name, value)? => true,
                _ => return Err(query::unknown(name, KNOWN)),
            };
            if !fits {
                return Err(QueryError::BadParameter {
                    name: "group, as, versus",
                    value: value.clone(),
                    expected: format!("no more than {MAX_NETWORKS} networks"),
                });
            }
        }
        if let Some(since) = since.filter(|since| *since >= clock.now) {
            return Err(QueryError::BadPeriod(format!("since: {since} has not come yet")));
        }
        let when = window.when(clock, PastQuery::default().when)?;
        let Window { direction, links, .. } = window;
        Ok(Self { networks, versus, when, since, direction: direction.unwrap_or(Direction::In), links })
    }
}

fn step(value: &str) -> Result<Step, QueryError> {
    let name = |step| match step {
        Step::Slot => "5m",
        Step::Hour => "1h",
        Step::Day => "1d",
    };
    query::choice("step", value, [Step::Slot, Step::Hour, Step::Day], name)
}
