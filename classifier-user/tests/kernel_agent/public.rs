//! The pages for everybody, of a real agent: what is there, and that nobody can keep it from counting.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    agent::{Agent, eventually},
    lab::in_namespace,
    world::{Files, inward, send_from, wire},
};

/// Clients at a time.
const CLIENTS: usize = 200;
/// Half seconds that they go on: a minute.
const ROUNDS: u64 = 120;
/// Time between sweeps of the tests' agents.
const INTERVAL: Duration = Duration::from_millis(200);

fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn public_address(agent: &Agent) -> String {
    let log = agent.log();
    let (_, rest) = log.split_once("the public's pages are on http://").expect("it says where");
    rest.split_whitespace().next().expect("an address").to_owned()
}

#[test]
fn two_hundred_clients_do_not_keep_it_from_counting() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let agent = Agent::start(&format!("-i r0=transit --public 127.0.0.1:0 {}", files.arguments()));
        let address = public_address(&agent);
        send_from(&peer, "p0", &inward());
        agent.settled(&[("transit rx", 39)]);
        for path in ["/metrics", "/healthz", "/api/v1/top", "/api/v1/status"] {
            assert_eq!(get(&address, path).expect("an answer").0, 404, "{path}");
        }
        eventually("the page shows what came", || {
            let (status, page) = get(&address, "/?last=1h")?;
            assert_eq!(status, 200);
            page.contains("Netflix Streaming Services").then_some(())
        });

        let (end, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let count = || agent.status()["sweeps"]["count"].as_u64().expect("a number");
        let (began, before) = (Instant::now(), count());
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (end, answers, address) = (Arc::clone(&end), Arc::clone(&answers), address.clone());
                thread::spawn(move || {
                    // Half of them ask for what is kept, the others for something else each time.
                    for round in 0.. {
                        if end.load(Relaxed) {
                            break;
                        }
                        let path = match client % 4 {
                            0 | 1 => "/?last=1h".to_owned(),
                            2 => format!("/search?q={client}-{round}"),
                            _ => format!("/as/{}", 1 + client * 100_000 + round),
                        };
                        if let Some((status, _)) = get(&address, &path) {
                            assert!(matches!(status, 200 | 404 | 503), "{path}: {status}");
                            answers.fetch_add(1, Relaxed);
                        }
                    }
                })
            })
            .collect();
        // Packets go on to be counted meanwhile.
        // Packets go on to be counted meanwhile.
        for _ in 0..ROUNDS {
            send_from(&peer, "p0", &inward());
            thread::sleep(Duration::from_millis(500));
        }
        let (took, swept) = (began.elapsed(), count() - before);
        end.store(true, Relaxed);
        for client in clients {
            client.join().expect("a client's thread");
        }
        let due = took.as_millis() / INTERVAL.as_millis();
        assert!(u128::from(swept) * 2 >= due, "{swept} sweeps in {took:?}, due were {due}");
        assert!(answers.load(Relaxed) > CLIENTS as u64, "{} answers", answers.load(Relaxed));
        agent.settled(&[("transit rx", 39 * (ROUNDS + 1))]);
    });
}
