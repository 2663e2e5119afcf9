//! The other end: what it does for an agent, and what it does when that is gone.

use std::{io, os::unix::net::UnixStream, time::Duration};

use classifier_common::abi::Hook;

use super::{
    Start,
    limits::{self, Allowed, Shape, TooMuch},
    message::{self, Answer, Failure, Request, WireAdopted, WireHook, WireSweep},
    wire::{PART, Pipe, Welcome, WireError},
};
use crate::{
    datapath::{Batch, Refused, Starting, Sweep, adopted::Adopted},
    model::LinkId,
};

/// How long an agent is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until it says who it is.
    pub greeting: Duration,
    /// Until it finishes a message that it began.
    pub message: Duration,
    /// Until it reads on: one that was stopped is not served for ever.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(5),
            message: Duration::from_secs(10),
            answer: Duration::from_secs(60),
        }
    }
}

/// Classes that are retired and were not swept since, at most.
const RETIRING: usize = 4 * limits::BATCH;

/// What the server has for agents.
pub trait Host {
    /// How it serves.
    fn welcome(&self) -> Welcome;

    /// Bytes that the FIB may take.
    fn fib_bytes(&self) -> u64;

    /// CPUs that have counters of their own.
    fn slices(&self) -> u32;

    /// How long agents are waited for.
    fn patience(&self) -> Patience {
        Patience::default()
    }

    /// Loads programs and maps; what is asked for is within the limits.
    ///
    /// # Errors
    /// Why it cannot.
    fn start(&mut self, start: &Start) -> Result<Box<dyn Starting>, Refused>;
}

/// What else there is to look at between two questions.
pub(super) trait Door {
    /// Waits until the agent has said something, or is gone. Where some of what it says is here already, nothing is waited
    /// for: however much an agent says, this process hears others.
    fn wait(&mut self, agent: &UnixStream, has_begun: bool) -> io::Result<Turn>;
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The agent has said something, or is gone.
    Said,
    /// This process is to end.
    End,
}

/// How serving an agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It is gone.
    Gone,
    /// This process is to end.
    Told,
}

/// Serves one agent, until it is gone.
///
/// What it leaves in the kernel is as the host says: it counts on, or everything is taken off.
///
/// # Errors
/// Why the agent was not served any longer, where it did not just end.
pub fn serve(stream: UnixStream, host: &mut dyn Host) -> Result<(), WireError> {
    serve_at(stream, host, None).map(drop)
}

/// [`serve`], with something to look at besides.
pub(super) fn serve_at(
    stream: UnixStream,
    host: &mut dyn Host,
    door: Option<&mut dyn Door>,
) -> Result<Over, WireError> {
    let patience = host.patience();
    stream.set_write_timeout(Some(patience.answer))?;
    let mut pipe = Pipe::new(stream);
    pipe.greet()?;
    pipe.greeted(patience.greeting)?;
    let welcome = host.welcome();
    let keeps = welcome.keeps.is_some();
    pipe.put(&welcome)?;
    pipe.flush()?;
    let allowed =
        Allowed { bank_bytes: welcome.bank_bytes, fib_bytes: host.fib_bytes(), slices: host.slices() };
    let mut session = Session { pipe, host, allowed, started: None, batch: Batch::default(), retiring: 0 };
    let served = session.run(patience.message, door);
    if let Some(Started { mut datapath, .. }) = session.started.take() {
        // Dropped, one that keeps leaves the kernel counting.
        if !keeps && let Err(error) = datapath.detach() {
            tracing::error!("what was attached may not all be taken off: {error}");
        }
    }
    match served {
        Err(WireError::Closed) => Ok(Over::Gone),
        served => served,
    }
}

/// What an agent has started.
struct Started {
    datapath: Box<dyn Starting>,
    links: usize,
    shape: Shape,
}

struct Session<'h> {
    pipe: Pipe,
    host: &'h mut dyn Host,
    allowed: Allowed,
    started: Option<Started>,
    /// Of what came so far.
    batch: Batch,
    /// Classes that were retired since the last sweep.
    retiring: usize,
}

