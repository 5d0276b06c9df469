//! Logouts that go through the browser: who is still to be told, and of whom an answer is awaited.
//!
//! The memory is within limits, and outlives the process where the sessions' state is kept. A logout that is forgotten
//! here goes on all the same: its way out is in the browser's cookie, and nobody is logged in any more.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{
    Expiring, Participant,
    state::{Memory, State, StateError},
};
use crate::secret::{NoRandomness, random_token};

/// Logouts at one time; those that would expire first go first.
const ROUNDS_MAX: usize = 20_000;

/// How often one service provider is asked, where the person comes back without its answer.
const ASKED_MAX: u32 = 5;

/// What is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Round {
    /// These are told all at once, in frames of one page. They do not answer.
    Frames(Vec<Participant>),
    /// This one is asked, and has not answered yet.
    Ask {
        /// The request's id, a new one each time: what the answer must name.
        id: String,
        /// Who.
        participant: Box<Participant>,
    },
    /// This one was asked too often.
    GivenUp(Box<Participant>),
    /// Nobody is left.
    Over,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Way {
    frames: Vec<Participant>,
    waiting: VecDeque<Participant>,
    asked: Option<Asked>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    id: String,
    participant: Participant,
    times: u32,
}

/// Every logout on its way.
#[derive(Debug)]
pub struct Rounds {
    ways: Mutex<Expiring<String, Way>>,
    state: Arc<State>,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { ways: Mutex::new(Expiring::new(ROUNDS_MAX)), state: Arc::default() }
    }
}

impl Rounds {
    /// With what `state` had at the start.
    pub(super) fn open(state: &Arc<State>, now: u64) -> Result<Self, StateError> {
        let mut ways = Expiring::new(ROUNDS_MAX);
        for (round, until, way) in state.take(Memory::Rounds)? {
            ways.insert_or_displace(round, way, until, now);
        }
        Ok(Self { ways: Mutex::new(ways), state: Arc::clone(state) })
    }

    /// Begins: `frames` are told at once, `waiting` one after the other.
    pub fn begin(&self, round: &str, frames: Vec<Participant>, waiting: Vec<Participant>, expires: u64, now: u64) {
        let way = Way { frames, waiting: waiting.into(), asked: None };
        let mut rounds = self.lock();
        self.state.put(Memory::Rounds, round, &way, expires, now);
        rounds.insert_or_displace(round.to_owned(), way, expires, now);
    }

    /// What is next. A request that has no answer yet is made anew, so that the one before counts
    /// no more.
    ///
    /// # Errors
    ///
    /// Where there is no randomness.
    pub fn next(&self, round: &str, now: u64) -> Result<Round, NoRandomness> {
        let mut rounds = self.lock();
        let until = rounds.until(round).unwrap_or_default();
        let Some(way) = rounds.get_mut(&round.to_owned(), now) else { return Ok(Round::Over) };
        let next = way.next(format!("_{}", random_token()?));
        self.state.put(Memory::Rounds, round, &way, until, now);
        Ok(next)
    }

    /// `application` answered the request `id`, or will not: who that was. None where it is not the one that
    /// is awaited: it came twice, or from somewhere else.
    #[must_use]
    pub fn settle(&self, round: &str, application: Option<&str>, id: &str, now: u64) -> Option<Participant> {
        let mut rounds = self.lock();
        let until = rounds.until(round)?;
        let way = rounds.get_mut(&round.to_owned(), now)?;
        let is_awaited = |asked: &mut Asked| {
            asked.id == id && application.is_none_or(|application| asked.participant.application == application)
        };
        let settled = way.asked.take_if(is_awaited).map(|asked| asked.participant);
        if settled.is_some() {
            self.state.put(Memory::Rounds, round, &way, until, now);
        }
        settled
    }

