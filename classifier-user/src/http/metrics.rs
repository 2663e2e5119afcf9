//! `/metrics` in the Prometheus text format 0.0.4.
//!
//! Written by hand: `prometheus-client` writes OpenMetrics, where the TYPE line of a counter lacks the `_total` of
//! its samples, which `promtool check metrics` and scrapers of the old format take for another metric.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    time::Duration,
};

use super::stats::{Refused, Stats};
use crate::{
    model::{Counter, Hook, Link, Outcome},
    totals::{
        answer::{HistoryState, SessionStatus},
        scrape::HookScrape,
        view::MetricsReading,
    },
};

/// The content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes a reading as text, and what became of connections and requests.
#[must_use]
pub fn render(reading: &MetricsReading, stats: &Stats) -> String {
    let mut text = Text(String::new());
    links(&mut text, reading);
    gaps(&mut text, reading);
    ases(&mut text, reading);
    neighbors(&mut text, reading);
    groups(&mut text, reading);
    agent(&mut text, reading);
    http(&mut text, stats);
    text.0
}

fn links(text: &mut Text, reading: &MetricsReading) {
    counters(
        text,
        "classifier_link",
        ("Packets on the wire by what became of them.", "Bytes on the wire by what became of them."),
        |sample| {
            for (hook, link) in hooks(reading) {
                for (outcome, counter) in Outcome::ALL.into_iter().zip(hook.outcomes) {
                    let labels = [
                        ("link", link.name.as_str()),
                        ("interface", &link.interface),
                        ("role", link.role.name()),
                        ("direction", hook.direction.name()),
                        ("outcome", outcome.name()),
                    ];
                    sample(&labels, counter);
                }
            }
        },
    );
    text.family("classifier_coverage_ratio", "gauge", "Matched by IP bytes of the last hour, remote side.");
    for ((hook, link), coverage) in hooks(reading).zip(&reading.coverage) {
        if let Some(coverage) = coverage {
            let labels = [("link", link.name.as_str()), ("direction", hook.direction.name())];
            text.sample("classifier_coverage_ratio", &labels, coverage);
        }
    }
    text.family("classifier_closure_ok", "gauge", "1 where the classes add up to the outcomes.");
    for (hook, link) in hooks(reading) {
        let labels = [("link", link.name.as_str()), ("hook", hook_name(hook.hook))];
        text.sample("classifier_closure_ok", &labels, u8::from(hook.closure_ok));
    }
    text.family("classifier_datapath_mode", "gauge", "1 for the mode in which a hook is attached.");
    for attachment in &reading.status.attachments {
        let Some(link) = reading.links.get(usize::from(attachment.link.0)) else { continue };
        for (hook, mode) in Hook::ALL.into_iter().zip(attachment.modes) {
            if let Some(mode) = mode {
                let labels = [("link", link.name.as_str()), ("hook", hook_name(hook)), ("mode", mode.name())];
                text.sample("classifier_datapath_mode", &labels, 1);
            }
        }
    }
}

/// When links were not counted though the agent ran.
fn gaps(text: &mut Text, reading: &MetricsReading) {
    let of = |number: usize| reading.status.link_gaps.get(number).copied().unwrap_or_default();
    text.family("classifier_link_up", "gauge", "1 where both hooks of the link are attached.");
    for attachment in &reading.status.attachments {
        let Some(link) = reading.links.get(usize::from(attachment.link.0)) else { continue };
        let up = attachment.modes.iter().all(Option::is_some);
        text.sample("classifier_link_up", &[("link", &link.name)], u8::from(up));
    }
    let name = "classifier_link_gaps_total";
    text.family(name, "counter", "Times the link was not counted though the agent ran, that are over.");
    for (number, link) in reading.links.iter().enumerate() {
        text.sample(name, &[("link", &link.name)], of(number).0);
    }
    let name = "classifier_link_gap_seconds_total";
    text.family(name, "counter", "How long these were.");
    for (number, link) in reading.links.iter().enumerate() {
        text.sample(name, &[("link", &link.name)], seconds(of(number).1));
    }
}

