//! `vestibule tokens`

use clap::Subcommand;
use serde_json::json;

use super::output::{Exit, Failure, Output};
use crate::{config, secret};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an administrator's token, and its hash for `admin-tokens`. The token is shown this once.
    Generate,
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Generate => generate(output),
    }
}

fn generate(output: &Output) -> Result<Exit, Failure> {
    let random = secret::random_token().map_err(|error| Failure::new(Exit::Internal, &error))?;
    // What it is can be seen from it, by people and by scanners.
    let token = format!("vat_{random}");
    let hash = format!("sha256:{}", config::digest(&token));
    output.result(
        format!("token (give it to the administrator): {token}\nhash (for `admin-tokens`):            {hash}"),
        &json!({ "ok": true, "token": token, "hash": hash }),
    );
    Ok(Exit::Done)
}
