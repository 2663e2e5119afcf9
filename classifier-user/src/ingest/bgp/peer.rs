//! The task of one peer: connections out and in, which of them is kept, and when the next one is tried
//! (RFC 4271, sections 6.8 and 8).

use std::{collections::VecDeque, hash::BuildHasher as _, io, pin::Pin, sync::Arc, time::Duration};

use tokio::{net::TcpStream, sync::mpsc, task::JoinSet, time::Instant};
use tracing::{debug, info, warn};

use super::{
    agreed::{Agreed, agree},
    codec::{Notification, Reset, notification::CEASE, open::Open},
    connection::{Connection, Loss, Step, Way},
    settings::{PeerSettings, Timers},
    socket,
    status::{Counts, PeerStatus, State},
};
use crate::{
    ingest::live::{Event, Lost, PeerId, Said},
    model::Family,
};

/// Connections that may bring their last bytes over at the same time; others are closed without a word.
const CLOSING: usize = 8;

/// What a peer's task is told.
#[derive(Debug)]
pub(super) enum Command {
    /// The peer has connected.
    Accepted(TcpStream),
    /// Ask for all of a family again.
    Refresh(Family),
    /// End, and say so to the peer.
    Stop,
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

pub(super) struct Task {
    id: PeerId,
    status: Arc<PeerStatus>,
    timers: Timers,
    events: mpsc::Sender<Said>,
    commands: mpsc::Receiver<Command>,
    connecting: Option<Connecting>,
    outgoing: Option<Connection>,
    incoming: Option<Connection>,
    /// Connections that still bring their last bytes over.
    closing: JoinSet<()>,
    /// When we connect again.
    retry_at: Option<Instant>,
    /// Until then the peer may not connect either: it reached a limit, and would only do so again.
    refused_until: Option<Instant>,
    /// Failures since the last session that was stable.
    failures: u32,
    /// Events that wait for room. While there are any, the session reads nothing.
    pending: VecDeque<Event>,
    established_at: Option<Instant>,
}

impl Task {
    pub(super) fn new(
        id: PeerId,
        status: Arc<PeerStatus>,
        timers: Timers,
        events: mpsc::Sender<Said>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            id,
            status,
            timers,
            events,
            commands,
            connecting: None,
            outgoing: None,
            incoming: None,
            closing: JoinSet::new(),
            retry_at: None,
            refused_until: None,
            failures: 0,
            pending: VecDeque::new(),
            established_at: None,
        }
    }

    fn settings(&self) -> &PeerSettings {
        &self.status.settings
    }

    /// Runs until it is told to stop, or nobody wants its events any more.
    pub(super) async fn run(mut self) {
        if !self.settings().passive {
            self.retry_at = Some(Instant::now());
        }
        let room_for_events = self.events.clone();
        loop {
            self.status.set_state(self.state());
            let reading = self.pending.is_empty();
            tokio::select! {
                room = room_for_events.reserve(), if !reading => {
                    let Ok(room) = room else { break };
                    if let Some(event) = self.pending.pop_front() {
                        room.send(Said { peer: self.id, event });
                    }
                }
                step = next(&mut self.outgoing, reading) => self.step(Way::Out, step),
                step = next(&mut self.incoming, reading) => self.step(Way::In, step),
                connected = pinned(&mut self.connecting) => self.connected(connected),
                () = at(self.retry_at) => self.connect(),
                Some(_) = self.closing.join_next() => {}
                command = self.commands.recv() => match command {
                    Some(Command::Accepted(stream)) => self.accepted(stream),
                    Some(Command::Refresh(family)) => self.ask_again(family),
                    Some(Command::Stop) | None => break,
                }
            }
        }
        let stop = Notification::cease(2);
        for way in [Way::Out, Way::In] {
            self.close(way, Some(&stop));
        }
        while self.closing.join_next().await.is_some() {}
        self.status.down();
        self.status.set_state(State::Idle);
    }

    fn state(&self) -> State {
        let of = |connection: &Option<Connection>| connection.as_ref().map(Connection::state);
        let waiting = if self.connecting.is_some() {
            State::Connect
        } else if self.settings().listen.is_some() {
            State::Active
        } else {
            State::Idle
        };
        of(&self.outgoing).max(of(&self.incoming)).unwrap_or(waiting)
    }

