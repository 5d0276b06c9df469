//! A policy that is ready to decide, and the instances that are made of it.
//!
//! What instances share is immutable: native code, the snapshot's memory image, the places
//! of the exports. Everything that a guest can write belongs to one [`Sandbox`], which
//! lives for one login.

use std::{collections::BTreeMap, fmt, sync::Arc};

use globset::GlobSet;
use serde_json::Value;
use wasmtime::{
    Store,
    component::{Instance, InstancePre},
};

use super::{
    artifact::{Component, Form},
    cache::CacheKey,
    engine::Engine,
    error::{LoadError, ManifestError, SettingsProblem},
    hooks::Hooks,
    limits::{Failure, Guest},
    manifest::{self, GrantPatterns, Groups, Manifest, is_credential_claim},
    paths::AccessPaths,
    settings::{self, Settings},
    snapshot::{self, Configurable},
};
use crate::decision::{DenyCode, Hook, PolicyRef};

/// A component with its settings: configured, snapshotted, compiled.
pub struct LoadedPolicy {
    // Keeps the deadlines' clock alive as long as any instance can be made.
    engine: Engine,
    form: Form,
    policy: PolicyRef,
    settings: Arc<str>,
    manifest: Manifest,
    prepared: Prepared,
    hooks: Arc<Hooks>,
    fuel: u64,
    reads: Reads,
    may_grant: GrantPatterns,
    access_paths: AccessPaths,
}

/// What instances are made of.
enum Prepared {
    /// The snapshot that `configure` left: every decision.
    Snapshot(InstancePre<Guest>),
    /// The component as it is; each instance is configured anew: a policy's cases, and
    /// interpreters, of which each snapshot would be ten megabytes to compile.
    Configurable { component: Box<Configurable>, settings: String },
}

/// Which claims a policy sees.
#[derive(Debug)]
pub(crate) struct Reads {
    /// Those of these names: the usual case, answered by a look-up for each.
    names: Vec<String>,
    /// And those that fit a pattern.
    patterns: Option<GlobSet>,
}

impl LoadedPolicy {
    /// Makes `component` ready under the configured `name`. `settings` are what the
    /// operator wrote: a top-level key that they leave out takes the manifest's default.
    ///
    /// Takes up to the compile timeout: call it off the async threads.
    ///
    /// # Errors
    ///
    /// All problems of the settings at once, or the step that failed.
    pub fn load(engine: &Engine, name: &str, component: &Component, settings: &Value) -> Result<Arc<Self>, LoadError> {
        let manifest = component.manifest();
        let settings = read_settings(engine, component, settings)?;
        let policy = PolicyRef {
            name: name.to_owned(),
            version: manifest.version.clone(),
            component: component.digest().to_owned(),
            settings: settings.digest.clone(),
        };
        let (prepared, hooks) = match component.form() {
            Form::Records => {
                let inner = (engine.clone(), component.clone(), settings.clone());
                let prepared = engine.bounded(Form::Records, move || prepare(&inner.0, &inner.1, &inner.2))?;
                let hooks = Hooks::find(&prepared, Form::Records, &manifest.hooks);
                (Prepared::Snapshot(prepared), Arc::new(hooks.map_err(|error| wrong_type(&error))?))
            }
            Form::Json => anew(engine, component, &settings)?,
        };
        let loaded = Self::new(engine, component, policy, &settings, prepared, hooks)?;
        loaded.try_out()?;
        Ok(Arc::new(loaded))
    }

    /// As [`LoadedPolicy::load`], for cases: they have many settings, and each is asked but
    /// once or twice. So no snapshot is taken of each and compiled, and an instance is
    /// configured when it is made. The limits, the filter and the answers are the same.
    ///
    /// # Errors
    ///
    /// As [`LoadedPolicy::load`].
    pub(super) fn load_case(engine: &Engine, component: &Component, settings: &Value) -> Result<Arc<Self>, LoadError> {
        let manifest = component.manifest();
        let settings = read_settings(engine, component, settings)?;
        let policy = PolicyRef {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            component: component.digest().to_owned(),
            settings: settings.digest.clone(),
        };
        let (prepared, hooks) = anew(engine, component, &settings)?;
        Ok(Arc::new(Self::new(engine, component, policy, &settings, prepared, hooks)?))
    }

