//! The compact format of the built-in table.
//!
//! ```text
//! magic     8 bytes  "CLTABLE" and the version, 1
//! length    u16      big-endian, of the header
//! header    text     `key: value` lines: date (YYYY-MM-DD), source, attribution
//! body      zstd     with a checksum; decompressed:
//!   origins   count, then each: how many ASes, the ASes      the lists of origins, the most used first
//!   IPv4      count, then three columns over the routes, ascending by address and length:
//!             length (a byte), gap, place in `origins`
//!   IPv6      the same
//!   names     count, then three columns ascending by AS: difference to the AS before, bytes, and the text
//! ```
//!
//! Numbers are LEB128. A gap is in blocks of the route's own size: how many fit between the end of the route before
//! and this one, negative (zigzag) where it is inside that one. Most ranges follow each other, so most gaps are 0;
//! columns of one sort compress better than rows.

use std::{collections::HashMap, io::Read, path::PathBuf};

use jiff::{civil::Date, tz::TimeZone};

use super::{
    Format, SourceTable, cidr,
    error::IngestError,
    input::Input,
    report::LoadReport,
    well_known::{WellKnownError, check_well_known},
};
use crate::{
    model::{Asn, Family, Prefix},
    table::{
        names::Names,
        origins::Origins,
        rib::{PrefixCounts, Rib, SourceId},
    },
};

const MAGIC: [u8; 8] = *b"CLTABLE\x01";
/// zstd's highest level without its "ultra" memory.
const LEVEL: i32 = 19;
/// No table is larger: ten times the Internet of 2026, in decompressed bytes.
const MAX_BODY: u64 = 256 * 1024 * 1024;

/// Where a snapshot's data is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The day of the data.
    pub date: Date,
    /// What it was made from.
    pub source: String,
    /// Whom its licence wants named, in one line.
    pub attribution: String,
}

