//! What starts that failed have left: each made a generation, and may have counted with it. They must not become more and
//! more, for a service manager starts again and again.

use std::collections::HashSet;

use classifier_common::abi::Hook;

use super::{
    Kernel, LoadError, held,
    keep::Keeping,
    missed,
    object::Grace,
    pins::{self, Others, PinError, PinnedLink, Pins, generation::Generation, meta::Label},
};
use crate::datapath::{netlink, netlink_tc};

/// Generations into which nothing counts any more, and which stay as they are: the next sum takes them with it. More of them
/// are made one.
const LEFT: usize = 1;

/// Programs of a generation.
const PROGRAMS: usize = 3;

/// Numbers of the programs that are on hooks of these interfaces; `None` where the kernel does not tell all of them.
fn on_hooks(interfaces: &HashSet<u32>) -> Option<HashSet<u32>> {
    let mut found = HashSet::new();
    for &ifindex in interfaces {
        let info = match netlink::link_info(ifindex) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
            info => info.ok()?,
        };
        match info.xdp {
            // Several, without their numbers.
            Some(xdp) if xdp.id == 0 => return None,
            xdp => found.extend(xdp.map(|xdp| xdp.id)),
        }
        for hook in Hook::ALL {
            match held::tcx_programs(ifindex, hook) {
                Ok(programs) => found.extend(programs),
                // Before 6.6 there is no TCX.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                Err(_) => return None,
            }
            let filters = netlink_tc::filters(ifindex, hook).ok()?.into_iter();
            found.extend(filters.filter_map(|filter| filter.program_id()));
        }
    }
    Some(found)
}

/// Those of which no program is on a hook. A place that is not pinned ends with who made it, and is seen until then.
fn idle(others: &mut Others, places: &[(u32, Hook, PinnedLink)]) -> Vec<(u64, Generation)> {
    let labels = others.said.iter().flat_map(|(_, generation)| &generation.labels);
    let interfaces =
        labels.map(|label| label.ifindex).chain(places.iter().map(|(_, _, link)| link.info.ifindex));
    let Some(mut on) = on_hooks(&interfaces.filter(|&ifindex| ifindex != 0).collect()) else {
        return Vec::new();
    };
    // Wherever they are.
    on.extend(
        places.iter().filter(|(_, _, link)| link.info.ifindex != 0).map(|(_, _, link)| link.info.program),
    );
    let is_idle = |generation: &Generation| {
        let programs = generation.programs();
        // One that cannot be asked may be on a hook.
        programs.len() == PROGRAMS && !programs.iter().any(|program| on.contains(program))
    };
    others.said.extract_if(.., |(_, generation)| is_idle(generation)).collect()
}

/// Whether a generation may go as if it had never been: it counted nothing, and says nothing of hooks and qdiscs that the
/// others do not say as well.
fn says_nothing(generation: &Generation, others: &Others) -> Result<bool, PinError> {
    let said =
        |known: &dyn Fn(&Label) -> bool| others.said.iter().flat_map(|(_, other)| &other.labels).any(known);
    // What it took over of those that it was to make one, before it was killed, is with these still.
    let is_known = |label: &Label| {
        let mut attached = Hook::ALL.into_iter().filter(|&hook| label.attached[hook as usize]);
        attached.all(|hook| said(&|other| is_before(other, label) && other.attached[hook as usize]))
            && (!label.qdisc || said(&|other| other.ifindex == label.ifindex && other.qdisc))
    };
    let carries = generation.header.settled || generation.header.carried > 0;
    Ok(!carries && generation.labels.iter().all(is_known) && generation.is_zero()?)
}

/// Whether what one label says of hooks goes for the other, which came after it.
fn is_before(before: &Label, label: &Label) -> bool {
    before.link.same(&label.link)
        && (before.ifindex == label.ifindex || missed::is_another(before, label.ifindex, &label.interface))
}

