//! Starting, ending, and everything that stands in the way.

use std::{fs, net::TcpListener, process::Command};

use classifier_user::datapath::{
    Sizes,
    kernel::{Kernel, Setup},
};
use classifier_user::model::LinkId;
use serde_json::{Value, json};

use crate::{
    agent::{Agent, classifier, counter, eventually, refused, rows, stderr, stdout, tc},
    lab::{in_namespace, run},
    world::{Files, ip, send, send_from, wire},
};

/// Programs that this namespace's interfaces have, as iproute2 and bpftool see them.
fn programs() -> (bool, bool) {
    (run("ip -d link show r0").contains("prog/xdp"), run("bpftool net").contains("r0("))
}

fn table(files: &Files) -> String {
    format!("--table {}", files.path("table.csv").display())
}

#[test]
fn it_detaches_on_sigint_and_sigterm_and_leaves_nothing() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        for (signal, word) in [(libc::SIGINT, "interrupted"), (libc::SIGTERM, "told to end")] {
            let agent = Agent::start(&format!("-i r0=transit {}", table(&files)));
            assert_eq!(programs(), (true, true), "attached");
            let log = agent.log();
            for line in [
                "table.csv: 7 prefixes",
                "FIB: 5 IPv4 and 2 IPv6 prefixes",
                &format!("transit (upstream, r0): receive native, transmit {}", tc()),
                "listening on http://127.0.0.1:9469 (metrics at /metrics)",
            ] {
                assert!(log.contains(line), "no {line:?} in {log}");
            }
            send_from(&peer, "p0", &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
            agent.settled(&[("transit rx", 3)]);
            let (status, log) = agent.end(signal);
            assert_eq!(status.code(), Some(0), "{log}");
            assert!(
                log.contains(word) && log.contains("nothing of the agent is left in the kernel"),
                "{log}"
            );
            assert_eq!(programs(), (false, false), "detached");
            assert_eq!(stdout(&classifier("detach")), "nothing of classifier is attached here\n");
            let said = refused("top");
            assert!(
                said.contains("no agent answers at http://127.0.0.1:9469 (connection refused)"),
                "{said}"
            );
        }
        // Data of long ago, and a default route, are said.
        let old = files.path("old.csv");
        fs::write(&old, "prefix,asn,name\n0.0.0.0/0,64999,\"All\"\n").expect("written");
        let overrides = files.path("override.txt");
        run(&format!("touch -d 2020-01-01 {} {}", old.display(), overrides.display()));
        let agent =
            Agent::start(&format!("-i r0 --table {} --override {}", old.display(), overrides.display()));
        let log = agent.log();
        assert_eq!(log.matches(" days old, and what moved to another AS since").count(), 1, "{log}");
        assert!(
            log.contains("the table has a default route (0.0.0.0/0): no IPv4 traffic will be unmatched"),
            "{log}"
        );
        drop(agent);
        // Even one that is killed: its other half takes filters off, and the kernel all else.
        let agent = Agent::start(&format!("-i r0 {}", table(&files)));
        let (status, _) = agent.end(libc::SIGKILL);
        assert_eq!(status.code(), None);
        eventually("nothing stays", || (programs() == (false, false)).then_some(()));
    });
}

#[test]
fn a_second_instance_is_refused_and_the_first_goes_on() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let table = table(&files);
        let agent = Agent::start(&format!("-i r0 {table}"));
        let said = refused(&format!("run -i r0 {table}"));
        assert!(said.contains("cannot listen on 127.0.0.1:9469: Address already in use"), "{said}");
        assert!(said.contains("--listen"), "{said}");
        for mode in ["auto", "native", "tc"] {
            let said = refused(&format!("run -i r0 {table} --listen 127.0.0.1:9470 --xdp-mode {mode}"));
            assert!(said.contains("another classifier counts on r0 already"), "{mode}: {said}");
        }
        let output = classifier(&format!("check -i r0 {table} --json"));
        assert_eq!(output.status.code(), Some(1));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let about = |what: &str| {
            let findings = report["findings"].as_array().expect("findings");
            let found = findings.iter().find(|finding| finding["about"] == what);
            found.unwrap_or_else(|| panic!("nothing about {what}: {report}"))["message"]
                .as_str()
                .expect("text")
        };
        assert!(about("r0").contains("classifier detach"), "{report}");
        assert!(about("listen").contains("another agent?"), "{report}");
        send_from(&peer, "p0", &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
        send("r0", &vec![(2, ip("192.0.2.1", "8.8.8.8", 100))]);
        agent.settled(&[("r0 rx", 3), ("r0 tx", 2)]);
    });
}

