//! `[upstreams.ID]`: the identity providers that we consume. Presets are resolved here,
//! so that nothing later knows them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    application::TAKEN_PATHS,
    check::{Check, Text, UrlUse, join},
    client::{Authentication, Credentials, client},
    presets::{self, Known, Preset},
};
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
    /// `callback-path`: where it sends browsers back, on the gateway's own host; default
    /// `/callback/ID`.
    pub callback_path: Option<String>,
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

impl Upstream {
    /// What the gateway itself asks of it, each by its key. No URL of discovery, which is not
    /// known yet.
    pub(super) fn fetched(&self) -> Vec<(&'static str, Url)> {
        let some = |key, url: &Option<Url>| url.clone().map(|url| (key, url));
        match &self.kind {
            UpstreamKind::Local => Vec::new(),
            UpstreamKind::OAuth2(oauth2) => {
                let mut urls = vec![
                    ("token-endpoint", oauth2.token_endpoint.clone()),
                    ("userinfo-endpoint", oauth2.userinfo_endpoint.clone()),
                ];
                urls.extend(some("emails-endpoint", &oauth2.emails_endpoint));
                urls
            }
            UpstreamKind::Oidc(oidc) => {
                let jwks = match &oidc.keys {
                    Keying::JwksUri(url) => Some(("jwks-uri", url.clone())),
                    _ => None,
                };
                let urls = [
                    some("issuer", &oidc.discovery),
                    some("token-endpoint", &oidc.endpoints.token),
                    some("userinfo-endpoint", &oidc.endpoints.userinfo),
                    jwks,
                ];
                urls.into_iter().flatten().collect()
            }
        }
    }
}

/// What an upstream speaks.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are few, and each is made once")]
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

