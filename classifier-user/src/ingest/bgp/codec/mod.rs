//! BGP messages as bytes, and back: pure functions without sockets or clocks.
//!
//! Reading order: here (what a message is), [`notification`] (what ends a session), [`open`] (what sides can),
//! [`refresh`], [`update`] with [`attributes`], [`path`] and [`nlri`] (routes). BMP carries whole UPDATEs and OPENs: it
//! uses the same functions.
//!
//! Nothing here panics on any input, and no length from the wire is used before it was held against the bytes that
//! are there.

pub mod attributes;
pub(in crate::ingest) mod bytes;
mod nlri;
pub mod notification;
pub mod open;
mod path;
pub mod refresh;
pub mod update;

use std::ops::{Index, IndexMut};

pub use notification::{Notification, Reset};

use self::bytes::Bytes;
use crate::model::Family;

/// Bytes of the header of every message (RFC 4271, section 4.1).
pub const HEADER: usize = 19;
/// The longest message, header included (RFC 4271, section 4).
pub const MAX_MESSAGE: usize = 4096;
/// The longest message but OPEN and KEEPALIVE where extended messages were agreed (RFC 8654, section 4).
pub const MAX_EXTENDED: usize = 65_535;

const MARKER: [u8; 16] = [0xff; 16];

/// SAFI 1, unicast: the only one here (RFC 4760, section 6).
const UNICAST: u8 = 1;

/// What sort of message (RFC 4271, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Who one is and what one can.
    Open = 1,
    /// Routes.
    Update = 2,
    /// Why the session ends.
    Notification = 3,
    /// One is there.
    Keepalive = 4,
    /// Send all again (RFC 2918).
    Refresh = 5,
}

impl Kind {
    const fn of(kind: u8) -> Option<Self> {
        Some(match kind {
            1 => Self::Open,
            2 => Self::Update,
            3 => Self::Notification,
            4 => Self::Keepalive,
            5 => Self::Refresh,
            _ => return None,
        })
    }

    /// The lengths, header included, that such a message can have.
    const fn lengths(self, extended: bool) -> (usize, usize) {
        let max = if extended { MAX_EXTENDED } else { MAX_MESSAGE };
        match self {
            Self::Open => (29, MAX_MESSAGE),
            Self::Update => (23, max),
            Self::Notification => (21, max),
            Self::Keepalive => (HEADER, HEADER),
            // RFC 7313, section 5: another length is an error of its own.
            Self::Refresh => (HEADER, max),
        }
    }
}

/// A message without its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind,
    /// What follows the header.
    pub body: &'a [u8],
    /// Bytes of it, header included.
    pub len: usize,
}

/// Finds the message that `bytes` begin with; `None` if it is not all there yet. `extended`: whether long messages
/// were agreed.
///
/// # Errors
/// [`Reset`]: no BGP, or a length or type that cannot be (RFC 4271, section 6.1). A length is refused as soon as it is
/// there, before its bytes are.
pub fn message(bytes: &[u8], extended: bool) -> Result<Option<Message<'_>>, Reset> {
    let mut rest = Bytes(bytes);
    let marker = bytes.get(..MARKER.len()).unwrap_or(bytes);
    if marker.iter().any(|&byte| byte != 0xff) {
        return Err(Reset::new(1, 1, "the marker is not all ones: this is not BGP"));
    }
    let (Some(_), Some(length), Some(kind)) = (rest.take(MARKER.len()), rest.u16(), rest.u8()) else {
        return Ok(None);
    };
    let Some(kind) = Kind::of(kind) else {
        return Err(Reset::new(1, 3, "a message of unknown type").with_data(&[kind]));
    };
    let (min, max) = kind.lengths(extended);
    let len = usize::from(length);
    if !(min..=max).contains(&len) {
        return Err(Reset::new(1, 2, "a message of an impossible length").with_data(&length.to_be_bytes()));
    }
    Ok(rest.take(len - HEADER).map(|body| Message { kind, body, len }))
}

/// Appends a message whose body `body` appends. A body that does not fit in a message is cut: ours are short.
pub fn append(out: &mut Vec<u8>, kind: Kind, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(MARKER);
    out.extend([0, 0, kind as u8]);
    body(out);
    out.truncate(start + MAX_MESSAGE);
    let len = u16::try_from(out.len() - start).unwrap_or_default();
    if let Some(place) = out.get_mut(start + MARKER.len()..start + MARKER.len() + 2) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

/// Appends a KEEPALIVE.
pub fn append_keepalive(out: &mut Vec<u8>) {
    append(out, Kind::Keepalive, |_| {});
}

/// One thing for each of the two families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families<T> {
    /// IPv4 unicast.
    pub ipv4: T,
    /// IPv6 unicast.
    pub ipv6: T,
}

impl Families<bool> {
    /// Both.
    pub const BOTH: Self = Self { ipv4: true, ipv6: true };

    /// Those that are true, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        [Family::Ipv4, Family::Ipv6].into_iter().filter(move |&family| self[family])
    }

    /// Those in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { ipv4: self.ipv4 && other.ipv4, ipv6: self.ipv6 && other.ipv6 }
    }
}

impl FromIterator<Family> for Families<bool> {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> Self {
        let mut set = Self::default();
        families.into_iter().for_each(|family| set[family] = true);
        set
    }
}

impl<T> Index<Family> for Families<T> {
    type Output = T;

    fn index(&self, family: Family) -> &T {
        match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        }
    }
}

impl<T> IndexMut<Family> for Families<T> {
    fn index_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }
}

/// A family's AFI (RFC 4760, section 6).
const fn afi(family: Family) -> u16 {
    match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 2,
    }
}

/// The family of an AFI and SAFI; `None` for what is not taken here.
const fn family(afi: u16, safi: u8) -> Option<Family> {
    match (afi, safi) {
        (1, UNICAST) => Some(Family::Ipv4),
        (2, UNICAST) => Some(Family::Ipv6),
        _ => None,
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod update_tests;
