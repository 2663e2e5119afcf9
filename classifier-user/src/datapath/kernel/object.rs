//! Loading the object: sizes and constants in, programs verified, maps mapped.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Array, ArrayOfMaps, Map, MapData, MapError},
    programs::{ProgramError, ProgramFd, SchedClassifier, Xdp},
};
use classifier_common::{
    abi::{self, BankLayout, Hook, HookSlice, Side, SideSlice, globals, maps, programs},
    counter::Counter,
};

use super::{mapping::Mapping, pins::PinError, ports::Ports};
use crate::{
    datapath::{DatapathError, Sizes, privileges},
    fib::memory::FibMemory,
    model::LinkId,
};

/// The object that the build made.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/classifier"));

/// Why the kernel program could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Capabilities are missing.
    #[error(
        "the kernel does not permit loading BPF programs ({call}): run as root, or with CAP_BPF, CAP_NET_ADMIN and \
         CAP_PERFMON (`classifier check` says which are missing)"
    )]
    Permission {
        /// The call that was refused.
        call: String,
    },
    /// The verifier refused, or the kernel lacks something.
    #[error(
        "the kernel refused program {program}: {source} (`classifier check` says what this kernel lacks)"
    )]
    Program {
        /// The program.
        program: &'static str,
        /// What the kernel said, with the verifier's log.
        source: Box<ProgramError>,
    },
    /// The object could not be loaded.
    #[error("the kernel object could not be loaded: {0}")]
    Object(#[from] Box<EbpfError>),
    /// The object and this binary do not agree: a broken build.
    #[error("the kernel object has no {0}; this is a broken build")]
    Missing(&'static str),
    /// A map could not be made, written or mapped.
    #[error("{what}: {source}")]
    Map {
        /// Which, and what was tried.
        what: &'static str,
        /// Why.
        source: Box<MapError>,
    },
    /// A system call failed.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// It could not be kept.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// A number out of range.
    #[error("{what} is {value}, beyond the {limit} that one object serves")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The number.
        value: u32,
        /// The limit.
        limit: u32,
    },
}

/// A link as the kernel is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The link.
    pub link: LinkId,
    /// Its interface's index; 0 while it is not there.
    pub ifindex: u32,
    /// The outer VLAN that it is; `None`: all else of the interface.
    pub vlan: Option<u16>,
    /// By hook, a bit set of sides that are counted.
    pub sides: [u32; 2],
    /// Bytes a packet had on the wire that the frame here does not have.
    pub extra_bytes: u16,
}

/// Everything in the kernel, before anything is attached.
pub(super) struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) fib: FibMemory<Mapping>,
    pub(super) hooks: Mapping,
    pub(super) banks: Mapping,
    /// Of the same two.
    pub(super) counters: [OwnedFd; 2],
    pub(super) layout: BankLayout,
    /// How many links have banks.
    pub(super) links: u32,
    pub(super) fib_bytes: u64,
    pub(super) bank_bytes: u64,
    pub(super) grace: Grace,
    pub(super) ports: Ports,
}

/// Waits until every program run that began before has ended.
pub(super) struct Grace {
    slot: ArrayOfMaps<MapData, MapData>,
    filler: MapData,
}

impl Grace {
    /// Has every wait fail from now on.
    #[cfg(test)]
    pub(super) fn spoil(&mut self) {
        let other = aya_obj::Map::new_from_params(2, 4, 8, 777, 0);
        self.filler = MapData::create(other, "other", None).expect("a map of another shape");
    }

    /// Updating a slot of a map of maps returns after an RCU grace period (`maybe_wait_bpf_programs`, kernel 4.20).
    pub(super) fn wait(&mut self) -> Result<(), DatapathError> {
        self.slot.set(0, &self.filler, 0).map_err(|error| DatapathError::System {
            call: "waiting for a grace period",
            source: match error {
                MapError::SyscallError(error) => error.io_error,
                error => io::Error::other(error),
            },
        })
    }
}

/// CPUs that get a slice of their own: up to the highest that is online.
///
/// # Errors
/// The online CPUs cannot be read.
pub fn cpu_slices() -> Result<u32, DatapathError> {
    let cpus = aya::util::online_cpus()
        .map_err(|(_, source)| DatapathError::System { call: "reading the online CPUs", source })?;
    Ok(cpus.into_iter().max().unwrap_or(0) + 1)
}

pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, LoadError> {
    ebpf.take_map(name).ok_or(LoadError::Missing(name))
}

pub(super) fn map_error(what: &'static str) -> impl FnOnce(MapError) -> LoadError {
    move |source| LoadError::Map { what, source: Box::new(source) }
}

