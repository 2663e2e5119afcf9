//! Pages of a history that is there: how long a browser waits for one, without the network.

use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use classifier_user::{
    history::Read,
    http,
    model::{Class, Link, Owner, OwnerId, Owners, Role},
    questions::Questions,
    table::{groups::Groups, names::Names},
    totals::{Limits, StatusInputs, Totals, view::View},
};
use jiff::Timestamp;
use tower::ServiceExt as _;

/// Nothing is counted now: the past alone is asked.
struct Nobody;

impl Owners for Nobody {
    fn owner_of(&self, _: Class) -> OwnerId {
        OwnerId(0)
    }
    fn owner(&self, _: OwnerId) -> Owner {
        Owner::Unmatched(classifier_user::model::Family::Ipv4)
    }
    fn owner_count(&self) -> usize {
        2
    }
}

/// Seconds since 1970 that pages take for now.
static NOW: AtomicI64 = AtomicI64::new(0);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Relaxed).unsigned_abs())
}

/// A slot ended at this moment, a while ago.
pub(crate) fn slot_ended(at: Timestamp) {
    NOW.store(at.as_second() + 10, Relaxed);
}

/// Pages of a history that ended at `until` a moment ago, as the operator's listener serves them.
pub(crate) struct Pages {
    runtime: tokio::runtime::Runtime,
    reader: Arc<dyn Read>,
    links: Vec<Link>,
}

/// An agent's pages.
pub(crate) struct Agent {
    questions: Questions,
    listener: axum::Router,
}

impl Agent {
    /// What the agent does when a slot has ended.
    pub(crate) fn make_ready(&self) -> Result<usize> {
        Ok(self.questions.make_ready()?)
    }
}

impl Pages {
    pub(crate) fn new(reader: Arc<dyn Read>, links: &[String], until: Timestamp) -> Result<Self> {
        slot_ended(until);
        let link = |name: &String| Link {
            name: name.clone(),
            interface: name.clone(),
            vlan: None,
            role: Role::Upstream,
            kind: None,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
        Ok(Self { runtime, reader, links: links.iter().map(link).collect() })
    }

    /// One that was asked for nothing yet.
    pub(crate) fn agent(&self) -> Agent {
        let totals = Totals::new(self.links.clone(), now() - Duration::from_secs(86_400), Limits::default());
        let view = View::new(totals, Arc::new(RwLock::new(Nobody)), now);
        view.set_status(StatusInputs { router: "bench".to_owned(), ..StatusInputs::default() });
        view.set_tables(Arc::new(Names::default()), Arc::new(Groups::default()));
        let questions = Questions::new(view, Some(Arc::clone(&self.reader)));
        Agent { listener: http::router(questions.clone()), questions }
    }

    /// Asks for a page; how many bytes it has.
    pub(crate) fn ask(&self, agent: &Agent, path: &str) -> Result<usize> {
        let request = Request::builder().uri(path).body(Body::empty())?;
        self.runtime.block_on(async {
            let response = agent.listener.clone().oneshot(request).await?;
            ensure!(response.status() == StatusCode::OK, "{path}: {}", response.status());
            Ok(to_bytes(response.into_body(), usize::MAX).await?.len())
        })
    }
}
