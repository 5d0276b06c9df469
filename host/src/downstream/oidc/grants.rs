//! What has been granted and may still be used: codes, once, and access tokens.
//!
//! In memory: a restart ends what is open, which costs a relying party one more trip.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use super::sha256;
use crate::session::Expiring;

/// What one login granted to one relying party.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grant {
    /// The application's id.
    pub(crate) application: String,
    /// The relying party.
    pub(crate) client_id: String,
    /// As it was in the authorization request.
    pub(crate) redirect_uri: String,
    /// RFC 7636 `code_challenge`, method S256.
    pub(crate) challenge: Option<String>,
    /// OIDC Core §3.1.2.1.
    pub(crate) nonce: Option<String>,
    /// Granted scopes.
    pub(crate) scopes: Vec<String>,
    /// `sub` toward the relying party.
    pub(crate) subject: String,
    /// Session id, for logout.
    pub(crate) sid: String,
    /// When the subject authenticated, in seconds since 1970-01-01 UTC.
    pub(crate) auth_time: Option<u64>,
    /// How strongly.
    pub(crate) acr: Option<String>,
    /// By which methods.
    pub(crate) amr: Vec<String>,
    /// The claims that the scopes cover.
    pub(crate) claims: Map<String, Value>,
}

/// What a code or a token stands for at the moment.
#[derive(Clone, Debug)]
enum Entry {
    /// Not yet redeemed.
    Code(Box<Grant>),
    /// Redeemed for this access token.
    Spent { jti: String },
    /// An access token.
    Access(Box<Grant>),
}

/// Why a code was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unredeemable {
    /// Never given out, or too old.
    Unknown,
    /// Redeemed before: what it was redeemed for has been revoked (RFC 6749 §4.1.2).
    Spent,
}

/// The table of grants, bounded; what expires is forgotten.
#[derive(Debug)]
pub(crate) struct Grants(Mutex<Expiring<[u8; 32], Entry>>);

impl Grants {
    /// An empty table of at most `max` entries; where it is full, those go that would expire
    /// first.
    pub(crate) fn new(max: usize) -> Self {
        Self(Mutex::new(Expiring::new(max)))
    }

    /// Files `grant` under `code` until `expires`.
    pub(crate) fn put_code(&self, code: &str, grant: Grant, expires: u64, now: u64) {
        self.lock().insert_or_displace(key("code", code), Entry::Code(Box::new(grant)), expires, now);
    }

    /// Takes the grant under `code`, if `fits` says that it is for who asks, and files it
    /// under the access token `jti` instead. A second try revokes that token.
    pub(crate) fn redeem(
        &self,
        code: &str,
        jti: &str,
        now: u64,
        expires: u64,
        fits: impl FnOnce(&Grant) -> bool,
    ) -> Result<Grant, Unredeemable> {
        let code = key("code", code);
        // One lock from the look to the last entry: whoever comes second finds all of it.
        let mut table = self.lock();
        match table.take(&code, now).ok_or(Unredeemable::Unknown)? {
            Entry::Spent { jti } => {
                table.take(&key("access", &jti), now);
                Err(Unredeemable::Spent)
            }
            Entry::Code(grant) if fits(&grant) => {
                table.insert_or_displace(code, Entry::Spent { jti: jti.to_owned() }, expires, now);
                table.insert_or_displace(key("access", jti), Entry::Access(grant.clone()), expires, now);
                Ok(*grant)
            }
            // A code in the wrong hands is spent: whoever holds it got it by theft.
            Entry::Code(_) | Entry::Access(_) => Err(Unredeemable::Unknown),
        }
    }

    /// The grant behind the access token `jti`.
    pub(crate) fn access(&self, jti: &str, now: u64) -> Option<Grant> {
        match self.lock().get(&key("access", jti), now) {
            Some(Entry::Access(grant)) => Some((**grant).clone()),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Expiring<[u8; 32], Entry>> {
        // The table is whole after every statement: a poisoned lock is as good as another.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Codes and token ids are filed by hash, so that a memory dump gives no usable code.
fn key(kind: &str, value: &str) -> [u8; 32] {
    sha256(&[kind.as_bytes(), &[0], value.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(client_id: &str) -> Grant {
        Grant {
            application: "app".into(),
            client_id: client_id.into(),
            redirect_uri: "https://rp.example/cb".into(),
            challenge: None,
            nonce: None,
            scopes: vec!["openid".into()],
            subject: "s".into(),
            sid: "sid".into(),
            auth_time: None,
            acr: None,
            amr: vec![],
            claims: Map::new(),
        }
    }

    #[test]
    fn a43_a_code_is_redeemed_once_and_a_second_try_revokes_the_token() {
        let grants = Grants::new(10);
        grants.put_code("code", grant("a"), 60, 0);
        assert!(grants.redeem("code", "t1", 1, 600, |_| true).is_ok());
        assert!(grants.access("t1", 2).is_some());
        assert_eq!(grants.redeem("code", "t2", 2, 600, |_| true), Err(Unredeemable::Spent));
        assert!(grants.access("t1", 3).is_none());
        assert!(grants.access("t2", 3).is_none());
    }

    #[test]
    fn a43_a_code_in_the_wrong_hands_is_lost_to_both() {
        let grants = Grants::new(10);
        grants.put_code("code", grant("a"), 60, 0);
        assert!(grants.redeem("code", "t", 1, 600, |grant| grant.client_id == "b").is_err());
        assert!(grants.redeem("code", "t", 1, 600, |grant| grant.client_id == "a").is_err());
    }

    #[test]
    fn refuses_a_code_that_is_too_old_and_a_token_as_a_code() {
        let grants = Grants::new(10);
        grants.put_code("code", grant("a"), 60, 0);
        assert!(grants.redeem("code", "t", 60, 600, |_| true).is_err());
        grants.put_code("code2", grant("a"), 60, 0);
        assert!(grants.redeem("code2", "t2", 1, 600, |_| true).is_ok());
        assert!(grants.redeem("t2", "t3", 1, 600, |_| true).is_err());
        assert!(grants.access("code2", 1).is_none());
        assert!(grants.access("t2", 600).is_none());
    }

    #[test]
    fn a43_of_many_who_redeem_a_code_at_once_nobody_keeps_a_token() {
        for _ in 0..200 {
            let grants = Grants::new(100);
            grants.put_code("code", grant("a"), 60, 0);
            let tokens: Vec<String> = (0..4).map(|number| format!("t{number}")).collect();
            let redeemed = std::thread::scope(|scope| {
                let tries: Vec<_> = tokens
                    .iter()
                    .map(|jti| scope.spawn(|| grants.redeem("code", jti, 1, 600, |_| true).is_ok()))
                    .collect();
                tries.into_iter().map(|tried| tried.join().unwrap()).filter(|won| *won).count()
            });
            assert_eq!(redeemed, 1);
            assert!(tokens.iter().all(|jti| grants.access(jti, 2).is_none()), "a token outlived the second try");
        }
    }

    #[test]
    fn forgets_what_would_expire_first_when_full() {
        let grants = Grants::new(2);
        for (code, expires) in [("a", 60), ("b", 61), ("c", 62)] {
            grants.put_code(code, grant("a"), expires, 0);
        }
        assert!(grants.redeem("a", "t", 1, 600, |_| true).is_err());
        assert!(grants.redeem("c", "t", 1, 600, |_| true).is_ok());
    }
}
