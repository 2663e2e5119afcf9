//! Both ends over a real socket, without a kernel behind them.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime},
};

use proptest::{collection::vec, option, prelude::*};

use super::{
    Host, Patience, Remote, RemoteError, Start, Welcome, WireError,
    message::{self, Answer, Failure, Request},
    serve,
    server::{Door, Over, Turn, serve_at},
    wire::{FRAME, PROTOCOL, Pipe},
};
use crate::{
    datapath::{
        Applied, Attachment, Batch, Beside, Datapath, DatapathError, HookSweep, LinkSweep, Memory, Refused,
        Sizes, Starting, Sweep,
        adopted::{Adopted, AdoptedHook, AdoptedLink, CountId, LinkLabel, Missed},
        interface::Interface,
        kernel::{Setup, XdpChoice},
    },
    model::{
        Counter, Family, FibDelta, Hook, Ipv4Network, Ipv6Network, LinkId, LinkKind, Mode, Owner, Prefix,
        Role,
    },
};

/// What came to the other end, and what it is to answer.
#[derive(Debug, Default)]
struct Seen {
    starts: Vec<Start>,
    batches: Vec<Batch>,
    calls: Vec<String>,
    sweep: Option<Sweep>,
    adopted: Option<Adopted>,
    fails: bool,
}

type Shared = Arc<Mutex<Seen>>;

struct Recorder(Shared, Sizes);

impl Recorder {
    fn call(&self, call: impl Into<String>) -> Result<(), DatapathError> {
        let mut seen = self.0.lock().unwrap();
        seen.calls.push(call.into());
        if seen.fails { Err(DatapathError::Refused { why: "not today".to_owned() }) } else { Ok(()) }
    }
}

impl Datapath for Recorder {
    fn apply(&mut self, batch: &Batch) -> Result<Applied, DatapathError> {
        self.call("apply")?;
        self.0.lock().unwrap().batches.push(batch.clone());
        Ok(Applied { words_written: batch.deltas.len() as u64 })
    }

    fn resize(&mut self, sizes: &Sizes) -> Result<(), DatapathError> {
        if sizes.v4_rows < self.1.v4_rows {
            return Err(DatapathError::FibFull { what: "IPv4 rows", capacity: sizes.v4_rows });
        }
        if sizes.classes < self.1.classes {
            return Err(DatapathError::ClassOutOfRange { class: self.1.classes, classes: sizes.classes });
        }
        self.1 = *sizes;
        self.call("resize")
    }

    fn sizes(&self) -> Sizes {
        self.1
    }

    fn reclaim(&mut self) -> Result<(), DatapathError> {
        self.call("reclaim")
    }

    fn sweep(&mut self) -> Result<Sweep, DatapathError> {
        self.call("sweep")?;
        Ok(self.0.lock().unwrap().sweep.clone().expect("a sweep"))
    }

    fn place(&mut self, links: &[LinkId], at: Option<&Interface>) -> Result<Option<String>, DatapathError> {
        self.call(format!("place {links:?} {at:?}"))?;
        Ok(at.map(|at| at.name.clone()))
    }

    fn attachments(&self) -> Vec<Attachment> {
        vec![Attachment { link: LinkId(0), modes: [Some(Mode::Native), None] }]
    }

    fn beside(&self) -> Vec<Beside> {
        vec![Beside { ifindex: 3, what: "é".repeat(300) }; 300]
    }

    fn memory(&self) -> Memory {
        Memory { fib_bytes: 7, bank_bytes: u64::from(self.1.classes) }
    }

    fn detach(&mut self) -> Result<(), DatapathError> {
        self.call("detach")
    }
}

impl Starting for Recorder {
    fn has_kept(&self, ifindex: u32) -> bool {
        ifindex == 7
    }

    fn preflight(&mut self, interfaces: &[Interface]) -> Result<(), Refused> {
        let names: Vec<_> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
        self.call(format!("preflight {names:?}")).map_err(|error| Refused::of(&error))
    }

    fn attach(&mut self, interface: &Interface) -> Result<Option<String>, Refused> {
        self.call(format!("attach {}", interface.name)).map_err(|error| Refused::of(&error))?;
        Ok(Some("so".to_owned()))
    }

    fn settle(&mut self) -> Result<Option<Adopted>, Refused> {
        Ok(self.0.lock().unwrap().adopted.clone())
    }

    fn abandon(self: Box<Self>) {
        let _ = self.call("abandon");
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.call("dropped");
    }
}

