//! The system calls that the demo needs and that no library at hand has: network namespaces, raw sockets, signals.
//! All `unsafe` of this crate is here.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command},
    sync::atomic::{AtomicBool, Ordering},
};

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Whether we run as root.
pub(crate) fn is_root() -> bool {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// A network namespace. It has no name anywhere: when the last process in it and this are gone, the kernel takes it
/// down with all that is in it, however we end.
#[derive(Debug)]
pub(crate) struct Namespace(OwnedFd);

impl Namespace {
    /// Moves the calling thread into a new one.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: changes this thread's network namespace and nothing in memory.
        checked(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
        Ok(Self(File::open("/proc/thread-self/ns/net")?.into()))
    }

    /// Moves the calling thread into this one; its sockets, and the processes that it starts, will be there.
    pub(crate) fn enter(&self) -> io::Result<()> {
        enter(self.0.as_raw_fd())
    }

    /// The path under which another process of this machine can open it, while we live.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Makes `command` run in here, with a view of /sys and a BPF file system of its own, and in a process group of
    /// its own, so that a Ctrl-C is ours alone. If we die it gets SIGTERM.
    pub(crate) fn host<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let namespace = self.0.as_raw_fd();
        // SAFETY: between fork and exec only system calls are made, on memory that lived before the fork.
        unsafe {
            command.pre_exec(move || {
                enter(namespace)?;
                checked(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM))?;
                checked(libc::unshare(libc::CLONE_NEWNS))?;
                mount(None, c"/", libc::MS_SLAVE | libc::MS_REC)?;
                // /sys shows the interfaces of the namespace in which it was mounted.
                mount(Some(c"sysfs"), c"/sys", 0)?;
                mount(Some(c"bpf"), c"/sys/fs/bpf", 0)
            })
        };
        command.process_group(0)
    }
}

/// If we die, `command` gets SIGTERM.
pub(crate) fn ends_with_us(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec a system call is made, which takes numbers.
    unsafe { command.pre_exec(|| checked(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM)).map(drop)) }
}

/// From now on what this thread mounts, and those that it starts, is seen by them alone, and goes with them.
pub(crate) fn private_mounts() -> io::Result<()> {
    // SAFETY: changes this thread's mounts and nothing in memory.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(None, c"/", libc::MS_SLAVE | libc::MS_REC)
}

/// Mounts a file system of this kind, with its options.
pub(crate) fn mount_at(kind: &str, target: &std::path::Path, options: &str) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    let (kind, options) = (CString::new(kind)?, CString::new(options)?);
    let target = CString::new(target.as_os_str().as_bytes())?;
    // SAFETY: the strings end in NUL.
    checked(unsafe {
        libc::mount(c"none".as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast())
    })
    .map(drop)
}

/// Takes it off again.
pub(crate) fn unmount(target: &std::path::Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    let target = CString::new(target.as_os_str().as_bytes())?;
    // SAFETY: the string ends in NUL.
    checked(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

fn enter(namespace: RawFd) -> io::Result<()> {
    // SAFETY: changes this thread's network namespace and nothing in memory.
    checked(unsafe { libc::setns(namespace, libc::CLONE_NEWNET) }).map(drop)
}

fn mount(kind: Option<&std::ffi::CStr>, target: &std::ffi::CStr, flags: libc::c_ulong) -> io::Result<()> {
    let kind = kind.map_or(std::ptr::null(), std::ffi::CStr::as_ptr);
    // SAFETY: the strings end in NUL; a null type and null data are allowed.
    checked(unsafe { libc::mount(c"none".as_ptr(), target.as_ptr(), kind, flags, std::ptr::null()) })
        .map(drop)
}

/// A raw socket on an interface: what is sent is the frame, from its destination address on. It receives nothing.
pub(crate) struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Most frames that one call sends.
    pub(crate) const BATCH: usize = 32;

    /// Opens one on an interface of the calling thread's namespace.
    pub(crate) fn open(interface: &str) -> io::Result<Self> {
        let name = CString::new(interface)?;
        // SAFETY: the name ends in NUL.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        // Protocol 0: nothing is delivered to it.
        // SAFETY: makes a descriptor, which is owned from here on.
        let socket = unsafe {
            OwnedFd::from_raw_fd(checked(libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                0,
            ))?)
        };
        // SAFETY: all zeroes is a valid address of this plain C structure.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as libc::sa_family_t;
        address.sll_ifindex = index.cast_signed();
        // SAFETY: the address is a sockaddr_ll of the size given.
        checked(unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        })?;
        Ok(Self(socket))
    }

    /// Sends up to [`Self::BATCH`] frames, in order, and returns how many the kernel took.
    pub(crate) fn send<'a>(&self, frames: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        let mut parts: Vec<libc::iovec> = frames
            .take(Self::BATCH)
            .map(|frame| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = parts
            .iter_mut()
            .map(|part| {
                // SAFETY: all zeroes is a valid value of this plain C structure: no name, no control data.
                let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                message.msg_hdr.msg_iov = part;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        // SAFETY: as many headers as said, each of one part, all alive; the kernel only reads what they point to.
        let sent = checked(unsafe {
            libc::sendmmsg(self.0.as_raw_fd(), messages.as_mut_ptr(), messages.len() as libc::c_uint, 0)
        })?;
        Ok(usize::try_from(sent).unwrap_or_default())
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP set the flag that is returned instead of ending us.
pub(crate) fn catch_interrupts() -> &'static AtomicBool {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler does one atomic store, which is allowed in a signal handler.
        unsafe { libc::signal(signal, note as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    }
    &INTERRUPTED
}

/// What a child may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// End.
    Terminate,
    /// End at once, without a word.
    Kill,
    /// Load your files again.
    Hangup,
}

/// Tells a child something.
pub(crate) fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    let number = match signal {
        Signal::Terminate => libc::SIGTERM,
        Signal::Kill => libc::SIGKILL,
        Signal::Hangup => libc::SIGHUP,
    };
    // SAFETY: a child that has not been waited for keeps its number.
    checked(unsafe { libc::kill(child.id().cast_signed(), number) }).map(drop)
}

/// Kills a process that a child of ours started.
pub(crate) fn kill(process: u32) -> io::Result<()> {
    // SAFETY: sends a signal.
    checked(unsafe { libc::kill(process.cast_signed(), libc::SIGKILL) }).map(drop)
}

/// As many descriptors as we may have.
pub(crate) fn raise_descriptors() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes to the limit that it is given.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: reads it.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).map(drop)
}
