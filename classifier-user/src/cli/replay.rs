//! `classifier replay`: a capture through the same BPF program.

use std::{io::Write, path::PathBuf};

use clap::ValueEnum;

use super::{
    CliError,
    args::{FormatArgs, TableArgs},
    output::{self, Format, Screen, clip, dim, heading, number, number_heading, text},
    tables, wiring,
};
use crate::{
    model::Side,
    replay::{By, ReplayPlan, report::Report},
    totals::answer::{Amount, Outcomes},
};

/// Run a capture through the BPF program that counts on the router, and show its totals
///
/// Needs the right to load BPF programs (root), but no interface and no agent.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sudo classifier replay capture.pcap
  sudo classifier replay capture.pcapng --side source --by prefix
  sudo classifier replay capture.pcap --table rib.mrt.gz --json")]
pub(super) struct Args {
    /// A pcap or pcapng file of Ethernet frames
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Which address is looked at
    #[arg(long, value_enum, default_value_t)]
    side: SideArg,
    /// What a row is
    #[arg(long, value_enum, default_value_t)]
    by: ByArg,
    /// How many rows [default: 20 for people, all in JSON and CSV]
    #[arg(short, value_name = "ROWS")]
    n: Option<usize>,
    #[command(flatten)]
    tables: TableArgs,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum SideArg {
    #[default]
    Destination,
    Source,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ByArg {
    #[default]
    As,
    Prefix,
}

const ROWS_FOR_PEOPLE: usize = 20;

pub(super) fn execute(args: Args, out: &mut dyn Write) -> Result<(), CliError> {
    let format = args.format.format();
    let rows = args.n.or(matches!(format, Format::People(_)).then_some(ROWS_FOR_PEOPLE));
    let (mut answer, damage) = wiring::replay(&plan(args)?)?;
    if let Some(rows) = rows {
        answer.rows.truncate(rows);
    }
    print(&answer, format, out)?;
    // What was read before the damage stands, and is shown before the complaint.
    damage.map_or(Ok(()), |damage| {
        out.flush()?;
        Err(CliError::work(damage))
    })
}

fn plan(args: Args) -> Result<ReplayPlan, CliError> {
    Ok(ReplayPlan {
        file: args.file,
        tables: tables::request(args.tables)?,
        side: match args.side {
            SideArg::Destination => Side::Destination,
            SideArg::Source => Side::Source,
        },
        by: match args.by {
            ByArg::As => By::As,
            ByArg::Prefix => By::Prefix,
        },
    })
}

fn print(answer: &Report, format: Format, out: &mut dyn Write) -> Result<(), CliError> {
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, answer)?;
            Ok(writeln!(out)?)
        }
        Format::Csv => csv(answer, out),
        Format::People(screen) => Ok(out.write_all(people(answer, screen).as_bytes())?),
    }
}

/// A line a row; unmatched has no AS.
fn csv(answer: &Report, out: &mut dyn Write) -> Result<(), CliError> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(["prefix", "asn", "name", "packets", "bytes", "share"])?;
    for row in &answer.rows {
        writer.write_record([
            row.prefix.as_deref().unwrap_or_default(),
            &row.asn.to_string(),
            row.name.as_deref().unwrap_or_default(),
            &row.packets.to_string(),
            &row.bytes.to_string(),
            &row.share.to_string(),
        ])?;
    }
    let Amount { packets, bytes } = answer.unmatched;
    writer.write_record([
        "",
        "",
        "unmatched",
        &packets.to_string(),
        &bytes.to_string(),
        &share(answer, bytes).to_string(),
    ])?;
    Ok(writer.flush()?)
}

fn share(answer: &Report, bytes: u64) -> f64 {
    if answer.bytes == 0 { 0.0 } else { bytes as f64 / answer.bytes as f64 }
}

