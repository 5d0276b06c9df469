//! `vestibule policy call`

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{BuildArguments, about, components, open, read_text};
use crate::{
    cli::output::{Exit, Failure, Output, table},
    config::{did_you_mean, nearest},
    decision::Hook,
    policy::{Call, Called, Engine},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The hook: route, admit, profile, groups, provision, session, access or logout.
    #[arg(value_parser = hook)]
    hook: Hook,
    /// The component (.wasm), or the policy's folder, which is built first.
    #[arg(value_name = "DIR|FILE")]
    policy: PathBuf,
    /// The question: TOML with `[settings]` and `[input]` as a case has them, or a file of cases.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Settings in place of those of the question: TOML or JSON.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Which case of the file.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    #[command(flatten)]
    build: BuildArguments,
}

/// A hook by its name.
pub(super) fn hook(name: &str) -> Result<Hook, String> {
    Hook::ALL.into_iter().find(|hook| hook.name() == name).ok_or_else(|| {
        let known: Vec<&str> = Hook::ALL.iter().map(|hook| hook.name()).collect();
        let hint = nearest(name, &known).map(|meant| format!("; {}", did_you_mean(meant))).unwrap_or_default();
        format!("unknown hook, expected one of {}{hint}", known.join(", "))
    })
}

pub(super) fn run(engine: &Engine, arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    // What is wrong with the question is better said before a minute of compiling than after.
    let file = arguments.input.display().to_string();
    let mut call = Call::read(arguments.hook, &file, &read_text(&arguments.input)?, arguments.case.as_deref())
        .map_err(|error| Failure::new(Exit::Failed, &error))?;
    if let Some(settings) = &arguments.settings {
        let text = read_text(settings)?;
        call = call.with_settings(settings, &text).map_err(|error| Failure::new(Exit::Failed, &error))?;
    }
    for file in components(engine, std::slice::from_ref(&arguments.policy), &arguments.build, output)? {
        let (component, _) = open(engine, &file)?;
        let called = call.ask(engine, &component).map_err(|error| match call.explain(&error).as_slice() {
            [] => about(&file, &error),
            problems => Failure::of_problems(Exit::Failed, problems),
        })?;
        let ok = called.failed.is_none();
        let mut json = serde_json::to_value(&called).unwrap_or_default();
        if let Value::Object(object) = &mut json {
            object.insert("ok".to_owned(), json!(ok));
            object.insert("component".to_owned(), json!(file));
        }
        output.result(in_words(&called), &json);
        if !ok {
            return Ok(Exit::Failed);
        }
    }
    Ok(Exit::Done)
}

fn in_words(called: &Called) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut rows: Vec<[String; 2]> = Vec::new();
    if let Some(answer) = &called.answer {
        // What was decided comes before how and why.
        let first = |key: &str| !["verdict", "direction", "none", "grants"].contains(&key);
        let mut keys: Vec<_> = answer.iter().filter(|(_, value)| !value.is_null()).collect();
        keys.sort_by_key(|(key, _)| first(key));
        rows.extend(keys.into_iter().map(|(key, value)| [key.clone(), text(value)]));
    }
    if let Some(failed) = &called.failed {
        rows.push(["failed".to_owned(), failed.code.clone()]);
        rows.push(["detail".to_owned(), failed.detail.clone()]);
    }
    rows.push(["fuel".to_owned(), called.fuel.to_string()]);
    if called.log.is_empty() {
        rows.push(["log".to_owned(), "nothing".to_owned()]);
    }
    for (index, line) in called.log.iter().enumerate() {
        rows.push([if index == 0 { "log".to_owned() } else { String::new() }, line.clone()]);
    }
    table(&rows.into_iter().map(Vec::from).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_first_what_was_decided_and_then_why() {
        let answer = json!({ "detail": "c.com", "reason": "domain-not-allowed", "verdict": "deny", "max-age": null });
        let called = Called {
            hook: "admit".into(),
            answer: answer.as_object().cloned(),
            failed: None,
            fuel: 7,
            log: vec!["one".into(), "two".into()],
        };
        assert_eq!(
            in_words(&called),
            "verdict  deny\ndetail   c.com\nreason   domain-not-allowed\nfuel     7\nlog      one\n         two"
        );
    }

    #[test]
    fn names_the_hooks_that_there_are() {
        assert_eq!(hook("admit"), Ok(Hook::Admit));
        assert!(hook("admin").unwrap_err().contains("route, admit"));
        assert!(hook("admitt").unwrap_err().ends_with("did you mean `admit`?"));
    }
}
