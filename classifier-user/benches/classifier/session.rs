//! The agent and a router with a full table: BIRD in a namespace sends it, a route changes, the session is reset.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
    process::{Child, Command, Stdio},
    ptr,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use classifier_common::fib::V4_ROOT_WORDS;
use classifier_user::{
    ingest::bgp::codec::{
        self, Families, Kind,
        open::{Capabilities, Open},
    },
    model::{Asn, Prefix},
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    agent::Agent,
    bgp::{Stream, path},
    lab::{self, Peer},
    measure::process_cpu,
    report::{Cell, Goal, Table, Target},
};

const AS: Asn = 64_500;
const ROUTER: &str = "10.9.1.2";
const OURS: &str = "10.9.1.1";
/// Where the peer that changes single routes listens, on the loopback.
const SENDER: u16 = 1790;
const INTERVAL: Duration = Duration::from_secs(1);
/// What nothing here takes.
const LONG: Duration = Duration::from_secs(180);
/// How often the agent is asked.
const POLL: Duration = Duration::from_millis(20);
/// Single changes, and the pause before each.
const CHANGES: usize = 200;
const REST: Duration = Duration::from_millis(30);
/// A prefix of no table, for them.
const CHANGED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 0);
const MIB: f64 = 1_048_576.0;

/// Everything about a session with this table.
pub(crate) fn measure(routes: &[(Prefix, Asn)]) -> Result<(Vec<Table>, Vec<Target>)> {
    lab::in_namespace(|| run(routes))
}

fn run(routes: &[(Prefix, Asn)]) -> Result<(Vec<Table>, Vec<Target>)> {
    let all = routes.len() as u64;
    let directory = tempfile::tempdir()?;
    let peer = Peer::new();
    lab::veth(&peer, "r0", "p0", 1500);
    lab::address(&peer, "r0", "p0", 1);
    let bird = Bird::start(&peer, directory.path(), routes)?;
    // A table of one prefix: the maps have to grow under way.
    let small = directory.path().join("small.csv");
    fs::write(&small, "prefix,asn,name\n198.18.0.0/15,64511,\n")?;
    let sender = TcpListener::bind((Ipv4Addr::LOCALHOST, SENDER))?;
    let (peer_of, sender_of) = (
        format!("{ROUTER},as={AS},name=router,stale_time=0"),
        format!("127.0.0.1,as={AS},port={SENDER},name=sender"),
    );
    let interval = format!("{}s", INTERVAL.as_secs());
    let table = small.display().to_string();
    let arguments = ["--table", &table, "--interval", &interval, "--bgp", &peer_of, "--bgp", &sender_of];
    let mut agent = Agent::start_with("r0", &arguments)?;
    agent.wait_for("listening on")?;
    agent.ignore_log();
    let mut session = Sender::accept(&sender)?;

    let mut took = Table::new(
        "session",
        "The agent and a router's full table",
        &[
            ("what", "what"),
            ("seconds", "s"),
            ("cpu_s", "our CPU s"),
            ("router_cpu_s", "BIRD's CPU s"),
            ("late_s", "latest sweep, s late"),
            ("rss_anon", "RssAnon at most, MiB"),
        ],
    );
    let mut watch = Watch::new(&agent, &bird)?;
    watch.until("the session", |status| established(status).is_some())?;
    let since = watch.established.context("the session")?;
    let full =
        watch.lap("the session is established: the table is in the FIB", since, &mut took, |status| {
            prefixes(status) > all
        })?;
    thread::sleep(3 * INTERVAL);
    let rest = agent.memory("RssAnon")? as f64 / MIB;

    let times = changes(&mut session)?;

    let began = Timestamp::now();
    bird.ask("disable collector")?;
    let lost =
        watch.lap("the session is lost: all routes are out of the FIB", began, &mut took, |status| {
            prefixes(status) < 100
        })?;
    bird.ask("enable collector")?;
    watch.established = None;
    watch.until("the session", |status| established(status).is_some())?;
    let since = watch.established.context("the session")?;
    let again = watch
        .lap("it is back: the table is in the FIB", since, &mut took, |status| prefixes(status) > all)?;
    let began = Timestamp::now();
    bird.ask("reload out collector")?;
    let announced = watch.announced + all;
    watch.lap("all is sent again, nothing changed", began, &mut took, |status| {
        count(status, "announced") >= announced
    })?;

    let mut single = Table::new(
        "change",
        format!(
            "One changed route of {all}, from the socket to the word of the FIB in the kernel, {CHANGES} times"
        ),
        &[("what", "what"), ("milliseconds", "ms")],
    );
    let mut times = times;
    times.sort_by(f64::total_cmp);
    let percent = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(f64::MAX);
    let most = percent(98);
    for (what, time) in [
        ("median", percent(50)),
        ("98 of 100 are faster than", most),
        ("longest: a sweep was under way", times.last().copied().unwrap_or(f64::MAX)),
    ] {
        single.row([Cell::text(what), Cell::Number(time, 2)]);
    }
    let mut memory = Table::new("memory", "RssAnon, MiB", &[("when", "when"), ("mebibytes", "MiB")]);
    memory.row([Cell::text("with a full table and its paths, at rest"), Cell::Number(rest, 0)]);
    let late = [&full, &lost, &again].map(|lap| lap.late).into_iter().fold(0.0, f64::max);
    let peak = [&full, &lost, &again].map(|lap| lap.memory).into_iter().fold(rest, f64::max);
    let target = |what, value, goal, unit| Target { what, value, goal: Goal::AtMost(goal), unit };
    let targets = vec![
        target("full table by a session, from Established to the FIB", full.seconds, 15.0, "s"),
        target("the same, our CPU", full.cpu, 5.0, "s"),
        target("one change, socket to FIB, 98 of 100", most, 10.0, "ms"),
        target("a flap of all routes: how late a sweep is", late, 1.0, "s"),
        target("RssAnon with a full table and paths, highest", peak, 400.0, "MiB"),
    ];
    Ok((vec![took, single, memory], targets))
}

