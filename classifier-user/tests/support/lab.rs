//! Network namespaces for tests. They belong to threads, so nothing is left behind whatever way a test ends.

use std::{
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    process::Command,
    sync::mpsc,
    thread,
};

/// Runs `body` in a thread with a network namespace and a `/sys` of its own, loopback up, IPv6 quiet.
pub(crate) fn in_namespace<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let joined = scope
            .spawn(|| {
                enter();
                body()
            })
            .join();
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Moves the calling thread into new namespaces.
fn enter() {
    // SAFETY: concerns this thread only.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) };
    assert_eq!(unshared, 0, "kernel tests need root: {}", io::Error::last_os_error());
    mount("none", "/", "", libc::MS_REC | libc::MS_PRIVATE);
    mount("sysfs", "/sys", "sysfs", 0);
    fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").expect("disable_ipv6");
    fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").expect("disable_ipv6");
    run("ip link set lo up");
}

fn mount(source: &str, target: &str, kind: &str, flags: libc::c_ulong) {
    let text = |text: &str| std::ffi::CString::new(text).expect("no nul");
    let (source, target_c, kind) = (text(source), text(target), text(kind));
    // SAFETY: three strings that live through the call.
    let mounted =
        unsafe { libc::mount(source.as_ptr(), target_c.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) };
    assert_eq!(mounted, 0, "mount {target}: {}", io::Error::last_os_error());
}

/// Runs a command of this namespace; it must succeed. Gives back what it printed.
pub(crate) fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().expect("a command"))
        .args(words)
        .output()
        .unwrap_or_else(|error| panic!("{command}: {error} (`cargo xtask setup` installs it)"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The calling thread's number: it stands for its namespaces.
pub(crate) fn tid() -> libc::pid_t {
    // SAFETY: no arguments.
    unsafe { libc::gettid() }
}

type Job = Box<dyn FnOnce() + Send>;

/// Another network namespace: a thread that takes jobs.
pub(crate) struct Peer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    tid: libc::pid_t,
}

impl Peer {
    /// A fresh namespace.
    pub(crate) fn new() -> Self {
        let (jobs, take) = mpsc::channel::<Job>();
        let (say, said) = mpsc::channel();
        let thread = thread::spawn(move || {
            enter();
            say.send(tid()).expect("the test waits");
            for job in take {
                job();
            }
        });
        let tid = said.recv().expect("the peer's namespace");
        Self { jobs: Some(jobs), thread: Some(thread), tid }
    }

    /// Does something there and waits for it.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.start(job).recv().expect("the peer's job panicked")
    }

    /// Begins something there.
    pub(crate) fn start<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> mpsc::Receiver<T> {
        let (give, given) = mpsc::channel();
        let job: Job = Box::new(move || {
            let _ = give.send(job());
        });
        self.jobs.as_ref().expect("alive").send(job).expect("the peer lives");
        given
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A veth pair: `here` in this namespace, `there` in the peer's, both up, without ARP and IPv6 chatter.
pub(crate) fn veth(peer: &Peer, here: &str, there: &'static str, mtu: u32) {
    run(&format!(
        "ip link add {here} numrxqueues 2 numtxqueues 2 type veth peer name {there} numrxqueues 2 numtxqueues 2"
    ));
    run(&format!("ip link set {there} netns {}", peer.tid));
    run(&format!("ip link set {here} mtu {mtu} arp off up"));
    peer.run(move || {
        run(&format!("ip link set {there} mtu {mtu} arp off up"));
    });
}

/// Addresses for both ends, with fixed neighbours, so that only what a test sends is on the wire.
pub(crate) fn address(peer: &Peer, here: &str, there: &'static str, net: u8) {
    let mac = |interface: &str| {
        fs::read_to_string(format!("/sys/class/net/{interface}/address")).expect("a MAC").trim().to_owned()
    };
    let mine = mac(here);
    let theirs = peer.run(move || {
        fs::read_to_string(format!("/sys/class/net/{there}/address")).expect("a MAC").trim().to_owned()
    });
    run(&format!("ip addr add 10.9.{net}.1/24 dev {here}"));
    run(&format!("ip neigh add 10.9.{net}.2 lladdr {theirs} dev {here} nud permanent"));
    peer.run(move || {
        run(&format!("ip addr add 10.9.{net}.2/24 dev {there}"));
        run(&format!("ip neigh add 10.9.{net}.1 lladdr {mine} dev {there} nud permanent"));
    });
}

/// One of the kernel's own counters of an interface.
pub(crate) fn statistic(interface: &str, name: &str) -> u64 {
    fs::read_to_string(format!("/sys/class/net/{interface}/statistics/{name}"))
        .unwrap_or_else(|error| panic!("{interface} {name}: {error}"))
        .trim()
        .parse()
        .expect("a number")
}

/// The index of an interface of this namespace.
pub(crate) fn ifindex(interface: &str) -> u32 {
    fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))
        .expect("an interface")
        .trim()
        .parse()
        .expect("a number")
}

/// A raw socket that sends whole frames on an interface of this namespace.
pub(crate) struct Raw {
    socket: OwnedFd,
}

impl Raw {
    /// Opens it.
    pub(crate) fn new(interface: &str) -> Self {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        assert!(fd >= 0, "AF_PACKET: {}", io::Error::last_os_error());
        // SAFETY: a descriptor that nobody else has.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: 0,
            sll_ifindex: ifindex(interface) as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: the address is as long as is said.
        let bound = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        assert_eq!(bound, 0, "bind to {interface}: {}", io::Error::last_os_error());
        Self { socket }
    }

    /// Sends one frame; it must be taken.
    pub(crate) fn send(&self, frame: &[u8]) {
        assert_eq!(self.offer(frame), frame.len() as isize, "send: {}", io::Error::last_os_error());
    }

    /// Sends one frame, which the interface may not take: a program may drop it.
    pub(crate) fn offer(&self, frame: &[u8]) -> isize {
        // SAFETY: the buffer is as long as it says.
        unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) }
    }
}
