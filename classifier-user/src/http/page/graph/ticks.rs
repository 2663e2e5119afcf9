//! Where an axis has its marks: rates in 1, 2 or 5 times a power of ten, time in the zone's hours, days and months.

use jiff::{Timestamp, ToSpan as _, Unit, Zoned, ZonedRound, civil::Weekday, tz::TimeZone};

use crate::questions::words::{self, Lang};

/// The step between marks such that `span` has about `wanted` of them.
pub(super) fn rate_step(span: u64, wanted: u64) -> u64 {
    let rough = span.div_ceil(wanted.max(1)).max(1);
    let power = 10_u64.pow(rough.ilog10());
    [1, 2, 5]
        .into_iter()
        .map(|factor| power.saturating_mul(factor))
        .find(|&step| step >= rough)
        .unwrap_or_else(|| power.saturating_mul(10))
}

/// A mark on the time axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimeTick {
    pub(super) at: Timestamp,
    /// Empty: a line alone.
    pub(super) label: String,
    /// Left out where there is little room.
    pub(super) minor: bool,
}

/// How far marks are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Every {
    Minutes(i32),
    Hours(i32),
    Day,
    Monday,
    Month,
    Quarter,
}

const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

impl Every {
    fn of(seconds: i64) -> Self {
        match seconds {
            s if s <= 2 * HOUR => Self::Minutes(10),
            s if s <= 8 * HOUR => Self::Hours(1),
            s if s <= 36 * HOUR => Self::Hours(3),
            s if s <= 3 * DAY => Self::Hours(12),
            s if s <= 10 * DAY => Self::Day,
            s if s <= 70 * DAY => Self::Monday,
            s if s <= 500 * DAY => Self::Month,
            _ => Self::Quarter,
        }
    }

    /// The last mark at or before a time.
    fn floor(self, at: &Zoned) -> Option<Zoned> {
        let day = at.start_of_day().ok()?;
        match self {
            Self::Minutes(minutes) => {
                let round = ZonedRound::new()
                    .smallest(Unit::Minute)
                    .increment(i64::from(minutes))
                    .mode(jiff::RoundMode::Trunc);
                at.round(round).ok()
            }
            // Hours of the day, whatever DST made of them.
            Self::Hours(hours) => {
                let hour = i32::from(at.hour()) / hours * hours;
                at.date().at(i8::try_from(hour).ok()?, 0, 0, 0).to_zoned(at.time_zone().clone()).ok()
            }
            Self::Day => Some(day),
            Self::Monday => {
                let back = i64::from(day.weekday().to_monday_zero_offset());
                day.checked_sub(back.days()).ok()?.start_of_day().ok()
            }
            Self::Month => day.first_of_month().ok(),
            Self::Quarter => {
                let back = i64::from((day.month() - 1) % 3);
                day.first_of_month().ok()?.checked_sub(back.months()).ok()
            }
        }
    }

    /// The mark after this one.
    fn next(self, at: &Zoned) -> Option<Zoned> {
        match self {
            Self::Minutes(minutes) => at.checked_add(minutes.minutes()).ok(),
            Self::Hours(hours) => {
                let next = at.datetime().checked_add(hours.hours()).ok()?;
                let next = next.to_zoned(at.time_zone().clone()).ok()?;
                // In the hour that a clock skips, the mark falls on the one after it.
                if next > *at { Some(next) } else { at.checked_add(hours.hours()).ok() }
            }
            Self::Day => at.checked_add(1.day()).ok()?.start_of_day().ok(),
            Self::Monday => at.checked_add(1.week()).ok()?.start_of_day().ok(),
            Self::Month => at.checked_add(1.month()).ok()?.start_of_day().ok(),
            Self::Quarter => at.checked_add(3.months()).ok()?.start_of_day().ok(),
        }
    }

    fn label(self, at: &Zoned, lang: Lang) -> String {
        let midnight = at.hour() == 0 && at.minute() == 0;
        match self {
            Self::Minutes(_) | Self::Hours(_) if !midnight => clock(lang, at),
            Self::Minutes(_) | Self::Hours(_) | Self::Monday => day_and_month(lang, at),
            Self::Day => format!("{} {}", weekday(lang, at.weekday()), at.day()),
            Self::Month | Self::Quarter if at.month() == 1 => at.year().to_string(),
            Self::Month | Self::Quarter => month(lang, at.month()).to_owned(),
        }
    }
}

/// `14:05`, `14 h`, `14 h 05`: short, for an axis.
fn clock(lang: Lang, at: &Zoned) -> String {
    match lang {
        Lang::Fr if at.minute() == 0 => format!("{}\u{202f}h", at.hour()),
        lang => words::time(lang, at.time()),
    }
}

/// `5 Oct`, `5 oct.`
fn day_and_month(lang: Lang, at: &Zoned) -> String {
    format!("{} {}", at.day(), month(lang, at.month()))
}

/// `Mon`, `lun.`
fn weekday(lang: Lang, day: Weekday) -> String {
    let name: String = words::weekday_name(lang, day).chars().take(3).collect();
    lang.pick("", ".").chars().fold(name, |mut name, dot| {
        name.push(dot);
        name
    })
}

