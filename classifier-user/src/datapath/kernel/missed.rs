//! Hooks that were counted, and are not any more when the next agent begins: the interface was removed or made again, another
//! one has its name, it is in another network namespace, or somebody took the program off, while nobody was there to see it.

use classifier_common::abi::Hook;

use super::pins::{PinnedLink, generation::Generation, meta::Label};
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
    filters.iter().any(|filter| filter.program_id().is_some_and(|id| programs.contains(&id)))
}

/// Whether a link is on another interface than it was, though it was not given another one: that of its name is another now,
/// or is not there. What counts on the one of before, wherever that is, counts nothing of this.
pub(super) fn is_another(label: &Label, ifindex: u32, name: &str) -> bool {
    label.ifindex != ifindex && (ifindex == 0 || label.interface.is_empty() || label.interface == name)
}

/// What older generations counted of these links and nothing counts now: since when, nobody has seen. With each link, the
/// number and the name of its interface; 0 where that is not there.
pub(super) fn missed(
    older: &[&Generation],
    places: &[(u32, Hook, PinnedLink)],
    links: &[(&Link, u32, &str)],
) -> Vec<Missed> {
    let programs: Vec<u32> = older.iter().flat_map(|generation| generation.programs()).collect();
    let is_on = |ifindex: u32, hook: Hook| {
        let mut pinned = places.iter().filter(|(index, its, _)| (*index, *its) == (ifindex, hook));
        pinned.any(|(_, _, link)| link.info.ifindex == ifindex) || has_filter(ifindex, hook, &programs)
    };
    let mut missed = Vec::new();
    for (number, &(link, ifindex, name)) in (0..).map(LinkId).zip(links) {
        let link = LinkLabel::of(link);
        let labels = older.iter().flat_map(|generation| &generation.labels);
        let labels: Vec<_> = labels.filter(|label| label.link.same(&link)).collect();
        for hook in Hook::ALL {
            let untold = labels.iter().any(|label| label.missed[hook as usize]);
            let mut attached = labels.iter().filter(|label| label.attached[hook as usize]);
            if untold || attached.any(|label| is_another(label, ifindex, name) || !is_on(label.ifindex, hook))
            {
                missed.push(Missed { link: number, hook, since: None });
            }
        }
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::super::pins::generation::tests::*;
    use crate::datapath::Datapath as _;

    /// Agents that are killed before they have recorded it leave it to the next one.
    #[test]
    fn kernel_what_was_missed_is_told_until_an_agent_has_swept() {
        with_bpffs(|bpffs| {
            let mut kernel = load(bpffs).expect("loaded");
            kernel.settle().expect("nothing of before");
            let generation = &mut kernel.keeping.as_mut().expect("it keeps").generation;
            generation.labels[0].attached = [true, false];
            generation.write_label(0).expect("written");
            drop(kernel);
            let told = |sweeps: bool| {
                let mut kernel = load(bpffs).expect("loaded");
                let adopted = kernel.settle().expect("summed up").expect("it keeps");
                if sweeps {
                    kernel.sweep().expect("swept");
                }
                adopted.missed.len()
            };
            assert_eq!([told(false), told(false), told(true), told(false)], [1, 1, 1, 0]);
        });
    }
}
