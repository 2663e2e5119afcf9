//! The benchmarks: `cargo xtask bench [SECTION…] [--json FILE]`. How they measure is in docs/performance.md.
//!
//! Reading order: [`measure`] (clocks, rounds), [`report`] (what is printed), [`world`] (the table and its FIB),
//! [`keys`] (which addresses), then a module a section. A target that is missed is printed as missed and fails
//! nothing: the machine may be slow or busy.

use std::{fs, io::Write as _, path::PathBuf, time::Instant};

use anyhow::{Context as _, Result, bail};

mod agent;
mod bgp;
mod history;
mod keys;
#[path = "../../tests/support/lab.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod lab;
mod lookup;
mod measure;
mod memory;
mod mrt;
mod packet;
mod page;
mod paths;
mod remote;
mod replay;
mod report;
mod rib;
mod send;
mod session;
mod sweep;
mod table;
mod wire;
mod world;

use self::report::{Machine, Section};

/// A section's name, and what it does.
type Named = (&'static str, fn() -> Result<Section>);

const SECTIONS: [Named; 12] = [
    ("lookup", lookup::run),
    ("packet", packet::run),
    ("wire", wire::run),
    ("table", table::run),
    ("sweep", sweep::run),
    ("remote", remote::run),
    ("rib", rib::run),
    ("paths", paths::run),
    ("memory", memory::run),
    ("replay", replay::run),
    ("history", history::run),
    ("bgp", bgp::run),
];

struct Arguments {
    sections: Vec<Named>,
    json: Option<PathBuf>,
}

fn arguments() -> Result<Arguments> {
    let mut arguments = Arguments { sections: Vec::new(), json: None };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            // Cargo adds it.
            "--bench" => {}
            "--json" => {
                arguments.json = Some(given.next().context("--json wants a file")?.into());
            }
            name => match SECTIONS.iter().find(|(known, _)| *known == name) {
                Some(&section) => arguments.sections.push(section),
                None => {
                    let known = SECTIONS.map(|(name, _)| name).join(", ");
                    bail!("`{name}` is no section: {known}");
                }
            },
        }
    }
    if arguments.sections.is_empty() {
        arguments.sections = SECTIONS.to_vec();
    }
    Ok(arguments)
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    measure::go_first();
    let machine = Machine::this();
    println!("{machine}\n");
    let mut sections = Vec::new();
    for (name, run) in arguments.sections {
        let began = Instant::now();
        let section = run().with_context(|| format!("section {name}"))?;
        println!("{section}({:.0} s)\n", began.elapsed().as_secs_f64());
        std::io::stdout().flush()?;
        sections.push((name, section));
    }
    let missed: Vec<&str> = sections.iter().flat_map(|(_, section)| section.missed()).collect();
    match missed.as_slice() {
        [] => println!("every target is reached"),
        missed => println!("not reached: {}", missed.join("; ")),
    }
    if let Some(file) = arguments.json {
        let json = serde_json::to_string_pretty(&report::json(&machine, &sections))?;
        fs::write(&file, json + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
