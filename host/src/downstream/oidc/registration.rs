//! Registering relying parties while the gateway runs: `/api/v1/organizations/{organization}/clients`.
//!
//! The request is JSON in the words of RFC 7591 §2, but for `scopes`, a list. Nobody decides here
//! who may log in: the policies of the organization's `client-application` do.

use std::{collections::BTreeMap, net::IpAddr};

use aws_lc_rs::constant_time;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{
    Provider, claims,
    registered::{ClientsError, Registration},
    sha256,
};
use crate::{
    config::{self, ClientMethod, Config, Organization},
    jose::{KeySet, from_jwk},
    secret::random_token,
};

/// Clients of one organization.
const CLIENTS_MAX: usize = 1000;

/// Redirect URIs of one kind.
const URIS_MAX: usize = 50;

/// A name or an id, in bytes.
const TEXT_BYTES_MAX: usize = 200;

/// Stands for administrators where wrong tokens are counted. No client has this id.
const ADMINISTRATOR: &str = "an administrator";

/// Why a client is not registered, shown or removed.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// There is a client of this id.
    #[error("there is a client `{0}` already")]
    Exists(String),
    /// The request is wrong.
    #[error("`{field}`: {detail}")]
    Invalid {
        /// The field; empty where it is the whole.
        field: String,
        /// What is wrong, and what was expected.
        detail: String,
    },
    /// No such client was registered.
    #[error("no such client was registered")]
    Missing,
    /// Ours: no randomness, or the file.
    #[error("the clients cannot be read or written")]
    Unavailable(Option<ClientsError>),
    /// No token, a wrong one, or no organization: nobody is told which.
    #[error("a bearer token of this organization's administrators is needed")]
    Unauthorized,
}

/// What is asked for; whatever else is in the request is refused, so that nobody relies on it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    client_id: Option<String>,
    client_name: Option<String>,
    grant_types: Option<Vec<String>>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    #[serde(default)]
    post_logout_redirect_uris: Vec<String>,
    backchannel_logout_uri: Option<String>,
    #[serde(default)]
    backchannel_logout_session_required: bool,
    frontchannel_logout_uri: Option<String>,
    #[serde(default)]
    frontchannel_logout_session_required: bool,
    scopes: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    id_token_signed_response_alg: Option<String>,
    jwks: Option<Value>,
    #[serde(default)]
    dpop_bound_access_tokens: bool,
    #[serde(default)]
    require_pushed_authorization_requests: bool,
}

/// A client that may be registered, and the secret that nobody will see again.
#[derive(Debug)]
pub struct Newcomer {
    registration: Registration,
    secret: Option<crate::secret::Secret<String>>,
}

impl Newcomer {
    /// Its id.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.registration.client_id
    }
}

