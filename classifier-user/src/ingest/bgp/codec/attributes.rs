//! Path attributes, and what becomes of malformed ones (RFC 7606).

use std::fmt;

use super::{Reset, bytes::Bytes, family, path, update::Context};
use crate::model::Family;

pub(super) const ORIGIN: u8 = 1;
pub(super) const AS_PATH: u8 = 2;
pub(super) const NEXT_HOP: u8 = 3;
const MULTI_EXIT_DISC: u8 = 4;
const LOCAL_PREF: u8 = 5;
const ATOMIC_AGGREGATE: u8 = 6;
const AGGREGATOR: u8 = 7;
const COMMUNITIES: u8 = 8;
const ORIGINATOR_ID: u8 = 9;
const CLUSTER_LIST: u8 = 10;
const MP_REACH_NLRI: u8 = 14;
const MP_UNREACH_NLRI: u8 = 15;
const EXTENDED_COMMUNITIES: u8 = 16;
const AS4_PATH: u8 = 17;
const AS4_AGGREGATOR: u8 = 18;
const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
const LARGE_COMMUNITIES: u8 = 32;
const ONLY_TO_CUSTOMER: u8 = 35;

const OPTIONAL: u8 = 0x80;
const TRANSITIVE: u8 = 0x40;
const EXTENDED_LENGTH: u8 = 0x10;
/// The AS number that stands for one that has no 2 bytes.
const AS_TRANS: [u8; 2] = super::open::AS_TRANS.to_be_bytes();

/// What is wrong with an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Its optional or transitive flag is not as it must be.
    Flags,
    /// Its length cannot be, or what it holds does not fit in it.
    Length,
    /// It holds a value that is not defined.
    Value,
    /// It must be there, and is not.
    Missing,
    /// It is there more than once; the first is taken.
    Twice,
    /// It is longer than anything reasonable.
    TooLong,
    /// It has no business on this session.
    Foreign,
}

/// What becomes of a malformed attribute (RFC 7606, section 2), the weakest first. A reset is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// It is left out.
    Discard,
    /// The UPDATE's routes are withdrawn.
    Withdraw,
}

/// A malformed attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Its type code; 0: the attributes as a whole do not fit in their length.
    pub attribute: u8,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match name(self.attribute) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "attribute {}", self.attribute)?,
        }
        f.write_str(match self.fault {
            Fault::Flags => " with wrong flags",
            Fault::Length => " of a wrong length",
            Fault::Value => " with a wrong value",
            Fault::Missing => " is missing",
            Fault::Twice => " twice",
            Fault::TooLong => " of too many ASes",
            Fault::Foreign => " on a session where it does not belong",
        })
    }
}

const fn name(attribute: u8) -> Option<&'static str> {
    Some(match attribute {
        0 => "a list of attributes",
        ORIGIN => "ORIGIN",
        AS_PATH => "AS_PATH",
        NEXT_HOP => "NEXT_HOP",
        MULTI_EXIT_DISC => "MULTI_EXIT_DISC",
        LOCAL_PREF => "LOCAL_PREF",
        ATOMIC_AGGREGATE => "ATOMIC_AGGREGATE",
        AGGREGATOR => "AGGREGATOR",
        COMMUNITIES => "COMMUNITIES",
        ORIGINATOR_ID => "ORIGINATOR_ID",
        CLUSTER_LIST => "CLUSTER_LIST",
        MP_REACH_NLRI => "MP_REACH_NLRI",
        MP_UNREACH_NLRI => "MP_UNREACH_NLRI",
        EXTENDED_COMMUNITIES => "EXTENDED_COMMUNITIES",
        AS4_PATH => "AS4_PATH",
        AS4_AGGREGATOR => "AS4_AGGREGATOR",
        IPV6_EXTENDED_COMMUNITIES => "IPv6 EXTENDED_COMMUNITIES",
        LARGE_COMMUNITIES => "LARGE_COMMUNITIES",
        ONLY_TO_CUSTOMER => "ONLY_TO_CUSTOMER",
        _ => return None,
    })
}

/// The optional and transitive flags that an attribute must have; `None` for those not known here.
const fn flags(attribute: u8) -> Option<u8> {
    Some(match attribute {
        ORIGIN | AS_PATH | NEXT_HOP | LOCAL_PREF | ATOMIC_AGGREGATE => TRANSITIVE,
        MULTI_EXIT_DISC | ORIGINATOR_ID | CLUSTER_LIST | MP_REACH_NLRI | MP_UNREACH_NLRI => OPTIONAL,
        AGGREGATOR
        | COMMUNITIES
        | EXTENDED_COMMUNITIES
        | AS4_PATH
        | AS4_AGGREGATOR
        | IPV6_EXTENDED_COMMUNITIES
        | LARGE_COMMUNITIES
        | ONLY_TO_CUSTOMER => OPTIONAL | TRANSITIVE,
        _ => return None,
    })
}

