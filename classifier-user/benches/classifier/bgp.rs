//! UPDATEs from bytes to routes, and a full table by a session.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use bgpkit_parser::{
    models::{AsnLength, BgpMessage, BgpUpdateMessage, Nlri},
    parser::bgp::parse_bgp_message,
};
use classifier_user::{
    ingest::{
        bgp::codec::{self, Families, Kind, update::Context, update::Decoder},
        live::Route,
    },
    model::{Asn, Prefix},
};

use crate::{
    keys::Random,
    measure::{Contender, in_turns, seconds},
    report::{Cell, Goal, Section, Table, Target},
    session,
    world::World,
};

const ROUNDS: usize = 7;
/// Route changes of the mix.
const CHANGES: usize = 500_000;
/// An UPDATE of changes has one prefix in most cases; this many at most.
const MOST: usize = 3;
/// The ASes between us and the origin.
const TRANSITS: [[Asn; 2]; 6] =
    [[3356, 1299], [1299, 174], [174, 6453], [6939, 3257], [2914, 6461], [6461, 3491]];

/// What both sides agreed on.
pub(crate) const AGREED: Context = Context {
    four_octet: true,
    internal: true,
    families: Families::BOTH,
    add_path: Families { ipv4: false, ipv6: false },
};

const COLUMNS: &[(&str, &str)] = &[
    ("messages", "messages"),
    ("reader", "read by"),
    ("changes_per_s", "changes/s"),
    ("ns", "ns a change"),
    ("ns_message", "ns an UPDATE"),
];

/// Encoded messages, one behind the other, and how many changes of routes are in them.
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    pub(crate) updates: usize,
    pub(crate) changes: usize,
}

impl Stream {
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), updates: 0, changes: 0 }
    }

    /// An UPDATE that announces prefixes of one family with this path, or withdraws them.
    pub(crate) fn push(&mut self, prefixes: &[Prefix], path: Option<&[Asn]>) {
        let v4 = matches!(prefixes.first(), Some(Prefix::V4(_)));
        let mut nlri = Vec::new();
        prefixes.iter().for_each(|prefix| append(&mut nlri, prefix));
        let mut attributes = Vec::new();
        if !v4 {
            let (kind, head) = match path {
                Some(_) => (14, [&[0, 2, 1, 16][..], &[0x20; 16], &[0]].concat()),
                None => (15, vec![0, 2, 1]),
            };
            attributes.extend([0x90, kind]);
            attributes.extend(((head.len() + nlri.len()) as u16).to_be_bytes());
            attributes.extend(head);
            attributes.extend(&nlri);
        }
        if let Some(path) = path {
            attributes.extend([0x40, 1, 1, 0]);
            attributes.extend([0x40, 2, 2 + 4 * path.len() as u8, 2, path.len() as u8]);
            attributes.extend(path.iter().flat_map(|asn| asn.to_be_bytes()));
            if v4 {
                attributes.extend([0x40, 3, 4, 192, 0, 2, 1]);
            }
            attributes.extend([0x40, 5, 4, 0, 0, 0, 100]);
            // COMMUNITIES: six, as most routes of the Internet have some.
            attributes.extend([0xc0, 8, 24]);
            attributes.extend((0..6u32).flat_map(|community| (3356 << 16 | community).to_be_bytes()));
        }
        let none = Vec::new();
        let withdrawn = if v4 && path.is_none() { &nlri } else { &none };
        let announced = if v4 && path.is_some() { &nlri } else { &none };
        codec::append(&mut self.bytes, Kind::Update, |out| {
            out.extend((withdrawn.len() as u16).to_be_bytes());
            out.extend(withdrawn);
            out.extend((attributes.len() as u16).to_be_bytes());
            out.extend(&attributes);
            out.extend(announced);
        });
        self.updates += 1;
        self.changes += prefixes.len();
    }

    /// The table as a router sends it: prefixes of one path together, in messages of up to 4096 bytes.
    pub(crate) fn table(routes: &[(Prefix, Asn)]) -> Self {
        let mut by_path: BTreeMap<(bool, Vec<Asn>), Vec<Prefix>> = BTreeMap::new();
        for (prefix, origin) in routes {
            let key = (matches!(prefix, Prefix::V6(_)), path(*origin, 0));
            by_path.entry(key).or_default().push(*prefix);
        }
        let mut stream = Self::new();
        for ((_, path), prefixes) in by_path {
            // Of 17 bytes at most, beside the attributes.
            prefixes.chunks(200).for_each(|prefixes| stream.push(prefixes, Some(&path)));
        }
        stream
    }

    /// Changes as they come from a router whose table is there: three of five a prefix with a new path, one
    /// withdrawn, one announced that may have been withdrawn.
    pub(crate) fn changes(routes: &[(Prefix, Asn)], changes: usize) -> Self {
        let mut random = Random::new(7);
        let mut stream = Self::new();
        while stream.changes < changes {
            let at = random.below(routes.len());
            let count = 1 + random.below(MOST * 2).saturating_sub(MOST);
            let (first, origin) = routes[at];
            let same = |prefix: &Prefix| matches!(prefix, Prefix::V4(_)) == matches!(first, Prefix::V4(_));
            let prefixes: Vec<Prefix> =
                routes[at..].iter().take(count).map(|(prefix, _)| *prefix).take_while(same).collect();
            let kind = random.below(5);
            let path = (kind > 0).then(|| path(origin, kind as u32));
            stream.push(&prefixes, path.as_deref());
        }
        stream
    }
}

