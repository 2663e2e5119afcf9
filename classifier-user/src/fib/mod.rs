//! From routes to FIB words: [`classes`] gives each owner a class, [`writer`] turns prefixes and classes into the
//! words that the kernel reads (`classifier_common::fib`).
//!
//! Reading order: [`memory`] (where words live), `prefixes` (the sorted routes, and the disjoint intervals that
//! they make), `runs` (intervals cut at IPv6's /32), `tables` (a batch's
//! stores before they are made; numbers from a `pool`), `rows` and `trees` (what those stores are),
//! [`writer`] (batches), [`sizes`] (how large the maps must be).

pub mod classes;
pub mod memory;
mod owners;
mod pool;
mod prefixes;
mod rows;
mod runs;
pub mod sizes;
mod tables;
mod trees;
pub mod writer;

#[cfg(test)]
mod tests;

pub use pool::Usage;
