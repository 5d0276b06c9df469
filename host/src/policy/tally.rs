//! How a generation does: what it was asked, and how often its policies failed at that.
//!
//! Counts, and says when it is too much. What follows from that is not decided here.

use std::{
    collections::{BTreeMap, HashSet, hash_map::RandomState},
    fmt,
    hash::BuildHasher as _,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use serde::Serialize;

use crate::{config::Rollback, decision::DenyCode, identity::Identity};

/// People whose failures are told apart; one more is a new one each time.
const PEOPLE_MAX: usize = 4096;

/// Kinds of failures that are told apart, by policy and code.
const FAILURES_MAX: usize = 64;

/// What was asked. Each is counted apart: a thousand requests say nothing of logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matter {
    /// The way to an upstream.
    Way,
    /// A login.
    Login,
    /// A request of a live session, or its end.
    Request,
}

/// How often one policy failed in one manner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failing {
    /// The configured name.
    pub policy: String,
    /// How it failed.
    pub code: DenyCode,
    /// How often.
    pub times: u64,
}

/// A generation that failed too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failed {
    /// What it failed at.
    pub matter: Matter,
    /// How often it was asked that; a person whose failures came again counts once.
    pub decisions: u64,
    /// In how many of these a policy failed.
    pub faults: u64,
    /// Of all matters.
    pub policies: Vec<Failing>,
}

/// One decision that is over.
pub(super) struct Seen<'a> {
    pub(super) matter: Matter,
    /// The policy that failed, and how.
    pub(super) fault: Option<(&'a str, DenyCode)>,
    /// Whom it concerned ([`Tally::who`]), where that is known.
    pub(super) who: Option<u64>,
}

/// Counts the decisions of one generation.
#[derive(Default)]
pub(super) struct Tally {
    way: Count,
    login: Count,
    request: Count,
    details: Mutex<Details>,
    people: RandomState,
    probation: OnceLock<Probation>,
    /// The probation has ended, one way or the other.
    is_over: AtomicBool,
}

#[derive(Default)]
struct Count {
    decisions: AtomicU64,
    faults: AtomicU64,
    /// Of these faults: of somebody who had one already.
    repeated: AtomicU64,
}

#[derive(Default)]
struct Details {
    failures: BTreeMap<(String, String), (DenyCode, u64)>,
    people: HashSet<(Matter, u64)>,
}

/// What a new generation is held to.
struct Probation {
    terms: Rollback,
    /// Says whether it is still on probation.
    lasts: Box<dyn Fn() -> bool + Send + Sync>,
    /// Called once, on the thread of the decision that was one too many.
    alarm: Box<dyn Fn(Failed) + Send + Sync>,
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (decisions, faults) = self.totals();
        f.debug_struct("Tally").field("decisions", &decisions).field("faults", &faults).finish_non_exhaustive()
    }
}

impl Tally {
    /// Holds the generation to `terms` as long as `lasts` says. The first call counts.
    pub(super) fn watch(
        &self,
        terms: Rollback,
        lasts: impl Fn() -> bool + Send + Sync + 'static,
        alarm: impl Fn(Failed) + Send + Sync + 'static,
    ) {
        // Whoever came first watches already.
        let _ = self.probation.set(Probation { terms, lasts: Box::new(lasts), alarm: Box::new(alarm) });
    }

    /// It is on probation no more.
    pub(super) fn trust(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// A number that stands for a person, here and in this run of the gateway only.
    pub(super) fn who(&self, identity: &Identity) -> u64 {
        self.people.hash_one((&identity.issuer, &identity.subject))
    }

    /// As [`Tally::who`], for an address.
    pub(super) fn who_at(&self, address: &str) -> u64 {
        self.people.hash_one(address)
    }

    /// Decisions and faults of all matters.
    pub(super) fn totals(&self) -> (u64, u64) {
        let sum = |of: fn(&Count) -> &AtomicU64| {
            [&self.way, &self.login, &self.request].into_iter().map(|count| of(count).load(Ordering::Relaxed)).sum()
        };
        (sum(|count| &count.decisions), sum(|count| &count.faults))
    }

    /// What failed, and how often.
    pub(super) fn failures(&self) -> Vec<Failing> {
        let details = self.details.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = |((policy, _), (code, times)): (&(String, String), &(DenyCode, u64))| Failing {
            policy: policy.clone(),
            code: *code,
            times: *times,
        };
        details.failures.iter().map(failing).collect()
    }

    /// Counts a decision.
    pub(super) fn note(&self, seen: &Seen<'_>) {
        let count = match seen.matter {
            Matter::Way => &self.way,
            Matter::Login => &self.login,
            Matter::Request => &self.request,
        };
        count.decisions.fetch_add(1, Ordering::Relaxed);
        if let Some((policy, code)) = seen.fault {
            if self.is_repeated(seen, policy, code) {
                count.repeated.fetch_add(1, Ordering::Relaxed);
            }
            count.faults.fetch_add(1, Ordering::Relaxed);
        }
        self.judge(seen.matter, count);
    }

    /// Writes a failure down. True where the same person had one already: whoever can make a policy fail
    /// would otherwise bring the rules of before back alone.
    fn is_repeated(&self, seen: &Seen<'_>, policy: &str, code: DenyCode) -> bool {
        let mut details = self.details.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (policy.to_owned(), code.name());
        if details.failures.len() < FAILURES_MAX || details.failures.contains_key(&key) {
            let (_, times) = details.failures.entry(key).or_insert((code, 0));
            *times = times.saturating_add(1);
        }
        let Some(who) = seen.who.map(|who| (seen.matter, who)) else { return false };
        if details.people.contains(&who) {
            return true;
        }
        if details.people.len() < PEOPLE_MAX {
            details.people.insert(who);
        }
        false
    }

    fn judge(&self, matter: Matter, count: &Count) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        let Some(probation) = self.probation.get() else { return };
        let repeated = count.repeated.load(Ordering::Relaxed);
        let faults = count.faults.load(Ordering::Relaxed).saturating_sub(repeated);
        let decisions = count.decisions.load(Ordering::Relaxed).saturating_sub(repeated);
        let percent = u64::from(probation.terms.faults_percent);
        let is_enough = faults > 0
            && decisions >= u64::from(probation.terms.decisions_min)
            && faults.saturating_mul(100) >= decisions.saturating_mul(percent);
        if !is_enough {
            return;
        }
        let lasts = (probation.lasts)();
        if self.is_over.swap(true, Ordering::Relaxed) || !lasts {
            return;
        }
        (probation.alarm)(Failed { matter, decisions, faults, policies: self.failures() });
    }
}