fn ases(text: &mut Text, reading: &MetricsReading) {
    let asns: Vec<String> = reading.scrape.asns.iter().map(ToString::to_string).collect();
    counters(
        text,
        "classifier_as",
        (
            "Packets by remote AS; other: ASes without or before series of their own.",
            "Bytes by remote AS; other: ASes without or before series of their own.",
        ),
        |sample| {
            for (hook, link) in hooks(reading) {
                let Some(remote) = &hook.remote else { continue };
                let rest =
                    [("other", remote.other), ("unmatched", remote.unmatched), ("non_ip", remote.non_ip)];
                let ases = asns.iter().map(String::as_str).zip(remote.ases.iter().copied());
                for (asn, counter) in ases.chain(rest) {
                    let labels = [
                        ("asn", asn),
                        ("link", link.name.as_str()),
                        ("role", link.role.name()),
                        ("direction", hook.direction.name()),
                    ];
                    sample(&labels, counter);
                }
            }
        },
    );
    text.family("classifier_as_info", "gauge", "1; the name of an AS that has series of its own.");
    for (asn, name) in asns.iter().zip(&reading.names) {
        let labels = [("asn", asn.as_str()), ("name", name.as_deref().unwrap_or_default())];
        text.sample("classifier_as_info", &labels, 1);
    }
}

/// Not there before any neighbour had traffic.
fn neighbors(text: &mut Text, reading: &MetricsReading) {
    let asns: Vec<String> = reading.scrape.neighbors.iter().map(ToString::to_string).collect();
    if asns.is_empty() {
        return;
    }
    counters(
        text,
        "classifier_neighbor",
        (
            "Packets by neighbour AS, the first of the path; other: neighbours without or before series of their own.",
            "Bytes by neighbour AS, the first of the path; other: neighbours without or before series of their own.",
        ),
        |sample| {
            for (hook, link) in hooks(reading) {
                let Some(remote) = &hook.remote else { continue };
                let rest = [
                    ("other", remote.other_neighbors),
                    ("no_path", remote.no_path),
                    ("unmatched", remote.unmatched),
                    ("non_ip", remote.non_ip),
                ];
                let neighbors = asns.iter().map(String::as_str).zip(remote.neighbors.iter().copied());
                for (asn, counter) in neighbors.chain(rest) {
                    let labels = [
                        ("asn", asn),
                        ("link", link.name.as_str()),
                        ("role", link.role.name()),
                        ("direction", hook.direction.name()),
                    ];
                    sample(&labels, counter);
                }
            }
        },
    );
    text.family(
        "classifier_neighbor_info",
        "gauge",
        "1; the name of a neighbour that has series of its own.",
    );
    for (asn, name) in asns.iter().zip(&reading.neighbor_names) {
        let labels = [("asn", asn.as_str()), ("name", name.as_deref().unwrap_or_default())];
        text.sample("classifier_neighbor_info", &labels, 1);
    }
}

fn groups(text: &mut Text, reading: &MetricsReading) {
    let name = "classifier_group_bytes_total";
    text.family(name, "counter", "Bytes by group of the remote AS.");
    for (hook, link) in hooks(reading) {
        let Some(remote) = &hook.remote else { continue };
        for (group, bytes) in reading.scrape.groups.iter().zip(&remote.groups) {
            let labels = [
                ("group", group.as_str()),
                ("link", &link.name),
                ("role", link.role.name()),
                ("direction", hook.direction.name()),
            ];
            text.sample(name, &labels, bytes);
        }
    }
}

