//! The built-in table: fetches the package that it is made from, and has `classifier table snapshot` make it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::process::{self, find_program};

const PACKAGE: &str = "@ip-location-db/asn";
const RANGES: [&str; 2] = ["asn-ipv4.csv", "asn-ipv6.csv"];
const OUTPUT: &str = "data/builtin.snapshot";

/// Makes it, from this archive of the package or a fetched one.
pub(crate) fn run(package: Option<&Path>) -> Result<()> {
    let directory = tempfile::tempdir().context("could not make a temporary directory")?;
    let archive = match package {
        Some(file) => file.to_owned(),
        None => fetch(directory.path())?,
    };
    let mut unpack = Command::new("tar");
    unpack.arg("-xzf").arg(&archive).arg("-C").arg(directory.path());
    process::run(&mut unpack)
        .with_context(|| format!("{} is not the package's archive", archive.display()))?;
    // npm archives hold everything under `package/`.
    let content = directory.path().join("package");
    let manifest =
        fs::read(content.join("package.json")).context("the archive has no package/package.json")?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).context("package/package.json")?;
    let version = manifest.get("version").and_then(serde_json::Value::as_str).unwrap_or_default();
    let date = date_of(version).ok_or_else(|| {
        anyhow!("the package's version, `{version}`, does not end in a date (2.3.2026061719)")
    })?;
    eprintln!("snapshot: {PACKAGE} {version}, of {date}");

    let mut make =
        process::cargo(["run", "--release", "--package", "classifier-user", "--bin", "classifier"]);
    make.args(["--", "table", "snapshot", "--date", &date]);
    for ranges in RANGES {
        make.arg("--table").arg(content.join(ranges));
    }
    process::run(make.arg("-o").arg(process::root().join(OUTPUT)))?;
    let size = fs::metadata(process::root().join(OUTPUT)).context(OUTPUT)?.len();
    eprintln!("snapshot: {OUTPUT}, {:.1} MB; CC BY 4.0: NOTICE names its sources", size as f64 / 1e6);
    Ok(())
}

fn fetch(directory: &Path) -> Result<PathBuf> {
    if find_program("npm").is_none() {
        bail!(
            "npm is needed to fetch {PACKAGE} (Debian: apt-get install npm); or give its archive: --package FILE.tgz"
        );
    }
    let mut pack = Command::new("npm");
    pack.args(["pack", PACKAGE, "--silent"]).current_dir(directory);
    process::run_quietly(&format!("fetching {PACKAGE}"), &mut pack)?;
    let mut files = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    files
        .find(|file| file.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or_else(|| anyhow!("npm pack left no archive"))
}

/// The date in a version such as `2.3.2026061719`: year, month, day, hour.
fn date_of(version: &str) -> Option<String> {
    let stamp = version.rsplit('.').next()?;
    if stamp.len() < 8 || !stamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(format!("{}-{}-{}", stamp.get(..4)?, stamp.get(4..6)?, stamp.get(6..8)?))
}

#[cfg(test)]
mod tests {
    use super::date_of;

    #[test]
    fn a_version_holds_its_date() {
        assert_eq!(date_of("2.3.2026061719").as_deref(), Some("2026-06-17"));
        assert_eq!(date_of("2.3.20260617").as_deref(), Some("2026-06-17"));
        assert_eq!(date_of("2.3.0"), None);
        assert_eq!(date_of("2.3.2026-06-17"), None);
    }
}
