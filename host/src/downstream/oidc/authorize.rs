//! The authorization endpoint (OIDC Core §3.1.2): from a query to a login, and from an
//! admission to a code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{
    Provider, claims,
    client::Client,
    dpop,
    grants::Grant,
    issuer, limits, pushed,
    token::{TokenError, TokenRequest},
};
use crate::{config::Config, decision::Admission, keys::Purpose, session::Origin};

/// A checked authorization request; it travels sealed while the person logs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizeRequest {
    /// The application's id.
    pub application: String,
    /// Its organization.
    pub organization: String,
    /// The relying party.
    pub client_id: String,
    /// One of the registered ones.
    pub redirect_uri: Url,
    /// Asked for and registered.
    pub scopes: Vec<String>,
    /// To be given back.
    pub state: Option<String>,
    /// To be put in the ID token.
    pub nonce: Option<String>,
    /// RFC 7636, method S256.
    pub challenge: Option<String>,
    /// The thumbprint of the key that the code is bound to (RFC 9449 §10).
    pub dpop_jkt: Option<String>,
    /// `prompt=consent`
    #[serde(default)]
    pub consent: bool,
    /// `prompt=login`
    pub fresh: bool,
    /// `prompt=select_account`
    #[serde(default)]
    pub select_account: bool,
    /// `prompt=none`
    pub silent: bool,
    /// In seconds.
    pub max_age: Option<u32>,
    /// Passed on.
    pub login_hint: Option<String>,
    /// Passed on.
    pub acr_values: Vec<String>,
}

/// What an authorization request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A login is to decide.
    Login(Box<AuthorizeRequest>),
    /// The relying party is told what is wrong (OIDC Core §3.1.2.6).
    Redirect(Url),
    /// The person is told: without a good `client_id` and `redirect_uri` nobody may be
    /// redirected (RFC 6749 §4.1.2.1).
    Refused(Refused),
}

/// A refusal that is shown on our own page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// A stable name in kebab-case.
    pub code: &'static str,
    /// For the log.
    pub detail: String,
}

impl Provider {
    /// Reads the query of an authorization request; nothing of it is trusted.
    #[must_use]
    pub fn authorize(&self, config: &Config, organization: &str, query: &[(String, String)]) -> Asked {
        let refused = |code, detail: &str| Asked::Refused(Refused { code, detail: detail.to_owned() });
        let (parameters, repeated) = once(query);
        // Repeated, neither of these says where an error may be sent.
        if matches!(repeated, Some("client_id" | "redirect_uri" | "request_uri")) {
            return refused("repeated-parameter", "client_id, redirect_uri and request_uri must be given once");
        }
        let Some(client) = parameters.get("client_id").and_then(|id| self.find(config, organization, id)) else {
            return refused("unknown-client", "no application has this client_id");
        };
        // What was pushed stands alone: whatever else is in the query came through a browser, and is not looked
        // at (RFC 9126 §4, RFC 9101 §6.3).
        if let Some(uri) = parameters.get("request_uri").filter(|uri| pushed::is_ours(uri)) {
            return match self.pushed.take(&client, uri, self.clock.now()) {
                Some(request) => Asked::Login(Box::new(request)),
                None => refused("request-uri-unknown", "request_uri was used, is too old, or another client's"),
            };
        }
        let Some(redirect_uri) = parameters.get("redirect_uri").and_then(|uri| registered(&client, uri)) else {
            return refused("redirect-uri-not-registered", "redirect_uri must be one of the registered ones, exactly");
        };
        let state = parameters.get("state").map(|state| (*state).to_owned());
        let checked = if client.registration.requires_pushed {
            Err(("invalid_request", "this client's requests must be pushed"))
        } else {
            check(&client, &redirect_uri, &parameters, repeated)
        };
        match checked {
            Ok(request) => Asked::Login(Box::new(request)),
            Err((error, description)) => Asked::Redirect(error_url(
                &issuer(config, organization),
                &redirect_uri,
                state.as_deref(),
                error,
                description,
            )),
        }
    }

