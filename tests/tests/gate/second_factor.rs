//! The gateway's own second factor, with codes of `oathtool` and passkeys of Chromium's virtual authenticator: a whole login against a real OpenID
//! provider, and what somebody tries who has the first factor alone.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use regex::Regex;
use serde_json::{Value, json};
use vestibule::clock::{Clock as _, SystemClock};
use vestibule_tests::{
    browser::{Browser, Form, Page},
    gateway::Gateway,
    peers::{Application, OpenIdProvider},
    process::{node, root},
};

use crate::scene::{CHAIN, people, policies, settings};

const NAME: &str = "urn:vestibule:second-factor";
const PASSKEY: &str = "urn:vestibule:second-factor:phishing-resistant";

/// Two applications, of which one wants the second factor of everybody, and the other for its
/// administrators' pages.
struct Vault {
    gateway: Gateway,
    op: OpenIdProvider,
    public_url: String,
    plain: String,
    vault: String,
    _application: Application,
}

impl Vault {
    async fn start() -> Self {
        Self::at("127.0.0.1", NAME).await
    }

    /// At this host, and with this demand of whoever opens an administrators' page.
    async fn at(host: &str, acr: &str) -> Self {
        let application = Application::start().await;
        let mut gateway = Gateway::new();
        let public_url = format!("http://{host}:{}", gateway.port);
        let plain = format!("http://localhost:{}", gateway.port);
        let vault = format!("http://vault.localhost:{}", gateway.port);
        let op = OpenIdProvider::start(
            &json!([{
                "client_id": "gate", "client_secret": "a-secret-of-the-test-which-is-long",
                "redirect_uris": [format!("{public_url}/callback/op")],
            }]),
            &people(),
        );
        settings(&gateway);
        gateway.write("settings/second-factor.toml", "always = true\n");
        gateway.write(
            "settings/admin-reauth.toml",
            &format!("admin-paths = [\"/admin/*\"]\nacr-values = [\"{acr}\"]\nmax-age-s = 600\n"),
        );
        let mut vaults = CHAIN.to_vec();
        vaults.push("second-factor");
        let sites = [("app", &plain, CHAIN.to_vec()), ("vault", &vault, vaults.clone())].map(|(id, site, chain)| {
            format!(
                "[applications.{id}]\nurl = \"{site}/\"\nupstreams = [\"op\"]\nchain = {chain:?}\n\
                 [applications.{id}.proxy]\nbackend = \"http://127.0.0.1:{}\"\n",
                application.port
            )
        });
        gateway.configure(&format!(
            "{}[upstreams.op]\nissuer = \"{}\"\nclient-id = \"gate\"\nclient-secret = \"a-secret-of-the-test-which-is-long\"\n\
             scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\n{}\
             [second-factor]\nfile = \"factors.json\"\nname = \"The Gate\"\ncodes-per-minute = 30\n",
            policies(&vaults),
            op.issuer,
            sites.concat(),
        ));
        let written = std::fs::read_to_string(gateway.path("vestibule.toml")).expect("the configuration");
        gateway.write("vestibule.toml", &written.replacen(&gateway.url(), &public_url, 1));
        gateway.start();
        Self { gateway, op, public_url, plain, vault, _application: application }
    }

    /// Opens a page and proves the first factor there.
    async fn first(&self, browser: &mut Browser, url: &str) -> Page {
        let page = browser.get(url).await;
        self.sign_in(browser, page).await
    }

    async fn sign_in(&self, browser: &mut Browser, page: Page) -> Page {
        self.sign_in_as(browser, page, "alice").await
    }

    async fn sign_in_as(&self, browser: &mut Browser, page: Page, name: &str) -> Page {
        assert!(page.url.as_str().starts_with(&self.op.issuer), "{} {}\n{}", page.status, page.url, self.gateway.log());
        let form = page.forms().into_iter().next().unwrap_or_else(|| panic!("no form: {}", page.body));
        browser.submit(&form.with("login", name).with("password", "any")).await
    }

