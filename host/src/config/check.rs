//! What the sections share while they check themselves: where each key is, the collected
//! problems, and the checks of single values (URLs, paths, networks, ids, secrets).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    net::IpAddr,
    ops::Range,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use url::{Host, Url};

use super::{
    Network,
    diagnostic::{Diagnostic, Diagnostics, Severity, black_out, position},
    digest,
};

/// Reads an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A text that may also come from the environment or from a file: `"…"`,
/// `{ env = "NAME" }` or `{ file = "PATH" }`.
#[derive(Clone)]
pub(super) enum Text {
    Here(String),
    Env(String),
    File(String),
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, { env = \"NAME\" } or { file = \"PATH\" }")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::Here(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        let text = match map.next_entry::<String, String>()? {
            Some((key, value)) if key == "env" => Text::Env(value),
            Some((key, value)) if key == "file" => Text::File(value),
            _ => return Err(serde::de::Error::custom("neither `env` nor `file`")),
        };
        match map.next_key::<String>()? {
            None => Ok(text),
            Some(_) => Err(serde::de::Error::custom("more than one source")),
        }
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let source = |name: &str| {
            serde_json::json!({
                "type": "object",
                "properties": { name: { "type": "string" } },
                "required": [name],
                "additionalProperties": false,
            })
        };
        json_schema!({ "x-text": true, "oneOf": [{ "type": "string" }, source("env"), source("file")] })
    }
}

/// What a URL is for decides what it may look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UrlUse {
    /// No path, query or fragment.
    Origin,
    /// No fragment.
    Page,
    /// A redirect URI: no fragment, and in normal form, so that comparing bytes and
    /// comparing addresses is the same.
    Redirect,
}

/// A configuration that is being checked.
pub(super) struct Check<'a> {
    file: &'a Path,
    source: &'a str,
    env: Environment<'a>,
    /// Where each key's value is, by the key's path.
    pub(super) spans: BTreeMap<String, Range<usize>>,
    /// What must not be shown.
    pub(super) hidden: Vec<Range<usize>>,
    /// The keys of secrets, wherever those are.
    pub(super) secrets: BTreeSet<String>,
    /// The files that were read for a value.
    pub(super) named_files: NamedFiles,
    problems: Vec<Diagnostic>,
}

/// Files that a configuration takes a value from, and what they held. Never shows the latter.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NamedFiles(BTreeMap<PathBuf, String>);

impl NamedFiles {
    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }
}

