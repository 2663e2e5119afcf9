use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use super::*;
use crate::{
    ingest::{
        bmp::testing::{Peer, end_of_rib, initiation, path, update},
        live::{Event, PeerId},
    },
    model::Family,
};

/// A station for one router on the loopback, and where it listens.
fn station(router: &str) -> (Station, mpsc::Receiver<Said>, SocketAddr) {
    station_with(RouterSettings::new(router.parse().unwrap()))
}

fn station_with(settings: RouterSettings) -> (Station, mpsc::Receiver<Said>, SocketAddr) {
    // A port that is free now.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (events, said) = mpsc::channel(64);
    let mut station = Station::new(vec![RouterSettings { listen: free, ..settings }], 3, events);
    station.start().unwrap();
    (station, said, free)
}

async fn next(said: &mut mpsc::Receiver<Said>) -> Said {
    tokio::time::timeout(Duration::from_secs(10), said.recv()).await.expect("in time").expect("something")
}

/// Waits until the station has closed.
fn closed(mut stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    match stream.read(&mut [0]) {
        Ok(count) => assert_eq!(count, 0, "a station says nothing"),
        // It left bytes of ours unread.
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_in_pieces_and_a_lost_connection() {
    let (station, mut said, address) = station("127.0.0.1");
    let peer = Peer::new("198.51.100.7".parse().unwrap(), 9);
    let mut all = initiation();
    all.extend(peer.up(false));
    all.extend(peer.monitoring(&update(Some(&path(&[9, 4])), &[[10, 0, 0]], None)));
    all.extend(peer.monitoring(&end_of_rib(Family::Ipv4)));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in all.chunks(7) {
        stream.write_all(piece).unwrap();
    }
    let is = |said: Said, expected: fn(&Event) -> bool| {
        assert_eq!(said.peer, PeerId(4));
        assert!(expected(&said.event), "{said:?}");
    };
    assert_eq!(next(&mut said).await, Said { peer: PeerId(3), event: Event::Up });
    is(
        next(&mut said).await,
        |event| matches!(event, Event::Peer(info) if info.name == "127.0.0.1 198.51.100.7 pre-policy"),
    );
    is(next(&mut said).await, |event| *event == Event::Up);
    is(next(&mut said).await, |event| matches!(event, Event::Routes(routes) if routes.len() == 1));
    is(next(&mut said).await, |event| *event == Event::EndOfRib(Family::Ipv4));
    let reported = station.routers()[0].snapshot();
    assert!(reported.connected);
    assert_eq!((reported.status.messages, reported.status.sys_name.as_deref()), (4, Some("border")));
    assert_eq!((reported.status.peers, reported.status.held.ipv4, reported.losses), (1, 1, 0));

    // A newer connection takes the older one's place, once it has begun.
    let mut newer = TcpStream::connect(address).unwrap();
    newer.write_all(&all).unwrap();
    is(
        next(&mut said).await,
        |event| matches!(event, Event::Down(lost) if lost.why == "it connected once more" && lost.stale_seconds == 1800),
    );
    closed(stream);
    let lost = next(&mut said).await;
    assert!(lost.peer == PeerId(3) && matches!(lost.event, Event::Down(_)), "{lost:?}");
    assert_eq!(next(&mut said).await, Said { peer: PeerId(3), event: Event::Up });
    is(next(&mut said).await, |event| matches!(event, Event::Peer(_)));
    is(next(&mut said).await, |event| *event == Event::Up);
    is(next(&mut said).await, |event| matches!(event, Event::Routes(_)));
    is(next(&mut said).await, |event| *event == Event::EndOfRib(Family::Ipv4));
    drop(newer);
    is(
        next(&mut said).await,
        |event| matches!(event, Event::Down(lost) if lost.why == "the router closed it"),
    );
    assert_eq!(next(&mut said).await.peer, PeerId(3));
    let reported = station.routers()[0].snapshot();
    assert_eq!((reported.connected, reported.losses, reported.status.held.ipv4), (false, 2, 0));
    assert_eq!(reported.last_error.unwrap().what, "the router closed it");
}

/// Its routes stay for their time, and it is not listened to for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_over_its_limit() {
    let (station, mut said, address) =
        station_with(RouterSettings { max_prefixes: 2, ..RouterSettings::new("127.0.0.1".parse().unwrap()) });
    let peer = Peer::new("198.51.100.7".parse().unwrap(), 9);
    let nets = [[10, 0, 0], [10, 0, 1], [10, 0, 2]];
    let all = [initiation(), peer.up(false), peer.monitoring(&update(Some(&path(&[9])), &nets, None))];
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&all.concat()).unwrap();
    closed(stream);
    let why = "more than 2 routes; `max_prefixes` can be raised";
    loop {
        let Said { peer, event } = next(&mut said).await;
        if let Event::Down(lost) = event {
            assert_eq!((lost.why.as_str(), lost.stale_seconds), (why, 1800));
            if peer == PeerId(3) {
                break;
            }
        }
    }
    assert_eq!(station.routers()[0].snapshot().last_error.unwrap().what, why);
    closed(TcpStream::connect(address).unwrap());
    let reported = station.routers()[0].snapshot();
    assert_eq!((reported.connected, reported.refused), (false, 1));
}

