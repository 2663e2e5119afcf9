//! What this process may do: the kernel's capabilities (capabilities(7)), given up for good as soon as possible.
//!
//! Capabilities belong to threads. Everything here concerns the calling one, so a process gives them up before it has
//! another.

use std::{
    collections::BTreeMap,
    env, fs, io,
    os::fd::{FromRawFd as _, OwnedFd},
    thread,
};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

/// Numbers of capabilities (linux/capability.h).
const SETPCAP: u32 = 8;
const NET_ADMIN: u32 = 12;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// One half of the three sets: 32 capabilities.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// A thread's sets, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sets {
    effective: u64,
    permitted: u64,
    inheritable: u64,
}

const fn bit(capability: u32) -> u64 {
    1 << capability
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Sets {
    fn get() -> io::Result<Self> {
        let mut header = Header { version: VERSION, pid: 0 };
        let mut halves = [Half::default(); 2];
        // SAFETY: both live through the call, and version 3 has two halves.
        checked(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) })?;
        let [low, high] = halves;
        let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        Ok(Self {
            effective: join(low.effective, high.effective),
            permitted: join(low.permitted, high.permitted),
            inheritable: join(low.inheritable, high.inheritable),
        })
    }

    fn set(self) -> io::Result<()> {
        let mut header = Header { version: VERSION, pid: 0 };
        let half = |shift: u32| Half {
            effective: (self.effective >> shift) as u32,
            permitted: (self.permitted >> shift) as u32,
            inheritable: (self.inheritable >> shift) as u32,
        };
        let halves = [half(0), half(32)];
        // SAFETY: as above.
        checked(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) })
    }
}

fn prctl(option: libc::c_int, first: libc::c_ulong, second: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the options used here take numbers, no pointers.
    checked(unsafe { libc::prctl(option, first, second, 0, 0) }.into())
}

/// Leaves no way back to a capability: nothing in the ambient set, no privileges by exec; and nothing in the bounding set,
/// which would bring none without exec, where SETPCAP is there to empty it.
fn close_ways_back(sets: Sets) -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0)?;
    if sets.effective & bit(SETPCAP) != 0 {
        // Up to the last one that this kernel knows.
        for capability in 0..64 {
            match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
                dropped => dropped?,
            }
        }
    }
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)
}

/// Gives up every capability but those of the datapath, for good: BPF and NET_ADMIN in effect, and PERFMON for
/// [`raise_perfmon`]. Those that are not there are not missed here. What comes of it can be neither traced nor dumped
/// by others of this user.
///
/// # Errors
/// The kernel refused, which it has no reason to.
pub fn keep_datapath() -> io::Result<()> {
    alone()?;
    let sets = Sets::get()?;
    close_ways_back(sets)?;
    let permitted = sets.permitted & (bit(BPF) | bit(NET_ADMIN) | bit(PERFMON));
    Sets { effective: permitted & !bit(PERFMON), permitted, inheritable: 0 }.set()?;
    prctl(libc::PR_SET_DUMPABLE, 0, 0)
}

/// Gives up every capability and the system call bpf(2), for good, and becomes another user, if one is given.
///
/// # Errors
/// This process has other threads already, has not the right to become that user, or the kernel refused.
pub fn drop_all(user: Option<&User>) -> io::Result<()> {
    alone()?;
    // While it is still root: another user may not close them.
    close_ways_back(Sets::get()?)?;
    if let Some(user) = user {
        user.become_it()?;
    }
    // A service manager may have done that, and may forbid to do it again.
    if Sets::get()? != Sets::default() {
        Sets::default().set()?;
    }
    match forbid_bpf() {
        // A service manager's own filter, which forbids bpf(2) in the package's units, may forbid another one. Pins are not
        // this user's files then.
        Err(_) if acts_as() != 0 => Ok(()),
        forbidden => forbidden.map_err(io::Error::other),
    }
}

/// The user that this process acts as: whose files are its own.
pub(in crate::datapath) fn acts_as() -> u32 {
    // SAFETY: no arguments, and it cannot fail.
    unsafe { libc::geteuid() }
}

