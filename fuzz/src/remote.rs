//! An agent that says what it likes to the process that counts, which has the capabilities: nothing but what is within the
//! limits comes through.

use std::{
    io::{self, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    thread,
    time::SystemTime,
};

use classifier_user::{
    datapath::{
        Applied, Attachment, Batch, Datapath, DatapathError, Memory, Refused, Sizes, Starting, Sweep,
        adopted::Adopted,
        interface::Interface,
        remote::{Host, PROTOCOL, Start, Welcome, serve},
    },
    model::LinkId,
};

/// What all counters, and the FIB, may take.
const BYTES: u64 = 1 << 30;
/// Bytes of a counter.
const COUNTER: u64 = 16;

/// Says this after a greeting, and nothing more.
pub(crate) fn remote(bytes: &[u8]) {
    let (mut agent, theirs) = UnixStream::pair().expect("sockets");
    let mut greeting = b"CLSFPATH".to_vec();
    greeting.extend(PROTOCOL.to_le_bytes());
    greeting.resize(48, 0);
    greeting.extend(bytes);
    let talk = thread::spawn(move || {
        let mut hears = agent.try_clone().expect("a descriptor");
        let hears = thread::spawn(move || io::copy(&mut hears, &mut io::sink()));
        // Whoever talks nonsense is not heard to the end.
        let _ = agent.write_all(&greeting).and_then(|()| agent.shutdown(Shutdown::Write));
        let _ = hears.join();
    });
    let _ = serve(theirs, &mut Service);
    talk.join().expect("it only talks");
}

struct Service;

impl Host for Service {
    fn welcome(&self) -> Welcome {
        Welcome { keeps: None, bank_bytes: BYTES }
    }

    fn fib_bytes(&self) -> u64 {
        BYTES
    }

    fn slices(&self) -> u32 {
        2
    }

    fn start(&mut self, start: &Start) -> Result<Box<dyn Starting>, Refused> {
        assert!((1..=255).contains(&start.setups.len()) && start.labels.len() == start.setups.len());
        let counting = Counting { sizes: start.sizes, links: start.setups.len(), detached: false };
        counting.fits();
        Ok(Box::new(counting))
    }
}

/// What would have maps.
struct Counting {
    sizes: Sizes,
    links: usize,
    detached: bool,
}

impl Counting {
    /// A link has a counter a class at least.
    fn fits(&self) {
        let counters = u64::from(self.sizes.classes) * self.links as u64;
        assert!(counters * COUNTER <= BYTES, "{:?} for {} links", self.sizes, self.links);
        assert!(
            u64::from(self.sizes.v4_rows) * 256 * 4 <= BYTES && u64::from(self.sizes.v6_nodes) * 64 <= BYTES
        );
    }
}

impl Datapath for Counting {
    fn apply(&mut self, batch: &Batch) -> Result<Applied, DatapathError> {
        let classes = batch.deltas.iter().filter_map(|delta| delta.class);
        let classes =
            classes.chain(batch.retired.iter().copied()).chain(batch.bound.iter().map(|(class, _)| *class));
        classes.for_each(|class| assert!(class < self.sizes.classes, "{class} of {}", self.sizes.classes));
        Ok(Applied { words_written: batch.deltas.len() as u64 })
    }

    fn resize(&mut self, sizes: &Sizes) -> Result<(), DatapathError> {
        self.sizes = *sizes;
        self.fits();
        Ok(())
    }

    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn sweep(&mut self) -> Result<Sweep, DatapathError> {
        Ok(Sweep { at: SystemTime::UNIX_EPOCH, took: <_>::default(), links: vec![], released: vec![] })
    }

    fn place(&mut self, links: &[LinkId], at: Option<&Interface>) -> Result<Option<String>, DatapathError> {
        assert!(links.iter().all(|link| usize::from(link.0) < self.links));
        at.into_iter().for_each(is_one);
        Ok(None)
    }

    fn attachments(&self) -> Vec<Attachment> {
        vec![]
    }

    fn memory(&self) -> Memory {
        Memory::default()
    }

    fn detach(&mut self) -> Result<(), DatapathError> {
        self.detached = true;
        Ok(())
    }
}

impl Starting for Counting {
    fn preflight(&mut self, interfaces: &[Interface]) -> Result<(), Refused> {
        interfaces.iter().for_each(is_one);
        Ok(())
    }

    fn has_kept(&self, _: u32) -> bool {
        false
    }

    fn attach(&mut self, interface: &Interface) -> Result<Option<String>, Refused> {
        is_one(interface);
        Ok(None)
    }

    fn settle(&mut self) -> Result<Option<Adopted>, Refused> {
        Ok(None)
    }

    fn abandon(mut self: Box<Self>) {
        self.detached = true;
    }
}

/// An interface is one that there is.
fn is_one(interface: &Interface) {
    assert_eq!(Interface::find(&interface.name).expect("one").ifindex, interface.ifindex);
}

/// Who keeps nothing leaves nothing.
impl Drop for Counting {
    fn drop(&mut self) {
        assert!(self.detached || thread::panicking(), "programs stay on their hooks");
    }
}
