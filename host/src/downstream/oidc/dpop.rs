//! Proof of possession of a key (RFC 9449): what was given to whoever proved a key is good together with a
//! new proof of that key, and with nothing else. Whoever steals a token without the key has stolen nothing.
//!
//! There are no nonces of ours (§8): whoever may use a key for a moment can make proofs for later. What bounds a
//! proof is its time, and that it is used once.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    Provider,
    replay::{ID_BYTES_MAX, UsedIds},
    sha256,
    token::{TokenError, TokenRequest},
};
use crate::jose::{KeySet, SignedText, thumbprint};

/// How old a proof may be, in seconds (§11.1): room for slow clocks, since there are no nonces. Its id is remembered
/// for as long.
const AGE_MAX: u64 = 300;

/// How far the client's clock may be ahead of ours, in seconds.
const CLOCK_SKEW: u64 = 60;

/// Of which request.
pub(super) struct Expected<'a> {
    /// `POST`, as the request has it (RFC 9110 §9.1: in just this case).
    pub(super) method: &'a str,
    /// The endpoint's own address.
    pub(super) url: &'a str,
    /// The access token that comes with it, where one does.
    pub(super) access_token: Option<&'a str>,
    /// In seconds since 1970-01-01 UTC.
    pub(super) now: u64,
}

/// A proof that was checked, and was not used yet.
pub(super) struct Proof {
    /// Of the key (RFC 7638): `jkt`.
    pub(super) thumbprint: String,
    jti: String,
    /// When it is too old, in seconds since 1970-01-01 UTC.
    expires: u64,
}

impl Proof {
    /// Uses it. False where it was used before.
    pub(super) fn spend(&self, used: &UsedIds, now: u64) -> bool {
        used.take(&["dpop", &self.thumbprint, &self.jti], self.expires, now)
    }
}

/// Checks the proofs of a request, of which there may be one (§4.3). None where there is none.
///
/// # Errors
///
/// Why it proves nothing: a stable name in kebab-case, for the log.
pub(super) fn check(proofs: &[String], expected: &Expected<'_>) -> Result<Option<Proof>, &'static str> {
    match proofs {
        [] => Ok(None),
        [proof] => check_one(proof, expected).map(Some),
        _ => Err("proof-repeated"),
    }
}

fn check_one(proof: &str, expected: &Expected<'_>) -> Result<Proof, &'static str> {
    let text = SignedText::parse(proof, &["dpop+jwt"]).map_err(|fault| fault.code)?;
    let jwk = text.jwk().ok_or("proof-key-missing")?;
    // A set of one: what is private, shared, weak or for another algorithm is refused there.
    let set = Map::from_iter([("keys".to_owned(), json!([jwk]))]);
    let keys = KeySet::from_set(&set).map_err(|fault| fault.code)?;
    let key = keys.candidates(None, text.algorithm()).map_err(|fault| fault.code)?;
    let claims = text.signed_by(&key).map_err(|fault| fault.code)?;
    let told = |name: &str| claims.get(name).and_then(Value::as_str);
    if told("htm") != Some(expected.method) {
        return Err("proof-method");
    }
    if !told("htu").is_some_and(|url| is_same(url, expected.url)) {
        return Err("proof-url");
    }
    // A time that is no whole number is none.
    let made = claims.get("iat").and_then(Value::as_u64).ok_or("proof-time-missing")?;
    if made > expected.now.saturating_add(CLOCK_SKEW) {
        return Err("proof-from-the-future");
    }
    let expires = made.saturating_add(AGE_MAX).saturating_add(1);
    if expected.now >= expires {
        return Err("proof-too-old");
    }
    let jti = told("jti").filter(|jti| (1..=ID_BYTES_MAX).contains(&jti.len())).ok_or("proof-id-missing")?;
    let hash = expected.access_token.map(|token| URL_SAFE_NO_PAD.encode(sha256(&[token.as_bytes()])));
    if hash.is_some() && told("ath") != hash.as_deref() {
        return Err("proof-for-another-token");
    }
    let thumbprint = thumbprint(jwk).ok_or("key-malformed")?;
    Ok(Proof { thumbprint, jti: jti.to_owned(), expires })
}

/// Does a proof name this endpoint? After syntax-based and scheme-based normalisation (§4.3, RFC 3986 §6.2.2
/// and §6.2.3), and without query and fragment.
fn is_same(told: &str, endpoint: &str) -> bool {
    // The parser takes out tabs and line ends, and reads a backslash as a slash: no honest address has any.
    if told.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return false;
    }
    let (Ok(mut told), Ok(endpoint)) = (Url::parse(told), Url::parse(endpoint)) else { return false };
    told.set_query(None);
    told.set_fragment(None);
    // Userinfo counts as a difference.
    told == endpoint
}

/// Is this what a thumbprint looks like: base64url of 32 bytes (§10)?
pub(super) fn is_thumbprint(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

impl Provider {
    /// The proof that comes with a relying party's own request to `url`, checked.
    ///
    /// # Errors
    ///
    /// [`TokenError::InvalidDpopProof`], whatever is wrong: the log has the reason.
    pub(super) fn proof(&self, request: &TokenRequest, url: &str) -> Result<Option<Proof>, TokenError> {
        let expected = Expected { method: "POST", url, access_token: None, now: self.clock.now() };
        check(&request.proofs, &expected).map_err(|reason| {
            tracing::info!(reason, "a proof of possession proves nothing");
            TokenError::InvalidDpopProof
        })
    }

    /// Uses a proof, where there is one.
    ///
    /// # Errors
    ///
    /// [`TokenError::InvalidDpopProof`], where it was used before, or where no more can be remembered.
    pub(super) fn spend(&self, proof: Option<&Proof>) -> Result<(), TokenError> {
        if proof.is_none_or(|proof| proof.spend(&self.proofs, self.clock.now())) {
            return Ok(());
        }
        tracing::info!(reason = "proof-used", "a proof of possession proves nothing");
        Err(TokenError::InvalidDpopProof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_names_its_endpoint_however_it_is_written_and_no_other() {
        let endpoint = "https://login.example.com/acme/oidc/token";
        for told in [
            endpoint,
            "HTTPS://LOGIN.example.com:443/acme/oidc/token",
            "https://login.example.com/acme/x/../oidc/token",
            "https://login.example.com/acme/oidc/token?x=1#y",
        ] {
            assert!(is_same(told, endpoint), "{told}");
        }
        for told in [
            "",
            "/acme/oidc/token",
            "http://login.example.com/acme/oidc/token",
            "https://login.example.com:8443/acme/oidc/token",
            "https://login.example.com/oidc/token",
            "https://login.example.com/acme/oidc/token/",
            "https://login.example.com/acme/oidc/TOKEN",
            "https://login.example.com/acme/oidc/userinfo",
            "https://login.example.com.evil.com/acme/oidc/token",
            "https://user@login.example.com/acme/oidc/token",
            "https://login.example.com\\acme\\oidc\\token",
            "https://login.example.com/acme/oidc/to\tken",
            " https://login.example.com/acme/oidc/token",
        ] {
            assert!(!is_same(told, endpoint), "{told}");
        }
    }

    #[test]
    fn a_thumbprint_is_of_32_bytes() {
        assert!(is_thumbprint("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
        for text in [
            "",
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9X",
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs=",
            "NzbLsXh8uDCcd+6MNwXF4W/7noWXFZAfHkxZsRGC9Xs",
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xt",
        ] {
            assert!(!is_thumbprint(text), "{text}");
        }
    }
}
