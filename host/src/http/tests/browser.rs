//! What browsers and their attackers send.

use super::*;

const OURS: [(&str, &str); 3] =
    [("host", "login.example.com"), ("origin", "https://login.example.com"), ("sec-fetch-site", "same-origin")];

async fn post(harness: &Harness, target: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Read {
    harness.send(with(Request::post(target), headers), body).await
}

#[tokio::test]
async fn each_route_asks_the_login_for_its_own_step() {
    let harness = Harness::new();
    for target in [
        "/vestibule/start/wiki?rd=%2Fpage&max-age=60&acr-values=mfa+phr",
        "/vestibule/enter/wiki?ticket=t1",
        "/vestibule/logout/wiki?rd=%2F",
        "/login/wiki?from=https%3A%2F%2Fwiki.example.com&rd=%2Fpage&binding=b1&acr-values=mfa",
        "/callback/main?code=c&state=s1",
        "/logout?application=wiki",
        "/logged-out?state=s2",
    ] {
        let read = harness.visit(target).await;
        assert_eq!(read.status, StatusCode::OK, "{target}: {}", read.body);
    }
    post(&harness, "/login/wiki", &OURS, "login=l1&identifier=ada%40example.com").await;
    post(&harness, "/login/wiki", &OURS, "login=l1&upstream=main").await;
    post(&harness, "/login/wiki/local", &OURS, "login=l1&username=ada&password=p+w").await;
    let asked: Vec<_> = harness.asked().into_iter().map(|call| call.split(" by ").next().unwrap().to_owned()).collect();
    assert_eq!(
        asked,
        [
            "start wiki Some(\"/page\") Some(60) [\"mfa\", \"phr\"]",
            "enter wiki t1",
            "depart wiki Some(\"/\")",
            "begin wiki https://wiki.example.com /page b1 None [\"mfa\"]",
            "callback main Some(\"s1\")",
            "logout Some(\"wiki\") None",
            "logged_out Some(\"s2\")",
            "identified l1 ada@example.com",
            "chosen l1 main",
            "local l1 ada p w",
        ]
    );
}

#[tokio::test]
async fn a40_a_form_from_another_site_is_refused_before_anything_is_decided() {
    let harness = Harness::new();
    for more in [
        ("origin", "https://evil.example.net"),
        ("origin", "null"),
        ("origin", "http://login.example.com"),
        ("origin", "https://login.example.com:8443"),
        ("origin", "https://login.example.com.evil.example.net"),
        ("origin", ""),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
    ] {
        for target in ["/login/wiki", "/login/wiki/local", "/logout"] {
            let headers = [("host", "login.example.com"), more];
            let read = post(&harness, target, &headers, "login=l1&username=a&password=b&identifier=c").await;
            assert_eq!(read.status, StatusCode::FORBIDDEN, "{target} {more:?}");
            assert_eq!(read.header("x-vestibule-reason"), Some("cross-site-form"), "{target} {more:?}");
        }
    }
    // On an application's host, a form of the gateway's host is one of another site.
    let headers = [("host", "wiki.example.com"), ("origin", "https://login.example.com")];
    assert_eq!(post(&harness, "/vestibule/logout/wiki", &headers, "").await.status, StatusCode::FORBIDDEN);
    assert!(harness.asked().is_empty());
    let headers = [("host", "wiki.example.com"), ("origin", "https://wiki.example.com")];
    assert_eq!(post(&harness, "/vestibule/logout/wiki", &headers, "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_page_of_another_site_begins_and_ends_nothing_behind_a_persons_back() {
    let harness = Harness::new();
    let targets = [
        "/logout",
        "/vestibule/logout/wiki",
        "/vestibule/start/wiki?rd=%2F",
        "/login/wiki?from=https%3A%2F%2Fwiki.example.com&rd=%2F&binding=b1",
    ];
    let asked = |mode: &str, site: &str, destination: &str, target: &str| {
        Request::get(target)
            .header("host", "login.example.com")
            .header("sec-fetch-mode", mode)
            .header("sec-fetch-site", site)
            .header("sec-fetch-dest", destination)
    };
    for target in targets {
        for (mode, site, destination) in [
            ("no-cors", "cross-site", "image"),
            ("no-cors", "same-origin", "image"),
            ("no-cors", "same-site", "script"),
            ("cors", "cross-site", "empty"),
            ("websocket", "cross-site", "websocket"),
            ("navigate", "cross-site", "iframe"),
            ("navigate", "cross-site", "frame"),
            ("navigate", "cross-site", "embed"),
            ("navigate", "cross-site", "object"),
            ("navigate", "none", "iframe"),
        ] {
            let read = harness.send(asked(mode, site, destination, target), "").await;
            assert_eq!(read.status, StatusCode::FORBIDDEN, "{target} {mode} {site} {destination}");
            assert_eq!(read.header("x-vestibule-reason"), Some("cross-site-visit"), "{target}");
        }
    }
    assert!(harness.asked().is_empty());
    for target in targets {
        for (site, destination) in [
            ("cross-site", "document"),
            ("none", "document"),
            ("same-origin", "document"),
            ("same-site", "iframe"),
            ("same-origin", "iframe"),
        ] {
            let read = harness.send(asked("navigate", site, destination, target), "").await;
            assert_eq!(read.status, StatusCode::OK, "{target} {site} {destination}");
        }
        assert_eq!(harness.visit(target).await.status, StatusCode::OK, "{target} from what is no browser of today");
    }
}

#[tokio::test]
async fn a_request_from_anywhere_ends_a_session_only_after_the_person_was_asked() {
    // `/oidc/logout` may be asked for from any site (OIDC RP-Initiated Logout §2).
    let harness = Harness::new();
    for target in ["/oidc/logout", "/oidc/logout?client_id=portal", "/oidc/logout?state=x"] {
        let read = harness.visit(target).await;
        assert_eq!(read.status, StatusCode::OK, "{target}");
        assert!(read.body.contains("<h1>Log out?</h1>") && read.body.contains("action=\"/logout\""), "{}", read.body);
    }
    assert!(harness.asked().is_empty());
    let read = harness.visit("/oidc/logout?client_id=portal&post_logout_redirect_uri=https%3A%2F%2Fevil.com%2F").await;
    assert_eq!(read.status, StatusCode::BAD_REQUEST);
    let read = harness.visit("/oidc/logout?id_token_hint=eyJhbGciOiJub25lIn0.e30.").await;
    assert_eq!(read.status, StatusCode::BAD_REQUEST);
    assert!(harness.asked().is_empty());
    // The page's own form is taken, and no other site's.
    post(&harness, "/logout", &OURS, "application=portal").await;
    assert_eq!(harness.asked().len(), 1);
}

#[tokio::test]
async fn a67_garbage_in_a_form_is_a_bad_request() {
    let harness = Harness::new();
    let bodies: [&[u8]; 9] = [
        b"",
        b"&&&",
        b"=",
        b"%zz",
        b"\xff\xfe\x00",
        b"{\"login\":\"l1\"}",
        b"login=",
        b"login=l1",
        b"login=l1&login=l2&identifier=a",
    ];
    for body in bodies {
        for target in ["/login/wiki", "/login/wiki/local"] {
            let read = post(&harness, target, &OURS, body).await;
            assert_eq!(read.status, StatusCode::BAD_REQUEST, "{target} {body:?}");
        }
    }
    assert_eq!(post(&harness, "/login/wiki", &OURS, "login=l&identifier=a&upstream=b").await.status, 400);
    for target in ["/login/%ff", "/callback/%ff", "/vestibule/enter/%ff?ticket=a"] {
        assert!(harness.visit(target).await.status.is_client_error(), "{target}");
    }
    for target in ["/login/wiki", "/vestibule/enter/wiki", "/callback/main?code=a&code=b", "/login/wiki?%zz"] {
        assert_eq!(harness.visit(target).await.status, StatusCode::BAD_REQUEST, "{target}");
    }
    assert!(harness.asked().is_empty());
}

#[tokio::test]
async fn a_body_and_headers_have_a_limit() {
    let harness = Harness::new();
    let body = format!("login=l1&identifier={}", "a".repeat(5000));
    assert_eq!(post(&harness, "/login/wiki", &OURS, body).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let long = "a".repeat(9000);
    for target in ["/healthz", "/vestibule/verify/wiki", "/nothing"] {
        let read = harness.send(Request::get(target).header("x-long", &long), "").await;
        assert_eq!(read.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "{target}");
    }
    assert!(harness.asked().is_empty());
}

#[tokio::test]
async fn a_request_that_hangs_ends_in_a_page() {
    let read = Harness::new().visit("/callback/main?code=hang").await;
    assert_eq!(read.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(read.header("x-vestibule-reason"), Some("timed-out"));
}

#[tokio::test]
async fn a_panic_ends_in_a_page_that_does_not_say_what_happened() {
    let harness = Harness::stepping(|| panic!("the secret of {}", "zoe@example.com"));
    let read = harness.visit("/logged-out").await;
    assert_eq!(read.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!read.body.contains("zoe") && !read.body.contains("secret"), "{}", read.body);
    assert!(read.body.contains(read.header("x-vestibule-request").unwrap()));
    assert!(read.header("content-security-policy").is_some());
    assert_eq!(harness.visit("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_id_that_came_in_is_not_taken() {
    let harness = Harness::new();
    let request = Request::get("/nothing").header("x-request-id", "mine").header("x-vestibule-request", "mine");
    let read = harness.send(request, "").await;
    assert_ne!(read.header("x-vestibule-request"), Some("mine"));
    assert_eq!(read.header("x-vestibule-request").unwrap().len(), 16);
}

#[tokio::test]
async fn an_unknown_method_is_refused_with_a_page() {
    let harness = Harness::new();
    for (method, target) in
        [("DELETE", "/login/wiki"), ("PUT", "/logout"), ("POST", "/healthz"), ("TRACE", "/logged-out")]
    {
        let read = harness.send(Request::builder().method(method).uri(target), "").await;
        assert_eq!(read.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {target}");
    }
    assert!(harness.asked().is_empty());
}

#[tokio::test]
async fn a14_a_browser_without_a_proxy_is_who_its_connection_says() {
    let harness = Harness::new().from("203.0.113.9:1");
    let request = Request::get("/vestibule/start/wiki?rd=%2F").header("host", "wiki.example.com");
    let more =
        [("x-forwarded-for", "10.0.0.7"), ("x-forwarded-host", "evil.example.net"), ("x-forwarded-proto", "http")];
    harness.send(with(request, &more), "").await;
    let asked = harness.asked();
    assert!(asked[0].ends_with("by 203.0.113.9 on https://wiki.example.com/"), "{asked:?}");
}
