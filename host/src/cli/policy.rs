//! `vestibule policy`

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{Exit, Failure, Output, table};
use crate::{
    config::{InterpreterLimits, Limits},
    policy::{self, BuildError, BuildOptions, Built, CaseResult, Cases, Component, Engine},
};

/// For one component, on a machine that is busy with other builds.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(600);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Compile policies from their source, and embed manifest and cases.
    ///
    /// Rust needs a compiler: its target wasm32-unknown-unknown is installed with rustup where it
    /// is missing, or made from Debian's rustc-web and rust-web-src. JavaScript needs Node.js and
    /// the package @vestibule/policy, Python componentize-py and vestibule-policy.
    Build {
        /// Folders of policies: policy.toml, cases/, and Cargo.toml, package.json or pyproject.toml.
        #[arg(required = true, value_name = "DIR")]
        directories: Vec<PathBuf>,
        #[command(flatten)]
        build: BuildArguments,
    },
    /// Show what a component is: hooks, what it reads and may grant, imports, settings.
    Inspect {
        /// The component.
        file: PathBuf,
    },
    /// Run the cases of policies through the sandbox.
    Test {
        /// Components (.wasm) with embedded cases or a folder NAME.cases beside them, or
        /// folders of policies, which are built first.
        #[arg(required = true, value_name = "DIR|FILE")]
        policies: Vec<PathBuf>,
        /// Show only the cases that fail.
        #[arg(long)]
        quiet: bool,
        #[command(flatten)]
        build: BuildArguments,
    },
}

#[derive(Args, Debug)]
pub(super) struct BuildArguments {
    /// Where the components go [default: components/ in cargo's target folder].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where a standard library for the target is kept if one must be built
    /// [default: vestibule/ in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    std_cache: Option<PathBuf>,
    /// The guest's stack in bytes: a deep one costs every decision, a shallow one traps.
    #[arg(long, value_name = "BYTES", default_value_t = 16384)]
    stack_bytes: u32,
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    // A gateway that does not get to compile must go on serving; here somebody waits for it.
    let interpreter = InterpreterLimits { compile_timeout: COMPILE_TIMEOUT, ..InterpreterLimits::default() };
    let limits = Limits { compile_timeout: COMPILE_TIMEOUT, interpreter, ..Limits::default() };
    let engine = Engine::new(&limits, None).map_err(|error| Failure::new(Exit::Internal, &error))?;
    match command {
        Command::Build { directories, build: arguments } => {
            let built = build(&engine, directories, arguments, output)?;
            output.result(built_in_words(&built), &json!({ "ok": true, "policies": built }));
            Ok(Exit::Done)
        }
        Command::Inspect { file } => inspect(&engine, file, output),
        Command::Test { policies, quiet, build } => test(&engine, policies, *quiet, build, output),
    }
}

fn build(
    engine: &Engine,
    directories: &[PathBuf],
    arguments: &BuildArguments,
    output: &Output,
) -> Result<Vec<Built>, Failure> {
    let options = BuildOptions {
        out: arguments.out.clone(),
        cache: arguments.std_cache.clone().unwrap_or_else(user_cache),
        stack_bytes: arguments.stack_bytes,
    };
    policy::build(engine, directories, &options, &|step| output.progress(step)).map_err(|error| {
        let exit = match &error {
            BuildError::File { .. } => Exit::File,
            BuildError::CargoMissing(_) | BuildError::Missing { .. } | BuildError::Toolchain(_) => Exit::Unavailable,
            _ => Exit::Failed,
        };
        Failure::new(exit, &error)
    })
}

