//! Logout that a relying party asks for (OIDC RP-Initiated Logout §2).

use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

use super::{Provider, Refused, issuer};
use crate::config::{Application, Config, is_post_logout};

/// A checked logout request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// The application that asks, where it said which.
    pub application: Option<String>,
    /// Where the browser goes afterwards: a registered address, with `state`.
    pub target: Option<Url>,
    /// The session that a valid `id_token_hint` names: it was given to nobody but the relying
    /// party of that session.
    pub sid: Option<String>,
}

impl Provider {
    /// May a logout of `application` end at `url`, since a relying party that was registered for it while the gateway
    /// runs registered that address? A list that cannot be read has none.
    #[must_use]
    pub fn may_end_at(&self, config: &Config, application: &Application, url: &Url) -> bool {
        let settings = config.organizations.get(&application.tenant);
        let Some(settings) = settings.filter(|settings| settings.client_application == application.id) else {
            return false;
        };
        let clients = self.registered.of(&settings.clients_file);
        let clients = clients.inspect_err(|error| tracing::error!(%error, "no registered client is known"));
        clients
            .is_ok_and(|clients| clients.values().any(|client| is_post_logout(&client.post_logout_redirect_uris, url)))
    }

    /// Reads the parameters of a logout request; nothing of them is trusted.
    ///
    /// # Errors
    ///
    /// Where an address is asked for that is not registered for the client, or where the
    /// client is not told by a valid `id_token_hint` or by `client_id`, or by both with
    /// different answers.
    pub fn farewell(
        &self,
        config: &Config,
        organization: &str,
        parameters: &[(String, String)],
    ) -> Result<Farewell, Refused> {
        let refused = |code, detail: &str| Refused { code, detail: detail.to_owned() };
        let parameters: BTreeMap<&str, &str> =
            parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut sid = None;
        let hinted = match parameters.get("id_token_hint") {
            None => None,
            Some(unverified) => {
                // An expired token is a good hint (§2): only the signature counts.
                let claims = self
                    .keys
                    .verify_hint(unverified)
                    .ok()
                    .filter(|claims| claims.get("iss").and_then(Value::as_str) == Some(&issuer(config, organization)))
                    .ok_or_else(|| refused("id-token-hint-invalid", "id_token_hint is not a token of ours"))?;
                sid = claims.get("sid").and_then(Value::as_str).map(str::to_owned);
                claims.get("aud").and_then(Value::as_str).map(str::to_owned)
            }
        };
        let named = parameters.get("client_id").map(|id| (*id).to_owned());
        if let (Some(hinted), Some(named)) = (&hinted, &named)
            && hinted != named
        {
            return Err(refused("client-mismatch", "client_id is not the audience of id_token_hint"));
        }
        let client = match hinted.or(named) {
            None => None,
            Some(id) => Some(
                self.find(config, organization, &id)
                    .ok_or_else(|| refused("unknown-client", "no application has this client_id"))?,
            ),
        };
        let target = match (parameters.get("post_logout_redirect_uri"), &client) {
            (None, _) => None,
            (Some(_), None) => {
                return Err(refused("unknown-client", "post_logout_redirect_uri needs id_token_hint or client_id"));
            }
            (Some(asked), Some(client)) => {
                let mut url = client
                    .registration
                    .post_logout_redirect_uris
                    .iter()
                    .find(|uri| uri.as_str() == *asked)
                    .cloned()
                    .ok_or_else(|| refused("target-not-allowed", "post_logout_redirect_uri is not registered"))?;
                if let Some(state) = parameters.get("state") {
                    url.query_pairs_mut().append_pair("state", state);
                }
                Some(url)
            }
        };
        Ok(Farewell { application: client.map(|client| client.application.id.clone()), target, sid })
    }
}
