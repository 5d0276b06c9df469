//! Policies from components: each read, held to what vouches for it, loaded, and tested with its own cases.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Map, Value as Json};

use super::{Assembly, MadeOf, Passed, Ready, about_versions, read};
use crate::{
    config::{Policies, PolicySource},
    policy::{
        Component, Engine, LoadError, LoadedPolicy, Manifest, SettingsFile,
        cache::sha256,
        cases::{self, Cases},
        event::PolicyProblem,
        locate::{Malformed, Position},
        settings,
        signed::{self, SignatureError, Vouched},
        versions::{Versions, VersionsError},
    },
};

/// How many policies are loaded at one time: each takes a core.
const WORKERS_MAX: usize = 4;

/// Cases that are reported for one policy; the rest is counted.
const FAILURES_SHOWN_MAX: usize = 5;

/// Loads the policies whose components `config` names. What is unchanged since `before` is taken over.
pub(super) fn assemble(
    engine: &Engine,
    config: &Policies,
    before: &BTreeMap<String, Ready>,
    passed: &Passed,
) -> Assembly {
    let sources: Vec<(&String, &PolicySource)> = config.sources.iter().collect();
    let versions = config.versions_file.as_deref().map(Versions::read).transpose().map_err(|error| error.to_string());
    let next = AtomicUsize::new(0);
    let assembly = Mutex::new(Assembly::default());
    let work = || {
        while let Some((name, source)) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = match &versions {
                Ok(versions) => {
                    let known = Known { before: before.get(*name), versions: versions.as_ref(), passed };
                    load(engine, config, name, source, &known)
                }
                Err(problem) => Err(about_versions(config, name, problem.clone())),
            };
            let mut assembly = assembly.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok((ready, is_reused)) => {
                    assembly.ready.insert((*name).clone(), ready);
                    if is_reused {
                        assembly.reused.insert((*name).clone());
                    }
                }
                Err(problems) => {
                    assembly.failed.insert((*name).clone(), problems);
                }
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(sources.len()).min(WORKERS_MAX);
    thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
    assembly.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What is known before a policy is looked at.
struct Known<'a> {
    /// The one in force.
    before: Option<&'a Ready>,
    /// What was in force, if that is remembered.
    versions: Option<&'a Versions>,
    passed: &'a Passed,
}

fn load(
    engine: &Engine,
    config: &Policies,
    name: &str,
    source: &PolicySource,
    known: &Known<'_>,
) -> Result<(Ready, bool), Vec<PolicyProblem>> {
    let at = |path: &Path, message: String| {
        vec![PolicyProblem {
            policy: Some(name.to_owned()),
            file: Some(path.to_owned()),
            line: None,
            column: None,
            key: None,
            message,
            ..PolicyProblem::default()
        }]
    };
    let limits = engine.limits();
    let bytes = read(&source.component, engine.component_bytes_max(), "component-bytes-max")
        .map_err(|message| at(&source.component, message))?;
    let component_digest = sha256(&bytes);
    if let Some(pinned) = source.digest.as_ref().filter(|pinned| !pinned.eq_ignore_ascii_case(&component_digest)) {
        return Err(at(
            &source.component,
            format!("the component's sha-256 is {component_digest}, the configuration pins {pinned}"),
        ));
    }
    let vouched =
        vouched(config, name, source, &component_digest).map_err(|(file, error)| at(&file, error.to_string()))?;
    let may_be_in_force = |manifest: &Manifest| -> Result<(), Vec<PolicyProblem>> {
        let agrees = vouched.as_ref().map_or(Ok(()), |vouched| vouched.agrees(manifest));
        agrees.map_err(|error| at(&signed::statement_path(&source.component), error.to_string()))?;
        let is_new = known.versions.map_or(Ok(()), |it| it.check(name, &manifest.name, &manifest.version));
        is_new.map_err(|error: VersionsError| at(&source.component, error.to_string()))
    };
    let signers = vouched.as_ref().map(|vouched| vouched.signers.clone()).unwrap_or_default();
    let settings = Settings::read(name, source, limits.settings_bytes_max)?;
    let cases = Cases::of(&bytes, &source.component).map_err(|error| case_error(name, error))?;
    let made_of = MadeOf {
        component: component_digest,
        settings: sha256(settings.json.to_string().as_bytes()),
        rest: sha256(&cases.to_json()),
    };
    if let Some(before) = known.before.filter(|before| before.made_of == made_of) {
        may_be_in_force(before.policy.manifest())?;
        return Ok((Ready { signers, ..before.clone() }, true));
    }
    let component = Component::check(engine, &bytes).map_err(|error| at(&source.component, error.to_string()))?;
    may_be_in_force(component.manifest())?;
    let policy = LoadedPolicy::load(engine, name, &component, &settings.json)
        .map_err(|error| settings.explain(&error, &component))?;
    self_test(engine, (name, &source.component), &component, &cases, &made_of, known.passed)?;
    Ok((Ready { policy, signers, made_of }, false))
}

/// Holds the component to the signatures that are required, if any are.
fn vouched(
    config: &Policies,
    name: &str,
    source: &PolicySource,
    digest: &str,
) -> Result<Option<Vouched>, (PathBuf, SignatureError)> {
    if config.trust.required == 0 {
        return Ok(None);
    }
    let expected = source.signed_as.as_deref().unwrap_or(name);
    signed::vouched(&config.trust, &source.component, digest, expected).map(Some)
}

/// Runs the component's own cases, once for the same bytes.
fn self_test(
    engine: &Engine,
    (name, path): (&str, &Path),
    component: &Component,
    cases: &Cases,
    made_of: &MadeOf,
    passed: &Passed,
) -> Result<(), Vec<PolicyProblem>> {
    let key = (made_of.component.clone(), made_of.rest.clone());
    if cases.is_empty() || passed.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
        return Ok(());
    }
    let parsed = cases.parse().map_err(|error| case_error(name, error))?;
    let results = cases::run(engine, component, &parsed);
    let failures: Vec<_> = results.iter().filter(|result| !result.passed()).collect();
    let mut problems: Vec<PolicyProblem> = failures
        .iter()
        .take(FAILURES_SHOWN_MAX)
        .map(|result| {
            let what = format!("{}: {}", result.name, result.differences.join("; "));
            // A case inside the component is in no file of this machine.
            let (file, line, message) = if Path::new(&result.file).is_absolute() {
                (result.file.clone().into(), Some(result.line), format!("case failed: {what}"))
            } else {
                let place = format!("{}:{}", result.file, result.line);
                (path.to_owned(), None, format!("its own case failed ({place}, in the component): {what}"))
            };
            PolicyProblem { policy: Some(name.to_owned()), file: Some(file), line, message, ..PolicyProblem::default() }
        })
        .collect();
    if failures.len() > problems.len()
        && let Some(last) = problems.last_mut()
    {
        last.message.push_str(&format!(" (and {} more cases)", failures.len() - FAILURES_SHOWN_MAX));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    passed.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    Ok(())
}

fn case_error(name: &str, error: cases::CaseError) -> Vec<PolicyProblem> {
    vec![PolicyProblem {
        policy: Some(name.to_owned()),
        file: Some(error.file.into()),
        line: error.line,
        column: None,
        key: None,
        message: error.message,
        ..PolicyProblem::default()
    }]
}

/// A policy's settings, and the file that they came from.
struct Settings<'a> {
    name: &'a str,
    source: &'a PolicySource,
    file: Option<SettingsFile>,
    json: Json,
}

