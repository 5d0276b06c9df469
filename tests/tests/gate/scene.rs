//! The scene of most tests: one application behind a proxy, one OpenID provider, the
//! ready-made policies.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use vestibule_tests::{
    browser::{Browser, Page},
    gateway::Gateway,
    peers::{Application, Caddy, Envoy, HaProxy, Nginx, OpenIdProvider, Traefik, port},
};

/// The reverse proxies that are tried.
#[derive(Debug)]
pub(crate) enum Running {
    Nginx { _nginx: Nginx, _folder: TempDir },
    Traefik { _traefik: Traefik, _folder: TempDir },
    Caddy { _caddy: Caddy, _folder: TempDir },
    Envoy { _envoy: Envoy, _folder: TempDir },
    HaProxy { _haproxy: HaProxy, _folder: TempDir },
}

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    Nginx,
    Traefik,
    Caddy,
    Envoy,
    HaProxy,
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) op: OpenIdProvider,
    /// Where the browser finds the application.
    pub(crate) site: String,
    _application: Application,
    _proxy: Running,
}

/// Many more who can log in at the OpenID provider, all alike: `person-0` and so on.
pub(crate) const CROWD: usize = 20;

/// Who can log in at the OpenID provider.
pub(crate) fn people() -> Value {
    let mut people = known();
    for number in 0..CROWD {
        let name = format!("person-{number}");
        people[&name] = json!({
            "email": format!("{name}@example.test"), "email_verified": true, "preferred_username": name, "name": name,
            "groups": ["dev"],
        });
    }
    people
}

fn known() -> Value {
    json!({
        "alice": {
            "email": "alice@example.test", "email_verified": true, "preferred_username": "alice", "name": "Alice Ångström",
            "given_name": "Alice", "family_name": "Ångström", "groups": ["dev", "staff"], "department": "it",
            "acr": "gold",
        },
        "bob": { "email": "bob@example.test", "email_verified": true, "preferred_username": "bob", "name": "Bob", "groups": [], "acr": "silver" },
        "nogroups": { "email": "n@example.test", "email_verified": true, "preferred_username": "nogroups", "name": "N" },
        "liar": { "email": "l@example.test", "email_verified": true, "preferred_username": "liar", "name": "L", "acr": "urn:vestibule:second-factor" },
        "mallory": { "email": "mallory@evil.test", "email_verified": true, "preferred_username": "mallory", "name": "M", "groups": ["dev"] },
        "unverified": { "email": "u@example.test", "email_verified": false, "preferred_username": "unverified", "name": "U", "groups": ["dev"] },
        "twoats": { "email": "attacker@evil.test@example.test", "email_verified": true, "preferred_username": "twoats", "name": "T", "groups": [] },
        "noverified": { "email": "v@example.test", "preferred_username": "noverified", "name": "V", "groups": ["dev"] },
        "trailing": { "email": "t@example.test.", "email_verified": true, "preferred_username": "trailing", "name": "T", "groups": ["dev"] },
    })
}

/// The policies that every test has, with settings under `settings/`.
pub(crate) const CHAIN: [&str; 7] = [
    "redirection-rules",
    "domain-restriction",
    "attribute-mapping",
    "group-mapping",
    "default-groups",
    "session-terms",
    "admin-reauth",
];

impl Scene {
    /// Starts everything, with further configuration for the application.
    pub(crate) async fn start(with: With) -> Self {
        Self::start_with(with, "").await
    }

    pub(crate) async fn start_with(with: With, more: &str) -> Self {
        Self::start_before(with, &json!({}), more).await
    }

    /// With a provider whose discovery document lists these values of `prompt`.
    pub(crate) async fn start_where_prompts_are(listed: &[&str], more: &str) -> Self {
        Self::start_before(With::Nginx, &json!({ "prompts": listed }), more).await
    }

