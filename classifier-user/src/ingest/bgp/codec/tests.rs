use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::{
    open::{Capabilities, GracefulRestart, LongLivedRestart, Open},
    refresh::Says,
    *,
};

fn whole(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff; 16];
    bytes.extend((19 + body.len() as u16).to_be_bytes());
    bytes.push(kind);
    bytes.extend(body);
    bytes
}

fn kind_of(bytes: &[u8]) -> Result<Option<Kind>, (u8, u8, Vec<u8>)> {
    message(bytes, false)
        .map(|message| message.map(|message| message.kind))
        .map_err(|reset| (reset.notification.code, reset.notification.subcode, reset.notification.data))
}

#[test]
fn messages_are_found_at_their_length() {
    let mut bytes = whole(4, &[]);
    bytes.extend(whole(2, &[0, 0, 0, 0]));
    let first = message(&bytes, false).unwrap().unwrap();
    assert_eq!((first.kind, first.body, first.len), (Kind::Keepalive, &[][..], 19));
    let second = message(&bytes[19..], false).unwrap().unwrap();
    assert_eq!((second.kind, second.body, second.len), (Kind::Update, &[0, 0, 0, 0][..], 23));
    for end in 0..19 {
        assert_eq!(message(&bytes[..end], false), Ok(None), "{end}");
    }
    assert_eq!(message(&bytes[19..41], false), Ok(None));
}

#[test]
fn header_errors_have_their_codes() {
    assert_eq!(kind_of(b"GET / HTTP/1.1\r\n\r\n"), Err((1, 1, vec![])));
    assert_eq!(kind_of(b"G"), Err((1, 1, vec![])));
    assert_eq!(kind_of(&[[0xff; 15].as_slice(), &[0xfe]].concat()), Err((1, 1, vec![])));
    let lengths = |kind: u8, length: u16| {
        let mut bytes = vec![0xff; 16];
        bytes.extend(length.to_be_bytes());
        bytes.push(kind);
        kind_of(&bytes)
    };
    for (kind, length) in
        [(4, 18), (4, 0), (4, 20), (1, 28), (1, 4097), (2, 22), (2, 4097), (2, 65_535), (3, 20)]
    {
        assert_eq!(lengths(kind, length), Err((1, 2, length.to_be_bytes().into())), "{kind} {length}");
    }
    assert_eq!(lengths(2, 4096), Ok(None));
    assert_eq!(lengths(6, 23), Err((1, 3, vec![6])));
    assert_eq!(lengths(0, 23), Err((1, 3, vec![0])));
}

#[test]
fn long_messages_where_they_were_agreed() {
    let update = whole(2, &[0; 60_000]);
    assert_eq!(message(&update, true).unwrap().unwrap().len, 60_019);
    assert_eq!(message(&update, false).unwrap_err().notification.subcode, 2);
    // RFC 8654, section 4: never an OPEN.
    assert_eq!(message(&whole(1, &[0; 5_000]), true).unwrap_err().notification.subcode, 2);
}

/// RFC 9234: a router may say its role on eBGP, and several or broken ones; it is none of ours.
#[test]
fn roles_are_ignored() {
    let mut bytes = Vec::new();
    full_open().append(&mut bytes);
    let body = &bytes[HEADER..];
    let plain = Open::decode(body).unwrap();
    for roles in [&[9, 1, 0][..], &[9, 1, 4], &[9, 1, 200], &[9, 1, 0, 9, 1, 3], &[9, 0], &[9, 2, 0, 0]] {
        let mut with = body.to_vec();
        with.extend([2, roles.len() as u8]);
        with.extend(roles);
        // The length of all optional parameters.
        with[9] += 2 + roles.len() as u8;
        assert_eq!(Open::decode(&with).unwrap(), plain, "{roles:?}");
    }
}

fn full_open() -> Open {
    Open {
        short_as: open::AS_TRANS,
        hold_time: 90,
        identifier: Ipv4Addr::new(192, 0, 2, 1),
        capabilities: Capabilities {
            families: Some(Families::BOTH),
            four_octet_as: Some(4_200_000_000),
            extended_message: true,
            route_refresh: true,
            enhanced_refresh: true,
            add_path_send: Families { ipv4: false, ipv6: true },
            add_path_receive: Families::BOTH,
            graceful_restart: Some(GracefulRestart {
                restarting: true,
                restart_time: 120,
                families: Families { ipv4: true, ipv6: false },
            }),
            long_lived_restart: Some(LongLivedRestart {
                stale_time: 0x01_51_80,
                families: Families { ipv4: false, ipv6: true },
            }),
        },
    }
}

