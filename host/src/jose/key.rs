//! Keys of others, which verify what they signed: which ones we take, and which one a token needs.
//!
//! A set is read key by key. A key that we would not take is remembered with the reason,
//! so that a token that names it is refused for that reason and not for a missing key.

use aws_lc_rs::{
    digest,
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

use super::json;

/// Keys in one set; a longer set is refused.
pub const KEYS_MAX: usize = 64;
/// NIST SP 800-131A; RFC 7518 §3.3 and §3.5 ask for it, too.
const RSA_BITS_MIN: usize = 2048;
/// What the cryptography underneath takes.
const RSA_BITS_MAX: usize = 8192;
/// Members that only a private or a shared key has (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// Why a key or a set is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Fault {
    /// A stable name in kebab-case, such as `key-weak`: one for each cause.
    pub code: &'static str,
    /// For the log and the administrator; free of secrets.
    pub detail: String,
}

fn refuse(code: &'static str, detail: impl Into<String>) -> Fault {
    Fault { code, detail: detail.into() }
}

/// A key that may verify.
#[derive(Clone, Debug)]
pub struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    /// The key itself.
    pub key: DecodingKey,
    /// Entra ID names the issuer that a key is for; `{tenantid}` stands for the tenant.
    pub issuer: Option<String>,
}

/// The keys of one signer.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    refused: Vec<(Option<String>, Fault)>,
}

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
    pub fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Vec<&Key>, Fault> {
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
            None if named.is_empty() => refuse("key-unknown", "there is no key of the token's kid"),
            None => refuse("key-algorithm-mismatch", "the key that the token names is not for its algorithm"),
        })
    }

    /// Is there no key that would be taken?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Reads a set (RFC 7517 §5).
    ///
    /// # Errors
    ///
    /// `jwks-malformed`; a single bad key only refuses itself.
    pub fn from_set(set: &Map<String, Value>) -> Result<Self, Fault> {
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
    pub fn from_text(source: &str) -> Result<Self, Fault> {
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

/// One key; none where it is not for verifying signatures or of a kind that we do not know.
///
/// # Errors
///
/// Where it is shared or private, weak or malformed.
pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Option<Key>, Fault> {
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
#[must_use]
pub fn algorithm_named(name: &str) -> Option<Algorithm> {
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

/// RFC 7638 §3: the hash of the members that make the key, in their order; none where one is missing.
#[must_use]
pub fn thumbprint(jwk: &Map<String, Value>) -> Option<String> {
    let members: &[&str] = match text(jwk, "kty")? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let mut needed = Map::new();
    for name in members {
        needed.insert((*name).to_owned(), Value::from(text(jwk, name)?));
    }
    let digest = digest::digest(&digest::SHA256, Value::Object(needed).to_string().as_bytes());
    Some(URL_SAFE_NO_PAD.encode(digest))
}

/// Size of the modulus, and an exponent with which a signature is not trivial: 1 makes
/// every text its own signature.
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), Fault> {
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
fn from_spki(spki: &[u8]) -> Result<Option<(Vec<Algorithm>, DecodingKey)>, Fault> {
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

fn check_rsa_bits(bits: usize) -> Result<(), Fault> {
    if (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Ok(());
    }
    Err(refuse("key-weak", format!("the RSA key has not {RSA_BITS_MIN} to {RSA_BITS_MAX} bits")))
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_of_what_makes_the_key() {
        // The example of RFC 7638 §3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3\
                 oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA\
                 ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-\
                 kEgU8awapJzKnqDKgw";
        let jwk = serde_json::json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
        let told = thumbprint(jwk.as_object().unwrap());
        assert_eq!(told.as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
        for jwk in [
            serde_json::json!({}),
            serde_json::json!({"kty": "EC", "x": "a"}),
            serde_json::json!({"kty": "oct", "k": "a"}),
        ] {
            assert_eq!(thumbprint(jwk.as_object().unwrap()), None);
        }
    }
}
