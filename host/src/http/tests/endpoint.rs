//! What Envoy, proxies that are set up for oauth2-proxy, and applications that ask for themselves
//! get to hear.

use insta::assert_snapshot;

use super::*;

impl Harness {
    /// As Envoy asks.
    async fn ext_authz(&self, target: &str, more: &[(&str, &str)]) -> Read {
        let request = Request::get(format!("/vestibule/ext-authz/wiki{target}"))
            .header("host", "wiki.example.com")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-for", "192.0.2.1");
        self.send(with(request, more), "").await
    }

    /// As nginx asks that was set up for oauth2-proxy.
    async fn auth(&self, query: &str, more: &[(&str, &str)]) -> Read {
        self.on_old(&format!("/oauth2/auth{query}"), more).await
    }

    /// On the host of the application that has the endpoints.
    async fn on_old(&self, target: &str, more: &[(&str, &str)]) -> Read {
        let request = Request::get(target)
            .header("host", "old.example.com")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-for", "192.0.2.1");
        self.send(with(request, more), "").await
    }
}

#[tokio::test]
async fn envoy_is_answered_about_the_path_below_its_question() {
    let harness = Harness::live();
    let read = harness.ext_authz("/guarded/x?y=1", &[("x-forwarded-host", "evil.example")]).await;
    assert_eq!((read.status, read.header("x-forwarded-user")), (StatusCode::OK, Some("ada")));
    assert_eq!(
        harness.asked(),
        ["check wiki GET wiki.example.com /guarded/x by 192.0.2.1 on https://wiki.example.com/"]
    );
    let stranger = Harness::new().ext_authz("/page?x=1", &[]).await;
    assert_eq!(stranger.status, StatusCode::FOUND);
    assert!(stranger.header("location").unwrap().starts_with("https://wiki.example.com/vestibule/start/wiki?rd="));
}

#[tokio::test]
async fn a11_a13_a14_a17_a18_envoys_question_is_judged_as_any_other() {
    let harness = Harness::live();
    for (target, status) in [
        ("//admin", 302),
        ("/./admin", 302),
        ("/public/../admin", 302),
        ("/public/%2e%2e/admin", 302),
        ("/public%2f..%2fadmin", 400),
        ("/foo%23bar", 400),
        ("/%zz", 400),
        ("/../../verify/wiki", 400),
        ("", 404),
        ("?x=/page", 404),
    ] {
        let read = harness.ext_authz(target, &[]).await;
        assert_eq!(read.status.as_u16(), status, "{target}");
        assert_eq!(read.header("x-forwarded-user"), None, "{target}");
    }
    for header in ["X-Forwarded-User", "x_forwarded_user", "X_Vestibule-Assertion"] {
        let read = harness.ext_authz("/page", &[(header, "admin")]).await;
        assert_eq!(read.header("x-vestibule-reason"), Some("identity-header-forged"), "{header}");
    }
    let stranger = Harness::live().from("203.0.113.9:1").ext_authz("/page", &[]).await;
    assert_eq!(stranger.header("x-vestibule-reason"), Some("untrusted-proxy"));
    let post = Request::post("/vestibule/ext-authz/wiki/public/../admin").header("host", "wiki.example.com");
    let read = harness.send(post, "").await;
    assert_eq!(read.header("x-vestibule-reason"), Some("path-not-canonical"));
}

