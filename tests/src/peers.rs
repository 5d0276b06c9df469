//! The real components: an OpenID provider, reverse proxies, and an application that
//! says what it was told.

use std::{
    convert::Infallible,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::process::{Process, free_port, installed, node, root, vestibule};

/// npm `oidc-provider`.
#[derive(Debug)]
pub struct OpenIdProvider {
    process: Process,
    _output: std::io::BufReader<std::process::ChildStdout>,
    /// Its issuer.
    pub issuer: String,
}

impl OpenIdProvider {
    /// Starts it with `clients` and `accounts`.
    #[must_use]
    pub fn start(clients: &Value, accounts: &Value) -> Self {
        Self::start_with(&json!({ "clients": clients, "accounts": accounts }))
    }

    /// Starts it with these settings, which `tests/peers/op.mjs` names.
    #[must_use]
    pub fn start_with(settings: &Value) -> Self {
        let mut command = Command::new(node());
        command
            .arg(root().join("tests/peers/op.mjs"))
            .env("NODE_NO_WARNINGS", "1")
            .env("OP_SETTINGS", settings.to_string())
            .stderr(std::process::Stdio::null());
        let (process, line, output) = Process::start_with_line("oidc-provider", &mut command);
        let ready: Value = serde_json::from_str(&line).expect("a line of JSON");
        let issuer = ready["issuer"].as_str().expect("an issuer").to_owned();
        Self { process, _output: output, issuer }
    }

    /// The program's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// A SAML service provider: python3-saml, pysaml2 or node-saml.
#[derive(Debug)]
pub struct ServiceProvider {
    _process: Process,
    _output: std::io::BufReader<std::process::ChildStdout>,
    /// Its address, without a slash at the end.
    pub base: String,
}

impl ServiceProvider {
    /// Starts it on a free port, with a key of its own in `folder`; `settings` as
    /// `tests/peers/sp.py` has them.
    #[must_use]
    pub fn start(folder: &Path, settings: &Value) -> Self {
        make_certificate(folder);
        let mut settings = settings.clone();
        settings["port"] = json!(free_port());
        settings["folder"] = json!(folder);
        let (program, script) = match settings["kind"].as_str() {
            Some("node-saml") => (node(), "tests/peers/sp.mjs"),
            _ => (installed("python"), "tests/peers/sp.py"),
        };
        let mut command = Command::new(program);
        command.arg(root().join(script)).env("SP_SETTINGS", settings.to_string());
        let (process, line, output) = Process::start_with_line("the service provider", &mut command);
        let ready: Value = serde_json::from_str(&line).expect("a line of JSON");
        let base = ready["base"].as_str().expect("an address").to_owned();
        Self { _process: process, _output: output, base }
    }
}

/// A relying party: npm `openid-client`.
#[derive(Debug)]
pub struct RelyingParty {
    _process: Process,
    _output: std::io::BufReader<std::process::ChildStdout>,
    /// Its own address, without a slash at the end.
    pub url: String,
}

impl RelyingParty {
    /// Starts it on `port` with further `settings`, which `tests/peers/rp.mjs` names.
    #[must_use]
    pub fn start(port: u16, mut settings: Value) -> Self {
        settings["port"] = json!(port);
        let mut command = Command::new(node());
        command
            .arg(root().join("tests/peers/rp.mjs"))
            .env("NODE_NO_WARNINGS", "1")
            .env("RP_SETTINGS", settings.to_string());
        let (process, _, output) = Process::start_with_line("openid-client", &mut command);
        Self { _process: process, _output: output, url: format!("http://127.0.0.1:{port}") }
    }
}

/// A relying party in Python: authlib.
#[derive(Debug)]
pub struct Authlib {
    _process: Process,
    _output: std::io::BufReader<std::process::ChildStdout>,
    /// Its own address, without a slash at the end.
    pub url: String,
}

impl Authlib {
    /// Starts it on `port` with further `settings`, which `tests/peers/rp.py` names.
    #[must_use]
    pub fn start(port: u16, mut settings: Value) -> Self {
        settings["port"] = json!(port);
        let mut command = Command::new(installed("python"));
        command
            .arg(root().join("tests/peers/rp.py"))
            .env("AUTHLIB_INSECURE_TRANSPORT", "1")
            .env("RP_SETTINGS", settings.to_string());
        let (process, _, output) = Process::start_with_line("authlib", &mut command);
        Self { _process: process, _output: output, url: format!("http://127.0.0.1:{port}") }
    }
}

/// A key of a relying party for `algorithm` (`ES256` or `RS256`): its private and its public JWK.
#[must_use]
pub fn client_key(algorithm: &str) -> (Value, Value) {
    const MAKE: &str = "const { generateKeyPairSync } = require('node:crypto');\n\
        const options = { ES256: ['ec', { namedCurve: 'P-256' }], RS256: ['rsa', { modulusLength: 2048 }] };\n\
        const { publicKey, privateKey } = generateKeyPairSync(...options[process.argv[1]]);\n\
        const jwk = (key) => ({ ...key.export({ format: 'jwk' }), alg: process.argv[1], kid: 'k-1' });\n\
        console.log(JSON.stringify([jwk(privateKey), jwk(publicKey)]));";
    let made = Command::new(node()).args(["-e", MAKE, "--", algorithm]).output().expect("node");
    serde_json::from_slice(&made.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&made.stderr)))
}

