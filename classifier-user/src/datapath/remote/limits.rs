//! What an agent may ask for. It has no privileges, and may have been taken over: what it says is held against this before
//! the kernel is asked for anything.

use classifier_common::{
    abi::{MAX_IFINDEX, MAX_LINKS, VLAN_IDS},
    counter::Counter,
    fib::{FIRST_CLASS, MAX_PAYLOAD},
};

use super::Start;
use crate::datapath::{
    Batch, Sizes,
    interface::{Interface, InterfaceError},
};

/// Items of a batch, of each sort, at most: three times the Internet's table of 2026.
pub(super) const BATCH: usize = 4 << 20;
/// Bytes of a link's name, at most.
const NAME: usize = 255;
/// Bytes of an interface's name, at most (`IFNAMSIZ` less its zero).
const IF_NAME: usize = 15;

/// What is not done for an agent.
#[derive(Debug, thiserror::Error)]
pub(super) enum TooMuch {
    #[error("{what} is {value}, beyond the {limit} of the process that counts")]
    Number { what: &'static str, value: u64, limit: u64 },
    #[error(
        "the {what} would need {} MiB of kernel memory, and the process that counts allows {} MiB (its --bank-memory)",
        needed >> 20,
        allowed >> 20
    )]
    Memory { what: &'static str, needed: u64, allowed: u64 },
    #[error("`{0}` is no name of a link or interface")]
    Name(String),
    #[error("class {0} is not given out: it stands for what is unmatched")]
    Unmatched(u32),
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    #[error("{name} is another interface than the agent found")]
    Other { name: String },
    #[error("{0} was asked for out of its turn")]
    Turn(&'static str),
}

fn number(what: &'static str, value: u64, limit: u64) -> Result<(), TooMuch> {
    if value <= limit { Ok(()) } else { Err(TooMuch::Number { what, value, limit }) }
}

/// What there are counters for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    links: u64,
    /// At a hook.
    sides: u64,
}

impl Shape {
    pub(super) fn of(start: &Start) -> Self {
        let sides = start.setups.iter().flat_map(|setup| setup.sides).map(u32::count_ones).max();
        Self { links: start.setups.len().max(1) as u64, sides: sides.unwrap_or(1).max(1).into() }
    }
}

/// What it all may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    pub(super) bank_bytes: u64,
    pub(super) fib_bytes: u64,
    pub(super) slices: u32,
}

impl Allowed {
    /// Checks what is to be loaded.
    pub(super) fn start(&self, start: &Start) -> Result<(), TooMuch> {
        number("the number of links", start.setups.len() as u64, MAX_LINKS.into())?;
        for label in &start.labels {
            if label.name.is_empty() || label.name.len() > NAME || label.name.contains(char::is_control) {
                return Err(TooMuch::Name(label.name.escape_debug().to_string()));
            }
        }
        for setup in &start.setups {
            number("an interface's index", setup.ifindex.into(), (MAX_IFINDEX - 1).into())?;
            number("a VLAN", setup.vlan.unwrap_or_default().into(), VLAN_IDS as u64 - 1)?;
            number("a set of sides", setup.sides.into_iter().fold(0, u32::max).into(), 3)?;
        }
        self.sizes(&start.sizes, &Shape::of(start))
    }

    /// Checks the sizes of maps.
    pub(super) fn sizes(&self, sizes: &Sizes, shape: &Shape) -> Result<(), TooMuch> {
        let Sizes { classes, v4_rows, v6_rows, v6_nodes } = *sizes;
        number("the number of classes", classes.into(), u64::from(MAX_PAYLOAD) - 1)?;
        for (what, rows) in [("the number of IPv4 rows", v4_rows), ("the number of IPv6 rows", v6_rows)] {
            number(what, rows.into(), 1 << 24)?;
        }
        number("the number of IPv6 search nodes", v6_nodes.into(), 1 << 28)?;
        let memory = |what, needed, allowed| {
            if needed <= allowed { Ok(()) } else { Err(TooMuch::Memory { what, needed, allowed }) }
        };
        memory("FIB", sizes.fib_bytes(), self.fib_bytes)?;
        // As `BankLayout` has it, which counts in 32 bits.
        let blocks = u64::from(classes).div_ceil(64);
        let stride = blocks * 64 + blocks.div_ceil(16);
        let counters = stride * 2 * shape.sides * (u64::from(self.slices) + 1) * shape.links;
        number("the number of counters", counters, u32::MAX.into())?;
        memory("counters", counters * size_of::<Counter>() as u64, self.bank_bytes)
    }
}

/// Checks a batch, but for what the FIB refuses by itself.
pub(super) fn batch(batch: &Batch, classes: u32) -> Result<(), TooMuch> {
    let last = u64::from(classes).saturating_sub(1);
    for &class in batch.retired.iter().chain(batch.bound.iter().map(|(class, _)| class)) {
        if class < FIRST_CLASS {
            return Err(TooMuch::Unmatched(class));
        }
        number("a class", class.into(), last)?;
    }
    Ok(())
}

/// The interfaces that the agent means, if they are there.
pub(super) fn interfaces(asked: &[Interface]) -> Result<Vec<Interface>, TooMuch> {
    number("the number of interfaces", asked.len() as u64, MAX_LINKS.into())?;
    asked.iter().map(interface).collect()
}

/// The interface that the agent means, if it is there.
pub(super) fn interface(asked: &Interface) -> Result<Interface, TooMuch> {
    let Interface { name, ifindex } = asked;
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    if name.is_empty() || name.len() > IF_NAME || name == "." || name == ".." || name.contains(odd) {
        return Err(TooMuch::Name(name.escape_debug().to_string()));
    }
    let found = Interface::find(name)?;
    number("an interface's index", found.ifindex.into(), (MAX_IFINDEX - 1).into())?;
    if found.ifindex == *ifindex { Ok(found) } else { Err(TooMuch::Other { name: name.clone() }) }
}
