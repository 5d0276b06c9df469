//! The token endpoint (OIDC Core §3.1.3 and §12): a code or a refresh token for tokens.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{
    Lives, Provider, claims,
    client::Client,
    grants::{Grant, New},
    issuer, limits, sha256,
};
use crate::{config::Config, secret::random_token};

/// A request of a relying party, unverified: the form's fields and the headers that prove something.
#[derive(Clone, Default)]
pub struct TokenRequest {
    /// The form's fields, in their order.
    pub fields: Vec<(String, String)>,
    /// The header, if there was one.
    pub authorization: Option<String>,
    /// The `DPoP` headers (RFC 9449 §4.1); what is no text is an empty one.
    pub proofs: Vec<String>,
    /// Who asks, where that is known: wrong secrets are counted by address and client.
    pub address: Option<IpAddr>,
}

impl TokenRequest {
    /// A field that comes once at most (RFC 6749 §3.2).
    pub(super) fn field(&self, name: &str) -> Result<Option<&str>, TokenError> {
        let mut values = self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(TokenError::InvalidRequest),
        }
    }
}

/// Why there are no tokens (RFC 6749 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// What the authorization endpoint would have told, of a request that is pushed (RFC 9126 §2.3).
    #[error("{0}")]
    Authorization(&'static str),
    /// The client did not prove who it is.
    #[error("invalid_client")]
    InvalidClient,
    /// The proof of possession is missing, wrong or was used (RFC 9449 §5).
    #[error("invalid_dpop_proof")]
    InvalidDpopProof,
    /// The code or the refresh token is unknown, too old, used, another client's, what it came from
    /// is over, or the verifier is wrong.
    #[error("invalid_grant")]
    InvalidGrant,
    /// A parameter is missing, repeated or malformed.
    #[error("invalid_request")]
    InvalidRequest,
    /// More is asked for than was granted.
    #[error("invalid_scope")]
    InvalidScope,
    /// The client may not use this grant.
    #[error("unauthorized_client")]
    UnauthorizedClient,
    /// A grant that this provider does not have.
    #[error("unsupported_grant_type")]
    UnsupportedGrantType,
    /// Too many requests of this client are waiting.
    #[error("temporarily_unavailable")]
    TooMany,
    /// Ours: no key, no randomness.
    #[error("server_error")]
    ServerError,
}

impl Provider {
    /// Redeems a code, or a refresh token, of a relying party of `organization`.
    ///
    /// # Errors
    ///
    /// As [`TokenError`] says. Every cause that has to do with the code itself looks the
    /// same from outside.
    pub fn token(
        &self,
        config: &Config,
        organization: &str,
        request: &TokenRequest,
        lives: Lives<'_>,
    ) -> Result<Value, TokenError> {
        let client = self.client(config, organization, request)?;
        let proof = self.proof(request, &format!("{}/oidc/token", issuer(config, organization)))?;
        // RFC 9449 §5.2. The code is not spent: whoever has it cannot use it without a key.
        if proof.is_none() && client.registration.requires_dpop {
            tracing::info!(reason = "proof-missing", "a client that must prove a key did not");
            return Err(TokenError::InvalidDpopProof);
        }
        let jkt = proof.as_ref().map(|proof| proof.thumbprint.as_str());
        let now = self.clock.now();
        let invalid = |_| TokenError::InvalidGrant;
        let unavailable = |_| TokenError::ServerError;
        let access = random_token().map_err(unavailable)?;
        let refresh = client.registration.refresh_tokens.then(random_token).transpose().map_err(unavailable)?;
        let new = New {
            access: &access,
            access_expires: now.saturating_add(limits::ACCESS_TOKEN_LIFETIME),
            refresh: refresh.as_deref(),
            jkt,
            // Whoever has a secret or a key of its own proves that at each refresh.
            refresh_jkt: jkt.filter(|_| client.is_public()),
        };
        // What was granted counts for as long as the application may still use the upstream that
        // proved it, and the session lives: on every grant.
        let counts = |grant: &Grant| {
            grant.client_id == client.registration.client_id
                && grant.mark == client.mark
                && grant.organization == organization
                && grant.application == client.application.id
                && config.may_come_from(client.application, &grant.origin.upstream)
                && lives(&grant.origin)
        };
        match request.field("grant_type")? {
            Some("authorization_code") => {
                let code = request.field("code")?.ok_or(TokenError::InvalidRequest)?;
                let redirect_uri = request.field("redirect_uri")?.ok_or(TokenError::InvalidRequest)?;
                let verifier = request.field("code_verifier")?;
                // Only with a code that is one: nobody else makes us remember ids.
                if self.grants.redeemable(code, now) {
                    self.spend(proof.as_ref())?;
                }
                let fits = |grant: &Grant| {
                    counts(grant)
                        && is_bound_to(grant.dpop_jkt.as_deref(), jkt)
                        && grant.redirect_uri == redirect_uri
                        && verifier_fits(grant.challenge.as_deref(), verifier)
                };
                let grant = self.grants.redeem(code, new, now, fits).map_err(invalid)?;
                self.tokens(config, &client, &grant, &grant.scopes, grant.nonce.as_deref(), new)
            }
            Some("refresh_token") if !client.registration.refresh_tokens => Err(TokenError::UnauthorizedClient),
            Some("refresh_token") => {
                let token = request.field("refresh_token")?.ok_or(TokenError::InvalidRequest)?;
                let known = self.grants.refreshable(token, now);
                let scopes = match (request.field("scope")?, &known) {
                    (Some(asked), Some(grant)) => Some(narrowed(asked, &grant.scopes)?),
                    _ => None,
                };
                if known.is_some() {
                    self.spend(proof.as_ref())?;
                }
                let fits = |grant: &Grant, bound: Option<&str>| counts(grant) && is_bound_to(bound, jkt);
                let grant = self.grants.refresh(token, new, now, fits).map_err(invalid)?;
                // OIDC Core §12.2: no nonce, since nobody asked with one.
                self.tokens(config, &client, &grant, scopes.as_ref().unwrap_or(&grant.scopes), None, new)
            }
            Some(_) => Err(TokenError::UnsupportedGrantType),
            None => Err(TokenError::InvalidRequest),
        }
    }

