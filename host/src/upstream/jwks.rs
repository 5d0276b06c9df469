//! Where an upstream's keys come from: its configuration, or its key set.

use jsonwebtoken::Algorithm;
use url::Url;

use super::{
    cache::{Cache, Want},
    error::{UpstreamError, refuse},
    fetch::{Call, Fetcher},
    json,
};
use crate::{
    clock::Clock,
    config::Keying,
    jose::{Fault, Key, KeySet},
};

/// Key sets, by URL.
pub(super) type KeySets = Cache<KeySet>;

impl From<Fault> for UpstreamError {
    fn from(fault: Fault) -> Self {
        refuse(fault.code, fault.detail)
    }
}

/// The keys for a token with this header: if the set in hand lacks the key, a newer one is
/// fetched, at most once in a while.
///
/// # Errors
///
/// As [`KeySet::candidates`], or why there is no set.
pub(super) async fn keys_for(
    sets: &KeySets,
    fetcher: &Fetcher,
    clock: &dyn Clock,
    source: (&Keying, Option<&Url>),
    id: Option<&str>,
    algorithm: Algorithm,
) -> Result<Vec<Key>, UpstreamError> {
    let owned = |keys: Vec<&Key>| keys.into_iter().cloned().collect();
    let url = match source {
        (Keying::Static(text), _) => return Ok(owned(KeySet::from_text(text)?.candidates(id, algorithm)?)),
        (_, Some(url)) => url,
        (_, None) => return Err(refuse("endpoint-missing", "neither set by hand nor discovered: jwks_uri")),
    };
    let mut set = sets.document(url.as_str(), clock, Want::Cached, || load(fetcher, url)).await?;
    if matches!(set.candidates(id, algorithm), Err(error) if error.code == "key-unknown") {
        set = sets.document(url.as_str(), clock, Want::Newer, || load(fetcher, url)).await?;
    }
    Ok(owned(set.candidates(id, algorithm)?))
}

async fn load(fetcher: &Fetcher, url: &Url) -> Result<KeySet, UpstreamError> {
    let answer = fetcher.send(Call::document("key set", url)).await?;
    if answer.status != http::StatusCode::OK {
        return Err(refuse("jwks-status", format!("the key set answers {}", answer.status.as_u16())));
    }
    let set =
        json::object(&answer.body).map_err(|error| refuse("jwks-malformed", format!("the key set is {error}")))?;
    Ok(KeySet::from_set(&set)?)
}

#[cfg(test)]
#[path = "tests/jwks.rs"]
mod tests;
