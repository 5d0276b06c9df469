//! From which single sign-on session a grant came: what outlives a request, and is not a session,
//! ends with it all the same.

use serde::{Deserialize, Serialize};

use super::Sso;
use crate::identity::Identity;

/// Where a grant came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Origin {
    /// The single sign-on session's id: the `sid` that the relying party gets.
    pub sid: String,
    /// Its family ([`Sso::family`]).
    pub family: String,
    /// The upstream that proved the identity.
    pub upstream: String,
    /// The identity's issuer.
    pub issuer: String,
    /// The identity's subject there.
    pub subject: String,
    /// The upstream's own session, where it told one.
    pub session: Option<String>,
    /// When the identity was proved, in seconds since 1970-01-01 UTC.
    pub began: u64,
}

impl Origin {
    /// That single sign-on session, with the identity that it holds.
    #[must_use]
    pub fn of(sso: &Sso) -> Self {
        let Identity { upstream, issuer, subject, .. } = sso.identity().clone();
        let session = sid(sso.identity()).map(str::to_owned);
        Self { sid: sso.id.clone(), family: sso.family.clone(), upstream, issuer, subject, session, began: sso.began }
    }
}

/// The upstream's own session, where it told one (OIDC Back-Channel Logout §2.1).
pub(super) fn sid(identity: &Identity) -> Option<&str> {
    identity.claims.get("sid").and_then(serde_json::Value::as_str)
}
