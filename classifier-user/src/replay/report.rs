//! What a replay answers: the stable JSON of `classifier replay --json`.

use classifier_common::{abi::Side, counter::Counter};
use serde::{Deserialize, Serialize};

use crate::{
    model::{Asn, Prefix},
    totals::answer::{Amount, Outcomes},
};

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
    pub unmatched: Amount,
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
        Self {
            packets: total.packets,
            bytes: total.bytes,
            snapped,
            outcomes: outcomes.into(),
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
