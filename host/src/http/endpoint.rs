//! What an application's own host has of ours beside `/vestibule/`, where it is switched on:
//! paths that name no application, since the host does.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, request::Parts},
    response::Response,
};
use serde_json::{Value, json};
use url::Url;

use super::{
    error::Failure,
    forward_auth::{self, Verdict},
    gateway::{Asked, Gateway},
    login::append_cookies,
    middleware::Reader,
    oauth2_proxy,
    origin::{self, Original},
};
use crate::{config::ForwardAuth, session::SetCookie};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `/api/session`: who is logged in.
    Session,
    /// One of oauth2-proxy's.
    OAuth2Proxy(oauth2_proxy::Endpoint),
}

impl Endpoint {
    /// What is at `path` of some host, if that host's application has it.
    fn at(path: &str) -> Option<Self> {
        match path {
            "/api/session" => Some(Self::Session),
            _ => oauth2_proxy::Endpoint::at(path).map(Self::OAuth2Proxy),
        }
    }

    const fn is_on(self, forward_auth: &ForwardAuth) -> bool {
        match self {
            Self::Session => forward_auth.session_endpoint,
            Self::OAuth2Proxy(_) => forward_auth.oauth2_proxy,
        }
    }

    /// The route, for the log.
    pub(super) const fn route(self) -> &'static str {
        match self {
            Self::Session => "/api/session",
            Self::OAuth2Proxy(endpoint) => endpoint.path(),
        }
    }

    /// Answers. The request's body, if there is any, is not read.
    pub(super) async fn answer<B>(
        self,
        gateway: &Gateway,
        asked: &Asked,
        application: &str,
        request: Request<B>,
    ) -> (Response, Reader) {
        let parts = request.into_parts().0;
        match self {
            Self::Session => (session(gateway, asked, application, &parts).await, Reader::Browser),
            Self::OAuth2Proxy(endpoint) => endpoint.answer(gateway, asked, application, parts).await,
        }
    }
}

/// The endpoint that is asked for, and the application whose host this is.
pub(super) fn find(asked: &Asked, uri: &Uri, headers: &HeaderMap) -> Option<(Endpoint, String)> {
    let endpoint = Endpoint::at(uri.path())?;
    let origin = origin::visited(asked.reach, headers, asked.settings.config.server.public_url.scheme())?;
    let application = asked.settings.by_host.of(&origin)?;
    let behind = asked.settings.behind.get(application)?;
    endpoint.is_on(&behind.forward_auth).then(|| (endpoint, application.to_owned()))
}

/// `GET /api/session`, for a page of the application, or for its server with the browser's
/// cookies: who is logged in here, and the signed assertion that says so.
async fn session(gateway: &Gateway, asked: &Asked, application: &str, parts: &Parts) -> Response {
    let (status, body, cookies) = match ask(gateway, asked, application, parts).await {
        Ok(Told::Live { claims, assertion, expires, cookies }) => {
            (StatusCode::OK, body(&claims, &assertion, expires), cookies)
        }
        Ok(Told::Nobody { start, cookies }) => {
            let failure = Failure::NotLoggedIn;
            (failure.status(), json!({ "error": failure.code(), "start": start }), cookies)
        }
        Err(failure) => (failure.status(), json!({ "error": failure.code(), "request": &*asked.id }), Vec::new()),
    };
    let mut response = json_response(status, &body);
    append_cookies(response.headers_mut(), &cookies);
    response
}

async fn ask(gateway: &Gateway, asked: &Asked, application: &str, parts: &Parts) -> Result<Told, Failure> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Failure::MethodNotAllowed);
    }
    // No other site's page learns who is logged in (Fetch Metadata).
    if parts.headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin" && site != "none") {
        return Err(Failure::CrossSite);
    }
    told(gateway, asked, application, parts).await
}

/// Who is logged in.
pub(super) enum Told {
    /// The assertion's claims, the assertion, and when the session ends, in seconds since
    /// 1970-01-01 UTC.
    Live {
        claims: Value,
        assertion: String,
        expires: u64,
        cookies: Vec<SetCookie>,
    },
    Nobody {
        start: Option<Url>,
        cookies: Vec<SetCookie>,
    },
}

pub(super) async fn told(gateway: &Gateway, asked: &Asked, application: &str, parts: &Parts) -> Result<Told, Failure> {
    let behind = asked.settings.behind.get(application).ok_or(Failure::UnknownApplication)?;
    let scheme = asked.settings.config.server.public_url.scheme();
    let origin = origin::visited(asked.reach, &parts.headers, scheme).ok_or(Failure::BadRequest("host-ambiguous"))?;
    let original = Original::of(origin, "GET", parts.uri.path());
    let original = original.map_err(|error| Failure::BadRequest(error.code()))?;
    let looked = forward_auth::look(gateway, asked, application, behind, &parts.headers, original).await?;
    Ok(match looked {
        forward_auth::Looked::Live { session, cookies } => {
            let (issuer, lifetime) = (&asked.settings.issuer, behind.forward_auth.assertion_lifetime);
            let stated = gateway.passports.statement(&session, issuer, lifetime);
            let stated = stated.map_err(|error| forward_auth::without_passport(application, &session, &error))?;
            let (claims, assertion) = stated;
            Told::Live { claims, assertion, expires: session.expires(), cookies }
        }
        forward_auth::Looked::Other(Verdict::LogIn { start, cookies }) => Told::Nobody { start, cookies },
        // A policy left the login to the application: nobody is known here.
        forward_auth::Looked::Other(_) => Told::Nobody { start: behind.start.clone(), cookies: Vec::new() },
    })
}

fn body(claims: &Value, assertion: &str, session_expires: u64) -> Value {
    const WHO: [&str; 8] = ["sub", "preferred_username", "email", "name", "groups", "upstream", "attributes", "aud"];
    let mut body = serde_json::Map::new();
    for name in WHO {
        let to = if name == "aud" { "application" } else { name };
        body.insert(to.to_owned(), claims.get(name).cloned().unwrap_or_default());
    }
    body.insert("session_expires_at".to_owned(), json!(session_expires));
    body.insert("token".to_owned(), json!(assertion));
    body.insert("token_expires_at".to_owned(), claims.get("exp").cloned().unwrap_or_default());
    Value::Object(body)
}

/// JSON that nobody keeps.
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
