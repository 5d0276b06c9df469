//! The OIDC provider's routes: where `downstream/oidc` meets the web.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
    routing::{get, post},
};
use serde_json::Value;

use super::{
    error::{Failure, see_other, token_refused, userinfo_refused},
    form,
    gateway::{Asked, Gateway},
    login::respond,
};
use crate::{
    decision::Admission,
    downstream::oidc::{Asked as Authorize, AuthorizeRequest, TokenRequest},
    login::{Class, Refusal, Then, Wanted},
};

type Shared = State<Arc<Gateway>>;
type Known = Extension<Asked>;

/// Discovery, authorization, token, userinfo, logout.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/oidc/jwks.json", get(jwks))
        .route("/oidc/authorize", get(authorize).post(authorize))
        .route("/oidc/token", post(token))
        .route("/oidc/userinfo", get(userinfo).post(userinfo))
        .route("/oidc/logout", get(logout).post(logout))
}

async fn discovery(State(gateway): Shared, Extension(asked): Known) -> Response {
    public(&gateway.provider.discovery(&asked.settings.config))
}

async fn jwks(State(gateway): Shared) -> Response {
    public(&gateway.provider.jwks())
}

/// OIDC Core §3.1.2.1: by `GET` or by `POST`, from anywhere.
async fn authorize(State(gateway): Shared, Extension(asked): Known, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let config = Arc::clone(&asked.settings.config);
    let parameters = match parameters(&asked, &parts.method, parts.uri.query(), body).await {
        Ok(parameters) => parameters,
        Err(failure) => return failure.page(&gateway, &asked),
    };
    let request = match gateway.provider.authorize(&config, &parameters) {
        Authorize::Login(request) => request,
        Authorize::Redirect(to) => return see_other(to.as_str()),
        Authorize::Refused(refused) => {
            tracing::info!(code = refused.code, detail = refused.detail, "an authorization request is refused");
            return Failure::BadRequest(refused.code).page(&gateway, &asked);
        }
    };
    let answer = async {
        let sealed = gateway.provider.seal(&request).map_err(|refused| Failure::Unavailable(refused.code))?;
        let AuthorizeRequest { application, max_age, fresh, silent, login_hint, acr_values, .. } = *request;
        let then = Then::Oidc { request: sealed };
        let wanted =
            Wanted { application, then, max_age, fresh, silent, login_hint, acr_values, demanded_acr: Vec::new() };
        Ok(gateway.flow.begin(&asked.visitor(&parts)?, wanted).await)
    };
    let answer = answer.await;
    respond(&gateway, &asked, answer)
}

/// A login for an authorization request ended in yes.
pub(super) fn admitted(gateway: &Gateway, asked: &Asked, admission: &Admission, request: &str, sid: &str) -> Response {
    match gateway.provider.grant(&asked.settings.config, admission, request, sid) {
        Ok(to) => see_other(to.as_str()),
        Err(refused) => {
            tracing::warn!(code = refused.code, detail = refused.detail, "an admission has no use");
            Failure::BadRequest(refused.code).page(gateway, asked)
        }
    }
}

/// A login for an authorization request ended in no. What was decided is told to the
/// relying party (OIDC Core §3.1.2.6); all else is told to the person, who alone can do
/// something about it. None where this is a page.
pub(super) fn refused(gateway: &Gateway, asked: &Asked, refusal: &Refusal) -> Option<Response> {
    let sealed = refusal.request_of.as_deref()?;
    if refusal.class != Class::Denied {
        return None;
    }
    let to = gateway.provider.refuse(&asked.settings.config, sealed, &refusal.code).ok()?;
    Some(see_other(to.as_str()))
}

async fn token(State(gateway): Shared, Extension(asked): Known, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(authorization) = authorization(&parts.headers) else {
        return token_refused(None);
    };
    let address = asked.reach.address;
    let fields = match parameters(&asked, &Method::POST, None, body).await {
        Ok(fields) => fields,
        Err(failure) => return failure.bare(&asked),
    };
    match gateway.provider.token(&asked.settings.config, &TokenRequest { fields, authorization, address }) {
        Ok(tokens) => json(&tokens),
        Err(error) => {
            tracing::info!(%error, "a token request is refused");
            token_refused(Some(error))
        }
    }
}

async fn userinfo(State(gateway): Shared, request: Request) -> Response {
    let authorization = authorization(request.headers()).flatten();
    match gateway.provider.userinfo(authorization.as_deref()) {
        Ok(claims) => json(&claims),
        Err(error) => userinfo_refused(error),
    }
}

/// OIDC RP-Initiated Logout §2: by `GET` or by `POST`, from anywhere. So the person is asked,
/// unless the request proves that it comes from a relying party of this very session.
async fn logout(State(gateway): Shared, Extension(asked): Known, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answer = async {
        let parameters = parameters(&asked, &parts.method, parts.uri.query(), body).await?;
        let farewell = gateway
            .provider
            .farewell(&asked.settings.config, &parameters)
            .map_err(|refused| Failure::BadRequest(refused.code))?;
        let visitor = asked.visitor(&parts)?;
        if !gateway.flow.may_end_unasked(&visitor, farewell.sid.as_deref()) {
            return Ok(Err(farewell));
        }
        let target = farewell.target.as_ref().map(url::Url::as_str);
        Ok(Ok(gateway.flow.logout(&visitor, farewell.application.as_deref(), target).await))
    };
    match answer.await {
        Ok(Ok(answer)) => respond(&gateway, &asked, Ok(answer)),
        Ok(Err(farewell)) => gateway.pages.log_out(&asked, farewell.application.as_deref(), farewell.target.as_ref()),
        Err(failure) => respond(&gateway, &asked, Err(failure)),
    }
}

/// The parameters of a query or of a form, repeated ones included: each endpoint has its
/// own answer to those.
pub(super) async fn parameters(
    asked: &Asked,
    method: &Method,
    query: Option<&str>,
    body: Body,
) -> Result<Vec<(String, String)>, Failure> {
    const PARAMETERS_MAX: usize = 64;
    let pairs = |text: &[u8]| -> Vec<(String, String)> {
        url::form_urlencoded::parse(text)
            .take(PARAMETERS_MAX)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect()
    };
    if *method == Method::POST {
        let body = form::read(body, asked.settings.config.server.body_bytes_max).await?;
        return Ok(pairs(body.expose()));
    }
    Ok(pairs(query.unwrap_or_default().as_bytes()))
}

/// The `Authorization` header; none where there are several or where it is no text.
fn authorization(headers: &HeaderMap) -> Option<Option<String>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => value.to_str().ok().map(|value| Some(value.to_owned())),
        (Some(_), Some(_)) => None,
    }
}

fn json(value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What everybody may know, and keep for a while.
fn public(value: &Value) -> Response {
    let mut response = json(value);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
