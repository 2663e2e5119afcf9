//! Counting that outlives the agent: a kernel whose maps, programs and links are pinned, and that goes on with what it
//! finds pinned.
//!
//! An agent always makes a generation of its own ([`super::pins`]), puts its programs in the place of those that are on
//! the hooks, each at once, and then sums up what the older generations counted. So a restart, another version, other
//! sizes and another number of CPUs are one and the same.

use std::{collections::HashMap, fs, os::fd::AsFd as _, time::SystemTime};

use classifier_common::abi::{Hook, programs};

use super::{
    Kernel, OBJECT,
    attach::{self, AttachError, Attached, Fresh},
    fold,
    held::Held,
    mapping::Mapping,
    missed,
    object::{self, LoadError, Loaded, Setup},
    pins::{
        self, Others, PinError, Pins, Place,
        generation::{Generation, set_owner},
        meta::{Header, LAYOUT, Label},
    },
    sys,
};
use crate::{
    datapath::{
        DatapathError, Sizes,
        adopted::{Adopted, CountId, LinkLabel, Missed},
        interface, netlink_tc,
    },
    fib::memory::Words as _,
    model::{Class, Family, Link, Mode, Owner},
};

/// What a kernel has that is kept.
pub(super) struct Keeping {
    pub(super) pins: Pins,
    pub(super) generation: Generation,
    /// Whose the classes are.
    pub(super) classes: Mapping,
    /// Retired classes, and how often: what they counted stays theirs until the next generation.
    retired: HashMap<Class, u32>,
    /// Those that another generation has set free.
    pub(super) freed: Vec<Class>,
    /// Whether everything was counted in the state directory of now from the beginning.
    recorded_here: bool,
    /// Whether a hook has a program of this generation that had one of an older one.
    pub(super) took_over: bool,
    /// What was not counted until now.
    pub(super) missed: Vec<Missed>,
    /// Of each label, on which hooks a program had been put under generations that are gone.
    pub(super) inherited: Vec<[bool; 2]>,
}

/// What an interface is called; nothing where there is none yet.
fn name_of(ifindex: u32) -> String {
    (ifindex != 0).then(|| interface::name_of(ifindex)).flatten().unwrap_or_default()
}

/// A number that no other counting has.
fn new_count() -> Result<CountId, PinError> {
    let path = "/proc/sys/kernel/random/uuid";
    let failed = |source| PinError::Io { what: "reading", path: path.into(), source };
    let text = fs::read_to_string(path).map_err(failed)?;
    let mut digits = text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8);
    let id = std::array::from_fn(|_| digits.next().unwrap_or(0) << 4 | digits.next().unwrap_or(0));
    Ok(CountId(id))
}

