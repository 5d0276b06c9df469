//! The demo's application: a page behind forward-auth.
//!
//! It does what a reverse proxy does (`docs/forward-auth.md`): it asks the gateway about
//! each request, passes `/vestibule/` on, and shows the page only with an identity. It
//! speaks HTTP to the gateway like any other application, and knows nothing of its insides.

use std::{convert::Infallible, fmt::Write as _, net::SocketAddr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::{TcpListener, TcpStream};

/// The largest body that is passed on, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The identity headers, as the gateway calls them by default.
const IDENTITY: [&str; 5] =
    ["x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-forwarded-name", "x-vestibule-assertion"];

/// Serves the application until the task is dropped.
pub(super) async fn serve(listener: TcpListener, gateway: SocketAddr) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service_fn(move |request| answer(request, gateway));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, gateway: SocketAddr) -> Result<Response<Full<Bytes>>, Infallible> {
    let passes_on = request.uri().path().starts_with("/vestibule/");
    let answered = if passes_on { pass_on(request, gateway).await } else { ask(request, gateway).await };
    Ok(answered.unwrap_or_else(|| plain(StatusCode::BAD_GATEWAY, "The gateway does not answer.")))
}

/// What belongs to the gateway goes to the gateway.
async fn pass_on(request: Request<Incoming>, gateway: SocketAddr) -> Option<Response<Full<Bytes>>> {
    let (mut head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.ok()?.to_bytes();
    describe(&mut head.headers, head.method.as_str(), &head.uri.to_string())?;
    send(Request::from_parts(head, Full::new(body)), gateway).await
}

/// Everything else is for the application, if the gateway says who it is.
async fn ask(request: Request<Incoming>, gateway: SocketAddr) -> Option<Response<Full<Bytes>>> {
    let uri = request.uri().to_string();
    let mut question = Request::get("/vestibule/forward/demo").body(Full::new(Bytes::new())).ok()?;
    for name in [header::COOKIE, header::HOST, header::ACCEPT, header::USER_AGENT] {
        if let Some(value) = request.headers().get(&name) {
            question.headers_mut().insert(name, value.clone());
        }
    }
    describe(question.headers_mut(), request.method().as_str(), &uri)?;
    let verdict = send(question, gateway).await?;
    if verdict.status() != StatusCode::OK {
        return Some(verdict);
    }
    let mut page = Response::new(Full::new(Bytes::from(page(request.uri().path(), verdict.headers()))));
    let headers = page.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    );
    for cookie in verdict.headers().get_all(header::SET_COOKIE) {
        headers.append(header::SET_COOKIE, cookie.clone());
    }
    Some(page)
}

/// What a proxy says of the request that it asks about; whatever the browser said of it
/// is replaced.
fn describe(headers: &mut HeaderMap, method: &str, uri: &str) -> Option<()> {
    let host = headers.get(header::HOST)?.clone();
    for name in IDENTITY {
        headers.remove(name);
    }
    for (name, value) in [
        ("x-forwarded-method", HeaderValue::from_str(method).ok()?),
        ("x-forwarded-proto", HeaderValue::from_static("http")),
        ("x-forwarded-host", host),
        ("x-forwarded-uri", HeaderValue::from_str(uri).ok()?),
        ("x-forwarded-for", HeaderValue::from_static("127.0.0.1")),
    ] {
        headers.insert(HeaderName::from_static(name), value);
    }
    Some(())
}

async fn send(request: Request<Full<Bytes>>, gateway: SocketAddr) -> Option<Response<Full<Bytes>>> {
    let stream = TcpStream::connect(gateway).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let driver = tokio::spawn(connection);
    let (mut head, body) = sender.send_request(request).await.ok()?.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    driver.abort();
    head.headers.remove(header::TRANSFER_ENCODING);
    Some(Response::from_parts(head, Full::new(body)))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// The page: what the application was told.
fn page(path: &str, told: &HeaderMap) -> String {
    // What is not ASCII comes percent-encoded (`docs/forward-auth.md`).
    let value = |name: &str| {
        let value = told.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        percent_decode_str(value).decode_utf8_lossy().into_owned()
    };
    let mut rows = String::new();
    for name in IDENTITY.iter().filter(|name| **name != "x-vestibule-assertion") {
        let _ = write!(rows, "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>", escape(&value(name)));
    }
    let name = [value("x-forwarded-name"), value("x-forwarded-user")].into_iter().find(|name| !name.is_empty());
    PAGE.replace("{TITLE}", if path.starts_with("/admin") { "Administration" } else { "The demo application" })
        .replace("{NAME}", &escape(name.as_deref().unwrap_or("nobody")))
        .replace("{ROWS}", &rows)
        .replace("{ASSERTION}", &escape(&claims(&value("x-vestibule-assertion"))))
}

/// The claims of the assertion, for the eye. An application that relies on them checks the
/// signature first.
fn claims(unverified: &str) -> String {
    unverified
        .split('.')
        .nth(1)
        .and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok())
        .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
        .and_then(|claims| serde_json::to_string_pretty(&claims).ok())
        .unwrap_or_else(|| "none".to_owned())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const PAGE: &str = include_str!("application.html");
