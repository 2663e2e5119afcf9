//! Passwords (RFC 7617). A bcrypt hash is slow to check by its nature: so what was found right is remembered, and the
//! rest is checked one at a time, off the runtime, and with a pause after each wrong one. Whoever tries passwords uses a
//! fifth of a CPU; keeps nobody out whose password is known to be right; and the others, from elsewhere, waiting for what
//! one address may have checked at a time.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::HeaderValue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{hmac, rand::SystemRandom};
use tokio::sync::Semaphore;

use super::super::gate::Peer;
use crate::config::web::PasswordHash;

/// Requests from an address that wait for a check, at most; and those from this machine, which may be a proxy's.
const WAITING: usize = 2;
const WAITING_HERE: usize = 16;
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
    /// Those that wait, by where they are from.
    waiting: Mutex<HashMap<Peer, usize>>,
}

/// A place among those that wait.
struct Waiting<'a> {
    checker: &'a Checker,
    peer: Peer,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.checker.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.peer);
            }
        }
    }
}

impl Checker {
    /// # Errors
    /// The kernel gives no random numbers.
    pub(super) fn new() -> Result<Self, ring::error::Unspecified> {
        Ok(Self {
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?,
            right: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            waiting: Mutex::default(),
        })
    }

    /// A place, if one from there may wait.
    fn wait(&self, peer: Peer) -> Option<Waiting<'_>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.entry(peer).or_default();
        let most = if peer.is_some() { WAITING } else { WAITING_HERE };
        (*count < most).then(|| {
            *count += 1;
            Waiting { checker: self, peer }
        })
    }

    pub(super) async fn check(&self, users: &Users, header: Option<&HeaderValue>, peer: Peer) -> Verdict {
        let Some((user, password)) = header.and_then(credentials) else { return Verdict::Wrong };
        // For a name that is none, the dearest hash is computed all the same: where all cost the same, the time does not tell
        // which names are.
        let known = users.get(&user);
        let dearest = || users.values().max_by_key(|hash| cost(hash));
        let Some(hash) = known.or_else(dearest).cloned() else { return Verdict::Wrong };
        let message = message(&user, &hash, &password);
        if known.is_some() && self.was_right(&user, &message) {
            return Verdict::Welcome;
        }
        let Some(_waiting) = self.wait(peer) else { return Verdict::Busy };
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
