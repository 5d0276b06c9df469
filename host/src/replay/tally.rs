//! What differs between the recorded decisions and the candidate's, counted. Each thread has a [`Tally`] of its
//! own; together they are the same whatever each of them was given.

use std::collections::BTreeMap;

use serde::Serialize;

use super::power::Holders;
use crate::{
    decision::{Answered, Conclusion, Decided, Denial, Direction, Hook, WayChosen},
    identity::Identity,
    login::Again,
};

/// What came of a decision, as far as it matters to the person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Admitted,
    /// By this code, in the words of this policy, at this hook.
    Denied(String, Option<String>, Option<Hook>),
    /// Sent back for more, or for a newer proof.
    SentBack(String),
    /// On the way: to an upstream, to a page.
    Sent(String),
}

/// A change of that, in one application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub(super) application: String,
    pub(super) from: State,
    pub(super) to: State,
}

/// Issuer and subject; for the way, what was typed.
pub(super) type Who = (String, String);

/// How often somebody was in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) email: Option<String>,
    pub(super) logins: u64,
    /// The first of the logins' ids, in the order of the alphabet.
    pub(super) example: String,
}

/// People, and the logins of nobody in particular.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct People {
    pub(super) logins: u64,
    pub(super) by_name: BTreeMap<Who, Times>,
}

impl People {
    fn note(&mut self, who: Option<(Who, Option<String>)>, login: &str) {
        self.logins += 1;
        if let Some((who, email)) = who {
            let times = Times { email, logins: 1, example: login.to_owned() };
            self.put(who, times);
        }
    }

    fn put(&mut self, who: Who, times: Times) {
        match self.by_name.get_mut(&who) {
            None => drop(self.by_name.insert(who, times)),
            Some(known) => {
                known.logins += times.logins;
                known.example = std::mem::take(&mut known.example).min(times.example);
                known.email = match (known.email.take(), times.email) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.logins += other.logins;
        for (who, times) in other.by_name {
            self.put(who, times);
        }
    }
}

/// Who gets a group, and who loses it.
#[derive(Clone, Debug, Default)]
pub(super) struct Moves {
    pub(super) gained: People,
    pub(super) lost: People,
}

/// Where a policy of the candidate fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FaultPlace {
    pub(super) application: String,
    pub(super) policy: String,
    pub(super) hook: Option<Hook>,
    pub(super) code: String,
}

/// How often, and in what words: those of the first login, in the order of the alphabet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FaultTimes {
    pub(super) logins: u64,
    /// Decisions that failed when they were recorded, too.
    pub(super) before: u64,
    pub(super) example: (String, String),
}

/// What one thread counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) decisions: u64,
    pub(super) ways: u64,
    pub(super) same: u64,
    pub(super) looked_up: u64,
    pub(super) profiles: u64,
    pub(super) terms: u64,
    pub(super) with_groups: u64,
    pub(super) by_generation: BTreeMap<String, u64>,
    pub(super) changes: BTreeMap<Change, People>,
    pub(super) groups: BTreeMap<(String, String), Moves>,
    pub(super) faults: BTreeMap<FaultPlace, FaultTimes>,
    pub(super) holders: Holders,
}

impl Tally {
    /// Compares what was decided with what the candidate decides.
    pub(super) fn login(&mut self, decided: &Decided, again: &Again) {
        let context = &decided.asked.context;
        let identity = &decided.asked.identity;
        self.decisions += 1;
        self.looked_up += u64::from(again.looked_up);
        self.of_generation(&decided.generation);
        let (before, after) = (state(&decided.conclusion), state(&again.conclusion));
        if let Conclusion::Admitted(granted) = &decided.conclusion {
            self.holders.note(&context.application, identity, &granted.groups.groups);
        }
        self.fault(&context.application, &context.login, &again.conclusion, &decided.conclusion);
        let way = decided.asked.routed.as_ref().map(|routed| Ok(routed.direction.clone()));
        let is_sent_elsewhere = match (&way, &again.direction) {
            (Some(before), Some(after)) => before != after,
            _ => false,
        };
        let mut is_same = true;
        if before != after {
            is_same = false;
            self.change(&context.application, before, after, Some(person(identity)), &context.login);
        } else if is_sent_elsewhere && let (Some(before), Some(after)) = (&way, &again.direction) {
            is_same = false;
            self.change(
                &context.application,
                direction_state(before),
                direction_state(after),
                Some(person(identity)),
                &context.login,
            );
        }
        is_same &= self.compare_granted(decided, again);
        self.same += u64::from(is_same);
    }

