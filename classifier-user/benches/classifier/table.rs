//! From a table to a filled FIB.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use classifier_user::{
    datapath::{Datapath as _, kernel::Kernel},
    fib::{
        classes::{Classes, Granularity},
        sizes::sizes_for,
    },
    ingest::{
        LoadOptions, TableSpec,
        export::{self, ExportFormat},
        set::{Part, TableSet},
    },
    model::Prefix,
    table::{
        names::Names,
        origins::Origins,
        rib::{Rib, SourceId},
    },
};

use crate::{
    agent::Agent,
    lab::{self, Peer},
    measure::{median, seconds},
    report::{Cell, Goal, Section, Table, Target},
    world::{LOOPBACK, World, link},
};

const ROUNDS: usize = 5;
/// Prefixes of the MRT dump.
const PREFIXES: usize = 700_000;
/// Peers of the larger one.
const PEERS: u16 = 8;
/// Prefixes with another origin in the reload that has changes.
const CHANGED: usize = 1000;

pub(crate) fn run() -> Result<Section> {
    let (start, cpu) = start()?;
    let directory = tempfile::tempdir()?;
    let (mrt, one_peer, peers) = dumps(directory.path())?;
    let (reload, words) = reload(&directory.path().join("one.mrt"))?;
    Ok(Section {
        about: "table: CPU from a table to a filled FIB".to_owned(),
        tables: vec![start, mrt, reload],
        targets: vec![
            Target {
                what: "built-in table, start to filled FIB",
                value: cpu,
                goal: Goal::AtMost(0.8),
                unit: "s of CPU",
            },
            Target {
                what: "MRT, one peer, into the RIB",
                value: one_peer,
                goal: Goal::AtLeast(300_000.0),
                unit: "RIB entries/s",
            },
            Target {
                what: "MRT, 8 peers, into the RIB",
                value: peers,
                goal: Goal::AtLeast(300_000.0),
                unit: "RIB entries/s",
            },
            Target {
                what: "reload of an unchanged file",
                value: words as f64,
                goal: Goal::AtMost(0.0),
                unit: "FIB words written",
            },
        ],
        notes: Vec::new(),
    })
}

/// The built-in table: the whole agent, and step by step.
fn start() -> Result<(Table, f64)> {
    let mut table = Table::new(
        "start",
        "Built-in table, from the start of `classifier run` to the filled FIB",
        &[("step", "step"), ("cpu_ms", "CPU ms")],
    );
    let whole: Result<Vec<f64>> = (0..ROUNDS).map(|_| lab::in_namespace(start_agent)).collect();
    let whole = median(whole?);
    table.row([Cell::text("the agent, until it says that the FIB is filled"), Cell::Number(whole * 1e3, 0)]);
    let mut samples: [(&str, Vec<f64>); 6] = [
        ("of it: decode the snapshot", Vec::new()),
        ("of it: into the RIB", Vec::new()),
        ("of it: sizes of the maps", Vec::new()),
        ("of it: classes", Vec::new()),
        ("of it: programs and maps into the kernel", Vec::new()),
        ("of it: FIB words", Vec::new()),
    ];
    for _ in 0..ROUNDS {
        let part = Part::Table(SourceId::BUILTIN, TableSpec::Builtin);
        let (decode, loaded) = seconds(|| part.load(&LoadOptions::default(), &mut |_| {}));
        let loaded = loaded?;
        let mut tables = TableSet::default();
        let (rib, _) = seconds(|| tables.replace(part, loaded));
        let rib_of = &tables.rib;
        let (size, sizes) = seconds(|| sizes_for(rib_of.iter().map(|route| route.prefix)));
        let mut classes = Classes::new(Granularity::Prefix, sizes.classes);
        let (class, batch) =
            seconds(|| classes.apply(rib_of.iter().map(|route| (route.prefix, Some(route.asn)))));
        let batch = batch?;
        let (load, kernel) = seconds(|| Kernel::load(&sizes, &[link(LOOPBACK, 3)]));
        let mut kernel = kernel?;
        let (fib, applied) = seconds(|| kernel.apply(&batch));
        applied?;
        for ((_, samples), sample) in samples.iter_mut().zip([decode, rib, size, class, load, fib]) {
            samples.push(sample);
        }
    }
    for (name, samples) in samples {
        table.row([Cell::text(name), Cell::Number(median(samples) * 1e3, 0)]);
    }
    Ok((table, whole))
}

/// CPU seconds until the FIB is filled.
fn start_agent() -> Result<f64> {
    let peer = Peer::new();
    lab::veth(&peer, "r0", "i0", 1500);
    let mut agent = Agent::start("r0")?;
    agent.wait_for("FIB: ")?;
    let cpu = agent.cpu()?.as_secs_f64();
    agent.wait_for("listening on")?;
    agent.ignore_log();
    Ok(cpu)
}

