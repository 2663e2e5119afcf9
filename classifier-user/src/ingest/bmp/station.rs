//! Where routers connect, and a task for each of them.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    future, io,
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
    task::{AbortHandle, JoinSet},
};
use tracing::{debug, info, warn};

use super::{
    codec::{self, Malformed, Message},
    router::{End, PeerIds, Router},
    settings::RouterSettings,
    status::RouterStatus,
};
use crate::ingest::{
    bgp::LastError,
    live::{PeerId, Said},
};

/// Bytes that are read at a time.
const READ: usize = 1 << 16;
/// A connection on which no Initiation came after this is closed.
const FIRST_MESSAGE: Duration = Duration::from_secs(60);
/// A router that says nothing is asked whether it is still there: after this long, ...
const KEEPALIVE: Duration = Duration::from_secs(60);
/// ... and then at this interval, a few times.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMES: u32 = 3;
/// Connections of one router that may have no Initiation yet; with another one the oldest is closed.
const BEGINNING: usize = 4;
/// After the system had no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A router that reported more than a limit allows is not listened to for so long: it would only do so again.
const PENALTY: Duration = Duration::from_secs(120);

/// Routers cannot connect.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for BMP on {address}: {source}{}", hint(source))]
pub struct StationError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
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
    #[error("no Initiation came for {} s", FIRST_MESSAGE.as_secs())]
    Silent,
    #[error("its first message is no Initiation")]
    NoInitiation,
    #[error("it connected once more")]
    Newer,
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
    /// Connections from its address that ended before an Initiation, or came while it is not listened to.
    pub refused: u64,
    /// Why the last one of either was no use.
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
    refused: u64,
    last_error: Option<LastError>,
}

