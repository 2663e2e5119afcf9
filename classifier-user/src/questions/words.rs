//! Numbers, units and dates as people of a language write them.
//!
//! French: a decimal comma, thousands and units apart by a narrow no-break space (U+202F, as the Imprimerie nationale
//! has it), octets, `1er` and `2e`. English: a decimal point, thousands by commas, bytes. Units are SI: 1 GB is
//! 1,000,000,000 bytes.

use std::{fmt, str::FromStr};

use jiff::{Zoned, civil};

/// A language of text for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// French.
    Fr,
}

/// A language that is not spoken here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no language here: expected en or fr")]
pub struct UnknownLang(pub String);

/// The space within a French number, and before its unit.
const NARROW: char = '\u{202f}';
/// The minus sign of typesetting.
const MINUS: char = '\u{2212}';

impl Lang {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::En, Self::Fr];

    /// Its code (ISO 639-1).
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
        }
    }

    /// One of two texts.
    #[must_use]
    pub const fn pick<T: Copy>(self, en: T, fr: T) -> T {
        match self {
            Self::En => en,
            Self::Fr => fr,
        }
    }

    /// What stands between a number and its unit.
    const fn space(self) -> char {
        self.pick('\u{a0}', NARROW)
    }
}

impl FromStr for Lang {
    type Err = UnknownLang;

    fn from_str(text: &str) -> Result<Self, UnknownLang> {
        Self::ALL.into_iter().find(|lang| lang.code() == text).ok_or_else(|| UnknownLang(text.to_owned()))
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// A number with so many decimals: `1,234.5`, `1 234,5`.
#[must_use]
pub fn number(lang: Lang, value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::with_capacity(text.len() + 8);
    if value < 0.0 && text.bytes().any(|digit| matches!(digit, b'1'..=b'9')) {
        out.push(MINUS);
    }
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(lang.pick(',', NARROW));
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push(lang.pick('.', ','));
        out.push_str(fraction);
    }
    out
}

/// A whole number: `12,345`, `12 345`.
#[must_use]
pub fn integer(lang: Lang, value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(lang.pick(',', NARROW));
        }
        out.push(digit);
    }
    out
}

/// Three significant digits, an SI prefix and a unit: `520 GB`, `1.23 Tbit/s`; below 1000 the whole number.
fn scaled(lang: Lang, value: u64, unit: &str) -> String {
    const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let mut scaled = value as f64;
    let mut prefix = 0;
    // What rounds to 1000 is 1.00 of the next prefix.
    while scaled >= 999.5 && prefix + 1 < PREFIXES.len() {
        scaled /= 1000.0;
        prefix += 1;
    }
    let decimals = match scaled {
        _ if prefix == 0 => 0,
        s if s < 9.995 => 2,
        s if s < 99.95 => 1,
        _ => 0,
    };
    let prefix = PREFIXES.get(prefix).copied().unwrap_or_default();
    format!("{}{}{prefix}{unit}", number(lang, scaled, decimals), lang.space())
}

/// A volume: `520 GB`, `520 Go`.
#[must_use]
pub fn bytes(lang: Lang, value: u64) -> String {
    scaled(lang, value, lang.pick("B", "o"))
}

/// A rate: `1.23 Gbit/s`, `1,23 Gbit/s`.
#[must_use]
pub fn bits_per_second(lang: Lang, value: u64) -> String {
    scaled(lang, value, "bit/s")
}

/// A share of all, one decimal: `12.3%`, `12,3 %`.
#[must_use]
pub fn percent(lang: Lang, share: f64) -> String {
    let number = number(lang, share * 100.0, 1);
    match lang {
        Lang::En => format!("{number}%"),
        Lang::Fr => format!("{number}{NARROW}%"),
    }
}

/// A change, of which 0.1 is a tenth more: `+10.0%`, `−5,0 %`. From the tenfold on as a factor: `×12`.
#[must_use]
pub fn change(lang: Lang, change: f64) -> String {
    if change >= 9.0 {
        return format!("×{}", number(lang, change + 1.0, 0));
    }
    let text = percent(lang, change);
    if text.starts_with(MINUS) || !text.bytes().any(|digit| matches!(digit, b'1'..=b'9')) {
        text
    } else {
        format!("+{text}")
    }
}

/// A rank: `1st`, `2nd`, `10th`; `1er`, `2e`, `10e`.
#[must_use]
pub fn ordinal(lang: Lang, rank: u32) -> String {
    let number = integer(lang, u64::from(rank));
    let ending = match lang {
        Lang::Fr if rank == 1 => "er",
        Lang::Fr => "e",
        Lang::En => match (rank % 10, rank % 100) {
            (_, 11..=13) => "th",
            (1, _) => "st",
            (2, _) => "nd",
            (3, _) => "rd",
            _ => "th",
        },
    };
    format!("{number}{ending}")
}

