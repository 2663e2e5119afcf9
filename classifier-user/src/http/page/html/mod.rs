//! Answers as HTML: the frame of every page here, tables in [`table`], graphs with what belongs to them in [`chart`], and a
//! file for each sort of page. Nothing here asks anything: what is shown is what is given.

use jiff::{Timestamp, tz::TimeZone};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    ask::{Choices, Options, Span, path_of},
    assets::ASSETS,
    text::{Messages, fill},
};
use crate::{
    questions::{
        About,
        words::{self, Lang},
    },
    totals::By,
};

pub(super) mod chart;
pub(super) mod home;
pub(super) mod other;
pub(super) mod subject;
mod table;

/// What every part of a page needs to know.
#[derive(Clone, Debug)]
pub(super) struct Context<'a> {
    pub(super) site: String,
    pub(super) public: bool,
    pub(super) contact: Option<&'a str>,
    pub(super) choices: &'a Choices,
    pub(super) options: Options,
    pub(super) text: &'static Messages,
    /// The page's own path, encoded.
    pub(super) path: String,
    pub(super) zone: TimeZone,
}

impl Context<'_> {
    pub(super) fn lang(&self) -> Lang {
        self.options.lang
    }

    /// A path with the options that the reader chose.
    fn url(&self, path: &str) -> String {
        self.url_with(path, self.options)
    }

    fn url_with(&self, path: &str, options: Options) -> String {
        format!("{path}{}", options.query(self.choices))
    }

    /// A subject's page.
    fn url_of(&self, about: &About) -> String {
        // A subject's page is not divided, nor sorted otherwise, unless the reader says so there.
        let options = Options { rows: super::ask::ROWS[0], ..self.options };
        self.url_with(&format!("/{}", path_of(about)), options)
    }

    fn rate(&self, rate: u64) -> String {
        words::bits_per_second(self.lang(), rate)
    }

    fn bytes(&self, bytes: u64) -> String {
        words::bytes(self.lang(), bytes)
    }

    fn percent(&self, share: f64) -> String {
        words::percent(self.lang(), share)
    }

    /// A change, coloured; with words before it for those who do not see the colour.
    fn change(&self, change: Option<f64>, previous: Option<u64>) -> Markup {
        match (change, previous) {
            (Some(change), _) => {
                let text = words::change(self.lang(), change);
                // What wavers is no news.
                let class = match change {
                    change if change >= 0.05 => "up",
                    change if change <= -0.05 => "down",
                    _ => "soft",
                };
                html! { span class=(class) { (text) } }
            }
            (None, Some(0)) => html! { span class="up" { (self.text.new) } },
            (None, _) => html! { span class="soft" { "–" } },
        }
    }

    fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// `the last 24 hours`.
    pub(super) fn period(&self) -> &'static str {
        match self.options.span {
            Span::Hour => self.text.last_hour,
            Span::Day => self.text.last_day,
            Span::Week => self.text.last_week,
            Span::Month => self.text.last_month,
            Span::Year => self.text.last_year,
        }
    }

    /// `Router: the average over the last 24 hours, to …`; with what has to be said of the data.
    fn lead(&self, to: Timestamp) -> Markup {
        let end = words::moment(self.lang(), &to.to_zoned(self.zone.clone()));
        let values = [("who", &*self.site), ("period", self.period()), ("zone", self.zone_name())];
        let lead = fill(self.text.lead, &values);
        let (before, after) = lead.split_once("{end}").unwrap_or((&lead, ""));
        html! {
            (before) time datetime=(to.strftime("%Y-%m-%dT%H:%M:%SZ")) { (end) } (after) " " (self.text.every_packet)
        }
    }

    fn tabs(&self) -> Markup {
        let name = |span| match span {
            Span::Hour => self.text.hour,
            Span::Day => self.text.day,
            Span::Week => self.text.week,
            Span::Month => self.text.month,
            Span::Year => self.text.year,
        };
        html! {
            nav class="tabs" aria-label=(self.text.period) {
                ul {
                    @for &span in &self.choices.spans {
                        @let current = (span == self.options.span).then_some("page");
                        li { a href=(self.url_with(&self.path, Options { span, ..self.options })) aria-current=[current] { (name(span)) } }
                    }
                }
            }
        }
    }

    /// Whether layers are networks or groups, where both are shown.
    fn divisions(&self) -> Markup {
        let name = |by| if by == By::Group { self.text.by_group } else { self.text.by_as };
        html! {
            @if self.choices.by.len() > 1 {
                nav class="tabs small" aria-label=(self.text.by) {
                    ul {
                        @for &by in &self.choices.by {
                            @let current = (by == self.options.by).then_some("true");
                            li { a href=(self.url_with(&self.path, Options { by, ..self.options })) aria-current=[current] { (name(by)) } }
                        }
                    }
                }
            }
        }
    }
}

/// A whole page. One that is `live` is fetched again while it is looked at.
pub(super) fn page(context: &Context<'_>, title: &str, live: bool, main: &Markup) -> String {
    let text = context.text;
    let lang = context.lang();
    let other = lang.pick(Lang::Fr, Lang::En);
    let switched = Options { lang: other, lang_given: true, ..context.options };
    let name_of = |lang: Lang| lang.pick("English", "Français");
    let whole = html! {
        (DOCTYPE)
        html lang=(lang) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – " (context.site) }
                meta name="description" content=(format!("{}: {}", context.site, text.title_home));
                meta name="color-scheme" content="light dark";
                @if !context.public { meta name="robots" content="noindex"; }
                link rel="icon" type="image/svg+xml" href=(ASSETS.icon.path);
                link rel="stylesheet" href=(ASSETS.style.path);
                script src=(ASSETS.script.path) defer {}
            }
            body {
                a class="skip" href="#main" { (text.skip) }
                header class="top" {
                    div class="in" {
                        a class="name" href=(context.url("/")) { (context.site) }
                        nav aria-label=(text.pages) {
                            ul {
                                li { a href=(context.url("/about")) { (text.method) } }
                                li { a href=(context.url_with(&context.path, switched)) lang=(other) hreflang=(other) { (name_of(other)) } }
                            }
                        }
                        form class="search" role="search" action="/search" method="get" {
                            input type="search" name="q" maxlength="80" aria-label=(text.search_hint) placeholder=(text.search_hint);
                            @if context.options.lang_given { input type="hidden" name="lang" value=(lang); }
                            button { (text.search) }
                        }
                    }
                }
                main id="main" class="in" data-refresh=[live.then_some("")] { (main) }
                footer {
                    div class="in" { (foot(context)) }
                }
            }
        }
    };
    whole.into_string()
}

fn foot(context: &Context<'_>) -> Markup {
    let text = context.text;
    // The licence of DB-IP's data asks for a link on every page that shows results from it.
    let dbip = r#"<a href="https://db-ip.com">IP Geolocation by DB-IP</a>"#;
    let home = r#"<a href="https://github.com/classifier-as/classifier">classifier</a>"#;
    html! {
        p { (PreEscaped(fill(text.counted_by, &[("classifier", home)]))) }
        p { (PreEscaped(fill(text.attribution, &[("dbip", dbip)]))) }
        @if let Some(contact) = context.contact {
            @let href = if contact.contains("://") { contact.to_owned() } else { format!("mailto:{contact}") };
            p { (text.contact) (context.lang().pick(": ", "\u{a0}: ")) a href=(href) { (contact) } }
        }
        @if !context.public {
            p {
                a href="/api/v1/status" { "status" } " · " a href="/api/v1/links" { "links" } " · "
                a href="/metrics" { "metrics" }
            }
        }
    }
}
