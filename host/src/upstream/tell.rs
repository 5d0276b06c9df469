//! Our own logout tokens, on their way to relying parties: by the one HTTP client, within its limits.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use url::Url;

use super::{
    Upstreams,
    error::{UpstreamError, refuse},
    fetch::{Call, Redirects},
};
use crate::secret::Secret;

/// A logout token was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Why.
    pub error: UpstreamError,
    /// May it be otherwise in a while?
    pub may_pass: bool,
}

pub(super) async fn tell(upstreams: &Upstreams, to: &Url, token: &Secret<String>) -> Result<(), Untold> {
    let body =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", token.expose()).finish();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let call = Call {
        what: "back-channel logout endpoint",
        method: Method::POST,
        url: to.clone(),
        headers,
        body: Bytes::from(body),
        redirects: Redirects::Refuse,
    };
    match upstreams.fetcher.send(call).await {
        // §2.8 has 200, and knows frameworks that answer 204.
        Ok(answer) if answer.status.is_success() => Ok(()),
        Ok(answer) => Err(Untold {
            error: refuse("logout-not-taken", format!("the relying party answered {}", answer.status.as_u16())),
            may_pass: answer.status.is_server_error()
                || matches!(answer.status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS),
        }),
        Err(error) => {
            let may_pass = matches!(
                error.code,
                "fetch-broken-off" | "fetch-connection-failed" | "fetch-name-unresolved" | "fetch-timeout"
            );
            Err(Untold { error, may_pass })
        }
    }
}