impl Provider {
    /// Is this the `Authorization` header of one of the organization's administrators?
    ///
    /// # Errors
    ///
    /// [`RegistrationError::Unauthorized`].
    pub fn administrator(
        &self,
        config: &Config,
        organization: &str,
        authorization: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<(), RegistrationError> {
        let now = self.clock.now();
        if self.guesses.are_too_many(address, ADMINISTRATOR, now) {
            return Err(RegistrationError::Unauthorized);
        }
        let given = authorization
            .and_then(|header| header.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| sha256(&[token.trim().as_bytes()]));
        let known = config.organizations.get(organization).map(|organization| organization.admin_tokens.as_slice());
        // Each is compared, so that the time does not tell how many there are before the right one.
        let fits = given.is_some_and(|given| {
            known
                .unwrap_or_default()
                .iter()
                .fold(false, |found, token| found | constant_time::verify_slices_are_equal(token, &given).is_ok())
        });
        if !fits {
            self.guesses.count(address, ADMINISTRATOR, now);
            return Err(RegistrationError::Unauthorized);
        }
        Ok(())
    }

    /// Checks a registration; nothing is kept yet.
    ///
    /// # Errors
    ///
    /// As [`RegistrationError`] says.
    pub fn newcomer(&self, config: &Config, organization: &str, body: &[u8]) -> Result<Newcomer, RegistrationError> {
        let asked: Asked = {
            let mut deserializer = serde_json::Deserializer::from_slice(body);
            serde_path_to_error::deserialize(&mut deserializer)
                .map_err(|error| invalid(&error.path().to_string().replace('.', ""), error.inner().to_string()))?
        };
        let random = || random_token().map_err(|_| RegistrationError::Unavailable(None));
        let client_id = match asked.client_id {
            Some(id) => id,
            None => random()?,
        };
        // RFC 6749 appendix A.1: visible characters; the blank is left out, too.
        let is_id = (1..=TEXT_BYTES_MAX).contains(&client_id.len()) && client_id.bytes().all(|b| b.is_ascii_graphic());
        if !is_id {
            return Err(invalid("client_id", format!("expected 1 to {TEXT_BYTES_MAX} visible ASCII characters")));
        }
        let client_name = asked.client_name.unwrap_or_else(|| client_id.clone());
        if client_name.len() > TEXT_BYTES_MAX || client_name.chars().any(char::is_control) {
            return Err(invalid("client_name", format!("expected a line of at most {TEXT_BYTES_MAX} bytes")));
        }
        let redirect_uris = uris("redirect_uris", &asked.redirect_uris)?;
        if redirect_uris.is_empty() {
            return Err(invalid("redirect_uris", "no code can be sent anywhere: expected at least one URL"));
        }
        let post_logout_redirect_uris = uris("post_logout_redirect_uris", &asked.post_logout_redirect_uris)?;
        let backchannel_logout_uri = asked
            .backchannel_logout_uri
            .map(|text| config::redirect_uri(&text).map_err(|detail| invalid("backchannel_logout_uri", detail)))
            .transpose()?;
        if asked.backchannel_logout_session_required && backchannel_logout_uri.is_none() {
            return Err(invalid("backchannel_logout_session_required", "there is no backchannel_logout_uri"));
        }
        let frontchannel_logout_uri = asked
            .frontchannel_logout_uri
            .map(|text| {
                let url = config::redirect_uri(&text)?;
                config::hold_to_origins(&url, &redirect_uris).map(|()| url)
            })
            .transpose()
            .map_err(|detail| invalid("frontchannel_logout_uri", detail))?;
        if asked.frontchannel_logout_session_required && frontchannel_logout_uri.is_none() {
            return Err(invalid("frontchannel_logout_session_required", "there is no frontchannel_logout_uri"));
        }
        let grant_types = asked.grant_types.unwrap_or_else(|| vec!["authorization_code".to_owned()]);
        among("grant_types", &grant_types, &["authorization_code", "refresh_token"])?;
        if !grant_types.iter().any(|grant| grant == "authorization_code") {
            return Err(invalid("grant_types", "without authorization_code there is no first token"));
        }
        let scopes = asked.scopes.unwrap_or_else(|| claims::SCOPES.map(str::to_owned).to_vec());
        among("scopes", &scopes, &claims::SCOPES)?;
        let method = asked.token_endpoint_auth_method.unwrap_or_else(|| "client_secret_basic".to_owned());
        among("token_endpoint_auth_method", std::slice::from_ref(&method), &ClientMethod::ALL.map(ClientMethod::name))?;
        let jwks = keys(&method, asked.jwks)?;
        let algorithm = asked.id_token_signed_response_alg.unwrap_or_else(|| "ES256".to_owned());
        among("id_token_signed_response_alg", std::slice::from_ref(&algorithm), &["ES256", "RS256", "EdDSA"])?;

        let settings = self.organization(config, organization)?;
        if self.find(config, organization, &client_id).is_some() {
            return Err(RegistrationError::Exists(client_id));
        }
        if self.registered.of(&settings.clients_file).map_err(unavailable)?.len() >= CLIENTS_MAX {
            return Err(invalid("", format!("an organization has at most {CLIENTS_MAX} registered clients")));
        }
        let has_secret = method.starts_with("client_secret_");
        let secret = if has_secret { Some(format!("cs_{}", random()?)) } else { None };
        let registration = Registration {
            client_id,
            client_name,
            grant_types,
            redirect_uris,
            post_logout_redirect_uris,
            backchannel_logout_uri,
            backchannel_logout_session_required: asked.backchannel_logout_session_required,
            frontchannel_logout_uri,
            frontchannel_logout_session_required: asked.frontchannel_logout_session_required,
            scopes,
            token_endpoint_auth_method: method,
            id_token_signed_response_alg: algorithm,
            client_secret_sha256: secret.as_ref().map(|secret| hex(&sha256(&[secret.as_bytes()]))),
            jwks,
            dpop_bound_access_tokens: asked.dpop_bound_access_tokens,
            require_pushed_authorization_requests: asked.require_pushed_authorization_requests,
            client_id_issued_at: self.clock.now(),
        };
        Ok(Newcomer { registration, secret: secret.map(crate::secret::Secret::new) })
    }

    /// Keeps a checked registration, and answers as RFC 7591 §3.2.1 has it: the secret is shown this
    /// once. Blocks.
    ///
    /// # Errors
    ///
    /// As [`RegistrationError`] says.
    pub fn register(&self, config: &Config, organization: &str, new: Newcomer) -> Result<Value, RegistrationError> {
        let file = &self.organization(config, organization)?.clients_file;
        let Newcomer { registration, secret } = new;
        let mut answer = shown(&registration);
        if let (Some(secret), Some(members)) = (secret, answer.as_object_mut()) {
            members.insert("client_secret".to_owned(), json!(secret.expose()));
            members.insert("client_secret_expires_at".to_owned(), json!(0));
        }
        let id = registration.client_id.clone();
        let added = self.registered.change(file, |clients: &mut BTreeMap<String, Registration>| {
            if clients.contains_key(&registration.client_id) {
                return Err(false);
            }
            clients.insert(registration.client_id.clone(), registration);
            Ok(true)
        });
        if added.map_err(unavailable)? { Ok(answer) } else { Err(RegistrationError::Exists(id)) }
    }

    /// The registered clients, or the one of `client_id`; without their secrets.
    ///
    /// # Errors
    ///
    /// As [`RegistrationError`] says.
    pub fn registrations(
        &self,
        config: &Config,
        organization: &str,
        client_id: Option<&str>,
    ) -> Result<Value, RegistrationError> {
        let clients =
            self.registered.of(&self.organization(config, organization)?.clients_file).map_err(unavailable)?;
        match client_id {
            None => Ok(json!({ "clients": clients.values().map(shown).collect::<Vec<_>>() })),
            Some(id) => clients.get(id).map(shown).ok_or(RegistrationError::Missing),
        }
    }

    /// Removes a registered client: its tokens are good no more. Blocks.
    ///
    /// # Errors
    ///
    /// As [`RegistrationError`] says.
    pub fn unregister(&self, config: &Config, organization: &str, client_id: &str) -> Result<(), RegistrationError> {
        let file = &self.organization(config, organization)?.clients_file;
        let removed = self.registered.change(file, |clients| match clients.remove(client_id) {
            Some(_) => Ok(true),
            None => Err(false),
        });
        if removed.map_err(unavailable)? { Ok(()) } else { Err(RegistrationError::Missing) }
    }

    fn organization<'c>(&self, config: &'c Config, id: &str) -> Result<&'c Organization, RegistrationError> {
        config.organizations.get(id).ok_or(RegistrationError::Unauthorized)
    }
}

