//! Blocks made of blocks: merged, rolled up, folded. In steps, so that a slot can be written in between.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::{
    Writer,
    block::{Entry, Heading, Place, Scope, Top},
    error::StoreError,
    merge::Merge,
    rows::{BlockRow, Catalog, HOUR, Progress, State, set_progress},
};
use crate::history::{Kind, REST, Sample, Step, Subject, bits_per_second};

/// Rows of a step, about: a tenth of a second.
const STEP: usize = 250_000;

/// Slots of the longest block of slots. Longer ones would make a subject's month fewer chunks; but where a period begins
/// within a day, all of the block is read for some of its slots.
const PIECE: usize = 3 * HOUR as usize;

/// What is to become of blocks.
#[derive(Debug)]
pub(super) struct Job {
    sources: Vec<BlockRow>,
    /// The sources are replaced by what is written.
    replace: bool,
    merge: Merge,
    work: Work,
    /// What is true when it is done.
    progress: Option<(Kind, Step, Progress)>,
    rows: Vec<Entry>,
}

#[derive(Debug)]
enum Work {
    /// One block of all.
    Pack(Writer),
    /// Sums of all slots of a step, and blocks of all if there are writers for them.
    Roll(Box<Roll>),
    /// One block without some of its subjects.
    Fold { into: Writer, keep: Vec<Subject>, rest: BTreeMap<(Place, u32), Sample> },
}

#[derive(Debug)]
struct Roll {
    /// Of [`PIECE`] slots each, the first from where the step begins.
    whole: Vec<Writer>,
    links: Writer,
    isp: Writer,
    roller: Roller,
}

/// Where blocks are from and what they are of.
fn heading(sources: &[BlockRow], step: Step, scope: Scope) -> Option<Heading> {
    let (first, last) = (sources.first()?.heading, sources.last()?.heading);
    Some(Heading { kind: first.kind, step, scope, start: first.start, stop: last.stop })
}

impl Job {
    /// Makes one block of several. `None` without blocks.
    pub(super) fn pack(conn: &Connection, sources: Vec<BlockRow>) -> Result<Option<Self>, StoreError> {
        let Some(first) = sources.first().map(|block| block.heading) else { return Ok(None) };
        let Some(heading) = heading(&sources, first.step, first.scope) else { return Ok(None) };
        let work = Work::Pack(Writer::new(conn, heading)?);
        Self::new(conn, sources, true, i64::MIN..i64::MAX, work, None).map(Some)
    }

    /// Sums up the slots of an hour or a day. `replace`: where the blocks lie within it, they become one,
    /// or some.
    pub(super) fn roll(
        conn: &Connection,
        sources: Vec<BlockRow>,
        (step, span): (Step, std::ops::Range<u32>),
        seconds: Vec<u32>,
        replace: bool,
        progress: Progress,
    ) -> Result<Option<Self>, StoreError> {
        let Some(kind) = sources.first().map(|block| block.heading.kind) else { return Ok(None) };
        // None of them reaches out of it.
        let within = |block: &BlockRow| span.start <= block.heading.start && block.heading.stop <= span.end;
        let replace = replace && sources.len() > 1 && sources.iter().all(within);
        let mut whole = Vec::new();
        if replace {
            for start in span.clone().step_by(PIECE) {
                let stop = span.end.min(start.saturating_add(PIECE as u32));
                let heading = Heading { kind, step: Step::Slot, scope: Scope::Links, start, stop };
                whole.push(Writer::new(conn, heading)?);
            }
        }
        let writer =
            |scope| Writer::new(conn, Heading { kind, step, scope, start: span.start, stop: span.end });
        let (links, isp) = (writer(Scope::Links)?, writer(Scope::Isp)?);
        let roller = Roller::new(span.start, seconds);
        let work = Work::Roll(Box::new(Roll { whole, links, isp, roller }));
        let span = i64::from(span.start)..i64::from(span.end);
        Self::new(conn, sources, replace, span, work, Some((kind, step, progress))).map(Some)
    }

    /// Takes all but these subjects out of a block; of ASes [`REST`] gets what they had.
    pub(super) fn fold(conn: &Connection, source: BlockRow, keep: Vec<Subject>) -> Result<Self, StoreError> {
        let work = Work::Fold { into: Writer::new(conn, source.heading)?, keep, rest: BTreeMap::new() };
        Self::new(conn, vec![source], true, i64::MIN..i64::MAX, work, None)
    }

    fn new(
        conn: &Connection,
        sources: Vec<BlockRow>,
        replace: bool,
        span: std::ops::Range<i64>,
        work: Work,
        progress: Option<(Kind, Step, Progress)>,
    ) -> Result<Self, StoreError> {
        let merge = Merge::new(conn, sources.clone(), span, true, 0)?;
        Ok(Self { sources, replace, merge, work, progress, rows: Vec::new() })
    }

