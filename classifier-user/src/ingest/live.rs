//! What live sources of routes (BGP, BMP) say, one after the other: the seam between sessions and the table.
//!
//! A session decodes messages in a task of its own and sends [`Event`]s in order; the table (`table/live`) keeps what each
//! peer has announced and says what changed for the FIB. Neither waits for the other but by the channel's bound.

use std::sync::Arc;

use crate::model::{Asn, Family, Prefix};

/// What a route says beside its prefix; shared by all routes of an UPDATE, and by equal ones of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// The AS path, nearest AS first, prepending as it came, confederation segments left out. An AS_SET (RFC 9774 deprecates
    /// them) is in [`Attributes::set`].
    pub path: Box<[Asn]>,
    /// The ASes of a set that ends the path, ascending; empty as a rule.
    pub set: Box<[Asn]>,
    /// LOCAL_PREF, where it came.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC, where it came.
    pub med: Option<u32>,
    /// ORIGIN: 0 IGP, 1 EGP, 2 incomplete.
    pub origin: u8,
}

/// A peer's number: its place among the configured ones, BGP sessions first, then BMP routers; then the RIBs of routers'
/// peers as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u16);

/// Tells several routes of one peer for one prefix apart (RFC 7911); 0 without add-path.
pub type PathId = u32;

/// What a peer said of one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The prefix.
    pub prefix: Prefix,
    /// Which of the peer's routes for it.
    pub path_id: PathId,
    /// Its attributes; `None`: withdrawn.
    pub attributes: Option<Arc<Attributes>>,
}

/// Why a peer is no more there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// For people: what the peer or the network said.
    pub why: String,
    /// Its routes stay, as stale ones, for at most this many seconds (graceful restart's time, or `stale_time`).
    pub stale_seconds: u32,
}

/// How near a peer's routes are to what the router does: of several routes for one prefix those of the best standing count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// The router's own choice: iBGP from the router itself, or its Loc-RIB (RFC 9069).
    Router,
    /// What a neighbour announces and policy let through: eBGP, or Adj-RIB-In after policy.
    #[default]
    Neighbor,
    /// What a neighbour announces, before policy.
    Unfiltered,
}

/// How a peer is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// By a session of our own.
    #[default]
    Bgp,
    /// Through a router that reports it (RFC 7854).
    Bmp,
}

impl PeerKind {
    /// `bgp` or `bmp`, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bgp => "bgp",
            Self::Bmp => "bmp",
        }
    }
}

/// Who a peer is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerInfo {
    /// What people call it.
    pub name: String,
    /// How it is heard.
    pub kind: PeerKind,
    /// Whether its routes go before those of others.
    pub standing: Standing,
    /// The origin of routes with an empty path: the AS that they begin in. 0 where that is not known.
    pub local_as: Asn,
    /// The BMP router, a peer itself, that reports this one; `None` of those that are configured.
    pub router: Option<PeerId>,
}

/// One thing that a peer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Who it is: the first thing of all.
    Peer(Arc<PeerInfo>),
    /// The session is established. Routes from before are stale until they come again or [`Event::EndOfRib`] does.
    Up,
    /// Announcements and withdrawals, in their order.
    Routes(Vec<Route>),
    /// The peer has sent all it has of this family (RFC 4724): what is still stale goes.
    EndOfRib(Family),
    /// The peer sends all of a family again (route refresh, RFC 7313 BoRR): what it has becomes stale until
    /// [`Event::EndOfRib`].
    Refresh(Family),
    /// The session is lost.
    Down(Lost),
}

/// An event and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The peer.
    pub peer: PeerId,
    /// What it said.
    pub event: Event,
}