/// An identity provider. With a preset, only what the preset asks for and the client's
/// registration are needed; a key set by hand wins over the preset.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawUpstream {
    /// What is known already.
    pub(super) preset: Preset,
    /// What it speaks; default `oidc`, and `oauth2` with the preset `github`.
    kind: Option<Kind>,
    /// What the chooser shows; default the id.
    display_name: Option<String>,
    /// Preset `entra`: the directory (tenant) ID, `common`, `organizations` or `consumers`.
    pub(super) tenant: Option<String>,
    /// Presets `okta` and `auth0`: the host name. Preset `cognito`: the prefix domain, or a whole custom domain.
    pub(super) domain: Option<String>,
    /// Preset `cognito`: the region, such as `eu-central-1`.
    pub(super) region: Option<String>,
    /// Preset `cognito`: the user pool's ID.
    pub(super) pool: Option<String>,
    /// Preset `okta`: a custom authorization server, such as `default`.
    pub(super) authorization_server: Option<String>,
    /// Preset `keycloak`: the URL before `/realms`.
    pub(super) base_url: Option<String>,
    /// Preset `keycloak`: the realm.
    pub(super) realm: Option<String>,
    /// Preset `clavex`: the host name. Presets `entra` and `github`: another host than the public one.
    pub(super) host: Option<String>,
    /// Preset `clavex`: the organization's short name.
    pub(super) organization: Option<String>,
    /// Where it sends browsers back, on the gateway's own host, for a client that is registered there already, such
    /// as `/oauth2/callback`; default `/callback/ID`. Each upstream has its own.
    callback_path: Option<String>,
    /// OIDC: must be the ID token's `iss`, byte for byte; `{tenantid}` in it stands for the token's `tid`.
    /// OAuth2: what stands for the issuer in identities, default the token endpoint's origin.
    issuer: Option<String>,
    /// The discovery document; default the issuer's. Not used where `authorization-endpoint`, `token-endpoint`
    /// and the keys are set, unless it is set itself.
    discovery_url: Option<String>,
    /// Wins over discovery.
    authorization_endpoint: Option<String>,
    /// Wins over discovery.
    token_endpoint: Option<String>,
    /// Wins over discovery.
    userinfo_endpoint: Option<String>,
    /// Wins over discovery.
    end_session_endpoint: Option<String>,
    /// OAuth2: a list of `{email, primary, verified}` as GitHub serves it.
    emails_endpoint: Option<String>,
    /// Where the ID tokens' keys are; wins over discovery.
    jwks_uri: Option<String>,
    /// A PEM public key or certificate, or a JWK or JWK set as JSON, in place of `jwks-uri`.
    public_key: Option<Text>,
    /// The client's id, as registered there.
    client_id: Option<String>,
    /// The client's secret.
    #[schemars(extend("x-secret" = true))]
    client_secret: Option<Text>,
    /// How the gateway proves to the token endpoint who it is; default `client_secret_basic`.
    client_authentication: Option<Authentication>,
    /// For `private_key_jwt`: a PEM private key, PKCS #8.
    #[schemars(extend("x-secret" = true))]
    private_key: Option<Text>,
    /// For `private_key_jwt`: the `kid` in the assertion's header.
    private_key_id: Option<String>,
    /// For `private_key_jwt`: `RS256` (default), `PS256`, `ES256` or `EdDSA`.
    private_key_algorithm: Option<String>,
    /// What is asked for; default `openid profile email` (OIDC), nothing (OAuth2).
    scopes: Option<Vec<String>>,
    /// Accepted for ID tokens, asymmetric only; default `RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA`.
    algorithms: Option<Vec<String>>,
    /// Also ask the userinfo endpoint; default true where there is one.
    userinfo: Option<bool>,
    /// Refuse a callback without RFC 9207's `iss`; otherwise as discovery says. Default false.
    require_iss_parameter: Option<bool>,
    /// How far its clock may be off, in seconds; default 60.
    #[schemars(range(min = 0, max = 300))]
    clock_skew_s: Option<u32>,
    /// Further query parameters of the authorization request.
    authorize_parameters: BTreeMap<String, String>,
    /// Template for logging out there, with `{client_id}`, `{sign_out_url}`, `{id_token}`, `{state}`; wins over
    /// `end-session-endpoint`.
    logout_url: Option<String>,
    /// The email domains that it is authoritative for; none leaves the question to the policies. `.example.com`
    /// means every subdomain.
    domains: Option<Vec<String>>,
    /// Count its addresses as verified although it does not say so.
    danger_trust_unverified_email: bool,
    /// It sends `"true"` for true; default false, and true with the preset `cognito`.
    email_verified_as_text: Option<bool>,
    /// Which claim says that the address is verified; default `email_verified`, and `xms_edov` with the preset
    /// `entra`.
    email_verified_claim: Option<String>,
    /// Name of the claim with the groups, or JSON pointer where it begins with `/`; default `groups`, and
    /// `cognito:groups` with the preset `cognito`.
    groups_claim: Option<String>,
    /// Which claim is the subject; default `sub`, and `id` with the preset `github`. `oid` keys Entra ID's
    /// subjects by object.
    subject_claim: Option<String>,
    /// Entra ID tenants (`tid`) that may log in through a multi-tenant issuer.
    allowed_tenants: Option<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// This gateway's own accounts (`[accounts]`).
    Local,
    /// OAuth 2.0 with a userinfo endpoint.
    Oauth2,
    /// OpenID Connect.
    Oidc,
}

/// Keys that only some kinds have.
const OIDC_ONLY: [&str; 9] = [
    "discovery-url",
    "end-session-endpoint",
    "jwks-uri",
    "public-key",
    "algorithms",
    "userinfo",
    "require-iss-parameter",
    "clock-skew-s",
    "allowed-tenants",
];
const OAUTH2_ONLY: [&str; 1] = ["emails-endpoint"];
/// What an upstream of local accounts has.
const LOCAL: [&str; 5] = ["preset", "kind", "display-name", "domains", "danger-trust-unverified-email"];

const SIGNING_ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

