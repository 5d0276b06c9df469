//! `vestibule policy diff`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{BuildArguments, SearchArguments, about, components, open, read_text};
use crate::{
    cli::output::{Exit, Failure, Output},
    policy::{self, Cases, Component, Difference, Engine, Side},
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
    let differences = policy::diff(
        engine,
        Side { component: &old_component, cases: &old_cases, settings: settings_old.as_ref() },
        Side { component: &new_component, cases: &new_cases, settings: settings_new.as_ref() },
        search,
        &|step| output.progress(step),
    )
    .map_err(|error| Failure::new(Exit::Failed, &error))?;
    let same = differences.is_empty();
    output.result(
        in_words(&differences, search.inputs, search.seed),
        &json!({
            "ok": same,
            "old": old.file,
            "new": new.file,
            "seed": search.seed,
            "inputs": search.inputs,
            "differences": differences,
        }),
    );
    Ok(if same { Exit::Done } else { Exit::Failed })
}

fn read(engine: &Engine, policy: &PathBuf, build: &BuildArguments, output: &Output) -> Result<Read, Failure> {
    let files = components(engine, std::slice::from_ref(policy), build, output)?;
    let file = files.into_iter().next().unwrap_or_else(|| policy.clone());
    let (component, bytes) = open(engine, &file)?;
    let cases = Cases::of(&bytes, &file).map_err(|error| about(&file, &error))?;
    Ok(Read { file, component, cases })
}

fn settings(file: &Path) -> Result<Value, Failure> {
    policy::read_settings(file, &read_text(file)?).map_err(|error| Failure::new(Exit::Failed, &error))
}

fn in_words(differences: &[Difference], inputs: usize, seed: u64) -> String {
    if differences.is_empty() {
        return format!("no difference on {inputs} inputs for each hook (seed {seed})");
    }
    let each = differences.iter().map(|difference| {
        let mut text = format!("{}\n  old  {}\n  new  {}", difference.hook, difference.old, difference.new);
        if let Some(case) = &difference.case {
            text.push_str(&format!(
                "\n  the smallest input that was found, with the old answer:\n\n{}",
                case.trim_end()
            ));
        }
        text
    });
    each.collect::<Vec<_>>().join("\n\n")
}
