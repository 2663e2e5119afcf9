//! What does not fit, and what is hostile: a clear reason, the right NOTIFICATION, and nothing else disturbed.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use classifier_user::ingest::{
    bgp::{
        Password, PeerSettings, State, Timers,
        codec::{
            self, Families, Kind, Notification,
            open::{Capabilities, Open},
        },
    },
    live::Event,
};

use crate::{
    bird::{has_all, routes},
    lab::{Peer, in_namespace, run},
    world::{
        AS, Bird, LONG, OURS, Ours, ROUTER, active, bird_plain, bird_session, ip, passive, prefix, router,
        timers,
    },
};

#[test]
fn another_as_on_either_side() {
    in_namespace(|| {
        let peer = router();
        let session = |local: u32, remote: u32| {
            bird_session(&format!("local {ROUTER} as {local}; neighbor {OURS} as {remote};"), "")
        };
        let bird = Bird::start(&peer, &session(64_501, AS), "");
        let mut ours = Ours::start(vec![active()]);
        ours.until_error("it is AS 64501, configured is AS 64500 (sent OPEN error: bad peer AS (2/2))");
        ours.while_running("BIRD's line", || bird.daemon.log().contains("Received: Bad peer AS"));
        assert_eq!(ours.status(0).counts.notifications_sent, ours.status(0).counts.failures);
        // Mended, it comes by itself.
        bird.configure(&session(AS, AS), &routes());
        ours.up();
        ours.stop();

        let mut ours = Ours::start(vec![PeerSettings { local_as: 64_999, ..active() }]);
        ours.until_error("it says: OPEN error: bad peer AS (2/2)");
    });
}

#[test]
fn another_password() {
    in_namespace(|| {
        let peer = router();
        let session = bird_session(
            &format!("local {ROUTER} as {AS}; neighbor {OURS} as {AS}; passive on; password \"one\";"),
            "",
        );
        let _bird = Bird::start(&peer, &session, &routes());
        for password in [Password::new("another"), None] {
            let with = password.is_some();
            let mut ours = Ours::start(vec![PeerSettings { password, ..active() }]);
            let hint = if with {
                "the password may be another one there"
            } else {
                "a password or TTL security there"
            };
            ours.until_error(hint);
            let counter = if with { "TCPMD5Failure" } else { "TCPMD5NotFound" };
            ours.while_running(counter, || peer.run(move || extended_counter(counter)) > 0);
        }
        let mut ours = Ours::start(vec![PeerSettings { password: Password::new("one"), ..active() }]);
        ours.up();
    });
}

/// A counter of TCP's extended statistics.
fn extended_counter(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/netstat").expect("statistics");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut both = names.split_whitespace().zip(values.split_whitespace());
    both.find(|(other, _)| *other == name).and_then(|(_, value)| value.parse().ok()).expect("the counter")
}

#[test]
fn a_peer_that_is_too_far_away() {
    in_namespace(|| {
        let peer = router();
        let session =
            bird_session(&format!("local {ROUTER} as {AS}; neighbor {OURS} as {AS}; passive on;"), "");
        let _bird = Bird::start(&peer, &session, &routes());
        // BIRD's packets of an iBGP session leave with a TTL of 64.
        let far = PeerSettings { hops: Some(1), ..active() };
        let mut ours = Ours::with_timers(vec![far], Timers { open: Duration::from_secs(2), ..timers() });
        // Whether the handshake falls to the filter or what comes after it depends on which is faster, the filter or it.
        let reasons = ["a filter, a password or TTL security there may be why", "nothing was heard for 2 s"];
        ours.until("a reason", |ours| {
            reasons.iter().any(|reason| ours.last_error(0).contains(reason)).then_some(())
        });
        assert_eq!(ours.status(0).counts.established, 0, "{ours}");
        let mut ours = Ours::start(vec![PeerSettings { hops: Some(192), ..active() }]);
        ours.up();
    });
}

#[test]
fn no_family_in_common() {
    in_namespace(|| {
        let peer = router();
        let session = format!(
            "protocol bgp collector {{ local {ROUTER} as {AS}; neighbor {OURS} as {AS}; ipv6 {{ import none; export all; }}; }}"
        );
        let _bird = Bird::start(&peer, &session, "");
        let mut ours =
            Ours::start(vec![PeerSettings { families: Families { ipv4: true, ipv6: false }, ..active() }]);
        ours.until_error("it has no ipv4 unicast routes for us");
    });
}

