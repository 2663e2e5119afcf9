//! What `as`, `prefix` and `group` share: one thing, over several periods, by link, and what it is made of.

use std::{io::Write, time::Duration};

use comfy_table::Cell;

use super::{
    CliError,
    answers::{Amount, Detail, DetailDirection, Row},
    args::{AgentArgs, DirectionArg, FormatArgs, PastArgs, SideArg, WindowArgs},
    client::Client,
    output::{self, Format, Screen, clean, heading, number, number_heading, optional},
    past,
    ranking::{self, Side},
};
use crate::config::Span;

/// Arguments of `as`, `prefix` and `group`.
#[derive(Debug, clap::Args)]
pub(super) struct DetailArgs {
    /// Only this direction (in: towards the ISP; out: towards the Internet)
    #[arg(long, value_enum)]
    direction: Option<DirectionArg>,
    /// Whose address is looked at: the Internet's (remote) or the ISP's (local)
    #[arg(long, value_enum, default_value_t)]
    side: SideArg,
    /// Only this link, by name; may be repeated
    #[arg(long = "link", value_name = "LINK")]
    links: Vec<String>,
    /// Which time: what the list of prefixes or ASes looks back to, and where it is more than an hour (24h, 7d, 30d, 1y), what the history says of it [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = super::args::period)]
    last: Option<Span>,
    #[command(flatten)]
    past: PastArgs,
    /// How many rows that list has
    #[arg(short, value_name = "ROWS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    n: u32,
    #[command(flatten)]
    agent: AgentArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Asks for `path` and shows what comes.
pub(super) fn execute(path: &[&str], args: &DetailArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let DetailArgs { direction, side, links, last, past, .. } = args;
    let last = Some(last.unwrap_or(Span(Duration::from_secs(3600))));
    let window =
        WindowArgs { direction: *direction, side: *side, links: links.clone(), last, past: past.clone() };
    let mut query = window.query();
    query.push(("n", args.n.to_string()));
    let answer = Client::new(&args.agent)?.get(path, &query)?;
    match args.format.format() {
        Format::Json => answer.pass_through(out),
        Format::Csv => csv(&answer.parse()?, out),
        Format::People(screen) => Ok(out.write_all(people(&answer.parse()?, screen).as_bytes())?),
    }
}

fn people(detail: &Detail, screen: Screen) -> String {
    let mut text = title(detail);
    if let Some(past) = &detail.past {
        text.push_str(&past::people(past, screen));
        return text;
    }
    text.push_str("\n\n");
    text.push_str(&standings(detail, screen));
    let mut list = |what: &str, noun: &str, rows: &dyn Fn(&DetailDirection) -> Option<&Vec<Row>>| {
        let lists: Vec<(&str, Vec<Row>)> = detail
            .directions
            .iter()
            .filter_map(|(direction, of)| {
                Some((direction, rows(of)?.iter().map(|row| plain(row, detail)).collect()))
            })
            .collect();
        if lists.iter().any(|(_, rows)| !rows.is_empty()) {
            let sides: Vec<Side<'_>> =
                lists.iter().map(|(direction, rows)| Side { direction, rows, below: Vec::new() }).collect();
            let period = ranking::period(detail.from, detail.to, None);
            text.push_str(&format!("\n{noun}, {period}\n\n{}", ranking::table(screen, what, &sides)));
        }
    };
    list("prefix", "Largest prefixes", &|of| of.prefixes.as_ref());
    list("AS", "Largest ASes", &|of| of.ases.as_ref());
    list("neighbor", "Reached by way of (shares of its own traffic)", &|of| of.neighbors.as_ref());
    let carries = detail.directions.iter().any(|(_, of)| of.carried.is_some_and(|amount| amount.bytes > 0));
    if carries {
        let carried: Vec<String> = detail
            .directions
            .iter()
            .filter_map(|(direction, of)| Some((direction, of.carried?)))
            .map(|(direction, amount)| {
                let share = amount.share.map(output::share).unwrap_or_default();
                format!("{direction} {} ({share} of all)", output::bytes(amount.bytes))
            })
            .collect();
        list("AS", "Behind it, by the routes of now", &|of| of.behind.as_ref());
        text.push_str(&format!("\nCarried for others: {}\n", carried.join(", ")));
    }
    text
}

/// A row without what the title says already: an AS's own name behind each of its prefixes.
fn plain(row: &Row, detail: &Detail) -> Row {
    let mut row = row.clone();
    if row.prefix.is_some() && row.asn == detail.asn {
        (row.asn, row.name) = (None, None);
    }
    if row.part.is_some() {
        row.share = row.part;
        if row.asn.is_none() {
            row.name = Some("no path".to_owned());
        }
    }
    row
}

/// `border-1: AS2906 Netflix (group netflix), remote side`.
fn title(detail: &Detail) -> String {
    let mut words = Vec::new();
    words.extend(detail.prefix.clone());
    // A group has ASes, not an AS.
    words.extend(detail.asn.map(|asn| format!("AS{asn}")));
    words.extend(detail.name.clone());
    let mut notes = Vec::new();
    if detail.asns.is_empty() {
        notes.extend(detail.group.as_ref().map(|group| format!("group {group}")));
    } else {
        notes.extend(detail.kind.clone());
        let list: Vec<String> = detail.asns.iter().map(|asn| format!("AS{asn}")).collect();
        notes.push(list.join(" "));
    }
    notes.extend(
        detail
            .routes
            .map(|routes| if routes == 1 { "1 route".to_owned() } else { format!("{routes} routes") }),
    );
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    clean(&format!("{}: {}{notes}, {} side", detail.router, words.join(" "), detail.side))
}

/// A line's label, and its number of packets, bytes, rate, share and rank in a direction.
struct Line {
    label: String,
    /// Whether the line is a rate only.
    now: bool,
    amounts: Vec<Option<Amount>>,
}

fn standings(detail: &Detail, screen: Screen) -> String {
    let directions: Vec<(&str, &DetailDirection)> = detail.directions.iter().collect();
    let line = |label: &str, amount: &dyn Fn(&DetailDirection) -> Amount| Line {
        label: label.to_owned(),
        now: false,
        amounts: directions.iter().map(|(_, of)| Some(amount(of))).collect(),
    };
    let mut lines = vec![
        Line {
            now: true,
            ..line("now", &|of| Amount { bits_per_second: of.now.bits_per_second, ..Amount::default() })
        },
        line("last 5m", &|of| of.last_5m),
        line("last 1h", &|of| of.last_1h),
        line("since start", &|of| of.since_start),
        line("  IPv4", &|of| of.ipv4),
        line("  IPv6", &|of| of.ipv6),
    ];
    let mut links: Vec<&str> = Vec::new();
    for (_, of) in &directions {
        for part in &of.links {
            if !links.contains(&part.link.as_str()) {
                links.push(&part.link);
            }
        }
    }
    for link in links {
        let amounts = directions.iter().map(|(_, of)| {
            let part = of.links.iter().find(|part| part.link == link)?;
            Some(Amount { packets: part.packets, bytes: part.bytes, ..Amount::default() })
        });
        lines.push(Line { label: format!("  link {}", clean(link)), now: false, amounts: amounts.collect() });
    }

    let mut table = screen.table();
    let mut head = vec![heading("\n")];
    for (index, (direction, _)) in directions.iter().enumerate() {
        if index > 0 {
            head.push(Cell::new("│\n│"));
        }
        head.push(number_heading(format!("{}\nbit/s", direction.to_uppercase())));
        head.extend(["\nbytes", "\nshare", "\nrank"].map(number_heading));
    }
    table.set_header(head);
    for Line { label, now, amounts } in lines {
        let mut cells = vec![Cell::new(label)];
        for (index, amount) in amounts.into_iter().enumerate() {
            if index > 0 {
                cells.push(Cell::new("│"));
            }
            let Some(amount) = amount else {
                cells.extend(["", "", "", ""].map(Cell::new));
                continue;
            };
            // A part of the whole time has no rate of its own.
            let rated = now || amount.share.is_some();
            let rate = if rated { output::si(amount.bits_per_second as f64) } else { String::new() };
            let bytes = if now { String::new() } else { output::si(amount.bytes as f64) };
            cells.push(number(rate));
            cells.push(number(bytes));
            cells.push(number(amount.share.map(output::share).unwrap_or_default()));
            cells.push(number(optional(amount.rank)));
        }
        table.add_row(cells);
    }
    output::finish(table)
}

/// A line a number: periods, families, links, and the rows of the lists.
fn csv(detail: &Detail, out: &mut dyn Write) -> Result<(), CliError> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "direction",
        "section",
        "key",
        "name",
        "packets",
        "bytes",
        "bits_per_second",
        "share",
        "rank",
    ])?;
    if let Some(past) = &detail.past {
        past::csv(past, &mut writer)?;
    }
    let mut put = |direction: &str, section: &str, key: &str, name: &str, amount: Amount, rated: bool| {
        writer.write_record([
            direction,
            section,
            key,
            name,
            &amount.packets.to_string(),
            &amount.bytes.to_string(),
            &optional(rated.then_some(amount.bits_per_second)),
            &optional(amount.share),
            &optional(amount.rank),
        ])
    };
    for (direction, of) in detail.directions.iter() {
        put(direction, "last_5m", "", "", of.last_5m, true)?;
        put(direction, "last_1h", "", "", of.last_1h, true)?;
        put(direction, "since_start", "", "", of.since_start, true)?;
        put(direction, "ipv4", "", "", of.ipv4, false)?;
        put(direction, "ipv6", "", "", of.ipv6, false)?;
        for part in &of.links {
            let &super::answers::LinkPart { ref link, packets, bytes, bits_per_second } = part;
            let amount = Amount { packets, bytes, bits_per_second, ..Amount::default() };
            put(direction, "link", link, "", amount, true)?;
        }
        if let Some(carried) = of.carried {
            put(direction, "carried", "", "", carried, true)?;
        }
        let lists =
            [("prefix", &of.prefixes), ("as", &of.ases), ("neighbor", &of.neighbors), ("behind", &of.behind)];
        for (section, rows) in lists {
            for row in rows.iter().flatten() {
                let key = row.prefix.clone().unwrap_or_else(|| optional(row.asn));
                let Row { rank, packets, bytes, bits_per_second, share, .. } = *row;
                let amount = Amount {
                    packets,
                    bytes,
                    bits_per_second,
                    share,
                    rank: (rank > 0).then_some(rank),
                    change: None,
                };
                put(direction, section, &key, row.name.as_deref().unwrap_or_default(), amount, true)?;
            }
        }
    }
    Ok(writer.flush()?)
}
