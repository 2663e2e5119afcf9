//! What is known of a session, for those who show it.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{agreed::Agreed, codec::Families, settings::PeerSettings};
use crate::model::Family;

/// The state of a session (RFC 4271, section 8.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waits until it tries again.
    #[default]
    Idle,
    /// Waits for the peer to connect.
    Active,
    /// Connects.
    Connect,
    /// Has sent its OPEN, waits for the peer's.
    OpenSent,
    /// Has the peer's OPEN, waits for its KEEPALIVE.
    OpenConfirm,
    /// Takes routes.
    Established,
}

impl State {
    /// As in JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Connect => "connect",
            Self::OpenSent => "open_sent",
            Self::OpenConfirm => "open_confirm",
            Self::Established => "established",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What has happened since the start; none of these ever falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions that came to be.
    pub established: u64,
    /// Sessions lost, and tries that failed after the connection was there.
    pub failures: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// Messages of all sorts that came.
    pub messages: u64,
    /// UPDATEs that came.
    pub updates: u64,
    /// Routes announced, also those announced again.
    pub announced: u64,
    /// Routes withdrawn.
    pub withdrawn: u64,
    /// UPDATEs whose routes were withdrawn because of a malformed attribute (RFC 7606).
    pub treated_as_withdraw: u64,
    /// UPDATEs of which a malformed attribute was left out.
    pub discarded_attributes: u64,
    /// Prefixes passed over: multicast, or of families that were not agreed on.
    pub ignored: u64,
    /// NOTIFICATIONs that came.
    pub notifications_received: u64,
    /// NOTIFICATIONs that we sent.
    pub notifications_sent: u64,
}

/// An error, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// What, for people.
    pub what: String,
}

/// A session at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its state.
    pub state: State,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// How long it is established; `None` if it is not.
    pub uptime: Option<Duration>,
    /// What has happened.
    pub counts: Counts,
    /// Routes that the peer has announced in this session and not withdrawn.
    pub held: Families<u64>,
    /// Families of which the peer has sent all in this session.
    pub complete: Families<bool>,
    /// What was agreed on with the peer; `None` if not established.
    pub agreed: Option<Agreed>,
    /// Why the session was lost, or could not come to be, the last time.
    pub last_error: Option<LastError>,
}

/// What a session's task writes and everybody reads.
#[derive(Debug)]
pub struct PeerStatus {
    /// What it was told to be.
    pub settings: PeerSettings,
    slow: Mutex<Slow>,
    fast: Fast,
}

/// What changes with the state.
#[derive(Debug)]
struct Slow {
    state: State,
    since: Timestamp,
    established: Option<Instant>,
    complete: Families<bool>,
    agreed: Option<Agreed>,
    last_error: Option<LastError>,
    counts: Counts,
}

/// What changes with UPDATEs.
#[derive(Debug, Default)]
struct Fast {
    messages: AtomicU64,
    updates: AtomicU64,
    announced: AtomicU64,
    withdrawn: AtomicU64,
    treated_as_withdraw: AtomicU64,
    discarded_attributes: AtomicU64,
    ignored: AtomicU64,
    held: Families<AtomicU64>,
}

impl PeerStatus {
    pub(super) fn new(settings: PeerSettings) -> Self {
        let slow = Slow {
            state: State::Idle,
            since: Timestamp::now(),
            established: None,
            complete: Families::default(),
            agreed: None,
            last_error: None,
            counts: Counts::default(),
        };
        Self { settings, slow: Mutex::new(slow), fast: Fast::default() }
    }

    /// How it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let slow = self.slow();
        let fast = &self.fast;
        Snapshot {
            state: slow.state,
            since: slow.since,
            uptime: slow.established.map(|since| since.elapsed()),
            counts: Counts {
                messages: fast.messages.load(Relaxed),
                updates: fast.updates.load(Relaxed),
                announced: fast.announced.load(Relaxed),
                withdrawn: fast.withdrawn.load(Relaxed),
                treated_as_withdraw: fast.treated_as_withdraw.load(Relaxed),
                discarded_attributes: fast.discarded_attributes.load(Relaxed),
                ignored: fast.ignored.load(Relaxed),
                ..slow.counts
            },
            held: Families { ipv4: fast.held.ipv4.load(Relaxed), ipv6: fast.held.ipv6.load(Relaxed) },
            complete: slow.complete,
            agreed: slow.agreed.clone(),
            last_error: slow.last_error.clone(),
        }
    }

    fn slow(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_state(&self, state: State) {
        let mut slow = self.slow();
        if slow.state != state {
            slow.state = state;
            slow.since = Timestamp::now();
        }
    }

    pub(super) fn established(&self, agreed: Agreed) {
        let mut slow = self.slow();
        slow.established = Some(Instant::now());
        slow.agreed = Some(agreed);
        slow.complete = Families::default();
        slow.counts.established += 1;
        self.set_held(Families::default());
    }

    /// The session is no more.
    pub(super) fn down(&self) {
        let mut slow = self.slow();
        slow.established = None;
        slow.agreed = None;
        slow.complete = Families::default();
        self.set_held(Families::default());
    }

    pub(super) fn complete(&self, family: Family) {
        self.slow().complete[family] = true;
    }

    /// Keeps why something failed; says whether that is news.
    pub(super) fn failed(&self, what: String, count: impl FnOnce(&mut Counts)) -> bool {
        let mut slow = self.slow();
        count(&mut slow.counts);
        let news = slow.last_error.as_ref().is_none_or(|last| last.what != what);
        slow.last_error = Some(LastError { at: Timestamp::now(), what });
        news
    }

    /// A NOTIFICATION is sent.
    pub(super) fn notified(&self) {
        self.slow().counts.notifications_sent += 1;
    }

    /// Adds what UPDATEs brought.
    pub(super) fn add(&self, more: &Counts, held: Families<u64>) {
        let fast = &self.fast;
        for (counter, more) in [
            (&fast.messages, more.messages),
            (&fast.updates, more.updates),
            (&fast.announced, more.announced),
            (&fast.withdrawn, more.withdrawn),
            (&fast.treated_as_withdraw, more.treated_as_withdraw),
            (&fast.discarded_attributes, more.discarded_attributes),
            (&fast.ignored, more.ignored),
        ] {
            if more > 0 {
                counter.fetch_add(more, Relaxed);
            }
        }
        self.set_held(held);
    }

    /// UPDATEs with malformed attributes.
    pub(super) fn malformed(&self) -> u64 {
        self.fast.treated_as_withdraw.load(Relaxed) + self.fast.discarded_attributes.load(Relaxed)
    }

    fn set_held(&self, held: Families<u64>) {
        self.fast.held.ipv4.store(held.ipv4, Relaxed);
        self.fast.held.ipv6.store(held.ipv6, Relaxed);
    }
}
