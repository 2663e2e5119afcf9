//! Names of programs. The kernel tells them to CAP_SYS_ADMIN only, which a process that counts does not keep: what can be
//! seen is remembered while it can be.

use std::{collections::HashMap, sync::OnceLock};

static SEEN: OnceLock<HashMap<u32, String>> = OnceLock::new();

fn loaded() -> impl Iterator<Item = (u32, String)> {
    let programs = aya::programs::loaded_programs().filter_map(Result::ok);
    programs.filter_map(|program| Some((program.id(), program.name_as_str()?.to_owned())))
}

/// Remembers the names of all programs that are loaded now, before the privilege to see them is given up.
pub fn remember_names() {
    SEEN.get_or_init(|| loaded().collect());
}

/// A program's name, where it can be seen, or could be.
pub(super) fn of(id: u32) -> Option<String> {
    let seen = || SEEN.get()?.get(&id).cloned();
    loaded().find(|(its, _)| *its == id).map(|(_, name)| name).or_else(seen)
}
