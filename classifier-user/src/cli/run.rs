//! `classifier run`: the agent.

use std::{io::IsTerminal as _, net::SocketAddr, path::PathBuf};

use super::{
    CliError,
    args::{KeepArgs, TableArgs, one_of},
    wiring,
};
use crate::{
    config::{
        BankMemory, ConfigError, CountMode, GranularityChoice, RunPlan, Settings, Span, XdpChoice,
        bgp::BgpSpec, bmp::BmpSpec, file, link::LinkSpec, public::PublicSettings,
    },
    model::Role,
};

/// Count what passes the links, until Ctrl-C or SIGTERM
///
/// Attaches to each link (XDP or TC on receive, TC on transmit), fills the kernel's table, sums the counters, and
/// answers over HTTP. Every packet is passed on unchanged.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sudo classifier run -i eth0
  sudo classifier run -i eth0=transit-a -i eth1:vlan=100=ix -d eth2
  sudo classifier run -i eth0 --table /var/lib/rib.mrt.bz2 --listen '[::]:9469' --web-config web.yml
  sudo classifier run --config /etc/classifier/classifier.toml

It needs root, or the capabilities BPF, NET_ADMIN and PERFMON: a second process that it starts keeps these
three and counts, and the agent itself gives up all.
`classifier check` with the same arguments says what it would do here.")]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// What `run` can be told; `check` takes the same.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SettingsArgs {
    /// A link that faces the Internet: eth0, eth0.100 (a VLAN device), eth0:vlan=100 (a tag on a trunk), each with =NAME
    #[arg(short = 'i', long = "upstream", value_name = "IF[=NAME]", value_parser = |text: &str| LinkSpec::parse(text, Role::Upstream))]
    upstream: Vec<LinkSpec>,
    /// A link that faces the customers, in the same forms
    #[arg(short = 'd', long = "downstream", value_name = "IF[=NAME]", value_parser = |text: &str| LinkSpec::parse(text, Role::Downstream))]
    downstream: Vec<LinkSpec>,
    /// A configuration file (TOML); flags override it, and a list replaces its list
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The router's name in answers [default: the host name]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    router: Option<String>,
    #[command(flatten)]
    tables: TableArgs,
    /// Groups of ASes beside the built-in ones; one with the same key replaces it (TOML)
    #[arg(long, value_name = "FILE")]
    groups: Option<PathBuf>,
    /// Where the API, the metrics and the page are served [default: 127.0.0.1:9469]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// TLS, passwords and headers of --listen: a file in the format of Prometheus' exporter-toolkit (YAML)
    #[arg(long, value_name = "FILE")]
    web_config: Option<PathBuf>,
    /// Lets --listen be an address that others reach, with neither TLS nor passwords: they see all of the traffic
    #[arg(long)]
    insecure_listen: bool,
    /// Where the pages that everybody may see are served; what they show is in the file's `[public]`
    #[arg(long, value_name = "ADDR:PORT")]
    public: Option<SocketAddr>,
    /// Where the history is kept, such as /var/lib/classifier; without it there is none
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Time between sweeps of the counters [default: 5s]
    #[arg(long, value_name = "TIME")]
    interval: Option<Span>,
    /// Which addresses of a packet are counted: auto is both where the memory allows it [default: auto]
    #[arg(long, value_name = "SIDES", value_parser = one_of::<CountMode>(CountMode::ALL.iter().map(|mode| mode.name())))]
    count: Option<CountMode>,
    /// What a counter stands for: auto is prefix where the memory allows it [default: auto]
    #[arg(long, value_name = "WHAT", value_parser = one_of::<GranularityChoice>(GranularityChoice::ALL.iter().map(|choice| choice.name())))]
    granularity: Option<GranularityChoice>,
    /// How much kernel memory counters may take: 512M, 2G, or a share of the memory [default: 10%]
    #[arg(long, value_name = "SIZE")]
    bank_memory: Option<BankMemory>,
    /// How frames are seen on receive: auto is native where the driver can, else tc [default: auto]
    #[arg(long, value_name = "MODE", value_parser = one_of::<XdpChoice>(XdpChoice::ALL.iter().map(|mode| mode.name())))]
    xdp_mode: Option<XdpChoice>,
    /// How many ASes have metrics of their own [default: 500]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(..=100_000))]
    metrics_ases: Option<u32>,
    /// Do not load changed files again by themselves (SIGHUP still does)
    #[arg(long)]
    no_reload: bool,
    /// A BGP peer whose routes the table follows: its address, as=NUMBER, and where it may connect to, listen=PORT; every key of `[[bgp]]` but the password; may be repeated
    #[arg(long, value_name = "PEER-ADDR,as=NUMBER[,KEY=VALUE]…", value_parser = BgpSpec::parse)]
    bgp: Vec<BgpSpec>,
    /// A router that reports its routes by BMP: the port where it connects to (or address and port), and its address; every key of `[[bmp]]`; may be repeated
    #[arg(long, value_name = "LISTEN,router=ADDR[,KEY=VALUE]…", value_parser = BmpSpec::parse)]
    bmp: Vec<BmpSpec>,
    /// Where a process counts for this agent (`classifier datapath --socket`); without it, the agent starts one
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["keep", "no_keep", "instance"])]
    datapath: Option<PathBuf>,
    /// Become this user once everything that needs root is in the other process
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[command(flatten)]
    keep: KeepArgs,
    /// Begin also where interfaces are not there yet
    #[arg(long)]
    wait: bool,
    /// Filters of a clsact qdisc also where there is TCX, for tests
    #[arg(long, hide = true)]
    clsact: bool,
}

