//! What peers say, on its way into the FIB: from sessions to the core, and there in slices between sweeps.

use std::{
    sync::{Arc, PoisonError, RwLock, mpsc::Sender},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::debug;

use super::core::{Core, Message};
use crate::{
    ingest::{
        bgp::{PeerSettings, Speaker, SpeakerError, Timers},
        live::{Event, PeerId, PeerInfo, PeerKind, Said, Standing},
    },
    table::live::{self, Difference, Live, peers::PeerStatus},
    totals::view::SourceInput,
};

/// The routes of all peers, shared with whoever is asked about them.
pub(crate) type SharedLive = Arc<RwLock<Live>>;

/// Events between the sessions and the core, at most; each may have thousands of routes.
const QUEUE: usize = 16;
/// Events that go to the core together, at most.
const BATCH: usize = 16;
/// Batches that the core has at a time, at most: a peer that is faster waits.
const BATCHES: usize = 4;
/// Routes that go into the FIB together, at most: a sweep that is due does not wait for longer than these take.
const SLICE: usize = 16_384;

/// What peers said, one thing after the other. Who sends more than is taken waits.
#[derive(Debug)]
pub(super) struct Heard {
    said: std::vec::IntoIter<Said>,
    _place: Option<OwnedSemaphorePermit>,
}

impl From<Vec<Said>> for Heard {
    fn from(said: Vec<Said>) -> Self {
        Self { said: said.into_iter(), _place: None }
    }
}

/// Begins the BGP sessions of these peers, if any; a peer's number is its place. Within a runtime.
///
/// # Errors
/// [`SpeakerError`]: nothing was begun.
pub(super) fn begin(peers: &[PeerSettings], core: &Sender<Message>) -> Result<Option<Speaker>, SpeakerError> {
    if peers.is_empty() {
        return Ok(None);
    }
    let (say, said) = mpsc::channel(QUEUE);
    let mut speaker = Speaker::new(peers.to_vec(), Timers::default(), say);
    speaker.start()?;
    let introduced: Vec<Said> = (0..)
        .zip(peers)
        .map(|(number, peer)| Said { peer: PeerId(number), event: Event::Peer(Arc::new(info(peer))) })
        .collect();
    // A core that is gone needs no routes.
    let _ = core.send(Message::Live(introduced.into()));
    tokio::spawn(forward(said, core.clone()));
    Ok(Some(speaker))
}

fn info(peer: &PeerSettings) -> PeerInfo {
    PeerInfo {
        name: peer.name.clone(),
        kind: PeerKind::Bgp,
        standing: if peer.internal() { Standing::Router } else { Standing::Neighbor },
        local_as: peer.remote_as,
    }
}

/// Takes what sessions say to the core until either side is gone.
async fn forward(mut sessions: mpsc::Receiver<Said>, core: Sender<Message>) {
    let places = Arc::new(Semaphore::new(BATCHES));
    loop {
        // First the place, then the batch: while the core is busy, what comes is put together.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let mut said = Vec::new();
        if sessions.recv_many(&mut said, BATCH).await == 0 {
            return;
        }
        let heard = Heard { said: said.into_iter(), _place: Some(place) };
        if core.send(Message::Live(heard)).is_err() {
            return;
        }
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
        let live = self.live();
        let peers: Vec<_> = live.peers().collect();
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

/// What people are told of a peer that is not there.
fn away(peer: &PeerStatus, now: Instant) -> String {
    let PeerStatus { info, why, stale, stale_until, .. } = peer;
    let (name, kind) = (&info.name, info.kind.name());
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    match stale_until.map(|until| until.saturating_duration_since(now).as_secs()) {
        Some(left) => {
            format!(
                "{kind} {name}: not established{why}: its {} routes are stale and stay for {left} s",
                stale.total()
            )
        }
        None => format!("{kind} {name}: not established{why}"),
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
