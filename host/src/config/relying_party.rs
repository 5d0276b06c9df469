//! `[applications.ID.oidc]`: an application that is a relying party of the gateway's OIDC provider.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::check::{Check, Text, UrlUse, join};
use crate::{jose::KeySet, secret::Secret};

/// `[applications.ID.oidc]`
#[derive(Clone, Debug, Default)]
pub struct OidcClient {
    /// `client-id`: default the application's id.
    pub client_id: String,
    /// `client-secret`: none makes a public client, unless it has `public-key`.
    pub client_secret: Option<Secret<String>>,
    /// `client-authentication`: how it may prove who it is; both ways with a secret where the key is left out.
    pub methods: Vec<ClientMethod>,
    /// `public-key`: what its assertions are signed with.
    pub keys: KeySet,
    /// `redirect-uris`: compared byte for byte.
    pub redirect_uris: Vec<Url>,
    /// `post-logout-redirect-uris`: compared byte for byte.
    pub post_logout_redirect_uris: Vec<Url>,
    /// `scopes`: what it may ask for; default `openid profile email groups`.
    pub scopes: Vec<String>,
    /// `id-token-algorithm`: `ES256` (default), `RS256` or `EdDSA`.
    pub id_token_algorithm: String,
    /// `grant-types` has `refresh_token`: it gets refresh tokens; default false.
    pub refresh_tokens: bool,
    /// `backchannel-logout-uri`: where it is told that a session is over.
    pub backchannel_logout_uri: Option<Url>,
    /// `backchannel-logout-session-required`; every logout token names the session in any case.
    pub backchannel_logout_session_required: bool,
    /// `frontchannel-logout-uri`: its page that ends its session in a frame of ours.
    pub frontchannel_logout_uri: Option<Url>,
    /// `frontchannel-logout-session-required`; every such address names the session in any case.
    pub frontchannel_logout_session_required: bool,
    /// `consent`: people are asked before it is told who they are; default false.
    pub consent: bool,
    /// `dpop-bound-access-tokens`: it gets tokens only with a proof of its key (RFC 9449 §5.2); default false.
    pub requires_dpop: bool,
    /// `require-pushed-authorization-requests`: its requests are pushed before a browser brings them; default false.
    pub requires_pushed: bool,
}

/// Is `url` one of these `post-logout-redirect-uris`, byte for byte but for the `state` that a relying party asked to
/// have back (OIDC RP-Initiated Logout §3)?
#[must_use]
pub fn is_post_logout(registered: &[Url], url: &Url) -> bool {
    registered.iter().any(|registered| {
        url.as_str().strip_prefix(registered.as_str()).is_some_and(|rest| {
            let state = if registered.query().is_some() { rest.strip_prefix('&') } else { rest.strip_prefix('?') };
            rest.is_empty() || state.is_some_and(|state| state.starts_with("state=") && !state.contains(['&', '#']))
        })
    })
}

/// How a relying party proves who it is (OIDC Core §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientMethod {
    /// Its secret in the `Authorization` header.
    ClientSecretBasic,
    /// Its secret in the body.
    ClientSecretPost,
    /// It has nothing to prove it with; PKCE alone.
    None,
    /// An assertion signed with the key of `public-key` (RFC 7523).
    PrivateKeyJwt,
}

impl ClientMethod {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::None, Self::PrivateKeyJwt];

    /// Its registered name (RFC 7591 §2).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::None => "none",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
}

