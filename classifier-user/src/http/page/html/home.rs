//! The overview.

use maud::{Markup, html};

use super::{
    Context,
    chart::{Drawing, figure},
    page,
    table::Ranking,
};
use crate::{
    http::page::text::fill,
    model::Direction,
    questions::{
        About,
        answer::{PastAnswer, SeriesAnswer},
        words,
    },
    totals::{
        By,
        answer::{SourceStatus, TopAnswer},
    },
};

/// What the overview shows.
pub(in crate::http::page) struct Home<'a> {
    /// All traffic of the last minutes.
    pub(in crate::http::page) now: &'a TopAnswer,
    /// All traffic over the period.
    pub(in crate::http::page) past: &'a PastAnswer,
    /// The graph.
    pub(in crate::http::page) series: &'a SeriesAnswer,
    /// The rankings, each with the courses of its rows.
    pub(in crate::http::page) rankings: &'a [(&'a TopAnswer, Option<&'a SeriesAnswer>)],
    /// Matched bytes by IP bytes of the last hour.
    pub(in crate::http::page) coverage: Option<f64>,
    /// For the operator alone.
    pub(in crate::http::page) warnings: &'a [String],
    /// Peers with stale routes; for the operator alone.
    pub(in crate::http::page) stale: Vec<&'a SourceStatus>,
    pub(in crate::http::page) has_history: bool,
    pub(in crate::http::page) delay_seconds: u64,
}

pub(in crate::http::page) fn draw(context: &Context<'_>, home: &Home<'_>) -> String {
    let text = context.text;
    let title = if context.options.by == By::Group { text.graph_group } else { text.graph_as };
    let drawing = Drawing::of(context, home.series, None, title.to_owned());
    let main = html! {
        div class="head" {
            h1 { (text.title_home) }
            p class="lead" { (context.lead(home.past.to)) (notes(context, home)) }
            @for source in &home.stale { p class="warn" { (stale(context, source)) } }
            @for warning in home.warnings { p class="warn" { (warning) } }
        }
        div class="bar" { (context.tabs()) }
        (figures(context, home))
        (figure(context, &About::All, home.series, &drawing, &context.divisions()))
        @for &(top, trends) in home.rankings { (ranking(context, top, trends)) }
    };
    page(context, text.title_short, true, &main)
}

fn stale(context: &Context<'_>, source: &SourceStatus) -> String {
    let number = |value: u64| words::number(context.options.lang, value as f64, 0);
    let text = if source.up { context.text.stale_up } else { context.text.stale_away };
    let values = [
        ("name", source.name.as_str()),
        ("stale", &number(source.stale)),
        ("routes", &number(source.prefixes)),
    ];
    fill(text, &values)
}

fn ranking(context: &Context<'_>, top: &TopAnswer, trends: Option<&SeriesAnswer>) -> Markup {
    let text = context.text;
    let period = [("period", context.period())];
    let (heading, about) = match top.by {
        By::Group => (text.groups, fill(text.groups_of, &period)),
        By::Kind => (text.kinds, fill(text.kinds_of, &period)),
        By::Link => (text.links, fill(text.links_of, &period)),
        By::Neighbor => (text.neighbors, fill(text.neighbors_of, &period)),
        By::As | By::Prefix | By::Transit => (text.networks, fill(text.networks_of, &period)),
    };
    let coloured = top.by == context.options.by;
    Ranking { top, heading, about, trends, coloured, whole: true, files: true }.draw(context)
}

/// What has to be said of the data.
fn notes(context: &Context<'_>, home: &Home<'_>) -> Markup {
    let text = context.text;
    html! {
        @if home.delay_seconds > 0 {
            " " (fill(text.delayed, &[("delay", &words::duration(context.lang(), home.delay_seconds))]))
        }
        (super::subject::gaps(context, home.past))
        @if !home.has_history { " " (text.no_history) }
    }
}

fn figures(context: &Context<'_>, home: &Home<'_>) -> Markup {
    let text = context.text;
    let now = |direction| home.now.directions.get(direction).map_or(0, |part| part.total.bits_per_second);
    let over = |direction| {
        let figures = home.past.directions.get(direction);
        html! {
            @if let Some(figures) = figures {
                (fill(text.average, &[("rate", &context.rate(figures.bits_per_second))])) ", "
                (context.bytes(figures.bytes))
                @if figures.previous_bytes.is_some() { " " (context.change(figures.change, figures.previous_bytes)) }
            }
        }
    };
    let ipv6 = |direction| home.past.directions.get(direction).and_then(|figures| figures.ipv6_share);
    let p95 = |direction| home.past.directions.get(direction).and_then(|figures| figures.p95_bits_per_second);
    html! {
        dl class="figures" aria-label=(text.figures) {
            @for (direction, name) in [(Direction::In, text.now_in), (Direction::Out, text.now_out)] {
                div {
                    dt { (name) }
                    dd class="big" { (context.rate(now(direction))) }
                    dd class="sub" { (over(direction)) }
                }
            }
            @if let (Some(larger), Some(inward), Some(outward)) = (home.past.p95_bits_per_second, p95(Direction::In), p95(Direction::Out)) {
                div {
                    dt { (text.p95) }
                    dd class="big" { (context.rate(larger)) }
                    dd class="sub" { (fill(text.p95_of, &[("in", &context.rate(inward)), ("out", &context.rate(outward))])) }
                }
            }
            @if let Some(share) = ipv6(Direction::In) {
                div {
                    dt { (text.ipv6) }
                    dd class="big" { (context.percent(share)) }
                    dd class="sub" {
                        @let out = ipv6(Direction::Out).map_or_else(|| "–".to_owned(), |share| context.percent(share));
                        (fill(text.ipv6_of, &[("out", &out)]))
                    }
                }
            }
            @if let Some(coverage) = home.coverage {
                div {
                    dt { (text.coverage) }
                    dd class="big" { (context.percent(coverage)) }
                    dd class="sub" { (text.coverage_of) }
                }
            }
        }
    }
}
