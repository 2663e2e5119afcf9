//! What outlives the agent in the kernel.

use std::path::PathBuf;

/// What flags or the file say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepSettings {
    /// [`KeepPlan::counting`].
    pub counting: Option<bool>,
    /// [`KeepPlan::instance`].
    pub instance: Option<String>,
    /// [`KeepPlan::bpffs`].
    pub bpffs: Option<PathBuf>,
    /// [`KeepPlan::abi`].
    pub abi: Option<u32>,
}

/// What outlives the agent, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepPlan {
    /// Whether the kernel counts on when the agent ends, whatever way.
    pub counting: bool,
    /// The name under which it does: two agents of a machine have two.
    pub instance: String,
    /// Where the BPF file system is.
    pub bpffs: PathBuf,
    /// Under which version of the interface to the kernel's programs; `None`: this binary's own. For tests of upgrades.
    pub abi: Option<u32>,
}

impl Default for KeepPlan {
    fn default() -> Self {
        Self {
            counting: false,
            instance: DEFAULT_INSTANCE.to_owned(),
            bpffs: DEFAULT_BPFFS.into(),
            abi: None,
        }
    }
}

/// What an agent is called in the kernel where nothing is said.
pub const DEFAULT_INSTANCE: &str = "default";
/// Where the BPF file system is where nothing is said.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf";

/// A name that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of an instance: expected 1 to 32 letters, digits, `-` or `_`")]
pub struct InstanceError(String);

/// The name of an instance, if it can be one: it becomes a directory's.
///
/// # Errors
/// [`InstanceError`].
pub fn instance(name: &str) -> Result<String, InstanceError> {
    let valid = (1..=32).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if valid { Ok(name.to_owned()) } else { Err(InstanceError(name.to_owned())) }
}

impl KeepSettings {
    /// These settings, and `below` where they say nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            counting: self.counting.or(below.counting),
            instance: self.instance.or(below.instance),
            bpffs: self.bpffs.or(below.bpffs),
            abi: self.abi.or(below.abi),
        }
    }

    /// Checks all and fills in the defaults.
    ///
    /// # Errors
    /// [`InstanceError`].
    pub fn plan(self) -> Result<KeepPlan, InstanceError> {
        let default = KeepPlan::default();
        Ok(KeepPlan {
            counting: self.counting.unwrap_or(default.counting),
            instance: self.instance.map_or(Ok(default.instance), |name| instance(&name))?,
            bpffs: self.bpffs.unwrap_or(default.bpffs),
            abi: self.abi,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_instances_are_names_of_directories() {
        for name in ["default", "border-1", "A_b", &"x".repeat(32)] {
            assert_eq!(instance(name).as_deref(), Ok(name));
        }
        for name in ["", ".", "a.b", "a/b", "a b", "é", &"x".repeat(33)] {
            assert_eq!(instance(name), Err(InstanceError(name.to_owned())), "{name}");
        }
    }
}