/// The application is a relying party of the gateway's OIDC provider.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawOidc {
    /// Default the application's id.
    client_id: Option<String>,
    /// None makes a public client, unless there is a `public-key`.
    #[schemars(extend("x-secret" = true))]
    client_secret: Option<Text>,
    /// Verifies the client's assertions, in place of a secret: a PEM public key or certificate, or a JWK or JWK set as
    /// JSON.
    public_key: Option<Text>,
    /// How it proves who it is. Left out: as it has a `public-key`, a `client-secret` (header or body), or neither.
    client_authentication: Option<ClientMethod>,
    /// Where codes may be sent; compared byte for byte.
    #[schemars(extend("x-required" = true))]
    redirect_uris: Option<Vec<String>>,
    /// Where a logout may end; compared byte for byte.
    post_logout_redirect_uris: Vec<String>,
    /// What it may ask for; default `openid profile email groups`.
    scopes: Option<Vec<String>>,
    /// The algorithm of its ID tokens; default `ES256`.
    id_token_algorithm: Option<IdTokenAlgorithm>,
    /// How it gets tokens: `authorization_code`, and `refresh_token` where it may renew them without the person for
    /// as long as the session that was decided; default `authorization_code` alone.
    grant_types: Option<BTreeSet<GrantType>>,
    /// Where the gateway itself tells it that a session is over, with a logout token (OpenID Connect Back-Channel
    /// Logout). A private address must be in `fetch.allow-private-addresses`.
    backchannel_logout_uri: Option<String>,
    /// Does it need the session's `sid` in the logout token? Every one has it.
    backchannel_logout_session_required: bool,
    /// Its page that ends its session where the logout's page shows it in a frame (OpenID Connect Front-Channel
    /// Logout), on the origin of one of `redirect-uris`. Browsers that keep cookies of other sites to themselves do not
    /// log out that way: `backchannel-logout-uri` is better where it can be had.
    frontchannel_logout_uri: Option<String>,
    /// Does it need the session's `iss` and `sid` in that address? Every one has them.
    frontchannel_logout_session_required: bool,
    /// Is a person asked before it is told who they are? Once, and again where it asks for more; needs `[consent]`. Holds
    /// for the clients that are registered for this application, too.
    consent: bool,
    /// Must it prove a key whenever it gets tokens (RFC 9449, DPoP)? They are bound to that key. Without this, it may.
    dpop_bound_access_tokens: bool,
    /// Its authorization requests must be pushed to `/oidc/par` first (RFC 9126): what a browser could have changed is
    /// refused.
    require_pushed_authorization_requests: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum GrantType {
    AuthorizationCode,
    RefreshToken,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
enum IdTokenAlgorithm {
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "EdDSA")]
    EdDsa,
    #[serde(rename = "RS256")]
    Rs256,
}

