//! A peering report in sentences.

use jiff::{Timestamp, tz::TimeZone};

use super::text::{Markup, escape};
use crate::{
    model::{Asn, Direction},
    questions::{
        answer::{PeeringAnswer, PeeringCandidate, PeeringLink},
        words::{self, Lang},
    },
};

/// The report in a language, ending with a line break.
#[must_use]
pub fn render(report: &PeeringAnswer, lang: Lang, markup: Markup) -> String {
    let writer = Writer { report, lang, zone: TimeZone::get(&report.zone).unwrap_or(TimeZone::UTC) };
    let mut out = Out { text: String::new(), markup };
    out.heading("#", &writer.title());
    out.paragraph(&writer.overview());
    if report.covered == 0.0 {
        return out.text;
    }
    out.list(report.links.iter().map(|link| writer.link(link)), false);
    if let Some(transits) = writer.transits() {
        out.paragraph(&[transits]);
    }
    let sections = [
        (writer.networks_heading(), &report.networks, None),
        (writer.cones_heading(), &report.cones, Some(writer.caveat())),
    ];
    for (heading, candidates, note) in sections {
        if candidates.is_empty() {
            continue;
        }
        out.heading("##", heading);
        out.list(candidates.iter().map(|candidate| writer.candidate(candidate)), true);
        if let Some(note) = note {
            out.paragraph(&[note.to_owned()]);
        }
    }
    if report.networks.is_empty() {
        out.paragraph(&[writer.nobody().to_owned()]);
    }
    out.text
}

/// Text that is being set.
struct Out {
    text: String,
    markup: Markup,
}

impl Out {
    fn set(&self, text: &str) -> String {
        if self.markup == Markup::Markdown { escape(text) } else { text.to_owned() }
    }

    fn begin(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    fn heading(&mut self, level: &str, text: &str) {
        self.begin();
        if self.markup == Markup::Markdown {
            self.text.push_str(level);
            self.text.push(' ');
        }
        let text = self.set(text);
        self.text.push_str(&text);
        self.text.push('\n');
    }

    fn paragraph(&mut self, sentences: &[String]) {
        self.begin();
        let text = self.set(&sentences.join(" "));
        self.text.push_str(&text);
        self.text.push('\n');
    }

    fn list(&mut self, lines: impl Iterator<Item = String>, numbered: bool) {
        self.begin();
        for (number, line) in (1..).zip(lines) {
            let line = self.set(&line);
            let mark = if numbered { format!("{number}.") } else { "-".to_owned() };
            self.text.push_str(&format!("{mark} {line}\n"));
        }
    }
}

struct Writer<'a> {
    report: &'a PeeringAnswer,
    lang: Lang,
    zone: TimeZone,
}

