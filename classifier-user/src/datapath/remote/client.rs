//! The agent's end: what it asks of the process that counts.

use std::{
    cell::{Cell, RefCell},
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Start,
    child::{self, Child, ChildPlan},
    message::{self, Answer, Failure, Region, Request, WireStart},
    wire::{Pipe, Welcome, WireError},
};
use crate::{
    datapath::{
        Applied, Attachment, Batch, Beside, Datapath, DatapathError, HookSweep, LinkSweep, Memory, Sizes,
        Sweep, adopted::Adopted, interface::Interface,
    },
    model::{Class, Counter, LinkId, Owner},
};

/// How long the other side may take to say who it is: a child is there at once, and a service may be busy with the
/// agent before, or wait for one that does not finish a sentence.
const GREETING: Duration = Duration::from_secs(30);

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; is `classifier datapath --socket` running (classifier-datapath.service)?"
        }
        io::ErrorKind::PermissionDenied => "; this user is not of the socket's group",
        _ => "",
    }
}

/// What comes of asking another process.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It did not do it, and said why.
    #[error("{why}")]
    Refused {
        /// Why.
        why: String,
    },
    /// It is gone, or was never there.
    #[error("{what}: {source}{after}")]
    Lost {
        /// Which process.
        what: String,
        /// What was seen of it last.
        source: WireError,
        /// What that means for the counters.
        after: String,
    },
    /// It is not where it was expected.
    #[error("no process that counts can be reached at {}: {source}{}", path.display(), hint(source))]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be started.
    #[error("the process that counts cannot be started: {0}")]
    Start(io::Error),
}

/// The datapath, in another process.
#[derive(Debug)]
pub struct Remote {
    /// A question is asked behind a shared reference, too ([`Datapath::attachments`]).
    pipe: RefCell<Pipe>,
    what: String,
    welcome: Welcome,
    sizes: Sizes,
    memory: Memory,
    /// What was the last answer to this.
    attachments: RefCell<Vec<Attachment>>,
    started: bool,
    lost: Cell<bool>,
    child: Option<Child>,
}

