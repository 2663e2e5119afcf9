//! The datapath in the kernel: the only place that imports aya.
//!
//! Reading order: [`object`] (loading), [`attach`] (hooks), `conflict` (what is in the way), `held` (whether they still are), `mapping` (shared memory),
//! `sweep` (reading), `generation` (larger maps), `ports` (which interface is which link), `keep`, `fold`, `take_over`, `missed` and `pins`
//! (what outlives the agent), `starting` (all of it for an agent), `run` (single frames through `BPF_PROG_TEST_RUN`), `verified`
//! (what the verifier says).

use std::time::{Instant, SystemTime};

use classifier_common::abi::{BankLayout, Hook};

mod attach;
mod conflict;
mod detach;
mod fold;
mod follow;
mod generation;
mod harness;
mod held;
mod keep;
mod mapping;
mod missed;
mod names;
mod object;
mod pins;
mod place;
mod ports;
mod probe;
mod run;
mod starting;
mod sweep;
mod sys;
mod take_over;
mod verified;

pub use attach::{AttachError, Foreign, TcChoice, XdpChoice};
pub(crate) use conflict::{BONDS, is_ours};
pub use detach::detach_all;
pub use harness::{Among, HarnessError, OBJECT_HARNESS};
pub use names::remember_names;
pub use object::{LoadError, OBJECT, Setup, cpu_slices};
pub use pins::{Kept, MetaError, PinError, Place, can_pin, carry_bytes, class_bytes, kept};
pub use probe::{OnHook, has_tcx, programs_on, try_clsact, try_load};
pub use run::{Entry, Runner};
pub use verified::Verified;

use self::{generation::Carried, held::Held, keep::Keeping, mapping::Mapping, ports::Ports, sweep::Seen};
use super::{
    Applied, Attachment, Batch, Beside, Datapath, DatapathError, LinkSweep, Memory, Sizes, Sweep,
    interface::Interface,
};
use crate::{
    fib::writer::Writer,
    model::{Class, LinkId, Mode},
};

/// The kernel's programs and maps, and what is needed to read them.
pub struct Kernel {
    ebpf: aya::Ebpf,
    writer: Writer<Mapping>,
    hooks: Mapping,
    banks: Mapping,
    links: Vec<LinkState>,
    layout: BankLayout,
    sizes: Sizes,
    fib_bytes: u64,
    bank_bytes: u64,
    grace: object::Grace,
    attached: Vec<Held>,
    retiring: Vec<Class>,
    tc: TcChoice,
    choice: XdpChoice,
    ports: Ports,
    /// Interfaces that have their clsact qdisc from this agent.
    qdiscs: Vec<u32>,
    /// What outlives the agent.
    keeping: Option<Keeping>,
    /// Nothing counts any more: the next sweep reads every block.
    detached: bool,
}

struct LinkState {
    setup: Setup,
    /// Where its bank begins, in counters.
    bank: u32,
    modes: [Option<Mode>; 2],
    seen: [[Seen; 2]; 2],
    carried: [Carried; 2],
}

impl Kernel {
    /// Loads programs and maps for these links; nothing is attached yet. Links are numbered from 0 in this order.
    ///
    /// # Errors
    /// [`LoadError::Permission`] without the capabilities; what the kernel refused otherwise.
    pub fn load(sizes: &Sizes, setups: &[Setup]) -> Result<Self, LoadError> {
        Self::load_object(OBJECT, sizes, setups)
    }

    /// [`Kernel::load`] of another object with the same maps and programs in it.
    ///
    /// # Errors
    /// As [`Kernel::load`].
    pub fn load_object(object: &[u8], sizes: &Sizes, setups: &[Setup]) -> Result<Self, LoadError> {
        object::load(object, sizes, setups, &object::Extra::default())
            .map(|loaded| Self::of(loaded, sizes, setups))
    }

