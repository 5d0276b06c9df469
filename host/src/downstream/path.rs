//! One reading of a request's path, or none.
//!
//! Whoever decides about a path and whoever serves it must read the same path. A path that
//! two programs could read differently is therefore refused here, not repaired; what
//! RFC 3986 §6.2.2 says is equivalent is brought to one form. The query never takes part.

use std::borrow::Cow;

/// A path in its one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'a> {
    text: Cow<'a, str>,
    received: &'a str,
    rearranged: bool,
}

/// Why a path has no one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// A byte that RFC 3986 §3.3 does not allow, such as a control byte, `#` or `\`.
    #[error("the path holds a byte that must not be there")]
    BadByte,
    /// A `%` without two hexadecimal digits, or octets that are not UTF-8.
    #[error("the path holds a malformed percent-encoding")]
    BadEncoding,
    /// An encoded delimiter or control byte (`%2F`, `%5C`, `%23`, `%3F`, `%00`, …), or an
    /// encoding within an encoding: some servers decode these, some do not.
    #[error("the path holds an encoded delimiter")]
    Ambiguous,
    /// A `..` that leads above the root, or one that hides behind a parameter (`..;x`).
    #[error("the path leads outside")]
    Escape,
}

impl PathError {
    /// The stable name, in kebab-case.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path-not-absolute",
            Self::BadByte => "path-bad-byte",
            Self::BadEncoding => "path-bad-encoding",
            Self::Ambiguous => "path-ambiguous",
            Self::Escape => "path-escapes",
        }
    }
}

impl<'a> CanonicalPath<'a> {
    /// Reads a request target in origin form (RFC 9112 §3.2.1): path and query.
    ///
    /// # Errors
    ///
    /// Where the path has no one reading.
    pub fn of(target: &'a str) -> Result<Self, PathError> {
        // A fragment never travels; a `#` means that somebody cut the target differently.
        if target.bytes().any(|byte| byte == b'#' || byte.is_ascii_control()) {
            return Err(PathError::BadByte);
        }
        let received = target.split_once('?').map_or(target, |(path, _)| path);
        if !received.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        if is_plain(received) {
            return Ok(Self { text: Cow::Borrowed(received), received, rearranged: false });
        }
        let decoded = decode(received)?;
        let (text, rearranged) = arrange(&decoded)?;
        Ok(Self { text: Cow::Owned(text), received, rearranged })
    }

    /// The path to decide about.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path as it was sent.
    #[must_use]
    pub const fn received(&self) -> &str {
        self.received
    }

    /// Were segments taken out (`.`, `..`, empty ones)? Then the bytes that go to the
    /// application are not the ones that were decided about, since the reverse proxy, not
    /// the gateway, sends them.
    #[must_use]
    pub const fn is_rearranged(&self) -> bool {
        self.rearranged
    }
}

/// Nothing to do: the common case, without an allocation.
fn is_plain(path: &str) -> bool {
    let mut previous = 0;
    for byte in path.bytes() {
        let plain = match byte {
            b'/' | b'.' => previous != b'/',
            b'%' | b';' => false,
            _ => is_path_byte(byte),
        };
        if !plain {
            return false;
        }
        previous = byte;
    }
    true
}

/// RFC 3986 §3.3: `pchar` and the slash, without `%`.
const fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'/'
        )
}

/// Browsers send these as they are (WHATWG URL, path percent-encode set), although
/// RFC 3986 does not allow them; everybody reads them as themselves.
const fn is_tolerated(byte: u8) -> bool {
    matches!(byte, b'|' | b'[' | b']' | b'^')
}

/// Decodes what may stand for itself in a path, upper-cases the digits of what may not
/// (RFC 3986 §6.2.2.1, §6.2.2.2), and refuses what two servers could read differently.
fn decode(path: &str) -> Result<String, PathError> {
    let mut text = String::with_capacity(path.len());
    let mut octets = Vec::new();
    let mut bytes = path.as_bytes().iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            if !is_path_byte(byte) && !is_tolerated(byte) {
                return Err(PathError::BadByte);
            }
            octets.push(byte);
            if is_tolerated(byte) {
                push_encoded(&mut text, byte)
            } else {
                text.push(char::from(byte))
            }
            continue;
        }
        let octet = hex(bytes.next())? << 4 | hex(bytes.next())?;
        octets.push(octet);
        match octet {
            b'/' | b'\\' | b'#' | b'?' | 0..=0x1f | 0x7f => return Err(PathError::Ambiguous),
            // `%252e` is `%2e` to who decodes once and `.` to who decodes twice.
            b'%' if bytes.clone().take(2).filter(u8::is_ascii_hexdigit).count() == 2 => {
                return Err(PathError::Ambiguous);
            }
            _ if is_path_byte(octet) => text.push(char::from(octet)),
            _ => push_encoded(&mut text, octet),
        }
    }
    // Overlong forms (`%c0%ae` for a dot) are not UTF-8 (RFC 3629 §3).
    if std::str::from_utf8(&octets).is_err() {
        return Err(PathError::BadEncoding);
    }
    Ok(text)
}

/// Takes out `.`, `..` and empty segments (RFC 3986 §5.2.4); says whether there were any.
fn arrange(path: &str) -> Result<(String, bool), PathError> {
    let mut segments: Vec<&str> = Vec::new();
    let mut rearranged = false;
    let mut rest = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = rest.next() {
        let is_last = rest.peek().is_none();
        match segment {
            "" if is_last => segments.push(""),
            "" => rearranged = true,
            "." | ".." => {
                rearranged = true;
                if segment == ".." && segments.pop().is_none() {
                    return Err(PathError::Escape);
                }
                if is_last {
                    segments.push("");
                }
            }
            _ => {
                // Some servers cut parameters off before they look at dots.
                let name = segment.split(';').next().unwrap_or(segment);
                if segment.contains(';') && matches!(name, "" | "." | "..") {
                    return Err(PathError::Escape);
                }
                segments.push(segment);
            }
        }
    }
    let mut text = String::with_capacity(path.len());
    for segment in segments {
        text.push('/');
        text.push_str(segment);
    }
    if text.is_empty() {
        text.push('/');
    }
    Ok((text, rearranged))
}

