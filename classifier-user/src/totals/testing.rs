//! A small table and sweeps made by hand, for tests of totals and HTTP.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};

use super::{Limits, SourceInput, StatusInputs, Totals, View};
use crate::{
    datapath::{Attachment, HookSweep, LinkSweep, Memory, Sweep},
    model::{Class, Counter, Hook, Link, LinkId, LinkKind, Mode, Owner, OwnerId, Owners, Role, Side},
    table::{
        groups::{Group, Groups},
        names::Names,
    },
};

pub(crate) const NETFLIX: Class = 2;
pub(crate) const NETFLIX_V6: Class = 3;
pub(crate) const GOOGLE: Class = 4;
pub(crate) const APPLE: Class = 5;
pub(crate) const NETFLIX_OLD: Class = 6;
pub(crate) const UNROUTED: Class = 7;
pub(crate) const CUSTOMER: Class = 8;

/// Owners by number, and classes given to them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) owners: Vec<Owner>,
    pub(crate) classes: HashMap<Class, OwnerId>,
}

impl Table {
    /// Class and owner have the same number.
    pub(crate) fn new() -> Self {
        use crate::model::Family::{Ipv4, Ipv6};
        let route = |prefix: &str, asn| Owner::Route { prefix: prefix.parse().unwrap(), asn };
        let owners = vec![
            Owner::Unmatched(Ipv4),
            Owner::Unmatched(Ipv6),
            route("45.57.0.0/17", 2906),
            route("2a00:86c0::/32", 2906),
            route("8.8.8.0/24", 15169),
            route("17.0.0.0/8", 714),
            route("45.57.8.0/24", 40027),
            route("240.0.0.0/4", 0),
            route("198.51.100.0/24", 64500),
        ];
        let classes = (0..owners.len() as u32).map(|id| (id, OwnerId(id))).collect();
        Self { owners, classes }
    }
}

impl Owners for Table {
    fn owner_of(&self, class: Class) -> OwnerId {
        self.classes[&class]
    }
    fn owner(&self, id: OwnerId) -> Owner {
        self.owners[id.0 as usize]
    }
    fn owner_count(&self) -> usize {
        self.owners.len()
    }
}

/// 2026-01-02T00:00:00Z plus this.
pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_312_000 + seconds)
}

pub(crate) fn link(name: &str, role: Role, kind: Option<LinkKind>) -> Link {
    Link { name: name.to_owned(), interface: format!("if-{name}"), vlan: None, role, kind }
}

pub(crate) fn counter(packets: u64, bytes: u64) -> Counter {
    Counter { packets, bytes }
}

/// Frames of one hook: (source class, destination class, packets, bytes) of IP, and what is not IP.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    pub(crate) ip: Vec<(Class, Class, Counter)>,
    pub(crate) non_ip: Counter,
}

/// A datapath that counts what it is told, both sides.
#[derive(Debug)]
pub(crate) struct Kernel {
    outcomes: Vec<[[Counter; 5]; 2]>,
    sweep: Sweep,
}

impl Kernel {
    pub(crate) fn new(links: usize) -> Self {
        let mut kernel = Self {
            outcomes: vec![[[Counter::ZERO; 5]; 2]; links],
            sweep: Sweep {
                at: at(0),
                took: Duration::from_millis(3),
                links: Vec::new(),
                released: Vec::new(),
            },
        };
        kernel.clear();
        kernel
    }

    fn clear(&mut self) {
        let hook = || Some(HookSweep { outcomes: [Counter::ZERO; 5], sides: [Some(vec![]), Some(vec![])] });
        self.sweep.links = (0..self.outcomes.len() as u16)
            .map(|link| LinkSweep { link: LinkId(link), hooks: [hook(), hook()] })
            .collect();
    }

    /// Counts frames; IPv6 where the class's owner is.
    pub(crate) fn count(&mut self, table: &Table, link: usize, hook: Hook, frames: &Frames) {
        for &(source, destination, counter) in &frames.ip {
            let ipv6 = table.owner(table.owner_of(source)).family() == crate::model::Family::Ipv6;
            self.outcomes[link][hook as usize][usize::from(ipv6)] += counter;
            let sides = &mut self.sweep.links[link].hooks[hook as usize].as_mut().unwrap().sides;
            for (side, class) in [(Side::Source, source), (Side::Destination, destination)] {
                let classes = sides[side as usize].as_mut().unwrap();
                match classes.binary_search_by_key(&class, |&(class, _)| class) {
                    Ok(i) => classes[i].1 += counter,
                    Err(i) => classes.insert(i, (class, counter)),
                }
            }
        }
        self.outcomes[link][hook as usize][2] += frames.non_ip;
    }

    /// What was counted since the last sweep.
    pub(crate) fn sweep(&mut self, seconds: u64) -> Sweep {
        let mut sweep = self.sweep.clone();
        self.clear();
        sweep.at = at(seconds);
        for (link, outcomes) in sweep.links.iter_mut().zip(&self.outcomes) {
            for (hook, outcomes) in link.hooks.iter_mut().zip(outcomes) {
                hook.as_mut().unwrap().outcomes = *outcomes;
            }
        }
        sweep
    }
}

