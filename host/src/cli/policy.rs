//! `vestibule policy`

mod bench;
mod call;
mod diff;
mod new;
mod recorded;
mod registry;
pub(super) mod signing;
mod supply;
mod test;
mod watch;

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
    policy::{self, BuildError, BuildOptions, Built, Cases, Component, Engine, Properties, Search},
};

/// For one component, on a machine that is busy with other builds.
pub(super) const COMPILE_TIMEOUT: Duration = Duration::from_secs(600);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Measure what policies cost, hook by hook, on the inputs of their cases.
    ///
    /// COLD is from the component's bytes to the answer to its first question. WARM and P99 are
    /// one question, its sandbox made and dropped.
    Bench(bench::Arguments),
    /// Compile policies from their source, and embed manifest and cases.
    ///
    /// Rust needs a compiler: its target wasm32-unknown-unknown is installed with rustup where it
    /// is missing, or made from Debian's rustc-web and rust-web-src. JavaScript needs Node.js and
    /// the package @vestibule/policy, Python componentize-py and vestibule-policy.
    Build {
        /// Folders of policies: policy.toml, cases/, and Cargo.toml, package.json or pyproject.toml.
        #[arg(required = true, value_name = "DIR")]
        directories: Vec<PathBuf>,
        /// Stay, and build and test again whenever a file of these folders changes.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        build: BuildArguments,
    },
    /// Ask a policy one question, and print what it answers.
    Call(call::Arguments),
    /// Show what differs between two versions of a policy: what they say of themselves, and what they answer.
    ///
    /// For each hook, the smallest input that was found for each kind of difference; whom it lets in or keeps out
    /// comes first, then groups by their power, then the rest. Ends with 1 where anything differs.
    Diff(diff::Arguments),
    /// Show what a component is: hooks, what it reads and may grant, imports, settings.
    Inspect {
        /// The component.
        file: PathBuf,
    },
    /// Make a project for a new policy, which builds and tests as it is.
    New(new::Arguments),
    /// Run the cases of policies through the sandbox, and check their properties.
    ///
    /// Properties (properties.toml) are checked on inputs that are generated, the same ones for
    /// the same seed.
    Test(test::Arguments),
    #[command(flatten)]
    Supply(supply::Command),
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

/// How far to search for inputs.
#[derive(Args, Debug)]
struct SearchArguments {
    /// How many inputs are generated: for each property, or for each hook of two policies.
    #[arg(long, value_name = "N", default_value_t = INPUTS, value_parser = clap::value_parser!(u32).range(1..))]
    inputs: u32,
    /// Where the generator begins: the same seed, the same inputs.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// So many are asked about in about the time that a build takes.
const INPUTS: u32 = 1000;

impl Default for SearchArguments {
    fn default() -> Self {
        Self { inputs: INPUTS, seed: 0 }
    }
}

impl SearchArguments {
    fn search(&self) -> Search {
        Search { seed: self.seed, inputs: usize::try_from(self.inputs).unwrap_or(usize::MAX) }
    }
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    // A gateway that does not get to compile must go on serving; here somebody waits for it.
    let interpreter = InterpreterLimits { compile_timeout: COMPILE_TIMEOUT, ..InterpreterLimits::default() };
    let limits = Limits { compile_timeout: COMPILE_TIMEOUT, interpreter, ..Limits::default() };
    let engine = Engine::new(&limits, None).map_err(|error| Failure::new(Exit::Internal, &error))?;
    match command {
        Command::Build { directories, watch: true, build } => watch::run(&engine, directories, build, output),
        Command::Build { directories, watch: false, build: arguments } => {
            let built = build(&engine, directories, arguments, output)?;
            output.result(built_in_words(&built), &json!({ "ok": true, "policies": built }));
            Ok(Exit::Done)
        }
        Command::Inspect { file } => inspect(&engine, file, output),
        Command::Bench(arguments) => bench::run(&engine, arguments, output),
        Command::Call(arguments) => call::run(&engine, arguments, output),
        Command::Diff(arguments) => diff::run(&engine, arguments, output),
        Command::New(arguments) => new::run(arguments, output),
        Command::Test(arguments) => test::run(&engine, arguments, output),
        Command::Supply(command) => supply::run(&engine, command, output),
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
        match &error {
            BuildError::Manifest(problems) => Failure::of_text(exit, problems),
            _ => Failure::new(exit, &error),
        }
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
    if file.is_dir() {
        let message =
            format!("{} is a folder: expected a component, which `vestibule policy build` names", file.display());
        return Err(Failure::text(Exit::CommandLine, message));
    }
    let (component, bytes) = open(engine, file)?;
    let cases = Cases::embedded(&bytes).and_then(|cases| cases.count()).map_err(|error| about(file, &error))?;
    let limits = engine.limits();
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
        "properties": Properties::embedded(&bytes).map_err(|error| about(file, &error))?.count(),
        "limits": {
            "fuel": component.manifest().fuel.unwrap_or(u64::MAX).min(limits.fuel),
            "deadline-ms": u64::try_from(limits.deadline.as_millis()).unwrap_or(u64::MAX),
            "memory-bytes-max": limits.memory_bytes_max,
            "stack-bytes-max": limits.stack_bytes_max,
            "output-bytes-max": limits.output_bytes_max,
            "log-lines-max": limits.log_lines_max,
        },
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
    for key in
        ["name", "version", "description", "hooks", "reads", "reads-groups", "facts", "may-grant", "access-paths"]
    {
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
    // What holds where the operator's configuration says nothing else; fuel is above.
    let limits = json.get("limits").and_then(Value::as_object).into_iter().flatten();
    let limits: Vec<String> =
        limits.filter(|(key, _)| *key != "fuel").map(|(key, limit)| format!("{key} {limit}")).collect();
    rows.push(vec!["limits".to_owned(), limits.join(", ")]);
    for key in ["form", "imports", "exports", "cases", "properties", "bytes", "digest"] {
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

/// The components of `policies`: those that are files, and those that folders are built to.
fn components(
    engine: &Engine,
    policies: &[PathBuf],
    arguments: &BuildArguments,
    output: &Output,
) -> Result<Vec<PathBuf>, Failure> {
    let (folders, mut files): (Vec<PathBuf>, Vec<PathBuf>) = policies.iter().cloned().partition(|path| path.is_dir());
    if !folders.is_empty() {
        files.extend(build(engine, &folders, arguments, output)?.into_iter().map(|built| built.component));
    }
    Ok(files)
}

/// A component and its bytes.
fn open(engine: &Engine, file: &Path) -> Result<(Component, Vec<u8>), Failure> {
    let bytes = read(file)?;
    let component = Component::check(engine, &bytes).map_err(|error| about(file, &error))?;
    Ok((component, bytes))
}

/// A failure of what was done with `file`.
fn about(file: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::text(Exit::Failed, format!("{}: {}", file.display(), with_causes(error)))
}

fn read_text(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file)
        .map_err(|error| Failure::text(Exit::File, format!("failed to read {}: {error}", file.display())))
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
