//! All tests. Kernel tests are the integration tests named `kernel_*`; they need root, and fail without it. Those
//! among them named `minimal_caps…` run once more with the three capabilities that the product asks for and no others.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{
    process, setup, sys,
    vm::{self, skipped::MAY_LACK},
};

#[derive(Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Does not look whether all is there that tests need
    #[arg(long)]
    no_setup: bool,

    /// Runs the tests of the packet path and of the agent on this kernel (`host`) and in virtual machines with others of Debian's, on all or on these (slow: nothing speeds them up)
    #[arg(long, value_name = "KERNEL", num_args = 0.., require_equals = true, value_delimiter = ',',
          default_missing_values = vm::KERNELS)]
    vm: Option<Vec<String>>,
}

pub(crate) const MINIMAL: &str = "minimal_caps";
/// Tells tests where to write what they lacked.
pub(crate) const LACKING: &str = "CLASSIFIER_TEST_LACKING";
/// Tells tests that they have few capabilities.
pub(crate) const FEW: &str = "CLASSIFIER_TEST_CAPS";
/// What `classifier run` needs, and no more (setpriv's notation).
pub(crate) const CAPABILITIES: &str = "-all,+bpf,+net_admin,+perfmon";
/// Makes a network namespace one that commands can be at home in, and runs what follows. Tests with few capabilities cannot
/// do that themselves.
pub(crate) const NAMESPACE: &str =
    "mount -t sysfs sysfs /sys && mount -t bpf bpf /sys/fs/bpf && ip link set lo up && exec \"$@\"";

/// Runs them.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.no_setup {
        setup::run()?;
    }
    match &options.vm {
        Some(kernels) => vm::run(kernels, options.filter.as_deref()),
        None => all(options.filter.as_deref()),
    }
}

/// Runs those that the filter takes, all where there is none.
pub(crate) fn all(filter: Option<&str>) -> Result<()> {
    if !sys::is_root() {
        eprintln!(
            "test: not root: the tests that load programs or make namespaces will fail (sudo -E cargo xtask test)"
        );
    }
    let lacking = process::root().join("target/lacking");
    let _ = fs::remove_file(&lacking);
    let mut main = process::cargo(["test", "--workspace", "--exclude", "classifier-ebpf", "--no-fail-fast"]);
    let main = process::run(main.args(filter).env(LACKING, &lacking));
    let main = main.and(lacked(&fs::read_to_string(&lacking).unwrap_or_default()));
    let minimal = if takes_minimal(filter) { minimal_capabilities() } else { Ok(()) };
    main.and(minimal)
}

/// Whether a filter takes tests that are run with few capabilities.
pub(crate) fn takes_minimal(filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| filter.contains(MINIMAL) || MINIMAL.contains(filter))
}

/// Says which tests this machine's kernel has not all for; none may be that is not known to.
pub(crate) fn lacked(lines: &str) -> Result<()> {
    for line in lines.lines() {
        if !MAY_LACK.contains(&line) {
            bail!("a test was left out that xtask/src/vm/skipped.rs does not know: {line}");
        }
        eprintln!(
            "test: this kernel has not all that a test needs, the machines of --vm have: {line} devices"
        );
    }
    Ok(())
}

fn minimal_capabilities() -> Result<()> {
    let mut passed = 0;
    for (name, program) in kernel_tests()? {
        eprintln!("     Running {name} with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON only");
        let output = process::read(with_few_capabilities(&program).arg(MINIMAL));
        let text = output.with_context(|| format!("{name} with few capabilities"))?;
        std::io::stdout().write_all(&text)?;
        passed += passed_in(&String::from_utf8_lossy(&text));
    }
    if passed == 0 {
        bail!("no kernel test is named {MINIMAL}…: nothing was tested with few capabilities");
    }
    Ok(())
}

/// A program of tests with three capabilities.
pub(crate) fn with_few_capabilities(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--", "sh", "-c", NAMESPACE, "sh", "setpriv"]);
    command.args(["--bounding-set", CAPABILITIES, "--inh-caps", CAPABILITIES, "--"]);
    // Cargo would start it in its package's directory.
    command.arg(program).current_dir(process::root().join("classifier-user"));
    command.env(FEW, "minimal");
    command
}

/// The kernel tests' programs, by name.
pub(crate) fn kernel_tests() -> Result<Vec<(String, PathBuf)>> {
    let messages = process::read(&mut process::cargo([
        "test",
        "--quiet",
        "--package=classifier-user",
        "--tests",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]))?;
    Ok(programs_in(&String::from_utf8_lossy(&messages)))
}

fn programs_in(messages: &str) -> Vec<(String, PathBuf)> {
    let program = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let name = message.get("target")?.get("name")?.as_str()?;
        let executable = message.get("executable")?.as_str()?;
        name.starts_with("kernel_").then(|| (name.to_owned(), executable.into()))
    };
    messages.lines().filter_map(program).collect()
}

/// How many tests passed, by libtest's last lines.
fn passed_in(text: &str) -> u64 {
    let passed = |line: &str| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<u64>().ok();
    text.lines().filter_map(passed).sum()
}

#[cfg(test)]
mod tests {
    use super::{MAY_LACK, lacked, passed_in, programs_in};

    #[test]
    fn kernel_tests_are_found_among_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"kernel_lib"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"kernel_veth"},"executable":"/t/kernel_veth-1"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"cli"},"executable":"/t/cli-1"}"#,
            "\nnot json\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(programs_in(messages), [("kernel_veth".to_owned(), "/t/kernel_veth-1".into())]);
    }

    #[test]
    fn what_is_left_out_is_known() {
        assert!(lacked("").is_ok());
        assert!(lacked(&MAY_LACK.join("\n")).is_ok());
        assert!(lacked("kernel_agent somebody::forgot vlan\n").is_err());
    }

    #[test]
    fn passed_tests_are_summed() {
        let text = "running 2 tests\n\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\
                    test result: ok. 0 passed; 0 failed\ntest result: ok. 5 passed; 0 failed";
        assert_eq!(passed_in(text), 7);
    }
}
