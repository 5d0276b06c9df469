//! Generations: policies, settings and configuration as one immutable whole behind one
//! pointer.
//!
//! A new generation is built whole beside the one in force, then put in its place with one
//! store. Where any part of it fails, the one in force stays.

mod canary;
mod in_force;
mod listing;
mod reread;

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{
    Chain, Engine, Run,
    assemble::{self, Assembly, Passed, Ready},
    cache::sha256,
    event::{CanaryEnded, Cause, GenerationEvent, Outcome, PolicyProblem, RolledBack},
    pack,
    tally::Tally,
    watch::{self, Fingerprint},
    worker::message,
};
use crate::{
    clock::Clock,
    config::{self, Config},
    decision::{Context, Denial, DenyCode, Hook, PolicyRef, Recipe, Trace},
};

use canary::Canary;
pub use in_force::RollbackError;
use in_force::{InForce, NotTaken};
pub use listing::{Listed, ListedCanary, Listing, SetAside};
use reread::{config_note, config_problems, keep_what_needs_a_restart};

/// What the generations are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To see what would become of them.
    Rehearse,
    /// To decide.
    Serve,
}

/// Hears of every attempt at a new generation, on the thread that made it. It must not
/// call [`Generations::reload`].
pub type Listener = Box<dyn Fn(&GenerationEvent) + Send + Sync>;

/// Policies, their settings and the configuration that names them, immutable.
#[derive(Debug)]
pub struct Generation {
    number: u64,
    digest: Arc<str>,
    config: Arc<Config>,
    policies: BTreeMap<String, Ready>,
    failed: BTreeSet<String>,
    chains: BTreeMap<String, ChainState>,
    recipes: BTreeMap<String, Arc<Recipe>>,
    /// Of the applications that have one.
    shadows: BTreeMap<String, ChainState>,
    /// Of the applications that have one.
    canaries: BTreeMap<String, Canary>,
    tally: Arc<Tally>,
}

/// An application's chain, or why there is none.
#[derive(Debug)]
enum ChainState {
    Ready(Chain),
    Unavailable(String),
}

