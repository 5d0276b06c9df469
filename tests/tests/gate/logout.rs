//! Single logout: what ends at one place ends at the others.

use http::Method;
use serde_json::{Value, json};
use url::Url;
use vestibule_tests::browser::{Browser, Page};

use crate::scene::{Scene, With};

impl Scene {
    async fn told(&self, what: &str) -> Value {
        Browser::new().peek(&format!("{}/_test/{what}", self.op.issuer)).await.json()
    }

    /// Ends the browser's session at the provider, on the provider's own page.
    pub(crate) async fn log_out_upstream(&self, browser: &mut Browser) {
        let page = browser.get(&format!("{}/session/end", self.op.issuer)).await;
        let form = page.forms().into_iter().next().unwrap_or_else(|| panic!("no form: {}", page.body));
        let page = browser.submit(&form.with("logout", "yes")).await;
        assert_eq!(page.status, 200, "{} {}", page.url, page.body);
    }

    async fn back_channel(&self, token: &str) -> Page {
        let url = Url::parse(&format!("{}/backchannel-logout/op", self.gateway.url())).expect("an address");
        let body = format!("logout_token={token}");
        Browser::new().request(Method::POST, &url, Some(("application/x-www-form-urlencoded", body)), &[]).await
    }

    async fn status(&self, browser: &mut Browser) -> u16 {
        browser.peek(&format!("{}/", self.site)).await.status.as_u16()
    }
}

/// Browsers of these people, logged in one after the other.
async fn logged_in(scene: &Scene, names: &[&str]) -> Vec<Browser> {
    let mut browsers = Vec::new();
    for name in names {
        let mut browser = Browser::new();
        assert_eq!(scene.log_in(&mut browser, name).await.status, 200);
        browsers.push(browser);
    }
    browsers
}

#[tokio::test(flavor = "multi_thread")]
async fn a44_a_logout_at_the_upstream_ends_the_session_that_came_from_it_and_counts_once() {
    let scene = Scene::start(With::Nginx).await;
    let mut browsers = logged_in(&scene, &["alice", "alice", "bob"]).await;
    let [alice, elsewhere, bob] = &mut browsers[..] else { panic!("three") };
    scene.log_out_upstream(alice).await;
    scene
        .gateway
        .wait_for("that the session ended", |event| {
            event["kind"] == "session.ended" && event["input"]["method"] == "back-channel-logout"
        })
        .await;
    assert_ne!(scene.status(alice).await, 200);
    assert_eq!(scene.status(elsewhere).await, 200, "another session of hers");
    assert_eq!(scene.status(bob).await, 200);
    // Nor is she let in without the provider.
    let page = alice.get(&format!("{}/", scene.site)).await;
    assert!(page.url.as_str().starts_with(&scene.op.issuer), "{}", page.url);

    let logouts = scene.told("logouts").await;
    let token = logouts[0].as_str().expect("a logout token").to_owned();
    let again = scene.back_channel(&token).await;
    assert_eq!(
        (again.status.as_u16(), again.json()["error_description"].clone()),
        (400, json!("logout-token-replayed"))
    );
    let cut = scene.back_channel(&token[..token.len() - 4]).await;
    assert_eq!((cut.status.as_u16(), cut.json()["error_description"].clone()), (400, json!("signature-invalid")));
    assert!(!scene.gateway.log().contains(&token), "a token in the log");

    // Whoever logs in again has a session again.
    let page = scene.sign_in(alice, page, "alice").await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(scene.status(alice).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_channel_logout_ends_the_session_that_it_names() {
    let scene = Scene::start(With::Nginx).await;
    let mut browsers = logged_in(&scene, &["alice", "bob"]).await;
    let [alice, bob] = &mut browsers[..] else { panic!("two") };
    let sids = scene.told("sids").await;
    let front = |issuer: &str, sid: &str| {
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs([("iss", issuer), ("sid", sid)]).finish();
        format!("{}/frontchannel-logout/op?{query}", scene.gateway.url())
    };
    let sid = sids["alice"].as_str().expect("a session");
    // Another issuer's word counts for nothing, and neither does a session of nobody.
    assert_eq!(Browser::new().peek(&front("http://127.0.0.1:1", sid)).await.status, 400);
    assert_eq!(Browser::new().peek(&front(&scene.op.issuer, "made-up")).await.status, 200);
    assert_eq!((scene.status(alice).await, scene.status(bob).await), (200, 200));
    let page = Browser::new().peek(&front(&scene.op.issuer, sid)).await;
    assert_eq!((page.status.as_u16(), page.body.as_str()), (200, ""));
    assert_ne!(scene.status(alice).await, 200);
    assert_eq!(scene.status(bob).await, 200);
}
