use proptest::{collection::vec, prelude::*};

use super::{message as read_message, *};
use crate::ingest::bmp::testing::{LEGACY, OUT, POST, Peer, initiation, message as whole, path, tlv, update};

const MAX: u32 = 1 << 20;

fn message(bytes: &[u8]) -> Result<Option<(Message<'_>, usize)>, Malformed> {
    read_message(bytes, MAX)
}

fn v4() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7))
}

fn v6() -> IpAddr {
    "2001:db8::7".parse().unwrap()
}

#[test]
fn headers_say_whose_rib_it_is() {
    let (four, six) = (Peer::new(v4(), 65_536), Peer::new(v6(), 4_200_000_000));
    let monitored = update(Some(&path(&[1])), &[[10, 0, 0]], None);
    for (peer, rib, address, two_octet) in [
        (four, Rib::PrePolicy, v4(), false),
        (four.with(POST), Rib::PostPolicy, v4(), false),
        (six.with(POST | LEGACY), Rib::PostPolicy, v6(), true),
        (six.with(OUT), Rib::Out, v6(), false),
        (four.with(OUT | POST), Rib::Out, v4(), false),
        // Its F flag is where others have V.
        (Peer::loc_rib().with(0x80 | LEGACY), Rib::LocRib, Ipv4Addr::UNSPECIFIED.into(), false),
    ] {
        let bytes = peer.monitoring(&monitored);
        let (read, len) = message(&bytes).unwrap().unwrap();
        let key = PeerKey { loc_rib: rib == Rib::LocRib, distinguisher: 0, address };
        let header = PeerHeader { peer: key, rib, two_octet, asn: peer.asn };
        assert_eq!((read, len), (Message::RouteMonitoring(header, &monitored), bytes.len()));
    }
}

/// Bytes as RFC 7854 draws them.
#[test]
fn a_peer_down_byte_for_byte() {
    let mut bytes = vec![3, 0, 0, 0, 72, 2];
    bytes.extend([0, 0x80]);
    bytes.extend([0; 8]);
    bytes.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    bytes.extend([0, 1, 0, 0]);
    bytes.extend([192, 0, 2, 9]);
    bytes.extend([0x65, 0, 0, 0, 0, 0, 0, 1]);
    bytes.push(3);
    bytes.extend([0xff; 16]);
    bytes.extend([0, 23, 3, 6, 2]);
    bytes.extend([0, 0]);
    let header = PeerHeader {
        peer: PeerKey { loc_rib: false, distinguisher: 0, address: v6() },
        rib: Rib::PrePolicy,
        two_octet: false,
        asn: 65_536,
    };
    assert_eq!(message(&bytes), Ok(Some((Message::PeerDown(header, Gone::RemoteNotification(6, 2)), 72))));
    for cut in 0..bytes.len() {
        assert_eq!(message(&bytes[..cut]), Ok(None), "{cut} bytes");
    }
    bytes[4] = 69;
    assert_eq!(message(&bytes), Err(Malformed::Short("Peer Down")));
}

#[test]
fn texts_and_numbers() {
    let bytes = initiation();
    let Ok(Some((Message::Initiation(texts), _))) = message(&bytes) else { panic!("an Initiation") };
    assert_eq!(texts.text(SYS_NAME).as_deref(), Some("border"));
    assert_eq!(texts.text(SYS_DESCR).as_deref(), Some("FRRouting 8.4.4"));
    assert_eq!(texts.text(TEXT), None);
    let numbers =
        [tlv(7, &9u64.to_be_bytes()), tlv(0, &5u32.to_be_bytes()), tlv(9, &[0; 11]), vec![0, 8, 0, 8, 1]];
    let bytes = Peer::new(v4(), 1).statistics(&numbers.concat());
    let Ok(Some((Message::Statistics(_, numbers), _))) = message(&bytes) else { panic!("statistics") };
    assert_eq!(numbers.numbers().collect::<Vec<_>>(), [(7, 9), (0, 5)]);
}

#[test]
fn what_is_no_bmp() {
    assert_eq!(message(b"GET / HTTP/1.1\r\n"), Err(Malformed::Version(b'G')));
    assert_eq!(message(&[0xff; 19]), Err(Malformed::Version(0xff)));
    assert_eq!(
        message(&[3, 0xff, 0xff, 0xff, 0xff, 0]),
        Err(Malformed::TooLong(u32::MAX, MAX)),
        "before it is there"
    );
    assert_eq!(message(&[3, 0, 0, 0, 5, 4]), Err(Malformed::Short("BMP")));
    assert_eq!(message(&whole(0, &[0; 41])), Err(Malformed::Short("Route Monitoring")));
    assert_eq!(message(&whole(1, &[0; 45])), Err(Malformed::Short("Statistics Report")));
    assert_eq!(
        message(&whole(3, &[0; 42 + 20 + 18])),
        Err(Malformed::Short("Peer Up")),
        "an OPEN of no bytes"
    );
    assert_eq!(message(&whole(6, &[1, 2])), Ok(Some((Message::Other(6), 8))));
}

proptest! {
    #[test]
    fn nothing_panics(kind in 0u8..8, mut body in vec(any::<u8>(), 0..200), cut in 0usize..200, bytes in vec(any::<u8>(), 0..64)) {
        let _ = message(&bytes);
        let mut all = whole(kind, &body);
        if let Ok(Some((Message::Initiation(texts) | Message::Termination(texts), len))) = message(&all) {
            prop_assert_eq!(len, all.len());
            prop_assert!(texts.map(|(_, value)| value.len() + 4).sum::<usize>() <= body.len());
        }
        body.truncate(cut);
        all.truncate(6 + body.len());
        let _ = message(&all);
    }
}
