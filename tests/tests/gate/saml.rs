//! Applications that are SAML service providers: python3-saml, pysaml2 and node-saml, with npm
//! `oidc-provider` upstream. `xmlsec1` judges the signatures, and the OASIS schemas the form.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;
use vestibule_tests::{
    browser::{Browser, Page},
    gateway::Gateway,
    peers::{OpenIdProvider, ServiceProvider},
    process::{installed, node, root},
};

use crate::scene::{CHAIN, people, policies, settings};

/// A gateway that is an identity provider, a service provider that has taken its metadata, and
/// the upstream.
pub(crate) struct Federation {
    pub(crate) gateway: Gateway,
    provider: ServiceProvider,
    pub(crate) op: OpenIdProvider,
    folder: TempDir,
}

impl Federation {
    /// As an operator sets it up: the service provider's metadata is imported, `more` is added.
    async fn start(kind: &str, more: &str) -> Self {
        Self::start_at("127.0.0.1", kind, more).await
    }

    /// With the service provider at another name of this machine: another site.
    async fn start_at(host: &str, kind: &str, more: &str) -> Self {
        Self::start_of(&json!({ "kind": kind, "unsolicited": true, "host": host }), more).await
    }

    /// With a service provider of these settings (`tests/peers/sp.py`).
    pub(crate) async fn start_of(settings_of_it: &Value, more: &str) -> Self {
        let mut gateway = Gateway::new();
        let folder = TempDir::new().expect("a folder");
        // Rings of tests that ran before there was SAML have no certificate.
        let (code, _, errors) = gateway.run(&["keys", "certificate", "add", "--directory", "keys"]);
        assert_eq!(code, 0, "{errors}");
        let idp = format!("{}/saml/guard/metadata", gateway.url());
        let mut settings_of_it = settings_of_it.clone();
        settings_of_it["idp"] = json!(idp);
        let provider = ServiceProvider::start(folder.path(), &settings_of_it);
        let metadata = Browser::new().get(&format!("{}/metadata", provider.base)).await;
        gateway.write("sp.xml", &metadata.body);
        let (code, table, errors) = gateway.run(&["saml", "import", "--app", "guard", "sp.xml"]);
        assert_eq!(code, 0, "{errors}{}", metadata.body);
        let op = OpenIdProvider::start(
            &json!([{
                "client_id": "gate", "client_secret": "a-secret-of-the-test-which-is-long",
                "redirect_uris": [format!("{}/callback/op", gateway.url())],
                "post_logout_redirect_uris": [format!("{}/logged-out", gateway.url())],
            }]),
            &people(),
        );
        settings(&gateway);
        gateway.configure(&format!(
            "{policies}\
             [upstreams.op]\nissuer = \"{issuer}\"\nclient-id = \"gate\"\nclient-secret = \"a-secret-of-the-test-which-is-long\"\n\
             scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\n\
             [applications.guard]\ndisplay-name = \"Guard\"\nurl = \"{base}/\"\nupstreams = [\"op\"]\nchain = {CHAIN:?}\n\
             {table}{more}",
            policies = policies(&CHAIN),
            issuer = op.issuer,
            base = provider.base,
        ));
        let (code, output, errors) = gateway.run(&["check"]);
        assert_eq!(code, 0, "{output}{errors}\n{table}");
        gateway.start();
        Self { gateway, provider, op, folder }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.provider.base)
    }

    /// Fills in the upstream's form, and lets the browser bring the response.
    async fn sign_in(&self, browser: &mut Browser, page: Page, name: &str) -> Value {
        let form = page
            .forms()
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("no form at {}: {}\n{}", page.url, page.body, self.gateway.log()));
        let page = browser.submit(&form.with("login", name).with("password", "any")).await;
        self.bring(browser, &page).await
    }

    /// Does what the page's script does.
    async fn bring(&self, browser: &mut Browser, page: &Page) -> Value {
        let form = page
            .forms()
            .into_iter()
            .find(|form| form.fields.iter().any(|(name, _)| name == "SAMLResponse"))
            .unwrap_or_else(|| panic!("no response at {}: {}\n{}", page.url, page.body, self.gateway.log()));
        browser.submit(&form).await.json()
    }

    pub(crate) async fn log_in(&self, browser: &mut Browser, name: &str) -> Value {
        let page = browser.get(&self.url("/login?relay=back")).await;
        self.sign_in(browser, page, name).await
    }

    /// The response as XML, in a file.
    fn keep(&self, told: &Value, name: &str) -> PathBuf {
        let xml = STANDARD.decode(told["response"].as_str().expect("a response")).expect("base64");
        let path = self.folder.path().join(name);
        std::fs::write(&path, xml).expect("a file");
        path
    }

    /// The certificate in use, as `vestibule saml show` prints it.
    fn certificate(&self) -> PathBuf {
        let (code, output, errors) = self.gateway.run(&["saml", "show", "--app", "guard", "--json"]);
        assert_eq!(code, 0, "{errors}");
        let shown: Value = serde_json::from_str(&output).expect("JSON");
        let path = self.folder.path().join("idp.pem");
        std::fs::write(&path, shown["saml"]["certificates"][0].as_str().expect("a certificate")).expect("a file");
        path
    }
}

