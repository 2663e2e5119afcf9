//! The front page, and pages that somebody looks at, are made ready when a slot of the history has ended, in a thread that
//! stands back for the rest of the machine.

use std::{
    thread,
    time::{Duration, Instant},
};

use tracing::debug;

use super::AgentError;
use crate::{http, questions::Questions};

/// How often it is looked whether the history has gone on.
const EVERY: Duration = Duration::from_secs(1);
/// How often the front page is looked at, of every period: it is always ready.
const VISIT: Duration = Duration::from_secs(1800);
/// Of the thread: others go first.
const NICE: libc::c_int = 10;

/// Begins; it ends with the process.
pub(super) fn keep_ready(questions: &Questions) -> Result<(), AgentError> {
    if questions.history().is_none() {
        return Ok(());
    }
    let questions = questions.clone();
    let thread = thread::Builder::new().name("pages".to_owned()).spawn(move || {
        // SAFETY: takes numbers alone; on Linux 0 is the calling thread. Where it fails the thread is like any other.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
        let mut visited: Option<Instant> = None;
        loop {
            if visited.is_none_or(|visited| visited.elapsed() >= VISIT) {
                http::visit_front_pages(&questions);
                visited = Some(Instant::now());
            }
            match questions.make_ready() {
                Ok(0) => {}
                Ok(count) => debug!("{count} questions of pages were worked out again"),
                Err(error) => debug!(%error, "pages are not made ready"),
            }
            thread::sleep(EVERY);
        }
    });
    thread.map(drop).map_err(|source| AgentError::Process { what: "starting the pages' thread", source })
}
