//! `vestibule keys`

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::output::{Exit, Failure, Output};
use crate::{
    clock::SystemClock,
    config,
    keys::{self, KeyError},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key ring where there is none.
    Generate {
        #[command(flatten)]
        place: Place,
    },
    /// The certificates for SAML, which service providers know by heart and which do not rotate by themselves.
    #[command(subcommand)]
    Certificate(CertificateCommand),
    /// Add newest keys; older ones still open and verify what they sealed and signed.
    Rotate {
        #[command(flatten)]
        place: Place,
        /// How many older keys of each kind stay.
        #[arg(long, value_name = "NUMBER", default_value_t = 2)]
        keep: usize,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum CertificateCommand {
    /// Add a certified key. It is published beside the one in use, and does not sign yet.
    Add {
        #[command(flatten)]
        place: Place,
    },
    /// Sign with the newest certified key from now on; once more takes it back. The others stay published.
    Switch {
        #[command(flatten)]
        place: Place,
    },
    /// Drop every certified key but the one in use.
    Drop {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(clap::Args, Debug)]
pub(super) struct Place {
    /// The key ring's folder [default: the configuration's `keys.directory`].
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    directory: Option<PathBuf>,
    /// The configuration that names the folder.
    #[arg(long, value_name = "FILE", default_value = "vestibule.toml")]
    config: PathBuf,
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    let failed = |error| failure(&error);
    let (done, path) = match command {
        Command::Certificate(CertificateCommand::Add { place }) => {
            ("added a certificate to", keys::add_certificate(&directory(place)?, &SystemClock).map_err(failed)?)
        }
        Command::Certificate(CertificateCommand::Switch { place }) => {
            ("switched the certificate in", keys::switch_certificate(&directory(place)?).map_err(failed)?)
        }
        Command::Certificate(CertificateCommand::Drop { place }) => {
            ("dropped older certificates from", keys::drop_certificates(&directory(place)?).map_err(failed)?)
        }
        Command::Generate { place } => {
            ("made", keys::generate(&directory(place)?, &SystemClock).map_err(|error| failure(&error))?)
        }
        Command::Rotate { place, keep } => {
            ("rotated", keys::rotate(&directory(place)?, *keep, &SystemClock).map_err(|error| failure(&error))?)
        }
    };
    output.result(format!("{done} {}", path.display()), &json!({ "ok": true, "file": path }));
    Ok(Exit::Done)
}

fn directory(place: &Place) -> Result<PathBuf, Failure> {
    if let Some(directory) = &place.directory {
        return Ok(directory.clone());
    }
    config::load(&place.config).map(|config| config.keys.directory).map_err(Failure::of_configuration)
}

fn failure(error: &KeyError) -> Failure {
    let exit =
        if matches!(error, KeyError::Exists { .. } | KeyError::NoNextCertificate) { Exit::Failed } else { Exit::File };
    Failure::new(exit, error)
}
