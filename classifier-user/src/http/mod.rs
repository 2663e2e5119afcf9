//! The HTTP side of the agent: a page for people (`/`), `/metrics` for Prometheus, `/healthz`, and the JSON API
//! (`/api/v1/…`, docs/api.md). It only reads.
//!
//! Reading order: here ([`serve`], [`router`]), [`api`], [`metrics`], `page`.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::questions::Questions;

pub mod api;
pub mod metrics;
mod page;

/// Connections served at a time; others wait in the listener's queue.
const CONNECTIONS: usize = 256;
/// Answers made at a time: each may take some tens of milliseconds of CPU and some megabytes.
const ANSWERS: usize = 4;
/// For a request's whole head, and between two requests on a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest request head.
const HEAD_BYTES: usize = 16 << 10;
/// For connections to end once the agent does.
const GRACE: Duration = Duration::from_secs(2);

/// What every handler has.
#[derive(Clone)]
struct App {
    questions: Questions,
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
    let app = App { questions, answers: Arc::new(Semaphore::new(ANSWERS)) };
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics_text))
        .merge(api::routes())
        .fallback(api::no_such_path)
        .method_not_allowed_fallback(api::only_get)
        .layer(map_response(with_headers))
        .with_state(app)
}

async fn page(State(app): State<App>) -> Response {
    app.make(|questions| axum::response::Html(page::render(questions.view())).into_response()).await
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
    // The page has no script and loads nothing.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
    let headers: [(HeaderName, &str); 3] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
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
    let router = router(questions);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, place)) => {
                let (router, closed) = (router.clone(), closed.clone());
                // An answer is one write or few: waiting to fill segments only delays it.
                let _ = stream.set_nodelay(true);
                connections.spawn(async move {
                    let _place = place;
                    connection(stream, router, closed).await;
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: some come back when connections end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    drop(listener);
    drop(closing);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?.0, place))
}

async fn connection(stream: TcpStream, router: Router, mut closed: watch::Receiver<()>) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
