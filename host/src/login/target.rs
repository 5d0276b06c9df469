//! Where a browser may be sent, and our own addresses.
//!
//! A target is parsed once, by the parser that browsers have (WHATWG URL), and judged by
//! the parts that came out; what the browser gets is the parsed form. Text is looked at
//! only to refuse what no honest link has.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::config::{Application, HandOver, Upstream, is_post_logout};

/// A longer target is none.
const TARGET_BYTES_MAX: usize = 2048;

/// Is `url` on one of the application's own hosts, where its sessions live: the origin of
/// `url`, and what `hosts` lists?
pub(super) fn is_own(application: &Application, url: &Url) -> bool {
    is_plain(url) && (is_same_origin(url, &application.url) || is_listed(application, &application.hosts, url))
}

/// May `url` be a target of `application`? Its own hosts may, and what `allowed-targets`
/// lists. A browser may be sent there; no ticket and no session ever is.
pub(super) fn is_allowed(application: &Application, url: &Url) -> bool {
    is_own(application, url) || (is_plain(url) && is_listed(application, &application.allowed_targets, url))
}

/// An address that a browser goes to, with nothing in it that could deceive.
fn is_plain(url: &Url) -> bool {
    let is_web = matches!(url.scheme(), "http" | "https");
    is_web && url.username().is_empty() && url.password().is_none() && url.host().is_some_and(is_plain_host)
}

/// Browsers take names that RFC 3986 §3.2.2 has not (`https://a`b.example/`, `https://a!b.example/`), and other programs
/// read them differently: a name is letters, digits, `-`, `_` and dots.
fn is_plain_host(host: Host<&str>) -> bool {
    match host {
        Host::Domain(name) => name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
        Host::Ipv4(_) | Host::Ipv6(_) => true,
    }
}

/// Scheme, host and port are the same (RFC 6454 §5). No other scheme than http and https has an
/// origin to compare.
fn is_same_origin(left: &Url, right: &Url) -> bool {
    matches!(left.scheme(), "http" | "https")
        && left.scheme() == right.scheme()
        && left.has_host()
        && left.host() == right.host()
        && left.port_or_known_default() == right.port_or_known_default()
}

/// A list holds origins, and `.example.com` for every host below that.
fn is_listed(application: &Application, list: &[String], url: &Url) -> bool {
    list.iter().any(|listed| match listed.strip_prefix('.') {
        // A subdomain may not be weaker than the application itself.
        Some(parent) => (url.scheme() == "https" || url.scheme() == application.url.scheme()) && is_below(url, parent),
        None => Url::parse(listed).is_ok_and(|listed| is_same_origin(&listed, url)),
    })
}

/// Reads a target that came in with a request; `base` is the origin on which a path alone
/// is meant. None for everything that is not plainly an allowed target.
#[must_use]
pub fn read(application: &Application, base: &Url, text: &str) -> Option<Url> {
    let url = parse(base, text)?;
    is_allowed(application, &url).then_some(url)
}

/// Where a logout ends: an allowed target of the application, an address that a relying party of it registered
/// (`registered` knows those that came while the gateway runs), or our own host.
pub(super) fn read_after_logout(
    application: Option<&Application>,
    public_url: &Url,
    text: &str,
    registered: impl Fn(&Application, &Url) -> bool,
) -> Option<Url> {
    let base = application.map_or(public_url, |application| &application.url);
    let url = parse(base, text)?;
    let own = is_same_origin(&url, public_url);
    let of_application = |application: &Application| {
        is_allowed(application, &url) || is_configured(application, &url) || registered(application, &url)
    };
    (own || application.is_some_and(of_application)).then_some(url)
}

/// One of the `post-logout-redirect-uris` of the relying party that the application is.
fn is_configured(application: &Application, url: &Url) -> bool {
    matches!(&application.hand_over, HandOver::Oidc(client) if is_post_logout(&client.post_logout_redirect_uris, url))
}

/// Reads the origin on which a login was started. None where it is not one of the
/// application's.
pub(super) fn read_origin(application: &Application, text: &str) -> Option<Url> {
    let url = parse(&application.url, text)?;
    is_own(application, &url).then(|| origin_of(&url))
}

/// Scheme, host and port alone.
pub(super) fn origin_of(url: &Url) -> Url {
    let mut origin = url.clone();
    origin.set_path("/");
    origin.set_query(None);
    origin.set_fragment(None);
    origin
}

/// Is it no more than scheme, host and port?
pub(super) fn is_origin(url: &Url) -> bool {
    url.path() == "/" && url.query().is_none() && url.fragment().is_none()
}

