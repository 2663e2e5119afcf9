//! What groups counted.

use std::sync::Arc;

use super::directory::{AsIndex, Directory};
use crate::{model::Asn, table::groups::Groups};

/// Bytes of groups, kept apart from those of their ASes: they must not fall when an AS leaves a group.
#[derive(Debug, Default)]
pub(super) struct GroupTotals {
    pub(super) groups: Arc<Groups>,
    /// Keys of all groups there ever were.
    pub(super) keys: Vec<String>,
    /// By AS index: place in `keys`.
    of: Vec<Option<usize>>,
    /// By place in `keys`, by link and hook: bytes on the remote side.
    pub(super) bytes: Vec<Vec<u64>>,
}

impl GroupTotals {
    pub(super) fn set(&mut self, groups: Arc<Groups>, directory: &Directory, hooks: usize) {
        for group in groups.all() {
            if !self.keys.contains(&group.key) {
                self.keys.push(group.key.clone());
                self.bytes.push(vec![0; hooks]);
            }
        }
        self.groups = groups;
        self.of.clear();
        self.learn(directory);
    }

    fn learn(&mut self, directory: &Directory) {
        while self.of.len() < directory.len() {
            let asn: Asn = directory.asn(self.of.len() as AsIndex);
            let group = self.groups.of(asn).and_then(|place| self.groups.all().get(place));
            self.of.push(group.and_then(|group| self.keys.iter().position(|key| *key == group.key)));
        }
    }

    pub(super) fn add(&mut self, as_index: AsIndex, directory: &Directory, hook: usize, bytes: u64) {
        if self.of.len() <= as_index as usize {
            self.learn(directory);
        }
        let group = self.of.get(as_index as usize).copied().flatten();
        if let Some(sum) = group.and_then(|group| self.bytes.get_mut(group)?.get_mut(hook)) {
            *sum += bytes;
        }
    }
}
