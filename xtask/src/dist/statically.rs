//! A binary that needs nothing but a kernel, and what belongs to it, as one archive.

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{process, sys, test::NAMESPACE};

/// What else is in the archive, from the repository.
const FILES: &[&str] = &["README.md", "CHANGELOG.md", "NOTICE", "LICENSE-MIT", "LICENSE-APACHE"];
/// And from `packaging/`.
const PACKAGING: &[&str] = &[
    "classifier.service",
    "classifier-datapath.service",
    "classifier-datapath.socket",
    "classifier.sysusers",
    "classifier.toml",
];

/// Rust's name of this machine's architecture with musl.
pub(super) fn target() -> String {
    format!("{}-unknown-linux-musl", env::consts::ARCH)
}

/// SQLite, zstd and ring are C and assembly: musl-tools compiles them.
pub(super) fn tools(command: &mut Command, target: &str) {
    command.env(format!("CC_{}", target.replace('-', "_")), "musl-gcc");
}

/// Puts everything together, if the binary is what it should be. That it runs is tried as root only.
pub(super) fn archive(binary: &Path, target: &str, into: &Path) -> Result<()> {
    let program = process::read(Command::new("readelf").arg("--program-headers").arg(binary))?;
    if String::from_utf8_lossy(&program).contains("INTERP") {
        bail!("{} asks for a dynamic linker", binary.display());
    }
    needs_nothing_else(binary)?;
    can_count(binary)?;
    let name = format!("classifier-{}-{target}", env!("CARGO_PKG_VERSION"));
    let staging = tempfile::tempdir()?;
    let directory = staging.path().join(&name);
    let sub = |name: &str| -> Result<_> {
        let path = directory.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    };
    let copy = |from: &Path, to: &Path| {
        let name = from.file_name().unwrap_or_default();
        fs::copy(from, to.join(name)).with_context(|| from.display().to_string()).map(drop)
    };
    let copy_all = |from: &Path, to: &Path| -> Result<()> {
        for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
            let path = entry?.path();
            if path.is_file() {
                copy(&path, to)?;
            }
        }
        Ok(())
    };
    let root = process::root();
    let top = sub("")?;
    process::run(Command::new("strip").arg("-o").arg(top.join("classifier")).arg(binary))?;
    for file in FILES {
        copy(&root.join(file), &top)?;
    }
    let packaging = sub("packaging")?;
    for file in PACKAGING {
        copy(&root.join("packaging").join(file), &packaging)?;
    }
    copy_all(&root.join("docs"), &sub("docs")?)?;
    copy_all(&root.join("docs/decisions"), &sub("docs/decisions")?)?;
    let pages = super::target().join("dist-pages");
    copy_all(&pages.join("man"), &sub("man")?)?;
    copy_all(&pages, &sub("completions")?)?;
    // The same files make the same archive, whoever makes it and when.
    let date = process::read(Command::new("git").args(["log", "-1", "--format=@%ct"]).current_dir(root))?;
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--zstd",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=go=rX,u+rw",
    ]);
    tar.arg(format!("--mtime={}", String::from_utf8_lossy(&date).trim()));
    tar.arg("--file")
        .arg(into.join(format!("{name}.tar.zst")))
        .arg("--directory")
        .arg(staging.path())
        .arg(&name);
    process::run(&mut tar)
}

/// Runs it where there is no other file.
fn needs_nothing_else(binary: &Path) -> Result<()> {
    if !sys::is_root() {
        eprintln!("dist: not root: whether the static binary runs was not tried");
        return Ok(());
    }
    let empty = tempfile::tempdir()?;
    fs::copy(binary, empty.path().join("classifier")).with_context(|| binary.display().to_string())?;
    let alone = |arguments: &[&str]| {
        let mut command = Command::new("chroot");
        // `chroot` itself is found by this.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg(empty.path()).arg("/classifier").args(arguments);
        Ok::<_, anyhow::Error>(String::from_utf8_lossy(&process::read(&mut command)?).into_owned())
    };
    let version = alone(&["--version"])?;
    ensure!(version.contains(env!("CARGO_PKG_VERSION")), "its version: {version}");
    // The table is in it.
    let found = alone(&["lookup", "8.8.8.8"])?;
    ensure!(found.contains("15169"), "8.8.8.8 is Google's, AS15169, and it says: {found}");
    Ok(())
}

/// Has it load its programs into this kernel, as `check` does, for a link of a network namespace that goes with it.
fn can_count(binary: &Path) -> Result<()> {
    const LINK: &str = "ip link add static0 type veth peer name static1 && ip link set static0 up && \
                        ip link set static1 up && exec \"$@\"";
    if !sys::is_root() {
        return Ok(());
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--", "sh", "-c", NAMESPACE, "sh", "sh", "-c", LINK, "sh"]).arg(binary);
    let said = process::read(command.args(["check", "--upstream", "static0", "--json"]))?;
    let report: Value = serde_json::from_slice(&said)?;
    let features = report.get("kernel_features").and_then(Value::as_array);
    let loads = features.into_iter().flatten().any(|feature| {
        feature.get("name").is_some_and(|name| name == "programs")
            && feature.get("found") == Some(&Value::Bool(true))
    });
    ensure!(loads, "this kernel does not take its programs: {report}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_needs_files_or_says_something_else_is_found_out() {
        if sys::is_root() {
            // It needs its libraries, as every program of this machine.
            let refused = needs_nothing_else(Path::new("/bin/cat")).expect_err("without its libraries");
            assert!(!refused.to_string().starts_with("could not run"), "chroot itself ran: {refused}");
            assert!(can_count(Path::new("/bin/echo")).is_err());
        }
    }
}
