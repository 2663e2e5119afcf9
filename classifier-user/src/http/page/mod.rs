//! The pages for people, with their graphs and tables as files of their own.
//!
//! Reading order: [`ask`] (what a URL asks for), [`site`] (where answers come from) and [`rules`] (what of them is
//! published), here (which answers a page is made of), [`html`] (pages), [`graph`] (SVG and PNG), [`files`] (CSV and
//! JSON), [`text`] (what is said, in each language), [`assets`] (style and script).

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::Response,
};

mod ask;
mod assets;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod browser_tests;
mod files;
mod graph;
mod html;
mod layers;
mod rules;
mod site;
#[cfg(test)]
mod tests;
mod text;
#[cfg(test)]
pub(super) mod world;

pub(super) use self::{ask::Choices, site::Site};
use self::{
    ask::{Asked, Format, Options, Picture, ROWS, Refusal, asked, decoded},
    assets::ASSETS,
    graph::{
        palette::NAMED,
        png::png,
        svg::{Theme, alone},
    },
    html::{
        Context,
        chart::Drawing,
        home::{self, Home},
        other,
        subject::{self, Subject},
    },
    text::{fill, messages},
};
use crate::{
    model::{LinkKind, Role},
    questions::{About, answer::SeriesAnswer, words},
    totals::{By, QueryError, answer::TopAnswer, query::Pair},
};

/// A page or a file.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    kind: &'static str,
    body: Bytes,
    /// Whether it may be kept for ever: its address changes with it.
    fixed: bool,
}

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const CSV: &str = "text/csv; charset=utf-8";
const SVG: &str = "image/svg+xml";
const PNG: &str = "image/png";

impl Reply {
    fn ok(kind: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, kind, body: body.into(), fixed: false }
    }

    /// Bytes of its content.
    pub(super) fn size(&self) -> usize {
        self.body.len()
    }

    /// As a response that may be kept for so many seconds.
    pub(super) fn response(&self, keep_seconds: Option<u64>) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        let keep = match (self.fixed, keep_seconds) {
            (true, _) => "public, max-age=31536000, immutable".to_owned(),
            (false, Some(seconds)) if self.status == StatusCode::OK => format!("public, max-age={seconds}"),
            (false, _) => "no-store".to_owned(),
        };
        // A drawing that is opened by itself is coloured by a style of its own.
        let style = if self.kind == SVG { "'unsafe-inline'" } else { "'self'" };
        let policy = format!(
            "default-src 'none'; style-src {style}; script-src 'self'; font-src 'self'; img-src 'self'; \
             connect-src 'self'; form-action 'self'; base-uri 'none'"
        );
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        for (name, value) in [(header::CACHE_CONTROL, keep), (header::CONTENT_SECURITY_POLICY, policy)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Language"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

/// A question that can be answered. Equal ones have equal answers, as long as nothing new was counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    asked: Asked,
    options: Options,
}

impl Question {
    /// Whether there are only so many such questions.
    pub(super) fn is_bounded(&self) -> bool {
        !matches!(self.asked, Asked::Search(_))
    }
}

/// What a request asks for; or at once the reply to it, where there is nothing to be asked.
pub(super) fn read(site: &Site, uri: &Uri, headers: &HeaderMap) -> Result<Question, Reply> {
    if let Some(asset) = ASSETS.find(uri.path()) {
        return Err(Reply { fixed: true, ..Reply::ok(asset.content_type, &*asset.content) });
    }
    let pairs = pairs(uri);
    let options = Options::read(&pairs, headers, &site.choices);
    // What is wrong is said in the language that was asked for, as far as that is known.
    let fallback = Options::read(&[], headers, &site.choices);
    let (options, fallback) = match (options, fallback) {
        (Ok(options), _) => (Ok(options), options),
        (Err(refusal), Ok(fallback)) => (Err(refusal), fallback),
        (Err(refusal), Err(_)) => (Err(refusal), Options::default_of(&site.choices)),
    };
    let path = decoded(uri.path());
    let asked = path.as_deref().ok_or(Refusal::NotFound).and_then(|path| asked(path, &pairs));
    match (asked, options) {
        (Ok(asked), Ok(options)) => Ok(Question { options: relevant(&asked, options, &site.choices), asked }),
        (Err(refusal), _) | (_, Err(refusal)) => Err(refused(site, fallback, &refusal)),
    }
}

