//! Clients that are no good, over real sockets.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use axum::body::Bytes;

use super::{
    stats::ListenerStats,
    tests::{metric, questions},
    *,
};

/// A listener that goes on for as long as the runtime.
async fn listening(
    router: Router,
    limits: Limits,
    web: Option<Arc<Web>>,
) -> (SocketAddr, Arc<ListenerStats>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stats = Arc::new(ListenerStats::default());
    let rules = Rules::new(limits, web, Arc::clone(&stats));
    tokio::spawn(listen::serve(listener, router, rules, std::future::pending()));
    (address, stats)
}

/// Runs a client off the runtime.
async fn client<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // What was not read of a request resets the connection behind the answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    answer(stream)
}

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_slowly_is_not_waited_for() {
    let limits = Limits { head: Duration::from_secs(2), ..LIMITS };
    let (address, stats) = listening(router(questions()), limits, None).await;
    client(move || {
        let mut slow = TcpStream::connect(address).unwrap();
        slow.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x'));
        let mut byte = [0];
        // A byte each tenth of a second, until nobody listens any more.
        while slow.write_all(&[*head.next().unwrap()]).is_ok() {
            match slow.read(&mut byte) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Ok(1..) => panic!("it was answered"),
                _ => break,
            }
        }
        assert!(ask(address, GET).starts_with("HTTP/1.1 200 OK"));
    })
    .await;
    assert_eq!(stats.refused(Refused::Head), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_ends_and_an_old_one_too() {
    let limits = Limits { idle: Duration::from_secs(1), lifetime: None, ..LIMITS };
    let (address, stats) = listening(router(questions()), limits, None).await;
    client(move || {
        let request = GET.replace("Connection: close\r\n", "");
        assert!(ask(address, &request).contains("200 OK"));
    })
    .await;
    let refused: u64 = Refused::ALL.into_iter().map(|why| stats.refused(why)).sum();
    assert_eq!((refused, stats.accepted()), (0, 1));

    let limits = Limits { lifetime: Some(Duration::ZERO), ..LIMITS };
    let (address, _) = listening(router(questions()), limits, None).await;
    client(move || {
        let answer = ask(address, &GET.replace("Connection: close\r\n", ""));
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_taken_is_given_up() {
    const LARGE: usize = 64 << 20;
    let limits = Limits { stall: Duration::from_secs(2), ..LIMITS };
    let router = Router::new().fallback(|| async { vec![b'x'; LARGE] });
    let (address, stats) = listening(router, limits, None).await;
    let taken = client(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(GET.as_bytes()).unwrap();
        let since = Instant::now();
        while stats.refused(Refused::Stalled) == 0 {
            assert!(since.elapsed() < Duration::from_secs(60), "it is still served");
            std::thread::sleep(Duration::from_millis(20));
        }
        // What is in the sockets' buffers came all the same.
        let mut taken = 0;
        let mut buffer = vec![0; 1 << 20];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            taken += read;
        }
        taken
    })
    .await;
    assert!(taken < LARGE, "{taken}");
}

/// A body that is counted for as long as it is there.
struct Counted {
    bytes: Arc<Vec<u8>>,
    alive: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_are_held_up_to_a_limit() {
    // What the sockets' buffers take is little of it.
    const LARGE: usize = 64 << 20;
    let (bytes, alive) = (Arc::new(vec![b'x'; LARGE]), Arc::new(AtomicUsize::new(0)));
    let large = {
        let alive = Arc::clone(&alive);
        move || {
            alive.fetch_add(1, Ordering::SeqCst);
            let body = Bytes::from_owner(Counted { bytes: Arc::clone(&bytes), alive: Arc::clone(&alive) });
            async move { body }
        }
    };
    let router = Router::new().route("/healthz", get(|| async { "ok\n" })).fallback(large);
    let limits = Limits { held: 4 * LARGE, stall: Duration::from_secs(60), ..LIMITS };
    let (address, stats) = listening(router, limits, None).await;
    client(move || {
        // Reads the status, and nothing more.
        let open = || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(GET.replace("/healthz", "/large").as_bytes()).unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).unwrap();
            (stream, String::from_utf8_lossy(&status).into_owned())
        };
        let wait_for = |number: usize| {
            let since = Instant::now();
            while alive.load(Ordering::SeqCst) != number {
                let there = alive.load(Ordering::SeqCst);
                assert!(since.elapsed() < Duration::from_secs(30), "{there} bodies, not {number}");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        let mut clients: Vec<_> = (0..20).map(|_| open()).collect();
        for (number, (_, status)) in clients.iter().enumerate() {
            let expected = if number < 4 { "HTTP/1.1 200" } else { "HTTP/1.1 503" };
            assert_eq!(status, expected, "{number}");
        }
        // Bodies, not our books of them.
        assert_eq!(alive.load(Ordering::SeqCst), 4);
        let refused = ask(address, &GET.replace("/healthz", "/api/v1/top"));
        assert!(refused.contains("retry-after: 5\r\n") && refused.contains(r#""code":"busy""#), "{refused}");
        assert_eq!(stats.refused(Refused::Busy), 17);
        assert!(ask(address, GET).starts_with("HTTP/1.1 200 OK"));
        // One that is taken makes room for one.
        let mut taken = clients.swap_remove(0).0;
        assert!(io::copy(&mut taken, &mut io::sink()).unwrap() > LARGE as u64);
        wait_for(3);
        assert_eq!([open(), open()].map(|(_, status)| status), ["HTTP/1.1 200", "HTTP/1.1 503"]);
        // So do clients that are gone.
        drop(clients);
        wait_for(0);
        let again: Vec<_> = (0..4).map(|_| open()).collect();
        assert!(again.iter().all(|(_, status)| status == "HTTP/1.1 200"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_clients_do_not_keep_a_scrape_from_its_answer() {
    // Both ends are in this process.
    let limit = ["--pid", &std::process::id().to_string(), "--nofile=4096:"].map(str::to_owned);
    assert!(Command::new("prlimit").args(limit).status().unwrap().success());
    let (address, stats) = listening(router(questions()), LIMITS, None).await;
    let slow = client(move || {
        let slow: Vec<_> = (0..1000)
            .map(|number| {
                let mut stream = TcpStream::connect(address).unwrap();
                // Some say nothing at all, some a part of a head, some nothing more after an answer.
                match number % 3 {
                    0 => {}
                    1 => stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:").unwrap(),
                    _ => stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap(),
                }
                stream
            })
            .collect();
        for _ in 0..20 {
            let scraped = ask(address, &GET.replace("/healthz", "/metrics"));
            assert!(scraped.starts_with("HTTP/1.1 200 OK"), "{scraped}");
            assert!(scraped.contains("classifier_link_bytes_total"), "{scraped}");
        }
        slow
    })
    .await;
    assert_eq!(stats.accepted(), 1020);
    assert!(stats.open() <= LIMITS.connections as u64);
    // Who came after the last place was taken displaced another one. Those that were done by then made room themselves.
    let displaced = stats.refused(Refused::Displaced);
    assert!((700..=1020 - LIMITS.connections as u64).contains(&displaced), "{displaced}");
    assert_eq!(stats.refused(Refused::Connections), 0);
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_none() {
    let (address, stats) = listening(router(questions()), LIMITS, None).await;
    client(move || {
        let many: String = (0..65).map(|number| format!("X-{number}: 1\r\n")).collect();
        for (request, status) in [
            ("GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".to_owned(), "413 "),
            (
                "GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
                "413 ",
            ),
            ("POST /api/v1/top HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".into(), "405 "),
            (
                "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(),
                "200 ",
            ),
            (format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n"), "431 "),
            (format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000)), "4"),
            ("GET / SPDY/1\r\n\r\n".into(), "400 "),
            ("\u{16}\u{3}\u{1}\u{2}\0\r\n\r\n".into(), "400 "),
        ] {
            let answer = ask(address, &request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:.80}: {answer}");
        }
    })
    .await;
    assert_eq!(stats.refused(Refused::Body), 3);
    assert_eq!(stats.refused(Refused::Request), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_listeners_are_in_the_metrics() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, questions(), Service::default(), std::future::pending()));
    let text = client(move || {
        ask(address, "GET / HTTP/9\r\n\r\n");
        ask(address, &GET.replace("/healthz", "/metrics"))
    })
    .await;
    for (series, value) in [
        (r#"classifier_http_connections{listener="operator"}"#, 1.0),
        (r#"classifier_http_connections_total{listener="operator"}"#, 2.0),
        (r#"classifier_http_connections_total{listener="public"}"#, 0.0),
        (r#"classifier_http_refused_total{listener="operator",reason="request"}"#, 1.0),
        (r#"classifier_http_refused_total{listener="public",reason="displaced"}"#, 0.0),
    ] {
        assert_eq!(metric(&text, series), Some(value), "{series}");
    }
}
