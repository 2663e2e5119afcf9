//! Telling the service manager how we are: sd_notify(3). Where nobody wants to know, nothing is said.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Says it, wherever it is cloned to.
#[derive(Clone, Debug, Default)]
pub struct Notifier(Option<Arc<Manager>>);

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How often we say that we are alive, and when we said so.
    watchdog: Option<(Duration, Mutex<Option<Instant>>)>,
}

impl Notifier {
    /// As the environment says: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` where it is meant for this process.
    ///
    /// # Errors
    /// There is a socket, and it cannot be used.
    pub fn from_environment() -> io::Result<Self> {
        let Some(socket) = env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else {
            return Ok(Self::default());
        };
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let period = number("WATCHDOG_USEC").filter(|&period| ours && period > 0).map(Duration::from_micros);
        Self::new(socket.as_encoded_bytes(), period)
    }

    fn new(socket: &[u8], watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match socket {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            path => {
                use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
                SocketAddr::from_pathname(OsStr::from_bytes(path))?
            }
        };
        // Half the period, as sd_watchdog_enabled(3) has it.
        let watchdog = watchdog.map(|period| (period / 2, Mutex::default()));
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(Manager { socket, address, watchdog }))))
    }

    fn say(&self, what: &str) {
        if let Some(manager) = &self.0 {
            // A manager that does not listen is no reason to do anything else than before.
            let _ = manager.socket.send_to_addr(what.as_bytes(), &manager.address);
        }
    }

    /// What we were started for is being done.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// A line for `systemctl status`.
    pub fn status(&self, line: &str) {
        self.say(&format!("STATUS={}", line.replace('\n', " ")));
    }

    /// The configuration is being read again; [`Self::ready`] ends it.
    pub fn reloading(&self) {
        self.say("RELOADING=1");
    }

    /// We are ending.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Says that we are alive, where that is due, and returns how long it may be until the next time.
    pub fn alive(&self) -> Option<Duration> {
        let (every, said) = self.0.as_ref()?.watchdog.as_ref()?;
        let now = Instant::now();
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let since = said.map(|said| now.saturating_duration_since(said));
        if let Some(left) = since.and_then(|since| every.checked_sub(since)).filter(|left| !left.is_zero()) {
            return Some(left);
        }
        *said = Some(now);
        self.say("WATCHDOG=1");
        Some(*every)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A manager that keeps what it is told.
    pub(crate) struct Listener {
        socket: UnixDatagram,
        _directory: tempfile::TempDir,
    }

    impl Listener {
        pub(crate) fn new(watchdog: Option<Duration>) -> (Self, Notifier) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            let notifier = Notifier::new(path.as_os_str().as_encoded_bytes(), watchdog).unwrap();
            (Self { socket, _directory: directory }, notifier)
        }

        /// The next message, if there is one within this time.
        pub(crate) fn next(&self, within: Duration) -> Option<String> {
            self.socket.set_read_timeout(Some(within)).unwrap();
            let mut message = [0; 512];
            let length = self.socket.recv(&mut message).ok()?;
            Some(String::from_utf8(message[..length].to_vec()).unwrap())
        }
    }

    const SOON: Duration = Duration::from_secs(10);
    const NOTHING: Duration = Duration::from_millis(20);

    #[test]
    fn everything_is_said_as_systemd_reads_it() {
        let (listener, notifier) = Listener::new(None);
        notifier.status("two\nlines");
        notifier.ready();
        notifier.reloading();
        notifier.stopping();
        for message in ["STATUS=two lines", "READY=1", "RELOADING=1", "STOPPING=1"] {
            assert_eq!(listener.next(SOON).as_deref(), Some(message));
        }
        assert_eq!((notifier.alive(), listener.next(NOTHING)), (None, None));
    }

    #[test]
    fn a_sign_of_life_comes_twice_a_period() {
        let (listener, notifier) = Listener::new(Some(Duration::from_secs(7200)));
        assert_eq!(notifier.alive(), Some(Duration::from_secs(3600)));
        let left = notifier.clone().alive().unwrap();
        assert!(left <= Duration::from_secs(3600) && left > Duration::from_secs(1800));
        assert_eq!(listener.next(SOON).as_deref(), Some("WATCHDOG=1"));
        assert_eq!(listener.next(NOTHING), None);
        let (listener, notifier) = Listener::new(Some(Duration::from_nanos(2)));
        for _ in 0..3 {
            assert_eq!(notifier.alive(), Some(Duration::from_nanos(1)));
            assert_eq!(listener.next(SOON).as_deref(), Some("WATCHDOG=1"));
        }
    }

    #[test]
    fn sockets_without_a_path() {
        let name = format!("classifier-test-{}", process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notifier::new(format!("@{name}").as_bytes(), None).unwrap().ready();
        let mut message = [0; 64];
        let length = socket.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"READY=1");
        // Nobody to tell, and nobody who listens.
        Notifier::default().ready();
        drop(socket);
        Notifier::new(format!("@{name}").as_bytes(), None).unwrap().ready();
    }
}
