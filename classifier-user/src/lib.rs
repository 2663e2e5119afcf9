//! Exact per-AS traffic accounting on a Linux border router.
//!
//! Reading order: [`model`] (the words), [`table`] and [`ingest`] (routes), [`fib`] (routes to kernel words),
//! [`datapath`] (the kernel), [`totals`] (what was counted),
//! [`history`] (what was counted before), [`questions`] (both together), [`http`] and [`cli`] (who asks), [`agent`] (wiring);
//! [`replay`] takes captures through the same program.

pub mod agent;
pub mod cli;
pub mod config;
pub mod datapath;
pub mod fib;
pub mod history;
pub mod http;
pub mod ingest;
pub mod model;
pub mod notify;
pub mod questions;
pub mod replay;
pub mod table;
pub mod totals;
mod watched;