    /// Takes a request that a relying party pushes, after it proved who it is (RFC 9126 §2).
    ///
    /// # Errors
    ///
    /// As [`TokenError`] says.
    pub fn push(&self, config: &Config, organization: &str, request: &TokenRequest) -> Result<Value, TokenError> {
        let client = self.client(config, organization, request)?;
        let (parameters, repeated) = once(&request.fields);
        // RFC 9126 §2.1: one that refers to another would be another's, or a circle.
        if parameters.contains_key("request_uri") {
            return Err(TokenError::InvalidRequest);
        }
        let redirect_uri = parameters.get("redirect_uri").and_then(|uri| registered(&client, uri));
        let redirect_uri = redirect_uri.ok_or(TokenError::InvalidRequest)?;
        let mut checked = check(&client, &redirect_uri, &parameters, repeated).map_err(|(error, description)| {
            tracing::info!(error, description, "a pushed request is refused");
            TokenError::Authorization(error)
        })?;
        // RFC 9449 §10.1: a proof binds the code as `dpop_jkt` does, and both name one key.
        let proof = self.proof(request, &format!("{}/oidc/par", issuer(config, organization)))?;
        if let Some(proof) = &proof {
            let named = checked.dpop_jkt.get_or_insert_with(|| proof.thumbprint.clone());
            if *named != proof.thumbprint {
                tracing::info!(reason = "proof-of-another-key", "a proof of possession proves nothing");
                return Err(TokenError::InvalidDpopProof);
            }
        }
        let uri = self.pushed.put(&client, checked, self.clock.now())?;
        // After that: a client has few requests that wait, and so uses up few ids.
        self.spend(proof.as_ref())?;
        Ok(json!({ "request_uri": uri, "expires_in": limits::PUSHED_LIFETIME }))
    }

    /// Seals a request for the time of the login.
    ///
    /// # Errors
    ///
    /// Where there is no randomness.
    pub fn seal(&self, request: &AuthorizeRequest) -> Result<String, Refused> {
        let failed = |detail: String| Refused { code: "sealing-failed", detail };
        let bytes = serde_json::to_vec(request).map_err(|error| failed(error.to_string()))?;
        self.keys.seal(Purpose::AuthorizeRequest, BINDING, &bytes).map_err(|error| failed(error.to_string()))
    }

