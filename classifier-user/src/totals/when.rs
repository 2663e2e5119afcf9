//! Which time is asked for: a length back from now, or from one moment to another.

use std::{str::FromStr, time::Duration};

use jiff::{Timestamp, civil, tz::TimeZone};

use super::period::parse_period;

/// Which period is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// The last so many seconds.
    Last(Duration),
    /// From a time on, to another one or to now.
    Between {
        /// Its beginning.
        from: Timestamp,
        /// Its end; `None`: now.
        to: Option<Timestamp>,
    },
}

/// What moments are told by: now, and the zone of those that are written without one.
#[derive(Clone, Debug, PartialEq)]
pub struct Clock {
    /// Now.
    pub now: Timestamp,
    /// The zone of days.
    pub zone: TimeZone,
}

/// A point in time as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// With its offset: `2026-10-25T18:00:00+01:00`.
    At(Timestamp),
    /// In the zone asked about: `2026-10-25 18:00`; a day alone is its beginning, a month (`2026-10`) that of its first day.
    Local(civil::DateTime),
    /// So long ago: `7d`.
    Ago(Duration),
}

/// A moment that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time: expected {expected}", expected = Moment::EXPECTED)]
pub struct MomentError(pub String);

impl Moment {
    /// What a person is told to write.
    pub const EXPECTED: &str = "a day such as 2026-10-25, a day and time such as 2026-10-25T18:00 (in the zone of the \
                                agent's days) or 2026-10-25T18:00:00Z, or how long ago, such as 7d";

    /// The time that is meant. A time that a zone skips when clocks go forward is the one an hour later; of one that
    /// comes twice the first is meant. `None` where it is out of range.
    #[must_use]
    pub fn resolve(self, clock: &Clock) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::Local(local) => clock.zone.to_timestamp(local).ok(),
            Self::Ago(ago) => clock.now.checked_sub(ago).ok(),
        }
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        if let Ok(ago) = parse_period(text) {
            return Ok(Self::Ago(ago));
        }
        let error = || MomentError(text.to_owned());
        // Dates in other forms of ISO 8601 (without hyphens, weeks) would be mistaken for something else sooner or later.
        let digits = |range: std::ops::Range<usize>| {
            text.as_bytes().get(range).is_some_and(|bytes| bytes.iter().all(u8::is_ascii_digit))
        };
        if !digits(0..4) || text.as_bytes().get(4) != Some(&b'-') || !digits(5..7) {
            return Err(error());
        }
        if text.len() == 7 {
            let first: civil::Date = format!("{text}-01").parse().map_err(|_| error())?;
            return Ok(Self::Local(first.to_datetime(civil::Time::midnight())));
        }
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        text.parse().map(Self::Local).map_err(|_| error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(zone: &str) -> Clock {
        Clock { now: "2026-11-15T12:00:00Z".parse().unwrap(), zone: TimeZone::get(zone).unwrap() }
    }

    fn meant(text: &str) -> String {
        text.parse::<Moment>().unwrap().resolve(&clock("Europe/Paris")).unwrap().to_string()
    }

    #[test]
    fn moments_as_people_write_them() {
        for (text, time) in [
            ("2026-11-14T18:00:00Z", "2026-11-14T18:00:00Z"),
            ("2026-11-14T18:00:00+01:00", "2026-11-14T17:00:00Z"),
            ("2026-11-14", "2026-11-13T23:00:00Z"),
            ("2026-07-14", "2026-07-13T22:00:00Z"),
            ("2026-11-14T18:00", "2026-11-14T17:00:00Z"),
            ("2026-11-14 18:00:30", "2026-11-14T17:00:30Z"),
            ("2026-10", "2026-09-30T22:00:00Z"),
            ("7d", "2026-11-08T12:00:00Z"),
            ("1w", "2026-11-08T12:00:00Z"),
            ("90m", "2026-11-15T10:30:00Z"),
        ] {
            assert_eq!(meant(text), time, "{text}");
        }
    }

    #[test]
    fn hours_that_are_skipped_and_hours_that_come_twice() {
        // 2026-03-29: from 2:00 to 3:00; 2026-10-25: from 3:00 back to 2:00.
        assert_eq!(meant("2026-03-29T02:30"), "2026-03-29T01:30:00Z");
        assert_eq!(meant("2026-10-25T02:30"), "2026-10-25T00:30:00Z");
        assert_eq!(meant("2026-10-25T03:00"), "2026-10-25T02:00:00Z");
    }

    #[test]
    fn what_is_no_moment() {
        for text in
            ["", "yesterday", "2026", "2026-13", "2026-02-30", "20261025", "25/10/2026", "2026-W43", "18:00"]
        {
            assert_eq!(text.parse::<Moment>(), Err(MomentError(text.to_owned())), "{text}");
        }
    }
}
