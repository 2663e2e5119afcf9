//! Which of the RIBs that a router reports are taken, of each family by itself.
//!
//! A RIB goes before others from the first route of it that was read on this connection on, not from when it was
//! promised. What is behind it is not kept: that would be two or three times the memory, for what nobody uses.

use std::collections::HashMap;

use super::{
    codec::{PeerKey, Rib},
    settings::RibChoice,
};
use crate::{ingest::bgp::codec::Families, model::Family};

/// The best RIBs of which routes came on a connection.
#[derive(Debug, Default)]
pub(super) struct Preferred {
    loc_rib: Families<bool>,
    post_policy: HashMap<PeerKey, Families<bool>>,
}

impl Preferred {
    /// Families of which a RIB of a peer is taken.
    pub(super) fn families(&self, choice: RibChoice, peer: PeerKey, rib: Rib) -> Families<bool> {
        let neither = Families::default();
        let post_policy = self.post_policy.get(&peer).copied().unwrap_or(neither);
        let is = |family: &Family| match choice {
            RibChoice::Only(only) => rib == only,
            RibChoice::Auto => match rib {
                Rib::LocRib => true,
                Rib::PostPolicy => !self.loc_rib[*family],
                Rib::PrePolicy => !self.loc_rib[*family] && !post_policy[*family],
                Rib::Out => false,
            },
        };
        Families::BOTH.iter().filter(is).collect()
    }

    /// A route of this RIB came. Whether that is news: then what is [`behind`] it is taken no more.
    pub(super) fn came(&mut self, peer: PeerKey, rib: Rib, family: Family) -> bool {
        let came = match rib {
            Rib::LocRib => &mut self.loc_rib,
            Rib::PostPolicy => self.post_policy.entry(peer).or_default(),
            Rib::PrePolicy | Rib::Out => return false,
        };
        !std::mem::replace(&mut came[family], true)
    }

    /// A peer is no more, or another one.
    pub(super) fn gone(&mut self, peer: PeerKey) {
        if peer.loc_rib {
            self.loc_rib = Families::default();
        } else {
            self.post_policy.remove(&peer);
        }
    }

    /// Whether what is not taken of a RIB would be, but for the Loc-RIB.
    pub(super) fn leaves_out(&self, choice: RibChoice, rib: Rib) -> bool {
        let of_neighbor = matches!(rib, Rib::PostPolicy | Rib::PrePolicy);
        choice == RibChoice::Auto && of_neighbor && (self.loc_rib.ipv4 || self.loc_rib.ipv6)
    }
}

/// Whether a RIB is taken only where another one is not.
pub(super) fn behind(peer: PeerKey, rib: Rib, better: (PeerKey, Rib)) -> bool {
    match better.1 {
        Rib::LocRib => rib != Rib::LocRib,
        Rib::PostPolicy => rib == Rib::PrePolicy && peer == better.0,
        Rib::PrePolicy | Rib::Out => false,
    }
}
