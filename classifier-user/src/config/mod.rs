//! What the agent is asked to do: flags and file become [`Settings`], and those a validated [`RunPlan`] before any
//! work is begun. Reading order: [`value`] (small values), [`link`] (links), [`bgp`] (peers), [`bmp`] (routers), [`history`],
//! [`keep`], [`public`], [`mod@file`] (the TOML file), [`web`] (TLS and passwords), here (plans).

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub mod bgp;
pub mod bmp;
pub mod file;
pub mod history;
pub mod keep;
pub mod link;
pub mod public;
pub mod value;
pub mod web;

pub use history::{HistoryPlan, HistorySettings};
pub use keep::{KeepPlan, KeepSettings};
pub use value::{BankMemory, CountMode, DiskSize, GranularityChoice, Span, ValueError, XdpChoice};

pub use crate::ingest::TableSpec;
use crate::{
    ingest::{LoadOptions, bgp::PeerSettings, bmp::settings::RouterSettings, set::TableRequest},
    model::{Asn, Link},
};
use bgp::BgpSpec;
use bmp::BmpSpec;
use link::LinkSpec;

/// Where the agent listens, and where the reading commands ask, unless told otherwise.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9469);
/// Time between sweeps unless told otherwise.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// ASes with metrics of their own unless told otherwise.
pub const DEFAULT_METRICS_ASES: usize = 500;

pub(crate) const LISTEN_EXPECTED: &str = "an address and port such as 127.0.0.1:9469 or [::]:9469";
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// What flags or a file say; what they do not say is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// [`RunPlan::router`].
    pub router: Option<String>,
    /// [`RunPlan::links`].
    pub links: Vec<LinkSpec>,
    /// [`RunPlan::tables`].
    pub tables: Vec<TableSpec>,
    /// [`RunPlan::overrides`].
    pub overrides: Option<PathBuf>,
    /// [`RunPlan::as_names`].
    pub as_names: Vec<PathBuf>,
    /// [`RunPlan::groups`].
    pub groups: Option<PathBuf>,
    /// [`RunPlan::listen`].
    pub listen: Option<SocketAddr>,
    /// [`RunPlan::web_config`].
    pub web_config: Option<PathBuf>,
    /// Whether everybody who reaches [`RunPlan::listen`] may see all.
    pub insecure_listen: Option<bool>,
    /// [`RunPlan::state_dir`].
    pub state_dir: Option<PathBuf>,
    /// [`RunPlan::history`].
    pub history: HistorySettings,
    /// [`RunPlan::public`].
    pub public: public::PublicSettings,
    /// [`RunPlan::interval`].
    pub interval: Option<Duration>,
    /// [`RunPlan::count`].
    pub count: Option<CountMode>,
    /// [`RunPlan::granularity`].
    pub granularity: Option<GranularityChoice>,
    /// [`RunPlan::bank_memory`].
    pub bank_memory: Option<BankMemory>,
    /// [`RunPlan::xdp_mode`].
    pub xdp_mode: Option<XdpChoice>,
    /// [`RunPlan::metrics_ases`].
    pub metrics_ases: Option<usize>,
    /// [`RunPlan::skip_bad_lines`].
    pub skip_bad_lines: Option<bool>,
    /// [`RunPlan::reload`].
    pub reload: Option<bool>,
    /// [`RunPlan::bgp`].
    pub bgp: Vec<BgpSpec>,
    /// [`RunPlan::bmp`].
    pub bmp: Vec<BmpSpec>,
    /// Of [`RunPlan::own_ases`].
    pub own_ases: Vec<Asn>,
    /// [`RunPlan::transit_ases`].
    pub transit_ases: Vec<Asn>,
    /// [`RunPlan::datapath`].
    pub datapath: Option<PathBuf>,
    /// [`RunPlan::user`].
    pub user: Option<String>,
    /// [`RunPlan::keep`].
    pub keep: KeepSettings,
    /// [`RunPlan::wait`].
    pub wait: Option<bool>,
    /// [`RunPlan::clsact`].
    pub clsact: bool,
}

