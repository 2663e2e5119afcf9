//! Connections: how many, how long, and their end.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

/// The longest request head.
pub(super) const HEAD_BYTES: usize = 16 << 10;
/// For connections to end once they are told to.
const GRACE: Duration = Duration::from_secs(2);

/// What a listener allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections served at a time; others wait in the listener's queue.
    pub(super) connections: usize,
    /// For a request's whole head, and between two requests on a connection.
    pub(super) head: Duration,
    /// A connection that is older ends with its next answer, or two seconds later without it.
    pub(super) lifetime: Option<Duration>,
}

/// Serves until `shutdown` is done; answers that are under way then have two seconds.
///
/// # Errors
/// None today: a connection that fails ends alone, and an accept that fails is tried again.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections));
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
                    connection(stream, router, limits, closed).await;
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
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?.0, place))
}

async fn connection(stream: TcpStream, router: Router, limits: Limits, mut closed: watch::Receiver<()>) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let old = async {
        match limits.lifetime {
            Some(lifetime) => tokio::time::sleep(lifetime).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = old => {
            connection.as_mut().graceful_shutdown();
            // Whoever reads slower than this has had a minute.
            tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