/// Whether this process is a service: systemd started it (systemd.exec(5)), and nobody sits before it. A shell in a
/// terminal may have inherited the variable.
pub(super) fn is_service() -> bool {
    std::env::var_os("INVOCATION_ID").is_some() && !std::io::stdin().is_terminal()
}

impl SettingsArgs {
    /// The plan of these flags and of the file, if one is named. Where nobody says, a `service` is left counting.
    pub(super) fn plan(self, service: bool) -> Result<RunPlan, ConfigError> {
        let mut settings = self.over_file()?;
        settings.keep.counting.get_or_insert(service);
        settings.plan()
    }

    /// These flags, over the file if one is named.
    pub(super) fn over_file(self) -> Result<Settings, ConfigError> {
        let below = match &self.config {
            Some(path) => file::read(path)?,
            None => Settings::default(),
        };
        Ok(self.settings().over(below))
    }

    fn settings(self) -> Settings {
        let mut links = self.upstream;
        links.extend(self.downstream);
        Settings {
            router: self.router,
            links,
            groups: self.groups,
            listen: self.listen,
            web_config: self.web_config,
            insecure_listen: self.insecure_listen.then_some(true),
            public: PublicSettings { listen: self.public, ..PublicSettings::default() },
            state_dir: self.state_dir,
            interval: self.interval.map(|span| span.0),
            count: self.count,
            granularity: self.granularity,
            bank_memory: self.bank_memory,
            xdp_mode: self.xdp_mode,
            metrics_ases: self.metrics_ases.map(|count| count as usize),
            reload: self.no_reload.then_some(false),
            bgp: self.bgp,
            bmp: self.bmp,
            datapath: self.datapath,
            user: self.user,
            keep: self.keep.settings(),
            wait: self.wait.then_some(true),
            clsact: self.clsact,
            ..self.tables.settings()
        }
    }
}