    /// Does a part of it; gives whether it is done. After an error it is to be thrown away, with what it wrote.
    pub(super) fn step(&mut self, conn: &Connection, catalog: &Catalog) -> Result<bool, StoreError> {
        let mut done = 0;
        while done < STEP {
            let Some(subject) = self.merge.next(conn, &mut self.rows)? else { return Ok(true) };
            done += self.rows.len();
            match &mut self.work {
                Work::Pack(writer) => write(conn, writer, &self.rows)?,
                Work::Roll(roll) => {
                    let Roll { whole, links, isp, roller } = &mut **roll;
                    for &entry in &self.rows {
                        let place = usize::try_from(entry.at.saturating_sub(roller.start)).unwrap_or(0);
                        if let Some(whole) = whole.get_mut(place / PIECE) {
                            whole.push(conn, entry)?;
                        }
                    }
                    roller.roll(subject, &self.rows, catalog);
                    write(conn, links, &roller.links)?;
                    write(conn, isp, &roller.isp)?;
                }
                Work::Fold { into, keep, .. } if keep.binary_search(&subject).is_ok() => {
                    write(conn, into, &self.rows)?;
                }
                Work::Fold { into, rest, .. } => {
                    if into.block.heading.kind == Kind::As {
                        for entry in &self.rows {
                            *rest.entry((entry.place, entry.at)).or_default() += entry.sample;
                        }
                    }
                }
            }
        }
        Ok(false)
    }

    /// Puts what was written in the place of what it was made of.
    pub(super) fn finish(self, conn: &Connection) -> Result<(), StoreError> {
        match self.work {
            Work::Pack(writer) => {
                writer.finish(conn, State::Live)?;
            }
            Work::Roll(roll) => {
                let Roll { whole, links, isp, .. } = *roll;
                for writer in whole.into_iter().chain([links, isp]) {
                    writer.finish(conn, State::Live)?;
                }
            }
            Work::Fold { mut into, rest, .. } => {
                for ((place, at), sample) in rest {
                    // Which of its slots was the highest nobody knows any more.
                    into.push(conn, Entry { subject: REST, place, at, sample, top: Top::default() })?;
                }
                into.finish(conn, State::Live)?;
            }
        }
        if self.replace {
            for block in &self.sources {
                block.update(conn, State::Dead)?;
            }
        }
        if let Some((kind, step, progress)) = self.progress {
            set_progress(conn, kind, step, progress)?;
        }
        Ok(())
    }
}

fn write(conn: &Connection, writer: &mut Writer, rows: &[Entry]) -> Result<(), StoreError> {
    rows.iter().try_for_each(|&entry| writer.push(conn, entry))
}

/// Sums up the slots of a step.
#[derive(Debug)]
struct Roller {
    start: u32,
    /// Of each slot.
    seconds: Vec<u32>,
    /// Bytes of the ISP's links by slot and direction.
    bytes: Vec<[u64; 2]>,
    /// The last subject's, by place.
    links: Vec<Entry>,
    /// The last subject's, by direction.
    isp: Vec<Entry>,
}

impl Roller {
    fn new(start: u32, seconds: Vec<u32>) -> Self {
        let bytes = vec![[0; 2]; seconds.len()];
        Self { start, seconds, bytes, links: Vec::new(), isp: Vec::new() }
    }

    fn roll(&mut self, subject: Subject, rows: &[Entry], catalog: &Catalog) {
        self.links.clear();
        self.isp.clear();
        self.bytes.fill([0; 2]);
        let empty = Entry { subject, at: self.start, ..Entry::default() };
        let mut isp = [0, 1].map(|direction| Entry { place: Place::isp(direction), ..empty });
        let mut has = [false; 2];
        for run in rows.chunk_by(|a, b| a.place == b.place) {
            let Some(&Entry { place, .. }) = run.first() else { continue };
            let direction = place.direction();
            let mut sum = Entry { place, ..empty };
            for entry in run {
                let slot = usize::try_from(entry.at.saturating_sub(self.start)).unwrap_or(usize::MAX);
                let seconds = self.seconds.get(slot).copied().unwrap_or(0);
                let bytes = entry.sample.both().bytes;
                sum.sample += entry.sample;
                sum.top.take(Top { rate: bits_per_second(bytes, seconds.into()), at: entry.at });
                if !catalog.is_isp(place.link(), entry.at) {
                    continue;
                }
                if let (Some(has), Some(isp), Some(slots)) =
                    (has.get_mut(direction), isp.get_mut(direction), self.bytes.get_mut(slot))
                {
                    *has = true;
                    isp.sample += entry.sample;
                    if let Some(here) = slots.get_mut(direction) {
                        *here = here.wrapping_add(bytes);
                    }
                }
            }
            self.links.push(sum);
        }
        for (direction, mut sum) in isp.into_iter().enumerate() {
            if has.get(direction) != Some(&true) {
                continue;
            }
            for (at, (bytes, &seconds)) in (self.start..).zip(self.bytes.iter().zip(&self.seconds)) {
                let bytes = bytes.get(direction).copied().unwrap_or(0);
                sum.top.take(Top { rate: bits_per_second(bytes, seconds.into()), at });
            }
            self.isp.push(sum);
        }
    }
}
