//! A month behind the demo, so that its page is alive at once.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::{
    Direction,
    agent::{EXCHANGE, TRANSIT},
    mix,
};
use crate::process;

/// Days of it, before today.
const DAYS: u32 = 31;

/// Where the agent keeps its history. It goes with this.
pub(crate) struct History(TempDir);

impl History {
    /// Invents a month whose average rate is about that of so many frames a second.
    pub(crate) fn invent(program: &Path, frames_per_second: u32) -> Result<Self> {
        let directory = TempDir::with_prefix("classifier-demo-").context("could not make a directory")?;
        let rate = |direction| {
            let bits = mix::mean_length(direction) * 8.0 * f64::from(frames_per_second / 2);
            (bits as u64).to_string()
        };
        let mut command = Command::new(program);
        command.args(["history", "synthesize", "--days", &DAYS.to_string()]);
        command.args(["--link", TRANSIT, "--link", EXCHANGE]);
        command.args(["--inward", &rate(Direction::In), "--outward", &rate(Direction::Out)]);
        command.arg("--state-dir").arg(directory.path());
        process::run_quietly("a month of history", &mut command)?;
        Ok(Self(directory))
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }
}
