//! The parser on the host, over the named frames.

#[path = "support/frames.rs"]
mod frames;

use classifier_common::{
    counter::Outcome,
    parse::{Bytes, End, HEAD_LEN, Packet, Parsed, parse, plain},
};
use proptest::prelude::*;

fn outcome(parsed: &Parsed) -> Option<Outcome> {
    Some(match parsed.packet {
        Ok(Packet::V4 { .. }) => Outcome::Ipv4,
        Ok(Packet::V6 { .. }) => Outcome::Ipv6,
        Err(End::NonIp) => Outcome::NonIp,
        Err(End::Malformed) => Outcome::Malformed,
        Err(End::Unsupported) => Outcome::Unsupported,
        Err(End::Cut) => return None,
    })
}

fn words(address: std::net::Ipv6Addr) -> [u32; 4] {
    let bits = address.to_bits();
    [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32]
}

#[test]
fn every_named_frame_has_its_outcome_vlan_and_addresses() {
    for frame in frames::all() {
        let parsed = parse(&Bytes::new(&frame.bytes), None);
        assert_eq!(outcome(&parsed), Some(frame.outcome), "{}", frame.name);
        assert_eq!(parsed.vlan, frame.vlan, "{}", frame.name);
        match parsed.packet {
            Ok(Packet::V4 { source, destination }) => {
                let expected = (frames::V4.0.to_bits(), frames::V4.1.to_bits());
                assert_eq!((source, destination), expected, "{}", frame.name);
            }
            Ok(Packet::V6 { source, destination }) => {
                let expected = (words(frames::V6.0), words(frames::V6.1));
                assert_eq!((source, destination), expected, "{}", frame.name);
            }
            Err(_) => {}
        }
    }
}

#[test]
fn a_tag_in_metadata_is_the_outer_one() {
    for frame in frames::all() {
        let parsed = parse(&Bytes::new(&frame.bytes), Some(33));
        assert_eq!(parsed.vlan, 33, "{}", frame.name);
        assert_eq!(outcome(&parsed), Some(frame.outcome), "{}", frame.name);
    }
}

#[test]
fn a_frame_that_shows_only_its_head_is_never_called_malformed_or_misread() {
    for frame in frames::all() {
        let whole = parse(&Bytes::new(&frame.bytes), None);
        for shown in 0..frame.bytes.len() {
            let cut = parse(&Bytes::cut(&frame.bytes[..shown], frame.bytes.len() as u32), None);
            if cut.packet != Err(End::Cut) {
                assert_eq!(cut.packet, whole.packet, "{} cut at {shown}", frame.name);
            }
        }
        if frame.bytes.len() > HEAD_LEN {
            let head = parse(&Bytes::cut(&frame.bytes[..HEAD_LEN], frame.bytes.len() as u32), None);
            assert_eq!(head, whole, "{}: the head is enough", frame.name);
        }
    }
}

#[test]
fn every_frame_that_really_ends_early_is_malformed_or_already_decided() {
    for frame in frames::all() {
        let whole = parse(&Bytes::new(&frame.bytes), None);
        for len in 0..frame.bytes.len() {
            let parsed = parse(&Bytes::new(&frame.bytes[..len]), None);
            assert!(
                parsed.packet == Err(End::Malformed) || parsed.packet == whole.packet,
                "{} of {len} bytes: {:?}",
                frame.name,
                parsed.packet
            );
        }
    }
}

#[test]
fn the_plainest_frames_are_found_sooner_and_the_same() {
    let mut found = Vec::new();
    for frame in frames::all() {
        for outer in [None, Some(33)] {
            for shown in 0..=frame.bytes.len() {
                let seen = Bytes::cut(&frame.bytes[..shown], frame.bytes.len() as u32);
                if let Some(parsed) = plain(&seen, outer) {
                    assert_eq!(parsed, parse(&seen, outer), "{}, {shown} bytes", frame.name);
                    found.push(frame.name);
                }
            }
        }
    }
    found.dedup();
    let versions = ["ipv4", "ipv6"].map(|version| found.iter().any(|name| name.contains(version)));
    assert!(versions == [true; 2] && found.len() < frames::all().len(), "{found:?}");
}

proptest! {
    #[test]
    fn whatever_the_bytes_the_plain_way_says_what_the_parser_says(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..80),
        kind in prop_oneof![Just([8, 0]), Just([0x86, 0xdd]), any::<[u8; 2]>()],
        first in prop_oneof![Just(0x45), Just(0x46), Just(0x44), 0x60..0x70_u8, any::<u8>()],
    ) {
        for (place, byte) in [(12, kind[0]), (13, kind[1]), (14, first)] {
            if let Some(place) = bytes.get_mut(place) {
                *place = byte;
            }
        }
        let seen = Bytes::new(&bytes);
        if let Some(parsed) = plain(&seen, None) {
            prop_assert_eq!(parsed, parse(&seen, None));
        }
        let v4 = kind == [8, 0] && first == 0x45 && bytes.len() >= 34;
        let v6 = kind == [0x86, 0xdd] && first >> 4 == 6 && bytes.len() >= 54;
        prop_assert_eq!(plain(&seen, None).is_some(), v4 || v6);
    }
}
