//! Blocks of one after the other time as one: subject by subject, with a chunk of each block in memory.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    block::{Decoder, Entry, Place},
    error::StoreError,
    read::scan::{MISSING, parts},
    rows::BlockRow,
};
use crate::history::Subject;

/// Where a block is read.
#[derive(Debug)]
struct Cursor {
    block: BlockRow,
    rows: Vec<Entry>,
    /// The next of the rows.
    at: usize,
    /// Where the chunks that are not read begin; `None`: all are read.
    next: Option<Subject>,
    /// Chunks that were read.
    chunks: u32,
}

impl Cursor {
    fn peek(&self) -> Option<&Entry> {
        self.rows.get(self.at)
    }

    /// Makes sure that there is a next row, if the block has one.
    fn fill(&mut self, conn: &Connection, decoder: &mut Decoder, tops: bool) -> Result<(), StoreError> {
        while self.at >= self.rows.len() {
            let Some(from) = self.next else { return Ok(()) };
            self.rows.clear();
            self.at = 0;
            let mut query = conn.prepare_cached(
                "SELECT first, rows, tops FROM chunk WHERE block = ?1 AND first >= ?2 ORDER BY first LIMIT 1",
            )?;
            let mut chunks = query.query(params![self.block.id, from])?;
            let Some(chunk) = chunks.next()? else {
                self.next = None;
                return Ok(());
            };
            let whole = 0..=Subject::MAX;
            let parts = parts(chunk, tops)?;
            let last = decoder.decode(&self.block.heading, chunk.get(0)?, parts, whole, &mut self.rows)?;
            self.next = last.checked_add(1);
            self.chunks += 1;
        }
        Ok(())
    }
}

/// Merges blocks of the same kind, step and scope that do not overlap in time.
#[derive(Debug)]
pub(super) struct Merge {
    /// In the order of time.
    cursors: Vec<Cursor>,
    decoder: Decoder,
    /// Only rows of these slots.
    span: std::ops::Range<i64>,
    tops: bool,
    /// All subjects are read, so that no chunk may be missing.
    whole: bool,
}

impl Merge {
    /// Of rows that are within `span`, from this subject on.
    pub(super) fn new(
        conn: &Connection,
        blocks: Vec<BlockRow>,
        span: std::ops::Range<i64>,
        tops: bool,
        from: Subject,
    ) -> Result<Self, StoreError> {
        let mut cursors = Vec::with_capacity(blocks.len());
        for block in blocks {
            // The chunk that the first subject is in, if it is in any.
            let mut query = conn.prepare_cached(
                "SELECT first FROM chunk WHERE block = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1",
            )?;
            let first: Option<Subject> =
                query.query_row(params![block.id, from], |row| row.get(0)).optional()?;
            let next = Some(first.unwrap_or(0));
            cursors.push(Cursor { block, rows: Vec::new(), at: 0, next, chunks: 0 });
        }
        let decoder = Decoder::new().map_err(StoreError::Compression)?;
        let mut merge = Self { cursors, decoder, span, tops, whole: from == 0 };
        for cursor in &mut merge.cursors {
            loop {
                cursor.fill(conn, &mut merge.decoder, tops)?;
                let rest = cursor.rows.get(cursor.at..).unwrap_or_default();
                if rest.is_empty() {
                    break;
                }
                cursor.at += rest.partition_point(|entry| entry.subject < from);
                if cursor.peek().is_some() {
                    break;
                }
            }
        }
        Ok(merge)
    }

    /// The rows of the next subject into `into`, by place and time; `None` after the last.
    pub(super) fn next(
        &mut self,
        conn: &Connection,
        into: &mut Vec<Entry>,
    ) -> Result<Option<Subject>, StoreError> {
        into.clear();
        loop {
            for cursor in &mut self.cursors {
                cursor.fill(conn, &mut self.decoder, self.tops)?;
            }
            let subjects = self.cursors.iter().filter_map(|cursor| Some(cursor.peek()?.subject));
            let Some(subject) = subjects.min() else { break };
            while let Some(place) = self.next_place(subject) {
                for cursor in &mut self.cursors {
                    let rest = cursor.rows.get(cursor.at..).unwrap_or_default();
                    let ours = |entry: &&Entry| entry.subject == subject && entry.place == place;
                    let run = rest.iter().take_while(ours);
                    let before = into.len();
                    let mut taken = 0;
                    into.extend(
                        run.inspect(|_| taken += 1).filter(|entry| self.span.contains(&entry.at.into())),
                    );
                    cursor.at += taken;
                    debug_assert!(
                        into.get(before.saturating_sub(1)..)
                            .is_none_or(|rows| rows.is_sorted_by_key(Entry::key))
                    );
                }
            }
            if !into.is_empty() {
                return Ok(Some(subject));
            }
        }
        let complete = |cursor: &Cursor| cursor.chunks == cursor.block.chunks;
        if self.whole && !self.cursors.iter().all(complete) {
            return Err(MISSING);
        }
        Ok(None)
    }

    /// The first place of the rows of this subject.
    fn next_place(&self, subject: Subject) -> Option<Place> {
        let rows = self.cursors.iter().filter_map(Cursor::peek);
        rows.filter(|entry| entry.subject == subject).map(|entry| entry.place).min()
    }
}
