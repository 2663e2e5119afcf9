//! BMP messages as bytes (RFC 7854): pure functions without sockets or clocks.
//!
//! Nothing here panics on any input, and no length from the wire is used before it was held against the bytes that
//! are there.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::{
    ingest::{
        bgp::codec::{HEADER as BGP_HEADER, bytes::Bytes},
        live::Standing,
    },
    model::Asn,
};

/// Bytes of the header of every message (RFC 7854, section 4.1).
pub const HEADER: usize = 6;

const VERSION: u8 = 3;
/// More of a text is not for people.
const TEXT_MAX: usize = 255;

/// Why bytes are no BMP. The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Another version, or no BMP at all.
    #[error("this is not BMP version 3 (its first byte is {0})")]
    Version(u8),
    /// Longer than any message that is taken.
    #[error("a message of {0} bytes is announced; the longest one taken has {1} (`max_message`)")]
    TooLong(u32, u32),
    /// Shorter than its header, or than what must be in it.
    #[error("a {0} message that ends too early")]
    Short(&'static str),
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A whole UPDATE message of a peer, BGP header included.
    RouteMonitoring(PeerHeader, &'a [u8]),
    /// Counters of a peer.
    Statistics(PeerHeader, Tlvs<'a>),
    /// A peer is gone.
    PeerDown(PeerHeader, Gone),
    /// A peer is there.
    PeerUp(PeerHeader, PeerUp<'a>),
    /// Who the router is.
    Initiation(Tlvs<'a>),
    /// The router ends the session.
    Termination(Tlvs<'a>),
    /// Of no interest here: Route Mirroring, and types of later documents.
    Other(u8),
}

/// Whose RIB a message is about (RFC 7854, section 4.2; RFC 9069, section 4.1; RFC 8671, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rib {
    /// Adj-RIB-In before policy.
    PrePolicy,
    /// Adj-RIB-In after policy.
    PostPolicy,
    /// Loc-RIB.
    LocRib,
    /// Adj-RIB-Out, before or after policy.
    Out,
}

impl Rib {
    /// How near its routes are to what the router does; `None`: they are not what it does.
    #[must_use]
    pub const fn standing(self) -> Option<Standing> {
        match self {
            Self::LocRib => Some(Standing::Router),
            Self::PostPolicy => Some(Standing::Neighbor),
            Self::PrePolicy => Some(Standing::Unfiltered),
            Self::Out => None,
        }
    }
}

impl fmt::Display for Rib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrePolicy => "pre-policy",
            Self::PostPolicy => "post-policy",
            Self::LocRib => "Loc-RIB",
            Self::Out => "Adj-RIB-Out",
        })
    }
}

/// The per-peer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerHeader {
    /// Which peer.
    pub peer: PeerKey,
    /// Of which of its RIBs a Route Monitoring is.
    pub rib: Rib,
    /// AS paths have numbers of 2 bytes.
    pub two_octet: bool,
    /// The peer's AS; the router's own of a Loc-RIB.
    pub asn: Asn,
}

/// What tells peers of a router apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey {
    /// Whether it is the router's Loc-RIB, which is no neighbour.
    pub loc_rib: bool,
    /// The routing instance; 0 is the global one.
    pub distinguisher: u64,
    /// The address; unspecified of a Loc-RIB.
    pub address: IpAddr,
}

/// What a Peer Up says (RFC 7854, section 4.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerUp<'a> {
    /// The OPEN that the router sent, BGP header included.
    pub sent: &'a [u8],
    /// The OPEN that it received.
    pub received: &'a [u8],
    /// What else is said.
    pub information: Tlvs<'a>,
}

/// Why a peer is gone (RFC 7854, section 4.9; RFC 9069, section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The router ended the session with a NOTIFICATION of this code and subcode.
    LocalNotification(u8, u8),
    /// The router ended the session by this event of its state machine.
    LocalEvent(u16),
    /// The peer ended the session with a NOTIFICATION of this code and subcode.
    RemoteNotification(u8, u8),
    /// The peer closed the session.
    Remote,
    /// The router was told not to report it any more.
    NotMonitored,
    /// A Loc-RIB's end.
    LocalSystem,
    /// Something else.
    Other(u8),
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalNotification(code, subcode) => {
                write!(f, "the router ended the session: NOTIFICATION {code}/{subcode}")
            }
            Self::LocalEvent(event) => write!(f, "the router ended the session: event {event}"),
            Self::RemoteNotification(code, subcode) => {
                write!(f, "the peer ended the session: NOTIFICATION {code}/{subcode}")
            }
            Self::Remote => f.write_str("the peer closed the session"),
            Self::NotMonitored => f.write_str("the router does not report it any more"),
            Self::LocalSystem => f.write_str("the router's Loc-RIB is no more reported"),
            Self::Other(reason) => write!(f, "reason {reason}"),
        }
    }
}

/// Types, lengths and values, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tlvs<'a>(&'a [u8]);

impl<'a> Iterator for Tlvs<'a> {
    type Item = (u16, &'a [u8]);

    /// Ends where what is left is cut.
    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Bytes(self.0);
        let kind = bytes.u16()?;
        let length = bytes.u16()?;
        let value = bytes.take(length.into())?;
        self.0 = bytes.0;
        Some((kind, value))
    }
}

impl<'a> Tlvs<'a> {
    /// The texts of a type, as one.
    #[must_use]
    pub fn text(self, kind: u16) -> Option<String> {
        let mut texts = self.filter(|(its, _)| *its == kind).map(|(_, value)| String::from_utf8_lossy(value));
        let mut all = texts.next()?.into_owned();
        for text in texts {
            all.push(' ');
            all.push_str(&text);
        }
        Some(all.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect())
    }

