//! The identity providers that we consume. Makes the only [`VerifiedIdentity`].
//!
//! # One login, file by file
//!
//! 1. `authorize`: the authorization request, with state, nonce and PKCE; the endpoints
//!    come from `discovery`.
//! 2. `callback`: the answer's `iss`, error and code, before anything is sent (RFC 9207).
//! 3. `exchange`: the code for tokens.
//! 4. `token`: an `UnverifiedToken`, whose claims nobody can read, to `SignedClaims`;
//!    `jwks` finds the key.
//! 5. `verify`: signed claims to a verified identity; nobody else makes one. `email`,
//!    `groups` and `claims` say what becomes of each claim; `userinfo` adds to them.
//!
//! `oidc` and `oauth2` put the steps in order; `local` has the gateway's own accounts;
//! `logout` ends the session at the upstream, `ended` hears that it ended there; `fetch` is the only HTTP client, and
//! `address` says where it may connect to; `tell` brings our own logout tokens to relying parties. `docs/adr/0003-id-token-verification.md` says
//! why the verifier is ours.
//!
//! This module decides nothing about a login: an identity that comes out of it is proved,
//! not admitted. It logs no token, code or address.
//!
//! # Codes
//!
//! | code | cause |
//! |---|---|
//! | `account-disabled` | right password, but the local account is disabled |
//! | `account-selection-unsupported` | the upstream says that it lets nobody choose an account |
//! | `accounts-malformed` | the accounts file is not as documented |
//! | `accounts-unreadable` | the accounts file cannot be read |
//! | `acr-not-met` | `acr` is none of the `acr_values` that were asked for |
//! | `alg-none` | the ID token is not signed |
//! | `alg-not-allowed` | the ID token's algorithm is not in `algorithms` |
//! | `alg-symmetric` | the ID token is signed with HMAC |
//! | `assurance-unsupported` | plain OAuth 2.0 cannot prove what was asked for |
//! | `at-hash-mismatch` | the access token is not the one that the ID token came with |
//! | `aud-malformed` | `aud` is neither a text nor a list of texts |
//! | `aud-mismatch` | `aud` does not contain our client id |
//! | `aud-missing` | no `aud` |
//! | `auth-time-from-future` | `auth_time` is later than now |
//! | `auth-time-missing` | `max_age` was asked for, and no `auth_time` came back |
//! | `auth-time-too-old` | the authentication is older than was asked for |
//! | `authorize-parameter-reserved` | the configuration sets a parameter that is ours |
//! | `azp-mismatch` | `azp` is another client |
//! | `azp-missing` | several audiences and no `azp` |
//! | `ca-file-unreadable` | `fetch.ca-file` cannot be read |
//! | `claims-duplicate` | an object names a claim twice |
//! | `client-authn-impossible` | the client secret makes no header |
//! | `client-key-unusable` | the key for `private_key_jwt` does not fit its algorithm |
//! | `code-malformed` | the code is too long, or has characters that no code has |
//! | `code-missing` | the callback has neither a code nor an error |
//! | `credentials-refused` | wrong username or password |
//! | `discovery-endpoint-insecure` | a discovered endpoint is not https, the issuer is |
//! | `discovery-endpoint-refused` | a discovered endpoint has credentials or a fragment |
//! | `discovery-issuer-mismatch` | the document is about another issuer |
//! | `discovery-malformed` | the document is not as OpenID Connect Discovery has it |
//! | `discovery-status` | the document answers something else than 200 |
//! | `emails-malformed` | the emails endpoint's list is not as documented |
//! | `endpoint-missing` | an endpoint is neither set by hand nor discovered |
//! | `fetch-address-refused` | the address is not public, and not allowed |
//! | `fetch-broken-off` | the exchange ended too early |
//! | `fetch-cleartext-refused` | http to an address that is not allowed by name |
//! | `fetch-compressed` | the response is compressed, though we asked for a plain one |
//! | `fetch-connection-failed` | no connection |
//! | `fetch-name-unresolved` | the name does not resolve |
//! | `fetch-redirect-refused` | a redirect where none is followed |
//! | `fetch-redirects-exceeded` | more redirects than `fetch.redirects-max` |
//! | `fetch-timeout` | no complete response within `fetch.timeout-ms` |
//! | `fetch-tls-failed` | the certificate or the handshake is bad |
//! | `fetch-too-large` | the body is longer than `fetch.body-bytes-max` |
//! | `fetch-url-refused` | not https or http, with credentials, or from https to http |
//! | `groups-malformed` | the group claim is neither a list of texts nor a text |
//! | `header-refused` | the ID token's header has `crit`, `cty`, `zip` or `b64` |
//! | `id-token-encrypted` | the ID token is a JWE |
//! | `id-token-malformed` | the ID token is no JWS |
//! | `id-token-missing` | the token endpoint gave no ID token |
//! | `iss-mismatch` | the ID token is another issuer's |
//! | `iss-missing` | no `iss` in the ID token |
//! | `iss-parameter-mismatch` | the callback is another issuer's (RFC 9207) |
//! | `iss-parameter-missing` | the callback has no `iss`, though one is always sent |
//! | `jti-missing` | a logout token has no `jti` |
//! | `jwks-malformed` | the key set is not as RFC 7517 has it |
//! | `jwks-status` | the key set answers something else than 200 |
//! | `key-algorithm-mismatch` | the key is not for the ID token's algorithm |
//! | `key-malformed` | the key's parameters are malformed |
//! | `key-private` | the key set publishes the key's private part |
//! | `key-symmetric` | the key is a shared secret |
//! | `key-unknown` | no key of that `kid`, not even in a newer set |
//! | `key-weak` | RSA below 2048 bits, above 8192, or with a trivial exponent |
//! | `kid-missing` | the ID token names no key, and several would fit |
//! | `logout-event-missing` | the token's `events` does not make it a logout token |
//! | `logout-id-malformed` | a logout token's `jti`, `sid` or `sub` is no short text |
//! | `logout-nobody` | a logout names neither a session nor a subject |
//! | `logout-not-taken` | a relying party answered a logout token with a refusal, or not at all well |
//! | `logout-sid-needed` | `subject-claim` is another than `sub`, and the logout token has no `sid` |
//! | `logout-template-malformed` | `logout-url` has an unknown placeholder or is no URL |
//! | `logout-token-nonce` | the logout token has a `nonce`, as an ID token has |
//! | `logout-token-too-old` | the logout token was issued too long ago |
//! | `no-randomness` | the operating system gives none |
//! | `nonce-mismatch` | the ID token answers another login |
//! | `nonce-missing` | no `nonce` |
//! | `password-unusable` | a password to be hashed is empty or too long |
//! | `public-key-malformed` | `public-key` is neither PEM nor JWK |
//! | `signature-invalid` | the signature does not verify |
//! | `subject-malformed` | the subject is no text of 1 to 255 bytes |
//! | `subject-missing` | no claim of the name of `subject-claim` |
//! | `tenant-missing` | `allowed-tenants` is set, and there is no `tid` |
//! | `tenant-not-allowed` | `tid` is not in `allowed-tenants` |
//! | `time-malformed` | a time is not a number |
//! | `time-missing` | no `exp` or no `iat` |
//! | `tls-unavailable` | the TLS library cannot be set up |
//! | `token-expired` | `exp` has passed |
//! | `token-from-future` | `iat` is later than now |
//! | `token-not-yet-valid` | `nbf` is later than now |
//! | `token-refused` | the token endpoint answers with an OAuth error |
//! | `token-response-malformed` | the token endpoint's JSON is not as RFC 6749 §5.1 has it |
//! | `token-response-not-json` | the token endpoint answers something else than JSON |
//! | `token-status` | the token endpoint answers something else than 200, without an error |
//! | `typ-refused` | the ID token's `typ` is another kind of token's |
//! | `upstream-denied` | the upstream answers `access_denied` |
//! | `upstream-error` | the upstream answers another error |
//! | `upstream-is-local` | a local upstream has no authorization request |
//! | `upstream-mismatch` | the callback belongs to another upstream's login |
//! | `upstream-not-oidc` | a logout came for an upstream that is no OpenID provider |
//! | `userinfo-jwt` | userinfo is a JWT |
//! | `userinfo-malformed` | userinfo is no JSON object |
//! | `userinfo-not-json` | userinfo answers something else than JSON |
//! | `userinfo-status` | userinfo answers something else than 200 |
//! | `userinfo-subject-mismatch` | userinfo is about another subject |
//! | `userinfo-subject-missing` | userinfo has no `sub` |