struct Fake(Shared, Option<String>);

impl Host for Fake {
    fn welcome(&self) -> Welcome {
        Welcome { keeps: self.1.clone(), bank_bytes: 1 << 30 }
    }

    fn fib_bytes(&self) -> u64 {
        1 << 30
    }

    fn slices(&self) -> u32 {
        2
    }

    fn patience(&self) -> Patience {
        let answer = Duration::from_secs(10);
        Patience { greeting: Duration::from_millis(200), message: Duration::from_millis(200), answer }
    }

    fn start(&mut self, start: &Start) -> Result<Box<dyn Starting>, Refused> {
        let mut seen = self.0.lock().unwrap();
        if seen.fails {
            return Err(Refused::of(&DatapathError::Refused { why: "no memory".to_owned() }));
        }
        seen.starts.push(start.clone());
        Ok(Box::new(Recorder(Arc::clone(&self.0), start.sizes)))
    }
}

type Served = thread::JoinHandle<Result<(), WireError>>;

fn other_end(seen: &Shared, keeps: Option<&str>) -> (UnixStream, Served) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut host = Fake(Arc::clone(seen), keeps.map(str::to_owned));
    (ours, thread::spawn(move || serve(theirs, &mut host)))
}

const SIZES: Sizes = Sizes { classes: 1 << 20, v4_rows: 3, v6_rows: 4, v6_nodes: 5 };

fn start() -> Start {
    Start {
        sizes: SIZES,
        setups: vec![Setup { link: LinkId(0), ifindex: 3, vlan: Some(9), sides: [1, 3], extra_bytes: 4 }],
        labels: vec![LinkLabel { name: "transit".into(), role: Role::Upstream, kind: Some(LinkKind::Ix) }],
        recorder: Some([3; 16]),
        xdp: XdpChoice::Generic,
        clsact: true,
    }
}

/// A client that has begun.
fn remote(seen: &Shared, keeps: Option<&str>) -> (Remote, Served) {
    let (stream, served) = other_end(seen, keeps);
    let mut remote = Remote::over(stream, "the other".to_owned()).unwrap();
    remote.start(&start()).unwrap();
    (remote, served)
}

fn calls(seen: &Shared) -> Vec<String> {
    std::mem::take(&mut seen.lock().unwrap().calls)
}

/// However much an agent says without a pause, who serves it looks at everything else: signals, newcomers, its watchdog.
#[test]
fn an_agent_that_never_stops_talking_does_not_keep_the_other_end_from_ending() {
    struct Counting(usize);
    impl Door for Counting {
        fn wait(&mut self, _: &UnixStream, has_begun: bool) -> io::Result<Turn> {
            self.0 += usize::from(has_begun);
            Ok(if self.0 < 5 { Turn::Said } else { Turn::End })
        }
    }
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut pipe = Pipe::new(ours);
    pipe.greet().unwrap();
    // Parts of a batch, which have no answers, and are all there before it looks.
    for class in 0..50 {
        let part = message::Part { retired: vec![class], ..Default::default() };
        pipe.put(&Request::More(part)).unwrap();
    }
    pipe.flush().unwrap();
    let mut host = Fake(Shared::default(), None);
    assert_eq!(serve_at(theirs, &mut host, Some(&mut Counting(0))).unwrap(), Over::Told);
}

/// Nor does one go on for ever without saying anything.
#[test]
fn parts_of_nothing_end_the_session() {
    let seen = Shared::default();
    let (ours, served) = other_end(&seen, None);
    let mut pipe = Pipe::new(ours);
    pipe.greet().unwrap();
    pipe.put(&Request::More(message::Part::default())).unwrap();
    pipe.flush().unwrap();
    assert!(matches!(served.join().unwrap(), Err(WireError::Malformed("a part of nothing"))));
}

