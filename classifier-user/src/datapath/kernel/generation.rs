//! A larger generation: other maps, other programs, and the hooks handed over from one to the other.
//!
//! Every hook's program is replaced in its link (`bpf_link_update`; with clsact, the filter's), which no packet
//! notices: it is counted by the old program into the old banks or by the new one into the new banks. After a grace
//! period the old banks are read a last time, and what they had goes on in the next sweep.

use classifier_common::abi::{Hook, Side};

use super::{Kernel, LinkState, OBJECT, attach, detach, held::Held, object, sweep};
use crate::{
    datapath::{DatapathError, HookSweep, Sizes},
    model::{Class, Counter},
};

/// What banks that are gone had counted.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Of all generations before this one.
    outcomes: [Counter; 5],
    /// Not yet given out, by side.
    sides: [Vec<(Class, Counter)>; 2],
}

impl Carried {
    /// Begins with outcomes of before this agent.
    pub(super) const fn begin(&mut self, outcomes: [Counter; 5]) {
        self.outcomes = outcomes;
    }

    /// Takes what the last reading of a bank gave.
    fn take(&mut self, read: HookSweep) {
        // Outcomes that were read have those of before in them.
        self.outcomes = read.outcomes;
        for (carried, read) in self.sides.iter_mut().zip(read.sides) {
            *carried = read.unwrap_or_default();
        }
    }

    /// Adds it to a reading of the banks of now.
    pub(super) fn add_to(&mut self, read: &mut HookSweep) {
        for (sum, before) in read.outcomes.iter_mut().zip(self.outcomes) {
            *sum += before;
        }
        for (deltas, carried) in read.sides.iter_mut().zip(&mut self.sides) {
            let carried = std::mem::take(carried);
            if let Some(deltas) = deltas.as_mut().filter(|_| !carried.is_empty()) {
                *deltas = merged(std::mem::take(deltas), carried);
            }
        }
    }
}

