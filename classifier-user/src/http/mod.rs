//! The HTTP side of the agent: pages for people (`/`), `/metrics` for Prometheus, `/healthz`, and the JSON API
//! (`/api/v1/…`, docs/api.md); and on a listener of its own the pages for the public ([`public`]). It only reads.
//!
//! Reading order: here ([`serve`], [`router`]), [`listen`] (connections), `gate` (how many, and how long), `held` (answers
//! that are not taken), [`web`] (TLS and passwords), [`api`], [`metrics`], [`mod@page`], [`public`].

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::{config::public::PagePeriod, questions::Questions};

pub mod api;
mod gate;
mod held;
mod listen;
pub mod metrics;
pub mod page;
pub mod public;
mod stats;
mod stream;
pub mod web;

pub use self::stats::Stats;
use self::{gate::Limits, listen::Rules, page::Site, stats::Refused, web::Web};

/// Answers made at a time, until they are weighed ([`held`]): each may take some tens of milliseconds of CPU and some
/// megabytes.
const ANSWERS: usize = 4;
/// Scrapes at a time, beside the answers: monitoring does not wait for people. Others are told to come again.
const SCRAPES: usize = 4;
/// Of the operator's listener. A scraper that comes every minute finds its connection again.
const LIMITS: Limits = Limits {
    connections: 256,
    per_address: 64,
    held: 256 << 20,
    head: Duration::from_secs(10),
    idle: Duration::from_secs(90),
    stall: Duration::from_secs(20),
    answer: Duration::from_secs(120),
    lifetime: None,
};

/// What every handler has.
#[derive(Clone)]
struct App {
    questions: Questions,
    site: Arc<Site>,
    answers: Arc<Semaphore>,
    scrapes: Arc<Semaphore>,
    stats: Stats,
}

impl App {
    /// Makes an answer where it may take its time; [`StatusCode::INTERNAL_SERVER_ERROR`] if that panics.
    async fn make(&self, make: impl FnOnce(&Questions) -> Response + Send + 'static) -> Response {
        let permit = Arc::clone(&self.answers).acquire_owned().await;
        self.work(permit.ok(), make).await
    }

    /// The same, for who has a permit or needs none.
    async fn work(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        make: impl FnOnce(&Questions) -> Response + Send + 'static,
    ) -> Response {
        let questions = self.questions.clone();
        let made = tokio::task::spawn_blocking(move || {
            let mut response = make(&questions);
            if let Some(permit) = permit {
                // The next one is made when this one is weighed, or nobody is there to take it.
                response.extensions_mut().insert(Arc::new(permit));
            }
            response
        });
        made.await.unwrap_or_else(|error| {
            tracing::error!(%error, "an answer failed");
            api::error_response(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "this is a bug in classifier; its log has more".to_owned(),
                &[],
            )
        })
    }
}

/// All routes.
pub fn router(questions: Questions) -> Router {
    routes(questions, Stats::default())
}

fn routes(questions: Questions, stats: Stats) -> Router {
    routed(App {
        site: Arc::new(Site::operators(&questions)),
        questions,
        answers: Arc::new(Semaphore::new(ANSWERS)),
        scrapes: Arc::new(Semaphore::new(SCRAPES)),
        stats,
    })
}

fn routed(app: App) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics_text))
        .merge(api::routes())
        .fallback(page)
        .method_not_allowed_fallback(api::only_get)
        .layer(map_response(with_headers))
        .with_state(app)
}

/// Asks for the front page of every period as somebody who opens it, so that it is ready.
pub(crate) fn visit_front_pages(questions: &Questions) {
    let site = Site::operators(questions);
    for span in PagePeriod::ALL {
        let uri = Uri::builder().path_and_query(format!("/?last={}", span.name())).build();
        let question = uri.ok().and_then(|uri| page::read(&site, &uri, &HeaderMap::new()).ok());
        if let Some(question) = question {
            page::answer(&site, &question);
        }
    }
}

async fn page(State(app): State<App>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if uri.path().starts_with("/api/") {
        return api::no_such_path(uri).await;
    }
    if method != Method::GET && method != Method::HEAD {
        return api::only_get().await;
    }
    match page::read(&app.site, &uri, &headers) {
        Err(reply) => reply.response(None),
        Ok(question) => {
            let site = Arc::clone(&app.site);
            app.make(move |_| page::answer(&site, &question).response(None)).await
        }
    }
}

async fn healthz(State(app): State<App>) -> Response {
    app.work(None, |questions| {
        if questions.view().healthy() {
            (StatusCode::OK, "ok\n").into_response()
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "no sweep for three intervals\n").into_response()
        }
    })
    .await
}

async fn metrics_text(State(app): State<App>) -> Response {
    let Ok(permit) = Arc::clone(&app.scrapes).try_acquire_owned() else {
        app.stats.operator.refuse(Refused::Busy);
        let why = format!("{SCRAPES} scrapes are being answered; try again in a moment\n");
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], why).into_response();
    };
    let stats = app.stats.clone();
    app.work(Some(permit), move |questions| {
        let text = metrics::render(&questions.view().metrics(), &stats);
        ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
    })
    .await
}

async fn with_headers(mut response: Response) -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        // Pages have their own.
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// How a listener is served, beside what is served there.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// TLS, passwords and headers.
    pub web: Option<Arc<Web>>,
    /// Where it is counted what becomes of connections and requests.
    pub stats: Stats,
}

/// Serves until `shutdown` is done; answers that are under way then have two seconds.
///
/// # Errors
/// None today: a connection that fails ends alone, and an accept that fails is tried again.
pub async fn serve(
    listener: TcpListener,
    questions: Questions,
    service: Service,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let rules = Rules::new(LIMITS, service.web, Arc::clone(&service.stats.operator));
    listen::serve(listener, routes(questions, service.stats), rules, shutdown).await
}

#[cfg(test)]
mod listen_tests;
#[cfg(test)]
mod paths_tests;
#[cfg(test)]
mod secure_tests;
#[cfg(test)]
mod tests;
