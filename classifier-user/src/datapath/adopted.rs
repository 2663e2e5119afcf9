//! What the kernel counted for the agents before this one.

use std::time::SystemTime;

use crate::model::{Counter, Hook, Link, LinkId, LinkKind, Owner, Role};

/// One counting, from when the kernel's counters began at zero to when they are taken off: the same over restarts,
/// upgrades and changes of the maps. What was counted in two different ones has nothing to do with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CountId(pub [u8; 16]);

/// What a link was called where it was counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkLabel {
    /// [`Link::name`].
    pub name: String,
    /// [`Link::role`].
    pub role: Role,
    /// [`Link::kind`].
    pub kind: Option<LinkKind>,
}

impl LinkLabel {
    /// Of a link.
    #[must_use]
    pub fn of(link: &Link) -> Self {
        Self { name: link.name.clone(), role: link.role, kind: link.kind }
    }

    /// Whether what both counted belongs together.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        (&self.name, self.role) == (&other.name, other.role)
    }
}

/// All that was counted until this agent's programs took over.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// Of what counting.
    pub count: CountId,
    /// When that began.
    pub since: SystemTime,
    /// Whether it has been recorded in this agent's state directory since it began; see [`recorder_id`].
    pub recorded_here: bool,
    /// By link, in no order; those that this agent does not have are among them.
    pub links: Vec<AdoptedLink>,
    /// Hooks of this agent's links that were not counted for a while: each at most once.
    pub missed: Vec<Missed>,
}

/// A hook that an agent before this one had counted, and that was not when this one began, or for a moment while it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The agent's link.
    pub link: LinkId,
    /// Which hook.
    pub hook: Hook,
    /// Since when nothing was counted there; `None` where nobody has seen it.
    pub since: Option<SystemTime>,
}

/// A link's part of it.
#[derive(Clone, Debug)]
pub struct AdoptedLink {
    /// Which link.
    pub label: LinkLabel,
    /// By [`crate::model::Hook`].
    pub hooks: [AdoptedHook; 2],
}

/// A hook's part of it.
#[derive(Clone, Debug, Default)]
pub struct AdoptedHook {
    /// By [`crate::model::Outcome`].
    pub outcomes: [Counter; 5],
    /// By [`crate::model::Side`]: each owner once, in no order.
    pub sides: [Vec<(Owner, Counter)>; 2],
}

/// What stands for a state directory in the kernel: 16 bytes of its path.
#[must_use]
pub fn recorder_id(directory: &std::path::Path) -> [u8; 16] {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let path = path.as_os_str().as_bytes();
    // Not to keep anybody out: two directories of one machine are to be told apart. FNV-1a.
    let fnv = |basis: u128| {
        path.iter().fold(basis, |hash, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        })
    };
    fnv(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d).to_le_bytes()
}