/// What one step took.
struct Lap {
    seconds: f64,
    cpu: f64,
    late: f64,
    memory: f64,
}

/// Asks the agent how it is, and keeps what there is to see.
struct Watch<'a> {
    agent: &'a Agent,
    bird: &'a Bird,
    /// Since when the router's session is.
    established: Option<Timestamp>,
    /// The agent's and BIRD's CPU time when a step began.
    cpu: [Duration; 2],
    announced: u64,
    /// The last sweep.
    sweep: (u64, Timestamp),
    late: f64,
    memory: f64,
}

impl<'a> Watch<'a> {
    fn new(agent: &'a Agent, bird: &'a Bird) -> Result<Self> {
        let mut watch = Self {
            agent,
            bird,
            established: None,
            cpu: [Duration::ZERO; 2],
            announced: 0,
            sweep: (0, Timestamp::UNIX_EPOCH),
            late: 0.0,
            memory: 0.0,
        };
        watch.begin()?;
        Ok(watch)
    }

    fn begin(&mut self) -> Result<()> {
        self.cpu = [self.agent.cpu()?, process_cpu(self.bird.id())?];
        (self.late, self.memory) = (0.0, 0.0);
        Ok(())
    }

    /// Looks until it is so.
    fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Result<()> {
        let deadline = Instant::now() + LONG;
        loop {
            let status = status()?;
            self.memory = self.memory.max(self.agent.memory("RssAnon")? as f64 / MIB);
            let count = status["sweeps"]["count"].as_u64().unwrap_or(0);
            if let Some(last) = status["sweeps"]["last"].as_str() {
                let last: Timestamp = last.parse()?;
                let (before, at) = self.sweep;
                if before > 0 && count > before {
                    let gap = last.duration_since(at).as_secs_f64() / (count - before) as f64;
                    self.late = self.late.max(gap - INTERVAL.as_secs_f64());
                }
                self.sweep = (count, last);
            }
            if self.established.is_none() {
                self.established = established(&status);
                if self.established.is_some() {
                    let late = self.late;
                    self.begin()?;
                    self.late = late;
                }
            }
            self.announced = self::count(&status, "announced");
            if is(&status) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{what} did not come: {status}");
            thread::sleep(POLL);
        }
    }

    /// A step that began then, as a row.
    fn lap(
        &mut self,
        what: &str,
        since: Timestamp,
        table: &mut Table,
        is: impl Fn(&Value) -> bool,
    ) -> Result<Lap> {
        self.until(what, is)?;
        let seconds = Timestamp::now().duration_since(since).as_secs_f64();
        let [cpu, bird] = [self.agent.cpu()? - self.cpu[0], process_cpu(self.bird.id())? - self.cpu[1]];
        let lap = Lap { seconds, cpu: cpu.as_secs_f64(), late: self.late, memory: self.memory };
        table.row([
            Cell::text(what),
            Cell::Number(lap.seconds, 2),
            Cell::Number(lap.cpu, 2),
            Cell::Number(bird.as_secs_f64(), 2),
            Cell::Number(lap.late, 2),
            Cell::Number(lap.memory, 0),
        ]);
        self.begin()?;
        Ok(lap)
    }
}

fn prefixes(status: &Value) -> u64 {
    let of = |name: &str| status["table"][name].as_u64().unwrap_or(0);
    of("ipv4_prefixes") + of("ipv6_prefixes")
}

fn count(status: &Value, name: &str) -> u64 {
    status["sessions"][0][name].as_u64().unwrap_or(0)
}

/// Since when the router's session is established.
fn established(status: &Value) -> Option<Timestamp> {
    let session = &status["sessions"][0];
    (session["state"] == "established").then(|| session["since"].as_str()?.parse().ok()).flatten()
}

/// What the agent of this namespace says of itself.
fn status() -> Result<Value> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 9469))?;
    stream.write_all(b"GET /api/v1/status HTTP/1.0\r\nHost: agent\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer")?;
    Ok(serde_json::from_str(body)?)
}

/// BIRD with the table; it ends with this.
struct Bird {
    child: Child,
    socket: String,
}

