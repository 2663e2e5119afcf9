//! The BGP speaker and the BMP station against real routers, BIRD and FRR, in network
//! namespaces. These tests need root, and fail without.

#[path = "../kernel_agent/agent.rs"]
#[expect(dead_code, reason = "the agent's own tests use the rest")]
mod agent;
#[path = "../support/lab.rs"]
#[expect(dead_code, reason = "other kernel tests use the rest")]
mod lab;
#[path = "../support/routers.rs"]
mod routers;

mod bird;
mod bmp;
mod capture;
mod documented;
mod faults;
mod frr;
mod full;
mod restart;
mod world;
