//! All rows of a kind, step after step: for exports.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::{
    Reader, begins,
    plan::{Kept, Piece, Span, zone_day},
};
use crate::{
    history::{
        Kind, LinkNo, Links, Period, Sample, Step, StoredLink, Subject,
        store::{
            block::{Entry, Place},
            error::StoreError,
            rows::{HOUR, meta},
        },
    },
    model::Direction,
};

/// A row of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::history) struct Streamed {
    /// The step.
    pub(in crate::history) period: Period,
    /// Seconds of it that were counted.
    pub(in crate::history) covered: u64,
    pub(in crate::history) subject: Subject,
    pub(in crate::history) link: LinkNo,
    pub(in crate::history) direction: Direction,
    pub(in crate::history) sample: Sample,
}

/// A step, and what is asked for all of its rows.
#[derive(Clone, Copy, Debug)]
struct Told {
    span: Span,
    covered: u64,
}

impl Told {
    fn row(&self, subject: Subject, place: Place, sample: Sample) -> Streamed {
        let Span { from, to } = self.span;
        let direction = Direction::ALL.into_iter().find(|&direction| direction as usize == place.direction());
        Streamed {
            period: Period { from: begins(from), to: begins(to) },
            covered: self.covered,
            subject,
            link: place.link(),
            direction: direction.unwrap_or(Direction::In),
            sample,
        }
    }
}

impl Reader {
    /// Calls with the rows of each step of the day that `from` is in, from `from` on, up to `to` at the most; the steps are
    /// longer than asked for where the detail is gone. Gives the number of the first slot that was not looked at, which is
    /// after the last step. The rows of a step come in no order.
    ///
    /// Times are slots' numbers. The store is not held over several days: a long export does not keep it from shrinking.
    ///
    /// # Errors
    /// What SQLite says, and of damage; rows of which `take` was called before are to be thrown away.
    pub(in crate::history) fn stream_day(
        &self,
        kind: Kind,
        step: Step,
        (from, to): (i64, i64),
        mut take: impl FnMut(&Streamed),
    ) -> Result<i64, StoreError> {
        let mut snapshot = self.snapshot()?;
        let Some((first, end)) = snapshot.ends()?.filter(|ends| from < ends.1) else { return Ok(to) };
        let from = from.max(first);
        if from >= to.min(end) {
            return Ok(to);
        }
        let day = zone_day(from, snapshot.zone())?;
        let progress = snapshot.progress(kind)?;
        let since = progress[Step::Day as usize].since;
        // A day and an hour around it, as steps may begin before and end after.
        const AROUND: i64 = 26 * HOUR;
        let coverage = snapshot.coverage(day.from - AROUND, day.to + AROUND, since)?;
        let kept = Kept { coverage: &coverage, progress };
        let asked = Span { from, to: day.to.min(to).min(end) };
        let steps = kept.steps(asked, step, snapshot.zone())?;
        let links = Links::Only(snapshot.catalog.links.iter().map(|link| link.number).collect());
        let mut told = Vec::with_capacity(steps.len());
        for step in &steps {
            let Span { from, to } = step.span;
            told.push(Told { span: step.span, covered: coverage.seconds(from, to)? });
        }
        let find = |told: &[Told], entry: &Entry| {
            let at = i64::from(entry.at);
            let place = told.partition_point(|step| step.span.to <= at);
            told.get(place).copied()
        };
        // Steps that are kept as they are, next to each other, are read at once; others are put together.
        let mut ready: Option<Piece> = None;
        let mut scan = |piece: Option<Piece>| match piece {
            None => Ok(()),
            Some(piece) => snapshot.scan(kind, &links, piece, |entry| {
                if let Some(step) = find(&told, entry) {
                    take(&step.row(entry.subject, entry.place, entry.sample));
                }
            }),
        };
        let mut made = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let pieces = kept.pieces_of_step(*step);
            if !matches!(pieces.as_slice(), [piece] if piece == step) {
                made.push((index, pieces));
                continue;
            }
            ready = match ready {
                Some(before) if before.step == step.step && before.span.to == step.span.from => {
                    Some(Piece { span: Span { to: step.span.to, ..before.span }, ..before })
                }
                before => {
                    scan(before)?;
                    Some(*step)
                }
            };
        }
        scan(ready)?;
        for (index, pieces) in made {
            let Some(step) = told.get(index) else { continue };
            let mut sums: BTreeMap<(Subject, Place), Sample> = BTreeMap::new();
            for piece in pieces {
                snapshot.scan(kind, &links, piece, |entry| {
                    *sums.entry((entry.subject, entry.place)).or_default() += entry.sample;
                })?;
            }
            sums.into_iter().for_each(|((subject, place), sample)| take(&step.row(subject, place, sample)));
        }
        Ok(steps.last().map_or(to, |step| step.span.to).max(from + 1))
    }

    /// The zone of its days.
    #[must_use]
    pub fn zone(&self) -> TimeZone {
        self.shared.zone.clone()
    }

    /// The router's name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn router(&self) -> Result<String, StoreError> {
        Ok(meta(self.snapshot()?.conn()?, "router")?.unwrap_or_default())
    }

    /// Every group's key, by its number.
    ///
    /// # Errors
    /// What SQLite says.
    pub(in crate::history) fn group_keys(&self) -> Result<BTreeMap<Subject, String>, StoreError> {
        let snapshot = self.snapshot()?;
        let mut query = snapshot.conn()?.prepare_cached("SELECT number, key FROM group_key")?;
        let keys = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// Every link there ever was.
    ///
    /// # Errors
    /// What SQLite says.
    pub(in crate::history) fn stored_links(&self) -> Result<Vec<StoredLink>, StoreError> {
        Ok(self.snapshot()?.catalog.links.clone())
    }
}