impl Bird {
    /// Starts it, and waits until it has loaded all.
    fn start(peer: &Peer, directory: &Path, routes: &[(Prefix, Asn)]) -> Result<Self> {
        let mut families = [String::new(), String::new()];
        for (prefix, origin) in routes {
            let path: String =
                path(*origin, 0).iter().rev().map(|asn| format!("bgp_path.prepend({asn});")).collect();
            families[usize::from(!prefix.is_ipv4())] += &format!("route {prefix} blackhole {{ {path} }};\n");
        }
        let [four, six] = families;
        let configuration = format!(
            "router id {ROUTER};
             protocol device {{}}
             protocol static four {{ ipv4; {four} }}
             protocol static six {{ ipv6; {six} }}
             protocol bgp collector {{
               local {ROUTER} as {AS}; neighbor {OURS} as {AS}; passive on;
               ipv4 {{ import none; export all; }};
               ipv6 {{ import none; export all; next hop address 2001:db8::1; }};
             }}"
        );
        let file = |name: &str| directory.join(name).display().to_string();
        fs::write(file("bird.conf"), configuration)?;
        let socket = file("bird.ctl");
        let mut command = Command::new("bird");
        command.args(["-f", "-c", &file("bird.conf"), "-s", &socket, "-P", &file("bird.pid")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = peer.run(move || command.spawn()).context("bird (`cargo xtask setup` installs it)")?;
        let bird = Self { child, socket };
        let wanted = format!("Total: {0} of {0} routes", routes.len());
        let deadline = Instant::now() + LONG;
        while !bird.ask("show route count").is_ok_and(|said| said.contains(&wanted)) {
            ensure!(Instant::now() < deadline, "BIRD does not load its table");
            thread::sleep(Duration::from_millis(200));
        }
        Ok(bird)
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    fn ask(&self, command: &str) -> Result<String> {
        let output = Command::new("birdc").args(["-s", &self.socket]).args(command.split(' ')).output()?;
        ensure!(output.status.success(), "birdc {command}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A peer that sends what it is told, and reads nothing once the session is there.
struct Sender(TcpStream);

impl Sender {
    fn accept(listener: &TcpListener) -> Result<Self> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let capabilities = Capabilities {
            families: Some(Families::BOTH),
            four_octet_as: Some(AS),
            ..Capabilities::default()
        };
        let identifier = Ipv4Addr::new(192, 0, 2, 1);
        let mut bytes = Vec::new();
        // No hold time: nobody here waits for KEEPALIVEs.
        Open { short_as: AS as u16, hold_time: 0, identifier, capabilities }.append(&mut bytes);
        codec::append(&mut bytes, Kind::Keepalive, |_| {});
        stream.write_all(&bytes)?;
        let mut read = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let count = stream.read(&mut chunk)?;
            ensure!(count > 0, "the agent closed the session");
            read.extend_from_slice(&chunk[..count]);
            let mut rest = read.as_slice();
            while let Some(message) = codec::message(rest, false)? {
                if message.kind == Kind::Keepalive {
                    return Ok(Self(stream));
                }
                rest = &rest[message.len..];
            }
        }
    }
}

/// Milliseconds from an UPDATE that is written to the word in the kernel that says so.
fn changes(session: &mut Sender) -> Result<Vec<f64>> {
    let prefix = Prefix::new_truncate(CHANGED, 24)?;
    let words = words()?;
    let word = words.get((CHANGED.to_bits() >> 8) as usize).context("a word")?;
    let mut times = Vec::with_capacity(CHANGES);
    for number in 0..CHANGES {
        thread::sleep(REST);
        let mut stream = Stream::new();
        // Another origin each time, and now and then none.
        let path = [3356, 60_000 + number as Asn];
        stream.push(&[prefix], (number % 5 < 4).then_some(&path[..]));
        let before = word.load(Ordering::Acquire);
        let began = Instant::now();
        session.0.write_all(&stream.bytes)?;
        while word.load(Ordering::Acquire) == before {
            ensure!(began.elapsed() < Duration::from_secs(10), "a change did not come");
            std::hint::spin_loop();
        }
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// The agent's first level of the IPv4 FIB: the youngest of that name in the kernel.
fn words() -> Result<&'static [AtomicU32]> {
    let all = aya::maps::loaded_maps().collect::<Result<Vec<_>, _>>()?;
    let roots = all.iter().filter(|map| map.name_as_str() == Some("FIB4_ROOT"));
    let map = roots.max_by_key(|map| map.id()).context("the agent has no such map")?.fd()?;
    let descriptor = map.as_fd();
    let bytes = V4_ROOT_WORDS * 4;
    // SAFETY: a mapping of its own, which is never undone; the kernel and the agent store whole words.
    unsafe {
        let place =
            libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ, libc::MAP_SHARED, descriptor.as_raw_fd(), 0);
        ensure!(place != libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
        Ok(std::slice::from_raw_parts(place.cast::<AtomicU32>(), V4_ROOT_WORDS))
    }
}
