//! A small Internet as files, and frames between its networks.

use std::{env, fs, io::Write as _, net::IpAddr, path::PathBuf, process::Command};

use crate::{
    lab::{Peer, Raw, run, veth},
    packets::{ethernet, frame},
};

/// Netflix with a cache of its own in the override, Google, us and a customer, and what is known to be unrouted.
pub(crate) const ROUTES: &str = "prefix,asn,name
45.57.0.0/17,2906,\"Netflix Streaming Services\"
2a00:86c0::/32,2906,\"Netflix Streaming Services\"
8.8.8.0/24,15169,\"Google LLC\"
192.0.2.0/24,64500,\"Our Network\"
2001:db8::/32,64500,\"Our Network\"
198.51.100.0/24,64501,\"A Customer\"
203.0.113.0/24,0,\"\"
";
pub(crate) const OVERRIDES: &str = "45.57.8.0/24 40027 Netflix OCA\n";
pub(crate) const GROUPS: &str = "[[group]]
key = \"netflix\"
name = \"Netflix and caches\"
kind = \"video\"
asns = [2906, 40027]
";

/// Files of a table.
pub(crate) struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self { directory: tempfile::tempdir().expect("a directory") };
        // Also for an agent of another user.
        run(&format!("chmod 755 {}", files.directory.path().display()));
        files.write("table.csv", ROUTES);
        files.write("override.txt", OVERRIDES);
        files.write("groups.toml", GROUPS);
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a file in place as a whole.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, text).expect("written");
        fs::rename(new, self.path(name)).expect("renamed");
    }

    /// Arguments of the agent that name them.
    pub(crate) fn arguments(&self) -> String {
        let path = |name| self.path(name).display().to_string();
        format!(
            "--table {} --override {} --groups {} --router border",
            path("table.csv"),
            path("override.txt"),
            path("groups.toml")
        )
    }
}

/// A frame between two addresses, `len` bytes in all.
pub(crate) fn ip(source: &str, destination: &str, len: usize) -> Vec<u8> {
    tagged(source, destination, len, &[])
}

/// The same with tags, which are in `len`.
pub(crate) fn tagged(source: &str, destination: &str, len: usize, vlans: &[u16]) -> Vec<u8> {
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    frame(address(source), address(destination), len, vlans)
}

/// A frame of another type.
pub(crate) fn other(kind: u16, len: usize) -> Vec<u8> {
    let mut frame = ethernet(&[], kind);
    frame.resize(len, 0);
    frame
}

/// Frames to send, and how often.
pub(crate) type Traffic = Vec<(u64, Vec<u8>)>;

/// How many frames and bytes that is.
pub(crate) fn sum(traffic: &Traffic) -> (u64, u64) {
    traffic.iter().fold((0, 0), |(packets, bytes), (times, frame)| {
        (packets + times, bytes + times * frame.len() as u64)
    })
}

/// Sends on an interface of this namespace.
pub(crate) fn send(interface: &str, traffic: &Traffic) {
    let raw = Raw::new(interface);
    for (times, frame) in traffic {
        (0..*times).for_each(|_| raw.send(frame));
    }
}

/// Sends on an interface of the peer's.
pub(crate) fn send_from(peer: &Peer, interface: &'static str, traffic: &Traffic) {
    let traffic = traffic.clone();
    peer.run(move || send(interface, &traffic));
}

/// A file for what tests lacked of this kernel, a line each; or `nothing`, and they fail.
const LACKING: &str = "CLASSIFIER_TEST_LACKING";

/// Makes a device of a kind that not every kernel has. Where this one has not, the test may end early, and says so to
/// whoever runs it: `cargo xtask test` holds that against its list.
pub(crate) fn has_device(test: &str, kind: &str, name: &str, arguments: &str) -> bool {
    let line = format!("link add name {name} {arguments}");
    let output = Command::new("ip").args(line.split(' ')).output().expect("ip");
    if output.status.success() {
        return true;
    }
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(why.contains("Unknown device type") || why.contains("not supported"), "{line}: {why}");
    let place = env::var_os(LACKING);
    assert!(place.as_ref().is_none_or(|place| place != "nothing"), "the kernel has no {kind} devices");
    if let Some(place) = place {
        let file = fs::OpenOptions::new().create(true).append(true).open(place);
        writeln!(file.expect("the file"), "kernel_agent {test} {kind}").expect("written");
    }
    false
}

/// A pair `r0` here, `p0` there.
pub(crate) fn wire() -> Peer {
    let peer = Peer::new();
    veth(&peer, "r0", "p0", 1500);
    peer
}

/// What comes in on an upstream link, and what becomes of it: all sorts.
pub(crate) fn inward() -> Traffic {
    let mut cut = ip("45.57.0.1", "192.0.2.1", 60);
    cut.truncate(33);
    vec![
        (10, ip("45.57.0.1", "192.0.2.1", 1000)),
        (3, ip("45.57.8.1", "192.0.2.1", 500)),
        (5, ip("2a00:86c0::1", "2001:db8::1", 800)),
        (7, ip("8.8.8.8", "198.51.100.7", 200)),
        (2, ip("203.0.113.5", "192.0.2.1", 100)),
        (4, ip("100.64.0.1", "192.0.2.1", 60)),
        (6, other(0x0806, 60)),
        (1, cut),
        (1, other(0x9100, 64)),
    ]
}

/// What goes out.
pub(crate) fn outward() -> Traffic {
    vec![
        (8, ip("192.0.2.1", "45.57.0.1", 100)),
        (9, ip("192.0.2.1", "8.8.8.8", 90)),
        (1, ip("2001:db8::1", "2a00:86c0::1", 150)),
        (2, ip("198.51.100.7", "100.64.0.1", 70)),
    ]
}

/// Routes for which maps that were made for a small table have no room: longer than /24, and many.
pub(crate) fn more_routes() -> String {
    let places = (0..=255).flat_map(|third| (0..40).map(move |second| (second, third)));
    places.map(|(second, third)| format!("11.{second}.{third}.128/25,64{:03},\"\"\n", 100 + second)).collect()
}
