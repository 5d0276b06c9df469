//! Cookies: what the browser sent, and what it is told to keep.
//!
//! A value is sealed for its purpose, its name and its host; it is split into pieces where
//! it is too long for one cookie. The first piece begins with the number of pieces, which
//! is believed only up to the configured limit. Every cookie is host-only, `HttpOnly` and
//! `SameSite=Lax`, and on https has the prefix `__Host-` (RFC 6265bis §4.1.3.2).

use std::fmt;

use cookie::{Cookie, SameSite, time::Duration};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use crate::{
    config,
    keys::{KeyError, KeyRing, Purpose},
};

/// What one cookie may hold. Browsers take 4,096 bytes with name and attributes.
const PIECE_BYTES: usize = 3800;

/// How many cookies one request may bring.
const COOKIES_MAX: usize = 180;

/// The cookies of one request, unopened.
#[derive(Clone, Default)]
pub struct Jar {
    pairs: Vec<(String, String)>,
}

/// A cookie that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// More cookies than one request may bring. A bad request.
    #[error("failed to read the cookies: more than {0}")]
    TooMany(usize),
    /// A cookie claims to consist of more pieces than configured. A bad request.
    #[error("failed to read a cookie of more than {0} pieces")]
    TooManyPieces(usize),
    /// Two cookies have the same name: one of them is not ours.
    #[error("failed to tell two cookies of one name apart")]
    Duplicate,
    /// A piece is missing, or the first is malformed.
    #[error("failed to put a cookie together from its pieces")]
    Incomplete,
    /// The value does not open, or is not what was sealed for this purpose.
    #[error("failed to open a cookie")]
    Unsealable,
    /// The value is too long to be kept in as many pieces as configured.
    #[error("failed to fit a cookie into {0} pieces")]
    TooLong(usize),
    /// The value could not be sealed.
    #[error("failed to seal a cookie")]
    Seal(#[source] KeyError),
}

impl CookieError {
    /// Is the request itself to be refused, rather than the cookie overlooked?
    #[must_use]
    pub const fn is_bad_request(&self) -> bool {
        matches!(self, Self::TooMany(_) | Self::TooManyPieces(_))
    }
}

impl Jar {
    /// Reads the `Cookie` headers. What is no cookie is skipped.
    ///
    /// # Errors
    ///
    /// Where there are more than a browser would send.
    pub fn parse<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, CookieError> {
        let mut pairs = Vec::new();
        for header in headers {
            let Ok(header) = std::str::from_utf8(header) else { continue };
            for cookie in Cookie::split_parse(header).flatten() {
                if pairs.len() >= COOKIES_MAX {
                    return Err(CookieError::TooMany(COOKIES_MAX));
                }
                pairs.push((cookie.name().to_owned(), cookie.value().to_owned()));
            }
        }
        Ok(Self { pairs })
    }

    /// The names that begin with `prefix`, without it.
    pub(super) fn names_after<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter_map(move |(name, _)| name.strip_prefix(prefix))
    }

    fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(known, _)| known == name)
    }

    /// The one value of `name`.
    fn one(&self, name: &str) -> Result<Option<&str>, CookieError> {
        let mut values = self.pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        if values.next().is_some() {
            return Err(CookieError::Duplicate);
        }
        Ok(value)
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|(name, _)| name)).finish()
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

impl fmt::Debug for SetCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetCookie({})", self.0.split('=').next().unwrap_or_default())
    }
}

/// One cookie of ours: its name, its host and what it is for.
#[derive(Clone, Debug)]
pub struct Slot {
    name: String,
    host: String,
    secure: bool,
    purpose: Purpose,
    pieces_max: usize,
}

impl Slot {
    /// An application's session, on that application's host.
    #[must_use]
    pub fn session(config: &config::Session, origin: &Url, application: &str) -> Self {
        Self::new(config, origin, Purpose::Session, &format!("app-{application}"))
    }

    /// The note that an application does the login itself, on that application's host.
    #[must_use]
    pub fn anonymous(config: &config::Session, origin: &Url, application: &str) -> Self {
        Self::new(config, origin, Purpose::EnterBinding, &format!("open-{application}"))
    }

    /// What ties a login to the browser that began it, on an application's host.
    #[must_use]
    pub fn binding(config: &config::Session, origin: &Url) -> Self {
        Self::new(config, origin, Purpose::EnterBinding, "enter")
    }

    /// The single sign-on session, on the gateway's own host.
    #[must_use]
    pub fn sso(config: &config::Session, public_url: &Url) -> Self {
        Self::new(config, public_url, Purpose::Sso, "sso")
    }

    /// A pending login, on the gateway's own host.
    #[must_use]
    pub fn pending(config: &config::Session, public_url: &Url, login: &str) -> Self {
        Self::new(config, public_url, Purpose::PendingLogin, &format!("login-{login}"))
    }

