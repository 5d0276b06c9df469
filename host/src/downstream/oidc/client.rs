//! Relying parties as the configuration has them, and how they prove who they are.

use std::borrow::Cow;

use aws_lc_rs::constant_time;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;

use super::{
    Provider, issuer,
    registered::{ClientsError, Registered},
    sha256,
};
use crate::config::{Application, Config, HandOver, OidcClient};

/// An application that is a relying party.
#[derive(Clone, Debug)]
pub(crate) struct Client<'c> {
    /// The application whose policies decide.
    pub(crate) application: &'c Application,
    /// Its registration.
    pub(crate) registration: Cow<'c, OidcClient>,
    /// sha-256 of its secret, where it was registered while the gateway runs.
    secret: Option<[u8; 32]>,
    /// Which registration it is: another one of the same id does not get what this one was granted.
    pub(crate) mark: Option<[u8; 32]>,
}

impl Client<'_> {
    /// Has it no secret?
    pub(crate) fn is_public(&self) -> bool {
        self.registration.client_secret.is_none() && self.secret.is_none()
    }
}

/// The organization's relying party with this `client_id`, if there is one.
fn find<'c>(config: &'c Config, organization: &str, client_id: &str) -> Option<Client<'c>> {
    let mut own = config.applications.values().filter(|application| application.tenant == organization);
    own.find_map(|application| match &application.hand_over {
        HandOver::Oidc(registration) if registration.client_id == client_id => {
            Some(Client { application, registration: Cow::Borrowed(registration), secret: None, mark: None })
        }
        HandOver::Oidc(_) | HandOver::ForwardAuth(_) | HandOver::Saml(_) => None,
    })
}

impl Provider {
    /// The organization's relying party with this `client_id`: of the configuration, or registered
    /// since. A list that cannot be read has none.
    pub(crate) fn find<'c>(&self, config: &'c Config, organization: &str, client_id: &str) -> Option<Client<'c>> {
        if let Some(client) = find(config, organization, client_id) {
            return Some(client);
        }
        let settings = config.organizations.get(organization)?;
        let clients = self.registered.of(&settings.clients_file);
        let clients = clients.inspect_err(|error| tracing::error!(%error, "no registered client is known")).ok()?;
        let registered = clients.get(client_id)?;
        Some(Client {
            application: config.applications.get(&settings.client_application)?,
            registration: Cow::Owned(OidcClient {
                client_id: registered.client_id.clone(),
                client_secret: None,
                redirect_uris: registered.redirect_uris.clone(),
                post_logout_redirect_uris: registered.post_logout_redirect_uris.clone(),
                scopes: registered.scopes.clone(),
                id_token_algorithm: registered.id_token_signed_response_alg.clone(),
                refresh_tokens: registered.grant_types.iter().any(|grant| grant == "refresh_token"),
                backchannel_logout_uri: registered.backchannel_logout_uri.clone(),
                backchannel_logout_session_required: registered.backchannel_logout_session_required,
            }),
            // What is no hash is nobody's secret: it must not become a client without one.
            mark: Some(registered.mark()),
            secret: registered.client_secret_sha256.as_ref().map(|hash| unhex(hash).unwrap_or_default()),
        })
    }
}

/// What may be told of a relying party to whoever sets it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its organization.
    pub organization: String,
    /// The organization's issuer.
    pub issuer: String,
    /// Its id.
    pub client_id: String,
    /// What people call it.
    pub name: String,
    /// What it may ask for.
    pub scopes: Vec<String>,
    /// The address of the application, with a slash at the end.
    pub application_url: String,
}

/// The relying parties with this `client_id`, of `organization` or of all: of the configuration, and
/// those registered since.
///
/// # Errors
///
/// Where a list of registered clients cannot be read.
pub fn known(config: &Config, organization: Option<&str>, client_id: &str) -> Result<Vec<Known>, ClientsError> {
    let registered = Registered::default();
    let mut found = Vec::new();
    let mut add = |application: &Application, name: &str, scopes: &[String]| {
        found.push(Known {
            organization: application.tenant.clone(),
            issuer: issuer(config, &application.tenant),
            client_id: client_id.to_owned(),
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            application_url: application.url.origin().ascii_serialization() + "/",
        });
    };
    let is_asked = |id: &str| organization.is_none_or(|asked| asked == id);
    for application in config.applications.values().filter(|application| is_asked(&application.tenant)) {
        match &application.hand_over {
            HandOver::Oidc(client) if client.client_id == client_id => {
                add(application, &application.display_name, &client.scopes);
            }
            _ => {}
        }
    }
    for (id, settings) in config.organizations.iter().filter(|(id, _)| is_asked(id)) {
        let clients = registered.of(&settings.clients_file)?;
        let application = config.applications.get(&settings.client_application);
        if let (Some(client), Some(application)) = (clients.get(client_id), application)
            && application.tenant == *id
        {
            add(application, &client.client_name, &client.scopes);
        }
    }
    Ok(found)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The credentials of a token request, unverified.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unverified {
    /// `client_id`, from the header or the body.
    pub(crate) id: String,
    /// `client_secret`, from the header or the body.
    pub(crate) secret: Option<String>,
}

/// Reads client credentials (RFC 6749 §2.3.1). None where they are missing, malformed, or
/// given in two ways at once, which the section forbids.
pub(crate) fn credentials(
    authorization: Option<&str>,
    body_id: Option<&str>,
    body_secret: Option<&str>,
) -> Option<Unverified> {
    let Some(header) = authorization else {
        return Some(Unverified { id: body_id?.to_owned(), secret: body_secret.map(str::to_owned) });
    };
    let (scheme, value) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || body_secret.is_some() {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let form_decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(Cow::into_owned);
    let id = form_decode(id)?;
    if body_id.is_some_and(|body| body != id) {
        return None;
    }
    Some(Unverified { id, secret: Some(form_decode(secret)?) })
}

/// Is this secret the client's? Takes the same time for every wrong one. A public client
/// has no secret, and must not send one.
pub(crate) fn proves(client: &Client<'_>, secret: Option<&str>) -> bool {
    let configured = client.registration.client_secret.as_ref();
    match (configured.map(|expected| sha256(&[expected.expose().as_bytes()])).or(client.secret), secret) {
        (None, None) => true,
        (Some(expected), Some(given)) => {
            let given = sha256(&[given.as_bytes()]);
            constant_time::verify_slices_are_equal(&expected, &given).is_ok()
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_credentials_from_the_header_in_form_encoding() {
        let header = format!("Basic {}", STANDARD.encode("my%3Aid:a+b%26"));
        let found = credentials(Some(&header), None, None).expect("credentials");
        assert_eq!(found.id, "my:id");
        assert_eq!(found.secret.as_deref(), Some("a b&"));
    }

    #[test]
    fn refuses_credentials_in_two_places() {
        let header = format!("Basic {}", STANDARD.encode("id:secret"));
        assert!(credentials(Some(&header), Some("id"), Some("secret")).is_none());
        assert!(credentials(Some(&header), Some("other"), None).is_none());
        assert!(credentials(Some("Bearer x"), Some("id"), None).is_none());
        assert!(credentials(Some("Basic %%%"), None, None).is_none());
        assert!(credentials(None, None, Some("secret")).is_none());
    }
}
