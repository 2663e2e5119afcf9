//! `classifier status`: the agent.

use std::io::Write;

use super::{
    CliError,
    answers::{History, HookStatus, LinkStatus, Status},
    args::{AgentArgs, FormatArgs},
    client::Client,
    links,
    output::{self, Format, Screen, alarm, heading, number, number_heading, optional, text},
};

/// Show how the agent is: links and modes, table, memory, coverage, closure
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier status
  classifier status --json | jq .closure_ok
  classifier status --csv                      the outcomes of every link and hook")]
pub(super) struct Args {
    #[command(flatten)]
    agent: AgentArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Gaps that are shown to people, at most: the latest.
const GAPS: usize = 5;

pub(super) fn execute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let answer = Client::new(&args.agent)?.get(&["status"], &[])?;
    match args.format.format() {
        Format::Json => answer.pass_through(out),
        Format::Csv => csv(&answer.parse()?, out),
        Format::People(screen) => Ok(out.write_all(people(&answer.parse()?, screen).as_bytes())?),
    }
}

fn hooks(link: &LinkStatus) -> [(&'static str, Option<&HookStatus>); 2] {
    [("rx", link.rx.as_ref()), ("tx", link.tx.as_ref())]
}

fn people(status: &Status, screen: Screen) -> String {
    let mut facts = screen.table();
    let mut fact = |name: &str, value: String| {
        facts.add_row([heading(name), text(&value)]);
    };
    let interval = status.interval_seconds;
    fact("router", status.router.clone());
    fact("agent", format!("{}, up {}", status.version, output::duration(status.uptime_seconds)));
    fact("sweeps", format!("every {interval} s"));
    let sides = if status.count == "both" { "both sides" } else { &format!("{} side", status.count) };
    fact("counted", format!("{sides}, by {}", status.granularity));
    fact(
        "memory",
        format!(
            "{} of FIB, {} of banks, in the kernel",
            output::bytes(status.memory.fib_bytes),
            output::bytes(status.memory.bank_bytes)
        ),
    );
    fact("prefixes", format!("{} IPv4, {} IPv6", status.table.ipv4_prefixes, status.table.ipv6_prefixes));
    if let Some(coverage) = status.coverage {
        fact("coverage", format!("{} of IP bytes matched a route in the last hour", output::share(coverage)));
    }
    let history = status.history.as_ref().map(|history| (history.state == "failing", history_text(history)));
    let closure = if status.closure_ok {
        "ok: the classes add up to the frames"
    } else {
        "BROKEN: the classes do not add up to the frames"
    };
    let value = if status.closure_ok { text(closure) } else { alarm(text(closure)) };
    facts.add_row([heading("closure"), value]);
    if let Some((failing, history)) = history {
        facts.add_row([heading("history"), if failing { alarm(text(&history)) } else { text(&history) }]);
    }
    // Those that last are warnings.
    let over = status.gaps.iter().rev().filter_map(|gap| Some((gap, gap.to?)));
    for (gap, to) in over.take(GAPS) {
        let seconds = to.duration_since(gap.from).unsigned_abs().as_secs().max(1);
        let from = gap.from.strftime("%Y-%m-%d %H:%M:%S UTC");
        let value =
            format!("{}: not counted for {} from {from}: {}", gap.link, output::duration(seconds), gap.why);
        facts.add_row([heading("gap"), text(&value)]);
    }
    for warning in &status.warnings {
        facts.add_row([heading("warning"), alarm(text(warning))]);
    }

    let mut sources = screen.table();
    let mut head = vec![heading("source"), heading("kind")];
    head.extend(["prefixes", "age", "state"].map(number_heading));
    sources.set_header(head);
    for source in &status.table.sources {
        sources.add_row([
            text(&source.name),
            text(&source.kind),
            number(source.prefixes),
            number(source.age_seconds.map(output::duration).unwrap_or_default()),
            match (source.up, source.stale) {
                (true, 0) => number("up"),
                (true, stale) => number(format!("up, {stale} stale")),
                (false, 0) => alarm(number("DOWN")),
                (false, stale) => alarm(number(format!("DOWN, {stale} stale"))),
            },
        ]);
    }

    let mut table = screen.table();
    let mut head = vec![heading("link"), heading("on"), heading("role"), heading("hook"), heading("mode")];
    head.extend(
        ["packets", "bytes", "ipv4", "ipv6", "non-IP", "malformed", "unsupported", "closure"]
            .map(number_heading),
    );
    table.set_header(head);
    for link in &status.links {
        for (index, (name, hook)) in hooks(link).into_iter().enumerate() {
            let mut cells = if index == 0 {
                vec![
                    text(&link.name),
                    text(&links::edge(&link.interface, link.vlan)),
                    text(&links::role(&link.role, link.kind.as_deref())),
                ]
            } else {
                vec![text(""), text(""), text("")]
            };
            cells.push(text(name));
            let Some(hook) = hook else {
                cells.push(alarm(text("not attached")));
                table.add_row(cells);
                continue;
            };
            let outcomes = hook.outcomes.all();
            let sum = |of: &dyn Fn(&super::answers::Amount) -> u64| {
                outcomes.iter().fold(0u64, |sum, (_, amount)| sum.saturating_add(of(amount)))
            };
            cells.push(text(&hook.mode));
            cells.push(number(sum(&|amount| amount.packets)));
            cells.push(number(output::bytes(sum(&|amount| amount.bytes))));
            cells.extend(outcomes.iter().map(|(_, amount)| number(amount.packets)));
            cells.push(links::closure(hook.closure_ok.unwrap_or(true)));
            table.add_row(cells);
        }
    }
    let mut shown = output::finish(facts);
    let sessions = (!status.sessions.is_empty()).then(|| sessions(status, screen));
    for table in [Some(sources), sessions, Some(table)].into_iter().flatten() {
        shown.push('\n');
        shown.push_str(&output::finish(table));
    }
    shown
}

/// BGP sessions and BMP routers.
fn sessions(status: &Status, screen: Screen) -> comfy_table::Table {
    let mut table = screen.table();
    let mut head = ["session", "kind", "state", "since"].map(heading).to_vec();
    head.extend(["peers", "ipv4", "ipv6", "messages", "malformed", "lost"].map(number_heading));
    head.push(heading("last error"));
    table.set_header(head);
    for session in &status.sessions {
        let since = session.since.map(|since| since.strftime("%Y-%m-%d %H:%M UTC").to_string());
        table.add_row([
            text(&session.name),
            text(&session.kind),
            if session.up { text(&session.state) } else { alarm(text(&session.state)) },
            text(&since.unwrap_or_default()),
            number(optional(session.peers)),
            number(session.ipv4_routes),
            number(session.ipv6_routes),
            number(session.messages),
            number(session.malformed),
            number(session.losses),
            text(session.last_error.as_ref().map_or("", |error| &error.what)),
        ]);
    }
    table
}

/// Where the past is kept, since when, and how much there is of it.
fn history_text(history: &History) -> String {
    let Some(path) = &history.path else { return "off: run with --state-dir to keep one".to_owned() };
    let since = match history.since {
        Some(since) => {
            format!("since {}, {}", since.strftime("%Y-%m-%d %H:%M UTC"), output::bytes(history.bytes))
        }
        None => "nothing yet: the first five minutes are not over".to_owned(),
    };
    match history.state.as_str() {
        "failing" => format!("FAILING in {path}; {since}"),
        _ => format!("in {path}, {since}"),
    }
}

/// A line an outcome of every hook of every link.
fn csv(status: &Status, out: &mut dyn Write) -> Result<(), CliError> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "name",
        "interface",
        "vlan",
        "role",
        "kind",
        "hook",
        "mode",
        "outcome",
        "packets",
        "bytes",
    ])?;
    for link in &status.links {
        for (name, hook) in hooks(link) {
            let Some(hook) = hook else { continue };
            for (outcome, amount) in hook.outcomes.all() {
                writer.write_record([
                    &link.name,
                    &link.interface,
                    &optional(link.vlan),
                    &link.role,
                    link.kind.as_deref().unwrap_or_default(),
                    name,
                    &hook.mode,
                    outcome,
                    &amount.packets.to_string(),
                    &amount.bytes.to_string(),
                ])?;
            }
        }
    }
    Ok(writer.flush()?)
}
