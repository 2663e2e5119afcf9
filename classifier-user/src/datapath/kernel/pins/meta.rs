//! What the map `META` of a generation says: what its counters are of, and how they lie. Self-describing, so that
//! another version of the agent can tell whether it can read them.

use std::{
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use classifier_common::abi::{ABI_VERSION, BankLayout, MAX_LINKS};

use crate::{
    datapath::adopted::{CountId, LinkLabel},
    model::{LinkKind, Role},
};

/// Bytes of an entry.
pub(in crate::datapath::kernel) const ENTRY: usize = 128;
/// Entries: the header, and a label each.
pub(in crate::datapath::kernel) const ENTRIES: u32 = 1 + LABELS;
/// Labels at most: this agent's links, and links of before that it does not have.
pub(in crate::datapath::kernel) const LABELS: u32 = 256;
const _: () = assert!(LABELS > MAX_LINKS && LABELS <= 256);

/// How `META`, `CLASSES` and `CARRY` are written. Whoever raises it keeps the reading of the forms from [`OLDEST_FORMAT`] on:
/// magic, this number and the version that wrote it lie the same in all of them.
/// From 2 on, one that is not settled may carry what some older generations counted.
const FORMAT: u32 = 2;
const OLDEST_FORMAT: u32 = 1;
/// How `HOOKS` and `BANKS` lie: raised where the formulas of `classifier_common::abi` change that find a counter, or the
/// shapes of these two maps. An upgrade reads the generation of before, so whoever raises it keeps the older formulas, and
/// `pins/sum.rs` takes them for generations whose header says so, from [`OLDEST_LAYOUT`] on.
pub(in crate::datapath::kernel) const LAYOUT: u32 = 1;
/// The oldest that this version reads: raised when nobody can come from there any more.
pub(in crate::datapath::kernel) const OLDEST_LAYOUT: u32 = 1;
const MAGIC: &[u8; 8] = b"CLSFMETA";

pub(in crate::datapath::kernel) type Entry = [u8; ENTRY];

/// The first entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::datapath::kernel) struct Header {
    /// The version of the interface to the programs.
    pub(in crate::datapath::kernel) abi: u32,
    /// [`LAYOUT`].
    pub(in crate::datapath::kernel) layout: u32,
    pub(in crate::datapath::kernel) banks: BankLayout,
    /// Links that have banks.
    pub(in crate::datapath::kernel) links: u32,
    /// Links that have labels: these, and others of before.
    pub(in crate::datapath::kernel) labels: u32,
    /// Whether `CARRY` has all that older generations counted. They have nothing more to say then.
    pub(in crate::datapath::kernel) settled: bool,
    /// Entries of `CARRY`; of `FOLDED` where it is not settled.
    pub(in crate::datapath::kernel) carried: u32,
    pub(in crate::datapath::kernel) count: CountId,
    pub(in crate::datapath::kernel) since: SystemTime,
    /// In which state directory all of it is recorded; zero: in none, or not from the beginning.
    pub(in crate::datapath::kernel) recorder: [u8; 16],
    /// The network namespace, by its inode.
    pub(in crate::datapath::kernel) namespace: u64,
    /// Of the agent that made it.
    pub(in crate::datapath::kernel) version: String,
}

/// Another entry: a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::datapath::kernel) struct Label {
    pub(in crate::datapath::kernel) link: LinkLabel,
    /// The interface it was on, when this generation was made.
    pub(in crate::datapath::kernel) ifindex: u32,
    /// What that was called; nothing where it was not there, or an older version has not said.
    pub(in crate::datapath::kernel) interface: String,
    /// By hook, the set of sides that are counted; none where it is a link of before.
    pub(in crate::datapath::kernel) sides: [u32; 2],
    /// Whether the agent made the interface's clsact qdisc.
    pub(in crate::datapath::kernel) qdisc: bool,
    /// By hook, whether a program was put there since counting began: where none is any more, something was missed.
    pub(in crate::datapath::kernel) attached: [bool; 2],
    /// By hook, whether it was missed before this generation, and no agent has swept since it was told so. To versions before
    /// this, it was attached, which comes to the same.
    pub(in crate::datapath::kernel) missed: [bool; 2],
}

/// Why `META` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// It is not what it is taken for.
    #[error("it does not begin as one of classifier's does")]
    Magic,
    /// It is of a newer version.
    #[error(
        "classifier {version} made it, in a form newer than this version knows: run that one, or a later one"
    )]
    Newer {
        /// Which.
        version: String,
    },
    /// It is of an older version than can be gone on with.
    #[error(
        "classifier {version} made it, in a form older than this version reads: first run a version in between"
    )]
    Older {
        /// Which.
        version: String,
    },
    /// A number in it cannot be.
    #[error("its {0} makes no sense")]
    Nonsense(&'static str),
}

