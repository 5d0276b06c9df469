//! Which applications were given a session that came from a single sign-on session: those that
//! must hear when that one is over.
//!
//! The memory is within limits. It outlives the process where the sessions' state is kept; where it is not, nobody is
//! told after a restart of a session that began before it (`docs/logout.md`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{
    Ended, Expiring, Origin,
    state::{Memory, State, StateError},
};

/// Families of single sign-on sessions at one time; those that would expire first go first.
const FAMILIES_MAX: usize = 50_000;

/// Participants of one family; the first goes first.
const PARTICIPANTS_MAX: usize = 64;

/// An application that was given a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NameId {
    /// The name.
    pub value: String,
    /// `Format`
    pub format: String,
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
pub struct Participants {
    families: Mutex<Families>,
    state: Arc<State>,
}

type Families = Expiring<String, Vec<Participant>>;

impl Default for Participants {
    fn default() -> Self {
        Self { families: Mutex::new(Expiring::new(FAMILIES_MAX)), state: Arc::default() }
    }
}

impl Participants {
    /// With what `state` had at the start.
    pub(super) fn open(state: &Arc<State>, now: u64) -> Result<Self, StateError> {
        let mut families = Expiring::new(FAMILIES_MAX);
        for (family, until, all) in state.take(Memory::Participants)? {
            families.insert_or_displace(family, all, until, now);
        }
        Ok(Self { families: Mutex::new(families), state: Arc::clone(state) })
    }

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
        self.state.put(Memory::Participants, &family, &all, expires, now);
        families.insert_or_displace(family, all, expires, now);
    }

    /// The participants of a family, which is over, in its own browser.
    #[must_use]
    pub fn end(&self, family: &str, now: u64) -> Vec<Participant> {
        let mut families = self.lock();
        let gone = families.take(&family.to_owned(), now).unwrap_or_default();
        if !gone.is_empty() {
            self.state.forget(Memory::Participants, family, now);
        }
        gone
    }

    /// The participants of what an upstream ended. Those that are told by way of the browser are kept for it,
    /// too: it may come.
    #[must_use]
    pub fn end_at_upstream(&self, ended: &Ended, now: u64) -> Vec<Participant> {
        let mut families = self.lock();
        let parted = families.entries_mut().flat_map(|(family, until, all)| {
            let gone = part(all, |participant| is_of(&participant.origin, ended));
            self.keep(family, &gone, all, until, now);
            gone
        });
        parted.collect()
    }

    /// The participants with this origin; as [`Participants::end_at_upstream`].
    #[must_use]
    pub fn end_origin(&self, origin: &Origin, now: u64) -> Vec<Participant> {
        let mut families = self.lock();
        let until = families.until(origin.family.as_str()).unwrap_or_default();
        let Some(all) = families.get_mut(&origin.family, now) else { return Vec::new() };
        let gone = part(all, |participant| participant.origin == *origin);
        self.keep(&origin.family, &gone, all, until, now);
        gone
    }

    /// Keeps who is left, where somebody is `gone`.
    fn keep(&self, family: &str, gone: &[Participant], left: &[Participant], until: u64, now: u64) {
        if !gone.is_empty() {
            self.state.put(Memory::Participants, family, &left, until, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Families> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(
            participants.end_at_upstream(&Ended::Session("https://other.example".into(), "s-1".into()), 1).is_empty()
        );
        assert_eq!(names(&participants.end_at_upstream(&Ended::Session(idp.clone(), "s-1".into()), 1)), ["a"]);
        assert!(participants.end_at_upstream(&Ended::Subject(idp.clone(), "bob".into()), 1).is_empty());
        let mut rest = participants.end_at_upstream(&Ended::Subject(idp, "ann".into()), 1);
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
        let name_id = NameId { value: name.into(), format: "f".into(), qualifiers: None };
        let role = Role::ServiceProvider { entity_id: "urn:sp".into(), name_id };
        Participant { role, front_channel: true, ..participant(application, family, Some("s-1")) }
    }

    #[test]
    fn what_is_told_by_way_of_the_browser_waits_for_it_where_the_upstream_ended_the_session() {
        let participants = Participants::default();
        participants.join(participant("a", "f", Some("s-1")), 100, 1);
        participants.join(provider("p", "f", "ann"), 100, 1);
        let ended = Ended::Session("https://idp.example".into(), "s-1".into());
        assert_eq!(names(&participants.end_at_upstream(&ended, 1)), ["a", "urn:sp"]);
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
