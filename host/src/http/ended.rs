//! Where upstreams say that a session there is over (OIDC Back-Channel Logout 1.0, OIDC
//! Front-Channel Logout 1.0).

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, header},
    response::Response,
};

use super::{
    error::{Failure, logout_refused},
    fields::Fields,
    form,
    gateway::{Asked, Gateway},
};
use crate::config::UpstreamKind;

/// `POST /backchannel-logout/{upstream}` with `logout_token`: from the upstream itself. It is no
/// form of our own: the token's signature says who sent it.
pub(super) async fn back_channel(
    State(gateway): State<Arc<Gateway>>,
    Extension(asked): Extension<Asked>,
    Path(upstream): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let ended = async {
        let visitor = asked.visitor(&parts)?;
        let body = form::read(body, asked.settings.config.server.body_bytes_max).await?;
        let fields = Fields::parse(body.expose()).map_err(|_| Failure::BadRequest("form-unreadable"))?;
        let token = fields.find("logout_token").ok_or(Failure::BadRequest("logout-token-missing"))?;
        gateway.flow.back_channel_logout(&visitor, &upstream, token).await.map_err(Failure::Refused)
    };
    match ended.await {
        Ok(()) => empty(),
        Err(failure) => logout_refused(&failure, &asked),
    }
}

/// `GET /frontchannel-logout/{upstream}?iss=…&sid=…`: in a frame of the upstream's page.
pub(super) async fn front_channel(
    State(gateway): State<Arc<Gateway>>,
    Extension(asked): Extension<Asked>,
    Path(upstream): Path<String>,
    request: Request,
) -> Response {
    let (parts, _body) = request.into_parts();
    let ended = async {
        let visitor = asked.visitor(&parts)?;
        let query = parts.uri.query().unwrap_or_default();
        let fields = Fields::parse(query.as_bytes()).map_err(|_| Failure::BadRequest("query-unreadable"))?;
        let (issuer, session) = (fields.find("iss"), fields.find("sid"));
        gateway.flow.front_channel_logout(&visitor, &upstream, issuer, session).await.map_err(Failure::Refused)
    };
    let mut response = match ended.await {
        Ok(()) => empty(),
        Err(failure) => logout_refused(&failure, &asked),
    };
    // The only page of ours that another site may show in a frame: this upstream's, and there is
    // nothing on it.
    if let Some(policy) = framed_by(&asked, &upstream) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        response.extensions_mut().insert(Framed);
    }
    response
}

/// Marks an answer that some other site may show in a frame: its own policy says which. The older
/// header cannot name one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framed;

fn empty() -> Response {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn framed_by(asked: &Asked, upstream: &str) -> Option<HeaderValue> {
    let UpstreamKind::Oidc(oidc) = &asked.settings.config.upstreams.get(upstream)?.kind else { return None };
    let issuer = url::Url::parse(&oidc.issuer.replace(['{', '}'], "")).ok()?;
    let origin = issuer.origin().ascii_serialization();
    HeaderValue::try_from(format!("default-src 'none'; base-uri 'none'; frame-ancestors {origin}")).ok()
}
