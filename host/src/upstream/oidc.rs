//! OpenID Connect's code flow toward an upstream (OIDC Core §3.1), step by step.

use url::Url;

use super::{
    ACCOUNT_SELECTION_UNSUPPORTED, Exchange, Proof, Request, UnverifiedCallback, Upstreams,
    authorize::{self, Terms},
    callback,
    discovery::{self, Provider},
    error::{UpstreamError, refuse},
    exchange::{self, Client},
    issuer::Issuer,
    jwks,
    token::{SignedClaims, TokenKind, UnverifiedToken},
    userinfo,
    verify::{self, Expected},
};
use crate::config::{Oidc, Upstream};

/// The upstream's endpoints.
///
/// # Errors
///
/// As [`discovery::provider`].
pub(super) async fn provider(upstreams: &Upstreams, oidc: &Oidc) -> Result<Provider, UpstreamError> {
    discovery::provider(&upstreams.documents, &upstreams.fetcher, &*upstreams.clock, oidc).await
}

/// The authorization request.
///
/// # Errors
///
/// Where discovery fails; `account-selection-unsupported`.
pub(super) async fn begin(
    upstreams: &Upstreams,
    upstream: &Upstream,
    oidc: &Oidc,
    request: &Request,
) -> Result<(Url, Exchange), UpstreamError> {
    let provider = provider(upstreams, oidc).await?;
    // OIDC Core §3.1.2.1: without a choice there is an error, and not whoever happens to be logged in there.
    if request.select_account && !provider.lets_choose_an_account() {
        let detail = "prompt_values_supported of this upstream has no select_account";
        return Err(refuse(ACCOUNT_SELECTION_UNSUPPORTED, detail));
    }
    let exchange = authorize::exchange(upstream, request, upstreams.clock.now())?;
    let terms = Terms {
        endpoint: &provider.authorization,
        client_id: &oidc.client_id,
        scopes: &oidc.scopes,
        further: &oidc.authorize_parameters,
        openid: true,
    };
    let url = authorize::url(terms, request, &exchange)?;
    Ok((url, exchange))
}

/// The callback to a verified identity.
///
/// # Errors
///
/// One code for each check; those that need no request come first.
pub(super) async fn complete(
    upstreams: &Upstreams,
    upstream: &Upstream,
    oidc: &Oidc,
    exchange: &Exchange,
    answer: &UnverifiedCallback,
) -> Result<Proof, UpstreamError> {
    callback::check_issuer(answer, Issuer(&oidc.issuer))?;
    let required = |required: bool| {
        if required && answer.iss.is_none() {
            return Err(refuse("iss-parameter-missing", "the callback has no iss, and this upstream always sends one"));
        }
        Ok(())
    };
    required(oidc.require_iss_parameter)?;
    let code = callback::code(answer)?;
    let provider = provider(upstreams, oidc).await?;
    // RFC 9207 §2.4: an upstream that says it sends `iss` and does not is another one.
    required(provider.sends_iss)?;

    let client = Client { token_endpoint: &provider.token, client_id: &oidc.client_id, authn: &oidc.client_authn };
    let tokens = exchange::redeem(&upstreams.fetcher, client, exchange, code, upstreams.clock.now()).await?;
    let raw = tokens.unverified_id_token;
    let raw = raw.ok_or_else(|| refuse("id-token-missing", "the token endpoint gave no ID token"))?;

    let signed = signed(upstreams, oidc, &provider, raw.expose(), TokenKind::Id).await?;
    let expected = Expected {
        oidc,
        upstream,
        exchange,
        callback_issuer: answer.iss.as_deref(),
        access_token: &tokens.access_token,
        now: upstreams.clock.now(),
    };
    let checked = verify::id_token(signed, &expected)?;

    let further = match provider.userinfo.filter(|_| oidc.userinfo) {
        None => None,
        Some(url) => {
            let userinfo = userinfo::fetch(&upstreams.fetcher, &url, &tokens.access_token).await?;
            verify::userinfo_subject(&checked, &userinfo)?;
            Some(userinfo)
        }
    };
    Ok(Proof::new(verify::oidc(upstream, checked, further.as_ref())?, Some(raw)))
}

/// The claims of a token that a key of the upstream signed.
///
/// # Errors
///
/// Where it is no such token.
pub(super) async fn signed(
    upstreams: &Upstreams,
    oidc: &Oidc,
    provider: &Provider,
    token: &str,
    kind: TokenKind,
) -> Result<SignedClaims, UpstreamError> {
    let unverified = UnverifiedToken::parse(token, kind, &oidc.algorithms)?;
    let keys = jwks::keys_for(
        &upstreams.key_sets,
        &upstreams.fetcher,
        &*upstreams.clock,
        (&oidc.keys, provider.jwks.as_ref()),
        unverified.key_id(),
        unverified.algorithm(),
    )
    .await?;
    unverified.signed_by(&keys)
}
