//! The same tests on the kernel that runs here.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use super::{
    HOST,
    machine::{BEGIN, Outcome, outcomes},
    skipped, with_few_capabilities,
};
use crate::{
    process,
    test::{self, LACKING, MINIMAL, takes_minimal},
};

/// What the kernel calls itself.
pub(super) fn release() -> Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned())
}

/// Runs them as they are run in the machines, and shows what they say. One that lacks something here which is not known to be
/// lacking is an error.
pub(super) fn run(programs: &[(String, PathBuf)], filter: Option<&str>) -> Result<Vec<Outcome>> {
    let lacking = process::root().join("target/lacking");
    let _ = fs::remove_file(&lacking);
    let mut lines = Vec::new();
    for (name, program) in programs {
        let mut tests = Command::new(program);
        tests.args(filter).current_dir(process::root().join("classifier-user")).env(LACKING, &lacking);
        follow(name, tests, &mut lines)?;
        if takes_minimal(filter) {
            let mut few = test::with_few_capabilities(program);
            few.arg(MINIMAL);
            follow(&with_few_capabilities(name), few, &mut lines)?;
        }
    }
    test::lacked(&fs::read_to_string(&lacking).unwrap_or_default())?;
    Ok(outcomes(&lines))
}

/// Runs one program of tests. What became of it is for the lines to say.
fn follow(name: &str, mut command: Command, lines: &mut Vec<String>) -> Result<()> {
    let mut add = |line: String| {
        eprintln!("{line}");
        lines.push(line);
    };
    add(format!("{BEGIN}{name}"));
    for test in skipped::of(HOST, name) {
        command.args(["--skip", test.test]);
    }
    command.arg("--test-threads=1").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("could not run {name}"))?;
    if let Some(output) = child.stdout.take() {
        BufReader::new(output)
            .split(b'\n')
            .map_while(Result::ok)
            .for_each(|line| add(String::from_utf8_lossy(&line).trim_end().to_owned()));
    }
    child.wait()?;
    Ok(())
}