#[test]
fn an_open_both_ways() {
    #[rustfmt::skip]
    let bytes = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0, 82, 1,
        4, 0x5b, 0xa0, 0, 90, 192, 0, 2, 1, 53, 2, 51,
        1, 4, 0, 1, 0, 1,
        1, 4, 0, 2, 0, 1,
        2, 0,
        70, 0,
        6, 0,
        65, 4, 0xfa, 0x56, 0xea, 0x00,
        64, 6, 0x80, 120, 0, 1, 1, 0,
        71, 7, 0, 2, 1, 0, 0x01, 0x51, 0x80,
        69, 8, 0, 1, 1, 1, 0, 2, 1, 3,
    ];
    let mut encoded = Vec::new();
    full_open().append(&mut encoded);
    assert_eq!(encoded, bytes);
    let message = message(&bytes, false).unwrap().unwrap();
    assert_eq!((message.kind, message.len), (Kind::Open, bytes.len()));
    assert_eq!(Open::decode(message.body), Ok(full_open()));
}

fn open(parameters: &[u8]) -> Result<Capabilities, (u8, u8)> {
    let mut body = vec![4, 0xfd, 0xe8, 0, 90, 192, 0, 2, 1];
    body.extend(parameters);
    Open::decode(&body)
        .map(|open| open.capabilities)
        .map_err(|reset| (reset.notification.code, reset.notification.subcode))
}

#[test]
fn capabilities_one_by_one() {
    assert_eq!(open(&[0]), Ok(Capabilities::default()));
    let one = |capability: &[u8]| {
        let len = capability.len() as u8;
        open(&[&[len + 2, 2, len], capability].concat())
    };
    // VPNv4, and one that nobody knows: they say that IPv4 unicast is not meant.
    assert_eq!(one(&[1, 4, 0, 1, 0, 128]).unwrap().families, Some(Families::default()));
    assert_eq!(one(&[250, 3, 1, 2, 3]), Ok(Capabilities::default()));
    assert_eq!(one(&[65, 4, 0, 1, 0, 0]).unwrap().four_octet_as, Some(65_536));
    assert_eq!(
        one(&[64, 2, 0, 120]).unwrap().graceful_restart,
        Some(GracefulRestart { restarting: false, restart_time: 120, families: Families::default() })
    );
    // The longest counts; of families that are not taken it does not.
    assert_eq!(
        one(&[71, 21, 0, 1, 1, 0, 0, 0, 9, 0, 2, 1, 128, 0, 1, 0, 0, 1, 128, 0, 9, 9, 9])
            .unwrap()
            .long_lived_restart,
        Some(LongLivedRestart { stale_time: 256, families: Families::BOTH })
    );
    let add_path = one(&[69, 8, 0, 1, 1, 2, 0, 2, 1, 4]).unwrap();
    assert_eq!(add_path.add_path_send, Families { ipv4: true, ipv6: false });
    assert_eq!(add_path.add_path_receive, Families::default());
    for malformed in [
        &[65, 2, 0, 1][..],
        &[1, 3, 0, 1, 0],
        &[1, 5, 0, 1, 0, 1, 0],
        &[64, 1, 0],
        &[64, 4, 0, 1, 0, 0],
        &[71, 6, 0, 1, 1, 0, 0, 0],
        &[69, 3, 0, 1, 1],
    ] {
        assert_eq!(one(malformed), Err((2, 0)), "{malformed:?}");
    }
    // Several parameters with one capability each, as some send them.
    let several = open(&[12, 2, 2, 2, 0, 2, 6, 1, 4, 0, 1, 0, 1]).unwrap();
    assert!(several.route_refresh);
    assert_eq!(several.families, Some(Families { ipv4: true, ipv6: false }));
}

#[test]
fn extended_optional_parameters() {
    // RFC 9072.
    let open = open(&[255, 255, 0, 5, 2, 0, 2, 2, 0]).unwrap();
    assert!(open.route_refresh);
}

#[test]
fn what_is_no_open() {
    assert_eq!(open(&[]), Err((2, 0)));
    assert_eq!(open(&[4, 2, 2, 2]), Err((2, 0)));
    assert_eq!(open(&[1, 2, 2, 2, 0]), Err((2, 0)));
    assert_eq!(open(&[4, 2, 5, 2, 0]), Err((2, 0)));
    assert_eq!(open(&[4, 2, 2, 2, 9]), Err((2, 0)));
    // The authentication parameter of old.
    assert_eq!(open(&[3, 1, 1, 0]), Err((2, 4)));
    let reset = Open::decode(&[3, 0xfd, 0xe8, 0, 90, 192, 0, 2, 1, 0]).unwrap_err();
    assert_eq!(reset.notification, Notification { code: 2, subcode: 1, data: vec![0, 4] });
}

