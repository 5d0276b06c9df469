//! What is known of well-known identity providers, so that an operator states only what
//! differs. A key that is set by hand wins over its preset.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    check::{Check, UrlUse, join},
    upstream::RawUpstream,
};

/// A known identity provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Preset {
    /// Auth0: asks for `domain`.
    Auth0,
    /// Clavex: asks for `host` and `organization`.
    Clavex,
    /// AWS Cognito: asks for `domain`, `region` and `pool`.
    Cognito,
    /// Nothing is known: asks for `issuer`, or for every endpoint.
    #[default]
    Custom,
    /// Microsoft Entra ID: asks for `tenant`.
    Entra,
    /// GitHub (OAuth 2.0): asks for nothing; `host` for an Enterprise server.
    Github,
    /// Google: asks for nothing.
    Google,
    /// Keycloak: asks for `base-url` and `realm`.
    Keycloak,
    /// Okta: asks for `domain`; `authorization-server` for a custom one.
    Okta,
}

impl Preset {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Auth0 => "auth0",
            Self::Clavex => "clavex",
            Self::Cognito => "cognito",
            Self::Custom => "custom",
            Self::Entra => "entra",
            Self::Github => "github",
            Self::Google => "google",
            Self::Keycloak => "keycloak",
            Self::Okta => "okta",
        }
    }

    /// What it asks for, and what it takes besides.
    const fn inputs(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Auth0 => (&["domain"], &[]),
            Self::Clavex => (&["host", "organization"], &[]),
            Self::Cognito => (&["domain", "region", "pool"], &[]),
            Self::Custom | Self::Google => (&[], &[]),
            Self::Entra => (&["tenant"], &["host"]),
            Self::Github => (&[], &["host"]),
            Self::Keycloak => (&["base-url", "realm"], &[]),
            Self::Okta => (&["domain"], &["authorization-server"]),
        }
    }
}

/// Every key that some preset asks for.
const INPUTS: [&str; 9] =
    ["authorization-server", "base-url", "domain", "host", "organization", "pool", "realm", "region", "tenant"];

/// What a preset says where the operator does not.
#[derive(Default)]
pub(super) struct Known {
    pub(super) oauth2: bool,
    pub(super) issuer: Option<String>,
    pub(super) discovery: Option<String>,
    pub(super) authorization: Option<String>,
    pub(super) token: Option<String>,
    pub(super) userinfo: Option<String>,
    pub(super) emails: Option<String>,
    pub(super) jwks: Option<String>,
    pub(super) logout: Option<String>,
    pub(super) scopes: Option<&'static [&'static str]>,
    pub(super) groups_claim: Option<&'static str>,
    pub(super) subject_claim: Option<&'static str>,
    pub(super) email_verified_claim: Option<&'static str>,
    pub(super) email_verified_as_text: bool,
    /// Many organizations log in through one issuer.
    pub(super) multi_tenant: bool,
}

/// Resolves the preset of `raw`. None where something that it asks for is missing or
/// wrong, which was reported.
pub(super) fn resolve(check: &mut Check<'_>, section: &str, raw: &RawUpstream) -> Option<Known> {
    let preset = raw.preset;
    let (required, optional) = preset.inputs();
    let given = check.given(section);
    for key in INPUTS {
        let known = required.contains(&key) || optional.contains(&key);
        let has = given.iter().any(|given| given == key);
        if has && !known {
            let message = format!("the preset `{}` does not use `{key}`", preset.name());
            check.error(&join(section, key), message, "", "leave it out, or choose the preset that it belongs to");
        }
        if !has && required.contains(&key) {
            let message = format!("the preset `{}` asks for it", preset.name());
            check.missing(section, key, "a text", &message);
        }
    }
    match preset {
        Preset::Auth0 => auth0(check, section, raw),
        Preset::Clavex => clavex(check, section, raw),
        Preset::Cognito => cognito(check, section, raw),
        Preset::Custom => Some(Known::default()),
        Preset::Entra => entra(check, section, raw),
        Preset::Github => github(check, section, raw),
        Preset::Google => Some(Known { issuer: Some("https://accounts.google.com".to_owned()), ..Known::default() }),
        Preset::Keycloak => keycloak(check, section, raw),
        Preset::Okta => okta(check, section, raw),
    }
}

/// Auth0's issuer ends with a slash.
fn auth0(check: &mut Check<'_>, section: &str, raw: &RawUpstream) -> Option<Known> {
    let domain = host(check, section, "domain", raw.domain.as_deref())?;
    Some(Known { issuer: Some(format!("https://{domain}/")), ..Known::default() })
}

fn clavex(check: &mut Check<'_>, section: &str, raw: &RawUpstream) -> Option<Known> {
    let host = host(check, section, "host", raw.host.as_deref());
    let organization = segment(check, section, "organization", raw.organization.as_deref());
    Some(Known {
        issuer: Some(format!("https://{}/{}", host?, organization?)),
        scopes: Some(&["openid", "profile", "email", "groups"]),
        ..Known::default()
    })
}

