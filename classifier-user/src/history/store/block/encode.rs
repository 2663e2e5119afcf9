//! How a chunk looks.
//!
//! A chunk is a checksum ([`Heading::checksum`], 4 bytes, little endian), the lengths of two parts before and after
//! compression (4 varints), and the two parts, each a zstd frame: the rows, and their highest slots (empty where rows are
//! slots), so that who wants only sums need not decompress these.
//!
//! The rows are columns, one after the other: their count, that of runs (rows of one subject and place) and the columns'
//! lengths, then
//! by run: the subject's difference to the run before, the place, the count of rows less one, and for longer runs the
//! mean size of packets of either IP version, by which bytes are foretold;
//! by row: the time's difference to the row before less one (for a run's first row: to the block's beginning), the
//! widths of packets and bytes in a byte for either IP version, and these numbers in so many bytes each, bytes less
//! what was foretold.

use zstd::bulk::Compressor;

use super::{
    Damaged, Entry, Heading,
    values::{PADDING, put, put_bytes, widths, zigzag},
};
use crate::{history::Subject, model::Counter};

/// Rows after which a chunk ends with the next subject: what one subject costs to read.
const TARGET: usize = 4096;
/// Of zstd.
const LEVEL: i32 = 1;
/// Runs from this length on have their mean sizes with them.
pub(super) const FORETOLD: usize = 6;
/// Columns of the rows.
pub(super) const COLUMNS: usize = 8;

/// A chunk as it is stored.
#[derive(Debug)]
pub(in super::super) struct Chunk {
    /// Its first subject.
    pub(in super::super) first: Subject,
    /// Its rows.
    pub(in super::super) rows: usize,
    /// Its bytes.
    pub(in super::super) bytes: Vec<u8>,
}

/// Makes chunks of rows that come in the order of [`Entry::key`].
pub(in super::super) struct Encoder {
    heading: Heading,
    compressor: Compressor<'static>,
    entries: Vec<Entry>,
    columns: [Vec<u8>; COLUMNS],
    raw: Vec<u8>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("heading", &self.heading).finish_non_exhaustive()
    }
}

/// The mean size of packets, rounded down; 0 without packets.
fn mean(counters: impl Iterator<Item = Counter>) -> u64 {
    let sum: Counter = counters.sum();
    sum.bytes.checked_div(sum.packets).unwrap_or(0)
}

impl Encoder {
    /// # Errors
    /// What zstd says, where it has no memory.
    pub(in super::super) fn new(heading: Heading) -> std::io::Result<Self> {
        Ok(Self {
            heading,
            compressor: Compressor::new(LEVEL)?,
            entries: Vec::with_capacity(TARGET + TARGET / 2),
            columns: Default::default(),
            raw: Vec::new(),
        })
    }

    /// Takes a row; gives the chunk that was full before it.
    ///
    /// # Errors
    /// What zstd says.
    pub(in super::super) fn push(&mut self, entry: Entry) -> std::io::Result<Option<Chunk>> {
        let full = self.entries.len() >= TARGET
            && self.entries.last().is_some_and(|last| last.subject != entry.subject);
        let chunk = if full { self.flush()? } else { None };
        self.entries.push(entry);
        Ok(chunk)
    }

    /// The rows since the last chunk.
    ///
    /// # Errors
    /// What zstd says.
    pub(in super::super) fn flush(&mut self) -> std::io::Result<Option<Chunk>> {
        let Some(&Entry { subject: first, .. }) = self.entries.first() else { return Ok(None) };
        self.fill_rows();
        let raw_rows = self.raw.len();
        let rows = self.compressor.compress(&self.raw)?;
        self.fill_tops();
        let raw_tops = self.raw.len();
        let tops = if raw_tops == 0 { Vec::new() } else { self.compressor.compress(&self.raw)? };

        let mut bytes = vec![0; 4];
        for length in [raw_rows, rows.len(), raw_tops, tops.len()] {
            put(length as u64, &mut bytes);
        }
        bytes.extend(rows);
        bytes.extend(tops);
        let checksum = self.heading.checksum(first, bytes.get(4..).unwrap_or_default());
        if let Some(place) = bytes.first_chunk_mut() {
            *place = checksum.to_le_bytes();
        }
        let rows = self.entries.len();
        self.entries.clear();
        Ok(Some(Chunk { first, rows, bytes }))
    }

