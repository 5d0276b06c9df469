//! Which relying parties were given a session that came from a single sign-on session: those that
//! must hear when that one is over.
//!
//! The memory is this process's own, and within limits: after a restart nobody is told of a session
//! that began before it (`docs/logout.md`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Ended, Expiring, Origin};

/// Families of single sign-on sessions at one time; those that would expire first go first.
const FAMILIES_MAX: usize = 50_000;

/// Relying parties of one family; the first goes first.
const PARTICIPANTS_MAX: usize = 64;

/// A relying party that was given a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Its organization.
    pub tenant: String,
    /// The application.
    pub application: String,
    /// The relying party.
    pub client_id: String,
    /// Which registration of it, where it was registered while the gateway runs.
    pub mark: Option<[u8; 32]>,
    /// `sub` toward it.
    pub subject: String,
    /// The session that it came from; `origin.sid` is the `sid` that it was given.
    pub origin: Origin,
}

/// The participants of every session.
#[derive(Debug)]
pub struct Participants(Mutex<Expiring<String, Vec<Participant>>>);

impl Default for Participants {
    fn default() -> Self {
        Self(Mutex::new(Expiring::new(FAMILIES_MAX)))
    }
}

impl Participants {
    /// Remembers `participant` until `expires`, when its session has ended by itself.
    pub fn join(&self, participant: Participant, expires: u64, now: u64) {
        let mut families = self.lock();
        let family = participant.origin.family.clone();
        let mut all = families.take(&family, now).unwrap_or_default();
        all.retain(|known| *known != participant);
        if all.len() >= PARTICIPANTS_MAX {
            all.remove(0);
            tracing::warn!("a session has more relying parties than are remembered: one will not hear of its end");
        }
        all.push(participant);
        families.insert_or_displace(family, all, expires, now);
    }

    /// The participants of a family, which is over.
    #[must_use]
    pub fn end(&self, family: &str, now: u64) -> Vec<Participant> {
        self.lock().take(&family.to_owned(), now).unwrap_or_default()
    }

    /// The participants of what an upstream ended.
    #[must_use]
    pub fn end_at_upstream(&self, ended: &Ended) -> Vec<Participant> {
        let mut gone = Vec::new();
        for all in self.lock().values_mut() {
            gone.extend(all.extract_if(.., |participant| is_of(&participant.origin, ended)));
        }
        gone
    }

    /// The participants with this origin.
    #[must_use]
    pub fn end_origin(&self, origin: &Origin, now: u64) -> Vec<Participant> {
        let mut families = self.lock();
        let Some(all) = families.get_mut(&origin.family, now) else { return Vec::new() };
        all.extract_if(.., |participant| participant.origin == *origin).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Expiring<String, Vec<Participant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_of(origin: &Origin, ended: &Ended) -> bool {
    match ended {
        Ended::Session(issuer, sid) => origin.issuer == *issuer && origin.session.as_ref() == Some(sid),
        Ended::Subject(issuer, subject) => origin.issuer == *issuer && origin.subject == *subject,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participant(client_id: &str, family: &str, session: Option<&str>) -> Participant {
        Participant {
            tenant: "default".into(),
            application: client_id.into(),
            client_id: client_id.into(),
            mark: None,
            subject: "s".into(),
            origin: Origin {
                sid: format!("sid-of-{family}"),
                family: family.into(),
                upstream: "corp".into(),
                issuer: "https://idp.example".into(),
                subject: "ann".into(),
                session: session.map(str::to_owned),
                began: 1,
            },
        }
    }

    fn names(gone: &[Participant]) -> Vec<&str> {
        gone.iter().map(|participant| participant.client_id.as_str()).collect()
    }

    #[test]
    fn the_end_of_a_family_is_told_once_to_each_of_its_own() {
        let participants = Participants::default();
        for (client, family) in [("a", "f"), ("b", "f"), ("a", "f"), ("c", "g")] {
            participants.join(participant(client, family, None), 100, 1);
        }
        assert_eq!(names(&participants.end("f", 2)), ["b", "a"]);
        assert!(participants.end("f", 2).is_empty());
        assert_eq!(names(&participants.end("g", 2)), ["c"]);
    }

    #[test]
    fn what_an_upstream_ends_ends_for_those_that_came_from_it() {
        let participants = Participants::default();
        for (client, family, session) in [("a", "f", Some("s-1")), ("b", "g", Some("s-2")), ("c", "h", None)] {
            participants.join(participant(client, family, session), 100, 1);
        }
        let idp = "https://idp.example".to_owned();
        assert!(participants.end_at_upstream(&Ended::Session("https://other.example".into(), "s-1".into())).is_empty());
        assert_eq!(names(&participants.end_at_upstream(&Ended::Session(idp.clone(), "s-1".into()))), ["a"]);
        assert!(participants.end_at_upstream(&Ended::Subject(idp.clone(), "bob".into())).is_empty());
        let mut rest = participants.end_at_upstream(&Ended::Subject(idp, "ann".into()));
        rest.sort_by(|left, right| left.client_id.cmp(&right.client_id));
        assert_eq!(names(&rest), ["b", "c"]);
    }

    #[test]
    fn no_more_are_remembered_than_the_limit() {
        let participants = Participants::default();
        for number in 0..=PARTICIPANTS_MAX {
            participants.join(participant(&format!("c{number}"), "f", None), 100, 1);
        }
        let gone = participants.end("f", 2);
        assert_eq!((gone.len(), gone[0].client_id.as_str()), (PARTICIPANTS_MAX, "c1"));
    }
}
