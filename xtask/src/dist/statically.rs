//! A binary that needs nothing but a kernel, and what belongs to it, as one archive.

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::process;

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

/// Puts everything together.
pub(super) fn archive(binary: &Path, target: &str, into: &Path) -> Result<()> {
    let program = process::read(Command::new("readelf").arg("--program-headers").arg(binary))?;
    if String::from_utf8_lossy(&program).contains("INTERP") {
        bail!("{} asks for a dynamic linker", binary.display());
    }
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
