//! What is done with bytes that nobody meant: one function a target. None may panic, hang or take memory without bound,
//! whatever the bytes are, and what it gives back must hold what it promises.
//!
//! `classifier-user/tests/corpus.rs` has this file too, and runs it over the corpus without libFuzzer.

use std::{
    cell::RefCell,
    collections::HashSet,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{Arc, LazyLock, RwLock},
    time::{Duration, SystemTime},
};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderName, HeaderValue, Request, StatusCode, Uri, header},
};
use classifier_common::parse::{Bytes, parse};
use classifier_user::{
    config::{bgp::BgpSpec, bmp::BmpSpec, file, link::LinkSpec, web},
    datapath::{HookSweep, LinkSweep, Sweep},
    history::{
        store::{Options, Store},
        synthesis,
    },
    http,
    ingest::{
        self, LoadOptions, SourceTable, TableSpec,
        bgp::codec::{
            self, Families, Kind, Notification, Reset,
            open::Open,
            refresh,
            update::{Context, Decoder, MAX_PATH},
        },
        bmp::{
            codec as bmp,
            router::{PeerIds, Router},
            settings::RouterSettings,
        },
        live::{Event, PeerId, Said},
    },
    model::{Class, Counter, Family, Link, LinkId, Owner, OwnerId, Owners, Prefix, Role},
    questions::Questions,
    replay::capture::Capture,
    table::{groups::Groups, names::Names, rib::Rib},
    totals::{Limits, StatusInputs, Totals, View},
};
use jiff::{Timestamp, tz::TimeZone};
use tower::ServiceExt as _;

mod frame;
mod remote;

/// A frame, by the parser on the host and by the programs in the kernel, where we may load them.
pub fn frame(bytes: &[u8]) {
    frame::frame(bytes);
}

/// What an agent that was taken over says to the process that counts.
pub fn remote(bytes: &[u8]) {
    remote::remote(bytes);
}

/// Whether [`frame`] has programs in the kernel to compare with.
pub fn kernel_is_there() -> bool {
    frame::kernel_is_there()
}

/// What is done with bytes.
pub type Target = fn(&[u8]);

/// All targets; the corpus of each is the directory of its name.
pub const TARGETS: [(&str, Target); 9] = [
    ("bgp", bgp),
    ("bmp", bmp),
    ("config", config),
    ("frame", frame),
    ("http", http),
    ("mrt", mrt),
    ("pcap", pcap),
    ("remote", remote),
    ("table", table),
];

/// A BGP session from the peer's OPEN on: the first byte is what was agreed on, the rest messages as they come.
pub fn bgp(bytes: &[u8]) {
    let Some((agreed, mut rest)) = bytes.split_first() else { return };
    let agreed = |bit: u8| agreed >> bit & 1 != 0;
    let context = Context {
        four_octet: agreed(0),
        internal: agreed(1),
        families: Families { ipv4: agreed(2), ipv6: agreed(3) },
        add_path: Families { ipv4: agreed(4), ipv6: agreed(5) },
    };
    let mut decoder = Decoder::new(context);
    loop {
        let message = match codec::message(rest, agreed(6)) {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(reset) => return said(&reset),
        };
        assert_eq!(message.len, codec::HEADER + message.body.len());
        rest = &rest[message.len..];
        let result = match message.kind {
            Kind::Open => open(message.body),
            Kind::Update => update(&mut decoder, message.body),
            Kind::Refresh => refresh::decode(message.body).map(|_| ()),
            Kind::Notification => {
                if let Some(notification) = Notification::decode(message.body) {
                    notification_reads_back(&notification);
                }
                return;
            }
            Kind::Keepalive => Ok(()),
        };
        if let Err(reset) = result {
            return said(&reset);
        }
    }
}

/// What is understood of an OPEN is written as it is understood.
fn open(body: &[u8]) -> Result<(), Reset> {
    let written = |open: &Open| {
        let mut bytes = Vec::new();
        open.append(&mut bytes);
        bytes
    };
    let once = written(&Open::decode(body)?);
    let message = codec::message(&once, false).expect("a message").expect("a whole one");
    let again = written(&Open::decode(message.body).expect("an OPEN"));
    assert_eq!(once, again);
    Ok(())
}

