//! What happens around every route: an id, a span, limits, and headers that protect the
//! browser.

use std::{any::Any, sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use tracing::Instrument as _;

use super::{
    error::Failure,
    gateway::Gateway,
    peer::{Peer, Reach},
};

/// Marks the answer of a route that panicked.
#[derive(Clone, Copy, Debug)]
struct Crashed;

/// Marks an answer that a proxy reads and no browser gets: headers that protect a browser
/// would only cost each request of each application.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForProxy;

/// Around each route.
pub(super) async fn around(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let peer = request.extensions().get::<Peer>().copied();
    let asked = gateway.asked(|config| Reach::of(peer, request.headers(), &config.server.trusted_proxies));
    // The route, not the path: a path may hold what must not be logged.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let span = tracing::info_span!("request", id = %asked.id, method = method(&request), route);
    let config = Arc::clone(&asked.settings.config);
    let secure = asked.settings.is_secure();

    let mut response = if header_bytes(request.headers()) > config.server.header_bytes_max {
        Failure::HeadersTooLarge.page(&gateway, &asked)
    } else {
        request.extensions_mut().insert(asked.clone());
        let run = tokio::time::timeout(config.server.request_timeout, next.run(request));
        match run.instrument(span.clone()).await {
            Ok(response) if response.extensions().get::<Crashed>().is_some() => Failure::Crashed.page(&gateway, &asked),
            Ok(response) => response,
            Err(_) => Failure::TimedOut.page(&gateway, &asked),
        }
    };
    if response.extensions().get::<ForProxy>().is_none() {
        protect(response.headers_mut(), secure);
    }
    let _entered = span.enter();
    let (status, micros) = (response.status().as_u16(), begun.elapsed().as_micros());
    if response.status().is_server_error() {
        tracing::error!(status, micros, "answered");
    } else {
        tracing::debug!(status, micros, "answered");
    }
    response
}

/// A route panicked: the other requests notice nothing, and nobody sees what it said.
pub(super) fn crashed(panic: Box<dyn Any + Send>) -> Response {
    // A formatted message may hold what must not be logged; a literal cannot.
    let message = panic.downcast_ref::<&'static str>().copied().unwrap_or("not shown");
    tracing::error!(message, "a route panicked");
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Crashed);
    response
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
fn method(request: &Request) -> &'static str {
    match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
