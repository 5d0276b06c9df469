//! Registering relying parties while the gateway runs, as an administrator's script does.

use std::process::Command;

use serde_json::{Value, json};
use vestibule_tests::{
    browser::Browser,
    gateway::Gateway,
    peers::{RelyingParty, port},
    process::vestibule,
};

use crate::scene::{CHAIN, Scene, With};

/// What administrators have written down, byte for byte.
const WRITTEN_DOWN: &str = r#"{
"client_id": "atlassian",
"client_name": "Jira + Confluence",
"grant_types": ["authorization_code", "refresh_token"],
"redirect_uris": [
"https://jira.acme.eu/plugins/servlet/oidc/callback",
"https://confluence.acme.eu/plugins/servlet/oidc/callback"
],
"scopes": ["openid", "profile", "email", "groups"],
"token_endpoint_auth_method": "client_secret_post"
}"#;

/// An administrator's token and its hash.
fn token() -> (String, String) {
    let made = Command::new(vestibule()).args(["tokens", "generate", "--json"]).output().expect("a program");
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    (made["token"].as_str().expect("a token").to_owned(), made["hash"].as_str().expect("a hash").to_owned())
}

/// Two organizations, each with an administrator.
async fn scene() -> (Scene, [String; 2]) {
    let (tokens, tables): (Vec<String>, Vec<String>) = ["acme", "other"]
        .map(|id| {
            let (token, hash) = token();
            let tables = format!(
                "[organizations.{id}]\nclient-application = \"{id}\"\nclients-file = \"clients-{id}.json\"\n\
                 admin-tokens = [\"{hash}\"]\n[applications.{id}]\ntenant = \"{id}\"\nurl = \"http://127.0.0.1:1/\"\n\
                 upstreams = [\"op\"]\nchain = {CHAIN:?}\n[applications.{id}.oidc]\n\
                 redirect-uris = [\"http://127.0.0.1:1/cb\"]\n"
            );
            (token, tables)
        })
        .into_iter()
        .unzip();
    let tokens = tokens.try_into().expect("two");
    (Scene::start_with(With::Nginx, &tables.concat()).await, tokens)
}