/// Forbids bpf(2) to this thread and those that come of it. Pins are root's files: without this, an agent that stays root's
/// would open them, and what opens a map can write to it, whatever its capabilities.
fn forbid_bpf() -> Result<(), seccompiler::Error> {
    let arch = TargetArch::try_from(env::consts::ARCH)?;
    // On x86-64 each call has a second number, that of x32.
    let numbers = [libc::SYS_bpf, libc::SYS_bpf | 1 << 30];
    let rules: BTreeMap<i64, Vec<_>> = numbers.into_iter().map(|number| (number, Vec::new())).collect();
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, denied, arch)?.try_into()?;
    apply_filter(&program)
}

/// Why this process does not become a user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// There is none of this name.
    #[error("there is no user `{0}`")]
    Missing(String),
    /// It is neither root's nor that user's.
    #[error("only root becomes another user (`{0}`): start as root or as that user, or leave `user` out")]
    NotRoot(String),
    /// It is not known who there is.
    #[error("/etc/passwd and /etc/group cannot be read: {0}")]
    Unknown(io::Error),
}

/// A user, and what it is a member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl User {
    /// The user of this name, as `/etc/passwd` and `/etc/group` have it, which this process is or can become.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn find(name: &str) -> Result<Self, UserError> {
        let read = |path: &str| fs::read_to_string(path).map_err(UserError::Unknown);
        let (users, groups) = (read("/etc/passwd")?, read("/etc/group")?);
        let user = Self::of(name, &users, &groups).ok_or_else(|| UserError::Missing(name.to_owned()))?;
        if acts_as() == 0 || user.is_it() { Ok(user) } else { Err(UserError::NotRoot(name.to_owned())) }
    }

    fn of(name: &str, users: &str, groups: &str) -> Option<Self> {
        let mut users = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let user = users.find(|fields| fields.first() == Some(&name))?;
        let number = |place: usize| user.get(place)?.parse().ok();
        let (uid, gid) = (number(2)?, number(3)?);
        let member = |line: &str| {
            let fields: Vec<_> = line.split(':').collect();
            let is_in = fields.get(3)?.split(',').any(|member| member == name);
            if is_in { fields.get(2)?.parse().ok() } else { None }
        };
        let mut groups: Vec<u32> = groups.lines().filter_map(member).collect();
        groups.push(gid);
        groups.sort_unstable();
        groups.dedup();
        Some(Self { uid, gid, groups })
    }

    /// Whether this process is that user's already. What else it is a member of is up to who has started it.
    fn is_it(&self) -> bool {
        let (mut users, mut groups) = ([0; 3], [0; 3]);
        let ([u, eu, su], [g, eg, sg]) = (&mut users, &mut groups);
        // SAFETY: the kernel writes three numbers each, and cannot fail with these places.
        unsafe {
            libc::getresuid(u, eu, su);
            libc::getresgid(g, eg, sg);
        }
        users == [self.uid; 3] && groups == [self.gid; 3]
    }

    /// Does something with this user's rights on files, which takes root, in a thread of its own.
    ///
    /// # Errors
    /// The thread cannot become that user.
    pub fn acting<T: Send + 'static>(&self, body: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let user = self.clone();
        let acting = thread::Builder::new().name("user".to_owned()).spawn(move || {
            // The library's calls would make all threads that user's; the kernel's concern this one.
            // SAFETY: a list that is as long as is said; the other two take numbers.
            unsafe {
                checked(libc::syscall(libc::SYS_setgroups, user.groups.len(), user.groups.as_ptr()))?;
                checked(libc::syscall(libc::SYS_setresgid, user.gid, user.gid, user.gid))?;
                checked(libc::syscall(libc::SYS_setresuid, user.uid, user.uid, user.uid))?;
            }
            Ok(body())
        })?;
        acting.join().map_err(|_| io::Error::other("it panicked"))?
    }

    /// Makes this process that user's, for good.
    fn become_it(&self) -> io::Result<()> {
        if self.is_it() {
            return Ok(());
        }
        // SAFETY: a list that is as long as is said; the other two take numbers.
        unsafe {
            checked(libc::setgroups(self.groups.len(), self.groups.as_ptr()).into())?;
            checked(libc::setresgid(self.gid, self.gid, self.gid).into())?;
            checked(libc::setresuid(self.uid, self.uid, self.uid).into())
        }
    }
}