fn agent(text: &mut Text, reading: &MetricsReading) {
    let status = &reading.status;
    text.family("classifier_table_prefixes", "gauge", "Prefixes in the FIB.");
    for (family, prefixes) in [("ipv4", status.ipv4_prefixes), ("ipv6", status.ipv6_prefixes)] {
        text.sample("classifier_table_prefixes", &[("family", family)], prefixes);
    }
    if let Some(age) = reading.table_age {
        let help = "Since the data of the source with the most prefixes was made.";
        text.family("classifier_table_age_seconds", "gauge", help);
        text.sample("classifier_table_age_seconds", &[], seconds(age));
    }
    text.family("classifier_source_up", "gauge", "1 where the source of routes works.");
    for (i, source) in status.sources.iter().enumerate() {
        // The same name twice would be the same series twice, which no scraper takes.
        let same = || status.sources.iter().filter(|other| other.name == source.name);
        if status.sources.iter().take(i).all(|before| before.name != source.name) {
            let up = same().all(|source| source.up);
            text.sample("classifier_source_up", &[("source", &source.name)], u8::from(up));
        }
    }
    sessions(text, reading);
    if let Some(duration) = reading.sweep_duration {
        text.family("classifier_sweep_duration_seconds", "gauge", "How long the last sweep took.");
        text.sample("classifier_sweep_duration_seconds", &[], seconds(duration));
    }
    let history = &reading.history;
    if history.state != HistoryState::Off {
        text.family(
            "classifier_history_up",
            "gauge",
            "1 where the history is kept, 0 where something is in the way.",
        );
        text.sample("classifier_history_up", &[], u8::from(history.state == HistoryState::Ok));
        text.family("classifier_history_bytes", "gauge", "The history's store on disk.");
        text.sample("classifier_history_bytes", &[], history.bytes);
        if let Some(until) = history.until {
            let name = "classifier_history_last_slot_timestamp_seconds";
            text.family(name, "gauge", "When the last slot in the history's store ended.");
            text.sample(name, &[], until.as_second());
        }
        let name = "classifier_history_lost_slots_total";
        text.family(name, "counter", "Slots that the history's store did not take in time.");
        text.sample(name, &[], history.lost_slots);
    }
    stale(text, reading);
    text.family("classifier_build_info", "gauge", "1; the version of the agent.");
    text.sample("classifier_build_info", &[("version", &status.version)], 1);
}

fn http(text: &mut Text, stats: &Stats) {
    let name = "classifier_http_connections";
    text.family(name, "gauge", "Connections that are served.");
    for (listener, its) in stats.listeners() {
        text.sample(name, &[("listener", listener)], its.open());
    }
    let name = "classifier_http_connections_total";
    text.family(name, "counter", "Connections that were served.");
    for (listener, its) in stats.listeners() {
        text.sample(name, &[("listener", listener)], its.accepted());
    }
    let name = "classifier_http_refused_total";
    text.family(
        name,
        "counter",
        "Connections and requests that were refused, or ended for another one or for being slow.",
    );
    for (listener, its) in stats.listeners() {
        for why in Refused::ALL {
            text.sample(name, &[("listener", listener), ("reason", why.name())], its.refused(why));
        }
    }
}

