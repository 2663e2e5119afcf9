//! What a session is told to be.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::codec::Families;
use crate::model::Asn;

/// The port of BGP.
pub const PORT: u16 = 179;

/// The key of TCP's MD5 signatures (RFC 2385): never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<[u8]>);

impl Password {
    /// The kernel's limit in bytes (`TCP_MD5SIG_MAXKEYLEN`, linux/tcp.h).
    pub const MAX: usize = 80;

    /// `None` if it is empty or longer than the kernel takes.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (1..=Self::MAX).contains(&text.len()).then(|| Self(text.as_bytes().into()))
    }

    pub(super) const fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A configured peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// What people call it; unique.
    pub name: String,
    /// Its address; unique.
    pub address: IpAddr,
    /// Its AS.
    pub remote_as: Asn,
    /// The AS that we say to be; equal to `remote_as` for iBGP.
    pub local_as: Asn,
    /// The address that we connect from, of the peer's family; else the kernel chooses.
    pub local_address: Option<IpAddr>,
    /// Our BGP identifier; else one is made of the session's own address.
    pub router_id: Option<Ipv4Addr>,
    /// Where the peer may connect to, of the peer's family; `None`: only we connect.
    pub listen: Option<SocketAddr>,
    /// The peer's port, to which we connect.
    pub port: u16,
    /// Never connect, wait for the peer.
    pub passive: bool,
    /// TCP MD5 (RFC 2385).
    pub password: Option<Password>,
    /// GTSM (RFC 5082): the peer is at most this many hops away, 1 for the same link. `None`: not asked for.
    pub hops: Option<u8>,
    /// Proposed hold time in seconds, from 3.
    pub hold_time: u16,
    /// Families that are taken; at least one.
    pub families: Families<bool>,
    /// Take several routes a prefix (RFC 7911).
    pub add_path: bool,
    /// More routes than this, of both families together, end the session.
    pub max_prefixes: u32,
    /// Routes that take more bytes than this, by the estimate of [`ROUTE_BYTES`](super::held::ROUTE_BYTES), end the session.
    pub max_memory: u64,
    /// After the session is lost, its routes stay for this many seconds.
    pub stale_seconds: u32,
}

impl PeerSettings {
    /// Hold time unless told otherwise, in seconds (RFC 4271, section 10).
    pub const HOLD_TIME: u16 = 90;
    /// Routes a peer may have unless told otherwise: a full table is 1.3 million.
    pub const MAX_PREFIXES: u32 = 2_000_000;
    /// How long routes stay after a session is lost unless told otherwise.
    pub const STALE_TIME: Duration = Duration::from_secs(30 * 60);

    /// Bytes that routes may take unless told otherwise.
    pub const MAX_MEMORY: u64 = 1_000_000_000;

    /// An iBGP session that we open, with all defaults.
    #[must_use]
    pub fn new(address: IpAddr, asn: Asn) -> Self {
        Self {
            name: address.to_string(),
            address,
            remote_as: asn,
            local_as: asn,
            local_address: None,
            router_id: None,
            listen: None,
            port: PORT,
            passive: false,
            password: None,
            hops: None,
            hold_time: Self::HOLD_TIME,
            families: Families::BOTH,
            add_path: false,
            max_prefixes: Self::MAX_PREFIXES,
            max_memory: Self::MAX_MEMORY,
            stale_seconds: Self::STALE_TIME.as_secs() as u32,
        }
    }

    /// Whether the session is within an AS.
    #[must_use]
    pub const fn internal(&self) -> bool {
        self.local_as == self.remote_as
    }
}

/// Times that users have no reason to change; tests have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// A connection is given up that is not there after this.
    pub connect: Duration,
    /// A connection is given up on which no OPEN came after this.
    pub open: Duration,
    /// From a lost connection to the next try; doubled with each failure.
    pub retry_first: Duration,
    /// The longest such pause.
    pub retry_max: Duration,
    /// A session that lived this long was no failure.
    pub stable: Duration,
    /// Of a peer that does not know of End-of-RIB, all has come when nothing came for this long.
    pub quiet: Duration,
    /// How long a closed connection is kept to bring its NOTIFICATION over.
    pub close: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            open: Duration::from_secs(60),
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(120),
            stable: Duration::from_secs(60),
            quiet: Duration::from_secs(30),
            close: Duration::from_secs(2),
        }
    }
}
