//! Passwords (RFC 7617). A bcrypt hash is slow to check by its nature: so what was found right is remembered, and the
//! rest is checked one at a time, off the runtime. Whoever tries passwords keeps nobody out whose password is known to be
//! right, and the others, from elsewhere, not waiting for long ([`Turns`]).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::HeaderValue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{hmac, rand::SystemRandom};

use super::{super::gate::Peer, turns::Turns};
use crate::config::web::PasswordHash;

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
    right: Arc<Mutex<HashMap<String, hmac::Tag>>>,
    turns: Arc<Turns>,
}

impl Checker {
    /// # Errors
    /// The kernel gives no random numbers.
    pub(super) fn new() -> Result<Self, ring::error::Unspecified> {
        Ok(Self {
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?,
            right: Arc::default(),
            turns: Arc::default(),
        })
    }

    pub(super) async fn check(&self, users: &Users, header: Option<&HeaderValue>, peer: Peer) -> Verdict {
        let Some((user, password)) = header.and_then(credentials) else { return Verdict::Wrong };
        // For a name that is none, the dearest hash is computed all the same: where all cost the same, the time does not tell
        // which names are.
        let known = users.get(&user);
        let dearest = || users.values().max_by_key(|hash| cost(hash));
        let Some(hash) = known.or_else(dearest).cloned() else { return Verdict::Wrong };
        let is_known = known.is_some();
        let message = message(&user, &hash, &password);
        if is_known && self.was_right(&user, &message) {
            return Verdict::Welcome;
        }
        let Some(turn) = self.turns.take(peer).await else { return Verdict::Busy };
        // Somebody else may have had it checked meanwhile.
        if is_known && self.was_right(&user, &message) {
            return Verdict::Welcome;
        }
        let (tag, right) = (hmac::sign(&self.key, &message), Arc::clone(&self.right));
        let check = async move {
            let verify = move || bcrypt::verify(password, hash.as_str()).unwrap_or(false);
            let is_right = tokio::task::spawn_blocking(verify).await.unwrap_or(false) && is_known;
            if is_right {
                // Also where whoever asked did not wait for it: the next time they need not.
                right.lock().unwrap_or_else(PoisonError::into_inner).insert(user, tag);
            }
            is_right
        };
        if turn.check(check).await { Verdict::Welcome } else { Verdict::Wrong }
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
