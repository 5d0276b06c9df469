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

/// An application that counts what it is sent, sends what it is asked for, and speaks on where a
/// WebSocket was agreed on.
async fn busy_application() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut stream = tokio::io::BufReader::new(stream);
            let _ = converse(&mut stream).await;
        });
    }
}

/// One connection, request after request.
async fn converse(stream: &mut tokio::io::BufReader<TcpStream>) -> std::io::Result<()> {
    use tokio::io::AsyncBufReadExt as _;

    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let lower = head.to_ascii_lowercase();
        if lower.contains("upgrade: websocket") {
            let accept = lower.contains("sec-websocket-key: dghlihnhbxbszsbub25jzq==");
            assert!(accept, "the key goes on as it came: {head}");
            let agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            stream.write_all(agreed.as_bytes()).await?;
            let mut piece = [0; 4096];
            loop {
                let read = stream.read(&mut piece).await?;
                if read == 0 {
                    return Ok(());
                }
                stream.write_all(&piece[..read]).await?;
            }
        }
        let mut sent = 0_u64;
        if lower.contains("transfer-encoding: chunked") {
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await?;
                let length = u64::from_str_radix(line.trim(), 16).expect("a chunk's length");
                tokio::io::copy(&mut (&mut *stream).take(length + 2), &mut tokio::io::sink()).await?;
                sent += length;
                if length == 0 {
                    break;
                }
            }
        } else if let Some(length) = lower.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()) {
            let length = length.parse().expect("a length");
            sent = tokio::io::copy(&mut (&mut *stream).take(length), &mut tokio::io::sink()).await?;
        }
        if lower.starts_with("get /big ") {
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n").as_bytes()).await?;
            tokio::io::copy(&mut tokio::io::repeat(b'x').take(BIG), stream).await?;
        } else {
            let body = sent.to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(head.as_bytes()).await?;
        }
    }
}

/// In bytes: more than the gateway may take of memory for it.
const BIG: u64 = 256 << 20;

