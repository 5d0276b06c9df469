//! A proof that is not decided on yet: who it is, as the pending login remembers it while a second
//! factor is asked for.

use serde::{Deserialize, Serialize};

use super::Sso;
use crate::{
    decision::Admission,
    identity::{Identity, VerifiedIdentity},
};

/// Somebody who was proved, on the way to be proved further.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proven {
    identity: Identity,
    /// When the identity was proved to us, in seconds since 1970-01-01 UTC.
    pub began: u64,
    /// The moment from which a `max_age` counts back.
    pub asked: u64,
    /// The id of the single sign-on session that proved it; none where an upstream just did.
    pub sso: Option<String>,
}

impl Proven {
    /// An upstream has just proved it.
    #[must_use]
    pub fn now(identity: &VerifiedIdentity, began: u64, asked: u64) -> Self {
        Self { identity: Identity::clone(identity), began, asked, sso: None }
    }

    /// A single sign-on session knew it.
    #[must_use]
    pub fn before(sso: &Sso, now: u64) -> Self {
        Self { identity: sso.identity().clone(), began: sso.began, asked: now, sso: Some(sso.id.clone()) }
    }

    /// Who, as data.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Who; verified when it was proved, and sealed since then.
    #[must_use]
    pub fn verified(&self) -> VerifiedIdentity {
        VerifiedIdentity::assertion(self.identity.clone())
    }

    /// The same, proved at `now` by a second factor of ours, too: by these methods (RFC 8176 §2), which
    /// come to this `acr`.
    #[must_use]
    pub fn with_second_factor(mut self, acr: &str, methods: &[&str], now: u64) -> Self {
        self.identity.acr = Some(acr.to_owned());
        self.identity.auth_time = Some(now);
        for method in methods {
            if !self.identity.amr.iter().any(|known| known == method) {
                self.identity.amr.push((*method).to_owned());
            }
        }
        self
    }
}

impl Sso {
    /// The same session, whose person was proved further. It ends when it would have ended, and its
    /// id stays: relying parties know it.
    #[must_use]
    pub fn proved_further(&self, admission: &Admission) -> Self {
        Self { identity: admission.identity.clone(), ..self.clone() }
    }
}
