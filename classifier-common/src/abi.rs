//! Names, indices and limits of the maps and programs: the contract between the kernel object and the agent.

use crate::counter::Counter;

/// Raised with every change of a shared layout, of an index formula or of a map's meaning.
pub const ABI_VERSION: u32 = 2;

/// The most links one loaded object serves. A link number is 0-based and below this.
pub const MAX_LINKS: u32 = 64;
/// The most interfaces that can have VLAN links of their own.
pub const MAX_TRUNKS: u32 = 32;
/// Interface indices are below this; `PORTS` is indexed by them.
pub const MAX_IFINDEX: u32 = 65_536;
/// Entries of a VLAN table: every VLAN identifier of 12 bits.
pub const VLAN_IDS: usize = 4096;
/// Classes covered by one dirty byte of a bank.
pub const DIRTY_BLOCK: u32 = 64;

/// Program names, as in the object.
pub mod programs {
    /// Native or generic XDP on receive.
    pub const XDP_RX: &str = "classifier_xdp";
    /// TC ingress, where there is no native XDP.
    pub const TC_RX: &str = "classifier_rx";
    /// TC egress.
    pub const TC_TX: &str = "classifier_tx";
}

/// Map names, as in the object.
pub mod maps {
    /// `[u32; 16]` words: the first level of the IPv4 FIB, 2^24 words.
    pub const FIB4_ROOT: &str = "FIB4_ROOT";
    /// `[u32; 256]` rows for what is longer than /24.
    pub const FIB4_ROWS: &str = "FIB4_ROWS";
    /// `[u32; 16]` words: the first level of the IPv6 FIB for 2000::/3, 2^21 words.
    pub const FIB6_ROOT: &str = "FIB6_ROOT";
    /// `[u32; 16]` words: the first level for all other IPv6 addresses, by their first byte, 256 words.
    pub const FIB6_OTHER: &str = "FIB6_OTHER";
    /// `[u32; 256]` rows, one step of 8 bits each.
    pub const FIB6_ROWS: &str = "FIB6_ROWS";
    /// `[u32; 16]` search nodes below /32.
    pub const FIB6_NODES: &str = "FIB6_NODES";
    /// [`super::Port`] by interface index.
    pub const PORTS: &str = "PORTS";
    /// A VLAN table ([`super::VlanTable`]) a trunk.
    pub const VLANS: &str = "VLANS";
    /// [`super::HookSlice`] by (link, hook, slice): [`super::hook_slice_index`].
    pub const HOOKS: &str = "HOOKS";
    /// Counters: a bank a link, one behind the other ([`super::BankLayout`]).
    pub const BANKS: &str = "BANKS";
    /// Array of maps with one slot, updated only to wait for a grace period.
    pub const GRACE: &str = "GRACE";
    /// What is put into its slot: a map that nobody reads.
    pub const FILLER: &str = "FILLER";
}

/// Load-time constants (`.rodata`), as in the object.
pub mod globals {
    /// u32: CPUs with a slice of their own; slice `SLICES` is the spare one, counted into atomically.
    pub const SLICES: &str = "SLICES";
    /// u32: bit set of sides ([`super::Side::bit`]) that any link counts.
    pub const SIDES: &str = "SIDES";
}

/// The link of each VLAN identifier of a trunk; [`LinkRef::NONE`] where the VLAN is no link of its own.
pub type VlanTable = [LinkRef; VLAN_IDS];

/// Where frames are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Hook {
    /// Receive: XDP, or TC ingress.
    Rx = 0,
    /// Transmit: TC egress.
    Tx = 1,
}

impl Hook {
    /// Both, in index order.
    pub const ALL: [Self; 2] = [Self::Rx, Self::Tx];
}

/// Which address of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Side {
    /// The destination address.
    Destination = 0,
    /// The source address.
    Source = 1,
}

impl Side {
    /// Both, in index order.
    pub const ALL: [Self; 2] = [Self::Destination, Self::Source];

