//! How the history is: said once in the log when it changes, always in the status and as metrics.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use tracing::{info, warn};

use crate::totals::answer::{HistoryState, HistoryStatus};

/// What the threads know of how they are.
#[derive(Debug)]
pub(super) struct State {
    /// Why the store does not take slots.
    pub(super) store: Option<String>,
    /// Why the journal does not take sweeps.
    pub(super) journal: Option<String>,
    /// What is odd about the clock.
    pub(super) clock: Option<String>,
    /// What is published; its state and message are made of the above.
    pub(super) status: HistoryStatus,
}

/// Shared by the threads of the history.
pub(super) struct Health {
    state: Mutex<State>,
    publish: Box<dyn Fn(HistoryStatus) + Send + Sync>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Health {
    /// Nothing is known yet of the history at `path`.
    pub(super) fn new(path: String, publish: impl Fn(HistoryStatus) + Send + Sync + 'static) -> Self {
        let status = HistoryStatus { state: HistoryState::Ok, path: Some(path), ..HistoryStatus::default() };
        publish(status.clone());
        let state = State { store: None, journal: None, clock: None, status };
        Self { state: Mutex::new(state), publish: Box::new(publish) }
    }

    /// Takes what has changed in, logs what is worth it, and publishes.
    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (state.store.clone(), state.journal.clone(), state.clock.clone());
        change(&mut state);
        let failing = "the agent goes on counting";
        log(&before.0, &state.store, "the store works", failing);
        log(&before.1, &state.journal, "the journal works", failing);
        log(&before.2, &state.clock, "the clock is as expected", failing);
        let troubles = [&state.store, &state.journal, &state.clock];
        let message: Vec<&str> = troubles.into_iter().flatten().map(String::as_str).collect();
        let message = (!message.is_empty()).then(|| message.join("; "));
        state.status.message = message;
        let fails = state.store.is_some() || state.journal.is_some();
        state.status.state = if fails { HistoryState::Failing } else { HistoryState::Ok };
        (self.publish)(state.status.clone());
    }
}

fn log(before: &Option<String>, now: &Option<String>, works: &str, failing: &str) {
    match (before, now) {
        (before, Some(now)) if before.as_ref() != Some(now) => warn!("history: {now}; {failing}"),
        (Some(_), None) => info!("history: {works} again"),
        _ => {}
    }
}