#[test]
fn everything_that_is_asked_arrives_and_is_answered() {
    let seen = Shared::default();
    let (mut remote, served) = remote(&seen, Some("default"));
    assert_eq!(seen.lock().unwrap().starts, [start()]);
    assert_eq!(remote.welcome().keeps.as_deref(), Some("default"));
    assert_eq!((remote.sizes(), remote.memory()), (SIZES, Memory { fib_bytes: 7, bank_bytes: 1 << 20 }));
    assert_eq!((remote.has_kept(7).unwrap(), remote.has_kept(8).unwrap()), (true, false));
    let lo = Interface::find("lo").unwrap();
    remote.preflight(&[&lo]).unwrap();
    assert_eq!(remote.attach(&lo).unwrap().as_deref(), Some("so"));
    assert!(remote.settle().unwrap().is_none());
    assert_eq!(remote.attachments(), [Attachment { link: LinkId(0), modes: [Some(Mode::Native), None] }]);
    let beside = remote.beside();
    assert_eq!((beside.len(), &beside[9]), (256, &Beside { ifindex: 3, what: "é".repeat(256) }), "what fits");
    assert_eq!(remote.place(&[LinkId(0)], Some(&lo)).unwrap().as_deref(), Some("lo"));
    assert_eq!(remote.place(&[], None).unwrap(), None);
    let larger = Sizes { classes: 2 << 20, ..SIZES };
    remote.resize(&larger).unwrap();
    assert_eq!((remote.sizes(), remote.memory().bank_bytes), (larger, 2 << 20));
    remote.reclaim().unwrap();
    remote.detach().unwrap();
    drop(remote);
    served.join().unwrap().unwrap();
    let place = format!("place [LinkId(0)] {:?}", Some(&lo));
    assert_eq!(
        calls(&seen),
        [
            "preflight [\"lo\"]",
            "attach lo",
            &place,
            "place [] None",
            "resize",
            "reclaim",
            "detach",
            "dropped"
        ],
        "one that keeps is not detached at the end"
    );
}

#[test]
fn at_the_end_all_is_taken_off_where_nothing_is_kept() {
    let seen = Shared::default();
    let (first, served) = remote(&seen, None);
    drop(first);
    served.join().unwrap().unwrap();
    assert_eq!(calls(&seen), ["detach", "dropped"]);
    let (second, served) = remote(&seen, Some("a"));
    second.abandon();
    served.join().unwrap().unwrap();
    assert_eq!(calls(&seen), ["abandon", "dropped"]);
}

#[test]
fn failures_come_in_their_own_words() {
    let seen = Shared::default();
    let (mut remote, _served) = remote(&seen, None);
    let failed = |error: DatapathError| (error.to_string(), error);
    let small = Sizes { v4_rows: 1, ..SIZES };
    let (_, error) = failed(remote.resize(&small).unwrap_err());
    assert!(matches!(error, DatapathError::FibFull { what: "IPv4 rows", capacity: 1 }), "{error:?}");
    let (_, error) = failed(remote.resize(&Sizes { classes: 64, ..SIZES }).unwrap_err());
    assert!(matches!(error, DatapathError::ClassOutOfRange { class: 1_048_576, classes: 64 }), "{error:?}");
    seen.lock().unwrap().fails = true;
    assert_eq!(failed(remote.apply(&Batch::default()).unwrap_err()).0, "not today");
    assert_eq!(remote.sweep().unwrap_err().to_string(), "not today");
    assert_eq!(remote.attach(&Interface::find("lo").unwrap()).unwrap_err().to_string(), "not today");
    let (stream, _served) = other_end(&seen, None);
    let mut refused = Remote::over(stream, "the other".to_owned()).unwrap();
    assert_eq!(refused.start(&start()).unwrap_err().to_string(), "no memory");
    // A verifier's log may be longer than a message.
    let long = DatapathError::Refused { why: "é".repeat(FRAME) };
    let Failure::Other(text) = Failure::of(&long) else { panic!("text") };
    assert!(text.len() < FRAME / 2 && text.ends_with("é […]"));
}

#[test]
fn one_that_is_gone_is_said_to_be() {
    for (keeps, after) in [
        (None, "; nothing is counted any more: start the agent again"),
        (Some("a"), "; the kernel counts on, as `a`, and the next start goes on with it"),
    ] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let seen = Shared::default();
        let mut host = Fake(Arc::clone(&seen), keeps.map(str::to_owned));
        let kill = theirs.try_clone().unwrap();
        let served = thread::spawn(move || serve(theirs, &mut host));
        let mut remote = Remote::over(ours, "the other".to_owned()).unwrap();
        remote.start(&start()).unwrap();
        let watch = remote.watch().unwrap();
        let watching = thread::spawn(move || super::closed(std::os::fd::AsFd::as_fd(&watch)));
        kill.shutdown(std::net::Shutdown::Both).unwrap();
        watching.join().unwrap().unwrap();
        let error = remote.sweep().unwrap_err();
        assert!(matches!(error, DatapathError::Remote(_)));
        assert_eq!(error.to_string(), format!("the other: it closed the connection{after}"));
        // It still answers what it knows.
        assert_eq!(remote.sizes(), SIZES);
        assert_eq!(remote.attachments(), []);
        served.join().unwrap().unwrap();
    }
}