/// Prefixes in MP_REACH_NLRI or MP_UNREACH_NLRI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Multiprotocol<'a> {
    /// `None`: not one that is taken.
    pub(super) family: Option<Family>,
    pub(super) nlri: &'a [u8],
}

/// The attributes of an UPDATE, as far as they say something here.
#[derive(Debug, Default)]
pub(super) struct Read<'a> {
    pub(super) origin: Option<u8>,
    pub(super) as_path: Option<&'a [u8]>,
    pub(super) as4_path: Option<&'a [u8]>,
    pub(super) next_hop: bool,
    pub(super) med: Option<u32>,
    pub(super) local_pref: Option<u32>,
    pub(super) reach: Option<Multiprotocol<'a>>,
    pub(super) unreach: Option<Multiprotocol<'a>>,
    /// Whether there is any attribute but MP_UNREACH_NLRI.
    pub(super) others: bool,
    /// Why the routes are withdrawn: the first reason.
    pub(super) withdraw: Option<Problem>,
    /// What was left out: the first.
    pub(super) discarded: Option<Problem>,
    /// The AGGREGATOR says that its speaker does not know of long AS numbers.
    short_aggregator: bool,
}

impl<'a> Read<'a> {
    pub(super) fn of(attributes: &'a [u8], context: &Context) -> Result<Self, Reset> {
        let mut read = Self::default();
        let mut bytes = Bytes(attributes);
        let mut seen = [0u64; 4];
        while !bytes.is_empty() {
            let start = bytes.0;
            // RFC 7606, section 4: lengths that conflict are treated as withdrawn.
            let Some((flags, kind, value)) = header(&mut bytes) else {
                read.problem(0, Fault::Length, Action::Withdraw);
                read.others = true;
                break;
            };
            read.others |= kind != MP_UNREACH_NLRI;
            let bit = 1u64 << (kind & 63);
            let seen = &mut seen[usize::from(kind >> 6)];
            if *seen & bit != 0 {
                // Section 3 (g).
                if matches!(kind, MP_REACH_NLRI | MP_UNREACH_NLRI) {
                    let problem = Problem { attribute: kind, fault: Fault::Twice };
                    return Err(Reset::new(3, 1, problem.to_string()));
                }
                read.problem(kind, Fault::Twice, Action::Discard);
                continue;
            }
            *seen |= bit;
            let whole = start.get(..start.len() - bytes.0.len()).unwrap_or_default();
            read.attribute(flags, kind, value, whole, context)?;
        }
        // RFC 6793, section 4.2.3: then both are of no use.
        if read.short_aggregator {
            read.as4_path = None;
        }
        Ok(read)
    }

    fn problem(&mut self, attribute: u8, fault: Fault, action: Action) {
        let problem = match action {
            Action::Discard => &mut self.discarded,
            Action::Withdraw => &mut self.withdraw,
        };
        problem.get_or_insert(Problem { attribute, fault });
    }

    fn attribute(
        &mut self,
        given: u8,
        kind: u8,
        value: &'a [u8],
        whole: &[u8],
        context: &Context,
    ) -> Result<(), Reset> {
        let Some(expected) = flags(kind) else {
            return if given & OPTIONAL == 0 {
                // RFC 4271, section 6.3.
                Err(Reset::new(3, 2, format!("well-known attribute {kind}, which is not known"))
                    .with_data(whole))
            } else {
                Ok(())
            };
        };
        // Sections 7.5, 7.9, 7.10; RFC 6793, section 6: these are discarded whatever they hold.
        let foreign = match kind {
            LOCAL_PREF | ORIGINATOR_ID | CLUSTER_LIST => !context.internal,
            AS4_PATH | AS4_AGGREGATOR => context.four_octet,
            _ => false,
        };
        if foreign {
            self.problem(kind, Fault::Foreign, Action::Discard);
            return Ok(());
        }
        // Section 3 (c). The prefixes are needed all the same.
        if given & (OPTIONAL | TRANSITIVE) != expected {
            self.problem(kind, Fault::Flags, Action::Withdraw);
            if !matches!(kind, MP_REACH_NLRI | MP_UNREACH_NLRI) {
                return Ok(());
            }
        }
        let reset = |fault| {
            let problem = Problem { attribute: kind, fault };
            Reset::new(3, 9, problem.to_string()).with_data(whole)
        };
        match kind {
            MP_REACH_NLRI => self.reach = Some(reach(value).ok_or_else(|| reset(Fault::Length))?),
            MP_UNREACH_NLRI => self.unreach = Some(unreach(value).ok_or_else(|| reset(Fault::Length))?),
            _ => {
                if let Err((fault, action)) = self.value(kind, value, context) {
                    self.problem(kind, fault, action);
                }
            }
        }
        Ok(())
    }

