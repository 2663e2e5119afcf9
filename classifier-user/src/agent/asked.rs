//! Questions about routes, from those who serve them to the core, which has the table.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock, PoisonError,
        mpsc::{Sender, sync_channel},
    },
    time::{Duration, Instant, SystemTime},
};

use jiff::Timestamp;

use super::{
    core::{Core, Message},
    live::SharedLive,
};
use crate::{
    ingest::{
        bgp,
        live::{PeerId, PeerKind, Standing},
    },
    questions::routes::{CandidateAnswer, PeerAnswer, Peers, RouteAnswer, RouteSource},
    table::{
        live::{self, Candidate, best::Criterion, peers::PeerStatus},
        rib::Found,
    },
    totals::QueryError,
};

/// How long an answer may take: while a table is put in, the core does not look.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the core is asked.
pub(super) type Ask = Box<dyn FnOnce(&Core) + Send>;

/// The sessions' own status, once there are sessions.
pub(super) type Sessions = Arc<OnceLock<Vec<Arc<bgp::PeerStatus>>>>;

/// Asks the core.
pub(super) struct Routes {
    pub(super) core: Sender<Message>,
    pub(super) live: SharedLive,
    pub(super) sessions: Sessions,
}

impl RouteSource for Routes {
    fn lookup(&self, address: IpAddr) -> Result<Option<RouteAnswer>, QueryError> {
        let busy = QueryError::Busy("the agent is busy with its table");
        let (tell, told) = sync_channel(1);
        let ask: Ask = Box::new(move |core| {
            // Whoever asked may be gone.
            let _ = tell.try_send(core.route_of(address));
        });
        self.core.send(Message::Ask(ask)).map_err(|_| busy.clone())?;
        told.recv_timeout(PATIENCE).map_err(|_| busy)
    }

    fn peers(&self) -> Peers {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let counts = live.counts();
        let attributes = live.attributes() as u64;
        let peers: Vec<PeerStatus> = live.peers().collect();
        drop(live);
        let sessions = self.sessions.get().map(Vec::as_slice).unwrap_or_default();
        let session = |peer: &PeerStatus| match peer.info.kind {
            PeerKind::Bgp => sessions.get(usize::from(peer.peer.0)),
            PeerKind::Bmp => None,
        };
        let clock = Clock { now: Instant::now(), at: SystemTime::now() };
        Peers {
            peers: peers.iter().map(|peer| answer(peer, session(peer), clock)).collect(),
            ipv4_prefixes: counts.ipv4 as u64,
            ipv6_prefixes: counts.ipv6 as u64,
            attributes,
        }
    }
}

/// One moment by both clocks.
#[derive(Clone, Copy)]
struct Clock {
    now: Instant,
    at: SystemTime,
}

impl Clock {
    fn timestamp(self, then: Instant) -> Option<Timestamp> {
        let at = self.at.checked_sub(self.now.saturating_duration_since(then))?;
        Timestamp::try_from(at).ok()
    }
}

fn answer(peer: &PeerStatus, session: Option<&Arc<bgp::PeerStatus>>, clock: Clock) -> PeerAnswer {
    let snapshot = session.map(|session| session.snapshot());
    let state = match (&snapshot, peer.up) {
        (Some(snapshot), _) => snapshot.state,
        (None, true) => bgp::State::Established,
        (None, false) => bgp::State::Idle,
    };
    let counts = snapshot.as_ref().map(|snapshot| snapshot.counts);
    let error = snapshot.and_then(|snapshot| snapshot.last_error).map(|error| error.what);
    let why = Some(&peer.why).filter(|why| !why.is_empty()).cloned();
    PeerAnswer {
        name: peer.info.name.clone(),
        kind: peer.info.kind.name().to_owned(),
        address: session.map(|session| session.settings.address),
        asn: session.map(|session| session.settings.remote_as),
        local_asn: session.map(|session| session.settings.local_as),
        state: state.name().to_owned(),
        up: peer.up,
        since: peer.since.and_then(|since| clock.timestamp(since)),
        standing: standing(peer.info.standing).to_owned(),
        ipv4_prefixes: peer.routes.ipv4 as u64,
        ipv6_prefixes: peer.routes.ipv6 as u64,
        stale: peer.stale.total() as u64,
        stale_seconds: peer.stale_until.map(|until| until.saturating_duration_since(clock.now).as_secs()),
        last_change: peer.changed.and_then(|changed| clock.timestamp(changed)),
        announced: counts.map(|counts| counts.announced),
        withdrawn: counts.map(|counts| counts.withdrawn),
        updates: counts.map(|counts| counts.updates),
        established: counts.map(|counts| counts.established),
        last_error: error.or(why),
    }
}

