//! What is known of a router, for those who show it.

use std::collections::BTreeMap;

use super::codec::PeerKey;
use crate::ingest::bgp::codec::Families;

/// What is known of a router. Counters never fall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterStatus {
    /// Its sysName, where it said so.
    pub sys_name: Option<String>,
    /// Its sysDescr.
    pub sys_descr: Option<String>,
    /// Its peers that are up, its Loc-RIB included.
    pub peers: u64,
    /// Routes that it has reported on this connection and not withdrawn.
    pub held: Families<u64>,
    /// Messages that came.
    pub messages: u64,
    /// UPDATEs that came, of whatever RIB.
    pub updates: u64,
    /// Routes announced, also those announced again.
    pub announced: u64,
    /// Routes withdrawn.
    pub withdrawn: u64,
    /// Peer Ups and UPDATEs that could not be read, and were left out.
    pub malformed: u64,
    /// UPDATEs whose routes were withdrawn because of a malformed attribute (RFC 7606).
    pub treated_as_withdraw: u64,
    /// UPDATEs of which a malformed attribute was left out.
    pub discarded_attributes: u64,
    /// UPDATEs of RIBs that are not taken, and of peers that are not up.
    pub ignored: u64,
    /// By peer: its counters by their type (RFC 7854, section 4.8).
    pub statistics: BTreeMap<PeerKey, BTreeMap<u16, u64>>,
}