    fn at(&mut self, way: Way) -> &mut Option<Connection> {
        match way {
            Way::Out => &mut self.outgoing,
            Way::In => &mut self.incoming,
        }
    }

    fn close(&mut self, way: Way, notification: Option<&Notification>) {
        if let Some(connection) = self.at(way).take() {
            self.end(connection, notification);
        }
    }

    /// Whoever connects again and again is told so as long as there is room; a session that ends always is.
    fn end(&mut self, connection: Connection, notification: Option<&Notification>) {
        if connection.state() == State::Established || self.closing.len() < CLOSING {
            self.closing.spawn(connection.close(notification));
        }
    }

    fn connect(&mut self) {
        self.retry_at = None;
        let (status, limit) = (Arc::clone(&self.status), self.timers.connect);
        self.connecting = Some(Box::pin(async move {
            let connect = socket::connect(&status.settings);
            tokio::time::timeout(limit, connect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }));
    }

    fn connected(&mut self, connected: io::Result<TcpStream>) {
        self.connecting = None;
        if self.outgoing.is_some() {
            return;
        }
        match connected.and_then(|stream| self.connection(stream)) {
            Ok(connection) => self.outgoing = Some(connection),
            Err(error) => {
                let PeerSettings { address, port, password, .. } = self.settings();
                let hint = match error.kind() {
                    io::ErrorKind::ConnectionRefused => {
                        ": no BGP listens there, or this machine is not one of its neighbors"
                    }
                    io::ErrorKind::TimedOut if password.is_some() => {
                        ": nothing came back; the password may be another one there"
                    }
                    io::ErrorKind::TimedOut => {
                        ": nothing came back; a filter, a password or TTL security there may be why"
                    }
                    _ => "",
                };
                let what = format!("cannot connect to {address} port {port}: {error}{hint}");
                self.report(what, |counts| counts.connect_failures += 1);
                self.again_later();
            }
        }
    }

    fn connection(&self, stream: TcpStream) -> io::Result<Connection> {
        Connection::new(stream, Arc::clone(&self.status), self.timers)
    }

    fn accepted(&mut self, stream: TcpStream) {
        if let Err(error) = socket::accepted(&stream, self.settings()) {
            self.report(format!("its connection cannot be used: {error}"), |counts| counts.failures += 1);
            return;
        }
        if self.refused_until.is_some_and(|until| Instant::now() < until) {
            debug!("{}: refused, for it reached a limit", self.settings().name);
            // RFC 4486, section 4: connection rejected.
            if let Ok(connection) = self.connection(stream) {
                self.end(connection, Some(&Notification::cease(5)));
            }
            return;
        }
        // One that came before and has not come to a session may be dead.
        if self.incoming.as_ref().is_none_or(|old| old.state() != State::Established) {
            self.close(Way::In, Some(&Notification::cease(7)));
        } else if self.incoming.as_ref().and_then(Connection::agreed).is_some_and(Agreed::restarts_gracefully)
        {
            // RFC 4724, section 5: the peer has restarted, and the old connection is of the time before.
            self.lost(Way::In, Loss::Replaced);
        } else {
            debug!("{}: a second connection, though there is a session", self.settings().name);
            if let Ok(second) = self.connection(stream) {
                self.end(second, Some(&Notification::cease(7)));
            }
            return;
        }
        match self.connection(stream) {
            Ok(connection) => self.incoming = Some(connection),
            Err(error) => {
                self.report(format!("its connection cannot be used: {error}"), |counts| counts.failures += 1);
            }
        }
    }

    fn ask_again(&mut self, family: Family) {
        let asked = [Way::Out, Way::In]
            .into_iter()
            .any(|way| self.at(way).as_mut().is_some_and(|connection| connection.ask_again(family)));
        if !asked {
            debug!("{}: cannot be asked for its {} routes again", self.settings().name, family.name());
        }
    }

    fn step(&mut self, way: Way, step: Step) {
        match step {
            Step::Opened(theirs) => self.opened(way, &theirs),
            Step::Established => self.established(way),
            Step::Said(events) => self.pending.extend(events),
            Step::Lost(loss) => self.lost(way, loss),
        }
    }

    fn opened(&mut self, way: Way, theirs: &Open) {
        let Some(connection) = self.at(way).as_ref() else { return };
        let ours = connection.ours().clone();
        let agreed = match agree(self.settings(), &ours, theirs) {
            Ok(agreed) => agreed,
            Err(reset) => return self.lost(way, Loss::Reset(reset)),
        };
        let other = if way == Way::Out { Way::In } else { Way::Out };
        let there = self.at(other).as_ref().map(|other| {
            let graceful = other.agreed().is_some_and(Agreed::restarts_gracefully);
            (other.state(), graceful)
        });
        let keep = match there {
            // RFC 4724, section 5: the peer has restarted.
            Some((State::Established, true)) => {
                self.lost(other, Loss::Replaced);
                true
            }
            Some((State::Established, false)) => false,
            // RFC 4271, section 6.8, and RFC 6286, section 2.3: the connection of the higher identifier stays.
            Some((State::OpenConfirm, _)) => {
                let we_are_higher = (ours.identifier, ours.asn()) > (theirs.identifier, theirs.asn());
                let ours_stays = if we_are_higher { Way::Out } else { Way::In };
                if ours_stays == way {
                    self.close(other, Some(&Notification::cease(7)));
                }
                ours_stays == way
            }
            _ => true,
        };
        if !keep {
            return self.close(way, Some(&Notification::cease(7)));
        }
        if let Some(connection) = self.at(way) {
            connection.confirm(agreed);
        }
    }

    fn established(&mut self, way: Way) {
        let other = if way == Way::Out { Way::In } else { Way::Out };
        self.close(other, Some(&Notification::cease(7)));
        self.connecting = None;
        self.retry_at = None;
        let Some(agreed) = self.at(way).as_ref().and_then(Connection::agreed).cloned() else { return };
        let families: Vec<&str> = agreed.families.iter().map(Family::name).collect();
        info!(
            "{}: established with AS {} ({}), {} unicast, hold time {} s",
            self.settings().name,
            agreed.asn,
            agreed.identifier,
            families.join(" and "),
            agreed.hold_time
        );
        self.status.established(agreed);
        self.established_at = Some(Instant::now());
        self.pending.push_back(Event::Up);
    }

    fn lost(&mut self, way: Way, loss: Loss) {
        let Some(connection) = self.at(way).as_ref() else { return };
        let was_up = connection.state() == State::Established;
        // RFC 4724, section 5: not where a NOTIFICATION ended it, and RFC 8538 is not offered.
        let cut = matches!(loss, Loss::Closed | Loss::Replaced | Loss::Io(_));
        let good_for = connection.agreed().filter(|_| cut).map_or(0, Agreed::good_for);
        let collision = self.outgoing.is_some()
            && self.incoming.is_some()
            && matches!(&loss, Loss::Told(told) if (told.code, told.subcode) == (CEASE, 7));
        let limit = matches!(&loss, Loss::Reset(Reset { notification, .. }) if matches!((notification.code, notification.subcode), (CEASE, 1 | 8)));
        self.close(way, loss.notification());
        let told = matches!(loss, Loss::Told(_) | Loss::Mumbled);
        let count = move |counts: &mut Counts| {
            counts.failures += 1;
            counts.notifications_received += u64::from(told);
        };
        if was_up {
            // Graceful restart can make it longer than configured, not shorter: we forward nothing by these routes.
            let stale_seconds = self.settings().stale_seconds.max(good_for);
            let why = loss.to_string();
            warn!(
                "{}: session lost: {why}; its routes stay for up to {stale_seconds} s",
                self.settings().name
            );
            self.status.failed(why.clone(), count);
            self.status.down();
            self.pending.push_back(Event::Down(Lost { why, stale_seconds }));
            let lived = self.established_at.take().map_or(Duration::ZERO, |at| at.elapsed());
            if lived >= self.timers.stable {
                self.failures = 0;
            }
        } else if collision {
            debug!("{}: one of two connections: {loss}", self.settings().name);
        } else {
            self.report(format!("no session: {loss}"), count);
        }
        if limit {
            self.failures = u32::MAX;
            let until = Instant::now() + self.pause();
            self.refused_until = Some(until);
            for way in [Way::Out, Way::In] {
                self.close(way, Some(&Notification::cease(5)));
            }
            self.connecting = None;
            // We wait for as long.
            self.retry_at = (!self.settings().passive).then_some(until);
        }
        self.again_later();
    }

    /// Says why there is no session: loud the first time, and when the reason is another one.
    fn report(&self, what: String, count: impl FnOnce(&mut Counts)) {
        let name = self.settings().name.clone();
        if self.status.failed(what.clone(), count) {
            warn!("{name}: {what}");
        } else {
            debug!("{name}: {what}");
        }
    }

    fn again_later(&mut self) {
        let idle = self.outgoing.is_none() && self.incoming.is_none() && self.connecting.is_none();
        if self.settings().passive || !idle || self.retry_at.is_some() {
            return;
        }
        let pause = self.pause();
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(Instant::now() + pause);
    }

    /// Until the next try: longer with each failure, and never the same as everybody else's (RFC 4271, section 10).
    fn pause(&self) -> Duration {
        let doubled = self.timers.retry_first.saturating_mul(1 << self.failures.min(16));
        let random = std::hash::RandomState::new().hash_one(0) % 256;
        doubled.min(self.timers.retry_max) * (768 + random as u32) / 1024
    }
}

async fn next(connection: &mut Option<Connection>, reading: bool) -> Step {
    match connection {
        // Before there is a session nothing can wait for room.
        Some(connection) => {
            let reading = reading || connection.state() != State::Established;
            connection.next(reading).await
        }
        None => std::future::pending().await,
    }
}

async fn pinned(connecting: &mut Option<Connecting>) -> io::Result<TcpStream> {
    match connecting {
        Some(connecting) => connecting.await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::ingest::bgp::codec::{self, Kind};

    /// A task for a peer on the loopback that connects, and connections of it: ours, and the peer's end.
    struct World {
        task: Task,
        listener: tokio::net::TcpListener,
    }

    impl World {
        async fn new(timers: Timers) -> Self {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let settings = PeerSettings {
                passive: true,
                listen: Some(listener.local_addr().unwrap()),
                ..PeerSettings::new("127.0.0.1".parse().unwrap(), 64_500)
            };
            let status = Arc::new(PeerStatus::new(settings));
            let task = Task::new(PeerId(0), status, timers, mpsc::channel(16).0, mpsc::channel(4).1);
            Self { task, listener }
        }

        /// The peer connects, and says nothing.
        async fn accept(&mut self) -> std::net::TcpStream {
            let stream = std::net::TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
            self.task.accepted(self.listener.accept().await.unwrap().0);
            stream
        }
    }

    /// A peer that reached a limit is told so when it connects, until we would connect ourselves.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_peer_over_its_limit_may_not_connect_for_a_while() {
        let timers = Timers { retry_max: Duration::from_secs(1), ..Timers::default() };
        let mut world = World::new(timers).await;
        let _first = world.accept().await;
        world.task.lost(Way::In, Loss::Reset(Reset::new(6, 1, "more than 5 routes")));
        let mut second = world.accept().await;
        assert!(world.task.incoming.is_none());
        second.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut said = Vec::new();
        second.read_to_end(&mut said).unwrap();
        let open = codec::message(&said, false).unwrap().unwrap();
        let last = codec::message(&said[open.len..], false).unwrap().unwrap();
        assert_eq!((open.kind, last.kind, last.body), (Kind::Open, Kind::Notification, &[6, 5][..]));
        let why = world.task.status.snapshot().last_error.unwrap().what;
        assert_eq!(
            why,
            "no session: more than 5 routes (sent cease: maximum number of prefixes reached (6/1))"
        );
        tokio::time::sleep(timers.retry_max).await;
        let _third = world.accept().await;
        assert!(world.task.incoming.is_some());
    }

    #[tokio::test]
    async fn connections_that_end_are_few() {
        let mut world = World::new(Timers::default()).await;
        let mut streams = Vec::new();
        for _ in 0..20 {
            streams.push(world.accept().await);
        }
        assert_eq!((world.task.closing.len(), world.task.incoming.is_some()), (CLOSING, true));
    }
}
