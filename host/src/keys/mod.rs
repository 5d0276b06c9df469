//! The key ring: keys that seal, keys that sign; the newest works, older ones still open
//! and verify.

use serde_json::Value;

use crate::{clock::Clock, config::Keys, secret::Secret};
use std::sync::Arc;

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
    /// The session cookie of an application.
    Session,
    /// The single sign-on cookie of the gateway's own host.
    Sso,
    /// The one-time ticket from the gateway's host to an application's.
    Ticket,
}

/// Why the key ring refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The sealed value was changed, cut, made for another purpose or by an unknown key.
    #[error("the sealed value does not open")]
    Unsealable,
}

/// The keys of this gateway.
#[derive(Debug)]
pub struct KeyRing {}

impl KeyRing {
    /// Reads the ring.
    ///
    /// # Errors
    ///
    /// Where there is none (the message says how to make one), where the files are
    /// readable by others, or where a key is malformed.
    pub fn open(_config: &Keys, _clock: Arc<dyn Clock>) -> Result<Self, KeyError> {
        todo!()
    }

    /// Seals `data` for `purpose` and `binding` (cookie name and host, say) as
    /// base64url text.
    ///
    /// # Errors
    ///
    /// Where there is no randomness.
    pub fn seal(&self, _purpose: Purpose, _binding: &str, _data: &[u8]) -> Result<String, KeyError> {
        todo!()
    }

    /// Opens what [`KeyRing::seal`] sealed, with the newest or an older key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unsealable`] for everything else.
    pub fn open_sealed(&self, _purpose: Purpose, _binding: &str, _sealed: &str) -> Result<Vec<u8>, KeyError> {
        todo!()
    }

    /// Signs `claims` as a JWT with the newest key of `algorithm` (`ES256`, `RS256`,
    /// `EdDSA`), with `typ` in the header.
    ///
    /// # Errors
    ///
    /// Where the ring has no key of that algorithm.
    pub fn sign(&self, _algorithm: &str, _typ: &str, _claims: &Value) -> Result<String, KeyError> {
        todo!()
    }

    /// Verifies a JWT that this ring signed; checks the signature, `typ`, `exp` and `iat`.
    ///
    /// # Errors
    ///
    /// Where any of it fails.
    pub fn verify(&self, _typ: &str, _jwt: &str) -> Result<Value, KeyError> {
        todo!()
    }

    /// Verifies only that this ring signed a JWT of type `JWT`, however old: what an
    /// `id_token_hint` needs (OIDC RP-Initiated Logout §2).
    ///
    /// # Errors
    ///
    /// Where the signature or the type is wrong.
    pub fn verify_hint(&self, _jwt: &str) -> Result<Value, KeyError> {
        todo!()
    }

    /// The public keys (RFC 7517 §5), the newest first.
    #[must_use]
    pub fn jwks(&self) -> Value {
        todo!()
    }

    /// A keyed hash of personal data, so that the audit can be searched for a subject that
    /// is known, and tells nothing of one that is not. Lower-case hex, 32 characters.
    #[must_use]
    pub fn pseudonym(&self, _value: &str) -> String {
        todo!()
    }

    /// The key under which compiled components are authenticated.
    #[must_use]
    pub fn cache_key(&self) -> Secret<Vec<u8>> {
        todo!()
    }
}
