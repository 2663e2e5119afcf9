//! `classifier man`.

use std::{io::Write, path::PathBuf};

use clap::CommandFactory as _;
use clap_mangen::{Man, generate_to};

use super::{Cli, CliError};

/// Print the manual page, or write the pages of all commands
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier man | man -l -
  classifier man --dir /usr/local/share/man/man1")]
pub(super) struct Args {
    /// Write a page a command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn execute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    match &args.dir {
        None => Ok(Man::new(Cli::command()).render(out)?),
        Some(directory) => {
            let failed = |source| CliError::Write { path: directory.clone(), source };
            std::fs::create_dir_all(directory).map_err(failed)?;
            generate_to(Cli::command(), directory).map_err(failed)
        }
    }
}
