//! The agent as a child process, and those who ask it. All of it runs in the calling thread's network namespace.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use classifier_user::datapath::kernel::has_tcx;
use serde_json::Value;

/// Longer than anything takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(240);
/// What the agent sweeps at in these tests.
const INTERVAL: &str = "200ms";

/// How this kernel attaches TC programs: before 6.6 there is no TCX.
pub(crate) fn tc() -> &'static str {
    if has_tcx().expect("it may be asked") { "tcx" } else { "tc" }
}

/// Asks again and again until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The binary, without what the tester's own environment says.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_classifier"));
    clean(&mut command);
    command
}

pub(crate) fn clean(command: &mut Command) {
    for variable in ["RUST_LOG", "CLASSIFIER_AGENT", "COLUMNS", "INVOCATION_ID"] {
        command.env_remove(variable);
    }
}

/// Runs a command line that ends by itself.
pub(crate) fn classifier(line: &str) -> Output {
    binary().args(line.split_whitespace()).output().expect("classifier starts")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Runs a command line that must fail with code 1; what it said on stderr.
pub(crate) fn refused(line: &str) -> String {
    let output = classifier(line);
    assert_eq!(output.status.code(), Some(1), "{line}: {} {}", stdout(&output), stderr(&output));
    stderr(&output)
}

/// What a process logs, as it goes on.
pub(crate) fn logged(child: &mut Child) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let log = Arc::new(Mutex::new(String::new()));
    let (lines, into) = (child.stderr.take().expect("piped"), Arc::clone(&log));
    let reader = thread::spawn(move || {
        for line in BufReader::new(lines).lines().map_while(Result::ok) {
            let mut log = into.lock().expect("nobody panics with it");
            log.push_str(&line);
            log.push('\n');
        }
    });
    (log, reader)
}

/// A running agent; killed when dropped.
pub(crate) struct Agent {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    /// Where it listens.
    pub(crate) address: String,
}

impl Agent {
    /// `classifier run` with these arguments; listening when this returns.
    pub(crate) fn start(arguments: &str) -> Self {
        let mut command = binary();
        // Should the test's thread end without a word.
        // SAFETY: one system call that is allowed between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        Self::spawn(command, arguments)
    }

    /// The same, as `command` starts it.
    pub(crate) fn spawn(mut command: Command, arguments: &str) -> Self {
        command.arg("run").args(arguments.split_whitespace());
        if !arguments.contains("--interval ") {
            command.args(["--interval", INTERVAL]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the agent starts");
        let (log, reader) = logged(&mut child);
        let mut agent = Self { child, log, reader: Some(reader), address: String::new() };
        agent.address = eventually("the agent listens", || {
            if let Some(status) = agent.child.try_wait().expect("a child") {
                panic!("the agent ended, {status}: {}", agent.log());
            }
            let log = agent.log();
            let (_, rest) = log.split_once("listening on ")?;
            Some(rest.split_whitespace().next()?.split_once("://")?.1.to_owned())
        });
        agent
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").clone()
    }

    /// Waits until it logs this, after what it has logged `from` there.
    pub(crate) fn wait_log(&self, from: usize, text: &str) {
        eventually(&format!("the agent logs {text:?}"), || {
            assert!(self.lives(), "the agent ended: {}", self.log());
            self.log()[from..].contains(text).then_some(())
        });
    }

    fn lives(&self) -> bool {
        // SAFETY: no memory is passed; the child is not waited for yet, so the number is its own.
        unsafe { libc::kill(self.child.id() as i32, 0) == 0 }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process that counts for it: its child.
    pub(crate) fn other_half(&self) -> u32 {
        let parent = format!("PPid:\t{}", self.id());
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let mut children = processes.filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let status = std::fs::read_to_string(process.path().join("status")).ok()?;
            status.lines().any(|line| line == parent).then_some(pid)
        });
        let (child, more) = (children.next().expect("it has another half"), children.next());
        assert_eq!(more, None, "and no other child");
        child
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Ends it with a signal; how it ended and all it logged.
    pub(crate) fn end(self, signal: i32) -> (ExitStatus, String) {
        self.signal(signal);
        self.ended()
    }

    /// Waits until it ends by itself; how it ended and all it logged.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let status = eventually("the agent ends", || self.child.try_wait().expect("a child"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log's reader");
        }
        (status, self.log())
    }

