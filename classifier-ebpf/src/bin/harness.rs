//! Programs that only tests and benchmarks load: a frame's tag put into metadata, lookups and whole programs over
//! keys that change with every run, and what a straightforward program would do instead.
//!
//! `BPF_PROG_TEST_RUN` gives the same frame each time, and one frame's addresses would be answered from the first
//! cache. So each run takes new addresses from a map. What that costs is in the `*_nothing` programs, too.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

#[path = "../classify.rs"]
mod classify;
#[path = "../entry.rs"]
mod entry;
#[path = "../frame.rs"]
mod frame;
#[path = "../maps.rs"]
mod maps;

use aya_ebpf::{
    bindings::{
        tcx_action_base::{TCX_DROP, TCX_NEXT, TCX_PASS},
        xdp_action::{XDP_DROP, XDP_PASS},
    },
    btf_maps::{Array, LpmTrie, PerCpuArray, lpm_trie::Key},
    helpers::generated::{bpf_redirect, bpf_skb_vlan_push},
    macros::{btf_map, classifier, xdp},
    programs::{TcContext, XdpContext},
};
use classifier_common::{
    abi::Hook,
    counter::Counter,
    fib::{lookup_v4, lookup_v6},
};
use maps::Fib;

/// Lookups in one run of a lookup program.
const BATCH: usize = 16;
/// IPv4 keys, 64 to an entry.
const LINES: usize = 1 << 14;
/// Keys of an entry: 64 IPv4 addresses, or 16 IPv6 ones.
type Keys = [u32; 64];

#[btf_map]
static KEYS4: Array<Keys, LINES> = Array::new();
#[btf_map]
static KEYS6: Array<Keys, LINES> = Array::new();
/// The place in the keys, and a sum that keeps the lookups from being optimised away.
#[btf_map]
static STATE: Array<[u32; 2], 1> = Array::new();
#[btf_map]
static TRIE4: LpmTrie<[u8; 4], u32, { 1 << 21 }, NO_PREALLOC> = LpmTrie::new();
#[btf_map]
static TRIE6: LpmTrie<[u8; 16], u32, { 1 << 20 }, NO_PREALLOC> = LpmTrie::new();
#[btf_map]
static NAIVE_SRC: PerCpuArray<Counter, 1> = PerCpuArray::new();
#[btf_map]
static NAIVE_DST: PerCpuArray<Counter, 1> = PerCpuArray::new();
/// `BPF_F_NO_PREALLOC`, which tries require.
const NO_PREALLOC: usize = 1;

#[inline(always)]
fn next_place() -> Option<u32> {
    let state = STATE.get_ptr_mut(0)?;
    // SAFETY: the map's only element; benchmarks run one program at a time.
    unsafe {
        (*state)[0] = (*state)[0].wrapping_add(1);
        Some((*state)[0])
    }
}

#[inline(always)]
fn keep(sum: u32) {
    if let Some(state) = STATE.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { (*state)[1] ^= sum };
    }
}

/// Looks up a run's batch of IPv4 keys with `one`.
#[inline(always)]
fn batch4(one: impl Fn(u32) -> u32) -> u32 {
    let Some(place) = next_place() else { return XDP_PASS };
    let Some(keys) = KEYS4.get(place / 4 % LINES as u32) else { return XDP_PASS };
    let mut sum = 0;
    for i in 0..BATCH {
        sum ^= one(keys[(place as usize % 4 * BATCH + i) % 64]);
    }
    keep(sum);
    XDP_PASS
}

/// Looks up a run's batch of IPv6 keys with `one`.
#[inline(always)]
fn batch6(one: impl Fn(&[u32; 4]) -> u32) -> u32 {
    let Some(place) = next_place() else { return XDP_PASS };
    let Some(keys) = KEYS6.get(place % LINES as u32) else { return XDP_PASS };
    let mut sum = 0;
    for i in 0..BATCH {
        sum ^= one(&[keys[4 * i], keys[4 * i + 1], keys[4 * i + 2], keys[4 * i + 3]]);
    }
    keep(sum);
    XDP_PASS
}

#[inline(always)]
fn trie4(address: u32) -> u32 {
    TRIE4.get(&Key::new(32, address.to_be_bytes())).copied().unwrap_or(0)
}

#[inline(always)]
fn trie6(address: &[u32; 4]) -> u32 {
    let [a, b, c, d] = address.map(u32::to_be);
    // SAFETY: sixteen bytes either way.
    let bytes = unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>([a, b, c, d]) };
    TRIE6.get(&Key::new(128, bytes)).copied().unwrap_or(1)
}

#[xdp]
fn lookup4_nothing(_: XdpContext) -> u32 {
    batch4(|key| key)
}

#[xdp]
fn lookup4_fib(_: XdpContext) -> u32 {
    batch4(|key| lookup_v4(&Fib, key))
}

#[xdp]
fn lookup4_trie(_: XdpContext) -> u32 {
    batch4(trie4)
}

#[xdp]
fn lookup6_nothing(_: XdpContext) -> u32 {
    batch6(|key| key[3])
}

