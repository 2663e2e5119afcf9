//! Rankings and other tables.

use maud::{Markup, html};

use super::Context;
use crate::{
    http::page::{
        ask::{Asked, Format, Options, ROWS},
        graph::{palette::Colour, spark::spark},
        rules::is_row,
        text::fill,
    },
    model::Direction,
    questions::{
        About,
        answer::{Layer, LinkFigures, MonthAnswer, Name, SeriesAnswer},
        words,
    },
    totals::{
        By,
        answer::{Part, Row, TopAnswer, TopDirection},
    },
};

/// How wide a share's bar is at most.
const BAR: f64 = 64.0;

/// A ranking to show.
#[derive(Debug)]
pub(super) struct Ranking<'a> {
    pub(super) top: &'a TopAnswer,
    pub(super) heading: &'static str,
    pub(super) about: String,
    /// Courses for the trends.
    pub(super) trends: Option<&'a SeriesAnswer>,
    /// Whether the graph above has a layer a row: the rows then have its colours.
    pub(super) coloured: bool,
    /// Whether the rows are all that there is of the answer, or a choice of them.
    pub(super) whole: bool,
    /// Whether the table has addresses as CSV and JSON.
    pub(super) files: bool,
}

impl Ranking<'_> {
    pub(super) fn draw(&self, context: &Context<'_>) -> Markup {
        let text = context.text;
        let sort = context.options.sort;
        let by = self.top.by;
        let Some(sorted) = self.top.directions.get(sort) else { return html! {} };
        let rows: Vec<&Row> = sorted.rows.iter().take(context.options.rows).collect();
        let most = |direction| {
            let part = self.top.directions.get(direction);
            part.and_then(|part| part.rows.first()).map_or(1.0, |row| row.share.max(1e-9))
        };
        let id = format!("t-{by}");
        let who = match by {
            By::Group => text.group,
            By::Kind => text.kind,
            By::Link => text.link,
            By::As | By::Prefix | By::Transit => text.network,
            By::Neighbor => text.neighbor,
        };
        let sort_link = |direction, name: &str, hint| {
            let url = context.url_with(&context.path, Options { sort: direction, ..context.options });
            let url = format!("{url}#{id}");
            html! {
                @if direction == sort { b { (name) span aria-hidden="true" { " ▼" } } } @else { a href=(url) title=(hint) { (name) } }
            }
        };
        let aria_sort = |direction| (direction == sort).then_some("descending");
        // The whole of it for those who hear the table and do not see what is beside it.
        let short = |name: &str, whole: &str| {
            html! { span aria-hidden="true" { (name) } span class="hidden" { (whole) } }
        };
        html! {
            section id=(id) aria-labelledby=(format!("{id}-h")) {
                h2 id=(format!("{id}-h")) { (self.heading) }
                p { (self.about) }
                table {
                    caption class="hidden" { (self.heading) }
                    thead {
                        tr {
                            th class="rank" scope="col" { span aria-hidden="true" { "#" } span class="hidden" { (text.rank) } }
                            th class="who" scope="col" { (who) }
                            th scope="col" aria-sort=[aria_sort(Direction::In)] { (sort_link(Direction::In, text.inward, text.sort_in)) }
                            th scope="col" class="wide" { (short(text.share, text.share_in)) }
                            th scope="col" class="mid" { (short(text.change, text.change_in)) }
                            @if self.trends.is_some() { th scope="col" class="mid" { (text.trend) } }
                            th scope="col" class="apart" aria-sort=[aria_sort(Direction::Out)] { (sort_link(Direction::Out, text.outward, text.sort_out)) }
                            th scope="col" class="wide" { (short(text.share, text.share_out)) }
                            th scope="col" class="wide" { (short(text.change, text.change_out)) }
                        }
                    }
                    tbody {
                        @for row in &rows {
                            tr {
                                td class="rank" { (row.rank) }
                                th class=(if self.coloured { "who chipped" } else { "who" }) scope="row" { (self.who(context, row)) }
                                (self.inward(context, row, most(Direction::In)))
                                (self.outward(context, row, most(Direction::Out)))
                            }
                        }
                    }
                    @if self.whole { (self.foot(context, rows.len())) }
                }
                (self.more(context, sorted))
            }
        }
    }

    /// The row of the same subject in a direction.
    fn find(&self, row: &Row, direction: Direction) -> Option<&Row> {
        let name = name_of(row);
        self.top.directions.get(direction)?.rows.iter().find(|other| is_row(other, self.top.by, &name))
    }

    fn layer(&self, row: &Row) -> Option<(usize, &Layer)> {
        let trends = self.trends?;
        trends.layers.iter().enumerate().find(|(_, layer)| is_row(row, self.top.by, &layer.subject))
    }

    fn who(&self, context: &Context<'_>, row: &Row) -> Markup {
        let name = row.name.as_deref();
        let colour = self.layer(row).map(|(place, _)| Colour::of_rank(place)).filter(|_| self.coloured);
        html! {
            @if let Some(colour) = colour.filter(|colour| *colour != Colour::Other) { (chip(colour)) }
            @match self.top.by {
                By::As | By::Prefix | By::Neighbor | By::Transit => {
                    @let asn = row.asn.unwrap_or_default();
                    @let about = if self.top.by == By::Neighbor { About::Neighbor(asn) } else { About::As(asn) };
                    a href=(context.url_of(&about)) { (name.map_or_else(|| format!("AS{asn}"), str::to_owned)) }
                    small { "AS" (asn) }
                }
                By::Group => {
                    @let key = row.group.clone().unwrap_or_default();
                    a href=(context.url_of(&About::Group(key.clone()))) { (name.unwrap_or(&key)) }
                }
                By::Kind => {
                    @let kind = row.kind.clone().unwrap_or_default();
                    a href=(context.url_of(&About::Kind(kind.clone()))) { (kind) }
                }
                By::Link => {
                    @let link = row.link.clone().unwrap_or_default();
                    a href=(context.url_of(&About::Link(link.clone()))) { (link) }
                }
            }
        }
    }

    fn inward(&self, context: &Context<'_>, row: &Row, most: f64) -> Markup {
        let course = self.layer(row).and_then(|(_, layer)| layer.directions.get(context.options.sort));
        html! {
            @match self.find(row, Direction::In) {
                Some(own) => {
                    td class="rate" { (context.rate(own.bits_per_second)) (narrow(context, own.share)) }
                    td class="share wide" { (bar(own.share / most)) span { (context.percent(own.share)) } }
                    td class="mid" { (context.change(own.change, own.previous_bytes)) }
                }
                None => {
                    td class="soft" { "–" } td class="wide soft" { "–" } td class="mid soft" { "–" }
                }
            }
            @if self.trends.is_some() {
                td class="mid" { @if let Some(course) = course { (spark(&course.bits_per_second)) } }
            }
        }
    }

    fn outward(&self, context: &Context<'_>, row: &Row, most: f64) -> Markup {
        match self.find(row, Direction::Out) {
            Some(own) => html! {
                td class="rate apart" { (context.rate(own.bits_per_second)) (narrow(context, own.share)) }
                td class="share wide" { (bar(own.share / most)) span { (context.percent(own.share)) } }
                td class="wide" { (context.change(own.change, own.previous_bytes)) }
            },
            None => html! {
                td class="apart soft" { "–" } td class="wide soft" { "–" } td class="wide soft" { "–" }
            },
        }
    }

    /// What is in no row, and the total.
    fn foot(&self, context: &Context<'_>, shown: usize) -> Markup {
        let text = context.text;
        let inward = self.top.directions.get(Direction::In).map(|part| Sums::of(part, shown));
        let outward = self.top.directions.get(Direction::Out).map(|part| Sums::of(part, shown));
        let lines: [(&str, Line); 4] = [
            (text.other, |sums| sums.other),
            (text.no_path, |sums| sums.no_path),
            (text.unmatched, |sums| sums.unmatched),
            (text.non_ip, |sums| sums.non_ip),
        ];
        let of = |sums: Option<&Sums>, line: Line| sums.map_or((0, 0.0), line);
        html! {
            tfoot {
                @for (label, line) in lines {
                    @let (in_rate, in_share) = of(inward.as_ref(), line);
                    @let (out_rate, out_share) = of(outward.as_ref(), line);
                    @if in_rate > 0 || out_rate > 0 {
                        tr {
                            td {}
                            th class=(if self.coloured { "who chipped" } else { "who" }) scope="row" { (label) }
                            td { (context.rate(in_rate)) (narrow(context, in_share)) }
                            td class="wide" { (context.percent(in_share)) }
                            td class="mid" {}
                            @if self.trends.is_some() { td class="mid" {} }
                            td class="apart" { (context.rate(out_rate)) (narrow(context, out_share)) }
                            td class="wide" { (context.percent(out_share)) }
                            td class="wide" {}
                        }
                    }
                }
                @let parts = [self.top.directions.get(Direction::In), self.top.directions.get(Direction::Out)];
                tr {
                    td {}
                    th class=(if self.coloured { "who chipped" } else { "who" }) scope="row" { (text.all) }
                    @let [inward, outward] = parts;
                    td { (context.rate(inward.map_or(0, |part| part.total.bits_per_second))) }
                    td class="wide" {}
                    td class="mid" { @if let Some(part) = inward { (context.change(part.change, part.previous_bytes)) } }
                    @if self.trends.is_some() { td class="mid" {} }
                    td class="apart" { (context.rate(outward.map_or(0, |part| part.total.bits_per_second))) }
                    td class="wide" {}
                    td class="wide" { @if let Some(part) = outward { (context.change(part.change, part.previous_bytes)) } }
                }
            }
        }
    }

    fn more(&self, context: &Context<'_>, sorted: &TopDirection) -> Markup {
        let text = context.text;
        let rows = context.options.rows;
        let other = if rows == ROWS[0] { ROWS[1] } else { ROWS[0] };
        let useful = sorted.rows.len() > ROWS[0];
        let url = context.url_with(&context.path, Options { rows: other, ..context.options });
        let file = |format| context.url(&Asked::Top(self.top.by, format).path());
        html! {
            p class="more" {
                @if useful {
                    a href=(format!("{url}#t-{}", self.top.by)) { (fill(text.more, &[("n", &other.to_string())])) }
                }
                @if self.files {
                    span {
                        (text.table_files) " " a href=(file(Format::Csv)) { "CSV" } " · " a href=(file(Format::Json)) { "JSON" }
                    }
                }
            }
        }
    }
}

