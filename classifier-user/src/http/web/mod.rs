//! What a listener has besides its address ([`crate::config::web`]): TLS, passwords, headers. It can change while it
//! listens: connections that are there go on as they began, the next one gets what is new.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

mod auth;
mod tls;
mod turns;

pub(super) use self::auth::Verdict;
use self::auth::{Checker, Users};
pub use self::tls::TlsError;
use super::gate::Peer;
use crate::{
    config::{
        file::FileError,
        web::{self, ClientAuth, WebConfig},
    },
    watched::{LOOK, Watched},
};

/// A web configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No secret can be made.
    #[error("the kernel gives no random numbers")]
    Random,
    /// It would open what is closed.
    #[error(
        "{}: {what} is gone from it: what listens is not opened by a change of a file; if that is meant, start the agent \
         again",
        path.display()
    )]
    Opens {
        /// The file.
        path: PathBuf,
        /// What kept others out.
        what: &'static str,
    },
}

/// A web configuration in use.
#[derive(Debug)]
pub struct Web {
    path: PathBuf,
    live: RwLock<Arc<Live>>,
    checker: Checker,
}

/// What it says at the moment.
pub(super) struct Live {
    /// Without it, HTTP is plain.
    pub(super) tls: Option<TlsAcceptor>,
    users: Users,
    /// [`WebConfig::protects`].
    protects: bool,
    /// Whether each client needs one.
    needs_certificate: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// All that it was read from, as it was just before.
    files: Vec<(PathBuf, Watched)>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("tls", &self.tls.is_some()).field("files", &self.files).finish()
    }
}

impl Live {
    fn read(path: &Path) -> Result<Self, WebError> {
        let about_to_read = |path: &Path| (path.to_owned(), Watched::new(path));
        let mut files = vec![about_to_read(path)];
        let config = web::read(path)?;
        let protects = config.protects();
        let WebConfig { tls, users, headers } = config;
        let needs_certificate = tls.as_ref().is_some_and(|tls| tls.client_auth == ClientAuth::Required);
        let acceptor = match &tls {
            None => None,
            Some(tls) => {
                let pems = [Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()];
                files.extend(pems.into_iter().flatten().filter_map(|pem| pem.file().map(about_to_read)));
                Some(TlsAcceptor::from(Arc::new(tls::server(tls)?)))
            }
        };
        let header = |(name, value): (String, String)| {
            // The configuration was checked to have no others.
            Some((name.parse().ok()?, HeaderValue::from_str(&value).ok()?))
        };
        let headers = headers.into_iter().filter_map(header).collect();
        Ok(Self { tls: acceptor, users, protects, needs_certificate, headers, files })
    }
}

impl Web {
    /// Reads the file and all that it names.
    ///
    /// # Errors
    /// [`WebError`].
    pub fn open(path: &Path) -> Result<Arc<Self>, WebError> {
        let live = RwLock::new(Arc::new(Live::read(path)?));
        let checker = Checker::new().map_err(|_| WebError::Random)?;
        Ok(Arc::new(Self { path: path.to_owned(), live, checker }))
    }

    pub(super) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How its listener is addressed.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.live().tls.is_some() { "https" } else { "http" }
    }

    /// What becomes of a request with this header, from there.
    pub(super) async fn admits(&self, authorization: Option<&HeaderValue>, peer: Peer) -> Verdict {
        let live = self.live();
        if live.users.is_empty() {
            return Verdict::Welcome;
        }
        self.checker.check(&live.users, authorization, peer).await
    }

    /// Puts in the headers that were asked for, over those that are there.
    pub(super) fn dress(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.live().headers {
            headers.insert(name, value.clone());
        }
    }

    /// Whether it keeps anybody out, or at least from reading along.
    #[must_use]
    pub fn protects(&self) -> bool {
        self.live().protects
    }

    /// Reads all again.
    ///
    /// # Errors
    /// [`WebError`]: all stays as it was.
    fn reload(&self) -> Result<(), WebError> {
        let live = Arc::new(Live::read(&self.path)?);
        // A file that was cut short, as on a full disk, is a valid one: it must not open what is closed.
        let before = self.live();
        let opens = |what| Err(WebError::Opens { path: self.path.clone(), what });
        if before.tls.is_some() && live.tls.is_none() {
            return opens("tls_server_config");
        }
        if before.needs_certificate && !live.needs_certificate {
            return opens("client_auth_type: RequireAndVerifyClientCert");
        }
        if !before.users.is_empty() && live.users.is_empty() {
            return opens("basic_auth_users");
        }
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
        Ok(())
    }

    /// Reads all again on SIGHUP, from this call on, and with `changes` when a file is no more what was read, for ever.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn watch(self: Arc<Self>, changes: bool) -> impl Future<Output = ()> + Send {
        let hangup = signal(SignalKind::hangup());
        async move {
            if let Ok(hangup) = hangup {
                self.follow(hangup, changes).await;
            }
        }
    }

    async fn follow(self: Arc<Self>, mut hangup: Signal, changes: bool) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut files = self.live().files.clone();
        loop {
            let again = tokio::select! {
                _ = hangup.recv() => true,
                // All are looked at, whatever the first one says.
                _ = look.tick(), if changes => {
                    files.iter_mut().filter_map(|(path, watched)| watched.changed(path).then_some(())).count() > 0
                }
            };
            if !again {
                continue;
            }
            for (path, watched) in &mut files {
                watched.loading(path);
            }
            let web = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || web.reload()).await {
                Ok(Ok(())) => {
                    info!("{}: loaded again", self.path.display());
                    // It may name other files now.
                    files = self.live().files.clone();
                }
                Ok(Err(error)) => warn!("{error}; the listener goes on as it was"),
                Err(error) => warn!("{}: {error}", self.path.display()),
            }
        }
    }
}
