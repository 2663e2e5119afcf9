//! `classifier routes`: where the agent's routes come from, and how its sources are.

use std::io::Write;

use clap::Subcommand;
use comfy_table::Cell;
use jiff::Timestamp;

use super::{
    CliError,
    args::{AgentArgs, FormatArgs},
    client::Client,
    output::{self, Format, Screen, alarm, heading, number, number_heading, optional, text},
};
use crate::questions::routes::{PeerAnswer, RoutesAnswer};

/// Show where the agent's routes come from
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier routes status
  classifier routes status --json | jq '.peers[] | select(.up | not)'")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Status(StatusArgs),
}

/// Show the BGP and BMP peers: state, prefixes, stale ones, last change; and the other sources
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier routes status
  classifier routes status --csv               a line a peer")]
struct StatusArgs {
    #[command(flatten)]
    agent: AgentArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(super) fn execute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let Command::Status(args) = &args.command;
    let answer = Client::new(&args.agent)?.get(&["routes"], &[])?;
    match args.format.format() {
        Format::Json => answer.pass_through(out),
        Format::Csv => csv(&answer.parse()?, out),
        Format::People(screen) => {
            Ok(out.write_all(people(&answer.parse()?, screen, Timestamp::now()).as_bytes())?)
        }
    }
}

fn people(routes: &RoutesAnswer, screen: Screen, now: Timestamp) -> String {
    let ago = |at: Option<Timestamp>| {
        let seconds = at.map(|at| now.as_second().saturating_sub(at.as_second()).max(0).unsigned_abs());
        seconds.map(output::duration).unwrap_or_default()
    };
    let mut shown = String::new();
    for table in [sessions(routes, screen, ago), peers(routes, screen, ago)].into_iter().flatten() {
        shown.push_str(&output::finish(table));
        shown.push('\n');
    }
    let mut sources = screen.table();
    let mut head = vec![heading("source"), heading("kind")];
    head.extend(["prefixes", "age", "state"].map(number_heading));
    sources.set_header(head);
    for source in &routes.sources {
        sources.add_row([
            text(&source.name),
            text(&source.kind),
            number(source.prefixes),
            number(source.age_seconds.map(output::duration).unwrap_or_default()),
            if source.up { number("up") } else { alarm(number("DOWN")) },
        ]);
    }
    shown.push_str(&output::finish(sources));
    let live = &routes.live;
    let mut facts = screen.table();
    facts.add_row([
        heading("in the FIB"),
        Cell::new(format!("{} IPv4, {} IPv6 prefixes", routes.ipv4_prefixes, routes.ipv6_prefixes)),
    ]);
    facts.add_row([
        heading("from peers"),
        Cell::new(format!(
            "{} IPv4, {} IPv6 prefixes with {} different attributes, by {} different ways",
            live.ipv4_prefixes, live.ipv6_prefixes, live.attributes, live.ways
        )),
    ]);
    shown.push('\n');
    shown.push_str(&output::finish(facts));
    shown
}

/// BGP sessions and BMP routers.
fn sessions(
    routes: &RoutesAnswer,
    screen: Screen,
    ago: impl Fn(Option<Timestamp>) -> String,
) -> Option<comfy_table::Table> {
    let mut table = screen.table();
    let mut head = ["session", "kind", "address", "state"].map(heading).to_vec();
    head.extend(["for", "announced", "withdrawn", "lost"].map(number_heading));
    head.push(heading("last error"));
    table.set_header(head);
    for session in &routes.sessions {
        let state = text(&session.state);
        table.add_row([
            text(&session.name),
            text(&session.kind),
            text(&session.address.to_string()),
            if session.up { state } else { alarm(state) },
            number(ago(Some(session.since))),
            number(session.announced),
            number(session.withdrawn),
            number(session.losses),
            text(session.last_error.as_ref().map_or("", |error| &error.what)),
        ]);
    }
    (!routes.sessions.is_empty()).then_some(table)
}

/// Whose routes there are.
fn peers(
    routes: &RoutesAnswer,
    screen: Screen,
    ago: impl Fn(Option<Timestamp>) -> String,
) -> Option<comfy_table::Table> {
    let mut table = screen.table();
    let mut head = ["peer", "kind", "AS"].map(heading).to_vec();
    head.extend(["state", "for", "IPv4", "IPv6", "stale", "last change"].map(number_heading));
    table.set_header(head);
    for peer in &routes.peers {
        let stale = match (peer.stale, peer.stale_seconds) {
            (0, _) => number("0"),
            (stale, Some(seconds)) => alarm(number(format!("{stale} for {}", output::duration(seconds)))),
            (stale, None) => alarm(number(stale)),
        };
        let changed = ago(peer.last_change);
        table.add_row([
            text(&peer.name),
            text(&peer.kind),
            text(&peer.asn.map(|asn| format!("AS{asn}")).unwrap_or_default()),
            if peer.up { number("up") } else { alarm(number("away")) },
            number(ago(peer.since)),
            number(peer.ipv4_prefixes),
            number(peer.ipv6_prefixes),
            stale,
            number(if changed.is_empty() { changed } else { format!("{changed} ago") }),
        ]);
    }
    (!routes.peers.is_empty()).then_some(table)
}

