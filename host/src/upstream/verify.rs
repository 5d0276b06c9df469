//! Signed claims to a verified identity: the only place that makes one.
//!
//! OIDC Core §3.1.3.7 lists the checks of an ID token; the order here is: who says it
//! (issuer, tenant), for whom (audience, authorized party), when (expiry, issue), in
//! answer to what (nonce, access token), and how it was proved (`auth_time`, `acr`).

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::{
    Exchange, Proof,
    claims::{further, list_of_texts, text},
    email,
    error::{UpstreamError, refuse},
    groups,
    issuer::Issuer,
    local::Account,
    token::SignedClaims,
};
use crate::{
    config::{OAuth2, Oidc, Upstream},
    identity::{GroupClaim, Identity, Protocol, VerifiedIdentity},
    secret::Secret,
};

/// The longest subject (OIDC Core §2: 255 ASCII characters).
const SUBJECT_BYTES_MAX: usize = 255;
/// The largest time that is taken: the year 9999.
const TIME_MAX: u64 = 253_402_300_799;

/// What an ID token is held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) oidc: &'a Oidc,
    pub(super) upstream: &'a Upstream,
    pub(super) exchange: &'a Exchange,
    /// `iss` of the callback, if there was one.
    pub(super) callback_issuer: Option<&'a str>,
    pub(super) access_token: &'a Secret<String>,
    pub(super) now: u64,
}

/// An ID token that is the upstream's, for us, in time, and the answer to our question.
pub(super) struct CheckedIdToken {
    claims: Map<String, Value>,
    issuer: String,
    /// `sub`, with which userinfo must agree.
    pub(super) subject: String,
    auth_time: Option<u64>,
    acr: Option<String>,
}

/// Makes all checks of an ID token.
///
/// # Errors
///
/// One code for each check.
pub(super) fn id_token(signed: SignedClaims, expected: &Expected<'_>) -> Result<CheckedIdToken, UpstreamError> {
    let claims = &signed.claims;
    let issuer = check_issuer(&signed, expected.oidc, expected.upstream)?;
    if expected.callback_issuer.is_some_and(|callback| callback != issuer) {
        return Err(refuse("iss-mismatch", "the ID token's issuer is not the callback's"));
    }
    check_audience(claims, &expected.oidc.client_id)?;
    check_times(claims, expected.oidc, expected.now)?;
    check_nonce(claims, &expected.exchange.nonce)?;
    check_at_hash(claims, signed.algorithm, expected.access_token)?;
    let auth_time = check_auth_time(claims, expected)?;
    let acr = check_acr(claims, expected.exchange)?;
    let subject = subject(claims.get("sub"))?;
    Ok(CheckedIdToken { issuer, subject, auth_time, acr, claims: signed.claims })
}

/// Holds userinfo to the ID token: another subject's would be a token substitution
/// (OIDC Core §5.3.2).
///
/// # Errors
///
/// `userinfo-subject-missing`, `userinfo-subject-mismatch`.
pub(super) fn userinfo_subject(token: &CheckedIdToken, userinfo: &Map<String, Value>) -> Result<(), UpstreamError> {
    match userinfo.get("sub") {
        None => Err(refuse("userinfo-subject-missing", "userinfo states no sub")),
        Some(Value::String(sub)) if *sub == token.subject => Ok(()),
        Some(_) => Err(refuse("userinfo-subject-mismatch", "userinfo is about another subject than the ID token")),
    }
}

/// The identity that an ID token, and userinfo beside it, prove.
///
/// # Errors
///
/// Where a claim that the configuration names is malformed.
pub(super) fn oidc(
    upstream: &Upstream,
    token: CheckedIdToken,
    userinfo: Option<&Map<String, Value>>,
) -> Result<(VerifiedIdentity, Vec<&'static str>), UpstreamError> {
    let signed = Some(&token.claims);
    let stated = email::stated(upstream, signed, userinfo);
    // Another key than `sub`, such as Entra's `oid`, must be signed: userinfo was tied to
    // the token by `sub` alone, and is nothing but a resource behind an access token.
    let subject = match upstream.subject_claim.as_str() {
        "sub" => token.subject.clone(),
        other => subject(token.claims.get(other))?,
    };
    let identity = Identity {
        upstream: upstream.id.clone(),
        protocol: Protocol::Oidc,
        issuer: token.issuer,
        subject,
        email: stated.email,
        groups: groups::reported(&upstream.groups_claim, signed, userinfo)?,
        auth_time: token.auth_time,
        acr: token.acr,
        amr: list_of_texts(token.claims.get("amr")),
        claims: further(upstream, signed, userinfo),
    };
    Ok((VerifiedIdentity::assertion(identity), stated.warnings))
}