#[test]
fn too_many_prefixes() {
    in_namespace(|| {
        let peer = router();
        let bird = Bird::start(&peer, &bird_plain(), &routes());
        let mut ours = Ours::start(vec![PeerSettings { max_prefixes: 5, ..active() }]);
        ours.up();
        let lost = ours.until("the end", |ours| {
            let at = ours.log.iter().position(|(_, event)| matches!(event, Event::Down(_)))?;
            ours.log.remove(at)
        });
        let Event::Down(lost) = lost.1 else { panic!("{lost:?}") };
        assert_eq!(
            lost.why,
            "more than 5 routes; `max_prefixes` can be raised (sent cease: maximum number of prefixes reached (6/1))"
        );
        assert_eq!(ours.routes.len(), 5);
        ours.while_running("BIRD's line", || {
            bird.daemon.log().contains("Received: Maximum number of prefixes reached")
        });
    });
}

#[test]
fn too_much_memory() {
    in_namespace(|| {
        let peer = router();
        let bird = Bird::start(&peer, &bird_plain(), &routes());
        // Three routes with three ASes each are within it.
        let mut ours = Ours::start(vec![PeerSettings { max_memory: 3 * (160 + 12), ..active() }]);
        ours.up();
        let (_, lost) = ours.until("the end", |ours| {
            let at = ours.log.iter().position(|(_, event)| matches!(event, Event::Down(_)))?;
            ours.log.remove(at)
        });
        let Event::Down(lost) = lost else { panic!("{lost:?}") };
        assert_eq!(
            lost.why,
            "its routes take more than 516 bytes; `max_memory` can be raised (sent cease: out of resources (6/8))"
        );
        ours.while_running("BIRD's line", || {
            bird.daemon.log().to_lowercase().contains("received: out of resources")
        });
    });
}

/// A peer made by hand, at this address of the router's namespace.
struct Made {
    stream: TcpStream,
}

impl Made {
    fn connect(from: &str) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(ip(from), 0).into()).expect("bound");
        socket.connect(&SocketAddr::new(ip(OURS), 179).into()).expect("connected");
        let stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        Self { stream }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    fn open(&mut self, hold_time: u16) {
        let mut bytes = Vec::new();
        let capabilities = Capabilities {
            families: Some(Families::BOTH),
            four_octet_as: Some(AS),
            ..Capabilities::default()
        };
        let open = Open { short_as: AS as u16, hold_time, identifier: [10, 9, 9, 9].into(), capabilities };
        open.append(&mut bytes);
        codec::append_keepalive(&mut bytes);
        self.send(&bytes);
    }

    fn update(&mut self, body: &[u8]) {
        let mut bytes = Vec::new();
        codec::append(&mut bytes, Kind::Update, |out| out.extend(body));
        self.send(&bytes);
    }

    /// All that comes until the connection is closed.
    fn rest(mut self) -> Vec<(Kind, Vec<u8>)> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).expect("read");
        messages(&bytes)
    }
}

fn messages(bytes: &[u8]) -> Vec<(Kind, Vec<u8>)> {
    let mut rest = bytes;
    let mut all = Vec::new();
    while let Some(message) = codec::message(rest, false).expect("BGP") {
        all.push((message.kind, message.body.to_vec()));
        rest = &rest[message.len..];
    }
    assert!(rest.is_empty(), "a part of a message: {rest:?}");
    all
}

/// Does this in the router's namespace with a peer made by hand.
fn by_hand<T: Send + 'static>(
    peer: &Peer,
    from: &'static str,
    does: impl FnOnce(Made) -> T + Send + 'static,
) -> Receiver<T> {
    peer.start(move || does(Made::connect(from)))
}

fn wait<T>(ours: &mut Ours, given: &Receiver<T>) -> T {
    ours.until("the peer made by hand", |_| given.try_recv().ok())
}

fn raw(length: u16, kind: u8) -> Vec<u8> {
    let mut bytes = vec![0xff; 16];
    bytes.extend(length.to_be_bytes());
    bytes.push(kind);
    bytes
}

