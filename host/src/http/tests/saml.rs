//! The SAML identity provider's routes, and the page that brings a response.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;

const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// What is told to the service provider without a login.
const UNKNOWN_FORMAT: &str = "<samlp:NameIDPolicy Format=\"urn:unknown\"/>";

fn request(attributes: &str, inside: &str) -> String {
    format!(
        "<samlp:AuthnRequest xmlns:samlp=\"{PROTOCOL}\" ID=\"_1\" Version=\"2.0\" \
         IssueInstant=\"2023-11-14T22:13:20Z\" {attributes}>\
         <saml:Issuer xmlns:saml=\"{ASSERTION}\">urn:guard</saml:Issuer>{inside}</samlp:AuthnRequest>"
    )
}

async fn post(harness: &Harness, path: &str, fields: &[(&str, &str)]) -> Read {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post(path)
        .header("host", "login.example.com")
        .header("origin", "https://guard.example.com")
        .header("sec-fetch-site", "cross-site")
        .header("content-type", "application/x-www-form-urlencoded");
    harness.send(request, body).await
}

async fn sso(harness: &Harness, xml: &str, relay_state: &str) -> Read {
    let encoded = STANDARD.encode(xml);
    post(harness, "/saml/guard/sso", &[("SAMLRequest", &encoded), ("RelayState", relay_state)]).await
}

#[tokio::test]
async fn a50_neither_relay_state_nor_address_is_markup_on_the_page_that_brings_a_response() {
    let harness = Harness::new();
    for relay_state in [
        "\"><script>alert(1)</script>",
        "'><svg onload=alert(1)>",
        "</form><form action=https://evil.example>",
        "{{ 77777 * 77777 }}",
        "javascript:alert(1)",
        "\u{0}\r\n<i>",
    ] {
        let read = sso(&harness, &request("", UNKNOWN_FORMAT), relay_state).await;
        assert_eq!(read.status, StatusCode::OK, "{}", read.body);
        for markup in ["<script>", "<svg onload", "evil.example>", "6049261729", "<i>", "<Guard>"] {
            assert!(!read.body.contains(markup), "{markup}: {}", read.body);
        }
        assert_eq!(read.body.matches("<script").count(), 1, "our own");
        assert_eq!(read.body.matches("<form").count(), 1);
        assert!(read.body.contains("https:&#x2f;&#x2f;guard.example.com&#x2f;acs?a=1&amp;b=%22%3E\""), "{}", read.body);
        // It works by its button, too, and what runs is what has this answer's nonce.
        assert!(read.body.contains("<button type=\"submit\">"), "{}", read.body);
        let policy = read.header("content-security-policy").unwrap();
        let nonce = policy.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap();
        assert!(nonce.len() >= 22 && read.body.contains(&format!("<script nonce=\"{nonce}\">")), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(read.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn a51_an_unregistered_address_is_told_to_the_person() {
    let harness = Harness::new();
    let to = "AssertionConsumerServiceURL=\"https://evil.example/acs\"";
    let read = sso(&harness, &request(to, UNKNOWN_FORMAT), "x").await;
    assert_eq!(read.status, StatusCode::BAD_REQUEST);
    assert_eq!(read.header("x-vestibule-reason"), Some("acs-not-registered"));
    assert!(!read.body.contains("evil") && read.header("location").is_none(), "{}", read.body);
    assert!(harness.asked().is_empty(), "nobody was asked anything");
}

#[tokio::test]
async fn a_request_by_a_form_goes_on_at_an_address_that_the_browser_asks_for_itself() {
    let harness = Harness::new();
    let read = sso(&harness, &request("ForceAuthn=\"true\"", ""), "x").await;
    assert_eq!(read.status, StatusCode::SEE_OTHER);
    let to: Url = read.header("location").unwrap().parse().unwrap();
    assert_eq!((to.host_str(), to.path()), (Some("login.example.com"), "/saml/guard/resume"));
    assert!(harness.asked().is_empty(), "not without the cookies");
    harness.visit(&format!("{}?{}", to.path(), to.query().unwrap())).await;
    assert_eq!(harness.asked().len(), 1);
    for query in ["", "request=", "request=x", "request=a&request=b"] {
        let read = harness.visit(&format!("/saml/guard/resume?{query}")).await;
        assert_eq!(read.header("x-vestibule-reason"), Some("saml-request-invalid"), "{query}");
    }
}

#[tokio::test]
async fn garbage_has_a_reason_and_no_more() {
    let harness = Harness::new();
    for (path, reason) in [
        ("/saml/guard/sso", "saml-request-missing"),
        ("/saml/guard/sso?SAMLRequest=%00", "saml-request-unreadable"),
        ("/saml/guard/slo?SAMLRequest=PGE%2BPC9hPg%3D%3D", "saml-request-unreadable"),
        ("/saml/guard/leave?state=x", "saml-request-invalid"),
        ("/saml/guard/answered?state=x", "saml-request-invalid"),
        ("/saml/guard/logged-out?state=x", "not-found"),
        ("/saml/guard/slo?SAMLRequest=a&SAMLResponse=b", "saml-request-unreadable"),
        ("/saml/wiki/metadata", "not-found"),
        ("/saml/%ff/sso", "not-found"),
        ("/saml/nobody/start", "unknown-service-provider"),
        ("/saml/guard/start", "idp-initiated-not-allowed"),
    ] {
        let read = harness.visit(path).await;
        assert!(read.status.is_client_error(), "{path}: {}", read.status);
        assert_eq!(read.header("x-vestibule-reason"), Some(reason), "{path}");
    }
    for xml in ["", "<a/>", "<!DOCTYPE a><a/>", &"<a>".repeat(5000)] {
        let read = sso(&harness, xml, "x").await;
        assert!(read.status.is_client_error(), "{xml}");
    }
    let read = harness.visit("/saml/guard/metadata").await;
    assert_eq!(read.status, StatusCode::OK);
    assert!(read.body.contains("entityID=\"https://login.example.com/saml/guard/metadata\""), "{}", read.body);
}

#[tokio::test]
async fn a_stranger_gets_as_many_signatures_as_logins() {
    let harness = Harness::new().from("192.0.2.66:40000");
    let read = sso(&harness, &request("", UNKNOWN_FORMAT), "x").await;
    assert_eq!(
        (read.status, read.header("x-vestibule-reason")),
        (StatusCode::TOO_MANY_REQUESTS, Some("too-many-logins"))
    );
    assert!(!read.body.contains("SAMLResponse"), "{}", read.body);
}
