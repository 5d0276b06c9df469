//! The emergency door's page: it is where it is, and nobody is told.

use super::*;
use crate::login::{Choice, FormError};

const DOOR: &str = "/door-0123456789abcdef";
const OURS: [(&str, &str); 3] =
    [("host", "login.example.com"), ("origin", "https://login.example.com"), ("sec-fetch-site", "same-origin")];

fn config() -> String {
    format!("{CONFIG}\n[accounts]\nfile = \"accounts.toml\"\n[emergency]\npath = \"{DOOR}\"\ncomponent = \"e.wasm\"\n")
}

fn harness(step: impl Fn() -> Step + Send + Sync + 'static) -> Harness {
    Harness::with(&config(), Box::new(|_, _| Check::NoSession { cookies: Vec::new() }), Box::new(step))
}

fn form() -> Step {
    Step::DoorForm { login: "l1".into(), application: "wiki".into(), username: String::new(), error: None }
}

#[tokio::test]
async fn the_door_is_at_its_path_and_nowhere_near_it() {
    let harness = harness(form);
    let read = harness.visit(&format!("{DOOR}?app=wiki")).await;
    assert_eq!(read.status, StatusCode::OK, "{}", read.body);
    let headers = [OURS[0], OURS[1], OURS[2]];
    let sent = harness.send(with(Request::post(DOOR), &headers), "login=l1&username=ada&password=p+w").await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.body);
    let asked: Vec<_> = harness.asked().into_iter().map(|call| call.split(" by ").next().unwrap().to_owned()).collect();
    assert!(asked[0].starts_with("door Some(\"wiki\")"), "{asked:?}");
    assert_eq!(asked[1], "knock l1 ada p w");

    let nothing = harness.visit("/nothing-is-here").await;
    let other = |read: &Read| (read.status, read.head());
    for path in
        ["/door-0123456789abcde", "/door-0123456789abcdef/", "/door-0123456789abcdeF", "/%64oor-0123456789abcdef"]
    {
        assert_eq!(other(&harness.visit(path).await).0, nothing.status, "{path}");
    }
    // Without a door the path is as any other.
    assert_eq!(Harness::new().visit(DOOR).await.status, StatusCode::NOT_FOUND);
    for method in ["PUT", "DELETE", "OPTIONS"] {
        let request = Request::builder().method(method).uri(DOOR).header("host", "login.example.com");
        assert_eq!(harness.send(request, "").await.status, StatusCode::NOT_FOUND, "{method}");
    }
    assert!(harness.asked().is_empty());
}

#[tokio::test]
async fn no_page_no_header_and_no_fact_says_where_the_door_is() {
    let evil = "<script>alert(1)</script>";
    let pages: [fn() -> Step; 3] = [
        form,
        || Step::DoorForm {
            login: "l1".into(),
            application: "wiki".into(),
            username: "<script>alert(1)</script>".into(),
            error: Some(FormError::Credentials),
        },
        || Step::DoorChoice {
            applications: vec![Choice { id: "wiki".into(), name: "<script>alert(1)</script>".into() }],
        },
    ];
    for step in pages {
        let harness = harness(step);
        let request = Request::get(DOOR)
            .header("host", "login.example.com")
            .header("referer", format!("https://login.example.com{DOOR}"));
        let read = harness.send(request, "").await;
        assert_eq!(read.status, StatusCode::OK);
        assert!(!read.body.contains("0123456789abcdef"), "{}", read.body);
        assert!(!read.head().contains("0123456789abcdef"), "{}", read.head());
        assert!(!read.body.contains(evil), "{}", read.body);
        assert_eq!(read.header("referrer-policy"), Some("strict-origin"));
        assert_eq!(read.header("cache-control"), Some("no-store"));
        assert!(!read.body.contains("<script"), "it works without");
        let asked = harness.asked().remove(0);
        assert!(!asked.contains("0123456789abcdef"), "{asked}");
        assert!(asked.contains("/emergency") && !asked.contains("header.referer"), "{asked}");
    }
}

#[tokio::test]
async fn a40_a_form_of_another_site_is_not_the_doors() {
    let harness = harness(form);
    for more in [("origin", "https://evil.example.net"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let headers = [("host", "login.example.com"), more];
        let read = harness.send(with(Request::post(DOOR), &headers), "login=l1&username=a&password=b").await;
        assert_eq!(read.status, StatusCode::FORBIDDEN, "{more:?}");
    }
    let framed = Request::get(DOOR)
        .header("host", "login.example.com")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-dest", "iframe");
    assert_eq!(harness.send(framed, "").await.status, StatusCode::FORBIDDEN);
    assert!(harness.asked().is_empty());
}