    /// With further settings of the provider's.
    async fn start_before(with: With, of_the_op: &Value, more: &str) -> Self {
        let mut gateway = Gateway::new();
        let application = Application::start().await;
        let port = port();
        let site = format!("http://127.0.0.1:{port}");
        let mut of_the_op = of_the_op.clone();
        of_the_op["accounts"] = people();
        of_the_op["clients"] = json!([{
            "client_id": "gate", "client_secret": "a-secret-of-the-test-which-is-long",
            "redirect_uris": [format!("{}/callback/op", gateway.url())],
            "post_logout_redirect_uris": [format!("{}/logged-out", gateway.url())],
            "backchannel_logout_uri": format!("{}/backchannel-logout/op", gateway.url()),
            "backchannel_logout_session_required": true,
        }]);
        let op = OpenIdProvider::start_with(&of_the_op);
        settings(&gateway);
        configure(&gateway, &op.issuer, &site, more);
        gateway.start();
        let proxy = Running::start(with, &gateway, port, application.port);
        Self { gateway, op, site, _application: application, _proxy: proxy }
    }

    /// Stops the gateway, puts `to` in the place of `from` in its configuration, and starts it: what is set up once
    /// is as it says then.
    pub(crate) fn restart_with(&mut self, changes: &[(&str, &str)]) {
        let mut text = fs::read_to_string(self.gateway.path("vestibule.toml")).expect("the configuration");
        for (from, to) in changes {
            assert!(text.contains(from), "{from} is not in {text}");
            text = text.replace(from, to);
        }
        self.gateway.stop();
        self.gateway.write("vestibule.toml", &text);
        self.gateway.start();
    }

    /// Logs `name` in from the application's page on; what comes last.
    pub(crate) async fn log_in(&self, browser: &mut Browser, name: &str) -> Page {
        let page = browser.get(&format!("{}/", self.site)).await;
        self.sign_in(browser, page, name).await
    }

    /// With the proxy's address where `HOST` stands.
    pub(crate) fn filled(&self, text: &str) -> String {
        text.replace("HOST", self.site.trim_start_matches("http://"))
    }

    /// What the proxy answers to these very bytes, until it closes the connection.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let address = self.filled("HOST");
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(self.filled(request).as_bytes()).await.expect("sent");
        let mut heard = Vec::new();
        // One that goes on without an answer is heard as far as it came.
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut heard)).await;
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Fills in the OpenID provider's own form.
    pub(crate) async fn sign_in(&self, browser: &mut Browser, page: Page, name: &str) -> Page {
        assert!(
            page.url.as_str().starts_with(&self.op.issuer),
            "not at the provider: {} {}\n{}",
            page.status,
            page.url,
            self.gateway.log()
        );
        let form = page.forms().into_iter().next().unwrap_or_else(|| panic!("no form: {}", page.body));
        browser.submit(&form.with("login", name).with("password", "any")).await
    }
}

/// The settings that most tests have.
pub(crate) fn settings(gateway: &Gateway) {
    gateway.write("settings/redirection-rules.toml", "default = { to = \"auto\" }\n");
    gateway.write("settings/domain-restriction.toml", "allowed-domains = \"example.test\"\n");
    gateway.write(
        "settings/attribute-mapping.toml",
        "match-by = \"username\"\nattributes = [{ name = \"department\", claim = \"department\" }]\n",
    );
    gateway.write(
        "settings/group-mapping.toml",
        "exclude = [\"local-testers\"]\n[[manual]]\ngroup = \"jira-software-users\"\nfrom = [\"dev\"]\n",
    );
    gateway.write("settings/default-groups.toml", "groups = [\"everybody\"]\n");
    gateway.write("settings/session-terms.toml", "lifetime-s = 3600\n");
    gateway.write(
        "settings/admin-reauth.toml",
        "admin-paths = [\"/admin/*\"]\nhidden-paths = [\"/hidden/*\"]\nmax-age-s = 600\n",
    );
}

