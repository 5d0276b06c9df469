//! Attacks from outside, on the gateway as it runs behind a real proxy. The rows that need
//! no proxy are tested beside the code that refuses them.

use http::Method;
use url::Url;
use vestibule_tests::browser::Browser;

use crate::scene::{Scene, With};

#[tokio::test(flavor = "multi_thread")]
async fn a01_to_a03_a_login_never_leads_to_a_foreign_host() {
    let scene = Scene::start(With::Nginx).await;
    for rd in [
        "/\\evil.com",
        "/%09/evil.com",
        "/%0a/evil.com",
        "/%20//evil.com",
        "//evil.com",
        "///evil.com",
        "https:evil.com",
        "https://evil.com",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://127.0.0.1@evil.com/",
        "\\\\evil.com",
        "http:\\\\evil.com",
        "/\t/evil.com",
    ] {
        let mut browser = Browser::new();
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("rd", rd).finish();
        for query in [query, format!("rd={rd}")] {
            let Ok(url) = Url::parse(&format!("{}/vestibule/start/app?{query}", scene.site)) else { continue };
            let page = browser.get(url.as_str()).await;
            if !page.url.as_str().starts_with(&scene.op.issuer) {
                assert!(page.status.is_client_error(), "{rd}: {} {}", page.status, page.url);
                continue;
            }
            // At the provider there may be a session from the round before.
            let page = if page.forms().is_empty() { page } else { scene.sign_in(&mut browser, page, "alice").await };
            assert!(page.url.as_str().starts_with(&scene.site), "{rd} leads to {}", page.url);
            browser = Browser::new();
        }
    }
}

async fn headers_from_outside_do_not_arrive(with: With) {
    let scene = Scene::start(with).await;
    let mut browser = Browser::new();
    assert_eq!(scene.log_in(&mut browser, "alice").await.status, 200);
    let url = Url::parse(&format!("{}/", scene.site)).unwrap();
    for name in [
        "X-Forwarded-User",
        "x-forwarded-user",
        "X_Forwarded_User",
        "x-forwarded_user",
        "X-FORWARDED-GROUPS",
        "X_Forwarded-Groups",
        "x_forwarded_email",
        "X-Vestibule-Assertion",
        "X_Vestibule_Assertion",
    ] {
        let page = browser.request(Method::GET, &url, None, &[(name, "admin")]).await;
        if page.status == 200 {
            let headers = page.json()["headers"].clone();
            for (arrived, values) in headers.as_object().expect("headers") {
                let canonical = arrived.replace('_', "-").to_ascii_lowercase();
                if canonical.starts_with("x-forwarded-") || canonical.starts_with("x-vestibule-") {
                    assert!(!values.to_string().contains("admin"), "{name} arrived as {arrived}: {values}");
                }
            }
        } else {
            assert!(page.status.is_client_error(), "{name}: {}", page.status);
        }
        // Without a session it opens nothing either.
        let stranger = Browser::new().request(Method::GET, &url, None, &[(name, "admin")]).await;
        assert_ne!(stranger.status, 200, "{name}");
    }
}

