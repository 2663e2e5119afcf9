//! The configuration file (TOML). What is wrong in it is named by file, line and key, with the nearest valid key.
//!
//! ```toml
//! router = "border-1"
//! tables = ["builtin"]
//! listen = "127.0.0.1:9469"
//!
//! [[link]]
//! interface = "eth0"
//! name = "transit-a"
//! role = "upstream"
//! kind = "transit"
//! ```

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use jiff::tz::TimeZone;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    BankMemory, CountMode, DiskSize, GranularityChoice, HistorySettings, KeepSettings, Settings, Span,
    TableSpec, ValueError, XdpChoice,
    link::{self, LinkSpec},
    public::{PagePeriod, PublicSettings},
};
use crate::{
    model::{Asn, LinkKind, Role},
    totals::By,
};

mod bgp;
mod bmp;

/// What the file may say at its top.
const KEYS: &[&str] = &[
    "router",
    "link",
    "tables",
    "override",
    "as_names",
    "groups",
    "listen",
    "web_config",
    "insecure_listen",
    "state_dir",
    "history",
    "public",
    "interval",
    "count",
    "granularity",
    "bank_memory",
    "xdp_mode",
    "metrics_ases",
    "skip_bad_lines",
    "reload",
    "bgp",
    "datapath",
    "user",
    "keep_counting",
    "instance",
    "bpffs",
    "wait",
    "bmp",
    "own_ases",
    "transit_ases",
];

/// What a `[[link]]` may say.
const LINK_KEYS: &[&str] = &["name", "interface", "vlan", "role", "kind"];

/// What `[public]` may say.
const PUBLIC_KEYS: &[&str] = &[
    "listen",
    "web_config",
    "title",
    "contact",
    "lang",
    "by",
    "periods",
    "min_share",
    "min_bytes",
    "delay",
    "round",
    "hide_ases",
    "hide_groups",
    "hide_links",
    "cache",
];
/// What `[history]` may say.
const HISTORY_KEYS: &[&str] = &["zone", "slot_days", "hour_days", "day_days", "max_bytes", "top_prefixes"];

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{}:{line}: {problem}", path.display())]
    At {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What.
        problem: Problem,
    },
}

