//! Why an agent did not start, or did not end well.

use std::{io, net::SocketAddr};

use super::{sessions::SessionsError, sizing};
use crate::{
    datapath::{
        DatapathError, interface::InterfaceError, overlap::Overlap, privileges::UserError,
        remote::RemoteError,
    },
    fib::classes::ClassesError,
    http,
    ingest::{bgp::SpeakerError, bmp::station::StationError, set::SetError},
    table::groups::GroupsError,
};

/// Why the agent did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A table.
    #[error(transparent)]
    Table(#[from] SetError),
    /// The groups.
    #[error(transparent)]
    Groups(#[from] GroupsError),
    /// An interface.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// Two links that see the same frames.
    #[error(transparent)]
    Overlap(#[from] Overlap),
    /// The process that counts.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The user to become.
    #[error(transparent)]
    User(#[from] UserError),
    /// Capabilities could not be given up.
    #[error("the agent's privileges could not be given up: {0}")]
    Privileges(io::Error),
    /// The packet path.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// The classes.
    #[error(transparent)]
    Classes(#[from] ClassesError),
    /// The banks.
    #[error(transparent)]
    TooLarge(#[from] sizing::TooLarge),
    /// The listening address.
    #[error("cannot listen on {address}: {source}{}", in_use(source, option))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What says another one.
        option: &'static str,
        /// Why.
        source: io::Error,
    },
    /// TLS and passwords.
    #[error(transparent)]
    Web(#[from] http::web::WebError),
    /// Something of the process itself.
    #[error("{what}: {source}")]
    Process {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// BGP or BMP.
    #[error(transparent)]
    Sessions(#[from] SessionsError),
    /// The core ended by a panic.
    #[error("the counting thread ended unexpectedly; its last words are above")]
    CoreLost,
}

fn in_use(error: &io::Error, option: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(" (another agent? choose another one with {option})"),
        _ => String::new(),
    }
}

impl AgentError {
    /// Whether somebody else has the address that is wanted.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        let source = match self {
            Self::Listen { source, .. }
            | Self::Sessions(
                SessionsError::Bgp(SpeakerError::Listen { source, .. })
                | SessionsError::Bmp(StationError { source, .. }),
            ) => source,
            _ => return false,
        };
        source.kind() == io::ErrorKind::AddrInUse
    }
}