impl Remote {
    /// Starts this program a second time, as the process that counts. It has the capabilities that this one has, of those
    /// that it needs; from here on this one needs none.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn spawn(plan: &ChildPlan) -> Result<Self, RemoteError> {
        let (stream, child) = child::spawn(plan).map_err(RemoteError::Start)?;
        let what = format!("the process that counts ({})", child.id());
        Self::new(stream, what, Some(child))
    }

    /// Speaks with the process that serves at this socket.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn connect(path: &Path) -> Result<Self, RemoteError> {
        let what = format!("the process that counts, at {}", path.display());
        let stream = UnixStream::connect(path)
            .map_err(|source| RemoteError::Connect { path: path.to_owned(), source })?;
        Self::new(stream, what, None)
    }

    /// Speaks with the process at the other end of this.
    ///
    /// # Errors
    /// [`RemoteError::Lost`]: it does not speak as this does.
    pub fn over(stream: UnixStream, what: String) -> Result<Self, RemoteError> {
        Self::new(stream, what, None)
    }

    fn new(stream: UnixStream, what: String, child: Option<Child>) -> Result<Self, RemoteError> {
        let mut pipe = Pipe::new(stream);
        // Who serves another agent says so, and may be gone before it is greeted.
        let greeted = pipe.greet();
        let welcome = pipe.greeted(GREETING).and(greeted).and_then(|()| pipe.next(None));
        let mut this = Self {
            pipe: RefCell::new(pipe),
            what,
            welcome: Welcome::default(),
            sizes: message::sizes_of([0; 4]),
            memory: Memory::default(),
            attachments: RefCell::default(),
            started: false,
            lost: Cell::new(false),
            child,
        };
        this.welcome = welcome.map_err(|error| this.lost(error))?;
        Ok(this)
    }

    /// How it serves.
    #[must_use]
    pub const fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// What tells, to whoever polls it for [`libc::POLLHUP`], that the other process is gone.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn watch(&self) -> io::Result<UnixStream> {
        self.pipe.borrow().stream().try_clone()
    }

    /// Loads programs and maps.
    ///
    /// # Errors
    /// [`RemoteError`], as with all that follows.
    pub fn start(&mut self, start: &Start) -> Result<(), RemoteError> {
        let answer = self.ask(&Request::Start(WireStart::new(start)))?;
        self.resized(answer)?;
        self.started = true;
        Ok(())
    }

    /// Whether something is kept on one of the interface's hooks. Others are attached first.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn has_kept(&self, ifindex: u32) -> Result<bool, RemoteError> {
        match self.ask(&Request::HasKept(ifindex))? {
            Answer::Kept(kept) => Ok(kept),
            other => Err(self.unexpected(other)),
        }
    }

    /// Sees whether all these interfaces can be attached to, before the first one is.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn preflight(&self, interfaces: &[&Interface]) -> Result<(), RemoteError> {
        let asked = interfaces.iter().map(|interface| (interface.name.clone(), interface.ifindex));
        match self.ask(&Request::Preflight(asked.collect()))? {
            Answer::Done => Ok(()),
            other => Err(self.unexpected(other)),
        }
    }

    /// Attaches both hooks of an interface. Says why native XDP was not taken, if so.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn attach(&mut self, interface: &Interface) -> Result<Option<String>, RemoteError> {
        self.placed(&Request::Attach((interface.name.clone(), interface.ifindex)))
    }

    /// All are attached: gives what was counted until then, where counting outlives agents.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn settle(&mut self) -> Result<Option<Adopted>, RemoteError> {
        let mut answer = self.ask(&Request::Settle)?;
        let mut owners: Vec<(Region, Vec<(Owner, Counter)>)> = Vec::new();
        loop {
            match answer {
                Answer::Owners(region, part) => {
                    let part = part.into_iter().map(|(whose, count)| {
                        Ok::<_, WireError>((Owner::try_from(whose)?, message::counter(count)))
                    });
                    let part = part.collect::<Result<Vec<_>, _>>().map_err(|error| self.lost(error))?;
                    match owners.last_mut().filter(|(last, _)| *last == region) {
                        Some((_, list)) => list.extend(part),
                        None => owners.push((region, part)),
                    }
                }
                Answer::Adopted(adopted) => {
                    let adopted = adopted.map(|adopted| adopted.lower(owners)).transpose();
                    return adopted.map_err(|error| self.lost(error));
                }
                other => return Err(self.unexpected(other)),
            }
            answer = self.hear()?;
        }
    }

    /// Leaves the machine as it was before [`Remote::start`].
    pub fn abandon(self) {
        if self.started && !self.lost.get() {
            // One that is gone is asked no more.
            let _ = self.ask(&Request::Abandon);
        }
    }

    fn ask(&self, request: &Request) -> Result<Answer, RemoteError> {
        self.say(std::iter::once(request))?;
        self.hear()
    }

    fn say<R: std::borrow::Borrow<Request>>(
        &self,
        requests: impl Iterator<Item = R>,
    ) -> Result<(), RemoteError> {
        let said = {
            let mut pipe = self.pipe.borrow_mut();
            let mut said = Ok(());
            for request in requests {
                said = pipe.put(request.borrow());
                if said.is_err() {
                    break;
                }
            }
            said.and_then(|()| pipe.flush())
        };
        said.map_err(|error| self.lost(error))
    }

    fn hear(&self) -> Result<Answer, RemoteError> {
        let answer = self.pipe.borrow_mut().next(None);
        answer.map_err(|error| self.lost(error))
    }

    /// An answer that does not belong to the question; or a failure.
    fn unexpected(&self, answer: Answer) -> RemoteError {
        match answer {
            Answer::Failed(failure) => RemoteError::Refused { why: DatapathError::from(failure).to_string() },
            _ => self.lost(WireError::Malformed("an answer to something else")),
        }
    }

    /// The same, of what the trait offers.
    fn failed(&self, answer: Answer) -> DatapathError {
        match answer {
            Answer::Failed(failure) => failure.into(),
            other => self.unexpected(other).into(),
        }
    }

    fn lost(&self, source: WireError) -> RemoteError {
        self.lost.set(true);
        let after = match (&self.welcome.keeps, self.started) {
            (_, false) => String::new(),
            (Some(instance), true) => {
                format!("; the kernel counts on, as `{instance}`, and the next start goes on with it")
            }
            (None, true) => "; nothing is counted any more: start the agent again".to_owned(),
        };
        let what = match self.child.as_ref().and_then(Child::ended) {
            Some(how) => format!("{} ended ({how})", self.what),
            None => self.what.clone(),
        };
        RemoteError::Lost { what, source, after }
    }

    fn resized(&mut self, answer: Answer) -> Result<(), RemoteError> {
        match answer {
            Answer::Ready(sizes, memory) => {
                self.sizes = message::sizes_of(sizes);
                self.memory = message::memory_of(memory);
                Ok(())
            }
            other => Err(self.unexpected(other)),
        }
    }

    fn placed(&self, request: &Request) -> Result<Option<String>, RemoteError> {
        match self.ask(request)? {
            Answer::Placed(why) => Ok(why),
            other => Err(self.unexpected(other)),
        }
    }

    fn done(&self, request: &Request) -> Result<(), DatapathError> {
        match self.ask(request)? {
            Answer::Done => Ok(()),
            other => Err(self.failed(other)),
        }
    }

    /// [`Request::Resize`] or [`Request::Reclaim`].
    fn replace(&mut self, request: &Request) -> Result<(), DatapathError> {
        match self.ask(request)? {
            Answer::Failed(failure) => Err(failure.into()),
            answer => Ok(self.resized(answer)?),
        }
    }

    fn read(&self) -> Result<Sweep, RemoteError> {
        let mut answer = self.ask(&Request::Sweep)?;
        let mut counts: Vec<(Region, Vec<(Class, Counter)>)> = Vec::new();
        let mut released = Vec::new();
        let sweep = loop {
            match answer {
                Answer::Counts(region, part) => {
                    let part =
                        part.into_iter().map(|(class, packets, bytes)| (class, Counter { packets, bytes }));
                    match counts.last_mut().filter(|(last, _)| *last == region) {
                        Some((_, list)) => list.extend(part),
                        None => counts.push((region, part.collect())),
                    }
                }
                Answer::Released(part) => released.extend(part),
                Answer::Swept(sweep) => break sweep,
                other => return Err(self.unexpected(other)),
            }
            answer = self.hear()?;
        };
        let hook = |hook: message::WireHook| HookSweep {
            outcomes: hook.outcomes.map(message::counter),
            sides: hook.sides.map(|counted| counted.then(Vec::new)),
        };
        let link = |(link, hooks): (u16, [Option<message::WireHook>; 2])| LinkSweep {
            link: LinkId(link),
            hooks: hooks.map(|wire| wire.map(hook)),
        };
        let mut links: Vec<LinkSweep> = sweep.links.into_iter().map(link).collect();
        for ((place, hook, side), counts) in counts {
            let link = links.get_mut(usize::from(place));
            let hook = link.and_then(|link| link.hooks.get_mut(usize::from(hook))?.as_mut());
            let side = hook.and_then(|hook| hook.sides.get_mut(usize::from(side))?.as_mut());
            match side {
                Some(side) => *side = counts,
                None => return Err(self.lost(WireError::Malformed("a link that there is not"))),
            }
        }
        let at = message::time_of(sweep.at).map_err(|error| self.lost(error))?;
        Ok(Sweep { at, took: sweep.took, links, released })
    }
}