/// What `classifier run` will do, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPlan {
    /// The router's name in answers; the host name by default.
    pub router: String,
    /// What is accounted; a link's place is its number. Never empty.
    pub links: Vec<Link>,
    /// Where routes come from, the first before the second. Never empty.
    pub tables: Vec<TableSpec>,
    /// Static routes before all tables.
    pub overrides: Option<PathBuf>,
    /// Files with AS names.
    pub as_names: Vec<PathBuf>,
    /// A file of groups beside the built-in ones.
    pub groups: Option<PathBuf>,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// A file of TLS, passwords and headers ([`web`]) of that listener.
    pub web_config: Option<PathBuf>,
    /// Where state is kept, which is the history; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
    /// How the history is kept there.
    pub history: HistoryPlan,
    /// What is shown to everybody, if anything.
    pub public: Option<public::PublicPlan>,
    /// Time between sweeps.
    pub interval: Duration,
    /// Which sides are counted.
    pub count: CountMode,
    /// What a class stands for.
    pub granularity: GranularityChoice,
    /// How much kernel memory the banks may take.
    pub bank_memory: BankMemory,
    /// How frames are seen on receive.
    pub xdp_mode: XdpChoice,
    /// ASes with metrics of their own.
    pub metrics_ases: usize,
    /// Whether a bad line of a table is counted and passed over instead of refusing the file.
    pub skip_bad_lines: bool,
    /// Whether changed files are loaded again by themselves (SIGHUP always does).
    pub reload: bool,
    /// BGP sessions; a peer's place is its number.
    pub bgp: Vec<PeerSettings>,
    /// Routers that report by BMP.
    pub bmp: Vec<RouterSettings>,
    /// The ISP's own ASes: those given, and ours in every BGP session. At the beginning of a path they are passed over.
    pub own_ases: Vec<Asn>,
    /// Neighbours that transit is bought from; empty: found out.
    pub transit_ases: Vec<Asn>,
    /// The socket of the process that counts; `None`: the agent starts one.
    pub datapath: Option<PathBuf>,
    /// The user that the agent becomes; `None`: it stays who it is.
    pub user: Option<String>,
    /// What outlives the agent in the kernel; where another process counts, that one has its own word on it.
    pub keep: KeepPlan,
    /// Whether interfaces may come later.
    pub wait: bool,
    /// Whether TC is used as before kernel 6.6. For tests.
    pub clsact: bool,
}

impl RunPlan {
    /// Its files of TLS and passwords ([`web`]).
    pub(crate) fn web_configs(&self) -> impl Iterator<Item = &PathBuf> {
        let public = self.public.as_ref().and_then(|public| public.web_config.as_ref());
        self.web_config.iter().chain(public)
    }

    /// Its tables.
    #[must_use]
    pub fn tables(&self) -> TableRequest {
        TableRequest {
            tables: self.tables.clone(),
            overrides: self.overrides.clone(),
            as_names: self.as_names.clone(),
            options: LoadOptions { skip_bad_lines: self.skip_bad_lines },
        }
    }
}

