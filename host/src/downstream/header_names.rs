//! The names of an application's identity headers, and who else may use them: nobody.
//!
//! The reverse proxy forwards the client's headers to the application along with ours. An
//! application that turns names into variables (CGI, WSGI, Rack, PHP) reads
//! `X_Forwarded_User`, `x-forwarded_user` and `X-Forwarded-User` as one. So no request that
//! brings any of them passes.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::config::{IdentityHeaders, OAUTH2_PROXY_HEADERS};

/// The names of one application's identity headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderNames {
    /// Who, to the application.
    pub user: Option<HeaderName>,
    /// The email address.
    pub email: Option<HeaderName>,
    /// The groups.
    pub groups: Option<HeaderName>,
    /// The full name.
    pub name: Option<HeaderName>,
    /// The signed statement of all of it.
    pub assertion: Option<HeaderName>,
    /// oauth2-proxy's own, where they are sent beside the others: user, preferred username,
    /// email, groups.
    pub oauth2_proxy: Option<[HeaderName; 4]>,
}

/// A configured name cannot be an identity header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name an identity header")]
pub struct HeaderNamesError(String);

/// How a client tried to speak for the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// It sent an identity header, or a name that reads like one.
    Header,
    /// It named a header of ours, or one that we go by, in `Connection`, so that a proxy on
    /// the way drops it (RFC 9110 §7.6.1).
    Connection,
    /// It sent `X-Rewrite-URL`, by which some applications go rather than by the path that is decided about
    /// (CVE-2018-14773), and which no proxy sends.
    Path,
}

impl Forgery {
    /// The stable name, in kebab-case.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Header => "identity-header-forged",
            Self::Connection => "connection-header-forged",
            Self::Path => "path-header-forged",
        }
    }
}

impl HeaderNames {
    /// Takes the names from the configuration; an empty one is not sent.
    ///
    /// # Errors
    ///
    /// Where a name is no header name, is one with a meaning of its own (`Host`, `Cookie`,
    /// a hop-by-hop header), or is there twice.
    pub fn new(configured: &IdentityHeaders) -> Result<Self, HeaderNamesError> {
        let names = Self {
            user: parse(&configured.user)?,
            email: parse(&configured.email)?,
            groups: parse(&configured.groups)?,
            name: parse(&configured.name)?,
            assertion: parse(&configured.assertion)?,
            oauth2_proxy: None,
        };
        let mut seen: Vec<&HeaderName> = Vec::new();
        for name in names.iter() {
            if seen.iter().any(|other| is_alias(name.as_str().as_bytes(), other.as_str().as_bytes())) {
                return Err(HeaderNamesError(name.to_string()));
            }
            seen.push(name);
        }
        Ok(names)
    }

    /// The same names, and oauth2-proxy's beside them.
    #[must_use]
    pub fn and_oauth2_proxys(self) -> Self {
        Self { oauth2_proxy: Some(OAUTH2_PROXY_HEADERS.map(HeaderName::from_static)), ..self }
    }

    /// All names.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderName> {
        let configured = [&self.user, &self.email, &self.groups, &self.name, &self.assertion];
        configured.into_iter().flatten().chain(self.oauth2_proxy.iter().flatten())
    }

    /// Each header with an empty value: what goes with a request that passes without an
    /// identity, so that a proxy overwrites what the client sent. And `Cache-Control: no-store`.
    #[must_use]
    pub fn blank(&self) -> HeaderMap {
        let names = self.iter().map(|name| (name.clone(), HeaderValue::from_static("")));
        names.chain([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]).collect()
    }

    /// Does the client speak for the gateway?
    #[must_use]
    pub fn forged(&self, headers: &HeaderMap) -> Option<Forgery> {
        if headers.keys().any(|name| self.reads_like_ours(name.as_str().as_bytes())) {
            return Some(Forgery::Header);
        }
        if headers.keys().any(|name| is_alias(name.as_str().as_bytes(), b"x-rewrite-url")) {
            return Some(Forgery::Path);
        }
        let named = headers.get_all(header::CONNECTION).iter().flat_map(|value| value.as_bytes().split(|&b| b == b','));
        named.map(<[u8]>::trim_ascii).any(|name| self.must_stay(name)).then_some(Forgery::Connection)
    }

    fn reads_like_ours(&self, name: &[u8]) -> bool {
        self.iter().any(|ours| is_alias(name, ours.as_str().as_bytes()))
    }

    /// Our own headers, and those by which we know the request.
    fn must_stay(&self, name: &[u8]) -> bool {
        const GO_BY: [&[u8]; 4] = [b"authorization", b"cookie", b"forwarded", b"host"];
        const GO_BY_PREFIXES: [&[u8]; 4] = [b"x-auth-request-", b"x-forwarded-", b"x-original-", b"x-vestibule-"];
        self.reads_like_ours(name)
            || GO_BY.iter().any(|other| is_alias(name, other))
            || GO_BY_PREFIXES.iter().any(|prefix| name.get(..prefix.len()).is_some_and(|start| is_alias(start, prefix)))
    }
}

