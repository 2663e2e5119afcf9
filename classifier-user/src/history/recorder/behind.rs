//! Slots that are over and that the disk did not take the journals of: their frames wait until it does, or until nobody needs
//! them any more. Without them a kill would lose what the store has not taken either, though later slots are on the disk.

use std::{io, os::unix::fs::FileExt as _, path::Path};

use super::journal::{self, WAITING};

/// What is behind.
#[derive(Debug, Default)]
pub(super) struct Behind {
    slots: Vec<Frames>,
    /// See [`Behind::given_up`].
    given_up: Option<i64>,
}

/// What a slot's journal does not have.
#[derive(Debug)]
struct Frames {
    slot: i64,
    /// Bytes of whole frames in the file.
    written: u64,
    frames: Vec<u8>,
}

impl Behind {
    /// Takes what waited when a slot was over, if anything did, so long as it is not too much. With `holes` it was not all.
    pub(super) fn take(&mut self, slot: i64, written: u64, frames: Vec<u8>, holes: bool) {
        let waiting: usize = self.slots.iter().map(|slot| slot.frames.len()).sum();
        if holes || waiting + frames.len() > WAITING {
            self.given_up = Some(slot);
        } else if !frames.is_empty() {
            self.slots.push(Frames { slot, written, frames });
        }
    }

    /// Brings all of it to the disk for good, as far as it takes it.
    ///
    /// # Errors
    /// Some of it was not taken, and waits on.
    pub(super) fn write(&mut self, directory: &Path) -> io::Result<()> {
        let mut done = Ok(());
        self.slots.retain(|slot| match slot.write(directory) {
            Ok(()) => false,
            Err(error) => {
                done = Err(error);
                true
            }
        });
        done
    }

    /// Slots up to this one are in the store, or lost.
    pub(super) fn forget(&mut self, last: i64) {
        self.slots.retain(|slot| slot.slot > last);
        self.given_up = self.given_up.filter(|slot| *slot > last);
    }

    /// The last slot that will never be whole in a journal, so long as it is neither in the store nor lost.
    pub(super) fn given_up(&self) -> Option<i64> {
        self.given_up
    }
}

impl Frames {
    fn write(&self, directory: &Path) -> io::Result<()> {
        let file = journal::go_on(directory, self.slot, self.written)?;
        // The little room that there is may do for others.
        file.write_all_at(&self.frames, self.written).inspect_err(|_| drop(file.set_len(self.written)))?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_in_the_way_of_one_slot_is_not_in_the_way_of_the_others() {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        let text = |slot| fs::read_to_string(journal::path(directory, slot)).expect("a journal");
        fs::write(journal::path(directory, 5), "five, cut").expect("written");
        let mut behind = Behind::default();
        behind.take(3, 0, Vec::new(), false);
        // Its file has less than it had.
        behind.take(4, 100, b"four".to_vec(), false);
        behind.take(5, 4, b" and more".to_vec(), false);
        assert!(behind.write(directory).is_err());
        assert_eq!(text(5), "five and more");
        assert!(!journal::path(directory, 3).exists());
        // It is not needed any more.
        behind.forget(4);
        behind.write(directory).expect("nothing is left");
        assert_eq!(behind.given_up(), None);
    }

    #[test]
    fn what_waits_is_bounded_and_what_was_given_up_is_known_until_nobody_needs_it() {
        let mut behind = Behind::default();
        behind.take(3, 0, vec![0; WAITING], false);
        assert_eq!(behind.given_up(), None);
        behind.take(4, 0, vec![0], false);
        assert_eq!(behind.given_up(), Some(4));
        behind.forget(3);
        assert_eq!((behind.slots.len(), behind.given_up()), (0, Some(4)));
        behind.take(5, 0, Vec::new(), true);
        behind.forget(4);
        assert_eq!(behind.given_up(), Some(5));
        behind.forget(5);
        assert_eq!(behind.given_up(), None);
    }
}
