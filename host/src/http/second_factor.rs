//! The routes of the gateway's own second factor: the page of a login that waits for it, and a
//! person's own page.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Extension, Path, Request, State},
    http::{HeaderValue, header},
    response::Response,
    routing::get,
};

use super::{
    error::Failure,
    fields::Fields,
    gateway::Gateway,
    login::{Known, Name, Shared, Site, submit, visit, visit_of_a_person, with_a_way_on},
    pages::PASSKEYS_JS,
};
use crate::{
    login::{FactorChange, FactorProof, FactorStep, PasskeyForm},
    secret::Secret,
};

/// All of them.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/login/{application}/second-factor", get(ask).post(prove))
        .route("/second-factor", get(own).post(change))
        .route("/second-factor/passkeys.js", get(script))
}

/// `GET /login/{application}/second-factor?login=…`
async fn ask(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    visit(&gateway, &asked, name, request, async |visitor, name, fields| {
        let login = fields.owned("login").ok_or(Failure::BadRequest("form-incomplete"))?;
        Ok(with_a_way_on(&asked, name, gateway.flow.second_factor(visitor, FactorStep::Ask { login }).await))
    })
    .await
}

/// `POST /login/{application}/second-factor` with `login`, and one of `code`, `assertion`, `attestation`
/// (with `name`, and perhaps `code`) and `seen`.
async fn prove(State(gateway): Shared, Extension(asked): Known, name: Name, request: Request) -> Response {
    submit(&gateway, &asked, name, request, Site::Gateway, async |visitor, name, fields| {
        let login = fields.owned("login").ok_or(Failure::BadRequest("form-incomplete"))?;
        let (assertion, attestation) = (answer(fields, "assertion"), answer(fields, "attestation"));
        let step = match (assertion, attestation, code(fields), fields.find("seen")) {
            (Some(answer), None, None, None) => FactorStep::Passkey { login, answer },
            (None, Some(attestation), code, None) => {
                FactorStep::NewPasskey { login, form: passkey(fields, attestation), code }
            }
            (None, None, Some(code), None) => FactorStep::Prove { login, code },
            (None, None, None, Some(_)) => FactorStep::Seen { login },
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

/// `POST /second-factor` with `change`, and `code` or `assertion`; where a passkey is added,
/// `attestation` and `name`, too, and where an app is, `app-code`.
async fn change(State(gateway): Shared, Extension(asked): Known, request: Request) -> Response {
    let nobody = Ok(Path(String::new()));
    submit(&gateway, &asked, nobody, request, Site::Gateway, async |visitor, _, fields| {
        let incomplete = || Failure::BadRequest("form-incomplete");
        let change = match fields.find("change").ok_or_else(incomplete)? {
            "add-passkey" => {
                let attestation = answer(fields, "attestation").ok_or_else(incomplete)?;
                FactorChange::AddPasskey(passkey(fields, attestation))
            }
            "add-app" => {
                let code = fields.owned("app-code").map(Secret::new).ok_or_else(incomplete)?;
                FactorChange::AddApp(code)
            }
            "recovery-codes" => FactorChange::RecoveryCodes,
            "remove" => FactorChange::Remove,
            other => match other.strip_prefix("remove-passkey:") {
                Some(id) => FactorChange::RemovePasskey(id.to_owned()),
                None => return Err(incomplete()),
            },
        };
        let typed = code(fields).filter(|code| !code.expose().is_empty());
        let proof = match (typed, answer(fields, "assertion")) {
            (Some(code), None) => FactorProof::Code(code),
            (None, Some(assertion)) => FactorProof::Passkey(assertion),
            _ => return Err(incomplete()),
        };
        Ok(gateway.flow.second_factor(visitor, FactorStep::Change { change, proof }).await)
    })
    .await
}

/// `GET /second-factor/passkeys.js`
async fn script() -> Response {
    let mut response = Response::new(Body::from(PASSKEYS_JS));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    // The page is of this version of the gateway, and so is to be the script.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn code(fields: &Fields<'_>) -> Option<Secret<String>> {
    fields.owned("code").map(Secret::new)
}

/// A browser's answer. The field is there before there is one.
fn answer(fields: &Fields<'_>, name: &str) -> Option<Secret<String>> {
    fields.owned(name).filter(|text| !text.is_empty()).map(Secret::new)
}

fn passkey(fields: &Fields<'_>, attestation: Secret<String>) -> PasskeyForm {
    PasskeyForm { name: fields.owned("name").unwrap_or_default(), attestation }
}
