//! What is asked of the table of routes itself: which route an address has and why, and how the sources of routes are.
//!
//! Names and order of the answers' fields are a contract (docs/api.md), to which fields are only ever added.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Questions;
use crate::{
    model::Asn,
    totals::{
        QueryError,
        answer::{SessionStatus, SourceStatus},
    },
};

/// Whoever has the routes.
pub trait RouteSource: Send + Sync {
    /// The route of an address, without the names of ASes and the neighbour; `None` where there is none.
    ///
    /// # Errors
    /// [`QueryError::Busy`].
    fn lookup(&self, address: IpAddr) -> Result<Option<RouteAnswer>, QueryError>;

    /// The peers, and how many routes and attributes there are of all of them.
    fn peers(&self) -> Peers;
}

/// What [`RouteSource::peers`] gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peers {
    /// In the order of their numbers.
    pub peers: Vec<PeerAnswer>,
    /// IPv4 prefixes that some peer announces.
    pub ipv4_prefixes: u64,
    /// IPv6 prefixes that some peer announces.
    pub ipv6_prefixes: u64,
    /// Different attributes of all routes.
    pub attributes: u64,
}

/// `lookup`: the route of an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookupAnswer {
    /// The address.
    pub address: IpAddr,
    /// The longest prefix around it; null where no route covers it.
    pub prefix: Option<String>,
    /// The origin that is counted; null where there is no route, or the origin is AS 0.
    pub asn: Option<Asn>,
    /// Its name.
    pub name: Option<String>,
    /// All origins that the source has for the prefix, the one that is counted first.
    pub origins: Vec<Asn>,
    /// Whose route counts.
    pub source: Option<String>,
    /// The AS path that packets to it are counted by, nearest AS first, prepending as it came; null where none is known.
    pub path: Option<Vec<Asn>>,
    /// The first AS of it that is not the ISP's own; null where there is none.
    pub neighbor: Option<Asn>,
    /// Its name.
    pub neighbor_name: Option<String>,
    /// How long the route has been as it is, or how old its file's data is; null where that is not known.
    pub age_seconds: Option<u64>,
    /// Whether it is kept for a while only, its peer being away or not having announced it again.
    pub stale: bool,
    /// All routes for the prefix, the one that counts first.
    pub candidates: Vec<CandidateAnswer>,
}

/// A route as whoever has the routes knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteAnswer {
    /// The longest prefix.
    pub prefix: String,
    /// All origins, the one that is counted first.
    pub origins: Vec<Asn>,
    /// The path that is counted by.
    pub path: Option<Vec<Asn>>,
    /// All routes for the prefix, the one whose origin counts first.
    pub candidates: Vec<CandidateAnswer>,
}

/// One of the routes for a prefix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CandidateAnswer {
    /// Whose it is: the peer's, table's or file's name.
    pub source: String,
    /// What sort that is: `bgp`, `bmp`, `mrt`, `builtin`, …
    pub kind: String,
    /// Whether it counts.
    pub best: bool,
    /// What it lost by to the one that counts: `source` (another source goes before), `standing`, `local_pref`,
    /// `path_length`, `origin`, `med`, `peer` (their order); null for the one that counts.
    pub lost_by: Option<String>,
    /// Its origins, the first one is the one that would count.
    pub origins: Vec<Asn>,
    /// Its AS path, without an AS_SET; null where its source has none.
    pub path: Option<Vec<Asn>>,
    /// The ASes of an AS_SET that ends the path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path_set: Vec<Asn>,
    /// LOCAL_PREF, where it came.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC, where it came.
    pub med: Option<u32>,
    /// ORIGIN: `igp`, `egp` or `incomplete`; null where the source has none.
    pub origin_code: Option<String>,
    /// Which of its peer's routes it is (RFC 7911); null but of peers.
    pub path_id: Option<u32>,
    /// How long it has been as it is, or how old the file's data is; null where that is not known.
    pub age_seconds: Option<u64>,
    /// Whether it is stale.
    pub stale: bool,
}

/// `routes`: the sources of routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoutesAnswer {
    /// The router's name.
    pub router: String,
    /// Of which each prefix's first route counts: sources by precedence, as in `status`.
    pub sources: Vec<SourceStatus>,
    /// IPv4 prefixes in the FIB.
    pub ipv4_prefixes: u64,
    /// IPv6 prefixes in the FIB.
    pub ipv6_prefixes: u64,
    /// What peers have.
    pub live: LiveAnswer,
    /// BGP sessions and BMP routers, as in `status`.
    pub sessions: Vec<SessionStatus>,
    /// Whoever announces routes: BGP peers, and the RIBs and neighbours that BMP routers report; by number.
    pub peers: Vec<PeerAnswer>,
}

