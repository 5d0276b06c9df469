//! Forward-auth: a reverse proxy asks about each request.
//!
//! `verify` is for nginx's `auth_request`: 200, 401 or 403, never a redirect. `forward` is
//! for proxies that hand our answer to the browser: 200, a redirect, or a page. `ext-authz` is
//! the same for Envoy, which sends the request's own method and path below ours. All answer
//! nobody but a trusted proxy, since what they are told about the request is its word.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, request::Parts, uri::PathAndQuery},
    response::Response,
};
use url::Url;

use super::{
    error::{Failure, found},
    gateway::{Asked, Behind, Gateway, facts},
    login::append_cookies,
    middleware::Reader,
    origin::{OriginError, Original},
};
use crate::{
    config::is_private,
    decision::AccessRequest,
    downstream::PassportError,
    login::{Check, Demand, Facts},
    session::{Session, SetCookie},
};

/// Where the login starts, on a 401: nginx cannot make up a redirect by itself.
const START: HeaderName = HeaderName::from_static("x-vestibule-start");
/// `Set-Cookie`, one by one: nginx can hand on a header's first value only.
const COOKIES: [HeaderName; 4] = [
    HeaderName::from_static("x-vestibule-cookie-1"),
    HeaderName::from_static("x-vestibule-cookie-2"),
    HeaderName::from_static("x-vestibule-cookie-3"),
    HeaderName::from_static("x-vestibule-cookie-4"),
];

/// What to tell the proxy.
pub(super) enum Verdict {
    /// Let it pass, with these headers.
    Pass { headers: HeaderMap, cookies: Vec<SetCookie> },
    /// Log in first.
    LogIn { start: Option<Url>, cookies: Vec<SetCookie> },
    /// Ask again for this address, which everybody reads in the same way.
    Rewrite(String),
}

/// In which words a proxy asks and is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// `/vestibule/verify/{application}`
    Verify,
    /// `/vestibule/forward/{application}`
    Forward,
    /// `/vestibule/ext-authz/{application}/…`: the path that is asked about follows.
    ExtAuthz,
}

/// Below it, and below an application's id, is the path that Envoy asks about.
const EXT_AUTHZ: &str = "/vestibule/ext-authz/";

impl Question {
    /// What a request's path asks, and about which application; none where it is no question. No
    /// id of ours is percent-encoded.
    pub(super) fn of(path: &str) -> Option<(Self, &str)> {
        let (kind, application) = path.strip_prefix("/vestibule/")?.split_once('/')?;
        let question = match kind {
            "verify" => Self::Verify,
            "forward" => Self::Forward,
            "ext-authz" => {
                let (application, _) = application.split_once('/')?;
                return (!application.is_empty()).then_some((Self::ExtAuthz, application));
            }
            _ => return None,
        };
        (!application.is_empty() && !application.contains('/')).then_some((question, application))
    }

    /// The route, for the log.
    pub(super) const fn route(self) -> &'static str {
        match self {
            Self::Verify => "/vestibule/verify/{application}",
            Self::Forward => "/vestibule/forward/{application}",
            Self::ExtAuthz => "/vestibule/ext-authz/{application}/",
        }
    }

    /// Answers it. The request's body, if there is any, is not read.
    pub(super) async fn answer<B>(gateway: &Gateway, asked: &Asked, request: Request<B>) -> (Response, Reader) {
        let parts = request.into_parts().0;
        let Some((question, application)) = Self::of(parts.uri.path()) else {
            return (Failure::NotFound.page(gateway, asked), Reader::Browser);
        };
        let verdict = question.judge(gateway, asked, application, &parts).await;
        match question {
            Self::Verify => verify(asked, verdict),
            Self::Forward | Self::ExtAuthz => forward(gateway, asked, is_background(&parts.headers), verdict),
        }
    }

    async fn judge(
        self,
        gateway: &Gateway,
        asked: &Asked,
        application: &str,
        parts: &Parts,
    ) -> Result<Verdict, Failure> {
        let headers = &parts.headers;
        let behind = asked_by_a_proxy(asked, application, headers)?;
        let scheme = asked.settings.config.server.public_url.scheme();
        let original = match self {
            Self::Verify => Original::by_nginx(headers, scheme, &behind.origins),
            Self::Forward => Original::by_forwarding(headers, scheme, &behind.origins),
            Self::ExtAuthz => {
                let target = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
                let target = target.get(EXT_AUTHZ.len() + application.len()..).unwrap_or_default();
                Original::by_ext_authz(headers, scheme, &behind.origins, parts.method.as_str(), target)
            }
        };
        let original = original.map_err(|error| unknown_request(application, error))?;
        decide(gateway, asked, application, behind, headers, original).await
    }
}

