//! The SAML identity provider's routes: where `downstream/saml` meets the web.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderValue, Method, header, request::Parts},
    response::Response,
    routing::get,
};
use url::Url;

use super::{
    error::{Failure, see_other},
    fields::Fields,
    form,
    gateway::{Asked, Gateway},
    login::respond,
    oidc::parameters,
};
use crate::{
    decision::Admission,
    downstream::saml::{
        Answer, Asked as Authn, Delivery, Farewell, Inbound, LogoutAnswer, Message, Outbound, Refused, Wish,
    },
    login::{Class, Refusal, Then, Wanted},
    session::Origin,
};

type Shared = State<Arc<Gateway>>;
type Known = Extension<Asked>;
type Name = Result<Path<String>, PathRejection>;

/// Metadata, single sign-on, single logout.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/saml/{application}/metadata", get(metadata))
        .route("/saml/{application}/sso", get(sso).post(sso_by_form))
        .route("/saml/{application}/resume", get(resume))
        .route("/saml/{application}/start", get(start))
        .route("/saml/{application}/slo", get(slo).post(slo_by_form))
        .route("/saml/{application}/leave", get(leave))
        .route("/saml/{application}/answered", get(answered))
}

async fn metadata(State(gateway): Shared, Extension(asked): Known, name: Name) -> Response {
    let Ok(Path(name)) = name else { return Failure::NotFound.page(&gateway, &asked) };
    match gateway.identity_provider.metadata(&asked.settings.config, &name) {
        Ok(xml) => {
            let mut response = Response::new(Body::from(xml));
            let headers = response.headers_mut();
            // SAML Metadata, appendix A.
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/samlmetadata+xml"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
            response
        }
        Err(refused) if refused.code == "unknown-service-provider" => Failure::NotFound.page(&gateway, &asked),
        Err(refused) => page(&gateway, &asked, refused),
    }
}

/// An authentication request by HTTP-Redirect.
async fn sso(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    let (parts, _body) = request.into_parts();
    let Ok(Path(name)) = name else { return Failure::NotFound.page(&gateway, &asked) };
    let inbound = match Inbound::redirect(parts.uri.query().unwrap_or_default()) {
        Ok(inbound) => inbound,
        Err(unreadable) => return Failure::BadRequest(unreadable.code()).page(&gateway, &asked),
    };
    let authn = gateway.identity_provider.authn_request(&asked.settings.config, &name, &inbound);
    follow(&gateway, &asked, &parts, &name, authn).await
}

/// The same by HTTP-POST. A form of another site comes without our cookies (`SameSite`), so
/// the browser is sent to an address that it asks for itself.
async fn sso_by_form(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(Path(name)) = name else { return Failure::NotFound.page(&gateway, &asked) };
    let inbound = match by_form(&asked, body).await {
        Ok(inbound) => inbound,
        Err(failure) => return failure.page(&gateway, &asked),
    };
    match gateway.identity_provider.authn_request(&asked.settings.config, &name, &inbound) {
        Authn::Login(wish) => {
            let to = own_address(&asked, &wish.application, "resume", &[("request", &wish.sealed)]);
            to.map_or_else(|| Failure::Unavailable("unavailable").page(&gateway, &asked), |to| see_other(to.as_str()))
        }
        Authn::Answer(answer) => tell(&gateway, &asked, &parts, &name, &answer),
        Authn::Refused(refused) => page(&gateway, &asked, refused),
    }
}

/// A request that came by a form goes on.
async fn resume(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    let (parts, _body) = request.into_parts();
    let Ok(Path(name)) = name else { return Failure::NotFound.page(&gateway, &asked) };
    let fields = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    let authn = gateway.identity_provider.resume(&name, fields.find("request").unwrap_or_default());
    follow(&gateway, &asked, &parts, &name, authn).await
}

/// A login that begins here. Only a person may begin it: a page of another site would log
/// somebody in where they did not mean to be.
async fn start(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    let (parts, _body) = request.into_parts();
    let Ok(Path(name)) = name else { return Failure::NotFound.page(&gateway, &asked) };
    if let Err(failure) = form::is_visit(&parts.headers) {
        return failure.page(&gateway, &asked);
    }
    let authn = gateway.identity_provider.unsolicited(&asked.settings.config, &name);
    follow(&gateway, &asked, &parts, &name, authn).await
}

async fn follow(gateway: &Gateway, asked: &Asked, parts: &Parts, name: &str, authn: Authn) -> Response {
    let Wish { application, sealed, fresh, silent, demanded_acr } = match authn {
        Authn::Login(wish) => *wish,
        Authn::Answer(answer) => return tell(gateway, asked, parts, name, &answer),
        Authn::Refused(refused) => return page(gateway, asked, refused),
    };
    let wanted = Wanted {
        application,
        then: Then::Saml { request: sealed },
        max_age: None,
        fresh,
        select_account: false,
        silent,
        login_hint: None,
        acr_values: Vec::new(),
        demanded_acr,
    };
    let answer = async { Ok(gateway.flow.begin(&asked.visitor(parts)?, wanted).await) };
    let answer = answer.await;
    respond(gateway, asked, answer)
}

