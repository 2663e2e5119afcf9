//! What can be asked of now and of the past, with one answer for the command line, the API and the page.
//!
//! The last hour is answered from the memory of the sweeps ([`crate::totals`]), what is longer ago from the history
//! ([`crate::history`]); who asks does not see the difference, but that the history ends with its last whole slot.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{history::Read, model::Asn, totals::View};

pub mod answer;
pub mod words;

/// Which period is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// The last so many seconds.
    Last(Duration),
    /// From a time on, to another one or to now.
    Between {
        /// Its beginning.
        from: Timestamp,
        /// Its end; `None`: now.
        to: Option<Timestamp>,
    },
}

/// What a question is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// All traffic of the links that are looked at.
    All,
    /// An AS.
    As(Asn),
    /// A group, by its key.
    Group(String),
    /// All groups of a kind.
    Kind(String),
    /// A link, by its name.
    Link(String),
}

/// Answers questions. Cheap to clone.
#[derive(Clone)]
pub struct Questions {
    view: View,
    history: Option<Arc<dyn Read>>,
}

impl Questions {
    /// Answers from memory, and from the history where there is one.
    #[must_use]
    pub fn new(view: View, history: Option<Arc<dyn Read>>) -> Self {
        Self { view, history }
    }

    /// What the agent knows of now.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The past, where it is kept.
    #[must_use]
    pub fn history(&self) -> Option<&Arc<dyn Read>> {
        self.history.as_ref()
    }
}
