//! Cookies: what the browser sent, and what it is told to keep.

/// The cookies of one request, unopened.
#[derive(Clone, Debug, Default)]
pub struct Jar {
    pairs: Vec<(String, String)>,
}

/// The request's cookies cannot be used at all; a bad request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// More cookies than one request may bring.
    #[error("failed to read the cookies: more than {0}")]
    TooMany(usize),
}

impl Jar {
    /// Reads the `Cookie` headers. What is no cookie is skipped.
    ///
    /// # Errors
    ///
    /// Where there are more than a browser would send.
    pub fn parse<'a>(_headers: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, CookieError> {
        Ok(Self { pairs: Vec::new() })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

/// One `Set-Cookie` header's value.
#[derive(Clone, PartialEq, Eq)]
pub struct SetCookie(String);

impl SetCookie {
    /// The header's value: visible ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SetCookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SetCookie([redacted])")
    }
}