    /// What a code for this request stands for.
    pub(super) fn grant<'c>(
        &self,
        config: &'c Config,
        admission: &Admission,
        request: &AuthorizeRequest,
        origin: Origin,
    ) -> Result<(Client<'c>, Grant), Refused> {
        if request.application != admission.application || request.organization != admission.tenant {
            return Err(Refused { code: "wrong-application", detail: "the login was for another application".into() });
        }
        let client = self.find(config, &request.organization, &request.client_id);
        let client = client.filter(|client| client.application.id == request.application);
        // What was good when the login began must still be: a client can be removed meanwhile.
        let client = client.ok_or_else(|| Refused {
            code: "unknown-client",
            detail: "the client was removed during the login".into(),
        })?;
        registered(&client, request.redirect_uri.as_str()).ok_or_else(|| Refused {
            code: "redirect-uri-not-registered",
            detail: "the address was taken out during the login".into(),
        })?;
        let grant = Grant {
            application: request.application.clone(),
            organization: request.organization.clone(),
            client_id: request.client_id.clone(),
            mark: client.mark,
            redirect_uri: request.redirect_uri.as_str().to_owned(),
            challenge: request.challenge.clone(),
            dpop_jkt: request.dpop_jkt.clone(),
            nonce: request.nonce.clone(),
            claims: claims::claims(admission, &request.scopes),
            scopes: request.scopes.clone(),
            subject: claims::subject(&admission.identity),
            origin,
            ends: admission.at.saturating_add(u64::from(admission.terms.lifetime)),
            auth_time: admission.identity.auth_time,
            acr: admission.identity.acr.clone(),
            amr: admission.identity.amr.clone(),
        };
        Ok((client, grant))
    }

    /// The client of a request, where it still is one, with that address.
    pub(super) fn still<'c>(&self, config: &'c Config, request: &AuthorizeRequest) -> Option<Client<'c>> {
        let client = self.find(config, &request.organization, &request.client_id)?;
        let is_same = client.application.id == request.application
            && registered(&client, request.redirect_uri.as_str()).is_some();
        is_same.then_some(client)
    }

    pub(super) fn put_code(&self, code: &str, grant: Grant) {
        let now = self.clock.now();
        self.grants.put_code(code, grant, now.saturating_add(limits::CODE_LIFETIME), now);
    }

    /// Answers a request with a no: where the browser brings it.
    ///
    /// # Errors
    ///
    /// Where `sealed` is not what [`Provider::seal`] gave out.
    pub fn refuse(&self, config: &Config, sealed: &str, code: &str) -> Result<Url, Refused> {
        let request = self.unseal(sealed)?;
        let error = match code {
            "account-selection-unsupported" => "account_selection_required",
            "interaction-required" => "interaction_required",
            "login-required" => "login_required",
            // OpenID Connect Core Error Code unmet_authentication_requirements 1.0, §2.
            "acr-not-met" | "step-up-unmet" => "unmet_authentication_requirements",
            _ => "access_denied",
        };
        let issuer = issuer(config, &request.organization);
        Ok(error_url(&issuer, &request.redirect_uri, request.state.as_deref(), error, code))
    }

    pub(super) fn unseal(&self, sealed: &str) -> Result<AuthorizeRequest, Refused> {
        let refused = |detail: String| Refused { code: "authorize-request-invalid", detail };
        let bytes = self
            .keys
            .open_sealed(Purpose::AuthorizeRequest, BINDING, sealed)
            .map_err(|error| refused(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))
    }
}

/// The parameters by name, and one that came more than once.
fn once(query: &[(String, String)]) -> (BTreeMap<&str, &str>, Option<&str>) {
    let mut parameters = BTreeMap::new();
    let mut repeated = None;
    for (name, value) in query {
        if parameters.insert(name.as_str(), value.as_str()).is_some() {
            repeated = Some(name.as_str());
        }
    }
    (parameters, repeated)
}

/// What the seal of an authorization request is bound to.
const BINDING: &str = "authorize";

/// The registered redirect URI that is, byte for byte, the one asked for.
fn registered(client: &Client<'_>, asked: &str) -> Option<Url> {
    client.registration.redirect_uris.iter().find(|uri| uri.as_str() == asked).cloned()
}

/// An OAuth error code and a description of ours.
type Wrong = (&'static str, &'static str);

