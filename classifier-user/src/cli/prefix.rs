//! `classifier prefix`: the routes inside an address range.

use std::io::Write;

use ip_network::IpNetwork;

use super::{CliError, detail};

/// Show one prefix: the traffic of all routes that are equal to it or inside it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier prefix 45.57.0.0/17
  classifier prefix 2a00:86c0::/32 --last 24h
  classifier prefix 192.0.2.0/24 --side local    one of our own")]
pub(super) struct Args {
    /// The prefix; an address alone is its /32 or /128
    #[arg(value_name = "CIDR")]
    prefix: String,
    #[command(flatten)]
    detail: detail::DetailArgs,
}

pub(super) fn execute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let prefix = parse(&args.prefix).ok_or_else(|| CliError::Prefix(args.prefix.clone()))?;
    detail::execute(&["prefix", &prefix.to_string()], &args.detail, out)
}

fn parse(text: &str) -> Option<IpNetwork> {
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Some(address.into());
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_addresses() {
        for (text, prefix) in [
            ("45.57.0.0/17", Some("45.57.0.0/17")),
            ("2A00:86C0::/32", Some("2a00:86c0::/32")),
            ("8.8.8.8", Some("8.8.8.8/32")),
            ("::1", Some("::1/128")),
            ("45.57.0.1/17", None),
            ("45.57.0.0/33", None),
            ("netflix", None),
        ] {
            assert_eq!(parse(text).map(|prefix| prefix.to_string()).as_deref(), prefix, "{text}");
        }
    }
}