#[test]
fn garbage_gets_its_notification() {
    in_namespace(|| {
        let peer = router();
        let short =
            Timers { open: Duration::from_millis(300), close: Duration::from_millis(500), ..timers() };
        let mut ours = Ours::with_timers(vec![passive()], short);
        let mut version = Vec::new();
        codec::append(&mut version, Kind::Open, |out| out.extend([3, 0xfb, 0xf4, 0, 90, 1, 2, 3, 4, 0]));
        let mut hold = Vec::new();
        codec::append(&mut hold, Kind::Open, |out| out.extend([4, 0xfb, 0xf4, 0, 2, 1, 2, 3, 4, 0]));
        let cases: [(&str, Vec<u8>, Notification, &str); 8] = [
            ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Notification::new(1, 1), "this is not BGP"),
            (
                "a huge OPEN",
                raw(0xffff, 1),
                Notification { code: 1, subcode: 2, data: vec![0xff, 0xff] },
                "impossible length",
            ),
            ("type 9", raw(19, 9), Notification { code: 1, subcode: 3, data: vec![9] }, "unknown type"),
            ("KEEPALIVE first", raw(19, 4), Notification::new(5, 1), "Keepalive in the state open_sent"),
            (
                "UPDATE first",
                [raw(23, 2), vec![0; 4]].concat(),
                Notification::new(5, 1),
                "Update in the state",
            ),
            (
                "version 3",
                version,
                Notification { code: 2, subcode: 1, data: vec![0, 4] },
                "BGP version 3, not 4",
            ),
            ("hold time 2", hold, Notification::new(2, 6), "a hold time of 2 s"),
            ("nothing", vec![], Notification::new(4, 0), "nothing was heard"),
        ];
        for (sent, (name, bytes, notification, why)) in cases.into_iter().enumerate() {
            let said = by_hand(&peer, ROUTER, move |mut made| {
                made.send(&bytes);
                made.rest()
            });
            let said = wait(&mut ours, &said);
            let kinds: Vec<_> = said.iter().map(|(kind, _)| *kind).collect();
            assert_eq!(kinds, [Kind::Open, Kind::Notification], "{name}");
            assert_eq!(Notification::decode(&said[1].1), Some(notification), "{name}");
            assert!(ours.last_error(0).contains(why), "{name}: {}", ours.last_error(0));
            assert_eq!(ours.status(0).counts.notifications_sent, sent as u64 + 1, "{name}");
        }
        assert_eq!(ours.status(0).counts.established, 0);
        assert_eq!(ours.status(0).state, State::Active);
        assert!(ours.log.is_empty() && ours.routes.is_empty());
    });
}

#[test]
fn strangers_are_told_and_disturb_nobody() {
    in_namespace(|| {
        let peer = router();
        peer.run(|| run("ip addr add 10.9.1.3/24 dev p0"));
        let _bird = Bird::start(&peer, &bird_plain(), &routes());
        let mut ours = Ours::start(vec![passive()]);
        ours.up();
        ours.until("routes", |ours| (ours.routes.len() == 6).then_some(()));
        let said = by_hand(&peer, "10.9.1.3", Made::rest);
        let said = wait(&mut ours, &said);
        assert_eq!(said, [(Kind::Notification, vec![6, 5])]);
        assert_eq!(ours.strangers(), 1);
        // From the peer's own address, while there is a session with it.
        let said = by_hand(&peer, ROUTER, |mut made| {
            made.open(90);
            made.rest()
        });
        let said = wait(&mut ours, &said);
        assert_eq!(said.last().unwrap(), &(Kind::Notification, vec![6, 7]), "{said:?}");
        has_all(&ours);
        assert_eq!(ours.status(0).state, State::Established);
        assert_eq!(ours.status(0).counts.established, 1);
    });
}

/// ORIGIN, AS_PATH 64501, NEXT_HOP.
const ATTRIBUTES: &[u8] = &[0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfb, 0xf5, 0x40, 3, 4, 192, 0, 2, 1];

fn announce(attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0];
    body.extend((attributes.len() as u16).to_be_bytes());
    body.extend(attributes);
    body.extend(nlri);
    body
}

#[test]
fn malformed_updates_withdraw_or_reset() {
    in_namespace(|| {
        let peer = router();
        let mut ours = Ours::start(vec![passive()]);
        let said = by_hand(&peer, ROUTER, |mut made| {
            made.open(90);
            made.update(&announce(ATTRIBUTES, &[24, 198, 51, 100, 24, 203, 0, 113]));
            // ORIGIN 7: its routes are withdrawn, and only these.
            let mut bad = ATTRIBUTES.to_vec();
            bad[3] = 7;
            made.update(&announce(&bad, &[24, 198, 51, 100]));
            // A prefix of 33 bits.
            made.update(&announce(ATTRIBUTES, &[33, 1, 2, 3, 4, 5]));
            made.rest()
        });
        let said = wait(&mut ours, &said);
        let kinds: Vec<_> = said.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [Kind::Open, Kind::Keepalive, Kind::Notification]);
        assert_eq!(said[2].1, [3, 10]);
        ours.up();
        let lost = ours.down();
        assert_eq!(
            lost.why,
            "prefixes that do not fit in their field (sent UPDATE error: invalid network field (3/10))"
        );
        assert_eq!(ours.path("198.51.100.0/24"), None);
        assert_eq!(ours.path("203.0.113.0/24").unwrap(), [64_501]);
        let counts = ours.status(0).counts;
        assert_eq!((counts.treated_as_withdraw, counts.announced, counts.withdrawn), (1, 2, 1));
    });
}

