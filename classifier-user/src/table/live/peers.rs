//! Peers: whether they are there, how many routes they have, and which of those are stale.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    ingest::live::{Lost, PeerId, PeerInfo},
    model::Family,
    table::rib::PrefixCounts,
};

/// How long a peer that is there again, or sends all again, may take until what it did not announce goes, where it does
/// not say that it has finished.
pub const RESEND: Duration = Duration::from_secs(300);

/// What a peer is and has, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its number.
    pub peer: PeerId,
    /// Who it is.
    pub info: Arc<PeerInfo>,
    /// Whether its session is established.
    pub up: bool,
    /// Since when it is as it is; `None`: it has never been there.
    pub since: Option<Instant>,
    /// Why it is away; empty while it is there, and before it was.
    pub why: String,
    /// Its routes.
    pub routes: PrefixCounts,
    /// How many of these are stale.
    pub stale: PrefixCounts,
    /// When stale ones go, at the latest.
    pub stale_until: Option<Instant>,
    /// When it last announced or withdrew something.
    pub changed: Option<Instant>,
}

/// A peer's routes of one family.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// How often all of them became stale. Routes that came before the last time are.
    pub(super) epoch: u16,
    pub(super) routes: usize,
    /// Routes that are not stale.
    pub(super) fresh: usize,
    /// When stale ones go.
    until: Option<Instant>,
}

impl Counted {
    fn stale(&self) -> usize {
        self.routes - self.fresh
    }

    fn mark(&mut self, until: Instant) {
        self.epoch = self.epoch.wrapping_add(1);
        self.fresh = 0;
        self.until = (self.routes > 0).then_some(until);
    }

    /// A route came, in the place of one that came at `instead`.
    pub(super) fn announced(&mut self, instead: Option<u16>) {
        self.routes += usize::from(instead.is_none());
        self.fresh += usize::from(instead != Some(self.epoch));
    }

    /// A route that came at this epoch is gone.
    pub(super) fn withdrawn(&mut self, epoch: u16) {
        self.routes -= 1;
        self.fresh -= usize::from(epoch == self.epoch);
    }
}

/// A peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) info: Arc<PeerInfo>,
    up: bool,
    since: Option<Instant>,
    why: String,
    pub(super) changed: Option<Instant>,
    /// By [`Family`].
    pub(super) families: [Counted; 2],
}

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

impl Peer {
    pub(super) const fn family(&mut self, family: Family) -> &mut Counted {
        &mut self.families[family as usize]
    }

    pub(super) fn come_up(&mut self, now: Instant) {
        self.up = true;
        self.since = Some(now);
        self.why.clear();
        for family in &mut self.families {
            family.mark(now + RESEND);
        }
    }

    pub(super) fn go_down(&mut self, lost: Lost, now: Instant) {
        self.up = false;
        self.since = Some(now);
        self.why = lost.why;
        for family in &mut self.families {
            family.mark(now + Duration::from_secs(lost.stale_seconds.into()));
        }
    }

    pub(super) fn refresh(&mut self, family: Family, now: Instant) {
        self.family(family).mark(now + RESEND);
    }

    /// All was announced again: from which epoch on routes stay, if some have to go.
    pub(super) fn finish(&mut self, family: Family) -> Option<u16> {
        let family = self.family(family);
        family.until = None;
        (family.stale() > 0).then_some(family.epoch)
    }

    /// Families whose stale routes have to go now.
    pub(super) fn due(&self, now: Instant) -> Vec<Family> {
        FAMILIES
            .into_iter()
            .filter(|&family| self.families[family as usize].until.is_some_and(|until| until <= now))
            .collect()
    }

    /// When stale routes go next.
    pub(super) fn until(&self) -> Option<Instant> {
        self.families.iter().filter_map(|family| family.until).min()
    }

    pub(super) fn status(&self, peer: PeerId) -> PeerStatus {
        let [v4, v6] = &self.families;
        PeerStatus {
            peer,
            info: Arc::clone(&self.info),
            up: self.up,
            since: self.since,
            why: self.why.clone(),
            routes: PrefixCounts { ipv4: v4.routes, ipv6: v6.routes },
            stale: PrefixCounts { ipv4: v4.stale(), ipv6: v6.stale() },
            stale_until: self.families.iter().filter_map(|family| family.until).max(),
            changed: self.changed,
        }
    }
}