struct Write<'a>(&'a mut Entry, usize);

impl Write<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(self.1..self.1 + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.1 += bytes.len();
    }

    fn text(&mut self, text: &str, room: usize) {
        let mut end = text.len().min(room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let bytes = text.get(..end).unwrap_or_default().as_bytes();
        self.put(&[bytes.len() as u8]);
        self.put(bytes);
        self.1 += room - bytes.len();
    }
}

struct Read<'a>(&'a [u8]);

impl<'a> Read<'a> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk::<N>().map_or(([0; N], &[][..]), |(a, b)| (*a, b));
        self.0 = rest;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn text(&mut self, room: usize) -> Option<&'a str> {
        let [len] = self.take::<1>();
        let (field, rest) = self.0.split_at_checked(room)?;
        self.0 = rest;
        std::str::from_utf8(field.get(..usize::from(len))?).ok()
    }
}

/// Whether this version reads what was written in this form.
fn known(number: u32, known: RangeInclusive<u32>, version: &str) -> Result<(), MetaError> {
    let version = version.to_owned();
    if number > *known.end() {
        Err(MetaError::Newer { version })
    } else if number < *known.start() {
        Err(MetaError::Older { version })
    } else {
        Ok(())
    }
}

impl Header {
    pub(in crate::datapath::kernel) fn encode(&self) -> Entry {
        let mut entry = [0; ENTRY];
        let mut out = Write(&mut entry, 0);
        out.put(MAGIC);
        out.put(&FORMAT.to_le_bytes());
        out.text(&self.version, 19);
        let since = self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        out.put(&(since as u64).to_le_bytes());
        out.put(&self.count.0);
        out.put(&self.recorder);
        out.put(&self.namespace.to_le_bytes());
        let BankLayout { slices, classes, sides } = self.banks;
        let numbers = [self.abi, self.layout, slices, classes, sides, self.links, self.labels];
        for number in numbers.into_iter().chain([u32::from(self.settled), self.carried]) {
            out.put(&number.to_le_bytes());
        }
        entry
    }

    pub(in crate::datapath::kernel) fn decode(entry: &Entry) -> Result<Self, MetaError> {
        let mut read = Read(entry);
        if &read.take::<8>() != MAGIC {
            return Err(MetaError::Magic);
        }
        let format = read.u32();
        let version = read.text(19).ok_or(MetaError::Nonsense("version"))?.to_owned();
        known(format, OLDEST_FORMAT..=FORMAT, &version)?;
        let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(read.u64()));
        let header = Self {
            since: since.ok_or(MetaError::Nonsense("beginning"))?,
            count: CountId(read.take()),
            recorder: read.take(),
            namespace: read.u64(),
            abi: read.u32(),
            layout: read.u32(),
            banks: BankLayout { slices: read.u32(), classes: read.u32(), sides: read.u32() },
            links: read.u32(),
            labels: read.u32(),
            settled: read.u32() != 0,
            carried: read.u32(),
            version,
        };
        known(header.layout, OLDEST_LAYOUT..=LAYOUT, &header.version)?;
        // What the formulas of `BankLayout` come to must not overflow.
        let BankLayout { slices, classes, sides } = header.banks;
        let blocks = u128::from(classes).div_ceil(64);
        let stride = blocks * 64 + blocks.div_ceil(16);
        let slices_of_all = (u128::from(slices) + 1) * 2 * u128::from(sides) * u128::from(header.links);
        if slices_of_all * stride > u128::from(u32::MAX) {
            return Err(MetaError::Nonsense("layout"));
        }
        if !(1..=2).contains(&sides) || slices == 0 || classes == 0 {
            return Err(MetaError::Nonsense("layout"));
        }
        if header.links > MAX_LINKS || header.labels > LABELS || header.labels < header.links {
            return Err(MetaError::Nonsense("number of links"));
        }
        Ok(header)
    }

    /// The ABI that this binary's programs have.
    pub(in crate::datapath::kernel) const fn own_abi() -> u32 {
        ABI_VERSION
    }
}

impl Label {
    pub(in crate::datapath::kernel) fn encode(&self) -> Entry {
        let mut entry = [0; ENTRY];
        let mut out = Write(&mut entry, 0);
        out.text(&self.link.name, 64);
        out.put(&[self.link.role as u8, self.link.kind.map_or(0, |kind| 1 + kind as u8)]);
        out.put(&[self.sides[0] as u8, self.sides[1] as u8, u8::from(self.qdisc)]);
        out.put(&self.ifindex.to_le_bytes());
        let of = |hook: usize| u8::from(self.attached[hook]) | u8::from(self.missed[hook]) << 1;
        out.put(&[of(0), of(1)]);
        out.text(&self.interface, 15);
        entry
    }

