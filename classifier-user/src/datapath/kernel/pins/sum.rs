//! What all generations counted together: the last one that has taken over what was before it, and those after it.

use std::collections::HashMap;

use classifier_common::{
    abi::{Hook, Side},
    counter::Counter,
};

use super::{
    super::sweep,
    PinError, Pins,
    generation::{Generation, owner_of},
    meta::{LAYOUT, Label, OLDEST_LAYOUT},
    records::{Carried, What},
};
use crate::{
    datapath::adopted::{AdoptedHook, AdoptedLink, LinkLabel},
    model::Owner,
};

// `Sums::counted` finds counters by the formulas of this layout. Before there is a second one, it must find those of older
// generations by the formulas of theirs (`Header::layout`), or an upgrade could not go on with what they counted.
const _: () = assert!(OLDEST_LAYOUT == LAYOUT);

#[derive(Default)]
struct HookSum {
    outcomes: [Counter; 5],
    sides: [HashMap<Owner, Counter>; 2],
}

#[derive(Default)]
struct Sums(Vec<(LinkLabel, [HookSum; 2])>);

impl Sums {
    fn of(&mut self, label: &LinkLabel) -> &mut [HookSum; 2] {
        let place = match self.0.iter().position(|(known, _)| known.same(label)) {
            Some(place) => place,
            None => {
                self.0.push((label.clone(), Default::default()));
                self.0.len() - 1
            }
        };
        &mut self.0[place].1
    }

    /// Adds what a generation was given of those before it.
    fn carried(&mut self, generation: &Generation) -> Result<(), PinError> {
        for Carried { label, hook, what, counter } in generation.carry()? {
            let Some(label) = generation.labels.get(usize::from(label)) else { continue };
            let Some(sum) = self.of(&label.link).get_mut(usize::from(hook)) else { continue };
            match what {
                What::Outcome(outcome) => {
                    if let Some(sum) = sum.outcomes.get_mut(usize::from(outcome)) {
                        *sum += counter;
                    }
                }
                What::Owner(side, owner) => {
                    if let Some(side) = sum.sides.get_mut(usize::from(side)) {
                        *side.entry(owner).or_default() += counter;
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds what a generation counted itself.
    fn counted(&mut self, generation: &Generation) -> Result<(), PinError> {
        let (classes, hooks, banks) = (generation.classes()?, generation.hooks()?, generation.banks()?);
        let layout = generation.header.banks;
        for (number, label) in (0..generation.header.links).zip(&generation.labels) {
            let bank = number * layout.entries();
            let sums = self.of(&label.link);
            for (hook, sum) in Hook::ALL.into_iter().zip(sums) {
                for side in Side::ALL {
                    if label.sides[hook as usize] & side.bit() == 0 {
                        continue;
                    }
                    let region = sweep::Region { bank, hook, side, layout };
                    for (class, counter) in sweep::read(&banks, region, &mut sweep::Seen::default(), true) {
                        // Every class that a FIB word ever said was written first.
                        if let Some(owner) = owner_of(&classes, class) {
                            *sum.sides[side as usize].entry(owner).or_default() += counter;
                        }
                    }
                }
                let outcomes = sweep::outcomes(&hooks, number, hook, layout.slices);
                for (sum, outcome) in sum.outcomes.iter_mut().zip(outcomes) {
                    *sum += outcome;
                }
            }
        }
        Ok(())
    }
}

/// Brings what all older generations counted into `own`, whose programs are on every hook by now, and takes those
/// away. Nothing counts into the older ones any more. Gives what it was.
pub(in crate::datapath::kernel) fn sum(
    pins: &Pins,
    own: &mut Generation,
) -> Result<Vec<AdoptedLink>, PinError> {
    let mut older = Vec::new();
    let mut obsolete = Vec::new();
    for (_, path) in pins.generations().into_iter().filter(|(_, path)| *path != own.path) {
        match Generation::open(&path)? {
            Some(generation) => {
                if generation.header.settled {
                    obsolete.extend(older.drain(..).map(|generation: Generation| generation.path));
                }
                older.push(generation);
            }
            None => obsolete.push(path),
        }
    }
    let mut sums = Sums::default();
    for generation in &older {
        if generation.header.settled {
            sums.carried(generation)?;
        }
        sums.counted(generation)?;
    }
    let mut carried = Vec::new();
    let mut adopted = Vec::new();
    for (link, hooks) in sums.0 {
        let place = own.labels.iter().position(|label| label.link.same(&link)).or_else(|| {
            let (sides, attached) = ([0; 2], [false; 2]);
            own.labels.push(Label { link: link.clone(), ifindex: 0, sides, qdisc: false, attached });
            own.write_label(own.labels.len() - 1).ok().map(|()| own.labels.len() - 1)
        });
        let Some(label) = place.and_then(|place| u8::try_from(place).ok()) else {
            own.labels.pop();
            tracing::warn!("too many links were counted here: what {} had is left out", link.name);
            continue;
        };
        for (hook, sum) in (0..).zip(&hooks) {
            let outcomes = (0..).zip(sum.outcomes).filter(|(_, counter)| !counter.is_zero());
            carried.extend(outcomes.map(|(outcome, counter)| Carried {
                label,
                hook,
                what: What::Outcome(outcome),
                counter,
            }));
            for (side, owners) in (0..).zip(&sum.sides) {
                carried.extend(owners.iter().map(|(&owner, &counter)| Carried {
                    label,
                    hook,
                    what: What::Owner(side, owner),
                    counter,
                }));
            }
        }
        let hooks = hooks.map(|sum| AdoptedHook {
            outcomes: sum.outcomes,
            sides: sum.sides.map(|owners| owners.into_iter().collect()),
        });
        adopted.push(AdoptedLink { label: link, hooks });
    }
    own.settle(&carried)?;
    for generation in older {
        pins.remove(&generation.path);
    }
    for path in obsolete {
        pins.remove(&path);
    }
    Ok(adopted)
}
