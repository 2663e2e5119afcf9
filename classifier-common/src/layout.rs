//! Compile-time asserts: the kernel and the agent see the same bytes.

use core::mem::{align_of, offset_of, size_of};

use crate::{
    abi::{DIRTY_BLOCK, MAX_LINKS, Port, VlanTable},
    counter::{Counter, Outcomes},
    fib::{NODE_FANOUT, NODE_WORDS, Word},
};

const _: () = {
    assert!(size_of::<Counter>() == 16 && align_of::<Counter>() == 8);
    assert!(offset_of!(Counter, packets) == 0 && offset_of!(Counter, bytes) == 8);
    assert!(size_of::<Outcomes>() == 128);
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
}