    /// Who has not been told yet of a logout that is over.
    #[must_use]
    pub fn end(&self, round: &str, now: u64) -> Vec<Participant> {
        let mut rounds = self.lock();
        let Some(Way { frames, waiting, asked }) = rounds.take(&round.to_owned(), now) else { return Vec::new() };
        self.state.forget(Memory::Rounds, round, now);
        frames.into_iter().chain(asked.map(|asked| asked.participant)).chain(waiting).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Expiring<String, Way>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    /// Who is next; `id` is that of a request, should it come to one.
    fn next(&mut self, id: String) -> Round {
        if !self.frames.is_empty() {
            return Round::Frames(std::mem::take(&mut self.frames));
        }
        let (participant, times) = match self.asked.take() {
            Some(Asked { participant, times: ASKED_MAX.., .. }) => return Round::GivenUp(Box::new(participant)),
            Some(Asked { participant, times, .. }) => (participant, times + 1),
            None => match self.waiting.pop_front() {
                Some(participant) => (participant, 1),
                None => return Round::Over,
            },
        };
        self.asked = Some(Asked { id: id.clone(), participant: participant.clone(), times });
        Round::Ask { id, participant: Box::new(participant) }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{NameId, Origin, Role},
        *,
    };

    fn provider(application: &str) -> Participant {
        Participant {
            tenant: "default".into(),
            application: application.into(),
            role: Role::ServiceProvider {
                entity_id: application.into(),
                name_id: NameId { value: "ann".into(), format: "f".into(), qualifiers: None },
            },
            front_channel: true,
            origin: Origin::default(),
        }
    }

    fn asked(rounds: &Rounds) -> (String, String) {
        match rounds.next("r", 1).unwrap() {
            Round::Ask { id, participant } => (id, participant.application),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_is_asked_after_the_one_before_and_answers_once() {
        let rounds = Rounds::default();
        rounds.begin("r", vec![provider("f")], vec![provider("a"), provider("b")], 100, 1);
        assert_eq!(rounds.next("r", 1).unwrap(), Round::Frames(vec![provider("f")]));
        let (first, a) = asked(&rounds);
        assert_eq!(a, "a");
        let (second, a) = asked(&rounds);
        assert_eq!(a, "a", "it has not answered");
        assert!(rounds.settle("r", Some("a"), &first, 1).is_none(), "an earlier request's");
        assert!(rounds.settle("r", Some("b"), &second, 1).is_none(), "another's word");
        assert!(rounds.settle("s", Some("a"), &second, 1).is_none(), "another browser's logout");
        assert_eq!(rounds.settle("r", Some("a"), &second, 1), Some(provider("a")));
        assert!(rounds.settle("r", Some("a"), &second, 1).is_none(), "a replay");
        let (third, b) = asked(&rounds);
        assert_eq!(b, "b");
        assert_eq!(rounds.settle("r", None, &third, 1), Some(provider("b")), "the person goes on without it");
        assert_eq!(rounds.next("r", 1).unwrap(), Round::Over);
    }

    #[test]
    fn one_that_never_answers_keeps_nobody_waiting_for_ever() {
        let rounds = Rounds::default();
        rounds.begin("r", vec![], vec![provider("a"), provider("b")], 100, 1);
        for _ in 0..ASKED_MAX {
            asked(&rounds);
        }
        assert_eq!(rounds.next("r", 1).unwrap(), Round::GivenUp(Box::new(provider("a"))));
        assert_eq!(asked(&rounds).1, "b");
        assert_eq!(rounds.end("r", 1), [provider("b")]);
        assert_eq!(rounds.next("r", 1).unwrap(), Round::Over);
    }

    #[test]
    fn what_is_forgotten_is_over() {
        let rounds = Rounds::default();
        rounds.begin("r", vec![], vec![provider("a")], 100, 1);
        assert_eq!(rounds.next("r", 100).unwrap(), Round::Over);
        assert_eq!(rounds.next("never", 1).unwrap(), Round::Over);
    }
}
