//! `vestibule receipt`

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{
    output::{Exit, Failure, Output},
    replay::{When, open},
};
use crate::{
    clock::{Clock as _, SystemClock},
    config,
    jose::KeySet,
    keys::KeyRing,
    replay::{self, Input, Of, ReceiptError, Seen, Verified, Wanted},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a signed receipt of a recorded decision.
    Export {
        /// The login's id: `login` in the audit's line.
        #[arg(long, value_name = "ID", required_unless_present = "request", conflicts_with = "request")]
        login: Option<String>,
        /// The reference that an error page shows: `request` in the audit's line.
        #[arg(long, value_name = "ID")]
        request: Option<String>,
        /// The configuration file with `[recording]`.
        #[arg(long, default_value = "vestibule.toml", value_name = "FILE")]
        config: PathBuf,
        /// Which of the login's decisions, from 1 [default: the last].
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
        number: Option<u32>,
        #[command(flatten)]
        when: When,
        /// Put input and output into it as a commitment, and sealed: only the gateway's key ring opens them.
        #[arg(long)]
        sealed: bool,
        /// What it is signed with.
        #[arg(long, value_enum, default_value_t = Algorithm::EdDsa)]
        algorithm: Algorithm,
        /// Where it goes [default: standard output].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check a receipt's signature, and make its decision again from the components.
    Verify {
        /// The receipt.
        file: PathBuf,
        /// The folder with the components, whatever their names.
        #[arg(long, value_name = "DIR")]
        components: PathBuf,
        /// The public keys of the gateway that signed, as a JWK set (its `/.well-known/jwks.json`), a JWK or PEM
        /// [default: the key ring of the configuration].
        #[arg(long, value_name = "JWKS")]
        key: Option<PathBuf>,
        /// The configuration that names the key ring: for a sealed input, and where there is no `--key`.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// What a receipt is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Algorithm {
    /// Ed25519.
    #[value(name = "EdDSA")]
    EdDsa,
    /// ECDSA with P-256 and SHA-256.
    #[value(name = "ES256")]
    Es256,
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Export { login, request, config, number, when, sealed, algorithm, out } => {
            let (config, recording, keys) = open(config)?;
            let wanted = Wanted {
                of: match request {
                    Some(request) => Of::Request(request),
                    None => Of::Login(login.as_deref().unwrap_or_default()),
                },
                number: number.and_then(|number| usize::try_from(number).ok()),
                range: when.range(),
                input: if *sealed { Input::Sealed } else { Input::Clear },
                algorithm: match algorithm {
                    Algorithm::EdDsa => "EdDSA",
                    Algorithm::Es256 => "ES256",
                },
                now: SystemClock.now(),
            };
            let issuer = config.server.public_url.as_str().trim_end_matches('/');
            let exported = replay::export(&recording, issuer, &keys, &wanted).map_err(|error| failure(&error))?;
            let mut json = json!({ "ok": true, "login": exported.login, "number": exported.number, "of": exported.of });
            let text = match out {
                None => {
                    if let Some(members) = json.as_object_mut() {
                        members.insert("receipt".to_owned(), exported.text.clone().into());
                    }
                    exported.text
                }
                Some(path) => {
                    fs::write(path, format!("{}\n", exported.text)).map_err(|error| written(path, &error))?;
                    if let Some(members) = json.as_object_mut() {
                        members.insert("file".to_owned(), path.display().to_string().into());
                    }
                    format!("decision {} of {} of the login is in {}", exported.number, exported.of, path.display())
                }
            };
            output.result(text, &json);
            Ok(Exit::Done)
        }
        Command::Verify { file, components, key, config } => {
            let text = read(file)?;
            let ring = config.as_deref().map(ring).transpose()?;
            let signers = match (key, &ring) {
                (Some(path), _) => KeySet::from_text(&read(path)?)
                    .map_err(|fault| Failure::text(Exit::Failed, format!("{}: {fault}", path.display())))?,
                (None, Some(ring)) => {
                    let jwks = ring.jwks();
                    KeySet::from_set(jwks.as_object().unwrap_or(&Map::new()))
                        .map_err(|fault| Failure::text(Exit::File, fault.to_string()))?
                }
                (None, None) => {
                    let message = "nobody says whose signature it must be: `--key JWKS`, or `--config FILE`";
                    return Err(Failure::text(Exit::CommandLine, message));
                }
            };
            output.progress("making the decision again");
            let seen = Seen { signers: &signers, keys: ring.as_ref(), components };
            let verified = replay::verify(&text, &seen).map_err(|error| failure(&error))?;
            let mut json = serde_json::to_value(&verified).unwrap_or_default();
            if let Some(members) = json.as_object_mut() {
                members.shift_insert(0, "ok".to_owned(), Value::Bool(true));
            }
            output.result(in_words(&verified), &json);
            Ok(Exit::Done)
        }
    }
}

fn ring(config: &Path) -> Result<KeyRing, Failure> {
    let config = config::load(config).map_err(Failure::of_configuration)?;
    KeyRing::open(&config.keys, Arc::new(SystemClock)).map_err(|error| Failure::new(Exit::File, &error))
}

fn read(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path)
        .map_err(|error| Failure::text(Exit::File, format!("failed to read {}: {error}", path.display())))?;
    String::from_utf8(bytes).map_err(|_| {
        let message = format!("{} is no text: a receipt, and a key, are one", path.display());
        Failure::text(Exit::Failed, message)
    })
}

fn written(path: &Path, error: &std::io::Error) -> Failure {
    Failure::text(Exit::File, format!("failed to write {}: {error}", path.display()))
}

fn in_words(verified: &Verified) -> String {
    let mut text = format!(
        "the signature of {} holds, and the decision came out again, byte for byte\nlogin {} into {}: {}, with {} \
         instructions",
        verified.issuer, verified.login, verified.application, verified.conclusion, verified.fuel
    );
    for policy in &verified.policies {
        text.push_str(&format!("\n  {} {}  component {}", policy.name, policy.version, policy.component));
        text.push_str(&format!("\n    settings {}", policy.settings));
    }
    if !verified.redacted.is_empty() {
        text.push_str(&format!("\npseudonyms stand for {}", verified.redacted.join(", ")));
    }
    text
}

fn failure(error: &ReceiptError) -> Failure {
    let exit = match error {
        ReceiptError::File { .. } | ReceiptError::Recording(_) => Exit::File,
        ReceiptError::NoRandomness(_) => Exit::Internal,
        _ => Exit::Failed,
    };
    Failure::new(exit, error)
}
