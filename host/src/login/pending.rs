//! A pending login: what must be remembered from one step to the next. It travels in a
//! sealed cookie of the gateway's host, one for each login, so that two tabs do not
//! disturb each other; and it says at which step the login stands, so that no step can be
//! skipped or taken twice.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use url::Url;

use super::{Wanted, second_factor};
use crate::{
    decision::Redirect,
    secret::{NoRandomness, random_bytes, random_token},
    session::Proven,
    upstream::Exchange,
};

/// How many logins may be pending in one browser; the oldest goes first.
pub(super) const PENDING_MAX: usize = 5;

/// A login that has begun and is not decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The login's id, as in the audit.
    pub(super) id: String,
    pub(super) application: String,
    pub(super) onward: Onward,
    /// The generation that decides it, from its first step to its last.
    pub(super) generation: u64,
    pub(super) expires: u64,
    pub(super) max_age: Option<u32>,
    pub(super) fresh: bool,
    #[serde(default)]
    pub(super) select_account: bool,
    pub(super) silent: bool,
    pub(super) login_hint: Option<String>,
    /// What the relying party asked for: a wish (OIDC Core §3.1.2.1).
    pub(super) acr_values: Vec<String>,
    /// What a policy's step-up asked for, here or on the application's host: a condition.
    pub(super) demanded_acr: Vec<String>,
    /// What was typed on the identifier page.
    pub(super) identifier: Option<String>,
    /// Upstreams that failed.
    pub(super) failed: Vec<String>,
    /// How often it was sent back for more.
    pub(super) step_ups: u8,
    pub(super) stage: Stage,
}

/// What follows a yes; checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Onward {
    ForwardAuth {
        /// The origin on which the ticket is redeemed.
        origin: Url,
        return_to: Url,
        /// The hash of the binding cookie.
        binding: String,
    },
    Oidc {
        request: String,
    },
    Saml {
        request: String,
    },
}

/// For what the login waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Stage {
    /// For nothing: it is being routed.
    Begun,
    /// For a choice among these.
    Choice { offered: Vec<Redirect> },
    /// For an identifier.
    Identifier,
    /// For a password, at this upstream of kind `local`.
    Local { upstream: String },
    /// For the second factor; with a secret, for one that is set up: by an app that shares the secret,
    /// or by a passkey. Where it is to resist phishing, a passkey alone will do.
    SecondFactor { proven: Box<Proven>, secret: Option<String>, phishing_resistant: bool },
    /// For the person to have seen the recovery codes.
    Enrolled { proven: Box<Proven> },
    /// For the callback.
    Upstream { state: String, exchange: Box<Exchange> },
}

impl Pending {
    pub(super) fn begin(
        wanted: Wanted,
        onward: Onward,
        generation: u64,
        now: u64,
        lifetime: u32,
    ) -> Result<Self, NoRandomness> {
        // A wish for our own second factor can be granted: it is one like a policy's.
        let Wanted { mut acr_values, mut demanded_acr, .. } = wanted;
        if demanded_acr.is_empty() && second_factor::answers(&acr_values) {
            std::mem::swap(&mut acr_values, &mut demanded_acr);
        }
        Ok(Self {
            id: new_id()?,
            application: wanted.application,
            onward,
            generation,
            expires: now + u64::from(lifetime),
            max_age: wanted.max_age,
            fresh: wanted.fresh,
            select_account: wanted.select_account,
            silent: wanted.silent,
            login_hint: wanted.login_hint,
            acr_values,
            demanded_acr,
            identifier: None,
            failed: Vec::new(),
            step_ups: 0,
            stage: Stage::Begun,
        })
    }

    /// A new `state` (RFC 6749 §10.12): whose login it is, and a secret.
    pub(super) fn new_state(&self) -> Result<String, NoRandomness> {
        Ok(format!("{}.{}", self.id, random_token()?))
    }

    /// Where the person wanted to go.
    pub(super) fn return_to(&self) -> Option<&str> {
        match &self.onward {
            Onward::ForwardAuth { return_to, .. } => Some(return_to.as_str()),
            Onward::Oidc { .. } | Onward::Saml { .. } => None,
        }
    }

    /// The origin on which a session would begin, and the page that follows a yes.
    pub(super) fn wanted(&self) -> Option<(&Url, &Url)> {
        match &self.onward {
            Onward::ForwardAuth { origin, return_to, .. } => Some((origin, return_to)),
            Onward::Oidc { .. } | Onward::Saml { .. } => None,
        }
    }

    /// The sealed request of a relying party or a service provider, if it asked.
    pub(super) fn request(&self) -> Option<&str> {
        match &self.onward {
            Onward::ForwardAuth { .. } => None,
            Onward::Oidc { request } | Onward::Saml { request } => Some(request),
        }
    }
}

/// A new login's id.
pub(super) fn new_id() -> Result<String, NoRandomness> {
    Ok(random_bytes::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The login's id out of a `state`, or out of a form's hidden field.
pub(super) fn read_id(text: &str) -> Option<&str> {
    let id = text.split_once('.').map_or(text, |(id, _)| id);
    let sound = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    sound.then_some(id)
}

/// Compares two states in a time that tells nothing of them.
pub(super) fn is_same_state(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_id_of_a_state_and_nothing_else() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(read_id(id), Some(id));
        assert_eq!(read_id(&format!("{id}.secret.more")), Some(id));
        for text in [
            "",
            ".",
            "x",
            "0123456789ABCDEF0123456789ABCDEF",
            "0123456789abcdef0123456789abcdef0",
            "0123456789abcdef0123456789abcde;",
            "<svg onload=alert(1)>",
            "0123456789abcdef0123456789abcde\u{e9}",
        ] {
            assert_eq!(read_id(text), None, "{text}");
        }
    }

    #[test]
    fn a40_a_state_is_compared_as_a_whole() {
        assert!(is_same_state("a.b", "a.b"));
        for other in ["", "a", "a.", "a.b ", "A.b", "a.bb"] {
            assert!(!is_same_state("a.b", other), "{other}");
        }
    }
}