/// The identity that a userinfo endpoint states to the holder of an access token which
/// came straight from the token endpoint, in exchange for our code and verifier.
///
/// # Errors
///
/// Where the subject is missing or malformed, or the groups are.
pub(super) fn oauth2(
    upstream: &Upstream,
    oauth2: &OAuth2,
    userinfo: &Map<String, Value>,
    stated: email::Stated,
) -> Result<(VerifiedIdentity, Vec<&'static str>), UpstreamError> {
    let subject = match userinfo.get(&upstream.subject_claim) {
        // GitHub's `id` is a number.
        Some(Value::Number(number)) if number.is_u64() => number.to_string(),
        other => subject(other)?,
    };
    let identity = Identity {
        upstream: upstream.id.clone(),
        protocol: Protocol::Oauth2,
        issuer: oauth2.issuer.clone(),
        subject,
        email: stated.email,
        groups: groups::reported(&upstream.groups_claim, None, Some(userinfo))?,
        auth_time: None,
        acr: None,
        amr: Vec::new(),
        claims: further(upstream, None, Some(userinfo)),
    };
    Ok((VerifiedIdentity::assertion(identity), stated.warnings))
}

/// The identity of a local account whose password was right, just now.
pub(super) fn local(upstream: &str, issuer: &str, username: &str, account: &Account, now: u64) -> VerifiedIdentity {
    VerifiedIdentity::assertion(Identity {
        upstream: upstream.to_owned(),
        protocol: Protocol::Local,
        issuer: issuer.to_owned(),
        subject: username.to_owned(),
        email: account.email(),
        groups: account.groups.clone().map_or(GroupClaim::Absent, GroupClaim::Listed),
        auth_time: Some(now),
        acr: None,
        // RFC 8176 §2.
        amr: vec!["pwd".to_owned()],
        claims: account.claims(username),
    })
}

impl Proof {
    /// A proved identity without an ID token.
    pub(super) fn new(
        (identity, warnings): (VerifiedIdentity, Vec<&'static str>),
        id_token: Option<Secret<String>>,
    ) -> Self {
        Self { identity, id_token, warnings }
    }
}

/// `iss`, byte for byte; in Entra's multi-tenant form with `tid` in its place.
pub(super) fn check_issuer(signed: &SignedClaims, oidc: &Oidc, upstream: &Upstream) -> Result<String, UpstreamError> {
    let claims = &signed.claims;
    let found = text(claims, "iss").ok_or_else(|| refuse("iss-missing", "the token states no issuer"))?;
    let tenant = text(claims, "tid");
    let mismatch = |detail: &str| refuse("iss-mismatch", detail);
    if !Issuer(&oidc.issuer).is(found, tenant) {
        return Err(mismatch("the token is another issuer's"));
    }
    if signed.key_issuer.as_ref().is_some_and(|key| !Issuer(key).is(found, tenant)) {
        return Err(mismatch("the key that signed the token is for another issuer"));
    }
    if let Some(allowed) = &upstream.allowed_tenants {
        let tenant = tenant.ok_or_else(|| refuse("tenant-missing", "the token states no tenant (tid)"))?;
        if !allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(tenant)) {
            return Err(refuse("tenant-not-allowed", "the token's tenant is not in `allowed-tenants`"));
        }
    }
    Ok(found.to_owned())
}

/// We must be an audience. Where there are others, or an authorized party is named, that
/// must be us, too (OIDC Core §3.1.3.7, steps 3 to 5).
pub(super) fn check_audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), UpstreamError> {
    let malformed = || refuse("aud-malformed", "the token's aud is neither a text nor a list of texts");
    let audiences: Vec<&str> = match claims.get("aud") {
        None => return Err(refuse("aud-missing", "the token states no audience")),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => list.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(malformed)?,
        Some(_) => return Err(malformed()),
    };
    if !audiences.contains(&client_id) {
        return Err(refuse("aud-mismatch", "the token is for another client"));
    }
    match claims.get("azp") {
        Some(Value::String(party)) if party == client_id => Ok(()),
        None if audiences.iter().all(|audience| *audience == client_id) => Ok(()),
        None => Err(refuse("azp-missing", "the token has several audiences and no azp")),
        Some(_) => Err(refuse("azp-mismatch", "the token was issued to another client (azp)")),
    }
}

/// `exp` and `iat` must be there; each time must be a number, not a text that looks like
/// one (RFC 7519 §2, NumericDate).
pub(super) fn check_times(claims: &Map<String, Value>, oidc: &Oidc, now: u64) -> Result<(), UpstreamError> {
    let skew = u64::from(oidc.clock_skew);
    let missing = |name: &str| refuse("time-missing", format!("the token has no {name}"));
    let exp = time(claims, "exp")?.ok_or_else(|| missing("exp"))?;
    let iat = time(claims, "iat")?.ok_or_else(|| missing("iat"))?;
    if now >= exp.saturating_add(skew) {
        return Err(refuse("token-expired", "the token has expired"));
    }
    if iat > now.saturating_add(skew) {
        return Err(refuse("token-from-future", "the token's iat is in the future"));
    }
    if time(claims, "nbf")?.is_some_and(|nbf| nbf > now.saturating_add(skew)) {
        return Err(refuse("token-not-yet-valid", "the token's nbf is in the future"));
    }
    Ok(())
}

