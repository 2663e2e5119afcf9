//! `classifier lookup`: address → prefix → AS, from the tables themselves.

use std::{io::Write, net::IpAddr};

use serde::Serialize;

use super::{
    CliError,
    args::{FormatArgs, TableArgs},
    output::{self, Format, Screen, dim, heading, optional, text},
    tables,
};
use crate::ingest::set::TableSet;

/// Look addresses up: which prefix, which AS. Needs no root and no agent
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier lookup 45.57.0.1 2a00:86c0::1 8.8.8.8
  classifier lookup 192.0.2.1 --table rib.20260101.0000.bz2
  classifier lookup 192.0.2.1 --table mine.csv --table builtin --override override.txt
  classifier lookup 8.8.8.8 --json")]
pub(super) struct Args {
    /// IPv4 or IPv6 addresses
    #[arg(required = true, value_name = "ADDR")]
    addresses: Vec<String>,
    #[command(flatten)]
    tables: TableArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// An address's route. The fields are a contract (DESIGN, section 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Answer {
    address: IpAddr,
    prefix: Option<String>,
    /// `None`: no route, or AS 0.
    asn: Option<u32>,
    name: Option<String>,
    origins: Vec<u32>,
    source: Option<String>,
}

pub(super) fn execute(args: Args, out: &mut dyn Write) -> Result<(), CliError> {
    let addresses = args
        .addresses
        .into_iter()
        .map(|text| text.parse().map_err(|_| CliError::Address(text)))
        .collect::<Result<Vec<IpAddr>, _>>()?;
    let tables = tables::load(&tables::request(args.tables)?)?;
    let answers: Vec<Answer> = addresses.into_iter().map(|address| answer(&tables, address)).collect();
    print(&answers, args.format.format(), out)
}

fn answer(tables: &TableSet, address: IpAddr) -> Answer {
    let Some(found) = tables.rib.lookup(address) else {
        return Answer { address, prefix: None, asn: None, name: None, origins: Vec::new(), source: None };
    };
    let asn = Some(found.asn).filter(|&asn| asn != 0);
    Answer {
        address,
        prefix: Some(found.prefix.to_string()),
        asn,
        name: asn.and_then(|asn| tables.name(asn)).map(str::to_owned),
        origins: found.origins.to_vec(),
        source: tables.source(found.source).map(|source| source.name.clone()),
    }
}

fn print(answers: &[Answer], format: Format, out: &mut dyn Write) -> Result<(), CliError> {
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, answers)?;
            Ok(writeln!(out)?)
        }
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(out);
            writer.write_record(["address", "prefix", "asn", "name", "origins", "source"])?;
            for Answer { address, prefix, asn, name, origins, source } in answers {
                writer.write_record([
                    &address.to_string(),
                    prefix.as_deref().unwrap_or_default(),
                    &optional(*asn),
                    name.as_deref().unwrap_or_default(),
                    &list(origins, ""),
                    source.as_deref().unwrap_or_default(),
                ])?;
            }
            Ok(writer.flush()?)
        }
        Format::People(screen) => Ok(out.write_all(people(answers, screen).as_bytes())?),
    }
}

fn list(origins: &[u32], before: &str) -> String {
    origins.iter().map(|asn| format!("{before}{asn}")).collect::<Vec<_>>().join(" ")
}

