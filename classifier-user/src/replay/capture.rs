//! Captures: pcap and pcapng, packet by packet.

use std::{
    borrow::Cow,
    cell::Cell,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    rc::Rc,
};

use pcap_file::{
    DataLink, PcapError,
    pcap::PcapReader,
    pcapng::{Block, PcapNgReader},
};

/// A capture that cannot be read, or cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing in it.
    #[error("{}: the file is empty; expected a pcap or pcapng capture", .0.display())]
    Empty(PathBuf),
    /// Another format.
    #[error("{}: neither pcap nor pcapng (it begins with {})", path.display(), hex(start))]
    Unrecognised {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        start: Vec<u8>,
    },
    /// Frames of another layer 2.
    #[error(
        "{}: link type {link_type} is not Ethernet; capture on the Ethernet interface itself (`tcpdump -i eth0 -w …`, \
         not `-i any`)",
        path.display()
    )]
    NotEthernet {
        /// The file.
        path: PathBuf,
        /// The capture's link type.
        link_type: String,
    },
    /// It ends in the middle, or is damaged there.
    #[error("{}: damaged or cut after packet {after}: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Packets that were read before.
        after: u64,
        /// What the reader said.
        source: PcapError,
    },
    /// More of the packet than the packet.
    #[error("{}: packet {number} has {captured} captured bytes but was {original} bytes long", path.display())]
    Longer {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        number: u64,
        /// Bytes captured.
        captured: usize,
        /// Bytes on the wire, as the capture says.
        original: u32,
    },
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

enum Reader {
    Pcap(PcapReader<Counted>),
    PcapNg(PcapNgReader<Counted>),
}

/// A file that says how far it was read.
struct Counted {
    file: io::Chain<io::Cursor<Vec<u8>>, File>,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

/// A capture being read.
pub struct Capture {
    path: PathBuf,
    reader: Reader,
    /// Whole size in bytes, for progress.
    size: u64,
    read: Rc<Cell<u64>>,
    packets: u64,
    /// Snap length of the section's first interface (pcapng), to which simple packet blocks belong; 0 is none.
    first_snap: Option<u32>,
}

impl Capture {
    /// Opens a capture of Ethernet frames.
    ///
    /// # Errors
    /// [`CaptureError`], also for an empty file and another link type.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut start = Vec::new();
        file.by_ref().take(4).read_to_end(&mut start).map_err(failed)?;
        if start.is_empty() {
            return Err(CaptureError::Empty(path.to_owned()));
        }
        let unrecognised = || CaptureError::Unrecognised { path: path.to_owned(), start: start.clone() };
        let read = Rc::new(Cell::new(0));
        let input = Counted { file: io::Cursor::new(start.clone()).chain(file), read: Rc::clone(&read) };
        let damaged = |source| CaptureError::Damaged { path: path.to_owned(), after: 0, source };
        let reader = match start.as_slice() {
            [0x0a, 0x0d, 0x0d, 0x0a] => Reader::PcapNg(PcapNgReader::new(input).map_err(damaged)?),
            [0xd4, 0xc3, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0xc3, 0xd4]
            | [0x4d, 0x3c, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0x3c, 0x4d] => {
                let reader = PcapReader::new(input).map_err(damaged)?;
                ethernet(path, reader.header().datalink)?;
                Reader::Pcap(reader)
            }
            _ => return Err(unrecognised()),
        };
        Ok(Self { path: path.to_owned(), reader, size, read, packets: 0, first_snap: None })
    }

    /// The file's size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes read so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.read.get()
    }

    /// Gives the next packet to `use_it`: the bytes captured, and how long the frame was. `None` at the end.
    ///
    /// # Errors
    /// [`CaptureError`] where the capture is damaged; what came before stands.
    pub fn next<T>(&mut self, use_it: impl FnOnce(&[u8], u32) -> T) -> Result<Option<T>, CaptureError> {
        let after = self.packets;
        let damaged = |source| CaptureError::Damaged { path: self.path.clone(), after, source };
        match &mut self.reader {
            Reader::Pcap(reader) => match reader.next_raw_packet() {
                None => Ok(None),
                Some(Err(source)) => Err(damaged(source)),
                Some(Ok(packet)) => {
                    self.packets += 1;
                    check(&self.path, self.packets, &packet.data, packet.orig_len)?;
                    Ok(Some(use_it(&packet.data, packet.orig_len)))
                }
            },
            Reader::PcapNg(reader) => loop {
                let block = match reader.next_block() {
                    None => return Ok(None),
                    Some(Err(source)) => return Err(damaged(source)),
                    Some(Ok(block)) => block,
                };
                let (data, original) = match block {
                    Block::SectionHeader(_) => {
                        self.first_snap = None;
                        continue;
                    }
                    Block::InterfaceDescription(interface) => {
                        ethernet(&self.path, interface.linktype)?;
                        self.first_snap.get_or_insert(interface.snaplen);
                        continue;
                    }
                    Block::EnhancedPacket(packet) => (packet.data, packet.original_len),
                    Block::SimplePacket(packet) => {
                        // Its captured length is not in it, and the reader leaves the padding on.
                        let snap = self.first_snap.filter(|&snap| snap != 0).unwrap_or(u32::MAX);
                        let kept = packet.original_len.min(snap) as usize;
                        (truncated(packet.data, kept), packet.original_len)
                    }
                    Block::Packet(packet) => (packet.data, packet.original_len),
                    _ => continue,
                };
                self.packets += 1;
                check(&self.path, self.packets, &data, original)?;
                return Ok(Some(use_it(&data, original)));
            },
        }
    }
}

/// At most the first `len` bytes.
fn truncated(data: Cow<'_, [u8]>, len: usize) -> Cow<'_, [u8]> {
    match data {
        Cow::Borrowed(data) => Cow::Borrowed(data.get(..len).unwrap_or(data)),
        Cow::Owned(mut data) => {
            data.truncate(len);
            Cow::Owned(data)
        }
    }
}

fn ethernet(path: &Path, link_type: DataLink) -> Result<(), CaptureError> {
    if link_type == DataLink::ETHERNET {
        return Ok(());
    }
    Err(CaptureError::NotEthernet { path: path.to_owned(), link_type: format!("{link_type:?}") })
}

fn check(path: &Path, number: u64, data: &[u8], original: u32) -> Result<(), CaptureError> {
    if data.len() > original as usize {
        return Err(CaptureError::Longer { path: path.to_owned(), number, captured: data.len(), original });
    }
    Ok(())
}
