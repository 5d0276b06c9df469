//! The page that asks a person whether a relying party may be told who they are.
//!
//! Whoever may answer has three things: the question's id, the session that it is about, and a form of our own.

use std::sync::Arc;

use axum::{
    extract::{Extension, Request, State},
    http::request::Parts,
    response::Response,
};

use super::{
    error::{Failure, see_other},
    fields::Fields,
    form,
    gateway::{Asked, Gateway},
    login::{Known, Shared},
    oidc::Organization,
};
use crate::{
    audit::{Event, Kind},
    downstream::oidc::{Question, Reply},
};

/// `GET /oidc/consent?id=…`
pub(super) async fn ask(
    State(gateway): Shared,
    Extension(asked): Known,
    organization: Organization,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    match asked_for(&gateway, &asked, &parts, &organization) {
        Ok((question, id)) => gateway.pages.consent(&asked, parts.uri.path(), &id, &question),
        Err(failure) => failure.page(&gateway, &asked),
    }
}

/// `POST /oidc/consent` with `id` and `answer`, `yes` or `no`.
pub(super) async fn answer(
    State(gateway): Shared,
    Extension(asked): Known,
    organization: Organization,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let config = Arc::clone(&asked.settings.config);
    let answered = async {
        form::is_our_own(&parts.headers, Some(&config.server.public_url))?;
        let body = form::read(body, config.server.body_bytes_max).await?;
        let fields = Fields::parse(body.expose()).map_err(|_| Failure::BadRequest("form-unreadable"))?;
        let id = fields.owned("id").ok_or(Failure::BadRequest("form-incomplete"))?;
        let yes = match fields.find("answer") {
            Some("yes") => true,
            Some("no") => false,
            _ => return Err(Failure::BadRequest("form-incomplete")),
        };
        let question = question(&gateway, &asked, &parts, &organization, &id)?;
        note(&gateway, &asked, &parts, &organization, &question, yes).await?;
        let provider = Arc::clone(&gateway.provider);
        let answered = move || provider.consented(&config, &organization.0, &id, yes);
        let answered = tokio::task::spawn_blocking(answered).await;
        answered.map_err(|_| Failure::Unavailable("internal-error"))?.map_err(|refused| {
            tracing::warn!(code = refused.code, detail = refused.detail, "an answer has no use");
            Failure::BadRequest(refused.code)
        })
    };
    match answered.await {
        Ok(reply) => follow(&gateway, &asked, reply),
        Err(failure) => failure.page(&gateway, &asked),
    }
}

/// Where the browser goes.
pub(super) fn follow(gateway: &Gateway, asked: &Asked, reply: Reply) -> Response {
    match reply {
        Reply::Code { to, participant } => {
            // Before the code is out: a logout that comes now must reach it.
            if let Some(participant) = participant {
                gateway.flow.joined(&asked.id, *participant);
            }
            see_other(to.as_str())
        }
        Reply::Ask(to) | Reply::Error(to) => see_other(to.as_str()),
    }
}

/// The question that a link leads to, and its id.
fn asked_for(
    gateway: &Gateway,
    asked: &Asked,
    parts: &Parts,
    organization: &Organization,
) -> Result<(Question, String), Failure> {
    form::is_visit(&parts.headers)?;
    let query = parts.uri.query().unwrap_or_default();
    let fields = Fields::parse(query.as_bytes()).map_err(|_| Failure::BadRequest("query-unreadable"))?;
    let id = fields.owned("id").ok_or(Failure::BadRequest("form-incomplete"))?;
    Ok((question(gateway, asked, parts, organization, &id)?, id))
}

/// The question, if this browser is the one that it is for, and its session lives.
fn question(
    gateway: &Gateway,
    asked: &Asked,
    parts: &Parts,
    organization: &Organization,
    id: &str,
) -> Result<Question, Failure> {
    let visitor = asked.visitor(parts)?;
    let question = gateway.provider.question(&organization.0, id);
    question
        .filter(|question| gateway.flow.holds(&visitor, &question.origin.sid) && gateway.flow.lives(&question.origin))
        .ok_or(Failure::BadRequest("consent-over"))
}

/// In the record first: what cannot be recorded is not done.
async fn note(
    gateway: &Gateway,
    asked: &Asked,
    parts: &Parts,
    organization: &Organization,
    question: &Question,
    yes: bool,
) -> Result<(), Failure> {
    let event = Event {
        kind: if yes { Kind::ConsentGiven } else { Kind::ConsentRefused },
        granted: yes,
        tenant: Some(organization.0.clone()),
        application: Some(question.application.clone()),
        session: Some(question.origin.sid.clone()),
        outcome: Some(serde_json::json!({ "client": question.client_id, "scopes": question.scopes })),
        ..Event::default()
    };
    let visitor = asked.visitor(parts)?;
    if gateway.flow.note(&visitor, event).await { Ok(()) } else { Err(Failure::Unavailable("audit-unavailable")) }
}