impl<'a> Settings<'a> {
    fn read(name: &'a str, source: &'a PolicySource, bytes_max: usize) -> Result<Self, Vec<PolicyProblem>> {
        let mut settings = Self { name, source, file: None, json: Json::Object(Map::new()) };
        let Some(path) = &source.settings else { return Ok(settings) };
        let bytes =
            read(path, bytes_max, "settings-bytes-max").map_err(|message| vec![settings.problem(None, message)])?;
        let text =
            String::from_utf8(bytes).map_err(|_| vec![settings.problem(None, "expected UTF-8 text".to_owned())])?;
        let malformed = |malformed: Malformed| vec![settings.problem(malformed.position, malformed.message)];
        let file = SettingsFile::parse_at(path, &text).map_err(malformed)?;
        settings.json = file.settings().clone();
        settings.file = Some(file);
        Ok(settings)
    }

    /// A load error with the places of the settings that it is about.
    fn explain(&self, error: &LoadError, component: &Component) -> Vec<PolicyProblem> {
        let LoadError::Settings(problems) = error else {
            let file = Some(self.source.component.clone());
            return vec![PolicyProblem { file, ..self.problem(None, error.to_string()) }];
        };
        let own = &component.manifest().name;
        // Settings that a policy does not have are often those of another one.
        let hint = (own != self.name).then(|| format!("the component calls itself `{own}`, not `{}`", self.name));
        let explained = match &self.file {
            Some(file) => file.explain(error),
            // Without a settings file it is the manifest's defaults that do not fit.
            None => problems
                .iter()
                .map(|problem| PolicyProblem {
                    key: (!problem.pointer.is_empty()).then(|| problem.pointer.clone()),
                    expected: problem.expected.clone(),
                    ..self.problem(None, problem.message.clone())
                })
                .collect(),
        };
        let of_policy = |problem: PolicyProblem| PolicyProblem {
            policy: Some(self.name.to_owned()),
            hint: hint.clone().filter(|_| problem.message.starts_with(settings::NO_SUCH)),
            ..problem
        };
        explained.into_iter().map(of_policy).collect()
    }

    fn problem(&self, position: Option<Position>, message: String) -> PolicyProblem {
        PolicyProblem {
            policy: Some(self.name.to_owned()),
            file: Some(self.source.settings.as_ref().unwrap_or(&self.source.component).clone()),
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            message,
            ..PolicyProblem::default()
        }
    }
}
