//! What is wrong with one interface is seen before any other one is touched: attaching and detaching XDP sets the rings of
//! many cards up anew, and a service manager starts an agent again and again.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use classifier_user::{
    datapath::{
        Sizes,
        kernel::{Kernel, Setup},
    },
    model::LinkId,
};

use crate::{
    agent::{Agent, classifier, eventually, refused, tc},
    kept::{bpffs, counts, metas},
    lab::{Peer, in_namespace, run, statistic, veth},
    world::{Files, has_device, ip, send_from},
};

/// What the kernel says of a peer's interfaces, which it does whenever XDP comes to the other end of a pair, or goes.
struct Watch {
    child: Child,
    file: std::path::PathBuf,
}

impl Watch {
    fn start(peer: &Peer, file: &Path) -> Self {
        let into = fs::File::create(file).expect("a file");
        let child = peer.run(|| {
            let mut command = Command::new("ip");
            command.args(["monitor", "link"]).stdin(Stdio::null()).stdout(into);
            command.spawn().expect("ip monitor")
        });
        let watch = Self { child, file: file.to_owned() };
        eventually("it hears", || {
            // Before its socket is there nothing is heard.
            peer.run(|| drop(run("ip link set lo alias heard")));
            watch.said("lo:").then_some(())
        });
        watch
    }

    fn said(&self, interface: &str) -> bool {
        fs::read_to_string(&self.file).expect("the file").contains(interface)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the kernel says what a driver's XDP can, without trying: from 6.3 on. One with TCX is later.
fn tells() -> bool {
    tc() == "tcx"
}

/// Somebody else, who has a program.
fn foreign() -> Kernel {
    let sizes = Sizes { classes: 64, v4_rows: 1, v6_rows: 1, v6_nodes: 1 };
    let nowhere = Setup { link: LinkId(0), ifindex: 9999, vlan: None, sides: [3, 3], extra_bytes: 0 };
    Kernel::load_harness(&sizes, &[nowhere], &["wire_nothing"], false).expect("the harness")
}

#[test]
fn what_is_wrong_with_one_interface_touches_no_other() {
    in_namespace(|| {
        let (peer, files) = (Peer::new(), Files::new());
        let bpffs = bpffs(&files);
        veth(&peer, "r0", "p0", 1500);
        veth(&peer, "r1", "p1", 1500);
        run("ip link add b0 type bridge");
        run("ip link set b0 arp off up");
        let watch = Watch::start(&peer, &files.path("said"));
        let keep = format!("--keep --bpffs {}", bpffs.display());
        let mut foreign = foreign();
        let program = foreign.attach_xdp("wire_nothing", "r1").expect("a foreign program");
        let before = run("bpftool net");
        for keep in ["--no-keep", &keep] {
            for mode in ["auto", "native", "generic"] {
                let said =
                    refused(&format!("run -i r0 -i r1 {} {keep} --xdp-mode {mode}", files.arguments()));
                assert!(said.contains("r1 has an XDP program already"), "{mode}: {said}");
            }
            if !tells() {
                continue;
            }
            // A bridge's driver has none.
            let said = refused(&format!("run -i r0 -i b0 {} {keep} --xdp-mode native", files.arguments()));
            assert!(said.contains("b0 does not take native XDP (Operation not supported"), "{said}");
        }
        assert_eq!(run("bpftool net"), before);
        assert_eq!(metas(&bpffs), 0);
        drop(program);
        assert!(!watch.said("p0"), "r0 never had a program");

        // One that is counted already, by another agent.
        let agent = Agent::start(&format!("-i r1 {} --no-keep", files.arguments()));
        for mode in ["auto", "tc"] {
            let line = format!("run -i r0 -i r1 {} --no-keep --xdp-mode {mode}", files.arguments());
            let said = refused(&format!("{line} --listen 127.0.0.1:9470"));
            assert!(said.contains("another classifier counts on r1 already"), "{mode}: {said}");
        }
        drop(agent);
        assert!(!watch.said("p0"), "r0 never had a program");
        // It would have been seen.
        let agent = Agent::start(&format!("-i r0 {} --no-keep", files.arguments()));
        eventually("that is said", || watch.said("p0").then_some(()));
        drop(agent);
    });
}

#[test]
fn what_is_kept_stays_where_an_interface_cannot_be_attached_to() {
    in_namespace(|| {
        if !tells() {
            return;
        }
        let (peer, files) = (Peer::new(), Files::new());
        let bpffs = bpffs(&files);
        veth(&peer, "r0", "p0", 1500);
        veth(&peer, "r1", "p1", 1500);
        run("ip link add b0 type bridge");
        run("ip link set r1 master b0");
        run("ip link set b0 arp off up");
        eventually("the bridge forwards", || {
            let state = fs::read_to_string("/sys/class/net/r1/brport/state").expect("a port");
            (state.trim() == "3").then_some(())
        });
        let arguments = format!("-i r0 -d b0 {} --keep --bpffs {}", files.arguments(), bpffs.display());
        // To everybody, so also to the bridge itself.
        let mut frame = ip("8.8.8.8", "192.0.2.1", 100);
        frame[..6].fill(0xff);
        let mut sent = 0;
        let mut count = || {
            ["p0", "p1"].into_iter().for_each(|end| send_from(&peer, end, &vec![(3, frame.clone())]));
            sent += 3;
            sent
        };
        let agent = Agent::start(&arguments);
        let frames = count();
        agent.settled(&[("r0 rx", frames), ("b0 rx", frames)]);
        agent.end(libc::SIGTERM);
        let before = run("bpftool net");
        for _ in 0..4 {
            let said = refused(&format!("run {arguments} --xdp-mode native"));
            assert!(said.contains("b0 does not take native XDP"), "{said}");
            count();
        }
        assert_eq!(run("bpftool net"), before, "nothing was touched");
        assert_eq!(metas(&bpffs), 1);
        let agent = Agent::start(&arguments);
        let frames = count();
        let status = agent.settled(&[("r0 rx", frames), ("b0 rx", frames)]);
        assert_eq!(status["gaps"], serde_json::json!([]), "{status}");
        assert_eq!(statistic("r0", "rx_packets"), frames);
        agent.end(libc::SIGTERM);
        classifier(&format!("detach --bpffs {}", bpffs.display()));
    });
}

#[test]
fn a_program_on_a_device_above_is_the_one_that_is_named() {
    in_namespace(|| {
        let (peer, files) = (Peer::new(), Files::new());
        veth(&peer, "r0", "p0", 1500);
        run("ip link add b0 type bridge");
        run("ip link set r0 master b0");
        let test = "preflight::a_program_on_a_device_above_is_the_one_that_is_named";
        let mut above = vec!["b0"];
        if has_device(test, "vlan", "r0.5", "link r0 type vlan id 5") {
            above.push("r0.5");
        }
        for above in above {
            let agent =
                Agent::start(&format!("-i {above} {} --no-keep --xdp-mode generic", files.arguments()));
            for mode in ["auto", "native"] {
                let line = format!("run -i r0 {} --no-keep --xdp-mode {mode}", files.arguments());
                let said = refused(&format!("{line} --listen 127.0.0.1:9470"));
                let expected = format!("{above}, above r0, has an XDP program already (program id ");
                assert!(said.contains(&expected) && said.contains(", classifier_xdp)"), "{mode}: {said}");
            }
            drop(agent);
            eventually("it is gone", || (!counts(above)).then_some(()));
        }
        let agent = Agent::start(&format!("-i r0 {} --no-keep --xdp-mode native", files.arguments()));
        drop(agent);
    });
}
