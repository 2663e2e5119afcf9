//! One TCP connection to a peer, from our OPEN to the end: bytes to messages, messages to events, and the timers.
//!
//! [`Connection::next`] can be dropped at any point and called again: what it awaits is that the socket is ready, or a
//! point in time, and nothing else.

use std::{
    fmt,
    io::{self, Read as _},
    mem,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpStream, time::Instant};
use tracing::warn;

use super::{
    agreed::Agreed,
    codec::{
        self, Families, Kind, Notification, Reset,
        attributes::Problem,
        open::Open,
        refresh::{self, Says},
        update::Decoder,
    },
    held::Held,
    settings::Timers,
    status::{Counts, PeerStatus, State},
};
use crate::{
    ingest::live::{Event, Route},
    model::Family,
};

/// Room for the longest message behind the rest of another one.
const INPUT: usize = 2 * (codec::MAX_EXTENDED + 1);
/// After this many routes an event is sent, though more may be there.
const BATCH: usize = 4096;
/// RFC 9687, section 4: a peer that takes nothing for so long is lost.
const SEND_HOLD: Duration = Duration::from_secs(8 * 60);

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

/// Why a connection is lost.
#[derive(Debug)]
pub(super) enum Loss {
    /// The peer says why.
    Told(Notification),
    /// A NOTIFICATION that cannot be read.
    Mumbled,
    /// We say why.
    Reset(Reset),
    /// The peer closed it without a word.
    Closed,
    /// The peer has restarted, and has another connection.
    Replaced,
    /// The network, or the kernel.
    Io(io::Error),
}

