//! Who talks: a long tail of ASes, the well-known first.

use anyhow::{Result, anyhow, bail};

use super::{
    Direction,
    frame::{Addresses, Frame},
    random::Random,
    routes::{self, As, Family, Piece},
};

/// Content first: what comes in.
const WELL_KNOWN_IN: &[u32] = &[
    2906, 15169, 32934, 16509, 714, 13335, 20940, 8075, 54113, 46489, 6185, 32590, 16276, 12876, 3215, 12322,
    15557, 5410, 2914, 24940,
];
/// Telecom and cloud first: what goes out.
const WELL_KNOWN_OUT: &[u32] = &[
    3215, 12322, 15557, 5410, 15169, 16509, 13335, 8075, 32934, 714, 3320, 7018, 6830, 2906, 20940, 16276,
    12876, 24940, 54113, 46489,
];

/// ASes that are drawn from in a direction: as many as one answer of the agent lists.
pub(crate) const ASES: usize = 80_000;

/// The ISP's own addresses: those for documentation (RFC 5737, RFC 3849).
const ISP_V4: Piece = Piece { first: 0xcb00_7100, last: 0xcb00_71ff, asn: 0 };
const ISP_V6: Piece = Piece { first: 0x2001_0db8 << 96, last: (0x2001_0db8 << 96) + 0xffff_ffff, asn: 0 };
/// The tag of a tagged frame.
pub(crate) const VLAN: u16 = 100;

/// One direction's traffic.
#[derive(Clone)]
pub(crate) struct Mix<'a> {
    direction: Direction,
    ases: &'a [As],
    /// Places in `ases`, most frequent first.
    order: Vec<usize>,
    /// By rank: the sum of the weights up to it.
    cumulative: Vec<f64>,
}

impl<'a> Mix<'a> {
    /// Ranks the ASes: the well-known, then by how many IPv4 addresses they have, [`ASES`] at most. Rank r has the weight 1/r (Zipf).
    pub(crate) fn new(direction: Direction, ases: &'a [As]) -> Result<Self> {
        if ases.is_empty() {
            bail!("there is no AS to draw from");
        }
        let known = match direction {
            Direction::In => WELL_KNOWN_IN,
            Direction::Out => WELL_KNOWN_OUT,
        };
        let place = |asn: u32| known.iter().position(|&other| other == asn).unwrap_or(known.len());
        let mut order: Vec<_> = (0..ases.len()).collect();
        order.sort_by_cached_key(|&index| {
            let entry = &ases[index];
            (place(entry.asn), u128::MAX - entry.v4_addresses(), entry.asn)
        });
        order.truncate(ASES);
        let mut sum = 0.0;
        let cumulative = (1..=order.len())
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        Ok(Self { direction, ases, order, cumulative })
    }

    /// The next frame, and the place of its AS in `ases`.
    pub(crate) fn draw(&self, random: &mut Random) -> Result<(usize, Frame)> {
        let most = self.cumulative.last().copied().unwrap_or_default();
        let point = random.unit() * most;
        let rank = self.cumulative.partition_point(|&sum| sum <= point).min(self.order.len() - 1);
        let index = self.order[rank];
        let entry = &self.ases[index];

        let family = match (entry.v4.is_empty(), entry.v6.is_empty()) {
            (false, false) if random.below(10) < 7 => Family::V4,
            (false, true) => Family::V4,
            _ => Family::V6,
        };
        let (pieces, local) = match family {
            Family::V4 => (&entry.v4, ISP_V4),
            Family::V6 => (&entry.v6, ISP_V6),
        };
        let piece = pieces[random.below(pieces.len() as u64) as usize];
        let remote = routes::address(family, random.between(piece.first, piece.last));
        let local = routes::address(family, random.between(local.first, local.last));
        let addresses = match self.direction {
            Direction::In => Addresses::new(remote, local),
            Direction::Out => Addresses::new(local, remote),
        };
        let addresses = addresses.ok_or_else(|| anyhow!("a piece of the wrong family"))?;
        let vlan = (random.below(10) == 0).then_some(VLAN);
        Ok((
            index,
            Frame { vlan, addresses, length: self.length(random).max(Frame::min_length(family, vlan)) },
        ))
    }

