//! What fuzzing begins with, and what it found, through the same functions but without libFuzzer: every file of
//! `fuzz/corpus`, whole, cut, and changed in ways that are the same at every run. No input takes more than a bounded time of
//! the CPU and a bounded memory.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicIsize, Ordering},
    },
    time::Duration,
};

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a crate there")]
mod fuzz;

/// What an input of some kilobytes may take of the CPU: a thousand times what the slowest does.
const TIME: Duration = Duration::from_secs(20);
/// And of memory at a time: an answer over HTTP has an image of a few megabytes.
const MEMORY: isize = 256 << 20;

/// What this process has, and has had at most: an answer over HTTP is made by another thread than the one that asks for it.
struct Counted;

/// So inputs are looked at one after the other.
static ONE: Mutex<()> = Mutex::new(());

static HAS: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);

fn takes(bytes: isize) {
    let has = HAS.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(has, Ordering::Relaxed);
}

// SAFETY: it does as the system's does.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        takes(layout.size() as isize);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        takes(layout.size() as isize);
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        takes(-(layout.size() as isize));
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

/// This process' time on CPUs: a machine that is busy otherwise makes it no longer.
fn time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Does with bytes what is to be done with them, and sees what it takes.
fn bounded(target: fuzz::Target, bytes: &[u8]) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = HAS.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let since = time();
    target(bytes);
    let (time, most) = (time() - since, MOST.load(Ordering::Relaxed) - before);
    assert!(time < TIME && most < MEMORY, "it took {time:?} and {most} bytes");
}

/// Changes of each file. An answer over HTTP takes a thousand times what a message takes.
fn changes(target: &str) -> u64 {
    if target == "http" { 10 } else { 300 }
}

/// Marsaglia's xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

/// A few bytes other than they were, or a part twice, or not there, or the end cut off.
fn changed(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    const LIKELY: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0xff, b'0', b'"'];
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let (at, to) = (random.below(bytes.len()), random.below(bytes.len() + 1));
        let part = at.min(to)..at.max(to);
        match random.below(6) {
            0 => bytes.truncate(to),
            1 => drop(bytes.drain(part)),
            2 => {
                let part = bytes[part].to_vec();
                let at = random.below(bytes.len());
                bytes.splice(at..at, part);
            }
            3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            _ => {
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = LIKELY[random.below(LIKELY.len())]);
            }
        }
    }
    bytes
}

fn run(name: &str) {
    let (_, target) = fuzz::TARGETS.into_iter().find(|(other, _)| *other == name).expect("a target");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let bytes = fs::read(&file).expect("readable");
        // Shown where it panics.
        println!("{}", file.display());
        bounded(target, &bytes);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for change in 0..changes(name) {
            let bytes = changed(&bytes, &mut random);
            println!("change {change}: {}", bytes.escape_ascii());
            bounded(target, &bytes);
        }
    }
}

#[test]
fn bgp() {
    run("bgp");
}

#[test]
fn bmp() {
    run("bmp");
}

#[test]
fn config() {
    run("config");
}

/// Needs root for the kernel's programs; without, the parser alone is looked at.
#[test]
fn frame() {
    use std::os::unix::fs::MetadataExt as _;
    run("frame");
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    assert!(fuzz::kernel_is_there() || !root, "root may load programs");
}

#[test]
fn http() {
    run("http");
}

#[test]
fn mrt() {
    run("mrt");
}

#[test]
fn pcap() {
    run("pcap");
}

#[test]
fn remote() {
    run("remote");
}

#[test]
fn table() {
    run("table");
}

/// The bounds are of what all threads do.
#[test]
fn what_another_thread_takes_is_seen() {
    let hungry = |_: &[u8]| {
        let filled =
            std::thread::spawn(|| vec![1_u8; MEMORY as usize + 1].iter().map(|&byte| u64::from(byte)).sum());
        assert_eq!(filled.join().ok(), Some(MEMORY as u64 + 1));
    };
    let seen = std::panic::catch_unwind(|| bounded(hungry, b""));
    assert!(seen.is_err());
}

#[test]
fn every_target_has_a_test_and_a_binary() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = fs::read_to_string(here.join("tests/corpus.rs")).expect("readable");
    for (name, _) in fuzz::TARGETS {
        assert!(tests.contains(&format!("fn {name}()")), "{name}");
        assert!(here.join("../fuzz/fuzz_targets").join(format!("{name}.rs")).is_file(), "{name}");
    }
}
