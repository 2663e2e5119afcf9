//! `classifier as`: one AS.

use std::io::Write;

use super::{CliError, detail};

/// Show one AS: how much, since when, over which links, which of its prefixes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier as 2906                     by number (AS2906 is the same)
  classifier as netflix                  by name, where the name means one AS
  classifier as 15169 --last 30d         share, rank, peak, 95th percentile, by link, months
  classifier as 15169 --from 2026-10 --to 2026-11 --compare previous
  classifier as 2906 --json")]
pub(super) struct Args {
    /// The AS: its number, or its name
    #[arg(value_name = "ASN|NAME")]
    network: String,
    #[command(flatten)]
    detail: detail::DetailArgs,
}

pub(super) fn execute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    detail::execute(&["as", number(&args.network)], &args.detail, out)
}

/// The number in `AS2906` or `as2906`; everything else as it is.
fn number(network: &str) -> &str {
    let is_prefix = network.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("as"));
    match network.get(2..) {
        Some(digits)
            if is_prefix && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            digits
        }
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_and_without_as() {
        for (given, asked) in [
            ("2906", "2906"),
            ("AS2906", "2906"),
            ("as2906", "2906"),
            ("as", "as"),
            ("AS-SSI", "AS-SSI"),
            ("éa", "éa"),
            ("Asus1", "Asus1"),
        ] {
            assert_eq!(number(given), asked);
        }
    }
}
