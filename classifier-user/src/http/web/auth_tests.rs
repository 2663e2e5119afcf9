use super::{
    super::turns::{WAITING, WAITING_HERE},
    *,
};
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
        assert_eq!(
            checker.check(&users, Some(&header(user, password)), None).await,
            verdict,
            "{user}:{password}"
        );
    }
    for text in ["", "Basic", "Basic ", "Basic !", "Bearer abc", "Basic YWxpY2U="] {
        let header = HeaderValue::from_str(text).unwrap();
        assert_eq!(checker.check(&users, Some(&header), None).await, Verdict::Wrong, "{text}");
    }
    assert_eq!(checker.check(&users, None, None).await, Verdict::Wrong);
    let lower =
        HeaderValue::from_str(&header("alice", "wonderland").to_str().unwrap().replace("Basic", "basic"));
    assert_eq!(checker.check(&users, Some(&lower.unwrap()), None).await, Verdict::Welcome);
}

#[tokio::test]
async fn what_was_right_is_not_checked_again_until_the_hash_changes() {
    let (users, checker) = (hashed(4), Checker::new().unwrap());
    let alice = header("alice", "wonderland");
    assert_eq!(checker.check(&users, Some(&alice), None).await, Verdict::Welcome);
    // Nobody has a turn any more: only what is remembered is welcome.
    let turn = checker.turns.take(None).await.unwrap();
    let places: Vec<_> = (1..WAITING_HERE).map(|_| checker.turns.enter(None).unwrap()).collect();
    assert_eq!(checker.check(&users, Some(&alice), None).await, Verdict::Welcome);
    assert_eq!(checker.check(&users, Some(&header("alice", "other")), None).await, Verdict::Busy);
    assert_eq!(checker.check(&users, Some(&header("bob", "päss:word")), None).await, Verdict::Busy);
    // The same password under a new hash is checked again.
    assert_eq!(checker.check(&hashed(4), Some(&alice), None).await, Verdict::Busy);
    drop((turn, places));
    assert_eq!(checker.check(&users, Some(&header("bob", "päss:word")), None).await, Verdict::Welcome);
}

#[tokio::test]
async fn what_was_right_is_remembered_for_who_did_not_wait() {
    let (users, checker) = (Arc::new(hashed(8)), Arc::new(Checker::new().unwrap()));
    let alice = header("alice", "wonderland");
    let asked = {
        let (users, checker, alice) = (Arc::clone(&users), Arc::clone(&checker), alice.clone());
        tokio::spawn(async move { checker.check(&users, Some(&alice), None).await })
    };
    tokio::task::yield_now().await;
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    // The next turn comes when it is checked.
    let turn = checker.turns.take(None).await.unwrap();
    assert_eq!(checker.check(&users, Some(&alice), None).await, Verdict::Welcome);
    drop(turn);
}

#[tokio::test]
async fn whoever_tries_passwords_does_not_keep_others_out() {
    let (users, checker) = (hashed(8), Arc::new(Checker::new().unwrap()));
    let users = Arc::new(users);
    let [one, other]: [Peer; 2] = ["192.0.2.1", "192.0.2.2"].map(|address| Some(address.parse().unwrap()));
    let wrong = |number: usize| {
        let (users, checker) = (Arc::clone(&users), Arc::clone(&checker));
        tokio::spawn(
            async move { checker.check(&users, Some(&header("alice", &number.to_string())), one).await },
        )
    };
    let tried: Vec<_> = (0..20).map(wrong).collect();
    tokio::task::yield_now().await;
    // It waits for the first of those, and no longer.
    assert_eq!(checker.check(&users, Some(&header("bob", "päss:word")), other).await, Verdict::Welcome);
    let mut busy = 0;
    for tried in tried {
        match tried.await.unwrap() {
            Verdict::Busy => busy += 1,
            verdict => assert_eq!(verdict, Verdict::Wrong),
        }
    }
    assert_eq!(busy, 20 - WAITING);
}
