//! What all generations counted together: the last one that has taken over what was before it, and those after it.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

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
                What::Replaced(_) => {}
            }
        }
        Ok(())
    }

    /// Adds all that a generation has to say.
    fn add(&mut self, generation: &Generation) -> Result<(), PinError> {
        self.carried(generation)?;
        self.counted(generation)
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

/// The generations besides one.
#[derive(Default)]
pub(in crate::datapath::kernel) struct Others {
    /// Those that have something to say, by their numbers, the oldest first.
    pub(in crate::datapath::kernel) said: Vec<(u64, Generation)>,
    /// Those that have not: what they counted is in others, or they were never whole.
    obsolete: Vec<(u64, PathBuf)>,
}

impl Others {
    /// All that are pinned besides `own`.
    pub(in crate::datapath::kernel) fn of(pins: &Pins, own: Option<&Generation>) -> Result<Self, PinError> {
        let mut others = Self::default();
        let mut settled = own.is_some_and(|own| own.header.settled);
        let mut replaced: HashSet<u64> =
            own.map(Generation::replaced).transpose()?.into_iter().flatten().collect();
        // Who replaces another is newer than that.
        for (number, path) in pins.generations().into_iter().rev() {
            if own.is_some_and(|own| own.path == path) {
                continue;
            }
            // What has nothing to say may be half removed: it is not read.
            let is_over = settled || replaced.contains(&number);
            let generation = if is_over { None } else { Generation::open(&path)? };
            match generation {
                Some(generation) => {
                    settled = generation.header.settled;
                    replaced.extend(generation.replaced()?);
                    others.said.push((number, generation));
                }
                None => others.obsolete.push((number, path)),
            }
        }
        others.said.reverse();
        Ok(others)
    }

    /// Takes those away that have nothing to say.
    pub(in crate::datapath::kernel) fn clear(&mut self, pins: &Pins) {
        self.obsolete.iter().for_each(|(_, path)| pins.remove(path));
        self.obsolete.retain(|(_, path)| path.exists());
    }
}

/// What was counted, as entries for `own`, which gets labels for links that it lacks; and by link.
fn entries(sums: Sums, own: &mut Generation) -> (Vec<Carried>, Vec<AdoptedLink>) {
    let mut carried = Vec::new();
    let mut adopted = Vec::new();
    for (link, hooks) in sums.0 {
        let place = own.labels.iter().position(|label| label.link.same(&link)).or_else(|| {
            let (sides, never) = ([0; 2], [false; 2]);
            let interface = String::new();
            own.labels.push(Label {
                link: link.clone(),
                ifindex: 0,
                interface,
                sides,
                qdisc: false,
                attached: never,
                missed: never,
            });
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
    (carried, adopted)
}

/// Brings what some older generations counted into `own`, which carries nothing yet: they have nothing more to say, and may be
/// taken away. Nothing counts into them any more; all the others stay as they are.
pub(in crate::datapath::kernel) fn fold(
    own: &mut Generation,
    idle: &[(u64, Generation)],
    others: &Others,
) -> Result<(), PinError> {
    let mut sums = Sums::default();
    for (_, generation) in idle {
        sums.add(generation)?;
    }
    let (mut carried, _) = entries(sums, own);
    // What those had replaced and could not be removed is replaced by this one now.
    let numbers =
        idle.iter().map(|(number, _)| *number).chain(others.obsolete.iter().map(|(number, _)| *number));
    carried.extend(numbers.map(Carried::replaced));
    own.fold(&carried)
}

/// Brings what all older generations counted into `own`, whose programs are on every hook by now, and takes those
/// away. Nothing counts into the older ones any more. Gives what it was.
pub(in crate::datapath::kernel) fn sum(
    pins: &Pins,
    own: &mut Generation,
) -> Result<Vec<AdoptedLink>, PinError> {
    let mut others = Others::of(pins, Some(own))?;
    let mut sums = Sums::default();
    for (_, generation) in &others.said {
        sums.add(generation)?;
    }
    sums.carried(own)?;
    let (carried, adopted) = entries(sums, own);
    own.settle(&carried)?;
    for (_, generation) in &others.said {
        pins.remove(&generation.path);
    }
    others.clear(pins);
    Ok(adopted)
}