/// The XDG base directory specification's cache folder.
fn user_cache() -> PathBuf {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("XDG_CACHE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("vestibule")
}

fn built_in_words(built: &[Built]) -> String {
    let mut rows = vec![["POLICY", "VERSION", "BYTES", "CASES", "COMPONENT"].map(str::to_owned).to_vec()];
    rows.extend(built.iter().map(|built| {
        vec![
            built.name.clone(),
            built.version.clone(),
            built.bytes.to_string(),
            built.cases.to_string(),
            built.component.display().to_string(),
        ]
    }));
    table(&rows)
}

fn inspect(engine: &Engine, file: &Path, output: &Output) -> Result<Exit, Failure> {
    let bytes = read(file)?;
    let component = Component::check(engine, &bytes)
        .map_err(|error| Failure::text(Exit::Failed, format!("{}: {}", file.display(), with_causes(&error))))?;
    let cases = Cases::embedded(&bytes)
        .and_then(|cases| cases.count())
        .map_err(|error| Failure::text(Exit::Failed, format!("{}: {error}", file.display())))?;
    let manifest = serde_json::to_value(component.manifest()).unwrap_or_default();
    let json = json!({
        "ok": true,
        "file": file,
        "bytes": bytes.len(),
        "digest": component.digest(),
        "form": component.form(),
        "imports": component.imports(),
        "exports": component.exports(),
        "cases": cases,
        "manifest": manifest,
    });
    output.result(inspected_in_words(&json, &manifest), &json);
    Ok(Exit::Done)
}

fn inspected_in_words(json: &Value, manifest: &Value) -> String {
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.is_empty() => "none".to_owned(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        Some(other) => other.to_string(),
    };
    let mut rows = Vec::new();
    for key in ["name", "version", "description", "hooks", "reads", "facts", "may-grant", "access-paths"] {
        // What the settings name comes on top: JSON pointers to where they name it.
        let from = format!("{key}-from-settings");
        let named = manifest.get(&from).and_then(Value::as_array).filter(|pointers| !pointers.is_empty());
        rows.push(vec![key.to_owned(), text(manifest.get(key))]);
        if named.is_some() {
            rows.push(vec![String::new(), format!("and what the settings name at {}", text(manifest.get(&from)))]);
        }
    }
    let fuel = manifest.get("fuel").filter(|fuel| !fuel.is_null());
    rows.push(vec!["fuel".to_owned(), fuel.map_or_else(|| "the operator's limit".to_owned(), |fuel| text(Some(fuel)))]);
    for key in ["form", "imports", "exports", "cases", "bytes", "digest"] {
        rows.push(vec![key.to_owned(), text(json.get(key))]);
    }
    let pretty = |key: &str| format!("{:#}", manifest.get(key).unwrap_or(&Value::Null));
    format!(
        "{}\n\nsettings-default\n{}\n\nsettings-schema\n{}",
        table(&rows),
        pretty("settings-default"),
        pretty("settings-schema")
    )
}

fn test(
    engine: &Engine,
    policies: &[PathBuf],
    quiet: bool,
    arguments: &BuildArguments,
    output: &Output,
) -> Result<Exit, Failure> {
    let (folders, mut files): (Vec<PathBuf>, Vec<PathBuf>) = policies.iter().cloned().partition(|path| path.is_dir());
    if !folders.is_empty() {
        files.extend(build(engine, &folders, arguments, output)?.into_iter().map(|built| built.component));
    }
    let mut reports = Vec::new();
    let mut texts = Vec::new();
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        output.progress(&format!("testing {}", file.display()));
        let results = test_one(engine, &file)?;
        passed += results.iter().filter(|result| result.passed()).count();
        failed += results.iter().filter(|result| !result.passed()).count();
        texts.push(tested_in_words(&file, &results, quiet));
        reports.push(json!({ "component": file, "ok": results.iter().all(CaseResult::passed), "cases": results }));
    }
    texts.push(format!("{passed} cases passed, {failed} failed"));
    output.result(
        texts.join("\n\n"),
        &json!({ "ok": failed == 0, "passed": passed, "failed": failed, "policies": reports }),
    );
    // A policy without a single case has shown nothing.
    Ok(if failed == 0 && passed > 0 { Exit::Done } else { Exit::Failed })
}

fn test_one(engine: &Engine, file: &Path) -> Result<Vec<CaseResult>, Failure> {
    let refuse = |message: String| Failure::text(Exit::Failed, format!("{}: {message}", file.display()));
    let bytes = read(file)?;
    let component = Component::check(engine, &bytes).map_err(|error| refuse(with_causes(&error)))?;
    let cases = Cases::of(&bytes, file).map_err(|error| refuse(error.to_string()))?;
    policy::test(engine, &component, &cases).map_err(|error| refuse(error.to_string()))
}

fn tested_in_words(file: &Path, results: &[CaseResult], quiet: bool) -> String {
    let mut text = file.display().to_string();
    if results.is_empty() {
        text.push_str("\n  no cases");
    }
    for result in results.iter().filter(|result| !(quiet && result.passed())) {
        let mark = if result.passed() { "ok    " } else { "FAILED" };
        text.push_str(&format!("\n  {mark}  {:9}  {}", result.hook, result.name));
        if !result.passed() {
            text.push_str(&format!("  ({}:{})", result.file, result.line));
            for difference in &result.differences {
                text.push_str(&format!("\n            {difference}"));
            }
            if !result.answer.is_null() {
                text.push_str(&format!("\n            the answer was {}", result.answer));
            }
        }
    }
    text
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file)
        .map_err(|error: io::Error| Failure::text(Exit::File, format!("failed to read {}: {error}", file.display())))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(&format!(": {cause_text}"));
        }
        source = cause.source();
    }
    text
}