#[test]
fn notifications_both_ways_and_in_words() {
    let notification = Notification { code: 6, subcode: 2, data: b"\x0cback at nine".to_vec() };
    let mut bytes = Vec::new();
    notification.append(&mut bytes);
    assert_eq!(bytes, whole(3, b"\x06\x02\x0cback at nine"));
    assert_eq!(Notification::decode(&bytes[19..]), Some(notification.clone()));
    assert_eq!(notification.to_string(), "cease: administrative shutdown (6/2): \"back at nine\"");
    assert_eq!(Notification::new(2, 2).to_string(), "OPEN error: bad peer AS (2/2)");
    assert_eq!(Notification::new(4, 0).to_string(), "hold timer expired (4/0)");
    assert_eq!(Notification::new(99, 7).to_string(), "unknown error (99/7)");
    assert_eq!(Notification::decode(&[6]), None);
    let lies = Notification { code: 6, subcode: 2, data: b"\xffshort".to_vec() };
    assert_eq!(lies.to_string(), "cease: administrative shutdown (6/2)");
}

#[test]
fn refreshes_both_ways() {
    for (says, family, body) in [
        (Says::Again, Family::Ipv4, [0, 1, 0, 1]),
        (Says::Begins, Family::Ipv6, [0, 2, 1, 1]),
        (Says::Ends, Family::Ipv4, [0, 1, 2, 1]),
    ] {
        let mut bytes = Vec::new();
        refresh::append_refresh(&mut bytes, says, family);
        assert_eq!(bytes, whole(5, &body));
        assert_eq!(refresh::decode(&body), Ok(Some((says, family))));
    }
    // VPNv4, a reserved subtype, a filter behind a request.
    assert_eq!(refresh::decode(&[0, 1, 0, 128]), Ok(None));
    assert_eq!(refresh::decode(&[0, 1, 255, 1]), Ok(None));
    assert_eq!(refresh::decode(&[0, 1, 0, 1, 1, 64, 0, 0]), Ok(Some((Says::Again, Family::Ipv4))));
    for malformed in [&[0, 1, 1][..], &[0, 1, 1, 1, 0], &[]] {
        let notification = refresh::decode(malformed).unwrap_err().notification;
        assert_eq!((notification.code, notification.subcode), (7, 1));
        assert_eq!(notification.data, whole(5, malformed));
    }
}

fn any_open() -> impl Strategy<Value = Open> {
    let families = || any::<(bool, bool)>().prop_map(|(ipv4, ipv6)| Families { ipv4, ipv6 });
    let graceful =
        (any::<bool>(), 0..4096u16, families()).prop_map(|(restarting, restart_time, families)| {
            GracefulRestart { restarting, restart_time, families }
        });
    let long_lived = (0..1u32 << 24, families()).prop_map(|(stale_time, families)| LongLivedRestart {
        // Without families there is none to say it of.
        stale_time: if families.iter().count() > 0 { stale_time } else { 0 },
        families,
    });
    let some_family = families().prop_filter("none is not said", |families| families.iter().count() > 0);
    (
        any::<(u16, u16, u32, [bool; 3])>(),
        (proptest::option::of(some_family), proptest::option::of(any::<u32>())),
        (families(), families(), proptest::option::of(graceful), proptest::option::of(long_lived)),
    )
        .prop_map(
            |(
                (short_as, hold_time, identifier, flags),
                (families, four_octet_as),
                (send, receive, graceful, long_lived),
            )| Open {
                short_as,
                hold_time,
                identifier: identifier.into(),
                capabilities: Capabilities {
                    families,
                    four_octet_as,
                    extended_message: flags[0],
                    route_refresh: flags[1],
                    enhanced_refresh: flags[2],
                    add_path_send: send,
                    add_path_receive: receive,
                    graceful_restart: graceful,
                    long_lived_restart: long_lived,
                },
            },
        )
}

proptest! {
    #[test]
    fn every_open_reads_back(open in any_open()) {
        let mut bytes = Vec::new();
        open.append(&mut bytes);
        let message = message(&bytes, false).unwrap().unwrap();
        prop_assert_eq!(message.len, bytes.len());
        prop_assert_eq!(Open::decode(message.body), Ok(open));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), extended: bool) {
        let _ = message(&bytes, extended);
        let _ = Open::decode(&bytes);
        let _ = refresh::decode(&bytes);
        let _ = Notification::decode(&bytes).map(|notification| notification.to_string());
    }

    #[test]
    fn mutated_opens_are_read_without_panic(open in any_open(), at: prop::sample::Index, byte: u8, end: prop::sample::Index) {
        let mut bytes = Vec::new();
        open.append(&mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(end.index(bytes.len()) + 1);
        if let Ok(Some(message)) = message(&bytes, false) {
            let _ = Open::decode(message.body);
        }
        let _ = bytes.get(19..).map(Open::decode);
    }
}
