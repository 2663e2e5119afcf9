//! The BGP speaker against real ones, BIRD and FRR, in network namespaces. These tests need root, and fail without.

#[path = "../support/lab.rs"]
#[expect(dead_code, reason = "other kernel tests use the rest")]
mod lab;
#[path = "../support/routers.rs"]
mod routers;

mod bird;
mod capture;
mod documented;
mod faults;
mod frr;
mod full;
mod restart;
mod world;