/// `Oct`, `oct.`
fn month(lang: Lang, month: i8) -> &'static str {
    const SHORT: [[&str; 2]; 12] = [
        ["Jan", "janv."],
        ["Feb", "févr."],
        ["Mar", "mars"],
        ["Apr", "avr."],
        ["May", "mai"],
        ["Jun", "juin"],
        ["Jul", "juil."],
        ["Aug", "août"],
        ["Sep", "sept."],
        ["Oct", "oct."],
        ["Nov", "nov."],
        ["Dec", "déc."],
    ];
    let place = usize::try_from(month - 1).unwrap_or(usize::MAX);
    SHORT.get(place).map_or("", |[en, fr]| lang.pick(en, fr))
}

/// Marks within a stretch of time.
pub(super) fn time_ticks(from: Timestamp, to: Timestamp, zone: &TimeZone, lang: Lang) -> Vec<TimeTick> {
    const MOST: usize = 40;
    let every = Every::of(to.as_second() - from.as_second());
    let mut ticks = Vec::new();
    let mut next = every.floor(&from.to_zoned(zone.clone()));
    while let Some(at) = next.take() {
        if at.timestamp() >= to || ticks.len() == MOST {
            break;
        }
        next = every.next(&at);
        if at.timestamp() >= from {
            let minor = match every {
                Every::Minutes(_) => at.minute() % 20 != 0,
                Every::Hours(1) => at.hour() % 2 != 0,
                Every::Hours(3) => at.hour() % 6 != 0,
                Every::Day => false,
                Every::Month => at.month() % 3 != 1,
                _ => false,
            };
            ticks.push(TimeTick { at: at.timestamp(), label: every.label(&at, lang), minor });
        }
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_in_round_steps() {
        for (span, step) in
            [(0, 1), (1, 1), (9, 2), (100, 20), (1000, 200), (2600, 1000), (7_000_000_000, 2_000_000_000)]
        {
            assert_eq!(rate_step(span, 5), step, "{span}");
        }
        assert_eq!(rate_step(u64::MAX, 5), 5_000_000_000_000_000_000);
    }

    fn labels(from: &str, to: &str, zone: &str, lang: Lang) -> Vec<String> {
        let at = |text: &str| text.parse().unwrap();
        let ticks = time_ticks(at(from), at(to), &TimeZone::get(zone).unwrap(), lang);
        assert!(ticks.windows(2).all(|pair| pair[0].at < pair[1].at));
        ticks.into_iter().map(|tick| tick.label.replace('\u{202f}', " ")).collect()
    }

    #[test]
    fn an_hour_and_a_day() {
        assert_eq!(
            labels("2026-10-05T12:05:00Z", "2026-10-05T13:05:00Z", "Europe/Paris", Lang::En),
            ["14:10", "14:20", "14:30", "14:40", "14:50", "15:00"]
        );
        assert_eq!(
            labels("2026-10-05T12:05:00Z", "2026-10-06T12:05:00Z", "Europe/Paris", Lang::Fr),
            ["15 h", "18 h", "21 h", "6 oct.", "3 h", "6 h", "9 h", "12 h"]
        );
    }

    #[test]
    fn the_days_on_which_clocks_change() {
        // 29 March 2026: 2 h is 3 h. 25 October 2026: 3 h is 2 h again.
        assert_eq!(
            labels("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "Europe/Paris", Lang::En),
            ["29 Mar", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]
        );
        assert_eq!(
            labels("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "Europe/Paris", Lang::En),
            ["25 Oct", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]
        );
        // Midnights stay midnights.
        assert_eq!(
            labels("2026-10-22T22:00:00Z", "2026-10-28T23:00:00Z", "Europe/Paris", Lang::Fr),
            ["ven. 23", "sam. 24", "dim. 25", "lun. 26", "mar. 27", "mer. 28"]
        );
        // The hour that does not exist, hour by hour.
        assert_eq!(
            labels("2026-03-29T00:00:00Z", "2026-03-29T05:00:00Z", "Europe/Paris", Lang::En),
            ["01:00", "03:00", "04:00", "05:00", "06:00"]
        );
    }

    #[test]
    fn a_month_and_a_year() {
        assert_eq!(
            labels("2026-09-05T12:00:00Z", "2026-10-05T12:00:00Z", "UTC", Lang::Fr),
            ["7 sept.", "14 sept.", "21 sept.", "28 sept.", "5 oct."]
        );
        let year = labels("2025-10-05T12:00:00Z", "2026-10-05T12:00:00Z", "UTC", Lang::En);
        assert_eq!(year.len(), 12);
        assert_eq!(&year[..4], ["Nov", "Dec", "2026", "Feb"]);
    }

    #[test]
    fn never_many() {
        assert_eq!(labels("1970-01-01T00:00:00Z", "2200-01-01T00:00:00Z", "UTC", Lang::En).len(), 40);
        assert!(labels("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "UTC", Lang::En).is_empty());
    }
}
