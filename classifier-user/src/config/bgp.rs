//! BGP peers as people write them: a `[[bgp]]` of the file, or `--bgp PEER-ADDR,as=…[,KEY=VALUE]…`.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    file::nearest,
    value::{DiskSize, Span, ValueError},
};
use crate::{
    ingest::bgp::{PORT, Password, PeerSettings, codec::Families},
    model::{Asn, Family},
};

/// Peers of one agent.
pub const MAX_PEERS: usize = 256;
/// More than this is no name but a mistake.
const NAME_MAX: usize = 64;
/// The longest that routes of a lost session stay.
const STALE_MAX: Duration = Duration::from_secs(7 * 86_400);

pub(crate) const ADDRESS_EXPECTED: &str = "an address such as 192.0.2.1 or 2001:db8::1";
pub(crate) const ROUTER_ID_EXPECTED: &str = "a BGP identifier such as 192.0.2.1";
pub(crate) const AS_EXPECTED: &str = "an AS number from 1 to 4294967295";
pub(crate) const PORT_EXPECTED: &str = "a port from 1 to 65535";
pub(crate) const LISTEN_EXPECTED: &str = "a port such as 1179, or an address and port such as 127.0.0.1:1179";
pub(crate) const PASSWORD_EXPECTED: &str = "1 to 80 bytes";
pub(crate) const HOPS_EXPECTED: &str = "true, false, or how many hops away the peer is, from 1 to 254";
pub(crate) const HOLD_TIME_EXPECTED: &str = "a duration from 3s to 65535s in whole seconds";
pub(crate) const FAMILIES_EXPECTED: &str = "ipv4, ipv6 or both";
pub(crate) const MAX_PREFIXES_EXPECTED: &str = "a number from 1 to 4294967295";
pub(crate) const STALE_TIME_EXPECTED: &str = "a duration from 0 to 7d in whole seconds";
pub(crate) const NAME_EXPECTED: &str = "1 to 64 bytes without commas or control characters";

/// What `--bgp` may say behind the address.
const KEYS: &[&str] = &[
    "as",
    "name",
    "local_as",
    "local_address",
    "router_id",
    "listen",
    "port",
    "passive",
    "password_file",
    "ttl_security",
    "hold_time",
    "families",
    "add_path",
    "max_prefixes",
    "max_memory",
    "stale_time",
];

/// Where the peer may connect to, as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// This port of all addresses of the peer's family.
    Port(u16),
    /// This address and port.
    At(SocketAddr),
}

impl std::str::FromStr for Listen {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match (text.parse::<u16>(), text.parse::<SocketAddr>()) {
            (Ok(port @ 1..), _) => Ok(Self::Port(port)),
            (_, Ok(address)) if address.port() > 0 => Ok(Self::At(address)),
            _ => Err(ValueError::new(text, LISTEN_EXPECTED)),
        }
    }
}

/// A peer as it was asked for, not yet held against the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BgpSpec {
    /// Its address.
    pub peer: IpAddr,
    /// Its AS.
    pub remote_as: Asn,
    /// Ours; by default the same.
    pub local_as: Option<Asn>,
    /// The address we connect from.
    pub local_address: Option<IpAddr>,
    /// Our BGP identifier.
    pub router_id: Option<Ipv4Addr>,
    /// Where it may connect to.
    pub listen: Option<Listen>,
    /// Its port.
    pub port: Option<u16>,
    /// Whether only it connects.
    pub passive: bool,
    /// The key of TCP MD5.
    pub password: Option<Password>,
    /// A file with the key.
    pub password_file: Option<PathBuf>,
    /// GTSM: hops.
    pub hops: Option<u8>,
    /// In seconds.
    pub hold_time: Option<u16>,
    /// Families, where not both.
    pub families: Option<Families<bool>>,
    /// Whether several routes a prefix are taken.
    pub add_path: bool,
    /// Limit of routes.
    pub max_prefixes: Option<u32>,
    /// Bytes that its routes may take.
    pub max_memory: Option<u64>,
    /// In seconds.
    pub stale_time: Option<u32>,
    /// The name; by default the address.
    pub name: Option<String>,
    /// Where it was asked for, for messages: `--bgp 192.0.2.1,as=64500`, `classifier.toml:7`.
    pub place: String,
}