/// The issuer is the pool's, the endpoints are the domain's; `email_verified` is a text in
/// userinfo, and the logout takes `logout_uri`, not OIDC's parameters.
fn cognito(check: &mut Check<'_>, section: &str, raw: &RawUpstream) -> Option<Known> {
    let domain = host(check, section, "domain", raw.domain.as_deref());
    let region = segment(check, section, "region", raw.region.as_deref());
    let pool = segment(check, section, "pool", raw.pool.as_deref());
    let (domain, region, pool) = (domain?, region?, pool?);
    // A name without a dot is a prefix domain, one with a dot stands for itself.
    let domain = if domain.contains('.') { domain } else { format!("{domain}.auth.{region}.amazoncognito.com") };
    let issuer = format!("https://cognito-idp.{region}.amazonaws.com/{pool}");
    Some(Known {
        authorization: Some(format!("https://{domain}/oauth2/authorize")),
        token: Some(format!("https://{domain}/oauth2/token")),
        userinfo: Some(format!("https://{domain}/oauth2/userInfo")),
        jwks: Some(format!("{issuer}/.well-known/jwks.json")),
        logout: Some(format!("https://{domain}/logout?client_id={{client_id}}&logout_uri={{sign_out_url}}")),
        issuer: Some(issuer),
        groups_claim: Some("cognito:groups"),
        email_verified_as_text: true,
        ..Known::default()
    })
}

/// `common` and `organizations` let many tenants in: there the issuer names the tenant of
/// whoever logs in, and is the same for all only as a template.
fn entra(check: &mut Check<'_>, section: &str, raw: &RawUpstream) -> Option<Known> {
    /// The tenant of personal Microsoft accounts.
    const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

    let host = match raw.host.as_deref() {
        Some(text) => host(check, section, "host", Some(text))?,
        None => "login.microsoftonline.com".to_owned(),
    };
    let tenant = raw.tenant.as_deref()?;
    let multi_tenant = matches!(tenant, "common" | "organizations");
    let in_issuer = match tenant {
        "common" | "organizations" => "{tenantid}".to_owned(),
        "consumers" => CONSUMERS.to_owned(),
        id if is_guid(id) => id.to_ascii_lowercase(),
        _ => {
            let expected = "the directory (tenant) ID, `common`, `organizations` or `consumers`";
            check.error(&join(section, "tenant"), "not a tenant ID", expected, "tokens name the ID, not the domain");
            return None;
        }
    };
    Some(Known {
        issuer: Some(format!("https://{host}/{in_issuer}/v2.0")),
        discovery: Some(format!("https://{host}/{tenant}/v2.0/.well-known/openid-configuration")),
        email_verified_claim: Some("xms_edov"),
        multi_tenant,
        ..Known::default()
    })
}

fn github(check: &mut Check<'_>, section: &str, raw: &RawUpstream) -> Option<Known> {
    let (site, api) = match raw.host.as_deref() {
        Some(text) => {
            let host = host(check, section, "host", Some(text))?;
            (format!("https://{host}"), format!("https://{host}/api/v3"))
        }
        None => ("https://github.com".to_owned(), "https://api.github.com".to_owned()),
    };
    Some(Known {
        oauth2: true,
        authorization: Some(format!("{site}/login/oauth/authorize")),
        token: Some(format!("{site}/login/oauth/access_token")),
        userinfo: Some(format!("{api}/user")),
        emails: Some(format!("{api}/user/emails")),
        // What its callbacks say in `iss` (RFC 9207).
        issuer: Some(format!("{site}/login/oauth")),
        scopes: Some(&["read:user", "user:email"]),
        // Logins can be renamed and taken over by others; the number stays.
        subject_claim: Some("id"),
        ..Known::default()
    })
}

fn keycloak(check: &mut Check<'_>, section: &str, raw: &RawUpstream) -> Option<Known> {
    let key = join(section, "base-url");
    let base = check.url_opt(&key, raw.base_url.as_deref(), UrlUse::Page);
    let realm = segment(check, section, "realm", raw.realm.as_deref());
    let base = base?;
    if base.query().is_some() {
        check.error(&key, "the URL has a query", "the URL up to `/realms`", "");
        return None;
    }
    let issuer = format!("{}/realms/{}", base.as_str().trim_end_matches('/'), realm?);
    Some(Known { issuer: Some(issuer), ..Known::default() })
}

fn okta(check: &mut Check<'_>, section: &str, raw: &RawUpstream) -> Option<Known> {
    let domain = host(check, section, "domain", raw.domain.as_deref())?;
    let issuer = match raw.authorization_server.as_deref() {
        Some(text) => {
            let server = segment(check, section, "authorization-server", Some(text))?;
            format!("https://{domain}/oauth2/{server}")
        }
        None => format!("https://{domain}"),
    };
    Some(Known { issuer: Some(issuer), ..Known::default() })
}

/// A host name, perhaps with a port.
fn host(check: &mut Check<'_>, section: &str, key: &str, text: Option<&str>) -> Option<String> {
    let text = text?;
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    if !name.split('.').all(label) || !port_fits {
        let hint = "without `https://` and without a path";
        check.error(&join(section, key), "not a host name", "a host name such as `id.example.com`", hint);
        return None;
    }
    Some(text.to_ascii_lowercase())
}

/// One segment of a URL's path.
fn segment(check: &mut Check<'_>, section: &str, key: &str, text: Option<&str>) -> Option<String> {
    let text = text?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    if text.is_empty() || !text.bytes().all(plain) || text.bytes().all(|byte| byte == b'.') {
        let expected = "letters, digits, `-`, `_`, `.` or `~`";
        check.error(&join(section, key), "this becomes a part of a URL and does not fit one", expected, "");
        return None;
    }
    Some(text.to_owned())
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
