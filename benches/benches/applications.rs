//! The gateway beside what others use for the same: a session check behind a proxy, a reverse proxy, an OpenID
//! provider; and what a SAML response costs. `README.md` says how to read it.

#![expect(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a bench, not the gateway")]

use std::{fs, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::Method;
use serde_json::json;
use tempfile::TempDir;
use url::Url;
use vestibule_benches::load::{self, Round, median, trivial_backend};
use vestibule_tests::{
    apache::{Apache, MODULES, program},
    browser::{Browser, Page},
    gateway::Gateway,
    peers::{Nginx, OpenIdProvider, port},
};

/// Connections that ask at the same time, each with a session of its own.
const CONNECTIONS: usize = 16;
/// Sessions that are alive beside those.
const SESSIONS: usize = 200;
/// Requests of one round.
const REQUESTS: usize = 20_000;
/// Logins of one round.
const LOGINS: usize = 400;
/// Rounds; the median counts.
const ROUNDS: usize = 5;

const SECRET: &str = "a-secret-of-a-relying-party-which-is-long";
/// Where nobody listens: a code is taken out of the address.
const REDIRECT: &str = "http://127.0.0.1:9/cb";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CHAIN: [&str; 5] =
    ["redirection-rules", "domain-restriction", "attribute-mapping", "default-groups", "session-terms"];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        load::be_a_backend().await;
        run().await;
    });
}

async fn run() {
    let mut gateway = Gateway::new();
    let (code, _, errors) = gateway.run(&["keys", "certificate", "add", "--directory", "keys"]);
    assert_eq!(code, 0, "{errors}");
    let (checked, proxied) = (port(), port());
    let apache = Apache::start(|_, _, site| mod_auth_openidc(&gateway.url(), site));
    let (backend, _application) = trivial_backend("in", &[]);
    configure(&gateway, checked, proxied, backend, &apache.site);
    gateway.start();
    let folders = [TempDir::new().expect("a folder"), TempDir::new().expect("a folder")];
    let page = folders.first().expect("a folder").path();
    fs::write(page.join("index.html"), "the page\n").expect("a file");
    let with_files = Nginx::start(page, checked, &nginx(checked, gateway.port, &format!("root {};", page.display())));
    let to_backend = "proxy_pass http://application; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $http_host;";
    let upstream = format!("upstream application {{ server 127.0.0.1:{backend}; keepalive 32; }}\n");
    let with_backend = Nginx::start(
        folders.last().expect("a folder").path(),
        proxied,
        &format!("{upstream}{}", nginx(proxied, gateway.port, to_backend)),
    );
    let own = gateway.id().expect("a program");

    checks(&gateway, &apache, &with_files, own).await;
    proxies(&gateway, &with_backend, own).await;
    providers(&gateway, own).await;
    responses(&gateway, own).await;
}

/// A page that only who is logged in sees: nginx and the gateway, beside Apache with mod_auth_openidc.
async fn checks(gateway: &Gateway, apache: &Apache, nginx: &Nginx, own: u32) {
    let site = Url::parse(&apache.site).expect("an address");
    let apache_port = site.port().expect("a port");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..SESSIONS {
        let mut browser = Browser::new();
        let page = log_in(&mut browser, &format!("http://127.0.0.1:{}/index.html", nginx.port)).await;
        assert_eq!((page.status.as_u16(), page.body.as_str()), (200, "the page\n"), "{}", gateway.log());
        let page = browser.get(&format!("{}/index.html", apache.site)).await;
        assert_eq!((page.status.as_u16(), page.body.as_str()), (200, "the page\n"), "{} {}", page.url, apache.log());
        if number < CONNECTIONS {
            ours.push(request(nginx.port, "127.0.0.1", &cookies(&browser, "vestibule-app-checked")));
            theirs.push(request(apache_port, "127.0.0.1", &cookies(&browser, "mod_auth_openidc_session")));
        }
    }
    println!(
        "a page of 9 bytes behind a session check ({SESSIONS} sessions, {REQUESTS} requests on {CONNECTIONS} connections,"
    );
    println!("median of {ROUNDS} rounds in turn; CPU of the web server and of whom it asks)");
    let (mut gateways, mut modules) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        gateways.push(load::round(nginx.port, &ours, REQUESTS, "the page\n", &[nginx.id(), own]).await);
        modules.push(load::round(apache_port, &theirs, REQUESTS, "the page\n", &[apache.id()]).await);
    }
    beside("nginx and the gateway", &gateways, "Apache, mod_auth_openidc", &modules);
}

