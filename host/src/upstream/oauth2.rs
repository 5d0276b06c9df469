//! Plain OAuth 2.0 toward an upstream: who the subject is, its userinfo endpoint says to
//! the holder of an access token (GitHub and its like).
//!
//! There is no ID token, so there is no nonce, and nothing can prove when or how the
//! subject authenticated. What ties the answer to this browser and this login is `state`
//! and PKCE.

use serde_json::Value;
use url::Url;

use super::{
    Exchange, Proof, Request, UnverifiedCallback, Upstreams,
    authorize::{self, Terms},
    callback, email,
    error::{UpstreamError, refuse},
    exchange::{self, Client},
    issuer::Issuer,
    userinfo, verify,
};
use crate::config::{OAuth2, Upstream};

/// The authorization request.
///
/// # Errors
///
/// `assurance-unsupported` where somebody needs proof of a recent or strong
/// authentication: better said now than after the subject's round trip.
pub(super) fn begin(
    upstreams: &Upstreams,
    upstream: &Upstream,
    oauth2: &OAuth2,
    request: &Request,
) -> Result<(Url, Exchange), UpstreamError> {
    check_assurance(&request.acr_values, request.max_age)?;
    let exchange = authorize::exchange(upstream, request, upstreams.clock.now())?;
    let terms = Terms {
        endpoint: &oauth2.authorization_endpoint,
        client_id: &oauth2.client_id,
        scopes: &oauth2.scopes,
        further: &oauth2.authorize_parameters,
        openid: false,
    };
    let url = authorize::url(terms, request, &exchange)?;
    Ok((url, exchange))
}

/// The callback to a verified identity.
///
/// # Errors
///
/// As in OpenID Connect, as far as there is something to check.
pub(super) async fn complete(
    upstreams: &Upstreams,
    upstream: &Upstream,
    oauth2: &OAuth2,
    exchange: &Exchange,
    answer: &UnverifiedCallback,
) -> Result<Proof, UpstreamError> {
    callback::check_issuer(answer, Issuer(&oauth2.issuer))?;
    check_assurance(&exchange.acr_values, exchange.max_age)?;
    let code = callback::code(answer)?;
    let client =
        Client { token_endpoint: &oauth2.token_endpoint, client_id: &oauth2.client_id, authn: &oauth2.client_authn };
    let tokens = exchange::redeem(&upstreams.fetcher, client, exchange, code, upstreams.clock.now()).await?;
    let mut userinfo = userinfo::fetch(&upstreams.fetcher, &oauth2.userinfo_endpoint, &tokens.access_token).await?;
    let stated = match &oauth2.emails_endpoint {
        None => email::stated(upstream, None, Some(&userinfo)),
        Some(url) => {
            // The list has the flags; userinfo's address is what the subject shows in
            // public, and may be anything.
            userinfo.remove("email");
            match userinfo::primary_address(&upstreams.fetcher, url, &tokens.access_token).await? {
                None => email::Stated::default(),
                Some((address, verified)) => {
                    userinfo.insert("email".to_owned(), Value::String(address.clone()));
                    email::settle(upstream, &address, Some(verified))
                }
            }
        }
    };
    Ok(Proof::new(verify::oauth2(upstream, oauth2, &userinfo, stated)?, None))
}

fn check_assurance(acr_values: &[String], max_age: Option<u32>) -> Result<(), UpstreamError> {
    if acr_values.is_empty() && max_age.is_none() {
        return Ok(());
    }
    Err(refuse("assurance-unsupported", "plain OAuth 2.0 cannot prove when or how the subject authenticated"))
}
