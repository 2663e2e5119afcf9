//! What the agent counted live, and what `replay` says of tcpdump's capture of the same frames.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    agent::{Agent, classifier, counter, eventually, rows, stderr},
    lab::in_namespace,
    world::{Files, inward, ip, outward, send, send_from, sum, tagged, wire},
};

/// tcpdump on `r0`, capturing; killed when dropped.
struct Tcpdump(Child);

impl Tcpdump {
    fn start(direction: &str, file: &Path) -> Self {
        let mut child = Command::new("tcpdump")
            .args(["-i", "r0", "-Q", direction, "-s", "128", "-U", "-n", "-Z", "root", "-B", "16384", "-w"])
            .arg(file)
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump (`cargo xtask setup` installs it)");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let listening = lines.by_ref().map_while(Result::ok).any(|line| line.contains("listening on r0"));
        assert!(listening, "tcpdump does not listen");
        Self(child)
    }

    fn end(mut self, file: &Path, frames: u64) {
        // Its socket's buffer is read in its own time.
        eventually("tcpdump has written all", || {
            let output =
                Command::new("tcpdump").args(["-n", "-Z", "root", "-r"]).arg(file).output().expect("tcpdump");
            (String::from_utf8_lossy(&output.stdout).lines().count() as u64 >= frames).then_some(())
        });
        // SAFETY: no memory is passed; the child is not waited for yet.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGINT) };
        self.0.wait().expect("a child");
    }
}

impl Drop for Tcpdump {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_tcpdump_replays_as_it_was_counted() {
    in_namespace(|| {
        let (peer, files) = (wire(), Files::new());
        let agent = Agent::start(&format!("-i r0 {}", files.arguments()));
        let (came, went) = (files.path("in.pcap"), files.path("out.pcap"));
        let (inside, outside) = (Tcpdump::start("in", &came), Tcpdump::start("out", &went));
        let mut inward = inward();
        inward.extend([
            (11, tagged("45.57.0.9", "192.0.2.9", 600, &[100])),
            (12, tagged("8.8.8.8", "192.0.2.9", 700, &[7, 100])),
            (13, ip("8.8.8.8", "192.0.2.9", 1514)),
        ]);
        send_from(&peer, "p0", &inward);
        send("r0", &outward());
        let status = agent.settled(&[("r0 rx", sum(&inward).0), ("r0 tx", sum(&outward()).0)]);
        inside.end(&came, sum(&inward).0);
        outside.end(&went, sum(&outward()).0);

        let table = format!(
            "--table {} --override {}",
            files.path("table.csv").display(),
            files.path("override.txt").display()
        );
        for (file, direction, hook, remote, local) in
            [(&came, "in", "rx", "source", "destination"), (&went, "out", "tx", "destination", "source")]
        {
            for (side, address) in [("remote", remote), ("local", local)] {
                let line = format!("replay {} --side {address} --json {table}", file.display());
                let output = classifier(&line);
                assert!(output.status.success(), "{line}: {}", stderr(&output));
                let replayed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
                let top = agent.ask(&format!("top --direction {direction} --side {side}"));
                let live = &top["directions"][direction];
                assert_eq!(rows(&replayed["rows"], "asn"), rows(&live["rows"], "asn"), "{direction} {side}");
                assert_eq!(
                    counter(&replayed["unmatched"]),
                    counter(&live["unmatched"]),
                    "{direction} {side}"
                );
                assert_eq!(counter(&replayed), counter(&live["total"]), "{direction} {side}");
                assert_eq!(replayed["outcomes"], status["links"][0][hook]["outcomes"], "{direction}");
                assert_eq!(replayed["snapped"], json!(0));
            }
        }
    });
}
