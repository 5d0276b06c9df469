//! One login, all the way, through each proxy.

use http::Method;
use serde_json::Value;
use url::Url;
use vestibule_tests::browser::Browser;

use crate::scene::{Scene, With};

async fn a_login_reaches_the_application(with: With) {
    let scene = Scene::start(with).await;
    let mut browser = Browser::new();
    let page = scene.log_in(&mut browser, "alice").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let told = page.json();
    assert_eq!(told["application"], true);
    let header = |name: &str| told["headers"][name][0].as_str().unwrap_or_default().to_owned();
    assert_eq!(header("x-forwarded-user"), "alice");
    assert_eq!(header("x-forwarded-email"), "alice@example.test");
    assert_eq!(header("x-forwarded-groups"), "jira-software-users");

    // The assertion is a JWT that verifies with the published keys.
    let keys = Browser::new().get(&format!("{}/.well-known/jwks.json", scene.gateway.url())).await.json();
    let claims = verify(&header("x-vestibule-assertion"), &keys, "app");
    assert_eq!(claims["preferred_username"], "alice");
    assert_eq!(claims["email"], "alice@example.test");
    assert_eq!(claims["attributes"]["department"], "it");

    // The next request needs no login.
    let again = browser.peek(&format!("{}/page?x=1", scene.site)).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["uri"], "/page?x=1");

    // Everything was recorded, and the record holds.
    let decided = scene.gateway.events("decision.login");
    assert_eq!(decided.len(), 1, "{decided:?}");
    assert_eq!(decided[0]["granted"], true);
    let (code, output, errors) = scene.gateway.run(&["audit", "verify", "audit.jsonl", "--json"]);
    assert_eq!(code, 0, "{output}{errors}");
    // Who it was is not in the record in clear, nor in the log.
    for text in [std::fs::read_to_string(scene.gateway.path("audit.jsonl")).unwrap(), scene.gateway.log()] {
        assert!(!text.contains("alice@example.test"), "{text}");
        assert!(!text.contains("Ångström"), "{text}");
    }
}

