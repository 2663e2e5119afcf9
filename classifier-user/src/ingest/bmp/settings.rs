//! Which routers report, and what of it is taken.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use super::codec::Rib;

/// The port unless told otherwise: none is assigned, this one is what other stations take.
pub const PORT: u16 = 11_019;

/// Which RIBs of a router are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RibChoice {
    /// The nearest to what the router does: Loc-RIB, else post-policy, else pre-policy.
    #[default]
    Auto,
    /// This one only.
    Only(Rib),
}

impl RibChoice {
    /// What can be chosen.
    pub const EXPECTED: &str = "auto, loc-rib, post-policy or pre-policy";

    const NAMES: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("loc-rib", Self::Only(Rib::LocRib)),
        ("post-policy", Self::Only(Rib::PostPolicy)),
        ("pre-policy", Self::Only(Rib::PrePolicy)),
    ];
}

/// No such choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownRib;

impl FromStr for RibChoice {
    type Err = UnknownRib;

    fn from_str(text: &str) -> Result<Self, UnknownRib> {
        Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice).ok_or(UnknownRib)
    }
}

impl fmt::Display for RibChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES.iter().find(|(_, choice)| choice == self).map_or("", |(name, _)| name))
    }
}

/// A configured router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterSettings {
    /// What people call it; unique.
    pub name: String,
    /// Where it connects from; unique.
    pub address: IpAddr,
    /// Where it connects to, of the same family.
    pub listen: SocketAddr,
    /// What of it is taken.
    pub rib: RibChoice,
    /// More routes than this, of all its RIBs that are taken together, end the connection.
    pub max_prefixes: u32,
    /// Routes that take more bytes than this, by the estimate of [`ROUTE_BYTES`](crate::ingest::bgp::held::ROUTE_BYTES), end the connection.
    pub max_memory: u64,
    /// A message of more bytes than this ends the connection.
    pub max_message: u32,
    /// After the connection is lost, its routes stay for this many seconds.
    pub stale_seconds: u32,
}

impl RouterSettings {
    /// Routes unless told otherwise: three full tables.
    pub const MAX_PREFIXES: u32 = 4_000_000;
    /// Bytes unless told otherwise.
    pub const MAX_MEMORY: u64 = 1_000_000_000;
    /// A message unless told otherwise: a Peer Up has two OPENs of at most 4 KiB and text, a Route Monitoring an UPDATE
    /// of at most 64 KiB, a Route Mirroring or an Initiation some more.
    pub const MAX_MESSAGE: u32 = 1 << 20;
    /// How long routes stay after a connection is lost unless told otherwise.
    pub const STALE_TIME: Duration = Duration::from_secs(30 * 60);

    /// A router with all defaults.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        let any = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self {
            name: address.to_string(),
            address,
            listen: SocketAddr::new(any, PORT),
            rib: RibChoice::Auto,
            max_prefixes: Self::MAX_PREFIXES,
            max_memory: Self::MAX_MEMORY,
            max_message: Self::MAX_MESSAGE,
            stale_seconds: Self::STALE_TIME.as_secs() as u32,
        }
    }
}
