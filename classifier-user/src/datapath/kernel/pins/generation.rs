//! One generation: maps, and what they say of themselves.

use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use aya::maps::{Array, Map, MapData};
use classifier_common::{
    abi::{Hook, HookSlice, maps},
    counter::Counter,
    fib::Class,
};

use super::{
    super::{mapping::Mapping, sweep, sys},
    PinError, PinnedLink, failed,
    meta::{ENTRIES, ENTRY, Entry, Header, Label},
    namespace,
    records::{self, CARRY_WORDS, OWNER_WORDS},
};
use crate::{fib::memory::Words as _, model::Owner};

pub(super) const META: &str = "META";
const CLASSES: &str = "CLASSES";
const CARRY: &str = "CARRY";
const FOLDED: &str = "FOLDED";
const ARRAY: u32 = aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
const MMAPABLE: u32 = 1 << 10;

/// A map's shape: what must be right before its memory is read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    value: u32,
    entries: u32,
    flags: u32,
}

impl Shape {
    fn bytes(self) -> usize {
        self.value.next_multiple_of(8) as usize * self.entries as usize
    }

    fn of(info: &sys::MapInfo) -> String {
        let sys::MapInfo { kind, key_size, value_size, max_entries, flags, .. } = info;
        format!("type {kind}, {key_size}-byte keys, {max_entries} x {value_size} bytes, flags {flags:#x}")
    }

    fn info(self) -> sys::MapInfo {
        let Self { value, entries, flags } = self;
        sys::MapInfo { kind: ARRAY, id: 0, key_size: 4, value_size: value, max_entries: entries, flags }
    }

    /// A new map.
    fn create(self, name: &'static str) -> Result<OwnedFd, PinError> {
        let definition = aya_obj::Map::new_from_params(ARRAY, 4, self.value, self.entries, self.flags);
        let made = MapData::create(definition, name, None).map_err(std::io::Error::other);
        let fd = made.and_then(|map| map.fd().as_fd().try_clone_to_owned());
        fd.map_err(failed("making a map", Path::new(name)))
    }

    /// The map that is pinned there, if it is of this shape.
    fn open(self, path: &Path) -> Result<OwnedFd, PinError> {
        let fd = sys::pinned(path).map_err(failed("opening a pinned map", path))?;
        let info = sys::map_info(fd.as_fd()).map_err(failed("asking what map it is", path))?;
        if (sys::MapInfo { id: 0, ..info }) != self.info() {
            let (found, expected) = (Self::of(&info), Self::of(&self.info()));
            return Err(PinError::Shape { path: path.to_owned(), found, expected });
        }
        Ok(fd)
    }

    fn map(self, fd: BorrowedFd<'_>, path: &Path) -> Result<Mapping, PinError> {
        Mapping::new(fd, self.bytes())
            .map_err(|error| failed("mapping a map", path)(std::io::Error::other(error)))
    }
}

fn classes_shape(header: &Header) -> Shape {
    Shape { value: OWNER_WORDS as u32 * 4, entries: header.banks.classes, flags: MMAPABLE }
}

fn hooks_shape(header: &Header) -> Shape {
    let entries = header.links * 2 * (header.banks.slices + 1);
    Shape { value: size_of::<HookSlice>() as u32, entries, flags: MMAPABLE }
}

fn banks_shape(header: &Header) -> Shape {
    let entries = header.banks.entries() * header.links;
    Shape { value: size_of::<Counter>() as u32, entries, flags: MMAPABLE }
}

fn carry_shape(entries: u32) -> Shape {
    Shape { value: CARRY_WORDS as u32 * 4, entries: entries.max(1), flags: MMAPABLE }
}

const META_SHAPE: Shape = Shape { value: ENTRY as u32, entries: ENTRIES, flags: 0 };

type Meta = Array<MapData, Entry>;

fn meta_of(fd: OwnedFd, path: &Path) -> Result<Meta, PinError> {
    let map = MapData::from_fd(fd).and_then(|map| Meta::try_from(Map::Array(map)));
    map.map_err(|error| failed("opening a pinned map", path)(std::io::Error::other(error)))
}

/// A generation that is there.
pub(in crate::datapath::kernel) struct Generation {
    pub(in crate::datapath::kernel) path: PathBuf,
    pub(in crate::datapath::kernel) header: Header,
    pub(in crate::datapath::kernel) labels: Vec<Label>,
    meta: Meta,
}