/// Two lists of classes ascending as one.
fn merged(mut one: Vec<(Class, Counter)>, other: Vec<(Class, Counter)>) -> Vec<(Class, Counter)> {
    one.extend(other);
    one.sort_by_key(|(class, _)| *class);
    one.dedup_by(|(class, counter), (before, sum)| {
        let same = class == before;
        if same {
            *sum += *counter;
        }
        same
    });
    one
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DatapathError {
    DatapathError::Generation { source: source.into() }
}

impl Kernel {
    /// Goes on with maps of these sizes.
    pub(super) fn replace(&mut self, sizes: &Sizes) -> Result<(), DatapathError> {
        if sizes.classes < self.sizes.classes {
            let (class, classes) = (self.sizes.classes - 1, sizes.classes);
            return Err(DatapathError::ClassOutOfRange { class, classes });
        }
        let setups: Vec<_> = self.links.iter().map(|link| link.setup).collect();
        let mut loaded = object::load(OBJECT, sizes, &setups, &object::Extra::default()).map_err(failed)?;
        let kept = self.keep_next(&mut loaded)?;
        let writer = match self.writer.moved(loaded.fib) {
            Ok(writer) => writer,
            Err(error) => {
                self.drop_next(kept);
                return Err(error);
            }
        };
        // From here on there is no way back: a hook that is not handed over is lost, and says so.
        let mut attached = Vec::with_capacity(self.attached.len());
        for held in std::mem::take(&mut self.attached) {
            let Held { attached: old, adopted, ifindex, hook, mode, program: before } = held;
            match attach::hand_over(&mut loaded.ebpf, old, hook) {
                Ok(new) => {
                    let program = attach::program_id(&mut loaded.ebpf, hook, mode);
                    attached.push(Held { attached: new, adopted, ifindex, hook, mode, program });
                }
                Err(error) => {
                    tracing::error!("a program could not be replaced by that of larger maps: {error}");
                    self.drop_place(ifindex, hook, before);
                    for link in self.links.iter_mut().filter(|link| link.setup.ifindex == ifindex) {
                        link.modes[hook as usize] = None;
                    }
                }
            }
        }
        self.attached = attached;
        let waited = self.grace.wait();
        let mut last = self.read_all(true);
        for (link, reading) in self.links.iter_mut().zip(&mut last) {
            for (carried, read) in link.carried.iter_mut().zip(reading) {
                carried.take(std::mem::take(read));
            }
            link.bank = u32::from(link.setup.link.0) * loaded.layout.entries();
            link.seen = Default::default();
        }
        self.ebpf = loaded.ebpf;
        self.writer = writer;
        self.hooks = loaded.hooks;
        self.banks = loaded.banks;
        self.layout = loaded.layout;
        self.sizes = *sizes;
        self.fib_bytes = loaded.fib_bytes;
        self.bank_bytes = loaded.bank_bytes;
        self.grace = loaded.grace;
        self.ports = loaded.ports;
        self.kept_next(kept);
        // What cannot be summed up now is by the next start. A program that had begun before and still runs may count
        // into the old maps: these must be there then.
        let summed = waited.and_then(|()| Ok(self.sum_kept()?));
        if let Err(error) = summed {
            tracing::warn!(
                "{error}; what was counted before is kept where it is until the agent starts again"
            );
        }
        Ok(())
    }

    /// Takes a program off a hook on which it could not be replaced: nothing may count into maps that nobody reads.
    fn drop_place(&self, ifindex: u32, hook: Hook, program: Option<u32>) {
        if let Some(keeping) = &self.keeping {
            keeping.take_off(ifindex, hook);
        }
        // A filter may be where somebody else has put it.
        detach::drop_filters_of(ifindex, hook, &|_, id| Some(id) == program);
    }

    /// Reads what every hook of every link counted since the last time, and what was carried over.
    pub(super) fn read_all(&mut self, all: bool) -> Vec<[HookSweep; 2]> {
        let Self { links, banks, hooks, layout, .. } = self;
        let mut readings: Vec<_> = links
            .iter_mut()
            .map(|LinkState { setup, bank, seen, .. }| {
                Hook::ALL.map(|hook| {
                    let mut read = HookSweep::default();
                    for side in Side::ALL {
                        if setup.sides[hook as usize] & side.bit() != 0 {
                            let region = sweep::Region { bank: *bank, hook, side, layout: *layout };
                            let seen = &mut seen[hook as usize][side as usize];
                            read.sides[side as usize] = Some(sweep::read(banks, region, seen, all));
                        }
                    }
                    read
                })
            })
            .collect();
        // Classes first, outcomes after: the kernel counts the other way round, so Σ classes ≤ Σ outcomes.
        for (link, readings) in links.iter_mut().zip(&mut readings) {
            for hook in Hook::ALL {
                let read = &mut readings[hook as usize];
                read.outcomes = sweep::outcomes(hooks, u32::from(link.setup.link.0), hook, layout.slices);
                link.carried[hook as usize].add_to(read);
            }
        }
        readings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(packets: u64) -> Counter {
        Counter { packets, bytes: packets * 100 }
    }

    #[test]
    fn what_was_carried_over_is_given_out_once_and_outcomes_go_on() {
        let read = |outcome, sides| HookSweep { outcomes: [counter(outcome); 5], sides };
        let mut carried = Carried::default();
        carried.take(read(7, [Some(vec![(2, counter(1)), (5, counter(2))]), None]));
        let mut now = read(3, [Some(vec![(3, counter(4)), (5, counter(8))]), None]);
        carried.add_to(&mut now);
        assert_eq!(now.outcomes, [counter(10); 5]);
        let sum = vec![(2, counter(1)), (3, counter(4)), (5, counter(10))];
        assert_eq!(now.sides, [Some(sum), None]);
        let mut next = read(5, [Some(vec![]), None]);
        carried.add_to(&mut next);
        assert_eq!((next.outcomes, next.sides), ([counter(12); 5], [Some(vec![]), None]));
    }
}
