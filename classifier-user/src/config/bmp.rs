//! BMP routers as people write them: a `[[bmp]]` of the file, or `--bmp LISTEN,router=ADDR[,KEY=VALUE]…`.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    str::FromStr,
};

use super::{
    bgp::{self, Listen},
    file::nearest,
    value::{DiskSize, ValueError, bytes},
};
use crate::ingest::bmp::settings::{RibChoice, RouterSettings};

/// Routers of one agent.
pub const MAX_ROUTERS: usize = 256;

pub(crate) const MAX_MESSAGE_EXPECTED: &str = "a size from 128kB to 64MB, such as 1MB";
pub(crate) const LISTEN_EXPECTED: &str =
    "a port such as 11019, or an address and port such as 127.0.0.1:11019";

/// What `--bmp` may say behind where to listen.
const KEYS: &[&str] = &["router", "name", "rib", "max_prefixes", "max_memory", "max_message", "stale_time"];

/// A router as it was asked for, not yet held against the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BmpSpec {
    /// Its address.
    pub router: IpAddr,
    /// Where it connects to.
    pub listen: Option<Listen>,
    /// The name; by default the address.
    pub name: Option<String>,
    /// Which of its RIBs.
    pub rib: Option<RibChoice>,
    /// Limit of routes.
    pub max_prefixes: Option<u32>,
    /// Limit of bytes.
    pub max_memory: Option<u64>,
    /// Limit of a message's bytes.
    pub max_message: Option<u32>,
    /// In seconds.
    pub stale_time: Option<u32>,
    /// Where it was asked for, for messages: `--bmp 11019,router=192.0.2.1`, `classifier.toml:7`.
    pub place: String,
}

/// What is wrong with a router.
#[derive(Debug, thiserror::Error)]
pub enum BmpError {
    /// Not the form of the command line.
    #[error(
        "`{given}` is no BMP router: expected LISTEN,router=ADDR[,KEY=VALUE]…, such as 11019,router=192.0.2.1"
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
    /// A value that is not right.
    #[error("`{key}` is {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value, and what would be right.
        problem: ValueError,
    },
    /// More than one agent serves.
    #[error("{given} BMP routers are more than the {MAX_ROUTERS} that one agent serves")]
    TooMany {
        /// How many were given.
        given: usize,
    },
    /// An address of the other family.
    #[error("{place}: `listen` is {address}, of another family than the router {router}")]
    Family {
        /// Where.
        place: String,
        /// Its address.
        address: IpAddr,
        /// The router's.
        router: IpAddr,
    },
    /// Not an address of one machine.
    #[error("{place}: {address} is no address of a router")]
    NoRouter {
        /// Where.
        place: String,
        /// The address.
        address: IpAddr,
    },
    /// One router, twice.
    #[error("the BMP router {router} is given twice: {first} and {second}")]
    Duplicate {
        /// Its address.
        router: IpAddr,
        /// Where first.
        first: String,
        /// Where again.
        second: String,
    },
    /// Two routers, one name.
    #[error("two BMP routers are called `{name}`: {first} and {second}; name one with name=NAME")]
    SameName {
        /// The name.
        name: String,
        /// Where first.
        first: String,
        /// Where again.
        second: String,
    },
}

impl BmpSpec {
    /// One of which only address and place are said.
    #[must_use]
    pub const fn new(router: IpAddr, place: String) -> Self {
        Self {
            router,
            listen: None,
            name: None,
            rib: None,
            max_prefixes: None,
            max_memory: None,
            max_message: None,
            stale_time: None,
            place,
        }
    }

