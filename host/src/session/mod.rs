//! What a browser holds after a login: sealed cookies, and the one-time ticket that
//! carries a session from the gateway's host to an application's.
//!
//! A [`Session`] is made from an [`Admission`] and from nothing else. Every cookie is
//! host-only. No cookie holds a token of an upstream. This module asks no policy and
//! speaks no HTTP.

mod cookie;
mod logout_tokens;
mod memories;
mod memory;
mod opened;
mod origin;
mod participants;
mod proven;
mod revoked;
mod rounds;
mod sso;
mod state;
mod ticket;

use serde::{Deserialize, Serialize};

pub use cookie::{CookieError, Jar, SetCookie, Slot};
pub use logout_tokens::LogoutTokens;
pub use memories::Memories;
pub use memory::{Expiring, Full};
pub use opened::Opened;
pub use origin::Origin;
pub use participants::{NameId, Participant, Participants, Role};
pub use proven::Proven;
pub use revoked::{Channel, Ended, Revoked};
pub use rounds::{Round, Rounds};
pub use sso::Sso;
pub use state::{Memory, State, StateError};
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
    /// The family of single sign-on sessions from which it came ([`Sso::family`]): ending
    /// that ends this one.
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
    /// Begins a session, with a fresh id. `parent` is the single sign-on
    /// session's family.
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

/// What the tests of sessions and logins share.
#[cfg(test)]
pub(crate) mod testing {
    use std::sync::{Arc, LazyLock};

    use crate::{
        clock::ManualClock,
        config,
        keys::{self, KeyRing},
    };

    /// When the tests happen.
    pub(crate) const NOW: u64 = 1_800_000_000;

    /// A key ring; the same one for every test, since making one takes its time.
    pub(crate) fn keys() -> Arc<KeyRing> {
        static KEYS: LazyLock<Arc<KeyRing>> = LazyLock::new(another_ring);
        Arc::clone(&KEYS)
    }

    /// Another gateway's key ring.
    pub(crate) fn another_ring() -> Arc<KeyRing> {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("keys");
        let clock = Arc::new(ManualClock::at(NOW));
        keys::generate(&directory, &*clock).unwrap();
        Arc::new(KeyRing::open(&config::Keys { directory }, clock).unwrap())
    }

    /// `[session]` with its defaults.
    pub(crate) fn config() -> config::Session {
        config::Session {
            lifetime: 28_800,
            idle: 3600,
            remember_lifetime: 2_592_000,
            remember: true,
            cookie_name: "vestibule".into(),
            cookie_chunks_max: 8,
            state_file: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{testing::NOW, *};
    use crate::{
        decision::{Admitted, Difference},
        identity::{Email, GroupClaim, Protocol},
    };

    fn admission(remember: bool) -> Admission {
        Admission::assertion(Admitted {
            login: "login-1".into(),
            application: "wiki".into(),
            tenant: "default".into(),
            generation: 7,
            identity: Identity {
                upstream: "corp".into(),
                protocol: Protocol::Oidc,
                issuer: "https://idp.example.com".into(),
                subject: "ann-1".into(),
                email: Some(Email { address: "ann@example.com".into(), verified: true }),
                groups: GroupClaim::Listed(vec!["g".into()]),
                auth_time: Some(NOW - 100),
                acr: Some("mfa".into()),
                amr: vec![],
                claims: BTreeMap::new(),
            },
            profile: Profile::default(),
            groups: Difference { groups: vec!["staff".into()], ..Difference::default() },
            terms: SessionTerms { lifetime: 1000, idle: 100, remember },
            at: NOW,
        })
    }

    #[test]
    fn a61_every_session_has_an_id_of_its_own() {
        let admission = admission(false);
        let [one, other] = [0, 1].map(|_| Session::begin(&admission, "parent", NOW).unwrap());
        assert_ne!(one.id, other.id);
        assert!(one.id.len() >= 43, "256 bits");
        assert_eq!((one.application.as_str(), one.groups), ("wiki", vec!["staff".to_owned()]));
    }

    #[test]
    fn a_session_ends_when_it_is_too_old_however_busy_it_was() {
        let mut session = Session::begin(&admission(false), "parent", NOW).unwrap();
        for at in (NOW..NOW + 1000).step_by(50) {
            assert!(session.is_live(at));
            session = session.renewed(at + 10).unwrap_or(session);
        }
        assert!(!session.is_live(NOW + 1000));
    }

    #[test]
    fn a_session_ends_when_it_is_left_alone() {
        let session = Session::begin(&admission(false), "parent", NOW).unwrap();
        assert!(session.is_live(NOW + 99));
        assert!(!session.is_live(NOW + 100));
    }

    #[test]
    fn a_session_from_the_future_is_not_live() {
        let session = Session::begin(&admission(false), "parent", NOW).unwrap();
        assert!(!session.is_live(NOW - 1));
    }

    #[test]
    fn the_cookie_is_issued_again_only_now_and_then() {
        let session = Session::begin(&admission(false), "parent", NOW).unwrap();
        assert_eq!(session.renewed(NOW + 5), None);
        let renewed = session.renewed(NOW + 6).unwrap();
        assert_eq!((renewed.seen, renewed.began, &renewed.id), (NOW + 6, NOW, &session.id));
    }

    #[test]
    fn the_cookie_survives_the_browser_only_where_it_is_to_be_remembered() {
        assert_eq!(Session::begin(&admission(false), "parent", NOW).unwrap().cookie_max_age(NOW), None);
        assert_eq!(Session::begin(&admission(true), "parent", NOW).unwrap().cookie_max_age(NOW + 400), Some(600));
    }

    #[test]
    fn a64_a_cookie_holds_no_token() {
        let session = Session::begin(&admission(false), "parent", NOW).unwrap();
        let sso = Sso::begin(&admission(false), None, None, 100, NOW).unwrap();
        for text in [serde_json::to_string(&session).unwrap(), serde_json::to_string(&sso).unwrap()] {
            for word in ["id_token", "access_token", "refresh_token", "code"] {
                assert!(!text.contains(word), "{word}");
            }
        }
    }

    #[test]
    fn single_sign_on_satisfies_only_what_was_proved() {
        let sso = Sso::begin(&admission(false), None, None, 1000, NOW).unwrap();
        let acr = |name: &str| vec![name.to_owned()];
        assert!(sso.satisfies(None, &[], NOW));
        assert!(sso.satisfies(Some(100), &acr("mfa"), NOW), "authenticated 100 seconds ago");
        assert!(!sso.satisfies(Some(99), &[], NOW));
        assert!(!sso.satisfies(None, &acr("phr"), NOW));
        assert!(!sso.satisfies(None, &[], NOW + 1000), "it has ended");
    }

    #[test]
    fn a61_a_new_single_sign_on_has_a_new_id_and_the_family_of_the_old_one() {
        let mut sso = Sso::begin(&admission(false), None, None, 1000, NOW).unwrap();
        for _ in 0..20 {
            let next = Sso::begin(&admission(false), None, Some(&sso), 1000, NOW).unwrap();
            assert_ne!(next.id, sso.id);
            assert_eq!(next.family, sso.family);
            assert_ne!(next.id, next.family);
            sso = next;
        }
        let another = Sso::begin(&admission(false), None, None, 1000, NOW).unwrap();
        assert_ne!(another.family, sso.family, "another browser's");
    }
}
