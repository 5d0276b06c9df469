//! The userinfo endpoint (OIDC Core §5.3).

use serde_json::{Value, json};

use super::Provider;

/// Why there is no answer (RFC 6750 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserinfoError {
    /// No bearer credentials in the header.
    #[error("no bearer access token was given")]
    Missing,
    /// Unknown, expired, revoked, or not an access token of ours.
    #[error("invalid_token")]
    InvalidToken,
}

impl Provider {
    /// The claims behind the access token in the `Authorization` header. Never read from
    /// a query or a form, where it would end in logs (RFC 6750 §5.3).
    ///
    /// # Errors
    ///
    /// As [`UserinfoError`] says.
    pub fn userinfo(&self, authorization: Option<&str>) -> Result<Value, UserinfoError> {
        let (scheme, unverified) =
            authorization.and_then(|header| header.split_once(' ')).ok_or(UserinfoError::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(UserinfoError::Missing);
        }
        let claims = self.keys.verify("at+jwt", unverified.trim()).map_err(|_| UserinfoError::InvalidToken)?;
        let grant = claims
            .get("jti")
            .and_then(Value::as_str)
            .and_then(|jti| self.grants.access(jti, self.clock.now()))
            .ok_or(UserinfoError::InvalidToken)?;
        let mut answer = grant.claims;
        answer.insert("sub".to_owned(), json!(grant.subject));
        Ok(Value::Object(answer))
    }
}
