//! Requests and their answers, whole.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::TcpStream as Client,
    process::{Command, Stdio},
};

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use super::*;
use crate::totals::{
    TopQuery,
    answer::{SessionStatus, Strangers, TopAnswer},
    testing,
};

/// The example's view, without a past.
pub(super) fn questions() -> Questions {
    Questions::new(testing::example(), None)
}

async fn request(method: &str, path: &str) -> (StatusCode, HeaderValue, String) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let response = router(questions()).oneshot(request).await.unwrap();
    let kind = response.headers()[header::CONTENT_TYPE].clone();
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

async fn json_of(path: &str) -> (u16, Value) {
    let (status, kind, body) = request("GET", path).await;
    assert_eq!(kind, "application/json", "{path}: {body}");
    (status.as_u16(), serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn parameters_are_those_of_the_command_line() {
    let (status, top) =
        json_of("/api/v1/top?by=prefix&direction=in&side=remote&link=transit&link=ix&last=1h&n=1").await;
    assert_eq!(status, 200);
    let rows = &top["directions"]["in"]["rows"];
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!((&rows[0]["prefix"], &rows[0]["bytes"]), (&json!("17.0.0.0/8"), &json!(1_000_000)));
    assert_eq!(top["directions"].get("out"), None);
}

#[tokio::test]
async fn answers_are_read_back_by_the_types() {
    let (_, _, body) = request("GET", "/api/v1/top").await;
    let answer: TopAnswer = serde_json::from_str(&body).unwrap();
    assert_eq!(answer, testing::example().top(&TopQuery::default()).unwrap());
    assert_eq!(serde_json::to_string(&answer).unwrap(), body);
}

#[tokio::test]
async fn every_path_answers() {
    for (path, key, value) in [
        ("/api/v1/as/2906", "asn", json!(2906)),
        ("/api/v1/as/AS2906?direction=in", "asn", json!(2906)),
        ("/api/v1/as/streaming%20services", "asn", json!(2906)),
        ("/api/v1/prefix/45.57.8.0/24", "asn", json!(40_027)),
        ("/api/v1/prefix/45.57.8.0%2F24?n=1", "prefix", json!("45.57.8.0/24")),
        ("/api/v1/prefix/2a00:86c0::/32", "routes", json!(1)),
        ("/api/v1/group/netflix", "asns", json!([2906, 40_027])),
        ("/api/v1/links", "router", json!("border1")),
        ("/api/v1/status", "closure_ok", json!(true)),
    ] {
        let (status, answer) = json_of(path).await;
        assert_eq!((status, &answer[key]), (200, &value), "{path}");
    }
    let (status, _, body) = request("GET", "/healthz").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "ok\n"));
}

#[tokio::test]
async fn errors_are_json_with_a_code() {
    for (path, status, code, near) in [
        ("/api/v1/as/64999", 404, "not_found", json!(null)),
        ("/api/v1/as/gogle", 404, "not_found", json!(["AS15169 Google LLC", "AS65551 Google Nowhere"])),
        ("/api/v1/as/google", 300, "ambiguous", json!(["AS15169 Google LLC", "AS65551 Google Nowhere"])),
        ("/api/v1/as/0", 400, "bad_parameter", json!(null)),
        ("/api/v1/prefix/8.8.8.8/32", 404, "not_found", json!(["8.8.8.0/24"])),
        ("/api/v1/prefix/8.8.8.8", 404, "not_found", json!(["8.8.8.0/24"])),
        ("/api/v1/prefix/8.8.8.8/24", 400, "bad_parameter", json!(null)),
        ("/api/v1/group/gogle", 404, "not_found", json!(["google"])),
        ("/api/v1/top?link=nowhere", 404, "not_found", json!(["transit", "ix", "customers"])),
        ("/api/v1/top?n=100001", 400, "bad_parameter", json!(null)),
        ("/api/v1/top?limit=5", 400, "bad_parameter", json!(null)),
        ("/api/v1/top?by=%ff", 400, "bad_parameter", json!(null)),
        ("/api/v1/as/%ff", 400, "bad_parameter", json!(null)),
        ("/api/v1/status?by=as", 400, "bad_parameter", json!(null)),
        ("/api/v1/as/", 404, "not_found", json!(null)),
        ("/api/v2/top", 404, "not_found", json!(null)),
    ] {
        let (got, answer) = json_of(path).await;
        assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{path}: {answer}");
        assert_eq!(answer["error"].get("near").unwrap_or(&json!(null)), &near, "{path}");
        assert!(answer["error"]["message"].as_str().unwrap().len() > 10);
    }
    let (status, _, body) = request("POST", "/api/v1/top").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(body.contains("\"method_not_allowed\""), "{body}");
}