/// The table is slow: the peer is not read from, but hears from us, and nothing is lost, though its hold time passes
/// several times while it says nothing or what it says lies unread.
#[test]
fn a_flood_waits_for_the_table() {
    const UPDATES: u32 = 2_000;
    const EACH: u32 = 250;
    in_namespace(|| {
        let peer = router();
        let mut ours = Ours::start(vec![PeerSettings { hold_time: 3, ..passive() }]);
        let (say, heard) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let sent = by_hand(&peer, ROUTER, move |mut made| {
            made.open(3);
            let mut reader = Made { stream: made.stream.try_clone().expect("a second handle") };
            std::thread::spawn(move || {
                let mut head = [0; 19];
                while reader.stream.read_exact(&mut head).is_ok() {
                    let mut body = vec![0; usize::from(u16::from_be_bytes([head[16], head[17]])) - 19];
                    reader.stream.read_exact(&mut body).expect("a body");
                    // Nobody listens any more once there were enough.
                    let _ = say.send(head[18]);
                }
            });
            // More than fits between it and us: it waits here as long as we do not read.
            for update in 0..UPDATES {
                let nlri: Vec<u8> = (0..EACH)
                    .flat_map(|each| {
                        let [_, a, b, c] = (update * EACH + each).to_be_bytes();
                        [32, 11, a, b, c]
                    })
                    .collect();
                made.update(&announce(ATTRIBUTES, &nlri));
            }
            // A peer that has nothing more to say says so.
            let mut keepalive = Vec::new();
            codec::append_keepalive(&mut keepalive);
            while ended.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout) {
                made.send(&keepalive);
            }
        });
        // The KEEPALIVEs of three hold times.
        let kinds: Vec<u8> = ours.starve("the KEEPALIVEs", {
            let mut kinds = Vec::new();
            move || {
                kinds.extend(heard.try_iter());
                (kinds.len() >= 10).then(|| std::mem::take(&mut kinds))
            }
        });
        assert_eq!(kinds[..10], [&[1][..], &[4; 9]].concat());
        assert_eq!(ours.status(0).state, State::Established, "{ours}");
        ours.up();
        // A table that is busy for longer than the hold time, with what came meanwhile in the socket.
        ours.until("a part of the routes", |ours| (ours.routes.len() as u32 > EACH * 100).then_some(()));
        std::thread::sleep(Duration::from_secs(4));
        ours.until("all routes", |ours| (ours.routes.len() as u32 == UPDATES * EACH).then_some(()));
        std::thread::sleep(Duration::from_secs(4));
        ours.until("the last KEEPALIVEs", |ours| (ours.status(0).counts.messages > 2_010).then_some(()));
        assert_eq!(ours.changes, u64::from(UPDATES * EACH));
        assert_eq!(ours.status(0).held.ipv4, u64::from(UPDATES * EACH));
        assert!(ours.routes.keys().any(|(_, given, _)| *given == prefix("11.7.161.31/32")), "the last one");
        assert_eq!((ours.status(0).counts.established, ours.status(0).counts.failures), (1, 0), "{ours}");
        assert!(ours.log.is_empty(), "{ours}");
        drop(end);
        wait(&mut ours, &sent);
        ours.down();
    });
}

#[test]
fn what_cannot_be_listened_on() {
    in_namespace(|| {
        let peer = router();
        let _ = &peer;
        let taken = std::net::TcpListener::bind("0.0.0.0:179").expect("free");
        let (say, _events) = tokio::sync::mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut speaker = classifier_user::ingest::bgp::Speaker::new(vec![passive()], timers(), say);
        let error = runtime.block_on(async { speaker.start() }).unwrap_err().to_string();
        assert!(error.starts_with("cannot listen for BGP on 0.0.0.0:179: "), "{error}");
        assert!(error.contains("listen on another port"), "{error}");
        drop(taken);
        let unknown: IpAddr = ip("192.0.2.77");
        let elsewhere = PeerSettings { listen: Some(SocketAddr::new(unknown, 179)), ..passive() };
        let (say, _events) = tokio::sync::mpsc::channel(1);
        let mut speaker = classifier_user::ingest::bgp::Speaker::new(vec![elsewhere], timers(), say);
        let error = runtime.block_on(async { speaker.start() }).unwrap_err().to_string();
        assert!(error.contains("no interface has this address"), "{error}");
    });
}
