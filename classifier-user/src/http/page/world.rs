//! An ISP of some hundred thousand homes, its last weeks in memory and its last minutes in sweeps: what pages are made of in
//! tests.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    history::{ClosedSlot, Kind, LinkNo, NO_AS, Part, Row, SLOT_SECONDS, Sample, StoredLink, testing::Known},
    model::{Asn, Counter, Direction, Family, Hook, LinkKind, Owner, OwnerId, Role},
    questions::Questions,
    table::{groups::Groups, names::Names},
    totals::{
        StatusInputs, View,
        testing::{self, Frames, Kernel, Table, at, counter},
    },
};

/// 2026-10-05T12:05:07Z, a Monday, 14:05 in Paris: seconds after [`testing::at`]'s beginning.
const NOW: u64 = 1_791_201_907 - 1_767_312_000;

/// What networks there are: number, name, Mbit/s in at the evening's peak, part of that out, part of IPv6, whether it is for
/// evenings rather than offices.
const NETWORKS: &[(Asn, &str, u64, f64, f64, bool)] = &[
    (15169, "Google LLC", 3200, 0.05, 0.72, true),
    (2906, "Netflix Streaming Services Inc.", 2100, 0.012, 0.86, true),
    (32934, "Facebook, Inc.", 1450, 0.09, 0.81, true),
    (20940, "Akamai International B.V.", 1320, 0.03, 0.44, true),
    (16509, "Amazon.com, Inc.", 1180, 0.11, 0.35, true),
    (13335, "Cloudflare, Inc.", 820, 0.08, 0.58, true),
    (714, "Apple Inc.", 640, 0.07, 0.66, true),
    (8075, "Microsoft Corporation", 610, 0.22, 0.28, false),
    (54113, "Fastly, Inc.", 520, 0.04, 0.61, true),
    (138_699, "TikTok Pte. Ltd.", 480, 0.06, 0.55, true),
    (46489, "Twitch Interactive Inc.", 390, 0.03, 0.0, true),
    (16276, "OVH SAS", 310, 0.31, 0.12, false),
    (3215, "Orange S.A.", 280, 0.62, 0.4, false),
    (12322, "Free SAS", 240, 0.71, 0.52, false),
    (32590, "Valve Corporation", 230, 0.02, 0.0, true),
    (24940, "Hetzner Online GmbH", 150, 0.35, 0.21, false),
    (60781, "LeaseWeb Netherlands B.V.", 140, 0.12, 0.02, true),
    (15557, "Société Française du Radiotéléphone – SFR SA", 120, 0.8, 0.3, false),
    (5410, "Bouygues Telecom SA", 110, 0.76, 0.33, false),
    (136_907, "HUAWEI CLOUDS", 60, 0.2, 0.1, false),
    (9009, "M247 Europe SRL", 44, 0.5, 0.04, false),
    (1299, "Arelion Sweden AB", 30, 0.4, 0.2, false),
    (60068, "Datacamp Limited", 22, 0.1, 0.3, true),
    (197_540, "netcup GmbH", 9, 0.5, 0.4, false),
];

/// Bytes of a network in a slot that begins at this second, by direction.
fn bytes(network: usize, second: i64) -> [u64; 2] {
    let (_, _, peak, out, _, evening) = NETWORKS[network];
    let zone = TimeZone::get("Europe/Paris").unwrap();
    let local = Timestamp::from_second(second).unwrap().to_zoned(zone);
    let hour = f64::from(local.hour()) + f64::from(local.minute()) / 60.0;
    // Two humps: the day's and the evening's.
    let hump = |middle: f64, width: f64| {
        let away = (hour - middle).abs().min(24.0 - (hour - middle).abs());
        (-(away / width).powi(2)).exp()
    };
    let weekend = local.weekday().to_monday_zero_offset() >= 5;
    let course = if evening {
        0.16 + 0.30 * hump(14.0, 4.5)
            + 0.80 * hump(21.0, 2.6)
            + if weekend { 0.12 * hump(15.5, 4.0) } else { 0.0 }
    } else {
        let office = if weekend { 0.25 } else { 0.75 };
        0.2 + office * hump(11.0, 2.6) + office * hump(15.5, 2.8)
    };
    // The same noise at every run.
    let noise = (second as u64 / 300)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add((network as u64).wrapping_mul(0x2545_f491_4f6c_dd1d));
    let noise = 1.0 + ((noise >> 40) % 1000) as f64 / 1000.0 * 0.07;
    // Netflix grows.
    let age = (1_791_201_900 - second) as f64 / 86_400.0;
    let growth = if network == 1 { 1.0 - age * 0.006 } else { 1.0 };
    let inward = peak as f64 * 1e6 / 8.0 * 300.0 * course * noise * growth;
    [inward as u64, (inward * out) as u64]
}

fn sample(bytes: u64, ipv6: f64) -> Sample {
    let of = |bytes: u64| Counter { packets: bytes / 1100, bytes };
    let six = (bytes as f64 * ipv6) as u64;
    Sample { ipv4: of(bytes - six), ipv6: of(six) }
}

pub(crate) fn groups() -> Groups {
    Groups::builtin().unwrap()
}