impl fmt::Debug for NamedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// `path` without `.` and `..`, as far as the text alone tells.
pub(super) fn plain_path(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

impl<'a> Check<'a> {
    pub(super) fn new(file: &'a Path, source: &'a str, env: Environment<'a>) -> Self {
        Self {
            file,
            source,
            env,
            spans: BTreeMap::new(),
            hidden: Vec::new(),
            secrets: BTreeSet::new(),
            named_files: NamedFiles::default(),
            problems: Vec::new(),
        }
    }

    /// The collected problems.
    pub(super) fn finish(self) -> (bool, Diagnostics) {
        let failed = self.problems.iter().any(|problem| problem.severity == Severity::Error);
        let source = black_out(self.source, &self.hidden);
        (failed, Diagnostics::new(self.problems, Arc::from(source)))
    }

    /// Reports that the value of `key` is wrong. Empty texts say nothing.
    pub(super) fn error(&mut self, key: &str, message: impl Into<String>, expected: &str, hint: &str) {
        self.report(Severity::Error, key, message.into(), expected, hint);
    }

    /// Reports that the value of `key` is worth a look.
    pub(super) fn warn(&mut self, key: &str, message: impl Into<String>, hint: &str) {
        self.report(Severity::Warning, key, message.into(), "", hint);
    }

    /// Reports that `key` is missing in the table `section`.
    pub(super) fn missing(&mut self, section: &str, key: &str, expected: &str, hint: &str) {
        let span = self.spans.get(section).cloned();
        let message = format!("`{key}` is missing");
        self.push(Severity::Error, &join(section, key), span, message, None, expected, hint);
    }

    fn report(&mut self, severity: Severity, key: &str, message: String, expected: &str, hint: &str) {
        let span = self.span(key);
        let found = span.clone().filter(|span| !self.is_hidden(span)).and_then(|span| self.excerpt(&span));
        self.push(severity, key, span, message, found, expected, hint);
    }

    #[expect(clippy::too_many_arguments, reason = "a diagnostic has that many parts; private to this file's callers")]
    pub(super) fn push(
        &mut self,
        severity: Severity,
        key: &str,
        span: Option<Range<usize>>,
        message: String,
        found: Option<String>,
        expected: &str,
        hint: &str,
    ) {
        let place = span.as_ref().map(|span| position(self.source, span.start));
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.problems.push(Diagnostic {
            severity,
            file: self.file.to_owned(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            key: key.to_owned(),
            message,
            found,
            expected: some(expected),
            hint: some(hint),
            span,
        });
    }

    /// Where `key` is, or the nearest table around it.
    fn span(&self, key: &str) -> Option<Range<usize>> {
        let mut path = key;
        loop {
            if let Some(span) = self.spans.get(path) {
                return Some(span.clone());
            }
            path = path.rsplit_once('.')?.0;
        }
    }

    /// The source at `span`, shortened.
    pub(super) fn excerpt(&self, span: &Range<usize>) -> Option<String> {
        const SHOWN_MAX: usize = 120;
        let text = self.source.get(span.clone())?;
        let mut shown: String = text.chars().take(SHOWN_MAX).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Some(shown)
    }

    fn is_hidden(&self, span: &Range<usize>) -> bool {
        self.hidden.iter().any(|hidden| hidden.start < span.end && span.start < hidden.end)
    }

    /// The keys that the table `section` has.
    pub(super) fn given(&self, section: &str) -> Vec<String> {
        let prefix = format!("{section}.");
        let keys = self.spans.keys().filter_map(|path| path.strip_prefix(&prefix));
        keys.filter(|key| !key.contains(['.', '['])).map(str::to_owned).collect()
    }

    /// A path, relative to the configuration file.
    pub(super) fn path(&mut self, key: &str, text: &str) -> PathBuf {
        if text.is_empty() {
            self.error(key, "the path is empty", "a path", "");
        }
        self.file.parent().unwrap_or_else(|| Path::new("")).join(text)
    }

    /// An id: kebab-case, so that it can be part of a URL, a cookie and a log line.
    pub(super) fn id(&mut self, section: &str, id: &str) {
        const ID_CHARS_MAX: usize = 64;
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if id.len() > ID_CHARS_MAX || !id.split('-').all(part) {
            let expected = "an id in kebab-case (a-z, 0-9, single hyphens between; at most 64)";
            self.error(section, format!("`{id}` is not an id"), expected, "");
        }
    }

    /// The domain of email addresses, or `.example.com` for every subdomain.
    pub(super) fn email_domain(&mut self, key: &str, domain: &str) {
        let name = domain.strip_prefix('.').unwrap_or(domain);
        let plain =
            |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !name.split('.').all(plain) {
            let hint = "international names in their `xn--` form";
            self.error(key, "not a domain", "`example.com`, or `.example.com` for every subdomain", hint);
        }
    }

    /// A network such as `10.0.0.0/8` or `::1`.
    pub(super) fn networks(&mut self, key: &str, texts: &[String]) -> Vec<Network> {
        let mut networks = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let key = format!("{key}[{index}]");
            match text.parse::<Network>() {
                Ok(network) if network.prefix == 0 => {
                    self.warn(&key, "this is every address there is", "name the proxies' own addresses");
                    networks.push(network);
                }
                Ok(network) => networks.push(network),
                Err(problem) => self.error(
                    &key,
                    problem.to_string(),
                    "an address or a range in CIDR notation",
                    "such as `127.0.0.1`, `10.0.0.0/8` or `fd00::/8`",
                ),
            }
        }
        networks
    }

    /// A URL that is safe to send a browser or a request to.
    pub(super) fn url(&mut self, key: &str, text: &str, purpose: UrlUse) -> Option<Url> {
        let expected = match purpose {
            UrlUse::Origin => "an https URL without a path (http for loopback only)",
            UrlUse::Page | UrlUse::Redirect => "an https URL (http for loopback only)",
        };
        // The URL standard silently drops tabs and line ends and turns `\` into `/`: what
        // an operator reads and what a browser does must not differ.
        self.hide_userinfo(key, text);
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            self.error(key, "the URL has a blank, a control character or a backslash", expected, "");
            return None;
        }
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => {
                self.error(key, format!("not a URL: {error}"), expected, "");
                return None;
            }
        };
        if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
            let hint = "a URL with `@` before its host misleads people and programs alike";
            self.error(key, "the URL has user information", expected, hint);
            return None;
        }
        let secure = match url.scheme() {
            "https" => url.host().is_some(),
            "http" => is_loopback(&url),
            _ => false,
        };
        if !secure {
            self.error(key, format!("`{}` is not allowed here", describe(&url)), expected, "");
            return None;
        }
        if url.fragment().is_some() {
            self.error(key, "the URL has a fragment", expected, "leave out `#` and what follows");
            return None;
        }
        if purpose == UrlUse::Origin && (url.path() != "/" || url.query().is_some()) {
            self.error(
                key,
                "the URL has a path or a query",
                expected,
                &format!("`{}`", url.origin().ascii_serialization()),
            );
            return None;
        }
        if purpose == UrlUse::Redirect && url.as_str() != text {
            let hint = format!("write `{url}`: redirect URIs are compared byte for byte");
            self.error(key, "the URL is not in its normal form", expected, &hint);
            return None;
        }
        Some(url)
    }

    /// An optional URL.
    pub(super) fn url_opt(&mut self, key: &str, text: Option<&str>, purpose: UrlUse) -> Option<Url> {
        text.and_then(|text| self.url(key, text, purpose))
    }

    /// What stands before an `@` may be a password.
    fn hide_userinfo(&mut self, key: &str, text: &str) {
        if text.contains('@')
            && let Some(span) = self.spans.get(key).cloned()
        {
            self.hidden.push(span);
        }
    }

    /// A text or secret from wherever it is. `None` was reported.
    pub(super) fn text(&mut self, key: &str, text: &Text) -> Option<String> {
        let value = match text {
            Text::Here(text) => {
                if self.secrets.contains(key) && readable_by_others(self.file) {
                    let hint = "chmod o-r, or take it from `{ file = \"…\" }` or `{ env = \"…\" }`";
                    self.warn(key, "a secret stands in a file that everybody may read", hint);
                }
                text.clone()
            }
            Text::Env(env) => {
                let Some(value) = (self.env)(env) else {
                    let message = format!("the environment has no variable `{env}`");
                    self.error(key, message, "the name of an environment variable that is set", "");
                    return None;
                };
                value
            }
            Text::File(file) => {
                let path = self.path(&format!("{key}.file"), file);
                if readable_by_others(&path) && self.secrets.contains(key) {
                    let message = format!("everybody may read {}", path.display());
                    self.warn(key, message, "chmod o-r");
                }
                let read = std::fs::read_to_string(&path);
                let held = read.as_ref().map(|text| digest(text)).unwrap_or_default();
                self.named_files.0.insert(path.clone(), held);
                match read {
                    // One line end at the end belongs to the editor, not to the secret.
                    Ok(text) => text.strip_suffix('\n').map_or(text.as_str(), |t| t.trim_end_matches('\r')).to_owned(),
                    Err(error) => {
                        let message = format!("failed to read {}: {error}", path.display());
                        self.error(key, message, "a readable text file", "");
                        return None;
                    }
                }
            }
        };
        if value.trim().is_empty() {
            self.error(key, "the value is empty", "a text", "");
            return None;
        }
        Some(value)
    }
}

