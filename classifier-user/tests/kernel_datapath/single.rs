//! The named frames, one by one, through `BPF_PROG_TEST_RUN`.

use std::{cmp::Reverse, fs, path::Path};

use classifier_user::{
    datapath::{
        Sizes,
        kernel::{Entry, Kernel, Verified},
    },
    model::{Hook, Outcome, Side},
};

use crate::{
    frames,
    lab::{in_namespace, run},
    world::{World, counter, setup},
};

const XDP_PASS: u32 = 2;
/// `TCX_NEXT`, which is `TC_ACT_UNSPEC`.
const NEXT: u32 = u32::MAX;

fn every_named_frame(entry: Entry) {
    let hook = if entry == Entry::TcTx { Hook::Tx } else { Hook::Rx };
    let pass = if entry == Entry::Xdp { XDP_PASS } else { NEXT };
    let mut world = World::new(&[setup(0, 1, None)]);
    let mut runner = world.kernel.runner(entry).expect("the program");
    let mut expected = [counter(0, 0); 5];
    let mut refused = Vec::new();
    for frame in frames::all() {
        match runner.run_and_return(&frame.bytes) {
            Ok((ran, left)) => {
                assert_eq!(ran.verdict, pass, "{}: the verdict", frame.name);
                assert_eq!(left, frame.bytes, "{}: bytes were changed", frame.name);
                expected[frame.outcome as usize] += counter(1, frame.bytes.len() as u64);
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{}: {error}", frame.name);
                refused.push(frame.name);
            }
        }
        world.sweep();
        assert_eq!(world.outcomes(0, hook), expected, "{}", frame.name);
    }
    // What the kernel's test run does not take goes over a wire in `traffic`.
    let expected_refusals: &[&str] = match entry {
        Entry::Xdp => &[],
        Entry::TcRx | Entry::TcTx => &[
            "only an ethernet header",
            "cut in the ipv4 header",
            "cut in the ipv6 header",
            "cut in the ipv4 options",
        ],
    };
    assert!(refused.iter().all(|name| expected_refusals.contains(name)), "refused: {refused:?}");
    world.assert_closed();
    let ip = |outcome: Outcome| expected[outcome as usize];
    let all = ip(Outcome::Ipv4) + ip(Outcome::Ipv6);
    assert_eq!(world.counted(0, hook, Side::Source, Some(2906)), all, "all sources are Netflix");
    assert_eq!(world.counted(0, hook, Side::Destination, Some(15169)), all, "all destinations are Google");
}

#[test]
fn minimal_caps_every_named_frame_through_xdp() {
    every_named_frame(Entry::Xdp);
}

#[test]
fn minimal_caps_every_named_frame_through_tc_ingress() {
    every_named_frame(Entry::TcRx);
}

#[test]
fn minimal_caps_every_named_frame_through_tc_egress() {
    every_named_frame(Entry::TcTx);
}

#[test]
fn minimal_caps_a_frame_in_frags_counts_whole() {
    let mut world = World::new(&[setup(0, 1, None)]);
    let runner = world.kernel.runner(Entry::Xdp).expect("the program");
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00]);
    frame.extend(frames::ipv4(0, 0, 40_000));
    let ran = runner.run(&frame, 3).expect("frags");
    assert_eq!(ran.verdict, XDP_PASS);
    world.sweep();
    assert_eq!(world.outcomes(0, Hook::Rx)[0], counter(3, 3 * frame.len() as u64));
    world.assert_closed();
}

#[test]
fn minimal_caps_an_interface_that_is_no_link_is_not_counted() {
    // Loopback, where test runs come in, is index 1; the link is another.
    let mut world = World::new(&[setup(0, 999, None)]);
    for entry in [Entry::Xdp, Entry::TcRx, Entry::TcTx] {
        let runner = world.kernel.runner(entry).expect("the program");
        runner.run(&frames::all()[0].bytes, 10).expect("runs");
    }
    world.sweep();
    for hook in Hook::ALL {
        assert_eq!(world.total(0, hook), counter(0, 0));
    }
}

