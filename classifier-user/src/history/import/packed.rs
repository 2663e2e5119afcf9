//! Pieces in little memory: AS-Stats may have tens of thousands of ASes, each with a year of days.

use super::pieces::{Piece, Stretch, bytes_within};

/// Pieces in the order of time, as differences in as few bytes as they need.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed(Vec<u8>);

impl Packed {
    /// Of pieces in the order of time.
    pub(super) fn new(pieces: &[Piece]) -> Self {
        let mut bytes = Vec::new();
        let mut before = 0;
        for piece in pieces {
            put((piece.begins - before).unsigned_abs(), &mut bytes);
            put(piece.seconds.unsigned_abs(), &mut bytes);
            put(piece.column.into(), &mut bytes);
            put(piece.bytes, &mut bytes);
            before = piece.begins;
        }
        bytes.shrink_to_fit();
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Seven bits a byte, the lowest first (LEB128).
fn put(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// Reads pieces in stretches of time that follow each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    at: usize,
    begins: i64,
    /// Read, and reaching behind what was asked for.
    open: Vec<Piece>,
}

impl Cursor {
    /// Calls with the bytes of each piece within a stretch, which is not before the last one.
    pub(super) fn within(&mut self, packed: &Packed, stretch: Stretch, mut take: impl FnMut(&Piece, u64)) {
        while let Some((piece, at)) = self.peek(packed) {
            if piece.begins >= stretch.1 {
                break;
            }
            (self.at, self.begins) = (at, piece.begins);
            self.open.push(piece);
        }
        for piece in &self.open {
            let bytes = bytes_within(piece, stretch);
            if bytes > 0 {
                take(piece, bytes);
            }
        }
        self.open.retain(|piece| piece.begins + piece.seconds > stretch.1);
    }

    fn peek(&self, packed: &Packed) -> Option<(Piece, usize)> {
        let mut at = self.at;
        let mut take = || {
            let mut number = 0;
            for shift in (0..64).step_by(7) {
                let byte = *packed.0.get(at)?;
                at += 1;
                number |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            Some(number)
        };
        let (later, seconds, column, bytes) = (take()?, take()?, take()?, take()?);
        let begins = self.begins.saturating_add_unsigned(later);
        let piece = Piece { begins, seconds: seconds.cast_signed(), column: column as u16, bytes };
        Some((piece, at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_byte_is_read_once(
            lengths in prop::collection::vec((0_i64..100_000, 1_i64..100_000, 0_u16..40, 1_u64..u64::MAX / 64), 0..60),
            mut cuts in prop::collection::vec(0_i64..12_000_000, 0..9),
        ) {
            let mut begins = 0;
            let pieces: Vec<Piece> = lengths
                .into_iter()
                .map(|(later, seconds, column, bytes)| {
                    begins += later;
                    Piece { begins, seconds, column, bytes }
                })
                .collect();
            cuts.extend([0, 12_000_000]);
            cuts.sort_unstable();
            let packed = Packed::new(&pieces);
            let mut cursor = Cursor::default();
            let mut sums = [0_u128; 40];
            for cut in cuts.windows(2) {
                let expected: u128 =
                    pieces.iter().map(|piece| u128::from(bytes_within(piece, (cut[0], cut[1])))).sum();
                let mut sum = 0;
                cursor.within(&packed, (cut[0], cut[1]), |piece, bytes| {
                    sum += u128::from(bytes);
                    sums[usize::from(piece.column)] += u128::from(bytes);
                });
                prop_assert_eq!(sum, expected);
            }
            for (column, sum) in (0..).zip(sums) {
                let of_column = pieces.iter().filter(|piece| piece.column == column);
                prop_assert_eq!(sum, of_column.map(|piece| u128::from(piece.bytes)).sum());
            }
        }
    }
}