/// Takes generations away that have nothing to say, before there is another one: whoever is killed right after that has left
/// one only.
pub(super) fn clear(pins: &Pins, others: &mut Others, grace: &mut Grace) -> Result<(), LoadError> {
    others.clear(pins);
    let idle = idle(others, &pins.links());
    if idle.is_empty() {
        return Ok(());
    }
    // A program that had begun before it was taken off its hook may count still.
    grace.wait()?;
    for (number, generation) in idle {
        if says_nothing(&generation, others)? {
            pins.remove(&generation.path);
        } else {
            others.said.push((number, generation));
        }
    }
    others.said.sort_by_key(|(number, _)| *number);
    Ok(())
}

impl Keeping {
    /// Takes over what was said of hooks and qdiscs by a generation that goes.
    fn inherit(&mut self, from: &Generation) -> Result<(), PinError> {
        let own = &mut self.generation;
        self.inherited.resize(own.labels.len(), [false; 2]);
        for index in 0..own.labels.len() {
            let Some((label, inherited)) = own.labels.get_mut(index).zip(self.inherited.get_mut(index))
            else {
                continue;
            };
            for before in from.labels.iter().filter(|before| is_before(before, label)).collect::<Vec<_>>() {
                for hook in Hook::ALL.map(|hook| hook as usize) {
                    label.attached[hook] |= before.attached[hook];
                    inherited[hook] |= before.attached[hook];
                    label.missed[hook] |= before.missed[hook];
                }
                label.qdisc |= before.qdisc && before.ifindex == label.ifindex;
            }
            own.write_label(index)?;
        }
        Ok(())
    }

    /// Makes one of those generations into which nothing counts any more.
    fn fold(&mut self, grace: &mut Grace) -> Result<(), LoadError> {
        let mut others = Others::of(&self.pins, Some(&self.generation))?;
        let idle = idle(&mut others, &self.pins.links());
        if idle.len() <= LEFT {
            return Ok(());
        }
        // A program that had begun before it was taken off its hook may count still.
        grace.wait()?;
        for (_, generation) in &idle {
            self.inherit(generation)?;
        }
        pins::fold(&mut self.generation, &idle, &others)?;
        idle.iter().for_each(|(_, generation)| self.pins.remove(&generation.path));
        Ok(())
    }
}

