//! Requests that are pushed, and what a browser can do to them.

use super::*;
use crate::config::HandOver;

impl Op {
    /// Pushes; the address of the request.
    fn push(&self, more: Pairs<'_>) -> Result<String, TokenError> {
        self.push_in("default", more)
    }

    fn push_in(&self, organization: &str, more: Pairs<'_>) -> Result<String, TokenError> {
        let fields = with(&[&ASKED[..], &[("client_secret", "the-secret-of-web")]].concat(), more);
        let request = TokenRequest { fields, ..TokenRequest::default() };
        let told = self.provider.push(&self.config, organization, &request)?;
        assert_eq!(told["expires_in"], 60);
        Ok(text(&told, "request_uri").to_owned())
    }

    fn bring(&self, query: Pairs<'_>) -> Asked {
        self.provider.authorize(&self.config, "default", &owned(query))
    }
}

fn code(asked: Asked) -> &'static str {
    match asked {
        Asked::Refused(refused) => refused.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_pushed_is_what_is_asked_for_whatever_the_browser_brings() {
    let op = Op::new();
    let uri = op.push(&[]).unwrap();
    assert!(uri.starts_with("urn:ietf:params:oauth:request_uri:") && uri.len() > 70, "{uri}");
    let asked = op.bring(&[
        ("client_id", "web"),
        ("request_uri", &uri),
        ("redirect_uri", "https://evil.example/"),
        ("scope", "openid profile email groups"),
        ("state", "other"),
        ("nonce", "other"),
        ("prompt", "none"),
        ("code_challenge", "x"),
        ("response_type", "token"),
    ]);
    assert_eq!(asked, op.authorize(&[]), "just as if it had come with the browser");
}

#[test]
fn a_pushed_request_is_used_once_by_its_client_within_a_minute() {
    let op = Op::new();
    let uri = op.push(&[]).unwrap();
    let renewing = [("client_id", "renewing"), ("request_uri", uri.as_str())];
    assert_eq!(code(op.bring(&renewing)), "request-uri-unknown", "another client's");
    let web = [("client_id", "web"), ("request_uri", uri.as_str())];
    let in_acme = op.provider.authorize(&op.config, "acme", &owned(&web));
    assert_eq!(code(in_acme), "request-uri-unknown", "the client of that name in another organization");
    assert_eq!(code(op.bring(&[web[1]])), "unknown-client");
    assert!(matches!(op.bring(&web), Asked::Login(_)), "others could not use it up");
    assert_eq!(code(op.bring(&web)), "request-uri-unknown", "used");

    let uri = op.push(&[]).unwrap();
    let twice = [("client_id", "web"), ("request_uri", uri.as_str()), ("request_uri", "x")];
    assert_eq!(code(op.bring(&twice)), "repeated-parameter");
    op.clock.advance(60);
    assert_eq!(code(op.bring(&[("client_id", "web"), ("request_uri", &uri)])), "request-uri-unknown", "too old");
    for guess in ["urn:ietf:params:oauth:request_uri:", "urn:ietf:params:oauth:request_uri:AAAA"] {
        assert_eq!(code(op.bring(&[("client_id", "web"), ("request_uri", guess)])), "request-uri-unknown");
    }
    // An address of somebody else's is never fetched.
    let foreign = op.authorize(&[("request_uri", "https://evil.example/request")]);
    let Asked::Redirect(to) = foreign else { panic!("{foreign:?}") };
    assert!(to.as_str().contains("error=request_uri_not_supported"), "{to}");
}

#[test]
fn a_push_is_checked_as_a_request_is_and_of_nobody_who_does_not_prove_who_it_is() {
    let op = Op::new();
    for (more, error) in [
        (&[("client_secret", "wrong")][..], "invalid_client"),
        (&[("client_secret", "")], "invalid_client"),
        (&[("client_id", "nobody")], "invalid_client"),
        (&[("request_uri", "urn:ietf:params:oauth:request_uri:x")], "invalid_request"),
        (&[("redirect_uri", "https://evil.example/")], "invalid_request"),
        (&[("redirect_uri", "https://web.example.com/cb/")], "invalid_request"),
        (&[("redirect_uri", "")], "invalid_request"),
        (&[("request", "eyJ")], "request_not_supported"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("scope", "email")], "invalid_scope"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("prompt", "none login")], "invalid_request"),
    ] {
        assert_eq!(op.push(more).unwrap_err().to_string(), error, "{more:?}");
    }
    let mut fields = with(&[&ASKED[..], &[("client_secret", "the-secret-of-web")]].concat(), &[]);
    fields.push(("scope".into(), "openid".into()));
    let repeated = TokenRequest { fields, ..TokenRequest::default() };
    assert!(op.provider.push(&op.config, "default", &repeated).is_err());
    // A public client pushes without a proof, and still with PKCE.
    let spa = [("client_id", "spa"), ("client_secret", ""), ("redirect_uri", "https://spa.example.com/cb")];
    assert!(op.push(&spa).is_ok());
    let without = [&spa[..], &[("code_challenge", ""), ("code_challenge_method", "")]].concat();
    assert_eq!(op.push(&without).unwrap_err().to_string(), "invalid_request");
}

#[test]
fn a_client_that_must_push_gets_nothing_by_a_query() {
    let mut op = Op::new();
    let HandOver::Oidc(client) = &mut op.config.applications.get_mut("web").unwrap().hand_over else { panic!() };
    client.requires_pushed = true;
    let Asked::Redirect(to) = op.authorize(&[]) else { panic!("taken") };
    assert!(to.as_str().contains("error=invalid_request") && to.as_str().contains("state=s-1"), "{to}");
    let Asked::Refused(refused) = op.authorize(&[("redirect_uri", "https://evil.example/")]) else { panic!("taken") };
    assert_eq!(refused.code, "redirect-uri-not-registered");
    let uri = op.push(&[]).unwrap();
    assert!(matches!(op.bring(&[("client_id", "web"), ("request_uri", &uri)]), Asked::Login(_)));
}

#[test]
fn whoever_floods_one_client_holds_up_no_other() {
    let op = Op::new();
    let spa = [("client_id", "spa"), ("client_secret", ""), ("redirect_uri", "https://spa.example.com/cb")];
    let first = op.push(&spa).unwrap();
    for _ in 1..200 {
        op.push(&spa).unwrap();
    }
    assert_eq!(op.push(&spa), Err(TokenError::TooMany));
    assert!(op.push(&[]).is_ok(), "another client's");
    assert!(op.push_in("acme", &[]).is_ok());
    assert!(matches!(op.bring(&[("client_id", "spa"), ("request_uri", &first)]), Asked::Login(_)), "nothing is lost");
    assert!(op.push(&spa).is_ok());
    op.clock.advance(60);
    assert!(op.push(&spa).is_ok());
}