impl Keeping {
    /// Takes the instance, and pins what was just loaded.
    fn begin(
        pins: Pins,
        loaded: &mut Loaded,
        setups: &[Setup],
        links: &[Link],
        recorder: Option<[u8; 16]>,
    ) -> Result<Self, LoadError> {
        let mut others = Others::of(&pins, None)?;
        let (namespace, places) = (pins::namespace(), pins.links());
        if pins::elsewhere(others.said.last().map(|(_, last)| last), &places) {
            return Err(PinError::Elsewhere { instance: pins.place().instance.clone() }.into());
        }
        fold::clear(&pins, &mut others, &mut loaded.grace)?;
        let older: Vec<&Generation> = others.said.iter().map(|(_, generation)| generation).collect();
        let recorder = recorder.unwrap_or_default();
        let (count, since, recorder) = match older.last().map(|generation| &generation.header) {
            None => (new_count()?, SystemTime::now(), recorder),
            Some(last) if last.recorder == recorder => (last.count, last.since, recorder),
            Some(last) => (last.count, last.since, [0; 16]),
        };
        let header = Header {
            abi: pins.place().abi,
            layout: LAYOUT,
            banks: loaded.layout,
            links: loaded.links,
            labels: links.len() as u32,
            settled: older.is_empty(),
            carried: 0,
            count,
            since,
            recorder,
            namespace,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let names: Vec<String> = setups.iter().map(|setup| name_of(setup.ifindex)).collect();
        let label = |((link, setup), interface): ((&Link, &Setup), &String)| {
            let last = older.last().filter(|last| last.is_of_here());
            let known = last.and_then(|last| last.labels.iter().find(|label| label.ifindex == setup.ifindex));
            Label {
                link: LinkLabel::of(link),
                ifindex: setup.ifindex,
                interface: interface.clone(),
                sides: setup.sides,
                qdisc: known.is_some_and(|label| label.qdisc),
                attached: [false; 2],
                missed: [false; 2],
            }
        };
        let mut labels: Vec<_> = links.iter().zip(setups).zip(&names).map(label).collect();
        let now = links.iter().zip(setups.iter().map(|setup| setup.ifindex)).zip(&names);
        let now: Vec<_> = now.map(|((link, ifindex), name)| (link, ifindex, name.as_str())).collect();
        let missed = missed::missed(&older, &places, &now);
        // What it is known by may go before anybody has recorded it.
        for Missed { link, hook, .. } in &missed {
            if let Some(label) = labels.get_mut(usize::from(link.0)) {
                label.missed[*hook as usize] = true;
            }
        }
        let (_, path) = pins.next()?;
        match Self::pin(path.clone(), loaded, header, labels) {
            Ok((generation, classes)) => Ok(Self {
                recorded_here: recorder != [0; 16],
                pins,
                generation,
                classes,
                retired: HashMap::new(),
                freed: Vec::new(),
                took_over: false,
                missed,
                inherited: Vec::new(),
            }),
            Err(error) => {
                pins.remove(&path);
                Err(error.into())
            }
        }
    }

    fn pin(
        path: std::path::PathBuf,
        loaded: &mut Loaded,
        header: Header,
        labels: Vec<Label>,
    ) -> Result<(Generation, Mapping), PinError> {
        let fds = object::programs(&mut loaded.ebpf).map_err(|source| PinError::Io {
            what: "duplicating a descriptor",
            path: path.clone(),
            source,
        })?;
        let names = [programs::XDP_RX, programs::TC_RX, programs::TC_TX];
        let fds: Vec<_> = names.into_iter().zip(fds.iter().map(|fd| fd.as_fd())).collect();
        let counters = loaded.counters.each_ref().map(|fd| fd.as_fd());
        let (generation, mut classes) = Generation::create(path, header, labels, counters, &fds)?;
        for family in [Family::Ipv4, Family::Ipv6] {
            set_owner(&mut classes, family as Class, &Owner::Unmatched(family));
        }
        Ok((generation, classes))
    }

    /// Takes the place that this generation's program has on a hook off it.
    pub(super) fn take_off(&self, ifindex: u32, hook: Hook) {
        let path = self.pins.link_path(ifindex, hook);
        if let Ok(link) = sys::pinned(&path) {
            let _ = sys::detach(link.as_fd());
            let _ = fs::remove_file(&path);
        }
    }

    /// The numbers of all programs that are pinned here.
    pub(super) fn programs(&self) -> Vec<u32> {
        let generations = self.pins.generations().into_iter();
        let generations = generations.filter_map(|(_, path)| Generation::open(&path).ok().flatten());
        generations.flat_map(|generation| generation.programs()).collect()
    }

    /// Takes retired classes.
    pub(super) fn retire(&mut self, classes: &mut Vec<Class>) {
        for class in classes.drain(..) {
            *self.retired.entry(class).or_default() += 1;
        }
    }

    /// Notes something of an interface's links.
    fn note(&mut self, ifindex: u32, note: impl Fn(usize, &mut Label)) -> Result<(), PinError> {
        for index in 0..self.generation.labels.len() {
            if let Some(label) =
                self.generation.labels.get_mut(index).filter(|label| label.ifindex == ifindex)
            {
                note(index, label);
                self.generation.write_label(index)?;
            }
        }
        Ok(())
    }

    /// Notes that a program is on a hook.
    pub(super) fn attached(&mut self, ifindex: u32, hook: Hook) -> Result<(), PinError> {
        self.note(ifindex, |_, label| label.attached[hook as usize] = true)
    }

    /// Takes a place off a hook that was put there in vain: it was never counted.
    pub(super) fn take_back(&mut self, ifindex: u32, hook: Hook) {
        self.take_off(ifindex, hook);
        // Else the next start says that something was missed.
        let inherited = self.inherited.clone();
        let before = |index: usize| inherited.get(index).is_some_and(|hooks| hooks[hook as usize]);
        let _ = self.note(ifindex, |index, label| label.attached[hook as usize] = before(index));
    }

    /// Notes that the agent knows what was missed before it, and has recorded it.
    pub(super) fn is_told(&mut self) {
        for index in 0..self.generation.labels.len() {
            if let Some(label) =
                self.generation.labels.get_mut(index).filter(|label| label.missed != [false; 2])
            {
                label.missed = [false; 2];
                // Else it is told again.
                let _ = self.generation.write_label(index);
            }
        }
    }

    /// Notes whether an interface has its clsact qdisc from this instance: before that is made, so that whoever is killed
    /// between the two leaves nothing of which nobody knows.
    pub(super) fn claim_qdisc(&mut self, ifindex: u32, made: bool) -> Result<(), PinError> {
        self.note(ifindex, |_, label| label.qdisc = made)
    }

    /// Whether an interface has its clsact qdisc from this instance.
    pub(super) fn made_qdisc(&self, ifindex: u32) -> bool {
        self.generation.labels.iter().any(|label| label.ifindex == ifindex && label.qdisc)
    }
}

impl Kernel {
    /// [`Kernel::load`], with all that counts pinned at `place`, where it stays when this ends. What is pinned there
    /// already is gone on with, hook by hook, by [`Kernel::attach`]; [`Kernel::settle`] says what it had counted.
    /// `recorder` stands for where all of it is recorded.
    ///
    /// # Errors
    /// As [`Kernel::load`]; [`LoadError::Pin`] where nothing can be pinned, another agent holds the instance, or what is
    /// there cannot be read. Nothing on the hooks has changed then.
    pub fn load_kept(
        sizes: &Sizes,
        setups: &[Setup],
        links: &[Link],
        place: &Place,
        recorder: Option<[u8; 16]>,
    ) -> Result<Self, LoadError> {
        let pins = Pins::open(place)?;
        let mut loaded = object::load(OBJECT, sizes, setups, &object::Extra::default())?;
        let keeping = Keeping::begin(pins, &mut loaded, setups, links, recorder)?;
        let mut kernel = Self::of(loaded, sizes, setups);
        kernel.keeping = Some(keeping);
        match kernel.fold_idle() {
            Ok(()) => Ok(kernel),
            Err(error) => {
                kernel.abandon();
                Err(error)
            }
        }
    }

