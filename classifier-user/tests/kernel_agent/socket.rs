//! The process that counts as a service, and agents of a user without any privilege that come to its socket.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::PermissionsExt as _,
            net::{UnixListener, UnixStream},
            process::CommandExt as _,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use classifier_user::datapath::remote::PROTOCOL;
use serde_json::json;

use crate::{
    agent::{Agent, binary, clean, eventually, logged, stderr, stdout},
    history::{Past, journaled},
    kept::bpffs,
    lab::{in_namespace, run, statistic},
    privileges::{self, Stream, THREE},
    world::{Files, inward, ip, outward, send, send_from, sum, wire},
};

const NOBODY: &str = "65534";

/// Files that a user without privileges can reach, the binary among them.
struct Place {
    files: Files,
    binary: PathBuf,
    bpffs: PathBuf,
    socket: PathBuf,
    state: PathBuf,
}

impl Place {
    fn new() -> Self {
        let files = Files::new();
        let binary = files.path("classifier");
        fs::copy(env!("CARGO_BIN_EXE_classifier"), &binary).expect("copied");
        let (bpffs, socket, state) = (bpffs(&files), files.path("datapath.sock"), files.path("state"));
        fs::create_dir(&state).expect("made");
        run(&format!("chown {NOBODY}:{NOBODY} {}", state.display()));
        Self { files, binary, bpffs, socket, state }
    }

    /// As a unit with these capabilities, a user and a group would start it.
    fn unit(&self, user: &str, capabilities: &str) -> Command {
        self.started_by("setpriv", user, NOBODY, capabilities)
    }

    fn started_by(&self, program: &str, user: &str, group: &str, capabilities: &str) -> Command {
        let mut command = Command::new(program);
        clean(&mut command);
        if program == "timeout" {
            command.args(["-k", "1", "60", "setpriv"]);
        }
        command.args([&format!("--reuid={user}"), &format!("--regid={group}"), "--clear-groups"]);
        command.arg("--no-new-privs");
        for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
            command.arg(format!("{set}={capabilities}"));
        }
        command.arg(&self.binary);
        command
    }

    /// The service, as it is to be started.
    fn service(&self) -> Command {
        let mut command = self.unit("0", "-all,+bpf,+net_admin,+perfmon");
        command.arg("datapath").arg("--socket").arg(&self.socket).arg("--bpffs").arg(&self.bpffs);
        command
    }

    fn arguments(&self) -> String {
        let Self { files, socket, state, .. } = self;
        let (socket, state) = (socket.display(), state.display());
        format!("-i r0=transit {} --datapath {socket} --state-dir {state}", files.arguments())
    }

    /// An agent of nobody's.
    fn agent(&self) -> Agent {
        Agent::spawn(self.unit(NOBODY, "-all"), &self.arguments())
    }

    /// An agent that is refused: what it says.
    fn refused(&self, user: &str, group: &str) -> String {
        // One that is let in would not end by itself.
        let mut agent = self.started_by("timeout", user, group, "-all");
        agent.arg("run").args(self.arguments().split_whitespace());
        let output = agent.args(["--listen", "127.0.0.1:9470"]).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        stderr(&output)
    }

    fn detach(&self) -> String {
        let bpffs = self.bpffs.display().to_string();
        stdout(&binary().args(["detach", "--bpffs", &bpffs]).output().expect("it starts"))
    }
}

/// A running service; killed when dropped.
struct Service {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Service {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let (log, _) = logged(&mut child);
        let service = Self { child, log };
        service.wait_log("agents may come to ");
        service
    }

    fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").clone()
    }

    fn wait_log(&self, text: &str) {
        eventually(&format!("the service logs {text:?}: {}", self.log()), || {
            self.log().contains(text).then_some(())
        });
    }

    fn end(mut self, signal: i32) -> ExitStatus {
        // SAFETY: no memory is passed; the child is not waited for yet.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
        eventually("the service ends", || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the service's log\n{}", self.log());
        }
    }
}

fn attached() -> bool {
    run("bpftool net").contains("r0(")
}

