//! The entry points: one outcome each, and it is always to pass on.

use aya_ebpf::{
    bindings::{tcx_action_base::TCX_NEXT, xdp_action::XDP_PASS},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use classifier_common::abi::Hook;

use crate::{
    classify::account,
    frame::{Received, Transmitted},
};

/// Receive, native or generic XDP. Frags-aware: a frame may have more than its linear part.
#[xdp(frags)]
fn classifier_xdp(ctx: XdpContext) -> u32 {
    account(&ctx, Hook::Rx);
    XDP_PASS
}

/// Receive where there is no native XDP: TC ingress.
#[classifier]
fn classifier_rx(ctx: TcContext) -> i32 {
    account(&Received(ctx), Hook::Rx);
    TCX_NEXT
}

/// Transmit: TC egress.
#[classifier]
fn classifier_tx(ctx: TcContext) -> i32 {
    account(&Transmitted(ctx), Hook::Tx);
    TCX_NEXT
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The helpers used are open to programs of any licence; `bpf_xdp_load_bytes` too.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