fn invalid(field: &str, detail: impl Into<String>) -> RegistrationError {
    RegistrationError::Invalid { field: field.to_owned(), detail: detail.into() }
}

fn uris(field: &str, texts: &[String]) -> Result<Vec<Url>, RegistrationError> {
    if texts.len() > URIS_MAX {
        return Err(invalid(field, format!("expected at most {URIS_MAX}")));
    }
    let checked = texts.iter().enumerate().map(|(index, text)| {
        let wrong = |detail: String| invalid(&format!("{field}[{index}]"), detail);
        let url = config::redirect_uri(text).map_err(wrong)?;
        // Somebody who writes one expects it to stand for something.
        if url.host_str().is_some_and(|host| host.contains('*')) {
            return Err(wrong("`*` stands for nothing: each address is named".to_owned()));
        }
        Ok(url)
    });
    checked.collect()
}

/// `jwks` (RFC 7591 §2): of those who prove themselves with a key, and of nobody else.
fn keys(method: &str, jwks: Option<Value>) -> Result<Option<Value>, RegistrationError> {
    let Some(jwks) = jwks else {
        return match method {
            "private_key_jwt" => Err(invalid("jwks", "private_key_jwt needs the client's public keys: a JWK set")),
            _ => Ok(None),
        };
    };
    if method != "private_key_jwt" {
        return Err(invalid("jwks", "expected only with the token_endpoint_auth_method private_key_jwt"));
    }
    let set = jwks.as_object().ok_or_else(|| invalid("jwks", "expected a JWK set: an object with `keys`"))?;
    // One bad key would be left out in silence: whoever registers it is told.
    for jwk in set.get("keys").and_then(Value::as_array).into_iter().flatten() {
        jwk.as_object().map(from_jwk).transpose().map_err(|fault| invalid("jwks", fault.detail))?;
    }
    let keys = KeySet::from_set(set).map_err(|fault| invalid("jwks", fault.detail))?;
    if keys.is_empty() {
        return Err(invalid("jwks", "expected at least one key: RSA of 2048 bits, P-256, P-384 or Ed25519"));
    }
    Ok(Some(jwks))
}

