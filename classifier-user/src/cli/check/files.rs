//! Files that the agent reads, and whether it may.

use std::{fs::File, path::PathBuf};

use crate::{
    config::{RunPlan, TableSpec},
    datapath::privileges::User,
};

/// Paths, and why they cannot be read.
pub(super) type Unreadable = Vec<(String, String)>;

/// As whom the package starts the agent.
const SERVICE: &str = "classifier";

/// Files of the plan that whoever asks cannot read.
pub(super) fn unreadable(plan: &RunPlan) -> Unreadable {
    refused(&files(plan))
}

/// Files that the user cannot read whom the agent becomes; where none is said and this machine has the package's user, that
/// one. Only root finds out.
pub(super) fn unreadable_by(plan: &RunPlan) -> Option<(String, Unreadable)> {
    let name = plan.user.as_deref().unwrap_or(SERVICE);
    let (user, files) = (User::find(name).ok()?, files(plan));
    let found = user.acting(move || refused(&files)).ok()?;
    (!found.is_empty()).then(|| (name.to_owned(), found))
}

fn refused(files: &[PathBuf]) -> Unreadable {
    let why = |path: &PathBuf| Some((path.display().to_string(), File::open(path).err()?.to_string()));
    files.iter().filter_map(why).collect()
}

fn files(plan: &RunPlan) -> Vec<PathBuf> {
    let tables = plan.tables.iter().filter_map(|table| match table {
        TableSpec::Builtin => None,
        TableSpec::File(path) => Some(path),
    });
    let named = [&plan.overrides, &plan.groups].into_iter().flatten();
    tables.chain(named).chain(&plan.as_names).chain(plan.web_configs()).cloned().collect()
}