impl RawUpstream {
    /// None where something needed is missing or wrong, which was reported.
    pub(super) fn check(self, check: &mut Check<'_>, id: &str) -> Option<Upstream> {
        let section = join("upstreams", id);
        check.id(&section, id);
        let known = presets::resolve(check, &section, &self);
        let oauth2 = known.as_ref().is_some_and(|known| known.oauth2) || self.preset == Preset::Github;
        let kind = self.kind.unwrap_or(if oauth2 { Kind::Oauth2 } else { Kind::Oidc });
        if self.kind.is_some_and(|kind| self.preset != Preset::Custom && (kind == Kind::Oauth2) != oauth2) {
            let message = format!("the preset `{}` speaks something else", self.preset.name());
            check.error(&join(&section, "kind"), message, "", "leave `kind` out");
        }
        self.misplaced(check, &section, kind);
        self.domains(check, &section);
        if let Some(path) = &self.callback_path {
            callback_path(check, &join(&section, "callback-path"), path);
        }
        let known = known?;
        let multi_tenant =
            known.multi_tenant || self.issuer.as_ref().is_some_and(|issuer| issuer.contains("{tenantid}"));
        if multi_tenant && self.allowed_tenants.is_none() {
            let hint = "name the tenants that may log in, unless a policy does";
            check.warn(&section, "every Entra ID tenant may log in: `allowed-tenants` is not set", hint);
        }
        let text = |own: &Option<String>, preset: Option<&str>, otherwise: &str| {
            own.as_deref().or(preset).unwrap_or(otherwise).to_owned()
        };
        let email_verified_claim = text(&self.email_verified_claim, known.email_verified_claim, "email_verified");
        let groups_claim = text(&self.groups_claim, known.groups_claim, "groups");
        let subject_claim = text(&self.subject_claim, known.subject_claim, "sub");
        for (key, claim) in [
            ("email-verified-claim", &email_verified_claim),
            ("groups-claim", &groups_claim),
            ("subject-claim", &subject_claim),
        ] {
            if claim.is_empty() {
                check.error(&join(&section, key), "the claim has no name", "a claim's name", "");
            }
        }
        let display_name = text(&self.display_name, None, id);
        let callback_path = self.callback_path.clone();
        let (domains, allowed_tenants) = (self.domains.clone(), self.allowed_tenants.clone());
        let trust_unverified_email = self.danger_trust_unverified_email;
        let email_verified_as_text = self.email_verified_as_text.unwrap_or(known.email_verified_as_text);
        let kind = match kind {
            Kind::Local => UpstreamKind::Local,
            Kind::Oauth2 => UpstreamKind::OAuth2(self.oauth2(check, &section, known)?),
            Kind::Oidc => UpstreamKind::Oidc(self.oidc(check, &section, known)?),
        };
        Some(Upstream {
            id: id.to_owned(),
            display_name,
            kind,
            callback_path,
            domains: domains.map(|domains| domains.iter().map(|domain| domain.to_ascii_lowercase()).collect()),
            trust_unverified_email,
            email_verified_as_text,
            email_verified_claim,
            groups_claim,
            subject_claim,
            allowed_tenants,
        })
    }