mod address;
mod authorize;
mod cache;
mod callback;
mod claims;
mod discovery;
mod email;
mod ended;
mod error;
mod exchange;
mod fetch;
mod groups;
mod issuer;
mod jwks;
mod local;
mod logout;
mod oauth2;
mod oidc;
mod tell;
mod token;
mod userinfo;
mod verify;

#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use url::Url;

pub use email::{authoritative, is_address, is_within};
pub use ended::{Ended, LogoutToken, Which};
pub use error::UpstreamError;
pub use local::{LocalAccounts, hash_password};
pub use tell::Untold;

use crate::{
    clock::Clock,
    config::{Accounts, Fetch, Upstream, UpstreamKind},
    identity::VerifiedIdentity,
    jose::json,
    secret::Secret,
};

/// The code where somebody is to choose an account, and the upstream says that it lets nobody.
pub const ACCOUNT_SELECTION_UNSUPPORTED: &str = "account-selection-unsupported";

/// Passwords that are hashed at one time; others wait. Each takes some 20 MiB.
const HASHES_MAX: usize = 4;

/// What the gateway asks of an upstream.
#[derive(Clone)]
pub struct Request {
    /// Our callback.
    pub redirect_uri: Url,
    /// Ties the callback to the browser.
    pub state: String,
    /// OIDC Core §3.1.2.1.
    pub login_hint: Option<String>,
    /// OIDC Core §3.1.2.1. What comes back must have one of them.
    pub acr_values: Vec<String>,
    /// OIDC Core §3.1.2.1, in seconds. What comes back must prove it.
    pub max_age: Option<u32>,
    /// Ask for a new authentication whatever session the upstream has (`prompt=login`).
    /// An `auth_time` that comes back must be newer than the request; where none comes,
    /// nothing is proved: add `max_age` for that.
    pub fresh: bool,
    /// Let the person choose an account (`prompt=select_account`): refused where the upstream says that it knows no such
    /// thing; whether it was done, no answer proves.
    pub select_account: bool,
}

