//! What a relying party is told when a session is over (OIDC Back-Channel Logout 1.0).

use serde_json::json;
use url::Url;

use super::{Provider, claims, issuer};
use crate::{
    config::Config,
    decision::Admission,
    keys::KeyError,
    secret::{NoRandomness, Secret, random_token},
    session::{Origin, Participant},
};

/// The member of `events` that makes a token a logout token (§2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// How long a logout token is good, in seconds; §2.4 recommends two minutes at most.
const LOGOUT_TOKEN_LIFETIME_S: u64 = 120;

/// Why there is no logout token.
#[derive(Debug, thiserror::Error)]
pub enum Untellable {
    /// No key signs.
    #[error("failed to sign a logout token")]
    Key(#[from] KeyError),
    /// No `jti` could be made.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl Provider {
    /// Who takes part in a session once the sealed request is granted.
    #[must_use]
    pub fn participant(
        &self,
        config: &Config,
        admission: &Admission,
        sealed: &str,
        origin: &Origin,
    ) -> Option<Participant> {
        let request = self.unseal(sealed).ok()?;
        let client = self.find(config, &request.organization, &request.client_id)?;
        Some(Participant {
            tenant: request.organization,
            application: request.application,
            client_id: request.client_id,
            mark: client.mark,
            subject: claims::subject(&admission.identity),
            origin: origin.clone(),
        })
    }

    /// Where a participant hears of a logout, and the token that says so; none where it wants to
    /// hear nothing, or is no longer the relying party that it was. Each token has its own `jti`.
    ///
    /// # Errors
    ///
    /// [`Untellable`].
    pub fn logout_token(
        &self,
        config: &Config,
        participant: &Participant,
    ) -> Result<Option<(Url, Secret<String>)>, Untellable> {
        let Some(client) = self.find(config, &participant.tenant, &participant.client_id) else { return Ok(None) };
        if client.mark != participant.mark {
            return Ok(None);
        }
        let Some(to) = client.registration.backchannel_logout_uri.clone() else { return Ok(None) };
        let now = self.clock.now();
        // §2.4: `sid` and `sub`, and never a nonce.
        let claims = json!({
            "iss": issuer(config, &participant.tenant), "aud": participant.client_id, "iat": now,
            "exp": now.saturating_add(LOGOUT_TOKEN_LIFETIME_S), "jti": random_token()?, "sub": participant.subject,
            "sid": participant.origin.sid, "events": { EVENT: {} },
        });
        // §2.6: with the algorithm of its ID tokens.
        let token = self.keys.sign(&client.registration.id_token_algorithm, "logout+jwt", &claims)?;
        Ok(Some((to, Secret::new(token))))
    }
}
