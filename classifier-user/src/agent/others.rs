//! What comes of others while the agent runs: their programs on the links' hooks, and interfaces that were put together so
//! that two links see the same frames. What that does to the counts is said.

use std::time::Instant;

use tracing::warn;

use super::core::Core;
use crate::{
    datapath::overlap::{self, Overlap},
    model::Link,
};

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

    /// Looks who else is on the hooks, and which links are one in the other by now.
    pub(super) fn look_at_others_now(&mut self) {
        let mut found: Vec<_> = self.overlaps(None).iter().map(twice).collect();
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

    /// Which links that are counted, and those of an interface that is to be, see the same frames.
    pub(super) fn overlaps(&self, coming: Option<&str>) -> Vec<Overlap> {
        let now = self.datapath.attachments();
        let counted = |number: usize| now.get(number).is_some_and(|at| at.modes.iter().any(Option::is_some));
        let links = self.links.iter().enumerate().filter(|(number, (link, _))| {
            counted(*number) || coming.is_some_and(|coming| link.interface == coming)
        });
        let links: Vec<Link> = links.map(|(_, (link, _))| link.clone()).collect();
        overlap::all(&links, &overlap::positions())
    }
}

/// Of interfaces that were other ones' when the links were put on them.
fn twice(overlap: &Overlap) -> String {
    format!("interfaces were changed since they are counted, and frames count twice: {overlap}")
}
