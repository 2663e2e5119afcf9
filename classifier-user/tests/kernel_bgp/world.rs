//! A router's namespace, our speaker in this one, and what it says kept as a table would.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use classifier_user::{
    ingest::{
        bgp::{PeerSettings, PeerStatus, Snapshot, Speaker, State, Timers},
        live::{Attributes, Event, Lost, PathId, PeerId, Said},
    },
    model::{Asn, Family, Prefix},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
};

use crate::lab::{Peer, address, run, veth};
pub(crate) use crate::routers::{Bird, Frr, LONG};

/// Our AS, which is the router's where it is not said otherwise.
pub(crate) const AS: Asn = 64_500;
pub(crate) const OURS: &str = "10.9.1.1";
pub(crate) const ROUTER: &str = "10.9.1.2";
pub(crate) const OURS6: &str = "2001:db8:9::1";
pub(crate) const ROUTER6: &str = "2001:db8:9::2";

/// A router's namespace: `r0` here, `p0` there, with addresses of both families.
pub(crate) fn router() -> Peer {
    let peer = Peer::new();
    veth(&peer, "r0", "p0", 1500);
    address(&peer, "r0", "p0", 1);
    run("ip link set r0 arp on");
    let ipv6 = |interface: &str, ours: &str| {
        fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "0").expect("IPv6");
        run(&format!("ip link set {interface} arp on"));
        run(&format!("ip -6 addr add {ours}/64 dev {interface} nodad"));
    };
    ipv6("r0", OURS6);
    peer.run(move || ipv6("p0", ROUTER6));
    peer
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

/// An iBGP session that we open to the router.
pub(crate) fn active() -> PeerSettings {
    PeerSettings::new(ip(ROUTER), AS)
}

/// An iBGP session that the router opens.
pub(crate) fn passive() -> PeerSettings {
    PeerSettings { passive: true, listen: Some("0.0.0.0:179".parse().expect("an address")), ..active() }
}

/// Short ones: tests wait for what they are about.
pub(crate) fn timers() -> Timers {
    Timers {
        connect: Duration::from_secs(1),
        retry_first: Duration::from_millis(200),
        retry_max: Duration::from_millis(800),
        ..Timers::default()
    }
}

/// Our speaker, and what it has said.
pub(crate) struct Ours {
    runtime: Runtime,
    speaker: Option<Speaker>,
    events: mpsc::Receiver<Said>,
    peers: Vec<Arc<PeerStatus>>,
    /// What each peer has announced.
    pub(crate) routes: BTreeMap<(PeerId, Prefix, PathId), Arc<Attributes>>,
    /// Everything else, in order.
    pub(crate) log: VecDeque<(PeerId, Event)>,
    /// Announcements and withdrawals.
    pub(crate) changes: u64,
    /// How long anything may take.
    pub(crate) patience: Duration,
}

impl Ours {
    pub(crate) fn start(peers: Vec<PeerSettings>) -> Self {
        Self::with_timers(peers, timers())
    }

    pub(crate) fn with_timers(peers: Vec<PeerSettings>, timers: Timers) -> Self {
        // Of one thread: it is in this namespace.
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (say, events) = mpsc::channel(16);
        let mut speaker = Speaker::new(peers, timers, say);
        runtime.block_on(async { speaker.start() }).unwrap_or_else(|error| panic!("{error}"));
        let peers = speaker.peers().to_vec();
        Self {
            runtime,
            speaker: Some(speaker),
            events,
            peers,
            routes: BTreeMap::new(),
            log: VecDeque::new(),
            changes: 0,
            patience: LONG,
        }
    }

