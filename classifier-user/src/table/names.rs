//! What ASes are called.

use std::collections::HashMap;

use crate::model::Asn;

/// AS names by number.
#[derive(Clone, Debug, Default)]
pub struct Names(HashMap<Asn, Box<str>>);

impl Names {
    /// The name of an AS.
    #[must_use]
    pub fn get(&self, asn: Asn) -> Option<&str> {
        self.0.get(&asn).map(AsRef::as_ref)
    }

    /// Gives an AS its name, in place of the one before.
    pub fn insert(&mut self, asn: Asn, name: &str) {
        self.0.insert(asn, name.into());
    }

    /// How many ASes have a name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no AS has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Asn, &str)> {
        self.0.iter().map(|(&asn, name)| (asn, name.as_ref()))
    }
}
