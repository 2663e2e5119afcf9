//! The router, the Internet, two links between them, and the traffic; the agent comes and goes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use super::life::Life;
use crate::{
    demo::{
        Direction, OWN_ROUTES,
        agent::{self, EXCHANGE, INTERNET_ROUTER, PORT, TRANSIT},
        api::Client,
        compare::{self, ByAs, Counted},
        generator::{Count, Generator, Sent},
        internet::{INTERNET_AS, ISP_AS, Internet},
        lab::{self, CountersFile, INTERNET_ADDRESS, INTERNET_INTERFACE, Lab, ROUTER_INTERFACE},
        mix::{Mix, VLAN},
        random::Random,
        routes::{As, Table},
    },
    process,
    sys::{self, Namespace, PacketSocket, Signal, mount_at, unmount},
};

/// The link that comes and goes, its ends and what it is called.
const FLAPPING: (&str, &str) = ("flap0", "flap1");
const FLAPPING_LINK: &str = "flap";
/// Frames in each direction on it, after every event.
const BURST: u64 = 400;
/// Room of the disk that the history is on.
const DISK: &str = "size=512m";
/// Seconds of the history's slots.
const SLOT: i64 = 300;
/// Another version's number.
const OTHER_ABI: &str = "4711";

/// Who sees that a link goes and comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    One,
    Two,
    Nobody,
}

/// Everything.
pub(super) struct World<'a> {
    pub(super) router: Arc<Namespace>,
    internet: Namespace,
    pub(super) bird: Internet,
    pub(super) client: Client,
    pub(super) table: &'a Table,
    ases: &'a [As],
    mixes: [Mix<'a>; 2],
    /// Frames a second, both directions together.
    rate: u32,
    program: PathBuf,
    faketime: PathBuf,
    life: Option<Life>,
    /// Whether the agent is of the other version.
    other: bool,
    /// Whether it keeps a history.
    history: bool,
    /// What this machine has nothing for.
    pub(super) not_tried: Option<&'static str>,
    /// How often the link was away.
    away: usize,
    /// What was sent, by [`Direction`], then by place among the ASes.
    tally: [Vec<Count>; 2],
    random: Random,
    directory: TempDir,
}

impl<'a> World<'a> {
    /// Makes it, and starts the agent.
    pub(super) fn new(
        program: PathBuf,
        faketime: PathBuf,
        table: &'a Table,
        ases: &'a [As],
        seed: u64,
        rate: u32,
    ) -> Result<Self> {
        sys::raise_descriptors().context("could not raise the limit of descriptors")?;
        let directory = TempDir::with_prefix("classifier-chaos-").context("could not make a directory")?;
        for (kind, name, options) in [("bpf", "bpf", ""), ("tmpfs", "disk", DISK)] {
            let at = directory.path().join(name);
            fs::create_dir(&at)?;
            mount_at(kind, &at, options).with_context(|| format!("could not mount {}", at.display()))?;
        }
        let lab = Lab::new()?;
        lab::session_link(&lab)?;
        lab::quiet_link(&lab.router, FLAPPING.0, &lab.internet, FLAPPING.1)?;
        let bird = Internet::start(&lab.internet, &table.routes)?;
        let Lab { router, internet } = lab;
        let router = Arc::new(router);
        let address = agent::forward(&router)?;
        let mut world = Self {
            router,
            internet,
            bird,
            client: Client::new(format!("http://{address}")),
            table,
            ases,
            mixes: [Mix::new(Direction::In, ases)?, Mix::new(Direction::Out, ases)?],
            rate,
            program,
            faketime,
            life: None,
            other: false,
            history: true,
            not_tried: None,
            away: 0,
            tally: [vec![Count::default(); ases.len()], vec![Count::default(); ases.len()]],
            random: Random(seed ^ 0x5eed),
            directory,
        };
        fs::write(world.path("own.csv"), OWN_ROUTES)?;
        fs::write(world.path("extra.csv"), EXTRA_HEAD)?;
        world.clock(0)?;
        world.start()?;
        world.full_table()?;
        Ok(world)
    }

    /// A file of ours.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The running agent.
    pub(super) fn life(&mut self) -> Result<&mut Life> {
        self.life.as_mut().context("no agent runs")
    }

    /// The agent's clock is so many seconds ahead from now on.
    pub(super) fn clock(&self, ahead: i64) -> Result<()> {
        // In one piece: it is read at any moment.
        let next = self.path("clock.next");
        fs::write(&next, format!("{ahead:+}\n"))?;
        Ok(fs::rename(next, self.path("clock"))?)
    }

