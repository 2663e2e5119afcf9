//! What continuous integration runs. Everything is built in the dev profile, which optimises enough for the tests'
//! full tables: a second profile would double the time.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{chaos, dist, licences, process, setup, test};

/// A step's name, and what it does.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("format", || process::run(&mut process::cargo(["fmt", "--all", "--check"]))),
    ("lints", lints),
    ("lints of the kernel program", kernel_lints),
    ("documentation", documentation),
    ("licences", licences::check),
    ("advisories", advisories),
    ("tests", || test::all(None)),
    ("package", dist::test),
    ("chaos", || chaos::run(&chaos::Options::short())),
];

/// Runs all steps; stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    setup::run()?;
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for (name, step) in STEPS {
        eprintln!("==> {name}");
        let since = Instant::now();
        step().with_context(|| format!("ci: {name}"))?;
        times.push((name, since.elapsed()));
    }
    eprintln!("==> all passed");
    for (name, time) in times {
        eprintln!("{:>6.0} s  {name}", time.as_secs_f64());
    }
    Ok(())
}

fn lints() -> Result<()> {
    let mut command = process::cargo(["clippy", "--locked", "--workspace", "--exclude", "classifier-ebpf"]);
    process::run(command.args(["--all-targets", "--", "--deny", "warnings"]))
}

fn kernel_lints() -> Result<()> {
    let mut command = process::cargo(["clippy", "--locked", "--package", "classifier-ebpf", "--release"]);
    command.args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"]);
    // Its own directory: with RUSTC_BOOTSTRAP set, some build scripts come out otherwise than without.
    command.args(["--target-dir", "target/kernel-lints", "--", "--deny", "warnings"]);
    process::run(command.env("RUSTC_BOOTSTRAP", "1"))
}

fn documentation() -> Result<()> {
    let mut command =
        process::cargo(["doc", "--locked", "--workspace", "--exclude", "classifier-ebpf", "--no-deps"]);
    // Nothing here is published: the readers are those who change it, and they want the private items.
    command.arg("--document-private-items");
    process::run(command.env("RUSTDOCFLAGS", "--deny warnings"))
}

/// Known vulnerabilities, where there is a tool that knows them and it reaches its data.
fn advisories() -> Result<()> {
    if process::find_program("cargo-deny").is_none() {
        eprintln!("not checked: there is no cargo-deny here (cargo install cargo-deny --locked)");
        return Ok(());
    }
    let mut fetch: Command = process::cargo(["deny", "fetch", "db"]);
    if process::run_quietly("advisory database", &mut fetch).is_err() {
        eprintln!("not checked: the advisory database is not reachable from here");
        return Ok(());
    }
    process::run(&mut process::cargo([
        "deny",
        "--locked",
        "check",
        "--disable-fetch",
        "advisories",
        "bans",
        "sources",
    ]))
}
