//! A44 and its kin: what passes for a logout token, and what does not.

use serde_json::{Map, Value, json};

use super::{
    CLIENT, NOW, World,
    op::{Key, keys},
};
use crate::{
    config::UpstreamKind,
    upstream::{LogoutToken, UpstreamError, Which},
};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

impl World {
    fn logout_claims(&self) -> Map<String, Value> {
        let claims = json!({
            "iss": self.op.issuer(), "aud": CLIENT, "iat": NOW, "exp": NOW + 120, "jti": "j-1", "sub": "subject-1",
            "sid": "s-1", "events": { EVENT: {} },
        });
        claims.as_object().unwrap().clone()
    }

    async fn ended(&self, token: &str) -> Result<LogoutToken, UpstreamError> {
        self.upstreams.logout_token(&self.upstream, token).await
    }

    async fn ended_with(&self, change: impl FnOnce(&mut Map<String, Value>)) -> Result<LogoutToken, UpstreamError> {
        let mut claims = self.logout_claims();
        change(&mut claims);
        self.ended(&typed(&keys().rsa, "logout+jwt", &claims)).await
    }
}

fn typed(key: &Key, typ: &str, claims: &Map<String, Value>) -> String {
    let header = json!({ "alg": key.algorithm, "kid": key.kid, "typ": typ });
    key.sign(&header.to_string(), &Value::Object(claims.clone()).to_string())
}

fn refusal(outcome: Result<LogoutToken, UpstreamError>) -> &'static str {
    outcome.err().map_or("accepted", |error| error.code)
}

#[tokio::test]
async fn an_honest_logout_token_ends_the_session_that_it_names_or_all_of_its_subject() {
    let world = World::new().await;
    for typ in ["logout+jwt", "JWT", "Logout+JWT", "application/logout+jwt"] {
        let token = world.ended(&typed(&keys().ec, typ, &world.logout_claims())).await.unwrap();
        assert!(token.ended.which == Which::Session("s-1".into()), "{typ}");
        assert_eq!((token.ended.issuer, token.id.as_str()), (world.op.issuer(), "j-1"));
        assert!(token.remember_until > NOW + 600, "for as long as it would be taken again");
    }
    let token = world.ended_with(|claims| drop(claims.remove("sid"))).await.unwrap();
    assert!(token.ended.which == Which::Subject("subject-1".into()));
    let token = world.ended_with(|claims| drop(claims.remove("sub"))).await.unwrap();
    assert!(token.ended.which == Which::Session("s-1".into()));
}

#[tokio::test]
async fn a44_a_logout_token_that_lacks_something_ends_nothing() {
    let world = World::new().await;
    for (claim, code) in [
        ("jti", "jti-missing"),
        ("iat", "time-missing"),
        ("exp", "time-missing"),
        ("iss", "iss-missing"),
        ("aud", "aud-missing"),
        ("events", "logout-event-missing"),
    ] {
        assert_eq!(refusal(world.ended_with(|claims| drop(claims.remove(claim))).await), code);
    }
    let nobody = world.ended_with(|claims| claims.retain(|name, _| !["sid", "sub"].contains(&name.as_str()))).await;
    assert_eq!(refusal(nobody), "logout-nobody");
}

#[tokio::test]
async fn a44_a_logout_token_that_says_something_else_ends_nothing() {
    let world = World::new().await;
    let cases = [
        ("nonce", json!("n"), "logout-token-nonce"),
        ("nonce", Value::Null, "logout-token-nonce"),
        ("iss", json!("https://another.example"), "iss-mismatch"),
        ("aud", json!("another-client"), "aud-mismatch"),
        ("aud", json!([CLIENT, "another"]), "azp-missing"),
        ("exp", json!(NOW - 61), "token-expired"),
        ("exp", json!("never"), "time-malformed"),
        ("iat", json!(NOW + 61), "token-from-future"),
        ("iat", json!(NOW - 661), "logout-token-too-old"),
        ("nbf", json!(NOW + 61), "token-not-yet-valid"),
        ("events", json!({}), "logout-event-missing"),
        ("events", json!([EVENT]), "logout-event-missing"),
        ("events", json!(EVENT), "logout-event-missing"),
        ("events", json!({ EVENT: true }), "logout-event-missing"),
        ("events", json!({ "http://schemas.openid.net/event/other": {} }), "logout-event-missing"),
        ("jti", json!(7), "logout-id-malformed"),
        ("jti", json!(""), "logout-id-malformed"),
        ("sid", json!("x".repeat(256)), "logout-id-malformed"),
        ("sid", json!(["s-1"]), "logout-id-malformed"),
        ("sub", json!("a\nb"), "logout-id-malformed"),
    ];
    for (claim, value, code) in cases {
        let outcome = world.ended_with(|claims| drop(claims.insert(claim.to_owned(), value.clone()))).await;
        assert_eq!(refusal(outcome), code, "{claim} {value}");
    }
}

