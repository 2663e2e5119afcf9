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

/// Times at which stale routes of a family go, at most: one for each loss or refresh in which others became stale.
const TIMES: usize = 16;

/// When stale routes go: what came before an epoch, at a time. Both ascend.
#[derive(Debug, Default)]
struct Times(Vec<(u16, Instant)>);

impl Times {
    /// What is stale at this epoch goes at `until`, or when it was to go before.
    fn add(&mut self, epoch: u16, until: Instant, now: Instant) {
        while self.0.pop_if(|(_, its)| *its >= until).is_some() {}
        if self.0.last().is_none_or(|(its, _)| *its != epoch) {
            self.0.push((epoch, until));
        }
        // RFC 4724, section 4.2, has what was stale go at the next loss already.
        if self.0.len() > TIMES
            && let Some((_, first)) = self.0.first_mut()
        {
            *first = now;
        }
    }

    fn next(&self) -> Option<Instant> {
        self.0.first().map(|(_, until)| *until)
    }

    fn last(&self) -> Option<Instant> {
        self.0.last().map(|(_, until)| *until)
    }

    /// Takes out what is due: before which epoch.
    fn due(&mut self, now: Instant) -> Option<u16> {
        let due = self.0.iter().take_while(|(_, until)| *until <= now).count();
        self.0.drain(..due).next_back().map(|(epoch, _)| epoch)
    }
}

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
    /// When stale ones go while the peer is away: each keeps the time of the loss in which it became stale, however often
    /// the peer comes back without it.
    lost: Times,
    /// When stale ones go while the peer sends all again. While there are any, they count instead of those of `lost`.
    resent: Times,
}

impl Counted {
    const fn stale(&self) -> usize {
        self.routes - self.fresh
    }

    fn mark(&mut self) {
        // Where all are stale already, what comes next is told from them.
        if self.fresh > 0 {
            self.epoch = self.epoch.wrapping_add(1);
            self.fresh = 0;
        }
        if self.routes == 0 {
            self.settle();
        }
    }

    fn lose(&mut self, until: Instant, now: Instant) {
        self.mark();
        self.resent = Times::default();
        if self.routes > 0 {
            self.lost.add(self.epoch, until, now);
        }
    }

    fn resend(&mut self, now: Instant) {
        self.mark();
        if self.routes > 0 {
            self.resent.add(self.epoch, now + RESEND, now);
        }
    }

    /// Nothing is stale any more, or will be soon.
    fn settle(&mut self) {
        self.lost = Times::default();
        self.resent = Times::default();
    }

    fn times(&self) -> Option<&Times> {
        let counting = if self.resent.0.is_empty() { &self.lost } else { &self.resent };
        (self.stale() > 0).then_some(counting)
    }

    /// Routes from before which epoch have to go now.
    fn due(&mut self, now: Instant) -> Option<u16> {
        let counting = if self.resent.0.is_empty() { &mut self.lost } else { &mut self.resent };
        let epoch = counting.due(now)?;
        // The last time is that of all that are stale.
        if counting.0.is_empty() {
            self.settle();
        }
        (self.stale() > 0).then_some(epoch)
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
        self.families.iter_mut().for_each(|family| family.resend(now));
    }

    pub(super) fn go_down(&mut self, lost: Lost, now: Instant) {
        self.up = false;
        self.since = Some(now);
        self.why = lost.why;
        let until = now + Duration::from_secs(lost.stale_seconds.into());
        self.families.iter_mut().for_each(|family| family.lose(until, now));
    }

    pub(super) fn refresh(&mut self, family: Family, now: Instant) {
        self.family(family).resend(now);
    }

    /// All was announced again: from which epoch on routes stay, if some have to go.
    pub(super) fn finish(&mut self, family: Family) -> Option<u16> {
        let family = self.family(family);
        family.settle();
        (family.stale() > 0).then_some(family.epoch)
    }

    /// Families whose stale routes have to go now, and from which epoch on routes stay.
    pub(super) fn due(&mut self, now: Instant) -> impl Iterator<Item = (Family, u16)> {
        FAMILIES
            .into_iter()
            .zip(&mut self.families)
            .filter_map(move |(family, its)| its.due(now).map(|epoch| (family, epoch)))
    }

    /// When stale routes go next.
    pub(super) fn until(&self) -> Option<Instant> {
        self.families.iter().filter_map(Counted::times).filter_map(Times::next).min()
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
            stale_until: self.families.iter().filter_map(Counted::times).filter_map(Times::last).max(),
            changed: self.changed,
        }
    }
}
