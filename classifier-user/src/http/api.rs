//! `/api/v1/…`: the answers of [`crate::totals::answer`] and [`crate::questions::answer`] as JSON. Query parameters are the command line's options.

use axum::{
    Json, Router,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::App;
use crate::{
    questions::{About, PastQuery, PeeringQuery, Questions, ReportQuery, SeriesQuery},
    totals::{
        DetailQuery, QueryError, TopQuery,
        answer::{ErrorAnswer, ErrorBody},
        query::Pair,
    },
};

type Pairs = Result<Query<Vec<Pair>>, QueryRejection>;
type Name = Result<Path<String>, PathRejection>;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/top", get(top))
        .route("/api/v1/as/{as}", get(asn))
        // A prefix has a slash in it, as it is or as %2F.
        .route("/api/v1/prefix/{*prefix}", get(prefix))
        .route("/api/v1/group/{group}", get(group))
        .route("/api/v1/kind/{kind}", get(kind))
        .route("/api/v1/link/{link}", get(link))
        .route("/api/v1/neighbor/{as}", get(neighbor))
        .route("/api/v1/total", get(total))
        .route("/api/v1/series", get(series))
        .route("/api/v1/report", get(report))
        .route("/api/v1/report/peering", get(peering))
        .route("/api/v1/lookup/{address}", get(lookup))
        .route("/api/v1/routes", get(routes_status))
        .route("/api/v1/search", get(search))
        .route("/api/v1/links", get(links))
        .route("/api/v1/status", get(status))
}

async fn top(State(app): State<App>, pairs: Pairs) -> Response {
    answer(&app, pairs_of(pairs), |questions, pairs| {
        questions.top(&TopQuery::from_pairs(&pairs, &questions.clock())?)
    })
    .await
}

async fn asn(State(app): State<App>, name: Name, pairs: Pairs) -> Response {
    detail(&app, name, pairs, |questions, name, query| questions.asn(name, query)).await
}

async fn prefix(State(app): State<App>, name: Name, pairs: Pairs) -> Response {
    detail(&app, name, pairs, |questions, name, query| questions.prefix(name, query)).await
}

async fn group(State(app): State<App>, name: Name, pairs: Pairs) -> Response {
    detail(&app, name, pairs, |questions, name, query| questions.group(name, query)).await
}

async fn kind(State(app): State<App>, name: Name, pairs: Pairs) -> Response {
    past(&app, name, pairs, About::Kind).await
}

async fn link(State(app): State<App>, name: Name, pairs: Pairs) -> Response {
    past(&app, name, pairs, About::Link).await
}

async fn neighbor(State(app): State<App>, name: Name, pairs: Pairs) -> Response {
    let asked = name_of(name).and_then(|name| Ok((name, pairs_of(pairs)?)));
    answer(&app, asked, |questions, (name, pairs)| {
        let about = questions.neighbor(&name)?;
        questions.past(&about, &PastQuery::from_pairs(&pairs, &questions.clock())?)
    })
    .await
}

async fn total(State(app): State<App>, pairs: Pairs) -> Response {
    answer(&app, pairs_of(pairs), |questions, pairs| {
        questions.past(&About::All, &PastQuery::from_pairs(&pairs, &questions.clock())?)
    })
    .await
}

async fn series(State(app): State<App>, pairs: Pairs) -> Response {
    answer(&app, pairs_of(pairs), |questions, pairs| {
        let subject = |name: &str, text: &str| {
            Ok(match name {
                "kind" => About::Kind(text.to_owned()),
                "neighbor" => questions.neighbor(text)?,
                _ => questions.network(name, text)?.into(),
            })
        };
        questions.series(&SeriesQuery::from_pairs(&pairs, &questions.clock(), subject)?)
    })
    .await
}

async fn report(State(app): State<App>, pairs: Pairs) -> Response {
    answer(&app, pairs_of(pairs), |questions, pairs| {
        let network = |name: &str, text: &str| questions.network(name, text);
        questions.report(&ReportQuery::from_pairs(&pairs, &questions.clock(), network)?)
    })
    .await
}

async fn peering(State(app): State<App>, pairs: Pairs) -> Response {
    answer(&app, pairs_of(pairs), |questions, pairs| {
        questions.peering(&PeeringQuery::from_pairs(&pairs, &questions.clock())?)
    })
    .await
}

async fn lookup(State(app): State<App>, address: Name, pairs: Pairs) -> Response {
    let asked = no_parameters(pairs).and_then(|()| name_of(address));
    answer(&app, asked, |questions, address| questions.lookup(&address)).await
}

async fn routes_status(State(app): State<App>, pairs: Pairs) -> Response {
    answer(&app, no_parameters(pairs), |questions, ()| questions.route_sources()).await
}