    /// Starts the agent, and does not wait for it.
    pub(super) fn begin(&mut self) -> Result<()> {
        ensure!(self.life.is_none(), "an agent runs");
        let mut command = Command::new(&self.program);
        command.args(["run", "--keep", "--wait", "--instance", "chaos", "--interval", "500ms"]);
        command.args(["--upstream", &format!("{ROUTER_INTERFACE}={TRANSIT}")]);
        command.args(["--upstream", &format!("{ROUTER_INTERFACE}:vlan={VLAN}={EXCHANGE}")]);
        command.args(["--upstream", &format!("{}={FLAPPING_LINK}", FLAPPING.0)]);
        command.args(["--listen", &format!("127.0.0.1:{PORT}")]);
        command.arg("--bpffs").arg(self.path("bpf"));
        if self.history {
            command.arg("--state-dir").arg(self.path("disk"));
        }
        command.arg("--table").arg(self.path("own.csv")).arg("--table").arg(self.path("extra.csv"));
        let peer = format!("{INTERNET_ADDRESS},as={INTERNET_AS},local_as={ISP_AS},name={INTERNET_ROUTER}");
        command.args(["--table", "builtin", "--bgp", &peer]);
        if self.other {
            // Other maps, other sizes, another directory of pins.
            command.args(["--pin-abi", OTHER_ABI, "--granularity", "as"]);
        }
        command.env("LD_PRELOAD", &self.faketime).env("FAKETIME_TIMESTAMP_FILE", self.path("clock"));
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_CACHE_DURATION", "1");
        self.life = Some(Life::start(&mut command, &self.router, &self.path("agent.log"))?);
        Ok(())
    }

    /// Starts the agent, and waits until it counts and answers.
    pub(super) fn start(&mut self) -> Result<()> {
        self.begin()?;
        self.until("an answer", |client| Ok(client.is_healthy()))
    }

    /// Ends the agent, or kills it.
    pub(super) fn stop(&mut self, signal: Signal) -> Result<()> {
        let life = self.life.take().context("no agent runs")?;
        life.signal(signal)?;
        life.wait(signal == Signal::Terminate)
    }

    /// The process that counts is killed: the agent says so, and ends.
    pub(super) fn lose_counting(&mut self) -> Result<()> {
        let mut life = self.life.take().context("no agent runs")?;
        let counting = life.child().context("the agent has no process that counts")?;
        sys::kill(counting).context("could not kill the process that counts")?;
        life.until_ended()
    }

    /// The agent's end, which something else brought about, is noted.
    pub(super) fn gone(&mut self) {
        self.life = None;
    }

    /// From now on it is of the other version.
    pub(super) fn upgrade(&mut self) {
        self.other = !self.other;
    }

    /// Waits until the agent says so.
    pub(super) fn until(&mut self, what: &str, is: impl Fn(&Client) -> Result<bool>) -> Result<()> {
        let Self { life, client, .. } = self;
        life.as_mut().context("no agent runs")?.until(what, || is(client))
    }

    /// Waits until its log has this text after so many bytes.
    pub(super) fn until_said(&mut self, after: usize, text: &str) -> Result<()> {
        let log = self.path("agent.log");
        self.until(text, |_| {
            let said = fs::read_to_string(&log)?;
            Ok(said.get(after..).is_some_and(|said| said.contains(text)))
        })
    }

    /// Waits until the session is there with its whole table.
    pub(super) fn full_table(&mut self) -> Result<()> {
        let prefixes = self.bird.prefixes;
        self.until("the routes of the session", |client| {
            let status = status(client)?;
            let session = &status["sessions"][0];
            let routes = |name: &str| session[name].as_u64().unwrap_or(0);
            Ok(session["up"] == true && routes("ipv4_routes") + routes("ipv6_routes") >= prefixes)
        })
    }