impl Generation {
    /// Counts up from 1 within one run of the gateway.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// sha-256 over all that the generation is made of, in lower-case hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The configuration of this generation.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The policies that are ready, by name.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyRef> {
        self.policies.values().map(|ready| ready.policy.policy())
    }

    /// Who signed the policies, by name, where signatures are required.
    fn signers(&self) -> BTreeMap<String, Vec<String>> {
        let signed = self.policies.iter().filter(|(_, ready)| !ready.signers.is_empty());
        signed.map(|(name, ready)| (name.clone(), ready.signers.clone())).collect()
    }

    /// Begins one decision for `context.application`: a fresh sandbox, made when a hook is
    /// first asked and dropped with the [`Run`].
    ///
    /// # Errors
    ///
    /// `unknown-application`, `no-policy`, `chain-unavailable` or `overloaded`.
    pub fn begin(self: &Arc<Self>, context: Context) -> Result<Run, (Denial, Trace)> {
        let deny = |code, detail: String| {
            let trace =
                Trace { generation: self.number, generation_digest: Arc::clone(&self.digest), ..Trace::default() };
            Err((Denial::by_host(code, detail), trace))
        };
        match self.chains.get(&context.application) {
            Some(ChainState::Ready(chain)) => {
                let run = Run::new(chain, context, self.number, Arc::clone(&self.digest))?;
                Ok(run.counted_by(&self.tally))
            }
            Some(ChainState::Unavailable(why)) => deny(DenyCode::ChainUnavailable, why.clone()),
            None => deny(DenyCode::UnknownApplication, format!("`{}` is not configured", context.application)),
        }
    }

    /// Has the application a chain in shadow that can be asked?
    #[must_use]
    pub fn has_shadow(&self, application: &str) -> bool {
        matches!(self.shadows.get(application), Some(ChainState::Ready(_)))
    }

    /// As [`Generation::begin`], by the chain that the application has in shadow.
    ///
    /// # Errors
    ///
    /// As there; and `no-policy` where there is none.
    pub fn begin_shadow(self: &Arc<Self>, context: Context) -> Result<Run, (Denial, Trace)> {
        let none = Chain::new(Vec::new());
        let chain = match self.shadows.get(&context.application) {
            Some(ChainState::Ready(chain)) => chain,
            Some(ChainState::Unavailable(_)) | None => &none,
        };
        Run::new(chain, context, self.number, Arc::clone(&self.digest))
    }

    /// Does a policy of the application's chain want to be asked about `path`?
    ///
    /// True where the chain is unavailable: the question then ends in a denial.
    #[must_use]
    pub fn asks_access(&self, application: &str, path: &str) -> bool {
        match self.chains.get(application) {
            Some(ChainState::Ready(chain)) => chain.asks_access(path),
            Some(ChainState::Unavailable(_)) | None => true,
        }
    }

    /// Has every application a chain that can be asked, with a policy that has `hook`?
    #[must_use]
    pub fn has_in_every_chain(&self, hook: Hook) -> bool {
        self.chains.values().all(|chain| matches!(chain, ChainState::Ready(chain) if chain.has(hook)))
    }

    /// What an application's chain is made of; none where it could not be loaded.
    #[must_use]
    pub fn recipe(&self, application: &str) -> Option<&Arc<Recipe>> {
        self.recipes.get(application)
    }

    /// A generation of `config` that is never in force: for asking it what was asked of another one.
    ///
    /// Takes up to the compile timeout for each policy.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with its policies, at once.
    pub fn beside(config: Config, engine: &Engine) -> Result<Arc<Self>, Vec<PolicyProblem>> {
        let assembly = assemble::assemble(engine, &config.policies, &BTreeMap::new(), &Passed::default());
        let problems: Vec<PolicyProblem> =
            assembly.failed.values().flatten().cloned().chain(missing_from_chains(&config, &assembly)).collect();
        if problems.is_empty() { Ok(Arc::new(Self::new(0, config, assembly))) } else { Err(problems) }
    }

    /// Applications that deny everybody because their chain could not be loaded, and why.
    #[must_use]
    pub fn unavailable(&self) -> BTreeMap<String, String> {
        self.chains
            .iter()
            .filter_map(|(application, chain)| match chain {
                ChainState::Ready(_) => None,
                ChainState::Unavailable(why) => Some((application.clone(), why.clone())),
            })
            .collect()
    }

    fn new(number: u64, config: Config, assembly: Assembly) -> Self {
        let Assembly { ready, failed, .. } = assembly;
        let chains: BTreeMap<String, ChainState> = config
            .applications
            .iter()
            .map(|(id, application)| (id.clone(), chain(&application.chain, &ready, &failed)))
            .collect();
        let shadows: BTreeMap<String, ChainState> = config
            .applications
            .iter()
            .filter(|(_, application)| !application.shadow_chain.is_empty())
            .map(|(id, application)| (id.clone(), chain(&application.shadow_chain, &ready, &failed)))
            .collect();
        let digest: Arc<str> = Arc::from(digest(&config, &ready));
        let canaries = canary::canaries(&config, &digest, &ready, &failed);
        let failed = failed.into_keys().collect();
        let recipes = chains
            .iter()
            .filter_map(|(id, chain)| match chain {
                ChainState::Ready(chain) => {
                    Some((id.clone(), Arc::new(chain.recipe(Arc::clone(&digest), id, &config.policies.limits))))
                }
                ChainState::Unavailable(_) => None,
            })
            .collect();
        Self {
            number,
            digest,
            config: Arc::new(config),
            policies: ready,
            failed,
            chains,
            recipes,
            shadows,
            canaries,
            tally: Arc::default(),
        }
    }
}

