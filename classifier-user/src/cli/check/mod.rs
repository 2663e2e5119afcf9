//! `classifier check`: what `run` would do here, and whether it can. Reading order: [`host`] (facts), [`mod@judge`] (what
//! they mean), with [`features`], [`kept`], [`memory`] and [`position`] as its parts, [`people`] (how it is shown).

use std::io::Write;

use self::{host::Host, judge::judge};
use super::{
    CliError, Outcome,
    output::Screen,
    run::{self, SettingsArgs},
    tables,
};
use crate::{config::RunPlan, datapath::kernel, fib::sizes::sizes_for};

mod features;
mod files;
mod host;
mod judge;
#[cfg(test)]
mod judge_tests;
mod kept;
#[cfg(test)]
mod kept_tests;
mod memory;
mod people;
mod position;

/// Say what `run` would do here, and whether it can
///
/// Takes the arguments of `run`, and changes nothing. Exits with 0 if `run` can, with 1 if it cannot. Beside an agent that
/// runs and leaves the kernel counting, that is: whether it can be started again with these.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier check -i eth0
  sudo classifier check --config /etc/classifier/classifier.toml
  classifier check -i eth0 --json")]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(args: Args, out: &mut dyn Write) -> Result<Outcome, CliError> {
    let mut settings = args.settings.over_file()?;
    if run::is_service() {
        settings.keep.counting.get_or_insert(true);
    }
    let keeps = settings.keep.counting;
    let plan = settings.plan()?;
    let mut host = Host::read(&plan).map_err(CliError::work)?;
    if judge::can_load(&host) {
        host.loads = Some(kernel::try_load().map_err(|error| error.to_string()));
        // What is taken without TCX may be a module that is missing.
        if plan.clsact || host.tcx == Some(false) {
            host.clsact = kernel::try_clsact();
        }
    }
    let prefixes = if host.unreadable.is_empty() { count_prefixes(&plan, &mut host) } else { Ok(None) };
    let report = judge(&plan, keeps, &host, prefixes);
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        out.write_all(people::show(&report, Screen::of_stdout()).as_bytes())?;
    }
    Ok(if report.ok { Outcome::Done } else { Outcome::CannotRun })
}

/// Prefixes of all tables: loading them is the check of the files.
fn count_prefixes(plan: &RunPlan, host: &mut Host) -> Result<Option<u64>, String> {
    let tables = tables::load(&plan.tables()).map_err(|error| error.to_string())?;
    host.fib_bytes = Some(sizes_for(tables.rib.iter().map(|route| route.prefix)).fib_bytes());
    Ok(Some(tables.rib.counts().total() as u64))
}
