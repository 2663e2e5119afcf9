//! What peers announce now: every route of every peer, and for each prefix the one that counts.
//!
//! [`Live`] takes [`Event`]s and says which origin counts for a prefix from now on, and by which path, where that
//! changed: the routes of all peers together are one source of the RIB, [`SourceId::live`]`(0)`, because which of them
//! counts is no question of an order of sources. Reading order: [`best`] (which route counts), [`attributes`] (shared),
//! `routes` (where they are), [`peers`] (who they are of, and when they are stale), here.
//!
//! Nothing here takes long at a time: a lost session marks its routes by a number, and what is stale for too long, or
//! was not announced again, goes in portions ([`Live::clean`]). Looking for what goes is one walk over a family's prefixes,
//! however many peers it is of: those of a BMP router that is lost go together.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

pub mod attributes;
pub mod best;
pub mod peers;
mod routes;

use self::{
    attributes::Store,
    best::{Contender, Criterion},
    peers::{Peer, PeerStatus},
    routes::{Announced, Index, Key, KeyV4, KeyV6, Route, Routes},
};
use super::{
    origins::Origins,
    rib::{PrefixCounts, SourceId},
};
use crate::{
    ingest::live::{self, Attributes, Event, PathId, PeerId, PeerInfo},
    model::{Asn, Family, Prefix},
};

/// The RIB's source of all peers' routes together.
pub const SOURCE: SourceId = SourceId(1);

/// What all peers together say of a prefix from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The prefix.
    pub prefix: Prefix,
    /// Its origins; `None` where no peer has a route any more.
    pub origins: Option<Origins>,
    /// Whether these are others than before: if not, it is something else of the route that counts, such as its path.
    pub origins_changed: bool,
    /// The route that counts; `None` where there is none any more.
    pub route: Option<Arc<Attributes>>,
}

/// What [`Difference`] says beside the prefix.
struct Changed {
    origins: Option<Origins>,
    origins_changed: bool,
    route: Option<Arc<Attributes>>,
}

impl Changed {
    fn of(self, prefix: Prefix) -> Difference {
        let Self { origins, origins_changed, route } = self;
        Difference { prefix, origins, origins_changed, route }
    }
}

/// One of the routes for a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Whose it is.
    pub peer: PeerId,
    /// Which of the peer's.
    pub path_id: PathId,
    /// What it says.
    pub attributes: Arc<Attributes>,
    /// How long it has been as it is.
    pub age: Duration,
    /// Whether its peer is away, or has not announced it again yet.
    pub stale: bool,
    /// What it lost by; `None`: it counts.
    pub lost_by: Option<Criterion>,
}

/// From which epoch on routes of peers stay: what came before has to go.
type Going = HashMap<PeerId, u16>;

/// Stale routes that have to go.
#[derive(Default)]
struct Cleaning {
    /// Of peers' families, by [`Family`], that were not looked for yet.
    waiting: [Going; 2],
    /// Of what is going now.
    going: Going,
    /// Prefixes that had such routes and were not looked at yet, ascending.
    prefixes: Vec<Prefix>,
}

/// All routes of all peers.
pub struct Live {
    v4: Index<KeyV4>,
    v6: Index<KeyV6>,
    shared: Shared,
    cleaning: Cleaning,
    began: Instant,
}

/// What the routes of both families share.
#[derive(Default)]
struct Shared {
    peers: Vec<Peer>,
    store: Store,
    routes: Routes,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("peers", &self.shared.peers).field("prefixes", &self.counts()).finish()
    }
}

