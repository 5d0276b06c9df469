//! `vestibule accounts`

use std::io::{self, BufRead as _};

use argon2::{Argon2, PasswordHasher as _};
use clap::Subcommand;
use serde_json::json;
use zeroize::Zeroizing;

use super::output::{Exit, Failure, Output};

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
    let hash = hash_of(password)?;
    output.result(&hash, &json!({ "ok": true, "password": hash }));
    Ok(Exit::Done)
}

/// The PHC string of `password`, with a fresh salt.
fn hash_of(password: &str) -> Result<String, Failure> {
    let salt = crate::secret::random_bytes::<16>().map_err(|error| Failure::new(Exit::Internal, &error))?;
    Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| Failure::new(Exit::Internal, &error))
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordVerifier as _, password_hash::phc::PasswordHash};

    use super::*;

    #[test]
    fn makes_an_argon2id_hash_that_the_password_and_no_other_opens() {
        let hash = hash_of("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert_ne!(hash, hash_of("correct horse").unwrap(), "the salt is fresh");
        let hash = PasswordHash::new(&hash).unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", &hash).is_ok());
        assert!(Argon2::default().verify_password(b"correct hors", &hash).is_err());
    }
}
