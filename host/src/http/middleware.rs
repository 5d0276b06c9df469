//! What happens around every route: an id, a span, limits, and headers that protect the
//! browser.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};
use futures_util::FutureExt as _;
use tokio::time::error::Elapsed;
use tracing::Instrument as _;

use super::{
    ended::Framed,
    error::Failure,
    gateway::{Asked, Gateway},
    peer::{Peer, Reach},
};
use crate::config::Server;

/// Who reads an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Browser,
    /// A proxy, and no browser: headers that protect one would only cost each request of each
    /// application.
    Proxy,
}

/// Around each route that axum has found.
pub(super) async fn around(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    // The route, not the path: a path may hold what must not be logged.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    guard(&gateway, peer, route, request, async move |mut request: Request, asked| {
        request.extensions_mut().insert(asked);
        (next.run(request).await, Reader::Browser)
    })
    .await
}

/// Around `run`, which answers a request of `peer`.
pub(super) async fn guard<B, F: Future<Output = (Response, Reader)>>(
    gateway: &Gateway,
    peer: Option<Peer>,
    route: &str,
    request: Request<B>,
    run: impl FnOnce(Request<B>, Asked) -> F,
) -> Response {
    guard_with(gateway, peer, route, request, run, |config| config.request_timeout).await
}

/// As [`guard`], around what has time limits of its own: an upload takes as long as it takes.
pub(super) async fn guard_streaming<B, F: Future<Output = (Response, Reader)>>(
    gateway: &Gateway,
    peer: Option<Peer>,
    route: &str,
    request: Request<B>,
    run: impl FnOnce(Request<B>, Asked) -> F,
) -> Response {
    guard_with(gateway, peer, route, request, run, |_| Duration::from_secs(24 * 3600)).await
}

async fn guard_with<B, F: Future<Output = (Response, Reader)>>(
    gateway: &Gateway,
    peer: Option<Peer>,
    route: &str,
    request: Request<B>,
    run: impl FnOnce(Request<B>, Asked) -> F,
    limit: impl FnOnce(&Server) -> Duration,
) -> Response {
    let begun = Instant::now();
    let asked = gateway.asked(|config| Reach::of(peer, request.headers(), &config.server.trusted_proxies));
    let span = tracing::info_span!("request", id = %asked.id, method = method(request.method()), route);
    let config = Arc::clone(&asked.settings.config);
    let secure = asked.settings.is_secure();

    let (mut response, reader) = if header_bytes(request.headers()) > config.server.header_bytes_max {
        (Failure::HeadersTooLarge.page(gateway, &asked), Reader::Browser)
    } else {
        // A route that panics is a failure of its own: the other requests notice nothing.
        let run = pin!(AssertUnwindSafe(run(request, asked.clone())).catch_unwind().instrument(span.clone()));
        match within(limit(&config.server), run).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(panic)) => {
                crashed(&*panic);
                (Failure::Crashed.page(gateway, &asked), Reader::Browser)
            }
            Err(_) => (Failure::TimedOut.page(gateway, &asked), Reader::Browser),
        }
    };
    if reader == Reader::Browser {
        let framed = response.extensions().get::<Framed>().is_some();
        protect(response.headers_mut(), secure);
        if framed {
            response.headers_mut().remove(header::X_FRAME_OPTIONS);
        }
    }
    let _entered = span.enter();
    let (status, micros) = (response.status().as_u16(), begun.elapsed().as_micros());
    if response.status().is_server_error() {
        // The id once more: an operator's filter may leave out the span.
        tracing::error!(request = %asked.id, status, micros, "answered");
    } else {
        tracing::debug!(status, micros, "answered");
    }
    response
}

/// As [`tokio::time::timeout`], but without a timer for what needs not wait.
async fn within<F: Future>(limit: Duration, mut run: Pin<&mut F>) -> Result<F::Output, Elapsed> {
    match run.as_mut().now_or_never() {
        Some(output) => Ok(output),
        None => tokio::time::timeout(limit, run).await,
    }
}

/// A route panicked, and nobody sees what it said.
fn crashed(panic: &(dyn Any + Send)) {
    // A formatted message may hold what must not be logged; a literal cannot.
    let message = panic.downcast_ref::<&'static str>().copied().unwrap_or("not shown");
    tracing::error!(message, "a route panicked");
}

/// Headers that every answer has, unless its route set one of its own.
fn protect(headers: &mut HeaderMap, secure: bool) {
    const ALWAYS: [(HeaderName, &str); 5] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // `no-referrer` would make browsers send `Origin: null` with our own forms (Fetch
        // §3.2), and the forms are held to their origin.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if secure {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(year);
    }
}

/// As hyper's limit counts them, roughly: name, value and four bytes between.
fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// A method that nobody registered is a client's text.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
