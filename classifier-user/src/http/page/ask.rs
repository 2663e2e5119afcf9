//! What a URL asks for. Every value is one of a few, or a name that is looked up: so what a stranger can ask for is
//! bounded, and equal questions are equal, whatever the URL looked like.

use axum::http::{HeaderMap, header};

use super::graph::svg::Theme;
pub(super) use crate::config::public::PagePeriod as Span;
use crate::{
    model::{Asn, Direction},
    questions::{About, words::Lang},
    totals::{By, query::Pair},
};

/// How a graph or a table comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Format {
    Csv,
    Json,
}

/// How a graph that stands alone comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Picture {
    Svg,
    Png,
}

/// What every page can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Options {
    pub(super) lang: Lang,
    /// Whether the URL says the language: links then say it, too.
    pub(super) lang_given: bool,
    pub(super) span: Span,
    /// What the layers of the graph are.
    pub(super) by: By,
    /// Which direction tables are sorted by.
    pub(super) sort: Direction,
    /// Rows of a table.
    pub(super) rows: usize,
}

/// What a page or a file is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    Home,
    Subject(About),
    Search(String),
    Method,
    Graph(About, Picture, Theme),
    /// The course that a graph shows.
    Series(About, Format),
    /// A ranking.
    Top(By, Format),
    /// A subject's figures.
    Figures(About, Format),
}

/// Rows that a table can have.
pub(super) const ROWS: [usize; 2] = [20, 100];
/// Rankings that there are files of.
const RANKINGS: [By; 5] = [By::As, By::Group, By::Kind, By::Link, By::Neighbor];
/// The longest name or search that is read.
const LONGEST: usize = 80;

/// A URL that asks for nothing that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotFound,
    /// A parameter, and what it can be.
    Parameter {
        name: &'static str,
        expected: String,
    },
}

/// Reads a path, decoded. Parameters are of [`Options::read`].
pub(super) fn asked(path: &str, pairs: &[Pair]) -> Result<Asked, Refusal> {
    let parts: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    if parts.iter().any(|part| part.len() > LONGEST) {
        return Err(Refusal::NotFound);
    }
    match *parts.as_slice() {
        [""] => Ok(Asked::Home),
        ["about"] => Ok(Asked::Method),
        ["search"] => {
            let query = last(pairs, "q").unwrap_or_default().trim();
            if query.len() > LONGEST {
                return Err(Refusal::Parameter { name: "q", expected: format!("at most {LONGEST} bytes") });
            }
            Ok(Asked::Search(query.to_owned()))
        }
        ["graph", ref rest @ ..] => {
            let (rest, extension) = extension(rest)?;
            let picture = match extension.as_str() {
                "svg" => Picture::Svg,
                "png" => Picture::Png,
                _ => return Err(Refusal::NotFound),
            };
            let theme =
                choice(pairs, "theme", &[("light", Theme::Light), ("dark", Theme::Dark)], Theme::Light)?;
            Ok(Asked::Graph(about(&rest)?, picture, theme))
        }
        ["series", ref rest @ ..] => {
            let (rest, extension) = extension(rest)?;
            Ok(Asked::Series(about(&rest)?, format(&extension)?))
        }
        ["figures", ref rest @ ..] => {
            let (rest, extension) = extension(rest)?;
            Ok(Asked::Figures(about(&rest)?, format(&extension)?))
        }
        ["top", ref rest @ ..] => {
            let (rest, extension) = extension(rest)?;
            let by = match rest.as_slice() {
                [by] => RANKINGS.into_iter().find(|known| known.name() == by),
                _ => None,
            };
            Ok(Asked::Top(by.ok_or(Refusal::NotFound)?, format(&extension)?))
        }
        ref rest => match about(rest)? {
            About::All => Err(Refusal::NotFound),
            about => Ok(Asked::Subject(about)),
        },
    }
}

