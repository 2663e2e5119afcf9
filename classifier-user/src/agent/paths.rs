//! AS paths on their way to the totals: the path of a prefix is that of its best live route, whichever source's origin
//! counts; an override changes whose traffic it is, not which way it goes.

use std::sync::{Arc, PoisonError};

use super::core::Core;
use crate::{
    fib::classes::{Classes, Granularity},
    ingest::live::Attributes,
    model::{OwnerId, Owners as _, Prefix},
};

impl Core {
    /// Tells the totals by which routes these prefixes are reached from now on, the later one of two for the same.
    /// After what changed is in the FIB: their owners are those of now.
    pub(super) fn learn_paths(&mut self, routes: Vec<(Prefix, Option<Arc<Attributes>>)>) {
        if routes.is_empty() {
            return;
        }
        let classes = self.classes.read().unwrap_or_else(PoisonError::into_inner);
        if classes.granularity() == Granularity::As {
            // A class is of many prefixes there, which need not have the same path.
            return;
        }
        let of_owner = |(prefix, route)| {
            let owner = classes.current(&prefix)?;
            Some((owner, classes.owner(owner).asn()?, route))
        };
        let learnt: Vec<_> = routes.into_iter().filter_map(of_owner).collect();
        drop(classes);
        self.view.learn(&learnt);
    }

    /// Tells the totals the paths of prefixes that have other owners now.
    pub(super) fn look_up_paths(&mut self, prefixes: impl Iterator<Item = Prefix>) {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        if live.counts().total() == 0 {
            return;
        }
        let routes = prefixes.map(|prefix| (prefix, live.best(&prefix).cloned())).collect();
        drop(live);
        self.learn_paths(routes);
    }

    /// Tells the totals that nothing is counted for these owners any more.
    pub(super) fn forget_paths(&self, owners: &[OwnerId]) {
        let classes: std::sync::RwLockReadGuard<'_, Classes> =
            self.classes.read().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> =
            owners.iter().filter_map(|&owner| Some((owner, classes.owner(owner).asn()?, None))).collect();
        drop(classes);
        self.view.learn(&gone);
    }
}