#[test]
fn agents_of_nobody_count_over_a_socket_whichever_ends_and_no_frame_is_lost() {
    in_namespace(|| {
        let (peer, place) = (wire(), Place::new());
        let said = place.refused(NOBODY, NOBODY);
        assert!(
            said.contains("no process that counts can be reached at ") && said.contains("running"),
            "{said}"
        );

        let mut service = Service::start(place.service());
        let mode = fs::metadata(&place.socket).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let said = place.refused("1", "1");
        assert!(said.contains("Permission denied") && said.contains("of the socket's group"), "{said}");

        let first = place.agent();
        assert!(first.log().contains("counting outlives the agent, as `default`"), "{}", first.log());
        privileges::assert_without(first.id(), 0);
        privileges::assert_counts(service.child.id(), THREE, 2);
        let owner = fs::read_to_string(format!("/proc/{}/status", first.id())).expect("it runs");
        assert!(owner.contains("Uid:\t65534\t65534\t65534\t65534"), "{owner}");
        send_from(&peer, "p0", &inward());
        send("r0", &outward());
        let (inside, outside) = (sum(&inward()), sum(&outward()));
        first.settled(&[("transit rx", inside.0), ("transit tx", outside.0)]);

        // Ends of all sorts, under traffic.
        let stream = Stream::start(&peer);
        first.end(libc::SIGKILL);
        for life in 0..8 {
            let agent = place.agent();
            match life % 4 {
                0 => drop(agent.end(libc::SIGTERM)),
                1 => drop(agent.end(libc::SIGKILL)),
                way => {
                    // The service ends under the agent.
                    let status = service.end(if way == 2 { libc::SIGTERM } else { libc::SIGKILL });
                    assert_eq!(status.code(), (way == 2).then_some(0));
                    let (status, log) = agent.ended();
                    assert_eq!(status.code(), Some(1), "{log}");
                    assert!(log.contains("error: the process that counts, at "), "{log}");
                    assert!(log.contains("the kernel counts on, as `default`"), "{log}");
                    service = Service::start(place.service());
                }
            }
            assert!(attached(), "it counts on");
        }
        let agent = place.agent();
        let sent = stream.end();
        agent.settled(&[("transit rx", inside.0 + sent), ("transit tx", outside.0)]);
        assert_eq!(statistic("r0", "rx_packets"), inside.0 + sent);
        assert_eq!(agent.status()["warnings"], json!([]));
        journaled(&agent);
        assert_eq!(agent.end(libc::SIGTERM).0.code(), Some(0));
        assert_eq!(Past::of(&place.state).frames_in(), (inside.0 + sent, inside.1 + sent / 8 * 5600));
        assert_eq!(service.end(libc::SIGINT).code(), Some(0));
        assert!(!place.socket.exists(), "it takes its socket along");
        assert!(place.detach().contains("kept as default"));
        assert!(!attached());
    });
}

#[test]
fn who_should_not_be_there_does_not_disturb() {
    in_namespace(|| {
        let (peer, place) = (wire(), Place::new());
        let service = Service::start(place.service());
        // Greetings that never end, and a message that does not: the next one is served all the same.
        let silent = UnixStream::connect(&place.socket).expect("it listens");
        let mut stalled = UnixStream::connect(&place.socket).expect("it listens");
        stalled.write_all(b"CLSFPATH").expect("sent");
        let mut halfway = UnixStream::connect(&place.socket).expect("it listens");
        let mut greeting = [0; 48];
        greeting[..8].copy_from_slice(b"CLSFPATH");
        greeting[8..12].copy_from_slice(&PROTOCOL.to_le_bytes());
        halfway.write_all(&greeting).expect("sent");
        halfway.write_all(&[1, 0]).expect("sent");
        let agent = place.agent();
        service.wait_log("it said nothing for 5s");
        service.wait_log("it did not finish what it began to say");
        drop((silent, stalled, halfway));

        let frames = vec![(5, ip("45.57.0.1", "192.0.2.1", 100))];
        send_from(&peer, "p0", &frames);
        agent.settled(&[("transit rx", 5)]);
        let said = place.refused(NOBODY, NOBODY);
        assert!(said.contains("it serves another agent: end that first"), "{said}");
        let mut streams = Vec::new();
        for number in 0..200 {
            let Ok(mut stream) = UnixStream::connect(&place.socket) else { continue };
            let _ = match number % 4 {
                0 => stream.write_all(b"GET / HTTP/1.1\r\n\r\n"),
                1 => stream.write_all(&u32::MAX.to_le_bytes()),
                2 => stream.write_all(&greeting),
                _ => Ok(()),
            };
            streams.push(stream);
        }
        for stream in &mut streams {
            let mut said = Vec::new();
            stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
            // What it did not read of theirs makes that a reset.
            let _ = stream.read_to_end(&mut said);
            assert!(said.starts_with(b"CLSFBUSY"), "{said:?}");
        }
        send_from(&peer, "p0", &frames);
        agent.settled(&[("transit rx", 10)]);
        agent.end(libc::SIGTERM);

        // Of nobody's group no more, though the file lets them in.
        fs::set_permissions(&place.socket, fs::Permissions::from_mode(0o666)).expect("chmod");
        let said = place.refused("1", "1");
        assert!(said.contains("it closed the connection"), "{said}");
        service.wait_log("somebody was sent away who is not of the socket's group");

        // A second service at the same place; and one that was killed leaves a socket that the next one takes.
        let mut second = place.started_by("timeout", "0", NOBODY, "-all,+bpf,+net_admin,+perfmon");
        let output = second.arg("datapath").arg("--socket").arg(&place.socket).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("(another `classifier datapath` serves there)"),
            "{}",
            stderr(&output)
        );
        service.end(libc::SIGKILL);
        assert!(place.socket.exists());
        let service = Service::start(place.service());
        let agent = place.agent();
        agent.settled(&[("transit rx", 10)]);
        agent.end(libc::SIGTERM);
        service.end(libc::SIGTERM);
        place.detach();
    });
}