    /// Sets a factor up from the page that asks for it: what comes last, the secret, the recovery codes
    /// and the code that was typed.
    async fn enrol(&self, browser: &mut Browser, page: Page) -> (Page, String, (Vec<String>, String)) {
        let secret = secret(&page);
        let typed = code(&secret, 0);
        let shown = type_code(browser, &page, &typed).await;
        let codes = recovery_codes(&shown);
        let form = shown.forms().into_iter().next().expect("a way on");
        (browser.submit(&form).await, secret, (codes, typed))
    }
}

/// What the authenticator shows, `later` seconds from now.
fn code(secret: &str, later: i64) -> String {
    let at = i64::try_from(SystemClock.now()).expect("a number") + later;
    let told = Command::new("oathtool").args(["--totp", "--base32", "--now", &format!("@{at}"), secret]).output();
    let told = told.expect("oathtool: run scripts/setup test");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).expect("text").trim().to_owned()
}

fn secret(page: &Page) -> String {
    assert!(is_asking(page), "{} {}", page.url, page.body);
    let found = Regex::new(r#"<code id="secret">([A-Z2-7 ]+)</code>"#).expect("a pattern").captures(&page.body);
    found.unwrap_or_else(|| panic!("nothing to set up: {}", page.body))[1].replace(' ', "")
}

fn recovery_codes(page: &Page) -> Vec<String> {
    let pattern = Regex::new("<li><code>([a-z2-7-]+)</code>").expect("a pattern");
    let codes: Vec<String> = pattern.captures_iter(&page.body).map(|found| found[1].to_owned()).collect();
    assert_eq!(codes.len(), 10, "{} {}", page.url, page.body);
    codes
}

fn is_asking(page: &Page) -> bool {
    page.status == 200 && page.url.path().ends_with("/second-factor") && page.body.contains("name=\"code\"")
}

/// The form for a code; there is another for a passkey.
fn code_form(page: &Page) -> Form {
    let found = page.forms().into_iter().find(|form| form.fields.iter().any(|(name, _)| name == "code"));
    found.unwrap_or_else(|| panic!("no form: {}", page.body))
}

async fn type_code(browser: &mut Browser, page: &Page, code: &str) -> Page {
    browser.submit(&code_form(page).with("code", code)).await
}

fn assertion(page: &Page) -> Value {
    let told = page.json();
    let jwt = told["headers"]["x-vestibule-assertion"][0].as_str().unwrap_or_else(|| panic!("{told}"));
    let claims = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).expect("claims")).expect("base64url");
    serde_json::from_slice(&claims).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_set_up_proved_lost_and_reset() {
    let scene = Vault::start().await;
    let mut browser = Browser::new();
    let page = scene.first(&mut browser, &format!("{}/page", scene.vault)).await;
    let key = secret(&page);
    assert!(page.body.contains("<svg class=\"qr\"") && page.body.contains("otpauth:"), "{}", page.body);
    assert!(page.body.contains("The%20Gate:alice%40example%2Etest"), "{}", page.body);
    assert_eq!(page.header("cache-control"), "no-store");
    // A slip, and then the code that the app shows.
    let slip = type_code(&mut browser, &page, "000000").await;
    assert!(is_asking(&slip) && slip.body.contains("not the right code"), "{}", slip.body);
    assert_eq!(secret(&slip), key, "the same key");
    let (page, _, (codes, typed)) = scene.enrol(&mut browser, slip).await;
    assert_eq!((page.status.as_u16(), page.url.path()), (200, "/page"), "{}", page.body);
    let told = assertion(&page);
    assert_eq!((&told["acr"], &told["amr"]), (&json!(NAME), &json!(["otp", "mfa"])), "{told}");
    let list = |gateway: &Gateway| {
        let (exit, output, errors) = gateway.run(&["factors", "list", "--json"]);
        assert_eq!(exit, 0, "{output}{errors}");
        serde_json::from_str::<Value>(&output).expect("JSON")["factors"].clone()
    };
    assert_eq!(list(&scene.gateway)[0]["subject"], "alice");

    // Another browser: nothing to set up; a code that was used is used, the next one is good.
    let mut other = Browser::new();
    let page = scene.first(&mut other, &scene.vault).await;
    assert!(is_asking(&page) && !page.body.contains("id=\"secret\""), "{}", page.body);
    let used = type_code(&mut other, &page, &typed).await;
    assert!(is_asking(&used) && used.body.contains("used before"), "{}", used.body);
    assert_eq!(type_code(&mut other, &used, &code(&key, 30)).await.status, 200);

    // The app is lost: a recovery code, once.
    let mut third = Browser::new();
    let page = scene.first(&mut third, &scene.vault).await;
    assert_eq!(type_code(&mut third, &page, &codes[0].to_uppercase()).await.status, 200);
    let mut fourth = Browser::new();
    let page = scene.first(&mut fourth, &scene.vault).await;
    assert!(is_asking(&type_code(&mut fourth, &page, &codes[0]).await));

    // A change wants a code, too.
    let own = format!("{}/second-factor", scene.gateway.url());
    let page = third.get(&own).await;
    assert!(page.body.contains("9 recovery codes"), "{}", page.body);
    let form = page.forms().remove(0).with("change", "recovery-codes");
    let refused = third.submit(&form.clone().with("code", &codes[0])).await;
    assert!(refused.body.contains("not the right code"), "{}", refused.body);
    let renewed = recovery_codes(&third.submit(&form.with("code", &codes[1])).await);
    assert!(!renewed.contains(&codes[2]));

    // The operator takes it away, while the gateway runs.
    let (exit, output, errors) = scene.gateway.run(&["factors", "reset", "alice", "--json"]);
    assert_eq!(exit, 0, "{output}{errors}");
    assert_eq!(scene.gateway.run(&["factors", "reset", "alice"]).0, 1, "there is none any more");
    assert_eq!(list(&scene.gateway), json!([]));
    let mut fifth = Browser::new();
    let page = scene.first(&mut fifth, &scene.vault).await;
    assert_ne!(secret(&page), key);
    scene.gateway.wait_for("that it was reset", |event| event["kind"] == "factor.reset").await;

    // All of it is on record, and nothing secret is.
    for (kind, times) in [("factor.enrolled", 1), ("factor.passed", 3), ("factor.recovery-code-used", 2)] {
        assert_eq!(scene.gateway.events(kind).len(), times, "{kind}");
    }
    let audit = std::fs::read_to_string(scene.gateway.path("audit.jsonl")).expect("the record");
    let file = std::fs::read_to_string(scene.gateway.path("factors.json")).expect("the file");
    for text in [audit, file, scene.gateway.log()] {
        assert!(!text.contains(&key) && codes.iter().chain(&renewed).all(|code| !text.contains(code.as_str())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_application_is_held_to_its_own_demand_whoever_is_remembered() {
    let scene = Vault::start().await;
    let mut browser = Browser::new();
    let page = scene.first(&mut browser, &format!("{}/", scene.plain)).await;
    assert_eq!(page.status, 200, "no second factor here: {}", page.body);
    assert_ne!(assertion(&page)["acr"], NAME);
    // A stolen cookie sets up nothing: the provider is to ask for the password again.
    let page = browser.get(&format!("{}/", scene.vault)).await;
    assert!(page.url.as_str().starts_with(&scene.op.issuer), "{}", page.url);
    assert!(browser.trail.iter().any(|page| page.url.query().is_some_and(|query| query.contains("prompt=login"))));
    let page = scene.sign_in(&mut browser, page).await;
    let (page, key, _) = scene.enrol(&mut browser, page).await;
    assert_eq!(page.status, 200, "{}", page.body);
    // The first application's session is what it was; its administrators' pages want more, and the
    // person has that by now.
    assert_ne!(assertion(&browser.peek(&format!("{}/", scene.plain)).await)["acr"], NAME);
    let page = browser.get(&format!("{}/admin/x", scene.plain)).await;
    assert_eq!(page.status, 200, "{} {}", page.url, page.body);
    assert!(browser.trail.iter().all(|page| !page.url.as_str().starts_with(&scene.op.issuer)), "went upstream");
    assert_eq!(assertion(&page)["acr"], NAME);

    // Elsewhere, with the first factor alone: the code, and no trip upstream for it.
    let mut other = Browser::new();
    assert_eq!(scene.first(&mut other, &format!("{}/", scene.plain)).await.status, 200);
    for url in [format!("{}/admin/x", scene.plain), format!("{}/", scene.vault)] {
        let page = other.get(&url).await;
        assert!(is_asking(&page), "{} {}", page.url, page.body);
        assert!(other.trail.iter().all(|page| !page.url.as_str().starts_with(&scene.op.issuer)), "went upstream");
        assert_ne!(other.peek(&url).await.status, 200);
    }
    let page = other.get(&format!("{}/admin/x", scene.plain)).await;
    assert_eq!(type_code(&mut other, &page, &code(&key, 30)).await.status, 200);
    assert_eq!(other.get(&format!("{}/", scene.vault)).await.status, 200, "it counts for both");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_asks_for_a_code_is_not_gone_around() {
    let scene = Vault::start().await;
    let mut victim = Browser::new();
    let page = scene.first(&mut victim, &format!("{}/", scene.vault)).await;
    let key = secret(&page);
    let form = code_form(&page);
    let right = code(&key, 0);

    // Another browser's login is not one's own: neither to see, nor to set up in its place.
    let mut attacker = Browser::new();
    let seen = attacker.get(page.url.as_str()).await;
    assert_eq!(seen.header("x-vestibule-reason"), "login-unknown", "{}", seen.body);
    assert!(!seen.body.contains(&key[..4]), "{}", seen.body);
    let tried = attacker.submit(&form.clone().with("code", &right)).await;
    assert_eq!(tried.header("x-vestibule-reason"), "login-unknown");
    // Nor does another site's page send the form.
    let body = format!("login={}&code={right}", form.fields[0].1);
    let kind = "application/x-www-form-urlencoded";
    let sent = victim
        .request(Method::POST, &form.action, Some((kind, body.clone())), &[("origin", "https://evil.example")])
        .await;
    assert_eq!(sent.header("x-vestibule-reason"), "cross-site-form");
    let sent =
        victim.request(Method::POST, &form.action, Some((kind, body)), &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(sent.header("x-vestibule-reason"), "cross-site-form");

    // The next page, without a code.
    let mut on = form.clone().with("seen", "1");
    on.fields.retain(|(name, _)| name != "code");
    assert_eq!(victim.submit(&on).await.header("x-vestibule-reason"), "login-not-at-this-step");
    for url in [
        format!("{}/", scene.vault),
        format!("{}/vestibule/enter/vault", scene.vault),
        format!("{}/vestibule/enter/vault?ticket=x", scene.vault),
        format!("{}/vestibule/enter/app?ticket=x", scene.plain),
    ] {
        let page = victim.peek(&url).await;
        assert!(!page.body.contains("\"application\":true"), "{url}: {}", page.body);
    }
    // A code of another secret, such as the attacker's own.
    let own = type_code(&mut victim, &page, &code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 0)).await;
    assert!(is_asking(&own) && own.body.contains("not the right code"), "{}", own.body);

    // Set up elsewhere meanwhile: whoever comes second, comes too late.
    let mut elsewhere = Browser::new();
    let other = scene.first(&mut elsewhere, &format!("{}/", scene.vault)).await;
    assert_ne!(secret(&other), key);
    let (entered, _, _) = scene.enrol(&mut elsewhere, other).await;
    assert_eq!(entered.status, 200, "{}", entered.body);
    let late = victim.submit(&form.with("code", &code(&key, 0))).await;
    assert_eq!(late.header("x-vestibule-reason"), "second-factor-set-up-meanwhile", "{}", late.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_upstream_states_that_our_second_factor_was_passed() {
    let scene = Vault::start().await;
    for site in [&scene.vault, &scene.plain] {
        let mut browser = Browser::new();
        let page = browser.get(&format!("{site}/")).await;
        let page = scene.sign_in_as(&mut browser, page, "liar").await;
        assert_eq!((page.status.as_u16(), page.header("x-vestibule-reason")), (502, "acr-reserved"), "{}", page.body);
        assert_ne!(browser.peek(&format!("{site}/")).await.status, 200);
    }
    assert_eq!(scene.gateway.events("authentication.refused").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_codes_is_slow_and_keeps_nobody_out() {
    let scene = Vault::start().await;
    let mut browser = Browser::new();
    let page = scene.first(&mut browser, &format!("{}/", scene.vault)).await;
    let (_, key, (codes, _)) = scene.enrol(&mut browser, page).await;
    let mut guesser = Browser::new();
    let page = scene.first(&mut guesser, &format!("{}/", scene.vault)).await;
    let near: Vec<String> = [-30, 0, 30, 60].iter().map(|later| code(&key, *later)).collect();
    let wrong = (0..9).map(|digit| digit.to_string().repeat(6)).find(|code| !near.contains(code)).expect("a code");
    for _ in 0..5 {
        assert!(type_code(&mut guesser, &page, &wrong).await.body.contains("not the right code"));
    }
    // Even the right one says nothing now, in any browser.
    let locked = type_code(&mut guesser, &page, &code(&key, 30)).await;
    assert!(is_asking(&locked) && locked.body.contains("Too many codes were wrong"), "{}", locked.body);
    let mut subject = Browser::new();
    let page = scene.first(&mut subject, &format!("{}/", scene.vault)).await;
    assert!(type_code(&mut subject, &page, &code(&key, 30)).await.body.contains("Too many codes were wrong"));
    // The subject is not kept out.
    assert_eq!(type_code(&mut subject, &page, &codes[0]).await.status, 200);
    // One address gets so many tries, whoever they are for.
    let mut last = Page::clone(&locked);
    for _ in 0..30 {
        last = type_code(&mut guesser, &locked, "x").await;
        if last.status == 429 {
            break;
        }
    }
    assert_eq!((last.status.as_u16(), last.header("x-vestibule-reason")), (429, "too-many-codes"));
    assert!(scene.gateway.events("factor.failed").len() >= 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sets_it_up_with_a_real_browser_and_without_a_script() {
    let scene = Vault::start().await;
    let done = Command::new(node())
        .arg(root().join("tests/peers/second_factor.mjs"))
        .env("SITE", format!("{}/", scene.vault))
        .env("GATEWAY", scene.gateway.url())
        .env("SHOTS", root().join("target/screenshots"))
        .env("NODE_NO_WARNINGS", "1")
        .output()
        .expect("node");
    let (said, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}{errors}\n{}", scene.gateway.log());
    assert!(said.contains("\"user\":\"alice\""), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sets_up_a_passkey_and_uses_it_with_a_real_browser() {
    // No browser has passkeys for an address.
    let scene = Vault::at("gate.localhost", PASSKEY).await;
    let done = Command::new(node())
        .arg(root().join("tests/peers/second_factor.mjs"))
        .env("FACTOR", "passkey")
        .env("SITE", format!("{}/", scene.vault))
        .env("ADMIN", format!("{}/admin/x", scene.plain))
        .env("GATEWAY", &scene.public_url)
        .env("SHOTS", root().join("target/screenshots"))
        .env("NODE_NO_WARNINGS", "1")
        .output()
        .expect("node");
    let (said, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}{errors}\n{}", scene.gateway.log());
    for (kind, times) in
        [("factor.enrolled", 1), ("factor.passed", 4), ("factor.app-added", 1), ("factor.recovery-code-used", 1)]
    {
        assert_eq!(scene.gateway.events(kind).len(), times, "{kind}");
    }
    // The operator takes the passkey away; the app stays.
    let (exit, output, errors) = scene.gateway.run(&["factors", "list", "--json"]);
    assert_eq!(exit, 0, "{output}{errors}");
    let listed: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(listed["factors"][0]["passkeys"][0]["name"], "My phone", "{listed}");
    assert_eq!(scene.gateway.run(&["factors", "remove-passkey", "alice", "Another"]).0, 1);
    let (exit, output, errors) = scene.gateway.run(&["factors", "remove-passkey", "alice", "My phone", "--json"]);
    assert_eq!(exit, 0, "{output}{errors}");
    assert_eq!(serde_json::from_str::<Value>(&output).expect("JSON")["factor-removed"], false, "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_the_gateway_from_starting() {
    let mut scene = Vault::start().await;
    scene.gateway.stop();
    scene.gateway.write("factors.json", "{\n\"format\": 1,\n\"subjects\": [{}]\n}\n");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(scene.gateway.path("factors.json"), private).expect("a mode");
    let (exit, output, errors) = scene.gateway.run(&["serve", "--json"]);
    assert_eq!(exit, 74, "{output}{errors}");
    assert!(output.contains("factors.json") && output.contains("line 3"), "{output}{errors}");
}
