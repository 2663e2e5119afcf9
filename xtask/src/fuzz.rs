//! Fuzzing: the targets of `fuzz/` with the pinned, stable toolchain. What libFuzzer needs of the compiler are options of
//! LLVM, which the stable rustc passes on; no sanitizer is used, for there is next to no unsafe code behind the targets.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;

use crate::{
    process::{self, Progress},
    setup,
};

#[derive(Args)]
pub(crate) struct Options {
    /// What to fuzz [default: everything]
    targets: Vec<String>,
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// Counters of edges, the addresses that they stand for, and compared values, as libFuzzer takes them.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Longer inputs say nothing new.
const MAX_LENGTH: u32 = 16 * 1024;
/// One input may take no more than so many seconds, which a busy machine does not make of a moment, and so many MiB.
const TIMEOUT: u32 = 60;
const MEMORY: u32 = 2048;

/// Builds and runs them.
pub(crate) fn run(options: &Options) -> Result<()> {
    let fuzz = process::root().join("fuzz");
    let all = targets(&fuzz)?;
    if let Some(unknown) = options.targets.iter().find(|target| !all.contains(target)) {
        bail!("there is no target `{unknown}`: there are {}", all.join(", "));
    }
    setup::run()?;
    setup::cplusplus()?;
    let chosen = if options.targets.is_empty() { &all } else { &options.targets };
    let programs = build(&fuzz, chosen)?;
    let mut failed = Vec::new();
    for (target, program) in chosen.iter().zip(&programs) {
        if let Err(error) = fuzz_one(&fuzz, target, program, options.seconds) {
            eprintln!("{target}: {error:#}");
            failed.push(target.as_str());
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("found something: {}", failed.join(", ")) }
}

/// The targets, by the names of their files.
fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let directory = fuzz.join("fuzz_targets");
    let entries =
        fs::read_dir(&directory).with_context(|| format!("could not read {}", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Builds targets, and gives back their programs.
fn build(fuzz: &Path, targets: &[String]) -> Result<Vec<PathBuf>> {
    let host = host()?;
    let mut command =
        process::cargo(["build", "--target", &host, "--message-format=json-render-diagnostics"]);
    command.arg("--manifest-path").arg(fuzz.join("Cargo.toml"));
    command.arg("--target-dir").arg(fuzz.join("target"));
    for target in targets {
        command.args(["--bin", target]);
    }
    // Of the target alone: neither build scripts nor the kernel program are to be instrumented.
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", host.to_uppercase().replace('-', "_"));
    command.env(flags, COVERAGE).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let messages = process::run_quietly("building the fuzz targets", &mut command)?;
    let messages = String::from_utf8_lossy(&messages);
    let programs: Vec<PathBuf> = messages
        .lines()
        .filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(PathBuf::from(message.get("executable")?.as_str()?))
        })
        .collect();
    let program = |target: &String| {
        let program =
            programs.iter().find(|path| path.file_name().is_some_and(|name| name == target.as_str()));
        program.cloned().ok_or_else(|| anyhow!("cargo built no `{target}`"))
    };
    targets.iter().map(program).collect()
}

/// The machine's own target.
fn host() -> Result<String> {
    let text = process::read(Command::new("rustc").arg("-vV").current_dir(process::root()))?;
    let text = String::from_utf8_lossy(&text);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| anyhow!("`rustc -vV` names no host"))
}

/// Runs a target for so long. What it finds of use goes into `fuzz/target/corpus`, what it found wrong into
/// `fuzz/artifacts`.
fn fuzz_one(fuzz: &Path, target: &str, program: &Path, seconds: u32) -> Result<()> {
    let found = fuzz.join("target/corpus").join(target);
    let artifacts = fuzz.join("artifacts").join(target);
    for directory in [&found, &artifacts] {
        fs::create_dir_all(directory).with_context(|| format!("could not make {}", directory.display()))?;
    }
    let log = found.with_extension("log");
    let file = fs::File::create(&log).with_context(|| format!("could not make {}", log.display()))?;
    let mut command = Command::new(program);
    command.arg(&found).arg(fuzz.join("corpus").join(target));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_LENGTH}"),
        format!("-timeout={TIMEOUT}"),
        format!("-rss_limit_mb={MEMORY}"),
        "-print_final_stats=1".to_owned(),
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let progress = Progress::start(&format!("{target}, {seconds} s"));
    let mut child = command.spawn().with_context(|| format!("could not run {}", program.display()))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        progress.tick();
        thread::sleep(Duration::from_millis(200));
    };
    progress.finish(status.success());
    let said = fs::read(&log).with_context(|| format!("could not read {}", log.display()))?;
    let said = String::from_utf8_lossy(&said);
    if !status.success() {
        let lines: Vec<&str> = said.lines().collect();
        let end = lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n");
        bail!(
            "{end}\nthe input is in {}; run it again with `{} FILE`",
            artifacts.display(),
            program.display()
        );
    }
    let number = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    let (runs, new) = (number("stat::number_of_executed_units:"), number("stat::new_units_added:"));
    println!("{target}: {runs} inputs, {new} of them new; nothing wrong");
    Ok(())
}
