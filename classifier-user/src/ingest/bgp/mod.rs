//! BGP: a speaker that only listens. What it sends is OPEN, KEEPALIVE, NOTIFICATION and ROUTE-REFRESH, never an UPDATE.
//!
//! Reading order: [`codec`] (bytes and messages), [`settings`] (what a session is told to be), [`agreed`] (what both
//! sides agree on), [`connection`] (one TCP connection), [`peer`] (a peer's task: which connection, when), [`speaker`]
//! (all of them), [`status`] (what is known of them), [`socket`] and [`md5`] (what sockets need).

mod agreed;
pub mod codec;
mod connection;
pub(in crate::ingest) mod held;
mod md5;
mod peer;
mod settings;
mod socket;
mod speaker;
mod status;

pub use self::{
    agreed::Agreed,
    settings::{PORT, Password, PeerSettings, Timers},
    speaker::{Speaker, SpeakerError},
    status::{Counts, LastError, PeerStatus, Snapshot, State},
};
