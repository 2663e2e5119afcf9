//! `classifier links`: every link.

use std::io::Write;

use super::{
    CliError,
    answers::{Link, LinkDirection, Links},
    args::{AgentArgs, FormatArgs},
    client::Client,
    output::{self, Format, Screen, alarm, clean, heading, number, number_heading, optional, text},
    ranking,
};

/// Show every link: rates, totals, what became of its frames, coverage and closure
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier links
  classifier links --json | jq '.links[].name'
  classifier links --agent http://border-2:9469")]
pub(super) struct Args {
    #[command(flatten)]
    agent: AgentArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(super) fn execute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let answer = Client::new(&args.agent)?.get(&["links"], &[])?;
    match args.format.format() {
        Format::Json => answer.pass_through(out),
        Format::Csv => csv(&answer.parse()?, out),
        Format::People(screen) => Ok(out.write_all(people(&answer.parse()?, screen).as_bytes())?),
    }
}

/// `eth0`, or `eth0 vlan 100`.
pub(super) fn edge(interface: &str, vlan: Option<u16>) -> String {
    let interface = clean(interface);
    match vlan {
        Some(vlan) => format!("{interface} vlan {vlan}"),
        None => interface,
    }
}

/// `upstream`, or `upstream transit`.
pub(super) fn role(role: &str, kind: Option<&str>) -> String {
    clean(&[Some(role), kind].into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn people(links: &Links, screen: Screen) -> String {
    let mut table = screen.table();
    let mut head = vec![heading("link"), heading("on"), heading("role"), heading(""), heading("mode")];
    head.extend(
        ["now bit/s", "5m bit/s", "since start", "unmatched", "non-IP", "coverage", "closure"]
            .map(number_heading),
    );
    table.set_header(head);
    for link in &links.links {
        for (index, (direction, of)) in link.directions.iter().enumerate() {
            let mut cells = if index == 0 {
                vec![
                    text(&link.name),
                    text(&edge(&link.interface, link.vlan)),
                    text(&role(&link.role, link.kind.as_deref())),
                ]
            } else {
                vec![text(""), text(""), text("")]
            };
            cells.push(text(direction));
            cells.push(text(&format!("{} {}", of.hook, of.mode.as_deref().unwrap_or("off"))));
            cells.push(number(output::si(of.now.bits_per_second as f64)));
            cells.push(number(output::si(of.last_5m.bits_per_second as f64)));
            cells.push(number(output::bytes(of.since_start.bytes)));
            cells.push(number(of.unmatched.map(|amount| output::bytes(amount.bytes)).unwrap_or_default()));
            cells.push(number(output::bytes(not_ip(of))));
            cells.push(number(of.coverage.map(output::share).unwrap_or_default()));
            cells.push(closure(of.closure_ok));
            table.add_row(cells);
        }
        if link.directions.iter().next().is_none() {
            table.add_row([
                text(&link.name),
                text(&edge(&link.interface, link.vlan)),
                text(&role(&link.role, link.kind.as_deref())),
                text(""),
                alarm(text("not attached")),
            ]);
        }
    }
    let period = ranking::period(links.from, links.to, None);
    format!("{}: links, {period}\n\n{}", clean(&links.router), output::finish(table))
}

/// `ok`, or what stands out.
pub(super) fn closure(ok: bool) -> comfy_table::Cell {
    if ok { number("ok") } else { alarm(number("BROKEN")) }
}

fn not_ip(of: &LinkDirection) -> u64 {
    let outcomes = &of.outcomes;
    [outcomes.non_ip, outcomes.malformed, outcomes.unsupported]
        .iter()
        .fold(0, |sum: u64, amount| sum.saturating_add(amount.bytes))
}

fn csv(links: &Links, out: &mut dyn Write) -> Result<(), CliError> {
    let mut writer = csv::Writer::from_writer(out);
    let mut header: Vec<String> = [
        "name",
        "interface",
        "vlan",
        "role",
        "kind",
        "direction",
        "hook",
        "mode",
        "packets",
        "bytes",
        "packets_per_second",
        "bits_per_second",
        "unmatched_packets",
        "unmatched_bytes",
        "coverage",
        "closure_ok",
    ]
    .map(str::to_owned)
    .to_vec();
    for (outcome, _) in LinkDirection::default().outcomes.all() {
        header.push(format!("{outcome}_packets"));
        header.push(format!("{outcome}_bytes"));
    }
    writer.write_record(&header)?;
    for Link { name, interface, vlan, role, kind, directions } in &links.links {
        for (direction, of) in directions.iter() {
            let mut record = vec![
                name.clone(),
                interface.clone(),
                optional(*vlan),
                role.clone(),
                kind.clone().unwrap_or_default(),
                direction.to_owned(),
                of.hook.clone(),
                of.mode.clone().unwrap_or_default(),
                of.since_start.packets.to_string(),
                of.since_start.bytes.to_string(),
                of.now.packets_per_second.to_string(),
                of.now.bits_per_second.to_string(),
                optional(of.unmatched.map(|amount| amount.packets)),
                optional(of.unmatched.map(|amount| amount.bytes)),
                optional(of.coverage),
                of.closure_ok.to_string(),
            ];
            for (_, amount) in of.outcomes.all() {
                record.push(amount.packets.to_string());
                record.push(amount.bytes.to_string());
            }
            writer.write_record(&record)?;
        }
    }
    Ok(writer.flush()?)
}
