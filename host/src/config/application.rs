//! `[applications.ID]`: what is behind the gateway.

use std::{collections::BTreeSet, path::PathBuf};

use url::Url;

use crate::secret::Secret;

/// `[applications.ID]`
#[derive(Clone, Debug)]
pub struct Application {
    /// The id.
    pub id: String,
    /// `display-name`: default the id.
    pub display_name: String,
    /// `tenant`: the organization; default `default`.
    pub tenant: String,
    /// `upstreams`: ids, in display order.
    pub upstreams: Vec<String>,
    /// `chain`: policy names, in order.
    pub chain: Vec<String>,
    /// `url`: where a browser ends that has nowhere else to go.
    pub url: Url,
    /// `allowed-targets`: further origins (`https://a.example.com`) or hosts with their
    /// subdomains (`.example.com`) to which a login or a logout may lead; the origin of
    /// `url` always may.
    pub allowed_targets: Vec<String>,
    /// `protected-groups`: never changed by a login.
    pub protected_groups: BTreeSet<String>,
    /// `directory`: TOML file with the accounts and groups that the application has.
    pub directory: Option<PathBuf>,
    /// How the identity reaches it.
    pub hand_over: HandOver,
}

/// How an identity reaches an application.
#[derive(Clone, Debug)]
pub enum HandOver {
    /// A reverse proxy asks for each request.
    ForwardAuth(ForwardAuth),
    /// The application is a relying party of our OIDC provider.
    Oidc(OidcClient),
}

/// `[applications.ID.forward-auth]`
#[derive(Clone, Debug)]
pub struct ForwardAuth {
    /// `headers`
    pub headers: IdentityHeaders,
    /// `assertion-lifetime-s`: of the signed JWT; default 60.
    pub assertion_lifetime: u32,
    /// `pass-options`: let CORS preflights (`OPTIONS`) pass without an identity; default
    /// false.
    pub pass_options: bool,
}

/// `[applications.ID.forward-auth.headers]`: the names; an empty one is not sent.
#[derive(Clone, Debug)]
pub struct IdentityHeaders {
    /// `user`: default `X-Forwarded-User`.
    pub user: String,
    /// `email`: default `X-Forwarded-Email`.
    pub email: String,
    /// `groups`: default `X-Forwarded-Groups`.
    pub groups: String,
    /// `name`: default `X-Forwarded-Name`.
    pub name: String,
    /// `assertion`: default `X-Vestibule-Assertion`.
    pub assertion: String,
}

/// `[applications.ID.oidc]`
#[derive(Clone, Debug)]
pub struct OidcClient {
    /// `client-id`: default the application's id.
    pub client_id: String,
    /// `client-secret`: none makes a public client.
    pub client_secret: Option<Secret<String>>,
    /// `redirect-uris`: compared byte for byte.
    pub redirect_uris: Vec<Url>,
    /// `post-logout-redirect-uris`: compared byte for byte.
    pub post_logout_redirect_uris: Vec<Url>,
    /// `scopes`: what it may ask for; default `openid profile email groups`.
    pub scopes: Vec<String>,
    /// `id-token-algorithm`: `ES256` (default), `RS256` or `EdDSA`.
    pub id_token_algorithm: String,
}
