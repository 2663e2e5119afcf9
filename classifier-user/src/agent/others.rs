//! Other programs on the links' hooks, at the start and later: what they do to the counts is said.

use std::time::Instant;

use tracing::warn;

use super::core::Core;

/// Looks come after this many intervals: they ask the kernel more than a sweep does.
const INTERVALS: u32 = 3;

/// What is said of others.
#[derive(Debug, Default)]
pub(super) struct Others {
    looked: Option<Instant>,
    pub(super) warnings: Vec<String>,
}

impl Core {
    /// Looks who else is on the hooks, if it is time to.
    pub(super) fn look_at_others(&mut self) {
        if self.others.looked.is_none_or(|looked| looked.elapsed() >= self.interval * INTERVALS) {
            self.look_at_others_now();
        }
    }

    /// Looks who else is on the hooks.
    pub(super) fn look_at_others_now(&mut self) {
        let mut found = Vec::new();
        for other in self.datapath.beside() {
            let place = self.places.iter().find(|place| place.ifindex == other.ifindex);
            found.extend(place.map(|place| format!("{}: {}", place.name, other.what)));
        }
        for new in found.iter().filter(|new| !self.others.warnings.contains(new)) {
            warn!("{new}");
        }
        self.others.looked = Some(Instant::now());
        if found != self.others.warnings {
            self.others.warnings = found;
            self.publish_status();
        }
    }
}
