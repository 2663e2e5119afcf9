//! A capture through the program.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    mem::MaybeUninit,
    net::IpAddr,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use classifier_common::abi::Side;
use classifier_user::replay::{Replay, capture::Capture};
use pcap_file::pcap::{PcapPacket, PcapWriter};

use crate::{
    agent::BINARY,
    keys::{Random, Zipf},
    measure::{median, seconds},
    report::{Cell, Goal, Section, Table, Target},
    send,
    world::World,
};

const PACKETS: usize = 1_000_000;
const ROUNDS: usize = 5;
/// What `tcpdump -s 96` keeps of a frame.
const SNAP: usize = 96;

const COLUMNS: &[(&str, &str)] = &[
    ("capture", "capture"),
    ("mebibytes", "MiB"),
    ("ns", "CPU ns a packet"),
    ("packets_per_second", "packets/s"),
    ("command_s", "whole command, CPU s"),
    ("command_packets_per_second", "packets/s"),
];

pub(crate) fn run() -> Result<Section> {
    let world = World::builtin()?;
    let directory = tempfile::tempdir()?;
    let mut table = Table::new(
        "replay",
        format!("{PACKETS} packets, a fifth IPv6; lengths 60, 576 and 1514 as 7:4:1"),
        COLUMNS,
    );
    let mut slowest = [f64::INFINITY; 2];
    for (name, snap) in [("frames in full", usize::MAX), ("the first 96 bytes of each", SNAP)] {
        let path = directory.path().join(format!("{snap}.pcap"));
        write(&path, &world, snap)?;
        let mut loops = Vec::new();
        let mut commands = Vec::new();
        for _ in 0..ROUNDS {
            let mut replay = Replay::new(&world.tables.rib, Side::Destination)?;
            let (taken, ran) = seconds(|| -> Result<u64> {
                let mut capture = Capture::open(&path)?;
                let mut packets = 0;
                while let Some(ran) = capture.next(|bytes, len| replay.frame(bytes, len))? {
                    ran?;
                    packets += 1;
                }
                Ok(packets)
            });
            ensure!(ran? == PACKETS as u64, "not every packet was read");
            loops.push(taken);
            commands.push(command(&path)?);
        }
        let (each, command) = (median(loops) / PACKETS as f64, median(commands));
        slowest = [slowest[0].min(1.0 / each), slowest[1].min(PACKETS as f64 / command)];
        table.row([
            Cell::text(name),
            Cell::Number(path.metadata()?.len() as f64 / 1048576.0, 0),
            Cell::Number(each * 1e9, 0),
            Cell::Number(1.0 / each, 0),
            Cell::Number(command, 2),
            Cell::Number(PACKETS as f64 / command, 0),
        ]);
    }
    let target = |what, value| Target { what, value, goal: Goal::AtLeast(500_000.0), unit: "packets/s" };
    Ok(Section {
        about: format!(
            "replay: a capture through the XDP program by BPF_PROG_TEST_RUN; the whole command starts, loads and fills \
             the FIB too; {}",
            world.describe()
        ),
        tables: vec![table],
        targets: vec![target("replay", slowest[0]), target("replay, the whole command", slowest[1])],
        notes: Vec::new(),
    })
}

/// CPU seconds of the command, kernel time included.
fn command(path: &Path) -> Result<f64> {
    let before = children_cpu();
    let output = Command::new(BINARY).arg("replay").arg(path).arg("--json").output()?;
    let taken = children_cpu() - before;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("classifier replay: {}", String::from_utf8_lossy(&output.stderr)))?;
    ensure!(report["packets"] == PACKETS, "the command has not read every packet");
    Ok(taken.as_secs_f64())
}

/// CPU time of all processes that were started here and have ended.
fn children_cpu() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel writes the whole of it; all zero is valid if it does not.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    let duration = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

/// A capture with addresses of real prefixes.
fn write(path: &Path, world: &World, snap: usize) -> Result<()> {
    let mut random = Random::new(8);
    let zipf4 = Zipf::new(world.v4.len(), &mut random);
    let zipf6 = Zipf::new(world.v6.len(), &mut random);
    let mut writer = PcapWriter::new(BufWriter::with_capacity(1 << 20, File::create(path)?))?;
    for number in 0..PACKETS {
        let mut address = || -> IpAddr {
            if number % 5 == 0 {
                world.v6[zipf6.draw(&mut random)].network_address().into()
            } else {
                world.v4[zipf4.draw(&mut random)].network_address().into()
            }
        };
        let mut frame = send::frame(address(), address());
        let length = match random.below(12) {
            0..7 => frame.len(),
            7..11 => 576,
            _ => 1514,
        };
        frame.resize(length, 0);
        let at = Duration::from_micros(number as u64);
        let kept = &frame[..length.min(snap)];
        writer.write_packet(&PcapPacket::new(at, length as u32, kept))?;
    }
    writer.into_writer().flush()?;
    Ok(())
}
