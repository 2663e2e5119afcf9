//! What is held of answers until their clients have taken them: so many bytes of a listener, however many do not read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    body::{Body, Bytes, to_bytes},
    response::Response,
};
use hyper::body::Body as _;

use super::gate::Peer;

/// Smaller bodies are not weighed: all connections of a listener together hold little of them, and `/healthz`, errors and
/// most pages come whatever others hold.
const SMALL: u64 = 64 << 10;

/// The bytes of one listener.
#[derive(Debug)]
pub(super) struct Held {
    limit: usize,
    bytes: Mutex<HashMap<Peer, usize>>,
}

/// A part of them; given back when dropped.
#[derive(Debug)]
struct Weight {
    held: Arc<Held>,
    peer: Peer,
    bytes: usize,
}

/// A body, and its weight for as long as there is any reference to it: hyper is done with a `Body` when it has queued the
/// last bytes, and then it is these that stay.
struct Weighed {
    body: Bytes,
    _weight: Weight,
}

impl AsRef<[u8]> for Weighed {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Held {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, bytes: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Peer, usize>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, which is held from now on; `None` where that would be too much.
    pub(super) async fn hold(self: &Arc<Self>, response: Response, peer: Peer) -> Option<Response> {
        if response.body().size_hint().upper().is_some_and(|bytes| bytes < SMALL) {
            return Some(response);
        }
        let (head, body) = response.into_parts();
        // It is all there: this neither waits nor copies.
        let body = to_bytes(body, usize::MAX).await.ok()?;
        let weight = self.weigh(peer, body.len())?;
        let body = Bytes::from_owner(Weighed { body, _weight: weight });
        Some(Response::from_parts(head, Body::from(body)))
    }

    /// The first answer may have any weight: so each can be had, if need be alone. More than one are half of all for an
    /// address, but for this machine, where it may be a proxy that asks.
    fn weigh(self: &Arc<Self>, peer: Peer, bytes: usize) -> Option<Weight> {
        let mut held = self.lock();
        let all: usize = held.values().sum();
        let own = held.get(&peer).copied().unwrap_or_default();
        let share = if peer.is_none() || own == 0 { self.limit } else { self.limit / 2 };
        if all > 0 && (all.saturating_add(bytes) > self.limit || own.saturating_add(bytes) > share) {
            return None;
        }
        held.insert(peer, own.saturating_add(bytes));
        drop(held);
        Some(Weight { held: Arc::clone(self), peer, bytes })
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        if let Some(bytes) = held.get_mut(&self.peer) {
            *bytes = bytes.saturating_sub(self.bytes);
            if *bytes == 0 {
                held.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Peer = None;

    fn peer(address: &str) -> Peer {
        Some(address.parse().unwrap())
    }

    #[test]
    fn one_answer_is_held_whatever_its_weight() {
        let held = Held::new(100);
        let one = held.weigh(peer("192.0.2.1"), 150).unwrap();
        assert!(held.weigh(HERE, 1).is_none());
        drop(one);
        assert!(held.lock().is_empty());
        // Of an address that holds none, as much as there is place for.
        let other = held.weigh(peer("192.0.2.2"), 40).unwrap();
        assert!(held.weigh(peer("192.0.2.1"), 61).is_none());
        assert!(held.weigh(peer("192.0.2.1"), 60).is_some());
        drop(other);
        assert!(held.lock().is_empty());
    }

    #[test]
    fn one_address_does_not_hold_all() {
        let held = Held::new(100);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(peer);
        let first = held.weigh(one, 40).unwrap();
        assert!(held.weigh(one, 11).is_none());
        let _second = held.weigh(one, 10).unwrap();
        let _third = held.weigh(other, 30).unwrap();
        let _here = held.weigh(HERE, 15).unwrap();
        assert!(held.weigh(HERE, 6).is_none());
        let _rest = held.weigh(HERE, 5).unwrap();
        assert!(held.weigh(other, 1).is_none());
        drop(first);
        // This machine may have more than half.
        let _more = held.weigh(HERE, 40).unwrap();
        assert_eq!(*held.lock(), HashMap::from([(one, 10), (other, 30), (HERE, 60)]));
    }
}
