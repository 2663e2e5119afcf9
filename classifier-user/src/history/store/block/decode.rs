//! Chunks back to rows.

use std::ops::{Range, RangeInclusive};

use zstd::bulk::Decompressor;

use super::{
    Damaged, Entry, Heading, Place, Top,
    encode::{ALL_AT_ONCE, COLUMNS, FORETOLD, at_once},
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
    columns: Vec<u8>,
    numbers: Vec<u8>,
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

/// Takes rows, run by run.
pub(in super::super) trait Visit {
    /// Whether it looks at rows' times; where it does not, they may be wrong.
    const TIMES: bool = true;

    /// Whether the rows of this subject and place are wanted; those are next.
    fn wants(&mut self, subject: Subject, place: Place) -> bool;

    /// A row.
    fn row(&mut self, at: u32, sample: Sample);
}

/// Appends the rows of some subjects, and remembers how many there were before.
#[derive(Debug)]
struct Append<'a> {
    subjects: RangeInclusive<Subject>,
    at: (Subject, Place),
    into: &'a mut Vec<Entry>,
}

impl Visit for Append<'_> {
    fn wants(&mut self, subject: Subject, place: Place) -> bool {
        self.at = (subject, place);
        self.subjects.contains(&subject)
    }

    #[inline]
    fn row(&mut self, at: u32, sample: Sample) {
        let (subject, place) = self.at;
        self.into.push(Entry { subject, place, at, sample, top: Top::default() });
    }
}

impl Decoder {
    /// # Errors
    /// What zstd says, where it has no memory.
    pub(in super::super) fn new() -> std::io::Result<Self> {
        Ok(Self { decompressor: Decompressor::new()?, columns: Vec::new(), numbers: Vec::new() })
    }

    /// Shows the rows of these slots, without their highest slots; gives the chunk's last subject.
    ///
    /// # Errors
    /// [`Damaged`], and then no row is to be believed.
    pub(in super::super) fn visit(
        &mut self,
        heading: &Heading,
        first: Subject,
        part: &[u8],
        times: &Range<u32>,
        visit: &mut impl Visit,
    ) -> Result<Subject, Damaged> {
        let body = checked(heading, first, part)?;
        let (columns, numbers, _) = self.columns(body)?;
        rows(&columns, numbers, heading, times, visit).map(|(last, _)| last)
    }

    /// Appends the rows of these subjects to `into`, with their highest slots where `tops` has the chunk's other part and
    /// there are any; gives the chunk's last subject.
    ///
    /// # Errors
    /// [`Damaged`], and then nothing in `into` is to be believed.
    pub(in super::super) fn decode(
        &mut self,
        heading: &Heading,
        first: Subject,
        (part, tops): (&[u8], Option<Option<&[u8]>>),
        subjects: RangeInclusive<Subject>,
        into: &mut Vec<Entry>,
    ) -> Result<Subject, Damaged> {
        let before = into.len();
        let body = checked(heading, first, part)?;
        let (columns, numbers, raw_tops) = self.columns(body)?;
        let all = columns.rows;
        let mut append = Append { subjects, at: Default::default(), into };
        let (last, skipped) = rows(&columns, numbers, heading, &(0..u32::MAX), &mut append)?;
        if let Some(tops) = tops.filter(|_| raw_tops > 0) {
            let frame = checked(heading, first, tops.ok_or(Damaged("a part of a chunk is missing"))?)?;
            decompress(&mut self.decompressor, frame, raw_tops, &mut self.columns)?;
            fill_tops(&self.columns, skipped, all, into.get_mut(before..).unwrap_or_default())?;
        }
        Ok(last)
    }

    /// The columns, the numbers, and the length of the highest slots.
    fn columns<'a>(&'a mut self, body: &'a [u8]) -> Result<(Columns<'a>, &'a [u8], usize), Damaged> {
        let mut body = Varints(body);
        let mut length = || body.take().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let [raw_columns, columns, raw_tops] = [length()?, length()?, length()?];
        let (frame, mut numbers) = body.0.split_at_checked(columns).ok_or(Damaged("a chunk is cut"))?;
        decompress(&mut self.decompressor, frame, raw_columns, &mut self.columns)?;
        let columns = Columns::of(&self.columns)?;
        if numbers.len() != columns.numbers {
            decompress(&mut self.decompressor, numbers, columns.numbers, &mut self.numbers)?;
            numbers = &self.numbers;
        }
        Ok((columns, numbers, raw_tops))
    }
}

fn decompress(
    decompressor: &mut Decompressor<'static>,
    frame: &[u8],
    length: usize,
    into: &mut Vec<u8>,
) -> Result<(), Damaged> {
    if length > LONGEST {
        return Err(Damaged("a chunk is too long"));
    }
    into.clear();
    into.reserve(length);
    match decompressor.decompress_to_buffer(frame, into) {
        Ok(got) if got == length => Ok(()),
        _ => Err(Damaged("a chunk cannot be decompressed")),
    }
}

/// What follows the checksum of a part.
fn checked<'a>(heading: &Heading, first: Subject, part: &'a [u8]) -> Result<&'a [u8], Damaged> {
    let (checksum, body) = part.split_first_chunk().ok_or(Damaged("a chunk is cut"))?;
    if heading.checksum(first, body) != u32::from_le_bytes(*checksum) {
        return Err(Damaged("a chunk's checksum is another one"));
    }
    Ok(body)
}