/// The path of `key` in `section`.
pub(super) fn join(section: &str, key: &str) -> String {
    let mut path = section.to_owned();
    if !path.is_empty() {
        path.push('.');
    }
    let _infallible = write!(path, "{key}");
    path
}

/// Does `url` lead to this machine?
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        // RFC 6761 §6.3: `localhost` and the names below it are loopback.
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The address that `url` names without asking anybody: its own, or this machine's.
pub(super) fn literal_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) if is_loopback(url) => Some(std::net::Ipv4Addr::LOCALHOST.into()),
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(IpAddr::from(address).to_canonical()),
    }
}

/// An address within a house (RFC 1918, RFC 4193, RFC 3927, loopback).
pub(crate) const fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// What a refused URL is, without what it may hide.
fn describe(url: &Url) -> String {
    match url.host_str() {
        Some(host) => format!("{}://{host}", url.scheme()),
        None => format!("{}:", url.scheme()),
    }
}

/// What stands between `//` and the path, as written.
fn authority(text: &str) -> &str {
    let rest = text.split_once("//").map_or(text, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

#[cfg(unix)]
fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn readable_by_others(_: &Path) -> bool {
    false
}

/// Why a text is no network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The part before `/` is no address.
    #[error("`{0}` is not an IP address")]
    Address(String),
    /// The address has bits after the prefix.
    #[error("the address has bits beyond its prefix; the range would be {0}")]
    HostBits(String),
    /// The part after `/` is no length.
    #[error("`/{0}` is not a prefix length for this kind of address")]
    Prefix(String),
}

impl std::str::FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let parsed: IpAddr = address.parse().map_err(|_| NetworkError::Address(address.to_owned()))?;
        let bits = if parsed.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text
                .parse()
                .ok()
                .filter(|prefix| *prefix <= bits)
                .ok_or_else(|| NetworkError::Prefix(text.to_owned()))?,
            Some(text) => return Err(NetworkError::Prefix(text.to_owned())),
        };
        let first = mask(parsed, prefix);
        if first != parsed {
            return Err(NetworkError::HostBits(format!("{first}/{prefix}")));
        }
        Ok(Self { address: first, prefix })
    }
}

impl Network {
    /// Is `address` in this range? An IPv4 address that came in an IPv6 one counts as the
    /// IPv4 address that it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && mask(address, self.prefix) == self.address
    }
}

fn mask(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}