/// The generation in force, those that logins under way still hold, and how to get a new
/// one.
pub struct Generations {
    path: PathBuf,
    engine: Engine,
    in_force: Arc<InForce>,
    /// What was wrong with the files at the last attempt, if anything was.
    last_refusal: Mutex<Vec<PolicyProblem>>,
    passed: Passed,
    purpose: Purpose,
    /// Held while a generation is built: one attempt at a time.
    building: Mutex<()>,
    /// What the files of the last attempt held when it read them, and those of the
    /// generation in force: so that a change is noticed whenever it came.
    watched: Mutex<Fingerprint>,
}

impl Generations {
    /// Builds the first generation of `config`, and tells `listener` what became of it.
    ///
    /// An application whose chain cannot be loaded denies everybody (`chain-unavailable`),
    /// and the others serve: at start-up there is nothing known good to fall back to.
    ///
    /// Takes up to the compile timeout for each policy: call it off the async threads.
    #[must_use]
    pub fn open(config: Config, engine: Engine, clock: Arc<dyn Clock>, listener: Listener) -> Self {
        Self::begin(config, engine, clock, listener, Purpose::Serve)
    }

    /// As [`Generations::open`], to see what would become of it: nothing is remembered of what comes into force.
    #[must_use]
    pub fn rehearse(config: Config, engine: Engine, clock: Arc<dyn Clock>, listener: Listener) -> Self {
        Self::begin(config, engine, clock, listener, Purpose::Rehearse)
    }

    fn begin(config: Config, engine: Engine, clock: Arc<dyn Clock>, listener: Listener, purpose: Purpose) -> Self {
        let began = Instant::now();
        let passed = Passed::default();
        let path = config.path.clone();
        let mut watched = watch::fingerprint(watch::files(&config).iter());
        // The configuration was read before: what changed since then is yet to be noticed.
        watched.insert(watch::absolute(&path), Some(config.digest.clone()));
        let mut assembly = assemble::assemble(&engine, &config.policies, &BTreeMap::new(), &passed);
        if purpose == Purpose::Serve {
            // Where that fails, nothing is ready, and the problems say why.
            let _ = assembly.remember(&config.policies);
            note_own_change(&mut watched, &config);
        }
        let mut problems: Vec<PolicyProblem> = assembly.failed.values().flatten().cloned().collect();
        problems.extend(missing_from_chains(&config, &assembly));
        let mut notes: Vec<String> = config.warnings.problems().iter().map(config_note).collect();
        let generation = Arc::new(Generation::new(1, config, assembly));
        notes.extend(closed(&generation));
        let event = GenerationEvent {
            loaded: generation.policies.keys().cloned().collect(),
            problems,
            notes,
            unavailable: generation.unavailable(),
            took: began.elapsed(),
            ..event(Cause::Start, Outcome::InForce, &generation)
        };
        listener(&event);
        give_back_memory();
        let in_force = Arc::new(InForce::new(Arc::clone(&generation), clock, listener));
        in_force.watch_canaries(&generation);
        Self {
            path,
            engine,
            in_force,
            last_refusal: Mutex::default(),
            passed,
            purpose,
            building: Mutex::default(),
            watched: Mutex::new(watched),
        }
    }

    /// The generation in force. Wait-free.
    #[must_use]
    pub fn current(&self) -> Arc<Generation> {
        self.in_force.current()
    }

    /// A generation by its number, while a login that it began may still be under way.
    #[must_use]
    pub fn by_number(&self, number: u64) -> Option<Arc<Generation>> {
        self.in_force.by_number(number)
    }

    /// Where the configuration is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads everything anew, and puts a new generation in force where all of it holds.
    /// The listener hears what became of it, too.
    ///
    /// Takes up to the compile timeout for each changed policy: call it off the async
    /// threads.
    pub fn reload(&self) -> GenerationEvent {
        self.renew(Cause::Asked, Instant::now())
    }

    /// [`Generations::reload`] for a change that was noticed at `noticed`.
    pub(super) fn renew(&self, cause: Cause, noticed: Instant) -> GenerationEvent {
        self.renew_for(cause, noticed, None)
    }

