//! Exact numbers of every answer, and what must hold whatever comes.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    answer::{CountMode, Granularity},
    query::QueryError,
    scrape::Scrape,
    testing::*,
    *,
};
use crate::{
    datapath::{LinkSweep, Sweep},
    model::{Counter, Owner, Role},
};

fn ask(pairs: &[(&str, &str)]) -> TopQuery {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let clock = Clock { now: jiff::Timestamp::UNIX_EPOCH, zone: jiff::tz::TimeZone::UTC };
    TopQuery::from_pairs(&pairs, &clock).unwrap()
}

#[test]
fn golden_top_by_as() {
    insta::assert_json_snapshot!(example().top(&TopQuery::default()).unwrap());
}

#[test]
fn golden_top_by_prefix_inward() {
    let query = ask(&[("by", "prefix"), ("direction", "in"), ("last", "1h"), ("n", "2")]);
    insta::assert_json_snapshot!(example().top(&query).unwrap());
}

#[test]
fn golden_top_by_group_inward() {
    insta::assert_json_snapshot!(example().top(&ask(&[("by", "group"), ("direction", "in")])).unwrap());
}

#[test]
fn golden_top_by_kind_inward() {
    insta::assert_json_snapshot!(example().top(&ask(&[("by", "kind"), ("direction", "in")])).unwrap());
}

#[test]
fn golden_top_by_link_inward() {
    insta::assert_json_snapshot!(example().top(&ask(&[("by", "link"), ("direction", "in")])).unwrap());
}

#[test]
fn golden_as() {
    insta::assert_json_snapshot!(example().asn("2906", &DetailQuery::default()).unwrap());
}

#[test]
fn golden_prefix() {
    let query = DetailQuery { direction: Some(Direction::In), ..DetailQuery::default() };
    insta::assert_json_snapshot!(example().prefix("45.57.0.0/17", &query).unwrap());
}

#[test]
fn golden_group() {
    let query = DetailQuery { direction: Some(Direction::In), ..DetailQuery::default() };
    insta::assert_json_snapshot!(example().group("Netflix", &query).unwrap());
}

#[test]
fn golden_links() {
    insta::assert_json_snapshot!(example().links());
}

#[test]
fn golden_status() {
    let mut status = example().status();
    // The size of our own structures is no contract.
    assert!(status.memory.sweep_bytes > 0);
    status.memory.sweep_bytes = 12_345;
    insta::assert_json_snapshot!(status);
}

/// rows + other + unmatched + non_ip = total, in every grouping, direction, side, period and link.
#[test]
fn every_top_adds_up() {
    let view = example();
    let mut seen = 0;
    for by in By::ALL.into_iter().filter(|by| !by.is_of_path()) {
        for side in [Locality::Remote, Locality::Local] {
            for links in [vec![], vec!["ix".to_owned()], vec!["customers".to_owned(), "transit".to_owned()]] {
                for (last, n) in [(5, 1), (60, 2), (300, 20), (3600, 1), (86_400, 3)] {
                    let when = When::Last(Duration::from_secs(last));
                    let links = links.clone();
                    let query = TopQuery { by, direction: None, side, links, when, compare: false, n };
                    let answer = view.top(&query).unwrap();
                    for (_, d) in answer.directions.iter() {
                        let parts = [&d.other, &d.unmatched, &d.non_ip];
                        let bytes = d.rows.iter().map(|row| row.bytes).sum::<u64>()
                            + parts.iter().map(|part| part.bytes).sum::<u64>();
                        let packets = d.rows.iter().map(|row| row.packets).sum::<u64>()
                            + parts.iter().map(|part| part.packets).sum::<u64>();
                        assert_eq!((packets, bytes), (d.total.packets, d.total.bytes), "{query:?}");
                        let shares = d.rows.iter().map(|row| row.share).sum::<f64>()
                            + parts.iter().map(|part| part.share).sum::<f64>();
                        assert!(d.total.bytes == 0 || (shares - 1.0).abs() < 1e-8, "{query:?}");
                        seen += usize::from(d.total.bytes > 0);
                    }
                }
            }
        }
    }
    // All but what `ix` sends, which is nothing.
    assert_eq!(seen, 5 * 2 * 5 * 5);
}

