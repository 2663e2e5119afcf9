//! `classifier group`: the ASes of a group as one.

use std::io::Write;

use super::{CliError, detail};

/// Show one group: a set of ASes that people see as one thing
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier group netflix
  classifier group google --direction in --last 24h     share, rank, peak, 95th percentile, by link, months
  classifier group netflix --from 2026-10 --to 2026-11 --compare previous
  classifier group netflix --last 7d --csv              for a spreadsheet")]
pub(super) struct Args {
    /// The group's key or name
    #[arg(value_name = "NAME")]
    group: String,
    #[command(flatten)]
    detail: detail::DetailArgs,
}

pub(super) fn execute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    detail::execute(&["group", &args.group], &args.detail, out)
}