/// The `[policies.NAME]` tables of some policies.
pub(crate) fn policies(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| {
            format!("[policies.{name}]\ncomponent = \"policies/{name}.wasm\"\nsettings = \"settings/{name}.toml\"\n\n")
        })
        .collect()
}

/// Writes the scene's configuration.
pub(crate) fn configure(gateway: &Gateway, issuer: &str, site: &str, more: &str) {
    gateway.configure(&format!(
        "{policies}\
         [upstreams.op]\nissuer = \"{issuer}\"\nclient-id = \"gate\"\nclient-secret = \"a-secret-of-the-test-which-is-long\"\n\
         scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\n\
         [applications.app]\nurl = \"{site}/\"\nupstreams = [\"op\"]\nchain = {CHAIN:?}\n{more}\n\
         [applications.app.forward-auth]\n",
        policies = policies(&CHAIN),
    ));
}

/// What `vestibule snippet` prints for an operator: the text of `docs/forward-auth.md`, with our
/// addresses. File after file.
fn snippet(gateway: &Gateway, proxy: &str, id: &str, application: u16) -> Vec<String> {
    let backend = format!("127.0.0.1:{application}");
    let (code, printed, errors) = gateway.run(&["snippet", proxy, "--app", id, "--backend", &backend, "--json"]);
    assert_eq!(code, 0, "{printed}{errors}");
    let printed: Value = serde_json::from_str(&printed).expect("JSON");
    let text = |file: &Value| file["text"].as_str().expect("a text").to_owned();
    printed["files"].as_array().expect("files").iter().map(text).collect()
}

pub(crate) fn nginx(gateway: &Gateway, port: u16, application: u16) -> String {
    nginx_for("app", gateway, port, application)
}

fn nginx_for(id: &str, gateway: &Gateway, port: u16, application: u16) -> String {
    let listen = format!("server {{\n    listen 127.0.0.1:{port};\n");
    snippet(gateway, "nginx", id, application).concat().replace("server {\n", &listen)
}

impl Running {
    /// Starts it on `port`, as the documentation says.
    pub(crate) fn start(with: With, gateway: &Gateway, port: u16, application: u16) -> Self {
        Self::start_for("app", with, gateway, port, application)
    }

    /// The same before the application `id`.
    pub(crate) fn start_for(id: &str, with: With, gateway: &Gateway, port: u16, application: u16) -> Self {
        let _folder = TempDir::new().expect("a folder");
        let folder = _folder.path();
        match with {
            With::Nginx => {
                let http = nginx_for(id, gateway, port, application);
                Self::Nginx { _nginx: Nginx::start(folder, port, &http), _folder }
            }
            With::Traefik => {
                // Whatever host a test asks for.
                let dynamic = snippet(gateway, "traefik", id, application).concat();
                let dynamic = dynamic.replace("Host(`127.0.0.1`)", "PathPrefix(`/`)");
                Self::Traefik { _traefik: Traefik::start(folder, port, &dynamic), _folder }
            }
            With::Caddy => {
                let sites =
                    snippet(gateway, "caddy", id, application).concat().replacen(" {", " {\n\tbind 127.0.0.1", 1);
                Self::Caddy { _caddy: Caddy::start(folder, port, &sites), _folder }
            }
            With::Envoy => {
                let listen = format!("address: 127.0.0.1, port_value: {port}");
                let yaml = snippet(gateway, "envoy", id, application).concat();
                let yaml = yaml.replace("address: 0.0.0.0, port_value: 8443", &listen);
                Self::Envoy { _envoy: Envoy::start(folder, port, &yaml), _folder }
            }
            With::HaProxy => {
                let files = snippet(gateway, "haproxy", id, application);
                let [configuration, script] = &files[..] else { panic!("{files:?}") };
                let configuration = configuration.replace("bind :8443", &format!("bind 127.0.0.1:{port}"));
                Self::HaProxy { _haproxy: HaProxy::start(folder, port, &configuration, script), _folder }
            }
        }
    }
}
