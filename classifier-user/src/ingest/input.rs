//! Opening a file: decompression, progress, and what is in it.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    error::{Compression, IngestError},
    format::{self, LineFormat},
    mmdb, mrt, snapshot,
};

/// How much of a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read of the file as it lies on the disk.
    pub read: u64,
    /// Its size, where it has one.
    pub total: Option<u64>,
}

/// As much of the content as formats are recognised by.
const HEAD: u64 = 64 * 1024;
/// Bytes between two calls of a progress callback.
const PROGRESS_STEP: u64 = 1024 * 1024;
const BUFFER: usize = 256 * 1024;

/// An open table file, decompressed.
pub(super) struct Input<'a> {
    pub file: PathBuf,
    pub modified: Option<Timestamp>,
    compression: Option<Compression>,
    head: Vec<u8>,
    rest: Box<dyn BufRead + 'a>,
}

/// What a file holds.
pub(super) enum Recognised {
    Snapshot,
    Mrt,
    Mmdb,
    Lines(&'static LineFormat),
}

/// A reading with its progress told.
struct Counted<'a> {
    file: File,
    progress: RefCell<&'a mut dyn FnMut(Progress)>,
    state: Progress,
    told: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.state.read += read as u64;
        if self.state.read >= self.told + PROGRESS_STEP || read == 0 {
            self.told = self.state.read;
            (self.progress.get_mut())(self.state);
        }
        Ok(read)
    }
}

impl<'a> Input<'a> {
    /// Opens a file and reads its beginning.
    ///
    /// # Errors
    /// It cannot be opened or read, there is nothing in it, or it is damaged or cut already there.
    pub(super) fn open(path: &Path, progress: &'a mut dyn FnMut(Progress)) -> Result<Self, IngestError> {
        let open_error = |source| IngestError::Open { file: path.into(), source };
        let file = File::open(path).map_err(open_error)?;
        let metadata = file.metadata().map_err(open_error)?;
        let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        let total = metadata.is_file().then_some(metadata.len());
        let counted =
            Counted { file, progress: RefCell::new(progress), state: Progress { read: 0, total }, told: 0 };
        Self::from_reader(path, modified, BufReader::with_capacity(BUFFER, counted))
    }

    fn from_reader(
        path: &Path,
        modified: Option<Timestamp>,
        mut reader: impl BufRead + 'a,
    ) -> Result<Self, IngestError> {
        let read_error = |source| IngestError::Read { file: path.into(), source };
        let compression = compression(reader.fill_buf().map_err(read_error)?);
        let rest: Box<dyn BufRead + 'a> = match compression {
            None => Box::new(reader),
            Some(Compression::Gzip) => {
                Box::new(BufReader::with_capacity(BUFFER, flate2::bufread::MultiGzDecoder::new(reader)))
            }
            Some(Compression::Bzip2) => {
                Box::new(BufReader::with_capacity(BUFFER, bzip2::bufread::MultiBzDecoder::new(reader)))
            }
            Some(Compression::Zstd) => Box::new(BufReader::with_capacity(
                BUFFER,
                zstd::stream::read::Decoder::with_buffer(reader).map_err(read_error)?,
            )),
        };
        let mut input = Self { file: path.into(), modified, compression, head: Vec::new(), rest };
        let mut head = Vec::new();
        let read = (&mut input.rest).take(HEAD).read_to_end(&mut head);
        read.map_err(|error| input.read_error(error))?;
        if head.is_empty() {
            return Err(IngestError::Empty { file: path.into() });
        }
        input.head = head;
        Ok(input)
    }

    /// What the file holds, by its content.
    ///
    /// # Errors
    /// Nothing that is known, or the file cannot be read.
    pub(super) fn recognise(&self) -> Result<Recognised, IngestError> {
        if snapshot::is_snapshot(&self.head) {
            return Ok(Recognised::Snapshot);
        }
        if mrt::is_mrt(&self.head) {
            return Ok(Recognised::Mrt);
        }
        if mmdb::may_be(&self.head) {
            return Ok(Recognised::Mmdb);
        }
        match format::recognise(&self.head) {
            Some(format) => Ok(Recognised::Lines(format)),
            None => Err(self.unrecognised()),
        }
    }

    /// The error for content that is no table.
    pub(super) fn unrecognised(&self) -> IngestError {
        let begins: String = String::from_utf8_lossy(self.head.get(..60).unwrap_or(&self.head))
            .chars()
            .map(|c| match c {
                '\n' | '\r' | '\t' => ' ',
                c if c.is_control() || c == char::REPLACEMENT_CHARACTER => '.',
                c => c,
            })
            .collect();
        IngestError::Unrecognised { file: self.file.clone(), begins: begins.trim().to_owned() }
    }

    /// Takes the content as a stream from its beginning, and what its errors mean.
    pub(super) fn into_stream(self) -> (impl BufRead + 'a, ReadErrors) {
        let errors = ReadErrors { file: self.file, compression: self.compression };
        (Cursor::new(self.head).chain(self.rest), errors)
    }

    fn read_error(&self, error: io::Error) -> IngestError {
        ReadErrors { file: self.file.clone(), compression: self.compression }.explain(error)
    }
}

/// Turns errors of a stream into what they mean for the file.
pub(super) struct ReadErrors {
    pub file: PathBuf,
    compression: Option<Compression>,
}

impl ReadErrors {
    /// What is wrong with the rest of a compressed stream, if anything.
    pub(super) fn of_the_rest(&self, stream: &mut impl Read) -> Option<IngestError> {
        self.compression?;
        io::copy(stream, &mut io::sink()).err().map(|error| self.explain(error))
    }

    pub(super) fn explain(&self, source: io::Error) -> IngestError {
        let file = self.file.clone();
        // What the file system says has an error number, what the decompressor says has none.
        match self.compression {
            Some(compression) if source.raw_os_error().is_none() => match source.kind() {
                io::ErrorKind::UnexpectedEof => IngestError::Cut { file, compression },
                _ => IngestError::Damaged { file, compression, source },
            },
            _ => IngestError::Read { file, source },
        }
    }
}

fn compression(magic: &[u8]) -> Option<Compression> {
    match magic {
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Compression::Bzip2),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
        _ => None,
    }
}
