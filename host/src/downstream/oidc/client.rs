//! Relying parties: those of the configuration, and those that were registered since.

use std::borrow::Cow;

use super::{
    Provider, issuer,
    registered::{ClientsError, Registered, Registration},
    sha256,
};
use crate::{
    config::{Application, ClientMethod, Config, HandOver, OidcClient},
    jose::KeySet,
};

/// An application that is a relying party.
#[derive(Clone, Debug)]
pub(crate) struct Client<'c> {
    /// The application whose policies decide.
    pub(crate) application: &'c Application,
    /// What people call it.
    pub(crate) name: Cow<'c, str>,
    /// Its registration.
    pub(crate) registration: Cow<'c, OidcClient>,
    /// sha-256 of its secret, where it was registered while the gateway runs.
    secret: Option<[u8; 32]>,
    /// Which registration it is: another one of the same id does not get what this one was granted.
    pub(crate) mark: Option<[u8; 32]>,
}

impl Client<'_> {
    /// Has it nothing to prove itself with?
    pub(crate) fn is_public(&self) -> bool {
        self.secret_hash().is_none() && self.registration.keys.is_empty()
    }

    /// sha-256 of its secret, if it has one.
    pub(super) fn secret_hash(&self) -> Option<[u8; 32]> {
        let configured = self.registration.client_secret.as_ref();
        configured.map(|secret| sha256(&[secret.expose().as_bytes()])).or(self.secret)
    }
}

/// The organization's relying party with this `client_id`, if there is one.
fn find<'c>(config: &'c Config, organization: &str, client_id: &str) -> Option<Client<'c>> {
    let mut own = config.applications.values().filter(|application| application.tenant == organization);
    own.find_map(|application| match &application.hand_over {
        HandOver::Oidc(registration) if registration.client_id == client_id => Some(Client {
            application,
            name: Cow::Borrowed(&application.display_name),
            registration: Cow::Borrowed(registration),
            secret: None,
            mark: None,
        }),
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
        let application = config.applications.get(&settings.client_application)?;
        let consent = matches!(&application.hand_over, HandOver::Oidc(client) if client.consent);
        Some(Client {
            application,
            name: Cow::Owned(registered.client_name.clone()),
            registration: Cow::Owned(OidcClient { consent, ..as_configured(registered) }),
            // What is no hash is nobody's secret: it must not become a client without one.
            mark: Some(registered.mark()),
            secret: registered.client_secret_sha256.as_ref().map(|hash| unhex(hash).unwrap_or_default()),
        })
    }
}

/// A registration as the configuration would have it, but for what its application decides. A way of authentication that we do not know is none.
fn as_configured(registered: &Registration) -> OidcClient {
    let method = ClientMethod::ALL.into_iter().find(|method| method.name() == registered.token_endpoint_auth_method);
    let keys = registered.jwks.as_ref().and_then(|jwks| KeySet::from_set(jwks.as_object()?).ok());
    OidcClient {
        client_id: registered.client_id.clone(),
        client_secret: None,
        methods: method.into_iter().collect(),
        keys: keys.unwrap_or_default(),
        redirect_uris: registered.redirect_uris.clone(),
        post_logout_redirect_uris: registered.post_logout_redirect_uris.clone(),
        scopes: registered.scopes.clone(),
        id_token_algorithm: registered.id_token_signed_response_alg.clone(),
        refresh_tokens: registered.grant_types.iter().any(|grant| grant == "refresh_token"),
        backchannel_logout_uri: registered.backchannel_logout_uri.clone(),
        backchannel_logout_session_required: registered.backchannel_logout_session_required,
        frontchannel_logout_uri: registered.frontchannel_logout_uri.clone(),
        frontchannel_logout_session_required: registered.frontchannel_logout_session_required,
        consent: false,
        requires_dpop: registered.dpop_bound_access_tokens,
        requires_pushed: registered.require_pushed_authorization_requests,
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
