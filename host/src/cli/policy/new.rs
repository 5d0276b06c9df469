//! `vestibule policy new`

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use serde_json::json;

use crate::{
    cli::output::{Exit, Failure, Output},
    decision::Hook,
    policy::{Language, ProjectError, new_project},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The project's folder, which is made. Its last part is the policy's name.
    #[arg(value_name = "NAME")]
    directory: PathBuf,
    /// The language: rust, js or python.
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    lang: Language,
    /// The hooks that it decides: of route, admit, profile, groups, provision, session, access
    /// and logout.
    #[arg(long, value_name = "HOOK,…", value_delimiter = ',', default_value = "admit", value_parser = super::call::hook)]
    hooks: Vec<Hook>,
}

fn language(name: &str) -> Result<Language, String> {
    Language::ALL.into_iter().find(|language| language.name() == name).ok_or_else(|| {
        let known: Vec<&str> = Language::ALL.iter().map(|language| language.name()).collect();
        let hint =
            if matches!(name, "ts" | "typescript") { "; for TypeScript take js, whose files may be .ts" } else { "" };
        format!("unknown language, expected {}{hint}", known.join(" or "))
    })
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    let hooks: BTreeSet<Hook> = arguments.hooks.iter().copied().collect();
    let files = new_project(&arguments.directory, arguments.lang, &hooks).map_err(|error| {
        let exit = match &error {
            ProjectError::Write { .. } | ProjectError::Exists { .. } => Exit::File,
            ProjectError::Template { .. } => Exit::Internal,
            _ => Exit::CommandLine,
        };
        Failure::new(exit, &error)
    })?;
    let folder = arguments.directory.display();
    let own: Vec<&str> = files.iter().map(String::as_str).filter(|path| !path.starts_with("sdk/")).collect();
    let text = format!(
        "made {folder}:\n  {}\n  sdk/ (the SDK's source)\n\nnext:\n  vestibule policy test {folder}\n  \
         vestibule policy build {folder} --watch",
        own.join("\n  ")
    );
    output.result(text, &json!({ "ok": true, "directory": arguments.directory, "files": files }));
    Ok(Exit::Done)
}
