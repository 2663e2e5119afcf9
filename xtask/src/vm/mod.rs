//! The kernel tests on kernels of Debian's, in virtual machines without KVM: `cargo xtask test --vm`.
//!
//! Reading order: here (which kernels, and what became of the tests), [`kernels`] (where they come from), [`image`] (what
//! the machine has), [`machine`] (the machine), [`skipped`] (which tests are not run on which kernel, and why).

mod image;
mod kernels;
mod machine;
pub(crate) mod skipped;

use std::{fmt::Write as _, time::Instant};

use anyhow::{Context as _, Result, bail, ensure};

use self::{machine::Outcome, skipped::Skipped};
use crate::{setup, test};

/// What Debian has that operators have: that of Debian 12, and that of Debian 13 and of the backports.
pub(crate) const KERNELS: [&str; 2] = ["6.1", "6.12"];
/// The programs of tests that are run there.
const PROGRAMS: [&str; 2] = ["kernel_datapath", "kernel_agent"];

/// Runs the kernel tests that the filter takes on each of these kernels.
pub(crate) fn run(wanted: &[String], filter: Option<&str>) -> Result<()> {
    for version in wanted {
        ensure!(
            KERNELS.contains(&version.as_str()),
            "--vm: `{version}` is none of the kernels that are tested on: {}",
            KERNELS.join(", ")
        );
    }
    setup::for_machines()?;
    // Cargo builds the binary with them.
    let programs: Vec<_> =
        test::kernel_tests()?.into_iter().filter(|(name, _)| PROGRAMS.contains(&name.as_str())).collect();
    let mut report = String::new();
    let mut failed = Vec::new();
    for version in wanted {
        let began = Instant::now();
        let kernel = kernels::fetch(version).with_context(|| format!("Linux {version}"))?;
        let image = image::build(&kernel, &programs, filter).context("the machine's files")?;
        eprintln!("==> Linux {} (emulated: slow)", kernel.release);
        let outcomes = machine::run(&kernel, &image)?;
        let problems = judge(&kernel.version, &programs, &outcomes, filter);
        let passed: u64 = outcomes.iter().map(|outcome| outcome.passed).sum();
        let _ = writeln!(
            report,
            "Linux {}: {passed} tests passed, {:.0} s",
            kernel.release,
            began.elapsed().as_secs_f64()
        );
        for Skipped { program, test, why, .. } in skipped::on(&kernel.version) {
            let _ = writeln!(report, "  not run: {program} {test}: {}", why.text());
        }
        for problem in problems {
            let _ = writeln!(report, "  {problem}");
            failed.push(version.clone());
        }
    }
    eprint!("{report}");
    failed.dedup();
    if !failed.is_empty() {
        bail!("on Linux {} not all is as it should be", failed.join(" and "));
    }
    Ok(())
}

/// What is not as it should be.
fn judge(
    version: &str,
    programs: &[(String, std::path::PathBuf)],
    outcomes: &[Outcome],
    filter: Option<&str>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, _) in programs {
        let skipped = skipped::of(version, name).count() as u64;
        let Some(outcome) = outcomes.iter().find(|outcome| outcome.program == *name) else {
            problems.push(format!("{name} did not come to its end"));
            continue;
        };
        if outcome.failed > 0 {
            problems.push(format!("{name}: {} failed", outcome.failed));
        }
        // With a filter more are left out, and nothing is tried.
        if filter.is_some() {
            continue;
        }
        if outcome.left_out != skipped {
            problems.push(format!(
                "{name}: {} tests were left out, and {skipped} are listed: a name in xtask/src/vm/skipped.rs is of no test",
                outcome.left_out,
            ));
        }
        for Skipped { test, .. } in skipped::tried(version, name) {
            let trial = format!("{name} {test}");
            // One that did not come to its end did not pass.
            if outcomes.iter().any(|outcome| outcome.program == trial && outcome.passed > 0) {
                problems.push(format!("{trial} passes: it is listed as one that cannot"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_that_is_not_run_is_listed() {
        let programs = [("kernel_agent".to_owned(), "/t/kernel_agent-1".into())];
        let outcome = |program: &str, passed, failed, left_out| Outcome {
            program: program.into(),
            passed,
            failed,
            left_out,
        };
        let listed = skipped::of("6.12", "kernel_agent").count() as u64;
        let all = outcome("kernel_agent", 30, 0, listed);
        assert!(judge("6.12", &programs, std::slice::from_ref(&all), None).is_empty());
        assert!(judge("6.12", &programs, &[outcome("kernel_agent", 3, 0, 40)], Some("vlan")).is_empty());
        assert_eq!(judge("6.12", &programs, &[outcome("kernel_agent", 30, 0, listed + 1)], None).len(), 1);
        assert_eq!(judge("6.12", &programs, &[outcome("kernel_agent", 29, 1, listed)], None).len(), 1);
        assert_eq!(judge("6.12", &programs, &[], None), ["kernel_agent did not come to its end"]);
        // One that is said not to pass, and does.
        let tried = skipped::tried("6.12", "kernel_agent").next().expect("one that cannot pass").test;
        let trial = |passed, failed| outcome(&format!("kernel_agent {tried}"), passed, failed, 35);
        assert!(judge("6.12", &programs, &[all.clone(), trial(0, 1)], None).is_empty());
        assert_eq!(judge("6.12", &programs, &[all, trial(1, 0)], None).len(), 1);
    }
}
