//! Arguments that several commands share.

use std::{path::PathBuf, time::Duration};

use clap::{
    ArgAction, Args, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};

use super::{
    client::url::AgentText,
    output::{Format, Screen},
};
use crate::{
    config::{KeepSettings, Settings, Span, TableSpec, ValueError, keep},
    totals::{Moment, MomentError, parse_period},
};

/// `--json`, `--csv`.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct FormatArgs {
    /// Print JSON (stable: fields are only ever added)
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV with a header line
    #[arg(long)]
    csv: bool,
}

impl FormatArgs {
    pub(super) fn format(self) -> Format {
        match (self.json, self.csv) {
            (true, _) => Format::Json,
            (_, true) => Format::Csv,
            _ => Format::People(Screen::of_stdout()),
        }
    }
}

/// Where the agent is.
#[derive(Clone, Debug, Args)]
pub(super) struct AgentArgs {
    /// The agent to ask; https://USER@HOST:PORT where it wants to know who asks, with the password in CLASSIFIER_AGENT_PASSWORD
    #[arg(
        long,
        value_name = "URL",
        env = "CLASSIFIER_AGENT",
        hide_env_values = true,
        default_value = "http://127.0.0.1:9469"
    )]
    pub(super) agent: AgentText,
    #[command(flatten)]
    pub(super) tls: AgentTlsArgs,
}

/// Whom to believe that they are the agent.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct AgentTlsArgs {
    /// Who signed the agent's certificate (PEM) [default: the machine's CAs]
    #[arg(long, value_name = "FILE", env = "CLASSIFIER_AGENT_CA")]
    pub(super) agent_ca: Option<PathBuf>,
    /// Our certificate, where the agent wants one (PEM)
    #[arg(long, value_name = "FILE", env = "CLASSIFIER_AGENT_CERT", requires = "agent_key")]
    pub(super) agent_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", env = "CLASSIFIER_AGENT_KEY", requires = "agent_cert")]
    pub(super) agent_key: Option<PathBuf>,
}

/// What part of the traffic is asked for.
#[derive(Clone, Debug, Args)]
pub(super) struct WindowArgs {
    /// Only this direction (in: towards the ISP; out: towards the Internet)
    #[arg(long, value_enum)]
    pub(super) direction: Option<DirectionArg>,
    /// Whose address is looked at: the Internet's (remote) or the ISP's (local)
    #[arg(long, value_enum, default_value_t)]
    pub(super) side: SideArg,
    /// Only this link, by name; may be repeated
    #[arg(long = "link", value_name = "LINK")]
    pub(super) links: Vec<String>,
    /// How far back: 5m, 1h, 24h, 7d, 30d, 1y, … [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = period)]
    pub(super) last: Option<Span>,
    #[command(flatten)]
    pub(super) past: PastArgs,
}

/// Which time of the past is asked for, and whether it is compared.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct PastArgs {
    #[command(flatten)]
    pub(super) period: PeriodArgs,
    /// Say how much it has changed against the period of the same length before
    #[arg(long, value_enum, value_name = "WITH")]
    pub(super) compare: Option<CompareArg>,
}

/// Which time of the past is asked for.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct PeriodArgs {
    /// From this time on: a day (2026-10-25), a month (2026-10), a day and time (2026-10-25T18:00), both in the zone of the agent's days, or how long ago (7d)
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "last")]
    pub(super) from: Option<String>,
    /// Up to this time, which is not in it (2026-10-25 is the beginning of that day) [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "from")]
    pub(super) to: Option<String>,
}

impl PeriodArgs {
    /// The period as parameters, `last` where no `from` is given.
    pub(super) fn query(&self, last: Span) -> Vec<(&'static str, String)> {
        let mut query = match &self.from {
            Some(from) => vec![("from", from.clone())],
            None => vec![("last", last.to_string())],
        };
        query.extend(self.to.iter().map(|to| ("to", to.clone())));
        query
    }
}

impl WindowArgs {
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        if let Some(direction) = self.direction {
            query.push(("direction", direction.name().to_owned()));
        }
        query.push(("side", self.side.name().to_owned()));
        query.extend(self.past.period.query(self.last.unwrap_or(Span(Duration::from_secs(300)))));
        query.extend(self.past.compare.map(|compare| ("compare", compare.name().to_owned())));
        query.extend(self.links.iter().map(|link| ("link", link.clone())));
        query
    }
}

