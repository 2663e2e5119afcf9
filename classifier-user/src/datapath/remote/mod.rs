//! The datapath in a process of its own: [`Remote`] is what the agent has of it, and [`serve`] is the other end, which has
//! the kernel's programs and maps, and the capabilities that these need. The agent has none of them.
//!
//! Why two processes, and what one that was taken over could do to the other: `docs/decisions/0008`. Reading order: here,
//! `wire` (bytes), `message` (what is said), `client`, `server`, `limits` (what the server does not do for anybody),
//! `child` (as a child of the agent), `socket` (as a service).

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    time::Duration,
};

use super::{
    Sizes,
    adopted::LinkLabel,
    kernel::{Setup, XdpChoice},
};

mod child;
mod client;
mod host;
mod limits;
mod message;
mod server;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

pub use child::{ChildPlan, serve_parent};
pub use client::{Remote, RemoteError};
pub use host::KernelHost;
pub(in crate::datapath) use host::patiently;
pub use server::{Host, Patience, serve};
pub use socket::{SocketError, SocketPlan, serve_socket};
pub use wire::{PROTOCOL, Welcome, WireError};

/// What is to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Of the maps.
    pub sizes: Sizes,
    /// The links, numbered from 0 in this order.
    pub setups: Vec<Setup>,
    /// What they are called.
    pub labels: Vec<LinkLabel>,
    /// What stands for where all of it is recorded ([`super::adopted::recorder_id`]).
    pub recorder: Option<[u8; 16]>,
    /// How receive is attached.
    pub xdp: XdpChoice,
    /// Whether TC is used as before kernel 6.6.
    pub clsact: bool,
}

/// Waits until the other side of a connection is closed.
///
/// # Errors
/// The kernel refused, which it has no reason to.
pub fn closed(stream: BorrowedFd<'_>) -> io::Result<()> {
    // A hang-up is always told.
    poll([stream], 0, None).map(drop)
}

/// Waits until one of these is ready, or has ended, or some time is over; says which.
fn poll<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    events: i16,
    within: Option<Duration>,
) -> io::Result<[bool; N]> {
    let within = within.map_or(-1, |within| i32::try_from(within.as_millis()).unwrap_or(i32::MAX));
    let mut polled = fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 });
    loop {
        // SAFETY: so many entries, which live through the call.
        let ready = unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, within) };
        if ready >= 0 {
            return Ok(polled.map(|polled| polled.revents != 0));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
