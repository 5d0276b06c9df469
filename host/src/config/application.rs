//! `[applications.ID]`: what is behind the gateway.

use std::{collections::BTreeSet, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

pub use super::proxy::ReverseProxy;
use super::{
    canary::{Canary, RawCanary},
    check::{Check, UrlUse, join},
    policies::SHADOW_CHAIN_MAX,
    proxy::RawProxy,
    relying_party::{OidcClient, RawOidc},
    service_provider::{RawSaml, ServiceProvider},
};

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
    /// `canary-chain`, `canary-percent`, `canary-subjects`: a chain that decides for some; default none.
    pub canary: Option<Canary>,
    /// `shadow-chain`: policy names, in order, that are asked beside the chain; default none.
    pub shadow_chain: Vec<String>,
    /// `url`: where a browser ends that has nowhere else to go.
    pub url: Url,
    /// `hosts`: further origins (`https://a.example.com`), or all hosts below a domain
    /// (`.example.com`), on which it is reached: sessions live there, too.
    pub hosts: Vec<String>,
    /// `allowed-targets`: further origins or hosts below a domain to which a login or a
    /// logout may lead; its own hosts always may.
    pub allowed_targets: Vec<String>,
    /// `own-login-path`: its own login page, to which whoever comes by the emergency door is sent in the place of an
    /// identity; default none.
    pub own_login_path: Option<String>,
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
    /// The application is a service provider, and we are its SAML identity provider.
    Saml(Box<ServiceProvider>),
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
    /// `oauth2-proxy`: oauth2-proxy's endpoints and headers, too; default false.
    pub oauth2_proxy: bool,
    /// `session-endpoint`: `GET /api/session` on its hosts; default false.
    pub session_endpoint: bool,
    /// `[applications.ID.proxy]`: the gateway is the reverse proxy itself.
    pub proxy: Option<ReverseProxy>,
}

impl ForwardAuth {
    /// Does a request's host, and nothing else, say that this application is meant?
    #[must_use]
    pub const fn is_found_by_host(&self) -> bool {
        self.proxy.is_some() || self.oauth2_proxy || self.session_endpoint
    }
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

/// What oauth2-proxy tells a proxy that asks (`--set-xauthrequest`): user, preferred username, email, groups.
pub const OAUTH2_PROXY_HEADERS: [&str; 4] =
    ["x-auth-request-user", "x-auth-request-preferred-username", "x-auth-request-email", "x-auth-request-groups"];

/// The first parts of the gateway's own paths: no organization's issuer can begin there.
pub(super) const TAKEN_PATHS: [&str; 12] = [
    "api",
    "backchannel-logout",
    "callback",
    "frontchannel-logout",
    "healthz",
    "logged-out",
    "login",
    "logout",
    "oauth2",
    "oidc",
    "saml",
    "vestibule",
];

/// What is behind the gateway. It has one of `[applications.ID.forward-auth]`, `[applications.ID.oidc]` and
/// `[applications.ID.saml]`.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawApplication {
    /// What pages call it; default the id.
    display_name: Option<String>,
    /// The organization that it belongs to.
    tenant: String,
    /// The upstreams open to it, in display order.
    #[schemars(extend("x-required" = true))]
    pub(super) upstreams: Option<Vec<String>>,
    /// The policies that decide, in order. An empty chain denies everybody.
    #[schemars(extend("x-required" = true))]
    pub(super) chain: Option<Vec<String>>,
    /// Policies that decide for some subjects, in order: for those of `canary-percent` and `canary-subjects`. Everybody
    /// else is decided by `chain`; so is the way to an upstream.
    pub(super) canary_chain: Vec<String>,
    /// So many of a hundred subjects, always the same ones, are decided by `canary-chain`.
    #[schemars(range(max = 100))]
    canary_percent: u32,
    /// These subjects are decided by `canary-chain`: by the name that their upstream gives them, or by the pseudonym
    /// that they have in the audit.
    canary_subjects: Vec<String>,
    /// Policies that are asked the same in shadow, in order: what they would decide otherwise is an event in the audit,
    /// and nothing else comes of it.
    pub(super) shadow_chain: Vec<String>,
    /// Where a browser ends that has nowhere else to go.
    #[schemars(extend("x-required" = true))]
    url: Option<String>,
    /// Further origins (`https://a.example.com`), or all hosts below a domain (`.example.com`), on which it is
    /// reached: a session is set there as on the origin of `url`.
    hosts: Vec<String>,
    /// Further origins, or hosts below a domain, to which a login or a logout may lead; its own hosts always may. No
    /// session is set there.
    allowed_targets: Vec<String>,
    /// Its own login page, such as `/login.jsp`: whoever comes in by the emergency door (`[emergency]`) is sent there,
    /// and the requests of that session go on without an identity, so that the application asks for a password of its
    /// own. For `forward-auth` and `proxy` alone.
    own_login_path: Option<String>,
    /// Groups that a login never changes, upper and lower case alike.
    protected_groups: BTreeSet<String>,
    /// TOML file with the accounts and groups that the application has.
    directory: Option<String>,
    forward_auth: Option<RawForwardAuth>,
    proxy: Option<RawProxy>,
    oidc: Option<RawOidc>,
    saml: Option<RawSaml>,
}