macro_rules! value_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
        pub(super) enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

value_enum! {
    /// `--direction`.
    DirectionArg {
        /// Towards the ISP
        #[default]
        In => "in",
        /// Towards the Internet
        Out => "out",
    }
}

value_enum! {
    /// `--side`.
    SideArg {
        /// The Internet's address
        #[default]
        Remote => "remote",
        /// The ISP's address
        Local => "local",
    }
}

value_enum! {
    /// `--compare`.
    CompareArg {
        /// The period before
        #[default]
        Previous => "previous",
    }
}

value_enum! {
    /// `--by`.
    ByArg {
        /// Origin AS
        #[default]
        As => "as",
        /// Routed prefix
        Prefix => "prefix",
        /// Group of ASes
        Group => "group",
        /// Kind of group (content, cdn, …)
        Kind => "kind",
        /// Link
        Link => "link",
        /// First AS of the path: the transit or peer
        Neighbor => "neighbor",
        /// AS anywhere on the path, its origin included; a packet is in the row of each
        Transit => "transit",
    }
}

/// Where routes and names come from.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct TableArgs {
    /// A source of routes: `builtin`, or a file (ranges CSV, iptoasn TSV, pfx2as, pyasn, networks.lst, MRT, mmdb; plain or gz, bz2, zstd). May be repeated, the first has precedence [default: builtin]
    #[arg(long = "table", value_name = "TABLE")]
    pub(super) tables: Vec<TableSpec>,
    /// Static routes before all tables: lines of `prefix asn [name]`
    #[arg(long = "override", value_name = "FILE")]
    pub(super) overrides: Option<PathBuf>,
    /// A file of AS names (asn.txt, bgp.tools asns.csv); may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) as_names: Vec<PathBuf>,
    /// Count and pass over bad lines of a table instead of refusing the file
    #[arg(long, action = ArgAction::SetTrue)]
    pub(super) skip_bad_lines: bool,
}

impl TableArgs {
    pub(super) fn settings(self) -> Settings {
        Settings {
            tables: self.tables,
            overrides: self.overrides,
            as_names: self.as_names,
            skip_bad_lines: self.skip_bad_lines.then_some(true),
            ..Settings::default()
        }
    }
}

/// Reads how far back: whole seconds, up to ten years, as the agent takes them.
pub(super) fn period(text: &str) -> Result<Span, ValueError> {
    let expected = "a time from 1s to 10y, such as 5m, 1h, 24h, 7d, 30d or 1y";
    parse_period(text).map(Span).map_err(|_| ValueError::new(text, expected))
}

/// Checks that a moment is one; which time it is depends on the agent's zone.
pub(super) fn moment(text: &str) -> Result<String, MomentError> {
    text.parse::<Moment>().map(|_| text.to_owned())
}

/// Parses one of a fixed set of words that `T` reads, and lists them in help and completions.
pub(super) fn one_of<T>(names: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr + Clone + Send + Sync + 'static,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    PossibleValuesParser::new(names.into_iter().map(PossibleValue::new)).try_map(|text| text.parse::<T>())
}

/// What outlives the agent in the kernel.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct KeepArgs {
    /// Leave the kernel counting when the agent ends; the next start goes on with it [default: as a service]
    #[arg(long, overrides_with = "no_keep")]
    keep: bool,
    /// Take everything off when the agent ends [default: in a terminal]
    #[arg(long, overrides_with = "keep")]
    no_keep: bool,
    /// The name of what is left counting; agents of one machine have different ones [default: default]
    #[arg(long, value_name = "NAME", value_parser = keep::instance)]
    instance: Option<String>,
    /// Where the BPF file system is [default: /sys/fs/bpf]
    #[arg(long, value_name = "DIR", hide = true)]
    bpffs: Option<PathBuf>,
    /// Another version of the interface to the kernel's programs, for tests of upgrades
    #[arg(long, value_name = "NUMBER", hide = true)]
    pin_abi: Option<u32>,
}

impl KeepArgs {
    pub(super) fn settings(self) -> KeepSettings {
        KeepSettings {
            counting: if self.no_keep { Some(false) } else { self.keep.then_some(true) },
            instance: self.instance,
            bpffs: self.bpffs,
            abi: self.pin_abi,
        }
    }
}