#[test]
fn a_service_that_keeps_nothing_takes_all_off_when_its_agent_is_gone() {
    in_namespace(|| {
        let (peer, place) = (wire(), Place::new());
        let mut command = place.service();
        command.args(["--no-keep", "--group", "nogroup", "--bank-memory", "64M"]);
        let service = Service::start(command);
        for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGKILL] {
            let arguments = format!("{} --xdp-mode tc --clsact", place.arguments());
            let agent = Agent::spawn(place.unit(NOBODY, "-all"), &arguments);
            send_from(&peer, "p0", &inward());
            agent.settled(&[("transit rx", sum(&inward()).0)]);
            agent.end(signal);
            eventually("all is off", || (!attached()).then_some(()));
            eventually("the qdisc, too", || (!run("tc qdisc show dev r0").contains("clsact")).then_some(()));
        }
        // More than this service allows is said before it is asked for.
        let mut more = place.started_by("timeout", NOBODY, NOBODY, "-all");
        more.arg("run")
            .args(place.arguments().split_whitespace())
            .args(["--table", "builtin", "--count", "both"]);
        let output =
            more.args(["--granularity", "prefix", "--bank-memory", "4G"]).output().expect("it starts");
        assert!(stderr(&output).contains("--bank-memory allows 64 MiB"), "{}", stderr(&output));
        service.end(libc::SIGTERM);
    });
}

#[test]
fn a_service_manager_may_open_the_socket() {
    in_namespace(|| {
        let (peer, place) = (wire(), Place::new());
        let listener = UnixListener::bind(&place.socket).expect("bound");
        run(&format!("chown 0:{NOBODY} {}", place.socket.display()));
        fs::set_permissions(&place.socket, fs::Permissions::from_mode(0o660)).expect("chmod");
        let start = |path: &Path| {
            let mut command = Command::new("sh");
            clean(&mut command);
            command.args(["-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\""]).arg(&place.binary);
            command.arg("datapath").arg("--socket").arg(path).arg("--bpffs").arg(&place.bpffs);
            let fd = listener.as_raw_fd();
            // Number 3 itself would be closed by exec.
            // SAFETY: system calls that are allowed between fork and exec.
            unsafe {
                command.pre_exec(move || match libc::dup2(libc::dup(fd), 3) {
                    3 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                });
            }
            Service::start(command)
        };
        let service = start(&place.socket);
        let agent = place.agent();
        privileges::assert_counts(service.child.id(), 0, 2);
        send_from(&peer, "p0", &inward());
        agent.settled(&[("transit rx", sum(&inward()).0)]);
        agent.end(libc::SIGTERM);
        service.end(libc::SIGTERM);
        assert!(place.socket.exists(), "it is the service manager's");
        // Agents that come while it is away are let in by the next one.
        let agent = thread::scope(|scope| {
            let waiting = scope.spawn(|| place.agent());
            let service = start(&place.socket);
            let agent = waiting.join().expect("an agent");
            agent.settled(&[("transit rx", sum(&inward()).0)]);
            (agent, service)
        });
        drop(agent);
        place.detach();
    });
}

/// As where the package's configuration names the user that its unit starts the agent as.
#[test]
fn who_is_that_user_already_becomes_it() {
    in_namespace(|| {
        let (peer, place) = (wire(), Place::new());
        let _service = Service::start(place.service());
        let agent = Agent::spawn(place.unit(NOBODY, "-all"), &format!("{} --user nobody", place.arguments()));
        send_from(&peer, "p0", &vec![(3, ip("8.8.8.8", "192.0.2.1", 100))]);
        agent.settled(&[("transit rx", 3)]);
        agent.end(libc::SIGTERM);
        for (user, said) in [
            ("root", "only root becomes another user (`root`): start as root or as that user"),
            ("nosuchuser", "there is no user `nosuchuser`"),
        ] {
            let mut agent = place.started_by("timeout", NOBODY, NOBODY, "-all");
            agent.arg("run").args(place.arguments().split_whitespace()).args(["--user", user]);
            let output = agent.output().expect("it starts");
            assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
            assert!(stderr(&output).contains(said), "{}", stderr(&output));
        }
    });
}