/// Does `xmlsec1` take the signature of the first element with this name?
fn xmlsec(certificate: &Path, xml: &Path, name: &str) -> (bool, String) {
    let done = Command::new("xmlsec1")
        .args(["--verify", "--enabled-reference-uris", "same-doc", "--pubkey-cert-pem"])
        .arg(certificate)
        .args(["--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion"])
        .args(["--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:protocol:Response"])
        .args(["--node-xpath", &format!("//*[local-name()='{name}']/*[local-name()='Signature']")])
        .arg(xml)
        .output()
        .expect("xmlsec1: run `make setup-test`");
    let said = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
    (done.status.success(), said)
}

/// Is the document valid by the schema that python3-saml ships?
fn is_valid(xml: &Path, schema: &str) -> (bool, String) {
    let script = "import sys, pathlib, onelogin.saml2 as o\nfrom lxml import etree\n\
                  schema = etree.XMLSchema(etree.parse(str(pathlib.Path(o.__file__).parent / 'schemas' / sys.argv[2])))\n\
                  schema.assertValid(etree.parse(sys.argv[1]))\n";
    let done = Command::new(installed("python")).args(["-c", script]).arg(xml).arg(schema).output().expect("Python");
    (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
}

async fn a_login_reaches_the_service_provider(kind: &str) {
    let federation = Federation::start(kind, "").await;
    let mut browser = Browser::new();
    let page = browser.get(&federation.url("/login?relay=back")).await;
    // Straight to the upstream: the person sees no page of ours.
    assert!(page.url.as_str().starts_with(&federation.op.issuer), "{}", page.url);
    assert!(browser.trail.iter().all(|page| page.status.is_redirection()), "{:?}", browser.trail);
    let told = federation.sign_in(&mut browser, page, "alice").await;
    assert_eq!(told["authenticated"], true, "{told}\n{}", federation.gateway.log());
    assert_eq!((&told["name_id"], &told["relay_state"]), (&json!("alice@example.test"), &json!("back")));
    assert_eq!(told["format"], "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress");
    let attributes = told["attributes"].as_object().expect("attributes");
    let first = |name: &str| {
        let claim = format!("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/{name}");
        // pysaml2 has names of its own for the ones that it knows.
        let found = attributes
            .get(&claim)
            .or_else(|| attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value));
        found.unwrap_or_else(|| panic!("no {name}: {attributes:?}"))[0].as_str().expect("a text").to_owned()
    };
    assert_eq!((first("givenname").as_str(), first("surname").as_str()), ("Alice", "Ångström"));
    let immutable = first("name");
    assert!(!immutable.contains('@') && immutable.len() == 43, "{immutable}");
    assert_eq!(attributes["groups"], json!(["jira-software-users"]));
    assert_eq!(attributes["department"], json!(["it"]));

    // Another judge, and the schema.
    let (xml, certificate) = (federation.keep(&told, "response.xml"), federation.certificate());
    for name in ["Response", "Assertion"] {
        let (taken, said) = xmlsec(&certificate, &xml, name);
        assert!(taken, "{name}: {said}");
    }
    let (valid, said) = is_valid(&xml, "saml-schema-protocol-2.0.xsd");
    assert!(valid, "{said}");
    let changed = std::fs::read_to_string(&xml).expect("XML").replace("alice@example.test", "bobby@example.test");
    std::fs::write(&xml, changed).expect("a file");
    for name in ["Response", "Assertion"] {
        assert!(!xmlsec(&certificate, &xml, name).0, "{name}: xmlsec1 takes everything");
    }

    // The next login needs the upstream no more, and the identifier is the same.
    let page = browser.get(&federation.url("/login")).await;
    let again = federation.bring(&mut browser, &page).await;
    assert_eq!((&again["authenticated"], &again["name_id"]), (&json!(true), &json!("alice@example.test")), "{again}");
    assert_eq!(again["session"], told["session"]);
    // Who it was is not in the log.
    assert!(!federation.gateway.log().contains("alice@"), "{}", federation.gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_reaches_python3_saml() {
    a_login_reaches_the_service_provider("python3-saml").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_reaches_pysaml2() {
    a_login_reaches_the_service_provider("pysaml2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_reaches_node_saml() {
    a_login_reaches_the_service_provider("node-saml").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_is_valid_and_a_next_certificate_is_known_before_it_is_used() {
    let mut federation = Federation::start("python3-saml", "").await;
    let metadata = Browser::new().get(&format!("{}/saml/guard/metadata", federation.gateway.url())).await;
    assert_eq!(metadata.header("content-type"), "application/samlmetadata+xml");
    let path = federation.folder.path().join("idp.xml");
    std::fs::write(&path, &metadata.body).expect("a file");
    let (valid, said) = is_valid(&path, "saml-schema-metadata-2.0.xsd");
    assert!(valid, "{said}");

    let certificates = |federation: &Federation| -> Vec<String> {
        let (_, output, _) = federation.gateway.run(&["saml", "show", "--app", "guard", "--json"]);
        let shown: Value = serde_json::from_str(&output).expect("JSON");
        serde_json::from_value(shown["saml"]["certificates"].clone()).expect("certificates")
    };
    let before = certificates(&federation);
    let add = ["keys", "certificate", "add", "--directory", "keys"];
    assert_eq!(federation.gateway.run(&add).0, 0);
    let added = certificates(&federation);
    assert_eq!((added.len(), &added[..before.len()]), (before.len() + 1, &before[..]), "the one in use stays so");
    // Restarted, it signs as before, and publishes both; the service provider learns the next.
    federation.gateway.stop();
    federation.gateway.start();
    let told = federation.log_in(&mut Browser::new(), "alice").await;
    assert_eq!(told["authenticated"], true, "{told}");
    let xml = federation.keep(&told, "before.xml");
    let first = federation.certificate();
    assert!(xmlsec(&first, &xml, "Response").0);

    assert_eq!(federation.gateway.run(&["keys", "certificate", "switch", "--directory", "keys"]).0, 0);
    let switched = certificates(&federation);
    assert_eq!((&switched[0], switched.len()), (&added[before.len()], added.len()), "the newest is in use");
    federation.gateway.stop();
    federation.gateway.start();
    let told = federation.log_in(&mut Browser::new(), "alice").await;
    assert_eq!(told["authenticated"], true, "{told}");
    let (xml, second) = (federation.keep(&told, "after.xml"), federation.certificate());
    assert!(xmlsec(&second, &xml, "Response").0);

    assert_eq!(federation.gateway.run(&["keys", "certificate", "drop", "--directory", "keys"]).0, 0);
    assert_eq!(certificates(&federation), [added[before.len()].clone()]);
    assert_ne!(federation.gateway.run(&["keys", "certificate", "switch", "--directory", "keys"]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_by_a_form_finds_the_session_that_is_there() {
    let federation = Federation::start("pysaml2", "").await;
    let mut browser = Browser::new();
    assert_eq!(federation.log_in(&mut browser, "alice").await["authenticated"], true);
    let page = browser.get(&federation.url("/login?binding=post&relay=a%26b%22%3E")).await;
    let page = send_from_another_site(&mut browser, &page).await;
    let told = federation.bring(&mut browser, &page).await;
    assert_eq!((&told["authenticated"], &told["relay_state"]), (&json!(true), &json!("a&b\">")), "{told}");
}

/// Sends the page's form as a browser does from another site: without the cookies that say
/// `SameSite=Lax`, which come with the redirect that follows.
async fn send_from_another_site(browser: &mut Browser, page: &Page) -> Page {
    let form = page.forms().into_iter().next().unwrap_or_else(|| panic!("no form: {}", page.body));
    assert_eq!(form.method, Method::POST);
    let jar = std::mem::take(&mut browser.jar);
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
    let kind = "application/x-www-form-urlencoded";
    let headers = [("origin", "http://127.0.0.1:1"), ("sec-fetch-site", "cross-site")];
    let page = browser.request(Method::POST, &form.action, Some((kind, encoded)), &headers).await;
    assert_eq!(page.status, 303, "{}", page.body);
    browser.jar = jar;
    browser.get(page.location().expect("an address").as_str()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_by_a_form_ends_the_session_that_is_there() {
    let federation = Federation::start("pysaml2", "").await;
    let mut browser = Browser::new();
    assert_eq!(federation.log_in(&mut browser, "alice").await["authenticated"], true);
    let page = browser.get(&federation.url("/logout?binding=post")).await;
    let mut page = send_from_another_site(&mut browser, &page).await;
    // pysaml2 names no session: then the person is asked. oidc-provider asks, too.
    for site in [federation.gateway.url(), federation.op.issuer.clone()] {
        if let Some(form) = page.forms().into_iter().find(|form| form.action.as_str().starts_with(&site)) {
            page = browser.submit(&form.with("logout", "yes")).await;
        }
    }
    assert!(page.url.as_str().starts_with(&federation.url("/slo")), "{} {}", page.url, page.body);
    assert_eq!(page.json()["logged_out"], true, "{}", page.body);
    assert_eq!(federation.gateway.events("session.ended").len(), 1);
    let page = browser.get(&federation.url("/login")).await;
    assert!(page.url.as_str().starts_with(&federation.op.issuer), "still logged in: {}", page.url);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_provider_is_told_no_and_why_in_a_word() {
    let federation = Federation::start("python3-saml", "").await;
    // Nobody is logged in, and nobody may be asked.
    let page = Browser::new().get(&federation.url("/login?passive=1")).await;
    let told = federation.bring(&mut Browser::new(), &page).await;
    assert_eq!(told["authenticated"], false);
    assert!(told["error"].as_str().is_some_and(|error| error.contains("interaction-required")), "{told}");
    let xml = std::fs::read_to_string(federation.keep(&told, "passive.xml")).expect("XML");
    assert!(xml.contains("urn:oasis:names:tc:SAML:2.0:status:NoPassive"), "{xml}");
    // Denied by a policy.
    let mut browser = Browser::new();
    let told = federation.log_in(&mut browser, "mallory").await;
    assert_eq!(told["authenticated"], false);
    assert!(told["error"].as_str().is_some_and(|error| error.contains("domain-not-allowed")), "{told}");
    let (xml, certificate) = (federation.keep(&told, "no.xml"), federation.certificate());
    assert!(xmlsec(&certificate, &xml, "Response").0);
    assert!(is_valid(&xml, "saml-schema-protocol-2.0.xsd").0);
    let text = std::fs::read_to_string(&xml).expect("XML");
    assert!(!text.contains("Assertion>") && !text.contains("mallory"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_a_domain_that_is_not_verified_there_is_not_asserted() {
    let federation = Federation::start("python3-saml", "domains = [\"guard.test\"]\n").await;
    let told = federation.log_in(&mut Browser::new(), "alice").await;
    assert_eq!(told["authenticated"], false);
    assert!(told["error"].as_str().is_some_and(|error| error.contains("domain-not-asserted")), "{told}");
    let denied = federation.gateway.events("decision.login").pop().expect("an event");
    assert_eq!((&denied["granted"], &denied["denial"]["code"]), (&json!(false), &json!("domain-not-asserted")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_login_is_asked_for_and_done() {
    let federation = Federation::start("python3-saml", "").await;
    let mut browser = Browser::new();
    assert_eq!(federation.log_in(&mut browser, "alice").await["authenticated"], true);
    let page = browser.get(&federation.url("/login?force=1")).await;
    assert!(page.url.as_str().starts_with(&federation.op.issuer), "{}", page.url);
    assert!(browser.trail.iter().any(|page| page.url.query().is_some_and(|query| query.contains("prompt=login"))));
    assert_eq!(federation.sign_in(&mut browser, page, "alice").await["authenticated"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_the_service_provider_ends_the_session_here_and_upstream() {
    let federation = Federation::start("python3-saml", "").await;
    let mut browser = Browser::new();
    assert_eq!(federation.log_in(&mut browser, "alice").await["authenticated"], true);
    let page = browser.get(&federation.url("/logout")).await;
    // oidc-provider asks the person whether to log out there, too, in a form.
    let page = match page.forms().into_iter().find(|form| form.action.as_str().starts_with(&federation.op.issuer)) {
        Some(form) => browser.submit(&form.with("logout", "yes")).await,
        None => page,
    };
    assert!(page.url.as_str().starts_with(&federation.url("/slo")), "{} {}", page.url, page.body);
    assert_eq!(page.json()["logged_out"], true, "{}", page.body);
    assert_eq!(federation.gateway.events("session.ended").len(), 1);
    let page = browser.get(&federation.url("/login")).await;
    assert!(page.url.as_str().starts_with(&federation.op.issuer), "still logged in: {}", page.url);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_for_a_session_that_is_not_there_any_more_asks_the_person() {
    let federation = Federation::start("python3-saml", "").await;
    let mut browser = Browser::new();
    assert_eq!(federation.log_in(&mut browser, "alice").await["authenticated"], true);
    // Another login here, of which the service provider hears nothing.
    let page = browser.get(&federation.url("/login?force=1")).await;
    let form = page.forms().into_iter().next().expect("the upstream's form");
    browser.submit(&form.with("login", "alice").with("password", "any")).await;
    let page = browser.get(&federation.url("/logout")).await;
    assert!(
        page.url.as_str().starts_with(&federation.gateway.url()) && page.body.contains("Log out?"),
        "{}",
        page.body
    );
    assert!(federation.gateway.events("session.ended").is_empty());
    let form = page.forms().into_iter().next().expect("a form");
    let page = browser.submit(&form).await;
    let page = match page.forms().into_iter().find(|form| form.action.as_str().starts_with(&federation.op.issuer)) {
        Some(form) => browser.submit(&form.with("logout", "yes")).await,
        None => page,
    };
    assert!(page.url.as_str().starts_with(&federation.url("/slo")), "{} {}", page.url, page.body);
    assert_eq!(federation.gateway.events("session.ended").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_a_real_browser_at_a_service_provider_of_another_site() {
    let federation = Federation::start_at("localhost", "pysaml2", "").await;
    let told = json!({
        "provider": federation.provider.base, "gateway": federation.gateway.url(), "issuer": federation.op.issuer,
    });
    let done = tokio::process::Command::new(node())
        .arg(root().join("tests/peers/saml.mjs"))
        .env("SAML", told.to_string())
        .env("NODE_NO_WARNINGS", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .expect("node");
    assert!(
        done.status.success(),
        "{}{}\n{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
        federation.gateway.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a59_nobody_is_logged_in_unasked_unless_the_configuration_says_so() {
    let federation = Federation::start("pysaml2", "").await;
    let start = format!("{}/saml/guard/start", federation.gateway.url());
    let page = Browser::new().get(&start).await;
    assert_eq!((page.status.as_u16(), page.header("x-vestibule-reason")), (400, "idp-initiated-not-allowed"));

    let federation = Federation::start("pysaml2", "allow-idp-initiated = true\n").await;
    let start = format!("{}/saml/guard/start", federation.gateway.url());
    let mut browser = Browser::new();
    let page = browser.get(&start).await;
    let told = federation.sign_in(&mut browser, page, "alice").await;
    assert_eq!((&told["authenticated"], &told["name_id"]), (&json!(true), &json!("alice@example.test")), "{told}");
    // A page of another site cannot begin it.
    let url = Url::parse(&start).expect("an address");
    let headers = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    assert_eq!(Browser::new().request(Method::GET, &url, None, &headers).await.status, 403);
}