/// Refuses where other threads would stay as they are.
fn alone() -> io::Result<()> {
    let threads = fs::read_dir("/proc/self/task")?.count();
    if threads == 1 { Ok(()) } else { Err(io::Error::other(format!("{threads} threads run already"))) }
}

/// PERFMON in effect, until this is dropped.
#[derive(Debug)]
pub struct Raised(Option<Sets>);

/// Puts PERFMON into effect where this thread may: loading programs needs it (Linux 5.8), and nothing else does.
#[must_use]
pub fn raise_perfmon() -> Raised {
    let before = Sets::get().unwrap_or_default();
    if before.effective & bit(PERFMON) != 0 || before.permitted & bit(PERFMON) == 0 {
        return Raised(None);
    }
    let raised = Sets { effective: before.effective | bit(PERFMON), ..before };
    Raised(raised.set().is_ok().then_some(before))
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Some(before) = self.0.take()
            && let Err(error) = before.set()
        {
            // Giving something up is always permitted.
            tracing::error!("CAP_PERFMON stays in effect: {error}");
        }
    }
}

/// The signals that tell a service to end, as something to be polled: they end nothing by themselves any more.
///
/// # Errors
/// There is no descriptor left.
pub fn signals() -> io::Result<OwnedFd> {
    // SAFETY: a set that is made before it is read; of this thread, which is the only one.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGINT, libc::SIGTERM] {
            libc::sigaddset(&raw mut set, signal);
        }
        checked(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()).into())?;
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC);
        checked(fd.into())?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Does something with another umask, which is the whole process's.
pub fn with_umask<T>(umask: libc::mode_t, body: impl FnOnce() -> T) -> T {
    // SAFETY: no memory is passed, and it cannot fail.
    let before = unsafe { libc::umask(umask) };
    let done = body();
    // SAFETY: as above.
    unsafe { libc::umask(before) };
    done
}

/// While this lives, this process is killed when its parent ends.
#[derive(Debug)]
pub struct WithParent(());

/// The process that started this one.
#[must_use]
pub fn parent() -> i32 {
    // SAFETY: no arguments, and it cannot fail.
    unsafe { libc::getppid() }
}

/// Ends this process with its parent, for as long as what is returned lives; at once where that is another one by now.
///
/// # Errors
/// The parent is gone.
pub fn end_with(its: i32) -> io::Result<WithParent> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0)?;
    let guard = WithParent(());
    if parent() == its { Ok(guard) } else { Err(io::Error::other("the agent is gone")) }
}

impl Drop for WithParent {
    fn drop(&mut self) {
        // It takes a number that is no signal, too.
        let _ = prctl(libc::PR_SET_PDEATHSIG, 0, 0);
    }
}

/// Ignores the signals that a terminal or a service manager sends to all processes of a group: the agent takes them, and
/// ends the others by closing their connection.
pub fn ignore_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: ignoring runs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str =
        "root:x:0:0:root:/root:/bin/sh\nclassifier:x:995:990::/nonexistent:/usr/sbin/nologin\nbad:x::\n";
    const GROUPS: &str =
        "root:x:0:\nssl-cert:x:112:www,classifier\nclass:x:7:classifier2\nclassifier:x:990:\n";

    #[test]
    fn users_are_found_with_their_groups() {
        let found = |name| User::of(name, USERS, GROUPS);
        assert_eq!(found("classifier"), Some(User { uid: 995, gid: 990, groups: vec![112, 990] }));
        assert_eq!(found("root"), Some(User { uid: 0, gid: 0, groups: vec![0] }));
        assert_eq!((found("bad"), found("nobody"), found("")), (None, None, None));
    }

    #[test]
    fn sets_are_those_of_proc() {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let set = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        let expected =
            Sets { effective: set("CapEff:"), permitted: set("CapPrm:"), inheritable: set("CapInh:") };
        assert_eq!(Sets::get().unwrap(), expected);
        // What is in effect already is neither raised nor lowered.
        drop(raise_perfmon());
        assert_eq!(Sets::get().unwrap(), expected);
        let error = drop_all(None).unwrap_err().to_string();
        assert!(error.ends_with(" threads run already"), "{error}");
        assert_eq!(Sets::get().unwrap(), expected);
    }
}
