use super::*;
use crate::config::web;

/// `$2y$` is what htpasswd writes, `$2b$` the others.
fn hashed(cost: u32) -> Users {
    let hash = |password: &str| bcrypt::hash(password, cost).unwrap();
    let text = format!(
        "basic_auth_users:\n  alice: {}\n  bob: {}\n",
        hash("wonderland").replace("$2b$", "$2y$"),
        hash("päss:word")
    );
    web::parse("web.yml".as_ref(), &text).unwrap().users
}

fn header(user: &str, password: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))).unwrap()
}

#[tokio::test]
async fn right_and_wrong_passwords() {
    let (users, checker) = (hashed(4), Checker::new().unwrap());
    for (user, password, verdict) in [
        ("alice", "wonderland", Verdict::Welcome),
        ("alice", "Wonderland", Verdict::Wrong),
        ("alice", "", Verdict::Wrong),
        ("bob", "päss:word", Verdict::Welcome),
        ("bob", "wonderland", Verdict::Wrong),
        ("carol", "wonderland", Verdict::Wrong),
        ("", "", Verdict::Wrong),
        ("alice", "wonderland", Verdict::Welcome),
    ] {
        assert_eq!(checker.check(&users, Some(&header(user, password))).await, verdict, "{user}:{password}");
    }
    for text in ["", "Basic", "Basic ", "Basic !", "Bearer abc", "Basic YWxpY2U="] {
        let header = HeaderValue::from_str(text).unwrap();
        assert_eq!(checker.check(&users, Some(&header)).await, Verdict::Wrong, "{text}");
    }
    assert_eq!(checker.check(&users, None).await, Verdict::Wrong);
    let lower =
        HeaderValue::from_str(&header("alice", "wonderland").to_str().unwrap().replace("Basic", "basic"));
    assert_eq!(checker.check(&users, Some(&lower.unwrap())).await, Verdict::Welcome);
}

#[tokio::test]
async fn what_was_right_is_not_checked_again_until_the_hash_changes() {
    let (users, checker) = (hashed(4), Checker::new().unwrap());
    let alice = header("alice", "wonderland");
    assert_eq!(checker.check(&users, Some(&alice)).await, Verdict::Welcome);
    // Nobody has a turn any more: only what is remembered is welcome.
    let turn = checker.turn.acquire().await.unwrap();
    let places = checker.waiting.acquire_many(WAITING as u32).await.unwrap();
    assert_eq!(checker.check(&users, Some(&alice)).await, Verdict::Welcome);
    assert_eq!(checker.check(&users, Some(&header("alice", "other"))).await, Verdict::Busy);
    assert_eq!(checker.check(&users, Some(&header("bob", "päss:word"))).await, Verdict::Busy);
    // The same password under a new hash is checked again.
    assert_eq!(checker.check(&hashed(4), Some(&alice)).await, Verdict::Busy);
    drop((turn, places));
    assert_eq!(checker.check(&users, Some(&header("bob", "päss:word"))).await, Verdict::Welcome);
}

#[tokio::test]
async fn after_a_wrong_password_there_is_a_pause() {
    let (users, checker) = (hashed(8), Checker::new().unwrap());
    assert_eq!(checker.check(&users, Some(&header("alice", "x"))).await, Verdict::Wrong);
    assert_eq!(checker.turn.available_permits(), 0);
    // It is over by itself.
    assert_eq!(checker.check(&users, Some(&header("alice", "wonderland"))).await, Verdict::Welcome);
}
