use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::model::Class;

fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn delta(prefix: &str, class: Option<Class>) -> FibDelta {
    FibDelta { prefix: p(prefix), class }
}

#[test]
fn unmatched_classes_have_the_first_owners() {
    let classes = Classes::new(Granularity::Prefix, 100);
    for (number, family) in [(0, Family::Ipv4), (1, Family::Ipv6)] {
        assert_eq!(classes.owner_of(number), OwnerId(number));
        assert_eq!(classes.owner(OwnerId(number)), Owner::Unmatched(family));
    }
    assert_eq!((classes.owner_count(), classes.in_use()), (2, 2));
}

#[test]
fn a_new_origin_is_a_new_class_and_the_same_origin_is_nothing() {
    let mut classes = Classes::new(Granularity::Prefix, 100);
    let batch = classes.apply([(p("192.0.2.0/24"), Some(64500)), (p("2001:db8::/32"), Some(64501))]).unwrap();
    assert_eq!(batch.deltas, [delta("192.0.2.0/24", Some(2)), delta("2001:db8::/32", Some(3))]);
    assert!(batch.retired.is_empty());
    assert_eq!(classes.owner(classes.owner_of(3)), Owner::Route { prefix: p("2001:db8::/32"), asn: 64501 });

    let batch = classes.apply([(p("192.0.2.0/24"), Some(64500)), (p("198.51.100.0/24"), None)]).unwrap();
    assert_eq!((batch.deltas, batch.retired), (vec![], vec![]));

    let batch = classes.apply([(p("192.0.2.0/24"), Some(64502))]).unwrap();
    assert_eq!((batch.deltas, batch.retired), (vec![delta("192.0.2.0/24", Some(4))], vec![2]));
    assert_eq!(classes.owner(classes.owner_of(4)), Owner::Route { prefix: p("192.0.2.0/24"), asn: 64502 });
    // Until class 2 is given to another its counts are still its owner's.
    classes.release(&[2]);
    assert_eq!(classes.owner(classes.owner_of(2)), Owner::Route { prefix: p("192.0.2.0/24"), asn: 64500 });
}

#[test]
fn a_class_is_free_only_when_it_was_released() {
    let mut classes = Classes::new(Granularity::Prefix, 100);
    classes.apply([(p("192.0.2.0/24"), Some(64500))]).unwrap();
    assert_eq!(classes.apply([(p("192.0.2.0/24"), None)]).unwrap().retired, [2]);
    assert_eq!(classes.in_use(), 3);
    let batch = classes.apply([(p("198.51.100.0/24"), Some(64501))]).unwrap();
    assert_eq!(batch.deltas, [delta("198.51.100.0/24", Some(3))]);
    classes.release(&[2]);
    assert_eq!(classes.in_use(), 3);
    let batch = classes.apply([(p("203.0.113.0/24"), Some(64502))]).unwrap();
    assert_eq!(batch.deltas, [delta("203.0.113.0/24", Some(2))]);
    // The first owner comes back: another class, its own number.
    let batch = classes.apply([(p("192.0.2.0/24"), Some(64500))]).unwrap();
    assert_eq!(batch.deltas, [delta("192.0.2.0/24", Some(4))]);
    assert_eq!((classes.owner_of(4), classes.owner_count()), (OwnerId(2), 5));
}

#[test]
fn a_withdrawn_owner_has_its_class_back_while_it_is_retiring() {
    let mut classes = Classes::new(Granularity::Prefix, 100);
    classes.apply([(p("192.0.2.0/24"), Some(64500))]).unwrap();
    assert_eq!(classes.apply([(p("192.0.2.0/24"), None)]).unwrap().retired, [2]);
    let batch = classes.apply([(p("192.0.2.0/24"), Some(64500))]).unwrap();
    assert_eq!((batch.deltas, batch.retired), (vec![delta("192.0.2.0/24", Some(2))], vec![]));
    // The sweep that releases it was on its way.
    classes.release(&[2]);
    let batch = classes.apply([(p("198.51.100.0/24"), Some(64501))]).unwrap();
    assert_eq!(batch.deltas, [delta("198.51.100.0/24", Some(3))]);

    // Retired twice before the first retirement comes back: only the second one frees it.
    assert_eq!(classes.apply([(p("192.0.2.0/24"), None)]).unwrap().retired, [2]);
    classes.apply([(p("192.0.2.0/24"), Some(64500))]).unwrap();
    assert_eq!(classes.apply([(p("192.0.2.0/24"), None)]).unwrap().retired, [2]);
    classes.release(&[2]);
    assert_eq!(classes.in_use(), 4);
    classes.release(&[2]);
    assert_eq!(classes.in_use(), 3);
    classes.release(&[2, 3, 0, 77]);
    assert_eq!(classes.in_use(), 3);
}

#[test]
fn the_last_change_of_a_prefix_wins_within_a_batch() {
    let mut classes = Classes::new(Granularity::Prefix, 100);
    let prefix = p("192.0.2.0/24");
    classes.apply([(prefix, Some(64500))]).unwrap();
    let batch = classes.apply([(prefix, None), (prefix, Some(64500))]).unwrap();
    assert_eq!(batch.deltas.last(), Some(&delta("192.0.2.0/24", Some(2))));
    assert!(batch.retired.is_empty());
    let batch = classes.apply([(prefix, Some(64501)), (prefix, Some(64500)), (prefix, None)]).unwrap();
    assert_eq!(batch.deltas.last(), Some(&delta("192.0.2.0/24", None)));
    assert_eq!(batch.retired, [2, 3]);
}

