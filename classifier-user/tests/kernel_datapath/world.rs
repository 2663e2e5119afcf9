//! A small Internet for the tests, and sums of sweeps.

use std::collections::BTreeMap;

use classifier_user::{
    datapath::{
        Datapath as _, Sweep,
        kernel::{Kernel, Setup, has_tcx},
    },
    fib::{
        classes::{Classes, Granularity},
        sizes::sizes_for,
    },
    model::{Asn, Counter, Hook, LinkId, Mode, Outcome, Owners as _, Prefix, Side},
};

/// Prefixes and origins: those of the named frames, and those of the namespaces.
pub(crate) const ROUTES: [(&str, Asn); 8] = [
    ("45.57.0.0/17", 2906),
    ("8.8.8.0/24", 15169),
    ("2a00:86c0::/32", 2906),
    ("2001:4860::/32", 15169),
    ("10.9.0.0/16", 64500),
    ("10.9.0.2/32", 64502),
    ("10.9.1.0/25", 64510),
    ("2001:db8:9::/48", 64509),
];

/// Both sides at both hooks.
pub(crate) const BOTH: [u32; 2] = [3, 3];

/// How this kernel attaches TC programs: before 6.6 there is no TCX.
pub(crate) fn tc() -> Mode {
    if has_tcx().expect("it may be asked") { Mode::Tcx } else { Mode::Tc }
}

/// A datapath with the small Internet in its FIB.
pub(crate) struct World {
    pub(crate) kernel: Kernel,
    pub(crate) classes: Classes,
    outcomes: BTreeMap<(u16, Hook), [Counter; 5]>,
    by_asn: BTreeMap<(u16, Hook, Side, Option<Asn>), Counter>,
}

pub(crate) fn setup(link: u16, ifindex: u32, vlan: Option<u16>) -> Setup {
    Setup { link: LinkId(link), ifindex, vlan, sides: BOTH, extra_bytes: 0 }
}

impl World {
    pub(crate) fn new(setups: &[Setup]) -> Self {
        let routes: Vec<(Prefix, Option<Asn>)> =
            ROUTES.iter().map(|(prefix, asn)| (prefix.parse().expect("a prefix"), Some(*asn))).collect();
        let sizes = sizes_for(routes.iter().map(|(prefix, _)| *prefix));
        let mut classes = Classes::new(Granularity::Prefix, sizes.classes);
        let batch = classes.apply(routes.iter().copied()).expect("classes");
        let mut kernel = Kernel::load(&sizes, setups).unwrap_or_else(|error| panic!("{error}"));
        kernel.apply(&batch).expect("room in the FIB");
        Self { kernel, classes, outcomes: BTreeMap::new(), by_asn: BTreeMap::new() }
    }

    /// Sweeps, and adds up what came.
    pub(crate) fn sweep(&mut self) -> Sweep {
        let sweep = self.kernel.sweep().expect("a sweep");
        for link in &sweep.links {
            for (hook, read) in Hook::ALL.into_iter().zip(&link.hooks) {
                let Some(read) = read else { continue };
                self.outcomes.insert((link.link.0, hook), read.outcomes);
                for (side, deltas) in Side::ALL.into_iter().zip(&read.sides) {
                    for &(class, counter) in deltas.iter().flatten() {
                        let asn = self.classes.owner(self.classes.owner_of(class)).asn();
                        *self.by_asn.entry((link.link.0, hook, side, asn)).or_default() += counter;
                    }
                }
            }
        }
        self.classes.release(&sweep.released);
        sweep
    }

    /// Outcome counters of a link's hook so far.
    pub(crate) fn outcomes(&self, link: u16, hook: Hook) -> [Counter; 5] {
        self.outcomes.get(&(link, hook)).copied().unwrap_or_default()
    }

    /// All frames of a link's hook so far.
    pub(crate) fn total(&self, link: u16, hook: Hook) -> Counter {
        self.outcomes(link, hook).into_iter().sum()
    }

    /// What an AS has on a side; `None` is unmatched.
    pub(crate) fn counted(&self, link: u16, hook: Hook, side: Side, asn: Option<Asn>) -> Counter {
        self.by_asn.get(&(link, hook, side, asn)).copied().unwrap_or_default()
    }

    /// With traffic stopped: on each side, Σ classes = ipv4 + ipv6.
    pub(crate) fn assert_closed(&self) {
        for (&(link, hook), outcomes) in &self.outcomes {
            let ip = outcomes[Outcome::Ipv4 as usize] + outcomes[Outcome::Ipv6 as usize];
            for side in Side::ALL {
                let classes: Counter = self
                    .by_asn
                    .iter()
                    .filter(|((l, h, s, _), _)| (*l, *h, *s) == (link, hook, side))
                    .map(|(_, counter)| *counter)
                    .sum();
                assert_eq!(classes, ip, "link {link} {hook:?} {side:?}: Σ classes against ipv4 + ipv6");
            }
        }
    }
}

pub(crate) fn counter(packets: u64, bytes: u64) -> Counter {
    Counter { packets, bytes }
}
