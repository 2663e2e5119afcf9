//! What is answered of AS paths and routes, over HTTP: API, metrics, pages.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, RwLock},
};

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::{
    config::public::PublicSettings,
    ingest::live::Attributes,
    model::{Asn, OwnerId, Owners as _},
    questions::{
        paths_tests::two_days,
        routes::{CandidateAnswer, PeerAnswer, Peers, RouteAnswer, RouteSource},
    },
    totals::{
        QueryError, View,
        testing::{self, GOOGLE, NETFLIX, NETFLIX_V6},
    },
};

/// The example's frames, with paths to all but Apple and Netflix' old network.
fn view() -> View {
    let table = testing::Table::new();
    let mut totals = testing::totals(testing::links()).with_own_ases(&[64_500]);
    let paths: [(u32, &[Asn]); 3] =
        [(NETFLIX, &[64_500, 3356, 3356, 2906]), (NETFLIX_V6, &[2906]), (GOOGLE, &[1299, 3356, 15_169])];
    for (class, path) in paths {
        let route = Attributes { path: path.into(), ..Attributes::default() };
        totals.learn([(OwnerId(class), table.owner(OwnerId(class)).asn().unwrap(), Some(&route))]);
    }
    for sweep in testing::example_sweeps(&table) {
        totals.record(&sweep, &table);
    }
    let view = View::new(totals, Arc::new(RwLock::new(table)), || testing::at(661));
    view.set_status(testing::status());
    view.set_tables(Arc::new(testing::names()), Arc::new(testing::groups()));
    view
}

/// One route, two that lost, and a peer.
struct Routes;

impl RouteSource for Routes {
    fn lookup(&self, address: IpAddr) -> Result<Option<RouteAnswer>, QueryError> {
        if address.is_ipv6() {
            return Err(QueryError::Busy("the agent is busy with its table"));
        }
        let best = CandidateAnswer {
            source: "border".to_owned(),
            kind: "bgp".to_owned(),
            best: true,
            origins: vec![2906, 40_027],
            path: Some(vec![64_500, 3356]),
            path_set: vec![2906, 40_027],
            age_seconds: Some(7),
            stale: true,
            ..CandidateAnswer::default()
        };
        let lost = CandidateAnswer { lost_by: Some("source".to_owned()), ..CandidateAnswer::default() };
        Ok((address != IpAddr::from([192, 0, 2, 1])).then(|| RouteAnswer {
            prefix: "45.57.0.0/17".to_owned(),
            origins: best.origins.clone(),
            path: best.path.clone(),
            candidates: vec![best, lost],
        }))
    }

    fn peers(&self) -> Peers {
        let peer = PeerAnswer { name: "border".to_owned(), up: true, ..PeerAnswer::default() };
        Peers { peers: vec![peer], ipv4_prefixes: 5, ipv6_prefixes: 2, attributes: 3 }
    }
}

fn questions() -> Questions {
    Questions::new(view(), None).with_routes(Arc::new(Routes)).with_ases(&[64_500], &[])
}

async fn get(router: Router, path: &str) -> (u16, String) {
    let request = Request::builder().uri(path).body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn json_of(questions: Questions, path: &str) -> (u16, Value) {
    let (status, body) = get(router(questions), path).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")))
}

#[tokio::test]
async fn neighbors_and_transit_in_the_api() {
    let (status, top) = json_of(questions(), "/api/v1/top?by=neighbor&direction=in&last=1h").await;
    assert_eq!(status, 200, "{top}");
    let inside = &top["directions"]["in"];
    let rows: Vec<_> = inside["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["asn"].clone(), row["bytes"].clone()))
        .collect();
    // Twelve sweeps, see the example's numbers.
    let expected = [(3356, 540_000), (1299, 300_000), (2906, 180_000)];
    assert_eq!(rows, expected.map(|(asn, bytes)| (json!(asn), json!(bytes))));
    assert_eq!(inside["no_path"]["bytes"], 1_060_000);
    let (status, as_3356) = json_of(questions(), "/api/v1/as/3356?direction=in").await;
    assert_eq!(status, 200, "{as_3356}");
    let inside = &as_3356["directions"]["in"];
    assert_eq!((&inside["carried"]["bytes"], &inside["since_start"]["bytes"]), (&json!(840_000), &json!(0)));
    assert_eq!(inside["behind"][0]["asn"], 2906);
    assert_eq!(inside["behind"][1]["part"], json!(0.357_142_857));
    let (_, group) = json_of(questions(), "/api/v1/group/netflix?direction=in").await;
    let neighbors = group["directions"]["in"]["neighbors"].as_array().unwrap();
    let neighbors: Vec<_> = neighbors.iter().map(|row| (row["asn"].clone(), row["bytes"].clone())).collect();
    let expected = [(json!(3356), 540_000), (json!(2906), 180_000), (Value::Null, 60_000)];
    assert_eq!(neighbors, expected.map(|(asn, bytes)| (asn, json!(bytes))));
    let (_, neighbor) = json_of(questions(), "/api/v1/neighbor/1299?direction=in&last=1h").await;
    assert_eq!((&neighbor["by"], &neighbor["subject"]["asn"]), (&json!("neighbor"), &json!(1299)));
    assert_eq!(neighbor["directions"]["in"]["bytes"], 300_000);
    let (_, course) = json_of(questions(), "/api/v1/series?neighbor=1299&by=link&direction=in&last=1h").await;
    assert_eq!(course["total"]["in"]["bytes"], 300_000);
    let (_, course) = json_of(questions(), "/api/v1/series?by=neighbor&n=1&direction=in&last=1h").await;
    let layers: Vec<_> = course["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["directions"]["in"]["bytes"].clone())
        .collect();
    // By neighbour, the others, unmatched, not IP.
    assert_eq!(layers, [540_000, 1_540_000, 30_000, 720].map(|bytes| json!(bytes)));
    let (status, error) = json_of(questions(), "/api/v1/top?by=transit&side=local").await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("bad_parameter")));
}

#[tokio::test]
async fn routes_in_the_api() {
    let (status, found) = json_of(questions(), "/api/v1/lookup/45.57.0.1").await;
    assert_eq!(status, 200, "{found}");
    assert_eq!((&found["asn"], &found["name"]), (&json!(2906), &json!("Netflix Streaming Services")));
    assert_eq!((&found["path"], &found["neighbor"]), (&json!([64_500, 3356]), &json!(3356)));
    assert_eq!((&found["source"], &found["stale"]), (&json!("border"), &json!(true)));
    assert_eq!(found["candidates"].as_array().unwrap().len(), 2);
    let (status, none) = json_of(questions(), "/api/v1/lookup/192.0.2.1").await;
    assert_eq!((status, &none["prefix"], &none["candidates"]), (200, &Value::Null, &json!([])));
    for (path, expected, code) in [
        ("/api/v1/lookup/45.57.0.0%2F17", 400, "bad_parameter"),
        ("/api/v1/lookup/45.57.0.1?last=1h", 400, "bad_parameter"),
        ("/api/v1/lookup/2001:db8::1", 503, "busy"),
        ("/api/v1/report/peering", 400, "not_kept"),
        ("/api/v1/neighbor/nobody", 404, "not_found"),
    ] {
        let (status, error) = json_of(questions(), path).await;
        assert_eq!((status, &error["error"]["code"]), (expected, &json!(code)), "{path}: {error}");
    }
    let (_, routes) = json_of(questions(), "/api/v1/routes").await;
    assert_eq!((&routes["live"]["ways"], &routes["live"]["attributes"]), (&json!(3), &json!(3)));
    assert_eq!(
        (&routes["peers"][0]["name"], &routes["sources"][1]["name"]),
        (&json!("border"), &json!("builtin"))
    );
    let (status, error) = json_of(Questions::new(view(), None), "/api/v1/routes").await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("not_kept")));
}