    pub(in crate::datapath::kernel) fn decode(entry: &Entry) -> Result<Self, MetaError> {
        let mut read = Read(entry);
        let name = read.text(64).ok_or(MetaError::Nonsense("link"))?.to_owned();
        let [role, kind, rx, tx, qdisc] = read.take();
        let role = [Role::Upstream, Role::Downstream].get(usize::from(role)).copied();
        let kinds = [LinkKind::Transit, LinkKind::Ix, LinkKind::Pni, LinkKind::Customer];
        let kind = match kind.checked_sub(1) {
            None => None,
            Some(kind) => Some(*kinds.get(usize::from(kind)).ok_or(MetaError::Nonsense("link"))?),
        };
        let role = role.ok_or(MetaError::Nonsense("link"))?;
        let ifindex = read.u32();
        let hooks: [u8; 2] = read.take();
        Ok(Self {
            link: LinkLabel { name, role, kind },
            ifindex,
            sides: [u32::from(rx & 3), u32::from(tx & 3)],
            qdisc: qdisc != 0,
            attached: hooks.map(|hook| hook & 1 != 0),
            missed: hooks.map(|hook| hook & 2 != 0),
            interface: read.text(15).ok_or(MetaError::Nonsense("link"))?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            abi: 2,
            layout: LAYOUT,
            banks: BankLayout { slices: 8, classes: 1_000_000, sides: 2 },
            links: 2,
            labels: 3,
            settled: true,
            carried: 77,
            count: CountId([7; 16]),
            since: SystemTime::UNIX_EPOCH + Duration::from_micros(1_767_312_000_123_456),
            recorder: [9; 16],
            namespace: 4_026_531_840,
            version: "0.1.0-and-something-longer".chars().take(19).collect(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = header();
        assert_eq!(Header::decode(&written.encode()), Ok(written));
        for (role, kind) in [(Role::Upstream, None), (Role::Downstream, Some(LinkKind::Customer))] {
            let label = Label {
                link: LinkLabel { name: "PNI – ".repeat(7), role, kind },
                ifindex: 70_000,
                interface: "fifteen-letters".to_owned(),
                sides: [3, 1],
                qdisc: kind.is_some(),
                attached: [kind.is_some(), true],
                missed: [true, kind.is_none()],
            };
            assert_eq!(Label::decode(&label.encode()), Ok(label));
        }
    }

    #[test]
    fn what_is_not_ours_or_newer_or_too_old_is_refused() {
        assert_eq!(Header::decode(&[0; ENTRY]), Err(MetaError::Magic));
        let newer = Header { layout: LAYOUT + 1, ..header() };
        assert_eq!(Header::decode(&newer.encode()), Err(MetaError::Newer { version: newer.version }));
        let older = Header { layout: OLDEST_LAYOUT - 1, ..header() };
        assert_eq!(Header::decode(&older.encode()), Err(MetaError::Older { version: older.version }));
        let mut format = header().encode();
        format[8] = FORMAT as u8 + 1;
        assert_eq!(Header::decode(&format), Err(MetaError::Newer { version: header().version }));
        format[8] = OLDEST_FORMAT as u8 - 1;
        assert_eq!(Header::decode(&format), Err(MetaError::Older { version: header().version }));
        for layout in OLDEST_LAYOUT..=LAYOUT {
            let known = Header { layout, ..header() };
            assert_eq!(Header::decode(&known.encode()), Ok(known), "an upgrade goes on with it");
        }
        for (what, bad) in [
            ("layout", Header { banks: BankLayout { slices: 0, classes: 1, sides: 1 }, ..header() }),
            ("layout", Header { banks: BankLayout { slices: 1, classes: 1, sides: 3 }, ..header() }),
            (
                "layout",
                Header { banks: BankLayout { slices: u32::MAX, classes: u32::MAX, sides: 2 }, ..header() },
            ),
            ("number of links", Header { links: 65, labels: 65, ..header() }),
            ("number of links", Header { links: 2, labels: 1, ..header() }),
            ("number of links", Header { labels: 257, ..header() }),
        ] {
            assert_eq!(Header::decode(&bad.encode()), Err(MetaError::Nonsense(what)));
        }
    }

    #[test]
    fn no_entry_makes_it_panic() {
        for byte in 0..=255 {
            let _ = Label::decode(&[byte; ENTRY]);
            let mut entry = header().encode();
            entry[8..].fill(byte);
            let _ = Header::decode(&entry);
        }
    }
}