impl Asked {
    /// Its path, as [`asked`] reads it.
    pub(super) fn path(&self) -> String {
        let file = |format: &Format| match format {
            Format::Csv => "csv",
            Format::Json => "json",
        };
        let picture = |picture: &Picture| match picture {
            Picture::Svg => "svg",
            Picture::Png => "png",
        };
        match self {
            Self::Home => "/".to_owned(),
            Self::Search(_) => "/search".to_owned(),
            Self::Method => "/about".to_owned(),
            Self::Subject(about) => format!("/{}", path_of(about)),
            Self::Graph(about, kind, _) => format!("/graph/{}.{}", path_of(about), picture(kind)),
            Self::Series(about, format) => format!("/series/{}.{}", path_of(about), file(format)),
            Self::Figures(about, format) => format!("/figures/{}.{}", path_of(about), file(format)),
            Self::Top(by, format) => format!("/top/{by}.{}", file(format)),
        }
    }
}

/// The path of a subject's page, without the slash before it, as [`asked`] reads it.
pub(super) fn path_of(about: &About) -> String {
    match about {
        About::All => "all".to_owned(),
        About::As(asn) => format!("as/{asn}"),
        About::Group(key) => format!("group/{}", encoded(key)),
        About::Kind(kind) => format!("kind/{}", encoded(kind)),
        About::Link(link) => format!("link/{}", encoded(link)),
        About::Neighbor(asn) => format!("neighbor/{asn}"),
    }
}

fn about<T: AsRef<str>>(parts: &[T]) -> Result<About, Refusal> {
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    match *parts.as_slice() {
        ["all"] => Ok(About::All),
        ["as", number] => Ok(About::As(asn(number)?)),
        ["neighbor", number] => Ok(About::Neighbor(asn(number)?)),
        ["group", key] if !key.is_empty() => Ok(About::Group(key.to_owned())),
        ["kind", kind] if !kind.is_empty() => Ok(About::Kind(kind.to_owned())),
        ["link", link] if !link.is_empty() => Ok(About::Link(link.to_owned())),
        _ => Err(Refusal::NotFound),
    }
}

fn asn(number: &str) -> Result<Asn, Refusal> {
    number.parse().ok().filter(|&asn| asn != 0).ok_or(Refusal::NotFound)
}

/// The parts of a path, the last one without its extension, and that.
fn extension(parts: &[&str]) -> Result<(Vec<String>, String), Refusal> {
    let mut parts: Vec<String> = parts.iter().map(|&part| part.to_owned()).collect();
    let last = parts.pop().ok_or(Refusal::NotFound)?;
    let (stem, extension) = last.rsplit_once('.').ok_or(Refusal::NotFound)?;
    parts.push(stem.to_owned());
    Ok((parts, extension.to_owned()))
}

fn format(extension: &str) -> Result<Format, Refusal> {
    match extension {
        "csv" => Ok(Format::Csv),
        "json" => Ok(Format::Json),
        _ => Err(Refusal::NotFound),
    }
}

/// The last value of a parameter. Parameters that mean nothing here are passed over: links come with such from elsewhere.
fn last<'a>(pairs: &'a [Pair], name: &str) -> Option<&'a str> {
    pairs.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

fn choice<T: Copy>(
    pairs: &[Pair],
    name: &'static str,
    all: &[(&'static str, T)],
    default: T,
) -> Result<T, Refusal> {
    let Some(value) = last(pairs, name) else { return Ok(default) };
    all.iter().find(|(known, _)| *known == value).map(|&(_, value)| value).ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|&(known, _)| known).collect();
        Refusal::Parameter { name, expected: known.join(", ") }
    })
}

/// What a site lets be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choices {
    pub(crate) lang: Lang,
    pub(crate) spans: Vec<Span>,
    /// The first is the default.
    pub(crate) by: Vec<By>,
}

