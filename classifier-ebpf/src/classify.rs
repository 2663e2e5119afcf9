//! Parse, look up, count. Nothing here can fail in a way that matters to the frame.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use classifier_common::{
    abi::{self, BankLayout, DIRTY_BLOCK, Hook, LinkRef, Port, Side},
    counter::{Counter, Outcome},
    fib::{Class, lookup_v4, lookup_v6},
    parse::{End, Frame, Packet, Parsed, parse},
};

use crate::{
    frame::{Context, Wire},
    maps::{self, Banks, Fib},
};

/// Accounts one frame: on no link, nothing happens.
#[inline(always)]
pub(crate) fn account<B: Banks, C: Context>(ctx: &C, hook: Hook) {
    let Some(port) = maps::port(ctx.ifindex()) else { return };
    if port.link == LinkRef::NONE && port.trunk == 0 {
        return;
    }
    let linear = ctx.linear();
    let mut parsed = parse(&linear, ctx.outer());
    let wire;
    if parsed.packet == Err(End::Cut) {
        // The linear part ends before the headers do: some drivers leave it empty.
        if let Some(head) = ctx.head(linear.len()) {
            parsed = parse(&head, ctx.outer());
            wire = ctx.wire(&head, &parsed);
        } else {
            wire = ctx.wire(&linear, &parsed);
        }
    } else {
        wire = ctx.wire(&linear, &parsed);
    }
    count::<B>(port, hook, &parsed, &wire);
}

/// The link of a frame in this VLAN.
#[inline(always)]
fn link_of(port: &Port, vlan: u16) -> LinkRef {
    if port.trunk != 0
        && vlan != 0
        && let Some(table) = maps::vlan_table(u32::from(port.trunk) - 1)
    {
        let link = table[vlan as usize % abi::VLAN_IDS];
        if link != LinkRef::NONE {
            return link;
        }
    }
    port.link
}

#[inline(always)]
fn count<B: Banks>(port: &Port, hook: Hook, parsed: &Parsed, wire: &Wire) {
    let link_ref = link_of(port, parsed.vlan);
    let Some(link) = link_ref.link() else { return };
    let wanted = link_ref.sides(hook) & maps::sides();
    let bytes = wire.bytes + u32::from(port.extra_bytes) * wire.packets;
    let bank = Bank::of_this_cpu(link, hook, wire.packets, bytes);
    // The outcome before the classes: whoever reads the classes first never finds more there.
    match parsed.packet {
        Ok(Packet::V4 { source, destination }) => {
            bank.outcome(Outcome::Ipv4);
            bank.classes::<B>(wanted, || lookup_v4(&Fib, destination), || lookup_v4(&Fib, source));
        }
        Ok(Packet::V6 { source, destination }) => {
            bank.outcome(Outcome::Ipv6);
            bank.classes::<B>(wanted, || lookup_v6(&Fib, &destination), || lookup_v6(&Fib, &source));
        }
        Err(End::NonIp) => bank.outcome(Outcome::NonIp),
        Err(End::Malformed) => bank.outcome(Outcome::Malformed),
        Err(End::Unsupported | End::Cut) => bank.outcome(Outcome::Unsupported),
    }
}

/// Where this CPU counts for a link.
struct Bank {
    link: u32,
    hook: Hook,
    slice: u32,
    layout: BankLayout,
    packets: u64,
    bytes: u64,
}

impl Bank {
    #[inline(always)]
    fn of_this_cpu(link: u32, hook: Hook, packets: u32, bytes: u32) -> Self {
        // SAFETY: a helper without preconditions.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        let layout = maps::layout();
        // CPUs that came after the maps share the spare slice.
        let slice = if cpu < layout.slices { cpu } else { layout.slices };
        Self { link, hook, slice, layout, packets: u64::from(packets), bytes: u64::from(bytes) }
    }

    #[inline(always)]
    fn add(&self, counter: *mut Counter) {
        if self.slice < self.layout.slices {
            // SAFETY: the map's element; only this CPU writes this slice, and it does not migrate while the
            // program runs.
            unsafe {
                (*counter).packets = (*counter).packets.wrapping_add(self.packets);
                (*counter).bytes = (*counter).bytes.wrapping_add(self.bytes);
            }
        } else {
            // SAFETY: the map's element; 8-byte aligned.
            unsafe {
                atomic_add(&raw mut (*counter).packets, self.packets);
                atomic_add(&raw mut (*counter).bytes, self.bytes);
            }
        }
    }

    #[inline(always)]
    fn outcome(&self, outcome: Outcome) {
        let index = abi::outcome_index(self.link, self.hook, self.slice, self.layout.slices);
        if let Some(outcomes) = maps::outcomes(index) {
            // SAFETY: the map's element; an outcome is below its length.
            self.add(unsafe { (&raw mut (*outcomes)[outcome as usize]).cast() });
        }
    }

    /// Counts the sides that are wanted. Both are looked up before either is counted: the CPU then waits for the
    /// cache misses of the two lookups together.
    #[inline(always)]
    fn classes<B: Banks>(
        &self,
        wanted: u32,
        destination: impl FnOnce() -> Class,
        source: impl FnOnce() -> Class,
    ) {
        let destination = if wanted & Side::Destination.bit() != 0 { destination() } else { NO_CLASS };
        let source = if wanted & Side::Source.bit() != 0 { source() } else { NO_CLASS };
        self.class::<B>(Side::Destination, destination);
        self.class::<B>(Side::Source, source);
    }

    #[inline(always)]
    fn class<B: Banks>(&self, side: Side, class: Class) {
        if class >= self.layout.classes {
            return;
        }
        let base = self.layout.base(self.hook, side, self.slice);
        if let Some(counter) = B::counter(self.link, base + class) {
            self.add(counter);
            self.mark::<B>(base, class);
        }
    }

    /// Says that a class's block was counted into. After the count: who clears the mark and then reads the block
    /// misses nothing.
    #[inline(always)]
    fn mark<B: Banks>(&self, base: u32, class: Class) {
        let block = class / DIRTY_BLOCK;
        if let Some(bytes) = B::counter(self.link, self.layout.dirty(base) + block / 16) {
            // SAFETY: the map's element is sixteen bytes, all of them dirty bytes here.
            unsafe { *bytes.cast::<u8>().add(block as usize % 16) = 1 };
        }
    }
}

/// Beyond every bank.
const NO_CLASS: Class = Class::MAX;

/// `AtomicU64` does not exist for BPF; this is `BPF_ATOMIC | BPF_ADD`.
///
/// # Safety
/// `to` is a valid, 8-byte aligned pointer into a map's value.
#[inline(always)]
unsafe fn atomic_add(to: *mut u64, value: u64) {
    // SAFETY: as the function says.
    unsafe {
        core::arch::asm!("lock *(u64 *)({to} + 0) += {value}", to = in(reg) to, value = in(reg) value);
    }
}