impl Default for RawApplication {
    fn default() -> Self {
        Self {
            display_name: None,
            tenant: "default".to_owned(),
            upstreams: None,
            chain: None,
            canary_chain: Vec::new(),
            canary_percent: 0,
            canary_subjects: Vec::new(),
            shadow_chain: Vec::new(),
            url: None,
            hosts: Vec::new(),
            allowed_targets: Vec::new(),
            own_login_path: None,
            protected_groups: BTreeSet::new(),
            directory: None,
            forward_auth: None,
            proxy: None,
            oidc: None,
            saml: None,
        }
    }
}

/// A reverse proxy asks the gateway for each request. The table may be empty.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RawForwardAuth {
    /// How long the signed assertion holds, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    assertion_lifetime_s: u32,
    /// Let CORS preflights (`OPTIONS`) pass without an identity.
    pass_options: bool,
    /// Answer on oauth2-proxy's endpoints (`/oauth2/…`) on the application's hosts, with its headers
    /// (`X-Auth-Request-…`) beside the others.
    oauth2_proxy: bool,
    /// Answer `GET /api/session` on the application's hosts: who is logged in, as JSON, with the signed assertion.
    session_endpoint: bool,
    headers: RawHeaders,
}

impl Default for RawForwardAuth {
    fn default() -> Self {
        Self {
            assertion_lifetime_s: 60,
            pass_options: false,
            oauth2_proxy: false,
            session_endpoint: false,
            headers: RawHeaders::default(),
        }
    }
}

/// The names of the identity headers; an empty one is not sent.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RawHeaders {
    /// The username.
    user: String,
    /// The email address.
    email: String,
    /// The groups, joined by commas.
    groups: String,
    /// The full name.
    name: String,
    /// The signed assertion, a JWT.
    assertion: String,
}

impl Default for RawHeaders {
    fn default() -> Self {
        Self {
            user: "X-Forwarded-User".to_owned(),
            email: "X-Forwarded-Email".to_owned(),
            groups: "X-Forwarded-Groups".to_owned(),
            name: "X-Forwarded-Name".to_owned(),
            assertion: "X-Vestibule-Assertion".to_owned(),
        }
    }
}

impl RawApplication {
    /// None where something needed is missing or wrong, which was reported.
    pub(super) fn check(self, check: &mut Check<'_>, id: &str) -> Option<Application> {
        let section = join("applications", id);
        check.id(&section, id);
        check.id(&join(&section, "tenant"), &self.tenant);
        if self.oidc.is_some() && TAKEN_PATHS.contains(&self.tenant.as_str()) {
            let message = format!("the gateway's own pages are below `/{}`", self.tenant);
            check.error(&join(&section, "tenant"), message, "another name", "the OIDC provider's issuer ends in it");
        }
        if self.shadow_chain.len() > SHADOW_CHAIN_MAX {
            let message = format!("it has {} policies", self.shadow_chain.len());
            check.error(&join(&section, "shadow-chain"), message, &format!("at most {SHADOW_CHAIN_MAX}"), "");
        }
        let canary =
            RawCanary { chain: self.canary_chain, percent: self.canary_percent, subjects: self.canary_subjects };
        let canary = canary.check(check, &section);
        let url = check.url_opt(&join(&section, "url"), self.url.as_deref(), UrlUse::Page);
        for (key, list) in [("hosts", &self.hosts), ("allowed-targets", &self.allowed_targets)] {
            for (index, origin) in list.iter().enumerate() {
                origin_or_domain(check, &format!("{section}.{key}[{index}]"), origin);
            }
        }
        let directory = self.directory.map(|file| check.path(&join(&section, "directory"), &file));
        let proxy = self.proxy.map(|raw| raw.check(check, &join(&section, "proxy")));
        // A proxy of ours asks as any other would, by the defaults where there is no table.
        let forward_auth = self.forward_auth.or_else(|| proxy.as_ref().map(|_| RawForwardAuth::default()));
        let hand_over = match (forward_auth, self.oidc, self.saml) {
            (Some(raw), None, None) => {
                let forward_auth = raw.check(check, &join(&section, "forward-auth"));
                Some(HandOver::ForwardAuth(ForwardAuth { proxy: proxy.flatten(), ..forward_auth }))
            }
            (None, Some(raw), None) => raw.check(check, &join(&section, "oidc"), id).map(HandOver::Oidc),
            (None, None, Some(raw)) => {
                raw.check(check, &join(&section, "saml")).map(|provider| HandOver::Saml(Box::new(provider)))
            }
            (None, None, None) => {
                let hint = format!(
                    "add `[{section}.forward-auth]`, `[{section}.proxy]`, `[{section}.oidc]` or `[{section}.saml]`"
                );
                check.error(&section, "nothing says how the identity reaches it", "", &hint);
                None
            }
            (forward_auth, oidc, saml) => {
                let given =
                    [("forward-auth", forward_auth.is_some()), ("oidc", oidc.is_some()), ("saml", saml.is_some())];
                let given: Vec<&str> = given.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
                let message = format!("it has `{}`", given.join("` and `"));
                let hint = "make an application of each";
                check.error(&join(&section, given.last().unwrap_or(&"")), message, "one of them", hint);
                None
            }
        };
        let hand_over = hand_over?;
        if let Some(path) = &self.own_login_path {
            own_login_path(check, &join(&section, "own-login-path"), path, &hand_over);
        }
        Some(Application {
            id: id.to_owned(),
            display_name: self.display_name.unwrap_or_else(|| id.to_owned()),
            tenant: self.tenant,
            upstreams: self.upstreams?,
            chain: self.chain?,
            canary,
            shadow_chain: self.shadow_chain,
            url: url?,
            hosts: self.hosts,
            allowed_targets: self.allowed_targets,
            own_login_path: self.own_login_path,
            protected_groups: self.protected_groups,
            directory,
            hand_over,
        })
    }
}

