//! Who is listened to: BGP sessions and BMP routers, begun, introduced to the core, and shown.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::Sender,
    },
};

use tokio::sync::{Semaphore, mpsc};

use super::{core::Message, live::Heard};
use crate::{
    ingest::{
        bgp::{LastError, PeerSettings, PeerStatus, Speaker, SpeakerError, State, Timers},
        bmp::{
            codec::PeerKey,
            settings::RouterSettings,
            station::{Reporter, Station, StationError},
        },
        live::{Event, PeerId, PeerInfo, PeerKind, Said, Standing},
    },
    totals::{
        answer::{NeighborStatistics, SessionError, SessionStatus, Strangers},
        view::AskSessions,
    },
};

/// Events between the sessions and the core, at most: one has up to some thousands of routes.
const QUEUE: usize = 16;
/// Events that go to the core together, at most.
const BATCH: usize = 16;
/// Batches that the core has at a time, at most: a peer that is faster waits.
const BATCHES: usize = 2;

/// Sessions cannot be begun.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    /// BGP.
    #[error(transparent)]
    Bgp(#[from] SpeakerError),
    /// BMP.
    #[error(transparent)]
    Bmp(#[from] StationError),
}

/// The sockets of [`Sessions`]: where peers and routers connect, and wait.
pub(super) struct Doors {
    speaker: Speaker,
    station: Station,
    said: mpsc::Receiver<Said>,
}

impl Doors {
    /// Opens them; ports below 1024 need a privilege. A peer's number is its place, a router's is behind those.
    ///
    /// # Errors
    /// [`SessionsError`]: nothing is open.
    pub(super) fn open(peers: &[PeerSettings], routers: &[RouterSettings]) -> Result<Self, SessionsError> {
        let (say, said) = mpsc::channel(QUEUE);
        let first_router = u16::try_from(peers.len()).unwrap_or(u16::MAX);
        let mut speaker = Speaker::new(peers.to_vec(), Timers::default(), say.clone());
        let mut station = Station::new(routers.to_vec(), first_router, say);
        station.bind()?;
        speaker.bind()?;
        Ok(Self { speaker, station, said })
    }
}

/// Everybody who is listened to.
pub(super) struct Sessions {
    speaker: Speaker,
    station: Station,
}

impl Sessions {
    /// Begins the BGP sessions of these peers and waits for these routers, whose doors are open. Within a runtime.
    ///
    /// # Errors
    /// [`SessionsError`]: nothing goes on.
    pub(super) fn begin(
        peers: &[PeerSettings],
        routers: &[RouterSettings],
        doors: Doors,
        core: &Sender<Message>,
    ) -> Result<Self, SessionsError> {
        let Doors { mut speaker, mut station, said } = doors;
        station.start()?;
        speaker.start()?;
        let infos = peers.iter().map(peer_info).chain(routers.iter().map(router_info));
        let introduced: Vec<Said> = (0..)
            .zip(infos)
            .map(|(number, info)| Said { peer: PeerId(number), event: Event::Peer(Arc::new(info)) })
            .collect();
        // A core that is gone needs no routes.
        let _ = core.send(Message::Live(introduced.into()));
        tokio::spawn(forward(said, core.clone()));
        Ok(Self { speaker, station })
    }

    /// How they are, whenever it is asked.
    pub(super) fn ask(&self) -> AskSessions {
        let (peers, routers) = (self.speaker.peers().to_vec(), self.station.routers().to_vec());
        let strangers = [
            self.speaker.strangers_counter(),
            self.station.strangers_counter(),
            self.speaker.md5_dropped_counter(),
        ];
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Arc::new(move || {
            let peers = peers.iter().map(|peer| peer_status(peer));
            let sessions = peers.chain(routers.iter().map(|router| router_status(router))).collect();
            let [bgp, bmp, md5] = &strangers;
            (sessions, Strangers { bgp: count(bgp), bmp: count(bmp), md5: count(md5) })
        })
    }

    /// Ends all of them, and says so to BGP peers.
    pub(super) async fn stop(self) {
        drop(self.station);
        self.speaker.stop().await;
    }
}

fn peer_info(peer: &PeerSettings) -> PeerInfo {
    PeerInfo {
        name: peer.name.clone(),
        kind: PeerKind::Bgp,
        standing: if peer.internal() { Standing::Router } else { Standing::Neighbor },
        local_as: peer.remote_as,
        router: None,
    }
}

fn router_info(router: &RouterSettings) -> PeerInfo {
    PeerInfo { name: router.name.clone(), kind: PeerKind::Bmp, ..PeerInfo::default() }
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
        if core.send(Message::Live(Heard::new(said, place))).is_err() {
            return;
        }
    }
}

