//! NOTIFICATION messages: why a session ends (RFC 4271, section 4.5), in numbers and in words.

use std::fmt;

use super::{Kind, append, bytes::Bytes};

/// Error code 6: a session is ended without a fault of its messages (RFC 4486).
pub const CEASE: u8 = 6;
/// More data than this says nothing more.
const MAX_DATA: usize = 512;

/// A NOTIFICATION.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What sort of error.
    pub code: u8,
    /// Which one; 0 is unspecific.
    pub subcode: u8,
    /// What the receiver can see it by.
    pub data: Vec<u8>,
}

impl Notification {
    /// One without data.
    #[must_use]
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode, data: Vec::new() }
    }

    /// A Cease (RFC 4486).
    #[must_use]
    pub const fn cease(subcode: u8) -> Self {
        Self::new(CEASE, subcode)
    }

    /// Reads the body of one. `None` if it is not even its codes, which is answered by nothing: there is no
    /// NOTIFICATION about a NOTIFICATION (RFC 4271, section 6.4).
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        let mut body = Bytes(body);
        let (code, subcode) = (body.u8()?, body.u8()?);
        Some(Self { code, subcode, data: body.0.get(..MAX_DATA).unwrap_or(body.0).to_vec() })
    }

    /// Appends the message.
    pub fn append(&self, out: &mut Vec<u8>) {
        append(out, Kind::Notification, |out| {
            out.extend([self.code, self.subcode]);
            out.extend(self.data.iter().take(MAX_DATA));
        });
    }

    /// What a person wrote about a shutdown or reset (RFC 9003).
    fn message(&self) -> Option<&str> {
        let (2 | 4, CEASE) = (self.subcode, self.code) else { return None };
        let (&len, text) = self.data.split_first()?;
        let text = std::str::from_utf8(text.get(..len.into())?).ok()?;
        (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
    }

    /// The names that IANA lists.
    const fn names(&self) -> (&'static str, &'static str) {
        match (self.code, self.subcode) {
            (1, subcode) => (
                "message header error",
                match subcode {
                    1 => "connection not synchronized",
                    2 => "bad message length",
                    3 => "bad message type",
                    _ => "",
                },
            ),
            (2, subcode) => (
                "OPEN error",
                match subcode {
                    1 => "unsupported version",
                    2 => "bad peer AS",
                    3 => "bad BGP identifier",
                    4 => "unsupported optional parameter",
                    6 => "unacceptable hold time",
                    7 => "unsupported capability",
                    11 => "role mismatch",
                    _ => "",
                },
            ),
            (3, subcode) => (
                "UPDATE error",
                match subcode {
                    1 => "malformed attribute list",
                    2 => "unrecognized well-known attribute",
                    3 => "missing well-known attribute",
                    4 => "attribute flags error",
                    5 => "attribute length error",
                    6 => "invalid ORIGIN",
                    8 => "invalid NEXT_HOP",
                    9 => "optional attribute error",
                    10 => "invalid network field",
                    11 => "malformed AS_PATH",
                    _ => "",
                },
            ),
            (4, _) => ("hold timer expired", ""),
            (5, subcode) => (
                "unexpected message",
                match subcode {
                    1 => "in OpenSent",
                    2 => "in OpenConfirm",
                    3 => "in Established",
                    _ => "",
                },
            ),
            (CEASE, subcode) => (
                "cease",
                match subcode {
                    1 => "maximum number of prefixes reached",
                    2 => "administrative shutdown",
                    3 => "peer de-configured",
                    4 => "administrative reset",
                    5 => "connection rejected",
                    6 => "other configuration change",
                    7 => "connection collision resolution",
                    8 => "out of resources",
                    9 => "hard reset",
                    10 => "BFD down",
                    _ => "",
                },
            ),
            (7, subcode) => ("ROUTE-REFRESH error", if subcode == 1 { "invalid message length" } else { "" }),
            (8, _) => ("send hold timer expired", ""),
            _ => ("unknown error", ""),
        }
    }
}

impl fmt::Display for Notification {
    /// `cease: administrative shutdown (6/2): "back at nine"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, subcode) = self.names();
        f.write_str(code)?;
        if !subcode.is_empty() {
            write!(f, ": {subcode}")?;
        }
        write!(f, " ({}/{})", self.code, self.subcode)?;
        match self.message() {
            Some(message) => write!(f, ": {message:?}"),
            None => Ok(()),
        }
    }
}

/// What a peer sent cannot be gone on from: the session ends with this NOTIFICATION.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} (sent {notification})")]
pub struct Reset {
    /// What the peer is told.
    pub notification: Notification,
    /// What it was.
    pub problem: String,
}

impl Reset {
    /// One without data.
    #[must_use]
    pub fn new(code: u8, subcode: u8, problem: impl Into<String>) -> Self {
        Self { notification: Notification::new(code, subcode), problem: problem.into() }
    }

    /// The same with data.
    #[must_use]
    pub fn with_data(mut self, data: &[u8]) -> Self {
        self.notification.data = data.get(..MAX_DATA).unwrap_or(data).to_vec();
        self
    }
}
