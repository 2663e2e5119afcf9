//! Writing tables in formats that others read, and that we read back the same.

use std::{
    collections::{HashMap, hash_map},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use bgpkit_parser::{
    error::EncodingError,
    models::{
        AsPath, AttrFlags, AttrRaw, AttrType, Attribute, AttributeValue, Attributes, CommonHeader, EntryType,
        MrtMessage, NetworkPrefix, Origin, Peer, PeerIndexTable, RibAfiEntries, RibEntry, TableDumpV2Message,
        TableDumpV2Type,
    },
};
use jiff::Timestamp;

use crate::{
    model::{Family, Prefix},
    table::{
        names::Names,
        rib::{Found, Rib},
    },
};

/// What a table is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// `prefix,asn,name` below a header; several origins as `1_2`, the chosen one first.
    Csv,
    /// CAIDA's `address⇥length⇥asn`; several origins as `1_2`. Without names.
    Pfx2as,
    /// MRT TABLE_DUMP_V2 (RFC 6396): an entry an origin. Without names.
    Mrt,
}

impl ExportFormat {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Pfx2as, Self::Mrt];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Pfx2as => "pfx2as",
            Self::Mrt => "mrt",
        }
    }
}

/// Not the name of a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no format to export to: csv, pfx2as or mrt")]
pub struct UnknownFormat(pub String);

impl FromStr for ExportFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| UnknownFormat(text.into()))
    }
}

/// Why a table was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The output.
    #[error("cannot write the table: {0}")]
    Write(#[from] io::Error),
    /// MRT.
    #[error("cannot write the table as MRT: {0}")]
    Mrt(#[from] EncodingError),
}

/// Writes the routes that count, ascending; `date` is the time of an MRT dump.
///
/// # Errors
/// The output cannot be written.
pub fn write(
    rib: &Rib,
    names: &Names,
    format: ExportFormat,
    date: Timestamp,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let mut routes: Vec<Found<'_>> = rib.iter().collect();
    routes.sort_unstable_by_key(|route| route.prefix);
    match format {
        ExportFormat::Csv => csv(&routes, names, out)?,
        ExportFormat::Pfx2as => pfx2as(&routes, out)?,
        ExportFormat::Mrt => mrt(&routes, date, out)?,
    }
    out.flush()?;
    Ok(())
}

/// All origins, joined as CAIDA does.
struct Origins<'a>(&'a Found<'a>);

impl std::fmt::Display for Origins<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, asn) in self.0.origins.iter().enumerate() {
            if place > 0 {
                f.write_str("_")?;
            }
            asn.fmt(f)?;
        }
        Ok(())
    }
}

fn csv(routes: &[Found<'_>], names: &Names, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "prefix,asn,name")?;
    for route in routes {
        let name = names.get(route.asn).unwrap_or_default().replace('"', "\"\"");
        writeln!(out, "{},{},\"{name}\"", route.prefix, Origins(route))?;
    }
    Ok(())
}

fn pfx2as(routes: &[Found<'_>], out: &mut dyn Write) -> io::Result<()> {
    for route in routes {
        let prefix = route.prefix;
        writeln!(out, "{}\t{}\t{}", prefix.network_address(), prefix.netmask(), Origins(route))?;
    }
    Ok(())
}

/// The dump's peers are made up, one for each of several origins: in documentation space (RFC 5737, RFC 5398).
const PEER_ASN: u32 = 64496;
/// RFC 5737's TEST-NET-1 and RFC 3849's documentation prefix, as next hops.
const NEXT_HOP_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const NEXT_HOP_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

fn mrt(routes: &[Found<'_>], date: Timestamp, out: &mut dyn Write) -> Result<(), ExportError> {
    // MRT has 32 bits of seconds.
    let time = u32::try_from(date.as_second()).unwrap_or_default();
    let peers = routes.iter().map(|route| route.origins.len()).max().unwrap_or(1);
    let mut index = PeerIndexTable { collector_bgp_id: NEXT_HOP_V4, ..PeerIndexTable::default() };
    for peer in 0..u32::try_from(peers).unwrap_or(u32::MAX) {
        // 198.18.0.0/15 (RFC 2544) has as many addresses as there can be peers.
        let address = Ipv4Addr::from_bits(0xc612_0001 + peer);
        index.add_peer(Peer::new(address, IpAddr::V4(address), PEER_ASN.into()))?;
    }
    record(time, TableDumpV2Type::PeerIndexTable, TableDumpV2Message::PeerIndexTable(index), out)?;

    // Attributes depend on the origin and the family alone.
    let mut known: HashMap<(u32, Family), Attributes> = HashMap::new();
    for (route, sequence) in routes.iter().zip(0u32..) {
        let family = Family::of(&route.prefix);
        let rib_type = match family {
            Family::Ipv4 => TableDumpV2Type::RibIpv4Unicast,
            Family::Ipv6 => TableDumpV2Type::RibIpv6Unicast,
        };
        let mut entries = Vec::new();
        for (&asn, peer_index) in route.origins.iter().zip(0u16..) {
            let attributes = match known.entry((asn, family)) {
                hash_map::Entry::Occupied(entry) => entry.into_mut(),
                hash_map::Entry::Vacant(entry) => entry.insert(attributes(asn, family)),
            };
            entries.push(RibEntry {
                peer_index,
                originated_time: time,
                path_id: None,
                attributes: attributes.clone(),
            });
        }
        let message = TableDumpV2Message::RibAfi(RibAfiEntries {
            rib_type,
            sequence_number: sequence,
            prefix: network(&route.prefix)?,
            rib_entries: entries,
        });
        record(time, rib_type, message, out)?;
    }
    Ok(())
}

fn attributes(asn: u32, family: Family) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.add_attr(AttributeValue::Origin(Origin::IGP).into());
    attributes.add_attr(AttributeValue::AsPath(AsPath::from_sequence([asn])).into());
    attributes.add_attr(match family {
        Family::Ipv4 => AttributeValue::NextHop(NEXT_HOP_V4.into()).into(),
        // RFC 6396, section 4.3.4: "only the Next Hop Address Length and Next Hop Address fields are included".
        Family::Ipv6 => Attribute {
            flag: AttrFlags::OPTIONAL,
            value: AttributeValue::Raw(AttrRaw {
                code: AttrType::MP_REACHABLE_NLRI.into(),
                bytes: [&[16], NEXT_HOP_V6.octets().as_slice()].concat().into(),
            }),
        },
    });
    attributes
}

fn record(
    time: u32,
    kind: TableDumpV2Type,
    message: TableDumpV2Message,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let common_header = CommonHeader {
        timestamp: time,
        microsecond_timestamp: None,
        entry_type: EntryType::TABLE_DUMP_V2,
        entry_subtype: kind as u16,
        length: 0,
    };
    let body = MrtMessage::TableDumpV2Message(message).encode(common_header.entry_subtype)?;
    let length = u32::try_from(body.len()).map_err(|_| EncodingError::ValueTooLarge {
        field: "MRT record length",
        actual: body.len(),
        max: u32::MAX as usize,
    })?;
    out.write_all(&CommonHeader { length, ..common_header }.encode())?;
    out.write_all(&body)?;
    Ok(())
}

fn network(prefix: &Prefix) -> Result<NetworkPrefix, EncodingError> {
    let text = prefix.to_string();
    NetworkPrefix::from_str(&text).map_err(|_| EncodingError::Unencodable { field: "prefix", reason: text })
}
