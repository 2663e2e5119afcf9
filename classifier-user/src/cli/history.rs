//! `classifier history`: the past for other programs, and other programs' past for us.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write},
    path::PathBuf,
    time::SystemTime,
};

use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{Timestamp, tz::TimeZone};

use super::{CliError, args::TableArgs, output, table::write_file, tables};
use crate::{
    config::{HistorySettings, history::DEFAULT_TOP_PREFIXES},
    history::{
        Extent, Period, Read as _, Step,
        export::{self, By, ExportError, Request, csv::CsvSink, parquet::ParquetSink},
        import::{self, AsStats, LinkChoice},
        recorder::{self, SettleError},
        store::{Options, Reader, Store, StoreError},
        synthesis,
    },
    table::groups::Groups,
    totals::{Clock, Moment},
};

/// Take the past out, or another program's in
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier history export --from 30d --by as --step day --format csv --state-dir /var/lib/classifier
  classifier history export --from 2026-01 --to 2026-02 --by link --format parquet -o january.parquet --state-dir /var/lib/classifier
  classifier history import /var/db/netflow/rrd --link cogent --link decix=ix --state-dir /var/lib/classifier")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Export(ExportArgs),
    Import(ImportArgs),
    Synthesize(SynthesizeArgs),
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
    /// Neighbour AS, the first of the path; what has none is in no row
    Neighbor,
    /// AS by what it carried for others, being on their paths
    Transit,
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

/// Take over the past that AS-Stats kept: a directory of its RRD files
///
/// Goes before everything that was counted here, and changes nothing of that: no agent may be running on the history. Needs
/// rrdtool. What AS-Stats knows are IP bytes of sampled flows, days of them for most of the past.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier history import /var/db/netflow/rrd --link cogent --link decix=ix --state-dir /var/lib/classifier")]
struct ImportArgs {
    /// The directory that asstatd.pl was given with -r
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A link: its tag in AS-Stats, and its name here where that is another; may be repeated
    #[arg(long = "link", value_name = "TAG[=NAME]", required = true, value_parser = link_choice)]
    links: Vec<LinkChoice>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Invent a past, for demonstrations: well-known networks with plausible amounts
#[derive(Debug, clap::Args)]
#[command(
    hide = true,
    after_help = "Example:
  classifier history synthesize --days 31 --link internet --link ix --state-dir /tmp/demo"
)]
struct SynthesizeArgs {
    /// How many days before now it begins
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..=800))]
    days: u32,
    /// An upstream link; the second one is an exchange
    #[arg(long = "link", value_name = "NAME", required = true, num_args = 1)]
    links: Vec<String>,
    /// The average in, in bits a second
    #[arg(long, value_name = "BITS", default_value_t = 1_000_000_000)]
    inward: u64,
    /// The average out, in bits a second
    #[arg(long, value_name = "BITS", default_value_t = 200_000_000)]
    outward: u64,
    #[command(flatten)]
    store: StoreArgs,
}

/// A history that is written without an agent.
#[derive(Debug, clap::Args)]
struct StoreArgs {
    /// Where the agent keeps its history
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// The zone of days where there is no history yet, such as Europe/Paris [default: the machine's]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Groups of ASes besides the built-in ones, as of `run`
    #[arg(long, value_name = "FILE")]
    groups: Option<PathBuf>,
}

pub(super) fn execute(args: Args, out: &mut dyn Write) -> Result<(), CliError> {
    match args.command {
        Command::Export(args) => export(args, out),
        Command::Import(args) => import(args, out),
        Command::Synthesize(args) => synthesize(args, out),
    }
}

fn link_choice(text: &str) -> Result<LinkChoice, &'static str> {
    let (tag, name) = text.split_once('=').unwrap_or((text, text));
    if tag.is_empty() || name.is_empty() {
        return Err("expected a tag of AS-Stats, or TAG=NAME");
    }
    Ok(LinkChoice { tag: tag.to_owned(), name: name.to_owned() })
}