/// What all peers together have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveAnswer {
    /// IPv4 prefixes that some peer announces.
    pub ipv4_prefixes: u64,
    /// IPv6 prefixes that some peer announces.
    pub ipv6_prefixes: u64,
    /// Different attributes of all their routes.
    pub attributes: u64,
    /// Different ways (a neighbour, and who carries for the origin) to all prefixes in the FIB.
    pub ways: u64,
}

/// A peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerAnswer {
    /// What people call it.
    pub name: String,
    /// `bgp` or `bmp`.
    pub kind: String,
    /// The BMP router that reports it; null of one with a session of its own, and of a BMP router.
    pub router: Option<String>,
    /// The AS that its routes without a path begin in: of a BGP session, the peer's; null where that is not known.
    pub asn: Option<Asn>,
    /// Whether it is there.
    pub up: bool,
    /// Since when it is, or is not; null where it never was.
    pub since: Option<Timestamp>,
    /// Why it is not there; null while it is, and before it was.
    pub why: Option<String>,
    /// Which of several routes for a prefix count: `router` before `neighbor` before `unfiltered`.
    pub standing: String,
    /// IPv4 routes of it that are there.
    pub ipv4_prefixes: u64,
    /// IPv6 routes of it that are there.
    pub ipv6_prefixes: u64,
    /// How many of both are stale.
    pub stale: u64,
    /// For how many seconds stale ones stay at the most; null without any.
    pub stale_seconds: Option<u64>,
    /// When it last announced or withdrew something; null where it never did.
    pub last_change: Option<Timestamp>,
}

impl Questions {
    /// The route of an address, as the agent's table has it now.
    ///
    /// # Errors
    /// [`QueryError::BadParameter`] where it is no address, [`QueryError::Busy`], [`QueryError::NotKept`] without routes.
    pub fn lookup(&self, text: &str) -> Result<LookupAnswer, QueryError> {
        let address: IpAddr = text.parse().map_err(|_| QueryError::BadParameter {
            name: "address",
            value: text.to_owned(),
            expected: "an IPv4 or IPv6 address".to_owned(),
        })?;
        let found = self.routes()?.lookup(address)?;
        let names = self.view().context().names;
        let name = |asn: Asn| names.get(asn).map(str::to_owned);
        let none = LookupAnswer {
            address,
            prefix: None,
            asn: None,
            name: None,
            origins: Vec::new(),
            source: None,
            path: None,
            neighbor: None,
            neighbor_name: None,
            age_seconds: None,
            stale: false,
            candidates: Vec::new(),
        };
        let Some(RouteAnswer { prefix, origins, path, candidates }) = found else { return Ok(none) };
        let asn = origins.first().copied().filter(|&asn| asn != 0);
        let own = |asn: &&Asn| self.own_ases.contains(asn);
        let neighbor = path.iter().flatten().find(|asn| !own(asn)).copied();
        let best = candidates.first();
        Ok(LookupAnswer {
            prefix: Some(prefix),
            asn,
            name: asn.and_then(name),
            source: best.map(|best| best.source.clone()),
            neighbor_name: neighbor.and_then(name),
            neighbor,
            age_seconds: best.and_then(|best| best.age_seconds),
            stale: best.is_some_and(|best| best.stale),
            origins,
            path,
            candidates,
            ..none
        })
    }

    /// How the sources of routes are.
    ///
    /// # Errors
    /// [`QueryError::NotKept`] without routes.
    pub fn route_sources(&self) -> Result<RoutesAnswer, QueryError> {
        let Peers { peers, ipv4_prefixes, ipv6_prefixes, attributes } = self.routes()?.peers();
        let status = self.view().status();
        Ok(RoutesAnswer {
            router: status.router,
            sources: status.table.sources,
            ipv4_prefixes: status.table.ipv4_prefixes,
            ipv6_prefixes: status.table.ipv6_prefixes,
            live: LiveAnswer { ipv4_prefixes, ipv6_prefixes, attributes, ways: self.view().ways() },
            sessions: status.sessions,
            peers,
        })
    }

    fn routes(&self) -> Result<&dyn RouteSource, QueryError> {
        let none = QueryError::NotKept("there are no routes to be asked here");
        self.routes.as_deref().ok_or(none)
    }
}
