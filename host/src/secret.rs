//! Values that must not be seen, and randomness that must not be guessed.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroize;

/// A value that no `Debug`, log line or error message shows, and that is overwritten
/// when it is dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes `value` into custody.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The operating system has no randomness to give.
#[derive(Debug, thiserror::Error)]
#[error("failed to read randomness from the operating system: {0}")]
pub struct NoRandomness(getrandom::Error);

/// `N` unguessable bytes.
///
/// # Errors
///
/// Where the operating system has none to give; the caller refuses what it was doing.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}

/// An unguessable text of 256 bits, in base64url without padding (43 characters).
///
/// # Errors
///
/// As [`random_bytes`].
pub fn random_token() -> Result<String, NoRandomness> {
    Ok(URL_SAFE_NO_PAD.encode(random_bytes::<32>()?))
}
