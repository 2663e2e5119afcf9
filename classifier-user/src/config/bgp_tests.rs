use super::*;

fn error(text: &str) -> String {
    let error = BgpSpec::parse(text).and_then(|spec| lower(vec![spec])).unwrap_err();
    error.to_string()
}

fn one(text: &str) -> PeerSettings {
    lower(vec![BgpSpec::parse(text).unwrap()]).unwrap().remove(0)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_and_an_as_are_enough() {
    assert_eq!(one("192.0.2.1,as=64500"), PeerSettings::new(ip("192.0.2.1"), 64_500));
    assert_eq!(one("2001:db8::1,AS=AS64500"), PeerSettings::new(ip("2001:db8::1"), 64_500));
    let defaults = one("192.0.2.1,as=64500");
    assert_eq!((defaults.name.as_str(), defaults.local_as, defaults.port), ("192.0.2.1", 64_500, 179));
    assert_eq!((defaults.hold_time, defaults.stale_seconds, defaults.max_prefixes), (90, 1800, 2_000_000));
    assert_eq!((defaults.listen, defaults.passive, defaults.add_path), (None, false, false));
}

#[test]
fn everything() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    fs::write(&file, "a secret\n").unwrap();
    let text = format!(
        "2001:db8::1,as=64500,name=border,local-as=64501,local_address=2001:db8::2,router_id=192.0.2.9,\
         listen=[2001:db8::2]:1179,port=1790,passive,password_file={},ttl_security=2,hold_time=30s,families=ipv6,\
         add_path=true,max_prefixes=10,max_memory=20MB,stale_time=1h",
        file.display()
    );
    assert_eq!(
        one(&text),
        PeerSettings {
            name: "border".into(),
            address: ip("2001:db8::1"),
            remote_as: 64_500,
            local_as: 64_501,
            local_address: Some(ip("2001:db8::2")),
            router_id: Some(Ipv4Addr::new(192, 0, 2, 9)),
            listen: Some("[2001:db8::2]:1179".parse().unwrap()),
            port: 1790,
            passive: true,
            password: Password::new("a secret"),
            hops: Some(2),
            hold_time: 30,
            families: Families { ipv4: false, ipv6: true },
            add_path: true,
            max_prefixes: 10,
            max_memory: 20_000_000,
            stale_seconds: 3600,
        }
    );
}

#[test]
fn where_to_listen() {
    let listen = |text: &str| one(text).listen.map(|listen| listen.to_string());
    assert_eq!(listen("192.0.2.1,as=1,listen=1179").as_deref(), Some("0.0.0.0:1179"));
    assert_eq!(listen("2001:db8::1,as=1,listen=1179").as_deref(), Some("[::]:1179"));
    assert_eq!(
        listen("127.0.0.1,as=1,listen=1179,local_address=127.0.0.2").as_deref(),
        Some("127.0.0.2:1179")
    );
    assert_eq!(listen("192.0.2.1,as=1,passive").as_deref(), Some("0.0.0.0:179"));
}

#[test]
fn what_is_no_peer() {
    for (text, problem) in [
        (
            "192.0.2.1",
            "`192.0.2.1` is no BGP peer: expected PEER-ADDR,as=NUMBER[,KEY=VALUE]…, such as 192.0.2.1,as=64500,listen=1179",
        ),
        (
            "64500",
            "`64500` is no BGP peer: expected PEER-ADDR,as=NUMBER[,KEY=VALUE]…, such as 192.0.2.1,as=64500,listen=1179",
        ),
        ("192.0.2.1,as=0", "`as` is `0`: expected an AS number from 1 to 4294967295"),
        ("192.0.2.1,as=4294967296", "`as` is `4294967296`: expected an AS number from 1 to 4294967295"),
        ("192.0.2.1,as=1,lisen=5", "unknown key `lisen`; the nearest valid key is `listen`"),
        (
            "192.0.2.1,as=1,listen=0",
            "`listen` is `0`: expected a port such as 1179, or an address and port such as 127.0.0.1:1179",
        ),
        ("192.0.2.1,as=1,port=0", "`port` is `0`: expected a port from 1 to 65535"),
        ("192.0.2.1,as=1,passive=yes", "`passive` is `yes`: expected true or false"),
        (
            "192.0.2.1,as=1,hold_time=2s",
            "`hold_time` is `2s`: expected a duration from 3s to 65535s in whole seconds",
        ),
        (
            "192.0.2.1,as=1,hold_time=3500ms",
            "`hold_time` is `3500ms`: expected a duration from 3s to 65535s in whole seconds",
        ),
        ("192.0.2.1,as=1,families=ipv5", "`families` is `ipv5`: expected ipv4, ipv6 or both"),
        (
            "192.0.2.1,as=1,ttl_security=255",
            "`ttl_security` is `255`: expected true, false, or how many hops away the peer is, from 1 to 254",
        ),
        (
            "192.0.2.1,as=1,stale_time=8d",
            "`stale_time` is `8d`: expected a duration from 0 to 7d in whole seconds",
        ),
        (
            "192.0.2.1,as=1,router_id=0.0.0.0",
            "`router_id` is `0.0.0.0`: expected a BGP identifier such as 192.0.2.1",
        ),
        (
            "192.0.2.1,as=1,password=x",
            "a password is not given on the command line, where every user can read it: use password_file=FILE",
        ),
        (
            "192.0.2.1,as=1,listen=[::]:179",
            "--bgp 192.0.2.1,as=1,listen=[::]:179: `listen` is ::, of another family than the peer 192.0.2.1",
        ),
        ("224.0.0.1,as=1", "--bgp 224.0.0.1,as=1: 224.0.0.1 is no address of a peer"),
    ] {
        assert_eq!(error(text), problem, "{text}");
    }
}

#[test]
fn passwords_in_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    let text = format!("192.0.2.1,as=1,password_file={}", file.display());
    assert!(error(&text).contains("No such file"), "{}", error(&text));
    fs::write(&file, "\n").unwrap();
    assert!(error(&text).ends_with("expected 1 to 80 bytes in one line"), "{}", error(&text));
    fs::write(&file, "x".repeat(81)).unwrap();
    assert!(error(&text).ends_with("expected 1 to 80 bytes in one line"));
    fs::write(&file, "x".repeat(80)).unwrap();
    assert_eq!(one(&text).password, Password::new(&"x".repeat(80)));
    assert_eq!(format!("{:?}", one(&text).password), "Some(Password(…))");
}

#[test]
fn peers_are_held_against_each_other() {
    let both = |first: &str, second: &str| {
        lower(vec![BgpSpec::parse(first).unwrap(), BgpSpec::parse(second).unwrap()]).unwrap_err().to_string()
    };
    assert_eq!(
        both("192.0.2.1,as=1", "192.0.2.1,as=2"),
        "the BGP peer 192.0.2.1 is given twice: --bgp 192.0.2.1,as=1 and --bgp 192.0.2.1,as=2"
    );
    assert_eq!(
        both("192.0.2.1,as=1,name=a", "192.0.2.2,as=1,name=a"),
        "two BGP peers are called `a`: --bgp 192.0.2.1,as=1,name=a and --bgp 192.0.2.2,as=1,name=a; name one with name=NAME"
    );
    let many =
        (0..257u32).map(|n| BgpSpec::new(Ipv4Addr::from_bits(0x0a00_0000 + n).into(), 1, String::new()));
    assert_eq!(
        lower(many.collect()).unwrap_err().to_string(),
        "257 BGP peers are more than the 256 that one agent serves"
    );
}
