//! Keys that verify an upstream's tokens: which ones we take, and which one a token needs.
//!
//! A set is read key by key. A key that we would not take is remembered with the reason,
//! so that a token that names it is refused for that reason and not for a missing key.

use aws_lc_rs::{
    rsa::PublicEncryptingKey,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde_json::{Map, Value};
use url::Url;

use super::{
    cache::{Cache, Want},
    error::{UpstreamError, refuse},
    fetch::{Call, Fetcher},
    json,
};
use crate::{clock::Clock, config::Keying};

/// Keys in one set; a longer set is refused.
const KEYS_MAX: usize = 64;
/// NIST SP 800-131A; RFC 7518 §3.3 and §3.5 ask for it, too.
const RSA_BITS_MIN: usize = 2048;
/// What the cryptography underneath takes.
const RSA_BITS_MAX: usize = 8192;
/// Members that only a private or a shared key has (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// A key that may verify.
#[derive(Clone, Debug)]
pub(super) struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    /// The key itself.
    pub(super) key: DecodingKey,
    /// Entra ID names the issuer that a key is for; `{tenantid}` stands for the tenant.
    pub(super) issuer: Option<String>,
}

/// The keys of one upstream.
#[derive(Clone, Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    refused: Vec<(Option<String>, UpstreamError)>,
}

/// Key sets, by URL.
pub(super) type KeySets = Cache<KeySet>;

impl KeySet {
    /// The keys that may have signed a token with this header.
    ///
    /// A key without an id stands in for any: it is in a set of one, or was configured by
    /// hand. A token without an id is fine as long as just one key fits (OIDC Core §10.1).
    ///
    /// # Errors
    ///
    /// `key-unknown`, `kid-missing`, `key-algorithm-mismatch`, or why the key that the
    /// token names was not taken.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Vec<&Key>, UpstreamError> {
        let named: Vec<&Key> =
            self.keys.iter().filter(|key| id.is_none() || key.id.is_none() || key.id.as_deref() == id).collect();
        let fitting: Vec<&Key> = named.iter().copied().filter(|key| key.algorithms.contains(&algorithm)).collect();
        if id.is_none() && fitting.len() > 1 {
            return Err(refuse("kid-missing", "the token names no key, and several would fit"));
        }
        if !fitting.is_empty() {
            return Ok(fitting);
        }
        let refused = self.refused.iter().find(|(refused, _)| id.is_none() || refused.as_deref() == id);
        Err(match refused {
            Some((_, reason)) => reason.clone(),
            None if named.is_empty() => refuse("key-unknown", "the upstream has no key of the token's kid"),
            None => refuse("key-algorithm-mismatch", "the key that the token names is not for its algorithm"),
        })
    }

    /// Reads a set (RFC 7517 §5).
    ///
    /// # Errors
    ///
    /// `jwks-malformed`; a single bad key only refuses itself.
    fn from_set(set: &Map<String, Value>) -> Result<Self, UpstreamError> {
        let keys = set
            .get("keys")
            .and_then(Value::as_array)
            .ok_or_else(|| refuse("jwks-malformed", "the key set has no list `keys`"))?;
        if keys.len() > KEYS_MAX {
            return Err(refuse("jwks-malformed", format!("the key set has more than {KEYS_MAX} keys")));
        }
        let mut all = Self::default();
        for jwk in keys {
            let Some(jwk) = jwk.as_object() else { continue };
            match from_jwk(jwk) {
                Ok(Some(key)) => all.keys.push(key),
                Ok(None) => {}
                Err(reason) => all.refused.push((text(jwk, "kid").map(ToOwned::to_owned), reason)),
            }
        }
        Ok(all)
    }

    /// Reads a key that was configured by hand: PEM public key, PEM certificate, JWK, or
    /// JWK set.
    ///
    /// # Errors
    ///
    /// `public-key-malformed`, or why the only key was not taken.
    pub(super) fn from_text(source: &str) -> Result<Self, UpstreamError> {
        let source = source.trim();
        if source.starts_with('{') {
            let object = json::object(source.as_bytes())
                .map_err(|error| refuse("public-key-malformed", format!("`public-key`: {error}")))?;
            if object.contains_key("keys") {
                return Self::from_set(&object);
            }
            let key = from_jwk(&object)?
                .ok_or_else(|| refuse("public-key-malformed", "`public-key` is no key that verifies signatures"))?;
            return Ok(Self { keys: vec![key], refused: Vec::new() });
        }
        let malformed = || {
            refuse("public-key-malformed", "`public-key` is neither a PEM public key, nor a PEM certificate, nor a JWK")
        };
        let spki = if source.contains("-----BEGIN CERTIFICATE-----") {
            let certificate = CertificateDer::from_pem_slice(source.as_bytes()).map_err(|_| malformed())?;
            ParsedCertificate::try_from(&certificate).map_err(|_| malformed())?.subject_public_key_info()
        } else {
            SubjectPublicKeyInfoDer::from_pem_slice(source.as_bytes()).map_err(|_| malformed())?
        };
        let (algorithms, key) = from_spki(&spki)?.ok_or_else(malformed)?;
        Ok(Self { keys: vec![Key { id: None, algorithms, key, issuer: None }], refused: Vec::new() })
    }
}

