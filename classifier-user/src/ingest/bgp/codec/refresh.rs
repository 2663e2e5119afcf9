//! ROUTE-REFRESH messages (RFC 2918), and the markers around what is sent again (RFC 7313).

use super::{Kind, Reset, UNICAST, afi, append, bytes::Bytes, family};
use crate::model::Family;

/// What a ROUTE-REFRESH says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Says {
    /// Send all again.
    Again = 0,
    /// BoRR: all is sent again from here.
    Begins = 1,
    /// EoRR: all was sent again.
    Ends = 2,
}

/// Reads a body. `None`: of a family that is not taken here, or of a subtype that is unknown; both are ignored
/// (RFC 2918, section 4; RFC 7313, section 5).
///
/// # Errors
/// [`Reset`]: a length that cannot be (RFC 7313, section 5).
pub fn decode(body: &[u8]) -> Result<Option<(Says, Family)>, Reset> {
    let mut bytes = Bytes(body);
    let (Some(afi), Some(says), Some(safi)) = (bytes.u16(), bytes.u8(), bytes.u8()) else {
        return Err(wrong_length(body));
    };
    let says = match says {
        0 => Says::Again,
        1 => Says::Begins,
        2 => Says::Ends,
        _ => return Ok(None),
    };
    // Outbound route filters may follow a request (RFC 5291).
    if says != Says::Again && !bytes.is_empty() {
        return Err(wrong_length(body));
    }
    Ok(family(afi, safi).map(|family| (says, family)))
}

fn wrong_length(body: &[u8]) -> Reset {
    let mut whole = Vec::new();
    append(&mut whole, Kind::Refresh, |out| out.extend(body));
    Reset::new(7, 1, "a ROUTE-REFRESH of another length than 4").with_data(&whole)
}

/// Appends a message.
pub fn append_refresh(out: &mut Vec<u8>, says: Says, family: Family) {
    append(out, Kind::Refresh, |out| {
        out.extend(afi(family).to_be_bytes());
        out.extend([says as u8, UNICAST]);
    });
}
