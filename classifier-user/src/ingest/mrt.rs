//! MRT TABLE_DUMP_V2 (RFC 6396; additional paths RFC 8050): what RouteViews, RIPE RIS, BIRD, FRR and OpenBGPD dump.
//!
//! bgpkit-parser frames the records and reads the peer index table. RIB entries are walked here, and of their
//! attributes only AS_PATH is read: that is several times as fast as making every attribute of every entry, and
//! where an entry is cut short we say so instead of going on with what was read.
//!
//! A prefix's origins are the last ASes of its entries' paths, the AS that most entries name first (of two named
//! equally often, the one that comes first). ASes of an AS_SET at the end of a path come behind these, the lowest
//! number first; a set of one AS is that AS. Confederation segments are not part of the path (RFC 5065). An empty
//! path is the peer's own route.

use std::{
    collections::HashMap,
    io::{self, BufRead, Read},
};

use bgpkit_parser::{
    ParserError, RawMrtRecord, chunk_mrt_record,
    models::{EntryType, MrtMessage, TableDumpV2Message, TableDumpV2Type},
};
use jiff::Timestamp;

use super::{
    Format, LoadOptions, SourceTable, cidr,
    error::{IngestError, MrtProblem},
    input::Input,
    report::{LoadReport, Notice},
};
use crate::{
    model::{Asn, Family, Prefix},
    table::{names::Names, origins::Origins},
};

/// Types of MRT records that a file may begin with (RFC 6396, section 4).
const KNOWN_TYPES: [u16; 8] = [11, 12, 13, 16, 17, 32, 48, 49];
const HEADER: usize = 12;
/// The parser takes no longer records.
const MAX_RECORD: u32 = 16 * 1024 * 1024;

const AS_SET: u8 = 1;
const AS_SEQUENCE: u8 = 2;
const ATTRIBUTE_AS_PATH: u8 = 2;
const ATTRIBUTE_EXTENDED_LENGTH: u8 = 0x10;

/// Whether content begins with the header of an MRT record.
pub(super) fn is_mrt(head: &[u8]) -> bool {
    let Some(&[_, _, _, _, t0, t1, s0, s1, l0, l1, l2, l3]) = head.first_chunk::<HEADER>() else {
        return false;
    };
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    // Text has no zero bytes, and here are at least two.
    KNOWN_TYPES.contains(&u16::from_be_bytes([t0, t1]))
        && u16::from_be_bytes([s0, s1]) < 64
        && (1..=MAX_RECORD).contains(&length)
}

pub(super) fn load(input: Input<'_>, options: &LoadOptions) -> Result<SourceTable, IngestError> {
    let name = input.file.display().to_string();
    let modified = input.modified;
    let (stream, errors) = input.into_stream();
    let mut stream = Watched { inner: stream, failed: None };
    let mut rib = RibDump::default();
    let mut report = LoadReport::default();
    let mut first_bad = None;
    let mut number = 0u64;
    loop {
        let record = match chunk_mrt_record(&mut stream) {
            Ok(record) => record,
            Err(error) => {
                if let Some(failed) = stream.failed.take() {
                    return Err(errors.explain(failed));
                }
                let problem = match error.error {
                    ParserError::EofExpected => break,
                    ParserError::IoError(error) | ParserError::EofError(error)
                        if error.kind() == io::ErrorKind::UnexpectedEof =>
                    {
                        MrtProblem::Cut
                    }
                    other => MrtProblem::Header(other.to_string()),
                };
                // Behind a header that is wrong nothing can be told apart, so this is not a bad line to skip.
                let error = IngestError::Mrt { file: errors.file.clone(), record: number + 1, problem };
                return Err(errors.of_the_rest(&mut stream.inner).unwrap_or(error));
            }
        };
        number += 1;
        if let Err(problem) = rib.record(record, &mut report) {
            let fatal = !options.skip_bad_lines || matches!(problem, MrtProblem::NotARib(_));
            let error = IngestError::Mrt { file: errors.file.clone(), record: number, problem };
            if fatal {
                return Err(errors.of_the_rest(&mut stream.inner).unwrap_or(error));
            }
            report.bad_lines += 1;
            first_bad.get_or_insert_with(|| error.to_string());
        }
    }
    if rib.routes.is_empty() && first_bad.is_none() {
        return Err(IngestError::Empty { file: errors.file });
    }
    if let Some(first) = first_bad {
        report.notices.push(Notice::BadLines { count: report.bad_lines, first });
    }
    if rib.no_origin > 0 {
        report.notices.push(Notice::NoOrigin { count: rib.no_origin });
    }
    if rib.other_records > 0 {
        report.notices.push(Notice::OtherRecords { count: rib.other_records });
    }
    let date = rib.date.and_then(|seconds| Timestamp::from_second(seconds.into()).ok()).or(modified);
    let mut table = SourceTable {
        name,
        kind: Format::Mrt,
        date,
        routes: rib.into_routes(),
        names: Names::default(),
        report,
    };
    table.describe();
    Ok(table)
}

