//! What a relying party is told when a session is over (OIDC Back-Channel Logout 1.0, OIDC
//! Front-Channel Logout 1.0).

use serde_json::json;
use url::Url;

use super::{Provider, claims, client::Client, issuer};
use crate::{
    config::Config,
    decision::Admission,
    keys::KeyError,
    secret::{NoRandomness, Secret, random_token},
    session::{Origin, Participant, Role},
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
            front_channel: client.registration.frontchannel_logout_uri.is_some(),
            role: Role::RelyingParty {
                client_id: request.client_id,
                mark: client.mark,
                subject: claims::subject(&admission.identity),
            },
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
        let Role::RelyingParty { client_id, subject, .. } = &participant.role else { return Ok(None) };
        let Some(client) = self.client_of(config, participant) else { return Ok(None) };
        let Some(to) = client.registration.backchannel_logout_uri.clone() else { return Ok(None) };
        let now = self.clock.now();
        // §2.4: `sid` and `sub`, and never a nonce.
        let claims = json!({
            "iss": issuer(config, &participant.tenant), "aud": client_id, "iat": now,
            "exp": now.saturating_add(LOGOUT_TOKEN_LIFETIME_S), "jti": random_token()?, "sub": subject,
            "sid": participant.origin.sid, "events": { EVENT: {} },
        });
        // §2.6: with the algorithm of its ID tokens.
        let token = self.keys.sign(&client.registration.id_token_algorithm, "logout+jwt", &claims)?;
        Ok(Some((to, Secret::new(token))))
    }

    /// The page of a participant that ends its session where a browser shows it in a frame (OIDC Front-Channel
    /// Logout §3); none where it has none, or is no longer the relying party that it was.
    #[must_use]
    pub fn front_channel_logout(&self, config: &Config, participant: &Participant) -> Option<Url> {
        let mut to = self.client_of(config, participant)?.registration.frontchannel_logout_uri.clone()?;
        let (issuer, sid) = (issuer(config, &participant.tenant), &participant.origin.sid);
        to.query_pairs_mut().append_pair("iss", &issuer).append_pair("sid", sid);
        Some(to)
    }

    /// The relying party that a participant is, where it is still that one.
    fn client_of<'c>(&self, config: &'c Config, participant: &Participant) -> Option<Client<'c>> {
        let Role::RelyingParty { client_id, mark, .. } = &participant.role else { return None };
        self.find(config, &participant.tenant, client_id).filter(|client| client.mark == *mark)
    }
}
