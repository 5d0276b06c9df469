//! Where an upstream's endpoints are: set by hand, or read from its discovery document
//! (OpenID Connect Discovery 1.0 §4, RFC 8414). What is set by hand wins.

use openidconnect::{
    AdditionalProviderMetadata, LogoutProviderMetadata, ProviderMetadata,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{
    cache::{Cache, Want},
    error::{UpstreamError, refuse},
    fetch::{Call, Fetcher},
    json,
};
use crate::{
    clock::Clock,
    config::{Keying, Oidc},
};

/// What a login needs to know of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Provider {
    /// RFC 6749 §3.1.
    pub(super) authorization: Url,
    /// RFC 6749 §3.2.
    pub(super) token: Url,
    /// OIDC Core §5.3.
    pub(super) userinfo: Option<Url>,
    /// OIDC RP-Initiated Logout §2.1.
    pub(super) end_session: Option<Url>,
    /// RFC 7517 §5; none where the key is static.
    pub(super) jwks: Option<Url>,
    /// It always sends `iss` in the callback (RFC 9207 §3).
    pub(super) sends_iss: bool,
    /// What it can be asked to ask the person (OpenID Connect Initiating User Registration 1.0 §4); none where it does
    /// not say.
    pub(super) prompts: Option<Vec<String>>,
}

impl Provider {
    /// Does it let the person choose an account? One that lists nothing is taken to.
    pub(super) fn lets_choose_an_account(&self) -> bool {
        self.prompts.as_ref().is_none_or(|prompts| prompts.iter().any(|prompt| prompt == "select_account"))
    }
}

/// The documents, by URL.
pub(super) type Documents = Cache<Metadata>;

/// What later specifications added to the document.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Added {
    /// RFC 9207 §3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    /// OpenID Connect Initiating User Registration 1.0 §4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prompt_values_supported: Option<Vec<String>>,
}

impl AdditionalProviderMetadata for Added {}

/// A discovery document. Its issuer is not yet compared with anything.
pub(super) type Metadata = ProviderMetadata<
    LogoutProviderMetadata<Added>,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// The endpoints of `oidc`.
///
/// # Errors
///
/// Where the document cannot be had, is not about this issuer, or names an endpoint that
/// may not be used; where an endpoint is neither named nor set by hand.
pub(super) async fn provider(
    documents: &Documents,
    fetcher: &Fetcher,
    clock: &dyn Clock,
    oidc: &Oidc,
) -> Result<Provider, UpstreamError> {
    let metadata = match &oidc.discovery {
        None => None,
        Some(url) => {
            let metadata = documents.document(url.as_str(), clock, Want::Cached, || load(fetcher, url)).await?;
            // Compared at each use, since two upstreams may share a document. Byte for
            // byte (Discovery §4.3): `https://op.example` and `https://op.example/` are
            // two issuers.
            if metadata.issuer().as_str() != oidc.issuer {
                return Err(refuse("discovery-issuer-mismatch", "the discovery document is another issuer's"));
            }
            Some(metadata)
        }
    };
    let metadata = metadata.as_deref();
    let discovered = |by_hand: &Option<Url>, name: &'static str, found: Option<&Url>| match (by_hand, found) {
        (Some(url), _) => Ok(Some(url.clone())),
        (None, Some(url)) => usable(oidc, name, url).map(|()| Some(url.clone())),
        (None, None) => Ok(None),
    };
    let required = |name: &'static str, url: Option<Url>| {
        url.ok_or_else(|| refuse("endpoint-missing", format!("neither set by hand nor discovered: {name}")))
    };
    let by_hand = &oidc.endpoints;
    let additional = metadata.map(ProviderMetadata::additional_metadata);
    let authorization = metadata.map(|metadata| metadata.authorization_endpoint().url());
    let token = metadata.and_then(|metadata| metadata.token_endpoint()).map(|url| url.url());
    let userinfo = metadata.and_then(|metadata| metadata.userinfo_endpoint()).map(|url| url.url());
    let end_session = additional.and_then(|more| more.end_session_endpoint.as_ref()).map(|url| url.url());
    let jwks = match &oidc.keys {
        Keying::Static(_) => None,
        Keying::JwksUri(url) => Some(url.clone()),
        Keying::Discovered => {
            let found = discovered(&None, "jwks_uri", metadata.map(|metadata| metadata.jwks_uri().url()))?;
            Some(required("jwks_uri", found)?)
        }
    };
    Ok(Provider {
        authorization: required(
            "authorization_endpoint",
            discovered(&by_hand.authorization, "authorization_endpoint", authorization)?,
        )?,
        token: required("token_endpoint", discovered(&by_hand.token, "token_endpoint", token)?)?,
        userinfo: discovered(&by_hand.userinfo, "userinfo_endpoint", userinfo)?,
        end_session: discovered(&by_hand.end_session, "end_session_endpoint", end_session)?,
        jwks,
        sends_iss: additional
            .is_some_and(|more| more.additional_metadata.authorization_response_iss_parameter_supported),
        prompts: additional.and_then(|more| more.additional_metadata.prompt_values_supported.clone()),
    })
}

async fn load(fetcher: &Fetcher, url: &Url) -> Result<Metadata, UpstreamError> {
    let answer = fetcher.send(Call::document("discovery document", url)).await?;
    if answer.status != http::StatusCode::OK {
        return Err(refuse("discovery-status", format!("the discovery document answers {}", answer.status.as_u16())));
    }
    let document =
        json::object(&answer.body).map_err(|error| refuse("discovery-malformed", format!("not readable: {error}")))?;
    // The error of the conversion may quote the document, so it is left out.
    Metadata::deserialize(Value::Object(document))
        .map_err(|_| refuse("discovery-malformed", "a required member is missing or of the wrong type"))
}

/// A discovered endpoint is https where the issuer is, and has neither credentials nor a
/// fragment: whoever can change one document must not be able to send codes and secrets
/// in clear.
fn usable(oidc: &Oidc, name: &str, url: &Url) -> Result<(), UpstreamError> {
    let secure = url.scheme() == "https" || (url.scheme() == "http" && oidc.issuer.starts_with("http://"));
    if !secure {
        return Err(refuse("discovery-endpoint-insecure", format!("{name} is not https although the issuer is")));
    }
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("discovery-endpoint-refused", format!("{name} has credentials or a fragment")));
    }
    Ok(())
}
