//! Going on with what was counted before this agent: totals do, and so does the history; metrics begin at zero, as those
//! of any process do, and so does the memory of the last hour.

use std::time::SystemTime;

use super::{Totals, bank_place, directory::NO_AS, family_place, hook_place};
use crate::model::{Counter, Hook, OwnerId, Owners, Side};

/// What was counted before.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    /// Since when.
    pub(crate) since: SystemTime,
    /// By link, and by [`Hook`].
    pub(crate) links: Vec<[BeforeHook; 2]>,
}

/// What a hook counted before.
#[derive(Clone, Debug, Default)]
pub(crate) struct BeforeHook {
    /// By [`crate::model::Outcome`].
    pub(crate) outcomes: [Counter; 5],
    /// By [`Side`]: an owner may be there several times.
    pub(crate) sides: [Vec<(OwnerId, Counter)>; 2],
}

/// What a bank had when this agent began.
#[derive(Debug, Default)]
pub(super) struct BankBefore {
    /// By family.
    pub(super) families: [Counter; 2],
    pub(super) unmatched: Counter,
}

impl BankBefore {
    /// All classes.
    pub(super) fn classes(&self) -> Counter {
        self.families.iter().copied().sum()
    }
}

impl Totals {
    /// Begins with what was counted before; to be called before the first sweep.
    pub(crate) fn resume(&mut self, before: &Before, owners: &dyn Owners) {
        self.started = before.since.min(self.began);
        for (link, hooks) in before.links.iter().enumerate() {
            for (hook, had) in Hook::ALL.into_iter().zip(hooks) {
                let Some(totals) = self.hooks.get_mut(hook_place(link, hook)) else { continue };
                totals.outcomes = had.outcomes;
                totals.before = had.outcomes;
                for (side, had) in Side::ALL.into_iter().zip(&had.sides) {
                    let Some(bank) = self.banks.get_mut(bank_place(link, hook, side)) else { continue };
                    for &(id, counter) in had {
                        let brief = self.directory.see(id, owners);
                        bank.owners.add(id.0, counter);
                        bank.ases.add(brief.as_index, counter);
                        bank.families[family_place(brief.family)] += counter;
                    }
                    bank.before.families = bank.families;
                    bank.before.unmatched = bank.ases.get(NO_AS);
                }
            }
        }
    }
}