impl Options {
    /// Reads a URL's query; what it does not say is as the browser wishes, or as the site has it.
    pub(super) fn read(pairs: &[Pair], headers: &HeaderMap, choices: &Choices) -> Result<Self, Refusal> {
        let langs = Lang::ALL.map(|lang| (lang.code(), lang));
        let wished = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let default = Self::default_of(choices);
        let lang = wished.and_then(accepted).unwrap_or(choices.lang);
        let spans: Vec<_> = choices.spans.iter().map(|&span| (span.name(), span)).collect();
        let by: Vec<_> = choices.by.iter().map(|&by| (by.name(), by)).collect();
        let rows = last(pairs, "n").map(|value| ROWS.into_iter().find(|rows| rows.to_string() == value));
        Ok(Self {
            lang: choice(pairs, "lang", &langs, lang)?,
            lang_given: last(pairs, "lang").is_some(),
            span: choice(pairs, "last", &spans, default.span)?,
            by: choice(pairs, "by", &by, default.by)?,
            sort: choice(pairs, "sort", &[("in", Direction::In), ("out", Direction::Out)], default.sort)?,
            rows: match rows {
                None => default.rows,
                Some(Some(rows)) => rows,
                Some(None) => return Err(Refusal::Parameter { name: "n", expected: "20, 100".to_owned() }),
            },
        })
    }

    /// What a site shows where nothing is asked for.
    pub(super) fn default_of(choices: &Choices) -> Self {
        let day = choices.spans.contains(&Span::Day).then_some(Span::Day);
        Self {
            lang: choices.lang,
            lang_given: false,
            span: day.or(choices.spans.first().copied()).unwrap_or(Span::Day),
            by: choices.by.first().copied().unwrap_or_default(),
            sort: Direction::In,
            rows: ROWS[0],
        }
    }