    /// Mostly full frames in, mostly short ones out, and all lengths between.
    fn length(&self, random: &mut Random) -> usize {
        let (full, short) = lengths(self.direction);
        let any = |random: &mut Random, first: usize, last: usize| {
            first + random.below((last - first + 1) as u64) as usize
        };
        match random.below(100) {
            percent if percent < full => Frame::MAX_LENGTH,
            percent if percent < full + short => any(random, 60, SHORT),
            _ => any(random, 60, Frame::MAX_LENGTH),
        }
    }
}

/// A short frame is no longer.
const SHORT: usize = 128;

/// Of 100 frames, how many are full and how many are short.
const fn lengths(direction: Direction) -> (u64, u64) {
    match direction {
        Direction::In => (60, 15),
        Direction::Out => (10, 65),
    }
}

/// The mean length of a frame, about: a few are longer than drawn, because of their headers.
pub(crate) fn mean_length(direction: Direction) -> f64 {
    let (full, short) = lengths(direction);
    let mean = |last: usize| (60.0 + last as f64) / 2.0;
    let others = (100 - full - short) as f64 * mean(Frame::MAX_LENGTH);
    (full as f64 * Frame::MAX_LENGTH as f64 + short as f64 * mean(SHORT) + others) / 100.0
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, net::IpAddr};

    use super::{Mix, mean_length};
    use crate::demo::{
        Direction,
        frame::{Addresses, Frame},
        random::Random,
        routes,
    };

    const TABLE: &str = "\
        45.57.0.0/17,2906,Netflix\n2a00:86c0::/32,2906,Netflix\n8.8.8.0/24,15169,Google\n\
        2.0.0.0/12,3215,Orange\n2.1.0.0/16,64500,Inside Orange\n2a01:c000::/19,3215,Orange\n";

    #[test]
    fn frames_have_their_ases_addresses_on_the_remote_side() {
        let ases = routes::parse(TABLE.as_bytes()).unwrap().ases().unwrap();
        for direction in [Direction::In, Direction::Out] {
            let mix = Mix::new(direction, &ases).unwrap();
            let mut random = Random(1);
            let mut drawn: HashMap<u32, u64> = HashMap::new();
            let mut sum = 0;
            let mut lengths = (usize::MAX, 0);
            for _ in 0..20_000 {
                let (index, frame) = mix.draw(&mut random).unwrap();
                let (source, destination): (IpAddr, IpAddr) = match frame.addresses {
                    Addresses::V4(source, destination) => (source.into(), destination.into()),
                    Addresses::V6(source, destination) => (source.into(), destination.into()),
                };
                let (remote, local) = match direction {
                    Direction::In => (source, destination),
                    Direction::Out => (destination, source),
                };
                let expected = match remote {
                    IpAddr::V4(address) => match address.octets() {
                        [45, 57, 0..=127, _] => 2906,
                        [8, 8, 8, _] => 15169,
                        [2, 1, ..] => 64500,
                        [2, 0..=15, ..] => 3215,
                        _ => panic!("{address} is in no prefix"),
                    },
                    IpAddr::V6(address) => match address.segments() {
                        [0x2a00, 0x86c0, ..] => 2906,
                        [0x2a01, 0xc000..=0xdfff, ..] => 3215,
                        _ => panic!("{address} is in no prefix"),
                    },
                };
                assert_eq!(ases[index].asn, expected);
                assert!(match local {
                    IpAddr::V4(address) => address.octets()[..3] == [203, 0, 113],
                    IpAddr::V6(address) => address.segments()[..2] == [0x2001, 0xdb8],
                });
                let mut bytes = Vec::new();
                frame.write(&mut bytes);
                assert_eq!(bytes.len(), frame.length);
                sum += frame.length;
                lengths = (lengths.0.min(frame.length), lengths.1.max(frame.length));
                *drawn.entry(expected).or_default() += 1;
            }
            assert_eq!(lengths, (60, Frame::MAX_LENGTH));
            let mean = sum as f64 / 20_000.0;
            assert!((0.95..1.05).contains(&(mean / mean_length(direction))), "{mean}");
            // Zipf over four: 12/25, 6/25, 4/25 and 3/25 of the frames, by rank.
            let first = if direction == Direction::In { 2906 } else { 3215 };
            assert!((9_200..10_000).contains(&drawn[&first]), "{drawn:?}");
            assert_eq!(drawn.len(), 4);
        }
    }
}
