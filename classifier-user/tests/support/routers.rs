//! BIRD and FRR in network namespaces, with configurations that tests write.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::lab::{Peer, run};

/// What nothing here takes, however busy the machine is.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A process in a namespace, killed when dropped.
pub(crate) struct Daemon {
    child: Option<Child>,
    log: PathBuf,
}

impl Daemon {
    /// In the peer's namespace, or in this one.
    fn start(peer: Option<&Peer>, log: PathBuf, program: &str, arguments: Vec<String>) -> Self {
        let file = fs::File::options().create(true).append(true).open(&log).expect("a log");
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        // Should the test's thread end without a word.
        // SAFETY: one system call that is allowed between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = match peer {
            Some(peer) => peer.run(move || command.spawn()),
            None => command.spawn(),
        };
        let child =
            child.unwrap_or_else(|error| panic!("{program}: {error} (`cargo xtask setup` installs it)"));
        Self { child: Some(child), log }
    }

    /// SIGKILL: it says nothing to anybody.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What it has written.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.log());
        }
    }
}

/// BIRD in a namespace.
pub(crate) struct Bird<'a> {
    peer: Option<&'a Peer>,
    id: &'static str,
    // Before the directory, which its log is in.
    pub(crate) daemon: Daemon,
    directory: tempfile::TempDir,
}

impl<'a> Bird<'a> {
    /// Starts it with this session and these lines of `protocol static`.
    pub(crate) fn start(peer: &'a Peer, session: &str, routes: &str) -> Self {
        Self::start_in(Some(peer), "198.18.0.2", session, routes)
    }

    /// Starts it in this namespace.
    pub(crate) fn here(session: &str, routes: &str) -> Self {
        Self::start_in(None, "198.18.0.3", session, routes)
    }

    fn start_in(peer: Option<&'a Peer>, id: &'static str, session: &str, routes: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        write_bird(directory.path(), id, session, routes);
        let daemon = Self::daemon(peer, directory.path(), &[]);
        Self { peer, id, directory, daemon }
    }

    fn daemon(peer: Option<&Peer>, directory: &Path, more: &[&str]) -> Daemon {
        let path = |name: &str| directory.join(name).display().to_string();
        let mut arguments = vec!["-f".to_owned()];
        for (flag, name) in [("-c", "bird.conf"), ("-s", "bird.ctl"), ("-P", "bird.pid")] {
            arguments.extend([flag.to_owned(), path(name)]);
        }
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        Daemon::start(peer, directory.join("bird.log"), "bird", arguments)
    }

    /// Starts it again; `-R` is graceful.
    pub(crate) fn again(&mut self, more: &[&str]) {
        self.daemon.kill();
        self.daemon = Self::daemon(self.peer, self.directory.path(), more);
    }

    /// Other routes, or another session.
    pub(crate) fn configure(&self, session: &str, routes: &str) {
        write_bird(self.directory.path(), self.id, session, routes);
        let said = self.ask("configure");
        assert!(said.contains("Reconfigured") || said.contains("Reconfiguration in progress"), "{said}");
    }

    /// Another configuration for its next start.
    pub(crate) fn configure_files(&self, session: &str, routes: &str) {
        write_bird(self.directory.path(), self.id, session, routes);
    }

    /// What birdc says to this.
    pub(crate) fn ask(&self, command: &str) -> String {
        run(&format!("birdc -s {} {command}", self.directory.path().join("bird.ctl").display()))
    }
}

fn write_bird(directory: &Path, id: &str, session: &str, routes: &str) {
    let (six, four): (Vec<&str>, Vec<&str>) = routes
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .partition(|line| line.split_whitespace().nth(1).is_some_and(|prefix| prefix.contains(':')));
    let text = format!(
        "log stderr all;
         router id {id};
         protocol device {{}}
         protocol static routes4 {{ ipv4; {} }}
         protocol static routes6 {{ ipv6; {} }}
         {session}",
        four.join("\n"),
        six.join("\n")
    );
    fs::write(directory.join("bird.conf"), text).expect("written");
}

