//! A reverse proxy's configuration: the text of `docs/forward-auth.md`, with the names and
//! addresses of one application. So what is documented, what is printed and what the tests run
//! is the same.

use serde_json::json;

use super::ForProxy;
use crate::{
    cli::output::{Exit, Failure, Output},
    config::{self, Application, Config, ForwardAuth, HandOver, IdentityHeaders},
};

const DOCUMENTATION: &str = include_str!("../../../../docs/forward-auth.md");

/// One file of a proxy's configuration.
struct File {
    /// How comments begin in it.
    comment: &'static str,
    name: &'static str,
    text: String,
}

pub(super) fn run(proxy: &str, asked: &ForProxy, output: &Output) -> Result<Exit, Failure> {
    let config = config::load(&asked.config).map_err(Failure::of_configuration)?;
    let id = &asked.application;
    let application = config.applications.get(id);
    let application =
        application.ok_or_else(|| Failure::text(Exit::Failed, format!("there is no application `{id}`")))?;
    let HandOver::ForwardAuth(forward_auth) = &application.hand_over else {
        let message = format!("the application `{id}` is not behind a proxy: it has no `forward-auth`");
        return Err(Failure::text(Exit::Failed, message));
    };
    if !is_address(&asked.backend) {
        let message = format!("`{}` is no host and port, such as 127.0.0.1:3000", asked.backend);
        return Err(Failure::text(Exit::CommandLine, message));
    }
    let filled = |text: &str| fill(text, &config, application, forward_auth, &asked.backend);
    let files: Vec<File> = documented(proxy)
        .into_iter()
        .map(|(language, text)| {
            let (name, comment) = kind(language);
            File { comment, name, text: filled(text) }
        })
        .collect();
    let mut shown: Vec<String> = Vec::new();
    for File { comment, name, text } in &files {
        let hosts = application.hosts.join(", ");
        let more = if hosts.is_empty() {
            String::new()
        } else {
            format!("\n{comment} It is reached at {hosts}, too: add them.")
        };
        let from = format!("{comment} {name}: {proxy} before the application `{id}`; see docs/forward-auth.md.{more}");
        shown.push(format!("{from}\n{text}"));
    }
    let listed: Vec<_> = files.iter().map(|file| json!({ "name": file.name, "text": file.text })).collect();
    output.result(
        shown.join("\n").trim_end(),
        &json!({ "ok": true, "application": id, "proxy": proxy, "files": listed }),
    );
    Ok(Exit::Done)
}

