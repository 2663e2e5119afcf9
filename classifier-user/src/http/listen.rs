//! Connections: accepted while there is a place ([`super::gate`]), over TLS where there is to be, each request looked at
//! before it is answered, and their end. The same for the operator's listener and the public's.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower::ServiceExt as _;

use super::{
    api::error_response,
    gate::{Connection, Gate, Limits, Peer, Place},
    held::Held,
    stats::{ListenerStats, Refused},
    stream::Watched,
    web::{Verdict, Web},
};

/// The longest request head.
pub(super) const HEAD_BYTES: usize = 16 << 10;
/// Headers of a request, at most.
const HEADERS: usize = 64;
/// For connections to end once they are told to.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is looked whose time is over.
const LOOK: Duration = Duration::from_secs(1);
/// The first byte of a TLS connection (RFC 8446, section 5.1: a record of type handshake).
const HANDSHAKE: u8 = 22;

/// A listener's rules.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    limits: Limits,
    web: Option<Arc<Web>>,
    stats: Arc<ListenerStats>,
    held: Arc<Held>,
}

/// Serves until `shutdown` is done; answers that are under way then have two seconds.
///
/// # Errors
/// None today: a connection that fails ends alone, and an accept that fails is tried again.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    rules: Rules,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let gate = Gate::new(rules.limits, Arc::clone(&rules.stats));
    let rules = Arc::new(rules);
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            _ = look.tick() => {
                gate.sweep(Instant::now());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, address)) => {
                // Without a place it is closed, which is all that can be said to somebody who may speak TLS.
                let Some(place) = gate.admit(address.ip(), Instant::now()) else { continue };
                // An answer is one write or few: waiting to fill segments only delays it.
                let _ = stream.set_nodelay(true);
                let handler = Handler {
                    router: router.clone(),
                    rules: Arc::clone(&rules),
                    connection: Arc::clone(&place.connection),
                };
                connections.spawn(served(stream, place, handler, closed.clone()));
            }
            Err(error) => {
                // Out of file descriptors, mostly: some come back when connections end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
                gate.sweep(Instant::now());
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

/// A connection, until it ends or has lost its place.
async fn served(stream: TcpStream, place: Place, handler: Handler, closed: watch::Receiver<()>) {
    tokio::select! {
        () = place.connection.ended() => {}
        () = connected(stream, handler, closed) => {}
    }
}

async fn connected(stream: TcpStream, handler: Handler, closed: watch::Receiver<()>) {
    let stats = Arc::clone(&handler.rules.stats);
    let stream = Watched::new(stream, Arc::clone(&handler.connection));
    let Some(tls) = handler.rules.web.as_ref().and_then(|web| web.live().tls.clone()) else {
        return requests(stream, handler, closed).await;
    };
    match stream.first_byte().await {
        Ok(Some(HANDSHAKE)) => match tls.accept(stream).await {
            Ok(stream) => requests(stream, handler, closed).await,
            Err(error) => {
                stats.refuse(Refused::Handshake);
                tracing::debug!(%error, "a TLS handshake failed");
            }
        },
        Ok(Some(_)) => {
            stats.refuse(Refused::Handshake);
            // Whoever does not read it has closed already.
            let _ = stream.dismiss(PLAIN_HTTP).await;
        }
        Ok(None) | Err(_) => {}
    }
}

const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\
    content-length: 34\r\n\r\nthis is HTTPS: ask with https://\r\n";

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    handler: Handler,
    mut closed: watch::Receiver<()>,
) {
    let stats = Arc::clone(&handler.rules.stats);
    // The gate has the time: no timer here.
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), handler));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        if error.is_parse() {
            stats.refuse(Refused::Request);
        }
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Answers the requests of one connection.
struct Handler {
    router: Router,
    rules: Arc<Rules>,
    connection: Arc<Connection>,
}

impl hyper::service::Service<Request<Incoming>> for Handler {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.connection.asked();
        let (router, rules, connection) =
            (self.router.clone(), Arc::clone(&self.rules), Arc::clone(&self.connection));
        Box::pin(async move {
            let has_body = !request.body().is_end_stream();
            let mut response = rules.answer(router, request, has_body, connection.peer()).await;
            if has_body || connection.is_old(&rules.limits, Instant::now()) {
                // A body is not read: what follows it would not be found.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            connection.answered(Instant::now());
            Ok(response)
        })
    }
}

impl Rules {
    pub(super) fn new(limits: Limits, web: Option<Arc<Web>>, stats: Arc<ListenerStats>) -> Self {
        Self { limits, web, stats, held: Held::new(limits.held) }
    }

    async fn answer(
        &self,
        router: Router,
        request: Request<Incoming>,
        has_body: bool,
        peer: Peer,
    ) -> Response {
        let uri = request.uri().clone();
        let response = match self.refusal(&request, has_body, peer).await {
            Some(refusal) => refusal,
            None => {
                let Ok(response) = router.oneshot(request.map(Body::new)).await;
                response
            }
        };
        let held = self.held.hold(response, peer).await;
        let mut response = held.unwrap_or_else(|| {
            self.busy(&uri, "too much is held for clients that do not read; try again in a moment")
        });
        // With it goes the permit of what made it: it is weighed.
        response.extensions_mut().clear();
        if let Some(web) = &self.web {
            web.dress(response.headers_mut());
        }
        response
    }

    async fn refusal(&self, request: &Request<Incoming>, has_body: bool, peer: Peer) -> Option<Response> {
        if let Some(web) = &self.web {
            match web.admits(request.headers().get(header::AUTHORIZATION), peer).await {
                Verdict::Welcome => {}
                Verdict::Wrong => {
                    self.stats.refuse(Refused::Unauthorized);
                    let mut response = refuse(
                        request.uri(),
                        StatusCode::UNAUTHORIZED,
                        "unauthorized",
                        "a user and a password are needed, and these are not right",
                    );
                    let basic = HeaderValue::from_static("Basic realm=\"classifier\", charset=\"UTF-8\"");
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
                    return Some(response);
                }
                Verdict::Busy => {
                    let message = "too many passwords are being checked; try again in a moment";
                    return Some(self.busy(request.uri(), message));
                }
            }
        }
        if has_body {
            self.stats.refuse(Refused::Body);
            // What is no GET is told so further on.
            if matches!(*request.method(), Method::GET | Method::HEAD) {
                let message = "no request has a body here";
                return Some(refuse(request.uri(), StatusCode::PAYLOAD_TOO_LARGE, "body", message));
            }
        }
        None
    }

    fn busy(&self, uri: &Uri, message: &str) -> Response {
        self.stats.refuse(Refused::Busy);
        let mut response = refuse(uri, StatusCode::SERVICE_UNAVAILABLE, "busy", message);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        response
    }
}

/// JSON for programs, text for people.
fn refuse(uri: &Uri, status: StatusCode, code: &str, message: &str) -> Response {
    if uri.path().starts_with("/api/") {
        return error_response(status, code, message.to_owned(), &[]);
    }
    (status, format!("{message}\n")).into_response()
}
