//! What upstreams are told that say that a session is over.

use super::*;

impl Harness {
    async fn back_channel(&self, body: &str) -> Read {
        let request = Request::post("/backchannel-logout/main").header("host", "login.example.com");
        self.send(request.header("content-type", "application/x-www-form-urlencoded"), body.to_owned()).await
    }
}

#[tokio::test]
async fn a_logout_token_that_counts_is_answered_with_nothing() {
    let gate = Harness::new();
    let read = gate.back_channel("logout_token=good&ignored=1").await;
    assert_eq!((read.status, read.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(read.headers["cache-control"], "no-store");
    assert_eq!(gate.asked(), ["back-channel main good by unknown on https://login.example.com/"]);
}

#[tokio::test]
async fn a44_a_logout_token_that_does_not_count_is_a_bad_request_in_json() {
    let gate = Harness::new();
    for (body, code) in [
        ("logout_token=bad", "logout-nobody"),
        ("", "logout-token-missing"),
        ("logout_token=a&logout_token=good", "form-unreadable"),
        (&"x".repeat(5000), "body-too-large"),
    ] {
        let read = gate.back_channel(body).await;
        let status = if code == "body-too-large" { 413 } else { 400 };
        assert_eq!(read.status.as_u16(), status, "{code}");
        let said: Value = serde_json::from_str(&read.body).unwrap();
        assert_eq!(said, json!({ "error": "invalid_request", "error_description": code }));
        assert_eq!(read.headers["cache-control"], "no-store");
    }
    let read = gate.visit("/backchannel-logout/main?logout_token=good").await;
    assert_eq!(read.status, StatusCode::METHOD_NOT_ALLOWED, "a token in an address would be in logs");
}

#[tokio::test]
async fn only_the_upstream_itself_may_show_its_front_channel_logout_in_a_frame() {
    let gate = Harness::new();
    let read = gate.visit("/frontchannel-logout/main?iss=https%3A%2F%2Fid.example.com%2Frealms%2Fstaff&sid=s").await;
    assert_eq!((read.status, read.body.as_str()), (StatusCode::OK, ""));
    let policy = "default-src 'none'; base-uri 'none'; frame-ancestors https://id.example.com";
    assert_eq!(read.headers["content-security-policy"], policy);
    assert!(!read.headers.contains_key("x-frame-options"), "browsers without CSP would show it nowhere");
    let asked = gate.asked();
    assert!(
        asked[0].starts_with(r#"front-channel main Some("https://id.example.com/realms/staff") Some("s")"#),
        "{asked:?}"
    );
    assert_eq!(gate.visit("/frontchannel-logout/main").await.status, StatusCode::BAD_REQUEST);
    let unknown = gate.visit("/frontchannel-logout/none?iss=x&sid=s").await;
    assert_eq!(unknown.headers["x-frame-options"], "DENY");
}
