//! `vestibule audit`

use std::path::PathBuf;

use clap::Subcommand;

use super::output::{Exit, Failure, Output};
use crate::audit;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check a log's hash chain: no line was changed, cut, put in or reordered.
    Verify {
        /// The audit log.
        file: PathBuf,
    },
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Verify { file } => {
            let report = audit::verify(file).map_err(|error| Failure::new(Exit::File, &error))?;
            output.result(format!("{report:#}"), &report);
            let holds = report.get("ok").and_then(serde_json::Value::as_bool) == Some(true);
            Ok(if holds { Exit::Done } else { Exit::Failed })
        }
    }
}
