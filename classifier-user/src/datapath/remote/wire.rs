//! What is said between the agent and the process that counts, byte by byte.
//!
//! Both begin with a greeting of fixed form, which no version changes. Then the agent asks and the other answers, in
//! frames: a length (u32, little endian) and a message in the form of `postcard`. No frame is longer than [`FRAME`]; what is
//! longer (a full table, a sweep of many classes) comes as parts, before the message that closes it.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Raised with every change of a message.
pub const PROTOCOL: u32 = 3;
/// Bytes of a frame's message, at most.
pub(super) const FRAME: usize = 256 << 10;
/// Items of a part, at most: far below [`FRAME`].
pub(super) const PART: usize = 4096;
const LENGTH: usize = 4;

const MAGIC: &[u8; 8] = b"CLSFPATH";
const GREETING: usize = 48;
/// What is said instead of a greeting to whom nobody listens.
pub(super) const BUSY: [u8; GREETING] = {
    let mut busy = [0; GREETING];
    let (mut at, text) = (0, b"CLSFBUSY");
    while at < text.len() {
        busy[at] = text[at];
        at += 1;
    }
    busy
};

/// Why the other side cannot be understood, or heard.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// It closed the connection between two messages.
    #[error("it closed the connection")]
    Closed,
    /// It closed the connection within a message.
    #[error("it closed the connection within a message")]
    Cut,
    /// It began a message and did not go on with it.
    #[error("it did not finish what it began to say")]
    Slow,
    /// It said nothing.
    #[error("it said nothing for {0:?}")]
    Silent(Duration),
    /// A message that is longer than any is.
    #[error("a message of {0} bytes: none is longer than {FRAME}")]
    TooLong(u32),
    /// A message that is none.
    #[error("a message that makes no sense: {0}")]
    Malformed(&'static str),
    /// It serves somebody else.
    #[error("it serves another agent: end that first")]
    Busy,
    /// Something else altogether.
    #[error("it is no classifier")]
    Stranger,
    /// Another version of the protocol.
    #[error(
        "it speaks version {theirs} of the protocol (classifier {version}), and this is version {PROTOCOL} (classifier {}): \
         restart both, so that they are of one version",
        env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// Its protocol.
        theirs: u32,
        /// Its release.
        version: String,
    },
    /// The socket.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One end of the connection.
#[derive(Debug)]
pub(super) struct Pipe {
    stream: UnixStream,
    /// Frames that wait to be written: the first `written` bytes.
    out: Box<[u8]>,
    written: usize,
    /// What came: the bytes from `begin` to `end` were not taken yet.
    inward: Box<[u8]>,
    begin: usize,
    end: usize,
    /// Whether reads end after a time.
    timed: bool,
}