/// Equal but for case and for which byte separates: some servers turn every byte that is
/// not a letter or digit into `_`.
fn is_alias(name: &[u8], ours: &[u8]) -> bool {
    name.len() == ours.len()
        && name.iter().zip(ours).all(|(left, right)| {
            left.eq_ignore_ascii_case(right) || !left.is_ascii_alphanumeric() && !right.is_ascii_alphanumeric()
        })
}

fn parse(configured: &str) -> Result<Option<HeaderName>, HeaderNamesError> {
    /// Names that mean something to a proxy or an application, whoever sends them.
    const TAKEN: [&str; 20] = [
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "location",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
    ];
    if configured.is_empty() {
        return Ok(None);
    }
    let name = HeaderName::try_from(configured).map_err(|_| HeaderNamesError(configured.to_owned()))?;
    if TAKEN.iter().any(|taken| is_alias(name.as_str().as_bytes(), taken.as_bytes())) {
        return Err(HeaderNamesError(configured.to_owned()));
    }
    Ok(Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured() -> IdentityHeaders {
        IdentityHeaders {
            user: "X-Forwarded-User".into(),
            email: "X-Forwarded-Email".into(),
            groups: "X-Forwarded-Groups".into(),
            name: String::new(),
            assertion: "X-Vestibule-Assertion".into(),
        }
    }

    fn names() -> HeaderNames {
        HeaderNames::new(&configured()).unwrap()
    }

    fn with(name: &str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([
            (header::HOST, HeaderValue::from_static("app.example.com")),
            (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap()),
        ])
    }

    #[test]
    fn an_empty_name_is_not_sent() {
        assert_eq!(names().iter().count(), 4);
        let mut blank = names().blank();
        assert_eq!(blank.remove(header::CACHE_CONTROL).unwrap(), "no-store");
        assert_eq!(blank.len(), 4);
        assert!(blank.values().all(HeaderValue::is_empty));
    }

    #[test]
    fn a11_refuses_every_spelling_of_an_identity_header_from_a_client() {
        for name in [
            "X-Forwarded-User",
            "x_forwarded_user",
            "X_Forwarded-USER",
            "x-forwarded_email",
            "X.Forwarded.Groups",
            "x_vestibule-assertion",
        ] {
            assert_eq!(names().forged(&with(name, "admin")), Some(Forgery::Header), "{name}");
            assert_eq!(names().forged(&with(name, "")), Some(Forgery::Header), "{name}");
        }
        for name in ["X-Forwarded-For", "X-Forwarded-Users", "X-Forwarded", "XForwardedUser", "User"] {
            assert_eq!(names().forged(&with(name, "admin")), None, "{name}");
        }
    }

    #[test]
    fn a20_refuses_a_connection_header_that_names_one_of_ours() {
        for value in [
            "close, X-Forwarded-User",
            "x_forwarded_groups",
            "keep-alive,\tX-VESTIBULE-ASSERTION , close",
            "Cookie",
            "close,host",
            "X-Forwarded-Uri",
            "x-original-uri",
            "x_original_method",
        ] {
            assert_eq!(names().forged(&with("connection", value)), Some(Forgery::Connection), "{value}");
        }
        let mut twice = with("connection", "close");
        twice.append(header::CONNECTION, HeaderValue::from_static("X-Forwarded-Email"));
        assert_eq!(names().forged(&twice), Some(Forgery::Connection));
        for value in ["close", "keep-alive", "upgrade", "", ",,", "Keep-Alive, Upgrade, HTTP2-Settings"] {
            assert_eq!(names().forged(&with("connection", value)), None, "{value}");
        }
    }

    #[test]
    fn nobody_says_another_path_than_the_one_that_is_decided_about() {
        for name in ["X-Rewrite-URL", "x_rewrite_url", "X-Rewrite_Url"] {
            assert_eq!(names().forged(&with(name, "/admin")), Some(Forgery::Path), "{name}");
        }
        assert_eq!(names().forged(&with("x-rewrite-urls", "/admin")), None);
    }

    #[test]
    fn a84_refuses_names_that_mean_something_else() {
        for name in ["Host", "cookie", "Authorization", "Transfer_Encoding", "connection", "X-A\r\nB", "a b", "X-Ü"] {
            assert!(HeaderNames::new(&IdentityHeaders { user: name.into(), ..configured() }).is_err(), "{name:?}");
        }
        let twice = IdentityHeaders { email: "x_forwarded_user".into(), ..configured() };
        assert!(HeaderNames::new(&twice).is_err());
    }
}
