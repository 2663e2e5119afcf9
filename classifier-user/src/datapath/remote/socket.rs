//! The process that counts as a service: agents come to a socket, one after the other.

use std::{
    env, fs,
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::{
            fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use tracing::{info, warn};

use super::{
    KernelHost, poll,
    server::{self, Door, Over, Turn},
};
use crate::{datapath::privileges, notify::Notifier};

/// The first descriptor that a service manager passes (sd_listen_fds(3)).
const LISTEN_FDS_START: i32 = 3;
/// After the system had no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Agents cannot come.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Not at this path.
    #[error("cannot listen on {}: {source}{}", path.display(), in_use(source))]
    Listen {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the service manager passed is not what was expected.
    #[error("the service manager passed no socket that listens (LISTEN_FDS): {0}")]
    Passed(io::Error),
    /// There is no such group.
    #[error("there is no group `{0}` on this machine")]
    Group(String),
    /// Something of the process itself.
    #[error("{what}: {source}")]
    Process {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

fn in_use(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another `classifier datapath` serves there)",
        _ => "",
    }
}

/// How agents come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPlan {
    /// The socket. Its directory is made where it is missing, those above are not.
    pub path: PathBuf,
    /// Whose agents may come, besides root's and this process's own; `None`: those of this process's group.
    pub group: Option<String>,
}

/// A socket that listens, and who may come.
#[derive(Debug)]
struct Entrance {
    listener: UnixListener,
    /// The file, where this process made it.
    path: Option<PathBuf>,
    group: u32,
}

impl Drop for Entrance {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

impl Entrance {
    /// The one that the service manager passed, or a new one.
    fn open(plan: &SocketPlan) -> Result<Self, SocketError> {
        if let Some(listener) = passed()? {
            let group = match &plan.group {
                Some(name) => group(name)?,
                None => fs::metadata(&plan.path).map_or(0, |file| file.gid()),
            };
            return Ok(Self { listener, path: None, group });
        }
        let group = plan.group.as_deref().map(group).transpose()?;
        let error = |source| SocketError::Listen { path: plan.path.clone(), source };
        // One that was left by a process that was killed; where one still serves, somebody answers.
        if fs::symlink_metadata(&plan.path).is_ok_and(|file| file.file_type().is_socket())
            && let Err(refused) = UnixStream::connect(&plan.path)
            && refused.kind() == io::ErrorKind::ConnectionRefused
        {
            fs::remove_file(&plan.path).map_err(error)?;
        }
        make_directory(&plan.path).map_err(error)?;
        let bound = privileges::with_umask(0o117, || UnixListener::bind(&plan.path));
        let listener = bound.map_err(error)?;
        listener.set_nonblocking(true).map_err(error)?;
        let path = Some(plan.path.clone());
        std::os::unix::fs::chown(&plan.path, None, group).map_err(error)?;
        let group = fs::metadata(&plan.path).map_err(error)?.gid();
        Ok(Self { listener, path, group })
    }

    /// Who is at the other end, if they may be. The file's mode has said so before; this is for the case that somebody
    /// changed that.
    fn admits(&self, stream: &UnixStream) -> io::Result<Option<Peer>> {
        let peer = Peer::of(stream)?;
        let own = fs::metadata("/proc/self")?.uid();
        Ok((peer.uid == 0 || peer.uid == own || peer.groups.contains(&self.group)).then_some(peer))
    }
}

/// Makes the directory of a file that is to be, where everybody may look: `/run` is empty after each boot. Its owner is this
/// process's user. One that is there stays as it is.
fn make_directory(of: &Path) -> io::Result<()> {
    let Some(directory) = of.parent().filter(|directory| !directory.as_os_str().is_empty()) else {
        return Ok(());
    };
    // A service's umask would leave it to this user alone.
    match privileges::with_umask(0o022, || fs::DirBuilder::new().mode(0o755).create(directory)) {
        Err(_) if directory.is_dir() => Ok(()),
        made => made,
    }
}

/// The number of a group, given by number or by name (`/etc/group`).
fn group(name: &str) -> Result<u32, SocketError> {
    let unknown = || SocketError::Group(name.to_owned());
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = fs::read_to_string("/etc/group").map_err(|_| unknown())?;
    let mut lines = text.lines().map(|line| line.split(':'));
    let found = lines.find_map(|mut fields| if fields.next() == Some(name) { fields.nth(1) } else { None });
    found.and_then(|number| number.parse().ok()).ok_or_else(unknown)
}

/// The socket that a service manager opened, if it did so for this process.
fn passed() -> Result<Option<UnixListener>, SocketError> {
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) || number("LISTEN_FDS").is_none_or(|fds| fds == 0) {
        return Ok(None);
    }
    // SAFETY: the number is looked at, not taken, before it is known what it is.
    let passed = unsafe { BorrowedFd::borrow_raw(LISTEN_FDS_START) };
    let listens = socket2::SockRef::from(&passed).is_listener().map_err(SocketError::Passed)?;
    if !listens {
        return Err(SocketError::Passed(io::Error::other("descriptor 3 does not listen")));
    }
    let own = passed.try_clone_to_owned().map_err(SocketError::Passed)?;
    // SAFETY: passed to this process, which has no other owner of it.
    drop(unsafe { OwnedFd::from_raw_fd(LISTEN_FDS_START) });
    let listener = UnixListener::from(own);
    listener.set_nonblocking(true).map_err(SocketError::Passed)?;
    Ok(Some(listener))
}

/// A process at the other end of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer {
    pid: i32,
    uid: u32,
    groups: Vec<u32>,
}

