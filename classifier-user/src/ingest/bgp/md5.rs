//! Passwords that differ are dropped by the kernel without a word to either program: it only counts them.

use std::{
    fs, io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tracing::warn;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(10);

/// What the kernel counts, of all programs of this network namespace, and what it means.
const COUNTERS: [(&str, &str); 3] = [
    ("TCPMD5NotFound", "without a password, where one is configured here"),
    ("TCPMD5Unexpected", "with a password, where none is configured here"),
    ("TCPMD5Failure", "with another password than is configured here"),
];

/// Says so whenever segments were dropped for their signature, and counts them; for ever.
pub(super) async fn watch(dropped: &AtomicU64) {
    let mut before = read().unwrap_or_default();
    loop {
        tokio::time::sleep(EVERY).await;
        let Ok(now) = read() else { return };
        dropped.fetch_add(say(before, now), Relaxed);
        before = now;
    }
}

/// Says what was dropped between the two, and how many segments these were together.
fn say(before: [u64; 3], now: [u64; 3]) -> u64 {
    let mut dropped = 0;
    for ((_, meaning), (before, now)) in COUNTERS.iter().zip(before.into_iter().zip(now)) {
        if now > before {
            warn!("TCP MD5: {} segments came {meaning} (of all programs on this machine)", now - before);
            dropped += now - before;
        }
    }
    dropped
}

fn read() -> io::Result<[u64; 3]> {
    fs::read_to_string("/proc/thread-self/net/netstat").map(|text| counters(&text))
}

/// Of pairs of lines, names above values.
fn counters(text: &str) -> [u64; 3] {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let value = |wanted: &str| {
        let mut both = names.split_whitespace().zip(values.split_whitespace());
        both.find(|(name, _)| *name == wanted).and_then(|(_, value)| value.parse().ok()).unwrap_or_default()
    };
    COUNTERS.map(|(name, _)| value(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = "TcpExt: A TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure B\nTcpExt: 9 1 2 3 9\nIpExt: A\nIpExt: 5\n";
        assert_eq!(counters(text), [1, 2, 3]);
        assert_eq!(counters(""), [0, 0, 0]);
    }

    #[test]
    fn what_was_dropped_is_added_up() {
        assert_eq!(say([1, 2, 3], [1, 5, 4]), 4);
        // Another network namespace's counters may be lower.
        assert_eq!(say([9, 9, 9], [0, 0, 9]), 0);
    }

    #[test]
    fn this_kernel_has_them() {
        let text = fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
        for (name, _) in COUNTERS {
            assert!(text.contains(name), "{name}");
        }
    }
}
