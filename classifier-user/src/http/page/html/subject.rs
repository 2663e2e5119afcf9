//! The page of one AS, group, kind, link or neighbour.

use maud::{Markup, html};

use super::{
    Context,
    chart::{Drawing, figure},
    page,
    table::{Ranking, by_link, months},
};
use crate::{
    http::page::text::fill,
    model::Direction,
    questions::{
        About,
        answer::{Figures, PastAnswer, SeriesAnswer},
        words,
    },
    table::groups::Group,
    totals::{By, answer::TopAnswer},
};

/// What the page of a subject shows.
pub(in crate::http::page) struct Subject<'a> {
    pub(in crate::http::page) about: &'a About,
    pub(in crate::http::page) name: String,
    pub(in crate::http::page) past: &'a PastAnswer,
    pub(in crate::http::page) series: &'a SeriesAnswer,
    /// The group that an AS is in.
    pub(in crate::http::page) group: Option<&'a Group>,
    /// A group's ASes, a kind's groups, a link's ASes.
    pub(in crate::http::page) members: Option<&'a TopAnswer>,
    /// The courses of the members.
    pub(in crate::http::page) trends: Option<&'a SeriesAnswer>,
    /// What a link is.
    pub(in crate::http::page) link: Option<&'static str>,
}

pub(in crate::http::page) fn draw(context: &Context<'_>, subject: &Subject<'_>) -> String {
    let text = context.text;
    let title = match subject.about {
        About::Link(_) => fill(text.on_a_link, &[("name", &subject.name)]),
        About::Neighbor(_) => fill(text.by_a_neighbor, &[("name", &subject.name)]),
        _ => fill(text.graph_of, &[("name", &subject.name)]),
    };
    let drawing = Drawing::of(context, subject.series, Some(subject.past), title);
    let divided = matches!(subject.about, About::Link(_));
    let controls = if divided {
        context.divisions()
    } else {
        html! {}
    };
    let main = html! {
        div class="head" {
            p class="crumb" { (crumb(context, subject)) }
            h1 { (subject.name) }
            p class="lead" { (context.lead(subject.past.to)) (gaps(context, subject.past)) }
        }
        div class="bar" { (context.tabs()) }
        (figures(context, subject))
        (figure(context, subject.about, subject.series, &drawing, &controls))
        @if let Some(top) = subject.members { (members(context, subject, top)) }
        @if !matches!(subject.about, About::Link(_)) { (by_link(context, &subject.past.links)) }
        (months(context, &subject.past.months))
    };
    page(context, &subject.name, true, &main)
}

fn crumb(context: &Context<'_>, subject: &Subject<'_>) -> Markup {
    let text = context.text;
    html! {
        @match subject.about {
            About::As(asn) => {
                (text.an_as) " AS" (asn)
                @if let Some(group) = subject.group {
                    ", " a href=(context.url_of(&About::Group(group.key.clone()))) { (fill(text.part_of, &[("group", &group.name)])) }
                }
            }
            About::Group(_) => {
                (text.a_group)
                @if let Some(group) = subject.group {
                    ", " a href=(context.url_of(&About::Kind(group.kind.clone()))) { (group.kind) }
                }
            }
            About::Kind(_) => { (text.a_kind) }
            About::Neighbor(asn) => {
                (text.a_neighbor) " " a href=(context.url_of(&About::As(*asn))) { "AS" (asn) }
            }
            About::Link(_) | About::All => {
                (text.a_link)
                @if let Some(link) = subject.link { ", " (link) }
            }
        }
    }
}

/// What has to be said of a period that was not counted as a whole.
pub(super) fn gaps(context: &Context<'_>, past: &PastAnswer) -> Markup {
    let text = context.text;
    let young = past.since.filter(|&since| since > past.from);
    html! {
        @if let Some(since) = young {
            " " (fill(text.since, &[("since", &words::moment(context.lang(), &since.to_zoned(context.zone.clone())))]))
        } @else if past.covered < 0.995 {
            " " (fill(text.partly, &[("covered", &context.percent(past.covered))]))
        }
    }
}

