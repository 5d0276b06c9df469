//! `[upstreams.ID]`: the identity providers that we consume. Presets are resolved here,
//! so that nothing later knows them.

use std::collections::BTreeMap;

use url::Url;

use crate::secret::Secret;

/// `[upstreams.ID]`
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The id, as policies name it.
    pub id: String,
    /// `display-name`: what the chooser shows; default the id.
    pub display_name: String,
    /// What it speaks.
    pub kind: UpstreamKind,
    /// `domains`: the email domains that it is authoritative for; none leaves the
    /// question to the policies. `.example.com` means every subdomain.
    pub domains: Option<Vec<String>>,
    /// `danger-trust-unverified-email`: count its addresses as verified although it does
    /// not say so; default false.
    pub trust_unverified_email: bool,
    /// `email-verified-as-text`: it sends `"true"` for true (Cognito's userinfo does);
    /// default false but in the preset `cognito`.
    pub email_verified_as_text: bool,
    /// `email-verified-claim`: default `email_verified`; `xms_edov` in the preset
    /// `entra`.
    pub email_verified_claim: String,
    /// `groups-claim`: name, or JSON pointer where it begins with `/`; default `groups`.
    pub groups_claim: String,
    /// `subject-claim`: default `sub`; `oid` where Entra ID should be keyed by object.
    pub subject_claim: String,
    /// `allowed-tenants`: Entra ID tenants (`tid`) that may log in, for the multi-tenant
    /// endpoints.
    pub allowed_tenants: Option<Vec<String>>,
}

/// What an upstream speaks.
#[derive(Clone, Debug)]
pub enum UpstreamKind {
    /// This gateway's own accounts.
    Local,
    /// OAuth 2.0 with a userinfo endpoint.
    OAuth2(OAuth2),
    /// OpenID Connect.
    Oidc(Oidc),
}

/// OpenID Connect toward an upstream.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// `issuer`: must be the ID token's `iss`, byte for byte. In Entra's multi-tenant
    /// issuer `{tenantid}` stands for the token's `tid`.
    pub issuer: String,
    /// Discovery document, where one is used.
    pub discovery: Option<Url>,
    /// Endpoints set by hand; they win over discovery.
    pub endpoints: Endpoints,
    /// Where the keys come from.
    pub keys: Keying,
    /// `client-id`
    pub client_id: String,
    /// `client-authentication` with its secret or key.
    pub client_authn: ClientAuthn,
    /// `scopes`: default `openid profile email`.
    pub scopes: Vec<String>,
    /// `algorithms`: accepted for ID tokens, asymmetric only; default
    /// `RS256 PS256 ES256 EdDSA` and their longer kin.
    pub algorithms: Vec<String>,
    /// `userinfo`: also ask the userinfo endpoint; default true where there is one.
    pub userinfo: bool,
    /// `require-iss-parameter`: refuse a callback without RFC 9207's `iss`; otherwise as
    /// discovery says.
    pub require_iss_parameter: bool,
    /// `clock-skew-s`: default 60.
    pub clock_skew: u32,
    /// `authorize-parameters`: further query parameters of the authorization request.
    pub authorize_parameters: BTreeMap<String, String>,
    /// `logout-url`: template for logging out at the upstream, with `{client_id}`,
    /// `{sign_out_url}`, `{id_token}`, `{state}`; wins over `end_session_endpoint`.
    pub logout_url: Option<String>,
}

/// Plain OAuth 2.0 toward an upstream.
#[derive(Clone, Debug)]
pub struct OAuth2 {
    /// `authorization-endpoint`
    pub authorization_endpoint: Url,
    /// `token-endpoint`
    pub token_endpoint: Url,
    /// `userinfo-endpoint`
    pub userinfo_endpoint: Url,
    /// `emails-endpoint`: a list of `{email, primary, verified}` as GitHub serves it.
    pub emails_endpoint: Option<Url>,
    /// `issuer`: what stands for the issuer in identities; default the token endpoint's
    /// origin.
    pub issuer: String,
    /// `client-id`
    pub client_id: String,
    /// `client-authentication`
    pub client_authn: ClientAuthn,
    /// `scopes`
    pub scopes: Vec<String>,
    /// `authorize-parameters`
    pub authorize_parameters: BTreeMap<String, String>,
    /// `logout-url`: as in OIDC.
    pub logout_url: Option<String>,
}

/// Endpoints set by hand.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// `authorization-endpoint`
    pub authorization: Option<Url>,
    /// `token-endpoint`
    pub token: Option<Url>,
    /// `userinfo-endpoint`
    pub userinfo: Option<Url>,
    /// `end-session-endpoint`
    pub end_session: Option<Url>,
}

/// Where an upstream's verification keys come from.
#[derive(Clone, Debug)]
pub enum Keying {
    /// As discovery says.
    Discovered,
    /// `jwks-uri`
    JwksUri(Url),
    /// `public-key`: a PEM public key or certificate, or a JWK or JWK set as JSON.
    Static(String),
}

/// How the gateway proves to a token endpoint who it is (OIDC Core §9).
#[derive(Clone, Debug)]
pub enum ClientAuthn {
    /// `none`: a public client; PKCE alone.
    None,
    /// `client_secret_basic`
    SecretBasic(Secret<String>),
    /// `client_secret_post`
    SecretPost(Secret<String>),
    /// `private_key_jwt`: a PEM private key, and the `kid` to put in the header.
    PrivateKeyJwt {
        /// PEM, PKCS #8.
        key: Secret<String>,
        /// The header's `kid`.
        kid: Option<String>,
        /// `RS256`, `PS256`, `ES256` or `EdDSA`.
        algorithm: String,
    },
}