/// What a process has in memory at most, in KiB.
fn peak(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_any_length_goes_through_without_being_kept() {
    let (listener, port) = busy_application().await;
    let server = tokio::spawn(serve(listener));
    let direct = Direct::before(Application::start().await, port);
    let mut browser = Browser::new();
    assert_eq!(direct.log_in(&mut browser, "/").await.status, 200);
    let session = &browser.cookies("localhost")["vestibule-app-app"];
    let before = peak(direct.gateway.id().expect("it runs"));
    let head = |method: &str, more: &str| {
        let host = format!("localhost:{}", direct.gateway.port);
        format!(
            "{method} HTTP/1.1\r\nHost: {host}\r\nCookie: vestibule-app-app={session}\r\nConnection: close\r\n{more}\r\n"
        )
    };
    // Up, with a length and without one.
    for chunked in [false, true] {
        let mut stream = TcpStream::connect(("127.0.0.1", direct.gateway.port)).await.expect("a connection");
        let more =
            if chunked { "Transfer-Encoding: chunked\r\n".to_owned() } else { format!("Content-Length: {BIG}\r\n") };
        stream.write_all(head("PUT /file", &more).as_bytes()).await.expect("sent");
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..BIG >> 20 {
            if chunked {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.expect("sent");
            }
            stream.write_all(&piece).await.expect("sent");
            if chunked {
                stream.write_all(b"\r\n").await.expect("sent");
            }
        }
        if chunked {
            stream.write_all(b"0\r\n\r\n").await.expect("sent");
        }
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.expect("an answer");
        assert!(heard.ends_with(&format!("\r\n\r\n{BIG}")), "{chunked}: {heard}");
    }
    // And down.
    let mut stream = TcpStream::connect(("127.0.0.1", direct.gateway.port)).await.expect("a connection");
    stream.write_all(head("GET /big", "").as_bytes()).await.expect("sent");
    let came = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.expect("an answer");
    assert!(came > BIG, "{came}");
    let grown = peak(direct.gateway.id().expect("it runs")) - before;
    assert!(grown < 32 << 10, "{grown} KiB more for bodies of {} KiB", BIG >> 10);
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_goes_through_for_whoever_may_and_for_nobody_else() {
    let (listener, port) = busy_application().await;
    let server = tokio::spawn(serve(listener));
    let direct = Direct::before(Application::start().await, port);
    let mut browser = Browser::new();
    assert_eq!(direct.log_in(&mut browser, "/").await.status, 200);
    let session = &browser.cookies("localhost")["vestibule-app-app"];
    let ask = |path: &str, more: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n",
            direct.gateway.port
        )
    };
    let cookie = format!("Cookie: vestibule-app-app={session}\r\n");
    let mut stream = TcpStream::connect(("127.0.0.1", direct.gateway.port)).await.expect("a connection");
    stream.write_all(ask("/socket", &cookie).as_bytes()).await.expect("sent");
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        heard.push(stream.read_u8().await.expect("an answer"));
    }
    let heard = String::from_utf8(heard).expect("text");
    assert!(heard.starts_with("HTTP/1.1 101 "), "{heard}");
    assert!(heard.to_ascii_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{heard}");
    for message in [&b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"[..], &[7; 100_000]] {
        stream.write_all(message).await.expect("sent");
        let mut echoed = vec![0; message.len()];
        stream.read_exact(&mut echoed).await.expect("an echo");
        assert_eq!(echoed, message);
    }
    drop(stream);
    // Without a session, on a hidden path, and for any other protocol there is none.
    for (path, more) in [("/socket", ""), ("/hidden/socket", cookie.as_str()), ("//hidden/socket", cookie.as_str())] {
        let heard = direct.raw(&ask(path, &format!("{more}X-End: 1\r\n"))).await;
        assert!(!heard.starts_with("HTTP/1.1 101"), "{path}: {heard}");
    }
    let h2c = ask("/socket", &cookie).replace("Upgrade: websocket", "Upgrade: h2c");
    let heard = direct.raw(&h2c).await;
    assert!(heard.starts_with("HTTP/1.1 200 "), "h2c is no way past the gateway: {heard}");
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_judged_as_http_1_is() {
    let direct = Direct::start().await;
    let mut browser = Browser::new();
    assert_eq!(direct.log_in(&mut browser, "/").await.status, 200);
    let session = &browser.cookies("localhost")["vestibule-app-app"];
    let curl = |path: &str, more: &[&str]| {
        let done = std::process::Command::new("curl")
            .args([
                "--silent",
                "--http2-prior-knowledge",
                "--path-as-is",
                "--write-out",
                "\n%{http_version} %{http_code}",
            ])
            .args(more)
            .arg(format!("{}{path}", direct.site))
            .output()
            .expect("curl");
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let cookie = format!("Cookie: vestibule-app-app={session}");
    let passed = curl("/page?x=1", &["-H", &cookie, "-X", "POST", "--data", "hello"]);
    assert!(passed.ends_with("\n2 200") && passed.contains("\"uri\":\"/page?x=1\""), "{passed}");
    assert!(passed.contains("\"x-forwarded-user\":[\"alice\"]"), "{passed}");
    // HTTP/2 may send a cookie in pieces (RFC 9113 §8.2.3); the application sees none of ours.
    let crumbs = curl("/page", &["-H", "Cookie: theirs=1", "-H", &cookie]);
    assert!(crumbs.ends_with("\n2 200") && crumbs.contains("\"cookie\":[\"theirs=1\"]"), "{crumbs}");
    for (path, more, status) in [
        ("/page", vec![], 302),
        ("/hidden/x", vec!["-H", &cookie], 403),
        ("/public/../hidden/x", vec!["-H", &cookie], 302),
        ("/page", vec!["-H", &cookie, "-H", "X_Forwarded_User: admin"], 400),
        ("/page", vec!["-H", &cookie, "-H", "Host: other.example"], 404),
    ] {
        let heard = curl(path, &more);
        assert!(heard.ends_with(&format!("\n2 {status}")), "{path} {more:?}: {heard}");
        assert!(!heard.contains("\"application\""), "{path} {more:?}: {heard}");
    }
}