    /// These options as a URL's query, `?` included, defaults left out.
    pub(super) fn query(&self, choices: &Choices) -> String {
        let default = Self::default_of(choices);
        let mut pairs = Vec::new();
        if self.span != default.span {
            pairs.push(("last", self.span.name().to_owned()));
        }
        if self.by != default.by {
            pairs.push(("by", self.by.name().to_owned()));
        }
        if self.sort != default.sort {
            pairs.push(("sort", self.sort.name().to_owned()));
        }
        if self.rows != default.rows {
            pairs.push(("n", self.rows.to_string()));
        }
        if self.lang_given {
            pairs.push(("lang", self.lang.code().to_owned()));
        }
        let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

/// The first language of an `Accept-Language` that is spoken here, by its weights (RFC 9110, 12.5.4).
fn accepted(header: &str) -> Option<Lang> {
    let wishes = header.split(',').take(20).filter_map(|wish| {
        let mut parts = wish.trim().split(';');
        let lang = parts.next()?.split('-').next()?.trim().to_ascii_lowercase().parse::<Lang>().ok()?;
        let weight = parts.find_map(|part| part.trim().strip_prefix("q="));
        let weight = weight.map_or(1.0, |weight| weight.parse::<f32>().unwrap_or(0.0));
        (weight > 0.0).then_some((lang, weight))
    });
    // Of equal weights the first.
    wishes.reduce(|best, wish| if wish.1 > best.1 { wish } else { best }).map(|(lang, _)| lang)
}

/// A part of a path: what is not plain is percent-encoded.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// The text of percent-encoded bytes; `None` if they are no UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let digits = std::str::from_utf8(&digits).ok().filter(|digits| !digits.starts_with('+'))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[(&str, &str)]) -> Vec<Pair> {
        text.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn choices() -> Choices {
        Choices { lang: Lang::En, spans: Span::ALL.to_vec(), by: vec![By::As, By::Group] }
    }

    fn read(text: &[(&str, &str)], language: &str) -> Result<Options, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, language.parse().unwrap());
        Options::read(&pairs(text), &headers, &choices())
    }

    #[test]
    fn paths_are_what_there_is_and_nothing_else() {
        let of = |path: &str| asked(path, &[]).ok();
        assert_eq!(of("/"), Some(Asked::Home));
        assert_eq!(of("/as/2906"), Some(Asked::Subject(About::As(2906))));
        assert_eq!(of("/link/transit a"), Some(Asked::Subject(About::Link("transit a".into()))));
        assert_eq!(of("/graph/all.svg"), Some(Asked::Graph(About::All, Picture::Svg, Theme::Light)));
        assert_eq!(
            of("/graph/group/netflix.png"),
            Some(Asked::Graph(About::Group("netflix".into()), Picture::Png, Theme::Light))
        );
        // Names may have dots in them.
        assert_eq!(
            of("/series/link/eth0.100.json"),
            Some(Asked::Series(About::Link("eth0.100".into()), Format::Json))
        );
        assert_eq!(of("/top/as.csv"), Some(Asked::Top(By::As, Format::Csv)));
        assert_eq!(of("/figures/as/2906.json"), Some(Asked::Figures(About::As(2906), Format::Json)));
        for path in [
            "/all",
            "/as/",
            "/as/0",
            "/as/4294967296",
            "/as/x",
            "/as/1/2",
            "/group/",
            "/top/prefix.csv",
            "/top/as.xml",
            "/graph/all.gif",
            "/graph/all",
            "/graph/",
            "//",
            "/metrics",
            "/api/v1/top",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
        assert_eq!(of(&format!("/group/{}", "x".repeat(81))), None);
        let long = pairs(&[("q", &"x".repeat(81))]);
        assert!(matches!(asked("/search", &long), Err(Refusal::Parameter { name: "q", .. })));
    }

    #[test]
    fn a_path_is_read_back() {
        for about in [
            About::As(2906),
            About::Group("netflix".into()),
            About::Kind("content".into()),
            About::Link("eth0.100".into()),
            About::Link("Über/%? .".into()),
        ] {
            let path = format!("/{}", path_of(&about));
            let parts: Vec<String> = path.split('/').map(|part| decoded(part).unwrap()).collect();
            assert_eq!(self::about(&parts[1..]), Ok(about));
        }
        assert_eq!(decoded("%"), None);
        assert_eq!(decoded("%+1"), None);
        assert_eq!(decoded("%ff"), None);
    }

    #[test]
    fn only_these_values() {
        let default = read(&[], "").unwrap();
        assert_eq!(
            default,
            Options {
                lang: Lang::En,
                lang_given: false,
                span: Span::Day,
                by: By::As,
                sort: Direction::In,
                rows: 20
            }
        );
        assert_eq!(default.query(&choices()), "");
        let all = [("last", "30d"), ("by", "group"), ("sort", "out"), ("n", "100"), ("lang", "fr")];
        let options = read(&all, "").unwrap();
        assert_eq!(options.query(&choices()), "?last=30d&by=group&sort=out&n=100&lang=fr");
        assert_eq!(read(&[("utm_source", "x")], ""), Ok(default));
        for (name, value) in
            [("last", "31d"), ("by", "prefix"), ("sort", "up"), ("n", "1000000"), ("lang", "de"), ("n", "")]
        {
            assert!(
                matches!(read(&[(name, value)], ""), Err(Refusal::Parameter { name: n, .. }) if n == name)
            );
        }
    }

    #[test]
    fn the_language_is_the_readers() {
        for (header, lang) in [
            ("fr", Lang::Fr),
            ("fr-CH, fr;q=0.9, en;q=0.8", Lang::Fr),
            ("de, en-GB;q=0.7, fr;q=0.3", Lang::En),
            ("en;q=0.1, fr;q=0.2", Lang::Fr),
            ("fr;q=0, de", Lang::En),
            ("*", Lang::En),
            (";;q=", Lang::En),
        ] {
            assert_eq!(read(&[], header).unwrap().lang, lang, "{header}");
        }
        assert_eq!(read(&[("lang", "en")], "fr").unwrap().lang, Lang::En);
    }
}