pub(crate) fn verify(jwt: &str, keys: &Value, audience: &str) -> Value {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
    let keys: JwkSet = serde_json::from_value(keys.clone()).expect("a key set");
    let header = decode_header(jwt).expect("a JWT");
    let key = keys.find(&header.kid.expect("a kid")).expect("the key");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[audience]);
    decode::<Value>(jwt, &DecodingKey::from_jwk(key).expect("a key"), &validation).expect("a valid JWT").claims
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_through_nginx_reaches_the_application() {
    a_login_reaches_the_application(With::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_through_traefik_reaches_the_application() {
    a_login_reaches_the_application(With::Traefik).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_through_caddy_reaches_the_application() {
    a_login_reaches_the_application(With::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_through_envoy_reaches_the_application() {
    a_login_reaches_the_application(With::Envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_through_haproxy_reaches_the_application() {
    a_login_reaches_the_application(With::HaProxy).await;
}

/// A session in use lives on: what the gateway renews reaches the browser through the proxy.
async fn a_renewed_session_reaches_the_browser(with: With) {
    let scene = Scene::start(with).await;
    // Due after a sixteenth of the idle time: a second.
    scene.gateway.write("settings/session-terms.toml", "lifetime-s = 3600\nidle-s = 16\n");
    scene
        .gateway
        .wait_for("that the settings are in force", |event| {
            event["kind"] == "generation.swapped" && event["outcome"]["generation"] == 2
        })
        .await;
    let mut browser = Browser::new();
    assert_eq!(scene.log_in(&mut browser, "alice").await.status, 200);
    let held = browser.cookies("127.0.0.1")["vestibule-app-app"].clone();
    let mut renewed = held.clone();
    for _ in 0..50 {
        let page = browser.peek(&format!("{}/page", scene.site)).await;
        assert_eq!(page.status, 200, "{}", page.body);
        // Nothing but whole cookies: an empty one would be a mistake of the proxy's set-up.
        for line in page.headers.get_all("set-cookie") {
            assert!(line.to_str().is_ok_and(|line| line.starts_with("vestibule-app-app")), "{line:?}");
        }
        renewed = browser.cookies("127.0.0.1")["vestibule-app-app"].clone();
        if renewed != held {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_ne!(renewed, held, "the session was not renewed");
    assert_eq!(browser.peek(&format!("{}/page", scene.site)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_session_reaches_the_browser_through_nginx() {
    a_renewed_session_reaches_the_browser(With::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_session_reaches_the_browser_through_traefik() {
    a_renewed_session_reaches_the_browser(With::Traefik).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_session_reaches_the_browser_through_caddy() {
    a_renewed_session_reaches_the_browser(With::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_session_reaches_the_browser_through_envoy() {
    a_renewed_session_reaches_the_browser(With::Envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_session_reaches_the_browser_through_haproxy() {
    a_renewed_session_reaches_the_browser(With::HaProxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_subject_gets_what_the_policies_say() {
    let scene = Scene::start(With::Nginx).await;
    for (name, status, what) in [
        ("bob", 200, "everybody"),
        // No group claim at all: not even a list, and still a default group.
        ("nogroups", 200, "everybody"),
        ("mallory", 403, "domain-not-allowed"),
        ("unverified", 403, "email-not-verified"),
        ("noverified", 403, "email-not-verified"),
        ("twoats", 403, "invalid-email"),
        ("trailing", 403, "invalid-email"),
    ] {
        let mut browser = Browser::new();
        let page = scene.log_in(&mut browser, name).await;
        assert_eq!(page.status, status, "{name}: {}", page.body);
        if status == 200 {
            assert_eq!(page.json()["headers"]["x-forwarded-groups"][0], what, "{name}");
        } else {
            assert_eq!(page.header("x-vestibule-reason"), what, "{name}: {}", page.body);
            let denied = scene.gateway.events("decision.login").pop().expect("an event");
            assert_eq!(denied["granted"], false);
            // Refused is refused: nothing in the jar opens the application.
            let tried = browser.peek(&format!("{}/", scene.site)).await;
            assert_ne!(tried.status, 200, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_application_is_entered_without_a_second_login_and_a_logout_ends_both() {
    let scene = Scene::start(With::Nginx).await;
    let mut browser = Browser::new();
    assert_eq!(scene.log_in(&mut browser, "alice").await.status, 200);
    // The application's own session is gone; the gateway's is not.
    browser.jar.retain(|(name, ..), _| !name.starts_with("vestibule-app-app"));
    let page = browser.get(&format!("{}/", scene.site)).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(browser.trail.iter().all(|page| !page.url.as_str().starts_with(&scene.op.issuer)), "went upstream");
    assert_eq!(scene.gateway.events("decision.login").len(), 2, "each session has a decision of its own");

    let held = browser.cookies("127.0.0.1");
    let out = browser.get(&format!("{}/vestibule/logout/app", scene.site)).await;
    assert_eq!(out.status, 200, "{} {}", out.url, out.body);
    // A copy of the session's cookies opens nothing afterwards.
    let cookie = held.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let mut thief = Browser::new();
    thief.headers.push(("cookie".into(), cookie));
    let tried = thief.peek(&format!("{}/", scene.site)).await;
    assert_ne!(tried.status, 200, "{}", tried.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_the_session_at_the_upstream_too() {
    let scene = Scene::start(With::Nginx).await;
    let mut browser = Browser::new();
    assert_eq!(scene.log_in(&mut browser, "alice").await.status, 200);
    let page = browser.get(&format!("{}/vestibule/logout/app", scene.site)).await;
    // oidc-provider asks the person whether to log out there, too, in a form.
    let page = match page.forms().into_iter().find(|form| form.action.as_str().starts_with(&scene.op.issuer)) {
        Some(form) => browser.submit(&form.with("logout", "yes")).await,
        None => page,
    };
    assert_eq!(page.status, 200, "{} {}", page.url, page.body);
    assert_eq!(page.url.path(), "/logged-out", "{}", page.body);
    let page = browser.get(&format!("{}/", scene.site)).await;
    assert!(page.url.as_str().starts_with(&scene.op.issuer), "still logged in: {}", page.url);
    assert!(page.body.contains("password"), "the upstream's session lives on: {}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_hook_is_asked_for_its_paths() {
    let scene = Scene::start(With::Nginx).await;
    let mut browser = Browser::new();
    assert_eq!(scene.log_in(&mut browser, "alice").await.status, 200);
    // The provider did not say when the subject authenticated; asked with `max_age` it does,
    // and the login is fresh enough.
    let fresh = browser.get(&format!("{}/admin/x", scene.site)).await;
    assert_eq!(fresh.status, 200, "{} {:?}", fresh.url, scene.gateway.events("decision.access"));
    assert!(browser.trail.iter().any(|page| page.url.query().is_some_and(|query| query.contains("max_age=600"))));
    assert_eq!(browser.peek(&format!("{}/admin/y", scene.site)).await.status, 200);
    for path in ["/hidden/x", "//hidden/x", "/./hidden/x", "/public/../hidden/x", "/hidden/./y", "/%68idden/x"] {
        let page = browser.peek(&format!("{}{path}", scene.site)).await;
        assert_ne!(page.status, 200, "{path}: {}", page.body);
    }
    let denied = scene.gateway.events("decision.access");
    assert!(denied.iter().any(|event| event["granted"] == false), "{denied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stronger_login_is_asked_of_the_upstream_and_a_weaker_answer_ends_with_a_page() {
    let scene = Scene::start_with(With::Nginx, "").await;
    scene.gateway.write("settings/admin-reauth.toml", "admin-paths = [\"/admin/*\"]\nacr-values = [\"gold\"]\n");
    scene
        .gateway
        .wait_for("that the settings are in force", |event| {
            event["kind"] == "generation.swapped" && event["outcome"]["generation"] == 2
        })
        .await;
    // Alice authenticates as strongly as that, Bob does not, and says so.
    for (name, status, reason) in [("alice", 200, ""), ("bob", 502, "acr-not-met")] {
        let mut browser = Browser::new();
        assert_eq!(scene.log_in(&mut browser, name).await.status, 200);
        let page = browser.get(&format!("{}/admin/x", scene.site)).await;
        let asked =
            |text: &str| browser.trail.iter().any(|page| page.url.query().is_some_and(|query| query.contains(text)));
        assert!(asked("acr_values=gold") && asked("max_age=600"), "{name}");
        assert_eq!((page.status.as_u16(), page.header("x-vestibule-reason")), (status, reason), "{name}: {}", page.url);
        assert_eq!(browser.peek(&format!("{}/page", scene.site)).await.status, 200, "{name}: the session goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_behind_nginx_shows_its_reason_and_its_reference() {
    let scene = Scene::start(With::Nginx).await;
    let mut browser = Browser::new();
    scene.log_in(&mut browser, "alice").await;
    let page = browser.get(&format!("{}/hidden/page", scene.site)).await;
    assert_eq!(page.status, 403, "{}", page.body);
    let reference = page.body.split("Reference: ").nth(1).and_then(|rest| rest.split('.').next()).unwrap_or_default();
    let audit = std::fs::read_to_string(scene.gateway.path("audit.jsonl")).expect("the record");
    assert!(page.body.contains("Reason: path-hidden."), "{}", page.body);
    assert!(reference.len() == 16 && audit.contains(&format!("\"request\":\"{reference}\"")), "{}", page.body);
    // A script is told in a word, whichever way it says that it is one.
    for header in [("sec-fetch-mode", "cors"), ("x-requested-with", "XMLHttpRequest")] {
        let url = Url::parse(&scene.site).expect("an address");
        assert_eq!(Browser::new().request(Method::GET, &url, None, &[header]).await.status, 401, "{header:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_to_the_application_is_left_for_its_own_paths_only() {
    let scene = Scene::start(With::Nginx).await;
    scene.gateway.write(
        "settings/redirection-rules.toml",
        "[[areas]]\nname = \"portal\"\npath = [{ glob = \"/portal/*\" }]\nsso = false\n",
    );
    scene
        .gateway
        .wait_for("that the settings are in force", |event| {
            event["kind"] == "generation.swapped" && event["outcome"]["generation"] == 2
        })
        .await;
    let mut browser = Browser::new();
    let portal = browser.get(&format!("{}/portal/ticket", scene.site)).await;
    assert_eq!(portal.status, 200, "{} {}", portal.url, portal.body);
    let told = portal.json();
    assert_eq!(told["uri"], "/portal/ticket");
    assert!(told["headers"].get("x-forwarded-user").is_none(), "{told}");
    assert_eq!(browser.peek(&format!("{}/portal/style.css", scene.site)).await.status, 200);
    // Every other path still wants a login, from this browser, too.
    for path in ["/", "/private", "/portals", "/portal/../private", "//portal/x"] {
        let page = browser.peek(&format!("{}{path}", scene.site)).await;
        assert_ne!(page.status, 200, "{path}: {}", page.body);
    }
    let page = scene.log_in(&mut browser, "alice").await;
    assert_eq!(page.json()["headers"]["x-forwarded-user"][0], "alice");
}