fn people(answers: &[Answer], screen: Screen) -> String {
    let several = answers.iter().any(|answer| answer.origins.len() > 1);
    let mut table = screen.table();
    let mut head = ["address", "prefix", "AS", "name"].map(heading).to_vec();
    head.extend(several.then(|| heading("all origins")));
    head.push(heading("source"));
    table.set_header(head);
    for answer in answers {
        let mut cells = vec![text(&answer.address.to_string())];
        match (&answer.prefix, answer.asn) {
            (None, _) => cells.extend([text("-"), text("-"), dim(text("no route"))]),
            (Some(prefix), None) => cells.extend([text(prefix), text("AS0"), dim(text("not routed"))]),
            (Some(prefix), Some(asn)) => {
                let name = answer.name.as_deref().unwrap_or_default();
                cells.extend([text(prefix), text(&format!("AS{asn}")), text(name)]);
            }
        }
        if several {
            let origins = if answer.origins.len() > 1 { list(&answer.origins, "AS") } else { String::new() };
            cells.push(text(&origins));
        }
        cells.push(dim(text(answer.source.as_deref().unwrap_or_default())));
        table.add_row(cells);
    }
    output::finish(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{TableSpec, set::Part};
    use crate::{
        ingest::{Format as TableFormat, LoadReport, SourceTable},
        table::{names::Names, origins::Origins, rib::SourceId},
    };

    type Routes<'a> = &'a [(&'a str, &'a [u32])];

    fn source(name: &str, routes: Routes<'_>) -> SourceTable {
        let routes = routes
            .iter()
            .map(|(prefix, origins)| (prefix.parse().unwrap(), Origins::from_list(origins).unwrap()))
            .collect();
        let mut names = Names::default();
        names.insert(2906, "Netflix, \"Streaming\"");
        SourceTable {
            name: name.into(),
            kind: TableFormat::Mrt,
            date: None,
            routes,
            names,
            report: LoadReport::default(),
        }
    }

    fn tables() -> TableSet {
        let mut tables = TableSet::default();
        tables.replace(
            Part::Overrides("override.txt".into()),
            source("override.txt", &[("198.51.100.0/24", &[64500])]),
        );
        let files: [(&str, Routes<'_>); 2] = [
            ("rib.mrt", &[("2a00:86c0::/32", &[2906, 40027]), ("198.51.100.0/24", &[1])]),
            ("iptoasn.tsv", &[("240.0.0.0/4", &[0])]),
        ];
        for (index, (name, routes)) in files.into_iter().enumerate() {
            let rank = SourceId::file(index).unwrap();
            tables.replace(Part::Table(rank, TableSpec::File(name.into())), source(name, routes));
        }
        tables.replace(
            Part::Table(SourceId::BUILTIN, TableSpec::Builtin),
            source("builtin", &[("45.57.0.0/17", &[2906]), ("240.0.0.0/4", &[2])]),
        );
        tables
    }

    fn shown(format: Format) -> String {
        let (addresses, tables) =
            (["45.57.0.1", "2a00:86c0::1", "240.0.0.1", "198.51.100.1", "192.0.2.1"], tables());
        let answers: Vec<_> =
            addresses.iter().map(|address| answer(&tables, address.parse().unwrap())).collect();
        let mut out = Vec::new();
        print(&answers, format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_the_contract() {
        let json: serde_json::Value = serde_json::from_str(&shown(Format::Json)).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                {"address": "45.57.0.1", "prefix": "45.57.0.0/17", "asn": 2906, "name": "Netflix, \"Streaming\"",
                 "origins": [2906], "source": "builtin"},
                {"address": "2a00:86c0::1", "prefix": "2a00:86c0::/32", "asn": 2906, "name": "Netflix, \"Streaming\"",
                 "origins": [2906, 40027], "source": "rib.mrt"},
                {"address": "240.0.0.1", "prefix": "240.0.0.0/4", "asn": null, "name": null,
                 "origins": [0], "source": "iptoasn.tsv"},
                {"address": "198.51.100.1", "prefix": "198.51.100.0/24", "asn": 64500, "name": null,
                 "origins": [64500], "source": "override.txt"},
                {"address": "192.0.2.1", "prefix": null, "asn": null, "name": null, "origins": [], "source": null},
            ])
        );
    }

    #[test]
    fn csv_quotes() {
        insta::assert_snapshot!(shown(Format::Csv), @r#"
        address,prefix,asn,name,origins,source
        45.57.0.1,45.57.0.0/17,2906,"Netflix, ""Streaming""",2906,builtin
        2a00:86c0::1,2a00:86c0::/32,2906,"Netflix, ""Streaming""",2906 40027,rib.mrt
        240.0.0.1,240.0.0.0/4,,,0,iptoasn.tsv
        198.51.100.1,198.51.100.0/24,64500,,64500,override.txt
        192.0.2.1,,,,,
        "#);
    }

    #[test]
    fn people_see_a_table() {
        let screen = Screen { width: 120, colour: false };
        insta::assert_snapshot!(shown(Format::People(screen)), @r#"
        address       prefix           AS       name                  all origins     source
        45.57.0.1     45.57.0.0/17     AS2906   Netflix, "Streaming"                  builtin
        2a00:86c0::1  2a00:86c0::/32   AS2906   Netflix, "Streaming"  AS2906 AS40027  rib.mrt
        240.0.0.1     240.0.0.0/4      AS0      not routed                            iptoasn.tsv
        198.51.100.1  198.51.100.0/24  AS64500                                        override.txt
        192.0.2.1     -                -        no route
        "#);
    }
}
