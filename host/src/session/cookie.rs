//! Cookies: what the browser sent, and what it is told to keep.
//!
//! A value is sealed for its purpose, its name and its host; it is split into pieces where
//! it is too long for one cookie. The first piece begins with the number of pieces, which
//! is believed only up to the configured limit. Every cookie is host-only, `HttpOnly` and
//! `SameSite=Lax`, and on https has the prefix `__Host-` (RFC 6265bis §4.1.3.2).

use std::{borrow::Cow, fmt, ops::Range};

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
    /// The `Cookie` headers, one after the other.
    text: String,
    /// Where in it each name and each value is.
    spans: Vec<(Range<usize>, Range<usize>)>,
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
        let mut text = String::new();
        for header in headers.into_iter().filter_map(|header| std::str::from_utf8(header).ok()) {
            if !text.is_empty() {
                text.push(';');
            }
            text.push_str(header);
        }
        let mut spans = Vec::with_capacity(4);
        for cookie in Cookie::split_parse(text.as_str()).flatten() {
            if spans.len() >= COOKIES_MAX {
                return Err(CookieError::TooMany(COOKIES_MAX));
            }
            if let (Some(name), Some(value)) = (cookie.name_raw(), cookie.value_raw()) {
                spans.push((span(&text, name), span(&text, value)));
            }
        }
        Ok(Self { text, spans })
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = |span: &Range<usize>| self.text.get(span.clone()).unwrap_or_default();
        self.spans.iter().map(move |(name, value)| (text(name), text(value)))
    }

    /// The names that begin with `prefix`, without it.
    pub(super) fn names_after<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs().filter_map(move |(name, _)| name.strip_prefix(prefix))
    }

    fn has(&self, name: &str) -> bool {
        self.pairs().any(|(known, _)| known == name)
    }

    /// The one value of `name`.
    fn one(&self, name: &str) -> Result<Option<&str>, CookieError> {
        let mut values = self.pairs().filter(|(known, _)| *known == name).map(|(_, value)| value);
        let value = values.next();
        if values.next().is_some() {
            return Err(CookieError::Duplicate);
        }
        Ok(value)
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs().map(|(name, _)| name)).finish()
    }
}

