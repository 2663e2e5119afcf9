//! Rows out of blocks.

use rusqlite::params;

use super::{
    Snapshot,
    plan::{Piece, Span},
};
use crate::history::{
    Kind, LinkNo, Links, Sample, Step, Subject,
    store::{
        block::{Decoder, Entry, Place, Scope, Top, Visit},
        error::StoreError,
        rows::{BlockRow, Catalog, blocks},
    },
};

/// Which links' rows are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter {
    links: [bool; 256],
}

impl Filter {
    /// For blocks of a scope from a slot on, up to a slot at which the ISP's links change.
    fn new(catalog: &Catalog, links: &Links, scope: Scope, from: i64) -> Self {
        let mut wanted = [scope == Scope::Isp; 256];
        match links {
            Links::Only(links) => {
                for &LinkNo(link) in links {
                    if let Some(wanted) = wanted.get_mut(usize::from(link)) {
                        *wanted = true;
                    }
                }
            }
            Links::Isp => {
                let from = u32::try_from(from.max(0)).unwrap_or(u32::MAX);
                for link in &catalog.links {
                    if let Some(wanted) = wanted.get_mut(usize::from(link.number.0)) {
                        *wanted |= catalog.is_isp(link.number, from);
                    }
                }
            }
        }
        Self { links: wanted }
    }

    #[inline]
    pub(super) fn takes(&self, place: Place) -> bool {
        self.links.get(usize::from(place.link().0)).is_some_and(|&wanted| wanted)
    }
}

/// The rows of a step over the ISP's links are kept ready, but for slots.
pub(in super::super) fn scope(links: &Links, step: Step) -> Scope {
    if *links == Links::Isp && step != Step::Slot { Scope::Isp } else { Scope::Links }
}

/// Of the rows of some links.
#[derive(Debug)]
struct Filtered<'a, V> {
    filter: &'a Filter,
    visit: &'a mut V,
}

impl<V: Visit> Visit for Filtered<'_, V> {
    const TIMES: bool = V::TIMES;

    fn wants(&mut self, subject: Subject, place: Place) -> bool {
        self.filter.takes(place) && self.visit.wants(subject, place)
    }

    #[inline]
    fn row(&mut self, at: u32, sample: Sample) {
        self.visit.row(at, sample);
    }
}

/// Calls with rows.
#[derive(Debug)]
struct Each<F> {
    at: (Subject, Place),
    take: F,
}

impl<F: FnMut(&Entry)> Visit for Each<F> {
    fn wants(&mut self, subject: Subject, place: Place) -> bool {
        self.at = (subject, place);
        true
    }

    #[inline]
    fn row(&mut self, at: u32, sample: Sample) {
        let (subject, place) = self.at;
        (self.take)(&Entry { subject, place, at, sample, top: Top::default() });
    }
}

impl Snapshot {
    /// The pieces of a piece between which the ISP's links do not change.
    fn between_changes(&self, piece: Piece) -> impl Iterator<Item = Piece> + use<> {
        let Span { from, to } = piece.span;
        let change = self.catalog.upstream_since.filter(|&since| from < since && since < to).unwrap_or(to);
        let spans = [Span { from, to: change }, Span { from: change, to }];
        spans.into_iter().filter(|span| span.from < span.to).map(move |span| Piece { span, ..piece })
    }

    /// Calls with the rows of a piece, a block after the other, in a block by [`Entry::key`]; without their highest slots.
    pub(super) fn scan(
        &mut self,
        kind: Kind,
        links: &Links,
        piece: Piece,
        take: impl FnMut(&Entry),
    ) -> Result<(), StoreError> {
        self.visit(kind, links, piece, &mut Each { at: Default::default(), take })
    }