    fn new(
        engine: &Engine,
        component: &Component,
        policy: PolicyRef,
        settings: &Settings,
        prepared: Prepared,
        hooks: Arc<Hooks>,
    ) -> Result<Self, LoadError> {
        let manifest = component.manifest();
        Ok(Self {
            engine: engine.clone(),
            form: component.form(),
            policy,
            settings: Arc::from(settings.json.as_str()),
            prepared,
            hooks,
            fuel: manifest.fuel.unwrap_or(u64::MAX).min(engine.limits_of(component.form()).fuel),
            reads: Reads::new(settings.reads.clone())?,
            may_grant: GrantPatterns::new(&settings.may_grant)?,
            access_paths: AccessPaths::new(manifest, &settings.access_paths)?,
            manifest: manifest.clone(),
        })
    }

    /// How decisions name it.
    #[must_use]
    pub fn policy(&self) -> &PolicyRef {
        &self.policy
    }

    /// The settings as the guest got them: JSON with sorted keys.
    #[must_use]
    pub fn settings(&self) -> &Arc<str> {
        &self.settings
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Does it want to be asked about `path`?
    pub(crate) fn asks_access(&self, path: &str) -> bool {
        self.hooks.has(Hook::Access) && self.access_paths.cover(path)
    }

    /// May it grant `group`?
    pub(crate) fn may_grant(&self, group: &str) -> bool {
        self.may_grant.cover(group)
    }

    pub(crate) fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Does it get to know these groups?
    pub(crate) fn reads_groups(&self, groups: Groups) -> bool {
        self.manifest.reads_groups.contains(&groups)
    }

    /// A fresh instance, as `configure` left it.
    pub(crate) fn sandbox(&self) -> Result<Sandbox, Failure> {
        let limits = self.engine.limits_of(self.form);
        let ticks_per_deadline = self.engine.ticks_per_deadline(self.form);
        let failed = |error: wasmtime::Error| Failure::of_instance(&error);
        let (store, instance) = match &self.prepared {
            Prepared::Snapshot(prepared) => {
                let mut store = Store::new(&self.engine.decide(self.form).engine, Guest::new(limits));
                store.limiter(|guest| guest);
                store.set_hostcall_fuel(limits.output_bytes_max);
                store.set_fuel(self.fuel).map_err(failed)?;
                store.set_epoch_deadline(ticks_per_deadline);
                let instance = prepared.instantiate(&mut store).map_err(failed)?;
                (store, instance)
            }
            Prepared::Configurable { component, settings } => {
                let (mut store, instance) =
                    component.configure(&self.engine, settings, component.patience(&self.engine))?;
                // What `configure` used up and logged is not the login's.
                *store.data_mut() = Guest::new(limits);
                store.set_fuel(self.fuel).map_err(failed)?;
                store.set_epoch_deadline(ticks_per_deadline);
                (store, instance)
            }
        };
        Ok(Sandbox { store, instance, ticks_per_deadline })
    }

    pub(crate) fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// Makes one instance, so that a component that no pool can hold is refused now, and
    /// holds its functions' types against the contract's once more, for code that came
    /// from the cache.
    fn try_out(&self) -> Result<(), LoadError> {
        match self.sandbox() {
            Ok(mut sandbox) => self.hooks.check(&mut sandbox.store, &sandbox.instance),
            // Too many decisions are under way just now: that says nothing of this policy.
            Err(failure) if failure.code == DenyCode::Overloaded => Ok(()),
            Err(failure) => Err(LoadError::Limits(failure.detail)),
        }
    }
}

impl fmt::Debug for LoadedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedPolicy").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Reads {
    fn new(mut reads: Vec<String>) -> Result<Self, ManifestError> {
        reads.sort();
        reads.dedup();
        let (names, patterns): (Vec<String>, Vec<String>) =
            reads.into_iter().partition(|name| manifest::is_plain(name));
        let patterns = if patterns.is_empty() { None } else { Some(manifest::claim_patterns(&patterns)?) };
        Ok(Self { names, patterns })
    }

