//! Bonds, ports of bridges, VLAN devices: counted once, or told where to count instead. Not every kernel has all of them:
//! see [`has_device`].

use serde_json::{Value, json};

use crate::{
    agent::{Agent, classifier, eventually, frames, refused, stdout, tc},
    lab::{Peer, in_namespace, run, veth},
    world::{Files, has_device, ip, send, send_from, tagged, wire},
};

/// What `check` says of the first link, and all it notes.
pub(crate) fn check(arguments: &str) -> (Value, String) {
    let output = classifier(&format!("check {arguments} --json"));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(i32::from(report["ok"] != true)), "{report}");
    let messages = report["findings"].as_array().expect("findings").iter();
    let messages = messages.map(|finding| format!("{} {}\n", finding["level"], finding["message"])).collect();
    (report["links"][0].clone(), messages)
}

/// Waits until a bridge forwards what comes in on this port of it.
fn forwards(port: &str) {
    eventually("the bridge forwards", || {
        let state = std::fs::read_to_string(format!("/sys/class/net/{port}/brport/state"));
        (state.expect("a port").trim() == "3").then_some(())
    });
}

#[test]
fn ports_of_a_bridge_count_what_is_bridged_once_each() {
    in_namespace(|| {
        let (peer, files) = (Peer::new(), Files::new());
        veth(&peer, "r0", "p0", 1500);
        veth(&peer, "r1", "p1", 1500);
        run("ip link add br0 type bridge");
        for port in ["r0", "r1"] {
            run(&format!("ip link set {port} master br0"));
        }
        run("ip link set br0 arp off up");
        for port in ["r0", "r1"] {
            forwards(port);
        }
        let links = format!("-i r0=up -d r1=down {}", files.arguments());
        let (link, said) = check(&links);
        assert_eq!((&link["rx"], &link["tx"]), (&json!("native"), &json!(tc())), "{said}");
        assert!(
            said.contains(
                "r0 is a port of the bridge br0: all frames of this port are counted, bridged ones too"
            ),
            "{said}"
        );
        let (_, said) = check(&format!("-i br0 {}", files.arguments()));
        assert!(
            said.contains("only what this machine itself sends and receives passes it; give its ports"),
            "{said}"
        );
        // What the bridge itself sends goes out of a port, too.
        let twice = "r0 is a port of the bridge br0, and both are links";
        let both = format!("-i br0=own -i r0=up {}", files.arguments());
        let (said, noted) = (refused(&format!("run {both}")), check(&both).1);
        assert!(said.contains(twice) && noted.contains(twice), "{said} {noted}");

        let agent = Agent::start(&links);
        send_from(&peer, "p0", &vec![(5, ip("45.57.0.1", "192.0.2.1", 1000))]);
        send_from(&peer, "p1", &vec![(3, ip("192.0.2.1", "45.57.0.1", 100))]);
        // Bridged: what comes in on one goes out of the other.
        let status = agent.settled(&[("up rx", 5), ("up tx", 3), ("down rx", 3), ("down tx", 5)]);
        assert_eq!(frames(&status, "up rx"), frames(&status, "down tx"));
        let top = agent.ask("top");
        let total = |direction: &str| crate::agent::counter(&top["directions"][direction]["total"]);
        assert_eq!((total("in"), total("out")), ((5, 5000), (3, 300)));
    });
}

