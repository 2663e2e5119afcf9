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
    /// What is to be known of the store although it works.
    pub(super) concern: Option<String>,
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
        let state = State { store: None, journal: None, clock: None, concern: None, status };
        Self { state: Mutex::new(state), publish: Box::new(publish) }
    }

    /// Takes what has changed in, logs what is worth it, and publishes.
    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (state.store.clone(), state.journal.clone(), state.clock.clone(), state.concern.clone());
        change(&mut state);
        log(&before.0, &state.store, "the store works");
        log(&before.1, &state.journal, "the journal works");
        log(&before.2, &state.clock, "the clock is as expected");
        log(&before.3, &state.concern, "all is well with the store");
        let troubles = [&state.store, &state.journal, &state.clock, &state.concern];
        let message: Vec<&str> = troubles.into_iter().flatten().map(String::as_str).collect();
        let message = (!message.is_empty()).then(|| message.join("; "));
        state.status.message = message;
        let fails = state.store.is_some() || state.journal.is_some();
        state.status.state = if fails { HistoryState::Failing } else { HistoryState::Ok };
        (self.publish)(state.status.clone());
    }
}

fn log(before: &Option<String>, now: &Option<String>, works: &str) {
    match (before, now) {
        (before, Some(now)) if before.as_ref() != Some(now) => {
            warn!("history: {now}; the agent goes on counting");
        }
        (Some(_), None) => info!("history: {works} again"),
        _ => {}
    }
}