/// Whatever a client says of itself, and however it writes a path: without a session no page
/// opens, and with one no hidden page does.
async fn nothing_that_a_client_says_opens_a_page(with: With) {
    let scene = Scene::start(with).await;
    let url = Url::parse(&format!("{}/admin", scene.site)).unwrap();
    for headers in [
        [("X-Forwarded-Uri", "/public")],
        [("X-Original-Uri", "/public")],
        [("X-Original-Url", "%zz")],
        [("User-Agent", "GoogleHC/1.0")],
        [("X-Forwarded-Proto", "http")],
        [("X-Forwarded-Host", "public.example.com")],
        [("X-Forwarded-For", "a")],
        [("X-Forwarded-Method", "OPTIONS")],
        [("X-Original-Method", "OPTIONS")],
        [("Connection", "close, X-Forwarded-User")],
        [("Cookie", "vestibule-app-app=garbage")],
        [("Cookie", "vestibule-app-app=; vestibule-app-app=; vestibule-app-app.0=x; vestibule-app-app.99999999999=x")],
        [("Cookie", "=;;;=; x")],
    ] {
        let page = Browser::new().request(Method::GET, &url, None, &headers).await;
        assert!(page.status.is_redirection() || page.status.is_client_error(), "{headers:?}: {}", page.status);
        assert!(!page.body.contains("\"application\":true"), "{headers:?}");
    }
    let preflight = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "PUT")];
    let page = Browser::new().request(Method::OPTIONS, &url, None, &preflight).await;
    assert_ne!(page.status, 200, "a24: {}", page.body);
    let page = Browser::new().request(Method::POST, &url, Some(("text/plain", "x".into())), &[]).await;
    assert!(page.status != 200 && !page.body.contains("\"application\""), "a68: {} {}", page.status, page.body);

    let mut browser = Browser::new();
    assert_eq!(scene.log_in(&mut browser, "alice").await.status, 200);
    let session = scene.session(&browser);
    for target in [
        "/hidden/x",
        "//hidden/x",
        "/./hidden/x",
        "/public/../hidden/x",
        "/public/%2e%2e/hidden/x",
        "/public/..%2fhidden/x",
        "/public/..;/hidden/x",
        "/public\\..\\hidden/x",
        "/%68idden/x",
        "/hidden%2Fx",
        "/hidden/x%23/public",
        "/hidden/x#/public",
        "/hidden/%zz",
        "/hidden/x?y=/public",
        "/hidden/\u{1}x",
        "http://127.0.0.1/hidden/x",
        "http://public.example.com/hidden/x",
    ] {
        for headers in ["", "X-Forwarded-Uri: /public\r\nX-Original-URI: /public\r\nX-Forwarded-Method: GET\r\n"] {
            let request = format!(
                "GET {target} HTTP/1.1\r\nHost: HOST\r\nCookie: vestibule-app-app={session}\r\n{headers}Connection: close\r\n\r\n"
            );
            let heard = scene.raw(&request).await;
            assert!(!heard.contains("\"application\""), "{target} {headers:?}\n{heard}");
        }
    }
    // The way is open, for what may pass.
    let request = format!(
        "GET /public/x?y HTTP/1.1\r\nHost: HOST\r\nCookie: vestibule-app-app={session}\r\nConnection: close\r\n\r\n"
    );
    assert!(scene.raw(&request).await.contains("\"uri\":\"/public/x?y\""));
}