    fn of(loaded: object::Loaded, sizes: &Sizes, setups: &[Setup]) -> Self {
        let links = setups
            .iter()
            .map(|&setup| LinkState {
                setup,
                bank: u32::from(setup.link.0) * loaded.layout.entries(),
                modes: [None; 2],
                seen: Default::default(),
                carried: Default::default(),
            })
            .collect();
        Self {
            ebpf: loaded.ebpf,
            writer: Writer::new(loaded.fib),
            hooks: loaded.hooks,
            banks: loaded.banks,
            links,
            layout: loaded.layout,
            sizes: *sizes,
            fib_bytes: loaded.fib_bytes,
            bank_bytes: loaded.bank_bytes,
            grace: loaded.grace,
            attached: Vec::new(),
            retiring: Vec::new(),
            tc: TcChoice::default(),
            choice: XdpChoice::default(),
            ports: loaded.ports,
            qdiscs: Vec::new(),
            keeping: None,
            detached: false,
        }
    }

    /// How TC programs are attached from now on.
    pub const fn choose_tc(&mut self, choice: TcChoice) {
        self.tc = choice;
    }

    /// How receive is attached to interfaces that come later.
    pub const fn choose_xdp(&mut self, choice: XdpChoice) {
        self.choice = choice;
    }

    /// Attaches both hooks of an interface, for all links on it. Returns why native XDP was not taken, if so.
    ///
    /// # Errors
    /// [`AttachError`]: also when somebody else's program is there, which then stays as it is.
    pub fn attach(
        &mut self,
        interface: &str,
        ifindex: u32,
        choice: XdpChoice,
    ) -> Result<Option<String>, AttachError> {
        let attached = Hook::ALL.into_iter().try_fold(None, |why, hook| {
            let another = self.attach_hook(interface, ifindex, hook, choice)?;
            Ok(why.or(another))
        });
        attached.inspect_err(|_| self.detach_from(ifindex))
    }

    /// Attaches one hook. What fails on the way leaves nothing that is not in `attached`, so that it is taken off again.
    fn attach_hook(
        &mut self,
        interface: &str,
        ifindex: u32,
        hook: Hook,
        choice: XdpChoice,
    ) -> Result<Option<String>, AttachError> {
        let kept = self.take_over(interface, ifindex, hook, choice)?;
        let (adopted, mut why) = (kept.is_some(), None);
        let (attached, mode) = match kept {
            Some(kept) => kept,
            None => {
                let keeping = &mut self.keeping;
                let claimed = keeping.as_ref().is_some_and(|keeping| keeping.made_qdisc(ifindex));
                let mut claim = |made: bool| match keeping {
                    Some(keeping) => keeping.claim_qdisc(ifindex, made || claimed),
                    None => Ok(()),
                };
                let tc = attach::Tc { choice: self.tc, claim: &mut claim };
                let mut fresh = match hook {
                    Hook::Rx => attach::receive(&mut self.ebpf, interface, ifindex, choice, tc),
                    Hook::Tx => attach::transmit(&mut self.ebpf, interface, ifindex, tc),
                }?;
                why = fresh.why.take();
                self.keep(fresh, ifindex, hook)?
            }
        };
        let program = attach::program_id(&mut self.ebpf, hook, mode);
        self.attached.push(Held { attached, adopted, ifindex, hook, mode, program });
        for link in self.links.iter_mut().filter(|link| link.setup.ifindex == ifindex) {
            link.modes[hook as usize] = Some(mode);
        }
        if let Some(keeping) = &mut self.keeping {
            keeping.attached(ifindex, hook)?;
        }
        Ok(why)
    }

    /// Takes the programs off an interface on which not all hooks could be attached; what was kept there stays.
    fn detach_from(&mut self, ifindex: u32) {
        self.attached.retain(|held| {
            let stays = held.adopted || held.ifindex != ifindex;
            if let Some(keeping) = self.keeping.as_mut().filter(|_| !stays) {
                keeping.take_back(held.ifindex, held.hook);
            }
            stays
        });
        self.remove_qdiscs();
        for link in self.links.iter_mut().filter(|link| link.setup.ifindex == ifindex) {
            link.modes = [None; 2];
        }
    }