/// A rate and a share of [`Sums`].
type Line = fn(&Sums) -> (u64, f64);

/// Sums below a table: the rows that are not shown are in `other`.
#[derive(Clone, Copy, Debug)]
struct Sums {
    other: (u64, f64),
    no_path: (u64, f64),
    unmatched: (u64, f64),
    non_ip: (u64, f64),
}

impl Sums {
    fn of(part: &TopDirection, shown: usize) -> Self {
        let of = |part: &Part| (part.bits_per_second, part.share);
        let (rate, share) = of(&part.other);
        let rest = part.rows.iter().skip(shown);
        let other = rest.fold((rate, share), |(rate, share), row| {
            (rate.saturating_add(row.bits_per_second), share + row.share)
        });
        let no_path = part.no_path.as_ref().map_or((0, 0.0), of);
        Self { other, no_path, unmatched: of(&part.unmatched), non_ip: of(&part.non_ip) }
    }
}

/// A small square of a layer's colour.
pub(super) fn chip(colour: Colour) -> Markup {
    html! {
        svg class="chip" viewBox="0 0 1 1" aria-hidden="true" { rect class=(colour.class()) width="1" height="1" rx=".2" {} }
    }
}

/// A bar for a share of the largest.
fn bar(part: f64) -> Markup {
    let width = (part.clamp(0.0, 1.0) * BAR).round();
    html! {
        svg width=(BAR) height="8" aria-hidden="true" {
            rect class="track" width=(BAR) height="8" rx="1" {}
            rect class="fill" width=(width) height="8" rx="1" {}
        }
    }
}