fn push_encoded(text: &mut String, octet: u8) {
    text.push('%');
    for digit in [octet >> 4, octet & 15] {
        text.push(char::from_digit(digit.into(), 16).unwrap_or('0').to_ascii_uppercase());
    }
}

fn hex(byte: Option<u8>) -> Result<u8, PathError> {
    let digit = byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(PathError::BadEncoding)?;
    u8::try_from(digit).map_err(|_| PathError::BadEncoding)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(target: &str) -> Result<String, PathError> {
        CanonicalPath::of(target).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn reads_a_plain_path_without_copying_it() {
        let path = CanonicalPath::of("/wiki/Home?x=1").unwrap();
        assert!(matches!(path.text, Cow::Borrowed("/wiki/Home")));
        assert!(!path.is_rearranged());
    }

    #[test]
    fn a12_the_query_takes_no_part() {
        for query in ["x=/public", "/public", "a?b?/public", "x=%zz", "x=100%", "../../public", "x=%2f..%2fpublic"] {
            assert_eq!(read(&format!("/admin?{query}")).as_deref(), Ok("/admin"), "{query}");
        }
    }

    #[test]
    fn a13_refuses_a_fragment_raw_or_encoded() {
        for target in ["/foo/secret%23/bar", "/foo/secret#/bar", "/foo#", "/foo?a#b", "/%23", "/foo%2523bar"] {
            assert!(read(target).is_err(), "{target}");
        }
    }

    #[test]
    fn a17_dot_segments_are_taken_out_before_anybody_decides() {
        for target in ["/public/../admin/x", "/public/%2e%2e/admin/x", "/public/%2E./admin/x", "/a/b/../../admin/./x"] {
            let path = CanonicalPath::of(target).unwrap();
            assert_eq!(path.as_str(), "/admin/x", "{target}");
            assert!(path.is_rearranged(), "{target}");
        }
    }

    #[test]
    fn a17_refuses_a_path_that_leads_above_the_root_or_hides_its_dots() {
        for target in ["/..", "/../admin", "/a/../../admin", "/%2e%2e/", "/public/..;/admin", "/public/..;x=1/admin"] {
            assert_eq!(read(target), Err(PathError::Escape), "{target}");
        }
        for target in ["/public/..%3b/admin", "/public/.;/admin", "/;/admin", "/public/%2e%2e%3Ba/admin"] {
            assert_eq!(read(target), Err(PathError::Escape), "{target}");
        }
        for target in ["/public/..%2fadmin", "/public%2f..%2fadmin", "/public/..%5cadmin", "/public/%252e%252e/admin"] {
            assert_eq!(read(target), Err(PathError::Ambiguous), "{target}");
        }
        assert_eq!(read("/public/..\\admin"), Err(PathError::BadByte));
        assert_eq!(read("/public/%c0%ae%c0%ae/admin"), Err(PathError::BadEncoding));
    }

    #[test]
    fn a18_slashes_and_dots_of_every_kind_come_to_the_same_path() {
        for target in ["//admin", "/./admin", "/public/./../admin", "///admin", "/.//./admin", "/x//../admin"] {
            let path = CanonicalPath::of(target).unwrap();
            assert_eq!(path.as_str(), "/admin", "{target}");
            assert!(path.is_rearranged(), "{target}");
        }
        assert_eq!(read("/admin/").as_deref(), Ok("/admin/"));
        assert_eq!(read("/admin/.").as_deref(), Ok("/admin/"));
        assert_eq!(read("/admin/x/..").as_deref(), Ok("/admin/"));
        assert_eq!(read("/").as_deref(), Ok("/"));
    }

    #[test]
    fn a21_refuses_what_is_malformed() {
        for target in ["/%zz", "/%", "/%2", "/a%0", "/%ff", "/%e2%82", "/%00", "/%0a", "/%0d%0aSet-Cookie:x", "/%7f"] {
            assert!(read(target).is_err(), "{target}");
        }
        for target in ["", "admin", "*", "http://other.example/admin", "?x", "/a\tb", "/a b", "/a\u{7f}", "/a\0b", "/ä"]
        {
            assert!(read(target).is_err(), "{target:?}");
        }
    }

    #[test]
    fn what_is_equivalent_comes_to_one_form() {
        assert_eq!(read("/%61dmin/%7Euser").as_deref(), Ok("/admin/~user"));
        assert_eq!(read("/a%40b%3ac").as_deref(), Ok("/a@b:c"));
        assert_eq!(read("/caf%c3%a9%20x").as_deref(), Ok("/caf%C3%A9%20x"));
        assert_eq!(read("/a[0]|b"), read("/a%5b0%5D%7Cb"));
        assert_eq!(read("/100%25").as_deref(), Ok("/100%25"));
        assert!(!CanonicalPath::of("/%61dmin").unwrap().is_rearranged());
    }

    proptest! {
        #[test]
        fn reading_twice_changes_nothing(target in "/[a-z./%;0-9A-F@~]{0,24}") {
            if let Ok(once) = read(&target) {
                prop_assert_eq!(read(&once), Ok(once.clone()));
                prop_assert!(!once.contains("//") && !once.contains("/../") && !once.contains("/./"));
            }
        }
    }
}
