//! Traffic between two namespaces, held against the kernel's own interface counters by the equations of
//! `docs/counting.md`.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use classifier_user::{
    datapath::{
        Datapath as _,
        kernel::{TcChoice, XdpChoice},
    },
    model::{Counter, Hook, Mode, Outcome, Side},
};

use crate::{
    frames,
    lab::{Peer, Raw, address, ifindex, in_namespace, run, statistic, veth},
    world::{World, counter, setup, tc},
};

/// Interface counters as the kernel keeps them.
pub(crate) fn kernel_counter(interface: &str, way: &str) -> Counter {
    counter(statistic(interface, &format!("{way}_packets")), statistic(interface, &format!("{way}_bytes")))
}

/// Waits until nothing moves on an interface any more.
pub(crate) fn settle(interface: &str) {
    let read = || (kernel_counter(interface, "rx"), kernel_counter(interface, "tx"));
    let (began, mut before) = (Instant::now(), read());
    let mut still = 0;
    while still < 4 && began.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(50));
        let now = read();
        still = if now == before { still + 1 } else { 0 };
        before = now;
    }
}

/// The router's end of a veth pair, accounted, and what the interface had counted before.
struct Wire {
    world: World,
    peer: Peer,
    rx_before: Counter,
    tx_before: Counter,
}

impl Wire {
    fn new(choice: XdpChoice, mtu: u32, expected: [Mode; 2]) -> Self {
        Self::with_tc(choice, TcChoice::Auto, mtu, expected)
    }

    fn with_tc(choice: XdpChoice, tc: TcChoice, mtu: u32, expected: [Mode; 2]) -> Self {
        let peer = Peer::new();
        veth(&peer, "r0", "p0", mtu);
        address(&peer, "r0", "p0", 0);
        let index = ifindex("r0");
        let mut world = World::new(&[setup(0, index, None)]);
        world.kernel.choose_tc(tc);
        world.kernel.attach("r0", index, choice).unwrap_or_else(|error| panic!("{error}"));
        let modes = world.kernel.attachments()[0].modes;
        assert_eq!(modes, expected.map(Some), "the modes that were taken");
        settle("r0");
        Self { world, peer, rx_before: kernel_counter("r0", "rx"), tx_before: kernel_counter("r0", "tx") }
    }

    /// Ours, and the interface's own, since the start.
    fn read(&mut self, hook: Hook) -> (Counter, Counter) {
        settle("r0");
        self.world.sweep();
        self.world.assert_closed();
        let kernel = match hook {
            Hook::Rx => kernel_counter("r0", "rx") - self.rx_before,
            Hook::Tx => kernel_counter("r0", "tx") - self.tx_before,
        };
        (self.world.total(0, hook), kernel)
    }
}

/// What the named frames come to, without those named.
fn named(without: &[&str]) -> ([Counter; 5], Vec<Vec<u8>>) {
    let mut sums = [counter(0, 0); 5];
    let mut sent = Vec::new();
    for frame in frames::all() {
        if !without.contains(&frame.name) {
            sums[frame.outcome as usize] += counter(1, frame.bytes.len() as u64);
            sent.push(frame.bytes);
        }
    }
    (sums, sent)
}

fn send_named(wire: &Wire, sent: &[Vec<u8>]) {
    let frames = sent.to_vec();
    wire.peer.run(move || {
        let raw = Raw::new("p0");
        frames.iter().for_each(|frame| raw.send(frame));
    });
    let raw = Raw::new("r0");
    sent.iter().for_each(|frame| raw.send(frame));
}

#[test]
fn named_frames_over_a_wire_native() {
    in_namespace(|| {
        let mut wire = Wire::new(XdpChoice::Auto, 1500, [Mode::Native, tc()]);
        let (expected, sent) = named(&[]);
        send_named(&wire, &sent);
        let (rx, kernel_rx) = wire.read(Hook::Rx);
        let (tx, kernel_tx) = wire.read(Hook::Tx);
        assert_eq!(wire.world.outcomes(0, Hook::Rx), expected);
        assert_eq!(wire.world.outcomes(0, Hook::Tx), expected);
        // veth counts native XDP frames without their Ethernet header.
        assert_eq!(kernel_rx, counter(rx.packets, rx.bytes - 14 * rx.packets));
        assert_eq!(kernel_tx, tx);
    });
}

