//! What is in force, what was, and what may not be: the way forward and the ways back.
//!
//! A generation comes into force with one store and goes back with one store. What was rolled back is set aside:
//! it is not taken again by itself as long as nothing changed.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use arc_swap::ArcSwap;

use super::{
    CanaryEnded, Cause, Generation, GenerationEvent, Listener, Outcome, PolicyProblem, RolledBack, event, lock,
};
use crate::{
    clock::Clock,
    config::{Config, Trust},
    policy::tally::Failed,
};

/// Replaced generations that are kept for logins under way; the oldest goes first. They
/// share whatever policies did not change.
pub(super) const REPLACED_MAX: usize = 16;

/// Generations that may come back, with the one in force.
const KEPT_MAX: usize = 5;

/// Generations that are set aside. The oldest one goes first, long after its files were replaced.
const ASIDE_MAX: usize = 16;

/// Why no older generation comes back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RollbackError {
    /// It is not kept.
    #[error("there is no generation {number} to go back to: {kept}")]
    Gone {
        /// What was asked for.
        number: u64,
        /// What there is.
        kept: String,
    },
    /// It is in force already.
    #[error("generation {0} is in force")]
    InForce(u64),
    /// There was none before.
    #[error("there is no generation before generation {0}")]
    NoneBefore(u64),
    /// Its signatures do not count any more.
    #[error("generation {number} cannot come back: {why}")]
    NotTrusted {
        /// The generation.
        number: u64,
        /// Which policy, and what it lacks.
        why: String,
    },
}

/// A generation that is not taken again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Aside {
    pub(super) number: u64,
    pub(super) digest: Arc<str>,
    /// How it failed; none where an operator went back.
    pub(super) failed: Option<Failed>,
    /// The second at which that was.
    pub(super) at: u64,
    /// The second from which on it may be tried again; none waits for a change.
    pub(super) until: Option<u64>,
}

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {} of the same files was rolled back", self.number)?;
        match &self.failed {
            Some(failed) => write!(f, ": {failed}"),
            None => f.write_str(" by an operator"),
        }
    }
}

/// One that was in force, or is.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) generation: Arc<Generation>,
    /// The second at which it last came into force.
    pub(super) since: u64,
    /// The number of the one before it.
    pub(super) came_after: Option<u64>,
}

/// Why a generation that was built does not come into force.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// It is what is in force.
    Same,
    /// It was rolled back.
    Aside(Aside),
}

pub(super) struct InForce {
    current: ArcSwap<Generation>,
    clock: Arc<dyn Clock>,
    listener: Listener,
    state: Mutex<State>,
}

pub(super) struct State {
    /// Replaced generations with the second at which they are forgotten, the newest first.
    replaced: VecDeque<(u64, Arc<Generation>)>,
    /// By number, the lowest first.
    pub(super) kept: Vec<Kept>,
    /// The newest last.
    pub(super) aside: Vec<Aside>,
    /// The highest number so far.
    last: u64,
    /// Of the generation that came into force last, and not again: whom to trust now.
    newest: Arc<Config>,
}

impl InForce {
    pub(super) fn new(first: Arc<Generation>, clock: Arc<dyn Clock>, listener: Listener) -> Self {
        let state = State {
            replaced: VecDeque::new(),
            kept: vec![Kept { generation: Arc::clone(&first), since: clock.now(), came_after: None }],
            aside: Vec::new(),
            last: first.number,
            newest: Arc::clone(&first.config),
        };
        Self { current: ArcSwap::new(first), clock, listener, state: Mutex::new(state) }
    }

    pub(super) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn tell(&self, event: &GenerationEvent) {
        (self.listener)(event);
    }

    pub(super) fn by_number(&self, number: u64) -> Option<Arc<Generation>> {
        let current = self.current();
        if current.number == number {
            return Some(current);
        }
        let now = self.clock.now();
        let mut state = self.state();
        state.replaced.retain(|(until, _)| now < *until);
        state.replaced.iter().find(|(_, generation)| generation.number == number).map(|(_, found)| Arc::clone(found))
    }

    /// The number of the next generation, once it is in force.
    pub(super) fn next_number(&self) -> u64 {
        self.state().last.saturating_add(1)
    }

    /// Is a generation of this digest set aside?
    pub(super) fn aside(&self, digest: &str) -> Option<Aside> {
        self.state().aside.iter().find(|aside| *aside.digest == *digest).cloned()
    }

