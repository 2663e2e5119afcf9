//! What is kept of the past, and how long: the store's maintenance, months that are over, ages, and the size on disk.
//!
//! Reading order: here ([`Keeper::step`], which is all that there is to call), `months` (what is frozen), `ages` (what is
//! too old), `cap` (what goes first where the disk is short).

use jiff::Timestamp;

use super::{
    Keep,
    store::{Store, StoreError},
};

mod ages;
mod cap;
mod months;
#[cfg(test)]
mod tests;

/// Keeps a store as it was asked for.
#[derive(Debug)]
pub struct Keeper {
    keep: Keep,
    months: months::Months,
    /// For which day's beginning what was too old was dropped.
    dropped_for: Option<Timestamp>,
    cap: cap::Cap,
}

impl Keeper {
    /// A keeper of a store; its first [`Keeper::step`] finds out what there is to do.
    #[must_use]
    pub fn new(keep: Keep) -> Self {
        Self { keep, months: months::Months::default(), dropped_for: None, cap: cap::Cap::default() }
    }

    /// Does a part of what is due, about a tenth of a second's; gives whether there is more. After that it need not be
    /// called before the next slot.
    ///
    /// A month that is over is frozen before anything of it is dropped for its age.
    ///
    /// # Errors
    /// What the store says; it can be called again, and goes on where it was.
    pub fn step(&mut self, store: &mut Store, now: Timestamp) -> Result<bool, StoreError> {
        if store.maintain()? || self.months.step(store)? {
            return Ok(true);
        }
        let today = ages::today(now, store.zone());
        if self.dropped_for != Some(today) {
            ages::drop_old(store, &self.keep, today)?;
            self.dropped_for = Some(today);
            return Ok(true);
        }
        self.cap.step(store, self.keep.max_bytes)
    }

    /// Whether the store takes more than it may, although nothing is left that could be dropped.
    #[must_use]
    pub fn is_over_cap(&self) -> bool {
        self.cap.is_over()
    }
}
