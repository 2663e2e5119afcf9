//! Questions about routes, from those who serve them to the core, which has the table.

use std::{
    net::IpAddr,
    sync::{
        PoisonError,
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
    ingest::live::{PeerId, Standing},
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

/// Asks the core.
pub(super) struct Routes {
    pub(super) core: Sender<Message>,
    pub(super) live: SharedLive,
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
        // One of which it is not known who it is yet says so with the next event.
        let peers: Vec<PeerStatus> = live.peers().filter(|peer| !peer.info.name.is_empty()).collect();
        drop(live);
        let clock = Clock { now: Instant::now(), at: SystemTime::now() };
        Peers {
            peers: peers.iter().map(|peer| answer(peer, &peers, clock)).collect(),
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

fn answer(peer: &PeerStatus, peers: &[PeerStatus], clock: Clock) -> PeerAnswer {
    let PeerStatus { info, up, since, why, routes, stale, stale_until, changed, .. } = peer;
    let router = peers.iter().find(|other| Some(other.peer) == info.router);
    PeerAnswer {
        name: info.name.clone(),
        kind: info.kind.name().to_owned(),
        router: router.map(|router| router.info.name.clone()),
        asn: Some(info.local_as).filter(|&asn| asn != 0),
        up: *up,
        since: since.and_then(|since| clock.timestamp(since)),
        why: Some(why).filter(|why| !why.is_empty()).cloned(),
        standing: standing(info.standing).to_owned(),
        ipv4_prefixes: routes.ipv4 as u64,
        ipv6_prefixes: routes.ipv6 as u64,
        stale: stale.total() as u64,
        stale_seconds: stale_until.map(|until| until.saturating_duration_since(clock.now).as_secs()),
        last_change: changed.and_then(|changed| clock.timestamp(changed)),
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
