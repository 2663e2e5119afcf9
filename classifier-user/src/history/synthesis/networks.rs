//! Who is there, and how much of all traffic: the built-in groups with their own AS numbers, and a tail.

use super::{habit::Habit, hash};
use crate::{
    model::{Asn, Direction},
    table::groups::Groups,
};

/// Groups whose part is known better than by their kind: their part of all bytes in and out, and of these how much is
/// IPv6. The order of magnitude is that of a French ISP for homes.
const KNOWN: &[(&str, f64, f64, f64)] = &[
    ("google", 0.180, 0.085, 0.72),
    ("netflix", 0.128, 0.012, 0.55),
    ("akamai", 0.078, 0.020, 0.35),
    ("meta", 0.072, 0.060, 0.80),
    ("amazon", 0.064, 0.045, 0.18),
    ("apple", 0.038, 0.030, 0.60),
    ("tiktok", 0.033, 0.018, 0.25),
    ("cloudflare", 0.032, 0.022, 0.45),
    ("microsoft", 0.030, 0.034, 0.30),
    ("disney", 0.018, 0.002, 0.40),
    ("valve", 0.016, 0.004, 0.02),
    ("fastly", 0.015, 0.006, 0.40),
    ("ovh", 0.013, 0.030, 0.12),
    ("sony", 0.012, 0.004, 0.00),
    ("edgio", 0.011, 0.003, 0.20),
    ("twitch", 0.011, 0.004, 0.00),
    ("canalplus", 0.010, 0.001, 0.00),
    ("orange", 0.009, 0.098, 0.40),
    ("free", 0.008, 0.085, 0.62),
    ("sfr", 0.007, 0.060, 0.35),
    ("bouygues", 0.006, 0.055, 0.50),
    ("francetelevisions", 0.006, 0.001, 0.20),
    ("tf1", 0.005, 0.001, 0.00),
    ("snap", 0.005, 0.004, 0.30),
    ("epic", 0.005, 0.001, 0.00),
    ("scaleway", 0.005, 0.012, 0.20),
    ("dtag", 0.003, 0.030, 0.55),
    ("comcast", 0.002, 0.020, 0.60),
    ("cogent", 0.004, 0.016, 0.05),
    ("hetzner", 0.004, 0.012, 0.25),
];
/// The AS that most of its group's traffic is of, where it is not the first one that is listed.
const MAIN: &[Asn] = &[
    15169, 2906, 32934, 16509, 714, 13335, 20940, 8075, 54113, 46489, 32590, 16276, 12876, 3215, 12322,
    15557, 5410, 24940, 3320, 7922, 174, 396986, 15133, 40027,
];
/// What the groups that are not named above have together.
const OTHER_GROUPS: [f64; 2] = [0.050, 0.060];
/// What the tail has.
const TAIL: [f64; 2] = [0.140, 0.165];
/// ASes of a group that have traffic: the first have most of it.
const OF_A_GROUP: usize = 3;

/// A network.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) asn: Asn,
    /// Its group's place among the groups.
    pub(super) group: Option<usize>,
    /// Its part of all bytes, by [`Direction`].
    pub(super) parts: [f64; 2],
    pub(super) habit: Habit,
    /// What of its bytes is IPv6.
    pub(super) ipv6: f64,
    /// What of its bytes goes over the first link.
    pub(super) first_link: f64,
    /// What it has at the end of a month of what it had at its beginning.
    pub(super) growth: f64,
    /// What of all hours it is there at all.
    pub(super) presence: f64,
}

/// All networks, ascending by AS: those of the groups, and of `tail` those that are in none.
pub(super) fn networks(groups: &Groups, tail: &[Asn]) -> Vec<Network> {
    let others = groups.all().iter().filter(|group| known(&group.key).is_none()).count().max(1);
    let mut networks = Vec::new();
    for (index, group) in groups.all().iter().enumerate() {
        let (inward, outward, ipv6) = known(&group.key).unwrap_or_else(|| {
            let of_others = |part: f64| part / others as f64 * (0.4 + 1.2 * unit(&group.key, 1));
            (of_others(OTHER_GROUPS[0]), of_others(OTHER_GROUPS[1]), 0.6 * unit(&group.key, 2))
        });
        let habit = match group.kind.as_str() {
            "content" | "gaming" | "cdn" => Habit::Evening,
            "cloud" | "education" => Habit::Office,
            _ => Habit::Always,
        };
        let mut asns = group.asns.clone();
        asns.sort_by_key(|asn| MAIN.iter().position(|main| main == asn).unwrap_or(MAIN.len()));
        asns.truncate(OF_A_GROUP);
        let weights: Vec<f64> = (0..asns.len()).map(|place| 0.12_f64.powi(place as i32)).collect();
        let sum: f64 = weights.iter().sum();
        for (asn, weight) in asns.into_iter().zip(weights) {
            networks.push(Network {
                asn,
                group: Some(index),
                parts: [inward * weight / sum, outward * weight / sum],
                habit,
                ipv6,
                // Large ones are met at an exchange, the others are bought.
                first_link: if inward > 0.015 { 0.15 + 0.2 * unit(&group.key, 3) } else { 1.0 },
                growth: if group.key == "disney" { 2.1 } else { 0.97 + 0.1 * unit(&group.key, 4) },
                presence: 1.0,
            });
        }
    }
    let tail: Vec<Asn> = tail.iter().copied().filter(|&asn| groups.of(asn).is_none() && asn != 0).collect();
    let harmonic: f64 = (1..=tail.len()).map(|rank| 1.0 / (rank as f64 + 5.0)).sum();
    for (rank, asn) in tail.into_iter().enumerate() {
        let zipf = 1.0 / (rank as f64 + 6.0) / harmonic;
        let random = |salt: u64| hash::unit(u64::from(asn), salt);
        networks.push(Network {
            asn,
            group: None,
            parts: [TAIL[0] * zipf, TAIL[1] * zipf],
            habit: if random(1) < 0.3 { Habit::Office } else { Habit::Always },
            ipv6: if random(2) < 0.5 { 0.0 } else { 0.5 * random(3) },
            first_link: if random(4) < 0.2 { 0.4 } else { 1.0 },
            growth: 0.95 + 0.12 * random(5),
            presence: if rank < 40 { 1.0 } else { 0.2 + 0.5 * random(6) },
        });
    }
    networks.sort_by_key(|network| network.asn);
    networks.dedup_by_key(|network| network.asn);
    networks
}

fn known(key: &str) -> Option<(f64, f64, f64)> {
    KNOWN.iter().find(|known| known.0 == key).map(|&(_, inward, outward, ipv6)| (inward, outward, ipv6))
}

fn unit(key: &str, salt: u64) -> f64 {
    let number =
        key.bytes().fold(0_u64, |number, byte| number.wrapping_mul(31).wrapping_add(u64::from(byte)));
    hash::unit(number, salt)
}

impl Network {
    /// Mean bytes of a packet.
    pub(super) fn packet(&self, direction: Direction) -> u64 {
        match (self.habit, direction) {
            (Habit::Evening, Direction::In) => 1310,
            (Habit::Evening, Direction::Out) => 96,
            (Habit::Office, Direction::In) => 870,
            (Habit::Office, Direction::Out) => 410,
            (Habit::Always, _) => 640,
        }
    }
}
