//! The routes of the gateway's own second factor: the page of a login that waits for a code, and a
//! person's own page.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Extension, Path, Request, State},
    response::Response,
    routing::get,
};

use super::{
    error::Failure,
    fields::Fields,
    gateway::Gateway,
    login::{Known, Name, Shared, Site, submit, visit, visit_of_a_person, with_a_way_on},
};
use crate::{
    login::{FactorChange, FactorStep},
    secret::Secret,
};

/// All of them.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/login/{application}/second-factor", get(ask).post(prove))
        .route("/second-factor", get(own).post(change))
}

/// `GET /login/{application}/second-factor?login=…`
async fn ask(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    visit(&gateway, &asked, name, request, async |visitor, name, fields| {
        let login = fields.owned("login").ok_or(Failure::BadRequest("form-incomplete"))?;
        Ok(with_a_way_on(&asked, name, gateway.flow.second_factor(visitor, FactorStep::Ask { login }).await))
    })
    .await
}

/// `POST /login/{application}/second-factor` with `login`, and `code` or `seen`.
async fn prove(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    submit(&gateway, &asked, name, request, Site::Gateway, async |visitor, name, fields| {
        let login = fields.owned("login").ok_or(Failure::BadRequest("form-incomplete"))?;
        let step = match (code(fields), fields.find("seen")) {
            (Some(code), None) => FactorStep::Prove { login, code },
            (None, Some(_)) => FactorStep::Seen { login },
            _ => return Err(Failure::BadRequest("form-incomplete")),
        };
        Ok(with_a_way_on(&asked, name, gateway.flow.second_factor(visitor, step).await))
    })
    .await
}

/// `GET /second-factor`
async fn own(State(gateway): Shared, Extension(asked): Known, request: Request) -> Response {
    visit_of_a_person(&gateway, &asked, Ok(Path(String::new())), request, async |visitor, _, _| {
        Ok(gateway.flow.second_factor(visitor, FactorStep::Own).await)
    })
    .await
}

/// `POST /second-factor` with `code` and `change`.
async fn change(State(gateway): Shared, Extension(asked): Known, request: Request) -> Response {
    let nobody = Ok(Path(String::new()));
    submit(&gateway, &asked, nobody, request, Site::Gateway, async |visitor, _, fields| {
        let change = match fields.find("change") {
            Some("recovery-codes") => FactorChange::RecoveryCodes,
            Some("remove") => FactorChange::Remove,
            _ => return Err(Failure::BadRequest("form-incomplete")),
        };
        let code = code(fields).ok_or(Failure::BadRequest("form-incomplete"))?;
        Ok(gateway.flow.second_factor(visitor, FactorStep::Change { change, code }).await)
    })
    .await
}

fn code(fields: &Fields<'_>) -> Option<Secret<String>> {
    fields.owned("code").map(Secret::new)
}