/// An address of ours: `path` below the origin of `base`, with a query.
pub(super) fn address(base: &Url, path: &[&str], query: &[(&str, &str)]) -> Url {
    let mut url = origin_of(base);
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().extend(path);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

fn parse(base: &Url, text: &str) -> Option<Url> {
    if text.is_empty() || text.len() > TARGET_BYTES_MAX {
        return None;
    }
    // Browsers drop tabs and line ends, strip blanks, and read a backslash as a slash.
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let url = if let Some(rest) = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")) {
        // RFC 3986 §3.2: the authority ends at the first of these. Userinfo is for
        // deceiving people, an empty authority for deceiving parsers.
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || authority.contains('@') {
            return None;
        }
        Url::parse(text).ok()?
    } else if text.starts_with('/') && !text.starts_with("//") {
        let url = base.join(text).ok()?;
        if !is_same_origin(&url, base) {
            return None;
        }
        url
    } else {
        return None;
    };
    is_plain_path(url.path()).then_some(url)
}

/// The parsed path is harmless even to an application that decodes it and redirects
/// there: it does not begin like the address of another host, and hides no control.
fn is_plain_path(path: &str) -> bool {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let hides_control = decoded.chars().any(|c| c.is_control() || c == '\\');
    let begins_oddly = decoded.strip_prefix('/').is_none_or(|rest| rest.trim_start().starts_with('/'));
    !hides_control && !begins_oddly
}