impl Datapath for Remote {
    fn apply(&mut self, batch: &Batch) -> Result<Applied, DatapathError> {
        self.say(message::parts(batch))?;
        match self.hear()? {
            Answer::Applied(words_written) => Ok(Applied { words_written }),
            other => Err(self.failed(other)),
        }
    }

    fn resize(&mut self, sizes: &Sizes) -> Result<(), DatapathError> {
        self.replace(&Request::Resize(message::sizes(sizes)))
    }

    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn reclaim(&mut self) -> Result<(), DatapathError> {
        self.replace(&Request::Reclaim)
    }

    fn sweep(&mut self) -> Result<Sweep, DatapathError> {
        Ok(self.read()?)
    }

    fn place(&mut self, links: &[LinkId], at: Option<&Interface>) -> Result<Option<String>, DatapathError> {
        let links = links.iter().map(|link| link.0).collect();
        let at = at.map(|interface| (interface.name.clone(), interface.ifindex));
        Ok(self.placed(&Request::Place(links, at))?)
    }

    /// As they were the last time where the other process is gone: the next sweep says so.
    fn attachments(&self) -> Vec<Attachment> {
        if let Ok(Answer::Attachments(found)) = self.ask(&Request::Attachments) {
            let found = found.into_iter().map(|(link, modes)| Attachment { link: LinkId(link), modes });
            *self.attachments.borrow_mut() = found.collect();
        }
        self.attachments.borrow().clone()
    }

    /// Nobody, as far as is known, where the other process is gone.
    fn beside(&self) -> Vec<Beside> {
        let Ok(Answer::Beside(found)) = self.ask(&Request::Beside) else { return Vec::new() };
        found.into_iter().map(|(ifindex, what)| Beside { ifindex, what }).collect()
    }

    fn is_lost(&self) -> bool {
        self.lost.get()
    }

    fn memory(&self) -> Memory {
        self.memory
    }

    fn detach(&mut self) -> Result<(), DatapathError> {
        self.done(&Request::Detach)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // The other side ends when it is told nothing more.
        let _ = self.pipe.borrow().stream().shutdown(std::net::Shutdown::Both);
        if let Some(child) = self.child.take() {
            child.join();
        }
    }
}

impl From<RemoteError> for DatapathError {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Refused { why } => Self::Refused { why },
            error => Self::Remote(Box::new(error)),
        }
    }
}

#[expect(dead_code, reason = "asserts at compile time that the core's thread can have it")]
const fn is_send(remote: Remote) -> impl Send {
    remote
}

impl From<DatapathError> for RemoteError {
    fn from(error: DatapathError) -> Self {
        Self::Refused { why: error.to_string() }
    }
}

impl From<Failure> for RemoteError {
    fn from(failure: Failure) -> Self {
        DatapathError::from(failure).into()
    }
}