    /// Nothing is set aside any more.
    pub(super) fn forget_aside(&self) {
        self.state().aside.clear();
    }

    /// Has something been set aside for long enough? Then it is so no more.
    pub(super) fn is_due(&self) -> bool {
        let now = self.clock.now();
        let mut state = self.state();
        let before = state.aside.len();
        state.aside.retain(|aside| aside.until.is_none_or(|until| now < until));
        state.aside.len() < before
    }

    /// Lets a new generation decide from now on, and keeps the one in force for the logins that it began.
    pub(super) fn take(self: &Arc<Self>, mut next: Generation) -> Result<Arc<Generation>, NotTaken> {
        let mut state = self.state();
        let before = self.current();
        // A secret that was rotated is no part of the digest, which is for everybody to see.
        let same_secrets = next.config.secret_files == before.config.secret_files;
        let is_same = next.digest == before.digest;
        if is_same && next.failed == before.failed && same_secrets {
            return Err(NotTaken::Same);
        }
        if let Some(aside) = state.aside.iter().find(|aside| aside.digest == next.digest) {
            return Err(NotTaken::Aside(aside.clone()));
        }
        let now = self.clock.now();
        for (application, canary) in &mut next.canaries {
            if let Some(before) = before.canaries.get(application) {
                canary.follow(before);
            }
        }
        self.watch_canaries(&next);
        let came_after = if is_same {
            // With a new secret the old one is of no use: one goes back to what came before that, and what was
            // counted counts.
            next.tally = Arc::clone(&before.tally);
            state.came_after(before.number)
        } else {
            self.watch(&next, now);
            Some(before.number)
        };
        let next = Arc::new(next);
        state.last = state.last.max(next.number);
        state.newest = Arc::clone(&next.config);
        if is_same {
            state.kept.retain(|kept| kept.generation.number != before.number);
        }
        state.kept.push(Kept { generation: Arc::clone(&next), since: now, came_after });
        state.replace(&before, now);
        self.current.store(Arc::clone(&next));
        state.forget_old(next.number);
        Ok(next)
    }

    /// Counts from now on how often the policies of `next` fail.
    fn watch(self: &Arc<Self>, next: &Generation, now: u64) {
        let Some(terms) = next.config.policies.rollback.clone() else { return };
        let until = now.saturating_add(u64::from(terms.window));
        let clock = Arc::clone(&self.clock);
        let (this, digest) = (Arc::downgrade(self), Arc::clone(&next.digest));
        let alarm = move |failed| {
            if let Some(this) = this.upgrade() {
                this.fail(&digest, failed);
            }
        };
        next.tally.watch(terms, move || clock.now() < until, alarm);
    }

    /// The generation of this digest failed too often: the one before it is in force when this returns.
    fn fail(self: Arc<Self>, digest: &str, failed: Failed) {
        let event = {
            let mut state = self.state();
            let current = self.current();
            if *current.digest != *digest {
                return;
            }
            let why = Some(failed);
            match state.came_after(current.number).and_then(|before| state.find(before)) {
                None => return,
                Some(before) => match self.go_back(&mut state, &before, why.clone()) {
                    Ok(event) => GenerationEvent { cause: Cause::Faults, ..event },
                    Err(error) => not_back(&current, &error, why.as_ref()),
                },
            }
        };
        self.tell_aside(event);
    }

    /// The canary of `application` decides for nobody any more.
    pub(super) fn canary_is_over(self: &Arc<Self>, application: &str, failed: Failed) {
        let ended = CanaryEnded { application: application.to_owned(), failed };
        let current = self.current();
        self.tell_aside(GenerationEvent {
            canary: Some(ended),
            unavailable: current.unavailable(),
            ..event(Cause::Faults, Outcome::CanaryEnded, &current)
        });
    }

    /// Tells on a thread of its own: this one has a login to answer.
    fn tell_aside(self: &Arc<Self>, event: GenerationEvent) {
        let this = Arc::clone(self);
        let told = event.clone();
        if thread::Builder::new().name("policy-rollback".to_owned()).spawn(move || this.tell(&told)).is_err() {
            self.tell(&event);
        }
    }

    /// Generation `number`, or the one before the one in force, is in force again.
    pub(super) fn roll_back(&self, number: Option<u64>) -> Result<GenerationEvent, RollbackError> {
        let mut state = self.state();
        let current = self.current();
        let number = match number {
            Some(number) if number == current.number => return Err(RollbackError::InForce(number)),
            Some(number) => number,
            None => state.came_after(current.number).ok_or(RollbackError::NoneBefore(current.number))?,
        };
        let target = state.find(number).ok_or_else(|| RollbackError::Gone { number, kept: state.told() })?;
        self.go_back(&mut state, &target, None)
    }