/// bgpd of FRR in a namespace, as a rule without the other daemons.
pub(crate) struct Frr<'a> {
    peer: Option<&'a Peer>,
    // Before the directory, which their logs are in.
    pub(crate) daemon: Daemon,
    _zebra: Option<Daemon>,
    directory: tempfile::TempDir,
    /// What [`Frr::again`] starts it with.
    arguments: Vec<&'static str>,
}

impl<'a> Frr<'a> {
    /// Starts it with this `router bgp` and what follows.
    pub(crate) fn start(peer: &'a Peer, configuration: &str) -> Self {
        Self::start_with(peer, configuration, &[])
    }

    /// Starts it with more arguments, such as a module.
    pub(crate) fn start_with(peer: &'a Peer, configuration: &str, arguments: &[&'static str]) -> Self {
        let directory = frr_directory(configuration);
        let arguments = [&["-Z"], arguments].concat();
        let daemon = Self::daemon(Some(peer), directory.path(), &arguments);
        Self { peer: Some(peer), directory, daemon, _zebra: None, arguments }
    }

    /// Starts it in this namespace, with zebra, which knows the machine's addresses.
    pub(crate) fn here_with_zebra(configuration: &str, more: &[&str]) -> Self {
        let directory = frr_directory(configuration);
        fs::write(directory.path().join("zebra.conf"), "").expect("written");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let socket = path("zserv.api");
        let arguments = ["-P", "0", "-f", &path("zebra.conf"), "-i", &path("zebra.pid"), "-z", &socket];
        let mut arguments = arguments.map(str::to_owned).to_vec();
        arguments.extend(["--vty_socket".to_owned(), path("")]);
        let zebra = Daemon::start(None, directory.path().join("zebra.log"), "/usr/lib/frr/zebra", arguments);
        let deadline = Instant::now() + LONG;
        while !Path::new(&socket).exists() {
            assert!(Instant::now() < deadline, "zebra does not start: {}", zebra.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let daemon = Self::daemon(None, directory.path(), &[&["-z", &socket], more].concat());
        Self { peer: None, directory, daemon, _zebra: Some(zebra), arguments: Vec::new() }
    }

    fn daemon(peer: Option<&Peer>, directory: &Path, more: &[&str]) -> Daemon {
        let path = |name: &str| directory.join(name).display().to_string();
        let log = format!("file:{}", path("bgpd.log"));
        let arguments = ["-n", "-S", "-P", "0", "--log", &log, "--log-level", "informational"];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
        for (flag, name) in [("-f", "bgpd.conf"), ("-i", "bgpd.pid"), ("--vty_socket", "")] {
            arguments.extend([flag.to_owned(), path(name)]);
        }
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        Daemon::start(peer, directory.join("bgpd.log"), "/usr/lib/frr/bgpd", arguments)
    }

    /// Starts it again.
    pub(crate) fn again(&mut self) {
        self.daemon.kill();
        self.daemon = Self::daemon(self.peer, self.directory.path(), &self.arguments);
    }

    /// Commands one after the other.
    pub(crate) fn ask(&self, commands: &[&str]) -> String {
        let mut vtysh = Command::new("vtysh");
        vtysh.args(["--vty_socket", &self.directory.path().display().to_string(), "-d", "bgpd"]);
        for command in commands {
            vtysh.args(["-c", command]);
        }
        let output = vtysh.output().expect("vtysh (`cargo xtask setup` installs it)");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Changes its configuration.
    pub(crate) fn configure(&self, commands: &[&str]) {
        let mut all = vec!["configure terminal"];
        all.extend(commands);
        let said = self.ask(&all);
        assert!(!said.contains('%'), "{commands:?}: {said}");
    }
}

fn frr_directory(configuration: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    // It works as a user of its own.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("permissions");
    fs::write(directory.path().join("bgpd.conf"), configuration).expect("written");
    directory
}