    fn tokens(
        &self,
        config: &Config,
        client: &Client<'_>,
        grant: &Grant,
        scopes: &[String],
        nonce: Option<&str>,
        new: New<'_>,
    ) -> Result<Value, TokenError> {
        let sign = |algorithm: &str, typ: &str, claims: &Value| {
            self.keys.sign(algorithm, typ, claims).map_err(|_| TokenError::ServerError)
        };
        let (issuer, now) = (issuer(config, &grant.organization), self.clock.now());
        // RFC 9068 §2.2.
        let mut claims = json!({
            "iss": issuer, "sub": grant.subject, "aud": format!("{issuer}/oidc/userinfo"), "client_id": grant.client_id,
            "scope": scopes.join(" "), "iat": now, "exp": new.access_expires, "jti": new.access,
        });
        // RFC 9449 §6.1.
        if let (Some(jkt), Some(claims)) = (new.jkt, claims.as_object_mut()) {
            claims.insert("cnf".to_owned(), json!({ "jkt": jkt }));
        }
        let access_token = sign("ES256", "at+jwt", &claims)?;
        let algorithm = &client.registration.id_token_algorithm;
        let at_hash = at_hash(algorithm, &access_token);
        let id_token = sign(
            algorithm,
            "JWT",
            &id_token(&issuer, grant, &claims::of_scopes(&grant.claims, &scopes.join(" ")), nonce, at_hash, now),
        )?;
        let mut tokens = json!({
            "access_token": access_token, "token_type": token_type(new.jkt), "expires_in": limits::ACCESS_TOKEN_LIFETIME,
            "id_token": id_token, "scope": scopes.join(" "),
        });
        if let (Some(refresh), Some(tokens)) = (new.refresh, tokens.as_object_mut()) {
            tokens.insert("refresh_token".to_owned(), json!(refresh));
        }
        Ok(tokens)
    }
}

/// RFC 9449 §5: how a token is presented that is bound to this key, or to none.
pub(super) const fn token_type(jkt: Option<&str>) -> &'static str {
    if jkt.is_some() { "DPoP" } else { "Bearer" }
}

/// Did whoever asks prove the key that something is bound to?
fn is_bound_to(bound: Option<&str>, proved: Option<&str>) -> bool {
    bound.is_none() || bound == proved
}

/// RFC 6749 §6: what is asked for at a refresh must not go beyond what was granted.
fn narrowed(asked: &str, granted: &[String]) -> Result<Vec<String>, TokenError> {
    let asked: Vec<String> = asked.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    let within = !asked.is_empty() && asked.iter().all(|scope| granted.contains(scope));
    if within { Ok(asked) } else { Err(TokenError::InvalidScope) }
}

/// OIDC Core §2, with the claims of the scopes, as §5.4 allows.
fn id_token(
    issuer: &str,
    grant: &Grant,
    told: &Map<String, Value>,
    nonce: Option<&str>,
    at_hash: Option<String>,
    now: u64,
) -> Value {
    let mut claims = told.clone();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            claims.insert(name.to_owned(), value);
        }
    };
    put("iss", json!(issuer));
    put("sub", json!(grant.subject));
    put("aud", json!(grant.client_id));
    put("iat", json!(now));
    put("exp", json!(now.saturating_add(limits::ID_TOKEN_LIFETIME)));
    put("nonce", json!(nonce));
    put("auth_time", json!(grant.auth_time));
    put("acr", json!(grant.acr));
    put("amr", if grant.amr.is_empty() { Value::Null } else { json!(grant.amr) });
    put("sid", json!(grant.origin.sid));
    put("at_hash", json!(at_hash));
    Value::Object(claims)
}

/// OIDC Core §3.1.3.6: the left half of the token's hash, with the hash that the
/// algorithm names. `EdDSA` names none, and the claim is optional in this flow.
fn at_hash(algorithm: &str, access_token: &str) -> Option<String> {
    if !algorithm.ends_with("256") {
        return None;
    }
    let digest = sha256(&[access_token.as_bytes()]);
    Some(URL_SAFE_NO_PAD.encode(digest.iter().take(16).copied().collect::<Vec<u8>>()))
}

/// RFC 7636 §4.6. A verifier without a challenge is refused, too: it hints at a request
/// whose challenge was taken out on the way (RFC 9700 §2.1.1).
fn verifier_fits(challenge: Option<&str>, verifier: Option<&str>) -> bool {
    match (challenge, verifier) {
        (None, None) => true,
        (Some(challenge), Some(verifier)) => {
            (43..=128).contains(&verifier.len()) && URL_SAFE_NO_PAD.encode(sha256(&[verifier.as_bytes()])) == challenge
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a42_a_verifier_must_fit_its_challenge() {
        // The example of RFC 7636 appendix B.
        let challenge = Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(verifier_fits(challenge, Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")));
        assert!(!verifier_fits(challenge, Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX")));
        assert!(!verifier_fits(challenge, None));
        assert!(!verifier_fits(None, Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")));
        assert!(!verifier_fits(challenge, Some("short")));
    }
}
