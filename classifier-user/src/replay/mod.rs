//! A capture through the real kernel program: how a user tries the tool without a router, and how anyone checks its
//! numbers. [`capture`] reads frames, [`report`] is the answer.

use std::{collections::HashMap, net::IpAddr, path::PathBuf};

use classifier_common::{
    abi::Side,
    counter::{Counter, Outcome},
    fib::{lookup_v4, lookup_v6},
    parse::{Bytes, End, Packet, Parsed, parse},
};

pub mod capture;
pub mod report;

use self::{
    capture::{Capture, CaptureError},
    report::{Report, Row},
};
use crate::{
    datapath::{
        Datapath as _, DatapathError,
        kernel::{Entry, Kernel, LoadError, Runner, Setup},
    },
    fib::{
        classes::{Classes, ClassesError, Granularity},
        sizes::sizes_for,
    },
    ingest::set::{TableRequest, TableSet},
    model::{Asn, Class, LinkId, Owner, Owners as _},
    table::rib::Rib,
};

/// Frames that `BPF_PROG_TEST_RUN` takes: from an Ethernet header to what fits an XDP buffer with all its frags.
const TEST_RUN: std::ops::RangeInclusive<usize> = 14..=65_536;
/// The loopback interface, on which `BPF_PROG_TEST_RUN` has its frames come in.
const LOOPBACK: u32 = 1;

/// Why a replay ended without an answer.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The capture.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The kernel program.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The FIB.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// The classes.
    #[error(transparent)]
    Classes(#[from] ClassesError),
    /// The kernel refused a frame.
    #[error("packet {number}: the kernel did not run the program over it: {source}")]
    Run {
        /// Which packet, from 1.
        number: u64,
        /// Why.
        source: std::io::Error,
    },
}

/// What `classifier replay` will do, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayPlan {
    /// The capture, pcap or pcapng.
    pub file: PathBuf,
    /// Where routes come from.
    pub tables: TableRequest,
    /// Which address is looked at.
    pub side: Side,
    /// How rows are summed.
    pub by: By,
}

/// How rows are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By origin AS.
    As,
    /// By prefix and origin AS.
    Prefix,
}

/// A replayed capture.
pub struct Replayed {
    /// The totals.
    pub report: Report,
    /// Why the rest of the capture could not be read, where it could not. What came before it is counted.
    pub damage: Option<CaptureError>,
}

/// Runs every frame of the plan's capture through the XDP program with the routes of `tables`, and sums what it
/// counted. `progress` is told the bytes of the file read and their whole number, now and then.
///
/// # Errors
/// [`ReplayError`]: no capture, no privileges for BPF, no room. A capture that is damaged further on is not an error
/// here: see [`Replayed::damage`].
pub fn run(
    plan: &ReplayPlan,
    tables: &TableSet,
    mut progress: impl FnMut(u64, u64),
) -> Result<Replayed, ReplayError> {
    let mut capture = Capture::open(&plan.file)?;
    let mut replay = Replay::new(&tables.rib, plan.side)?;
    let mut damage = None;
    loop {
        match capture.next(|bytes, len| replay.frame(bytes, len)) {
            Ok(Some(ran)) => ran?,
            Ok(None) => break,
            Err(error) => {
                damage = Some(error);
                break;
            }
        }
        if replay.packets.is_multiple_of(1 << 14) {
            progress(capture.position(), capture.size());
        }
    }
    Ok(Replayed { report: replay.report(plan.by, &|asn| tables.name(asn))?, damage })
}

/// The program, the FIB, and what the kernel did not count itself.
pub struct Replay {
    kernel: Kernel,
    runner: Runner,
    classes: Classes,
    side: Side,
    padded: Vec<u8>,
    packets: u64,
    total: Counter,
    snapped: u64,
    outcomes: [Counter; 5],
    counted_here: HashMap<Class, Counter>,
}

impl Replay {
    /// Loads the program and fills its FIB.
    ///
    /// # Errors
    /// [`ReplayError`], but those of the capture.
    pub fn new(rib: &Rib, side: Side) -> Result<Self, ReplayError> {
        let sizes = sizes_for(rib.iter().map(|route| route.prefix));
        let mut classes = Classes::new(Granularity::Prefix, sizes.classes);
        let batch = classes.apply(rib.iter().map(|route| (route.prefix, Some(route.asn))))?;
        let setup =
            Setup { link: LinkId(0), ifindex: LOOPBACK, vlan: None, sides: [side.bit(), 0], extra_bytes: 0 };
        let mut kernel = Kernel::load(&sizes, &[setup])?;
        kernel.apply(&batch)?;
        let runner = kernel.runner(Entry::Xdp)?;
        Ok(Self {
            kernel,
            runner,
            classes,
            side,
            padded: Vec::new(),
            packets: 0,
            total: Counter::ZERO,
            snapped: 0,
            outcomes: [Counter::ZERO; 5],
            counted_here: HashMap::new(),
        })
    }