/// What is wrong with a peer.
#[derive(Debug, thiserror::Error)]
pub enum BgpError {
    /// Not the form of the command line.
    #[error(
        "`{given}` is no BGP peer: expected PEER-ADDR,as=NUMBER[,KEY=VALUE]…, such as 192.0.2.1,as=64500,listen=1179"
    )]
    Form {
        /// What was given.
        given: String,
    },
    /// No such key on the command line.
    #[error("unknown key `{key}`; the nearest valid key is `{nearest}`")]
    UnknownKey {
        /// The key.
        key: String,
        /// The valid key that is most like it.
        nearest: &'static str,
    },
    /// A password on the command line, where everybody can read it.
    #[error(
        "a password is not given on the command line, where every user can read it: use password_file=FILE"
    )]
    PasswordShown,
    /// A value that is not right.
    #[error("`{key}` is {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value, and what would be right.
        problem: ValueError,
    },
    /// More than one agent serves.
    #[error("{given} BGP peers are more than the {MAX_PEERS} that one agent serves")]
    TooMany {
        /// How many were given.
        given: usize,
    },
    /// An address of the other family.
    #[error("{place}: `{key}` is {address}, of another family than the peer {peer}")]
    Family {
        /// Where.
        place: String,
        /// The key.
        key: &'static str,
        /// Its address.
        address: IpAddr,
        /// The peer's.
        peer: IpAddr,
    },
    /// Not an address of one machine.
    #[error("{place}: {address} is no address of a peer")]
    NoPeer {
        /// Where.
        place: String,
        /// The address.
        address: IpAddr,
    },
    /// Two ways to give a key.
    #[error("{place}: `password` and `password_file` are both given; one is enough")]
    TwoPasswords {
        /// Where.
        place: String,
    },
    /// The file with the password.
    #[error("{place}: password_file {}: {source}", file.display())]
    PasswordFile {
        /// Where.
        place: String,
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// One peer, twice.
    #[error("the BGP peer {peer} is given twice: {first} and {second}")]
    Duplicate {
        /// Its address.
        peer: IpAddr,
        /// Where first.
        first: String,
        /// Where again.
        second: String,
    },
    /// Two peers, one name.
    #[error("two BGP peers are called `{name}`: {first} and {second}; name one with name=NAME")]
    SameName {
        /// The name.
        name: String,
        /// Where first.
        first: String,
        /// Where again.
        second: String,
    },
}

impl BgpSpec {
    /// One of which only address, AS and place are said.
    #[must_use]
    pub const fn new(peer: IpAddr, remote_as: Asn, place: String) -> Self {
        Self {
            peer,
            remote_as,
            local_as: None,
            local_address: None,
            router_id: None,
            listen: None,
            port: None,
            passive: false,
            password: None,
            password_file: None,
            hops: None,
            hold_time: None,
            families: None,
            add_path: false,
            max_prefixes: None,
            max_memory: None,
            stale_time: None,
            name: None,
            place,
        }
    }