/// What must be remembered, sealed, from the request to the callback.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Likewise.
    pub fresh: bool,
    /// When it was asked for, in seconds since 1970-01-01 UTC.
    pub begun_at: u64,
}

/// The callback's query, unverified.
#[derive(Clone, Default, Deserialize)]
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
    /// What the audit should say about it: `email-trusted-unverified` where an address
    /// counts as verified because the operator said so, `email-conflict` where ID token
    /// and userinfo state two addresses.
    pub warnings: Vec<&'static str>,
}

/// The upstreams: their metadata, keys and connections. Outlives generations.
pub struct Upstreams {
    fetcher: fetch::Fetcher,
    clock: Arc<dyn Clock>,
    documents: discovery::Documents,
    key_sets: jwks::KeySets,
    hashing: Arc<tokio::sync::Semaphore>,
}

impl Upstreams {
    /// Opens nothing yet: metadata is fetched when it is first needed.
    ///
    /// # Errors
    ///
    /// Where the certificate authorities cannot be read.
    pub fn new(fetch: &Fetch, clock: Arc<dyn Clock>) -> Result<Self, UpstreamError> {
        Ok(Self {
            fetcher: fetch::Fetcher::new(fetch)?,
            clock,
            documents: cache::Cache::new(),
            key_sets: cache::Cache::new(),
            hashing: Arc::new(tokio::sync::Semaphore::new(HASHES_MAX)),
        })
    }

    /// The authorization request for `upstream`.
    ///
    /// # Errors
    ///
    /// Where discovery fails; [`ACCOUNT_SELECTION_UNSUPPORTED`].
    pub async fn begin(&self, upstream: &Upstream, request: &Request) -> Result<(Url, Exchange), UpstreamError> {
        match &upstream.kind {
            UpstreamKind::Local => Err(is_local()),
            UpstreamKind::OAuth2(oauth2) => oauth2::begin(self, upstream, oauth2, request),
            UpstreamKind::Oidc(oidc) => oidc::begin(self, upstream, oidc, request).await,
        }
    }

    /// Redeems the code and verifies all that comes back. The caller has checked `state`.
    ///
    /// # Errors
    ///
    /// Each check has its own code. Checks that need no request come before the first one
    /// (RFC 9207 §2.4).
    pub async fn complete(
        &self,
        upstream: &Upstream,
        exchange: &Exchange,
        callback: &UnverifiedCallback,
    ) -> Result<Proof, UpstreamError> {
        if exchange.upstream != upstream.id {
            return Err(error::refuse("upstream-mismatch", "the callback belongs to another upstream's login"));
        }
        match &upstream.kind {
            UpstreamKind::Local => Err(is_local()),
            UpstreamKind::OAuth2(oauth2) => oauth2::complete(self, upstream, oauth2, exchange, callback).await,
            UpstreamKind::Oidc(oidc) => oidc::complete(self, upstream, oidc, exchange, callback).await,
        }
    }