impl Writer<'_> {
    fn moment(&self, at: Timestamp) -> String {
        words::moment(self.lang, &at.to_zoned(self.zone.clone()))
    }

    fn bytes(&self, bytes: u64) -> String {
        words::bytes(self.lang, bytes)
    }

    fn rate(&self, bits: u64) -> String {
        words::bits_per_second(self.lang, bits)
    }

    fn percent(&self, share: f64) -> String {
        words::percent(self.lang, share)
    }

    fn which(&self) -> &'static str {
        match self.report.direction {
            Direction::In => self.lang.pick("incoming", "entrant"),
            Direction::Out => self.lang.pick("outgoing", "sortant"),
        }
    }

    fn title(&self) -> String {
        let PeeringAnswer { router, from, to, zone, .. } = self.report;
        let (from, to) = (self.moment(*from), self.moment(*to));
        match self.lang {
            Lang::En => format!("{router}: whom to peer with, from {from} to {to} ({zone})"),
            Lang::Fr => format!("{router} : avec qui s'interconnecter, du {from} au {to} ({zone})"),
        }
    }

    fn overview(&self) -> Vec<String> {
        let report = self.report;
        if report.covered == 0.0 {
            let since = report.since.map(|since| self.moment(since));
            return vec![match (self.lang, since) {
                (Lang::En, Some(since)) => {
                    format!("Nothing of this time was counted; there is data since {since}.")
                }
                (Lang::En, None) => "Nothing was counted yet.".to_owned(),
                (Lang::Fr, Some(since)) => {
                    format!("Rien n'a été compté dans cette période ; il y a des données depuis le {since}.")
                }
                (Lang::Fr, None) => "Rien n'a encore été compté.".to_owned(),
            }];
        }
        let transit = &report.transit;
        let seconds = report.to.as_second() - report.from.as_second();
        let length = words::duration(self.lang, seconds.unsigned_abs());
        let (bytes, rate, share, which) = (
            self.bytes(transit.bytes),
            self.rate(transit.bits_per_second),
            self.percent(transit.share),
            self.which(),
        );
        let p95 = transit.p95_bits_per_second.map(|p95| self.rate(p95));
        let mut sentences = vec![match (self.lang, p95) {
            (Lang::En, Some(p95)) => format!(
                "Over paid transit went {bytes} in {length}, {share} of all {which} traffic: {rate} on average, a 95th \
                 percentile of {p95}."
            ),
            (Lang::En, None) => format!(
                "Over paid transit went {bytes} in {length}, {share} of all {which} traffic: {rate} on average."
            ),
            (Lang::Fr, Some(p95)) => format!(
                "Par le transit payant ont transité {bytes} en {length}, {share} du trafic {which} : {rate} en moyenne, \
                 95e centile de {p95}."
            ),
            (Lang::Fr, None) => format!(
                "Par le transit payant ont transité {bytes} en {length}, {share} du trafic {which} : {rate} en moyenne."
            ),
        }];
        if report.covered < 0.995 {
            let covered = self.percent(report.covered);
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

    /// `transit-a: 30.0 TB, 95th percentile 250 Mbit/s`.
    fn link(&self, link: &PeeringLink) -> String {
        let colon = self.lang.pick(": ", " : ");
        let (name, bytes) = (&link.link, self.bytes(link.bytes));
        match link.p95_bits_per_second {
            Some(p95) => {
                let percentile = self.lang.pick("95th percentile", "95e centile");
                format!("{name}{colon}{bytes}, {percentile} {}", self.rate(p95))
            }
            None => format!("{name}{colon}{bytes}"),
        }
    }

    fn transits(&self) -> Option<String> {
        let names: Vec<String> =
            self.report.transits.iter().map(|transit| label(transit.asn, transit.name.as_deref())).collect();
        let configured = self.report.transits.first()?.configured;
        let names = names.join(", ");
        Some(match (self.lang, configured) {
            (Lang::En, true) => format!("Transit is bought from {names}."),
            (Lang::En, false) => {
                format!("Transit seems to be bought from {names}; where that is wrong, transit_ases says it.")
            }
            (Lang::Fr, true) => format!("Le transit est acheté à {names}."),
            (Lang::Fr, false) => {
                format!("Le transit semble acheté à {names} ; si c'est faux, transit_ases le dit.")
            }
        })
    }

    fn networks_heading(&self) -> &'static str {
        self.lang.pick("Networks to ask for a session", "Réseaux à qui demander une session")
    }

    fn cones_heading(&self) -> &'static str {
        self.lang.pick("Networks with others behind them", "Réseaux qui en portent d'autres")
    }

    fn caveat(&self) -> &'static str {
        match self.report.direction {
            Direction::In => self.lang.pick(
                "What is behind a network is by this router's routes, which for incoming traffic are those of the way \
                 back; a peer may announce less of it.",
                "Ce qu'un réseau porte est d'après les routes de ce routeur, qui pour le trafic entrant sont celles du \
                 chemin de retour ; un pair peut en annoncer moins.",
            ),
            Direction::Out => self.lang.pick(
                "What is behind a network is by this router's routes; a peer may announce less of it.",
                "Ce qu'un réseau porte est d'après les routes de ce routeur ; un pair peut en annoncer moins.",
            ),
        }
    }

    fn nobody(&self) -> &'static str {
        self.lang.pick(
            "No network but the transits themselves had traffic there.",
            "Aucun réseau n'y a eu de trafic, hors ceux du transit.",
        )
    }

    /// `AS2906 (Netflix): 12.3 TB, 23.5% of it, 95th percentile 120 Mbit/s; transit-a would be relieved of 95 Mbit/s (250 to 155 Mbit/s).`
    fn candidate(&self, candidate: &PeeringCandidate) -> String {
        let name = label(candidate.asn, candidate.name.as_deref());
        let (bytes, share) = (self.bytes(candidate.bytes), self.percent(candidate.share));
        let mut text = match self.lang {
            Lang::En => format!("{name}: {bytes}, {share} of transit"),
            Lang::Fr => format!("{name} : {bytes}, {share} du transit"),
        };
        if candidate.own_bytes < candidate.bytes {
            let own = self.bytes(candidate.own_bytes);
            text.push_str(&match (self.lang, candidate.own_bytes) {
                (Lang::En, 0) => ", none of it its own".to_owned(),
                (Lang::En, _) => format!(", {own} of it its own"),
                (Lang::Fr, 0) => ", rien en propre".to_owned(),
                (Lang::Fr, _) => format!(", dont {own} en propre"),
            });
        }
        if let Some(p95) = candidate.p95_bits_per_second {
            let p95 = self.rate(p95);
            text.push_str(&match self.lang {
                Lang::En => format!(", 95th percentile {p95}"),
                Lang::Fr => format!(", 95e centile {p95}"),
            });
        }
        let freed: Vec<String> = candidate.links.iter().filter_map(|link| self.freed(link)).collect();
        if !freed.is_empty() {
            text.push_str(self.lang.pick("; ", " ; "));
            text.push_str(&freed.join(", "));
        }
        text.push('.');
        if candidate.neighbor {
            text.push_str(self.lang.pick(
                " There is a session with it already: not all of its traffic takes it.",
                " Il y a déjà une session avec lui : tout son trafic ne la prend pas.",
            ));
        }
        text
    }

    fn freed(&self, link: &PeeringLink) -> Option<String> {
        let (freed, with, without) =
            (link.freed_bits_per_second?, link.p95_bits_per_second?, link.p95_without?);
        let (name, with, without) = (&link.link, self.rate(with), self.rate(without));
        Some(match (self.lang, freed) {
            (Lang::En, 0) => format!("the 95th percentile of {name} would stay"),
            (Lang::Fr, 0) => format!("le 95e centile de {name} resterait"),
            (Lang::En, freed) => {
                format!("{name} would be relieved of {} ({with} to {without})", self.rate(freed))
            }
            (Lang::Fr, freed) => {
                format!("{name} serait soulagé de {} ({with} à {without})", self.rate(freed))
            }
        })
    }
}

fn label(asn: Asn, name: Option<&str>) -> String {
    name.map_or_else(|| format!("AS{asn}"), |name| format!("AS{asn} ({name})"))
}
