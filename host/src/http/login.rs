//! The routes that browsers visit: each asks the login for a step, and turns it into a
//! response.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
};

use super::{
    error::{Failure, see_other},
    fields::Fields,
    form,
    gateway::{Asked, Gateway},
    logout, oidc,
    pages::{Form, SecondFactor},
    saml,
};
use crate::{
    config::HandOver,
    login::{Answer, Demand, Refusal, Step, Then, UnverifiedCallback, Visitor, Wanted},
    secret::Secret,
    session::SetCookie,
};

pub(super) type Shared = State<Arc<Gateway>>;
pub(super) type Known = Extension<Asked>;
/// A path parameter that is not UTF-8 names nothing that we have.
pub(super) type Name = Result<Path<String>, PathRejection>;

/// Application's host: `GET /vestibule/start/{application}?rd=…&max-age=…&acr-values=…&fresh=1`
pub(super) async fn start(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    visit_of_a_person(&gateway, &asked, name, request, async |visitor, name, fields| {
        Ok(gateway.flow.start(visitor, name, fields.find("rd"), &demand(fields)))
    })
    .await
}

/// Application's host: `GET /vestibule/enter/{application}?ticket=…`
pub(super) async fn enter(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    visit(&gateway, &asked, name, request, async |visitor, name, fields| {
        let ticket = fields.find("ticket").ok_or(Failure::BadRequest("ticket-missing"))?;
        Ok(gateway.flow.enter(visitor, name, ticket).await)
    })
    .await
}

/// Application's host: `GET /vestibule/logout/{application}?rd=…`
pub(super) async fn depart(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    visit_of_a_person(&gateway, &asked, name, request, async |visitor, name, fields| {
        Ok(gateway.flow.depart(visitor, name, fields.find("rd")).await)
    })
    .await
}

/// The same where the host says which application it is.
pub(super) async fn depart_from(gateway: &Gateway, asked: &Asked, application: &str, request: Request) -> Response {
    visit_of_a_person(gateway, asked, Ok(Path(application.to_owned())), request, async |visitor, name, fields| {
        Ok(gateway.flow.depart(visitor, name, fields.find("rd")).await)
    })
    .await
}

/// The same as a form.
pub(super) async fn depart_by_form(
    State(gateway): Shared,
    Extension(asked): Known,
    name: Name,
    request: Request,
) -> Response {
    submit(&gateway, &asked, name, request, Site::Application, async |visitor, name, fields| {
        Ok(gateway.flow.depart(visitor, name, fields.find("rd")).await)
    })
    .await
}

/// Gateway's host: `GET /login/{application}?from=…&rd=…&binding=…&max-age=…&acr-values=…`
pub(super) async fn begin(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    visit_of_a_person(&gateway, &asked, name, request, async |visitor, name, fields| {
        let missing = || Failure::BadRequest("login-not-started");
        let Demand { max_age, acr_values: demanded_acr, fresh } = demand(fields);
        let wanted = Wanted {
            application: name.to_owned(),
            then: Then::ForwardAuth {
                from: fields.owned("from").ok_or_else(missing)?,
                return_to: fields.owned("rd").unwrap_or_default(),
                binding: fields.owned("binding").ok_or_else(missing)?,
            },
            max_age,
            fresh,
            select_account: false,
            silent: false,
            login_hint: None,
            acr_values: Vec::new(),
            demanded_acr,
        };
        Ok(gateway.flow.begin(visitor, wanted).await)
    })
    .await
}

/// Gateway's host: `POST /login/{application}` with `login`, and `identifier` or `upstream`.
pub(super) async fn answer(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    submit(&gateway, &asked, name, request, Site::Gateway, async |visitor, name, fields| {
        let login = fields.find("login").ok_or(Failure::BadRequest("form-incomplete"))?;
        let answer = match (fields.find("identifier"), fields.find("upstream")) {
            (Some(identifier), None) => gateway.flow.identified(visitor, login, identifier).await,
            (None, Some(upstream)) => gateway.flow.chosen(visitor, login, upstream).await,
            _ => return Err(Failure::BadRequest("form-incomplete")),
        };
        Ok(with_a_way_on(&asked, name, answer))
    })
    .await
}

/// Gateway's host: `POST /login/{application}/local` with `login`, `username`, `password`.
pub(super) async fn local(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    submit(&gateway, &asked, name, request, Site::Gateway, async |visitor, name, fields| {
        let missing = || Failure::BadRequest("form-incomplete");
        let login = fields.find("login").ok_or_else(missing)?;
        let username = fields.find("username").ok_or_else(missing)?;
        let password = fields.owned("password").map(Secret::new).ok_or_else(missing)?;
        let answer = gateway.flow.local(visitor, login, username, password).await;
        Ok(with_a_way_on(&asked, name, answer))
    })
    .await
}

