//! Changed routes into the FIB, and larger maps where they find no room.

use std::{
    collections::HashSet,
    sync::PoisonError,
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use super::core::Core;
use crate::{
    datapath::Sizes,
    fib::{
        classes::{ClassesError, Granularity},
        sizes::{classes_for, sizes_for},
    },
    model::{Asn, Family, Prefix},
    table::rib::Change,
};

/// How soon larger maps are tried again where they could not be had.
const GROW_AGAIN: Duration = Duration::from_secs(60);
/// How soon what was withdrawn is freed before its turn once more, where that takes a generation of maps: filling them and
/// reading the ones before is seconds in which nothing else is done.
const RECLAIM_AGAIN: Duration = Duration::from_secs(30);

/// Why a batch did not get into the FIB.
enum Refused {
    /// So many classes would be needed.
    Classes(u32),
    /// Rows or nodes.
    Fib,
}

impl Core {
    /// Puts changes, and those that waited, into the FIB. All of them or none.
    pub(super) fn apply(&mut self, changes: Vec<Change>) -> Result<u64, String> {
        self.waiting.extend(changes.into_iter().map(|change| (change.prefix, change.origin)));
        if self.waiting.is_empty() {
            return Ok(0);
        }
        let changes: Vec<_> = self.waiting.iter().map(|(prefix, origin)| (*prefix, *origin)).collect();
        let words = self.put(&changes, &mut false)?;
        self.waiting.clear();
        self.look_up_paths(changes.iter().map(|(prefix, _)| *prefix));
        Ok(words)
    }

    /// Puts changes of live routes into the FIB: those that find room. Those that do not wait, as do those that found
    /// none before, but for prefixes that change once more.
    pub(super) fn apply_live(&mut self, changes: Vec<Change>) {
        let mut changes: Vec<_> = changes.into_iter().map(|change| (change.prefix, change.origin)).collect();
        // Those of one prefix are beside each other: the last one is what it comes to.
        changes.dedup_by(|later, sooner| {
            let same = later.0 == sooner.0;
            if same {
                sooner.1 = later.1;
            }
            same
        });
        for (prefix, _) in &changes {
            if self.waiting.is_empty() {
                break;
            }
            self.waiting.remove(prefix);
        }
        let before = self.waiting.len();
        let (mut why, mut freed) = (None, false);
        // What is withdrawn makes room for the rest, all of it at once; then halves of what is refused, down to what it is
        // refused for.
        changes.sort_by_key(|(_, origin)| origin.is_some());
        let mut parts = vec![&changes[..]];
        while let Some(part) = parts.pop() {
            match (self.put(part, &mut freed), part) {
                (Ok(_), _) => {}
                // There is nothing to halve them for: the agent is about to end.
                (Err(_), _) if self.datapath.is_lost() => return,
                (Err(error), [change]) => {
                    self.waiting.insert(change.0, change.1);
                    why = Some(error);
                }
                (Err(_), part) => {
                    let gone = part.partition_point(|(_, origin)| origin.is_none());
                    let at = if gone == 0 || gone == part.len() { part.len() / 2 } else { gone };
                    let (first, second) = part.split_at(at);
                    parts.extend([second, first]);
                }
            }
        }
        if let Some(why) = why.filter(|_| before == 0) {
            error!("{} changed routes found no room and wait: {why}", self.waiting.len());
        }
    }

    /// Whether classes that were withdrawn may be freed now.
    fn may_reclaim(&self) -> bool {
        // Where nothing outlives the agent a reading is enough.
        !self.keep || self.reclaimed.is_none_or(|when| when.elapsed() >= RECLAIM_AGAIN)
    }

    /// Puts changes into the FIB, all or none; the maps grow where they must and may. What was withdrawn is freed for them
    /// unless that was done already, as `freed` says.
    fn put(&mut self, changes: &[(Prefix, Option<Asn>)], freed: &mut bool) -> Result<u64, String> {
        loop {
            let mut classes = self.classes.write().unwrap_or_else(PoisonError::into_inner);
            let (refused, why) = match classes.propose(changes.iter().copied()) {
                Ok((batch, undo)) => match self.datapath.apply(&batch) {
                    Ok(applied) => return Ok(applied.words_written),
                    Err(error) => {
                        classes.undo(&batch, undo);
                        (Refused::Fib, error.to_string())
                    }
                },
                Err(error @ ClassesError::OutOfClasses { needed, .. }) => {
                    (Refused::Classes(needed), error.to_string())
                }
            };
            let retiring = classes.retiring();
            drop(classes);
            let out_of_classes = matches!(refused, Refused::Classes(_));
            if out_of_classes && retiring && !*freed && self.may_reclaim() {
                // What was withdrawn is free after its last reading: that need not wait for its time.
                *freed = true;
                if let Err(error) = self.datapath.reclaim() {
                    warn!("what was withdrawn cannot be freed: {error}");
                }
                let swept = self.sweep();
                self.reclaimed = Some(Instant::now());
                if swept.is_ok() {
                    continue;
                }
            }
            if self.datapath.is_lost() {
                return Err(why);
            }
            if let Some((when, error)) = &self.no_growth
                && when.elapsed() < GROW_AGAIN
            {
                return Err(format!("{why}; {error}"));
            }
            self.no_growth = None;
            if let Err(error) = self.grow(&refused) {
                self.no_growth = Some((Instant::now(), error.clone()));
                return Err(format!("{why}; {error}"));
            }
            // With larger maps what was withdrawn is free, too, once they are read.
            self.reclaimed = Some(Instant::now());
            self.try_sweep();
        }
    }

    /// Makes the maps as large as the table of now wants them.
    fn grow(&mut self, refused: &Refused) -> Result<(), String> {
        let now = self.datapath.sizes();
        let table = sizes_for(self.tables.rib.iter().map(|route| route.prefix));
        let granularity = self.classes.read().unwrap_or_else(PoisonError::into_inner).granularity();
        let classes = match granularity {
            Granularity::Prefix => table.classes,
            Granularity::As => {
                let owners: HashSet<_> =
                    self.tables.rib.iter().map(|route| (Family::of(&route.prefix), route.asn)).collect();
                classes_for(owners.len())
            }
        };
        let needed = match refused {
            Refused::Classes(needed) => *needed,
            Refused::Fib => 0,
        };
        let mut sizes = Sizes {
            classes: now.classes.max(classes).max(needed),
            v4_rows: now.v4_rows.max(table.v4_rows),
            v6_rows: now.v6_rows.max(table.v6_rows),
            v6_nodes: now.v6_nodes.max(table.v6_nodes),
        };
        if sizes == now {
            // Large enough for the table, but not for the way to it.
            sizes.v4_rows = sizes.v4_rows.saturating_mul(2);
            sizes.v6_rows = sizes.v6_rows.saturating_mul(2);
            sizes.v6_nodes = sizes.v6_nodes.saturating_mul(2);
        }
        self.room.check(&sizes).map_err(|error| error.to_string())?;
        self.datapath.resize(&sizes).map_err(|error| error.to_string())?;
        self.classes.write().unwrap_or_else(PoisonError::into_inner).extend(sizes.classes);
        let memory = self.datapath.memory();
        info!(
            "the table outgrew its maps: larger ones count on, {} classes, FIB {} MiB, counters {} MiB",
            sizes.classes,
            memory.fib_bytes >> 20,
            memory.bank_bytes >> 20
        );
        Ok(())
    }
}