impl Loss {
    /// What the peer is told.
    pub(super) fn notification(&self) -> Option<&Notification> {
        match self {
            Self::Reset(reset) => Some(&reset.notification),
            _ => None,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(notification) => write!(f, "it says: {notification}"),
            Self::Mumbled => f.write_str("it sent a NOTIFICATION without a code"),
            Self::Reset(reset) => reset.fmt(f),
            Self::Closed => f.write_str("it closed the connection"),
            Self::Replaced => f.write_str("it has restarted and connected again"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// What a connection has come to.
#[derive(Debug)]
pub(super) enum Step {
    /// The peer's OPEN is there: [`Connection::confirm`] or [`Connection::close`] is next.
    Opened(Open),
    /// Both sides agree.
    Established,
    /// The peer said something.
    Said(Vec<Event>),
    /// It is lost: [`Connection::close`] is next.
    Lost(Loss),
}

/// What is read, and not yet taken.
struct Input {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Input {
    fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn consume(&mut self, len: usize) {
        self.start = (self.start + len).min(self.end);
    }

    /// Room behind what is there; the rest of a message is moved to the front for it.
    fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }
}

/// What an established session has beside its connection.
struct Session {
    decoder: Decoder,
    held: Held,
    agreed: Agreed,
    /// When a peer that knows of no End-of-RIB has sent all.
    quiet_at: Option<Instant>,
    /// Families whose End-of-RIB has not come.
    awaited: Families<bool>,
}

pub(super) struct Connection {
    stream: TcpStream,
    status: Arc<PeerStatus>,
    timers: Timers,
    state: State,
    ours: Open,
    input: Input,
    output: Vec<u8>,
    /// Since when the peer has taken nothing of what we have for it.
    stuck_since: Option<Instant>,
    hold: Duration,
    hold_at: Option<Instant>,
    keepalive_at: Option<Instant>,
    session: Option<Session>,
    /// Comes after the events that are ready.
    failed: Option<Loss>,
    /// Whether the last [`Connection::next`] was not to read.
    paused: bool,
}

impl Connection {
    /// Sends our OPEN.
    pub(super) fn new(stream: TcpStream, status: Arc<PeerStatus>, timers: Timers) -> io::Result<Self> {
        let local: IpAddr = stream.local_addr()?.ip();
        let ours = super::agreed::our_open(&status.settings, local);
        let mut output = Vec::new();
        ours.append(&mut output);
        Ok(Self {
            stream,
            status,
            timers,
            state: State::OpenSent,
            ours,
            input: Input { bytes: vec![0; INPUT].into(), start: 0, end: 0 },
            output,
            stuck_since: None,
            hold: timers.open,
            hold_at: Some(Instant::now() + timers.open),
            keepalive_at: None,
            session: None,
            failed: None,
            paused: false,
        })
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    pub(super) const fn ours(&self) -> &Open {
        &self.ours
    }

    pub(super) fn agreed(&self) -> Option<&Agreed> {
        self.session.as_ref().map(|session| &session.agreed)
    }

    /// Takes the peer's OPEN as agreed.
    pub(super) fn confirm(&mut self, agreed: Agreed) {
        self.hold = Duration::from_secs(agreed.hold_time.into());
        self.state = State::OpenConfirm;
        codec::append_keepalive(&mut self.output);
        let now = Instant::now();
        self.heard(now);
        // Without a hold time a peer that says nothing more would stay here for ever.
        self.hold_at.get_or_insert(now + self.timers.open);
        self.sent(now);
        let settings = &self.status.settings;
        self.session = Some(Session {
            decoder: Decoder::new(agreed.context(settings)),
            held: Held::new(settings.max_prefixes),
            quiet_at: None,
            awaited: agreed.families,
            agreed,
        });
    }

    /// Asks for all of a family again; `false` if the peer cannot.
    pub(super) fn ask_again(&mut self, family: Family) -> bool {
        let can = self.state == State::Established
            && self.agreed().is_some_and(|agreed| agreed.route_refresh && agreed.families[family]);
        if can {
            refresh::append_refresh(&mut self.output, Says::Again, family);
        }
        can
    }

    /// Ends it. The rest, at most [`Timers::close`], is done by the future that this gives.
    pub(super) fn close(
        mut self,
        notification: Option<&Notification>,
    ) -> impl Future<Output = ()> + Send + use<> {
        if let Some(notification) = notification {
            notification.append(&mut self.output);
            self.status.notified();
        }
        let Self { stream, output, timers, .. } = self;
        async move {
            // If it takes longer, it is not worth it.
            let _ = tokio::time::timeout(timers.close, linger(stream, &output)).await;
        }
    }

    fn heard(&mut self, now: Instant) {
        self.hold_at = (!self.hold.is_zero()).then(|| now + self.hold);
    }

    /// RFC 4271, section 10: KEEPALIVEs every third of the hold time.
    fn sent(&mut self, now: Instant) {
        self.keepalive_at = (!self.hold.is_zero()).then(|| now + self.hold / 3);
    }

    /// Goes on until something has happened. While `reading` is false, nothing is taken from the peer, but it goes on to
    /// hear from us.
    pub(super) async fn next(&mut self, reading: bool) -> Step {
        // Nobody can tell how long the peer was silent while we did not listen.
        if reading && mem::replace(&mut self.paused, !reading) {
            let now = Instant::now();
            self.heard(now);
            if let Some(quiet_at) = self.session.as_mut().and_then(|session| session.quiet_at.as_mut()) {
                *quiet_at = now + self.timers.quiet;
            }
        }
        self.paused = !reading;
        loop {
            if reading && let Some(step) = self.process() {
                return step;
            }
            if let Err(error) = self.write() {
                return Step::Lost(Loss::Io(error));
            }
            let deadline = self.deadline(reading);
            let passed = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ready = self.stream.readable(), if reading => {
                    let read = ready.and_then(|()| self.stream.try_read(self.input.room()));
                    match read {
                        Ok(0) => return Step::Lost(Loss::Closed),
                        Ok(read) => self.input.end += read,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Step::Lost(Loss::Io(error)),
                    }
                }
                ready = self.stream.writable(), if !self.output.is_empty() => {
                    if let Err(error) = ready {
                        return Step::Lost(Loss::Io(error));
                    }
                }
                () = passed => {
                    let now = Instant::now();
                    let over = |at: Option<Instant>| reading && at.is_some_and(|at| at <= now);
                    let quiet_at = self.session.as_ref().and_then(|session| session.quiet_at);
                    if (over(self.hold_at) || over(quiet_at)) && self.read_late() {
                        continue;
                    }
                    if let Some(step) = self.expired(reading) {
                        return step;
                    }
                }
            }
        }
    }

    /// On a busy machine we may be late, not the peer: what it said meanwhile lies in the socket, whether the runtime has
    /// come to see it or not. Takes that; `false` if there is nothing.
    fn read_late(&mut self) -> bool {
        let socket = socket2::SockRef::from(&self.stream);
        let read = (&*socket).read(self.input.room()).unwrap_or_default();
        self.input.end += read;
        read > 0
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.output.drain(..written.min(self.output.len()));
                    self.stuck_since = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stuck_since.get_or_insert_with(Instant::now);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn deadline(&self, reading: bool) -> Option<Instant> {
        let quiet_at = self.session.as_ref().and_then(|session| session.quiet_at);
        let hold_at = self.hold_at.filter(|_| reading);
        let stuck_at = self.stuck_since.map(|since| since + self.send_hold());
        [hold_at, self.keepalive_at, quiet_at.filter(|_| reading), stuck_at].into_iter().flatten().min()
    }

    fn send_hold(&self) -> Duration {
        SEND_HOLD.max(2 * self.hold)
    }

    fn expired(&mut self, reading: bool) -> Option<Step> {
        let now = Instant::now();
        if reading && self.hold_at.is_some_and(|at| at <= now) {
            let silent = self.hold.as_secs();
            return Some(Step::Lost(Loss::Reset(Reset::new(
                4,
                0,
                format!("nothing was heard for {silent} s"),
            ))));
        }
        if self.stuck_since.is_some_and(|since| since + self.send_hold() <= now) {
            return Some(Step::Lost(Loss::Reset(Reset::new(8, 0, "it takes nothing that we send"))));
        }
        if self.keepalive_at.is_some_and(|at| at <= now) {
            // One that it has not taken is enough.
            if self.output.is_empty() {
                codec::append_keepalive(&mut self.output);
            }
            self.sent(now);
        }
        let session = self.session.as_mut()?;
        if reading && session.quiet_at.is_some_and(|at| at <= now) {
            session.quiet_at = None;
            let ended: Vec<_> = mem::take(&mut session.awaited).iter().map(Event::EndOfRib).collect();
            self.ended(&ended);
            return (!ended.is_empty()).then_some(Step::Said(ended));
        }
        None
    }

    fn ended(&self, events: &[Event]) {
        for event in events {
            if let Event::EndOfRib(family) = event {
                self.status.complete(*family);
            }
        }
    }

    /// Takes the messages that are there, as many as make an event.
    fn process(&mut self) -> Option<Step> {
        if let Some(failed) = self.failed.take() {
            return Some(Step::Lost(failed));
        }
        let step = match self.state {
            State::Established => return self.process_session(),
            _ => self.process_opening(),
        };
        match step {
            Ok(step) => step,
            Err(loss) => Some(Step::Lost(loss)),
        }
    }

    fn process_opening(&mut self) -> Result<Option<Step>, Loss> {
        let extended = self.state == State::OpenConfirm;
        let Some(message) = codec::message(self.input.filled(), extended).map_err(Loss::Reset)? else {
            return Ok(None);
        };
        let len = message.len;
        let step = match (self.state, message.kind) {
            (_, Kind::Notification) => return Err(told(message.body)),
            (State::OpenSent, Kind::Open) => Step::Opened(Open::decode(message.body).map_err(Loss::Reset)?),
            (State::OpenConfirm, Kind::Keepalive) => Step::Established,
            (state, kind) => {
                let subcode = if state == State::OpenSent { 1 } else { 2 };
                return Err(Loss::Reset(Reset::new(5, subcode, format!("{kind:?} in the state {state}"))));
            }
        };
        self.input.consume(len);
        let count = Counts { messages: 1, ..Counts::default() };
        self.status.add(&count, Families::default());
        let now = Instant::now();
        if matches!(step, Step::Established) {
            self.state = State::Established;
            if let Some(session) = &mut self.session
                && session.agreed.graceful_restart.is_none()
            {
                session.quiet_at = Some(now + self.timers.quiet);
            }
        }
        self.heard(now);
        Ok(Some(step))
    }

    fn process_session(&mut self) -> Option<Step> {
        let Self { input, output, session: Some(session), status, timers, failed, .. } = self else {
            return None;
        };
        let mut taking = Taking {
            session,
            output,
            timers,
            routes: Vec::new(),
            events: Vec::new(),
            counts: Counts::default(),
            malformed: None,
            max_memory: status.settings.max_memory,
        };
        let mut heard = false;
        while taking.routes.len() < BATCH {
            let (len, taken) = match codec::message(input.filled(), true) {
                Ok(Some(message)) => (message.len, taking.message(message)),
                Ok(None) => break,
                Err(reset) => (0, Err(Loss::Reset(reset))),
            };
            input.consume(len);
            heard = true;
            taking.counts.messages += 1;
            if let Err(loss) = taken {
                *failed = Some(loss);
                break;
            }
        }
        taking.flush();
        let (events, counts, held) = (taking.events, taking.counts, taking.session.held.counts());
        if heard {
            let before = status.malformed();
            status.add(&counts, held);
            if let Some((problem, withdrawn)) = taking.malformed {
                say_malformed(status, before, problem, withdrawn);
            }
            self.ended(&events);
            self.heard(Instant::now());
        }
        if events.is_empty() { self.failed.take().map(Step::Lost) } else { Some(Step::Said(events)) }
    }
}

/// Once, and again when it has become twice as many.
fn say_malformed(status: &PeerStatus, before: u64, problem: Problem, withdrawn: bool) {
    let now = status.malformed();
    if before.checked_ilog2() != now.checked_ilog2() {
        let outcome = if withdrawn { "the routes of its UPDATE are withdrawn" } else { "it is left out" };
        let name = &status.settings.name;
        warn!("{name}: {problem}: {outcome} (RFC 7606); {now} UPDATEs with malformed attributes so far");
    }
}

fn told(body: &[u8]) -> Loss {
    Notification::decode(body).map_or(Loss::Mumbled, Loss::Told)
}

/// Messages of an established session on their way to events.
struct Taking<'a> {
    session: &'a mut Session,
    output: &'a mut Vec<u8>,
    timers: &'a Timers,
    routes: Vec<Route>,
    events: Vec<Event>,
    counts: Counts,
    /// The last malformed attribute, and whether routes were withdrawn for it.
    malformed: Option<(Problem, bool)>,
    max_memory: u64,
}

impl Taking<'_> {
    fn message(&mut self, message: codec::Message<'_>) -> Result<(), Loss> {
        match message.kind {
            Kind::Keepalive => Ok(()),
            Kind::Update => self.update(message.body).map_err(Loss::Reset),
            Kind::Refresh => self.refresh(message.body).map_err(Loss::Reset),
            Kind::Notification => Err(told(message.body)),
            Kind::Open => Err(Loss::Reset(Reset::new(5, 3, "an OPEN in an established session"))),
        }
    }

    fn update(&mut self, body: &[u8]) -> Result<(), Reset> {
        let Self { session, timers, routes, counts, malformed, max_memory, .. } = &mut *self;
        let before = routes.len();
        let contents = session.decoder.decode(body, routes)?;
        counts.updates += 1;
        counts.announced += contents.announced as u64;
        counts.withdrawn += contents.withdrawn as u64;
        counts.ignored += contents.ignored as u64;
        counts.treated_as_withdraw += u64::from(contents.treated_as_withdraw.is_some());
        counts.discarded_attributes += u64::from(contents.discarded.is_some());
        if let Some(problem) = contents.treated_as_withdraw.or(contents.discarded) {
            *malformed = Some((problem, contents.treated_as_withdraw.is_some()));
        }
        if let Some(quiet_at) = &mut session.quiet_at {
            *quiet_at = Instant::now() + timers.quiet;
        }
        if let Err(too_many) = session.held.take(routes.get(before..).unwrap_or_default()) {
            let family =
                routes.get(before + too_many).map_or(Family::Ipv4, |route| Family::of(&route.prefix));
            routes.truncate(before + too_many);
            return Err(session.too_many(family));
        }
        if session.held.bytes() > *max_memory {
            return Err(too_much(*max_memory));
        }
        if let Some(family) = contents.end_of_rib {
            session.awaited[family] = false;
            self.flush();
            self.events.push(Event::EndOfRib(family));
        }
        Ok(())
    }

    fn refresh(&mut self, body: &[u8]) -> Result<(), Reset> {
        let agreed = &self.session.agreed;
        match refresh::decode(body)? {
            // We have no routes: all of them are sent again by saying so (RFC 7313, section 4).
            Some((Says::Again, family)) if agreed.enhanced_refresh && agreed.families[family] => {
                refresh::append_refresh(self.output, Says::Begins, family);
                refresh::append_refresh(self.output, Says::Ends, family);
            }
            Some((Says::Begins, family)) if agreed.families[family] => {
                self.flush();
                self.events.push(Event::Refresh(family));
            }
            Some((Says::Ends, family)) if agreed.families[family] => {
                self.flush();
                self.events.push(Event::EndOfRib(family));
            }
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self) {
        if !self.routes.is_empty() {
            self.events.push(Event::Routes(mem::take(&mut self.routes)));
        }
    }
}

impl Session {
    /// RFC 4486, section 4: with the family, and how many would have been right.
    fn too_many(&self, family: Family) -> Reset {
        let held = self.held.counts();
        let most = held.ipv4 + held.ipv6;
        let mut data = vec![0, if family == Family::Ipv4 { 1 } else { 2 }, 1];
        data.extend(u32::try_from(most).unwrap_or(u32::MAX).to_be_bytes());
        Reset::new(6, 1, format!("more than {most} routes; `max_prefixes` can be raised")).with_data(&data)
    }
}

/// RFC 4486, section 4: out of resources.
fn too_much(most: u64) -> Reset {
    Reset::new(6, 8, format!("its routes take more than {most} bytes; `max_memory` can be raised"))
}

/// Brings the last bytes over: a connection that is closed while bytes of the peer are unread is reset, and what we
/// said may be lost with it.
pub(super) async fn linger(stream: TcpStream, output: &[u8]) -> io::Result<()> {
    let mut output = output;
    while !output.is_empty() {
        stream.writable().await?;
        match stream.try_write(output) {
            Ok(written) => output = output.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    socket2::SockRef::from(&stream).shutdown(std::net::Shutdown::Write)?;
    let mut rest = [0; 4096];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::ingest::bgp::{agreed::agree, settings::PeerSettings};

    /// While nothing is read it cannot be told whether the peer is quiet.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_peer_is_not_quiet_while_we_do_not_listen() {
        let quiet = Duration::from_secs(1);
        let settings = PeerSettings::new("127.0.0.1".parse().unwrap(), 64_500);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let status = Arc::new(PeerStatus::new(settings.clone()));
        let mut connection = Connection::new(stream, status, Timers { quiet, ..Timers::default() }).unwrap();
        let mut theirs = connection.ours().clone();
        theirs.identifier = std::net::Ipv4Addr::new(192, 0, 2, 1);
        theirs.capabilities.graceful_restart = None;
        let mut bytes = Vec::new();
        theirs.append(&mut bytes);
        codec::append_keepalive(&mut bytes);
        peer.write_all(&bytes).unwrap();
        let Step::Opened(theirs) = connection.next(true).await else { panic!("an OPEN") };
        connection.confirm(agree(&settings, &connection.ours().clone(), &theirs).unwrap());
        assert!(matches!(connection.next(true).await, Step::Established));
        let long = quiet * 3 / 2;
        assert!(tokio::time::timeout(long, connection.next(false)).await.is_err(), "nothing is read");
        assert!(
            tokio::time::timeout(quiet / 2, connection.next(true)).await.is_err(),
            "its time begins again"
        );
        match tokio::time::timeout(long, connection.next(true)).await.unwrap() {
            Step::Said(events) => {
                assert_eq!(events, [Family::Ipv4, Family::Ipv6].map(Event::EndOfRib));
            }
            other => panic!("{other:?}"),
        }
    }
}