/// The keys for a token with this header: if the set in hand lacks the key, a newer one is
/// fetched, at most once in a while.
///
/// # Errors
///
/// As [`KeySet::candidates`], or why there is no set.
pub(super) async fn keys_for(
    sets: &KeySets,
    fetcher: &Fetcher,
    clock: &dyn Clock,
    source: (&Keying, Option<&Url>),
    id: Option<&str>,
    algorithm: Algorithm,
) -> Result<Vec<Key>, UpstreamError> {
    let owned = |keys: Vec<&Key>| keys.into_iter().cloned().collect();
    let url = match source {
        (Keying::Static(text), _) => return KeySet::from_text(text)?.candidates(id, algorithm).map(owned),
        (_, Some(url)) => url,
        (_, None) => return Err(refuse("endpoint-missing", "neither set by hand nor discovered: jwks_uri")),
    };
    let mut set = sets.document(url.as_str(), clock, Want::Cached, || load(fetcher, url)).await?;
    if matches!(set.candidates(id, algorithm), Err(error) if error.code == "key-unknown") {
        set = sets.document(url.as_str(), clock, Want::Newer, || load(fetcher, url)).await?;
    }
    set.candidates(id, algorithm).map(owned)
}

async fn load(fetcher: &Fetcher, url: &Url) -> Result<KeySet, UpstreamError> {
    let answer = fetcher.send(Call::document("key set", url)).await?;
    if answer.status != http::StatusCode::OK {
        return Err(refuse("jwks-status", format!("the key set answers {}", answer.status.as_u16())));
    }
    let set =
        json::object(&answer.body).map_err(|error| refuse("jwks-malformed", format!("the key set is {error}")))?;
    KeySet::from_set(&set)
}

