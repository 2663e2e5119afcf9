//! What a router's messages mean: its peers, which of its RIBs are taken, and the routes in them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{
    codec::{Gone, Message, PeerHeader, PeerKey, PeerUp, REASON, Rib, SYS_DESCR, SYS_NAME, TEXT, Tlvs},
    preferred::{self, Preferred},
    settings::RouterSettings,
    status::RouterStatus,
};
use crate::{
    ingest::{
        bgp::{
            codec::{
                self, Families, HEADER, Kind,
                open::Open,
                update::{Context, Decoder},
            },
            held::{Held, ROUTE_BYTES},
        },
        live::{Attributes, Event, Lost, PeerId, PeerInfo, PeerKind, Route, Said},
    },
    model::{Asn, Family},
};

/// Routes that are put together into one event, about.
const BATCH: usize = 4096;
/// RIBs of a router that are taken, at most.
const MAX_RIBS: usize = 1024;
/// Routes of a RIB that is gone stay for so long, until what is in its place has come.
const OVERLAP: u32 = 300;

/// Gives peers of routers their numbers, each once.
#[derive(Debug)]
pub struct PeerIds(AtomicU32);

impl PeerIds {
    /// Numbers from here on.
    #[must_use]
    pub const fn new(first: u16) -> Self {
        Self(AtomicU32::new(first as u32))
    }

    fn next(&self) -> Option<PeerId> {
        u16::try_from(self.0.fetch_add(1, Ordering::Relaxed)).ok().map(PeerId)
    }
}

/// Why a connection ends with a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The router says so.
    #[error("the router ended it: {0}")]
    Terminated(String),
    /// A limit.
    #[error("more than {0} routes; `max_prefixes` can be raised")]
    Prefixes(u32),
    /// A limit.
    #[error("its routes take more than {0} bytes; `max_memory` can be raised")]
    Memory(u64),
    /// The Loc-RIB is gone, and what was not taken because of it is sent once only, at the beginning.
    #[error("its Loc-RIB is gone; what else it reports was not taken, and comes with its next connection")]
    LocRib,
}

/// A peer of the router that is up.
#[derive(Clone, Copy, Debug)]
struct Session {
    local_as: Asn,
    internal: bool,
    add_path: Families<bool>,
}

/// A RIB of a peer of the router: a peer to the table.
#[derive(Debug)]
struct Taken {
    id: PeerId,
    info: Arc<PeerInfo>,
    up: bool,
    /// When the table has none of its routes any more, once it is down; `None`: it has none.
    empty_at: Option<Instant>,
    decoder: Option<(Context, Decoder)>,
    held: Held,
}

impl Taken {
    /// It says who it is each time: what was said before may have been lost with its connection.
    fn up(&mut self, said: &mut Vec<Said>) {
        self.up = true;
        said.push(Said { peer: self.id, event: Event::Peer(Arc::clone(&self.info)) });
        said.push(Said { peer: self.id, event: Event::Up });
    }

    /// Whether its number is of no use to it.
    fn is_free(&self, now: Instant) -> bool {
        !self.up && self.empty_at.is_none_or(|at| at <= now)
    }
}

/// A router, over all its connections.
#[derive(Debug)]
pub struct Router {
    settings: RouterSettings,
    id: PeerId,
    ids: Arc<PeerIds>,
    sessions: HashMap<PeerKey, Session>,
    ribs: BTreeMap<(PeerKey, Rib), Taken>,
    preferred: Preferred,
    /// Whether something was not taken because of the Loc-RIB, on this connection.
    left_out: bool,
    batch: Option<(PeerId, Vec<Route>)>,
    /// ASes of the paths of all routes that are held.
    ases: u64,
    status: RouterStatus,
}

impl Router {
    /// A router that has not connected yet. It is a peer itself, without routes, whose number is `id`; its peers' RIBs
    /// get theirs from `ids`.
    #[must_use]
    pub fn new(settings: RouterSettings, id: PeerId, ids: Arc<PeerIds>) -> Self {
        Self {
            settings,
            id,
            ids,
            sessions: HashMap::new(),
            ribs: BTreeMap::new(),
            preferred: Preferred::default(),
            left_out: false,
            batch: None,
            ases: 0,
            status: RouterStatus::default(),
        }
    }

    /// What is known of it.
    #[must_use]
    pub const fn status(&self) -> &RouterStatus {
        &self.status
    }

    /// A connection begins.
    pub fn connected(&mut self, said: &mut Vec<Said>) {
        self.preferred = Preferred::default();
        self.left_out = false;
        said.push(Said { peer: self.id, event: Event::Up });
    }