#[test]
fn a_period_before_the_start_begins_at_the_start() {
    let view = example();
    for (last, from) in [("24h", 0), ("661s", 0), ("60s", 605), ("5m", 360), ("5s", 655)] {
        let answer = view.top(&ask(&[("last", last)])).unwrap();
        assert_eq!(answer.from, view::timestamp(at(from)), "{last}");
        assert_eq!(answer.to, view::timestamp(at(660)));
    }
}

#[test]
fn nothing_asked_of_nothing() {
    let view = View::new(totals(links()), Arc::new(RwLock::new(Table::new())), || at(0));
    let answer = view.top(&TopQuery::default()).unwrap();
    assert_eq!((answer.from, answer.to), (view::timestamp(at(0)), view::timestamp(at(0))));
    let d = answer.directions.get(Direction::In).unwrap();
    assert_eq!((d.total.bytes, d.total.bits_per_second, d.rows.len(), d.other.share), (0, 0, 0, 0.0));
    let status = view.status();
    assert_eq!((status.coverage, status.closure_ok, status.sweeps.last), (None, true, None));
    assert!(view.healthy());
}

#[test]
fn as_by_name_or_number() {
    let view = example();
    let asn = |text: &str| view.asn(text, &DetailQuery::default()).map(|answer| answer.asn);
    assert_eq!(asn("2906"), Ok(2906));
    assert_eq!(asn("AS2906"), Ok(2906));
    assert_eq!(asn("streaming"), Ok(2906));
    assert_eq!(asn("GOOGLE LLC"), Ok(15169));
    // A route without a name, and a name without a route.
    assert_eq!(asn("65551"), Ok(65_551));
    // Two Netflixes: the one with more traffic first.
    let ambiguous = asn("netflix").unwrap_err();
    assert_eq!(
        ambiguous.to_string(),
        r#""netflix" is in the names of 2 ASes; say which: AS2906 Netflix Streaming Services, AS40027 Netflix Open Connect; or ask for the group netflix"#
    );
    assert_eq!(ambiguous.code(), "ambiguous");
    assert_eq!(
        asn("nteflix").unwrap_err().to_string(),
        r#"there is no AS "nteflix" here; near it: AS2906 Netflix Streaming Services, AS40027 Netflix Open Connect"#
    );
    assert_eq!(
        asn("2960").unwrap_err().to_string(),
        r#"there is no AS "2960" here; near it: AS2906 Netflix Streaming Services"#
    );
    assert_eq!(asn("0").unwrap_err().code(), "bad_parameter");
    assert_eq!(asn("4294967296").unwrap_err().code(), "bad_parameter");
    assert_eq!(asn(" ").unwrap_err().code(), "bad_parameter");
}

#[test]
fn prefix_takes_what_is_inside() {
    let view = example();
    let prefix = |text: &str| view.prefix(text, &DetailQuery::default());
    let seen = |text: &str| {
        let answer = prefix(text).unwrap();
        let bytes = answer.directions.get(Direction::In).unwrap().since_start.bytes;
        (answer.routes, answer.asn, bytes)
    };
    assert_eq!(seen("45.57.8.0/24"), (1, Some(40_027), 60_000));
    assert_eq!(seen("45.57.0.0/17"), (2, None, 600_000));
    assert_eq!(seen("8.8.8.0/24"), (1, Some(15_169), 300_000));
    assert_eq!(seen("2a00::/16"), (1, Some(2906), 180_000));
    assert_eq!(seen("0.0.0.0/0"), (6, None, 1_912_000));
    // AS 0 is no AS, but its prefix can be asked for.
    assert_eq!(seen("240.0.0.0/4"), (1, None, 12_000));
    assert_eq!(
        prefix("8.8.8.8/32").unwrap_err(),
        QueryError::NotFound {
            what: "route equal to or inside",
            given: "8.8.8.8/32".to_owned(),
            near: vec!["8.8.8.0/24".to_owned()],
        }
    );
    assert_eq!(prefix("8.8.8.8/24").unwrap_err().code(), "bad_parameter");
    assert_eq!(prefix("all").unwrap_err().code(), "bad_parameter");
}

