//! Blocks: rows of one kind and step over a stretch of time, sorted by subject, link, direction and time, in chunks that
//! are compressed by themselves. A chunk ends only where a subject does, so one subject is one chunk of a block.
//!
//! Reading order: here (what a row is), [`encode`] (how a chunk looks), [`decode`].

use crate::{
    history::{Kind, LinkNo, Sample, Step, Subject},
    model::Direction,
};

mod decode;
mod encode;
#[cfg(test)]
mod tests;
mod values;

pub(super) use decode::{Decoder, Visit};
pub(super) use encode::{Chunk, Encoder};
pub(super) use values::{Varints, put};

/// A link and a direction as one number, which sorts by link, then direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place(pub(super) u16);

impl Place {
    pub(super) const fn new(link: LinkNo, direction: Direction) -> Self {
        Self((link.0 as u16) << 1 | direction as u16)
    }

    /// The place of sums over the ISP's links.
    pub(super) const fn isp(direction: usize) -> Self {
        Self(direction as u16 & 1)
    }

    pub(super) const fn link(self) -> LinkNo {
        LinkNo((self.0 >> 1) as u8)
    }

    /// A [`Direction`]'s number.
    pub(super) const fn direction(self) -> usize {
        (self.0 & 1) as usize
    }
}

/// The highest slot of a longer step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Top {
    /// Bits a second; 0: there is none.
    pub(super) rate: u64,
    /// The slot's number; of no meaning where there is none.
    pub(super) at: u32,
}

impl Top {
    /// Takes the higher one; of equals the earlier one, if taken in the order of time.
    pub(super) fn take(&mut self, other: Self) {
        if other.rate > self.rate {
            *self = other;
        }
    }
}

/// A row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) subject: Subject,
    pub(super) place: Place,
    /// The number of the slot, or of the step's first slot.
    pub(super) at: u32,
    pub(super) sample: Sample,
    /// Of steps longer than a slot.
    pub(super) top: Top,
}

impl Entry {
    pub(super) const fn key(&self) -> (Subject, Place, u32) {
        (self.subject, self.place, self.at)
    }
}

/// Whether rows are of single links, or of the ISP's links together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Scope {
    Links = 0,
    Isp = 1,
}

/// What a block is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) kind: Kind,
    pub(super) step: Step,
    pub(super) scope: Scope,
    /// Its first slot's number.
    pub(super) start: u32,
    /// The number after that of its last slot.
    pub(super) stop: u32,
}

impl Heading {
    /// A checksum of a chunk's bytes, its first subject and the block that it belongs to.
    fn checksum(&self, first: Subject, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&[self.kind as u8, self.step as u8, self.scope as u8]);
        for number in [self.start, self.stop, first] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// A chunk that is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a block of the history is damaged: {0}")]
pub(super) struct Damaged(pub(super) &'static str);