    /// This side's bit in a set of sides.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A link as the kernel finds it: its number, plus one. Zero: not accounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct LinkRef(pub u16);

impl LinkRef {
    /// Not accounted.
    pub const NONE: Self = Self(0);

    /// Link `link`, below [`MAX_LINKS`].
    #[must_use]
    pub const fn new(link: u32) -> Self {
        Self(link as u16 + 1)
    }

    /// The link's number.
    #[must_use]
    #[inline(always)]
    pub const fn link(self) -> Option<u32> {
        match self.0 {
            0 => None,
            link => Some(link as u32 - 1),
        }
    }
}

/// What the kernel knows of an interface. All zero: not accounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Port {
    /// The link of all frames that are in no VLAN link of this interface.
    pub link: LinkRef,
    /// VLAN table + 1; 0: no VLAN of this interface is a link of its own.
    pub trunk: u16,
    /// Bytes a packet had on the wire that are not in it here (the tag that a VLAN device takes off).
    pub extra_bytes: u16,
    /// Always 0.
    pub reserved: u16,
}

/// All that a CPU needs to count at one hook of a link: its outcome counters, and where its classes are counted. The
/// places are worked out once, by the agent, because the arithmetic would cost each packet more than its counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct HookSlice {
    /// By [`crate::counter::Outcome`].
    pub outcomes: [Counter; 5],
    /// By [`Side`].
    pub sides: [SideSlice; 2],
    /// Not 0: several CPUs count here, with atomic additions.
    pub shared: u32,
    /// Always 0; pads to whole cache lines.
    pub reserved: [u32; 5],
}

/// Where a CPU counts one side's classes: indices into `BANKS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SideSlice {
    /// Classes from this one on have no counter; 0: this side is not counted.
    pub classes: u32,
    /// The counter of class 0.
    pub first: u32,
    /// The first dirty bytes, sixteen to an index.
    pub dirty: u32,
}

impl SideSlice {
    /// A side that is not counted.
    pub const NONE: Self = Self { classes: 0, first: 0, dirty: 0 };
}

/// Index into `HOOKS`.
#[must_use]
#[inline(always)]
pub const fn hook_slice_index(link: u32, hook: Hook, slice: u32, slices: u32) -> u32 {
    (link * 2 + hook as u32) * (slices + 1) + slice
}

/// How a link's bank is laid out: for each hook and each side counted there, a slice a CPU and the spare one;
/// in a slice the classes, rounded up to whole dirty blocks, and behind them the dirty bytes, one a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BankLayout {
    /// CPUs with a slice of their own.
    pub slices: u32,
    /// Classes a slice holds.
    pub classes: u32,
    /// Sides that a link counts at one hook: 1 or 2. With 1, both sides have the same place.
    pub sides: u32,
}

impl BankLayout {
    /// Dirty blocks of a slice.
    #[must_use]
    #[inline(always)]
    pub const fn blocks(&self) -> u32 {
        self.classes.div_ceil(DIRTY_BLOCK)
    }

    /// Counters (16 bytes) that a slice takes.
    #[must_use]
    #[inline(always)]
    pub const fn stride(&self) -> u32 {
        self.blocks() * DIRTY_BLOCK + self.blocks().div_ceil(16)
    }

    /// The first counter of a slice: its class 0.
    #[must_use]
    #[inline(always)]
    pub const fn base(&self, hook: Hook, side: Side, slice: u32) -> u32 {
        let region = if self.sides == 2 { hook as u32 * 2 + side as u32 } else { hook as u32 };
        (region * (self.slices + 1) + slice) * self.stride()
    }

    /// The first counter of the dirty bytes of a slice that begins at `base`.
    #[must_use]
    #[inline(always)]
    pub const fn dirty(&self, base: u32) -> u32 {
        base + self.blocks() * DIRTY_BLOCK
    }

    /// Counters of one link.
    #[must_use]
    pub const fn entries(&self) -> u32 {
        2 * self.sides * (self.slices + 1) * self.stride()
    }
}
