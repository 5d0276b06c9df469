//! The authorization request (RFC 6749 §4.1.1, OIDC Core §3.1.2.1), always with PKCE S256.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::collections::BTreeMap;
use url::Url;

use super::{
    Exchange, Request,
    error::{UpstreamError, refuse},
};
use crate::{config::Upstream, secret::random_token};

/// Parameters that are ours to set: `authorize-parameters` may not.
const OURS: [&str; 15] = [
    "acr_values",
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "login_hint",
    "max_age",
    "nonce",
    "prompt",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// What differs between the two protocols.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) endpoint: &'a Url,
    pub(super) client_id: &'a str,
    pub(super) scopes: &'a [String],
    pub(super) further: &'a BTreeMap<String, String>,
    /// OpenID Connect, with a nonce and an `openid` scope.
    pub(super) openid: bool,
}

/// What to remember for the callback.
///
/// # Errors
///
/// Where there is no randomness.
pub(super) fn exchange(upstream: &Upstream, request: &Request, now: u64) -> Result<Exchange, UpstreamError> {
    let token = || random_token().map_err(|error| refuse("no-randomness", error.to_string()));
    Ok(Exchange {
        upstream: upstream.id.clone(),
        nonce: token()?,
        verifier: token()?,
        redirect_uri: request.redirect_uri.clone(),
        acr_values: request.acr_values.clone(),
        max_age: request.max_age,
        fresh: request.fresh,
        begun_at: now,
    })
}

/// The URL to send the browser to.
///
/// # Errors
///
/// `authorize-parameter-reserved`.
pub(super) fn url(terms: Terms<'_>, request: &Request, exchange: &Exchange) -> Result<Url, UpstreamError> {
    if let Some(name) = terms.further.keys().find(|name| OURS.contains(&name.as_str())) {
        return Err(refuse("authorize-parameter-reserved", format!("`authorize-parameters` may not set {name}")));
    }
    let mut scopes: Vec<&str> = terms.scopes.iter().map(String::as_str).collect();
    if terms.openid && !scopes.contains(&"openid") {
        scopes.insert(0, "openid");
    }
    // A query that the endpoint has stays (RFC 6749 §3.1).
    let mut url = terms.endpoint.clone();
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", terms.client_id)
            .append_pair("redirect_uri", request.redirect_uri.as_str())
            .append_pair("state", &request.state)
            .append_pair("code_challenge", &challenge(&exchange.verifier))
            .append_pair("code_challenge_method", "S256");
        if !scopes.is_empty() {
            query.append_pair("scope", &scopes.join(" "));
        }
        if terms.openid {
            query.append_pair("nonce", &exchange.nonce);
            if !request.acr_values.is_empty() {
                query.append_pair("acr_values", &request.acr_values.join(" "));
            }
            if let Some(max_age) = request.max_age {
                query.append_pair("max_age", &max_age.to_string());
            }
        }
        let prompt = [(request.fresh, "login"), (request.select_account, "select_account")];
        let prompt: Vec<&str> = prompt.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, name)| name).collect();
        if !prompt.is_empty() {
            query.append_pair("prompt", &prompt.join(" "));
        }
        if let Some(hint) = &request.login_hint {
            query.append_pair("login_hint", hint);
        }
        query.extend_pairs(terms.further);
    }
    Ok(url)
}

/// RFC 7636 §4.2.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}
