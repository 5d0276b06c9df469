//! What a person sees, and what nobody can make them see.

use insta::assert_snapshot;

use super::*;
use crate::login::{Choice, Class, Enrolled, Enrolment, FormError, KnownPasskey, Options, Refusal};

const EVIL: &str = "<script>alert(1)</script>\"'><svg onload=alert(1)>{{ 77777 * 77777 }}";

fn refused(code: &str) -> Step {
    Step::Refused(Refusal {
        class: Class::Denied,
        code: code.into(),
        request: "r".into(),
        login: None,
        application: Some("wiki".into()),
        again: Some("https://wiki.example.com/vestibule/start/wiki".parse().unwrap()),
        request_of: None,
    })
}

fn evil_options() -> Options {
    Options { request: Some(EVIL.into()), creation: Some(EVIL.into()) }
}

fn leave(delay: u32) -> Step {
    Step::Leave {
        to: "https://id.example.com/authorize?state=a&scope=openid%20email".parse().unwrap(),
        delay,
        upstream: EVIL.into(),
        application_name: EVIL.into(),
    }
}

fn every_page() -> Vec<fn() -> Step> {
    vec![
        || Step::AskIdentifier {
            login: EVIL.into(),
            application: "wiki".into(),
            identifier: EVIL.into(),
            error: Some(FormError::Identifier),
        },
        || Step::AskIdentifier { login: "l1".into(), application: EVIL.into(), identifier: String::new(), error: None },
        || Step::Choose {
            login: "l1".into(),
            application: "wiki".into(),
            choices: vec![Choice { id: EVIL.into(), name: EVIL.into() }],
            error: Some(FormError::Upstream),
        },
        || Step::LocalForm {
            login: "l1".into(),
            application: "wiki".into(),
            username: EVIL.into(),
            error: Some(FormError::Credentials),
        },
        || Step::SecondFactor {
            login: EVIL.into(),
            application: "wiki".into(),
            is_set_up: false,
            enrolment: Some(Enrolment { secret: Secret::new(EVIL.into()), uri: Secret::new(EVIL.into()) }),
            passkeys: evil_options(),
            is_passkey_wanted: false,
            error: Some(FormError::Code),
        },
        || Step::SecondFactor {
            login: "l1".into(),
            application: EVIL.into(),
            is_set_up: true,
            enrolment: None,
            passkeys: evil_options(),
            is_passkey_wanted: true,
            error: Some(FormError::CodeLocked),
        },
        || Step::RecoveryCodes {
            login: Some(EVIL.into()),
            application: EVIL.into(),
            codes: vec![Secret::new(EVIL.into())],
        },
        || Step::Factor {
            enrolled: Some(Box::new(Enrolled {
                issuer: EVIL.into(),
                subject: EVIL.into(),
                enrolled: 1,
                passed: 1,
                recovery_codes: 9,
                locked_until: 0,
                totp: true,
                passkeys: vec![KnownPasskey { name: EVIL.into(), id: EVIL.into(), added: 1, used: 1 }],
            })),
            enrolment: Some(Enrolment { secret: Secret::new(EVIL.into()), uri: Secret::new(EVIL.into()) }),
            passkeys: evil_options(),
            error: Some(FormError::AppCode),
        },
        || leave(5),
        || refused(EVIL),
        || refused("domain-not-allowed"),
        || Step::LoggedOut { to: None, untold: Vec::new() },
    ]
}

#[tokio::test]
async fn a48_nothing_that_came_from_outside_is_markup() {
    for step in every_page() {
        let read = Harness::stepping(step).visit("/logged-out").await;
        assert!(!read.body.contains("<script>"), "{}", read.body);
        assert!(!read.body.contains("<svg onload"), "{}", read.body);
        assert!(!read.body.contains("<Wiki>"), "{}", read.body);
        // A product that no random nonce has in it.
        assert!(!read.body.contains("6049261729"), "{}", read.body);
        let scripts = read.body.matches("<script").count();
        let has_one =
            ["id=\"timer\"", " src=\"/second-factor/passkeys.js\" "].iter().any(|text| read.body.contains(text));
        assert!(scripts == 0 || has_one && scripts == 1, "{}", read.body);
    }
}

#[tokio::test]
async fn a48_an_upstreams_error_is_not_repeated() {
    let harness = Harness::stepping(|| refused("upstream-denied"));
    for query in [
        "error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "state=%3Csvg%20onload%3Dalert(1)%3E",
        "error=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&state=x",
    ] {
        let read = harness.visit(&format!("/callback/main?{query}")).await;
        assert_eq!(read.status, StatusCode::FORBIDDEN);
        assert!(!read.body.contains("alert("), "{}", read.body);
    }
}

#[tokio::test]
async fn a48_every_page_has_a_policy_without_unsafe_parts_and_a_nonce_of_its_own() {
    let mut nonces = Vec::new();
    for step in every_page() {
        let read = Harness::stepping(step).visit("/logged-out").await;
        let policy = read.header("content-security-policy").unwrap().to_owned();
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        for part in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"] {
            assert!(policy.contains(part), "{policy}");
        }
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        assert!(nonce.len() >= 22 && read.body.contains(&format!("<style nonce=\"{nonce}\">")), "{}", read.body);
        nonces.push(nonce);
        for forbidden in [" style=", " onclick=", " onsubmit=", "javascript:", "http-equiv"] {
            assert!(!read.body.contains(forbidden), "{forbidden}: {}", read.body);
        }
    }
    let count = nonces.len();
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), count);
}

