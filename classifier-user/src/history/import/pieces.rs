//! What one database of AS-Stats says, as bytes in stretches of time: the finest archive that has a time speaks for it.

use super::rrd::{Archive, Rrd};
use crate::model::{Direction, Family};

/// What a data source of AS-Stats counts: `asstatd.pl` names them `TAG_in`, `TAG_out`, `TAG_v6_in` and `TAG_v6_out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// The link's tag.
    pub(super) tag: &'a str,
    pub(super) family: Family,
    pub(super) direction: Direction,
}

impl<'a> Name<'a> {
    /// Reads a data source's name; `None` where it is not one of AS-Stats.
    pub(super) fn read(name: &'a str) -> Option<Self> {
        let (rest, direction) = match name.strip_suffix("_in") {
            Some(rest) => (rest, Direction::In),
            None => (name.strip_suffix("_out")?, Direction::Out),
        };
        let (tag, family) = match rest.strip_suffix("_v6") {
            Some(tag) => (tag, Family::Ipv6),
            None => (rest, Family::Ipv4),
        };
        (!tag.is_empty()).then_some(Self { tag, family, direction })
    }
}

/// Bytes of a column in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// When it begins, in seconds since 1970.
    pub(super) begins: i64,
    pub(super) seconds: i64,
    /// What it is of: a number that the caller gave to a data source.
    pub(super) column: u16,
    pub(super) bytes: u64,
}

/// Times that are believed: until the year 2500.
const TIMES: std::ops::Range<i64> = 0..16_700_000_000;

/// A stretch of time, its end out.
pub(super) type Stretch = (i64, i64);

/// What a database says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    /// By time, then column; none without bytes.
    pub(super) pieces: Vec<Piece>,
    /// Rows in which something was known, oldest first.
    pub(super) known: Vec<Stretch>,
    /// From when on rows are at most so long: by the length, finest first.
    pub(super) detail: Vec<(i64, i64)>,
}

impl Pieces {
    /// Takes the finest rows there are of each time. `columns` has a number for each data source that is wanted.
    pub(super) fn of(rrd: &Rrd, columns: &[Option<u16>]) -> Self {
        let mut archives: Vec<&Archive> =
            rrd.archives.iter().filter(|archive| !archive.values.is_empty()).collect();
        archives.sort_by_key(|archive| archive.steps_per_row);
        let mut taken = Self::default();
        // Everything from here on is told by finer rows.
        let mut until = i64::MAX;
        for archive in archives {
            let seconds = archive.row_seconds(rrd);
            let Some((first, _)) = rrd.rows(archive).next() else { continue };
            // Where coarser rows begin to speak, they speak for whole rows.
            let from = rrd
                .archives
                .iter()
                .filter(|other| other.steps_per_row > archive.steps_per_row)
                .min_by_key(|other| other.steps_per_row)
                .map_or(first, |coarser| up_to_whole(first, coarser.row_seconds(rrd), rrd.last_update));
            if from >= until {
                continue;
            }
            taken.detail.push((seconds, from));
            for (begins, values) in rrd.rows(archive) {
                if begins >= from && begins.saturating_add(seconds) <= until {
                    taken.row(begins, seconds, values, columns);
                }
            }
            until = from;
        }
        taken.pieces.sort_by_key(|piece| (piece.begins, piece.column));
        taken.known.sort_unstable();
        taken
    }

    fn row(&mut self, begins: i64, seconds: i64, values: &[f64], columns: &[Option<u16>]) {
        if !TIMES.contains(&begins) || !TIMES.contains(&begins.saturating_add(seconds)) {
            return;
        }
        let mut known = false;
        for (&value, &column) in values.iter().zip(columns) {
            let Some(column) = column else { continue };
            // NaN; and what no counter can say.
            if !value.is_finite() || value < 0.0 {
                continue;
            }
            known = true;
            // A float beyond u64 becomes its maximum: nothing that was counted.
            let bytes = (value * seconds as f64).round() as u64;
            if bytes > 0 {
                self.pieces.push(Piece { begins, seconds, column, bytes });
            }
        }
        if known {
            self.known.push((begins, begins + seconds));
        }
    }
}

/// The next whole multiple of a row's length, if the rows reach so far; else the time itself.
fn up_to_whole(time: i64, seconds: i64, last_update: i64) -> i64 {
    let seconds = seconds.max(1);
    let whole = time.div_euclid(seconds) * seconds + if time.rem_euclid(seconds) == 0 { 0 } else { seconds };
    let end = last_update.div_euclid(seconds) * seconds;
    if whole <= end { whole } else { time }
}