fn sessions(text: &mut Text, reading: &MetricsReading) {
    let sessions = &reading.sessions;
    if sessions.is_empty() {
        return;
    }
    // None where a session of that kind has no such thing.
    type Of = fn(&SessionStatus) -> Option<u64>;
    let families: [(&str, &str, &str, Of); 12] = [
        ("up", "gauge", "1 where the BGP session is established, or the BMP router connected.", |its| {
            Some(its.up.into())
        }),
        ("messages_total", "counter", "Messages that came.", |its| Some(its.messages)),
        ("updates_total", "counter", "UPDATEs that came, or were reported.", |its| Some(its.updates)),
        ("announced_total", "counter", "Routes announced, also those announced again.", |its| {
            Some(its.announced)
        }),
        ("withdrawn_total", "counter", "Routes withdrawn.", |its| Some(its.withdrawn)),
        ("losses_total", "counter", "Sessions lost, and tries that failed once connected.", |its| {
            Some(its.losses)
        }),
        (
            "malformed_total",
            "counter",
            "Messages with something malformed in them: left out, or taken as RFC 7606 says.",
            |its| Some(its.malformed),
        ),
        ("ignored_total", "counter", "What came and was not asked for.", |its| Some(its.ignored)),
        ("connect_failures_total", "counter", "Connections of BGP that we could not make.", |its| {
            its.connect_failures
        }),
        ("notifications_sent_total", "counter", "NOTIFICATIONs that we sent.", |its| its.notifications_sent),
        ("notifications_received_total", "counter", "NOTIFICATIONs that came.", |its| {
            its.notifications_received
        }),
        (
            "refused_total",
            "counter",
            "Connections from a BMP router's address that ended before an Initiation, or came while it is not listened to.",
            |its| its.refused,
        ),
    ];
    for (name, kind, help, of) in families {
        let name = format!("classifier_session_{name}");
        let samples: Vec<_> = sessions.iter().filter_map(|session| Some((session, of(session)?))).collect();
        if !samples.is_empty() {
            text.family(&name, kind, help);
        }
        for (session, value) in samples {
            text.sample(&name, &[("session", &session.name), ("kind", &session.kind)], value);
        }
    }
    text.family("classifier_session_routes", "gauge", "Routes announced in this session and not withdrawn.");
    for session in sessions {
        for (family, routes) in [("ipv4", session.ipv4_routes), ("ipv6", session.ipv6_routes)] {
            let labels = [("session", &*session.name), ("kind", &session.kind), ("family", family)];
            text.sample("classifier_session_routes", &labels, routes);
        }
    }
    let name = "classifier_strangers_total";
    text.family(name, "counter", "Connections from addresses that are no configured peer's or router's.");
    for (kind, strangers) in [("bgp", reading.strangers.bgp), ("bmp", reading.strangers.bmp)] {
        text.sample(name, &[("kind", kind)], strangers);
    }
    let name = "classifier_tcp_md5_dropped_total";
    let help =
        "TCP segments dropped for their MD5 signature, or for having none, of all programs on this machine.";
    text.family(name, "counter", help);
    text.sample(name, &[], reading.strangers.md5);
}

fn stale(text: &mut Text, reading: &MetricsReading) {
    let name = "classifier_source_stale_routes";
    let help = "Routes of a peer that is away, or that has not announced them again yet.";
    text.family(name, "gauge", help);
    let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
    for source in &reading.status.sources {
        *by_name.entry(&source.name).or_default() += source.stale;
    }
    for (source, stale) in by_name {
        text.sample(name, &[("source", source)], stale);
    }
}

fn hooks(reading: &MetricsReading) -> impl Iterator<Item = (&HookScrape, &Link)> {
    // Every hook of a scrape is of a link; the places of `coverage` would slip if one were left out.
    reading.scrape.hooks.iter().filter_map(|hook| Some((hook, reading.links.get(hook.link)?)))
}

const fn hook_name(hook: Hook) -> &'static str {
    match hook {
        Hook::Rx => "rx",
        Hook::Tx => "tx",
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// A family of packets and one of bytes, with the same labels: `samples` gives them.
fn counters(
    text: &mut Text,
    name: &str,
    help: (&str, &str),
    samples: impl Fn(&mut dyn FnMut(&[(&str, &str)], Counter)),
) {
    let packets = format!("{name}_packets_total");
    text.family(&packets, "counter", help.0);
    samples(&mut |labels, counter| text.sample(&packets, labels, counter.packets));
    let bytes = format!("{name}_bytes_total");
    text.family(&bytes, "counter", help.1);
    samples(&mut |labels, counter| text.sample(&bytes, labels, counter.bytes));
}

/// The text format: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details>.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            self.0.push(if i == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}
