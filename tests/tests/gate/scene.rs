//! The scene of most tests: one application behind a proxy, one OpenID provider, the
//! ready-made policies.

use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule_tests::{
    browser::{Browser, Page},
    gateway::Gateway,
    peers::{Application, Caddy, Nginx, OpenIdProvider, Traefik, port},
    process::root,
};

/// The reverse proxies that are tried.
#[derive(Debug)]
pub(crate) enum Proxy {
    Nginx { _nginx: Nginx, _folder: TempDir },
    Traefik { _traefik: Traefik, _folder: TempDir },
    Caddy { _caddy: Caddy, _folder: TempDir },
}

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    Nginx,
    Traefik,
    Caddy,
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) op: OpenIdProvider,
    /// Where the browser finds the application.
    pub(crate) site: String,
    _application: Application,
    _proxy: Proxy,
}

/// Who can log in at the OpenID provider.
pub(crate) fn people() -> Value {
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
        let mut gateway = Gateway::new();
        let application = Application::start().await;
        let folder = TempDir::new().expect("a folder");
        let port = port();
        let site = format!("http://127.0.0.1:{port}");
        let op = OpenIdProvider::start(
            &json!([{
                "client_id": "gate", "client_secret": "a-secret-of-the-test-which-is-long",
                "redirect_uris": [format!("{}/callback/op", gateway.url())],
                "post_logout_redirect_uris": [format!("{}/logged-out", gateway.url())],
                "backchannel_logout_uri": format!("{}/backchannel-logout/op", gateway.url()),
                "backchannel_logout_session_required": true,
            }]),
            &people(),
        );
        settings(&gateway);
        configure(&gateway, &op.issuer, &site, more);
        gateway.start();
        let proxy = match with {
            With::Nginx => {
                let http = nginx(port, gateway.port, application.port);
                Proxy::Nginx { _nginx: Nginx::start(folder.path(), port, &http), _folder: folder }
            }
            With::Traefik => {
                let dynamic = traefik(gateway.port, application.port);
                Proxy::Traefik { _traefik: Traefik::start(folder.path(), port, &dynamic), _folder: folder }
            }
            With::Caddy => {
                let sites = caddy(port, gateway.port, application.port);
                Proxy::Caddy { _caddy: Caddy::start(folder.path(), port, &sites), _folder: folder }
            }
        };
        Self { gateway, op, site, _application: application, _proxy: proxy }
    }

    /// Logs `name` in from the application's page on; what comes last.
    pub(crate) async fn log_in(&self, browser: &mut Browser, name: &str) -> Page {
        let page = browser.get(&format!("{}/", self.site)).await;
        self.sign_in(browser, page, name).await
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

/// What `docs/forward-auth.md` tells an operator to write, with our addresses.
fn snippet(heading: &str, gateway: u16, application: u16) -> String {
    let text = std::fs::read_to_string(root().join("docs/forward-auth.md")).expect("the documentation");
    let section = text.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    let block = section.split("\n```").nth(1).and_then(|block| block.split_once('\n')).expect("a block of code").1;
    block
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{gateway}"))
        .replace("127.0.0.1:3000", &format!("127.0.0.1:{application}"))
        // Here there is no TLS.
        .replace("__Host-", "")
        .replace("wiki.example.com", "127.0.0.1")
        .replace("wiki", "app")
}

pub(crate) fn nginx(port: u16, gateway: u16, application: u16) -> String {
    snippet("nginx", gateway, application).replace("server {\n", &format!("server {{\n    listen 127.0.0.1:{port};\n"))
}

fn traefik(gateway: u16, application: u16) -> String {
    snippet("Traefik", gateway, application).replace("Host(`127.0.0.1`)", "PathPrefix(`/`)")
}

fn caddy(port: u16, gateway: u16, application: u16) -> String {
    snippet("Caddy", gateway, application).replacen(
        "127.0.0.1 {",
        &format!("http://127.0.0.1:{port} {{\n\tbind 127.0.0.1"),
        1,
    )
}