    /// Compares which way was chosen with the way that the candidate chooses.
    pub(super) fn way(&mut self, chosen: &WayChosen, again: &Result<Direction, Denial>) {
        self.ways += 1;
        self.of_generation(&chosen.generation);
        let context = &chosen.context;
        if let Err(denial) = again {
            let failed = Conclusion::Denied(denial.clone());
            let before = chosen.direction.as_ref().err().map(|denial| Conclusion::Denied(denial.clone()));
            self.fault(&context.application, &context.login, &failed, before.as_ref().unwrap_or(&Conclusion::Stale));
        }
        if is_same_way(&chosen.direction, again) {
            self.same += 1;
            return;
        }
        let who = chosen.attempt.identifier.clone().map(|typed| ((String::new(), typed), None));
        let (before, after) = (direction_state(&chosen.direction), direction_state(again));
        self.change(&context.application, before, after, who, &context.login);
    }

    /// Takes in what another thread counted.
    pub(super) fn add(&mut self, other: Self) {
        self.decisions += other.decisions;
        self.ways += other.ways;
        self.same += other.same;
        self.looked_up += other.looked_up;
        self.profiles += other.profiles;
        self.terms += other.terms;
        self.with_groups += other.with_groups;
        for (generation, times) in other.by_generation {
            *self.by_generation.entry(generation).or_default() += times;
        }
        for (change, people) in other.changes {
            self.changes.entry(change).or_default().add(people);
        }
        for (group, moves) in other.groups {
            let known = self.groups.entry(group).or_default();
            known.gained.add(moves.gained);
            known.lost.add(moves.lost);
        }
        for (place, times) in other.faults {
            self.put_fault(place, times);
        }
        self.holders.add(other.holders);
    }

    fn of_generation(&mut self, generation: &str) {
        match self.by_generation.get_mut(generation) {
            Some(times) => *times += 1,
            None => drop(self.by_generation.insert(generation.to_owned(), 1)),
        }
    }

    fn change(&mut self, application: &str, from: State, to: State, who: Option<(Who, Option<String>)>, login: &str) {
        let change = Change { application: application.to_owned(), from, to };
        self.changes.entry(change).or_default().note(who, login);
    }

    /// What a yes comes with. True where it comes with the same.
    fn compare_granted(&mut self, decided: &Decided, again: &Again) -> bool {
        let groups = |conclusion: &Conclusion| match conclusion {
            Conclusion::Admitted(granted) => Some(granted.groups.groups.clone()),
            Conclusion::Denied(_) => Some(Vec::new()),
            // Not over yet: another decision follows.
            Conclusion::Stale | Conclusion::StepUp(_) => None,
        };
        let (Some(before), Some(after)) = (groups(&decided.conclusion), groups(&again.conclusion)) else { return true };
        let context = &decided.asked.context;
        let who = || Some(person(&decided.asked.identity));
        let mut is_same = true;
        for group in after.iter().filter(|group| !before.contains(group)) {
            is_same = false;
            let key = (context.application.clone(), group.clone());
            self.groups.entry(key).or_default().gained.note(who(), &context.login);
        }
        for group in before.iter().filter(|group| !after.contains(group)) {
            is_same = false;
            let key = (context.application.clone(), group.clone());
            self.groups.entry(key).or_default().lost.note(who(), &context.login);
        }
        self.with_groups += u64::from(!is_same);
        if let (Conclusion::Admitted(before), Conclusion::Admitted(after)) = (&decided.conclusion, &again.conclusion) {
            let (profile, terms) = (before.profile != after.profile, before.terms != after.terms);
            self.profiles += u64::from(profile);
            self.terms += u64::from(terms);
            is_same &= !profile && !terms;
        }
        is_same
    }

