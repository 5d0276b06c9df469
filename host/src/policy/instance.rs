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
    artifact::Form,
    configurable::Configurable,
    engine::Engine,
    error::{LoadError, ManifestError},
    hooks::Hooks,
    limits::{Failure, Guest, WASM_PAGE_BYTES},
    manifest::{self, GrantPatterns, Groups, Manifest, is_credential_claim},
    paths::AccessPaths,
    settings::Settings,
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
pub(super) enum Prepared {
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
    /// A policy that calls itself what `policy` says, of a component that is `form` and `manifest`.
    pub(super) fn new(
        engine: &Engine,
        (form, manifest): (Form, &Manifest),
        policy: PolicyRef,
        settings: &Settings,
        prepared: Prepared,
        hooks: Arc<Hooks>,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            engine: engine.clone(),
            form,
            policy,
            settings: Arc::from(settings.json.as_str()),
            prepared,
            hooks,
            fuel: manifest.fuel.unwrap_or(u64::MAX).min(engine.limits_of(form).fuel),
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

    /// How it is asked.
    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Its native code, as [`super::engine::Side::component`] takes it.
    pub(super) fn native(&self) -> wasmtime::Result<Vec<u8>> {
        match &self.prepared {
            Prepared::Snapshot(prepared) => prepared.component().serialize(),
            Prepared::Configurable { component, .. } => component.native().serialize(),
        }
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

    /// The memory with which each of its instances begins, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let component = match &self.prepared {
            Prepared::Snapshot(prepared) => prepared.component(),
            Prepared::Configurable { component, .. } => component.native(),
        };
        let pages = component.resources_required().and_then(|required| required.max_initial_memory_size);
        pages.and_then(|pages| usize::try_from(pages).ok()).unwrap_or(0).saturating_mul(WASM_PAGE_BYTES)
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
    pub(super) fn try_out(&self) -> Result<(), LoadError> {
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
