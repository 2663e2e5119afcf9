//! Frames: the parser on the host and the programs in the kernel must say the same, and let everything pass.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{LazyLock, Mutex, PoisonError},
};

use classifier_common::parse::{Bytes, End, HEAD_LEN, Packet, Parsed, parse, plain};
use classifier_user::{
    datapath::{
        Datapath as _,
        kernel::{Entry, Kernel, Runner, Setup},
    },
    fib::{
        classes::{Classes, Granularity},
        sizes::sizes_for,
    },
    model::{Asn, Counter, Hook, LinkId, Outcome, Owners as _, Prefix, Side},
};

/// Prefixes in each other, and origins.
const ROUTES: [(&str, Asn); 11] = [
    ("0.0.0.0/1", 1),
    ("10.0.0.0/8", 2),
    ("10.1.2.0/24", 3),
    ("10.1.2.128/25", 4),
    ("10.1.2.129/32", 5),
    ("45.57.0.0/17", 2906),
    ("8.8.8.0/24", 15169),
    ("2000::/3", 6),
    ("2a00:86c0::/32", 2906),
    ("2001:4860::/32", 15169),
    ("2001:4860::/64", 7),
];

/// Verdicts that let a frame pass: `XDP_PASS`, and `TCX_NEXT`, which is `TC_ACT_UNSPEC`.
const PASS: [u32; 2] = [2, u32::MAX];

/// The kernel does not make longer test frames of one piece.
const LONGEST: usize = 3_500;

/// The programs in the kernel.
struct Programs {
    kernel: Kernel,
    runners: [(Entry, Hook, Runner); 3],
    classes: Classes,
    routes: Vec<(Prefix, Asn)>,
    outcomes: BTreeMap<Hook, [Counter; 5]>,
}

/// Loaded once. `None` where we may not: the parser alone is looked at then.
static PROGRAMS: LazyLock<Mutex<Option<Programs>>> = LazyLock::new(|| Mutex::new(Programs::load()));

/// A frame from its Ethernet header on.
pub(super) fn frame(bytes: &[u8]) {
    let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
    let whole = parse(&Bytes::new(bytes), None);
    assert_ne!(whole.packet, Err(End::Cut), "all of it is there");
    for outer in [None, Some(33)] {
        if let Some(plain) = plain(&Bytes::new(bytes), outer) {
            assert_eq!(plain, parse(&Bytes::new(bytes), outer));
        }
    }
    // Where only its head is readable it is read the same, or said to be cut.
    for shown in 0..bytes.len().min(HEAD_LEN + 2) {
        let cut = parse(&Bytes::cut(&bytes[..shown], bytes.len() as u32), None);
        assert!(
            cut.packet == Err(End::Cut) || cut.packet == whole.packet,
            "{shown} bytes: {cut:?}, {whole:?}"
        );
        assert!(shown < HEAD_LEN || cut == whole, "the head is enough: {cut:?}, {whole:?}");
    }
    if let Some(programs) = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        programs.agree(bytes, &whole);
    }
}

pub(super) fn kernel_is_there() -> bool {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

impl Programs {
    fn load() -> Option<Self> {
        let routes: Vec<(Prefix, Asn)> =
            ROUTES.iter().map(|(prefix, asn)| (prefix.parse().expect("a prefix"), *asn)).collect();
        let sizes = sizes_for(routes.iter().map(|(prefix, _)| *prefix));
        let mut classes = Classes::new(Granularity::Prefix, sizes.classes);
        let batch = classes.apply(routes.iter().map(|(prefix, asn)| (*prefix, Some(*asn)))).expect("classes");
        // Test runs come in on the loopback interface, which is number 1.
        let setup = Setup { link: LinkId(0), ifindex: 1, vlan: None, sides: [3, 3], extra_bytes: 0 };
        let mut kernel = Kernel::load(&sizes, &[setup])
            .inspect_err(|error| {
                eprintln!("only the parser is looked at, not the kernel's programs: {error}");
            })
            .ok()?;
        kernel.apply(&batch).expect("room in the FIB");
        let mut runner = |entry| kernel.runner(entry).expect("a program");
        let runners = [
            (Entry::Xdp, Hook::Rx, runner(Entry::Xdp)),
            (Entry::TcRx, Hook::Rx, runner(Entry::TcRx)),
            (Entry::TcTx, Hook::Tx, runner(Entry::TcTx)),
        ];
        Some(Self { kernel, runners, classes, routes, outcomes: BTreeMap::new() })
    }

    /// Runs a frame through each program: it passes as it is, and is counted once as the parser has it.
    fn agree(&mut self, bytes: &[u8], whole: &Parsed) {
        for (entry, hook, runner) in &mut self.runners {
            match runner.run_and_return(bytes) {
                Ok((ran, left)) => {
                    assert!(PASS.contains(&ran.verdict), "{entry:?}: verdict {}", ran.verdict);
                    assert_eq!(left, bytes, "{entry:?}: bytes were changed");
                }
                // Shorter than what the kernel's test runs take.
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(22), "{entry:?}: {error}");
                    continue;
                }
            }
            let sweep = self.kernel.sweep().expect("a sweep");
            let read = sweep.links[0].hooks[*hook as usize].as_ref().expect("a hook");
            let before = self.outcomes.insert(*hook, read.outcomes).unwrap_or_default();
            let one = Counter { packets: 1, bytes: bytes.len() as u64 };
            let mut expected = before;
            expected[outcome(whole) as usize] += one;
            assert_eq!(read.outcomes, expected, "{entry:?}: {whole:?}");
            for side in Side::ALL {
                let counted: Vec<(Option<Asn>, Counter)> = read.sides[side as usize]
                    .iter()
                    .flatten()
                    .map(|&(class, counter)| {
                        (self.classes.owner(self.classes.owner_of(class)).asn(), counter)
                    })
                    .collect();
                let address = whole.packet.ok().map(|packet| address(packet, side));
                let expected: Vec<_> =
                    address.into_iter().map(|address| (origin(&self.routes, address), one)).collect();
                assert_eq!(counted, expected, "{entry:?} {side:?}: {whole:?}");
            }
        }
    }
}

fn outcome(parsed: &Parsed) -> Outcome {
    match parsed.packet {
        Ok(Packet::V4 { .. }) => Outcome::Ipv4,
        Ok(Packet::V6 { .. }) => Outcome::Ipv6,
        Err(End::NonIp) => Outcome::NonIp,
        Err(End::Malformed) => Outcome::Malformed,
        Err(End::Unsupported | End::Cut) => Outcome::Unsupported,
    }
}

fn address(packet: Packet, side: Side) -> IpAddr {
    let v6 = |words: [u32; 4]| {
        Ipv6Addr::from_bits(words.into_iter().fold(0, |bits, word| bits << 32 | u128::from(word)))
    };
    match (packet, side) {
        (Packet::V4 { source, .. }, Side::Source) => Ipv4Addr::from_bits(source).into(),
        (Packet::V4 { destination, .. }, Side::Destination) => Ipv4Addr::from_bits(destination).into(),
        (Packet::V6 { source, .. }, Side::Source) => v6(source).into(),
        (Packet::V6 { destination, .. }, Side::Destination) => v6(destination).into(),
    }
}

/// By the longest prefix, looked for in the plainest way.
fn origin(routes: &[(Prefix, Asn)], address: IpAddr) -> Option<Asn> {
    let around = routes.iter().filter(|(prefix, _)| prefix.contains(address));
    around.max_by_key(|(prefix, _)| prefix.netmask()).map(|(_, asn)| *asn)
}
