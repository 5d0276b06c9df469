//! Metadata and keys: where they come from, which are refused, how long they serve.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    World, callback, code, limits,
    op::{self, FakeOp, Reply, keys},
};
use crate::config::{Endpoints, Fetch, Keying};

#[tokio::test]
async fn refuses_a_discovery_document_that_is_not_about_this_issuer_or_not_safe() {
    let mut world = World::new().await;
    let honest = world.op.metadata();
    let issuer = world.op.issuer();
    let mut outcomes = Vec::new();
    let mut try_with = async |change: &dyn Fn(&mut Value), expected: &'static str| {
        let mut metadata = honest.clone();
        change(&mut metadata);
        world.op.reply("/.well-known/openid-configuration", Reply::json(&metadata));
        world.clock.advance(100_000);
        let outcome = world.upstreams.begin(&world.upstream, &World::request()).await;
        outcomes.push((outcome.err().map(|error| error.code), expected));
    };
    for other in [format!("{issuer}/"), issuer.to_uppercase(), "https://evil.example".to_owned()] {
        try_with(&|metadata| metadata["issuer"] = json!(other), "discovery-issuer-mismatch").await;
    }
    for name in ["issuer", "authorization_endpoint", "jwks_uri"] {
        try_with(&|metadata| drop(metadata.as_object_mut().unwrap().remove(name)), "discovery-malformed").await;
    }
    try_with(&|metadata| metadata["issuer"] = json!(7), "discovery-malformed").await;
    try_with(&|metadata| drop(metadata.as_object_mut().unwrap().remove("token_endpoint")), "endpoint-missing").await;
    for name in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint"] {
        for url in ["javascript:alert(1)", "file:///etc/passwd", "ftp://op.example/"] {
            try_with(&|metadata| metadata[name] = json!(url), "discovery-endpoint-insecure").await;
        }
        for url in ["https://user:pw@op.example/", "https://op.example/#x"] {
            try_with(&|metadata| metadata[name] = json!(url), "discovery-endpoint-refused").await;
        }
    }
    for (found, expected) in outcomes {
        assert_eq!(found, Some(expected));
    }
    // An issuer of https, of which one endpoint is in clear.
    let secure = "https://op.example";
    for name in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint"] {
        let mut metadata: Value = serde_json::from_str(&honest.to_string().replace(&issuer, secure)).unwrap();
        metadata[name] = json!("http://op.example/x");
        world.op.reply("/.well-known/openid-configuration", Reply::json(&metadata));
        world.clock.advance(100_000);
        world.oidc().issuer = secure.to_owned();
        let outcome = world.upstreams.begin(&world.upstream, &World::request()).await;
        assert_eq!(outcome.unwrap_err().code, "discovery-endpoint-insecure", "{name}");
    }
}

#[tokio::test]
async fn refuses_a_discovery_document_that_does_not_come_as_one() {
    let world = World::with(Fetch { timeout: Duration::from_millis(1500), ..limits() }).await;
    let path = "/.well-known/openid-configuration";
    for (reply, expected) in [
        (Reply::of(404, "application/json", "{}"), "discovery-status"),
        (Reply::of(200, "text/html", "<html>"), "discovery-malformed"),
        (Reply::of(200, "application/json", "{}"), "discovery-malformed"),
        (Reply::of(200, "application/json", r#"{"issuer":"a","issuer":"b"}"#), "discovery-malformed"),
        (Reply::Flood(10 << 20), "fetch-too-large"),
        (Reply::Drip, "fetch-timeout"),
        (Reply::redirect(302, path), "fetch-redirects-exceeded"),
        (Reply::redirect(302, "http://169.254.169.254/latest/meta-data"), "fetch-address-refused"),
        (Reply::redirect(302, "http://[::1]:1/"), "fetch-address-refused"),
        (Reply::redirect(302, "file:///etc/passwd"), "fetch-url-refused"),
        (Reply::redirect(302, "http://user:pw@127.0.0.1/"), "fetch-url-refused"),
        (Reply::redirect(302, "http://"), "fetch-url-refused"),
    ] {
        let shown = format!("{reply:.100?}");
        world.op.reply(path, reply);
        world.clock.advance(100_000);
        let outcome = world.upstreams.begin(&world.upstream, &World::request()).await;
        assert_eq!(outcome.unwrap_err().code, expected, "{shown}");
    }
    world.op.reply(path, Reply::redirect(301, "/moved"));
    world.op.reply("/moved", Reply::json(&world.op.metadata()));
    world.clock.advance(100_000);
    assert!(world.upstreams.begin(&world.upstream, &World::request()).await.is_ok());
}

#[tokio::test]
async fn an_older_document_serves_through_an_outage_but_not_for_ever() {
    let world = World::new().await;
    let path = "/.well-known/openid-configuration";
    let begin = async || {
        world.upstreams.begin(&world.upstream, &World::request()).await.map(|_| ()).map_err(|error| error.code)
    };
    assert_eq!(begin().await, Ok(()));
    assert_eq!(begin().await, Ok(()));
    assert_eq!(world.op.seen(path).len(), 1);
    world.op.reply(path, Reply::of(503, "text/plain", ""));
    world.clock.advance(600);
    assert_eq!(begin().await, Ok(()));
    assert_eq!(begin().await, Ok(()));
    // The failure is remembered for a moment: one knock, not two.
    assert_eq!(world.op.seen(path).len(), 2);
    world.clock.advance(24 * 3600);
    assert_eq!(begin().await, Err("discovery-status"));
    assert_eq!(begin().await, Err("discovery-status"));
    assert_eq!(world.op.seen(path).len(), 3);
    world.op.reply(path, Reply::json(&world.op.metadata()));
    world.clock.advance(5);
    assert_eq!(begin().await, Ok(()));
}

#[tokio::test]
async fn many_logins_at_once_make_one_fetch() {
    let world = Arc::new(World::new().await);
    let logins: Vec<_> = (0..20)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.begin().await })
        })
        .collect();
    for login in logins {
        login.await.unwrap();
    }
    assert_eq!(world.op.seen("/.well-known/openid-configuration").len(), 1);
}

