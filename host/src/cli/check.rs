//! `vestibule check`: what `serve` would say of the configuration and the policies, and
//! why.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
};

use clap::Args;
use serde_json::json;

use super::output::{Exit, Failure, Output, table};
use crate::{
    clock::SystemClock,
    config,
    policy::{Engine, GenerationEvent, Generations},
};

/// Exits with 64 where the configuration is refused, with 1 where a policy is.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = "vestibule.toml", value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    let config = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(problems) => {
            let json = json!({ "ok": false, "configuration": problems });
            output.result(problems.render(output.colours()), &json);
            return Ok(Exit::Configuration);
        }
    };
    let warnings = config.warnings.clone();
    output.progress(&format!("loading {} policies", config.policies.sources.len()));
    let engine =
        Engine::new(&config.policies.limits, None).map_err(|error| Failure::new(Exit::Configuration, &error))?;
    let event =
        first_event(config, engine).ok_or_else(|| Failure::text(Exit::Internal, "no generation was attempted"))?;
    let ok = event.problems.is_empty() && event.unavailable.is_empty();
    let json = json!({ "ok": ok, "configuration": warnings, "policies": event });
    output.result(in_words(&warnings, &event, output), &json);
    Ok(if ok { Exit::Done } else { Exit::Failed })
}

fn first_event(config: config::Config, engine: Engine) -> Option<GenerationEvent> {
    let (sender, receiver) = mpsc::channel();
    // Who listens is still here when the event comes.
    let listener = move |event: &GenerationEvent| drop(sender.send(event.clone()));
    drop(Generations::open(config, engine, Arc::new(SystemClock), Box::new(listener)));
    receiver.try_recv().ok()
}

fn in_words(warnings: &config::Diagnostics, event: &GenerationEvent, output: &Output) -> String {
    let mut text = String::new();
    if !warnings.is_empty() {
        text.push_str(&warnings.render(output.colours()));
        text.push_str("\n\n");
    }
    let mut rows = vec![["POLICY", "VERSION", "COMPONENT", "SETTINGS"].map(str::to_owned).to_vec()];
    rows.extend(event.policies.iter().map(|policy| {
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
    if event.problems.is_empty() && event.unavailable.is_empty() {
        text.push_str("\nthe configuration and all policies are good");
    }
    text
}
