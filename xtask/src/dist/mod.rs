//! What is given to others: a Debian package, and a static binary with what belongs to it, with checksums.
//!
//! Reading order: here, [`deb`] and [`statically`] (what is made), `machine` (a Debian with systemd that is thrown away),
//! `installed` (what is tried in it), `traffic` (what is sent and counted).

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::{process, setup};

mod deb;
mod installed;
mod machine;
mod statically;
mod traffic;
#[cfg(test)]
mod units_tests;

#[derive(Args)]
pub(crate) struct Options {
    /// What is made [default: all]
    #[arg(value_enum)]
    what: Vec<What>,
    /// Makes a package of the development build instead, and installs, runs, upgrades, removes and purges it in a machine of its own
    #[arg(long, conflicts_with = "what")]
    test: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// The Debian package
    Deb,
    /// The static binary and what belongs to it (needs root: it has to run and count before it is packed)
    Static,
}

/// Which of cargo's profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    Dev,
    Release,
}

impl Profile {
    /// Cargo's name, and its directory.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Dev => ("dev", "debug"),
            Self::Release => ("release", "release"),
        }
    }
}

/// Makes what was asked for, in `target/dist`.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.test {
        return test();
    }
    let asked = |what| options.what.is_empty() || options.what.contains(&what);
    if asked(What::Static) {
        statically::can_be_tried()?;
    }
    setup::for_packages(asked(What::Static))?;
    let directory = directory()?;
    if asked(What::Deb) {
        let binary = build(Profile::Release, None)?;
        pages(&binary)?;
        deb::package(Profile::Release, None, &directory)?;
    }
    if asked(What::Static) {
        let target = statically::target();
        let binary = build(Profile::Release, Some(&target))?;
        pages(&binary)?;
        statically::archive(&binary, &target, &directory)?;
    }
    checksums(&directory)
}

/// Tries a package of the development build.
pub(crate) fn test() -> Result<()> {
    setup::for_packages(false)?;
    let binary = build(Profile::Dev, None)?;
    pages(&binary)?;
    let directory = tempfile::tempdir()?;
    let versions = ["1", "2"].map(|revision| format!("{}-{revision}", env!("CARGO_PKG_VERSION")));
    let packages = versions.map(|version| deb::package(Profile::Dev, Some(&version), directory.path()));
    let [old, new] = packages;
    installed::run(&old?, &new?, &binary)
}

/// Where everything comes to lie.
fn directory() -> Result<PathBuf> {
    let directory = target().join("dist");
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

fn target() -> PathBuf {
    process::root().join("target")
}

/// Builds the binary, and says where it is.
fn build(profile: Profile, target_triple: Option<&str>) -> Result<PathBuf> {
    let (name, directory) = profile.names();
    let mut command = process::cargo(["build", "--locked", "--bin=classifier", "--profile", name]);
    match profile {
        // With a test beside it, dependencies have the features that they have for tests: after those it is there already.
        Profile::Dev => command.args(["--workspace", "--exclude=classifier-ebpf", "--test=cli"]),
        Profile::Release => command.arg("--package=classifier-user"),
    };
    let mut binary = target();
    if let Some(triple) = target_triple {
        command.args(["--target", triple]);
        statically::tools(&mut command, triple);
        binary.push(triple);
    }
    process::run(&mut command)?;
    Ok(binary.join(directory).join("classifier"))
}

/// Manual pages and completions, as the binary itself writes them, in `target/dist-pages`.
fn pages(binary: &Path) -> Result<()> {
    let directory = target().join("dist-pages");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    let man = directory.join("man");
    fs::create_dir_all(&man)?;
    let classifier = || std::process::Command::new(binary);
    process::run(classifier().args(["man", "--dir"]).arg(&man))?;
    for (shell, file) in [("bash", "classifier"), ("zsh", "_classifier"), ("fish", "classifier.fish")] {
        let text = process::read(classifier().args(["completions", shell]))?;
        fs::write(directory.join(file), text)?;
    }
    Ok(())
}

/// `SHA256SUMS` of all that lies there.
fn checksums(directory: &Path) -> Result<()> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    let mut names: Vec<_> = names.into_iter().filter(|name| name != "SHA256SUMS").collect();
    names.sort();
    let sums = process::read(std::process::Command::new("sha256sum").args(&names).current_dir(directory))?;
    fs::write(directory.join("SHA256SUMS"), &sums)?;
    eprintln!("{}:\n{}", directory.display(), String::from_utf8_lossy(&sums).trim_end());
    Ok(())
}