/// The application that a proxy asks about, if it is a proxy that asks, and no client speaks for
/// the gateway.
pub(super) fn asked_by_a_proxy<'a>(
    asked: &'a Asked,
    application: &str,
    headers: &HeaderMap,
) -> Result<&'a Behind, Failure> {
    let behind = asked.settings.behind.get(application).ok_or(Failure::UnknownApplication)?;
    if !asked.reach.trusted {
        // Only a neighbour can be a proxy of the house; anybody else's address is their own.
        let peer = asked.reach.address.filter(|address| is_private(*address));
        let peer = peer.map_or("not of this house".to_owned(), |address| address.to_string());
        tracing::warn!(application, peer, "a peer that server.trusted-proxies does not name asked about a request");
        return Err(Failure::UntrustedProxy);
    }
    match behind.names.forged(headers) {
        Some(forgery) => Err(Failure::BadRequest(forgery.code())),
        None => Ok(behind),
    }
}

/// The proxy's configuration lacks something, or somebody adds to what it says.
pub(super) fn unknown_request(application: &str, error: OriginError) -> Failure {
    if error == OriginError::Missing {
        tracing::warn!(application, "the proxy does not say which request it asks about: see docs/forward-auth.md");
    }
    Failure::BadRequest(error.code())
}

/// Whether a request passes that is known in full: the same for a proxy that asks and for our own.
pub(super) async fn decide(
    gateway: &Gateway,
    asked: &Asked,
    application: &str,
    behind: &Behind,
    headers: &HeaderMap,
    original: Original<'_>,
) -> Result<Verdict, Failure> {
    if original.path.is_rearranged() {
        // The proxy sends the bytes that it got, and we cannot decide about others.
        return match &*original.method {
            "GET" | "HEAD" => Ok(Verdict::Rewrite(original.canonical_url())),
            _ => Err(Failure::BadRequest("path-not-canonical")),
        };
    }
    if original.method == Method::OPTIONS.as_str() && behind.forward_auth.pass_options {
        return Ok(Verdict::Pass { headers: behind.blank.clone(), cookies: Vec::new() });
    }
    check(gateway, asked, application, behind, headers, original).await
}

/// For nginx.
fn verify(asked: &Asked, verdict: Result<Verdict, Failure>) -> (Response, Reader) {
    let response = match verdict {
        Ok(Verdict::Pass { headers, cookies }) => {
            let mut response = pass(headers, &cookies);
            number_cookies(response.headers_mut(), &cookies);
            return (response, Reader::Proxy);
        }
        Ok(Verdict::LogIn { start, cookies }) => {
            let mut response = Failure::NotLoggedIn.bare(asked);
            if let Some(start) = start.and_then(|start| HeaderValue::try_from(String::from(start)).ok()) {
                response.headers_mut().insert(START, start);
            }
            append_cookies(response.headers_mut(), &cookies);
            number_cookies(response.headers_mut(), &cookies);
            response
        }
        Ok(Verdict::Rewrite(_)) => Failure::BadRequest("path-not-canonical").bare(asked),
        Err(failure) => failure.bare(asked),
    };
    (response, Reader::Browser)
}

/// For a proxy that hands on what it hears.
pub(super) fn forward(
    gateway: &Gateway,
    asked: &Asked,
    is_background: bool,
    verdict: Result<Verdict, Failure>,
) -> (Response, Reader) {
    let response = match verdict {
        Ok(Verdict::Pass { headers, cookies }) => return (pass(headers, &cookies), Reader::Proxy),
        Ok(Verdict::LogIn { start: Some(start), cookies }) if !is_background => {
            let mut response = found(start.as_str());
            append_cookies(response.headers_mut(), &cookies);
            response
        }
        Ok(Verdict::LogIn { cookies, .. }) => {
            let mut response = Failure::NotLoggedIn.bare(asked);
            append_cookies(response.headers_mut(), &cookies);
            response
        }
        Ok(Verdict::Rewrite(to)) => found(&to),
        Err(failure) => failure.page(gateway, asked),
    };
    (response, Reader::Browser)
}