/// `sp.key` and `sp.crt` in `folder`: a ring of its own has both.
pub fn make_certificate(folder: &Path) {
    let ring = folder.join("sp-keys");
    let made = Command::new(vestibule())
        .args(["keys", "generate", "--directory"])
        .arg(&ring)
        .stdout(std::process::Stdio::null())
        .status()
        .expect("a program");
    assert!(made.success(), "no key for the service provider");
    let text = std::fs::read_to_string(ring.join("keyring.json")).expect("a ring");
    let ring: Value = serde_json::from_str(&text).expect("JSON");
    let entry = &ring["certificates"][0];
    let der = entry["certificate"].as_str().expect("a certificate");
    let lines: Vec<String> = der.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    std::fs::write(folder.join("sp.crt"), pem).expect("a file");
    std::fs::write(folder.join("sp.key"), entry["private-key"].as_str().expect("a key")).expect("a file");
}

/// An application: answers every request with what it was asked, as JSON.
#[derive(Debug)]
pub struct Application {
    /// Where it listens.
    pub port: u16,
    server: JoinHandle<()>,
}

impl Application {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo)));
            }
        });
        Self { port, server }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut headers = serde_json::Map::new();
    for (name, value) in request.headers() {
        let entry = headers.entry(name.as_str().to_owned()).or_insert_with(|| json!([]));
        if let Some(list) = entry.as_array_mut() {
            list.push(json!(String::from_utf8_lossy(value.as_bytes())));
        }
    }
    let body = json!({ "application": true, "method": request.method().as_str(), "uri": request.uri().to_string(), "headers": headers });
    // Read to its end: a proxy that is still sending when the answer comes takes it for a failure.
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::new(Bytes::from(body.to_string()))))
}

/// nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    /// Where it listens.
    pub port: u16,
}

impl Nginx {
    /// Starts it in `folder`; `http` is the inside of the http block, which listens on `port`.
    #[must_use]
    pub fn start(folder: &Path, port: u16, http: &str) -> Self {
        let configuration = format!(
            "daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log warn;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off;\n\
             client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n\
             uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{http}\n}}\n",
            folder = folder.display(),
        );
        std::fs::write(folder.join("nginx.conf"), configuration).expect("a file");
        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut process = Process::start(
            "nginx",
            Command::new(program)
                .arg("-c")
                .arg(folder.join("nginx.conf"))
                .arg("-p")
                .arg(folder)
                .arg("-e")
                .arg(folder.join("error.log")),
        );
        process.wait_for_port(port);
        Self { process, port }
    }