#[test]
fn an_as_has_a_class_a_family() {
    let mut classes = Classes::new(Granularity::As, 100);
    let batch = classes
        .apply([
            (p("192.0.2.0/24"), Some(64500)),
            (p("198.51.100.0/24"), Some(64500)),
            (p("2001:db8::/32"), Some(64500)),
            (p("203.0.113.0/24"), Some(64501)),
        ])
        .unwrap();
    let given: Vec<Option<Class>> = batch.deltas.iter().map(|delta| delta.class).collect();
    assert_eq!(given, [Some(2), Some(2), Some(3), Some(4)]);
    assert_eq!(classes.owner(classes.owner_of(3)), Owner::As { family: Family::Ipv6, asn: 64500 });

    let batch = classes.apply([(p("192.0.2.0/24"), None), (p("203.0.113.0/24"), Some(64500))]).unwrap();
    assert_eq!(batch.deltas, [delta("192.0.2.0/24", None), delta("203.0.113.0/24", Some(2))]);
    assert_eq!(batch.retired, [4]);
    let batch = classes.apply([(p("198.51.100.0/24"), None), (p("203.0.113.0/24"), None)]).unwrap();
    assert_eq!(batch.retired, [2]);
}

#[test]
fn out_of_classes_says_how_many_and_changes_nothing() {
    for granularity in [Granularity::Prefix, Granularity::As] {
        let mut classes = Classes::new(granularity, 4);
        classes.apply([(p("192.0.2.0/24"), Some(64500)), (p("198.51.100.0/24"), Some(64501))]).unwrap();
        let error = classes
            .apply([
                (p("192.0.2.0/24"), Some(64502)),
                (p("192.0.2.0/24"), None),
                (p("203.0.113.0/24"), Some(64503)),
                (p("198.51.100.0/24"), Some(64500)),
            ])
            .unwrap_err();
        let needed = if granularity == Granularity::Prefix { 7 } else { 6 };
        assert_eq!(error, ClassesError::OutOfClasses { needed, capacity: 4 });
        assert_eq!(classes.in_use(), 4);
        let batch =
            classes.apply([(p("192.0.2.0/24"), Some(64500)), (p("198.51.100.0/24"), Some(64501))]).unwrap();
        assert_eq!(batch.deltas, []);
        let batch = classes.apply([(p("192.0.2.0/24"), None), (p("198.51.100.0/24"), None)]).unwrap();
        assert_eq!(batch.retired, [2, 3]);
        classes.release(&batch.retired);
        let batch = classes.apply([(p("203.0.113.0/24"), Some(64503)), (p("10.0.0.0/8"), Some(1))]).unwrap();
        let mut given: Vec<Option<Class>> = batch.deltas.iter().map(|delta| delta.class).collect();
        given.sort_unstable();
        assert_eq!(given, [Some(2), Some(3)]);
    }
}

proptest! {
    /// Against a plain model: after each batch every announced prefix has the class of its owner, no two owners
    /// share one, and no class passes to another owner before all its retirements came back.
    #[test]
    fn a_class_has_one_owner_at_a_time(
        by_as in any::<bool>(),
        capacity in 6u32..20,
        batches in vec((vec((0u8..6, 0u8..2, prop::option::of(1u32..4)), 1..6), any::<bool>(), any::<bool>()), 1..30),
    ) {
        let granularity = if by_as { Granularity::As } else { Granularity::Prefix };
        let mut classes = Classes::new(granularity, capacity);
        let mut routes: BTreeMap<Prefix, Asn> = BTreeMap::new();
        let mut fib: BTreeMap<Prefix, Class> = BTreeMap::new();
        let mut sent: Vec<Class> = Vec::new();
        let mut held: BTreeMap<Class, Owner> = BTreeMap::new();
        for (changes, release, refused) in batches {
            let changes: Vec<(Prefix, Option<Asn>)> = changes
                .into_iter()
                .map(|(n, v6, asn)| (p(&if v6 == 1 { format!("2001:db8:{n}::/48") } else { format!("192.0.{n}.0/24") }), asn))
                .collect();
            match classes.propose(changes.iter().copied()) {
                Ok((batch, undo)) if refused => {
                    let in_use = classes.in_use();
                    classes.undo(&batch, undo);
                    prop_assert!(classes.in_use() <= in_use);
                }
                Ok((batch, _)) => {
                    for (prefix, asn) in changes {
                        match asn {
                            Some(asn) => routes.insert(prefix, asn),
                            None => routes.remove(&prefix),
                        };
                    }
                    for FibDelta { prefix, class } in batch.deltas {
                        match class {
                            Some(class) => {
                                let owner = classes.owner(classes.owner_of(class));
                                prop_assert_eq!(*held.entry(class).or_insert(owner), owner);
                                fib.insert(prefix, class)
                            }
                            None => fib.remove(&prefix),
                        };
                    }
                    sent.extend(batch.retired);
                }
                Err(ClassesError::OutOfClasses { needed, .. }) => prop_assert!(needed > capacity),
            }
            prop_assert_eq!(fib.len(), routes.len());
            for (prefix, class) in &fib {
                let asn = routes[prefix];
                let owner = match granularity {
                    Granularity::Prefix => Owner::Route { prefix: *prefix, asn },
                    Granularity::As => Owner::As { family: Family::of(prefix), asn },
                };
                prop_assert_eq!(classes.owner(classes.owner_of(*class)), owner);
                prop_assert!(*class >= FIRST_CLASS && *class < capacity);
            }
            if release {
                classes.release(&sent);
                sent.clear();
                held.retain(|class, _| fib.values().any(|used| used == class));
                let used: std::collections::BTreeSet<&Class> = fib.values().collect();
                prop_assert_eq!(classes.in_use() as usize, used.len() + 2);
            }
        }
    }
}