/// A month's name: `October`, `octobre`.
#[must_use]
pub fn month_name(lang: Lang, month: i8) -> &'static str {
    const NAMES: [[&str; 2]; 12] = [
        ["January", "janvier"],
        ["February", "février"],
        ["March", "mars"],
        ["April", "avril"],
        ["May", "mai"],
        ["June", "juin"],
        ["July", "juillet"],
        ["August", "août"],
        ["September", "septembre"],
        ["October", "octobre"],
        ["November", "novembre"],
        ["December", "décembre"],
    ];
    let place = usize::try_from(month - 1).unwrap_or(usize::MAX);
    NAMES.get(place).map_or("", |[en, fr]| lang.pick(en, fr))
}

/// A day's name: `Sunday`, `dimanche`.
#[must_use]
pub const fn weekday_name(lang: Lang, day: civil::Weekday) -> &'static str {
    use civil::Weekday as Day;
    match day {
        Day::Monday => lang.pick("Monday", "lundi"),
        Day::Tuesday => lang.pick("Tuesday", "mardi"),
        Day::Wednesday => lang.pick("Wednesday", "mercredi"),
        Day::Thursday => lang.pick("Thursday", "jeudi"),
        Day::Friday => lang.pick("Friday", "vendredi"),
        Day::Saturday => lang.pick("Saturday", "samedi"),
        Day::Sunday => lang.pick("Sunday", "dimanche"),
    }
}

/// A day: `15 September 2026`, `15 septembre 2026`, `1er octobre 2026`.
#[must_use]
pub fn date(lang: Lang, date: civil::Date) -> String {
    let day = match (lang, date.day()) {
        (Lang::Fr, 1) => "1er".to_owned(),
        (_, day) => day.to_string(),
    };
    format!("{day} {} {}", month_name(lang, date.month()), date.year())
}

/// A month: `October 2026`, `octobre 2026`.
#[must_use]
pub fn month(lang: Lang, date: civil::Date) -> String {
    format!("{} {}", month_name(lang, date.month()), date.year())
}

/// A time of day to the minute: `21:05`, `21 h 05`.
#[must_use]
pub fn time(lang: Lang, time: civil::Time) -> String {
    let (hour, minute) = (time.hour(), time.minute());
    match lang {
        Lang::En => format!("{hour:02}:{minute:02}"),
        Lang::Fr => format!("{hour}{NARROW}h{NARROW}{minute:02}"),
    }
}

/// A time with its day: `15 September 2026, 21:05`, `15 septembre 2026 à 21 h 05`. Its zone is not said.
#[must_use]
pub fn moment(lang: Lang, at: &Zoned) -> String {
    let between = lang.pick(", ", " à ");
    format!("{}{between}{}", date(lang, at.date()), time(lang, at.time()))
}

/// A length of time in the largest unit that divides it: `24 hours`, `7 jours`.
#[must_use]
pub fn duration(lang: Lang, seconds: u64) -> String {
    const UNITS: [(u64, [&str; 2], [&str; 2]); 4] = [
        (86_400, ["day", "jour"], ["days", "jours"]),
        (3600, ["hour", "heure"], ["hours", "heures"]),
        (60, ["minute", "minute"], ["minutes", "minutes"]),
        (1, ["second", "seconde"], ["seconds", "secondes"]),
    ];
    // One day is said in hours: it is the last 24 of them, not yesterday.
    let fits = |&(size, ..): &(u64, _, _)| {
        seconds.is_multiple_of(size) && seconds > if size == 86_400 { size } else { 0 }
    };
    let (size, one, many) =
        UNITS.into_iter().find(fits).unwrap_or((1, ["second", "seconde"], ["seconds", "secondes"]));
    let count = seconds / size;
    // French has the singular below 2.
    let [en, fr] = match lang {
        Lang::En if count == 1 => one,
        Lang::Fr if count < 2 => one,
        _ => many,
    };
    format!("{} {}", integer(lang, count), lang.pick(en, fr))
}

#[cfg(test)]
mod tests {
    use Lang::{En, Fr};

    use super::*;

    /// Written with plain spaces.
    fn plain(text: &str) -> String {
        text.replace(['\u{202f}', '\u{a0}'], " ")
    }

