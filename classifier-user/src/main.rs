//! The binary: arguments, logging, exit code. Nothing else in this crate uses anyhow.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser as _;
use classifier_user::cli::{Cli, CliError, Outcome};
use tracing_subscriber::EnvFilter;

const FAILED: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // Where even this cannot be written, the code still says it.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let filter = match EnvFilter::try_new(cli.log_filter()) {
        Ok(filter) => filter,
        Err(error) => {
            complain(&format!(
                "--log: {error}; expected a level such as debug, or a filter such as classifier=debug"
            ));
            return ExitCode::from(USAGE);
        }
    };
    match execute(cli, filter) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::CannotRun) => ExitCode::from(FAILED),
        Err(error) => match error.downcast_ref::<CliError>() {
            Some(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
            Some(error) => {
                complain(&error.to_string());
                ExitCode::from(error.exit_code())
            }
            None => {
                complain(&format!("{error:#}"));
                ExitCode::from(FAILED)
            }
        },
    }
}

fn execute(cli: Cli, filter: EnvFilter) -> anyhow::Result<Outcome> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(
            io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        )
        .with_target(false);
    // The journal has the time of each line (systemd.exec(5)).
    let journal = std::env::var_os("JOURNAL_STREAM").filter(|_| !io::stderr().is_terminal());
    let started = match journal {
        Some(_) => log.without_time().try_init(),
        None => log.try_init(),
    };
    started.map_err(|error| anyhow::anyhow!(error)).context("cannot start logging")?;
    let mut out = io::BufWriter::new(io::stdout());
    let outcome = cli.execute(&mut out)?;
    out.flush().map_err(CliError::from)?;
    Ok(outcome)
}

fn complain(message: &str) {
    // Nobody is left to be told where stderr is gone.
    let _ = writeln!(io::stderr(), "error: {message}");
}