#[test]
fn minimal_caps_only_the_sides_asked_for_are_counted() {
    for (sides, expected) in [([1, 2], [true, false]), ([2, 1], [false, true])] {
        let mut one = setup(0, 1, None);
        one.sides = sides;
        let mut world = World::new(&[one]);
        world.kernel.runner(Entry::Xdp).expect("the program").run(&frames::all()[0].bytes, 5).expect("runs");
        let sweep = world.sweep();
        let read = sweep.links[0].hooks[0].as_ref().expect("rx");
        assert_eq!([read.sides[0].is_some(), read.sides[1].is_some()], expected);
        assert_eq!(
            world.counted(0, Hook::Rx, Side::Destination, Some(15169)).packets,
            if expected[0] { 5 } else { 0 }
        );
        assert_eq!(
            world.counted(0, Hook::Rx, Side::Source, Some(2906)).packets,
            if expected[1] { 5 } else { 0 }
        );
    }
}

/// Older verifiers merge fewer states than this one: the programs must stay far below the million instructions that a
/// kernel walks at most, and below the 512 bytes that it gives to a chain of calls. What is constant when they are loaded,
/// numbers of CPUs and the sides that are counted, is another program to the verifier each time.
#[test]
fn the_verifier_has_little_work() {
    const INSTRUCTIONS: u32 = 250_000;
    const STACK: u32 = 480;
    in_namespace(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let online = directory.path().join("online");
        fs::write(&online, "0\n").expect("written");
        run(&format!("mount --bind {} /sys/devices/system/cpu/online", online.display()));
        let mut most = [0; 2];
        for cpus in ["0", "0-1", "0-6", "0-127"] {
            fs::write(&online, format!("{cpus}\n")).expect("written");
            for sides in [[3, 3], [1, 1], [2, 2]] {
                let mut one = setup(0, 1, None);
                one.sides = sides;
                let sizes = Sizes { classes: 64, v4_rows: 1, v6_rows: 1, v6_nodes: 1 };
                let mut kernel = match Kernel::load(&sizes, &[one]) {
                    Ok(kernel) => kernel,
                    Err(error) => {
                        let said = error.to_string();
                        let sum: String = said.lines().filter(|line| line.starts_with("processed")).collect();
                        println!(
                            "CPUs {cpus}, sides {sides:?}: {} {sum}",
                            said.lines().next().unwrap_or_default()
                        );
                        most[0] = u32::MAX;
                        continue;
                    }
                };
                let verified = kernel.verified().expect("the verifier's words");
                assert_eq!(verified.len(), 3, "{verified:?}");
                for Verified { program, instructions, stack } in &verified {
                    println!(
                        "{program}, CPUs {cpus}, sides {sides:?}: {instructions} instructions, {stack:?} bytes of stack by function"
                    );
                    // The kernel rounds each function's part up. The two largest call each other; what they call has
                    // a part of 32.
                    let mut stack: Vec<_> = stack.iter().map(|bytes| bytes.next_multiple_of(32)).collect();
                    stack.sort_unstable_by_key(|bytes| Reverse(*bytes));
                    let here = [*instructions, stack.iter().take(2).sum::<u32>()];
                    most = [most[0].max(here[0]), most[1].max(here[1])];
                }
                // What was loaded is what was verified here.
                for (Verified { program, instructions, .. }, loaded) in
                    verified.iter().zip(kernel.loaded_instructions())
                {
                    assert_eq!(Some(*instructions), loaded, "{program}");
                }
            }
        }
        println!(
            "at most: {} instructions of {INSTRUCTIONS}, {} bytes of stack of {STACK}",
            most[0], most[1]
        );
        assert!(most[0] < INSTRUCTIONS && most[1] <= STACK, "{most:?}");
    });
}

/// Kernels without BTF exist (VyOS's): nothing is relocated by it.
#[test]
fn without_the_kernels_btf_it_loads_and_counts() {
    in_namespace(|| {
        let btf = Path::new("/sys/kernel/btf");
        if btf.is_dir() {
            run("mount -t tmpfs tmpfs /sys/kernel/btf");
        }
        assert!(!btf.join("vmlinux").exists());
        let mut world = World::new(&[setup(0, 1, None)]);
        for entry in [Entry::Xdp, Entry::TcRx, Entry::TcTx] {
            let runner = world.kernel.runner(entry).expect("the program");
            runner.run(&frames::all()[0].bytes, 10).expect("runs");
        }
        world.sweep();
        world.assert_closed();
        let length = frames::all()[0].bytes.len() as u64;
        assert_eq!(world.total(0, Hook::Rx), counter(20, 20 * length));
        assert_eq!(world.total(0, Hook::Tx), counter(10, 10 * length));
    });
}
