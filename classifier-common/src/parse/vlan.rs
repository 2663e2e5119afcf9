//! VLAN tags: IEEE 802.1Q and 802.1ad.

use super::ethertype;

/// A tag: its control information, then the type of what follows.
pub const TAG_LEN: u32 = 4;

/// Whether this Ethernet type is a tag that we walk.
#[inline(always)]
pub const fn is_tag(kind: u16) -> bool {
    kind == ethertype::VLAN || kind == ethertype::SERVICE_VLAN
}

/// The VLAN identifier in a tag's control information.
#[inline(always)]
pub const fn identifier(control: u16) -> u16 {
    control & 0x0fff
}
