//! What fuzzing begins with, and what it found, through the same functions but without libFuzzer: every file of
//! `fuzz/corpus`, whole, cut, and changed in ways that are the same at every run.

use std::{fs, path::Path};

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a crate there")]
mod fuzz;

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
        target(&bytes);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for change in 0..changes(name) {
            let bytes = changed(&bytes, &mut random);
            println!("change {change}: {}", bytes.escape_ascii());
            target(&bytes);
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
fn table() {
    run("table");
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