/// A host or address, and a port.
fn is_address(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && host.bytes().all(plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// The blocks of code below a heading, each with its language.
fn documented(heading: &str) -> Vec<(&'static str, &'static str)> {
    let (_, section) = DOCUMENTATION.split_once(&format!("\n## {heading}\n")).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.split_once('\n')).collect()
}

/// A file's name, and how comments begin in it, by the language that the documentation gives.
fn kind(language: &str) -> (&'static str, &'static str) {
    match language {
        "caddyfile" => ("Caddyfile", "#"),
        "haproxy" => ("haproxy.cfg", "#"),
        "lua" => ("vestibule.lua", "--"),
        "nginx" => ("nginx.conf", "#"),
        _ => ("vestibule.yml", "#"),
    }
}

/// Puts the application's names where the documentation has its example's.
fn fill(text: &str, config: &Config, application: &Application, forward_auth: &ForwardAuth, backend: &str) -> String {
    let host = application.url.host_str().unwrap_or_default();
    let is_secure = application.url.scheme() == "https";
    let mut listen = config.server.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let envoys = |address: &str| {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        format!("address: {}, port_value: {port}", host.trim_matches(['[', ']']))
    };
    let gateway = listen.to_string();
    let caddys = match (is_secure, application.url.port()) {
        (true, None) => host.to_owned(),
        (true, Some(port)) => format!("{host}:{port}"),
        (false, None) => format!("http://{host}"),
        (false, Some(port)) => format!("http://{host}:{port}"),
    };
    let prefix = if is_secure { "__Host-" } else { "" };
    let mut pairs = vec![
        ("\nwiki.example.com {".to_owned(), format!("\n{caddys} {{")),
        ("wiki.example.com".to_owned(), host.to_owned()),
        (
            "__Host-vestibule-app-wiki".to_owned(),
            format!("{prefix}{}-app-{}", config.session.cookie_name, application.id),
        ),
        (envoys("127.0.0.1:3000"), envoys(backend)),
        (envoys("127.0.0.1:8080"), envoys(&gateway)),
        ("127.0.0.1:3000".to_owned(), backend.to_owned()),
        ("127.0.0.1:8080".to_owned(), gateway),
    ];
    pairs.extend(more_paths(forward_auth));
    pairs.extend(headers(&forward_auth.headers));
    pairs.push(("wiki".to_owned(), application.id.clone()));
    // The site's address is a Caddyfile's first line.
    format!("{}\n", replace(&format!("\n{text}"), &pairs).trim_matches('\n'))
}

/// What of the application's host leads to the gateway, where more does than in the example.
fn more_paths(forward_auth: &ForwardAuth) -> Vec<(String, String)> {
    let mut more = Vec::new();
    if forward_auth.session_endpoint {
        more.push("/api/session");
    }
    if forward_auth.oauth2_proxy {
        more.push("/oauth2/(sign_in|start|sign_out|userinfo)");
    }
    let (searched, whole) = ("^/vestibule/(start|enter|logout)/", "/vestibule/(start|enter|logout)/.*");
    let mut both = (searched.to_owned(), whole.to_owned());
    for path in more {
        both.0.push_str(&format!("|^{path}$"));
        both.1.push_str(&format!("|{path}"));
    }
    vec![(searched.to_owned(), both.0), (whole.to_owned(), both.1)]
}

/// The identity headers in each spelling of the documentation. One that is not sent keeps its
/// usual name: it is taken from the client either way.
fn headers(named: &IdentityHeaders) -> Vec<(String, String)> {
    let known = [
        ("X-Forwarded-User", &named.user),
        ("X-Forwarded-Email", &named.email),
        ("X-Forwarded-Groups", &named.groups),
        ("X-Forwarded-Name", &named.name),
        ("X-Vestibule-Assertion", &named.assertion),
    ];
    let lower = |name: &str| name.to_ascii_lowercase();
    let variable = |name: &str| format!("upstream_http_{}", lower(name).replace('-', "_"));
    let mut pairs = Vec::new();
    for (usual, configured) in known.into_iter().filter(|(_, configured)| !configured.is_empty()) {
        pairs.push((variable(usual), variable(configured)));
        pairs.push((lower(usual), lower(configured)));
        pairs.push((usual.to_owned(), configured.clone()));
    }
    pairs
}

/// Each place of `text` is replaced once, by the first pair that fits there: what was put in is
/// not looked at again.
fn replace(text: &str, pairs: &[(String, String)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some((from, to)) = pairs.iter().find(|(from, _)| rest.starts_with(from.as_str())) {
            filled.push_str(to);
            rest = rest.strip_prefix(from.as_str()).unwrap_or_default();
        } else {
            filled.push(character);
            rest = rest.strip_prefix(character).unwrap_or_default();
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn filled(proxy: &str, more: &str) -> Vec<String> {
        let text = format!(
            "[server]\npublic-url = \"https://login.acme.eu\"\nlisten = \"0.0.0.0:9090\"\n\
             [applications.wikipedia]\nupstreams = []\nchain = []\nurl = \"https://know.acme.eu/\"\n\
             [applications.wikipedia.forward-auth]\n{more}"
        );
        let config = config::parse(&text, Path::new("v.toml"), &|_| None).unwrap();
        let application = &config.applications["wikipedia"];
        let HandOver::ForwardAuth(forward_auth) = &application.hand_over else { panic!("no forward-auth") };
        let files = documented(proxy);
        assert!(!files.is_empty(), "{proxy}");
        files.iter().map(|(_, text)| fill(text, &config, application, forward_auth, "10.0.0.5:8090")).collect()
    }

    #[test]
    fn every_name_of_the_example_gives_way_to_the_applications_own() {
        for proxy in ["nginx", "Traefik", "Caddy", "Envoy", "HAProxy"] {
            let text = filled(proxy, "").concat();
            assert!(text.contains("know.acme.eu") || proxy == "HAProxy", "{proxy}: {text}");
            for wanted in ["wikipedia", "10.0.0.5", "8090", "9090"] {
                assert!(text.contains(wanted), "{proxy} lacks {wanted}: {text}");
            }
            for example in ["wiki.example.com", "3000", "8080", "wiki\"", "wiki\n", "wiki;", "wikipediapedia"] {
                assert!(!text.contains(example), "{proxy} still has {example}: {text}");
            }
        }
    }

    #[test]
    fn configured_headers_are_the_ones_that_are_handed_on() {
        let more = "[applications.wikipedia.forward-auth.headers]\nuser = \"Remote-User\"\nname = \"\"\n";
        let nginx = filled("nginx", more).concat();
        assert!(nginx.contains("$upstream_http_remote_user"), "{nginx}");
        assert!(nginx.contains("proxy_set_header  Remote-User "), "{nginx}");
        assert!(!nginx.contains("Forwarded-User") && nginx.contains("X-Forwarded-Name"), "{nginx}");
        let envoy = filled("Envoy", more).concat();
        assert!(envoy.contains("- exact: remote-user\n"), "{envoy}");
        let haproxy = filled("HAProxy", more);
        assert!(haproxy[1].contains("\"remote-user\"") && haproxy[1].contains("http://127.0.0.1:9090"), "{haproxy:?}");
    }

    #[test]
    fn what_is_switched_on_leads_to_the_gateway_too() {
        for (proxy, wanted) in [
            ("nginx", "location ~ ^/vestibule/(start|enter|logout)/|^/api/session$|^/oauth2/(sign_in|"),
            ("Traefik", "PathRegexp(`^/vestibule/(start|enter|logout)/|^/api/session$|^/oauth2/("),
            ("Caddy", "path_regexp ^/vestibule/(start|enter|logout)/|^/api/session$|^/oauth2/("),
            ("Envoy", "regex: \"/vestibule/(start|enter|logout)/.*|/api/session|/oauth2/(sign_in|"),
            ("HAProxy", "path_reg ^/vestibule/(start|enter|logout)/|^/api/session$|^/oauth2/("),
        ] {
            let text = filled(proxy, "session-endpoint = true\noauth2-proxy = true\n").concat();
            assert!(text.contains(wanted), "{proxy}: {text}");
            assert!(!filled(proxy, "").concat().contains("/api/session"), "{proxy}");
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["127.0.0.1:3000", "wiki:80", "[::1]:8080", "a.b-c.example:65535"] {
            assert!(is_address(good), "{good}");
        }
        for bad in
            ["", "wiki", ":80", "wiki:", "wiki:0", "wiki:70000", "wiki:80/x", "http://wiki:80", "wi ki:80", "a;b:80"]
        {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
