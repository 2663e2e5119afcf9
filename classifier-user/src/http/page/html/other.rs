//! Search, how it is counted, and what is said where there is no page.

use maud::{Markup, html};

use super::{Context, page};
use crate::{
    http::page::text::fill,
    questions::{About, words},
    totals::answer::StatusAnswer,
};

/// What was found under a name.
pub(in crate::http::page) fn search(context: &Context<'_>, query: &str, found: &[(About, String)]) -> String {
    let text = context.text;
    let shown = |about: &About, name: &str| match about {
        About::As(asn) if name.is_empty() => (format!("AS{asn}"), text.no_name.to_owned()),
        About::As(asn) => (name.to_owned(), format!("AS{asn}")),
        _ => (name.to_owned(), text.group.to_owned()),
    };
    let main = html! {
        div class="head" {
            h1 { (text.search_title) }
            p class="lead" {
                @if query.is_empty() {
                    (text.search_help)
                } @else if found.is_empty() {
                    (fill(text.found_none, &[("query", query)])) " " (text.search_help)
                } @else {
                    (fill(text.found, &[("query", query)]))
                }
            }
        }
        ul class="results" {
            @for (about, name) in found {
                @let (name, what) = shown(about, name);
                li { a href=(context.url_of(about)) { (name) } small { (what) } }
            }
        }
    };
    page(context, text.search_title, false, &main)
}

/// How it is counted. `status` is there where it may be told.
pub(in crate::http::page) fn method(context: &Context<'_>, status: Option<&StatusAnswer>) -> String {
    let text = context.text;
    let sections = [
        (text.about_exact, text.about_exact_text),
        (text.about_private, text.about_private_text),
        (text.about_directions, text.about_directions_text),
        (text.about_networks, text.about_networks_text),
        (text.about_bytes, text.about_bytes_text),
        (text.about_averages, text.about_averages_text),
        (text.about_gaps, text.about_gaps_text),
    ];
    let main = html! {
        div class="head" { h1 { (text.about_title) } }
        div class="prose" {
            @for (heading, paragraph) in sections {
                h2 { (heading) }
                p { (paragraph) }
            }
            @if context.public {
                h2 { (text.about_public) }
                p { (text.about_public_text) }
            }
            h2 { (text.about_sources) }
            p { (sources(context)) }
            @if let Some(status) = status { p { (table(context, status)) } }
        }
    };
    page(context, text.method, false, &main)
}

fn sources(context: &Context<'_>) -> Markup {
    let [before, after] = match context.text.attribution.split_once("{dbip}") {
        Some((before, after)) => [before, after],
        None => [context.text.attribution, ""],
    };
    html! { (before) a href="https://db-ip.com" { "IP Geolocation by DB-IP" } (after) }
}

fn table(context: &Context<'_>, status: &StatusAnswer) -> String {
    let sources: Vec<&str> = status.table.sources.iter().map(|source| source.name.as_str()).collect();
    fill(
        context.text.about_table,
        &[
            ("ipv4", &words::integer(context.lang(), status.table.ipv4_prefixes)),
            ("ipv6", &words::integer(context.lang(), status.table.ipv6_prefixes)),
            ("sources", &sources.join(", ")),
        ],
    )
}

/// A page that is no page.
pub(in crate::http::page) fn message(context: &Context<'_>, heading: &str, what: &str) -> String {
    let main = html! {
        div class="head" {
            h1 { (heading) }
            p class="lead" { (what) }
        }
        p { a href=(context.url("/")) { (context.text.back) } }
    };
    page(context, heading, false, &main)
}
