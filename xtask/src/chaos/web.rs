//! Clients that are too slow, and too many.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::sys::Namespace;

/// How long one answer may take, at most.
const ANSWER: Duration = Duration::from_secs(30);

/// Before a refused client asks again.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks, and leaves the answer to whoever wants it.
pub(super) fn ask(port: u16, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").as_bytes())?;
    Ok(stream)
}

/// The status of an answer, and how long its body is.
pub(super) fn get(port: u16, path: &str) -> Result<(u16, usize)> {
    let mut stream = ask(port, path)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no answer")?;
    Ok((status, text.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len())))
}

/// So many clients that send half of what they ask; they stay until this goes. How many the agent let in.
pub(super) fn slow_clients(number: usize, port: u16) -> Vec<TcpStream> {
    let client = |_| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ag").ok()?;
        Some(stream)
    };
    (0..number).filter_map(client).collect()
}

/// So many clients that all ask at once, so many times, and then until they were answered. The answers by their status: well,
/// refused, none.
pub(super) fn storm(router: &Arc<Namespace>, clients: usize, times: usize, port: u16) -> Result<[usize; 3]> {
    let client = || -> Result<[usize; 3]> {
        router.enter()?;
        let mut answers = [0; 3];
        let since = Instant::now();
        for time in 0.. {
            if time >= times && answers[0] > 0 {
                break;
            }
            ensure!(since.elapsed() < ANSWER, "a client is not served: of {time} scrapes {answers:?}");
            answers[match get(port, "/metrics") {
                Ok((200, _)) => 0,
                Ok(_) => 1,
                Err(_) => 2,
            }] += 1;
            if time >= times {
                thread::sleep(PAUSE);
            }
        }
        Ok(answers)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let mut all = [0; 3];
        for thread in threads {
            let answers = thread.join().map_err(|_| anyhow!("a client panicked"))??;
            all.iter_mut().zip(answers).for_each(|(all, answers)| *all += answers);
        }
        Ok(all)
    })
}