    fn renew_for(&self, cause: Cause, noticed: Instant, by: Option<&str>) -> GenerationEvent {
        let _building = lock(&self.building);
        let before = self.current();
        let event = catch_unwind(AssertUnwindSafe(|| self.attempt(cause, &before)))
            .unwrap_or_else(|panic| self.panicked(cause, &before, panic.as_ref()));
        give_back_memory();
        let mut event = GenerationEvent { took: noticed.elapsed(), ..event };
        event.notes.extend(by.map(|by| format!("asked for by {by}")));
        let refusal = if event.outcome == Outcome::Refused { event.problems.clone() } else { Vec::new() };
        *lock(&self.last_refusal) = refusal;
        self.in_force.tell(&event);
        event
    }

    /// Puts generation `number` in force again, or the one before the one in force; `by` says who asked. It stays
    /// until the files change or somebody [promotes](Generations::promote) what they say. The listener hears of it.
    ///
    /// What is remembered of versions (`policies.versions-file`) does not stand in the way: it is an operator's word.
    ///
    /// # Errors
    ///
    /// Where there is no such generation any more, or nobody who is trusted now vouches for its policies.
    pub fn roll_back(&self, number: Option<u64>, by: &str) -> Result<GenerationEvent, RollbackError> {
        let event = self.in_force.roll_back(number)?;
        let event = GenerationEvent { notes: vec![format!("asked for by {by}")], ..event };
        self.in_force.tell(&event);
        Ok(event)
    }

    /// Puts in force what the files say, also where that was rolled back; `by` says who asked. It is on probation as
    /// any new generation is.
    ///
    /// Takes as long as [`Generations::reload`].
    pub fn promote(&self, by: &str) -> GenerationEvent {
        self.in_force.forget_aside();
        self.renew_for(Cause::Promote, Instant::now(), Some(by))
    }

    /// Is it time to try again what failed before?
    pub(super) fn is_due(&self) -> bool {
        self.in_force.is_due()
    }

    /// The files of the generation in force and of the last attempt, as they were then.
    pub(super) fn watched(&self) -> Fingerprint {
        lock(&self.watched).clone()
    }

    fn attempt(&self, cause: Cause, before: &Arc<Generation>) -> GenerationEvent {
        let refused = |problems, notes| GenerationEvent {
            problems,
            notes,
            unavailable: before.unavailable(),
            ..event(cause, Outcome::Refused, before)
        };
        // Taken before anything is read: what changes after that is another attempt.
        let mut watched = watch::fingerprint(watch::files(before.config()).iter());
        let mut config = match config::load(&self.path) {
            Ok(config) => config,
            Err(diagnostics) => {
                *lock(&self.watched) = watched;
                return refused(config_problems(&diagnostics), Vec::new());
            }
        };
        let mut notes = keep_what_needs_a_restart(&mut config, before.config());
        notes.extend(config.warnings.problems().iter().map(config_note));
        for file in watch::files(&config) {
            watched.entry(file).or_insert_with_key(|file| watch::print_of(file));
        }
        *lock(&self.watched) = watched;
        let mut assembly = assemble::assemble(&self.engine, &config.policies, &before.policies, &self.passed);
        // What worked must go on working, and what is new must work. What has never worked
        // in this run does not hold back the rest.
        let worse = assembly.failed.keys().any(|name| !before.failed.contains(name))
            || config.applications.iter().any(|(id, application)| {
                matches!(before.chains.get(id), Some(ChainState::Ready(_)))
                    && application.chain.iter().any(|name| assembly.failed.contains_key(name))
            });
        let problems: Vec<PolicyProblem> =
            assembly.failed.values().flatten().cloned().chain(missing_from_chains(&config, &assembly)).collect();
        if worse || config.applications.values().any(|application| names_nothing(application, &assembly)) {
            return refused(problems, notes);
        }
        if let Some(aside) = self.in_force.aside(&digest(&config, &assembly.ready)) {
            return refused(vec![self.set_aside(&aside)], notes);
        }
        if self.purpose == Purpose::Serve {
            // Before it is in force: what is not remembered could be taken back by anybody.
            if assembly.remember(&config.policies).is_err() {
                return refused(assembly.failed.into_values().flatten().collect(), notes);
            }
            note_own_change(&mut lock(&self.watched), &config);
        }
        let loaded = assembly.ready.keys().filter(|name| !assembly.reused.contains(*name)).cloned().collect::<Vec<_>>();
        let reused = assembly.reused.iter().cloned().collect();
        let next = Generation::new(self.in_force.next_number(), config, assembly);
        notes.extend(closed(&next));
        let next = match self.in_force.take(next) {
            Ok(next) => next,
            Err(NotTaken::Aside(aside)) => return refused(vec![self.set_aside(&aside)], notes),
            Err(NotTaken::Same) => {
                return GenerationEvent {
                    problems,
                    unavailable: before.unavailable(),
                    notes,
                    ..event(cause, Outcome::Unchanged, before)
                };
            }
        };
        GenerationEvent {
            loaded,
            reused,
            problems,
            unavailable: next.unavailable(),
            notes,
            ..event(cause, Outcome::InForce, &next)
        }
    }