    /// Takes a message. What it says of routes is added to `said`, some of it only with [`Router::flush`].
    ///
    /// # Errors
    /// [`End`]: the connection is of no use any more.
    pub fn take(&mut self, message: Message<'_>, said: &mut Vec<Said>) -> Result<(), End> {
        self.status.messages += 1;
        match message {
            Message::RouteMonitoring(header, update) => return self.update(header, update, said),
            Message::PeerUp(header, up) => self.peer_up(header, &up, said),
            Message::PeerDown(header, gone) => return self.peer_down(header, gone, said),
            Message::Statistics(header, numbers) => {
                if self.sessions.contains_key(&header.peer) {
                    self.status.statistics.entry(header.peer).or_default().extend(numbers.numbers());
                }
            }
            Message::Initiation(texts) => {
                self.status.sys_name = texts.text(SYS_NAME);
                self.status.sys_descr = texts.text(SYS_DESCR);
                let name = self.status.sys_name.as_deref().unwrap_or("a router without a name");
                info!("BMP {}: {name} reports", self.settings.name);
            }
            Message::Termination(why) => return Err(End::Terminated(reason(why))),
            Message::Other(kind) => debug!("BMP {}: message of type {kind}", self.settings.name),
        }
        Ok(())
    }

    /// Adds what was put together.
    pub fn flush(&mut self, said: &mut Vec<Said>) {
        if let Some((peer, routes)) = self.batch.take().filter(|(_, routes)| !routes.is_empty()) {
            said.push(Said { peer, event: Event::Routes(routes) });
        }
    }

    /// The connection is lost.
    pub fn lost(&mut self, why: &str, said: &mut Vec<Said>) {
        self.flush(said);
        self.sessions.clear();
        self.status.peers = 0;
        self.status.statistics.clear();
        let stale_seconds = self.settings.stale_seconds;
        for key in self.keys(|_, _| true) {
            self.down(key, why, stale_seconds, said);
        }
        said.push(Said { peer: self.id, event: Event::Down(Lost { why: why.to_owned(), stale_seconds }) });
    }

    fn keys(&self, which: impl Fn(PeerKey, Rib) -> bool) -> Vec<(PeerKey, Rib)> {
        self.ribs.keys().copied().filter(|&(peer, rib)| which(peer, rib)).collect()
    }

    /// A RIB ends, if it was up; its routes stay for a while.
    fn down(&mut self, key: (PeerKey, Rib), why: &str, stale_seconds: u32, said: &mut Vec<Said>) {
        let Some(taken) = self.ribs.get_mut(&key) else { return };
        let counts = taken.held.counts();
        self.status.held.ipv4 -= counts.ipv4;
        self.status.held.ipv6 -= counts.ipv6;
        self.ases -= taken.held.ases();
        taken.held = Held::new(u32::MAX);
        if std::mem::take(&mut taken.up) {
            taken.empty_at = Some(Instant::now() + Duration::from_secs(stale_seconds.into()));
            let lost = Lost { why: why.to_owned(), stale_seconds };
            said.push(Said { peer: taken.id, event: Event::Down(lost) });
        }
    }

    fn peer_up(&mut self, header: PeerHeader, up: &PeerUp<'_>, said: &mut Vec<Said>) {
        self.flush(said);
        let name = &self.settings.name;
        let PeerHeader { peer, asn, .. } = header;
        if peer.distinguisher != 0 {
            debug!(
                "BMP {name}: {} is of another routing instance than the global one: ignored",
                peer.address
            );
            return;
        }
        let (Some(sent), Some(received)) = (read_open(up.sent), read_open(up.received)) else {
            self.malformed(format_args!("{} is up without two good OPENs, and ignored", describe(peer)));
            return;
        };
        let (sent_can, received_can) = (&sent.capabilities, &received.capabilities);
        let mut add_path = received_can.add_path_send.and(sent_can.add_path_receive);
        let mut local_as = sent.asn();
        if peer.loc_rib {
            // Both OPENs are the router's own, made to say how its routes look (RFC 9069, section 5.1).
            let either = |one: Families<bool>, other: Families<bool>| Families {
                ipv4: one.ipv4 || other.ipv4,
                ipv6: one.ipv6 || other.ipv6,
            };
            let of = |can: &codec::open::Capabilities| either(can.add_path_send, can.add_path_receive);
            add_path = either(of(sent_can), of(received_can));
            local_as = asn;
        }
        let internal = peer.loc_rib || received.asn() == sent.asn();
        info!("BMP {name}: {} is up, AS{asn}", describe(peer));
        // Of a peer that was there: nobody said that it went, but it must have.
        let again = self.sessions.insert(peer, Session { local_as, internal, add_path }).is_some();
        self.status.peers = self.sessions.len() as u64;
        self.preferred.gone(peer);
        for key in self.keys(|its, _| its == peer) {
            if again {
                self.down(key, "it came up again", OVERLAP, said);
            }
            let wanted = self.preferred.families(self.settings.rib, peer, key.1) != Families::default();
            if let Some(taken) = self.ribs.get_mut(&key) {
                taken.decoder = None;
                if taken.info.local_as != local_as {
                    taken.info = Arc::new(PeerInfo { local_as, ..(*taken.info).clone() });
                }
                if wanted {
                    taken.up(said);
                }
            }
        }
    }