    fn oidc(self, check: &mut Check<'_>, section: &str, known: Known) -> Option<Oidc> {
        let endpoints = Endpoints {
            authorization: endpoint(
                check,
                section,
                "authorization-endpoint",
                self.authorization_endpoint,
                known.authorization,
            ),
            token: endpoint(check, section, "token-endpoint", self.token_endpoint, known.token),
            userinfo: endpoint(check, section, "userinfo-endpoint", self.userinfo_endpoint, known.userinfo),
            end_session: endpoint(check, section, "end-session-endpoint", self.end_session_endpoint, None),
        };
        let keys = keying(check, section, self.jwks_uri, self.public_key.as_ref(), known.jwks);
        let issuer = self.issuer.clone().or(known.issuer);
        if let Some(issuer) = &self.issuer {
            // In a multi-tenant issuer the braces would be escaped: any tenant will do to
            // judge the rest.
            let judged = issuer.replace("{tenantid}", "tenant");
            if check.url(&join(section, "issuer"), &judged, UrlUse::Page).is_some_and(|url| url.query().is_some()) {
                check.error(&join(section, "issuer"), "an issuer has no query", "the issuer's URL", "");
            }
        }
        if issuer.is_none() {
            check.missing(section, "issuer", "the issuer's URL", "or choose a preset: `preset = \"entra\"`, …");
        }
        let by_hand =
            endpoints.authorization.is_some() && endpoints.token.is_some() && !matches!(keys, Some(Keying::Discovered));
        let discovery = match (self.discovery_url, known.discovery, &issuer) {
            (Some(own), ..) => check.url(&join(section, "discovery-url"), &own, UrlUse::Page),
            _ if by_hand => None,
            (None, Some(preset), _) => Url::parse(&preset).ok(),
            // OIDC Discovery §4.1: appended, with a trailing slash taken off.
            (None, None, Some(issuer)) => {
                Url::parse(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))).ok()
            }
            (None, None, None) => None,
        };
        let (client_id, client_authn) = client(
            check,
            section,
            self.client_id,
            Credentials {
                authentication: self.client_authentication,
                secret: self.client_secret,
                key: self.private_key,
                kid: self.private_key_id,
                algorithm: self.private_key_algorithm,
            },
        );
        let scopes = self.scopes.unwrap_or_else(|| owned(known.scopes.unwrap_or(&["openid", "profile", "email"])));
        if !scopes.iter().any(|scope| scope == "openid") {
            check.error(
                &join(section, "scopes"),
                "`openid` is not among the scopes",
                "`openid` and others",
                "OIDC Core §3.1.2.1",
            );
        }
        scopes_are_tokens(check, section, &scopes);
        let algorithms = self.algorithms.unwrap_or_else(|| owned(&SIGNING_ALGORITHMS));
        if algorithms.is_empty() {
            check.error(&join(section, "algorithms"), "no algorithm is accepted", "at least one", "");
        }
        for (index, algorithm) in algorithms.iter().enumerate() {
            if !SIGNING_ALGORITHMS.contains(&algorithm.as_str()) {
                let key = format!("{section}.algorithms[{index}]");
                check.error(
                    &key,
                    "not an accepted algorithm",
                    &SIGNING_ALGORITHMS.join(", "),
                    "symmetric ones and `none` never are",
                );
            }
        }
        let logout_url = logout(check, section, self.logout_url).or(known.logout);
        Some(Oidc {
            issuer: issuer?,
            discovery,
            keys: keys?,
            client_id: client_id?,
            client_authn: client_authn?,
            scopes,
            algorithms,
            userinfo: self.userinfo.unwrap_or(true),
            require_iss_parameter: self.require_iss_parameter.unwrap_or(false),
            clock_skew: self.clock_skew_s.unwrap_or(60),
            authorize_parameters: parameters(check, section, self.authorize_parameters),
            logout_url,
            endpoints,
        })
    }

    fn oauth2(self, check: &mut Check<'_>, section: &str, known: Known) -> Option<OAuth2> {
        let mut needed = |key: &str, own: Option<String>, preset: Option<String>| {
            if own.is_none() && preset.is_none() {
                check.missing(section, key, "an https URL", "OAuth 2.0 has no discovery");
            }
            endpoint(check, section, key, own, preset)
        };
        let authorization = needed("authorization-endpoint", self.authorization_endpoint, known.authorization);
        let token = needed("token-endpoint", self.token_endpoint, known.token);
        let userinfo = needed("userinfo-endpoint", self.userinfo_endpoint, known.userinfo);
        let emails = endpoint(check, section, "emails-endpoint", self.emails_endpoint, known.emails);
        if let Some(issuer) = &self.issuer {
            check.url(&join(section, "issuer"), issuer, UrlUse::Page);
        }
        let (client_id, client_authn) = client(
            check,
            section,
            self.client_id,
            Credentials {
                authentication: self.client_authentication,
                secret: self.client_secret,
                key: self.private_key,
                kid: self.private_key_id,
                algorithm: self.private_key_algorithm,
            },
        );
        let scopes = self.scopes.unwrap_or_else(|| owned(known.scopes.unwrap_or_default()));
        scopes_are_tokens(check, section, &scopes);
        let logout_url = logout(check, section, self.logout_url).or(known.logout);
        let token_endpoint = token?;
        let issuer = self.issuer.or(known.issuer).unwrap_or_else(|| token_endpoint.origin().ascii_serialization());
        Some(OAuth2 {
            authorization_endpoint: authorization?,
            token_endpoint,
            userinfo_endpoint: userinfo?,
            emails_endpoint: emails,
            issuer,
            client_id: client_id?,
            client_authn: client_authn?,
            scopes,
            authorize_parameters: parameters(check, section, self.authorize_parameters),
            logout_url,
        })
    }

    /// Reports keys that this kind does not have.
    fn misplaced(&self, check: &mut Check<'_>, section: &str, kind: Kind) {
        for key in check.given(section) {
            let key = key.as_str();
            let fits = match kind {
                Kind::Local => LOCAL.contains(&key),
                Kind::Oauth2 => !OIDC_ONLY.contains(&key),
                Kind::Oidc => !OAUTH2_ONLY.contains(&key),
            };
            if !fits {
                let kind = match kind {
                    Kind::Local => "local",
                    Kind::Oauth2 => "oauth2",
                    Kind::Oidc => "oidc",
                };
                let message = format!("an upstream of kind `{kind}` has no `{key}`");
                check.error(&join(section, key), message, "", "leave it out");
            }
        }
    }

    fn domains(&self, check: &mut Check<'_>, section: &str) {
        for (index, domain) in self.domains.iter().flatten().enumerate() {
            check.email_domain(&format!("{section}.domains[{index}]"), domain);
        }
    }
}