    /// Makes a fresh place on a hook last.
    pub(super) fn keep(
        &mut self,
        fresh: Fresh,
        ifindex: u32,
        hook: Hook,
    ) -> Result<(Attached, Mode), AttachError> {
        if fresh.qdisc {
            self.qdiscs.push(ifindex);
        }
        let Some(keeping) = &mut self.keeping else { return Ok((fresh.attached, fresh.mode)) };
        let path = keeping.pins.link_path(ifindex, hook);
        // Of an interface that had this number and is gone.
        let _ = fs::remove_file(&path);
        Ok((attach::pin(fresh.attached, &path)?, fresh.mode))
    }

    /// Sums up what older generations counted, now that every hook has a program of this one, and takes off what no
    /// link of this agent wants. Without [`Kernel::load_kept`] there is nothing to tell.
    ///
    /// # Errors
    /// What they counted cannot be read or kept; it stays where it is, and is taken over by the next start.
    pub fn settle(&mut self) -> Result<Option<Adopted>, LoadError> {
        let Some(keeping) = &mut self.keeping else { return Ok(None) };
        let held = |ifindex: u32, hook: Hook| {
            self.attached.iter().any(|held| (held.ifindex, held.hook) == (ifindex, hook))
        };
        for (ifindex, hook, link) in keeping.pins.links() {
            if !held(ifindex, hook) {
                unpin(&link);
            }
        }
        let ours = keeping.programs();
        super::detach::drop_filters(&|_, id| ours.contains(&id), &held);
        self.grace.wait()?;
        let links = pins::sum(&keeping.pins, &mut keeping.generation)?;
        for (link, label) in self.links.iter_mut().zip(&keeping.generation.labels) {
            let Some(before) = links.iter().find(|before| before.label.same(&label.link)) else { continue };
            for (carried, hook) in link.carried.iter_mut().zip(&before.hooks) {
                carried.begin(hook.outcomes);
            }
        }
        let Header { count, since, .. } = keeping.generation.header;
        let missed = std::mem::take(&mut keeping.missed);
        Ok(Some(Adopted { count, since, recorded_here: keeping.recorded_here, links, missed }))
    }

    /// Ends, and leaves the machine as it was before [`Kernel::load_kept`], unless it has gone on with something by now.
    pub fn abandon(mut self) {
        let Some(mut keeping) = self.keeping.take() else { return };
        for held in std::mem::take(&mut self.attached) {
            if held.adopted {
                attach::let_go(held.attached);
            } else {
                keeping.take_back(held.ifindex, held.hook);
            }
        }
        self.remove_qdiscs();
        // What it took over of generations that are gone is nowhere else.
        if !keeping.took_over && keeping.generation.header.carried == 0 {
            keeping.pins.remove(&keeping.generation.path);
            pins::remove_if_empty(&keeping.pins);
        }
    }