    /// Takes what is said until `done` finds what it looks for.
    pub(crate) fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(found) = done(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "{what} did not come\n{self}");
            let wait = Duration::from_millis(20);
            let said = self.runtime.block_on(async { tokio::time::timeout(wait, self.events.recv()).await });
            if let Ok(Some(said)) = said {
                self.take(said);
            }
        }
    }

    fn take(&mut self, Said { peer, event }: Said) {
        let Event::Routes(routes) = event else {
            self.log.push_back((peer, event));
            return;
        };
        for route in routes {
            self.changes += 1;
            let key = (peer, route.prefix, route.path_id);
            match route.attributes {
                Some(attributes) => self.routes.insert(key, attributes),
                None => self.routes.remove(&key),
            };
        }
    }

    /// Waits for the next event that is not about routes.
    pub(crate) fn event(&mut self, what: &str) -> Event {
        self.until(what, |ours| ours.log.pop_front()).1
    }

    pub(crate) fn up(&mut self) {
        assert_eq!(self.event("the session"), Event::Up);
    }

    pub(crate) fn down(&mut self) -> Lost {
        match self.event("the end of the session") {
            Event::Down(lost) => lost,
            other => panic!("{other:?}\n{self}"),
        }
    }

    /// Waits for the End-of-RIB of these families, in whatever order.
    pub(crate) fn complete(&mut self, families: &[Family]) {
        let mut awaited = families.to_vec();
        while !awaited.is_empty() {
            match self.event("End-of-RIB") {
                Event::EndOfRib(family) => awaited.retain(|&other| other != family),
                other => panic!("{other:?}\n{self}"),
            }
        }
    }

    /// The path of the only route for a prefix; `None` if there is none.
    pub(crate) fn path(&self, text: &str) -> Option<Vec<Asn>> {
        let mut routes = self.routes.iter().filter(|((_, given, _), _)| *given == prefix(text));
        let (_, attributes) = routes.next()?;
        assert!(routes.next().is_none(), "several routes for {text}\n{self}");
        Some(attributes.path.to_vec())
    }

    /// Waits until a prefix has this path.
    pub(crate) fn until_path(&mut self, text: &str, path: Option<&[Asn]>) {
        self.until(&format!("{text} with the path {path:?}"), |ours| {
            (ours.path(text).as_deref() == path).then_some(())
        });
    }

    pub(crate) fn status(&self, peer: usize) -> Snapshot {
        self.peers[peer].snapshot()
    }

    pub(crate) fn last_error(&self, peer: usize) -> String {
        self.status(peer).last_error.map(|error| error.what).unwrap_or_default()
    }

    /// Waits until the session has failed with this in its error.
    pub(crate) fn until_error(&mut self, text: &str) {
        self.until(text, |ours| ours.last_error(0).contains(text).then_some(()));
        assert_eq!(self.status(0).counts.established, 0, "{self}");
    }

    pub(crate) fn strangers(&self) -> u64 {
        self.speaker.as_ref().expect("it runs").strangers()
    }

    pub(crate) fn refresh(&mut self, family: Family) {
        let speaker = self.speaker.as_ref().expect("it runs");
        self.runtime.block_on(speaker.refresh(PeerId(0), family));
    }

    /// Lets the speaker do what it does, and looks every now and then whether `done`.
    pub(crate) fn while_running(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        self.until(what, |_| done().then_some(()));
    }

    /// Lets the speaker run, but takes nothing that it says, until `done` has something.
    pub(crate) fn starve<T>(&mut self, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(found) = done() {
                return found;
            }
            assert!(Instant::now() < deadline, "{what} did not come\n{self}");
            self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
        }
    }

    /// Ends all sessions.
    pub(crate) fn stop(&mut self) {
        let speaker = self.speaker.take().expect("it runs");
        self.runtime.block_on(speaker.stop());
        assert!(self.peers.iter().all(|peer| peer.snapshot().state == State::Idle));
    }
}

impl std::fmt::Display for Ours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for peer in &self.peers {
            writeln!(f, "{:?}", peer.snapshot())?;
        }
        let routes: Vec<_> = self.routes.iter().take(20).collect();
        writeln!(f, "{} routes: {routes:?}\nnot looked at: {:?}", self.routes.len(), self.log)
    }
}

/// `protocol bgp` with what tests need: quick, and IPv6 routes with a next hop of their own.
pub(crate) fn bird_session(head: &str, channel: &str) -> String {
    format!(
        "protocol bgp collector {{
           {head}
           connect delay time 1; connect retry time 1; error wait time 1, 1;
           ipv4 {{ import none; export all; {channel} }};
           ipv6 {{ import none; export all; next hop address 2001:db8:9::2; {channel} }};
         }}"
    )
}

/// The session that the tests mean where they say nothing else.
pub(crate) fn bird_plain() -> String {
    bird_session(&format!("local {ROUTER} as {AS}; neighbor {OURS} as {AS};"), "")
}
