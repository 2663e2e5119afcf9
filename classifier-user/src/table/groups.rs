//! Groups: named sets of ASes that people see as one thing.

use std::collections::HashMap;

use crate::model::Asn;

/// A named set of ASes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The key, lower case, as on the command line: `netflix`.
    pub key: String,
    /// What people read: `Netflix`.
    pub name: String,
    /// What sort of network: `content`, `cdn`, `cloud`, `telecom`, …
    pub kind: String,
    /// Its ASes.
    pub asns: Vec<Asn>,
}

/// All groups. An AS is in one group at most.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: Vec<Group>,
    by_asn: HashMap<Asn, usize>,
}

impl Groups {
    /// Groups; of an AS that is in several, the first has it.
    #[must_use]
    pub fn new(groups: Vec<Group>) -> Self {
        let mut by_asn = HashMap::new();
        for (place, group) in groups.iter().enumerate() {
            for &asn in &group.asns {
                by_asn.entry(asn).or_insert(place);
            }
        }
        Self { groups, by_asn }
    }

    /// All groups, in the order of their file.
    #[must_use]
    pub fn all(&self) -> &[Group] {
        &self.groups
    }

    /// The group of an AS: its place in [`Groups::all`].
    #[must_use]
    pub fn of(&self, asn: Asn) -> Option<usize> {
        self.by_asn.get(&asn).copied()
    }

    /// The group of this key or name, whatever its case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Group> {
        self.groups
            .iter()
            .find(|group| group.key.eq_ignore_ascii_case(name) || group.name.eq_ignore_ascii_case(name))
    }
}
