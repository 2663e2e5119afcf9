//! Sends a mix of frames through a raw socket, and knows exactly what it sent.
//!
//! A frame that the kernel took can still be dropped on its way into the other namespace: the ring of a veth with XDP
//! holds 256. So no more than half of that is ever on the way, by the receiving interface's own counter; what is sent
//! arrives, at any pace, on any machine.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    lab::{Counters, CountersFile},
    mix::Mix,
    random::Random,
};
use crate::sys::PacketSocket;

/// Frames sent that have not arrived; `VETH_RING_SIZE` in the kernel is 256.
const WINDOW: u64 = 128;
/// Bytes.
const ETHERNET_HEADER: u64 = 14;
/// How long a frame may be on its way before it is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Packets and bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

impl std::ops::Add for Count {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl std::iter::Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), std::ops::Add::add)
    }
}

/// One direction's totals while it is being sent, for whoever shows them.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Sent {
    pub(crate) fn count(&self) -> Count {
        Count { packets: self.packets.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

/// One direction's sender.
pub(crate) struct Generator<'a> {
    pub(crate) mix: Mix<'a>,
    pub(crate) random: Random,
    pub(crate) socket: PacketSocket,
    /// The interface at the other end.
    pub(crate) receiver: CountersFile,
    /// Frames a second.
    pub(crate) rate: u32,
}

impl Generator<'_> {
    /// Sends until told to stop, or until so many frames, and waits for the last to arrive. Returns what was sent, by
    /// AS: as many entries as there are ASes.
    pub(crate) fn run(
        mut self,
        ases: usize,
        frames: Option<u64>,
        stop: &AtomicBool,
        sent: &Sent,
    ) -> Result<Vec<Count>> {
        let mut tally = vec![Count::default(); ases];
        let mut batch: Vec<(usize, Vec<u8>)> = vec![(0, Vec::new()); PacketSocket::BATCH];
        let before = self.receiver.read()?;
        let since = Instant::now();
        // Frames given up because the machine was too slow for the rate: no burst makes up for them.
        let mut skipped = 0;
        while !stop.load(Ordering::Relaxed) {
            let done = sent.count().packets;
            let left = frames.map_or(u64::MAX, |frames| frames.saturating_sub(done));
            if left == 0 {
                break;
            }
            let due = (since.elapsed().as_secs_f64() * f64::from(self.rate)) as u64;
            let owed = due.saturating_sub(done + skipped);
            let most = PacketSocket::BATCH as u64;
            let number = owed.min(most).min(left);
            if number == 0 {
                thread::sleep(Duration::from_micros(500));
                continue;
            }
            skipped += owed.saturating_sub(u64::from(self.rate / 10).max(most));
            for (index, frame) in batch.iter_mut().take(number as usize) {
                let (drawn, description) = self.mix.draw(&mut self.random)?;
                *index = drawn;
                description.write(frame);
            }
            self.wait_for_arrivals(&before, done, WINDOW - number)?;
            let mut rest = batch.get(..number as usize).unwrap_or_default();
            while !rest.is_empty() {
                let taken = self.socket.send(rest.iter().map(|(_, frame)| frame.as_slice())).context(
                    "the kernel refused a frame; whether it was counted before that cannot be known",
                )?;
                for (index, frame) in rest.iter().take(taken) {
                    let count = Count { packets: 1, bytes: frame.len() as u64 };
                    tally[*index] += count;
                    sent.packets.fetch_add(1, Ordering::Relaxed);
                    sent.bytes.fetch_add(count.bytes, Ordering::Relaxed);
                }
                rest = rest.get(taken..).unwrap_or_default();
            }
        }
        let sent = sent.count();
        self.wait_for_arrivals(&before, sent.packets, 0)?;
        let bytes = self.receiver.read()?.rx_bytes - before.rx_bytes;
        // Where an XDP program receives, a veth device counts what is left when the Ethernet header has been taken off.
        let headers = sent.packets * ETHERNET_HEADER;
        ensure!(
            [bytes, bytes + headers].contains(&sent.bytes),
            "{} bytes were sent, and {bytes} have arrived",
            sent.bytes
        );
        Ok(tally)
    }

    /// Waits until at most so many frames are on the way.
    fn wait_for_arrivals(&self, before: &Counters, sent: u64, most: u64) -> Result<()> {
        let since = Instant::now();
        loop {
            let now = self.receiver.read()?;
            let arrived = now.rx_packets - before.rx_packets;
            if arrived > sent {
                bail!(
                    "{arrived} frames arrived where {sent} were sent: something else sends on the demo's link"
                );
            }
            if sent - arrived <= most {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                let dropped = now.rx_dropped - before.rx_dropped;
                bail!(
                    "{} frames were lost between the namespaces ({dropped} dropped by the receiver)",
                    sent - arrived
                );
            }
            thread::sleep(Duration::from_micros(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::{Count, Generator, Sent};
    use crate::{
        demo::{
            Direction,
            lab::{Counters, CountersFile, INTERNET_INTERFACE, Lab, ROUTER_INTERFACE, in_namespace},
            mix::Mix,
            random::Random,
            routes,
        },
        sys::PacketSocket,
    };

    /// Needs root.
    #[test]
    fn kernel_all_that_is_sent_arrives_and_nothing_else() {
        const FRAMES: u64 = 20_000;
        let table = "45.57.0.0/17,2906,Netflix\n2a00:86c0::/32,2906,Netflix\n8.8.8.0/24,15169,Google\n";
        let ases = routes::parse(table.as_bytes()).unwrap().ases().unwrap();
        let lab = Lab::new().unwrap();
        let ends = [
            (Direction::In, &lab.internet, INTERNET_INTERFACE, &lab.router, ROUTER_INTERFACE),
            (Direction::Out, &lab.router, ROUTER_INTERFACE, &lab.internet, INTERNET_INTERFACE),
        ];
        let mut totals = Vec::new();
        for (direction, from, interface, to, peer) in ends {
            let sender = CountersFile::open(from, interface).unwrap();
            let receiver = CountersFile::open(to, peer).unwrap();
            let before = (sender.read().unwrap(), receiver.read().unwrap());
            let generator = Generator {
                mix: Mix::new(direction, &ases).unwrap(),
                random: Random(1),
                socket: in_namespace(from, || Ok(PacketSocket::open(interface)?)).unwrap(),
                receiver: CountersFile::open(to, peer).unwrap(),
                rate: 1_000_000,
            };
            let sent = Sent::default();
            let tally = generator.run(ases.len(), Some(FRAMES), &AtomicBool::new(false), &sent).unwrap();
            let total: Count = tally.iter().copied().sum();
            assert_eq!(total, sent.count());
            assert_eq!(total.packets, FRAMES);
            assert!(tally.iter().all(|count| count.packets > 0));
            // Without XDP on the receiver both ends count whole frames.
            let after = (sender.read().unwrap(), receiver.read().unwrap());
            assert_eq!(after.0.tx_packets - before.0.tx_packets, total.packets);
            assert_eq!(after.0.tx_bytes - before.0.tx_bytes, total.bytes);
            assert_eq!(after.1.rx_packets - before.1.rx_packets, total.packets);
            assert_eq!(after.1.rx_bytes - before.1.rx_bytes, total.bytes);
            totals.push((after.0, total));
        }
        // The two runs are all that was ever on the link.
        let end = CountersFile::open(&lab.router, ROUTER_INTERFACE).unwrap().read().unwrap();
        assert_eq!(
            end,
            Counters {
                rx_bytes: totals[0].1.bytes,
                rx_packets: FRAMES,
                rx_dropped: end.rx_dropped,
                tx_bytes: totals[1].1.bytes,
                tx_packets: FRAMES,
                tx_dropped: 0,
            }
        );
    }
}
