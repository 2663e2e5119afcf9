//! A report in sentences. None is made of data that is not there.

use jiff::{Timestamp, tz::TimeZone};

use super::label;
use crate::{
    model::Direction,
    questions::{
        answer::{Growth, ReportAnswer, ReportSubject, Versus, Weekend},
        words::{self, Lang},
    },
};

/// How text is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Markup {
    /// As it is.
    #[default]
    Plain,
    /// Markdown.
    Markdown,
}

/// The report in a language, ending with a line break.
#[must_use]
pub fn render(report: &ReportAnswer, lang: Lang, markup: Markup) -> String {
    let writer = Writer { report, lang, zone: TimeZone::get(&report.zone).unwrap_or(TimeZone::UTC) };
    let mut out = String::new();
    let heading = |out: &mut String, level: &str, text: &str| {
        if markup == Markup::Markdown {
            out.push_str(level);
            out.push(' ');
            out.push_str(&escape(text));
        } else {
            out.push_str(text);
        }
        out.push('\n');
    };
    heading(&mut out, "#", &writer.title());
    out.push('\n');
    let paragraph = |out: &mut String, sentences: &[String]| {
        let text = sentences.join(" ");
        out.push_str(&if markup == Markup::Markdown { escape(&text) } else { text });
        out.push('\n');
    };
    paragraph(&mut out, &writer.overview());
    if report.covered > 0.0 {
        for subject in &report.subjects {
            out.push('\n');
            if markup == Markup::Markdown {
                heading(&mut out, "##", &label(&subject.place.subject));
                out.push('\n');
            }
            paragraph(&mut out, &writer.subject(subject));
        }
    }
    out
}

/// Text from a table as Markdown has it.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

struct Writer<'a> {
    report: &'a ReportAnswer,
    lang: Lang,
    zone: TimeZone,
}

