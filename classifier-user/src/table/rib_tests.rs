use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn change(text: &str, origin: Option<Asn>) -> Change {
    Change { prefix: prefix(text), origin }
}

const FILE: SourceId = SourceId(64);

#[test]
fn ranks_are_in_the_order_of_precedence() {
    let live = SourceId::live(0).unwrap();
    let (first, second) = (SourceId::file(0).unwrap(), SourceId::file(1).unwrap());
    assert!(SourceId::OVERRIDE < live && live < first && first < second && second < SourceId::BUILTIN);
    assert!(SourceId::live(SourceId::MAX_LIVE - 1).unwrap() < first);
    assert!(SourceId::file(SourceId::MAX_FILES - 1).unwrap() < SourceId::BUILTIN);
    assert_eq!((SourceId::live(SourceId::MAX_LIVE), SourceId::file(SourceId::MAX_FILES)), (None, None));
}

#[test]
fn the_longest_prefix_wins_before_the_source() {
    let mut rib = Rib::new();
    rib.update(SourceId::OVERRIDE, prefix("10.0.0.0/8"), Some(1.into()));
    rib.update(SourceId::BUILTIN, prefix("10.1.0.0/16"), Some(2.into()));
    let found = rib.lookup("10.1.2.3".parse().unwrap()).unwrap();
    assert_eq!((found.prefix, found.asn, found.source), (prefix("10.1.0.0/16"), 2, SourceId::BUILTIN));
    let found = rib.lookup("10.2.2.3".parse().unwrap()).unwrap();
    assert_eq!((found.prefix, found.asn, found.source), (prefix("10.0.0.0/8"), 1, SourceId::OVERRIDE));
    assert_eq!(rib.lookup("11.0.0.1".parse().unwrap()), None);
    assert_eq!(rib.lookup("2001:db8::1".parse().unwrap()), None);
}

#[test]
fn a_source_behind_another_shows_when_that_one_withdraws() {
    let mut rib = Rib::new();
    let net = prefix("2001:db8::/32");
    let moas = Origins::from_list(&[5, 4]).unwrap();
    assert_eq!(rib.update(SourceId::BUILTIN, net, Some(moas)), Some(change("2001:db8::/32", Some(5))));
    assert_eq!(rib.update(FILE, net, Some(7.into())), Some(change("2001:db8::/32", Some(7))));
    // Hidden behind the file, so nothing changes for the FIB.
    assert_eq!(rib.update(SourceId::BUILTIN, net, Some(Origins::from_list(&[6, 4, 5]).unwrap())), None);
    assert_eq!(rib.counts(), PrefixCounts { ipv4: 0, ipv6: 1 });
    assert_eq!(rib.all_of(&net).map(|found| found.asn).collect::<Vec<_>>(), [7, 6]);
    assert_eq!(rib.update(FILE, net, None), Some(change("2001:db8::/32", Some(6))));
    assert_eq!(rib.exact(&net).unwrap().origins, [6, 4, 5]);
    assert_eq!(rib.update(SourceId::BUILTIN, net, None), Some(change("2001:db8::/32", None)));
    assert_eq!(rib.update(SourceId::BUILTIN, net, None), None);
    assert_eq!(rib.counts(), PrefixCounts::default());
}

#[test]
fn the_same_table_again_changes_nothing() {
    let routes = || {
        vec![
            (prefix("10.0.0.0/8"), Origins::one(1)),
            (prefix("10.0.0.0/9"), Origins::from_list(&[3, 2]).unwrap()),
            (prefix("2001:db8::/32"), Origins::one(4)),
        ]
    };
    let mut rib = Rib::new();
    assert_eq!(rib.replace_source(FILE, routes()).len(), 3);
    assert_eq!(rib.replace_source(FILE, routes()), []);
    assert_eq!(rib.replace_source(FILE, routes()), []);

    let mut other = routes();
    other.remove(0);
    other[0].1 = Origins::from_list(&[2, 3]).unwrap();
    other.push((prefix("192.0.2.0/24"), Origins::one(9)));
    let changes = rib.replace_source(FILE, other);
    assert_eq!(
        changes,
        [change("10.0.0.0/9", Some(2)), change("192.0.2.0/24", Some(9)), change("10.0.0.0/8", None)]
    );
    assert_eq!(rib.source_counts(FILE), PrefixCounts { ipv4: 2, ipv6: 1 });
    assert_eq!(rib.replace_source(FILE, []).len(), 3);
    assert_eq!(rib.source_counts(FILE), PrefixCounts::default());
}