/// Where `part`, which is a piece of `text`, is in it.
fn span(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + part.len()
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
        Self::new(config, origin, Purpose::Session, format_args!("app-{application}"))
    }

    /// The note that an application does the login itself, on that application's host.
    #[must_use]
    pub fn anonymous(config: &config::Session, origin: &Url, application: &str) -> Self {
        Self::new(config, origin, Purpose::EnterBinding, format_args!("open-{application}"))
    }

    /// What ties a login to the browser that began it, on an application's host.
    #[must_use]
    pub fn binding(config: &config::Session, origin: &Url) -> Self {
        Self::new(config, origin, Purpose::EnterBinding, format_args!("enter"))
    }

    /// The single sign-on session, on the gateway's own host.
    #[must_use]
    pub fn sso(config: &config::Session, public_url: &Url) -> Self {
        Self::new(config, public_url, Purpose::Sso, format_args!("sso"))
    }

    /// A pending login, on the gateway's own host.
    #[must_use]
    pub fn pending(config: &config::Session, public_url: &Url, login: &str) -> Self {
        Self::new(config, public_url, Purpose::PendingLogin, format_args!("login-{login}"))
    }

    /// A logout on its way through the applications, on the gateway's own host.
    #[must_use]
    pub fn logout(config: &config::Session, public_url: &Url) -> Self {
        Self::new(config, public_url, Purpose::PendingLogin, format_args!("logout"))
    }

    /// The way through the emergency door, on the gateway's own host.
    #[must_use]
    pub fn door(config: &config::Session, public_url: &Url) -> Self {
        Self::new(config, public_url, Purpose::PendingLogin, format_args!("door"))
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

    fn new(config: &config::Session, origin: &Url, purpose: Purpose, what: fmt::Arguments<'_>) -> Self {
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
        self.unseal(keys, &sealed).map(Some)
    }

    /// Opens what [`Slot::gather`] put together.
    pub(super) fn unseal<T: DeserializeOwned>(&self, keys: &KeyRing, sealed: &str) -> Result<T, CookieError> {
        let data = keys.open_sealed(self.purpose, &self.binding_text(), sealed).map_err(|_| CookieError::Unsealable)?;
        serde_json::from_slice(&data).map_err(|_| CookieError::Unsealable)
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
    pub(super) fn gather<'j>(&self, jar: &'j Jar) -> Result<Option<Cow<'j, str>>, CookieError> {
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
        let mut sealed = Cow::Borrowed(piece);
        for index in 1..count {
            sealed.to_mut().push_str(jar.one(&self.piece_name(index))?.ok_or(CookieError::Incomplete)?);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::testing, *};

    const HTTPS: &str = "https://wiki.example.com";

    fn slot(origin: &str) -> Slot {
        Slot::session(&testing::config(), &Url::parse(origin).unwrap(), "wiki")
    }

    /// What a browser sends back that was told to keep `cookies`.
    fn sent(cookies: &[SetCookie]) -> String {
        let pairs = cookies.iter().filter(|cookie| !cookie.as_str().contains("Max-Age=0"));
        pairs.map(|cookie| cookie.as_str().split(';').next().unwrap()).collect::<Vec<_>>().join("; ")
    }

    fn jar(header: &str) -> Jar {
        Jar::parse([header.as_bytes()]).unwrap()
    }

    fn sealed(slot: &Slot, value: &str) -> String {
        sent(&slot.seal(&testing::keys(), &Jar::default(), &value, None).unwrap())
    }

    fn open(slot: &Slot, header: &str) -> Result<Option<String>, CookieError> {
        slot.open(&testing::keys(), &jar(header))
    }

    #[test]
    fn opens_what_it_sealed_short_or_long() {
        let slot = slot(HTTPS);
        for length in [0, 1, 100, 2000, 2800, 2900, 5000, 20_000] {
            let value = "x".repeat(length);
            assert_eq!(open(&slot, &sealed(&slot, &value)).unwrap(), Some(value));
        }
        assert_eq!(open(&slot, "other=1").unwrap(), None);
    }

    #[test]
    fn on_https_a_cookie_is_host_only_secure_and_out_of_reach_of_scripts() {
        let slot = slot(HTTPS);
        for cookie in slot.seal(&testing::keys(), &Jar::default(), &"x".repeat(9000), None).unwrap() {
            let text = cookie.as_str();
            assert!(text.starts_with("__Host-vestibule-app-wiki"), "{text}");
            for attribute in ["; HttpOnly", "; SameSite=Lax", "; Secure", "; Path=/"] {
                assert!(text.contains(attribute), "{text}");
            }
            assert!(!text.contains("Domain") && !text.contains("Max-Age") && !text.contains("Expires"), "{text}");
            assert!(text.len() <= 4096, "browsers take no more");
        }
    }

    #[test]
    fn on_plain_http_there_is_no_prefix_that_a_browser_would_refuse() {
        let cookies = slot("http://127.0.0.1:8080").seal(&testing::keys(), &Jar::default(), &"x", Some(9)).unwrap();
        let text = cookies[0].as_str();
        assert!(text.starts_with("vestibule-app-wiki=") && !text.contains("Secure"), "{text}");
        assert!(text.contains("; Max-Age=9"), "{text}");
    }

    #[test]
    fn clears_the_pieces_that_a_longer_value_left() {
        let slot = slot(HTTPS);
        let long = jar(&sealed(&slot, &"x".repeat(9000)));
        let short = slot.seal(&testing::keys(), &long, &"x", None).unwrap();
        let cleared: Vec<&str> =
            short.iter().map(SetCookie::as_str).filter(|text| text.contains("Max-Age=0")).collect();
        assert_eq!(cleared.len(), 3, "{cleared:?}");
        assert!(cleared.iter().all(|text| text.contains("Path=/") && text.contains("Secure")), "{cleared:?}");
        assert_eq!(slot.clear(&long).len(), 4);
    }

    #[test]
    fn refuses_a_value_that_is_too_long_to_be_kept() {
        let refused = slot(HTTPS).seal(&testing::keys(), &Jar::default(), &"x".repeat(40_000), None);
        assert!(matches!(refused, Err(CookieError::TooLong(8))));
    }

    #[test]
    fn a62_two_cookies_of_one_name_are_both_refused() {
        let slot = slot(HTTPS);
        let ours = sealed(&slot, "ours");
        for header in [
            format!("{ours}; {ours}"),
            format!("__Host-vestibule-app-wiki=planted; {ours}"),
            format!("{ours}; __Host-vestibule-app-wiki="),
        ] {
            assert!(matches!(open(&slot, &header), Err(CookieError::Duplicate)), "{header}");
        }
        let two_headers = Jar::parse([ours.as_bytes(), ours.as_bytes()]).unwrap();
        assert!(matches!(slot.open::<String>(&testing::keys(), &two_headers), Err(CookieError::Duplicate)));
        let long = sealed(&slot, &"x".repeat(9000));
        let header = format!("{long}; __Host-vestibule-app-wiki.1=planted");
        assert!(matches!(open(&slot, &header), Err(CookieError::Duplicate)));
    }

    #[test]
    fn a62_a_cookie_without_the_prefix_is_not_ours_on_https() {
        let ours = sealed(&slot(HTTPS), "ours");
        let planted = ours.replace("__Host-", "");
        assert_eq!(open(&slot(HTTPS), &planted).unwrap(), None);
    }

    #[test]
    fn a63_what_was_sealed_for_one_thing_is_nothing_else() {
        let (keys, config) = (testing::keys(), testing::config());
        let url = |text: &str| Url::parse(text).unwrap();
        let host = url(HTTPS);
        let slots = [
            Slot::session(&config, &host, "wiki"),
            Slot::session(&config, &host, "files"),
            Slot::session(&config, &url("https://files.example.com"), "wiki"),
            Slot::session(&config, &url("http://wiki.example.com"), "wiki"),
            Slot::anonymous(&config, &host, "wiki"),
            Slot::binding(&config, &host),
            Slot::sso(&config, &host),
            Slot::pending(&config, &host, "0123"),
            Slot::pending(&config, &host, "4567"),
        ];
        for (index, from) in slots.iter().enumerate() {
            let value = sealed(from, "value");
            let value = value.split_once('=').unwrap().1.to_owned();
            for (other, to) in slots.iter().enumerate() {
                let opened = to.open::<String>(&keys, &jar(&format!("{}={value}", to.name)));
                assert_eq!(opened.is_ok(), index == other, "{} as {}", from.name, to.name);
            }
        }
    }

    #[test]
    fn a63_another_gateways_cookie_is_none_of_ours() {
        let slot = slot(HTTPS);
        let theirs = slot.seal(&testing::another_ring(), &Jar::default(), &"x", None).unwrap();
        assert!(matches!(open(&slot, &sent(&theirs)), Err(CookieError::Unsealable)));
    }

    #[test]
    fn a65_a_cookie_that_is_cut_or_lengthened_or_changed_does_not_open() {
        let slot = slot(HTTPS);
        for value in ["short".to_owned(), "x".repeat(9000)] {
            let whole = sealed(&slot, &value);
            let cut = &whole[..whole.len() - 1];
            assert!(open(&slot, cut).is_err());
            assert!(open(&slot, &format!("{whole}A")).is_err());
            assert!(open(&slot, &whole.replacen(".", ".A", 1)).is_err());
        }
        let long = sealed(&slot, &"x".repeat(9000));
        let pieces: Vec<&str> = long.split("; ").collect();
        assert!(matches!(open(&slot, &pieces[..pieces.len() - 1].join("; ")), Err(CookieError::Incomplete)));
        let swapped = long.replace("wiki.1=", "wiki.x=").replace("wiki.2=", "wiki.1=").replace("wiki.x=", "wiki.2=");
        assert!(matches!(open(&slot, &swapped), Err(CookieError::Unsealable)));
        let fewer = long.replacen("=4.", "=3.", 1);
        assert!(matches!(open(&slot, &fewer), Err(CookieError::Unsealable)));
    }

    #[test]
    fn a66_a_giant_number_of_pieces_is_refused_before_any_is_looked_for() {
        let slot = slot(HTTPS);
        for count in ["9", "10000", "2147483648", "18446744073709551615", "99999999999999999999999999"] {
            let refused = open(&slot, &format!("__Host-vestibule-app-wiki={count}.x"));
            assert!(refused.as_ref().is_err_and(CookieError::is_bad_request), "{count}: {refused:?}");
        }
    }

    #[test]
    fn a66_more_cookies_than_a_browser_sends_are_a_bad_request() {
        let many = (0..10_000).map(|index| format!("c{index}=x")).collect::<Vec<_>>().join("; ");
        assert!(matches!(Jar::parse([many.as_bytes()]), Err(CookieError::TooMany(_))));
    }

    #[test]
    fn a67_garbage_is_no_cookie_and_no_crash() {
        let slot = slot(HTTPS);
        for header in [
            &b""[..],
            b";",
            b"=",
            b"; ; ;",
            b"\xff\xfe",
            b"\0",
            b"=value",
            b"name",
            b"__Host-vestibule-app-wiki",
            b"\"",
            b"a=\"b; c=d",
        ] {
            let jar = Jar::parse([header]).unwrap();
            assert!(slot.open::<String>(&testing::keys(), &jar).unwrap().is_none());
        }
        for value in ["", ".", "0.", "0.x", "1.", "-1.x", "+1.x", "1", "x.y", "1.\u{e9}", "2.x", " 1.x"] {
            let opened = open(&slot, &format!("__Host-vestibule-app-wiki={value}"));
            assert!(opened.as_ref().is_err_and(|error| !error.is_bad_request()), "{value}: {opened:?}");
        }
    }

    #[test]
    fn the_ids_of_pending_logins_are_found_each_once() {
        let (config, url) = (testing::config(), Url::parse(HTTPS).unwrap());
        let prefix = "__Host-vestibule-login-";
        let jar = jar(&format!("{prefix}b=1.x; {prefix}a=2.x; {prefix}a.1=y; {prefix}b=1.z; vestibule-login-c=1.x"));
        assert_eq!(Slot::pending_ids(&config, &url, &jar), ["a", "b"]);
    }

    #[test]
    fn neither_a_jar_nor_a_cookie_shows_its_value() {
        let slot = slot(HTTPS);
        let cookies = slot.seal(&testing::keys(), &Jar::default(), &"x", None).unwrap();
        let value = cookies[0].as_str().split(['=', ';']).nth(1).unwrap().to_owned();
        assert!(!format!("{cookies:?} {:?}", jar(&sent(&cookies))).contains(&value));
    }

    proptest! {
        #[test]
        fn a67_whatever_comes_in_nothing_crashes_and_nothing_opens(header in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(jar) = Jar::parse([header.as_slice()]) {
                prop_assert!(!matches!(slot(HTTPS).open::<String>(&testing::keys(), &jar), Ok(Some(_))));
            }
        }
    }
}
