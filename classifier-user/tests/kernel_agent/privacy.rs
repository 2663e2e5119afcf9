//! Nothing that the agent keeps or says has the address of anybody.

use std::{fs, path::Path};

use crate::{
    agent::Agent,
    history::journaled,
    lab::in_namespace,
    world::{Files, Traffic, ip, send, send_from, wire},
};

/// Hosts of this test, of networks that its table has: text and bytes that stand nowhere else.
const HOSTS: [&str; 4] =
    ["45.57.93.201", "192.0.2.173", "2a00:86c0:9d3b:71a5:4c2e:98f6:b3d7:e15c", "8.8.8.219"];

/// What would give a host away: its text, its bytes in either order, as they stand in a packet or in a number.
fn traces(host: &str) -> Vec<Vec<u8>> {
    let bytes = match host.parse().expect("an address") {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    };
    let turned = bytes.iter().rev().copied().collect();
    // The host's own half of an IPv6 address would be enough.
    let half = bytes.get(8..).filter(|half| !half.is_empty()).map(<[u8]>::to_vec);
    [Some(host.as_bytes().to_vec()), Some(bytes), Some(turned), half].into_iter().flatten().collect()
}

fn files(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).expect("readable")));
        }
    }
}

#[test]
fn no_address_is_kept_or_said() {
    in_namespace(|| {
        let (peer, sources, state) = (wire(), Files::new(), tempfile::tempdir().expect("a directory"));
        let [remote, local, six, other] = HOSTS;
        let inward: Traffic =
            vec![(7, ip(remote, local, 1000)), (3, ip(other, local, 200)), (2, ip(six, "2001:db8::7", 300))];
        let outward: Traffic = vec![(5, ip(local, remote, 100))];
        let agent = Agent::start(&format!(
            "-i r0=transit {} --state-dir {} --log debug",
            sources.arguments(),
            state.path().display()
        ));
        send_from(&peer, "p0", &inward);
        send("r0", &outward);
        agent.settled(&[("transit rx", 12), ("transit tx", 5)]);
        journaled(&agent);
        let mut kept = Vec::new();
        // While it runs there is a journal, at its end the store has all.
        files(state.path(), &mut kept);
        for path in [
            "/metrics",
            "/",
            "/api/v1/top?by=prefix&n=1000",
            "/api/v1/top?by=prefix&n=1000&side=local",
            "/api/v1/as/2906",
            "/api/v1/prefix/45.57.0.0/17",
            "/api/v1/links",
            "/api/v1/status",
        ] {
            kept.push((path.to_owned(), agent.get(path).1.into_bytes()));
        }
        let text = String::from_utf8_lossy(&kept.last().expect("the status").1).into_owned();
        assert!(text.contains("\"closure_ok\":true"), "{text}");
        assert!(
            kept.iter().any(|(name, bytes)| name.ends_with(".journal") && !bytes.is_empty()),
            "a journal"
        );
        let (_, log) = agent.end(libc::SIGTERM);
        kept.push(("the log".to_owned(), log.into_bytes()));
        files(state.path(), &mut kept);
        assert!(kept.len() > 10);
        for host in HOSTS {
            for trace in traces(host) {
                for (name, bytes) in &kept {
                    let found = bytes.windows(trace.len()).position(|window| window == trace);
                    assert_eq!(found, None, "{name} has {host} as {trace:?}");
                }
            }
        }
    });
}
