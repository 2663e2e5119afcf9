//! All peers' tasks, and the sockets where peers connect.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tracing::{debug, info, warn};

use super::{
    codec::Notification,
    peer::{Command, Task},
    settings::{PeerSettings, Timers},
    socket,
    status::PeerStatus,
};
use crate::{
    ingest::live::{PeerId, Said},
    model::Family,
};

/// Connections of strangers that are told so at the same time; others are closed without a word.
const STRANGERS: usize = 8;
/// How long a stranger is given to hear it.
const STRANGER_TIME: Duration = Duration::from_secs(1);
/// After the system had no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// BGP cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum SpeakerError {
    /// Where a peer is to connect to.
    #[error("cannot listen for BGP on {address}: {source}{}", hint(source))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; the router's own BGP may be there: listen on another port, and let the router connect to that"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE: listen on another port, and let the router connect to that"
        }
        io::ErrorKind::AddrNotAvailable => "; no interface has this address",
        _ => "",
    }
}

/// The BGP speaker: a task for each peer, one for each address where peers connect.
#[derive(Debug)]
pub struct Speaker {
    peers: Vec<Arc<PeerStatus>>,
    timers: Timers,
    events: mpsc::Sender<Said>,
    commands: Vec<mpsc::Sender<Command>>,
    tasks: JoinSet<()>,
    listeners: JoinSet<()>,
    /// Where peers connect, and which of them, once bound.
    sockets: Option<Vec<(SocketAddr, std::net::TcpListener, Vec<usize>)>>,
    strangers: Arc<AtomicU64>,
    md5_dropped: Arc<AtomicU64>,
}

impl Speaker {
    /// A speaker that does nothing yet. The number of a peer is its place among `peers`. Events go to `events`, and
    /// wait there: a session whose events find no room reads nothing more from its peer, and goes on to send
    /// KEEPALIVEs. An event has at most some ten thousand routes, mostly 4096: a bound of 16 is enough.
    #[must_use]
    pub fn new(peers: Vec<PeerSettings>, timers: Timers, events: mpsc::Sender<Said>) -> Self {
        Self {
            peers: peers.into_iter().map(PeerStatus::new).map(Arc::new).collect(),
            timers,
            events,
            commands: Vec::new(),
            tasks: JoinSet::new(),
            listeners: JoinSet::new(),
            sockets: None,
            strangers: Arc::default(),
            md5_dropped: Arc::default(),
        }
    }

    /// The peers, by their numbers.
    #[must_use]
    pub fn peers(&self) -> &[Arc<PeerStatus>] {
        &self.peers
    }

    /// Connections from addresses that are no configured peer's.
    #[must_use]
    pub fn strangers(&self) -> u64 {
        self.strangers.load(Relaxed)
    }

    /// [`Speaker::strangers`], as it goes on.
    #[must_use]
    pub fn strangers_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.strangers)
    }

    /// TCP segments that the kernel dropped for their MD5 signature, as it goes on: since [`Speaker::start`], of all programs of
    /// this network namespace.
    #[must_use]
    pub fn md5_dropped_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.md5_dropped)
    }

    /// Opens the sockets where peers connect, which may need a privilege. They wait there until [`Speaker::start`].
    ///
    /// # Errors
    /// [`SpeakerError`]: nothing is open.
    pub fn bind(&mut self) -> Result<(), SpeakerError> {
        let mut places: BTreeMap<SocketAddr, Vec<usize>> = BTreeMap::new();
        for (index, peer) in self.peers.iter().enumerate() {
            if let Some(address) = peer.settings.listen {
                places.entry(address).or_default().push(index);
            }
        }
        let mut sockets = Vec::with_capacity(places.len());
        for (address, indices) in places {
            let settings: Vec<_> = indices.iter().filter_map(|&index| self.peers.get(index)).collect();
            let settings: Vec<&PeerSettings> = settings.iter().map(|peer| &peer.settings).collect();
            let socket = socket::listen(address, &settings)
                .map_err(|source| SpeakerError::Listen { address, source })?;
            sockets.push((address, socket, indices));
        }
        self.sockets = Some(sockets);
        Ok(())
    }

    /// Begins; in a tokio runtime. What was not bound is now.
    ///
    /// # Errors
    /// [`SpeakerError`]: nothing was begun.
    pub fn start(&mut self) -> Result<(), SpeakerError> {
        if self.sockets.is_none() {
            self.bind()?;
        }
        let mut sockets = Vec::new();
        for (address, socket, indices) in self.sockets.take().unwrap_or_default() {
            let socket =
                TcpListener::from_std(socket).map_err(|source| SpeakerError::Listen { address, source })?;
            sockets.push((address, socket, indices));
        }
        for (peer, id) in self.peers.iter().zip(0u16..) {
            let (say, commands) = mpsc::channel(4);
            let task = Task::new(PeerId(id), Arc::clone(peer), self.timers, self.events.clone(), commands);
            self.tasks.spawn(task.run());
            self.commands.push(say);
        }
        if self.peers.iter().any(|peer| peer.settings.password.is_some()) || !sockets.is_empty() {
            let dropped = Arc::clone(&self.md5_dropped);
            self.listeners.spawn(async move { super::md5::watch(&dropped).await });
        }
        for (address, socket, indices) in sockets {
            info!("listening for BGP on {address}");
            let peers: BTreeMap<IpAddr, mpsc::Sender<Command>> = indices
                .into_iter()
                .filter_map(|index| {
                    Some((self.peers.get(index)?.settings.address, self.commands.get(index)?.clone()))
                })
                .collect();
            self.listeners.spawn(listen(socket, peers, Arc::clone(&self.strangers)));
        }
        Ok(())
    }

    /// Asks a peer for all of a family again.
    pub async fn refresh(&self, peer: PeerId, family: Family) {
        if let Some(commands) = self.commands.get(usize::from(peer.0)) {
            // A task that has ended has no session.
            let _ = commands.send(Command::Refresh(family)).await;
        }
    }

    /// Ends all sessions, and says so to the peers; takes at most [`Timers::close`].
    pub async fn stop(mut self) {
        self.listeners.shutdown().await;
        for commands in &self.commands {
            let _ = commands.send(Command::Stop).await;
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn listen(
    socket: TcpListener,
    peers: BTreeMap<IpAddr, mpsc::Sender<Command>>,
    strangers: Arc<AtomicU64>,
) {
    let telling = Arc::new(Semaphore::new(STRANGERS));
    loop {
        let (stream, from) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Either that one connection is gone again, or there is no room for one just now.
                debug!("a BGP connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match peers.get(&from.ip()) {
            // A task that is so far behind that there is no room has other connections of its peer.
            Some(commands) => drop(commands.try_send(Command::Accepted(stream))),
            None => {
                let before = strangers.fetch_add(1, Relaxed);
                // 1, 2, 4, 8 …: a scanner is no reason to fill the log.
                if (before + 1).is_power_of_two() {
                    warn!("{}: a BGP connection from no configured peer; {} so far", from.ip(), before + 1);
                }
                if let Ok(permit) = Arc::clone(&telling).try_acquire_owned() {
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(STRANGER_TIME, reject(stream)).await;
                        drop(permit);
                    });
                }
            }
        }
    }
}

/// RFC 4486, section 4: connection rejected.
async fn reject(stream: TcpStream) -> io::Result<()> {
    let mut bytes = Vec::new();
    Notification::cease(5).append(&mut bytes);
    super::connection::linger(stream, &bytes).await
}