/// Gateway's host: `GET /callback/{upstream}`
pub(super) async fn callback(
    State(gateway): Shared,
    Extension(asked): Known,
    name: Name,
    request: Request,
) -> Response {
    visit(&gateway, &asked, name, request, async |visitor, name, fields| {
        let callback = UnverifiedCallback {
            code: fields.owned("code"),
            state: fields.owned("state"),
            iss: fields.owned("iss"),
            error: fields.owned("error"),
            error_description: fields.owned("error_description"),
        };
        Ok(gateway.flow.callback(visitor, name, callback).await)
    })
    .await
}

/// Gateway's host: `GET /logout?application=…&rd=…`
pub(super) async fn logout(State(gateway): Shared, Extension(asked): Known, request: Request) -> Response {
    visit_of_a_person(&gateway, &asked, Ok(Path(String::new())), request, async |visitor, _name, fields| {
        Ok(logout::begin(&gateway, &asked, visitor, fields.find("application"), fields.find("rd")).await)
    })
    .await
}

/// The same as a form.
pub(super) async fn logout_by_form(State(gateway): Shared, Extension(asked): Known, request: Request) -> Response {
    submit(&gateway, &asked, Ok(Path(String::new())), request, Site::Gateway, async |visitor, _name, fields| {
        Ok(logout::begin(&gateway, &asked, visitor, fields.find("application"), fields.find("rd")).await)
    })
    .await
}

/// Gateway's host: `GET /logged-out?state=…`
pub(super) async fn logged_out(State(gateway): Shared, Extension(asked): Known, request: Request) -> Response {
    visit(&gateway, &asked, Ok(Path(String::new())), request, async |visitor, _name, fields| {
        Ok(gateway.flow.logged_out(visitor, fields.find("state")))
    })
    .await
}

