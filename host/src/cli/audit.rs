//! `vestibule audit`

use std::path::PathBuf;

use clap::Subcommand;

use super::output::{Exit, Failure, Output};
use crate::audit::{self, Expected};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check a log's hash chain: no line was changed, cut, put in or reordered.
    Verify {
        /// The audit log.
        file: PathBuf,
        /// The log must have this line: what an earlier verification printed as the last one.
        #[arg(long, value_name = "SEQ:HASH")]
        expect: Option<Expected>,
    },
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Verify { file, expect } => {
            let report = audit::verify(file, expect.as_ref()).map_err(|error| Failure::new(Exit::File, &error))?;
            output.result(&report, &serde_json::to_value(&report).unwrap_or_default());
            Ok(if report.ok { Exit::Done } else { Exit::Failed })
        }
    }
}
