//! oauth2-proxy's endpoints (its documentation, "Endpoints"), so that a proxy that was set up for
//! it can ask the gateway in its place. What decides is the gateway's own: forward-auth's
//! decision, login, logout. `/oauth2/callback` is an upstream's `callback-path`.

use axum::{
    body::Body,
    extract::Path,
    http::{HeaderMap, Method, Request, StatusCode, request::Parts},
    response::Response,
};
use serde_json::json;

use super::{
    endpoint::{self, json_response},
    error::Failure,
    fields::Fields,
    forward_auth::{self, Verdict, asked_by_a_proxy, unknown_request},
    gateway::{Asked, Gateway},
    login::{append_cookies, depart_from, visit_of_a_person},
    middleware::Reader,
    origin::Original,
};
use crate::{login::Demand, session::SetCookie};

/// Where the person wanted to go, as the proxy says: for an address that has no `rd`.
const REDIRECT: &str = "x-auth-request-redirect";

/// One of oauth2-proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Auth,
    SignIn,
    Start,
    SignOut,
    Userinfo,
}

impl Endpoint {
    const ALL: [Self; 5] = [Self::Auth, Self::SignIn, Self::Start, Self::SignOut, Self::Userinfo];

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Auth => "/oauth2/auth",
            Self::SignIn => "/oauth2/sign_in",
            Self::Start => "/oauth2/start",
            Self::SignOut => "/oauth2/sign_out",
            Self::Userinfo => "/oauth2/userinfo",
        }
    }

    pub(super) fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }

    pub(super) async fn answer(
        self,
        gateway: &Gateway,
        asked: &Asked,
        application: &str,
        parts: Parts,
    ) -> (Response, Reader) {
        if !matches!(parts.method, Method::GET | Method::HEAD) && self != Self::Auth {
            return (Failure::MethodNotAllowed.page(gateway, asked), Reader::Browser);
        }
        match self {
            Self::Auth => auth(gateway, asked, application, &parts).await,
            Self::SignIn => (sign_in(gateway, asked, application, &parts), Reader::Browser),
            Self::Start => (start(gateway, asked, application, parts).await, Reader::Browser),
            Self::SignOut => {
                let request = Request::from_parts(parts, Body::empty());
                (depart_from(gateway, asked, application, request).await, Reader::Browser)
            }
            Self::Userinfo => (userinfo(gateway, asked, application, &parts).await, Reader::Browser),
        }
    }
}

/// 202 with the identity headers, 401, 403 or 400; never a redirect.
async fn auth(gateway: &Gateway, asked: &Asked, application: &str, parts: &Parts) -> (Response, Reader) {
    match judge(gateway, asked, application, parts).await {
        Ok(Verdict::Pass { headers, cookies }) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            *response.headers_mut() = headers;
            whole_cookie(response.headers_mut(), &cookies);
            (response, Reader::Proxy)
        }
        Ok(Verdict::LogIn { cookies, .. }) => {
            let mut response = Failure::NotLoggedIn.bare(asked);
            whole_cookie(response.headers_mut(), &cookies);
            (response, Reader::Browser)
        }
        Ok(Verdict::Rewrite(_)) => (Failure::BadRequest("path-not-canonical").bare(asked), Reader::Browser),
        Err(failure) => (failure.bare(asked), Reader::Browser),
    }
}

async fn judge(gateway: &Gateway, asked: &Asked, application: &str, parts: &Parts) -> Result<Verdict, Failure> {
    let headers = &parts.headers;
    let behind = asked_by_a_proxy(asked, application, headers)?;
    // `allowed_groups`, `allowed_emails`, `allowed_email_domains`: to pass over them would let in
    // whom they keep out.
    if parts.uri.query().is_some_and(|query| !query.is_empty()) {
        tracing::warn!(application, "the address of /oauth2/auth has a rule (`allowed_…`): it belongs in a policy");
        return Err(Failure::BadRequest("rule-in-query"));
    }
    let scheme = asked.settings.config.server.public_url.scheme();
    let original = Original::by_oauth2_proxy(headers, scheme, &behind.origins);
    let original = original.map_err(|error| unknown_request(application, error))?;
    forward_auth::decide(gateway, asked, application, behind, headers, original).await
}

/// Proxies that are set up for oauth2-proxy hand on the first `Set-Cookie` alone, and a part of a
/// session would be none.
fn whole_cookie(headers: &mut HeaderMap, cookies: &[SetCookie]) {
    if let [cookie] = cookies {
        append_cookies(headers, std::slice::from_ref(cookie));
    }
}

/// A page that leads on. The status is oauth2-proxy's, which shows it in place of the page that
/// was asked for.
fn sign_in(gateway: &Gateway, asked: &Asked, application: &str, parts: &Parts) -> Response {
    let fields = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let Ok(fields) = fields else { return Failure::BadRequest("query-unreadable").page(gateway, asked) };
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(rd) = wanted(asked, &parts.headers, &fields) {
        query.append_pair("rd", &rd);
    }
    let to = format!("{}?{}", Endpoint::Start.path(), query.finish());
    let mut response = gateway.pages.sign_in(asked, application, &to);
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

async fn start(gateway: &Gateway, asked: &Asked, application: &str, parts: Parts) -> Response {
    let headers = parts.headers.clone();
    let name = Ok(Path(application.to_owned()));
    visit_of_a_person(gateway, asked, name, Request::from_parts(parts, Body::empty()), async |visitor, name, fields| {
        let rd = wanted(asked, &headers, fields);
        Ok(gateway.flow.start(visitor, name, rd.as_deref(), &Demand::default()))
    })
    .await
}

/// `rd`, or what a proxy says. Whether a browser may be sent there, the login decides.
fn wanted(asked: &Asked, headers: &HeaderMap, fields: &Fields<'_>) -> Option<String> {
    let told = || {
        let mut told = headers.get_all(REDIRECT).iter();
        let one = told.next().filter(|_| asked.reach.trusted && told.next().is_none())?;
        // A proxy says the endpoint's own address, where the browser came to it directly.
        one.to_str().ok().filter(|to| !to.starts_with("/oauth2/")).map(str::to_owned)
    };
    fields.owned("rd").filter(|rd| !rd.is_empty()).or_else(told)
}

async fn userinfo(gateway: &Gateway, asked: &Asked, application: &str, parts: &Parts) -> Response {
    match endpoint::told(gateway, asked, application, parts).await {
        Ok(endpoint::Told::Live { claims, cookies, .. }) => {
            let mut body = json!({
                "user": claims.get("preferred_username"),
                "preferredUsername": claims.get("preferred_username"),
                "groups": claims.get("groups"),
            });
            if let (Some(email), Some(body)) = (claims.get("email").filter(|it| !it.is_null()), body.as_object_mut()) {
                body.insert("email".to_owned(), email.clone());
            }
            let mut response = json_response(StatusCode::OK, &body);
            append_cookies(response.headers_mut(), &cookies);
            response
        }
        Ok(endpoint::Told::Nobody { .. }) => Failure::NotLoggedIn.bare(asked),
        Err(failure) => failure.bare(asked),
    }
}