/// A reader that remembers its error: the parser does not tell it from its own.
struct Watched<R> {
    inner: R,
    failed: Option<io::Error>,
}

impl<R: BufRead> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failed = Some(error);
            }
            kind.into()
        })
    }
}

/// What was read of a dump.
#[derive(Default)]
struct RibDump {
    date: Option<u32>,
    /// AS numbers of the peers by index; `None` before the peer index table.
    peers: Option<HashMap<u16, Asn>>,
    routes: Vec<(Prefix, Origins)>,
    no_origin: u64,
    other_records: u64,
    /// Of the record that is read: origins and how many entries name them, and members of AS_SETs.
    origins: Vec<(Asn, u32)>,
    members: Vec<Asn>,
}

impl RibDump {
    fn record(&mut self, record: RawMrtRecord, report: &mut LoadReport) -> Result<(), MrtProblem> {
        let header = record.common_header;
        match header.entry_type {
            EntryType::TABLE_DUMP_V2 => {}
            EntryType::TABLE_DUMP => {
                return Err(MrtProblem::NotARib("this is a dump in the old TABLE_DUMP format"));
            }
            EntryType::BGP4MP | EntryType::BGP4MP_ET => {
                return Err(MrtProblem::NotARib("this is a file of BGP updates"));
            }
            _ => return Err(MrtProblem::NotARib("this is an MRT file of another protocol")),
        }
        self.date.get_or_insert(header.timestamp);
        let Ok(subtype) = TableDumpV2Type::try_from(header.entry_subtype) else {
            self.other_records += 1;
            return Ok(());
        };
        let (family, additional_paths) = match subtype {
            TableDumpV2Type::PeerIndexTable => return self.peer_table(record),
            TableDumpV2Type::RibIpv4Unicast => (Family::Ipv4, false),
            TableDumpV2Type::RibIpv4UnicastAddPath => (Family::Ipv4, true),
            TableDumpV2Type::RibIpv6Unicast => (Family::Ipv6, false),
            TableDumpV2Type::RibIpv6UnicastAddPath => (Family::Ipv6, true),
            _ => {
                self.other_records += 1;
                return Ok(());
            }
        };
        self.origins.clear();
        self.members.clear();
        let prefix = self.entries(&record.message_bytes, family, additional_paths, report)?;
        // Of equally many, the first one stays first: the sort is stable.
        self.origins.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        self.members.sort_unstable();
        if let ([(asn, _)], []) = (self.origins.as_slice(), self.members.as_slice()) {
            self.routes.push((prefix, (*asn).into()));
            return Ok(());
        }
        let all: Vec<Asn> =
            self.origins.iter().map(|&(asn, _)| asn).chain(self.members.iter().copied()).collect();
        if let Some(origins) = Origins::from_list(&all) {
            self.routes.push((prefix, origins));
        }
        Ok(())
    }

    fn peer_table(&mut self, record: RawMrtRecord) -> Result<(), MrtProblem> {
        match record.parse().map_err(|error| MrtProblem::PeerTable(error.to_string()))?.message {
            MrtMessage::TableDumpV2Message(TableDumpV2Message::PeerIndexTable(table)) => {
                self.peers = Some(
                    table.id_peer_map.into_iter().map(|(id, peer)| (id, peer.peer_asn.into())).collect(),
                );
                Ok(())
            }
            _ => Err(MrtProblem::PeerTable("it is something else".into())),
        }
    }

