//! Every route of the gateway, on one page.

use std::{error::Error, sync::Arc};

use axum::{
    http::Request,
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use tower::ServiceExt as _;

use super::{
    Peer, clients, door, ended, endpoint, forward_auth::Question, gateway::Gateway, login, logout, middleware,
    middleware::Reader, oidc, peer::Reach, reverse_proxy, saml, second_factor,
};
use crate::{
    downstream::{Passports, oidc::Provider, saml::IdentityProvider},
    login::Login,
};

/// What the routes stand on.
pub struct Parts {
    /// The login flow.
    pub login: Arc<Login>,
    /// What an application's proxy gets to hand on.
    pub passports: Passports,
    /// What has been granted to relying parties.
    pub provider: Arc<Provider>,
    /// What speaks to SAML service providers.
    pub identity_provider: IdentityProvider,
}

/// The gateway, as it answers requests.
///
/// Whoever serves it limits how many header bytes are read, how long that may take, and how
/// many connections there are.
pub struct Router {
    gateway: Arc<Gateway>,
    rest: axum::Router,
}

impl Router {
    /// The routes of a gateway.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self::of(Gateway::new(parts.login, parts.passports, parts.provider, parts.identity_provider))
    }

    pub(super) fn of(gateway: Gateway) -> Self {
        let gateway = Arc::new(gateway);
        Self { rest: rest(&gateway), gateway }
    }

    /// Answers a request of `peer`; one of nobody comes from nowhere, and is trusted with
    /// nothing.
    pub async fn answer<B>(&self, peer: Option<Peer>, mut request: Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // What a proxy asks about each request of an application goes no further: axum's routes
        // box and look up what is known here already (`benches/README.md`, `gateway`).
        if let Some((question, _)) = Question::of(request.uri().path()) {
            let answer = async |request, asked| Question::answer(&self.gateway, &asked, request).await;
            return middleware::guard(&self.gateway, peer, question.route(), request, answer).await;
        }
        // The hosts of applications that have no proxy but ours. One that is told in two ways is
        // nobody's.
        if let Err(failure) = reverse_proxy::settle_host(&mut request) {
            let answer = async |_, asked| (failure.page(&self.gateway, &asked), Reader::Browser);
            return middleware::guard(&self.gateway, peer, "none", request, answer).await;
        }
        let asked = self.gateway.asked(|config| Reach::of(peer, request.headers(), &config.server.trusted_proxies));
        if let Some((endpoint, application)) = endpoint::find(&asked, request.uri(), request.headers()) {
            let answer = async |request, asked| endpoint.answer(&self.gateway, &asked, &application, request).await;
            return middleware::guard(&self.gateway, peer, endpoint.route(), request, answer).await;
        }
        if let Some(application) = reverse_proxy::application(&asked, request.uri(), request.headers()) {
            let answer =
                async |request, asked| reverse_proxy::answer(&self.gateway, &asked, &application, request).await;
            return middleware::guard_streaming(&self.gateway, peer, "proxy", request, answer).await;
        }
        if door::is_at(&asked, request.uri()) {
            let answer = async |request, asked| (door::answer(&self.gateway, &asked, request).await, Reader::Browser);
            return middleware::guard(&self.gateway, peer, door::ROUTE, request, answer).await;
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        match self.rest.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Two hosts' routes. Behind a reverse proxy, `/vestibule/` of each application's host
/// leads here; all else is on the gateway's own host. `/vestibule/verify/{application}`,
/// `/vestibule/forward/{application}` and `/vestibule/ext-authz/{application}/` are [`Question`]s;
/// what an application's host has beside `/vestibule/` is an [`endpoint::Endpoint`]. Where the emergency door is,
/// nobody reads here ([`door`]).
fn rest(gateway: &Arc<Gateway>) -> axum::Router {
    axum::Router::new()
        // An application's host; visited by browsers.
        .route("/vestibule/start/{application}", get(login::start))
        .route("/vestibule/enter/{application}", get(login::enter))
        .route("/vestibule/logout/{application}", get(login::depart).post(login::depart_by_form))
        // The gateway's host.
        .route("/login/{application}", get(login::begin).post(login::answer))
        .route("/login/{application}/local", post(login::local))
        .merge(second_factor::routes())
        .route("/callback/{upstream}", get(login::callback))
        .route("/logout", get(login::logout).post(login::logout_by_form))
        .route("/logged-out", get(login::logged_out))
        .merge(logout::routes())
        .route("/backchannel-logout/{upstream}", post(ended::back_channel))
        .route("/frontchannel-logout/{upstream}", get(ended::front_channel))
        .route("/.well-known/jwks.json", get(login::jwks))
        .route("/healthz", get(login::healthz))
        // The OIDC provider, for applications that are relying parties.
        .merge(oidc::routes())
        .merge(clients::routes())
        // The SAML identity provider, for applications that are service providers.
        .merge(saml::routes())
        .fallback(login::elsewhere)
        .method_not_allowed_fallback(login::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(gateway), middleware::around))
        .with_state(Arc::clone(gateway))
}