    /// Reads the form of the command line.
    ///
    /// # Errors
    /// [`BmpError`] that says what was expected.
    pub fn parse(text: &str) -> Result<Self, BmpError> {
        let mut parts = text.split(',');
        let listen = parts.next().unwrap_or_default();
        let listen = self::listen(listen).map_err(|_| BmpError::Form { given: text.to_owned() })?;
        let mut router = None;
        let mut spec = Self::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), format!("--bmp {text}"));
        spec.listen = Some(listen);
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (key.trim().to_ascii_lowercase().replace('-', "_"), value.trim());
            let Some(&key) = KEYS.iter().find(|known| **known == key) else {
                return Err(BmpError::UnknownKey { nearest: nearest(&key, KEYS), key });
            };
            let set = match key {
                "router" => read(value, bgp::ADDRESS_EXPECTED).map(|address| router = Some(address)),
                _ => spec.set(key, value),
            };
            set.map_err(|problem| BmpError::Value { key, problem })?;
        }
        let router = router.ok_or_else(|| BmpError::Form { given: text.to_owned() })?;
        Ok(Self { router, ..spec })
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ValueError> {
        match key {
            "rib" => self.rib = Some(read(value, RibChoice::EXPECTED)?),
            "max_prefixes" => {
                self.max_prefixes = Some(read::<NonZeroU32>(value, bgp::MAX_PREFIXES_EXPECTED)?.get());
            }
            "max_memory" => self.max_memory = Some(value.parse::<DiskSize>()?.0),
            "max_message" => self.max_message = Some(max_message(value)?),
            "stale_time" => self.stale_time = Some(bgp::stale_time(value)?),
            _ => self.name = Some(bgp::name(value)?),
        }
        Ok(())
    }

    fn lower(self) -> Result<RouterSettings, BmpError> {
        let Self { router, place, .. } = self;
        if router.is_unspecified() || router.is_multicast() || router == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(BmpError::NoRouter { place, address: router });
        }
        let defaults = RouterSettings::new(router);
        let listen = match self.listen {
            Some(Listen::At(address)) => address,
            Some(Listen::Port(port)) => SocketAddr::new(defaults.listen.ip(), port),
            None => defaults.listen,
        };
        if listen.is_ipv4() != router.is_ipv4() {
            return Err(BmpError::Family { place, address: listen.ip(), router });
        }
        Ok(RouterSettings {
            name: self.name.unwrap_or(defaults.name),
            address: router,
            listen,
            rib: self.rib.unwrap_or(defaults.rib),
            max_prefixes: self.max_prefixes.unwrap_or(defaults.max_prefixes),
            max_memory: self.max_memory.unwrap_or(defaults.max_memory),
            max_message: self.max_message.unwrap_or(defaults.max_message),
            stale_seconds: self.stale_time.unwrap_or(defaults.stale_seconds),
        })
    }
}

fn read<T: FromStr>(text: &str, expected: &'static str) -> Result<T, ValueError> {
    text.parse().map_err(|_| ValueError::new(text, expected))
}

pub(crate) fn listen(text: &str) -> Result<Listen, ValueError> {
    text.parse().map_err(|_| ValueError::new(text, LISTEN_EXPECTED))
}

pub(crate) fn max_message(text: &str) -> Result<u32, ValueError> {
    bytes(text)
        .filter(|bytes| (128_000..=64_000_000).contains(bytes))
        .and_then(|bytes| u32::try_from(bytes).ok())
        .ok_or_else(|| ValueError::new(text, MAX_MESSAGE_EXPECTED))
}

