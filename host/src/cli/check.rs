//! `vestibule check`: what `serve` would say of the configuration and the policies, and
//! why.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::output::{Exit, Failure, Output, table};
use crate::{
    app,
    clock::SystemClock,
    config::{self, Diagnostics},
    decision::PolicyRef,
    factor::Factors,
    keys::KeyRing,
    policy::{self, Engine, GenerationEvent, Generations},
};

/// Exits with 64 where the configuration, the key ring, the second factors or the emergency door are refused, with 1 where a policy is.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = "vestibule.toml", value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    let mut config = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(problems) => return Ok(refused(&arguments.config, &problems, output)),
    };
    let warnings = std::mem::take(&mut config.warnings);
    let ring = KeyRing::open(&config.keys, Arc::new(SystemClock)).and_then(|keys| keys.suits(&config).map(|()| keys));
    let keys = match (ring, &config.second_factor) {
        (Err(error), _) => Some(error.to_string()),
        // It opens with the key ring, or not at all.
        (Ok(ring), Some(second_factor)) => {
            Factors::open(&second_factor.file, Arc::new(ring)).err().map(|error| error.to_string())
        }
        (Ok(_), None) => None,
    };
    output.progress("loading the policies");
    let door = Door::of(&config);
    let engine =
        Engine::of_gateway(&config.policies.limits, None).map_err(|error| Failure::new(Exit::Configuration, &error))?;
    let event =
        first_event(config, engine).ok_or_else(|| Failure::text(Exit::Internal, "no generation was attempted"))?;
    let refused = keys.is_some() || door.as_ref().is_some_and(|door| door.problem.is_some());
    let ok = event.problems.is_empty() && event.unavailable.is_empty() && !refused;
    let total = counts(keys.as_deref(), door.as_ref(), &event).iter().map(|(count, _)| count).sum::<usize>();
    let json = json!({
        "ok": ok,
        "problems": total,
        "configuration": warnings,
        "keys": keys,
        "emergency": door,
        "policies": event,
    });
    output.result(in_words(&warnings, keys.as_deref(), door.as_ref(), &event, output), &json);
    Ok(match refused {
        true => Exit::Configuration,
        false if ok => Exit::Done,
        false => Exit::Failed,
    })
}

/// The emergency door, tried.
#[derive(Debug, Serialize)]
struct Door {
    /// Its pinned policy.
    policy: Option<PolicyRef>,
    /// Why it would not open.
    problem: Option<String>,
}

impl Door {
    fn of(config: &config::Config) -> Option<Self> {
        match app::open_door(config, None) {
            Ok(door) => door.map(|door| Self { policy: door.policies().next().cloned(), problem: None }),
            Err(error) => Some(Self { policy: None, problem: Some(chain(&error)) }),
        }
    }
}

/// An error and what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The configuration is refused; what is wrong with the policies is told along with that, as far
/// as it says where they are.
fn refused(path: &Path, problems: &Diagnostics, output: &Output) -> Exit {
    let of_policies = config::policies_of(path)
        .and_then(|policies| Some(policy::problems(&Engine::of_gateway(&policies.limits, None).ok()?, &policies)))
        .unwrap_or_default();
    let mut text = problems.render(output.colours());
    for problem in &of_policies {
        text.push_str(&format!("\n{problem}"));
    }
    let counts = [(problems.errors(), "of the configuration"), (of_policies.len(), "of the policies")];
    let total = counts.iter().map(|(count, _)| count).sum::<usize>();
    if !of_policies.is_empty() {
        text.push_str(&format!("\n\n{}", in_all(&counts)));
    }
    output.result(
        text,
        &json!({
            "ok": false,
            "problems": total,
            "configuration": problems,
            "policies": { "problems": of_policies },
        }),
    );
    Exit::Configuration
}

fn first_event(config: config::Config, engine: Engine) -> Option<GenerationEvent> {
    let (sender, receiver) = mpsc::channel();
    // Who listens is still here when the event comes.
    let listener = move |event: &GenerationEvent| drop(sender.send(event.clone()));
    drop(Generations::rehearse(config, engine, Arc::new(SystemClock), Box::new(listener)));
    receiver.try_recv().ok()
}

fn in_words(
    warnings: &Diagnostics,
    keys: Option<&str>,
    door: Option<&Door>,
    event: &GenerationEvent,
    output: &Output,
) -> String {
    let mut text = String::new();
    if !warnings.is_empty() {
        text.push_str(&warnings.render(output.colours()));
        text.push_str("\n\n");
    }
    let mut rows = vec![["POLICY", "VERSION", "COMPONENT", "SETTINGS"].map(str::to_owned).to_vec()];
    let pinned = door.and_then(|door| door.policy.as_ref());
    rows.extend(event.policies.iter().chain(pinned).map(|policy| {
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        vec![policy.name.clone(), policy.version.clone(), short(&policy.component), short(&policy.settings)]
    }));
    if rows.len() > 1 {
        text.push_str(&table(&rows));
        text.push('\n');
    }
    for problem in &event.problems {
        text.push_str(&format!("\n{problem}"));
    }
    for (application, why) in &event.unavailable {
        text.push_str(&format!("\napplication {application} would deny everybody: {why}"));
    }
    for note in &event.notes {
        text.push_str(&format!("\nwarning: {note}"));
    }
    if let Some(keys) = keys {
        text.push_str(&format!("\n{keys}"));
    }
    if let Some(problem) = door.and_then(|door| door.problem.as_deref()) {
        text.push_str(&format!("\n{problem}"));
    }
    let counts = counts(keys, door, event);
    text.push_str(&match counts.iter().map(|(count, _)| count).sum::<usize>() {
        0 => "\nthe configuration and all policies are good".to_owned(),
        _ => format!("\n\n{}", in_all(&counts)),
    });
    text
}

/// How many problems there are of each kind.
fn counts(keys: Option<&str>, door: Option<&Door>, event: &GenerationEvent) -> [(usize, &'static str); 4] {
    [
        (event.problems.len(), "of the policies"),
        (of_applications(event), "of the applications"),
        (usize::from(keys.is_some()), "of the keys"),
        (usize::from(door.is_some_and(|door| door.problem.is_some())), "of the emergency door"),
    ]
}

/// Applications without a chain, where nothing else has been told that they lack.
fn of_applications(event: &GenerationEvent) -> usize {
    if event.problems.is_empty() { event.unavailable.len() } else { 0 }
}

/// How many problems there are, and whose they are.
fn in_all(counts: &[(usize, &str)]) -> String {
    let total = counts.iter().map(|(count, _)| count).sum::<usize>();
    let parts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, whose)| format!("{count} {whose}")).collect();
    format!("{total} problem{}: {}", if total == 1 { "" } else { "s" }, parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_all_problems_and_says_whose_they_are() {
        assert_eq!(
            in_all(&[(2, "of the policies"), (0, "of the applications"), (1, "of the keys")]),
            "3 problems: 2 of the policies, 1 of the keys"
        );
        assert_eq!(in_all(&[(1, "of the keys")]), "1 problem: 1 of the keys");
    }
}