#[test]
fn somebody_elses_program_is_named_and_stays() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let table = table(&files);
        let sizes = Sizes { classes: 64, v4_rows: 1, v6_rows: 1, v6_nodes: 1 };
        let nowhere = Setup { link: LinkId(0), ifindex: 9999, vlan: None, sides: [3, 3], extra_bytes: 0 };
        let mut foreign =
            Kernel::load_harness(&sizes, &[nowhere], &["wire_nothing"], false).expect("the harness");
        let link = foreign.attach_xdp("wire_nothing", "r0").expect("a foreign program");
        let before = run("ip -d link show r0");
        let id = before.split("prog/xdp id ").nth(1).and_then(|rest| rest.split(' ').next()).expect("its id");

        for mode in ["auto", "native"] {
            let said = refused(&format!("run -i r0 {table} --xdp-mode {mode}"));
            assert!(said.contains("r0 has an XDP program already"), "{mode}: {said}");
            assert!(said.contains(&format!("(program id {id}, wire_nothing)")), "{mode}: {said}");
            assert!(said.contains("--xdp-mode tc"), "{mode}: {said}");
        }
        let check = classifier(&format!("check -i r0 {table}"));
        assert_eq!(check.status.code(), Some(1));
        assert!(
            stdout(&check)
                .contains(&format!("an XDP program (id {id}, wire_nothing, native) is on r0 already")),
            "{}",
            stdout(&check)
        );
        assert_eq!(stdout(&classifier("detach")), "nothing of classifier is attached here\n");
        assert_eq!(run("ip -d link show r0"), before, "untouched");

        // Beside it, where the user says so.
        let check = classifier(&format!("check -i r0 {table} --xdp-mode tc --json"));
        assert_eq!(check.status.code(), Some(0), "{}", stdout(&check));
        let agent = Agent::start(&format!("-i r0 {table} --xdp-mode tc"));
        send_from(&peer, "p0", &vec![(4, ip("8.8.8.8", "192.0.2.1", 100))]);
        agent.settled(&[("r0 rx", 4)]);
        let (status, _) = agent.end(libc::SIGTERM);
        assert_eq!(status.code(), Some(0));
        assert_eq!(run("ip -d link show r0"), before, "untouched");
        drop(link);
    });
}

