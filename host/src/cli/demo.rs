//! `vestibule demo`: the gateway with a demo identity provider and application.

use std::{io::Write as _, path::PathBuf};

use clap::Args;
use serde_json::json;

use super::{
    output::{Exit, Failure, Output},
    serve::{announce, runtime},
};
use crate::{
    app,
    demo::{Demo, DemoError, Options, Ready},
    telemetry,
};

/// With `--json`, one line says when it is ready and what there is to see.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Where the demo keeps its files; what you change there stays changed.
    #[arg(long, default_value = ".demo", value_name = "FOLDER")]
    directory: PathBuf,
    /// Where the built policies are.
    #[arg(long, default_value = "policies/target/components", value_name = "FOLDER")]
    components: PathBuf,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    // The generations are told by the demo itself, in fewer words.
    let filter = "warn,vestibule::app=off,vestibule::policy=error,notify=off";
    telemetry::init(telemetry::Format::Human, filter).map_err(|error| Failure::new(Exit::Internal, &error))?;
    let options = Options { directory: arguments.directory.clone(), components: arguments.components.clone() };
    output.progress("loading the policies (compiled once, then read from the cache)");
    let output = *output;
    let listeners = (announce(output, "gateway"), announce(output, "identity provider"));
    let demo = Demo::open(&options, listeners).map_err(|error| failure(&error))?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let stop = app::stop_signal().map_err(|error| Failure::new(Exit::Internal, &error))?;
        output.result(in_words(&demo.ready), &json!(demo.ready));
        let _ = std::io::stdout().flush();
        demo.serve(stop).await.map_err(|error| failure(&error))
    })?;
    Ok(Exit::Done)
}

fn failure(error: &DemoError) -> Failure {
    let exit = match error {
        DemoError::Configuration { .. } => Exit::Configuration,
        DemoError::File { .. } => Exit::File,
        DemoError::NoComponents { .. } | DemoError::Running(_) | DemoError::Listen(_) => Exit::Unavailable,
        _ => Exit::Internal,
    };
    Failure::new(exit, error)
}

fn in_words(ready: &Ready) -> String {
    let mut text = format!("\n  The demo is ready. Open  {}\n\n", ready.application);
    for person in &ready.people {
        text.push_str(&format!("    {:<9} {:<14} {}\n", person.username, person.password, person.outcome));
    }
    if let Some(settings) = ready.settings.get("domain-restriction") {
        text.push_str(&format!("\n  Change a rule while it runs, for example\n    {}\n", settings.display()));
    }
    let configuration = ready.audit.with_file_name("vestibule.toml");
    text.push_str(&format!(
        "\n  See what is in force, and go back:\n    vestibule generation list --config {0}\n    \
         vestibule generation rollback --config {0}\n",
        configuration.display()
    ));
    for note in &ready.notes {
        text.push_str(&format!("\n  Note: {note}\n"));
    }
    text.push_str(&format!("\n  Every decision is on record in\n    {}\n\n  Ctrl-C ends it.\n", ready.audit.display()));
    text
}
