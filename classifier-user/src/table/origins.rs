//! The origin ASes of a route.

use crate::model::Asn;

/// The origin ASes of a prefix, the chosen one first. Mostly one; several where a prefix has multiple origins
/// (MOAS).
///
/// Whoever makes one puts the AS that shall be counted first: the AS that most entries of a dump name, or the first
/// one listed where the source does not say how often.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origins(Repr);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Repr {
    One(Asn),
    /// At least two, all different: the first one, and the others.
    Many(Box<[Asn]>),
}

impl Origins {
    /// A route with one origin.
    #[must_use]
    pub const fn one(asn: Asn) -> Self {
        Self(Repr::One(asn))
    }

    /// A route with these origins in this order; one named twice stays at its first place. `None` for none at all.
    #[must_use]
    pub fn from_list(asns: &[Asn]) -> Option<Self> {
        match asns {
            [] => None,
            [asn] => Some(Self::one(*asn)),
            [first, ..] => {
                let mut distinct: Vec<Asn> = Vec::new();
                for asn in asns {
                    if !distinct.contains(asn) {
                        distinct.push(*asn);
                    }
                }
                Some(if distinct.len() == 1 {
                    Self::one(*first)
                } else {
                    Self(Repr::Many(distinct.into_boxed_slice()))
                })
            }
        }
    }

    /// The origin that is counted.
    #[must_use]
    pub fn chosen(&self) -> Asn {
        match &self.0 {
            Repr::One(asn) => *asn,
            Repr::Many(asns) => asns.first().copied().unwrap_or_default(),
        }
    }

    /// All origins, the chosen one first.
    #[must_use]
    pub fn all(&self) -> &[Asn] {
        match &self.0 {
            Repr::One(asn) => std::slice::from_ref(asn),
            Repr::Many(asns) => asns,
        }
    }
}

impl From<Asn> for Origins {
    fn from(asn: Asn) -> Self {
        Self::one(asn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_repeats_are_dropped() {
        assert_eq!(Origins::from_list(&[]), None);
        assert_eq!(Origins::from_list(&[7, 7]), Some(Origins::one(7)));
        let several = Origins::from_list(&[9, 3, 9, 5, 3]).unwrap();
        assert_eq!((several.chosen(), several.all()), (9, &[9, 3, 5][..]));
        assert_eq!(size_of::<Origins>(), 16);
    }
}
