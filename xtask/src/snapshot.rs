//! The built-in table: fetches the package that it is made from, and has `classifier table snapshot` make it.

use std::{
    fs,
    path::{self, Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;

use crate::process::{self, find_program};

const PACKAGE: &str = "@ip-location-db/asn";
const RANGES: [&str; 2] = ["asn-ipv4.csv", "asn-ipv6.csv"];
const ATTRIBUTION: &str = "CC BY 4.0: RouteViews (routeviews.org), DB-IP (https://db-ip.com), NRO (nro.net), \
    merged by sapics/ip-location-db; changed: ranges made prefixes";
const OUTPUT: &str = "data/snapshot.bin";

#[derive(Args)]
pub(crate) struct Options {
    /// The package's archive, where it is here already [default: fetched by `npm pack`]
    #[arg(long, value_name = "FILE.tgz", conflicts_with = "tables")]
    package: Option<PathBuf>,
    /// Another table instead of the package, in any format that `classifier --table` reads; may be repeated
    #[arg(long = "table", value_name = "FILE", requires_all = ["date", "source", "attribution"])]
    tables: Vec<PathBuf>,
    /// That table's date
    #[arg(long, value_name = "YYYY-MM-DD", requires = "tables")]
    date: Option<String>,
    /// Where that table comes from, in one line
    #[arg(long, value_name = "TEXT", requires = "tables")]
    source: Option<String>,
    /// Who must be named wherever it is shown, in one line
    #[arg(long, value_name = "TEXT", requires = "tables")]
    attribution: Option<String>,
}

/// Makes it.
pub(crate) fn run(options: &Options) -> Result<()> {
    if let (Some(date), Some(source), Some(attribution)) =
        (&options.date, &options.source, &options.attribution)
    {
        let tables: Vec<_> = options.tables.iter().map(path::absolute).collect::<Result<_, _>>()?;
        return make(&tables, date, source, attribution);
    }
    let directory = tempfile::tempdir().context("could not make a temporary directory")?;
    let archive = match &options.package {
        Some(file) => file.clone(),
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
    let source = format!("npm package {PACKAGE} {version}");
    make(&RANGES.map(|file| content.join(file)), &date, &source, ATTRIBUTION)
}

/// Has the product make it, which accepts no table that has well-known networks wrong.
fn make(tables: &[PathBuf], date: &str, source: &str, attribution: &str) -> Result<()> {
    eprintln!("snapshot: {source}, of {date}");
    let mut make =
        process::cargo(["run", "--release", "--package", "classifier-user", "--bin", "classifier"]);
    make.args(["--", "table", "snapshot", "--date", date, "--source", source, "--attribution", attribution]);
    for table in tables {
        make.arg("--table").arg(table);
    }
    process::run(make.args(["-o", OUTPUT]))?;
    eprintln!("snapshot: bring NOTICE up to date: it names the version, the date and the sources");
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