fn figures(context: &Context<'_>, subject: &Subject<'_>) -> Markup {
    let text = context.text;
    let past = subject.past;
    let average = |direction, name| {
        let figures = past.directions.get(direction);
        html! {
            div {
                dt { (name) }
                @match figures {
                    Some(figures) => {
                        dd class="big" { (context.rate(figures.bits_per_second)) }
                        dd class="sub" {
                            (context.bytes(figures.bytes))
                            @if figures.previous_bytes.is_some() { " " (context.change(figures.change, figures.previous_bytes)) }
                        }
                    }
                    None => {
                        dd class="big" { "–" }
                        dd class="sub" { (text.below) }
                    }
                }
            }
        }
    };
    let [inward, outward] = Direction::ALL.map(|direction| past.directions.get(direction));
    html! {
        dl class="figures" aria-label=(text.figures) {
            (average(Direction::In, text.average_in))
            (average(Direction::Out, text.average_out))
            @if let Some(inward) = inward {
                div {
                    dt { (text.share) }
                    dd class="big" { (context.percent(inward.share)) }
                    dd class="sub" { (standing(context, inward, outward)) }
                }
                @if let Some(peak) = inward.peak {
                    div {
                        dt { (text.peak) }
                        dd class="big" { (context.rate(peak.bits_per_second)) }
                        dd class="sub" {
                            (fill(text.peak_at, &[("at", &words::moment(context.lang(), &peak.at.to_zoned(context.zone.clone())))]))
                        }
                    }
                }
            }
            @if let Some(p95) = past.p95_bits_per_second {
                @let of = |figures: Option<&Figures>| figures.and_then(|figures| figures.p95_bits_per_second).map_or_else(|| "–".to_owned(), |rate| context.rate(rate));
                div {
                    dt { (text.p95) }
                    dd class="big" { (context.rate(p95)) }
                    dd class="sub" { (fill(text.p95_of, &[("in", &of(inward)), ("out", &of(outward))])) }
                }
            }
            @if let Some(share) = inward.and_then(|figures| figures.ipv6_share) {
                div {
                    dt { (text.ipv6) }
                    dd class="big" { (context.percent(share)) }
                    dd class="sub" {
                        @let out = outward.and_then(|figures| figures.ipv6_share).map_or_else(|| "–".to_owned(), |share| context.percent(share));
                        (fill(text.ipv6_of, &[("out", &out)]))
                    }
                }
            }
        }
    }
}

fn standing(context: &Context<'_>, inward: &Figures, outward: Option<&Figures>) -> String {
    let text = context.text;
    let rank = |rank: Option<u32>| match rank {
        Some(rank) => words::ordinal(context.lang(), rank),
        None => text.unranked.to_owned(),
    };
    let own = rank(inward.rank);
    match outward {
        Some(outward) => fill(
            text.share_of,
            &[("rank", &own), ("share", &context.percent(outward.share)), ("out_rank", &rank(outward.rank))],
        ),
        None => fill(text.share_in_only, &[("rank", &own)]),
    }
}

fn members(context: &Context<'_>, subject: &Subject<'_>, top: &TopAnswer) -> Markup {
    let text = context.text;
    let period = [("period", context.period())];
    let link = matches!(subject.about, About::Link(_));
    let heading = match (link, top.by) {
        (false, By::As) => text.members,
        (_, By::Group) => text.groups,
        _ => text.networks,
    };
    let empty = top.directions.iter().all(|(_, part)| part.rows.is_empty());
    html! {
        @if !empty {
            (Ranking { top, heading, about: fill(text.members_of, &period), trends: subject.trends, coloured: link, whole: link, files: false }.draw(context))
        }
    }
}