/// The way to an origin; `version` tells several apart.
pub(crate) fn path(origin: Asn, version: u32) -> Vec<Asn> {
    let transit =
        TRANSITS[(origin.wrapping_mul(0x9e37_79b1) >> 16).wrapping_add(version) as usize % TRANSITS.len()];
    [&transit[..], &[origin]].concat()
}

fn append(out: &mut Vec<u8>, prefix: &Prefix) {
    let (length, octets) = match prefix {
        Prefix::V4(prefix) => (prefix.netmask(), prefix.network_address().octets().to_vec()),
        Prefix::V6(prefix) => (prefix.netmask(), prefix.network_address().octets().to_vec()),
    };
    out.push(length);
    out.extend(octets.iter().take(usize::from(length.div_ceil(8))));
}

pub(crate) fn run() -> Result<Section> {
    let world = World::builtin()?;
    let routes: Vec<(Prefix, Asn)> = world.tables.rib.iter().map(|route| (route.prefix, route.asn)).collect();
    let mut table = Table::new("codec", "UPDATEs to routes, in one thread", COLUMNS);
    let mut ours = Vec::new();
    for (name, stream) in [
        ("a full table", Stream::table(&routes)),
        ("changes, most of one prefix", Stream::changes(&routes, CHANGES)),
    ] {
        let contenders: [Contender<'_>; 2] = [Box::new(|| decode(&stream)), Box::new(|| bgpkit(&stream))];
        let times = in_turns(ROUNDS, contenders)?;
        for (reader, time) in ["ours", "bgpkit-parser"].into_iter().zip(times) {
            let rate = stream.changes as f64 / time;
            table.row([
                Cell::text(name),
                Cell::text(reader),
                Cell::Number(rate, 0),
                Cell::Number(1e9 / rate, 0),
                Cell::Number(time * 1e9 / stream.updates as f64, 0),
            ]);
        }
        ours.push(stream.changes as f64 / times[0]);
    }
    let about = format!("bgp: paths of three ASes, six communities where encoded here; {}", world.describe());
    drop(world);
    let (tables, more) = session::measure(&routes)?;
    let mut targets = vec![Target {
        what: "route changes a second, codec alone",
        value: ours[1],
        // A fifth of the time that 500,000 changes a second leave for codec, RIB and FIB.
        goal: Goal::AtLeast(2.5e6),
        unit: "changes/s",
    }];
    targets.extend(more);
    Ok(Section { about, tables: std::iter::once(table).chain(tables).collect(), targets, notes: Vec::new() })
}

/// Seconds that the codec of the product takes; routes are dropped in batches, as a table would have taken them.
fn decode(stream: &Stream) -> Result<f64> {
    let mut decoder = Decoder::new(AGREED);
    let mut routes: Vec<Route> = Vec::new();
    let (time, changes) = seconds(|| -> Result<usize> {
        let mut rest = stream.bytes.as_slice();
        let mut changes = 0;
        while let Some(message) = codec::message(rest, false)? {
            let contents = decoder.decode(message.body, &mut routes)?;
            changes += contents.announced + contents.withdrawn;
            if routes.len() >= 4096 {
                std::hint::black_box(&routes);
                routes.clear();
            }
            rest = rest.get(message.len..).context("a message")?;
        }
        Ok(changes)
    });
    ensure!(changes? == stream.changes, "the codec lost a change");
    Ok(time)
}

/// The same with bgpkit-parser, whose messages are dropped as they are made.
fn bgpkit(stream: &Stream) -> Result<f64> {
    let whole = Bytes::copy_from_slice(&stream.bytes);
    let (time, changes) = seconds(|| -> Result<usize> {
        let mut at = 0;
        let mut changes = 0;
        while let Some(message) = codec::message(whole.get(at..).unwrap_or_default(), false)? {
            let mut bytes = whole.slice(at..at + message.len);
            let parsed = parse_bgp_message(&mut bytes, false, &AsnLength::Bits32)?;
            if let BgpMessage::Update(update) = std::hint::black_box(parsed) {
                changes += count(&update);
            }
            at += message.len;
        }
        Ok(changes)
    });
    ensure!(changes? == stream.changes, "bgpkit-parser lost a change");
    Ok(time)
}

fn count(update: &BgpUpdateMessage) -> usize {
    let of = |nlri: Option<&Nlri>| nlri.map_or(0, |nlri| nlri.prefixes.len());
    update.announced_prefixes.len()
        + update.withdrawn_prefixes.len()
        + of(update.attributes.get_reachable_nlri())
        + of(update.attributes.get_unreachable_nlri())
}