const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Router => "router",
        Standing::Neighbor => "neighbor",
        Standing::Unfiltered => "unfiltered",
    }
}

const fn criterion(criterion: Criterion) -> &'static str {
    match criterion {
        Criterion::Standing => "standing",
        Criterion::LocalPref => "local_pref",
        Criterion::PathLength => "path_length",
        Criterion::Origin => "origin",
        Criterion::Med => "med",
        Criterion::Peer => "peer",
    }
}

impl Core {
    /// The route of an address and all others for its prefix.
    pub(super) fn route_of(&self, address: IpAddr) -> Option<RouteAnswer> {
        let rib = &self.tables.rib;
        let found = rib.lookup(address)?;
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mut candidates = Vec::new();
        for route in rib.all_of(&found.prefix) {
            if route.source == live::SOURCE {
                let of_peers = live.candidates(&route.prefix, now);
                candidates.extend(of_peers.iter().map(|candidate| live_candidate(&live, candidate)));
            } else {
                candidates.push(self.table_candidate(&route));
            }
        }
        for (place, candidate) in candidates.iter_mut().enumerate() {
            candidate.best = place == 0;
            if place > 0 && candidate.lost_by.is_none() {
                candidate.lost_by = Some("source".to_owned());
            }
        }
        Some(RouteAnswer {
            prefix: found.prefix.to_string(),
            origins: found.origins.to_vec(),
            path: live.best(&found.prefix).map(|route| route.path.to_vec()),
            candidates,
        })
    }

    fn table_candidate(&self, route: &Found<'_>) -> CandidateAnswer {
        let source = self.tables.source(route.source);
        let date = source.and_then(|source| source.date).map(SystemTime::from);
        let age = date.and_then(|date| SystemTime::now().duration_since(date).ok());
        CandidateAnswer {
            source: source.map(|source| source.name.clone()).unwrap_or_default(),
            kind: source.map(|source| source.kind.clone()).unwrap_or_default(),
            origins: route.origins.to_vec(),
            age_seconds: age.map(|age| age.as_secs()),
            ..CandidateAnswer::default()
        }
    }
}

fn live_candidate(live: &live::Live, candidate: &Candidate) -> CandidateAnswer {
    let Candidate { peer, path_id, attributes, age, stale, lost_by } = candidate;
    let info = live.peer(*peer).cloned().unwrap_or_default();
    let origin_code = match attributes.origin {
        0 => "igp",
        1 => "egp",
        _ => "incomplete",
    };
    CandidateAnswer {
        source: if info.name.is_empty() { number(*peer) } else { info.name },
        kind: info.kind.name().to_owned(),
        best: lost_by.is_none(),
        lost_by: lost_by.map(|lost_by| criterion(lost_by).to_owned()),
        origins: live::attributes::origins(attributes, info.local_as).all().to_vec(),
        path: Some(attributes.path.to_vec()),
        path_set: attributes.set.to_vec(),
        local_pref: attributes.local_pref,
        med: attributes.med,
        origin_code: Some(origin_code.to_owned()),
        path_id: Some(*path_id),
        age_seconds: Some(age.as_secs()),
        stale: *stale,
    }
}

fn number(peer: PeerId) -> String {
    format!("peer {}", peer.0)
}
