//! The Debian package, by cargo-deb; what is in it stands in classifier-user/Cargo.toml.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Profile;
use crate::process;

/// Makes it of what is built, into a directory, and says where it is.
pub(super) fn package(profile: Profile, version: Option<&str>, into: &Path) -> Result<PathBuf> {
    let mut command =
        process::cargo(["deb", "--locked", "--package", "classifier-user", "--no-build", "--quiet"]);
    command.args(["--profile", profile.names().0]).arg("--output").arg(into);
    if let Some(version) = version {
        command.args(["--deb-version", version]);
    }
    if profile == Profile::Dev {
        // It lives for a minute.
        command.arg("--fast");
    }
    let said = process::read(&mut command)?;
    let path = String::from_utf8_lossy(&said).lines().last().map(PathBuf::from);
    path.filter(|path| path.is_file())
        .ok_or_else(|| anyhow::anyhow!("cargo-deb does not say where the package is"))
}