/// A share below its rate, where there is no room for a column.
fn narrow(context: &Context<'_>, share: f64) -> Markup {
    html! { small class="narrow" aria-hidden="true" { (context.percent(share)) } }
}

fn name_of(row: &Row) -> Name {
    Name {
        asn: row.asn,
        group: row.group.clone(),
        kind: row.kind.clone(),
        link: row.link.clone(),
        ..Name::default()
    }
}

/// A subject's traffic by link.
pub(super) fn by_link(context: &Context<'_>, links: &[LinkFigures]) -> Markup {
    let text = context.text;
    html! {
        @if !links.is_empty() {
            section {
                h2 { (text.by_link) }
                p { (fill(text.by_link_of, &[("period", context.period())])) }
                table {
                    caption class="hidden" { (text.by_link) }
                    thead {
                        tr {
                            th class="who" scope="col" { (text.link) }
                            th scope="col" { (text.inward) }
                            th scope="col" { (text.outward) }
                            th scope="col" class="mid" { (text.peak_in) }
                            th scope="col" class="mid" { (text.p95_in) }
                        }
                    }
                    tbody {
                        @for link in links {
                            @let inward = link.directions.get(Direction::In);
                            @let outward = link.directions.get(Direction::Out);
                            tr {
                                th class="who" scope="row" { a href=(context.url_of(&About::Link(link.link.clone()))) { (link.link) } }
                                td class="rate" { (inward.map_or_else(|| "–".to_owned(), |figures| context.rate(figures.bits_per_second))) }
                                td { (outward.map_or_else(|| "–".to_owned(), |figures| context.rate(figures.bits_per_second))) }
                                td class="mid" { (inward.and_then(|figures| figures.peak).map_or_else(|| "–".to_owned(), |peak| context.rate(peak.bits_per_second))) }
                                td class="mid" { (inward.and_then(|figures| figures.p95_bits_per_second).map_or_else(|| "–".to_owned(), |rate| context.rate(rate))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Months that are over, the newest first.
pub(super) fn months(context: &Context<'_>, months: &[MonthAnswer]) -> Markup {
    let text = context.text;
    html! {
        @if !months.is_empty() {
            section {
                h2 { (text.months) }
                p { (text.months_of) }
                table {
                    caption class="hidden" { (text.months) }
                    thead {
                        tr {
                            th class="who" scope="col" { (text.a_month) }
                            th scope="col" { (text.p95) }
                            th scope="col" class="wide" { (text.p95_in) }
                            th scope="col" class="wide" { (text.p95_out) }
                            th scope="col" { (text.volume_in) }
                            th scope="col" class="mid" { (text.volume_out) }
                            th scope="col" class="mid" { (text.counted) }
                        }
                    }
                    tbody {
                        @for month in months.iter().rev() {
                            tr {
                                th class="who" scope="row" { (words::month(context.lang(), month.from.to_zoned(context.zone.clone()).date())) }
                                td class="rate" { (context.rate(month.p95)) }
                                td class="wide" { (context.rate(month.p95_in)) }
                                td class="wide" { (context.rate(month.p95_out)) }
                                td { (context.bytes(month.bytes_in)) }
                                td class="mid" { (context.bytes(month.bytes_out)) }
                                td class="mid" { (context.percent(month.covered)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
