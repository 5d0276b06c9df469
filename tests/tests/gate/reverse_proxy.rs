//! The built-in reverse proxy: an application that has no proxy but the gateway.

use http::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use url::Url;
use vestibule_tests::{
    browser::Browser,
    gateway::Gateway,
    peers::{Application, OpenIdProvider},
};

use crate::scene::{CHAIN, people, policies, settings};

struct Direct {
    gateway: Gateway,
    op: OpenIdProvider,
    site: String,
    _application: Application,
}

impl Direct {
    async fn start() -> Self {
        let application = Application::start().await;
        let port = application.port;
        Self::before(application, port)
    }

    /// The application that is asked listens on `backend`.
    fn before(application: Application, backend: u16) -> Self {
        let mut gateway = Gateway::new();
        let site = format!("http://localhost:{}", gateway.port);
        let op = OpenIdProvider::start(
            &json!([{
                "client_id": "gate", "client_secret": "a-secret-of-the-test-which-is-long",
                "redirect_uris": [format!("{}/callback/op", gateway.url())],
                "post_logout_redirect_uris": [format!("{}/logged-out", gateway.url())],
            }]),
            &people(),
        );
        settings(&gateway);
        gateway.configure(&format!(
            "{policies}\
             [upstreams.op]\nissuer = \"{issuer}\"\nclient-id = \"gate\"\nclient-secret = \"a-secret-of-the-test-which-is-long\"\n\
             scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\n\
             [applications.app]\nurl = \"{site}/\"\nupstreams = [\"op\"]\nchain = {CHAIN:?}\n\
             [applications.app.proxy]\nbackend = \"http://127.0.0.1:{backend}\"\nresponse-timeout-ms = 2000\n",
            policies = policies(&CHAIN),
            issuer = op.issuer,
        ));
        gateway.start();
        Self { gateway, op, site, _application: application }
    }

    async fn log_in(&self, browser: &mut Browser, path: &str) -> vestibule_tests::browser::Page {
        let page = browser.get(&format!("{}{path}", self.site)).await;
        assert!(page.url.as_str().starts_with(&self.op.issuer), "{} {}\n{}", page.status, page.url, self.gateway.log());
        let form = page.forms().into_iter().next().expect("a form");
        browser.submit(&form.with("login", "alice").with("password", "any")).await
    }

    /// What comes back for these very bytes.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.gateway.port)).await.expect("a connection");
        let request = request.replace("HOST", &format!("localhost:{}", self.gateway.port));
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut heard = Vec::new();
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), stream.read_to_end(&mut heard)).await;
        String::from_utf8_lossy(&heard).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_through_the_built_in_proxy_reaches_the_application() {
    let direct = Direct::start().await;
    let mut browser = Browser::new();
    let page = direct.log_in(&mut browser, "/deep/link?x=1").await;
    assert_eq!(page.status, 200, "{} {}\n{}", page.url, page.body, direct.gateway.log());
    let told = page.json();
    assert_eq!(told["application"], true);
    assert_eq!(told["uri"], "/deep/link?x=1");
    assert_eq!(told["headers"]["x-forwarded-user"], json!(["alice"]));
    assert_eq!(told["headers"]["x-forwarded-groups"], json!(["jira-software-users"]));
    assert_eq!(told["headers"]["x-forwarded-proto"], json!(["http"]));
    assert_eq!(told["headers"]["x-forwarded-host"], json!([direct.site.trim_start_matches("http://")]));
    assert_eq!(told["headers"]["host"], json!([direct.site.trim_start_matches("http://")]));
    assert!(told["headers"]["x-vestibule-assertion"][0].as_str().is_some_and(|jwt| jwt.matches('.').count() == 2));
    // The session is the gateway's, and nothing that an application could use elsewhere.
    assert_eq!(told["headers"].get("cookie"), None);

    let url = Url::parse(&format!("{}/page", direct.site)).unwrap();
    let posted = browser.request(Method::POST, &url, Some(("text/plain", "hello".into())), &[]).await;
    assert_eq!((posted.status.as_u16(), &posted.json()["method"]), (200, &json!("POST")));
    // Administrative pages want a fresh login, hidden ones are nobody's, whatever they are called.
    let fresh = browser.get(&format!("{}/admin/x", direct.site)).await;
    assert_eq!(fresh.status, 200, "{}", fresh.url);
    assert!(browser.trail.iter().any(|page| page.url.query().is_some_and(|query| query.contains("max_age=600"))));
    for path in
        ["/hidden/x", "//hidden/x", "/./hidden/x", "/public/../hidden/x", "/%68idden/x", "/public/%2e%2e/hidden/x"]
    {
        let page = browser.peek(&format!("{}{path}", direct.site)).await;
        assert_ne!(page.status, 200, "a17 a18 {path}: {}", page.body);
    }
    // What is decided about is what is sent.
    let page = browser.peek(&format!("{}/%70ublic/a%c3%a4?%70", direct.site)).await;
    assert_eq!(page.json()["uri"], "/public/a%C3%A4?%70");
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_to_a24_a68_no_raw_request_without_a_session_reaches_the_application() {
    let direct = Direct::start().await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: HOST\r\nX_Forwarded_User: admin\r\nConnection: close\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: HOST\r\nx-forwarded_email: a@b\r\nConnection: close\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close, X-Forwarded-User\r\n\r\n", 400),
        ("GET /foo/secret%23/bar HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", 400),
        ("GET /%zz HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", 400),
        ("GET http://other/ HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", 400),
        ("GET /admin HTTP/1.1\r\nHost: HOST\r\nX-Forwarded-Uri: /public\r\nConnection: close\r\n\r\n", 302),
        ("GET /admin HTTP/1.1\r\nHost: HOST\r\nUser-Agent: GoogleHC/1.0\r\nConnection: close\r\n\r\n", 302),
        ("GET / HTTP/1.1\r\nHost: HOST\r\nCookie: vestibule-app-app=garbage\r\nConnection: close\r\n\r\n", 302),
        ("GET / HTTP/1.1\r\nHost: HOST\r\nX-Requested-With: XMLHttpRequest\r\nConnection: close\r\n\r\n", 401),
        ("OPTIONS / HTTP/1.1\r\nHost: HOST\r\nSec-Fetch-Mode: cors\r\nConnection: close\r\n\r\n", 401),
        ("GET /%76estibule/x HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", 404),
        // The length is told anew to whoever comes next: `chunked` alone counts (RFC 9112 §6.3).
        (
            "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
            302,
        ),
        (
            "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello!",
            400,
        ),
    ] {
        let heard = direct.raw(request).await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{heard}");
        assert!(!heard.contains("\"application\""), "{request}\n{heard}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_down_or_silent_is_told_apart() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let direct = Direct::before(Application::start().await, port);
    let mut browser = Browser::new();
    let page = direct.log_in(&mut browser, "/").await;
    assert_eq!(page.status, 504, "{}", page.body);
    assert!(page.body.contains("backend-timed-out"), "{}", page.body);
    drop(silent);
    let page = browser.peek(&format!("{}/", direct.site)).await;
    assert_eq!(page.status, 502, "{}", page.body);
    assert!(page.body.contains("backend-unreachable"), "{}", page.body);
}
