//! How a chunk looks.
//!
//! A chunk has two parts: the rows, and their highest slots (none where rows are slots), which are read only where they
//! are wanted. Each begins with a checksum ([`Heading::checksum`], 4 bytes, little endian).
//!
//! The rows are columns. Seven of them zstd makes small: after three lengths (varints: of these before and after
//! compression, of the highest slots before compression) they are one frame. The last one, the numbers, has little that
//! could be foretold: it is a frame of its own, or as it is where that saves little ([`Encoder::fill_rows`]).
//!
//! The frame begins with the count of rows, that of runs (rows of one subject and place), the slots of a step and the
//! lengths of the columns and of the numbers. The columns are
//! by run: the subject's difference to the run before, the place, the count of rows less one, and for longer runs the
//! mean size of packets of either IP version, by which bytes are foretold;
//! by row: the time's difference to the row before less a step (for a run's first row: to the block's beginning), and the
//! widths of packets and bytes in a byte for either IP version. The numbers are packets and bytes in so many bytes each,
//! bytes less what was foretold.
//!
//! The highest slots are two columns in a frame: the widths of the rate and of the slots since the row's time in a byte,
//! and these numbers. A rate that is all of the row's bytes in one slot of five minutes, as small subjects have it, is not
//! written ([`ALL_AT_ONCE`]).

use zstd::bulk::Compressor;

use super::{
    Entry, Heading,
    values::{PADDING, put, put_bytes, widths, zigzag},
};
use crate::{
    history::{SLOT_SECONDS, Sample, Step, Subject, bits_per_second},
    model::Counter,
};

/// Rows after which a chunk ends with the next subject: what one subject costs to read.
const TARGET: usize = 4096;
/// Of zstd.
const LEVEL: i32 = 1;
/// What part of the numbers compression must save.
const LITTLE: usize = 24;
/// Runs from this length on have their mean sizes with them.
pub(super) const FORETOLD: usize = 6;
/// A bit of the widths of a highest slot that no width has.
pub(super) const ALL_AT_ONCE: u8 = 0x80;
/// Columns of the rows, without the numbers.
pub(super) const COLUMNS: usize = 7;

/// A chunk as it is stored.
#[derive(Debug)]
pub(in super::super) struct Chunk {
    /// Its first subject.
    pub(in super::super) first: Subject,
    /// How many rows.
    pub(in super::super) rows: usize,
    /// The rows.
    pub(in super::super) rows_part: Vec<u8>,
    /// Their highest slots.
    pub(in super::super) tops_part: Option<Vec<u8>>,
}

/// Makes chunks of rows that come in the order of [`Entry::key`].
pub(in super::super) struct Encoder {
    heading: Heading,
    compressor: Compressor<'static>,
    entries: Vec<Entry>,
    columns: [Vec<u8>; COLUMNS],
    numbers: Vec<u8>,
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
            numbers: Vec::new(),
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
        let raw_columns = self.raw.len();
        let columns = self.compressor.compress(&self.raw)?;
        let mut numbers = self.compressor.compress(&self.numbers)?;
        if numbers.len() + self.numbers.len() / LITTLE > self.numbers.len() {
            numbers = std::mem::take(&mut self.numbers);
        }
        self.fill_tops();
        let raw_tops = self.raw.len();
        let tops_part = match raw_tops {
            0 => None,
            _ => {
                let frame = self.compressor.compress(&self.raw)?;
                Some(self.part(first, &frame))
            }
        };
        let mut body = Vec::with_capacity(columns.len() + numbers.len() + 16);
        for length in [raw_columns, columns.len(), raw_tops] {
            put(length as u64, &mut body);
        }
        body.extend(columns);
        body.extend(numbers);
        let rows_part = self.part(first, &body);
        let rows = self.entries.len();
        self.entries.clear();
        Ok(Some(Chunk { first, rows, rows_part, tops_part }))
    }

    fn part(&self, first: Subject, body: &[u8]) -> Vec<u8> {
        let checksum = self.heading.checksum(first, body);
        [checksum.to_le_bytes().as_slice(), body].concat()
    }

    fn fill_rows(&mut self) {
        let [subjects, places, lengths, means, times, widths_v4, widths_v6] = &mut self.columns;
        let numbers = &mut self.numbers;
        let unit = unit(self.heading.step);
        numbers.clear();
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
            put(u64::from(first.at - self.heading.start), times);
            for pair in run.windows(2) {
                if let [before, entry] = pair {
                    put(zigzag(u64::from(entry.at - before.at).wrapping_sub(unit.into())), times);
                }
            }
            for entry in run {
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
        put(unit.into(), &mut self.raw);
        for length in self.columns.iter().map(Vec::len).chain([numbers.len()]) {
            put(length as u64, &mut self.raw);
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
        self.numbers.clear();
        for Entry { at, sample, top, .. } in &self.entries {
            let later = if top.rate == 0 { 0 } else { u64::from(top.at.wrapping_sub(*at)) };
            let all = top.rate != 0 && top.rate == at_once(sample);
            let rate = if all { 0 } else { top.rate };
            let widths = widths(rate, later);
            self.raw.push(if all { widths | ALL_AT_ONCE } else { widths });
            put_bytes(rate, widths & 15, &mut self.numbers);
            put_bytes(later, widths >> 4, &mut self.numbers);
        }
        self.numbers.extend([0; PADDING]);
        self.raw.append(&mut self.numbers);
    }
}

/// Slots from a row to the next, where nothing is missing.
const fn unit(step: Step) -> u32 {
    match step {
        Step::Slot => 1,
        Step::Hour => 12,
        Step::Day => 288,
    }
}

/// The rate of a slot of five minutes that has all of this.
pub(super) fn at_once(sample: &Sample) -> u64 {
    bits_per_second(sample.both().bytes, SLOT_SECONDS.unsigned_abs())
}