impl RawForwardAuth {
    fn check(self, check: &mut Check<'_>, section: &str) -> ForwardAuth {
        let headers = self.headers;
        let section = join(section, "headers");
        let mut seen = BTreeSet::new();
        if self.oauth2_proxy {
            seen.extend(OAUTH2_PROXY_HEADERS.map(str::to_owned));
        }
        for (key, name) in [
            ("user", &headers.user),
            ("email", &headers.email),
            ("groups", &headers.groups),
            ("name", &headers.name),
            ("assertion", &headers.assertion),
        ] {
            let key = join(&section, key);
            header(check, &key, name);
            if !name.is_empty() && !seen.insert(name.to_ascii_lowercase()) {
                check.error(&key, format!("another identity header is called `{name}`, too"), "a name of its own", "");
            }
        }
        ForwardAuth {
            headers: IdentityHeaders {
                user: headers.user,
                email: headers.email,
                groups: headers.groups,
                name: headers.name,
                assertion: headers.assertion,
            },
            assertion_lifetime: self.assertion_lifetime_s,
            pass_options: self.pass_options,
            oauth2_proxy: self.oauth2_proxy,
            session_endpoint: self.session_endpoint,
            proxy: None,
        }
    }
}

/// A page of the application that a browser can be sent to, with a query perhaps.
fn own_login_path(check: &mut Check<'_>, key: &str, path: &str, hand_over: &HandOver) {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\\\"<>`{}|^#".contains(&byte);
    if !path.starts_with('/') || path.starts_with("//") || !path.bytes().all(plain) {
        check.error(key, "not a path", "such as `/login.jsp`", "");
    } else if path.starts_with("/vestibule/") {
        check.error(key, "the gateway's own pages are there", "a page of the application", "");
    } else if !matches!(hand_over, HandOver::ForwardAuth(_)) {
        let hint = "its identity is handed over once, not with each request: use its own address";
        check.error(key, "the application is not behind a proxy that asks us", "`forward-auth` or `proxy`", hint);
    }
}

/// An origin, or a host with its subdomains.
fn origin_or_domain(check: &mut Check<'_>, key: &str, target: &str) {
    if let Some(below) = target.strip_prefix('*') {
        let hint = format!("`{below}` means every host below it");
        check.error(key, "not an origin and not a host with its subdomains", "no `*`", &hint);
        return;
    }
    let Some(parent) = target.strip_prefix('.') else {
        check.url(key, target, UrlUse::Origin);
        return;
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let labels = parent.split('.').count();
    if !parent.split('.').all(label) || (labels < 2 && parent != "localhost") {
        let hint = "a whole top-level domain is not an application's";
        check.error(key, "not a host with its subdomains", "such as `.example.com`", hint);
    }
}

/// A header that a proxy passes on under this very name, and that no one else owns.
fn header(check: &mut Check<'_>, key: &str, name: &str) {
    /// RFC 9110 §7.6.1 (hop-by-hop) and what proxies and browsers steer by.
    const TAKEN: [&str; 24] = [
        "accept",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "location",
        "origin",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    ];

    let expected = "a header's name: letters, digits and hyphens";
    if name.contains('_') {
        // nginx and CGI turn `-` into `_`: both spellings would be one header.
        check.error(key, "a header with `_` is dropped or confused by proxies", expected, "");
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') || name.starts_with('-') {
        check.error(key, "not a header's name", expected, "");
    } else if TAKEN.contains(&name.to_ascii_lowercase().as_str()) {
        check.error(key, format!("`{name}` has a meaning of its own"), expected, "");
    }
}