    /// What the files say was rolled back, and nothing has changed since.
    fn set_aside(&self, aside: &in_force::Aside) -> PolicyProblem {
        PolicyProblem {
            file: Some(self.path.clone()),
            message: aside.to_string(),
            hint: Some("change what is wrong, or `vestibule generation promote`".to_owned()),
            ..PolicyProblem::default()
        }
    }

    /// An attempt that panicked failed like any other. What is in force was not touched, since
    /// it is replaced whole and last.
    fn panicked(&self, cause: Cause, before: &Arc<Generation>, panic: &(dyn Any + Send)) -> GenerationEvent {
        // Not tried again until something changes.
        *lock(&self.watched) = watch::fingerprint(watch::files(before.config()).iter());
        let message = format!("the new generation could not be built: {}", message(panic));
        GenerationEvent {
            problems: vec![PolicyProblem { file: Some(self.path.clone()), message, ..PolicyProblem::default() }],
            unavailable: before.unavailable(),
            ..event(cause, Outcome::Refused, before)
        }
    }
}

impl fmt::Debug for Generations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generations").field("path", &self.path).field("current", &self.current().number).finish()
    }
}

/// The file of versions that this gateway just wrote is no change to act on.
fn note_own_change(watched: &mut Fingerprint, config: &Config) {
    if let Some(path) = config.policies.versions_file.as_deref().map(watch::absolute) {
        let print = watch::print_of(&path);
        watched.insert(path, print);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is replaced whole, so that a panic elsewhere leaves
    // nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn event(cause: Cause, outcome: Outcome, in_force: &Generation) -> GenerationEvent {
    GenerationEvent {
        cause,
        outcome,
        generation: in_force.number,
        digest: in_force.digest.to_string(),
        policies: in_force.policies().cloned().collect(),
        loaded: Vec::new(),
        reused: Vec::new(),
        signers: in_force.signers(),
        problems: Vec::new(),
        rolled_back: None,
        canary: None,
        unavailable: BTreeMap::new(),
        notes: Vec::new(),
        took: std::time::Duration::ZERO,
    }
}

fn chain(
    names: &[String],
    ready: &BTreeMap<String, Ready>,
    failed: &BTreeMap<String, Vec<PolicyProblem>>,
) -> ChainState {
    let mut policies = Vec::with_capacity(names.len());
    for name in names {
        let Some(ready) = ready.get(name) else {
            let problems = failed.get(name).or_else(|| failed.get(pack::NAME)).map(Vec::as_slice).unwrap_or_default();
            let first =
                problems.first().map_or_else(|| format!("policy {name} is not configured"), ToString::to_string);
            return ChainState::Unavailable(match problems.len() {
                0 | 1 => first,
                more => format!("{first} (and {} more problems)", more - 1),
            });
        };
        policies.push(Arc::clone(&ready.policy));
    }
    ChainState::Ready(Chain::new(policies))
}

/// What is wrong with the policies of a configuration that cannot be a generation.
pub fn problems(engine: &Engine, policies: &config::Policies) -> Vec<PolicyProblem> {
    let assembly = assemble::assemble(engine, policies, &BTreeMap::new(), &Passed::default());
    assembly.failed.into_values().flatten().collect()
}

/// Applications into which nobody gets, since no policy of their chain is asked about that, or none says where to log in;
/// and those whose chain in shadow cannot be asked, which concerns no login.
fn closed(generation: &Generation) -> impl Iterator<Item = String> {
    let unseen = generation.shadows.iter().filter_map(|(application, chain)| match chain {
        ChainState::Ready(_) => None,
        ChainState::Unavailable(why) => Some(format!("application {application} has nothing in shadow: {why}")),
    });
    let closed = generation.chains.iter().filter_map(|(application, chain)| match chain {
        // The configuration has said so of an empty one.
        ChainState::Ready(chain) if !chain.policies().is_empty() && !chain.has(Hook::Admit) => Some(format!(
            "application {application} lets nobody in: no policy of its chain has the hook `admit`, and one must say yes"
        )),
        _ => None,
    });
    let lost = generation.chains.iter().filter_map(|(application, chain)| match chain {
        ChainState::Ready(chain) if chain.has(Hook::Admit) && !chain.has(Hook::Route) => Some(format!(
            "application {application} sends nobody to log in: no policy of its chain has the hook `route`, such as \
             `redirection-rules`"
        )),
        _ => None,
    });
    let canaries = generation.canaries.iter().filter_map(|(application, canary)| {
        Some(format!(
            "application {application} has no canary, its chain decides for everybody: {}",
            canary.unavailable()?
        ))
    });
    closed.chain(lost).chain(unseen).chain(canaries)
}

/// `config::load` already refuses such a chain, but where a pack has the policies. A generation without a
/// policy that a chain names would be a gap.
fn names_nothing(application: &config::Application, assembly: &Assembly) -> bool {
    application.chain.iter().any(|name| !assembly.knows(name))
}

fn missing_from_chains(config: &Config, assembly: &Assembly) -> Vec<PolicyProblem> {
    let mut problems = Vec::new();
    // Of a pack that cannot be used nobody knows what is in it.
    if assembly.failed.contains_key(pack::NAME) {
        return problems;
    }
    let message = match &config.policies.pack {
        Some(_) => "the chain names it, and the pack does not have it",
        None => "the chain names it, and it is not configured",
    };
    for (id, application) in &config.applications {
        for name in application.chain.iter().filter(|name| !assembly.knows(name)) {
            problems.push(PolicyProblem {
                policy: Some(name.clone()),
                file: Some(config.path.clone()),
                line: None,
                column: None,
                key: Some(format!("applications.{id}.chain")),
                message: message.to_owned(),
                ..PolicyProblem::default()
            });
        }
    }
    problems
}

fn digest(config: &Config, policies: &BTreeMap<String, Ready>) -> String {
    let mut all = format!("config {}\n", config.digest);
    for ready in policies.values() {
        let PolicyRef { name, component, settings, .. } = ready.policy.policy();
        all.push_str(&format!("policy {name} {component} {settings}\n"));
    }
    sha256(all.as_bytes())
}

/// A compiler leaves a hundred megabytes behind that the allocator would keep for ever.
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the standard library has no malloc_trim")]
    // SAFETY: takes no pointer, and may be called at any time from any thread (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod pack_tests;
#[cfg(test)]
mod rollback_tests;
#[cfg(test)]
mod signing_tests;
#[cfg(test)]
mod tests;
