use super::*;
use crate::model::{FibDelta, Prefix};

const SIZES: Sizes = Sizes { classes: 64, v4_rows: 4, v6_rows: 4, v6_nodes: 16 };
const BOTH: u32 = Side::Destination.bit() | Side::Source.bit();

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

fn ipv4(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(source);
    packet.extend(destination);
    packet.extend([0; 8]);
    ethernet(0x0800, &packet)
}

fn ipv6(source: &str, destination: &str) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 59, 64];
    for address in [source, destination] {
        packet.extend(address.parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    ethernet(0x86dd, &packet)
}

fn announce(prefix: &str, class: Option<Class>) -> FibDelta {
    FibDelta { prefix: prefix.parse::<Prefix>().unwrap(), class }
}

fn counter(packets: u64, bytes: u64) -> Counter {
    Counter { packets, bytes }
}

fn hook(sweep: &Sweep, link: usize, hook: Hook) -> &HookSweep {
    sweep.links[link].hooks[hook as usize].as_ref().unwrap()
}

#[test]
fn frames_are_counted_by_outcome_and_by_class_on_each_side() {
    let mut fake = Fake::new(&SIZES, &[[BOTH, Side::Destination.bit()], [0, 0]]);
    let deltas = vec![
        announce("192.0.2.0/24", Some(2)),
        announce("192.0.2.128/25", Some(3)),
        announce("2001:db8::/48", Some(4)),
    ];
    // One root word for the IPv4 row of 256; one IPv6 row of 256 and its root word; one node of 16.
    let applied = fake.apply(&Batch { deltas, retired: vec![], ..Batch::default() }).unwrap();
    assert_eq!(applied.words_written, 257 + 257 + 16);

    let link = LinkId(0);
    fake.frame(link, Hook::Rx, &ipv4([192, 0, 2, 1], [192, 0, 2, 200]), 10);
    fake.frame(link, Hook::Rx, &ipv6("2001:db8::1", "2001:db8:1::1"), 3);
    fake.frame(link, Hook::Rx, &ethernet(0x0806, &[0; 46]), 2);
    fake.frame(link, Hook::Rx, &ethernet(0x0800, &[0x45; 4]), 1);
    fake.frame(link, Hook::Rx, &ethernet(0x8100, &[0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0]), 1);
    fake.super_frame(link, Hook::Tx, &ipv4([192, 0, 2, 1], [8, 8, 8, 8]), counter(44, 66_000));
    fake.frame(LinkId(1), Hook::Rx, &ipv4([192, 0, 2, 1], [192, 0, 2, 200]), 1);
    fake.frame(LinkId(2), Hook::Rx, &ipv4([192, 0, 2, 1], [192, 0, 2, 200]), 1);

    let sweep = fake.sweep().unwrap();
    let rx = hook(&sweep, 0, Hook::Rx);
    assert_eq!(
        rx.outcomes,
        [counter(10, 420), counter(3, 162), counter(2, 120), counter(1, 18), counter(1, 26)]
    );
    assert_eq!(
        rx.sides,
        [
            Some(vec![(1, counter(3, 162)), (3, counter(10, 420))]),
            Some(vec![(2, counter(10, 420)), (4, counter(3, 162))]),
        ]
    );
    let tx = hook(&sweep, 0, Hook::Tx);
    assert_eq!(tx.outcomes[Outcome::Ipv4 as usize], counter(44, 66_000));
    assert_eq!(tx.sides, [Some(vec![(0, counter(44, 66_000))]), None]);
    let other = hook(&sweep, 1, Hook::Rx);
    assert_eq!((other.outcomes[0], &other.sides), (counter(1, 42), &[None, None]));

    // Outcomes go on, classes begin anew.
    fake.frame(link, Hook::Rx, &ipv4([192, 0, 2, 1], [192, 0, 2, 200]), 1);
    let sweep = fake.sweep().unwrap();
    let rx = hook(&sweep, 0, Hook::Rx);
    assert_eq!(rx.outcomes[0], counter(11, 462));
    assert_eq!(rx.sides, [Some(vec![(3, counter(1, 42))]), Some(vec![(2, counter(1, 42))])]);
}

#[test]
fn retired_classes_come_back_with_the_sweep_that_has_their_last_counts() {
    let mut fake = Fake::new(&SIZES, &[[BOTH, BOTH]]);
    fake.apply(&Batch {
        deltas: vec![announce("192.0.2.0/24", Some(2))],
        retired: vec![],
        ..Batch::default()
    })
    .unwrap();
    let frame = ipv4([192, 0, 2, 1], [8, 8, 8, 8]);
    fake.frame(LinkId(0), Hook::Rx, &frame, 1);
    fake.apply(&Batch {
        deltas: vec![announce("192.0.2.0/24", Some(3))],
        retired: vec![2],
        ..Batch::default()
    })
    .unwrap();
    fake.frame(LinkId(0), Hook::Rx, &frame, 1);
    let sweep = fake.sweep().unwrap();
    let sources = hook(&sweep, 0, Hook::Rx).sides[Side::Source as usize].as_deref();
    assert_eq!(sources, Some(&[(2, counter(1, 42)), (3, counter(1, 42))][..]));
    assert_eq!(sweep.released, [2]);
    assert!(fake.sweep().unwrap().released.is_empty());
}

#[test]
fn a_batch_that_fails_leaves_the_fib_and_retires_nothing() {
    let mut fake = Fake::new(&SIZES, &[[BOTH, BOTH]]);
    let rows = (0..5).map(|i| announce(&format!("192.0.{i}.0/25"), Some(2))).collect();
    let error = fake.apply(&Batch { deltas: rows, retired: vec![5], ..Batch::default() }).unwrap_err();
    assert!(matches!(error, DatapathError::FibFull { what: "IPv4 rows", capacity: 4 }), "{error}");
    for batch in [
        Batch { deltas: vec![announce("192.0.2.0/24", Some(64))], retired: vec![], ..Batch::default() },
        Batch { deltas: vec![announce("192.0.2.0/24", Some(2))], retired: vec![1], ..Batch::default() },
    ] {
        let error = fake.apply(&batch).unwrap_err();
        assert!(matches!(error, DatapathError::ClassOutOfRange { classes: 64, .. }), "{error}");
    }
    fake.frame(LinkId(0), Hook::Rx, &ipv4([192, 0, 2, 1], [192, 0, 2, 1]), 1);
    let sweep = fake.sweep().unwrap();
    assert_eq!(hook(&sweep, 0, Hook::Rx).sides[0].as_deref(), Some(&[(0, counter(1, 42))][..]));
    assert!(sweep.released.is_empty());
}

#[test]
fn detached_counts_no_more_and_still_gives_what_was_counted() {
    let mut fake = Fake::new(&SIZES, &[[BOTH, BOTH]]);
    assert_eq!(fake.attachments()[0].modes, [Some(Mode::Native), Some(Mode::Tcx)]);
    assert_eq!(fake.memory().fib_bytes, ((1 << 24) + (1 << 21) + 256 + 8 * 256 + 16 * 16) * 4);
    let frame = ipv4([192, 0, 2, 1], [8, 8, 8, 8]);
    fake.frame(LinkId(0), Hook::Rx, &frame, 1);
    fake.detach().unwrap();
    fake.frame(LinkId(0), Hook::Rx, &frame, 1);
    assert_eq!(fake.attachments(), [Attachment { link: LinkId(0), modes: [None; 2] }]);
    assert_eq!(hook(&fake.sweep().unwrap(), 0, Hook::Rx).outcomes[0], counter(1, 42));
}

#[test]
fn larger_maps_have_all_that_the_small_ones_had() {
    let mut fake = Fake::new(&SIZES, &[[BOTH, BOTH]]);
    let nets = ["192.0.2.0/24", "192.0.2.128/25", "2001:db8::/48", "::/0"];
    let deltas = nets.into_iter().zip(2..).map(|(net, class)| announce(net, Some(class))).collect();
    fake.apply(&Batch { deltas, retired: vec![], ..Batch::default() }).unwrap();
    let frames = [ipv4([192, 0, 2, 1], [192, 0, 2, 200]), ipv6("2001:db8::1", "2001:db8:1::1")];
    let before = frames.each_ref().map(|frame| {
        fake.frame(LinkId(0), Hook::Rx, frame, 3);
        let sweep = fake.sweep().unwrap();
        hook(&sweep, 0, Hook::Rx).sides.clone()
    });
    let small = Sizes { v4_rows: 0, ..SIZES };
    assert!(matches!(fake.resize(&small), Err(DatapathError::FibFull { what: "IPv4 rows", capacity: 0 })));
    assert!(fake.resize(&Sizes { classes: 63, ..SIZES }).is_err(), "classes that count must stay");
    fake.frame(LinkId(0), Hook::Rx, &frames[0], 1);
    let large = Sizes { classes: 128, v4_rows: 400, v6_rows: 8, v6_nodes: 32 };
    fake.resize(&large).unwrap();
    assert_eq!(fake.sizes(), large);
    fake.frame(LinkId(0), Hook::Rx, &frames[0], 2);
    let sweep = fake.sweep().unwrap();
    assert_eq!(hook(&sweep, 0, Hook::Rx).sides, before[0]);
    fake.frame(LinkId(0), Hook::Rx, &frames[1], 3);
    assert_eq!(hook(&fake.sweep().unwrap(), 0, Hook::Rx).sides, before[1]);
    // What did not fit before, and a class that was not there.
    let deltas = (0..=255).map(|n| announce(&format!("10.0.{n}.128/25"), Some(127))).collect();
    fake.apply(&Batch { deltas, retired: vec![], ..Batch::default() }).unwrap();
}
