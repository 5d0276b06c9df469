//! A policy with one of the settings that occur, ready to be asked.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use super::{pool::Filling, shape};
use crate::{
    decision::Hook,
    policy::{
        CaseError, Cases, Component, Engine, LoadError, LoadedPolicy,
        cases::{self, Input, InputForm, Outcome},
        contract, manifest,
    },
};

/// Each settings is loaded, and each takes its time.
const SUBJECTS_MAX: usize = 24;

/// A policy with settings.
pub(super) struct Subject {
    pub(super) settings: Json,
    policy: Arc<LoadedPolicy>,
}

/// One question and what came of it.
pub(super) struct Asked {
    pub(super) input: Input,
    pub(super) outcome: Outcome,
    /// The answer under the keys of a case's `expect`; empty where the hook failed.
    pub(super) shown: Map<String, Json>,
}

/// What a case asks, as it is written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// None for `configure`.
    pub(super) hook: Option<Hook>,
    pub(super) settings: Json,
    pub(super) input: Table,
}

impl Subject {
    /// Loads `component` with `settings`.
    pub(super) fn load(engine: &Engine, component: &Component, settings: &Json) -> Result<Self, LoadError> {
        let policy = LoadedPolicy::load_case(engine, component, settings)?;
        Ok(Self { settings: settings.clone(), policy })
    }

    /// Asks; none where no login could have the input.
    pub(super) fn ask(&self, hook: Hook, input: &Table) -> Option<Asked> {
        let form: InputForm = Value::Table(input.clone()).try_into().ok()?;
        let input = form.build(hook).ok()?;
        left_by_policies(&input).ok()?;
        let (outcome, _) = cases::ask_in_time(&self.policy, hook, &input);
        let shown = match &outcome {
            Outcome::Answered(answered) => cases::answer(hook, answered),
            _ => Map::new(),
        };
        Some(Asked { input, outcome, shown })
    }
}

impl Asked {
    /// Why the hook failed: the fault's kind or the host's code, and the words for it.
    pub(super) fn failure(&self) -> Option<(&str, &str)> {
        match &self.outcome {
            Outcome::Failed(failed) => Some((failed.fault.as_ref().unwrap_or(&failed.code), &failed.detail)),
            _ => None,
        }
    }

    /// The answer, or the failure, for a reader.
    pub(super) fn in_words(&self) -> String {
        match self.failure() {
            Some((_, detail)) => format!("failed: {detail}"),
            None => {
                let there: Map<String, Json> = self
                    .shown
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect();
                Json::Object(there).to_string()
            }
        }
    }
}

/// What earlier policies left was held to the contract: nothing else ever comes in.
fn left_by_policies(input: &Input) -> Result<(), contract::Broken> {
    contract::profile(&input.profile)?;
    contract::profile(&input.profile_so_far)?;
    contract::plan(&input.plan, &input.plan, |_| true)?;
    contract::plan(&input.plan_so_far, &input.plan_so_far, |_| true)
}

/// What the cases ask, in their order.
pub(super) fn written(cases: &Cases) -> Result<Vec<Written>, CaseError> {
    let mut written = Vec::new();
    for (file, text) in cases.texts() {
        let typed = cases::parse(file, text)?;
        // It was read as cases just now, and so it is TOML.
        let table: Table = toml::from_str(text).unwrap_or_default();
        let raw = table.get("case").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (case, raw) in typed.iter().zip(raw) {
            let hook = raw.get("hook").and_then(Value::as_str);
            written.push(Written {
                hook: Hook::ALL.into_iter().find(|of| hook == Some(of.name())),
                settings: case.settings.clone().unwrap_or_else(none),
                input: raw.get("input").and_then(Value::as_table).cloned().unwrap_or_default(),
            });
        }
    }
    Ok(written)
}

/// Settings that say nothing: the manifest's defaults.
pub(super) fn none() -> Json {
    Json::Object(Map::new())
}

/// The different settings that occur, the defaults first.
pub(super) fn all_settings(written: &[Written]) -> Vec<Json> {
    let mut seen = BTreeSet::new();
    std::iter::once(none())
        .chain(written.iter().map(|written| written.settings.clone()))
        .filter(|settings| seen.insert(settings.to_string()))
        .collect()
}

/// The policy with each of the settings that it takes: those that occur, the defaults first.
pub(super) fn subjects(engine: &Engine, component: &Component, written: &[Written]) -> Vec<Subject> {
    with(engine, component, &all_settings(written))
}

/// The policy with each of these settings that it takes.
pub(super) fn with(engine: &Engine, component: &Component, settings: &[Json]) -> Vec<Subject> {
    settings.iter().filter_map(|settings| Subject::load(engine, component, settings).ok()).take(SUBJECTS_MAX).collect()
}

/// Values that occur in the manifest, the cases and their settings.
pub(super) fn fill(filling: &mut Filling, component: &Component, written: &[Written]) {
    let manifest = component.manifest();
    manifest.may_grant.iter().chain(&manifest.access_paths).for_each(|pattern| filling.word(pattern));
    filling.json(&manifest.settings_default);
    filling.names(manifest.reads.iter().filter(|name| manifest::is_plain(name)).cloned(), &manifest.facts);
    for settings in all_settings(written) {
        filling.json(&settings);
        let reads = manifest.reads_with(&settings).unwrap_or_default();
        filling.names(reads.into_iter().filter(|name| manifest::is_plain(name)), &[]);
    }
    for written in written {
        if let Some(hook) = written.hook {
            filling.input(shape::of(hook), &written.input);
        }
    }
}
