//! What can be wrong with a table.

use std::{fmt, io, path::PathBuf};

use crate::model::{Asn, Prefix};

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip (RFC 1952).
    Gzip,
    /// bzip2.
    Bzip2,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Zstd => "zstd",
        })
    }
}

/// What surprises those who run it as root.
fn unprivileged(error: &io::Error) -> &'static str {
    use std::os::unix::fs::MetadataExt as _;
    let root = || std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if error.kind() == io::ErrorKind::PermissionDenied && root() {
        "; the agent has none of root's privileges: give the file to root, or let everybody read it"
    } else {
        ""
    }
}

/// Why a table was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The file could not be opened.
    #[error("cannot open the table {}: {source}{}", file.display(), unprivileged(source))]
    Open {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("cannot read the table {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in the file.
    #[error("{}: there is no route in this file: it is empty, or has comments only", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// A compressed file ends too early.
    #[error("{}: the {compression} data ends in the middle: the file was cut, fetch it again", file.display())]
    Cut {
        /// The file.
        file: PathBuf,
        /// How it is compressed.
        compression: Compression,
    },
    /// A compressed file is damaged.
    #[error("{}: the {compression} data is damaged ({source}): fetch the file again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// How it is compressed.
        compression: Compression,
        /// What the decompressor says.
        source: io::Error,
    },
    /// No format that is known.
    #[error(
        "{}: this is no table that can be read; it begins with \"{begins}\". Known are ranges CSV, iptoasn TSV, CAIDA \
         pfx2as, pyasn .dat, pmacct networks.lst, MRT TABLE_DUMP_V2, mmdb, AS names (asn.txt, asns.csv), and lines of \
         `prefix asn [name]`",
        file.display()
    )]
    Unrecognised {
        /// The file.
        file: PathBuf,
        /// Its beginning, in printable characters.
        begins: String,
    },
    /// A line could not be read.
    #[error("{}:{line}: {problem}: \"{text}\"; expected {expected}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The line's text, trimmed and cut where it is long.
        text: String,
        /// What is wrong with it.
        problem: LineProblem,
        /// What a line of this format looks like.
        expected: &'static str,
    },
    /// Two lines contradict each other.
    #[error("{}:{line}: {what} is given to AS{asn} here and to AS{first_asn} in line {first_line}", file.display())]
    Contradiction {
        /// The file.
        file: PathBuf,
        /// The later line, from 1.
        line: u64,
        /// The range or prefix.
        what: String,
        /// Its AS in this line.
        asn: Asn,
        /// The earlier line.
        first_line: u64,
        /// Its AS there.
        first_asn: Asn,
    },
    /// An MRT file could not be read.
    #[error("{}: MRT record {record}: {problem}", file.display())]
    Mrt {
        /// The file.
        file: PathBuf,
        /// The record, from 1.
        record: u64,
        /// What is wrong with it.
        problem: MrtProblem,
    },
    /// An mmdb file could not be read.
    #[error("{}: not a readable mmdb database: {source}", file.display())]
    Mmdb {
        /// The file.
        file: PathBuf,
        /// What the reader says.
        source: maxminddb::MaxMindDbError,
    },
    /// An mmdb file without AS numbers.
    #[error(
        "{}: this mmdb database ({database}) has no AS numbers: neither `autonomous_system_number` nor `asn`",
        file.display()
    )]
    MmdbWithoutAs {
        /// The file.
        file: PathBuf,
        /// Its type, as it calls itself.
        database: String,
    },
    /// An AS number in an mmdb file that is none.
    #[error("{}: {prefix}: {problem}", file.display())]
    MmdbRecord {
        /// The file.
        file: PathBuf,
        /// The record's network.
        prefix: Prefix,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// A snapshot could not be decoded.
    #[error("{}: not a readable snapshot: {source}", file.display())]
    Snapshot {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: super::snapshot::SnapshotError,
    },
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// Fields are missing, or there are other ones.
    #[error("the line has another form")]
    Form,
    /// Not an address.
    #[error("`{0}` is no IP address")]
    Address(String),
    /// Not a prefix.
    #[error("`{0}` is no prefix (address/length)")]
    Prefix(String),
    /// A prefix longer than an address.
    #[error("/{length} is longer than an address has bits ({bits})")]
    Length {
        /// The length.
        length: u32,
        /// How many bits there are.
        bits: u8,
    },
    /// A prefix with bits set behind its length.
    #[error("{prefix} has host bits set; the network is {network}")]
    HostBits {
        /// As it stands there.
        prefix: String,
        /// What it would be without them.
        network: Prefix,
    },
    /// A number, but no AS number.
    #[error("AS number {0} is over 32 bits")]
    AsnTooLarge(String),
    /// Not an AS number.
    #[error("`{0}` is no AS number")]
    Asn(String),
    /// A range from one family to the other.
    #[error("the range begins in one address family and ends in the other")]
    MixedFamilies,
    /// A range that ends before it begins.
    #[error("the range ends before it begins")]
    Backwards,
    /// No line of a table is so long.
    #[error("the line is longer than {0} bytes")]
    TooLong(usize),
}

/// What is wrong with an MRT file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MrtProblem {
    /// A dump of updates or of the old format.
    #[error("{0}; a RIB dump (TABLE_DUMP_V2) is needed, as in files called `rib.*` or `bview.*`")]
    NotARib(&'static str),
    /// The file ends in the middle of a record.
    #[error("the file ends in the middle of the record: it was cut, fetch it again")]
    Cut,
    /// The record's header is wrong.
    #[error("{0}")]
    Header(String),
    /// A field goes beyond the end of what it is in.
    #[error("{0} goes beyond the end of the record")]
    Short(&'static str),
    /// A prefix longer than an address.
    #[error("a prefix of {0} bits")]
    Length(u8),
    /// A peer that is not in the peer index table.
    #[error("peer {0} is not in the peer index table")]
    Peer(u16),
    /// RIB entries before any peer index table.
    #[error("RIB entries before the peer index table")]
    NoPeers,
    /// The peer index table could not be read.
    #[error("the peer index table: {0}")]
    PeerTable(String),
}
