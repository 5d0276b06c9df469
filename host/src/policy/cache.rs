//! Native code of components that were compiled before, authenticated.

use std::path::Path;

use crate::secret::Secret;

/// A folder of native code.
#[derive(Clone, Debug)]
pub struct Cache {}

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The folder cannot be made or read.
    #[error("failed to open the cache {path}")]
    Folder {
        /// The folder.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may write there.
    #[error("the cache {path} is not private (mode {mode:o}); chmod 700 makes it so")]
    NotPrivate {
        /// The folder.
        path: std::path::PathBuf,
        /// Its mode.
        mode: u32,
    },
}

impl Cache {
    /// Opens or makes the folder `path`; `key` authenticates what is in it
    /// ([`crate::keys::KeyRing::cache_key`]).
    ///
    /// # Errors
    ///
    /// Where the folder cannot be made, or is not private.
    pub fn open(_path: &Path, _key: &Secret<Vec<u8>>) -> Result<Self, CacheError> {
        todo!()
    }
}