impl Kernel {
    /// Sees to it that starts that fail leave no more than a few generations that counted, before anything is attached.
    pub(super) fn fold_idle(&mut self) -> Result<(), LoadError> {
        let Self { keeping, grace, .. } = self;
        keeping.as_mut().map_or(Ok(()), |keeping| keeping.fold(grace))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{super::pins::generation::tests::*, *};
    use crate::model::Counter;

    /// A start that counts frames, and is killed.
    fn killed(bpffs: &Path, frames: u64) -> usize {
        let kernel = load(bpffs).expect("loaded");
        // The first outcome of its first hook.
        let counters = kernel.hooks.counters(0, 1).iter();
        counters.for_each(|counter| counter.add(Counter { packets: frames, bytes: 0 }));
        generations(&kernel).len()
    }

    fn counted(bpffs: &Path) -> u64 {
        let mut kernel = load(bpffs).expect("loaded");
        let adopted = kernel.settle().expect("summed up").expect("it keeps");
        assert_eq!(generations(&kernel).len(), 1);
        adopted.links.iter().map(|link| link.hooks[0].outcomes[0].packets).sum()
    }

    #[test]
    fn kernel_starts_that_are_killed_leave_a_few_generations_and_all_that_they_counted() {
        with_bpffs(|bpffs| {
            for start in 0..10 {
                assert!(killed(bpffs, 1 << start) <= 3, "{start}");
            }
            assert_eq!(counted(bpffs), (1 << 10) - 1);
            for _ in 0..5 {
                assert!(killed(bpffs, 0) <= 2, "what counted nothing goes");
            }
            assert_eq!(counted(bpffs), (1 << 10) - 1);
        });
    }

    #[test]
    fn kernel_a_removal_that_was_killed_is_in_nobodys_way() {
        for removed in 1..6 {
            with_bpffs(|bpffs| {
                killed(bpffs, 7);
                let kernel = load(bpffs).expect("loaded");
                let keeping = kernel.keeping.as_ref().expect("it keeps");
                let newest = keeping.generation.path.clone();
                drop(kernel);
                let order = pins::removal(&newest);
                assert!(order.len() > 5, "{order:?}");
                order[..removed].iter().for_each(|pin| std::fs::remove_file(pin).expect("it was there"));
                assert_eq!(counted(bpffs), 7, "{removed} of {order:?}");
            });
        }
    }

    /// What is to be made one has been attached; the start that takes that over is killed before it has made it one.
    #[test]
    fn kernel_starts_that_are_killed_while_they_fold_leave_nothing() {
        with_bpffs(|bpffs| {
            killed(bpffs, 5);
            let mut kernel = load(bpffs).expect("loaded");
            let keeping = kernel.keeping.as_mut().expect("it keeps");
            let mut others = Others::of(&keeping.pins, Some(&keeping.generation)).expect("read");
            let (_, first) = &mut others.said[0];
            first.labels[0].attached = [true; 2];
            first.write_label(0).expect("written");
            drop(kernel);
            for start in 0..4 {
                let mut kernel = load(bpffs).expect("loaded");
                let keeping = kernel.keeping.as_mut().expect("it keeps");
                let others = Others::of(&keeping.pins, Some(&keeping.generation)).expect("read");
                others.said.iter().for_each(|(_, before)| keeping.inherit(before).expect("written"));
                assert_eq!(keeping.generation.labels[0].attached, [true; 2]);
                assert_eq!(generations(&kernel).len(), 2, "{start}");
            }
            assert_eq!(counted(bpffs), 5);
        });
    }

    /// What happens to what was folded, and to who folded it.
    type Then = fn(&[(u64, Generation)], &mut Generation);

    /// What a start does that folds, and is killed before it has removed what it folded.
    fn folded(bpffs: &Path) -> Vec<(u64, Generation)> {
        let mut kernel = load(bpffs).expect("loaded");
        let keeping = kernel.keeping.as_mut().expect("it keeps");
        let mut others = Others::of(&keeping.pins, Some(&keeping.generation)).expect("read");
        let idle = std::mem::take(&mut others.said);
        pins::fold(&mut keeping.generation, &idle, &others).expect("folded");
        idle
    }

    #[test]
    fn kernel_what_was_folded_is_counted_once_wherever_its_start_was_killed() {
        let half_removed = |idle: &[(u64, Generation)], _: &mut Generation| {
            for map in ["META", "BANKS", "CLASSES", "HOOKS"] {
                std::fs::remove_file(idle[0].1.path.join(map)).expect("it was there");
            }
        };
        let unsaid = |_: &[(u64, Generation)], own: &mut Generation| {
            own.header.carried = 0;
            own.write_header().expect("written");
        };
        let nothing = |_: &[(u64, Generation)], _: &mut Generation| {};
        let cases: [Then; 3] = [nothing, half_removed, unsaid];
        for (case, then) in cases.into_iter().enumerate() {
            for more in 0..3 {
                with_bpffs(|bpffs| {
                    killed(bpffs, 120);
                    let idle = folded(bpffs);
                    let next = idle[0].1.path.with_file_name("g2");
                    then(&idle, &mut Generation::open(&next).expect("read").expect("whole"));
                    for start in 0..more {
                        killed(bpffs, 1000 * start);
                    }
                    let expected = 120 + (0..more).map(|start| 1000 * start).sum::<u64>();
                    assert_eq!(counted(bpffs), expected, "case {case}, {more} more starts");
                });
            }
        }
    }
}
