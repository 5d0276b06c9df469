//! What a restart must not forget: who was logged out, who is still to hear of a logout, which tokens were used.

use std::process::Command;

use http::Method;
use serde_json::{Value, json};
use url::Url;
use vestibule_tests::{
    browser::{Browser, Page},
    peers::{RelyingParty, port},
};

use crate::scene::{CHAIN, Scene, With};

const SECRET: &str = "a-secret-of-a-relying-party-which-is-long";

const KEPT: &str = "[session]\nstate-file = \"state/sessions\"\n";

/// A relying party at `port` that renews, and hears of logouts.
fn relying_party(port: u16) -> String {
    let own = format!("http://127.0.0.1:{port}");
    format!(
        "[applications.rp]\nurl = \"{own}/\"\nupstreams = [\"op\"]\nchain = {CHAIN:?}\n[applications.rp.oidc]\n\
         client-secret = \"{SECRET}\"\nredirect-uris = [\"{own}/cb\"]\nbackchannel-logout-uri = \"{own}/backchannel\"\n\
         grant-types = [\"authorization_code\", \"refresh_token\"]\n"
    )
}

impl Scene {
    /// The gateway ends without a word, as in a crash, and is started again.
    fn crash(&mut self) {
        let id = self.gateway.id().expect("a gateway").to_string();
        assert!(Command::new("kill").args(["-KILL", &id]).status().expect("kill").success());
        self.restart();
    }

    fn restart(&mut self) {
        self.gateway.stop();
        self.gateway.start();
    }

    /// The gateway is not there any more, and says why it does not come back.
    fn refuses_to_start(&mut self) -> String {
        self.gateway.stop();
        let (code, told, errors) = self.gateway.run(&["serve", "--config", "vestibule.toml"]);
        assert_eq!(code, 74, "{told}{errors}");
        told + &errors
    }

    /// What these cookies open at the application.
    async fn opens(&self, cookies: &str) -> u16 {
        let mut browser = Browser::new();
        browser.headers.push(("cookie".into(), cookies.to_owned()));
        browser.peek(&format!("{}/", self.site)).await.status.as_u16()
    }

    /// A new token for this one, or the error.
    async fn refresh(&self, token: &str) -> Result<String, Value> {
        let url = Url::parse(&format!("{}/oidc/token", self.gateway.url())).expect("an address");
        let form = format!("grant_type=refresh_token&client_id=rp&client_secret={SECRET}&refresh_token={token}");
        let form = Some(("application/x-www-form-urlencoded", form));
        let told = Browser::new().request(Method::POST, &url, form, &[]).await.json();
        told["refresh_token"].as_str().map(str::to_owned).ok_or_else(|| told["error"].clone())
    }
}

/// All cookies that a browser has of the gateway, as somebody who copied them sends them.
fn copied(browser: &Browser) -> String {
    let own = browser.cookies("127.0.0.1").into_iter().filter(|(name, _)| name.starts_with("vestibule"));
    let all = own.map(|(name, value)| format!("{name}={value}"));
    all.collect::<Vec<_>>().join("; ")
}

async fn log_in(scene: &Scene, browser: &mut Browser, relying_party: &RelyingParty) -> Value {
    let page = browser.get(&format!("{}/login", relying_party.url)).await;
    let page = if page.url.as_str().starts_with(&scene.op.issuer) {
        scene.sign_in(browser, page, "alice").await
    } else {
        page
    };
    assert_eq!(page.status, 200, "{} {}\n{}", page.url, page.body, scene.gateway.log());
    page.json()
}

