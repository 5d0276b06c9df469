//! Plain OAuth 2.0, as GitHub speaks it.

use serde_json::json;

use super::{
    World, callback, code,
    op::{FakeOp, Reply},
};
use crate::{
    config::{ClientAuthn, OAuth2, UpstreamKind},
    identity::{Email, GroupClaim, Protocol},
    secret::Secret,
    upstream::{Request, UnverifiedCallback},
};

fn oauth2(op: &FakeOp, emails: bool) -> OAuth2 {
    OAuth2 {
        authorization_endpoint: op.origin.join("/authorize?x=1").unwrap(),
        token_endpoint: op.origin.join("/token").unwrap(),
        userinfo_endpoint: op.origin.join("/user").unwrap(),
        emails_endpoint: emails.then(|| op.origin.join("/user/emails").unwrap()),
        issuer: "https://github.example".to_owned(),
        client_id: "gateway".to_owned(),
        client_authn: ClientAuthn::SecretPost(Secret::new("s3cret".to_owned())),
        scopes: vec!["user:email".to_owned()],
        authorize_parameters: [].into(),
        logout_url: None,
    }
}

async fn github(emails: bool) -> World {
    let mut world = World::new().await;
    world.upstream.kind = UpstreamKind::OAuth2(oauth2(&world.op, emails));
    world.upstream.subject_claim = "id".to_owned();
    world
        .op
        .reply("/token", Reply::json(&json!({"access_token": "gho_1", "token_type": "bearer", "scope": "user:email"})));
    world.op.reply(
        "/user",
        Reply::json(
            &json!({"id": 583_231, "login": "octocat", "email": "public@evil.example", "plan": {"name": "pro"}}),
        ),
    );
    world
}

#[tokio::test]
async fn proves_the_subject_that_userinfo_names() {
    let world = github(true).await;
    let emails = json!([
        {"email": "old@corp.example", "primary": false, "verified": true},
        {"email": "octocat@corp.example", "primary": true, "verified": true, "visibility": null},
    ]);
    world.op.reply("/user/emails", Reply::json(&emails));
    let (url, exchange) = world.upstreams.begin(&world.upstream, &World::request()).await.unwrap();
    let query = url.query().unwrap();
    assert!(query.starts_with("x=1&response_type=code&"), "{query}");
    assert!(query.contains("code_challenge_method=S256") && query.contains("scope=user%3Aemail"));
    assert!(!query.contains("nonce") && !query.contains("openid"));
    let proof = world.upstreams.complete(&world.upstream, &exchange, &callback()).await.unwrap();
    assert!(proof.id_token.is_none());
    let identity = proof.identity.into_inner();
    assert_eq!((identity.subject.as_str(), identity.issuer.as_str()), ("583231", "https://github.example"));
    assert_eq!((identity.protocol, identity.groups), (Protocol::Oauth2, GroupClaim::Absent));
    assert_eq!(identity.email, Some(Email { address: "octocat@corp.example".to_owned(), verified: true }));
    assert_eq!(identity.claims["email"], json!("octocat@corp.example"));
    assert_eq!(identity.claims["login"], json!("octocat"));
    assert_eq!(world.op.seen("/user")[0].headers["authorization"], "Bearer gho_1");
    assert!(world.op.seen("/user")[0].headers["user-agent"].to_str().unwrap().starts_with("vestibule/"));
    assert!(world.op.seen("/token")[0].body.contains(&exchange.verifier));
}

#[tokio::test]
async fn a32_an_address_is_verified_only_where_the_list_says_so() {
    let world = github(true).await;
    let exchange = world.begin().await;
    for (emails, expected) in [
        (json!([{"email": "a@x.example", "primary": true, "verified": false}]), Ok(Some(false))),
        (json!([{"email": "a@x.example", "primary": true, "verified": "true"}]), Ok(Some(false))),
        (json!([{"email": "a@x.example", "primary": true}]), Ok(Some(false))),
        (json!([{"email": "a@x.example", "primary": false, "verified": true}]), Ok(None)),
        (json!([]), Ok(None)),
        (json!({"email": "a@x.example"}), Err("emails-malformed")),
        (json!([{"primary": true, "verified": true}]), Err("emails-malformed")),
        (
            json!([{"email": "a@x", "primary": true, "verified": true}, {"email": "b@x", "primary": true, "verified": true}]),
            Err("emails-malformed"),
        ),
    ] {
        world.op.reply("/user/emails", Reply::json(&emails));
        let outcome = world.upstreams.complete(&world.upstream, &exchange, &callback()).await;
        let found = outcome.map(|proof| proof.identity.email.clone().map(|email| email.verified));
        assert_eq!(found.map_err(|error| error.code), expected, "{emails}");
    }
    world.op.reply("/user/emails", Reply::of(404, "application/json", "{}"));
    assert_eq!(code(world.upstreams.complete(&world.upstream, &exchange, &callback()).await), "userinfo-status");
    // Without the list, userinfo's address is what somebody typed.
    let world = github(false).await;
    let exchange = world.begin().await;
    let proof = world.upstreams.complete(&world.upstream, &exchange, &callback()).await.unwrap();
    assert_eq!(proof.identity.email, Some(Email { address: "public@evil.example".to_owned(), verified: false }));
}

#[tokio::test]
async fn refuses_a_subject_that_is_none() {
    let world = github(false).await;
    let exchange = world.begin().await;
    for (user, expected) in [
        (json!({"login": "octocat"}), "subject-missing"),
        (json!({"id": null}), "subject-missing"),
        (json!({"id": ""}), "subject-malformed"),
        (json!({"id": 1.5}), "subject-malformed"),
        (json!({"id": -1}), "subject-malformed"),
        (json!({"id": [1]}), "subject-malformed"),
    ] {
        world.op.reply("/user", Reply::json(&user));
        assert_eq!(code(world.upstreams.complete(&world.upstream, &exchange, &callback()).await), expected, "{user}");
    }
    world.op.reply("/user", Reply::of(200, "application/json", r#"{"id":1,"id":2}"#));
    assert_eq!(code(world.upstreams.complete(&world.upstream, &exchange, &callback()).await), "claims-duplicate");
}

#[tokio::test]
async fn a41_refuses_another_issuers_callback_before_any_request() {
    let world = github(false).await;
    let exchange = world.begin().await;
    let answer = UnverifiedCallback { iss: Some("https://evil.example".to_owned()), ..callback() };
    assert_eq!(code(world.upstreams.complete(&world.upstream, &exchange, &answer).await), "iss-parameter-mismatch");
    assert!(world.op.seen("/token").is_empty());
}

#[tokio::test]
async fn refuses_to_promise_an_assurance_that_it_cannot_prove() {
    let world = github(false).await;
    for request in [
        Request { max_age: Some(0), ..World::request() },
        Request { acr_values: vec!["gold".to_owned()], ..World::request() },
    ] {
        let outcome = world.upstreams.begin(&world.upstream, &request).await;
        assert_eq!(outcome.unwrap_err().code, "assurance-unsupported");
    }
    let mut exchange = world.begin().await;
    exchange.max_age = Some(0);
    assert_eq!(code(world.upstreams.complete(&world.upstream, &exchange, &callback()).await), "assurance-unsupported");
    assert!(world.op.seen("/token").is_empty());
}