impl Writer<'_> {
    fn moment(&self, at: Timestamp) -> String {
        words::moment(self.lang, &at.to_zoned(self.zone.clone()))
    }

    fn date(&self, at: Timestamp) -> String {
        words::date(self.lang, at.to_zoned(self.zone.clone()).date())
    }

    fn bytes(&self, bytes: u64) -> String {
        words::bytes(self.lang, bytes)
    }

    fn rate(&self, bits: u64) -> String {
        words::bits_per_second(self.lang, bits)
    }

    fn length(&self) -> String {
        let seconds = self.report.to.as_second() - self.report.from.as_second();
        words::duration(self.lang, seconds.unsigned_abs())
    }

    fn inward(&self) -> bool {
        self.report.direction == Direction::In
    }

    /// `incoming`, `entrant`.
    fn which(&self) -> &'static str {
        match (self.lang, self.inward()) {
            (Lang::En, true) => "incoming",
            (Lang::En, false) => "outgoing",
            (Lang::Fr, true) => "entrant",
            (Lang::Fr, false) => "sortant",
        }
    }

    fn title(&self) -> String {
        let (from, to) = (self.moment(self.report.from), self.moment(self.report.to));
        let (router, zone) = (&self.report.router, &self.report.zone);
        match self.lang {
            Lang::En => format!("{router}: from {from} to {to} ({zone})"),
            Lang::Fr => format!("{router} : du {from} au {to} ({zone})"),
        }
    }

    fn overview(&self) -> Vec<String> {
        let report = self.report;
        if report.covered == 0.0 {
            return vec![self.nothing()];
        }
        let (bytes, rate, length) =
            (self.bytes(report.total.bytes), self.rate(report.total.bits_per_second), self.length());
        let which = self.which();
        let mut sentences = vec![match self.lang {
            Lang::En => format!("All {which} traffic was {bytes} in {length}, {rate} on average."),
            Lang::Fr => format!("Le trafic {which} a été de {bytes} en {length}, soit {rate} en moyenne."),
        }];
        sentences.extend(report.total.ipv6_share.map(|share| self.ipv6(share)));
        if report.covered < 0.995 {
            let covered = words::percent(self.lang, report.covered);
            sentences.push(match self.lang {
                Lang::En => {
                    format!("Only {covered} of this time was counted: the rest is missing in volumes.")
                }
                Lang::Fr => {
                    format!("Seuls {covered} de cette durée ont été comptés : le reste manque aux volumes.")
                }
            });
        }
        sentences
    }

    fn ipv6(&self, share: f64) -> String {
        let text = words::percent(self.lang, share);
        match self.lang {
            Lang::En if share == 0.0 => "None of it was IPv6.".to_owned(),
            Lang::En => format!("{text} of it was IPv6."),
            Lang::Fr if share == 0.0 => "Rien en IPv6.".to_owned(),
            Lang::Fr => format!("{text} en IPv6."),
        }
    }

    fn nothing(&self) -> String {
        match (self.lang, self.report.since.map(|since| self.moment(since))) {
            (Lang::En, Some(since)) => {
                format!("Nothing of this time was counted; there is data since {since}.")
            }
            (Lang::En, None) => "Nothing was counted yet.".to_owned(),
            (Lang::Fr, Some(since)) => {
                format!("Rien n'a été compté dans cette période ; il y a des données depuis le {since}.")
            }
            (Lang::Fr, None) => "Rien n'a encore été compté.".to_owned(),
        }
    }

    fn subject(&self, subject: &ReportSubject) -> Vec<String> {
        let mut sentences = vec![self.place(subject)];
        sentences.extend(subject.ipv6_share.map(|share| self.ipv6(share)));
        sentences.extend(self.volumes(&subject.versus));
        sentences.extend(self.evening(subject));
        sentences.extend(subject.growth.and_then(|growth| self.growth(&growth)));
        sentences.extend(self.weekend(subject));
        sentences
    }

    /// `Netflix is the 10th network by incoming traffic, with 520 GB in 24 hours (3.2% of all).`
    fn place(&self, subject: &ReportSubject) -> String {
        let place = &subject.place;
        let (name, which, length) = (label(&place.subject), self.which(), self.length());
        let (bytes, share) = (self.bytes(place.bytes), words::percent(self.lang, place.share));
        let what = if place.subject.asn.is_some() { "AS" } else { self.lang.pick("network", "réseau") };
        match (self.lang, place.rank.map(|rank| words::ordinal(self.lang, rank))) {
            (Lang::En, Some(rank)) => {
                format!(
                    "{name} is the {rank} {what} by {which} traffic, with {bytes} in {length} ({share} of all)."
                )
            }
            (Lang::En, None) => format!("{name} had no {which} traffic in {length}."),
            (Lang::Fr, Some(rank)) => format!(
                "{name} est le {rank} {what} par le trafic {which}, avec {bytes} en {length} ({share} du total)."
            ),
            (Lang::Fr, None) => format!("{name} n'a eu aucun trafic {which} en {length}."),
        }
    }

    /// `In the same time: Google 1.60 TB, Apple 268 GB, Amazon 153 GB.`
    fn volumes(&self, versus: &[Versus]) -> Option<String> {
        let volume = |other: &Versus| {
            let bytes = match other.place.bytes {
                0 => self.lang.pick("nothing", "rien").to_owned(),
                bytes => self.bytes(bytes),
            };
            format!("{} {bytes}", label(&other.place.subject))
        };
        let volumes: Vec<String> = versus.iter().map(volume).collect();
        let begin = self.lang.pick("In the same time: ", "Dans le même temps : ");
        (!volumes.is_empty()).then(|| format!("{begin}{}.", volumes.join(", ")))
    }

    /// `Its evening peak (18:00 to 24:00) was 312 Mbit/s, on 14 November 2026, 21:05: about a third of Google's.`
    fn evening(&self, subject: &ReportSubject) -> Option<String> {
        let peak = subject.place.evening_peak?;
        let (rate, at) = (self.rate(peak.bits_per_second), self.moment(peak.at));
        let mut sentence = match self.lang {
            Lang::En => format!("Its evening peak (18:00 to 24:00) was {rate}, on {at}"),
            Lang::Fr => format!("Sa pointe du soir (18 h à 24 h) a été de {rate}, le {at}"),
        };
        let held: Vec<String> = subject
            .versus
            .iter()
            .filter_map(|other| {
                let (ratio, peak) = (other.evening_ratio?, other.place.evening_peak?);
                let against = against(self.lang, ratio, &label(&other.place.subject));
                Some(format!("{against} ({})", self.rate(peak.bits_per_second)))
            })
            .collect();
        if !held.is_empty() {
            sentence.push_str(self.lang.pick(": ", " : "));
            sentence.push_str(&held.join(", "));
        }
        sentence.push('.');
        Some(sentence)
    }

    /// `Since 15 September 2026 it has had 480 GB on an average day, against 120 GB in the 28 days before (+300.0%).`
    fn growth(&self, growth: &Growth) -> Option<String> {
        let since = self.date(growth.since);
        let (Some(before), Some(after)) = (growth.before, growth.after) else {
            let known = self.report.since.map(|since| self.date(since)).unwrap_or_default();
            return Some(match self.lang {
                Lang::En => format!(
                    "There is too little data to say how it has grown since {since}: whole days on both sides are \
                     needed, and there is data since {known}."
                ),
                Lang::Fr => format!(
                    "Il y a trop peu de données pour dire son évolution depuis le {since} : il faut des jours entiers \
                     avant et après, et il y a des données depuis le {known}."
                ),
            });
        };
        if (before.bytes_per_day, after.bytes_per_day) == (0, 0) {
            return None;
        }
        let (now, then) = (self.bytes(after.bytes_per_day), self.bytes(before.bytes_per_day));
        let days = match (self.lang, before.days) {
            (Lang::En, 1) => "the day".to_owned(),
            (Lang::En, days) => format!("the {days} days"),
            (Lang::Fr, 1) => "le jour".to_owned(),
            (Lang::Fr, days) => format!("les {days} jours"),
        };
        let change = growth.change.map(|change| format!(" ({})", words::change(self.lang, change)));
        let (then, change) = match &change {
            Some(change) => (then.as_str(), change.as_str()),
            None => (self.lang.pick("nothing", "rien"), ""),
        };
        Some(match self.lang {
            Lang::En => format!(
                "Since {since} it has had {now} on an average day, against {then} in {days} before{change}."
            ),
            Lang::Fr => format!(
                "Depuis le {since}, il fait {now} par jour en moyenne, contre {then} dans {days} d'avant{change}."
            ),
        })
    }

    /// `At weekends it has 560 GB a day, on weekdays 430 GB (+30.2%; 28 days from 5 December 2026).`
    fn weekend(&self, subject: &ReportSubject) -> Option<String> {
        let Some(Weekend { weekend, weekday, change }) = subject.weekend else {
            let (en, fr) = (
                "There is too little data to hold weekends against weekdays.",
                "Il y a trop peu de données pour comparer le week-end à la semaine.",
            );
            return Some(self.lang.pick(en, fr).to_owned());
        };
        if (weekend.bytes_per_day, weekday.bytes_per_day) == (0, 0) {
            return None;
        }
        let (free, work) = (self.bytes(weekend.bytes_per_day), self.bytes(weekday.bytes_per_day));
        let change = change.map(|change| words::change(self.lang, change));
        let days = u64::from(weekend.days) + u64::from(weekday.days);
        let from = self.date(weekend.from.min(weekday.from));
        Some(match self.lang {
            Lang::En => {
                let change = change.map(|change| format!("{change}; ")).unwrap_or_default();
                format!(
                    "At weekends it has {free} a day, on weekdays {work} ({change}{days} days from {from})."
                )
            }
            Lang::Fr => {
                let change = change.map(|change| format!("{change} ; ")).unwrap_or_default();
                format!(
                    "Le week-end il fait {free} par jour, en semaine {work} ({change}{days} jours à partir du {from})."
                )
            }
        })
    }
}