fn csv(routes: &RoutesAnswer, out: &mut dyn Write) -> Result<(), CliError> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "name",
        "kind",
        "router",
        "asn",
        "up",
        "since",
        "ipv4_prefixes",
        "ipv6_prefixes",
        "stale",
        "last_change",
        "why",
    ])?;
    for peer in &routes.peers {
        let PeerAnswer { name, kind, router, asn, up, since, last_change, why, .. } = peer;
        writer.write_record([
            name,
            kind,
            router.as_deref().unwrap_or_default(),
            &optional(*asn),
            &up.to_string(),
            &optional(*since),
            &peer.ipv4_prefixes.to_string(),
            &peer.ipv6_prefixes.to_string(),
            &peer.stale.to_string(),
            &optional(*last_change),
            why.as_deref().unwrap_or_default(),
        ])?;
    }
    Ok(writer.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        questions::routes::LiveAnswer,
        totals::answer::{SessionError, SessionStatus, SourceStatus},
    };

    fn answer() -> RoutesAnswer {
        let at = |text: &str| text.parse().ok();
        RoutesAnswer {
            router: "border1".to_owned(),
            sources: vec![SourceStatus {
                name: "builtin".to_owned(),
                kind: "builtin".to_owned(),
                prefixes: 732_483,
                age_seconds: Some(86_400),
                up: true,
                stale: 0,
            }],
            ipv4_prefixes: 1_000_001,
            ipv6_prefixes: 200_002,
            live: LiveAnswer {
                ipv4_prefixes: 1_000_000,
                ipv6_prefixes: 200_000,
                attributes: 240_000,
                ways: 41_000,
            },
            sessions: vec![
                SessionStatus {
                    state: "established".to_owned(),
                    up: true,
                    since: "2026-01-01T00:00:00Z".parse().expect("a time"),
                    announced: 1_300_000,
                    withdrawn: 4000,
                    ..session("border", "192.0.2.1")
                },
                SessionStatus {
                    losses: 3,
                    last_error: Some(SessionError {
                        at: "2026-01-02T11:55:00Z".parse().expect("a time"),
                        what: "hold timer expired".to_owned(),
                    }),
                    ..session("spare", "192.0.2.2")
                },
            ],
            peers: vec![
                PeerAnswer {
                    name: "border".to_owned(),
                    kind: "bgp".to_owned(),
                    asn: Some(64_500),
                    up: true,
                    since: at("2026-01-01T00:00:00Z"),
                    ipv4_prefixes: 1_000_000,
                    ipv6_prefixes: 200_000,
                    last_change: at("2026-01-02T11:59:58Z"),
                    ..PeerAnswer::default()
                },
                PeerAnswer {
                    name: "spare".to_owned(),
                    kind: "bgp".to_owned(),
                    asn: Some(64_500),
                    since: at("2026-01-02T11:50:00Z"),
                    why: Some("hold timer expired".to_owned()),
                    ipv4_prefixes: 7,
                    stale: 7,
                    stale_seconds: Some(1200),
                    ..PeerAnswer::default()
                },
            ],
        }
    }

    fn session(name: &str, address: &str) -> SessionStatus {
        SessionStatus {
            name: name.to_owned(),
            kind: "bgp".to_owned(),
            address: address.parse().expect("an address"),
            state: "connect".to_owned(),
            up: false,
            since: "2026-01-02T11:50:00Z".parse().expect("a time"),
            peers: None,
            ipv4_routes: 0,
            ipv6_routes: 0,
            messages: 0,
            announced: 0,
            withdrawn: 0,
            losses: 0,
            malformed: 0,
            ignored: 0,
            updates: 0,
            connect_failures: None,
            notifications_sent: None,
            notifications_received: None,
            refused: None,
            sys_name: None,
            statistics: Vec::new(),
            last_error: None,
        }
    }

    #[test]
    fn people_see_peers_and_sources() {
        let now = "2026-01-02T12:00:00Z".parse().expect("a time");
        let screen = Screen { width: 120, colour: false };
        insta::assert_snapshot!(people(&answer(), screen, now), @r"
        session  kind  address    state           for  announced  withdrawn  lost  last error
        border   bgp   192.0.2.1  established  1d 12h    1300000       4000     0
        spare    bgp   192.0.2.2  connect      10m 0s          0          0     3  hold timer expired

        peer    kind  AS       state     for     IPv4    IPv6         stale  last change
        border  bgp   AS64500     up  1d 12h  1000000  200000             0       2s ago
        spare   bgp   AS64500   away  10m 0s        7       0  7 for 20m 0s

        source   kind     prefixes    age  state
        builtin  builtin    732483  1d 0h     up

        in the FIB  1000001 IPv4, 200002 IPv6 prefixes
        from peers  1000000 IPv4, 200000 IPv6 prefixes with 240000 different attributes, by 41000 different ways
        ");
    }

    #[test]
    fn csv_has_a_line_a_peer() {
        let mut out = Vec::new();
        csv(&answer(), &mut out).expect("written");
        insta::assert_snapshot!(String::from_utf8(out).expect("text"), @r"
        name,kind,router,asn,up,since,ipv4_prefixes,ipv6_prefixes,stale,last_change,why
        border,bgp,,64500,true,2026-01-01T00:00:00Z,1000000,200000,0,2026-01-02T11:59:58Z,
        spare,bgp,,64500,false,2026-01-02T11:50:00Z,7,0,7,,hold timer expired
        ");
    }
}
