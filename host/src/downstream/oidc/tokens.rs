//! Asking about a token (RFC 7662), and taking one back (RFC 7009): a relying party, of what was
//! given to itself.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Lives, Provider,
    grants::Grant,
    issuer,
    token::{TokenError, TokenRequest, token_type},
};
use crate::config::Config;

/// A token that lives, and for how long.
struct Living {
    grant: Arc<Grant>,
    claims: Value,
}

/// What is to be done with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// RFC 7662: is it good?
    Introspect,
    /// RFC 7009: it is not wanted any more.
    Revoke,
}

impl Provider {
    /// Answers a relying party's question about a token of its own, or takes it back.
    ///
    /// Of another's, of an old one and of none at all it hears the same: that it is not active
    /// (RFC 7662 §2.2), or nothing (RFC 7009 §2.2).
    ///
    /// # Errors
    ///
    /// Where the relying party does not prove who it is, or names no token.
    pub fn about(
        &self,
        config: &Config,
        organization: &str,
        about: About,
        request: &TokenRequest,
        lives: Lives<'_>,
    ) -> Result<Value, TokenError> {
        let client = self.client(config, organization, request)?;
        let token = request.field("token")?.ok_or(TokenError::InvalidRequest)?;
        let client_id = client.registration.client_id.as_str();
        match about {
            // Anybody can call itself a public client.
            About::Introspect if client.is_public() => Err(TokenError::InvalidClient),
            About::Introspect => {
                let living = self.living(config, organization, token).filter(|living| {
                    living.grant.client_id == client_id
                        && living.grant.mark == client.mark
                        && config.may_come_from(client.application, &living.grant.origin.upstream)
                        && lives(&living.grant.origin)
                });
                Ok(living.map_or_else(|| json!({ "active": false }), |living| living.claims))
            }
            About::Revoke => {
                let now = self.clock.now();
                let revoked = match self.access_id(config, organization, token) {
                    Some(jti) => self.grants.revoke("access", &jti, organization, client_id, now),
                    None => self.grants.revoke("refresh", token, organization, client_id, now),
                };
                tracing::debug!(revoked, "a token is not wanted any more");
                Ok(Value::Null)
            }
        }
    }

    /// The id of an access token of this organization, whether or not it is still good.
    fn access_id(&self, config: &Config, organization: &str, token: &str) -> Option<String> {
        let claims = self.access_claims(config, organization, token)?;
        claims.get("jti").and_then(Value::as_str).map(str::to_owned)
    }

    /// What an access token of this organization says.
    pub(super) fn access_claims(&self, config: &Config, organization: &str, token: &str) -> Option<Value> {
        let claims = self.keys.verify("at+jwt", token).ok()?;
        (claims.get("iss").and_then(Value::as_str) == Some(&issuer(config, organization))).then_some(claims)
    }

    fn living(&self, config: &Config, organization: &str, token: &str) -> Option<Living> {
        let now = self.clock.now();
        if let Some(mut claims) = self.access_claims(config, organization, token) {
            let grant = self.grants.access(claims.get("jti")?.as_str()?, now)?;
            // RFC 9449 §6.2: with `cnf`, as the token has it.
            let token_type = token_type(bound_to(&claims));
            let members = claims.as_object_mut()?;
            members.insert("active".to_owned(), json!(true));
            members.insert("token_type".to_owned(), json!(token_type));
            return Some(Living { grant, claims });
        }
        let grant = self.grants.refreshable(token, now).filter(|grant| grant.organization == organization)?;
        let claims = json!({
            "active": true, "client_id": grant.client_id, "scope": grant.scopes.join(" "), "sub": grant.subject,
            "iss": issuer(config, organization), "exp": grant.ends,
        });
        Some(Living { grant, claims })
    }
}

/// The thumbprint of the key that an access token is bound to (RFC 9449 §6.1).
pub(super) fn bound_to(claims: &Value) -> Option<&str> {
    claims.get("cnf")?.get("jkt")?.as_str()
}
