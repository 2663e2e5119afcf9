//! The kernel, for agents.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Host, Start, Welcome};
use crate::{
    datapath::{
        DatapathError, Refused, Starting,
        kernel::{self, Kernel, LoadError, PinError, Place, TcChoice, cpu_slices},
        privileges,
    },
    model::Link,
};

/// How long an agent that just ended may hold what the next one wants: the process that counted for it ends a moment later.
const ENDING: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(20);

/// Does something until it succeeds, or fails for another reason than that somebody else is there who may be ending.
pub(in crate::datapath) fn patiently<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    may_end: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let began = Instant::now();
    loop {
        match attempt() {
            Err(error) if may_end(&error) && began.elapsed() < ENDING => thread::sleep(AGAIN),
            done => return done,
        }
    }
}

/// The kernel of this machine.
#[derive(Clone, Debug)]
pub struct KernelHost {
    /// Where it counts on when agents are gone; `None`: it does not.
    pub place: Option<Place>,
    /// Bytes that all counters may take.
    pub bank_bytes: u64,
    /// Bytes that the FIB may take.
    pub fib_bytes: u64,
    /// CPUs that have counters of their own.
    pub slices: u32,
    /// The agent's process, where that started this one.
    pub agent: Option<i32>,
}

impl KernelHost {
    /// On this machine, which has so many bytes of memory.
    ///
    /// # Errors
    /// The online CPUs cannot be read.
    pub fn new(place: Option<Place>, bank_bytes: u64, memory: u64) -> Result<Self, DatapathError> {
        /// What a FIB of today takes, twice.
        const LEAST: u64 = 256 << 20;
        Ok(Self { place, bank_bytes, fib_bytes: LEAST.max(memory / 4), slices: cpu_slices()?, agent: None })
    }
}

impl Host for KernelHost {
    fn welcome(&self) -> Welcome {
        let keeps = self.place.as_ref().map(|place| place.instance.clone());
        Welcome { keeps, bank_bytes: self.bank_bytes }
    }

    fn fib_bytes(&self) -> u64 {
        self.fib_bytes
    }

    fn slices(&self) -> u32 {
        self.slices
    }

    fn start(&mut self, start: &Start) -> Result<Box<dyn Starting>, Refused> {
        let Start { sizes, setups, labels, recorder, xdp, clsact } = start;
        // Loading takes a while, and nothing is attached yet: without an agent there is no reason to go on.
        let _end = self.agent.map(privileges::end_with).transpose().map_err(|error| Refused::of(&error))?;
        let mut kernel = match &self.place {
            None => Kernel::load(sizes, setups),
            Some(place) => {
                let link = |(label, setup): (&crate::datapath::adopted::LinkLabel, &kernel::Setup)| Link {
                    name: label.name.clone(),
                    interface: String::new(),
                    vlan: setup.vlan,
                    role: label.role,
                    kind: label.kind,
                };
                let links: Vec<_> = labels.iter().zip(setups).map(link).collect();
                patiently(
                    || Kernel::load_kept(sizes, setups, &links, place, *recorder),
                    |error| matches!(error, LoadError::Pin(PinError::Running { .. })),
                )
            }
        }
        .map_err(|error| Refused::of(&error))?;
        if *clsact {
            kernel.choose_tc(TcChoice::Clsact);
        }
        kernel.choose_xdp(*xdp);
        Ok(Box::new(kernel))
    }
}