#[test]
fn detach_takes_off_what_runs_here_and_nothing_elsewhere() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let agent = Agent::start(&format!("-i r0 {}", table(&files)));
        // Another router, on another machine so to speak.
        let arguments = table(&files);
        in_namespace(|| {
            let _peer = wire();
            let elsewhere = Agent::start(&format!("-i r0 {arguments}"));
            let said = stdout(&classifier("detach"));
            assert_eq!(said.lines().count(), 2, "{said}");
            assert!(
                said.contains("detached classifier_xdp (") && said.contains("detached classifier_tx ("),
                "{said}"
            );
            assert_eq!(programs(), (false, false));
            assert_eq!(elsewhere.end(libc::SIGTERM).0.code(), Some(0));
        });
        assert_eq!(programs(), (true, true), "this one's are still on");
        send_from(&peer, "p0", &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
        let status = agent.settled(&[("r0 rx", 3)]);
        assert_eq!(status["warnings"], json!([]));

        let output = classifier("detach");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(programs(), (false, false));
        send_from(&peer, "p0", &vec![(5, ip("8.8.8.8", "192.0.2.1", 100))]);
        agent.two_sweeps();
        // It answers on with what it has, and does not pretend to count.
        let status = agent.ask("status");
        assert_eq!((&status["links"][0]["rx"], &status["links"][0]["tx"]), (&Value::Null, &Value::Null));
        let warnings = status["warnings"].as_array().expect("warnings");
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        for (warning, hook) in warnings.iter().zip(["receive", "transmit"]) {
            let expected = format!("r0: the program on {hook} of r0 was taken off");
            assert!(warning.as_str().expect("text").starts_with(&expected), "{warning}");
            agent.wait_log(0, &expected);
        }
        let link = &agent.ask("links")["links"][0]["directions"]["in"];
        assert_eq!((counter(&link["since_start"]), &link["mode"]), ((3, 300), &Value::Null));
        assert!(stdout(&agent.command("status")).contains("not attached"));
        agent.metrics().assert_clean();
        assert_eq!(agent.metrics().sum("classifier_datapath_mode", &[]), 0.0);
        assert_eq!(rows(&agent.ask("top")["directions"]["in"]["rows"], "asn")[0].1, 3);
        assert_eq!(agent.end(libc::SIGTERM).0.code(), Some(0));
    });
}

#[test]
fn an_interface_that_goes_away_is_missed() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        for mode in ["native", "tc"] {
            if mode == "tc" {
                crate::lab::veth(&peer, "r0", "p0", 1500);
            }
            let agent = Agent::start(&format!("-i r0=transit {} --xdp-mode {mode}", table(&files)));
            send_from(&peer, "p0", &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
            agent.settled(&[("transit rx", 3)]);
            run("ip link del r0");
            agent.wait_log(0, "transit: r0 is gone: nothing is counted there until it is back");
            let top = agent.ask("top");
            assert_eq!(rows(&top["directions"]["in"]["rows"], "asn"), [("15169".to_owned(), 3, 300)]);
            assert_eq!(agent.end(libc::SIGTERM).0.code(), Some(0));
        }
    });
}

#[test]
fn what_is_wrong_with_an_interface_is_said_before_anything_is_attached() {
    in_namespace(|| {
        let (_peer, files) = (wire(), Files::new());
        let table = table(&files);
        let said = refused(&format!("run -i r0 -i eth7 {table}"));
        assert_eq!(said, "error: there is no interface eth7; this machine has lo, r0\n");
        let check = classifier(&format!("check -i eth7 {table}"));
        assert_eq!(check.status.code(), Some(1));
        assert!(
            stdout(&check).contains("there is no interface eth7; there are lo, r0"),
            "{}",
            stdout(&check)
        );
        let check = classifier(&format!("check -i eth7 {table} --wait"));
        assert_eq!(check.status.code(), Some(0), "{}", stdout(&check));

        run("ip tuntap add dev tun0 mode tun");
        let said = refused(&format!("run -i tun0 {table}"));
        assert!(said.contains("tun0 carries no Ethernet frames (hardware type 65534)"), "{said}");
        assert_eq!(classifier(&format!("check -i tun0 {table}")).status.code(), Some(1));
        run("ip link del tun0");

        let taken = TcpListener::bind("127.0.0.1:9469").expect("bind");
        let said = refused(&format!("run -i r0 {table}"));
        assert!(said.contains("cannot listen on 127.0.0.1:9469"), "{said}");
        drop(taken);
        let said = refused(&format!("run -i r0 {table} --listen 192.0.2.77:9469 --insecure-listen"));
        assert!(said.contains("cannot listen on 192.0.2.77:9469: Cannot assign requested address"), "{said}");

        let empty = files.path("empty.csv");
        fs::write(&empty, "").expect("written");
        for (file, message) in [
            (empty.display().to_string(), "empty.csv: there is no route in this file"),
            (files.path("none.csv").display().to_string(), "none.csv: No such file or directory"),
            ("/dev/null".to_owned(), "/dev/null: there is no route in this file"),
        ] {
            let said = refused(&format!("run -i r0 --table {file}"));
            assert!(said.contains(message), "{said}");
        }
        let said = refused(&format!("run -i r0 {table} --bank-memory 1K"));
        assert!(said.contains("--bank-memory allows") && said.contains("--granularity as"), "{said}");
        assert_eq!(programs(), (false, false));
    });
}