    /// The claims of `all` that the policy sees; never a credential.
    pub(crate) fn of<'a>(&'a self, all: &'a BTreeMap<String, Value>) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let named = self.names.iter().filter_map(|name| all.get_key_value(name));
        let fitting = self.patterns.iter().flat_map(|patterns| {
            all.iter().filter(|(name, _)| patterns.is_match(name) && self.names.binary_search(name).is_err())
        });
        named.chain(fitting).filter(|(name, _)| !is_credential_claim(name)).map(|(name, value)| (&**name, value))
    }
}

/// One instance and all that it can write.
pub(crate) struct Sandbox {
    pub(crate) store: Store<Guest>,
    pub(crate) instance: Instance,
    ticks_per_deadline: u64,
}

impl Sandbox {
    /// Begins a hook: its deadline starts now. Returns the fuel that is left.
    pub(crate) fn begin(&mut self) -> u64 {
        self.store.set_epoch_deadline(self.ticks_per_deadline);
        self.fuel()
    }

    /// The fuel that is left of the login's.
    pub(crate) fn fuel(&self) -> u64 {
        self.store.get_fuel().unwrap_or(0)
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

/// Native code of the configured component, from the cache where it is there.
fn prepare(engine: &Engine, component: &Component, settings: &Settings) -> Result<InstancePre<Guest>, LoadError> {
    let side = engine.decide(Form::Records);
    let key = CacheKey::of(&[
        b"configured",
        component.digest().as_bytes(),
        settings.digest.as_bytes(),
        &side.compatibility,
        // The snapshot is made by the other engine, and under these limits.
        &engine.configure().compatibility,
        format!("{:?}", engine.limits()).as_bytes(),
    ]);
    let native = match snapshot::cached(engine, side, &key) {
        Some(native) => native,
        None => {
            let configured = snapshot::snapshot(engine, component, &settings.json)?;
            snapshot::native(engine, side, &key, &configured)?
        }
    };
    side.linker.instantiate_pre(&native).map_err(|error| wrong_type(&error))
}

/// Checks settings against the component's schema, within the compile timeout: both are
/// untrusted, and together may take their time.
fn read_settings(engine: &Engine, component: &Component, written: &Value) -> Result<Settings, LoadError> {
    let held_to_schema = |written: Value| {
        let (component, bytes_max) = (component.clone(), engine.limits().settings_bytes_max);
        engine.bounded(component.form(), move || Settings::new(component.manifest(), &written, bytes_max))
    };
    let mut problems = match held_to_schema(written.clone()) {
        Err(LoadError::Settings(problems)) => problems,
        otherwise => return otherwise,
    };
    // What the policy itself has against the settings to which the schema has nothing is told in
    // the same breath.
    let rest = held_to_schema(settings::without(written, &problems));
    if let Some(Err(LoadError::Settings(more))) = rest.ok().map(|rest| configurable(engine, component, rest.json)) {
        let is_new = |problem: &SettingsProblem| problems.iter().all(|known| known.setting() != problem.setting());
        let more: Vec<_> = more.into_iter().filter(is_new).collect();
        problems.extend(more);
    }
    Err(LoadError::Settings(problems))
}

/// The component, to be configured anew for each instance.
fn anew(engine: &Engine, component: &Component, settings: &Settings) -> Result<(Prepared, Arc<Hooks>), LoadError> {
    let configurable = configurable(engine, component, settings.json.clone())?;
    let hooks = Arc::clone(&configurable.hooks);
    Ok((Prepared::Configurable { component: configurable, settings: settings.json.clone() }, hooks))
}

/// The component, and that it takes `settings` (JSON).
fn configurable(engine: &Engine, component: &Component, settings: String) -> Result<Box<Configurable>, LoadError> {
    let (inner, component) = (engine.clone(), component.clone());
    engine.bounded(component.form(), move || {
        let configurable = snapshot::configurable(&inner, &component)?;
        // For what it says of the settings, and of its hooks. The machine may be busy with
        // compiling others just now.
        let patience = inner.ticks(inner.limits_of(component.form()).compile_timeout);
        let (mut store, instance) = configurable.configure(&inner, &settings, patience)?;
        configurable.hooks.check_declared(&mut store, &instance)?;
        Ok(Box::new(configurable))
    })
}

fn wrong_type(error: &wasmtime::Error) -> LoadError {
    LoadError::WrongType { interface: "component".to_owned(), message: format!("{error:#}") }
}
