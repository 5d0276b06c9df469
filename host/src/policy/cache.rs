//! Native code of components that were compiled before, authenticated.
//!
//! Native code is trusted like the gateway's own: whoever can put some in place runs with
//! the gateway's rights. So the folder must be private, and each entry bears a MAC under a
//! key of the gateway; whatever is not found whole is compiled again.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::{digest, hmac};

use crate::secret::Secret;

/// Length of the MAC before each entry.
const MAC_BYTES: usize = 32;

/// A folder of native code. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    key: hmac::Key,
    written: AtomicU64,
}

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The folder cannot be made or read.
    #[error("failed to open the cache {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may write there.
    #[error("the cache {path} is not private (mode {mode:o}); chmod 700 makes it so")]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// What an entry is the native code of: sha-256 over everything that it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheKey(String);

impl CacheKey {
    /// `parts` are framed by their lengths, so that no two lists of parts run together.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        Self(hex(context.finish().as_ref()))
    }
}

impl Cache {
    /// Opens or makes the folder `path`; `key` authenticates what is in it
    /// ([`crate::keys::KeyRing::cache_key`]).
    ///
    /// # Errors
    ///
    /// Where the folder cannot be made, or is not private.
    pub fn open(path: &Path, key: &Secret<Vec<u8>>) -> Result<Self, CacheError> {
        let failed = |source| CacheError::Folder { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(CacheError::NotPrivate { path: path.to_owned(), mode });
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
        Ok(Self(Arc::new(Inner { folder: path.to_owned(), key, written: AtomicU64::new(0) })))
    }

    /// The native code under `key`, if it is there and ours.
    pub(crate) fn load(&self, key: &CacheKey) -> Option<Vec<u8>> {
        let mut entry = fs::read(self.path(key)).ok()?;
        let (mac, code) = entry.split_at_checked(MAC_BYTES)?;
        hmac::verify(&self.0.key, &message(key, code), mac).ok()?;
        entry.drain(..MAC_BYTES);
        Some(entry)
    }

    /// Keeps `code` under `key`. The cache saves time and nothing else, so that a failure
    /// is the caller's to mention, not to fail on.
    pub(crate) fn store(&self, key: &CacheKey, code: &[u8]) -> io::Result<()> {
        let mac = hmac::sign(&self.0.key, &message(key, code));
        let number = self.0.written.fetch_add(1, Ordering::Relaxed);
        let draft = self.0.folder.join(format!("draft-{}-{number}", std::process::id()));
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(mac.as_ref())?;
                file.write_all(code)
            })
            .and_then(|()| fs::rename(&draft, self.path(key)));
        if written.is_err() {
            drop(fs::remove_file(&draft));
        }
        written
    }

    fn path(&self, key: &CacheKey) -> PathBuf {
        self.0.folder.join(format!("{}.native", key.0))
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

/// The MAC covers the key, too: an entry that was renamed is not ours.
fn message(key: &CacheKey, code: &[u8]) -> Vec<u8> {
    [key.0.as_bytes(), code].concat()
}

/// `bytes` in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        for nibble in [byte >> 4, byte & 0xf] {
            hex.extend(char::from_digit(u32::from(nibble), 16));
        }
        hex
    })
}

/// sha-256 of `bytes`, in lower-case hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(folder: &Path, key: u8) -> Cache {
        Cache::open(folder, &Secret::new(vec![key; 32])).unwrap()
    }

    #[test]
    fn gives_back_what_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, key) = (cache(&folder.path().join("code"), 1), CacheKey::of(&[b"a", b"b"]));
        assert_eq!(cache.load(&key), None);
        cache.store(&key, b"code").unwrap();
        assert_eq!(cache.load(&key).unwrap(), b"code");
        assert_eq!(cache.load(&CacheKey::of(&[b"ab", b""])), None);
    }

    #[test]
    fn an_entry_that_was_changed_cut_renamed_or_made_under_another_key_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("code");
        let (ours, key, other) = (cache(&folder, 1), CacheKey::of(&[b"a"]), CacheKey::of(&[b"b"]));
        ours.store(&key, b"some native code").unwrap();
        let path = ours.path(&key);
        let good = fs::read(&path).unwrap();
        assert_eq!(cache(&folder, 2).load(&key), None);
        fs::copy(&path, ours.path(&other)).unwrap();
        assert_eq!(ours.load(&other), None);
        for byte in 0..good.len() {
            let mut changed = good.clone();
            changed[byte] ^= 1;
            fs::write(&path, changed).unwrap();
            assert_eq!(ours.load(&key), None, "byte {byte}");
        }
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            assert_eq!(ours.load(&key), None, "length {length}");
        }
    }

    #[test]
    fn refuses_a_folder_that_others_may_enter() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = Cache::open(folder.path(), &Secret::new(vec![1; 32])).unwrap_err();
        assert!(error.to_string().contains("mode 755"), "{error}");
    }
}
