//! The identity providers that we consume. Makes the only [`VerifiedIdentity`].

use url::Url;

use crate::{
    clock::Clock,
    config::{Fetch, Upstream},
    identity::VerifiedIdentity,
    secret::Secret,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What the gateway asks of an upstream.
#[derive(Clone, Debug)]
pub struct Request {
    /// Our callback.
    pub redirect_uri: Url,
    /// Ties the callback to the browser.
    pub state: String,
    /// OIDC Core §3.1.2.1.
    pub login_hint: Option<String>,
    /// OIDC Core §3.1.2.1.
    pub acr_values: Vec<String>,
    /// OIDC Core §3.1.2.1, in seconds.
    pub max_age: Option<u32>,
    /// Ask for a new authentication whatever session the upstream has (`prompt=login`).
    pub fresh: bool,
}

/// What must be remembered, sealed, from the request to the callback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The upstream's id.
    pub upstream: String,
    /// OIDC Core §3.1.2.1 `nonce`.
    pub nonce: String,
    /// RFC 7636 `code_verifier`.
    pub verifier: String,
    /// Our callback, as sent.
    pub redirect_uri: Url,
    /// What was asked for, so that the answer can be held to it.
    pub acr_values: Vec<String>,
    /// Likewise.
    pub max_age: Option<u32>,
}

/// The callback's query, unverified.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct UnverifiedCallback {
    /// RFC 6749 §4.1.2.
    pub code: Option<String>,
    /// RFC 6749 §4.1.2.
    pub state: Option<String>,
    /// RFC 9207 §2.
    pub iss: Option<String>,
    /// RFC 6749 §4.1.2.1.
    pub error: Option<String>,
    /// RFC 6749 §4.1.2.1.
    pub error_description: Option<String>,
}

/// A proved identity and what the upstream gave along with it.
#[derive(Debug)]
pub struct Proof {
    /// Who.
    pub identity: VerifiedIdentity,
    /// The ID token, for `id_token_hint` at logout. Never leaves the gateway otherwise.
    pub id_token: Option<Secret<String>>,
}

/// Why an upstream could not prove an identity.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct UpstreamError {
    /// A stable name in kebab-case, such as `nonce-mismatch`: one for each cause.
    pub code: &'static str,
    /// For the log and the administrator; free of secrets and personal data.
    pub detail: String,
}

/// The upstreams: their metadata, keys and connections. Outlives generations.
#[derive(Debug)]
pub struct Upstreams {}

impl Upstreams {
    /// Opens nothing yet: metadata is fetched when it is first needed.
    ///
    /// # Errors
    ///
    /// Where the certificate authorities cannot be read.
    pub fn new(_fetch: &Fetch, _clock: Arc<dyn Clock>) -> Result<Self, UpstreamError> {
        todo!()
    }

    /// The authorization request for `upstream`.
    ///
    /// # Errors
    ///
    /// Where discovery fails.
    pub async fn begin(&self, _upstream: &Upstream, _request: &Request) -> Result<(Url, Exchange), UpstreamError> {
        todo!()
    }

    /// Redeems the code and verifies all that comes back. The caller has checked `state`.
    ///
    /// # Errors
    ///
    /// Each check has its own code. Checks that need no request come before the first one
    /// (RFC 9207 §2.4).
    pub async fn complete(
        &self,
        _upstream: &Upstream,
        _exchange: &Exchange,
        _callback: &UnverifiedCallback,
    ) -> Result<Proof, UpstreamError> {
        todo!()
    }

    /// Where the browser goes to end its session at the upstream; none where the upstream
    /// has no such place.
    ///
    /// # Errors
    ///
    /// Where discovery fails.
    pub async fn logout_url(
        &self,
        _upstream: &Upstream,
        _id_token: Option<&Secret<String>>,
        _sign_out_url: &Url,
        _state: &str,
    ) -> Result<Option<Url>, UpstreamError> {
        todo!()
    }
}
