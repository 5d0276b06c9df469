//! The OIDC provider's routes: where `downstream/oidc` meets the web.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    extract::{FromRequestParts, RawPathParams, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::Value;

use super::{
    consent,
    error::{Failure, see_other, token_refused, userinfo_refused},
    form,
    gateway::{Asked, Gateway},
    login::respond,
};
use crate::{
    decision::Admission,
    downstream::oidc::{
        About, Asked as Authorize, AuthorizeRequest, DEFAULT_ORGANIZATION, Presented, TokenError, TokenRequest,
        is_organization,
    },
    login::{Class, Refusal, Then, Wanted},
    session::Origin,
};

type Shared = State<Arc<Gateway>>;
type Known = Extension<Asked>;

/// Discovery, authorization, pushed requests, token, userinfo, logout: once for applications that name no
/// organization, and once for each organization, below its name.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    let one = |at: &str| {
        let at = |path: &str| format!("{at}{path}");
        Router::new()
            .route(&at("/.well-known/openid-configuration"), get(discovery))
            .route(&at("/oidc/jwks.json"), get(jwks))
            .route(&at("/oidc/authorize"), get(authorize).post(authorize))
            .route(&at("/oidc/consent"), get(consent::ask).post(consent::answer))
            .route(&at("/oidc/par"), post(push))
            .route(&at("/oidc/token"), post(token))
            .route(&at("/oidc/introspect"), post(introspect))
            .route(&at("/oidc/revoke"), post(revoke))
            .route(&at("/oidc/userinfo"), get(userinfo).post(userinfo))
            .route(&at("/oidc/logout"), get(logout).post(logout))
    };
    one("").merge(one("/{organization}"))
}

/// Whose issuer is asked: the path says so. One that has no relying party is none.
pub(super) struct Organization(pub(super) String);

impl FromRequestParts<Arc<Gateway>> for Organization {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, Response> {
        let named = RawPathParams::from_request_parts(parts, gateway).await.ok();
        let named = named
            .and_then(|all| all.iter().find(|(name, _)| *name == "organization").map(|(_, value)| value.to_owned()));
        let Some(asked) = parts.extensions.get::<Asked>() else {
            return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        };
        match named {
            None => Ok(Self(DEFAULT_ORGANIZATION.to_owned())),
            // Each issuer has one name.
            Some(name) if name != DEFAULT_ORGANIZATION && is_organization(&asked.settings.config, &name) => {
                Ok(Self(name))
            }
            Some(_) => Err(Failure::NotFound.page(gateway, asked)),
        }
    }
}

async fn discovery(State(gateway): Shared, Extension(asked): Known, organization: Organization) -> Response {
    public(&gateway.provider.discovery(&asked.settings.config, &organization.0))
}

async fn jwks(State(gateway): Shared, _: Organization) -> Response {
    public(&gateway.provider.jwks())
}

/// OIDC Core §3.1.2.1: by `GET` or by `POST`, from anywhere.
async fn authorize(
    State(gateway): Shared,
    Extension(asked): Known,
    organization: Organization,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let config = Arc::clone(&asked.settings.config);
    let parameters = match parameters(&asked, &parts.method, parts.uri.query(), body).await {
        Ok(parameters) => parameters,
        Err(failure) => return failure.page(&gateway, &asked),
    };
    let request = match gateway.provider.authorize(&config, &organization.0, &parameters) {
        Authorize::Login(request) => request,
        Authorize::Redirect(to) => return see_other(to.as_str()),
        Authorize::Refused(refused) => {
            tracing::info!(code = refused.code, detail = refused.detail, "an authorization request is refused");
            return Failure::BadRequest(refused.code).page(&gateway, &asked);
        }
    };
    let answer = async {
        let sealed = gateway.provider.seal(&request).map_err(|refused| Failure::Unavailable(refused.code))?;
        let AuthorizeRequest { application, max_age, fresh, select_account, silent, login_hint, acr_values, .. } =
            *request;
        let then = Then::Oidc { request: sealed };
        let wanted = Wanted {
            application,
            then,
            max_age,
            fresh,
            select_account,
            silent,
            login_hint,
            acr_values,
            demanded_acr: Vec::new(),
        };
        Ok(gateway.flow.begin(&asked.visitor(&parts)?, wanted).await)
    };
    let answer = answer.await;
    respond(&gateway, &asked, answer)
}

/// A login for an authorization request ended in yes.
pub(super) fn admitted(
    gateway: &Gateway,
    asked: &Asked,
    admission: &Admission,
    request: &str,
    origin: Origin,
) -> Response {
    match gateway.provider.answer(&asked.settings.config, admission, request, origin) {
        Ok(reply) => consent::follow(gateway, asked, reply),
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
    if refusal.class != Class::Denied && refusal.code != "acr-not-met" {
        return None;
    }
    let to = gateway.provider.refuse(&asked.settings.config, sealed, &refusal.code).ok()?;
    Some(see_other(to.as_str()))
}

/// RFC 9126 §2.2: 201.
async fn push(
    State(gateway): Shared,
    Extension(asked): Known,
    organization: Organization,
    request: Request,
) -> Response {
    let answer = of_a_client(&asked, request, |request| {
        gateway.provider.push(&asked.settings.config, &organization.0, &request)
    });
    let mut response = answer.await.unwrap_or_else(|refused| refused);
    if response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::CREATED;
    }
    response
}