    /// The id of its first process, the parent of those that serve.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Traefik with one dynamic configuration.
#[derive(Debug)]
pub struct Traefik {
    _process: Process,
    /// Where it listens.
    pub port: u16,
}

impl Traefik {
    /// Starts it in `folder`; `dynamic` is the dynamic configuration as YAML.
    #[must_use]
    pub fn start(folder: &Path, port: u16, dynamic: &str) -> Self {
        let fixed = format!(
            "global: {{checkNewVersion: false, sendAnonymousUsage: false}}\n\
             entryPoints: {{web: {{address: \"127.0.0.1:{port}\"}}}}\n\
             providers: {{file: {{filename: {}}}}}\n\
             log: {{level: ERROR}}\n",
            folder.join("dynamic.yml").display()
        );
        std::fs::write(folder.join("dynamic.yml"), dynamic).expect("a file");
        std::fs::write(folder.join("traefik.yml"), fixed).expect("a file");
        let mut process = Process::start(
            "Traefik",
            Command::new(installed("traefik"))
                .arg(format!("--configFile={}", folder.join("traefik.yml").display()))
                .stdout(std::process::Stdio::null()),
        );
        process.wait_for_port(port);
        wait_for_routes(port);
        Self { _process: process, port }
    }
}

/// Caddy.
#[derive(Debug)]
pub struct Caddy {
    _process: Process,
    /// Where it listens.
    pub port: u16,
}

impl Caddy {
    /// Starts it in `folder`; `sites` are the sites of its Caddyfile, of which one listens on
    /// `port`.
    #[must_use]
    pub fn start(folder: &Path, port: u16, sites: &str) -> Self {
        let whole = format!("{{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n}}\n{sites}");
        std::fs::write(folder.join("Caddyfile"), whole).expect("a file");
        let mut process = Process::start(
            "Caddy",
            Command::new(installed("caddy"))
                .args(["run", "--config"])
                .arg(folder.join("Caddyfile"))
                .env("HOME", folder)
                .env("XDG_DATA_HOME", folder)
                .env("XDG_CONFIG_HOME", folder)
                .stdout(std::process::Stdio::null())
                .stderr(std::fs::File::create(folder.join("caddy.log")).expect("a file")),
        );
        process.wait_for_port(port);
        Self { _process: process, port }
    }
}

/// Envoy.
#[derive(Debug)]
pub struct Envoy {
    _process: Process,
    /// Where it listens.
    pub port: u16,
}

impl Envoy {
    /// Starts it in `folder`; `configuration` is YAML with a listener on `port`.
    #[must_use]
    pub fn start(folder: &Path, port: u16, configuration: &str) -> Self {
        std::fs::write(folder.join("envoy.yaml"), configuration).expect("a file");
        let mut process = Process::start(
            "Envoy",
            Command::new(installed("envoy"))
                .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"])
                .arg(folder.join("envoy.yaml"))
                .stdout(std::process::Stdio::null())
                .stderr(std::fs::File::create(folder.join("envoy.log")).expect("a file")),
        );
        process.wait_for_port(port);
        Self { _process: process, port }
    }
}

/// HAProxy.
#[derive(Debug)]
pub struct HaProxy {
    _process: Process,
    /// Where it listens.
    pub port: u16,
}

impl HaProxy {
    /// Starts it in `folder`; `configuration` has a frontend on `port`, and loads `script`.
    #[must_use]
    pub fn start(folder: &Path, port: u16, configuration: &str, script: &str) -> Self {
        std::fs::write(folder.join("haproxy.cfg"), configuration).expect("a file");
        std::fs::write(folder.join("vestibule.lua"), script).expect("a file");
        let program = if Path::new("/usr/sbin/haproxy").exists() { "/usr/sbin/haproxy" } else { "haproxy" };
        let mut process = Process::start(
            "HAProxy",
            Command::new(program)
                .args(["-db", "-f", "haproxy.cfg"])
                .current_dir(folder)
                .stdout(std::process::Stdio::null())
                .stderr(std::fs::File::create(folder.join("haproxy.log")).expect("a file")),
        );
        process.wait_for_port(port);
        Self { _process: process, port }
    }
}

/// Traefik listens before it knows its routes, and answers 404 until then.
#[expect(clippy::disallowed_methods, reason = "another program's routes have no event to wait for")]
fn wait_for_routes(port: u16) {
    for _ in 0..500 {
        let mut answer = [0; 12];
        let asked = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
            stream.write_all(b"GET / HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n")?;
            stream.read_exact(&mut answer)
        });
        if asked.is_ok() && !answer.ends_with(b"404") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("Traefik has no routes");
}

/// A port for a proxy that is started later.
#[must_use]
pub fn port() -> u16 {
    free_port()
}