/// `GET /.well-known/jwks.json`: the keys of the assertions.
pub(super) async fn jwks(State(gateway): Shared) -> Response {
    let mut response = Response::new(Body::from(gateway.flow.jwks().to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// `GET /healthz`: the process answers. Says nothing else, and nothing else says it.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Gateway's host: an upstream's own `callback-path`, or nothing.
pub(super) async fn elsewhere(State(gateway): Shared, Extension(asked): Known, request: Request) -> Response {
    let upstreams = asked.settings.config.upstreams.values();
    let path = request.uri().path();
    let known = upstreams.into_iter().find(|upstream| upstream.callback_path.as_deref() == Some(path));
    match known.map(|upstream| upstream.id.clone()) {
        Some(_) if request.method() != Method::GET => Failure::MethodNotAllowed.page(&gateway, &asked),
        Some(id) => callback(State(gateway), Extension(asked), Ok(Path(id)), request).await,
        None => Failure::NotFound.page(&gateway, &asked),
    }
}

pub(super) async fn method_not_allowed(State(gateway): Shared, Extension(asked): Known) -> Response {
    Failure::MethodNotAllowed.page(&gateway, &asked)
}

/// Of a login that is over nothing is known any more, but the form's own address still names the
/// application: its page is where to begin again.
pub(super) fn with_a_way_on(asked: &Asked, application: &str, answer: Answer) -> Answer {
    match answer {
        Answer { step: Step::Refused(refusal), cookies } if refusal.again.is_none() => {
            let known = asked.settings.config.applications.get(application);
            let again = known.map(|application| application.url.clone());
            Answer { step: Step::Refused(Refusal { again, ..refusal }), cookies }
        }
        answer => answer,
    }
}

fn demand(fields: &Fields<'_>) -> Demand {
    Demand::read(fields.number("max-age"), fields.find("acr-values"), fields.find("fresh") == Some("1"))
}

/// Whose page a form is on.
#[derive(Clone, Copy)]
pub(super) enum Site {
    Application,
    Gateway,
}

/// A person followed a link; a page of another site did not do it behind the person's back.
pub(super) async fn visit_of_a_person(
    gateway: &Gateway,
    asked: &Asked,
    name: Name,
    request: Request,
    step: impl AsyncFnOnce(&Visitor, &str, &Fields<'_>) -> Result<Answer, Failure>,
) -> Response {
    if let Err(failure) = form::is_visit(request.headers()) {
        return failure.page(gateway, asked);
    }
    visit(gateway, asked, name, request, step).await
}

/// A link was followed.
pub(super) async fn visit(
    gateway: &Gateway,
    asked: &Asked,
    name: Name,
    request: Request,
    step: impl AsyncFnOnce(&Visitor, &str, &Fields<'_>) -> Result<Answer, Failure>,
) -> Response {
    let (parts, _body) = request.into_parts();
    let answer = async {
        let Path(name) = name.map_err(|_| Failure::NotFound)?;
        let query = parts.uri.query().unwrap_or_default();
        let fields = Fields::parse(query.as_bytes()).map_err(|_| Failure::BadRequest("query-unreadable"))?;
        let visitor = asked.visitor(&parts)?;
        step(&visitor, &name, &fields).await
    };
    respond(gateway, asked, answer.await)
}

/// A form was sent.
pub(super) async fn submit(
    gateway: &Gateway,
    asked: &Asked,
    name: Name,
    request: Request,
    site: Site,
    step: impl AsyncFnOnce(&Visitor, &str, &Fields<'_>) -> Result<Answer, Failure>,
) -> Response {
    let (parts, body) = request.into_parts();
    let answer = async {
        let Path(name) = name.map_err(|_| Failure::NotFound)?;
        let visitor = asked.visitor(&parts)?;
        let origin = match site {
            Site::Application => visitor.origin.as_deref(),
            Site::Gateway => Some(&asked.settings.config.server.public_url),
        };
        form::is_our_own(&parts.headers, origin)?;
        let body = form::read(body, asked.settings.config.server.body_bytes_max).await?;
        let fields = Fields::parse(body.expose()).map_err(|_| Failure::BadRequest("form-unreadable"))?;
        step(&visitor, &name, &fields).await
    };
    respond(gateway, asked, answer.await)
}

/// A step becomes a response; its cookies go with it, whatever it is.
pub(super) fn respond(gateway: &Gateway, asked: &Asked, answer: Result<Answer, Failure>) -> Response {
    let Answer { step, cookies } = match answer {
        Ok(answer) => answer,
        Err(failure) => return failure.page(gateway, asked),
    };
    let pages = &gateway.pages;
    let mut response = match step {
        Step::Admitted { admission, request, origin } => match hand_over(asked, &admission.application) {
            Some(HandOver::Saml(_)) => saml::admitted(gateway, asked, &admission, &request, &origin),
            _ => oidc::admitted(gateway, asked, &admission, &request, *origin),
        },
        Step::AskIdentifier { login, application, identifier, error } => {
            pages.identifier(asked, &Form { login: &login, application: &application, error }, &identifier)
        }
        Step::Choose { login, application, choices, error } => {
            pages.chooser(asked, &Form { login: &login, application: &application, error }, &choices)
        }
        Step::Leave { to, delay: 0, .. } => see_other(to.as_str()),
        Step::Leave { to, delay, upstream, application_name } => {
            pages.delay(asked, &to, delay, &upstream, &application_name)
        }
        Step::LocalForm { login, application, username, error } => {
            pages.local(asked, &Form { login: &login, application: &application, error }, &username)
        }
        Step::DoorChoice { applications } => pages.door_choice(asked, &applications),
        Step::DoorForm { login, application, username, error } => {
            pages.door(asked, &Form { login: &login, application: &application, error }, &username)
        }
        Step::Factor { enrolled, enrolment, passkeys, error } => {
            pages.factor(asked, enrolled.as_deref(), enrolment.as_ref(), &passkeys, error)
        }
        Step::RecoveryCodes { login, application, codes } => {
            pages.recovery_codes(asked, login.as_deref(), &application, &codes)
        }
        Step::SecondFactor { login, application, is_set_up, enrolment, passkeys, is_passkey_wanted, error } => {
            let form = Form { login: &login, application: &application, error };
            let enrolment = enrolment.as_ref();
            let wanted = SecondFactor { is_set_up, enrolment, passkeys: &passkeys, is_passkey_wanted };
            pages.second_factor(asked, &form, &wanted)
        }
        Step::LoggedOut { to, untold } => logout::over(gateway, asked, to.as_ref(), &untold),
        Step::Redirect(to) => see_other(to.as_str()),
        Step::Refused(refusal) => {
            let told = match refusal.application.as_deref().and_then(|id| hand_over(asked, id)) {
                Some(HandOver::Saml(_)) => saml::refused(gateway, asked, &refusal),
                _ => oidc::refused(gateway, asked, &refusal),
            };
            told.unwrap_or_else(|| Failure::Refused(refusal).page(gateway, asked))
        }
    };
    append_cookies(response.headers_mut(), &cookies);
    response
}

fn hand_over<'a>(asked: &'a Asked, application: &str) -> Option<&'a HandOver> {
    asked.settings.config.applications.get(application).map(|application| &application.hand_over)
}

/// Each cookie in a line of its own (RFC 6265 §3).
pub(super) fn append_cookies(headers: &mut HeaderMap, cookies: &[SetCookie]) {
    for cookie in cookies {
        if let Ok(value) = HeaderValue::try_from(cookie.as_str()) {
            headers.append(header::SET_COOKIE, value);
        }
    }
}
