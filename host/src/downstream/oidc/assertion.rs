//! A relying party's assertion about itself: `private_key_jwt` (OIDC Core §9, RFC 7523 §3).

use serde_json::{Map, Value};

use super::replay::{ID_BYTES_MAX, UsedIds};
use crate::jose::{KeySet, SignedText};

/// RFC 7523 §2.2.
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The farthest `exp`, in seconds from now: what common libraries write by themselves. Its id is remembered
/// for as long.
const LIFETIME_MAX: u64 = 3600;

/// How far the client's clock may be ahead of ours, in seconds.
const CLOCK_SKEW: u64 = 60;

/// Of whom, for whom and when.
pub(super) struct Expected<'a> {
    pub(super) organization: &'a str,
    pub(super) client_id: &'a str,
    /// The names that this provider goes by: its issuer and its endpoints.
    pub(super) audiences: &'a [String],
    /// In seconds since 1970-01-01 UTC.
    pub(super) now: u64,
}

/// The client that an assertion says it is of, which nobody proved yet.
pub(super) fn unverified_subject(assertion: &str) -> Option<String> {
    parse(assertion).ok()?.hint("sub")
}

/// Checks an assertion, and uses it.
///
/// # Errors
///
/// Why it proves nothing: a stable name in kebab-case, for the log.
pub(super) fn check(
    assertion: &str,
    keys: &KeySet,
    expected: &Expected<'_>,
    used: &UsedIds,
) -> Result<(), &'static str> {
    let text = parse(assertion)?;
    let candidates = keys.candidates(text.key_id(), text.algorithm()).map_err(|fault| fault.code)?;
    let claims = text.signed_by(&candidates).map_err(|fault| fault.code)?;
    let is_the_clients = |name: &str| claims.get(name).and_then(Value::as_str) == Some(expected.client_id);
    if !is_the_clients("iss") || !is_the_clients("sub") {
        return Err("assertion-subject");
    }
    // Whoever else it is for could use it here.
    if !is_for(&claims, expected.audiences) {
        return Err("assertion-audience");
    }
    let exp = times(&claims, expected.now)?;
    let jti = claims.get("jti").and_then(Value::as_str).filter(|jti| (1..=ID_BYTES_MAX).contains(&jti.len()));
    let jti = jti.ok_or("assertion-id-missing")?;
    // Last: what is wrong uses nothing.
    let id = ["assertion", expected.organization, expected.client_id, jti];
    if used.take(&id, exp, expected.now) { Ok(()) } else { Err("assertion-used") }
}

fn parse(assertion: &str) -> Result<SignedText<'_>, &'static str> {
    SignedText::parse(assertion, &["", "jwt", "client-authentication+jwt"]).map_err(|fault| fault.code)
}

/// RFC 7523 §3 item 3. One of our names, or a list of nothing else.
fn is_for(claims: &Map<String, Value>, audiences: &[String]) -> bool {
    let is_ours = |value: &Value| value.as_str().is_some_and(|value| audiences.iter().any(|ours| ours == value));
    match claims.get("aud") {
        Some(Value::Array(values)) => !values.is_empty() && values.iter().all(is_ours),
        Some(value) => is_ours(value),
        None => false,
    }
}

/// RFC 7523 §3 items 4 to 6; `exp`. A time that is no whole number is none.
fn times(claims: &Map<String, Value>, now: u64) -> Result<u64, &'static str> {
    let exp = claims.get("exp").and_then(Value::as_u64).ok_or("assertion-expiry-missing")?;
    if exp <= now {
        return Err("assertion-expired");
    }
    if exp > now.saturating_add(LIFETIME_MAX).saturating_add(CLOCK_SKEW) {
        return Err("assertion-lives-too-long");
    }
    for name in ["iat", "nbf"] {
        if let Some(time) = claims.get(name)
            && time.as_u64().is_none_or(|time| time > now.saturating_add(CLOCK_SKEW))
        {
            return Err("assertion-from-the-future");
        }
    }
    Ok(exp)
}
