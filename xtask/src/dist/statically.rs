//! A binary that needs nothing but a kernel, and what belongs to it, as one archive.

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use super::traffic;
use crate::{
    chaos::life::Life,
    demo::{
        generator::Count,
        lab::{self, INTERNET_INTERFACE, Lab, ROUTER_INTERFACE},
    },
    process,
    sys::{self, Signal},
};

/// What else is in the archive, from the repository.
const FILES: &[&str] = &["README.md", "CHANGELOG.md", "NOTICE", "LICENSE-MIT", "LICENSE-APACHE"];
/// And from `packaging/`.
pub(super) const PACKAGING: &[&str] = &[
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

/// What is not tried is not packed: fails where that cannot be, before anything is built.
pub(super) fn can_be_tried() -> Result<()> {
    ensure!(
        sys::is_root(),
        "the static binary has to run and count before it is packed, which needs root: sudo -E cargo xtask dist static \
         (the Debian package alone does not: cargo xtask dist deb)"
    );
    Ok(())
}

/// Puts everything together, if the binary, as it is packed, is what it should be.
pub(super) fn archive(built: &Path, target: &str, into: &Path) -> Result<()> {
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
    let binary = &top.join("classifier");
    process::run(Command::new("strip").arg("-o").arg(binary).arg(built))?;
    let program = process::read(Command::new("readelf").arg("--program-headers").arg(binary))?;
    if String::from_utf8_lossy(&program).contains("INTERP") {
        bail!("{} asks for a dynamic linker", built.display());
    }
    needs_nothing_else(binary)?;
    can_count(binary)?;
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

/// Has it count what is sent both ways over a link of two network namespaces, which go with this.
fn can_count(binary: &Path) -> Result<()> {
    /// In and out; a veth's ring holds 256.
    const FRAMES: [u64; 2] = [200, 100];
    /// Free, in a namespace of its own.
    const LISTEN: &str = "127.0.0.1:9469";
    let lab = Lab::new()?;
    let log = tempfile::NamedTempFile::new()?;
    let mut run = Command::new(binary);
    run.args(["run", "--no-keep", "--interval", "200ms", "--upstream", ROUTER_INTERFACE, "--listen", LISTEN]);
    let mut agent = Life::start(&mut run, &lab.router, log.path())?;
    let counted = || -> Result<[Count; 2]> {
        let mut links = Command::new(binary);
        links.args(["links", "--json", "--agent", &format!("http://{LISTEN}")]);
        let output = lab::in_namespace(&lab.router, || Ok(links.output()?))?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        traffic::counted(&output.stdout)
    };
    agent.until("an answer of the static binary", || Ok(counted().is_ok()))?;
    traffic::send(&lab.internet, INTERNET_INTERFACE, FRAMES[0])?;
    traffic::send(&lab.router, ROUTER_INTERFACE, FRAMES[1])?;
    let sent = FRAMES.map(traffic::count);
    let all = || -> Result<bool> {
        Ok(counted()?.iter().zip(&sent).all(|(counted, sent)| counted.packets >= sent.packets))
    };
    agent
        .until("all that was sent", all)
        .with_context(|| format!("sent, in and out: {sent:?}; counted: {:?}", counted().ok()))?;
    let counted = counted()?;
    ensure!(counted == sent, "sent, in and out: {sent:?}; counted by the static binary: {counted:?}");
    agent.signal(Signal::Terminate)?;
    agent.wait(true)
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