    #[test]
    fn numbers_in_the_languages_form() {
        assert_eq!(number(En, 1_234.56, 1), "1,234.6");
        assert_eq!(number(Fr, 1_234.56, 1), "1\u{202f}234,6");
        assert_eq!(number(En, -1_234_567.0, 0), "−1,234,567");
        assert_eq!(number(En, 999.0, 2), "999.00");
        assert_eq!(number(En, -0.01, 1), "0.0");
        assert_eq!(integer(En, 12_345_678), "12,345,678");
        assert_eq!(integer(Fr, 1234), "1\u{202f}234");
        assert_eq!(integer(Fr, 123), "123");
        assert_eq!(integer(En, u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn volumes_and_rates_have_three_digits() {
        for (value, en, fr) in [
            (0, "0 B", "0 o"),
            (999, "999 B", "999 o"),
            (1_000, "1.00 kB", "1,00 ko"),
            (520_000_000_000, "520 GB", "520 Go"),
            (9_994_999_999, "9.99 GB", "9,99 Go"),
            (9_995_000_000, "10.0 GB", "10,0 Go"),
            (999_500_000_000, "1.00 TB", "1,00 To"),
        ] {
            assert_eq!((plain(&bytes(En, value)), plain(&bytes(Fr, value))), (en.into(), fr.into()));
        }
        assert_eq!(bytes(Fr, 520_000_000_000), "520\u{202f}Go");
        assert_eq!(bytes(En, 520_000_000_000), "520\u{a0}GB");
        assert_eq!(plain(&bits_per_second(En, 1_234_567_890_123)), "1.23 Tbit/s");
        assert_eq!(plain(&bits_per_second(Fr, 45_600_000)), "45,6 Mbit/s");
    }

    #[test]
    fn shares_and_changes() {
        assert_eq!(percent(En, 0.12345), "12.3%");
        assert_eq!(percent(Fr, 0.12345), "12,3\u{202f}%");
        assert_eq!(change(En, 0.1), "+10.0%");
        assert_eq!(change(En, -0.055), "−5.5%");
        assert_eq!(change(En, 0.0), "0.0%");
        assert_eq!(change(En, -0.0001), "0.0%");
        assert_eq!(plain(&change(Fr, 1.0)), "+100,0 %");
        assert_eq!(change(En, 8.99), "+899.0%");
        assert_eq!(change(En, 11.2), "×12");
    }

    #[test]
    fn ordinals() {
        for (rank, en, fr) in [
            (1, "1st", "1er"),
            (2, "2nd", "2e"),
            (3, "3rd", "3e"),
            (4, "4th", "4e"),
            (10, "10th", "10e"),
            (11, "11th", "11e"),
            (12, "12th", "12e"),
            (13, "13th", "13e"),
            (21, "21st", "21e"),
            (111, "111th", "111e"),
            (122, "122nd", "122e"),
        ] {
            assert_eq!((ordinal(En, rank), ordinal(Fr, rank)), (en.to_owned(), fr.to_owned()));
        }
        assert_eq!(ordinal(En, 1001), "1,001st");
    }

    #[test]
    fn days_and_times() {
        let day = civil::date(2026, 9, 15);
        assert_eq!((date(En, day), date(Fr, day)), ("15 September 2026".into(), "15 septembre 2026".into()));
        assert_eq!(date(Fr, civil::date(2026, 10, 1)), "1er octobre 2026");
        assert_eq!(month(Fr, civil::date(2026, 8, 1)), "août 2026");
        let nine = civil::time(21, 5, 59, 0);
        assert_eq!((time(En, nine), plain(&time(Fr, nine))), ("21:05".into(), "21 h 05".into()));
        let at = civil::date(2026, 2, 1).at(0, 0, 0, 0).in_tz("Europe/Paris").unwrap();
        assert_eq!(moment(En, &at), "1 February 2026, 00:00");
        assert_eq!(plain(&moment(Fr, &at)), "1er février 2026 à 0 h 00");
        assert_eq!(weekday_name(Fr, day.weekday()), "mardi");
    }

    #[test]
    fn lengths_of_time() {
        for (seconds, en, fr) in [
            (300, "5 minutes", "5 minutes"),
            (3600, "1 hour", "1 heure"),
            (86_400, "24 hours", "24 heures"),
            (172_800, "2 days", "2 jours"),
            (90_000, "25 hours", "25 heures"),
            (31_536_000, "365 days", "365 jours"),
            (90, "90 seconds", "90 secondes"),
            (1, "1 second", "1 seconde"),
        ] {
            assert_eq!((duration(En, seconds), duration(Fr, seconds)), (en.into(), fr.into()));
        }
    }

    #[test]
    fn languages_are_read_by_their_codes() {
        assert_eq!("fr".parse(), Ok(Fr));
        assert_eq!(
            "de".parse::<Lang>().unwrap_err().to_string(),
            "\"de\" is no language here: expected en or fr"
        );
    }
}