fn update(decoder: &mut Decoder, body: &[u8]) -> Result<(), Reset> {
    let mut routes = Vec::new();
    let contents = decoder.decode(body, &mut routes).inspect_err(|_| assert!(routes.is_empty()))?;
    let announced = routes.iter().filter(|route| route.attributes.is_some()).count();
    assert_eq!((announced, routes.len() - announced), (contents.announced, contents.withdrawn));
    assert!(contents.end_of_rib.is_none() || routes.is_empty());
    for attributes in routes.iter().filter_map(|route| route.attributes.as_ref()) {
        assert!(attributes.path.len() + attributes.set.len() <= MAX_PATH);
        assert!(attributes.set.is_sorted() && !attributes.path.contains(&0) && attributes.origin <= 2);
    }
    for problem in [contents.treated_as_withdraw, contents.discarded].into_iter().flatten() {
        assert!(!problem.to_string().is_empty());
    }
    Ok(())
}

fn said(reset: &Reset) {
    assert!(!reset.to_string().is_empty());
    notification_reads_back(&reset.notification);
}

fn notification_reads_back(notification: &Notification) {
    assert!(!notification.to_string().is_empty());
    let mut bytes = Vec::new();
    notification.append(&mut bytes);
    let message = codec::message(&bytes, false).expect("a message").expect("a whole one");
    assert_eq!(Notification::decode(message.body).as_ref(), Some(notification));
}

/// What a router reports over BMP: messages as they come, and what is made of them.
pub fn bmp(bytes: &[u8]) {
    let settings = RouterSettings::new(Ipv4Addr::LOCALHOST.into());
    let longest = settings.max_message;
    let mut router = Router::new(settings, PeerId(0), Arc::new(PeerIds::new(1)));
    let (mut said, mut rest) = (Vec::new(), bytes);
    router.connected(&mut said);
    let why = loop {
        match bmp::message(rest, longest) {
            Ok(Some((message, len))) => {
                rest = &rest[len..];
                if let Err(end) = router.take(message, &mut said) {
                    break end.to_string();
                }
            }
            Ok(None) => break "it closed the connection".to_owned(),
            Err(malformed) => break malformed.to_string(),
        }
    };
    assert!(!why.is_empty());
    router.lost(&why, &mut said);
    let status = router.status();
    assert_eq!((status.held, status.peers), (Families::default(), 0));
    // All that was counted was said, each route of a peer that had said who it is and is up.
    let (mut up, mut routes) = (HashSet::new(), [0, 0]);
    for Said { peer, event } in said {
        match event {
            Event::Up => assert!(up.insert(peer), "{peer:?} comes up again"),
            Event::Down(_) => assert!(up.remove(&peer), "{peer:?} goes and was not there"),
            Event::Routes(these) => {
                assert!(up.contains(&peer), "routes of {peer:?}, which is not there");
                for route in these {
                    routes[usize::from(route.attributes.is_none())] += 1;
                }
            }
            Event::Peer(_) | Event::EndOfRib(_) | Event::Refresh(_) => {}
        }
    }
    assert_eq!(routes, [status.announced, status.withdrawn]);
    assert!(up.is_empty());
}

thread_local! {
    /// Tables and captures are files: one in memory, where there is such a place.
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new({
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { tempfile::NamedTempFile::new_in(memory) } else { tempfile::NamedTempFile::new() }
            .expect("a file")
    });
}

fn with_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    FILE.with_borrow_mut(|file| {
        fs::write(file.path(), bytes).expect("written");
        read(file.path());
    });
}