/// Says something to a server, and reads how it ends.
fn stranger(say: impl FnOnce(&mut UnixStream)) -> (WireError, Vec<String>) {
    let seen = Shared::default();
    let (mut stream, served) = other_end(&seen, None);
    say(&mut stream);
    let error = served.join().unwrap().expect_err("no agent");
    (error, calls(&seen))
}

/// A client that has begun by hand, to say anything.
fn begun(stream: &UnixStream) -> Pipe {
    let mut pipe = Pipe::new(stream.try_clone().unwrap());
    pipe.greet().unwrap();
    pipe.greeted(Duration::from_secs(10)).unwrap();
    pipe.next::<Welcome>(None).unwrap();
    let request = Request::Start(message::WireStart::new(&start()));
    pipe.put(&request).unwrap();
    pipe.flush().unwrap();
    assert!(matches!(pipe.next(None).unwrap(), Answer::Ready(..)));
    pipe
}

#[test]
fn who_speaks_otherwise_is_not_served() {
    let (error, calls) = stranger(|stream| stream.write_all(&[b'G'; 64]).unwrap());
    assert!(matches!(error, WireError::Stranger), "{error}");
    assert_eq!(calls, [""; 0]);
    let (error, _) = stranger(|stream| stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap());
    assert!(matches!(error, WireError::Silent(_)), "{error}");
    let (error, _) = stranger(|_| {});
    assert!(matches!(error, WireError::Silent(_)), "{error}");
    let (error, _) = stranger(|stream| {
        let mut greeting = [0; 48];
        greeting[..8].copy_from_slice(b"CLSFPATH");
        greeting[8..12].copy_from_slice(&(PROTOCOL + 1).to_le_bytes());
        greeting[12..17].copy_from_slice(b"9.9.9");
        stream.write_all(&greeting).unwrap();
        // It says which it has, too.
        let mut theirs = [0; 48];
        stream.read_exact(&mut theirs).unwrap();
        assert_eq!(theirs[..12], [b"CLSFPATH".as_slice(), &PROTOCOL.to_le_bytes()].concat());
    });
    let expected = format!("it speaks version {} of the protocol (classifier 9.9.9)", PROTOCOL + 1);
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn what_makes_no_sense_ends_it_and_all_is_taken_off() {
    let ends = |say: &dyn Fn(&mut UnixStream)| {
        stranger(|stream| {
            drop(begun(stream));
            say(stream);
        })
    };
    let frame = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes(), bytes].concat();
    let four_gigabytes = u32::MAX.to_le_bytes();
    let half_a_sweep = frame(&postcard::to_stdvec(&Request::Sweep).unwrap());
    let batch = |network| {
        let part = message::Part { deltas: vec![(network, Some(5))], ..message::Part::default() };
        frame(&postcard::to_stdvec(&Request::Apply(part)).unwrap())
    };
    let (host_bits, too_long) = (batch(message::Network::V4(1, 24)), batch(message::Network::V6(0, 0, 129)));
    let place = frame(&postcard::to_stdvec(&Request::Place(vec![1], None)).unwrap());
    // A list that says it has 2^64 - 1 items.
    let endless = frame(&[&[5][..], &[0xff; 9], &[1]].concat());
    let cases: [(&[u8], &str); 9] = [
        (&four_gigabytes, "a message of 4294967295 bytes"),
        (&half_a_sweep[..3], "it did not finish what it began to say"),
        (&half_a_sweep[..4], "it did not finish what it began to say"),
        (&frame(&[0xff; 40]), "it is no message of this protocol"),
        (&frame(&[]), "it is no message of this protocol"),
        (&endless, "it is no message of this protocol"),
        (&frame(&[9, 0, 0]), "it is longer than its message"),
        (&host_bits, "a prefix that is none"),
        (&place, "a link that there is not"),
    ];
    for (bytes, expected) in cases {
        let (error, calls) = ends(&|stream| stream.write_all(bytes).unwrap());
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert_eq!(calls, ["detach", "dropped"], "{expected}");
    }
    let (error, _) = ends(&|stream| stream.write_all(&too_long).unwrap());
    assert!(error.to_string().contains("a prefix that is none"), "{error}");
    // Closed within a message; and a flood that nobody reads the answers of.
    let (error, _) = ends(&|stream| {
        stream.write_all(&half_a_sweep[..2]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    });
    assert!(matches!(error, WireError::Cut), "{error}");
}

#[test]
fn what_is_too_much_is_refused_and_the_agent_is_served_on() {
    let seen = Shared::default();
    let (stream, _served) = other_end(&seen, None);
    let mut remote = Remote::over(stream, "the other".to_owned()).unwrap();
    let why = |refused: Result<(), RemoteError>| refused.unwrap_err().to_string();
    assert_eq!(remote.sweep().unwrap_err().to_string(), "sweep was asked for out of its turn");
    let mut asked = start();
    asked.setups[0].sides = [u32::MAX, 0];
    assert!(why(remote.start(&asked)).starts_with("a set of sides is 4294967295, beyond the 3"));
    let mut asked = start();
    asked.setups[0].ifindex = 1 << 16;
    assert!(why(remote.start(&asked)).starts_with("an interface's index is 65536"));
    let mut asked = start();
    asked.setups[0].vlan = Some(4096);
    assert!(why(remote.start(&asked)).starts_with("a VLAN is 4096"));
    let mut asked = start();
    (asked.setups, asked.labels) = (vec![asked.setups[0]; 65], vec![asked.labels[0].clone(); 65]);
    assert!(why(remote.start(&asked)).starts_with("the number of links is 65"));
    let mut asked = start();
    asked.labels[0].name = "a\nb".to_owned();
    assert_eq!(why(remote.start(&asked)), "`a\\nb` is no name of a link or interface");
    for (sizes, expected) in [
        (Sizes { classes: u32::MAX, ..SIZES }, "the number of classes is 4294967295"),
        (Sizes { classes: 1 << 29, ..SIZES }, "the number of counters is "),
        (Sizes { classes: 1 << 25, ..SIZES }, "the counters would need 6"),
        (Sizes { v4_rows: u32::MAX, ..SIZES }, "the number of IPv4 rows is 4294967295"),
        (Sizes { v6_rows: 1 << 21, ..SIZES }, "the FIB would need 21"),
        (Sizes { v6_nodes: u32::MAX, ..SIZES }, "the number of IPv6 search nodes is 4294967295"),
    ] {
        let said = why(remote.start(&Start { sizes, ..start() }));
        assert!(said.starts_with(expected), "{expected}: {said}");
    }
    remote.start(&start()).unwrap();
    assert_eq!(why(remote.start(&start())), "start was asked for out of its turn");
    let error = remote.resize(&Sizes { classes: 1 << 25, ..SIZES }).unwrap_err().to_string();
    assert!(error.contains("counters would need"), "{error}");
    for (class, expected) in [(0, "class 0 is not given out"), (1 << 20, "a class is 1048576, beyond")] {
        let batch = Batch { retired: vec![class], ..Batch::default() };
        let error = remote.apply(&batch).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    for (name, expected) in [
        ("", "`` is no name of a link or interface"),
        ("../../etc/shadow", "`../../etc/shadow` is no name"),
        ("a\0b", "`a\\0b` is no name"),
        ("sixteen-letters!", "`sixteen-letters!` is no name"),
        ("none", "there is no interface none; "),
        ("lo", "lo is another interface than the agent found"),
    ] {
        let asked = Interface { name: name.to_owned(), ifindex: 65_000 };
        let error = remote.attach(&asked).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{name}: {error}");
        let error = remote.place(&[LinkId(0)], Some(&asked)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{name}: {error}");
    }
    assert_eq!(calls(&seen), [""; 0], "none of it came through");
    remote.reclaim().unwrap();
}

fn prefix() -> impl Strategy<Value = Prefix> {
    let v4 = (any::<u32>(), 0..=32u8).prop_map(|(bits, len)| {
        let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
        Prefix::V4(Ipv4Network::new((bits & mask).into(), len).unwrap())
    });
    let v6 = (any::<u128>(), 0..=128u8).prop_map(|(bits, len)| {
        let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
        Prefix::V6(Ipv6Network::new((bits & mask).into(), len).unwrap())
    });
    prop_oneof![v4, v6]
}

fn owner() -> impl Strategy<Value = Owner> {
    let family = || prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)];
    prop_oneof![
        family().prop_map(Owner::Unmatched),
        (prefix(), any::<u32>()).prop_map(|(prefix, asn)| Owner::Route { prefix, asn }),
        (family(), any::<u32>()).prop_map(|(family, asn)| Owner::As { family, asn }),
    ]
}

fn class() -> impl Strategy<Value = u32> {
    2..SIZES.classes
}

/// Few items or more than a part has.
fn many<T: std::fmt::Debug>(item: impl Strategy<Value = T> + Clone) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![4 => vec(item.clone(), 0..20), 1 => vec(item, 3000..10_000)]
}

