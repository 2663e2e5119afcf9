//! The agent as a user runs it: the binary itself, in network namespaces, with real frames, asked through its own
//! command line and over HTTP. These tests need root, and fail without; those named `minimal_caps…` also pass with
//! CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON only.

#[path = "../support/lab.rs"]
#[expect(dead_code, reason = "other kernel tests use the rest")]
mod lab;
#[path = "../support/packets.rs"]
mod packets;
#[path = "../support/routers.rs"]
#[expect(dead_code, reason = "tests of sessions use the rest")]
mod routers;

mod agent;
mod answers;
mod bgp;
mod capabilities;
mod capture;
mod follow;
mod gaps;
mod history;
mod keep;
mod kept;
mod left;
mod lifecycle;
mod managed;
mod others;
mod paths;
mod positions;
mod preflight;
mod privacy;
mod privileges;
mod public;
mod reload;
mod socket;
mod starts;
mod totals;
mod variants;
mod world;
