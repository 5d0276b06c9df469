//! An ID token on its way from a text to claims that a signature protects.
//!
//! [`UnverifiedToken`] shows what must be known to find the key, and nothing else.
//! [`SignedClaims`] can be had only through [`UnverifiedToken::signed_by`]; they are
//! the upstream's own words, though not yet words for us: that is `verify`'s part.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::{
    error::{UpstreamError, refuse},
    json,
};
use crate::jose::{Key, algorithm_named};

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// A token that may be anybody's. Its claims cannot be read.
pub(super) struct UnverifiedToken<'a> {
    signed_part: &'a str,
    payload: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    key_id: Option<String>,
}

/// What a token is for. One signed by the same key for another purpose is refused (RFC 8725
/// §3.11), as far as its `typ` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// OIDC Core §2.
    Id,
    /// OIDC Back-Channel Logout §2.4.
    Logout,
}

impl TokenKind {
    fn has_type(self, typ: &str) -> bool {
        let is_logout = typ.eq_ignore_ascii_case("logout+jwt") || typ.eq_ignore_ascii_case("application/logout+jwt");
        // Older providers call their logout tokens `JWT`, or nothing: `events` tells them apart.
        typ.eq_ignore_ascii_case("JWT") || (is_logout && self == Self::Logout)
    }
}

/// Claims that a key of the upstream signed. For whom, when and what for is unchecked.
#[derive(Clone)]
pub(super) struct SignedClaims {
    /// The claims.
    pub(super) claims: Map<String, Value>,
    /// With what they were signed.
    pub(super) algorithm: Algorithm,
    /// The issuer that the key is for, where the key set names one.
    pub(super) key_issuer: Option<String>,
}

impl<'a> UnverifiedToken<'a> {
    /// Takes a compact JWS (RFC 7515 §3.1) apart, and looks at its header alone.
    ///
    /// # Errors
    ///
    /// Where it is no JWS, is encrypted, or its header asks for something that is not in
    /// `algorithms` or that we do not understand.
    pub(super) fn parse(token: &'a str, kind: TokenKind, algorithms: &[String]) -> Result<Self, UpstreamError> {
        let malformed = |detail: &str| refuse("id-token-malformed", detail);
        if token.len() > TOKEN_BYTES_MAX {
            return Err(malformed("the token is too long"));
        }
        let (signed_part, signature) = token.rsplit_once('.').ok_or_else(|| malformed("the token is no JWS"))?;
        let (header, payload) = signed_part.split_once('.').ok_or_else(|| malformed("the token is no JWS"))?;
        let header = decoded(header).ok_or_else(|| malformed("the token's header is not base64url"))?;
        let header = json::object(&header).map_err(|error| malformed(&format!("the token's header is {error}")))?;
        // A JWE has five parts (RFC 7516 §3.1) and `enc`. It is not decrypted, so what it
        // unpacks to cannot exhaust anything either.
        if payload.contains('.') || header.contains_key("enc") {
            return Err(if payload.matches('.').count() == 2 || header.contains_key("enc") {
                refuse("id-token-encrypted", "the token is encrypted (JWE); ask the upstream to sign only")
            } else {
                malformed("the token has the wrong number of parts")
            });
        }
        let algorithm = check_header(&header, kind, algorithms)?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(malformed("the token's kid is no text")),
        };
        Ok(Self { signed_part, payload, signature, algorithm, key_id })
    }

    /// RFC 7515 §4.1.4. A hint: it chooses among the upstream's keys and nothing else.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// One of those that were allowed.
    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Checks the signature against each of `keys`, and only then reads the claims.
    ///
    /// # Errors
    ///
    /// `signature-invalid`, `id-token-malformed`, `claims-duplicate`.
    pub(super) fn signed_by(&self, keys: &[Key]) -> Result<SignedClaims, UpstreamError> {
        let signer = keys.iter().find(|key| {
            jsonwebtoken::crypto::verify(self.signature, self.signed_part.as_bytes(), &key.key, self.algorithm)
                .unwrap_or(false)
        });
        let signer = signer.ok_or_else(|| refuse("signature-invalid", "the token's signature does not verify"))?;
        let payload = decoded(self.payload)
            .ok_or_else(|| refuse("id-token-malformed", "the token's payload is not base64url"))?;
        let claims = json::object(&payload).map_err(|error| match error {
            json::JsonError::Duplicate { .. } => refuse("claims-duplicate", "the token names a claim twice"),
            other => refuse("id-token-malformed", format!("the token's payload is {other}")),
        })?;
        Ok(SignedClaims { claims, algorithm: self.algorithm, key_issuer: signer.issuer.clone() })
    }
}

fn check_header(
    header: &Map<String, Value>,
    kind: TokenKind,
    algorithms: &[String],
) -> Result<Algorithm, UpstreamError> {
    let name = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() || name.eq_ignore_ascii_case("none") {
        return Err(refuse("alg-none", "the token is not signed"));
    }
    // `EdDSA` and `Ed25519` are two names of one algorithm (RFC 9864 §2.2).
    let algorithm = algorithm_named(name)
        .filter(|algorithm| algorithms.iter().any(|allowed| algorithm_named(allowed) == Some(*algorithm)));
    let Some(algorithm) = algorithm else {
        // RFC 8725 §3.1: the list is ours, not the token's.
        return Err(if name.starts_with("HS") {
            refuse("alg-symmetric", "the token is signed with a shared secret, which a public key could be taken for")
        } else {
            refuse("alg-not-allowed", "the token's algorithm is not in `algorithms`")
        });
    };
    // A token of another type is not the one that we expect, though signed by the same key
    // (access tokens of RFC 9068).
    let typ = match header.get("typ") {
        None => "JWT",
        Some(typ) => typ.as_str().unwrap_or_default(),
    };
    if !kind.has_type(typ) {
        return Err(refuse("typ-refused", "the token's typ is another kind of token's"));
    }
    // RFC 7515 §4.1.11: we understand no extension. `cty` would be a token in a token,
    // `zip` a compressed one (only JWE has it).
    if ["crit", "cty", "zip", "b64"].iter().any(|name| header.contains_key(*name)) {
        return Err(refuse("header-refused", "the token's header has crit, cty, zip or b64"));
    }
    Ok(algorithm)
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

impl fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedToken").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl fmt::Debug for SignedClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedClaims").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
