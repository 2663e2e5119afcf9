//! The units, as systemd itself judges them.

use std::{fs, process::Command};

use crate::process;

/// `systemd-analyze security`'s overall exposure of a unit, in tenths.
fn exposure(unit: &str) -> u32 {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager"]);
    let output = command.arg(process::root().join("packaging").join(unit)).output();
    let output =
        output.expect("systemd-analyze is in Debian's package systemd: cargo xtask setup installs it");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let level = said.lines().find_map(|line| line.split_once(&format!("exposure level for {unit}: ")));
    let (_, level) = level.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    let (whole, tenth) = level.split(' ').next().and_then(|level| level.split_once('.')).expect("a number");
    whole.parse::<u32>().expect("a digit") * 10 + tenth.parse::<u32>().expect("a digit")
}

#[test]
fn units_expose_little() {
    let privileged = exposure("classifier-datapath.service");
    assert!(privileged <= 20, "{privileged}");
    let other = exposure("classifier.service");
    assert!(other <= 15, "{other}");
}

#[test]
fn units_are_started_again_however_often_they_fail() {
    for unit in ["classifier-datapath.service", "classifier.service"] {
        let text = fs::read_to_string(process::root().join("packaging").join(unit)).expect("read");
        let (head, rest) = text.split_once("[Service]").expect("a section");
        // systemd passes over it in another section.
        assert!(head.contains("\nStartLimitIntervalSec=0\n"), "{unit}");
        assert!(rest.contains("\nRestart=on-failure\n"), "{unit}");
    }
}

#[test]
fn an_agent_outlives_failed_starts_of_what_counts() {
    let read = |name: &str| fs::read_to_string(process::root().join("packaging").join(name)).expect("read");
    let agent = read("classifier.service");
    let names = |key: &str| {
        let mut values = agent.lines().filter_map(|line| line.strip_prefix(key));
        values.any(|units| units.split(' ').any(|unit| unit == "classifier-datapath.service"))
    };
    assert!(names("Wants=") && names("After="));
    // With the first three its own start would fail for good, with the others it would be stopped, or restarted with each try.
    for key in ["Requires=", "Requisite=", "BindsTo=", "PartOf=", "StopPropagatedFrom="] {
        assert!(!names(key), "{key}");
    }
    // A connection that waits would start what somebody has stopped.
    assert!(read("classifier-datapath.socket").contains("\nFlushPending=yes\n"));
}

#[test]
fn what_is_packed_is_there_and_what_is_there_is_packed() {
    let manifest = fs::read_to_string(process::root().join("classifier-user/Cargo.toml")).expect("read");
    for directory in ["packaging", "packaging/deb"] {
        for entry in fs::read_dir(process::root().join(directory)).expect("read").flatten() {
            let name = entry.file_name().into_string().expect("UTF-8");
            let script = ["preinst", "postinst", "prerm", "postrm", "deb"].contains(&name.as_str());
            assert!(script || manifest.contains(&name), "{directory}/{name} is in no package");
        }
    }
}
