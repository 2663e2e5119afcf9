//! Exact per-AS traffic accounting on a Linux border router.
//!
//! Reading order: [`model`] (the words), [`table`] and [`ingest`] (routes), [`fib`] (routes to kernel words),
//! [`datapath`] (the kernel), [`totals`] (what was counted), [`http`] and [`cli`] (who asks), [`agent`] (wiring).

pub mod datapath;
pub mod fib;
pub mod http;
pub mod model;
pub mod table;
pub mod totals;
