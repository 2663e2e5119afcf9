//! `classifier lookup`: address → prefix → AS, from the tables themselves, or from the agent's.

use std::{io::Write, net::IpAddr};

use serde::Serialize;

use super::{
    CliError,
    args::{AgentTlsArgs, FormatArgs, TableArgs},
    client::{Client, url::AgentText},
    output::{self, Format, Screen, dim, heading, optional, text},
    tables,
};
use crate::{
    ingest::set::TableSet,
    questions::routes::{CandidateAnswer, LookupAnswer},
};

/// Look addresses up: which prefix, which AS. Needs no root and no agent
///
/// With --agent the agent's own table is asked, which has the routes of its BGP and BMP peers: by which AS path, which
/// routes there are for the prefix, and what the others lost by.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier lookup 45.57.0.1 2a00:86c0::1 8.8.8.8
  classifier lookup 192.0.2.1 --table rib.20260101.0000.bz2
  classifier lookup 192.0.2.1 --table mine.csv --table builtin --override override.txt
  classifier lookup 8.8.8.8 --agent http://127.0.0.1:9469     the agent's route, and why it counts
  classifier lookup 8.8.8.8 --json")]
pub(super) struct Args {
    /// IPv4 or IPv6 addresses
    #[arg(required = true, value_name = "ADDR")]
    addresses: Vec<String>,
    /// Ask this agent instead of reading tables
    #[arg(long, value_name = "URL", conflicts_with_all = ["tables", "overrides", "as_names", "skip_bad_lines"])]
    agent: Option<AgentText>,
    #[command(flatten)]
    agent_tls: AgentTlsArgs,
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
    if let Some(agent) = &args.agent {
        let client = Client::with(agent, &args.agent_tls)?;
        let ask = |address: IpAddr| Ok(client.get(&["lookup", &address.to_string()], &[])?.parse()?);
        let answers = addresses.into_iter().map(ask).collect::<Result<Vec<LookupAnswer>, CliError>>()?;
        return print_live(&answers, args.format.format(), out);
    }
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

fn print_live(answers: &[LookupAnswer], format: Format, out: &mut dyn Write) -> Result<(), CliError> {
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, answers)?;
            Ok(writeln!(out)?)
        }
        Format::Csv => csv_live(answers, out),
        Format::People(screen) => Ok(out.write_all(people_live(answers, screen).as_bytes())?),
    }
}

/// A line a route: the one that counts first.
fn csv_live(answers: &[LookupAnswer], out: &mut dyn Write) -> Result<(), CliError> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "address",
        "prefix",
        "source",
        "kind",
        "best",
        "lost_by",
        "origins",
        "path",
        "local_pref",
        "med",
        "age_seconds",
        "stale",
    ])?;
    for answer in answers {
        let address = answer.address.to_string();
        let prefix = answer.prefix.as_deref().unwrap_or_default();
        if answer.candidates.is_empty() {
            let mut record = vec![address.as_str(), prefix];
            record.resize(12, "");
            writer.write_record(record)?;
        }
        for candidate in &answer.candidates {
            writer.write_record([
                address.as_str(),
                prefix,
                &candidate.source,
                &candidate.kind,
                if candidate.best { "true" } else { "false" },
                candidate.lost_by.as_deref().unwrap_or_default(),
                &list(&candidate.origins, ""),
                &path(candidate),
                &optional(candidate.local_pref),
                &optional(candidate.med),
                &optional(candidate.age_seconds),
                if candidate.stale { "true" } else { "false" },
            ])?;
        }
    }
    Ok(writer.flush()?)
}

/// `3356 1299 2906`, a set that ends it in braces.
fn path(candidate: &CandidateAnswer) -> String {
    let mut words: Vec<String> = candidate.path.iter().flatten().map(ToString::to_string).collect();
    if !candidate.path_set.is_empty() {
        let set: Vec<String> = candidate.path_set.iter().map(ToString::to_string).collect();
        words.push(format!("{{{}}}", set.join(",")));
    }
    words.join(" ")
}

fn people_live(answers: &[LookupAnswer], screen: Screen) -> String {
    let mut shown = String::new();
    for (place, answer) in answers.iter().enumerate() {
        if place > 0 {
            shown.push('\n');
        }
        shown.push_str(&people_one(answer, screen));
    }
    shown
}

