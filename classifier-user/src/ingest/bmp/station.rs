//! Where routers connect, and a task for each of them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tracing::{info, warn};

use super::{
    codec::{self, Malformed, Message},
    router::{End, PeerIds, Router, RouterStatus},
    settings::RouterSettings,
};
use crate::ingest::{
    bgp::LastError,
    live::{PeerId, Said},
};

/// Bytes that are read at a time.
const READ: usize = 1 << 16;
/// A connection on which no message came after this is closed.
const FIRST_MESSAGE: Duration = Duration::from_secs(60);
/// A router that says nothing is asked whether it is still there: after this long, ...
const KEEPALIVE: Duration = Duration::from_secs(60);
/// ... and then at this interval, a few times.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMES: u32 = 3;
/// After the system had no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A router that reported more than a limit allows is not listened to for so long: it would only do so again.
const PENALTY: Duration = Duration::from_secs(120);

/// Routers cannot connect.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for BMP on {address}: {source}{}", hint(source))]
pub struct StationError {
    /// Where.
    address: SocketAddr,
    /// Why.
    source: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another station or agent is there: choose another port with `listen`",
        io::ErrorKind::AddrNotAvailable => "; no interface has this address",
        _ => "",
    }
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the router closed it")]
    Closed,
    #[error("the router closed it within a message")]
    Cut,
    #[error("nothing came for {} s", FIRST_MESSAGE.as_secs())]
    Silent,
    #[error("its first message is no Initiation")]
    NoInitiation,
    #[error("it connected once more")]
    Newer,
    #[error("the agent ends")]
    Ending,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    End(#[from] End),
    #[error(transparent)]
    Socket(#[from] io::Error),
}

/// A router as it is now.
#[derive(Clone, Debug)]
pub struct Reported {
    /// As configured.
    pub settings: RouterSettings,
    /// Whether it is connected.
    pub connected: bool,
    /// Since when it is as it is.
    pub since: Timestamp,
    /// Connections that were lost.
    pub losses: u64,
    /// Why the last one was.
    pub last_error: Option<LastError>,
    /// What it says.
    pub status: RouterStatus,
}

/// A router's task, as others see it.
#[derive(Debug)]
pub struct Reporter {
    settings: RouterSettings,
    router: Mutex<Router>,
    connection: Mutex<Connection>,
}

#[derive(Debug)]
struct Connection {
    up: bool,
    since: Timestamp,
    losses: u64,
    last_error: Option<LastError>,
}

impl Reporter {
    fn new(settings: RouterSettings, router: Router) -> Self {
        let since = Timestamp::now();
        let connection = Connection { up: false, since, losses: 0, last_error: None };
        Self { settings, router: Mutex::new(router), connection: Mutex::new(connection) }
    }

    /// How it is now.
    #[must_use]
    pub fn snapshot(&self) -> Reported {
        let status = lock(&self.router).status().clone();
        let connection = lock(&self.connection);
        Reported {
            settings: self.settings.clone(),
            connected: connection.up,
            since: connection.since,
            losses: connection.losses,
            last_error: connection.last_error.clone(),
            status,
        }
    }

    fn connected(&self, said: &mut Vec<Said>) {
        lock(&self.router).connected(said);
        let mut connection = lock(&self.connection);
        (connection.up, connection.since) = (true, Timestamp::now());
    }

    fn lost(&self, why: &Lost, said: &mut Vec<Said>) {
        let what = why.to_string();
        lock(&self.router).lost(&what, said);
        let mut connection = lock(&self.connection);
        (connection.up, connection.since) = (false, Timestamp::now());
        connection.losses += 1;
        connection.last_error = Some(LastError { at: Timestamp::now(), what });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left half done is one message of one router.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A BMP station: a task for each router, one for each address where routers connect.
#[derive(Debug)]
pub struct Station {
    routers: Vec<Arc<Reporter>>,
    events: mpsc::Sender<Said>,
    tasks: JoinSet<()>,
    /// Where routers connect, once bound.
    listeners: Option<BTreeMap<SocketAddr, std::net::TcpListener>>,
    strangers: Arc<AtomicU64>,
}

impl Station {
    /// A station that does nothing yet. Routers have the numbers from `first` on, then the peers that they report.
    /// Events go to `events`, and wait there: a router whose events find no room is read no further.
    #[must_use]
    pub fn new(routers: Vec<RouterSettings>, first: u16, events: mpsc::Sender<Said>) -> Self {
        let ids =
            Arc::new(PeerIds::new(first.saturating_add(u16::try_from(routers.len()).unwrap_or(u16::MAX))));
        let reporter = |(settings, id): (RouterSettings, u16)| {
            let router = Router::new(settings.clone(), PeerId(id), Arc::clone(&ids));
            Arc::new(Reporter::new(settings, router))
        };
        Self {
            routers: routers.into_iter().zip(first..).map(reporter).collect(),
            events,
            tasks: JoinSet::new(),
            listeners: None,
            strangers: Arc::default(),
        }
    }

    /// Opens the sockets where routers connect, which may need a privilege. They wait there until [`Station::start`].
    ///
    /// # Errors
    /// [`StationError`]: nothing is open.
    pub fn bind(&mut self) -> Result<(), StationError> {
        let mut bound = BTreeMap::new();
        for address in self.routers.iter().map(|router| router.settings.listen) {
            if let Entry::Vacant(place) = bound.entry(address) {
                place.insert(listen(address).map_err(|source| StationError { address, source })?);
            }
        }
        self.listeners = Some(bound);
        Ok(())
    }

    /// Begins; in a tokio runtime. It ends when this is dropped. What was not bound is now.
    ///
    /// # Errors
    /// [`StationError`]: nothing was begun.
    pub fn start(&mut self) -> Result<(), StationError> {
        if self.listeners.is_none() {
            self.bind()?;
        }
        let mut bound = self.listeners.take().unwrap_or_default();
        let mut places: BTreeMap<SocketAddr, Vec<&Arc<Reporter>>> = BTreeMap::new();
        for router in &self.routers {
            places.entry(router.settings.listen).or_default().push(router);
        }
        let mut listeners = Vec::with_capacity(places.len());
        for (address, routers) in places {
            let Some(listener) = bound.remove(&address) else { continue };
            let listener =
                TcpListener::from_std(listener).map_err(|source| StationError { address, source })?;
            info!("listening for BMP on {address}");
            listeners.push((listener, routers));
        }
        for (listener, routers) in listeners {
            let mut doors = BTreeMap::new();
            for router in routers {
                let (door, streams) = mpsc::channel(1);
                doors.insert(router.settings.address, door);
                self.tasks.spawn(serve(Arc::clone(router), streams, self.events.clone()));
            }
            self.tasks.spawn(accept(listener, doors, Arc::clone(&self.strangers)));
        }
        Ok(())
    }

    /// The routers, in their order.
    #[must_use]
    pub fn routers(&self) -> &[Arc<Reporter>] {
        &self.routers
    }

    /// Connections from addresses that are no configured router's: a counter that goes on.
    #[must_use]
    pub fn strangers_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.strangers)
    }
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(16)?;
    Ok(socket.into())
}

async fn accept(
    listener: TcpListener,
    doors: BTreeMap<IpAddr, mpsc::Sender<TcpStream>>,
    strangers: Arc<AtomicU64>,
) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!("BMP: a connection could not be taken: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let from = from.ip();
        match doors.get(&from) {
            // One that waits already is as good.
            Some(door) => drop(door.try_send(stream)),
            None => {
                let count = strangers.fetch_add(1, Ordering::Relaxed) + 1;
                // 1, 2, 4, 8 …: a scanner is no reason to fill the log.
                if count.is_power_of_two() {
                    warn!("BMP: {from} is no configured router: closed ({count} such connections so far)");
                }
            }
        }
    }
}

