//! Several links at once, and who else is on an interface.

use classifier_user::{
    datapath::kernel::{Among, AttachError, Kernel, OBJECT_HARNESS, TcChoice, XdpChoice},
    model::{Hook, Mode, Side},
};

use crate::{
    frames,
    lab::{Peer, Raw, ifindex, in_namespace, run, veth},
    traffic::settle,
    world::{World, counter, setup, tc},
};

/// An IPv4 frame, tagged if asked.
pub(crate) fn frame(vlan: Option<u16>) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if let Some(vlan) = vlan {
        frame.extend([0x81, 0x00]);
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend([0x08, 0x00]);
    frame.extend(frames::ipv4(0, 0, 80));
    frame
}

#[test]
fn two_interfaces_and_the_vlans_of_a_trunk() {
    in_namespace(|| {
        let peer = Peer::new();
        veth(&peer, "r0", "p0", 1500);
        veth(&peer, "r1", "p1", 1500);
        let (plain, trunk) = (ifindex("r0"), ifindex("r1"));
        // Link 0: all of r0. Links 1 and 2: VLANs 100 and 200 of r1. Link 3: the rest of r1.
        let mut world = World::new(&[
            setup(0, plain, None),
            setup(1, trunk, Some(100)),
            setup(2, trunk, Some(200)),
            setup(3, trunk, None),
        ]);
        world.kernel.attach("r0", plain, XdpChoice::Auto).expect("r0");
        world.kernel.attach("r1", trunk, XdpChoice::Tc).expect("r1");
        let sent = [
            ("p0", None, 3),
            ("p0", Some(100), 5),
            ("p1", Some(100), 7),
            ("p1", Some(200), 11),
            ("p1", Some(300), 13),
            ("p1", None, 17),
        ];
        peer.run(move || {
            for (interface, vlan, times) in sent {
                let raw = Raw::new(interface);
                (0..times).for_each(|_| raw.send(&frame(vlan)));
            }
        });
        for (interface, vlan, times) in [("r0", Some(100), 2), ("r1", Some(200), 4), ("r1", None, 6)] {
            let raw = Raw::new(interface);
            (0..times).for_each(|_| raw.send(&frame(vlan)));
        }
        settle("r0");
        settle("r1");
        world.sweep();
        world.assert_closed();
        let (bare, tagged) = (frame(None).len() as u64, frame(Some(1)).len() as u64);
        assert_eq!(world.total(0, Hook::Rx), counter(8, 3 * bare + 5 * tagged));
        assert_eq!(world.total(1, Hook::Rx), counter(7, 7 * tagged));
        assert_eq!(world.total(2, Hook::Rx), counter(11, 11 * tagged));
        assert_eq!(world.total(3, Hook::Rx), counter(30, 13 * tagged + 17 * bare));
        assert_eq!(world.total(0, Hook::Tx), counter(2, 2 * tagged));
        assert_eq!(world.total(1, Hook::Tx), counter(0, 0));
        assert_eq!(world.total(2, Hook::Tx), counter(4, 4 * tagged));
        assert_eq!(world.total(3, Hook::Tx), counter(6, 6 * bare));
        assert_eq!(world.counted(2, Hook::Rx, Side::Destination, Some(15169)), counter(11, 11 * tagged));
    });
}

#[test]
fn vlans_that_are_no_link_are_not_accounted() {
    in_namespace(|| {
        let peer = Peer::new();
        veth(&peer, "r0", "p0", 1500);
        let index = ifindex("r0");
        let mut world = World::new(&[setup(0, index, Some(100))]);
        world.kernel.attach("r0", index, XdpChoice::Auto).expect("r0");
        peer.run(|| {
            let raw = Raw::new("p0");
            for vlan in [None, Some(100), Some(101), Some(0)] {
                raw.send(&frame(vlan));
            }
        });
        settle("r0");
        world.sweep();
        assert_eq!(world.total(0, Hook::Rx), counter(1, frame(Some(100)).len() as u64));
    });
}

