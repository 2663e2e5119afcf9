//! What the kernel program and the agent must agree on, and the pure code that both run.
//!
//! Reading order: [`abi`] (names, sizes, indices), [`counter`] (what is counted), [`fib`] (how an address
//! becomes a class), [`parse`] (how a frame becomes addresses), [`layout`] (the asserts that hold it together).
#![no_std]

pub mod abi;
pub mod counter;
pub mod fib;
mod layout;
pub mod parse;