impl Live {
    /// Without peers; ages are counted from `now` on.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            v4: Index::default(),
            v6: Index::default(),
            shared: Shared::default(),
            cleaning: Cleaning::default(),
            began: now,
        }
    }

    /// Takes what a peer said. What changed for the RIB is added to `differences`; what has to go because of it goes
    /// with [`Live::clean`].
    pub fn take(&mut self, peer: PeerId, event: Event, now: Instant, differences: &mut Vec<Difference>) {
        match event {
            Event::Peer(info) => self.shared.peer(peer).info = info,
            Event::Up => self.shared.peer(peer).come_up(now),
            Event::Down(lost) => self.shared.peer(peer).go_down(lost, now),
            Event::Refresh(family) => self.shared.peer(peer).refresh(family, now),
            Event::EndOfRib(family) => {
                if let Some(epoch) = self.shared.peer(peer).finish(family) {
                    self.goes(peer, family, epoch);
                }
            }
            Event::Routes(routes) => {
                self.shared.peer(peer).changed = Some(now);
                let now = now.saturating_duration_since(self.began).as_secs() as u32;
                for route in routes {
                    let live::Route { prefix, path_id, attributes } = route;
                    let changed = match &prefix {
                        Prefix::V4(net) => self.shared.change(
                            &mut self.v4,
                            net.into(),
                            (peer, path_id),
                            attributes.as_ref(),
                            now,
                        ),
                        Prefix::V6(net) => self.shared.change(
                            &mut self.v6,
                            net.into(),
                            (peer, path_id),
                            attributes.as_ref(),
                            now,
                        ),
                    };
                    differences.extend(changed.map(|changed| changed.of(prefix)));
                }
            }
        }
        // A session that ends without a time for its routes leaves none behind.
        let due: Vec<_> = self.shared.peer(peer).due(now).collect();
        for (family, epoch) in due {
            self.goes(peer, family, epoch);
        }
    }

    /// Sees which stale routes have been so for too long; they go with [`Live::clean`].
    pub fn tick(&mut self, now: Instant) {
        let peers = (0..).zip(&mut self.shared.peers);
        let due = peers.flat_map(|(number, peer)| peer.due(now).map(move |due| (PeerId(number), due)));
        let due: Vec<_> = due.collect();
        for (peer, (family, epoch)) in due {
            self.goes(peer, family, epoch);
        }
    }

    /// When [`Live::tick`] has something to do.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.shared.peers.iter().filter_map(Peer::until).min()
    }

    /// Takes out up to `limit` prefixes' routes that have to go, or looks for them once, over a family. Whether there are
    /// more.
    pub fn clean(&mut self, limit: usize, differences: &mut Vec<Difference>) -> bool {
        if self.cleaning.prefixes.is_empty() {
            self.look();
        }
        let Self { v4, v6, shared, cleaning, .. } = self;
        let gone = |route: &Route| goes(&cleaning.going, route);
        for _ in 0..limit {
            let Some(prefix) = cleaning.prefixes.pop() else { break };
            let changed = match &prefix {
                Prefix::V4(net) => shared.withdraw(v4, net.into(), gone),
                Prefix::V6(net) => shared.withdraw(v6, net.into(), gone),
            };
            differences.extend(changed.map(|changed| changed.of(prefix)));
        }
        self.cleaning()
    }

    /// Whether [`Live::clean`] has something to do.
    #[must_use]
    pub fn cleaning(&self) -> bool {
        let Cleaning { waiting, prefixes, .. } = &self.cleaning;
        !prefixes.is_empty() || waiting.iter().any(|going| !going.is_empty())
    }

    /// What a peer announced of a family before an epoch has to go.
    fn goes(&mut self, peer: PeerId, family: Family, epoch: u16) {
        self.cleaning.waiting[family as usize].insert(peer, epoch);
    }

    /// Looks for what has to go of a family, of all peers at once.
    fn look(&mut self) {
        let [v4, v6] = &mut self.cleaning.waiting;
        let (family, waiting) = if v4.is_empty() { (Family::Ipv6, v6) } else { (Family::Ipv4, v4) };
        let going = std::mem::take(waiting);
        if going.is_empty() {
            return;
        }
        let shared = &self.shared;
        let gone = |first| shared.routes.chain(first).any(|route| goes(&going, route));
        fn prefixes<K: Key>(index: &Index<K>, gone: impl Fn(u32) -> bool) -> Vec<Prefix> {
            index.iter().filter(|(_, first)| gone(*first)).filter_map(|(key, _)| key.prefix()).collect()
        }
        let mut prefixes = match family {
            Family::Ipv4 => prefixes(&self.v4, gone),
            Family::Ipv6 => prefixes(&self.v6, gone),
        };
        // Neighbours together: that is several times faster for RIB and FIB.
        prefixes.sort_unstable();
        self.cleaning.prefixes = prefixes;
        self.cleaning.going = going;
    }

    /// How many prefixes have a route, each counted once.
    #[must_use]
    pub fn counts(&self) -> PrefixCounts {
        PrefixCounts { ipv4: self.v4.len(), ipv6: self.v6.len() }
    }

    /// How many different attributes the routes have.
    #[must_use]
    pub fn attributes(&self) -> usize {
        self.shared.store.len()
    }

    /// The peers that have been heard of.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> {
        (0..).zip(&self.shared.peers).map(|(number, peer)| peer.status(PeerId(number)))
    }

    /// Who a peer is.
    #[must_use]
    pub fn peer(&self, peer: PeerId) -> Option<&PeerInfo> {
        self.shared.peers.get(usize::from(peer.0)).map(|peer| &*peer.info)
    }

    /// What the route that counts for exactly this prefix says.
    #[must_use]
    pub fn best(&self, prefix: &Prefix) -> Option<&Arc<Attributes>> {
        self.shared.store.get(self.chain(prefix).next()?.attributes)
    }

    /// The longest prefix around an address that some peer announces.
    #[must_use]
    pub fn longest(&self, address: IpAddr) -> Option<Prefix> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (0..=bits)
            .rev()
            .filter_map(|length| Prefix::new_truncate(address, length).ok())
            .find(|prefix| self.chain(prefix).next().is_some())
    }

    /// All routes for exactly this prefix, the one that counts first.
    #[must_use]
    pub fn candidates(&self, prefix: &Prefix, now: Instant) -> Vec<Candidate> {
        let Shared { peers, .. } = &self.shared;
        let family = Family::of(prefix);
        let now = now.saturating_duration_since(self.began);
        let routes: Vec<_> = self.chain(prefix).filter_map(|route| self.shared.contender(route)).collect();
        let winner = routes.first().map(|(winner, _)| *winner);
        let candidates = self.chain(prefix).zip(routes).enumerate().filter_map(
            |(place, (route, (contender, attributes)))| {
                let peer = peers.get(usize::from(route.peer.0))?;
                Some(Candidate {
                    peer: route.peer,
                    path_id: route.path_id,
                    attributes: Arc::clone(attributes),
                    age: now.saturating_sub(Duration::from_secs(route.since.into())),
                    stale: peer.families[family as usize].epoch != route.epoch,
                    lost_by: winner.filter(|_| place > 0).map(|winner| best::lost_by(&winner, &contender)),
                })
            },
        );
        candidates.collect()
    }

    fn chain(&self, prefix: &Prefix) -> impl Iterator<Item = &Route> {
        let first = match prefix {
            Prefix::V4(net) => self.v4.first(net.into()),
            Prefix::V6(net) => self.v6.first(net.into()),
        };
        first.into_iter().flat_map(|first| self.shared.routes.chain(first))
    }
}

