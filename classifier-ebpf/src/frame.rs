//! From a context to a frame: the only pointer arithmetic.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::{TcContext, XdpContext},
};
use classifier_common::parse::{Frame, HEAD_LEN, Header, Parsed, ip, vlan};

/// What a frame counts as.
pub(crate) struct Wire {
    /// Packets on the wire.
    pub(crate) packets: u32,
    /// Bytes on the wire, layer 2 header and tags included.
    pub(crate) bytes: u32,
}

/// A hook's context.
pub(crate) trait Context {
    /// Index of the interface that the frame is on.
    fn ifindex(&self) -> u32;
    /// The outer VLAN where its tag is not in the frame's bytes.
    fn outer(&self) -> Option<u16>;
    /// The part of the frame that lies in one piece.
    fn linear(&self) -> Linear;
    /// A copy of the frame's head, whatever way it lies.
    fn head(&self, len: u32) -> Option<Head>;
    /// What the frame counts as.
    fn wire<F: Frame>(&self, frame: &F, parsed: &Parsed) -> Wire;
}

/// A header in packet memory, checked against its end.
#[derive(Clone, Copy)]
pub(crate) struct Checked(*const u8);

impl Header for Checked {
    #[inline(always)]
    fn u8(self, at: u32) -> u8 {
        // SAFETY: the verifier has seen the header's check.
        unsafe { *self.0.add(at as usize) }
    }

    #[inline(always)]
    fn be16(self, at: u32) -> u16 {
        // SAFETY: as above. BPF loads have no alignment trap where the kernel's architecture has none (x86-64,
        // arm64), and the verifier refuses the program elsewhere; `read_unaligned` would load byte by byte.
        u16::from_be(unsafe { *self.0.add(at as usize).cast::<u16>() })
    }

    #[inline(always)]
    fn be32(self, at: u32) -> u32 {
        // SAFETY: as above.
        u32::from_be(unsafe { *self.0.add(at as usize).cast::<u32>() })
    }
}

/// The linear part of a frame.
pub(crate) struct Linear {
    data: usize,
    end: usize,
    len: u32,
}

impl Frame for Linear {
    type Header<'a> = Checked;

    #[inline(always)]
    fn len(&self) -> u32 {
        self.len
    }

    #[inline(always)]
    fn header(&self, at: u32, len: u32) -> Option<Checked> {
        let start = self.data + at as usize;
        (start + len as usize <= self.end).then_some(Checked(start as *const u8))
    }
}

/// A frame's head, copied out of frags.
pub(crate) struct Head {
    bytes: [u8; HEAD_SPACE],
    len: u32,
}

/// The verifier takes only aligned reads of the stack: with the Ethernet header two bytes in, every 32-bit field
/// behind it is aligned.
const SHIFT: usize = 2;
/// The shifted head, in whole words.
const HEAD_SPACE: usize = (SHIFT + HEAD_LEN).next_multiple_of(8);

impl Frame for Head {
    type Header<'a> = Checked;

    #[inline(always)]
    fn len(&self) -> u32 {
        self.len
    }

    #[inline(always)]
    fn header(&self, at: u32, len: u32) -> Option<Checked> {
        // What lies behind a short frame's end is zero here, and must not be read as a header.
        if at as usize + len as usize > HEAD_LEN || at + len > self.len {
            return None;
        }
        // SAFETY: checked above.
        Some(Checked(unsafe { self.bytes.as_ptr().add(SHIFT + at as usize) }))
    }
}

/// The value, unknown to the compiler: checks of what it could tell from elsewhere stay, and tell the verifier. Of 64 bits: of
/// half a register the verifier would not know the other half.
#[inline(always)]
pub(crate) fn unknown(mut value: u64) -> u64 {
    // Nothing at all in its place would leave two source lines with one instruction, which the verifier refuses.
    // SAFETY: a register is moved to itself.
    unsafe { core::arch::asm!("{value} = {value}", value = inout(reg) value) };
    value
}

/// Copies a head with one of the kernel's helpers; `len` is the frame's.
#[inline(always)]
fn copy_head(len: u32, load: impl FnOnce(*mut u8, u32) -> bool) -> Option<Head> {
    let mut head = Head { bytes: [0; HEAD_SPACE], len };
    // The verifier of Linux 6.1 does not know that what is not zero is at least one, and the compiler knows from the parser
    // that a cut frame is not empty.
    let less = unknown(u64::from(len).min(HEAD_LEN as u64).wrapping_sub(1));
    if less >= HEAD_LEN as u64 {
        return None;
    }
    // SAFETY: within the array.
    let to = unsafe { head.bytes.as_mut_ptr().add(SHIFT) };
    load(to, (less + 1) as u32).then_some(head)
}