/// What a proxy asks about without a body it may not take for the start of the next request.
async fn a_body_goes_to_the_application_alone(with: With) {
    let scene = Scene::start(with).await;
    let mut browser = Browser::new();
    assert_eq!(scene.log_in(&mut browser, "alice").await.status, 200);
    let session = scene.session(&browser);
    let smuggled = "GET /hidden/x HTTP/1.1\r\nHost: HOST\r\nX-Forwarded-User: admin\r\n\r\n";
    for body in [
        format!("Content-Length: {}\r\n\r\n{smuggled}", scene.filled(smuggled).len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n", scene.filled(smuggled).len()),
    ] {
        for cookie in [session.as_str(), "garbage"] {
            let request = format!(
                "POST /page HTTP/1.1\r\nHost: HOST\r\nCookie: vestibule-app-app={cookie}\r\nConnection: close\r\n{body}"
            );
            let heard = scene.raw(&request).await;
            assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{heard}");
            assert_eq!(heard.contains("\"uri\":\"/page\""), cookie != "garbage", "{heard}");
        }
    }
}

/// The same through each proxy.
macro_rules! through_each_proxy {
    ($($name:ident: $attack:ident),+ $(,)?) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn through_nginx() {
                $attack(With::Nginx).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn through_traefik() {
                $attack(With::Traefik).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn through_caddy() {
                $attack(With::Caddy).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn through_envoy() {
                $attack(With::Envoy).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn through_haproxy() {
                $attack(With::HaProxy).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn through_our_own() {
                $attack(With::Own).await;
            }
        }
    )+};
}

through_each_proxy! {
    a11_headers_from_outside_do_not_arrive: headers_from_outside_do_not_arrive,
    a13_to_a25_nothing_that_a_client_says_opens_a_page: nothing_that_a_client_says_opens_a_page,
    a20_a68_a_body_goes_to_the_application_alone: a_body_goes_to_the_application_alone,
}

#[tokio::test(flavor = "multi_thread")]
async fn a40_a_callback_belongs_to_the_browser_that_began() {
    let scene = Scene::start(With::Nginx).await;
    let mut victim = Browser::new();
    let mut attacker = Browser::new();
    // The attacker logs in at the provider, and keeps the callback to themself.
    let page = attacker.get(&format!("{}/", scene.site)).await;
    let done = scene.sign_in(&mut attacker, page, "bob").await;
    assert_eq!(done.status, 200);
    let callback =
        attacker.trail.iter().find(|page| page.url.path() == "/callback/op").expect("a callback").url.clone();
    // In another browser it is worth nothing, with or without a login of its own.
    assert!(victim.get(callback.as_str()).await.status.is_client_error());
    victim.get(&format!("{}/", scene.site)).await;
    assert!(victim.get(callback.as_str()).await.status.is_client_error());
    assert_ne!(victim.peek(&format!("{}/", scene.site)).await.status, 200);
    // Nor a second time in the same one.
    assert!(attacker.get(callback.as_str()).await.status.is_client_error());
}

#[tokio::test(flavor = "multi_thread")]
async fn a41_an_answer_in_another_issuers_name_is_refused() {
    let scene = Scene::start(With::Nginx).await;
    for iss in ["https://evil.example", "", "null", "twice"] {
        // A login of its own for each: a state that was used is refused for that alone.
        let mut browser = Browser::new();
        let page = browser.get(&format!("{}/", scene.site)).await;
        assert!(page.url.as_str().starts_with(&scene.op.issuer));
        let began = browser.trail.iter().find_map(|page| page.location().filter(|url| url.path() == "/auth"));
        let began = began.expect("a request");
        let state = began.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
        let iss = if iss == "twice" { format!("{}&iss=https://evil.example", scene.op.issuer) } else { iss.into() };
        let page = browser.get(&format!("{}/callback/op?code=x&state={state}&iss={iss}", scene.gateway.url())).await;
        assert!(page.status.is_client_error() || page.status.is_server_error(), "{iss}: {}", page.status);
        let reason = page.header("x-vestibule-reason");
        assert!(reason.starts_with("iss-parameter-") || reason == "query-unreadable", "{iss}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a48_what_an_upstream_says_is_shown_escaped_or_not_at_all() {
    let scene = Scene::start(With::Nginx).await;
    let mut browser = Browser::new();
    browser.get(&format!("{}/", scene.site)).await;
    let began =
        browser.trail.iter().find_map(|page| page.location().filter(|url| url.path() == "/auth")).expect("a request");
    let state = began.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    for query in [
        format!("error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/script%3E&state={state}"),
        "error=%3Csvg%20onload%3Dalert(1)%3E&state=%3Csvg%20onload%3Dalert(1)%3E".to_owned(),
    ] {
        let page = browser.get(&format!("{}/callback/op?{query}", scene.gateway.url())).await;
        assert!(!page.status.is_success());
        assert!(!page.body.contains("<script>alert") && !page.body.contains("<svg onload"), "{}", page.body);
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe-inline"), "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a60_to_a62_a_session_is_new_at_each_login_and_nobody_elses() {
    let scene = Scene::start(With::Nginx).await;
    let mut browser = Browser::new();
    assert_eq!(scene.log_in(&mut browser, "alice").await.status, 200);
    let first = browser.cookies("127.0.0.1");
    // Another login in the same browser, with the old cookies in the jar.
    let page = browser.get(&format!("{}/vestibule/start/app?rd=/&max-age=0", scene.site)).await;
    if page.url.as_str().starts_with(&scene.op.issuer) {
        assert_eq!(scene.sign_in(&mut browser, page, "alice").await.status, 200);
    }
    let second = browser.cookies("127.0.0.1");
    assert_ne!(first.get("vestibule-app-app"), second.get("vestibule-app-app"));
    // Two cookies of one name: neither counts.
    let (old, live) = (first["vestibule-app-app"].clone(), second["vestibule-app-app"].clone());
    let status = async |cookies: &str| {
        let mut browser = Browser::new();
        browser.headers.push(("cookie".into(), cookies.to_owned()));
        browser.peek(&format!("{}/", scene.site)).await.status
    };
    assert_eq!(status(&format!("vestibule-app-app={live}")).await, 200, "alone it opens the door");
    for [one, two] in [[&old, &live], [&live, &old], [&live, &live], [&live, &"x".to_owned()]] {
        assert_ne!(status(&format!("vestibule-app-app={one}; vestibule-app-app={two}")).await, 200);
    }
    assert_ne!(status(&format!("vestibule-app-app={old}")).await, 200, "the login before it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a67_nonsense_crashes_nothing() {
    let scene = Scene::start(With::Nginx).await;
    for path in
        ["/login/app", "/login/app/local", "/logout", "/oidc/token", "/callback/op", "/login/%ff", "/login/app?%ff=%ff"]
    {
        for body in [String::new(), "%%%".into(), "a=b&a=b".into(), "\u{0}".into()] {
            let url = Url::parse(&format!("{}{path}", scene.gateway.url())).unwrap();
            let page = Browser::new()
                .request(Method::POST, &url, Some(("application/x-www-form-urlencoded", body)), &[])
                .await;
            // Logging out nobody is no error.
            assert!(
                page.status.is_client_error() || (path == "/logout" && page.status == 200),
                "{path}: {}",
                page.status
            );
        }
    }
    assert_eq!(Browser::new().get(&format!("{}/healthz", scene.gateway.url())).await.status, 200);
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200);
}
