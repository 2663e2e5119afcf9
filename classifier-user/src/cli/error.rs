//! What a command can fail with, and the exit code of each.

use std::{error::Error, io, path::PathBuf};

use super::client::AgentError;
use crate::{config::ConfigError, datapath::privileges::UserError, ingest::set::TooManyTables};

/// A command that failed. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration, in flags or file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The user that the agent is to become.
    #[error(transparent)]
    User(UserError),
    /// Not an IP address.
    #[error("`{0}` is no IP address: expected one such as 192.0.2.1 or 2001:db8::1")]
    Address(String),
    /// Not a prefix.
    #[error("`{0}` is no prefix: expected one such as 192.0.2.0/24 or 2001:db8::/32, without host bits")]
    Prefix(String),
    /// What draws on a terminal has none.
    #[error(
        "`{what}` draws on a terminal, and {which} is none: for a file or a program there are --json and --csv"
    )]
    NotATerminal {
        /// The command.
        what: &'static str,
        /// What is not a terminal.
        which: &'static str,
    },
    /// The terminal cannot be drawn on or read.
    #[error("the terminal: {0}")]
    Terminal(io::Error),
    /// Bytes that would upset a terminal.
    #[error("this format is not for a terminal: write it to a file with -o FILE")]
    BinaryToTerminal,
    /// A zone that is none.
    #[error("--zone: `{0}` is no time zone: expected a name such as Europe/Paris or UTC")]
    Zone(String),
    /// A period that is none.
    #[error("{option}: the time is {what}")]
    Period {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More files than there are ranks for.
    #[error(transparent)]
    TooManyTables(TooManyTables),
    /// The agent, or the way to it.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The answer could not be written to stdout.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An agent writes the history that is to be written.
    #[error("an agent keeps its history in {}: stop it first, and start it again afterwards", .0.display())]
    HistoryInUse(PathBuf),
    /// What did the work failed: its message stands for itself.
    #[error(transparent)]
    Work(Box<dyn Error + Send + Sync>),
}

impl CliError {
    /// 1: it failed. 2: the arguments or the configuration are wrong.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            // The agent knows what is wrong with the arguments, and has said so.
            Self::Agent(
                AgentError::Refused { bad_arguments: true, .. } | AgentError::Url(_) | AgentError::Tls { .. },
            ) => 2,
            Self::Config(_)
            | Self::User(_)
            | Self::Address(_)
            | Self::Prefix(_)
            | Self::NotATerminal { .. }
            | Self::BinaryToTerminal
            | Self::Period { .. }
            | Self::Zone(_)
            | Self::TooManyTables(_) => 2,
            Self::Agent(_)
            | Self::Output(_)
            | Self::Terminal(_)
            | Self::Write { .. }
            | Self::HistoryInUse(_)
            | Self::Work(_) => 1,
        }
    }

    /// Whether the reader of the output went away (`classifier top | head`): nothing to complain of.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The error of a part that does the work.
    pub(crate) fn work(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Work(error.into())
    }
}

impl From<csv::Error> for CliError {
    fn from(error: csv::Error) -> Self {
        match error.into_kind() {
            csv::ErrorKind::Io(error) => Self::Output(error),
            kind => Self::Output(io::Error::other(format!("{kind:?}"))),
        }
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}
