//! How `top` is made from the history, and how periods are compared.

use std::{
    cmp::Reverse,
    collections::HashMap,
    time::{Duration, SystemTime},
};

use super::{
    Questions, When,
    answer::Name,
    past::{Board, Past, counter_of, left, of},
};
use crate::{
    history::{Period, Sample},
    model::{Counter, Direction, Locality},
    totals::{
        By, QueryError, TopQuery,
        answer::{Compare, Directions, Granularity, Row, TopAnswer, TopDirection},
        query::{MAX_ROWS, no_local_paths},
        top::{Scale, ratio},
    },
};

/// How much more `now` is than `before`, by rates; `None` where there was nothing before.
pub(super) fn change(now: (u64, u64), before: (u64, u64)) -> Option<f64> {
    let rate = |(bytes, seconds): (u64, u64)| (seconds > 0).then(|| bytes as f64 / seconds as f64);
    let (now, before) = (rate(now)?, rate(before)?);
    (before > 0.0).then(|| ratio(now / before - 1.0))
}

pub(super) const fn no_local_side() -> QueryError {
    QueryError::NotKept(
        "the history has the Internet's side only: the local side can be asked for within the last hour, such as with \
         `last` of 1h",
    )
}

/// The period of the same length before.
pub(super) fn before(period: Period) -> Period {
    let length = Duration::from_secs(period.seconds().unsigned_abs());
    Period { from: period.from.checked_sub(length).unwrap_or(period.from), to: period.from }
}

impl Board {
    pub(super) fn compare(&self) -> Compare {
        Compare { from: self.period.from, to: self.period.to, covered: self.coverage() }
    }

    /// The largest of a direction.
    fn largest(&self, direction: Direction, n: usize) -> Vec<(u32, Counter)> {
        let order =
            |&(key, counter): &(u32, Counter)| (Reverse(counter.bytes), Reverse(counter.packets), key);
        let counters = self.rows.iter().map(|(key, samples)| (*key, of(samples, direction).both()));
        let mut counters: Vec<_> = counters.filter(|(_, counter)| !counter.is_zero()).collect();
        if counters.len() > n {
            counters.select_nth_unstable_by_key(n, order);
            counters.truncate(n);
        }
        counters.sort_unstable_by_key(order);
        counters
    }
}

impl Past {
    pub(super) fn top(&self, query: &TopQuery) -> Result<TopAnswer, QueryError> {
        if query.side == Locality::Local {
            return Err(if query.by.is_of_path() { no_local_paths(query.side) } else { no_local_side() });
        }
        if query.by.is_of_path() && self.context.granularity == Granularity::As {
            return Err(QueryError::NoPaths);
        }
        if query.by != By::Link && !self.context.count.counts(Locality::Remote) {
            return Err(QueryError::SideNotCounted { side: query.side, count: self.context.count.name() });
        }
        let chosen = self.choose(&query.links)?;
        let board = self.board(Some(query.by), self.period(query.when), &chosen)?;
        let earlier = query.compare.then(|| self.board(Some(query.by), before(board.period), &chosen));
        let earlier = earlier.transpose()?;
        Ok(TopAnswer {
            router: self.context.router.clone(),
            from: board.period.from,
            to: board.period.to,
            by: query.by,
            side: query.side,
            zone: Some(self.zone()),
            since: self.extent.since,
            covered: Some(board.coverage()),
            compare: earlier.as_ref().map(Board::compare),
            directions: Directions::try_of(query.direction, |direction| {
                self.direction(query, &board, earlier.as_ref(), direction)
            })?,
        })
    }

    fn direction(
        &self,
        query: &TopQuery,
        board: &Board,
        earlier: Option<&Board>,
        direction: Direction,
    ) -> Result<TopDirection, QueryError> {
        let total = counter_of(&board.total, direction);
        let scale = Scale { seconds: board.covered as f64, bytes: total.bytes };
        let earlier = earlier.filter(|earlier| earlier.covered > 0);
        let rows = self.ranked(query.by, board, earlier, direction, query.n)?;
        let shown: Counter = rows.iter().map(|row| Counter { packets: row.packets, bytes: row.bytes }).sum();
        let (unmatched, non_ip) =
            (counter_of(&board.unmatched, direction), counter_of(&board.non_ip, direction));
        let no_path = counter_of(&board.no_path, direction);
        let other = match query.by {
            // A packet is in the row of each AS on its way.
            By::Transit => Counter::ZERO,
            By::Neighbor => left(total, [shown, unmatched, non_ip, no_path]),
            _ => left(total, [shown, unmatched, non_ip]),
        };
        let previous_bytes = earlier.map(|earlier| counter_of(&earlier.total, direction).bytes);
        Ok(TopDirection {
            total: scale.total(total),
            rows,
            other: scale.part(other),
            unmatched: scale.part(unmatched),
            non_ip: scale.part(non_ip),
            no_path: query.by.is_of_path().then(|| scale.part(no_path)),
            previous_bytes,
            change: earlier
                .zip(previous_bytes)
                .and_then(|(earlier, bytes)| change((total.bytes, board.covered), (bytes, earlier.covered))),
        })
    }

