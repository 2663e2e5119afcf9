//! What became of connections and requests, counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Why a connection or a request was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// All places are of connections that are being answered.
    Connections,
    /// So are all places of that address.
    Address,
    /// It made room for another one.
    Displaced,
    /// The TLS handshake failed, or there was none.
    Handshake,
    /// No whole head in time.
    Head,
    /// The answer was not taken in time.
    Stalled,
    /// No HTTP, or a head that is too large.
    Request,
    /// It has a body.
    Body,
    /// No password, or a wrong one.
    Unauthorized,
    /// Too much is being done already, or held for those who do not read.
    Busy,
}

impl Refused {
    pub(super) const ALL: [Self; 10] = [
        Self::Connections,
        Self::Address,
        Self::Displaced,
        Self::Handshake,
        Self::Head,
        Self::Stalled,
        Self::Request,
        Self::Body,
        Self::Unauthorized,
        Self::Busy,
    ];

    /// The metric's label.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address",
            Self::Displaced => "displaced",
            Self::Handshake => "handshake",
            Self::Head => "head",
            Self::Stalled => "stalled",
            Self::Request => "request",
            Self::Body => "body",
            Self::Unauthorized => "unauthorized",
            Self::Busy => "busy",
        }
    }
}

/// Of one listener.
#[derive(Debug, Default)]
pub(super) struct ListenerStats {
    open: AtomicU64,
    accepted: AtomicU64,
    refused: [AtomicU64; Refused::ALL.len()],
}

impl ListenerStats {
    pub(super) fn refuse(&self, why: Refused) {
        if let Some(count) = self.refused.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn opened(&self, open: usize) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.set_open(open);
    }

    pub(super) fn set_open(&self, open: usize) {
        self.open.store(open as u64, Ordering::Relaxed);
    }

    /// Connections that have a place.
    pub(super) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that were given one.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self, why: Refused) -> u64 {
        self.refused.get(why as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// Of the operator's listener and the public's.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub(super) operator: Arc<ListenerStats>,
    pub(super) public: Arc<ListenerStats>,
}

impl Stats {
    /// Each with the name that it has in metrics.
    pub(super) fn listeners(&self) -> [(&'static str, &ListenerStats); 2] {
        [("operator", &self.operator), ("public", &self.public)]
    }
}