async fn check(
    gateway: &Gateway,
    asked: &Asked,
    application: &str,
    behind: &Behind,
    headers: &HeaderMap,
    original: Original<'_>,
) -> Result<Verdict, Failure> {
    let (session, cookies) = match look(gateway, asked, application, behind, headers, original).await? {
        Looked::Live { session, cookies } => (session, cookies),
        Looked::Other(verdict) => return Ok(verdict),
    };
    let lifetime = behind.forward_auth.assertion_lifetime;
    let passport = gateway.passports.of(&session, &behind.names, &asked.settings.issuer, lifetime);
    let passport = passport.map_err(|error| without_passport(application, &session, &error))?;
    Ok(Verdict::Pass { headers: passport.headers.clone(), cookies })
}

/// Why a live session does not pass after all.
pub(super) fn without_passport(application: &str, session: &Session, error: &PassportError) -> Failure {
    tracing::error!(application, session = session.id, %error, "a live session was refused");
    Failure::NoPassport
}

/// Who is behind a request, where it passes at all.
pub(super) enum Looked {
    Live {
        session: Arc<Session>,
        cookies: Vec<SetCookie>,
    },
    /// It passes as nobody's, or not at all.
    Other(Verdict),
}

/// Asks the login, and through it the policies, about a request that is known in full.
pub(super) async fn look(
    gateway: &Gateway,
    asked: &Asked,
    application: &str,
    behind: &Behind,
    headers: &HeaderMap,
    original: Original<'_>,
) -> Result<Looked, Failure> {
    let request = AccessRequest {
        host: original.host().to_owned(),
        path: original.path.as_str().to_owned(),
        method: original.method.to_string(),
    };
    let mut visitor = asked.visitor_with(headers, Some(Arc::clone(&original.origin)), Facts::default())?;
    let check = match gateway.flow.check_at_once(&visitor, application, &request) {
        Some(check) => check,
        // A policy is never told a method that nobody told us.
        None if !original.has_method => return Err(unknown_request(application, OriginError::Missing)),
        None => {
            let (of, headers) = (request.clone(), headers.clone());
            visitor.facts = Facts::later(move || facts(&of.method, &of.host, &of.path, &headers));
            gateway.flow.check(&visitor, application, &request).await
        }
    };
    let start = |demand: &Demand| {
        let start = gateway.flow.start_url(&visitor, application, &original.url(), demand);
        start.or_else(|| behind.start.clone())
    };
    Ok(Looked::Other(match check {
        Check::Live { session, cookies } => return Ok(Looked::Live { session, cookies }),
        Check::Anonymous => Verdict::Pass { headers: behind.blank.clone(), cookies: Vec::new() },
        Check::NoSession { cookies } => Verdict::LogIn { start: start(&Demand::default()), cookies },
        Check::Reauthenticate(demand) => Verdict::LogIn { start: start(&demand), cookies: Vec::new() },
        Check::Refused(refusal) => return Err(Failure::Refused(refusal)),
    }))
}

/// `headers` say already that nobody is to keep the answer.
fn pass(headers: HeaderMap, cookies: &[SetCookie]) -> Response {
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = headers;
    append_cookies(response.headers_mut(), cookies);
    response
}

/// A session in more pieces than nginx is told of is not handed on at all: a part of it
/// would be no session.
fn number_cookies(headers: &mut HeaderMap, cookies: &[SetCookie]) {
    if cookies.len() <= COOKIES.len() {
        for (name, cookie) in COOKIES.into_iter().zip(cookies) {
            if let Ok(value) = HeaderValue::try_from(cookie.as_str()) {
                headers.insert(name, value);
            }
        }
    }
}

/// A script or a picture asks, not a person: a login page is no answer to it (Fetch
/// Metadata, `Sec-Fetch-Mode`).
pub(super) fn is_background(headers: &HeaderMap) -> bool {
    let is_script = headers.get("x-requested-with").is_some_and(|value| value == "XMLHttpRequest");
    is_script || headers.get("sec-fetch-mode").is_some_and(|mode| mode != "navigate")
}