#[xdp]
fn lookup6_fib(_: XdpContext) -> u32 {
    batch6(|key| lookup_v6(&Fib, key))
}

#[xdp]
fn lookup6_trie(_: XdpContext) -> u32 {
    batch6(trie6)
}

/// Gives the frame (Ethernet, IPv4) the next two addresses.
#[inline(always)]
fn readdress(ctx: &XdpContext) -> Option<(u32, u32)> {
    let place = next_place()?;
    let keys = KEYS4.get(place / 32 % LINES as u32)?;
    let source = keys[place as usize % 32 * 2];
    let destination = keys[place as usize % 32 * 2 + 1];
    let data = ctx.data();
    if data + 34 > ctx.data_end() {
        return None;
    }
    // SAFETY: within the frame, checked above.
    unsafe {
        *((data + 26) as *mut u32) = source.to_be();
        *((data + 30) as *mut u32) = destination.to_be();
    }
    Some((source, destination))
}

/// Gives the frame (Ethernet, IPv6) the next two addresses.
#[inline(always)]
fn readdress6(ctx: &XdpContext) -> Option<u32> {
    let place = next_place()?;
    let keys = KEYS6.get(place / 8 % LINES as u32)?;
    let pair = place as usize % 8 * 8;
    let data = ctx.data();
    if data + 54 > ctx.data_end() {
        return None;
    }
    let mut sum = 0;
    for i in 0..8 {
        let word = keys[(pair + i) % 64];
        sum ^= word;
        // SAFETY: within the frame, checked above.
        unsafe { *((data + 22 + 4 * i) as *mut u32) = word.to_be() };
    }
    Some(sum)
}

#[xdp]
fn packet6_nothing(ctx: XdpContext) -> u32 {
    if let Some(sum) = readdress6(&ctx) {
        keep(sum);
    }
    XDP_PASS
}

#[xdp]
fn packet6_ours(ctx: XdpContext) -> u32 {
    if let Some(sum) = readdress6(&ctx) {
        keep(sum);
    }
    classify::account(&ctx, Hook::Rx);
    XDP_PASS
}

#[xdp]
fn packet_nothing(ctx: XdpContext) -> u32 {
    if let Some((source, destination)) = readdress(&ctx) {
        keep(source ^ destination);
    }
    XDP_PASS
}

#[xdp]
fn packet_ours(ctx: XdpContext) -> u32 {
    if let Some((source, destination)) = readdress(&ctx) {
        keep(source ^ destination);
    }
    classify::account(&ctx, Hook::Rx);
    XDP_PASS
}

/// What one would write first: the kernel's trie, and per-CPU arrays.
#[inline(always)]
fn naive(ctx: &XdpContext) -> Option<()> {
    let (data, end) = (ctx.data(), ctx.data_end());
    if data + 34 > end {
        return None;
    }
    // SAFETY: within the frame, checked above.
    let (kind, source, destination) = unsafe {
        (
            u16::from_be(*((data + 12) as *const u16)),
            u32::from_be(*((data + 26) as *const u32)),
            u32::from_be(*((data + 30) as *const u32)),
        )
    };
    if kind != 0x0800 {
        return None;
    }
    let bytes = (end - data) as u64;
    for (counters, address) in [(&NAIVE_DST, destination), (&NAIVE_SRC, source)] {
        let counter = counters.get_ptr_mut(trie4(address))?;
        // SAFETY: this CPU's element.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += bytes;
        }
    }
    Some(())
}

#[xdp]
fn packet_naive(ctx: XdpContext) -> u32 {
    if let Some((source, destination)) = readdress(&ctx) {
        keep(source ^ destination);
    }
    naive(&ctx);
    XDP_PASS
}

/// Gives the frame the next two addresses and sends it out of the interface whose index its source MAC begins with.
#[xdp]
fn wire_send(ctx: XdpContext) -> u32 {
    let _ = readdress(&ctx);
    let data = ctx.data();
    if data + 10 > ctx.data_end() {
        return XDP_DROP;
    }
    // SAFETY: within the frame, checked above; a helper without preconditions.
    unsafe { bpf_redirect(*((data + 6) as *const u32), 0) as u32 }
}

#[xdp(frags)]
fn wire_nothing(_: XdpContext) -> u32 {
    XDP_PASS
}

#[xdp(frags)]
fn wire_naive(ctx: XdpContext) -> u32 {
    naive(&ctx);
    XDP_PASS
}

/// Tags every frame with VLAN 100, in skb metadata, as a VLAN device above the interface would.
#[classifier]
fn tag_100(ctx: TcContext) -> i32 {
    const TPID: u16 = 0x8100u16.to_be();
    // SAFETY: the context is valid while the program runs.
    unsafe { bpf_skb_vlan_push(ctx.skb.skb, TPID, 100) };
    TCX_NEXT
}

/// Accepts every frame, which ends the chain: nobody behind it sees one.
#[classifier]
fn tc_accept(_: TcContext) -> i32 {
    TCX_PASS
}

/// Drops every frame.
#[classifier]
fn tc_drop(_: TcContext) -> i32 {
    TCX_DROP
}
