//! What building and testing need, and how it is installed. Every check is a look at a file, so that a machine that
//! has all is done in no time; `bpf-linker` alone is run, because it needs its LLVM to start.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    process::{self, find_program},
    sys,
};

/// Must link the LLVM of the pinned rustc: 1.95 has 22.
const BPF_LINKER: &str = "0.13.0";
const LLVM: &str = "llvm-22";
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// A Debian package, what shows that it is there, and why it is needed.
struct Package {
    name: &'static str,
    shown_by: Shown,
    purpose: &'static str,
}

enum Shown {
    Program(&'static str),
    File(&'static str),
}
use Shown::{File, Program};

const fn package(name: &'static str, shown_by: Shown, purpose: &'static str) -> Package {
    Package { name, shown_by, purpose }
}

const PACKAGES: &[Package] = &[
    package("gcc", Program("cc"), "links Rust programs"),
    package("libc6-dev", File("/usr/include/stdlib.h"), "links Rust programs"),
    package("llvm-22-dev", File("/usr/lib/llvm-22/bin/llvm-config"), "bpf-linker links it"),
    package("libzstd-dev", File("/usr/include/zstd.h"), "bpf-linker links it, through LLVM"),
    package("zlib1g-dev", File("/usr/include/zlib.h"), "bpf-linker links it, through LLVM"),
    package("iproute2", Program("ip"), "network namespaces and links of the tests and the demo"),
    package("systemd", Program("systemd-analyze"), "judges the units, and runs them in a test"),
    package("util-linux", Program("setpriv"), "tests with few capabilities"),
    package("libcap2-bin", Program("capsh"), "tests with few capabilities"),
    package("bpftool", Program("bpftool"), "looking at programs and maps"),
    package("ethtool", Program("ethtool"), "offloads of the tests' links"),
    package("iperf3", Program("iperf3"), "TCP and UDP traffic of the tests"),
    package("tcpdump", Program("tcpdump"), "captures of the tests"),
    package("tcpreplay", Program("tcpreplay"), "captures onto a link"),
    package("bird2", Program("bird"), "a BGP peer of the tests"),
    package("frr", File("/usr/lib/frr/bgpd"), "a BGP and BMP peer of the tests"),
    package("bgpdump", Program("bgpdump"), "a second reader of MRT"),
    package("prometheus", Program("promtool"), "promtool checks the metrics"),
    package("curl", Program("curl"), "asks the agent as others do"),
    package("openssl", Program("openssl"), "certificates of the tests"),
    package("rrdtool", Program("rrdtool"), "databases of AS-Stats that are imported"),
    package("chromium", Program("chromium"), "the tests look at the pages with it"),
];

/// What `cargo xtask test --vm` needs besides.
const MACHINES: &[Package] = &[
    package("qemu-system-x86", Program("qemu-system-x86_64"), "machines with other kernels"),
    package("busybox-static", Program("busybox"), "the machines' shell"),
    package("cpio", Program("cpio"), "the machines' files"),
    package("kmod", Program("depmod"), "the machines' modules"),
    package("xz-utils", Program("xz"), "modules that are packed"),
    package("binutils", Program("strip"), "the machines' programs, made smaller"),
    package(
        "debian-archive-keyring",
        File("/usr/share/keyrings/debian-archive-keyring.gpg"),
        "Debian's kernels",
    ),
];

/// What `cargo xtask chaos` moves the agent's clock with.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// What `cargo xtask dist` needs besides.
const PACKERS: &[Package] = &[
    package("dpkg-dev", Program("dpkg-shlibdeps"), "the package's dependencies"),
    package("binutils", Program("strip"), "binaries, made smaller"),
    package("zstd", Program("zstd"), "the archive"),
];
/// And for the static binary.
const MUSL: &[Package] = &[package("musl-tools", Program("musl-gcc"), "compiles the C in it")];
/// Makes Debian packages.
const CARGO_DEB: &str = "3.8.0";

/// What some packages would start at the next boot.
const SERVICES: [(&str, &str); 3] =
    [("prometheus", "prometheus.service"), ("bird2", "bird.service"), ("frr", "frr.service")];

impl Package {
    fn is_there(&self) -> bool {
        match self.shown_by {
            Program(name) => find_program(name).is_some(),
            File(path) => Path::new(path).exists(),
        }
    }
}

/// Finds what is missing and installs it.
pub(crate) fn run() -> Result<()> {
    let since = Instant::now();
    let toolchain = missing_components();
    let packages: Vec<_> = PACKAGES.iter().filter(|package| !package.is_there()).collect();
    let linker = linker_problem();
    if toolchain.is_empty() && packages.is_empty() && linker.is_none() {
        eprintln!("setup: all is there ({} ms)", since.elapsed().as_millis());
        return Ok(());
    }
    if !toolchain.is_empty() {
        install_components(&channel()?, &toolchain)?;
    }
    let installed = packages.is_empty() || install_packages(&packages)?;
    if let Some(problem) = linker {
        install_linker(&problem)?;
    }
    let without = if installed { "" } else { ", without the packages above" };
    eprintln!("setup: done{without} ({:.0} s)", since.elapsed().as_secs_f64());
    Ok(())
}

/// Finds what virtual machines need, and installs it.
pub(crate) fn for_machines() -> Result<()> {
    let packages: Vec<_> = MACHINES.iter().filter(|package| !package.is_there()).collect();
    if !packages.is_empty() && !install_packages(&packages)? {
        bail!("without the packages above there are no machines");
    }
    Ok(())
}

/// The library that moves clocks, installed where it is missing.
pub(crate) fn faketime() -> Result<PathBuf> {
    let package = package("libfaketime", File(FAKETIME), "moves the agent's clock");
    if package.is_there() || install_packages(&[&package])? && package.is_there() {
        return Ok(FAKETIME.into());
    }
    bail!("chaos moves the agent's clock with {FAKETIME} (Debian: libfaketime)")
}

/// Finds what packing needs, and installs it.
pub(crate) fn for_packages(statically: bool) -> Result<()> {
    let needed = PACKERS.iter().chain(if statically { MUSL } else { &[] });
    let packages: Vec<_> = needed.filter(|package| !package.is_there()).collect();
    if !packages.is_empty() && !install_packages(&packages)? {
        bail!("without the packages above nothing can be packed");
    }
    let version = find_program("cargo-deb").and_then(|deb| Command::new(deb).arg("--version").output().ok());
    if version.is_none_or(|version| !String::from_utf8_lossy(&version.stdout).trim().ends_with(CARGO_DEB)) {
        let mut command =
            process::cargo(["install", "cargo-deb", "--version", CARGO_DEB, "--locked", "--force"]);
        process::run_quietly(&format!("cargo-deb {CARGO_DEB}"), &mut command)?;
    }
    if statically {
        let target = format!("{}-unknown-linux-musl", env::consts::ARCH);
        let mut command = Command::new("rustup");
        command.args(["target", "add", "--toolchain", &channel()?, &target]);
        process::run_quietly(&format!("Rust's standard library for {target}"), &mut command)?;
    }
    Ok(())
}

/// What fuzzing needs beside that: libFuzzer is C++.
pub(crate) fn cplusplus() -> Result<()> {
    let package = package("g++", Program("c++"), "builds libFuzzer");
    if package.is_there() || install_packages(&[&package])? {
        return Ok(());
    }
    bail!("fuzzing needs a C++ compiler")
}

/// The toolchain of rust-toolchain.toml.
fn channel() -> Result<String> {
    let file = process::root().join("rust-toolchain.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
    let table: toml::Table = text.parse().context("rust-toolchain.toml")?;
    let channel = table.get("toolchain").and_then(|toolchain| toolchain.get("channel")?.as_str());
    channel.map(Into::into).ok_or_else(|| anyhow!("rust-toolchain.toml names no channel"))
}

fn missing_components() -> Vec<&'static str> {
    // Whatever toolchain runs us, the pinned one builds the kernel program.
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "sysroot"]).current_dir(process::root()).env_remove("RUSTUP_TOOLCHAIN");
    let sysroot = rustc
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
    [
        ("rust-src", "lib/rustlib/src/rust/library/core/src/lib.rs"),
        ("clippy", "bin/cargo-clippy"),
        ("rustfmt", "bin/rustfmt"),
    ]
    .into_iter()
    .filter(|(_, file)| !sysroot.as_ref().is_some_and(|sysroot| sysroot.join(file).exists()))
    .map(|(component, _)| component)
    .collect()
}