    /// Sections 7.1 to 7.15.
    fn value(&mut self, kind: u8, value: &'a [u8], context: &Context) -> Result<(), (Fault, Action)> {
        use Action::{Discard, Withdraw};
        let number = |action| {
            let bytes: [u8; 4] = value.try_into().map_err(|_| (Fault::Length, action))?;
            Ok(u32::from_be_bytes(bytes))
        };
        let list = |of: usize| {
            if value.is_empty() || !value.len().is_multiple_of(of) {
                Err((Fault::Length, Withdraw))
            } else {
                Ok(())
            }
        };
        match kind {
            ORIGIN => match value {
                &[origin @ 0..=2] => self.origin = Some(origin),
                [_] => return Err((Fault::Value, Withdraw)),
                _ => return Err((Fault::Length, Withdraw)),
            },
            AS_PATH => self.as_path = Some(value),
            NEXT_HOP => {
                number(Withdraw)?;
                self.next_hop = true;
            }
            MULTI_EXIT_DISC => self.med = Some(number(Withdraw)?),
            LOCAL_PREF => self.local_pref = Some(number(Withdraw)?),
            ORIGINATOR_ID | ONLY_TO_CUSTOMER => {
                number(Withdraw)?;
            }
            ATOMIC_AGGREGATE if !value.is_empty() => return Err((Fault::Length, Discard)),
            AGGREGATOR => {
                let asn = value.len().checked_sub(4).and_then(|len| value.get(..len)).unwrap_or_default();
                if asn.len() != if context.four_octet { 4 } else { 2 } {
                    return Err((Fault::Length, Discard));
                }
                // RFC 7607.
                if asn.iter().all(|&byte| byte == 0) {
                    return Err((Fault::Value, Discard));
                }
                self.short_aggregator = !context.four_octet && asn != AS_TRANS;
            }
            AS4_PATH => {
                path::check_as4(value).map_err(|fault| (fault, Discard))?;
                self.as4_path = Some(value);
            }
            AS4_AGGREGATOR if value.len() != 8 => return Err((Fault::Length, Discard)),
            COMMUNITIES | CLUSTER_LIST => list(4)?,
            EXTENDED_COMMUNITIES => list(8)?,
            IPV6_EXTENDED_COMMUNITIES => list(20)?,
            LARGE_COMMUNITIES => list(12)?,
            _ => {}
        }
        Ok(())
    }
}

/// Flags, type and value of an attribute.
fn header<'a>(bytes: &mut Bytes<'a>) -> Option<(u8, u8, &'a [u8])> {
    let (flags, kind) = (bytes.u8()?, bytes.u8()?);
    let length = if flags & EXTENDED_LENGTH == 0 { bytes.u8()?.into() } else { bytes.u16()? };
    Some((flags, kind, bytes.take(length.into())?))
}

/// RFC 4760, section 3. Section 7.11 of RFC 7606: behind a next hop of a wrong length no prefix can be found.
fn reach(value: &[u8]) -> Option<Multiprotocol<'_>> {
    let mut bytes = Bytes(value);
    let (afi, safi, length) = (bytes.u16()?, bytes.u8()?, bytes.u8()?);
    let family = family(afi, safi);
    let fits = match family {
        // With an IPv6 next hop: RFC 8950.
        Some(Family::Ipv4) => matches!(length, 4 | 16 | 32),
        Some(Family::Ipv6) => matches!(length, 16 | 32),
        None => true,
    };
    let _next_hop = bytes.take(length.into())?;
    let _reserved = bytes.u8()?;
    fits.then_some(Multiprotocol { family, nlri: bytes.0 })
}

/// RFC 4760, section 4.
fn unreach(value: &[u8]) -> Option<Multiprotocol<'_>> {
    let mut bytes = Bytes(value);
    let (afi, safi) = (bytes.u16()?, bytes.u8()?);
    Some(Multiprotocol { family: family(afi, safi), nlri: bytes.0 })
}
