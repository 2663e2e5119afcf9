//! Debian's kernels for clouds, from the mirror that this machine has: the newest of a series.

use std::{
    cmp::Ordering,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::process;

/// Where such kernels are: Debian 12 has 6.1, its backports and Debian 13 have 6.12.
const SUITES: [&str; 3] = ["bookworm", "bookworm-backports", "trixie"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where a package has its modules: since Debian 13, and before.
const HOMES: [&str; 2] = ["usr/lib/modules", "lib/modules"];

/// A kernel that was unpacked.
#[derive(Debug)]
pub(super) struct Kernel {
    /// As it was asked for: `6.1`.
    pub(super) version: String,
    /// What it calls itself: `6.1.0-54-cloud-amd64`.
    pub(super) release: String,
    directory: PathBuf,
    /// One of [`HOMES`].
    home: &'static str,
}

impl Kernel {
    /// The compressed image.
    pub(super) fn image(&self) -> PathBuf {
        self.directory.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// Its modules.
    pub(super) fn modules(&self) -> PathBuf {
        self.directory.join(self.home).join(&self.release)
    }

    fn find(version: &str, directory: &Path) -> Option<Self> {
        HOMES.into_iter().find_map(|home| {
            let entries = fs::read_dir(directory.join(home)).ok()?;
            let release = entries.flatten().next()?.file_name().into_string().ok()?;
            let kernel = Self { version: version.to_owned(), release, directory: directory.to_owned(), home };
            kernel.image().is_file().then_some(kernel)
        })
    }
}

/// Where machines' files are kept from run to run.
pub(super) fn directory() -> PathBuf {
    process::root().join("target/vm")
}

/// One that is there from before; else the newest that the mirror has.
pub(super) fn fetch(version: &str) -> Result<Kernel> {
    let directory = directory().join(format!("linux-{version}"));
    if let Some(kernel) = Kernel::find(version, &directory) {
        return Ok(kernel);
    }
    let packages = directory.with_extension("packages");
    fs::create_dir_all(packages.join("lists/partial"))?;
    fs::create_dir_all(packages.join("archives/partial"))?;
    let sources = packages.join("sources.list");
    let mirror = mirror()?;
    let lines: Vec<String> =
        SUITES.map(|suite| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n")).into();
    fs::write(&sources, lines.concat())?;
    let apt = |program: &str| {
        let mut command = Command::new(program);
        for (option, path) in [
            ("Dir::Etc::sourcelist", sources.as_path()),
            ("Dir::Etc::sourceparts", Path::new("-")),
            ("Dir::State::lists", &packages.join("lists")),
            ("Dir::Cache::archives", &packages.join("archives")),
        ] {
            command.arg("-o").arg(format!("{option}={}", path.display()));
        }
        command.args(["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]);
        // Ours to read only: what apt drops its privileges to could not write there.
        command.args(["-o", "APT::Sandbox::User=root"]).current_dir(&packages);
        command
    };
    process::run_quietly("lists of kernels", apt("apt-get").args(["-q", "update"]))?;
    let pattern = format!(r"^linux-image-{}\.[0-9].*-cloud-amd64$", version.replace('.', r"\."));
    let found = process::read(apt("apt-cache").args(["search", "--names-only", &pattern]))?;
    let package = newest(&String::from_utf8_lossy(&found))
        .ok_or_else(|| anyhow!("the mirror has no package `linux-image-{version}.…-cloud-amd64`"))?;
    process::run_quietly(&package, apt("apt-get").args(["-q", "download", &package]))?;
    let archive = fs::read_dir(&packages)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded nothing")?;
    process::run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&directory))?;
    fs::remove_dir_all(&packages)?;
    Kernel::find(version, &directory).with_context(|| format!("{package} holds no kernel"))
}

/// Debian's mirror of this machine.
fn mirror() -> Result<String> {
    let targets = process::read(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Origin: Debian",
    ]))?;
    let text = String::from_utf8_lossy(&targets);
    let mirror = text.lines().find(|uri| uri.trim_end_matches('/').ends_with("/debian"));
    match mirror {
        Some(mirror) => Ok(mirror.to_owned()),
        None => {
            bail!("kernels are taken from the machine's Debian mirror, and it has none: this needs a Debian")
        }
    }
}

/// The newest of packages, by the numbers in their names.
fn newest(search: &str) -> Option<String> {
    let names = search.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty());
    names.max_by(|a, b| compare(a, b)).map(str::to_owned)
}

fn compare(a: &str, b: &str) -> Ordering {
    let numbers = |name: &str| -> Vec<u64> {
        let digits = name.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        digits.filter_map(|part| part.parse().ok()).collect()
    };
    numbers(a).cmp(&numbers(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_found_by_its_numbers() {
        let search = "linux-image-6.1.0-47-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)\n\
                      linux-image-6.1.0-54-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)\n\
                      linux-image-6.1.0-9-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)\n";
        assert_eq!(newest(search).as_deref(), Some("linux-image-6.1.0-54-cloud-amd64"));
        assert_eq!(newest(""), None);
    }
}