/// Prefixes from a space small enough that they nest and meet.
fn any_prefix() -> impl Strategy<Value = Prefix> {
    prop_oneof![
        (0u32..64, prop_oneof![Just(0u8), 8..=14u8, Just(32)]).prop_map(|(bits, length)| {
            let address = (10 << 24) | (bits << 18) | bits;
            Prefix::new_truncate(std::net::Ipv4Addr::from_bits(address), length).unwrap()
        }),
        (0u128..64, prop_oneof![Just(0u8), 32..=38u8, Just(128)]).prop_map(|(bits, length)| {
            let address = (0x2001_0db8u128 << 96) | (bits << 90) | bits;
            Prefix::new_truncate(std::net::Ipv6Addr::from_bits(address), length).unwrap()
        }),
    ]
}

fn any_origins() -> impl Strategy<Value = Origins> {
    proptest::collection::vec(0u32..6, 1..4).prop_map(|asns| Origins::from_list(&asns).unwrap())
}

#[derive(Clone, Debug)]
enum Step {
    Update(u8, Prefix, Option<Origins>),
    Replace(u8, Vec<(Prefix, Origins)>),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u8..4, any_prefix(), proptest::option::of(any_origins()))
            .prop_map(|(source, prefix, origins)| Step::Update(source, prefix, origins)),
        1 => (0u8..4, proptest::collection::btree_map(any_prefix(), any_origins(), 0..30))
            .prop_map(|(source, routes)| Step::Replace(source, routes.into_iter().collect())),
    ]
}

/// The same by brute force.
#[derive(Default)]
struct Oracle(BTreeMap<(u8, Prefix), Origins>);

impl Oracle {
    fn best(&self) -> BTreeMap<Prefix, (u8, Origins)> {
        let mut best = BTreeMap::new();
        for ((source, prefix), origins) in &self.0 {
            best.entry(*prefix).or_insert_with(|| (*source, origins.clone()));
        }
        best
    }

    fn lookup(&self, address: IpAddr) -> Option<(Prefix, u8, Origins)> {
        let best = self.best();
        let (prefix, (source, origins)) = best
            .iter()
            .filter(|(prefix, _)| prefix.contains(address))
            .max_by_key(|(prefix, _)| prefix.netmask())?;
        Some((*prefix, *source, origins.clone()))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_rib_is_what_brute_force_says(steps in proptest::collection::vec(any_step(), 1..40)) {
        let mut rib = Rib::new();
        let mut oracle = Oracle::default();
        // What somebody knows who only follows the changes.
        let mut follower: BTreeMap<Prefix, Asn> = BTreeMap::new();
        for step in steps {
            let changes = match step {
                Step::Update(source, prefix, origins) => {
                    match &origins {
                        Some(origins) => oracle.0.insert((source, prefix), origins.clone()),
                        None => oracle.0.remove(&(source, prefix)),
                    };
                    rib.update(SourceId(source), prefix, origins).into_iter().collect()
                }
                Step::Replace(source, routes) => {
                    oracle.0.retain(|(of, _), _| *of != source);
                    oracle.0.extend(routes.iter().map(|(prefix, origins)| ((source, *prefix), origins.clone())));
                    rib.replace_source(SourceId(source), routes)
                }
            };
            let mut told = BTreeSet::new();
            for change in changes {
                prop_assert!(told.insert(change.prefix), "one change a prefix");
                let before = match change.origin {
                    Some(asn) => follower.insert(change.prefix, asn),
                    None => follower.remove(&change.prefix),
                };
                prop_assert_ne!(before, change.origin, "only differences are told");
            }
            let best = oracle.best();
            let expected: BTreeMap<_, _> = best.iter().map(|(prefix, (_, o))| (*prefix, o.chosen())).collect();
            prop_assert_eq!(&follower, &expected);

            let listed: BTreeMap<_, _> =
                rib.iter().map(|f| (f.prefix, (f.source.0, Origins::from_list(f.origins).unwrap()))).collect();
            prop_assert_eq!(&listed, &best);
            prop_assert_eq!(rib.iter().count(), best.len());
            prop_assert_eq!(rib.counts().ipv4, best.keys().filter(|p| p.is_ipv4()).count());
            prop_assert_eq!(rib.counts().ipv6, best.keys().filter(|p| p.is_ipv6()).count());
            for prefix in best.keys() {
                let address = prefix.network_address();
                let found = rib.lookup(address)
                    .map(|f| (f.prefix, f.source.0, Origins::from_list(f.origins).unwrap()));
                prop_assert_eq!(found, oracle.lookup(address));
            }
        }
    }
}