    /// Pins the maps and programs of a larger generation, before they are on any hook.
    pub(super) fn keep_next(&self, loaded: &mut Loaded) -> Result<Option<(Generation, Mapping)>, PinError> {
        let Some(Keeping { pins, generation, classes, .. }) = &self.keeping else { return Ok(None) };
        let header = Header { banks: loaded.layout, settled: false, carried: 0, ..generation.header.clone() };
        let (_, path) = pins.next()?;
        let (next, mut owners) = match Keeping::pin(path.clone(), loaded, header, generation.labels.clone()) {
            Ok(pinned) => pinned,
            Err(error) => {
                pins.remove(&path);
                return Err(error);
            }
        };
        let words = owners.words().len().min(classes.words().len());
        (0..words).for_each(|word| owners.store(word, classes.load(word)));
        Ok(Some((next, owners)))
    }

    /// Goes on with what [`Kernel::keep_next`] pinned, and frees the classes that are free with it: when its programs are
    /// on the hooks. What the generation before it counted is not summed up yet.
    pub(super) fn kept_next(&mut self, next: Option<(Generation, Mapping)>) {
        let (Some(keeping), Some((generation, classes))) = (&mut self.keeping, next) else { return };
        keeping.generation = generation;
        keeping.classes = classes;
        keeping.retire(&mut self.retiring);
        // Nothing has counted into them under this generation.
        let retired = keeping.retired.drain();
        keeping.freed.extend(retired.flat_map(|(class, times)| std::iter::repeat_n(class, times as usize)));
    }

    /// Sums up what the generations before this one counted, into which nothing counts any more.
    pub(super) fn sum_kept(&mut self) -> Result<(), PinError> {
        let Some(keeping) = &mut self.keeping else { return Ok(()) };
        pins::sum(&keeping.pins, &mut keeping.generation).map(drop)
    }

    /// Writes where the links are.
    pub(super) fn keep_places(&mut self, setups: &[Setup]) -> Result<(), PinError> {
        let Some(keeping) = &mut self.keeping else { return Ok(()) };
        for (index, setup) in setups.iter().enumerate() {
            if let Some(label) = keeping.generation.labels.get_mut(index)
                && label.ifindex != setup.ifindex
            {
                label.ifindex = setup.ifindex;
                label.interface = name_of(setup.ifindex);
                label.qdisc = false;
                keeping.generation.write_label(index)?;
            }
        }
        Ok(())
    }

    /// Writes whose classes are.
    pub(super) fn bind(&mut self, bound: &[(Class, Owner)]) {
        let Some(keeping) = &mut self.keeping else { return };
        for (class, owner) in bound {
            set_owner(&mut keeping.classes, *class, owner);
        }
    }

    /// Takes away what [`Kernel::keep_next`] pinned.
    pub(super) fn drop_next(&self, next: Option<(Generation, Mapping)>) {
        if let (Some(keeping), Some((generation, _))) = (&self.keeping, next) {
            keeping.pins.remove(&generation.path);
        }
    }

    /// Takes everything that is pinned away.
    pub(super) fn forget(&mut self) {
        let Some(keeping) = self.keeping.take() else { return };
        for (_, _, link) in keeping.pins.links() {
            unpin(&link);
        }
        self.qdiscs
            .extend(keeping.generation.labels.iter().filter(|label| label.qdisc).map(|label| label.ifindex));
        keeping.pins.remove_everything();
    }

    /// Takes the qdiscs away that this agent made and that nobody uses now.
    pub(super) fn remove_qdiscs(&mut self) {
        // One that is in use stays this agent's; one whose interface is gone is gone.
        self.qdiscs.retain(|&ifindex| matches!(netlink_tc::remove_idle_clsact(ifindex), Ok(false)));
    }

    /// Ends this agent's part: the programs stay on their hooks, and count on.
    pub(super) fn let_go(&mut self) {
        for Held { attached, .. } in self.attached.drain(..) {
            attach::let_go(attached);
        }
    }
}

/// Takes a pinned place off its hook, for good when this returns.
pub(super) fn unpin(link: &pins::PinnedLink) {
    // An interface that is gone has taken it off already.
    let _ = sys::detach(link.fd.as_fd());
    let _ = fs::remove_file(&link.path);
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if self.keeping.is_some() {
            self.let_go();
        }
    }
}

impl From<PinError> for DatapathError {
    fn from(error: PinError) -> Self {
        Self::Generation { source: Box::new(error) }
    }
}