    fn fill_rows(&mut self) {
        let [subjects, places, lengths, means, times, widths_v4, widths_v6, numbers] = &mut self.columns;
        let mut runs = 0;
        let mut subject = 0;
        for run in self.entries.chunk_by(|a, b| (a.subject, a.place) == (b.subject, b.place)) {
            let Some(first) = run.first() else { continue };
            runs += 1;
            put(u64::from(first.subject - subject), subjects);
            subject = first.subject;
            put(first.place.0.into(), places);
            put(run.len() as u64 - 1, lengths);
            let mut mean_v4 = 0;
            let mut mean_v6 = 0;
            if run.len() >= FORETOLD {
                mean_v4 = mean(run.iter().map(|entry| entry.sample.ipv4));
                mean_v6 = mean(run.iter().map(|entry| entry.sample.ipv6));
                put(mean_v4, means);
                put(mean_v6, means);
            }
            let mut next = self.heading.start;
            for entry in run {
                put(u64::from(entry.at - next), times);
                next = entry.at + 1;
                let versions = [(entry.sample.ipv4, mean_v4), (entry.sample.ipv6, mean_v6)];
                for ((counter, mean), column) in versions.into_iter().zip([&mut *widths_v4, widths_v6]) {
                    let bytes = if mean == 0 {
                        counter.bytes
                    } else {
                        zigzag(counter.bytes.wrapping_sub(counter.packets.wrapping_mul(mean)))
                    };
                    let widths = widths(counter.packets, bytes);
                    column.push(widths);
                    put_bytes(counter.packets, widths & 15, numbers);
                    put_bytes(bytes, widths >> 4, numbers);
                }
            }
        }
        numbers.extend([0; PADDING]);
        self.raw.clear();
        put(self.entries.len() as u64, &mut self.raw);
        put(runs, &mut self.raw);
        for column in &self.columns {
            put(column.len() as u64, &mut self.raw);
        }
        for column in &mut self.columns {
            self.raw.append(column);
        }
    }

    fn fill_tops(&mut self) {
        self.raw.clear();
        if self.entries.iter().all(|entry| entry.top.rate == 0) {
            return;
        }
        let [_, _, _, _, _, both_widths, _, numbers] = &mut self.columns;
        for Entry { at, top, .. } in &self.entries {
            let later = if top.rate == 0 { 0 } else { u64::from(top.at.wrapping_sub(*at)) };
            let widths = widths(top.rate, later);
            both_widths.push(widths);
            put_bytes(top.rate, widths & 15, numbers);
            put_bytes(later, widths >> 4, numbers);
        }
        numbers.extend([0; PADDING]);
        self.raw.append(both_widths);
        self.raw.append(numbers);
    }
}

/// A chunk in its parts, its checksum not yet looked at.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) checksum: u32,
    /// What the checksum is of.
    pub(super) body: &'a [u8],
    pub(super) rows: &'a [u8],
    pub(super) raw_rows: usize,
    pub(super) tops: &'a [u8],
    pub(super) raw_tops: usize,
}

impl<'a> Parts<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let (checksum, body) = bytes.split_first_chunk().ok_or(Damaged("a chunk is cut"))?;
        let mut lengths = super::values::Varints(body);
        let mut length = || lengths.take().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let [raw_rows, rows, raw_tops, tops] = [length()?, length()?, length()?, length()?];
        let frames = lengths.0;
        let (rows, frames) = frames.split_at_checked(rows).ok_or(Damaged("a chunk is cut"))?;
        let tops = frames.get(..tops).ok_or(Damaged("a chunk is cut"))?;
        Ok(Self { checksum: u32::from_le_bytes(*checksum), body, rows, raw_rows, tops, raw_tops })
    }
}