/// Whether a route has to go. Epochs begin again at 0.
fn goes(going: &Going, route: &Route) -> bool {
    going.get(&route.peer).is_some_and(|epoch| epoch.wrapping_sub(route.epoch) as i16 > 0)
}

impl Shared {
    fn peer(&mut self, peer: PeerId) -> &mut Peer {
        let place = usize::from(peer.0);
        if self.peers.len() <= place {
            self.peers.resize_with(place + 1, Peer::default);
        }
        &mut self.peers[place]
    }

    fn local_as(&self, peer: PeerId) -> Asn {
        self.peers.get(usize::from(peer.0)).map_or(0, |peer| peer.info.local_as)
    }

    fn contender(&self, route: &Route) -> Option<(Contender<'_>, &Arc<Attributes>)> {
        let attributes = self.store.get(route.attributes)?;
        let standing = self.peers.get(usize::from(route.peer.0))?.info.standing;
        Some((Contender { standing, attributes, peer: route.peer, path_id: route.path_id }, attributes))
    }

    /// Takes an announcement, or a withdrawal, in. What is said of the prefix from now on, if that changed.
    fn change<K: Key>(
        &mut self,
        index: &mut Index<K>,
        key: K,
        (peer, path_id): (PeerId, PathId),
        attributes: Option<&Arc<Attributes>>,
        now: u32,
    ) -> Option<Changed> {
        let Some(attributes) = attributes else {
            return self.withdraw(index, key, |route| route.peer == peer && route.path_id == path_id);
        };
        let handle = self.store.take(attributes);
        let family = self.peer(peer).family(K::FAMILY);
        let route = Route::new(peer, path_id, handle, family.epoch, now);
        let Announced { counted, instead, several } = index.announce(&mut self.routes, key, route);
        self.peer(peer).family(K::FAMILY).announced(instead.map(|before| before.epoch));
        if let Some(before) = instead.filter(|before| before.attributes == handle) {
            // As it was.
            self.store.release(before.attributes);
            return None;
        }
        let now = if several {
            self.choose(index, key);
            self.counted(index, key)
        } else {
            Some(route)
        };
        let changed = self.changed(self.origins(counted), counted, now);
        if let Some(before) = instead {
            self.store.release(before.attributes);
        }
        changed
    }

