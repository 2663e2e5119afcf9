//! Hooks that were counted, and are not any more when the next agent begins: the interface was removed or made again, or
//! somebody took the program off, while nobody was there to see it.

use classifier_common::abi::Hook;

use super::pins::{PinnedLink, generation::Generation};
use crate::{
    datapath::{
        adopted::{LinkLabel, Missed},
        netlink_tc,
    },
    model::{Link, LinkId},
};

/// Whether one of these programs is on a hook, as a filter.
fn has_filter(ifindex: u32, hook: Hook, programs: &[u32]) -> bool {
    let filters = netlink_tc::filters(ifindex, hook).unwrap_or_default();
    filters.iter().any(|filter| filter.program.as_ref().is_some_and(|(_, id)| programs.contains(id)))
}

/// What older generations counted of these links and nothing counts now: since when, nobody has seen.
pub(super) fn missed(
    older: &[Generation],
    places: &[(u32, Hook, PinnedLink)],
    links: &[Link],
) -> Vec<Missed> {
    let programs: Vec<u32> = older.iter().flat_map(Generation::programs).collect();
    let is_on = |ifindex: u32, hook: Hook| {
        let mut pinned = places.iter().filter(|(index, its, _)| (*index, *its) == (ifindex, hook));
        pinned.any(|(_, _, link)| link.info.ifindex == ifindex) || has_filter(ifindex, hook, &programs)
    };
    let mut missed = Vec::new();
    for (number, link) in (0..).map(LinkId).zip(links) {
        let link = LinkLabel::of(link);
        let labels = older.iter().flat_map(|generation| &generation.labels);
        let labels: Vec<_> = labels.filter(|label| label.link.same(&link)).collect();
        for hook in Hook::ALL {
            let mut attached = labels.iter().filter(|label| label.attached[hook as usize]);
            if attached.any(|label| !is_on(label.ifindex, hook)) {
                missed.push(Missed { link: number, hook, since: None });
            }
        }
    }
    missed
}
