//! AS paths (RFC 4271, section 4.3; RFC 5065; RFC 6793).

use super::{attributes::Fault, bytes::Bytes};
use crate::model::Asn;

const SET: u8 = 1;
const SEQUENCE: u8 = 2;
const CONFED_SEQUENCE: u8 = 3;
const CONFED_SET: u8 = 4;

/// The longest path that is taken, prepending included: beyond this are only faults.
pub const MAX_PATH: usize = 1000;

/// A path as [`Attributes`](crate::ingest::live::Attributes) has it; its buffers are used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    pub(super) sequence: Vec<Asn>,
    /// Ascending, each once.
    pub(super) set: Vec<Asn>,
}

/// A segment: its type and its AS numbers as they came.
type Segment<'a> = (u8, &'a [u8]);

impl Path {
    /// Reads an AS_PATH. `old` is the AS4_PATH of a speaker whose AS numbers have 2 bytes.
    pub(super) fn read(&mut self, value: &[u8], wide: bool, as4_path: Option<&[u8]>) -> Result<(), Fault> {
        self.sequence.clear();
        self.set.clear();
        match as4_path.filter(|_| !wide) {
            None => {
                let mut segments = Bytes(value);
                while let Some(segment) = next(&mut segments, wide)? {
                    self.add(segment, wide, usize::MAX)?;
                }
            }
            Some(as4_path) => self.merge(value, as4_path)?,
        }
        self.set.sort_unstable();
        self.set.dedup();
        if self.sequence.len() + self.set.len() > MAX_PATH { Err(Fault::TooLong) } else { Ok(()) }
    }

    /// RFC 6793, section 4.2.3: of the AS_PATH the leading ASes that the AS4_PATH has not, then the AS4_PATH, if that is
    /// not longer; else the AS_PATH alone.
    fn merge(&mut self, as_path: &[u8], as4_path: &[u8]) -> Result<(), Fault> {
        let (all, newer) = (count(as_path, false)?, count(as4_path, true)?);
        let mut missing = all.checked_sub(newer).unwrap_or(usize::MAX);
        let alone = missing == usize::MAX;
        let mut segments = Bytes(as_path);
        while let Some(segment) = next(&mut segments, false)? {
            self.add(segment, false, missing)?;
            missing = missing.saturating_sub(weight(segment, false));
        }
        if !alone {
            let mut segments = Bytes(as4_path);
            while let Some(segment) = next(&mut segments, true)? {
                self.add(segment, true, usize::MAX)?;
            }
        }
        Ok(())
    }

    /// Adds a segment, of a sequence no more than `most` ASes.
    fn add(&mut self, (kind, asns): Segment<'_>, wide: bool, most: usize) -> Result<(), Fault> {
        let to = match kind {
            SEQUENCE => {
                if most > 0 {
                    // A set that does not end the path says nothing of the origin.
                    self.set.clear();
                }
                &mut self.sequence
            }
            SET => &mut self.set,
            _ => return each(asns, wide, |_| {}),
        };
        let mut left = most;
        each(asns, wide, |asn| {
            if left > 0 {
                to.push(asn);
            }
            // A set counts as one AS, whole.
            left = if kind == SEQUENCE { left.saturating_sub(1) } else { left };
        })
    }
}

/// Whether an AS4_PATH can be used (RFC 6793, section 6).
pub(super) fn check_as4(value: &[u8]) -> Result<(), Fault> {
    let mut segments = Bytes(value);
    let mut any = false;
    while let Some((_, asns)) = next(&mut segments, true)? {
        each(asns, true, |_| {})?;
        any = true;
    }
    if any { Ok(()) } else { Err(Fault::Length) }
}

/// ASes by the rule of path lengths: a set is one, confederation segments are none (RFC 5065, section 5.3).
fn count(value: &[u8], wide: bool) -> Result<usize, Fault> {
    let mut segments = Bytes(value);
    let mut count = 0;
    while let Some(segment) = next(&mut segments, wide)? {
        count += weight(segment, wide);
    }
    Ok(count)
}

const fn weight((kind, asns): Segment<'_>, wide: bool) -> usize {
    match kind {
        SEQUENCE => asns.len() / if wide { 4 } else { 2 },
        SET => 1,
        _ => 0,
    }
}

/// RFC 7606, section 7.2: an unknown segment type, a segment that overruns the attribute, one byte left over, and a
/// segment of no ASes are malformed.
fn next<'a>(segments: &mut Bytes<'a>, wide: bool) -> Result<Option<Segment<'a>>, Fault> {
    let Some(kind) = segments.u8() else { return Ok(None) };
    if !matches!(kind, SET | SEQUENCE | CONFED_SEQUENCE | CONFED_SET) {
        return Err(Fault::Value);
    }
    let count = usize::from(segments.u8().ok_or(Fault::Length)?);
    if count == 0 {
        return Err(Fault::Length);
    }
    let asns = segments.take(count * if wide { 4 } else { 2 }).ok_or(Fault::Length)?;
    Ok(Some((kind, asns)))
}

/// RFC 7607: AS 0 in a path is malformed.
fn each(asns: &[u8], wide: bool, mut each: impl FnMut(Asn)) -> Result<(), Fault> {
    let mut zero = false;
    let mut take = |asn: Asn| {
        zero |= asn == 0;
        each(asn);
    };
    if wide {
        asns.as_chunks::<4>().0.iter().for_each(|asn| take(Asn::from_be_bytes(*asn)));
    } else {
        asns.as_chunks::<2>().0.iter().for_each(|asn| take(u16::from_be_bytes(*asn).into()));
    }
    if zero { Err(Fault::Value) } else { Ok(()) }
}