/// A no without a login. It costs a signature, so a stranger gets as many as logins.
fn tell(gateway: &Gateway, asked: &Asked, parts: &Parts, name: &str, answer: &Answer) -> Response {
    let visitor = match asked.visitor(parts) {
        Ok(visitor) => visitor,
        Err(failure) => return failure.page(gateway, asked),
    };
    if !gateway.flow.may_attempt(&visitor) {
        let refusal = Refusal {
            class: Class::TooOften,
            code: "too-many-logins".to_owned(),
            request: asked.id.to_string(),
            login: None,
            application: None,
            again: None,
            request_of: None,
        };
        return Failure::Refused(refusal).page(gateway, asked);
    }
    match gateway.identity_provider.answer(&asked.settings.config, answer) {
        Ok(delivery) => deliver(gateway, asked, name, &delivery),
        Err(refused) => page(gateway, asked, refused),
    }
}

/// A login for a service provider's request ended in yes.
pub(super) fn admitted(
    gateway: &Gateway,
    asked: &Asked,
    admission: &Admission,
    request: &str,
    origin: &Origin,
) -> Response {
    match gateway.identity_provider.grant(&asked.settings.config, admission, request, origin) {
        Ok((delivery, participant)) => {
            // Before the assertion is out: a logout that comes now must reach it.
            gateway.flow.joined(&asked.id, participant);
            deliver(gateway, asked, &admission.application, &delivery)
        }
        Err(refused) => {
            tracing::warn!(code = refused.code, "an admission has no use");
            page(gateway, asked, refused)
        }
    }
}

/// A login for a service provider's request ended in no. What was decided is told to the service
/// provider (SAML Profiles §4.1.4.2), and so is that the upstream was not as strong as it asked
/// for; all else is told to the person, who alone can do something about it. None where this is
/// a page.
pub(super) fn refused(gateway: &Gateway, asked: &Asked, refusal: &Refusal) -> Option<Response> {
    let sealed = refusal.request_of.as_deref()?;
    if refusal.class != Class::Denied && refusal.code != "acr-not-met" {
        return None;
    }
    let delivery = gateway.identity_provider.refuse(&asked.settings.config, sealed, &refusal.code).ok()?;
    Some(deliver(gateway, asked, refusal.application.as_deref().unwrap_or_default(), &delivery))
}

/// A logout request, or the answer to one of ours, by HTTP-Redirect.
async fn slo(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    let (parts, _body) = request.into_parts();
    let Ok(Path(name)) = name else { return Failure::NotFound.page(&gateway, &asked) };
    let query = parts.uri.query().unwrap_or_default();
    let is_answer = query.split('&').any(|pair| pair.split('=').next() == Some(Message::Response.parameter()));
    let kind = if is_answer { Message::Response } else { Message::Request };
    let inbound = match Inbound::by_redirect(kind, query) {
        Ok(inbound) => inbound,
        Err(unreadable) => return Failure::BadRequest(unreadable.code()).page(&gateway, &asked),
    };
    if is_answer {
        let answer = gateway.identity_provider.logout_answer(&asked.settings.config, &name, &inbound);
        return take_answer(&gateway, &asked, &parts, answer).await;
    }
    let farewell = gateway.identity_provider.logout_request(&asked.settings.config, &name, &inbound);
    log_out(&gateway, &asked, &parts, farewell).await
}

/// The same by HTTP-POST; as [`sso_by_form`].
async fn slo_by_form(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    let (_parts, body) = request.into_parts();
    let Ok(Path(name)) = name else { return Failure::NotFound.page(&gateway, &asked) };
    let fields = match parameters(&asked, &Method::POST, None, body).await {
        Ok(fields) => fields,
        Err(failure) => return failure.page(&gateway, &asked),
    };
    let is_answer = fields.iter().any(|(field, _)| field == Message::Response.parameter());
    let kind = if is_answer { Message::Response } else { Message::Request };
    let inbound = match Inbound::by_post(kind, &fields) {
        Ok(inbound) => inbound,
        Err(unreadable) => return Failure::BadRequest(unreadable.code()).page(&gateway, &asked),
    };
    let (config, provider) = (&asked.settings.config, &gateway.identity_provider);
    let onward = if is_answer {
        let answer = provider.logout_answer(config, &name, &inbound);
        let sealed = answer.and_then(|answer| Ok((provider.seal_answer(&answer)?, answer.application)));
        sealed.map(|(sealed, application)| own_address(&asked, &application, "answered", &[("state", &sealed)]))
    } else {
        let farewell = provider.logout_request(config, &name, &inbound);
        farewell.map(|farewell| own_address(&asked, &farewell.application, "leave", &[("state", &farewell.sealed)]))
    };
    match onward {
        Ok(Some(to)) => see_other(to.as_str()),
        Ok(None) => Failure::Unavailable("unavailable").page(&gateway, &asked),
        Err(refused) => page(&gateway, &asked, refused),
    }
}