/// Why a snapshot cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Not a snapshot, or of another version.
    #[error("it does not begin as a snapshot of version 1")]
    Magic,
    /// The header.
    #[error("its header has no readable `{0}`")]
    Header(&'static str),
    /// zstd.
    #[error("its body is damaged: {0}")]
    Zstd(std::io::Error),
    /// The body.
    #[error("its body contradicts itself: {0}")]
    Body(&'static str),
}

/// Why a snapshot was not made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The table has well-known networks wrong.
    #[error("the table is not good enough to be built in: {0}")]
    WellKnown(#[from] WellKnownError),
    /// The header cannot be written.
    #[error("{0} has a line break or is too long")]
    About(&'static str),
    /// zstd.
    #[error("cannot compress: {0}")]
    Zstd(std::io::Error),
}

/// A snapshot that was made.
#[derive(Clone, Debug)]
pub struct Built {
    /// The file's content.
    pub bytes: Vec<u8>,
    /// How many prefixes it has.
    pub prefixes: PrefixCounts,
    /// How many ASes it has names for.
    pub names: usize,
}

/// Makes a snapshot of tables, the first one before the others where they have the same prefix, and holds it against
/// the list of well-known networks.
///
/// # Errors
/// A well-known network is wrong or without a name; `about` does not fit into the header.
pub fn build(tables: Vec<SourceTable>, about: &About) -> Result<Built, BuildError> {
    let mut rib = Rib::new();
    let mut names = Names::default();
    for (rank, table) in tables.into_iter().enumerate() {
        let rank = SourceId(u8::try_from(rank).unwrap_or(u8::MAX));
        rib.replace_source(rank, table.routes);
        for (asn, name) in table.names.iter() {
            names.insert_new(asn, name);
        }
    }
    check_well_known(&rib, &names)?;
    let mut routes: Vec<_> =
        rib.iter().filter_map(|found| Some((found.prefix, Origins::from_list(found.origins)?))).collect();
    routes.sort_by_key(|(prefix, _)| *prefix);
    let bytes = encode(&routes, &names, about)?;
    Ok(Built { bytes, prefixes: rib.counts(), names: names.len() })
}

/// Whether content begins as a snapshot.
pub(super) fn is_snapshot(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

pub(super) fn load(input: Input<'_>) -> Result<SourceTable, IngestError> {
    let file = input.file.clone();
    let (mut stream, errors) = input.into_stream();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(|error| errors.explain(error))?;
    table(&bytes, file.display().to_string())
        .map_err(|source| IngestError::Snapshot { file: PathBuf::from(&file), source })
}

/// Decodes a snapshot as a table of this name.
pub(super) fn table(bytes: &[u8], name: String) -> Result<SourceTable, SnapshotError> {
    let (about, body) = header(bytes)?;
    let (routes, names) = decode_body(body)?;
    let date = about.date.to_zoned(TimeZone::UTC).map_err(|_| SnapshotError::Header("date"))?.timestamp();
    let report = LoadReport { lines: routes.len() as u64, ..LoadReport::default() };
    let mut table = SourceTable { name, kind: Format::Snapshot, date: Some(date), routes, names, report };
    table.describe();
    Ok(table)
}

/// The header of a snapshot, without decoding the rest.
///
/// # Errors
/// Not a snapshot of this version, or its header is not readable.
pub fn about(bytes: &[u8]) -> Result<About, SnapshotError> {
    header(bytes).map(|(about, _)| about)
}

fn header(bytes: &[u8]) -> Result<(About, &[u8]), SnapshotError> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(SnapshotError::Magic)?;
    let (length, rest) = rest.split_first_chunk().ok_or(SnapshotError::Magic)?;
    let (text, body) =
        rest.split_at_checked(u16::from_be_bytes(*length).into()).ok_or(SnapshotError::Magic)?;
    let text = std::str::from_utf8(text).map_err(|_| SnapshotError::Magic)?;
    let field = |key: &'static str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
            .ok_or(SnapshotError::Header(key))
    };
    let date = field("date")?.parse().map_err(|_| SnapshotError::Header("date"))?;
    Ok((About { date, source: field("source")?.into(), attribution: field("attribution")?.into() }, body))
}

/// Encodes routes, which must be ascending and different, and names.
///
/// # Errors
/// `about` does not fit into the header.
pub fn encode(routes: &[(Prefix, Origins)], names: &Names, about: &About) -> Result<Vec<u8>, BuildError> {
    for (what, text) in [("the source", &about.source), ("the attribution", &about.attribution)] {
        if text.contains(['\n', '\r']) {
            return Err(BuildError::About(what));
        }
    }
    let header =
        format!("date: {}\nsource: {}\nattribution: {}\n", about.date, about.source, about.attribution);
    let length = u16::try_from(header.len()).map_err(|_| BuildError::About("the header"))?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(length.to_be_bytes());
    bytes.extend(header.as_bytes());

    let body = encode_body(routes, names);
    let compress = || {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.set_pledged_src_size(Some(body.len() as u64))?;
        std::io::Write::write_all(&mut encoder, &body)?;
        encoder.finish()
    };
    bytes.extend(compress().map_err(BuildError::Zstd)?);
    Ok(bytes)
}

fn encode_body(routes: &[(Prefix, Origins)], names: &Names) -> Vec<u8> {
    let mut uses: HashMap<&Origins, u32> = HashMap::new();
    for (_, origins) in routes {
        *uses.entry(origins).or_default() += 1;
    }
    let mut lists: Vec<(&Origins, u32)> = uses.into_iter().collect();
    lists.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.all().cmp(b.0.all())));
    let places: HashMap<&Origins, u128> =
        lists.iter().zip(0..).map(|(&(list, _), place)| (list, place)).collect();

    let mut body = Vec::new();
    put(&mut body, lists.len() as u128);
    for (list, _) in &lists {
        put(&mut body, list.all().len() as u128);
        for asn in list.all() {
            put(&mut body, (*asn).into());
        }
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let routes = || routes.iter().filter(|(prefix, _)| Family::of(prefix) == family);
        put(&mut body, routes().count() as u128);
        body.extend(routes().map(|(prefix, _)| prefix.netmask()));
        let mut end = Place::default();
        for (prefix, _) in routes() {
            let start = cidr::number(prefix.network_address());
            let bits = u32::from(cidr::width(family) - prefix.netmask());
            put_signed(&mut body, end.gap(start, bits));
            end = Place::behind(start, bits);
        }
        for (_, origins) in routes() {
            put(&mut body, places.get(origins).copied().unwrap_or_default());
        }
    }
    let mut named: Vec<(Asn, &str)> = names.iter().collect();
    named.sort_unstable();
    put(&mut body, named.len() as u128);
    let mut before = 0;
    for (asn, _) in &named {
        put(&mut body, (asn - before).into());
        before = *asn;
    }
    for (_, name) in &named {
        put(&mut body, name.len() as u128);
    }
    for (_, name) in &named {
        body.extend(name.as_bytes());
    }
    body
}

fn decode_body(body: &[u8]) -> Result<(Vec<(Prefix, Origins)>, Names), SnapshotError> {
    let mut bytes = Vec::new();
    zstd::stream::read::Decoder::with_buffer(body)
        .and_then(|decoder| decoder.take(MAX_BODY).read_to_end(&mut bytes))
        .map_err(SnapshotError::Zstd)?;
    let mut rest = bytes.as_slice();

    let count = take_count(&mut rest, 2, "the number of origins")?;
    let mut lists = Vec::with_capacity(count);
    let mut list = Vec::new();
    for _ in 0..count {
        list.clear();
        for _ in 0..take_count(&mut rest, 1, "the number of ASes")? {
            list.push(take_u32(&mut rest, "an AS number")?);
        }
        lists.push(Origins::from_list(&list).ok_or(SnapshotError::Body("no origin"))?);
    }

    let mut routes = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        decode_routes(family, &mut rest, &lists, &mut routes)?;
    }

    let count = take_count(&mut rest, 2, "the number of names")?;
    let mut asns = Vec::with_capacity(count);
    let mut asn: Asn = 0;
    for _ in 0..count {
        let step = take_u32(&mut rest, "an AS number")?;
        asn = asn.checked_add(step).ok_or(SnapshotError::Body("an AS number"))?;
        asns.push(asn);
    }
    let mut lengths = Vec::with_capacity(count);
    for _ in 0..count {
        lengths.push(take_u32(&mut rest, "a name")? as usize);
    }
    let mut text = std::str::from_utf8(rest).map_err(|_| SnapshotError::Body("a name"))?;
    let mut names = Names::default();
    for (asn, length) in asns.into_iter().zip(lengths) {
        let (name, after) = text.split_at_checked(length).ok_or(SnapshotError::Body("a name"))?;
        names.insert(asn, name);
        text = after;
    }
    if !text.is_empty() {
        return Err(SnapshotError::Body("more than there should be"));
    }
    Ok((routes, names))
}

