//! Periods as people write them: `30s`, `5m`, `1h`, `24h`, `7d`, `4w`, `1y`.

use std::time::Duration;

/// The longest period that can be asked for: ten years.
pub const MAX_PERIOD: Duration = Duration::from_secs(3650 * 86_400);

/// A period that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// No number in front, or something else than a unit behind it.
    #[error(
        "{0:?} is not a period: write a whole number and s, m, h, d, w or y, such as 5m, 1h, 24h, 7d or 1y"
    )]
    Syntax(String),
    /// Zero, or over [`MAX_PERIOD`].
    #[error("{0:?} is out of range: a period is from 1s to 3650d")]
    Range(String),
}

/// Reads a period: a whole number and a unit (`s`, `m`, `h`, `d`, `w`, `y`), nothing in between. A year has 365 days.
///
/// # Errors
/// [`PeriodError`] where the text is no such thing, zero, or longer than [`MAX_PERIOD`].
pub fn parse_period(text: &str) -> Result<Duration, PeriodError> {
    let syntax = || PeriodError::Syntax(text.to_owned());
    let range = || PeriodError::Range(text.to_owned());
    let unit = text.chars().last().ok_or_else(syntax)?;
    let seconds = match unit {
        's' => 1_u64,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        'y' => 365 * 86_400,
        _ => return Err(syntax()),
    };
    let digits = text.strip_suffix(unit).ok_or_else(syntax)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(syntax());
    }
    // Only digits: what does not parse is too long.
    let number: u64 = digits.parse().map_err(|_| range())?;
    let period = Duration::from_secs(number.checked_mul(seconds).ok_or_else(range)?);
    if period.is_zero() || period > MAX_PERIOD { Err(range()) } else { Ok(period) }
}

/// Writes a period so that [`parse_period`] reads it back, in the largest unit that divides it; what is below a
/// second is cut off.
#[must_use]
pub fn format_period(period: Duration) -> String {
    let seconds = period.as_secs();
    match seconds {
        s if s >= 86_400 && s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s >= 3600 && s % 3600 == 0 => format!("{}h", s / 3600),
        s if s >= 60 && s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, seconds) in [
            ("30s", 30),
            ("5m", 300),
            ("1h", 3600),
            ("24h", 86_400),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1y", 31_536_000),
            ("10y", 315_360_000),
            ("3650d", 315_360_000),
        ] {
            assert_eq!(parse_period(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "5", "5 m", "-5m", "+5m", "1.5h", "5M", "5min", "5é", "h5"] {
            assert_eq!(parse_period(text), Err(PeriodError::Syntax(text.to_owned())), "{text}");
        }
        for text in ["0s", "3651d", "11y", "522w", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_period(text), Err(PeriodError::Range(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn written_in_the_largest_unit() {
        for (seconds, text) in
            [(30, "30s"), (90, "90s"), (300, "5m"), (3600, "1h"), (5400, "90m"), (86_400, "1d")]
        {
            assert_eq!(format_period(Duration::from_secs(seconds)), text);
            assert_eq!(parse_period(text), Ok(Duration::from_secs(seconds)));
        }
    }
}
