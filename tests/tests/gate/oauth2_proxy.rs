//! A proxy that was set up for oauth2-proxy, with the gateway in its place; and an application that
//! asks for itself.

use serde_json::json;
use tempfile::TempDir;
use vestibule_tests::{
    browser::Browser,
    gateway::Gateway,
    peers::{Application, Nginx, OpenIdProvider, port},
    process::root,
};

use crate::scene::{CHAIN, people, policies, settings};

/// The nginx of `docs/oauth2-proxy.md`, with our addresses and the session endpoint.
fn nginx(port: u16, gateway: u16, application: u16) -> String {
    let text = std::fs::read_to_string(root().join("docs/oauth2-proxy.md")).expect("the documentation");
    let block = text.split("\n```nginx\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("a block");
    block
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{gateway}"))
        .replace("127.0.0.1:3000", &format!("127.0.0.1:{application}"))
        .replace("wiki.example.com", "127.0.0.1")
        .replace("(start|enter|logout)/", "(start|enter|logout)/|^/api/session$")
        .replace("server {\n", &format!("server {{\n    listen 127.0.0.1:{port};\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_up_for_oauth2_proxy_stays_as_it_is() {
    let mut gateway = Gateway::new();
    let application = Application::start().await;
    let (port, folder) = (port(), TempDir::new().expect("a folder"));
    let site = format!("http://127.0.0.1:{port}");
    // The client is registered with oauth2-proxy's callback, and with no other.
    let op = OpenIdProvider::start(
        &json!([{
            "client_id": "gate", "client_secret": "a-secret-of-the-test-which-is-long",
            "redirect_uris": [format!("{}/oauth2/callback", gateway.url())],
            "post_logout_redirect_uris": [format!("{}/logged-out", gateway.url())],
        }]),
        &people(),
    );
    settings(&gateway);
    gateway.configure(&format!(
        "{policies}\
         [upstreams.op]\nissuer = \"{issuer}\"\nclient-id = \"gate\"\nclient-secret = \"a-secret-of-the-test-which-is-long\"\n\
         scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\ncallback-path = \"/oauth2/callback\"\n\n\
         [applications.app]\nurl = \"{site}/\"\nupstreams = [\"op\"]\nchain = {CHAIN:?}\n\
         [applications.app.forward-auth]\noauth2-proxy = true\nsession-endpoint = true\n",
        policies = policies(&CHAIN),
        issuer = op.issuer,
    ));
    gateway.start();
    let _nginx = Nginx::start(folder.path(), port, &nginx(port, gateway.port, application.port));

    let mut browser = Browser::new();
    // Nobody is known yet, and the page in place of the application's leads to the login.
    let nobody = browser.peek(&format!("{site}/api/session")).await;
    assert_eq!((nobody.status.as_u16(), &nobody.json()["error"]), (401, &json!("not-logged-in")));
    let page = browser.get(&format!("{site}/deep/link?x=1")).await;
    assert_eq!(page.status, 403, "{}", page.body);
    let link = page.body.split("href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a link");
    let link = link.replace("&#x2f;", "/");
    assert_eq!(link, "/oauth2/start?rd=%2Fdeep%2Flink%3Fx%3D1");
    let page = browser.get(&format!("{site}{link}")).await;
    assert!(page.url.as_str().starts_with(&op.issuer), "{} {}\n{}", page.status, page.url, page.body);
    let form = page.forms().into_iter().next().expect("a form");
    let page = browser.submit(&form.with("login", "alice").with("password", "any")).await;
    assert_eq!(page.status, 200, "{} {}\n{}", page.url, page.body, gateway.log());
    let told = page.json();
    assert_eq!(told["uri"], "/deep/link?x=1");
    assert_eq!(told["headers"]["x-user"], json!(["alice"]));
    assert_eq!(told["headers"]["x-email"], json!(["alice@example.test"]));
    assert_eq!(told["headers"]["x-groups"], json!(["jira-software-users"]));

    let userinfo = browser.peek(&format!("{site}/oauth2/userinfo")).await.json();
    assert_eq!(userinfo["user"], "alice");
    assert_eq!(userinfo["groups"], json!(["jira-software-users"]));
    // An application that asks for itself hears the same, and can prove it.
    let session = browser.peek(&format!("{site}/api/session")).await.json();
    assert_eq!(session["preferred_username"], "alice");
    assert_eq!(session["attributes"]["department"], "it");
    let keys = Browser::new().get(&format!("{}/.well-known/jwks.json", gateway.url())).await.json();
    let claims = crate::login::verify(session["token"].as_str().expect("a token"), &keys, "app");
    assert_eq!((&claims["sub"], &claims["groups"]), (&session["sub"], &session["groups"]));
    // The policies decide about each request, as ever.
    assert_eq!(browser.peek(&format!("{site}/hidden/x")).await.status, 403);

    browser.get(&format!("{site}/oauth2/sign_out?rd=%2F")).await;
    for path in ["/oauth2/userinfo", "/api/session"] {
        assert_eq!(browser.peek(&format!("{site}{path}")).await.status, 401, "{path}");
    }
    assert_eq!(browser.peek(&format!("{site}/deep/link")).await.status, 403);
}