fn batch() -> impl Strategy<Value = Batch> {
    let delta = (prefix(), option::of(any::<u32>())).prop_map(|(prefix, class)| FibDelta { prefix, class });
    (many(delta.boxed()), many(class().boxed()), many((class(), owner()).boxed()))
        .prop_map(|(deltas, retired, bound)| Batch { deltas, retired, bound })
}

fn counter() -> impl Strategy<Value = Counter> {
    (any::<u64>(), any::<u64>()).prop_map(|(packets, bytes)| Counter { packets, bytes })
}

fn time() -> impl Strategy<Value = SystemTime> {
    (0..1u64 << 33, 0..1_000_000_000u32).prop_map(|(s, ns)| SystemTime::UNIX_EPOCH + Duration::new(s, ns))
}

fn five() -> impl Strategy<Value = [Counter; 5]> {
    proptest::array::uniform5(counter())
}

fn sweep() -> impl Strategy<Value = Sweep> {
    let side = || option::of(many((any::<u32>(), counter()).boxed()));
    let hook = (five(), side(), side())
        .prop_map(|(outcomes, one, other)| HookSweep { outcomes, sides: [one, other] })
        .boxed();
    let link = (any::<u16>(), option::of(hook.clone()), option::of(hook))
        .prop_map(|(link, rx, tx)| LinkSweep { link: LinkId(link), hooks: [rx, tx] });
    (time(), any::<u32>(), vec(link, 0..4), many(any::<u32>().boxed())).prop_map(
        |(at, took, links, released)| Sweep { at, took: Duration::from_micros(took.into()), links, released },
    )
}