/// What `curl` gets: status and body.
fn curl(gateway: &Gateway, method: &str, path: &str, token: &str, body: Option<&str>) -> (u16, Value) {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--write-out", "\n%{http_code}", "-X", method])
        .arg(format!("{}/api/v1/organizations/{path}", gateway.url()))
        .args(["-H", &format!("Authorization: Bearer {token}"), "-H", "Content-Type: application/json"]);
    if let Some(body) = body {
        command.args(["-d", body]);
    }
    let said = String::from_utf8(command.output().expect("curl").stdout).expect("text");
    let (body, status) = said.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_that_administrators_have_written_down_works_as_it_stands() {
    let (mut scene, [token, other]) = scene().await;
    let (status, told) = curl(&scene.gateway, "POST", "acme/clients", &token, Some(WRITTEN_DOWN));
    assert_eq!(status, 201, "{told}");
    assert_eq!((&told["client_id"], &told["client_name"]), (&json!("atlassian"), &json!("Jira + Confluence")));
    assert_eq!(told["redirect_uris"][1], "https://confluence.acme.eu/plugins/servlet/oidc/callback");
    let secret = told["client_secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("cs_") && secret.len() > 40, "{secret}");

    // Once; and by nobody else.
    assert_eq!(curl(&scene.gateway, "POST", "acme/clients", &token, Some(WRITTEN_DOWN)).0, 409);
    for (organization, token) in [("acme", other.as_str()), ("acme", "vat_x"), ("acme", ""), ("nowhere", &token)] {
        let (status, told) = curl(&scene.gateway, "POST", &format!("{organization}/clients"), token, Some("{}"));
        assert_eq!((status, &told["error"]), (401, &json!("invalid_token")), "{organization}");
        assert_eq!(curl(&scene.gateway, "GET", &format!("{organization}/clients"), token, None).0, 401);
        assert_eq!(curl(&scene.gateway, "DELETE", &format!("{organization}/clients/atlassian"), token, None).0, 401);
    }

    // The secret is nowhere but there.
    let kept = std::fs::read_to_string(scene.gateway.path("clients-acme.json")).expect("the clients");
    let record = std::fs::read_to_string(scene.gateway.path("audit.jsonl")).expect("the record");
    for text in [&kept, &record, &scene.gateway.log()] {
        assert!(!text.contains(&secret) && !text.contains(&token));
    }
    let recorded = scene.gateway.events("client.registered");
    assert_eq!((recorded.len(), &recorded[0]["outcome"]["client"]), (1, &json!("atlassian")));

    // It is there after a restart, and gone when it is taken out.
    scene.gateway.stop();
    scene.gateway.start();
    let (status, told) = curl(&scene.gateway, "GET", "acme/clients/atlassian", &token, None);
    assert_eq!((status, &told["client_id"]), (200, &json!("atlassian")));
    assert!(told.get("client_secret").is_none() && !told.to_string().contains("sha256"), "{told}");
    assert_eq!(curl(&scene.gateway, "GET", "other/clients/atlassian", &other, None).0, 404);
    assert_eq!(curl(&scene.gateway, "DELETE", "acme/clients/atlassian", &token, None).0, 204);
    assert_eq!(curl(&scene.gateway, "DELETE", "acme/clients/atlassian", &token, None).0, 404);
    assert_eq!(scene.gateway.events("client.removed").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_client_is_decided_on_by_the_organizations_policies() {
    let (scene, [token, _]) = scene().await;
    let port = port();
    let body = json!({
        "client_id": "new", "redirect_uris": [format!("http://127.0.0.1:{port}/cb")],
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "client_secret_post",
    });
    let (status, told) = curl(&scene.gateway, "POST", "acme/clients", &token, Some(&body.to_string()));
    assert_eq!(status, 201, "{told}");
    let issuer = format!("{}/acme", scene.gateway.url());
    let settings = json!({
        "issuer": issuer, "client_id": "new", "client_secret": told["client_secret"],
        "scope": "openid profile email groups",
    });
    let relying_party = RelyingParty::start(port, settings);
    let page = Browser::new().get(&format!("{}/login", relying_party.url)).await;
    let mut browser = Browser::new();
    assert!(page.url.as_str().starts_with(&scene.op.issuer), "{} {}", page.url, page.body);
    let page = browser.get(&format!("{}/login", relying_party.url)).await;
    let page = scene.sign_in(&mut browser, page, "alice").await;
    let told = page.json();
    assert_eq!((&told["claims"]["iss"], &told["claims"]["aud"]), (&json!(issuer), &json!("new")), "{told}");
    assert_eq!(told["reused"], "invalid_grant");
    let mut browser = Browser::new();
    let page = browser.get(&format!("{}/login", relying_party.url)).await;
    let page = scene.sign_in(&mut browser, page, "mallory").await;
    assert!(page.url.as_str().contains("error=access_denied"), "{}", page.url);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_where_a_registered_client_wants_it_over_the_upstream_and_over_the_question() {
    let (scene, [token, _]) = scene().await;
    let port = port();
    let own = format!("http://127.0.0.1:{port}");
    let body = json!({
        "client_id": "new", "redirect_uris": [format!("{own}/cb")], "post_logout_redirect_uris": [format!("{own}/bye")],
        "token_endpoint_auth_method": "client_secret_post",
    });
    let (status, told) = curl(&scene.gateway, "POST", "acme/clients", &token, Some(&body.to_string()));
    assert_eq!(status, 201, "{told}");
    let issuer = format!("{}/acme", scene.gateway.url());
    let settings =
        json!({ "issuer": issuer, "client_id": "new", "client_secret": told["client_secret"], "scope": "openid" });
    let relying_party = RelyingParty::start(port, settings);
    let asks = format!(
        "{issuer}/oidc/logout?client_id=new&state=s1&post_logout_redirect_uri={}",
        format!("{own}/bye").replace(':', "%3A").replace('/', "%2F")
    );
    for (to, end) in [(format!("{own}/logout"), "/bye"), (asks, "/bye?state=s1")] {
        let mut browser = Browser::new();
        let page = browser.get(&format!("{}/login", relying_party.url)).await;
        let page = scene.sign_in(&mut browser, page, "alice").await;
        assert_eq!(page.status, 200, "{}", page.body);
        let mut page = browser.get(&to).await;
        // Ours asks where no token proves who wants it, the upstream's in any case.
        for _ in 0..2 {
            if let Some(form) = page.forms().into_iter().next() {
                let form =
                    if form.action.as_str().starts_with(&scene.op.issuer) { form.with("logout", "yes") } else { form };
                page = browser.submit(&form).await;
            }
        }
        assert_eq!(page.url.as_str(), format!("{own}{end}"), "{}", page.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a06_a07_a_registration_that_is_wrong_is_told_which_field_and_why() {
    let (scene, [token, _]) = scene().await;
    let good = "https://rp.example/cb";
    for (body, field) in [
        (json!({ "redirect_uris": ["javascript:alert(1)"] }), "redirect_uris[0]"),
        (json!({ "redirect_uris": [good, "data:text/html,x"] }), "redirect_uris[1]"),
        (json!({ "redirect_uris": ["http://rp.example/cb"] }), "redirect_uris[0]"),
        (json!({ "redirect_uris": ["https://a@b@evil.example/"] }), "redirect_uris[0]"),
        (json!({ "redirect_uris": ["https://rp.example/cb#x"] }), "redirect_uris[0]"),
        (json!({ "redirect_uris": ["https://*.rp.example/cb"] }), "redirect_uris[0]"),
        (json!({ "redirect_uris": ["HTTPS://RP.example/cb"] }), "redirect_uris[0]"),
        (json!({ "redirect_uris": [good], "post_logout_redirect_uris": ["/x"] }), "post_logout_redirect_uris[0]"),
        (json!({ "redirect_uris": [good], "backchannel_logout_uri": "/x" }), "backchannel_logout_uri"),
        (
            json!({ "redirect_uris": [good], "backchannel_logout_session_required": true }),
            "backchannel_logout_session_required",
        ),
        (json!({ "redirect_uris": [] }), "redirect_uris"),
        (json!({}), "redirect_uris"),
        (json!({ "redirect_uris": [good], "grant_types": ["password"] }), "grant_types"),
        (json!({ "redirect_uris": [good], "grant_types": ["refresh_token"] }), "grant_types"),
        (json!({ "redirect_uris": [good], "scopes": ["openid", "admin"] }), "scopes"),
        (json!({ "redirect_uris": [good], "token_endpoint_auth_method": "private_key_jwt" }), "jwks"),
        (
            json!({ "redirect_uris": [good], "token_endpoint_auth_method": "client_secret_jwt" }),
            "token_endpoint_auth_method",
        ),
        (json!({ "redirect_uris": [good], "client_id": "a b" }), "client_id"),
        (json!({ "redirect_uris": [good], "client_id": 7 }), "client_id"),
        (json!({ "redirect_uris": good }), "redirect_uris"),
        (json!({ "redirect_uris": [good], "client_uri": good }), "client_uri"),
    ] {
        let (status, told) = curl(&scene.gateway, "POST", "acme/clients", &token, Some(&body.to_string()));
        assert_eq!((status, &told["field"]), (400, &json!(field)), "{body}: {told}");
        assert!(told["error_description"].as_str().is_some_and(|text| text.len() > field.len() + 8), "{told}");
    }
    for body in ["", "{", "[]", "\"x\""] {
        assert_eq!(curl(&scene.gateway, "POST", "acme/clients", &token, Some(body)).0, 400, "{body}");
    }
    assert!(!scene.gateway.path("clients-acme.json").exists(), "nothing was kept");
    assert!(scene.gateway.events("client.registered").is_empty());
}
