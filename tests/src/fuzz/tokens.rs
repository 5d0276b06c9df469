//! Signed texts: ID tokens, logout tokens, client assertions, DPoP proofs all begin so.

use serde_json::{Map, Value, json};
use vestibule::jose::{KeySet, SignedText};

use super::{Target, key};

/// Compact JWS (RFC 7515 §3.1), checked with a set of three keys.
pub struct Tokens {
    keys: KeySet,
    signed: Map<String, Value>,
}

impl Tokens {
    /// The keys that signed the seeds.
    #[expect(clippy::new_without_default, reason = "it reads files")]
    #[must_use]
    pub fn new() -> Self {
        let keys = KeySet::from_text(&key("jwks.json")).unwrap_or_else(|fault| panic!("{}", fault.detail));
        let signed = json!({ "iss": "https://idp.example", "sub": "ann", "aud": ["app"], "admin": false });
        Self { keys, signed: signed.as_object().cloned().unwrap_or_default() }
    }
}

impl Target for Tokens {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn take(&self, data: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(data) else { return false };
        let Ok(signed) = SignedText::parse(text, &["jwt", ""]) else { return false };
        let Ok(keys) = self.keys.candidates(signed.key_id(), signed.algorithm()) else { return false };
        let Ok(claims) = signed.signed_by(&keys) else { return false };
        assert_eq!(claims, self.signed, "claims that nobody signed");
        true
    }
}