fn label() -> impl Strategy<Value = LinkLabel> {
    let role = prop_oneof![Just(Role::Upstream), Just(Role::Downstream)];
    const KINDS: [LinkKind; 4] = [LinkKind::Transit, LinkKind::Ix, LinkKind::Pni, LinkKind::Customer];
    (".{0,64}", role, option::of(proptest::sample::select(&KINDS[..])))
        .prop_map(|(name, role, kind)| LinkLabel { name, role, kind })
}

fn adopted() -> impl Strategy<Value = Adopted> {
    let side = || many((owner(), counter()).boxed());
    let hook = (five(), side(), side())
        .prop_map(|(outcomes, one, other)| AdoptedHook { outcomes, sides: [one, other] })
        .boxed();
    let link =
        (label(), hook.clone(), hook).prop_map(|(label, rx, tx)| AdoptedLink { label, hooks: [rx, tx] });
    let hook = prop_oneof![Just(Hook::Rx), Just(Hook::Tx)];
    let missed = (any::<u16>(), hook, option::of(time())).prop_map(|(link, hook, since)| Missed {
        link: LinkId(link),
        hook,
        since,
    });
    (any::<[u8; 16]>(), time(), any::<bool>(), vec(link, 0..4), vec(missed, 0..4)).prop_map(
        |(count, since, recorded_here, links, missed)| {
            let count = CountId(count);
            Adopted { count, since, recorded_here, links, missed }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_sent_is_what_arrives(batches in vec(batch(), 0..3), sweep in sweep(), had in option::of(adopted())) {
        let seen = Shared::default();
        let (mut remote, _served) = remote(&seen, None);
        for batch in &batches {
            let applied = remote.apply(batch).unwrap();
            prop_assert_eq!(applied.words_written, batch.deltas.len() as u64);
        }
        // Batches, sweeps and what was adopted have no equality of their own: what they print is all that they are.
        prop_assert_eq!(format!("{batches:?}"), format!("{:?}", seen.lock().unwrap().batches));
        seen.lock().unwrap().sweep = Some(sweep.clone());
        prop_assert_eq!(format!("{sweep:?}"), format!("{:?}", remote.sweep().unwrap()));
        seen.lock().unwrap().adopted = had.clone();
        prop_assert_eq!(format!("{had:?}"), format!("{:?}", remote.settle().unwrap()));
    }

    #[test]
    fn noise_is_an_error_and_no_more(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(request) = postcard::from_bytes::<Request>(&bytes) {
            let again = postcard::to_stdvec(&request).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Request>(&again).unwrap(), request);
        }
    }
}