/// The other side is gone, and not the socket at fault.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl Pipe {
    pub(super) fn new(stream: UnixStream) -> Self {
        let buffer = || vec![0; LENGTH + FRAME].into_boxed_slice();
        Self { stream, out: buffer(), written: 0, inward: buffer(), begin: 0, end: 0, timed: true }
    }

    pub(super) const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Says who this is.
    pub(super) fn greet(&mut self) -> Result<(), WireError> {
        let mut greeting = [0; GREETING];
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        let protocol = PROTOCOL.to_le_bytes();
        let text = MAGIC.iter().chain(&protocol).chain(version).copied();
        // One byte at the end stays zero.
        greeting.iter_mut().take(GREETING - 1).zip(text).for_each(|(place, byte)| *place = byte);
        self.write(&greeting)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), WireError> {
        let mut stream = &self.stream;
        match stream.write_all(bytes) {
            Err(error) if is_gone(&error) => Err(WireError::Closed),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(WireError::Slow),
            written => Ok(written?),
        }
    }

    /// Hears who the other is, within this time.
    pub(super) fn greeted(&mut self, within: Duration) -> Result<(), WireError> {
        self.await_bytes(GREETING, Some(Instant::now() + within)).map_err(|error| match error {
            WireError::Slow => WireError::Silent(within),
            error => error,
        })?;
        let greeting = self.take(GREETING);
        let Some((magic, rest)) = greeting.split_first_chunk::<8>() else { return Err(WireError::Stranger) };
        let Some((theirs, version)) = rest.split_first_chunk::<4>() else { return Err(WireError::Stranger) };
        if greeting == BUSY {
            return Err(WireError::Busy);
        }
        if magic != MAGIC {
            return Err(WireError::Stranger);
        }
        match u32::from_le_bytes(*theirs) {
            PROTOCOL => Ok(()),
            theirs => {
                let text =
                    version.iter().take_while(|byte| byte.is_ascii_graphic()).map(|&byte| char::from(byte));
                Err(WireError::Version { theirs, version: text.collect() })
            }
        }
    }

    /// Puts a message behind those that wait to be written.
    pub(super) fn put(&mut self, message: &impl Serialize) -> Result<(), WireError> {
        if self.try_put(message)? {
            return Ok(());
        }
        self.flush()?;
        if self.try_put(message)? { Ok(()) } else { Err(WireError::Malformed("it is too long")) }
    }

    /// Whether there was room.
    fn try_put(&mut self, message: &impl Serialize) -> Result<bool, WireError> {
        let room = self.out.get_mut(self.written..).unwrap_or_default();
        let Some((length, room)) = room.split_at_mut_checked(LENGTH) else { return Ok(false) };
        match postcard::to_slice(message, room) {
            Ok(bytes) => {
                length.copy_from_slice(&(bytes.len() as u32).to_le_bytes());
                self.written += LENGTH + bytes.len();
                Ok(true)
            }
            Err(postcard::Error::SerializeBufferFull) => Ok(false),
            Err(_) => Err(WireError::Malformed("it cannot be written")),
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<(), WireError> {
        let waiting = self.out.get(..self.written).unwrap_or_default();
        self.written = 0;
        self.write(waiting)
    }

    /// Whether some of the next message is here already.
    pub(super) const fn has_begun(&self) -> bool {
        self.begin < self.end
    }

    /// The next message: as soon as it comes, but from its first byte on within this time.
    pub(super) fn next<T: DeserializeOwned>(&mut self, within: Option<Duration>) -> Result<T, WireError> {
        if !self.has_begun() {
            self.await_bytes(1, None)?;
        }
        let until = within.map(|within| Instant::now() + within);
        self.await_bytes(LENGTH, until)?;
        let waiting = self.inward.get(self.begin..self.end).unwrap_or_default();
        let length = waiting.first_chunk::<LENGTH>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if length as usize > FRAME {
            return Err(WireError::TooLong(length));
        }
        self.await_bytes(LENGTH + length as usize, until)?;
        let frame = self.take(LENGTH + length as usize);
        let message = frame.get(LENGTH..).unwrap_or_default();
        match postcard::take_from_bytes(message) {
            Ok((message, [])) => Ok(message),
            Ok(_) => Err(WireError::Malformed("it is longer than its message")),
            Err(_) => Err(WireError::Malformed("it is no message of this protocol")),
        }
    }

    /// Waits until so many bytes are here; there is room for them.
    fn await_bytes(&mut self, bytes: usize, until: Option<Instant>) -> Result<(), WireError> {
        while self.end - self.begin < bytes {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(WireError::Slow);
            }
            if left.is_some() || self.timed {
                self.stream.set_read_timeout(left)?;
                self.timed = left.is_some();
            }
            self.fill()?;
        }
        Ok(())
    }

    /// Reads what is there, or waits for something.
    fn fill(&mut self) -> Result<(), WireError> {
        if self.begin > 0 {
            self.inward.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
        }
        let closed = if self.end > 0 { WireError::Cut } else { WireError::Closed };
        let room = self.inward.get_mut(self.end..).unwrap_or_default();
        let mut stream = &self.stream;
        loop {
            match stream.read(room) {
                Ok(0) => return Err(closed),
                Ok(read) => {
                    self.end += read;
                    return Ok(());
                }
                Err(error) if is_gone(&error) => return Err(closed),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Err(WireError::Slow),
                    _ => return Err(error.into()),
                },
            }
        }
    }

    /// Takes so many bytes, which are here.
    fn take(&mut self, bytes: usize) -> &[u8] {
        let begin = self.begin;
        self.begin += bytes;
        self.inward.get(begin..begin + bytes).unwrap_or_default()
    }
}

/// What a [`Pipe`] carries to the agent first: how it is served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The name under which the kernel counts on when the agent is gone; `None`: nothing does.
    pub keeps: Option<String>,
    /// Bytes that all counters may take.
    pub bank_bytes: u64,
}