/// An answer that came by a form goes on.
async fn answered(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    let (parts, _body) = request.into_parts();
    let Ok(Path(name)) = name else { return Failure::NotFound.page(&gateway, &asked) };
    let fields = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    let answer = gateway.identity_provider.open_answer(&name, fields.find("state").unwrap_or_default());
    take_answer(&gateway, &asked, &parts, answer).await
}

/// It counts only in the browser whose logout awaits it, and once.
async fn take_answer(
    gateway: &Gateway,
    asked: &Asked,
    parts: &Parts,
    answer: Result<LogoutAnswer, Refused>,
) -> Response {
    let LogoutAnswer { application, id, failed, .. } = match answer {
        Ok(answer) => answer,
        Err(refused) => return page(gateway, asked, refused),
    };
    let told = async {
        let visitor = asked.visitor(parts)?;
        Ok(gateway.flow.told(&visitor, Some(&application), &id, failed.as_deref()).await)
    };
    respond(gateway, asked, told.await)
}

/// A logout request that came by a form goes on.
async fn leave(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    let (parts, _body) = request.into_parts();
    let Ok(Path(name)) = name else { return Failure::NotFound.page(&gateway, &asked) };
    let fields = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    let farewell = gateway.identity_provider.leaving(&name, fields.find("state").unwrap_or_default());
    log_out(&gateway, &asked, &parts, farewell).await
}

/// The request is signed, and still it counts for the sessions that it names only: for another
/// one the person is asked.
async fn log_out(gateway: &Gateway, asked: &Asked, parts: &Parts, farewell: Result<Farewell, Refused>) -> Response {
    let Farewell { application, session_indexes, sealed } = match farewell {
        Ok(farewell) => farewell,
        Err(refused) => return page(gateway, asked, refused),
    };
    let answer = async {
        let after = own_address(asked, &application, "logged-out", &[("state", &sealed)])
            .ok_or(Failure::Unavailable("unavailable"))?;
        let visitor = asked.visitor(parts)?;
        let may_end = |sid: Option<&str>| gateway.flow.may_end_unasked(&visitor, sid);
        if !may_end(None) && !session_indexes.iter().any(|index| may_end(Some(index))) {
            return Ok(Err(after));
        }
        Ok(Ok(gateway.flow.logout(&visitor, Some(&application), Some(after.as_str()), Some(&application)).await))
    };
    match answer.await {
        Ok(Ok(answer)) => respond(gateway, asked, Ok(answer)),
        Ok(Err(after)) => gateway.pages.log_out(asked, Some(&application), Some(&after)),
        Err(failure) => respond(gateway, asked, Err(failure)),
    }
}

/// The service provider whose logout request waits for a logout that ends at `to`, and that request, sealed.
pub(super) fn waits(asked: &Asked, to: &Url) -> Option<(String, String)> {
    if to.origin() != asked.settings.config.server.public_url.origin() {
        return None;
    }
    let application = to.path().strip_prefix("/saml/")?.strip_suffix("/logged-out")?;
    let state = to.query_pairs().find(|(name, _)| name == "state")?.1.into_owned();
    Some((application.to_owned(), state))
}

/// The session has ended, here and perhaps at the upstream: the service provider that asked for it is told.
pub(super) fn logged_out(gateway: &Gateway, asked: &Asked, name: &str, state: &str, partial: bool) -> Response {
    let config = &asked.settings.config;
    match gateway.identity_provider.logged_out(config, name, state, partial) {
        Ok(Outbound::Redirect(to)) => see_other(to.as_str()),
        Ok(Outbound::Form(delivery)) => deliver(gateway, asked, name, &delivery),
        Err(refused) => page(gateway, asked, refused),
    }
}

async fn by_form(asked: &Asked, body: Body) -> Result<Inbound, Failure> {
    let fields = parameters(asked, &Method::POST, None, body).await?;
    Inbound::post(&fields).map_err(|unreadable| Failure::BadRequest(unreadable.code()))
}

/// A page that brings `delivery` to the service provider.
fn deliver(gateway: &Gateway, asked: &Asked, application: &str, delivery: &Delivery) -> Response {
    let known = asked.settings.config.applications.get(application);
    gateway.pages.saml_post(asked, delivery, known.map_or(application, |it| it.display_name.as_str()))
}

/// An address of ours, below `/saml/{application}`.
fn own_address(asked: &Asked, application: &str, tail: &str, query: &[(&str, &str)]) -> Option<Url> {
    let mut url = asked.settings.config.server.public_url.join(&format!("/saml/{application}/{tail}")).ok()?;
    url.query_pairs_mut().extend_pairs(query);
    Some(url)
}

fn page(gateway: &Gateway, asked: &Asked, refused: Refused) -> Response {
    tracing::info!(code = refused.code, detail = refused.detail, "a service provider's request is refused");
    match refused.code {
        "certificate-missing" | "no-randomness" | "saml-signing-failed" | "sealing-failed" => {
            Failure::Unavailable(refused.code).page(gateway, asked)
        }
        code => Failure::BadRequest(code).page(gateway, asked),
    }
}
