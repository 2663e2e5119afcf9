//! OPEN messages (RFC 4271, section 4.2) and the capabilities in them (RFC 5492).

use std::net::Ipv4Addr;

use super::{Families, Kind, Reset, UNICAST, afi, append, bytes::Bytes, family};
use crate::model::{Asn, Family};

/// The AS number that stands for one that has no 2 bytes (RFC 6793).
pub const AS_TRANS: u16 = 23_456;

const VERSION: u8 = 4;
/// The optional parameter that carries capabilities.
const PARAMETER_CAPABILITIES: u8 = 2;
/// Says that lengths of parameters have 2 bytes (RFC 9072).
const PARAMETER_EXTENDED: u8 = 255;

const MULTIPROTOCOL: u8 = 1;
const ROUTE_REFRESH: u8 = 2;
const EXTENDED_MESSAGE: u8 = 6;
const GRACEFUL_RESTART: u8 = 64;
const FOUR_OCTET_AS: u8 = 65;
const ADD_PATH: u8 = 69;
const ENHANCED_REFRESH: u8 = 70;
const LONG_LIVED_RESTART: u8 = 71;

/// The Restart State bit (RFC 4724, section 3).
const RESTARTING: u16 = 0x8000;

/// An OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The AS in its 2-byte field.
    pub short_as: u16,
    /// Proposed hold time in seconds; 0 for none.
    pub hold_time: u16,
    /// The BGP identifier.
    pub identifier: Ipv4Addr,
    /// What it can.
    pub capabilities: Capabilities,
}

/// What a speaker says that it can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Families (RFC 4760); `None` if it speaks of none, which means IPv4 unicast.
    pub families: Option<Families<bool>>,
    /// Its AS number with 4 bytes (RFC 6793).
    pub four_octet_as: Option<Asn>,
    /// Long messages (RFC 8654).
    pub extended_message: bool,
    /// Asking for all again (RFC 2918).
    pub route_refresh: bool,
    /// Markers around what is sent again (RFC 7313).
    pub enhanced_refresh: bool,
    /// Families of which it sends several routes a prefix (RFC 7911).
    pub add_path_send: Families<bool>,
    /// Families of which it takes several routes a prefix.
    pub add_path_receive: Families<bool>,
    /// Graceful restart (RFC 4724).
    pub graceful_restart: Option<GracefulRestart>,
    /// Long-lived graceful restart (RFC 9494); without [`Capabilities::graceful_restart`] it means nothing.
    pub long_lived_restart: Option<LongLivedRestart>,
}

/// What a speaker says of its restarts (RFC 4724, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GracefulRestart {
    /// It has just restarted: nobody is to wait for its End-of-RIB.
    pub restarting: bool,
    /// Seconds within which it means to be back.
    pub restart_time: u16,
    /// Families that it keeps forwarding during a restart.
    pub families: Families<bool>,
}

/// What a speaker says of routes that stay for longer than a restart takes (RFC 9494, section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LongLivedRestart {
    /// For how many seconds after its restart time: the longest of its families, 24 bits.
    pub stale_time: u32,
    /// Families of which it says that.
    pub families: Families<bool>,
}

impl Open {
    /// The AS: with 4 bytes where it says so.
    #[must_use]
    pub fn asn(&self) -> Asn {
        self.capabilities.four_octet_as.unwrap_or(self.short_as.into())
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`Reset`] as RFC 4271, section 6.2, has it. Whether AS, identifier and hold time suit is the session's business.
    pub fn decode(body: &[u8]) -> Result<Self, Reset> {
        let short = || Reset::new(1, 2, "an OPEN that ends before its fields do");
        let mut bytes = Bytes(body);
        let version = bytes.u8().ok_or_else(short)?;
        if version != VERSION {
            return Err(Reset::new(2, 1, format!("BGP version {version}, not {VERSION}"))
                .with_data(&u16::from(VERSION).to_be_bytes()));
        }
        let short_as = bytes.u16().ok_or_else(short)?;
        let hold_time = bytes.u16().ok_or_else(short)?;
        let identifier = Ipv4Addr::from(bytes.array::<4>().ok_or_else(short)?);
        let capabilities = parameters(bytes)?;
        Ok(Self { short_as, hold_time, identifier, capabilities })
    }

    /// Appends the message.
    pub fn append(&self, out: &mut Vec<u8>) {
        append(out, Kind::Open, |out| {
            out.push(VERSION);
            out.extend(self.short_as.to_be_bytes());
            out.extend(self.hold_time.to_be_bytes());
            out.extend(self.identifier.octets());
            let mut capabilities = Vec::new();
            self.capabilities.append(&mut capabilities);
            // All that we can is far below 253 bytes.
            let len = u8::try_from(capabilities.len()).unwrap_or_default();
            out.extend([len.saturating_add(2), PARAMETER_CAPABILITIES, len]);
            out.extend(capabilities.iter().take(len.into()));
        });
    }
}

