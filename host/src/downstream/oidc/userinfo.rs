//! The userinfo endpoint (OIDC Core §5.3).

use serde_json::{Value, json};

use super::{
    Lives, Provider, claims,
    dpop::{self, Expected, Proof},
    issuer,
    tokens::bound_to,
};
use crate::config::Config;

/// What comes with a request for userinfo, unverified.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The `Authorization` header, if there was one.
    pub authorization: Option<&'a str>,
    /// The `DPoP` headers (RFC 9449 §4.1); what is no text is an empty one.
    pub proofs: &'a [String],
}

/// Why there is no answer (RFC 6750 §3.1, RFC 9449 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserinfoError {
    /// The proof of possession is missing, wrong or was used.
    #[error("invalid_dpop_proof")]
    InvalidDpopProof,
    /// Unknown, expired, revoked, or not an access token of ours; or one that is bound to a key, without that
    /// key; or one that is bound to none, with one.
    #[error("invalid_token")]
    InvalidToken {
        /// Was it presented with a proof, or should it have been?
        dpop: bool,
    },
    /// No credentials of a scheme of ours in the header.
    #[error("no access token was given")]
    Missing,
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
        presented: &Presented<'_>,
        lives: Lives<'_>,
    ) -> Result<Value, UserinfoError> {
        let (scheme, unverified) =
            presented.authorization.and_then(|header| header.split_once(' ')).ok_or(UserinfoError::Missing)?;
        let unverified = unverified.trim();
        let dpop = scheme.eq_ignore_ascii_case("dpop");
        if !dpop && !scheme.eq_ignore_ascii_case("bearer") {
            return Err(UserinfoError::Missing);
        }
        let told = self.access_claims(config, organization, unverified);
        let told = told.ok_or(UserinfoError::InvalidToken { dpop })?;
        // RFC 9449 §7.2: a token that is bound is no bearer token, and one that is not is nothing else.
        let bound = bound_to(&told);
        if bound.is_some() != dpop || told.get("cnf").is_some() != dpop {
            return Err(UserinfoError::InvalidToken { dpop: true });
        }
        let proof = match bound {
            Some(jkt) => Some(self.proof_of(config, organization, presented, unverified, jkt)?),
            None => None,
        };
        let grant = told
            .get("jti")
            .and_then(Value::as_str)
            .and_then(|jti| self.grants.access(jti, self.clock.now()))
            .filter(|grant| {
                let client = self.find(config, organization, &grant.client_id);
                // What came after the grant counts: a client that is gone, an upstream that it may
                // not use any more, a logout.
                client.is_some_and(|client| {
                    client.mark == grant.mark && config.may_come_from(client.application, &grant.origin.upstream)
                }) && lives(&grant.origin)
            })
            .ok_or(UserinfoError::InvalidToken { dpop })?;
        // Last: what is wrong uses nothing.
        self.spend(proof.as_ref()).map_err(|_| UserinfoError::InvalidDpopProof)?;
        let scopes = told.get("scope").and_then(Value::as_str).unwrap_or_default();
        let mut answer = claims::of_scopes(&grant.claims, scopes);
        answer.insert("sub".to_owned(), json!(grant.subject));
        Ok(Value::Object(answer))
    }

    /// The proof of the key `jkt` for just this token, checked and not yet used (RFC 9449 §7.1).
    fn proof_of(
        &self,
        config: &Config,
        organization: &str,
        presented: &Presented<'_>,
        token: &str,
        jkt: &str,
    ) -> Result<Proof, UserinfoError> {
        let url = format!("{}/oidc/userinfo", issuer(config, organization));
        let now = self.clock.now();
        let expected = Expected { method: presented.method, url: &url, access_token: Some(token), now };
        let proof = dpop::check(presented.proofs, &expected).and_then(|proof| proof.ok_or("proof-missing"));
        let proof = proof.map_err(|reason| {
            tracing::info!(reason, "a proof of possession proves nothing");
            UserinfoError::InvalidDpopProof
        })?;
        if proof.thumbprint != jkt {
            tracing::info!(reason = "proof-of-another-key", "a token came with a proof of another key");
            return Err(UserinfoError::InvalidToken { dpop: true });
        }
        Ok(proof)
    }
}