/// The built-in table's first prefixes by address, every IPv4 one among them.
fn first_prefixes(world: &World) -> Vec<(Prefix, Origins)> {
    let mut routes: Vec<_> = world
        .tables
        .rib
        .iter()
        .filter_map(|route| Some((route.prefix, Origins::from_list(route.origins)?)))
        .collect();
    routes.sort_unstable_by_key(|(prefix, _)| *prefix);
    routes.truncate(PREFIXES);
    routes
}

/// MRT dumps: made, and read into a RIB.
fn dumps(directory: &Path) -> Result<(Table, f64, f64)> {
    let routes = first_prefixes(&World::builtin()?);
    let mut rib = Rib::new();
    rib.replace_source(SourceId::BUILTIN, routes.iter().cloned());
    let one = directory.join("one.mrt");
    let mut out = BufWriter::new(File::create(&one)?);
    export::write(&rib, &Names::default(), ExportFormat::Mrt, jiff::Timestamp::UNIX_EPOCH, &mut out)?;
    out.flush()?;
    drop(rib);
    let many = directory.join("many.mrt");
    let mut out = BufWriter::new(File::create(&many)?);
    crate::mrt::write(&mut out, PEERS, routes.iter().map(|(prefix, origins)| (*prefix, origins.chosen())))?;
    out.flush()?;

    let mut table = Table::new(
        "mrt",
        "MRT TABLE_DUMP_V2, read into the RIB",
        &[
            ("dump", "dump"),
            ("prefixes", "prefixes"),
            ("entries", "RIB entries"),
            ("mebibytes", "MiB"),
            ("cpu_s", "CPU s"),
            ("entries_per_second", "entries/s"),
        ],
    );
    let mut rates = Vec::new();
    let several = format!("{PEERS} peers, paths of 4 ASes, 6 communities");
    for (name, path) in [("one peer, written by `table export`", &one), (&several, &many)] {
        let part = Part::Table(SourceId::file(0).context("a rank")?, TableSpec::File(path.clone()));
        let mut samples = Vec::new();
        let (mut entries, mut prefixes) = (0, 0);
        for _ in 0..ROUNDS {
            let mut tables = TableSet::default();
            let (taken, loaded) = seconds(|| {
                part.load(&LoadOptions::default(), &mut |_| {}).map(|loaded| {
                    let lines = loaded.report.lines;
                    tables.replace(part.clone(), loaded);
                    lines
                })
            });
            entries = loaded?;
            prefixes = tables.rib.counts().total();
            samples.push(taken);
        }
        let taken = median(samples);
        rates.push(entries as f64 / taken);
        table.row([
            Cell::text(name),
            Cell::Whole(prefixes as u64),
            Cell::Whole(entries),
            Cell::Number(path.metadata()?.len() as f64 / 1048576.0, 0),
            Cell::Number(taken, 2),
            Cell::Number(entries as f64 / taken, 0),
        ]);
    }
    Ok((table, rates[0], rates[1]))
}

/// The same file again, and with some origins changed.
fn reload(path: &Path) -> Result<(Table, u64)> {
    let part = Part::Table(SourceId::file(0).context("a rank")?, TableSpec::File(path.to_owned()));
    let load = || part.load(&LoadOptions::default(), &mut |_| {});
    let mut tables = TableSet::default();
    tables.replace(part.clone(), load()?);
    let sizes = sizes_for(tables.rib.iter().map(|route| route.prefix));
    let mut classes = Classes::new(Granularity::Prefix, sizes.classes);
    let batch = classes.apply(tables.rib.iter().map(|route| (route.prefix, Some(route.asn))))?;
    let mut kernel = Kernel::load(&sizes, &[link(LOOPBACK, 3)])?;
    kernel.apply(&batch)?;

    let mut table = Table::new(
        "reload",
        "The same MRT file loaded again by a running agent",
        &[
            ("file", "file"),
            ("changed", "prefixes changed"),
            ("words", "FIB words written"),
            ("load_ms", "load, CPU ms"),
            ("apply_ms", "compare and apply, CPU ms"),
        ],
    );
    let mut unchanged = 0;
    for (name, changed) in [("unchanged", 0), ("other origins", CHANGED)] {
        let (loading, loaded) = seconds(load);
        let mut loaded = loaded?;
        let step = loaded.routes.len() / CHANGED;
        for (_, origins) in loaded.routes.iter_mut().step_by(step).take(changed) {
            *origins = Origins::one(origins.chosen() + 1);
        }
        let (applying, applied) = seconds(|| -> Result<(usize, u64)> {
            let changes = tables.replace(part.clone(), loaded);
            let batch = classes.apply(changes.iter().map(|change| (change.prefix, change.origin)))?;
            Ok((changes.len(), kernel.apply(&batch)?.words_written))
        });
        let (prefixes, words) = applied?;
        if changed == 0 {
            unchanged = words;
        }
        table.row([
            Cell::text(name),
            Cell::Whole(prefixes as u64),
            Cell::Whole(words),
            Cell::Number(loading * 1e3, 0),
            Cell::Number(applying * 1e3, 0),
        ]);
    }
    Ok((table, unchanged))
}