fn check(
    client: &Client<'_>,
    redirect_uri: &Url,
    parameters: &BTreeMap<&str, &str>,
    repeated: Option<&str>,
) -> Result<AuthorizeRequest, Wrong> {
    const INVALID: &str = "invalid_request";
    if repeated.is_some() {
        return Err((INVALID, "a parameter is given twice"));
    }
    if parameters.values().any(|value| value.len() > limits::PARAMETER_BYTES_MAX) {
        return Err((INVALID, "a parameter is too long"));
    }
    let text = |name: &str| parameters.get(name).map(|value| (*value).to_owned());
    if parameters.contains_key("request") {
        return Err(("request_not_supported", "request objects are not supported"));
    }
    if parameters.contains_key("request_uri") {
        return Err(("request_uri_not_supported", "only what was pushed here has a request_uri"));
    }
    if parameters.get("response_type") != Some(&"code") {
        return Err(("unsupported_response_type", "response_type must be code"));
    }
    if parameters.get("response_mode").is_some_and(|mode| *mode != "query") {
        return Err((INVALID, "response_mode must be query"));
    }
    let asked: Vec<&str> = parameters.get("scope").map(|scope| scope.split(' ').collect()).unwrap_or_default();
    if !asked.contains(&"openid") {
        return Err(("invalid_scope", "scope must contain openid"));
    }
    // Scopes that we do not know, or that the client may not ask for, are left out, and
    // the token response says which remain (RFC 6749 §3.3).
    let scopes = claims::SCOPES
        .iter()
        .filter(|scope| asked.contains(scope))
        .filter(|scope| **scope == "openid" || client.registration.scopes.iter().any(|own| own == *scope))
        .map(|scope| (*scope).to_owned())
        .collect();
    let prompt: Vec<&str> = parameters.get("prompt").map(|prompt| prompt.split(' ').collect()).unwrap_or_default();
    let silent = prompt.contains(&"none");
    if silent && prompt.len() > 1 {
        return Err((INVALID, "prompt=none goes with no other prompt"));
    }
    let dpop_jkt = text("dpop_jkt");
    if dpop_jkt.as_deref().is_some_and(|jkt| !dpop::is_thumbprint(jkt)) {
        return Err((INVALID, "dpop_jkt is malformed"));
    }
    let max_age = match parameters.get("max_age") {
        None => None,
        Some(text) => Some(text.parse::<u32>().map_err(|_| (INVALID, "max_age must be a number of seconds"))?),
    };
    Ok(AuthorizeRequest {
        application: client.application.id.clone(),
        organization: client.application.tenant.clone(),
        client_id: client.registration.client_id.clone(),
        redirect_uri: redirect_uri.clone(),
        scopes,
        state: text("state"),
        nonce: text("nonce"),
        challenge: challenge(client, parameters)?,
        dpop_jkt,
        consent: prompt.contains(&"consent"),
        fresh: prompt.contains(&"login"),
        select_account: prompt.contains(&"select_account"),
        silent,
        max_age,
        login_hint: text("login_hint"),
        acr_values: parameters
            .get("acr_values")
            .map(|values| values.split(' ').filter(|value| !value.is_empty()).map(str::to_owned).collect())
            .unwrap_or_default(),
    })
}

/// RFC 7636 §4.3: S256 only, and required of clients that have no secret.
fn challenge(client: &Client<'_>, parameters: &BTreeMap<&str, &str>) -> Result<Option<String>, Wrong> {
    let Some(challenge) = parameters.get("code_challenge") else {
        return if client.is_public() || parameters.contains_key("code_challenge_method") {
            Err(("invalid_request", "code_challenge with S256 is required"))
        } else {
            Ok(None)
        };
    };
    if parameters.get("code_challenge_method") != Some(&"S256") {
        return Err(("invalid_request", "code_challenge_method must be S256"));
    }
    // base64url of 32 bytes (RFC 7636 §4.2).
    let well_formed = challenge.len() == 43
        && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if well_formed {
        Ok(Some((*challenge).to_owned()))
    } else {
        Err(("invalid_request", "code_challenge is malformed"))
    }
}

/// The answer with a code.
pub(super) fn with_code(issuer: &str, request: AuthorizeRequest, code: &str) -> Url {
    let mut url = request.redirect_uri;
    url.query_pairs_mut().append_pair("code", code);
    finish(issuer, &mut url, request.state.as_deref());
    url
}

pub(super) fn error_url(issuer: &str, redirect_uri: &Url, state: Option<&str>, error: &str, description: &str) -> Url {
    let mut url = redirect_uri.clone();
    url.query_pairs_mut().append_pair("error", error).append_pair("error_description", description);
    finish(issuer, &mut url, state);
    url
}

/// `state` (RFC 6749 §4.1.2) and `iss` (RFC 9207 §2), on a yes and on a no.
fn finish(issuer: &str, url: &mut Url, state: Option<&str>) {
    let mut query = url.query_pairs_mut();
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    query.append_pair("iss", issuer);
}