fn install_components(channel: &str, components: &[&str]) -> Result<()> {
    let list = components.join(", ");
    if find_program("rustup").is_none() {
        bail!(
            "the Rust toolchain lacks {list}, and there is no rustup to add it: install rustup (https://rustup.rs), \
             or these components of Rust {channel}"
        );
    }
    // Adds what is missing to a toolchain that is there, whatever RUSTUP_AUTO_INSTALL says.
    let mut command = Command::new("rustup");
    command.args(["toolchain", "install", channel, "--profile", "minimal", "--no-self-update"]);
    for component in components {
        command.args(["--component", component]);
    }
    process::run_quietly(&format!("Rust {channel}: {list}"), &mut command).map(drop)
}

/// Whether they were installed: without apt or root it says what to do, and building may do without some.
fn install_packages(packages: &[&Package]) -> Result<bool> {
    let missing = || {
        let lines: Vec<_> =
            packages.iter().map(|package| format!("  {:<14} {}", package.name, package.purpose)).collect();
        lines.join("\n")
    };
    let names: Vec<_> = packages.iter().map(|package| package.name).collect();
    if find_program("apt-get").is_none() {
        eprintln!(
            "setup: not a Debian: please install what these Debian packages hold, by your distribution's names:\n{}",
            missing()
        );
        return Ok(false);
    }
    if !sys::is_root() {
        eprintln!("setup: not root: missing are\n{}\nsudo apt-get install {}", missing(), names.join(" "));
        return Ok(false);
    }
    let _quiet = NoServices::new();
    let install = || {
        let mut command = apt();
        command.args(["install", "--yes", "--no-install-recommends"]).args(&names);
        process::run_quietly(&format!("Debian packages: {}", names.join(", ")), &mut command)
    };
    // With no lists, or old ones, the first try fails at once, and says nothing that the second would not.
    if !have_lists() || install().is_err() {
        process::run_quietly("package lists", apt().arg("update"))?;
        install().map_err(|error| {
            anyhow!(
                "{error:#}\nDebian 12 has LLVM 22 in bookworm-security; for a release without it see apt.llvm.org"
            )
        })?;
    }
    if Path::new("/run/systemd/system").exists() {
        for (package, service) in SERVICES {
            if names.contains(&package) {
                let mut command = Command::new("systemctl");
                command.args(["disable", "--quiet", service]).stderr(Stdio::null());
                // Only the programs are wanted; a server that starts at the next boot is a nuisance, not a failure.
                let _ = command.status();
            }
        }
    }
    Ok(true)
}