/// `about a third of Google's`, `37% of Google's`, `1.4 times Google's`.
fn against(lang: Lang, ratio: f64, name: &str) -> String {
    const FRACTIONS: [(f64, &str, &str); 8] = [
        (0.1, "a tenth", "un dixième"),
        (0.2, "a fifth", "un cinquième"),
        (0.25, "a quarter", "un quart"),
        (1.0 / 3.0, "a third", "un tiers"),
        (0.5, "half", "la moitié"),
        (2.0 / 3.0, "two thirds", "les deux tiers"),
        (0.75, "three quarters", "les trois quarts"),
        (2.0, "twice", "le double"),
    ];
    let theirs = match lang {
        // `Inc.'s` and `(…)'s` read badly.
        Lang::En if name.ends_with(char::is_alphanumeric) => format!("{name}'s"),
        Lang::En => format!("that of {name}"),
        Lang::Fr => {
            let vowel = name.starts_with(['A', 'E', 'I', 'O', 'U', 'É', 'a', 'e', 'i', 'o', 'u', 'é']);
            format!("celle {}{name}", if vowel { "d'" } else { "de " })
        }
    };
    if (0.95..1.05).contains(&ratio) {
        return match lang {
            Lang::En => format!("about as high as {theirs}"),
            Lang::Fr => format!("à peu près {theirs}"),
        };
    }
    // Within a twentieth of it.
    let near = FRACTIONS.iter().find(|(fraction, ..)| (ratio / fraction - 1.0).abs() <= 0.05);
    match (lang, near) {
        (Lang::En, Some((fraction, en, _))) if *fraction > 1.0 => format!("about {en} {theirs}"),
        (Lang::En, Some((_, en, _))) => format!("about {en} of {theirs}"),
        (Lang::Fr, Some((.., fr))) => format!("environ {fr} de {theirs}"),
        (Lang::En, None) if ratio < 1.0 => format!("{} of {theirs}", words::percent(lang, ratio)),
        (Lang::Fr, None) if ratio < 1.0 => format!("{} de {theirs}", words::percent(lang, ratio)),
        (Lang::En, None) => format!("{} times {theirs}", words::number(lang, ratio, 1)),
        (Lang::Fr, None) => format!("{} fois {theirs}", words::number(lang, ratio, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_in_words() {
        for (ratio, en, fr) in [
            (0.05, "5.0% of Google's", "5,0\u{202f}% de celle de Google"),
            (0.101, "about a tenth of Google's", "environ un dixième de celle de Google"),
            (0.25, "about a quarter of Google's", "environ un quart de celle de Google"),
            (0.34, "about a third of Google's", "environ un tiers de celle de Google"),
            (0.4, "40.0% of Google's", "40,0\u{202f}% de celle de Google"),
            (0.49, "about half of Google's", "environ la moitié de celle de Google"),
            (1.02, "about as high as Google's", "à peu près celle de Google"),
            (1.4, "1.4 times Google's", "1,4 fois celle de Google"),
            (1.95, "about twice Google's", "environ le double de celle de Google"),
            (12.04, "12.0 times Google's", "12,0 fois celle de Google"),
        ] {
            assert_eq!(against(Lang::En, ratio, "Google"), en);
            assert_eq!(against(Lang::Fr, ratio, "Google"), fr);
        }
        assert_eq!(
            against(Lang::En, 1.0, "AS714 (Apple Inc.)"),
            "about as high as that of AS714 (Apple Inc.)"
        );
        assert_eq!(against(Lang::Fr, 1.0, "Apple"), "à peu près celle d'Apple");
    }

    #[test]
    fn names_cannot_set_markdown() {
        assert_eq!(escape("a_b *c* [d](e) <f> `g`"), r"a\_b \*c\* \[d\](e) \<f\> \`g\`");
    }
}
