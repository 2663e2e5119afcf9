//! What was counted before this agent, for the totals and for the history.

use crate::{
    datapath::adopted::{Adopted, AdoptedHook, LinkLabel},
    fib::classes::{Classes, Granularity},
    history::recorder::{Base, LinkKey},
    model::{Counter, Hook, Link, Locality, OwnerId, Role},
    totals::{
        HookDelta, SweepDelta,
        packed::Packed,
        resume::{Before, BeforeHook},
    },
};

/// Gives all owners their numbers, and every link of the agent its part; what other links had goes to the history only.
pub(super) fn adopt(adopted: Adopted, links: &[Link], classes: &mut Classes) -> (Before, Base) {
    let Adopted { count, since, recorded_here, links: found, .. } = adopted;
    let mut before = Before { since, links: vec![<[BeforeHook; 2]>::default(); links.len()] };
    let mut all = vec![HookDelta::default(); links.len() * 2];
    let mut others = Vec::new();
    for link in found {
        let label = link.label;
        let hooks = link.hooks.map(|hook| numbered(hook, classes));
        let deltas = Hook::ALL.map(|hook| remote(label.role, hook, &hooks[hook as usize]));
        match links.iter().position(|own| LinkLabel::of(own).same(&label)) {
            Some(place) => {
                for (into, delta) in all.iter_mut().skip(place * 2).zip(deltas) {
                    *into = delta;
                }
                if let Some(into) = before.links.get_mut(place) {
                    *into = hooks;
                }
            }
            None => {
                let LinkLabel { name, role, kind } = label;
                others.push(LinkKey { name, role, kind });
                all.extend(deltas);
            }
        }
    }
    let by_as = classes.granularity() == Granularity::As;
    let base = Base { count, since, recorded_here, others, all: SweepDelta { hooks: all.into() }, by_as };
    (before, base)
}

fn numbered(hook: AdoptedHook, classes: &mut Classes) -> BeforeHook {
    let sides = hook.sides.map(|owners| {
        let mut owners: Vec<(OwnerId, Counter)> =
            owners.into_iter().map(|(owner, counter)| (classes.adopt(owner), counter)).collect();
        owners.sort_unstable_by_key(|(id, _)| *id);
        owners
    });
    BeforeHook { outcomes: hook.outcomes, sides }
}

/// The history keeps the remote side.
fn remote(role: Role, hook: Hook, had: &BeforeHook) -> HookDelta {
    let side = role.side(hook, Locality::Remote);
    let owners = had.sides[side as usize].iter().map(|(id, counter)| (id.0, *counter));
    // By which ways it went nobody knows any more.
    HookDelta { outcomes: had.outcomes, remote: Packed::new(owners, &mut Vec::new()), ..HookDelta::default() }
}
