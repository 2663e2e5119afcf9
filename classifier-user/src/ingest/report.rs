//! What was noticed while a table was loaded.

use std::fmt;

use crate::model::Family;

/// What was noticed while a table was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Lines that had data, or RIB entries of an MRT file, or networks of an mmdb file.
    pub lines: u64,
    /// Those left out because they could not be read.
    pub bad_lines: u64,
    /// Lines that only said again what another one had said.
    pub duplicates: u64,
    /// Ranges that overlap another one.
    pub overlaps: u64,
    /// Paths that end in an AS_SET of several ASes.
    pub as_sets: u64,
    /// Prefixes with several origins.
    pub moas: u64,
    /// Prefixes of AS 0: known to be unrouted.
    pub unrouted: u64,
    /// Families with a default route in the table.
    pub default_routes: Vec<Family>,
    /// What people should be told, in sentences.
    pub notices: Vec<Notice>,
}

/// Something about a table that people should be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Lines were left out.
    BadLines {
        /// How many.
        count: u64,
        /// The first one, with its reason.
        first: String,
    },
    /// Ranges overlap.
    Overlaps {
        /// How many overlap another one.
        count: u64,
    },
    /// There is a default route.
    DefaultRoute(Family),
    /// AS paths that end in an AS_SET.
    AsSets {
        /// How many.
        count: u64,
    },
    /// RIB entries with an empty AS path from a peer without AS number.
    NoOrigin {
        /// How many.
        count: u64,
    },
    /// MRT records that hold no unicast routes.
    OtherRecords {
        /// How many.
        count: u64,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadLines { count, first } => {
                write!(f, "bad lines left out: {count}, the first one: {first}")
            }
            Self::Overlaps { count } => {
                write!(f, "overlapping ranges: {count} (an address in several goes to the narrowest)")
            }
            Self::DefaultRoute(Family::Ipv4) => {
                f.write_str("the table has a default route (0.0.0.0/0): no IPv4 traffic will be unmatched")
            }
            Self::DefaultRoute(Family::Ipv6) => {
                f.write_str("the table has a default route (::/0): no IPv6 traffic will be unmatched")
            }
            Self::AsSets { count } => write!(
                f,
                "AS paths that end in an AS_SET: {count} (its ASes are origins behind those of paths that end in a \
                 single AS, the lowest number first)"
            ),
            Self::NoOrigin { count } => {
                write!(
                    f,
                    "RIB entries left out: {count} (their AS path is empty and their peer has no AS number)"
                )
            }
            Self::OtherRecords { count } => {
                write!(f, "MRT records left out: {count} (they hold no unicast routes)")
            }
        }
    }
}
