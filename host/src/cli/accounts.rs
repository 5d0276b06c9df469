//! `vestibule accounts`

use std::io::{self, BufRead as _};

use clap::Subcommand;
use serde_json::json;
use zeroize::Zeroizing;

use super::output::{Exit, Failure, Output};
use crate::{secret::Secret, upstream};

/// A password shorter than this falls to guessing (NIST SP 800-63B §3.1.1.2 asks for 8).
const PASSWORD_CHARACTERS_MIN: usize = 8;

/// And a longer one is not a password.
const PASSWORD_BYTES_MAX: usize = 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read a password from standard input, print its argon2id hash for the accounts file.
    Hash,
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Hash => hash(output),
    }
}

fn hash(output: &Output) -> Result<Exit, Failure> {
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line).map_err(|error| Failure::new(Exit::File, &error))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.chars().count() < PASSWORD_CHARACTERS_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Err(Failure::text(
            Exit::Failed,
            format!("expected a password of at least {PASSWORD_CHARACTERS_MIN} characters on standard input"),
        ));
    }
    let hash = upstream::hash_password(&Secret::new(password.to_owned()))
        .map_err(|error| Failure::new(Exit::Internal, &error))?;
    output.result(&hash, &json!({ "ok": true, "password": hash }));
    Ok(Exit::Done)
}
