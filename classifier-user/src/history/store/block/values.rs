//! Numbers in few bytes.

use super::Damaged;

/// Appends a number in groups of seven bits, low ones first (LEB128).
pub(in super::super) fn put(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// Reads what [`put`] wrote.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Varints<'a>(pub(in super::super) &'a [u8]);

impl Varints<'_> {
    /// Passes over so many numbers.
    pub(super) fn skip(&mut self, count: usize) -> Result<(), Damaged> {
        match self.0.split_at_checked(count) {
            // Mostly each is one byte.
            Some((ours, rest)) if ours.iter().all(|&byte| byte < 0x80) => self.0 = rest,
            _ => {
                for _ in 0..count {
                    self.take()?;
                }
            }
        }
        Ok(())
    }

    pub(in super::super) fn take(&mut self) -> Result<u64, Damaged> {
        // Most are one byte.
        if let [byte @ 0..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        let mut number = 0;
        for (place, &byte) in self.0.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.0 = self.0.get(place + 1..).unwrap_or_default();
                return Ok(number);
            }
        }
        Err(Damaged("a number is cut"))
    }

    pub(in super::super) fn take_u32(&mut self) -> Result<u32, Damaged> {
        self.take()?.try_into().map_err(|_| Damaged("a number is too large"))
    }
}

/// How many bytes a number needs: 0 to 8.
pub(super) const fn width(number: u64) -> u8 {
    (8 - number.leading_zeros() / 8) as u8
}

/// Appends that many low bytes.
pub(super) fn put_bytes(number: u64, width: u8, into: &mut Vec<u8>) {
    into.extend(number.to_le_bytes().iter().take(width.into()));
}

/// Zeros that must follow the last of [`put_bytes`], so that four numbers of the greatest width can be read anywhere.
pub(super) const PADDING: usize = 40;

/// What is kept of eight bytes, by width.
const MASKS: [u64; 16] = {
    let mut masks = [u64::MAX; 16];
    let mut width = 0;
    while width < 8 {
        masks[width] = (1 << (8 * width)) - 1;
        width += 1;
    }
    masks
};

/// Reads what [`put_bytes`] wrote.
#[derive(Debug)]
pub(super) struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    /// Two numbers whose widths are the low and the high half of `widths`.
    #[inline]
    pub(super) fn pair(&mut self, widths: u8) -> Result<(u64, u64), Damaged> {
        let window = self.window()?;
        let (low, high) = (usize::from(widths & 15), usize::from(widths >> 4));
        let pair = (word(window, 0) & MASKS[low], word(window, low) & MASKS[high]);
        self.at += low + high;
        Ok(pair)
    }

    /// Two such pairs.
    #[inline]
    pub(super) fn pairs(&mut self, first: u8, second: u8) -> Result<[(u64, u64); 2], Damaged> {
        let window = self.window()?;
        let mut at = 0;
        let mut next = |width: u8| {
            let width = usize::from(width);
            let number = word(window, at) & MASKS[width];
            at += width;
            number
        };
        let first = (next(first & 15), next(first >> 4));
        let second = (next(second & 15), next(second >> 4));
        self.at += at;
        Ok([first, second])
    }

    #[inline]
    fn window(&self) -> Result<&'a [u8; PADDING], Damaged> {
        self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()).ok_or(Damaged("numbers are missing"))
    }
}

/// Eight bytes from a place on that is at most 24, as it is after three numbers.
#[inline]
fn word(window: &[u8; PADDING], at: usize) -> u64 {
    let bytes = window.get(at & 31..).and_then(|rest| rest.first_chunk());
    u64::from_le_bytes(*bytes.unwrap_or(&[0; 8]))
}

/// The widths of two numbers in a byte.
pub(super) const fn widths(first: u64, second: u64) -> u8 {
    width(first) | width(second) << 4
}

/// The bytes that two numbers of these widths take.
pub(super) const fn pair_bytes(widths: u8) -> usize {
    (widths & 15) as usize + (widths >> 4) as usize
}

/// A difference as a number that is small where the difference is, whichever way.
pub(super) const fn zigzag(difference: u64) -> u64 {
    let difference = difference.cast_signed();
    (difference << 1 ^ difference >> 63).cast_unsigned()
}

/// The difference of [`zigzag`].
pub(super) const fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}