/// A table of any format, and the same as overrides.
pub fn table(bytes: &[u8]) {
    with_file(bytes, |path| {
        for skip_bad_lines in [false, true] {
            let options = LoadOptions { skip_bad_lines };
            for loaded in [
                ingest::load(&TableSpec::File(path.into()), &options, &mut |_| {}),
                ingest::load_overrides(path, &options),
            ] {
                match loaded {
                    Ok(table) => is_in_order(&table),
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
        }
    });
}

/// An MRT file: as any table, with a corpus of its own.
pub fn mrt(bytes: &[u8]) {
    table(bytes);
}

fn is_in_order(table: &SourceTable) {
    let key = |prefix: &Prefix| match prefix {
        Prefix::V4(prefix) => (IpAddr::from(prefix.network_address()), prefix.netmask()),
        Prefix::V6(prefix) => (IpAddr::from(prefix.network_address()), prefix.netmask()),
    };
    let routes = &table.routes;
    assert!(routes.windows(2).all(|pair| key(&pair[0].0) < key(&pair[1].0)), "not ascending, or one twice");
    for notice in &table.report.notices {
        assert!(!notice.to_string().is_empty());
    }
}

/// A capture, and the headers of its frames.
pub fn pcap(bytes: &[u8]) {
    with_file(bytes, |path| {
        let mut capture = match Capture::open(path) {
            Ok(capture) => capture,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        let frame = |captured: &[u8], len: u32| {
            assert!(captured.len() as u64 <= u64::from(len));
            for outer in [None, Some(100)] {
                let parsed = parse(&Bytes::cut(captured, len), outer);
                assert!(parsed.packet.is_err() || u64::from(parsed.ip_at) <= u64::from(len));
            }
        };
        loop {
            match capture.next(frame) {
                Ok(Some(())) => assert!(capture.position() <= capture.size()),
                Ok(None) => return,
                Err(error) => return assert!(!error.to_string().is_empty()),
            }
        }
    });
}

/// A configuration file, and the same text as a file of TLS and passwords, one of groups, a link and a peer.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match file::parse(Path::new("classifier.toml"), text) {
        Err(error) => assert!(error.to_string().starts_with("classifier.toml:")),
        // A password's file would be read, whatever it is.
        Ok(settings) if settings.bgp.iter().any(|peer| peer.password_file.is_some()) => {}
        Ok(settings) => {
            if let Err(error) = settings.plan() {
                assert!(!error.to_string().is_empty());
            }
        }
    }
    match web::parse(Path::new("web.yml"), text) {
        Err(error) => assert!(error.to_string().starts_with("web.yml:")),
        Ok(web) => {
            assert!(web.users.values().all(|hash| hash.as_str().starts_with("$2")), "no hash of bcrypt's");
            assert!(web.headers.iter().all(|(_, value)| HeaderValue::from_str(value).is_ok()));
        }
    }
    if let Err(error) = Groups::default().with_text(Path::new("groups.toml"), text) {
        assert!(!error.to_string().is_empty());
    }
    if let Err(error) = LinkSpec::parse(text, Role::Upstream) {
        assert!(!error.to_string().is_empty());
    }
    if let Err(error) = BgpSpec::parse(text) {
        assert!(!error.to_string().is_empty());
    }
    if let Err(error) = BmpSpec::parse(text) {
        assert!(!error.to_string().is_empty());
    }
}

/// A path with its query, and lines of a head below it: `GET` over all of the API and the pages, of an agent with some traffic
/// and three days of past.
pub fn http(bytes: &[u8]) {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let Ok(path) = std::str::from_utf8(lines.next().unwrap_or_default()) else { return };
    let Ok(uri) = Uri::try_from(format!("/{path}")) else { return };
    let mut request = Request::builder().uri(uri).body(Body::empty()).expect("a request");
    for line in lines {
        let (name, value) = line.split_at(line.iter().position(|&byte| byte == b':').unwrap_or(0));
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.get(1..).unwrap_or_default()))
        {
            request.headers_mut().append(name, value);
        }
    }
    let Server { runtime, router, .. } = &*SERVER;
    let (status, json, body) = runtime.block_on(async {
        let Ok(response) = router.clone().oneshot(request).await;
        let json =
            response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        let status = response.status();
        (status, json, to_bytes(response.into_body(), usize::MAX).await.expect("a body"))
    });
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!json || body.starts_with(b"{"), "{body:?}");
}

