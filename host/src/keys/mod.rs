//! The key ring: keys that seal, keys that sign; the newest works, older ones still open
//! and verify.
//!
//! One root secret outlives every rotation: pseudonyms in the audit and the cache of
//! compiled components hang on it. It is used for nothing else.

mod certificate;
mod file;
mod seal;
mod sign;
#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, sync::Arc};

use aws_lc_rs::{hkdf, hmac};
use serde_json::Value;

pub use file::{add_certificate, drop_certificates, generate, rotate, switch_certificate};

use crate::{
    clock::Clock,
    config::{Config, HandOver, Keys},
    secret::{NoRandomness, Secret},
};
use certificate::CertifiedKey;
use seal::SealingKey;
use sign::SigningKey;

/// What a sealed value is for. Each purpose has a key of its own (HKDF), so that a value
/// sealed for one cannot be opened as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// An authorization request of our OIDC provider that waits for a login.
    AuthorizeRequest,
    /// The binding between an application's host and the gateway's.
    EnterBinding,
    /// A pending login.
    PendingLogin,
    /// The input of a receipt that is not for everybody's eyes.
    Receipt,
    /// A line of the recording.
    Recording,
    /// The session cookie of an application.
    Session,
    /// A line of what outlives the process of sessions.
    SessionState,
    /// The shared secret of a second factor, in its file.
    SecondFactor,
    /// The single sign-on cookie of the gateway's own host.
    Sso,
    /// A request of a SAML service provider that waits for a login or a logout.
    SamlRequest,
    /// The one-time ticket from the gateway's host to an application's.
    Ticket,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 11] = [
        Self::AuthorizeRequest,
        Self::EnterBinding,
        Self::PendingLogin,
        Self::Receipt,
        Self::Recording,
        Self::Session,
        Self::SessionState,
        Self::SecondFactor,
        Self::Sso,
        Self::SamlRequest,
        Self::Ticket,
    ];

    /// What goes into the key's derivation. Never changed: sealed values hang on it.
    const fn label(self) -> &'static str {
        match self {
            Self::AuthorizeRequest => "authorize-request",
            Self::EnterBinding => "enter-binding",
            Self::PendingLogin => "pending-login",
            Self::Receipt => "receipt",
            Self::Recording => "recording",
            Self::Session => "session",
            Self::SessionState => "session-state",
            Self::SecondFactor => "second-factor",
            Self::Sso => "sso",
            Self::SamlRequest => "saml-request",
            Self::Ticket => "ticket",
        }
    }
}

/// Why the key ring refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is a ring already, and it is not overwritten.
    #[error("there is a key ring already: {path}; `vestibule keys rotate` adds newer keys to it")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("failed to use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key could not be generated.
    #[error("failed to generate a key for {algorithm}")]
    Generate {
        /// Which kind.
        algorithm: &'static str,
    },
    /// The file is no key ring.
    #[error("failed to read the key ring {path}: {detail}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why; never a key.
        detail: String,
    },
    /// There is no ring.
    #[error("there is no key ring in {directory}; `vestibule keys generate` makes one")]
    Missing {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// There is nothing to switch to.
    #[error("the key ring has no next certificate; `vestibule keys certificate add` makes one")]
    NoNextCertificate,
    /// The ring was made before there was SAML.
    #[error("the key ring has no certificate for SAML; `vestibule keys certificate add` makes one")]
    NoCertificate,
    /// The ring has no key of that algorithm.
    #[error("the key ring has no key for {algorithm}")]
    NoKey {
        /// Which one was asked for.
        algorithm: String,
    },
    /// The operating system has no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Others may read or replace the keys.
    #[error("{path} has mode {mode:03o}, so that others may use the keys; `chmod {wanted:03o}` it")]
    Permissions {
        /// The file or directory.
        path: PathBuf,
        /// What it has.
        mode: u32,
        /// What it should have.
        wanted: u32,
    },
    /// A claim set could not be signed.
    #[error("failed to sign: {0}")]
    Sign(#[source] jsonwebtoken::errors::Error),
    /// Data could not be signed.
    #[error("failed to sign with the key for {algorithm}")]
    SignData {
        /// Which kind.
        algorithm: &'static str,
    },
    /// A JWT is not one of ours, or not any more.
    #[error("the token is not valid: {0}")]
    Token(TokenFault),
    /// The sealed value was changed, cut, made for another purpose or by an unknown key.
    #[error("the sealed value does not open")]
    Unsealable,
}

/// What is wrong with a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    /// `exp` is missing or past.
    #[error("it has expired")]
    Expired,
    /// `iat` is missing or in the future.
    #[error("it is issued in the future")]
    IssuedInFuture,
    /// It is no JWT, or its claims are no JSON object.
    #[error("it is malformed")]
    Malformed,
    /// The signature does not fit, or the header names another algorithm than the key has.
    #[error("its signature does not verify")]
    Signature,
    /// `typ` is another one.
    #[error("it is of another type")]
    Type,
    /// `kid` is missing, or names no key of the ring.
    #[error("its key is unknown")]
    UnknownKey,
}