fn people(answer: &Report, screen: Screen) -> String {
    let mut facts = screen.table();
    let mut head = vec![heading("frames")];
    head.extend(["packets", "bytes"].map(number_heading));
    facts.set_header(head);
    let Outcomes { ipv4, ipv6, non_ip, malformed, unsupported } = answer.outcomes;
    let all = Amount { packets: answer.packets, bytes: answer.bytes };
    let lines = [
        ("IPv4", ipv4),
        ("IPv6", ipv6),
        ("non-IP", non_ip),
        ("malformed", malformed),
        ("unsupported", unsupported),
        ("all", all),
    ];
    for (name, Amount { packets, bytes }) in lines {
        facts.add_row([text(name), number(packets), number(output::bytes(bytes))]);
    }

    let with_prefix = answer.rows.iter().any(|row| row.prefix.is_some());
    let mut table = screen.table();
    let mut head = vec![number_heading("#")];
    head.extend(with_prefix.then(|| heading("prefix")));
    head.extend(["AS", "name"].map(heading));
    head.extend(["packets", "bytes", "share"].map(number_heading));
    table.set_header(head);
    let name_width = screen.width.saturating_sub(if with_prefix { 80 } else { 50 }).clamp(12, 60);
    for (index, row) in answer.rows.iter().enumerate() {
        let mut cells = vec![number(index + 1)];
        cells.extend(with_prefix.then(|| text(row.prefix.as_deref().unwrap_or_default())));
        cells.push(text(&format!("AS{}", row.asn)));
        cells.push(text(&clip(row.name.as_deref().unwrap_or_default(), name_width)));
        cells.push(number(row.packets));
        cells.push(number(output::bytes(row.bytes)));
        cells.push(number(output::share(row.share)));
        table.add_row(cells);
    }
    let Amount { packets, bytes } = answer.unmatched;
    let mut cells = vec![text("")];
    cells.extend(with_prefix.then(|| text("")));
    cells.push(dim(text("unmatched")));
    cells.push(text(""));
    cells.push(dim(number(packets)));
    cells.push(dim(number(output::bytes(bytes))));
    cells.push(dim(number(output::share(share(answer, bytes)))));
    table.add_row(cells);

    let mut shown = output::finish(facts);
    if answer.snapped > 0 {
        shown.push_str(&format!(
            "\n{} frames were cut by the capture before their addresses end: not looked up. Capture with a longer snap length.\n",
            answer.snapped
        ));
    }
    shown.push_str(&format!("\nBy {} address\n\n{}", output::clean(&answer.side), output::finish(table)));
    shown
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        ingest::{LoadOptions, TableSpec, set::TableRequest},
        replay::report::Row,
    };

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn planned(line: &str) -> Result<ReplayPlan, CliError> {
        plan(Line::parse_from(line.split(' ')).args)
    }

    #[test]
    fn plans() {
        let default = ReplayPlan {
            file: "a.pcap".into(),
            tables: TableRequest { tables: vec![TableSpec::Builtin], ..TableRequest::default() },
            side: Side::Destination,
            by: By::As,
        };
        assert_eq!(planned("replay a.pcap").unwrap(), default);
        assert_eq!(
            planned("replay a.pcap --side source --by prefix --table t.csv --override o --as-names n --skip-bad-lines")
                .unwrap(),
            ReplayPlan {
                tables: TableRequest {
                    tables: vec![TableSpec::File("t.csv".into())],
                    overrides: Some("o".into()),
                    as_names: vec!["n".into()],
                    options: LoadOptions { skip_bad_lines: true },
                },
                side: Side::Source,
                by: By::Prefix,
                ..default
            }
        );
        assert_eq!(planned("replay a --table x --table x").unwrap_err().exit_code(), 2);
    }

    fn answer() -> Report {
        let amount = |packets, bytes| Amount { packets, bytes };
        Report {
            packets: 1000,
            bytes: 1_000_000,
            snapped: 2,
            outcomes: Outcomes {
                ipv4: amount(900, 900_000),
                ipv6: amount(90, 99_000),
                non_ip: amount(10, 1_000),
                ..Outcomes::default()
            },
            side: "destination".into(),
            rows: vec![
                Row {
                    asn: 2906,
                    name: Some("Netflix".into()),
                    prefix: Some("45.57.0.0/17".into()),
                    packets: 600,
                    bytes: 750_000,
                    share: 0.75,
                },
                Row {
                    asn: 64500,
                    name: None,
                    prefix: Some("198.51.100.0/24".into()),
                    packets: 300,
                    bytes: 150_000,
                    share: 0.15,
                },
            ],
            unmatched: amount(90, 99_000),
        }
    }

    fn shown(format: Format) -> String {
        let mut out = Vec::new();
        print(&answer(), format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn people_see_totals_and_rows() {
        insta::assert_snapshot!(shown(Format::People(Screen { width: 100, colour: false })), @"
        frames       packets    bytes
        IPv4             900   900 kB
        IPv6              90  99.0 kB
        non-IP            10  1.00 kB
        malformed          0      0 B
        unsupported        0      0 B
        all             1000  1.00 MB

        2 frames were cut by the capture before their addresses end: not looked up. Capture with a longer snap length.

        By destination address

        #  prefix           AS         name     packets    bytes  share
        1  45.57.0.0/17     AS2906     Netflix      600   750 kB  75.0%
        2  198.51.100.0/24  AS64500                 300   150 kB  15.0%
                            unmatched                90  99.0 kB   9.9%
        ");
    }

    #[test]
    fn csv_ends_with_unmatched() {
        insta::assert_snapshot!(shown(Format::Csv), @"
        prefix,asn,name,packets,bytes,share
        45.57.0.0/17,2906,Netflix,600,750000,0.75
        198.51.100.0/24,64500,,300,150000,0.15
        ,,unmatched,90,99000,0.099
        ");
    }

    #[test]
    fn json_is_the_contract() {
        assert_eq!(serde_json::from_str::<Report>(&shown(Format::Json)).unwrap(), answer());
    }
}