/// Nor those who have the router's own address, whether it is connected or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_strangers_disturb_nobody() {
    let (station, mut said, address) = station("127.0.0.1");
    let peer = Peer::new("198.51.100.7".parse().unwrap(), 9);
    let garbage = |already: u64| {
        let no_initiation = peer.up(false);
        for (count, (garbage, why)) in (already + 1..).zip([
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "this is not BMP version 3 (its first byte is 71)"),
            (
                &[3, 0xff, 0xff, 0xff, 0xff, 0],
                "a message of 4294967295 bytes is announced; the longest one taken has 1048576 (`max_message`)",
            ),
            (&no_initiation, "its first message is no Initiation"),
            (&initiation()[..9], "the router closed it within a message"),
        ]) {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(garbage).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            closed(stream);
            let reported = loop {
                let reported = station.routers()[0].snapshot();
                if reported.refused == count {
                    break reported;
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            assert_eq!((reported.losses, reported.last_error.unwrap().what.as_str()), (0, why));
        }
    };
    garbage(0);
    assert_eq!((station.routers()[0].snapshot().status.messages, said.len()), (0, 0));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&[initiation(), peer.up(false)].concat()).unwrap();
    assert_eq!(next(&mut said).await, Said { peer: PeerId(3), event: Event::Up });
    garbage(4);
    // Of those that say nothing, four are kept; the router's own connection is none of them.
    let silent = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(20));
        TcpStream::connect(address).unwrap()
    });
    let silent: Vec<_> = silent.take(6).collect();
    for stream in silent.into_iter().take(2) {
        closed(stream);
    }
    let stranger = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    stranger.bind(&"127.0.0.2:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    stranger.connect(&address.into()).unwrap();
    closed(stranger.into());
    assert_eq!(station.strangers_counter().load(Ordering::Relaxed), 1);
    stream.write_all(&peer.monitoring(&end_of_rib(Family::Ipv6))).unwrap();
    assert!(matches!(next(&mut said).await.event, Event::Peer(_)), "nothing before it");
    let reported = station.routers()[0].snapshot();
    assert_eq!((reported.connected, reported.losses, reported.status.messages), (true, 0, 3));
}

/// A connection that takes the place of another one while the table is behind: what was taken of the older one is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_taken_is_lost_when_the_table_is_behind() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (events, mut said) = mpsc::channel(1);
    let router = RouterSettings { listen: free, ..RouterSettings::new("127.0.0.1".parse().unwrap()) };
    let mut station = Station::new(vec![router], 3, events);
    station.start().unwrap();
    let peer = |last| Peer::new(std::net::Ipv4Addr::new(198, 51, 100, last).into(), 9);
    let route = |last| peer(last).monitoring(&update(Some(&path(&[9])), &[[10, 0, last]], None));
    let all: Vec<u8> = (0..50).flat_map(|last| [peer(last).up(false), route(last)].concat()).collect();
    let mut older = TcpStream::connect(free).unwrap();
    older.write_all(&[initiation(), all].concat()).unwrap();
    while station.routers()[0].snapshot().status.updates < 50 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut newer = TcpStream::connect(free).unwrap();
    newer.write_all(&initiation()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (mut ups, mut routes, mut downs) = (0, 0, 0);
    loop {
        let Said { peer, event } = next(&mut said).await;
        match event {
            Event::Up => ups += 1,
            Event::Routes(_) => routes += 1,
            Event::Down(_) => downs += 1,
            _ => {}
        }
        if (peer, downs) == (PeerId(3), 51) {
            break;
        }
    }
    assert_eq!((ups, routes), (51, 50));
    assert_eq!(next(&mut said).await, Said { peer: PeerId(3), event: Event::Up });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = RouterSettings {
        listen: taken.local_addr().unwrap(),
        ..RouterSettings::new("127.0.0.1".parse().unwrap())
    };
    let mut station = Station::new(vec![settings], 0, mpsc::channel(1).0);
    let error = station.start().unwrap_err().to_string();
    assert!(error.contains("another station or agent is there"), "{error}");
}