#[tokio::test]
async fn metrics_by_neighbor_add_up() {
    let (_, text) = get(router(questions()), "/metrics").await;
    let sum = |name: &str, place: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(place));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    for place in [r#"link="transit""#, r#"link="ix""#, r#"link="customers""#] {
        let all = sum("classifier_link_bytes_total{", place);
        assert!(all > 0);
        assert_eq!(sum("classifier_neighbor_bytes_total{", place), all, "{place}");
    }
    assert!(text.contains(r#"classifier_neighbor_info{asn="2906",name="Netflix Streaming Services"} 1"#));
    let (_, without) = get(router(Questions::new(testing::example(), None)), "/metrics").await;
    assert!(!without.contains("classifier_neighbor"));
}

#[tokio::test]
async fn pages_of_neighbors_are_the_operators() {
    let (status, home) = get(router(questions()), "/?last=1h").await;
    assert_eq!(status, 200);
    assert!(home.contains(r#"href="/neighbor/3356?last=1h""#) && home.contains("path unknown"), "{home}");
    let (status, page) = get(router(questions()), "/neighbor/3356?last=1h").await;
    assert!(status == 200 && page.contains("Traffic by way of AS3356"), "{page}");
    let (status, csv) = get(router(questions()), "/top/neighbor.csv?last=1h").await;
    assert!(status == 200 && csv.contains("3356"), "{csv}");
    let (_, home) = get(router(Questions::new(testing::example(), None)), "/").await;
    assert!(!home.contains("Neighbours"), "where none are known");
    let listen = Some("[::1]:80".parse().unwrap());
    let plan = PublicSettings { listen, ..PublicSettings::default() }.plan("r1", &[]).unwrap().unwrap();
    let public = |path: &'static str| get(public::router(&plan, questions()), path);
    let (status, home) = public("/?last=1h").await;
    assert!(status == 200 && !home.contains("eighbo"), "{home}");
    for path in ["/neighbor/3356?last=1h", "/top/neighbor.json?last=1h", "/series/neighbor/3356.csv?last=1h"]
    {
        assert_eq!(public(path).await.0, 404, "{path}");
    }
}

/// Every field of what is answered of paths and routes is in docs/api.md.
#[tokio::test]
async fn every_field_is_described() {
    fn fields(value: &Value, names: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    names.insert(name.clone());
                    fields(value, names);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| fields(item, names)),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    for path in [
        "/api/v1/as/3356",
        "/api/v1/as/2906",
        "/api/v1/top?by=transit",
        "/api/v1/lookup/45.57.0.1",
        "/api/v1/routes",
    ] {
        fields(&json_of(questions(), path).await.1, &mut names);
    }
    let past = crate::questions::paths_tests::of(two_days());
    let peering = past.peering(&crate::questions::PeeringQuery::default()).unwrap();
    fields(&serde_json::to_value(peering).unwrap(), &mut names);
    let page = include_str!("../../../docs/api.md");
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/api.md lacks {missing:?}");
    assert!(names.contains("freed_bits_per_second") && names.contains("path_set"), "{names:?}");
}