fn start(scene: &Scene, port: u16) -> RelyingParty {
    let settings = json!({
        "issuer": scene.gateway.url(), "client_id": "rp", "client_secret": SECRET, "scope": "openid", "keep": true,
    });
    RelyingParty::start(port, settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_logged_out_stays_out_after_a_restart_and_after_a_crash() {
    let mut scene = Scene::start_with(With::Nginx, KEPT).await;
    assert!(!scene.gateway.log().contains("state-file"), "nothing to warn of");
    let (mut alice, mut bob) = (Browser::new(), Browser::new());
    assert_eq!(scene.log_in(&mut alice, "alice").await.status, 200);
    assert_eq!(scene.log_in(&mut bob, "bob").await.status, 200);
    let (of_alice, of_bob) = (copied(&alice), copied(&bob));
    assert_eq!((scene.opens(&of_alice).await, scene.opens(&of_bob).await), (200, 200));
    alice.get(&format!("{}/vestibule/logout/app", scene.site)).await;
    assert_ne!(scene.opens(&of_alice).await, 200);

    scene.crash();
    assert_ne!(scene.opens(&of_alice).await, 200, "after a crash");
    assert_eq!(scene.opens(&of_bob).await, 200, "who was not logged out is still logged in");
    scene.restart();
    assert_ne!(scene.opens(&of_alice).await, 200, "after a restart");
    assert_eq!(scene.opens(&of_bob).await, 200);
    // Nor does her single sign-on let her in without the provider.
    let mut thief = Browser::new();
    thief.headers.push(("cookie".into(), of_alice));
    let page = thief.get(&format!("{}/", scene.site)).await;
    assert!(page.url.as_str().starts_with(&scene.op.issuer), "{}", page.url);
    // Nobody reads in the file who it is about.
    let kept = std::fs::read_to_string(scene.gateway.path("state/sessions")).expect("the state");
    assert!(kept.lines().count() > 2 && !kept.contains("alice") && !kept.contains("example.test"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_ended_stays_ended_after_a_crash_and_its_token_counts_once() {
    let mut scene = Scene::start_with(With::Nginx, KEPT).await;
    let (mut alice, mut bob) = (Browser::new(), Browser::new());
    assert_eq!(scene.log_in(&mut alice, "alice").await.status, 200);
    assert_eq!(scene.log_in(&mut bob, "bob").await.status, 200);
    let (of_alice, of_bob) = (copied(&alice), copied(&bob));
    scene.log_out_upstream(&mut alice).await;
    scene.gateway.wait_for("that the session ended", |event| event["input"]["method"] == "back-channel-logout").await;
    let logouts = Browser::new().peek(&format!("{}/_test/logouts", scene.op.issuer)).await.json();
    let token = logouts[0].as_str().expect("a logout token").to_owned();

    scene.crash();
    assert_ne!(scene.opens(&of_alice).await, 200);
    assert_eq!(scene.opens(&of_bob).await, 200);
    let url = Url::parse(&format!("{}/backchannel-logout/op", scene.gateway.url())).expect("an address");
    let form = Some(("application/x-www-form-urlencoded", format!("logout_token={token}")));
    let again = Browser::new().request(Method::POST, &url, form, &[]).await;
    assert_eq!(
        (again.status.as_u16(), again.json()["error_description"].clone()),
        (400, json!("logout-token-replayed"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_outlives_a_restart_and_so_does_that_it_was_used() {
    let port = port();
    let mut scene = Scene::start_with(With::Nginx, &format!("{KEPT}{}", relying_party(port))).await;
    let rp = start(&scene, port);
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let told = log_in(&scene, &mut Browser::new(), &rp).await;
        tokens.push(told["refresh_token"].as_str().expect("a refresh token").to_owned());
    }
    let [renewed, stolen, ended] = &tokens[..] else { panic!("three") };
    let next = scene.refresh(stolen).await.expect("a token");

    scene.crash();
    let after = scene.refresh(renewed).await.expect("a token that nobody used");
    // One of the two who have it is a thief: all that came of that login is over, after another restart too.
    assert_eq!(scene.refresh(stolen).await, Err(json!("invalid_grant")));
    assert_eq!(scene.refresh(&next).await, Err(json!("invalid_grant")));
    scene.crash();
    assert_eq!(scene.refresh(&next).await, Err(json!("invalid_grant")));
    assert_eq!(scene.refresh(renewed).await, Err(json!("invalid_grant")), "used before the crash");
    assert_eq!(scene.refresh(&after).await, Err(json!("invalid_grant")), "the same login's");
    // What was taken back stays taken back.
    let url = Url::parse(&format!("{}/oidc/revoke", scene.gateway.url())).expect("an address");
    let form = format!("client_id=rp&client_secret={SECRET}&token={ended}");
    let form = Some(("application/x-www-form-urlencoded", form));
    assert_eq!(Browser::new().request(Method::POST, &url, form, &[]).await.status, 200);
    scene.crash();
    assert_eq!(scene.refresh(ended).await, Err(json!("invalid_grant")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_took_part_before_a_restart_is_told_of_a_logout_after_it_and_what_was_granted_ends() {
    let port = port();
    let mut scene = Scene::start_with(With::Nginx, &format!("{KEPT}{}", relying_party(port))).await;
    let rp = start(&scene, port);
    let mut browser = Browser::new();
    let told = log_in(&scene, &mut browser, &rp).await;
    assert_eq!(browser.get(&format!("{}/", scene.site)).await.status, 200, "with single sign-on");

    scene.crash();
    let page: Page = browser.get(&format!("{}/vestibule/logout/app", scene.site)).await;
    assert!(!page.url.as_str().contains("error"), "{}", page.url);
    scene.gateway.wait_for("that the relying party was told", |event| event["kind"] == "logout.sent").await;
    let state = Browser::new().peek(&format!("{}/sessions", rp.url)).await.json();
    assert_eq!((&state["told"][0]["sid"], &state["sessions"]), (&told["claims"]["sid"], &json!([])));
    let token = told["refresh_token"].as_str().expect("a refresh token");
    assert_eq!(scene.refresh(token).await, Err(json!("invalid_grant")));
    // And is told once.
    scene.crash();
    assert_eq!(scene.refresh(token).await, Err(json!("invalid_grant")));
    browser.get(&format!("{}/logout", scene.gateway.url())).await;
    assert_eq!(scene.gateway.events("logout.sent").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_not_as_it_was_left_keeps_the_gateway_from_starting_and_a_torn_end_does_not() {
    let mut scene = Scene::start_with(With::Nginx, KEPT).await;
    let mut alice = Browser::new();
    assert_eq!(scene.log_in(&mut alice, "alice").await.status, 200);
    let of_alice = copied(&alice);
    alice.get(&format!("{}/vestibule/logout/app", scene.site)).await;
    // A second gateway with the same file does not start.
    let (code, told, errors) = scene.gateway.run(&["serve", "--config", "vestibule.toml"]);
    assert!(code == 74 && (told.clone() + &errors).contains("another process uses"), "{told}{errors}");

    scene.gateway.stop();
    let path = scene.gateway.path("state/sessions");
    let whole = std::fs::read_to_string(&path).expect("the state");
    let lines: Vec<&str> = whole.lines().collect();
    assert!(lines.len() > 2, "{whole}");
    for (text, message) in [
        (lines[..lines.len() - 1].join("\n") + "\n", "was cut"),
        (lines[..1].join("\n") + "\n" + &lines[2..].join("\n") + "\n", "line 2, is not as the gateway wrote it"),
        (whole.replacen("2 v1.", "2 v1.x", 1), "line 2, is"),
        (String::new(), "line 1, is not as the gateway wrote it"),
    ] {
        std::fs::write(&path, &text).expect("a file");
        let told = scene.refuses_to_start();
        assert!(told.contains(message) && told.contains("state/sessions"), "{message}: {told}");
    }
    std::fs::remove_file(&path).expect("gone");
    assert!(scene.refuses_to_start().contains("is missing"), "the tip knows that there was one");

    std::fs::write(&path, format!("{whole}99 v1.")).expect("a file");
    assert!(Command::new("chmod").arg("600").arg(&path).status().expect("chmod").success());
    scene.gateway.start();
    assert_ne!(scene.opens(&of_alice).await, 200);
    assert!(scene.gateway.log().contains("torn"), "it is told");
}

/// As it is without the file, and told at the start.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_state_file_the_start_warns_that_a_restart_forgets() {
    let mut scene = Scene::start(With::Nginx).await;
    assert!(scene.gateway.log().contains("no session.state-file: a restart forgets who was logged out"));
    let mut alice = Browser::new();
    assert_eq!(scene.log_in(&mut alice, "alice").await.status, 200);
    let of_alice = copied(&alice);
    alice.get(&format!("{}/vestibule/logout/app", scene.site)).await;
    assert_ne!(scene.opens(&of_alice).await, 200);
    scene.restart();
    assert_eq!(scene.opens(&of_alice).await, 200, "what the file is for");
}

/// The ids of the keys that relying parties are told.
async fn key_ids(scene: &Scene) -> Vec<String> {
    let keys = Browser::new().peek(&format!("{}/oidc/jwks.json", scene.gateway.url())).await.json();
    let ids = keys["keys"].as_array().expect("keys").iter();
    ids.map(|key| key["kid"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_ring_signs_with_new_keys_and_what_the_old_ones_made_is_still_good() {
    let port = port();
    let mut scene = Scene::start_with(With::Nginx, &format!("{KEPT}{}", relying_party(port))).await;
    let rp = start(&scene, port);
    let mut alice = Browser::new();
    assert_eq!(scene.log_in(&mut alice, "alice").await.status, 200);
    let of_alice = copied(&alice);
    let told = log_in(&scene, &mut alice, &rp).await;
    let before = key_ids(&scene).await;

    let (code, _, errors) = scene.gateway.run(&["keys", "rotate", "--directory", "keys"]);
    assert_eq!(code, 0, "{errors}");
    scene.restart();
    let after = key_ids(&scene).await;
    assert!(before.iter().all(|id| after.contains(id)) && after.len() > before.len(), "{before:?} {after:?}");
    // A session and a refresh token of before.
    assert_eq!(scene.opens(&of_alice).await, 200);
    let token = told["refresh_token"].as_str().expect("a refresh token");
    let renewed = scene.refresh(token).await.expect("another one");
    // A relying party that reads the keys anew takes a token of the new one: openid-client does so once a minute at most.
    drop(rp);
    let rp = start(&scene, port);
    let mut bob = Browser::new();
    let page = bob.get(&format!("{}/login", rp.url)).await;
    let page = scene.sign_in(&mut bob, page, "bob").await;
    assert_eq!(page.status, 200, "{} {}", page.url, page.body);
    // Rotated until nothing of then is left, it is all over; and the state of before is told apart from a broken one.
    for _ in 0..2 {
        let (code, _, errors) = scene.gateway.run(&["keys", "rotate", "--directory", "keys", "--keep", "1"]);
        assert_eq!(code, 0, "{errors}");
    }
    scene.gateway.stop();
    let told = scene.refuses_to_start();
    assert!(told.contains("sealed with a key that the key ring does not have"), "{told}");
    for name in ["state/sessions", "state/sessions.tip"] {
        std::fs::remove_file(scene.gateway.path(name)).expect("a file");
    }
    scene.gateway.start();
    assert_ne!(scene.opens(&of_alice).await, 200);
    assert_eq!(scene.refresh(&renewed).await, Err(json!("invalid_grant")));
}
