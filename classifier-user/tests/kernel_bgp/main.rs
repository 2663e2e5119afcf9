//! The BGP speaker against real ones, BIRD and FRR, in network namespaces. These tests need root, and fail without.

#[path = "../support/lab.rs"]
#[expect(dead_code, reason = "other kernel tests use the rest")]
mod lab;
#[path = "../support/packets.rs"]
mod packets;

#[path = "../kernel_agent/agent.rs"]
#[expect(dead_code, reason = "the agent's own tests use the rest")]
mod agent;
mod bird;
mod capture;
mod faults;
mod paths;
mod restart;
mod world;
