//! Chunks back to rows.

use std::ops::RangeInclusive;

use zstd::bulk::Decompressor;

use super::{
    Damaged, Entry, Heading, Place, Top,
    encode::{COLUMNS, FORETOLD, Parts},
    values::{Bytes, Varints, pair_bytes, unzigzag},
};
use crate::{
    history::{Sample, Subject},
    model::Counter,
};

/// The longest part of a chunk that is believed: one subject may have a month's slots on every link.
const LONGEST: usize = 1 << 28;

/// Makes rows of chunks.
pub(in super::super) struct Decoder {
    decompressor: Decompressor<'static>,
    raw: Vec<u8>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

/// Bytes by packets where they are foretold.
#[inline]
const fn counter((packets, bytes): (u64, u64), mean: u64) -> Counter {
    let bytes = if mean == 0 { bytes } else { unzigzag(bytes).wrapping_add(packets.wrapping_mul(mean)) };
    Counter { packets, bytes }
}

impl Decoder {
    /// # Errors
    /// What zstd says, where it has no memory.
    pub(in super::super) fn new() -> std::io::Result<Self> {
        Ok(Self { decompressor: Decompressor::new()?, raw: Vec::new() })
    }

    /// Appends the rows of these subjects to `into`, with their highest slots if these are wanted; gives the chunk's last
    /// subject.
    ///
    /// # Errors
    /// [`Damaged`], and then nothing in `into` is to be believed.
    pub(in super::super) fn decode(
        &mut self,
        heading: &Heading,
        first: Subject,
        bytes: &[u8],
        subjects: RangeInclusive<Subject>,
        tops: bool,
        into: &mut Vec<Entry>,
    ) -> Result<Subject, Damaged> {
        let parts = Parts::of(bytes)?;
        if heading.checksum(first, parts.body) != parts.checksum {
            return Err(Damaged("its checksum is another one"));
        }
        self.decompress(parts.rows, parts.raw_rows)?;
        let before = into.len();
        let (last, skipped) = rows(&self.raw, heading.start, &subjects, into)?;
        if tops && parts.raw_tops > 0 {
            self.decompress(parts.tops, parts.raw_tops)?;
            let entries = into.get_mut(before..).unwrap_or_default();
            fill_tops(&self.raw, skipped, entries)?;
        }
        Ok(last)
    }

    fn decompress(&mut self, frame: &[u8], length: usize) -> Result<(), Damaged> {
        if length > LONGEST {
            return Err(Damaged("a chunk is too long"));
        }
        self.raw.clear();
        self.raw.reserve(length);
        match self.decompressor.decompress_to_buffer(frame, &mut self.raw) {
            Ok(got) if got == length => Ok(()),
            _ => Err(Damaged("a chunk cannot be decompressed")),
        }
    }
}

/// Rows before those that were wanted, and all rows: highest slots are found by them.
#[derive(Clone, Copy, Debug)]
struct Skipped {
    before: usize,
    all: usize,
}

fn rows(
    raw: &[u8],
    start: u32,
    subjects: &RangeInclusive<Subject>,
    into: &mut Vec<Entry>,
) -> Result<(Subject, Skipped), Damaged> {
    let mut head = Varints(raw);
    let mut count = || head.take().map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    let (all, runs) = (count()?, count()?);
    let mut lengths = [0; COLUMNS];
    for length in &mut lengths {
        *length = count()?;
    }
    let mut rest = head.0;
    let mut columns = [[].as_slice(); COLUMNS];
    for (column, length) in columns.iter_mut().zip(lengths) {
        (*column, rest) = rest.split_at_checked(length).ok_or(Damaged("a column is cut"))?;
    }
    let [subject_column, places, lengths, means, times, mut widths_v4, mut widths_v6, numbers] = columns;
    if widths_v4.len() != all || widths_v6.len() != all {
        return Err(Damaged("a column is cut"));
    }
    let [mut deltas, mut places, mut lengths] = [subject_column, places, lengths].map(Varints);
    let [mut means, mut times] = [means, times].map(Varints);
    let mut numbers = Bytes::new(numbers);
    let mut subject: Subject = 0;
    let mut skipped = Skipped { before: 0, all };
    if *subjects.start() == 0 && *subjects.end() == Subject::MAX {
        into.reserve(all);
    }
    for _ in 0..runs {
        let delta = deltas.take_u32()?;
        subject = subject.checked_add(delta).ok_or(Damaged("a subject is too large"))?;
        let place = Place(places.take()?.try_into().map_err(|_| Damaged("a link is too large"))?);
        let length = usize::try_from(lengths.take()?).unwrap_or(usize::MAX).saturating_add(1);
        let (mean_v4, mean_v6) = if length >= FORETOLD { (means.take()?, means.take()?) } else { (0, 0) };
        let (run_v4, rest_v4) = widths_v4.split_at_checked(length).ok_or(Damaged("a run is cut"))?;
        let (run_v6, rest_v6) = widths_v6.split_at_checked(length).ok_or(Damaged("a run is cut"))?;
        (widths_v4, widths_v6) = (rest_v4, rest_v6);
        if !subjects.contains(&subject) {
            for _ in 0..length {
                times.take()?;
            }
            numbers.skip(run_v4.iter().chain(run_v6).map(|&widths| pair_bytes(widths)).sum());
            if subject < *subjects.start() {
                skipped.before += length;
            }
            continue;
        }
        let mut next = start;
        for (&widths_v4, &widths_v6) in run_v4.iter().zip(run_v6) {
            let at = times.take_u32()?.checked_add(next).ok_or(Damaged("a time is too large"))?;
            next = at.saturating_add(1);
            let ipv4 = counter(numbers.pair(widths_v4)?, mean_v4);
            let ipv6 = counter(numbers.pair(widths_v6)?, mean_v6);
            into.push(Entry { subject, place, at, sample: Sample { ipv4, ipv6 }, top: Top::default() });
        }
    }
    Ok((subject, skipped))
}

fn fill_tops(raw: &[u8], skipped: Skipped, entries: &mut [Entry]) -> Result<(), Damaged> {
    let (widths, numbers) = raw.split_at_checked(skipped.all).ok_or(Damaged("a column is cut"))?;
    let (before, widths) = widths.split_at_checked(skipped.before).ok_or(Damaged("a column is cut"))?;
    let mut numbers = Bytes::new(numbers);
    numbers.skip(before.iter().map(|&widths| pair_bytes(widths)).sum());
    for (entry, &widths) in entries.iter_mut().zip(widths) {
        let (rate, later) = numbers.pair(widths)?;
        let later: u32 = later.try_into().map_err(|_| Damaged("a time is too large"))?;
        entry.top = Top { rate, at: if rate == 0 { 0 } else { entry.at.wrapping_add(later) } };
    }
    Ok(())
}