/// Samples by name and labels.
fn samples(text: &str) -> HashMap<&str, f64> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(series, value)| (series, value.parse().unwrap()))
        .collect()
}

/// Each kind of session has what it has, and no series of what it has not.
#[tokio::test]
async fn sessions_are_in_the_metrics() {
    let session = |name: &str, kind: &str, more: Value| -> SessionStatus {
        let mut all = json!({
            "name": name, "kind": kind, "address": "192.0.2.1", "state": "idle", "up": false,
            "since": "2026-01-01T00:00:00Z", "peers": null, "ipv4_routes": 1, "ipv6_routes": 2, "messages": 3,
            "announced": 4, "withdrawn": 5, "losses": 6, "malformed": 7, "ignored": 8, "last_error": null,
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    };
    let bgp = json!({
        "updates": 9, "connect_failures": 10, "notifications_sent": 11, "notifications_received": 12
    });
    let sessions =
        vec![session("a", "bgp", bgp), session("b", "bmp", json!({ "updates": 13, "refused": 14 }))];
    let view = testing::example();
    view.set_sessions(Arc::new(move || (sessions.clone(), Strangers { bgp: 15, bmp: 16, md5: 17 })));
    let request = Request::builder().uri("/metrics").body(Body::empty()).unwrap();
    let response = router(Questions::new(view, None)).oneshot(request).await.unwrap();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| {
            ["classifier_session_", "classifier_strangers_", "classifier_tcp_"]
                .iter()
                .any(|its| line.starts_with(its))
        })
        .collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    classifier_session_announced_total{session="a",kind="bgp"} 4
    classifier_session_announced_total{session="b",kind="bmp"} 4
    classifier_session_connect_failures_total{session="a",kind="bgp"} 10
    classifier_session_ignored_total{session="a",kind="bgp"} 8
    classifier_session_ignored_total{session="b",kind="bmp"} 8
    classifier_session_losses_total{session="a",kind="bgp"} 6
    classifier_session_losses_total{session="b",kind="bmp"} 6
    classifier_session_malformed_total{session="a",kind="bgp"} 7
    classifier_session_malformed_total{session="b",kind="bmp"} 7
    classifier_session_messages_total{session="a",kind="bgp"} 3
    classifier_session_messages_total{session="b",kind="bmp"} 3
    classifier_session_notifications_received_total{session="a",kind="bgp"} 12
    classifier_session_notifications_sent_total{session="a",kind="bgp"} 11
    classifier_session_refused_total{session="b",kind="bmp"} 14
    classifier_session_routes{session="a",kind="bgp",family="ipv4"} 1
    classifier_session_routes{session="a",kind="bgp",family="ipv6"} 2
    classifier_session_routes{session="b",kind="bmp",family="ipv4"} 1
    classifier_session_routes{session="b",kind="bmp",family="ipv6"} 2
    classifier_session_updates_total{session="a",kind="bgp"} 9
    classifier_session_updates_total{session="b",kind="bmp"} 13
    classifier_session_up{session="a",kind="bgp"} 0
    classifier_session_up{session="b",kind="bmp"} 0
    classifier_session_withdrawn_total{session="a",kind="bgp"} 5
    classifier_session_withdrawn_total{session="b",kind="bmp"} 5
    classifier_strangers_total{kind="bgp"} 15
    classifier_strangers_total{kind="bmp"} 16
    classifier_tcp_md5_dropped_total 17
    "#);
    assert!(text.contains("# TYPE classifier_session_refused_total counter"), "{text}");
}

#[tokio::test]
async fn metrics_have_the_names_and_exact_values() {
    let (status, kind, text) = request("GET", "/metrics").await;
    assert_eq!((status, kind.to_str().unwrap()), (StatusCode::OK, metrics::CONTENT_TYPE));
    let samples = samples(&text);
    assert_eq!(samples.len(), text.lines().filter(|line| !line.starts_with('#')).count(), "a series twice");
    for (series, value) in [
        (
            r#"classifier_link_bytes_total{link="transit",interface="if-transit",role="upstream",direction="in",outcome="ipv4"}"#,
            1_930_000.0,
        ),
        (
            r#"classifier_link_packets_total{link="ix",interface="if-ix",role="upstream",direction="in",outcome="ipv6"}"#,
            120.0,
        ),
        (
            r#"classifier_link_packets_total{link="customers",interface="if-customers",role="downstream",direction="out",outcome="non_ip"}"#,
            12.0,
        ),
        // Apple was first, so the first sweep gave it a series, which starts after it.
        (r#"classifier_as_bytes_total{asn="714",link="transit",role="upstream",direction="in"}"#, 0.0),
        // The minute after, the others had no traffic yet: they got theirs with the first of twelve sweeps.
        (r#"classifier_as_bytes_total{asn="2906",link="transit",role="upstream",direction="in"}"#, 495_000.0),
        (
            r#"classifier_as_bytes_total{asn="other",link="transit",role="upstream",direction="in"}"#,
            1_075_000.0,
        ),
        (
            r#"classifier_as_bytes_total{asn="unmatched",link="transit",role="upstream",direction="in"}"#,
            30_000.0,
        ),
        (r#"classifier_as_packets_total{asn="non_ip",link="transit",role="upstream",direction="in"}"#, 12.0),
        (r#"classifier_as_info{asn="2906",name="Netflix Streaming Services"}"#, 1.0),
        (
            r#"classifier_group_bytes_total{group="netflix",link="transit",role="upstream",direction="in"}"#,
            600_000.0,
        ),
        (
            r#"classifier_group_bytes_total{group="fastly",link="customers",role="downstream",direction="out"}"#,
            0.0,
        ),
        (r#"classifier_table_prefixes{family="ipv4"}"#, 6.0),
        ("classifier_table_age_seconds", 87_061.0),
        (r#"classifier_source_up{source="overrides.txt"}"#, 0.0),
        (r#"classifier_source_up{source="builtin"}"#, 1.0),
        (r#"classifier_coverage_ratio{link="ix",direction="in"}"#, 1.0),
        (r#"classifier_closure_ok{link="ix",hook="rx"}"#, 1.0),
        (r#"classifier_datapath_mode{link="transit",hook="tx",mode="tcx"}"#, 1.0),
        ("classifier_sweep_duration_seconds", 0.003),
        (r#"classifier_build_info{version="0.1.0"}"#, 1.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
    // Nothing came out of `ix`: there is no coverage to tell.
    assert_eq!(samples.get(r#"classifier_coverage_ratio{link="ix",direction="out"}"#), None);
    for (link, direction) in [("transit", "in"), ("transit", "out"), ("ix", "in"), ("customers", "out")] {
        let sum = |name: &str| -> f64 {
            let (link, direction) = (format!("link=\"{link}\""), format!("direction=\"{direction}\""));
            let of = |series: &&str| {
                series.starts_with(name) && series.contains(&link) && series.contains(&direction)
            };
            samples.iter().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
        };
        assert_eq!(sum("classifier_as_bytes_total{"), sum("classifier_link_bytes_total{"));
        assert_eq!(sum("classifier_as_packets_total{"), sum("classifier_link_packets_total{"));
    }
}

#[tokio::test]
async fn promtool_has_nothing_to_say() {
    let view = testing::example();
    let mut odd = testing::names();
    odd.insert(2906, "quote \" backslash \\ line\nend");
    view.set_tables(Arc::new(odd), Arc::new(testing::groups()));
    let text = metrics::render(&view.metrics(), &Stats::default());
    assert!(text.contains(r#"name="quote \" backslash \\ line\nend""#));
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is in Debian's package prometheus: cargo xtask setup installs it");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// The value of one series.
pub(super) fn metric(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[tokio::test]
async fn scrapes_are_few_at_a_time_and_wait_for_nobody() {
    let stats = Stats::default();
    let app = App {
        site: Arc::new(Site::operators(&questions())),
        questions: questions(),
        answers: Arc::new(Semaphore::new(0)),
        scrapes: Arc::new(Semaphore::new(SCRAPES)),
        stats: stats.clone(),
    };
    let ask = async |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        routed(app.clone()).oneshot(request).await.unwrap()
    };
    // All answers are under way: monitoring does not notice.
    for path in ["/metrics", "/healthz"] {
        assert_eq!(ask(path).await.status(), StatusCode::OK);
    }
    let scrapes = app.scrapes.acquire_many(SCRAPES as u32).await.unwrap();
    let response = ask("/metrics").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    drop(scrapes);
    let text = to_bytes(ask("/metrics").await.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let busy = r#"classifier_http_refused_total{listener="operator",reason="busy"}"#;
    assert_eq!(metric(&text, busy), Some(1.0));
}

#[tokio::test]
async fn serves_on_a_socket_until_told_to_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, questions(), Service::default(), async {
        let _ = ended.await;
    }));
    let client = tokio::task::spawn_blocking(move || {
        let mut stream = Client::connect(address).unwrap();
        for _ in 0..2 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\nok\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                answer.extend(byte);
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
        // A head that is too long is refused.
        let mut other = Client::connect(address).unwrap();
        other.write_all(b"GET /healthz HTTP/1.1\r\nX: ").unwrap();
        other.write_all(&[b'x'; listen::HEAD_BYTES]).unwrap();
        let mut answer = [0; 12];
        other.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");
        stream
    });
    let mut stream = client.await.unwrap();
    // The open connection ends with the server.
    end.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    assert!(Client::connect(address).is_err());
}

/// A day of slots up to 2026-01-02T00:10:00Z: Netflix 1000 in, Google 500 in and 50 out, on transit.
fn with_a_past() -> Questions {
    use crate::history::testing::{Known, slot, upstream};
    let mut known =
        Known::new(vec![upstream(0, "transit")], jiff::tz::TimeZone::get("Europe/Paris").unwrap());
    let end = 1_767_312_600 / 300;
    for number in end - 288..end {
        known.push(slot(number, &[(2906, 1000, 0), (15169, 500, 50)]));
    }
    Questions::new(testing::example(), Some(Arc::new(known)))
}

async fn past_of(path: &str) -> (u16, Value) {
    let request = Request::builder().uri(path).body(Body::empty()).unwrap();
    let response = router(with_a_past()).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn the_past_has_the_documented_shape() {
    let (_, top) = past_of("/api/v1/top?last=12h&n=1&direction=in&compare=previous").await;
    insta::assert_json_snapshot!("past_top", top);
    let (_, group) = past_of("/api/v1/group/netflix?last=24h&direction=in").await;
    insta::assert_json_snapshot!("past_group", group["past"]);
    let (_, series) = past_of("/api/v1/series?by=as&n=1&last=6h&step=1h&direction=in").await;
    insta::assert_json_snapshot!("past_series", series);
    let (_, report) =
        past_of("/api/v1/report?group=netflix&versus=google&since=2026-01-01T10:00&last=12h").await;
    insta::assert_json_snapshot!("past_report", report);
    let (_, found) = past_of("/api/v1/search?q=netflix").await;
    insta::assert_json_snapshot!("search", found);
}

#[tokio::test]
async fn every_path_of_the_past_answers() {
    for (path, pointer, value) in [
        ("/api/v1/as/2906?last=2h", "/past/directions/in/bytes", json!(24_000)),
        // What is counted now is of the last hour then.
        ("/api/v1/as/2906?last=2h", "/directions/in/prefixes/0/bytes", json!(540_000)),
        ("/api/v1/as/2906?last=1h", "/past", Value::Null),
        ("/api/v1/as/2906?from=2026-01-01&to=2026-01-01T12:00", "/past/from", json!("2025-12-31T23:00:00Z")),
        ("/api/v1/group/google?from=2026-01-01&to=2026-01-02", "/past/directions/out/rank", json!(1)),
        ("/api/v1/kind/content?last=24h", "/directions/in/bytes", json!(432_000)),
        ("/api/v1/link/transit?last=24h", "/directions/in/rank", json!(1)),
        ("/api/v1/total?last=24h&compare=previous", "/directions/in/share", json!(1.0)),
        ("/api/v1/total?last=24h", "/ases/in/0/asn", json!(2906)),
        ("/api/v1/series?as=15169&last=24h", "/total/out/bytes", json!(14_400)),
        ("/api/v1/series?as=google%20llc&last=24h", "/total/out/bytes", json!(14_400)),
        ("/api/v1/series?kind=content&by=group&last=24h", "/layers/1/subject/group", json!("google")),
        ("/api/v1/series?last=1h&by=as", "/layers/0/subject/asn", json!(714)),
        ("/api/v1/report?as=2906", "/subjects/0/rank", json!(1)),
        ("/api/v1/search?q=as15169", "/found/0/name", json!("Google LLC")),
    ] {
        let (status, answer) = past_of(path).await;
        assert_eq!(
            (status, answer.pointer(pointer).unwrap_or(&Value::Null)),
            (200, &value),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn errors_of_the_past_are_json_with_a_code() {
    for (path, status, code) in [
        ("/api/v1/top?last=5", 400, "bad_parameter"),
        ("/api/v1/top?from=7d&to=8d", 400, "bad_parameter"),
        ("/api/v1/top?from=2030-01-01", 400, "bad_parameter"),
        ("/api/v1/top?from=1d&last=1h", 400, "bad_parameter"),
        ("/api/v1/top?compare=next", 400, "bad_parameter"),
        ("/api/v1/top?last=24h&side=local", 400, "not_kept"),
        ("/api/v1/as/2906?last=24h&side=local", 400, "not_kept"),
        ("/api/v1/prefix/45.57.0.0%2F17?from=1d", 400, "not_kept"),
        ("/api/v1/as/64999?last=24h", 404, "not_found"),
        ("/api/v1/group/gogle?last=24h", 404, "not_found"),
        ("/api/v1/kind/video", 404, "not_found"),
        ("/api/v1/link/nowhere", 404, "not_found"),
        ("/api/v1/link/transit?side=local", 400, "bad_parameter"),
        ("/api/v1/series?by=asn", 400, "bad_parameter"),
        ("/api/v1/series?as=1&group=google", 400, "bad_parameter"),
        ("/api/v1/series?as=2906&by=group", 400, "bad_parameter"),
        ("/api/v1/series?step=2h", 400, "bad_parameter"),
        ("/api/v1/series?n=101", 400, "bad_parameter"),
        ("/api/v1/series?as=64999", 404, "not_found"),
        ("/api/v1/report?group=gogle", 404, "not_found"),
        ("/api/v1/report?as=64999", 404, "not_found"),
        ("/api/v1/report?versus=google,nobody", 404, "not_found"),
        ("/api/v1/report?since=2030-01-01", 400, "bad_parameter"),
        ("/api/v1/search", 400, "bad_parameter"),
        ("/api/v1/search?q=a&n=3", 400, "bad_parameter"),
    ] {
        let (got, answer) = past_of(path).await;
        assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_history_that_cannot_be_read_leaves_what_memory_knows() {
    use crate::history::{
        Extent, Kind, Links, Month, Period, Point, Read, ReadError, Step, StoredLink, StoredPrefix, Subject,
        Sums,
    };
    #[derive(Debug)]
    struct Broken;
    impl Read for Broken {
        fn extent(&self) -> Result<Extent, ReadError> {
            Err(ReadError("the disk is gone".to_owned()))
        }
        fn links(&self) -> Result<Vec<StoredLink>, ReadError> {
            Err(ReadError("the disk is gone".to_owned()))
        }
        fn sums(&self, _: Kind, _: Period, _: &Links) -> Result<Sums, ReadError> {
            Err(ReadError("the disk is gone".to_owned()))
        }
        fn series(
            &self,
            _: Kind,
            _: &[Subject],
            _: Period,
            _: &Links,
            _: Step,
        ) -> Result<Vec<Point>, ReadError> {
            Err(ReadError("the disk is gone".to_owned()))
        }
        fn months(&self, _: Kind, _: Subject) -> Result<Vec<Month>, ReadError> {
            Err(ReadError("the disk is gone".to_owned()))
        }
        fn group(&self, _: &str) -> Result<Option<Subject>, ReadError> {
            Err(ReadError("the disk is gone".to_owned()))
        }
        fn prefix(&self, _: Subject) -> Result<Option<StoredPrefix>, ReadError> {
            Err(ReadError("the disk is gone".to_owned()))
        }
    }
    for (path, status, code) in [
        ("/api/v1/top", 200, Value::Null),
        ("/api/v1/as/2906", 200, Value::Null),
        ("/api/v1/series?last=1h", 200, Value::Null),
        ("/api/v1/top?last=24h", 503, json!("unreadable")),
        ("/api/v1/report", 503, json!("unreadable")),
    ] {
        let router = router(Questions::new(testing::example(), Some(Arc::new(Broken))));
        let response =
            router.oneshot(Request::builder().uri(path).body(Body::empty()).unwrap()).await.unwrap();
        let got = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((got, &answer["error"]["code"]), (status, &code), "{path}: {answer}");
    }
}
