//! The HTTP side of the agent: pages for people (`/`), `/metrics` for Prometheus, `/healthz`, and the JSON API
//! (`/api/v1/…`, docs/api.md); and on a listener of its own the pages for the public ([`public`]). It only reads.
//!
//! Reading order: here ([`serve`], [`router`]), [`listen`] (connections and their limits), [`api`], [`metrics`], [`mod@page`],
//! [`public`].

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{config::public::PagePeriod, questions::Questions};

pub mod api;
mod listen;
pub mod metrics;
pub mod page;
pub mod public;

use self::{listen::Limits, page::Site};

/// Answers made at a time: each may take some tens of milliseconds of CPU and some megabytes.
const ANSWERS: usize = 4;
/// Of the operator's listener.
const LIMITS: Limits = Limits { connections: 256, head: Duration::from_secs(15), lifetime: None };

/// What every handler has.
#[derive(Clone)]
struct App {
    questions: Questions,
    site: Arc<Site>,
    answers: Arc<Semaphore>,
}

impl App {
    /// Makes an answer where it may take its time; [`StatusCode::INTERNAL_SERVER_ERROR`] if that panics.
    async fn make(&self, make: impl FnOnce(&Questions) -> Response + Send + 'static) -> Response {
        let permit = Arc::clone(&self.answers).acquire_owned().await;
        let questions = self.questions.clone();
        let made = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            make(&questions)
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
    let site = Arc::new(Site::operators(&questions));
    let app = App { questions, site, answers: Arc::new(Semaphore::new(ANSWERS)) };
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
    app.make(|questions| {
        if questions.view().healthy() {
            (StatusCode::OK, "ok\n").into_response()
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "no sweep for three intervals\n").into_response()
        }
    })
    .await
}

async fn metrics_text(State(app): State<App>) -> Response {
    app.make(|questions| {
        let text = metrics::render(&questions.view().metrics());
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

/// Serves until `shutdown` is done; answers that are under way then have two seconds.
///
/// # Errors
/// None today: a connection that fails ends alone, and an accept that fails is tried again.
pub async fn serve(
    listener: TcpListener,
    questions: Questions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listen::serve(listener, router(questions), LIMITS, shutdown).await
}

#[cfg(test)]
mod paths_tests;
#[cfg(test)]
mod tests;