    /// `classifier LINE --json` asking this agent.
    pub(crate) fn ask(&self, line: &str) -> Value {
        let output = self.command(&format!("{line} --json"));
        assert!(output.status.success(), "{line}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{line}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// A command asking this agent, as it ends.
    pub(crate) fn command(&self, line: &str) -> Output {
        classifier(&format!("{line} --agent http://{}", self.address))
    }

    /// GET: status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: agent\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    pub(crate) fn status(&self) -> Value {
        let (status, body) = self.get("/api/v1/status");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Waits until the hooks named (`link rx`) have this many frames, and for two sweeps more. Gives the status then.
    pub(crate) fn settled(&self, expected: &[(&str, u64)]) -> Value {
        let enough = || {
            let status = self.status();
            let there = |(hook, packets): &(&str, u64)| {
                // One that was just attached is not in the status yet.
                counted(&status, hook).is_some_and(|frames| frames.0 >= *packets)
            };
            expected.iter().all(there).then_some(())
        };
        eventually(&format!("{expected:?} come in: {}", self.status()["links"]), enough);
        self.two_sweeps();
        let status = self.status();
        for (hook, packets) in expected {
            assert_eq!(frames(&status, hook).0, *packets, "{hook}: {status}");
        }
        assert_eq!(status["closure_ok"], true, "{status}");
        status
    }

    pub(crate) fn two_sweeps(&self) {
        let sweeps = || self.status()["sweeps"]["count"].as_u64().expect("a number");
        let now = sweeps();
        eventually("two sweeps", || (sweeps() >= now + 2).then_some(()));
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        Metrics::parse(&text)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the agent's log\n{}", self.log());
        }
    }
}

/// Frames and bytes of `link rx` or `link tx` in a status.
pub(crate) fn frames(status: &Value, hook: &str) -> (u64, u64) {
    counted(status, hook).unwrap_or_else(|| panic!("nothing is counted at {hook}"))
}

/// The same, if anything is counted there.
fn counted(status: &Value, hook: &str) -> Option<(u64, u64)> {
    let (name, hook) = hook.split_once(' ').expect("a link and a hook");
    let links = status["links"].as_array().expect("links");
    let link = links.iter().find(|link| link["name"] == name).unwrap_or_else(|| panic!("no link {name}"));
    let outcomes = link[hook]["outcomes"].as_object()?;
    let sum = |what: &str| outcomes.values().map(|counter| counter[what].as_u64().expect("a number")).sum();
    Some((sum("packets"), sum("bytes")))
}

/// Packets and bytes of anything that has them.
pub(crate) fn counter(value: &Value) -> (u64, u64) {
    let number = |name: &str| value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}"));
    (number("packets"), number("bytes"))
}

/// Rows of a ranking in order: the key, packets, bytes.
pub(crate) fn rows(value: &Value, key: &str) -> Vec<(String, u64, u64)> {
    let rows = value.as_array().unwrap_or_else(|| panic!("no rows: {value}"));
    let row = |(at, row): (usize, &Value)| {
        if let Some(rank) = row["rank"].as_u64() {
            assert_eq!(rank, at as u64 + 1, "{row}");
        }
        let key = row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned);
        let (packets, bytes) = counter(row);
        (key, packets, bytes)
    };
    rows.iter().enumerate().map(row).collect()
}

/// What [`rows`] is held against.
pub(crate) fn expected(rows: &[(&str, u64, u64)]) -> Vec<(String, u64, u64)> {
    rows.iter().map(|(key, packets, bytes)| ((*key).to_owned(), *packets, *bytes)).collect()
}

/// A scrape: every series and its value.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) text: String,
    series: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Metrics {
    fn parse(text: &str) -> Self {
        let (mut series, mut kinds) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                kinds.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').expect("a value");
                let value = value.parse().expect("a number");
                assert_eq!(series.insert(name.to_owned(), value), None, "{name} is there twice");
            }
        }
        Self { text: text.to_owned(), series, kinds }
    }

    /// The sum of all series of this name with these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).map(|(_, value)| value).sum()
    }

    /// The series of this name with these labels: there is one.
    pub(crate) fn one(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found: Vec<_> = self.find(name, labels).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?} in\n{}", self.text);
        found[0].1
    }

    fn find(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = (&str, f64)> {
        self.series
            .iter()
            .filter(move |(series, _)| {
                series.split('{').next() == Some(name)
                    && labels.iter().all(|(label, value)| series.contains(&format!("{label}=\"{value}\"")))
            })
            .map(|(series, value)| (series.as_str(), *value))
    }

    /// No counter is less than it was, and none is gone.
    pub(crate) fn assert_after(&self, before: &Self) {
        for (series, was) in &before.series {
            let name = series.split('{').next().unwrap_or_default();
            if before.kinds.get(name).is_some_and(|kind| kind == "counter") {
                let now = self.series.get(series).unwrap_or_else(|| panic!("{series} is gone"));
                assert!(now >= was, "{series} fell from {was} to {now}");
            }
        }
    }

    /// By link and direction, what the ASes have is what the link has.
    pub(crate) fn assert_adds_up(&self, links: &[&str]) {
        for link in links {
            for direction in ["in", "out"] {
                for what in ["packets", "bytes"] {
                    let labels = [("link", *link), ("direction", direction)];
                    let all = self.sum(&format!("classifier_link_{what}_total"), &labels);
                    let ases = self.sum(&format!("classifier_as_{what}_total"), &labels);
                    assert_eq!(ases, all, "{link} {direction} {what}:\n{}", self.text);
                }
            }
        }
    }

    /// `promtool check metrics` has nothing to say.
    pub(crate) fn assert_clean(&self) {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool (`cargo xtask setup` installs it)");
        promtool.stdin.take().expect("piped").write_all(self.text.as_bytes()).expect("it reads");
        let output = promtool.wait_with_output().expect("it ends");
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert!(output.status.success() && said.is_empty(), "{said}\n{}", self.text);
    }
}