    /// Brings one of our own logout tokens to a relying party (OIDC Back-Channel Logout §2.5).
    ///
    /// # Errors
    ///
    /// Where it was not taken, and whether another try is worth it.
    pub async fn tell(&self, to: &Url, logout_token: &Secret<String>) -> Result<(), Untold> {
        tell::tell(self, to, logout_token).await
    }

    /// Verifies a logout token of `upstream` (OIDC Back-Channel Logout §2.6). The caller sees to it
    /// that each counts once.
    ///
    /// # Errors
    ///
    /// Each check has its own code.
    pub async fn logout_token(&self, upstream: &Upstream, unverified: &str) -> Result<LogoutToken, UpstreamError> {
        ended::back_channel(self, upstream, oidc_of(upstream)?, unverified).await
    }

    /// What a front-channel logout of `upstream` ends (OIDC Front-Channel Logout §2).
    ///
    /// # Errors
    ///
    /// Each check has its own code.
    pub fn front_channel_logout(
        &self,
        upstream: &Upstream,
        issuer: Option<&str>,
        session: Option<&str>,
    ) -> Result<Ended, UpstreamError> {
        ended::front_channel(oidc_of(upstream)?, issuer, session)
    }

    /// Checks a local account's password, on a thread that may block, and not more than a
    /// few at a time. The file is read each time, so that a change counts at once.
    ///
    /// `upstream` is the configured id, `issuer` the gateway's public URL.
    ///
    /// # Errors
    ///
    /// As [`LocalAccounts::read`] and [`LocalAccounts::authenticate`].
    pub async fn authenticate(
        &self,
        accounts: &Accounts,
        upstream: &str,
        issuer: &str,
        username: &str,
        password: &Secret<String>,
    ) -> Result<VerifiedIdentity, UpstreamError> {
        let broken = |detail: &str| error::refuse("accounts-unreadable", detail);
        // The turn ends with the hash, not with the request: a browser that hangs up while
        // its password is hashed frees no place.
        let turn = Arc::clone(&self.hashing).acquire_owned().await;
        let turn = turn.map_err(|_| broken("the gateway is going down"))?;
        let now = self.clock.now();
        let (path, password): (PathBuf, _) = (accounts.file.clone(), password.clone());
        let (upstream, issuer, username) = (upstream.to_owned(), issuer.to_owned(), username.to_owned());
        let task = move || {
            let _turn = turn;
            LocalAccounts::read(&path)?.authenticate(&upstream, &issuer, &username, &password, now)
        };
        tokio::task::spawn_blocking(task).await.map_err(|_| broken("the check did not end"))?
    }

    /// Where the browser goes to end its session at the upstream; none where the upstream
    /// has no such place.
    ///
    /// # Errors
    ///
    /// Where discovery fails.
    pub async fn logout_url(
        &self,
        upstream: &Upstream,
        id_token: Option<&Secret<String>>,
        sign_out_url: &Url,
        state: &str,
    ) -> Result<Option<Url>, UpstreamError> {
        let (client_id, template) = match &upstream.kind {
            UpstreamKind::Local => return Ok(None),
            UpstreamKind::OAuth2(oauth2) => (&oauth2.client_id, &oauth2.logout_url),
            UpstreamKind::Oidc(oidc) => (&oidc.client_id, &oidc.logout_url),
        };
        let parameters = logout::Parameters { client_id, id_token, sign_out_url, state };
        if let Some(template) = template {
            return logout::from_template(template, parameters).map(Some);
        }
        let UpstreamKind::Oidc(oidc) = &upstream.kind else { return Ok(None) };
        let endpoint = oidc::provider(self, oidc).await?.end_session;
        Ok(endpoint.map(|endpoint| logout::end_session(&endpoint, parameters)))
    }
}

fn oidc_of(upstream: &Upstream) -> Result<&crate::config::Oidc, UpstreamError> {
    match &upstream.kind {
        UpstreamKind::Oidc(oidc) => Ok(oidc),
        UpstreamKind::Local | UpstreamKind::OAuth2(_) => {
            Err(error::refuse("upstream-not-oidc", "only an OpenID provider says that its sessions ended"))
        }
    }
}

fn is_local() -> UpstreamError {
    error::refuse("upstream-is-local", "a local upstream has no authorization request and no callback")
}

// What these hold is secret or personal, so `Debug` shows what it is and not what is in it.

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("redirect_uri", &self.redirect_uri.as_str()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

impl fmt::Debug for UnverifiedCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedCallback")
            .field("code", &self.code.is_some())
            .field("error", &self.error.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstreams").finish_non_exhaustive()
    }
}
