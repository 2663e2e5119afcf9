//! What peers say, on its way into the FIB in slices between sweeps.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::OwnedSemaphorePermit;
use tracing::debug;

use super::core::Core;
use crate::{
    ingest::live::{Event, PeerKind, Said},
    table::live::{self, Difference, Live, peers::PeerStatus},
    totals::view::SourceInput,
};

/// The routes of all peers, shared with whoever is asked about them.
pub(crate) type SharedLive = Arc<RwLock<Live>>;

/// Routes that go into the FIB together, at most: a sweep that is due does not wait for longer than these take.
const SLICE: usize = 131_072;

/// What peers said, one thing after the other. Who sends more than is taken waits.
#[derive(Debug)]
pub(super) struct Heard {
    said: std::vec::IntoIter<Said>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Heard {
    /// What has a place among what the core has to do until all of it is taken.
    pub(super) fn new(said: Vec<Said>, place: OwnedSemaphorePermit) -> Self {
        Self { said: said.into_iter(), _place: Some(place) }
    }
}

impl From<Vec<Said>> for Heard {
    fn from(said: Vec<Said>) -> Self {
        Self { said: said.into_iter(), _place: None }
    }
}

impl Core {
    fn live(&self) -> std::sync::RwLockReadGuard<'_, Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether [`Core::live_slice`] has something to do now.
    pub(super) fn live_work(&self) -> bool {
        !self.heard.is_empty() || self.live().cleaning()
    }

    /// In how long stale routes have to go.
    pub(super) fn stale_due(&self) -> Option<Duration> {
        self.live().due().map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Takes a part of what peers said, and of what has to go, into the FIB.
    pub(super) fn live_slice(&mut self) {
        let now = Instant::now();
        let mut differences = Vec::new();
        let mut peers_changed = false;
        {
            let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
            live.tick(now);
            let mut taken = 0;
            while taken < SLICE
                && let Some(heard) = self.heard.front_mut()
            {
                let Some(Said { peer, event }) = heard.said.next() else {
                    self.heard.pop_front();
                    continue;
                };
                match &event {
                    Event::Routes(routes) => taken += routes.len(),
                    _ => peers_changed = true,
                }
                live.take(peer, event, now, &mut differences);
            }
            // However much is announced, what has to go goes.
            live.clean((SLICE.saturating_sub(taken)).max(SLICE / 8), &mut differences);
        }
        // Neighbours together, which is faster; of one prefix in the order in which they came.
        differences.sort_by_key(|difference| difference.prefix);
        let mut changes = Vec::new();
        let mut paths = Vec::with_capacity(differences.len());
        for Difference { prefix, origins, origins_changed, route } in differences {
            if origins_changed {
                changes.extend(self.tables.rib.update(live::SOURCE, prefix, origins));
            }
            paths.push((prefix, route));
        }
        self.apply_live(changes);
        self.learn_paths(paths);
        if peers_changed {
            self.publish_status();
        }
    }

    /// Puts in what waits, and tells how peers are.
    pub(super) fn look_at_peers(&mut self) {
        if !self.waiting.is_empty()
            && let Err(error) = self.apply(Vec::new())
        {
            debug!("{} changed routes wait for room: {error}", self.waiting.len());
        }
        if self.live().peers().next().is_some() {
            self.publish_status();
        }
    }

    /// The peers as sources of routes, and what is to be said of them.
    pub(super) fn peers_status(&self) -> (Vec<SourceInput>, Vec<String>) {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let peers = sources(&self.live());
        let mut warnings: Vec<_> = peers.iter().filter(|peer| !peer.up).map(|peer| away(peer, now)).collect();
        if !self.waiting.is_empty() {
            let why = self.no_growth.as_ref().map_or("", |(_, why)| why);
            warnings.push(format!("{} changed routes wait for room in the FIB: {why}", self.waiting.len()));
        }
        let sources = peers.into_iter().map(|peer| SourceInput {
            name: peer.info.name.clone(),
            kind: peer.info.kind.name().to_owned(),
            prefixes: peer.routes.total() as u64,
            // What a peer has announced is of now while it is there.
            made: if peer.up {
                Some(clock)
            } else {
                peer.since.map(|since| clock - now.duration_since(since))
            },
            up: peer.up,
            stale: peer.stale.total() as u64,
        });
        (sources.collect(), warnings)
    }
}

/// The configured peers; the routes of a BMP router are those of all the RIBs that it reports.
fn sources(live: &Live) -> Vec<PeerStatus> {
    let (ribs, mut peers): (Vec<_>, Vec<_>) = live.peers().partition(|peer| peer.info.router.is_some());
    // One of which it is not known who it is yet says so with the next event.
    peers.retain(|peer| !peer.info.name.is_empty());
    for rib in ribs {
        let Some(router) = peers.iter_mut().find(|peer| Some(peer.peer) == rib.info.router) else { continue };
        router.routes += rib.routes;
        router.stale += rib.stale;
        router.stale_until = router.stale_until.max(rib.stale_until);
    }
    peers
}

/// What people are told of a peer that is not there.
fn away(peer: &PeerStatus, now: Instant) -> String {
    let PeerStatus { info, why, stale, stale_until, .. } = peer;
    let away = match info.kind {
        PeerKind::Bgp => "not established",
        PeerKind::Bmp => "not connected",
    };
    let mut text = format!("{} {}: {away}", info.kind.name(), info.name);
    if !why.is_empty() {
        text += &format!(" ({why})");
    }
    if let Some(left) = stale_until.map(|until| until.saturating_duration_since(now).as_secs()) {
        text += &format!(": its {} routes are stale and stay for {left} s", stale.total());
    }
    text
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
