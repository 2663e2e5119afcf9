//! The benchmarks' front end; what is measured, and how, is in classifier-user/benches.

use std::path::{self, PathBuf};

use anyhow::{Result, bail};
use clap::Args;

use crate::{process, setup, sys};

#[derive(Args)]
pub(crate) struct Options {
    /// What to measure [default: everything]
    sections: Vec<String>,
    /// Writes the figures to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs them.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !sys::is_root() {
        bail!("benchmarks load programs into the kernel: run `sudo -E cargo xtask bench`");
    }
    setup::run()?;
    let mut command =
        process::cargo(["bench", "--package", "classifier-user", "--bench", "classifier", "--"]);
    command.args(&options.sections);
    if let Some(file) = &options.json {
        // Cargo starts it in its package's directory, not in ours.
        command.arg("--json").arg(path::absolute(file)?);
    }
    process::run(&mut command)
}