/// The reverse proxy of our own beside nginx that asks the gateway.
async fn proxies(gateway: &Gateway, nginx: &Nginx, own: u32) {
    let mut browser = Browser::new();
    let page = log_in(&mut browser, &format!("http://localhost:{}/", gateway.port)).await;
    assert_eq!((page.status.as_u16(), page.body.as_str()), (200, "in"), "{}", gateway.log());
    let page = log_in(&mut browser, &format!("http://127.0.0.1:{}/", nginx.port)).await;
    assert_eq!((page.status.as_u16(), page.body.as_str()), (200, "in"), "{}", gateway.log());
    let direct = browser.cookies("localhost");
    let direct: Vec<String> = direct
        .iter()
        .filter(|(name, _)| name.starts_with("vestibule-app-direct"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let direct = vec![request(gateway.port, "localhost", &direct.join("; ")); CONNECTIONS];
    let through = vec![request(nginx.port, "127.0.0.1", &cookies(&browser, "vestibule-app-proxied")); CONNECTIONS];
    println!("\na request to an application that answers 2 bytes (as above; the application's own CPU is not in it)");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(load::round(gateway.port, &direct, REQUESTS, "in", &[own]).await);
        theirs.push(load::round(nginx.port, &through, REQUESTS, "in", &[nginx.id(), own]).await);
    }
    beside("the gateway's own proxy", &ours, "nginx, which asks it", &theirs);
}

/// The code flow (OIDC Core §3.1) of a browser that is logged in: authorization and token request.
async fn providers(gateway: &Gateway, own: u32) {
    let client = json!([{
        "client_id": "party", "client_secret": SECRET, "redirect_uris": [REDIRECT],
        "id_token_signed_response_alg": "ES256", "token_endpoint_auth_method": "client_secret_post",
    }]);
    let account = json!({ "alice": { "email": "alice@example.test", "email_verified": true, "name": "Alice Arnold", "preferred_username": "alice" } });
    let op = OpenIdProvider::start(&client, &account);
    let mut ours = Party::of(&gateway.url()).await;
    let mut theirs = Party::of(&op.issuer).await;
    log_in(&mut ours.browser, ours.authorize.as_str()).await;
    let form = theirs.browser.get(theirs.authorize.as_str()).await.forms().into_iter().next().expect("a form");
    let mut page = theirs
        .browser
        .request(
            Method::POST,
            &form.action,
            Some(form_of(&[("prompt", "login"), ("login", "alice"), ("password", "any")])),
            &[],
        )
        .await;
    while let Some(next) = page.location().filter(|next| !next.as_str().starts_with(REDIRECT)) {
        page = theirs.browser.request(Method::GET, &next, None, &[]).await;
    }
    println!("\na login of a relying party by the code flow with PKCE, ID token with ES256, the session is there");
    println!("({LOGINS} logins, one after the other, median of {ROUNDS} rounds in turn)");
    let (mut gateways, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        gateways.push(ours.round(own).await);
        others.push(theirs.round(op.id()).await);
    }
    beside("the gateway", &gateways, "npm oidc-provider", &others);
}

/// A relying party whose browser is logged in at a provider.
struct Party {
    browser: Browser,
    authorize: Url,
    token: Url,
}

impl Party {
    async fn of(issuer: &str) -> Self {
        let mut browser = Browser::new();
        let told = browser.get(&format!("{issuer}/.well-known/openid-configuration")).await.json();
        let endpoint = |name: &str| {
            let address = told.get(name).and_then(serde_json::Value::as_str).expect("an address");
            Url::parse(address).expect("an address")
        };
        let mut authorize = endpoint("authorization_endpoint");
        authorize.query_pairs_mut().extend_pairs([
            ("client_id", "party"),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", "openid profile email"),
            ("state", "s"),
            ("nonce", "n"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        Self { token: endpoint("token_endpoint"), browser, authorize }
    }

    async fn log_in(&mut self) {
        let mut page = self.browser.request(Method::GET, &self.authorize, None, &[]).await;
        let back = loop {
            let next = page.location().unwrap_or_else(|| panic!("{} {}: {}", page.status, page.url, page.body));
            if next.as_str().starts_with(REDIRECT) {
                break next;
            }
            page = self.browser.request(Method::GET, &next, None, &[]).await;
        };
        let code =
            back.query_pairs().find(|(name, _)| name == "code").unwrap_or_else(|| panic!("{back}")).1.into_owned();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", REDIRECT),
            ("client_id", "party"),
            ("client_secret", SECRET),
            ("code_verifier", VERIFIER),
        ];
        let page = self.browser.request(Method::POST, &self.token, Some(form_of(&fields)), &[]).await;
        assert!(page.status == 200 && page.body.contains("id_token"), "{} {}", page.status, page.body);
    }

    async fn round(&mut self, provider: u32) -> Round {
        let (before, began) = (load::cpu(provider), Instant::now());
        for _ in 0..LOGINS {
            self.log_in().await;
        }
        let took = began.elapsed().as_secs_f64();
        Round { rate: LOGINS as f64 / took, cpu: vec![(load::cpu(provider) - before) * 1e6 / LOGINS as f64] }
    }
}

/// A SAML response: a browser that is logged in, response and assertion signed with RSA-SHA256.
async fn responses(gateway: &Gateway, own: u32) {
    let mut browser = Browser::new();
    let at = format!("{}/saml/guard/sso", gateway.url());
    let request = format!(
        "<samlp:AuthnRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" \
         ID=\"_bench\" Version=\"2.0\" IssueInstant=\"{}\" Destination=\"{at}\"><saml:Issuer>https://sp.example.test/</saml:Issuer>\
         </samlp:AuthnRequest>",
        now()
    );
    let mut url = Url::parse(&at).expect("an address");
    // A stored block is deflated, too (RFC 1951 §3.2.4).
    let length = u16::try_from(request.len()).expect("short");
    let mut deflated = vec![1];
    deflated.extend_from_slice(&length.to_le_bytes());
    deflated.extend_from_slice(&(!length).to_le_bytes());
    deflated.extend_from_slice(request.as_bytes());
    url.query_pairs_mut().append_pair("SAMLRequest", &STANDARD.encode(deflated));
    let is_response = |page: &Page| page.status == 200 && page.body.contains("name=\"SAMLResponse\"");
    let page = log_in(&mut browser, url.as_str()).await;
    assert!(is_response(&page), "{} {}", page.url, page.body);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (before, began) = (load::cpu(own), Instant::now());
        for _ in 0..LOGINS {
            assert!(is_response(&browser.get(url.as_str()).await), "no response");
        }
        let took = began.elapsed().as_secs_f64();
        rounds.push(Round { rate: LOGINS as f64 / took, cpu: vec![(load::cpu(own) - before) * 1e6 / LOGINS as f64] });
    }
    println!("\na SAML response, response and assertion signed with RSA-SHA256 ({LOGINS}, one after the other)");
    row("the gateway", &rounds);
}

/// Two ways, and how they compare.
fn beside(name: &str, ours: &[Round], other: &str, theirs: &[Round]) {
    let (rate, cpu) = row(name, ours);
    let (other_rate, other_cpu) = row(other, theirs);
    println!("  {:.2} times the requests a second, {:.2} times the CPU of each", rate / other_rate, cpu / other_cpu);
}

fn row(name: &str, rounds: &[Round]) -> (f64, f64) {
    let rate = median(rounds.iter().map(|round| round.rate).collect());
    let cpu = median(rounds.iter().map(Round::whole).collect());
    println!("  {name:<28} {rate:>10.0} a second {cpu:>12.1} µs of CPU each");
    (rate, cpu)
}

/// Gets a page, by way of the gateway's own form.
async fn log_in(browser: &mut Browser, url: &str) -> Page {
    let page = browser.get(url).await;
    let Some(form) = page.forms().into_iter().find(|form| form.fields.iter().any(|(name, _)| name == "password"))
    else {
        return page;
    };
    let form = form.with("username", "alice").with("password", "alice-demo");
    let encoded: Vec<(&str, &str)> = form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let origin = form.action.origin().ascii_serialization();
    let headers = [("origin", origin.as_str()), ("sec-fetch-site", "same-origin")];
    let mut page = browser.request(Method::POST, &form.action, Some(form_of(&encoded)), &headers).await;
    while let Some(next) =
        page.location().filter(|next| page.status.is_redirection() && !next.as_str().starts_with(REDIRECT))
    {
        page = browser.request(Method::GET, &next, None, &[]).await;
    }
    page
}

fn form_of(fields: &[(&str, &str)]) -> (&'static str, String) {
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    ("application/x-www-form-urlencoded", encoded)
}

fn cookies(browser: &Browser, name: &str) -> String {
    let all = browser.cookies("127.0.0.1");
    let own: Vec<String> = all
        .iter()
        .filter(|(other, _)| other.starts_with(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert!(!own.is_empty(), "no {name} among {:?}", all.keys());
    own.join("; ")
}

fn request(port: u16, host: &str, cookie: &str) -> String {
    format!(
        "GET /index.html HTTP/1.1\r\nhost: {host}:{port}\r\nuser-agent: bench\r\naccept: text/html\r\ncookie: {cookie}\r\n\r\n"
    )
}

/// `xs:dateTime` in UTC.
fn now() -> String {
    let output = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().expect("date");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn mod_auth_openidc(issuer: &str, site: &str) -> String {
    let so = program(&format!("{MODULES}/mod_auth_openidc.so"));
    format!(
        "LoadModule auth_openidc_module {so}\nMaxKeepAliveRequests 0\nKeepAliveTimeout 60\n\
         OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration\nOIDCClientID apache\n\
         OIDCClientSecret {SECRET}\nOIDCRedirectURI {site}/openid/cb\nOIDCCryptoPassphrase any-long-passphrase\n\
         OIDCScope \"openid profile email\"\nOIDCPKCEMethod S256\nOIDCRemoteUserClaim preferred_username\n\
         OIDCCacheShmMax 2000\n\
         <Location />\nAuthType openid-connect\nRequire valid-user\n</Location>\n",
        so = so.display(),
    )
}

/// One server that asks the gateway about each request; `then` is what it does when it may pass.
fn nginx(port: u16, gateway: u16, then: &str) -> String {
    let application = if then.starts_with("root") { "checked" } else { "proxied" };
    format!(
        "upstream asked {{ server 127.0.0.1:{gateway}; keepalive 32; }}\n\
         server {{\n listen 127.0.0.1:{port}; keepalive_requests 1000000;\n\
         location / {{ auth_request /_ask; error_page 401 = @start; {then} }}\n\
         location @start {{ return 302 http://127.0.0.1:{port}/vestibule/start/{application}?rd=$request_uri; }}\n\
         location /vestibule/ {{ proxy_pass http://127.0.0.1:{gateway}; proxy_redirect off; {forwarded} }}\n\
         location = /_ask {{ internal; proxy_pass http://asked/vestibule/verify/{application};\n\
         proxy_pass_request_body off; proxy_http_version 1.1;\n\
         proxy_set_header Connection ''; proxy_set_header Content-Length '';\n\
         proxy_set_header X-Original-Method $request_method; proxy_set_header X-Original-URI $request_uri;\n\
         {forwarded} }}\n}}\n",
        forwarded = "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Host $http_host; \
                     proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-For $remote_addr;",
    )
}

fn configure(gateway: &Gateway, checked: u16, proxied: u16, backend: u16, apache: &str) {
    let settings = [
        "default = { to = \"local-form\" }\n",
        "allowed-domains = \"example.test\"\n",
        "match-by = \"username\"\n",
        "groups = [\"everybody\"]\n",
        "lifetime-s = 3600\n",
    ];
    let mut tables = String::new();
    for (name, settings) in CHAIN.iter().zip(settings) {
        gateway.write(&format!("settings/{name}.toml"), settings);
        tables.push_str(&format!(
            "[policies.{name}]\ncomponent = \"policies/{name}.wasm\"\nsettings = \"settings/{name}.toml\"\n\n"
        ));
    }
    let hash = vestibule::upstream::hash_password(&vestibule::secret::Secret::new("alice-demo".to_owned()))
        .expect("randomness");
    gateway.write(
        "accounts.toml",
        &format!(
            "[accounts.alice]\npassword = \"{hash}\"\nemail = \"alice@example.test\"\nemail-verified = true\n\
             display-name = \"Alice Arnold\"\ngroups = [\"dev\", \"staff\"]\n"
        ),
    );
    let application = |id: &str, url: &str, more: &str| {
        format!(
            "[applications.{id}]\nurl = \"{url}\"\nupstreams = [\"local\"]\nchain = {CHAIN:?}\n[applications.{id}.{more}\n\n"
        )
    };
    let applications = [
        application("checked", &format!("http://127.0.0.1:{checked}/"), "forward-auth]"),
        application("proxied", &format!("http://127.0.0.1:{proxied}/"), "forward-auth]"),
        application(
            "direct",
            &format!("http://localhost:{}/", gateway.port),
            &format!("proxy]\nbackend = \"http://127.0.0.1:{backend}\""),
        ),
        application(
            "party",
            "http://127.0.0.1:9/",
            &format!("oidc]\nclient-secret = \"{SECRET}\"\nredirect-uris = [\"{REDIRECT}\"]"),
        ),
        application(
            "apache",
            &format!("{apache}/"),
            &format!("oidc]\nclient-secret = \"{SECRET}\"\nredirect-uris = [\"{apache}/openid/cb\"]"),
        ),
        application(
            "guard",
            "https://sp.example.test/",
            "saml]\nentity-id = \"https://sp.example.test/\"\nacs-urls = [\"https://sp.example.test/acs\"]",
        ),
    ];
    gateway.configure(&format!(
        "{tables}[login]\nattempts-per-minute = 1000000\npasswords-per-minute = 1000000\n\n\
         [accounts]\nfile = \"accounts.toml\"\n\n[upstreams.local]\nkind = \"local\"\n\n{}",
        applications.concat()
    ));
    // The log of an operator, not of the tests.
    let text = fs::read_to_string(gateway.path("vestibule.toml")).expect("a file");
    gateway.write(
        "vestibule.toml",
        &text.replace("filter = \"info\"", "filter = \"warn\"").replace("poll-ms = 200\n", ""),
    );
}