impl StoreArgs {
    /// Opens the history to write, with the zone that it has.
    fn open(&self) -> Result<Store, CliError> {
        let before = match Reader::open(&self.state_dir) {
            Ok(reader) => Some((reader.zone(), reader.router().map_err(CliError::work)?)),
            Err(StoreError::Missing { .. }) => None,
            Err(error) => return Err(CliError::work(error)),
        };
        let zone = match (&self.zone, before.as_ref()) {
            (Some(zone), _) => TimeZone::get(zone).map_err(|_| CliError::Zone(zone.clone()))?,
            (None, Some((zone, _))) => zone.clone(),
            (None, None) => HistorySettings::default().plan().map_err(CliError::work)?.zone,
        };
        let router = before.map_or_else(String::new, |(_, router)| router);
        let options = Options::new(zone, router);
        if self.state_dir.is_dir() {
            // What an agent that was killed had not yet written is older than anything that comes now.
            let now = SystemTime::now();
            let settled = recorder::settle(&self.state_dir, options.clone(), DEFAULT_TOP_PREFIXES, now);
            settled.map_err(|error| match error {
                SettleError::Running => CliError::HistoryInUse(self.state_dir.clone()),
                error => CliError::work(error),
            })?;
        }
        let opened = Store::open(&self.state_dir, options).map_err(CliError::work)?;
        if let Some(aside) = &opened.set_aside {
            tracing::warn!("the history was damaged ({}) and is now {}", aside.why, aside.path.display());
        }
        Ok(opened.store)
    }

    fn groups(&self) -> Result<Groups, CliError> {
        Groups::with(self.groups.as_deref()).map_err(CliError::work)
    }
}

fn import(args: ImportArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let groups = args.store.groups()?;
    let bar = Bar::new("databases");
    let read = AsStats::read(&args.directory, args.links, |done, all| bar.show(done, all));
    bar.finish();
    let stats = read.map_err(CliError::work)?;
    for skipped in &stats.skipped {
        tracing::warn!("{} is passed over: {}", skipped.file.display(), skipped.why);
    }
    let mut store = args.store.open()?;
    let bar = Bar::new("days");
    let written =
        import::write(&stats, &mut store, &groups, Timestamp::now(), |done, all| bar.show(done, all));
    bar.finish();
    let imported = written.map_err(CliError::work)?;
    match imported.period {
        None => writeln!(out, "nothing was taken over")?,
        Some(Period { from, to }) => {
            let zone = store.zone();
            let day = |time: Timestamp| time.to_zoned(zone.clone()).strftime("%F %R").to_string();
            let [inward, outward] = imported.bytes.map(output::bytes);
            writeln!(
                out,
                "taken over: {} to {}, {} ASes, {inward} in, {outward} out ({} days{})",
                day(from),
                day(to),
                imported.ases,
                imported.days,
                if imported.slots > 0 {
                    format!(", and then {} slots of 5 minutes", imported.slots)
                } else {
                    String::new()
                },
            )?;
        }
    }
    if let Some(since) = imported.cut_off {
        writeln!(out, "left out: the day of {since}, when the history here begins, and what came after")?;
    }
    if !stats.skipped.is_empty() {
        writeln!(out, "passed over: {} databases that could not be read", stats.skipped.len())?;
    }
    Ok(())
}

fn synthesize(args: SynthesizeArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let groups = args.store.groups()?;
    let tables = tables::load(&tables::request(TableArgs::default())?)?;
    let mut store = args.store.open()?;
    let bar = Bar::new("days");
    let request = synthesis::Request {
        days: args.days,
        now: Timestamp::now(),
        links: args.links,
        bits_per_second: [args.inward, args.outward],
        groups: &groups,
        rib: &tables.rib,
    };
    let filled = synthesis::fill(&mut store, &request, |done, all| bar.show(done, all));
    bar.finish();
    let slots = filled.map_err(CliError::work)?;
    Ok(writeln!(out, "{slots} slots were invented")?)
}

fn export(args: ExportArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let by = match args.by {
        ByArg::As => By::As,
        ByArg::Group => By::Group,
        ByArg::Link => By::Link,
        ByArg::Prefix => By::Prefix,
        ByArg::Neighbor => By::Neighbor,
        ByArg::Transit => By::Transit,
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
    let bar = Bar::new("days");
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

/// A bar for what is done, where someone looks.
struct Bar(ProgressBar);

impl Bar {
    /// Of these things.
    fn new(of: &str) -> Self {
        let bar = if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let template = format!("{{bar:40}} {{pos}}/{{len}} {of}, {{eta}} left");
        if let Ok(style) = ProgressStyle::with_template(&template) {
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