impl fmt::Display for Matter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Way => "ways",
            Self::Login => "logins",
            Self::Request => "requests",
        })
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, code, times } = self;
        write!(f, "{policy}: {code} ({times})")
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { matter, decisions, faults, policies } = self;
        let policies: Vec<String> = policies.iter().map(ToString::to_string).collect();
        write!(f, "its policies failed in {faults} of {decisions} {matter}: {}", policies.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    const TERMS: Rollback = Rollback { faults_percent: 5, decisions_min: 20, window: 60, cool_down: None };

    fn watched(lasts: bool) -> (Tally, mpsc::Receiver<Failed>) {
        let (sender, receiver) = mpsc::channel();
        let tally = Tally::default();
        tally.watch(TERMS, move || lasts, move |failed| sender.send(failed).unwrap());
        (tally, receiver)
    }

    fn good(tally: &Tally, matter: Matter, times: usize) {
        for _ in 0..times {
            tally.note(&Seen { matter, fault: None, who: None });
        }
    }

    fn bad(tally: &Tally, matter: Matter, who: Option<u64>) {
        tally.note(&Seen { matter, fault: Some(("b", DenyCode::PolicyTrapped)), who });
    }

    #[test]
    fn one_login_in_twenty_is_too_much_and_said_once() {
        let (tally, alarms) = watched(true);
        bad(&tally, Matter::Login, Some(1));
        good(&tally, Matter::Login, 18);
        assert!(alarms.try_recv().is_err(), "too early");
        good(&tally, Matter::Login, 1);
        let failed = alarms.try_recv().unwrap();
        assert_eq!((failed.decisions, failed.faults, failed.matter), (20, 1, Matter::Login));
        assert_eq!(failed.to_string(), "its policies failed in 1 of 20 logins: b: policy-trapped (1)");
        bad(&tally, Matter::Login, Some(2));
        assert!(alarms.try_recv().is_err(), "twice");
        assert_eq!(tally.totals(), (21, 2));
    }

    #[test]
    fn less_than_the_threshold_is_not_too_much() {
        let (tally, alarms) = watched(true);
        good(&tally, Matter::Login, 20);
        bad(&tally, Matter::Login, Some(1));
        good(&tally, Matter::Login, 100);
        assert!(alarms.try_recv().is_err());
    }

    #[test]
    fn matters_are_counted_apart() {
        let (tally, alarms) = watched(true);
        good(&tally, Matter::Request, 1000);
        good(&tally, Matter::Login, 19);
        bad(&tally, Matter::Login, Some(1));
        assert_eq!(alarms.try_recv().unwrap().decisions, 20);
    }

    #[test]
    fn one_person_cannot_bring_the_old_rules_back_alone() {
        let (tally, alarms) = watched(true);
        good(&tally, Matter::Login, 39);
        for _ in 0..500 {
            bad(&tally, Matter::Login, Some(1));
        }
        assert!(alarms.try_recv().is_err());
        assert_eq!(tally.totals(), (539, 500));
        bad(&tally, Matter::Login, Some(2));
        bad(&tally, Matter::Login, Some(3));
        assert_eq!(alarms.try_recv().unwrap().faults, 3);
    }

    #[test]
    fn nothing_is_said_after_the_probation() {
        let (tally, alarms) = watched(false);
        (0..100).for_each(|who| bad(&tally, Matter::Login, Some(who)));
        assert!(alarms.try_recv().is_err());
        let (tally, alarms) = watched(true);
        tally.trust();
        (0..100).for_each(|who| bad(&tally, Matter::Login, Some(who)));
        assert!(alarms.try_recv().is_err());
    }

    #[test]
    fn counts_whole_from_many_threads() {
        let (tally, alarms) = watched(true);
        let tally = Arc::new(tally);
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let tally = Arc::clone(&tally);
                scope.spawn(move || (0..100).for_each(|one| bad(&tally, Matter::Way, Some(thread * 100 + one))));
            }
        });
        assert_eq!(tally.totals(), (800, 800));
        assert_eq!(alarms.try_iter().count(), 1);
    }
}