impl Reporter {
    fn new(settings: RouterSettings, router: Router) -> Self {
        let since = Timestamp::now();
        let connection = Connection { up: false, since, losses: 0, refused: 0, last_error: None };
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
            refused: connection.refused,
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

    /// A connection was no use from the beginning: loud the first time, and when the reason is another one.
    fn refused(&self, why: &Lost) {
        let (name, what) = (&self.settings.name, why.to_string());
        let mut connection = lock(&self.connection);
        connection.refused += 1;
        let count = connection.refused;
        if connection.last_error.as_ref().is_none_or(|last| last.what != what) {
            warn!("BMP {name}: a connection is of no use: {what} ({count} such connections so far)");
        } else {
            debug!("BMP {name}: a connection is of no use: {what}");
        }
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
                let (door, streams) = mpsc::channel(BEGINNING);
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
            // Where there is no room, enough others wait already.
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

/// A router's connections: the one that is read, and those that have not said yet that they are BMP.
struct Line {
    router: Arc<Reporter>,
    reading: Option<Reading>,
    beginning: JoinSet<Result<Reading, Lost>>,
    /// Those of `beginning`, the oldest first.
    order: VecDeque<AbortHandle>,
    /// It has begun, and is read once nothing is pending.
    begun: Option<Reading>,
    /// What waits for room in the channel. While there is any, nothing is read.
    pending: VecDeque<Said>,
    /// It is not listened to until then.
    refusing: Option<tokio::time::Instant>,
}

/// A connection that has begun.
struct Reading {
    stream: TcpStream,
    /// What is read, and not yet taken.
    bytes: Vec<u8>,
    chunk: Box<[u8]>,
}

/// One connection of a router after the other; a newer one takes the place of an older one as soon as it has begun with an
/// Initiation.
async fn serve(router: Arc<Reporter>, mut streams: mpsc::Receiver<TcpStream>, events: mpsc::Sender<Said>) {
    let mut line = Line {
        router,
        reading: None,
        beginning: JoinSet::new(),
        order: VecDeque::new(),
        begun: None,
        pending: VecDeque::new(),
        refusing: None,
    };
    loop {
        // Each of these can be dropped at any point: what it has not given, it still has.
        let quiet = line.pending.is_empty();
        if quiet && let Some(reading) = line.begun.take() {
            line.begin(reading);
            continue;
        }
        tokio::select! {
            room = events.reserve(), if !quiet => {
                let Ok(room) = room else { return };
                if let Some(said) = line.pending.pop_front() {
                    room.send(said);
                }
            }
            read = more(&mut line.reading), if quiet => line.read(read),
            Some(begun) = line.beginning.join_next() => match begun {
                Ok(Ok(reading)) => line.begun = Some(reading),
                Ok(Err(why)) => line.router.refused(&why),
                // It had to make room.
                Err(_) => {}
            },
            stream = streams.recv() => match stream {
                Some(stream) => line.accepted(stream),
                None => return,
            },
        }
    }
}

impl Line {
    fn accepted(&mut self, stream: TcpStream) {
        if self.refusing.is_some_and(|until| tokio::time::Instant::now() < until) {
            lock(&self.router.connection).refused += 1;
            return;
        }
        self.order.retain(|task| !task.is_finished());
        if self.order.len() >= BEGINNING
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        let max_message = self.router.settings.max_message;
        let begun = self.beginning.spawn(async move {
            let reading = tokio::time::timeout(FIRST_MESSAGE, begun(stream, max_message));
            reading.await.unwrap_or(Err(Lost::Silent))
        });
        self.order.push_back(begun);
    }

    /// A connection has begun: it is the one that is read from now on.
    fn begin(&mut self, reading: Reading) {
        if self.reading.is_some() {
            self.lost(&Lost::Newer);
        }
        info!("BMP {}: connected", self.router.settings.name);
        let mut said = Vec::new();
        self.router.connected(&mut said);
        self.pending.extend(said);
        self.reading = Some(reading);
        self.take();
    }

    /// So many bytes came.
    fn read(&mut self, read: io::Result<usize>) {
        match read {
            Ok(0) => {
                let between = self.reading.as_ref().is_some_and(|reading| reading.bytes.is_empty());
                self.lost(&if between { Lost::Closed } else { Lost::Cut });
            }
            Ok(_) => self.take(),
            Err(error) => self.lost(&Lost::Socket(error)),
        }
    }

    /// Takes all whole messages out of what was read.
    fn take(&mut self) {
        let Some(reading) = &mut self.reading else { return };
        let mut said = Vec::new();
        let taken = take(&self.router, &mut reading.bytes, &mut said);
        self.pending.extend(said);
        if let Err(why) = taken {
            self.lost(&why);
        }
    }

    fn lost(&mut self, why: &Lost) {
        self.reading = None;
        let mut said = Vec::new();
        self.router.lost(why, &mut said);
        self.pending.extend(said);
        warn!("BMP {}: the connection is lost: {why}", self.router.settings.name);
        if matches!(why, Lost::End(End::Prefixes(_) | End::Memory(_))) {
            self.refusing = Some(tokio::time::Instant::now() + PENALTY);
            self.beginning.abort_all();
            self.begun = None;
        }
    }
}

/// Reads a connection until its first message is there, which is an Initiation (RFC 7854, section 4.3).
async fn begun(stream: TcpStream, max_message: u32) -> Result<Reading, Lost> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_TIMES);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    let mut reading = Reading { stream, bytes: Vec::new(), chunk: vec![0; READ].into() };
    loop {
        match codec::message(&reading.bytes, max_message)? {
            Some((Message::Initiation(_), _)) => return Ok(reading),
            Some(_) => return Err(Lost::NoInitiation),
            None => {}
        }
        if reading.more().await? == 0 {
            return Err(if reading.bytes.is_empty() { Lost::Closed } else { Lost::Cut });
        }
    }
}

async fn more(reading: &mut Option<Reading>) -> io::Result<usize> {
    match reading {
        Some(reading) => reading.more().await,
        None => future::pending().await,
    }
}

impl Reading {
    /// Waits for bytes; how many came. 0 is the end.
    async fn more(&mut self) -> io::Result<usize> {
        let count = some(&self.stream, &mut self.chunk).await?;
        self.bytes.extend_from_slice(self.chunk.get(..count).unwrap_or_default());
        Ok(count)
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
fn take(reporter: &Reporter, bytes: &mut Vec<u8>, said: &mut Vec<Said>) -> Result<(), Lost> {
    let mut router = lock(&reporter.router);
    let mut at = 0;
    let mut taken = || {
        while let Some((message, len)) =
            codec::message(bytes.get(at..).unwrap_or_default(), reporter.settings.max_message)?
        {
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