/// The columns but the numbers.
#[derive(Clone, Copy, Debug)]
struct Columns<'a> {
    rows: usize,
    runs: usize,
    unit: u32,
    columns: [&'a [u8]; COLUMNS],
    /// The length of the numbers.
    numbers: usize,
}

impl<'a> Columns<'a> {
    fn of(raw: &'a [u8]) -> Result<Self, Damaged> {
        let mut head = Varints(raw);
        let mut count = || head.take().map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        let (rows, runs, unit) = (count()?, count()?, count()?);
        let mut lengths = [0; COLUMNS];
        for length in &mut lengths {
            *length = count()?;
        }
        let numbers = count()?;
        let mut rest = head.0;
        let mut columns = [[].as_slice(); COLUMNS];
        for (column, length) in columns.iter_mut().zip(lengths) {
            (*column, rest) = rest.split_at_checked(length).ok_or(Damaged("a column is cut"))?;
        }
        let unit = unit.try_into().map_err(|_| Damaged("a step is too long"))?;
        Ok(Self { rows, runs, unit, columns, numbers })
    }
}

/// Shows the rows; gives the last subject and how many rows were passed over before the first that was wanted.
fn rows<V: Visit>(
    columns: &Columns<'_>,
    numbers: &[u8],
    heading: &Heading,
    wanted: &Range<u32>,
    visit: &mut V,
) -> Result<(Subject, usize), Damaged> {
    let [deltas, places, lengths, means, times, mut widths_v4, mut widths_v6] = columns.columns;
    let [mut deltas, mut places, mut lengths] = [deltas, places, lengths].map(Varints);
    let [mut means, mut times] = [means, times].map(Varints);
    let mut numbers = Bytes::new(numbers);
    let mut subject: Subject = 0;
    let mut skipped = None;
    let mut done = 0;
    let all_times = wanted.start <= heading.start && heading.stop <= wanted.end;
    for _ in 0..columns.runs {
        let delta = deltas.take_u32()?;
        subject = subject.checked_add(delta).ok_or(Damaged("a subject is too large"))?;
        let place = Place(places.take()?.try_into().map_err(|_| Damaged("a link is too large"))?);
        let length = usize::try_from(lengths.take()?).unwrap_or(usize::MAX).saturating_add(1);
        let (mean_v4, mean_v6) = if length >= FORETOLD { (means.take()?, means.take()?) } else { (0, 0) };
        let (run_v4, rest_v4) = widths_v4.split_at_checked(length).ok_or(Damaged("a run is cut"))?;
        let (run_v6, rest_v6) = widths_v6.split_at_checked(length).ok_or(Damaged("a run is cut"))?;
        (widths_v4, widths_v6) = (rest_v4, rest_v6);
        if !visit.wants(subject, place) {
            times.skip(length)?;
            numbers.skip(run_v4.iter().chain(run_v6).map(|&widths| pair_bytes(widths)).sum());
            done += length;
            continue;
        }
        skipped.get_or_insert(done);
        done += length;
        let timeless = all_times && !V::TIMES;
        let mut at = heading.start;
        if timeless {
            times.skip(length)?;
        } else {
            at = times.take_u32()?.checked_add(at).ok_or(Damaged("a time is too large"))?;
        }
        for (row, (&widths_v4, &widths_v6)) in run_v4.iter().zip(run_v6).enumerate() {
            if row > 0 && !timeless {
                let more = u64::from(columns.unit).wrapping_add(unzigzag(times.take()?));
                let later = u32::try_from(more).ok().and_then(|more| at.checked_add(more));
                at = later.ok_or(Damaged("a time is too large"))?;
            }
            if all_times || wanted.contains(&at) {
                let [ipv4, ipv6] = numbers.pairs(widths_v4, widths_v6)?;
                let sample = Sample { ipv4: counter(ipv4, mean_v4), ipv6: counter(ipv6, mean_v6) };
                visit.row(at, sample);
            } else {
                numbers.skip(pair_bytes(widths_v4) + pair_bytes(widths_v6));
            }
        }
    }
    Ok((subject, skipped.unwrap_or(done)))
}

fn fill_tops(raw: &[u8], before: usize, all: usize, entries: &mut [Entry]) -> Result<(), Damaged> {
    let (widths, numbers) = raw.split_at_checked(all).ok_or(Damaged("a column is cut"))?;
    let (before, widths) = widths.split_at_checked(before).ok_or(Damaged("a column is cut"))?;
    let mut numbers = Bytes::new(numbers);
    numbers.skip(before.iter().map(|&widths| pair_bytes(widths & !ALL_AT_ONCE)).sum());
    for (entry, &widths) in entries.iter_mut().zip(widths) {
        let (rate, later) = numbers.pair(widths & !ALL_AT_ONCE)?;
        let rate = if widths & ALL_AT_ONCE == 0 { rate } else { at_once(&entry.sample) };
        let later: u32 = later.try_into().map_err(|_| Damaged("a time is too large"))?;
        entry.top = Top { rate, at: if rate == 0 { 0 } else { entry.at.wrapping_add(later) } };
    }
    Ok(())
}
