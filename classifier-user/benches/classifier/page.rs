//! Pages of a history that is there: how long a browser waits for one, without the network.

use std::{
    sync::{Arc, OnceLock, RwLock},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
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

static NOW: OnceLock<SystemTime> = OnceLock::new();

fn now() -> SystemTime {
    NOW.get().copied().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Pages of a history that ends at `until`, as the operator's listener serves them.
pub(crate) struct Pages {
    runtime: tokio::runtime::Runtime,
    reader: Arc<dyn Read>,
    links: Vec<Link>,
}

impl Pages {
    pub(crate) fn new(reader: Arc<dyn Read>, links: &[String], until: Timestamp) -> Result<Self> {
        let seconds = u64::try_from(until.as_second()).context("a time after 1970")?;
        let _ = NOW.set(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds + 10));
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

    /// A listener that has answered nothing yet: after each slot, every question is new once.
    pub(crate) fn listener(&self) -> axum::Router {
        let totals = Totals::new(self.links.clone(), now() - Duration::from_secs(86_400), Limits::default());
        let view = View::new(totals, Arc::new(RwLock::new(Nobody)), now);
        view.set_status(StatusInputs { router: "bench".to_owned(), ..StatusInputs::default() });
        view.set_tables(Arc::new(Names::default()), Arc::new(Groups::default()));
        http::router(Questions::new(view, Some(Arc::clone(&self.reader))))
    }

    /// Asks for a page; how many bytes it has.
    pub(crate) fn ask(&self, listener: &axum::Router, path: &str) -> Result<usize> {
        let request = Request::builder().uri(path).body(Body::empty())?;
        self.runtime.block_on(async {
            let response = listener.clone().oneshot(request).await?;
            ensure!(response.status() == StatusCode::OK, "{path}: {}", response.status());
            Ok(to_bytes(response.into_body(), usize::MAX).await?.len())
        })
    }
}