    /// The largest of a board as rows.
    pub(super) fn ranked(
        &self,
        by: By,
        board: &Board,
        earlier: Option<&Board>,
        direction: Direction,
        n: usize,
    ) -> Result<Vec<Row>, QueryError> {
        let total = counter_of(&board.total, direction);
        let scale = Scale { seconds: board.covered as f64, bytes: total.bytes };
        let previous: HashMap<u32, &[Sample; 2]> =
            earlier.iter().flat_map(|earlier| earlier.rows.iter().map(|(key, row)| (*key, row))).collect();
        let mut rows = Vec::new();
        for (rank, (key, counter)) in (1..).zip(board.largest(direction, n)) {
            let mut row = scale.row(rank, counter);
            self.name_row(&mut row, by, key)?;
            if let Some(earlier) = earlier {
                let bytes = previous.get(&key).map_or(0, |samples| of(samples, direction).both().bytes);
                row.previous_bytes = Some(bytes);
                row.change = change((counter.bytes, board.covered), (bytes, earlier.covered));
            }
            rows.push(row);
        }
        Ok(rows)
    }

    fn name_row(&self, row: &mut Row, by: By, key: u32) -> Result<(), QueryError> {
        if by == By::Prefix {
            let stored = self.history.prefix(key)?;
            row.prefix = stored.map(|stored| stored.prefix.to_string());
            row.asn = stored.map(|stored| stored.asn);
            row.name = stored.and_then(|stored| self.as_name(stored.asn).name);
            return Ok(());
        }
        Name { asn: row.asn, group: row.group, kind: row.kind, link: row.link, rest: _, name: row.name } =
            self.key_name(by, key);
        Ok(())
    }
}

impl Questions {
    /// What memory says, compared with the period before, where anything knows of that.
    pub(super) fn top_of_memory(&self, query: &TopQuery) -> Result<TopAnswer, QueryError> {
        let mut answer = self.view().top(query)?;
        let context = self.view().context();
        if let Some(extent) = self.history().map(|history| history.extent()).transpose().unwrap_or_default() {
            answer.zone = Some(self.zone_name());
            answer.since = extent.since;
        }
        if !query.compare {
            return Ok(answer);
        }
        let length = answer.to.duration_since(answer.from).unsigned_abs();
        let from = answer.from.checked_sub(length).unwrap_or(answer.from);
        let when = When::Between { from, to: Some(answer.from) };
        let earlier_query = TopQuery { when, n: MAX_ROWS, compare: false, ..query.clone() };
        let earlier = if from >= context.reach {
            self.view().top(&earlier_query)?
        } else {
            // Where nothing tells of before, there is an answer all the same.
            match self.source(when) {
                Ok(Some(past)) if query.side == Locality::Remote => past.top(&earlier_query)?,
                _ => return Ok(answer),
            }
        };
        let covered = earlier.covered.unwrap_or(1.0);
        answer.compare = Some(Compare { from: earlier.from, to: earlier.to, covered });
        let seconds =
            |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default().as_secs_f64();
        let now_seconds = seconds(answer.from.into(), answer.to.into());
        let earlier_seconds = covered * seconds(earlier.from.into(), earlier.to.into());
        if earlier_seconds > 0.0 {
            compare(&mut answer.directions, &earlier.directions, now_seconds, earlier_seconds);
        }
        Ok(answer)
    }
}

fn compare(
    now: &mut Directions<TopDirection>,
    earlier: &Directions<TopDirection>,
    now_seconds: f64,
    earlier_seconds: f64,
) {
    let change = |now: u64, before: u64| {
        let ratio_of = |before: f64| ratio(now as f64 / now_seconds / (before / earlier_seconds) - 1.0);
        (before > 0 && now_seconds > 0.0).then(|| ratio_of(before as f64))
    };
    for (now, earlier) in [(&mut now.inward, &earlier.inward), (&mut now.outward, &earlier.outward)] {
        let (Some(now), Some(earlier)) = (now, earlier) else { continue };
        now.previous_bytes = Some(earlier.total.bytes);
        now.change = change(now.total.bytes, earlier.total.bytes);
        let bytes: HashMap<_, u64> = earlier.rows.iter().map(|row| (identity(row), row.bytes)).collect();
        for row in &mut now.rows {
            let before = bytes.get(&identity(row)).copied().unwrap_or(0);
            row.previous_bytes = Some(before);
            row.change = change(row.bytes, before);
        }
    }
}

/// What makes a row the same as one of another answer.
fn identity(row: &Row) -> impl Eq + std::hash::Hash + use<> {
    let Row { asn, prefix, group, kind, link, .. } = row;
    (*asn, prefix.clone(), group.clone(), kind.clone(), link.clone())
}
