//! Journals of an agent that does not run, into its store.

use std::{io, path::Path, time::SystemTime};

use super::{archive::SinkError, journal, known::Known, sink, slots};
use crate::{
    datapath::adopted::CountId,
    history::{Keep, store::Options},
};

/// Why journals could not be brought into the store.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// An agent is at it.
    #[error("an agent keeps its history there: it does this by itself")]
    Running,
    /// The directory or a journal.
    #[error("the journals cannot be read: {0}")]
    Journal(#[from] io::Error),
    /// The store.
    #[error(transparent)]
    Store(SinkError),
}

/// When the last sweep was recorded of what the kernel counts, as the files of an agent that ended tell.
pub(crate) fn last_recorded(directory: &Path, count: CountId) -> Option<SystemTime> {
    let mut known = Known::open(directory);
    for slot in journal::slots(directory).unwrap_or_default() {
        // What cannot be read is said by who goes on with it.
        let _ = journal::read_into(directory, slot, false, &mut known);
    }
    known.last_of(count)
}

/// Brings slots that were over at `now` from their journals into the store, as the next start of the agent would: for who
/// looks at the history without one. How many there were.
///
/// # Errors
/// [`SettleError`]; what was brought over until then is in the store.
pub fn settle(
    directory: &Path,
    options: Options,
    top_prefixes: usize,
    now: SystemTime,
) -> Result<usize, SettleError> {
    let _lock = slots::lock(directory).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => SettleError::Running,
        _ => error.into(),
    })?;
    // Nothing is maintained here, and so nothing dropped.
    let mut open = sink::opener(directory.to_owned(), options, Keep::default());
    let mut store = open().map_err(|error| SettleError::Store(error.why))?;
    let mut settled = 0;
    let mut known = Known::open(directory);
    for slot in journal::slots(directory)? {
        if now < slots::end_of(slot) {
            break;
        }
        if store.last_slot.is_none_or(|last| last < slot) {
            let restored = journal::read_into(directory, slot, top_prefixes > 0, &mut known)?;
            let Some(open) = restored.open else { continue };
            known.write(directory)?;
            if let Some(finished) = open.finish(top_prefixes) {
                let closed = finished.resolve(&mut *store.sink).map_err(SettleError::Store)?;
                store.sink.append(&closed).map_err(SettleError::Store)?;
                settled += 1;
            }
        }
        journal::remove(directory, slot)?;
    }
    Ok(settled)
}