    /// Reads the form of the command line.
    ///
    /// # Errors
    /// [`BgpError`] that says what was expected.
    pub fn parse(text: &str) -> Result<Self, BgpError> {
        let form = || BgpError::Form { given: text.to_owned() };
        let mut parts = text.split(',');
        let peer = parts.next().and_then(|peer| peer.parse().ok()).ok_or_else(form)?;
        let mut spec = Self::new(peer, 0, format!("--bgp {text}"));
        for part in parts {
            let (key, value) = match part.split_once('=') {
                Some((key, value)) => (key.trim().to_ascii_lowercase().replace('-', "_"), value.trim()),
                // What is yes or no is said by its name alone.
                None => (part.trim().to_ascii_lowercase().replace('-', "_"), "true"),
            };
            if key == "password" {
                return Err(BgpError::PasswordShown);
            }
            let Some(&key) = KEYS.iter().find(|known| **known == key) else {
                return Err(BgpError::UnknownKey { nearest: nearest(&key, KEYS), key });
            };
            spec.set(key, value).map_err(|problem| BgpError::Value { key, problem })?;
        }
        if spec.remote_as == 0 { Err(form()) } else { Ok(spec) }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ValueError> {
        fn read<T: std::str::FromStr>(text: &str, expected: &'static str) -> Result<T, ValueError> {
            text.parse().map_err(|_| ValueError::new(text, expected))
        }
        let truth = || read::<bool>(value, "true or false");
        match key {
            "as" => self.remote_as = asn(value)?,
            "local_as" => self.local_as = Some(asn(value)?),
            "local_address" => self.local_address = Some(read(value, ADDRESS_EXPECTED)?),
            "router_id" => self.router_id = Some(router_id(value)?),
            "listen" => self.listen = Some(value.parse()?),
            "port" => self.port = Some(read::<std::num::NonZeroU16>(value, PORT_EXPECTED)?.get()),
            "passive" => self.passive = truth()?,
            "add_path" => self.add_path = truth()?,
            "password_file" if value.is_empty() => return Err(ValueError::new(value, "a file")),
            "password_file" => self.password_file = Some(value.into()),
            "ttl_security" => self.hops = hops(value)?,
            "hold_time" => {
                let span: Span = read(value, HOLD_TIME_EXPECTED)?;
                self.hold_time = Some(hold_time(span.0, value)?);
            }
            "families" => self.families = Some(families(value.split('+'), value)?),
            "max_prefixes" => {
                self.max_prefixes = Some(read::<std::num::NonZeroU32>(value, MAX_PREFIXES_EXPECTED)?.get());
            }
            "max_memory" => self.max_memory = Some(value.parse::<DiskSize>()?.0),
            "stale_time" => self.stale_time = Some(stale_time(value)?),
            _ => self.name = Some(name(value)?),
        }
        Ok(())
    }

    /// Our AS and the peer's are checked by those who read them.
    fn lower(self) -> Result<PeerSettings, BgpError> {
        let Self { peer, place, .. } = self;
        if peer.is_unspecified() || peer.is_multicast() || peer == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(BgpError::NoPeer { place, address: peer });
        }
        let any = match peer {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let listen = match self.listen {
            Some(Listen::At(address)) => Some(address),
            Some(Listen::Port(port)) => Some(SocketAddr::new(self.local_address.unwrap_or(any), port)),
            None if self.passive => Some(SocketAddr::new(self.local_address.unwrap_or(any), PORT)),
            None => None,
        };
        for (key, address) in
            [("local_address", self.local_address), ("listen", listen.map(|listen| listen.ip()))]
        {
            if let Some(address) = address.filter(|address| address.is_ipv4() != peer.is_ipv4()) {
                return Err(BgpError::Family { place, key, address, peer });
            }
        }
        let password = match (self.password, self.password_file) {
            (Some(_), Some(_)) => return Err(BgpError::TwoPasswords { place }),
            (Some(password), None) => Some(password),
            (None, Some(file)) => {
                Some(read_password(&file).map_err(|source| BgpError::PasswordFile { place, file, source })?)
            }
            (None, None) => None,
        };
        let defaults = PeerSettings::new(peer, self.remote_as);
        Ok(PeerSettings {
            name: self.name.unwrap_or(defaults.name),
            local_as: self.local_as.unwrap_or(self.remote_as),
            local_address: self.local_address,
            router_id: self.router_id,
            listen,
            port: self.port.unwrap_or(PORT),
            passive: self.passive,
            password,
            hops: self.hops,
            hold_time: self.hold_time.unwrap_or(defaults.hold_time),
            families: self.families.unwrap_or(defaults.families),
            add_path: self.add_path,
            max_prefixes: self.max_prefixes.unwrap_or(defaults.max_prefixes),
            max_memory: self.max_memory.unwrap_or(defaults.max_memory),
            stale_seconds: self.stale_time.unwrap_or(defaults.stale_seconds),
            ..defaults
        })
    }
}

/// One line, without the end of the line.
fn read_password(file: &Path) -> Result<Password, std::io::Error> {
    let text = fs::read_to_string(file)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Password::new(line.strip_suffix('\r').unwrap_or(line))
        .ok_or_else(|| std::io::Error::other(format!("expected {PASSWORD_EXPECTED} in one line")))
}

pub(crate) fn asn(text: &str) -> Result<Asn, ValueError> {
    let number = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    number.parse().ok().filter(|&asn| asn > 0).ok_or_else(|| ValueError::new(text, AS_EXPECTED))
}

pub(crate) fn router_id(text: &str) -> Result<Ipv4Addr, ValueError> {
    text.parse()
        .ok()
        .filter(|id: &Ipv4Addr| !id.is_unspecified())
        .ok_or_else(|| ValueError::new(text, ROUTER_ID_EXPECTED))
}

pub(crate) fn hops(text: &str) -> Result<Option<u8>, ValueError> {
    match text {
        "true" => Ok(Some(1)),
        "false" => Ok(None),
        _ => text
            .parse()
            .ok()
            .filter(|hops| (1..=254).contains(hops))
            .map(Some)
            .ok_or_else(|| ValueError::new(text, HOPS_EXPECTED)),
    }
}

pub(crate) fn hold_time(time: Duration, given: &str) -> Result<u16, ValueError> {
    u16::try_from(time.as_secs())
        .ok()
        .filter(|&seconds| seconds >= 3 && time.subsec_nanos() == 0)
        .ok_or_else(|| ValueError::new(given, HOLD_TIME_EXPECTED))
}

pub(crate) fn stale_time(text: &str) -> Result<u32, ValueError> {
    let time = match text {
        "0" | "0s" => Some(Duration::ZERO),
        _ => text.parse::<Span>().ok().map(|span| span.0),
    };
    time.filter(|time| *time <= STALE_MAX && time.subsec_nanos() == 0)
        .and_then(|time| u32::try_from(time.as_secs()).ok())
        .ok_or_else(|| ValueError::new(text, STALE_TIME_EXPECTED))
}

pub(crate) fn families<'a>(
    names: impl IntoIterator<Item = &'a str>,
    given: &str,
) -> Result<Families<bool>, ValueError> {
    let error = || ValueError::new(given, FAMILIES_EXPECTED);
    let mut families = Families::default();
    for name in names {
        let family = [Family::Ipv4, Family::Ipv6].into_iter().find(|family| family.name() == name);
        families[family.ok_or_else(error)?] = true;
    }
    if families == Families::default() { Err(error()) } else { Ok(families) }
}

