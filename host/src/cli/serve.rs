//! `vestibule serve`: the gateway.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde_json::json;

use super::output::{Exit, Failure, Output};
use crate::{
    app::{self, App, AppError, Listener},
    config::{self, LogFormat},
    policy::GenerationEvent,
    telemetry,
};

/// Work that is still under way when the gateway ends gets no longer than this.
const END_MAX: Duration = Duration::from_secs(2);

/// SIGHUP reads the configuration, the policies and their settings anew; SIGTERM and Ctrl-C
/// end it once the requests under way are answered.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = "vestibule.toml", value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    let config = config::load(&arguments.config).map_err(Failure::of_configuration)?;
    let format = match config.log.format {
        LogFormat::Human => telemetry::Format::Human,
        LogFormat::Json => telemetry::Format::Json,
    };
    telemetry::init(format, &config.log.filter).map_err(|error| Failure::new(Exit::Configuration, &error))?;
    for warning in config.warnings.problems() {
        tracing::warn!(key = warning.key, line = warning.line, hint = warning.hint, "{}", warning.message);
    }
    tracing::info!(policies = config.policies.sources.len(), "loading the policies");
    let app = App::open(config, Box::new(|_: &GenerationEvent| {})).map_err(|error| failure(&error))?;
    let output = *output;
    let runtime = runtime()?;
    runtime.block_on(async {
        let stop = app::stop_signal().map_err(|error| failure(&error))?;
        let listener = app.listen().await.map_err(|error| failure(&error))?;
        let address = listener.local_addr().map_err(|error| Failure::new(Exit::Unavailable, &error))?;
        let url = app.config().server.public_url.clone();
        tracing::info!(%address, %url, "serving");
        output.result(format!("serving {url} on {address}"), &json!({ "ready": true, "address": address, "url": url }));
        app.serve(listener, stop).await.map_err(|error| failure(&error))
    })?;
    runtime.shutdown_timeout(END_MAX);
    Ok(Exit::Done)
}

/// The threads that everything asynchronous runs on.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal, &error))
}

/// Tells a person at the terminal what became of a new generation.
pub(super) fn announce(output: Output, whose: &'static str) -> Listener {
    Box::new(move |event: &GenerationEvent| output.event(whose, event))
}

fn failure(error: &AppError) -> Failure {
    let exit = match error {
        AppError::Audit(_) | AppError::Consents(_) | AppError::Factors(_) | AppError::Sessions(_) => Exit::File,
        AppError::Cache(_) | AppError::Door(_) | AppError::Keys(_) => Exit::Configuration,
        AppError::Control(_) | AppError::Listen { .. } => Exit::Unavailable,
        _ => Exit::Internal,
    };
    Failure::new(exit, error)
}
