//! The built-in reverse proxy, for applications that have none of their own.
//!
//! Whether a request passes is not decided here: it is [`forward_auth::decide`], as for any
//! other proxy. What differs is who sends the bytes. They are the ones that were decided
//! about: the canonical path goes to the application, never the one that came in.

use std::error::Error;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header, request::Parts, uri::PathAndQuery,
    },
    response::Response,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;

use super::{
    backend::Backend,
    error::Failure,
    forward_auth::{self, Verdict},
    gateway::{Asked, Behind, Gateway},
    login::append_cookies,
    middleware::Reader,
    origin::{self, Original},
    proxied_body::Idle,
    proxied_headers, tunnel,
};
/// The part of an application's host that is ours.
const OURS: &str = "/vestibule/";

/// The application whose host this is, unless the path is ours.
pub(super) fn application(asked: &Asked, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if uri.path().starts_with(OURS) {
        return None;
    }
    let scheme = asked.settings.config.server.public_url.scheme();
    let origin = origin::visited(asked.reach, headers, scheme)?;
    // The gateway's own host is nobody else's, though it be below a domain of an application's.
    if origin.origin() == asked.settings.config.server.public_url.origin() {
        return None;
    }
    asked.settings.proxied.of(&origin).map(str::to_owned)
}

/// HTTP/2 says the host in the address, HTTP/1.1 in a header, and an absolute address of
/// HTTP/1.1 in both (RFC 9112 §3.2.2): after this it is in the header, or told in two ways.
pub(super) fn settle_host<B>(request: &mut Request<B>) -> Result<(), Failure> {
    let Some(authority) = request.uri().authority() else { return Ok(()) };
    let value = HeaderValue::try_from(authority.as_str()).map_err(|_| Failure::BadRequest("host-ambiguous"))?;
    let mut told = request.headers().get_all(header::HOST).iter();
    if told.any(|host| !host.as_bytes().eq_ignore_ascii_case(value.as_bytes())) {
        return Err(Failure::BadRequest("host-ambiguous"));
    }
    request.headers_mut().insert(header::HOST, value);
    Ok(())
}

/// Answers a request for `application`.
pub(super) async fn answer<B>(
    gateway: &Gateway,
    asked: &Asked,
    application: &str,
    request: Request<B>,
) -> (Response, Reader)
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let is_background = forward_auth::is_background(request.headers());
    let limit = asked.settings.config.server.request_timeout;
    // The body stays where it is until it is known that the request passes.
    let (parts, body) = request.into_parts();
    let judged = tokio::time::timeout(limit, judge(gateway, asked, application, &parts)).await;
    let (onward, cookies) = match judged.unwrap_or(Err(Failure::TimedOut)) {
        Ok(Judged::Pass(onward, cookies)) => (onward, cookies),
        Ok(Judged::Stop(verdict)) => return forward_auth::forward(gateway, asked, is_background, Ok(verdict)),
        Err(failure) => return (failure.page(gateway, asked), Reader::Browser),
    };
    let Some(backend) = asked.settings.behind.get(application).and_then(|behind| behind.backend.as_ref()) else {
        return (Failure::UnknownApplication.page(gateway, asked), Reader::Browser);
    };
    match send(asked, backend, Request::from_parts(parts, body), onward).await {
        Ok(mut response) => {
            append_cookies(response.headers_mut(), &cookies);
            (response, Reader::Proxy)
        }
        Err(failure) => (failure.page(gateway, asked), Reader::Browser),
    }
}

enum Judged {
    Pass(Onward, Vec<crate::session::SetCookie>),
    Stop(Verdict),
}

/// What the application gets to see in place of what came in.
struct Onward {
    target: PathAndQuery,
    headers: HeaderMap,
}

