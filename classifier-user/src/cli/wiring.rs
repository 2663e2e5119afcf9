//! The calls to what does the work: the only place of the command line that knows it.

use super::{CliError, replay};
use crate::config::{ReplayPlan, RunPlan};

/// The part is not in this build.
#[derive(Debug, thiserror::Error)]
#[error("this build cannot {0}")]
struct NotInThisBuild(&'static str);

/// Runs the agent until it is told to end.
pub(super) fn run(_plan: RunPlan) -> Result<(), CliError> {
    Err(CliError::work(NotInThisBuild("run the agent")))
}

/// Runs a capture through the program.
pub(super) fn replay(_plan: &ReplayPlan) -> Result<replay::Answer, CliError> {
    Err(CliError::work(NotInThisBuild("replay captures")))
}

/// Takes everything off; says what was taken off, a line each.
pub(super) fn detach() -> Result<Vec<String>, CliError> {
    Err(CliError::work(NotInThisBuild("detach programs")))
}