/// The agent without its kernel.
struct Server {
    runtime: tokio::runtime::Runtime,
    router: axum::Router,
    _state: tempfile::TempDir,
}

/// 2026-10-05T12:05:07Z.
const NOW: u64 = 1_791_201_907;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let link = |name: &str| Link {
        name: name.to_owned(),
        interface: "eth0".to_owned(),
        vlan: None,
        role: Role::Upstream,
        kind: None,
    };
    let totals =
        Totals::new(vec![link("transit"), link("ix")], now() - Duration::from_secs(600), Limits::default());
    let view = View::new(totals, Arc::new(RwLock::new(Table)), now);
    let groups = Arc::new(Groups::builtin().expect("the built-in groups"));
    let mut names = Names::default();
    names.insert(2906, "Netflix Streaming Services");
    names.insert(15_169, "Google LLC");
    view.set_tables(Arc::new(names), Arc::clone(&groups));
    view.set_status(StatusInputs {
        router: "border".to_owned(),
        interval: Duration::from_secs(5),
        ..StatusInputs::default()
    });
    for ago in (0..60).rev() {
        view.record(&sweep(now() - Duration::from_secs(10 * ago), 60 - ago));
    }
    let state = tempfile::tempdir().expect("a directory");
    let zone = TimeZone::get("Europe/Paris").expect("a zone");
    let mut store = Store::open(state.path(), Options::new(zone, "border")).expect("a history").store;
    let past = synthesis::Request {
        days: 3,
        now: Timestamp::try_from(now()).expect("a time"),
        links: vec!["transit".to_owned(), "ix".to_owned()],
        bits_per_second: [1_000_000_000, 200_000_000],
        groups: &groups,
        rib: &Rib::new(),
    };
    synthesis::fill(&mut store, &past, |_, _| {}).expect("filled");
    let questions = Questions::new(view, Some(Arc::new(store.reader())));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    Server { runtime, router: http::router(questions), _state: state }
});

/// Classes of a table of four routes.
struct Table;

const OWNERS: [(&str, u32); 4] =
    [("45.57.0.0/17", 2906), ("2a00:86c0::/32", 2906), ("8.8.8.0/24", 15_169), ("240.0.0.0/4", 0)];

impl Owners for Table {
    fn owner_of(&self, class: Class) -> OwnerId {
        OwnerId(class)
    }

    fn owner(&self, id: OwnerId) -> Owner {
        match id.0 {
            0 => Owner::Unmatched(Family::Ipv4),
            1 => Owner::Unmatched(Family::Ipv6),
            route => {
                let (prefix, asn) = OWNERS[route as usize - 2];
                Owner::Route { prefix: prefix.parse().expect("a prefix"), asn }
            }
        }
    }

    fn owner_count(&self) -> usize {
        2 + OWNERS.len()
    }
}

/// As many packets of each class as its number says, on all hooks; `number` sweeps so far.
fn sweep(at: SystemTime, number: u64) -> Sweep {
    let of = |class: Class| Counter { packets: u64::from(class) + 1, bytes: 1000 * (u64::from(class) + 1) };
    let classes: Vec<(Class, Counter)> = (0..6).map(|class| (class, of(class))).collect();
    let family = |six: bool| {
        let of = |sum: Counter, &(class, counter): &(Class, Counter)| {
            let mine = matches!(class, 1 | 3) == six;
            if mine {
                Counter { packets: sum.packets + counter.packets, bytes: sum.bytes + counter.bytes }
            } else {
                sum
            }
        };
        let sum = classes.iter().fold(Counter::ZERO, of);
        Counter { packets: sum.packets * number, bytes: sum.bytes * number }
    };
    let hook = HookSweep {
        outcomes: [family(false), family(true), Counter::ZERO, Counter::ZERO, Counter::ZERO],
        sides: [Some(classes.clone()), Some(classes.clone())],
    };
    let link = |link| LinkSweep { link: LinkId(link), hooks: [Some(hook.clone()), Some(hook.clone())] };
    Sweep { at, took: Duration::from_millis(3), links: vec![link(0), link(1)], released: Vec::new() }
}
