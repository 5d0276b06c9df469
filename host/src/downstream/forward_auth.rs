//! Forward-auth: what an application's reverse proxy gets to hand on for a live session.
//!
//! The headers for a session are made once and kept for half of the assertion's lifetime:
//! a page with a hundred images signs once. What is kept is bounded, and keyed by the
//! session's id; whether the session is alive was asked before, at each request.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use super::{HeaderNames, UnsafeValue, encode, encode_list, oidc::subject};
use crate::{
    clock::Clock,
    decision::{MatchKey, Profile, Value as Attribute},
    identity::Identity,
    keys::{KeyError, KeyRing},
    secret::{NoRandomness, random_bytes},
    session::Session,
};

/// How many sessions' headers are kept at most; of about 2 kB each.
const PASSPORTS_MAX: usize = 16_384;
/// Locks among which they are spread.
const SHARDS: usize = 16;
/// `typ` of the assertion (RFC 8725 §3.11): no other JWT of this gateway has it.
const ASSERTION_TYPE: &str = "vestibule-assertion+jwt";

/// What goes to an application with each request of one session.
#[derive(Debug)]
pub struct Passport {
    /// The identity headers: each configured one, empty where there is nothing to say. And
    /// `Cache-Control: no-store`.
    pub headers: HeaderMap,
    names: Arc<HeaderNames>,
    renew_at: u64,
}

