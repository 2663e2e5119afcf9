//! The release binary, as its users run it.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    process::{Child, ChildStderr, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::measure::process_cpu;

/// The binary that Cargo built for this benchmark.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_classifier");

/// A running agent; it ends with this.
pub(crate) struct Agent {
    child: Child,
    log: Option<BufReader<ChildStderr>>,
}

impl Agent {
    /// Starts one on an interface of this thread's namespace, with the built-in table.
    pub(crate) fn start(interface: &str) -> Result<Self> {
        Self::start_with(interface, &[])
    }

    /// Starts one with more arguments.
    pub(crate) fn start_with(interface: &str, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(BINARY)
            .args(["run", "-i", interface])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {BINARY}"))?;
        let log = child.stderr.take().map(BufReader::new);
        Ok(Self { child, log })
    }

    /// Reads its log as far as the first line with this text.
    pub(crate) fn wait_for(&mut self, text: &str) -> Result<String> {
        let log = self.log.as_mut().context("the log is given away")?;
        let mut all = String::new();
        loop {
            let mut line = String::new();
            if log.read_line(&mut line)? == 0 {
                bail!("the agent ended:\n{all}");
            }
            if line.contains(text) {
                return Ok(line);
            }
            all += &line;
        }
    }

    /// Reads the rest of its log, and forgets it.
    pub(crate) fn ignore_log(&mut self) {
        if let Some(mut log) = self.log.take() {
            thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        }
    }

    /// Its processes: itself, and the one that counts.
    fn processes(&self) -> io::Result<Vec<u32>> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        Ok(std::iter::once(id).chain(children.split_whitespace().flat_map(str::parse)).collect())
    }

    /// CPU time that both have used.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        self.processes()?.into_iter().map(process_cpu).sum()
    }

    /// A size in `/proc/PID/status`, bytes, of both.
    pub(crate) fn memory(&self, name: &str) -> Result<u64> {
        let size = |process: u32| -> Result<u64> {
            let status = fs::read_to_string(format!("/proc/{process}/status"))?;
            let kib = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kib = kib.and_then(|rest| rest.trim().strip_suffix(" kB")).context("no such size")?;
            Ok(kib.parse::<u64>()? * 1024)
        };
        self.processes()?.into_iter().map(size).sum()
    }

    /// What it answers to `classifier status`.
    pub(crate) fn status(&self) -> Result<serde_json::Value> {
        let output = Command::new(BINARY).args(["status", "--json"]).output()?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("classifier status: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let _ = self.child.wait();
    }
}