#[tokio::test]
async fn an_unknown_key_makes_us_look_again_but_not_each_time() {
    let world = World::new().await;
    world.op.reply("/jwks", Reply::json(&json!({"keys": [keys().ec.jwk]})));
    assert_eq!(code(world.login(|_| {}).await), "key-unknown");
    // One fetch found the set; a second for the unknown key would be too soon after it.
    assert_eq!(world.op.seen("/jwks").len(), 1);
    world.op.reply("/jwks", Reply::json(&json!({"keys": [keys().rsa.jwk]})));
    assert_eq!(code(world.login(|_| {}).await), "key-unknown");
    assert_eq!(world.op.seen("/jwks").len(), 1);
    world.clock.advance(30);
    assert!(world.login(|_| {}).await.is_ok());
    assert_eq!(world.op.seen("/jwks").len(), 2);
    // The old key went with the old set.
    let exchange = world.begin().await;
    assert_eq!(code(world.login_to(&exchange, &keys().ec, |_| {}).await), "key-unknown");
}

#[tokio::test]
async fn an_outage_of_the_key_set_does_not_forget_the_keys() {
    let world = World::new().await;
    assert!(world.login(|_| {}).await.is_ok());
    for reply in [
        Reply::of(500, "text/plain", ""),
        Reply::of(200, "application/json", "{"),
        Reply::of(200, "application/json", "{}"),
    ] {
        world.op.reply("/jwks", reply);
        world.clock.advance(700);
        assert!(world.login(|_| {}).await.is_ok());
    }
    world.clock.advance(24 * 3600);
    assert_eq!(code(world.login(|_| {}).await), "jwks-malformed");
}

#[tokio::test]
async fn needs_no_discovery_where_all_is_set_by_hand() {
    let mut world = World::new().await;
    let at = |op: &FakeOp, path: &str| Some(op.origin.join(path).unwrap());
    let endpoints = Endpoints {
        authorization: at(&world.op, "/authorize"),
        token: at(&world.op, "/token"),
        userinfo: None,
        end_session: at(&world.op, "/by-hand"),
    };
    world.oidc().discovery = None;
    world.oidc().endpoints = endpoints.clone();
    for text in [
        keys().rsa.public_pem.clone(),
        keys().rsa.jwk.to_string(),
        json!({"keys": [keys().ec.jwk, keys().rsa.jwk]}).to_string(),
    ] {
        world.oidc().keys = Keying::Static(text);
        assert!(world.login(|_| {}).await.is_ok());
    }
    world.oidc().keys = Keying::Static(keys().stranger.public_pem.clone());
    assert_eq!(code(world.login(|_| {}).await), "signature-invalid");
    world.oidc().keys = Keying::JwksUri(at(&world.op, "/jwks").unwrap());
    assert!(world.login(|_| {}).await.is_ok());
    assert!(world.op.seen("/.well-known/openid-configuration").is_empty());

    world.oidc().keys = Keying::Discovered;
    assert_eq!(world.upstreams.begin(&world.upstream, &World::request()).await.unwrap_err().code, "endpoint-missing");
    world.oidc().keys = Keying::Static(keys().rsa.public_pem.clone());
    world.oidc().endpoints.token = None;
    assert_eq!(world.upstreams.begin(&world.upstream, &World::request()).await.unwrap_err().code, "endpoint-missing");
}

#[tokio::test]
async fn what_is_set_by_hand_wins_over_discovery() {
    let mut world = World::new().await;
    let by_hand = world.op.origin.join("/token-by-hand").unwrap();
    world.oidc().endpoints.token = Some(by_hand);
    let exchange = world.begin().await;
    let token = keys().rsa.token(&Value::Object(world.claims(&exchange)));
    world.op.reply("/token-by-hand", Reply::json(&op::tokens(&token)));
    assert!(world.upstreams.complete(&world.upstream, &exchange, &callback()).await.is_ok());
    assert!(world.op.seen("/token").is_empty());
}
