//! BGP: a speaker that only listens.
//!
//! Reading order: [`codec`] (bytes and messages).

pub mod codec;
