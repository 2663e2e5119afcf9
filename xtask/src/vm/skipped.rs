//! Which tests are not run on which kernel, and why. A name that is of no test, or a test that is left out and not listed,
//! fails the run.

use super::KERNELS;

/// A test that is not run.
#[derive(Debug)]
pub(super) struct Skipped {
    pub(super) program: &'static str,
    /// Its whole name.
    pub(super) test: &'static str,
    /// On these kernels.
    pub(super) on: &'static [&'static str],
    /// What says so to those who read this.
    #[expect(dead_code, reason = "for people")]
    why: &'static str,
}

const fn skipped(
    program: &'static str,
    test: &'static str,
    on: &'static [&'static str],
    why: &'static str,
) -> Skipped {
    Skipped { program, test, on, why }
}

const BOTH: &[&str] = &KERNELS;
const NO_TCX: &[&str] = &["6.1"];

const SKIPPED: &[Skipped] = &[];

/// Those of a kernel.
pub(super) fn on(version: &str) -> impl Iterator<Item = &'static Skipped> {
    SKIPPED.iter().filter(move |test| test.on.contains(&version))
}
