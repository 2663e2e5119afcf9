//! Passwords (RFC 7617). A bcrypt hash is slow to check by its nature: so what was found right is remembered, and the
//! rest is checked one at a time, off the runtime, and with a pause after each wrong one. Whoever tries passwords uses a
//! fifth of a CPU, and does not keep those out whose password is known to be right.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::HeaderValue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{hmac, rand::SystemRandom};
use tokio::sync::Semaphore;

use crate::config::web::PasswordHash;

/// Requests that wait for a check, at most.
const WAITING: usize = 16;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a wrong password nothing is checked for so many times as long as the check took.
const PAUSE: u32 = 4;

/// Users and their passwords' hashes.
pub(super) type Users = BTreeMap<String, PasswordHash>;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Verdict {
    /// Answer it.
    Welcome,
    /// No password, or a wrong one.
    Wrong,
    /// Too many are being checked.
    Busy,
}

/// Checks passwords, and remembers which were right.
#[derive(Debug)]
pub(super) struct Checker {
    key: hmac::Key,
    /// Of each user the tag of the last right password under its hash: a changed hash has none.
    right: Mutex<HashMap<String, hmac::Tag>>,
    turn: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Checker {
    /// # Errors
    /// The kernel gives no random numbers.
    pub(super) fn new() -> Result<Self, ring::error::Unspecified> {
        Ok(Self {
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?,
            right: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            waiting: Semaphore::new(WAITING),
        })
    }

    pub(super) async fn check(&self, users: &Users, header: Option<&HeaderValue>) -> Verdict {
        let Some((user, password)) = header.and_then(credentials) else { return Verdict::Wrong };
        // For a name that is none, the dearest hash is computed all the same: the time does not tell which names are.
        let known = users.get(&user);
        let dearest = || users.values().max_by_key(|hash| cost(hash));
        let Some(hash) = known.or_else(dearest).cloned() else { return Verdict::Wrong };
        let message = message(&user, &hash, &password);
        if known.is_some() && self.was_right(&user, &message) {
            return Verdict::Welcome;
        }
        let Ok(_waiting) = self.waiting.try_acquire() else { return Verdict::Busy };
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turn).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Verdict::Busy };
        // Somebody else may have had it checked meanwhile.
        if known.is_some() && self.was_right(&user, &message) {
            return Verdict::Welcome;
        }
        let since = Instant::now();
        let checked = tokio::task::spawn_blocking(move || {
            // The turn ends with the work, even where whoever asked is gone.
            (bcrypt::verify(password, hash.as_str()).unwrap_or(false), turn)
        });
        let Ok((right, turn)) = checked.await else { return Verdict::Wrong };
        if right && known.is_some() {
            let tag = hmac::sign(&self.key, &message);
            self.right.lock().unwrap_or_else(PoisonError::into_inner).insert(user, tag);
            return Verdict::Welcome;
        }
        let pause = since.elapsed() * PAUSE;
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            drop(turn);
        });
        Verdict::Wrong
    }

    /// Compares in a time that does not depend on what is compared.
    fn was_right(&self, user: &str, message: &[u8]) -> bool {
        let tag = self.right.lock().unwrap_or_else(PoisonError::into_inner).get(user).copied();
        tag.is_some_and(|tag| hmac::verify(&self.key, message, tag.as_ref()).is_ok())
    }
}

fn cost(hash: &PasswordHash) -> u32 {
    hash.as_str().parse::<bcrypt::HashParts>().map_or(0, |parts| parts.get_cost())
}

/// The parts, none of which can pass for another.
fn message(user: &str, hash: &PasswordHash, password: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for part in [user.as_bytes(), hash.as_str().as_bytes(), password] {
        message.extend_from_slice(&part.len().to_le_bytes());
        message.extend_from_slice(part);
    }
    message
}

/// User and password of an `Authorization` header.
fn credentials(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, rest) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim()).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let (user, password) = decoded.split_at(colon);
    Some((String::from_utf8(user.to_vec()).ok()?, password.get(1..)?.to_vec()))
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
