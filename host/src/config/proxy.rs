//! `[applications.ID.proxy]`: the built-in reverse proxy.

use std::{sync::Arc, time::Duration};

use http::Uri;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use schemars::JsonSchema;
use serde::Deserialize;

use super::check::{Check, Text, join};

/// `[applications.ID.proxy]`
#[derive(Clone, Debug)]
pub struct ReverseProxy {
    /// `backend`: scheme, host and port.
    pub backend: Uri,
    /// Whom an `https` backend is; none where it speaks plain HTTP.
    pub tls: Option<BackendTls>,
    /// `connect-timeout-ms`: default 5000.
    pub connect_timeout: Duration,
    /// `response-timeout-ms`: until the response's headers are there; default 60000.
    pub response_timeout: Duration,
    /// `idle-timeout-ms`: between two pieces of a body, and of a WebSocket that is silent;
    /// default 120000.
    pub idle_timeout: Duration,
    /// `body-bytes-max`: none means no limit; bodies are not kept in memory.
    pub body_bytes_max: Option<u64>,
    /// `websocket`: default true.
    pub websocket: bool,
}

/// What an `https` backend has to prove. There is no way to do without.
#[derive(Clone, Debug)]
pub struct BackendTls {
    /// `backend-ca`, or the system's certificate authorities.
    pub authorities: Arc<RootCertStore>,
    /// `backend-name`, or the backend's host: what its certificate is for, and what it is asked for (SNI, RFC 6066 §3).
    pub name: ServerName<'static>,
}

/// The gateway itself is the reverse proxy, for an application that has none. Identity headers are those of
/// `forward-auth`.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawProxy {
    /// Where the application listens, such as `http://127.0.0.1:8080` or `https://jira.internal:8443`. The certificate of
    /// an `https` backend is always checked.
    #[schemars(extend("x-required" = true))]
    backend: Option<String>,
    /// The certificate authorities (PEM) that an `https` backend's certificate may come from, and no others; default
    /// the system's.
    backend_ca: Option<Text>,
    /// The name for which an `https` backend has its certificate, and by which it is asked for; default the host of
    /// `backend`.
    backend_name: Option<String>,
    /// How long a connection to the application may take to open.
    #[schemars(range(min = 1, max = 600_000))]
    connect_timeout_ms: u32,
    /// How long the application may take until its response's headers are there, an upload included.
    #[schemars(range(min = 1, max = 86_400_000))]
    response_timeout_ms: u32,
    /// How long a body or a WebSocket may be silent.
    #[schemars(range(min = 1, max = 86_400_000))]
    idle_timeout_ms: u32,
    /// The longest request body; default no limit, since none is kept in memory.
    body_bytes_max: Option<u64>,
    /// Let WebSockets through.
    websocket: bool,
}

impl Default for RawProxy {
    fn default() -> Self {
        Self {
            backend: None,
            backend_ca: None,
            backend_name: None,
            connect_timeout_ms: 5_000,
            response_timeout_ms: 60_000,
            idle_timeout_ms: 120_000,
            body_bytes_max: None,
            websocket: true,
        }
    }
}

impl RawProxy {
    /// None where something needed is missing or wrong, which was reported.
    pub(super) fn check(self, check: &mut Check<'_>, section: &str) -> Option<ReverseProxy> {
        let text = self.backend.as_ref()?;
        let backend = text.parse::<Uri>().ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.path() == "/"
                && uri.query().is_none()
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        });
        if backend.is_none() {
            let hint = "the path goes on as the browser sent it";
            check.error(
                &join(section, "backend"),
                "not an address of a backend",
                "such as `http://127.0.0.1:8080` or `https://jira.internal:8443`",
                hint,
            );
        }
        let backend = backend?;
        let is_https = backend.scheme_str() == Some("https");
        let tls = if is_https { Some(self.tls(check, section, &backend)?) } else { None };
        for (key, is_set) in [("backend-ca", self.backend_ca.is_some()), ("backend-name", self.backend_name.is_some())]
        {
            if is_set && !is_https {
                check.error(&join(section, key), "the backend speaks plain HTTP", "an `https` backend", "");
            }
        }
        let millis = |millis: u32| Duration::from_millis(u64::from(millis));
        Some(ReverseProxy {
            backend,
            tls,
            connect_timeout: millis(self.connect_timeout_ms),
            response_timeout: millis(self.response_timeout_ms),
            idle_timeout: millis(self.idle_timeout_ms),
            body_bytes_max: self.body_bytes_max,
            websocket: self.websocket,
        })
    }
    /// None where it cannot be told who the backend is, which was reported.
    fn tls(&self, check: &mut Check<'_>, section: &str, backend: &Uri) -> Option<BackendTls> {
        let (key, name) = match &self.backend_name {
            Some(name) => (join(section, "backend-name"), name.as_str()),
            None => (join(section, "backend"), backend.host().unwrap_or_default()),
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).ok();
        if name.is_none() {
            let expected = "a host name in ASCII, or an address";
            check.error(&key, "no certificate can be for that name", expected, "");
        }
        let authorities = match &self.backend_ca {
            None => system_authorities(),
            Some(text) => authorities(check, &join(section, "backend-ca"), text)?,
        };
        if authorities.is_empty() {
            let hint = "this system has no certificate authorities: name the backend's own";
            check.error(&join(section, "backend-ca"), "nobody vouches for the backend", "certificates in PEM", hint);
        }
        Some(BackendTls { authorities: Arc::new(authorities), name: name? })
    }
}

