//! The kernel half: every frame is parsed, looked up, counted and passed on.
//!
//! Reading order: [`entry`] (the programs), [`classify`] (the walk), [`frame`] (context to frame), [`maps`] (all
//! state). The parser and the lookup are in `classifier-common`, where they are tested on the host.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod classify;
mod entry;
mod frame;
mod maps;
