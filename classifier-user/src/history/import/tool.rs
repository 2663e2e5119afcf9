//! RRDtool, which reads its own databases: one process for all of them, told by a pipe what to dump.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// RRDtool is not there, or went away.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It is not installed.
    #[error(
        "rrdtool is not installed, and it alone reads the databases of AS-Stats: apt-get install rrdtool"
    )]
    Missing,
    /// It cannot be started, written to or read from.
    #[error("rrdtool: {0}")]
    Io(#[from] io::Error),
    /// It ended by itself.
    #[error("rrdtool ended by itself")]
    Ended,
}

/// RRDtool at work in a directory.
#[derive(Debug)]
pub(super) struct RrdTool {
    child: Child,
    /// `None` only while it is ended.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl RrdTool {
    pub(super) fn start(directory: &Path) -> Result<Self, ToolError> {
        let mut command = Command::new("rrdtool");
        // `-`: commands are read from standard input (rrdtool(1), "remote control").
        command.arg("-").current_dir(directory).env("LC_ALL", "C").env("TZ", "UTC");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ToolError::Missing,
            _ => ToolError::Io(error),
        })?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ToolError::Ended);
        };
        Ok(Self { child, commands: Some(stdin), answers: BufReader::new(stdout) })
    }

    /// Dumps a database; within, what RRDtool says of one that it cannot read. The name has no blanks.
    pub(super) fn dump(&mut self, file: &str) -> Result<Result<String, String>, ToolError> {
        let commands = self.commands.as_mut().ok_or(ToolError::Ended)?;
        commands.write_all(format!("dump {file}\n").as_bytes())?;
        commands.flush()?;
        let mut dump = String::new();
        loop {
            let begins = dump.len();
            if self.answers.read_line(&mut dump)? == 0 {
                return Err(ToolError::Ended);
            }
            let line = dump.get(begins..).unwrap_or_default();
            if line.starts_with("OK ") {
                dump.truncate(begins);
                return Ok(Ok(dump));
            }
            if let Some(error) = line.strip_prefix("ERROR: ") {
                return Ok(Err(error.trim_end().to_owned()));
            }
        }
    }
}

impl Drop for RrdTool {
    fn drop(&mut self) {
        // The end of its input is its end.
        self.commands = None;
        let _ = self.child.wait();
    }
}
