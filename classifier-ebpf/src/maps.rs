//! Every map and every load-time constant, nothing else. Entry counts of 1 are set by the agent before loading.

use aya_ebpf::{
    Global,
    btf_maps::{Array, ArrayOfMaps},
    macros::btf_map,
};
use classifier_common::{
    abi::{HookSlice, MAX_IFINDEX, MAX_TRUNKS, Port, VlanTable},
    counter::Counter,
    fib::{NODE_WORDS, ROW_WORDS, Read, V4_ROOT_WORDS, V6_OTHER_WORDS, V6_ROOT_WORDS},
};

/// `BPF_F_MMAPABLE`: the agent reads and writes the map's memory without system calls.
const MMAPABLE: usize = 1 << 10;
/// `BPF_F_INNER_MAP` (kernel 5.10): inner maps need not be of one size.
const INNER_MAP: usize = 1 << 12;

/// Words are packed sixteen to a value: a value of its own would cost eight bytes.
type Line = [u32; NODE_WORDS];
type Row = [u32; ROW_WORDS];

#[btf_map]
static FIB4_ROOT: Array<Line, { V4_ROOT_WORDS / 16 }, MMAPABLE> = Array::new();
#[btf_map]
static FIB4_ROWS: Array<Row, 1, MMAPABLE> = Array::new();
#[btf_map]
static FIB6_ROOT: Array<Line, { V6_ROOT_WORDS / 16 }, MMAPABLE> = Array::new();
#[btf_map]
static FIB6_OTHER: Array<Line, { V6_OTHER_WORDS / 16 }, MMAPABLE> = Array::new();
#[btf_map]
static FIB6_ROWS: Array<Row, 1, MMAPABLE> = Array::new();
#[btf_map]
static FIB6_NODES: Array<Line, 1, MMAPABLE> = Array::new();

#[btf_map]
static PORTS: Array<Port, { MAX_IFINDEX as usize }> = Array::new();
#[btf_map]
static VLANS: Array<VlanTable, { MAX_TRUNKS as usize }> = Array::new();

#[btf_map]
static HOOKS: Array<HookSlice, 1, MMAPABLE> = Array::new();
#[btf_map]
static BANKS: Array<Counter, 1, MMAPABLE> = Array::new();
/// One slot that no program reads: an update returns after a grace period, so after it no program run that began
/// before it goes on.
#[btf_map]
static GRACE: ArrayOfMaps<Filler, 1> = ArrayOfMaps::new();

/// What is put there. From the object, as the slot's template: with another BTF, or none, Linux 6.1 does not take it.
#[btf_map]
static FILLER: Filler = Array::new();

/// Any map.
type Filler = Array<Counter, 1, { MMAPABLE | INNER_MAP }>;

#[unsafe(no_mangle)]
static SLICES: Global<u32> = Global::new(1);
#[unsafe(no_mangle)]
static SIDES: Global<u32> = Global::new(3);

/// CPUs with a slice of their own.
#[inline(always)]
pub(crate) fn slices() -> u32 {
    SLICES.load()
}

/// Sides that any link counts.
#[inline(always)]
pub(crate) fn sides() -> u32 {
    SIDES.load()
}

/// The interface's port.
#[inline(always)]
pub(crate) fn port(ifindex: u32) -> Option<&'static Port> {
    PORTS.get(ifindex)
}

/// A trunk's VLAN table.
#[inline(always)]
pub(crate) fn vlan_table(trunk: u32) -> Option<&'static VlanTable> {
    VLANS.get(trunk)
}

/// What a CPU counts with at one (link, hook).
#[inline(always)]
pub(crate) fn hook_slice(index: u32) -> Option<*mut HookSlice> {
    HOOKS.get_ptr_mut(index)
}

/// A counter of the banks.
#[inline(always)]
pub(crate) fn counter(index: u32) -> Option<*mut Counter> {
    BANKS.get_ptr_mut(index)
}

/// The FIB's maps.
pub(crate) struct Fib;

#[inline(always)]
fn word<const N: usize, const M: usize>(map: &'static Array<Line, N, M>, index: u32) -> Option<u32> {
    map.get(index / NODE_WORDS as u32).map(|line| line[index as usize % NODE_WORDS])
}

#[inline(always)]
fn row_word<const N: usize, const M: usize>(
    map: &'static Array<Row, N, M>,
    row: u32,
    index: u32,
) -> Option<u32> {
    map.get(row).map(|row| row[index as usize % ROW_WORDS])
}

impl Read for Fib {
    type Node<'a> = &'a [u32; NODE_WORDS];

    #[inline(always)]
    fn v4_root(&self, index: u32) -> Option<u32> {
        word(&FIB4_ROOT, index)
    }

    #[inline(always)]
    fn v4_row(&self, row: u32, index: u32) -> Option<u32> {
        row_word(&FIB4_ROWS, row, index)
    }

    #[inline(always)]
    fn v6_root(&self, index: u32) -> Option<u32> {
        word(&FIB6_ROOT, index)
    }

    #[inline(always)]
    fn v6_other(&self, index: u32) -> Option<u32> {
        word(&FIB6_OTHER, index)
    }

    #[inline(always)]
    fn v6_row(&self, row: u32, index: u32) -> Option<u32> {
        row_word(&FIB6_ROWS, row, index)
    }

    #[inline(always)]
    fn v6_node(&self, node: u32) -> Option<&[u32; NODE_WORDS]> {
        FIB6_NODES.get(node)
    }

    /// To the verifier a copied register and its copy are one number from then on. A state in which two numbers are one
    /// stands for none in which they are not, so that all ways through the nodes would be walked one by one: over 4,000.
    #[inline(always)]
    fn copy(number: u32) -> u32 {
        let mut number = u64::from(number);
        // SAFETY: a register stays as it is.
        unsafe {
            core::arch::asm!("{number} |= 0", number = inout(reg) number, options(pure, nomem, nostack));
        };
        number as u32
    }
}