impl Context for XdpContext {
    #[inline(always)]
    fn ifindex(&self) -> u32 {
        self.ingress_ifindex() as u32
    }

    #[inline(always)]
    fn outer(&self) -> Option<u16> {
        None
    }

    #[inline(always)]
    fn linear(&self) -> Linear {
        // SAFETY: the context is valid while the program runs. Frags are counted (kernel 5.18).
        let len = unsafe { bpf_xdp_get_buff_len(self.ctx) } as u32;
        Linear { data: self.data(), end: self.data_end(), len }
    }

    #[inline(always)]
    fn head(&self, len: u32) -> Option<Head> {
        copy_head(len, |to, want| {
            // SAFETY: `to` has room for `HEAD_LEN` bytes, and `want` is at most that.
            unsafe { bpf_xdp_load_bytes(self.ctx, 0, to.cast(), want) == 0 }
        })
    }

    #[inline(always)]
    fn wire<F: Frame>(&self, frame: &F, _: &Parsed) -> Wire {
        Wire { packets: 1, bytes: frame.len() }
    }
}

#[inline(always)]
fn tagged(ctx: &TcContext) -> Option<u16> {
    // SAFETY: the context is valid while the program runs.
    let skb = unsafe { &*ctx.skb.skb };
    (skb.vlan_present != 0).then(|| vlan::identifier(skb.vlan_tci as u16))
}

/// Bytes that a tag in skb metadata adds to each packet.
#[inline(always)]
fn tag_bytes(ctx: &TcContext) -> u32 {
    if tagged(ctx).is_some() { vlan::TAG_LEN } else { 0 }
}

/// How many packets a super-frame is: 0 segments with a segment size (a frame from an untrusted source whose
/// segments were not counted) is computed.
#[inline(always)]
fn segments(ctx: &TcContext) -> u32 {
    // SAFETY: the context is valid while the program runs.
    let skb = unsafe { &*ctx.skb.skb };
    let (segments, size) = (skb.gso_segs, skb.gso_size);
    if segments == 0 && size != 0 {
        return ctx.len().div_ceil(size);
    }
    if segments == 0 { 1 } else { segments }
}

macro_rules! skb_context {
    ($name:ident, $wire:item) => {
        impl Context for $name {
            #[inline(always)]
            fn ifindex(&self) -> u32 {
                // SAFETY: the context is valid while the program runs.
                unsafe { (*self.0.skb.skb).ifindex }
            }

            #[inline(always)]
            fn outer(&self) -> Option<u16> {
                tagged(&self.0)
            }

            #[inline(always)]
            fn linear(&self) -> Linear {
                Linear { data: self.0.data(), end: self.0.data_end(), len: self.0.len() }
            }

            #[inline(always)]
            fn head(&self, len: u32) -> Option<Head> {
                copy_head(len, |to, want| {
                    // SAFETY: `to` has room for `HEAD_LEN` bytes, and `want` is at most that.
                    unsafe { bpf_skb_load_bytes(self.0.as_ptr(), 0, to.cast(), want) == 0 }
                })
            }

            #[inline(always)]
            $wire
        }
    };
}

/// A frame at TC egress. The stack has put the headers of every segment into `wire_len`.
pub(crate) struct Transmitted(pub(crate) TcContext);

skb_context!(
    Transmitted,
    fn wire<F: Frame>(&self, _: &F, _: &Parsed) -> Wire {
        let packets = segments(&self.0);
        // SAFETY: the context is valid while the program runs.
        let bytes = unsafe { (*self.0.skb.skb).wire_len };
        Wire { packets, bytes: bytes + tag_bytes(&self.0) * packets }
    }
);

/// A frame at TC ingress, after GRO. `wire_len` is stale here: what GRO took off is put back.
pub(crate) struct Received(pub(crate) TcContext);

skb_context!(
    Received,
    fn wire<F: Frame>(&self, frame: &F, parsed: &Parsed) -> Wire {
        let packets = segments(&self.0);
        let mut bytes = self.0.len() + tag_bytes(&self.0) * packets;
        if packets > 1
            && let Ok(packet) = &parsed.packet
        {
            bytes += (packets - 1) * ip::repeated_headers(frame, packet, parsed.ip_at).unwrap_or(0);
        }
        Wire { packets, bytes }
    }
);
