//! A graph with what belongs to it: legend, the same as a table, and its plain addresses.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{Context, table::chip};
use crate::{
    http::page::{
        ask::{Asked, Format, Picture},
        graph::{
            Chart, lines,
            palette::Colour,
            svg::{Labels, Theme, inline},
        },
        layers::named,
        text::fill,
    },
    model::Direction,
    questions::{
        About,
        answer::{Course, Name, PastAnswer, SeriesAnswer},
        words,
    },
};

/// Lines of the table behind a graph.
const LINES: usize = 31;

/// What a graph shows, ready to be drawn: the answer, its layers' names, and what is said about it.
pub(in crate::http::page) struct Drawing {
    pub(in crate::http::page) chart: Chart,
    pub(in crate::http::page) labels: Labels,
    names: Vec<(String, Colour)>,
}

impl Drawing {
    /// `title` is what the graph is of; the 95th percentiles of `past` are drawn where they are given.
    pub(in crate::http::page) fn of(
        context: &Context<'_>,
        series: &SeriesAnswer,
        past: Option<&PastAnswer>,
        title: String,
    ) -> Self {
        let text = context.text;
        let names = if series.layers.is_empty() {
            vec![(title.clone(), Colour::of_rank(0))]
        } else {
            named(series, context.lang())
        };
        let mut chart = Chart::of(series, &names, context.zone.clone());
        if let Some(past) = past {
            chart.marks = Direction::ALL.map(|direction| {
                past.directions.get(direction).and_then(|figures| figures.p95_bits_per_second)
            });
        }
        if series.total.iter().all(|(_, course)| course.bytes == 0) {
            chart.layers.clear();
        }
        let labels = Labels {
            lang: context.lang(),
            title,
            description: describe(context, series, &chart, &names),
            directions: [text.in_long, text.out_long],
            nothing: text.no_data,
            mark: text.p95,
        };
        Self { chart, labels, names }
    }
}

/// What someone who does not see the graph is told.
fn describe(
    context: &Context<'_>,
    series: &SeriesAnswer,
    chart: &Chart,
    names: &[(String, Colour)],
) -> String {
    let text = context.text;
    let covered: u64 = series.steps.iter().map(|step| u64::from(step.covered_seconds)).sum();
    let average = |course: Option<&Course>| {
        context.rate(crate::history::bits_per_second(course.map_or(0, |course| course.bytes), covered))
    };
    let mut said = fill(
        text.describe,
        &[
            ("period", context.period()),
            ("in", &average(series.total.get(Direction::In))),
            ("out", &average(series.total.get(Direction::Out))),
            ("in_peak", &context.rate(chart.highest(Direction::In))),
            ("out_peak", &context.rate(chart.highest(Direction::Out))),
        ],
    );
    let largest: Vec<&str> = names
        .iter()
        .filter(|(_, colour)| matches!(colour, Colour::Named(0..3)))
        .map(|(name, _)| &**name)
        .collect();
    if series.layers.len() > 1 && !largest.is_empty() {
        said.push(' ');
        said.push_str(&fill(text.describe_largest, &[("names", &largest.join(", "))]));
    }
    said
}

/// The figure on a page.
pub(super) fn figure(
    context: &Context<'_>,
    about: &About,
    series: &SeriesAnswer,
    drawing: &Drawing,
    controls: &Markup,
) -> Markup {
    let text = context.text;
    let address = |asked: &Asked| context.url(&asked.path());
    let data = |format| address(&Asked::Series(about.clone(), format));
    let picture = |picture| address(&Asked::Graph(about.clone(), picture, Theme::Light));
    html! {
        figure class="chart" data-series=(data(Format::Json)) data-in=(text.inward) data-out=(text.outward)
            data-total=(text.total) data-nothing=(text.gap) {
            figcaption class="bar" {
                h2 { (drawing.labels.title) }
                (controls)
            }
            @if drawing.chart.layers.len() > 1 { (legend(context, series, drawing)) }
            div class="plot" { (inline(&drawing.chart, &drawing.labels, "g")) }
            details {
                summary { (text.graph_table) }
                div class="scroll" tabindex="0" role="region" aria-label=(text.graph_table) { (table(context, series, drawing)) }
            }
            p class="more" {
                span {
                    (text.graph_files) " "
                    a href=(picture(Picture::Svg)) { "SVG" } " · " a href=(picture(Picture::Png)) { "PNG" } " · "
                    a href=(data(Format::Csv)) { "CSV" } " · " a href=(data(Format::Json)) { "JSON" }
                }
            }
        }
    }
}

fn legend(context: &Context<'_>, series: &SeriesAnswer, drawing: &Drawing) -> Markup {
    let page = |name: &Name| {
        let about = match name {
            Name { asn: Some(asn), .. } => About::As(*asn),
            Name { group: Some(group), .. } => About::Group(group.clone()),
            _ => return None,
        };
        Some(context.url_of(&about))
    };
    let has_traffic = |layer: &crate::questions::answer::Layer| {
        layer
            .directions
            .iter()
            .any(|(_, course)| course.bits_per_second.iter().flatten().any(|&rate| rate > 0))
    };
    html! {
        ul class="legend" {
            @for (place, (layer, (name, colour))) in series.layers.iter().zip(&drawing.names).enumerate() {
                @if has_traffic(layer) {
                    li data-layer=(place) {
                        (chip(*colour))
                        @match page(&layer.subject) {
                            Some(url) => { a href=(url) { (name) } }
                            None => { span { (name) } }
                        }
                    }
                }
            }
        }
    }
}

fn table(context: &Context<'_>, series: &SeriesAnswer, drawing: &Drawing) -> Markup {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000, "Gbit/s"), (1_000_000, "Mbit/s"), (1000, "kbit/s"), (1, "bit/s")];
    let text = context.text;
    let highest =
        Direction::ALL.map(|direction| drawing.chart.highest(direction)).into_iter().max().unwrap_or(0);
    let (size, unit) = UNITS.into_iter().find(|&(size, _)| highest >= size).unwrap_or((1, "bit/s"));
    let names: Vec<&str> = if series.layers.is_empty() {
        Vec::new()
    } else {
        drawing.names.iter().map(|(name, _)| name.as_str()).collect()
    };
    let decimals = if size == 1 { 0 } else { 2 };
    let number = |rate: u64| words::number(context.lang(), rate as f64 / size as f64, decimals);
    let lines = lines(series, LINES);
    let long = lines.first().is_some_and(|(column, _)| column.to - column.from >= 86_400);
    let time = |second: i64| {
        let at = Timestamp::from_second(second).unwrap_or_default().to_zoned(context.zone.clone());
        if long { words::date(context.lang(), at.date()) } else { words::moment(context.lang(), &at) }
    };
    let columns = names.len() + 1;
    html! {
        table class="plain" {
            caption { (text.graph_caption) " " (unit) }
            thead {
                tr {
                    th rowspan="2" scope="col" { (text.time) }
                    th colspan=(columns) scope="colgroup" { (text.inward) }
                    th colspan=(columns) scope="colgroup" { (text.outward) }
                }
                tr {
                    @for _ in Direction::ALL {
                        th scope="col" { (text.total) }
                        @for name in &names { th scope="col" { (name) } }
                    }
                }
            }
            tbody {
                @for (column, rates) in &lines {
                    tr {
                        th scope="row" { (time(column.from)) }
                        @if column.counted {
                            @for rate in rates.iter().flatten() { td { (number(*rate)) } }
                        } @else {
                            td colspan=(columns * 2) { (text.gap) }
                        }
                    }
                }
            }
        }
    }
}