/// One connection of a router after the other; a newer one takes the place of an older one.
async fn serve(router: Arc<Reporter>, mut streams: mpsc::Receiver<TcpStream>, events: mpsc::Sender<Said>) {
    let name = &router.settings.name;
    let mut next = streams.recv().await;
    while let Some(stream) = next.take() {
        info!("BMP {name}: connected");
        let mut said = Vec::new();
        router.connected(&mut said);
        let mut newer = None;
        let why = tokio::select! {
            why = read(&router, stream, &events, said) => why,
            stream = streams.recv() => {
                newer = stream;
                Lost::Newer
            }
        };
        let mut said = Vec::new();
        router.lost(&why, &mut said);
        warn!("BMP {name}: the connection is lost: {why}");
        if !give(&events, said).await {
            return;
        }
        if matches!(why, Lost::End(End::Prefixes(_) | End::Memory(_))) {
            refuse(&mut streams).await;
        }
        next = match newer {
            Some(stream) => Some(stream),
            None => streams.recv().await,
        };
    }
}

/// Closes what comes, for a while.
async fn refuse(streams: &mut mpsc::Receiver<TcpStream>) {
    let refusing = async { while streams.recv().await.is_some() {} };
    let _ = tokio::time::timeout(PENALTY, refusing).await;
}

async fn give(events: &mpsc::Sender<Said>, said: Vec<Said>) -> bool {
    for said in said {
        if events.send(said).await.is_err() {
            return false;
        }
    }
    true
}

/// Reads a connection to its end, once `said` is said.
async fn read(router: &Reporter, stream: TcpStream, events: &mpsc::Sender<Said>, said: Vec<Said>) -> Lost {
    let ended = async {
        if !give(events, said).await {
            return Err(Lost::Ending);
        }
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_TIMES);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        let mut chunk = vec![0; READ];
        let mut bytes = Vec::new();
        let mut begun = false;
        loop {
            let some = some(&stream, &mut chunk);
            let count = if begun {
                some.await?
            } else {
                tokio::time::timeout(FIRST_MESSAGE, some).await.map_err(|_| Lost::Silent)??
            };
            bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
            if count == 0 {
                return Err(if bytes.is_empty() { Lost::Closed } else { Lost::Cut });
            }
            let mut said = Vec::new();
            let taken = take(router, &mut bytes, &mut begun, &mut said);
            if !give(events, said).await {
                return Err(Lost::Ending);
            }
            taken?;
        }
    };
    let ended: Result<std::convert::Infallible, Lost> = ended.await;
    match ended {
        Err(why) => why,
    }
}

/// Waits for bytes; how many came. 0 is the end.
async fn some(stream: &TcpStream, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

/// Takes all whole messages out of what was read.
fn take(
    reporter: &Reporter,
    bytes: &mut Vec<u8>,
    begun: &mut bool,
    said: &mut Vec<Said>,
) -> Result<(), Lost> {
    let mut router = lock(&reporter.router);
    let mut at = 0;
    let mut taken = || {
        while let Some((message, len)) =
            codec::message(bytes.get(at..).unwrap_or_default(), reporter.settings.max_message)?
        {
            // RFC 7854, section 4.3: an Initiation is the first message.
            if !*begun && !matches!(message, Message::Initiation(_)) {
                return Err(Lost::NoInitiation);
            }
            *begun = true;
            at += len;
            router.take(message, said)?;
        }
        Ok(())
    };
    let taken = taken();
    router.flush(said);
    bytes.drain(..at);
    taken
}

#[cfg(test)]
#[path = "station_tests.rs"]
mod tests;