impl Peer {
    fn of(stream: &UnixStream) -> io::Result<Self> {
        let mut credentials = [libc::ucred { pid: 0, uid: 0, gid: 0 }];
        option(stream, libc::SO_PEERCRED, &mut credentials)?;
        let [libc::ucred { pid, uid, gid }] = credentials;
        // More groups than anybody is in; with even more, only the first one counts.
        let mut groups = vec![0; 1024];
        let found = option(stream, libc::SO_PEERGROUPS, &mut groups).unwrap_or(0);
        groups.truncate(found);
        groups.push(gid);
        Ok(Self { pid, uid, groups })
    }
}

/// Reads an option of a socket; gives how many items it has.
fn option<T: Copy>(stream: &UnixStream, name: i32, into: &mut [T]) -> io::Result<usize> {
    let mut length = size_of_val(into) as libc::socklen_t;
    // SAFETY: the buffer is as long as is said, and any bytes are a value of the numbers that it is of.
    let read = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            into.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if read == 0 { Ok(length as usize / size_of::<T>()) } else { Err(io::Error::last_os_error()) }
}

/// Where agents come, between two questions of the one that is served.
struct Open<'m> {
    entrance: Entrance,
    signals: OwnedFd,
    manager: &'m Notifier,
}

impl Open<'_> {
    /// Waits until one of these can be read: the agent, a newcomer, a signal; or looks whether one can.
    fn wait(&self, agent: Option<&UnixStream>, look: bool) -> io::Result<[bool; 3]> {
        loop {
            let within = self.manager.alive();
            let within = if look { Some(Duration::ZERO) } else { within };
            let door = self.entrance.listener.as_fd();
            // Without an agent, the door twice.
            let agent = agent.map_or(door, std::os::fd::AsFd::as_fd);
            let ready = poll([agent, door, self.signals.as_fd()], libc::POLLIN, within)?;
            if look || ready.contains(&true) {
                return Ok(ready);
            }
        }
    }
}

impl Door for Open<'_> {
    fn wait(&mut self, agent: &UnixStream, has_begun: bool) -> io::Result<Turn> {
        loop {
            let [said, came, told] = Open::wait(self, Some(agent), has_begun)?;
            let said = said || has_begun;
            if told {
                return Ok(Turn::End);
            }
            // The agent first: where it is gone, and another one came, that one is served.
            if said {
                return Ok(Turn::Said);
            }
            if came && let Ok((mut other, _)) = self.entrance.listener.accept() {
                warn!("an agent was sent away: another one is served");
                let _ = other.set_nonblocking(true);
                let _ = other.write_all(&super::wire::BUSY);
            }
        }
    }
}

/// Serves agents that come to a socket, one at a time, until this process is told to end. What they leave in the kernel is
/// as the host says.
///
/// # Errors
/// [`SocketError`].
pub fn serve_socket(plan: &SocketPlan, host: &mut KernelHost, manager: &Notifier) -> Result<(), SocketError> {
    let failed = |what| move |source| SocketError::Process { what, source };
    let signals = privileges::signals().map_err(failed("catching signals"))?;
    let entrance = Entrance::open(plan)?;
    privileges::keep_datapath().map_err(failed("giving up privileges"))?;
    info!("agents may come to {}", plan.path.display());
    manager.ready();
    let mut open = Open { entrance, signals, manager };
    loop {
        let [_, came, told] = open.wait(None, false).map_err(failed("waiting for agents"))?;
        if told {
            info!("told to end");
            manager.stopping();
            return Ok(());
        }
        if !came {
            continue;
        }
        let stream = match open.entrance.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => {
                warn!("an agent could not be let in: {error}");
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            }
        };
        let peer = match open.entrance.admits(&stream) {
            Ok(Some(peer)) => peer,
            Ok(None) => {
                warn!("somebody was sent away who is not of the socket's group");
                continue;
            }
            Err(error) => {
                warn!("somebody was sent away: {error}");
                continue;
            }
        };
        info!("agent {} of user {} is served", peer.pid, peer.uid);
        match server::serve_at(stream, host, Some(&mut open)) {
            Ok(Over::Told) => {
                info!("told to end");
                manager.stopping();
                return Ok(());
            }
            Ok(Over::Gone) => info!("agent {} is gone", peer.pid),
            Err(error) => warn!("agent {} is served no longer: {error}", peer.pid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_socket_is_made_and_no_other() {
        let place = tempfile::tempdir().expect("a directory");
        let make = |path: &str| make_directory(&place.path().join(path));
        let mode = |path: &str| fs::metadata(place.path().join(path)).expect("it is there").mode() & 0o777;

        make("classifier/datapath.sock").expect("made");
        assert_eq!(mode("classifier"), 0o755);
        make("classifier/datapath.sock").expect("it is there already");

        fs::DirBuilder::new().mode(0o700).create(place.path().join("closed")).expect("made");
        make("closed/datapath.sock").expect("it is there already");
        assert_eq!(mode("closed"), 0o700);

        let refused = make("no/classifier/datapath.sock").expect_err("two that are not there");
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
        assert!(!place.path().join("no").exists());
        // In the directory that this process is in.
        make_directory(Path::new("datapath.sock")).expect("nothing to make");
    }
}