/// What is wrong at a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not TOML.
    #[error("{0}")]
    Syntax(String),
    /// No such key.
    #[error("unknown key `{key}`{section}; the nearest valid key is `{nearest}`")]
    UnknownKey {
        /// The key.
        key: String,
        /// Where: nothing, or ` in [[link]]`.
        section: &'static str,
        /// The valid key that is most like it.
        nearest: &'static str,
    },
    /// A key that must be there.
    #[error("a {section} needs `{key}`")]
    MissingKey {
        /// `[[link]]`, `[[bgp]]`, `[[bmp]]`.
        section: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A value of another type.
    #[error("`{key}` is {found}: expected {expected}")]
    Type {
        /// The key.
        key: &'static str,
        /// Its value's type.
        found: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// A value of the right type that is not right.
    #[error("`{key}` is {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value, and what would be right.
        problem: ValueError,
    },
    /// A value that is not right for a link.
    #[error(transparent)]
    Link(#[from] link::LinkError),
    /// What is wrong with a web configuration only.
    #[error(transparent)]
    Web(#[from] super::web::WebProblem),
}

/// Reads a configuration file.
///
/// # Errors
/// [`FileError`], with file and line.
pub fn read(path: &Path) -> Result<Settings, FileError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// Reads a configuration file's text. Relative paths in it start from the file's directory.
///
/// # Errors
/// [`FileError::At`].
pub fn parse(path: &Path, text: &str) -> Result<Settings, FileError> {
    let reader = Reader { path, text };
    let root = DeTable::parse(text).map_err(|error| {
        // Some messages of the parser are several lines; the first says it.
        let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
        reader.error(error.span().unwrap_or_default(), Problem::Syntax(message))
    })?;
    let section = Section::new(&reader, root.get_ref(), KEYS, "")?;
    Ok(Settings {
        router: section.string("router")?,
        links: reader.tables(&section, "link", "tables, each under a [[link]] line", |entry, span| {
            reader.link(&Section::new(&reader, entry, LINK_KEYS, " in [[link]]")?, span)
        })?,
        bgp: reader.tables(&section, "bgp", "tables, each under a [[bgp]] line", |entry, span| {
            bgp::peer(&reader, &Section::new(&reader, entry, bgp::KEYS, " in [[bgp]]")?, span)
        })?,
        bmp: reader.tables(&section, "bmp", "tables, each under a [[bmp]] line", |entry, span| {
            bmp::router(&reader, &Section::new(&reader, entry, bmp::KEYS, " in [[bmp]]")?, span)
        })?,
        tables: section
            .strings("tables")?
            .into_iter()
            .map(|table| match table.as_str() {
                "builtin" => TableSpec::Builtin,
                file => TableSpec::File(reader.resolve(file)),
            })
            .collect(),
        overrides: section.path("override")?,
        as_names: section.strings("as_names")?.iter().map(|file| reader.resolve(file)).collect(),
        groups: section.path("groups")?,
        listen: section.parsed("listen", super::LISTEN_EXPECTED)?,
        web_config: section.path("web_config")?,
        insecure_listen: section.boolean("insecure_listen")?,
        state_dir: section.path("state_dir")?,
        history: reader.history(&section)?,
        public: reader.public(&section)?,
        interval: section.seconds("interval", Span::EXPECTED)?,
        count: section.parsed("count", CountMode::EXPECTED)?,
        granularity: section.parsed("granularity", GranularityChoice::EXPECTED)?,
        bank_memory: section.bank_memory()?,
        xdp_mode: section.parsed("xdp_mode", XdpChoice::EXPECTED)?,
        metrics_ases: section.integer("metrics_ases", 0, "a number from 0 to 100000", 100_000)?,
        skip_bad_lines: section.boolean("skip_bad_lines")?,
        reload: section.boolean("reload")?,
        datapath: section.path("datapath")?,
        user: section.string("user")?,
        keep: KeepSettings {
            counting: section.boolean("keep_counting")?,
            instance: section.string("instance")?,
            bpffs: section.path("bpffs")?,
            abi: None,
        },
        wait: section.boolean("wait")?,
        clsact: false,
        own_ases: section.numbers("own_ases")?,
        transit_ases: section.numbers("transit_ases")?,
    })
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        1 + self.text.bytes().take(span.start).filter(|&byte| byte == b'\n').count()
    }

    fn error(&self, span: Range<usize>, problem: Problem) -> FileError {
        FileError::At { path: self.path.to_owned(), line: self.line(&span), problem }
    }

    fn resolve(&self, path: &str) -> PathBuf {
        match self.path.parent() {
            Some(directory) => directory.join(path),
            None => PathBuf::from(path),
        }
    }

    /// What each table of an array is.
    fn tables<'a, 'i, T>(
        &self,
        root: &Section<'a, 'i>,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&'a DeTable<'i>, Range<usize>) -> Result<T, FileError>,
    ) -> Result<Vec<T>, FileError> {
        let Some(value) = root.get(key) else { return Ok(Vec::new()) };
        let wrong_type = |value: &Spanned<DeValue<'_>>| {
            self.error(value.span(), Problem::Type { key, found: type_of(value.get_ref()), expected })
        };
        let array = value.get_ref().as_array().ok_or_else(|| wrong_type(value))?;
        array
            .iter()
            .map(|entry| {
                let table = entry.get_ref().as_table().ok_or_else(|| wrong_type(entry))?;
                read(table, entry.span())
            })
            .collect()
    }

    fn public(&self, root: &Section<'_, '_>) -> Result<PublicSettings, FileError> {
        const LANG: &str = "en or fr";
        const SHARE: &str = "a share from 0 to 1, such as 0.001 for a thousandth";
        const DELAY: &str = "a duration from 0s to 7d, such as 15m";
        const CACHE: &str = "a duration from 1s to 1h, such as 30s";
        let Some(table) = root.typed("public", "a table, under a [public] line", DeValue::as_table)? else {
            return Ok(PublicSettings::default());
        };
        let section = Section::new(self, table, PUBLIC_KEYS, " in [public]")?;
        let periods = section.chosen("periods", PagePeriod::EXPECTED, |text| {
            PagePeriod::ALL.into_iter().find(|period| period.name() == text).map(|period| vec![period])
        })?;
        let by = section.chosen("by", "as, group or both", |text| match text {
            "as" => Some(vec![By::As]),
            "group" => Some(vec![By::Group]),
            "both" => Some(vec![By::As, By::Group]),
            _ => None,
        })?;
        let shown = |time: Duration| if time.is_zero() { "0s".to_owned() } else { Span(time).to_string() };
        let within = |key, expected, most: Duration, least: Duration| match section.seconds(key, expected)? {
            Some(time) if time < least || time > most => Err(section.wrong(key, &shown(time), expected)),
            time => Ok(time),
        };
        const DAY: u64 = 86_400;
        Ok(PublicSettings {
            listen: section.parsed("listen", super::LISTEN_EXPECTED)?,
            web_config: section.path("web_config")?,
            title: section.string("title")?,
            contact: section.string("contact")?,
            lang: section.parsed("lang", LANG)?,
            by,
            periods,
            min_share: section.share("min_share", SHARE)?,
            min_bytes: section.integer("min_bytes", 0, "a number of bytes", i64::MAX)?,
            delay: within("delay", DELAY, Duration::from_secs(7 * DAY), Duration::ZERO)?,
            round: section.integer("round", 0, "a number of digits from 1 to 9, or 0 for all", 9)?,
            hide_ases: section.numbers("hide_ases")?,
            hide_groups: section.strings("hide_groups")?,
            hide_links: section.strings("hide_links")?,
            cache: within("cache", CACHE, Duration::from_secs(3600), Duration::from_secs(1))?,
        })
    }

    fn history(&self, root: &Section<'_, '_>) -> Result<HistorySettings, FileError> {
        const DAYS: &str = "a number of days from 1 to 36500";
        const ZONE: &str = "an IANA time zone such as Europe/Paris or UTC";
        let Some(table) = root.typed("history", "a table, under a [history] line", DeValue::as_table)? else {
            return Ok(HistorySettings::default());
        };
        let section = Section::new(self, table, HISTORY_KEYS, " in [history]")?;
        let zone = match section.typed("zone", ZONE, DeValue::as_str)? {
            Some(name) => Some(TimeZone::get(name).map_err(|_| section.wrong("zone", name, ZONE))?),
            None => None,
        };
        let days = |key| section.integer(key, 1, DAYS, 36_500);
        Ok(HistorySettings {
            zone,
            slot_days: days("slot_days")?,
            hour_days: days("hour_days")?,
            day_days: days("day_days")?,
            max_bytes: section.disk_size("max_bytes")?,
            top_prefixes: section.integer("top_prefixes", 0, "a number from 0 to 1000", 1000)?,
        })
    }

    fn link(&self, section: &Section<'_, '_>, span: Range<usize>) -> Result<LinkSpec, FileError> {
        let at = |key: &str| section.get(key).map_or_else(|| span.clone(), Spanned::span);
        let interface = section.string("interface")?.ok_or_else(|| {
            self.error(span.clone(), Problem::MissingKey { section: "[[link]]", key: "interface" })
        })?;
        link::check_interface(&interface).map_err(|error| self.error(at("interface"), error.into()))?;
        let vlan = section
            .integer("vlan", 1, "a number from 1 to 4094", 4094)?
            .map(|id: u16| link::check_vlan(Some(i64::from(id)), &id.to_string()))
            .transpose()
            .map_err(|error| self.error(at("vlan"), error.into()))?;
        let name = section.string("name")?;
        if let Some(name) = &name {
            link::check_name(name).map_err(|error| self.error(at("name"), error.into()))?;
        }
        let role = section.choice(
            "role",
            "upstream (faces the Internet) or downstream (faces the customers)",
            &[Role::Upstream, Role::Downstream],
        )?;
        let kind = section.choice(
            "kind",
            "transit, ix, pni or customer",
            &[LinkKind::Transit, LinkKind::Ix, LinkKind::Pni, LinkKind::Customer],
        )?;
        Ok(LinkSpec {
            interface,
            vlan,
            name,
            role: role.unwrap_or(Role::Upstream),
            kind,
            place: format!("{}:{}", self.path.display(), self.line(&span)),
        })
    }
}