    fn peer_down(&mut self, header: PeerHeader, gone: Gone, said: &mut Vec<Said>) -> Result<(), End> {
        self.flush(said);
        let peer = header.peer;
        self.status.statistics.remove(&peer);
        if self.sessions.remove(&peer).is_none() {
            return Ok(());
        }
        self.status.peers = self.sessions.len() as u64;
        info!("BMP {}: {} is down: {gone}", self.settings.name, describe(peer));
        let others_are_needed = peer.loc_rib && self.left_out;
        self.preferred.gone(peer);
        // The router itself has none of its routes any more (RFC 7854, section 4.9).
        let stale_seconds = if others_are_needed { OVERLAP } else { 0 };
        for key in self.keys(|its, _| its == peer) {
            self.down(key, &gone.to_string(), stale_seconds, said);
        }
        // A router sends a RIB when it connects, and then what changes: there is no asking for it.
        if others_are_needed { Err(End::LocRib) } else { Ok(()) }
    }

    fn update(&mut self, header: PeerHeader, update: &[u8], said: &mut Vec<Said>) -> Result<(), End> {
        self.status.updates += 1;
        let PeerHeader { peer, rib, two_octet, .. } = header;
        let Some(session) = self.sessions.get(&peer).copied() else {
            self.status.ignored += 1;
            return Ok(());
        };
        let families = self.preferred.families(self.settings.rib, peer, rib);
        if families == Families::default() {
            self.status.ignored += 1;
            self.left_out |= self.preferred.leaves_out(self.settings.rib, rib);
            return Ok(());
        }
        let Some(id) = self.number(peer, rib, session) else {
            self.status.ignored += 1;
            return Ok(());
        };
        if self.batch.as_ref().is_some_and(|(peer, routes)| *peer != id || routes.len() >= BATCH) {
            self.flush(said);
        }
        let Some(taken) = self.ribs.get_mut(&(peer, rib)) else { return Ok(()) };
        let context = Context {
            four_octet: !two_octet,
            // A LOCAL_PREF that policy gave a neighbour's route is the router's own.
            internal: session.internal || rib != Rib::PrePolicy,
            families,
            add_path: session.add_path,
        };
        let decoder = match &mut taken.decoder {
            Some((its, decoder)) if *its == context => decoder,
            other => &mut other.insert((context, Decoder::new(context))).1,
        };
        let (_, routes) = self.batch.get_or_insert_with(|| (id, Vec::new()));
        let first = routes.len();
        let read = match codec::message(update, true) {
            Ok(Some(message)) if message.kind == Kind::Update && message.len == update.len() => {
                decoder.decode(message.body, routes).map_err(|reset| reset.to_string())
            }
            Ok(_) => Err("it is no whole UPDATE".to_owned()),
            Err(reset) => Err(reset.to_string()),
        };
        let contents = match read {
            Ok(contents) => contents,
            Err(why) => {
                self.malformed(format_args!("an UPDATE of {} is left out: {why}", describe(peer)));
                return Ok(());
            }
        };
        if contents.ignored > 0 {
            self.status.ignored += u64::from(routes.len() == first);
            self.left_out |= self.preferred.leaves_out(self.settings.rib, rib);
        }
        if !taken.up {
            taken.up(said);
        }
        let routes = routes.get_mut(first..).unwrap_or_default();
        without_own_as(routes, session.local_as);
        let announced = routes.iter().filter(|route| route.attributes.is_some());
        let announced: Families<bool> = announced.map(|route| Family::of(&route.prefix)).collect();
        let status = &mut self.status;
        status.announced += contents.announced as u64;
        status.withdrawn += contents.withdrawn as u64;
        status.treated_as_withdraw += u64::from(contents.treated_as_withdraw.is_some());
        status.discarded_attributes += u64::from(contents.discarded.is_some());
        let (before, ases) = (taken.held.counts(), taken.held.ases());
        // It takes as many as there are: what is too much is too much for the router.
        let _ = taken.held.take(routes);
        let now = taken.held.counts();
        status.held.ipv4 = status.held.ipv4 + now.ipv4 - before.ipv4;
        status.held.ipv6 = status.held.ipv6 + now.ipv6 - before.ipv6;
        self.ases = self.ases + taken.held.ases() - ases;
        for family in announced.iter() {
            if self.preferred.came(peer, rib, family) {
                self.leave((peer, rib), family, said);
            }
        }
        let held = self.status.held.ipv4 + self.status.held.ipv6;
        if let Some(family) = contents.end_of_rib {
            self.flush(said);
            said.push(Said { peer: id, event: Event::EndOfRib(family) });
        }
        let RouterSettings { max_prefixes, max_memory, .. } = self.settings;
        if held > max_prefixes.into() {
            Err(End::Prefixes(max_prefixes))
        } else if ROUTE_BYTES * held + 4 * self.ases > max_memory {
            Err(End::Memory(max_memory))
        } else {
            Ok(())
        }
    }

