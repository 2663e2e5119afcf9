//! The seam between the kernel and all the rest: [`Datapath`] takes FIB deltas and gives sweeps. Only this module's
//! [`kernel`] imports aya; [`fake`] is the same in memory, for tests and machines without BPF; [`remote`] is the same in
//! another process, which has the [`privileges`] that the agent has not.

use std::time::{Duration, SystemTime};

use classifier_common::abi;

use self::adopted::Adopted;
use crate::model::{Class, Counter, FibDelta, LinkId, Mode, Owner};

pub mod adopted;
pub(crate) mod beside;
pub mod fake;
pub mod interface;
pub mod kernel;
pub(crate) mod netlink;
pub(crate) mod netlink_tc;
pub mod overlap;
pub mod privileges;
pub mod remote;

/// What must be applied as one: the packet path never sees half of a delta, though it may see some deltas of a
/// batch before others.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Prefixes and their classes.
    pub deltas: Vec<FibDelta>,
    /// Classes that no prefix has after this batch. They come back in [`Sweep::released`] when nothing in the
    /// kernel can count into them any more and their counts were read a last time.
    pub retired: Vec<Class>,
    /// Classes that have an owner with this batch, and whose they are until they are released.
    pub bound: Vec<(Class, Owner)>,
}

/// What came of a [`Batch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// FIB words that were stored.
    pub words_written: u64,
}

/// One reading of all banks.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// When it began.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// One entry a link, in link order.
    pub links: Vec<LinkSweep>,
    /// Retired classes that may be given to others, now that this sweep has their last counts.
    pub released: Vec<Class>,
}

/// A link's part of a sweep.
#[derive(Clone, Debug)]
pub struct LinkSweep {
    /// The link.
    pub link: LinkId,
    /// Receive and transmit, by [`crate::model::Hook`]; `None` where nothing is attached.
    pub hooks: [Option<HookSweep>; 2],
}

/// A hook's part of a sweep.
#[derive(Clone, Debug, Default)]
pub struct HookSweep {
    /// By [`crate::model::Outcome`], counted since the datapath began.
    pub outcomes: [Counter; 5],
    /// By [`crate::model::Side`]: what each class counted since the sweep before, classes ascending, none zero.
    /// `None` where the side is not counted.
    pub sides: [Option<Vec<(Class, Counter)>>; 2],
}

/// How a link is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The link.
    pub link: LinkId,
    /// By [`crate::model::Hook`]; `None` where nothing is attached.
    pub modes: [Option<Mode>; 2],
}

/// Somebody else's program or filter on a hook, by which what is counted is another thing than what is on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// The interface.
    pub ifindex: u32,
    /// Which it is, and what comes of it, for people.
    pub what: String,
}

/// Kernel memory in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of the FIB's maps.
    pub fib_bytes: u64,
    /// Bytes of all banks, outcomes included.
    pub bank_bytes: u64,
}

/// The packet path as the agent sees it. Message-shaped: it can live in another process.
pub trait Datapath: Send {
    /// Puts deltas into the FIB, and begins to retire classes.
    ///
    /// # Errors
    /// [`DatapathError::FibFull`] where rows or nodes run out; the FIB is then as it was before the batch.
    fn apply(&mut self, batch: &Batch) -> Result<Applied, DatapathError>;

    /// Goes on with other maps, of these sizes: a new generation, which has all that the old one had. No packet is lost
    /// or counted twice: what the old one counted last is in the next sweep.
    ///
    /// # Errors
    /// There is no memory for it, or these sizes are too small; all is then as it was. A hook on which the programs
    /// could not be replaced counts no more, as [`Datapath::attachments`] says.
    fn resize(&mut self, sizes: &Sizes) -> Result<(), DatapathError>;

    /// The sizes of the maps.
    fn sizes(&self) -> Sizes;

    /// Makes the next sweep release all classes that were retired before it, where it would not by itself: what they
    /// counted may have to stay theirs for as long as these maps are used.
    ///
    /// # Errors
    /// As [`Datapath::resize`].
    fn reclaim(&mut self) -> Result<(), DatapathError> {
        Ok(())
    }

    /// Reads what was counted since the last sweep.
    ///
    /// # Errors
    /// A system call that failed.
    fn sweep(&mut self) -> Result<Sweep, DatapathError>;

    /// Moves links to an interface that is there now, or off one that is gone (`None`). What they counted stays theirs.
    /// Says why native XDP was not taken, if so.
    ///
    /// # Errors
    /// It could not be attached to, or other links are on it; these are nowhere then.
    fn place(
        &mut self,
        _links: &[LinkId],
        _at: Option<&interface::Interface>,
    ) -> Result<Option<String>, DatapathError> {
        Ok(None)
    }