/// What is put together while the agent runs: a link that comes and would count twice is not counted, and two that are
/// counted already are warned of.
#[test]
fn what_would_count_twice_later_is_not_counted_or_warned_of() {
    in_namespace(|| {
        let (_peer, files) = (wire(), Files::new());
        let agent = Agent::start(&format!("-i r0=up -i br0=own --wait {}", files.arguments()));
        let warned = |text: &str| {
            let status = agent.status();
            let warnings = status["warnings"].as_array().expect("warnings").iter();
            warnings.filter_map(Value::as_str).any(|warning| warning.contains(text))
        };
        // It has its port before it has its name, and sends nothing by itself.
        run("ip link add br9 type bridge mcast_snooping 0");
        run("ip link set br9 arp off up");
        run("ip link set r0 master br9");
        run("ip link set br9 down");
        run("ip link set br9 name br0");
        run("ip link set br0 up");
        let twice = "r0 is a port of the bridge br0, and both are links";
        agent.wait_log(0, &format!("own: {twice}"));
        // It is said a moment before the status has it.
        eventually("the status says so", || {
            (warned(&format!("own: {twice}")) && warned("nothing is counted there")).then_some(())
        });
        let status = agent.status();
        assert!(status["gaps"].as_array().expect("gaps").iter().any(|gap| gap["link"] == "own"), "{status}");
        forwards("r0");
        send("br0", &vec![(5, ip("192.0.2.1", "45.57.0.1", 100))]);
        agent.settled(&[("up tx", 5)]);
        let top = agent.ask("top --direction out");
        assert_eq!(crate::agent::counter(&top["directions"]["out"]["total"]), (5, 500));

        run("ip link set r0 nomaster");
        agent.wait_log(0, "own: br0 is counted again");
        let log = agent.log().len();
        run("ip link set r0 master br0");
        let later = format!("and frames count twice: {twice}");
        agent.wait_log(log, &later);
        eventually("the status says so", || warned(&later).then_some(()));
        run("ip link set r0 nomaster");
        eventually("the warning goes", || (!warned(&later)).then_some(()));
    });
}

#[test]
fn a_bond_is_counted_at_tc_or_by_its_members_and_never_twice() {
    in_namespace(|| {
        let (peer, files) = (Peer::new(), Files::new());
        if !has_device(
            "positions::a_bond_is_counted_at_tc_or_by_its_members_and_never_twice",
            "bond",
            "bond0",
            "type bond mode balance-rr",
        ) {
            return;
        }
        veth(&peer, "r0", "p0", 1500);
        veth(&peer, "r1", "p1", 1500);
        for member in ["r0", "r1"] {
            run(&format!("ip link set {member} down"));
            run(&format!("ip link set {member} master bond0"));
        }
        run("ip link set bond0 arp off up");
        let up = |member: &str| std::fs::read_to_string(format!("/sys/class/net/{member}/operstate"));
        for member in ["r0", "r1", "bond0"] {
            eventually("the bond is up", || (up(member).expect("an interface").trim() == "up").then_some(()));
        }
        let table = files.arguments();
        let said = refused(&format!("run -i bond0 -i r1=member {table}"));
        assert!(said.contains("r1 is a member of bond0, and both are links"), "{said}");
        let (_, said) = check(&format!("-i bond0 -i r1=member {table}"));
        assert!(said.contains("r1 is a member of bond0, and both are links"), "{said}");
        let said = refused(&format!("run -i bond0 {table} --xdp-mode native"));
        assert!(
            said.contains("bond0 is a bond: XDP would run on its members")
                && said.contains("give every member"),
            "{said}"
        );
        let (link, said) = check(&format!("-i bond0 {table}"));
        assert_eq!(link["rx"], tc(), "{said}");
        let (link, said) = check(&format!("-i r0 {table}"));
        assert_eq!(link["rx"], "native", "{said}");
        assert!(
            said.contains("only this member's frames are counted; give every member, or -i bond0"),
            "{said}"
        );

        let from = |peer: &Peer| {
            send_from(peer, "p0", &vec![(5, ip("45.57.0.1", "192.0.2.1", 1000))]);
            send_from(peer, "p1", &vec![(3, ip("45.57.0.1", "192.0.2.1", 1000))]);
            send("bond0", &vec![(10, ip("192.0.2.1", "45.57.0.1", 100))]);
        };
        let agent = Agent::start(&format!("-i bond0=trunk {table}"));
        assert!(agent.log().contains("it is a bond, and XDP would see its members"), "{}", agent.log());
        from(&peer);
        agent.settled(&[("trunk rx", 8), ("trunk tx", 10)]);
        agent.end(libc::SIGTERM);
        let agent = Agent::start(&format!("-i r0=a -i r1=b {table}"));
        from(&peer);
        agent.settled(&[("a rx", 5), ("b rx", 3)]);
        // In turns.
        let status = agent.settled(&[("a tx", 5), ("b tx", 5)]);
        assert_eq!(status["links"][0]["rx"]["mode"], "native");
        let top = agent.ask("top --direction in");
        assert_eq!(crate::agent::counter(&top["directions"]["in"]["total"]), (8, 8000));
    });
}

