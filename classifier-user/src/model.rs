//! The words of the field as types: every other module speaks in these.

use std::fmt;

pub use classifier_common::{
    abi::{Hook, Side},
    counter::{Counter, Outcome},
    fib::Class,
};
pub use ip_network::{IpNetwork as Prefix, Ipv4Network, Ipv6Network};
use serde::{Deserialize, Serialize};

/// An autonomous system number (RFC 6793). 0 is no AS (RFC 7607): such a route is known to be unrouted.
pub type Asn = u32;

/// IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of a prefix.
    #[must_use]
    pub const fn of(prefix: &Prefix) -> Self {
        match prefix {
            Prefix::V4(_) => Self::Ipv4,
            Prefix::V6(_) => Self::Ipv6,
        }
    }

    /// `ipv4` or `ipv6`, as in JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// Which way a link faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Faces the Internet.
    Upstream,
    /// Faces the ISP's customers.
    Downstream,
}

/// What an upstream link is commercially.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// Paid transit.
    Transit,
    /// An Internet exchange.
    Ix,
    /// A private interconnect.
    Pni,
    /// Customers.
    Customer,
}

/// Towards the ISP or towards the Internet, as the ISP's network sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the ISP.
    In,
    /// Towards the Internet.
    Out,
}

impl Direction {
    /// Both, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::In, Self::Out];
}

/// The remote side is on the Internet, the local side is the ISP's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Locality {
    /// The Internet's address.
    #[default]
    Remote,
    /// The ISP's address.
    Local,
}

impl Role {
    /// The direction of what is seen at `hook` of such a link.
    #[must_use]
    pub const fn direction(self, hook: Hook) -> Direction {
        match (self, hook) {
            (Self::Upstream, Hook::Rx) | (Self::Downstream, Hook::Tx) => Direction::In,
            (Self::Upstream, Hook::Tx) | (Self::Downstream, Hook::Rx) => Direction::Out,
        }
    }

    /// The hook at which such a link sees `direction`.
    #[must_use]
    pub const fn hook(self, direction: Direction) -> Hook {
        match (self, direction) {
            (Self::Upstream, Direction::In) | (Self::Downstream, Direction::Out) => Hook::Rx,
            (Self::Upstream, Direction::Out) | (Self::Downstream, Direction::In) => Hook::Tx,
        }
    }

    /// Which address of a packet seen at `hook` is remote or local: what comes in from the Internet has its remote
    /// address as the source, what goes out has it as the destination.
    #[must_use]
    pub const fn side(self, hook: Hook, locality: Locality) -> Side {
        match (self.direction(hook), locality) {
            (Direction::In, Locality::Remote) | (Direction::Out, Locality::Local) => Side::Source,
            (Direction::In, Locality::Local) | (Direction::Out, Locality::Remote) => Side::Destination,
        }
    }
}

/// How a hook is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// XDP in the driver.
    Native,
    /// XDP in the stack, after GRO: inexact.
    Generic,
    /// A clsact filter.
    Tc,
    /// TCX (kernel 6.6).
    Tcx,
}

macro_rules! display_as_json {
    ($($name:ident { $($variant:ident => $text:literal),+ $(,)? })+) => {$(
        impl $name {
            /// The name in JSON, metrics, configuration and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    )+};
}

display_as_json! {
    Role { Upstream => "upstream", Downstream => "downstream" }
    LinkKind { Transit => "transit", Ix => "ix", Pni => "pni", Customer => "customer" }
    Direction { In => "in", Out => "out" }
    Locality { Remote => "remote", Local => "local" }
    Mode { Native => "native", Generic => "generic", Tc => "tc", Tcx => "tcx" }
}

/// A link's number: its place in the configuration, and in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u16);

/// An accounted edge: an interface, or one outer VLAN of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What people call it.
    pub name: String,
    /// The interface's name.
    pub interface: String,
    /// The outer VLAN that is the link, where the interface is a trunk.
    pub vlan: Option<u16>,
    /// Which way it faces.
    pub role: Role,
    /// What it is commercially.
    pub kind: Option<LinkKind>,
}

/// What a class stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// No route covered the address.
    Unmatched(Family),
    /// A route: prefix granularity.
    Route {
        /// The prefix.
        prefix: Prefix,
        /// Its origin AS.
        asn: Asn,
    },
    /// All routes of an AS in a family: AS granularity.
    As {
        /// The family.
        family: Family,
        /// The AS.
        asn: Asn,
    },
}

impl Owner {
    /// The family of the packets counted.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Unmatched(family) | Self::As { family, .. } => *family,
            Self::Route { prefix, .. } => Family::of(prefix),
        }
    }

    /// The AS; `None` if unmatched.
    #[must_use]
    pub const fn asn(&self) -> Option<Asn> {
        match self {
            Self::Unmatched(_) => None,
            Self::Route { asn, .. } | Self::As { asn, .. } => Some(*asn),
        }
    }
}

/// A number for an [`Owner`], given once and never to another: what is kept over time is kept under it, because a
/// class may be given to another owner later. 0 and 1 are the two unmatched owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(pub u32);

/// What a class stands for: the map from kernel numbers to routes.
pub trait Owners {
    /// The owner of a class that has been given out.
    fn owner_of(&self, class: Class) -> OwnerId;
    /// The owner of this number.
    fn owner(&self, id: OwnerId) -> Owner;
    /// How many owners there have been; numbers are below this.
    fn owner_count(&self) -> usize;
}

/// One prefix's new class in the FIB; `None` takes the prefix out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FibDelta {
    /// The prefix.
    pub prefix: Prefix,
    /// Its class from now on.
    pub class: Option<Class>,
}