#[tokio::test]
async fn a_page_protects_itself() {
    let read = Harness::new().visit("/nothing").await;
    let head = read.head();
    let nonce = head.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    assert_snapshot!(head.replace(&nonce, "N"), @r"
    404 Not Found
    cache-control: no-store
    content-security-policy: default-src 'none'; style-src 'nonce-N'; script-src 'none'; form-action 'self' https:; base-uri 'none'; frame-ancestors 'none'
    content-type: text/html; charset=utf-8
    referrer-policy: same-origin
    strict-transport-security: max-age=31536000
    x-content-type-options: nosniff
    x-frame-options: DENY
    x-vestibule-reason: not-found
    ");
}

#[tokio::test]
async fn without_tls_there_is_no_hsts() {
    let config = CONFIG.replace("https://login.example.com", "http://localhost:8080");
    let harness = Harness::with(
        &config,
        Box::new(|_, _| Check::Anonymous),
        Box::new(|| Step::LoggedOut { to: None, untold: Vec::new() }),
    );
    let read = harness.visit("/logged-out").await;
    assert_eq!(read.header("strict-transport-security"), None);
    assert!(read.header("content-security-policy").unwrap().contains("form-action 'self' http: https:"));
}

#[tokio::test]
async fn an_error_page_names_the_reason_in_plain_words_and_the_request() {
    let read = Harness::stepping(|| refused("domain-not-allowed")).visit("/logged-out").await;
    assert_eq!(read.status, StatusCode::FORBIDDEN);
    assert!(read.body.contains("<h1>Your email domain is not accepted</h1>"), "{}", read.body);
    assert!(read.body.contains("<code>domain-not-allowed</code>"));
    assert!(read.body.contains(&format!("<code>{}</code>", read.header("x-vestibule-request").unwrap())));
    assert!(
        read.body.contains("href=\"https:&#x2f;&#x2f;wiki.example.com&#x2f;vestibule&#x2f;start&#x2f;wiki\""),
        "{}",
        read.body
    );
    // A reason without words has those of its class.
    let read = Harness::stepping(|| refused("moon-in-wrong-phase")).visit("/logged-out").await;
    assert!(read.body.contains("<h1>You cannot enter here</h1>"), "{}", read.body);
    assert!(read.body.contains("<code>moon-in-wrong-phase</code>"));
    // What is no reason is not shown at all.
    for code in ["", "Not A Code", "x\u{202e}y", EVIL] {
        let read = Harness::stepping(move || refused(code)).visit("/logged-out").await;
        assert!(read.body.contains("<code>denied</code>"), "{}", read.body);
    }
}

#[tokio::test]
async fn leaving_without_a_delay_is_a_redirect_and_with_one_a_page() {
    let to = "https://id.example.com/authorize?state=a&scope=openid%20email";
    let read = Harness::stepping(|| leave(0)).visit("/logged-out").await;
    assert_eq!((read.status, read.header("location")), (StatusCode::SEE_OTHER, Some(to)));
    let read = Harness::stepping(|| leave(7)).visit("/logged-out").await;
    assert_eq!(read.status, StatusCode::OK);
    let href = "href=\"https:&#x2f;&#x2f;id.example.com&#x2f;authorize?state=a&amp;scope=openid%20email\"";
    assert!(read.body.contains(href), "{}", read.body);
    assert!(read.body.contains("data-seconds=\"7\""));
}

#[tokio::test]
async fn forms_carry_the_logins_id_and_work_without_javascript() {
    let step = || Step::Choose {
        login: "l1".into(),
        application: "wiki".into(),
        choices: vec![
            Choice { id: "main".into(), name: "Staff & Friends".into() },
            Choice { id: "guests".into(), name: "Guests".into() },
        ],
        error: None,
    };
    let read = Harness::stepping(step).visit("/logged-out").await;
    for part in [
        "<form method=\"post\" action=\"&#x2f;login&#x2f;wiki\"",
        "<input type=\"hidden\" name=\"login\" value=\"l1\">",
        "name=\"upstream\" value=\"main\"><span>Staff &amp; Friends</span>",
        "<b>The &lt;Wiki&gt;</b>",
        "<html lang=\"en\">",
        "<main>",
    ] {
        assert!(read.body.contains(part), "{part}: {}", read.body);
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_where_a_screen_reader_finds_it() {
    let step = || Step::LocalForm {
        login: "l1".into(),
        application: "wiki".into(),
        username: "ada".into(),
        error: Some(FormError::Credentials),
    };
    let read = Harness::stepping(step).visit("/logged-out").await;
    for part in [
        "role=\"alert\"",
        "The username or the password is not right.",
        "aria-invalid=\"true\" aria-describedby=\"error\"",
        "<label for=\"password\">",
        "autocomplete=\"current-password\"",
        "value=\"ada\"",
    ] {
        assert!(read.body.contains(part), "{part}: {}", read.body);
    }
}