fn system_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn authorities(check: &mut Check<'_>, key: &str, text: &Text) -> Option<RootCertStore> {
    let pem = check.text(key, text)?;
    let mut roots = RootCertStore::empty();
    let added: Result<Vec<()>, String> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|certificate| {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())
        })
        .collect();
    let message = match added {
        Ok(added) if !added.is_empty() => return Some(roots),
        Ok(_) => "no certificate in it".to_owned(),
        Err(error) => format!("not a certificate authority: {error}"),
    };
    check.error(key, message, "certificates in PEM, such as `{ file = \"ca.pem\" }`", "");
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::{
        super::{HandOver, Severity, parse},
        *,
    };

    /// The reverse proxy, or the keys that are wrong.
    fn read(lines: &str) -> Result<ReverseProxy, Vec<String>> {
        let text = format!(
            "[server]\npublic-url = \"https://login.example.com\"\n[upstreams.main]\npreset = \"google\"\nclient-id = \"c\"\n\
             client-secret = \"s\"\n[policies.p]\ncomponent = \"p.wasm\"\n[applications.web]\nupstreams = [\"main\"]\n\
             chain = [\"p\"]\nurl = \"https://web.example.com/\"\n[applications.web.proxy]\n{lines}\n"
        );
        let parsed = parse(&text, Path::new("/etc/vestibule/vestibule.toml"), &|_| None);
        let config = parsed.map_err(|problems| {
            let errors = problems.problems().iter().filter(|problem| problem.severity == Severity::Error);
            let keys = errors.map(|problem| problem.key.clone());
            keys.map(|key| key.trim_start_matches("applications.web.proxy.").to_owned()).collect::<Vec<_>>()
        })?;
        match &config.applications["web"].hand_over {
            HandOver::ForwardAuth(forward_auth) => Ok(forward_auth.proxy.clone().unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn ca() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = STANDARD.encode(parameters.self_signed(&key).unwrap().der());
        format!("backend-ca = '''\n-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n'''")
    }

    #[test]
    fn an_https_backend_has_a_name_and_somebody_who_vouches_for_it() {
        let ca = ca();
        for (lines, name) in [
            ("backend = \"https://jira.internal:8443\"", "jira.internal"),
            ("backend = \"https://10.1.2.3\"", "10.1.2.3"),
            ("backend = \"https://[fd00::1]:8443\"", "fd00::1"),
            ("backend = \"https://10.1.2.3\"\nbackend-name = \"jira.internal\"", "jira.internal"),
        ] {
            let tls = read(&format!("{lines}\n{ca}")).unwrap().tls.unwrap();
            assert_eq!((tls.name.to_str().as_ref(), tls.authorities.len()), (name, 1), "{lines}");
        }
        assert!(read("backend = \"http://127.0.0.1:8080\"").unwrap().tls.is_none());
    }

    #[test]
    fn what_no_backend_can_prove_is_told_at_its_key() {
        let ca = ca();
        let secure = "backend = \"https://jira.internal\"";
        for (lines, wrong) in [
            ("backend = \"ftp://jira.internal\"".to_owned(), "backend"),
            ("backend = \"https://user@jira.internal\"".to_owned(), "backend"),
            ("backend = \"https://jira.internal/path\"".to_owned(), "backend"),
            (format!("backend = \"https://jira_\u{e9}.internal\"\n{ca}"), "backend"),
            (format!("{secure}\n{ca}\nbackend-name = \"a b\""), "backend-name"),
            (format!("{secure}\nbackend-ca = \"nonsense\""), "backend-ca"),
            (format!("{secure}\nbackend-ca = \"{PRIVATE}\""), "backend-ca"),
            (format!("{secure}\nbackend-ca = {{ file = \"/nowhere/ca.pem\" }}"), "backend-ca"),
            (format!("backend = \"http://127.0.0.1:8080\"\n{ca}"), "backend-ca"),
            ("backend = \"http://127.0.0.1:8080\"\nbackend-name = \"x\"".to_owned(), "backend-name"),
        ] {
            assert_eq!(read(&lines).unwrap_err(), [wrong], "{lines}");
        }
    }

    /// A certificate that is none.
    const PRIVATE: &str = "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n";
}