    /// Sends both ways over the first link while `during` goes on.
    pub(super) fn traffic(&mut self, during: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let ends = self.ends((ROUTER_INTERFACE, INTERNET_INTERFACE), self.rate / 2)?;
        let stop = AtomicBool::new(false);
        let sent = [Sent::default(), Sent::default()];
        let number = self.ases.len();
        let tallies = thread::scope(|scope| {
            let threads: Vec<_> = ends
                .into_iter()
                .zip(&sent)
                .map(|(generator, sent)| scope.spawn(|| generator.run(number, None, &stop, sent)))
                .collect();
            let done = during(self);
            stop.store(true, Ordering::Relaxed);
            let tallies: Result<Vec<_>> = threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| anyhow!("a generator panicked"))?)
                .collect();
            done.and(tallies)
        })?;
        self.add(tallies);
        Ok(())
    }

    /// Sends some frames both ways over the link that comes and goes, once the agent counts there.
    pub(super) fn flap(&mut self) -> Result<()> {
        self.until("the link that comes and goes", |client| {
            let link = link(client, FLAPPING_LINK)?;
            Ok(!link["rx"].is_null() && !link["tx"].is_null())
        })?;
        let ends = self.ends(FLAPPING, super::FULL_RATE)?;
        let number = self.ases.len();
        let tallies = ends
            .into_iter()
            .map(|generator| generator.run(number, Some(BURST), &AtomicBool::new(false), &Sent::default()))
            .collect::<Result<Vec<_>>>()?;
        self.add(tallies);
        Ok(())
    }

    fn ends(
        &mut self,
        (router, internet): (&'static str, &'static str),
        rate: u32,
    ) -> Result<Vec<Generator<'a>>> {
        let ends = [
            (Direction::In, &self.internet, internet, &*self.router, router),
            (Direction::Out, &*self.router, router, &self.internet, internet),
        ];
        let mut generators = Vec::new();
        for (direction, from, interface, to, peer) in ends {
            generators.push(Generator {
                mix: self.mixes[direction as usize].clone(),
                random: Random(self.random.next()),
                socket: lab::in_namespace(from, || {
                    PacketSocket::open(interface)
                        .with_context(|| format!("could not open a raw socket on {interface}"))
                })?,
                receiver: CountersFile::open(to, peer)?,
                rate,
            });
        }
        Ok(generators)
    }

    fn add(&mut self, tallies: Vec<Vec<Count>>) {
        for (all, tally) in self.tally.iter_mut().zip(tallies) {
            all.iter_mut().zip(tally).for_each(|(all, count)| *all += count);
        }
    }

    /// The link goes and comes again, and its gap is recorded: while an agent sees it, or one that is killed meanwhile and
    /// the next one, or while none runs.
    pub(super) fn replace_link(&mut self, seen: Seen, pause: std::time::Duration) -> Result<()> {
        if seen == Seen::Nobody {
            self.stop(Signal::Kill)?;
        }
        lab::remove_link(&self.router, FLAPPING.0)?;
        if seen != Seen::Nobody {
            self.until("the end of the link", |client| Ok(link(client, FLAPPING_LINK)?["rx"].is_null()))?;
        }
        if seen == Seen::Two {
            self.stop(Signal::Kill)?;
            self.start()?;
        }
        thread::sleep(pause);
        lab::quiet_link(&self.router, FLAPPING.0, &self.internet, FLAPPING.1)?;
        if seen == Seen::Nobody {
            self.start()?;
        }
        // Its disk may take a moment.
        let file = self.path("disk").join("gaps.jsonl");
        let before = self.away;
        self.away += 1;
        self.until("the gap's line in the state directory", |_| Ok(lines(&file)? > before))
    }

    /// What was sent, and what was counted of it since the first start. One more agent is asked, which keeps no history: all
    /// that it knows of before is what the kernel has.
    pub(super) fn settle(&mut self) -> Result<([ByAs; 2], Counted)> {
        self.stop(Signal::Terminate)?;
        self.history = false;
        self.start()?;
        let read = || Counted::read(&self.client, "last=3650d");
        let counted = crate::demo::settle(&self.client, &self.tally, &read)?;
        Ok((self.tally.each_ref().map(|tally| compare::by_as(self.ases, tally)), counted))
    }

    /// What is wrong with the recorded gaps: one is for each time that the link was away, and no other.
    pub(super) fn gaps(&self) -> Result<Vec<String>> {
        let text = text(&self.path("disk").join("gaps.jsonl"))?;
        let away = self.away;
        let gaps: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let flapping = gaps.iter().filter(|gap| gap["link"] == FLAPPING_LINK).count();
        let mut wrong: Vec<String> = gaps
            .iter()
            .filter(|gap| gap["link"] != FLAPPING_LINK)
            .map(|gap| format!("a gap that nothing here made: {gap}"))
            .collect();
        if self.path("disk").join("gaps-open.jsonl").exists() {
            wrong.push("a gap is said to last".into());
        }
        if flapping != away {
            wrong.push(format!("the link was away {away} times; {flapping} gaps are recorded"));
        }
        Ok(wrong)
    }

    /// What is wrong with the pins of a running agent: there is one generation.
    pub(super) fn generations(&self) -> Result<Vec<String>> {
        let pins = files(&self.path("bpf"))?;
        let there = pins.iter().filter(|path| path.ends_with("META")).count();
        Ok(if there == 1 { Vec::new() } else { vec![format!("{there} generations are pinned: {pins:?}")] })
    }

    /// Ends everything: what of the history is not what was sent, and what is left behind.
    pub(super) fn end(&mut self, sent: &[ByAs; 2]) -> Result<Vec<String>> {
        self.stop(Signal::Terminate)?;
        self.close_slot()?;
        let mut wrong = self.past(sent)?;
        let mut detach = Command::new(&self.program);
        detach.arg("detach").arg("--bpffs").arg(self.path("bpf"));
        lab::in_namespace(&self.router, || process::read(&mut detach).map(drop))?;
        wrong.extend(files(&self.path("bpf"))?.iter().map(|pin| format!("left behind: {}", pin.display())));
        // Nobody else has programs in this namespace, which bpftool shows as `eth0(2) …`.
        for (program, arguments, sign) in
            [("bpftool", ["net", "show"], "("), ("tc", ["qdisc", "show"], "clsact")]
        {
            let shown =
                lab::in_namespace(&self.router, || process::read(Command::new(program).args(arguments)))?;
            let shown = String::from_utf8_lossy(&shown);
            if shown.contains(sign) {
                wrong.push(format!("left on an interface: {shown}"));
            }
        }
        Ok(wrong)
    }

    /// Has the last slot written, by an agent whose clock says that it is over: no export has one that is open. The clock
    /// may be behind that slot by now, by as much as it ever was ahead.
    fn close_slot(&mut self) -> Result<()> {
        self.history = true;
        self.start()?;
        let open = |client: &Client| -> Result<Option<Timestamp>> {
            Ok(status(client)?["history"]["open_slot"]["from"].as_str().map(str::parse).transpose()?)
        };
        self.until("an open slot", |client| Ok(open(client)?.is_some()))?;
        let before = open(&self.client)?.context("an open slot")?;
        self.clock(before.as_second() + 2 * SLOT - Timestamp::now().as_second())?;
        self.until("the next slot", |client| {
            let waiting = status(client)?["history"]["waiting_slots"] != 0;
            Ok(open(client)?.is_some_and(|open| open > before) && !waiting)
        })?;
        self.stop(Signal::Terminate)
    }

    /// Where the history is not what was sent, AS by AS. Neither an end of the agent nor a disk that was full for a while
    /// costs it anything.
    fn past(&self, sent: &[ByAs; 2]) -> Result<Vec<String>> {
        let mut export = Command::new(&self.program);
        let what = ["--by", "as", "--step", "slot", "--format", "csv", "--to", "2100-01-01"];
        export.args(["history", "export"]).args(what).arg("--state-dir").arg(self.path("disk"));
        let csv = process::read(&mut export)?;
        let mut past = [ByAs::new(), ByAs::new()];
        for row in csv::Reader::from_reader(csv.as_slice()).deserialize() {
            let row: Past = row?;
            let place = match row.direction.as_str() {
                "in" => 0,
                "out" => 1,
                other => bail!("the history has a direction `{other}`"),
            };
            *past[place].entry(row.asn).or_default() += Count {
                packets: row.packets_ipv4 + row.packets_ipv6,
                bytes: row.bytes_ipv4 + row.bytes_ipv6,
            };
        }
        let lines = Direction::ALL.into_iter().flat_map(|direction| {
            let index = direction as usize;
            let name = format!("{} in the history", direction.name());
            compare::unequal(&name, &sent[index], &past[index])
        });
        Ok(lines.collect())
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        drop(self.life.take());
        for name in ["bpf", "disk"] {
            let _ = unmount(&self.path(name));
        }
    }
}

/// A table without routes.
pub(super) const EXTRA_HEAD: &str = "prefix,asn,name\n203.0.113.0/25,64500,The ISP\n";

/// A row of the exported history.
#[derive(serde::Deserialize)]
struct Past {
    direction: String,
    asn: u32,
    packets_ipv4: u64,
    bytes_ipv4: u64,
    packets_ipv6: u64,
    bytes_ipv6: u64,
}

/// What the agent says of itself.
pub(super) fn status(client: &Client) -> Result<Value> {
    client.get("status")
}

/// What it says of a link.
fn link(client: &Client, name: &str) -> Result<Value> {
    let status = status(client)?;
    let links = status["links"].as_array().context("links")?;
    links.iter().find(|link| link["name"] == name).cloned().context("no such link")
}

/// A file that may not be there.
fn text(file: &Path) -> Result<String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => Ok(read?),
    }
}

fn lines(file: &Path) -> Result<usize> {
    Ok(text(file)?.lines().count())
}

/// Every file below a directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else if path.extension().is_none_or(|extension| extension != "debug") {
            // The kernel itself puts maps.debug and progs.debug into a new BPF file system.
            all.push(path);
        }
    }
    Ok(all)
}
