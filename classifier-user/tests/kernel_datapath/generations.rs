//! Larger maps take over while frames come in and go out: each packet is counted once, before or after.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use classifier_user::{
    datapath::{
        Datapath as _, Sizes,
        kernel::{TcChoice, XdpChoice},
    },
    model::{Hook, Mode, Outcome, Prefix, Side},
};

use crate::{
    frames,
    lab::{Peer, Raw, ifindex, in_namespace, veth},
    traffic::settle,
    world::{World, setup, tc},
};

fn frame() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend(frames::ipv4(0, 0, 20));
    frame
}

/// Sends without a pause until told to stop; how many.
fn send(interface: &str, stop: &AtomicBool) -> u64 {
    let (raw, frame) = (Raw::new(interface), frame());
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        raw.send(&frame);
        sent += 1;
    }
    sent
}

fn larger_maps_take_over(xdp: XdpChoice, tc: TcChoice, modes: [Mode; 2]) {
    in_namespace(move || {
        let peer = Peer::new();
        veth(&peer, "r0", "p0", 1500);
        let index = ifindex("r0");
        let mut world = World::new(&[setup(0, index, None)]);
        world.kernel.choose_tc(tc);
        world.kernel.attach("r0", index, xdp).expect("r0");
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = {
            let stop = Arc::clone(&stop);
            peer.start(move || send("p0", &stop))
        };
        let (received, transmitted) = thread::scope(|scope| {
            // A thread of this namespace, as this one is.
            let ours = scope.spawn(|| send("r0", &stop));
            let mut sizes = world.kernel.sizes();
            for round in 0..6u8 {
                sizes = Sizes { classes: sizes.classes + 1000, v4_rows: sizes.v4_rows + 100, ..sizes };
                world.kernel.resize(&sizes).expect("larger maps");
                world.classes.extend(sizes.classes);
                assert_eq!(world.kernel.sizes(), sizes);
                assert_eq!(world.kernel.attachments()[0].modes, modes.map(Some), "still attached");
                // Routes change as before, also between a generation and its first sweep.
                let asn = if round % 2 == 0 { 64999 } else { 15169 };
                let prefix: Prefix = "8.8.8.0/24".parse().expect("a prefix");
                let batch = world.classes.apply([(prefix, Some(asn))]).expect("classes");
                world.kernel.apply(&batch).expect("room");
                thread::sleep(Duration::from_millis(50));
                if round % 3 != 1 {
                    world.sweep();
                }
            }
            stop.store(true, Ordering::Relaxed);
            (theirs.recv().expect("the sender"), ours.join().expect("the sender"))
        });
        settle("r0");
        world.sweep();
        world.assert_closed();
        for (hook, sent) in [(Hook::Rx, received), (Hook::Tx, transmitted)] {
            assert_eq!(world.outcomes(0, hook)[Outcome::Ipv4 as usize].packets, sent, "{hook:?}: each once");
            let of = |side, asn| world.counted(0, hook, side, Some(asn)).packets;
            assert_eq!(of(Side::Source, 2906), sent, "{hook:?}");
            let (google, other) = (of(Side::Destination, 15169), of(Side::Destination, 64999));
            assert_eq!(google + other, sent, "{hook:?}: under one route or the other");
            assert!(google > 0 && other > 0, "{hook:?}: {google} {other}");
        }
        world.kernel.detach().expect("detached");
        assert_eq!(world.kernel.attachments()[0].modes, [None, None]);
    });
}

#[test]
fn larger_maps_take_over_native_xdp_and_tc() {
    larger_maps_take_over(XdpChoice::Native, TcChoice::Auto, [Mode::Native, tc()]);
}

#[test]
fn larger_maps_take_over_generic_xdp() {
    larger_maps_take_over(XdpChoice::Generic, TcChoice::Auto, [Mode::Generic, tc()]);
}

#[test]
fn larger_maps_take_over_tc() {
    larger_maps_take_over(XdpChoice::Tc, TcChoice::Auto, [tc(); 2]);
}

#[test]
fn larger_maps_take_over_clsact_filters() {
    larger_maps_take_over(XdpChoice::Tc, TcChoice::Clsact, [Mode::Tc, Mode::Tc]);
}

#[test]
fn maps_that_are_too_small_change_nothing() {
    in_namespace(|| {
        let peer = Peer::new();
        veth(&peer, "r0", "p0", 1500);
        let index = ifindex("r0");
        let mut world = World::new(&[setup(0, index, None)]);
        world.kernel.attach("r0", index, XdpChoice::Auto).expect("r0");
        let sizes = world.kernel.sizes();
        world.kernel.resize(&Sizes { v4_rows: 1, ..sizes }).expect_err("two rows are in use");
        assert_eq!(world.kernel.sizes(), sizes);
        let raw = Raw::new("r0");
        (0..7).for_each(|_| raw.send(&frame()));
        settle("r0");
        world.sweep();
        world.assert_closed();
        assert_eq!(world.counted(0, Hook::Tx, Side::Destination, Some(15169)).packets, 7);
    });
}