#[test]
fn what_is_not_there_or_not_counted() {
    let view = example();
    let group = view.group("netflx", &DetailQuery::default()).unwrap_err();
    assert_eq!(group.to_string(), r#"there is no group "netflx" here; near it: netflix"#);
    let link = view.top(&ask(&[("link", "eth9")])).unwrap_err();
    assert_eq!(link.to_string(), r#"there is no link "eth9" here; near it: transit, ix, customers"#);
    assert_eq!(link.code(), "not_found");

    view.set_status(StatusInputs { count: CountMode::Remote, granularity: Granularity::As, ..status() });
    let local = view.top(&ask(&[("side", "local")])).unwrap_err();
    assert_eq!(
        local.to_string(),
        "the local side is not counted: the agent runs with --count remote (--count both counts it)"
    );
    assert_eq!(local.code(), "not_counted");
    assert_eq!(view.top(&ask(&[("by", "prefix")])).unwrap_err(), QueryError::NoPrefixes);
    assert_eq!(view.prefix("8.8.8.0/24", &DetailQuery::default()).unwrap_err(), QueryError::NoPrefixes);
    let netflix = view.asn("2906", &DetailQuery::default()).unwrap();
    assert_eq!(netflix.directions.get(Direction::In).unwrap().prefixes, None);
}

/// A class that is given to another owner leaves what it counted with the one before.
#[test]
fn counts_stay_with_the_owner() {
    let mut table = Table::new();
    let mut totals = totals(links());
    let mut kernel = Kernel::new(3);
    let frames = |bytes| Frames { ip: vec![(GOOGLE, CUSTOMER, counter(1, bytes))], ..Frames::default() };
    kernel.count(&table, 0, Hook::Rx, &frames(100));
    totals.record(&kernel.sweep(5), &table);

    table.owners.push(Owner::Route { prefix: "9.9.9.0/24".parse().unwrap(), asn: 19_281 });
    table.classes.insert(GOOGLE, OwnerId(table.owners.len() as u32 - 1));
    kernel.count(&table, 0, Hook::Rx, &frames(7000));
    totals.record(&kernel.sweep(10), &table);

    let view = View::new(totals, Arc::new(RwLock::new(table)), || at(10));
    let rows = |last| {
        let answer = view.top(&ask(&[("by", "prefix"), ("direction", "in"), ("last", last)])).unwrap();
        let rows = answer.directions.inward.unwrap().rows.into_iter();
        rows.map(|row| (row.prefix.unwrap(), row.asn.unwrap(), row.bytes)).collect::<Vec<_>>()
    };
    let quad9 = ("9.9.9.0/24".to_owned(), 19_281, 7000);
    assert_eq!(rows("1h"), [quad9.clone(), ("8.8.8.0/24".to_owned(), 15_169, 100)]);
    assert_eq!(rows("5s"), [quad9]);
}

#[test]
fn closure_is_what_came_during_the_sweep_or_nothing() {
    let table = Table::new();
    // (classes, outcomes) of a sweep, and whether that may be.
    let record = |steps: &[(u64, u64, bool)]| {
        let mut totals = totals(vec![link("a", Role::Upstream, None)]);
        for (i, &(classes, outcomes, ok)) in steps.iter().enumerate() {
            let mut counts = HookSweep { outcomes: [Counter::ZERO; 5], sides: [None, None] };
            counts.outcomes[0] = counter(outcomes, outcomes * 60);
            counts.outcomes[2] = counter(999, 99_999);
            counts.sides[Side::Source as usize] =
                Some(if classes > 0 { vec![(GOOGLE, counter(classes, classes * 60))] } else { vec![] });
            let links = vec![LinkSweep { link: LinkId(0), hooks: [Some(counts), None] }];
            let took = Duration::from_millis(1);
            totals.record(&Sweep { at: at(i as u64), took, links, released: vec![] }, &table);
            assert_eq!(totals.closure_ok(), ok, "step {i} of {steps:?}");
        }
    };
    // Two came while the first sweep was read, and are in the second.
    record(&[(10, 12, true), (2, 12, true), (0, 12, true)]);
    // Lost: what is missing came before the sweep did.
    record(&[(10, 12, true), (0, 12, false)]);
    record(&[(10, 12, true), (0, 13, false), (0, 15, false)]);
    // Counted twice.
    record(&[(10, 9, false)]);
    record(&[(10, 10, true), (5, 14, false)]);
}

#[test]
fn the_clock_may_be_set_back() {
    let table = Table::new();
    let mut totals = totals(links());
    let mut kernel = Kernel::new(3);
    let frames = Frames { ip: vec![(GOOGLE, CUSTOMER, counter(1, 500))], ..Frames::default() };
    for seconds in [5000, 5005, 5010, 1010, 1015] {
        kernel.count(&table, 0, Hook::Rx, &frames);
        totals.record(&kernel.sweep(seconds), &table);
    }
    let view = View::new(totals, Arc::new(RwLock::new(table)), || at(1015));
    let answer = view.top(&ask(&[("last", "10s"), ("direction", "in")])).unwrap();
    // The sweeps at 5005 and 5010 are now at 1005 and 1010, and so is the one that brought the news.
    assert_eq!(answer.from, view::timestamp(at(1005)));
    let total = answer.directions.inward.unwrap().total;
    assert_eq!((total.bytes, total.bits_per_second), (1500, 1200));
}

#[test]
fn the_agent_is_not_well_when_no_sweep_comes() {
    let table = Arc::new(RwLock::new(Table::new()));
    assert!(View::new(totals(links()), table.clone(), || at(30)).healthy());
    assert!(!View::new(totals(links()), table.clone(), || at(31)).healthy());
    let view = View::new(totals(links()), table, || at(60));
    view.set_status(StatusInputs { interval: Duration::from_secs(20), ..status() });
    assert!(view.healthy());
}

#[test]
fn a_groups_bytes_do_not_leave_with_an_as() {
    let table = Table::new();
    let mut totals = totals(links());
    totals.set_groups(Arc::new(groups()));
    let mut kernel = Kernel::new(3);
    let frames = Frames {
        ip: vec![(NETFLIX, CUSTOMER, counter(1, 500)), (NETFLIX_OLD, CUSTOMER, counter(1, 70))],
        ..Frames::default()
    };
    let mut step = |totals: &mut Totals, seconds| {
        kernel.count(&table, 0, Hook::Rx, &frames);
        totals.record(&kernel.sweep(seconds), &table);
        let scrape = totals.scrape();
        (scrape.groups.clone(), scrape.hooks[0].remote.as_ref().unwrap().groups.clone())
    };
    let names = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    assert_eq!(step(&mut totals, 5), (names(&["netflix", "google", "fastly"]), vec![570, 0, 0]));
    let groups = [("old", "Old", "content", &[40_027][..]), ("netflix", "Netflix", "content", &[2906])];
    totals.set_groups(Arc::new(groups_of(&groups)));
    assert_eq!(step(&mut totals, 10), (names(&["netflix", "google", "fastly", "old"]), vec![1070, 0, 0, 70]));
}

/// A table of AS numbers alone: class = owner, AS = class - 1.
struct Numbers;

impl Owners for Numbers {
    fn owner_of(&self, class: Class) -> OwnerId {
        OwnerId(class)
    }
    fn owner(&self, id: OwnerId) -> Owner {
        let family = if id.0.is_multiple_of(2) { Family::Ipv4 } else { Family::Ipv6 };
        // Two owners an AS; AS 0 is there too.
        if id.0 < 2 { Owner::Unmatched(family) } else { Owner::As { family, asn: id.0 / 2 - 1 } }
    }
    fn owner_count(&self) -> usize {
        64
    }
}

/// Every series of a scrape by its labels.
fn series(scrape: &Scrape) -> BTreeMap<String, Counter> {
    let mut series = BTreeMap::new();
    for hook in &scrape.hooks {
        let place = format!("{} {:?}", hook.link, hook.direction);
        for (outcome, counter) in hook.outcomes.iter().enumerate() {
            series.insert(format!("{place} outcome {outcome}"), *counter);
        }
        let remote = hook.remote.as_ref().unwrap();
        for (asn, counter) in scrape.asns.iter().zip(&remote.ases) {
            series.insert(format!("{place} as {asn}"), *counter);
        }
        for (asn, counter) in scrape.neighbors.iter().zip(&remote.neighbors) {
            series.insert(format!("{place} as neighbor {asn}"), *counter);
        }
        for (name, counter) in [
            ("other", remote.other),
            ("unmatched", remote.unmatched),
            ("non_ip", remote.non_ip),
            ("other neighbors", remote.other_neighbors),
            ("no path", remote.no_path),
        ] {
            series.insert(format!("{place} {name}"), counter);
        }
    }
    series
}

#[derive(Clone, Debug)]
struct Step {
    seconds: u64,
    /// By link and hook: (class, packets) on the remote side.
    classes: Vec<BTreeMap<Class, u64>>,
    non_ip: u64,
    /// How far outcomes are ahead of classes.
    ahead: u64,
    /// The neighbour that some owners have from then on.
    paths: BTreeMap<u32, u32>,
}

fn step() -> impl Strategy<Value = Step> {
    let classes = proptest::collection::btree_map(0_u32..64, 1_u64..1000, 0..20);
    let paths = proptest::collection::btree_map(2_u32..64, 0_u32..6, 0..10);
    (1_u64..200, proptest::collection::vec(classes, 4), 0_u64..10, 0_u64..5, paths)
        .prop_map(|(seconds, classes, non_ip, ahead, paths)| Step { seconds, classes, non_ip, ahead, paths })
}

proptest! {
    #[test]
    fn metrics_only_grow_and_always_add_up(
        steps in proptest::collection::vec(step(), 1..60),
        metrics_ases in 0_usize..12,
    ) {
        let links = vec![link("up", Role::Upstream, None), link("down", Role::Downstream, None)];
        let roles = [Role::Upstream, Role::Downstream];
        let limits = Limits { memory_bytes: 20_000, metrics_ases, metrics_neighbors: 3 };
        let mut totals = Totals::new(links, at(0), limits);
        let mut now = 0;
        let mut counted = [[Counter::ZERO; 3]; 4];
        let mut before = BTreeMap::new();
        for step in steps {
            now += step.seconds;
            for (&owner, &neighbor) in &step.paths {
                let origin = owner / 2 - 1;
                let path = [neighbor + 1000, 7, origin];
                let route = Attributes { path: path.into(), ..Attributes::default() };
                totals.learn([(OwnerId(owner), origin, (neighbor > 0).then_some(&route))]);
            }
            let mut hooks: Vec<Option<HookSweep>> = Vec::new();
            for (place, classes) in step.classes.iter().enumerate() {
                let (link, hook) = (place / 2, Hook::ALL[place % 2]);
                let classes: Vec<_> =
                    classes.iter().map(|(&class, &packets)| (class, counter(packets, packets * 99))).collect();
                for &(class, count) in &classes {
                    counted[place][class as usize % 2] += count;
                }
                counted[place][2] += counter(step.non_ip, step.non_ip * 60);
                let mut counts = HookSweep::default();
                counts.outcomes[..3].copy_from_slice(&counted[place]);
                counts.outcomes[0] += counter(step.ahead, step.ahead * 99);
                counts.sides[roles[link].side(hook, Locality::Remote) as usize] = Some(classes);
                hooks.push(Some(counts));
            }
            let links = hooks
                .chunks(2)
                .zip(0..)
                .map(|(hooks, link)| LinkSweep { link: LinkId(link), hooks: [hooks[0].clone(), hooks[1].clone()] })
                .collect();
            let sweep = Sweep { at: at(now), took: Duration::ZERO, links, released: vec![] };
            totals.record(&sweep, &Numbers);

            let scrape = totals.scrape();
            prop_assert!(scrape.asns.len() <= metrics_ases);
            prop_assert!(!scrape.asns.contains(&0));
            for hook in &scrape.hooks {
                let remote = hook.remote.as_ref().unwrap();
                let sum = remote.ases.iter().copied().sum::<Counter>()
                    + remote.other + remote.unmatched + remote.non_ip;
                prop_assert_eq!(sum, hook.outcomes.iter().copied().sum());
                let by_neighbor = remote.neighbors.iter().copied().sum::<Counter>()
                    + remote.other_neighbors + remote.no_path + remote.unmatched + remote.non_ip;
                prop_assert_eq!(sum, by_neighbor);
                // And that is everything that was counted.
                let place = hook.link * 2 + hook.hook as usize;
                prop_assert_eq!(sum, counted[place].iter().copied().sum());
            }
            let after = series(&scrape);
            for (name, old) in &before {
                let old: &Counter = old;
                let new = after.get(name);
                prop_assert!(
                    new.is_some_and(|new| new.packets >= old.packets && new.bytes >= old.bytes),
                    "{} fell from {:?} to {:?}", name, old, new
                );
            }
            for (name, new) in &after {
                if name.contains(" as ") && !before.contains_key(name) {
                    prop_assert_eq!(*new, Counter::ZERO, "{} does not begin at 0", name);
                }
            }
            before = after;
        }
    }

    /// Whatever the budget does to the memory, a period's sums are those of its sweeps.
    #[test]
    fn top_of_a_period_is_the_sum_of_its_sweeps(
        steps in proptest::collection::vec(step(), 1..80),
        memory_bytes in 1000_usize..50_000,
        last in 1_u64..4000,
    ) {
        let links = vec![link("up", Role::Upstream, None), link("down", Role::Downstream, None)];
        let limits = Limits { memory_bytes, metrics_ases: 3, ..Limits::default() };
        let mut totals = Totals::new(links, at(0), limits);
        let mut past: Vec<(u64, BTreeMap<Class, u64>)> = Vec::new();
        let mut now = 0;
        let mut sum = Counter::ZERO;
        for step in steps {
            let classes = step.classes.into_iter().next().unwrap();
            let mut counts = HookSweep::default();
            sum += counter(classes.values().sum(), classes.values().sum::<u64>() * 99);
            counts.outcomes[1] = sum;
            counts.sides[Side::Source as usize] =
                Some(classes.iter().map(|(&class, &packets)| (class, counter(packets, packets * 99))).collect());
            past.push((now, classes));
            now += step.seconds;
            let links = vec![LinkSweep { link: LinkId(0), hooks: [Some(counts), None] }];
            totals.record(&Sweep { at: at(now), took: Duration::ZERO, links, released: vec![] }, &Numbers);
        }
        let view = View::new(totals, Arc::new(RwLock::new(Numbers)), || at(0));
        let query = TopQuery {
            when: When::Last(Duration::from_secs(last)), direction: Some(Direction::In), n: 100, ..TopQuery::default()
        };
        let answer = view.top(&query).unwrap();
        let mut oracle = BTreeMap::<u32, u64>::new();
        for (begin, classes) in past {
            if view::timestamp(at(begin)) >= answer.from {
                for (class, packets) in classes {
                    *oracle.entry((class / 2).saturating_sub(1)).or_default() += packets;
                }
            }
        }
        let unmatched = oracle.remove(&0).unwrap_or(0);
        let d = answer.directions.inward.unwrap();
        prop_assert_eq!(d.unmatched.packets, unmatched);
        prop_assert_eq!(d.other.packets, 0);
        let rows: BTreeMap<_, _> = d.rows.iter().map(|row| (row.asn.unwrap(), row.packets)).collect();
        prop_assert_eq!(rows, oracle);
        prop_assert!(d.rows.is_sorted_by_key(|row| std::cmp::Reverse(row.bytes)));
        prop_assert!(d.rows.iter().map(|row| row.rank).eq(1..=d.rows.len() as u32));
    }
}

/// Every field of every answer is in docs/api.md.
#[test]
fn every_field_is_described() {
    fn fields(value: &serde_json::Value, names: &mut std::collections::BTreeSet<String>) {
        match value {
            serde_json::Value::Object(object) => {
                for (name, value) in object {
                    names.insert(name.clone());
                    fields(value, names);
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| fields(item, names)),
            _ => {}
        }
    }
    let view = example();
    let detail = DetailQuery::default();
    let mut answers = vec![
        serde_json::to_value(view.asn("2906", &detail).unwrap()),
        serde_json::to_value(view.prefix("8.8.8.0/24", &detail).unwrap()),
        serde_json::to_value(view.group("netflix", &detail).unwrap()),
        serde_json::to_value(view.links()),
        serde_json::to_value(view.status()),
    ];
    for by in By::ALL {
        answers.push(serde_json::to_value(view.top(&TopQuery { by, ..TopQuery::default() }).unwrap()));
    }
    let mut names = std::collections::BTreeSet::new();
    answers.into_iter().for_each(|answer| fields(&answer.unwrap(), &mut names));
    let page = include_str!("../../../docs/api.md");
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/api.md lacks {missing:?}");
    assert!(names.len() > 50, "{names:?}");
}
