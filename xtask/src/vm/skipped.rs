//! Which tests are not run on which kernel, and why. A name that is of no test, or a test that is left out and not listed,
//! fails the run.

use super::KERNELS;

/// A test that is not run.
#[derive(Debug)]
pub(super) struct Skipped {
    pub(super) program: &'static str,
    /// Its whole name.
    pub(super) test: &'static str,
    /// On these kernels.
    pub(super) on: &'static [&'static str],
    /// What says so to those who read this.
    #[expect(dead_code, reason = "for people")]
    why: &'static str,
}

const fn skipped(
    program: &'static str,
    test: &'static str,
    on: &'static [&'static str],
    why: &'static str,
) -> Skipped {
    Skipped { program, test, on, why }
}

const BOTH: &[&str] = &KERNELS;
const NO_TCX: &[&str] = &["6.1"];

const SLOW: &str = "runs until two threads met in the kernel often enough: hours where it is emulated";

const SKIPPED: &[Skipped] = &[
    skipped(
        "kernel_datapath",
        "changes::routes_change_under_traffic_and_every_packet_counts_once",
        BOTH,
        SLOW,
    ),
    skipped("kernel_datapath", "generations::larger_maps_take_over_clsact_filters", BOTH, SLOW),
    skipped("kernel_datapath", "generations::larger_maps_take_over_generic_xdp", BOTH, SLOW),
    skipped("kernel_datapath", "generations::larger_maps_take_over_native_xdp_and_tcx", BOTH, SLOW),
    skipped("kernel_datapath", "generations::larger_maps_take_over_tcx", BOTH, SLOW),
    skipped(
        "kernel_datapath",
        "links::a_tag_in_metadata_counts_and_finds_its_link",
        NO_TCX,
        "puts a program before ours by TCX",
    ),
    skipped(
        "kernel_datapath",
        "links::a_second_instance_and_a_foreign_program_are_refused_and_untouched",
        NO_TCX,
        "filters of a clsact qdisc do not exclude each other: a second instance is not refused there yet",
    ),
];

/// Those of a kernel.
pub(super) fn on(version: &str) -> impl Iterator<Item = &'static Skipped> {
    SKIPPED.iter().filter(move |test| test.on.contains(&version))
}