impl RawOidc {
    pub(super) fn check(self, check: &mut Check<'_>, section: &str, id: &str) -> Option<OidcClient> {
        let client_secret = match &self.client_secret {
            Some(text) => Some(Secret::new(check.text(&join(section, "client-secret"), text)?)),
            None => None,
        };
        let keys = match &self.public_key {
            Some(text) => public_key(check, &join(section, "public-key"), text)?,
            None => KeySet::default(),
        };
        let has = (client_secret.is_some(), self.public_key.is_some());
        let methods = methods(check, section, self.client_authentication, has);
        let mut uris = |key: &str, texts: &[String]| -> Vec<Url> {
            let keyed = texts.iter().enumerate();
            keyed
                .filter_map(|(index, text)| check.url(&format!("{section}.{key}[{index}]"), text, UrlUse::Redirect))
                .collect()
        };
        let redirect_uris = uris("redirect-uris", self.redirect_uris.as_deref().unwrap_or_default());
        let post_logout_redirect_uris = uris("post-logout-redirect-uris", &self.post_logout_redirect_uris);
        if self.redirect_uris.as_ref().is_some_and(Vec::is_empty) {
            check.error(&join(section, "redirect-uris"), "no code can be sent anywhere", "at least one URL", "");
        }
        let logout = join(section, "backchannel-logout-uri");
        let backchannel_logout_uri = check.url_opt(&logout, self.backchannel_logout_uri.as_deref(), UrlUse::Redirect);
        if self.backchannel_logout_session_required && self.backchannel_logout_uri.is_none() {
            let message = "it is told of no logout";
            let hint = "add `backchannel-logout-uri`";
            check.error(&join(section, "backchannel-logout-session-required"), message, "", hint);
        }
        let logout = join(section, "frontchannel-logout-uri");
        let frontchannel_logout_uri = check.url_opt(&logout, self.frontchannel_logout_uri.as_deref(), UrlUse::Redirect);
        if let Some(Err(expected)) = frontchannel_logout_uri.as_ref().map(|url| hold_to_origins(url, &redirect_uris)) {
            check.error(&logout, "a page of somebody else", &expected, "");
        }
        if self.frontchannel_logout_session_required && self.frontchannel_logout_uri.is_none() {
            let message = "it is told of no logout in a frame";
            let hint = "add `frontchannel-logout-uri`";
            check.error(&join(section, "frontchannel-logout-session-required"), message, "", hint);
        }
        let client_id = self.client_id.unwrap_or_else(|| id.to_owned());
        // RFC 6749 appendix A.1: visible characters; we leave out the blank, too.
        if client_id.is_empty() || !client_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            check.error(&join(section, "client-id"), "not a client's id", "visible ASCII characters", "");
        }
        let scopes =
            self.scopes.unwrap_or_else(|| ["openid", "profile", "email", "groups"].map(str::to_owned).to_vec());
        let id_token_algorithm = match self.id_token_algorithm.unwrap_or(IdTokenAlgorithm::Es256) {
            IdTokenAlgorithm::Es256 => "ES256",
            IdTokenAlgorithm::EdDsa => "EdDSA",
            IdTokenAlgorithm::Rs256 => "RS256",
        };
        let grant_types = self.grant_types.unwrap_or_else(|| [GrantType::AuthorizationCode].into());
        if !grant_types.contains(&GrantType::AuthorizationCode) {
            let expected = "`authorization_code`, and perhaps `refresh_token`";
            check.error(&join(section, "grant-types"), "without a code there is no first token", expected, "");
        }
        Some(OidcClient {
            client_id,
            client_secret,
            methods,
            keys,
            redirect_uris,
            post_logout_redirect_uris,
            scopes,
            id_token_algorithm: id_token_algorithm.to_owned(),
            refresh_tokens: grant_types.contains(&GrantType::RefreshToken),
            backchannel_logout_uri,
            backchannel_logout_session_required: self.backchannel_logout_session_required,
            frontchannel_logout_uri,
            frontchannel_logout_session_required: self.frontchannel_logout_session_required,
            consent: self.consent,
            requires_dpop: self.dpop_bound_access_tokens,
            requires_pushed: self.require_pushed_authorization_requests,
        })
    }
}

/// OIDC Front-Channel Logout §2: scheme, host and port are those of an address that codes are sent to.
///
/// # Errors
///
/// What was expected.
pub fn hold_to_origins(url: &Url, redirect_uris: &[Url]) -> Result<(), String> {
    if redirect_uris.iter().any(|own| own.origin() == url.origin()) {
        return Ok(());
    }
    Err("expected an address on the origin of one of the redirect URIs".to_owned())
}

/// Keys that verify, of which at least one can be used.
fn public_key(check: &mut Check<'_>, key: &str, text: &Text) -> Option<KeySet> {
    let text = check.text(key, text)?;
    let expected = "PEM (key or certificate), or a JWK or JWK set as JSON";
    match KeySet::from_text(&text) {
        Ok(keys) if !keys.is_empty() => return Some(keys),
        Ok(_) => check.error(key, "no key in it can be used", expected, "RSA of 2048 bits, P-256, P-384 or Ed25519"),
        Err(fault) => check.error(key, fault.detail, expected, ""),
    }
    None
}