    /// The ids of the pending logins that the browser says it has, each once.
    #[must_use]
    pub fn pending_ids(config: &config::Session, public_url: &Url, jar: &Jar) -> Vec<String> {
        let prefix = Self::pending(config, public_url, "").name;
        let mut ids: Vec<String> = jar.names_after(&prefix).filter(|id| !id.contains('.')).map(str::to_owned).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    fn new(config: &config::Session, origin: &Url, purpose: Purpose, what: &str) -> Self {
        let secure = origin.scheme() == "https";
        let prefix = if secure { "__Host-" } else { "" };
        Self {
            name: format!("{prefix}{}-{what}", config.cookie_name),
            host: origin.host_str().unwrap_or_default().to_ascii_lowercase(),
            secure,
            purpose,
            pieces_max: config.cookie_chunks_max,
        }
    }

    /// Opens what the browser sent; none where it sent none.
    ///
    /// # Errors
    ///
    /// Each variant of [`CookieError`] but `Seal`, `TooLong` and `TooMany`.
    pub fn open<T: DeserializeOwned>(&self, keys: &KeyRing, jar: &Jar) -> Result<Option<T>, CookieError> {
        let Some(sealed) = self.gather(jar)? else { return Ok(None) };
        let data =
            keys.open_sealed(self.purpose, &self.binding_text(), &sealed).map_err(|_| CookieError::Unsealable)?;
        serde_json::from_slice(&data).map(Some).map_err(|_| CookieError::Unsealable)
    }

    /// Seals `value`. `max_age` keeps it when the browser closes. What the jar has of a
    /// longer value before is cleared.
    ///
    /// # Errors
    ///
    /// `Seal` and `TooLong`.
    pub fn seal<T: Serialize>(
        &self,
        keys: &KeyRing,
        jar: &Jar,
        value: &T,
        max_age: Option<u64>,
    ) -> Result<Vec<SetCookie>, CookieError> {
        let data = serde_json::to_vec(value).map_err(|_| CookieError::Unsealable)?;
        let sealed = keys.seal(self.purpose, &self.binding_text(), &data).map_err(CookieError::Seal)?;
        let count = sealed.len().div_ceil(PIECE_BYTES).max(1);
        if count > self.pieces_max {
            return Err(CookieError::TooLong(self.pieces_max));
        }
        let mut cookies = Vec::with_capacity(count);
        for (index, piece) in sealed.as_bytes().chunks(PIECE_BYTES).enumerate() {
            let piece = String::from_utf8_lossy(piece);
            let value = if index == 0 { format!("{count}.{piece}") } else { piece.into_owned() };
            cookies.push(self.set(&self.piece_name(index), &value, max_age));
        }
        cookies.extend(self.clear_pieces(jar, count));
        Ok(cookies)
    }

    /// Clears the cookie, in case the browser has one that we were not sent, and all of
    /// the pieces that we were sent.
    #[must_use]
    pub fn clear(&self, jar: &Jar) -> Vec<SetCookie> {
        let mut cookies = vec![self.set(&self.name, "", Some(0))];
        cookies.extend(self.clear_pieces(jar, 1));
        cookies
    }

    /// Did the browser send anything of this name?
    #[must_use]
    pub fn is_in(&self, jar: &Jar) -> bool {
        jar.has(&self.name)
    }

    /// Puts the pieces together. At most `pieces_max` are looked for, whatever the first
    /// one says.
    fn gather(&self, jar: &Jar) -> Result<Option<String>, CookieError> {
        let Some(first) = jar.one(&self.name)? else { return Ok(None) };
        let (count, piece) = first.split_once('.').ok_or(CookieError::Incomplete)?;
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CookieError::Incomplete);
        }
        // Too many digits for a number are too many pieces, too.
        let count = count.parse::<usize>().unwrap_or(usize::MAX);
        if count > self.pieces_max {
            return Err(CookieError::TooManyPieces(self.pieces_max));
        }
        if count == 0 {
            return Err(CookieError::Incomplete);
        }
        let mut sealed = piece.to_owned();
        for index in 1..count {
            sealed.push_str(jar.one(&self.piece_name(index))?.ok_or(CookieError::Incomplete)?);
        }
        Ok(Some(sealed))
    }

    fn clear_pieces(&self, jar: &Jar, from: usize) -> Vec<SetCookie> {
        (from..self.pieces_max)
            .map(|index| self.piece_name(index))
            .filter(|name| jar.has(name))
            .map(|name| self.set(&name, "", Some(0)))
            .collect()
    }

    fn piece_name(&self, index: usize) -> String {
        if index == 0 { self.name.clone() } else { format!("{}.{index}", self.name) }
    }

    fn binding_text(&self) -> String {
        format!("{}|{}", self.name, self.host)
    }

    fn set(&self, name: &str, value: &str, max_age: Option<u64>) -> SetCookie {
        let mut cookie = Cookie::build((name, value)).path("/").http_only(true).same_site(SameSite::Lax);
        if self.secure {
            cookie = cookie.secure(true);
        }
        if let Some(seconds) = max_age {
            cookie = cookie.max_age(Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX)));
        }
        SetCookie(cookie.build().to_string())
    }
}
