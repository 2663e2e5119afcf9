//! The public's listener, whole.

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use tower::ServiceExt as _;

use super::*;
use crate::{
    config::public::{PagePeriod, Rules},
    http::page::world,
    questions::words::Lang,
    totals::By,
};

fn plan() -> PublicPlan {
    PublicPlan {
        listen: "127.0.0.1:0".parse().unwrap(),
        web_config: None,
        title: "Example Net".to_owned(),
        contact: None,
        lang: Lang::En,
        by: vec![By::Group, By::As],
        periods: PagePeriod::ALL.to_vec(),
        rules: Rules::default(),
        cache: Duration::from_secs(3600),
    }
}

fn public() -> Public {
    Public::new(&plan(), world::questions(1), Arc::default())
}

async fn ask(public: &Public, method: &str, path: &str) -> (u16, HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let router = Router::new().fallback(any).with_state(public.clone());
    let response = router.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (head.status.as_u16(), head.headers, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn only_pages_and_only_to_read() {
    let public = public();
    for path in ["/metrics", "/healthz", "/api/v1/top", "/api/v1/status", "/api/v1/links", "/favicon.ico"] {
        let (status, _, body) = ask(&public, "GET", path).await;
        assert_eq!(status, 404, "{path}");
        assert!(body.starts_with("<!DOCTYPE html>"), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let (status, headers, _) = ask(&public, method, "/").await;
        assert_eq!((status, headers[header::ALLOW].as_bytes()), (405, &b"GET, HEAD"[..]));
    }
    let (status, headers, body) = ask(&public, "GET", "/").await;
    assert_eq!(status, 200);
    assert!(body.contains("Example Net") && !body.contains("border1") && !body.contains("/metrics"));
    assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'"));
}

#[tokio::test]
async fn answers_are_kept_and_shared() {
    let public = public();
    let (_, headers, first) = ask(&public, "GET", "/").await;
    let keep = headers[header::CACHE_CONTROL].to_str().unwrap();
    let seconds: u64 = keep.strip_prefix("public, max-age=").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    world::next_sweep(public.site.questions().view());
    assert_eq!(ask(&public, "GET", "/?fbclid=whatever").await.2, first);
    assert_ne!(ask(&public, "GET", "/?lang=fr").await.2, first);
    assert_eq!(public.lock().answers.len(), 2);
    // What has its content in its name is kept for ever, what is wrong not at all.
    let style = first.split("stylesheet\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let (_, headers, _) = ask(&public, "GET", style).await;
    assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    let (status, headers, _) = ask(&public, "GET", "/as/64999").await;
    assert_eq!((status, headers[header::CACHE_CONTROL].as_bytes()), (404, &b"no-store"[..]));
}

#[tokio::test]
async fn many_who_ask_the_same_wait_for_one_answer() {
    let public = public();
    let turns = Arc::clone(&public.answers).acquire_many_owned(ANSWERS as u32).await.unwrap();
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let public = public.clone();
            tokio::spawn(async move { ask(&public, "GET", "/").await })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(turns);
    for asked in asking {
        assert_eq!(asked.await.unwrap().0, 200);
    }
    assert_eq!(public.lock().answers.len(), 1);
}

#[tokio::test]
async fn too_much_at_a_time_is_refused() {
    let public = Public { patience: Duration::ZERO, ..public() };
    let turns = Arc::clone(&public.answers).acquire_many_owned(ANSWERS as u32).await.unwrap();
    let (status, headers, body) = ask(&public, "GET", "/?lang=fr").await;
    assert_eq!((status, headers[header::RETRY_AFTER].as_bytes()), (503, &b"5"[..]));
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    assert!(body.contains("Trop de monde"));
    drop(turns);
    assert_eq!(ask(&public, "GET", "/?lang=fr").await.0, 200);
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let public = public();
    let question = |number: usize| {
        let uri = format!("/as/{}", number + 1).parse().unwrap();
        page::read(&public.site, &uri, &HeaderMap::new()).unwrap()
    };
    let hour = Duration::from_secs(3600);
    let mut kept = Kept::default();
    for number in 0..KEPT + 20 {
        kept.place(&question(number), hour);
        kept.weigh(&question(number), 1000);
    }
    assert_eq!((kept.answers.len(), kept.bytes.len()), (KEPT, KEPT));
    // The oldest went; the last one is there.
    assert!(!kept.answers.contains_key(&question(19)) && kept.answers.contains_key(&question(KEPT + 19)));
    // Few large ones are as much.
    for number in 0..40 {
        kept.place(&question(number), hour);
        kept.weigh(&question(number), 1 << 20);
    }
    kept.place(&question(40), hour);
    assert!(kept.bytes.values().sum::<usize>() <= KEPT_BYTES);
    // What anyone can word in a new way is not kept at all.
    assert_eq!(ask(&public, "GET", "/search?q=net").await.0, 200);
    assert!(public.lock().answers.is_empty());
}
