//! `classifier detach`: take everything off the machine.

use std::io::Write;

use super::{CliError, wiring};

/// Take every program of classifier off every interface
///
/// Of this network namespace. For what an agent left that was killed; one that runs takes its programs off by itself
/// when it ends. Where one still runs, it goes on, and counts nothing more.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  sudo classifier detach")]
pub(super) struct Args {}

pub(super) fn execute(_: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let detached = wiring::detach()?;
    if detached.is_empty() {
        writeln!(out, "nothing of classifier is attached here")?;
    }
    for what in detached {
        writeln!(out, "{what}")?;
    }
    Ok(())
}
