//! Which host and path were asked for, and by which method.
//!
//! Believed from a trusted proxy only. What is there twice, or cannot be read in one way,
//! is refused: a client that adds a second `X-Original-URI` to the proxy's own must not get
//! to choose which of them counts.

use std::{borrow::Cow, sync::Arc};

use axum::http::{HeaderMap, header};
use url::Url;

use super::peer::Reach;
use crate::{
    config::Application,
    downstream::{CanonicalPath, PathError},
};

/// The request that a proxy asks about.
#[derive(Debug)]
pub(super) struct Original<'h> {
    /// Scheme, host and port.
    pub(super) origin: Arc<Url>,
    /// In upper case.
    pub(super) method: Cow<'h, str>,
    /// The path, read in the one way.
    pub(super) path: CanonicalPath<'h>,
    /// Path and query as sent.
    pub(super) target: &'h str,
    /// Did the proxy say which method it was? Where it did not, no policy can be asked.
    pub(super) has_method: bool,
}

/// Why a request cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OriginError {
    #[error("the proxy does not say which request it asks about")]
    Missing,
    #[error("a header that says which request is asked about is there twice, or cannot be read")]
    Unreadable,
    #[error(transparent)]
    Path(#[from] PathError),
}

impl OriginError {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Missing => "original-request-missing",
            Self::Unreadable => "original-request-unreadable",
            Self::Path(error) => error.code(),
        }
    }
}

impl<'h> Original<'h> {
    /// What nginx asks about: `X-Original-URI` (or `X-Original-URL`, as ingress-nginx has
    /// it) and `X-Original-Method`.
    pub(super) fn by_nginx(headers: &'h HeaderMap, scheme: &str, known: &KnownOrigins) -> Result<Self, OriginError> {
        let uri = single(headers, "x-original-uri")?;
        let url = single(headers, "x-original-url")?;
        let method = single(headers, "x-original-method")?.ok_or(OriginError::Missing)?;
        match (uri, url) {
            (Some(target), None) => Self::read(headers, scheme, known, method, target),
            (None, Some(url)) => {
                let (scheme, rest) = url.split_once("://").ok_or(OriginError::Unreadable)?;
                let start = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (host, target) = rest.split_at_checked(start).ok_or(OriginError::Unreadable)?;
                let origin = known.read(scheme, host).ok_or(OriginError::Unreadable)?;
                Self::assemble(origin, method, target)
            }
            (None, None) => Err(OriginError::Missing),
            (Some(_), Some(_)) => Err(OriginError::Unreadable),
        }
    }

    /// What Traefik and Caddy ask about: `X-Forwarded-Uri` and `X-Forwarded-Method`.
    pub(super) fn by_forwarding(
        headers: &'h HeaderMap,
        scheme: &str,
        known: &KnownOrigins,
    ) -> Result<Self, OriginError> {
        without_another_path(headers)?;
        let target = single(headers, "x-forwarded-uri")?.ok_or(OriginError::Missing)?;
        let method = single(headers, "x-forwarded-method")?.ok_or(OriginError::Missing)?;
        Self::read(headers, scheme, known, method, target)
    }

    /// What Envoy asks about: the request itself, at our own path. The host is in `Host`: what a
    /// client says in `X-Forwarded-Host` travels along.
    pub(super) fn by_ext_authz(
        headers: &'h HeaderMap,
        scheme: &str,
        known: &KnownOrigins,
        method: &'h str,
        target: &'h str,
    ) -> Result<Self, OriginError> {
        without_another_path(headers)?;
        let scheme = single(headers, "x-forwarded-proto")?.unwrap_or(scheme);
        let host = single(headers, header::HOST.as_str())?.ok_or(OriginError::Missing)?;
        Self::assemble(known.read(scheme, host).ok_or(OriginError::Unreadable)?, method, target)
    }

    /// What oauth2-proxy is asked about: as nginx or as the others say it, but not both. Its
    /// configurations do not always tell the method.
    pub(super) fn by_oauth2_proxy(
        headers: &'h HeaderMap,
        scheme: &str,
        known: &KnownOrigins,
    ) -> Result<Self, OriginError> {
        let forwarded = single(headers, "x-forwarded-uri")?;
        if headers.contains_key("x-original-uri") || headers.contains_key("x-original-url") {
            let alone = forwarded.is_none().then_some(()).ok_or(OriginError::Unreadable);
            return alone.and_then(|()| Self::by_nginx(headers, scheme, known));
        }
        let target = forwarded.ok_or(OriginError::Missing)?;
        let method = single(headers, "x-forwarded-method")?;
        let original = Self::read(headers, scheme, known, method.unwrap_or("GET"), target)?;
        Ok(Self { has_method: method.is_some(), ..original })
    }

    fn read(
        headers: &'h HeaderMap,
        scheme: &str,
        known: &KnownOrigins,
        method: &'h str,
        target: &'h str,
    ) -> Result<Self, OriginError> {
        let scheme = single(headers, "x-forwarded-proto")?.unwrap_or(scheme);
        let host = match single(headers, "x-forwarded-host")? {
            Some(host) => host,
            None => single(headers, header::HOST.as_str())?.ok_or(OriginError::Missing)?,
        };
        Self::assemble(known.read(scheme, host).ok_or(OriginError::Unreadable)?, method, target)
    }