/// Is the host a subdomain of `parent`, by whole labels?
fn is_below(url: &Url, parent: &str) -> bool {
    let Some(Host::Domain(host)) = url.host() else { return false };
    let parent = parent.to_ascii_lowercase();
    host.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// Where an upstream sends browsers back.
pub(super) fn callback(public_url: &Url, upstream: &Upstream) -> Url {
    let path = upstream.callback_path.as_deref().unwrap_or_default();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.is_empty() {
        address(public_url, &["callback", &upstream.id], &[])
    } else {
        address(public_url, &segments, &[])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{ForwardAuth, HandOver, IdentityHeaders};

    fn application(allowed: &[&str]) -> Application {
        Application {
            id: "wiki".into(),
            display_name: "Wiki".into(),
            tenant: "default".into(),
            upstreams: vec![],
            chain: vec![],
            url: Url::parse("https://app.example.net/start").unwrap(),
            hosts: vec![],
            canary: None,
            shadow_chain: Vec::new(),
            allowed_targets: allowed.iter().map(|target| (*target).to_owned()).collect(),
            own_login_path: None,
            protected_groups: BTreeSet::new(),
            directory: None,
            hand_over: HandOver::ForwardAuth(ForwardAuth {
                headers: IdentityHeaders {
                    user: String::new(),
                    email: String::new(),
                    groups: String::new(),
                    name: String::new(),
                    assertion: String::new(),
                },
                assertion_lifetime: 60,
                pass_options: false,
                oauth2_proxy: false,
                session_endpoint: false,
                proxy: None,
            }),
        }
    }

    fn target(allowed: &[&str], text: &str) -> Option<String> {
        let application = application(allowed);
        read(&application, &application.url, text).map(|url| url.to_string())
    }

    #[test]
    fn accepts_a_path_and_an_address_on_the_applications_own_origin() {
        assert_eq!(target(&[], "/Home?x=1#top").as_deref(), Some("https://app.example.net/Home?x=1#top"));
        assert_eq!(target(&[], "https://APP.example.net:443/a").as_deref(), Some("https://app.example.net/a"));
        assert_eq!(target(&[], "/").as_deref(), Some("https://app.example.net/"));
        assert_eq!(target(&[], "/a//b").as_deref(), Some("https://app.example.net/a//b"));
        assert_eq!(target(&[], "/q?next=//evil.com").as_deref(), Some("https://app.example.net/q?next=//evil.com"));
    }

    #[test]
    fn a01_refuses_backslashes_wherever_they_are() {
        for text in [
            "/\\evil.com",
            "\\\\evil.com",
            "/\\/evil.com",
            "https:\\\\evil.com",
            "https://app.example.net\\@evil.com/",
            "https://app.example.net\\.evil.com/",
            "/%5cevil.com",
            "/%5C%5Cevil.com",
            "/a/..\\..\\evil.com",
        ] {
            assert_eq!(target(&[], text), None, "{text}");
        }
    }

    #[test]
    fn a02_refuses_controls_and_blanks_raw_or_encoded() {
        for text in [
            "/\t/evil.com",
            "/\n/evil.com",
            "/\r\n/evil.com",
            "/ //evil.com",
            " //evil.com",
            "\t//evil.com",
            "/\u{0}/evil.com",
            "/\u{7f}/evil.com",
            "/\u{a0}/evil.com",
            "/\u{85}/evil.com",
            "/\u{2028}/evil.com",
            "/%09/evil.com",
            "/%0a/evil.com",
            "/%0d%0aLocation:%20https://evil.com",
            "/%20//evil.com",
            "/%00/evil.com",
            "ht\ttps://evil.com",
            "//\tevil.com",
        ] {
            assert_eq!(target(&[], text), None, "{text:?}");
        }
    }

    #[test]
    fn a03_refuses_names_that_only_browsers_take() {
        for name in ["`", "a!b", "a,b", "$", "a'b", "a(b)", "a&b", "a=b", "a;b", "a+b", "*", "a~b", "{x}", "\"q\""] {
            let text = format!("https://{name}.example.net/x");
            assert_eq!(target(&[".example.net"], &text), None, "{text}");
        }
        for name in ["a", "a-b", "_dmarc", "xn--bcher-kva", "B\u{fc}cher"] {
            assert!(target(&[".example.net"], &format!("https://{name}.example.net/x")).is_some(), "{name}");
        }
    }

    #[test]
    fn a03_refuses_other_hosts_and_other_schemes_however_they_are_written() {
        for text in [
            "//evil.com",
            "///evil.com",
            "////evil.com",
            "/.//evil.com",
            "/a/..//evil.com",
            "/%2f/evil.com",
            "/%2F%2Fevil.com",
            "https:evil.com",
            "https:/evil.com",
            "https:///evil.com",
            "https:app.example.net/a",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "ftp://app.example.net/",
            "ws://app.example.net/",
            "blob:https://app.example.net/x",
            "http://app.example.net/",
            "https://app.example.net:8443/",
            "evil.com",
            "?x=1",
            "#x",
            "",
            "https://",
            "https://?app.example.net",
            "https://evil.com#app.example.net",
            "https://evil.com?app.example.net/",
            "https://evil.com/https://app.example.net/",
            "https://evil\u{ff0f}app.example.net/",
            "https://evil.com\u{3002}app.example.net.evil.com/",
            "https://[::1]/",
        ] {
            assert_eq!(target(&[], text), None, "{text}");
        }
    }

    #[test]
    fn a04_a_suffix_is_compared_by_whole_labels() {
        let allowed = [".example.com"];
        for text in ["https://a.example.com/", "https://A.B.example.com/x", "https://a.EXAMPLE.com/"] {
            assert!(target(&allowed, text).is_some(), "{text}");
        }
        for text in [
            "https://evil-example.com/",
            "https://badexample.com",
            "https://example.com/",
            "https://.example.com/",
            "https://a.example.com.evil.com/",
            "https://a.example.com./",
            "http://a.example.com/",
            "https://a.example.comx/",
            "https://127.0.0.1/",
        ] {
            assert_eq!(target(&allowed, text), None, "{text}");
        }
    }

    #[test]
    fn a04_an_allowed_origin_is_compared_by_scheme_host_and_port() {
        let allowed = ["https://files.example.org"];
        assert!(target(&allowed, "https://files.example.org/a").is_some());
        for text in [
            "http://files.example.org/",
            "https://files.example.org:444/",
            "https://xfiles.example.org/",
            "https://a.files.example.org/",
            "https://files.example.org.evil.com/",
        ] {
            assert_eq!(target(&allowed, text), None, "{text}");
        }
    }

    #[test]
    fn a07_refuses_any_address_with_userinfo() {
        for text in [
            "https://a@b@evil.com/",
            "https://app.example.net@evil.com/",
            "https://user@app.example.net/",
            "https://user:password@app.example.net/",
            "https://:@app.example.net/",
            "https://@app.example.net/",
            "https://app.example.net%40evil.com/",
            "HTTPS://@app.example.net/",
        ] {
            assert_eq!(target(&[], text), None, "{text}");
        }
    }

    #[test]
    fn a08_after_a_logout_without_a_list_only_our_own_hosts_are_targets() {
        let public_url = Url::parse("https://login.example.net/").unwrap();
        let wiki = application(&[]);
        for text in ["https://evil.com", "//evil.com", "/\\evil.com", "javascript:alert(1)", "https://example.net/"] {
            assert_eq!(read_after_logout(Some(&wiki), &public_url, text, |_, _| false), None, "{text}");
            assert_eq!(read_after_logout(None, &public_url, text, |_, _| false), None, "{text}");
        }
        assert!(read_after_logout(None, &public_url, "https://login.example.net/logged-out", |_, _| false).is_some());
        assert!(read_after_logout(None, &public_url, "https://app.example.net/", |_, _| false).is_none());
        assert!(read_after_logout(Some(&wiki), &public_url, "https://app.example.net/bye", |_, _| false).is_some());
        assert!(read_after_logout(Some(&wiki), &public_url, "/bye", |_, _| false).is_some());
    }

    #[test]
    fn after_a_logout_a_relying_partys_registered_addresses_are_targets_and_no_others() {
        let public_url = Url::parse("https://login.example.net/").unwrap();
        let uris = ["https://bye.example.org/out", "https://bye.example.org/q?a=1"].map(|uri| Url::parse(uri).unwrap());
        let rp = Application {
            hand_over: HandOver::Oidc(crate::config::OidcClient {
                post_logout_redirect_uris: uris.to_vec(),
                ..crate::config::OidcClient::default()
            }),
            ..application(&[])
        };
        let target =
            |text: &str| read_after_logout(Some(&rp), &public_url, text, |_, _| false).map(|url| url.to_string());
        let since = |_: &Application, url: &Url| url.as_str() == "https://new.example.org/out";
        for (text, is_taken) in [("https://new.example.org/out", true), ("https://new.example.org/other", false)] {
            assert_eq!(target(text), None, "{text}");
            assert_eq!(read_after_logout(Some(&rp), &public_url, text, since).is_some(), is_taken, "{text}");
            assert_eq!(read_after_logout(None, &public_url, text, since), None, "nobody's");
        }
        for text in [
            "https://bye.example.org/out",
            "https://bye.example.org/out?state=x%26y",
            "https://bye.example.org/q?a=1&state=x",
        ] {
            assert_eq!(target(text).as_deref(), Some(text));
        }
        for text in [
            "https://bye.example.org/",
            "https://bye.example.org/outer",
            "https://bye.example.org/out?next=https://evil.com",
            "https://bye.example.org/out?state=x&next=https://evil.com",
            "https://bye.example.org/out/../evil",
            "https://bye.example.org/q?a=2",
            "https://bye.example.org.evil.com/out",
        ] {
            assert_eq!(target(text), None, "{text}");
        }
    }

    #[test]
    fn a09_a_session_goes_to_the_applications_own_hosts_only() {
        let wiki =
            Application { hosts: vec![".example.com".into(), "https://wiki.example.org".into()], ..application(&[]) };
        for (text, origin) in [
            ("https://a.example.com/x?y#z", "https://a.example.com/"),
            ("https://wiki.example.org/x", "https://wiki.example.org/"),
            ("https://app.example.net/x", "https://app.example.net/"),
        ] {
            assert_eq!(read_origin(&wiki, text).map(|url| url.to_string()).as_deref(), Some(origin));
            assert!(is_allowed(&wiki, &Url::parse(text).unwrap()), "its own host is a target, too");
        }
        for text in
            ["https://evil.com", "null", "https://example.com", "http://wiki.example.org", "https://a@a.example.com"]
        {
            assert_eq!(read_origin(&wiki, text), None, "{text}");
        }
        // Where a browser may be sent, no session need be at home.
        let elsewhere = application(&[".example.com", "https://files.example.org"]);
        for text in ["https://a.example.com/", "https://files.example.org/"] {
            assert!(target(&[".example.com", "https://files.example.org"], text).is_some(), "{text}");
            assert_eq!(read_origin(&elsewhere, text), None, "{text}");
        }
    }

    #[test]
    fn our_addresses_encode_what_they_carry() {
        let base = Url::parse("https://app.example.net/start?x#y").unwrap();
        let url = address(&base, &["vestibule", "start", "a/b?c"], &[("rd", "/x?y=1&z=#2")]);
        assert_eq!(url.as_str(), "https://app.example.net/vestibule/start/a%2Fb%3Fc?rd=%2Fx%3Fy%3D1%26z%3D%232");
    }

    proptest! {
        #[test]
        fn a01_to_a04_whatever_is_accepted_is_on_an_allowed_host(
            text in r#"(https?:)?[/\\@.:a-z%0-9\t #?]{0,12}(evil\.com|app\.example\.net)?[/\\@.:a-z%0-9#?]{0,12}"#,
        ) {
            if let Some(url) = target(&[], &text) {
                let url = Url::parse(&url).unwrap();
                prop_assert_eq!(url.scheme(), "https");
                prop_assert_eq!(url.host_str(), Some("app.example.net"));
                prop_assert!(!url.path().starts_with("//"));
            }
        }
    }
}
