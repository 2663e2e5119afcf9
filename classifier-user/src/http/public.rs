//! The pages for the public, on a listener of their own: nothing else is there, and only what the rules publish.
//!
//! It cannot be made to work hard: what can be asked for is bounded ([`mod@super::page`]), answers are kept for a while and
//! shared, few are made at a time, and connections are few, and short.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::{
    net::TcpListener,
    sync::{OnceCell, Semaphore},
};

use super::{
    Service,
    gate::Limits,
    listen::{self, Rules},
    page::{self, Choices, Question, Reply, Site},
    stats::{ListenerStats, Refused},
};
use crate::{config::public::PublicPlan, questions::Questions};

/// Of a public listener.
const LIMITS: Limits = Limits {
    connections: 512,
    per_address: 64,
    held: 256 << 20,
    head: Duration::from_secs(10),
    idle: Duration::from_secs(15),
    stall: Duration::from_secs(20),
    answer: Duration::from_secs(60),
    lifetime: Some(Duration::from_secs(60)),
};
/// Answers made at a time.
const ANSWERS: usize = 2;
/// How long a question waits for its turn before it is refused.
const PATIENCE: Duration = Duration::from_secs(2);
/// Answers kept. A page with its graph is some tens of kilobytes, a picture up to a few hundred.
const KEPT: usize = 400;
/// Bytes of answers kept.
const KEPT_BYTES: usize = 32 << 20;

/// Serves until `shutdown` is done; answers that are under way then have two seconds.
///
/// # Errors
/// None today: a connection that fails ends alone, and an accept that fails is tried again.
pub async fn serve(
    listener: TcpListener,
    plan: &PublicPlan,
    questions: Questions,
    service: Service,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let stats = service.stats.public;
    let rules = Rules::new(LIMITS, service.web, Arc::clone(&stats));
    listen::serve(listener, routes(plan, questions, stats), rules, shutdown).await
}

/// All there is.
pub fn router(plan: &PublicPlan, questions: Questions) -> Router {
    routes(plan, questions, Arc::default())
}

fn routes(plan: &PublicPlan, questions: Questions, stats: Arc<ListenerStats>) -> Router {
    Router::new().fallback(any).with_state(Public::new(plan, questions, stats))
}

impl Public {
    fn new(plan: &PublicPlan, questions: Questions, stats: Arc<ListenerStats>) -> Self {
        let choices = Choices { lang: plan.lang, spans: plan.periods.clone(), by: plan.by.clone() };
        let site = Site::public(
            &questions,
            plan.title.clone(),
            plan.contact.clone(),
            choices,
            plan.rules.clone(),
            plan.cache,
        );
        Self {
            site: Arc::new(site),
            answers: Arc::new(Semaphore::new(ANSWERS)),
            patience: PATIENCE,
            kept: Arc::default(),
            cache: plan.cache,
            stats,
        }
    }
}

/// What the handler has.
#[derive(Clone)]
struct Public {
    site: Arc<Site>,
    answers: Arc<Semaphore>,
    patience: Duration,
    kept: Arc<Mutex<Kept>>,
    cache: Duration,
    stats: Arc<ListenerStats>,
}

async fn any(State(public): State<Public>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    match page::read(&public.site, &uri, &headers) {
        Err(reply) => reply.response(None),
        Ok(question) => public.answer(question).await,
    }
}

impl Public {
    async fn answer(&self, question: Question) -> Response {
        if !question.is_bounded() {
            // What everybody can word otherwise would push out what many ask for.
            return match self.make(question).await {
                Ok(reply) => reply.response(Some(self.cache.as_secs())),
                Err(reply) => refusal(&reply),
            };
        }
        let cell = self.lock().place(&question, self.cache);
        let made = cell.answer.get_or_try_init(|| self.make(question.clone())).await;
        match made {
            Ok(reply) => {
                self.lock().weigh(&question, reply.size());
                // Who asks later keeps it for less long, so that all see something new at the same time.
                let left = self.cache.saturating_sub(cell.since.elapsed()).as_secs();
                reply.response(Some(left))
            }
            Err(reply) => refusal(&reply),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an answer to keep; what is no good answer is not kept.
    async fn make(&self, question: Question) -> Result<Reply, Reply> {
        let turn = tokio::time::timeout(self.patience, Arc::clone(&self.answers).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            self.stats.refuse(Refused::Busy);
            return Err(page::busy(&self.site, &question));
        };
        let site = Arc::clone(&self.site);
        let asked = question.clone();
        let made = tokio::task::spawn_blocking(move || {
            // Whoever asked may be gone: the turn ends with the work, not with them.
            let _turn = turn;
            page::answer(&site, &asked)
        });
        match made.await {
            Ok(reply) if reply.status == StatusCode::OK => Ok(reply),
            Ok(reply) => Err(reply),
            Err(error) => {
                tracing::error!(%error, "a public answer failed");
                Err(page::broken(&self.site, &question))
            }
        }
    }
}

/// What is no answer: kept by nobody.
fn refusal(reply: &Reply) -> Response {
    let mut response = reply.response(None);
    if reply.status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

/// Answers that were made a while ago, or are being made.
#[derive(Debug, Default)]
struct Kept {
    answers: HashMap<Question, Arc<Cell>>,
    bytes: HashMap<Question, usize>,
}

#[derive(Debug)]
struct Cell {
    since: Instant,
    answer: OnceCell<Reply>,
}

impl Kept {
    /// The place of an answer: whoever comes first makes it, the others wait for it.
    fn place(&mut self, question: &Question, cache: Duration) -> Arc<Cell> {
        if let Some(cell) = self.answers.get(question).filter(|cell| cell.since.elapsed() < cache) {
            return Arc::clone(cell);
        }
        self.remove(question);
        while self.answers.len() >= KEPT || self.bytes.values().sum::<usize>() > KEPT_BYTES {
            let oldest = self.answers.iter().min_by_key(|(_, cell)| cell.since);
            let Some(oldest) = oldest.map(|(question, _)| question.clone()) else { break };
            self.remove(&oldest);
        }
        let cell = Arc::new(Cell { since: Instant::now(), answer: OnceCell::new() });
        self.answers.insert(question.clone(), Arc::clone(&cell));
        cell
    }

    fn weigh(&mut self, question: &Question, bytes: usize) {
        if self.answers.contains_key(question) {
            self.bytes.insert(question.clone(), bytes);
        }
    }

    fn remove(&mut self, question: &Question) {
        self.answers.remove(question);
        self.bytes.remove(question);
    }
}

#[cfg(test)]
#[path = "public_tests.rs"]
mod tests;
