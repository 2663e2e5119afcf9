//! Where HTTP is served: for the operator, and for the public.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::{net::TcpListener, task::JoinHandle};
use tracing::{info, warn};

use super::AgentError;
use crate::{
    config::{RunPlan, public::PublicPlan},
    http::{self, Service, Stats, web::Web},
    questions::Questions,
};

/// An address that is ours, and what is spoken there.
pub(super) struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
    /// What says another one.
    option: &'static str,
    path: Option<PathBuf>,
    web: Option<Arc<Web>>,
}

impl Bound {
    fn new(address: SocketAddr, option: &'static str, web: Option<&PathBuf>) -> Result<Self, AgentError> {
        let error = |source| AgentError::Listen { address, option, source };
        let listener = std::net::TcpListener::bind(address).map_err(error)?;
        listener.set_nonblocking(true).map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        Ok(Self { listener, address, option, path: web.cloned(), web: None })
    }

    /// The operator's.
    pub(super) fn operator(plan: &RunPlan) -> Result<Self, AgentError> {
        Self::new(plan.listen, "--listen", plan.web_config.as_ref())
    }

    /// The public's.
    pub(super) fn public(plan: &PublicPlan) -> Result<Self, AgentError> {
        Self::new(plan.listen, "--public", plan.web_config.as_ref())
    }

    /// Reads what is spoken there, which follows its files from now on; within a runtime.
    fn read(&mut self, reload: bool) -> Result<(), AgentError> {
        self.web = self.path.as_deref().map(Web::open).transpose()?;
        if let Some(web) = &self.web {
            tokio::spawn(Arc::clone(web).watch(reload));
        }
        Ok(())
    }

    /// Its URL, its listener and the service on it.
    fn open(self, stats: &Stats) -> Result<(String, TcpListener, Service), AgentError> {
        let Self { listener, address, option, web, .. } = self;
        let scheme = web.as_ref().map_or("http", |web| web.scheme());
        let error = |source: io::Error| AgentError::Listen { address, option, source };
        let listener = TcpListener::from_std(listener).map_err(error)?;
        Ok((format!("{scheme}://{address}"), listener, Service { web, stats: stats.clone() }))
    }
}

/// Both of them, with nobody served yet.
pub(super) struct Listeners {
    operator: Bound,
    public: Option<(PublicPlan, Bound)>,
}

impl Listeners {
    /// Takes the addresses, which may need a privilege.
    pub(super) fn bind(plan: &RunPlan) -> Result<Self, AgentError> {
        let operator = Bound::operator(plan)?;
        let public = match &plan.public {
            Some(public) => Some((public.clone(), Bound::public(public)?)),
            None => None,
        };
        Ok(Self { operator, public })
    }

    /// Reads what is needed to serve there, as the user who will have to read it again, and follows it; within a runtime.
    pub(super) fn read(&mut self, reload: bool) -> Result<(), AgentError> {
        self.operator.read(reload)?;
        if let Some((_, public)) = &mut self.public {
            public.read(reload)?;
        }
        let address = self.operator.address;
        if address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        match self.operator.web.as_ref().filter(|web| web.protects()) {
            None => warn!("{address} is open: everybody who reaches it sees all of the traffic"),
            Some(web) if web.scheme() == "http" => {
                warn!("{address}: passwords go over the network as they are; tls_server_config hides them");
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Serves, the operator until `stopped` and the public for ever; within a runtime. Returns the operator's URL.
    pub(super) fn serve(
        self,
        questions: &Questions,
        stopped: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(String, JoinHandle<io::Result<()>>), AgentError> {
        let stats = Stats::default();
        if let Some((public, bound)) = self.public {
            let (url, listener, service) = bound.open(&stats)?;
            let questions = questions.clone();
            // It ends with the runtime: nobody's counts are lost with a page.
            tokio::spawn(async move {
                http::public::serve(listener, &public, questions, service, std::future::pending()).await
            });
            info!("the public's pages are on {url}");
        }
        let (url, listener, service) = self.operator.open(&stats)?;
        Ok((url, tokio::spawn(http::serve(listener, questions.clone(), service, stopped))))
    }
}