/// The keys of this gateway.
pub struct KeyRing {
    sealing: Vec<SealingKey>,
    signing: Vec<SigningKey>,
    /// The one in use first.
    certified: Vec<CertifiedKey>,
    pseudonym: hmac::Key,
    root: hkdf::Prk,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sealing: Vec<&str> = self.sealing.iter().map(SealingKey::id).collect();
        let signing: Vec<&str> = self.signing.iter().map(SigningKey::id).collect();
        f.debug_struct("KeyRing").field("sealing", &sealing).field("signing", &signing).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Reads the ring.
    ///
    /// # Errors
    ///
    /// Where there is none (the message says how to make one), where the files are
    /// readable by others, or where a key is malformed.
    pub fn open(config: &Keys, clock: Arc<dyn Clock>) -> Result<Self, KeyError> {
        let path = file::path(&config.directory);
        let ring = file::read(&config.directory)?;
        let malformed = |detail: String| KeyError::Malformed { path: path.clone(), detail };
        let mut sealing = Vec::new();
        for (index, key) in ring.sealing.iter().enumerate() {
            let secret = file::decode_key(&key.key)
                .ok_or_else(|| malformed(format!("sealing[{index}].key is no key of 32 bytes")))?;
            sealing.push(
                SealingKey::new(&key.id, &secret).ok_or_else(|| malformed(format!("sealing[{index}].id is no id")))?,
            );
        }
        let mut signing: Vec<SigningKey> = Vec::new();
        for (index, key) in ring.signing.iter().enumerate() {
            let fault = || malformed(format!("signing[{index}] is no {} key in PEM (PKCS #8)", key.algorithm));
            signing.push(SigningKey::new(&key.algorithm, key.private_key.expose()).ok_or_else(fault)?);
        }
        let mut certified = Vec::new();
        for (index, key) in ring.certificates.iter().enumerate() {
            let fault = || malformed(format!("certificates[{index}] is no RSA key with its certificate"));
            let certificate = key.certificate().ok_or_else(fault)?;
            certified.push(CertifiedKey::new(key.private_key.expose(), certificate).ok_or_else(fault)?);
        }
        if sealing.is_empty() || signing.is_empty() {
            return Err(malformed("it has no keys".to_owned()));
        }
        let root = file::decode_key(&ring.root).ok_or_else(|| malformed("root is no key of 32 bytes".to_owned()))?;
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"vestibule root v1").extract(root.expose());
        let pseudonym = hmac::Key::new(hmac::HMAC_SHA256, derive(&root, "pseudonym")?.expose());
        Ok(Self { sealing, signing, certified, pseudonym, root, clock })
    }

    /// Has the ring what `config` needs?
    ///
    /// # Errors
    ///
    /// [`KeyError::NoCertificate`] where a SAML service provider is configured and the ring was
    /// made before there was SAML.
    pub fn suits(&self, config: &Config) -> Result<(), KeyError> {
        let speaks_saml = config.applications.values().any(|it| matches!(it.hand_over, HandOver::Saml(_)));
        if speaks_saml && self.certified.is_empty() { Err(KeyError::NoCertificate) } else { Ok(()) }
    }

    /// Seals `data` for `purpose` and `binding` (cookie name and host, say) as text:
    /// `v1.KEY.DATA` in base64url, which needs no escaping in a cookie or a URL.
    ///
    /// # Errors
    ///
    /// Where there is no randomness.
    pub fn seal(&self, purpose: Purpose, binding: &str, data: &[u8]) -> Result<String, KeyError> {
        self.sealing.first().ok_or(KeyError::Unsealable)?.seal(purpose, binding, data)
    }

    /// Opens what [`KeyRing::seal`] sealed, with the newest or an older key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unsealable`] for everything else.
    pub fn open_sealed(&self, purpose: Purpose, binding: &str, sealed: &str) -> Result<Vec<u8>, KeyError> {
        let (id, data) = seal::parts(sealed).ok_or(KeyError::Unsealable)?;
        let key = self.sealing.iter().find(|key| key.id() == id).ok_or(KeyError::Unsealable)?;
        key.open(purpose, binding, data).ok_or(KeyError::Unsealable)
    }

    /// Did the newest key seal it?
    #[must_use]
    pub fn is_newest(&self, sealed: &str) -> bool {
        let id = seal::parts(sealed).map(|(id, _)| id);
        id.is_some() && id == self.sealing.first().map(SealingKey::id)
    }

    /// Has the ring the key that sealed it, as far as the text itself says?
    #[must_use]
    pub fn knows_key_of(&self, sealed: &str) -> bool {
        seal::parts(sealed).is_some_and(|(id, _)| self.sealing.iter().any(|key| key.id() == id))
    }

    /// Signs `claims` as a JWT with the newest key of `algorithm` (`ES256`, `RS256`,
    /// `EdDSA`), with `typ` in the header.
    ///
    /// # Errors
    ///
    /// Where the ring has no key of that algorithm.
    pub fn sign(&self, algorithm: &str, typ: &str, claims: &Value) -> Result<String, KeyError> {
        let key = self.signing.iter().find(|key| key.algorithm() == algorithm);
        key.ok_or_else(|| KeyError::NoKey { algorithm: algorithm.to_owned() })?.sign(typ, claims)
    }

    /// Verifies a JWT that this ring signed; checks the signature, `typ`, `exp` and `iat`.
    /// What the claims mean, `iss` and `aud` first, is the caller's to check.
    ///
    /// # Errors
    ///
    /// Where any of it fails.
    pub fn verify(&self, typ: &str, jwt: &str) -> Result<Value, KeyError> {
        sign::verify(&self.signing, typ, jwt, self.clock.now()).map_err(KeyError::Token)
    }

    /// Verifies only that this ring signed a JWT of type `JWT`, however old: what an
    /// `id_token_hint` needs (OIDC RP-Initiated Logout §2).
    ///
    /// # Errors
    ///
    /// Where the signature or the type is wrong.
    pub fn verify_hint(&self, jwt: &str) -> Result<Value, KeyError> {
        sign::verify_origin(&self.signing, "JWT", jwt).map_err(KeyError::Token)
    }

    /// The public keys (RFC 7517 §5), the newest first.
    #[must_use]
    pub fn jwks(&self) -> Value {
        serde_json::json!({ "keys": self.signing.iter().map(SigningKey::jwk).collect::<Vec<_>>() })
    }

    /// Signs `data` with the certified key in use (RSASSA-PKCS1-v1_5, SHA-256).
    ///
    /// # Errors
    ///
    /// Where the ring has no certificate.
    pub fn sign_certified(&self, data: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.certified.first().ok_or(KeyError::NoCertificate)?.sign(data)
    }

    /// The certificates as DER: the one in use first, then those that are published beside it.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.certified.iter().map(CertifiedKey::certificate)
    }

    /// A keyed hash of personal data, so that the audit can be searched for a subject that
    /// is known, and tells nothing of one that is not. Lower-case hex, 32 characters.
    #[must_use]
    pub fn pseudonym(&self, value: &str) -> String {
        const BYTES: usize = 16;
        let tag = hmac::sign(&self.pseudonym, value.as_bytes());
        tag.as_ref().iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key under which compiled components are authenticated.
    #[must_use]
    pub fn cache_key(&self) -> Secret<Vec<u8>> {
        // 32 bytes are far below what HKDF can give, so this does not fail; an empty key
        // would be refused by whoever checks a MAC with it.
        derive(&self.root, "component-cache")
            .map_or_else(|_| Secret::new(Vec::new()), |key| Secret::new(key.expose().to_vec()))
    }
}

/// 32 bytes for `label` (RFC 5869 §2.3).
fn derive(key: &hkdf::Prk, label: &str) -> Result<Secret<[u8; 32]>, KeyError> {
    let mut bytes = [0; 32];
    let filled = key.expand(&[label.as_bytes()], hkdf::HKDF_SHA256).and_then(|derived| derived.fill(&mut bytes));
    filled.map_err(|_| KeyError::Generate { algorithm: "HKDF-SHA256" })?;
    Ok(Secret::new(bytes))
}