#[tokio::test]
async fn a35_a44_a_logout_token_that_nobody_signed_ends_nothing() {
    let world = World::new().await;
    let claims = Value::Object(world.logout_claims()).to_string();
    let honest = typed(&keys().rsa, "logout+jwt", &world.logout_claims());
    let (message, signature) = honest.rsplit_once('.').unwrap();
    let none = keys().rsa.sign(r#"{"alg":"none","typ":"logout+jwt"}"#, &claims);
    let (unsigned, _) = none.rsplit_once('.').unwrap();
    for (token, code) in [
        (format!("{unsigned}."), "alg-none"),
        (keys().rsa.sign(r#"{"alg":"HS256","kid":"rsa-1","typ":"logout+jwt"}"#, &claims), "alg-symmetric"),
        (typed(&keys().stranger, "logout+jwt", &world.logout_claims()), "signature-invalid"),
        (format!("{message}."), "signature-invalid"),
        (format!("{message}.{}", &signature[1..]), "signature-invalid"),
        ("x".to_owned(), "id-token-malformed"),
        (String::new(), "id-token-malformed"),
    ] {
        assert_eq!(refusal(world.ended(&token).await), code, "{token}");
    }
}

#[tokio::test]
async fn a44_no_token_of_another_purpose_passes_for_a_logout_token_nor_the_reverse() {
    let world = World::new().await;
    let exchange = world.begin().await;
    let id_token = keys().rsa.token(&Value::Object(world.claims(&exchange)));
    assert_eq!(refusal(world.ended(&id_token).await), "logout-event-missing");
    let access_token = typed(&keys().rsa, "at+jwt", &world.logout_claims());
    assert_eq!(refusal(world.ended(&access_token).await), "typ-refused");

    let logout_token = typed(&keys().rsa, "logout+jwt", &world.logout_claims());
    assert_eq!(world.complete(&exchange, &logout_token).await.unwrap_err().code, "typ-refused");
    let unnamed = typed(&keys().rsa, "JWT", &world.logout_claims());
    assert_eq!(world.complete(&exchange, &unnamed).await.unwrap_err().code, "nonce-missing");
}

#[tokio::test]
async fn where_subjects_are_known_by_another_claim_only_a_sid_says_who() {
    let mut world = World::new().await;
    world.upstream.subject_claim = "oid".into();
    assert!(world.ended_with(|_| {}).await.is_ok());
    assert_eq!(refusal(world.ended_with(|claims| drop(claims.remove("sid"))).await), "logout-sid-needed");
}

#[tokio::test]
async fn a_front_channel_logout_names_issuer_and_session() {
    let mut world = World::new().await;
    let issuer = world.op.issuer();
    let front = |iss: Option<&str>, sid: Option<&str>| {
        world.upstreams.front_channel_logout(&world.upstream, iss, sid).map_err(|error| error.code)
    };
    let ended = front(Some(&issuer), Some("s-1")).ok().unwrap();
    assert!(ended.issuer == issuer && ended.which == Which::Session("s-1".into()));
    let long = "x".repeat(256);
    for (iss, sid, code) in [
        (None, Some("s-1"), "logout-nobody"),
        (Some(issuer.as_str()), None, "logout-nobody"),
        (Some(issuer.as_str()), Some(""), "logout-nobody"),
        (Some(issuer.as_str()), Some("a\r\nb"), "logout-nobody"),
        (Some(issuer.as_str()), Some(long.as_str()), "logout-nobody"),
        (Some("https://another.example"), Some("s-1"), "iss-mismatch"),
    ] {
        assert_eq!(front(iss, sid).err(), Some(code));
    }
    world.upstream.kind = UpstreamKind::Local;
    let local = world.upstreams.front_channel_logout(&world.upstream, Some(&issuer), Some("s-1"));
    assert_eq!(local.err().map(|error| error.code), Some("upstream-not-oidc"));
}
