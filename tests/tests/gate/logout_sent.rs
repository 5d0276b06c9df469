//! Single logout, the provider's half: relying parties hear that a session is over. npm
//! `openid-client` logs in, npm `jose` judges the logout tokens.

use std::process::Command;

use serde_json::{Value, json};
use vestibule_tests::{
    browser::{Browser, Page},
    peers::{RelyingParty, port},
};

use crate::scene::{CHAIN, Scene, With};

const SECRET: &str = "a-secret-of-a-relying-party-which-is-long";

/// An application that is the relying party `id` at `port`, and hears of logouts at `told_at`.
fn application(id: &str, port: u16, told_at: &str) -> String {
    format!(
        "[applications.{id}]\nurl = \"http://127.0.0.1:{port}/\"\nupstreams = [\"op\"]\nchain = {CHAIN:?}\n\
         [applications.{id}.oidc]\nclient-secret = \"{SECRET}\"\nredirect-uris = [\"http://127.0.0.1:{port}/cb\"]\n\
         post-logout-redirect-uris = [\"http://127.0.0.1:{port}/bye\"]\nbackchannel-logout-uri = \"{told_at}\"\n\
         backchannel-logout-session-required = true\n"
    )
}

/// The same, for which nobody is told behind the browser's back.
fn hears_nothing(id: &str, port: u16) -> String {
    let table = application(id, port, "");
    let lines = table.lines().filter(|line| !line.starts_with("backchannel-"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn hears(id: &str, port: u16) -> String {
    application(id, port, &format!("http://127.0.0.1:{port}/backchannel"))
}

fn relying_party(scene: &Scene, id: &str, port: u16, failures: u32) -> RelyingParty {
    let settings = json!({
        "issuer": scene.gateway.url(), "client_id": id, "client_secret": SECRET, "scope": "openid",
        "failures": failures,
    });
    RelyingParty::start(port, settings)
}

/// Logs in, with single sign-on where there is one.
async fn log_in(scene: &Scene, browser: &mut Browser, relying_party: &RelyingParty) -> Value {
    let page = browser.get(&format!("{}/login", relying_party.url)).await;
    let page = if page.url.as_str().starts_with(&scene.op.issuer) {
        scene.sign_in(browser, page, "alice").await
    } else {
        page
    };
    assert_eq!(page.status, 200, "{} {}\n{}", page.url, page.body, scene.gateway.log());
    page.json()["claims"].clone()
}

async fn state(relying_party: &RelyingParty) -> Value {
    Browser::new().peek(&format!("{}/sessions", relying_party.url)).await.json()
}

/// What came of telling `client`.
async fn outcome(scene: &Scene, kind: &str, client: &str) -> Value {
    scene
        .gateway
        .wait_for(&format!("{kind} of {client}"), |event| event["kind"] == kind && event["input"]["client"] == client)
        .await
}

/// The provider's own page asks; yes.
async fn confirm(scene: &Scene, browser: &mut Browser, page: Page) -> Page {
    match page.forms().into_iter().find(|form| form.action.as_str().starts_with(&scene.op.issuer)) {
        Some(form) => browser.submit(&form.with("logout", "yes")).await,
        None => page,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_one_relying_party_is_told_to_all_even_to_one_that_is_down_for_a_while() {
    let ports = [port(), port()];
    let more = [hears("first", ports[0]), hears("down", ports[1])].concat();
    let scene = Scene::start_with(With::Nginx, &more).await;
    let (first, down) = (relying_party(&scene, "first", ports[0], 0), relying_party(&scene, "down", ports[1], 2));
    let mut browser = Browser::new();
    let mut elsewhere = Browser::new();
    // An application behind the proxy, and both relying parties, by one login; and another browser.
    assert_eq!(scene.log_in(&mut browser, "alice").await.status, 200);
    let claims = log_in(&scene, &mut browser, &first).await;
    assert_eq!(log_in(&scene, &mut browser, &down).await["sid"], claims["sid"]);
    log_in(&scene, &mut elsewhere, &down).await;
    assert_eq!(state(&down).await["sessions"].as_array().map(Vec::len), Some(2));

    let metadata = format!("{}/.well-known/openid-configuration", scene.gateway.url());
    let metadata = Browser::new().peek(&metadata).await.json();
    assert_eq!(metadata["backchannel_logout_supported"], true);
    assert_eq!(metadata["backchannel_logout_session_supported"], true);

    // `elsewhere` logged in last at `down`; the hint is `first`'s own.
    let page = browser.get(&format!("{}/logout", first.url)).await;
    let page = confirm(&scene, &mut browser, page).await;
    assert!(page.url.as_str().starts_with(&format!("{}/bye", first.url)), "{} {}", page.url, page.body);
    assert_ne!(browser.peek(&format!("{}/", scene.site)).await.status, 200);

    let sent = outcome(&scene, "logout.sent", "first").await;
    assert_eq!((&sent["input"]["attempt"], &sent["input"]["method"]), (&json!(1), &json!("back-channel-logout")));
    assert_eq!(sent["session"], claims["sid"]);
    let told = state(&first).await;
    assert_eq!((&told["sessions"], told["told"].as_array().map(Vec::len)), (&json!([]), Some(1)), "{told}");
    assert_eq!(told["told"][0]["sub"], claims["sub"]);
    assert_eq!(told["told"][0]["type"], "application/x-www-form-urlencoded");

    // Twice down, and then it takes it: with a token of its own each time, and of this session alone.
    let sent = outcome(&scene, "logout.sent", "down").await;
    assert_eq!(sent["input"]["attempt"], 3);
    let failed = scene.gateway.events("logout.failed");
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed.iter().all(|event| event["outcome"]["failed"] == "logout-not-taken" && event["granted"] == false));
    let told = state(&down).await;
    let tokens = told["told"].as_array().expect("a list");
    assert_eq!(tokens.iter().map(|token| token["taken"] == true).collect::<Vec<_>>(), [false, false, true]);
    assert!(tokens[0]["jti"] != tokens[1]["jti"] && tokens[1]["jti"] != tokens[2]["jti"]);
    assert!(tokens.iter().all(|token| token["sid"] == claims["sid"]));
    assert_eq!(told["sessions"].as_array().map(Vec::len), Some(1), "another browser's session: {told}");
    let log = scene.gateway.log();
    assert!(tokens.iter().all(|token| !log.contains(token["token"].as_str().expect("a token"))), "a token in the log");
}

/// Where the frames of a page lead.
fn frames(page: &Page) -> Vec<String> {
    let tags = page.body.split("<iframe src=\"").skip(1).filter_map(|rest| rest.split('"').next());
    tags.map(|text| text.replace("&#x2f;", "/").replace("&amp;", "&")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relying_party_is_told_in_a_frame_of_its_own_origin() {
    let ports = [port(), port()];
    let more = ports.map(|port| {
        let hears = format!("\nfrontchannel-logout-uri = \"http://127.0.0.1:{port}/frontchannel?from=gate\"\n");
        let id = if port == ports[0] { "framed" } else { "unused" };
        hears_nothing(id, port).trim_end().to_owned() + &hears + "frontchannel-logout-session-required = true\n"
    });
    let scene = Scene::start_with(With::Nginx, &more.concat()).await;
    let metadata = format!("{}/.well-known/openid-configuration", scene.gateway.url());
    let metadata = Browser::new().peek(&metadata).await.json();
    assert_eq!(metadata["frontchannel_logout_supported"], true);
    assert_eq!(metadata["frontchannel_logout_session_supported"], true);
    let rp = relying_party(&scene, "framed", ports[0], 0);
    let (mut browser, mut elsewhere) = (Browser::new(), Browser::new());
    let other = log_in(&scene, &mut elsewhere, &rp).await;
    let claims = log_in(&scene, &mut browser, &rp).await;

    let page = browser.get(&format!("{}/logout", rp.url)).await;
    assert_eq!(page.url.path(), "/logout/round", "{}", page.body);
    // Whoever took no part is shown nothing, and the page shows nobody else's frames.
    let expected = {
        let mut url = url::Url::parse(&format!("{}/frontchannel?from=gate", rp.url)).expect("an address");
        let sid = claims["sid"].as_str().expect("a session");
        url.query_pairs_mut().append_pair("iss", &scene.gateway.url()).append_pair("sid", sid);
        url.to_string()
    };
    assert_eq!(frames(&page), [expected.as_str()]);
    let policy = page.header("content-security-policy");
    assert!(policy.contains(&format!("frame-src http://127.0.0.1:{};", ports[0])), "{policy}");
    assert!(
        page.header("referrer-policy").contains("no-referrer") || page.body.contains("referrerpolicy=\"no-referrer\"")
    );
    assert_ne!(browser.peek(&format!("{}/", scene.site)).await.status, 200, "ended before anybody is told");
    assert_eq!(state(&rp).await["sessions"].as_array().map(Vec::len), Some(2));

    assert_eq!(browser.peek(&expected).await.status, 200);
    let told = state(&rp).await;
    assert_eq!((&told["sessions"], &told["told"][0]["ended"]), (&json!([other["sid"]]), &json!(true)), "{told}");
    let asked = outcome(&scene, "logout.asked", "framed").await;
    assert_eq!(asked["input"]["method"], "front-channel-logout");
    // On to the upstream, and back to where it was to end.
    let page = browser.get(&format!("{}/logout/round", scene.gateway.url())).await;
    let page = confirm(&scene, &mut browser, page).await;
    assert!(page.url.as_str().starts_with(&format!("{}/bye", rp.url)), "{} {}", page.url, page.body);
    // Once: neither Back nor another visit shows the frames again.
    assert!(frames(&browser.get(&format!("{}/logout/round", scene.gateway.url())).await).is_empty());
    assert_eq!(scene.gateway.events("logout.asked").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_at_the_upstream_is_told_to_relying_parties() {
    let port = port();
    let scene = Scene::start_with(With::Nginx, &hears("rp", port)).await;
    let rp = relying_party(&scene, "rp", port, 0);
    let (mut alice, mut elsewhere) = (Browser::new(), Browser::new());
    let claims = log_in(&scene, &mut alice, &rp).await;
    let other = log_in(&scene, &mut elsewhere, &rp).await;
    scene.log_out_upstream(&mut alice).await;
    outcome(&scene, "logout.sent", "rp").await;
    let told = state(&rp).await;
    assert_eq!(told["told"][0]["sid"], claims["sid"]);
    assert_eq!(told["sessions"], json!([other["sid"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relying_party_at_a_private_address_is_given_up_at_once_and_the_logout_counts() {
    let port = port();
    let more = application("inside", port, "https://10.255.255.1/backchannel");
    let scene = Scene::start_with(With::Nginx, &more).await;
    let rp = relying_party(&scene, "inside", port, 0);
    let mut browser = Browser::new();
    assert_eq!(scene.log_in(&mut browser, "alice").await.status, 200);
    log_in(&scene, &mut browser, &rp).await;
    let page = browser.get(&format!("{}/logout", rp.url)).await;
    confirm(&scene, &mut browser, page).await;
    let given_up = outcome(&scene, "logout.given-up", "inside").await;
    assert_eq!(given_up["outcome"]["failed"], "fetch-address-refused");
    assert!(scene.gateway.events("logout.failed").is_empty());
    assert_ne!(browser.peek(&format!("{}/", scene.site)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_delivered_when_the_gateway_stops_is_recorded() {
    let port = port();
    let scene = Scene::start_with(With::Nginx, &hears("rp", port)).await;
    let rp = relying_party(&scene, "rp", port, 1000);
    let mut browser = Browser::new();
    log_in(&scene, &mut browser, &rp).await;
    let page = browser.get(&format!("{}/logout", rp.url)).await;
    confirm(&scene, &mut browser, page).await;
    outcome(&scene, "logout.failed", "rp").await;
    let id = scene.gateway.id().expect("a gateway").to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
    let given_up = outcome(&scene, "logout.given-up", "rp").await;
    assert_eq!(given_up["outcome"]["failed"], "gateway-stopped");
}
