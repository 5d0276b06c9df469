//! Which headers go through the built-in reverse proxy, in either direction.
//!
//! What belongs to one connection stays on it (RFC 9110 §7.6.1); what says who the browser
//! is or where it came from is written by the gateway only; the gateway's own cookies are
//! seen by nobody else, and set by nobody else.

use axum::http::{HeaderMap, HeaderValue, header};

/// RFC 9110 §7.6.1, and what older clients use for the same.
const OF_THE_CONNECTION: [&str; 10] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// No browser sends it. A CGI-like application makes `HTTP_PROXY` of it, through which its own requests would then go
/// (httpoxy, CVE-2016-5385).
const SETS_THE_PROXY: &str = "proxy";

/// What of the browser's headers the application sees.
pub(super) fn request(came: &HeaderMap, cookie_name: &str) -> HeaderMap {
    let named = named(came);
    let mut headers = HeaderMap::with_capacity(came.len() + 8);
    for (name, value) in came {
        let text = name.as_str();
        if is_of_the_connection(text, &named)
            || is_of_the_way(text)
            || text == SETS_THE_PROXY
            || *name == header::COOKIE
        {
            continue;
        }
        headers.append(name.clone(), value.clone());
    }
    for value in came.get_all(header::COOKIE) {
        if let Some(value) = foreign_cookies(value.as_bytes(), cookie_name) {
            headers.append(header::COOKIE, value);
        }
    }
    headers
}

/// What of the application's headers the browser sees.
pub(super) fn response(came: &HeaderMap, cookie_name: &str) -> HeaderMap {
    let named = named(came);
    let mut headers = HeaderMap::with_capacity(came.len() + 4);
    for (name, value) in came {
        let sets_ours = *name == header::SET_COOKIE && is_ours(value.as_bytes(), cookie_name);
        if !sets_ours && !is_of_the_connection(name.as_str(), &named) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// The names in `Connection`, in lower case.
fn named(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let values = headers.get_all(header::CONNECTION).iter();
    values
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .collect()
}

fn is_of_the_connection(name: &str, named: &[Vec<u8>]) -> bool {
    OF_THE_CONNECTION.contains(&name) || named.iter().any(|other| other == name.as_bytes())
}

/// What says how a request came here, or that another path or method is meant than the one that was decided about
/// (`X-Rewrite-URL`: CVE-2018-14773). Programs that make variables of names (CGI, WSGI, Rack) read all signs but letters and
/// digits as one.
fn is_of_the_way(name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "forwarded",
        "host",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-real-ip",
        "x-rewrite-url",
    ];
    let name = name.replace(|sign: char| !sign.is_ascii_alphanumeric(), "-");
    NAMES.contains(&name.as_str())
        || ["x-forwarded-", "x-original-", "x-vestibule-"].iter().any(|prefix| name.starts_with(prefix))
}

/// A `Cookie` header without ours; none where nothing is left.
fn foreign_cookies(header: &[u8], cookie_name: &str) -> Option<HeaderValue> {
    let pairs = header.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let left: Vec<&[u8]> = pairs.filter(|pair| !pair.is_empty() && !is_ours(pair, cookie_name)).collect();
    HeaderValue::from_bytes(&left.join(&b"; "[..])).ok().filter(|value| !value.is_empty())
}

/// Is it a cookie by one of our names, with or without `__Host-`? A cookie that has no name
/// (`=vestibule-…`) comes back without the sign (RFC 6265bis §5.4), and would then have ours.
fn is_ours(pair: &[u8], cookie_name: &str) -> bool {
    let start = pair.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b'=').unwrap_or(pair.len());
    let name = pair.get(start..).unwrap_or_default().to_ascii_lowercase();
    let name = name.strip_prefix(b"__host-").unwrap_or(&name);
    let rest = name.strip_prefix(cookie_name.to_ascii_lowercase().as_bytes());
    rest.is_some_and(|rest| rest.first() == Some(&b'-'))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        headers
    }

    #[test]
    fn what_belongs_to_the_connection_stays_on_it() {
        let came = headers(&[
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "x"),
            ("accept", "*/*"),
        ]);
        assert_eq!(request(&came, "vestibule"), headers(&[("accept", "*/*")]));
        assert_eq!(response(&came, "vestibule"), headers(&[("accept", "*/*")]));
    }

    #[test]
    fn no_client_sets_the_proxy_that_an_application_asks_by() {
        for name in ["proxy", "Proxy", "PROXY"] {
            assert!(request(&headers(&[(name, "http://192.0.2.1:8080")]), "vestibule").is_empty(), "{name}");
        }
        assert_eq!(request(&headers(&[("x-proxy", "1")]), "vestibule").len(), 1);
    }

    #[test]
    fn a14_a25_nothing_that_a_client_says_about_the_way_arrives() {
        for name in [
            "x-forwarded-for",
            "x_forwarded_for",
            "X-Forwarded_Proto",
            "forwarded",
            "x-original-uri",
            "X-Real-IP",
            "x_real_ip",
            "X.Forwarded.For",
            "X.Real.IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "x_rewrite.url",
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
        ] {
            assert!(request(&headers(&[(name, "192.0.2.1")]), "vestibule").is_empty(), "{name}");
        }
    }

    #[test]
    fn the_application_never_sees_our_cookies_and_never_sets_them() {
        let came = headers(&[
            ("cookie", "a=1; __Host-vestibule-app-wiki=s; b=2;vestibule-enter=x; vestibules=3"),
            ("cookie", "__Host-vestibule-app-wiki.1=t"),
        ]);
        assert_eq!(request(&came, "vestibule"), headers(&[("cookie", "a=1; b=2; vestibules=3")]));
        for set in
            ["vestibule-app-wiki=x; Path=/", " __Host-Vestibule-sso=x", "=vestibule-app-wiki=x", "= vestibule-enter=x"]
        {
            assert!(response(&headers(&[("set-cookie", set)]), "vestibule").is_empty(), "{set}");
        }
        assert_eq!(response(&headers(&[("set-cookie", "a=vestibule-x")]), "vestibule").len(), 1);
    }

    proptest! {
        #[test]
        fn a20_whatever_connection_names_is_gone(name in "x-[a-z]{1,12}", case in any::<bool>(), around in "[ \t]{0,3}") {
            let told = if case { name.to_ascii_uppercase() } else { name.clone() };
            let came = headers(&[("connection", &format!("close,{around}{told}{around},keep-alive")), (&name, "1"), ("accept", "a")]);
            prop_assert_eq!(request(&came, "vestibule"), headers(&[("accept", "a")]));
        }

        #[test]
        fn no_cookie_of_ours_survives(before in "[a-z=; ]{0,12}", what in "[a-z]{1,8}", after in "[a-z=; ]{0,12}") {
            let came = headers(&[("cookie", &format!("{before};__Host-vestibule-{what}=secret;{after}"))]);
            let left = request(&came, "vestibule");
            let text = left.get("cookie").map(|value| value.to_str().unwrap()).unwrap_or_default();
            prop_assert!(!text.contains("secret"));
        }
    }
}