fn decode_routes(
    family: Family,
    rest: &mut &[u8],
    lists: &[Origins],
    routes: &mut Vec<(Prefix, Origins)>,
) -> Result<(), SnapshotError> {
    let count = take_count(rest, 3, "the number of routes")?;
    let (lengths, after) = rest.split_at_checked(count).ok_or(SnapshotError::Body("the lengths"))?;
    *rest = after;
    let width = cidr::width(family);
    let mut prefixes = Vec::with_capacity(count);
    let mut end = Place::default();
    for &length in lengths {
        let bits = width.checked_sub(length).ok_or(SnapshotError::Body("a length"))?.into();
        let start = end
            .after(take_signed(rest)?, bits)
            .filter(|&start| start.checked_shr(width.into()).unwrap_or_default() == 0)
            .ok_or(SnapshotError::Body("a gap"))?;
        prefixes.push(cidr::prefix(family, start, length).ok_or(SnapshotError::Body("a prefix"))?);
        end = Place::behind(start, bits);
    }
    if !prefixes.is_sorted_by(|a, b| a < b) {
        return Err(SnapshotError::Body("the order of the prefixes"));
    }
    routes.reserve_exact(count);
    for prefix in prefixes {
        let place = take_u32(rest, "an origin")? as usize;
        routes.push((prefix, lists.get(place).ok_or(SnapshotError::Body("an origin"))?.clone()));
    }
    Ok(())
}

/// Where a route ends: the address behind it. That one may be 2^128, so the last address and a flag stand for it.
#[derive(Clone, Copy, Default)]
struct Place {
    last: u128,
    /// Whether there was a route.
    some: bool,
}

impl Place {
    fn behind(start: u128, bits: u32) -> Self {
        Self { last: start | size_mask(bits), some: true }
    }

    /// The first block of 2^`bits` addresses that begins here or later, as its number.
    fn block(self, bits: u32) -> i128 {
        match self.some {
            false => 0,
            // Only with 2^128 blocks of one address is the number too large: such a gap wraps back below.
            true => (self.last.checked_shr(bits).unwrap_or_default() as i128).wrapping_add(1),
        }
    }

    fn gap(self, start: u128, bits: u32) -> i128 {
        (start.checked_shr(bits).unwrap_or_default() as i128).wrapping_sub(self.block(bits))
    }

    fn after(self, gap: i128, bits: u32) -> Option<u128> {
        let block = self.block(bits).wrapping_add(gap) as u128;
        let start = block.checked_shl(bits).unwrap_or_default();
        // A number of a block beyond the last one loses bits.
        (start.checked_shr(bits).unwrap_or_default() == block).then_some(start)
    }
}

fn size_mask(bits: u32) -> u128 {
    1u128.checked_shl(bits).map_or(u128::MAX, |size| size - 1)
}

fn put(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn put_signed(bytes: &mut Vec<u8>, number: i128) {
    put(bytes, ((number << 1) ^ (number >> 127)) as u128);
}

#[inline]
fn take(rest: &mut &[u8], what: &'static str) -> Result<u128, SnapshotError> {
    let mut number = 0u128;
    let mut shift = 0;
    loop {
        let (&byte, after) = rest.split_first().ok_or(SnapshotError::Body(what))?;
        *rest = after;
        number |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
        shift += 7;
        if shift > 126 {
            return Err(SnapshotError::Body(what));
        }
    }
}

fn take_signed(rest: &mut &[u8]) -> Result<i128, SnapshotError> {
    let number = take(rest, "a gap")?;
    Ok((number >> 1) as i128 ^ -((number & 1) as i128))
}

#[inline]
fn take_u32(rest: &mut &[u8], what: &'static str) -> Result<u32, SnapshotError> {
    // Most numbers have few bytes: 128-bit arithmetic only where there are more.
    if let [byte @ 0..0x80, after @ ..] = *rest {
        *rest = after;
        return Ok((*byte).into());
    }
    u32::try_from(take(rest, what)?).map_err(|_| SnapshotError::Body(what))
}

/// A number of things that take at least `each` bytes: no more than the bytes that are left can hold.
fn take_count(rest: &mut &[u8], each: usize, what: &'static str) -> Result<usize, SnapshotError> {
    let count = usize::try_from(take(rest, what)?).map_err(|_| SnapshotError::Body(what))?;
    if count > rest.len() / each { Err(SnapshotError::Body(what)) } else { Ok(count) }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
