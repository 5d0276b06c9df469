//! A41 and its kin: the request, the callback, the token endpoint, userinfo, logout.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

use super::{
    NOW, World, callback, code, limits,
    op::{self, Reply, keys},
};
use crate::{
    clock::Clock as _,
    config::{ClientAuthn, Fetch, Upstream},
    secret::Secret,
    upstream::{Request, UnverifiedCallback},
};

#[tokio::test]
async fn asks_with_state_nonce_and_pkce() {
    let mut world = World::new().await;
    world.oidc().authorize_parameters = [("resource".to_owned(), "a b".to_owned())].into();
    let request = Request { login_hint: Some("a&b@x".to_owned()), ..World::request() };
    let (url, exchange) = world.upstreams.begin(&world.upstream, &request).await.unwrap();
    let pairs: std::collections::BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(url.path(), "/authorize");
    let expected = [
        ("client_id", "gateway"),
        ("code_challenge_method", "S256"),
        ("login_hint", "a&b@x"),
        ("resource", "a b"),
        ("redirect_uri", "https://gateway.example/callback"),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("state", "state"),
        ("nonce", exchange.nonce.as_str()),
    ];
    for (name, value) in expected {
        assert_eq!(pairs.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(pairs.len(), expected.len() + 1);
    assert_eq!(pairs["code_challenge"].len(), 43);
    assert!(!url.as_str().contains(&exchange.verifier));
    assert!(exchange.verifier.len() >= 43 && exchange.nonce.len() >= 43);
    let other = world.begin().await;
    assert!(other.nonce != exchange.nonce && other.verifier != exchange.verifier);
}

#[tokio::test]
async fn what_the_upstream_is_to_ask_the_person_is_one_parameter() {
    let world = World::new().await;
    for (fresh, select_account, expected) in [
        (false, false, None),
        (true, false, Some("login")),
        (false, true, Some("select_account")),
        (true, true, Some("login select_account")),
    ] {
        let request = Request { fresh, select_account, ..World::request() };
        let (url, _) = world.upstreams.begin(&world.upstream, &request).await.unwrap();
        let prompts: Vec<_> = url.query_pairs().filter(|(name, _)| name == "prompt").collect();
        assert_eq!(prompts.first().map(|(_, value)| &**value), expected);
        assert!(prompts.len() <= 1);
    }
}

#[tokio::test]
async fn whoever_is_to_choose_an_account_is_not_sent_where_nobody_can() {
    let world = World::new().await;
    let request = Request { select_account: true, ..World::request() };
    for (listed, expected) in [
        (json!(null), None),
        (json!(["none", "login", "select_account"]), None),
        (json!(["none", "login", "consent"]), Some("account-selection-unsupported")),
        (json!([]), Some("account-selection-unsupported")),
        (json!("select_account"), Some("discovery-malformed")),
    ] {
        let mut metadata = world.op.metadata();
        if !listed.is_null() {
            metadata["prompt_values_supported"] = listed.clone();
        }
        world.op.reply("/.well-known/openid-configuration", Reply::json(&metadata));
        world.clock.advance(100_000);
        let begun = world.upstreams.begin(&world.upstream, &request).await;
        assert_eq!(begun.err().map(|error| error.code), expected, "{listed}");
        // Whoever is not to choose is sent there in any case.
        if expected != Some("discovery-malformed") {
            assert!(world.upstreams.begin(&world.upstream, &World::request()).await.is_ok(), "{listed}");
        }
    }
}

#[tokio::test]
async fn the_configuration_cannot_set_what_protects_the_login() {
    let mut world = World::new().await;
    for name in ["state", "nonce", "redirect_uri", "code_challenge", "response_mode", "request_uri"] {
        world.oidc().authorize_parameters = [(name.to_owned(), "x".to_owned())].into();
        let outcome = world.upstreams.begin(&world.upstream, &World::request()).await;
        assert_eq!(outcome.unwrap_err().code, "authorize-parameter-reserved", "{name}");
    }
}

#[tokio::test]
async fn nothing_secret_shows_in_debug() {
    let world = World::new().await;
    let exchange = world.begin().await;
    let answer = UnverifiedCallback { error_description: Some("words".to_owned()), ..callback() };
    let request = Request { login_hint: Some("alice@x".to_owned()), ..World::request() };
    let shown = format!("{exchange:?} {answer:?} {request:?} {:?}", world.upstreams);
    for hidden in [exchange.nonce.as_str(), exchange.verifier.as_str(), "code-1", "words", "alice", "\"state\""] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
    let proof = world.login(|_| {}).await.unwrap();
    let token = proof.id_token.as_ref().unwrap().expose().clone();
    assert!(!format!("{proof:?}").contains(&token));
}

#[tokio::test]
async fn a41_refuses_a_callback_of_another_issuer_before_any_request() {
    let world = World::new().await;
    let exchange = world.begin().await;
    let before = world.op.seen("/.well-known/openid-configuration").len();
    let issuer = world.op.issuer();
    for iss in ["https://evil.example".to_owned(), format!("{issuer}/"), String::new(), issuer.to_uppercase()] {
        for error in [None, Some("access_denied".to_owned())] {
            let answer = UnverifiedCallback { iss: Some(iss.clone()), error, ..callback() };
            let outcome = world.upstreams.complete(&world.upstream, &exchange, &answer).await;
            assert_eq!(code(outcome), "iss-parameter-mismatch", "{iss}");
        }
    }
    // B's callback path with A's pending login.
    let other = Upstream { id: "other".to_owned(), ..world.upstream.clone() };
    assert_eq!(code(world.upstreams.complete(&other, &exchange, &callback()).await), "upstream-mismatch");
    assert!(world.op.seen("/token").is_empty());
    assert_eq!(world.op.seen("/.well-known/openid-configuration").len(), before);
}

#[tokio::test]
async fn a41_refuses_a_callback_without_the_issuer_that_is_always_sent() {
    let mut world = World::new().await;
    world.oidc().require_iss_parameter = true;
    let exchange = world.begin().await;
    let outcome = world.upstreams.complete(&world.upstream, &exchange, &callback()).await;
    assert_eq!(code(outcome), "iss-parameter-missing");

    let mut world = World::new().await;
    let mut metadata = world.op.metadata();
    metadata["authorization_response_iss_parameter_supported"] = json!(true);
    world.op.reply("/.well-known/openid-configuration", Reply::json(&metadata));
    let exchange = world.begin().await;
    assert_eq!(code(world.complete(&exchange, "x.y.z").await), "iss-parameter-missing");
    assert!(world.op.seen("/token").is_empty());

    let token = keys().rsa.token(&Value::Object(world.claims(&exchange)));
    world.op.reply("/token", Reply::json(&op::tokens(&token)));
    let answer = UnverifiedCallback { iss: Some(world.op.issuer()), ..callback() };
    assert!(world.upstreams.complete(&world.upstream, &exchange, &answer).await.is_ok());
    world.oidc().require_iss_parameter = true;
    assert!(world.upstreams.complete(&world.upstream, &exchange, &answer).await.is_ok());
}

#[tokio::test]
async fn tells_an_upstreams_no_from_its_errors_and_quotes_neither() {
    let world = World::new().await;
    let exchange = world.begin().await;
    for (error, expected) in [
        ("access_denied", "upstream-denied"),
        ("server_error", "upstream-error"),
        ("<script>alert(1)</script>", "upstream-error"),
        ("", "upstream-error"),
    ] {
        let description = Some("<b>secret words</b>".to_owned());
        let answer = UnverifiedCallback { error: Some(error.to_owned()), error_description: description, ..callback() };
        let refusal = world.upstreams.complete(&world.upstream, &exchange, &answer).await.unwrap_err();
        assert_eq!(refusal.code, expected);
        assert!(!refusal.to_string().contains(['<', '>']) && !refusal.to_string().contains("secret"));
    }
    let long = "x".repeat(10_000);
    for (sent, expected) in [
        (None, "code-missing"),
        (Some(""), "code-missing"),
        (Some("a\r\nb"), "code-malformed"),
        (Some("\u{e4}"), "code-malformed"),
        (Some(long.as_str()), "code-malformed"),
    ] {
        let answer = UnverifiedCallback { code: sent.map(str::to_owned), ..callback() };
        assert_eq!(code(world.upstreams.complete(&world.upstream, &exchange, &answer).await), expected);
    }
    assert!(world.op.seen("/token").is_empty());
}

#[tokio::test]
async fn redeems_the_code_with_the_verifier_and_each_proof_of_the_client() {
    let mut world = World::new().await;
    let secret = || Secret::new("p:w %+\u{e9}".to_owned());
    let key = &keys().ec;
    let assertion = ClientAuthn::PrivateKeyJwt {
        key: Secret::new(key.private_pem.clone()),
        kid: Some("mine".to_owned()),
        algorithm: "ES256".to_owned(),
    };
    for authn in [ClientAuthn::None, ClientAuthn::SecretBasic(secret()), ClientAuthn::SecretPost(secret()), assertion] {
        world.oidc().client_authn = authn.clone();
        world.oidc().client_id = "g:1".to_owned();
        let exchange = world.begin().await;
        let mut claims = world.claims(&exchange);
        claims.insert("aud".to_owned(), json!("g:1"));
        world.complete(&exchange, &key.token(&Value::Object(claims))).await.unwrap();
        let seen = world.op.seen("/token").pop().unwrap();
        let form: std::collections::BTreeMap<String, String> =
            url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect();
        assert_eq!(seen.method, "POST");
        assert_eq!(form["grant_type"], "authorization_code");
        assert_eq!(form["code"], "code-1");
        assert_eq!(form["code_verifier"], exchange.verifier);
        assert_eq!(form["redirect_uri"], "https://gateway.example/callback");
        let basic = seen.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        match authn {
            ClientAuthn::None => {
                assert_eq!((basic, form["client_id"].as_str(), form.get("client_secret")), (None, "g:1", None));
            }
            ClientAuthn::SecretPost(_) => {
                assert_eq!((basic, form["client_id"].as_str()), (None, "g:1"));
                assert_eq!(form["client_secret"], "p:w %+\u{e9}");
            }
            ClientAuthn::SecretBasic(_) => {
                let expected = STANDARD.encode("g%3A1:p%3Aw+%25%2B%C3%A9");
                assert_eq!(basic.unwrap(), format!("Basic {expected}"));
                assert_eq!((form.get("client_id"), form.get("client_secret")), (None, None));
            }
            ClientAuthn::PrivateKeyJwt { .. } => {
                assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                let set = crate::jose::KeySet::from_text(&key.public_pem).unwrap();
                let parsed = crate::upstream::token::UnverifiedToken::parse(
                    &form["client_assertion"],
                    crate::upstream::token::TokenKind::Id,
                    &["ES256".to_owned()],
                )
                .unwrap();
                assert_eq!(parsed.key_id(), Some("mine"));
                let found = set.candidates(None, parsed.algorithm()).unwrap().into_iter().cloned().collect::<Vec<_>>();
                let claims = parsed.signed_by(&found).unwrap().claims;
                assert_eq!((&claims["iss"], &claims["sub"]), (&json!("g:1"), &json!("g:1")));
                assert_eq!(claims["aud"], json!(format!("{}/token", world.op.issuer())));
                assert_eq!((&claims["iat"], &claims["exp"]), (&json!(NOW), &json!(NOW + 60)));
                assert_eq!(claims["jti"].as_str().unwrap().len(), 43);
            }
        }
    }
}

#[tokio::test]
async fn refuses_a_token_endpoint_that_misbehaves() {
    let world = World::with(Fetch { timeout: Duration::from_millis(1500), ..limits() }).await;
    let exchange = world.begin().await;
    let token = keys().rsa.token(&Value::Object(world.claims(&exchange)));
    let good = op::tokens(&token);
    let without = |name: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(name);
        Reply::json(&body)
    };
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        Reply::json(&body)
    };
    let elsewhere = world.op.origin.join("/elsewhere").unwrap();
    world.op.reply("/elsewhere", Reply::json(&good));
    let long = "x".repeat(300 * 1024);
    for (reply, expected) in [
        (Reply::of(200, "text/html", "<html>"), "token-response-not-json"),
        (Reply::of(200, "text/html", good.to_string()), "token-response-not-json"),
        (Reply::of(500, "text/html", "<html>"), "token-response-not-json"),
        (Reply::of(500, "application/json", "{}"), "token-status"),
        (Reply::of(400, "application/json", good.to_string()), "token-status"),
        (Reply::of(201, "application/json", good.to_string()), "token-status"),
        (Reply::of(400, "application/json", r#"{"error":"invalid_grant"}"#), "token-refused"),
        (Reply::of(200, "application/json", r#"{"error":"bad_verification_code"}"#), "token-refused"),
        (Reply::of(200, "application/json", "{"), "token-response-malformed"),
        (Reply::of(200, "application/json", ""), "token-response-malformed"),
        (Reply::of(200, "application/json", "[]"), "token-response-malformed"),
        (Reply::of(200, "application/json", r#"{"id_token":"a","id_token":"b"}"#), "token-response-malformed"),
        (Reply::redirect(302, elsewhere.as_str()), "fetch-redirect-refused"),
        (Reply::redirect(307, elsewhere.as_str()), "fetch-redirect-refused"),
        (Reply::redirect(308, "https://evil.example/"), "fetch-redirect-refused"),
        (Reply::Flood(10 << 20), "fetch-too-large"),
        (Reply::of(200, "application/json", long), "fetch-too-large"),
        (Reply::Drip, "fetch-timeout"),
        (Reply::json(&good).header("content-encoding", "gzip"), "fetch-compressed"),
        (Reply::json(&good).header("content-encoding", "br"), "fetch-compressed"),
        (without("access_token"), "token-response-malformed"),
        (without("token_type"), "token-response-malformed"),
        (without("id_token"), "id-token-missing"),
        (with("id_token", json!(null)), "id-token-missing"),
        (with("id_token", json!({})), "token-response-malformed"),
        (with("token_type", json!("mac")), "token-response-malformed"),
        (with("access_token", json!("a b")), "token-response-malformed"),
        (with("access_token", json!("a\r\nx: y")), "token-response-malformed"),
        (with("access_token", json!("")), "token-response-malformed"),
    ] {
        let shown = format!("{reply:.200?}");
        world.op.reply("/token", reply);
        let outcome = world.upstreams.complete(&world.upstream, &exchange, &callback()).await;
        assert_eq!(code(outcome), expected, "{shown:.300}");
    }
    assert!(world.op.seen("/elsewhere").is_empty());
    world.op.reply("/token", with("token_type", json!("bearer")));
    assert!(world.upstreams.complete(&world.upstream, &exchange, &callback()).await.is_ok());
}

#[tokio::test]
async fn an_error_tells_nothing_that_was_sent() {
    let world = World::new().await;
    let exchange = world.begin().await;
    for reply in [
        Reply::of(400, "application/json", r#"{"error":"alice@example.com secret-1","error_description":"secret-2"}"#),
        Reply::of(200, "application/json", r#"{"access_token":"secret-3","token_type":7}"#),
        Reply::of(200, "text/plain", "secret-4"),
        Reply::redirect(302, "https://evil.example/?code=secret-5"),
    ] {
        world.op.reply("/token", reply);
        let outcome = world.upstreams.complete(&world.upstream, &exchange, &callback()).await;
        let shown = format!("{:?}", outcome.unwrap_err());
        for secret in ["secret", "alice", "s3cret", "code-1", exchange.verifier.as_str()] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[tokio::test]
async fn holds_userinfo_to_the_id_tokens_subject() {
    let mut world = World::with(Fetch { timeout: Duration::from_millis(1500), ..limits() }).await;
    world.oidc().userinfo = true;
    let token = keys().rsa.token(&json!({"sub": "subject-1"}));
    for (reply, expected) in [
        (Reply::json(&json!({"sub": "subject-2", "groups": ["admins"]})), "userinfo-subject-mismatch"),
        (Reply::json(&json!({"sub": "Subject-1"})), "userinfo-subject-mismatch"),
        (Reply::json(&json!({"sub": ["subject-1"]})), "userinfo-subject-mismatch"),
        (Reply::json(&json!({"sub": null})), "userinfo-subject-mismatch"),
        (Reply::json(&json!({"email": "a@x.example"})), "userinfo-subject-missing"),
        (Reply::of(200, "application/json", r#"{"sub":"subject-2","sub":"subject-1"}"#), "claims-duplicate"),
        (Reply::of(200, "application/jwt", token), "userinfo-jwt"),
        (Reply::of(200, "text/html", "<html>"), "userinfo-not-json"),
        (Reply::of(200, "application/json", "null"), "userinfo-malformed"),
        (Reply::of(401, "application/json", "{}"), "userinfo-status"),
        (Reply::redirect(302, "/userinfo2"), "fetch-redirect-refused"),
        (Reply::Flood(10 << 20), "fetch-too-large"),
        (Reply::Drip, "fetch-timeout"),
    ] {
        let shown = format!("{reply:.200?}");
        world.op.reply("/userinfo", reply);
        assert_eq!(code(world.login(|_| {}).await), expected, "{shown}");
    }
    world.op.reply("/userinfo", Reply::json(&json!({"sub": "subject-1", "groups": ["staff"], "name": "Alice"})));
    let identity = world.login(|_| {}).await.unwrap().identity.into_inner();
    assert_eq!(identity.groups, crate::identity::GroupClaim::Listed(vec!["staff".to_owned()]));
    assert_eq!(identity.claims["name"], json!("Alice"));
    let seen = world.op.seen("/userinfo").pop().unwrap();
    assert_eq!(seen.headers["authorization"], "Bearer access-1");
    assert_eq!(seen.headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn ends_the_session_where_the_upstream_says_or_the_template() {
    let mut world = World::new().await;
    let target: Url = "https://gateway.example/out".parse().unwrap();
    let token = Secret::new("id-1".to_owned());
    let url = world.upstreams.logout_url(&world.upstream, Some(&token), &target, "s").await.unwrap().unwrap();
    assert_eq!(
        url.as_str(),
        format!(
            "{}/end?id_token_hint=id-1&client_id=gateway&post_logout_redirect_uri=https%3A%2F%2Fgateway.example%2Fout&state=s",
            world.op.issuer(),
        ),
    );
    world.oidc().logout_url =
        Some("https://op.example/logout?client_id={client_id}&logout_uri={sign_out_url}".to_owned());
    let url = world.upstreams.logout_url(&world.upstream, None, &target, "s").await.unwrap().unwrap();
    assert_eq!(
        url.as_str(),
        "https://op.example/logout?client_id=gateway&logout_uri=https%3A%2F%2Fgateway.example%2Fout"
    );
    assert_eq!(world.upstreams.logout_url(&super::upstream(), None, &target, "s").await.unwrap(), None);
    let mut metadata = world.op.metadata();
    metadata.as_object_mut().unwrap().remove("end_session_endpoint");
    world.op.reply("/.well-known/openid-configuration", Reply::json(&metadata));
    world.clock.advance(700);
    world.oidc().logout_url = None;
    assert_eq!(world.upstreams.logout_url(&world.upstream, None, &target, "s").await.unwrap(), None);
    assert_eq!(world.clock.now(), NOW + 700);
}

#[tokio::test]
async fn a_local_upstream_has_no_flow() {
    let world = World::new().await;
    let local = super::upstream();
    assert_eq!(world.upstreams.begin(&local, &World::request()).await.unwrap_err().code, "upstream-is-local");
    let exchange = world.begin().await;
    assert_eq!(code(world.upstreams.complete(&local, &exchange, &callback()).await), "upstream-is-local");
}