    fn go_back(
        &self,
        state: &mut State,
        target: &Arc<Generation>,
        failed: Option<Failed>,
    ) -> Result<GenerationEvent, RollbackError> {
        let current = self.current();
        still_trusted(target, state.newest.policies.vouching())
            .map_err(|why| RollbackError::NotTrusted { number: target.number, why })?;
        let now = self.clock.now();
        let cool_down = failed.is_some().then(|| current.config.policies.rollback.as_ref()?.cool_down).flatten();
        let aside = Aside {
            number: current.number,
            digest: Arc::clone(&current.digest),
            failed: failed.clone(),
            at: now,
            until: cool_down.map(|seconds| now.saturating_add(u64::from(seconds))),
        };
        state.aside.retain(|other| other.digest != target.digest && other.digest != aside.digest);
        state.aside.push(aside);
        let over = state.aside.len().saturating_sub(ASIDE_MAX);
        state.aside.drain(..over);
        // It was good enough before, and there may be nothing to go back to.
        target.tally.trust();
        state.replace(&current, now);
        if let Some(kept) = state.kept.iter_mut().find(|kept| kept.generation.number == target.number) {
            kept.since = now;
        }
        self.current.store(Arc::clone(target));
        Ok(GenerationEvent {
            rolled_back: Some(RolledBack { from: current.number, from_digest: current.digest.to_string(), failed }),
            unavailable: target.unavailable(),
            ..event(Cause::Rollback, Outcome::RolledBack, target)
        })
    }
}

impl State {
    fn find(&self, number: u64) -> Option<Arc<Generation>> {
        let kept = self.kept.iter().find(|kept| kept.generation.number == number)?;
        Some(Arc::clone(&kept.generation))
    }

    fn came_after(&self, number: u64) -> Option<u64> {
        self.kept.iter().find(|kept| kept.generation.number == number)?.came_after
    }

    fn told(&self) -> String {
        let numbers: Vec<String> = self.kept.iter().map(|kept| kept.generation.number.to_string()).collect();
        format!("kept are {}", numbers.join(", "))
    }

    /// Logins that `before` began go on with it.
    fn replace(&mut self, before: &Arc<Generation>, now: u64) {
        let until = now.saturating_add(u64::from(before.config.login.pending));
        self.replaced.retain(|(until, other)| now < *until && other.number != before.number);
        self.replaced.push_front((until, Arc::clone(before)));
        self.replaced.truncate(REPLACED_MAX);
    }

    /// Forgets the oldest ones, but neither the one in force nor the one that it would go back to.
    fn forget_old(&mut self, current: u64) {
        let before = self.came_after(current);
        while self.kept.len() > KEPT_MAX {
            let is_free = |kept: &Kept| kept.generation.number != current && Some(kept.generation.number) != before;
            let Some(oldest) = self.kept.iter().position(is_free) else { return };
            self.kept.remove(oldest);
        }
    }
}

/// Who is trusted may have changed since it was in force: a key that was revoked vouches for nothing, also not
/// for what was good before.
fn still_trusted(generation: &Generation, trust: &Trust) -> Result<(), String> {
    for (name, ready) in &generation.policies {
        let keys = ready.signers.iter().filter_map(|signer| generation.config.policies.vouching().keys.get(signer));
        let counts = keys.filter(|key| !trust.is_revoked(key) && trust.keys.values().any(|it| it.is_same_key(key)));
        let count = counts.count();
        if count < trust.required {
            let required = trust.required;
            return Err(format!("policy {name} has {count} of the {required} signatures that are required now"));
        }
    }
    Ok(())
}

/// It fails, and nothing better is there.
fn not_back(current: &Arc<Generation>, error: &RollbackError, failed: Option<&Failed>) -> GenerationEvent {
    let failed = failed.map(|failed| format!("{failed}; ")).unwrap_or_default();
    let message = format!("generation {} stays in force although {failed}{error}", current.number);
    GenerationEvent {
        problems: vec![PolicyProblem { message, ..PolicyProblem::default() }],
        unavailable: current.unavailable(),
        ..event(Cause::Faults, Outcome::Refused, current)
    }
}