#[test]
fn named_frames_over_a_wire_tc_ingress() {
    in_namespace(|| {
        let mut wire = Wire::new(XdpChoice::Tc, 1500, [tc(); 2]);
        // The stack takes the outer tag off before TC ingress, and drops what is cut there.
        let (mut expected, sent) = named(&["cut in the vlan tag", "cut in the second tag"]);
        send_named(&wire, &sent);
        // With one of its tags in metadata, the frame with three has two left: it is walked.
        let three = frames::all().into_iter().find(|frame| frame.name == "third tag").expect("named");
        let three = counter(1, three.bytes.len() as u64);
        expected[Outcome::Unsupported as usize] = expected[Outcome::Unsupported as usize] - three;
        expected[Outcome::Ipv4 as usize] += three;
        let (rx, kernel_rx) = wire.read(Hook::Rx);
        assert_eq!(wire.world.outcomes(0, Hook::Rx), expected);
        assert_eq!(kernel_rx, rx);
    });
}

const BULK: usize = 24 << 20;

/// Sends `BULK` bytes by TCP each way, one after the other.
fn bulk(wire: &Wire) {
    let listener = TcpListener::bind("10.9.0.1:5001").expect("bind");
    let there = wire.peer.start(|| {
        let mut stream = TcpStream::connect("10.9.0.1:5001").expect("connect");
        stream.write_all(&vec![7; BULK]).expect("write");
        stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("read");
        back.len()
    });
    let (mut stream, _) = listener.accept().expect("accept");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("read");
    assert_eq!(got.len(), BULK);
    stream.write_all(&got).expect("write");
    drop(stream);
    assert_eq!(there.recv().expect("the peer"), BULK);
}

/// Ethernet, IPv4, and TCP with timestamps: what each segment of a super-frame repeats.
const TCP_HEADERS: u64 = 14 + 20 + 32;

#[test]
fn tcp_native_rx_and_super_frames_at_tx() {
    in_namespace(|| {
        let mut wire = Wire::new(XdpChoice::Native, 1500, [Mode::Native, tc()]);
        bulk(&wire);
        let (rx, kernel_rx) = wire.read(Hook::Rx);
        assert_eq!(kernel_rx, counter(rx.packets, rx.bytes - 14 * rx.packets));
        let (tx, kernel_tx) = wire.read(Hook::Tx);
        assert!(tx.packets > kernel_tx.packets, "the stack sent super-frames: {tx:?} {kernel_tx:?}");
        // The interface counts a super-frame once; each further segment is its headers more on the wire.
        assert_eq!(tx.bytes - kernel_tx.bytes, TCP_HEADERS * (tx.packets - kernel_tx.packets));
        assert_eq!(wire.world.counted(0, Hook::Rx, Side::Source, Some(64502)), rx);
        assert_eq!(wire.world.counted(0, Hook::Tx, Side::Destination, Some(64502)), tx);
        assert_eq!(wire.world.counted(0, Hook::Tx, Side::Source, Some(64500)), tx);
    });
}

/// TCP both ways, held against a second datapath at the peer: its egress is our ingress, super-frame for super-frame.
fn tcp_at_tc_ingress(tc: TcChoice, mode: Mode, beside: impl FnOnce() + Send + 'static) {
    in_namespace(move || {
        let mut wire = Wire::with_tc(XdpChoice::Tc, tc, 1500, [mode; 2]);
        let mut there = wire.peer.run(move || {
            let index = ifindex("p0");
            let mut world = World::new(&[setup(0, index, None)]);
            world.kernel.choose_tc(tc);
            world.kernel.attach("p0", index, XdpChoice::Tc).unwrap_or_else(|error| panic!("{error}"));
            world
        });
        bulk(&wire);
        let (rx, kernel_rx) = wire.read(Hook::Rx);
        let (tx, _) = wire.read(Hook::Tx);
        there.sweep();
        assert!(rx.packets > kernel_rx.packets, "super-frames came in: {rx:?} {kernel_rx:?}");
        assert_eq!(rx, there.total(0, Hook::Tx), "our ingress is the peer's egress");
        assert_eq!(tx, there.total(0, Hook::Rx), "our egress is the peer's ingress");
        beside();
        // The peer's end of the wire keeps ours alive.
        let Wire { world, peer: _peer, .. } = wire;
        drop(world);
        for way in ["ingress", "egress"] {
            assert_eq!(run(&format!("tc filter show dev r0 {way}")), "", "{way}");
        }
    });
}

