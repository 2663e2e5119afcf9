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
/// What is on its way out is gone by then.
const SETTLED: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(50);
/// Descriptors more than before: connections that are being closed.
const FDS: usize = 8;
/// Anonymous memory more than before, at least and for each second: traffic to prefixes that had none until then, and the last
/// hour's sweeps, take as much where nothing else happens.
const SEEN: (u64, u64) = (64 << 20, 1 << 20);
/// The same of the process that counts, which has nothing but what the counters were at the last sweep.
const COUNTING: u64 = 32 << 20;
/// No agent takes more anonymous memory: with traffic to all of the table on three links and a history it is about half.
const MEMORY: u64 = 2 << 30;

/// A running agent; it is killed when this goes.
pub(crate) struct Life {
    child: Child,
    log: PathBuf,
}

/// What it has taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    at: Instant,
    fds: usize,
    /// Bytes of anonymous memory: the agent's, and the other process's.
    memory: [u64; 2],
    /// Bytes of the kernel's maps that it has before it.
    maps: u64,
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [agent, counting, maps] = [self.memory[0], self.memory[1], self.maps].map(|bytes| bytes >> 20);
        write!(f, "{agent} and {counting} MiB, {maps} MiB of maps, {} descriptors", self.fds)
    }
}

impl Sizes {
    /// Whether it is no more than `before`, but for what passes and what traffic takes.
    pub(super) fn fits(&self, before: &Self) -> bool {
        let seen = SEEN.0.max(SEEN.1 * self.at.duration_since(before.at).as_secs());
        self.fds <= before.fds + FDS
            && self.memory[0] <= before.memory[0] + seen
            && self.memory[1] <= before.memory[1] + COUNTING
            && self.maps <= before.maps
    }
}

impl Life {
    /// Starts it; what it says goes into the file.
    pub(crate) fn start(command: &mut Command, router: &Namespace, log: &Path) -> Result<Self> {
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
    pub(crate) fn until(&mut self, what: &str, mut is: impl FnMut() -> Result<bool>) -> Result<()> {
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

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        sys::signal(&self.child, signal).context("could not signal the agent")
    }

    /// Waits for its end, after it was told or killed.
    pub(crate) fn wait(mut self, well: bool) -> Result<()> {
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
        let mut sizes = Sizes { at: Instant::now(), fds: 0, memory: [0; 2], maps: 0 };
        for (place, process) in family(self.id()).into_iter().enumerate() {
            let of = |file: &str| PathBuf::from(format!("/proc/{process}/{file}"));
            sizes.fds += fs::read_dir(of("fd"))?.count();
            let status = fs::read_to_string(of("status"))?;
            let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
            let kib = anonymous.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            sizes.memory[place.min(1)] += kib.context("RssAnon")? << 10;
            sizes.maps += fs::read_to_string(of("maps"))?.lines().filter_map(mapped).sum::<u64>();
        }
        Ok(sizes)
    }

    /// Whether it lives and takes no more than any may.
    pub(super) fn check(&mut self) -> Result<Sizes> {
        ensure!(!self.ended()?, "the agent ended by itself:\n{}", self.last_words());
        let sizes = self.sizes()?;
        ensure!(sizes.memory.iter().sum::<u64>() < MEMORY, "the agent takes {sizes}");
        Ok(sizes)
    }

    /// Waits until it takes no more than before: connections and memory on their way out have gone then.
    pub(super) fn until_fits(&mut self, before: &Sizes) -> Result<Sizes> {
        let since = Instant::now();
        loop {
            let sizes = self.check()?;
            if sizes.fits(before) {
                return Ok(sizes);
            }
            ensure!(since.elapsed() < SETTLED, "the agent has grown from {before} to {sizes}");
            thread::sleep(STEP);
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes that a line of `/proc/PID/maps` has of a BPF map.
fn mapped(line: &str) -> Option<u64> {
    let range = line.strip_suffix("anon_inode:bpf-map")?.split(' ').next()?;
    let (from, to) = range.split_once('-')?;
    let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).ok());
    to?.checked_sub(from?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_of_each_process_shows() {
        let at = Instant::now();
        let before = Sizes { at, fds: 40, memory: [500 << 20, 50 << 20], maps: 1 << 30 };
        let after = |seconds, change: fn(&mut Sizes)| {
            let mut sizes = Sizes { at: at + Duration::from_secs(seconds), ..before };
            change(&mut sizes);
            sizes.fits(&before)
        };
        assert!(after(100, |_| {}));
        assert!(after(100, |sizes| sizes.memory[0] += 90 << 20));
        assert!(!after(10, |sizes| sizes.memory[0] += 90 << 20));
        // What the agent may take is no room for the other one.
        assert!(!after(1000, |sizes| sizes.memory[1] += 33 << 20));
        assert!(!after(1000, |sizes| sizes.fds += FDS + 1));
        assert!(!after(1000, |sizes| sizes.maps += 1));
    }
}
