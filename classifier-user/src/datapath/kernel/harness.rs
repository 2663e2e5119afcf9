//! What tests and benchmarks need beside the product: the harness object's programs, and its maps.

use std::{io, sync::atomic::Ordering};

use aya::{
    Pod,
    maps::{Array, LpmTrie, MapData, MapError, lpm_trie::Key},
    programs::{
        LinkOrder, ProgramError, SchedClassifier, Xdp,
        tc::{NlOptions, TcAttachOptions},
        xdp::XdpMode,
    },
};
use classifier_common::{
    abi::{DIRTY_BLOCK, Hook, Side},
    counter::Counter,
};

use super::{
    Kernel, LoadError, Setup,
    attach::{self, Attached},
    object::{self, Extra},
    run::Runner,
};
use crate::{datapath::Sizes, model::Class};

/// The object with the product's programs and those of tests and benchmarks.
pub static OBJECT_HARNESS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/harness"));

/// A program or map of the harness that is not there or does not work.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// There is none of this name and type.
    #[error("the object has no program or map {0} of that type")]
    Missing(String),
    /// The kernel refused.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A map.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The program's descriptor.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where a TC program goes among those of its hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// The first by TCX.
    First,
    /// The last by TCX.
    Last,
    /// A filter of this priority.
    Filters(u16),
}

/// A harness map with a counter for each class.
const BY_CLASS: [&str; 2] = ["NAIVE_SRC", "NAIVE_DST"];

impl Kernel {
    /// Loads the harness object with these of its XDP programs. With `banks`, the maps that its other ways of
    /// counting have in the banks' place are as large as the banks, else of one entry.
    ///
    /// # Errors
    /// As [`Kernel::load`].
    pub fn load_harness(
        sizes: &Sizes,
        setups: &[Setup],
        xdp: &[&'static str],
        banks: bool,
    ) -> Result<Self, LoadError> {
        let mut entries = Vec::new();
        if banks {
            entries.extend(BY_CLASS.map(|map| (map, sizes.classes)));
        }
        let loaded = object::load(OBJECT_HARNESS, sizes, setups, &Extra { entries: &entries, xdp })?;
        Ok(Self::of(loaded, sizes, setups))
    }

    fn harness_xdp(&mut self, name: &str) -> Result<&mut Xdp, HarnessError> {
        let program = self.ebpf.program_mut(name).and_then(|program| <&mut Xdp>::try_from(program).ok());
        program.ok_or_else(|| HarnessError::Missing(name.to_owned()))
    }

    /// Attaches a loaded XDP program of the object, native; it stays until the result is dropped.
    ///
    /// # Errors
    /// [`HarnessError`].
    pub fn attach_xdp(&mut self, name: &str, interface: &str) -> Result<Attached, HarnessError> {
        let program = self.harness_xdp(name)?;
        let id = program.attach(interface, XdpMode::Driver)?;
        Ok(Attached::Xdp(program.take_link(id)?))
    }

    /// Attaches a TC program of the object, until this datapath is dropped. A filter needs the interface's clsact qdisc.
    ///
    /// # Errors
    /// [`HarnessError`].
    pub fn attach_classifier(
        &mut self,
        name: &str,
        interface: &str,
        hook: Hook,
        among: Among,
    ) -> Result<(), HarnessError> {
        let program =
            self.ebpf.program_mut(name).and_then(|program| <&mut SchedClassifier>::try_from(program).ok());
        let program = program.ok_or_else(|| HarnessError::Missing(name.to_owned()))?;
        program.load()?;
        let (_, side) = attach::of_tc(hook);
        let options = match among {
            Among::First => TcAttachOptions::TcxOrder(LinkOrder::first()),
            Among::Last => TcAttachOptions::TcxOrder(LinkOrder::last()),
            Among::Filters(priority) => {
                TcAttachOptions::Netlink(NlOptions { priority, ..NlOptions::default() })
            }
        };
        program.attach_with_options(interface, side, options)?;
        Ok(())
    }

    /// Runs frames through a loaded XDP program of the object.
    ///
    /// # Errors
    /// [`HarnessError`].
    pub fn harness_runner(&mut self, name: &str) -> Result<Runner, HarnessError> {
        let program = self.harness_xdp(name)?;
        Ok(Runner::of(program.fd()?, &[])?)
    }

    fn harness_array<T: Pod>(&mut self, name: &str) -> Result<Array<&mut MapData, T>, HarnessError> {
        let map = self.ebpf.map_mut(name).ok_or_else(|| HarnessError::Missing(name.to_owned()))?;
        Ok(Array::try_from(map)?)
    }

    /// Writes an array map of the object from its first entry on.
    ///
    /// # Errors
    /// [`HarnessError`].
    pub fn harness_write<T: Pod>(&mut self, name: &str, values: &[T]) -> Result<(), HarnessError> {
        let mut map = self.harness_array::<T>(name)?;
        for (index, value) in (0..).zip(values) {
            map.set(index, value, 0)?;
        }
        Ok(())
    }

    /// Reads an entry of an array map of the object.
    ///
    /// # Errors
    /// [`HarnessError`].
    pub fn harness_read<T: Pod>(&mut self, name: &str, index: u32) -> Result<T, HarnessError> {
        Ok(self.harness_array::<T>(name)?.get(&index, 0)?)
    }

    /// Puts prefixes (address in network byte order, length) and classes into a longest-prefix-match trie of the
    /// object, whose keys are addresses of `N` bytes.
    ///
    /// # Errors
    /// [`HarnessError`].
    pub fn harness_trie<const N: usize>(
        &mut self,
        name: &str,
        prefixes: impl IntoIterator<Item = ([u8; N], u8, Class)>,
    ) -> Result<(), HarnessError> {
        let map = self.ebpf.map_mut(name).ok_or_else(|| HarnessError::Missing(name.to_owned()))?;
        let mut trie = LpmTrie::<&mut MapData, [u8; N], u32>::try_from(map)?;
        for (address, len, class) in prefixes {
            trie.insert(&Key::new(len.into(), address), class, 0)?;
        }
        Ok(())
    }

    /// Counts `counter` under each of these classes of the first link, as its programs would on CPU `slice`.
    pub fn harness_count(
        &self,
        hook: Hook,
        side: Side,
        slice: u32,
        classes: impl IntoIterator<Item = Class>,
        counter: Counter,
    ) {
        let Some(link) = self.links.first() else { return };
        let base = self.layout.base(hook, side, slice);
        let base = link.bank + base;
        let counters = self.banks.counters(base, self.layout.classes as usize);
        let (dirty, _) = self.banks.bytes(self.layout.dirty(base), self.layout.blocks() as usize);
        for class in classes {
            if let Some(place) = counters.get(class as usize) {
                place.add(counter);
                dirty[(class / DIRTY_BLOCK) as usize].store(1, Ordering::Relaxed);
            }
        }
    }
}

impl Runner {
    /// Runs an XDP program over `repeat` frames that are then sent where it redirects them.
    ///
    /// # Errors
    /// Kernels before 5.18.
    pub fn send(&self, frame: &[u8], repeat: u32) -> io::Result<()> {
        self.run_live(frame, repeat)
    }
}
