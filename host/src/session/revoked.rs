//! Sessions that were ended before their time. A session lives in its cookie, and a cookie
//! can be copied: ending one therefore means remembering that it ended.
//!
//! The memory is this process's own, and outlives it where the sessions' state is kept. Where it is not, a copied
//! cookie of an ended session lives until it expires after a restart; `docs/adr/0010-what-outlives-a-restart.md`
//! says so.

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::{
    Expiring, Origin,
    origin::sid,
    state::{Memory, State, StateError},
};
use crate::identity::Identity;

/// How many ended sessions are remembered. When there are more, those that would expire
/// first are forgotten.
const ENDED_SESSIONS_MAX: usize = 200_000;

/// The ended sessions, until they would have expired by themselves.
#[derive(Debug)]
pub struct Revoked {
    ids: RwLock<Expiring<String, ()>>,
    /// What upstreams proved to have ended.
    at_upstream: RwLock<Expiring<Ended, u64>>,
    /// What a browser said that an upstream ended: in a memory of its own, so that no stranger
    /// displaces what was proved.
    by_browser: RwLock<Expiring<Ended, u64>>,
    state: Arc<State>,
}

/// Sessions that an upstream ended: those that came from one of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The issuer's session of this `sid`.
    Session(String, String),
    /// All of this issuer's subject's.
    Subject(String, String),
}

/// How it is known that an upstream ended sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The upstream said so itself, and signed it.
    Back,
    /// A browser said so, which the upstream sent.
    Front,
}

impl Ended {
    /// One text for each.
    fn key(&self) -> String {
        let (kind, issuer, which) = match self {
            Self::Session(issuer, sid) => ("session", issuer, sid),
            Self::Subject(issuer, subject) => ("subject", issuer, subject),
        };
        // The length of the issuer, so that no two pairs are one.
        format!("{kind}/{}/{issuer}/{which}", issuer.len())
    }
}

impl Default for Revoked {
    fn default() -> Self {
        Self {
            ids: RwLock::new(Expiring::new(ENDED_SESSIONS_MAX)),
            at_upstream: RwLock::new(Expiring::new(ENDED_SESSIONS_MAX)),
            by_browser: RwLock::new(Expiring::new(ENDED_SESSIONS_MAX)),
            state: Arc::default(),
        }
    }
}

impl Revoked {
    /// With what `state` had at the start.
    pub(super) fn open(state: &Arc<State>, now: u64) -> Result<Self, StateError> {
        let revoked = Self { state: Arc::clone(state), ..Self::default() };
        for (id, until, ()) in state.take(Memory::Ended)? {
            write(&revoked.ids).insert_or_displace(id, (), until, now);
        }
        let memories = [(Memory::EndedAtUpstream, &revoked.at_upstream), (Memory::EndedByBrowser, &revoked.by_browser)];
        for (memory, all) in memories {
            for (_, until, (ended, at)) in state.take(memory)? {
                write(all).insert_or_displace(ended, at, until, now);
            }
        }
        Ok(revoked)
    }

    /// From now on `id` is over. `expires` is when it would have ended anyway.
    pub fn end(&self, id: &str, expires: u64, now: u64) {
        // Whoever comes again with an old cookie makes the state no longer.
        if expires <= now || self.has(id, now) {
            return;
        }
        write(&self.ids).insert_or_displace(id.to_owned(), (), expires, now);
        // Not while each request of each application waits; and of one id there is nothing that could come in the wrong order.
        self.state.put(Memory::Ended, id, &(), expires, now);
    }

    /// Was `id` ended?
    #[must_use]
    pub fn has(&self, id: &str, now: u64) -> bool {
        read(&self.ids).contains(id, now)
    }

    /// From now on those sessions are over: all that came from the upstream's one session, whenever
    /// they begin, and those of a subject that began until now. `expires` is when the last of
    /// them would have ended anyway.
    pub fn end_at_upstream(&self, ended: Ended, channel: Channel, expires: u64, now: u64) {
        let (memory, kept) = match channel {
            Channel::Back => (&self.at_upstream, Memory::EndedAtUpstream),
            Channel::Front => (&self.by_browser, Memory::EndedByBrowser),
        };
        write(memory).insert_or_displace(ended.clone(), now, expires, now);
        self.state.put(kept, &ended.key(), &(&ended, now), expires, now);
    }

