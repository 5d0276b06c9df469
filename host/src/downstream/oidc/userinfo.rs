//! The userinfo endpoint (OIDC Core §5.3).

use serde_json::{Value, json};

use super::{Lives, Provider, claims};
use crate::config::Config;

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
    pub fn userinfo(
        &self,
        config: &Config,
        organization: &str,
        authorization: Option<&str>,
        lives: Lives<'_>,
    ) -> Result<Value, UserinfoError> {
        let (scheme, unverified) =
            authorization.and_then(|header| header.split_once(' ')).ok_or(UserinfoError::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(UserinfoError::Missing);
        }
        let told = self.access_claims(config, organization, unverified.trim());
        let told = told.ok_or(UserinfoError::InvalidToken)?;
        let grant = told
            .get("jti")
            .and_then(Value::as_str)
            .and_then(|jti| self.grants.access(jti, self.clock.now()))
            .filter(|grant| {
                let client = self.find(config, organization, &grant.client_id);
                // What came after the grant counts: a client that is gone, an upstream that it may
                // not use any more, a logout.
                client.is_some_and(|client| {
                    client.mark == grant.mark && client.application.upstreams.contains(&grant.origin.upstream)
                }) && lives(&grant.origin)
            })
            .ok_or(UserinfoError::InvalidToken)?;
        let scopes = told.get("scope").and_then(Value::as_str).unwrap_or_default();
        let mut answer = claims::of_scopes(&grant.claims, scopes);
        answer.insert("sub".to_owned(), json!(grant.subject));
        Ok(Value::Object(answer))
    }
}