    /// Reads the entries of a RIB record into `origins` and `members` (RFC 6396, section 4.3.2).
    fn entries(
        &mut self,
        body: &[u8],
        family: Family,
        additional_paths: bool,
        report: &mut LoadReport,
    ) -> Result<Prefix, MrtProblem> {
        let mut body = Bytes(body);
        let _sequence = body.u32("the sequence number")?;
        let length = body.u8("the prefix length")?;
        if length > cidr::width(family) {
            return Err(MrtProblem::Length(length));
        }
        let mut address = [0u8; 16];
        let given = body.take(usize::from(length.div_ceil(8)), "the prefix")?;
        for (to, from) in address.iter_mut().zip(given) {
            *to = *from;
        }
        let bits = u128::from_be_bytes(address);
        let start = if family == Family::Ipv4 { bits >> 96 } else { bits };
        // RFC 4271, section 4.3: "the value of trailing bits is irrelevant".
        let prefix = cidr::prefix(family, start, length).ok_or(MrtProblem::Length(length))?;
        let count = body.u16("the entry count")?;
        for _ in 0..count {
            let peer = body.u16("a peer index")?;
            let _originated = body.u32("an originated time")?;
            if additional_paths {
                let _path = body.u32("a path identifier")?;
            }
            let length = body.u16("an attribute length")?;
            let attributes = body.take(length.into(), "an entry's attributes")?;
            report.lines += 1;
            self.path(attributes, peer, report)?;
        }
        Ok(prefix)
    }

    fn path(&mut self, attributes: &[u8], peer: u16, report: &mut LoadReport) -> Result<(), MrtProblem> {
        let mut attributes = Bytes(attributes);
        let mut last: Option<(u8, &[u8])> = None;
        while !attributes.0.is_empty() {
            let flags = attributes.u8("attribute flags")?;
            let kind = attributes.u8("an attribute type")?;
            let length = if flags & ATTRIBUTE_EXTENDED_LENGTH == 0 {
                attributes.u8("an attribute length")?.into()
            } else {
                attributes.u16("an attribute length")?.into()
            };
            let value = attributes.take(length, "an attribute")?;
            if kind == ATTRIBUTE_AS_PATH {
                last = last_segment(value)?;
                break;
            }
        }
        match last {
            Some((AS_SET, members)) if members.len() > 4 => {
                report.as_sets += 1;
                self.members.extend(asns(members));
            }
            Some((_, members)) => {
                if let Some(origin) = asns(members).last() {
                    self.count(origin);
                }
            }
            None => match self.peers.as_ref().ok_or(MrtProblem::NoPeers)?.get(&peer) {
                Some(0) => self.no_origin += 1,
                Some(&asn) => self.count(asn),
                None => return Err(MrtProblem::Peer(peer)),
            },
        }
        Ok(())
    }

    fn count(&mut self, origin: Asn) {
        match self.origins.iter_mut().find(|(asn, _)| *asn == origin) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.origins.push((origin, 1)),
        }
    }

    /// The routes, ascending; of a prefix in several records the origins of all.
    fn into_routes(mut self) -> Vec<(Prefix, Origins)> {
        self.routes.sort_by_key(|(prefix, _)| *prefix);
        self.routes.dedup_by(|(prefix, second), (first_prefix, first)| {
            let same = prefix == first_prefix;
            if same && second != first {
                let all: Vec<Asn> = first.all().iter().chain(second.all()).copied().collect();
                if let Some(origins) = Origins::from_list(&all) {
                    *first = origins;
                }
            }
            same
        });
        self.routes
    }
}

/// The last segment of an AS path that names an AS and is no confederation's. AS numbers have 4 bytes in
/// TABLE_DUMP_V2 (RFC 6396, section 4.3.4).
fn last_segment(path: &[u8]) -> Result<Option<(u8, &[u8])>, MrtProblem> {
    let mut path = Bytes(path);
    let mut last = None;
    while !path.0.is_empty() {
        let kind = path.u8("an AS path segment")?;
        let count = path.u8("an AS path segment")?;
        let members = path.take(usize::from(count) * 4, "an AS path segment")?;
        if matches!(kind, AS_SET | AS_SEQUENCE) && count > 0 {
            last = Some((kind, members));
        }
    }
    Ok(last)
}

fn asns(members: &[u8]) -> impl DoubleEndedIterator<Item = Asn> {
    members.as_chunks::<4>().0.iter().map(|bytes| Asn::from_be_bytes(*bytes))
}

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], MrtProblem> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(MrtProblem::Short(what))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], MrtProblem> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(MrtProblem::Short(what))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, MrtProblem> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, MrtProblem> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, MrtProblem> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }
}

#[cfg(test)]
#[path = "mrt_tests.rs"]
mod tests;
