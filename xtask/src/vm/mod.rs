//! The kernel tests on this machine's kernel, and on kernels of Debian's in virtual machines without KVM:
//! `cargo xtask test --vm`.
//!
//! Reading order: here (which kernels, and what became of the tests), [`host`] (this one), [`kernels`] (where the others
//! come from), [`image`] (what the machine has), [`machine`] (the machine), [`skipped`] (which tests are not run on which
//! kernel, and why).

mod host;
mod image;
mod kernels;
mod machine;
pub(crate) mod skipped;

use std::{fmt::Write as _, time::Instant};

use anyhow::{Context as _, Result, bail, ensure};

use self::{machine::Outcome, skipped::Skipped};
use crate::{setup, test};

/// The kernel that runs here.
const HOST: &str = "host";
/// And what Debian has that operators have: that of Debian 12, and that of Debian 13 and of the backports.
const MACHINES: [&str; 2] = ["6.1", "6.12"];
/// All of them.
pub(crate) const KERNELS: [&str; 3] = [HOST, MACHINES[0], MACHINES[1]];
/// The programs of tests that are run on them.
const PROGRAMS: [&str; 3] = ["kernel_datapath", "kernel_agent", "kernel_replay"];

/// What the second run of a program is called.
fn with_few_capabilities(program: &str) -> String {
    format!("{program} with few capabilities")
}

/// Runs the kernel tests that the filter takes on each of these kernels.
pub(crate) fn run(wanted: &[String], filter: Option<&str>) -> Result<()> {
    for version in wanted {
        ensure!(
            KERNELS.contains(&version.as_str()),
            "--vm: `{version}` is none of the kernels that are tested on: {}",
            KERNELS.join(", ")
        );
    }
    if wanted.iter().any(|version| version != HOST) {
        setup::for_machines()?;
    }
    // Cargo builds the binary with them.
    let mut programs = test::kernel_tests()?;
    let unlisted = unlisted(programs.iter().map(|(name, _)| name.as_str()));
    ensure!(
        unlisted.is_empty(),
        "neither run on the kernels nor listed in xtask/src/vm/skipped.rs, or not there: {unlisted:?}"
    );
    programs.retain(|(name, _)| PROGRAMS.contains(&name.as_str()));
    let mut report = String::new();
    let mut failed = Vec::new();
    for version in wanted {
        let began = Instant::now();
        let (release, outcomes) = if version == HOST {
            let release = host::release()?;
            eprintln!("==> Linux {release} (this machine's)");
            (release, host::run(&programs, filter)?)
        } else {
            let kernel = kernels::fetch(version).with_context(|| format!("Linux {version}"))?;
            let image = image::build(&kernel, &programs, filter).context("the machine's files")?;
            eprintln!("==> Linux {} (emulated: slow)", kernel.release);
            let outcomes = machine::run(&kernel, &image)?;
            (kernel.release, outcomes)
        };
        let problems = judge(version, &programs, &outcomes, filter);
        let passed: u64 = outcomes.iter().map(|outcome| outcome.passed).sum();
        let _ = writeln!(
            report,
            "Linux {release}: {passed} tests passed, {:.0} s",
            began.elapsed().as_secs_f64()
        );
        for Skipped { program, test, why, .. } in skipped::on(version) {
            let _ = writeln!(report, "  not run: {program} {test}: {}", why.text());
        }
        for (program, why) in skipped::PROGRAMS {
            let _ = writeln!(report, "  not run: {program}: {why}");
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

/// Programs of tests that are neither run nor listed, and those that are either and not there.
fn unlisted<'a>(there: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let there: Vec<_> = there.collect();
    let known: Vec<_> = PROGRAMS.into_iter().chain(skipped::PROGRAMS.iter().map(|(name, _)| *name)).collect();
    let unknown = there.iter().filter(|name| !known.contains(name));
    unknown.chain(known.iter().filter(|name| !there.contains(name))).copied().collect()
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
        let few = with_few_capabilities(name);
        match outcomes.iter().find(|outcome| outcome.program == few) {
            Some(outcome) if outcome.failed > 0 => problems.push(format!("{few}: {} failed", outcome.failed)),
            None if test::takes_minimal(filter) => problems.push(format!("{few} did not come to its end")),
            _ => {}
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
    let few: Vec<_> = programs.iter().map(|(name, _)| with_few_capabilities(name)).collect();
    let few = outcomes.iter().filter(|outcome| few.contains(&outcome.program));
    if filter.is_none() && few.map(|outcome| outcome.passed).sum::<u64>() == 0 {
        problems.push("nothing was tested with few capabilities".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_that_is_not_run_is_listed() {
        let programs = [("kernel_datapath".to_owned(), "/t/kernel_datapath-1".into())];
        let outcome = |program: &str, passed, failed, left_out| Outcome {
            program: program.into(),
            passed,
            failed,
            left_out,
        };
        let few = |passed, failed| outcome("kernel_datapath with few capabilities", passed, failed, 20);
        let judged = |program: Outcome| judge("6.12", &programs, &[program, few(5, 0)], None);
        let all = outcome("kernel_datapath", 30, 0, 0);
        assert!(judged(all.clone()).is_empty());
        assert_eq!(judged(outcome("kernel_datapath", 29, 0, 1)).len(), 1);
        assert_eq!(judged(outcome("kernel_datapath", 29, 1, 0)).len(), 1);
        for few in [few(5, 1), few(0, 0)] {
            assert_eq!(judge("host", &programs, &[all.clone(), few], None).len(), 1);
        }
        assert_eq!(judge("host", &programs, std::slice::from_ref(&all), None).len(), 2);
        // A filter that takes none of them.
        assert!(judge("host", &programs, std::slice::from_ref(&all), Some("vlan")).is_empty());
        assert_eq!(judge("host", &programs, &[all], Some("minimal_caps_every")).len(), 1);

        let programs = [("kernel_agent".to_owned(), "/t/kernel_agent-1".into())];
        let listed = skipped::of("6.12", "kernel_agent").count() as u64;
        let all = outcome("kernel_agent", 30, 0, listed);
        let few = [outcome("kernel_agent with few capabilities", 3, 0, 30)];
        let judge = |version: &str, programs: &[_], outcomes: &[Outcome], filter| {
            judge(version, programs, &[outcomes, few.as_slice()].concat(), filter)
        };
        assert!(judge("6.12", &programs, std::slice::from_ref(&all), None).is_empty());
        // Where all is there that tests need, none is left out.
        assert_eq!(judge("host", &programs, std::slice::from_ref(&all), None).len(), 1);
        assert!(judge("host", &programs, &[outcome("kernel_agent", 33, 0, 0)], None).is_empty());
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

    #[test]
    fn every_program_of_tests_is_run_or_listed() {
        let all = ["kernel_agent", "kernel_bgp", "kernel_datapath", "kernel_replay"];
        assert!(unlisted(all.into_iter()).is_empty());
        assert_eq!(unlisted(all.into_iter().chain(["kernel_new"])), ["kernel_new"]);
        assert_eq!(unlisted(all.into_iter().skip(2)), ["kernel_agent", "kernel_bgp"]);
    }
}
