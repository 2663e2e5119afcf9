//! Routes change while frames come in: each packet is counted once, under the old route or the new one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use classifier_user::{
    datapath::{Datapath as _, kernel::XdpChoice},
    model::{Asn, Hook, Outcome, Prefix, Side},
};

use crate::{
    frames,
    lab::{Peer, Raw, ifindex, in_namespace, veth},
    traffic::settle,
    world::{World, setup},
};

/// A frame from 45.57.0.1 to 8.8.8.8, or over IPv6 the same networks.
fn frame(v6: bool) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if v6 {
        frame.extend([0x86, 0xdd]);
        frame.extend(frames::ipv6(17, 20));
    } else {
        frame.extend([0x08, 0x00]);
        frame.extend(frames::ipv4(0, 0, 20));
    }
    frame
}

#[test]
fn routes_change_under_traffic_and_every_packet_counts_once() {
    in_namespace(|| {
        let peer = Peer::new();
        veth(&peer, "r0", "p0", 1500);
        let index = ifindex("r0");
        let mut world = World::new(&[setup(0, index, None)]);
        world.kernel.attach("r0", index, XdpChoice::Auto).expect("r0");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sending = peer.start(move || {
            let raw = Raw::new("p0");
            let (v4, v6) = (frame(false), frame(true));
            let mut sent = 0u64;
            while !stopped.load(Ordering::Relaxed) {
                raw.send(&v4);
                raw.send(&v6);
                sent += 2;
            }
            sent
        });
        // The destinations move between two origins, by another origin of the same prefix, by a more specific one,
        // by a less specific one that is left when the first goes.
        let steps: [&[(&str, Option<Asn>)]; 6] = [
            &[("8.8.8.0/24", Some(64999)), ("2001:4860::/32", Some(64999))],
            &[("8.8.8.8/32", Some(15169)), ("2001:4860:4860::8888/128", Some(15169))],
            &[("8.8.8.8/32", None), ("2001:4860:4860::8888/128", None)],
            &[
                ("8.8.0.0/16", Some(15169)),
                ("8.8.8.0/24", None),
                ("2001:4800::/24", Some(15169)),
                ("2001:4860::/32", None),
            ],
            &[("8.8.8.0/25", Some(64999)), ("2001:4860:4860::/48", Some(64999))],
            &[
                ("8.8.8.0/24", Some(15169)),
                ("8.8.8.0/25", None),
                ("8.8.0.0/16", None),
                ("2001:4860::/32", Some(15169)),
                ("2001:4860:4860::/48", None),
                ("2001:4800::/24", None),
            ],
        ];
        let began = Instant::now();
        let mut rounds = 0;
        while began.elapsed() < Duration::from_secs(4) {
            for step in steps {
                let changes =
                    step.iter().map(|(prefix, asn)| (prefix.parse::<Prefix>().expect("a prefix"), *asn));
                let batch = world.classes.apply(changes).expect("classes");
                world.kernel.apply(&batch).expect("room");
            }
            rounds += 1;
            if rounds % 50 == 0 {
                let sweep = world.sweep();
                let read = sweep.links[0].hooks[0].as_ref().expect("rx");
                let outcomes = read.outcomes[0] + read.outcomes[1];
                let classes: u64 = [Some(15169), Some(64999), None]
                    .into_iter()
                    .map(|asn| world.counted(0, Hook::Rx, Side::Destination, asn).packets)
                    .sum();
                assert!(classes <= outcomes.packets, "more in classes than came in");
            }
        }
        stop.store(true, Ordering::Relaxed);
        let sent = sending.recv().expect("the sender");
        settle("r0");
        world.sweep();
        world.assert_closed();
        let outcomes = world.outcomes(0, Hook::Rx);
        let came = outcomes[Outcome::Ipv4 as usize].packets + outcomes[Outcome::Ipv6 as usize].packets;
        assert_eq!(came, sent, "what was sent came in");
        let google = world.counted(0, Hook::Rx, Side::Destination, Some(15169)).packets;
        let other = world.counted(0, Hook::Rx, Side::Destination, Some(64999)).packets;
        assert_eq!(google + other, sent, "each packet under one route, none under a third or none");
        assert!(google > 0 && other > 0, "both routes were seen: {google} {other} in {rounds} rounds");
        assert_eq!(world.counted(0, Hook::Rx, Side::Source, Some(2906)).packets, sent);
    });
}
