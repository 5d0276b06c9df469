//! The gateway as an OpenID provider, toward relying parties that others wrote.

use serde_json::{Value, json};
use vestibule_tests::{
    browser::{Browser, Page},
    peers::{Authlib, RelyingParty, client_key, port},
};

use crate::scene::{CHAIN, Scene, With};

/// A relying party's secret.
const SECRET: &str = "a-secret-of-a-relying-party-which-is-long";

/// An application that is the relying party `id` at `port` of `tenant`.
fn application(id: &str, tenant: &str, port: u16, more: &str) -> String {
    format!(
        "[applications.{id}]\ntenant = \"{tenant}\"\nurl = \"http://127.0.0.1:{port}/\"\nupstreams = [\"op\"]\n\
         chain = {CHAIN:?}\n[applications.{id}.oidc]\nredirect-uris = [\"http://127.0.0.1:{port}/cb\"]\n\
         post-logout-redirect-uris = [\"http://127.0.0.1:{port}/bye\"]\n{more}\n"
    )
}

fn settings(issuer: &str, id: &str, more: Value) -> Value {
    let mut settings = json!({
        "issuer": issuer, "client_id": id, "client_secret": SECRET, "scope": "openid profile email groups",
    });
    let (Some(all), Value::Object(more)) = (settings.as_object_mut(), more) else { panic!("objects") };
    all.extend(more);
    settings
}