    /// Calls with the rows of these subjects (ascending, none twice), with the highest slots of longer steps, and with which of
    /// `sets` they are of: places of links that have the rows of one scope.
    pub(super) fn scan_subjects(
        &mut self,
        (kind, subjects): (Kind, &[Subject]),
        (scope, sets): (Scope, &[(usize, &Links)]),
        piece: Piece,
        mut take: impl FnMut(usize, &Entry),
    ) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        for Piece { step, span } in self.between_changes(piece) {
            let Self { conn, catalog, decoder, .. } = self;
            let Some(conn) = conn.as_ref() else { return Ok(()) };
            let filters: Vec<(usize, Filter)> = sets
                .iter()
                .map(|&(set, links)| (set, Filter::new(catalog, links, scope, span.from)))
                .collect();
            for block in blocks(conn, (kind, step, scope), span.from, span.to)? {
                some(conn, decoder, &block, subjects, &mut rows, |rows| {
                    for entry in rows.iter().filter(|entry| (span.from..span.to).contains(&entry.at.into())) {
                        for (set, _) in filters.iter().filter(|(_, filter)| filter.takes(entry.place)) {
                            take(*set, entry);
                        }
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Shows all rows of a piece, without their highest slots.
    pub(super) fn visit<V: Visit>(
        &mut self,
        kind: Kind,
        links: &Links,
        piece: Piece,
        visit: &mut V,
    ) -> Result<(), StoreError> {
        let scope = scope(links, piece.step);
        for Piece { step, span } in self.between_changes(piece) {
            let Self { conn, catalog, decoder, .. } = self;
            let Some(conn) = conn.as_ref() else { return Ok(()) };
            let filter = Filter::new(catalog, links, scope, span.from);
            let mut filtered = Filtered { filter: &filter, visit: &mut *visit };
            for block in blocks(conn, (kind, step, scope), span.from, span.to)? {
                all(conn, decoder, &block, &span, &mut filtered)?;
            }
        }
        Ok(())
    }
}

pub(in super::super) const MISSING: StoreError = StoreError::Damaged("a chunk of a block is missing");

/// The parts of a chunk, from the columns `rows` and `tops` after `first`.
pub(in super::super) type Parts<'a> = (&'a [u8], Option<Option<&'a [u8]>>);

pub(in super::super) fn parts<'a>(chunk: &'a rusqlite::Row<'_>, tops: bool) -> Result<Parts<'a>, StoreError> {
    let rows = chunk.get_ref(1)?.as_blob().map_err(|_| MISSING)?;
    let tops = match tops {
        true => Some(chunk.get_ref(2)?.as_blob_or_null().map_err(|_| MISSING)?),
        false => None,
    };
    Ok((rows, tops))
}

fn all(
    conn: &rusqlite::Connection,
    decoder: &mut Decoder,
    block: &BlockRow,
    span: &Span,
    visit: &mut impl Visit,
) -> Result<(), StoreError> {
    let number = |slot: i64| u32::try_from(slot.max(0)).unwrap_or(u32::MAX);
    let times = number(span.from)..number(span.to);
    let mut query = conn.prepare_cached("SELECT first, rows FROM chunk WHERE block = ?1 ORDER BY first")?;
    let mut chunks = query.query(params![block.id])?;
    let mut count = 0;
    while let Some(chunk) = chunks.next()? {
        let (rows, _) = parts(chunk, false)?;
        decoder.visit(&block.heading, chunk.get(0)?, rows, &times, visit)?;
        count += 1;
    }
    if count == block.chunks { Ok(()) } else { Err(MISSING) }
}

fn some(
    conn: &rusqlite::Connection,
    decoder: &mut Decoder,
    block: &BlockRow,
    subjects: &[Subject],
    rows: &mut Vec<Entry>,
    mut take: impl FnMut(&[Entry]),
) -> Result<(), StoreError> {
    let mut query = conn.prepare_cached(
        "SELECT first, rows, tops FROM chunk WHERE block = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1",
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
        let parts = parts(chunk, true)?;
        let rest = subjects.get(place..).unwrap_or_default();
        let last_wanted = rest.last().copied().unwrap_or(subject);
        let last = decoder.decode(&block.heading, chunk.get(0)?, parts, subject..=last_wanted, rows)?;
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
