//! One process of the agent, from its start to its end.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::sys::{self, Namespace, Signal};

/// What nothing here takes.
pub(super) const LONG: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(50);
/// Descriptors beyond those of the first life: connections that are being closed.
const FDS: usize = 24;
/// No agent with such a table takes more anonymous memory.
const MEMORY: u64 = 1 << 30;

/// A running agent; it is killed when this goes.
pub(super) struct Life {
    child: Child,
    log: PathBuf,
}

/// What it has taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    fds: usize,
    memory: u64,
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB and {} descriptors", self.memory >> 20, self.fds)
    }
}

impl Sizes {
    /// What is more than it may be, after `first`.
    pub(super) fn against(&self, first: &Self) -> Option<String> {
        // What was seen of prefixes grows with the traffic; what leaks grows with events.
        let most = (first.memory * 2).max(first.memory + (192 << 20));
        (self.fds > first.fds + FDS || self.memory > most.min(MEMORY))
            .then(|| format!("the agent has grown from {first} to {self}"))
    }
}

impl Life {
    /// Starts it; what it says goes into the file.
    pub(super) fn start(command: &mut Command, router: &Namespace, log: &Path) -> Result<Self> {
        let file = fs::File::options().create(true).append(true).open(log).context("the agent's log")?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = router.host(command).spawn().context("could not start the agent")?;
        Ok(Self { child, log: log.to_owned() })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended, and how.
    pub(super) fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// The process that it started.
    pub(super) fn child(&self) -> Option<u32> {
        family(self.id()).get(1).copied()
    }

    /// Waits until it ends by itself, which is not well.
    pub(super) fn until_ended(&mut self) -> Result<()> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(!status.success(), "the agent ended as if all were well:\n{}", self.last_words());
                return Ok(());
            }
            ensure!(since.elapsed() < LONG, "the agent does not end:\n{}", self.last_words());
            thread::sleep(STEP);
        }
    }

    /// Waits until it is so, as long as the agent lives.
    pub(super) fn until(&mut self, what: &str, mut is: impl FnMut() -> Result<bool>) -> Result<()> {
        let since = Instant::now();
        while !is()? {
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent ended by itself ({status}):\n{}", self.last_words());
            }
            ensure!(
                since.elapsed() < LONG,
                "{what} did not come within {} s:\n{}",
                LONG.as_secs(),
                self.last_words()
            );
            thread::sleep(STEP);
        }
        Ok(())
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        sys::signal(&self.child, signal).context("could not signal the agent")
    }

    /// Waits for its end, after it was told or killed.
    pub(super) fn wait(mut self, well: bool) -> Result<()> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(
                    !well || status.success(),
                    "the agent did not end well ({status}):\n{}",
                    self.last_words()
                );
                return Ok(());
            }
            ensure!(since.elapsed() < LONG, "the agent does not end:\n{}", self.last_words());
            thread::sleep(STEP);
        }
    }

    /// All that it said so far, and those before it.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn last_words(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }

    /// What it takes now, with its children.
    pub(super) fn sizes(&self) -> Result<Sizes> {
        let mut sizes = Sizes { fds: 0, memory: 0 };
        for process in family(self.id()) {
            sizes.fds += fs::read_dir(format!("/proc/{process}/fd"))?.count();
            let status = fs::read_to_string(format!("/proc/{process}/status"))?;
            let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
            let kib = anonymous.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            sizes.memory += kib.context("RssAnon")? << 10;
        }
        Ok(sizes)
    }

    /// Whether it lives and takes no more than any may.
    pub(super) fn check(&mut self) -> Result<Sizes> {
        ensure!(!self.ended()?, "the agent ended by itself:\n{}", self.last_words());
        let sizes = self.sizes()?;
        ensure!(sizes.memory < MEMORY, "the agent takes {sizes}");
        Ok(sizes)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process and those that it started.
pub(super) fn family(process: u32) -> Vec<u32> {
    let mut all = vec![process];
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        all.extend(family(child));
    }
    all
}
