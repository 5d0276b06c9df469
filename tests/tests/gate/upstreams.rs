//! Several identity providers at once, and the ways in which a gateway proves to one who it is.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule_tests::{
    browser::{Browser, Page},
    gateway::Gateway,
    peers::{Application, Nginx, OpenIdProvider, port},
};

use crate::scene::{CHAIN, nginx, people, policies, settings};

/// A private key as PEM, and its public half as a JWK.
fn key() -> (String, Value) {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
    // SEC 1 §2.3.3: 4, then both coordinates.
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "gate-1",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    });
    let lines: Vec<String> = STANDARD
        .encode(pkcs8.as_ref())
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    (format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")), jwk)
}

async fn choose(browser: &mut Browser, page: Page, upstream: &str) -> Page {
    let form = page
        .forms()
        .into_iter()
        .find(|form| form.fields.iter().any(|(name, value)| name == "upstream" && value == upstream));
    let form = form.or_else(|| page.forms().into_iter().next()).unwrap_or_else(|| panic!("no form: {}", page.body));
    browser.submit(&form.with("upstream", upstream)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_chooses_among_identity_providers_and_each_knows_the_gateway_in_its_own_way() {
    let mut gateway = Gateway::new();
    let application = Application::start().await;
    let (folder, port) = (TempDir::new().unwrap(), port());
    let site = format!("http://127.0.0.1:{port}");
    let (pem, jwk) = key();
    let redirect = |upstream: &str| [format!("{}/callback/{upstream}", gateway.url())];
    let with_key = OpenIdProvider::start(
        &json!([{
            "client_id": "gate", "redirect_uris": redirect("keyed"), "jwks": { "keys": [jwk] },
            "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256",
        }]),
        &people(),
    );
    let in_body = OpenIdProvider::start(
        &json!([{
            "client_id": "gate", "client_secret": "a-secret-of-the-test-which-is-long",
            "redirect_uris": redirect("posted"), "token_endpoint_auth_method": "client_secret_post",
        }]),
        &people(),
    );
    let public = OpenIdProvider::start(
        &json!([{ "client_id": "gate", "redirect_uris": redirect("public"), "token_endpoint_auth_method": "none" }]),
        &people(),
    );
    settings(&gateway);
    gateway.write("settings/redirection-rules.toml", "default = { to = \"choose\" }\n");
    gateway.write("key.pem", &pem);
    gateway.configure(&format!(
        "{policies}\
         [upstreams.keyed]\ndisplay-name = \"By key\"\nissuer = \"{keyed}\"\nclient-id = \"gate\"\n\
         client-authentication = \"private_key_jwt\"\nprivate-key = {{ file = \"key.pem\" }}\n\
         private-key-id = \"gate-1\"\nprivate-key-algorithm = \"ES256\"\nscopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\n\
         [upstreams.posted]\nissuer = \"{posted}\"\nclient-id = \"gate\"\n\
         client-authentication = \"client_secret_post\"\nclient-secret = \"a-secret-of-the-test-which-is-long\"\n\
         scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\n\
         [upstreams.public]\nissuer = \"{public}\"\nclient-id = \"gate\"\nclient-authentication = \"none\"\n\
         scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\n\
         [applications.app]\nurl = \"{site}/\"\nupstreams = [\"keyed\", \"posted\", \"public\"]\nchain = {CHAIN:?}\n\
         [applications.app.forward-auth]\n",
        policies = policies(&CHAIN),
        keyed = with_key.issuer,
        posted = in_body.issuer,
        public = public.issuer,
    ));
    gateway.start();
    let _nginx = Nginx::start(folder.path(), port, &nginx(&gateway, port, application.port));

    for (upstream, op) in [("keyed", &with_key), ("posted", &in_body), ("public", &public)] {
        let mut browser = Browser::new();
        let chooser = browser.get(&format!("{site}/board")).await;
        assert_eq!(chooser.status, 200, "{} {}", chooser.url, chooser.body);
        assert!(chooser.body.contains("By key"), "{}", chooser.body);
        let page = choose(&mut browser, chooser, upstream).await;
        assert!(
            page.url.as_str().starts_with(&op.issuer),
            "{upstream}: {} {}\n{}",
            page.status,
            page.url,
            gateway.log()
        );
        let form = page.forms().into_iter().next().expect("the provider's form");
        let page = browser.submit(&form.with("login", "alice").with("password", "any")).await;
        assert_eq!(page.status, 200, "{upstream}: {} {}\n{}", page.url, page.body, gateway.log());
        assert_eq!(page.json()["headers"]["x-forwarded-user"][0], "alice", "{upstream}");
        let decided = gateway.events("decision.login").pop().expect("a decision");
        assert_eq!(decided["upstream"], upstream);
    }

    // What was not offered cannot be chosen.
    let mut browser = Browser::new();
    let chooser = browser.get(&format!("{site}/")).await;
    let page = choose(&mut browser, chooser, "elsewhere").await;
    assert_eq!((page.status.as_u16(), page.header("x-vestibule-reason")), (400, "upstream-not-offered"));
}
