//! Why second factors could not be used.

use std::path::PathBuf;

use crate::{keys::KeyError, secret::NoRandomness};

/// The file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactorError {
    /// It could not be read or written.
    #[error("failed to use {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not as this version writes it.
    #[error("failed to read the second factors in {path}: {detail}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why; never a secret.
        detail: String,
    },
    /// The operating system has no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Others may read or replace it.
    #[error("{path} has mode {mode:03o}, so that others may use it; `chmod 600` it", path = path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A secret could not be sealed.
    #[error("failed to seal a second factor's secret")]
    Seal(#[from] KeyError),
}