#[test]
fn a_vlan_device_and_a_vlan_of_its_trunk_count_the_same_and_not_both() {
    in_namespace(|| {
        let (peer, files) = (Peer::new(), Files::new());
        veth(&peer, "r0", "p0", 1500);
        if !has_device(
            "positions::a_vlan_device_and_a_vlan_of_its_trunk_count_the_same_and_not_both",
            "vlan",
            "r0.100",
            "link r0 type vlan id 100",
        ) {
            return;
        }
        run("ip link set r0.100 arp off up");
        let table = files.arguments();
        for links in ["-i r0.100=ix -i r0=rest", "-i r0.100=ix -i r0:vlan=100=rest"] {
            let said = refused(&format!("run {links} {table}"));
            assert!(
                said.contains("its frames would be counted on both. Give r0:vlan=100 in place of r0.100"),
                "{said}"
            );
            let (_, said) = check(&format!("{links} {table}"));
            assert!(said.contains("would be counted on both"), "{said}");
        }
        let (link, said) = check(&format!("-i r0.100=ix {table}"));
        assert_eq!((&link["rx"], &link["driver"]), (&json!(tc()), &json!("vlan")), "{said}");
        assert!(said.contains("-i r0:vlan=100=ix counts the same frames on the trunk"), "{said}");
        let (_, said) = check(&format!("-i r0 {table}"));
        assert!(said.contains("frames of r0.100 pass r0 and are counted with it"), "{said}");

        let mut counted = Vec::new();
        for (links, mode) in [
            ("-i r0.100=ix", tc()),
            ("-i r0:vlan=100=ix -i r0=rest", "native"),
            ("-i r0:vlan=100=ix --xdp-mode tc", tc()),
        ] {
            let agent = Agent::start(&format!("{links} {table}"));
            send_from(
                &peer,
                "p0",
                &vec![
                    (5, tagged("45.57.0.1", "192.0.2.1", 1000, &[100])),
                    (3, tagged("8.8.8.8", "192.0.2.1", 500, &[200])),
                    (2, ip("8.8.8.8", "192.0.2.1", 300)),
                ],
            );
            // The device puts its tag on.
            send("r0.100", &vec![(4, ip("192.0.2.1", "45.57.0.1", 96))]);
            send("r0", &vec![(7, ip("192.0.2.1", "8.8.8.8", 90))]);
            let status = agent.settled(&[("ix rx", 5), ("ix tx", 4)]);
            assert_eq!(status["links"][0]["rx"]["mode"], mode, "{links}");
            counted.push([frames(&status, "ix rx"), frames(&status, "ix tx")]);
            if links.contains("rest") {
                let status = agent.settled(&[("rest rx", 5), ("rest tx", 7)]);
                assert_eq!(frames(&status, "rest rx").1, 3 * 500 + 2 * 300);
            }
            assert_eq!(agent.end(libc::SIGTERM).0.code(), Some(0));
        }
        assert_eq!(counted, [[(5, 5000), (4, 400)]; 3], "as on the wire, with the tag");
        assert_eq!(stdout(&classifier("detach")), "nothing of classifier is attached here\n");
    });
}