/// The part of `bytes`, spread evenly over `[begins, begins + seconds)`, that lies before `time`, rounded down: the parts of
/// stretches that lie next to each other add up to the whole.
pub(super) fn bytes_before(piece: &Piece, time: i64) -> u64 {
    let passed = time.saturating_sub(piece.begins).clamp(0, piece.seconds);
    if piece.seconds <= 0 {
        return 0;
    }
    (u128::from(piece.bytes) * passed as u128 / piece.seconds as u128) as u64
}

/// The part of a piece within a stretch of time.
pub(super) fn bytes_within(piece: &Piece, (from, to): Stretch) -> u64 {
    bytes_before(piece, to) - bytes_before(piece, from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::import::rrd::Source;

    #[test]
    fn names_of_data_sources() {
        let name = |tag, family, direction| Some(Name { tag, family, direction });
        assert_eq!(Name::read("cogent_in"), name("cogent", Family::Ipv4, Direction::In));
        assert_eq!(Name::read("cogent_v6_out"), name("cogent", Family::Ipv6, Direction::Out));
        assert_eq!(Name::read("a_b_out"), name("a_b", Family::Ipv4, Direction::Out));
        for other in ["cogent", "_in", "_v6_in", "in", "cogent_v6"] {
            assert_eq!(Name::read(other), None, "{other}");
        }
    }

    /// Rows of one source: values a second.
    fn archive(steps_per_row: i64, values: &[f64]) -> Archive {
        Archive { steps_per_row, values: values.to_vec() }
    }

    fn rrd(last_update: i64, archives: Vec<Archive>) -> Rrd {
        let source = Source { name: "a_in".to_owned(), kind: "ABSOLUTE".to_owned() };
        Rrd { step: 300, last_update, sources: vec![source], archives }
    }

    #[test]
    fn the_finest_rows_speak() {
        // Hours end at 7200; the fine rows begin at 3000, within the first of them.
        let fine: Vec<f64> = (0..16).map(|row| f64::from(row + 1)).collect();
        let rrd = rrd(7800, vec![archive(12, &[100.0, 200.0]), archive(1, &fine)]);
        let pieces = Pieces::of(&rrd, &[Some(7)]);
        assert_eq!(pieces.detail, [(300, 3600), (3600, 0)]);
        assert_eq!(pieces.known.len(), 15);
        assert_eq!(pieces.pieces[0], Piece { begins: 0, seconds: 3600, column: 7, bytes: 360_000 });
        // The row of 3000 is in the hour; the next is the third.
        assert_eq!(pieces.pieces[1], Piece { begins: 3600, seconds: 300, column: 7, bytes: 900 });
        assert_eq!(pieces.pieces.len(), 15);
        assert_eq!(Pieces::of(&rrd, &[None]).pieces, []);
    }

    #[test]
    fn what_is_not_known_is_not_zero() {
        let rrd = rrd(1500, vec![archive(1, &[f64::NAN, 0.0, 1.0, -1.0, f64::INFINITY])]);
        let pieces = Pieces::of(&rrd, &[Some(0)]);
        assert_eq!(pieces.known, [(300, 600), (600, 900)]);
        assert_eq!(pieces.pieces, [Piece { begins: 600, seconds: 300, column: 0, bytes: 300 }]);
    }

    proptest! {
        #[test]
        fn parts_add_up(bytes: u64, seconds in 1_i64..1_000_000, mut cuts in prop::collection::vec(-10_i64..1_000_010, 0..9)) {
            let piece = Piece { begins: 0, seconds, column: 0, bytes };
            cuts.extend([-10, 1_000_010]);
            cuts.sort_unstable();
            let sum: u64 = cuts.windows(2).map(|cut| bytes_within(&piece, (cut[0], cut[1]))).sum();
            prop_assert_eq!(sum, bytes);
        }

        #[test]
        fn no_time_is_told_twice(last_update in 0_i64..1_000_000, archives in prop::collection::vec((1_i64..50, 1_usize..60), 1..5)) {
            let archives = archives.into_iter().map(|(steps, rows)| archive(steps, &vec![1.0; rows])).collect();
            let pieces = Pieces::of(&rrd(last_update, archives), &[Some(0)]);
            for pair in pieces.pieces.windows(2) {
                prop_assert!(pair[0].begins + pair[0].seconds <= pair[1].begins);
            }
        }
    }
}
