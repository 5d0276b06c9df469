//! Sessions that were ended before their time. A session lives in its cookie, and a cookie
//! can be copied: ending one therefore means remembering that it ended.
//!
//! The memory is this process's own. After a restart a copied cookie of an ended session
//! would live until it expires; `docs/adr/0002-sessions-and-hosts.md` says so.

use std::sync::{PoisonError, RwLock};

use super::Expiring;

/// How many ended sessions are remembered. When there are more, those that would expire
/// first are forgotten.
const ENDED_SESSIONS_MAX: usize = 200_000;

/// The ids of ended sessions, until the sessions would have expired by themselves.
#[derive(Debug)]
pub struct Revoked(RwLock<Expiring<String, ()>>);

impl Default for Revoked {
    fn default() -> Self {
        Self(RwLock::new(Expiring::new(ENDED_SESSIONS_MAX)))
    }
}

impl Revoked {
    /// From now on `id` is over. `expires` is when it would have ended anyway.
    pub fn end(&self, id: &str, expires: u64, now: u64) {
        if expires > now {
            self.0.write().unwrap_or_else(PoisonError::into_inner).insert_or_displace(id.to_owned(), (), expires, now);
        }
    }

    /// Was `id` ended?
    #[must_use]
    pub fn has(&self, id: &str, now: u64) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(id, now)
    }
}
