//! `classifier table`: what tables hold, and converting them.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use jiff::{Timestamp, civil::Date};

use super::{
    CliError,
    args::{FormatArgs, TableArgs, one_of},
    output::{self, Format, Screen, dim, heading, number, number_heading, optional, text},
    tables::{self, TableInfo},
};
use crate::{
    ingest::{
        self, LoadOptions, TableSpec,
        export::{self, ExportError, ExportFormat},
        set::TableSet,
        snapshot::{self, About},
    },
    table::rib::PrefixCounts,
};

/// Show what tables hold, or convert them to another format
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier table info
  classifier table info --table rib.20260101.0000.bz2
  classifier table export --format pfx2as -o table.pfx2as")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Info(InfoArgs),
    Export(ExportArgs),
    Snapshot(SnapshotArgs),
}

/// Show the sources, how old they are, and how much is in them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier table info
  classifier table info --table rib.mrt --override override.txt --json")]
struct InfoArgs {
    #[command(flatten)]
    tables: TableArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Write the routes that are chosen in another format
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier table export --format csv > table.csv
  classifier table export --format mrt -o table.mrt --table rib.mrt --override override.txt")]
struct ExportArgs {
    /// The format
    #[arg(long, value_parser = one_of::<ExportFormat>(ExportFormat::ALL.iter().map(|format| format.name())))]
    format: ExportFormat,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    tables: TableArgs,
}

/// Make the compact file that is built into the binary
#[derive(Debug, clap::Args)]
#[command(
    hide = true,
    after_help = "Example:
  classifier table snapshot --table asn-ipv4.csv --table asn-ipv6.csv --date 2026-01-01 -o data/builtin.bin"
)]
struct SnapshotArgs {
    /// The files it is made of; may be repeated, the first has precedence
    #[arg(long = "table", value_name = "FILE", required = true)]
    tables: Vec<PathBuf>,
    /// How old the data is, as YYYY-MM-DD
    #[arg(long)]
    date: Date,
    /// Where the data comes from, in one line
    #[arg(long, value_name = "TEXT", default_value = "files")]
    source: String,
    /// Who must be named wherever the data is shown, in one line
    #[arg(long, value_name = "TEXT", default_value = "")]
    attribution: String,
    /// Where it is written
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn execute(args: Args, out: &mut dyn Write) -> Result<(), CliError> {
    match args.command {
        Command::Info(args) => {
            let tables = tables::load(&tables::request(args.tables)?)?;
            print(&tables::info(&tables), args.format.format(), out)
        }
        Command::Export(args) => {
            let tables = tables::load(&tables::request(args.tables)?)?;
            match &args.output {
                None => write_table(&tables, args.format, out),
                Some(path) => write_file(path, |out| write_table(&tables, args.format, out)),
            }
        }
        Command::Snapshot(args) => snapshot(args, out),
    }
}

fn write_table(tables: &TableSet, format: ExportFormat, out: &mut dyn Write) -> Result<(), CliError> {
    export::write(&tables.rib, &tables.names(), format, Timestamp::now(), out).map_err(|error| match error {
        ExportError::Write(error) => CliError::Output(error),
        error @ ExportError::Mrt(_) => CliError::work(error),
    })
}

fn snapshot(args: SnapshotArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let options = LoadOptions::default();
    let tables = args
        .tables
        .into_iter()
        .map(|path| ingest::load(&TableSpec::File(path), &options, &mut |_| {}).map_err(CliError::work));
    let about = About { date: args.date, source: args.source, attribution: args.attribution };
    let built = snapshot::build(tables.collect::<Result<_, _>>()?, &about).map_err(CliError::work)?;
    write_file(&args.output, |out| Ok(out.write_all(&built.bytes)?))?;
    let (PrefixCounts { ipv4, ipv6 }, names, bytes) = (built.prefixes, built.names, built.bytes.len());
    Ok(writeln!(
        out,
        "{}: {ipv4} IPv4 and {ipv6} IPv6 prefixes, {names} AS names, {bytes} bytes",
        args.output.display()
    )?)
}

/// Writes beside the file and puts it in its place when it is whole: a failure leaves the file as it was.
pub(super) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let failed = |source| CliError::Write { path: path.to_owned(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let written = File::create(&beside).map_err(failed).and_then(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out).map_err(|error| match error {
            CliError::Output(source) => failed(source),
            error => error,
        })?;
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        fs::rename(&beside, path).map_err(failed)
    });
    if written.is_err() {
        // Nothing of use is in it; the error that matters is the first one.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn print(info: &TableInfo, format: Format, out: &mut dyn Write) -> Result<(), CliError> {
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, info)?;
            Ok(writeln!(out)?)
        }
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(out);
            writer.write_record([
                "name",
                "kind",
                "date",
                "ipv4_prefixes",
                "ipv6_prefixes",
                "names",
                "notices",
            ])?;
            for source in &info.sources {
                writer.write_record([
                    &source.name,
                    &source.kind,
                    &optional(source.date.as_ref()),
                    &source.ipv4_prefixes.to_string(),
                    &source.ipv6_prefixes.to_string(),
                    &source.names.to_string(),
                    &source.notices.join("; "),
                ])?;
            }
            Ok(writer.flush()?)
        }
        Format::People(screen) => Ok(out.write_all(people(info, screen).as_bytes())?),
    }
}

