//! Every refusal, and the only place that picks a status for one.
//!
//! [`Failure`] is what the web layer itself refuses, and wraps the login's [`Refusal`]. A
//! person gets a page ([`Failure::page`]), a proxy a line of text ([`Failure::bare`]).
//! Neither says more than the failure's code and the request's id: the words on the page
//! come from the catalogue, the details are in the log and in the audit.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};

use super::gateway::{Asked, Gateway};
use crate::{
    downstream::oidc::{RegistrationError, SIGNING_ALGORITHMS, TokenError, UserinfoError},
    login::{Class, Refusal},
};

/// Why, for a proxy's log.
const REASON: HeaderName = HeaderName::from_static("x-vestibule-reason");
/// Which request, for a proxy's log.
const REQUEST: HeaderName = HeaderName::from_static("x-vestibule-request");

/// A request that is not answered as it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The application answered in a way that is no answer.
    BackendBroken,
    /// The application did not answer in time.
    BackendTimedOut,
    /// The application did not prove that it is the one that is meant: its certificate, or the TLS handshake.
    BackendUnproved,
    /// The application cannot be reached.
    BackendUnreachable,
    /// The request makes no sense; with the code.
    BadRequest(&'static str),
    /// The body is larger than `server.body-bytes-max`.
    BodyTooLarge,
    /// A route panicked.
    Crashed,
    /// A form came from another site.
    CrossSite,
    /// Another site's page asked for what only a person may open.
    CrossSiteVisit,
    /// The headers are larger than `server.header-bytes-max`.
    HeadersTooLarge,
    /// The route has no such method.
    MethodNotAllowed,
    /// A live session's identity cannot be put in headers.
    NoPassport,
    /// There is no such page.
    NotFound,
    /// There is no live session (for proxies; a person is sent to log in).
    NotLoggedIn,
    /// The login refused.
    Refused(Refusal),
    /// The request took longer than `server.request-timeout-ms`.
    TimedOut,
    /// Something that is needed is not there; with the code.
    Unavailable(&'static str),
    /// There is no such application behind forward-auth.
    UnknownApplication,
    /// A peer that is no trusted proxy asked about a request.
    UntrustedProxy,
}

impl Failure {
    /// A stable name in kebab-case.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::BadRequest(code) | Self::Unavailable(code) => code,
            Self::BackendBroken => "backend-broken",
            Self::BackendTimedOut => "backend-timed-out",
            Self::BackendUnproved => "backend-unproved",
            Self::BackendUnreachable => "backend-unreachable",
            Self::BodyTooLarge => "body-too-large",
            Self::Crashed => "internal-error",
            Self::CrossSite => "cross-site-form",
            Self::CrossSiteVisit => "cross-site-visit",
            Self::HeadersTooLarge => "headers-too-large",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::NoPassport => "no-passport",
            Self::NotFound => "not-found",
            Self::NotLoggedIn => "not-logged-in",
            Self::Refused(refusal) => &refusal.code,
            Self::TimedOut => "timed-out",
            Self::UnknownApplication => "unknown-application",
            Self::UntrustedProxy => "untrusted-proxy",
        }
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::BackendBroken | Self::BackendUnproved | Self::BackendUnreachable => StatusCode::BAD_GATEWAY,
            Self::BackendTimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Crashed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::CrossSite | Self::CrossSiteVisit | Self::NoPassport | Self::UntrustedProxy => StatusCode::FORBIDDEN,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound | Self::UnknownApplication => StatusCode::NOT_FOUND,
            Self::NotLoggedIn => StatusCode::UNAUTHORIZED,
            Self::Refused(refusal) => match refusal.class {
                Class::BadRequest | Class::Expired => StatusCode::BAD_REQUEST,
                Class::Denied => StatusCode::FORBIDDEN,
                Class::NotFound => StatusCode::NOT_FOUND,
                Class::TooOften => StatusCode::TOO_MANY_REQUESTS,
                Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                Class::Upstream => StatusCode::BAD_GATEWAY,
            },
            Self::TimedOut | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The key of the catalogue's words for a code that it does not know.
    pub(super) const fn class(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::BodyTooLarge | Self::HeadersTooLarge => "bad-request",
            Self::MethodNotAllowed | Self::NotFound | Self::UnknownApplication => "not-found",
            Self::BackendBroken
            | Self::BackendTimedOut
            | Self::BackendUnproved
            | Self::BackendUnreachable
            | Self::Crashed
            | Self::TimedOut
            | Self::Unavailable(_) => "unavailable",
            Self::CrossSite | Self::CrossSiteVisit | Self::NoPassport | Self::NotLoggedIn | Self::UntrustedProxy => {
                "denied"
            }
            Self::Refused(refusal) => match refusal.class {
                Class::BadRequest => "bad-request",
                Class::Denied => "denied",
                Class::Expired => "expired",
                Class::NotFound => "not-found",
                Class::TooOften => "too-often",
                Class::Unavailable => "unavailable",
                Class::Upstream => "upstream",
            },
        }
    }

    /// For a person.
    pub(super) fn page(&self, gateway: &Gateway, asked: &Asked) -> Response {
        let again = match self {
            Self::Refused(refusal) => refusal.again.as_ref(),
            _ => None,
        };
        let mut response = gateway.pages.failure(asked, self.class(), self.code(), again);
        *response.status_mut() = self.status();
        self.mark(&mut response, asked);
        response
    }

    /// For a proxy. nginx's `auth_request` knows 401 and 403, and takes all else for a
    /// failure of ours: so no other 4xx but 400, which `docs/forward-auth.md` hands on.
    pub(super) fn bare(&self, asked: &Asked) -> Response {
        let mut response = Response::new(Body::from(self.code().to_owned()));
        *response.status_mut() = match self.status() {
            status @ (StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) => status,
            status if status.is_client_error() => StatusCode::FORBIDDEN,
            status => status,
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.mark(&mut response, asked);
        response
    }

    fn mark(&self, response: &mut Response, asked: &Asked) {
        let status = response.status();
        let headers = response.headers_mut();
        for (name, text) in [(REASON, self.code()), (REQUEST, &asked.id)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §15.5.2 wants a challenge; this scheme opens no browser's dialogue.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Vestibule"));
        }
    }
}

