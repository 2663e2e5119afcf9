//! What is on the wire: of all that we send, nothing is an UPDATE.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, Stdio},
};

use classifier_user::{
    ingest::bgp::{
        PeerSettings,
        codec::{self, Kind},
    },
    model::Family,
};
use pcap_file::pcap::PcapReader;

use crate::{
    bird::routes,
    lab::in_namespace,
    world::{Bird, OURS, Ours, active, bird_plain, router},
};

/// tcpdump of BGP on `r0`; killed when dropped.
struct Tcpdump(Child);

impl Tcpdump {
    fn start(file: &Path) -> Self {
        let mut child = Command::new("tcpdump")
            .args(["-i", "r0", "-U", "-n", "-Z", "root", "-w"])
            .arg(file)
            .args(["tcp", "port", "179"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump (`cargo xtask setup` installs it)");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let listening = lines.by_ref().map_while(Result::ok).any(|line| line.contains("listening on r0"));
        assert!(listening, "tcpdump does not listen");
        Self(child)
    }
}

impl Drop for Tcpdump {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The kinds of messages in a capture from this address, in order.
fn sent_by(address: Ipv4Addr, file: &Path) -> Vec<Kind> {
    let mut streams: BTreeMap<[u8; 4], BTreeMap<u32, Vec<u8>>> = BTreeMap::new();
    let mut reader = PcapReader::new(File::open(file).expect("a capture")).expect("a capture");
    while let Some(Ok(packet)) = reader.next_packet() {
        let frame = &packet.data[14..];
        let (header, length) =
            (usize::from(frame[0] & 15) * 4, usize::from(u16::from_be_bytes([frame[2], frame[3]])));
        if frame[12..16] != address.octets() {
            continue;
        }
        let tcp = &frame[header..length];
        let ports = tcp[..4].try_into().expect("four");
        let sequence = u32::from_be_bytes(tcp[4..8].try_into().expect("four"));
        let payload = &tcp[usize::from(tcp[12] >> 4) * 4..];
        if !payload.is_empty() {
            // What is sent again is the same.
            streams.entry(ports).or_default().insert(sequence, payload.to_vec());
        }
    }
    let mut kinds = Vec::new();
    for stream in streams.into_values() {
        let bytes = stream.into_values().collect::<Vec<_>>().concat();
        let mut rest = bytes.as_slice();
        while let Some(message) = codec::message(rest, false).expect("BGP") {
            kinds.push(message.kind);
            rest = &rest[message.len..];
        }
        assert!(rest.is_empty(), "a part of a message");
    }
    kinds
}

#[test]
fn we_never_send_an_update() {
    in_namespace(|| {
        let peer = router();
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("session.pcap");
        let _tcpdump = Tcpdump::start(&file);
        let bird = Bird::start(&peer, &bird_plain(), &routes());
        let mut ours = Ours::start(vec![PeerSettings { hold_time: 3, ..active() }]);
        ours.up();
        ours.complete(&[Family::Ipv4, Family::Ipv6]);
        // Asked for our routes, we say that these were all.
        bird.ask("reload in collector");
        ours.refresh(Family::Ipv6);
        ours.until("the refresh", |ours| (ours.changes == 8).then_some(()));
        bird.configure(&bird_plain(), "");
        ours.until("no routes", |ours| ours.routes.is_empty().then_some(()));
        ours.while_running("KEEPALIVEs", || {
            sent_by(OURS.parse().expect("an address"), &file)
                .iter()
                .filter(|&&kind| kind == Kind::Keepalive)
                .count()
                > 3
        });
        ours.stop();
        let mut kinds = Vec::new();
        let mut again = Ours::start(vec![]);
        again.while_running("the last message", || {
            kinds = sent_by(OURS.parse().expect("an address"), &file);
            kinds.last() == Some(&Kind::Notification)
        });
        assert_eq!(kinds[..2], [Kind::Open, Kind::Keepalive]);
        assert!(!kinds.contains(&Kind::Update), "{kinds:?}");
        // Ours, and two for each family that BIRD asked for.
        assert_eq!(kinds.iter().filter(|&&kind| kind == Kind::Refresh).count(), 5, "{kinds:?}");
        // BIRD's own are seen: the capture is not blind.
        let theirs = sent_by("10.9.1.2".parse().expect("an address"), &file);
        assert!(theirs.contains(&Kind::Update), "{theirs:?}");
    });
}
