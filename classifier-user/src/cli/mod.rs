//! The command line. Raw arguments are lowered to a plan ([`crate::config`]) or to a question to the agent before any
//! work is done. Reading order: here, [`args`] (what commands share), [`error`] (exit codes), [`output`] (how answers
//! are shown), then one file a command. [`wiring`] is the only place that calls what does the work.

use std::io::Write;

use clap::{Parser, Subcommand};

mod answers;
mod args;
mod asn;
mod check;
mod client;
mod completions;
mod datapath;
mod detach;
mod detail;
pub mod error;
mod group;
mod history;
mod links;
mod live;
mod lookup;
mod man;
mod output;
mod past;
mod prefix;
mod ranking;
mod replay;
mod report;
mod routes;
mod run;
mod status;
mod table;
mod tables;
mod top;
mod wiring;

pub use error::CliError;

/// Which networks does our traffic come from and go to, over which link, how much, and what share?
///
/// Counts every packet of a Linux border router in the kernel (XDP and TC), per prefix and AS, without sampling and
/// without storing anybody's address.
#[derive(Debug, Parser)]
#[command(
    name = "classifier",
    bin_name = "classifier",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "Examples:
  classifier lookup 45.57.0.1              which AS is this? No root, no agent
  sudo classifier run -i eth0=transit-a    count what passes eth0
  classifier top                           who sends, who receives, how much

Exit codes: 0 done; 1 it failed, and the message says what to do;
2 the arguments or the configuration are wrong."
)]
pub struct Cli {
    /// What is logged to stderr: error, warn, info, debug, trace, or a filter such as classifier=debug
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "RUST_LOG",
        hide_env_values = true,
        display_order = 900
    )]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Top(top::Args),
    As(asn::Args),
    Prefix(prefix::Args),
    Group(group::Args),
    Report(report::Args),
    Links(links::Args),
    Status(status::Args),
    Lookup(lookup::Args),
    Routes(routes::Args),
    Replay(replay::Args),
    Table(table::Args),
    History(history::Args),
    Check(check::Args),
    Detach(detach::Args),
    Datapath(datapath::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked.
    Done,
    /// `check`: it answered, and the answer is that `run` cannot.
    CannotRun,
}

impl Cli {
    /// What is to be logged, as an `env_filter` directive.
    #[must_use]
    pub fn log_filter(&self) -> &str {
        match (&self.log, &self.command) {
            (Some(filter), _) => filter,
            (None, Command::Run(_) | Command::Datapath(_)) => "info",
            (None, _) => "warn",
        }
    }

    /// Does what was asked and writes the answer to `out`.
    ///
    /// # Errors
    /// [`CliError`], which knows its exit code.
    pub fn execute(self, out: &mut dyn Write) -> Result<Outcome, CliError> {
        let log = self.log_filter().to_owned();
        match self.command {
            Command::Run(args) => run::execute(args, &log)?,
            Command::Top(args) => top::execute(&args, out)?,
            Command::As(args) => asn::execute(&args, out)?,
            Command::Prefix(args) => prefix::execute(&args, out)?,
            Command::Group(args) => group::execute(&args, out)?,
            Command::Report(args) => report::execute(&args, out)?,
            Command::Links(args) => links::execute(&args, out)?,
            Command::Status(args) => status::execute(&args, out)?,
            Command::Lookup(args) => lookup::execute(args, out)?,
            Command::Routes(args) => routes::execute(&args, out)?,
            Command::Replay(args) => replay::execute(args, out)?,
            Command::Table(args) => table::execute(args, out)?,
            Command::History(args) => history::execute(args, out)?,
            Command::Check(args) => return check::execute(args, out),
            Command::Detach(args) => detach::execute(&args, out)?,
            Command::Datapath(args) => datapath::execute(args)?,
            Command::Completions(args) => completions::execute(&args, out)?,
            Command::Man(args) => man::execute(&args, out)?,
        }
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn walk(command: &clap::Command, path: &str) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(path), "`{path} --help` has no example of itself");
            for sub in command.get_subcommands() {
                walk(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        walk(&Cli::command(), "classifier");
    }

    #[test]
    fn run_logs_more_than_the_others() {
        let filter = |line: &str| Cli::parse_from(line.split(' ')).log_filter().to_owned();
        assert_eq!(filter("classifier run -i eth0"), "info");
        assert_eq!(filter("classifier links"), "warn");
        assert_eq!(filter("classifier links --log debug"), "debug");
    }
}
