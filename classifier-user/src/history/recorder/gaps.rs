//! Times in which a link was not counted though the agent ran: lines of JSON in the file `gaps.jsonl`, oldest first.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use crate::totals::answer::GapStatus;

const FILE: &str = "gaps.jsonl";

/// Adds gaps; each is a line with `link`, `from`, `to` and `why`.
///
/// # Errors
/// The disk did not take them.
pub(super) fn append(directory: &Path, gaps: &[GapStatus]) -> io::Result<()> {
    let mut lines = String::new();
    for gap in gaps {
        lines.push_str(&serde_json::to_string(gap)?);
        lines.push('\n');
    }
    let path = directory.join(FILE);
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(lines.as_bytes())
}