impl Generation {
    /// Describes the maps of an object that was just loaded, and pins them; what is pinned last makes the generation
    /// whole. The path's directory is there and empty.
    pub(in crate::datapath::kernel) fn create(
        path: PathBuf,
        header: Header,
        labels: Vec<Label>,
        counters: [BorrowedFd<'_>; 2],
        programs: &[(&str, BorrowedFd<'_>)],
    ) -> Result<(Self, Mapping), PinError> {
        let pin = |name: &str, fd: BorrowedFd<'_>| {
            let path = path.join(name);
            sys::pin(fd, &path).map_err(failed("pinning", &path))
        };
        let shape = classes_shape(&header);
        let classes = shape.create(CLASSES)?;
        let mapping = shape.map(classes.as_fd(), Path::new(CLASSES))?;
        pin(CLASSES, classes.as_fd())?;
        for (name, fd) in [maps::HOOKS, maps::BANKS].into_iter().zip(counters).chain(programs.iter().copied())
        {
            pin(name, fd)?;
        }
        let fd = META_SHAPE.create(META)?;
        let pinned = fd.try_clone().map_err(failed("duplicating a descriptor", &path))?;
        let mut generation = Self { meta: meta_of(fd, &path)?, path, header, labels };
        for index in 0..generation.labels.len() {
            generation.write_label(index)?;
        }
        generation.write_header()?;
        let path = generation.path.join(META);
        sys::pin(pinned.as_fd(), &path).map_err(failed("pinning", &path))?;
        Ok((generation, mapping))
    }

    /// The generation of this directory. `None` where it is not whole: nothing was ever attached with its maps.
    pub(in crate::datapath::kernel) fn open(path: &Path) -> Result<Option<Self>, PinError> {
        let pin = path.join(META);
        if !pin.exists() {
            return Ok(None);
        }
        let meta = meta_of(META_SHAPE.open(&pin)?, &pin)?;
        let entry = |index: u32| {
            meta.get(&index, 0)
                .map_err(|error| failed("reading a pinned map", &pin)(std::io::Error::other(error)))
        };
        let bad = |source| PinError::Meta { path: pin.clone(), source };
        let header = Header::decode(&entry(0)?).map_err(bad)?;
        let mut labels = Vec::new();
        for index in 1..=header.labels {
            labels.push(Label::decode(&entry(index)?).map_err(bad)?);
        }
        Ok(Some(Self { path: path.to_owned(), header, labels, meta }))
    }

    /// One system call: whoever is killed has written it or not.
    fn write(&mut self, index: u32, entry: Entry) -> Result<(), PinError> {
        let written = self.meta.set(index, entry, 0);
        written.map_err(|error| failed("writing a map", &self.path)(std::io::Error::other(error)))
    }

    pub(in crate::datapath::kernel) fn write_header(&mut self) -> Result<(), PinError> {
        self.write(0, self.header.encode())
    }

    pub(in crate::datapath::kernel) fn write_label(&mut self, index: usize) -> Result<(), PinError> {
        let Some(entry) = self.labels.get(index).map(Label::encode) else { return Ok(()) };
        self.write(1 + index as u32, entry)
    }

    /// The owners of its classes.
    pub(super) fn classes(&self) -> Result<Mapping, PinError> {
        self.mapped(CLASSES, classes_shape(&self.header))
    }

    /// Its outcomes.
    pub(super) fn hooks(&self) -> Result<Mapping, PinError> {
        self.mapped(maps::HOOKS, hooks_shape(&self.header))
    }

    /// Its classes' counters.
    pub(super) fn banks(&self) -> Result<Mapping, PinError> {
        self.mapped(maps::BANKS, banks_shape(&self.header))
    }

    fn mapped(&self, name: &str, shape: Shape) -> Result<Mapping, PinError> {
        let path = self.path.join(name);
        shape.map(shape.open(&path)?.as_fd(), &path)
    }

    /// What it carries of before.
    pub(super) fn carry(&self) -> Result<Vec<records::Carried>, PinError> {
        if self.header.carried == 0 {
            return Ok(Vec::new());
        }
        let name = if self.header.settled { CARRY } else { FOLDED };
        let mapping = self.mapped(name, carry_shape(self.header.carried))?;
        Ok((0..self.header.carried as usize)
            .filter_map(|index| records::Carried::load(&mapping, index))
            .collect())
    }

    /// Whether nothing was ever counted into it. Every frame is in an outcome.
    pub(in crate::datapath::kernel) fn is_zero(&self) -> Result<bool, PinError> {
        let hooks = self.hooks()?;
        let outcomes = |(link, hook)| sweep::outcomes(&hooks, link, hook, self.header.banks.slices);
        let mut all = (0..self.header.links).flat_map(|link| Hook::ALL.map(|hook| (link, hook)));
        Ok(all.all(|of| outcomes(of).iter().all(Counter::is_zero)))
    }

    /// Numbers of those that have nothing to say, for what they counted is in this one. Where it is settled all older ones are.
    pub(super) fn replaced(&self) -> Result<Vec<u64>, PinError> {
        if self.header.settled {
            return Ok(Vec::new());
        }
        let number = |carried: records::Carried| match carried.what {
            records::What::Replaced(number) => Some(number),
            _ => None,
        };
        Ok(self.carry()?.into_iter().filter_map(number).collect())
    }

    /// Pins what it carries, which counts once its header says so.
    fn pin_carried(&self, name: &str, carried: &[records::Carried]) -> Result<(), PinError> {
        let path = self.path.join(name);
        // Of an agent that was killed just here.
        let _ = std::fs::remove_file(&path);
        if !carried.is_empty() {
            let shape = carry_shape(carried.len() as u32);
            let fd = shape.create(CARRY)?;
            let mut mapping = shape.map(fd.as_fd(), &path)?;
            for (index, carried) in carried.iter().enumerate() {
                carried.store(&mut mapping, index);
            }
            sys::pin(fd.as_fd(), &path).map_err(failed("pinning", &path))?;
        }
        Ok(())
    }

    /// Takes over what some older generations counted, which are named in it: from here on these have nothing more to say.
    /// It is not settled, and carried nothing before.
    pub(super) fn fold(&mut self, carried: &[records::Carried]) -> Result<(), PinError> {
        self.pin_carried(FOLDED, carried)?;
        self.header.carried = carried.len() as u32;
        self.header.labels = self.labels.len() as u32;
        self.write_header()
    }

    /// Takes over all that older generations counted: from here on they have nothing more to say.
    pub(super) fn settle(&mut self, carried: &[records::Carried]) -> Result<(), PinError> {
        self.pin_carried(CARRY, carried)?;
        self.header.carried = carried.len() as u32;
        self.header.labels = self.labels.len() as u32;
        self.header.settled = true;
        self.write_header()?;
        // It is in the other one now.
        let _ = std::fs::remove_file(self.path.join(FOLDED));
        Ok(())
    }

    /// Whether its interfaces are of this network namespace.
    pub(in crate::datapath::kernel) fn is_of_here(&self) -> bool {
        self.header.namespace == namespace()
    }

    /// Whether some of its hooks have filters, as these are the places that are pinned.
    pub(in crate::datapath::kernel) fn has_filters(&self, links: &[(u32, Hook, PinnedLink)]) -> bool {
        let is_pinned =
            |ifindex: u32, hook: Hook| links.iter().any(|(index, its, _)| (*index, *its) == (ifindex, hook));
        self.labels.iter().filter(|label| label.ifindex != 0).any(|label| {
            let mut attached = Hook::ALL.into_iter().filter(|&hook| label.attached[hook as usize]);
            attached.any(|hook| !is_pinned(label.ifindex, hook))
        })
    }

    /// Numbers of its programs.
    pub(in crate::datapath::kernel) fn programs(&self) -> Vec<u32> {
        use classifier_common::abi::programs;
        let pins = [programs::XDP_RX, programs::TC_RX, programs::TC_TX].map(|name| self.path.join(name));
        let info = pins.iter().filter_map(|pin| sys::program_info(sys::pinned(pin).ok()?.as_fd()).ok());
        info.map(|info| info.id).collect()
    }
}

/// The owner of a class; `None` where none was written.
pub(super) fn owner_of(classes: &Mapping, class: Class) -> Option<Owner> {
    let first = class as usize * OWNER_WORDS;
    records::decode(std::array::from_fn(|word| classes.load(first + word)))
}

/// Writes whose a class is: before the FIB has a word that says it.
pub(in crate::datapath::kernel) fn set_owner(classes: &mut Mapping, class: Class, owner: &Owner) {
    let first = class as usize * OWNER_WORDS;
    if first + OWNER_WORDS > classes.len() / 4 {
        return;
    }
    for (offset, word) in records::encode(owner).into_iter().enumerate() {
        classes.store(first + offset, word);
    }
}

#[cfg(test)]
pub(in crate::datapath::kernel) mod tests {
    use std::{fs, io, thread};

    use super::{super::Place, *};
    use crate::{
        datapath::{
            Sizes,
            kernel::{Kernel, LoadError, Setup},
        },
        model::{Asn, Family, Link, LinkId, Role},
    };

    /// Runs `body` with a BPF file system of its own, which goes with it.
    pub(in crate::datapath::kernel) fn with_bpffs(body: impl FnOnce(&Path) + Send) {
        let directory = tempfile::tempdir().expect("a directory");
        let mounted = |source: &std::ffi::CStr, target: &Path, kind: &std::ffi::CStr, flags| {
            let target = std::ffi::CString::new(target.to_str().expect("UTF-8")).expect("no nul");
            // SAFETY: strings that live through the call.
            let done = unsafe {
                libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, std::ptr::null())
            };
            assert_eq!(done, 0, "mount: {}", io::Error::last_os_error());
        };
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                // SAFETY: concerns this thread only.
                assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "kernel tests need root");
                mounted(c"none", Path::new("/"), c"", libc::MS_REC | libc::MS_PRIVATE);
                mounted(c"bpf", directory.path(), c"bpf", 0);
                body(directory.path());
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }

    const SIZES: Sizes = Sizes { classes: 64, v4_rows: 1, v6_rows: 1, v6_nodes: 1 };

    fn place(bpffs: &Path) -> Place {
        Place::new(bpffs.to_owned(), "default".to_owned())
    }

    /// A start on an interface that is not there.
    pub(in crate::datapath::kernel) fn load(bpffs: &Path) -> Result<Kernel, LoadError> {
        let setup = Setup { link: LinkId(0), ifindex: 9999, vlan: None, sides: [3, 3], extra_bytes: 0 };
        let (name, interface) = ("transit".to_owned(), String::new());
        let link = Link { name, interface, vlan: None, role: Role::Upstream, kind: None };
        Kernel::load_kept(&SIZES, &[setup], std::slice::from_ref(&link), &place(bpffs), None)
    }

    /// Those that are pinned.
    pub(in crate::datapath::kernel) fn generations(kernel: &Kernel) -> Vec<Generation> {
        let pins = &kernel.keeping.as_ref().expect("it keeps").pins;
        pins.generations().iter().filter_map(|(_, path)| Generation::open(path).expect("whole")).collect()
    }

    #[test]
    fn kernel_larger_maps_are_gone_on_with_where_the_wait_for_the_smaller_ones_fails() {
        with_bpffs(|bpffs| {
            let mut kernel = load(bpffs).expect("loaded");
            kernel.settle().expect("nothing of before");
            kernel.grace.spoil();
            kernel
                .replace(&Sizes { classes: 128, ..SIZES })
                .expect("the programs are those of the larger maps");
            // Whose a class is that only they have.
            let owner = Owner::As { family: Family::Ipv4, asn: 64_500 as Asn };
            kernel.bind(&[(100, owner)]);
            let generations = generations(&kernel);
            let [old, new] = &generations[..] else { panic!("{} generations", generations.len()) };
            assert_eq!((old.header.banks.classes, new.header.banks.classes), (64, 128));
            assert!(!new.header.settled, "what the old one counted may still grow");
            assert_eq!(owner_of(&new.classes().expect("mapped"), 100), Some(owner));
            drop(kernel);
            // The next start sums up both.
            let mut next = load(bpffs).expect("loaded");
            next.settle().expect("summed up");
            assert_eq!(
                fs::read_dir(bpffs.join(format!("classifier/v{}/default", place(bpffs).abi)))
                    .expect("pins")
                    .count(),
                2
            );
        });
    }
}