/// The options that make a difference.
fn relevant(asked: &Asked, options: Options, choices: &Choices) -> Options {
    let plain = Options::default_of(choices);
    match asked {
        Asked::Home | Asked::Subject(_) => options,
        Asked::Search(_) | Asked::Method => {
            Options { lang: options.lang, lang_given: options.lang_given, ..plain }
        }
        Asked::Graph(..) => Options { lang: options.lang, span: options.span, by: options.by, ..plain },
        Asked::Series(..) | Asked::Figures(..) => Options { span: options.span, by: options.by, ..plain },
        Asked::Top(..) => Options { span: options.span, rows: options.rows, ..plain },
    }
}

fn pairs(uri: &Uri) -> Vec<Pair> {
    const MOST: usize = 32;
    let text = |text: &str| decoded(&text.replace('+', " ")).unwrap_or_default();
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (text(name), text(value))
    };
    uri.query().unwrap_or_default().split('&').take(MOST).map(pair).collect()
}

/// Whatever the answer is.
pub(super) fn answer(site: &Site, question: &Question) -> Reply {
    let maker = Maker { site, options: question.options };
    match maker.make(&question.asked) {
        Ok(Some(reply)) => reply,
        Ok(None) => refused(site, question.options, &Refusal::NotFound),
        Err(error) => maker.failed(&error),
    }
}

fn refused(site: &Site, options: Options, refusal: &Refusal) -> Reply {
    let maker = Maker { site, options };
    let text = messages(options.lang);
    match refusal {
        Refusal::NotFound => maker.message(StatusCode::NOT_FOUND, text.not_found, text.not_found_help),
        Refusal::Parameter { name, expected } => {
            maker.message(StatusCode::BAD_REQUEST, text.bad_request, &format!("{name}: {expected}"))
        }
    }
}

/// What is said when there are too many questions at a time.
pub(super) fn busy(site: &Site, question: &Question) -> Reply {
    let text = messages(question.options.lang);
    let maker = Maker { site, options: question.options };
    maker.message(StatusCode::SERVICE_UNAVAILABLE, text.busy, text.busy_help)
}

/// What is said when a page could not be made: a bug.
pub(super) fn broken(site: &Site, question: &Question) -> Reply {
    let text = messages(question.options.lang);
    let maker = Maker { site, options: question.options };
    maker.message(StatusCode::INTERNAL_SERVER_ERROR, text.broken, "")
}

/// Makes replies with these options.
struct Maker<'a> {
    site: &'a Site,
    options: Options,
}

type Made = Result<Option<Reply>, QueryError>;