async fn token(
    State(gateway): Shared,
    Extension(asked): Known,
    organization: Organization,
    request: Request,
) -> Response {
    let answer = of_a_client(&asked, request, |request| {
        let lives = |origin: &Origin| gateway.flow.lives(origin);
        gateway.provider.token(&asked.settings.config, &organization.0, &request, &lives)
    });
    settled(&gateway, answer.await).await
}

async fn introspect(
    State(gateway): Shared,
    Extension(asked): Known,
    organization: Organization,
    request: Request,
) -> Response {
    about(&gateway, &asked, &organization.0, About::Introspect, request).await.unwrap_or_else(|refused| refused)
}

async fn revoke(
    State(gateway): Shared,
    Extension(asked): Known,
    organization: Organization,
    request: Request,
) -> Response {
    let answer = about(&gateway, &asked, &organization.0, About::Revoke, request).await;
    settled(&gateway, answer).await
}

/// What was answered, once a restart cannot undo it: a token that was used or taken back must not be good again. Where
/// that cannot be had, nothing is given out.
async fn settled(gateway: &Gateway, answer: Result<Response, Response>) -> Response {
    if gateway.provider.outlives() {
        let provider = Arc::clone(&gateway.provider);
        let settled = tokio::task::spawn_blocking(move || provider.settle()).await;
        if !matches!(settled, Ok(Ok(()))) {
            tracing::error!(?settled, "what was granted could not be kept");
            return token_refused(Some(TokenError::ServerError));
        }
    }
    answer.unwrap_or_else(|refused| refused)
}

async fn about(
    gateway: &Gateway,
    asked: &Asked,
    organization: &str,
    what: About,
    request: Request,
) -> Result<Response, Response> {
    let answer = of_a_client(asked, request, |request| {
        let lives = |origin: &Origin| gateway.flow.lives(origin);
        gateway.provider.about(&asked.settings.config, organization, what, &request, &lives)
    });
    answer.await
}

/// A relying party's own request: a form, with its credentials.
async fn of_a_client(
    asked: &Asked,
    request: Request,
    answer: impl FnOnce(TokenRequest) -> Result<Value, TokenError>,
) -> Result<Response, Response> {
    let (parts, body) = request.into_parts();
    let authorization = authorization(&parts.headers).ok_or_else(|| token_refused(None))?;
    let (address, proofs) = (asked.reach.address, proofs(&parts.headers));
    let fields = parameters(asked, &Method::POST, None, body).await.map_err(|failure| failure.bare(asked))?;
    match answer(TokenRequest { fields, authorization, proofs, address }) {
        Ok(value) => Ok(json(&value)),
        Err(error) => {
            tracing::info!(%error, "a relying party is refused");
            Err(token_refused(Some(error)))
        }
    }
}

async fn userinfo(
    State(gateway): Shared,
    Extension(asked): Known,
    organization: Organization,
    request: Request,
) -> Response {
    let authorization = authorization(request.headers()).flatten();
    let proofs = proofs(request.headers());
    let method = request.method().as_str();
    let presented = Presented { method, authorization: authorization.as_deref(), proofs: &proofs };
    let lives = |origin: &Origin| gateway.flow.lives(origin);
    let told = gateway.provider.userinfo(&asked.settings.config, &organization.0, &presented, &lives);
    match told {
        Ok(claims) => json(&claims),
        Err(error) => userinfo_refused(error),
    }
}

/// OIDC RP-Initiated Logout §2: by `GET` or by `POST`, from anywhere. So the person is asked,
/// unless the request proves that it comes from a relying party of this very session.
async fn logout(
    State(gateway): Shared,
    Extension(asked): Known,
    organization: Organization,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let answer = async {
        let parameters = parameters(&asked, &parts.method, parts.uri.query(), body).await?;
        let farewell = gateway
            .provider
            .farewell(&asked.settings.config, &organization.0, &parameters)
            .map_err(|refused| Failure::BadRequest(refused.code))?;
        let visitor = asked.visitor(&parts)?;
        if !gateway.flow.may_end_unasked(&visitor, farewell.sid.as_deref()) {
            return Ok(Err(farewell));
        }
        let target = farewell.target.as_ref().map(url::Url::as_str);
        Ok(Ok(gateway.flow.logout(&visitor, farewell.application.as_deref(), target, None).await))
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
pub(super) fn authorization(headers: &HeaderMap) -> Option<Option<String>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => value.to_str().ok().map(|value| Some(value.to_owned())),
        (Some(_), Some(_)) => None,
    }
}

/// The `DPoP` headers, each one: where there are several, none of them counts (RFC 9449 §4.3).
fn proofs(headers: &HeaderMap) -> Vec<String> {
    let texts = headers.get_all("dpop").iter();
    texts.map(|value| value.to_str().map(str::to_owned).unwrap_or_default()).collect()
}

/// A value; nothing where there is nothing to say.
fn json(value: &Value) -> Response {
    let text = if value.is_null() { String::new() } else { value.to_string() };
    let mut response = Response::new(Body::from(text));
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
