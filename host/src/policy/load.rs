//! From a component and its settings to a policy that is ready: configured, snapshotted, compiled.

use std::sync::Arc;

use serde_json::Value;
use wasmtime::component::InstancePre;

use super::{
    LoadedPolicy,
    artifact::{Component, Form},
    cache::CacheKey,
    configurable::Configurable,
    engine::Engine,
    error::{LoadError, SettingsProblem},
    hooks::Hooks,
    instance::Prepared,
    limits::Guest,
    settings::{self, Settings},
    snapshot,
};
use crate::decision::PolicyRef;

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
        let loaded = Self::new(engine, (component.form(), manifest), policy, &settings, prepared, hooks)?;
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
        Ok(Arc::new(Self::new(engine, (component.form(), manifest), policy, &settings, prepared, hooks)?))
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
