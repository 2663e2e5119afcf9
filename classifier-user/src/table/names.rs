//! What ASes are called.

use std::collections::HashMap;

use crate::model::Asn;

/// AS names by number: one text for all of them, because ninety thousand small strings take twice the memory.
#[derive(Clone, Debug, Default)]
pub struct Names {
    text: String,
    /// Where in `text` a name is: its beginning and its length.
    places: HashMap<Asn, (u32, u32)>,
    /// Bytes of `text` that no name uses any more.
    dead: usize,
}

/// How many names [`Names::nearest`] gives.
const SUGGESTIONS: usize = 3;
/// Names less like what was asked for than this are no suggestions (Jaro-Winkler).
const LIKENESS: f64 = 0.75;

impl Names {
    /// The name of an AS.
    #[must_use]
    pub fn get(&self, asn: Asn) -> Option<&str> {
        self.at(*self.places.get(&asn)?)
    }

    /// Gives an AS its name, in place of the one before. A name beyond the first 4 GiB of names is not taken.
    pub fn insert(&mut self, asn: Asn, name: &str) {
        if self.get(asn) == Some(name) {
            return;
        }
        let (Ok(start), Ok(length)) = (u32::try_from(self.text.len()), u32::try_from(name.len())) else {
            return;
        };
        self.text.push_str(name);
        if let Some((_, length)) = self.places.insert(asn, (start, length)) {
            self.dead += length as usize;
        }
        if self.dead > 4096 && self.dead > self.text.len() / 2 {
            self.compact();
        }
    }

    /// Gives an AS its name if it has none.
    pub fn insert_new(&mut self, asn: Asn, name: &str) {
        if !self.places.contains_key(&asn) {
            self.insert(asn, name);
        }
    }

    /// Takes over all names of `others`, in place of those that are here.
    pub fn extend(&mut self, others: &Self) {
        for (asn, name) in others.iter() {
            self.insert(asn, name);
        }
    }

    /// Gives memory back that only growing needs.
    pub fn shrink_to_fit(&mut self) {
        self.compact();
        self.places.shrink_to_fit();
    }

    /// How many ASes have a name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no AS has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Asn, &str)> {
        self.places.iter().filter_map(|(&asn, &place)| Some((asn, self.at(place)?)))
    }

    /// The ASes whose name contains `text`, whatever the case: those that are called exactly so first, then those
    /// that begin so, then the others; within these the shorter name first, then the lower number.
    #[must_use]
    pub fn search(&self, text: &str) -> Vec<(Asn, &str)> {
        let wanted = text.trim().to_lowercase();
        if wanted.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<_> = self
            .iter()
            .filter_map(|(asn, name)| {
                let lower = name.to_lowercase();
                let place = lower.find(&wanted)?;
                let class = if lower == wanted { 0 } else { 1 + u8::from(place > 0) };
                Some(((class, name.len(), asn), name))
            })
            .collect();
        found.sort_unstable();
        found.into_iter().map(|((_, _, asn), name)| (asn, name)).collect()
    }

    /// The few names most like `text`, for "did you mean": the likest first. A word of a name counts as the name.
    #[must_use]
    pub fn nearest(&self, text: &str) -> Vec<(Asn, &str)> {
        let wanted = text.trim().to_lowercase();
        let mut found: Vec<(f64, Asn, &str)> = Vec::new();
        for (asn, name) in self.iter() {
            let lower = name.to_lowercase();
            let whole = strsim::jaro_winkler(&lower, &wanted);
            let likeness = lower
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| word.len() > 2)
                .map(|word| strsim::jaro_winkler(word, &wanted) * 0.99)
                .fold(whole, f64::max);
            if likeness >= LIKENESS {
                found.push((likeness, asn, name));
            }
        }
        found
            .sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.2.len().cmp(&b.2.len())).then(a.1.cmp(&b.1)));
        found.truncate(SUGGESTIONS);
        found.into_iter().map(|(_, asn, name)| (asn, name)).collect()
    }

    fn at(&self, (start, length): (u32, u32)) -> Option<&str> {
        let start = start as usize;
        self.text.get(start..start + length as usize)
    }

    fn compact(&mut self) {
        let mut text = String::with_capacity(self.text.len() - self.dead);
        for (start, length) in self.places.values_mut() {
            let from = *start as usize;
            // Not beyond u32: the new text is no longer than the old one.
            *start = text.len() as u32;
            if let Some(name) = self.text.get(from..from + *length as usize) {
                text.push_str(name);
            }
        }
        self.text = text;
        self.dead = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let mut names = Names::default();
        for (asn, name) in [
            (2906, "Netflix Streaming Services Inc."),
            (40027, "Netflix Inc"),
            (15169, "Google LLC"),
            (396982, "Google LLC"),
            (5511, "Orange S.A."),
            (64496, "Not Netflix"),
            (64497, "orange"),
        ] {
            names.insert(asn, name);
        }
        names
    }

    #[test]
    fn the_last_name_counts_and_the_first_does_with_insert_new() {
        let mut names = names();
        names.insert(5511, "Opentransit");
        names.insert_new(5511, "Something else");
        names.insert_new(1, "One");
        assert_eq!((names.get(5511), names.get(1), names.get(2)), (Some("Opentransit"), Some("One"), None));
        assert_eq!(names.len(), 8);
    }

    #[test]
    fn old_names_take_no_memory_in_the_end() {
        let mut names = names();
        for round in 0..10_000 {
            names.insert(15169, &format!("Google {round}"));
        }
        assert!(names.text.len() < 20_000, "{}", names.text.len());
        names.shrink_to_fit();
        assert_eq!(names.text.len(), names.iter().map(|(_, name)| name.len()).sum::<usize>());
        assert_eq!(
            (names.get(15169), names.get(2906)),
            (Some("Google 9999"), Some("Netflix Streaming Services Inc."))
        );
    }

    #[test]
    fn search_puts_the_plainest_match_first() {
        let names = names();
        let asns = |text: &str| names.search(text).into_iter().map(|(asn, _)| asn).collect::<Vec<_>>();
        assert_eq!(asns("NETFLIX"), [40027, 2906, 64496]);
        assert_eq!(asns("Orange"), [64497, 5511]);
        assert_eq!(asns("google llc"), [15169, 396982]);
        assert_eq!(asns("nothing"), [0; 0]);
        assert_eq!(asns(" "), [0; 0]);
    }

    #[test]
    fn suggestions_are_near() {
        let names = names();
        assert_eq!(names.nearest("netflx")[0], (40027, "Netflix Inc"));
        assert_eq!(names.nearest("gogle")[0].1, "Google LLC");
        assert_eq!(names.nearest("xyzzy"), []);
    }
}