/// A plan that cannot be made of what was given.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error(transparent)]
    File(#[from] file::FileError),
    /// The links.
    #[error(transparent)]
    Links(#[from] link::LinkError),
    /// The BGP peers.
    #[error(transparent)]
    Bgp(#[from] bgp::BgpError),
    /// The BMP routers.
    #[error(transparent)]
    Bmp(#[from] bmp::BmpError),
    /// A table that is named twice.
    #[error("the table `{0}` is given twice; each source is given once, the first has precedence")]
    DuplicateTable(TableSpec),
    /// What is kept of the past.
    #[error(transparent)]
    Keep(#[from] history::KeepError),
    /// The instance's name.
    #[error(transparent)]
    Instance(#[from] keep::InstanceError),
    /// What is public.
    #[error(transparent)]
    Public(#[from] public::HiddenLinkError),
    /// Everybody who reaches the machine could see all.
    #[error(
        "`listen` is {0}, where more than this machine reaches it, with neither TLS nor passwords: listen on 127.0.0.1 \
         or [::1], give --web-config FILE with tls_server_config or basic_auth_users (docs/http.md), or say \
         --insecure-listen (insecure_listen = true) where everybody who reaches it may see all"
    )]
    Insecure(SocketAddr),
    /// Sweeps too often or too seldom.
    #[error("the interval {} is out of range: expected 100ms to 1h", Span(*.0))]
    Interval(Duration),
    /// The router has no name.
    #[error("the router has no name: give one with --router NAME (the host name cannot be read: {0})")]
    Router(std::io::Error),
}

impl Settings {
    /// These settings, and `below` where they say nothing. A list replaces the other list as a whole.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        fn list<T>(this: Vec<T>, below: Vec<T>) -> Vec<T> {
            if this.is_empty() { below } else { this }
        }
        Self {
            router: self.router.or(below.router),
            links: list(self.links, below.links),
            tables: list(self.tables, below.tables),
            overrides: self.overrides.or(below.overrides),
            as_names: list(self.as_names, below.as_names),
            groups: self.groups.or(below.groups),
            listen: self.listen.or(below.listen),
            web_config: self.web_config.or(below.web_config),
            insecure_listen: self.insecure_listen.or(below.insecure_listen),
            state_dir: self.state_dir.or(below.state_dir),
            history: self.history.over(below.history),
            public: self.public.over(below.public),
            interval: self.interval.or(below.interval),
            count: self.count.or(below.count),
            granularity: self.granularity.or(below.granularity),
            bank_memory: self.bank_memory.or(below.bank_memory),
            xdp_mode: self.xdp_mode.or(below.xdp_mode),
            metrics_ases: self.metrics_ases.or(below.metrics_ases),
            skip_bad_lines: self.skip_bad_lines.or(below.skip_bad_lines),
            reload: self.reload.or(below.reload),
            bgp: list(self.bgp, below.bgp),
            bmp: list(self.bmp, below.bmp),
            own_ases: list(self.own_ases, below.own_ases),
            transit_ases: list(self.transit_ases, below.transit_ases),
            datapath: self.datapath.or(below.datapath),
            user: self.user.or(below.user),
            keep: self.keep.over(below.keep),
            wait: self.wait.or(below.wait),
            clsact: self.clsact || below.clsact,
        }
    }

    /// Checks all and fills in the defaults.
    ///
    /// # Errors
    /// [`ConfigError`]: each of them is the user's to mend.
    pub fn plan(self) -> Result<RunPlan, ConfigError> {
        let interval = self.interval.unwrap_or(DEFAULT_INTERVAL);
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
            return Err(ConfigError::Interval(interval));
        }
        let router = match self.router {
            Some(router) => router,
            None => host_name().map_err(ConfigError::Router)?,
        };
        let links = link::lower(self.links)?;
        let names: Vec<String> = links.iter().map(|link| link.name.clone()).collect();
        let bgp = bgp::lower(self.bgp)?;
        let mut own_ases = self.own_ases;
        own_ases.extend(bgp.iter().map(|peer| peer.local_as));
        own_ases.sort_unstable();
        own_ases.dedup();
        let listen = self.listen.unwrap_or(DEFAULT_LISTEN);
        let protected = match &self.web_config {
            Some(path) => web::read(path)?.protects(),
            None => false,
        };
        if let Some(path) = &self.public.web_config {
            web::read(path)?;
        }
        if !listen.ip().to_canonical().is_loopback() && !protected && self.insecure_listen != Some(true) {
            return Err(ConfigError::Insecure(listen));
        }
        Ok(RunPlan {
            public: self.public.plan(&router, &names)?,
            router,
            links,
            tables: tables(self.tables)?,
            overrides: self.overrides,
            as_names: self.as_names,
            groups: self.groups,
            listen,
            web_config: self.web_config,
            state_dir: self.state_dir,
            history: self.history.plan()?,
            interval,
            count: self.count.unwrap_or_default(),
            granularity: self.granularity.unwrap_or_default(),
            bank_memory: self.bank_memory.unwrap_or_default(),
            xdp_mode: self.xdp_mode.unwrap_or_default(),
            metrics_ases: self.metrics_ases.unwrap_or(DEFAULT_METRICS_ASES),
            skip_bad_lines: self.skip_bad_lines.unwrap_or(false),
            reload: self.reload.unwrap_or(true),
            bgp,
            bmp: bmp::lower(self.bmp)?,
            own_ases,
            transit_ases: self.transit_ases,
            datapath: self.datapath,
            user: self.user,
            keep: self.keep.plan()?,
            wait: self.wait.unwrap_or(false),
            clsact: self.clsact,
        })
    }
}

/// The tables asked for, each once; the built-in snapshot if none was.
///
/// # Errors
/// [`ConfigError::DuplicateTable`].
pub fn tables(given: Vec<TableSpec>) -> Result<Vec<TableSpec>, ConfigError> {
    if given.is_empty() {
        return Ok(vec![TableSpec::Builtin]);
    }
    let twice = given
        .iter()
        .enumerate()
        .find(|(index, table)| given.iter().take(*index).any(|before| before == *table));
    if let Some((_, twice)) = twice {
        return Err(ConfigError::DuplicateTable(twice.clone()));
    }
    Ok(given)
}

fn host_name() -> std::io::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    match name.trim() {
        "" => Err(std::io::Error::other("it is empty")),
        name => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;

    fn one_link() -> Settings {
        Settings { links: vec![LinkSpec::parse("eth0", Role::Upstream).unwrap()], ..Settings::default() }
    }

    #[test]
    fn defaults() {
        let plan = one_link().plan().unwrap();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(
            plan,
            RunPlan {
                router: host.trim().to_owned(),
                links: vec![Link {
                    name: "eth0".into(),
                    interface: "eth0".into(),
                    vlan: None,
                    role: Role::Upstream,
                    kind: None,
                }],
                tables: vec![TableSpec::Builtin],
                overrides: None,
                as_names: vec![],
                groups: None,
                listen: "127.0.0.1:9469".parse().unwrap(),
                web_config: None,
                state_dir: None,
                history: HistorySettings::default().plan().unwrap(),
                public: None,
                interval: Duration::from_secs(5),
                count: CountMode::Auto,
                granularity: GranularityChoice::Auto,
                bank_memory: BankMemory::Percent(10),
                xdp_mode: XdpChoice::Auto,
                metrics_ases: 500,
                skip_bad_lines: false,
                reload: true,
                bgp: vec![],
                bmp: vec![],
                own_ases: vec![],
                transit_ases: vec![],
                datapath: None,
                user: None,
                keep: KeepPlan::default(),
                wait: false,
                clsact: false,
            }
        );
    }

    #[test]
    fn flags_are_over_the_file() {
        let file = Settings {
            router: Some("file".into()),
            tables: vec![TableSpec::Builtin],
            listen: Some("[::1]:1".parse().unwrap()),
            reload: Some(false),
            ..one_link()
        };
        let flags = Settings {
            router: Some("flag".into()),
            tables: vec![TableSpec::File("a".into())],
            ..Settings::default()
        };
        let plan = flags.over(file).plan().unwrap();
        assert_eq!(plan.router, "flag");
        assert_eq!(plan.tables, [TableSpec::File("a".into())]);
        assert_eq!(plan.listen, "[::1]:1".parse().unwrap());
        assert_eq!(plan.links.len(), 1);
        assert!(!plan.reload);
    }

    #[test]
    fn others_reach_it_only_where_that_is_meant() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let at = |listen: &str| Settings { listen: Some(listen.parse().unwrap()), ..one_link() };
        for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(at(listen).plan().unwrap().listen, listen.parse().unwrap());
        }
        let empty = file("empty.yml", "http_server_config: { headers: { X-Frame-Options: deny } }");
        for listen in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"] {
            assert!(matches!(at(listen).plan(), Err(ConfigError::Insecure(_))), "{listen}");
            let settings = Settings { web_config: Some(empty.clone()), ..at(listen) };
            assert!(matches!(settings.plan(), Err(ConfigError::Insecure(_))), "{listen}");
            assert!(Settings { insecure_listen: Some(true), ..at(listen) }.plan().is_ok());
        }
        let tls = file("tls.yml", "tls_server_config: { cert_file: c, key_file: k }");
        let users = file(
            "users.yml",
            "basic_auth_users: { a: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG }",
        );
        for web in [tls, users] {
            let plan = Settings { web_config: Some(web.clone()), ..at("[::]:1") }.plan().unwrap();
            assert_eq!(plan.web_config, Some(web));
        }
        let missing = Settings { web_config: Some("/nowhere/web.yml".into()), ..one_link() };
        assert!(matches!(missing.plan(), Err(ConfigError::File(_))));
    }

    #[test]
    fn the_packaged_configuration_is_right_as_it_is_and_with_all_that_it_shows() {
        let text = include_str!("../../../packaging/classifier.toml");
        let path = std::path::Path::new("/etc/classifier/classifier.toml");
        let settings = file::parse(path, text).unwrap();
        assert_eq!(settings.state_dir, Some("/var/lib/classifier".into()));
        assert!(matches!(settings.plan(), Err(ConfigError::Links(_))));
        // A key that is commented out has no blank after its #, prose has one.
        let shown: String = text
            .lines()
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|key| key.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
                    .unwrap_or(line)
            })
            .filter(|line| !line.starts_with("web_config"))
            .map(|line| format!("{line}\n"))
            .collect();
        let plan = file::parse(path, &shown).unwrap().plan().unwrap();
        assert_eq!((plan.links.len(), plan.bgp.len(), plan.bmp.len()), (3, 1, 1));
        assert_eq!(plan.listen, DEFAULT_LISTEN);
        assert!(plan.public.is_some());
    }

    #[test]
    fn own_ases_are_those_given_and_ours_in_sessions() {
        let peer = |text: &str| BgpSpec::parse(text).unwrap();
        let bgp = vec![
            peer("192.0.2.1,as=64500"),
            peer("192.0.2.2,as=3356,local_as=64500"),
            peer("192.0.2.3,as=64510,local_as=65001"),
        ];
        let plan = Settings { bgp, own_ases: vec![64_510], ..one_link() }.plan().unwrap();
        assert_eq!(plan.own_ases, [64_500, 64_510, 65_001]);
    }

    #[test]
    fn what_cannot_be_planned() {
        let error = |settings: Settings| settings.plan().unwrap_err().to_string();
        assert!(error(Settings::default()).starts_with("no link to account"));
        assert_eq!(
            error(Settings { interval: Some(Duration::from_millis(99)), ..one_link() }),
            "the interval 99ms is out of range: expected 100ms to 1h"
        );
        assert_eq!(
            error(Settings { interval: Some(Duration::from_secs(3601)), ..one_link() }),
            "the interval 3601s is out of range: expected 100ms to 1h"
        );
        assert_eq!(
            error(Settings { tables: vec![TableSpec::Builtin, TableSpec::Builtin], ..one_link() }),
            "the table `builtin` is given twice; each source is given once, the first has precedence"
        );
    }
}
