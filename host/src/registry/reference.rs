//! Where a component is: registry, repository, tag, digest.

use std::{fmt, net::IpAddr, str::FromStr};

use super::RegistryError;

/// A repository's name is at most this long (with the host, as others have it).
const NAME_CHARS_MAX: usize = 255;

/// A tag is at most this long (OCI distribution specification, "pulling manifests").
const TAG_CHARS_MAX: usize = 128;

/// `HOST[:PORT]/NAME[:TAG][@sha256:DIGEST]`. The host is always named: what it would be
/// otherwise is another program's habit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Host and port.
    pub host: String,
    /// The repository.
    pub name: String,
    /// The tag, if one is named.
    pub tag: Option<String>,
    /// The manifest's digest, if one is named: `sha256:` and 64 hex digits.
    pub digest: Option<String>,
}

impl Reference {
    /// Clear text goes to this machine alone.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.is_loopback() { "http" } else { "https" }
    }

    /// Is the registry on this machine?
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(host_of(&self.host))
    }

    /// The same repository, pinned to `digest`.
    #[must_use]
    pub fn pinned(&self, digest: &str) -> Self {
        Self { digest: Some(digest.to_owned()), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let refuse = |problem| RegistryError::Reference { text: text.to_owned(), problem };
        let plain = text.strip_prefix("oci://").unwrap_or(text);
        let (rest, digest) = match plain.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (plain, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(refuse("its digest is not `sha256:` and 64 hex digits in lower case"));
        }
        let (host, path) = rest.split_once('/').ok_or_else(|| refuse("it names no repository"))?;
        let (name, tag) = match path.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (path, None),
        };
        let is_host = host == "localhost" || host.contains(['.', ':']);
        if !is_host || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)) {
            return Err(refuse("it does not begin with a registry's host"));
        }
        if name.len() > NAME_CHARS_MAX || !name.split('/').all(is_part) {
            return Err(refuse("its repository is not lower-case letters and digits, with single separators between"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse("its tag is not letters, digits, `_`, `.` and `-`, at most 128"));
        }
        let owned = |part: Option<&str>| part.map(str::to_owned);
        Ok(Self { host: host.to_owned(), name: name.to_owned(), tag: owned(tag), digest: owned(digest) })
    }
}

/// A part of a repository's name (OCI distribution specification, "pulling manifests").
fn is_part(part: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    is_end(part.bytes().next())
        && is_end(part.bytes().next_back())
        && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
        && !part.contains("..")
        && !part.contains("___")
}

fn is_tag(tag: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_CHARS_MAX
        && tag.bytes().next().is_some_and(is_first)
        && tag.bytes().all(|byte| is_first(byte) || b".-".contains(&byte))
}

/// Is it `sha256:` and 64 hex digits?
pub(super) fn is_digest(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

/// The host without the port and without an IPv6 address's brackets.
fn host_of(authority: &str) -> &str {
    if let Some(address) = authority.strip_prefix('[') {
        return address.split(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

/// Is it this machine? A name other than `localhost` (RFC 6761 §6.3) is not, whatever it resolves to.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_references() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for text in [
            "ghcr.io/acme/policies/group-mapping".to_owned(),
            "ghcr.io/acme/group-mapping:0.1.0".to_owned(),
            format!("localhost:5000/a:latest@{digest}"),
            format!("127.0.0.1:5000/a@{digest}"),
            "[::1]:5000/a__b/c-d".to_owned(),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
        }
        assert_eq!("oci://ghcr.io/a/b".parse::<Reference>().unwrap().to_string(), "ghcr.io/a/b");
    }

    #[test]
    fn refuses_what_is_no_reference() {
        for text in [
            "",
            "a",
            "a/b",
            "acme/policies",
            "ghcr.io/",
            "ghcr.io/A/b",
            "ghcr.io/a//b",
            "ghcr.io/a/../b",
            "ghcr.io/-a",
            "ghcr.io/a:",
            "ghcr.io/a:-x",
            "ghcr.io/a@sha256:abc",
            "ghcr.io/a@sha512:x",
            "https://ghcr.io/a",
            "ghcr.io/a b",
            "gh cr.io/a",
            "user@ghcr.io/a",
            "ghcr.io/a?x=1",
            "ghcr.io/a#b",
            "ghcr.io/a%2f",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        let upper = format!("ghcr.io/a@sha256:{}", "A".repeat(64));
        assert!(upper.parse::<Reference>().is_err());
    }

    #[test]
    fn speaks_clear_text_with_this_machine_alone() {
        let scheme = |text: &str| text.parse::<Reference>().unwrap().scheme();
        for local in ["localhost/a", "localhost:5000/a", "127.0.0.1:5000/a", "127.8.9.1/a", "[::1]:5000/a"] {
            assert_eq!(scheme(local), "http", "{local}");
        }
        for other in
            ["ghcr.io/a", "10.0.0.1:5000/a", "localhost.example.com/a", "127.0.0.1.nip.io/a", "[2001:db8::1]/a"]
        {
            assert_eq!(scheme(other), "https", "{other}");
        }
    }
}
