//! Registering relying parties: `/api/v1/organizations/{organization}/clients`. For programs, with an
//! administrator's bearer token; JSON in, JSON out.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::Response,
    routing::get,
};
use serde_json::Value;

use super::{
    error::{Failure, registration_refused},
    form,
    gateway::{Asked, Gateway},
    oidc::authorization,
};
use crate::{
    audit::{Event, Kind},
    downstream::oidc::RegistrationError,
};

type Shared = State<Arc<Gateway>>;
type Known = Extension<Asked>;

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/api/v1/organizations/{organization}/clients", get(list).post(register))
        .route("/api/v1/organizations/{organization}/clients/{client}", get(show).delete(remove))
}

async fn register(
    State(gateway): Shared,
    Extension(asked): Known,
    Path(organization): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let registered = async {
        administrator(&gateway, &asked, &organization, &parts)?;
        let config = Arc::clone(&asked.settings.config);
        let body = form::read(body, config.server.body_bytes_max).await.map_err(Refused::Failure)?;
        let new = gateway.provider.newcomer(&config, &organization, body.expose())?;
        note(&gateway, &asked, &parts, Kind::ClientRegistered, (&organization, new.client_id())).await?;
        let gateway = Arc::clone(&gateway);
        let answer = move || gateway.provider.register(&config, &organization, new);
        blocking(answer).await
    };
    match registered.await {
        Ok(answer) => json(StatusCode::CREATED, &answer),
        Err(refused) => refused.answer(&asked),
    }
}

async fn list(
    State(gateway): Shared,
    Extension(asked): Known,
    Path(organization): Path<String>,
    request: Request,
) -> Response {
    shown(&gateway, &asked, &organization, None, request)
}

async fn show(
    State(gateway): Shared,
    Extension(asked): Known,
    Path((organization, client)): Path<(String, String)>,
    request: Request,
) -> Response {
    shown(&gateway, &asked, &organization, Some(&client), request)
}

fn shown(gateway: &Gateway, asked: &Asked, organization: &str, client: Option<&str>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let shown = administrator(gateway, asked, organization, &parts)
        .and_then(|()| Ok(gateway.provider.registrations(&asked.settings.config, organization, client)?));
    match shown {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(refused) => refused.answer(asked),
    }
}

async fn remove(
    State(gateway): Shared,
    Extension(asked): Known,
    Path((organization, client)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let removed = async {
        administrator(&gateway, &asked, &organization, &parts)?;
        let config = Arc::clone(&asked.settings.config);
        gateway.provider.registrations(&config, &organization, Some(&client))?;
        note(&gateway, &asked, &parts, Kind::ClientRemoved, (&organization, &client)).await?;
        let gateway = Arc::clone(&gateway);
        blocking(move || gateway.provider.unregister(&config, &organization, &client)).await
    };
    match removed.await {
        Ok(()) => json(StatusCode::NO_CONTENT, &Value::Null),
        Err(refused) => refused.answer(&asked),
    }
}

/// Why there is another answer.
enum Refused {
    Failure(Failure),
    Registration(RegistrationError),
}

impl From<RegistrationError> for Refused {
    fn from(error: RegistrationError) -> Self {
        Self::Registration(error)
    }
}

impl Refused {
    fn answer(self, asked: &Asked) -> Response {
        match self {
            Self::Failure(failure) => failure.bare(asked),
            Self::Registration(error) => {
                if let RegistrationError::Unavailable(Some(error)) = &error {
                    tracing::error!(request = %asked.id, %error, "the registered clients cannot be used");
                }
                registration_refused(&error)
            }
        }
    }
}

fn administrator(gateway: &Gateway, asked: &Asked, organization: &str, parts: &Parts) -> Result<(), Refused> {
    let header = authorization(&parts.headers).flatten();
    let address = asked.reach.address;
    Ok(gateway.provider.administrator(&asked.settings.config, organization, header.as_deref(), address)?)
}

/// In the record first: what cannot be recorded is not done.
async fn note(
    gateway: &Gateway,
    asked: &Asked,
    parts: &Parts,
    kind: Kind,
    (organization, client): (&str, &str),
) -> Result<(), Refused> {
    let settings = asked.settings.config.organizations.get(organization);
    let event = Event {
        kind,
        granted: true,
        tenant: Some(organization.to_owned()),
        application: settings.map(|settings| settings.client_application.clone()),
        outcome: Some(serde_json::json!({ "client": client })),
        ..Event::default()
    };
    let visitor = asked.visitor(parts).map_err(Refused::Failure)?;
    if gateway.flow.note(&visitor, event).await {
        Ok(())
    } else {
        Err(Refused::Failure(Failure::Unavailable("audit-unavailable")))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RegistrationError> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.unwrap_or(Err(RegistrationError::Unavailable(None)))?)
}

fn json(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(if value.is_null() { Body::empty() } else { Body::from(value.to_string()) });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
