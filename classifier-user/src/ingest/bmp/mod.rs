//! BMP: a station that routers report their peers' routes to (RFC 7854; Loc-RIB: RFC 9069).
//!
//! Reading order: [`codec`] (bytes and messages), [`router`] (what a router's messages mean), `preferred` (which of its RIBs
//! are taken), [`settings`] (which routers), [`station`] (sockets), [`status`] (what
//! is shown).
//!
//! Of each router only the RIBs nearest to what it does are taken: its Loc-RIB where it sends one, else its neighbours'
//! routes after policy, else those before policy. What it announces to others (Adj-RIB-Out, RFC 8671) is ignored.

pub mod codec;
mod preferred;
pub mod router;
pub mod settings;
pub mod station;
pub mod status;
#[cfg(test)]
mod testing;