pub(crate) fn name(text: &str) -> Result<String, ValueError> {
    let valid = (1..=NAME_MAX).contains(&text.len())
        && text.trim() == text
        && !text.chars().any(|c| c == ',' || c.is_control());
    if valid { Ok(text.to_owned()) } else { Err(ValueError::new(text, NAME_EXPECTED)) }
}

/// Holds peers against each other, fills in the defaults and reads the files of passwords; their order is their number.
///
/// # Errors
/// [`BgpError`], with the place of the peer.
pub fn lower(specs: Vec<BgpSpec>) -> Result<Vec<PeerSettings>, BgpError> {
    if specs.len() > MAX_PEERS {
        return Err(BgpError::TooMany { given: specs.len() });
    }
    let mut addresses: HashMap<IpAddr, String> = HashMap::new();
    let mut names: HashMap<String, String> = HashMap::new();
    let mut peers = Vec::with_capacity(specs.len());
    for spec in specs {
        let second = spec.place.clone();
        if let Some(first) = addresses.insert(spec.peer, second.clone()) {
            return Err(BgpError::Duplicate { peer: spec.peer, first, second });
        }
        let peer = spec.lower()?;
        if let Some(first) = names.insert(peer.name.clone(), second.clone()) {
            return Err(BgpError::SameName { name: peer.name, first, second });
        }
        peers.push(peer);
    }
    Ok(peers)
}

#[cfg(test)]
#[path = "bgp_tests.rs"]
mod tests;