#[tokio::test]
async fn oauth2_proxys_question_is_answered_in_its_words() {
    let asked = [("x-forwarded-uri", "/page"), ("x-forwarded-method", "GET")];
    assert_snapshot!(Harness::live().auth("", &asked).await.head(), @r"
    202 Accepted
    cache-control: no-store
    x-auth-request-email: ada@example.com
    x-auth-request-groups: staff,wiki%2C editors
    x-auth-request-preferred-username: ada
    x-auth-request-user: ada
    x-forwarded-email: ada@example.com
    x-forwarded-groups: staff,wiki%2C editors
    x-forwarded-name: Ada Lovelace
    x-forwarded-user: ada
    x-vestibule-assertion: 0.1700000060
    ");
    let stranger = Harness::new().auth("", &asked).await;
    assert_eq!((stranger.status, stranger.header("location")), (StatusCode::UNAUTHORIZED, None));
}

#[tokio::test]
async fn a_method_that_nobody_told_is_told_to_no_policy() {
    let harness = Harness::live();
    assert_eq!(harness.auth("", &[("x-forwarded-uri", "/page")]).await.status, StatusCode::ACCEPTED);
    let guarded = harness.auth("", &[("x-forwarded-uri", "/guarded/x")]).await;
    assert_eq!(guarded.header("x-vestibule-reason"), Some("original-request-missing"));
    let told = [("x-forwarded-uri", "/guarded/x"), ("x-forwarded-method", "POST")];
    assert_eq!(harness.auth("", &told).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a11_a14_oauth2_proxys_question_is_judged_as_any_other() {
    let harness = Harness::live();
    let reason = async |query: &str, more: &[(&str, &str)]| {
        let read = harness.auth(query, more).await;
        assert!(!read.status.is_success(), "{query} {more:?}");
        read.header("x-vestibule-reason").unwrap_or_default().to_owned()
    };
    let path = ("x-forwarded-uri", "/page");
    assert_eq!(reason("", &[]).await, "original-request-missing");
    // Two that say the path: one of them is not the proxy.
    let url = ("x-original-url", "https://old.example.com/public");
    assert_eq!(reason("", &[path, url, ("x-original-method", "GET")]).await, "original-request-unreadable");
    assert_eq!(reason("", &[path, ("x-original-uri", "/public")]).await, "original-request-unreadable");
    assert_eq!(reason("", &[path, ("x-forwarded-uri", "/public")]).await, "original-request-unreadable");
    assert_eq!(reason("", &[("x-forwarded-uri", "/a/../b")]).await, "path-not-canonical");
    for header in ["X-Auth-Request-User", "x_auth_request_email", "X_Auth-Request_Groups", "X-Forwarded-User"] {
        assert_eq!(reason("", &[path, (header, "admin")]).await, "identity-header-forged", "{header}");
    }
    let connection = [path, ("connection", "X-Auth-Request-Email")];
    assert_eq!(reason("", &connection).await, "connection-header-forged");
    // A rule in the address is not passed over.
    for query in ["?allowed_groups=admins", "?allowed_emails=a@b", "?allowed_email_domains=b", "?x"] {
        assert_eq!(reason(query, &[path]).await, "rule-in-query", "{query}");
    }
}

#[tokio::test]
async fn the_endpoints_are_on_the_hosts_of_applications_that_have_them_and_nowhere_else() {
    let paths =
        ["/oauth2/auth", "/oauth2/sign_in", "/oauth2/start", "/oauth2/sign_out", "/oauth2/userinfo", "/api/session"];
    for host in ["wiki.example.com", "login.example.com", "old.example.com.evil.example", "older.example.com", ""] {
        for path in paths {
            let request = Request::get(path).header("host", host).header("x-forwarded-proto", "https");
            let read = Harness::live().send(request, "").await;
            assert_eq!(read.status, StatusCode::NOT_FOUND, "{host}{path}");
        }
    }
    for path in ["/oauth2/", "/oauth2/auth/", "/oauth2/callback", "/OAuth2/auth", "/api/session/x", "/api/%73ession"] {
        assert_eq!(Harness::live().on_old(path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_login_begins_at_start_and_ends_at_sign_out() {
    let harness = Harness::new();
    harness.on_old("/oauth2/start?rd=%2Fdeep%3Fx%3D1", &[]).await;
    harness.on_old("/oauth2/start", &[("x-auth-request-redirect", "/from/the/proxy")]).await;
    harness.on_old("/oauth2/start", &[("x-auth-request-redirect", "/oauth2/start")]).await;
    harness.on_old("/oauth2/sign_out?rd=%2Fbye", &[]).await;
    let by = "by 192.0.2.1 on https://old.example.com/";
    assert_eq!(
        harness.asked(),
        [
            format!("start old Some(\"/deep?x=1\") None [] {by}"),
            format!("start old Some(\"/from/the/proxy\") None [] {by}"),
            format!("start old None None [] {by}"),
            format!("depart old Some(\"/bye\") {by}"),
        ]
    );
    // What only a person may open is no picture of another site's.
    let picture = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
    for path in ["/oauth2/start", "/oauth2/sign_out"] {
        assert_eq!(harness.on_old(path, &picture).await.status, StatusCode::FORBIDDEN, "{path}");
        let post = Request::post(path).header("host", "old.example.com").header("x-forwarded-proto", "https");
        assert_eq!(harness.send(post, "").await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    assert_eq!(harness.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn the_page_to_sign_in_leads_to_the_start_and_holds_nothing_else() {
    let page = Harness::new().on_old("/oauth2/sign_in", &[("x-auth-request-redirect", "/a?b=\"><script>")]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let link = page.body.split("href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a link");
    assert_eq!(link.replace("&#x2f;", "/"), "/oauth2/start?rd=%2Fa%3Fb%3D%22%3E%3Cscript%3E");
    assert!(!page.body.contains("<script"), "{}", page.body);
}

#[tokio::test]
async fn userinfo_is_oauth2_proxys() {
    let read = Harness::live().on_old("/oauth2/userinfo", &[]).await;
    let told: Value = serde_json::from_str(&read.body).unwrap();
    assert_eq!(
        told,
        json!({ "user": "ada", "email": "ada@example.com", "groups": ["staff", "wiki, editors"], "preferredUsername": "ada" })
    );
    assert_eq!(Harness::new().on_old("/oauth2/userinfo", &[]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_application_that_asks_for_itself_learns_who_is_logged_in() {
    let read = Harness::live().on_old("/api/session", &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!((read.status, read.header("content-type")), (StatusCode::OK, Some("application/json")));
    assert_eq!(read.header("cache-control"), Some("no-store"));
    let told: Value = serde_json::from_str(&read.body).unwrap();
    assert_eq!(told["preferred_username"], "ada");
    assert_eq!(told["groups"], json!(["staff", "wiki, editors"]));
    assert_eq!(told["token"], "0.1700000060");
    assert_eq!(told["token_expires_at"], 1_700_000_060);
    assert!(told["session_expires_at"].as_u64() > told["token_expires_at"].as_u64(), "{told}");
    assert!(told["sub"].as_str().is_some_and(|sub| !sub.is_empty() && sub != "ada"), "{told}");
}

#[tokio::test]
async fn a64_nobody_learns_anything_from_the_session_endpoint_without_a_session_or_from_elsewhere() {
    let read = Harness::new().on_old("/api/session", &[]).await;
    assert_eq!(read.status, StatusCode::UNAUTHORIZED);
    let told: Value = serde_json::from_str(&read.body).unwrap();
    assert_eq!(told["error"], "not-logged-in");
    assert!(told["start"].as_str().unwrap().starts_with("https://old.example.com/vestibule/start/old?rd="), "{told}");
    for site in ["cross-site", "same-site"] {
        let read = Harness::live().on_old("/api/session", &[("sec-fetch-site", site)]).await;
        assert_eq!(read.status, StatusCode::FORBIDDEN, "{site}");
        assert!(!read.body.contains("ada"), "{}", read.body);
    }
    let post = Request::post("/api/session").header("host", "old.example.com").header("x-forwarded-proto", "https");
    assert_eq!(Harness::live().send(post, "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let denied = Harness::checking(Box::new(|_, _| {
        Check::Refused(Refusal {
            class: Class::Denied,
            code: "policy-denied".into(),
            request: "r".into(),
            login: None,
            application: Some("old".into()),
            again: None,
            request_of: None,
        })
    }));
    let read = denied.on_old("/api/session", &[]).await;
    let told: Value = serde_json::from_str(&read.body).unwrap();
    assert_eq!((read.status, &told["error"]), (StatusCode::FORBIDDEN, &json!("policy-denied")));
}