/// The ways in which it may prove who it is: what it has, and what it is told to use of that.
fn methods(
    check: &mut Check<'_>,
    section: &str,
    given: Option<ClientMethod>,
    (has_secret, has_key): (bool, bool),
) -> Vec<ClientMethod> {
    use ClientMethod::{ClientSecretBasic, ClientSecretPost, None as Public, PrivateKeyJwt};
    let key = join(section, "client-authentication");
    let Some(method) = given else {
        return match (has_secret, has_key) {
            (true, true) => {
                let message = "`client-secret` and `public-key` are both set";
                check.error(&join(section, "public-key"), message, "one of them", "see `client-authentication`");
                Vec::new()
            }
            (true, false) => vec![ClientSecretBasic, ClientSecretPost],
            (false, true) => vec![PrivateKeyJwt],
            (false, false) => vec![Public],
        };
    };
    let (needs_secret, needs_key) =
        (matches!(method, ClientSecretBasic | ClientSecretPost), matches!(method, PrivateKeyJwt));
    for (name, has, needs) in [("client-secret", has_secret, needs_secret), ("public-key", has_key, needs_key)] {
        if has && !needs {
            let message = "this way of client authentication does not use it";
            check.error(&join(section, name), message, "", "see `client-authentication`");
        }
        if needs && !has {
            check.error(&key, format!("`{name}` is missing"), "what it proves itself with", "");
        }
    }
    vec![method]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{
        super::{HandOver, parse},
        *,
    };

    const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

    /// The client, or the keys that are wrong with their messages.
    fn read(lines: &str) -> Result<OidcClient, Vec<String>> {
        let text = format!(
            "[server]\npublic-url = \"https://login.example.com\"\n[upstreams.main]\npreset = \"google\"\nclient-id = \"c\"\n\
             client-secret = \"s\"\n[policies.p]\ncomponent = \"p.wasm\"\n[applications.web]\nupstreams = [\"main\"]\n\
             chain = [\"p\"]\nurl = \"https://web.example.com/\"\n[applications.web.oidc]\n\
             redirect-uris = [\"https://web.example.com/cb\"]\n{lines}\n"
        );
        let parsed = parse(&text, Path::new("/etc/vestibule/vestibule.toml"), &|_| None);
        let config = parsed.map_err(|problems| {
            let keys = problems.problems().iter().map(|problem| problem.key.clone());
            keys.map(|key| key.trim_start_matches("applications.web.oidc.").to_owned()).collect::<Vec<_>>()
        })?;
        match config.applications["web"].hand_over.clone() {
            HandOver::Oidc(client) => Ok(client),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_client_proves_itself_with_what_it_has() {
        use ClientMethod::{ClientSecretBasic, ClientSecretPost, None as Public, PrivateKeyJwt};
        let key = format!("public-key = '{EC}'");
        for (lines, methods) in [
            ("", vec![Public]),
            ("client-secret = \"s\"", vec![ClientSecretBasic, ClientSecretPost]),
            ("client-secret = \"s\"\nclient-authentication = \"client_secret_post\"", vec![ClientSecretPost]),
            (&key, vec![PrivateKeyJwt]),
            (&format!("{key}\nclient-authentication = \"private_key_jwt\""), vec![PrivateKeyJwt]),
            ("client-authentication = \"none\"", vec![Public]),
        ] {
            assert_eq!(read(lines).unwrap().methods, methods, "{lines}");
        }
    }

    #[test]
    fn whoever_asks_people_remembers_what_they_said() {
        assert_eq!(read("consent = true").unwrap_err(), ["consent"]);
        let client = read("consent = true\ndpop-bound-access-tokens = true\n[consent]\nfile = \"state/consents\"");
        let client = client.unwrap();
        assert!(client.consent && client.requires_dpop);
        assert_eq!(read("consent = true\n[consent]").unwrap_err(), ["consent.file"]);
        let plain = read("").unwrap();
        assert!(!plain.consent && !plain.requires_dpop);
    }

    #[test]
    fn what_does_not_fit_the_way_of_authentication_is_told_at_its_key() {
        let key = format!("public-key = '{EC}'");
        let private = EC.replace("\"x\":", "\"d\":\"AQAB\",\"x\":");
        for (lines, wrong) in [
            (&*format!("{key}\nclient-secret = \"s\""), "public-key"),
            (&format!("{key}\nclient-authentication = \"none\""), "public-key"),
            ("client-secret = \"s\"\nclient-authentication = \"none\"", "client-secret"),
            ("client-authentication = \"client_secret_post\"", "client-authentication"),
            ("client-authentication = \"private_key_jwt\"", "client-authentication"),
            ("client-authentication = \"client_secret_jwt\"", "client-authentication"),
            ("public-key = \"nonsense\"", "public-key"),
            ("public-key = '{\"keys\":[]}'", "public-key"),
            ("public-key = '{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}'", "public-key"),
            (&format!("public-key = '{private}'"), "public-key"),
        ] {
            assert_eq!(read(lines).unwrap_err(), [wrong], "{lines}");
        }
    }
}
