//! The developer's commands, `cargo xtask COMMAND`: what a fresh machine needs, the tests, continuous integration,
//! the benchmarks, fuzzing, packages, the built-in table, the demo.
//!
//! Depends on no crate of the product: it runs the built `classifier` and reads what it prints.

mod bench;
mod chaos;
mod ci;
mod demo;
mod dist;
mod fuzz;
mod licences;
mod process;
mod setup;
mod snapshot;
mod sys;
mod test;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The developer's commands", version = None)]
#[command(arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what building and testing need; quick when all is there
    #[command(after_help = "Examples:\n  cargo xtask setup\n\n\
        The pinned toolchain's rust-src, clippy and rustfmt; bpf-linker for the LLVM of that toolchain; the Debian \
        packages that the tests use. On another distribution, or without root, it says what is missing.")]
    Setup,
    /// Runs the real agent on real frames between two network namespaces, and compares what was sent with what was counted
    #[command(after_help = "Examples:\n  cargo xtask demo\n  cargo xtask demo --seconds 20\n  \
        cargo xtask demo --seconds 20 --json | jq .equal\n  cargo xtask demo --bgp --seconds 60\n\nNeeds root. Exit code 0: every AS has exactly the \
        packets and bytes that were sent to and from it. 1: something differs, or failed.")]
    Demo(demo::Options),
    /// Runs the agent under traffic while everything goes wrong that can, and compares what was sent with what was counted
    #[command(
        after_help = "Examples:\n  cargo xtask chaos --minutes 5\n  cargo xtask chaos --minutes 1 --seed 42\n  \
        cargo xtask chaos --minutes 1 --only kill,upgrade,interface\n\nNeeds root. Killed, ended and upgraded; tables loaded \
        again, broken ones; a full disk; the BGP session reset; an interface removed and made again; the clock moved; out of \
        memory; 1,000 slow clients; scrapes in a storm. Exit code 0: all that was sent arrived and was counted, AS by AS, and \
        nothing is left. A failure says the seed that does the same again."
    )]
    Chaos(chaos::Options),
    /// Runs all tests: the pure ones, those that need root, and those that must do with three capabilities
    #[command(
        after_help = "Examples:\n  cargo xtask test\n  cargo xtask test vlan\n  cargo xtask test --no-setup\n  \
        cargo xtask test --vm\n  cargo xtask test --vm=host,6.1 links::"
    )]
    Test(test::Options),
    /// What continuous integration runs: format, lints, documentation, licences, then `test`, the package, and chaos
    #[command(after_help = "Examples:\n  cargo xtask ci")]
    Ci,
    /// Measures, and prints a table
    #[command(after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench lookup packet\n  \
        cargo xtask bench --json figures.json\n\nSections: lookup, packet, wire, table, sweep, remote, rib, paths, memory, replay, history, bgp. Needs root.")]
    Bench(bench::Options),
    /// Runs the fuzz targets of `fuzz/`, each for so long
    #[command(after_help = "Examples:\n  cargo xtask fuzz\n  cargo xtask fuzz bgp mrt --seconds 600\n\n\
        With the pinned toolchain, and without cargo-fuzz. Exit code 1: an input was found that panics, hangs, or takes \
        too much memory; it is in fuzz/artifacts.")]
    Fuzz(fuzz::Options),
    /// Makes what is given to others: the Debian package, and a static binary
    #[command(
        after_help = "Examples:\n  cargo xtask dist\n  cargo xtask dist deb\n  cargo xtask dist --test\n\n\
        In target/dist, with SHA256SUMS. The static binary, which is tried first, and --test need root."
    )]
    Dist(dist::Options),
    /// Makes the built-in table from the npm package @ip-location-db/asn, or from other tables
    #[command(after_help = "Examples:\n  cargo xtask snapshot\n  \
        cargo xtask snapshot --package ip-location-db-asn-2.3.2026061719.tgz\n  \
        cargo xtask snapshot --table rib.mrt.bz2 --date 2026-06-17 \\\n    \
        --source 'RouteViews, route-views2' --attribution 'CC BY 4.0: RouteViews (routeviews.org)'")]
    Snapshot(snapshot::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup => setup::run(),
        Command::Demo(options) => demo::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Ci => ci::run(),
        Command::Bench(options) => bench::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Dist(options) => dist::run(&options),
        Command::Snapshot(options) => snapshot::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
