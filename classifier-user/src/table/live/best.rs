//! Which of several routes for one prefix counts.
//!
//! In this order, as RFC 4271 9.1.2.2 has it as far as we know what the router knows:
//! 1. the peer's standing: the router's own choice before what its neighbours announce, before what is not filtered;
//! 2. the highest LOCAL_PREF (100 where there is none);
//! 3. the shortest path, an AS_SET being one AS;
//! 4. the lowest ORIGIN;
//! 5. the lowest MULTI_EXIT_DISC (0 where there is none) among those of one neighbour AS;
//! 6. the lowest peer, then the lowest path identifier.
//!
//! A stale route counts as before until it goes: what the router said last is nearer to what it does than what another
//! one says. MEDs are compared before anything is chosen, so the order in which routes came does not matter.

use std::{cmp::Reverse, fmt};

use crate::{
    ingest::live::{Attributes, PathId, PeerId, Standing},
    model::Asn,
};

/// LOCAL_PREF of a route that has none.
const LOCAL_PREF: u32 = 100;

/// A route as it is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contender<'a> {
    pub(super) standing: Standing,
    pub(super) attributes: &'a Attributes,
    pub(super) peer: PeerId,
    pub(super) path_id: PathId,
}

/// What a route lost by to the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// The other peer's routes go before this one's.
    Standing,
    /// A lower LOCAL_PREF.
    LocalPref,
    /// A longer path.
    PathLength,
    /// A higher ORIGIN.
    Origin,
    /// A higher MULTI_EXIT_DISC from the same neighbour AS.
    Med,
    /// Nothing but the order of peers and path identifiers.
    Peer,
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standing => "the peer's standing",
            Self::LocalPref => "local preference",
            Self::PathLength => "path length",
            Self::Origin => "origin code",
            Self::Med => "MED",
            Self::Peer => "order of peers",
        })
    }
}

/// Everything before the MED.
type Rank = (Standing, Reverse<u32>, usize, u8);

impl Contender<'_> {
    fn rank(&self) -> Rank {
        let Attributes { path, set, local_pref, origin, .. } = self.attributes;
        let length = path.len() + usize::from(!set.is_empty());
        (self.standing, Reverse(local_pref.unwrap_or(LOCAL_PREF)), length, *origin)
    }

    fn neighbor(&self) -> Option<Asn> {
        self.attributes.path.first().copied()
    }

    fn med(&self) -> u32 {
        self.attributes.med.unwrap_or(0)
    }
}

/// The place of the route that counts; `None` of none.
pub(super) fn best(contenders: &[Contender<'_>]) -> Option<usize> {
    if contenders.len() < 2 {
        return contenders.first().map(|_| 0);
    }
    let first = contenders.iter().map(Contender::rank).min()?;
    let mut equal: Vec<_> = contenders
        .iter()
        .enumerate()
        .filter(|(_, contender)| contender.rank() == first)
        .map(|(place, contender)| {
            (contender.neighbor(), contender.med(), contender.peer, contender.path_id, place)
        })
        .collect();
    equal.sort_unstable();
    let of_neighbors = equal.chunk_by(|a, b| a.0 == b.0);
    // Sorted by MED within a neighbour, then peer and path identifier: the first of each is its best.
    let winner = of_neighbors.filter_map(|routes| routes.first()).min_by_key(|route| (route.2, route.3))?;
    Some(winner.4)
}

/// What `other` lost by to `winner`.
pub(super) fn lost_by(winner: &Contender<'_>, other: &Contender<'_>) -> Criterion {
    let (first, second) = (winner.rank(), other.rank());
    if first.0 != second.0 {
        Criterion::Standing
    } else if first.1 != second.1 {
        Criterion::LocalPref
    } else if first.2 != second.2 {
        Criterion::PathLength
    } else if first.3 != second.3 {
        Criterion::Origin
    } else if winner.neighbor() == other.neighbor() && winner.med() != other.med() {
        Criterion::Med
    } else {
        Criterion::Peer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(path: &[Asn], local_pref: Option<u32>, med: Option<u32>) -> Attributes {
        Attributes { path: path.into(), local_pref, med, ..Attributes::default() }
    }

    fn contender(standing: Standing, attributes: &Attributes, peer: u16) -> Contender<'_> {
        Contender { standing, attributes, peer: PeerId(peer), path_id: 0 }
    }

    #[test]
    fn one_criterion_after_the_other() {
        use Standing::{Neighbor, Router, Unfiltered};
        let long = attributes(&[1, 2, 3], None, Some(5));
        let better_med = attributes(&[1, 2, 4], None, None);
        let other_neighbor = attributes(&[2, 2, 4], None, Some(9));
        let short = attributes(&[1, 3], None, None);
        let preferred = attributes(&[1, 2, 3, 4], Some(101), None);
        let worse_origin = Attributes { origin: 2, ..long.clone() };
        let set = Attributes { set: [3, 9].into(), ..attributes(&[1, 2], None, Some(5)) };
        for (winner, loser, criterion) in [
            (contender(Router, &long, 9), contender(Neighbor, &preferred, 1), Criterion::Standing),
            (contender(Neighbor, &long, 9), contender(Unfiltered, &preferred, 1), Criterion::Standing),
            (contender(Neighbor, &preferred, 9), contender(Neighbor, &short, 1), Criterion::LocalPref),
            (contender(Neighbor, &short, 9), contender(Neighbor, &long, 1), Criterion::PathLength),
            (contender(Neighbor, &long, 9), contender(Neighbor, &worse_origin, 1), Criterion::Origin),
            (contender(Neighbor, &better_med, 9), contender(Neighbor, &long, 1), Criterion::Med),
            (contender(Neighbor, &other_neighbor, 1), contender(Neighbor, &better_med, 2), Criterion::Peer),
            (contender(Neighbor, &set, 1), contender(Neighbor, &long, 2), Criterion::Peer),
        ] {
            assert_eq!(best(&[winner, loser]), Some(0), "{winner:?} {loser:?}");
            assert_eq!(best(&[loser, winner]), Some(1), "{winner:?} {loser:?}");
            assert_eq!(lost_by(&winner, &loser), criterion);
        }
        assert_eq!(best(&[]), None);
    }

    /// With MEDs, comparing two at a time depends on their order: here each beats the next one.
    #[test]
    fn the_order_in_which_routes_come_does_not_matter() {
        let a = attributes(&[1, 9], None, Some(10));
        let b = attributes(&[2, 9], None, None);
        let c = attributes(&[1, 9], None, Some(5));
        let routes = [(&a, 1), (&b, 2), (&c, 3)]
            .map(|(attributes, peer)| contender(Standing::Neighbor, attributes, peer));
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let contenders = order.map(|place| routes[place]);
            let winner = best(&contenders).expect("one");
            assert_eq!(contenders[winner].peer, PeerId(2), "c beats a, and b is before c");
        }
    }
}
