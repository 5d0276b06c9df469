//! Public keys on the command line.

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::output::{Exit, Failure};
use crate::config::{PublicKey, Trust};

/// Trust in the keys of these files, under the files' names; `required` of them, at least one, must have signed.
pub(super) fn of_keys(files: &[PathBuf], required: u32) -> Result<Trust, Failure> {
    let mut keys = BTreeMap::new();
    for path in files {
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::text(Exit::File, format!("failed to read {}: {error}", path.display())))?;
        let key = PublicKey::parse(&text)
            .map_err(|error| Failure::text(Exit::File, format!("{}: {error}", path.display())))?;
        keys.insert(path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), key);
    }
    let required = usize::try_from(required).unwrap_or(usize::MAX).max(1);
    Ok(Trust { keys, required, revoked: Vec::new() })
}