    /// CPUs that have a slice of their own.
    #[must_use]
    pub const fn slices(&self) -> u32 {
        self.layout.slices
    }

    /// Waits until no program reads what is in quarantine, and frees it.
    fn free_quarantine(&mut self) -> Result<(), DatapathError> {
        self.writer.seal();
        self.grace.wait()?;
        self.writer.reclaim();
        Ok(())
    }

    /// The FIB as the programs read it.
    #[must_use]
    pub fn fib(&self) -> &impl classifier_common::fib::Read {
        self.writer.memory()
    }

    /// Runs single frames through the programs, without any interface.
    ///
    /// # Errors
    /// A program that the object lacks.
    pub fn runner(&mut self, entry: Entry) -> Result<Runner, LoadError> {
        Runner::new(&mut self.ebpf, entry)
    }
}

impl Datapath for Kernel {
    fn apply(&mut self, batch: &Batch) -> Result<Applied, DatapathError> {
        if let Some(class) =
            batch.deltas.iter().filter_map(|delta| delta.class).find(|&class| class >= self.layout.classes)
        {
            return Err(DatapathError::ClassOutOfRange { class, classes: self.layout.classes });
        }
        self.bind(&batch.bound);
        let words_written = match self.writer.apply(&batch.deltas) {
            // What waits for a grace period may be the room that is missing.
            Err(DatapathError::FibFull { .. }) if self.writer.quarantined() => {
                self.free_quarantine()?;
                self.writer.apply(&batch.deltas)?
            }
            applied => applied?,
        };
        self.retiring.extend(&batch.retired);
        Ok(Applied { words_written })
    }

    fn resize(&mut self, sizes: &Sizes) -> Result<(), DatapathError> {
        self.replace(sizes)
    }

    fn reclaim(&mut self) -> Result<(), DatapathError> {
        if self.keeping.is_some() {
            let sizes = self.sizes;
            self.replace(&sizes)?;
        }
        Ok(())
    }

    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn sweep(&mut self) -> Result<Sweep, DatapathError> {
        let (at, began) = (SystemTime::now(), Instant::now());
        // What was taken out of the FIB before this point can be counted into by no program after it; the reading
        // below is then the last one.
        if !self.retiring.is_empty() || self.writer.quarantined() {
            self.free_quarantine()?;
        }
        let readings = self.read_all(self.detached);
        let mut released = std::mem::take(&mut self.retiring);
        if let Some(keeping) = &mut self.keeping {
            keeping.is_told();
            // What they counted stays theirs, for whoever comes after this agent.
            keeping.retire(&mut released);
            released = std::mem::take(&mut keeping.freed);
        }
        let links = self.links.iter().zip(readings);
        let links =
            links.map(|(link, hooks)| LinkSweep { link: link.setup.link, hooks: hooks.map(Some) }).collect();
        Ok(Sweep { at, took: began.elapsed(), links, released })
    }

    fn place(&mut self, links: &[LinkId], at: Option<&Interface>) -> Result<Option<String>, DatapathError> {
        self.put(links, at)
    }

    fn attachments(&self) -> Vec<Attachment> {
        let gone: Vec<_> = self.attached.iter().filter(|held| held.is_gone()).collect();
        let attachment = |link: &LinkState| {
            let mut modes = link.modes;
            for held in gone.iter().filter(|held| held.ifindex == link.setup.ifindex) {
                modes[held.hook as usize] = None;
            }
            Attachment { link: link.setup.link, modes }
        };
        self.links.iter().map(attachment).collect()
    }

    fn beside(&self) -> Vec<Beside> {
        self.others()
    }

    fn memory(&self) -> Memory {
        Memory { fib_bytes: self.fib_bytes, bank_bytes: self.bank_bytes }
    }

    fn detach(&mut self) -> Result<(), DatapathError> {
        self.forget();
        self.attached.clear();
        self.remove_qdiscs();
        for link in &mut self.links {
            link.modes = [None; 2];
        }
        self.detached = true;
        // A program run that had begun before may still be counting.
        self.grace.wait()
    }
}
