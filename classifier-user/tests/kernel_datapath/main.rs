//! The real programs in the real kernel: single frames, traffic between namespaces, links, changes under traffic.
//! These tests need root (or CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON for those named `minimal_caps`) and fail without.

#[path = "../support/frames.rs"]
#[expect(dead_code, reason = "the VLAN is what the parser's own test looks at")]
mod frames;
#[path = "../support/lab.rs"]
mod lab;

mod changes;
mod generations;
mod links;
mod others;
mod single;
mod traffic;
mod world;
