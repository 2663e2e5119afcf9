//! `classifier completions`.

use std::io::Write;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::{Cli, CliError};

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier completions bash > /etc/bash_completion.d/classifier
  classifier completions zsh > /usr/share/zsh/vendor-completions/_classifier
  classifier completions fish > ~/.config/fish/completions/classifier.fish")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn execute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    // Into memory first: the generator panics where a write fails.
    let mut text = Vec::new();
    generate(args.shell, &mut Cli::command(), "classifier", &mut text);
    Ok(out.write_all(&text)?)
}
