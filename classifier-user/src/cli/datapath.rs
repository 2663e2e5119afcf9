//! `classifier datapath`: the half of the agent that counts.

use super::{CliError, args::KeepArgs, wiring};
use crate::config::{BankMemory, ConfigError};

/// Count for an agent: the half that has the privileges
///
/// Loads the kernel's programs, puts them on interfaces and reads the counters, for an agent that has no privilege at all.
/// `classifier run` starts it by itself.
#[derive(Debug, clap::Args)]
#[command(
    hide = true,
    after_help = "Example:
  sudo classifier datapath --stdin"
)]
pub(super) struct Args {
    #[command(flatten)]
    keep: KeepArgs,
    /// How much kernel memory counters may take, whatever the agent asks for: 512M, 2G, or a share of the memory
    #[arg(long, value_name = "SIZE", default_value_t)]
    bank_memory: BankMemory,
    /// Serve the agent at the other end of the standard input
    #[arg(long, hide = true)]
    stdin: bool,
}

pub(super) fn execute(args: Args) -> Result<(), CliError> {
    let Args { keep, bank_memory, stdin: _ } = args;
    let keep = keep.settings().plan().map_err(ConfigError::from)?;
    wiring::serve_parent(&keep, bank_memory)
}