fn have_lists() -> bool {
    let entries = fs::read_dir("/var/lib/apt/lists").into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-o", "DPkg::Lock::Timeout=120"]);
    command
}

/// While it lives, packages that are installed start no service (Debian policy, invoke-rc.d).
struct NoServices(Option<&'static str>);

impl NoServices {
    fn new() -> Self {
        const POLICY: &str = "/usr/sbin/policy-rc.d";
        if Path::new(POLICY).exists() {
            return Self(None);
        }
        let written = fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(POLICY, std::os::unix::fs::PermissionsExt::from_mode(0o755)));
        Self(written.is_ok().then_some(POLICY))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = self.0 {
            let _ = fs::remove_file(policy);
        }
    }
}

/// Why `bpf-linker` has to be installed; `None` where the right one is there and starts.
fn linker_problem() -> Option<String> {
    let Some(program) = find_program("bpf-linker") else {
        return Some("there is none".into());
    };
    let Ok(output) = Command::new(program).arg("--version").output() else {
        return Some("it does not start".into());
    };
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if version != format!("bpf-linker {BPF_LINKER}") {
        return Some(format!("{BPF_LINKER} is needed, there is `{version}`"));
    }
    // Its version does not say which LLVM it has; what cargo wrote down when it installed it does.
    let recorded = process::cargo_home().and_then(|home| fs::read(home.join(".crates2.json")).ok())?;
    let recorded: serde_json::Value = serde_json::from_slice(&recorded).ok()?;
    let install = recorded.get("installs")?.as_object()?.iter();
    let (_, install) =
        install.into_iter().find(|(key, _)| key.starts_with(&format!("bpf-linker {BPF_LINKER} ")))?;
    let features = install.get("features")?.as_array()?;
    (!features.iter().any(|feature| feature == LLVM)).then(|| format!("it was built without {LLVM}"))
}

fn install_linker(problem: &str) -> Result<()> {
    let mut command =
        process::cargo(["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--force"]);
    command.args(["--no-default-features", "--features", LLVM]);
    if Path::new(LLVM_PREFIX).exists() {
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(
            std::iter::once(PathBuf::from(LLVM_PREFIX).join("bin")).chain(env::split_paths(&path)),
        )?;
        // llvm-sys takes the first llvm-config that it finds, which may be of another LLVM.
        command.env("LLVM_PREFIX", LLVM_PREFIX).env("PATH", path);
    }
    let installed = process::run_quietly(&format!("bpf-linker {BPF_LINKER} ({problem})"), &mut command);
    installed.map(drop).with_context(|| {
        format!(
            "bpf-linker needs LLVM 22 with its headers (Debian: llvm-22-dev libzstd-dev zlib1g-dev). By hand: \
             LLVM_PREFIX={LLVM_PREFIX} cargo install bpf-linker --version {BPF_LINKER} --locked \
             --no-default-features --features {LLVM}"
        )
    })
}