#[test]
fn a_driver_without_native_xdp_is_counted_at_tc_and_that_is_said() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        run("ip link add br0 type bridge");
        run("ip link set r0 master br0");
        run("ip link set br0 arp off up");
        // BR_STATE_FORWARDING; a port waits for its carrier to be noticed.
        eventually("the bridge forwards", || {
            let state = fs::read_to_string("/sys/class/net/r0/brport/state").expect("a port");
            (state.trim() == "3").then_some(())
        });
        let table = table(&files);
        let said = refused(&format!("run -i br0 {table} --xdp-mode native"));
        assert!(said.contains("br0 does not take native XDP") && said.contains("--xdp-mode auto"), "{said}");
        let check = classifier(&format!("check -i br0 {table} --xdp-mode native --json"));
        assert_eq!(check.status.code(), Some(1));
        let check = classifier(&format!("check -i br0 {table} --json"));
        assert_eq!(check.status.code(), Some(0));
        let report: Value = serde_json::from_slice(&check.stdout).expect("JSON");
        assert_eq!((&report["links"][0]["rx"], &report["links"][0]["tx"]), (&json!(tc()), &json!(tc())));

        let agent = Agent::start(&format!("-i br0 {table}"));
        let log = agent.log();
        assert!(log.contains("br0: no native XDP ("), "{log}");
        assert!(log.contains(&format!("br0 (upstream, br0): receive {0}, transmit {0}", tc())), "{log}");
        // To everybody, so also to the bridge itself: that is what it receives.
        let mut frame = ip("8.8.8.8", "192.0.2.1", 100);
        frame[..6].fill(0xff);
        send_from(&peer, "p0", &vec![(4, frame)]);
        let status = agent.settled(&[("br0 rx", 4)]);
        assert_eq!(status["links"][0]["rx"]["mode"], tc());
        let mode = [("link", "br0"), ("hook", "rx"), ("mode", tc())];
        assert_eq!(agent.metrics().one("classifier_datapath_mode", &mode), 1.0);
    });
}

#[test]
fn without_the_capabilities_it_says_which() {
    in_namespace(|| {
        let (_peer, files) = (wire(), Files::new());
        let run_as = |dropped: &str, command: &str| {
            // One that is let in would not end by itself.
            let mut setpriv = Command::new("timeout");
            crate::agent::clean(&mut setpriv);
            setpriv
                .args(["-k", "1", "60", "setpriv"])
                .args([&format!("--bounding-set={dropped}"), &format!("--inh-caps={dropped}")])
                .args([env!("CARGO_BIN_EXE_classifier"), command, "-i", "r0", "--table"])
                .arg(files.path("table.csv"))
                .output()
                .expect("setpriv (util-linux)")
        };
        // CAP_SYS_ADMIN stands for each of the three.
        for dropped in ["-all", "-bpf,-sys_admin", "-net_admin,-sys_admin", "-perfmon,-sys_admin"] {
            let output = run_as(dropped, "run");
            assert_eq!(output.status.code(), Some(1), "{dropped}: {}", stderr(&output));
            let said = stderr(&output);
            for word in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "classifier check"] {
                assert!(said.contains(word), "{dropped}: {said}");
            }
            let check = run_as(dropped, "check");
            assert_eq!(check.status.code(), Some(1), "{dropped}");
            let missing = match dropped {
                "-all" => "BPF, NET_ADMIN, PERFMON missing",
                "-bpf,-sys_admin" => "BPF missing",
                "-net_admin,-sys_admin" => "NET_ADMIN missing",
                _ => "PERFMON missing",
            };
            assert!(stdout(&check).contains(missing), "{dropped}: {}", stdout(&check));
        }
        assert_eq!(programs(), (false, false));
    });
}
