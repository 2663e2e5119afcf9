//! The process that counts as a child of the agent.

use std::{
    cell::RefCell,
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{WireError, host::KernelHost, server};
use crate::datapath::privileges;

/// How long it may take to end when the agent is gone: taking programs off hooks, at most.
const ENDS: Duration = Duration::from_secs(10);
/// How long it is waited for where it seems to have ended already.
const ENDED: Duration = Duration::from_secs(1);

/// How to start it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildPlan {
    /// The arguments with which this program becomes it.
    pub arguments: Vec<OsString>,
}

/// The running child.
#[derive(Debug)]
pub(super) struct Child(RefCell<std::process::Child>);

/// Starts it, with one end of a connection as its standard input; gives the other end.
pub(super) fn spawn(plan: &ChildPlan) -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = UnixStream::pair()?;
    // Of this very binary, whatever lies under its name by now.
    let child = Command::new("/proc/self/exe")
        .args(&plan.arguments)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()?;
    Ok((ours, Child(RefCell::new(child))))
}

impl Child {
    pub(super) fn id(&self) -> u32 {
        self.0.borrow().id()
    }

    /// How it ended, if it has or does in a moment.
    pub(super) fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.0.borrow_mut();
        wait(&mut child, ENDED)
    }

    /// Waits until it ended; it was told to.
    pub(super) fn join(self) {
        let mut child = self.0.into_inner();
        if wait(&mut child, ENDS).is_none() {
            tracing::warn!("the process that counts ({}) does not end: it is killed", child.id());
            // An agent of another user may not, and leaves it to end by itself.
            if child.kill().is_ok() {
                let _ = child.wait();
            }
        }
    }
}

fn wait(child: &mut std::process::Child, most: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if began.elapsed() > most {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Serves the agent that started this process, at the other end of the standard input.
///
/// # Errors
/// The privileges cannot be given up, or the agent did not speak as it should.
pub fn serve_parent(host: &mut KernelHost) -> Result<(), WireError> {
    use std::os::fd::AsFd as _;
    privileges::ignore_signals();
    privileges::keep_datapath()?;
    host.agent = Some(privileges::parent());
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    server::serve(stream, host)
}