fn keying(
    check: &mut Check<'_>,
    section: &str,
    jwks_uri: Option<String>,
    public_key: Option<&Text>,
    preset: Option<String>,
) -> Option<Keying> {
    if jwks_uri.is_some() && public_key.is_some() {
        check.error(&join(section, "public-key"), "both `jwks-uri` and `public-key` are set", "one of them", "");
        return None;
    }
    if let Some(text) = public_key {
        let path = join(section, "public-key");
        let key = check.text(&path, text)?;
        let pem = ["-----BEGIN PUBLIC KEY-----", "-----BEGIN RSA PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----"];
        let start = key.trim_start();
        let json = || serde_json::from_str::<serde_json::Value>(start).is_ok_and(|json| json.is_object());
        if !pem.iter().any(|pem| start.starts_with(pem)) && !json() {
            check.error(&path, "not a public key", "PEM (key or certificate), or a JWK or JWK set as JSON", "");
            return None;
        }
        return Some(Keying::Static(key));
    }
    match (jwks_uri, preset) {
        (Some(own), _) => check.url(&join(section, "jwks-uri"), &own, UrlUse::Page).map(Keying::JwksUri),
        (None, Some(preset)) => Url::parse(&preset).ok().map(Keying::JwksUri),
        (None, None) => Some(Keying::Discovered),
    }
}

fn endpoint(
    check: &mut Check<'_>,
    section: &str,
    key: &str,
    own: Option<String>,
    preset: Option<String>,
) -> Option<Url> {
    match own {
        Some(own) => check.url(&join(section, key), &own, UrlUse::Page),
        None => preset.and_then(|preset| Url::parse(&preset).ok()),
    }
}

/// A logout template: known placeholders only, and a URL once they are filled.
fn logout(check: &mut Check<'_>, section: &str, template: Option<String>) -> Option<String> {
    const PLACEHOLDERS: [&str; 4] = ["{client_id}", "{sign_out_url}", "{id_token}", "{state}"];

    let template = template?;
    let key = join(section, "logout-url");
    let filled = PLACEHOLDERS.iter().fold(template.clone(), |text, placeholder| text.replace(placeholder, "x"));
    if filled.contains(['{', '}']) {
        check.error(&key, "the template has an unknown placeholder", &PLACEHOLDERS.join(", "), "");
        return None;
    }
    let before_query = template.split(['?', '#']).next().unwrap_or_default();
    if before_query.contains('{') {
        check.error(&key, "a placeholder stands outside the query", "placeholders after `?`", "");
        return None;
    }
    check.url(&key, &filled, UrlUse::Page).map(|_| template)
}

/// Parameters that the gateway sets itself must not be set again (OIDC Core §3.1.2.1).
fn parameters(check: &mut Check<'_>, section: &str, parameters: BTreeMap<String, String>) -> BTreeMap<String, String> {
    const OWN: [&str; 12] = [
        "acr_values",
        "client_id",
        "client_secret",
        "code_challenge",
        "code_challenge_method",
        "login_hint",
        "max_age",
        "nonce",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
    ];

    for name in parameters.keys() {
        if OWN.contains(&name.as_str()) || matches!(name.as_str(), "response_mode" | "request" | "request_uri") {
            let key = format!("{section}.authorize-parameters.{name}");
            check.error(&key, format!("the gateway sets `{name}` itself"), "", "leave it out");
        }
    }
    parameters
}

/// The paths of their own on which upstreams send browsers back.
pub(super) fn callback_paths(upstreams: &BTreeMap<String, Upstream>) -> impl Iterator<Item = &str> {
    upstreams.values().filter_map(|upstream| upstream.callback_path.as_deref())
}

/// A plain path, and none of the gateway's own.
fn callback_path(check: &mut Check<'_>, key: &str, path: &str) {
    let plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or_default().split('/').collect();
    if !segments.iter().copied().all(plain) {
        check.error(key, "not a plain path", "such as `/oauth2/callback`", "");
    } else if segments.first().is_some_and(|first| *first != "oauth2" && TAKEN_PATHS.contains(first)) {
        check.error(key, "the gateway's own pages are there", "another path", "");
    }
}

/// RFC 6749 §3.3: a scope has no blank, quote or backslash.
fn scopes_are_tokens(check: &mut Check<'_>, section: &str, scopes: &[String]) {
    for (index, scope) in scopes.iter().enumerate() {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if scope.is_empty() || !scope.bytes().all(plain) {
            check.error(&format!("{section}.scopes[{index}]"), "not a scope", "a text without blanks and quotes", "");
        }
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