    /// What the built-in reverse proxy was asked for.
    pub(super) fn of(origin: Url, method: &'h str, target: &'h str) -> Result<Self, OriginError> {
        Self::assemble(Arc::new(origin), method, target)
    }

    fn assemble(origin: Arc<Url>, method: &'h str, target: &'h str) -> Result<Self, OriginError> {
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(OriginError::Unreadable);
        }
        let method = match method.bytes().any(|byte| byte.is_ascii_lowercase()) {
            true => Cow::Owned(method.to_ascii_uppercase()),
            false => Cow::Borrowed(method),
        };
        Ok(Self { origin, method, path: CanonicalPath::of(target)?, target, has_method: true })
    }

    /// The host as policies see it: lower case, no port, no dot at the end.
    pub(super) fn host(&self) -> &str {
        host_of(&self.origin)
    }

    /// The address as sent.
    pub(super) fn url(&self) -> String {
        format!("{}{}", self.origin.as_str().trim_end_matches('/'), self.target)
    }

    /// The address with the path in its one form.
    pub(super) fn canonical_url(&self) -> String {
        format!("{}{}", self.origin.as_str().trim_end_matches('/'), self.canonical_target())
    }

    /// The path in its one form, and the query as sent.
    pub(super) fn canonical_target(&self) -> String {
        let query = self.target.get(self.path.received().len()..).unwrap_or_default();
        format!("{}{query}", self.path.as_str())
    }
}

/// Scheme, host and port that a browser visits. `scheme` counts where no trusted proxy
/// tells it.
pub(super) fn visited(reach: Reach, headers: &HeaderMap, scheme: &str) -> Option<Url> {
    let host = single(headers, header::HOST.as_str()).ok()?;
    if !reach.trusted {
        return origin(scheme, host?);
    }
    let scheme = single(headers, "x-forwarded-proto").ok()?.unwrap_or(scheme);
    origin(scheme, single(headers, "x-forwarded-host").ok()?.or(host)?)
}

/// The host as policies see it: lower case, no port, no dot at the end.
pub(super) fn host_of(origin: &Url) -> &str {
    let host = origin.host_str().unwrap_or_default();
    host.strip_suffix('.').unwrap_or(host)
}

/// Host and, where it is not the scheme's own, port.
pub(super) fn authority_of(origin: &Url) -> &str {
    let text = origin.as_str();
    text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/')
}

/// The origins of an application, in the spelling that browsers send: so that not each request
/// has the same address parsed anew.
#[derive(Debug, Default)]
pub(super) struct KnownOrigins(Vec<(String, Arc<Url>)>);

impl KnownOrigins {
    pub(super) fn of(application: &Application) -> Self {
        let listed = application.hosts.iter().filter_map(|host| Url::parse(host).ok());
        let read = |url: Url| {
            let text = url.origin().ascii_serialization();
            let (scheme, host) = text.split_once("://")?;
            origin(scheme, host).map(|origin| (text, Arc::new(origin)))
        };
        Self(std::iter::once(application.url.clone()).chain(listed).filter_map(read).collect())
    }

    /// As [`origin`], which it is spared where the spelling is a known one.
    fn read(&self, scheme: &str, host: &str) -> Option<Arc<Url>> {
        let is_same = |text: &str| {
            text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).is_some_and(|known| known == host)
        };
        match self.0.iter().find(|(text, _)| is_same(text)) {
            Some((_, origin)) => Some(Arc::clone(origin)),
            None => origin(scheme, host).map(Arc::new),
        }
    }
}