impl Maker<'_> {
    fn make(&self, asked: &Asked) -> Made {
        match asked {
            Asked::Home => self.home(),
            Asked::Subject(about) => self.of(about, |about| self.subject(about)),
            Asked::Search(query) => self.search(query),
            Asked::Method => self.method(),
            Asked::Graph(about, picture, theme) => {
                self.of(about, |about| self.graph(about, *picture, *theme))
            }
            Asked::Series(about, format) => self.of(about, |about| self.series_file(about, *format)),
            Asked::Figures(about, format) => self.of(about, |about| self.figures_file(about, *format)),
            Asked::Top(by, format) => self.top_file(*by, *format),
        }
    }

    /// Goes on with a subject that there is and that may be shown.
    fn of(&self, about: &About, make: impl FnOnce(&About) -> Made) -> Made {
        match self.site.find(about, self.options.span)? {
            Some(about) => make(&about),
            None => Ok(None),
        }
    }

    fn context(&self, path: String) -> Context<'_> {
        Context {
            site: self.site.title(),
            public: self.site.is_public(),
            contact: self.site.contact.as_deref(),
            choices: &self.site.choices,
            options: self.options,
            text: messages(self.options.lang),
            path,
            zone: self.site.zone(),
        }
    }

    fn home(&self) -> Made {
        let site = self.site;
        let span = self.options.span;
        let past = site.past(&About::All, span)?;
        let now = site.now()?;
        let mut rankings = Vec::new();
        for &by in &site.choices.by {
            let trends = site.series(&About::All, by, span, self.options.rows)?;
            rankings.push((site.top(by, span)?, Some(trends)));
        }
        rankings.push((site.top(By::Link, span)?, None));
        if let Some(neighbors) = site.neighbors(span)? {
            rankings.push((neighbors, None));
        }
        let rankings: Vec<(&TopAnswer, Option<&SeriesAnswer>)> =
            rankings.iter().map(|(top, trends)| (&**top, trends.as_ref())).collect();
        let shown =
            rankings.iter().find(|(top, _)| top.by == self.options.by).and_then(|(_, trends)| *trends);
        let series = match shown {
            Some(series) => site.first_layers(series, NAMED),
            None => self.layered(&About::All)?,
        };
        let status = site.status();
        let (warnings, sources) = if site.is_public() {
            (&[][..], &[][..])
        } else {
            (&status.warnings[..], &status.table.sources[..])
        };
        let home = Home {
            now: &now,
            past: &past,
            series: &series,
            rankings: &rankings,
            coverage: status.coverage,
            warnings,
            stale: sources.iter().filter(|source| source.stale > 0).collect(),
            has_history: site.has_history() || site.is_public(),
            delay_seconds: site.delay().as_secs(),
        };
        Ok(Some(Reply::ok(HTML, home::draw(&self.context("/".to_owned()), &home))))
    }

    /// The course of a subject as it is drawn and written: in layers where there are any, small ones put together.
    fn layered(&self, about: &About) -> Result<SeriesAnswer, QueryError> {
        let series = self.site.series(about, self.options.by, self.options.span, self.options.rows)?;
        Ok(self.site.first_layers(&series, NAMED))
    }

    fn subject(&self, about: &About) -> Made {
        let site = self.site;
        let span = self.options.span;
        let past = site.past(about, span)?;
        let whole = site.series(about, self.options.by, span, self.options.rows)?;
        let series = site.first_layers(&whole, NAMED);
        let (group, members) = match about {
            About::As(asn) => (site.group_of(*asn), None),
            About::Group(key) => (site.group(key), site.members(key, span)?),
            About::Kind(kind) => (None, Some(site.groups_of_kind(kind, span)?)),
            About::Link(link) => (None, Some(site.top_of_link(link, self.options.by, span)?)),
            About::All | About::Neighbor(_) => (None, None),
        };
        let trends = matches!(about, About::Link(_)).then_some(&whole);
        let subject = Subject {
            about,
            name: self.name(about, past.subject.name.as_deref()),
            past: &past,
            series: &series,
            group: group.as_ref(),
            members: members.as_ref(),
            trends,
            link: self.link_words(about),
        };
        let path = Asked::Subject(about.clone()).path();
        Ok(Some(Reply::ok(HTML, subject::draw(&self.context(path), &subject))))
    }

    fn name(&self, about: &About, known: Option<&str>) -> String {
        match (about, known) {
            (_, Some(name)) => name.to_owned(),
            (About::As(asn) | About::Neighbor(asn), None) => format!("AS{asn}"),
            (About::Group(name) | About::Kind(name) | About::Link(name), None) => name.clone(),
            (About::All, None) => messages(self.options.lang).all.to_owned(),
        }
    }

    /// What a link is, where it is still one.
    fn link_words(&self, about: &About) -> Option<&'static str> {
        let About::Link(name) = about else { return None };
        let text = messages(self.options.lang);
        let status = self.site.status();
        let link = status.links.iter().find(|link| link.name == *name)?;
        Some(match (link.kind, link.role) {
            (Some(LinkKind::Transit), _) => text.transit,
            (Some(LinkKind::Ix), _) => text.ix,
            (Some(LinkKind::Pni), _) => text.pni,
            (Some(LinkKind::Customer), _) => text.customer,
            (None, Role::Downstream) => text.downstream,
            (None, Role::Upstream) => text.upstream,
        })
    }

    fn search(&self, query: &str) -> Made {
        let found = self.site.search(query, self.options.span)?;
        let context = self.context("/search".to_owned());
        Ok(Some(Reply::ok(HTML, other::search(&context, query, &found))))
    }

    fn method(&self) -> Made {
        let status = (!self.site.is_public()).then(|| self.site.status());
        let context = self.context("/about".to_owned());
        Ok(Some(Reply::ok(HTML, other::method(&context, status.as_ref()))))
    }

    fn graph(&self, about: &About, picture: Picture, theme: Theme) -> Made {
        let series = self.layered(about)?;
        let text = messages(self.options.lang);
        let context = self.context(String::new());
        let past = match about {
            About::All => None,
            about => Some(self.site.past(about, self.options.span)?),
        };
        let title = match about {
            About::All if self.options.by == By::Group => text.graph_group.to_owned(),
            About::All => text.graph_as.to_owned(),
            About::Link(link) => fill(text.on_a_link, &[("name", link)]),
            About::Neighbor(_) => {
                let name = past.as_ref().and_then(|past| past.subject.name.as_deref());
                fill(text.by_a_neighbor, &[("name", &self.name(about, name))])
            }
            about => {
                let name = past.as_ref().and_then(|past| past.subject.name.as_deref());
                fill(text.graph_of, &[("name", &self.name(about, name))])
            }
        };
        let drawing = Drawing::of(&context, &series, past.as_ref(), title);
        let end = words::moment(self.options.lang, &series.to.to_zoned(context.zone.clone()));
        let zone = context.zone.iana_name().unwrap_or("UTC");
        let values = [("who", &*context.site), ("end", &end), ("zone", zone)];
        let source = fill(text.graph_source, &values);
        let subtitle = format!("{}, {}", context.site, context.period());
        let svg = alone(&drawing.chart, &drawing.labels, theme, &subtitle, &source);
        Ok(Some(match picture {
            Picture::Svg => Reply::ok(SVG, svg),
            Picture::Png => match png(&svg) {
                Ok(png) => Reply::ok(PNG, png),
                Err(error) => {
                    tracing::error!(%error, "a graph could not be drawn");
                    self.message(StatusCode::INTERNAL_SERVER_ERROR, text.broken, "")
                }
            },
        }))
    }

    fn series_file(&self, about: &About, format: Format) -> Made {
        let series = self.layered(about)?;
        Ok(Some(match format {
            Format::Csv => Reply::ok(CSV, files::series_csv(&series)),
            Format::Json => json(&series),
        }))
    }

    fn figures_file(&self, about: &About, format: Format) -> Made {
        let past = self.site.past(about, self.options.span)?;
        Ok(Some(match format {
            Format::Csv => Reply::ok(CSV, files::figures_csv(&past)),
            Format::Json => json(&past),
        }))
    }

    fn top_file(&self, by: By, format: Format) -> Made {
        // A ranking that no page has is in no file; that of links is on every overview.
        let has = self.site.choices.by.contains(&by) || by == By::Link;
        if !has && (!matches!(by, By::Kind | By::Neighbor) || self.site.is_public()) {
            return Ok(None);
        }
        let top = self.site.first_rows(&*self.site.top(by, self.options.span)?, ROWS[1]);
        Ok(Some(match format {
            Format::Csv => Reply::ok(CSV, files::top_csv(&top, ROWS[1])),
            Format::Json => json(&top),
        }))
    }

    fn message(&self, status: StatusCode, heading: &str, what: &str) -> Reply {
        let html = other::message(&self.context("/".to_owned()), heading, what);
        Reply { status, ..Reply::ok(HTML, html) }
    }

    fn failed(&self, error: &QueryError) -> Reply {
        let text = messages(self.options.lang);
        match error {
            QueryError::NotFound { .. } | QueryError::Ambiguous { .. } => {
                self.message(StatusCode::NOT_FOUND, text.not_found, text.not_found_help)
            }
            // What went wrong inside is the operator's business.
            error if self.site.is_public() => {
                tracing::warn!(%error, "a public page could not be made");
                self.message(StatusCode::SERVICE_UNAVAILABLE, text.broken, text.busy_help)
            }
            error => {
                let what = fill(text.unavailable, &[("why", &error.to_string())]);
                self.message(StatusCode::SERVICE_UNAVAILABLE, text.broken, &what)
            }
        }
    }
}

fn json(answer: &impl serde::Serialize) -> Reply {
    // Answers are numbers, texts and times: they always are JSON.
    Reply::ok(JSON, serde_json::to_vec(answer).unwrap_or_default())
}
