//! Every route of the gateway, on one page.

use std::sync::Arc;

use axum::{
    Router,
    routing::{any, get, post},
};

use super::{
    forward_auth::{forward, verify},
    gateway::Gateway,
    login, middleware, oidc,
};
use crate::{
    downstream::{Passports, oidc::Provider},
    login::Login,
};

/// What the routes stand on.
pub struct Parts {
    /// The login flow.
    pub login: Arc<Login>,
    /// What an application's proxy gets to hand on.
    pub passports: Passports,
    /// What has been granted to relying parties.
    pub provider: Provider,
}

/// The gateway as a service.
///
/// Whoever serves it puts a [`super::Peer`] in each request's extensions; a request
/// without one comes from nowhere and is trusted with nothing. It also limits how many
/// header bytes are read, how long that may take, and how many connections there are.
pub fn router(parts: Parts) -> Router {
    routes(Gateway::new(parts.login, parts.passports, parts.provider))
}

/// Two hosts' routes. Behind a reverse proxy, `/vestibule/` of each application's host
/// leads here; all else is on the gateway's own host.
pub(super) fn routes(gateway: Gateway) -> Router {
    let gateway = Arc::new(gateway);
    Router::new()
        // An application's host; asked by its proxy for each request.
        .route("/vestibule/verify/{application}", any(verify))
        .route("/vestibule/forward/{application}", any(forward))
        // An application's host; visited by browsers.
        .route("/vestibule/start/{application}", get(login::start))
        .route("/vestibule/enter/{application}", get(login::enter))
        .route("/vestibule/logout/{application}", get(login::depart).post(login::depart_by_form))
        // The gateway's host.
        .route("/login/{application}", get(login::begin).post(login::answer))
        .route("/login/{application}/local", post(login::local))
        .route("/callback/{upstream}", get(login::callback))
        .route("/logout", get(login::logout).post(login::logout_by_form))
        .route("/logged-out", get(login::logged_out))
        .route("/.well-known/jwks.json", get(login::jwks))
        .route("/healthz", get(login::healthz))
        // The OIDC provider, for applications that are relying parties.
        .merge(oidc::routes())
        .fallback(login::not_found)
        .method_not_allowed_fallback(login::method_not_allowed)
        // The last one added is the first one met.
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(middleware::crashed))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&gateway), middleware::around))
        .with_state(gateway)
}
