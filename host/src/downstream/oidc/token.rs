//! The token endpoint (OIDC Core §3.1.3): a code for tokens.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Provider, client, grants::Grant, issuer, limits, sha256};
use crate::{config::Config, secret::random_token};

/// A token request, unverified: the form's fields and the `Authorization` header.
#[derive(Clone, Default)]
pub struct TokenRequest {
    /// The form's fields, in their order.
    pub fields: Vec<(String, String)>,
    /// The header, if there was one.
    pub authorization: Option<String>,
    /// Who asks, where that is known: wrong secrets are counted by address and client.
    pub address: Option<IpAddr>,
}

/// Why there are no tokens (RFC 6749 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The client did not prove who it is.
    #[error("invalid_client")]
    InvalidClient,
    /// The code is unknown, too old, spent, another client's, or the verifier is wrong.
    #[error("invalid_grant")]
    InvalidGrant,
    /// A parameter is missing, repeated or malformed.
    #[error("invalid_request")]
    InvalidRequest,
    /// A grant that this provider does not have.
    #[error("unsupported_grant_type")]
    UnsupportedGrantType,
    /// Ours: no key, no randomness.
    #[error("server_error")]
    ServerError,
}

impl Provider {
    /// Redeems a code.
    ///
    /// # Errors
    ///
    /// As [`TokenError`] says. Every cause that has to do with the code itself looks the
    /// same from outside.
    pub fn token(&self, config: &Config, request: &TokenRequest) -> Result<Value, TokenError> {
        let field = |name: &str| -> Result<Option<&str>, TokenError> {
            let mut values = request.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
            match (values.next(), values.next()) {
                (value, None) => Ok(value),
                (_, Some(_)) => Err(TokenError::InvalidRequest),
            }
        };
        let credentials =
            client::credentials(request.authorization.as_deref(), field("client_id")?, field("client_secret")?)
                .ok_or(TokenError::InvalidClient)?;
        let now = self.clock.now();
        // Not even the right one is taken from where so many wrong ones came: an answer would
        // tell which it is.
        if self.guesses.are_too_many(request.address, &credentials.id, now) {
            tracing::warn!("too many wrong client secrets from one address: it is not answered for a while");
            return Err(TokenError::InvalidClient);
        }
        let client = client::find(config, &credentials.id)
            .filter(|client| client::proves(*client, credentials.secret.as_deref()))
            .ok_or_else(|| {
                self.guesses.count(request.address, &credentials.id, now);
                TokenError::InvalidClient
            })?;
        match field("grant_type")? {
            Some("authorization_code") => {}
            Some(_) => return Err(TokenError::UnsupportedGrantType),
            None => return Err(TokenError::InvalidRequest),
        }
        let code = field("code")?.ok_or(TokenError::InvalidRequest)?;
        let redirect_uri = field("redirect_uri")?.ok_or(TokenError::InvalidRequest)?;
        let verifier = field("code_verifier")?;
        let jti = random_token().map_err(|_| TokenError::ServerError)?;
        let expires = now.saturating_add(limits::ACCESS_TOKEN_LIFETIME);
        let fits = |grant: &Grant| {
            grant.client_id == client.registration.client_id
                && grant.redirect_uri == redirect_uri
                && verifier_fits(grant.challenge.as_deref(), verifier)
        };
        let grant = self.grants.redeem(code, &jti, now, expires, fits).map_err(|_| TokenError::InvalidGrant)?;
        let sign = |algorithm: &str, typ: &str, claims: &Value| {
            self.keys.sign(algorithm, typ, claims).map_err(|_| TokenError::ServerError)
        };
        let issuer = issuer(config);
        // RFC 9068 §2.2.
        let access_token = sign(
            "ES256",
            "at+jwt",
            &json!({
                "iss": issuer, "sub": grant.subject, "aud": format!("{issuer}/oidc/userinfo"), "client_id": grant.client_id,
                "scope": grant.scopes.join(" "), "iat": now, "exp": expires, "jti": jti,
            }),
        )?;
        let algorithm = &client.registration.id_token_algorithm;
        let at_hash = at_hash(algorithm, &access_token);
        let id_token = sign(algorithm, "JWT", &id_token(&issuer, &grant, at_hash, now))?;
        Ok(json!({
            "access_token": access_token, "token_type": "Bearer", "expires_in": limits::ACCESS_TOKEN_LIFETIME,
            "id_token": id_token, "scope": grant.scopes.join(" "),
        }))
    }
}

/// OIDC Core §2, with the claims of the scopes, as §5.4 allows.
fn id_token(issuer: &str, grant: &Grant, at_hash: Option<String>, now: u64) -> Value {
    let mut claims = grant.claims.clone();
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
    put("nonce", json!(grant.nonce));
    put("auth_time", json!(grant.auth_time));
    put("acr", json!(grant.acr));
    put("amr", if grant.amr.is_empty() { Value::Null } else { json!(grant.amr) });
    put("sid", json!(grant.sid));
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