    /// Is what came from there over?
    #[must_use]
    pub fn covers(&self, origin: &Origin, now: u64) -> bool {
        self.has(&origin.family, now)
            || self.ended(&origin.issuer, &origin.subject, origin.session.as_deref(), origin.began, now)
    }

    /// Did the upstream end the session with which `identity` was proved? Or all of the subject's, at
    /// `began` or later?
    #[must_use]
    pub fn ended_at_upstream(&self, identity: &Identity, began: u64, now: u64) -> bool {
        self.ended(&identity.issuer, &identity.subject, sid(identity), began, now)
    }

    fn ended(&self, issuer: &str, subject: &str, session: Option<&str>, began: u64, now: u64) -> bool {
        [&self.at_upstream, &self.by_browser].into_iter().any(|memory| {
            let memory = read(memory);
            // Asked for each request of each application, and nearly always in vain.
            if memory.is_empty() {
                return false;
            }
            session
                .map(|sid| Ended::Session(issuer.to_owned(), sid.to_owned()))
                .into_iter()
                .chain([Ended::Subject(issuer.to_owned(), subject.to_owned())])
                .any(|ended| {
                    // An ended session of theirs does not come back: a login that was under way when it
                    // ended brings one that is over. A subject does, with another session.
                    let whenever = matches!(ended, Ended::Session(..));
                    memory.get(&ended, now).is_some_and(|at| whenever || began <= *at)
                })
        })
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::identity::{GroupClaim, Protocol};

    fn identity(subject: &str, sid: Option<&str>) -> Identity {
        Identity {
            upstream: "corp".into(),
            protocol: Protocol::Oidc,
            issuer: "https://idp.example".into(),
            subject: subject.into(),
            email: None,
            groups: GroupClaim::Absent,
            auth_time: None,
            acr: None,
            amr: Vec::new(),
            claims: sid.map(|sid| ("sid".to_owned(), json!(sid))).into_iter().collect::<BTreeMap<_, _>>(),
        }
    }

    fn session(sid: &str) -> Ended {
        Ended::Session("https://idp.example".into(), sid.into())
    }

    fn subject(subject: &str) -> Ended {
        Ended::Subject("https://idp.example".into(), subject.into())
    }

    #[test]
    fn an_ended_session_ends_what_came_from_it_and_nothing_else() {
        let revoked = Revoked::default();
        revoked.end_at_upstream(session("s-1"), Channel::Back, 1000, 100);
        let over = |who: &Identity, began| revoked.ended_at_upstream(who, began, 101);
        assert!(over(&identity("ann", Some("s-1")), 50));
        assert!(over(&identity("ann", Some("s-1")), 100), "in the same second: over, to be safe");
        assert!(over(&identity("ann", Some("s-1")), 101), "proved before, begun afterwards");
        assert!(!over(&identity("ann", Some("s-2")), 50), "another session of hers");
        assert!(!over(&identity("ann", None), 50));
        let elsewhere = Identity { issuer: "https://another.example".into(), ..identity("ann", Some("s-1")) };
        assert!(!over(&elsewhere, 50), "another issuer's");
    }

    #[test]
    fn an_ended_subject_ends_all_of_its_sessions_until_they_would_have_expired() {
        let revoked = Revoked::default();
        revoked.end_at_upstream(subject("ann"), Channel::Back, 1000, 100);
        for sid in [None, Some("s-1"), Some("s-2")] {
            assert!(revoked.ended_at_upstream(&identity("ann", sid), 50, 101));
            assert!(!revoked.ended_at_upstream(&identity("ann", sid), 101, 102), "begun afterwards");
            assert!(!revoked.ended_at_upstream(&identity("bob", sid), 50, 101));
            assert!(!revoked.ended_at_upstream(&identity("ann", sid), 50, 1000), "forgotten");
        }
        // A subject is not a session of the same name.
        assert!(!revoked.ended_at_upstream(&identity("bob", Some("ann")), 50, 101));
    }

    #[test]
    fn what_browsers_say_displaces_nothing_that_was_proved() {
        let revoked = Revoked::default();
        revoked.end_at_upstream(session("s-1"), Channel::Back, 200, 100);
        for number in 0..=ENDED_SESSIONS_MAX {
            revoked.end_at_upstream(session(&format!("made-up-{number}")), Channel::Front, 1000, 100);
        }
        assert!(revoked.ended_at_upstream(&identity("ann", Some("s-1")), 50, 101));
        assert!(revoked.ended_at_upstream(&identity("ann", Some("made-up-7")), 50, 101));
    }
}
