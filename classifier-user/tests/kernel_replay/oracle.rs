//! What a replay must answer, computed another way: a parser of its own over slices, and routes in a hash map a prefix
//! length, asked from the longest to the shortest.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde_json::Value;

use crate::captures::Packet;

/// Routes and names.
pub(crate) struct Table {
    /// Networks and their lengths, to draw addresses from.
    pub(crate) v4: Vec<(u128, u32)>,
    pub(crate) v6: Vec<(u128, u32)>,
    /// By length, longest first: AS by network.
    by_length: [Vec<(u32, HashMap<u128, u32>)>; 2],
    names: HashMap<u32, String>,
}

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// The network of an address.
fn network(address: u128, width: u32, length: u32) -> u128 {
    if length == 0 { 0 } else { address >> (width - length) << (width - length) }
}

impl Table {
    /// Reads `classifier table export --format csv`.
    pub(crate) fn of_csv(text: &str) -> Self {
        let mut lengths: [BTreeMap<u32, HashMap<u128, u32>>; 2] = Default::default();
        let mut table = Self { v4: vec![], v6: vec![], by_length: Default::default(), names: HashMap::new() };
        for line in text.lines().skip(1) {
            let (prefix, rest) = line.split_once(',').expect("a prefix");
            let (asn, name) = rest.split_once(',').expect("an AS");
            let (address, length) = prefix.split_once('/').expect("a length");
            let address: IpAddr = address.parse().expect("an address");
            let length: u32 = length.parse().expect("a length");
            // Of several origins the chosen one is first.
            let asn: u32 = asn.split('_').next().expect("an AS").parse().expect("an AS");
            let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
                Some(quoted) => quoted.replace("\"\"", "\""),
                None => name.to_owned(),
            };
            if !name.is_empty() {
                table.names.insert(asn, name);
            }
            let (bits, _) = bits(address);
            let v6 = usize::from(address.is_ipv6());
            if v6 == 1 { &mut table.v6 } else { &mut table.v4 }.push((bits, length));
            let before = lengths[v6].entry(length).or_default().insert(bits, asn);
            assert_eq!(before, None, "{prefix} is there twice");
        }
        table.by_length = lengths.map(|lengths| lengths.into_iter().rev().collect());
        assert!(!table.v4.is_empty() && !table.v6.is_empty());
        table
    }

    fn route(&self, address: IpAddr) -> Option<(String, u32)> {
        let (bits, width) = bits(address);
        self.by_length[usize::from(address.is_ipv6())].iter().find_map(|(length, networks)| {
            let network = network(bits, width, *length);
            let asn = networks.get(&network)?;
            let network = match address {
                IpAddr::V4(_) => Ipv4Addr::from_bits(network as u32).to_string(),
                IpAddr::V6(_) => Ipv6Addr::from_bits(network).to_string(),
            };
            Some((format!("{network}/{length}"), *asn))
        })
    }
}

/// What a frame is.
enum Frame {
    V4([Ipv4Addr; 2]),
    V6([Ipv6Addr; 2]),
    Other(&'static str),
    Snapped,
}

/// What is left of a frame: the bytes kept, and how many there were.
struct Rest<'a> {
    kept: &'a [u8],
    original: usize,
}