pub(super) fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, UpstreamError> {
    let malformed = || refuse("time-malformed", format!("the token's {name} is not a number of seconds"));
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => whole,
        // NumericDate may have a fraction; it is cut, which is within any skew.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
        #[expect(clippy::cast_precision_loss, reason = "the bound is far below 2^53")]
        (None, Some(fraction)) if (0.0..=TIME_MAX as f64).contains(&fraction) => fraction as u64,
        _ => return Err(malformed()),
    };
    if seconds > TIME_MAX { Err(malformed()) } else { Ok(Some(seconds)) }
}

/// OIDC Core §3.1.3.7 step 11.
fn check_nonce(claims: &Map<String, Value>, sent: &str) -> Result<(), UpstreamError> {
    let found = text(claims, "nonce").ok_or_else(|| refuse("nonce-missing", "the ID token has no nonce"))?;
    if sent.is_empty() || !bool::from(found.as_bytes().ct_eq(sent.as_bytes())) {
        return Err(refuse("nonce-mismatch", "the ID token answers another login"));
    }
    Ok(())
}

/// OIDC Core §3.1.3.8: the left half of the access token's hash, by the hash of `alg`.
fn check_at_hash(
    claims: &Map<String, Value>,
    algorithm: Algorithm,
    access_token: &Secret<String>,
) -> Result<(), UpstreamError> {
    let Some(found) = claims.get("at_hash") else { return Ok(()) };
    let hash = match algorithm {
        Algorithm::RS256 | Algorithm::PS256 | Algorithm::ES256 => &digest::SHA256,
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => &digest::SHA384,
        // Ed25519 hashes with SHA-512 (RFC 8032 §5.1).
        _ => &digest::SHA512,
    };
    let whole = digest::digest(hash, access_token.expose().as_bytes());
    let half = whole.as_ref().get(..whole.as_ref().len() / 2).unwrap_or_default();
    let expected = URL_SAFE_NO_PAD.encode(half);
    let same = found.as_str().is_some_and(|found| bool::from(found.as_bytes().ct_eq(expected.as_bytes())));
    if same { Ok(()) } else { Err(refuse("at-hash-mismatch", "the access token is not the ID token's")) }
}

/// Whoever asked for a recent authentication gets proof of one (OIDC Core §3.1.2.1,
/// `max_age`), or a refusal. Measured from the moment when we asked.
fn check_auth_time(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<Option<u64>, UpstreamError> {
    let found = time(claims, "auth_time")?;
    let exchange = expected.exchange;
    let skew = u64::from(expected.oidc.clock_skew);
    if found.is_some_and(|at| at > expected.now.saturating_add(skew)) {
        return Err(refuse("auth-time-from-future", "the ID token's auth_time is in the future"));
    }
    if let Some(max_age) = exchange.max_age {
        let at =
            found.ok_or_else(|| refuse("auth-time-missing", "max_age was asked for, and no auth_time came back"))?;
        let earliest = exchange.begun_at.saturating_sub(u64::from(max_age)).saturating_sub(skew);
        if at < earliest {
            return Err(refuse("auth-time-too-old", "the subject authenticated longer ago than max_age allows"));
        }
    }
    // `prompt=login` obliges nobody to send `auth_time`; where it comes, it must be new.
    if exchange.fresh && found.is_some_and(|at| at < exchange.begun_at.saturating_sub(skew)) {
        return Err(refuse("auth-time-too-old", "prompt=login was asked for, and the authentication is an older one"));
    }
    Ok(found)
}

/// `acr_values` is a wish to the upstream (OIDC Core §3.1.2.1); to us it is a condition,
/// since a policy asked for it.
fn check_acr(claims: &Map<String, Value>, exchange: &Exchange) -> Result<Option<String>, UpstreamError> {
    let found = text(claims, "acr").map(ToOwned::to_owned);
    let met = exchange.acr_values.is_empty() || found.as_ref().is_some_and(|acr| exchange.acr_values.contains(acr));
    if met { Ok(found) } else { Err(refuse("acr-not-met", "the ID token's acr is none of those asked for")) }
}

fn subject(value: Option<&Value>) -> Result<String, UpstreamError> {
    let value = value.filter(|value| !value.is_null());
    let value = value.ok_or_else(|| refuse("subject-missing", "the claim that names the subject is missing"))?;
    value
        .as_str()
        .filter(|sub| (1..=SUBJECT_BYTES_MAX).contains(&sub.len()) && !sub.chars().any(char::is_control))
        .map(ToOwned::to_owned)
        .ok_or_else(|| refuse("subject-malformed", "the claim that names the subject is no short text"))
}