fn people(info: &TableInfo, screen: Screen) -> String {
    let mut table = screen.table();
    let mut head = ["source", "kind", "date"].map(heading).to_vec();
    head.extend(["IPv4 prefixes", "IPv6 prefixes", "AS names"].map(number_heading));
    table.set_header(head);
    for source in &info.sources {
        table.add_row([
            text(&source.name),
            text(&source.kind),
            text(source.date.as_deref().unwrap_or("unknown")),
            number(source.ipv4_prefixes),
            number(source.ipv6_prefixes),
            number(source.names),
        ]);
    }
    table.add_row([
        dim(text("together")),
        text(""),
        text(""),
        dim(number(info.ipv4_prefixes)),
        dim(number(info.ipv6_prefixes)),
        dim(number(info.names)),
    ]);
    let mut shown = output::finish(table);
    shown.push_str(&format!("\n{} ASes originate these prefixes.\n", info.ases));
    for source in &info.sources {
        for notice in &source.notices {
            shown.push_str(&output::clean(&format!("{}: {notice}", source.name)));
            shown.push('\n');
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{super::tables::SourceInfo, *};

    fn info() -> TableInfo {
        TableInfo {
            sources: vec![
                SourceInfo {
                    name: "rib.mrt".into(),
                    kind: "mrt".into(),
                    date: Some("2026-01-01T00:00:00Z".into()),
                    ipv4_prefixes: 1_012_345,
                    ipv6_prefixes: 223_456,
                    names: 0,
                    notices: vec!["12 AS paths end in an AS_SET".into()],
                },
                SourceInfo {
                    name: "mine.txt".into(),
                    kind: "override".into(),
                    date: None,
                    ipv4_prefixes: 1,
                    ipv6_prefixes: 0,
                    names: 1,
                    notices: vec![],
                },
            ],
            ipv4_prefixes: 1_012_346,
            ipv6_prefixes: 223_456,
            ases: 84_321,
            names: 1,
        }
    }

    fn shown(format: Format) -> String {
        let mut out = Vec::new();
        print(&info(), format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn people_see_a_table() {
        insta::assert_snapshot!(shown(Format::People(Screen { width: 100, colour: false })), @"
        source    kind      date                  IPv4 prefixes  IPv6 prefixes  AS names
        rib.mrt   mrt       2026-01-01T00:00:00Z        1012345         223456         0
        mine.txt  override  unknown                           1              0         1
        together                                        1012346         223456         1

        84321 ASes originate these prefixes.
        rib.mrt: 12 AS paths end in an AS_SET
        ");
    }

    #[test]
    fn csv_has_a_line_a_source() {
        insta::assert_snapshot!(shown(Format::Csv), @"
        name,kind,date,ipv4_prefixes,ipv6_prefixes,names,notices
        rib.mrt,mrt,2026-01-01T00:00:00Z,1012345,223456,0,12 AS paths end in an AS_SET
        mine.txt,override,,1,0,1,
        ");
    }

    #[test]
    fn json_has_all() {
        let json: serde_json::Value = serde_json::from_str(&shown(Format::Json)).unwrap();
        assert_eq!(json["sources"][0]["ipv4_prefixes"], 1_012_345);
        assert_eq!(json["sources"][1]["date"], serde_json::Value::Null);
        assert_eq!(json["ases"], 84_321);
    }

    #[test]
    fn a_failed_export_leaves_the_file_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table.csv");
        write_file(&path, |out| Ok(out.write_all(b"old")?)).unwrap();
        let error = write_file(&path, |out| {
            out.write_all(b"half of the new")?;
            Err(CliError::work("no more"))
        });
        assert_eq!(error.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