/// One key; none where it is not for verifying signatures or of a kind that we do not know.
fn from_jwk(jwk: &Map<String, Value>) -> Result<Option<Key>, UpstreamError> {
    let kind = text(jwk, "kty").unwrap_or_default();
    if kind == "oct" {
        return Err(refuse("key-symmetric", "the key is a shared secret; only public keys verify ID tokens"));
    }
    if PRIVATE_MEMBERS.iter().any(|member| jwk.contains_key(*member)) {
        // Whoever reads the set can sign with it.
        return Err(refuse("key-private", "the key set publishes the private part of the key"));
    }
    let for_signatures = jwk.get("use").is_none_or(|usage| usage == "sig")
        && jwk
            .get("key_ops")
            .is_none_or(|usages| usages.as_array().is_some_and(|usages| usages.iter().any(|usage| usage == "verify")));
    if !for_signatures {
        return Ok(None);
    }
    let malformed = || refuse("key-malformed", "the key's parameters are malformed");
    let number =
        |name: &str| text(jwk, name).and_then(|value| URL_SAFE_NO_PAD.decode(value).ok()).ok_or_else(malformed);
    let (mut algorithms, key) = match (kind, text(jwk, "crv").unwrap_or_default()) {
        ("RSA", _) => {
            let (modulus, exponent) = (number("n")?, number("e")?);
            check_rsa(&modulus, &exponent)?;
            (RSA.to_vec(), DecodingKey::from_rsa_raw_components(&modulus, &exponent))
        }
        ("EC", curve @ ("P-256" | "P-384")) => {
            let (algorithm, width) = if curve == "P-256" { (Algorithm::ES256, 32) } else { (Algorithm::ES384, 48) };
            let (x, y) = (number("x")?, number("y")?);
            // RFC 7518 §6.2.1.2: the full width of the field, or the halves could be
            // cut elsewhere than they were joined.
            if x.len() != width || y.len() != width {
                return Err(malformed());
            }
            (vec![algorithm], DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat()))
        }
        ("OKP", "Ed25519") => {
            let x = number("x")?;
            if x.len() != 32 {
                return Err(malformed());
            }
            (vec![Algorithm::EdDSA], DecodingKey::from_ed_der(&x))
        }
        _ => return Ok(None),
    };
    if let Some(only) = text(jwk, "alg") {
        algorithms.retain(|algorithm| algorithm_named(only) == Some(*algorithm));
    }
    if algorithms.is_empty() {
        return Ok(None);
    }
    let owned = |name: &str| text(jwk, name).map(ToOwned::to_owned);
    Ok(Some(Key { id: owned("kid"), algorithms, key, issuer: owned("issuer") }))
}

/// An asymmetric signature algorithm by its registered name (RFC 7518 §3.1, RFC 8037 §3.1,
/// RFC 9864 §2.2).
pub(super) fn algorithm_named(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" | "Ed25519" => Algorithm::EdDSA,
        _ => return None,
    })
}

/// Size of the modulus, and an exponent with which a signature is not trivial: 1 makes
/// every text its own signature.
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), UpstreamError> {
    let leading = modulus.iter().position(|byte| *byte != 0).unwrap_or(modulus.len());
    let top = modulus.get(leading).map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len().saturating_sub(leading).saturating_mul(8).saturating_sub(top);
    let trivial = exponent.iter().all(|byte| *byte == 0)
        || exponent.last().is_none_or(|byte| byte % 2 == 0)
        || exponent.split_last().is_none_or(|(last, rest)| *last == 1 && rest.iter().all(|byte| *byte == 0));
    if trivial {
        return Err(refuse("key-weak", "the RSA key has a trivial exponent"));
    }
    check_rsa_bits(bits)
}

/// A public key in X.509's form (RFC 5280 §4.1.2.7); none where it is of another kind.
fn from_spki(spki: &[u8]) -> Result<Option<(Vec<Algorithm>, DecodingKey)>, UpstreamError> {
    // The cryptography underneath refuses trivial exponents.
    if ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki).is_ok() {
        let bits = PublicEncryptingKey::from_der(spki).map_or(0, |key| key.key_size_bits());
        check_rsa_bits(bits)?;
        return Ok(Some((RSA.to_vec(), DecodingKey::from_rsa_der(spki))));
    }
    Ok(if ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, spki).is_ok() {
        Some((vec![Algorithm::ES256], DecodingKey::from_ec_der(spki)))
    } else if ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, spki).is_ok() {
        Some((vec![Algorithm::ES384], DecodingKey::from_ec_der(spki)))
    } else if ParsedPublicKey::new(&ED25519, spki).is_ok() {
        Some((vec![Algorithm::EdDSA], DecodingKey::from_ed_der(spki)))
    } else {
        None
    })
}

fn check_rsa_bits(bits: usize) -> Result<(), UpstreamError> {
    if (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Ok(());
    }
    Err(refuse("key-weak", format!("the RSA key has not {RSA_BITS_MIN} to {RSA_BITS_MAX} bits")))
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

#[cfg(test)]
#[path = "tests/jwks.rs"]
mod tests;
