//! `vestibule policy diff`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{BuildArguments, SearchArguments, about, components, open, read_text};
use crate::{
    cli::output::{Exit, Failure, Output, table},
    policy::{self, Cases, Component, DiffError, Difference, Differences, Engine, SettingsFile, Side, Stated},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The one version: a component (.wasm), or a policy's folder, which is built first.
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The other version.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Settings of the old one: TOML or JSON.
    #[arg(long, value_name = "FILE")]
    settings_old: Option<PathBuf>,
    /// Settings of the new one [default: the old one's].
    #[arg(long, value_name = "FILE")]
    settings_new: Option<PathBuf>,
    #[command(flatten)]
    search: SearchArguments,
    #[command(flatten)]
    build: BuildArguments,
}

/// What one side is made of.
struct Read {
    file: PathBuf,
    component: Component,
    cases: Cases,
}

pub(super) fn run(engine: &Engine, arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    let settings_old = arguments.settings_old.as_deref().map(settings).transpose()?;
    let settings_new = arguments.settings_new.as_deref().map(settings).transpose()?.or_else(|| settings_old.clone());
    let old = read(engine, &arguments.old, &arguments.build, output)?;
    let new = read(engine, &arguments.new, &arguments.build, output)?;
    let side = |read: &'_ Read| (read.component.clone(), read.cases.clone());
    let ((old_component, old_cases), (new_component, new_cases)) = (side(&old), side(&new));
    let search = arguments.search.search();
    let json_of = |file: &'_ Option<SettingsFile>| file.as_ref().map(|file| file.settings().clone());
    let (json_old, json_new) = (json_of(&settings_old), json_of(&settings_new));
    let found = policy::diff(
        engine,
        Side { component: &old_component, cases: &old_cases, settings: json_old.as_ref() },
        Side { component: &new_component, cases: &new_cases, settings: json_new.as_ref() },
        search,
        &|step| output.progress(step),
    )
    .map_err(|error| failure(&error, settings_old.as_ref(), settings_new.as_ref()))?;
    let same = found.is_empty();
    let version = |component: &Component| component.manifest().version.clone();
    output.result(
        in_words(&found, search.inputs, search.seed),
        &json!({
            "ok": same,
            "old": old.file,
            "new": new.file,
            "old-version": version(&old.component),
            "new-version": version(&new.component),
            "seed": search.seed,
            "inputs": search.inputs,
            "manifest": found.manifest,
            "differences": found.differences,
        }),
    );
    Ok(if same { Exit::Done } else { Exit::Failed })
}

/// Settings that are not taken are told with their places.
fn failure(error: &DiffError, old: Option<&SettingsFile>, new: Option<&SettingsFile>) -> Failure {
    if let DiffError::Settings { which, source } = error {
        let file = if *which == "old" { old } else { new };
        let problems = file.map(|file| file.explain(source)).unwrap_or_default();
        if !problems.is_empty() {
            return Failure::of_problems(Exit::Failed, &problems);
        }
    }
    Failure::new(Exit::Failed, error)
}

fn read(engine: &Engine, policy: &PathBuf, build: &BuildArguments, output: &Output) -> Result<Read, Failure> {
    let files = components(engine, std::slice::from_ref(policy), build, output)?;
    let file = files.into_iter().next().unwrap_or_else(|| policy.clone());
    let (component, bytes) = open(engine, &file)?;
    let cases = Cases::of(&bytes, &file).map_err(|error| about(&file, &error))?;
    Ok(Read { file, component, cases })
}

fn settings(file: &Path) -> Result<SettingsFile, Failure> {
    SettingsFile::parse(file, &read_text(file)?).map_err(|error| Failure::new(Exit::Failed, &error))
}

fn in_words(found: &Differences, inputs: usize, seed: u64) -> String {
    let mut parts = Vec::new();
    if !found.manifest.is_empty() {
        let rows: Vec<Vec<String>> = found.manifest.iter().map(stated).collect();
        let text = table(&rows).replace('\n', "\n  ");
        parts.push(format!("what they say of themselves\n  {text}"));
    }
    parts.extend(found.differences.iter().map(difference));
    if found.differences.is_empty() {
        parts.push(format!("no difference of the answers on {inputs} inputs for each hook (seed {seed})"));
    }
    parts.join("\n\n")
}

/// A key, and what is otherwise.
fn stated(stated: &Stated) -> Vec<String> {
    let list = |values: &[Value]| {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        values.iter().map(text).collect::<Vec<_>>().join(", ")
    };
    let mut parts = Vec::new();
    for (what, values) in [("more: ", &stated.added), ("no longer: ", &stated.removed)] {
        if !values.is_empty() {
            parts.push(format!("{what}{}", list(values)));
        }
    }
    if parts.is_empty() {
        // A schema is no matter of a line: `policy inspect` shows it.
        let text = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
        parts.push(match stated.key {
            "settings-schema" => "another one (`vestibule policy inspect` shows it)".to_owned(),
            _ => format!("{} → {}", text(&stated.old), text(&stated.new)),
        });
    }
    vec![stated.key.to_owned(), parts.join("; ")]
}

fn difference(difference: &Difference) -> String {
    let Difference { hook, what, old, new, case, .. } = difference;
    let power = match &difference.group {
        Some((_, power)) => format!(" (power {power})"),
        None => String::new(),
    };
    format!(
        "{hook}: {what}{power}\n  old  {old}\n  new  {new}\n  the smallest input that was found, with the old answer:\n\n{}",
        case.trim_end()
    )
}
