//! `classifier detach`: take everything off the machine.

use std::{io::Write, path::PathBuf};

use super::{CliError, wiring};
use crate::config::keep;

/// Take every program of classifier off every interface
///
/// Of this network namespace. For what an agent left counting (`keep_counting`), with all it counted that no agent has
/// read, and for what one left that was killed. Where one still runs, it goes on, and counts nothing more.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  sudo classifier detach")]
pub(super) struct Args {
    /// Only what is kept under this name, wherever its interfaces are
    #[arg(long, value_name = "NAME", value_parser = keep::instance)]
    instance: Option<String>,
    /// Where the BPF file system is
    #[arg(long, value_name = "DIR", hide = true, default_value = keep::DEFAULT_BPFFS)]
    bpffs: PathBuf,
}

pub(super) fn execute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let detached = wiring::detach(&args.bpffs, args.instance.as_deref())?;
    if detached.is_empty() {
        writeln!(out, "nothing of classifier is attached here")?;
    }
    for what in detached {
        writeln!(out, "{what}")?;
    }
    Ok(())
}
