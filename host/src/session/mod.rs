//! What a browser holds after a login: sealed cookies, and the one-time ticket that
//! carries a session from the gateway's host to an application's.
//!
//! A [`Session`] is made from an [`Admission`] and from nothing else. Every cookie is
//! host-only. No cookie holds a token of an upstream. This module asks no policy and
//! speaks no HTTP.

mod cookie;
mod memory;
mod revoked;
mod sso;
mod ticket;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use cookie::{CookieError, Jar, SetCookie, Slot};
pub use memory::{Expiring, Full};
pub use revoked::Revoked;
pub use sso::Sso;
pub use ticket::{Entry, TICKET_LIFETIME_S, Ticket, TicketError, Tickets, hash};

use crate::{
    decision::{Admission, Profile, SessionTerms},
    identity::Identity,
    secret::{NoRandomness, random_token},
};

/// The cookie is re-issued when this part of the idle time has passed: a sixteenth.
const REISSUE_PART: u64 = 16;

/// A login to one application, as its cookie remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The session's own public id (never the cookie).
    pub id: String,
    /// The single sign-on session from which it came: ending that ends this one.
    pub parent: String,
    /// The application.
    pub application: String,
    /// The tenant.
    pub tenant: String,
    /// The login's id, as in the audit.
    pub login: String,
    /// The generation that admitted.
    pub generation: u64,
    /// Who, as the upstream stated it.
    pub identity: Identity,
    /// Who, to the application.
    pub profile: Profile,
    /// The groups in the application, sorted.
    pub groups: Vec<String>,
    /// For how long.
    pub terms: SessionTerms,
    /// When it began, in seconds since 1970-01-01 UTC.
    pub began: u64,
    /// When it was last seen; no newer than the cookie.
    pub seen: u64,
}

impl Session {
    /// Begins a session, with a fresh id. `parent` is the single sign-on session's id.
    ///
    /// # Errors
    ///
    /// Where there is no randomness.
    pub fn begin(admission: &Admission, parent: &str, now: u64) -> Result<Self, NoRandomness> {
        Ok(Self {
            id: random_token()?,
            parent: parent.to_owned(),
            application: admission.application.clone(),
            tenant: admission.tenant.clone(),
            login: admission.login.clone(),
            generation: admission.generation,
            identity: admission.identity.clone(),
            profile: admission.profile.clone(),
            groups: admission.groups.groups.clone(),
            terms: admission.terms,
            began: now,
            seen: now,
        })
    }

    /// When it ends, whatever happens.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.began.saturating_add(u64::from(self.terms.lifetime))
    }

    /// Is it neither too old nor left alone for too long? A session from the future is not
    /// live: the clock that made it cannot be trusted.
    #[must_use]
    pub fn is_live(&self, now: u64) -> bool {
        let idle_until = self.seen.saturating_add(u64::from(self.terms.idle));
        self.began <= now && now < self.expires() && now < idle_until
    }

    /// The session as seen now, where that is worth a new cookie.
    #[must_use]
    pub fn renewed(&self, now: u64) -> Option<Self> {
        let due = (u64::from(self.terms.idle) / REISSUE_PART).max(1);
        (now.saturating_sub(self.seen) >= due).then(|| Self { seen: now, ..self.clone() })
    }

    /// The cookie's `Max-Age`: none lets it end with the browser.
    #[must_use]
    pub fn cookie_max_age(&self, now: u64) -> Option<u64> {
        self.terms.remember.then(|| self.expires().saturating_sub(now))
    }
}
