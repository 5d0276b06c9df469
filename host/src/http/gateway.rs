//! What every route stands on, and what is known of a request before its route runs.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, header, request};
use url::Url;

use super::{
    backend::Backend,
    error::Failure,
    flow::Flow,
    origin::{self, KnownOrigins},
    pages::Pages,
    peer::Reach,
    proxied::Proxied,
};
use crate::{
    config::{Config, ForwardAuth, HandOver},
    decision::{Claim, Value},
    downstream::{HeaderNames, Passports, oidc::Provider, saml::IdentityProvider},
    login::{Facts, Visitor},
    secret::random_bytes,
    session::Jar,
};

/// What every route stands on.
pub(super) struct Gateway {
    pub(super) flow: Box<dyn Flow>,
    pub(super) passports: Passports,
    pub(super) provider: Arc<Provider>,
    pub(super) identity_provider: IdentityProvider,
    pub(super) pages: Pages,
    settings: ArcSwap<Settings>,
    ids: Ids,
}

impl Gateway {
    pub(super) fn new(
        flow: impl Flow,
        passports: Passports,
        provider: Arc<Provider>,
        identity_provider: IdentityProvider,
    ) -> Self {
        let settings = Settings::of(flow.config());
        Self {
            flow: Box::new(flow),
            passports,
            provider,
            identity_provider,
            pages: Pages::new(),
            settings: ArcSwap::from_pointee(settings),
            ids: Ids::new(),
        }
    }

    /// What follows from the configuration in force.
    pub(super) fn settings(&self) -> Arc<Settings> {
        let config = self.flow.config();
        let settings = self.settings.load();
        if Arc::ptr_eq(&settings.config, &config) {
            return Arc::clone(&settings);
        }
        let settings = Arc::new(Settings::of(config));
        self.settings.store(Arc::clone(&settings));
        settings
    }

    /// A request has come in.
    pub(super) fn asked(&self, reach: impl FnOnce(&Config) -> Reach) -> Asked {
        let settings = self.settings();
        Asked { id: self.ids.next(), reach: reach(&settings.config), settings }
    }
}

/// What follows from one configuration.
pub(super) struct Settings {
    pub(super) config: Arc<Config>,
    /// The gateway's own address, without a slash at the end: `iss` of what it signs.
    pub(super) issuer: String,
    /// The applications behind forward-auth, by id.
    pub(super) behind: HashMap<String, Behind>,
    /// Whose host is whose, behind the built-in reverse proxy.
    pub(super) proxied: Proxied,
    /// Whose host is whose, where an [`super::endpoint::Endpoint`] is switched on.
    pub(super) by_host: Proxied,
}

/// An application behind forward-auth.
pub(super) struct Behind {
    pub(super) forward_auth: ForwardAuth,
    pub(super) names: Arc<HeaderNames>,
    /// Where a login starts for somebody who came from nowhere that we know.
    pub(super) start: Option<Url>,
    /// What goes with a request that passes without an identity.
    pub(super) blank: HeaderMap,
    /// The application's origins, read once.
    pub(super) origins: KnownOrigins,
    /// Where its requests go that come to us directly.
    pub(super) backend: Option<Backend>,
}

impl Settings {
    fn of(config: Arc<Config>) -> Self {
        let mut behind = HashMap::new();
        let (mut proxied, mut by_host) = (Proxied::default(), Proxied::default());
        for (id, application) in &config.applications {
            let HandOver::ForwardAuth(forward_auth) = &application.hand_over else { continue };
            if forward_auth.proxy.is_some() {
                proxied.add(application);
            }
            if forward_auth.is_found_by_host() {
                by_host.add(application);
            }
            match HeaderNames::new(&forward_auth.headers) {
                Ok(names) => {
                    let names = if forward_auth.oauth2_proxy { names.and_oauth2_proxys() } else { names };
                    let start = application.url.join(&format!("/vestibule/start/{id}")).ok();
                    let backend = forward_auth.proxy.as_ref().map(Backend::new).transpose();
                    // Without a backend none of its requests passes.
                    let backend = backend.unwrap_or_else(|error| {
                        tracing::error!(application = %id, %error, "the application has no backend");
                        None
                    });
                    let forward_auth = forward_auth.clone();
                    let origins = KnownOrigins::of(application);
                    let blank = names.blank();
                    let names = Arc::new(names);
                    behind.insert(id.clone(), Behind { forward_auth, names, start, blank, origins, backend });
                }
                // Without names no request of this application passes.
                Err(error) => tracing::error!(application = %id, %error, "the application is refused to everybody"),
            }
        }
        let issuer = config.server.public_url.as_str().trim_end_matches('/').to_owned();
        Self { config, issuer, behind, proxied, by_host }
    }

    /// Does the browser reach us over TLS?
    pub(super) fn is_secure(&self) -> bool {
        self.config.server.public_url.scheme() == "https"
    }
}