fn among(field: &str, values: &[String], known: &[&str]) -> Result<(), RegistrationError> {
    match values.iter().find(|value| !known.contains(&value.as_str())) {
        None => Ok(()),
        Some(_) => Err(invalid(field, format!("expected {}", known.join(", ")))),
    }
}

/// What may be shown of a registration.
fn shown(registration: &Registration) -> Value {
    let mut shown = json!({
        "client_id": registration.client_id,
        "client_name": registration.client_name,
        "client_id_issued_at": registration.client_id_issued_at,
        "grant_types": registration.grant_types,
        "redirect_uris": registration.redirect_uris,
        "post_logout_redirect_uris": registration.post_logout_redirect_uris,
        "scopes": registration.scopes,
        "token_endpoint_auth_method": registration.token_endpoint_auth_method,
        "id_token_signed_response_alg": registration.id_token_signed_response_alg,
    });
    if let Some(members) = shown.as_object_mut() {
        if let Some(jwks) = &registration.jwks {
            members.insert("jwks".to_owned(), jwks.clone());
        }
        for (name, is_set) in [
            ("dpop_bound_access_tokens", registration.dpop_bound_access_tokens),
            ("require_pushed_authorization_requests", registration.require_pushed_authorization_requests),
        ] {
            if is_set {
                members.insert(name.to_owned(), json!(true));
            }
        }
    }
    if let (Some(to), Some(members)) = (&registration.backchannel_logout_uri, shown.as_object_mut()) {
        members.insert("backchannel_logout_uri".to_owned(), json!(to));
        let required = json!(registration.backchannel_logout_session_required);
        members.insert("backchannel_logout_session_required".to_owned(), required);
    }
    if let (Some(to), Some(members)) = (&registration.frontchannel_logout_uri, shown.as_object_mut()) {
        members.insert("frontchannel_logout_uri".to_owned(), json!(to));
        let required = json!(registration.frontchannel_logout_session_required);
        members.insert("frontchannel_logout_session_required".to_owned(), required);
    }
    shown
}

/// In lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unavailable(error: ClientsError) -> RegistrationError {
    RegistrationError::Unavailable(Some(error))
}
