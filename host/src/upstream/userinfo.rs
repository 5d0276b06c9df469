//! The userinfo endpoint (OIDC Core §5.3), and GitHub's list of addresses beside it.
//!
//! What comes from here is protected by TLS alone, and is about whoever the access token
//! is for. A signed answer (`application/jwt`) comes only to clients that registered for
//! one; it is refused, since nothing here could make it count for more.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION},
};
use serde_json::{Map, Value};
use url::Url;

use super::{
    error::{UpstreamError, refuse},
    exchange::is_json,
    fetch::{Answer, Call, Fetcher, Redirects},
    json,
};
use crate::secret::Secret;

/// What the endpoint says. Unverified until its subject was compared.
///
/// # Errors
///
/// `userinfo-…`, by what is wrong with the answer.
pub(super) async fn fetch(
    fetcher: &Fetcher,
    url: &Url,
    access_token: &Secret<String>,
) -> Result<Map<String, Value>, UpstreamError> {
    let answer = ask(fetcher, "userinfo endpoint", url, access_token).await?;
    json::object(&answer.body).map_err(|error| match error {
        json::JsonError::Duplicate { .. } => refuse("claims-duplicate", "userinfo names a claim twice"),
        other => refuse("userinfo-malformed", format!("userinfo is {other}")),
    })
}

/// The primary address of a list of `{email, primary, verified}`, and whether it is
/// verified; none where no address is primary.
///
/// # Errors
///
/// As [`fetch`], and `emails-malformed`.
pub(super) async fn primary_address(
    fetcher: &Fetcher,
    url: &Url,
    access_token: &Secret<String>,
) -> Result<Option<(String, bool)>, UpstreamError> {
    let answer = ask(fetcher, "emails endpoint", url, access_token).await?;
    let malformed = |detail: String| refuse("emails-malformed", detail);
    let list = json::value(&answer.body).map_err(|error| malformed(format!("the list of addresses is {error}")))?;
    let list = list.as_array().ok_or_else(|| malformed("the list of addresses is no list".to_owned()))?;
    let mut primary = list.iter().filter(|item| item.get("primary") == Some(&Value::Bool(true)));
    match (primary.next(), primary.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(malformed("two addresses are primary".to_owned())),
        (Some(item), None) => {
            let address = item.get("email").and_then(Value::as_str);
            let address = address.ok_or_else(|| malformed("the primary address is no text".to_owned()))?;
            Ok(Some((address.to_owned(), item.get("verified") == Some(&Value::Bool(true)))))
        }
    }
}

async fn ask(
    fetcher: &Fetcher,
    what: &'static str,
    url: &Url,
    access_token: &Secret<String>,
) -> Result<Answer, UpstreamError> {
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", access_token.expose()))
        .map_err(|_| refuse("token-response-malformed", "the access token makes no header"))?;
    bearer.set_sensitive(true);
    let headers =
        HeaderMap::from_iter([(AUTHORIZATION, bearer), (ACCEPT, HeaderValue::from_static("application/json"))]);
    let redirects = Redirects::Refuse;
    let call = Call { what, method: Method::GET, url: url.clone(), headers, body: Bytes::new(), redirects };
    let answer = fetcher.send(call).await?;
    if answer.status != StatusCode::OK {
        return Err(refuse("userinfo-status", format!("the {what} answers {}", answer.status.as_u16())));
    }
    if answer.media_type == "application/jwt" {
        return Err(refuse("userinfo-jwt", "userinfo is a JWT; register this client for plain JSON"));
    }
    if !is_json(&answer.media_type) {
        return Err(refuse("userinfo-not-json", format!("the {what} answers without JSON")));
    }
    Ok(answer)
}