/// A table of the file, all of whose keys are known.
struct Section<'a, 'i> {
    reader: &'a Reader<'a>,
    table: &'a DeTable<'i>,
}

impl<'a, 'i> Section<'a, 'i> {
    fn new(
        reader: &'a Reader<'a>,
        table: &'a DeTable<'i>,
        keys: &'static [&'static str],
        section: &'static str,
    ) -> Result<Self, FileError> {
        let unknown = table
            .keys()
            .filter(|key| !keys.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        match unknown {
            None => Ok(Self { reader, table }),
            Some(key) => {
                let given = key.get_ref().to_string();
                let nearest = nearest(&given, keys);
                Err(reader.error(key.span(), Problem::UnknownKey { key: given, section, nearest }))
            }
        }
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.table.get(key)
    }

    /// The value as `read` sees it; `None` from `read` is a wrong type.
    fn typed<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'a DeValue<'i>) -> Option<T>,
    ) -> Result<Option<T>, FileError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value.get_ref()).map(Some).ok_or_else(|| {
            let found = type_of(value.get_ref());
            self.reader.error(value.span(), Problem::Type { key, found, expected })
        })
    }

    fn wrong(&self, key: &'static str, given: &str, expected: &'static str) -> FileError {
        let span = self.get(key).map_or(0..0, Spanned::span);
        self.reader.error(span, Problem::Value { key, problem: ValueError::new(given, expected) })
    }

    fn string(&self, key: &'static str) -> Result<Option<String>, FileError> {
        const EXPECTED: &str = "a string";
        match self.typed(key, EXPECTED, DeValue::as_str)? {
            Some("") => Err(self.wrong(key, "", "a string that is not empty")),
            text => Ok(text.map(str::to_owned)),
        }
    }

    fn path(&self, key: &'static str) -> Result<Option<PathBuf>, FileError> {
        Ok(self.string(key)?.map(|path| self.reader.resolve(&path)))
    }

    /// One string, or an array of them.
    fn strings(&self, key: &'static str) -> Result<Vec<String>, FileError> {
        let read = |value: &'a DeValue<'i>| match value {
            DeValue::String(text) => Some(vec![text.to_string()]),
            DeValue::Array(array) => {
                array.iter().map(|entry| entry.get_ref().as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        let strings = self.typed(key, "a string or an array of strings", read)?.unwrap_or_default();
        if strings.iter().any(String::is_empty) {
            return Err(self.wrong(key, "", "a string that is not empty"));
        }
        Ok(strings)
    }

    fn boolean(&self, key: &'static str) -> Result<Option<bool>, FileError> {
        self.typed(key, "true or false", DeValue::as_bool)
    }

    fn integer<T: TryFrom<i64>>(
        &self,
        key: &'static str,
        min: i64,
        expected: &'static str,
        max: i64,
    ) -> Result<Option<T>, FileError> {
        let Some(number) = self.typed(key, expected, DeValue::as_integer)? else { return Ok(None) };
        i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|number| (min..=max).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .map(Some)
            .ok_or_else(|| self.wrong(key, number.as_str(), expected))
    }

    /// A string that `T` reads.
    fn parsed<T: FromStr>(&self, key: &'static str, expected: &'static str) -> Result<Option<T>, FileError> {
        let Some(text) = self.typed(key, expected, DeValue::as_str)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.wrong(key, text, expected))
    }

    fn choice<T: Copy + fmt::Display>(
        &self,
        key: &'static str,
        expected: &'static str,
        all: &[T],
    ) -> Result<Option<T>, FileError> {
        let Some(text) = self.typed(key, expected, DeValue::as_str)? else { return Ok(None) };
        all.iter()
            .copied()
            .find(|choice| choice.to_string() == text)
            .map(Some)
            .ok_or_else(|| self.wrong(key, text, expected))
    }

    /// A span of time: `"5s"`, or a number of seconds.
    fn seconds(&self, key: &'static str, expected: &'static str) -> Result<Option<Duration>, FileError> {
        match self.get(key).map(Spanned::get_ref) {
            Some(DeValue::Integer(_)) => Ok(self.integer(key, 1, expected, 86_400)?.map(Duration::from_secs)),
            // Of no unit: zero is zero.
            Some(DeValue::String(text)) if text == "0s" => Ok(Some(Duration::ZERO)),
            _ => Ok(self.parsed::<Span>(key, expected)?.map(|span| span.0)),
        }
    }

    /// A number from 0 to 1.
    fn share(&self, key: &'static str, expected: &'static str) -> Result<Option<f64>, FileError> {
        let read = |value: &'a DeValue<'i>| match value {
            DeValue::Float(number) => Some(number.as_str()),
            DeValue::Integer(number) => Some(number.as_str()),
            _ => None,
        };
        let Some(text) = self.typed(key, expected, read)? else { return Ok(None) };
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.map(Some).ok_or_else(|| self.wrong(key, text, expected))
    }

    /// AS numbers.
    fn numbers(&self, key: &'static str) -> Result<Vec<Asn>, FileError> {
        const EXPECTED: &str = "an array of AS numbers";
        let read = |value: &'a DeValue<'i>| {
            value.as_array()?.iter().map(|entry| Some(entry.get_ref().as_integer()?.as_str())).collect()
        };
        let texts: Vec<&str> = self.typed(key, EXPECTED, read)?.unwrap_or_default();
        texts.into_iter().map(|text| text.parse().map_err(|_| self.wrong(key, text, EXPECTED))).collect()
    }

    /// One string, or several, of those that `choose` knows.
    fn chosen<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        choose: impl Fn(&str) -> Option<Vec<T>>,
    ) -> Result<Vec<T>, FileError> {
        let mut all = Vec::new();
        for text in self.strings(key)? {
            all.extend(choose(&text).ok_or_else(|| self.wrong(key, &text, expected))?);
        }
        Ok(all)
    }

    /// `"10%"`, `"512M"`, or a number of bytes.
    fn bank_memory(&self) -> Result<Option<BankMemory>, FileError> {
        const KEY: &str = "bank_memory";
        match self.get(KEY).map(Spanned::get_ref) {
            Some(DeValue::Integer(_)) => {
                Ok(self.integer(KEY, 1, BankMemory::EXPECTED, i64::MAX)?.map(BankMemory::Bytes))
            }
            _ => self.parsed(KEY, BankMemory::EXPECTED),
        }
    }

    /// `"10GB"`, or a number of bytes.
    fn disk_size(&self, key: &'static str) -> Result<Option<u64>, FileError> {
        match self.get(key).map(Spanned::get_ref) {
            Some(DeValue::Integer(_)) => {
                let bytes = self.integer::<u64>(key, 1, DiskSize::EXPECTED, i64::MAX)?.unwrap_or_default();
                let text = bytes.to_string();
                let size = text.parse::<DiskSize>();
                size.map(|size| Some(size.0)).map_err(|_| self.wrong(key, &text, DiskSize::EXPECTED))
            }
            _ => Ok(self.parsed::<DiskSize>(key, DiskSize::EXPECTED)?.map(|size| size.0)),
        }
    }
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// The key most like `given`.
pub(super) fn nearest(given: &str, keys: &'static [&'static str]) -> &'static str {
    let given = given.to_ascii_lowercase().replace('-', "_");
    keys.iter()
        .copied()
        .max_by(|a, b| strsim::jaro_winkler(&given, a).total_cmp(&strsim::jaro_winkler(&given, b)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::words::Lang;

    fn parsed(text: &str) -> Result<Settings, String> {
        parse(Path::new("/etc/classifier/classifier.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_file() {
        let settings = parsed(
            r#"
router = "border-1"
tables = ["rib.mrt.bz2", "builtin"]
override = "override.txt"
as_names = "/usr/share/asn.txt"
groups = "groups.toml"
listen = "[::1]:9469"
web_config = "web.yml"
insecure_listen = true
state_dir = "/var/lib/classifier"
interval = "2s"
count = "both"
granularity = "prefix"
bank_memory = "2G"
xdp_mode = "native"
metrics_ases = 1_000
skip_bad_lines = true
reload = false
datapath = "datapath.sock"
user = "classifier"
keep_counting = true
instance = "border-1"
bpffs = "/run/bpf"
wait = true
own_ases = [64500]
transit_ases = [3356, 1299]

[[link]]
interface = "eth0"
name = "transit-a"
kind = "transit"

[[link]]
interface = "eth0"
vlan = 0x64
name = "ix"
role = "upstream"
kind = "ix"

[[link]]
interface = "eth1"
role = "downstream"

[history]
zone = "Europe/Paris"
slot_days = 40
hour_days = 400
day_days = 4000
max_bytes = "20GB"
top_prefixes = 0

[public]
listen = "[::]:80"
web_config = "/etc/public.yml"
title = "Example Net"
contact = "noc@example.net"
lang = "fr"
by = "both"
periods = ["24h", "1y"]
min_share = 0.002
min_bytes = 1_000_000
delay = "15m"
round = 2
hide_ases = [64500, 64501]
hide_groups = ["netflix"]
hide_links = ["ix"]
cache = "1m"
"#,
        )
        .unwrap();
        let link = |interface: &str, vlan, name: Option<&str>, role, kind, line| LinkSpec {
            interface: interface.into(),
            vlan,
            name: name.map(Into::into),
            role,
            kind,
            place: format!("/etc/classifier/classifier.toml:{line}"),
        };
        assert_eq!(
            settings,
            Settings {
                router: Some("border-1".into()),
                links: vec![
                    link("eth0", None, Some("transit-a"), Role::Upstream, Some(LinkKind::Transit), 28),
                    link("eth0", Some(100), Some("ix"), Role::Upstream, Some(LinkKind::Ix), 33),
                    link("eth1", None, None, Role::Downstream, None, 40),
                ],
                tables: vec![TableSpec::File("/etc/classifier/rib.mrt.bz2".into()), TableSpec::Builtin],
                overrides: Some("/etc/classifier/override.txt".into()),
                as_names: vec!["/usr/share/asn.txt".into()],
                groups: Some("/etc/classifier/groups.toml".into()),
                listen: Some("[::1]:9469".parse().unwrap()),
                web_config: Some("/etc/classifier/web.yml".into()),
                insecure_listen: Some(true),
                state_dir: Some("/var/lib/classifier".into()),
                history: HistorySettings {
                    zone: Some(TimeZone::get("Europe/Paris").unwrap()),
                    slot_days: Some(40),
                    hour_days: Some(400),
                    day_days: Some(4000),
                    max_bytes: Some(20_000_000_000),
                    top_prefixes: Some(0),
                },
                public: PublicSettings {
                    listen: Some("[::]:80".parse().unwrap()),
                    web_config: Some("/etc/public.yml".into()),
                    title: Some("Example Net".into()),
                    contact: Some("noc@example.net".into()),
                    lang: Some(Lang::Fr),
                    by: vec![By::As, By::Group],
                    periods: vec![PagePeriod::Day, PagePeriod::Year],
                    min_share: Some(0.002),
                    min_bytes: Some(1_000_000),
                    delay: Some(Duration::from_secs(900)),
                    round: Some(2),
                    hide_ases: vec![64_500, 64_501],
                    hide_groups: vec!["netflix".into()],
                    hide_links: vec!["ix".into()],
                    cache: Some(Duration::from_secs(60)),
                },
                interval: Some(Duration::from_secs(2)),
                count: Some(CountMode::Both),
                granularity: Some(GranularityChoice::Prefix),
                bank_memory: Some(BankMemory::Bytes(2 << 30)),
                xdp_mode: Some(XdpChoice::Native),
                metrics_ases: Some(1000),
                datapath: Some("/etc/classifier/datapath.sock".into()),
                user: Some("classifier".into()),
                skip_bad_lines: Some(true),
                reload: Some(false),
                bgp: vec![],
                keep: KeepSettings {
                    counting: Some(true),
                    instance: Some("border-1".into()),
                    bpffs: Some("/run/bpf".into()),
                    abi: None,
                },
                wait: Some(true),
                clsact: false,
                bmp: vec![],
                own_ases: vec![64_500],
                transit_ases: vec![3356, 1299],
            }
        );
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(parsed("# empty\n"), Ok(Settings::default()));
    }

    #[test]
    fn numbers_where_units_are_plain() {
        let settings = parsed("interval = 10\nbank_memory = 1048576\n").unwrap();
        assert_eq!(settings.interval, Some(Duration::from_secs(10)));
        assert_eq!(settings.bank_memory, Some(BankMemory::Bytes(1 << 20)));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, error) in [
            ("\nlistne = 1", ":2: unknown key `listne`; the nearest valid key is `listen`"),
            ("table = 'a'", ":1: unknown key `table`; the nearest valid key is `tables`"),
            ("xdp-mode = 'tc'", ":1: unknown key `xdp-mode`; the nearest valid key is `xdp_mode`"),
            (
                "[[link]]\ninterface = 'e'\n\nvaln = 3",
                ":4: unknown key `valn` in [[link]]; the nearest valid key is `vlan`",
            ),
            (
                "[history]\nslots_days = 3",
                ":2: unknown key `slots_days` in [history]; the nearest valid key is `slot_days`",
            ),
            (
                "[history]\nzone = 'Europe/Pariis'",
                ":2: `zone` is `Europe/Pariis`: expected an IANA time zone such as Europe/Paris or UTC",
            ),
            (
                "[history]\n\nslot_days = 0",
                ":3: `slot_days` is `0`: expected a number of days from 1 to 36500",
            ),
            (
                "[history]\nmax_bytes = '10 parsecs'",
                ":2: `max_bytes` is `10 parsecs`: expected a size of at least 10MB, such as 500MB, 10GB or 1TB",
            ),
            (
                "[history]\nmax_bytes = 10",
                ":2: `max_bytes` is `10`: expected a size of at least 10MB, such as 500MB, 10GB or 1TB",
            ),
            (
                "[history]\ntop_prefixes = 1001",
                ":2: `top_prefixes` is `1001`: expected a number from 0 to 1000",
            ),
            ("own_ases = 'AS1'", ":1: `own_ases` is a string: expected an array of AS numbers"),
            ("public = 1", ":1: `public` is a number: expected a table, under a [public] line"),
            (
                "[public]\nhide_as = [1]",
                ":2: unknown key `hide_as` in [public]; the nearest valid key is `hide_ases`",
            ),
            ("[public]\nhide_ases = ['AS1']", ":2: `hide_ases` is an array: expected an array of AS numbers"),
            (
                "[public]\nperiods = ['24h', '2h']",
                ":2: `periods` is `2h`: expected some of 1h, 24h, 7d, 30d and 1y",
            ),
            ("[public]\nby = 'prefix'", ":2: `by` is `prefix`: expected as, group or both"),
            (
                "[public]\nmin_share = 1.5",
                ":2: `min_share` is `1.5`: expected a share from 0 to 1, such as 0.001 for a thousandth",
            ),
            ("[public]\ndelay = '8d'", ":2: `delay` is `8d`: expected a duration from 0s to 7d, such as 15m"),
            ("[public]\ncache = '0s'", ":2: `cache` is `0s`: expected a duration from 1s to 1h, such as 30s"),
            ("[public]\nlang = 'de'", ":2: `lang` is `de`: expected en or fr"),
            (
                "[public]\nround = 10",
                ":2: `round` is `10`: expected a number of digits from 1 to 9, or 0 for all",
            ),
            ("history = 3", ":1: `history` is a number: expected a table, under a [history] line"),
            ("[links]\n", ":1: unknown key `links`; the nearest valid key is `link`"),
            ("[link]\n", ":1: `link` is a table: expected tables, each under a [[link]] line"),
            ("[[link]]\nname = 'a'", ":1: a [[link]] needs `interface`"),
            (
                "[[link]]\ninterface = 'e'\nvlan = 4095",
                ":3: `vlan` is `4095`: expected a number from 1 to 4094",
            ),
            (
                "[[link]]\ninterface = 'e'\nvlan = '7'",
                ":3: `vlan` is a string: expected a number from 1 to 4094",
            ),
            (
                "[[link]]\ninterface = 'e'\nrole = 'up'",
                ":3: `role` is `up`: expected upstream (faces the Internet) or downstream (faces the customers)",
            ),
            (
                "[[link]]\ninterface = 'e'\nkind = 'ixp'",
                ":3: `kind` is `ixp`: expected transit, ix, pni or customer",
            ),
            (
                "[[link]]\ninterface = 'a b'",
                ":2: `a b` is no interface name: expected 1 to 15 bytes without `/`, `:` or white space",
            ),
            ("interval = '5'", ":1: `interval` is `5`: expected a duration such as 500ms, 5s, 5m, 24h or 7d"),
            (
                "interval = 1.5",
                ":1: `interval` is a number with a fraction: expected a duration such as 500ms, 5s, 5m, 24h or 7d",
            ),
            (
                "listen = 9469",
                ":1: `listen` is a number: expected an address and port such as 127.0.0.1:9469 or [::]:9469",
            ),
            (
                "listen = 'x:1'",
                ":1: `listen` is `x:1`: expected an address and port such as 127.0.0.1:9469 or [::]:9469",
            ),
            ("reload = 'yes'", ":1: `reload` is a string: expected true or false"),
            ("tables = ['a', 1]", ":1: `tables` is an array: expected a string or an array of strings"),
            ("tables = ['']", ":1: `tables` is ``: expected a string that is not empty"),
            ("metrics_ases = -1", ":1: `metrics_ases` is `-1`: expected a number from 0 to 100000"),
            ("router = ''", ":1: `router` is ``: expected a string that is not empty"),
            ("count = 'none'", ":1: `count` is `none`: expected auto, both, remote or local"),
        ] {
            assert_eq!(parsed(text), Err(format!("/etc/classifier/classifier.toml{error}")), "{text}");
        }
    }

    #[test]
    fn the_first_unknown_key_is_named() {
        let error = parsed("zzz = 1\naaa = 1\n").unwrap_err();
        assert!(error.contains(":1: unknown key `zzz`"), "{error}");
    }

    #[test]
    fn what_is_not_toml_has_a_line_too() {
        let error = parsed("router = 'a'\nlisten = \n").unwrap_err();
        assert!(error.starts_with("/etc/classifier/classifier.toml:2: "), "{error}");
        let error = parsed("router = 'a'\nrouter = 'b'\n").unwrap_err();
        assert!(error.starts_with("/etc/classifier/classifier.toml:2: "), "{error}");
    }
}
