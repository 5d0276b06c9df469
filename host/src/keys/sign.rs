//! Signing: JWTs (RFC 7519) with ES256, RS256 or EdDSA. A key has one algorithm, and the
//! header of a token is never asked which (RFC 8725 §3.1).

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use serde_json::Value;

use super::{KeyError, TokenFault};
use crate::secret::Secret;

/// What the ring can sign with; each gets a key.
pub(super) const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];

/// How far in the future `iat` may lie: gateways that share a ring have clocks of their
/// own.
const CLOCK_SKEW_S: u64 = 60;

/// One signing key.
pub(super) struct SigningKey {
    id: String,
    name: &'static str,
    algorithm: Algorithm,
    private: EncodingKey,
    public: DecodingKey,
    jwk: Jwk,
}

impl SigningKey {
    /// None where `pem` is no key for `algorithm`.
    pub(super) fn new(algorithm: &str, pem: &str) -> Option<Self> {
        let name = ALGORITHMS.into_iter().find(|name| *name == algorithm)?;
        let (algorithm, private) = match name {
            "ES256" => (Algorithm::ES256, EncodingKey::from_ec_pem(pem.as_bytes()).ok()?),
            "EdDSA" => (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem.as_bytes()).ok()?),
            "RS256" => (Algorithm::RS256, EncodingKey::from_rsa_pem(pem.as_bytes()).ok()?),
            _ => return None,
        };
        let mut jwk = Jwk::from_encoding_key(&private, algorithm).ok()?;
        let id = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
        jwk.common.key_id = Some(id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let public = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { id, name, algorithm, private, public, jwk })
    }

    /// RFC 7638 thumbprint.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) const fn algorithm(&self) -> &'static str {
        self.name
    }

    pub(super) const fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    pub(super) fn sign(&self, typ: &str, claims: &Value) -> Result<String, KeyError> {
        let mut header = Header::new(self.algorithm);
        header.typ = Some(typ.to_owned());
        header.kid = Some(self.id.clone());
        encode(&header, claims, &self.private).map_err(KeyError::Sign)
    }
}

/// Verifies a JWT at `now`.
pub(super) fn verify(keys: &[SigningKey], typ: &str, jwt: &str, now: u64) -> Result<Value, TokenFault> {
    let claims = verify_origin(keys, typ, jwt)?;
    let time = |name: &str| claims.get(name).and_then(Value::as_u64);
    if time("exp").is_none_or(|exp| now >= exp) {
        return Err(TokenFault::Expired);
    }
    if time("iat").is_none_or(|iat| iat > now.saturating_add(CLOCK_SKEW_S)) {
        return Err(TokenFault::IssuedInFuture);
    }
    Ok(claims)
}

/// Verifies that one of `keys` signed a JWT of type `typ`, whenever that was.
pub(super) fn verify_origin(keys: &[SigningKey], typ: &str, jwt: &str) -> Result<Value, TokenFault> {
    let header = decode_header(jwt).map_err(|_| TokenFault::Malformed)?;
    // RFC 8725 §3.11: a token of one type is not taken for another.
    if header.typ.as_deref() != Some(typ) {
        return Err(TokenFault::Type);
    }
    let kid = header.kid.ok_or(TokenFault::UnknownKey)?;
    let key = keys.iter().find(|key| key.id == kid).ok_or(TokenFault::UnknownKey)?;
    let mut validation = Validation::new(key.algorithm);
    // The times are checked above, by our own clock; `aud` is the caller's.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    decode(jwt, &key.public, &validation).map(|token| token.claims).map_err(|_| TokenFault::Signature)
}

/// A new private key as PEM (PKCS #8).
pub(super) fn generate(algorithm: &'static str) -> Result<Secret<String>, KeyError> {
    let fault = |_| KeyError::Generate { algorithm };
    let random = SystemRandom::new();
    let der = match algorithm {
        "ES256" => {
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(fault)?.as_ref().to_vec()
        }
        "EdDSA" => Ed25519KeyPair::generate_pkcs8v1(&random).map_err(fault)?.as_ref().to_vec(),
        _ => {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(fault)?;
            pair.as_der().map_err(fault)?.as_ref().to_vec()
        }
    };
    let der = Secret::new(der);
    let text = Secret::new(STANDARD.encode(der.expose()));
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for (index, character) in text.expose().chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END PRIVATE KEY-----\n");
    Ok(Secret::new(pem))
}