    /// Counts what could not be read. The first is logged, and then ever fewer: a router that sends one sends many.
    fn malformed(&mut self, what: fmt::Arguments<'_>) {
        self.status.malformed += 1;
        let count = self.status.malformed;
        if count.is_power_of_two() {
            warn!("BMP {}: {what} ({count} such messages so far)", self.settings.name);
        }
    }

    /// Something better than before comes of a family: what is behind it is left, once this has come, or after a while.
    fn leave(&mut self, better: (PeerKey, Rib), family: Family, said: &mut Vec<Said>) {
        for key in self.keys(|peer, rib| preferred::behind(peer, rib, better)) {
            let Some(taken) = self.ribs.get_mut(&key).filter(|taken| taken.up) else { continue };
            let (count, ases) = (taken.held.counts()[family], taken.held.ases());
            if count == 0 {
                continue;
            }
            taken.held.forget(family);
            self.status.held[family] -= count;
            self.ases -= ases - taken.held.ases();
            self.left_out |= better.1 == Rib::LocRib;
            // Which does not come.
            said.push(Said { peer: taken.id, event: Event::Refresh(family) });
        }
    }

    /// The number of a RIB; it is made if need be.
    fn number(&mut self, peer: PeerKey, rib: Rib, session: Session) -> Option<PeerId> {
        if let Some(taken) = self.ribs.get(&(peer, rib)) {
            return Some(taken.id);
        }
        let now = Instant::now();
        let free = self.ribs.iter().find(|(_, taken)| taken.is_free(now)).map(|(key, _)| *key);
        let id = match free.and_then(|key| self.ribs.remove(&key)) {
            Some(before) => Some(before.id),
            None if self.ribs.len() < MAX_RIBS => self.ids.next(),
            None => None,
        };
        let Some(id) = id else {
            self.malformed(format_args!("there is no number left for {}, which is ignored", describe(peer)));
            return None;
        };
        let name = if peer.loc_rib {
            format!("{} Loc-RIB", self.settings.name)
        } else {
            format!("{} {} {rib}", self.settings.name, peer.address)
        };
        let info = PeerInfo {
            name,
            kind: PeerKind::Bmp,
            standing: rib.standing().unwrap_or_default(),
            local_as: session.local_as,
            router: Some(self.id),
        };
        let held = Held::new(u32::MAX);
        let taken = Taken { id, info: Arc::new(info), up: false, empty_at: None, decoder: None, held };
        self.ribs.insert((peer, rib), taken);
        Some(id)
    }
}

/// FRR until 2026 reports paths as it would announce them, its own AS before that of an external neighbour. No path that a
/// router takes begins with its own AS.
fn without_own_as(routes: &mut [Route], own: Asn) {
    let mut last: Option<(Arc<Attributes>, Arc<Attributes>)> = None;
    for attributes in routes.iter_mut().filter_map(|route| route.attributes.as_mut()) {
        let Some((_, path)) = attributes.path.split_first().filter(|(first, _)| **first == own) else {
            continue;
        };
        let without = match &last {
            Some((before, without)) if Arc::ptr_eq(before, attributes) => Arc::clone(without),
            _ => Arc::new(Attributes { path: path.into(), ..(**attributes).clone() }),
        };
        let before = std::mem::replace(attributes, Arc::clone(&without));
        last = Some((before, without));
    }
}

fn read_open(message: &[u8]) -> Option<Open> {
    let body = message.get(HEADER..)?;
    let kind = message.get(HEADER - 1)?;
    (*kind == Kind::Open as u8).then(|| Open::decode(body).ok()).flatten()
}

fn describe(peer: PeerKey) -> String {
    if peer.loc_rib { "its Loc-RIB".to_owned() } else { format!("its peer {}", peer.address) }
}

/// A Termination's reason (RFC 7854, section 4.5).
fn reason(why: Tlvs<'_>) -> String {
    let code = why
        .filter(|(kind, _)| *kind == REASON)
        .find_map(|(_, value)| value.try_into().ok().map(u16::from_be_bytes));
    let reason = match code {
        Some(0) => "by its administrator",
        Some(1) => "for a reason that it does not say",
        Some(2) => "it is out of resources",
        Some(3) => "it has another connection",
        Some(4) => "for good, by its administrator",
        _ => "no reason given",
    };
    match why.text(TEXT) {
        Some(text) => format!("{reason} ({text})"),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