    /// What is said of a prefix from now on; before it was `before`, of the route `counted`.
    fn changed(
        &self,
        before: Option<Origins>,
        counted: Option<Route>,
        now: Option<Route>,
    ) -> Option<Changed> {
        let origins = self.origins(now);
        let origins_changed = before != origins;
        let same = counted.map(|route| route.attributes) == now.map(|route| route.attributes);
        if same && !origins_changed {
            return None;
        }
        let route = now.and_then(|route| self.store.get(route.attributes).cloned());
        Some(Changed { origins, origins_changed, route })
    }

    /// Takes a prefix's routes out that are such. What is said of it from now on, if that changed.
    fn withdraw<K: Key>(
        &mut self,
        index: &mut Index<K>,
        key: K,
        is: impl Fn(&Route) -> bool,
    ) -> Option<Changed> {
        let mut before = None;
        while let Some((counted, route)) = index.withdraw(&mut self.routes, key, &is) {
            before.get_or_insert_with(|| (self.origins(Some(counted)), counted));
            self.peer(route.peer).family(K::FAMILY).withdrawn(route.epoch);
            self.store.release(route.attributes);
        }
        let (before, counted) = before?;
        self.choose(index, key);
        self.changed(before, Some(counted), self.counted(index, key))
    }

    /// Puts the route that counts before the others.
    fn choose<K: Key>(&mut self, index: &mut Index<K>, key: K) {
        let Some(first) = index.first(key) else { return };
        let contenders: Vec<_> = self
            .routes
            .chain(first)
            .filter_map(|route| self.contender(route))
            .map(|(contender, _)| contender)
            .collect();
        if let Some(place) = best::best(&contenders) {
            index.promote(&mut self.routes, key, place);
        }
    }

    fn counted<K: Key>(&self, index: &Index<K>, key: K) -> Option<Route> {
        self.routes.chain(index.first(key)?).next().copied()
    }

    fn origins(&self, route: Option<Route>) -> Option<Origins> {
        let route = route?;
        self.store.origins(route.attributes, || self.local_as(route.peer))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