    /// Counts one frame of `len` bytes, of which `bytes` were captured.
    ///
    /// # Errors
    /// [`ReplayError::Run`].
    pub fn frame(&mut self, bytes: &[u8], len: u32) -> Result<(), ReplayError> {
        self.packets += 1;
        self.total += Counter { packets: 1, bytes: u64::from(len) };
        let frame = if bytes.len() == len as usize {
            bytes
        } else {
            // What was cut off does not matter to the totals, unless it is the addresses.
            if parse(&Bytes::cut(bytes, len), None).packet == Err(End::Cut) {
                self.snapped += 1;
                return Ok(());
            }
            if !TEST_RUN.contains(&(len as usize)) {
                self.count_here(&parse(&Bytes::cut(bytes, len), None), len);
                return Ok(());
            }
            self.padded.clear();
            self.padded.extend_from_slice(bytes);
            self.padded.resize(len as usize, 0);
            &self.padded
        };
        if !TEST_RUN.contains(&frame.len()) {
            let parsed = parse(&Bytes::new(frame), None);
            self.count_here(&parsed, len);
            return Ok(());
        }
        match self.runner.run(frame, 1) {
            Ok(_) => Ok(()),
            Err(source) => Err(ReplayError::Run { number: self.packets, source }),
        }
    }

    /// Counts a frame that the kernel's test run does not take, with the same parser and the same FIB.
    fn count_here(&mut self, parsed: &Parsed, len: u32) {
        let counter = Counter { packets: 1, bytes: u64::from(len) };
        let (outcome, class) = match parsed.packet {
            Ok(Packet::V4 { source, destination }) => {
                let address = if self.side == Side::Source { source } else { destination };
                (Outcome::Ipv4, Some(lookup_v4(self.kernel.fib(), address)))
            }
            Ok(Packet::V6 { source, destination }) => {
                let address = if self.side == Side::Source { source } else { destination };
                (Outcome::Ipv6, Some(lookup_v6(self.kernel.fib(), &address)))
            }
            Err(End::NonIp) => (Outcome::NonIp, None),
            Err(End::Malformed) => (Outcome::Malformed, None),
            Err(End::Unsupported | End::Cut) => (Outcome::Unsupported, None),
        };
        self.outcomes[outcome as usize] += counter;
        if let Some(class) = class {
            *self.counted_here.entry(class).or_default() += counter;
        }
    }

    /// The class that the kernel's FIB gives an address.
    #[must_use]
    pub fn class_of(&self, address: IpAddr) -> Class {
        match address {
            IpAddr::V4(address) => lookup_v4(self.kernel.fib(), address.to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let parts = [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32];
                lookup_v6(self.kernel.fib(), &parts)
            }
        }
    }

    /// Reads what the kernel counted, and sums it up.
    ///
    /// # Errors
    /// A system call that failed.
    pub fn report<'a>(
        mut self,
        by: By,
        name: &dyn Fn(Asn) -> Option<&'a str>,
    ) -> Result<Report, ReplayError> {
        let sweep = self.kernel.sweep()?;
        let mut by_class = self.counted_here;
        for hook in sweep.links.into_iter().flat_map(|link| link.hooks).flatten() {
            for (sum, counted) in self.outcomes.iter_mut().zip(hook.outcomes) {
                *sum += counted;
            }
            for (class, counter) in hook.sides.into_iter().flatten().flatten() {
                *by_class.entry(class).or_default() += counter;
            }
        }
        let mut rows: HashMap<(u32, Option<crate::model::Prefix>), Counter> = HashMap::new();
        let mut unmatched = Counter::ZERO;
        for (class, counter) in by_class {
            match self.classes.owner(self.classes.owner_of(class)) {
                // AS 0 is no AS (RFC 7607): the address is known to be unrouted.
                Owner::Unmatched(_) | Owner::Route { asn: 0, .. } | Owner::As { asn: 0, .. } => {
                    unmatched += counter;
                }
                Owner::Route { prefix, asn } => {
                    *rows.entry((asn, (by == By::Prefix).then_some(prefix))).or_default() += counter;
                }
                Owner::As { asn, .. } => *rows.entry((asn, None)).or_default() += counter,
            }
        }
        let total = self.total.bytes;
        let mut rows: Vec<_> = rows
            .into_iter()
            .map(|((asn, prefix), counter)| Row::new(asn, name(asn), prefix, counter, total))
            .collect();
        rows.sort_by(|a, b| {
            b.bytes.cmp(&a.bytes).then(a.asn.cmp(&b.asn)).then_with(|| a.prefix.cmp(&b.prefix))
        });
        Ok(Report::new(self.total, self.snapped, self.outcomes, self.side, rows, unmatched))
    }
}