    /// How the links are attached.
    fn attachments(&self) -> Vec<Attachment>;

    /// Who else is on the hooks, before this program or behind it, where that changes what is counted.
    fn beside(&self) -> Vec<Beside> {
        Vec::new()
    }

    /// How much kernel memory is taken.
    fn memory(&self) -> Memory;

    /// Whether what has the maps is gone for good: nothing that is asked will ever be done.
    fn is_lost(&self) -> bool {
        false
    }

    /// Takes every program off its hook. Counting has stopped when this returns; a last sweep still reads all.
    ///
    /// # Errors
    /// A system call that failed; the rest is detached all the same.
    fn detach(&mut self) -> Result<(), DatapathError>;
}

/// A datapath as it begins: programs and maps are loaded, and are to be put on interfaces.
pub trait Starting: Datapath {
    /// Whether something is kept on one of the interface's hooks. Others are attached first: where that fails nothing has
    /// changed.
    fn has_kept(&self, ifindex: u32) -> bool;

    /// Sees whether all these interfaces can be attached to, before the first one is: nothing is changed.
    ///
    /// # Errors
    /// What is wrong with the first one of which that can be told.
    fn preflight(&mut self, interfaces: &[interface::Interface]) -> Result<(), Refused>;

    /// Attaches both hooks of an interface, for all links on it. Says why native XDP was not taken, if so.
    ///
    /// # Errors
    /// It could not be attached to, or somebody else's program is there.
    fn attach(&mut self, interface: &interface::Interface) -> Result<Option<String>, Refused>;

    /// All are attached: ends what was kept on other hooks, and says what was counted until now, where counting outlives
    /// agents.
    ///
    /// # Errors
    /// What was counted cannot be read or kept; it stays where it is, and is taken over by the next start.
    fn settle(&mut self) -> Result<Option<Adopted>, Refused>;

    /// Ends, and leaves the machine as it was before, unless it has gone on with something by now.
    fn abandon(self: Box<Self>);
}

/// Why a start failed, as whoever tried says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    why: String,
}

impl Refused {
    /// What an error says.
    #[must_use]
    pub fn of(error: &dyn std::error::Error) -> Self {
        Self { why: error.to_string() }
    }
}

/// Sizes fixed when maps are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Classes a bank slice holds.
    pub classes: u32,
    /// IPv4 rows.
    pub v4_rows: u32,
    /// IPv6 rows.
    pub v6_rows: u32,
    /// IPv6 search nodes.
    pub v6_nodes: u32,
}

impl Sizes {
    /// Bytes of the FIB's maps.
    #[must_use]
    pub fn fib_bytes(&self) -> u64 {
        use classifier_common::fib::{V4_ROOT_WORDS, V6_OTHER_WORDS, V6_ROOT_WORDS};
        let roots = (V4_ROOT_WORDS + V6_ROOT_WORDS + V6_OTHER_WORDS) as u64 * 4;
        roots + (u64::from(self.v4_rows) + u64::from(self.v6_rows)) * 1024 + u64::from(self.v6_nodes) * 64
    }

    /// Bytes of one link's bank map with `slices` CPUs and `sides` (1 or 2) counted at each hook.
    #[must_use]
    pub fn bank_bytes(&self, slices: u32, sides: u32) -> u64 {
        u64::from(abi::BankLayout { slices, classes: self.classes, sides }.entries()) * 16
    }
}

/// What can go wrong between the agent and the kernel.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// The FIB has no room for what was asked.
    #[error("the FIB is full: {what} are used up ({capacity})")]
    FibFull {
        /// Rows or nodes, and of which family.
        what: &'static str,
        /// How many there are.
        capacity: u32,
    },
    /// A class beyond the banks.
    #[error("class {class} is beyond the banks' {classes} classes")]
    ClassOutOfRange {
        /// The class.
        class: Class,
        /// What a bank slice holds.
        classes: u32,
    },
    /// A larger generation of maps and programs could not be made.
    #[error("larger maps could not be made: {source}")]
    Generation {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An interface could not be attached to.
    #[error("{source}")]
    Interface {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process, which has the maps, did not do it.
    #[error("{why}")]
    Refused {
        /// Why, in its words.
        why: String,
    },
    /// That process is gone.
    #[error(transparent)]
    Remote(Box<remote::RemoteError>),
    /// A system call failed.
    #[error("{call} failed: {source}")]
    System {
        /// The call.
        call: &'static str,
        /// Why.
        source: std::io::Error,
    },
}