fn slot(number: i64, groups: &Groups) -> ClosedSlot {
    let mut rows: HashMap<(Kind, u32, LinkNo, Direction), Sample> = HashMap::new();
    let mut add = |kind, subject, link: u8, direction, sample: Sample| {
        *rows.entry((kind, subject, LinkNo(link), direction)).or_default() += sample;
    };
    for (network, &(asn, _, _, _, ipv6, evening)) in NETWORKS.iter().enumerate() {
        let bytes = bytes(network, number * SLOT_SECONDS);
        for (direction, bytes) in Direction::ALL.into_iter().zip(bytes) {
            // The large ones come over the exchange, for the most part.
            let peered = if evening { 0.7 } else { 0.25 };
            for (link, part) in [(0, 1.0 - peered), (1, peered)] {
                let sample = sample((bytes as f64 * part) as u64, ipv6);
                add(Kind::As, asn, link, direction, sample);
                add(Kind::Link, Part::Ip as u32, link, direction, sample);
                if let Some(group) = groups.of(asn) {
                    add(Kind::Group, group as u32, link, direction, sample);
                }
            }
        }
    }
    for (direction, bytes) in Direction::ALL.into_iter().zip([180_000_000, 20_000_000]) {
        add(Kind::As, NO_AS, 0, direction, sample(bytes, 0.1));
        add(Kind::Link, Part::Ip as u32, 0, direction, sample(bytes, 0.1));
        add(Kind::Link, Part::Other as u32, 0, direction, sample(900_000, 0.0));
    }
    let mut rows: Vec<Row> = rows
        .into_iter()
        .filter(|(_, sample)| *sample != Sample::default())
        .map(|((kind, subject, link, direction), sample)| Row { kind, subject, link, direction, sample })
        .collect();
    rows.sort_unstable_by_key(Row::key);
    ClosedSlot { number, covered: SLOT_SECONDS as u32, rows }
}

/// The last days, with a gap of three hours nine days ago and one of forty minutes this morning.
pub(crate) fn history(days: i64) -> Known {
    let groups = groups();
    let link = |number, name: &str, kind| StoredLink {
        number: LinkNo(number),
        name: name.to_owned(),
        role: Role::Upstream,
        kind: Some(kind),
    };
    let links = vec![link(0, "transit-a", LinkKind::Transit), link(1, "france-ix", LinkKind::Ix)];
    let mut known = Known::new(links, TimeZone::get("Europe/Paris").unwrap());
    known.groups = groups.all().iter().map(|group| group.key.clone()).collect();
    let last = 1_791_201_907 / SLOT_SECONDS;
    for number in last - days * 288..last {
        let ago = last - number;
        let gap = (2600..2636).contains(&ago) || (70..78).contains(&ago);
        if !gap {
            known.push(slot(number, &groups));
        }
    }
    known
}

pub(crate) fn names() -> Names {
    let mut names = Names::default();
    for &(asn, name, ..) in NETWORKS {
        names.insert(asn, name);
    }
    names
}

/// Class and owner have the same number.
fn table(owners: Vec<Owner>) -> Table {
    let classes = (0..owners.len() as u32).map(|id| (id, OwnerId(id))).collect();
    Table { owners, classes }
}

/// The view of the last ten minutes.
pub(crate) fn view() -> View {
    let mut owners = vec![
        Owner::Unmatched(Family::Ipv4),
        Owner::Unmatched(Family::Ipv6),
        Owner::Route { prefix: "198.51.100.0/24".parse().unwrap(), asn: 64500 },
    ];
    for (place, &(asn, ..)) in NETWORKS.iter().enumerate() {
        let prefix = format!("10.{place}.0.0/16").parse().unwrap();
        owners.push(Owner::Route { prefix, asn });
    }
    let table = table(owners);
    let mut kernel = Kernel::new(2);
    let mut sweeps = Vec::new();
    for sweep in 0..120_u64 {
        let second = NOW - 2 - 5 * (119 - sweep);
        for network in 0..NETWORKS.len() {
            let [inward, outward] =
                bytes(network, 1_791_201_907 - 5 * (119 - sweep as i64)).map(|bytes| bytes / 60);
            let class = network as u32 + 3;
            let of = |bytes: u64, link: u64| {
                let bytes = if link == 0 { bytes / 3 } else { bytes - bytes / 3 };
                counter(bytes / 1100, bytes)
            };
            for link in 0..2 {
                let rx = Frames { ip: vec![(class, 2, of(inward, link))], non_ip: counter(1, 60) };
                kernel.count(&table, link as usize, Hook::Rx, &rx);
                let tx = Frames { ip: vec![(2, class, of(outward, link))], ..Frames::default() };
                kernel.count(&table, link as usize, Hook::Tx, &tx);
            }
        }
        let unmatched = Frames { ip: vec![(0, 2, counter(2000, 3_000_000))], ..Frames::default() };
        kernel.count(&table, 0, Hook::Rx, &unmatched);
        sweeps.push(kernel.sweep(second));
    }
    let links = vec![
        testing::link("transit-a", Role::Upstream, Some(LinkKind::Transit)),
        testing::link("france-ix", Role::Upstream, Some(LinkKind::Ix)),
    ];
    let totals = crate::totals::Totals::new(links, at(NOW) - Duration::from_secs(700), Default::default());
    let view = View::new(totals, Arc::new(RwLock::new(table)), now);
    view.set_status(StatusInputs { warnings: Vec::new(), ..testing::status() });
    view.set_tables(Arc::new(names()), Arc::new(groups()));
    for sweep in &sweeps {
        view.record(sweep);
    }
    view
}

/// One more sweep, of a packet storm.
pub(crate) fn next_sweep(view: &View) {
    let table = table(vec![Owner::Unmatched(Family::Ipv4)]);
    let mut kernel = Kernel::new(2);
    let storm = Frames { ip: vec![(0, 0, counter(400_000_000, 400_000_000_000))], ..Frames::default() };
    kernel.count(&table, 0, Hook::Rx, &storm);
    view.record(&kernel.sweep(NOW));
}

fn now() -> SystemTime {
    at(NOW)
}

/// Everything.
pub(crate) fn questions(days: i64) -> Questions {
    Questions::new(view(), Some(Arc::new(history(days))))
}
