//! What proxies get to hear.

use insta::assert_snapshot;

use super::*;
use crate::{
    login::{Class, Refusal},
    session::{Jar, SetCookie, Slot},
};

fn refusal(class: Class, code: &str) -> Check {
    Check::Refused(Refusal {
        class,
        code: code.into(),
        request: "r".into(),
        login: None,
        application: Some("wiki".into()),
        again: None,
        request_of: None,
    })
}

#[tokio::test]
async fn a_live_session_passes_with_every_identity_header() {
    let read = Harness::live().verify("wiki", "/page?x=1", &[]).await;
    assert_snapshot!(read.head(), @r"
    200 OK
    cache-control: no-store
    x-forwarded-email: ada@example.com
    x-forwarded-groups: staff,wiki%2C editors
    x-forwarded-name: Ada Lovelace
    x-forwarded-user: ada
    x-vestibule-assertion: 0.1700000060
    ");
    assert_eq!(read.body, "");
    let forwarded = Harness::live().forward("wiki", "GET", "/page?x=1", &[]).await;
    assert_eq!(forwarded.head(), read.head());
}

#[tokio::test]
async fn a_request_that_a_guest_must_be_asked_about_waits_for_its_answer() {
    let harness = Harness::live();
    assert_eq!(harness.verify("wiki", "/guarded/x", &[]).await.status, StatusCode::OK);
    assert_eq!(
        harness.asked(),
        ["check wiki GET wiki.example.com /guarded/x by 192.0.2.1 on https://wiki.example.com/"]
    );
    let denied = Harness::checking(Box::new(|_, _| refusal(Class::Denied, "policy-denied")));
    assert_eq!(denied.verify("wiki", "/guarded/x", &[]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn only_a_path_of_exactly_one_application_is_a_question_of_a_proxy() {
    let harness = Harness::live();
    for path in ["", "/", "/wiki/", "/wiki/x", "//wiki", "/wiki//"] {
        for kind in ["verify", "forward"] {
            let read = harness.visit(&format!("/vestibule/{kind}{path}")).await;
            assert_eq!(read.status, StatusCode::NOT_FOUND, "{kind}{path}");
            assert!(read.headers.contains_key("content-security-policy"), "{kind}{path}: as any page");
        }
    }
    for application in ["nobody", "Wiki", "w%69ki", "wiki%2f"] {
        let read = harness.verify(application, "/", &[]).await;
        assert_eq!(read.header("x-vestibule-reason"), Some("unknown-application"), "{application}");
    }
    assert_eq!(harness.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a16_nobody_passes_without_a_session_whoever_they_say_they_are() {
    let harness = Harness::new();
    for more in [
        ("user-agent", "GoogleHC/1.0"),
        ("user-agent", "kube-probe/1.30"),
        ("x-health-check", "1"),
        ("authorization", "Bearer x"),
        ("x-forwarded-for", "127.0.0.1"),
        ("accept", "*/*"),
    ] {
        let read = harness.verify("wiki", "/admin", &[more]).await;
        assert_eq!(read.status, StatusCode::UNAUTHORIZED, "{more:?}");
        assert_eq!(harness.forward("wiki", "GET", "/admin", &[more]).await.status, StatusCode::FOUND, "{more:?}");
        for path in ["/healthz", "/ping", "/vestibule/verify/wiki"] {
            assert_eq!(harness.verify("wiki", path, &[more]).await.status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
    assert_eq!(harness.visit("/healthz").await.body, "ok\n");
    for path in ["/healthz/", "/healthz/x", "/Healthz", "//healthz"] {
        assert_eq!(harness.visit(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn nginx_hears_where_the_login_starts_and_no_redirect() {
    let read = Harness::new().verify("wiki", "/page?x=1&y=2", &[]).await;
    assert_snapshot!(read.head(), @r"
    401 Unauthorized
    cache-control: no-store
    content-security-policy: default-src 'none'; base-uri 'none'; frame-ancestors 'none'
    content-type: text/plain; charset=utf-8
    referrer-policy: same-origin
    strict-transport-security: max-age=31536000
    www-authenticate: Vestibule
    x-content-type-options: nosniff
    x-frame-options: DENY
    x-vestibule-reason: not-logged-in
    x-vestibule-start: https://wiki.example.com/vestibule/start/wiki?rd=https%3A%2F%2Fwiki.example.com%2Fpage%3Fx%3D1%26y%3D2
    ");
    assert_eq!(read.body, "not-logged-in");
}

#[tokio::test]
async fn a_person_is_sent_to_log_in_and_a_script_is_told_so() {
    let harness = Harness::new();
    let start = "https://wiki.example.com/vestibule/start/wiki?rd=https%3A%2F%2Fwiki.example.com%2Fpage";
    for more in [&[][..], &[("sec-fetch-mode", "navigate")]] {
        let read = harness.forward("wiki", "GET", "/page", more).await;
        assert_eq!((read.status, read.header("location")), (StatusCode::FOUND, Some(start)));
    }
    for more in [("sec-fetch-mode", "cors"), ("sec-fetch-mode", "websocket"), ("x-requested-with", "XMLHttpRequest")] {
        let read = harness.forward("wiki", "GET", "/page", &[more]).await;
        assert_eq!((read.status, read.header("location")), (StatusCode::UNAUTHORIZED, None), "{more:?}");
    }
    // A host that is none of the application's: its own start, and nothing of the address.
    let read = harness.send(
        Request::get("/vestibule/forward/wiki")
            .header("host", "gateway.internal")
            .header("x-forwarded-host", "evil.example.net")
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-uri", "/page"),
        "",
    );
    assert_eq!(read.await.header("location"), Some("https://wiki.example.com/vestibule/start/wiki"));
}

#[tokio::test]
async fn a_policy_that_wants_a_fresh_login_gets_one() {
    let harness = Harness::checking(Box::new(|_, _| {
        Check::Reauthenticate(Demand { max_age: Some(300), acr_values: vec![], fresh: false })
    }));
    let read = harness.verify("wiki", "/admin", &[]).await;
    assert_eq!(read.status, StatusCode::UNAUTHORIZED);
    assert!(read.header("x-vestibule-start").unwrap().ends_with("&max-age=300"));
    let read = harness.forward("wiki", "GET", "/admin", &[]).await;
    assert_eq!(read.status, StatusCode::FOUND);
    assert!(read.header("location").unwrap().ends_with("&max-age=300"));
}

#[tokio::test]
async fn a_denial_is_a_403_for_both_kinds_of_proxy() {
    let harness = Harness::checking(Box::new(|_, _| refusal(Class::Denied, "admins-only")));
    let read = harness.verify("wiki", "/admin", &[]).await;
    assert_eq!((read.status, read.body.as_str()), (StatusCode::FORBIDDEN, "admins-only"));
    let read = harness.forward("wiki", "GET", "/admin", &[]).await;
    assert_eq!(read.status, StatusCode::FORBIDDEN);
    assert!(read.body.contains("<code>admins-only</code>"), "{}", read.body);
}

#[tokio::test]
async fn nginx_never_hears_another_4xx_than_those_it_understands() {
    for (class, status) in [
        (Class::BadRequest, 400),
        (Class::Denied, 403),
        (Class::Expired, 400),
        (Class::NotFound, 403),
        (Class::TooOften, 403),
        (Class::Unavailable, 503),
        (Class::Upstream, 502),
    ] {
        let harness = Harness::checking(Box::new(move |_, _| refusal(class, "why")));
        assert_eq!(harness.verify("wiki", "/", &[]).await.status.as_u16(), status, "{class:?}");
    }
    for application in ["nothing", "portal", "%ff", "wiki%2f"] {
        let read = Harness::live().verify(application, "/", &[]).await;
        assert_eq!((read.status, read.body.as_str()), (StatusCode::FORBIDDEN, "unknown-application"), "{application}");
    }
}

#[tokio::test]
async fn a11_a_client_cannot_speak_for_the_gateway_in_any_spelling() {
    let harness = Harness::live();
    for name in [
        "X-Forwarded-User",
        "X_Forwarded_User",
        "x-forwarded_email",
        "X_FORWARDED-Groups",
        "x_forwarded_name",
        "X.Forwarded.User",
        "X_Vestibule_Assertion",
    ] {
        for read in [
            harness.verify("wiki", "/", &[(name, "admin")]).await,
            harness.forward("wiki", "GET", "/", &[(name, "admin")]).await,
        ] {
            assert_eq!(read.status, StatusCode::BAD_REQUEST, "{name}");
            assert_eq!(read.header("x-vestibule-reason"), Some("identity-header-forged"), "{name}");
            assert_eq!(read.header("x-forwarded-user"), None, "{name}");
        }
    }
    assert!(harness.asked().is_empty(), "nothing is decided about such a request");
}

#[tokio::test]
async fn a12_what_is_decided_about_is_the_path_alone() {
    let harness = Harness::live();
    harness.verify("wiki", "/admin?x=/public", &[]).await;
    harness.forward("wiki", "POST", "/admin?x=%zz&y=/../public", &[]).await;
    assert_eq!(
        harness.asked(),
        [
            "check wiki GET wiki.example.com /admin by 192.0.2.1 on https://wiki.example.com/",
            "check wiki POST wiki.example.com /admin by 192.0.2.1 on https://wiki.example.com/"
        ]
    );
}

#[tokio::test]
async fn a13_a21_a_path_without_one_reading_is_refused() {
    let harness = Harness::live();
    for target in [
        "/foo/secret%23/bar",
        "/foo#bar",
        "/a%2fb",
        "/a%5Cb",
        "/a\\b",
        "/a%00",
        "/%zz",
        "/%",
        "/a\tb",
        "/..%2f",
        "/public/..;/admin",
        "/../admin",
        "/%c0%ae%c0%ae/admin",
        "/%252e%252e/admin",
        "admin",
        "",
        "*",
        "https://wiki.example.com/",
        "/caf\u{e9}",
    ] {
        let read = harness.verify("wiki", target, &[]).await;
        assert_eq!(read.status, StatusCode::BAD_REQUEST, "{target}");
        let read = harness.forward("wiki", "GET", target, &[]).await;
        assert_eq!(read.status, StatusCode::BAD_REQUEST, "{target}");
        assert_eq!(read.header("x-forwarded-user"), None, "{target}");
    }
    assert!(harness.asked().is_empty());
}

#[tokio::test]
async fn a14_a_peer_that_is_no_trusted_proxy_is_told_nothing() {
    for peer in ["203.0.113.9:1", "127.0.0.1:1", "[::1]:1", "11.0.0.1:1"] {
        let harness = Harness::live().from(peer);
        for read in [
            harness.verify("wiki", "/public", &[("x-forwarded-uri", "/public")]).await,
            harness.forward("wiki", "GET", "/public", &[]).await,
            harness.forward("wiki", "OPTIONS", "/public", &[]).await,
        ] {
            assert_eq!(read.status, StatusCode::FORBIDDEN, "{peer}");
            assert_eq!(read.header("x-vestibule-reason"), Some("untrusted-proxy"), "{peer}");
            assert_eq!(read.header("x-forwarded-user"), None, "{peer}");
        }
        assert!(harness.asked().is_empty());
    }
}

#[tokio::test]
async fn a15_without_trusted_proxies_nobody_is_one() {
    let config = CONFIG.replace("trusted-proxies = [\"10.0.0.0/8\"]", "");
    for peer in [Some("127.0.0.1:1"), Some("10.0.0.1:1"), Some("[::1]:1"), None] {
        let mut harness = Harness::with(
            &config,
            Box::new(|_, _| live(ada())),
            Box::new(|| Step::LoggedOut { to: None, untold: Vec::new() }),
        );
        harness.peer = peer.map(|peer| peer.parse().unwrap());
        assert_eq!(harness.verify("wiki", "/", &[]).await.status, StatusCode::FORBIDDEN, "{peer:?}");
    }
}

#[tokio::test]
async fn a17_a18_a_path_that_would_have_to_be_repaired_does_not_pass() {
    let harness = Harness::live();
    for target in ["/public/../admin/x", "/public/%2e%2e/admin/x", "//admin/x", "/./admin/x", "/public/./../admin/x"] {
        let read = harness.verify("wiki", target, &[]).await;
        assert_eq!((read.status, read.body.as_str()), (StatusCode::BAD_REQUEST, "path-not-canonical"), "{target}");
        let read = harness.forward("wiki", "POST", target, &[]).await;
        assert_eq!(read.status, StatusCode::BAD_REQUEST, "{target}");
        // A browser can ask again, for what is then decided about and served.
        let read = harness.forward("wiki", "GET", &format!("{target}?q=//"), &[]).await;
        assert_eq!(read.status, StatusCode::FOUND, "{target}");
        assert_eq!(read.header("location"), Some("https://wiki.example.com/admin/x?q=//"), "{target}");
    }
    assert!(harness.asked().is_empty());
}

#[tokio::test]
async fn a19_what_a_client_adds_beside_the_proxys_own_header_does_not_count() {
    let harness = Harness::live();
    for more in [
        ("x-original-uri", "/public"),
        ("x-original-url", "https://wiki.example.com/public"),
        ("x-forwarded-proto", "http"),
        ("host", "public.example.com"),
    ] {
        assert_eq!(harness.verify("wiki", "/admin", &[more]).await.status, StatusCode::BAD_REQUEST, "{more:?}");
    }
    for more in [("x-forwarded-uri", "/public"), ("x-forwarded-method", "OPTIONS"), ("x-forwarded-host", "a, b")] {
        assert_eq!(harness.forward("wiki", "GET", "/admin", &[more]).await.status, StatusCode::BAD_REQUEST, "{more:?}");
    }
    assert!(harness.asked().is_empty());
}

#[tokio::test]
async fn a20_a_connection_header_that_names_one_of_ours_is_refused() {
    let harness = Harness::live();
    for value in ["close, X-Forwarded-User", "x_forwarded_groups", "X-Vestibule-Assertion", "cookie", "x-original-uri"]
    {
        for read in [
            harness.verify("wiki", "/", &[("connection", value)]).await,
            harness.forward("wiki", "GET", "/", &[("connection", value)]).await,
        ] {
            assert_eq!(read.status, StatusCode::BAD_REQUEST, "{value}");
            assert_eq!(read.header("x-vestibule-reason"), Some("connection-header-forged"), "{value}");
        }
    }
    assert_eq!(harness.verify("wiki", "/", &[("connection", "close")]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a22_a67_garbage_in_the_cookie_is_no_session() {
    let harness = Harness::new();
    let long = "a=b; ".repeat(900);
    for cookie in
        ["", ";;;", "=", "vestibule", "__Host-vestibule=", "__Host-vestibule=%00", "\u{ff}\u{fe}", "a=\"b", &long]
    {
        let read = harness.verify("wiki", "/admin", &[("cookie", cookie)]).await;
        assert!(matches!(read.status.as_u16(), 400 | 401), "{cookie}: {}", read.status);
        let read = harness.forward("wiki", "GET", "/admin", &[("cookie", cookie)]).await;
        assert!(matches!(read.status.as_u16(), 302 | 400), "{cookie}: {}", read.status);
        assert_eq!(read.header("x-forwarded-user"), None);
    }
}

#[tokio::test]
async fn a23_the_host_is_decided_about_in_lower_case_and_without_a_port() {
    let harness = Harness::live();
    for host in ["WIKI.Example.COM", "wiki.example.com:8443", "Wiki.example.com."] {
        let request = Request::get("/vestibule/verify/wiki").header("host", host);
        let request = with(request, &[("x-original-uri", "/"), ("x-original-method", "GET")]);
        assert_eq!(harness.send(request, "").await.status, StatusCode::OK);
        let asked = harness.asked();
        assert!(asked[0].starts_with("check wiki GET wiki.example.com / "), "{asked:?}");
    }
}

#[tokio::test]
async fn a24_a_preflight_passes_where_that_is_configured_and_as_nobody() {
    let harness = Harness::live();
    let read = harness.forward("api", "OPTIONS", "/v1", &[]).await;
    assert_eq!(read.status, StatusCode::OK);
    for name in ["user", "email", "groups", "name"] {
        assert_eq!(read.header(&format!("x-forwarded-{name}")), Some(""), "{name}");
    }
    assert_eq!(read.header("x-vestibule-assertion"), Some(""));
    assert!(harness.asked().is_empty());
    let read = harness.forward("api", "OPTIONS", "/v1", &[("x_forwarded_user", "admin")]).await;
    assert_eq!(read.status, StatusCode::BAD_REQUEST);
    // Elsewhere it needs a session, as everything does.
    let read = Harness::new().verify("wiki", "/", &[("x-original-method", "OPTIONS")]).await;
    assert_eq!(read.status, StatusCode::UNAUTHORIZED);
    // The proxy's own request is not the one that it asks about.
    let request = Request::options("/vestibule/forward/api").header("x-forwarded-host", "api.example.com");
    let request = with(request, &[("x-forwarded-method", "POST"), ("x-forwarded-uri", "/v1")]);
    assert_eq!(Harness::new().send(request, "").await.status, StatusCode::FOUND);
}

#[tokio::test]
async fn a25_an_unparsable_address_is_unknown_to_the_policies() {
    for forwarded in ["a", "", "192.0.2.1, a", "unknown", "192.0.2.999"] {
        let harness = Harness::live();
        let request = Request::get("/vestibule/verify/wiki").header("host", "wiki.example.com");
        let more = [("x-original-uri", "/"), ("x-original-method", "GET"), ("x-forwarded-for", forwarded)];
        harness.send(with(request, &more), "").await;
        let asked = harness.asked();
        assert!(asked[0].contains("by unknown on"), "{forwarded}: {asked:?}");
    }
}

#[tokio::test]
async fn a68_what_is_posted_without_a_session_gets_no_content() {
    let harness = Harness::new();
    let request = Request::post("/vestibule/forward/wiki").header("x-forwarded-host", "wiki.example.com");
    let request = with(request, &[("x-forwarded-method", "POST"), ("x-forwarded-uri", "/edit")]);
    let read = harness.send(request, "text=the%20secret").await;
    assert_eq!((read.status, read.body.as_str()), (StatusCode::FOUND, ""));
    let read = harness.verify("wiki", "/edit", &[("x-original-method", "POST")]).await;
    assert_eq!((read.status, read.body.as_str()), (StatusCode::UNAUTHORIZED, "not-logged-in"));
}

#[tokio::test]
async fn a84_an_identity_that_is_no_header_does_not_pass() {
    for spoil in [
        (|session| session.profile.username = Some("ada\r\nX-Forwarded-User: root".into())) as fn(&mut Session),
        |session| session.profile.email = Some("ada\0@example.com".into()),
        |session| session.groups = vec!["staff\nadmins".into()],
        |session| session.profile.display_name = Some("Ada\u{85}".into()),
        |session| {
            session.profile = Profile::default();
            session.identity.email = None;
        },
        |session| {
            // The upstream's word alone is no name: nobody verified it.
            session.profile = Profile::default();
            session.identity.email = Some(Email { address: "root@example.com".into(), verified: false });
        },
    ] {
        let harness = Harness::checking(Box::new(move |_, _| {
            let mut session = ada();
            spoil(&mut session);
            live(session)
        }));
        let read = harness.verify("wiki", "/", &[]).await;
        assert_eq!((read.status, read.body.as_str()), (StatusCode::FORBIDDEN, "no-passport"));
        assert_eq!(read.header("x-forwarded-user"), None);
    }
}

#[tokio::test]
async fn a_request_that_a_policy_leaves_to_the_application_passes_as_nobody() {
    let harness = Harness::checking(Box::new(|_, _| Check::Anonymous));
    let read = harness.verify("wiki", "/", &[]).await;
    assert_eq!((read.status, read.header("x-forwarded-user")), (StatusCode::OK, Some("")));
}

#[tokio::test]
async fn an_assertion_is_signed_anew_when_half_of_its_life_is_over() {
    let harness = Harness::live();
    let assertion = async || harness.verify("wiki", "/", &[]).await.header("x-vestibule-assertion").unwrap().to_owned();
    let first = assertion().await;
    harness.clock.advance(29);
    assert_eq!(assertion().await, first);
    harness.clock.advance(1);
    assert_ne!(assertion().await, first);
    assert_eq!(harness.signed.load(Ordering::SeqCst), 2);
    // No assertion outlives its session: 3600 s from a minute before the test began.
    harness.clock.advance(3480);
    assert!(assertion().await.ends_with(&format!(".{}", NOW + 3540)));
}

/// The renewed cookie of a session that takes so many pieces.
fn renewed(groups: usize) -> Vec<SetCookie> {
    let session = Session { groups: (0..groups).map(|group| format!("group-{group:06}")).collect(), ..ada() };
    let config = Harness::new().script.config.session.clone();
    let slot = Slot::session(&config, &"https://wiki.example.com/".parse().unwrap(), "wiki");
    slot.seal(&KEYS, &Jar::default(), &session, None).unwrap()
}

#[tokio::test]
async fn a_renewed_session_reaches_the_browser_whole_or_not_at_all() {
    for (groups, numbered) in [(1, 1), (400, 3), (900, 0)] {
        let cookies = renewed(groups);
        assert_eq!(cookies.len() <= 4, numbered > 0, "{groups} groups are {} pieces", cookies.len());
        let sent: Vec<_> = cookies.iter().map(|cookie| cookie.as_str().to_owned()).collect();
        let harness =
            Harness::checking(Box::new(move |_, _| Check::Live { session: Arc::new(ada()), cookies: cookies.clone() }));
        let read = harness.verify("wiki", "/", &[]).await;
        let all: Vec<_> = read.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(all, sent);
        let one_by_one: Vec<_> =
            (1..=4).filter_map(|number| read.header(&format!("x-vestibule-cookie-{number}"))).collect();
        assert_eq!(one_by_one, sent[..if numbered > 0 { sent.len() } else { 0 }]);
        let read = harness.forward("wiki", "GET", "/", &[]).await;
        assert_eq!(read.headers.get_all("set-cookie").iter().count(), sent.len());
        assert_eq!(read.header("x-vestibule-cookie-1"), None);
    }
}

#[tokio::test]
async fn sessions_do_not_share_an_assertion() {
    let count = AtomicUsize::new(0);
    let harness = Harness::checking(Box::new(move |_, _| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        live(Session { id: format!("session-{number}"), ..ada() })
    }));
    let first = harness.verify("wiki", "/", &[]).await;
    let second = harness.verify("wiki", "/", &[]).await;
    assert_ne!(first.header("x-vestibule-assertion"), second.header("x-vestibule-assertion"));
}
