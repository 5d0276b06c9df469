//! The policies of one generation, from the files that a configuration names: components, or a pack. Reads files
//! and compiles; decides nothing and swaps nothing.

#[cfg(feature = "compiler")]
mod components;
#[cfg(not(feature = "compiler"))]
#[path = "assemble/nothing.rs"]
mod components;
mod packed;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::File,
    io::Read,
    path::Path,
    sync::{Arc, Mutex},
};

use super::{Engine, LoadedPolicy, event::PolicyProblem, pack, versions};
use crate::config::Policies;

/// The policies of one configuration, each as ready or with its problems.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// The policies that are ready, by name.
    pub(super) ready: BTreeMap<String, Ready>,
    /// The problems of those that are not; those of a pack under [`pack::NAME`], which no policy has.
    pub(super) failed: BTreeMap<String, Vec<PolicyProblem>>,
    /// Names that were taken over from the generation before.
    pub(super) reused: BTreeSet<String>,
    /// The version of the pack that they come from.
    pub(super) pack: Option<String>,
}

/// A policy that is ready, and what it was made of.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) policy: Arc<LoadedPolicy>,
    /// Who signed it, or the pack that it comes from, where signatures are required.
    pub(super) signers: Vec<String>,
    made_of: MadeOf,
}

/// What decides whether a policy must be loaded again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MadeOf {
    component: String,
    settings: String,
    /// Its cases; of a packed one, its manifest, its native code, and what is said of it.
    rest: String,
}

/// Components with cases that were passed: the sandbox is deterministic, so that the same
/// bytes need no second run.
pub(super) type Passed = Mutex<HashSet<(String, String)>>;

/// Loads the policies that `config` names. What is unchanged since `before` is taken over.
pub(super) fn assemble(
    engine: &Engine,
    config: &Policies,
    before: &BTreeMap<String, Ready>,
    passed: &Passed,
) -> Assembly {
    match &config.pack {
        Some(pack) => packed::assemble(engine, config, pack, before),
        None => components::assemble(engine, config, before, passed),
    }
}

impl Ready {
    /// Its configured name, the one that it calls itself, and its version.
    fn named<'a>(&'a self, name: &'a str) -> (&'a str, &'a str, &'a str) {
        let manifest = self.policy.manifest();
        (name, &manifest.name, &manifest.version)
    }
}

impl Assembly {
    /// Is there a policy of this name, be it that it cannot be loaded?
    pub(super) fn knows(&self, name: &str) -> bool {
        self.ready.contains_key(name) || self.failed.contains_key(name)
    }

    /// Remembers that the policies that are ready come into force. Where that fails, they must not: they
    /// count as failed then.
    pub(super) fn remember(&mut self, config: &Policies) -> Result<(), ()> {
        let Some(path) = &config.versions_file else { return Ok(()) };
        let remembered = match &self.pack {
            // A pack has a version of its own, which stands for all that is in it.
            Some(version) => versions::remember(path, [(pack::NAME, pack::NAME, version.as_str())].into_iter()),
            None => versions::remember(path, self.ready.iter().map(|(name, ready)| ready.named(name))),
        };
        remembered.map_err(|error| {
            for name in std::mem::take(&mut self.ready).into_keys() {
                let problems = about_versions(config, &name, error.to_string());
                self.failed.insert(name, problems);
            }
        })
    }
}

/// What was in force cannot be read or remembered.
fn about_versions(config: &Policies, name: &str, message: String) -> Vec<PolicyProblem> {
    vec![PolicyProblem {
        policy: Some(name.to_owned()),
        file: config.versions_file.clone(),
        message,
        ..PolicyProblem::default()
    }]
}

/// Reads a regular file of bounded size.
pub(super) fn read(path: &Path, bytes_max: usize, limit: &str) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| format!("failed to open the file: {error}"))?;
    let metadata = file.metadata().map_err(|error| format!("failed to open the file: {error}"))?;
    if !metadata.is_file() {
        return Err("expected a file".to_owned());
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(|error| format!("failed to read the file: {error}"))?;
    if bytes.len() > bytes_max {
        return Err(format!("the file has more than {bytes_max} bytes (`policies.limits.{limit}`)"));
    }
    Ok(bytes)
}