    /// Numbers of 4 or 8 bytes: counters and gauges (RFC 7854, section 4.8, without those of a family).
    pub fn numbers(self) -> impl Iterator<Item = (u16, u64)> + 'a {
        self.filter_map(|(kind, value)| {
            let number = match value.len() {
                4 => u64::from(u32::from_be_bytes(value.try_into().ok()?)),
                8 => u64::from_be_bytes(value.try_into().ok()?),
                _ => return None,
            };
            Some((kind, number))
        })
    }
}

/// Texts of an Initiation (RFC 7854, section 4.3), and of a Termination (type 0 too, section 4.5).
pub const TEXT: u16 = 0;
/// sysDescr.
pub const SYS_DESCR: u16 = 1;
/// sysName.
pub const SYS_NAME: u16 = 2;
/// A Termination's reason: 2 bytes.
pub const REASON: u16 = 1;

/// Finds the message that `bytes` begin with, and how many bytes it has; `None` if it is not all there yet. One of more
/// than `max` bytes is not waited for.
///
/// # Errors
/// [`Malformed`]: as soon as it can be seen, before the message is all there.
pub fn message(bytes: &[u8], max: u32) -> Result<Option<(Message<'_>, usize)>, Malformed> {
    match bytes.first() {
        None => return Ok(None),
        Some(&VERSION) => {}
        Some(&version) => return Err(Malformed::Version(version)),
    }
    let mut rest = Bytes(bytes);
    let (Some(_), Some(length), Some(kind)) = (rest.u8(), rest.u32(), rest.u8()) else { return Ok(None) };
    if length > max {
        return Err(Malformed::TooLong(length, max));
    }
    let len = usize::try_from(length).unwrap_or(usize::MAX);
    let Some(body) = len.checked_sub(HEADER) else { return Err(Malformed::Short("BMP")) };
    let Some(body) = rest.take(body) else { return Ok(None) };
    Ok(Some((decode(kind, body)?, len)))
}

fn decode(kind: u8, body: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut bytes = Bytes(body);
    Ok(match kind {
        0 => {
            let header = peer(&mut bytes).ok_or(Malformed::Short("Route Monitoring"))?;
            Message::RouteMonitoring(header, bytes.0)
        }
        1 => {
            let short = Malformed::Short("Statistics Report");
            let header = peer(&mut bytes).ok_or(short)?;
            bytes.u32().ok_or(short)?;
            Message::Statistics(header, Tlvs(bytes.0))
        }
        2 => {
            let short = Malformed::Short("Peer Down");
            let header = peer(&mut bytes).ok_or(short)?;
            Message::PeerDown(header, gone(&mut bytes).ok_or(short)?)
        }
        3 => {
            let short = Malformed::Short("Peer Up");
            let header = peer(&mut bytes).ok_or(short)?;
            // The router's address and both ports.
            bytes.take(20).ok_or(short)?;
            let sent = open(&mut bytes).ok_or(short)?;
            let received = open(&mut bytes).ok_or(short)?;
            Message::PeerUp(header, PeerUp { sent, received, information: Tlvs(bytes.0) })
        }
        4 => Message::Initiation(Tlvs(body)),
        5 => Message::Termination(Tlvs(body)),
        other => Message::Other(other),
    })
}

fn peer(bytes: &mut Bytes<'_>) -> Option<PeerHeader> {
    const V6: u8 = 0x80;
    const POST: u8 = 0x40;
    const LEGACY: u8 = 0x20;
    const OUT: u8 = 0x10;
    let (kind, flags) = (bytes.u8()?, bytes.u8()?);
    let distinguisher = bytes.u64()?;
    let address = bytes.array::<16>()?;
    let asn = bytes.u32()?;
    // BGP identifier and time.
    bytes.take(12)?;
    let loc_rib = kind == 3;
    let address = match address {
        _ if loc_rib => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        address if flags & V6 != 0 => Ipv6Addr::from(address).into(),
        [.., a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
    };
    let rib = match (loc_rib, flags & OUT != 0, flags & POST != 0) {
        // Its flags have other meanings (RFC 9069, section 4.2).
        (true, ..) => Rib::LocRib,
        (_, true, _) => Rib::Out,
        (.., true) => Rib::PostPolicy,
        _ => Rib::PrePolicy,
    };
    Some(PeerHeader {
        peer: PeerKey { loc_rib, distinguisher, address },
        rib,
        two_octet: !loc_rib && flags & LEGACY != 0,
        asn,
    })
}

fn gone(bytes: &mut Bytes<'_>) -> Option<Gone> {
    let reason = bytes.u8()?;
    // Code and subcode are behind a BGP header of 19 bytes.
    let mut notification = || {
        bytes.take(19)?;
        Some((bytes.u8()?, bytes.u8()?))
    };
    Some(match reason {
        1 => notification().map(|(code, subcode)| Gone::LocalNotification(code, subcode))?,
        2 => Gone::LocalEvent(bytes.u16()?),
        3 => notification().map(|(code, subcode)| Gone::RemoteNotification(code, subcode))?,
        4 => Gone::Remote,
        5 => Gone::NotMonitored,
        6 => Gone::LocalSystem,
        other => Gone::Other(other),
    })
}

/// A whole BGP message: as long as its own header says.
fn open<'a>(bytes: &mut Bytes<'a>) -> Option<&'a [u8]> {
    let length: [u8; 2] = bytes.0.get(16..18)?.try_into().ok()?;
    let length = usize::from(u16::from_be_bytes(length));
    bytes.take(length).filter(|_| length >= BGP_HEADER)
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
