//! The MPLS label stack (RFC 3032).

use super::{End, Frame, Header as _, Packet, ip, need};

/// Labels that are walked; a deeper stack is unsupported.
pub const MAX_DEPTH: u32 = 10;
const LABEL_LEN: u32 = 4;
const BOTTOM_OF_STACK: u8 = 0x01;

/// Walks the stack at `at` and reads what is below it. Nothing names the payload: its first nibble tells IPv4 from
/// IPv6 from all else (RFC 4928 section 3).
#[inline(always)]
pub(super) fn stack<F: Frame>(frame: &F, at: &mut u32) -> Result<Packet, End> {
    let mut depth = 0;
    while depth < MAX_DEPTH {
        let label = need(frame, *at, LABEL_LEN)?;
        *at += LABEL_LEN;
        if label.u8(2) & BOTTOM_OF_STACK != 0 {
            return match need(frame, *at, 1)?.u8(0) >> 4 {
                4 => ip::v4(frame, *at),
                6 => ip::v6(frame, *at),
                _ => Err(End::NonIp),
            };
        }
        depth += 1;
    }
    Err(End::Unsupported)
}