/// Why a session's identity cannot be put in headers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassportError {
    /// The profile has neither a username nor an email address.
    #[error("failed to name the subject: the profile has neither a username nor an email address")]
    Nameless,
    /// A value holds a control character.
    #[error("failed to write the identity headers: {0}")]
    UnsafeValue(#[from] UnsafeValue),
    /// The operating system gave no randomness.
    #[error("failed to make the assertion: {0}")]
    NoRandomness(#[from] NoRandomness),
    /// The assertion could not be signed.
    #[error("failed to sign the assertion: {0}")]
    Signature(#[from] KeyError),
}

/// Signs an assertion's claims.
type Sign = Box<dyn Fn(&Value) -> Result<String, KeyError> + Send + Sync>;

/// Makes passports, and keeps them for a while.
pub struct Passports {
    sign: Sign,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    shards: [Mutex<HashMap<String, Arc<Passport>>>; SHARDS],
}

impl Passports {
    /// Signs with `keys`.
    #[must_use]
    pub fn new(keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Self {
        Self::signing(Box::new(move |claims| keys.sign("ES256", ASSERTION_TYPE, claims)), clock)
    }

    pub(crate) fn signing(sign: Sign, clock: Arc<dyn Clock>) -> Self {
        Self { sign, clock, hasher: RandomState::new(), shards: Default::default() }
    }

    /// The passport of `session`, which the caller knows to be alive. `issuer` is the
    /// gateway's public URL; `lifetime` the assertion's, in seconds.
    ///
    /// # Errors
    ///
    /// Where the identity cannot be put in headers; the request must not pass then.
    pub fn of(
        &self,
        session: &Session,
        names: &Arc<HeaderNames>,
        issuer: &str,
        lifetime: u32,
    ) -> Result<Arc<Passport>, PassportError> {
        let now = self.clock.now();
        let slot = usize::try_from(self.hasher.hash_one(&session.id)).unwrap_or(usize::MAX) % SHARDS;
        let shard = self.shards.get(slot);
        let mut kept = shard.map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(passport) = kept.as_ref().and_then(|kept| kept.get(&session.id))
            && now < passport.renew_at
            && Arc::ptr_eq(&passport.names, names)
        {
            return Ok(Arc::clone(passport));
        }
        // Signed under the lock: a browser's burst of requests signs once.
        let passport = Arc::new(self.make(session, names, issuer, lifetime, now)?);
        if let Some(kept) = &mut kept {
            if kept.len() >= PASSPORTS_MAX / SHARDS {
                kept.retain(|_, passport| now < passport.renew_at);
            }
            if kept.len() < PASSPORTS_MAX / SHARDS {
                kept.insert(session.id.clone(), Arc::clone(&passport));
            }
        }
        Ok(passport)
    }

    fn make(
        &self,
        session: &Session,
        names: &Arc<HeaderNames>,
        issuer: &str,
        lifetime: u32,
        now: u64,
    ) -> Result<Passport, PassportError> {
        let profile = &session.profile;
        let email = email(profile, &session.identity).unwrap_or_default();
        let user = encode(user(session)?)?;
        let name = full_name(profile);
        let groups = || encode_list(session.groups.iter().map(String::as_str));
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(theirs) = &names.oauth2_proxy {
            let values = [user.clone(), user.clone(), encode(email)?, groups()?];
            headers.extend(theirs.iter().cloned().zip(values));
        }
        let values = [
            (&names.user, user),
            (&names.email, encode(email)?),
            (&names.groups, groups()?),
            (&names.name, encode(name.as_deref().unwrap_or_default())?),
        ];
        for (header, value) in values {
            if let Some(header) = header {
                headers.insert(header, value);
            }
        }
        let expires = expires(session, lifetime, now);
        if let Some(header) = &names.assertion {
            let jwt = (self.sign)(&claims(session, issuer, now, expires)?)?;
            headers.insert(header, HeaderValue::try_from(jwt).map_err(|_| UnsafeValue)?);
        }
        Ok(Passport { headers, names: Arc::clone(names), renew_at: now + expires.saturating_sub(now) / 2 })
    }

    /// What an application is told that asks for itself: the assertion's claims, and the assertion.
    /// The caller knows `session` to be alive.
    ///
    /// # Errors
    ///
    /// Where the subject has no name, or the assertion cannot be signed.
    pub fn statement(&self, session: &Session, issuer: &str, lifetime: u32) -> Result<(Value, String), PassportError> {
        let now = self.clock.now();
        let claims = claims(session, issuer, now, expires(session, lifetime, now))?;
        let jwt = (self.sign)(&claims)?;
        Ok((claims, jwt))
    }
}

/// Whom the application knows the subject as.
fn user(session: &Session) -> Result<&str, PassportError> {
    let profile = &session.profile;
    username(profile).or_else(|| email(profile, &session.identity)).ok_or(PassportError::Nameless)
}

/// No assertion outlives its session.
fn expires(session: &Session, lifetime: u32, now: u64) -> u64 {
    (now + u64::from(lifetime)).min(session.expires())
}

fn claims(session: &Session, issuer: &str, now: u64, expires: u64) -> Result<Value, PassportError> {
    let profile = &session.profile;
    let mut claims = json!({
        "iss": issuer,
        // Unique under our `iss`, as RFC 7519 §4.1.2 asks (two upstreams may each have a
        // subject `1`), and the same as in the OIDC provider's tokens.
        "sub": subject(&session.identity),
        "aud": session.application,
        "iat": now,
        "exp": expires,
        "jti": URL_SAFE_NO_PAD.encode(random_bytes::<16>()?),
        "sid": session.id,
        "preferred_username": user(session)?,
        "email": email(profile, &session.identity),
        "name": full_name(profile),
        "groups": session.groups,
        "upstream": session.identity.upstream,
        // Beneath a name of their own: none can pass for a claim of ours.
        "attributes": attributes(profile),
    });
    // How, when and how strongly the subject was authenticated, where that is known: by the names
    // of an ID token (OIDC Core §2).
    let identity = &session.identity;
    let amr = (!identity.amr.is_empty()).then(|| json!(identity.amr));
    if let Some(claims) = claims.as_object_mut() {
        for (name, value) in [
            ("auth_time", identity.auth_time.map(Value::from)),
            ("acr", identity.acr.as_deref().map(Value::from)),
            ("amr", amr),
        ] {
            claims.extend(value.map(|value| (name.to_owned(), value)));
        }
    }
    Ok(claims)
}

/// The custom attributes by name.
fn attributes(profile: &Profile) -> serde_json::Map<String, Value> {
    let value = |value: &Attribute| match value {
        Attribute::Text(text) => json!(text),
        Attribute::Texts(texts) => json!(texts),
        Attribute::Integer(number) => json!(number),
        Attribute::Number(number) => json!(number),
        Attribute::Boolean(truth) => json!(truth),
        Attribute::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    };
    profile.attributes.iter().map(|claim| (claim.name.clone(), value(&claim.value))).collect()
}

/// What the policies decided on; never the upstream's own subject, which another upstream
/// may have, too.
fn username(profile: &Profile) -> Option<&str> {
    let matched = match &profile.match_key {
        Some(MatchKey::Username(username)) => Some(username.as_str()),
        _ => None,
    };
    profile.username.as_deref().or(matched).filter(|username| !username.is_empty())
}

/// The policies' word; without one, the upstream's, if it vouches for the address.
fn email<'a>(profile: &'a Profile, identity: &'a Identity) -> Option<&'a str> {
    let verified = identity.email.as_ref().filter(|email| email.verified).map(|email| email.address.as_str());
    profile.email.as_deref().or(verified).filter(|address| !address.is_empty())
}

fn full_name(profile: &Profile) -> Option<String> {
    let joined = match (profile.given_name.as_deref(), profile.family_name.as_deref()) {
        (Some(given), Some(family)) => Some(format!("{given} {family}")),
        (given, family) => given.or(family).map(str::to_owned),
    };
    profile.display_name.clone().or(joined).filter(|name| !name.is_empty())
}
