//! Rows out of blocks.

use rusqlite::params;

use super::{Snapshot, plan::Piece};
use crate::history::{
    Kind, LinkNo, Links, Step, Subject,
    store::{
        block::{Decoder, Entry, Scope},
        error::StoreError,
        rows::{BlockRow, Catalog, blocks},
    },
};

/// Which rows are wanted.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Wanted<'a> {
    pub(in super::super) kind: Kind,
    /// Ascending, none twice; `None`: all.
    pub(in super::super) subjects: Option<&'a [Subject]>,
    pub(in super::super) links: &'a Links,
    /// With the highest slots of longer steps.
    pub(in super::super) tops: bool,
}

/// Which links' rows are taken.
pub(super) struct Filter<'a> {
    catalog: &'a Catalog,
    links: [bool; 256],
    /// Which of them is to be asked for each slot.
    isp: bool,
    /// Every row is taken.
    all: bool,
}

impl<'a> Filter<'a> {
    pub(super) fn new(catalog: &'a Catalog, links: &Links, scope: Scope, step: Step) -> Self {
        let mut wanted = [false; 256];
        if let Links::Only(links) = links {
            for &LinkNo(link) in links {
                if let Some(wanted) = wanted.get_mut(usize::from(link)) {
                    *wanted = true;
                }
            }
        }
        let isp = *links == Links::Isp && step == Step::Slot;
        Self { catalog, links: wanted, isp, all: scope == Scope::Isp }
    }

    #[inline]
    pub(super) fn takes(&self, entry: &Entry) -> bool {
        let link = entry.place.link();
        self.all
            || if self.isp {
                self.catalog.is_isp(link, entry.at)
            } else {
                self.links.get(usize::from(link.0)).is_some_and(|&wanted| wanted)
            }
    }
}

/// The rows of a step over the ISP's links are kept ready, but for slots.
pub(in super::super) fn scope(links: &Links, step: Step) -> Scope {
    if *links == Links::Isp && step != Step::Slot { Scope::Isp } else { Scope::Links }
}

impl Snapshot {
    /// Calls with the rows of a piece, a block after the other, in a block by [`Entry::key`].
    pub(super) fn scan(
        &mut self,
        wanted: Wanted<'_>,
        piece: Piece,
        mut take: impl FnMut(&Entry),
    ) -> Result<(), StoreError> {
        let Self { conn, catalog, decoder, .. } = self;
        let Some(conn) = conn.as_ref() else { return Ok(()) };
        let scope = scope(wanted.links, piece.step);
        let filter = Filter::new(catalog, wanted.links, scope, piece.step);
        let span = piece.span;
        let mut rows = Vec::new();
        for block in blocks(conn, (wanted.kind, piece.step, scope), span.from, span.to)? {
            let within = span.from <= block.heading.start.into() && i64::from(block.heading.stop) <= span.to;
            let take = |rows: &[Entry]| {
                let in_time = |entry: &&Entry| within || (span.from..span.to).contains(&entry.at.into());
                for entry in rows.iter().filter(in_time).filter(|entry| filter.takes(entry)) {
                    take(entry);
                }
            };
            match wanted.subjects {
                None => all(conn, decoder, &block, wanted.tops, &mut rows, take)?,
                Some(subjects) => some(conn, decoder, &block, subjects, wanted.tops, &mut rows, take)?,
            }
        }
        Ok(())
    }
}

const MISSING: StoreError = StoreError::Damaged("a chunk of a block is missing");

fn all(
    conn: &rusqlite::Connection,
    decoder: &mut Decoder,
    block: &BlockRow,
    tops: bool,
    rows: &mut Vec<Entry>,
    mut take: impl FnMut(&[Entry]),
) -> Result<(), StoreError> {
    let mut query = conn.prepare_cached("SELECT first, bytes FROM chunk WHERE block = ?1 ORDER BY first")?;
    let mut chunks = query.query(params![block.id])?;
    let mut count = 0;
    while let Some(chunk) = chunks.next()? {
        rows.clear();
        let bytes = chunk.get_ref(1)?.as_blob().map_err(|_| MISSING)?;
        decoder.decode(&block.heading, chunk.get(0)?, bytes, 0..=Subject::MAX, tops, rows)?;
        take(rows);
        count += 1;
    }
    if count == block.chunks { Ok(()) } else { Err(MISSING) }
}

fn some(
    conn: &rusqlite::Connection,
    decoder: &mut Decoder,
    block: &BlockRow,
    subjects: &[Subject],
    tops: bool,
    rows: &mut Vec<Entry>,
    mut take: impl FnMut(&[Entry]),
) -> Result<(), StoreError> {
    let mut query = conn.prepare_cached(
        "SELECT first, bytes FROM chunk WHERE block = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1",
    )?;
    // Subjects up to this one were in a chunk that was read.
    let mut done = None;
    for (place, &subject) in subjects.iter().enumerate() {
        if subject < block.first || done.is_some_and(|done| subject <= done) {
            continue;
        }
        let mut chunks = query.query(params![block.id, subject])?;
        let chunk = chunks.next()?.ok_or(MISSING)?;
        rows.clear();
        let bytes = chunk.get_ref(1)?.as_blob().map_err(|_| MISSING)?;
        let rest = subjects.get(place..).unwrap_or_default();
        let last_wanted = rest.last().copied().unwrap_or(subject);
        let last = decoder.decode(&block.heading, chunk.get(0)?, bytes, subject..=last_wanted, tops, rows)?;
        for run in rows.chunk_by(|a, b| a.subject == b.subject) {
            if run.first().is_some_and(|entry| rest.binary_search(&entry.subject).is_ok()) {
                take(run);
            }
        }
        // There is no subject between this chunk and the next, so what is after `last` is asked for again: at worst
        // the same chunk is read once more.
        done = Some(last.max(subject));
    }
    Ok(())
}
