//! A datapath in memory: the kernel's parser, lookup and counting on the host, for tests and machines without BPF.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use classifier_common::{
    fib::{self, UNMATCHED_V6},
    parse::{self, Bytes, End, Packet},
};

use super::{
    Applied, Attachment, Batch, Datapath, DatapathError, HookSweep, LinkSweep, Memory, Sizes, Sweep,
};
use crate::{
    fib::{memory::FibMemory, writer::Writer},
    model::{Class, Counter, Hook, LinkId, Mode, Outcome, Side},
};

/// What one hook of a link has counted.
#[derive(Debug, Default)]
struct Bank {
    outcomes: [Counter; 5],
    /// By [`Side`], since the last sweep.
    sides: [BTreeMap<Class, Counter>; 2],
}

/// A datapath in memory.
///
/// Frames come by [`Fake::frame`]. Nothing runs beside the caller, so every batch is followed by a grace period at
/// once, and what a batch retires is released by the next sweep.
#[derive(Debug)]
pub struct Fake {
    sizes: Sizes,
    writer: Writer<Vec<u32>>,
    links: Vec<([u32; 2], [Bank; 2])>,
    retired: Vec<Class>,
    attached: bool,
}

impl Fake {
    /// Links by number, from 0 on, each counting by hook the sides of these bit sets ([`Side::bit`]); a FIB without
    /// routes.
    #[must_use]
    pub fn new(sizes: &Sizes, links: &[[u32; 2]]) -> Self {
        Self {
            sizes: *sizes,
            writer: Writer::new(FibMemory::new(sizes)).limit_classes(sizes.classes),
            links: links.iter().map(|&sides| (sides, Default::default())).collect(),
            retired: Vec::new(),
            attached: true,
        }
    }

    /// A frame, from its Ethernet header on, is seen `packets` times. Nothing is counted on a link that is not
    /// there, or after [`Datapath::detach`].
    pub fn frame(&mut self, link: LinkId, hook: Hook, frame: &[u8], packets: u64) {
        let bytes = frame.len() as u64 * packets;
        self.super_frame(link, hook, frame, Counter { packets, bytes });
    }

    /// A frame is seen that becomes, or stands for, these packets and bytes on the wire.
    pub fn super_frame(&mut self, link: LinkId, hook: Hook, frame: &[u8], wire: Counter) {
        let Some((sides, banks)) = self.links.get_mut(usize::from(link.0)).filter(|_| self.attached) else {
            return;
        };
        let Some(bank) = banks.get_mut(hook as usize) else { return };
        let packet = parse::parse(&Bytes::new(frame), None).packet;
        let outcome = match packet {
            Ok(Packet::V4 { .. }) => Outcome::Ipv4,
            Ok(Packet::V6 { .. }) => Outcome::Ipv6,
            Err(End::NonIp) => Outcome::NonIp,
            // The whole frame is here: none is cut.
            Err(End::Malformed | End::Cut) => Outcome::Malformed,
            Err(End::Unsupported) => Outcome::Unsupported,
        };
        bank.outcomes[outcome as usize] += wire;
        let Ok(packet) = packet else { return };
        let memory = self.writer.memory();
        for side in Side::ALL {
            if sides[hook as usize] & side.bit() == 0 {
                continue;
            }
            let class = match (packet, side) {
                (Packet::V4 { source, .. }, Side::Source) => fib::lookup_v4(memory, source),
                (Packet::V4 { destination, .. }, Side::Destination) => fib::lookup_v4(memory, destination),
                (Packet::V6 { source, .. }, Side::Source) => fib::lookup_v6(memory, &source),
                (Packet::V6 { destination, .. }, Side::Destination) => fib::lookup_v6(memory, &destination),
            };
            *bank.sides[side as usize].entry(class).or_default() += wire;
        }
    }

    /// The FIB, to look up in and to see how full it is.
    #[must_use]
    pub const fn writer(&self) -> &Writer<Vec<u32>> {
        &self.writer
    }
}

impl Datapath for Fake {
    fn apply(&mut self, batch: &Batch) -> Result<Applied, DatapathError> {
        if let Some(&class) =
            batch.retired.iter().find(|&&class| class <= UNMATCHED_V6 || class >= self.sizes.classes)
        {
            return Err(DatapathError::ClassOutOfRange { class, classes: self.sizes.classes });
        }
        let words_written = self.writer.apply(&batch.deltas)?;
        // No lookup is under way.
        self.writer.seal();
        self.writer.reclaim();
        self.retired.extend(&batch.retired);
        Ok(Applied { words_written })
    }

    fn resize(&mut self, sizes: &Sizes) -> Result<(), DatapathError> {
        if sizes.classes < self.sizes.classes {
            let (class, classes) = (self.sizes.classes - 1, sizes.classes);
            return Err(DatapathError::ClassOutOfRange { class, classes });
        }
        self.writer = self.writer.moved(FibMemory::new(sizes))?.limit_classes(sizes.classes);
        self.sizes = *sizes;
        Ok(())
    }

    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn sweep(&mut self) -> Result<Sweep, DatapathError> {
        let (at, began) = (SystemTime::now(), Instant::now());
        let links = (0..)
            .zip(&mut self.links)
            .map(|(number, (wanted, banks))| LinkSweep {
                link: LinkId(number),
                hooks: Hook::ALL.map(|hook| {
                    let bank = &mut banks[hook as usize];
                    Some(HookSweep {
                        outcomes: bank.outcomes,
                        sides: Side::ALL.map(|side| {
                            let counted = std::mem::take(&mut bank.sides[side as usize]);
                            (wanted[hook as usize] & side.bit() != 0).then(|| {
                                counted.into_iter().filter(|(_, counter)| !counter.is_zero()).collect()
                            })
                        }),
                    })
                }),
            })
            .collect();
        let released = std::mem::take(&mut self.retired);
        Ok(Sweep { at, took: began.elapsed(), links, released })
    }

    fn attachments(&self) -> Vec<Attachment> {
        let modes = if self.attached { [Some(Mode::Native), Some(Mode::Tcx)] } else { [None; 2] };
        (0..).zip(&self.links).map(|(number, _)| Attachment { link: LinkId(number), modes }).collect()
    }

    fn memory(&self) -> Memory {
        let memory = self.writer.memory();
        let words: usize = [
            &memory.v4_root,
            &memory.v4_rows,
            &memory.v6_root,
            &memory.v6_other,
            &memory.v6_rows,
            &memory.v6_nodes,
        ]
        .map(Vec::len)
        .iter()
        .sum();
        Memory {
            fib_bytes: words as u64 * 4,
            bank_bytes: self.sizes.bank_bytes(1, 2) * self.links.len() as u64,
        }
    }

    fn detach(&mut self) -> Result<(), DatapathError> {
        self.attached = false;
        Ok(())
    }
}

#[cfg(test)]
#[path = "fake_tests.rs"]
mod tests;