async fn log_in(scene: &Scene, browser: &mut Browser, relying_party: &RelyingParty, name: &str) -> Page {
    let page = browser.get(&format!("{}/login", relying_party.url)).await;
    scene.sign_in(browser, page, name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_logs_in_renews_asks_and_takes_back() {
    let ports = [port(), port(), port()];
    let secret = format!("client-secret = \"{SECRET}\"");
    let renewing = format!("{secret}\ngrant-types = [\"authorization_code\", \"refresh_token\"]");
    let more = [
        application("renewing", "default", ports[0], &renewing),
        application("public", "default", ports[1], "id-token-algorithm = \"EdDSA\""),
        application("plain", "acme", ports[2], &format!("{secret}\nid-token-algorithm = \"RS256\"")),
    ];
    let scene = Scene::start_with(With::Nginx, &more.concat()).await;
    let issuer = scene.gateway.url();

    let renewing = RelyingParty::start(ports[0], settings(&issuer, "renewing", json!({})));
    let page = log_in(&scene, &mut Browser::new(), &renewing, "alice").await;
    assert_eq!(page.status, 200, "{} {}", page.url, page.body);
    let told = page.json();
    assert_eq!(told["claims"]["iss"], json!(issuer));
    assert_eq!(told["claims"]["preferred_username"], "alice");
    assert_eq!(told["claims"]["groups"], told["userinfo"]["groups"]);
    assert!(told["claims"]["groups"].as_array().is_some_and(|groups| groups.contains(&json!("jira-software-users"))));
    assert_eq!(told["refreshed"]["sub"], told["claims"]["sub"]);
    assert_eq!(told["active"], json!([true, true]));
    assert_eq!(told["revoked"], json!([false, false]));
    assert_eq!((&told["after_revocation"], &told["reused"]), (&json!("invalid_grant"), &json!("invalid_grant")));

    let more = json!({ "authentication": "none", "algorithm": "EdDSA" });
    let public = RelyingParty::start(ports[1], settings(&issuer, "public", more));
    let page = log_in(&scene, &mut Browser::new(), &public, "alice").await;
    assert_eq!((page.status.as_u16(), page.json()["claims"]["aud"].clone()), (200, json!("public")), "{}", page.body);

    // An organization's issuer has its name.
    let issuer = format!("{issuer}/acme");
    let more = json!({ "authentication": "client_secret_basic", "algorithm": "RS256" });
    let plain = RelyingParty::start(ports[2], settings(&issuer, "plain", more));
    let mut browser = Browser::new();
    let page = log_in(&scene, &mut browser, &plain, "alice").await;
    assert_eq!((page.status.as_u16(), page.json()["claims"]["iss"].clone()), (200, json!(issuer)), "{}", page.body);
    // Whoever is refused is told so by the relying party's own page.
    let page = log_in(&scene, &mut Browser::new(), &plain, "mallory").await;
    assert!(page.url.as_str().contains("error=access_denied"), "{}", page.url);
    // And a logout there ends here, and comes back.
    let page = browser.get(&format!("{}/logout", plain.url)).await;
    let page = match page.forms().into_iter().find(|form| form.action.as_str().starts_with(&scene.op.issuer)) {
        Some(form) => browser.submit(&form.with("logout", "yes")).await,
        None => page,
    };
    assert!(page.url.as_str().starts_with(&format!("{}/bye", plain.url)), "{} {}", page.url, page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_granted_ends_with_the_session_at_the_upstream() {
    let port = port();
    let more = format!("client-secret = \"{SECRET}\"\ngrant-types = [\"authorization_code\", \"refresh_token\"]");
    let scene = Scene::start_with(With::Nginx, &application("renewing", "default", port, &more)).await;
    let keep = json!({ "keep": true });
    let relying_party = RelyingParty::start(port, settings(&scene.gateway.url(), "renewing", keep));
    let mut browser = Browser::new();
    let told = log_in(&scene, &mut browser, &relying_party, "alice").await.json();
    let token = told["refresh_token"].as_str().expect("a refresh token");
    scene.log_out_upstream(&mut browser).await;
    scene.gateway.wait_for("that the session ended", |event| event["input"]["method"] == "back-channel-logout").await;
    let refused = Browser::new().peek(&format!("{}/refresh?token={token}", relying_party.url)).await.json();
    assert_eq!(refused["refused"], "invalid_grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_proves_itself_with_a_key_in_place_of_a_secret() {
    let ports = [port(), port()];
    let [(ec, ec_public), (rsa, rsa_public)] = ["ES256", "RS256"].map(client_key);
    let more = [
        application(
            "keyed",
            "default",
            ports[0],
            &format!("grant-types = [\"authorization_code\", \"refresh_token\"]\npublic-key = '{ec_public}'"),
        ),
        application("acme-keyed", "acme", ports[1], &format!("public-key = '{}'", json!({ "keys": [rsa_public] }))),
    ];
    let scene = Scene::start_with(With::Nginx, &more.concat()).await;
    let issuer = scene.gateway.url();

    // At the token, the introspection and the revocation endpoint.
    let more = json!({ "authentication": "private_key_jwt", "key": ec });
    let keyed = RelyingParty::start(ports[0], settings(&issuer, "keyed", more));
    let page = log_in(&scene, &mut Browser::new(), &keyed, "alice").await;
    let told = page.json();
    assert_eq!((&told["claims"]["aud"], &told["active"]), (&json!("keyed"), &json!([true, true])), "{told}");
    assert_eq!((&told["revoked"], &told["reused"]), (&json!([false, false]), &json!("invalid_grant")));
    let methods = &told["server"]["token_endpoint_auth_methods_supported"];
    assert!(methods.as_array().is_some_and(|methods| methods.contains(&json!("private_key_jwt"))), "{methods}");

    let issuer = format!("{issuer}/acme");
    let more = json!({ "authentication": "private_key_jwt", "key": rsa });
    let good = RelyingParty::start(ports[1], settings(&issuer, "acme-keyed", more));
    let page = log_in(&scene, &mut Browser::new(), &good, "alice").await;
    assert_eq!(page.json()["claims"]["iss"], json!(issuer), "{}", page.body);
    drop(good);
    // Another key, and a secret where none was registered.
    let (other, _) = client_key("RS256");
    for more in [json!({ "authentication": "private_key_jwt", "key": other }), json!({})] {
        let pretender = RelyingParty::start(ports[1], settings(&issuer, "acme-keyed", more));
        let page = log_in(&scene, &mut Browser::new(), &pretender, "alice").await;
        assert!(page.status == 500 && page.body.contains("invalid_client"), "{}", page.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_pushes_its_requests_and_a_browser_cannot_change_them() {
    let ports = [port(), port()];
    let (key, public_key) = client_key("ES256");
    let more = [
        application(
            "pushing",
            "default",
            ports[0],
            &format!("require-pushed-authorization-requests = true\npublic-key = '{public_key}'"),
        ),
        application("acme-public", "acme", ports[1], ""),
    ];
    let scene = Scene::start_with(With::Nginx, &more.concat()).await;
    let issuer = scene.gateway.url();
    let more = json!({ "authentication": "private_key_jwt", "key": key, "pushes": true });
    let pushing = RelyingParty::start(ports[0], settings(&issuer, "pushing", more));
    let page = log_in(&scene, &mut Browser::new(), &pushing, "alice").await;
    let told = page.json();
    assert_eq!((page.status.as_u16(), &told["claims"]["aud"]), (200, &json!("pushing")), "{told}");
    assert!(told["claims"]["groups"].as_array().is_some_and(|groups| groups.contains(&json!("jira-software-users"))));

    // What the browser carries is an address and nothing else, and it is good once.
    let mut browser = Browser::new();
    let begun = browser.peek(&format!("{}/login", pushing.url)).await;
    let to = begun.header("location").to_owned();
    assert!(to.contains("request_uri=urn%3A") && !to.contains("redirect_uri") && !to.contains("scope"), "{to}");
    let first = browser.get(&format!("{to}&scope=openid&redirect_uri=https%3A%2F%2Fevil.example%2F")).await;
    assert!(first.url.as_str().starts_with(&scene.op.issuer), "{} {}", first.url, first.body);
    let again = browser.get(&to).await;
    assert!(again.status == 400 && again.body.contains("request-uri-unknown"), "{} {}", again.status, again.body);
    let page = scene.sign_in(&mut browser, first, "alice").await;
    assert_eq!(page.status, 200, "{} {}", page.url, page.body);

    // By a query it gets nothing.
    let query = format!(
        "client_id=pushing&response_type=code&scope=openid&redirect_uri=http%3A%2F%2F127.0.0.1%3A{}%2Fcb",
        ports[0]
    );
    let refused = Browser::new().peek(&format!("{issuer}/oidc/authorize?{query}")).await;
    assert!(refused.header("location").contains("error=invalid_request"), "{refused:?}");

    let more = json!({ "authentication": "none", "pushes": true });
    let public = RelyingParty::start(ports[1], settings(&format!("{issuer}/acme"), "acme-public", more));
    let page = log_in(&scene, &mut Browser::new(), &public, "alice").await;
    assert_eq!((page.status.as_u16(), &page.json()["claims"]["aud"]), (200, &json!("acme-public")), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_proves_a_key_and_a_thief_of_its_tokens_gets_nothing() {
    let ports = [port(), port()];
    let renewing = "grant-types = [\"authorization_code\", \"refresh_token\"]";
    let must = format!("{renewing}\ndpop-bound-access-tokens = true");
    let more = [
        application("proving", "default", ports[0], &format!("{must}\nclient-secret = \"{SECRET}\"")),
        application("public", "acme", ports[1], renewing),
    ];
    let scene = Scene::start_with(With::Nginx, &more.concat()).await;
    let issuer = scene.gateway.url();

    let more = json!({ "dpop": "ES256", "pushes": true });
    let proving = RelyingParty::start(ports[0], settings(&issuer, "proving", more));
    let told = log_in(&scene, &mut Browser::new(), &proving, "alice").await.json();
    assert_eq!((&told["type"], &told["userinfo"]["sub"]), (&json!("dpop"), &told["claims"]["sub"]), "{told}");
    let algorithms = &told["server"]["dpop_signing_alg_values_supported"];
    assert!(algorithms.as_array().is_some_and(|all| all.contains(&json!("ES256"))), "{algorithms}");
    assert_eq!(told["stolen"], json!([401, true]));
    assert_eq!((&told["active"], &told["reused"]), (&json!([true, true]), &json!("invalid_grant")), "{told}");
    drop(proving);
    // Without a key it gets nothing.
    let plain = RelyingParty::start(ports[0], settings(&issuer, "proving", json!({})));
    let page = log_in(&scene, &mut Browser::new(), &plain, "alice").await;
    assert!(page.status == 500 && page.body.contains("invalid_dpop_proof"), "{}", page.body);

    // A public client's refresh token is bound; who tries it with another key takes it from both.
    let issuer = format!("{issuer}/acme");
    let more = json!({ "dpop": "ES256", "authentication": "none", "thief": true });
    let public = RelyingParty::start(ports[1], settings(&issuer, "public", more));
    let told = log_in(&scene, &mut Browser::new(), &public, "alice").await.json();
    assert_eq!((&told["thief"], &told["owner"]), (&json!("invalid_grant"), &json!("invalid_grant")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_to_choose_an_account_is_not_logged_in_where_the_upstream_lets_nobody() {
    let port = port();
    let more = application("web", "default", port, &format!("client-secret = \"{SECRET}\""));
    let scene = Scene::start_where_prompts_are(&["none", "login", "consent"], &more).await;
    let rp = RelyingParty::start(port, settings(&scene.gateway.url(), "web", json!({})));
    let mut browser = Browser::new();
    assert_eq!(log_in(&scene, &mut browser, &rp, "alice").await.status, 200);
    let page = browser.get(&format!("{}/login?prompt=select_account", rp.url)).await;
    let url = page.url.as_str();
    assert!(url.starts_with(&rp.url) && url.contains("error=account_selection_required"), "{url} {}", page.body);
    assert!(browser.trail.iter().all(|page| !page.url.as_str().starts_with(&scene.op.issuer)), "went upstream");
    // What it does know is passed on, and without a wish there is single sign-on.
    let page = browser.get(&format!("{}/login?prompt=login", rp.url)).await;
    assert!(page.url.as_str().starts_with(&scene.op.issuer), "{}", page.url);
    assert_eq!(browser.get(&format!("{}/login", rp.url)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn authlib_logs_in_renews_and_takes_back_with_a_secret_and_with_a_key() {
    let ports = [port(), port()];
    let (key, public_key) = client_key("ES256");
    let renewing = "grant-types = [\"authorization_code\", \"refresh_token\"]";
    let more = [
        application("lib", "default", ports[0], &format!("{renewing}\nclient-secret = \"{SECRET}\"")),
        application("keyed", "acme", ports[1], &format!("{renewing}\npublic-key = '{public_key}'")),
    ];
    let scene = Scene::start_with(With::Nginx, &more.concat()).await;
    let issuer = scene.gateway.url();
    for (port, id, issuer, more) in [
        (ports[0], "lib", issuer.clone(), json!({})),
        (ports[1], "keyed", format!("{issuer}/acme"), json!({ "key": key })),
    ] {
        let authlib = Authlib::start(port, settings(&issuer, id, more));
        let mut browser = Browser::new();
        let page = browser.get(&format!("{}/login", authlib.url)).await;
        let page = scene.sign_in(&mut browser, page, "alice").await;
        assert_eq!(page.status, 200, "{} {}", page.url, page.body);
        let told = page.json();
        assert_eq!((&told["claims"]["iss"], &told["claims"]["aud"]), (&json!(issuer), &json!(id)), "{told}");
        assert_eq!((&told["userinfo"]["preferred_username"], &told["renewed"]), (&json!("alice"), &json!(true)));
        assert_eq!(told["refreshed"]["sub"], told["claims"]["sub"]);
        assert_eq!((&told["revoked"], &told["afterwards"]), (&json!(200), &json!(401)), "{told}");
        assert_eq!(told["reused"], "invalid_grant");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_once_what_a_relying_party_may_be_told() {
    let port = port();
    let more = format!("client-secret = \"{SECRET}\"\nconsent = true\n[consent]\nfile = \"consents\"");
    let mut scene = Scene::start_with(With::Nginx, &application("asks", "default", port, &more)).await;
    let relying_party = RelyingParty::start(port, settings(&scene.gateway.url(), "asks", json!({})));
    let url = relying_party.url.clone();
    let begin = |more: &str| format!("{url}/login{more}");
    let asks = |page: &Page| page.url.path() == "/oidc/consent" && page.status == 200;

    let mut browser = Browser::new();
    let page = log_in(&scene, &mut browser, &relying_party, "alice").await;
    assert!(asks(&page) && page.body.contains("asks") && page.body.contains("alice"), "{} {}", page.url, page.body);
    let question = page.url.clone();
    assert!(!asks(&Browser::new().get(question.as_str()).await), "another browser sees nothing");
    assert!(asks(&browser.get(question.as_str()).await), "looked at twice it is the same");
    let form = page.forms().into_iter().next().expect("a form");
    let page = browser.submit(&form.clone().with("answer", "no")).await;
    assert!(page.url.as_str().contains("error=access_denied"), "{}", page.url);
    let page = browser.submit(&form.with("answer", "yes")).await;
    assert!(page.status == 400 && page.body.contains("consent-over"), "{} {}", page.url, page.body);

    let page = browser.get(&begin("?prompt=none")).await;
    assert!(page.url.as_str().contains("error=consent_required"), "{}", page.url);
    let page = browser.get(&begin("")).await;
    let form = page.forms().into_iter().next().expect("a form");
    let told = browser.submit(&form.with("answer", "yes")).await.json();
    assert_eq!(told["claims"]["aud"], "asks");
    // Not again, not even after a restart; until the client wants it, or another person comes.
    assert_eq!(browser.get(&begin("?prompt=none")).await.json()["claims"]["aud"], "asks");
    scene.gateway.stop();
    scene.gateway.start();
    assert_eq!(browser.get(&begin("")).await.json()["claims"]["aud"], "asks");
    assert!(asks(&browser.get(&begin("?prompt=consent")).await));
    assert!(asks(&log_in(&scene, &mut Browser::new(), &relying_party, "bob").await));
    let kept = std::fs::read_to_string(scene.gateway.path("consents")).expect("the answers");
    // The start left out the no that a yes took the place of.
    assert!(!kept.contains("alice") && kept.lines().count() == 1, "{kept}");
    let (given, refused) = (scene.gateway.events("consent.given"), scene.gateway.events("consent.refused"));
    assert_eq!((given.len(), refused.len()), (1, 1));
    // Whoever is to choose an account chooses at the upstream.
    let page = browser.get(&begin("?prompt=select_account")).await;
    assert!(page.url.as_str().starts_with(&scene.op.issuer), "{} {}", page.url, page.body);
}
