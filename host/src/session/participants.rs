//! Which applications were given a session that came from a single sign-on session: those that
//! must hear when that one is over.
//!
//! The memory is this process's own, and within limits: after a restart nobody is told of a session
//! that began before it (`docs/logout.md`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Ended, Expiring, Origin};

/// Families of single sign-on sessions at one time; those that would expire first go first.
const FAMILIES_MAX: usize = 50_000;

/// Participants of one family; the first goes first.
const PARTICIPANTS_MAX: usize = 64;

/// An application that was given a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Its organization.
    pub tenant: String,
    /// The application.
    pub application: String,
    /// What it is to us.
    pub role: Role,
    /// Is it told by way of the browser, whatever else tells it?
    pub front_channel: bool,
    /// The session that it came from; `origin.sid` is the `sid`, or `SessionIndex`, that it was given.
    pub origin: Origin,
}

/// What a participant is, and how it knows the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A relying party of our OIDC provider.
    RelyingParty {
        /// The relying party.
        client_id: String,
        /// Which registration of it, where it was registered while the gateway runs.
        mark: Option<[u8; 32]>,
        /// `sub` toward it.
        subject: String,
    },
    /// A service provider of our SAML identity provider.
    ServiceProvider {
        /// Who it is.
        entity_id: String,
        /// What its assertion had.
        name_id: NameId,
    },
}

/// What names a subject toward a service provider (SAML Core §2.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameId {
    /// The name.
    pub value: String,
    /// `Format`
    pub format: &'static str,
    /// `NameQualifier` and `SPNameQualifier`, of names that are of one pair of providers.
    pub qualifiers: Option<(String, String)>,
}

impl Participant {
    /// Who it is, in its own protocol: a client's id, or an entity id.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.role {
            Role::RelyingParty { client_id, .. } => client_id,
            Role::ServiceProvider { entity_id, .. } => entity_id,
        }
    }

    /// Does `other` take this one's place? A service provider has one session in a browser: that of
    /// the last assertion.
    fn is_replaced_by(&self, other: &Self) -> bool {
        let same = matches!((&self.role, &other.role), (Role::ServiceProvider { .. }, Role::ServiceProvider { .. }))
            && self.application == other.application;
        same || self == other
    }
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
        all.retain(|known| !known.is_replaced_by(&participant));
        if all.len() >= PARTICIPANTS_MAX {
            all.remove(0);
            tracing::warn!("a session has more participants than are remembered: one will not hear of its end");
        }
        all.push(participant);
        families.insert_or_displace(family, all, expires, now);
    }

    /// The participants of a family, which is over, in its own browser.
    #[must_use]
    pub fn end(&self, family: &str, now: u64) -> Vec<Participant> {
        self.lock().take(&family.to_owned(), now).unwrap_or_default()
    }

    /// The participants of what an upstream ended. Those that are told by way of the browser are kept for it,
    /// too: it may come.
    #[must_use]
    pub fn end_at_upstream(&self, ended: &Ended) -> Vec<Participant> {
        let mut families = self.lock();
        families.values_mut().flat_map(|all| part(all, |participant| is_of(&participant.origin, ended))).collect()
    }

    /// The participants with this origin; as [`Participants::end_at_upstream`].
    #[must_use]
    pub fn end_origin(&self, origin: &Origin, now: u64) -> Vec<Participant> {
        let mut families = self.lock();
        let all = families.get_mut(&origin.family, now);
        all.map(|all| part(all, |participant| participant.origin == *origin)).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Expiring<String, Vec<Participant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn part(all: &mut Vec<Participant>, is_over: impl Fn(&Participant) -> bool) -> Vec<Participant> {
    let gone = all.iter().filter(|participant| is_over(participant)).cloned().collect();
    all.retain(|participant| participant.front_channel || !is_over(participant));
    gone
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
            role: Role::RelyingParty { client_id: client_id.into(), mark: None, subject: "s".into() },
            front_channel: false,
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
        gone.iter().map(|participant| participant.name()).collect()
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
        rest.sort_by(|left, right| left.name().cmp(right.name()));
        assert_eq!(names(&rest), ["b", "c"]);
    }

    #[test]
    fn no_more_are_remembered_than_the_limit() {
        let participants = Participants::default();
        for number in 0..=PARTICIPANTS_MAX {
            participants.join(participant(&format!("c{number}"), "f", None), 100, 1);
        }
        let gone = participants.end("f", 2);
        assert_eq!((gone.len(), gone[0].name()), (PARTICIPANTS_MAX, "c1"));
    }

    fn provider(application: &str, family: &str, name: &str) -> Participant {
        let name_id = NameId { value: name.into(), format: "f", qualifiers: None };
        let role = Role::ServiceProvider { entity_id: "urn:sp".into(), name_id };
        Participant { role, front_channel: true, ..participant(application, family, Some("s-1")) }
    }

    #[test]
    fn what_is_told_by_way_of_the_browser_waits_for_it_where_the_upstream_ended_the_session() {
        let participants = Participants::default();
        participants.join(participant("a", "f", Some("s-1")), 100, 1);
        participants.join(provider("p", "f", "ann"), 100, 1);
        let ended = Ended::Session("https://idp.example".into(), "s-1".into());
        assert_eq!(names(&participants.end_at_upstream(&ended)), ["a", "urn:sp"]);
        assert_eq!(names(&participants.end("f", 2)), ["urn:sp"]);
        assert!(participants.end("f", 2).is_empty());
    }

    #[test]
    fn a_service_provider_has_the_session_of_its_last_assertion() {
        let participants = Participants::default();
        for (application, name) in [("p", "_1"), ("q", "_2"), ("p", "_3")] {
            participants.join(provider(application, "f", name), 100, 1);
        }
        let gone = participants.end("f", 2);
        let names: Vec<&str> = gone
            .iter()
            .map(|participant| match &participant.role {
                Role::ServiceProvider { name_id, .. } => name_id.value.as_str(),
                Role::RelyingParty { .. } => panic!("{participant:?}"),
            })
            .collect();
        assert_eq!(names, ["_2", "_3"]);
    }
}
