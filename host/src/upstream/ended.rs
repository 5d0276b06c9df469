//! An upstream says that a session there is over: over the back channel, by a signed logout
//! token (OIDC Back-Channel Logout 1.0), or over the front channel, by a browser that it sends
//! (OIDC Front-Channel Logout 1.0).
//!
//! What comes out says which sessions of ours are over; it never begins one.

use serde_json::{Map, Value};

use super::{
    Upstreams,
    claims::text,
    error::{UpstreamError, refuse},
    issuer::Issuer,
    oidc,
    token::TokenKind,
    verify::{check_audience, check_issuer, check_times, time},
};
use crate::config::{Oidc, Upstream};

/// The member of `events` that makes a token a logout token (OIDC Back-Channel Logout §2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A logout token that was issued longer ago is refused, however long it says it is good, in
/// seconds. For so long, and the clocks' difference, its `jti` must be remembered.
const LOGOUT_TOKEN_AGE_MAX_S: u64 = 600;

/// The longest `sid`, `sub` or `jti`.
const ID_BYTES_MAX: usize = 255;

/// Which sessions are over.
#[derive(Clone, PartialEq, Eq)]
pub struct Ended {
    /// The issuer, as in the identities of those sessions.
    pub issuer: String,
    /// Which of its sessions.
    pub which: Which,
}

/// Which of an issuer's sessions are over.
#[derive(Clone, PartialEq, Eq)]
pub enum Which {
    /// The one of this `sid`.
    Session(String),
    /// All of this subject's.
    Subject(String),
}

/// What a logout token says, once it is verified.
pub struct LogoutToken {
    /// What is over.
    pub ended: Ended,
    /// RFC 7519 §4.1.7. The caller sees to it that it counts once.
    pub id: String,
    /// How long `id` must be remembered, in seconds since 1970-01-01 UTC.
    pub remember_until: u64,
}

/// Verifies a logout token, but for its being the first of its id.
///
/// # Errors
///
/// One code for each check of OIDC Back-Channel Logout §2.6.
pub(super) async fn back_channel(
    upstreams: &Upstreams,
    upstream: &Upstream,
    config: &Oidc,
    token: &str,
) -> Result<LogoutToken, UpstreamError> {
    let provider = oidc::provider(upstreams, config).await?;
    let signed = oidc::signed(upstreams, config, &provider, token, TokenKind::Logout).await?;
    let now = upstreams.clock.now();
    let issuer = check_issuer(&signed, config, upstream)?;
    let claims = &signed.claims;
    check_audience(claims, &config.client_id)?;
    check_times(claims, config, now)?;
    let skew = u64::from(config.clock_skew);
    let issued = time(claims, "iat")?.unwrap_or_default();
    let remember_until = issued.saturating_add(LOGOUT_TOKEN_AGE_MAX_S).saturating_add(skew);
    if now >= remember_until {
        return Err(refuse("logout-token-too-old", "the logout token was issued too long ago"));
    }
    check_event(claims)?;
    // Otherwise an ID token could pass for one (§2.4).
    if claims.contains_key("nonce") {
        return Err(refuse("logout-token-nonce", "the logout token has a nonce, as an ID token has"));
    }
    let id = short(claims, "jti")?.ok_or_else(|| refuse("jti-missing", "the logout token has no jti"))?;
    let (session, subject) = (short(claims, "sid")?, short(claims, "sub")?);
    let which = match (session, subject) {
        (Some(session), _) => Which::Session(session),
        // Sessions are known by the claim that the operator chose; `sub` says nothing of them.
        (None, Some(_)) if upstream.subject_claim != "sub" => {
            return Err(refuse(
                "logout-sid-needed",
                "`subject-claim` is another than `sub`, so the logout needs a sid",
            ));
        }
        (None, Some(subject)) => Which::Subject(subject),
        (None, None) => {
            return Err(refuse("logout-nobody", "the logout token names neither a session (sid) nor a subject"));
        }
    };
    Ok(LogoutToken { ended: Ended { issuer, which }, id, remember_until })
}

/// What a front-channel logout ends: the session that `iss` and `sid` name, both of which must be
/// there (OIDC Front-Channel Logout §2). Nothing is signed: the `sid`, which nobody guesses, is
/// the proof.
///
/// # Errors
///
/// `logout-nobody`, `iss-mismatch`.
pub(super) fn front_channel(
    config: &Oidc,
    issuer: Option<&str>,
    session: Option<&str>,
) -> Result<Ended, UpstreamError> {
    let (Some(issuer), Some(session)) = (issuer, session.filter(|sid| is_id(sid))) else {
        return Err(refuse("logout-nobody", "a front-channel logout names its issuer (iss) and a session (sid)"));
    };
    if !Issuer(&config.issuer).may_be(issuer) {
        return Err(refuse("iss-mismatch", "the logout is another issuer's"));
    }
    Ok(Ended { issuer: issuer.to_owned(), which: Which::Session(session.to_owned()) })
}

fn check_event(claims: &Map<String, Value>) -> Result<(), UpstreamError> {
    let event = claims.get("events").and_then(Value::as_object).and_then(|events| events.get(EVENT));
    match event {
        Some(Value::Object(_)) => Ok(()),
        _ => Err(refuse("logout-event-missing", "the token's `events` does not make it a logout token")),
    }
}

/// A short text, or none.
fn short(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, UpstreamError> {
    match (claims.get(name), text(claims, name)) {
        (None, _) => Ok(None),
        (Some(_), Some(text)) if is_id(text) => Ok(Some(text.to_owned())),
        (Some(_), _) => Err(refuse("logout-id-malformed", format!("the logout token's {name} is no short text"))),
    }
}

fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
}