#[test]
fn tcp_at_tc_ingress_counts_what_the_sender_sent() {
    tcp_at_tc_ingress(TcChoice::Auto, tc(), || {});
}

/// Kernels before 6.6 have no TCX: there the same programs are filters, which every kernel takes.
#[test]
fn clsact_filters_count_the_same_and_go_with_the_agent() {
    tcp_at_tc_ingress(TcChoice::Clsact, Mode::Tc, || {
        for (way, program) in [("ingress", "classifier_rx"), ("egress", "classifier_tx")] {
            let shown = run(&format!("tc filter show dev r0 {way}"));
            assert!(shown.contains(program), "{way}: {shown}");
        }
    });
}

#[test]
fn udp_and_its_fragments_to_the_byte() {
    in_namespace(|| {
        let mut wire = Wire::new(XdpChoice::Auto, 1500, [Mode::Native, tc()]);
        let send = |from: &str, to: &str| {
            let socket = UdpSocket::bind(from).expect("bind");
            for _ in 0..200 {
                socket.send_to(&[1; 4000], to).expect("send");
                socket.send_to(&[2; 100], to).expect("send");
                thread::sleep(Duration::from_micros(200));
            }
        };
        wire.peer.run(move || send("10.9.0.2:6000", "10.9.0.1:6000"));
        let blackhole = wire.peer.run(|| UdpSocket::bind("10.9.0.2:6001").expect("bind"));
        send("10.9.0.1:6001", "10.9.0.2:6001");
        drop(blackhole);
        // 4008 bytes of UDP in three fragments (1480 + 1480 + 1048), 108 in one.
        let frames = counter(4, 1514 + 1514 + (14 + 20 + 1048) + (14 + 20 + 108));
        let sent = counter(200 * frames.packets, 200 * frames.bytes);
        let (rx, kernel_rx) = wire.read(Hook::Rx);
        // Nobody listens on port 6000: the router answers with ICMP, which the tx side sees.
        assert_eq!(rx, sent);
        assert_eq!(kernel_rx, counter(rx.packets, rx.bytes - 14 * rx.packets));
        let (tx, kernel_tx) = wire.read(Hook::Tx);
        assert_eq!(kernel_tx, tx);
        assert!(tx.packets >= sent.packets && tx.bytes >= sent.bytes);
    });
}

#[test]
fn jumbo_frames_native() {
    in_namespace(|| {
        let mut wire = Wire::new(XdpChoice::Native, 9000, [Mode::Native, tc()]);
        wire.peer.run(|| {
            let socket = UdpSocket::bind("10.9.0.2:0").expect("bind");
            for _ in 0..300 {
                socket.send_to(&[1; 8900], "10.9.0.1:6000").expect("send");
                thread::sleep(Duration::from_micros(200));
            }
        });
        let (rx, kernel_rx) = wire.read(Hook::Rx);
        assert_eq!(rx, counter(300, 300 * (14 + 20 + 8 + 8900)));
        assert_eq!(kernel_rx, counter(rx.packets, rx.bytes - 14 * rx.packets));
        // The peer's MTU still changes: the program is frags-aware.
        wire.peer.run(|| run("ip link set p0 mtu 3000"));
    });
}

#[test]
fn nothing_counts_after_detach_and_the_last_sweep_has_all() {
    in_namespace(|| {
        let mut wire = Wire::new(XdpChoice::Auto, 1500, [Mode::Native, tc()]);
        let (expected, sent) = named(&[]);
        send_named(&wire, &sent);
        settle("r0");
        wire.world.kernel.detach().expect("detach");
        send_named(&wire, &sent);
        settle("r0");
        wire.world.sweep();
        assert_eq!(wire.world.outcomes(0, Hook::Rx), expected);
        assert_eq!(wire.world.outcomes(0, Hook::Tx), expected);
        wire.world.assert_closed();
        assert!(!run("ip link show r0").contains("xdp"), "a program is left on the interface");
        assert_eq!(wire.world.outcomes(0, Hook::Rx)[Outcome::Ipv4 as usize], expected[0]);
    });
}
