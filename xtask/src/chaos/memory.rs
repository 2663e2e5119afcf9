//! The end of memory: the kernel kills what is in a memory cgroup that has no more.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, Result};

/// What it may take beyond what it has.
const LIMIT: u64 = 1 << 20;

/// A memory cgroup, which goes with this.
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one, of version 2 or 1; `None` where there is no controller of memory.
    pub(super) fn new() -> Result<Option<Self>> {
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("classifier-chaos-{}", process::id());
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let (directory, limit) = if controllers.split_whitespace().any(|controller| controller == "memory") {
            // Refused where it is on already, or not ours to give: then the limit's file is missing.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
            (root.join(name), "memory.max")
        } else if root.join("memory/memory.limit_in_bytes").exists() {
            (root.join("memory").join(name), "memory.limit_in_bytes")
        } else {
            return Ok(None);
        };
        let cgroup = Self(directory);
        if fs::create_dir(&cgroup.0).is_err() {
            return Ok(None);
        }
        let there = cgroup.0.join(limit).exists();
        if there {
            fs::write(cgroup.0.join(limit), LIMIT.to_string()).context("a limit of memory")?;
        }
        Ok(there.then_some(cgroup))
    }

    /// Puts a process in: what it takes from now on counts.
    pub(super) fn take(&self, process: u32) -> Result<()> {
        fs::write(self.0.join("cgroup.procs"), process.to_string()).context("could not move it into a cgroup")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