/// Why a question has no answer but a failure, or ends the session.
enum Bad {
    Failed(Failure),
    Over(WireError),
}

impl From<WireError> for Bad {
    fn from(error: WireError) -> Self {
        Self::Over(error)
    }
}

impl From<TooMuch> for Bad {
    fn from(error: TooMuch) -> Self {
        Self::Failed(Failure::of(&error))
    }
}

impl From<Refused> for Bad {
    fn from(error: Refused) -> Self {
        Self::Failed(Failure::of(&error))
    }
}

impl From<crate::datapath::DatapathError> for Bad {
    fn from(error: crate::datapath::DatapathError) -> Self {
        Self::Failed(error.into())
    }
}

impl Session<'_> {
    fn run(&mut self, within: Duration, mut door: Option<&mut dyn Door>) -> Result<Over, WireError> {
        loop {
            if let Some(door) = door.as_mut()
                && door.wait(self.pipe.stream(), self.pipe.has_begun())? == Turn::End
            {
                return Ok(Over::Told);
            }
            let request = self.pipe.next(Some(within))?;
            let answer = match self.handle(request) {
                Ok(Some(answer)) => answer,
                Ok(None) => continue,
                Err(Bad::Failed(failure)) => Answer::Failed(failure),
                Err(Bad::Over(error)) => return Err(error),
            };
            self.pipe.put(&answer)?;
            self.pipe.flush()?;
        }
    }

    fn started(&mut self, what: &'static str) -> Result<&mut Started, TooMuch> {
        self.started.as_mut().ok_or(TooMuch::Turn(what))
    }

    /// Does what was asked; `None` where that has no answer yet.
    fn handle(&mut self, request: Request) -> Result<Option<Answer>, Bad> {
        Ok(Some(match request {
            Request::Start(start) => self.start(start.lower()?)?,
            Request::HasKept(ifindex) => Answer::Kept(self.started("has_kept")?.datapath.has_kept(ifindex)),
            Request::Preflight(asked) => {
                let asked = asked.into_iter().map(message::interface).collect::<Vec<_>>();
                let interfaces = limits::interfaces(&asked)?;
                self.started("preflight")?.datapath.preflight(&interfaces)?;
                Answer::Done
            }
            Request::Attach(asked) => {
                let interface = limits::interface(&message::interface(asked))?;
                Answer::Placed(self.started("attach")?.datapath.attach(&interface)?)
            }
            Request::Settle => {
                let adopted = self.started("settle")?.datapath.settle()?;
                self.adopted(adopted)?
            }
            Request::Abandon => {
                if let Some(Started { datapath, .. }) = self.started.take() {
                    datapath.abandon();
                }
                Answer::Done
            }
            Request::More(part) => {
                if part.len() == 0 {
                    return Err(WireError::Malformed("a part of nothing").into());
                }
                self.more(part)?;
                return Ok(None);
            }
            Request::Apply(part) => {
                self.more(part)?;
                let batch = std::mem::take(&mut self.batch);
                self.apply(&batch)?
            }
            Request::Resize(sizes) => {
                let (sizes, allowed) = (message::sizes_of(sizes), self.allowed);
                let started = self.started("resize")?;
                allowed.sizes(&sizes, &started.shape)?;
                started.datapath.resize(&sizes)?;
                ready(started)
            }
            Request::Reclaim => {
                let started = self.started("reclaim")?;
                started.datapath.reclaim()?;
                ready(started)
            }
            Request::Sweep => {
                let sweep = self.started("sweep")?.datapath.sweep()?;
                self.retiring = 0;
                self.swept(&sweep)?
            }
            Request::Place(links, at) => {
                let at = at.map(|at| limits::interface(&message::interface(at))).transpose()?;
                let started = self.started("place")?;
                let links: Vec<LinkId> = links.into_iter().map(LinkId).collect();
                if links.iter().any(|link| usize::from(link.0) >= started.links) {
                    return Err(WireError::Malformed("a link that there is not").into());
                }
                Answer::Placed(started.datapath.place(&links, at.as_ref())?)
            }
            Request::Attachments => {
                let found = self.started("attachments")?.datapath.attachments();
                Answer::Attachments(found.into_iter().map(|found| (found.link.0, found.modes)).collect())
            }
            Request::Beside => message::beside(self.started("beside")?.datapath.beside()),
            Request::Detach => {
                self.started("detach")?.datapath.detach()?;
                Answer::Done
            }
        }))
    }

    fn start(&mut self, start: Start) -> Result<Answer, Bad> {
        if self.started.is_some() {
            return Err(TooMuch::Turn("start").into());
        }
        self.allowed.start(&start)?;
        let datapath = self.host.start(&start)?;
        let (links, shape) = (start.setups.len(), Shape::of(&start));
        Ok(ready(self.started.insert(Started { datapath, links, shape })))
    }

    /// Takes some of a batch.
    fn more(&mut self, part: message::Part) -> Result<(), WireError> {
        part.append_to(&mut self.batch)?;
        let Batch { deltas, retired, bound } = &self.batch;
        if deltas.len().max(retired.len()).max(bound.len()) > limits::BATCH {
            return Err(WireError::Malformed("a batch larger than any is"));
        }
        Ok(())
    }

    fn apply(&mut self, batch: &Batch) -> Result<Answer, Bad> {
        let retiring = self.retiring + batch.retired.len();
        if retiring > RETIRING {
            return Err(WireError::Malformed("more retired than there is").into());
        }
        let started = self.started("apply")?;
        limits::batch(batch, started.datapath.sizes().classes)?;
        let applied = started.datapath.apply(batch)?;
        self.retiring = retiring;
        Ok(Answer::Applied(applied.words_written))
    }

    /// Says what was counted before, link after link.
    fn adopted(&mut self, adopted: Option<Adopted>) -> Result<Answer, WireError> {
        let Some(adopted) = adopted else { return Ok(Answer::Adopted(None)) };
        for (place, link) in (0..).zip(&adopted.links) {
            let sides = Hook::ALL.into_iter().zip(&link.hooks);
            let sides = sides.flat_map(|(hook, had)| {
                had.sides.iter().enumerate().map(move |(side, owners)| (hook, side, owners.as_slice()))
            });
            for (region, owners) in message::regions(place, sides) {
                let owners =
                    owners.iter().map(|(owner, counter)| ((*owner).into(), message::count(*counter)));
                self.pipe.put(&Answer::Owners(region, owners.collect()))?;
            }
        }
        Ok(Answer::Adopted(Some(WireAdopted::new(&adopted))))
    }

    /// Says what a sweep read, link after link.
    fn swept(&mut self, sweep: &Sweep) -> Result<Answer, WireError> {
        for (place, link) in (0..).zip(&sweep.links) {
            let sides = Hook::ALL.into_iter().zip(&link.hooks);
            let sides = sides.flat_map(|(hook, read)| {
                let sides = read.iter().flat_map(|read| read.sides.iter().enumerate());
                sides.filter_map(move |(side, counts)| Some((hook, side, counts.as_ref()?.as_slice())))
            });
            for (region, counts) in message::regions(place, sides) {
                let counts = counts.iter().map(|(class, counter)| (*class, counter.packets, counter.bytes));
                self.pipe.put(&Answer::Counts(region, counts.collect()))?;
            }
        }
        for part in sweep.released.chunks(PART) {
            self.pipe.put(&Answer::Released(part.to_vec()))?;
        }
        let links = sweep.links.iter().map(|link| {
            let hook = |read: &crate::datapath::HookSweep| WireHook {
                outcomes: read.outcomes.map(message::count),
                sides: read.sides.each_ref().map(Option::is_some),
            };
            (link.link.0, link.hooks.each_ref().map(|read| read.as_ref().map(hook)))
        });
        Ok(Answer::Swept(WireSweep {
            at: message::since_1970(sweep.at),
            took: sweep.took,
            links: links.collect(),
        }))
    }
}

fn ready(started: &Started) -> Answer {
    let memory = started.datapath.memory();
    Answer::Ready(message::sizes(&started.datapath.sizes()), [memory.fib_bytes, memory.bank_bytes])
}