/// Maps an array map's values; the map itself stays alive in the programs that use it.
fn mapping(ebpf: &mut Ebpf, name: &'static str, bytes: usize) -> Result<Mapping, LoadError> {
    let Map::Array(data) = take(ebpf, name)? else { return Err(LoadError::Missing(name)) };
    Ok(Mapping::new(data.fd().as_fd(), bytes)?)
}

/// A descriptor of a map.
fn descriptor(ebpf: &Ebpf, name: &'static str) -> Result<OwnedFd, LoadError> {
    let Some(Map::Array(data)) = ebpf.map(name) else { return Err(LoadError::Missing(name)) };
    let duplicate = data.fd().as_fd().try_clone_to_owned();
    duplicate.map_err(|source| DatapathError::System { call: "duplicating a descriptor", source }.into())
}

/// Whether an error of the loader is one of permission.
fn denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.raw_os_error() == Some(libc::EPERM);
        }
        next = error.source();
    }
    false
}

/// Whether this process has neither CAP_PERFMON nor CAP_SYS_ADMIN. The verifier then refuses what the programs do with
/// packet offsets, as if they were wrong.
fn lacks_perfmon() -> bool {
    /// Capability numbers (linux/capability.h).
    const EITHER: u64 = 1 << 38 | 1 << 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & EITHER == 0)
}

/// What an object has beside the product's programs and maps: nothing, but in the harness.
#[derive(Default)]
pub(super) struct Extra<'a> {
    /// Entries of maps.
    pub(super) entries: &'a [(&'static str, u32)],
    /// XDP programs to load.
    pub(super) xdp: &'a [&'static str],
}

/// Loads the object for these links.
pub(super) fn load(
    object: &[u8],
    sizes: &Sizes,
    setups: &[Setup],
    extra: &Extra<'_>,
) -> Result<Loaded, LoadError> {
    let slices = cpu_slices()?;
    let links = setups.iter().map(|setup| u32::from(setup.link.0) + 1).max().unwrap_or(1);
    if links > abi::MAX_LINKS {
        return Err(LoadError::Limit { what: "the number of links", value: links, limit: abi::MAX_LINKS });
    }
    let sides = setups.iter().flat_map(|setup| setup.sides).fold(0, |all, sides| all | sides);
    let sides_per_hook =
        setups.iter().flat_map(|setup| setup.sides).map(u32::count_ones).max().unwrap_or(1).max(1);
    let layout = BankLayout { slices, classes: sizes.classes, sides: sides_per_hook };
    let bank_entries = layout.entries().checked_mul(links).ok_or(LoadError::Limit {
        what: "the number of counters of all links",
        value: u32::MAX,
        limit: u32::MAX,
    })?;
    let hook_entries = links * 2 * (slices + 1);
    // The loader finds out by trial what the kernel can, which needs it, too.
    let perfmon = privileges::raise_perfmon();
    let mut loader = EbpfLoader::new();
    for &(map, entries) in extra.entries {
        loader.map_max_entries(map, entries);
    }
    let mut ebpf = loader
        .override_global(globals::SLICES, &slices, true)
        .override_global(globals::SIDES, &sides, true)
        .map_max_entries(maps::FIB4_ROWS, sizes.v4_rows.max(1))
        .map_max_entries(maps::FIB6_ROWS, sizes.v6_rows.max(1))
        .map_max_entries(maps::FIB6_NODES, sizes.v6_nodes.max(1))
        .map_max_entries(maps::HOOKS, hook_entries)
        .map_max_entries(maps::BANKS, bank_entries)
        .load(object)
        .map_err(|error| {
            if denied(&error) {
                LoadError::Permission { call: error.to_string() }
            } else {
                Box::new(error).into()
            }
        })?;
    let row = 1024;
    let line = 64;
    let root4 = classifier_common::fib::V4_ROOT_WORDS * 4;
    let root6 = classifier_common::fib::V6_ROOT_WORDS * 4;
    let other6 = classifier_common::fib::V6_OTHER_WORDS * 4;
    load_programs(&mut ebpf, extra.xdp)?;
    drop(perfmon);
    let fib = FibMemory {
        v4_root: mapping(&mut ebpf, maps::FIB4_ROOT, root4)?,
        v4_rows: mapping(&mut ebpf, maps::FIB4_ROWS, sizes.v4_rows.max(1) as usize * row)?,
        v6_root: mapping(&mut ebpf, maps::FIB6_ROOT, root6)?,
        v6_other: mapping(&mut ebpf, maps::FIB6_OTHER, other6)?,
        v6_rows: mapping(&mut ebpf, maps::FIB6_ROWS, sizes.v6_rows.max(1) as usize * row)?,
        v6_nodes: mapping(&mut ebpf, maps::FIB6_NODES, sizes.v6_nodes.max(1) as usize * line)?,
    };
    let fib_bytes = [&fib.v4_root, &fib.v4_rows, &fib.v6_root, &fib.v6_other, &fib.v6_rows, &fib.v6_nodes]
        .map(|mapping| mapping.len() as u64)
        .iter()
        .sum();
    write_hooks(&mut ebpf, setups, layout)?;
    let counters = [descriptor(&ebpf, maps::HOOKS)?, descriptor(&ebpf, maps::BANKS)?];
    let hooks = mapping(&mut ebpf, maps::HOOKS, hook_entries as usize * size_of::<HookSlice>())?;
    let banks = mapping(&mut ebpf, maps::BANKS, bank_entries as usize * size_of::<Counter>())?;
    let bank_bytes = banks.len() + hooks.len();
    let Map::Array(filler) = take(&mut ebpf, maps::FILLER)? else {
        return Err(LoadError::Missing(maps::FILLER));
    };
    let grace = Grace {
        slot: ArrayOfMaps::try_from(take(&mut ebpf, maps::GRACE)?).map_err(map_error("the grace map"))?,
        filler,
    };
    let ports = Ports::new(&mut ebpf, setups)?;
    let bank_bytes = bank_bytes as u64;
    Ok(Loaded { ebpf, fib, hooks, banks, counters, layout, links, fib_bytes, bank_bytes, grace, ports })
}