pub(crate) fn names() -> Names {
    let mut names = Names::default();
    for (asn, name) in [
        (2906, "Netflix Streaming Services"),
        (40027, "Netflix Open Connect"),
        (15169, "Google LLC"),
        (714, "Apple Inc."),
        (64500, "Our \"own\" network"),
        (65_551, "Google Nowhere"),
    ] {
        names.insert(asn, name);
    }
    names
}

/// Groups of (key, name, kind, ASes).
pub(crate) fn groups_of(groups: &[(&str, &str, &str, &[u32])]) -> Groups {
    let group = |&(key, name, kind, asns): &(&str, &str, &str, &[u32])| Group {
        key: key.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
        asns: asns.to_vec(),
    };
    Groups::new(groups.iter().map(group).collect())
}

pub(crate) fn groups() -> Groups {
    groups_of(&[
        ("netflix", "Netflix", "content", &[2906, 40027]),
        ("google", "Google", "content", &[15169]),
        ("fastly", "Fastly", "cdn", &[54113]),
    ])
}

pub(crate) fn status() -> StatusInputs {
    StatusInputs {
        router: "border1".to_owned(),
        version: "0.1.0".to_owned(),
        interval: Duration::from_secs(5),
        attachments: (0..3)
            .map(|link| Attachment { link: LinkId(link), modes: [Some(Mode::Native), Some(Mode::Tcx)] })
            .collect(),
        sources: vec![
            SourceInput {
                name: "overrides.txt".to_owned(),
                kind: "override".to_owned(),
                prefixes: 1,
                made: None,
                up: false,
                stale: 0,
            },
            SourceInput {
                name: "builtin".to_owned(),
                kind: "builtin".to_owned(),
                prefixes: 6,
                made: Some(at(0) - Duration::from_secs(86_400)),
                up: true,
                stale: 0,
            },
        ],
        ipv4_prefixes: 6,
        ipv6_prefixes: 1,
        memory: Memory { fib_bytes: 75_497_472, bank_bytes: 1_048_576 },
        warnings: vec!["overrides.txt:3: expected prefix and asn".to_owned()],
        ..StatusInputs::default()
    }
}

pub(crate) fn links() -> Vec<Link> {
    vec![
        link("transit", Role::Upstream, Some(LinkKind::Transit)),
        Link { vlan: Some(100), ..link("ix", Role::Upstream, Some(LinkKind::Ix)) },
        link("customers", Role::Downstream, None),
    ]
}

pub(crate) fn totals(links: Vec<Link>) -> Totals {
    Totals::new(links, at(0), Limits::default())
}

/// The frames of the example: see the numbers in the golden fixtures.
pub(crate) fn example_sweeps(table: &Table) -> Vec<Sweep> {
    let mut kernel = Kernel::new(3);
    let mut sweeps = Vec::new();
    // Ten minutes ago: Apple alone. Then quiet until the last minute.
    let frames = Frames { ip: vec![(APPLE, CUSTOMER, counter(1000, 1_000_000))], ..Frames::default() };
    kernel.count(table, 0, Hook::Rx, &frames);
    sweeps.push(kernel.sweep(60));
    for minute in 2..10 {
        sweeps.push(kernel.sweep(minute * 60));
    }
    for i in 0..12 {
        let rx = Frames {
            ip: vec![
                (NETFLIX, CUSTOMER, counter(30, 45_000)),
                (NETFLIX_OLD, CUSTOMER, counter(10, 5000)),
                (GOOGLE, CUSTOMER, counter(20, 25_000)),
                (UNROUTED, CUSTOMER, counter(1, 1000)),
                (0, CUSTOMER, counter(2, 1500)),
            ],
            non_ip: counter(1, 60),
        };
        kernel.count(table, 0, Hook::Rx, &rx);
        let ix = Frames { ip: vec![(NETFLIX_V6, 1, counter(10, 15_000))], ..Frames::default() };
        kernel.count(table, 1, Hook::Rx, &ix);
        let tx = Frames {
            ip: vec![(CUSTOMER, NETFLIX, counter(5, 500)), (CUSTOMER, GOOGLE, counter(4, 400))],
            non_ip: counter(1, 60),
        };
        kernel.count(table, 0, Hook::Tx, &tx);
        // The customers' link has the same once more.
        kernel.count(table, 2, Hook::Tx, &rx);
        kernel.count(table, 2, Hook::Rx, &tx);
        sweeps.push(kernel.sweep(600 + 5 * (i + 1)));
    }
    sweeps
}

/// The view of [`example_sweeps`], a second after the last.
pub(crate) fn example() -> View {
    let table = Table::new();
    let sweeps = example_sweeps(&table);
    let view = View::new(totals(links()), Arc::new(RwLock::new(table)), || at(661));
    view.set_status(status());
    view.set_tables(Arc::new(names()), Arc::new(groups()));
    for sweep in &sweeps {
        view.record(sweep);
    }
    view
}