#[test]
fn a_tag_in_metadata_counts_and_finds_its_link() {
    for choice in [TcChoice::Auto, TcChoice::Clsact] {
        in_namespace(|| {
            let peer = Peer::new();
            veth(&peer, "r0", "p0", 1500);
            let index = ifindex("r0");
            let mut world = World::new(&[setup(0, index, Some(100)), setup(1, index, None)]);
            world.kernel.choose_tc(choice);
            let mut harness =
                Kernel::load_object(OBJECT_HARNESS, &small(), &[setup(0, 9999, None)]).expect("harness");
            // It has to come before ours, which is the first of those that were there before. TCX runs before filters.
            world.kernel.attach("r0", index, XdpChoice::Auto).expect("r0");
            let among = if tc() == Mode::Tc { Among::Filters(1) } else { Among::First };
            harness.attach_classifier("tag_100", "r0", Hook::Tx, among).expect("tag_100");
            let raw = Raw::new("r0");
            (0..10).for_each(|_| raw.send(&frame(None)));
            settle("r0");
            world.sweep();
            world.assert_closed();
            assert_eq!(world.total(0, Hook::Tx), counter(10, 10 * (frame(None).len() as u64 + 4)));
            assert_eq!(world.total(1, Hook::Tx), counter(0, 0));
        });
    }
}

pub(crate) fn small() -> classifier_user::datapath::Sizes {
    classifier_user::datapath::Sizes { classes: 64, v4_rows: 1, v6_rows: 1, v6_nodes: 1 }
}

/// What is on the interface's hooks.
fn traces() -> [String; 4] {
    ["bpftool net", "tc filter show dev r0 ingress", "tc filter show dev r0 egress", "tc qdisc show dev r0"]
        .map(run)
}

#[test]
fn a_second_instance_and_a_foreign_program_are_refused_and_untouched() {
    in_namespace(|| {
        let peer = Peer::new();
        veth(&peer, "r0", "p0", 1500);
        let index = ifindex("r0");
        // Links and filters, XDP and TC: whatever the first one took, and however the second one comes.
        let ways = [XdpChoice::Auto, XdpChoice::Tc]
            .into_iter()
            .flat_map(|xdp| [TcChoice::Auto, TcChoice::Clsact].map(|tc| (xdp, tc)));
        for (xdp, tc) in ways.clone() {
            let mut first = World::new(&[setup(0, index, None)]);
            first.kernel.choose_tc(tc);
            first.kernel.attach("r0", index, xdp).expect("r0");
            let before = traces();
            for (second_xdp, second_tc) in ways.clone() {
                let mut second = World::new(&[setup(0, index, None)]);
                second.kernel.choose_tc(second_tc);
                let error = second.kernel.attach("r0", index, second_xdp).expect_err("the second");
                let how = format!("{xdp:?} {tc:?}, {second_xdp:?} {second_tc:?}: {error}");
                assert!(matches!(error, AttachError::Twice { .. }), "{how}");
                assert!(error.to_string().contains("another classifier counts on r0 already"), "{how}");
                drop(second);
                assert_eq!(traces(), before, "{how}");
            }
            peer.run(|| Raw::new("p0").send(&frame(None)));
            Raw::new("r0").send(&frame(None));
            settle("r0");
            first.sweep();
            let counted = [Hook::Rx, Hook::Tx].map(|hook| first.total(0, hook).packets);
            assert_eq!(counted, [1, 1], "{xdp:?} {tc:?}: the first one goes on");
            drop(first);
        }

        let mut foreign = Kernel::load_harness(&small(), &[setup(0, 9999, None)], &["wire_nothing"], false)
            .expect("harness");
        let link = foreign.attach_xdp("wire_nothing", "r0").expect("a foreign program");
        let before = run("ip -d link show r0");
        let mut ours = World::new(&[setup(0, index, None)]);
        let error = ours.kernel.attach("r0", index, XdpChoice::Auto).expect_err("occupied");
        assert!(matches!(error, AttachError::Occupied { program: Some(_), .. }), "{error}");
        assert_eq!(run("ip -d link show r0"), before, "the foreign program was touched");
        // TC ingress goes beside it, if the user says so.
        ours.kernel.attach("r0", index, XdpChoice::Tc).expect("beside it");
        drop(link);
    });
}
