//! `classifier history`: the past for other programs, and other programs' past for us.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write},
    path::PathBuf,
};

use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{CliError, args::TableArgs, table::write_file, tables};
use crate::{
    history::{
        Extent, Period, Read as _, Step,
        export::{self, By, ExportError, Request, csv::CsvSink, parquet::ParquetSink},
        store::Reader,
    },
    totals::{Clock, Moment},
};

/// Take the past out, or another program's in
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier history export --from 30d --by as --step day --format csv --state-dir /var/lib/classifier
  classifier history export --from 2026-01 --to 2026-02 --by link --format parquet -o january.parquet --state-dir /var/lib/classifier")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Export(ExportArgs),
}

/// What a row is of.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ByArg {
    /// Origin AS; 0: no route, 4294967295: what was too small to be kept apart
    #[default]
    As,
    /// Group of ASes, as it was then
    Group,
    /// Link: its IP traffic, and what is not IP
    Link,
    /// Prefix with its origin; the largest of each AS
    Prefix,
}

/// How long steps are.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum StepArg {
    /// Five minutes
    Slot,
    /// An hour
    Hour,
    /// A day of the agent's zone
    #[default]
    Day,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// CSV with a header line
    Csv,
    /// Apache Parquet, compressed with zstd
    Parquet,
}

/// Write the past as a table: a row a step, link, direction and AS, group or prefix
///
/// Reads the history of an agent, which may be running. Steps of which nothing was counted have no rows; where finer steps
/// are not kept any more, longer ones are written: `from` and `to` say which.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier history export --from 30d --by as --step day --format csv --state-dir /var/lib/classifier
  classifier history export --from 2026-01 --to 2026-02 --by link --step slot --format parquet -o january.parquet --state-dir /var/lib/classifier
  classifier history export --from 2026-01-31 --names --format csv --state-dir /var/lib/classifier | head")]
struct ExportArgs {
    /// The first time: a day, a month, a day and time, or how long ago, such as 30d [default: the beginning]
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// The last time, which is not in it [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
    /// What a row is of
    #[arg(long, value_enum, default_value_t)]
    by: ByArg,
    /// How long steps are
    #[arg(long, value_enum, default_value_t)]
    step: StepArg,
    /// The format
    #[arg(long, value_enum)]
    format: FormatArg,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Where the agent keeps its history
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// Add a column with the names of ASes, from the tables
    #[arg(long)]
    names: bool,
    #[command(flatten)]
    tables: TableArgs,
}

pub(super) fn execute(args: Args, out: &mut dyn Write) -> Result<(), CliError> {
    match args.command {
        Command::Export(args) => export(args, out),
    }
}

fn export(args: ExportArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let by = match args.by {
        ByArg::As => By::As,
        ByArg::Group => By::Group,
        ByArg::Link => By::Link,
        ByArg::Prefix => By::Prefix,
    };
    let step = match args.step {
        StepArg::Slot => Step::Slot,
        StepArg::Hour => Step::Hour,
        StepArg::Day => Step::Day,
    };
    if args.output.is_none() && matches!(args.format, FormatArg::Parquet) && io::stdout().is_terminal() {
        return Err(CliError::BinaryToTerminal);
    }
    let reader = Reader::open(&args.state_dir).map_err(CliError::work)?;
    let extent = reader.extent().map_err(CliError::work)?;
    let period = period(args.from, args.to, &extent)?;
    if let Some(since) = extent.since.filter(|&since| period.to <= since) {
        tracing::warn!("there is no history before {since}: nothing is exported");
    }
    let names = match args.names {
        true => Some(tables::load(&tables::request(args.tables)?)?.names()),
        false => None,
    };
    let request = Request { by, step, period };
    let columns = request.columns(names.is_some());
    let bar = Days::new();
    let run = |sink: &mut dyn export::Sink| {
        export::export(&reader, &request, names.as_ref(), sink, |done, all| bar.show(done, all))
    };
    let csv = |out: &mut dyn Write| -> Result<(), ExportError> {
        let mut sink = CsvSink::new(out, &columns)?;
        run(&mut sink)?;
        sink.finish()
    };
    let written = match (args.format, &args.output) {
        (FormatArg::Csv, None) => csv(out).map_err(failed),
        (FormatArg::Csv, Some(path)) => write_file(path, |out| csv(out).map_err(failed)),
        (FormatArg::Parquet, None) => parquet(BufWriter::new(io::stdout()), &columns, run).map_err(failed),
        (FormatArg::Parquet, Some(path)) => {
            write_file(path, |out: &mut BufWriter<File>| parquet(out, &columns, run).map_err(failed))
        }
    };
    bar.finish();
    written
}

fn parquet(
    out: impl Write + Send,
    columns: &[export::Column],
    run: impl FnOnce(&mut dyn export::Sink) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let mut sink = ParquetSink::new(out, columns)?;
    run(&mut sink)?;
    sink.finish()
}

fn failed(error: ExportError) -> CliError {
    match error {
        ExportError::Write(error) => CliError::Output(error),
        error => CliError::work(error),
    }
}

/// What is asked for, in the zone of the history's days.
fn period(from: Option<Moment>, to: Option<Moment>, extent: &Extent) -> Result<Period, CliError> {
    let clock = Clock { now: Timestamp::now(), zone: extent.zone.clone() };
    let resolve = |option: &'static str, moment: Option<Moment>, default: Timestamp| match moment {
        None => Ok(default),
        Some(moment) => moment.resolve(&clock).ok_or(CliError::Period { option, what: "out of range" }),
    };
    let from = resolve("--from", from, extent.since.unwrap_or(Timestamp::UNIX_EPOCH))?;
    let to = resolve("--to", to, clock.now)?;
    if from >= to {
        return Err(CliError::Period { option: "--to", what: "not after --from" });
    }
    Ok(Period { from, to })
}

/// A bar for the days that are done, where someone looks.
struct Days(ProgressBar);

impl Days {
    fn new() -> Self {
        let bar = if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} days, {eta} left") {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn show(&self, done: u64, all: u64) {
        // One that is done at once needs no bar.
        if self.0.elapsed().as_millis() > 500 {
            self.0.set_length(all);
            self.0.set_position(done);
        }
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}
