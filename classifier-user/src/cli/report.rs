//! `classifier report`: the past in sentences.

use std::{io::Write, time::Duration};

use clap::ValueEnum;

use super::{
    CliError,
    args::{AgentArgs, DirectionArg, PeriodArgs, one_of},
    client::Client,
};
use crate::{
    config::Span,
    questions::{
        answer::{PeeringAnswer, ReportAnswer},
        report::{
            peering_text,
            text::{Markup, render},
        },
        words::Lang,
    },
};

/// Say in sentences what networks are: place, volume, evening peak, growth, weekends; or whom to peer with
///
/// From the history of the agent. A network is a group, or an AS that is in none. Evenings are from 18:00 to 24:00, days of the
/// zone that the agent is told. With --peering: whose traffic comes over links of the kind `transit`, what stands behind
/// them by the routes of BGP, and by how much a session would lower the links' 95th percentile.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  classifier report                                                   the five largest networks of the last day
  classifier report --group netflix --versus google,apple,amazon      a day, held against others
  classifier report --group netflix --versus google --last 24h --since 2026-09-15 --lang fr
  classifier report --peering --last 30d                              whom to ask for a session
  classifier report --as 2906 --from 2026-10 --to 2026-11 --format markdown > october.md")]
pub(super) struct Args {
    /// Say whom to ask for a session: whose traffic comes over paid transit
    #[arg(long, conflicts_with_all = ["groups", "networks", "versus", "since"])]
    peering: bool,
    /// With --peering: how many networks
    #[arg(short, value_name = "ROWS", requires = "peering", value_parser = clap::value_parser!(u32).range(1..=50))]
    n: Option<u32>,
    /// A group to tell of, by key or name; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// An AS to tell of, by number or name; may be repeated
    #[arg(long = "as", value_name = "ASN|NAME")]
    networks: Vec<String>,
    /// Groups or ASes to hold them against
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    versus: Vec<String>,
    /// How far back: 24h, 7d, 30d, … [default: 24h; with --peering 30d]
    #[arg(long, value_name = "TIME", value_parser = super::args::period)]
    last: Option<Span>,
    #[command(flatten)]
    period: PeriodArgs,
    /// Tell the growth since this day: an average day from it on against the 28 days before
    #[arg(long, value_name = "DATE", value_parser = super::args::moment)]
    since: Option<String>,
    /// The direction that is told of
    #[arg(long, value_enum, default_value_t)]
    direction: DirectionArg,
    /// Only this link, by name; may be repeated
    #[arg(long = "link", value_name = "LINK")]
    links: Vec<String>,
    /// The language of the sentences
    #[arg(long, value_name = "LANG", default_value = "en", value_parser = one_of::<Lang>(Lang::ALL.map(Lang::code)))]
    lang: Lang,
    /// What is written
    #[arg(long, value_enum, default_value_t)]
    format: FormatArg,
    #[command(flatten)]
    agent: AgentArgs,
}

/// `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// Sentences
    #[default]
    Text,
    /// Sentences under headings
    Markdown,
    /// The numbers (stable: fields are only ever added)
    Json,
}

pub(super) fn execute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let mut query = vec![("direction", args.direction.name().to_owned())];
    let mut put = |name: &'static str, values: &[String]| {
        query.extend(values.iter().map(|value| (name, value.clone())));
    };
    put("group", &args.groups);
    put("as", &args.networks);
    put("versus", &args.versus);
    put("link", &args.links);
    put("since", args.since.as_slice());
    query.extend(args.n.map(|n| ("n", n.to_string())));
    let days = if args.peering { 30 } else { 1 };
    query.extend(args.period.query(args.last.unwrap_or(Span(Duration::from_secs(days * 86_400)))));
    let path: &[&str] = if args.peering { &["report", "peering"] } else { &["report"] };
    let answer = Client::new(&args.agent)?.get(path, &query)?;
    let markup = match args.format {
        FormatArg::Json => return answer.pass_through(out),
        FormatArg::Text => Markup::Plain,
        FormatArg::Markdown => Markup::Markdown,
    };
    let text = if args.peering {
        peering_text::render(&answer.parse::<PeeringAnswer>()?, args.lang, markup)
    } else {
        render(&answer.parse::<ReportAnswer>()?, args.lang, markup)
    };
    // Names come from tables and the agent: none of them drives the terminal.
    let text: Vec<String> = text.lines().map(super::output::clean).collect();
    writeln!(out, "{}", text.join("\n"))?;
    Ok(())
}