async fn judge(gateway: &Gateway, asked: &Asked, application: &str, parts: &Parts) -> Result<Judged, Failure> {
    let behind = asked.settings.behind.get(application).ok_or(Failure::UnknownApplication)?;
    let headers = &parts.headers;
    if let Some(forgery) = behind.names.forged(headers) {
        return Err(Failure::BadRequest(forgery.code()));
    }
    if parts.method == Method::CONNECT {
        return Err(Failure::MethodNotAllowed);
    }
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let scheme = asked.settings.config.server.public_url.scheme();
    let visited = origin::visited(asked.reach, headers, scheme).ok_or(Failure::BadRequest("host-ambiguous"))?;
    let original = Original::of(visited.clone(), parts.method.as_str(), target);
    let original = original.map_err(|error| Failure::BadRequest(error.code()))?;
    let path = original.path.as_str();
    // `/%76estibule/` is the gateway's, too, and nothing that it has.
    if !original.path.is_rearranged() && (path.starts_with(OURS) || path == OURS.trim_end_matches('/')) {
        return Err(Failure::NotFound);
    }
    let target =
        PathAndQuery::try_from(original.canonical_target()).map_err(|_| Failure::BadRequest("path-bad-byte"))?;
    match forward_auth::decide(gateway, asked, application, behind, headers, original).await? {
        Verdict::Pass { headers: identity, cookies } => {
            let headers = onward(asked, behind, headers, &identity, &visited);
            Ok(Judged::Pass(Onward { target, headers }, cookies))
        }
        stop => Ok(Judged::Stop(stop)),
    }
}

fn onward(asked: &Asked, behind: &Behind, came: &HeaderMap, identity: &HeaderMap, visited: &url::Url) -> HeaderMap {
    let mut headers = proxied_headers::request(came, &asked.settings.config.session.cookie_name);
    for name in behind.names.iter() {
        // An empty one says nothing that its absence does not.
        if let Some(value) = identity.get(name).filter(|value| !value.is_empty()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    let host = origin::authority_of(visited);
    let address = asked.reach.address.map(|address| address.to_string());
    let told = [
        ("x-forwarded-for", address.as_deref()),
        ("x-forwarded-host", Some(host)),
        ("x-forwarded-proto", Some(visited.scheme())),
        ("host", Some(host)),
    ];
    for (name, value) in told {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

async fn send<B>(asked: &Asked, backend: &Backend, mut request: Request<B>, onward: Onward) -> Result<Response, Failure>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let settings = &backend.settings;
    let upgrade = (settings.websocket && tunnel::is_websocket(&request)).then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let mut address = settings.backend.clone().into_parts();
    address.path_and_query = Some(onward.target);
    let address = Uri::from_parts(address).map_err(|_| Failure::BadRequest("path-bad-byte"))?;
    let body = Idle::new(body, settings.idle_timeout);
    let body = match settings.body_bytes_max {
        Some(limit) if body_is_longer(&parts.headers, limit) => return Err(Failure::BodyTooLarge),
        Some(limit) => {
            Body::new(Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX)).map_err(axum::Error::new))
        }
        None => Body::new(body),
    };
    let mut sent = Request::new(body);
    *sent.method_mut() = parts.method;
    *sent.uri_mut() = address;
    *sent.version_mut() = Version::HTTP_11;
    *sent.headers_mut() = onward.headers;
    if upgrade.is_some() {
        tunnel::ask(sent.headers_mut());
    }
    let mut response = backend.send(sent).await?;
    let headers = proxied_headers::response(response.headers(), &asked.settings.config.session.cookie_name);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it: there is no telling what would follow.
        let (Some(browser), true) = (upgrade, tunnel::is_agreed(response.headers())) else {
            return Err(Failure::BackendBroken);
        };
        let application = hyper::upgrade::on(&mut response);
        let idle = settings.idle_timeout;
        tokio::spawn(async move {
            if let (Ok(browser), Ok(application)) = tokio::join!(browser, application) {
                tunnel::between(TokioIo::new(browser), TokioIo::new(application), idle).await;
            }
        });
        let mut switched = Response::new(Body::empty());
        *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *switched.headers_mut() = headers;
        tunnel::ask(switched.headers_mut());
        return Ok(switched);
    }
    let (answered, body) = response.into_parts();
    let mut response = Response::new(Body::new(Idle::new(body, settings.idle_timeout)));
    *response.status_mut() = answered.status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn body_is_longer(headers: &HeaderMap, limit: u64) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > limit)
}