fn people_one(answer: &LookupAnswer, screen: Screen) -> String {
    let named = |asn: u32, name: Option<&str>| match name {
        Some(name) => format!("AS{asn} {name}"),
        None => format!("AS{asn}"),
    };
    let mut title = format!("{}: ", answer.address);
    let Some(prefix) = &answer.prefix else {
        return format!("{title}no route\n");
    };
    title.push_str(prefix);
    title.push_str(" of ");
    title.push_str(&match answer.asn {
        Some(asn) => named(asn, answer.name.as_deref()),
        None => "AS0, not routed".to_owned(),
    });
    if let Some(neighbor) = answer.neighbor {
        title.push_str(&format!(", by way of {}", named(neighbor, answer.neighbor_name.as_deref())));
    }
    let mut table = screen.table();
    let head = ["", "source", "kind", "origin", "path", "pref", "MED", "age", "why"].map(heading);
    table.set_header(head);
    for candidate in &answer.candidates {
        let why = match (candidate.best, candidate.lost_by.as_deref()) {
            (true, _) if answer.candidates.len() == 1 => "the only route".to_owned(),
            (true, _) => "counts".to_owned(),
            (false, Some(lost_by)) => format!("lost by {}", words(lost_by)),
            (false, None) => String::new(),
        };
        let stale = if candidate.stale { " (stale)" } else { "" };
        table.add_row([
            text(if candidate.best { "*" } else { "" }),
            text(&candidate.source),
            text(&candidate.kind),
            text(&list(&candidate.origins, "AS")),
            text(&match &candidate.path {
                Some(_) => path(candidate),
                None => "-".to_owned(),
            }),
            text(&optional(candidate.local_pref)),
            text(&optional(candidate.med)),
            text(&format!("{}{stale}", candidate.age_seconds.map(output::duration).unwrap_or_default())),
            dim(text(&why)),
        ]);
    }
    format!("{}\n\n{}", output::clean(&title), output::finish(table))
}

/// What a route lost by.
fn words(lost_by: &str) -> &str {
    match lost_by {
        "source" => "precedence of its source",
        "standing" => "its peer's standing",
        "local_pref" => "local preference",
        "path_length" => "path length",
        "origin" => "origin code",
        "med" => "MED",
        "peer" => "order of peers",
        other => other,
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

    fn live() -> Vec<LookupAnswer> {
        let address = "198.51.100.1".parse().unwrap();
        let route = CandidateAnswer {
            source: "border".to_owned(),
            kind: "bgp".to_owned(),
            best: true,
            origins: vec![2906],
            path: Some(vec![3356, 2906]),
            local_pref: Some(100),
            origin_code: Some("igp".to_owned()),
            path_id: Some(0),
            age_seconds: Some(3700),
            ..CandidateAnswer::default()
        };
        let longer = CandidateAnswer {
            source: "spare".to_owned(),
            best: false,
            lost_by: Some("path_length".to_owned()),
            path: Some(vec![1299, 3356]),
            path_set: vec![2906, 40_027],
            stale: true,
            med: Some(7),
            ..route.clone()
        };
        let builtin = CandidateAnswer {
            source: "builtin".to_owned(),
            kind: "builtin".to_owned(),
            lost_by: Some("source".to_owned()),
            origins: vec![2906, 64_500],
            age_seconds: Some(86_400),
            ..CandidateAnswer::default()
        };
        let none = LookupAnswer {
            address: "192.0.2.1".parse().unwrap(),
            prefix: None,
            asn: None,
            name: None,
            origins: vec![],
            source: None,
            path: None,
            neighbor: None,
            neighbor_name: None,
            age_seconds: None,
            stale: false,
            candidates: vec![],
        };
        let found = LookupAnswer {
            address,
            prefix: Some("198.51.100.0/24".to_owned()),
            asn: Some(2906),
            name: Some("Netflix".to_owned()),
            origins: vec![2906],
            source: Some("border".to_owned()),
            path: Some(vec![3356, 2906]),
            neighbor: Some(3356),
            age_seconds: Some(3700),
            candidates: vec![route, longer, builtin],
            ..none.clone()
        };
        vec![found, none]
    }

    fn shown_live(format: Format) -> String {
        let mut out = Vec::new();
        print_live(&live(), format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_agents_routes_for_people() {
        let screen = Screen { width: 120, colour: false };
        insta::assert_snapshot!(shown_live(Format::People(screen)), @r"
        198.51.100.1: 198.51.100.0/24 of AS2906 Netflix, by way of AS3356

           source   kind     origin          path                    pref  MED  age            why
        *  border   bgp      AS2906          3356 2906               100        1h 1m          counts
           spare    bgp      AS2906          1299 3356 {2906,40027}  100   7    1h 1m (stale)  lost by path length
           builtin  builtin  AS2906 AS64500  -                                  1d 0h          lost by precedence of its source

        192.0.2.1: no route
        ");
    }

    #[test]
    fn an_agents_routes_as_csv() {
        insta::assert_snapshot!(shown_live(Format::Csv), @r#"
        address,prefix,source,kind,best,lost_by,origins,path,local_pref,med,age_seconds,stale
        198.51.100.1,198.51.100.0/24,border,bgp,true,,2906,3356 2906,100,,3700,false
        198.51.100.1,198.51.100.0/24,spare,bgp,false,path_length,2906,"1299 3356 {2906,40027}",100,7,3700,true
        198.51.100.1,198.51.100.0/24,builtin,builtin,false,source,2906 64500,,,,86400,false
        192.0.2.1,,,,,,,,,,,
        "#);
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
