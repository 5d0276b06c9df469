//! A logout's way through the browser: the pages on which applications are told, and where it ends.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Path, Request, State},
    response::Response,
    routing::get,
};
use url::Url;

use super::{
    error::{Failure, see_other},
    form,
    gateway::{Asked, Gateway},
    login::{Known, Shared, respond, visit_of_a_person},
    saml,
};
use crate::login::{Answer, NextRound, Visitor};

/// More than this are never told: what is remembered of a session is less.
const TOLD_MAX: usize = 100;

/// Who is told next, and who is left out.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new().route("/logout/round", get(round)).route("/logout/skip", get(skip))
}

/// Ends the session. Where a service provider's request waits for that, it needs not be told.
pub(super) async fn begin(
    gateway: &Gateway,
    asked: &Asked,
    visitor: &Visitor,
    application: Option<&str>,
    rd: Option<&str>,
) -> Answer {
    let waiting = rd.and_then(|rd| Url::parse(rd).ok()).and_then(|rd| saml::waits(asked, &rd));
    // Whoever makes up such an address leaves nobody out: the request in it is sealed.
    let begun_at = waiting
        .and_then(|(name, state)| gateway.identity_provider.leaving(&name, &state).ok())
        .map(|farewell| farewell.application);
    gateway.flow.logout(visitor, application, rd, begun_at.as_deref()).await
}

/// Gateway's host: `GET /logout/round`
async fn round(State(gateway): Shared, Extension(asked): Known, request: Request) -> Response {
    if let Err(failure) = form::is_visit(request.headers()) {
        return failure.page(&gateway, &asked);
    }
    let (parts, _body) = request.into_parts();
    let visitor = match asked.visitor(&parts) {
        Ok(visitor) => visitor,
        Err(failure) => return failure.page(&gateway, &asked),
    };
    let config = &asked.settings.config;
    for _ in 0..TOLD_MAX {
        match gateway.flow.round(&visitor).await {
            NextRound::Over(answer) => return respond(&gateway, &asked, Ok(*answer)),
            NextRound::Frames(participants) => {
                let tell = |participant| gateway.provider.front_channel_logout(config, participant);
                let frames: Vec<Url> = participants.iter().filter_map(tell).collect();
                if !frames.is_empty() {
                    return gateway.pages.frames(&asked, &frames);
                }
            }
            NextRound::Ask { id, participant } => {
                let code = match gateway.identity_provider.ask_to_log_out(config, &participant, &id) {
                    Ok(Some(outbound)) => {
                        return gateway.pages.telling(&asked, &outbound, &id, &participant.application);
                    }
                    Ok(None) => "logout-not-configured",
                    Err(refused) => refused.code,
                };
                let told = gateway.flow.told(&visitor, Some(&participant.application), &id, Some(code)).await;
                // The cookie says who was left out: it must not be lost.
                if !told.cookies.is_empty() {
                    return respond(&gateway, &asked, Ok(told));
                }
            }
        }
    }
    Failure::Unavailable("unavailable").page(&gateway, &asked)
}

/// Gateway's host: `GET /logout/skip?stop=…`: the application does not answer, and the person goes on.
async fn skip(State(gateway): Shared, Extension(asked): Known, request: Request) -> Response {
    visit_of_a_person(&gateway, &asked, Ok(Path(String::new())), request, async |visitor, _name, fields| {
        Ok(gateway.flow.told(visitor, None, fields.find("stop").unwrap_or_default(), Some("no-answer")).await)
    })
    .await
}

/// The logout is over: on to where it was to end, or a page that says so.
pub(super) fn over(gateway: &Gateway, asked: &Asked, to: Option<&Url>, untold: &[String]) -> Response {
    if let Some((name, state)) = to.and_then(|to| saml::waits(asked, to)) {
        return saml::logged_out(gateway, asked, &name, &state, !untold.is_empty());
    }
    match to {
        Some(to) if untold.is_empty() => see_other(to.as_str()),
        // The person must know before going on.
        _ => gateway.pages.logged_out(asked, to, untold),
    }
}