fn peer_status(peer: &PeerStatus) -> SessionStatus {
    let now = peer.snapshot();
    let counts = now.counts;
    SessionStatus {
        name: peer.settings.name.clone(),
        kind: PeerKind::Bgp.name().to_owned(),
        address: peer.settings.address,
        state: now.state.name().to_owned(),
        up: now.state == State::Established,
        since: now.since,
        peers: None,
        ipv4_routes: now.held.ipv4,
        ipv6_routes: now.held.ipv6,
        messages: counts.messages,
        updates: counts.updates,
        announced: counts.announced,
        withdrawn: counts.withdrawn,
        losses: counts.failures,
        malformed: counts.treated_as_withdraw + counts.discarded_attributes,
        ignored: counts.ignored,
        connect_failures: Some(counts.connect_failures),
        notifications_sent: Some(counts.notifications_sent),
        notifications_received: Some(counts.notifications_received),
        refused: None,
        sys_name: None,
        statistics: Vec::new(),
        last_error: now.last_error.map(error),
    }
}

fn router_status(router: &Reporter) -> SessionStatus {
    let now = router.snapshot();
    let status = now.status;
    SessionStatus {
        name: now.settings.name,
        kind: PeerKind::Bmp.name().to_owned(),
        address: now.settings.address,
        state: if now.connected { "connected" } else { "waiting" }.to_owned(),
        up: now.connected,
        since: now.since,
        peers: Some(status.peers),
        ipv4_routes: status.held.ipv4,
        ipv6_routes: status.held.ipv6,
        messages: status.messages,
        updates: status.updates,
        announced: status.announced,
        withdrawn: status.withdrawn,
        losses: now.losses,
        malformed: status.malformed + status.treated_as_withdraw + status.discarded_attributes,
        ignored: status.ignored,
        connect_failures: None,
        notifications_sent: None,
        notifications_received: None,
        refused: Some(now.refused),
        sys_name: status.sys_name,
        statistics: statistics(status.statistics),
        last_error: now.last_error.map(error),
    }
}

fn statistics(of: BTreeMap<PeerKey, BTreeMap<u16, u64>>) -> Vec<NeighborStatistics> {
    let of = of.into_iter().map(|(peer, counters)| {
        let neighbor = (!peer.loc_rib).then_some(peer.address);
        NeighborStatistics { neighbor, counters }
    });
    of.collect()
}

fn error(LastError { at, what }: LastError) -> SessionError {
    SessionError { at, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the contract, with what each kind of session has of them.
    #[tokio::test]
    async fn sessions_as_json() {
        let (say, _said) = mpsc::channel(1);
        let peer = PeerSettings::new("192.0.2.1".parse().unwrap(), 64_500);
        let speaker = Speaker::new(vec![peer], Timers::default(), say.clone());
        let station = Station::new(vec![RouterSettings::new("2001:db8::9".parse().unwrap())], 1, say);
        let json = |status: SessionStatus| {
            let since = status.since.to_string();
            serde_json::to_string(&status).unwrap().replace(&since, "SINCE")
        };
        insta::assert_snapshot!(json(peer_status(&speaker.peers()[0])), @r#"{"name":"192.0.2.1","kind":"bgp","address":"192.0.2.1","state":"idle","up":false,"since":"SINCE","peers":null,"ipv4_routes":0,"ipv6_routes":0,"messages":0,"updates":0,"announced":0,"withdrawn":0,"losses":0,"malformed":0,"ignored":0,"connect_failures":0,"notifications_sent":0,"notifications_received":0,"refused":null,"sys_name":null,"last_error":null}"#);
        insta::assert_snapshot!(json(router_status(&station.routers()[0])), @r#"{"name":"2001:db8::9","kind":"bmp","address":"2001:db8::9","state":"waiting","up":false,"since":"SINCE","peers":0,"ipv4_routes":0,"ipv6_routes":0,"messages":0,"updates":0,"announced":0,"withdrawn":0,"losses":0,"malformed":0,"ignored":0,"connect_failures":null,"notifications_sent":null,"notifications_received":null,"refused":0,"sys_name":null,"last_error":null}"#);
        let key = |loc_rib| PeerKey { loc_rib, distinguisher: 0, address: "198.51.100.7".parse().unwrap() };
        let of = [(key(false), BTreeMap::from([(7, 9)])), (key(true), BTreeMap::from([(8, 11)]))];
        insta::assert_snapshot!(serde_json::to_string(&statistics(of.into())).unwrap(), @r#"[{"neighbor":"198.51.100.7","counters":{"7":9}},{"neighbor":null,"counters":{"8":11}}]"#);
    }
}