    fn fault(&mut self, application: &str, login: &str, after: &Conclusion, before: &Conclusion) {
        let Conclusion::Denied(denial) = after else { return };
        let Some(policy) = denial.policy.as_ref().filter(|_| denial.is_fault()) else { return };
        let was_there = matches!(before, Conclusion::Denied(before) if before.is_fault());
        let place = FaultPlace {
            application: application.to_owned(),
            policy: policy.clone(),
            hook: denial.hook,
            code: denial.code.name(),
        };
        let detail = if denial.reason.code == place.code {
            denial.reason.detail.clone()
        } else {
            format!("{}: {}", denial.reason.code, denial.reason.detail)
        };
        let example = (login.to_owned(), detail);
        self.put_fault(place, FaultTimes { logins: 1, before: u64::from(was_there), example });
    }

    fn put_fault(&mut self, place: FaultPlace, times: FaultTimes) {
        match self.faults.get_mut(&place) {
            None => drop(self.faults.insert(place, times)),
            Some(known) => {
                known.logins += times.logins;
                known.before += times.before;
                if times.example < known.example {
                    known.example = times.example;
                }
            }
        }
    }
}

fn person(identity: &Identity) -> (Who, Option<String>) {
    let email = identity.email.as_ref().map(|email| email.address.clone());
    ((identity.issuer.clone(), identity.subject.clone()), email)
}

fn state(conclusion: &Conclusion) -> State {
    match conclusion {
        Conclusion::Admitted(_) => State::Admitted,
        Conclusion::Denied(denial) => denied(denial),
        Conclusion::Stale => State::SentBack("newer-proof".to_owned()),
        Conclusion::StepUp(step_up) => {
            let reasons: Vec<&str> = step_up.reasons.iter().map(|reason| reason.code.as_str()).collect();
            State::SentBack(reasons.join(", "))
        }
    }
}

fn denied(denial: &Denial) -> State {
    // A policy's own word says more than that it was one.
    let code = if denial.is_fault() { denial.code.name() } else { denial.reason.code.clone() };
    State::Denied(code, denial.policy.clone(), denial.hook)
}

fn direction_state(direction: &Result<Direction, Denial>) -> State {
    match direction {
        Ok(Direction::Refuse(reason)) => State::Denied(reason.code.clone(), None, Some(Hook::Route)),
        Err(denial) => denied(denial),
        Ok(direction) => State::Sent(in_words(direction)),
    }
}

/// Two ways are one where they are the same to the person; a policy's own words for a no may differ in detail.
fn is_same_way(one: &Result<Direction, Denial>, other: &Result<Direction, Denial>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            one == other || (in_words(one) == in_words(other) && matches!(one, Direction::Refuse(_)))
        }
        _ => direction_state(one) == direction_state(other),
    }
}

fn in_words(direction: &Direction) -> String {
    let details = |redirect: &crate::decision::Redirect| {
        let mut text = redirect.upstream.clone();
        if !redirect.acr_values.is_empty() {
            text.push_str(&format!(" with acr {}", redirect.acr_values.join(" ")));
        }
        if let Some(seconds) = redirect.max_age {
            text.push_str(&format!(" not older than {seconds} s"));
        }
        text
    };
    match direction {
        Direction::ApplicationForm => "to the application's own form".to_owned(),
        Direction::AskIdentifier => "to the page that asks for an identifier".to_owned(),
        Direction::Choose(offered) => {
            format!("to a choice of {}", offered.iter().map(details).collect::<Vec<_>>().join(", "))
        }
        Direction::LocalForm => "to the gateway's own form".to_owned(),
        Direction::Redirect(redirect) => format!("to upstream {}", details(redirect)),
        Direction::Refuse(reason) => format!("refused: {}", reason.code),
    }
}

/// The instructions that a decision took.
pub(super) fn fuel(answers: &[Answered]) -> u64 {
    answers.iter().map(|answer| answer.fuel).sum()
}
