//! Pages and files from answers.

use std::time::Duration;

use serde_json::Value;

use super::{ask::Span, rules::Rules, *};
use crate::{
    questions::{
        Questions,
        answer::{PastAnswer, SeriesAnswer},
        words::{self, Lang},
    },
    totals::{SourceInput, StatusInputs, testing},
};

fn get(site: &Site, uri: &str) -> Reply {
    match read(site, &uri.parse().unwrap(), &HeaderMap::new()) {
        Ok(question) => answer(site, &question),
        Err(reply) => reply,
    }
}

fn text(site: &Site, uri: &str) -> String {
    let reply = get(site, uri);
    assert_eq!(reply.status, StatusCode::OK, "{uri}");
    String::from_utf8(reply.body.to_vec()).unwrap()
}

/// What people read: without the hidden and the marked up.
fn words_of(html: &str) -> String {
    let mut words = String::new();
    for part in html.split('<') {
        let (_, text) = part.split_once('>').unwrap_or(("", part));
        words.push_str(text);
        words.push(' ');
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn operators(days: i64) -> Site {
    Site::operators(&world::questions(days))
}

fn public(rules: Rules) -> Site {
    let choices = Choices { lang: Lang::En, spans: vec![Span::Day, Span::Week], by: vec![By::As, By::Group] };
    let contact = Some("noc@example.net".to_owned());
    Site::public(
        &world::questions(15),
        "Example Net".to_owned(),
        contact,
        choices,
        rules,
        Duration::from_secs(60),
    )
}

#[test]
fn the_overview_has_the_answers_values() {
    let site = operators(2);
    let html = text(&site, "/");
    let past: PastAnswer = serde_json::from_str(&text(&site, "/figures/all.json")).unwrap();
    let top: TopAnswer = serde_json::from_str(&text(&site, "/top/as.json")).unwrap();
    let inward = past.directions.inward.unwrap();
    for value in [
        words::bytes(Lang::En, inward.bytes),
        words::bits_per_second(Lang::En, inward.bits_per_second),
        words::bits_per_second(Lang::En, past.p95_bits_per_second.unwrap()),
        words::percent(Lang::En, inward.ipv6_share.unwrap()),
    ] {
        assert!(html.contains(&value), "{value}");
    }
    let first = &top.directions.inward.unwrap().rows[0];
    let said = words_of(&html);
    let row = format!(
        "1 Google LLC AS15169 {} {} {}",
        words::bits_per_second(Lang::En, first.bits_per_second).replace('\u{a0}', " "),
        words::percent(Lang::En, first.share),
        words::percent(Lang::En, first.share),
    );
    assert!(said.contains(&row), "{row}: {said}");
    assert!(html.contains(r#"<a href="https://db-ip.com">"#));
    assert!(!html.contains("style=") && !html.contains("onclick"));
}

#[test]
fn the_same_in_french() {
    let site = operators(2);
    let html = text(&site, "/?lang=fr");
    assert!(html.contains(r#"<html lang="fr">"#) && html.contains("D’où vient notre trafic"));
    assert!(html.contains("14\u{202f}h\u{202f}05"));
    // Links go on in French, in which the other language is English.
    assert!(html.contains(r#"href="/as/15169?lang=fr""#) && html.contains(r#"href="/?lang=en""#));
    let english = words_of(&text(&site, "/about"));
    let french = words_of(&text(&site, "/about?lang=fr"));
    assert!(english.contains("Exact, not sampled") && french.contains("Exact, sans échantillon"));
}

#[test]
fn stale_routes_are_on_the_overview() {
    let view = world::view();
    let sources = [(false, 1_234_567), (true, 9), (true, 0)].into_iter().zip(1..);
    let sources = sources.map(|((up, stale), number)| SourceInput {
        name: format!("router{number}"),
        kind: "bgp".to_owned(),
        prefixes: 2_000_000,
        made: None,
        up,
        stale,
    });
    view.set_status(StatusInputs { sources: sources.collect(), ..testing::status() });
    let questions = Questions::new(view, Some(std::sync::Arc::new(world::history(2))));
    let site = Site::operators(&questions);
    let words = |uri| words_of(&text(&site, uri)).replace(['\u{a0}', '\u{202f}'], " ");
    let english = words("/");
    for line in [
        "router1 is away: 1,234,567 of its 2,000,000 routes are stale, kept for a while as they last were.",
        "router2 is sending its routes again: 9 of 2,000,000 have not come yet.",
    ] {
        assert!(english.contains(line), "{line}: {english}");
    }
    assert!(!english.contains("router3"));
    let french = words("/?lang=fr");
    for line in [
        "router1 est absent : 1 234 567 de ses 2 000 000 routes sont périmées, gardées un temps telles qu’elles étaient.",
        "router2 renvoie ses routes : 9 sur 2 000 000 ne sont pas encore revenues.",
    ] {
        assert!(french.contains(line), "{line}: {french}");
    }
    let metrics = crate::http::metrics::render(&questions.view().metrics(), &crate::http::Stats::default());
    assert!(metrics.contains("classifier_source_stale_routes{source=\"router1\"} 1234567\n"), "{metrics}");
    let public = Site::public(
        &questions,
        "Example Net".to_owned(),
        None,
        Choices { lang: Lang::En, spans: vec![Span::Day], by: vec![By::As] },
        Rules::default(),
        Duration::ZERO,
    );
    assert!(!text(&public, "/").contains("router1"));
}

#[test]
fn every_subject_has_a_page() {
    let site = operators(8);
    for (uri, heading) in [
        ("/as/2906", "Netflix Streaming Services Inc."),
        ("/group/netflix?last=7d", "Netflix"),
        ("/group/NETFLIX", "Netflix"),
        ("/kind/content", "content"),
        ("/link/france-ix?by=group", "france-ix"),
    ] {
        let html = text(&site, uri);
        assert!(html.contains(&format!("<h1>{heading}</h1>")), "{uri}");
        assert_eq!(html.matches("<svg class=\"graph\"").count(), 1, "{uri}");
    }
    let group = text(&site, "/group/netflix");
    assert!(group.contains(r#"href="/kind/content""#) && group.contains(r#"href="/as/2906""#));
    assert!(text(&site, "/as/2906").contains(r#"href="/group/netflix""#));
    for uri in
        ["/as/64999", "/group/gogle", "/kind/none", "/link/none", "/prefix/1.0.0.0/8", "/graph/as/1.svg"]
    {
        assert_eq!(get(&site, uri).status, StatusCode::NOT_FOUND, "{uri}");
    }
}

#[test]
fn search_finds_names_and_numbers() {
    let site = operators(2);
    let found = |query: &str| {
        let html = text(&site, &format!("/search?q={query}"));
        html.split("<li><a href=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let without_nav = |links: Vec<String>| {
        links
            .into_iter()
            .filter(|link| link.starts_with("/as/") || link.starts_with("/group/"))
            .collect::<Vec<_>>()
    };
    assert_eq!(without_nav(found("netflix")), ["/group/netflix", "/as/2906"]);
    assert_eq!(without_nav(found("AS2906")), ["/as/2906"]);
    assert_eq!(without_nav(found("2906")), ["/as/2906"]);
    assert!(without_nav(found("%3Cscript%3E")).is_empty());
    let html = text(&site, "/search?q=%3Cscript%3Ealert(1)%3C/script%3E");
    assert!(html.contains("&lt;script&gt;alert(1)") && !html.contains("<script>alert"));
}

#[test]
fn what_people_wrote_is_text() {
    let view = testing::example();
    let name = "<script>alert('x')</script>".to_owned();
    view.set_status(StatusInputs { router: name, ..testing::status() });
    let site = Site::operators(&Questions::new(view, None));
    for uri in ["/?last=1h", "/graph/all.svg?last=1h"] {
        let page = text(&site, uri);
        assert!(page.contains("&lt;script&gt;alert('x')") && !page.contains("<script>"), "{uri}");
    }
    // The operator is told what is not as it should be.
    assert!(text(&site, "/?last=1h").contains("overrides.txt:3: expected prefix and asn"));
}

#[test]
fn files_are_the_answers() {
    let site = operators(2);
    let series: SeriesAnswer = serde_json::from_str(&text(&site, "/series/all.json")).unwrap();
    // Nine networks, others, unknown, not IP; they add up to all.
    assert_eq!(series.layers.len(), 12);
    let sum: u64 = series.layers.iter().map(|layer| layer.directions.inward.as_ref().unwrap().bytes).sum();
    assert_eq!(sum, series.total.inward.as_ref().unwrap().bytes);
    let csv = text(&site, "/series/all.csv");
    assert_eq!(csv.lines().count(), series.steps.len() + 1);
    assert!(csv.starts_with("from,to,covered_seconds,in total,in AS15169,"));
    let csv = text(&site, "/top/group.csv");
    assert!(csv.starts_with("direction,rank,group,name,packets,bytes,"), "{csv}");
    assert!(csv.contains("\nin,2,netflix,Netflix,"));
    let csv = text(&site, "/figures/as/2906.csv");
    assert_eq!(csv.lines().count(), 1 + 2 + 4, "{csv}");
    let svg = text(&site, "/graph/as/2906.svg?theme=dark");
    assert!(svg.starts_with("<svg xmlns=") && svg.contains("Netflix Streaming Services Inc."));
    assert_eq!(get(&site, "/graph/all.png").kind, PNG);
}

#[test]
fn bad_parameters_are_refused_in_words() {
    let site = operators(1);
    for (uri, name) in [
        ("/?last=31d", "last"),
        ("/?n=1000000", "n"),
        ("/as/2906?by=prefix", "by"),
        ("/graph/all.png?theme=x", "theme"),
    ] {
        let reply = get(&site, uri);
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{uri}");
        assert!(String::from_utf8(reply.body.to_vec()).unwrap().contains(&format!("{name}: ")), "{uri}");
    }
}

#[test]
fn equal_questions_are_equal() {
    let site = public(Rules::default());
    let of = |uri: &str| read(&site, &uri.parse().unwrap(), &HeaderMap::new()).unwrap();
    assert_eq!(of("/?utm_source=x&last=24h"), of("/"));
    assert_eq!(of("/graph/all.png?n=100&sort=out"), of("/graph/all.png"));
    assert_ne!(of("/graph/all.png?lang=fr"), of("/graph/all.png"));
    assert_eq!(of("/series/all.json?lang=fr"), of("/series/all.json"));
    assert_ne!(of("/?last=7d"), of("/"));
}

/// Every address of a public site, as far as its pages name them, from these on.
fn crawl(site: &Site, from: &[&str]) -> Vec<(String, Reply)> {
    let mut waiting: Vec<String> = from.iter().map(|&uri| uri.to_owned()).collect();
    let mut seen: Vec<(String, Reply)> = Vec::new();
    while let Some(uri) = waiting.pop() {
        if seen.iter().any(|(known, _)| *known == uri) || seen.len() > 400 {
            continue;
        }
        let reply = get(site, &uri);
        if reply.kind == HTML {
            let html = String::from_utf8(reply.body.to_vec()).unwrap();
            for quoted in ["href=\"/", "data-series=\"/"] {
                waiting.extend(html.split(quoted).skip(1).map(|rest| {
                    let path = rest.split('"').next().unwrap().split('#').next().unwrap();
                    format!("/{}", path.replace("&amp;", "&"))
                }));
            }
        }
        seen.push((uri, reply));
    }
    seen
}

#[test]
fn what_is_hidden_is_nowhere() {
    let site = public(Rules {
        hide_ases: vec![2906],
        hide_groups: vec!["google".to_owned()],
        hide_links: vec!["transit-a".to_owned()],
        min_share: 0.01,
        ..Rules::default()
    });
    let seen = crawl(&site, &["/", "/?last=7d&lang=fr", "/?by=group&sort=out&n=100", "/search?q=a"]);
    assert!(seen.len() > 100, "{}", seen.len());
    let hidden = [
        // Named, its group with it; a group, its AS with it; a link; and who is too small.
        "Netflix",
        "netflix",
        "2906",
        "Google",
        "google",
        "15169",
        "transit-a",
        "netcup",
        "197540",
        "Datacamp",
        // What is the operator's business.
        "border1",
        "overrides.txt",
        "/api/",
        "/metrics",
        "if-transit",
    ];
    for (uri, reply) in &seen {
        assert!(matches!(reply.status.as_u16(), 200), "{uri}: {}", reply.status);
        if uri.starts_with("/assets/") {
            continue;
        }
        for word in hidden {
            let body = String::from_utf8_lossy(&reply.body);
            // Numbers are in longer ones by chance: as a word only. The method's page names the two as examples.
            let words = body.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '/' && c != '.');
            let found = if word.starts_with('/') {
                body.contains(word)
            } else {
                words.into_iter().any(|w| w == word || w == format!("AS{word}"))
            };
            let example = uri.starts_with("/about") || uri.starts_with("/search");
            assert!(
                !found || example && body.contains("cach") || example && uri.starts_with("/search"),
                "{word} in {uri}"
            );
        }
    }
    for uri in [
        "/as/2906",
        "/as/15169",
        "/as/197540",
        "/group/netflix",
        "/group/google",
        "/link/transit-a",
        "/graph/as/2906.svg",
        "/graph/group/netflix.png",
        "/series/as/2906.json",
        "/figures/as/2906.csv",
        "/graph/link/transit-a.svg",
        "/top/kind.csv",
        "/metrics",
        "/healthz",
        "/api/v1/top",
        "/api/v1/status",
    ] {
        assert_eq!(get(&site, uri).status, StatusCode::NOT_FOUND, "{uri}");
    }
    for uri in ["/?last=30d", "/?last=1y", "/?last=1h", "/as/13335?last=1y", "/top/as.csv?n=5000"] {
        assert_eq!(get(&site, uri).status, StatusCode::BAD_REQUEST, "{uri}");
    }
    assert!(!text(&site, "/search?q=netflix").contains("/as/2906"));
}

#[test]
fn what_is_hidden_is_in_the_sums() {
    let whole = operators(15);
    let site = public(Rules { hide_ases: vec![2906], min_share: 0.02, ..Rules::default() });
    let of = |site: &Site, uri: &str| -> SeriesAnswer { serde_json::from_str(&text(site, uri)).unwrap() };
    let (all, part) = (of(&whole, "/series/all.json"), of(&site, "/series/all.json"));
    assert_eq!(all.total, part.total);
    let sum: u64 = part.layers.iter().map(|layer| layer.directions.inward.as_ref().unwrap().bytes).sum();
    assert_eq!(sum, part.total.inward.as_ref().unwrap().bytes);
    // Ranks are those among what is shown.
    let top: TopAnswer = serde_json::from_str(&text(&site, "/top/as.json")).unwrap();
    let inward = top.directions.inward.unwrap();
    assert_eq!((inward.rows[1].rank, inward.rows[1].asn), (2, Some(32934)));
    assert!(inward.rows.iter().all(|row| row.share >= 0.02));
    let shares: f64 = inward.rows.iter().map(|row| row.share).sum::<f64>()
        + inward.other.share
        + inward.unmatched.share
        + inward.non_ip.share;
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    let past: PastAnswer = serde_json::from_str(&text(&site, "/figures/as/32934.json")).unwrap();
    assert_eq!(past.directions.inward.unwrap().rank, Some(2));
}

#[test]
fn a_direction_that_is_too_small_is_not_shown() {
    // Netflix sends much and is sent little.
    let site = public(Rules { min_share: 0.05, ..Rules::default() });
    let past: PastAnswer = serde_json::from_str(&text(&site, "/figures/as/2906.json")).unwrap();
    assert!(past.directions.inward.is_some() && past.directions.outward.is_none());
    assert!(past.links.iter().all(|link| link.directions.outward.is_none()));
    assert!(past.months.is_empty());
    let series: SeriesAnswer = serde_json::from_str(&text(&site, "/series/as/2906.json")).unwrap();
    assert!(series.total.outward.is_none());
    assert!(text(&site, "/as/2906").contains("below what is published"));
    let all: SeriesAnswer = serde_json::from_str(&text(&site, "/series/all.json")).unwrap();
    let netflix = all.layers.iter().find(|layer| layer.subject.asn == Some(2906)).unwrap();
    assert_eq!(netflix.directions.outward.as_ref().unwrap().bytes, 0);
}

#[test]
fn numbers_are_rounded_everywhere() {
    let site = public(Rules { round: Some(2), ..Rules::default() });
    fn numbers(value: &Value, path: &str, found: &mut Vec<(String, f64)>) {
        match value {
            Value::Number(number) => found.push((path.to_owned(), number.as_f64().unwrap())),
            Value::Array(all) => all.iter().for_each(|value| numbers(value, path, found)),
            Value::Object(all) => all.iter().for_each(|(key, value)| numbers(value, key, found)),
            _ => {}
        }
    }
    for uri in [
        "/top/as.json",
        "/series/all.json",
        "/series/as/2906.json",
        "/figures/as/2906.json",
        "/figures/all.json",
    ] {
        let mut found = Vec::new();
        numbers(&serde_json::from_str(&text(&site, uri)).unwrap(), "", &mut found);
        assert!(found.len() > 20);
        for (name, number) in found {
            if !["asn", "rank", "covered_seconds", "covered"].contains(&name.as_str()) {
                let digits: f64 = format!("{number:.1e}").parse().unwrap();
                assert!((digits - number).abs() <= number.abs() * 1e-12, "{uri}: {name} {number}");
            }
        }
    }
}

#[test]
fn nothing_newer_than_the_delay() {
    let site = public(Rules { delay: Duration::from_secs(7200), ..Rules::default() });
    let end: jiff::Timestamp = "2026-10-05T10:05:00Z".parse().unwrap();
    let series: SeriesAnswer = serde_json::from_str(&text(&site, "/series/all.json")).unwrap();
    assert_eq!(series.to, end);
    let past: PastAnswer = serde_json::from_str(&text(&site, "/figures/all.json")).unwrap();
    assert_eq!(past.to, end);
    let top: TopAnswer = serde_json::from_str(&text(&site, "/top/as.json")).unwrap();
    assert_eq!(top.to, end);
    assert_eq!(site.now().unwrap().to, end);
    let html = text(&site, "/");
    assert!(html.contains("12:05") && html.contains("2 hours late") && !html.contains("14:05"));
}

#[test]
fn rounding_by_hand() {
    let rules = Rules { round: Some(2), ..Rules::default() };
    for (value, rounded) in
        [(0, 0), (7, 7), (99, 99), (994, 990), (995, 1000), (12_499, 12_000), (12_500, 13_000)]
    {
        assert_eq!(rules.number(value), rounded);
    }
    assert_eq!(Rules::default().number(12_345), 12_345);
    assert_eq!(rules.number(u64::MAX), 18_000_000_000_000_000_000);
    assert_eq!((rules.fraction(0.12345), rules.fraction(-3.98), rules.fraction(0.0)), (0.12, -4.0, 0.0));
}
