//! What a replay answers: the stable JSON of `classifier replay --json`.

use classifier_common::{
    abi::Side,
    counter::{Counter, Outcome},
};
use serde::{Deserialize, Serialize};

use crate::model::{Asn, Prefix};

/// Packets and wire bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes, layer 2 header included.
    pub bytes: u64,
}

impl From<Counter> for Count {
    fn from(counter: Counter) -> Self {
        Self { packets: counter.packets, bytes: counter.bytes }
    }
}

/// What became of the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// IPv4.
    pub ipv4: Count,
    /// IPv6.
    pub ipv6: Count,
    /// No IP in it.
    pub non_ip: Count,
    /// Cut or contradictory.
    pub malformed: Count,
    /// Not looked at.
    pub unsupported: Count,
}

/// One AS's or prefix's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Origin AS.
    pub asn: Asn,
    /// Its name, where known.
    pub name: Option<String>,
    /// The prefix, with `--by prefix`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prefix: Option<String>,
    /// Packets.
    pub packets: u64,
    /// Wire bytes.
    pub bytes: u64,
    /// Part of all the capture's bytes, 0 to 1.
    pub share: f64,
}

impl Row {
    pub(super) fn new(
        asn: Asn,
        name: Option<&str>,
        prefix: Option<Prefix>,
        counter: Counter,
        total_bytes: u64,
    ) -> Self {
        Self {
            asn,
            name: name.map(str::to_owned),
            prefix: prefix.map(|prefix| prefix.to_string()),
            packets: counter.packets,
            bytes: counter.bytes,
            share: counter.bytes as f64 / total_bytes.max(1) as f64,
        }
    }
}

/// The totals of a capture: `packets` = Σ outcomes + `snapped`; ipv4 + ipv6 = Σ rows + `unmatched`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Packets in the capture.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Packets whose capture was cut before their addresses end: not looked up, in no outcome.
    pub snapped: u64,
    /// What became of all others.
    pub outcomes: Outcomes,
    /// `source` or `destination`: which address was looked up.
    pub side: String,
    /// Most bytes first.
    pub rows: Vec<Row>,
    /// IP packets whose address has no route.
    pub unmatched: Count,
}

impl Report {
    pub(super) fn new(
        total: Counter,
        snapped: u64,
        outcomes: [Counter; 5],
        side: Side,
        rows: Vec<Row>,
        unmatched: Counter,
    ) -> Self {
        let of = |outcome: Outcome| outcomes[outcome as usize].into();
        Self {
            packets: total.packets,
            bytes: total.bytes,
            snapped,
            outcomes: Outcomes {
                ipv4: of(Outcome::Ipv4),
                ipv6: of(Outcome::Ipv6),
                non_ip: of(Outcome::NonIp),
                malformed: of(Outcome::Malformed),
                unsupported: of(Outcome::Unsupported),
            },
            side: match side {
                Side::Source => "source",
                Side::Destination => "destination",
            }
            .to_owned(),
            rows,
            unmatched: unmatched.into(),
        }
    }
}