/// All of them before the maps are taken out: a program that is loaded later would not find these any more.
fn load_programs(ebpf: &mut Ebpf, extra_xdp: &[&'static str]) -> Result<(), LoadError> {
    let failed = |program: &'static str| {
        move |source: ProgramError| {
            if denied(&source) || lacks_perfmon() {
                LoadError::Permission { call: format!("loading {program}") }
            } else {
                LoadError::Program { program, source: Box::new(source) }
            }
        }
    };
    for &name in [programs::XDP_RX].iter().chain(extra_xdp) {
        xdp(ebpf, name)?.load().map_err(failed(name))?;
    }
    for name in [programs::TC_RX, programs::TC_TX] {
        classifier(ebpf, name)?.load().map_err(failed(name))?;
    }
    Ok(())
}

/// An XDP program.
pub(super) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, LoadError> {
    ebpf.program_mut(name)
        .and_then(|program| <&mut Xdp>::try_from(program).ok())
        .ok_or(LoadError::Missing(name))
}

/// One of the TC programs.
pub(super) fn classifier<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, LoadError> {
    ebpf.program_mut(name)
        .and_then(|program| <&mut SchedClassifier>::try_from(program).ok())
        .ok_or(LoadError::Missing(name))
}

/// Descriptors of the three programs: XDP, TC ingress, TC egress.
pub(super) fn programs(ebpf: &mut Ebpf) -> io::Result<[OwnedFd; 3]> {
    fn duplicate(fd: Result<&ProgramFd, ProgramError>) -> io::Result<OwnedFd> {
        fd.map_err(io::Error::other)?.as_fd().try_clone_to_owned()
    }
    let missing = io::Error::other;
    Ok([
        duplicate(xdp(ebpf, programs::XDP_RX).map_err(missing)?.fd())?,
        duplicate(classifier(ebpf, programs::TC_RX).map_err(missing)?.fd())?,
        duplicate(classifier(ebpf, programs::TC_TX).map_err(missing)?.fd())?,
    ])
}

/// Tells each CPU where it counts at each hook of each link.
fn write_hooks(ebpf: &mut Ebpf, setups: &[Setup], layout: BankLayout) -> Result<(), LoadError> {
    let map = ebpf.map_mut(maps::HOOKS).ok_or(LoadError::Missing(maps::HOOKS))?;
    let mut map = Array::<_, HookSlice>::try_from(map).map_err(map_error("the hooks"))?;
    for setup in setups {
        let link = u32::from(setup.link.0);
        for (hook, sides) in Hook::ALL.into_iter().zip(setup.sides) {
            for slice in 0..=layout.slices {
                let place = |side: Side| {
                    let first = link * layout.entries() + layout.base(hook, side, slice);
                    let place = SideSlice { classes: layout.classes, first, dirty: layout.dirty(first) };
                    if sides & side.bit() != 0 { place } else { SideSlice::NONE }
                };
                let value = HookSlice {
                    sides: Side::ALL.map(place),
                    shared: u32::from(slice == layout.slices),
                    ..HookSlice::default()
                };
                let index = abi::hook_slice_index(link, hook, slice, layout.slices);
                map.set(index, value, 0).map_err(map_error("writing a hook"))?;
            }
        }
    }
    Ok(())
}
