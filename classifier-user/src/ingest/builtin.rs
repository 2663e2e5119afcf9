//! The table in the binary: AS numbers and names out of the box. A bootstrap, not a truth.

use std::path::Path;

use super::{
    IngestError, SourceTable,
    snapshot::{self, About, SnapshotError},
};

/// `data/snapshot.bin`, which `cargo xtask snapshot` makes.
static SNAPSHOT: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/snapshot.bin"));

/// The name of this table.
pub const NAME: &str = "builtin";

/// Decodes the built-in table.
///
/// # Errors
/// The binary was built with a damaged snapshot.
pub fn load() -> Result<SourceTable, IngestError> {
    snapshot::table(SNAPSHOT, NAME.into())
        .map_err(|source| IngestError::Snapshot { file: Path::new(NAME).into(), source })
}

/// The date and the origin of the built-in table, for those who must be named on every page that shows it.
///
/// # Errors
/// The binary was built with a damaged snapshot.
pub fn about() -> Result<About, SnapshotError> {
    snapshot::about(SNAPSHOT)
}

#[cfg(test)]
#[path = "builtin_tests.rs"]
mod tests;
