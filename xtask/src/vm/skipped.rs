//! Which tests are not run on which kernel, and why. A name that is of no test, a test that is left out and not listed, and
//! one that is listed and would pass fail the run.

use super::MACHINES;

/// A test that is not run with the others.
#[derive(Debug)]
pub(super) struct Skipped {
    pub(super) program: &'static str,
    /// Its whole name.
    pub(super) test: &'static str,
    /// On these kernels.
    pub(super) on: &'static [&'static str],
    pub(super) why: Why,
}

/// Why it is not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Why {
    /// It cannot pass there for want of this, which is tried.
    Fails(&'static str),
    /// It would take too long where everything is emulated, for this reason.
    Slow(&'static str),
}

impl Why {
    /// What says so to those who read the report.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Fails(why) | Self::Slow(why) => why,
        }
    }
}

const fn skipped(
    program: &'static str,
    test: &'static str,
    on: &'static [&'static str],
    why: Why,
) -> Skipped {
    Skipped { program, test, on, why }
}

const BOTH: &[&str] = &MACHINES;

const BIRD: Why = Why::Fails("its routes come from BIRD, which the machine does not have");

const SKIPPED: &[Skipped] = &[
    skipped(
        "kernel_agent",
        "bgp::routes_of_a_session_change_under_traffic_and_every_packet_counts_once",
        BOTH,
        BIRD,
    ),
    skipped("kernel_agent", "paths::what_goes_by_which_neighbour_and_through_whom", BOTH, BIRD),
    skipped(
        "kernel_agent",
        "public::two_hundred_clients_do_not_keep_it_from_counting",
        BOTH,
        Why::Slow("two hundred clients that ask for pages: nothing in it is the kernel's"),
    ),
];

/// Programs of tests that are run on none of the kernels, with the reason; `cargo xtask test` runs them. Each of the others is run.
pub(super) const PROGRAMS: [(&str, &str); 1] = [(
    "kernel_bgp",
    "its peers are BIRD and FRR, which the machines do not have, and it asks nothing of the kernel but sockets: no program is \
     loaded in it",
)];

/// Tests that end early, and say so, where this machine's kernel has no such devices: `program test kind`. Those of
/// Debian's have them.
pub(crate) const MAY_LACK: [&str; 3] = [
    "kernel_agent positions::a_bond_is_counted_at_tc_or_by_its_members_and_never_twice bond",
    "kernel_agent positions::a_vlan_device_and_a_vlan_of_its_trunk_count_the_same_and_not_both vlan",
    "kernel_agent preflight::a_program_on_a_device_above_is_the_one_that_is_named vlan",
];

/// Those of a kernel.
pub(super) fn on(version: &str) -> impl Iterator<Item = &'static Skipped> {
    SKIPPED.iter().filter(move |test| test.on.contains(&version))
}

/// Those of a program.
pub(super) fn of(version: &str, program: &str) -> impl Iterator<Item = &'static Skipped> {
    on(version).filter(move |test| test.program == program)
}

/// Those that are expected to fail.
pub(super) fn tried(version: &str, program: &str) -> impl Iterator<Item = &'static Skipped> {
    of(version, program).filter(|test| matches!(test.why, Why::Fails(_)))
}
