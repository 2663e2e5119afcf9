//! With the three capabilities that it asks for, and no others.

use std::{env, fs, net::UdpSocket, os::unix::fs::PermissionsExt as _, process::Command, time::Duration};

use serde_json::json;

use crate::{
    agent::{Agent, binary, clean, counter, expected, rows, tc},
    lab::{in_namespace, run},
    privileges,
    world::Files,
};

/// Set where this test program itself has these capabilities only, and is in a namespace of its own already.
const FEW: &str = "CLASSIFIER_TEST_CAPS";
const CAPABILITIES: &str = "-all,+bpf,+net_admin,+perfmon";

#[test]
fn minimal_caps_the_agent_counts_exactly() {
    if env::var_os(FEW).is_some() {
        counts(binary());
    } else {
        in_namespace(|| {
            // Nobody cannot go where this binary may lie.
            let directory = tempfile::tempdir().expect("a directory");
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
            let copy = directory.path().join("classifier");
            fs::copy(env!("CARGO_BIN_EXE_classifier"), &copy).expect("copied");
            let mut nobody = Command::new("setpriv");
            clean(&mut nobody);
            nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
            for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
                nobody.arg(format!("{set}={CAPABILITIES}"));
            }
            nobody.arg(&copy);
            counts(nobody);
        });
    }
}

/// Both ends in one namespace: frames that a socket sends out of one end come in at the other.
fn counts(agent: Command) {
    let files = Files::new();
    run("ip link add m0 type veth peer name m1");
    for end in ["m0", "m1"] {
        // No neighbour discovery, no multicast reports: only what this test sends.
        fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1").expect("disable_ipv6");
        run(&format!("ip link set {end} arp off up"));
    }
    run("ip addr add 45.57.0.1/32 dev m1");
    run("ip addr add 8.8.8.8/32 dev m1");
    run("ip route add 192.0.2.0/24 dev m1");
    run("ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev m1 nud permanent");
    run("ip addr add 192.0.2.99/32 dev m0");
    run("ip route add 45.57.1.0/24 dev m0");
    run("ip neigh add 45.57.1.1 lladdr 02:00:00:00:00:02 dev m0 nud permanent");

    let agent = Agent::spawn(agent, &format!("-i m0=transit --listen 127.0.0.1:9471 {}", files.arguments()));
    let send = |from: &str, to: &str, times: usize, payload: usize| {
        let socket = UdpSocket::bind(from).expect("bind");
        socket.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        for _ in 0..times {
            socket.send_to(&vec![7; payload], to).expect("send");
        }
    };
    // Ethernet, IPv4 and UDP headers: 42 bytes.
    send("45.57.0.1:5000", "192.0.2.1:9", 20, 958);
    send("8.8.8.8:5000", "192.0.2.1:9", 30, 58);
    send("192.0.2.99:5000", "45.57.1.1:9", 40, 158);
    let status = agent.settled(&[("transit rx", 50), ("transit tx", 40)]);
    assert_eq!(
        (&status["links"][0]["rx"]["mode"], &status["links"][0]["tx"]["mode"]),
        (&json!("native"), &json!(tc()))
    );
    // What of the bounding set could not be given up: SETPCAP is not among the three.
    let bounding = privileges::bounding(std::process::id());
    let bounding = if env::var_os(FEW).is_some() { bounding } else { privileges::THREE };
    privileges::assert_without(agent.id(), bounding);
    let other = agent.other_half();
    if env::var_os(FEW).is_some() {
        // Who may not trace it does not see what it has open, either.
        privileges::assert_three(other, bounding);
        assert!(privileges::open(other).is_empty());
    } else {
        privileges::assert_counts(other, bounding, 1);
    }
    let top = agent.ask("top");
    let (inside, outside) = (&top["directions"]["in"], &top["directions"]["out"]);
    assert_eq!(rows(&inside["rows"], "asn"), expected(&[("2906", 20, 20_000), ("15169", 30, 3_000)]));
    assert_eq!(rows(&outside["rows"], "asn"), expected(&[("2906", 40, 8_000)]));
    assert_eq!(counter(&inside["total"]), (50, 23_000));

    // A new table without any privilege more.
    files.write("override.txt", "45.57.0.0/24 64997 Somebody\n");
    let mark = agent.log().len();
    agent.signal(libc::SIGHUP);
    agent.wait_log(mark, "override.txt: 1 prefixes, 2 changed");
    send("45.57.0.1:5000", "192.0.2.1:9", 7, 58);
    agent.settled(&[("transit rx", 57)]);
    let top = agent.ask("top --direction in");
    assert_eq!(rows(&top["directions"]["in"]["rows"], "asn")[2], ("64997".to_owned(), 7, 700));
    let (status, log) = agent.end(libc::SIGTERM);
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!run("ip -d link show m0").contains("prog/xdp"), "left on the interface");
    run("ip link del m0");
}
