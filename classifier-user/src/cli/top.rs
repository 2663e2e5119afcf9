//! `classifier top`: who sends and receives most.

use std::io::Write;

use super::{
    CliError,
    answers::{Amount, Compare, Row, Top, TopDirection},
    args::{AgentArgs, ByArg, FormatArgs, WindowArgs},
    client::Client,
    live,
    output::{Format, Screen, clean, optional},
    ranking::{self, Side},
};

/// Show which networks send and receive most
///
/// Both directions side by side, unless one is asked for. Shares are of all bytes of the direction: unmatched and
/// non-IP frames are in the whole.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier top                                  the largest ASes of the last five minutes
  classifier top --by group --last 24h            Netflix, Google, … of the last day
  classifier top --by neighbor                    by which transit or peer (with BGP)
  classifier top --last 7d --compare previous     the last week, and how it differs from the one before
  classifier top --from 2026-10 --to 2026-11      October, in the zone of the agent's days
  classifier top --direction in --link transit-a  what comes in over one link
  classifier top --by prefix --side local -n 50   which of our prefixes carry most
  classifier top --live                           the rates of now on the whole terminal, with each sweep
  classifier top --csv > top.csv                  for a spreadsheet")]
pub(super) struct Args {
    /// What a row is
    #[arg(long, value_enum, default_value_t)]
    by: ByArg,
    /// How many rows
    #[arg(short, value_name = "ROWS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    n: u32,
    #[command(flatten)]
    window: WindowArgs,
    /// Show it on the whole terminal, again with each sweep: rates of now, or of --last; keys sort, filter and pause it
    #[arg(long, conflicts_with_all = ["json", "csv", "from", "to", "compare"])]
    live: bool,
    #[command(flatten)]
    agent: AgentArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(super) fn execute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    if args.live {
        return live(args);
    }
    let client = Client::new(&args.agent)?;
    let mut query = vec![("by", args.by.name().to_owned()), ("n", args.n.to_string())];
    query.extend(args.window.query());
    let answer = client.get(&["top"], &query)?;
    match args.format.format() {
        Format::Json => answer.pass_through(out),
        Format::Csv => csv(&answer.parse()?, out),
        Format::People(screen) => Ok(out.write_all(people(&answer.parse()?, screen).as_bytes())?),
    }
}

fn live(args: &Args) -> Result<(), CliError> {
    let WindowArgs { direction, side, links, last, past: _ } = args.window.clone();
    let window = last.map_or(live::Window::Now, live::Window::Last);
    let question = live::Question { by: args.by, direction, side, links, window };
    live::execute(&args.agent, question)
}

fn people(top: &Top, screen: Screen) -> String {
    let what = match top.by.as_str() {
        "as" | "transit" => "AS",
        by => by,
    };
    let sides: Vec<Side<'_>> = top
        .directions
        .iter()
        .map(|(direction, of)| Side { direction, rows: &of.rows, below: below(of) })
        .collect();
    let mut text = format!(
        "{}: top by {}, {} side, {}\n",
        clean(&top.router),
        clean(if top.by == "as" { "AS" } else { &top.by }),
        clean(&top.side),
        ranking::period(top.from, top.to, top.zone.as_deref()),
    );
    text.push_str(&notes(top));
    text.push('\n');
    text.push_str(&ranking::table(screen, &clean(what), &sides));
    text
}

/// What must be known to read the numbers: how much of the period was counted, and what it is compared with.
fn notes(top: &Top) -> String {
    let zone = top.zone.as_deref();
    let mut notes = ranking::coverage(top.covered, top.since, zone);
    notes.push_str(match top.by.as_str() {
        "neighbor" => NEIGHBOR,
        "transit" => TRANSIT,
        _ => "",
    });
    if let Some(Compare { from, to, covered }) = top.compare {
        let period = ranking::period(from, to, zone);
        notes.push_str(&if covered > 0.0 {
            format!("compared with {period}\n")
        } else {
            format!("nothing is known of the period before ({period})\n")
        });
    }
    notes
}

/// Routing is asymmetric.
const NEIGHBOR: &str = "by the routes of now, which is exact for out; what comes in may come another way\n";
const TRANSIT: &str = "every AS on the way of the routes of now: a packet is in the row of each, so rows do not add up; \
                       what comes in may come another way\n";

fn below(direction: &TopDirection) -> Vec<(&'static str, Amount)> {
    let share = Some(if direction.total.bytes == 0 { 0.0 } else { 1.0 });
    let total = Amount { share, change: direction.change, ..direction.total };
    let mut below = vec![("other", direction.other)];
    below.extend(direction.no_path.map(|amount| ("no path", amount)));
    below.extend([("unmatched", direction.unmatched), ("non-IP", direction.non_ip), ("total", total)]);
    below
}

/// A line a row, and one each for `other`, `no_path` (by neighbour and transit), `unmatched`, `non_ip` and `total`, whose
/// rank is empty.
fn csv(top: &Top, out: &mut dyn Write) -> Result<(), CliError> {
    let with_origin = top.by == "prefix";
    let mut writer = csv::Writer::from_writer(out);
    let of_ases = matches!(top.by.as_str(), "as" | "neighbor" | "transit");
    let mut header = vec!["direction", "rank", if of_ases { "asn" } else { &top.by }];
    if with_origin {
        header.push("asn");
    }
    header.extend(["name", "packets", "bytes", "bits_per_second", "share"]);
    let compared = top.compare.is_some();
    if compared {
        header.extend(["previous_bytes", "change"]);
    }
    writer.write_record(&header)?;
    let change = |previous: Option<u64>, change: Option<f64>| {
        if compared { vec![optional(previous), optional(change)] } else { Vec::new() }
    };
    for (direction, of) in top.directions.iter() {
        for row in &of.rows {
            let mut record = vec![direction.to_owned(), row.rank.to_string(), key(row)];
            if with_origin {
                record.push(optional(row.asn));
            }
            record.push(row.name.clone().unwrap_or_default());
            record.extend(numbers(row.packets, row.bytes, row.bits_per_second, row.share));
            record.extend(change(row.previous_bytes, row.change));
            writer.write_record(&record)?;
        }
        let mut below = vec![("other", of.other)];
        below.extend(of.no_path.map(|amount| ("no_path", amount)));
        below.extend([("unmatched", of.unmatched), ("non_ip", of.non_ip), ("total", of.total)]);
        for (label, amount) in below {
            let mut record = vec![direction.to_owned(), String::new(), label.to_owned()];
            record.resize(header.len() - if compared { 6 } else { 4 }, String::new());
            record.extend(numbers(amount.packets, amount.bytes, amount.bits_per_second, amount.share));
            record.extend(match label {
                "total" => change(of.previous_bytes, of.change),
                _ => change(None, None),
            });
            writer.write_record(&record)?;
        }
    }
    Ok(writer.flush()?)
}

fn key(row: &Row) -> String {
    if let Some(prefix) = &row.prefix {
        return prefix.clone();
    }
    if row.asn.is_some() {
        return optional(row.asn);
    }
    row.group.as_ref().or(row.kind.as_ref()).or(row.link.as_ref()).cloned().unwrap_or_default()
}

fn numbers(packets: u64, bytes: u64, bits_per_second: u64, share: Option<f64>) -> [String; 4] {
    [packets.to_string(), bytes.to_string(), bits_per_second.to_string(), optional(share)]
}