async fn search(State(app): State<App>, pairs: Pairs) -> Response {
    answer(&app, pairs_of(pairs), |questions, pairs| {
        let mut text = "";
        for (name, value) in &pairs {
            match name.as_str() {
                "q" => text = value,
                _ => return Err(QueryError::UnknownParameter { name: name.clone(), known: "q" }),
            }
        }
        questions.search(text)
    })
    .await
}

async fn links(State(app): State<App>, pairs: Pairs) -> Response {
    answer(&app, no_parameters(pairs), |questions, ()| Ok(questions.view().links())).await
}

async fn status(State(app): State<App>, pairs: Pairs) -> Response {
    answer(&app, no_parameters(pairs), |questions, ()| Ok(questions.view().status())).await
}

/// What a request can have wrong.
enum Refused {
    /// It is not even text.
    Request(String),
    Query(QueryError),
}

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

fn pairs_of(pairs: Pairs) -> Result<Vec<Pair>, Refused> {
    pairs.map(|Query(pairs)| pairs).map_err(|rejection| Refused::Request(rejection.body_text()))
}

fn name_of(name: Name) -> Result<String, Refused> {
    name.map(|Path(name)| name).map_err(|rejection| Refused::Request(rejection.body_text()))
}

async fn detail<T: Serialize>(
    app: &App,
    name: Name,
    pairs: Pairs,
    ask: impl FnOnce(&Questions, &str, &DetailQuery) -> Result<T, QueryError> + Send + 'static,
) -> Response {
    let asked = name_of(name).and_then(|name| Ok((name, pairs_of(pairs)?)));
    answer(app, asked, |questions, (name, pairs)| {
        ask(questions, &name, &DetailQuery::from_pairs(&pairs, &questions.clock())?)
    })
    .await
}

async fn past(app: &App, name: Name, pairs: Pairs, about: fn(String) -> About) -> Response {
    let asked = name_of(name).and_then(|name| Ok((name, pairs_of(pairs)?)));
    answer(app, asked, move |questions, (name, pairs)| {
        questions.past(&about(name), &PastQuery::from_pairs(&pairs, &questions.clock())?)
    })
    .await
}

fn no_parameters(pairs: Pairs) -> Result<(), Refused> {
    match pairs_of(pairs)?.into_iter().next() {
        Some((name, _)) => Err(QueryError::UnknownParameter { name, known: "none here" }.into()),
        None => Ok(()),
    }
}

async fn answer<Q: Send + 'static, T: Serialize>(
    app: &App,
    query: Result<Q, Refused>,
    ask: impl FnOnce(&Questions, Q) -> Result<T, QueryError> + Send + 'static,
) -> Response {
    match query {
        Ok(query) => {
            app.make(move |questions| match ask(questions, query) {
                Ok(answer) => Json(answer).into_response(),
                Err(error) => query_error(&error),
            })
            .await
        }
        Err(Refused::Query(error)) => query_error(&error),
        Err(Refused::Request(message)) => {
            error_response(StatusCode::BAD_REQUEST, "bad_parameter", message, &[])
        }
    }
}

fn query_error(error: &QueryError) -> Response {
    let status = match error {
        QueryError::NotFound { .. } => StatusCode::NOT_FOUND,
        QueryError::Ambiguous { .. } => StatusCode::MULTIPLE_CHOICES,
        QueryError::BadParameter { .. }
        | QueryError::UnknownParameter { .. }
        | QueryError::BadPeriod(_)
        | QueryError::NotKept(_)
        | QueryError::NoPrefixes
        | QueryError::NoPaths
        | QueryError::NoTransit
        | QueryError::SideNotCounted { .. } => StatusCode::BAD_REQUEST,
        QueryError::Unreadable(_) | QueryError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    error_response(status, error.code(), error.to_string(), error.near())
}

pub(super) fn error_response(status: StatusCode, code: &str, message: String, near: &[String]) -> Response {
    let error = ErrorBody { code: code.to_owned(), message, near: near.to_vec() };
    (status, Json(ErrorAnswer { error })).into_response()
}

pub(super) async fn no_such_path(uri: Uri) -> Response {
    let paths = "/, /healthz, /metrics, and under /api/v1: top, as/N, prefix/P, group/G, kind/K, link/L, \
                 neighbor/N, total, series, report, report/peering, lookup/A, routes, search, links, status";
    let message = format!("there is nothing at {}; there is {paths}", uri.path());
    error_response(StatusCode::NOT_FOUND, "not_found", message, &[])
}

pub(super) async fn only_get() -> Response {
    let message = "nothing can be changed over HTTP; use GET".to_owned();
    error_response(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message, &[])
}
