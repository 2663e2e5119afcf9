//! Somebody else's programs and filters on the TC hooks: every frame is counted, or it is said which are not.

use classifier_user::{
    datapath::{
        Datapath as _,
        kernel::{Among, Kernel, OBJECT_HARNESS, TcChoice, XdpChoice},
    },
    model::{Hook, Mode},
};

use crate::{
    lab::{Peer, Raw, ifindex, in_namespace, run, veth},
    links::{frame, small},
    traffic::settle,
    world::{World, setup, tc},
};

/// Frames that are sent each way.
const FRAMES: u64 = 500;

/// What is counted each way beside the programs of `before` and `after`, which are put there before ours and after it, and
/// what is said of them.
fn counted(choice: TcChoice, before: &[(&str, Among)], after: &[(&str, Among)]) -> ([u64; 2], Vec<String>) {
    in_namespace(|| {
        let peer = Peer::new();
        veth(&peer, "r0", "p0", 1500);
        run("tc qdisc add dev r0 clsact");
        let index = ifindex("r0");
        let foreign = |there: &[(&str, Among)]| {
            let of = |hook, &(name, among): &(&str, Among)| {
                let mut kernel =
                    Kernel::load_object(OBJECT_HARNESS, &small(), &[setup(0, 9999, None)]).expect("harness");
                kernel.attach_classifier(name, "r0", hook, among).expect("a foreign program");
                kernel
            };
            there.iter().flat_map(|program| Hook::ALL.map(|hook| of(hook, program))).collect::<Vec<_>>()
        };
        let _first = foreign(before);
        let mut world = World::new(&[setup(0, index, None)]);
        world.kernel.choose_tc(choice);
        world.kernel.attach("r0", index, XdpChoice::Tc).expect("r0");
        let _later = foreign(after);
        peer.run(|| {
            let raw = Raw::new("p0");
            (0..FRAMES).for_each(|_| raw.send(&frame(None)));
        });
        let raw = Raw::new("r0");
        (0..FRAMES).for_each(|_| {
            raw.offer(&frame(None));
        });
        settle("r0");
        world.sweep();
        let said = world.kernel.beside();
        assert!(said.iter().all(|other| other.ifindex == index), "{said:?}");
        let counted = Hook::ALL.map(|hook| world.total(0, hook).packets);
        (counted, said.into_iter().map(|other| other.what).collect())
    })
}

/// Whatever was there before.
#[test]
fn behind_ours_nothing_changes_what_is_counted() {
    let filters = [Among::Filters(2), Among::Filters(0)];
    for (choice, places) in [
        (TcChoice::Auto, [Among::First, Among::Last].as_slice()),
        (TcChoice::Auto, &filters),
        (TcChoice::Clsact, &filters),
    ] {
        if choice == TcChoice::Auto && tc() == Mode::Tc && places != filters {
            continue;
        }
        for name in ["tc_accept", "tc_drop"] {
            for &place in places {
                let how = format!("{choice:?} {name} {place:?}");
                let (counted, said) = counted(choice, &[(name, place)], &[]);
                assert_eq!(counted, [FRAMES; 2], "{how}: {said:?}");
                // What was received was received, whatever becomes of it.
                assert_eq!(said.len(), 1, "{how}: {said:?}");
                let kind = if places == filters { "clsact filter (prio " } else { "tcx program (id " };
                assert!(said[0].starts_with(&format!("on transmit there is a {kind}")), "{how}: {said:?}");
                assert!(said[0].contains(name), "{how}: {said:?}");
                assert!(said[0].ends_with("what it drops or redirects is counted all the same"), "{said:?}");
            }
        }
    }
    let (counted, said) = counted(TcChoice::Auto, &[], &[]);
    assert_eq!((counted, said), ([FRAMES; 2], Vec::new()));
}

/// A filter of the very first priority, or what is put before ours later.
#[test]
fn what_is_before_ours_is_named() {
    let mut ways = vec![
        (TcChoice::Clsact, vec![("tc_accept", Among::Filters(1))], vec![]),
        (TcChoice::Clsact, vec![], vec![("tc_accept", Among::Filters(3))]),
    ];
    if tc() == Mode::Tcx {
        ways.push((TcChoice::Auto, vec![], vec![("tc_accept", Among::First)]));
        ways.push((TcChoice::Clsact, vec![("tc_accept", Among::Last)], vec![]));
    }
    for (choice, before, after) in ways {
        let how = format!("{choice:?} {before:?} {after:?}");
        let (counted, said) = counted(choice, &before, &after);
        assert_eq!(counted, [0; 2], "{how}");
        assert_eq!(said.len(), 2, "{how}: {said:?}");
        for (said, hook) in said.iter().zip(["receive", "transmit"]) {
            assert!(said.starts_with(&format!("on {hook} there is a ")), "{how}: {said}");
            assert!(said.contains("tc_accept"), "{how}: {said}");
            assert!(said.ends_with("accepts, drops or redirects itself is not counted"), "{how}: {said}");
        }
    }
}