/// An origin from its parts; nothing that merely looks like a host gets through.
fn origin(scheme: &str, host: &str) -> Option<Url> {
    let scheme = ["https", "http"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if host.is_empty() || !host.bytes().all(plain) {
        return None;
    }
    Url::parse(&format!("{scheme}://{host}/")).ok().filter(Url::has_host)
}

/// Neither Traefik nor Caddy nor Envoy says by `X-Original-URL` which request is meant: a client does, to whose word an
/// application behind them may listen (CVE-2018-14773).
fn without_another_path(headers: &HeaderMap) -> Result<(), OriginError> {
    let is_told = ["x-original-uri", "x-original-url"].iter().any(|name| headers.contains_key(*name));
    if is_told { Err(OriginError::Unreadable) } else { Ok(()) }
}

/// The one value of a header; two of them, or two in one, are none.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, OriginError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(OriginError::Unreadable);
    }
    value.to_str().map(Some).map_err(|_| OriginError::Unreadable)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    const NGINX: [(&str, &str); 4] = [
        ("host", "app.example.com"),
        ("x-forwarded-proto", "https"),
        ("x-original-uri", "/admin?x=/public"),
        ("x-original-method", "get"),
    ];

    fn nginx(more: &[(&str, &str)]) -> Result<(String, String, String), OriginError> {
        let headers = headers(&[&NGINX, more].concat());
        let original = Original::by_nginx(&headers, "https", &KnownOrigins::default())?;
        Ok((original.method.to_string(), original.host().to_owned(), original.path.as_str().to_owned()))
    }

    #[test]
    fn a12_knows_method_host_and_path_without_the_query() {
        assert_eq!(nginx(&[]), Ok(("GET".into(), "app.example.com".into(), "/admin".into())));
        let headers = headers(&NGINX);
        assert_eq!(
            Original::by_nginx(&headers, "https", &KnownOrigins::default()).unwrap().url(),
            "https://app.example.com/admin?x=/public"
        );
    }

    #[test]
    fn a14_refuses_a_second_answer_to_the_same_question() {
        for more in [
            ("x-original-uri", "/public"),
            ("x-original-url", "https://app.example.com/public"),
            ("x-original-method", "OPTIONS"),
            ("x-forwarded-proto", "http"),
            ("host", "public.example.com"),
        ] {
            assert_eq!(nginx(&[more]), Err(OriginError::Unreadable), "{more:?}");
        }
        // What the other kind of proxy would say does not count.
        assert_eq!(nginx(&[("x-forwarded-uri", "/public")]).unwrap().2, "/admin");
        assert_eq!(nginx(&[("x-forwarded-method", "OPTIONS")]).unwrap().0, "GET");
    }

    #[test]
    fn refuses_a_path_that_only_the_application_might_listen_to() {
        for name in ["x-original-url", "x-original-uri"] {
            let forwarded = headers(&[
                ("host", "a"),
                ("x-forwarded-uri", "/public"),
                ("x-forwarded-method", "GET"),
                (name, "/admin"),
            ]);
            let refused = Original::by_forwarding(&forwarded, "https", &KnownOrigins::default()).unwrap_err();
            assert_eq!(refused, OriginError::Unreadable, "{name}");
            let asked = headers(&[("host", "a"), (name, "/admin")]);
            let refused = Original::by_ext_authz(&asked, "https", &KnownOrigins::default(), "GET", "/public");
            assert_eq!(refused.unwrap_err(), OriginError::Unreadable, "{name}");
        }
    }

    #[test]
    fn a21_refuses_a_request_that_the_proxy_does_not_describe() {
        for missing in ["x-original-uri", "x-original-method", "host"] {
            let rest: Vec<_> = NGINX.iter().copied().filter(|(name, _)| *name != missing).collect();
            assert_eq!(
                Original::by_nginx(&headers(&rest), "https", &KnownOrigins::default()).unwrap_err(),
                OriginError::Missing,
                "{missing}"
            );
        }
        for method in ["", "GET /", "G\u{e9}T", "GET,POST"] {
            let headers = headers(&[("host", "a"), ("x-forwarded-uri", "/"), ("x-forwarded-method", method)]);
            assert_eq!(
                Original::by_forwarding(&headers, "https", &KnownOrigins::default()).unwrap_err(),
                OriginError::Unreadable,
                "{method}"
            );
        }
    }

    #[test]
    fn a23_a_host_is_the_same_in_any_spelling() {
        for host in
            ["PRIVATE.Example.COM", "private.example.com:8443", "private.example.com.", "Private.example.com.:443"]
        {
            let headers = headers(&[("host", host), ("x-forwarded-uri", "/"), ("x-forwarded-method", "GET")]);
            assert_eq!(
                Original::by_forwarding(&headers, "https", &KnownOrigins::default()).unwrap().host(),
                "private.example.com",
                "{host}"
            );
        }
    }

    #[test]
    fn a23_refuses_what_is_no_host() {
        let list = "a.example.com, b.example.com";
        for host in
            ["", "a b", "a@b", "a/b", "a%2eb", "a\\b", "a#b", "a?b", "ex\u{430}mple.com", ":80", "a:b", "[::1", list]
        {
            let headers = headers(&[("host", host), ("x-forwarded-uri", "/"), ("x-forwarded-method", "GET")]);
            assert!(Original::by_forwarding(&headers, "https", &KnownOrigins::default()).is_err(), "{host}");
        }
    }

    #[test]
    fn a19_the_scheme_comes_from_a_trusted_proxy_or_the_configuration() {
        let headers = headers(&[("host", "a"), ("x-forwarded-proto", "http"), ("x-forwarded-host", "b")]);
        let untrusted = Reach::default();
        assert_eq!(visited(untrusted, &headers, "https").unwrap().as_str(), "https://a/");
        assert_eq!(visited(Reach { trusted: true, ..untrusted }, &headers, "https").unwrap().as_str(), "http://b/");
    }

    #[test]
    fn ingress_nginx_sends_a_whole_url() {
        let headers = headers(&[
            ("host", "gateway.internal"),
            ("x-original-url", "https://App.example.com:8443/a/../b?c=d"),
            ("x-original-method", "POST"),
        ]);
        let original = Original::by_nginx(&headers, "https", &KnownOrigins::default()).unwrap();
        assert_eq!(original.origin.as_str(), "https://app.example.com:8443/");
        assert_eq!(original.canonical_url(), "https://app.example.com:8443/b?c=d");
        assert!(original.path.is_rearranged());
    }
}