/// RFC 6749 §5.2; none where the request cannot even be read.
pub(super) fn token_refused(error: Option<TokenError>) -> Response {
    let error = error.unwrap_or(TokenError::InvalidRequest);
    let mut response = Response::new(Body::from(serde_json::json!({ "error": error.to_string() }).to_string()));
    *response.status_mut() = match error {
        TokenError::InvalidClient => StatusCode::UNAUTHORIZED,
        TokenError::Authorization(_)
        | TokenError::InvalidDpopProof
        | TokenError::InvalidGrant
        | TokenError::InvalidRequest
        | TokenError::InvalidScope
        | TokenError::UnauthorizedClient
        | TokenError::UnsupportedGrantType => StatusCode::BAD_REQUEST,
        TokenError::TooMany => StatusCode::TOO_MANY_REQUESTS,
        TokenError::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if error == TokenError::InvalidClient {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"vestibule\""));
    }
    response
}

/// RFC 7591 §3.2.2, with the field that is wrong.
pub(super) fn registration_refused(error: &RegistrationError) -> Response {
    let (status, name) = match error {
        RegistrationError::Exists(_) => (StatusCode::CONFLICT, "client_exists"),
        RegistrationError::Invalid { field, .. } if field.contains("redirect_uris") => {
            (StatusCode::BAD_REQUEST, "invalid_redirect_uri")
        }
        RegistrationError::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_client_metadata"),
        RegistrationError::Missing => (StatusCode::NOT_FOUND, "not_found"),
        RegistrationError::Unauthorized => (StatusCode::UNAUTHORIZED, "invalid_token"),
        RegistrationError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
    };
    let mut body = serde_json::json!({ "error": name, "error_description": error.to_string() });
    if let (RegistrationError::Invalid { field, .. }, Some(members)) = (error, body.as_object_mut()) {
        members.insert("field".to_owned(), serde_json::json!(field));
    }
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"vestibule\""));
    }
    response
}

/// RFC 6750 §3, RFC 9449 §7.1: what was wrong in the words of the scheme that was used, or should have been.
pub(super) fn userinfo_refused(error: UserinfoError) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let bearer = "Bearer realm=\"vestibule\"".to_owned();
    let dpop = format!("DPoP realm=\"vestibule\", algs=\"{}\"", SIGNING_ALGORITHMS.join(" "));
    let challenges = match error {
        UserinfoError::Missing => vec![bearer, dpop],
        UserinfoError::InvalidToken { dpop: false } => vec![format!("{bearer}, error=\"{error}\"")],
        UserinfoError::InvalidToken { dpop: true } | UserinfoError::InvalidDpopProof => {
            vec![format!("{dpop}, error=\"{error}\"")]
        }
    };
    let headers = response.headers_mut();
    for challenge in challenges {
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            headers.append(header::WWW_AUTHENTICATE, challenge);
        }
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// OIDC Back-Channel Logout §2.8: a request that is wrong is told so in JSON, as RFC 6749 §5.2
/// has it, with the code in words' stead.
pub(super) fn logout_refused(failure: &Failure, asked: &Asked) -> Response {
    let error = if failure.status().is_client_error() { "invalid_request" } else { "temporarily_unavailable" };
    let body = serde_json::json!({ "error": error, "error_description": failure.code() });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = failure.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    failure.mark(&mut response, asked);
    response
}

/// A redirect that proxies understand (302).
pub(super) fn found(to: &str) -> Response {
    redirect(StatusCode::FOUND, to)
}

/// A redirect after which the browser asks with `GET` (RFC 9110 §15.4.4).
pub(super) fn see_other(to: &str) -> Response {
    redirect(StatusCode::SEE_OTHER, to)
}

fn redirect(status: StatusCode, to: &str) -> Response {
    let mut response = Response::new(Body::empty());
    match HeaderValue::try_from(to) {
        Ok(location) => {
            *response.status_mut() = status;
            response.headers_mut().insert(header::LOCATION, location);
        }
        // An address that is no header value is none of ours.
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
