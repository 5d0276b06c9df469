//! The single sign-on session: on the gateway's own host, who proved to be who. With it a
//! further application is entered without a trip to the upstream, but never without a
//! decision.

use serde::{Deserialize, Serialize};

use crate::{
    decision::Admission,
    identity::{Identity, VerifiedIdentity},
    secret::{NoRandomness, random_token},
};

/// Who the browser's person proved to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sso {
    /// Its own id: the `sid` that relying parties get.
    pub id: String,
    /// The same for all that follow one another in a browser, whoever they are: the `parent`
    /// of every session that comes from any of them. One logout ends them all.
    pub family: String,
    /// Who.
    pub(super) identity: Identity,
    /// What was typed on the identifier page, if it was asked.
    pub identifier: Option<String>,
    /// When the identity was proved to us, in seconds since 1970-01-01 UTC.
    pub began: u64,
    /// When it ends.
    pub expires: u64,
    /// Does it survive the browser?
    pub remember: bool,
}

impl Sso {
    /// Begins, with a fresh id. Only somebody who was admitted somewhere is remembered.
    ///
    /// # Errors
    ///
    /// Where there is no randomness.
    pub fn begin(
        admission: &Admission,
        identifier: Option<String>,
        before: Option<&Self>,
        lifetime: u32,
        began: u64,
    ) -> Result<Self, NoRandomness> {
        let family = match before {
            Some(before) => before.family.clone(),
            None => random_token()?,
        };
        Ok(Self {
            id: random_token()?,
            family,
            identity: admission.identity.clone(),
            identifier,
            began,
            expires: began + u64::from(lifetime),
            remember: admission.terms.remember,
        })
    }

    /// Who; verified when it was proved, and sealed since then.
    #[must_use]
    pub fn verified(&self) -> VerifiedIdentity {
        VerifiedIdentity::assertion(self.identity.clone())
    }

    /// Who, as data.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Is it good for what is asked: the subject authenticated within `max_age` seconds,
    /// and by one of `acr_values`, where that is asked?
    #[must_use]
    pub fn satisfies(&self, max_age: Option<u32>, acr_values: &[String], now: u64) -> bool {
        let new_enough = max_age.is_none_or(|seconds| {
            self.identity.auth_time.is_some_and(|at| now.saturating_sub(at) <= u64::from(seconds))
        });
        let strong_enough =
            acr_values.is_empty() || self.identity.acr.as_ref().is_some_and(|acr| acr_values.contains(acr));
        now < self.expires && new_enough && strong_enough
    }
}
