//! `vestibule policy allow-downgrade`: an operator's word for a version that is lower than one that was.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{Exit, Failure, Output};
use crate::{config, policy};

/// Lets a version come into force, once, that is lower than one that was.
#[derive(Args, Debug)]
pub(super) struct AllowDowngrade {
    /// The policy's name in the configuration, or `pack` for a pack.
    name: String,
    /// The version.
    #[arg(long, value_name = "VERSION")]
    to: String,
    /// The configuration that names the `versions-file`.
    #[arg(long, value_name = "FILE", default_value = "vestibule.toml")]
    config: PathBuf,
}

pub(super) fn allow_downgrade(arguments: &AllowDowngrade, output: &Output) -> Result<Exit, Failure> {
    let config = config::load(&arguments.config).map_err(Failure::of_configuration)?;
    let Some(path) = &config.policies.versions_file else {
        return Err(Failure::text(Exit::Configuration, "the configuration has no `policies.versions-file`"));
    };
    let highest = policy::allow_downgrade(path, &arguments.name, &arguments.to).map_err(|error| {
        let exit = match error {
            policy::VersionsError::File { .. } | policy::VersionsError::Malformed { .. } => Exit::File,
            _ => Exit::Failed,
        };
        Failure::new(exit, &error)
    })?;
    let (name, version) = (&arguments.name, &arguments.to);
    output.result(
        format!("{name} {version} may come into force once, although {highest} was"),
        &json!({ "ok": true, "name": name, "allowed": version, "highest": highest }),
    );
    Ok(Exit::Done)
}
