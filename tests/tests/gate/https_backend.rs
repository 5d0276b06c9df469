//! The built-in reverse proxy before applications that are asked for by TLS: nginx has the certificates.

use std::{fmt::Write as _, net::TcpListener, path::Path, thread};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::json;
use tempfile::TempDir;
use vestibule_tests::{
    browser::{Browser, Page},
    gateway::Gateway,
    peers::{Application, Nginx, OpenIdProvider, port},
};

use crate::scene::{CHAIN, people, policies, settings};

/// The name for which the application has its certificate. Nobody resolves it.
const NAME: &str = "wiki.internal";

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

struct House(Issuer<'static, KeyPair>, Certificate);

impl House {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut own = CertificateParams::default();
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = own.self_signed(&key).expect("a certificate");
        Self(Issuer::new(own, key), certificate)
    }
}

fn for_name(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.is_ca = IsCa::ExplicitNoCa;
    params
}

/// A server block of nginx with this certificate, before the application.
fn server(folder: &Path, id: &str, port: u16, application: u16, certified: (&Certificate, &KeyPair)) -> String {
    let (certificate, key) = certified;
    std::fs::write(folder.join(format!("{id}.crt")), pem("CERTIFICATE", certificate.der())).expect("a file");
    std::fs::write(folder.join(format!("{id}.key")), pem("PRIVATE KEY", &key.serialize_der())).expect("a file");
    format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/{id}.crt; ssl_certificate_key {folder}/{id}.key;\n\
         location / {{ proxy_pass http://127.0.0.1:{application}; proxy_http_version 1.1; proxy_set_header Host $http_host;\n\
         proxy_set_header X-Sni \"$ssl_server_name\"; proxy_set_header X-Tls $ssl_protocol; }} }}\n",
        folder = folder.display(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_behind_tls_proves_who_it_is_before_it_is_sent_anything() {
    let (house, other) = (House::new(), House::new());
    let key = || KeyPair::generate().expect("a key");
    let signed = |params: &CertificateParams| {
        let key = key();
        (params.signed_by(&key, &house.0).expect("a certificate"), key)
    };
    let mut expired = for_name(NAME);
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let alone = {
        let key = key();
        (for_name(NAME).self_signed(&key).expect("a certificate"), key)
    };
    let certified = [
        ("named", signed(&for_name(NAME))),
        ("address", signed(&for_name("127.0.0.1"))),
        ("expired", signed(&expired)),
        ("alone", alone),
    ];

    let application = Application::start().await;
    let folder = TempDir::new().expect("a folder");
    let ports = [port(), port(), port(), port()];
    let mut http = String::new();
    for ((id, (certificate, key)), port) in certified.iter().zip(ports) {
        http.push_str(&server(folder.path(), id, port, application.port, (certificate, key)));
    }
    let _nginx = Nginx::start(folder.path(), ports[0], &http);
    let [named, address, expired, alone] = ports;

    let mut gateway = Gateway::new();
    gateway.write("house.pem", &pem("CERTIFICATE", house.1.der()));
    gateway.write("other.pem", &pem("CERTIFICATE", other.1.der()));
    gateway.write("alone.pem", &pem("CERTIFICATE", certified[3].1.0.der()));
    let op = OpenIdProvider::start(
        &json!([{
            "client_id": "gate", "client_secret": "a-secret-of-the-test-which-is-long",
            "redirect_uris": [format!("{}/callback/op", gateway.url())],
        }]),
        &people(),
    );
    settings(&gateway);
    let of_name = format!("backend-name = \"{NAME}\"\n");
    let (house_ca, other_ca) = ("backend-ca = { file = \"house.pem\" }\n", "backend-ca = { file = \"other.pem\" }\n");
    // What each is told, and whether it is believed.
    let cases = [
        ("named", named, format!("{house_ca}{of_name}"), Some(NAME)),
        ("address", address, house_ca.to_owned(), Some("")),
        ("alone", alone, format!("backend-ca = {{ file = \"alone.pem\" }}\n{of_name}"), Some(NAME)),
        ("other-ca", named, format!("{other_ca}{of_name}"), None),
        ("system-ca", named, of_name.clone(), None),
        ("other-name", named, format!("{house_ca}backend-name = \"jira.internal\"\n"), None),
        ("no-name", named, house_ca.to_owned(), None),
        ("expired", expired, format!("{house_ca}{of_name}"), None),
        ("plain", application.port, format!("{house_ca}{of_name}"), None),
    ];
    let mut configuration = format!(
        "{}[upstreams.op]\nissuer = \"{}\"\nclient-id = \"gate\"\nclient-secret = \"a-secret-of-the-test-which-is-long\"\n\
         scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\n",
        policies(&CHAIN),
        op.issuer
    );
    for (id, port, more, _) in &cases {
        let _ = write!(
            configuration,
            "[applications.{id}]\nurl = \"http://{id}.localhost:{}/\"\nupstreams = [\"op\"]\nchain = {CHAIN:?}\n\
             [applications.{id}.proxy]\nbackend = \"https://127.0.0.1:{port}\"\n{more}",
            gateway.port
        );
    }
    gateway.configure(&configuration);
    let (code, told, errors) = gateway.run(&["check"]);
    assert_eq!(code, 0, "{told}{errors}");
    gateway.start();

    let mut browser = Browser::new();
    let at = |id: &str| format!("http://{id}.localhost:{}/page?x=1", gateway.port);
    let page = browser.get(&at("named")).await;
    let form = page.forms().into_iter().next().unwrap_or_else(|| panic!("{} {}", page.url, page.body));
    browser.submit(&form.with("login", "alice").with("password", "any")).await;
    for (id, _, _, believed) in &cases {
        let page = browser.get(&at(id)).await;
        match believed {
            Some(name) => is_told(&page, &format!("{id}.localhost:{}", gateway.port), name),
            None => {
                assert_eq!(page.status, 502, "{id}: {} {}\n{}", page.url, page.body, gateway.log());
                assert!(page.body.contains("backend-unproved"), "{id}: {}", page.body);
            }
        }
    }
    // Who it is to be is read again when the file changes.
    gateway.write("other.pem", &pem("CERTIFICATE", house.1.der()));
    gateway
        .wait_for("that the file was read again", |event| {
            event["kind"] == "generation.swapped" && event["outcome"]["generation"] == 2
        })
        .await;
    is_told(&browser.get(&at("other-ca")).await, &format!("other-ca.localhost:{}", gateway.port), NAME);

    // One that accepts and says nothing is no TLS server, and nobody waits for it for ever.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_port = silent.local_addr().expect("an address").port();
    let _accepts = thread::spawn(move || silent.incoming().take(1).map(Result::ok).collect::<Vec<_>>());
    let slow = configuration.replacen(
        &format!("backend = \"https://127.0.0.1:{expired}\"\n"),
        &format!("backend = \"https://127.0.0.1:{silent_port}\"\nresponse-timeout-ms = 500\n"),
        1,
    );
    gateway.configure(&slow);
    gateway
        .wait_for("that the configuration was read again", |event| {
            event["kind"] == "generation.swapped" && event["outcome"]["generation"] == 3
        })
        .await;
    let page = browser.get(&at("expired")).await;
    assert!(page.status == 504 && page.body.contains("backend-timed-out"), "{} {}", page.status, page.body);
}

/// The application behind TLS saw the request as it was decided about.
fn is_told(page: &Page, host: &str, name: &str) {
    assert_eq!(page.status, 200, "{} {}", page.url, page.body);
    let told = page.json();
    assert_eq!(told["uri"], "/page?x=1");
    assert_eq!(told["headers"]["x-forwarded-user"], json!(["alice"]));
    assert_eq!(told["headers"]["host"], json!([host]));
    let sni = told["headers"]["x-sni"][0].as_str().unwrap_or_default();
    assert_eq!(sni, name, "{told}");
    assert!(told["headers"]["x-tls"][0].as_str().is_some_and(|version| version.starts_with("TLSv1.")), "{told}");
}