pub(super) fn execute(args: Args, log: &str) -> Result<(), CliError> {
    wiring::run(&args.settings.plan(is_service())?, log)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::{
        config::{HistorySettings, KeepPlan, TableSpec},
        ingest::{bgp::PeerSettings, bmp::settings::RouterSettings},
        model::Link,
    };

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SettingsArgs,
    }

    fn planned(line: &str) -> Result<RunPlan, ConfigError> {
        Line::parse_from(line.split(' ')).args.plan(false)
    }

    fn link(name: &str, interface: &str, vlan: Option<u16>, role: Role) -> Link {
        Link { name: name.into(), interface: interface.into(), vlan, role, kind: None }
    }

    #[test]
    fn flags_become_a_plan() {
        let plan = planned(
            "run -i eth0=transit-a --upstream eth1:vlan=100=ix -d eth2 -d eth2.5 --router r1 --table a.mrt \
             --table builtin --override o --as-names n1 --as-names n2 --skip-bad-lines --groups g --listen [::]:1 --insecure-listen --public [::]:80 \
             --state-dir /s --interval 500ms --count both --granularity as --bank-memory 2G --xdp-mode tc \
             --metrics-ases 9 --no-reload --bgp 192.0.2.1,as=64500 --bmp 11019,router=192.0.2.1 --no-keep --keep \
             --instance a --bpffs /b --user u --wait --clsact",
        );
        assert_eq!(
            plan.unwrap(),
            RunPlan {
                router: "r1".into(),
                links: vec![
                    link("transit-a", "eth0", None, Role::Upstream),
                    link("ix", "eth1", Some(100), Role::Upstream),
                    link("eth2", "eth2", None, Role::Downstream),
                    link("eth2.5", "eth2.5", None, Role::Downstream),
                ],
                tables: vec![TableSpec::File("a.mrt".into()), TableSpec::Builtin],
                overrides: Some("o".into()),
                as_names: vec!["n1".into(), "n2".into()],
                groups: Some("g".into()),
                listen: "[::]:1".parse().unwrap(),
                web_config: None,
                state_dir: Some("/s".into()),
                history: HistorySettings::default().plan().unwrap(),
                public: PublicSettings {
                    listen: Some("[::]:80".parse().unwrap()),
                    ..PublicSettings::default()
                }
                .plan("r1", &[])
                .unwrap(),
                interval: Duration::from_millis(500),
                count: CountMode::Both,
                granularity: GranularityChoice::As,
                bank_memory: BankMemory::Bytes(2 << 30),
                xdp_mode: XdpChoice::Tc,
                metrics_ases: 9,
                skip_bad_lines: true,
                reload: false,
                bgp: vec![PeerSettings::new("192.0.2.1".parse().unwrap(), 64_500)],
                bmp: vec![RouterSettings::new("192.0.2.1".parse().unwrap())],
                own_ases: vec![64_500],
                transit_ases: vec![],
                datapath: None,
                user: Some("u".into()),
                keep: KeepPlan { counting: true, instance: "a".into(), bpffs: "/b".into(), abi: None },
                wait: true,
                clsact: true,
            }
        );
    }

    #[test]
    fn a_service_is_left_counting_unless_somebody_says() {
        let counting =
            |line: &str, service| Line::parse_from(line.split(' ')).args.plan(service).unwrap().keep.counting;
        for (line, terminal, service) in
            [("run -i e", false, true), ("run -i e --keep", true, true), ("run -i e --no-keep", false, false)]
        {
            assert_eq!((counting(line, false), counting(line, true)), (terminal, service), "{line}");
        }
    }

    #[test]
    fn a_file_is_below_the_flags() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("classifier.toml");
        std::fs::write(
            &path,
            "router = 'file'\ninterval = '1s'\ntables = ['t.csv']\n[[link]]\ninterface = 'eth9'\nrole = 'downstream'\n",
        )
        .unwrap();
        let config = path.display();
        let plan = planned(&format!("run --config {config}")).unwrap();
        assert_eq!(plan.router, "file");
        assert_eq!(plan.links, [link("eth9", "eth9", None, Role::Downstream)]);
        assert_eq!(plan.tables, [TableSpec::File(directory.path().join("t.csv"))]);
        let plan = planned(&format!("run --config {config} -i eth0 --router flag --table builtin")).unwrap();
        assert_eq!(plan.router, "flag");
        assert_eq!(plan.links, [link("eth0", "eth0", None, Role::Upstream)]);
        assert_eq!(plan.tables, [TableSpec::Builtin]);
        assert_eq!(plan.interval, Duration::from_secs(1));
    }
}
