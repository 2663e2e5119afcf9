//! Who is served: a place for each connection, how long it may keep others waiting, and who goes when there are too many.
//!
//! A connection is in one of three phases: its client has to send a request's *head* (and before that do the TLS
//! handshake), we *answer*, or the client has what was written so far and is *waited for*, to take more of the answer or
//! to ask again. Only the first and the last are the client's, so only they have an end, and only they make room: where
//! all places are taken, the connection that has kept us waiting the longest goes. Whoever sends a request at once is
//! served, however many others hold connections open and say little.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::stats::{ListenerStats, Refused};

/// What a listener allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections at a time.
    pub(super) connections: usize,
    /// Of these from one address, or one /64 of IPv6. This machine may have all: what asks from here for others is a proxy.
    pub(super) per_address: usize,
    /// Bytes of answers that are not taken yet ([`super::held`]).
    pub(super) held: usize,
    /// For the TLS handshake and the first head, and for each later head from its first byte on.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
    /// Without taking a byte of an answer.
    pub(super) stall: Duration,
    /// For taking a whole answer.
    pub(super) answer: Duration,
    /// A connection that is older ends with its next answer.
    pub(super) lifetime: Option<Duration>,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client's, to send a head.
    Head,
    /// Ours.
    Answering,
    /// The client's, to take what is written, or to ask again.
    Waited,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When it began; in [`Phase::Waited`], when the client last took something.
    since: Instant,
    /// When the last answer was ready.
    answered: Instant,
    /// Whether the client takes nothing at the moment.
    blocked: bool,
}

/// A connection, as far as its place goes.
#[derive(Debug)]
pub(super) struct Connection {
    peer: Peer,
    opened: Instant,
    state: Mutex<State>,
    end: Notify,
}

/// Why a client's time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    Head,
    Stalled,
    /// Nobody is to blame.
    Idle,
}

impl Connection {
    /// Whom it is counted to.
    pub(super) const fn peer(&self) -> Peer {
        self.peer
    }

    fn new(peer: Peer, now: Instant) -> Self {
        let state = State { phase: Phase::Head, since: now, answered: now, blocked: false };
        Self { peer, opened: now, state: Mutex::new(state), end: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came.
    pub(super) fn read(&self, now: Instant) {
        let mut state = self.state();
        if state.phase == Phase::Waited {
            (state.phase, state.since) = (Phase::Head, now);
        }
    }

    /// A whole head came.
    pub(super) fn asked(&self) {
        self.state().phase = Phase::Answering;
    }

    /// Its answer is ready to be sent.
    pub(super) fn answered(&self, now: Instant) {
        *self.state() = State { phase: Phase::Waited, since: now, answered: now, blocked: false };
    }

    /// The client takes what is written.
    pub(super) fn wrote(&self, now: Instant) {
        let mut state = self.state();
        state.blocked = false;
        if state.phase == Phase::Waited {
            state.since = now;
        }
    }

    /// The client takes nothing.
    pub(super) fn blocked(&self) {
        self.state().blocked = true;
    }

    /// Whether it is to end with the next answer.
    pub(super) fn is_old(&self, limits: &Limits, now: Instant) -> bool {
        limits.lifetime.is_some_and(|lifetime| now.saturating_duration_since(self.opened) >= lifetime)
    }

    /// Returns when the connection has lost its place.
    pub(super) async fn ended(&self) {
        self.end.notified().await;
    }

    fn late(&self, limits: &Limits, now: Instant) -> Option<Late> {
        let state = self.state();
        let over = |since: Instant, limit: Duration| now.saturating_duration_since(since) >= limit;
        match state.phase {
            Phase::Answering => None,
            Phase::Head => over(state.since, limits.head).then_some(Late::Head),
            Phase::Waited if state.blocked => (over(state.since, limits.stall)
                || over(state.answered, limits.answer))
            .then_some(Late::Stalled),
            Phase::Waited => over(state.since, limits.idle).then_some(Late::Idle),
        }
    }

    /// Since when its client keeps us waiting.
    fn waiting_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.phase != Phase::Answering).then_some(state.since)
    }
}

/// Whom a connection is counted to: `None` for this machine.
pub(super) type Peer = Option<IpAddr>;

fn peer(address: IpAddr) -> Peer {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(address) => {
            // Whoever has one address of a /64 has all.
            Some(Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into())
        }
        address => Some(address),
    }
}

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) limits: Limits,
    stats: Arc<ListenerStats>,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    taken: HashMap<u64, Arc<Connection>>,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    number: u64,
    pub(super) connection: Arc<Connection>,
}

impl Gate {
    pub(super) fn new(limits: Limits, stats: Arc<ListenerStats>) -> Arc<Self> {
        Arc::new(Self { limits, stats, places: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from this address, if need be that of another one; `None` where all are being answered.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Place> {
        let peer = peer(address);
        let mut places = self.lock();
        let same = |connection: &Connection| peer.is_some() && connection.peer == peer;
        let from_there = places.taken.values().filter(|connection| same(connection)).count();
        let refused = if from_there >= self.limits.per_address {
            (!self.make_room(&mut places, same)).then_some(Refused::Address)
        } else if places.taken.len() >= self.limits.connections {
            (!self.make_room(&mut places, |_| true)).then_some(Refused::Connections)
        } else {
            None
        };
        if let Some(refused) = refused {
            self.stats.refuse(refused);
            return None;
        }
        let connection = Arc::new(Connection::new(peer, now));
        let number = places.next;
        places.next += 1;
        places.taken.insert(number, Arc::clone(&connection));
        self.stats.opened(places.taken.len());
        drop(places);
        Some(Place { gate: Arc::clone(self), number, connection })
    }

    /// Ends the connection among these that has kept us waiting the longest.
    fn make_room(&self, places: &mut Places, among: impl Fn(&Connection) -> bool) -> bool {
        let waiting = places.taken.iter().filter(|(_, connection)| among(connection));
        let waiting = waiting.filter_map(|(number, connection)| Some((connection.waiting_since()?, *number)));
        let Some((_, number)) = waiting.min() else { return false };
        self.end(places, number);
        self.stats.refuse(Refused::Displaced);
        true
    }

    /// Ends those whose time is over.
    pub(super) fn sweep(&self, now: Instant) {
        let mut places = self.lock();
        let late: Vec<_> = places
            .taken
            .iter()
            .filter_map(|(number, connection)| Some((*number, connection.late(&self.limits, now)?)))
            .collect();
        for (number, why) in late {
            self.end(&mut places, number);
            match why {
                Late::Head => self.stats.refuse(Refused::Head),
                Late::Stalled => self.stats.refuse(Refused::Stalled),
                Late::Idle => {}
            }
        }
    }

    fn end(&self, places: &mut Places, number: u64) {
        if let Some(connection) = places.taken.remove(&number) {
            connection.end.notify_one();
            self.stats.set_open(places.taken.len());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.gate.lock();
        self.gate.end(&mut places, self.number);
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