impl<'a> Rest<'a> {
    /// The next bytes, without taking them.
    fn see(&self, count: usize) -> Result<&'a [u8], Frame> {
        match self.kept.get(..count) {
            Some(bytes) => Ok(bytes),
            None if self.original < count => Err(Frame::Other("malformed")),
            None => Err(Frame::Snapped),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Frame> {
        let bytes = self.see(count)?;
        self.kept = &self.kept[count..];
        self.original -= count;
        Ok(bytes)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// What is behind the Ethernet header and its tags.
fn parse(packet: &Packet) -> Result<Frame, Frame> {
    let mut rest = Rest { kept: &packet.kept, original: packet.original as usize };
    let mut kind = u16_at(rest.take(14)?, 12);
    for _ in 0..2 {
        if matches!(kind, 0x8100 | 0x88a8) {
            kind = u16_at(rest.take(4)?, 2);
        }
    }
    match kind {
        0x0800 => v4(&rest),
        0x86dd => v6(&rest),
        0x8847 | 0x8848 => {
            for _ in 0..10 {
                if rest.take(4)?[2] % 2 == 1 {
                    return match rest.see(1)?[0] / 16 {
                        4 => v4(&rest),
                        6 => v6(&rest),
                        _ => Err(Frame::Other("non_ip")),
                    };
                }
            }
            Err(Frame::Other("unsupported"))
        }
        0x8864 => match u16_at(rest.take(8)?, 6) {
            0x0021 => v4(&rest),
            0x0057 => v6(&rest),
            0x003d | 0x00fb | 0x00fd | 0x0281 | 0x0283 => Err(Frame::Other("unsupported")),
            _ => Err(Frame::Other("non_ip")),
        },
        0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x88e5 | 0x88e7 | 0x894f | 0x22f3 => {
            Err(Frame::Other("unsupported"))
        }
        _ => Err(Frame::Other("non_ip")),
    }
}

fn v4(rest: &Rest<'_>) -> Result<Frame, Frame> {
    let header = rest.see(20)?;
    let length = usize::from(header[0] % 16) * 4;
    if header[0] / 16 != 4 || length < 20 || length > rest.original {
        return Err(Frame::Other("malformed"));
    }
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    Ok(Frame::V4([address(12), address(16)]))
}

fn v6(rest: &Rest<'_>) -> Result<Frame, Frame> {
    let header = rest.see(40)?;
    if header[0] / 16 != 6 {
        return Err(Frame::Other("malformed"));
    }
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&header[at..at + 16]).expect("16 bytes"));
    Ok(Frame::V6([address(8), address(24)]))
}

/// Packets and bytes.
type Counter = (u64, u64);

/// What a replay must answer.
#[derive(Default)]
pub(crate) struct Expected {
    all: Counter,
    pub(crate) snapped: u64,
    pub(crate) outcomes: BTreeMap<&'static str, Counter>,
    /// By AS, and prefix where asked.
    pub(crate) rows: HashMap<(u32, String), Counter>,
    pub(crate) unmatched: Counter,
}

fn add(counter: &mut Counter, bytes: u32) {
    counter.0 += 1;
    counter.1 += u64::from(bytes);
}

impl Expected {
    pub(crate) fn of(packets: &[Packet], table: &Table, source: bool, by_prefix: bool) -> Self {
        let mut expected = Self::default();
        for name in ["ipv4", "ipv6", "non_ip", "malformed", "unsupported"] {
            expected.outcomes.insert(name, (0, 0));
        }
        for packet in packets {
            add(&mut expected.all, packet.original);
            let which = usize::from(!source);
            let (outcome, address) = match parse(packet).unwrap_or_else(|end| end) {
                Frame::Snapped => {
                    expected.snapped += 1;
                    continue;
                }
                Frame::Other(outcome) => (outcome, None),
                Frame::V4(addresses) => ("ipv4", Some(IpAddr::V4(addresses[which]))),
                Frame::V6(addresses) => ("ipv6", Some(IpAddr::V6(addresses[which]))),
            };
            add(expected.outcomes.get_mut(outcome).expect("an outcome"), packet.original);
            let Some(address) = address else { continue };
            match table.route(address) {
                None | Some((_, 0)) => add(&mut expected.unmatched, packet.original),
                Some((prefix, asn)) => {
                    let prefix = if by_prefix { prefix } else { String::new() };
                    add(expected.rows.entry((asn, prefix)).or_default(), packet.original);
                }
            }
        }
        expected
    }

    /// Holds an answer against this: every field.
    pub(crate) fn assert_is(&self, answer: &Value, side: &str, by_prefix: bool, table: &Table) {
        let counter = |value: &Value| -> Counter {
            (value["packets"].as_u64().expect("packets"), value["bytes"].as_u64().expect("bytes"))
        };
        assert_eq!(counter(answer), self.all);
        assert_eq!(answer["snapped"], self.snapped);
        assert_eq!(answer["side"], side);
        assert_eq!(counter(&answer["unmatched"]), self.unmatched);
        let outcomes = answer["outcomes"].as_object().expect("outcomes");
        let outcomes: BTreeMap<&str, Counter> =
            outcomes.iter().map(|(name, value)| (name.as_str(), counter(value))).collect();
        assert_eq!(outcomes, self.outcomes);
        let rows = answer["rows"].as_array().expect("rows");
        let mut seen = HashMap::new();
        let mut last = u64::MAX;
        for row in rows {
            let asn = row["asn"].as_u64().expect("an AS") as u32;
            assert_eq!(row["name"].as_str(), table.names.get(&asn).map(String::as_str), "{row}");
            assert_eq!(row.get("prefix").is_some(), by_prefix, "{row}");
            let (packets, bytes) = counter(row);
            let share = row["share"].as_f64().expect("a share");
            assert!((share - bytes as f64 / self.all.1 as f64).abs() < 1e-12, "{row}");
            assert!(bytes <= last, "most bytes first: {row}");
            last = bytes;
            let prefix = row["prefix"].as_str().unwrap_or_default().to_owned();
            assert_eq!(seen.insert((asn, prefix), (packets, bytes)), None, "twice: {row}");
        }
        for (key, counter) in &self.rows {
            assert_eq!(seen.get(key), Some(counter), "{key:?}");
        }
        assert_eq!(seen.len(), self.rows.len(), "rows that should not be");
    }
}