/// What is known of a request before its route runs.
#[derive(Clone)]
pub(super) struct Asked {
    /// The request's id: ours, never one that came in.
    pub(super) id: Arc<str>,
    pub(super) reach: Reach,
    pub(super) settings: Arc<Settings>,
}

impl Asked {
    /// The browser behind a request to a page.
    pub(super) fn visitor(&self, parts: &request::Parts) -> Result<Visitor, Failure> {
        let origin = origin::visited(self.reach, &parts.headers, self.settings.config.server.public_url.scheme());
        let host = origin.as_ref().map(origin::host_of).unwrap_or_default();
        let facts = facts(parts.method.as_str(), host, parts.uri.path(), &parts.headers);
        self.visitor_with(&parts.headers, origin.map(Arc::new), Facts::later(move || facts.clone()))
    }

    /// The browser behind a request whose host and facts are known.
    pub(super) fn visitor_with(
        &self,
        headers: &HeaderMap,
        origin: Option<Arc<Url>>,
        facts: Facts,
    ) -> Result<Visitor, Failure> {
        let cookies = Jar::parse(headers.get_all(header::COOKIE).iter().map(|value| value.as_bytes()))
            .map_err(|_| Failure::BadRequest("cookies-unreadable"))?;
        Ok(Visitor { request: Arc::clone(&self.id), address: self.reach.address, origin, cookies, facts })
    }
}

/// What policies may ask to see of a request.
pub(super) fn facts(method: &str, host: &str, path: &str, headers: &HeaderMap) -> Vec<Claim> {
    let fact = |name: &str, value: &str| Claim { name: name.to_owned(), value: Value::Text(value.to_owned()) };
    let mut facts = vec![fact("request.host", host), fact("request.method", method), fact("request.path", path)];
    for (name, value) in headers {
        if !is_of_the_way(name.as_str())
            && !may_hold_credential(name.as_str())
            && let Ok(value) = value.to_str()
        {
            facts.push(fact(&format!("header.{name}"), value));
        }
    }
    facts
}

/// Written by proxies about the way, not by the browser about itself; what is believed of
/// it is in the facts already. Each request behind a proxy has half a dozen of them.
fn is_of_the_way(name: &str) -> bool {
    matches!(name, "host" | "connection" | "content-length")
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-original-")
}

/// No guest sees these, whatever its manifest names. By parts of names, since a proxy or an
/// application may have any of its own.
fn may_hold_credential(name: &str) -> bool {
    const PARTS: [&str; 16] = [
        "api-key",
        "apikey",
        "assertion",
        "auth",
        "cert",
        "cookie",
        "credential",
        "csrf",
        "dpop",
        "jwt",
        "password",
        "secret",
        "session",
        "signature",
        "token",
        "websocket",
    ];
    // What every browser sends needs no search.
    const HARMLESS: [&str; 5] = ["accept", "accept-encoding", "accept-language", "origin", "user-agent"];
    let is_harmless = HARMLESS.contains(&name) || name.starts_with("sec-fetch-") || name.starts_with("sec-ch-");
    !is_harmless && PARTS.iter().any(|part| name.contains(part))
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Ids of requests: unique within a run of the gateway, and telling nothing.
struct Ids {
    seed: u64,
    count: AtomicU64,
}

impl Ids {
    fn new() -> Self {
        // Without randomness the ids are still unique; nothing hangs on their being secret.
        let seed = random_bytes::<8>().map_or(0, u64::from_le_bytes);
        Self { seed, count: AtomicU64::new(0) }
    }

    fn next(&self) -> Arc<str> {
        // splitmix64: a permutation, so that no id comes twice.
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut id = self.seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        id ^= id >> 31;
        // No more than one allocation: each request takes an id.
        let mut text = [0; 16];
        for (place, byte) in text.iter_mut().enumerate() {
            let digit = (id >> (60 - 4 * place)) & 0xf;
            *byte = HEX.get(digit as usize).copied().unwrap_or_default();
        }
        Arc::from(std::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fact_holds_a_credential() {
        let names = [
            "authorization",
            "cookie",
            "proxy-authorization",
            "x-api-key",
            "x-auth-request-user",
            "x-amz-security-token",
            "x-csrf-token",
            "x-forwarded-client-cert",
            "x-vestibule-assertion",
            "cf-access-jwt-assertion",
            "signature-input",
            "sec-websocket-protocol",
        ];
        let headers: HeaderMap =
            names.iter().map(|name| (header::HeaderName::from_static(name), "s3cret".parse().unwrap())).collect();
        let facts = facts("GET", "a", "/", &headers);
        assert_eq!(facts.len(), 3, "{facts:?}");
    }

    #[test]
    fn ids_do_not_repeat() {
        let ids = Ids { seed: 7, count: AtomicU64::new(0) };
        let seen: std::collections::HashSet<_> = (0..1000).map(|_| ids.next()).collect();
        assert_eq!(seen.len(), 1000);
        assert!(seen.iter().all(|id| id.len() == 16));
    }
}
