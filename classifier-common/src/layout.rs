//! Compile-time asserts: the kernel and the agent see the same bytes.

use core::mem::{align_of, offset_of, size_of};

use crate::{
    abi::{DIRTY_BLOCK, HookSlice, MAX_LINKS, Port, SideSlice, VlanTable},
    counter::Counter,
    fib::{NODE_FANOUT, NODE_WORDS, Word},
};

const _: () = {
    assert!(size_of::<Counter>() == 16 && align_of::<Counter>() == 8);
    assert!(offset_of!(Counter, packets) == 0 && offset_of!(Counter, bytes) == 8);
    // Two cache lines a CPU: none of them is another one's.
    assert!(size_of::<HookSlice>() == 128 && align_of::<HookSlice>() == 8);
    assert!(offset_of!(HookSlice, outcomes) == 0 && offset_of!(HookSlice, sides) == 80);
    assert!(offset_of!(HookSlice, shared) == 104 && offset_of!(HookSlice, reserved) == 108);
    assert!(size_of::<SideSlice>() == 12 && offset_of!(SideSlice, classes) == 0);
    assert!(offset_of!(SideSlice, first) == 4 && offset_of!(SideSlice, dirty) == 8);
    assert!(size_of::<Port>() == 8 && align_of::<Port>() == 2);
    assert!(offset_of!(Port, link) == 0 && offset_of!(Port, trunk) == 2);
    assert!(offset_of!(Port, extra_bytes) == 4 && offset_of!(Port, reserved) == 6);
    assert!(MAX_LINKS < 0xff && size_of::<VlanTable>() == 8192);
    assert!(size_of::<Word>() == 4);
    // A node is one cache line; a dirty byte covers whole ones.
    assert!(NODE_WORDS * size_of::<u32>() == 64 && 2 * NODE_FANOUT == NODE_WORDS);
    assert!((DIRTY_BLOCK as usize * size_of::<Counter>()).is_multiple_of(64));
};

// SAFETY: `repr(C)`, integers only, no padding (asserted above).
#[cfg(feature = "user")]
mod pod {
    // SAFETY: as the module says.
    unsafe impl aya::Pod for super::Port {}
    // SAFETY: as the module says.
    unsafe impl aya::Pod for super::Counter {}
    // SAFETY: as the module says.
    unsafe impl aya::Pod for super::HookSlice {}
}
