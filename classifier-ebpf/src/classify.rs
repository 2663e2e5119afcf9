//! Parse, look up, count. Nothing here can fail in a way that matters to the frame.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use classifier_common::{
    abi::{self, DIRTY_BLOCK, Hook, HookSlice, LinkRef, Port, Side},
    counter::{Counter, Outcome},
    fib::{Class, lookup_v4, lookup_v6},
    parse::{End, Frame, Packet, Parsed, parse, plain},
};

use crate::{
    frame::{Context, Wire, unknown},
    maps::{self, Fib},
};

/// Accounts one frame: on no link, nothing happens.
#[inline(always)]
pub(crate) fn account<C: Context>(ctx: &C, hook: Hook) {
    let Some(port) = maps::port(ctx.ifindex()) else { return };
    if port.link == LinkRef::NONE && port.trunk == 0 {
        return;
    }
    let linear = ctx.linear();
    match plain(&linear, ctx.outer()) {
        Some(parsed) => count(port, hook, &parsed, &ctx.wire(&linear, &parsed)),
        None => account_any(ctx, port, hook),
    }
}

/// Accounts a frame of any kind. A function of its own: what it has in common with the plain frames' way would go
/// through the stack for those, too.
#[inline(never)]
fn account_any<C: Context>(ctx: &C, port: &Port, hook: Hook) {
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
    count(port, hook, &parsed, &wire);
}

/// The link of a frame in this VLAN.
#[inline(always)]
fn link_of(port: &Port, vlan: u16) -> LinkRef {
    if port.trunk != 0
        && vlan != 0
        && let Some(table) = maps::vlan_table(u32::from(port.trunk) - 1)
    {
        // The parser's mask was lost on the verifier of Linux 6.1.
        let link = table[unknown(u64::from(vlan)) as usize % abi::VLAN_IDS];
        if link != LinkRef::NONE {
            return link;
        }
    }
    port.link
}

#[inline(always)]
fn count(port: &Port, hook: Hook, parsed: &Parsed, wire: &Wire) {
    let Some(link) = link_of(port, parsed.vlan).link() else { return };
    // A side that no link counts is known when the program is loaded, and costs nothing.
    let sides = maps::sides();
    // The lookups come first and the counters last, with all that misses no cache in between: the CPU waits for both
    // sides at once, and goes on with the next frame while it waits for the counters.
    let (outcome, [destination, source]) = match parsed.packet {
        Ok(Packet::V4 { source, destination }) => {
            (Outcome::Ipv4, classes(sides, || lookup_v4(&Fib, destination), || lookup_v4(&Fib, source)))
        }
        Ok(Packet::V6 { source, destination }) => {
            (Outcome::Ipv6, classes(sides, || lookup_v6(&Fib, &destination), || lookup_v6(&Fib, &source)))
        }
        Err(End::NonIp) => (Outcome::NonIp, NO_CLASSES),
        Err(End::Malformed) => (Outcome::Malformed, NO_CLASSES),
        Err(End::Unsupported | End::Cut) => (Outcome::Unsupported, NO_CLASSES),
    };
    let bytes = wire.bytes + u32::from(port.extra_bytes) * wire.packets;
    let Some(here) = Here::of_this_cpu(link, hook, wire.packets, bytes) else { return };
    // The outcome before the classes: whoever reads the classes first never finds more there.
    here.outcome(outcome);
    if sides & Side::Destination.bit() != 0 {
        here.class(Side::Destination, destination);
    }
    if sides & Side::Source.bit() != 0 {
        here.class(Side::Source, source);
    }
}

/// Beyond every bank, by [`Side`].
const NO_CLASSES: [Class; 2] = [Class::MAX; 2];

/// The classes of the sides that are wanted.
#[inline(always)]
fn classes(sides: u32, destination: impl FnOnce() -> Class, source: impl FnOnce() -> Class) -> [Class; 2] {
    let [mut to, mut from] = NO_CLASSES;
    if sides & Side::Destination.bit() != 0 {
        to = destination();
    }
    if sides & Side::Source.bit() != 0 {
        from = source();
    }
    [to, from]
}

/// Where this CPU counts at a hook of a link, and what.
struct Here {
    slice: *mut HookSlice,
    shared: bool,
    packets: u64,
    bytes: u64,
}

impl Here {
    #[inline(always)]
    fn of_this_cpu(link: u32, hook: Hook, packets: u32, bytes: u32) -> Option<Self> {
        // SAFETY: a helper without preconditions.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        let slices = maps::slices();
        // CPUs that came after the maps share the spare slice.
        let slice = if cpu < slices { cpu } else { slices };
        let slice = maps::hook_slice(abi::hook_slice_index(link, hook, slice, slices))?;
        // SAFETY: the map's element; the agent writes this field before it attaches the program.
        let shared = unsafe { (*slice).shared } != 0;
        Some(Self { slice, shared, packets: u64::from(packets), bytes: u64::from(bytes) })
    }

    #[inline(always)]
    fn add(&self, counter: *mut Counter) {
        if self.shared {
            // SAFETY: the map's element; 8-byte aligned.
            unsafe {
                atomic_add(&raw mut (*counter).packets, self.packets);
                atomic_add(&raw mut (*counter).bytes, self.bytes);
            }
        } else {
            // SAFETY: the map's element; only this CPU writes this slice, and it does not migrate while the
            // program runs.
            unsafe {
                (*counter).packets = (*counter).packets.wrapping_add(self.packets);
                (*counter).bytes = (*counter).bytes.wrapping_add(self.bytes);
            }
        }
    }

    #[inline(always)]
    fn outcome(&self, outcome: Outcome) {
        // SAFETY: the map's element; an outcome is below the array's length.
        self.add(unsafe { &raw mut (*self.slice).outcomes[outcome as usize] });
    }

    #[inline(always)]
    fn class(&self, side: Side, class: Class) {
        // SAFETY: the map's element, written as above; a side is below the array's length.
        let side = unsafe { (*self.slice).sides[side as usize] };
        if class >= side.classes {
            return;
        }
        if let Some(counter) = maps::counter(side.first + class) {
            self.add(counter);
        }
        // After the count: who clears the mark and then reads the block misses nothing.
        let block = class / DIRTY_BLOCK;
        if let Some(bytes) = maps::counter(side.dirty + block / 16) {
            // SAFETY: the map's element is sixteen bytes, all of them dirty bytes here.
            unsafe { *bytes.cast::<u8>().add(block as usize % 16) = 1 };
        }
    }
}

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