/// Holds routers against each other, and fills in the defaults.
///
/// # Errors
/// [`BmpError`], with the place of the router.
pub fn lower(specs: Vec<BmpSpec>) -> Result<Vec<RouterSettings>, BmpError> {
    if specs.len() > MAX_ROUTERS {
        return Err(BmpError::TooMany { given: specs.len() });
    }
    let mut addresses: HashMap<IpAddr, String> = HashMap::new();
    let mut names: HashMap<String, String> = HashMap::new();
    let mut routers = Vec::with_capacity(specs.len());
    for spec in specs {
        let second = spec.place.clone();
        if let Some(first) = addresses.insert(spec.router, second.clone()) {
            return Err(BmpError::Duplicate { router: spec.router, first, second });
        }
        let router = spec.lower()?;
        if let Some(first) = names.insert(router.name.clone(), second.clone()) {
            return Err(BmpError::SameName { name: router.name, first, second });
        }
        routers.push(router);
    }
    Ok(routers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::bmp::codec::Rib;

    fn one(text: &str) -> RouterSettings {
        lower(vec![BmpSpec::parse(text).unwrap()]).unwrap().remove(0)
    }

    fn error(text: &str) -> String {
        match BmpSpec::parse(text) {
            Ok(spec) => lower(vec![spec]).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn routers_of_the_command_line() {
        assert_eq!(one("11019,router=192.0.2.1"), RouterSettings::new("192.0.2.1".parse().unwrap()));
        assert_eq!(one("11019,router=2001:db8::1").listen.to_string(), "[::]:11019");
        assert_eq!(
            one("127.0.0.1:5000, router=127.0.0.1, name=border, rib=pre-policy, max-prefixes=9, \
                 max_memory=2GB, max_message=2MiB, stale_time=1h"),
            RouterSettings {
                name: "border".into(),
                address: "127.0.0.1".parse().unwrap(),
                listen: "127.0.0.1:5000".parse().unwrap(),
                rib: RibChoice::Only(Rib::PrePolicy),
                max_prefixes: 9,
                max_memory: 2_000_000_000,
                max_message: 2 << 20,
                stale_seconds: 3600,
            }
        );
        for (text, rib) in [
            ("auto", RibChoice::Auto),
            ("loc-rib", RibChoice::Only(Rib::LocRib)),
            ("post-policy", RibChoice::Only(Rib::PostPolicy)),
        ] {
            let rib_of = one(&format!("11019,router=192.0.2.1,rib={text}")).rib;
            assert_eq!((rib_of, rib_of.to_string().as_str()), (rib, text));
        }
    }

    #[test]
    fn what_is_no_router() {
        const FORM: &str =
            "is no BMP router: expected LISTEN,router=ADDR[,KEY=VALUE]…, such as 11019,router=192.0.2.1";
        for (text, problem) in [
            ("11019", format!("`11019` {FORM}")),
            ("192.0.2.1", format!("`192.0.2.1` {FORM}")),
            ("0,router=192.0.2.1", format!("`0,router=192.0.2.1` {FORM}")),
            (
                "1,router=border",
                "`router` is `border`: expected an address such as 192.0.2.1 or 2001:db8::1".into(),
            ),
            ("1,ruter=::1", "unknown key `ruter`; the nearest valid key is `router`".into()),
            (
                "1,router=::1,rib=out",
                "`rib` is `out`: expected auto, loc-rib, post-policy or pre-policy".into(),
            ),
            (
                "1,router=::1,max_prefixes=0",
                "`max_prefixes` is `0`: expected a number from 1 to 4294967295".into(),
            ),
            (
                "1,router=::1,max_memory=1MB",
                "`max_memory` is `1MB`: expected a size of at least 10MB, such as 500MB, 10GB or 1TB".into(),
            ),
            (
                "1,router=::1,max_message=65MB",
                "`max_message` is `65MB`: expected a size from 128kB to 64MB, such as 1MB".into(),
            ),
            (
                "1,router=::1,stale_time=8d",
                "`stale_time` is `8d`: expected a duration from 0 to 7d in whole seconds".into(),
            ),
            (
                "1,router=::1,name=",
                "`name` is ``: expected 1 to 64 bytes without commas or control characters".into(),
            ),
            (
                "127.0.0.1:1,router=::1",
                "--bmp 127.0.0.1:1,router=::1: `listen` is 127.0.0.1, of another family than the router ::1"
                    .into(),
            ),
            ("1,router=ff02::1", "--bmp 1,router=ff02::1: ff02::1 is no address of a router".into()),
        ] {
            assert_eq!(error(text), problem, "{text}");
        }
    }

    #[test]
    fn routers_are_held_against_each_other() {
        let both = |first: &str, second: &str| {
            lower(vec![BmpSpec::parse(first).unwrap(), BmpSpec::parse(second).unwrap()])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            both("1,router=::1", "2,router=::1"),
            "the BMP router ::1 is given twice: --bmp 1,router=::1 and --bmp 2,router=::1"
        );
        assert_eq!(
            both("1,router=::1,name=a", "1,router=::2,name=a"),
            "two BMP routers are called `a`: --bmp 1,router=::1,name=a and --bmp 1,router=::2,name=a; name one with name=NAME"
        );
        let many =
            (0..257u32).map(|n| BmpSpec::new(Ipv4Addr::from_bits(0x0a00_0000 + n).into(), String::new()));
        assert_eq!(
            lower(many.collect()).unwrap_err().to_string(),
            "257 BMP routers are more than the 256 that one agent serves"
        );
    }
}