fn parameters(mut bytes: Bytes<'_>) -> Result<Capabilities, Reset> {
    let malformed = || Reset::new(2, 0, "optional parameters whose lengths do not fit");
    let length = bytes.u8().ok_or_else(malformed)?;
    let extended = length != 0 && bytes.0.first() == Some(&PARAMETER_EXTENDED);
    let length = if extended {
        bytes.u8();
        bytes.u16().ok_or_else(malformed)?
    } else {
        length.into()
    };
    if bytes.0.len() != usize::from(length) {
        return Err(malformed());
    }
    let mut capabilities = Capabilities::default();
    while !bytes.is_empty() {
        let kind = bytes.u8().ok_or_else(malformed)?;
        let length = if extended { bytes.u16() } else { bytes.u8().map(u16::from) }.ok_or_else(malformed)?;
        let value = bytes.take(length.into()).ok_or_else(malformed)?;
        if kind != PARAMETER_CAPABILITIES {
            return Err(Reset::new(2, 4, format!("optional parameter {kind}")));
        }
        let mut values = Bytes(value);
        while !values.is_empty() {
            let code = values.u8().ok_or_else(malformed)?;
            let length = values.u8().ok_or_else(malformed)?;
            let value = values.take(length.into()).ok_or_else(malformed)?;
            capabilities
                .take(code, value)
                .ok_or_else(|| Reset::new(2, 0, format!("capability {code} of {length} bytes")))?;
        }
    }
    Ok(capabilities)
}

impl Capabilities {
    /// Takes one; `None` if its length cannot be. What is not known is ignored (RFC 5492, section 3).
    fn take(&mut self, code: u8, value: &[u8]) -> Option<()> {
        let mut bytes = Bytes(value);
        match code {
            MULTIPROTOCOL => {
                let (afi, _, safi) = (bytes.u16()?, bytes.u8()?, bytes.u8()?);
                let families = self.families.get_or_insert_default();
                if let Some(family) = family(afi, safi) {
                    families[family] = true;
                }
            }
            ROUTE_REFRESH => self.route_refresh = true,
            EXTENDED_MESSAGE => self.extended_message = true,
            ENHANCED_REFRESH => self.enhanced_refresh = true,
            FOUR_OCTET_AS => self.four_octet_as = Some(bytes.u32()?),
            GRACEFUL_RESTART => {
                let first = bytes.u16()?;
                let mut families = Families::default();
                while !bytes.is_empty() {
                    let (afi, safi, _) = (bytes.u16()?, bytes.u8()?, bytes.u8()?);
                    if let Some(family) = family(afi, safi) {
                        families[family] = true;
                    }
                }
                self.graceful_restart = Some(GracefulRestart {
                    restarting: first & RESTARTING != 0,
                    restart_time: first & 0x0fff,
                    families,
                });
            }
            ADD_PATH => {
                while !bytes.is_empty() {
                    let (afi, safi, way) = (bytes.u16()?, bytes.u8()?, bytes.u8()?);
                    // RFC 7911, section 4: another value is ignored.
                    if let (Some(family), 1..=3) = (family(afi, safi), way) {
                        self.add_path_receive[family] = way & 1 != 0;
                        self.add_path_send[family] = way & 2 != 0;
                    }
                }
            }
            LONG_LIVED_RESTART => {
                let mut long_lived = LongLivedRestart::default();
                while !bytes.is_empty() {
                    let (afi, safi, _) = (bytes.u16()?, bytes.u8()?, bytes.u8()?);
                    let [high, middle, low] = bytes.array()?;
                    if let Some(family) = family(afi, safi) {
                        long_lived.families[family] = true;
                        let stale_time = u32::from_be_bytes([0, high, middle, low]);
                        long_lived.stale_time = long_lived.stale_time.max(stale_time);
                    }
                }
                self.long_lived_restart = Some(long_lived);
            }
            _ => return Some(()),
        }
        let fixed = matches!(code, MULTIPROTOCOL | FOUR_OCTET_AS);
        (!fixed || bytes.is_empty()).then_some(())
    }

    fn append(&self, out: &mut Vec<u8>) {
        let of_family = |family: Family, last: u8| {
            let [high, low] = afi(family).to_be_bytes();
            [high, low, UNICAST, last]
        };
        for family in self.families.into_iter().flat_map(Families::iter) {
            let [high, low] = afi(family).to_be_bytes();
            out.extend([MULTIPROTOCOL, 4, high, low, 0, UNICAST]);
        }
        for (is, code) in [
            (self.route_refresh, ROUTE_REFRESH),
            (self.enhanced_refresh, ENHANCED_REFRESH),
            (self.extended_message, EXTENDED_MESSAGE),
        ] {
            if is {
                out.extend([code, 0]);
            }
        }
        if let Some(asn) = self.four_octet_as {
            out.extend([FOUR_OCTET_AS, 4]);
            out.extend(asn.to_be_bytes());
        }
        if let Some(graceful) = self.graceful_restart {
            let first = if graceful.restarting { RESTARTING } else { 0 } | graceful.restart_time & 0x0fff;
            let families: Vec<_> = graceful.families.iter().flat_map(|family| of_family(family, 0)).collect();
            out.extend([GRACEFUL_RESTART, 2 + families.len() as u8]);
            out.extend(first.to_be_bytes());
            out.extend(families);
        }
        if let Some(long_lived) = self.long_lived_restart {
            let [_, time @ ..] = long_lived.stale_time.to_be_bytes();
            let families = long_lived.families.iter();
            let families: Vec<_> =
                families.flat_map(|its| [&of_family(its, 0)[..], &time].concat()).collect();
            out.extend([LONG_LIVED_RESTART, families.len() as u8]);
            out.extend(families);
        }
        let add_path: Vec<_> = [Family::Ipv4, Family::Ipv6]
            .into_iter()
            .map(|family| {
                let way = u8::from(self.add_path_receive[family]) | u8::from(self.add_path_send[family]) << 1;
                (family, way)
            })
            .filter(|&(_, way)| way != 0)
            .flat_map(|(family, way)| of_family(family, way))
            .collect();
        if !add_path.is_empty() {
            out.extend([ADD_PATH, add_path.len() as u8]);
            out.extend(add_path);
        }
    }
}
